//! Probes whether the RAM policy allows the calls of bakes, without an effect.
//!
//! Reading calls use an instance and an image that do not exist ([`NO_SUCH_INSTANCE`], [`NO_SUCH_IMAGE`]). So do
//! changing calls, which then have no effect: the cloud's own ids have another form. If a reading call finds something
//! with these ids, no changing call is made. No call is made twice, and none without an id: an empty list may mean all.
//!
//! The cloud checks the permission before it searches for the object, so the error code shows which of the two is
//! missing.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Check, CheckStatus};
use crate::{
    adapters::{
        cloud::{
            CloudClient,
            actions::{
                CreateImageByInstance, DeleteImage, DescribeBundles, DescribeDesktopGroups, DescribeDesktops,
                DescribeImages, DescribeTemplates, ListAppInstanceGroup, ListImage, ListWuyingServer,
                SetDesktopMaintenance, StartDesktops, StartTaskForDistributeImage, StartWuyingServer, StopDesktops,
                StopWuyingServer,
            },
        },
        config::Config,
    },
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            instance_state::InstanceType,
        },
        bake::settings::{BakeSettings, StopInstance},
        ids::{ImageId, InstanceId, NO_SUCH_IMAGE, NO_SUCH_INSTANCE},
        image::users::UserKind,
    },
};

/// Calls that the schedules need.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one group of calls that is needed or not")]
pub(super) struct Needs {
    /// Kind of the first schedule; the create call is the same for all kinds.
    kind: Option<InstanceType>,
    workstations: Use,
    /// Whether bakes ask for the session of their workstation.
    sessions: bool,
    desktops: Use,
    /// Regions of the cloud desktops.
    pub(super) regions: BTreeSet<String>,
    /// Whether desktops are put into maintenance.
    maintenance: bool,
    delete: bool,
    /// Kinds of users that are listed before an image is deleted, and those that the operator excludes.
    asked: BTreeSet<UserKind>,
    not_asked: Vec<UserKind>,
    /// Regions of the users.
    regions_of_use: BTreeSet<String>,
    home: String,
    distribute: bool,
}

/// Calls for machines of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Nothing,
    Imaged,
    /// Stopped and started.
    Stopped,
}

impl Needs {
    pub(super) fn of(config: &Config) -> Self {
        let settings = || config.schedules.iter().map(|schedule| &*schedule.settings);
        let use_of = |kind: InstanceType| {
            let of_kind = settings().filter(|settings| settings.instance_type == kind);
            let used = of_kind.map(|settings| match settings.stop_instance {
                StopInstance::Never => Use::Imaged,
                StopInstance::IfRunning | StopInstance::Required => Use::Stopped,
            });
            used.max().unwrap_or(Use::Nothing)
        };
        let desktops = settings().filter(|settings| settings.instance_type == InstanceType::CloudDesktop);
        Self {
            kind: settings().next().map(|settings| settings.instance_type),
            workstations: use_of(InstanceType::WuyingServer),
            sessions: settings().any(BakeSettings::asks_for_session),
            desktops: use_of(InstanceType::CloudDesktop),
            regions: desktops.map(|settings| settings.instance_region.clone()).collect(),
            maintenance: settings().any(BakeSettings::keeps_users_out),
            delete: config.schedules.iter().any(|schedule| schedule.keep.is_some()),
            asked: config.cloud.in_use.iter().copied().collect(),
            not_asked: config.not_asked(),
            regions_of_use: config.regions().into_iter().map(str::to_owned).collect(),
            home: config.cloud.region.clone(),
            distribute: settings().any(|settings| !settings.regions.is_empty()),
        }
    }
}

/// A reading call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListCall {
    Images,
    Workstations,
    /// Of this region.
    Desktops(String),
    /// Delivery groups.
    Groups,
    /// At the host of this region; templates belong to none.
    Templates(String),
    /// Desktop pools of this region.
    Pools(String),
    /// Bundles of this region.
    Bundles(String),
    /// Images of this region, by the ids of the desktop service.
    DesktopImages(String),
}

