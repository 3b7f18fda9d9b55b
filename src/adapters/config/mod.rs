//! Loads TOML files into a [`Config`], and reports all problems of all files at once.
//!
//! The layers, each over the one before: built-in defaults, the file, the files of `conf.d` beside it in the order of
//! their names, and the environment (`IMAGEBAKED_DAEMON__MAX_BUILDERS=4`). Tables merge key by key; the `[[schedule]]`s
//! of all files are concatenated.
//!
//! There are two paths:
//!
//! * `[cloud]` and `[daemon]` have few keys with all the layers: each layer is read and checked in its place, then
//!   figment merges them.
//! * Schedules may be thousands and are never set by the environment. Figment would copy each into a tree of owned
//!   values and lose its place in the file, so they are read from the parsed document itself.
//!
//! The parser continues after an error and keeps the place of every value (`parse_recoverable`); `reader`
//! checks types and collects problems. A document takes many times the memory of its text, so long files are read in
//! `chunks`, and twice: once for the keys that schedules share, once for the schedules. At most one chunk's document is
//! in memory, none when [`load`] returns.

mod backup_keys;
mod bounded;
mod chunks;
pub mod crontab;
pub mod definitions;
mod diagnostics;
mod endpoint_keys;
pub mod explain;
mod files;
mod folded;
mod free_names;
mod hash;
mod hidden;
mod in_force;
mod key;
mod layer;
mod lints;
mod marks;
mod mistakes;
mod paths;
mod problem;
mod reader;
mod region_keys;
mod schedule_keys;
mod schedule_layers;
mod schedules;
#[cfg(test)]
mod secret_tests;
mod settings;
mod source_files;
mod source_map;
mod suggest;
mod syntax;
mod unknown_keys;
mod value_types;
mod written;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, hash_map},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use figment::{Figment, providers::Serialized, value::Value};
use serde::{Serialize, de::DeserializeOwned};
use toml::{Spanned, de::DeValue};

pub use self::bounded::read_up_to as read_bounded;
pub use self::{
    backup_keys::BackupSettings,
    files::{FileStamps, conf_d, fingerprint, unread},
    free_names::{FreeNames, is_of_names},
    lints::hooks_that_cannot_start,
    problem::{Place, Problem, Problems, Severity, Spot},
    region_keys::is_region,
    schedule_keys::is_instance_id,
    settings::{CloudSettings, DaemonSettings},
    source_map::{SourceMap, WarningTarget},
    suggest::{closest, no_image, no_instance, no_schedule},
    written::toml_string,
};
use self::{
    hash::hash,
    reader::{Diagnostics, Homes, Item, Mark, Source},
    schedules::{Schedules, SharedSettings},
    settings::{CloudLayer, DaemonLayer},
    source_files::read_files,
    source_map::SourceSpans,
    suggest::suggestion,
    syntax::parse,
};
use crate::domain::{
    calendar::zone::{self, Release},
    image::users::UserKind,
    plan::diff::{Diff, changes, table},
    schedule::Schedule,
    text::quoted,
};

/// Prefix of the variables that set keys.
const PREFIX: &str = "IMAGEBAKED_";
/// Variables with that prefix for other purposes: the command line, and kill points of debug builds.
const NOT_KEYS: &[&str] = &[
    "IMAGEBAKED_CONFIG",
    "IMAGEBAKED_LOG",
    #[cfg(debug_assertions)]
    crate::adapters::failpoint::VARIABLE,
];
/// The tables of a file.
const SECTIONS: [&str; 5] = ["cloud", "daemon", "defaults", "profile", "schedule"];

/// Where a key belongs.
const HOMES: Homes =
    &[("cloud", CloudLayer::KEYS), ("daemon", DaemonLayer::KEYS), ("defaults", schedule_keys::ScheduleLayer::KEYS)];

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[cloud]`.
    pub cloud: CloudSettings,
    /// Whether nothing of `[cloud]` is wrong. Otherwise defaults take its place, which are another account or another address:
    /// nothing may be sent by them.
    pub cloud_is_whole: bool,
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[daemon] owner` of the files, where the daemon that was started with another one has reloaded them.
    pub next_owner: Option<String>,
    /// The `[[schedule]]`s of all files, in their order.
    pub schedules: Vec<Arc<Schedule>>,
    /// Twelve hex digits that change when any effective value does.
    pub hash: String,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// Hash of their content: a different one means that a file was edited.
    pub fingerprint: String,
    /// Release of its time zone rules.
    pub zones: Arc<Release>,
    /// Names and ids of schedules that only the file has, where a command uses the configuration in force instead of it.
    pub only_in_file: Vec<String>,
}

