//! Converts a crontab to `[[schedule]]` tables: the lines that name instances become schedules, the others are listed
//! with a reason. Options of a command become keys, and each that has no key is named. Pure; the result is text for an
//! operator to read before it is used.

mod options;
mod shell;
mod texts;

use std::time::Duration;

use serde::Serialize;

pub use self::options::NotKept;
use self::texts::{instances, without_secrets};
use super::{FreeNames, is_of_names, toml_string};
use crate::{
    adapters::secrets::Parts,
    domain::{
        calendar::{Timing, zone::Zone},
        text::{LONGEST_EXCERPT, clean_lines, excerpt},
    },
};

/// Maximum length of a name in a configuration.
const LONGEST_NAME: usize = 64;
/// Maximum length of a line, in bytes. Vixie cron takes 1,000 of a command.
const LONGEST_LINE: usize = 8_192;
/// Maximum number of lines. No crontab has so many.
const MOST_LINES: usize = 10_000;
/// Maximum number of comments, and of omitted lines and options of each, that are repeated.
const MOST_REPEATED: usize = 100;
const MOST_OPTIONS: usize = 20;
/// Words before a command that do not belong to it.
const WRAPPERS: [&str; 7] = ["sudo", "nice", "ionice", "env", "exec", "timeout", "flock"];

/// How programs begin that run the file after them.
const RUNNERS: [&str; 16] = [
    "bash", "chronic", "cronic", "dash", "java", "ksh", "node", "perl", "php", "python", "pwsh", "ruby", "setsid",
    "sh", "time", "zsh",
];

/// Result of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An empty line.
    Blank,
    /// A comment, with its `#`.
    Comment(String),
    /// A schedule.
    Schedule(Found),
    /// A line that cannot be converted.
    LeftOut(LeftOut),
}

/// Schedule of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// From 1.
    pub line: usize,
    /// From the instance, or from the command if it names several.
    pub name: String,
    /// Instances, all of one kind.
    pub instance_ids: Vec<String>,
    /// The times, as in the line.
    pub cron: String,
    /// Zone by CRON_TZ, TZ or the host.
    pub timezone: String,
    /// The command, without secrets.
    pub command: String,
    /// Other keys, from the options of the command.
    pub keys: serde_json::Map<String, serde_json::Value>,
    /// The same as TOML, in the order of the command.
    #[serde(skip)]
    pub lines: Vec<(String, String)>,
    /// Options that have no key.
    pub not_kept: Vec<NotKept>,
    /// Warnings.
    pub note: Option<String>,
}

/// A line that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// From 1.
    pub line: usize,
    /// The line, without secrets.
    pub text: String,
    /// Why.
    pub reason: String,
}

/// Converts a crontab. `zone` is the host's; `system` selects the format of /etc/crontab, with a user before each
/// command.
pub fn read(text: &str, zone: Zone, system: bool) -> Vec<Entry> {
    let mut crontab = Crontab { host: zone, cron_tz: None, tz: None, names: FreeNames::default(), system };
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    let mut entries: Vec<Entry> =
        lines.by_ref().take(MOST_LINES).flat_map(|(index, line)| crontab.line(index + 1, line)).collect();
    if let Some((index, _)) = lines.next() {
        let text = format!("all {} lines from here on", 1 + lines.count());
        let reason = format!("a crontab of more than {MOST_LINES} lines is read so far; divide it");
        entries.push(Entry::LeftOut(LeftOut { line: index + 1, text, reason }));
    }
    entries
}

