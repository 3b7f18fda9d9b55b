//! Adoption: a person assigns images to a line, own ones that lost their line, or others.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::inventory_scan::is_ours;
use crate::{
    adapters::{
        cloud::actions::{Image, ImageStatus, ListImage},
        config,
        control::{MOST_ADOPTED, Reply, Wanted},
        store::{NewImage, StoreError},
    },
    app::daemon::{context::DaemonContext, engine::EngineRequest, remote_images::remote_image},
    domain::{
        api::{
            call::ApiError,
            gmt_offset::{self, GmtOffset},
            instance_state::InstanceType,
        },
        error::chain,
        ids::{ImageId, InstanceId, LineId, ScheduleId},
        image::reconcile::Tagged,
        schedule::Instances,
    },
};

/// Number of images that a message names.
const NAMED: usize = 5;

/// Finds the images and adopts them, or reports which it would adopt.
pub async fn adopt(
    shared: &DaemonContext,
    schedule: &str,
    instance: Option<&InstanceId>,
    wanted: &Wanted,
    dry_run: bool,
    who: String,
) -> Reply {
    if let Wanted::Images(ids) = wanted
        && ids.len() > MOST_ADOPTED
    {
        let message = format!(
            "{} images are too many to adopt at once: at most {MOST_ADOPTED}; --name and --tag take any number",
            ids.len()
        );
        return Reply::Failed { message };
    }
    let target = match target(shared, schedule, instance) {
        Ok(target) => target,
        Err(reply) => return reply,
    };
    let images = match find(shared, wanted).await {
        Ok(images) => images,
        Err(api_error) => {
            return Reply::Failed { message: format!("the cloud does not list its images: {}", chain(&api_error)) };
        }
    };
    if let Some(message) = not_found(wanted, &images) {
        return Reply::NotFound { message };
    }
    let owner = shared.config().daemon.owner.clone();
    let now = shared.clock.now();
    let versions = match shared.store.reader().versions().await {
        Ok(versions) => versions,
        Err(error) => return Reply::Failed { message: chain(&error) },
    };
    let zone = match shared.store.reader().gmt_offset().await {
        Ok(zone) => zone,
        Err(error) => return Reply::Failed { message: chain(&error) },
    };
    let mut new: Vec<NewImage> =
        images.iter().map(|image| candidate(image, &target, (&owner, &versions), zone, now)).collect();
    if let Err(error) = keep_for_their_lines(shared, &images, &owner, &mut new).await {
        return Reply::Failed { message: chain(&error) };
    }
    // Versions are assigned in this order.
    new.sort_by_key(|image| image.slot);
    match shared.order(|reply| EngineRequest::AdoptImages { images: new, dry_run, who, reply }).await {
        Ok(images) => Reply::Adopted { images },
        Err(error) => error.to_reply(),
    }
}

/// The line that adopts.
pub(super) struct AdoptionTarget {
    pub(super) schedule_id: ScheduleId,
    pub(super) instance: InstanceId,
    pub(super) line: LineId,
    instance_type: InstanceType,
}

pub(super) fn target(
    shared: &DaemonContext,
    schedule: &str,
    instance: Option<&InstanceId>,
) -> Result<AdoptionTarget, Reply> {
    let in_force = shared.config();
    let Some(found) = in_force.schedule(schedule) else {
        return Err(Reply::NotFound { message: config::no_schedule(schedule, in_force.schedule_words()) });
    };
    let instance = match (&found.instances, instance) {
        (Instances::One(one), None) => one,
        (instances, Some(wanted)) => {
            let known = instances.as_slice().iter();
            let unknown = || Reply::NotFound {
                message: config::no_instance(schedule, wanted.as_str(), known.clone().map(InstanceId::as_str)),
            };
            known.clone().find(|one| *one == wanted).ok_or_else(unknown)?
        }
        (Instances::Many(many), None) => {
            let many: Vec<&str> = many.iter().map(InstanceId::as_str).collect();
            let message =
                format!("{schedule} has a line for each instance; add --instance with one of {}", many.join(", "));
            return Err(Reply::Failed { message });
        }
    };
    Ok(AdoptionTarget {
        schedule_id: found.id.clone(),
        instance: instance.clone(),
        line: found.line(instance),
        instance_type: found.settings.instance_type,
    })
}