/// Keys of `[cloud]` and `[daemon]` that a reload applies at once; all others apply at the next start.
const LIVE: &[(&str, &str)] = &[
    ("cloud", "poll_interval"),
    ("cloud", "lookup_window"),
    ("cloud", "in_use"),
    ("daemon", "max_builders"),
    ("daemon", "max_builders_per_region"),
    ("daemon", "pause_after_failures"),
    ("daemon", "prune_interval"),
    ("daemon", "max_deletions"),
    ("daemon", "keep_events"),
    ("daemon", "watch"),
    ("daemon", "backup"),
];

impl Config {
    /// All names and ids of schedules.
    pub fn schedule_words(&self) -> impl Iterator<Item = &str> {
        self.schedules.iter().flat_map(|schedule| [schedule.name.as_str(), schedule.id.as_str()])
    }

    /// The schedule with this name or id.
    pub fn schedule(&self, wanted: &str) -> Option<&Arc<Schedule>> {
        self.schedules.iter().find(|one| one.is_called(wanted))
    }

    /// Message for a word that is no schedule: the nearest of those `known`, or the one whose instance it is.
    pub fn no_schedule<'a>(&self, wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
        if self.only_in_file.iter().any(|word| word == wanted) {
            let wanted = quoted(wanted);
            return format!(
                "{wanted} is in the file, but not in force yet: `imagebaked reload`, or `imagebaked check`"
            );
        }
        match self.schedules_of_instance(wanted).as_slice() {
            [] => no_schedule(wanted, known),
            owners => format!("{} is no schedule; it is an instance of {}", quoted(wanted), owners.join(", ")),
        }
    }

    /// The names of the schedules that have this instance.
    pub fn schedules_of_instance(&self, instance: &str) -> Vec<&str> {
        let has = |schedule: &&Arc<Schedule>| schedule.instances.as_slice().iter().any(|one| one.as_str() == instance);
        self.schedules.iter().filter(has).map(|schedule| schedule.name.as_str()).collect()
    }

    /// Whether it differs from `other` in a key that applies only at the start of the daemon: paths, sockets, the
    /// status page, or the connection to the cloud.
    pub fn needs_restart(&self, other: &Self) -> bool {
        !self.restart_keys(other).is_empty()
    }

    /// These keys, as `daemon.listen`.
    pub fn restart_keys(&self, other: &Self) -> Vec<String> {
        let differing = |section: &str, mine: &serde_json::Map<_, _>, others: &serde_json::Map<_, _>| {
            let keys: BTreeSet<&String> = mine.keys().chain(others.keys()).collect();
            let differs =
                |key: &&String| !LIVE.contains(&(section, key.as_str())) && mine.get(*key) != others.get(*key);
            keys.into_iter().filter(differs).map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
        };
        let mut keys = differing("cloud", &table(&self.cloud), &table(&other.cloud));
        keys.extend(differing("daemon", &self.written_daemon(), &other.written_daemon()));
        keys
    }

    /// Keeps the owner that the daemon was started with: images and bakes in flight carry its tag.
    #[must_use]
    pub fn keeping_owner(mut self, in_force: &str) -> Self {
        if self.daemon.owner != in_force {
            self.next_owner = Some(std::mem::replace(&mut self.daemon.owner, in_force.to_owned()));
        }
        self
    }

    /// The owner of the next start.
    pub fn written_owner(&self) -> &str {
        self.next_owner.as_deref().unwrap_or(&self.daemon.owner)
    }

    /// `[daemon]` as the files have it.
    fn written_daemon(&self) -> serde_json::Map<String, serde_json::Value> {
        table(&DaemonSettings { owner: self.written_owner().to_owned(), ..self.daemon.clone() })
    }

    /// Regions where images may be in use: those of instances and copies, and that of the image service.
    pub fn regions(&self) -> BTreeSet<&str> {
        let of_schedules = self.schedules.iter().flat_map(|schedule| {
            let settings = &schedule.settings;
            settings.regions.iter().map(String::as_str).chain([settings.instance_region.as_str()])
        });
        of_schedules.chain([self.cloud.region.as_str()]).collect()
    }

    /// Kinds of users that the operator excludes: they are not listed before an image is deleted.
    pub fn not_asked(&self) -> Vec<UserKind> {
        UserKind::ALL.into_iter().filter(|kind| !self.cloud.in_use.contains(kind)).collect()
    }

    /// Differences from `old`, with the slots after `from` up to and including `until`.
    pub fn diff(&self, old: &Self, from: DateTime<Utc>, until: DateTime<Utc>) -> Diff {
        let sections = |config: &Self| {
            let of = |section: &str, keys: serde_json::Map<String, serde_json::Value>| {
                keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)).collect::<Vec<_>>()
            };
            let (cloud, daemon) = (of("cloud", table(&config.cloud)), of("daemon", config.written_daemon()));
            cloud.into_iter().chain(daemon).collect()
        };
        Diff::between(&old.schedules, &self.schedules, from, until)
            .with_settings(changes(&sections(old), &sections(self)))
    }
}

