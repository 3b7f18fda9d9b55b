//! Merges the three layers of one schedule: its own table, its profile and `[defaults]`.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    reader::{At, Diagnostics, Mark},
    schedule_keys::{RETRY, ScheduleLayer, TemplateText},
    source_map::WrittenValue,
};
use crate::domain::{
    api::instance_state::InstanceType,
    bake::{
        naming::{LAST_VERSION, Values},
        settings::{BakeSettings, CONNECTED_WAIT, DiskType, IfConnected, MAX_DOWNTIME, StopInstance, StoppedMode},
    },
    calendar::{Timing, zone::Zone},
    ids::InstanceId,
    schedule::Instances,
};

/// Values of `BizType`.
const BIZ_TYPES: [i32; 5] = [1, 2, 3, 4, 10];

/// The tables of a schedule; the first one with a key counts.
#[derive(Clone, Copy)]
pub(super) struct ScheduleLayers<'l, 's> {
    pub own: &'l ScheduleLayer<'s>,
    pub profile: &'l ScheduleLayer<'s>,
    pub defaults: &'l ScheduleLayer<'s>,
}

/// Keys of one type of instance.
#[derive(Debug)]
pub(super) struct MachineKeys {
    auto_clean_userdata: Option<bool>,
    sub_instance_id: Option<String>,
    stopped_mode: StoppedMode,
    maintenance: bool,
}

/// Value of the key from the innermost table that has it.
macro_rules! pick {
    ($layers:expr, $key:ident) => {
        $layers.own.$key.as_ref().or($layers.profile.$key.as_ref()).or($layers.defaults.$key.as_ref())
    };
    ($layers:expr, $key:ident, $default:expr) => {
        pick!($layers, $key).map_or($default, |at| at.value)
    };
}
pub(super) use pick;

