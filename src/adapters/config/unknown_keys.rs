//! Keys that their table does not have: the table that has them, the key that means the same, or the most similar one.

use super::{
    mistakes,
    problem::is_secret_key,
    reader::{Diagnostics, Hint, Homes, Mark, secret},
    schedule_keys::OWN,
    suggest::{closest, suggestion},
};

/// Maximum length of a value that a hint repeats.
const SHORT: usize = 48;

/// Reports an unknown key of its table, whose keys are `known`.
pub(super) fn unknown_key(mark: Mark<'_>, key: &str, known: &[&str], out: &mut Diagnostics) {
    if is_secret_key(key) {
        secret(mark, "a secret does not belong in a configuration file", out);
        return;
    }
    let hint = out.may_search().then(|| hint(mark, key, known, out));
    out.error(mark, "unknown-key", format!("unknown key `{key}`"), hint);
}

fn hint(mark: Mark<'_>, key: &str, known: &[&str], out: &Diagnostics) -> String {
    let value = value_of(mark);
    here(key, known, out.inner, value)
        .or_else(|| elsewhere(key, out.homes))
        .or_else(|| closest(key, known.iter().copied()).map(|near| format!("did you mean `{near}`?")))
        .or_else(|| meant_elsewhere(key, out, value))
        .unwrap_or_else(|| suggestion(key, known))
}

/// What to write for a key outside of any section.
pub(super) fn outside(mark: Mark<'_>, key: &str, out: &Diagnostics) -> Hint {
    let home = out.homes.iter().find(|(_, keys)| keys.contains(&key));
    let belongs = home.map(|(section, _)| match *section {
        _ if OWN.contains(&key) => "it belongs into a [[schedule]]".to_owned(),
        section => format!("it belongs into [{section}]"),
    });
    belongs.or_else(|| meant_elsewhere(key, out, value_of(mark)))
}

/// A key of another tool, or of a table inside a key, that this table has under another name.
fn here(key: &str, known: &[&str], inner: Homes, value: Option<&str>) -> Hint {
    let foreign = mistakes::foreign_key(key, known).map(|advice| with_value(advice, value));
    let inner = || {
        let (outer, _) = inner.iter().find(|(outer, keys)| known.contains(outer) && keys.contains(&key))?;
        Some(format!("it is a key of `{outer}`: write `{outer} = {{ {key} = {} }}`", value.unwrap_or("…")))
    };
    // `keep_daily` in `keep` itself.
    let stem = || key.split_once('_').map(|(_, stem)| stem).filter(|stem| known.contains(stem));
    foreign.or_else(inner).or_else(|| stem().map(|stem| format!("did you mean `{stem}`?")))
}

/// The section that has the key.
fn elsewhere(key: &str, homes: Homes) -> Hint {
    let (section, _) = homes.iter().find(|(_, keys)| keys.contains(&key))?;
    Some(format!("`{key}` belongs into {}", name_of(section)))
}

/// The section that has the key under another name, or one like it.
fn meant_elsewhere(key: &str, out: &Diagnostics, value: Option<&str>) -> Hint {
    let homes = out.homes;
    let foreign = homes.iter().find_map(|(section, keys)| {
        let advice = here(key, keys, out.inner, value)?;
        Some(format!("{advice} in {}", name_of(section)))
    });
    let near = || {
        homes.iter().find_map(|(section, keys)| {
            Some(format!("did you mean `{}` of {}?", closest(key, keys.iter().copied())?, name_of(section)))
        })
    };
    foreign.or_else(near)
}

/// A section for people; keys of [defaults] are those of schedules.
fn name_of(section: &str) -> String {
    match section {
        "defaults" => "a [[schedule]], a profile or [defaults]".to_owned(),
        section => format!("[{section}]"),
    }
}

/// Advice with an example that a string can take the place of.
const TAKE_STRINGS: [&str; 7] = [
    "write `timezone =",
    "write `instance_id =",
    "write `deadline =",
    "write `jitter =",
    "write `state_dir =",
    "write `control_socket =",
    "write `keep = { within =",
];