/// A valid configuration with its warnings.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings only.
    pub warnings: Problems,
}

/// Loads the file at `path`, the `conf.d/*.toml` beside it and the `IMAGEBAKED_…` variables of `environment`.
///
/// # Errors
///
/// All problems, warnings included, if there is any error.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Loaded, Problems> {
    load_in_place_of(path, path, environment)
}

/// Like [`load`], with `file` in place of the main file at `path`; the `conf.d` beside `path` is used.
///
/// # Errors
///
/// All problems, warnings included, if there is any error.
pub fn load_in_place_of(path: &Path, file: &Path, environment: &BTreeMap<String, String>) -> Result<Loaded, Problems> {
    let mut out = Diagnostics::default();
    let (config, _) = read_layers(path, file, environment, None, &mut out);
    loaded(config, Problems(out.into_problems()))
}

/// Like [`load`], with the place of every value, for later checks.
///
/// # Errors
///
/// All problems, warnings included, if there is any error.
pub fn load_with_source_map(
    path: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<(Config, SourceMap), Problems> {
    let mut out = Diagnostics::default();
    let mut marks = SourceSpans::default();
    let (config, sources) = read_layers(path, path, environment, Some(&mut marks), &mut out);
    match config {
        Some(config) if !out.has_errors() => Ok((config, SourceMap::new(sources, marks, out))),
        _ => Err(Problems(out.into_problems())),
    }
}

/// Loads the valid part of a configuration, with all problems: sections with defaults for invalid keys, and the valid
/// schedules. Enough to find daemon and history, never to run a daemon.
pub fn load_lenient(path: &Path, environment: &BTreeMap<String, String>) -> (Option<Config>, Problems) {
    let mut out = Diagnostics::default();
    let (config, _) = read_layers(path, path, environment, None, &mut out);
    (config, Problems(out.into_problems()))
}

/// Defaults and the variables of `environment`: for a host without a file.
pub fn without_file(environment: &BTreeMap<String, String>) -> (Option<Config>, Problems) {
    let mut out = Diagnostics::default();
    let config = assemble(&[], &variables(environment), None, &mut out);
    (config, Problems(out.into_problems()))
}

fn loaded(config: Option<Config>, problems: Problems) -> Result<Loaded, Problems> {
    match config {
        Some(config) if !problems.has_errors() => Ok(Loaded { config, warnings: problems }),
        _ => Err(problems),
    }
}

fn read_layers(
    path: &Path,
    file: &Path,
    environment: &BTreeMap<String, String>,
    marks: Option<&mut SourceSpans>,
    out: &mut Diagnostics,
) -> (Option<Config>, Vec<Source>) {
    let (sources, fingerprint) = read_files(path, file, out);
    let mut config = assemble(&sources, &variables(environment), marks, out);
    if let Some(config) = &mut config {
        config.files = sources.iter().map(|source| source.file.to_path_buf()).collect();
        config.files.dedup();
        config.fingerprint = fingerprint;
    }
    (config, sources)
}

/// The variables that set keys, as a source.
fn variables(environment: &BTreeMap<String, String>) -> Source {
    let mut variables = String::new();
    for (name, value) in environment {
        if name.starts_with(PREFIX) && !NOT_KEYS.contains(&name.as_str()) {
            // One line per variable.
            variables.extend([name, "=", &value.replace(['\n', '\r'], " "), "\n"]);
        }
    }
    Source::new(usize::MAX, Path::new("environment"), variables, true)
}

/// Reports a table that an earlier chunk of the same file has; within a chunk the parser does.
fn claim<'s>(
    seen: &mut HashMap<(&'s Path, String), Mark<'s>>,
    source: &'s Source,
    name: String,
    key: &Spanned<Cow<'s, str>>,
    out: &mut Diagnostics,
) {
    let mark = source.mark(key.span());
    match seen.entry((&source.file, name)) {
        hash_map::Entry::Occupied(first) => {
            let hint = syntax::one_of_two(mark);
            out.error_with_related(mark, "duplicate-key", "duplicate key", hint, (*first.get(), "first here"));
        }
        hash_map::Entry::Vacant(new) => {
            new.insert(mark);
        }
    }
}

/// Merges the layers. `None` if that fails, with the reason in `out`.
fn assemble(
    sources: &[Source],
    variables: &Source,
    marks: Option<&mut SourceSpans>,
    out: &mut Diagnostics,
) -> Option<Config> {
    (out.homes, out.inner) = (HOMES, schedule_keys::INNER);
    let mut clouds = Vec::new();
    let mut daemons = Vec::new();
    let mut shared = SharedSettings::default();
    let mut seen = HashMap::new();
    // Errors of what has its own section. Any other may be about `[cloud]`, such as a misspelt section.
    let mut errors_of_others = 0;
    for source in sources {
        if out.is_full() {
            break;
        }
        for (key, value) in &parse(source, out) {
            let item = Item::new(source, value);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("schedule", _) => {}
                ("profile", DeValue::Table(profiles)) => {
                    for name in profiles.keys() {
                        claim(&mut seen, source, format!("profile.{}", name.get_ref()), name, out);
                    }
                }
                (section, _) => claim(&mut seen, source, section.to_owned(), key, out),
            }
            let before = out.errors();
            match key.get_ref().as_ref() {
                "cloud" => clouds
                    .extend(item.table("the section [cloud]", out).map(|table| CloudLayer::read(source, table, out))),
                "daemon" => daemons
                    .extend(item.table("the section [daemon]", out).map(|table| DaemonLayer::read(source, table, out))),
                "defaults" => shared.add_defaults(source, item, out),
                "profile" => shared.add_profiles(source, item, out),
                "schedule" => {}
                other => unknown_section(source, key, other, value, out),
            }
            if ["daemon", "defaults", "profile"].contains(&key.get_ref().as_ref()) {
                errors_of_others += out.errors() - before;
            }
        }
    }
    let (cloud, daemon) = read_variables(variables, out);
    let cloud_is_whole = out.errors() == errors_of_others;
    clouds.push(cloud);
    daemons.push(daemon);
    let cloud: Option<CloudSettings> = merge(&clouds).map_err(|error| unmerged(sources, &error, out)).ok();
    let daemon: Option<DaemonSettings> = merge(&daemons).map_err(|error| unmerged(sources, &error, out)).ok();

    let region = cloud.as_ref().map(|cloud| cloud.region.clone()).unwrap_or_default();
    let mut schedules =
        Schedules::new(&shared, &region, marks.is_some()).map_err(|error| unmerged(sources, &error, out)).ok()?;
    let mut any = false;
    for source in sources {
        let tables = parse(source, out);
        let Some(value) = tables.get("schedule") else { continue };
        let list = Item::new(source, value);
        if list.value.is_table() {
            any = true;
            out.error(list.mark, "bad-type", "a schedule begins with double brackets", Some(schedules::header()));
            continue;
        }
        for item in list.list_or("[[schedule]] tables", || Some(schedules::header()), out).into_iter().flatten() {
            any = true;
            if out.is_full() {
                break;
            }
            schedules.add(source, item, out);
        }
    }
    schedules.report_unused_profiles(out);
    // Last: what is an error already has no warning at the same place.
    for source in sources {
        hidden::report(source, out);
    }
    if let Some(source) = sources.first()
        && !any
        && !out.broken
        && !out.has_errors()
    {
        let hint = Some("add a [[schedule]] with `name`, `instance_id` and `cron`".into());
        let message = "there are no schedules, so nothing is ever baked".into();
        out.file(source.index, &source.file, Severity::Warning, "no-schedules", message, hint);
    }
    if let Some(marks) = marks {
        let builders = daemons.iter().rev().find_map(|layer| layer.max_builders.as_ref());
        marks.max_builders = builders.map(|at| at.mark.span());
        let owner = daemons.iter().rev().find_map(|layer| layer.owner.as_ref());
        marks.owner = owner.map(|at| at.mark.span());
        marks.schedules = schedules.written.take().unwrap_or_default();
    }
    let (cloud, daemon, schedules) = (cloud?, daemon?, schedules.done);
    let hash = hash(&cloud, &daemon, &schedules).map_err(|error| unmerged(sources, &error, out)).ok()?;
    Some(Config {
        cloud,
        cloud_is_whole,
        daemon,
        next_owner: None,
        schedules,
        hash,
        files: Vec::new(),
        fingerprint: String::new(),
        zones: zone::release(),
        only_in_file: Vec::new(),
    })
}

