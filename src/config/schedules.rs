//! `[defaults]`, `[profile.NAME]` and `[[schedule]]`: from tables to [`Schedule`]s.
//!
//! The three kinds of table have one set of keys. A schedule takes each key from the first that has it: itself, its
//! profile, `[defaults]`, the built-in defaults. `retry`, `keep` and `tags` are taken whole, not key by key.
//!
//! A key of `[defaults]` that only one kind of machine knows is passed over for the other kind; in a profile or a
//! schedule it is a mistake.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{
    reader::{At, Findings, Item, Mark, Source, layer, suggestion, to_map, unknown_key},
    settings::{filled, region},
    sheet::Written,
    suggest::closest,
};
use crate::{
    bake::{
        naming::{Template, TemplateError, Values},
        settings::{BakeSettings, DiskType, InstanceType, RetryPolicy, StopInstance, StoppedMode},
    },
    ids::InstanceId,
    schedule::{CatchUp, Instances, Keep, Overlap, Schedule, Timing},
};

const IMAGE_NAME: &str = "{name}-{slot:%Y%m%d-%H%M}-v{version}";
const RETRY: RetryPolicy = RetryPolicy { attempts: 5, base: Duration::from_secs(30), cap: Duration::from_mins(10) };
const SECOND: Duration = Duration::from_secs(1);

/// Most tags that an operator may give, so that ours fit the cloud's 20.
const TAGS: usize = 15;
/// What their keys may not begin with: the first is ours, the others are the cloud's.
const RESERVED: [&str; 5] = ["imagebaked:", "aliyun", "acs:", "http://", "https://"];
/// The version that names are tried with: as many digits as a line will ever need.
const TRIAL_VERSION: u32 = 9999;

/// A template and the text it was read from.
type Text = (String, Template);

layer! {
    /// What one table says of a schedule.
    struct Layer {
        /// What people call it: 1 to 64 letters, digits, `-`, `_` or `.`. Required, in a schedule only.
        name: String = name,
        /// What its images and history are filed under, so that it can be renamed. Default: the name. In a schedule only.
        id: String = name,
        /// The profile that it builds upon. In a schedule only.
        profile: String = filled,
        /// The instance to image. This or `instance_ids` is required, in a schedule only.
        instance_id: String = instance,
        /// Several instances, each with a line of images of its own.
        instance_ids: Vec<String> = instances,
        /// `"CloudDesktop"` or `"WuyingServer"`. Default: by the prefix `ecd-` or `ws-`.
        instance_type: InstanceType = |item, out| item.one_of(
            &[("CloudDesktop", InstanceType::CloudDesktop), ("WuyingServer", InstanceType::WuyingServer)],
            out,
        ),
        /// Where the instance is. Default: `region` of [cloud].
        instance_region: String = region,
        /// Workstations only: the persistent session (`p-…`) that pins one machine.
        sub_instance_id: String = filled,
        /// `"ALL"` disks or the `"SYSTEM"` disk alone. Default `"ALL"`.
        disk_type: DiskType = |item, out| item.one_of(&[("ALL", DiskType::All), ("SYSTEM", DiskType::System)], out),
        /// Cloud desktops only: leave the users' folders out. Default: the cloud's.
        auto_clean_userdata: bool = |item, out| item.bool(out),
        /// Whether user profile data is copied. Default: the cloud's.
        copy_profile: bool = |item, out| item.bool(out),
        /// `BizType` of the call, passed on as it is.
        biz_type: i32 = |item, out| item.integer(0, i64::from(i32::MAX), out),
        /// `ProductType` of the call, passed on as it is.
        product_type: String = filled,
        /// At most 15 tags of 1 to 128 characters. Default `{}`.
        tags: std::collections::BTreeMap<String, String> = tags,
        /// When: one expression or a list of them. Required.
        cron: Vec<At<'s, String>> = cron,
        /// The zone of `cron` and of templates. Default `"UTC"`.
        timezone: Tz = zone,
        /// Template of the images' names. Default `"{name}-{slot:%Y%m%d-%H%M}-v{version}"`.
        image_name: Text = image_name,
        /// Template of the images' descriptions, at most 256 characters. Default: none.
        description: Text = template,
        /// Which missed slots are made up for: `"skip"`, `"latest"` or `"all"`. Default `"latest"`.
        catch_up: CatchUp = |item, out| item.one_of(
            &[("skip", CatchUp::Skip), ("latest", CatchUp::Latest), ("all", CatchUp::All)],
            out,
        ),
        /// How old a missed slot may be to be made up for. Default `"6h"`.
        catch_up_window: Duration = |item, out| item.duration(Duration::ZERO, out),
        /// Bound of the delay that spreads schedules of one instant. Default `"0s"`.
        jitter: Duration = |item, out| item.duration(Duration::ZERO, out),
        /// While the instance is still being baked: `"skip"` or `"queue"`. Default `"queue"`.
        overlap: Overlap = |item, out| item.one_of(&[("skip", Overlap::Skip), ("queue", Overlap::Queue)], out),
        /// The cloud must have accepted the job this long after the slot. Default `"4h"`.
        deadline: Duration = |item, out| item.duration(SECOND, out),
        /// An image still being made after this long is reported. Default `"12h"`.
        build_deadline: Duration = |item, out| item.duration(SECOND, out),
        /// How failed calls are repeated. Default `{ attempts = 5, base = "30s", cap = "10m" }`.
        retry: RetryPolicy = retry,
        /// `"never"`, `"if_running"` or `"required"`. Default `"never"`.
        stop_instance: StopInstance = |item, out| item.one_of(
            &[("never", StopInstance::Never), ("if_running", StopInstance::IfRunning), ("required", StopInstance::Required)],
            out,
        ),
        /// Cloud desktops only: `"KeepCharging"` or `"StopCharging"`. Default `"KeepCharging"`.
        stopped_mode: StoppedMode = |item, out| item.one_of(
            &[("KeepCharging", StoppedMode::KeepCharging), ("StopCharging", StoppedMode::StopCharging)],
            out,
        ),
        /// Which images stay. Default: all.
        keep: Keep = keep,
        /// Regions that a finished image is distributed to. Default `[]`.
        regions: Vec<String> = regions,
        /// Slots are recorded as skipped while this is set. Default `false`.
        paused: bool = |item, out| item.bool(out),
        /// The newest good image is overdue when older than this. Default: never.
        max_image_age: Duration = |item, out| item.duration(SECOND, out),
    }
}

