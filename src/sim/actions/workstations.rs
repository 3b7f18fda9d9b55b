//! The operations on workstations.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    call::SimCall,
    origin::{image_of, is_in},
    paging::{numbered, page_of},
};
use crate::sim::{
    codes::SimFailure,
    world::{HOME_REGION, InstanceKind, PowerAction, SimulatedInstance, World},
};

pub(super) fn list_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
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
        .filter(|instance| params.get("BizRegionId").is_none_or(|region| is_in(instance.region.as_ref(), region)))
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
        "InstanceInfoList": instance.sessions().map(|id| json!({"InstanceId": id})).collect::<Vec<_>>(),
    })
}

pub(super) fn describe_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let id = call.params.require("WuyingServerId")?;
    let instance = world
        .instance(id, InstanceKind::WuyingServer, call.now)
        .cloned()
        .ok_or_else(|| InstanceKind::WuyingServer.not_found())?;
    // Unlike the list, this operation writes its times as US English text.
    Ok(json!({"Data": workstation_row(world, &instance, call.now, "%b %-d, %Y %-I:%M:%S %p")}))
}

pub(super) fn start_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_workstations(world, call, PowerAction::Start)
}

pub(super) fn stop_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    call.params.boolean("Force")?;
    switch_workstations(world, call, PowerAction::Stop)
}

pub(super) fn restart_wuying_server(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    switch_workstations(world, call, PowerAction::Reboot)
}

fn switch_workstations(world: &mut World, call: &SimCall<'_>, power: PowerAction) -> Result<Value, SimFailure> {
    let ids = call.params.require_list("WuyingServerIdList", 100)?;
    world.switch(&ids, InstanceKind::WuyingServer, power, call.now)?;
    Ok(json!({}))
}
