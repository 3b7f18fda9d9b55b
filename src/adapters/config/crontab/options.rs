//! The options of a command as keys of a schedule. What a key accepts is asked of the reader of the configuration itself.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use serde::Serialize;
use serde_json::json;

use super::{
    shell::{self, Command},
    texts::{instances, without},
};
use crate::{
    adapters::config::{
        assemble,
        definitions::definitions,
        key::{Key, Kind},
        mistakes,
        problem::{Problems, Severity, is_secret_key},
        reader::{Diagnostics, Source},
        variables,
    },
    adapters::secrets::Parts,
    domain::bake::naming::Template,
};

/// Programs that run another one, which follows their own options.
const WRAPPERS: [&str; 15] = [
    "cronic", "sudo", "nice", "ionice", "env", "exec", "timeout", "flock", "chronic", "nohup", "setsid", "time",
    "python", "python3", "perl",
];
/// Shells, whose `-c` has a whole command in one word.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ash"];
/// Options of wrappers that a value follows.
const WITH_VALUE: [&str; 8] = ["-u", "-n", "-c", "-w", "-p", "-k", "-s", "-g"];

/// Names of options that are not those of their key.
const ALIASES: &[(&str, &[&str])] = &[
    ("image_name", &["image", "image_prefix", "prefix", "name_template", "name_prefix"]),
    ("instance_region", &["region", "region_id", "biz_region_id", "desktop_region"]),
    ("auto_clean_userdata", &["auto_clean", "clean_userdata", "clean_user_data", "auto_clean_user_data"]),
    ("disk_type", &["disk", "disks"]),
    ("sub_instance_id", &["session", "session_id", "sub_instance"]),
    ("description", &["desc"]),
    ("regions", &["copy_to", "distribute", "distribute_to", "replicate", "region_list", "target_regions"]),
    ("stop_instance", &["stop", "stop_first", "shutdown"]),
    ("keep.last", &["keep", "keep_last", "retain", "retention", "keep_count", "max_images", "rotate"]),
    ("keep.hourly", &["keep_hourly"]),
    ("keep.daily", &["keep_daily"]),
    ("keep.weekly", &["keep_weekly"]),
    ("keep.monthly", &["keep_monthly"]),
    ("keep.yearly", &["keep_yearly"]),
    ("keep.within", &["keep_within", "keep_days", "retention_days", "max_age"]),
    ("retry.attempts", &["retries", "attempts", "max_retries", "retry"]),
    ("hooks.before", &["before", "pre_hook", "before_hook"]),
    ("hooks.after", &["after", "post_hook", "after_hook"]),
    ("hooks.on_failure", &["on_failure", "on_error"]),
    ("tags", &["tag"]),
];
/// Options that name instances, which the schedule has.
const OF_INSTANCE: [&str; 10] = [
    "instance_id",
    "instance_ids",
    "instance",
    "instances",
    "desktop",
    "desktop_id",
    "desktops",
    "workstation",
    "server_id",
    "id",
];
/// Options with a reason of their own for having no key.
const REASONS: &[(&[&str], &str)] = &[
    (&["profile", "access_key_id", "config_path", "mode", "ram_role_name"], "see `credentials` of [cloud]"),
    (&["name"], "the schedule is named by its instance: change its `name`"),
    (&["endpoint"], "see `endpoint` of [cloud]"),
    (&["timeout"], "see `deadline` and `build_deadline`"),
    (&["read_timeout"], "see `timeout` of [cloud]"),
    (&["connect_timeout"], "see `connect_timeout` of [cloud]"),
    (&["timezone", "tz", "cron"], "the times and their zone are those of the crontab"),
    (&["dry_run"], "see `mode = \"observe\"` of [daemon]"),
    (&["wait", "waiter", "poll", "poll_interval"], "each image is followed to its end; see `poll_interval` of [cloud]"),
    (
        &["log", "log_file", "logfile", "verbose", "v", "debug", "quiet", "q"],
        "the log of the daemon and its history have it",
    ),
];

/// An option without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotKept {
    /// As written, without secrets.
    pub option: String,
    /// Why.
    pub reason: String,
}

