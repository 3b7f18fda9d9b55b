//! `[defaults]`, `[profile.NAME]` and `[[schedule]]`: from tables to [`Schedule`]s.
//!
//! The three kinds of table have one set of keys. A schedule takes each key from the first that has it: itself, its
//! profile, `[defaults]`, the built-in defaults. `retry`, `hooks`, `keep` and `tags` are taken whole, not key by key.
//!
//! A key of `[defaults]` that only one kind of machine knows is passed over for the other kind; in a profile or a
//! schedule it is a mistake.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    reader::{At, Diagnostics, Item, Mark, Source, suggestion, unknown_key},
    schedule_keys::{OWN, RETRY, ScheduleLayer, TemplateText},
    source_map::WrittenValue,
};
use crate::domain::{
    api::instance_state::InstanceType,
    bake::{
        naming::{Template, TemplateError, Values},
        settings::{BakeSettings, CONNECTED_WAIT, DiskType, IfConnected, StopInstance, StoppedMode},
    },
    calendar::{Timing, zone::Zone},
    catch_up::CatchUp,
    ids::InstanceId,
    schedule::{Instances, Overlap, Schedule},
};

const IMAGE_NAME: &str = "{name}-{slot:%Y%m%d-%H%M}-v{version}";
/// The version that names are tried with: as many digits as a line will ever need.
const TRIAL_VERSION: u32 = 9999;

impl<'s> ScheduleLayer<'s> {
    /// Reads a table that several schedules share: it says nothing of any single one, and its times are tried here
    /// because no schedule may use them.
    fn read_shared(&mut self, source: &'s Source, item: Item<'_, 's>, what: &str, out: &mut Diagnostics) {
        let Some(table) = item.table("a table of a schedule's keys", out) else { return };
        for (key, value) in table {
            let mark = source.mark(key.span());
            match key.get_ref().as_ref() {
                key if OWN.contains(&key) => {
                    let message = format!("`{key}` belongs to a single schedule, not to {what}");
                    out.error(mark, "misplaced-key", message, Some("move it into a [[schedule]]".into()));
                }
                key => {
                    if self.set(key, Item::new(source, value), out).is_none() {
                        unknown_key(mark, key, Self::KEYS, out);
                    }
                }
            }
        }
        if let Some(cron) = &self.cron {
            let zone = self.timezone.as_ref().map_or(Zone::UTC, |zone| zone.value);
            parse_cron(&cron.value, zone, Duration::ZERO, "", out);
        }
    }
}

/// What every schedule can build upon, of all files.
#[derive(Debug, Default)]
pub(super) struct SharedSettings<'s> {
    defaults: ScheduleLayer<'s>,
    profiles: HashMap<String, ScheduleLayer<'s>>,
}

impl<'s> SharedSettings<'s> {
    /// Lays a file's `[defaults]` over those of the files before it.
    pub(super) fn add_defaults(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        self.defaults.read_shared(source, item, "[defaults]", out);
    }

    /// Lays a file's profiles over those of the files before it.
    pub(super) fn add_profiles(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        let Some(table) = item.table("tables named [profile.NAME]", out) else { return };
        for (name, value) in table {
            let profile = self.profiles.entry(name.get_ref().to_string()).or_default();
            profile.read_shared(source, Item::new(source, value), "a profile", out);
        }
    }
}

/// Reads schedules one after the other, watching what must be unique among them.
#[derive(Debug)]
pub(super) struct Schedules<'a, 's> {
    shared: &'a SharedSettings<'s>,
    cloud_region: &'a str,
    image_name: TemplateText,
    none: ScheduleLayer<'s>,
    names: HashMap<String, Mark<'s>>,
    ids: HashMap<String, Mark<'s>>,
    settings: HashSet<Arc<BakeSettings>>,
    pub done: Vec<Arc<Schedule>>,
    /// Where each of them was written, if that is wanted.
    pub written: Option<Vec<WrittenValue>>,
}

