//! Inventory scan: lists our images in the cloud and their users, and stores the result in the history. Other modules
//! derive the actions.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    distribute::replicas,
    users::{self, Scope},
};
use crate::{
    adapters::{
        cloud::{
            CloudClient,
            actions::{Image, ImageStatus, ListImage},
            listing::INCOMPLETE,
        },
        config::Config,
        store::{ImageObservation, ImageRow, InventoryScan, ReplicaObservation, StoreError},
    },
    app::daemon::{context::DaemonContext, remote_images::owned_images},
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            identity::TAG_OWNER,
        },
        health::{Problem, ProblemCode, Severity, Subject, SubjectKind, one_line},
        ids::ImageId,
        image::users::Uses,
    },
};

/// Maximum number of unlisted images that are requested by id: a list by tag omits images that lost their tags. More
/// lost at once have another cause.
const ASKED_SINGLY: usize = 500;

/// Time after which a failing scan is no transient fault.
const SCAN_AGAIN: TimeDelta = TimeDelta::hours(1);
/// Time after which an incomplete list is no transient fault.
const LIST_PROBLEM: TimeDelta = TimeDelta::hours(24);

/// Problem of the last scan of the images, once it has lasted. The message has the call, its count and its rows.
pub(crate) fn scan_problem(scan: &InventoryScan, now: DateTime<Utc>) -> Option<Problem> {
    let InventoryScan { problem: Some(problem), incomplete_since: Some(since), .. } = scan else { return None };
    let lasted = now - since;
    if lasted < SCAN_AGAIN {
        return None;
    }
    let begins = |codes: &[&str]| codes.iter().any(|code| problem.starts_with(code));
    let (code, severity, command) = if begins(&["Forbidden", "NoPermission"]) {
        (ProblemCode::RightsMissing, Severity::Warning, "imagebaked doctor")
    } else if begins(&[INCOMPLETE]) && lasted >= LIST_PROBLEM {
        (ProblemCode::ListIncomplete, Severity::Problem, "imagebaked prune --dry-run --ask-cloud")
    } else {
        (ProblemCode::ListIncomplete, Severity::Warning, "imagebaked prune --dry-run --ask-cloud")
    };
    Some(Problem::new(
        code,
        severity,
        Subject::only(SubjectKind::Cloud),
        *since,
        format!("the images in the cloud cannot be listed as a whole, so none is deleted: {}", one_line(problem)),
        Some(command.to_owned()),
    ))
}

/// Scans `images`, and stores the result, or why it is incomplete. Users are listed only if they matter, because that
/// needs permissions which nobody needs who deletes nothing. Returns all own images if the scan was complete.
pub(super) async fn scan(
    shared: &DaemonContext,
    config: &Config,
    images: &[ImageRow],
    ask_users: bool,
) -> Result<Option<Vec<Image>>, StoreError> {
    let regions = shared.store.reader().replica_regions().await?;
    let scope = ask_users.then(|| Scope::of(config).with_instances_of(config, images).with_regions(regions));
    let (observed, listed, problem) = match observations(&shared.cloud, config, images, scope).await {
        Ok((observed, listed)) => (observed, Some(listed), None),
        Err(error) => (Observed::default(), None, Some(error.describe())),
    };
    if let Some(problem) = &problem {
        tracing::warn!(problem, "the inventory scan is not complete; no image is deleted: {problem}");
    }
    shared.store.record_scan(&observed.images, &observed.replicas, problem.as_deref(), shared.clock.now()).await?;
    Ok(listed)
}

/// What a scan showed of the images of the history.
#[derive(Debug, Default)]
struct Observed {
    images: Vec<ImageObservation>,
    replicas: Vec<ReplicaObservation>,
}