/// The keys of one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Each key with its value as TOML, in the order of the command.
    pub lines: Vec<(String, String)>,
    /// The same as JSON.
    pub keys: serde_json::Map<String, serde_json::Value>,
    pub not_kept: Vec<NotKept>,
    /// What was changed on the way.
    pub note: Option<String>,
    secrets: Parts,
}

/// A setting in the words of the command.
struct Written {
    shown: String,
    name: String,
    value: Option<String>,
}

/// Reads the options of `line`. `head` is the schedule so far, as TOML: keys must be accepted beside it.
pub(super) fn read(line: &str, head: &str) -> Options {
    let mut options = Options { secrets: Parts::of(line), ..Options::default() };
    let mut taken = Vec::new();
    let mut each = None;
    for mut command in shell::commands(line) {
        let Command { words } = &mut command;
        if let [first, name, ..] = words.as_slice()
            && first == "for"
        {
            each = Some([format!("${name}"), format!("${{{name}}}")]);
            options.leave(&format!("{first} {name} in …"), "each instance has its own bake");
            continue;
        }
        if words.first().is_some_and(|word| ["do", "then"].contains(&word.as_str())) {
            words.remove(0);
        }
        if let [only] = words.as_slice()
            && ["done", "fi"].contains(&only.as_str())
        {
            continue;
        }
        let of_each = |word: &String| each.as_ref().is_some_and(|names| names.contains(word));
        let is_of_each = words.iter().any(of_each);
        words.retain(|word| !of_each(word));
        if instances(&words.join(" ")).is_empty() && !is_of_each {
            options.leave(&words.join(" "), "another command; a `before` or `after` hook can run it");
            continue;
        }
        for written in of_command(words, &mut options) {
            options.take(written, is_aliyun(words), &mut taken);
        }
    }
    options.accept(taken, head);
    options
}

impl Options {
    fn leave(&mut self, option: &str, reason: impl Into<String>) {
        let reason = self.secrets.hide(reason.into());
        self.not_kept.push(NotKept { option: without(&self.secrets, option), reason });
    }