impl<'s> Layer<'s> {
    /// Reads a table that several schedules share: it says nothing of any single one, and its times are tried here
    /// because no schedule may use them.
    fn read_shared(&mut self, source: &'s Source, item: Item<'_, 's>, what: &str, out: &mut Findings) {
        let Some(table) = item.table("a table of a schedule's keys", out) else { return };
        for (key, value) in table {
            let mark = source.mark(key.span());
            match key.get_ref().as_ref() {
                key @ ("name" | "id" | "profile" | "instance_id" | "instance_ids") => {
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
            let zone = self.timezone.as_ref().map_or(Tz::UTC, |zone| zone.value);
            parse_cron(&cron.value, zone, Duration::ZERO, "", out);
        }
    }
}

/// What every schedule can build upon, of all files.
#[derive(Debug, Default)]
pub(super) struct Shared<'s> {
    defaults: Layer<'s>,
    profiles: HashMap<String, Layer<'s>>,
}

impl<'s> Shared<'s> {
    /// Lays a file's `[defaults]` over those of the files before it.
    pub(super) fn add_defaults(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Findings) {
        self.defaults.read_shared(source, item, "[defaults]", out);
    }

    /// Lays a file's profiles over those of the files before it.
    pub(super) fn add_profiles(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Findings) {
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
    shared: &'a Shared<'s>,
    cloud_region: &'a str,
    image_name: Text,
    none: Layer<'s>,
    names: HashMap<String, Mark<'s>>,
    ids: HashMap<String, Mark<'s>>,
    settings: HashSet<Arc<BakeSettings>>,
    pub done: Vec<Arc<Schedule>>,
    /// Where each of them was written, if that is wanted.
    pub written: Option<Vec<Written>>,
}

impl<'a, 's> Schedules<'a, 's> {
    /// Fails only if the built-in template were wrong, which a test excludes.
    pub(super) fn new(shared: &'a Shared<'s>, cloud_region: &'a str, marked: bool) -> Result<Self, TemplateError> {
        Ok(Self {
            shared,
            cloud_region,
            image_name: (IMAGE_NAME.into(), Template::parse(IMAGE_NAME)?),
            none: Layer::default(),
            names: HashMap::new(),
            ids: HashMap::new(),
            settings: HashSet::new(),
            done: Vec::new(),
            written: marked.then(Vec::new),
        })
    }

