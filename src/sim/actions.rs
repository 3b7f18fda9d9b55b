//! The operations of the API: which there are, and what each does to the world.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    codes::SimFailure,
    lists::ListShape,
    params::Params,
    users::{SimUserKind, UserSpec},
    world::{HOME_REGION, ImageFault, InstanceKind, NewImage, PowerAction, SimulatedImage, SimulatedInstance, World},
};

/// The account that the simulator plays.
const ACCOUNT: &str = "1000000000000001";

/// What a handler is told of its call.
#[derive(Debug)]
pub(super) struct SimCall<'a> {
    pub(super) params: &'a Params,
    pub(super) now: DateTime<Utc>,
    pub(super) request_id: &'a str,
    /// From the fault plan: what becomes of an image made by this call, and how late it shows.
    pub(super) fault: ImageFault,
    pub(super) late: Duration,
}

type Handler = fn(&mut World, &SimCall<'_>) -> Result<Value, SimFailure>;

/// One operation.
pub(super) struct SimAction {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Whether GET is allowed beside POST.
    pub(super) get: bool,
    /// Whether answers have Success, Code and Message: the image operations do, the others say it by HTTP status.
    pub(super) enveloped: bool,
    pub(super) handler: Handler,
    /// Where it lists.
    pub(super) list: Option<ListShape>,
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

const ACTIONS: &[SimAction] = &[
    action("CreateImageByInstance", APP_STREAMING, false, true, create_image_by_instance),
    action("ListImage", APP_STREAMING, true, true, list_image).listing("Data", Some("Count"), "ImageId", None, false),
    action("DeleteImage", APP_STREAMING, false, true, delete_image),
    action("StartTaskForDistributeImage", APP_STREAMING, false, true, start_task_for_distribute_image),
    action("ListAppInstanceGroup", APP_STREAMING, false, false, list_app_instance_group).listing(
        "AppInstanceGroupModels",
        Some("TotalCount"),
        "AppInstanceGroupId",
        Some("AppCenterImageId"),
        false,
    ),
    action("ListWuyingServer", APP_STREAMING, true, false, list_wuying_server).listing(
        "WuyingServerList",
        Some("TotalCount"),
        "WuyingServerId",
        Some("ImageId"),
        false,
    ),
    action("DescribeWuyingServer", APP_STREAMING, false, false, describe_wuying_server),
    action("StartWuyingServer", APP_STREAMING, true, false, start_wuying_server),
    action("StopWuyingServer", APP_STREAMING, true, false, stop_wuying_server),
    action("RestartWuyingServer", APP_STREAMING, false, false, restart_wuying_server),
    action("DescribeDesktops", DESKTOPS, true, false, describe_desktops).listing(
        "Desktops",
        Some("TotalCount"),
        "DesktopId",
        Some("ImageId"),
        true,
    ),
    action("StartDesktops", DESKTOPS, true, false, start_desktops),
    action("StopDesktops", DESKTOPS, true, false, stop_desktops),
    action("RebootDesktops", DESKTOPS, true, false, reboot_desktops),
    action("DescribeImages", DESKTOPS, true, false, describe_images).listing("Images", None, "ImageId", None, true),
    action("DescribeDesktopGroups", DESKTOPS, true, false, describe_desktop_groups).listing(
        "DesktopGroups",
        None,
        "DesktopGroupId",
        Some("ImageId"),
        true,
    ),
    action("DescribeBundles", DESKTOPS, true, false, describe_bundles).listing(
        "Bundles",
        None,
        "BundleId",
        Some("ImageId"),
        true,
    ),
    action("DescribeTemplates", DESKTOPS, true, true, describe_templates).listing(
        "Data",
        Some("TotalCount"),
        "TemplateId",
        Some("ImageId"),
        false,
    ),
    action("GetCallerIdentity", STS, true, false, get_caller_identity),
];

const fn action(name: &'static str, version: &'static str, get: bool, enveloped: bool, handler: Handler) -> SimAction {
    SimAction { name, version, get, enveloped, handler, list: None }
}

impl SimAction {
    const fn listing(
        mut self,
        rows: &'static str,
        count: Option<&'static str>,
        id: &'static str,
        image: Option<&'static str>,
        tokens: bool,
    ) -> Self {
        self.list = Some(ListShape { rows, count, id, image, tokens });
        self
    }

    /// The right that a policy has to grant for it.
    pub(super) fn right(&self) -> String {
        let service = match self.version {
            DESKTOPS => "ecd",
            STS => "sts",
            _ => "appstreaming",
        };
        format!("{service}:{}", self.name)
    }
}

/// The operation of that name and version.
pub(super) fn find(name: &str, version: &str) -> Option<&'static SimAction> {
    ACTIONS.iter().find(|action| action.name == name && action.version == version)
}

/// The operation of that name, of any version.
pub(super) fn of_name(name: &str) -> Option<&'static SimAction> {
    ACTIONS.iter().find(|action| action.name == name)
}