    /// Finds the key of an option, or why it has none.
    fn take(&mut self, written: Written, aliyun: bool, taken: &mut Vec<Setting>) {
        let Written { shown, name, value } = written;
        if is_secret_key(&name) {
            self.leave(&shown, "keys never belong into the file; see `credentials` of [cloud]");
            return;
        }
        if OF_INSTANCE.contains(&name.as_str()) && value.as_deref().is_none_or(|value| !instances(value).is_empty()) {
            return;
        }
        if aliyun && matches!(name.as_str(), "region" | "region_id") {
            self.leave(&shown, "it chose the endpoint: see `region` of [cloud]");
            return;
        }
        let reason = REASONS.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, reason)| *reason);
        let alias = ALIASES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(key, _)| *key);
        let key = alias.unwrap_or(&name).to_owned();
        if reason.is_some() || kind_of(&key).is_none() {
            self.leave(&shown, reason.unwrap_or("there is no key for it"));
            return;
        }
        match self.toml(&key, value.as_deref()) {
            Ok((toml, _)) if without(&self.secrets, &toml) != toml => {
                self.leave(&shown, "it has a secret, which never belongs into the file");
            }
            Ok((toml, json)) => taken.push(Setting { shown, key, toml, json }),
            Err(reason) => self.leave(&shown, reason),
        }
    }

    /// The value of a key as TOML and as JSON.
    fn toml(&mut self, key: &str, value: Option<&str>) -> Result<(String, serde_json::Value), String> {
        let quoted = |text: &str| (toml::Value::from(text).to_string(), json!(text));
        let list = |texts: Vec<&str>| {
            let words: Vec<String> = texts.iter().map(|text| toml::Value::from(*text).to_string()).collect();
            (format!("[{}]", words.join(", ")), json!(texts))
        };
        match (key, value) {
            ("stop_instance", None) => return Ok(quoted("if_running")),
            ("stop_instance", Some(word)) if mistakes::boolean(word).is_some() => {
                return Ok(quoted(if mistakes::boolean(word) == Some(true) { "if_running" } else { "never" }));
            }
            ("image_name" | "description", Some(text)) => {
                let mut template = template(text)?;
                let unique = Template::parse(&template).is_ok_and(|parsed| parsed.is_unique_per_slot());
                if key == "image_name" && !unique {
                    template.push_str("-v{version}");
                    self.note =
                        Some("`-v{version}` was added to the image name: each image needs a name of its own".into());
                }
                return Ok(quoted(&template));
            }
            ("keep.within", Some(days)) if days.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Ok(quoted(&format!("{days}d")));
            }
            ("tags", Some(pair)) => {
                let (name, value) = pair.split_once(['=', ':']).ok_or("a tag is written KEY=VALUE")?;
                let toml = format!("{} = {}", toml::Value::from(name), toml::Value::from(value));
                return Ok((toml, json!({ name: value })));
            }
            _ => {}
        }
        let without = || "it has no value".to_owned();
        Ok(match kind_of(key).ok_or("there is no key for it")? {
            Kind::Bool => {
                let meant = value.map_or(Some(true), mistakes::boolean).ok_or("its value is neither true nor false")?;
                (meant.to_string(), json!(meant))
            }
            Kind::Integer { .. } => {
                let number: i64 = value.ok_or_else(without)?.parse().map_err(|_| "its value is no integer")?;
                (number.to_string(), json!(number))
            }
            Kind::OneOf(words) => {
                let value = value.ok_or_else(without)?;
                quoted(words.iter().find(|word| word.eq_ignore_ascii_case(value)).unwrap_or(&value))
            }
            Kind::List(_) | Kind::Set { .. } => list(value.ok_or_else(without)?.split(',').map(str::trim).collect()),
            Kind::OneOrMore(_) => list(value.ok_or_else(without)?.split_whitespace().collect()),
            Kind::Named { .. } | Kind::Table(_) => return Err("this key is a table: write it by hand".to_owned()),
            _ => quoted(value.ok_or_else(without)?),
        })
    }

    /// Keeps the settings that the reader accepts beside `head`; the others have its message as their reason.
    fn accept(&mut self, mut taken: Vec<Setting>, head: &str) {
        // Most lines have none, and asking reads a whole configuration.
        if taken.is_empty() {
            return;
        }
        let first = head.lines().count() + 1;
        // Once more after some were refused: one key may need another one.
        loop {
            let lines = merged(&taken);
            let text: String = lines.iter().map(|(key, value, _)| format!("{key} = {value}\n")).collect();
            let errors = errors(&format!("{head}{text}"));
            if errors.is_empty() {
                self.keys = lines.iter().map(|(key, _, json)| (key.clone(), json.clone())).collect();
                self.lines = lines.into_iter().map(|(key, value, _)| (key, value)).collect();
                return;
            }
            let mut refused: BTreeMap<String, String> = BTreeMap::new();
            for (line, message) in errors {
                if let Some((key, ..)) = line.checked_sub(first).and_then(|at| lines.get(at)) {
                    refused.entry(key.clone()).or_insert(message);
                }
            }
            if refused.is_empty() {
                return;
            }
            let (bad, good) = taken.into_iter().partition(|setting: &Setting| refused.contains_key(setting.outer()));
            taken = good;
            for setting in bad {
                let message = refused.get(setting.outer()).cloned().unwrap_or_default();
                self.leave(&setting.shown, message);
            }
        }
    }
}

/// A key with its value.
struct Setting {
    shown: String,
    /// `disk_type`, or `keep.last` for a key inside a table.
    key: String,
    toml: String,
    json: serde_json::Value,
}

impl Setting {
    fn outer(&self) -> &str {
        self.key.split('.').next().unwrap_or_default()
    }
}

