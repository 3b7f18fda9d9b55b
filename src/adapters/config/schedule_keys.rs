//! Keys of a schedule, which `[defaults]`, `[profile.NAME]` and `[[schedule]]` share, and their readers.

use std::{collections::HashMap, time::Duration};

use chrono::NaiveTime;
use toml::de::DeValue;

use super::{
    key::Kind,
    layer::layer,
    mistakes,
    problem::find_key_id,
    reader::{At, Diagnostics, Homes, Item, Mark, to_map},
    region_keys::{REGION, filled, region},
    suggest::closest,
    value_types::{Bool, Custom, Integer, OneOf, Period, PeriodOrNever},
};
use crate::domain::{
    api::instance_state::InstanceType,
    bake::{
        naming::Template,
        settings::{DiskType, IfConnected, RetryPolicy, StopInstance, StoppedMode},
    },
    calendar::zone::{self, Zone},
    catch_up::CatchUp,
    hooks::{HookCommand, Hooks},
    image::retention::counts,
    schedule::{Channel, Keep, LATEST, Overlap},
    time::show_length,
};

pub(super) const RETRY: RetryPolicy =
    RetryPolicy { attempts: 5, base: Duration::from_secs(30), cap: Duration::from_mins(10), rebakes: 1 };
/// Default time between mark and deletion.
const GRACE: Duration = Duration::from_hours(24);
/// Default time that a CREATE_FAILED image stays.
const FAILED_AGE: Duration = Duration::from_hours(7 * 24);
const SECOND: Duration = Duration::from_secs(1);

/// Maximum number of the operator's tags: with the five of imagebaked they fit the cloud's 20.
const TAGS: usize = 15;
/// Maximum number of expressions of one list: each of them is asked for each slot.
const MOST_EXPRESSIONS: usize = 200;
/// Reserved prefixes of their keys: the first is that of imagebaked, the others are the cloud's.
const RESERVED: [&str; 5] = ["imagebaked:", "aliyun", "acs:", "http://", "https://"];
/// Keys of a single schedule, which cannot be shared.
pub(super) const OWN: [&str; 5] = ["name", "id", "profile", "instance_id", "instance_ids"];

/// Keys that are tables, with the keys in them.
pub(super) const INNER: Homes = &[("keep", KeepKeys::KEYS), ("retry", RetryKeys::KEYS), ("hooks", HookKeys::KEYS)];

/// Pattern of [`name`], in ASCII: dialects disagree on other letters.
const NAME: &str = r"^[^\x00-,/:-@\[-\^`{-\x7f\s]{1,64}$";
/// Pattern of [`instance`].
const INSTANCE: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Pattern of [`time_of_day`].
const TIME_OF_DAY: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|never)$";

/// A template and its text.
pub(super) type TemplateText = (String, Template);

