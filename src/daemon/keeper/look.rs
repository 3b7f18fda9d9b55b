//! A look at the cloud: which images of ours are there, and who uses them. Written into the ledger as it was seen; what
//! follows from it is decided elsewhere.

use std::collections::{BTreeMap, HashMap};

use crate::{
    bake::{
        call::{Class, Refusal},
        identity::TAG_OWNER,
    },
    cloud::{
        CloudClient,
        actions::{DescribeDesktops, Image, ImageStatus, ListImage},
    },
    config::Config,
    daemon::{Shared, calls::owned_images},
    ids::ImageId,
    store::{ImageRow, Sight, StoreError},
};

/// So many images that are not in the listing are asked for by themselves: a listing by tag does not show one that lost its
/// tags. That more are lost at once is no accident of theirs.
const ASKED_SINGLY: usize = 500;

/// Looks at `images`, and notes what it saw, or why it could not see all. Who uses them is asked only where that can
/// matter: it takes rights that nobody needs who deletes nothing. Answers with all images of ours where it saw them all.
pub(super) async fn look(
    shared: &Shared,
    config: &Config,
    images: &[ImageRow],
    ask_users: bool,
) -> Result<Option<Vec<Image>>, StoreError> {
    let (sights, listed, problem) = match sights(&shared.cloud, config, images, ask_users).await {
        Ok((sights, listed)) => (sights, Some(listed), None),
        Err(refusal) => (Vec::new(), None, Some(refusal.told())),
    };
    if let Some(problem) = &problem {
        tracing::warn!(
            problem,
            "the images in the cloud could not be looked at as a whole; none is deleted: {problem}"
        );
    }
    shared.store.record_look(&sights, problem.as_deref(), shared.clock.now()).await?;
    Ok(listed)
}

async fn sights(
    cloud: &CloudClient,
    config: &Config,
    images: &[ImageRow],
    ask_users: bool,
) -> Result<(Vec<Sight>, Vec<Image>), Refusal> {
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
    let users = if ask_users { users(cloud, config).await? } else { BTreeMap::new() };
    Ok((images.iter().map(|row| sight(&row.image.image_id, &rows, &users, owner)).collect(), listed))
}

/// The list by our tag is not what it should be: nothing is concluded from it.
fn astray(count: usize) -> Refusal {
    Refusal {
        class: Class::Permanent,
        code: None,
        message: format!("{count} images of the ledger are not in the cloud's list of our tag"),
        advice: "Check the account and [daemon] owner; if they are gone indeed, `imagebaked reconcile` names them."
            .into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

fn sight(
    image_id: &ImageId,
    rows: &HashMap<ImageId, Vec<Image>>,
    users: &BTreeMap<ImageId, Vec<String>>,
    owner: &str,
) -> Sight {
    let rows = rows.get(image_id).map(Vec::as_slice).unwrap_or_default();
    let there: Vec<&Image> = rows.iter().filter(|image| image.status != ImageStatus::Deleted).collect();
    Sight {
        image_id: image_id.clone(),
        listed: !there.is_empty(),
        // An image may be listed once for each of its versions; all of them go with it.
        available: !there.is_empty() && there.iter().all(|image| image.status == ImageStatus::Available),
        ours: !there.is_empty() && there.iter().all(|image| is_ours(image, owner)),
        used_by: users.get(image_id).cloned().unwrap_or_default(),
    }
}

/// Our tag, and the account's own image: a shared one is in use by others.
pub(super) fn is_ours(image: &Image, owner: &str) -> bool {
    image.tags.get(TAG_OWNER).map(String::as_str) == Some(owner)
        && image.image_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("user"))
}

/// Who reports to use which image: workstations, cloud desktops of the regions that the file knows, delivery groups.
async fn users(cloud: &CloudClient, config: &Config) -> Result<BTreeMap<ImageId, Vec<String>>, Refusal> {
    let mut users: BTreeMap<ImageId, Vec<String>> = BTreeMap::new();
    let mut uses = |image: Option<&str>, by: &str| {
        if let Some(image) = image.filter(|image| !image.is_empty()) {
            users.entry(ImageId::from(image)).or_default().push(by.to_owned());
        }
    };
    for server in cloud.list_all_servers().await? {
        uses(server.image_id.as_deref(), server.id.as_str());
    }
    for region in super::regions(config) {
        let with_pools = DescribeDesktops { region, with_pools: true, ..DescribeDesktops::default() };
        for desktop in cloud.list_all_desktops(&with_pools).await? {
            uses(desktop.image_id.as_deref(), desktop.id.as_str());
        }
    }
    for group in cloud.list_all_groups().await? {
        uses(group.image_id.as_ref().map(ImageId::as_str), &group.id);
    }
    for by in users.values_mut() {
        by.sort_unstable();
        by.dedup();
    }
    Ok(users)
}

/// Who uses this one image, asked right before it is deleted.
pub(super) async fn users_of(
    cloud: &CloudClient,
    config: &Config,
    image_id: &ImageId,
    _name: &str,
) -> Result<Vec<String>, Refusal> {
    Ok(users(cloud, config).await?.remove(image_id).unwrap_or_default())
}
