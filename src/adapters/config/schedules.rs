//! Reads `[defaults]`, `[profile.NAME]` and `[[schedule]]` into [`Schedule`]s.
//!
//! The three kinds of table share their keys. A schedule takes each key from the first table that has it: itself, its
//! profile, `[defaults]`, the built-in defaults. `retry`, `hooks`, `keep` and `tags` are taken as a whole, not key by
//! key.
//!
//! A key of `[defaults]` for one kind of machine is skipped for the other kind; in a profile or a schedule it is an
//! error.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    hidden,
    reader::{Diagnostics, Item, Mark, Source},
    schedule_keys::{OWN, ScheduleLayer, TemplateText},
    schedule_layers::{ScheduleLayers, parse_cron, pick},
    source_map::WrittenValue,
    suggest::suggestion,
    unknown_keys::unknown_key,
};
use crate::domain::{
    bake::{
        naming::{Template, TemplateError},
        settings::BakeSettings,
    },
    calendar::zone::Zone,
    catch_up::CatchUp,
    schedule::{Instances, Overlap, Schedule},
};

/// Image names of a schedule with one instance, and of one with `instance_ids`, whose images of a slot must differ.
const IMAGE_NAME: &str = "{name}-{slot:%Y%m%d-%H%M}-v{version}";
const IMAGE_NAME_OF_MANY: &str = "{name}-{instance_id}-{slot:%Y%m%d-%H%M}-v{version}";

impl<'s> ScheduleLayer<'s> {
    /// Reads a table that several schedules share: keys of a single schedule are errors, and its times are checked here
    /// because no schedule may use them.
    fn read_shared(&mut self, source: &'s Source, item: Item<'_, 's>, what: &str, out: &mut Diagnostics) {
        let named = || (what == "a profile").then(|| "a profile has a name: begin it with `[profile.NAME]`".to_owned());
        let Some(table) = item.table_or("a table of a schedule's keys", named, out) else { return };
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

/// Whether the expressions of a schedule are not too many with those before; if they are, it is not read further.
fn has_room_for_rules(all: &mut usize, more: usize, header: Mark<'_>, out: &mut Diagnostics) -> bool {
    let before = *all;
    *all += more;
    if before <= MOST_RULES && *all > MOST_RULES {
        let message = format!("with this schedule there are more than {MOST_RULES} cron expressions");
        let hint = "those of [defaults] and of profiles count once for each schedule";
        out.error(header, "too-many-rules", message, Some(hint.into()));
    }
    *all <= MOST_RULES
}

/// How schedules are written.
pub(super) fn header() -> String {
    "each schedule begins with `[[schedule]]`, in double brackets, and has its `name` in it".to_owned()
}

/// Maximum number of instances of all schedules: ten times what the benches measure.
const MOST_TARGETS: usize = 100_000;
/// Maximum number of cron expressions of all schedules; those of [defaults] and profiles count for each schedule.
const MOST_RULES: usize = 100_000;

/// Shared tables of all files.
#[derive(Debug, Default)]
pub(super) struct SharedSettings<'s> {
    defaults: ScheduleLayer<'s>,
    profiles: HashMap<String, ScheduleLayer<'s>>,
    /// Where each profile was first written.
    profile_marks: BTreeMap<String, Mark<'s>>,
}

impl<'s> SharedSettings<'s> {
    /// Merges a file's `[defaults]` over those of the files before it.
    pub(super) fn add_defaults(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        self.defaults.read_shared(source, item, "[defaults]", out);
    }