layer! {
    /// The keys of one table.
    struct ScheduleLayer {
        /// Name of the schedule: 1 to 64 letters, digits, `-`, `_` or `.`. Required, in a schedule only.
        name: String = Custom(name, || Kind::Text(NAME)),
        /// Stable id under which images and history are stored; it allows a rename. Default: the name. In a schedule
        /// only.
        id: String = Custom(name, || Kind::Text(NAME)),
        /// Name of the profile whose keys apply. In a schedule only.
        profile: String = Custom(filled, || Kind::FILLED),
        /// Id of the instance to image. This or `instance_ids` is required, in a schedule only.
        instance_id: String = Custom(instance, || Kind::Text(INSTANCE)),
        /// Ids of several instances. Each has its own line of images.
        instance_ids: Vec<String> = Custom(instances, || Kind::Set { of: Kind::Text(INSTANCE).into(), min: 1 }),
        /// Kind of the instances. Default: by the prefix `ecd-` or `ws-` of the id.
        instance_type: InstanceType = OneOf(&[
            ("CloudDesktop", InstanceType::CloudDesktop),
            ("WuyingServer", InstanceType::WuyingServer),
        ]),
        /// Region of the instances. Default: `region` of [cloud].
        instance_region: String = Custom(region, || Kind::Text(REGION)),
        /// Workstations only: the persistent session (`p-…`) that is imaged. Default: its only session. A bake of a
        /// workstation with several sessions fails without this key, and with one that the cloud does not list.
        sub_instance_id: String = Custom(filled, || Kind::FILLED),
        /// Disks in the image: `"ALL"`, or `"SYSTEM"` for the system disk only. Default `"ALL"`.
        disk_type: DiskType = OneOf(&[("ALL", DiskType::All), ("SYSTEM", DiskType::System)]),
        /// Cloud desktops only: whether the folders of users are omitted. Default: the cloud's.
        auto_clean_userdata: bool = Bool,
        /// Whether user profile data is copied. Default: the cloud's.
        copy_profile: bool = Bool,
        /// `BizType` of the create call: 1, 2, 3, 4 or 10. Its meaning is not public. Default: the cloud's.
        biz_type: i32 = Integer(1, 10),
        /// `ProductType` of the create call, passed on unchanged.
        product_type: String = Custom(filled, || Kind::FILLED),
        /// Additional tags of every image, at most 15; keys and values have 1 to 128 characters. Default `{}`.
        tags: std::collections::BTreeMap<String, String> = Custom(tags, || Kind::Named { of: Kind::Text("").into(), max: Some(TAGS) }),
        /// Times of the slots: a cron expression or a list of at most 200. Required.
        cron: Vec<At<'s, String>> = Custom(cron, || Kind::OneOrMore(Kind::FILLED.into())),
        /// Time zone of `cron` and of templates, a name of the IANA database. Default `"UTC"`.
        timezone: Zone = Custom(zone, || Kind::FILLED),
        /// Template of image names. If another image has the name, the bake uses the next version; without `{version}`
        /// in the template it fails. Default `"{name}-{slot:%Y%m%d-%H%M}-v{version}"`; with `instance_ids` the name also
        /// has `{instance_id}`.
        image_name: TemplateText = Custom(image_name, || Kind::FILLED),
        /// Template of image descriptions, at most 256 characters. Default: none.
        description: TemplateText = Custom(template, || Kind::Text("")),
        /// Which slots are caught up that were missed while the daemon could not run: `"latest"`, `"all"` or none
        /// (`"skip"`). Default `"latest"`.
        catch_up: CatchUp = OneOf(&[("skip", CatchUp::Skip), ("latest", CatchUp::Latest), ("all", CatchUp::All)]),
        /// Maximum age of a missed slot that is caught up. Default `"6h"`.
        catch_up_window: Duration = Period(Duration::ZERO),
        /// Maximum random delay of a bake, which spreads schedules with the same slot. Default `"0s"`.
        jitter: Duration = Period(Duration::ZERO),
        /// What happens to a slot while another bake of the instance runs: `"queue"` waits, `"skip"` skips the slot.
        /// Default `"queue"`.
        overlap: Overlap = OneOf(&[("skip", Overlap::Skip), ("queue", Overlap::Queue)]),
        /// Time after the slot by which the cloud must have accepted the create call; for a slot that is caught up it
        /// counts from then. Until the deadline a bake waits for an unreachable cloud, and for its instance. Default
        /// `"4h"`.
        deadline: Duration = Period(SECOND),
        /// Local time such as `"07:00"`. After the first such time in `timezone` after the slot no stop and no create
        /// call starts; the bake ends as skipped, code `deadline`. `"never"` removes the value of `[defaults]` or a
        /// profile. Default `"never"`.
        not_after: Option<NaiveTime> = Custom(time_of_day, || Kind::Text(TIME_OF_DAY)),
        /// Build time after which an image is reported as stuck and no longer followed. Default `"12h"`.
        build_deadline: Duration = Period(SECOND),
        /// Repetition of failed calls. A call uses an attempt if the cloud itself reports a fault, or if a create call
        /// stays unclear and no image is found. Errors of the network, a proxy or a rate limit use none. Pauses grow up
        /// to `cap`. Default `{ attempts = 5, base = "30s", cap = "10m", rebakes = 1 }`.
        retry: RetryPolicy = Custom(retry, || Kind::Table(RetryKeys::keys())),
        /// Whether the instance is stopped for its image and started afterwards. If the cloud rejects the stop,
        /// `"if_running"` images the running instance, `"required"` does not. Default `"never"`.
        stop_instance: StopInstance = OneOf(&[
            ("never", StopInstance::Never),
            ("if_running", StopInstance::IfRunning),
            ("required", StopInstance::Required),
        ]),
        /// Cloud desktops only: billing while stopped. `"StopCharging"` releases the machine, which is cheaper, but the
        /// start may fail for lack of stock. Default `"KeepCharging"`.
        stopped_mode: StoppedMode = OneOf(&[
            ("KeepCharging", StoppedMode::KeepCharging),
            ("StopCharging", StoppedMode::StopCharging),
        ]),
        /// Cloud desktops only: whether a stopped desktop is in maintenance, in which nobody can connect to it. It begins before
        /// the stop and ends before the start. A desktop that was in maintenance stays in it. Default `false`.
        maintenance: bool = Bool,
        /// What happens if a user is connected to an instance that is to be stopped: `"wait"`, `"skip"` the slot, or
        /// `"proceed"`. Default `"wait"`.
        if_connected: IfConnected = OneOf(&[
            ("wait", IfConnected::Wait),
            ("skip", IfConnected::Skip),
            ("proceed", IfConnected::Proceed),
        ]),
        /// How long a bake waits for connected users before the slot is skipped. Default `"1h"`.
        connected_wait: Duration = Period(SECOND),
        /// How long an instance stays stopped while its image cannot be started because of a quota, a builder or
        /// another task. Then the instance is started and the bake returns to the queue. It stops the instance once
        /// more, at the earliest this long after the instance runs again. Default `"30m"`.
        max_downtime: Duration = Period(SECOND),
        /// Commands around the bake. Default: none.
        hooks: Hooks = Custom(hooks, || Kind::Table(HookKeys::keys())),
        /// Retention rules: which images are kept. Default: all.
        keep: Keep = Custom(keep, || Kind::Table(KeepKeys::keys())),
        /// Channels of the line, such as `{ stable = { after = "3d" } }`; `latest` always exists. Default `{}`.
        channels: Vec<Channel> = Custom(channels, || Kind::Named { of: Kind::Table(ChannelKeys::keys()).into(), max: None }),
        /// Regions to which a finished image is copied. Default `[]`.
        regions: Vec<String> = Custom(regions, || Kind::Set { of: Kind::Text(REGION).into(), min: 0 }),
        /// Pauses the schedule: its slots are recorded as skipped. Default `false`.
        paused: bool = Bool,
        /// Maximum age of the newest good image of a line since it became AVAILABLE; an older one is a problem. Failed and
        /// missed slots are reported in any case. `"never"` removes the value of `[defaults]` or a profile. Default `"never"`.
        max_image_age: Option<Duration> = PeriodOrNever(SECOND),
    }
}

