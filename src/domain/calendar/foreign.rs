//! Times in the notations of other schedulers: systemd timers, cloud services, recurrence rules, plain words. They are
//! not accepted; they are recognised so that the error can name the expression to write instead.

use super::zone::Zone;

/// A recognised notation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What was recognised.
    pub message: String,
    /// The expression that means the same, not checked yet.
    pub cron: Option<String>,
    /// A zone that was part of the text.
    pub timezone: Option<String>,
    /// What to do without such an expression.
    pub advice: &'static str,
}

impl Foreign {
    fn new(message: impl Into<String>, cron: Option<String>, advice: &'static str) -> Self {
        Self { message: message.into(), cron, timezone: None, advice }
    }

    /// The correction, as the keys to write.
    pub(super) fn hint(&self) -> String {
        match (&self.cron, &self.timezone) {
            (Some(cron), None) => format!("write `cron = \"{cron}\"`"),
            (Some(cron), Some(zone)) => format!("write `cron = \"{cron}\"` and `timezone = \"{zone}\"`"),
            (None, _) => self.advice.to_owned(),
        }
    }
}

const NAME_TIMES: &str = "name the times, like `0 0,7,14,21 * * *`";
const FIVE_FIELDS: &str = "write minute, hour, day of month, month and day of week, like `0 3 * * *`";

/// Recognises a text that is not a cron expression.
pub(super) fn recognise(text: &str) -> Option<Foreign> {
    let plain = plain_characters(text);
    if plain != text.trim() {
        let inner = recognise(&plain);
        let cron = inner.as_ref().and_then(|inner| inner.cron.clone()).or(Some(plain));
        let timezone = inner.and_then(|inner| inner.timezone);
        let message = "this has characters that only look like those of a cron expression, or quotes inside";
        return Some(Foreign { timezone, ..Foreign::new(message, cron, FIVE_FIELDS) });
    }
    let text = text.trim();
    variable(text)
        .or_else(|| comment(text))
        .or_else(|| zone_at_end(text))
        .or_else(|| call(text))
        .or_else(|| with_a_year(text))
        .or_else(|| calendar_event(text))
        .or_else(|| recurrence_rule(text))
        .or_else(|| interval(text))
        .or_else(|| words(text))
        .or_else(|| surplus(text))
}

/// `text` with ASCII characters in place of their likenesses, without quotes and invisible characters.
fn plain_characters(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{2217}' | '\u{204e}' | '\u{2731}' | '\u{00d7}' => '*',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{2215}' | '\u{2044}' => '/',
            '\u{2018}'..='\u{201f}' | '`' => '"',
            '\\' => ' ',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    let quotes = ['"', '\''];
    let ascii = text.is_ascii() && !text.contains(quotes) && !text.contains(['`', '\\']);
    if ascii { text.trim().to_owned() } else { plain.replace(quotes, "").trim().to_owned() }
}