/// Defaults below, then each layer over the ones before it.
fn merge<T: Default + Serialize + DeserializeOwned>(layers: &[impl Serialize]) -> Result<T, Box<figment::Error>> {
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    for layer in layers {
        let Value::Dict(_, mut keys) = Value::serialize(layer)? else { continue };
        // A key that the layer does not set must not hide the one below.
        keys.retain(|_, value| !matches!(value, Value::Empty(..)));
        figment = figment.merge(Serialized::defaults(keys));
    }
    Ok(figment.extract()?)
}

/// Every layer was checked in its place, so this is an error of the program.
fn unmerged(sources: &[Source], error: &dyn std::error::Error, out: &mut Diagnostics) {
    if let Some(source) = sources.first() {
        let message = format!("the layers cannot be put together: {error}");
        out.file(source.index, &source.file, Severity::Error, "merge", message, None);
    }
}

fn unknown_section(
    source: &Source,
    key: &Spanned<Cow<'_, str>>,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    out: &mut Diagnostics,
) {
    let mark = source.mark(key.span());
    let tabular = value.get_ref().is_table() || value.get_ref().is_array();
    if !tabular && problem::is_secret_key(name) {
        unknown_keys::unknown_key(mark, name, &[], out);
    } else if tabular {
        let hint = match name {
            "schedules" | "job" | "jobs" | "task" | "tasks" | "image" | "images" | "bake" | "bakes" => {
                "write `[[schedule]]`, once for each schedule".to_owned()
            }
            name => suggestion(name, &SECTIONS),
        };
        out.error(mark, "unknown-section", format!("unknown section `{name}`"), Some(hint));
    } else {
        let hint = unknown_keys::outside(mark, name, out)
            .unwrap_or_else(|| format!("keys stand in a section: {}", SECTIONS.join(", ")));
        out.error(mark, "unknown-key", format!("unknown key `{name}` outside of any section"), Some(hint));
    }
}

