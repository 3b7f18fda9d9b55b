//! Lints of valid rules: days that not every month has, two restrictions of which one suffices, and slots of every
//! minute. A timing of one expression and an instant go in, findings come out; callers decide how to report them.

use std::ops::Range;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};

pub use crate::domain::calendar::cron::MissingDay;
use crate::domain::calendar::{Timing, field::Word};

/// Months that are searched for one that lacks a day: four years have all lengths of February.
const MONTHS: usize = 48;
/// Number of days that an example shows.
const EXAMPLE: usize = 4;
/// Maximum number of slots that are passed over for an example.
const MOST_SLOTS: usize = 20_000;

/// A month without days that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortMonth {
    /// Its first day.
    pub month: NaiveDate,
    /// What it lacks, at least one.
    pub missing: Vec<MissingDay>,
}

/// A rule whose day of the month and day of the week are both restricted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EitherDay {
    /// The bytes of both fields, and of the month between them.
    pub span: Range<usize>,
    /// The first days with a slot.
    pub next: Vec<NaiveDate>,
    /// The rule of the days of the month alone.
    pub by_date: String,
    /// The rule of the days of the week alone.
    pub by_weekday: String,
    /// The rule for one weekday of a month, if the fields look like it: `mon#1` for `1-7 * mon`.
    pub nth: Option<String>,
}

/// A rule with a slot in each minute or second of its hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowded {
    /// The bytes of the field.
    pub span: Range<usize>,
    /// `minute` or `second`.
    pub unit: &'static str,
    /// Number of slots of a day.
    pub per_day: u64,
    /// The rule with one slot in place of all.
    pub once: String,
}

impl Timing {
    /// The next month that lacks a day of the rule. None for a rule with years between its slots, which is reported as
    /// such, and for a step: its last value is reported as uneven.
    pub fn short_month(&self, now: DateTime<Utc>) -> Option<ShortMonth> {
        let (rule, words) = (self.rules().next()?, self.words()?);
        let day = words.get(words.len().checked_sub(3)?)?.text;
        let may_lack = rule.names_days_that_months_lack() && !rule.takes_either_day() && !day.contains('/');
        if !may_lack || self.rare_slots(now).is_some() {
            return None;
        }
        let today = now.with_timezone(&self.zone()).date_naive();
        let months = std::iter::successors(today.with_day(1), |month| month.checked_add_months(Months::new(1)));
        months.take(MONTHS).find_map(|month| {
            let missing = rule.days_missing_in(month.year(), month.month());
            (!missing.is_empty()).then_some(ShortMonth { month, missing })
        })
    }

    /// Whether the rule has two restrictions of the day, of which one suffices.
    pub fn either_day(&self, now: DateTime<Utc>) -> Option<EitherDay> {
        if !self.rules().next()?.takes_either_day() {
            return None;
        }
        let words = self.words()?;
        let [.., day, _, weekday] = words.as_slice() else { return None };
        let replaced = |at: usize, text: &str| {
            let word =
                |(index, word): (usize, &Word<'_>)| if index == at { text.to_owned() } else { word.text.to_owned() };
            words.iter().enumerate().map(word).collect::<Vec<_>>()
        };
        let (day_at, weekday_at) = (words.len() - 3, words.len() - 1);
        let nth = nth_of_month(day.text, weekday.text).map(|nth| {
            let mut words = replaced(weekday_at, &nth);
            "*".clone_into(&mut words[day_at]);
            words.join(" ")
        });
        Some(EitherDay {
            span: day.start..weekday.start + weekday.text.len(),
            next: self.next_days(now),
            by_date: replaced(weekday_at, "*").join(" "),
            by_weekday: replaced(day_at, "*").join(" "),
            nth,
        })
    }

    /// Whether the rule has a slot in each minute or second of its hours.
    pub fn crowded(&self) -> Option<Crowded> {
        let rule = self.rules().next()?;
        let words = self.words()?;
        let (unit, place) = match words.len() {
            6 if rule.is_of_every_second() => ("second", 0),
            6 if rule.is_of_every_minute() => ("minute", 1),
            5 if rule.is_of_every_minute() => ("minute", 0),
            _ => return None,
        };
        let once: Vec<&str> =
            words.iter().enumerate().map(|(at, word)| if at <= place { "0" } else { word.text }).collect();
        let word = words[place];
        Some(Crowded {
            span: word.start..word.start + word.text.len(),
            unit,
            per_day: rule.times_per_day(),
            once: once.join(" "),
        })
    }

    /// The fields of a timing of one expression; none of a nickname such as `@daily`.
    fn words(&self) -> Option<Vec<Word<'_>>> {
        let text = self.expressions().next()?;
        let words: Vec<_> = Word::split(text, 0, char::is_whitespace).filter(|word| !word.text.is_empty()).collect();
        (words.len() >= 5).then_some(words)
    }