/// `CRON_TZ=Europe/Vienna 0 3 * * *`.
fn variable(text: &str) -> Option<Foreign> {
    let (name, rest) = text.split_once('=')?;
    if !["cron_tz", "tz", "timezone"].contains(&name.trim().to_ascii_lowercase().as_str()) {
        return None;
    }
    let (zone, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let rest = rest.trim();
    let cron = recognise(rest).and_then(|inner| inner.cron).unwrap_or_else(|| rest.to_owned());
    let zone = zone.trim_start_matches(':').to_owned();
    let message = "a zone is not part of the expression";
    Some(Foreign { timezone: Some(zone), ..Foreign::new(message, Some(cron), "set `timezone`") })
}

/// `0 3 * * * # nightly`.
fn comment(text: &str) -> Option<Foreign> {
    let (times, _) = text.split_once(" #").or_else(|| text.split_once("\t#"))?;
    let times = times.trim();
    let cron = recognise(times).and_then(|inner| inner.cron).unwrap_or_else(|| times.to_owned());
    Some(Foreign::new("a comment is not part of the expression", Some(cron), "move the comment behind the quotes"))
}

/// `0 3 * * * Europe/Vienna`, `03:00 UTC`.
fn zone_at_end(text: &str) -> Option<Foreign> {
    let (times, word) = text.rsplit_once(char::is_whitespace)?;
    let shows_a_zone = word.starts_with(char::is_alphabetic) && (word.contains('/') || word.len() >= 3);
    let zone = Zone::find(word).filter(|_| shows_a_zone)?;
    let times = times.trim();
    let cron = recognise(times).and_then(|inner| inner.cron).unwrap_or_else(|| times.to_owned());
    let message = "a zone is not part of the expression";
    Some(Foreign { timezone: Some(zone.name().to_owned()), ..Foreign::new(message, Some(cron), "set `timezone`") })
}

/// `cron(0 3 * * ? *)`, `rate(6 hours)`, `at(…)`.
fn call(text: &str) -> Option<Foreign> {
    let (name, inner) = text.strip_suffix(')')?.split_once('(')?;
    let message = format!("`{name}(…)` is the notation of a cloud scheduler");
    match name.trim().to_ascii_lowercase().as_str() {
        "cron" => {
            let fields: Vec<&str> = inner.split_whitespace().collect();
            let cron = match *fields.as_slice() {
                [minute, hour, day, month, weekday, "*" | "?"] => {
                    Some(format!("{minute} {hour} {} {month} {}", star(day), from_sunday(weekday)))
                }
                [_, _, _, _, _] => Some(fields.join(" ")),
                _ => None,
            };
            Some(Foreign::new(message, cron, "write five fields without a year, like `0 3 * * *`"))
        }
        "rate" => Some(Foreign::new(message, every(inner), NAME_TIMES)),
        "at" => Some(Foreign::new(message, None, "a slot comes again; for one image use `imagebaked bake`")),
        _ => None,
    }
}

/// `0 3 ? * MON-FRI *`: six fields of a cloud scheduler, the last of them the year. In six fields of ours neither the third
/// nor the fifth is a day.
fn with_a_year(text: &str) -> Option<Foreign> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday, year] = *fields.as_slice() else { return None };
    if day != "?" && weekday != "?" {
        return None;
    }
    let every_year = matches!(year, "*" | "?");
    let cron = every_year.then(|| format!("{minute} {hour} {} {month} {}", star(day), from_sunday(weekday)));
    let message = "this has a year at its end, in the notation of a cloud scheduler";
    Some(Foreign::new(message, cron, "write five fields without a year, like `0 3 * * *`"))
}

/// `?` and `*` are one.
fn star(field: &str) -> &str {
    if field == "?" { "*" } else { field }
}

/// A day of the week where 1 is Sunday, by names.
fn from_sunday(field: &str) -> String {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let name = |word: &str| {
        let (digit, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        match digit.parse::<usize>().ok().and_then(|day| NAMES.get(day.checked_sub(1)?)) {
            Some(name) => format!("{name}{rest}"),
            None => word.to_ascii_lowercase().replace('l', "L"),
        }
    };
    let range = |part: &str| part.split('-').map(name).collect::<Vec<_>>().join("-");
    if matches!(field, "*" | "?") { "*".into() } else { field.split(',').map(range).collect::<Vec<_>>().join(",") }
}

/// `OnCalendar=Mon..Fri *-*-* 03:00`.
fn calendar_event(text: &str) -> Option<Foreign> {
    let lower = text.to_ascii_lowercase();
    let event =
        lower.strip_prefix("oncalendar").map_or(lower.as_str(), |rest| rest.trim_start().trim_start_matches('='));
    let marked = event.len() != lower.len();
    let (mut weekday, mut date, mut time) = (None, None, None);
    for word in event.split_whitespace() {
        if word.contains(':') {
            time = Some(word);
        } else if word.contains('-')
            && word.starts_with(|c: char| c == '*' || c.is_ascii_digit())
            && !word.contains(',')
        {
            date = Some(word);
        } else {
            weekday = Some(word);
        }
    }
    let cron = if date.is_none() && time.is_none() && marked {
        words(event).and_then(|words| words.cron)
    } else {
        event_fields(weekday, date, time)
    };
    let dated = marked || date.is_some_and(|date| date.contains('*')) || time.is_some_and(|time| time.contains('*'));
    let message = "this is the notation of systemd's timers";
    (dated && (marked || cron.is_some())).then(|| Foreign::new(message, cron, FIVE_FIELDS))
}

fn event_fields(weekday: Option<&str>, date: Option<&str>, time: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = date.unwrap_or("*-*-*").split('-').collect();
    let (day, month) = match *parts.as_slice() {
        ["*", "*~1" | "*~01"] => ("L".to_owned(), "*".to_owned()),
        ["*", month, day] | [month, day] => (event_field(day, 31), event_field(month, 12)),
        _ => return None,
    };
    let mut parts = time.unwrap_or("00:00").split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("00"));
    if parts.next().is_some() {
        return None;
    }
    let second = if matches!(second, "0" | "00") { String::new() } else { format!("{} ", event_field(second, 59)) };
    let weekday = weekday.map_or("*".into(), |day| weekdays(day).unwrap_or_else(|| day.replace("..", "-")));
    Some(format!("{second}{} {} {day} {month} {weekday}", event_field(minute, 59), event_field(hour, 23)))
}