impl ListCall {
    /// Needed calls, each with the severity of a missing permission; and the omitted ones, with the reason.
    pub(super) fn all(needs: &Needs) -> (Vec<(Self, CheckStatus)>, Vec<Check>) {
        // Bakes without a stop list no instances, only sessions; deletions list users.
        let asked = |kind| needs.delete && needs.asked.contains(&kind);
        let weight =
            |used, kind| if used == Use::Stopped || asked(kind) { CheckStatus::Fail } else { CheckStatus::Warn };
        let unneeded = if needs.delete { "left out by in_use of [cloud]" } else { "no schedule has `keep`" };
        let mut calls = vec![(Self::Images, CheckStatus::Fail)];
        let mut left_out = Vec::new();
        if needs.delete && !needs.not_asked.is_empty() {
            let kinds = needs.not_asked.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            let found = format!("{kinds} are not listed as users before an image is deleted");
            left_out.push(Check::warn(
                "in_use",
                found,
                "this is in_use of [cloud]: make sure that none of them uses one",
            ));
        }
        if needs.workstations > Use::Nothing || asked(UserKind::Workstations) {
            let used = if needs.sessions { Use::Stopped } else { needs.workstations };
            calls.push((Self::Workstations, weight(used, UserKind::Workstations)));
        } else {
            left_out.push(Check::skip("appstreaming:ListWuyingServer", "not needed: no schedule has a workstation"));
        }
        let mut regions = needs.regions.clone();
        if asked(UserKind::Desktops) {
            regions.extend(needs.regions_of_use.iter().cloned());
        }
        if regions.is_empty() {
            left_out.push(Check::skip("ecd:DescribeDesktops", "not needed: no schedule has a cloud desktop"));
        }
        let of_desktops = weight(needs.desktops, UserKind::Desktops);
        calls.extend(regions.into_iter().map(|region| (Self::Desktops(region), of_desktops)));
        let mut offer = |name: &str, wanted: bool, offered: Vec<Self>| {
            if wanted {
                calls.extend(offered.into_iter().map(|call| (call, CheckStatus::Fail)));
            } else {
                left_out.push(Check::skip(name, format!("not needed: {unneeded}")));
            }
        };
        let everywhere = |call: fn(String) -> Self| needs.regions_of_use.iter().cloned().map(call).collect::<Vec<_>>();
        let by_desktop_ids = needs.delete && needs.asked.iter().any(|kind| kind.is_of_desktop_service());
        offer("appstreaming:ListAppInstanceGroup", asked(UserKind::DeliveryGroups), vec![Self::Groups]);
        offer("ecd:DescribeTemplates", asked(UserKind::Templates), vec![Self::Templates(needs.home.clone())]);
        offer("ecd:DescribeDesktopGroups", asked(UserKind::Pools), everywhere(Self::Pools));
        offer("ecd:DescribeBundles", asked(UserKind::Bundles), everywhere(Self::Bundles));
        offer("ecd:DescribeImages", by_desktop_ids, everywhere(Self::DesktopImages));
        (calls, left_out)
    }

    fn name(&self) -> String {
        match self {
            Self::Images => "appstreaming:ListImage".to_owned(),
            Self::Workstations => "appstreaming:ListWuyingServer".to_owned(),
            Self::Desktops(region) => format!("ecd:DescribeDesktops in {region}"),
            Self::Groups => "appstreaming:ListAppInstanceGroup".to_owned(),
            Self::Templates(_) => "ecd:DescribeTemplates".to_owned(),
            Self::Pools(region) => format!("ecd:DescribeDesktopGroups in {region}"),
            Self::Bundles(region) => format!("ecd:DescribeBundles in {region}"),
            Self::DesktopImages(region) => format!("ecd:DescribeImages in {region}"),
        }
    }