/// The tables, with comments in their place and a note for each line that is omitted.
pub fn toml(entries: &[Entry]) -> String {
    let mut text = String::new();
    let (mut comments, mut left_out) = (0usize, 0usize);
    for entry in entries {
        match entry {
            Entry::Blank => text.push('\n'),
            Entry::Comment(_) if comments >= MOST_REPEATED => comments += 1,
            Entry::Comment(comment) => {
                comments += 1;
                text.push_str(&format!("{comment}\n"));
            }
            Entry::LeftOut(_) if left_out >= MOST_REPEATED => left_out += 1,
            Entry::LeftOut(LeftOut { line, text: what, reason }) => {
                left_out += 1;
                text.push_str(&format!("# left out, line {line}: {what}\n#   {reason}\n"));
            }
            Entry::Schedule(found) => {
                text.push_str(&format!("# was line {}: {}\n", found.line, found.command));
                for NotKept { option, reason } in found.not_kept.iter().take(MOST_OPTIONS) {
                    text.push_str(&format!("# not kept: {option}\n#   {reason}\n"));
                }
                if let Some(more) = found.not_kept.len().checked_sub(MOST_OPTIONS).filter(|more| *more > 0) {
                    text.push_str(&format!("# and {more} more options are not kept; --json has them all\n"));
                }
                if let Some(note) = &found.note {
                    text.push_str(&format!("# {note}\n"));
                }
                text.push_str(&head(&found.name, &found.instance_ids, &found.cron, &found.timezone));
                for (key, value) in &found.lines {
                    text.push_str(&format!("{key} = {value}\n"));
                }
                text.push('\n');
            }
        }
    }
    for (all, what) in [(comments, "comments"), (left_out, "lines left out")] {
        if all > MOST_REPEATED {
            text.push_str(&format!("# and {} more {what}\n", all - MOST_REPEATED));
        }
    }
    // One blank line at most, none at the end.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.dedup_by(|one, before| one.is_empty() && before.is_empty());
    format!("{}\n", lines.join("\n").trim_end())
}

/// The keys that each schedule has.
fn head(name: &str, instance_ids: &[String], cron: &str, timezone: &str) -> String {
    let instances = match instance_ids {
        [one] => format!("instance_id = {}", toml_string(one)),
        many => format!("instance_ids = [{}]", many.iter().map(|id| toml_string(id)).collect::<Vec<_>>().join(", ")),
    };
    let (name, cron, timezone) = (toml_string(name), toml_string(cron), toml_string(timezone));
    format!("[[schedule]]\nname = {name}\n{instances}\ncron = {cron}\ntimezone = {timezone}\n")
}

/// Variables of the preceding lines.
struct Crontab {
    host: Zone,
    cron_tz: Option<String>,
    tz: Option<String>,
    names: FreeNames,
    system: bool,
}

impl Crontab {
    fn line(&mut self, number: usize, line: &str) -> Vec<Entry> {
        if line.len() > LONGEST_LINE {
            let reason = format!("it has {} bytes; no cron takes more than a few thousand", line.len());
            let text = excerpt(line.trim_start(), LONGEST_EXCERPT);
            let text = without_secrets(&clean_lines(&text, LONGEST_LINE));
            return vec![Entry::LeftOut(LeftOut { line: number, text, reason })];
        }
        // A comment in TOML has no control characters except the tab; others act on the text around them.
        let line = clean_lines(line, LONGEST_LINE);
        let line = line.trim();
        let left_out =
            |reason: String| vec![Entry::LeftOut(LeftOut { line: number, text: without_secrets(line), reason })];
        if line.is_empty() {
            return vec![Entry::Blank];
        }
        if line.starts_with('#') {
            return vec![Entry::Comment(without_secrets(line))];
        }
        if let Some((name, value)) = variable(line) {
            let value = (!value.is_empty()).then(|| value.trim_start_matches(':').to_owned());
            match name {
                "CRON_TZ" => self.cron_tz = value,
                "TZ" => self.tz = value,
                _ => return left_out(format!("imagebaked runs no command that would see {name}")),
            }
            return Vec::new();
        }
        match self.job(number, line) {
            Ok(found) => found.into_iter().map(Entry::Schedule).collect(),
            Err(reason) => left_out(Parts::of(line).hide(reason)),
        }
    }