    /// Reads one `[[schedule]]`.
    pub(super) fn add(&mut self, source: &'s Source, item: Item<'_, 's>, out: &mut Findings) {
        let Some(table) = item.table("a [[schedule]]", out) else { return };
        let own = Layer::read(source, table, out);
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
        let timezone = pick!(timezone, Tz::UTC);
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
        let timing = cron.and_then(|cron| parse_cron(&cron.value, timezone, jitter, name.unwrap_or(""), out));

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
            regions: pick!(regions).map(|at| at.value.clone()).unwrap_or_default(),
        };
        let schedule = Schedule {
            id: id.into(),
            name: name.into(),
            instances,
            timing,
            catch_up: pick!(catch_up, CatchUp::Latest),
            catch_up_window: pick!(catch_up_window, Duration::from_hours(6)),
            overlap: pick!(overlap, Overlap::Queue),
            paused: pick!(paused, false),
            max_image_age: pick!(max_image_age).map(|at| at.value),
            keep: pick!(keep).map(|at| at.value.clone()),
            settings: intern(&mut self.settings, settings),
        };
        self.done.push(Arc::new(schedule));
        if let Some(written) = &mut self.written {
            let of = |mark: Mark<'s>| mark.span();
            written.push(Written {
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
    fn claim(&mut self, own: &Layer<'s>, out: &mut Findings) {
        let Some(name) = &own.name else { return };
        if let Some(first) = self.names.get(&name.value) {
            let message = format!("the name `{}` is taken", name.value);
            out.clash(name.mark, "duplicate-name", message, (*first, "the first schedule of this name"));
            return;
        }
        self.names.insert(name.value.clone(), name.mark);
        let id = own.id.as_ref().unwrap_or(name);
        if let Some(first) = self.ids.get(&id.value) {
            let message = format!("the id `{}` is taken", id.value);
            out.clash(id.mark, "duplicate-id", message, (*first, "the first schedule of this id"));
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
    out: &mut Findings,
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

fn parse_cron(cron: &[At<'_, String>], zone: Tz, jitter: Duration, name: &str, out: &mut Findings) -> Option<Timing> {
    let expressions: Vec<&str> = cron.iter().map(|at| at.value.as_str()).collect();
    match Timing::parse(&expressions, zone, jitter, name) {
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

fn cron<'s>(item: Item<'_, 's>, out: &mut Findings) -> Option<Vec<At<'s, String>>> {
    if item.value.is_str() {
        return Some(vec![At { value: item.text(out)?.to_owned(), mark: item.mark }]);
    }
    let members = item.list("a cron expression or a list of them", out)?;
    if members.is_empty() {
        out.error(item.mark, "bad-value", "an empty list never fires", Some("write at least one expression".into()));
        return None;
    }
    members.into_iter().map(|item| Some(At { value: item.text(out)?.to_owned(), mark: item.mark })).collect()
}

fn zone(item: Item<'_, '_>, out: &mut Findings) -> Option<Tz> {
    let text = item.text(out)?;
    let zone = text.parse().ok();
    if zone.is_none() {
        // Half of a zone's name is often all that is known of it: `Shanghai`, `beijing`.
        let city = |zone: &&Tz| zone.name().rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
        let near = match text.to_ascii_lowercase().as_str() {
            "beijing" | "asia/beijing" | "china" | "cst" | "utc+8" | "gmt+8" | "+08:00" => Some("Asia/Shanghai"),
            _ => TZ_VARIANTS.iter().find(city).map(|zone| zone.name()),
        };
        let near = near.or_else(|| closest(text, TZ_VARIANTS.iter().map(|zone| zone.name())));
        let hint = near.map_or("zones look like `Asia/Shanghai`".into(), |near| format!("did you mean `{near}`?"));
        out.error(item.mark, "bad-zone", format!("unknown time zone `{text}`"), Some(hint));
    }
    zone
}

fn name(item: Item<'_, '_>, out: &mut Findings) -> Option<String> {
    let text = item.text(out)?;
    let hint = Some("1 to 64 letters, digits, `-`, `_` or `.`".into());
    if let Some((at, bad)) = text.char_indices().find(|(_, c)| !(c.is_alphanumeric() || "-_.".contains(*c))) {
        let mark = item.mark.inside(text, at..at + bad.len_utf8());
        out.error(mark, "bad-name", format!("{bad:?} cannot be part of a name"), hint);
        return None;
    }
    if text.is_empty() || text.chars().count() > 64 {
        let message = format!("a name of {} characters", text.chars().count());
        out.error(item.mark, "bad-name", message, hint);
        return None;
    }
    Some(text.to_owned())
}

fn instance(item: Item<'_, '_>, out: &mut Findings) -> Option<String> {
    let text = item.text(out)?;
    let sound = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !sound {
        let hint = Some("instances look like `ecd-7w78ozhjcwa3u` or `ws-0cf1d2e3`".into());
        out.error(item.mark, "bad-instance", format!("`{text}` is not an instance's id"), hint);
        return None;
    }
    Some(text.to_owned())
}

fn instances(item: Item<'_, '_>, out: &mut Findings) -> Option<Vec<String>> {
    unique(item, "a list of instances", "duplicate-instance", instance, out).filter(|ids| !ids.is_empty()).or_else(
        || {
            if item.value.as_array().is_some_and(|array| array.is_empty()) {
                out.error(item.mark, "bad-value", "a schedule needs at least one instance", None);
            }
            None
        },
    )
}

fn regions(item: Item<'_, '_>, out: &mut Findings) -> Option<Vec<String>> {
    let regions = unique(item, "a list of regions", "duplicate-region", region, out)?;
    if !regions.is_empty() {
        not_applied(item, "`regions` is checked, but this version distributes no image", out);
    }
    Some(regions)
}

/// What is promised by a key must not be believed where it is not carried out.
fn not_applied(item: Item<'_, '_>, message: &str, out: &mut Findings) {
    let hint = Some("leave it in for a later version, or leave it out".into());
    out.warning(item.mark, "not-applied", message, hint);
}

/// A list without doubles.
fn unique<'v, 's>(
    item: Item<'v, 's>,
    wanted: &str,
    code: &'static str,
    read: fn(Item<'v, 's>, &mut Findings) -> Option<String>,
    out: &mut Findings,
) -> Option<Vec<String>> {
    let mut seen: HashMap<String, Mark<'s>> = HashMap::new();
    let mut all = Vec::new();
    for member in item.list(wanted, out)? {
        let Some(text) = read(member, out) else { continue };
        if let Some(first) = seen.get(&text) {
            out.clash(member.mark, code, format!("`{text}` is listed twice"), (*first, "first here"));
        } else {
            seen.insert(text.clone(), member.mark);
            all.push(text);
        }
    }
    Some(all)
}

fn tags(item: Item<'_, '_>, out: &mut Findings) -> Option<std::collections::BTreeMap<String, String>> {
    let texts = item.texts(out)?;
    if texts.len() > TAGS {
        let hint = Some("imagebaked adds five of its own, and the cloud allows 20".into());
        out.error(item.mark, "too-many-tags", format!("{} tags are more than {TAGS}", texts.len()), hint);
    }
    for (key, value) in &texts {
        for (what, at) in [("key", key), ("value", value)] {
            let length = at.value.chars().count();
            if !(1..=128).contains(&length) {
                out.error(
                    at.mark,
                    "bad-tag",
                    format!("a tag's {what} of {length} characters"),
                    Some("1 to 128".into()),
                );
            }
        }
        if let Some(prefix) = RESERVED.iter().find(|prefix| key.value.starts_with(**prefix)) {
            out.error(
                key.mark,
                "bad-tag",
                format!("a tag's key may not begin with `{prefix}`: that is reserved"),
                None,
            );
        }
    }
    Some(to_map(texts))
}

fn template(item: Item<'_, '_>, out: &mut Findings) -> Option<Text> {
    let text = item.text(out)?;
    match Template::parse(text) {
        Ok(template) => Some((text.to_owned(), template)),
        Err(error) => {
            let hint = (!error.hint.is_empty()).then_some(error.hint);
            out.error(item.mark.inside(text, error.span), "bad-template", error.message, hint);
            None
        }
    }
}

fn image_name(item: Item<'_, '_>, out: &mut Findings) -> Option<Text> {
    let (text, template) = template(item, out)?;
    if !template.tells_slots_apart() {
        let hint = Some("let it show {version}, or {slot} to the minute".into());
        out.error(item.mark, "ambiguous-name", "different slots would give images of one name", hint);
        return None;
    }
    Some((text, template))
}

/// The published rule for names of desktop images: 2 to 128 characters, a letter first.
fn check_image_name(example: &str, mark: Mark<'_>, out: &mut Findings) {
    let length = example.chars().count();
    if !(2..=128).contains(&length) {
        let message = format!("image names would have {length} characters, like `{example}`");
        out.error(mark, "bad-image-name", message, Some("2 to 128".into()));
    } else if !example.starts_with(char::is_alphabetic) {
        let message = format!("image names must start with a letter, unlike `{example}`");
        out.error(mark, "bad-image-name", message, Some("give `image_name` a letter to begin with".into()));
    }
}

layer! {
    /// `retry`, as it is written.
    struct RetryKeys {
        attempts: u32 = |item, out| item.integer(1, 100, out),
        base: Duration = |item, out| item.duration(Duration::from_millis(1), out),
        cap: Duration = |item, out| item.duration(Duration::from_millis(1), out),
    }
}

fn retry(item: Item<'_, '_>, out: &mut Findings) -> Option<RetryPolicy> {
    let table = item.table("a table of `attempts`, `base` and `cap`", out)?;
    let keys = RetryKeys::read(item.mark.source, table, out);
    let base = keys.base.as_ref().map_or(RETRY.base, |at| at.value);
    // A base above the built-in cap lifts it; one above a written cap is a contradiction.
    let cap = keys.cap.as_ref().map_or(RETRY.cap.max(base), |at| at.value);
    if let Some(written) = keys.cap.as_ref().filter(|_| cap < base) {
        let hint = Some(format!("at least {}", humantime::format_duration(base)));
        out.error(written.mark, "out-of-range", "`cap` is shorter than `base`", hint);
    }
    Some(RetryPolicy { attempts: keys.attempts.map_or(RETRY.attempts, |at| at.value), base, cap })
}

layer! {
    /// `keep`, as it is written.
    struct KeepKeys {
        last: u32 = |item, out| item.integer(0, 100_000, out),
        hourly: u32 = |item, out| item.integer(0, 100_000, out),
        daily: u32 = |item, out| item.integer(0, 100_000, out),
        weekly: u32 = |item, out| item.integer(0, 100_000, out),
        monthly: u32 = |item, out| item.integer(0, 100_000, out),
        yearly: u32 = |item, out| item.integer(0, 100_000, out),
        within: Duration = |item, out| item.duration(SECOND, out),
        min: u32 = |item, out| item.integer(1, 100_000, out),
    }
}

fn keep(item: Item<'_, '_>, out: &mut Findings) -> Option<Keep> {
    let table = item.table("a table of rules like `last` and `daily`", out)?;
    let before = out.count();
    let keys = KeepKeys::read(item.mark.source, table, out);
    let number = |at: Option<At<'_, u32>>| at.map_or(0, |at| at.value);
    let keep = Keep {
        last: number(keys.last),
        hourly: number(keys.hourly),
        daily: number(keys.daily),
        weekly: number(keys.weekly),
        monthly: number(keys.monthly),
        yearly: number(keys.yearly),
        within: keys.within.map(|at| at.value),
        min: keys.min.map_or(1, |at| at.value),
    };
    let counts = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
    if out.count() == before && keep.within.is_none() && counts.iter().all(|count| *count == 0) {
        let hint = Some("add one, like `last = 7`, or leave `keep` out to keep all images".into());
        out.error(item.mark, "bad-keep", "`keep` has no rule", hint);
    } else {
        not_applied(item, "`keep` is checked, but this version deletes no image", out);
    }
    Some(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_name_is_sound() {
        let template = Template::parse(IMAGE_NAME).expect("sound");
        assert!(template.tells_slots_apart());
        assert!(Schedules::new(&Shared::default(), "cn-shanghai", false).is_ok());
    }
}