fn create_image_by_instance(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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
fn biz_type(params: &Params) -> Result<Option<usize>, SimFailure> {
    match params.number("BizType", 0, 1..=10) {
        Ok(0) => Ok(None),
        Ok(known @ (1..=4 | 10)) => Ok(Some(known)),
        _ => Err(SimFailure::new("InvalidBizType")),
    }
}

fn list_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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

fn delete_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    world.delete_image(call.params.require("ImageId")?, call.now)?;
    Ok(json!({"Data": true, "Message": "successful"}))
}

fn start_task_for_distribute_image(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let image = call.params.require("ImageId")?;
    let regions = call.params.list("DestinationRegionList", 100)?;
    if regions.is_empty() {
        return Err(SimFailure::new("ImageDistribute.TargetDistributeRegionListEmpty"));
    }
    let task = world.distribute_image(image, call.params.get("VersionId"), &regions, &call.fault, call.now)?;
    Ok(json!({"Data": task, "Message": "success"}))
}

/// Delivery groups are only what makes an image used: `POST /_sim/groups` puts them there.
fn list_app_instance_group(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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

/// PageSize and PageNumber.
fn numbered(params: &Params, size: usize) -> Result<(usize, usize), SimFailure> {
    Ok((params.number("PageSize", size, 1..=100)?, params.number("PageNumber", 1, 1..=usize::MAX)?))
}

fn page_of(rows: Vec<Value>, size: usize, number: usize) -> Vec<Value> {
    rows.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect()
}

/// The page after NextToken, and the token of the next. A token is the id of the last row shown, so that later arrivals
/// shift nothing; rows come by their ids.
fn page_after(params: &Params, rows: Vec<(String, Value)>) -> Result<(Vec<Value>, String), SimFailure> {
    let size = params.number("MaxResults", 10, 1..=100)?;
    let last_shown = match params.get("NextToken") {
        None => String::new(),
        Some(token) => hex::decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| SimFailure::invalid("NextToken"))?,
    };
    let rest: Vec<(String, Value)> = rows.into_iter().filter(|(id, _)| *id > last_shown).collect();
    let next = match rest.get(..size) {
        Some([.., (last, _)]) if rest.len() > size => hex::encode(last),
        _ => String::new(),
    };
    Ok((rest.into_iter().take(size).map(|(_, row)| row).collect(), next))
}

/// Whether something is listed in that region.
fn is_in(region: Option<&String>, asked: &str) -> bool {
    region.is_none_or(|region| region == asked)
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
fn describe_desktop_groups(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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

fn describe_bundles(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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
fn describe_templates(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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

fn list_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (params, now) = (call.params, call.now);
    let (size, number) = numbered(params, 20)?;
    let ids = params.list("WuyingServerIdList", 100)?;
    for id in &ids {
        // An open world learns of the instance here; whether it has it shows below.
        let _ = world.instance(id, InstanceKind::WuyingServer, now);
    }
    let found: Vec<Value> = world
        .instances()
        .filter(|instance| instance.kind == InstanceKind::WuyingServer)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id.as_str()))
        .filter(|instance| params.get("WuyingServerNameOrId").is_none_or(|part| instance.id.contains(part)))
        .filter(|instance| params.get("Status").is_none_or(|status| instance.status(now) == status))
        .map(|instance| workstation_row(world, instance, now, "%Y-%m-%dT%H:%M:%S.000+00:00"))
        .filter(|row| params.get("ImageId").is_none_or(|image| row["ImageId"] == image))
        .collect();
    Ok(json!({
        "TotalCount": found.len(), "PageNumber": number, "PageSize": size,
        "WuyingServerList": page_of(found, size, number),
    }))
}

/// What an instance was made from that is said to be made from nothing: all are made from some image.
const SYSTEM_IMAGE: (&str, &str) = ("desktopimage-windows-11-64-asp", "Windows 11");

/// The image of an instance, as a list of this service shows it.
fn image_of(world: &World, instance: &SimulatedInstance, of_desktop_service: bool) -> (String, Option<String>) {
    match instance.image_id.as_deref() {
        Some(id) => world.shown_image(id, instance.image_name.as_deref(), of_desktop_service),
        None => (SYSTEM_IMAGE.0.to_owned(), Some(SYSTEM_IMAGE.1.to_owned())),
    }
}

fn workstation_row(world: &World, instance: &SimulatedInstance, now: DateTime<Utc>, time_format: &str) -> Value {
    let (image_id, image_name) = image_of(world, instance, false);
    let sessions: Vec<Value> = instance
        .is_connected(now)
        .then(|| json!({"UserId": "sim-user", "ResourceSessionStartTime": instance.since.format(time_format).to_string()}))
        .into_iter()
        .collect();
    json!({
        "WuyingServerId": instance.id,
        "WuyingServerName": instance.id,
        "Status": instance.status(now),
        "BizRegionId": instance.region.as_deref().unwrap_or(HOME_REGION),
        "OsType": "Windows",
        "ChargeType": "PrePaid",
        "CreateTime": instance.since.format(time_format).to_string(),
        "SystemDiskSize": 80,
        "ImageId": image_id,
        "ImageName": image_name,
        "Sessions": sessions,
        "InstanceInfoList": [{"InstanceId": instance.sub_instance_id}],
    })
}

fn describe_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let id = call.params.require("WuyingServerId")?;
    let instance = world
        .instance(id, InstanceKind::WuyingServer, call.now)
        .cloned()
        .ok_or_else(|| InstanceKind::WuyingServer.not_found())?;
    // Unlike the list, this operation writes its times as US English text.
    Ok(json!({"Data": workstation_row(world, &instance, call.now, "%b %-d, %Y %-I:%M:%S %p")}))
}

