//! Values and keys that people write out of habit, and what to write instead.

use std::time::Duration;

use toml::de::DeValue;

use crate::{adapters::secrets::shapes::mask, domain::time::show_length};

/// Keys of other tools, with the key that means the same here, for a table that has that key.
const FOREIGN_KEYS: &[(&[&str], &str, &str)] = &[
    (
        &["enabled", "enable", "active", "disabled", "disable", "suspend"],
        "paused",
        "leave it out: a schedule runs unless it has `paused = true`",
    ),
    (
        &[
            "schedule",
            "when",
            "time",
            "times",
            "at",
            "on_calendar",
            "oncalendar",
            "calendar",
            "crontab",
            "expression",
            "cron_expression",
            "cron_schedule",
        ],
        "cron",
        "write the times as `cron = \"0 3 * * *\"`",
    ),
    (
        &["every", "interval", "period", "frequency"],
        "cron",
        "write the times as `cron = \"0 */6 * * *\"`, which is every six hours",
    ),
    (&["tz", "time_zone", "zone", "cron_tz"], "timezone", "write `timezone = \"Asia/Shanghai\"`"),
    (
        &[
            "instance",
            "desktop",
            "desktop_id",
            "workstation",
            "workstation_id",
            "server_id",
            "ecd_id",
            "machine",
            "target",
        ],
        "instance_id",
        "write `instance_id = \"ecd-…\"`",
    ),
    (
        &["instances", "desktops", "desktop_ids", "workstations", "targets"],
        "instance_ids",
        "write `instance_ids = [\"ecd-…\", \"ecd-…\"]`",
    ),
    (
        &["keep_last", "retain", "retention", "keep_count", "max_images", "rotate", "max", "count"],
        "keep",
        "write `keep = { last = 7 }`",
    ),
    (&["keep_hourly"], "keep", "write `keep = { hourly = 24 }`"),
    (&["keep_daily"], "keep", "write `keep = { daily = 7 }`"),
    (&["keep_weekly"], "keep", "write `keep = { weekly = 4 }`"),
    (&["keep_monthly"], "keep", "write `keep = { monthly = 12 }`"),
    (&["keep_yearly"], "keep", "write `keep = { yearly = 3 }`"),
    (
        &["keep_within", "keep_days", "retention_days", "ttl", "max_age", "expire"],
        "keep",
        "write `keep = { within = \"30d\" }`",
    ),
    (&["retries", "max_retries", "attempts", "retry_count"], "retry", "write `retry = { attempts = 5 }`"),
    (&["timeout", "max_duration"], "deadline", "write `deadline = \"4h\"`, which counts from the slot"),
    (&["splay", "randomized_delay_sec", "randomizeddelaysec", "random_delay"], "jitter", "write `jitter = \"10m\"`"),
    (
        &["persistent", "missed", "misfire", "anacron", "starting_deadline_seconds"],
        "catch_up",
        "write `catch_up = \"latest\"` or `\"skip\"`",
    ),
    (
        &["concurrency", "concurrency_policy", "concurrencypolicy"],
        "overlap",
        "write `overlap = \"queue\"` or `\"skip\"`",
    ),
    (
        &["pre_hook", "before", "pre", "before_hook", "exec_start_pre"],
        "hooks",
        "write `hooks = { before = [\"/path/to/program\"] }`",
    ),
    (
        &["post_hook", "after", "post", "after_hook", "exec_start_post"],
        "hooks",
        "write `hooks = { after = [\"/path/to/program\"] }`",
    ),
    (&["on_failure", "on_error", "onfailure"], "hooks", "write `hooks = { on_failure = [\"/path/to/program\"] }`"),
    (&["verify"], "hooks", "write `hooks = { verify = [\"/path/to/program\"] }`"),
    (&["copy_to", "replicate", "replicas", "copies"], "regions", "write `regions = [\"cn-hangzhou\"]`"),
    (
        &["image", "prefix", "image_prefix", "name_template"],
        "image_name",
        "write `image_name = \"{name}-{slot}-v{version}\"`",
    ),
    (&["stop", "stop_first", "shutdown", "reboot"], "stop_instance", "write `stop_instance = \"if_running\"`"),
    (
        &["region", "region_id"],
        "instance_region",
        "write `instance_region` for the region of an instance; `region` of [cloud] holds for all",
    ),
    (
        &["concurrent", "concurrency", "max_parallel", "parallel", "workers", "jobs"],
        "max_builders",
        "write `max_builders = 5`",
    ),
    (&["data_dir", "database", "db", "db_path", "datadir"], "state_dir", "write `state_dir = \"/var/lib/imagebaked\"`"),
    (&["port", "bind", "address", "http"], "listen", "write `listen = \"127.0.0.1:8470\"`"),
    (&["socket", "control"], "control_socket", "write `control_socket = \"/run/imagebaked/control.sock\"`"),
    (&["dry_run", "dryrun", "readonly", "read_only"], "mode", "write `mode = \"observe\"`"),
    (&["rate", "rate_limit", "qps", "rps"], "requests_per_second", "write `requests_per_second = 5`"),
];

