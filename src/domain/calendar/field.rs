//! One field of a cron expression: `*/15`, `mon-fri`, `L-3`, `H(0-29)`. Every error has the byte range of the invalid
//! part.

use super::error::CronError;

/// A part of an expression with its byte offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) start: usize,
    pub(crate) text: &'a str,
}

impl<'a> Word<'a> {
    /// Splits `text`, which starts at offset `start`.
    pub(crate) fn split(text: &'a str, start: usize, at: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        let mut next = 0;
        text.split(at).map(move |part| {
            let word = Self { start: start + next, text: part };
            // A separator may be a wide space; its length is found in the text that follows the part.
            let end = next + part.len();
            next = end + text[end..].chars().next().map_or(0, char::len_utf8);
            word
        })
    }

    /// The two sides of the first `separator`.
    fn cut(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let right = Self { start: self.start + left.len() + separator.len_utf8(), text: right };
        Some((Self { start: self.start, text: left }, right))
    }

    /// The text before `suffix`, in either case.
    fn before(self, suffix: &str) -> Option<Self> {
        let at = self.text.len().checked_sub(suffix.len())?;
        let (left, right) = self.text.split_at_checked(at)?;
        right.eq_ignore_ascii_case(suffix).then_some(Self { start: self.start, text: left })
    }

    fn is(self, text: &str) -> bool {
        self.text.eq_ignore_ascii_case(text)
    }

    /// Parses digits only; a number too large for any field becomes the maximum.
    fn number(self) -> Option<u32> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.text.parse().unwrap_or(u32::MAX))
    }

    fn error(self, message: impl Into<String>, hint: impl Into<String>) -> CronError {
        CronError::new(self.start..self.start + self.text.len(), message, hint)
    }
}

/// The values of a field.
#[derive(Debug)]
pub(crate) struct Kind {
    name: &'static str,
    plural: &'static str,
    min: u32,
    max: u32,
    /// The largest value of `H`: days after the 28th do not occur every month.
    hash_max: u32,
    /// The names, the first of them for `min`.
    names: &'static [&'static str],
    days: Days,
}

#[derive(Debug, PartialEq, Eq)]
enum Days {
    No,
    OfMonth,
    OfWeek,
}

const fn clock(name: &'static str, plural: &'static str, max: u32) -> Kind {
    Kind { name, plural, min: 0, max, hash_max: max, names: &[], days: Days::No }
}

/// Days of the week in languages of operators, with the name that a rule has for them.
const DAYS_ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "mon",
        &["mo", "montag", "lun", "lundi", "lunes", "lunedì", "segunda", "周一", "星期一", "礼拜一", "月曜日", "пн"],
    ),
    (
        "tue",
        &["di", "dienstag", "mar", "mardi", "martes", "martedì", "terça", "周二", "星期二", "礼拜二", "火曜日", "вт"],
    ),
    (
        "wed",
        &[
            "mi",
            "mittwoch",
            "mer",
            "mercredi",
            "miércoles",
            "mercoledì",
            "quarta",
            "周三",
            "星期三",
            "礼拜三",
            "水曜日",
            "ср",
        ],
    ),
    (
        "thu",
        &[
            "do",
            "donnerstag",
            "jeu",
            "jeudi",
            "jueves",
            "giovedì",
            "quinta",
            "周四",
            "星期四",
            "礼拜四",
            "木曜日",
            "чт",
        ],
    ),
    (
        "fri",
        &[
            "fr",
            "freitag",
            "ven",
            "vendredi",
            "viernes",
            "venerdì",
            "sexta",
            "周五",
            "星期五",
            "礼拜五",
            "金曜日",
            "пт",
        ],
    ),
    ("sat", &["sa", "samstag", "sam", "samedi", "sábado", "sabato", "周六", "星期六", "礼拜六", "土曜日", "сб"]),
    (
        "sun",
        &[
            "so",
            "sonntag",
            "dim",
            "dimanche",
            "domingo",
            "domenica",
            "周日",
            "周天",
            "星期日",
            "星期天",
            "日曜日",
            "вс",
        ],
    ),
];

