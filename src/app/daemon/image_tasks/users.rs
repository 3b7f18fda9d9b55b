//! Lists users of images: all of them at once, or those of one image right before its deletion.
//!
//! Every call must return a complete list: an error leaves the users unknown, and nothing is deleted. Kinds that the
//! operator excludes with `in_use` of `[cloud]` are not listed.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    adapters::{
        cloud::{
            CloudClient,
            actions::{
                Bundle, DeliveryGroup, DescribeBundles, DescribeDesktopGroups, DescribeDesktops, DescribeImages,
                DescribeTemplates, Desktop, DesktopGroup, Image, ListAppInstanceGroup, ListWuyingServer, Server,
                Template,
            },
            listing::{self, Listing},
        },
        config::Config,
    },
    domain::{
        api::{
            call::ApiError,
            instance_state::InstanceType,
            regions::{REGIONS, nearest_region},
        },
        history::ImageRow,
        ids::{ImageId, InstanceId},
        image::users::{KnownAs, User, UserKind, Uses},
        text::may_be,
    },
};

/// Regions and kinds of a query.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    kinds: BTreeSet<UserKind>,
    home: String,
    regions: BTreeSet<String>,
    /// Those in which the cloud lists images.
    listed: BTreeSet<String>,
    /// Instances of which there are images, so that the lists must show them: desktops by their region, and workstations.
    desktops: BTreeMap<String, BTreeSet<InstanceId>>,
    workstations: BTreeSet<InstanceId>,
}

impl Scope {
    /// All configured regions.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            desktops: BTreeMap::new(),
            workstations: BTreeSet::new(),
            kinds: config.cloud.in_use.iter().copied().collect(),
            home: config.cloud.region.clone(),
            regions: config.regions().into_iter().map(str::to_owned).collect(),
            listed: BTreeSet::new(),
        }
    }

    /// With the instances of the schedules that images were made from: they exist, so the lists must show them. Those of a
    /// paused schedule may be gone.
    pub(super) fn with_instances_of(mut self, config: &Config, images: &[ImageRow]) -> Self {
        let made: BTreeSet<&str> = images.iter().map(|row| row.instance_id.as_str()).collect();
        for schedule in config.schedules.iter().filter(|schedule| !schedule.paused) {
            let all = schedule.instances.as_slice().iter();
            let known = all.filter(|instance| made.contains(instance.as_str())).cloned();
            match schedule.settings.instance_type {
                InstanceType::CloudDesktop => {
                    self.desktops.entry(schedule.settings.instance_region.clone()).or_default().extend(known);
                }
                InstanceType::WuyingServer => self.workstations.extend(known),
            }
        }
        self
    }

    /// Additional regions.
    pub(super) fn with_regions(mut self, regions: impl IntoIterator<Item = String>) -> Self {
        self.regions.extend(regions);
        self
    }

    /// Regions in which these images are listed.
    pub(super) fn with_regions_of<'a>(mut self, images: impl IntoIterator<Item = &'a Image>) -> Self {
        self.listed.extend(images.into_iter().flat_map(Image::listed_regions).map(str::to_owned));
        self.regions.extend(self.listed.iter().cloned());
        self
    }

    /// What a call in a region returned. Nothing is in a region that the cloud does not have, so one mistyped in the file hides
    /// no user. A region that is known here, the home region and those of listed images do exist: what refuses them is an error.
    fn in_region<T: Default>(&self, region: &str, result: Result<T, ApiError>) -> Result<T, ApiError> {
        let exists = REGIONS.contains(&region) || self.home == region || self.listed.contains(region);
        match result {
            Err(error) if !exists && error.is_no_such_region() => {
                let correct = correct(region);
                tracing::warn!(region, "the cloud has no region {region}, so no image is in use there: {correct}");
                Ok(T::default())
            }
            Err(mut error) => {
                error.message = format!("in {region}: {}", error.message);
                if !REGIONS.contains(&region) {
                    error.advice = format!("{} If {}.", error.advice, correct(region)).trim().to_owned().into();
                }
                Err(error)
            }
            result => result,
        }
    }

    fn asks(&self, kind: UserKind) -> bool {
        self.kinds.contains(&kind)
    }

    fn asks_desktop_service(&self) -> bool {
        self.kinds.iter().any(|kind| kind.is_of_desktop_service())
    }
}