/// What to write for a key of another tool, if the table has a key for it.
pub(super) fn foreign_key(key: &str, known: &[&str]) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    FOREIGN_KEYS
        .iter()
        .find(|(foreign, own, _)| foreign.contains(&key.as_str()) && known.contains(own))
        .map(|(_, _, advice)| *advice)
}

/// The boolean that a word means in other tools.
pub(super) fn boolean(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "1" | "enabled" => Some(true),
        "false" | "no" | "off" | "n" | "0" | "disabled" => Some(false),
        _ => None,
    }
}

/// The duration that a text means in another notation: `1.5h`, `PT15M`, `00:15:00`, `1 hour and 30 minutes`.
pub(super) fn duration(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let plain = lower.replace(" and ", " ").replace([',', '_'], " ");
    let iso = lower.strip_prefix('p').map(|rest| rest.replace('t', ""));
    let whole = |text: &str| humantime::parse_duration(text).ok();
    let found = whole(plain.trim())
        .or_else(|| whole(&iso?))
        .or_else(|| clock(&lower))
        .or_else(|| decimal(&lower))
        .or_else(|| hours_and_minutes(&lower))?;
    (!found.is_zero()).then(|| show_length(found))
}

/// What to write where a table is expected, for the value that people write instead.
pub(super) fn table(key: &str, value: &DeValue<'_>) -> Option<String> {
    let texts = |value: &DeValue<'_>| {
        let texts = value.as_array()?.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty())
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let table = match (key, value) {
        ("keep", DeValue::Integer(number)) => format!("{{ last = {} }}", number.as_str()),
        ("keep", DeValue::String(text)) if digits(text) => format!("{{ last = {text} }}"),
        ("keep", DeValue::String(text)) => format!("{{ within = \"{}\" }}", length_of(text)?),
        ("keep", _) => "{ last = 7 }".to_owned(),
        ("retry", DeValue::Integer(number)) => format!("{{ attempts = {} }}", number.as_str()),
        ("retry", DeValue::String(text)) if digits(text) => format!("{{ attempts = {text} }}"),
        ("hooks", DeValue::String(line)) => format!("{{ before = {:?} }}", line.split_whitespace().collect::<Vec<_>>()),
        ("hooks", list) => format!("{{ before = {:?} }}", texts(list)?),
        ("tags", list) => {
            let texts = texts(list)?;
            let pairs: Vec<(&str, &str)> = texts.iter().filter_map(|text| text.split_once(['=', ':'])).collect();
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{:?} = {:?}", key.trim(), value.trim())).collect();
            format!("{{ {} }}", if pairs.is_empty() { "team = \"it\"".to_owned() } else { pairs.join(", ") })
        }
        ("ecd_endpoints", DeValue::String(address)) => format!("{{ cn-shanghai = {address:?} }}"),
        ("channels", DeValue::String(name)) => format!("{{ {name} = {{}} }}"),
        ("channels", list) => {
            let names: Vec<String> = texts(list)?.iter().map(|name| format!("{name} = {{}}")).collect();
            format!("{{ {} }}", names.join(", "))
        }
        ("backup", DeValue::Boolean(true)) => "{}".to_owned(),
        ("backup", DeValue::Boolean(false)) => return Some("leave it out: there are no backups without it".to_owned()),
        ("backup", DeValue::String(word)) if boolean(word) == Some(true) => "{}".to_owned(),
        ("backup", DeValue::String(word)) if boolean(word) == Some(false) => {
            return Some("leave it out: there are no backups without it".to_owned());
        }
        ("backup", DeValue::String(folder)) => format!("{{ dir = {folder:?} }}"),
        // A channel, whose key is a name of the operator's choice.
        (name, DeValue::String(text)) if is_bare(name) => format!("{{ after = \"{}\" }}", length_of(text)?),
        _ => return None,
    };
    Some(format!("write `{key} = {table}`"))
}