    /// Merges a file's profiles over those of the files before it.
    pub(super) fn add_profiles(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        let Some(table) = item.table("tables named [profile.NAME]", out) else { return };
        for (name, value) in table {
            if !hidden::is_name(name.get_ref(), source.mark(name.span()), out) {
                continue;
            }
            self.profile_marks.entry(name.get_ref().to_string()).or_insert_with(|| source.mark(name.span()));
            let profile = self.profiles.entry(name.get_ref().to_string()).or_default();
            profile.read_shared(source, Item::new(source, value), "a profile", out);
        }
    }
}

/// Reads schedules one after the other and checks that names and ids are unique.
#[derive(Debug)]
pub(super) struct Schedules<'a, 's> {
    shared: &'a SharedSettings<'s>,
    cloud_region: &'a str,
    image_name: TemplateText,
    image_name_of_many: TemplateText,
    used_profiles: HashSet<&'a str>,
    none: ScheduleLayer<'s>,
    names: HashMap<String, Mark<'s>>,
    ids: HashMap<String, Mark<'s>>,
    settings: HashSet<Arc<BakeSettings>>,
    /// Number of instances of all schedules.
    targets: usize,
    /// Number of cron expressions of all schedules.
    rules: usize,
    pub done: Vec<Arc<Schedule>>,
    /// Places of the schedules, if requested.
    pub written: Option<Vec<WrittenValue>>,
}

impl<'a, 's> Schedules<'a, 's> {
    /// Fails only if the built-in template is invalid, which a test excludes.
    pub(super) fn new(
        shared: &'a SharedSettings<'s>,
        cloud_region: &'a str,
        marked: bool,
    ) -> Result<Self, TemplateError> {
        Ok(Self {
            shared,
            cloud_region,
            image_name: (IMAGE_NAME.into(), Template::parse(IMAGE_NAME)?),
            image_name_of_many: (IMAGE_NAME_OF_MANY.into(), Template::parse(IMAGE_NAME_OF_MANY)?),
            used_profiles: HashSet::new(),
            none: ScheduleLayer::default(),
            names: HashMap::new(),
            ids: HashMap::new(),
            settings: HashSet::new(),
            targets: 0,
            rules: 0,
            done: Vec::new(),
            written: marked.then(Vec::new),
        })
    }

    /// Reads one `[[schedule]]`.
    pub(super) fn add(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Diagnostics) {
        let Some(table) = item.table_or("a [[schedule]]", || Some(header()), out) else { return };
        let own = ScheduleLayer::read(source, table, out);
        self.claim(&own, out);
        let profile = self.profile(&own, out);
        let profile = profile.unwrap_or(&self.none);
        let layers = ScheduleLayers { own: &own, profile, defaults: &self.shared.defaults };
        let rules = pick!(layers, cron).map_or(0, |cron| cron.value.len());
        if !has_room_for_rules(&mut self.rules, rules, item.mark, out) {
            return;
        }
        // A present but invalid key has its problem already and is not missing.
        let is_absent = |key: &str| !table.contains_key(key);

        let instances = layers.instances(out);
        let instance_type = layers.instance_type(instances.as_ref(), is_absent("instance_type"), out);
        let machine_keys = layers.machine_keys(instance_type, out);
        layers.report_missing(item.mark, is_absent, out);
        let timing = layers.timing(out);
        let name = own.name.as_ref().map(|at| at.value.as_str());
        let (Some(name), Some(instances), Some(instance_type), Some(timing)) = (name, instances, instance_type, timing)
        else {
            return;
        };

        let own_name = own.name.as_ref().map_or(item.mark, |at| at.mark);
        let before = self.targets;
        self.targets += instances.as_slice().len();
        if before <= MOST_TARGETS && self.targets > MOST_TARGETS {
            let message = format!("with this schedule there are more than {MOST_TARGETS} instances to bake");
            let hint = "an instance counts once for each of its schedules; a second daemon can have the others";
            out.error(own_name, "too-many-instances", message, Some(hint.into()));
        }
        let built_in = match instances {
            Instances::One(_) => &self.image_name,
            Instances::Many(_) => &self.image_name_of_many,
        };
        let image_name = pick!(layers, image_name).map_or(built_in, |at| &at.value);
        layers.check_templates(name, &instances, image_name, own_name, out);
        let settings = layers.settings(instance_type, machine_keys, image_name, self.cloud_region);
        layers.warn_of_unused_waits(&settings, out);
        layers.check_biz_type(out);
        let schedule = Schedule {
            id: own.id.as_ref().map_or(name, |at| at.value.as_str()).into(),
            name: name.into(),
            instances,
            timing,
            catch_up: pick!(layers, catch_up, CatchUp::Latest),
            catch_up_window: pick!(layers, catch_up_window, Duration::from_hours(6)),
            overlap: pick!(layers, overlap, Overlap::Queue),
            paused: pick!(layers, paused, false),
            max_image_age: pick!(layers, max_image_age, None),
            keep: pick!(layers, keep).map(|at| at.value.clone()),
            channels: pick!(layers, channels).map(|at| at.value.clone()).unwrap_or_default(),
            settings: intern(&mut self.settings, settings),
        };
        let written = self.written.is_some().then(|| layers.written(own_name));
        self.done.push(Arc::new(schedule));
        if let Some(all) = &mut self.written {
            all.extend(written);
        }
    }

