//! Workstations of App Streaming. The responses have no `Success` or `Code`: HTTP 200 alone means success.

use serde::Deserialize;

use super::{Accepted, MachineStatus};
use crate::{
    adapters::cloud::{
        lenient,
        listing::{Cursor, Listing, PAGE_SIZE, RawPage},
        request::{CloudCall, Pairs, RpcRequest},
    },
    domain::{api::codes::Idempotency, ids::InstanceId, text::UNREADABLE},
};

/// ListWuyingServer: workstations and their states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListWuyingServer {
    /// Ids; all workstations if empty.
    pub ids: Vec<InstanceId>,
    /// Those made from this image.
    pub image_id: Option<String>,
    /// From 1.
    pub page_number: Option<u32>,
    /// At most 100; the cloud's default is 20.
    pub page_size: Option<u32>,
}

/// A workstation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Server {
    /// `ws-…`.
    #[serde(rename = "WuyingServerId")]
    pub id: InstanceId,
    /// Its name.
    #[serde(rename = "WuyingServerName", default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// State.
    #[serde(default)]
    pub status: MachineStatus,
    /// Its region.
    #[serde(default, deserialize_with = "lenient::text")]
    pub biz_region_id: Option<String>,
    /// The image it was made from.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
    /// The image's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_name: Option<String>,
    /// Its machines.
    #[serde(default, rename = "InstanceInfoList")]
    pub machines: Option<Vec<ServerMachine>>,
    /// Status of its sessions together; the values are not documented.
    #[serde(default, rename = "ResourceSessionStatus", deserialize_with = "lenient::text")]
    pub session_status: Option<String>,
    /// Connected users.
    #[serde(default, deserialize_with = "lenient::list")]
    pub sessions: Vec<Session>,
}

impl Server {
    /// The persistent sessions (`p-…`), one of which the create call names, each once, in order. `None`: they are not
    /// listed, or machines without readable ids.
    pub fn session_ids(&self) -> Option<Vec<String>> {
        let machines = self.machines.as_ref()?;
        let ids: std::collections::BTreeSet<&str> =
            machines.iter().filter_map(|machine| machine.instance_id.as_deref()).map(str::trim).collect();
        let ids: Vec<String> = ids.into_iter().filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let is_damaged = ids.iter().any(|id| id.contains(UNREADABLE));
        ((machines.is_empty() || !ids.is_empty()) && !is_damaged).then_some(ids)
    }
}

/// A session of a workstation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Session {
    /// The user.
    #[serde(deserialize_with = "lenient::text")]
    pub user_id: Option<String>,
}

/// A machine of a workstation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ServerMachine {
    /// `p-…`, what `sub_instance_id` takes.
    #[serde(deserialize_with = "lenient::text")]
    pub instance_id: Option<String>,
}

impl CloudCall for ListWuyingServer {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .list("WuyingServerIdList", self.ids.iter().map(InstanceId::as_str))
            .text("ImageId", self.image_id.as_deref())
            .number("PageNumber", self.page_number)
            .number("PageSize", self.page_size);
        RpcRequest::app_streaming(Self::ACTION, Idempotency::Idempotent).with_form(form).listing()
    }
}

impl Listing for ListWuyingServer {
    type Row = Server;
    const ACTION: &'static str = "ListWuyingServer";
    const ROWS: &'static str = "WuyingServerList";
    const COUNT: Option<&'static str> = Some("TotalCount");

    fn key(row: &Server) -> String {
        row.id.to_string()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { page_number: cursor.number(), page_size: Some(PAGE_SIZE), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Number(1)
    }
}

/// StartWuyingServer: returns before the machines run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartWuyingServer {
    /// Which ones.
    pub ids: Vec<InstanceId>,
}

/// StopWuyingServer: returns before the machines are stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopWuyingServer {
    /// Which ones.
    pub ids: Vec<InstanceId>,
    /// Power off at once; unsaved data may be lost.
    pub force: Option<bool>,
}

impl CloudCall for StartWuyingServer {
    type Value = Accepted;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default().list("WuyingServerIdList", self.ids.iter().map(InstanceId::as_str));
        RpcRequest::app_streaming("StartWuyingServer", Idempotency::Idempotent).with_form(form)
    }
}

impl CloudCall for StopWuyingServer {
    type Value = Accepted;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .list("WuyingServerIdList", self.ids.iter().map(InstanceId::as_str))
            .flag("Force", self.force);
        RpcRequest::app_streaming("StopWuyingServer", Idempotency::Idempotent).with_form(form)
    }
}