    fn job(&mut self, number: usize, line: &str) -> Result<Vec<Found>, String> {
        // SUSE's cron does not log a job whose line begins with a dash.
        let line = line.trim_start_matches('-');
        let times = if line.starts_with('@') { 1 } else { 5 };
        let (fields, command) = split_words(line, times + usize::from(self.system));
        if fields.len() < times + usize::from(self.system) || command.is_empty() {
            let user = if self.system { ", a user" } else { "" };
            return Err(format!("it is neither a variable nor five times{user} and a command"));
        }
        let cron = fields[..times].join(" ");
        let ids = instances(command);
        if ids.is_empty() {
            return Err("its command names no instance (ecd-… or ws-…)".to_owned());
        }
        let (zone, note) = self.zone()?;
        Timing::parse(&[&cron], zone, Duration::ZERO, "").map_err(|error| format!("{error}: {}", error.hint))?;
        // A schedule has one kind of instance.
        let (desktops, workstations): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| id.starts_with("ecd-"));
        let kinds = [desktops, workstations].into_iter().filter(|ids| !ids.is_empty());
        let found = |ids: Vec<String>| {
            let name = self.name(&ids, &without_secrets(command));
            let options = options::read(command, &head(&name, &ids, &cron, zone.name()));
            let user = (!self.system).then(|| user_before(command)).flatten().map(|user| {
                format!("{user:?} before the command looks like a user: read a file such as /etc/crontab with --system")
            });
            let notes: Vec<String> = user.into_iter().chain(note.iter().cloned()).chain(options.note).collect();
            Found {
                line: number,
                name,
                instance_ids: ids,
                cron: cron.clone(),
                timezone: zone.name().to_owned(),
                command: without_secrets(command),
                keys: options.keys,
                lines: options.lines,
                not_kept: options.not_kept,
                note: (!notes.is_empty()).then(|| notes.join("; ")),
            }
        };
        Ok(kinds.map(found).collect())
    }

    /// The zone of a line, with its warning.
    fn zone(&self) -> Result<(Zone, Option<String>), String> {
        let parse = |name: &str, text: &str| {
            text.parse()
                .map_err(|_| format!("{name} is {text:?}, which is no known zone", text = without_secrets(text)))
        };
        match (&self.cron_tz, &self.tz) {
            (Some(text), _) => Ok((parse("CRON_TZ", text)?, None)),
            (None, Some(text)) => {
                let zone: Zone = parse("TZ", text)?;
                let note = format!(
                    "timezone is by TZ; a cron that heeds CRON_TZ alone ran this by the zone of its host ({})",
                    self.host.name()
                );
                Ok((zone, (zone != self.host).then_some(note)))
            }
            (None, None) => Ok((self.host, None)),
        }
    }

    /// A name that no earlier line has.
    fn name(&mut self, ids: &[String], command: &str) -> String {
        let base = match (ids, program(command)) {
            ([one], _) => one.clone(),
            // A loop of the shell has no name.
            ([first, ..], word) if ["for", "while", "if", "crontab"].contains(&word.as_str()) => first.clone(),
            (_, word) => word,
        };
        let base: String = base.chars().take(LONGEST_NAME - 7).collect();
        self.names.take(&base)
    }
}

/// The word before a path, if it looks like a user of the system format: no program that runs the path.
fn user_before(command: &str) -> Option<&str> {
    let (word, rest) = command.split_once(char::is_whitespace)?;
    let is_name = word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let runs_files = WRAPPERS.contains(&word) || RUNNERS.iter().any(|runner| word.starts_with(runner));
    (is_name && !runs_files && rest.trim_start().starts_with('/')).then_some(word)
}

/// `NAME = value`, without quotes.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = unquoted(name.trim());
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    sound.then(|| (name, unquoted(value.trim())))
}

fn unquoted(text: &str) -> &str {
    let without = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    without('"').or_else(|| without('\'')).unwrap_or(text)
}

/// The first `n` words and the rest.
fn split_words(line: &str, n: usize) -> (Vec<&str>, &str) {
    let mut rest = line;
    let mut words = Vec::with_capacity(n);
    while words.len() < n {
        let Some((word, after)) = rest.split_once(char::is_whitespace) else { break };
        words.push(word);
        rest = after.trim_start();
    }
    (words, rest)
}

