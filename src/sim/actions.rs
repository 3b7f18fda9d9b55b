//! The operations of the API: which there are, and what each does to the world.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    codes::Failure,
    params::Params,
    world::{Fate, HOME_REGION, Image, Instance, InstanceKind, Order, Power, World},
};

/// The account that the simulator plays.
const ACCOUNT: &str = "1000000000000001";

/// What a handler is told of its call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) params: &'a Params,
    pub(super) now: DateTime<Utc>,
    pub(super) request_id: &'a str,
    /// From the fault plan: what becomes of an image made by this call, and how late it shows.
    pub(super) fate: Fate,
    pub(super) late: Duration,
}

type Handler = fn(&mut World, &Call<'_>) -> Result<Value, Failure>;

/// One operation.
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Whether GET is allowed beside POST.
    pub(super) get: bool,
    /// Whether answers have Success, Code and Message: the image operations do, the others say it by HTTP status.
    pub(super) enveloped: bool,
    pub(super) handler: Handler,
}

const APP_STREAMING: &str = "2021-09-01";
const DESKTOPS: &str = "2020-09-30";
const STS: &str = "2015-04-01";

/// The product that a version belongs to, as advice in error answers names it.
pub(super) fn product(version: &str) -> &'static str {
    match version {
        DESKTOPS => "ecd",
        STS => "Sts",
        _ => "appstream-center",
    }
}

const ACTIONS: &[Action] = &[
    action("CreateImageByInstance", APP_STREAMING, false, true, create_image_by_instance),
    action("ListImage", APP_STREAMING, true, true, list_image),
    action("DeleteImage", APP_STREAMING, false, true, delete_image),
    action("StartTaskForDistributeImage", APP_STREAMING, false, true, start_task_for_distribute_image),
    action("ListAppInstanceGroup", APP_STREAMING, false, false, list_app_instance_group),
    action("ListWuyingServer", APP_STREAMING, true, false, list_wuying_server),
    action("DescribeWuyingServer", APP_STREAMING, false, false, describe_wuying_server),
    action("StartWuyingServer", APP_STREAMING, true, false, start_wuying_server),
    action("StopWuyingServer", APP_STREAMING, true, false, stop_wuying_server),
    action("RestartWuyingServer", APP_STREAMING, false, false, restart_wuying_server),
    action("DescribeDesktops", DESKTOPS, true, false, describe_desktops),
    action("StartDesktops", DESKTOPS, true, false, start_desktops),
    action("StopDesktops", DESKTOPS, true, false, stop_desktops),
    action("RebootDesktops", DESKTOPS, true, false, reboot_desktops),
    action("DescribeImages", DESKTOPS, true, false, describe_images),
    action("GetCallerIdentity", STS, true, false, get_caller_identity),
];

const fn action(name: &'static str, version: &'static str, get: bool, enveloped: bool, handler: Handler) -> Action {
    Action { name, version, get, enveloped, handler }
}

/// The operation of that name and version.
pub(super) fn find(name: &str, version: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name && action.version == version)
}

/// Whether any version has an operation of that name.
pub(super) fn is_known(name: &str) -> bool {
    ACTIONS.iter().any(|action| action.name == name)
}

fn create_image_by_instance(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let params = call.params;
    let instance_id = params.require("InstanceId")?;
    let kind = match params.require("InstanceType")? {
        "CloudDesktop" => InstanceKind::CloudDesktop,
        "WuyingServer" => InstanceKind::WuyingServer,
        _ => return Err(Failure::invalid("InstanceType")),
    };
    params.choice("DiskType", &["ALL", "SYSTEM"])?;
    params.boolean("AutoCleanUserdata")?;
    params.boolean("CopyProfile")?;
    let order = Order {
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
        fate: call.fate.clone(),
        late: call.late,
    };
    world.instance(instance_id, kind, call.now).ok_or_else(|| kind.not_found())?;
    if let (InstanceKind::WuyingServer, Some(session)) = (kind, params.get("SubInstanceId"))
        && !world.has_session(instance_id, session)
    {
        return Err(kind.not_found());
    }
    let image = world.create_image(order, call.now)?;
    Ok(json!({
        "Data": {"ImageId": image.id, "VersionId": image.version_id, "TaskId": image.task_id},
        "Message": "NULL",
    }))
}