/// The same of months, where they do not begin like the English ones.
const MONTHS_ELSEWHERE: &[(&str, &[&str])] = &[
    ("jan", &["enero", "gennaio", "一月", "1月"]),
    ("feb", &["fév", "février", "二月", "2月"]),
    ("mar", &["mär", "märz", "三月", "3月"]),
    ("apr", &["avr", "avril", "abril", "四月", "4月"]),
    ("may", &["mai", "mayo", "maggio", "五月", "5月"]),
    ("jun", &["juin", "giugno", "六月", "6月"]),
    ("jul", &["juil", "juillet", "luglio", "七月", "7月"]),
    ("aug", &["août", "agosto", "八月", "8月"]),
    ("sep", &["settembre", "九月", "9月"]),
    ("oct", &["okt", "oktober", "ottobre", "十月", "10月"]),
    ("nov", &["十一月", "11月"]),
    ("dec", &["dez", "dezember", "déc", "décembre", "dic", "diciembre", "dicembre", "十二月", "12月"]),
];

pub(crate) const SECOND: Kind = clock("second", "seconds", 59);
pub(crate) const MINUTE: Kind = clock("minute", "minutes", 59);
pub(crate) const HOUR: Kind = clock("hour", "hours", 23);
pub(crate) const DAY_OF_MONTH: Kind = Kind {
    name: "day of the month",
    plural: "days of the month",
    min: 1,
    max: 31,
    hash_max: 28,
    names: &[],
    days: Days::OfMonth,
};
pub(crate) const MONTH: Kind = Kind {
    name: "month",
    plural: "months",
    min: 1,
    max: 12,
    hash_max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    days: Days::No,
};
/// Names that people write in full, or cut at another place.
const FULL_NAMES: &[&str] = &[
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "tues",
    "thur",
    "thurs",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "sept",
    "october",
    "november",
    "december",
];

/// Sunday is 0 and 7.
pub(crate) const DAY_OF_WEEK: Kind = Kind {
    name: "day of the week",
    plural: "days of the week",
    min: 0,
    max: 7,
    hash_max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    days: Days::OfWeek,
};

/// A parsed field: bit n of a mask is value n.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) mask: u64,
    /// It begins with `*` or `?`.
    pub(crate) star: bool,
    /// It lists plain values (`H` is one), without wildcard, step or range.
    pub(crate) fixed: bool,
    /// It has an `H`: its values depend on the seed.
    pub(crate) hashed: bool,
    /// Bit n is the day n before the last.
    pub(crate) days_from_last: u32,
    /// Bit n is the weekday nearest to day n; bit 0 is the last weekday of the month.
    pub(crate) near_weekdays: u32,
    /// Bit 7 * (n - 1) + weekday is the nth such weekday; n = 6 is the last one.
    pub(crate) nth_weekdays: u64,
}

impl Field {
    /// Parses one field; `seed` seeds `H`.
    pub(crate) fn read(kind: &Kind, word: Word<'_>, seed: &str) -> Result<Self, CronError> {
        let mut field = Self {
            mask: 0,
            star: word.text.starts_with(['*', '?']),
            fixed: true,
            hashed: false,
            days_from_last: 0,
            near_weekdays: 0,
            nth_weekdays: 0,
        };
        for item in Word::split(word.text, word.start, |c| c == ',') {
            if item.text.is_empty() {
                return Err(word.error("an item of the list is empty", "write one comma between two values"));
            }
            if !field.read_day(kind, item)? {
                field.read_values(kind, item, seed)?;
            }
        }
        Ok(field)
    }