    /// Calls it for objects that do not exist; returns whether something was found.
    async fn take(&self, cloud: &CloudClient) -> Result<bool, ApiError> {
        let ids = vec![InstanceId::from(NO_SUCH_INSTANCE)];
        let image_ids = vec![NO_SUCH_IMAGE.to_owned()];
        match self {
            Self::Images => {
                let request = ListImage { image_id: Some(ImageId::from(NO_SUCH_IMAGE)), ..ListImage::default() };
                let images = cloud.list_images(&request).await?.value.images;
                Ok(images.iter().any(|image| image.image_id.as_str() == NO_SUCH_IMAGE))
            }
            Self::Workstations => {
                let request = ListWuyingServer { ids, ..ListWuyingServer::default() };
                let servers = cloud.list_servers(&request).await?.value;
                Ok(servers.iter().any(|server| server.id.as_str() == NO_SUCH_INSTANCE))
            }
            Self::Desktops(region) => {
                let request = DescribeDesktops { region: region.clone(), ids, ..DescribeDesktops::default() };
                let desktops = cloud.describe_desktops(&request).await?.value;
                Ok(desktops.iter().any(|desktop| desktop.id.as_str() == NO_SUCH_INSTANCE))
            }
            Self::Groups => {
                let image_id = Some(NO_SUCH_IMAGE.to_owned());
                let request = ListAppInstanceGroup { image_id, ..ListAppInstanceGroup::default() };
                cloud.list_all(&request).await.map(|_| false)
            }
            Self::Templates(region) => {
                let image_id = Some(NO_SUCH_IMAGE.to_owned());
                let host_region = region.clone();
                let request = DescribeTemplates { host_region, image_id, ..DescribeTemplates::default() };
                cloud.list_all(&request).await.map(|_| false)
            }
            Self::Pools(region) => {
                let region = region.clone();
                let request = DescribeDesktopGroups { region, image_ids, ..DescribeDesktopGroups::default() };
                cloud.list_all(&request).await.map(|_| false)
            }
            Self::Bundles(region) => {
                let request = DescribeBundles { region: region.clone(), image_ids, ..DescribeBundles::default() };
                cloud.list_all(&request).await.map(|_| false)
            }
            Self::DesktopImages(region) => {
                let image_name = Some(NO_SUCH_IMAGE.to_owned());
                let request = DescribeImages { region: region.clone(), image_name, ..DescribeImages::default() };
                cloud.list_all(&request).await.map(|_| false)
            }
        }
    }

    /// The check, and whether something was found that should not exist.
    pub(super) async fn check(self, cloud: &CloudClient, weight: CheckStatus) -> (Check, bool) {
        let taken = self.take(cloud).await;
        let found = matches!(taken, Ok(true));
        (judged(&self.name(), weight, taken.err().as_ref()), found)
    }
}

/// A changing call, without an object to change.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    Create(InstanceType),
    StopWorkstations,
    StartWorkstations,
    /// In this region: permissions are the same in all.
    StopDesktops(String),
    /// Likewise.
    StartDesktops(String),
    /// Likewise.
    LeaveMaintenance(String),
    Delete,
    Distribute,
}