impl<'a, 's> Schedules<'a, 's> {
    /// Fails only if the built-in template were wrong, which a test excludes.
    pub(super) fn new(
        shared: &'a SharedSettings<'s>,
        cloud_region: &'a str,
        marked: bool,
    ) -> Result<Self, TemplateError> {
        Ok(Self {
            shared,
            cloud_region,
            image_name: (IMAGE_NAME.into(), Template::parse(IMAGE_NAME)?),
            none: ScheduleLayer::default(),
            names: HashMap::new(),
            ids: HashMap::new(),
            settings: HashSet::new(),
            done: Vec::new(),
            written: marked.then(Vec::new),
        })
    }

    /// Reads one `[[schedule]]`.
    pub(super) fn add(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        let Some(table) = item.table("a [[schedule]]", out) else { return };
        let own = ScheduleLayer::read(source, table, out);
        // A key that is there but wrong has its problem already and is not missing.
        let absent = |key: &str| !table.contains_key(key);

        let mut lacking = Vec::new();
        if absent("name") {
            lacking.push("`name`");
        }
        self.claim(&own, out);

        let profile = own.profile.as_ref().and_then(|profile| {
            let found = self.shared.profiles.get(&profile.value);
            if found.is_none() {
                let known: Vec<&str> = self.shared.profiles.keys().map(String::as_str).collect();
                let hint = if known.is_empty() {
                    Some(format!("there are no profiles; add [profile.{}]", profile.value))
                } else {
                    Some(suggestion(&profile.value, &known))
                };
                out.missing(profile.mark, "unknown-profile", format!("unknown profile `{}`", profile.value), hint);
            }
            found
        });
        let (profile, defaults) = (profile.unwrap_or(&self.none), &self.shared.defaults);

        /// The key's value from the innermost table that has it.
        macro_rules! pick {
            ($key:ident) => {
                own.$key.as_ref().or(profile.$key.as_ref()).or(defaults.$key.as_ref())
            };
            ($key:ident, $default:expr) => {
                pick!($key).map_or($default, |at| at.value)
            };
        }

        let instances = match (&own.instance_id, &own.instance_ids) {
            (Some(_), Some(many)) => {
                let message = "a schedule has `instance_id` or `instance_ids`, not both";
                out.error(many.mark, "conflicting-keys", message, Some("remove one of the two".into()));
                None
            }
            (Some(one), None) => Some(Instances::One(InstanceId::new(&*one.value))),
            (None, Some(many)) => Some(Instances::Many(many.value.iter().map(|id| InstanceId::new(&**id)).collect())),
            (None, None) => {
                if absent("instance_id") && absent("instance_ids") {
                    lacking.push("`instance_id`");
                }
                None
            }
        };
        let written = own.instance_id.as_ref().map(|at| at.mark).or(own.instance_ids.as_ref().map(|at| at.mark));
        let kind = match (&instances, written) {
            (Some(instances), Some(mark)) => kind(instances, mark, pick!(instance_type), absent("instance_type"), out),
            _ => pick!(instance_type).map(|at| at.value),
        };

        /// A key of one kind of machine: `None` for the other kind, with a complaint unless it comes from [defaults].
        macro_rules! only {
            ($key:ident, $kind:path, $report:ident, $code:literal, $message:literal) => {
                match kind {
                    Some(kind) if kind != $kind => {
                        if let Some(at) = own.$key.as_ref().or(profile.$key.as_ref()) {
                            out.$report(at.mark, $code, $message, Some("remove it".into()));
                        }
                        None
                    }
                    _ => pick!($key),
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
        let stopped_mode = only!(
            stopped_mode,
            InstanceType::CloudDesktop,
            warning,
            "no-effect",
            "`stopped_mode` has no effect on a workstation"
        );

        let name = own.name.as_ref().map(|at| at.value.as_str());
        let timezone = pick!(timezone, Zone::UTC);
        let jitter = pick!(jitter, Duration::ZERO);
        let cron = pick!(cron);
        if cron.is_none() && absent("cron") {
            lacking.push("`cron`");
        }
        if !lacking.is_empty() {
            let message = format!("this schedule has no {}", lacking.join(", no "));
            let hint = "a schedule needs a name, an instance (`instance_id = \"ecd-…\"`, or a list `instance_ids`) and \
                        times (`cron = \"0 3 * * *\"`, which may stand in its profile or in [defaults])";
            out.missing(item.mark, "missing-key", message, Some(hint.into()));
        }
        // By the id, so that a rename leaves the slots of `H` where they are.
        let seed = own.id.as_ref().map_or(name.unwrap_or(""), |at| at.value.as_str());
        let timing = cron.and_then(|cron| parse_cron(&cron.value, timezone, jitter, seed, out));

        let image_name = pick!(image_name);
        let description = pick!(description);
        let (Some(name), Some(instances), Some(instance_type), Some(timing)) = (name, instances, kind, timing) else {
            return;
        };
        let id = own.id.as_ref().map_or(name, |at| at.value.as_str());
        let values = Values {
            name,
            id,
            instance_id: instances.as_slice().first().map_or("", InstanceId::as_str),
            slot: DateTime::<Utc>::UNIX_EPOCH,
            zone: timezone,
            version: TRIAL_VERSION,
        };
        let own_name = own.name.as_ref().map_or(item.mark, |at| at.mark);
        let (text, template) = image_name.map_or(&self.image_name, |at| &at.value);
        check_image_name(&template.render(&values), image_name.map_or(own_name, |at| at.mark), out);
        if let Some(At { value: (_, template), mark }) = description {
            let length = template.render(&values).chars().count();
            if length > 256 {
                out.error(
                    *mark,
                    "bad-description",
                    format!("a description of {length} characters is too long"),
                    Some("at most 256".into()),
                );
            }
        }

        let retry = pick!(retry, RETRY);
        let settings = BakeSettings {
            instance_type,
            instance_region: pick!(instance_region).map_or_else(|| self.cloud_region.to_owned(), |at| at.value.clone()),
            sub_instance_id: sub_instance_id.map(|at| at.value.clone()),
            disk_type: pick!(disk_type, DiskType::All),
            auto_clean_userdata: auto_clean_userdata.map(|at| at.value),
            copy_profile: pick!(copy_profile).map(|at| at.value),
            biz_type: pick!(biz_type).map(|at| at.value),
            product_type: pick!(product_type).map(|at| at.value.clone()),
            tags: pick!(tags).map(|at| at.value.clone()).unwrap_or_default(),
            image_name: text.clone(),
            description: description.map(|at| at.value.0.clone()),
            timezone,
            deadline: pick!(deadline, Duration::from_hours(4)),
            build_deadline: pick!(build_deadline, Duration::from_hours(12)),
            retry,
            stop_instance: pick!(stop_instance, StopInstance::Never),
            stopped_mode: stopped_mode.map_or(StoppedMode::KeepCharging, |at| at.value),
            if_connected: pick!(if_connected, IfConnected::Wait),
            connected_wait: pick!(connected_wait, CONNECTED_WAIT),
            hooks: pick!(hooks).map(|at| at.value.clone()).unwrap_or_default(),
            regions: pick!(regions).map(|at| at.value.clone()).unwrap_or_default(),
        };
        for mark in [own.if_connected.as_ref().map(|at| at.mark), own.connected_wait.as_ref().map(|at| at.mark)] {
            if let Some(mark) = mark.filter(|_| settings.stop_instance == StopInstance::Never) {
                let message = "this has no effect on an instance that is not stopped";
                out.warning(mark, "no-effect", message, Some("set `stop_instance`, or remove it".into()));
            }
        }
        let schedule = Schedule {
            id: id.into(),
            name: name.into(),
            instances,
            timing,
            catch_up: pick!(catch_up, CatchUp::Latest),
            catch_up_window: pick!(catch_up_window, Duration::from_hours(6)),
            overlap: pick!(overlap, Overlap::Queue),
            paused: pick!(paused, false),
            max_image_age: pick!(max_image_age, None),
            keep: pick!(keep).map(|at| at.value.clone()),
            channels: pick!(channels).map(|at| at.value.clone()).unwrap_or_default(),
            settings: intern(&mut self.settings, settings),
        };
        self.done.push(Arc::new(schedule));
        if let Some(written) = &mut self.written {
            let of = |mark: Mark<'s>| mark.span();
            written.push(WrittenValue {
                name: own_name.span(),
                cron: cron.into_iter().flat_map(|cron| &cron.value).map(|at| of(at.mark)).collect(),
                own_cron: own.cron.is_some(),
                own_zone: own.timezone.as_ref().map(|at| of(at.mark)),
                keep: pick!(keep).map(|at| of(at.mark)),
                paused: pick!(paused).map(|at| of(at.mark)),
                max_image_age: pick!(max_image_age).map(|at| of(at.mark)),
                catch_up_window: pick!(catch_up_window).map(|at| of(at.mark)),
            });
        }
    }

    /// Name and id are taken once in all files. An id may not be another schedule's name either, where that stands for
    /// its id.
    fn claim(&mut self, own: &ScheduleLayer<'s>, out: &mut Diagnostics) {
        let Some(name) = &own.name else { return };
        if let Some(first) = self.names.get(&name.value) {
            let message = format!("the name `{}` is taken", name.value);
            out.error_with_related(name.mark, "duplicate-name", message, (*first, "the first schedule of this name"));
            return;
        }
        self.names.insert(name.value.clone(), name.mark);
        let id = own.id.as_ref().unwrap_or(name);
        if let Some(first) = self.ids.get(&id.value) {
            let message = format!("the id `{}` is taken", id.value);
            out.error_with_related(id.mark, "duplicate-id", message, (*first, "the first schedule of this id"));
        } else {
            self.ids.insert(id.value.clone(), id.mark);
        }
    }
}

/// The one copy of equal settings: thousands of schedules mostly share a few.
fn intern(known: &mut HashSet<Arc<BakeSettings>>, settings: BakeSettings) -> Arc<BakeSettings> {
    if let Some(shared) = known.get(&settings) {
        return Arc::clone(shared);
    }
    let settings = Arc::new(settings);
    known.insert(Arc::clone(&settings));
    settings
}

/// What kind of machine the instances are: as written, else as their prefix says.
fn kind(
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
    if let Some(written) = written {
        if first.is_some_and(|first| uniform && first != written.value) {
            let message = format!("instances of this prefix are not of type {}", written.value.as_str());
            out.warning(written.mark, "type-mismatch", message, None);
        }
        return Some(written.value);
    }
    if first.is_some() && uniform {
        return first;
    }
    if absent {
        let message = "the kind of these instances cannot be told from their prefix";
        let hint = Some("add `instance_type = \"CloudDesktop\"` or `\"WuyingServer\"`".into());
        out.error(mark, "missing-key", message, hint);
    }
    None
}

fn parse_cron(
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
        let message = format!("image names would have {length} characters, like `{example}`");
        out.error(mark, "bad-image-name", message, Some("2 to 128".into()));
    } else if !example.starts_with(char::is_alphabetic) {
        let message = format!("image names must start with a letter, unlike `{example}`");
        out.error(mark, "bad-image-name", message, Some("give `image_name` a letter to begin with".into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_name_is_sound() {
        let template = Template::parse(IMAGE_NAME).expect("sound");
        assert!(template.tells_slots_apart());
        assert!(Schedules::new(&SharedSettings::default(), "cn-shanghai", false).is_ok());
    }
}