    /// Parses the syntax that only days have; false if `item` has none of it.
    fn read_day(&mut self, kind: &Kind, item: Word<'_>) -> Result<bool, CronError> {
        match kind.days {
            Days::No => return Ok(false),
            Days::OfMonth if item.is("L") => self.days_from_last |= 1,
            Days::OfMonth if item.is("LW") => self.near_weekdays |= 1,
            Days::OfMonth => match (item.cut('-'), item.before("W")) {
                (Some((last, back)), _) if last.is("L") => {
                    self.days_from_last |= 1 << bounded(back, 0, 30, "days before the last")?;
                }
                (_, Some(day)) => self.near_weekdays |= 1 << kind.value(day)?,
                _ => return Ok(false),
            },
            Days::OfWeek if item.is("L") => {
                return Err(item.error("`L` alone is not a day of the week", "the last Friday of the month is `friL`"));
            }
            Days::OfWeek => match (item.cut('#'), item.before("L")) {
                (Some((day, nth)), _) => {
                    let nth = bounded(nth, 1, 5, "weekdays of a month")?;
                    self.nth_weekdays |= 1 << (7 * (nth - 1) + kind.value(day)? % 7);
                }
                (_, Some(day)) => self.nth_weekdays |= 1 << (7 * 5 + kind.value(day)? % 7),
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Parses a value, a range or a wildcard, with or without a step.
    fn read_values(&mut self, kind: &Kind, item: Word<'_>, seed: &str) -> Result<(), CronError> {
        let (values, step) = match item.cut('/') {
            Some((values, step)) => (values, Some(kind.step(step)?)),
            None => (item, None),
        };
        let (first, last) = if values.is("*") || values.is("?") {
            self.fixed = false;
            // Sunday only as 0.
            (kind.min, if kind.days == Days::OfWeek { 6 } else { kind.max })
        } else if values.text.starts_with(['h', 'H']) {
            let (first, last) = kind.hash_range(values)?;
            self.hashed = true;
            let choices = step.unwrap_or(last - first + 1).min(last - first + 1);
            let chosen = first + kind.hash(seed, choices);
            self.fixed &= step.is_none();
            (chosen, if step.is_some() { last } else { chosen })
        } else if let Some((first, last)) = values.cut('-') {
            self.fixed = false;
            kind.range(values, kind.value(first)?, kind.value(last)?)?
        } else {
            let value = kind.value(values)?;
            if let Some(step) = step {
                return Err(item.error(
                    format!("a step needs a range, and `{}` is one value", values.text),
                    format!("write `{value}-{}/{step}`", kind.max),
                ));
            }
            (value, value)
        };
        for value in (first..=last).step_by(step.unwrap_or(1) as usize) {
            let value = if kind.days == Days::OfWeek { value % 7 } else { value };
            self.mask |= 1 << value;
        }
        Ok(())
    }
}

impl Kind {
    /// A number or a name.
    fn value(&self, word: Word<'_>) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().position(|name| word.is(name)) {
            return Ok(self.min + u32::try_from(at).unwrap_or(0));
        }
        let range = match self.days {
            Days::OfWeek => "days of the week run from 0 to 7 (0 and 7 are Sunday), or from sun to sat".to_owned(),
            _ if self.names.is_empty() => format!("{} run from {} to {}", self.plural, self.min, self.max),
            _ => format!("{} run from {} to {}, or from jan to dec", self.plural, self.min, self.max),
        };
        if word.text.is_empty() {
            return Err(word.error(format!("the {} is missing here", self.name), range));
        }
        match word.number() {
            Some(value) if (self.min..=self.max).contains(&value) => Ok(value),
            Some(_) => Err(word.error(format!("{} {} is out of range", self.name, word.text), range)),
            None => {
                let hint = self.meant(word.text).or_else(|| self.translated(word.text)).unwrap_or(range);
                Err(word.error(format!("`{}` is not a {}", word.text, self.name), hint))
            }
        }
    }

    /// What to write for a value in the notation of another tool.
    fn meant(&self, text: &str) -> Option<String> {
        let lower = text.to_ascii_lowercase();
        if lower.contains('~') {
            return Some("write `H`, which picks a value and keeps it".to_owned());
        }
        if let Some((first, last)) = lower.split_once("..") {
            return Some(format!("write `{first}-{last}`"));
        }
        let name = self
            .names
            .iter()
            .find(|name| lower.len() > 3 && FULL_NAMES.contains(&&*lower) && lower.starts_with(**name))?;
        Some(format!("write `{name}`"))
    }

    /// The English name of a day or a month that is written in another language.
    fn translated(&self, text: &str) -> Option<String> {
        let (names, others): (_, &[(&str, &[&str])]) = match self.days {
            Days::OfWeek => (self.names, DAYS_ELSEWHERE),
            _ if self.names.len() == 12 => (self.names, MONTHS_ELSEWHERE),
            _ => return None,
        };
        let lower = text.to_lowercase();
        let lower = lower.trim_end_matches('.');
        let elsewhere = others.iter().find(|(_, words)| words.contains(&lower)).map(|(name, _)| *name);
        let begins = || names.iter().copied().find(|name| lower.len() > 3 && lower.starts_with(name));
        elsewhere.or_else(begins).map(|name| format!("write the English `{name}`, or its number"))
    }

    /// A range as numbers that do not descend; days of the week may run past Saturday.
    fn range(&self, word: Word<'_>, first: u32, last: u32) -> Result<(u32, u32), CronError> {
        match self.days {
            Days::OfWeek if first == 7 && last < 7 => Ok((0, last)),
            Days::OfWeek if first > last => Ok((first, last + 7)),
            _ if first > last => {
                let (min, max) = (self.min, self.max);
                let hint = format!("write `{last}-{first}`, or `{first}-{max},{min}-{last}` to go past the end");
                Err(word.error(format!("the range `{}` runs backwards", word.text), hint))
            }
            _ => Ok((first, last)),
        }
    }

    fn step(&self, word: Word<'_>) -> Result<u32, CronError> {
        match word.number() {
            Some(step) if step > 0 && step <= self.max - self.min => Ok(step),
            _ => Err(word.error(
                format!("`{}` is not a step of {}", word.text, self.plural),
                format!("steps of {} run from 1 to {}", self.plural, self.max - self.min),
            )),
        }
    }

    /// The bounds of `H` or `H(a-b)`.
    fn hash_range(&self, word: Word<'_>) -> Result<(u32, u32), CronError> {
        if word.is("H") {
            return Ok((self.min, self.hash_max));
        }
        let inner = word.cut('(').and_then(|(_, rest)| rest.before(")")).filter(|_| word.text[1..].starts_with('('));
        let Some((first, last)) = inner.and_then(|inner| inner.cut('-')) else {
            return Err(word
                .error(format!("`{}` is not understood", word.text), "write `H`, `H/15`, `H(0-29)` or `H(0-29)/10`"));
        };
        self.range(word, self.value(first)?, self.value(last)?)
    }

    /// A number below `choices` that depends only on the seed and the field. It must never change: the slots of all
    /// schedules with `H` would move.
    fn hash(&self, seed: &str, choices: u32) -> u32 {
        let hash = stable_hash([seed.as_bytes(), self.name.as_bytes()]);
        u32::try_from(hash % u64::from(choices)).unwrap_or(0)
    }
}

fn bounded(word: Word<'_>, min: u32, max: u32, what: &str) -> Result<u32, CronError> {
    match word.number() {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(word.error(format!("`{}` is out of range", word.text), format!("{what} run from {min} to {max}"))),
    }
}

/// FNV-1a over the parts, each ended by a byte that no UTF-8 text has, then mixed so that low bits are good too. Not
/// the standard library's hasher, which may change.
pub(crate) fn stable_hash<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.iter().chain(&[0xff])) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}