impl Probe {
    /// Needed calls, and the omitted ones, with the reason.
    pub(super) fn all(needs: &Needs) -> (Vec<Self>, Vec<Check>) {
        let mut probes = Vec::new();
        let mut left_out = Vec::new();
        let mut offer = |name: &str, probe: Option<Self>, why: &str| match probe {
            Some(probe) => probes.push(probe),
            None => left_out.push(Check::skip(name, format!("not needed: {why}"))),
        };
        offer("appstreaming:CreateImageByInstance", needs.kind.map(Self::Create), "there are no schedules");
        let stopped = "no schedule with a workstation has stop_instance";
        let needed = |probe| (needs.workstations == Use::Stopped).then_some(probe);
        offer("appstreaming:StopWuyingServer", needed(Self::StopWorkstations), stopped);
        offer("appstreaming:StartWuyingServer", needed(Self::StartWorkstations), stopped);
        let stopped = "no schedule with a cloud desktop has stop_instance";
        let region = needs.regions.first().filter(|_| needs.desktops == Use::Stopped);
        offer("ecd:StopDesktops", region.cloned().map(Self::StopDesktops), stopped);
        offer("ecd:StartDesktops", region.cloned().map(Self::StartDesktops), stopped);
        let kept_out = needs.regions.first().filter(|_| needs.maintenance).cloned().map(Self::LeaveMaintenance);
        offer("ecd:SetDesktopMaintenance", kept_out, "no schedule with a cloud desktop has `maintenance`");
        offer("appstreaming:DeleteImage", needs.delete.then_some(Self::Delete), "no schedule has `keep`");
        let distribute = needs.distribute.then_some(Self::Distribute);
        offer("appstreaming:StartTaskForDistributeImage", distribute, "no schedule has `regions`");
        (probes, left_out)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "appstreaming:CreateImageByInstance",
            Self::StopWorkstations => "appstreaming:StopWuyingServer",
            Self::StartWorkstations => "appstreaming:StartWuyingServer",
            Self::StopDesktops(_) => "ecd:StopDesktops",
            Self::StartDesktops(_) => "ecd:StartDesktops",
            Self::LeaveMaintenance(_) => "ecd:SetDesktopMaintenance",
            Self::Delete => "appstreaming:DeleteImage",
            Self::Distribute => "appstreaming:StartTaskForDistributeImage",
        }
    }

    pub(super) async fn check(self, cloud: &CloudClient) -> Check {
        let instance = InstanceId::from(NO_SUCH_INSTANCE);
        let image_id = ImageId::from(NO_SUCH_IMAGE);
        let ids = vec![instance.clone()];
        let outcome = match &self {
            Self::Create(kind) => {
                let request = CreateImageByInstance {
                    image_name: "imagebaked-doctor".to_owned(),
                    description: None,
                    instance_id: instance,
                    sub_instance_id: None,
                    instance_type: *kind,
                    auto_clean_userdata: None,
                    copy_profile: None,
                    disk_type: None,
                    biz_type: None,
                    product_type: None,
                    tags: BTreeMap::new(),
                };
                match cloud.create_image(&request).await {
                    Ok(answer) => {
                        let found =
                            format!("{} is being made of an instance that exists nowhere", answer.value.image_id);
                        return Check::warn(self.name(), found, "delete that image in the console, and report this");
                    }
                    Err(error) => Err(error),
                }
            }
            Self::StopWorkstations => cloud.stop_servers(&StopWuyingServer { ids, force: None }).await.map(|_| ()),
            Self::StartWorkstations => cloud.start_servers(&StartWuyingServer { ids }).await.map(|_| ()),
            Self::StopDesktops(region) => {
                let request = StopDesktops { region: region.clone(), ids, stopped_mode: None };
                cloud.stop_desktops(&request).await.map(|_| ())
            }
            Self::StartDesktops(region) => {
                cloud.start_desktops(&StartDesktops { region: region.clone(), ids }).await.map(|_| ())
            }
            Self::LeaveMaintenance(region) => {
                let request = SetDesktopMaintenance { region: region.clone(), ids, enter: false };
                cloud.set_maintenance(&request).await.map(|_| ())
            }
            Self::Delete => cloud.delete_image(&DeleteImage { image_id }).await.map(|_| ()),
            Self::Distribute => {
                let request = StartTaskForDistributeImage {
                    image_id,
                    version_id: None,
                    // Without regions, so that nothing happens even with an image.
                    destination_regions: Vec::new(),
                    source_region: None,
                    product_type: None,
                };
                cloud.distribute_image(&request).await.map(|_| ())
            }
        };
        // Bakes go on without the maintenance.
        let is_needed = !matches!(self, Self::LeaveMaintenance(_));
        let weight = if is_needed { CheckStatus::Fail } else { CheckStatus::Warn };
        judged(self.name(), weight, outcome.err().as_ref())
    }
}