/// One field of a calendar event: `*`, `01`, `1..7`, `0/15`, and lists of them.
fn event_field(text: &str, last: u32) -> String {
    let plain = |text: &str| match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        number => number.to_owned(),
    };
    let text = text.replace("..", "-");
    let parts = text.split(',').map(|part| match part.split_once('/') {
        Some((start, step)) if start == "*" || plain(start) == "0" => format!("*/{}", plain(step)),
        Some((start, step)) => format!("{}-{last}/{}", plain(start), plain(step)),
        None => part.split('-').map(plain).collect::<Vec<_>>().join("-"),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// `FREQ=DAILY;BYHOUR=3`.
fn recurrence_rule(text: &str) -> Option<Foreign> {
    let upper = text.to_ascii_uppercase();
    let rule = upper.strip_prefix("RRULE:").unwrap_or(&upper);
    let part = |name: &str| rule.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let frequency = part("FREQ")?;
    let (minute, hour) = (part("BYMINUTE").unwrap_or("0"), part("BYHOUR").unwrap_or("0"));
    let days: Vec<String> = part("BYDAY").unwrap_or_default().split(',').filter_map(weekday).collect();
    let weekday = if days.is_empty() { "*".to_owned() } else { days.join(",") };
    let day = part("BYMONTHDAY").map(|day| if day == "-1" { "L" } else { day });
    let cron = match frequency {
        _ if part("INTERVAL").is_some_and(|step| step != "1") => None,
        "HOURLY" => Some(format!("{minute} * * * *")),
        "DAILY" => Some(format!("{minute} {hour} * * {weekday}")),
        "WEEKLY" if !days.is_empty() => Some(format!("{minute} {hour} * * {weekday}")),
        "MONTHLY" if days.is_empty() => Some(format!("{minute} {hour} {} * *", day.unwrap_or("1"))),
        _ => None,
    };
    Some(Foreign::new("this is a recurrence rule of a calendar", cron, FIVE_FIELDS))
}

/// `@every 6h`, `every 6 hours`, `PT6H`.
fn interval(text: &str) -> Option<Foreign> {
    let lower = text.to_ascii_lowercase();
    let period = if let Some(period) = lower.trim_start_matches('@').strip_prefix("every") {
        period.trim_start_matches(['_', '-']).trim().to_owned()
    } else {
        let iso = lower.trim_start_matches("r/").strip_prefix('p')?;
        if !iso.starts_with(|c: char| c == 't' || c.is_ascii_digit()) {
            return None;
        }
        iso.replace('t', "")
    };
    if let Some(cron) = every(&period) {
        return Some(Foreign::new("an interval has no times of day", Some(cron), NAME_TIMES));
    }
    if period.starts_with(|c: char| c.is_ascii_digit()) && !period.contains(':') {
        let message = "an interval has no times of day, and this one does not divide the day evenly";
        return Some(Foreign::new(message, None, NAME_TIMES));
    }
    words(&period)
}

/// The expression of a period that divides an hour or a day.
fn every(period: &str) -> Option<String> {
    let period = period.trim().to_ascii_lowercase();
    let digits = period.find(|c: char| !c.is_ascii_digit()).unwrap_or(period.len());
    let (number, unit) = period.split_at(digits);
    let number: u32 = if number.is_empty() { 1 } else { number.parse().ok()? };
    // Go prints six hours as `6h0m0s`.
    let unit = unit.trim().trim_end_matches("0s").trim_end_matches("0m");
    let minutes = match unit.trim() {
        "m" | "min" | "mins" | "minute" | "minutes" => number,
        "h" | "hr" | "hrs" | "hour" | "hours" => number.checked_mul(60)?,
        "d" | "day" | "days" => number.checked_mul(24 * 60)?,
        "w" | "week" | "weeks" => number.checked_mul(7 * 24 * 60)?,
        _ => return None,
    };
    match minutes {
        0 => None,
        1 => Some("* * * * *".into()),
        n if n < 60 && 60 % n == 0 => Some(format!("*/{n} * * * *")),
        60 => Some("0 * * * *".into()),
        n if n < 1440 && n % 60 == 0 && 1440 % n == 0 => Some(format!("0 */{} * * *", n / 60)),
        1440 => Some("0 0 * * *".into()),
        10_080 => Some("0 0 * * 0".into()),
        _ => None,
    }
}

/// `3am`, `03:00`, `daily at 3:30 pm`, `weekdays 22:00`.
fn words(text: &str) -> Option<Foreign> {
    let lower = text.to_ascii_lowercase();
    let text = lower.trim_start_matches('@').replace(" am", "am").replace(" pm", "pm").replace("o'clock", "");
    let (mut hour, mut minute, mut days, mut day) = ("0".to_owned(), "0".to_owned(), "*".to_owned(), "*");
    let mut any = false;
    for word in text.split_whitespace() {
        match word.trim_end_matches(',') {
            "at" | "on" | "every" | "the" | "uhr" => continue,
            "hourly" => hour = "*".into(),
            "daily" | "day" | "nightly" | "night" | "midnight" | "everyday" => {}
            "noon" => hour = "12".into(),
            "weekly" => days = "0".into(),
            "monthly" => day = "1",
            "minutely" => (hour, minute) = ("*".to_owned(), "*".to_owned()),
            word => match (time_of_day(word), weekdays(word)) {
                (Some(time), _) => (hour, minute) = (time.0.to_string(), time.1.to_string()),
                (None, Some(list)) => days = list,
                (None, None) => return None,
            },
        }
        any = true;
    }
    let message = "this is not a cron expression";
    any.then(|| Foreign::new(message, Some(format!("{minute} {hour} {day} * {days}")), FIVE_FIELDS))
}

/// `3am`, `3:30pm`, `03:00`, `03:00:00`, `3h`, `T03:00Z`.
fn time_of_day(word: &str) -> Option<(u32, u32)> {
    let word = word.trim_start_matches('t').trim_end_matches('z');
    let (clock, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
        (Some(clock), _) => (clock, Some(0)),
        (_, Some(clock)) => (clock, Some(12)),
        _ => (word, None),
    };
    let mut parts = clock.split([':', '.']);
    let hour: u32 = parts.next()?.trim_end_matches('h').parse().ok()?;
    let minute: Option<u32> = parts.next().map(str::parse).transpose().ok()?;
    if half.is_none() && minute.is_none() && !clock.ends_with('h') {
        return None;
    }
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    (hour < 24 && minute.unwrap_or(0) < 60).then(|| (hour, minute.unwrap_or(0)))
}

/// `mon`, `monday`, `mon-fri`, `mon..fri`, `weekdays`.
fn weekdays(word: &str) -> Option<String> {
    match word {
        "weekday" | "weekdays" | "workdays" => return Some("mon-fri".into()),
        "weekend" | "weekends" => return Some("sat,sun".into()),
        _ => {}
    }
    let word = word.replace("..", "-");
    let range = |part: &str| Some(part.split('-').map(weekday).collect::<Option<Vec<_>>>()?.join("-"));
    Some(word.split(',').map(range).collect::<Option<Vec<_>>>()?.join(","))
}

fn weekday(word: &str) -> Option<String> {
    const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let word = word.trim().to_ascii_lowercase();
    let word = word.strip_suffix("days").map_or(word.clone(), |stem| format!("{stem}day"));
    let day = DAYS.iter().find(|day| word.len() >= 2 && day.starts_with(word.as_str()))?;
    Some(day[..3].to_owned())
}

/// Words after five fields, a year after six, or a field too few.
fn surplus(text: &str) -> Option<Foreign> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match *words.as_slice() {
        [a, b, c, d] if words.iter().all(|word| is_field(word)) => {
            let cron = format!("{a} {b} {c} {d} *");
            Some(Foreign::new("expected 5 or 6 fields, found 4", Some(cron), FIVE_FIELDS))
        }
        // Quartz: seconds first, a year last, Sunday is 1.
        [second, minute, hour, day, month, weekday, year] if is_field(year) && year != "?" => {
            let second = if second == "0" { String::new() } else { format!("{second} ") };
            let cron = format!("{second}{minute} {hour} {} {month} {}", star(day), from_sunday(weekday));
            let advice = "leave out the seventh field";
            Some(Foreign::new("a year cannot be given", (year == "*").then_some(cron), advice))
        }
        [_, _, _, _, _, sixth, ..] if !is_field(sixth) && weekdays(&sixth.to_ascii_lowercase()).is_none() => {
            let message =
                format!("`{sixth}` is not part of the times: the line of a crontab goes on, an expression does not");
            Some(Foreign::new(message, Some(words[..5].join(" ")), FIVE_FIELDS))
        }
        _ => None,
    }
}

fn is_field(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || b"*,-/?LW#".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(text: &str) -> String {
        recognise(text).unwrap_or_else(|| panic!("{text}")).hint()
    }

    #[test]
    fn other_notations_are_translated() {
        for (text, cron) in [
            ("OnCalendar=*-*-* 03:00", "0 3 * * *"),
            ("*-*-* 03:30:00", "30 3 * * *"),
            ("Mon..Fri *-*-* 03:00", "0 3 * * mon-fri"),
            ("Mon,Wed *-*-* 22:05", "5 22 * * mon,wed"),
            ("OnCalendar=daily", "0 0 * * *"),
            ("*-*-01 04:00", "0 4 1 * *"),
            ("*:0/15", "*/15 * * * *"),
            ("@every 6h", "0 */6 * * *"),
            ("@every 30m", "*/30 * * * *"),
            ("@every 6h0m0s", "0 */6 * * *"),
            ("every 15 minutes", "*/15 * * * *"),
            ("every 24 hours", "0 0 * * *"),
            ("every day 03:00", "0 3 * * *"),
            ("every monday 09:30", "30 9 * * mon"),
            ("PT6H", "0 */6 * * *"),
            ("rate(6 hours)", "0 */6 * * *"),
            ("rate(1 day)", "0 0 * * *"),
            ("cron(0 3 * * ? *)", "0 3 * * *"),
            ("cron(0 3 ? * 2-6 *)", "0 3 * * mon-fri"),
            ("cron(0 3 ? * MON-FRI *)", "0 3 * * mon-fri"),
            ("cron(0 3 * * *)", "0 3 * * *"),
            ("0 3 ? * MON-FRI *", "0 3 * * mon-fri"),
            ("0 3 * * ? *", "0 3 * * *"),
            ("0 0 3 ? * 2 *", "0 3 * * mon"),
            ("RRULE:FREQ=DAILY;BYHOUR=3;BYMINUTE=30", "30 3 * * *"),
            ("FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=3", "0 3 * * mon,fri"),
            ("3am", "0 3 * * *"),
            ("3 am", "0 3 * * *"),
            ("12am", "0 0 * * *"),
            ("12:15 pm", "15 12 * * *"),
            ("03:00", "0 3 * * *"),
            ("daily at 22:30", "30 22 * * *"),
            ("weekdays at 3am", "0 3 * * mon-fri"),
            ("@nightly", "0 0 * * *"),
            ("0 3 * * * root", "0 3 * * *"),
            ("0 3 * * * root /usr/bin/bake", "0 3 * * *"),
            ("0 3 * * * # nightly", "0 3 * * *"),
            ("0 3 * *", "0 3 * * *"),
            ("０ ３ ＊ ＊ ＊", "0 3 * * *"),
            ("“0 3 * * *”", "0 3 * * *"),
            ("'0 3 * * *'", "0 3 * * *"),
            ("0 3 * * 1–5", "0 3 * * 1-5"),
            ("0 3 \\* \\* \\*", "0 3  *  *  *"),
        ] {
            assert_eq!(hint(text), format!("write `cron = \"{cron}\"`"), "{text}");
        }
    }

    #[test]
    fn a_zone_becomes_a_key_of_its_own() {
        for text in [
            "CRON_TZ=Europe/Vienna 0 3 * * *",
            "TZ=Europe/Vienna 3am",
            "TZ=:Europe/Vienna 0 3 * * *",
            "0 3 * * * Europe/Vienna",
            "OnCalendar=*-*-* 03:00 Europe/Vienna",
        ] {
            assert_eq!(hint(text), "write `cron = \"0 3 * * *\"` and `timezone = \"Europe/Vienna\"`", "{text}");
        }
    }

    #[test]
    fn what_has_no_expression_gets_advice() {
        assert!(hint("@every 7h").contains("name the times"));
        assert!(hint("at(2027-01-01T03:00:00)").contains("imagebaked bake"));
        assert!(hint("cron(0 3 1 1 ? 2027)").contains("without a year"));
    }

    #[test]
    fn slips_in_cron_itself_are_left_to_its_parser() {
        for text in ["61 3 * * *", "0 0 30 2 *", "0 3 * * xyz", "@reboot", "", "0 3 * * * mon"] {
            assert_eq!(recognise(text), None, "{text}");
        }
    }
}