/// The values that the API page names.
fn biz_type(params: &Params) -> Result<Option<usize>, Failure> {
    match params.number("BizType", 0, 1..=10) {
        Ok(0) => Ok(None),
        Ok(known @ (1..=4 | 10)) => Ok(Some(known)),
        _ => Err(Failure::new("InvalidBizType")),
    }
}

fn list_image(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
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
    let wanted = |image: &Image| {
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
    let found: Vec<&Image> = world.images().iter().rev().filter(|image| wanted(image)).collect();
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

fn image_row(image: &Image, zone: i32, now: DateTime<Utc>) -> Value {
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

fn delete_image(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    world.delete_image(call.params.require("ImageId")?, call.now)?;
    Ok(json!({"Data": true, "Message": "successful"}))
}

fn start_task_for_distribute_image(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let image = call.params.require("ImageId")?;
    let regions = call.params.list("DestinationRegionList", 100)?;
    if regions.is_empty() {
        return Err(Failure::new("ImageDistribute.TargetDistributeRegionListEmpty"));
    }
    let task = world.distribute_image(image, call.params.get("VersionId"), &regions, &call.fate, call.now)?;
    Ok(json!({"Data": task, "Message": "success"}))
}

/// Delivery groups are only what makes an image used: `POST /_sim/groups` puts them there.
fn list_app_instance_group(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let size = call.params.number("PageSize", 10, 1..=100)?;
    let number = call.params.number("PageNumber", 1, 1..=usize::MAX)?;
    call.params.require("ProductType")?;
    let page: Vec<Value> = world
        .groups()
        .skip((number - 1).saturating_mul(size))
        .take(size)
        .map(|(group, image)| json!({"AppInstanceGroupId": group, "AppCenterImageId": image, "Status": "PUBLISHED"}))
        .collect();
    Ok(json!({
        "TotalCount": world.groups().count(), "PageNumber": number, "PageSize": size, "AppInstanceGroupModels": page,
    }))
}

fn list_wuying_server(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let (params, now) = (call.params, call.now);
    let size = params.number("PageSize", 20, 1..=100)?;
    let number = params.number("PageNumber", 1, 1..=usize::MAX)?;
    let ids = params.list("WuyingServerIdList", 100)?;
    for id in &ids {
        // An open world learns of the instance here; whether it has it shows below.
        let _ = world.instance(id, InstanceKind::WuyingServer, now);
    }
    let found: Vec<&Instance> = world
        .instances()
        .filter(|instance| instance.kind == InstanceKind::WuyingServer)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id.as_str()))
        .filter(|instance| params.get("WuyingServerNameOrId").is_none_or(|part| instance.id.contains(part)))
        .filter(|instance| params.get("Status").is_none_or(|status| instance.status(now) == status))
        .collect();
    let page: Vec<Value> = found
        .iter()
        .skip((number - 1).saturating_mul(size))
        .take(size)
        .map(|instance| workstation_row(instance, now, "%Y-%m-%dT%H:%M:%S.000+00:00"))
        .collect();
    Ok(json!({
        "TotalCount": found.len(), "PageNumber": number, "PageSize": size, "WuyingServerList": page,
    }))
}

fn workstation_row(instance: &Instance, now: DateTime<Utc>, time_format: &str) -> Value {
    let sessions: Vec<Value> = instance
        .is_connected(now)
        .then(|| json!({"UserId": "sim-user", "ResourceSessionStartTime": instance.since.format(time_format).to_string()}))
        .into_iter()
        .collect();
    json!({
        "WuyingServerId": instance.id,
        "WuyingServerName": instance.id,
        "Status": instance.status(now),
        "BizRegionId": HOME_REGION,
        "OsType": "Windows",
        "ChargeType": "PrePaid",
        "CreateTime": instance.since.format(time_format).to_string(),
        "SystemDiskSize": 80,
        "ImageId": instance.image_id,
        "Sessions": sessions,
        "InstanceInfoList": [{"InstanceId": instance.sub_instance_id}],
    })
}

fn describe_wuying_server(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let id = call.params.require("WuyingServerId")?;
    let instance = world
        .instance(id, InstanceKind::WuyingServer, call.now)
        .ok_or_else(|| InstanceKind::WuyingServer.not_found())?;
    // Unlike the list, this operation writes its times as US English text.
    Ok(json!({"Data": workstation_row(instance, call.now, "%b %-d, %Y %-I:%M:%S %p")}))
}

fn start_wuying_server(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    switch_workstations(world, call, Power::Start)
}

fn stop_wuying_server(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    call.params.boolean("Force")?;
    switch_workstations(world, call, Power::Stop)
}

fn restart_wuying_server(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    switch_workstations(world, call, Power::Reboot)
}

fn switch_workstations(world: &mut World, call: &Call<'_>, power: Power) -> Result<Value, Failure> {
    let ids = call.params.require_list("WuyingServerIdList", 100)?;
    world.switch(&ids, InstanceKind::WuyingServer, power, call.now)?;
    Ok(json!({}))
}

fn describe_desktops(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    let (params, now) = (call.params, call.now);
    let region = params.require("RegionId")?;
    let ids = params.list("DesktopId", 100)?;
    let statuses = params.list("DesktopStatusList", 10)?;
    let size = params.number("MaxResults", 10, 1..=100)?;
    // A token is the id of the last desktop shown, so that later arrivals shift nothing.
    let last_shown = match params.get("NextToken") {
        None => String::new(),
        Some(token) => hex::decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Failure::invalid("NextToken"))?,
    };
    for id in &ids {
        // An open world learns of the instance here; whether it has it shows below.
        let _ = world.instance(id, InstanceKind::CloudDesktop, now);
    }
    let found: Vec<&Instance> = world
        .instances()
        .filter(|instance| instance.kind == InstanceKind::CloudDesktop)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id.as_str()))
        .filter(|instance| params.get("DesktopStatus").is_none_or(|status| instance.status(now) == status))
        .filter(|instance| statuses.is_empty() || statuses.contains(&instance.status(now).as_str()))
        .filter(|instance| params.get("DesktopName").is_none_or(|name| instance.id == name))
        .collect();
    let rest: Vec<&&Instance> = found.iter().filter(|instance| instance.id > last_shown).collect();
    let next = match rest.get(..size) {
        Some([.., last]) if rest.len() > size => hex::encode(&last.id),
        _ => String::new(),
    };
    let page: Vec<Value> = rest.iter().take(size).map(|instance| desktop_row(instance, region, now)).collect();
    Ok(json!({"Desktops": page, "NextToken": next, "TotalCount": found.len()}))
}