async fn find(shared: &DaemonContext, wanted: &Wanted) -> Result<Vec<Image>, ApiError> {
    let cloud = &shared.cloud;
    match wanted {
        Wanted::Images(ids) => {
            let mut images = Vec::with_capacity(ids.len());
            let mut asked = HashSet::new();
            for image_id in ids.iter().filter(|id| asked.insert(*id)) {
                let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
                let page = cloud.list_images(&request).await?.value;
                images.extend(page.images.into_iter().find(|image| image.image_id == *image_id));
            }
            Ok(images)
        }
        Wanted::Name(pattern) => {
            // The cloud matches parts of the name; the exact match is decided here.
            let longest = pattern.split('*').max_by_key(|part| part.len()).filter(|part| !part.is_empty());
            let filter = ListImage { image_name: longest.map(str::to_owned), ..ListImage::default() };
            let mut images = cloud.list_all_images(&filter).await?;
            images.retain(|image| fits(pattern, image.image_name.as_deref().unwrap_or_default()));
            Ok(images)
        }
        Wanted::Tag(key, value) => {
            let filter = ListImage { tags: [(key.clone(), value.clone())].into(), ..ListImage::default() };
            cloud.list_all_images(&filter).await
        }
    }
}

/// What of `wanted` the cloud does not have: then nothing is adopted, so that a mistyped id is not passed over.
fn not_found(wanted: &Wanted, images: &[Image]) -> Option<String> {
    match wanted {
        Wanted::Images(ids) => {
            let found: HashSet<&ImageId> = images.iter().map(|image| &image.image_id).collect();
            let missing: Vec<&ImageId> = ids.iter().filter(|id| !found.contains(id)).collect();
            let named: Vec<String> = missing.iter().take(NAMED).map(|id| format!("{:?}", id.as_str())).collect();
            let more = match missing.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let nothing = if images.is_empty() { "" } else { "; nothing was adopted" };
            (!missing.is_empty()).then(|| format!("the cloud has no image {}{more}{nothing}", named.join(", ")))
        }
        _ if !images.is_empty() => None,
        Wanted::Name(pattern) if pattern.contains('*') => {
            Some(format!("the cloud has no image with a name like {pattern:?}"))
        }
        Wanted::Name(name) => {
            Some(format!("the cloud has no image of the name {name:?}; a `*` in it matches any text"))
        }
        Wanted::Tag(key, value) => Some(format!("the cloud has no image with the tag {key:?} and the value {value:?}")),
    }
}

fn candidate(
    image: &Image,
    target: &AdoptionTarget,
    (owner, versions): (&str, &HashMap<LineId, u32>),
    zone: Option<GmtOffset>,
    now: DateTime<Utc>,
) -> NewImage {
    let tagged = Tagged::read_plausible(&remote_image(image), owner, versions, now);
    let shown = image.gmt_create.as_deref().and_then(gmt_offset::parse);
    let made_at = match (&tagged, shown) {
        (Some(tagged), shown) => gmt_offset::made_at(shown, zone, tagged.slot, now),
        // Of images of others, which no rule counts, nothing shows the zone.
        (None, Some(shown)) => zone.map_or_else(|| shown.and_utc(), |zone| zone.instant(shown)).min(now),
        (None, None) => now,
    };
    NewImage {
        image_id: image.image_id.clone(),
        image_name: image.image_name.clone().unwrap_or_default(),
        version_id: image.version_id.clone(),
        schedule_id: target.schedule_id.clone(),
        instance_id: target.instance.clone(),
        line: target.line.clone(),
        version: tagged.as_ref().map(|tagged| tagged.version),
        slot: tagged.map_or(made_at, |tagged| tagged.slot),
        made_at,
        ours: is_ours(image, owner),
        obstacle: obstacle(image, target.instance_type),
    }
}