/// One line for each key; of a key that is set twice the last value counts.
fn merged(taken: &[Setting]) -> Vec<(String, String, serde_json::Value)> {
    let mut lines: Vec<(String, BTreeMap<&str, &Setting>)> = Vec::new();
    for setting in taken {
        let outer = setting.outer();
        let inner = if outer == "tags" {
            setting.toml.as_str()
        } else {
            setting.key.split_once('.').map_or("", |(_, inner)| inner)
        };
        match lines.iter_mut().find(|(key, _)| key == outer) {
            Some((_, settings)) => {
                settings.insert(inner, setting);
            }
            None => lines.push((outer.to_owned(), BTreeMap::from([(inner, setting)]))),
        }
    }
    let line = |(key, settings): (String, BTreeMap<&str, &Setting>)| {
        if let (Some(only), 1, false) = (settings.get(""), settings.len(), key == "tags") {
            return (key, only.toml.clone(), only.json.clone());
        }
        let tags = key == "tags";
        let toml: Vec<String> = settings
            .iter()
            .map(|(inner, setting)| if tags { setting.toml.clone() } else { format!("{inner} = {}", setting.toml) })
            .collect();
        let json: serde_json::Map<_, _> = settings
            .iter()
            .flat_map(|(inner, setting)| match (&setting.json, tags) {
                (serde_json::Value::Object(pair), true) => pair.clone().into_iter().collect::<Vec<_>>(),
                (value, _) => vec![((*inner).to_owned(), value.clone())],
            })
            .collect();
        (key, format!("{{ {} }}", toml.join(", ")), json.into())
    };
    lines.into_iter().map(line).collect()
}

/// The errors of a configuration, each with its line from 1.
fn errors(text: &str) -> Vec<(usize, String)> {
    let mut out = Diagnostics::default();
    let source = Source::new(0, Path::new("crontab"), text.to_owned(), false);
    assemble(&[source], &variables(&BTreeMap::new()), None, &mut out);
    let problems = Problems(out.into_problems());
    let errors = problems.0.into_iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|error| (error.place.spot.map_or(0, |spot| spot.line), error.message)).collect()
}

/// Keys of a schedule; they are asked for each option.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| definitions().schedule.keys);

/// Accepted values of a key of a schedule, or of a key inside one of its tables.
fn kind_of(key: &str) -> Option<&'static Kind> {
    let find = |keys: &'static [Key], name: &str| keys.iter().find(|key| key.name == name).map(|key| &key.kind);
    match key.split_once('.') {
        None => find(&KEYS, key),
        Some((outer, inner)) => match find(&KEYS, outer)? {
            Kind::Table(keys) => find(keys, inner),
            _ => None,
        },
    }
}

fn is_aliyun(words: &[String]) -> bool {
    words.iter().any(|word| word == "aliyun" || word.ends_with("/aliyun"))
}

/// The options of one command. What runs the program is reported as not kept.
fn of_command(words: &[String], options: &mut Options) -> Vec<Written> {
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut written = Vec::new();
    let is_shell = |word: &String| SHELLS.contains(&base(word).as_str());
    if let Some(at) = (1..words.len()).find(|at| is_command(&words[*at], &words[at - 1]))
        && !words[..at].iter().any(is_shell)
    {
        options.leave(&words[..at].join(" "), "imagebaked runs no program");
        for command in shell::commands(&words[at].replace('%', "\\%")) {
            written.extend(of_command(&command.words, options));
        }
        return written;
    }
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if let Some(option) = assignment(word) {
            written.push(option);
            rest = after;
            continue;
        }
        let name = base(word);
        if SHELLS.contains(&name.as_str()) {
            if let Some(inner) = after
                .iter()
                .position(|word| !word.starts_with('-'))
                .filter(|at| after[..*at].iter().any(|flag| flag.ends_with('c')))
            {
                for command in shell::commands(&after[inner].replace('%', "\\%")) {
                    written.extend(of_command(&command.words, options));
                }
                return written;
            }
            rest = after;
            continue;
        }
        if !WRAPPERS.contains(&name.as_str()) {
            rest = after;
            break;
        }
        let end = own_words(&name, after);
        if end > 0 {
            let reason = match name.as_str() {
                "flock" => "an instance has one bake at a time anyway: see `overlap`",
                "timeout" => "see `deadline` and `build_deadline`",
                _ => "imagebaked runs no program",
            };
            options.leave(&format!("{word} {}", after[..end].join(" ")), reason);
        }
        rest = &after[end..];
    }
    let positional = if is_aliyun(words) { None } else { Some(&mut *options) };
    written.extend(of_program(rest, positional));
    written
}

/// Whether a word is a whole command, which the program before it runs: `su deploy -c "…"`, `ssh host '…'`.
fn is_command(word: &str, before: &str) -> bool {
    let first = word.split_whitespace().next().unwrap_or_default();
    let runs = before == "-c" || !before.starts_with('-');
    word.contains(" -") && runs && instances(first).is_empty() && !instances(word).is_empty()
}

