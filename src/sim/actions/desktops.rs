//! The operations on cloud desktops.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    call::SimCall,
    origin::{image_of, is_in},
    paging::page_after,
};
use crate::sim::{
    codes::SimFailure,
    world::{InstanceKind, PowerAction, SimulatedInstance, World},
};

pub(super) fn describe_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let (params, now) = (call.params, call.now);
    let region = params.require("RegionId")?;
    let ids = params.list("DesktopId", 100)?;
    let statuses = params.list("DesktopStatusList", 10)?;
    let images = params.list("ImageId", 100)?;
    let without_pools = params.boolean("FilterDesktopGroup")?.unwrap_or(true);
    for id in &ids {
        // An open world learns of the instance here; whether it has it shows below.
        let _ = world.instance_in(region, id, InstanceKind::CloudDesktop, now);
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
    // How the cloud spells a maintenance is not documented.
    let mut flags: Vec<&str> = instance.management_flag.as_deref().into_iter().collect();
    flags.extend(instance.maintenance.then_some("Maintenance"));
    if flags.is_empty() {
        flags.push("NoFlag");
    }
    json!({
        "DesktopId": instance.id,
        "DesktopName": instance.id,
        "DesktopStatus": instance.status(now),
        "RegionId": region,
        "ManagementFlag": flags[0],
        "ManagementFlags": flags,
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

pub(super) fn start_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_desktops(world, call, PowerAction::Start)
}

pub(super) fn stop_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    call.params.choice("StoppedMode", &["StopCharging", "KeepCharging"])?;
    switch_desktops(world, call, PowerAction::Stop)
}

pub(super) fn reboot_desktops(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_desktops(world, call, PowerAction::Reboot)
}

/// The page gives `ENTER` and `EXIT`, with `enter` as its example. Whether a second call of one mode is refused is not
/// documented; here it changes nothing.
pub(super) fn set_desktop_maintenance(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let region = call.params.require("RegionId")?;
    let mode = call.params.require("Mode")?;
    let enters = mode.eq_ignore_ascii_case("enter");
    if !enters && !mode.eq_ignore_ascii_case("exit") {
        return Err(SimFailure::invalid("Mode"));
    }
    let ids = call.params.require_list("DesktopIds", 100)?;
    world.set_maintenance(region, &ids, enters, call.now)?;
    Ok(json!({}))
}

fn switch_desktops(world: &mut World, call: &SimCall<'_>, power: PowerAction) -> Result<Value, SimFailure> {
    let region = call.params.require("RegionId")?;
    call.params.boolean("OsUpdate")?;
    let ids = call.params.require_list("DesktopId", 100)?;
    for id in &ids {
        let known = world.instance_in(region, id, InstanceKind::CloudDesktop, call.now);
        known.ok_or_else(|| SimFailure::new("InvalidDesktopId.NotFound"))?;
    }
    world.switch(&ids, InstanceKind::CloudDesktop, power, call.now)?;
    Ok(json!({}))
}