/// What to do about a region that is not known here.
fn correct(region: &str) -> String {
    let near = nearest_region(region).map(|near| format!(" (perhaps {near})")).unwrap_or_default();
    format!("{region} is mistyped{near}, correct `regions` in the configuration")
}

/// Names and ids of an image in cloud and history; `rows` are those of ListImage.
pub(super) fn known_as<'a>(
    image_id: &'a str,
    name: &'a str,
    rows: impl IntoIterator<Item = &'a Image> + Clone,
) -> KnownAs {
    let listed = rows.clone().into_iter().flat_map(|row| &row.image_region_distribute_list);
    let ids = listed.filter_map(|copy| copy.image_id.as_deref()).chain([image_id]);
    let names = rows.into_iter().filter_map(|row| row.image_name.as_deref()).chain([name]);
    KnownAs::new(ids, names)
}

/// Users of an image right now, by calls that filter by it: for use right before each deletion. `name` is the one in
/// the history, `rows` are the latest of ListImage.
///
/// # Errors
///
/// [`ApiError`] if the users are unknown.
pub(super) async fn users_of(
    cloud: &CloudClient,
    config: &Config,
    image_id: &ImageId,
    name: &str,
    rows: &[Image],
) -> Result<Vec<String>, ApiError> {
    let scope = Scope::of(config).with_regions_of(rows);
    let users = ask_one(cloud, &scope, known_as(image_id.as_str(), name, rows)).await?;
    Ok(users.iter().map(ToString::to_string).collect())
}

/// All uses of all images.
pub(super) async fn all_uses(cloud: &CloudClient, scope: &Scope) -> Result<Uses, ApiError> {
    let mut uses = Uses::default();
    if scope.asks_desktop_service() {
        for region in &scope.regions {
            let call = DescribeImages { region: region.clone(), ..DescribeImages::default() };
            for image in scope.in_region(region, cloud.list_all(&call).await)? {
                uses.add_id(image.name.as_deref().unwrap_or_default(), &image.id);
            }
        }
    }
    let mut note = |used: Used<'_>| uses.add(&used.by, used.image_id, used.image_name);
    ask(cloud, scope, None, &mut note).await?;
    Ok(uses)
}

/// The users of one image.
async fn ask_one(cloud: &CloudClient, scope: &Scope, mut image: KnownAs) -> Result<Vec<User>, ApiError> {
    if scope.asks_desktop_service() {
        for region in &scope.regions {
            for name in image.names.clone() {
                let call = DescribeImages {
                    region: region.clone(),
                    image_name: Some(name.clone()),
                    ..DescribeImages::default()
                };
                let listed = scope.in_region(region, cloud.list_all(&call).await)?;
                image.ids.extend(
                    listed
                        .into_iter()
                        .filter(|seen| seen.name.as_deref().is_some_and(|seen| may_be(seen, &name)))
                        .map(|seen| seen.id),
                );
            }
        }
    }
    let mut users = BTreeSet::new();
    let mut note = |used: Used<'_>| {
        // A row of another id and another name shows that the cloud did not filter. One of another id without a name
        // may be an unknown id of the image.
        let other = used.image_name.is_some_and(|name| !name.is_empty() && !image.may_be_named(name));
        if image.may_have_id(used.image_id) || !other {
            users.insert(used.by);
        }
    };
    ask(cloud, scope, Some(&image.ids), &mut note).await?;
    Ok(users.into_iter().collect())
}

