//! Cloud desktops of ecd. Every call names its region and goes to that region's host.

use serde::Deserialize;

use super::{Accepted, MachineStatus};
use crate::{
    adapters::cloud::{
        lenient,
        listing::{Cursor, Listing, PAGE_SIZE, RawPage},
        request::{CloudCall, Pairs, RpcRequest},
    },
    domain::{bake::settings::StoppedMode, ids::InstanceId, text::UNREADABLE},
};

/// DescribeDesktops of ecd: cloud desktops and their states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeDesktops {
    /// The desktops' region.
    pub region: String,
    /// At most 100 ids; all desktops if empty.
    pub ids: Vec<InstanceId>,
    /// Include desktops of pools; the cloud omits them by default.
    pub with_pools: bool,
    /// Desktops made from one of these images; all if empty.
    pub image_ids: Vec<String>,
    /// At most 100; the cloud's default is 10.
    pub max_results: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// A cloud desktop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Desktop {
    /// `ecd-…`.
    #[serde(rename = "DesktopId")]
    pub id: InstanceId,
    /// Its name.
    #[serde(rename = "DesktopName", default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// State.
    #[serde(rename = "DesktopStatus", default)]
    pub status: MachineStatus,
    /// `Connected` while a user works on it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub connection_status: Option<String>,
    /// `Migrating`, `Updating` or `NoFlag`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub management_flag: Option<String>,
    /// The same as a list.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub management_flags: Vec<String>,
    /// The image it was made from.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
    /// The image's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_name: Option<String>,
}

impl Desktop {
    /// What else than its power state is known of it.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.management_flag.iter().chain(&self.management_flags).map(|flag| flag.trim())
    }

    /// Whether it is in maintenance. How lists show that is not documented: the console calls the state "Under
    /// Maintenance". Any flag or state of such a name counts, and one that cannot be read.
    pub fn is_in_maintenance(&self) -> bool {
        let shows = |word: &str| word.to_ascii_lowercase().contains("maint") || word.contains(UNREADABLE);
        self.flags().chain([self.status.as_str()]).any(shows)
    }
}

impl CloudCall for DescribeDesktops {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .list("DesktopId", self.ids.iter().map(InstanceId::as_str))
            .flag("FilterDesktopGroup", self.with_pools.then_some(false))
            .list("ImageId", self.image_ids.iter().map(String::as_str))
            .number("MaxResults", self.max_results)
            .text("NextToken", self.next_token.as_deref());
        RpcRequest::desktops(Self::ACTION, &self.region, parameters).listing()
    }
}

impl Listing for DescribeDesktops {
    type Row = Desktop;
    const ACTION: &'static str = "DescribeDesktops";
    const ROWS: &'static str = "Desktops";
    const COUNT: Option<&'static str> = Some("TotalCount");

    fn key(row: &Desktop) -> String {
        row.id.to_string()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { max_results: Some(PAGE_SIZE), next_token: cursor.token(), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Token(None)
    }
}

/// StartDesktops of ecd; the desktops must be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartDesktops {
    /// The desktops' region.
    pub region: String,
    /// 1 to 100.
    pub ids: Vec<InstanceId>,
}

/// StopDesktops of ecd; the desktops must be running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopDesktops {
    /// The desktops' region.
    pub region: String,
    /// 1 to 100.
    pub ids: Vec<InstanceId>,
    /// What stays reserved; the cloud's default is `StopCharging`.
    pub stopped_mode: Option<StoppedMode>,
}

/// SetDesktopMaintenance of ecd: users cannot connect to desktops in maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDesktopMaintenance {
    /// The desktops' region.
    pub region: String,
    /// 1 to 100.
    pub ids: Vec<InstanceId>,
    /// Whether it begins or ends.
    pub enter: bool,
}

impl CloudCall for SetDesktopMaintenance {
    type Value = Accepted;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .list("DesktopIds", self.ids.iter().map(InstanceId::as_str))
            .text("Mode", Some(if self.enter { "ENTER" } else { "EXIT" }));
        RpcRequest::desktops("SetDesktopMaintenance", &self.region, parameters)
    }
}

impl CloudCall for StartDesktops {
    type Value = Accepted;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default().list("DesktopId", self.ids.iter().map(InstanceId::as_str));
        RpcRequest::desktops("StartDesktops", &self.region, parameters)
    }
}

impl CloudCall for StopDesktops {
    type Value = Accepted;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .list("DesktopId", self.ids.iter().map(InstanceId::as_str))
            .text("StoppedMode", self.stopped_mode.map(StoppedMode::as_str));
        RpcRequest::desktops("StopDesktops", &self.region, parameters)
    }
}