    fn next_days(&self, now: DateTime<Utc>) -> Vec<NaiveDate> {
        let slots = std::iter::successors(self.next_after(now), |slot| self.next_after(*slot));
        let mut days: Vec<NaiveDate> = Vec::new();
        for day in slots.take(MOST_SLOTS).map(|slot| slot.with_timezone(&self.zone()).date_naive()) {
            if days.last() != Some(&day) {
                days.push(day);
            }
            if days.len() == EXAMPLE {
                break;
            }
        }
        days
    }
}

/// `mon#1` for `1-7` and `mon`; `monL` for the last seven days.
fn nth_of_month(days: &str, weekday: &str) -> Option<String> {
    if weekday.contains([',', '-', '/', '#']) {
        return None;
    }
    Some(match days {
        "1-7" => format!("{weekday}#1"),
        "8-14" => format!("{weekday}#2"),
        "15-21" => format!("{weekday}#3"),
        "22-28" => format!("{weekday}#4"),
        "25-31" | "24-31" => format!("{weekday}L"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::calendar::zone::Zone;

    fn timing(expression: &str) -> Timing {
        Timing::parse(&[expression], Zone::UTC, Duration::ZERO, "x").unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2027-01-15T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn months_that_lack_a_day_are_found() {
        let missing =
            |expression| timing(expression).short_month(now()).map(|found| (found.month.to_string(), found.missing));
        let february = "2027-02-01".to_owned();
        assert_eq!(missing("0 3 31 * *"), Some((february.clone(), vec![MissingDay::Day(31)])));
        assert_eq!(
            missing("0 3 1,30,31 * *"),
            Some((february.clone(), vec![MissingDay::Day(30), MissingDay::Day(31)]))
        );
        assert_eq!(missing("0 3 31W * *"), Some((february.clone(), vec![MissingDay::NearWeekday(31)])));
        assert_eq!(missing("0 3 L-30 * *"), Some((february.clone(), vec![MissingDay::FromLast(30)])));
        assert_eq!(missing("0 3 * * fri#5"), Some((february, vec![MissingDay::FifthWeekday(5)])));
        assert_eq!(missing("0 3 31 4-6 *").unwrap().0, "2027-04-01");
        assert_eq!(missing("0 0 29 1,2 *").unwrap().0, "2027-02-01");
        for whole in [
            "0 3 31 1,3,5,7,8,10,12 *",
            "0 3 28-31 * *",
            "0 3 L * *",
            "0 3 */2 * *",
            "0 3 * * mon#4",
            "@monthly",
            "0 3 29 2 *",
        ] {
            assert_eq!(missing(whole), None, "{whole}");
        }
    }

    #[test]
    fn two_restrictions_of_the_day_are_found() {
        let found = timing("0 3 1,15 * mon").either_day(now()).unwrap();
        assert_eq!(found.span, 4..14);
        let days: Vec<String> = found.next.iter().map(ToString::to_string).collect();
        assert_eq!(days, ["2027-01-18", "2027-01-25", "2027-02-01", "2027-02-08"]);
        assert_eq!((found.by_date.as_str(), found.by_weekday.as_str()), ("0 3 1,15 * *", "0 3 * * mon"));
        assert_eq!(found.nth, None);
        let nth = |expression| timing(expression).either_day(now()).and_then(|found| found.nth);
        assert_eq!(nth("0 3 1-7 * mon").as_deref(), Some("0 3 * * mon#1"));
        assert_eq!(nth("0 0 3 25-31 * 5").as_deref(), Some("0 0 3 * * 5L"));
        for one in ["0 3 1 * *", "0 3 * * mon", "0 3 */2 * mon", "0 3 ? * mon", "@weekly"] {
            assert_eq!(timing(one).either_day(now()), None, "{one}");
        }
    }

    #[test]
    fn slots_of_every_minute_are_found() {
        let found =
            |expression| timing(expression).crowded().map(|found| (found.span, found.unit, found.per_day, found.once));
        assert_eq!(found("* 3 * * *"), Some((0..1, "minute", 60, "0 3 * * *".to_owned())));
        assert_eq!(found("0 * 3,4 * * *"), Some((2..3, "minute", 120, "0 0 3,4 * * *".to_owned())));
        assert_eq!(found("* 0 3 * * *"), Some((0..1, "second", 60, "0 0 3 * * *".to_owned())));
        for spaced in ["0 * * * *", "*/2 3 * * *", "0 3 * * *", "@hourly"] {
            assert_eq!(found(spaced), None, "{spaced}");
        }
    }
}