    /// Profile of the schedule; an unknown one is an error.
    fn profile(&mut self, own: &ScheduleLayer<'s>, out: &mut Diagnostics) -> Option<&'a ScheduleLayer<'s>> {
        let profile = own.profile.as_ref()?;
        let found = self.shared.profiles.get_key_value(&profile.value);
        if let Some((name, _)) = found {
            self.used_profiles.insert(name);
        } else {
            let hint = if self.shared.profiles.is_empty() {
                Some(format!("there are no profiles; add [profile.{}]", profile.value))
            } else {
                out.may_search().then(|| {
                    let known: Vec<&str> = self.shared.profiles.keys().map(String::as_str).collect();
                    suggestion(&profile.value, &known)
                })
            };
            out.missing(profile.mark, "unknown-profile", format!("unknown profile `{}`", profile.value), hint);
        }
        found.map(|(_, keys)| keys)
    }

    /// Warns of profiles that no schedule of any file names. Not if a schedule may be unreadable, or name it wrongly.
    pub(super) fn report_unused_profiles(&self, out: &mut Diagnostics) {
        if out.broken || out.has_errors() {
            return;
        }
        let unused = |name: &&String| !self.used_profiles.contains(name.as_str());
        for (name, mark) in self.shared.profile_marks.iter().filter(|(name, _)| unused(name)) {
            let message = format!("no schedule has the profile `{name}`: its keys have no effect");
            let hint = format!("write `profile = \"{name}\"` in a [[schedule]], or remove the profile");
            out.warning(*mark, "unused-profile", message, Some(hint));
        }
    }

    /// Checks that name and id are unique in all files. An id must not be another schedule's name if that serves as its
    /// id.
    fn claim(&mut self, own: &ScheduleLayer<'s>, out: &mut Diagnostics) {
        let Some(name) = &own.name else { return };
        if let Some(first) = self.names.get(&name.value) {
            let message = format!("the name `{}` is taken", name.value);
            let (hint, first) = ("give each its own name", (*first, "the first schedule of this name"));
            out.error_with_related(name.mark, "duplicate-name", message, hint, first);
            return;
        }
        self.names.insert(name.value.clone(), name.mark);
        let id = own.id.as_ref().unwrap_or(name);
        if let Some(first) = self.ids.get(&id.value) {
            let message = format!("the id `{}` is taken", id.value);
            let (hint, first) = ("give each its own id", (*first, "the first schedule of this id"));
            out.error_with_related(id.mark, "duplicate-id", message, hint, first);
        } else {
            self.ids.insert(id.value.clone(), id.mark);
        }
    }
}

/// Returns the one copy of equal settings: thousands of schedules usually share a few.
fn intern(known: &mut HashSet<Arc<BakeSettings>>, settings: BakeSettings) -> Arc<BakeSettings> {
    if let Some(shared) = known.get(&settings) {
        return Arc::clone(shared);
    }
    let settings = Arc::new(settings);
    known.insert(Arc::clone(&settings));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_name_is_sound() {
        for text in [IMAGE_NAME, IMAGE_NAME_OF_MANY] {
            assert!(Template::parse(text).expect("sound").is_unique_per_slot());
        }
        assert!(Schedules::new(&SharedSettings::default(), "cn-shanghai", false).is_ok());
    }
}