fn cron<'s>(item: Item<'_, 's>, out: &mut Diagnostics) -> Option<Vec<At<'s, String>>> {
    if item.value.is_str() {
        return Some(vec![At { value: item.text(out)?.to_owned(), mark: item.mark }]);
    }
    let members = item.list_or("a cron expression or a list of them", || mistakes::cron(item.mark.text()), out)?;
    if members.is_empty() {
        out.error(item.mark, "bad-value", "an empty list never fires", Some("write at least one expression".into()));
        return None;
    }
    if members.len() > MOST_EXPRESSIONS {
        let message = format!("{} expressions are more than {MOST_EXPRESSIONS}", members.len());
        let hint = "a field takes a list: `0 3 1,8,15 * *`; or divide them between schedules";
        out.error(item.mark, "too-many-expressions", message, Some(hint.into()));
        return None;
    }
    members.into_iter().map(|item| Some(At { value: item.text(out)?.to_owned(), mark: item.mark })).collect()
}

fn zone(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Zone> {
    let text = item.text(out)?;
    let zone = text.parse().ok();
    if zone.is_none() {
        // Often only half of a zone's name is known: `Shanghai`, `beijing`.
        let city = |name: &&str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
        let lower = text.to_ascii_lowercase();
        let near = match lower.as_str() {
            "cst" | "utc+8" | "utc+08:00" | "gmt+8" | "+08:00" | "+8" => Some("Asia/Shanghai"),
            "z" | "utc+0" | "utc+00:00" | "gmt+0" | "+00:00" => Some("UTC"),
            lower if ["beijing", "peking", "china"].iter().any(|name| lower.contains(name)) => Some("Asia/Shanghai"),
            _ if out.may_search() => zone::names().find(city).or_else(|| closest(text, zone::names())),
            _ => None,
        };
        let hint = near.map_or("zones look like `Asia/Shanghai`".into(), |near| format!("did you mean `{near}`?"));
        out.error(item.mark, "bad-zone", format!("unknown time zone `{text}`"), Some(hint));
    }
    zone
}

/// Reads a time of day, or `"never"`.
#[expect(clippy::option_option, reason = "the outer one is whether the value could be read, as for every key")]
fn time_of_day(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Option<NaiveTime>> {
    if item.is_word("never") {
        return Some(None);
    }
    let text = item.text(out)?;
    let time = (text.len() == 5).then(|| NaiveTime::parse_from_str(text, "%H:%M").ok()).flatten();
    if time.is_none() {
        let hint = match mistakes::time_of_day(text) {
            Some(meant) => format!("write \"{meant}\""),
            None => "write hours and minutes, like `07:00`, or `never`".to_owned(),
        };
        out.error(item.mark, "bad-value", format!("`{text}` is not a time of day"), Some(hint));
    }
    time.map(Some)
}

fn name(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
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

/// Whether a configuration may have this id of an instance: 1 to 64 letters, digits, `-` or `_`, and not like a key.
pub fn is_instance_id(text: &str) -> bool {
    is_of_instance(text) && find_key_id(text).is_none()
}

fn is_of_instance(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn instance(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = item.text(out)?;
    if !is_of_instance(text) {
        let hint = mistakes::instance(text)
            .unwrap_or_else(|| "instances look like `ecd-7w78ozhjcwa3u` or `ws-0cf1d2e3`".to_owned());
        out.error(item.mark, "bad-instance", format!("`{text}` is not an instance's id"), Some(hint));
        return None;
    }
    Some(text.to_owned())
}

fn instances(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<String>> {
    unique(item, "a list of instances", "duplicate-instance", instance, out).filter(|ids| !ids.is_empty()).or_else(
        || {
            if item.value.as_array().is_some_and(|array| array.is_empty()) {
                out.error(
                    item.mark,
                    "bad-value",
                    "a schedule needs at least one instance",
                    Some("name one, like `ecd-7w78ozhjcwa3u`; `paused = true` keeps a schedule without baking".into()),
                );
            }
            None
        },
    )
}

fn regions(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<String>> {
    unique(item, "a list of regions", "duplicate-region", region, out)
}

/// Reads a list without duplicates.
fn unique<'v, 's>(
    item: Item<'v, 's>,
    wanted: &str,
    code: &'static str,
    read: fn(Item<'v, 's>, &mut Diagnostics) -> Option<String>,
    out: &mut Diagnostics,
) -> Option<Vec<String>> {
    let mut seen: HashMap<String, Mark<'s>> = HashMap::new();
    let mut all = Vec::new();
    for member in item.list(wanted, out)? {
        let Some(text) = read(member, out) else { continue };
        if let Some(first) = seen.get(&text) {
            out.error_with_related(
                member.mark,
                code,
                format!("`{text}` is listed twice"),
                "keep one of the two",
                (*first, "first here"),
            );
        } else {
            seen.insert(text.clone(), member.mark);
            all.push(text);
        }
    }
    Some(all)
}

fn tags(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<std::collections::BTreeMap<String, String>> {
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
                Some("choose another key".into()),
            );
        }
    }
    Some(to_map(texts))
}

fn template(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<TemplateText> {
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

fn image_name(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<TemplateText> {
    let (text, template) = template(item, out)?;
    if !template.is_unique_per_slot() {
        let hint = Some("let it show {version}, or {slot} to the minute".into());
        out.error(item.mark, "ambiguous-name", "different slots would give images of one name", hint);
        return None;
    }
    Some((text, template))
}

layer! {
    /// `retry` as written.
    struct RetryKeys {
        /// Maximum number of calls, the first included. Default `5`.
        attempts: u32 = Integer(1, 100),
        /// Upper bound of the first pause; it doubles with each failure. Default `"30s"`.
        base: Duration = Period(Duration::from_millis(1)),
        /// Maximum pause, unless the cloud asks for more; not below `base`. Default `"10m"`.
        cap: Duration = Period(Duration::from_millis(1)),
        /// How often an image that the cloud lists as CREATE_FAILED is created again, with the next version and before
        /// `deadline` and `not_after`. Default `1`.
        rebakes: u32 = Integer(0, 3),
    }
}

fn retry(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<RetryPolicy> {
    let table = item.table_of("retry", "a table of `attempts`, `base`, `cap` and `rebakes`", out)?;
    let keys = RetryKeys::read(item.mark.source, table, out);
    let base = keys.base.as_ref().map_or(RETRY.base, |at| at.value);
    // A base above the built-in cap raises it; one above a configured cap is an error.
    let cap = keys.cap.as_ref().map_or(RETRY.cap.max(base), |at| at.value);
    if let Some(written) = keys.cap.as_ref().filter(|_| cap < base) {
        let hint = Some(format!("at least {}", show_length(base)));
        out.error(written.mark, "out-of-range", "`cap` is shorter than `base`", hint);
    }
    let [attempts, rebakes] = [(keys.attempts, RETRY.attempts), (keys.rebakes, RETRY.rebakes)]
        .map(|(at, default)| at.map_or(default, |at| at.value));
    Some(RetryPolicy { attempts, base, cap, rebakes })
}

layer! {
    /// `hooks` as written.
    struct HookKeys {
        /// Commands before anything is done to the instance, run first to last. An exit status other than 0 vetoes the
        /// slot.
        before: Vec<HookCommand> = Custom(commands, command_kind),
        /// Commands at the end of a bake whose `before` started, run last to first.
        after: Vec<HookCommand> = Custom(commands, command_kind),
        /// Commands for a failed bake, run last to first before `after`, even if `before` did not start.
        on_failure: Vec<HookCommand> = Custom(commands, command_kind),
        /// Commands for a finished image. An exit status other than 0 vetoes the image.
        verify: Vec<HookCommand> = Custom(commands, command_kind),
        /// Timeout of each command. Default `"5m"`.
        timeout: Duration = Period(SECOND),
    }
}

/// A command is a list of strings; one or several commands.
fn command_kind() -> Kind {
    Kind::OneOrMore(Kind::List(Kind::FILLED.into()).into())
}

fn hooks(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Hooks> {
    let table = item.table_of("hooks", "a table of `before`, `after`, `on_failure`, `verify` and `timeout`", out)?;
    let keys = HookKeys::read(item.mark.source, table, out);
    let commands = |at: Option<At<'_, Vec<HookCommand>>>| at.map(|at| at.value).unwrap_or_default();
    Some(Hooks {
        before: commands(keys.before),
        after: commands(keys.after),
        on_failure: commands(keys.on_failure),
        verify: commands(keys.verify),
        timeout: keys.timeout.map_or(Hooks::TIMEOUT, |at| at.value),
    })
}

/// Reads one command, or a list of them, which may be empty.
fn commands(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<HookCommand>> {
    let wanted = "a command, like [\"/usr/local/bin/quiesce\", \"--all\"], or a list of them";
    let members = item.list_or(wanted, || item.value.as_str().map(mistakes::command), out)?;
    if members.is_empty() || members.iter().any(|member| member.value.is_array()) {
        // All of them are read, so that every error is found.
        let read: Vec<_> = members.into_iter().map(|member| command(member, out)).collect();
        read.into_iter().collect()
    } else {
        Some(vec![command(item, out)?])
    }
}

/// Reads a program by its absolute path, and its arguments.
fn command(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<HookCommand> {
    let bad = |mark, message: String, hint: &str, out: &mut Diagnostics| {
        out.error(mark, "bad-hook", message, Some(hint.into()));
    };
    let wanted = "a list of a program and its arguments";
    let words = item.list_or(wanted, || item.value.as_str().map(mistakes::command), out)?;
    let mut texts = Vec::with_capacity(words.len());
    for word in words {
        let text = word.text(out)?;
        if text.contains('\0') {
            bad(word.mark, "no program can be given a text with a NUL in it".into(), "leave it out", out);
            return None;
        }
        if texts.is_empty() && !text.starts_with('/') {
            let hint = "write the absolute path of the program; arguments follow as strings of their own, and no shell \
                        is between: for one, [\"/bin/sh\", \"-c\", \"…\"]";
            bad(word.mark, format!("`{text}` is not the absolute path of a program"), hint, out);
            return None;
        }
        texts.push(text.to_owned());
    }
    if texts.is_empty() {
        bad(item.mark, "a command needs a program".into(), "like [\"/usr/local/bin/quiesce\"]", out);
        return None;
    }
    Some(HookCommand(texts))
}

layer! {
    /// `keep` as written.
    struct KeepKeys {
        /// Number of newest images to keep.
        last: u32 = Integer(0, 100_000),
        /// Number of hours with images of which the newest is kept.
        hourly: u32 = Integer(0, 100_000),
        /// The same for days.
        daily: u32 = Integer(0, 100_000),
        /// The same for ISO weeks.
        weekly: u32 = Integer(0, 100_000),
        /// The same for months.
        monthly: u32 = Integer(0, 100_000),
        /// The same for years.
        yearly: u32 = Integer(0, 100_000),
        /// Keeps all images up to this much older than the newest one.
        within: Duration = Period(SECOND),
        /// Minimum number of good images that are kept in any case. Default `1`.
        min: u32 = Integer(1, 100_000),
        /// Time between the mark of an image that no rule wants and its deletion. Default `"24h"`.
        grace: Duration = Period(Duration::ZERO),
        /// Time until an image that the cloud lists as CREATE_FAILED is deleted; `"never"` keeps it. Default `"7d"`.
        failed: Option<Duration> = PeriodOrNever(Duration::ZERO),
    }
}

fn keep(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Keep> {
    let table = item.table_of("keep", "a table of rules like `last` and `daily`", out)?;
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
        grace: keys.grace.map_or(GRACE, |at| at.value),
        failed: keys.failed.map_or(Some(FAILED_AGE), |at| at.value),
    };
    if out.count() == before && keep.within.is_none() && counts(&keep).next().is_none() {
        let hint = Some("add one, like `last = 7`, or leave `keep` out to keep all images".into());
        out.error(item.mark, "bad-keep", "`keep` has no rule", hint);
    }
    Some(keep)
}

layer! {
    /// One of `channels` as written.
    struct ChannelKeys {
        /// Time that an image must have been good, without a veto, before the channel moves to it. Default: only a
        /// person moves it.
        after: Duration = Period(Duration::ZERO),
    }
}

fn channels(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<Channel>> {
    let source = item.mark.source;
    let table = item.table_of("channels", "a table of channels like `stable = { after = \"3d\" }`", out)?;
    let mut channels = Vec::with_capacity(table.len());
    for (key, value) in table {
        let mark = source.mark(key.span());
        let Some(name) = name(Item { value: &DeValue::String(key.get_ref().clone()), mark }, out) else { continue };
        if name == LATEST {
            let hint = Some("it is always there and needs no entry".into());
            out.error(mark, "bad-channel", "`latest` is the channel of the newest image", hint);
            continue;
        }
        let channel = Item::new(source, value);
        let Some(table) = channel.table_of(&name, "a table, empty or with `after`", out) else { continue };
        let keys = ChannelKeys::read(source, table, out);
        channels.push(Channel { name, after: keys.after.map(|at| at.value) });
    }
    channels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Some(channels)
}