/// Parses `IMAGEBAKED_SECTION__KEY=value` lines.
fn read_variables<'s>(source: &'s Source, out: &mut Diagnostics) -> (CloudLayer<'s>, DaemonLayer<'s>) {
    let (mut cloud, mut daemon) = (CloudLayer::default(), DaemonLayer::default());
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let (name, value) = line.trim_end_matches('\n').split_once('=').unwrap_or((line, ""));
        let name_mark = source.mark(start..start + name.len());
        let from = start + name.len() + 1;
        let written = DeValue::String(value.into());
        let item = Item { value: &written, mark: source.mark(from..from + value.len()) };
        start += line.len();

        let path = name.trim_start_matches(PREFIX).to_lowercase();
        let known = match path.split_once("__") {
            Some(("cloud", key)) => cloud.set(key, item, out),
            Some(("daemon", key)) => daemon.set(key, item, out),
            _ => None,
        };
        if known.is_none() {
            let message = format!("the variable `{name}` sets nothing");
            out.error(name_mark, "unknown-variable", message, Some(variable_hint(&path)));
        }
    }
    (cloud, daemon)
}

/// Hint for the variable whose name continues with `path` after the prefix.
fn variable_hint(path: &str) -> String {
    if problem::is_secret_key(path) {
        return "the access key is read from `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET`"
            .into();
    }
    // The comparison omits the prefix, which would make any two names similar.
    let sections = [("cloud", CloudLayer::KEYS), ("daemon", DaemonLayer::KEYS)];
    let paths: Vec<String> = sections
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}__{key}")))
        .chain(NOT_KEYS.iter().map(|name| name.trim_start_matches(PREFIX).to_lowercase()))
        .collect();
    match closest(path, paths.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{PREFIX}{}`?", near.to_uppercase()),
        None => format!("variables set keys of [cloud] and [daemon]: `{PREFIX}DAEMON__MAX_BUILDERS`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that apply only at the next start: paths and the settings of the cloud's client.
    const AT_START: &[(&str, &str)] = &[
        ("cloud", "region"),
        ("cloud", "endpoint"),
        ("cloud", "ecd_endpoint"),
        ("cloud", "ecd_endpoints"),
        ("cloud", "sts_endpoint"),
        ("cloud", "metadata_endpoint"),
        ("cloud", "connect_timeout"),
        ("cloud", "timeout"),
        ("cloud", "requests_per_second"),
        ("cloud", "credentials"),
        ("cloud", "credentials_dir"),
        ("daemon", "owner"),
        ("daemon", "state_dir"),
        ("daemon", "listen"),
        ("daemon", "page_hosts"),
        ("daemon", "control_socket"),
        ("daemon", "drain"),
        ("daemon", "mode"),
    ];

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        let schedule = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\n";
        std::fs::write(&path, format!("{text}\n{schedule}")).unwrap();
        load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.render(false))).config
    }

    #[test]
    fn every_key_counts_at_once_or_asks_for_a_restart() {
        let other = |key: &str| match key {
            "region" => "\"cn-beijing\"",
            "endpoint" | "ecd_endpoint" | "sts_endpoint" | "metadata_endpoint" => "\"http://127.0.0.1:1\"",
            "ecd_endpoints" => "{ cn-beijing = \"http://127.0.0.1:1\" }",
            "requests_per_second" => "7",
            "credentials" => "\"ecs_ram_role\"",
            "listen" => "\"127.0.0.1:1\"",
            "max_builders" | "max_builders_per_region" | "pause_after_failures" | "max_deletions" => "17",
            "in_use" => "[]",
            "page_hosts" => "[\"bake.example.com\"]",
            "credentials_dir" | "state_dir" | "control_socket" | "owner" => "\"/elsewhere\"",
            "watch" => "true",
            "mode" => "\"observe\"",
            "backup" => "{ keep = 17 }",
            "keep_events" => "\"17h\"",
            _ => "\"17s\"",
        };
        let before = config("");
        let keys = |section, table: serde_json::Map<_, _>| {
            table.into_iter().map(|(key, _)| (section, key)).collect::<Vec<(&str, String)>>()
        };
        let all = [keys("cloud", table(&before.cloud)), keys("daemon", table(&before.daemon))].concat();
        assert_eq!(all.len(), CloudLayer::KEYS.len() + DaemonLayer::KEYS.len(), "a key is read and not kept");
        for (section, key) in &all {
            let after = config(&format!("[{section}]\n{key} = {}\n", other(key)));
            assert_ne!(after.hash, before.hash, "{section}.{key}");
            let at_start = AT_START.contains(&(*section, key.as_str()));
            assert_eq!(after.needs_restart(&before), at_start, "{section}.{key}");
            assert_eq!(before.needs_restart(&after), at_start, "{section}.{key}");
        }
    }
}