/// The duration that a text is or means.
fn length_of(text: &str) -> Option<String> {
    humantime::parse_duration(text).map(show_length).ok().or_else(|| duration(text))
}

/// Whether a key needs no quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// What to write for a header in double brackets whose section is a single table.
pub(super) fn single_brackets(header: &str) -> Option<String> {
    let single = header.strip_prefix('[')?.strip_suffix(']')?;
    match single {
        "[profile]" => Some("write `[profile.NAME]`, in single brackets".to_owned()),
        single => single.starts_with('[').then(|| format!("write `{single}`, in single brackets")),
    }
}

/// The `cron` to write for a time that is written without quotes.
pub(super) fn cron(written: &str) -> Option<String> {
    let written = written.rsplit(['T', 't', ' ']).next()?;
    let clock = written.trim_end_matches(['Z', 'z']);
    let time = if clock.parse::<u32>().is_ok() { None } else { time_of_day(clock) };
    let Some(time) = time else { return Some("write five fields in quotes, as in `cron = \"0 3 * * *\"`".to_owned()) };
    let (hour, minute) = time.split_once(':')?;
    let plain = |text: &str| text.parse::<u32>().unwrap_or_default();
    Some(format!("write `cron = \"{} {} * * *\"`", plain(minute), plain(hour)))
}

/// The command line that a hook is written as, split into words: no shell does that.
pub(super) fn command(line: &str) -> String {
    // Parts of a secret do not look like one.
    format!("write a list: {:?}", mask(line).split_whitespace().collect::<Vec<_>>())
}

/// What is wrong with a duration, and what to write.
pub(super) fn not_a_duration(text: &str, or_never: bool) -> (String, String) {
    let number = text.trim();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_endless =
        ["forever", "infinite", "infinity", "none", "unlimited", "off"].contains(&number.to_ascii_lowercase().as_str());
    let hint = if digits {
        with_units(number)
    } else if let Some(meant) = duration(text) {
        format!("write \"{meant}\"")
    } else if or_never && is_endless {
        "write \"never\"".to_owned()
    } else {
        let never = if or_never { ", or \"never\"" } else { "" };
        format!("durations look like \"90s\", \"15m\", \"2h 30m\" or \"7d\"{never}")
    };
    let why = if text.trim().is_empty() {
        ": it is empty"
    } else if number.starts_with('-') {
        ": it is negative"
    } else if digits {
        ": it has no unit"
    } else {
        ""
    };
    (format!("`{text}` is not a duration{why}"), hint)
}

/// What to write for the text of an instance.
pub(super) fn instance(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([',', ';', ' ']).map(str::trim).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        _ if text.contains(['$', '%', '<', '>', '…']) => {
            Some("write the id itself: variables and placeholders mean nothing here".to_owned())
        }
        [only] if *only != text => Some(format!("write \"{only}\", without blanks")),
        [_, _, ..] => Some(format!("several instances are a list: `instance_ids = {parts:?}`")),
        _ => None,
    }
}

