//! Settings of a bake. The history stores them when the bake starts, so that a later edit of the file does not change a
//! running bake.

use crate::domain::api::instance_state::InstanceType;
use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{calendar::zone::Zone, clock::shifted, hooks::Hooks};

/// The settings of the schedule that a bake needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BakeSettings {
    /// Kind of machine.
    pub instance_type: InstanceType,
    /// Region of the instance, for calls that need one; not the region of the endpoint.
    pub instance_region: String,
    /// Workstations only: the persistent session (`p-…`) that pins one concrete machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_instance_id: Option<String>,
    /// Disks in the image.
    pub disk_type: DiskType,
    /// Cloud desktops only: omit every directory under `C:\Users` except `Administrator` and `Public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_clean_userdata: Option<bool>,
    /// Whether user profile data is copied; `None` is the cloud's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_profile: Option<bool>,
    /// `BizType` as is; its meaning is not public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biz_type: Option<i32>,
    /// `ProductType` as is; its meaning is not public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_type: Option<String>,
    /// The operator's tags, at most 15: five more are added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Template of the image's name, see [`super::naming`].
    pub image_name: String,
    /// Template of the image's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Zone of the slot in templates.
    pub timezone: Zone,
    /// Time after the slot by which the cloud must have accepted the create call; otherwise the bake is given up.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// No stop and no create call starts after this time of day in `timezone`, counted from the slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<NaiveTime>,
    /// Build time after which the image is reported as stuck.
    #[serde(with = "humantime_serde")]
    pub build_deadline: Duration,
    /// Number and delay of repeated calls.
    pub retry: RetryPolicy,
    /// Whether the instance is stopped for the bake.
    pub stop_instance: StopInstance,
    /// Cloud desktops only: what a stopped desktop keeps.
    pub stopped_mode: StoppedMode,
    /// Cloud desktops only: whether the desktop is in maintenance while it is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maintenance: bool,
    /// What happens to a stop while a user is connected.
    #[serde(default)]
    pub if_connected: IfConnected,
    /// Maximum time to wait for connected users.
    #[serde(default = "connected_wait", with = "humantime_serde")]
    pub connected_wait: Duration,
    /// Maximum time that the instance stays stopped before the image is started.
    #[serde(default = "max_downtime", with = "humantime_serde")]
    pub max_downtime: Duration,
    /// The operator's commands around the bake.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Regions that a finished image is distributed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

impl BakeSettings {
    /// Whether the create call needs the id of a session.
    pub fn has_sessions(&self) -> bool {
        self.instance_type == InstanceType::WuyingServer
    }

    /// Whether that is one which the configuration does not name.
    pub fn asks_for_session(&self) -> bool {
        self.has_sessions() && self.sub_instance_id.is_none()
    }

    /// Whether a maintenance keeps users out around the stop.
    pub fn keeps_users_out(&self) -> bool {
        self.maintenance
            && self.instance_type == InstanceType::CloudDesktop
            && self.stop_instance != StopInstance::Never
    }

    /// Last instant at which a bake of `slot` may stop its instance or start its image: `deadline` after
    /// `counted_from`, or `not_after` if that is earlier.
    pub fn give_up_at(&self, slot: DateTime<Utc>, counted_from: DateTime<Utc>) -> DateTime<Utc> {
        let deadline = shifted(counted_from, TimeDelta::from_std(self.deadline).unwrap_or(TimeDelta::MAX));
        self.first_not_after(slot).map_or(deadline, |not_after| not_after.min(deadline))
    }

    /// First instant after `slot` at which clocks in `timezone` show `not_after`.
    pub fn first_not_after(&self, slot: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = self.not_after?;
        let slot_day = slot.with_timezone(&self.timezone).date_naive();
        (0..3).find_map(|days| {
            let local = slot_day.checked_add_days(Days::new(days))?.and_time(time);
            self.instants(local).into_iter().flatten().find(|instant| *instant > slot)
        })
    }

    /// Instants at which clocks show `local`, in order. A time that a clock change skips counts as if the clock had not
    /// changed yet.
    fn instants(&self, local: NaiveDateTime) -> [Option<DateTime<Utc>>; 2] {
        const LONGER_THAN_A_CHANGE: TimeDelta = TimeDelta::hours(3);
        let utc = |local: NaiveDateTime| {
            let found = self.timezone.from_local_datetime(&local);
            [found.earliest(), found.latest()].map(|found| found.map(|instant| instant.to_utc()))
        };
        match (utc(local), local.checked_sub_signed(LONGER_THAN_A_CHANGE)) {
            ([None, _], Some(before)) => utc(before).map(|found| found?.checked_add_signed(LONGER_THAN_A_CHANGE)),
            (found, _) => found,
        }
    }
}

/// `DiskType` of CreateImageByInstance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DiskType {
    /// System disk and data disks; the cloud's default.
    All,
    /// The system disk alone.
    System,
}

impl DiskType {
    /// Spelling of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::System => "SYSTEM",
        }
    }
}