/// Refuses images of other lines in force: the rules of this line would delete what that one needs.
async fn keep_for_their_lines(
    shared: &DaemonContext,
    images: &[Image],
    owner: &str,
    new: &mut [NewImage],
) -> Result<(), StoreError> {
    let config = shared.config();
    let in_force: HashSet<LineId> = config.schedules.iter().flat_map(|schedule| schedule.lines()).collect();
    let tagged: HashMap<&ImageId, LineId> = images
        .iter()
        .filter_map(|image| Some((&image.image_id, Tagged::read(&remote_image(image), owner)?.line)))
        .collect();
    for image in new.iter_mut().filter(|image| image.obstacle.is_none()) {
        let recorded = shared.store.reader().image(&image.image_id).await?.map(|row| row.image.line);
        let line = recorded.as_ref().or_else(|| tagged.get(&image.image_id));
        image.obstacle = line.filter(|line| **line != image.line && in_force.contains(*line)).map(|line| {
            format!("it is an image of {line}, which is in the file; only lines that left it give images away")
        });
    }
    Ok(())
}

/// Reason why the line of such instances cannot adopt an image.
fn obstacle(image: &Image, instance_type: InstanceType) -> Option<String> {
    if image.status != ImageStatus::Available {
        return Some(format!("it is {}, not AVAILABLE", image.status));
    }
    let other = match instance_type {
        InstanceType::CloudDesktop => InstanceType::WuyingServer,
        InstanceType::WuyingServer => InstanceType::CloudDesktop,
    };
    (image.product_type.as_deref() == Some(other.as_str()))
        .then(|| format!("it is for a {}, and the line is of a {}", other.as_str(), instance_type.as_str()))
}

/// Whether `text` matches `pattern`, in which a `*` matches any text. Each part between two stars is taken where it comes
/// first, which leaves the most text for the others: one walk, however many stars.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let (parts, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(inner) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else { return false };
    let found = parts.split('*').try_fold(inner, |left, part| left.find(part).map(|at| &left[at + part.len()..]));
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::{Image, NAMED, Wanted, fits, not_found};

    fn images(ids: &[&str]) -> Vec<Image> {
        ids.iter().map(|id| serde_json::from_value(serde_json::json!({ "ImageId": id })).unwrap()).collect()
    }

    #[test]
    fn what_the_cloud_does_not_have_is_named() {
        let ids = |ids: &[&str]| Wanted::Images(ids.iter().map(|id| (*id).into()).collect());
        let found = images(&["imgc-1"]);
        assert_eq!(not_found(&ids(&["imgc-1"]), &found), None);
        assert_eq!(not_found(&ids(&["imgc-x"]), &[]).unwrap(), "the cloud has no image \"imgc-x\"");
        let partly = not_found(&ids(&["imgc-1", "imgc-x"]), &found).unwrap();
        assert_eq!(partly, "the cloud has no image \"imgc-x\"; nothing was adopted");
        let many: Vec<String> = (0..NAMED + 3).map(|n| format!("x-{n}")).collect();
        let many = not_found(&Wanted::Images(many.iter().map(|id| id.as_str().into()).collect()), &[]).unwrap();
        assert!(many.ends_with("\"x-4\" and 3 more"), "{many}");
        for (wanted, word) in [
            (Wanted::Name("golden".to_owned()), "\"golden\"; a `*`"),
            (Wanted::Name("g*".to_owned()), "a name like \"g*\""),
            (Wanted::Tag("k".to_owned(), "v".to_owned()), "the tag \"k\" and the value \"v\""),
        ] {
            assert!(not_found(&wanted, &[]).unwrap().contains(word));
            assert_eq!(not_found(&wanted, &found), None);
        }
    }

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, text, yes) in [
            ("golden", "golden", true),
            ("golden", "golden-v1", false),
            ("golden-*", "golden-v1", true),
            ("*-v1", "golden-v1", true),
            ("g*n*1", "golden-v1", true),
            ("*", "", true),
            ("桌*", "桌面", true),
            ("g*x", "golden", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("**", "", true),
            ("*a**b*", "xaxbx", true),
            ("*b*a*", "ab", false),
            ("a*b*c", "abbc", true),
        ] {
            assert_eq!(fits(pattern, text), yes, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_are_one_walk() {
        // Trying each place of each star would not end.
        assert!(!fits(&format!("{}b", "*a".repeat(499)), &"a".repeat(1000)));
    }
}