/// The `HH:MM` that a text means.
pub(super) fn time_of_day(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (clock, afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (text.as_str(), None),
    };
    let mut parts = clock.trim().split([':', '.', 'h']);
    let hour: u32 = parts.next()?.parse().ok()?;
    let minute: u32 = parts.next().filter(|minute| !minute.is_empty()).map_or(Ok(0), str::parse).ok()?;
    let hour = match afternoon {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}

/// Hint for a duration without its unit.
pub(super) fn with_units(number: &str) -> String {
    format!("add a unit: \"{number}s\", \"{number}m\" or \"{number}h\"")
}

/// `HH:MM:SS` or `HH:MM`.
fn clock(text: &str) -> Option<Duration> {
    let parts: Vec<u64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match *parts.as_slice() {
        [hours, minutes] => (hours, minutes, 0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let fits = hours < 10_000 && minutes < 60 && seconds < 60;
    fits.then(|| Duration::from_secs(hours * 3600 + minutes * 60 + seconds))
}

/// `1h30`.
fn hours_and_minutes(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.split_once('h')?;
    clock(&format!("{}:{}", hours.trim(), minutes.trim()))
}

/// `1.5h`.
fn decimal(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(digits);
    let one = humantime::parse_duration(&format!("1{}", unit.trim())).ok()?;
    let number: f64 = number.parse().ok()?;
    let seconds = (one.as_secs_f64() * number).round();
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_other_notations_are_understood() {
        for (text, meant) in [
            ("1.5h", "1h 30m"),
            ("0.5 days", "12h"),
            ("PT15M", "15m"),
            ("P1DT12H", "1d 12h"),
            ("1h30", "1h 30m"),
            ("00:15:00", "15m"),
            ("01:30", "1h 30m"),
            ("1 hour and 30 minutes", "1h 30m"),
            ("15 MINUTES", "15m"),
            ("1h, 5m", "1h 5m"),
        ] {
            assert_eq!(duration(text).as_deref(), Some(meant), "{text}");
        }
        for text in ["soon", "", "30", "1e400h", "99999999999999999999h", "1:99", "5 parsecs"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_gets_the_one_to_write() {
        for (text, or_never, why, hint) in [
            ("forever", true, "`forever` is not a duration", "write \"never\""),
            (
                "-5m",
                false,
                "`-5m` is not a duration: it is negative",
                "durations look like \"90s\", \"15m\", \"2h 30m\" or \"7d\"",
            ),
            ("90", false, "`90` is not a duration: it has no unit", "add a unit: \"90s\", \"90m\" or \"90h\""),
            (
                "soon",
                true,
                "`soon` is not a duration",
                "durations look like \"90s\", \"15m\", \"2h 30m\" or \"7d\", or \"never\"",
            ),
        ] {
            assert_eq!(not_a_duration(text, or_never), (why.to_owned(), hint.to_owned()), "{text}");
        }
    }

    #[test]
    fn values_of_another_type_get_the_table_or_the_list_to_write() {
        let table = |key: &str, text: &str| {
            let document = toml::de::DeTable::parse(text).unwrap();
            let value = document.get_ref().get("x").unwrap().get_ref().clone();
            table(key, &value)
        };
        for (key, text, wanted) in [
            ("keep", "x = \"30\"", "write `keep = { last = 30 }`"),
            ("keep", "x = \"30d\"", "write `keep = { within = \"30d\" }`"),
            ("retry", "x = \"3\"", "write `retry = { attempts = 3 }`"),
            ("hooks", "x = \"/bin/a --b\"", "write `hooks = { before = [\"/bin/a\", \"--b\"] }`"),
            ("stable", "x = \"3d\"", "write `stable = { after = \"3d\" }`"),
            ("backup", "x = \"true\"", "write `backup = {}`"),
        ] {
            assert_eq!(table(key, text).as_deref(), Some(wanted), "{key} {text}");
        }
        assert_eq!(command("/bin/a --b"), "write a list: [\"/bin/a\", \"--b\"]");
        assert_eq!(cron("03:00:00").as_deref(), Some("write `cron = \"0 3 * * *\"`"));
        assert_eq!(cron("2026-11-28T15:30:00Z").as_deref(), Some("write `cron = \"30 15 * * *\"`"));
        assert_eq!(cron("3").as_deref(), Some("write five fields in quotes, as in `cron = \"0 3 * * *\"`"));
        assert_eq!(
            single_brackets("[[schedule.keep]]").as_deref(),
            Some("write `[schedule.keep]`, in single brackets")
        );
        assert_eq!(single_brackets("[cloud]"), None);
    }

    #[test]
    fn times_of_day_in_other_notations_are_understood() {
        for (text, meant) in [
            ("7:00", "07:00"),
            ("07:00:00", "07:00"),
            ("7am", "07:00"),
            ("12 pm", "12:00"),
            ("7h30", "07:30"),
            ("7", "07:00"),
        ] {
            assert_eq!(time_of_day(text).as_deref(), Some(meant), "{text}");
        }
        for text in ["25:00", "", "soon", "13pm", "7:99"] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn keys_of_other_tools_are_known_where_they_mean_something() {
        assert!(foreign_key("keep-daily", &["keep", "cron"]).is_some_and(|advice| advice.contains("daily = 7")));
        assert!(foreign_key("Enabled", &["paused"]).is_some_and(|advice| advice.contains("paused")));
        assert_eq!(foreign_key("enabled", &["state_dir"]), None);
        assert_eq!(foreign_key("colour", &["cron"]), None);
    }
}