/// The advice with the string that was written in place of its example, if it takes one.
fn with_string(advice: &str, value: &str) -> Option<String> {
    let text = value.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('"'))?;
    if advice.starts_with("write `keep = { last =") {
        let length = humantime::parse_duration(text).is_ok();
        return length.then(|| format!("write `keep = {{ within = \"{text}\" }}`"));
    }
    TAKE_STRINGS.iter().find(|start| advice.starts_with(**start))?;
    let (before, rest) = advice.split_once('"')?;
    let (_, after) = rest.split_once('"')?;
    Some(format!("{before}\"{text}\"{after}"))
}

/// The advice with the value that was written in place of its example.
fn with_value(advice: &str, value: Option<&str>) -> String {
    if let Some(advice) = value.and_then(|value| with_string(advice, value)) {
        return advice;
    }
    let number = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    let example = advice.match_indices("= ").find_map(|(at, _)| {
        let rest = &advice[at + 2..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0).then_some(at + 2..at + 2 + digits)
    });
    let mut advice = advice.to_owned();
    if let (Some(number), Some(example)) = (number, example) {
        advice.replace_range(example, number);
    }
    advice
}

/// The short value that follows a key on its line.
fn value_of(mark: Mark<'_>) -> Option<&str> {
    let line = mark.source.text.get(mark.end..)?.lines().next()?;
    let value = line.trim_start_matches(['"', '\'']).trim_start().strip_prefix('=')?.trim();
    let value = value.split_once(" #").map_or(value, |(value, _)| value.trim_end());
    let value =
        value.split_once(", ").filter(|_| !value.starts_with(['"', '\'', '[', '{'])).map_or(value, |(value, _)| value);
    let value = value.trim_end_matches([',', '}']).trim_end();
    let sound = !value.is_empty() && value.len() <= SHORT && !value.starts_with(['[', '{']);
    sound.then_some(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::reader::Source, *};

    const HOMES: Homes =
        &[("daemon", &["state_dir", "max_builders"]), ("defaults", &["cron", "keep", "paused", "retry", "catch_up"])];

    fn hint_of(line: &str, known: &[&str]) -> String {
        let source = Source::new(0, Path::new("x"), format!("{line}\n"), false);
        let key = line.split(' ').next().unwrap();
        let mut out = Diagnostics::default();
        out.homes = HOMES;
        out.inner = &[("keep", &["last", "daily", "within"])];
        unknown_key(source.mark(0..key.len()), key, known, &mut out);
        out.into_problems().remove(0).hint.unwrap()
    }

    #[test]
    fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
        let (daemon, schedule) = (HOMES[0].1, HOMES[1].1);
        for (line, known, wanted) in [
            ("state_dir = \"/x\"", schedule, "`state_dir` belongs into [daemon]"),
            ("cron = \"@daily\"", daemon, "`cron` belongs into a [[schedule]], a profile or [defaults]"),
            ("keep_daily = 14", schedule, "write `keep = { daily = 14 }`"),
            (
                "keep_daily = 14 # two weeks",
                daemon,
                "write `keep = { daily = 14 }` in a [[schedule]], a profile or [defaults]",
            ),
            ("last = 3", schedule, "it is a key of `keep`: write `keep = { last = 3 }`"),
            ("within = \"30d\"", schedule, "it is a key of `keep`: write `keep = { within = \"30d\" }`"),
            ("workers = 9", schedule, "write `max_builders = 9` in [daemon]"),
            ("max_bilders = 9", schedule, "did you mean `max_builders` of [daemon]?"),
            ("keep_daily = 7", &["last", "daily"], "did you mean `daily`?"),
            ("retention = \"7d\"", schedule, "write `keep = { within = \"7d\" }`"),
            ("retention = 7", schedule, "write `keep = { last = 7 }`"),
            ("tz = \"Asia/Tokyo\"", &["timezone"], "write `timezone = \"Asia/Tokyo\"`"),
            ("timeout = \"90m\"", &["deadline"], "write `deadline = \"90m\"`, which counts from the slot"),
            ("at = \"03:00\"", schedule, "write the times as `cron = \"0 3 * * *\"`"),
            ("colour = 7", daemon, "known here: state_dir, max_builders"),
        ] {
            assert_eq!(hint_of(line, known), wanted, "{line}");
        }
    }
}