/// Lists everything that uses an image, or one of the image with these ids.
async fn ask(
    cloud: &CloudClient,
    scope: &Scope,
    ids: Option<&BTreeSet<String>>,
    note: &mut impl FnMut(Used<'_>),
) -> Result<(), ApiError> {
    let each: Vec<Option<String>> = ids.map_or_else(|| vec![None], |ids| ids.iter().cloned().map(Some).collect());
    let all: Vec<String> = ids.into_iter().flatten().cloned().collect();
    for image_id in each {
        if scope.asks(UserKind::Workstations) {
            let call = ListWuyingServer { image_id: image_id.clone(), ..ListWuyingServer::default() };
            let listed = read(cloud, &call, note).await?;
            if ids.is_none() {
                let again = |ids| ListWuyingServer { ids, ..ListWuyingServer::default() };
                must_show(cloud, &scope.workstations, &listed, again).await?;
            }
        }
        if scope.asks(UserKind::DeliveryGroups) {
            let call = ListAppInstanceGroup { image_id: image_id.clone(), ..ListAppInstanceGroup::default() };
            read(cloud, &call, note).await?;
        }
        if scope.asks(UserKind::Templates) {
            let host_region = scope.home.clone();
            let call = DescribeTemplates { host_region, image_id, ..DescribeTemplates::default() };
            read(cloud, &call, note).await?;
        }
    }
    for region in &scope.regions {
        let image_ids = all.clone();
        if scope.asks(UserKind::Desktops) {
            let call = DescribeDesktops {
                region: region.clone(),
                image_ids: image_ids.clone(),
                with_pools: true,
                ..DescribeDesktops::default()
            };
            let listed = scope.in_region(region, read(cloud, &call, note).await.map(Some))?;
            // None: the cloud has no such region.
            if let (Some(listed), None, Some(wanted)) = (listed, ids, scope.desktops.get(region)) {
                let again = |ids| DescribeDesktops {
                    region: region.clone(),
                    ids,
                    with_pools: true,
                    ..DescribeDesktops::default()
                };
                scope.in_region(region, must_show(cloud, wanted, &listed, again).await)?;
            }
        }
        if scope.asks(UserKind::Pools) {
            let call = DescribeDesktopGroups {
                region: region.clone(),
                image_ids: image_ids.clone(),
                ..DescribeDesktopGroups::default()
            };
            scope.in_region(region, read(cloud, &call, note).await.map(drop))?;
        }
        if scope.asks(UserKind::Bundles) {
            let call = DescribeBundles { region: region.clone(), image_ids, ..DescribeBundles::default() };
            scope.in_region(region, read(cloud, &call, note).await.map(drop))?;
        }
    }
    Ok(())
}

/// Number of instances that a call asks for by their ids.
const ASKED_AT_ONCE: usize = 100;

/// Checks that a list of all instances shows those of the schedules. A list without any row proves nothing: it may be that of
/// another account, or of a cloud that lost its index. One that has others lacks only what a call by ids does not show either.
async fn must_show<L>(
    cloud: &CloudClient,
    wanted: &BTreeSet<InstanceId>,
    listed: &BTreeSet<String>,
    again: impl Fn(Vec<InstanceId>) -> L,
) -> Result<(), ApiError>
where
    L: Listing<Row: UsesImage>,
{
    let lacking: Vec<InstanceId> = wanted.iter().filter(|id| !listed.contains(id.as_str())).cloned().collect();
    let Some(first) = lacking.first() else { return Ok(()) };
    if listed.is_empty() {
        let why =
            format!("it is empty, without {first} of the configuration: if that was deleted, remove its schedule");
        return Err(listing::incomplete(L::ACTION, None, 0, &why));
    }
    for ids in lacking.chunks(ASKED_AT_ONCE) {
        let rows = cloud.list_all(&again(ids.to_vec())).await?;
        if let Some(row) = rows.iter().find(|row| row.is_there() && ids.iter().any(|id| id.as_str() == row.user().id)) {
            let why = format!("it lacks {}, which a call by its id shows", row.user().id);
            return Err(listing::incomplete(L::ACTION, None, listed.len(), &why));
        }
    }
    Ok(())
}

/// Reads one list completely, and records its uses. Returns the ids of its rows.
async fn read<L>(cloud: &CloudClient, call: &L, note: &mut impl FnMut(Used<'_>)) -> Result<BTreeSet<String>, ApiError>
where
    L: Listing<Row: UsesImage>,
{
    let rows = cloud.list_all(call).await?;
    for row in rows.iter().filter(|row| row.is_there()) {
        let Some(image_id) = row.image_id().filter(|id| !id.is_empty()) else {
            let why = format!("{} shows no image id", row.user());
            return Err(listing::incomplete(L::ACTION, None, rows.len(), &why));
        };
        note(Used { by: row.user(), image_id, image_name: row.image_name() });
    }
    Ok(rows.iter().map(|row| row.user().id).collect())
}

/// Use of an image in a row.
struct Used<'a> {
    by: User,
    image_id: &'a str,
    image_name: Option<&'a str>,
}

/// A row of a user.
trait UsesImage {
    fn user(&self) -> User;
    fn image_id(&self) -> Option<&str>;

    /// If the call returns it.
    fn image_name(&self) -> Option<&str> {
        None
    }

    /// Deleted ones stay listed for a while.
    fn is_there(&self) -> bool {
        true
    }
}

impl UsesImage for Server {
    fn user(&self) -> User {
        User { kind: UserKind::Workstations, id: self.id.to_string() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }

    fn image_name(&self) -> Option<&str> {
        self.image_name.as_deref()
    }

    fn is_there(&self) -> bool {
        !self.status.as_str().eq_ignore_ascii_case("deleted")
    }
}

impl UsesImage for Desktop {
    fn user(&self) -> User {
        User { kind: UserKind::Desktops, id: self.id.to_string() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }

    fn image_name(&self) -> Option<&str> {
        self.image_name.as_deref()
    }

    fn is_there(&self) -> bool {
        !self.status.as_str().eq_ignore_ascii_case("deleted")
    }
}

impl UsesImage for DesktopGroup {
    fn user(&self) -> User {
        User { kind: UserKind::Pools, id: self.id.clone() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }
}

impl UsesImage for Bundle {
    fn user(&self) -> User {
        User { kind: UserKind::Bundles, id: self.id.clone() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }

    fn image_name(&self) -> Option<&str> {
        self.image_name.as_deref()
    }
}

impl UsesImage for Template {
    fn user(&self) -> User {
        User { kind: UserKind::Templates, id: self.id.clone() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }
}

impl UsesImage for DeliveryGroup {
    fn user(&self) -> User {
        User { kind: UserKind::DeliveryGroups, id: self.id.clone() }
    }

    fn image_id(&self) -> Option<&str> {
        self.image_id.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api::call::ErrorClass;

    fn scope() -> Scope {
        let regions = ["cn-shanghai", "cn-hangzuo", "xx-new-1"].map(str::to_owned).into();
        Scope {
            kinds: BTreeSet::new(),
            home: "cn-home".to_owned(),
            regions,
            listed: ["xx-new-1".to_owned()].into(),
            desktops: BTreeMap::new(),
            workstations: BTreeSet::new(),
        }
    }

    fn refused(code: &str, http_status: Option<u16>) -> Result<Vec<u8>, ApiError> {
        Err(ApiError {
            class: if http_status == Some(400) { ErrorClass::Permanent } else { ErrorClass::Transient },
            code: Some(code.to_owned()),
            message: "no".to_owned(),
            advice: "".into(),
            http_status,
            request_id: None,
            retry_after: None,
        })
    }

    #[test]
    fn nothing_is_in_a_region_that_the_cloud_does_not_have_and_any_other_error_is_one() {
        let scope = scope();
        let unknown = || refused("InvalidRegionId", Some(400));
        assert_eq!(scope.in_region("cn-hangzuo", unknown()), Ok(Vec::new()));
        assert_eq!(scope.in_region("cn-hangzuo", refused("InvalidRegionId.NotFound", Some(404))), Ok(Vec::new()));
        for there in ["cn-shanghai", "cn-home", "xx-new-1"] {
            let error = scope.in_region(there, unknown()).unwrap_err();
            assert!(error.describe().starts_with(&format!("InvalidRegionId: in {there}: no")), "{error}");
        }
        for (code, status) in [
            ("InvalidRegionId", None),
            ("Forbidden.RAM", Some(403)),
            ("ConnectFailed", None),
            ("Timeout", None),
            ("ServiceUnavailable", Some(503)),
            ("InvalidParameter", Some(400)),
        ] {
            let report = scope.in_region("cn-hangzuo", refused(code, status)).unwrap_err().describe();
            assert!(report.contains("in cn-hangzuo: no"), "{report}");
            assert!(report.contains("(perhaps cn-hangzhou), correct `regions`"), "{report}");
        }
    }
}