impl<'s> ScheduleLayers<'_, 's> {
    /// Instances of the schedule; `None` if there are none or both keys are set.
    pub(super) fn instances(&self, out: &mut Diagnostics) -> Option<Instances> {
        match (&self.own.instance_id, &self.own.instance_ids) {
            (Some(_), Some(many)) => {
                let message = "a schedule has `instance_id` or `instance_ids`, not both";
                out.error(many.mark, "conflicting-keys", message, Some("remove one of the two".into()));
                None
            }
            (Some(one), None) => Some(Instances::One(InstanceId::new(&*one.value))),
            (None, Some(many)) => Some(Instances::Many(many.value.iter().map(|id| InstanceId::new(&**id)).collect())),
            (None, None) => None,
        }
    }

    /// The type of the instances; `is_absent` is whether the schedule itself has no `instance_type`.
    pub(super) fn instance_type(
        &self,
        instances: Option<&Instances>,
        is_absent: bool,
        out: &mut Diagnostics,
    ) -> Option<InstanceType> {
        let own = self.own;
        let written = own.instance_id.as_ref().map(|at| at.mark).or(own.instance_ids.as_ref().map(|at| at.mark));
        match (instances, written) {
            (Some(instances), Some(mark)) => type_of(instances, mark, pick!(self, instance_type), is_absent, out),
            _ => pick!(self, instance_type).map(|at| at.value),
        }
    }

    /// Reads the keys of one type of instance. Reports a key of the other type unless it is from `[defaults]`.
    pub(super) fn machine_keys(&self, instance_type: Option<InstanceType>, out: &mut Diagnostics) -> MachineKeys {
        macro_rules! only {
            ($key:ident, $type:path, $report:ident, $code:literal, $message:literal) => {
                match instance_type {
                    Some(instance_type) if instance_type != $type => {
                        if let Some(at) = self.own.$key.as_ref().or(self.profile.$key.as_ref()) {
                            out.$report(at.mark, $code, $message, Some("remove it".into()));
                        }
                        None
                    }
                    _ => pick!(self, $key),
                }
            };
        }
        let auto_clean_userdata = only!(
            auto_clean_userdata,
            InstanceType::CloudDesktop,
            error,
            "not-for-workstations",
            "`auto_clean_userdata` works on cloud desktops only, and this is a workstation"
        );
        let sub_instance_id = only!(
            sub_instance_id,
            InstanceType::WuyingServer,
            error,
            "not-for-desktops",
            "`sub_instance_id` belongs to workstations, and this is a cloud desktop"
        );
        let several = self.own.instance_ids.as_ref().is_some_and(|many| many.value.len() > 1);
        if let Some(at) = sub_instance_id.filter(|_| several) {
            let message = "a session belongs to one workstation, and this schedule has several";
            let hint = "write one schedule for each workstation whose session is chosen";
            out.error(at.mark, "one-session-for-several", message, Some(hint.into()));
        }
        let stopped_mode = only!(
            stopped_mode,
            InstanceType::CloudDesktop,
            warning,
            "no-effect",
            "`stopped_mode` has no effect on a workstation"
        );
        let maintenance = only!(
            maintenance,
            InstanceType::CloudDesktop,
            error,
            "not-for-workstations",
            "`maintenance` works on cloud desktops only, and this is a workstation"
        );
        MachineKeys {
            maintenance: maintenance.is_some_and(|at| at.value),
            auto_clean_userdata: auto_clean_userdata.map(|at| at.value),
            sub_instance_id: sub_instance_id.map(|at| at.value.clone()),
            stopped_mode: stopped_mode.map_or(StoppedMode::KeepCharging, |at| at.value),
        }
    }

    /// Reports missing required keys.
    pub(super) fn report_missing(&self, at: Mark<'s>, is_absent: impl Fn(&str) -> bool, out: &mut Diagnostics) {
        let mut missing = Vec::new();
        if is_absent("name") {
            missing.push("`name`");
        }
        if is_absent("instance_id") && is_absent("instance_ids") {
            missing.push("`instance_id`");
        }
        if pick!(self, cron).is_none() && is_absent("cron") {
            missing.push("`cron`");
        }
        if !missing.is_empty() {
            let message = format!("this schedule has no {}", missing.join(", no "));
            let hint = "a schedule needs a name, an instance (`instance_id = \"ecd-…\"`, or a list `instance_ids`) and \
                        times (`cron = \"0 3 * * *\"`, which may stand in its profile or in [defaults])";
            out.missing(at, "missing-key", message, Some(hint.into()));
        }
    }

    /// Timing of the schedule. `H` is seeded by the id, so that a rename does not move slots.
    pub(super) fn timing(&self, out: &mut Diagnostics) -> Option<Timing> {
        let seed = self.own.id.as_ref().or(self.own.name.as_ref()).map_or("", |at| at.value.as_str());
        let jitter = pick!(self, jitter, Duration::ZERO);
        parse_cron(&pick!(self, cron)?.value, self.timezone(), jitter, seed, out)
    }

    fn timezone(&self) -> Zone {
        pick!(self, timezone, Zone::UTC)
    }

    /// Renders the templates with their longest values and checks the cloud's rules for names and descriptions.
    pub(super) fn check_templates(
        &self,
        name: &str,
        instances: &Instances,
        (_, image_name): &TemplateText,
        own_name: Mark<'s>,
        out: &mut Diagnostics,
    ) {
        let ids = instances.as_slice().iter().map(InstanceId::as_str);
        let values = Values {
            name,
            id: self.own.id.as_ref().map_or(name, |at| at.value.as_str()),
            instance_id: ids.max_by_key(|id| id.len()).unwrap_or_default(),
            slot: DateTime::<Utc>::UNIX_EPOCH,
            zone: self.timezone(),
            version: LAST_VERSION,
        };
        let mark = pick!(self, image_name).map_or(own_name, |at| at.mark);
        check_image_name(&image_name.longest(&values), mark, out);
        if let Some(At { value: (_, template), mark }) = pick!(self, description) {
            let length = template.longest(&values).chars().count();
            if length > 256 {
                let message = format!("descriptions would have up to {length} characters");
                out.error(*mark, "bad-description", message, Some("at most 256".into()));
            }
        }
    }

    /// Settings of the schedule's bakes.
    pub(super) fn settings(
        &self,
        instance_type: InstanceType,
        machine_keys: MachineKeys,
        (image_name, _): &TemplateText,
        cloud_region: &str,
    ) -> BakeSettings {
        BakeSettings {
            instance_type,
            instance_region: pick!(self, instance_region)
                .map_or_else(|| cloud_region.to_owned(), |at| at.value.clone()),
            sub_instance_id: machine_keys.sub_instance_id,
            disk_type: pick!(self, disk_type, DiskType::All),
            auto_clean_userdata: machine_keys.auto_clean_userdata,
            copy_profile: pick!(self, copy_profile).map(|at| at.value),
            biz_type: pick!(self, biz_type).map(|at| at.value),
            product_type: pick!(self, product_type).map(|at| at.value.clone()),
            tags: pick!(self, tags).map(|at| at.value.clone()).unwrap_or_default(),
            image_name: image_name.clone(),
            description: pick!(self, description).map(|at| at.value.0.clone()),
            timezone: self.timezone(),
            deadline: pick!(self, deadline, Duration::from_hours(4)),
            not_after: pick!(self, not_after, None),
            build_deadline: pick!(self, build_deadline, Duration::from_hours(12)),
            retry: pick!(self, retry, RETRY),
            stop_instance: pick!(self, stop_instance, StopInstance::Never),
            stopped_mode: machine_keys.stopped_mode,
            maintenance: machine_keys.maintenance,
            if_connected: pick!(self, if_connected, IfConnected::Wait),
            connected_wait: pick!(self, connected_wait, CONNECTED_WAIT),
            max_downtime: pick!(self, max_downtime, MAX_DOWNTIME),
            hooks: pick!(self, hooks).map(|at| at.value.clone()).unwrap_or_default(),
            regions: pick!(self, regions).map(|at| at.value.clone()).unwrap_or_default(),
        }
    }

    /// The API page names these values; the cloud refuses any other when the image is made.
    pub(super) fn check_biz_type(&self, out: &mut Diagnostics) {
        let Some(at) = pick!(self, biz_type).filter(|at| !BIZ_TYPES.contains(&at.value)) else { return };
        let message = format!("the cloud has no `biz_type` {}", at.value);
        let hint = "1 (base), 2 (personal), 3 (cloud office), 4 (cloud flow) or 10 (standard)";
        out.error(at.mark, "bad-value", message, Some(hint.into()));
    }

    /// Warns of the schedule's own keys that apply only if its instance is stopped.
    pub(super) fn warn_of_unused_waits(&self, settings: &BakeSettings, out: &mut Diagnostics) {
        if settings.stop_instance != StopInstance::Never {
            return;
        }
        let own = self.own;
        let marks = [
            own.if_connected.as_ref().map(|at| at.mark),
            own.connected_wait.as_ref().map(|at| at.mark),
            own.max_downtime.as_ref().map(|at| at.mark),
            own.maintenance.as_ref().filter(|at| at.value).map(|at| at.mark),
        ];
        for mark in marks.into_iter().flatten() {
            let message = "this has no effect on an instance that is not stopped";
            out.warning(mark, "no-effect", message, Some("set `stop_instance`, or remove it".into()));
        }
    }

    /// Places of the keys that warnings point to.
    pub(super) fn written(&self, own_name: Mark<'s>) -> WrittenValue {
        WrittenValue {
            name: own_name.span(),
            cron: pick!(self, cron).into_iter().flat_map(|cron| &cron.value).map(|at| at.mark.span()).collect(),
            own_cron: self.own.cron.is_some(),
            own_zone: self.own.timezone.as_ref().map(|at| at.mark.span()),
            keep: pick!(self, keep).map(|at| at.mark.span()),
            paused: pick!(self, paused).map(|at| at.mark.span()),
            max_image_age: pick!(self, max_image_age).map(|at| at.mark.span()),
            catch_up_window: pick!(self, catch_up_window).map(|at| at.mark.span()),
            catch_up_window_is_default: self.own.catch_up_window.is_none() && self.profile.catch_up_window.is_none(),
            zone: pick!(self, timezone).map(|at| at.mark.span()),
            jitter: pick!(self, jitter).map(|at| at.mark.span()),
            stop_instance: pick!(self, stop_instance).map(|at| at.mark.span()),
            hooks: pick!(self, hooks).map(|at| at.mark.span()),
            regions: pick!(self, regions).map(|at| at.mark.span()),
            image_name: pick!(self, image_name).map(|at| at.mark.span()),
            description: pick!(self, description).map(|at| at.mark.span()),
            tags: pick!(self, tags).map(|at| at.mark.span()),
        }
    }
}

