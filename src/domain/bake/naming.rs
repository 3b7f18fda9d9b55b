//! Names from templates such as `{name}-{slot:%Y%m%d-%H%M}-v{version}`.
//!
//! The configuration parses a template once and reports its errors; rendering cannot fail.

use std::{fmt::Write, ops::Range};

use crate::domain::calendar::zone::Zone;
use chrono::{
    DateTime, Utc,
    format::{Fixed, Item, Numeric, StrftimeItems},
};

/// Format of `{slot}` without a format.
const SLOT_FORMAT: &str = "%Y%m%d-%H%M%S";

/// A version with as many digits as any line needs.
pub const LAST_VERSION: u32 = 999_999;
/// Slots with long names of month and weekday, in summer and winter: abbreviations of zones differ in them.
const LONG_SLOTS: [i64; 2] = [1_821_614_400, 1_827_057_600];

/// All placeholders, for hints.
const PLACEHOLDERS: [&str; 5] = ["name", "id", "instance_id", "slot", "version"];

/// Error in a template, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Byte range in the template.
    pub span: Range<usize>,
    /// The error.
    pub message: String,
    /// The correction.
    pub hint: String,
}

impl TemplateError {
    fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: hint.into() }
    }
}

/// Values of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// `{name}`: name of the schedule.
    pub name: &'a str,
    /// `{id}`: stable id of the schedule.
    pub id: &'a str,
    /// `{instance_id}`.
    pub instance_id: &'a str,
    /// `{slot:FORMAT}`: strftime in `zone`; `{slot}` alone is `%Y%m%d-%H%M%S`.
    pub slot: DateTime<Utc>,
    /// Zone of the schedule.
    pub zone: Zone,
    /// `{version}`: version in the line, from 1. `{version:03}` adds leading zeros.
    pub version: u32,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Box<[Segment]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    Name,
    Id,
    InstanceId,
    /// strftime format that chrono has accepted.
    Slot(Box<str>),
    /// Minimum number of digits.
    Version(usize),
}

impl Template {
    /// Parses a template. `{{` and `}}` are literal braces.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for an unknown placeholder, an invalid format or an unbalanced brace.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut segments = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push(next);
                at += 2;
            } else if next == '}' {
                return Err(TemplateError::new(at..at + 1, "this `}` closes nothing", "a plain brace is written `}}`"));
            } else if next == '{' {
                let Some(length) = rest.find('}') else {
                    return Err(TemplateError::new(
                        at..text.len(),
                        "this `{` is never closed",
                        "close it with `}`; a plain brace is written `{{`",
                    ));
                };
                if !plain.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut plain).into()));
                }
                segments.push(placeholder(&rest[1..length], at + 1)?);
                at += length + 1;
            } else {
                plain.push(next);
                at += next.len_utf8();
            }
        }
        if !plain.is_empty() {
            segments.push(Segment::Text(plain.into()));
        }
        Ok(Self { segments: segments.into() })
    }

    /// Whether different slots get different names: the name has the version, or the slot to the minute. Templates use
    /// local time, so only the version differs between the two passes of a repeated hour.
    pub fn is_unique_per_slot(&self) -> bool {
        self.has_version() || self.has_slot()
    }

    /// Whether the name has the slot to the minute. Only bakes of the same slot use such a name.
    pub fn has_slot(&self) -> bool {
        let text = self.segments.iter().map(|segment| match segment {
            Segment::Slot(format) => StrftimeItems::new(format).fold(0, |text, item| text | NameValues::by(&item)),
            _ => 0,
        });
        NameValues::to_the_minute(text.fold(0, |all, text| all | text))
    }

    /// Whether the name changes with the version.
    pub fn has_version(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Version(_)))
    }

    /// Renders the longest name that these values, other slots and later versions can have.
    pub fn longest(&self, values: &Values<'_>) -> String {
        let slots = LONG_SLOTS.into_iter().filter_map(|second| DateTime::from_timestamp(second, 0));
        let rendered = slots.map(|slot| self.render(&Values { slot, version: LAST_VERSION, ..*values }));
        rendered.max_by_key(|name| name.chars().count()).unwrap_or_default()
    }

    /// Renders the name of one bake.
    pub fn render(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            // Writing to a string fails only on an invalid format, and `parse` rejects those.
            let _ = match segment {
                Segment::Text(text) => out.write_str(text),
                Segment::Name => out.write_str(values.name),
                Segment::Id => out.write_str(values.id),
                Segment::InstanceId => out.write_str(values.instance_id),
                Segment::Slot(format) => write!(out, "{}", values.slot.with_timezone(&values.zone).format(format)),
                Segment::Version(digits) => write!(out, "{:0digits$}", values.version),
            };
        }
        out
    }
}