async fn observations(
    cloud: &CloudClient,
    config: &Config,
    images: &[ImageRow],
    scope: Option<Scope>,
) -> Result<(Observed, Vec<Image>), ApiError> {
    let owner = config.daemon.owner.as_str();
    let listed = owned_images(cloud, owner).await?;
    let mut rows: HashMap<ImageId, Vec<Image>> = HashMap::new();
    for image in &listed {
        rows.entry(image.image_id.clone()).or_default().push(image.clone());
    }
    let unlisted: Vec<&ImageId> =
        images.iter().map(|row| &row.image.image_id).filter(|id| !rows.contains_key(*id)).collect();
    if unlisted.len() > ASKED_SINGLY {
        return Err(astray(unlisted.len()));
    }
    for image_id in unlisted {
        let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
        let page = cloud.list_images(&request).await?.value;
        let found: Vec<Image> = page.images.into_iter().filter(|image| image.image_id == *image_id).collect();
        if !found.is_empty() {
            rows.insert(image_id.clone(), found);
        }
    }
    let uses = match scope {
        Some(scope) => users::all_uses(cloud, &scope.with_regions_of(rows.values().flatten())).await?,
        None => Uses::default(),
    };
    let rows_of = |row: &ImageRow| rows.get(&row.image.image_id).map(Vec::as_slice).unwrap_or_default();
    let observed = Observed {
        images: images.iter().map(|row| observe(row, rows_of(row), &uses, owner)).collect(),
        replicas: replicas(&listed, &listed_regions(&listed)),
    };
    Ok((observed, listed))
}

/// Those in which the cloud lists images.
fn listed_regions(images: &[Image]) -> Vec<String> {
    let regions: BTreeSet<&str> = images.iter().flat_map(Image::listed_regions).collect();
    regions.into_iter().map(str::to_owned).collect()
}

/// The list by tag is implausible: it is not used.
fn astray(count: usize) -> ApiError {
    ApiError {
        class: ErrorClass::Permanent,
        code: None,
        message: format!("{count} images of the history are not in the cloud's list of our tag"),
        advice: "Check the account and [daemon] owner; if they are gone indeed, `imagebaked reconcile` names them."
            .into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

fn observe(row: &ImageRow, rows: &[Image], uses: &Uses, owner: &str) -> ImageObservation {
    let image_id = &row.image.image_id;
    let there: Vec<&Image> = rows.iter().filter(|image| image.status != ImageStatus::Deleted).collect();
    let known_as = users::known_as(image_id.as_str(), &row.image.name, rows);
    ImageObservation {
        image_id: image_id.clone(),
        listed: !there.is_empty(),
        // An image may be listed once per version; they are deleted together.
        available: !there.is_empty() && there.iter().all(|image| image.status == ImageStatus::Available),
        ours: !there.is_empty() && there.iter().all(|image| is_ours(image, owner)),
        used_by: uses.users_of(&known_as).iter().map(ToString::to_string).collect(),
    }
}

/// The owner's tag, and an image of this account: a shared one is in use by others.
pub(super) fn is_ours(image: &Image, owner: &str) -> bool {
    image.tags.get(TAG_OWNER).map(String::as_str) == Some(owner)
        && image.image_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("user"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::cloud::listing;

    #[test]
    fn a_list_that_stays_incomplete_is_a_warning_first_and_a_problem_after_a_day() {
        let since = DateTime::UNIX_EPOCH;
        let judged = |problem: &str, hours: i64| {
            let now = since + TimeDelta::hours(hours);
            let scan = InventoryScan {
                at: now,
                problem: Some(problem.to_owned()),
                incomplete_since: Some(since),
                whole_at: None,
            };
            scan_problem(&scan, now).map(|problem| (problem.code, problem.severity, problem.message))
        };
        let lie = listing::incomplete("DescribeDesktops", Some(7), 3, "there are fewer rows than its count").describe();
        assert_eq!(judged(&lie, 0), None);
        let (code, severity, message) = judged(&lie, 1).unwrap();
        assert_eq!((code, severity), (ProblemCode::ListIncomplete, Severity::Warning));
        for part in ["DescribeDesktops", "a count of 7", "3 rows"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(judged(&lie, 23).unwrap().1, Severity::Warning);
        assert_eq!(judged(&lie, 24).unwrap().1, Severity::Problem);

        let (code, severity, _) = judged("Forbidden.RAM: not authorized", 30).unwrap();
        assert_eq!((code, severity), (ProblemCode::RightsMissing, Severity::Warning));
        assert_eq!(judged("Timeout: no answer", 30).unwrap().1, Severity::Warning);
    }
}