fn desktop_row(instance: &Instance, region: &str, now: DateTime<Utc>) -> Value {
    json!({
        "DesktopId": instance.id,
        "DesktopName": instance.id,
        "DesktopStatus": instance.status(now),
        "RegionId": region,
        "ManagementFlag": instance.management_flag.as_deref().unwrap_or("NoFlag"),
        "ConnectionStatus": if instance.is_connected(now) { "Connected" } else { "Disconnected" },
        "ImageId": instance.image_id,
        "ChargeType": "PostPaid",
        "OsType": "Windows",
        "Progress": "100%",
        "CreationTime": instance.since.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

fn start_desktops(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    switch_desktops(world, call, Power::Start)
}

fn stop_desktops(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    call.params.choice("StoppedMode", &["StopCharging", "KeepCharging"])?;
    switch_desktops(world, call, Power::Stop)
}

fn reboot_desktops(world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    switch_desktops(world, call, Power::Reboot)
}

fn switch_desktops(world: &mut World, call: &Call<'_>, power: Power) -> Result<Value, Failure> {
    call.params.require("RegionId")?;
    call.params.boolean("OsUpdate")?;
    let ids = call.params.require_list("DesktopId", 100)?;
    world.switch(&ids, InstanceKind::CloudDesktop, power, call.now)?;
    Ok(json!({}))
}

/// Always empty: whether images of App Streaming show in this older list is not documented.
fn describe_images(_world: &mut World, call: &Call<'_>) -> Result<Value, Failure> {
    call.params.require("RegionId")?;
    Ok(json!({"Images": [], "NextToken": ""}))
}

#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
fn get_caller_identity(_world: &mut World, _call: &Call<'_>) -> Result<Value, Failure> {
    Ok(json!({
        "IdentityType": "RAMUser",
        "AccountId": ACCOUNT,
        "UserId": "200000000000000001",
        "PrincipalId": "200000000000000001",
        "Arn": format!("acs:ram::{ACCOUNT}:user/simulator"),
    }))
}