/// `stop_instance`: whether the instance is stopped before its image is made, and started afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopInstance {
    /// The image is made of the running instance.
    Never,
    /// The instance is stopped if it runs. If the cloud rejects the stop, the image is made of the running instance.
    IfRunning,
    /// No image is made unless the instance is stopped.
    Required,
}

/// Default of `connected_wait`, also for rows that are older than the key.
pub const CONNECTED_WAIT: Duration = Duration::from_hours(1);

/// Default of `max_downtime`, also for rows that are older than the key.
pub const MAX_DOWNTIME: Duration = Duration::from_mins(30);

fn max_downtime() -> Duration {
    MAX_DOWNTIME
}

fn connected_wait() -> Duration {
    CONNECTED_WAIT
}

/// `if_connected`: whether the instance is stopped while a user is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfConnected {
    /// The stop waits until the users have left, at most for `connected_wait`.
    #[default]
    Wait,
    /// The slot is skipped.
    Skip,
    /// The instance is stopped.
    Proceed,
}

/// `StoppedMode` of ecd StopDesktops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoppedMode {
    /// Resources stay reserved and billed: the start cannot fail for lack of stock.
    KeepCharging,
    /// Compute resources are released: the start can fail for lack of stock.
    StopCharging,
}

impl StoppedMode {
    /// Spelling of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeepCharging => "KeepCharging",
            Self::StopCharging => "StopCharging",
        }
    }
}

/// `retry = { attempts, base, cap }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Maximum number of calls, the first included; at least 1.
    pub attempts: u32,
    /// Upper bound of the first delay; doubles with each attempt.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// Maximum delay, unless the server asks for more.
    #[serde(with = "humantime_serde")]
    pub cap: Duration,
    /// How often an image is created again after the cloud lists it as CREATE_FAILED.
    #[serde(default = "rebakes")]
    pub rebakes: u32,
}

/// Default of `retry.rebakes`, also for rows that are older than the key.
pub const REBAKES: u32 = 1;

fn rebakes() -> u32 {
    REBAKES
}

/// Settings for tests: a cloud desktop that is imaged as it is, at the defaults of the configuration.
#[cfg(test)]
#[expect(clippy::missing_panics_doc, reason = "for tests alone")]
pub fn example() -> BakeSettings {
    BakeSettings {
        instance_type: InstanceType::CloudDesktop,
        instance_region: "cn-hangzhou".to_owned(),
        sub_instance_id: None,
        disk_type: DiskType::All,
        auto_clean_userdata: None,
        copy_profile: None,
        biz_type: None,
        product_type: None,
        tags: BTreeMap::new(),
        image_name: "{name}-{slot}-v{version}".to_owned(),
        description: None,
        timezone: Zone::find("Asia/Shanghai").expect("a zone"),
        deadline: Duration::from_hours(4),
        not_after: None,
        build_deadline: Duration::from_hours(12),
        retry: RetryPolicy {
            attempts: 5,
            base: Duration::from_secs(30),
            cap: Duration::from_mins(10),
            rebakes: REBAKES,
        },
        stop_instance: StopInstance::Never,
        stopped_mode: StoppedMode::KeepCharging,
        maintenance: false,
        if_connected: IfConnected::Wait,
        connected_wait: CONNECTED_WAIT,
        max_downtime: MAX_DOWNTIME,
        hooks: Hooks::default(),
        regions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bake::transition::tests::settings;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn not_after_is_the_first_such_local_time_after_the_slot() {
        for (zone, time, slot, wanted) in [
            ("Asia/Shanghai", (7, 0), "2026-03-01T19:00:00Z", "2026-03-01T23:00:00Z"),
            ("Asia/Shanghai", (7, 0), "2026-03-01T15:00:00Z", "2026-03-01T23:00:00Z"),
            ("Asia/Shanghai", (7, 0), "2026-03-01T23:00:00Z", "2026-03-02T23:00:00Z"),
            ("UTC", (0, 0), "2026-12-31T03:00:00Z", "2027-01-01T00:00:00Z"),
            // 02:30 does not exist on 2026-03-29 in Berlin; clocks show 03:30 at that instant.
            ("Europe/Berlin", (2, 30), "2026-03-28T23:00:00Z", "2026-03-29T01:30:00Z"),
            // 02:30 occurs twice on 2026-10-25.
            ("Europe/Berlin", (2, 30), "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", (2, 30), "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"),
        ] {
            let settings = BakeSettings {
                timezone: zone.parse().expect("a zone"),
                not_after: NaiveTime::from_hms_opt(time.0, time.1, 0),
                ..settings()
            };
            assert_eq!(settings.first_not_after(utc(slot)), Some(utc(wanted)), "{zone} {time:?} {slot}");
        }
    }

    #[test]
    fn the_earlier_of_deadline_and_not_after_ends_a_bake() {
        let slot = utc("2026-03-01T19:00:00Z");
        let until = |hour| {
            let settings = BakeSettings { not_after: NaiveTime::from_hms_opt(hour, 0, 0), ..settings() };
            settings.give_up_at(slot, slot)
        };
        assert_eq!((until(4), until(7)), (utc("2026-03-01T20:00:00Z"), utc("2026-03-01T21:00:00Z")));
    }
}
