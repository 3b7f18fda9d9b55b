//! Lists of what uses images besides instances: pools, bundles, templates and delivery groups.

use serde_json::{Value, json};

use super::{
    call::SimCall,
    origin::is_in,
    paging::{numbered, page_after, page_of},
};
use crate::sim::{
    codes::SimFailure,
    users::{SimUserKind, UserSpec},
    world::World,
};

/// Delivery groups are only what makes an image used: `POST /_sim/groups` puts them there.
pub(super) fn list_app_instance_group(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (size, number) = numbered(call.params, 10)?;
    call.params.require("ProductType")?;
    let image = call.params.get("AppCenterImageId");
    let found: Vec<Value> = world
        .users()
        .list(SimUserKind::Group)
        .map(|group| (group, world.shown_image(&group.image_id, None, false).0))
        .filter(|(_, id)| image.is_none_or(|wanted| wanted == id))
        .map(|(group, id)| json!({"AppInstanceGroupId": group.id, "AppCenterImageId": id, "Status": "PUBLISHED"}))
        .collect();
    Ok(json!({
        "TotalCount": found.len(), "PageNumber": number, "PageSize": size,
        "AppInstanceGroupModels": page_of(found, size, number),
    }))
}

/// Those of one kind that a call of the desktop service lists, with their images as it shows them.
fn desktop_users<'w>(
    world: &'w World,
    kind: SimUserKind,
    region: &'w str,
    images: &[&str],
) -> Vec<(&'w UserSpec, String, Option<String>)> {
    let users = world.users().list(kind).filter(|user| is_in(user.region.as_ref(), region));
    let shown = users.map(|user| {
        let (id, name) = world.shown_image(&user.image_id, user.image_name.as_deref(), true);
        (user, id, name)
    });
    shown.filter(|(_, id, _)| images.is_empty() || images.contains(&id.as_str())).collect()
}

/// Pools show their image by its id alone.
pub(super) fn describe_desktop_groups(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let region = call.params.require("RegionId")?;
    let images = call.params.list("ImageId", 100)?;
    let rows = desktop_users(world, SimUserKind::Pool, region, &images)
        .into_iter()
        .map(|(pool, image_id, _)| {
            let row = json!({
                "DesktopGroupId": pool.id, "DesktopGroupName": pool.id, "ImageId": image_id,
                "MinDesktopsCount": 0, "MaxDesktopsCount": 10, "Status": 1,
            });
            (pool.id.clone(), row)
        })
        .collect();
    let (page, next) = page_after(call.params, rows)?;
    Ok(json!({"DesktopGroups": page, "NextToken": next}))
}

pub(super) fn describe_bundles(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let region = call.params.require("RegionId")?;
    let images = call.params.list("ImageId", 100)?;
    let several = call.params.boolean("SupportMultiSession")?.unwrap_or(false);
    let system = call.params.choice("BundleType", &["SYSTEM", "CUSTOM"])? == Some("SYSTEM");
    let rows = desktop_users(world, SimUserKind::Bundle, region, &images)
        .into_iter()
        .filter(|(bundle, ..)| !system && (several || !bundle.multi_session))
        .map(|(bundle, image_id, image_name)| {
            let row = json!({
                "BundleId": bundle.id, "BundleName": bundle.id, "BundleType": "CUSTOM", "ImageId": image_id,
                "ImageName": image_name,
            });
            (bundle.id.clone(), row)
        })
        .collect();
    let (page, next) = page_after(call.params, rows)?;
    Ok(json!({"Bundles": page, "NextToken": next}))
}

/// Templates belong to no region, and show their image by its id alone.
pub(super) fn describe_templates(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (size, number) = numbered(call.params, 10)?;
    call.params.choice("ProductType", &["CloudDesktop"])?;
    let image = call.params.get("ImageId");
    let found: Vec<Value> = world
        .users()
        .list(SimUserKind::Template)
        .map(|template| (template, world.shown_image(&template.image_id, None, true).0))
        .filter(|(_, id)| image.is_none_or(|wanted| wanted == id))
        .map(|(template, id)| {
            json!({
                "TemplateId": template.id, "TemplateName": template.id, "ImageId": id, "ImageType": "CUSTOM",
                "ProductType": "CloudDesktop",
            })
        })
        .collect();
    Ok(json!({
        "TotalCount": found.len(), "PageNumber": number, "PageSize": size, "Data": page_of(found, size, number),
        "Code": "success",
    }))
}