/// Name of a command, as a schedule's name.
fn program(command: &str) -> String {
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command.split_whitespace().filter(|word| !word.contains('=') && !word.starts_with('-'));
    let word = words.map(base).find(|word| !WRAPPERS.contains(&word.as_str())).unwrap_or_default();
    let stem = word.split('.').next().unwrap_or_default();
    let name: String = stem.chars().filter(|c| is_of_names(*c)).collect();
    match name.chars().next() {
        None => "crontab".to_owned(),
        // Images are named by it, and their names begin with a letter.
        Some(first) if !first.is_alphabetic() => format!("job-{name}"),
        Some(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shanghai(text: &str) -> Vec<Entry> {
        read(text, Zone::find("Asia/Shanghai").unwrap(), false)
    }

    fn found(text: &str) -> Found {
        match shanghai(text).pop() {
            Some(Entry::Schedule(found)) => found,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn reason(text: &str) -> String {
        match shanghai(text).pop() {
            Some(Entry::LeftOut(left_out)) => left_out.reason,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_repeated_of_a_long_crontab_is_bounded() {
        let options = (0..700).map(|n| format!(" --x{n}=y")).collect::<String>();
        let many = format!("0 3 * * * aliyun wuying create --instance-id ecd-1{options}");
        let one = toml(&shanghai(&many));
        assert!(one.len() < many.len() + 8_000, "{} of {}", one.len(), many.len());
        assert!(one.contains("more options are not kept; --json has them all"), "{one}");
        let odd = format!("{}{}", "# note\n".repeat(5_000), "not a line\n".repeat(20_000));
        let entries = shanghai(&odd);
        let text = toml(&entries);
        assert!(text.len() < 20_000 && entries.len() <= MOST_LINES + 1, "{} {}", text.len(), entries.len());
        assert!(text.contains("# and 4900 more comments\n") && text.contains("more lines left out\n"), "{text}");
        let Some(Entry::LeftOut(rest)) = entries.last() else { panic!("the rest is not named") };
        assert_eq!((rest.line, rest.text.as_str()), (MOST_LINES + 1, "all 15000 lines from here on"));
    }

    #[test]
    fn times_ids_and_zones_are_taken_over() {
        let one = found("0 3\t* * 1-5  /opt/bake.sh --instance=ecd-7w78ozhjcwa3u >> /var/log/ecd-7w78ozhjcwa3u.log");
        assert_eq!((one.cron.as_str(), one.timezone.as_str()), ("0 3 * * 1-5", "Asia/Shanghai"));
        assert_eq!((one.name.as_str(), one.instance_ids), ("ecd-7w78ozhjcwa3u", vec!["ecd-7w78ozhjcwa3u".to_owned()]));
        assert_eq!(found("@daily bake ecd-1").cron, "@daily");
        assert_eq!(found("-*/15 * * * * bake ecd-1").cron, "*/15 * * * *");
        assert_eq!(found("CRON_TZ = \"Europe/Berlin\"\nTZ=UTC\n0 3 * * * bake ecd-1").timezone, "Europe/Berlin");
        assert_eq!(found("CRON_TZ=UTC\nCRON_TZ=\n0 3 * * * bake ecd-1").timezone, "Asia/Shanghai");
        let by_tz = found("TZ=:UTC\n0 3 * * * bake ecd-1");
        assert_eq!(by_tz.timezone, "UTC");
        assert!(by_tz.note.unwrap().contains("by the zone of its host (Asia/Shanghai)"));
        assert_eq!(found("TZ=Asia/Shanghai\n0 3 * * * bake ecd-1").note, None);
    }

    #[test]
    fn a_user_before_the_command_is_a_sign_of_the_system_format() {
        let note = |line: &str| found(&format!("0 1 * * * {line}")).note;
        assert!(
            note("root /opt/img.py ecd-1").is_some_and(|note| note.contains("\"root\"") && note.contains("--system"))
        );
        for line in ["/opt/img.py ecd-1", "python3 /opt/img.py ecd-1", "sudo /opt/img.py ecd-1", "bake ecd-1 /tmp"] {
            assert_eq!(note(line), None, "{line}");
        }
        let system = read("0 1 * * * root su /opt/img.py ecd-1", Zone::UTC, true);
        assert!(matches!(&system[0], Entry::Schedule(found) if found.note.is_none()), "{system:?}");
    }

    #[test]
    fn names_are_distinguished() {
        let entries = shanghai(
            "0 3 * * * bake ecd-1\n0 4 * * * bake ecd-1\n0 5 * * * sudo A=b /opt/farm.sh ws-1a,ws-2b\n0 6 * * * x ecd-5 ws-6\n0 7 * * * for i in ecd-8 ecd-9; do x $i; done",
        );
        let names: Vec<_> = entries
            .iter()
            .map(|entry| match entry {
                Entry::Schedule(found) => format!("{} {}", found.name, found.instance_ids.join("+")),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            names,
            ["ecd-1 ecd-1", "ecd-1-2 ecd-1", "farm ws-1a+ws-2b", "ecd-5 ecd-5", "ws-6 ws-6", "ecd-8 ecd-8+ecd-9"]
        );
    }

    #[test]
    fn only_instances_are_taken_for_instances() {
        let none = Vec::<String>::new();
        for command in
            ["systemctl restart ws-proxy", "x golden-ecd-1", "x ecd-", "x ecd-1-old", "x ecd-ABC", "x my_ws-1"]
        {
            assert_eq!(instances(command), none, "{command}");
        }
        assert_eq!(
            instances("a '{\"id\":\"ecd-1\"}' --id=ws-2,ecd-1 ecd-3- $ecd-4"),
            ["ecd-1", "ws-2", "ecd-3", "ecd-4"]
        );
    }

    #[test]
    fn what_cannot_be_carried_over_is_reported_with_its_reason() {
        assert!(reason("MAILTO=ops@example.com").contains("would see MAILTO"));
        assert!(reason("0 3 * * * /usr/bin/backup").contains("names no instance"));
        assert!(reason("@reboot bake ecd-1").contains("`@reboot` is not supported"));
        assert!(reason("0 99 * * * bake ecd-1").contains("hours run from 0 to 23"));
        assert!(reason("0 3 bake ecd-1").contains("neither a variable nor five times"));
        assert!(reason("0 3 * * *").contains("neither a variable nor five times"));
        assert!(reason("CRON_TZ=Mars/Base\n0 3 * * * bake ecd-1").contains("no known zone"));
        assert!(reason("0~59 3 * * * bake ecd-1").contains('~'));
        let system = read("0 3 * * * root bake ecd-1\n@daily bake ecd-1", Zone::UTC, true);
        assert!(matches!(&system[0], Entry::Schedule(found) if found.command == "bake ecd-1"), "{system:?}");
        assert!(matches!(&system[1], Entry::Schedule(found) if found.command == "ecd-1"), "{system:?}");
    }

    #[test]
    fn hidden_characters_and_long_lines_do_not_act() {
        let text = toml(&shanghai("\u{feff}# a\u{202e}b\u{1b}[2J\n0 3 * * * /opt/ba\u{3164}ke ecd-1 ecd-2\n"));
        assert!(text.starts_with("# a\\u{202e}b\\u{1b}[2J\n") && !text.contains(is_hidden_here), "{text}");
        assert!(text.contains("name = \"bau3164ke\""), "{text}");
        assert_eq!(found("0 3 * * * /opt/7z.sh ecd-1 ecd-2").name, "job-7z");
        let long = reason(&format!("0 3 * * * bake {}", "ecd-1 ".repeat(100_000)));
        assert!(long.starts_with("it has 600015 bytes"), "{long}");
    }

    fn is_hidden_here(c: char) -> bool {
        crate::domain::text::is_hidden(c) && c != '\n'
    }

    #[test]
    fn secrets_stay_behind() {
        let text = "ALIBABA_CLOUD_ACCESS_KEY_SECRET=hush1\n# password = hush2\n\
                    0 3 * * * bake ecd-1 --access-key-secret hush3 --key LTAI5tExample99\n0 4 * * * x password=hush4";
        let toml = toml(&shanghai(text));
        for secret in ["hush", "LTAI5tExample99"] {
            assert!(!toml.contains(secret), "{toml}");
        }
    }
}