/// Parses the text between two braces; `start` is its offset in the template.
fn placeholder(inside: &str, start: usize) -> Result<Segment, TemplateError> {
    let (word, format) = match inside.split_once(':') {
        Some((word, format)) => (word, Some(format)),
        None => (inside, None),
    };
    let word_span = start..start + word.len();
    let format_span = word_span.end + 1..start + inside.len();
    match (word, format) {
        ("name", None) => Ok(Segment::Name),
        ("id", None) => Ok(Segment::Id),
        ("instance_id", None) => Ok(Segment::InstanceId),
        ("slot", None) => Ok(Segment::Slot(SLOT_FORMAT.into())),
        ("slot", Some(format)) => slot_format(format, format_span),
        ("version", None) => Ok(Segment::Version(1)),
        ("version", Some(format)) => match format.strip_prefix('0').map(str::parse) {
            Some(Ok(digits @ 1..=9)) => Ok(Segment::Version(digits)),
            _ => Err(TemplateError::new(
                format_span,
                format!("`{format}` is not a width of the version"),
                "three digits with leading zeros are `{version:03}`",
            )),
        },
        ("name" | "id" | "instance_id", Some(_)) => Err(TemplateError::new(
            format_span,
            format!("`{word}` takes no format"),
            format!("write `{{{word}}}`; only `slot` and `version` take a format"),
        )),
        _ => Err(TemplateError::new(word_span, format!("there is no placeholder `{word}`"), suggestion(word))),
    }
}

fn slot_format(format: &str, span: Range<usize>) -> Result<Segment, TemplateError> {
    if format.is_empty() {
        return Err(TemplateError::new(
            span,
            "the format of the slot is empty",
            "write `{slot}`, or a format as in `{slot:%Y%m%d}`",
        ));
    }
    // Some items can be parsed and not written, such as `%#z`.
    let is_written = || write!(String::new(), "{}", DateTime::<Utc>::UNIX_EPOCH.format(format)).is_ok();
    if StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) || !is_written() {
        return Err(TemplateError::new(
            span,
            format!("`{format}` is not a time format"),
            "use strftime: `%Y%m%d-%H%M` is year, month, day, hour and minute",
        ));
    }
    if StrftimeItems::new(format).all(|item| matches!(item, Item::Literal(_) | Item::Space(_))) {
        let meant = strftime_of(format);
        let hint = if meant == format { "%Y%m%d-%H%M" } else { meant.as_str() };
        return Err(TemplateError::new(
            span,
            format!("`{format}` shows nothing of the slot"),
            format!("use strftime: `{{slot:{hint}}}`"),
        ));
    }
    Ok(Segment::Slot(format.into()))
}

/// Names of other tools for the placeholders.
const ALIASES: &[(&[&str], &str)] = &[
    (&["schedule", "job", "task", "title"], "name"),
    (&["date", "time", "datetime", "timestamp", "now", "day"], "slot"),
    (&["instance", "desktop", "machine", "desktop_id", "host"], "instance_id"),
    (&["ver", "v", "number", "n", "seq", "count", "counter"], "version"),
];