/// Type of the instances: as configured, else by their prefix.
fn type_of(
    instances: &Instances,
    mark: Mark<'_>,
    written: Option<&At<'_, InstanceType>>,
    absent: bool,
    out: &mut Diagnostics,
) -> Option<InstanceType> {
    let by_prefix = |id: &InstanceId| match id.as_str() {
        id if id.starts_with("ecd-") => Some(InstanceType::CloudDesktop),
        id if id.starts_with("ws-") => Some(InstanceType::WuyingServer),
        _ => None,
    };
    let mut kinds = instances.as_slice().iter().map(by_prefix);
    let first = kinds.next().flatten();
    let uniform = kinds.all(|kind| kind == first);
    let has = |kind| instances.as_slice().iter().any(|id| by_prefix(id) == Some(kind));
    if has(InstanceType::CloudDesktop) && has(InstanceType::WuyingServer) {
        let hint = "write two schedules: one with the ids that begin with `ecd-`, one with those that begin with `ws-`";
        let message = "cloud desktops and workstations cannot be in one schedule";
        out.error(mark, "mixed-instances", message, Some(hint.into()));
        return None;
    }
    if let Some(written) = written {
        if first.is_some_and(|first| uniform && first != written.value) {
            let message = format!("instances of this prefix are not of type {}", written.value.as_str());
            out.warning(
                written.mark,
                "type-mismatch",
                message,
                Some("leave it out: the prefix of the ids shows the type".into()),
            );
        }
        return Some(written.value);
    }
    if first.is_some() && uniform {
        return first;
    }
    if absent {
        let message = "the prefix of these instances does not show their kind";
        let has = |prefixes: &[&str]| {
            instances.as_slice().iter().any(|id| prefixes.iter().any(|prefix| id.as_str().starts_with(prefix)))
        };
        let hint = if has(&["i-"]) {
            "ids that begin with `i-` are of ECS: desktops begin with `ecd-`, workstations with `ws-`"
        } else if has(&["p-"]) {
            "an id that begins with `p-` is a session: write the id of its workstation (`ws-…`), and this one as \
             `sub_instance_id`"
        } else if has(&["imgc-", "m-", "desktopimage-"]) {
            "this is an image: write the id of the instance that is imaged (`ecd-…` or `ws-…`)"
        } else {
            "add `instance_type = \"CloudDesktop\"` or `\"WuyingServer\"`"
        };
        out.error(mark, "missing-key", message, Some(hint.into()));
    }
    None
}

