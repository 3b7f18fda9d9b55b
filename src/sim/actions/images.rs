//! The operations on images.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{call::SimCall, paging::page_after};
use crate::sim::{
    codes::SimFailure,
    params::Params,
    world::{HOME_REGION, InstanceKind, NewImage, SimulatedImage, World},
};

pub(super) fn create_image_by_instance(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let params = call.params;
    let instance_id = params.require("InstanceId")?;
    let kind = match params.require("InstanceType")? {
        "CloudDesktop" => InstanceKind::CloudDesktop,
        "WuyingServer" => InstanceKind::WuyingServer,
        _ => return Err(SimFailure::invalid("InstanceType")),
    };
    params.choice("DiskType", &["ALL", "SYSTEM"])?;
    params.boolean("AutoCleanUserdata")?;
    params.boolean("CopyProfile")?;
    let order = NewImage {
        name: params.require("ImageName")?.to_owned(),
        description: params.get("Description").unwrap_or_default().to_owned(),
        instance_id: instance_id.to_owned(),
        instance_type: kind,
        product_type: params.get("ProductType").unwrap_or(kind.name()).to_owned(),
        biz_type: biz_type(params)?.unwrap_or(1),
        // The page gives no limit; 20 is what the tagging calls of the same API allow.
        tags: params.tags("TagList", 20)?,
        parameters: params.clone(),
        request_id: call.request_id.to_owned(),
        fault: call.fault.clone(),
        late: call.late,
    };
    world.instance(instance_id, kind, call.now).ok_or_else(|| kind.not_found())?;
    match kind {
        // The page says that it must be passed; the code is an invention.
        InstanceKind::WuyingServer if !world.has_session(instance_id, params.require("SubInstanceId")?) => {
            return Err(kind.not_found());
        }
        InstanceKind::CloudDesktop if params.get("SubInstanceId").is_some() => {
            return Err(SimFailure::invalid("SubInstanceId"));
        }
        _ => {}
    }
    let image = world.create_image(order, call.now)?;
    Ok(json!({
        "Data": {"ImageId": image.id, "VersionId": image.version_id, "TaskId": image.task_id},
        "Message": "NULL",
    }))
}

/// The values that the API page names.
fn biz_type(params: &Params) -> Result<Option<usize>, SimFailure> {
    match params.number("BizType", 0, 1..=10) {
        Ok(0) => Ok(None),
        Ok(known @ (1..=4 | 10)) => Ok(Some(known)),
        _ => Err(SimFailure::new("InvalidBizType")),
    }
}

pub(super) fn list_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (params, now) = (call.params, call.now);
    let size = params.number("PageSize", 10, 1..=100)?;
    let number = params.number("PageNumber", 1, 1..=usize::MAX)?;
    let biz_type = biz_type(params)?;
    let image_type = params.choice("ImageType", &["User", "Shared", "System", "Community"])?;
    let os_type = params.get("OsType");
    let tags = params.tags("TagList", 100)?;
    let product_types = params.list("ProductTypeList", 100)?;
    let regions = params.list("BizRegionIdList", 100)?;
    let is = |name: &str, value: &str| params.get(name).is_none_or(|wanted| wanted == value);
    let wanted = |image: &SimulatedImage| {
        let status = image.status(now);
        let status_fits = params.get("Status").map_or(status != "DELETE", |wanted| wanted == status);
        image.is_visible(now)
            && status_fits
            && is("ImageId", &image.id)
            && params.get("ImageName").is_none_or(|part| image.name.contains(part))
            && is("ProductType", &image.product_type)
            && (product_types.is_empty() || product_types.contains(&image.product_type.as_str()))
            && biz_type.is_none_or(|wanted| wanted == image.biz_type)
            && image_type.is_none_or(|wanted| wanted == image.image_type)
            && os_type.is_none_or(|wanted| wanted == "Windows")
            && tags.iter().all(|(key, value)| image.tags.get(key) == Some(value))
            && (regions.is_empty()
                || regions.iter().any(|r| *r == HOME_REGION || image.distributions.iter().any(|d| d.region == *r)))
    };
    let found: Vec<&SimulatedImage> = world.images().iter().rev().filter(|image| wanted(image)).collect();
    let zone = world.gmt_zone();
    let page: Vec<Value> = found
        .iter()
        .skip((number - 1).saturating_mul(size))
        .take(size)
        .map(|image| image_row(image, zone, now))
        .collect();
    Ok(json!({
        "PageNumber": number, "PageSize": size, "Count": found.len(), "Data": page, "Message": "success",
    }))
}