fn start_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_workstations(world, call, PowerAction::Start)
}

fn stop_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    call.params.boolean("Force")?;
    switch_workstations(world, call, PowerAction::Stop)
}

fn restart_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_workstations(world, call, PowerAction::Reboot)
}

fn switch_workstations(world: &mut World, call: &SimCall<'_>, power: PowerAction) -> Result<Value, SimFailure> {
    let ids = call.params.require_list("WuyingServerIdList", 100)?;
    world.switch(&ids, InstanceKind::WuyingServer, power, call.now)?;
    Ok(json!({}))
}

fn describe_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (params, now) = (call.params, call.now);
    let region = params.require("RegionId")?;
    let ids = params.list("DesktopId", 100)?;
    let statuses = params.list("DesktopStatusList", 10)?;
    let images = params.list("ImageId", 100)?;
    let without_pools = params.boolean("FilterDesktopGroup")?.unwrap_or(true);
    for id in &ids {
        // An open world learns of the instance here; whether it has it shows below.
        let _ = world.instance(id, InstanceKind::CloudDesktop, now);
    }
    let found: Vec<(String, Value)> = world
        .instances()
        .filter(|instance| instance.kind == InstanceKind::CloudDesktop)
        .filter(|instance| is_in(instance.region.as_ref(), region))
        .filter(|instance| instance.pool_id.is_none() || !without_pools)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id.as_str()))
        .filter(|instance| params.get("DesktopStatus").is_none_or(|status| instance.status(now) == status))
        .filter(|instance| statuses.is_empty() || statuses.contains(&instance.status(now).as_str()))
        .filter(|instance| params.get("DesktopName").is_none_or(|name| instance.id == name))
        .map(|instance| (instance.id.clone(), desktop_row(world, instance, region, now)))
        .filter(|(_, row)| images.is_empty() || row["ImageId"].as_str().is_some_and(|id| images.contains(&id)))
        .collect();
    let count = found.len();
    let (page, next) = page_after(params, found)?;
    Ok(json!({"Desktops": page, "NextToken": next, "TotalCount": count}))
}

fn desktop_row(world: &World, instance: &SimulatedInstance, region: &str, now: DateTime<Utc>) -> Value {
    let (image_id, image_name) = image_of(world, instance, true);
    json!({
        "DesktopId": instance.id,
        "DesktopName": instance.id,
        "DesktopStatus": instance.status(now),
        "RegionId": region,
        "ManagementFlag": instance.management_flag.as_deref().unwrap_or("NoFlag"),
        "ConnectionStatus": if instance.is_connected(now) { "Connected" } else { "Disconnected" },
        "DesktopGroupId": instance.pool_id,
        "ImageId": image_id,
        "ImageName": image_name,
        "ChargeType": "PostPaid",
        "OsType": "Windows",
        "Progress": "100%",
        "CreationTime": instance.since.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

fn start_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_desktops(world, call, PowerAction::Start)
}

fn stop_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    call.params.choice("StoppedMode", &["StopCharging", "KeepCharging"])?;
    switch_desktops(world, call, PowerAction::Stop)
}

fn reboot_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_desktops(world, call, PowerAction::Reboot)
}

fn switch_desktops(world: &mut World, call: &SimCall<'_>, power: PowerAction) -> Result<Value, SimFailure> {
    call.params.require("RegionId")?;
    call.params.boolean("OsUpdate")?;
    let ids = call.params.require_list("DesktopId", 100)?;
    world.switch(&ids, InstanceKind::CloudDesktop, power, call.now)?;
    Ok(json!({}))
}

/// Only images that have an id of the desktop service: whether others show in this older list is not documented.
fn describe_images(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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

#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
fn get_caller_identity(_world: &mut World, _call: &SimCall<'_>) -> Result<Value, SimFailure> {
    Ok(json!({
        "IdentityType": "RAMUser",
        "AccountId": ACCOUNT,
        "UserId": "200000000000000001",
        "PrincipalId": "200000000000000001",
        "Arn": format!("acs:ram::{ACCOUNT}:user/simulator"),
    }))
}