/// Parses the expressions and reports the first error in its place.
pub(super) fn parse_cron(
    cron: &[At<'_, String>],
    zone: Zone,
    jitter: Duration,
    seed: &str,
    out: &mut Diagnostics,
) -> Option<Timing> {
    let expressions: Vec<&str> = cron.iter().map(|at| at.value.as_str()).collect();
    match Timing::parse(&expressions, zone, jitter, seed) {
        Ok(timing) => Some(timing),
        Err(error) => {
            if let Some(at) = cron.get(error.index) {
                let hint = (!error.hint.is_empty()).then_some(error.hint);
                out.error(at.mark.inside(&at.value, error.span), "bad-cron", error.message, hint);
            }
            None
        }
    }
}

/// The published rule for names of desktop images: 2 to 128 characters, a letter first.
fn check_image_name(example: &str, mark: Mark<'_>, out: &mut Diagnostics) {
    let length = example.chars().count();
    if !(2..=128).contains(&length) {
        let message = format!("image names would have up to {length} characters, like `{example}`");
        out.error(mark, "bad-image-name", message, Some("2 to 128".into()));
    } else if !example.starts_with(char::is_alphabetic) {
        let message = format!("image names must start with a letter, unlike `{example}`");
        out.error(mark, "bad-image-name", message, Some("give `image_name` a letter to begin with".into()));
    }
}