fn image_row(image: &SimulatedImage, zone: i32, now: DateTime<Utc>) -> Value {
    let status = image.status(now);
    let own = json!({
        "ImageId": image.id, "RegionId": HOME_REGION, "VersionId": image.version_id, "Status": status,
        "Progress": if status == "AVAILABLE" { "100%" } else { "0%" },
    });
    let others = image.distributions.iter().map(|distribution| {
        let (status, progress) = (distribution.status(now), distribution.progress(now));
        json!({
            "ImageId": image.id, "RegionId": distribution.region, "VersionId": image.version_id,
            "Status": status,
            "Progress": format!("{progress}%"),
        })
    });
    let regions: Vec<&str> =
        std::iter::once(HOME_REGION).chain(image.distributions.iter().map(|d| d.region.as_str())).collect();
    let tags: Vec<Value> = image.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    json!({
        "ImageId": image.id,
        "ImageName": image.name,
        "Description": image.description,
        "Status": status,
        "VersionId": image.version_id,
        "OnlineVersionId": image.version_id,
        "LatestVersionId": image.version_id,
        "OnlineVersion": true,
        "VersionName": "v1.0.0",
        "GmtCreate": image.gmt_create(zone),
        "GmtModified": image.ready_at.min(now).max(image.created_at).format("%Y-%m-%d %H:%M:%S").to_string(),
        "AliUid": 1_000_000_000_000_001_i64,
        "ImageType": image.image_type,
        "PackageType": "ECS",
        "OsType": "Windows",
        "Platform": 0,
        "PlatformName": "Windows 11",
        "ProtocolType": "ASP",
        "ProductType": image.product_type,
        "BizType": image.biz_type,
        "ImageCreateMode": "BY_INSTANCE_ID",
        "SessionType": "SINGLE_SESSION",
        "SystemDiskSize": 80,
        "DataDiskSize": if image.parameters.get("DiskType") == Some("SYSTEM") { 0 } else { 100 },
        "ImageRegionList": regions,
        "ImageRegionDistributeList": std::iter::once(own).chain(others).collect::<Vec<_>>(),
        "TagList": tags,
    })
}

pub(super) fn delete_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    world.delete_image(call.params.require("ImageId")?, call.now)?;
    Ok(json!({"Data": true, "Message": "successful"}))
}

pub(super) fn start_task_for_distribute_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let image = call.params.require("ImageId")?;
    let regions = call.params.list("DestinationRegionList", 100)?;
    if regions.is_empty() {
        return Err(SimFailure::new("ImageDistribute.TargetDistributeRegionListEmpty"));
    }
    call.params.choice("RetryType", &["RESET", "CONTINUE", "RETRY"])?;
    let (version, source) = (call.params.get("VersionId"), call.params.get("SourceRegion"));
    let task = world.distribute_image((image, version), source, &regions, &call.fault, call.now)?;
    Ok(json!({"Data": task, "Message": "success"}))
}

/// Only images that have an id of the desktop service: whether others show in this older list is not documented.
pub(super) fn describe_images(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let params = call.params;
    params.require("RegionId")?;
    let ids = params.list("ImageId", 100)?;
    let system = params.choice("ImageType", &["SYSTEM", "CUSTOM"])? == Some("SYSTEM");
    let mut rows: Vec<(String, Value)> = world
        .images()
        .iter()
        .filter(|image| !system && image.is_visible(call.now) && image.status(call.now) != "DELETE")
        .filter(|image| params.get("ImageName").is_none_or(|name| image.name == name))
        .filter_map(|image| {
            let id = image.desktop_id.clone()?;
            let status = match image.status(call.now) {
                "AVAILABLE" => "Available",
                "CREATE_FAILED" => "CreateFailed",
                _ => "Creating",
            };
            let row = json!({"ImageId": id, "Name": image.name, "ImageType": "CUSTOM", "Status": status});
            Some((id, row))
        })
        .filter(|(id, _)| ids.is_empty() || ids.contains(&id.as_str()))
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    let (page, next) = page_after(params, rows)?;
    Ok(json!({"Images": page, "NextToken": next}))
}
