//! What to write for a time in a form that people use elsewhere.

use chrono::Weekday;

use crate::domain::similar::closest;

/// Words for a day.
const DAYS: [&str; 5] = ["now", "today", "tonight", "tomorrow", "yesterday"];
/// Words before a part of a day.
const WHICH: [&str; 5] = ["last", "next", "this", "previous", "on"];
/// Digits of the seconds since 1970, and more.
const SECONDS: usize = 9;

/// What to write in place of a text that is no time; `None` where nothing shows what was meant.
pub(super) fn meant(text: &str) -> Option<String> {
    let lower = text.trim().to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let (which, rest) = match words.as_slice() {
        [which, rest @ ..] if WHICH.contains(which) && !rest.is_empty() => (Some(*which), rest),
        all => (None, all),
    };
    let fixed = match rest {
        ["night"] if which == Some("last") => {
            "write a night as its days, `yesterday` or `today`, or a time of it, such as `03:00`"
        }
        [day] if day.trim_end_matches(',').parse::<Weekday>().is_ok() => {
            "write a day as its date, such as `2026-11-26`, or as `yesterday` or `tomorrow`"
        }
        [_] if which.is_some() => "write a span as its dates, or as a length such as `7d`",
        [number] if number.len() >= SECONDS && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            "seconds since 1970 are not read; write the date, such as `2026-11-26 03:00`"
        }
        [length] if length.starts_with(['-', '−', '+']) => {
            "write a length without a sign: `1h`; `1h ago` is always before now, and `in 1h` after it"
        }
        [date, ..] if is_other_date(date) => "write a date as year, month and day: `2026-11-26`",
        [date, ..] if is_shaped_like_date(date) => "there is no such date, or no such time of day",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    if let [all] = rest {
        if let Some(day) = closest(all, DAYS) {
            return Some(format!("did you mean `{day}`?"));
        }
        if all.starts_with(|c: char| c.is_ascii_digit()) && !all.contains(':') && all.ends_with(char::is_alphabetic) {
            return twelve_hours(all)
                .or_else(|| Some("a length has the units `s`, `m`, `h`, `d` or `w`, as in `36h` or `2d`".to_owned()));
        }
    }
    twelve_hours(&rest.concat())
}

/// `3am` and `3:30 pm` on a clock of 24 hours.
fn twelve_hours(text: &str) -> Option<String> {
    let (time, is_afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(time), _) => (time, false),
        (_, Some(time)) => (time, true),
        _ => return None,
    };
    let (hour, minute) = time.split_once(':').unwrap_or((time, "00"));
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    let is_time = (1..=12).contains(&hour) && minute < 60;
    is_time.then(|| format!("write `{:02}:{minute:02}`", hour % 12 + if is_afternoon { 12 } else { 0 }))
}

/// `26.11.2026`, `11/26/2026`, `2026/11/26`, `20261126`.
fn is_other_date(text: &str) -> bool {
    let numbers = |separator: char| {
        let parts: Vec<&str> = text.split(separator).collect();
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_joined = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers('.') || numbers('/') || is_joined
}

/// `2026-13-40`, `2026-11-26T25:00`.
fn is_shaped_like_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next(), 4) && digits(parts.next(), 2) && parts.next().is_some_and(|rest| rest.len() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_elsewhere_are_answered_with_what_to_write() {
        for (text, wanted) in [
            ("last night", "`yesterday`"),
            ("monday", "such as `2026-11-26`"),
            ("last Monday", "such as `2026-11-26`"),
            ("next week", "a length such as `7d`"),
            ("3am", "write `03:00`"),
            ("12am", "write `00:00`"),
            ("3:30 pm", "write `15:30`"),
            ("26.11.2026", "year, month and day"),
            ("11/26/2026 03:00", "year, month and day"),
            ("20261126", "year, month and day"),
            ("2026-13-40", "no such date"),
            ("2026-11-26T25:00", "no such date, or no such time"),
            ("1764000000", "seconds since 1970"),
            ("-1h", "without a sign"),
            ("tomorow", "did you mean `tomorrow`?"),
            ("1mo", "the units `s`"),
        ] {
            let said = meant(text).unwrap_or_default();
            assert!(said.contains(wanted), "{text}: {said}");
        }
        for text in ["", "nonsense", "25:00", "13pm", "the day before"] {
            assert_eq!(meant(text).filter(|said| !said.contains("units")), None, "{text}");
        }
    }
}