/// How many words after a wrapper are its own.
fn own_words(name: &str, words: &[String]) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += if WITH_VALUE.contains(&word.as_str()) && !(name == "flock" && word == "-n") { 2 } else { 1 };
    }
    // The lock's file, and the time.
    at += usize::from(matches!(name, "flock" | "timeout"));
    at.min(words.len())
}

/// `DISK_TYPE=SYSTEM`.
fn assignment(word: &str) -> Option<Written> {
    let (name, value) = word.split_once('=')?;
    let sound = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    sound.then(|| Written { shown: word.to_owned(), name: normal(name), value: Some(value.to_owned()) })
}

/// The options among the words after a program. Other words are reported to `positional`.
fn of_program(words: &[String], mut positional: Option<&mut Options>) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    let mut tag_keys: BTreeMap<String, String> = BTreeMap::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        let is_option = word.len() > 1 && word.starts_with('-');
        if !is_option {
            if let Some(option) = assignment(word) {
                written.push(option);
            } else if let (Some(options), true) = (positional.as_deref_mut(), instances(word).is_empty()) {
                options.leave(word, "a word without the name of an option");
            }
            continue;
        }
        let plain = word.trim_start_matches('-');
        let (name, mut value) = match plain.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (plain, None),
        };
        let mut shown = word.clone();
        let name = normal(name);
        let key =
            ALIASES.iter().find(|(_, names)| names.contains(&name.as_str())).map_or(name.as_str(), |(key, _)| key);
        if let Some(next) = words.get(at).filter(|next| value.is_none() && !next.starts_with('-')) {
            let flag = matches!(kind_of(key), Some(Kind::Bool)) || key == "stop_instance";
            let known =
                kind_of(key).is_some_and(|kind| matches!(kind, Kind::OneOf(words) if words.contains(&next.as_str())));
            let follows = if flag {
                mistakes::boolean(next).is_some() || known
            } else {
                OF_INSTANCE.contains(&name.as_str()) || instances(next).is_empty() || next.contains(' ')
            };
            if follows {
                shown = format!("{shown} {next}");
                value = Some(next.clone());
                at += 1;
            }
        }
        // `--TagList.1.Key team --TagList.1.Value it`, in either spelling of the SDKs.
        if let Some((number, part)) =
            name.strip_prefix("tag_list.").or(name.strip_prefix("tag.")).and_then(|rest| rest.split_once('.'))
        {
            match (part, tag_keys.get(number)) {
                ("key", _) => {
                    tag_keys.insert(number.to_owned(), value.unwrap_or_default());
                }
                (_, Some(key)) => {
                    let pair = format!("{key}={}", value.unwrap_or_default());
                    written.push(Written { shown, name: "tags".into(), value: Some(pair) });
                }
                (_, None) => written.push(Written { shown, name, value }),
            }
            continue;
        }
        written.push(Written { shown, name, value });
    }
    written
}

/// `DiskType`, `disk-type` and `DISK_TYPE` as `disk_type`.
fn normal(name: &str) -> String {
    let mut normal = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            normal.push('_');
        }
        normal.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
        before = c;
    }
    normal
}

/// A name for the shell as a template: `$(date +%F)` is the slot.
fn template(text: &str) -> Result<String, String> {
    let mut template = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let inner = rest
            .strip_prefix("$(")
            .and_then(|inner| inner.split_once(')'))
            .or_else(|| rest.strip_prefix('`').and_then(|inner| inner.split_once('`')));
        if let Some((command, after)) = inner {
            let words: Vec<&str> = command.split_whitespace().filter(|word| !matches!(*word, "-u" | "--utc")).collect();
            let format = match *words.as_slice() {
                ["date"] => "{slot}".to_owned(),
                ["date", ..] => {
                    let format = command.split_once('+').map(|(_, format)| format.trim().trim_matches(['"', '\'']));
                    format!("{{slot:{}}}", format.ok_or("its date has no format")?)
                }
                _ => return Err("the output of another command cannot be part of it".to_owned()),
            };
            template.push_str(&format);
            rest = after;
            continue;
        }
        match c {
            '$' | '`' => return Err("a variable of the shell cannot be part of it".to_owned()),
            '{' => template.push_str("{{"),
            '}' => template.push_str("}}"),
            c => template.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    Ok(template)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