/// The strftime format that letters such as `YYYY-MM-DD` mean.
fn strftime_of(letters: &str) -> String {
    const LETTERS: [(&str, &str); 8] = [
        ("YYYY", "%Y"),
        ("yyyy", "%Y"),
        ("YY", "%y"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("dd", "%d"),
        ("HH", "%H"),
        ("hh", "%H"),
    ];
    let format = LETTERS.iter().fold(letters.to_owned(), |format, (from, to)| format.replace(from, to));
    format.replace("mm", "%M").replace("ss", "%S").replace("SS", "%S")
}

/// Hint with the placeholder whose beginning is most like `word`, and all placeholders.
fn suggestion(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(names, _)| names.contains(&lower.as_str())).map(|(_, name)| *name);
    let common = |name: &str| word.bytes().zip(name.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let nearest = PLACEHOLDERS.into_iter().max_by_key(|name| common(name)).filter(|name| common(name) > 0);
    let nearest = alias.or(nearest);
    let list = PLACEHOLDERS.map(|name| format!("`{{{name}}}`")).join(", ");
    match nearest {
        Some(nearest) => format!("did you mean `{{{nearest}}}`? There are {list}"),
        None => format!("there are {list}"),
    }
}

/// Parts of an instant that a format shows, as bits.
struct NameValues;

impl NameValues {
    const YEAR: u32 = 1;
    const MONTH: u32 = 1 << 1;
    const DAY: u32 = 1 << 2;
    const ISO_YEAR: u32 = 1 << 3;
    const ISO_WEEK: u32 = 1 << 4;
    const WEEKDAY: u32 = 1 << 5;
    const HALF_DAY: u32 = 1 << 6;
    const HALF_HOUR: u32 = 1 << 7;
    const MINUTES: u32 = 1 << 8;
    const DATE: u32 = Self::YEAR | Self::MONTH | Self::DAY;
    const ISO_DATE: u32 = Self::ISO_YEAR | Self::ISO_WEEK | Self::WEEKDAY;
    const TIME: u32 = Self::HALF_DAY | Self::HALF_HOUR | Self::MINUTES;
    const MINUTE: u32 = Self::DATE | Self::TIME;

    fn to_the_minute(text: u32) -> bool {
        let has = |parts: u32| text & parts == parts;
        (has(Self::DATE) || has(Self::ISO_DATE)) && has(Self::TIME)
    }

    fn by(item: &Item<'_>) -> u32 {
        match item {
            Item::Numeric(numeric, _) => match numeric {
                Numeric::Year | Numeric::YearMod100 => Self::YEAR,
                Numeric::Month => Self::MONTH,
                Numeric::Day => Self::DAY,
                Numeric::Ordinal => Self::MONTH | Self::DAY,
                Numeric::IsoYear | Numeric::IsoYearMod100 => Self::ISO_YEAR,
                Numeric::IsoWeek => Self::ISO_WEEK,
                Numeric::NumDaysFromSun | Numeric::WeekdayFromMon => Self::WEEKDAY,
                Numeric::Hour => Self::HALF_DAY | Self::HALF_HOUR,
                Numeric::Hour12 => Self::HALF_HOUR,
                Numeric::Minute => Self::MINUTES,
                Numeric::Timestamp => Self::MINUTE,
                _ => 0,
            },
            Item::Fixed(fixed) => match fixed {
                Fixed::ShortMonthName | Fixed::LongMonthName => Self::MONTH,
                Fixed::ShortWeekdayName | Fixed::LongWeekdayName => Self::WEEKDAY,
                Fixed::LowerAmPm | Fixed::UpperAmPm => Self::HALF_DAY,
                Fixed::RFC2822 | Fixed::RFC3339 => Self::MINUTE,
                _ => 0,
            },
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn values() -> Values<'static> {
        Values {
            name: "win11-golden",
            id: "golden",
            instance_id: "ecd-1",
            slot: Utc.with_ymd_and_hms(2026, 3, 1, 19, 5, 9).unwrap(),
            zone: crate::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(),
            version: 7,
        }
    }

    fn api_error(text: &str) -> (&str, String, String) {
        let error = Template::parse(text).unwrap_err();
        (&text[error.span], error.message, error.hint)
    }

    #[test]
    fn shows_each_placeholder_in_the_zone_of_the_schedule() {
        for (template, name) in [
            ("{name}-{slot:%Y%m%d-%H%M}-v{version}", "win11-golden-20260302-0305-v7"),
            ("{id}/{instance_id} {slot}", "golden/ecd-1 20260302-030509"),
            ("v{version:03}", "v007"),
            ("{{{name}}} a}}b", "{win11-golden} a}b"),
            ("每日-{slot:%F %R %Z}", "每日-2026-03-02 03:05 CST"),
            ("", ""),
        ] {
            assert_eq!(Template::parse(template).unwrap().render(&values()), name, "{template}");
        }
    }

    #[test]
    fn the_longest_name_has_the_longest_words() {
        let longest = |text: &str| Template::parse(text).unwrap().longest(&Values { zone: Zone::UTC, ..values() });
        assert_eq!(longest("{slot:%A %-d %B %H} {version}"), "Wednesday 22 September 12 999999");
        assert_eq!(longest("{name}"), "win11-golden");
    }

    #[test]
    fn errors_point_at_the_place() {
        assert_eq!(api_error("a{slot:%Y").0, "{slot:%Y");
        assert_eq!(api_error("ä}b").0, "}");
        assert_eq!(api_error("{slot:%Y%!}").0, "%Y%!");
        assert_eq!(api_error("{slot:%#z}").0, "%#z", "it can be parsed, but not written");
        assert_eq!(api_error("{slot:}").0, "");
        assert_eq!(api_error("{name:3}").0, "3");
        assert_eq!(api_error("{version:3}").0, "3");
        let (place, message, hint) = api_error("x-{ver}");
        assert_eq!((place, message.as_str()), ("ver", "there is no placeholder `ver`"));
        assert!(hint.starts_with("did you mean `{version}`?"), "{hint}");
        assert!(api_error("{schedule}").2.starts_with("did you mean `{name}`?"));
        let (place, _, hint) = api_error("{slot:YYYY-MM-DD HH:mm}");
        assert_eq!((place, hint.as_str()), ("YYYY-MM-DD HH:mm", "use strftime: `{slot:%Y-%m-%d %H:%M}`"));
        assert!(api_error("{Instance}").2.contains("did you mean `{instance_id}`"));
        assert!(api_error("{}").2.starts_with("there are `{name}`"));
    }

    #[test]
    fn slots_are_distinguished_by_version_or_minute() {
        for (template, apart) in [
            ("{name}-v{version}", true),
            ("{slot}", true),
            ("{slot:%s}", true),
            ("{slot:%F %R}", true),
            ("{slot:%F}T{slot:%T}", true),
            ("{slot:%G-W%V-%u %I:%M %p}", true),
            ("{slot:%y%j%H%M}", true),
            ("{slot:%+}", true),
            ("{slot:%F %I:%M}", false),
            ("{slot:%Y%m%d-%H}", false),
            ("{slot:%m%d-%H%M}", false),
            ("{slot:%Y%U%H%M}", false),
            ("{name} {id} {instance_id}", false),
        ] {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.is_unique_per_slot(), apart, "{template:?}");
            assert_eq!(template.has_slot(), apart && !template.has_version(), "{template:?}");
        }
    }
}