/// Check of the permission for a call, by its error or success; `weight` is the status if it is missing.
fn judged(name: &str, weight: CheckStatus, refused: Option<&ApiError>) -> Check {
    let Some(error) = refused else { return Check::ok(name, "allowed") };
    match right_of(error) {
        Right::Given => Check::ok(name, format!("allowed ({})", error.code.as_deref().unwrap_or_default())),
        Right::Denied => {
            let action = name.split(' ').next().unwrap_or(name);
            let found = format!("denied: {error}");
            let advice = format!("grant {action} on resource * to the RAM user or role");
            Check::new(name, weight, found, Some(advice))
        }
        Right::Foreign => Check::fail(name, format!("{NOT_THE_CLOUD} {error}"), &*error.advice),
        Right::Untold if error.class == ErrorClass::Credential => Check::fail(name, error.to_string(), &*error.advice),
        Right::Untold => Check::warn(name, format!("not known: {error}"), "try again later"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Right {
    Given,
    Denied,
    /// What answered is not the cloud.
    Foreign,
    Untold,
}

/// Beginning of what is found where a proxy answers in place of the cloud: no bake works.
pub(super) const NOT_THE_CLOUD: &str = "no answer of the cloud:";

fn right_of(error: &ApiError) -> Right {
    const DENIALS: [&str; 4] = ["Forbidden", "NoPermission", "AccessDenied", "Unauthorized"];
    // Codes of the gateway, before the check of permissions.
    const BEFORE: [&str; 6] =
        ["InvalidApi", "InvalidProduct", "InvalidProtocol", "InvalidVersion", "InvalidAction", "MissingSecurityToken"];
    // Codes about the object of the call.
    const OF_THE_THING: [&str; 6] =
        ["Missing", "Invalid", "Incorrect", "ImageDistribute.", "ImageDelete", "ExceedBuilderQuota"];
    // A proxy's or gateway's, under whatever status.
    const FOREIGN: [&str; 2] = ["AnswerNotJson", "AnswerNotFromApi"];
    let code = error.code.as_deref().unwrap_or_default();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| code.starts_with(beginning));
    let nameless = code == "HttpStatus" && matches!(error.http_status, Some(401 | 403));
    if begins(&FOREIGN) {
        Right::Foreign
    } else if begins(&DENIALS) || nameless {
        Right::Denied
    } else if error.class == ErrorClass::Credential || begins(&BEFORE) {
        Right::Untold
    } else if begins(&OF_THE_THING) || code.contains("NotFound") || code.contains("NotExist") {
        Right::Given
    } else {
        Right::Untold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api::codes::{self, Idempotency};

    #[test]
    fn the_error_shows_whether_the_right_is_granted() {
        for (code, status, right) in [
            ("Instance.NotFound", 400, Right::Given),
            ("DesktopInstance.NotFound", 400, Right::Given),
            ("InvalidDesktopId.NotFound", 404, Right::Given),
            ("Image.NotExist", 400, Right::Given),
            ("MissingImageId", 400, Right::Given),
            ("InvalidParameter", 400, Right::Given),
            ("ExceedBuilderQuota", 400, Right::Given),
            ("ImageDistribute.TargetDistributeRegionListEmpty", 400, Right::Given),
            ("Forbidden.RAM", 403, Right::Denied),
            ("Forbidden.NoPermission", 403, Right::Denied),
            ("NoPermission", 400, Right::Denied),
            ("HttpStatus", 403, Right::Denied),
            ("HttpStatus", 502, Right::Untold),
            ("AnswerNotJson", 200, Right::Foreign),
            ("AnswerNotFromApi", 403, Right::Foreign),
            ("InvalidAccessKeyId.NotFound", 404, Right::Untold),
            ("InvalidSecurityToken.Expired", 403, Right::Untold),
            ("InvalidTimeStamp.Expired", 400, Right::Untold),
            ("InvalidApi.NotFound", 404, Right::Untold),
            ("SignatureDoesNotMatch", 400, Right::Untold),
            ("Throttling.User", 429, Right::Untold),
            ("InternalError", 400, Right::Untold),
            ("LastTokenProcessing", 403, Right::Untold),
            ("Timeout", 0, Right::Untold),
        ] {
            let error = ApiError {
                class: codes::judge(Some(code), status, Idempotency::NonIdempotent).class,
                code: Some(code.to_owned()),
                message: String::new(),
                advice: "".into(),
                http_status: Some(status),
                request_id: None,
                retry_after: None,
            };
            assert_eq!(right_of(&error), right, "{code} {status}");
        }
    }
}
