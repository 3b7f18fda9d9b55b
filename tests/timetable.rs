//! The timetable against an oracle without its arithmetic: the oracle steps through time by seconds or minutes, reads the local
//! time, and applies the two rules of clock changes as they are documented.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use imagebaked::domain::calendar::Timing;
use imagebaked::domain::calendar::zone::Zone;
use proptest::prelude::*;

fn timing<S: AsRef<str>>(expressions: &[S], zone: Zone) -> Timing {
    Timing::parse(expressions, zone, Duration::ZERO, "golden").unwrap()
}

fn utc(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, month, day, hour, minute, 0).unwrap()
}

/// A cron expression of numbers, lists, ranges and steps, in the simplest form.
struct Oracle {
    /// Bit n of a field is the value n.
    fields: Vec<u64>,
    both_days: bool,
    fixed: bool,
}

impl Oracle {
    fn new(expression: &str) -> Self {
        let mut words: Vec<&str> = expression.split(' ').collect();
        if words.len() == 5 {
            words.insert(0, "0");
        }
        let limits = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let fields = words.iter().zip(limits).map(|(word, (min, max))| {
            let mut values = 0;
            for item in word.split(',') {
                let (range, step) = item.split_once('/').unwrap_or((item, "1"));
                let (low, high) = match range.split_once('-') {
                    Some((low, high)) => (low.parse().unwrap(), high.parse().unwrap()),
                    None if range == "*" => (min, max),
                    None => (range.parse().unwrap(), range.parse().unwrap()),
                };
                values |= (low..=high).step_by(step.parse().unwrap()).fold(0, |all, value: u32| all | 1 << value);
            }
            values
        });
        Self {
            fields: fields.collect(),
            both_days: words[3].starts_with('*') || words[5].starts_with('*'),
            fixed: !words[..3].iter().any(|word| word.contains(['*', '-', '/'])),
        }
    }

    fn matches(&self, wall: &Wall) -> bool {
        let has = |field: usize| self.fields[field] >> wall.parts[field] & 1 == 1;
        has(0) && has(1) && has(2) && has(4) && if self.both_days { has(3) && has(5) } else { has(3) || has(5) }
    }

    fn slots(&self, walk: &[(DateTime<Utc>, Wall)]) -> Vec<DateTime<Utc>> {
        let step = walk[1].0.timestamp() - walk[0].0.timestamp();
        let stride = usize::try_from(step).unwrap();
        let mut shown = walk[0].1.seconds;
        let mut slots = Vec::new();
        for (instant, wall) in &walk[1..] {
            let mut hit = self.matches(wall);
            if self.fixed {
                // A skipped time counts at the first instant at which the wall clock passes it.
                hit &= wall.seconds > shown;
                hit |= (shown + step..wall.seconds).step_by(stride).any(|skipped| self.matches(&Wall::at(skipped)));
                shown = shown.max(wall.seconds);
            }
            slots.extend(hit.then_some(*instant));
        }
        slots
    }
}

/// A local date and time.
struct Wall {
    /// Seconds since 1970, as if the local time were UTC.
    seconds: i64,
    /// The values in the order of a cron expression of six fields.
    parts: [u32; 6],
}

impl Wall {
    fn at(seconds: i64) -> Self {
        let wall = DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
        let weekday = wall.weekday().num_days_from_sunday();
        Self { seconds, parts: [wall.second(), wall.minute(), wall.hour(), wall.day(), wall.month(), weekday] }
    }
}

fn walk(zone: Zone, from: DateTime<Utc>, to: DateTime<Utc>, step: i64) -> Vec<(DateTime<Utc>, Wall)> {
    (from.timestamp()..=to.timestamp())
        .step_by(usize::try_from(step).unwrap())
        .map(|second| DateTime::from_timestamp(second, 0).unwrap())
        .map(|instant| (instant, Wall::at(instant.with_timezone(&zone).naive_local().and_utc().timestamp())))
        .collect()
}

/// Compares the slots forwards, backwards and by their number.
fn compare(timing: &Timing, expected: &[DateTime<Utc>], from: DateTime<Utc>, to: DateTime<Utc>) {
    let what = || format!("{:?} in {}", timing.expressions().collect::<Vec<_>>(), timing.zone());
    let found: Vec<_> = timing.between(from, to).collect();
    if let Some((found, expected)) = found.iter().zip(expected).find(|(found, expected)| found != expected) {
        panic!("{}: found {found}, expected {expected}", what());
    }
    assert_eq!(found.len(), expected.len(), "{}", what());
    let before = |slot: DateTime<Utc>| timing.last_until(slot - TimeDelta::seconds(1));
    let mut back: Vec<_> =
        std::iter::successors(timing.last_until(to), |slot| before(*slot)).take_while(|slot| *slot > from).collect();
    back.reverse();
    assert_eq!(back, expected, "{} backwards", what());
    assert_eq!(timing.count(from, to), expected.len() as u64, "{} counted", what());
}

const RULES: [&str; 16] = [
    "0 * * * *",
    "*/30 1 * * *",
    "* 2 * * *",
    "*/17 0-3 * * 0",
    "30 2 * * *",
    "15,45 1,2 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "59 23 * * *",
    "0,1,30 0,23 * * *",
    "0 3 * * 1-5",
    "30 0 30 * *",
    "0 12 31 12 *",
    "0,30 2 1-7 * 0",
    "30 2 */2 * 0",
    "0 0 1,30 * *",
];

fn year_of(zone: Zone, year: i32) {
    // Two days more on either side, for zones whose year differs from that of UTC.
    let (from, to) = (utc(year - 1, 12, 30, 0, 0), utc(year + 1, 1, 3, 0, 0));
    let walk = walk(zone, from, to, 60);
    let mut all = Vec::new();
    for rule in RULES {
        let slots = Oracle::new(rule).slots(&walk);
        compare(&timing(&[rule], zone), &slots, from, to);
        all.push(slots);
    }
    for union in [&[0, 1, 4][..], &[4, 5], &[2, 5, 6, 11], &[6, 7, 9, 15]] {
        let rules: Vec<&str> = union.iter().map(|index| RULES[*index]).collect();
        let slots: BTreeSet<_> = union.iter().flat_map(|index| all[*index].iter().copied()).collect();
        compare(&timing(&rules, zone), &slots.into_iter().collect::<Vec<_>>(), from, to);
    }
}

macro_rules! years {
    ($($test:ident: $zone:expr, $year:expr;)*) => {
        mod year {
            $(#[test] fn $test() { super::year_of($zone, $year); })*
        }
    };
}

years! {
    new_york: imagebaked::domain::calendar::zone::Zone::find("America/New_York").unwrap(), 2026;
    london: imagebaked::domain::calendar::zone::Zone::find("Europe/London").unwrap(), 2026;
    dublin_where_winter_is_the_exception: imagebaked::domain::calendar::zone::Zone::find("Europe/Dublin").unwrap(), 2025;
    lord_howe_by_half_an_hour: imagebaked::domain::calendar::zone::Zone::find("Australia/Lord_Howe").unwrap(), 2026;
    santiago_at_midnight: imagebaked::domain::calendar::zone::Zone::find("America/Santiago").unwrap(), 2026;
    beirut_at_midnight: imagebaked::domain::calendar::zone::Zone::find("Asia/Beirut").unwrap(), 2026;
    st_johns_a_minute_past_midnight: imagebaked::domain::calendar::zone::Zone::find("America/St_Johns").unwrap(), 2010;
    apia_without_a_day: imagebaked::domain::calendar::zone::Zone::find("Pacific/Apia").unwrap(), 2011;
    casablanca_around_ramadan: imagebaked::domain::calendar::zone::Zone::find("Africa/Casablanca").unwrap(), 2026;
    shanghai: imagebaked::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(), 2026;
    shanghai_in_its_summer_time: imagebaked::domain::calendar::zone::Zone::find("Asia/Shanghai").unwrap(), 1988;
    utc: imagebaked::domain::calendar::zone::Zone::UTC, 2024;
    vienna: imagebaked::domain::calendar::zone::Zone::find("Europe/Vienna").unwrap(), 2026;
    troll_by_two_hours: imagebaked::domain::calendar::zone::Zone::find("Antarctica/Troll").unwrap(), 2026;
    tehran_at_midnight: imagebaked::domain::calendar::zone::Zone::find("Asia/Tehran").unwrap(), 2022;
}

#[test]
fn seconds_around_clock_changes() {
    let nights = [
        (imagebaked::domain::calendar::zone::Zone::find("Europe/Vienna").unwrap(), utc(2026, 3, 28, 22, 0)),
        (imagebaked::domain::calendar::zone::Zone::find("Europe/Vienna").unwrap(), utc(2026, 10, 24, 22, 0)),
        (imagebaked::domain::calendar::zone::Zone::find("Australia/Lord_Howe").unwrap(), utc(2026, 4, 4, 12, 0)),
        (imagebaked::domain::calendar::zone::Zone::find("Australia/Lord_Howe").unwrap(), utc(2026, 10, 3, 12, 0)),
        (imagebaked::domain::calendar::zone::Zone::find("Asia/Beirut").unwrap(), utc(2026, 10, 24, 18, 0)),
    ];
    let rules = ["*/7 30 2 * * *", "0,59 59 1,2 * * *", "15 30 2 * * *", "1-3 */10 * * * *", "0 0 0 * * *"];
    for (zone, from) in nights {
        let to = from + TimeDelta::hours(12);
        let walk = walk(zone, from, to, 1);
        for rule in rules {
            compare(&timing(&[rule], zone), &Oracle::new(rule).slots(&walk), from, to);
        }
        let slots: BTreeSet<_> = rules.iter().flat_map(|rule| Oracle::new(rule).slots(&walk)).collect();
        compare(&timing(&rules, zone), &slots.into_iter().collect::<Vec<_>>(), from, to);
    }
}

/// The expected slots are written by hand, so that an error of the oracle shows.
#[test]
fn nights_worked_out_by_hand() {
    let local = |expression: &str, zone: Zone, from: DateTime<Utc>, hours: i64| -> Vec<String> {
        timing(&[expression], zone)
            .between(from, from + TimeDelta::hours(hours))
            .map(|slot| slot.with_timezone(&zone).format("%d %H:%M%:z").to_string())
            .collect()
    };
    let new_york = imagebaked::domain::calendar::zone::Zone::find("America/New_York").unwrap();
    let (spring, autumn) = (utc(2026, 3, 8, 5, 0), utc(2026, 11, 1, 4, 0));
    assert_eq!(local("30 2 * * *", new_york, spring, 23), ["08 03:00-04:00"]);
    assert_eq!(local("15,45 2 * * *", new_york, spring, 23), ["08 03:00-04:00"]);
    assert_eq!(local("0-30/30 2 * * *", new_york, spring, 23), [""; 0]);
    assert_eq!(local("30 1 * * *", new_york, autumn, 20), ["01 01:30-04:00"]);
    assert_eq!(
        local("*/30 1 * * *", new_york, autumn, 20),
        ["01 01:00-04:00", "01 01:30-04:00", "01 01:00-05:00", "01 01:30-05:00"]
    );
    assert_eq!(local("H 1 * * *", new_york, autumn, 20).len(), 1);
    assert_eq!(local("H/30 1 * * *", new_york, autumn, 20).len(), 4);
    let apia = imagebaked::domain::calendar::zone::Zone::find("Pacific/Apia").unwrap();
    let skipped = utc(2011, 12, 29, 9, 0);
    assert_eq!(local("0 3 * * *", apia, skipped, 48), ["29 03:00-10:00", "31 00:00+14:00", "31 03:00+14:00"]);
    assert_eq!(local("0 3 30 * *", apia, skipped, 48), ["31 00:00+14:00"]);
    assert_eq!(local("0-0 3 30 * *", apia, skipped, 48), [""; 0]);
    let beirut = imagebaked::domain::calendar::zone::Zone::find("Asia/Beirut").unwrap();
    assert_eq!(local("0 0 * * *", beirut, utc(2026, 3, 28, 12, 0), 24), ["29 01:00+03:00"]);
    assert_eq!(local("30 23 * * *", beirut, utc(2026, 10, 24, 12, 0), 24), ["24 23:30+03:00"]);
}

#[test]
fn a_year_in_vienna_has_all_its_hours_days_and_months() {
    let vienna = imagebaked::domain::calendar::zone::Zone::find("Europe/Vienna").unwrap();
    let new_year = |year| vienna.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap().to_utc() - TimeDelta::seconds(1);
    for (expression, slots) in
        [("@hourly", 8760), ("@daily", 365), ("@monthly", 12), ("@yearly", 1), ("30 2 * * *", 365)]
    {
        let timing = timing(&[expression], vienna);
        assert_eq!(timing.between(new_year(2026), new_year(2027)).count(), slots, "{expression}");
        assert_eq!(timing.count(new_year(2026), new_year(2027)), slots as u64, "{expression}");
    }
}

#[test]
fn slots_end_with_the_year_2200_and_begin_with_1970() {
    let yearly = timing(&["@yearly"], imagebaked::domain::calendar::zone::Zone::UTC);
    assert_eq!(yearly.next_after(utc(2199, 12, 31, 23, 59)), Some(utc(2200, 1, 1, 0, 0)));
    assert_eq!(yearly.next_after(utc(2200, 1, 1, 0, 0)), None);
    assert_eq!(yearly.next_after(DateTime::<Utc>::MIN_UTC), Some(utc(1970, 1, 1, 0, 0)));
    assert_eq!(yearly.last_until(utc(1970, 1, 1, 0, 0)), Some(utc(1970, 1, 1, 0, 0)));
    assert_eq!(yearly.last_until(utc(1969, 12, 31, 0, 0)), None);
    assert_eq!(yearly.last_until(DateTime::<Utc>::MAX_UTC), Some(utc(2200, 1, 1, 0, 0)));
    assert_eq!(yearly.count(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), 231);
    let leap = timing(&["0 0 29 2 *"], imagebaked::domain::calendar::zone::Zone::UTC);
    assert_eq!(leap.next_after(utc(2096, 3, 1, 0, 0)), Some(utc(2104, 2, 29, 0, 0)));
    assert_eq!(leap.last_until(utc(2104, 2, 28, 0, 0)), Some(utc(2096, 2, 29, 0, 0)));
    assert_eq!(
        timing::<&str>(&[], imagebaked::domain::calendar::zone::Zone::UTC).next_after(utc(2026, 1, 1, 0, 0)),
        None
    );
}

/// A day field with its text and, by definition, its days.
#[derive(Debug, Clone, Copy)]
enum ByDate {
    Any,
    Day(u32),
    FromLast(u32),
    Near(u32),
    LastWeekday,
}

#[derive(Debug, Clone, Copy)]
enum ByWeekday {
    Any,
    Every(u32),
    Nth(u32, u32),
    Last(u32),
}

fn working(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

fn days_of_month(date: NaiveDate) -> impl DoubleEndedIterator<Item = NaiveDate> + Clone {
    (1..=31).filter_map(move |day| date.with_day(day))
}

impl ByDate {
    fn text(self) -> String {
        match self {
            Self::Any => "*".into(),
            Self::Day(day) => day.to_string(),
            Self::FromLast(0) => "L".into(),
            Self::FromLast(back) => format!("L-{back}"),
            Self::Near(day) => format!("{day}W"),
            Self::LastWeekday => "LW".into(),
        }
    }

    fn matches(self, date: NaiveDate) -> bool {
        let mut days = days_of_month(date);
        match self {
            Self::Any => true,
            Self::Day(day) => date.day() == day,
            Self::FromLast(back) => days.next_back().unwrap().day() - date.day() == back,
            Self::Near(day) => date.with_day(day).is_some_and(|aim| {
                let distance = |day: &NaiveDate| (*day - aim).num_days().abs();
                days.filter(|day| working(*day)).min_by_key(distance) == Some(date)
            }),
            Self::LastWeekday => days.rfind(|day| working(*day)) == Some(date),
        }
    }
}

impl ByWeekday {
    fn text(self) -> String {
        match self {
            Self::Any => "*".into(),
            Self::Every(day) => day.to_string(),
            Self::Nth(day, nth) => format!("{day}#{nth}"),
            Self::Last(day) => format!("{day}L"),
        }
    }

    fn matches(self, date: NaiveDate) -> bool {
        let same =
            |weekday: u32| days_of_month(date).filter(move |day| day.weekday().num_days_from_sunday() == weekday);
        match self {
            Self::Any => true,
            Self::Every(weekday) => date.weekday().num_days_from_sunday() == weekday,
            Self::Nth(weekday, nth) => same(weekday).nth(nth as usize - 1) == Some(date),
            Self::Last(weekday) => same(weekday).next_back() == Some(date),
        }
    }
}

fn by_date() -> impl Strategy<Value = ByDate> {
    prop_oneof![
        Just(ByDate::Any),
        (1_u32..=31).prop_map(ByDate::Day),
        (28_u32..=31).prop_map(ByDate::Day),
        (0_u32..=30).prop_map(ByDate::FromLast),
        (28_u32..=30).prop_map(ByDate::FromLast),
        (1_u32..=31).prop_map(ByDate::Near),
        Just(ByDate::LastWeekday),
    ]
}

fn by_weekday() -> impl Strategy<Value = ByWeekday> {
    prop_oneof![
        Just(ByWeekday::Any),
        (0_u32..=6).prop_map(ByWeekday::Every),
        (0_u32..=6, 1_u32..=5).prop_map(|(day, nth)| ByWeekday::Nth(day, nth)),
        (0_u32..=6).prop_map(ByWeekday::Last),
    ]
}

fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..4_000_000_000).prop_map(|second| DateTime::from_timestamp(second, 500).unwrap())
}

fn zone() -> impl Strategy<Value = Zone> {
    prop::sample::select(imagebaked::domain::calendar::zone::names().filter_map(Zone::find).collect::<Vec<_>>())
}

fn expression() -> impl Strategy<Value = String> {
    let minute = prop::sample::select(vec!["0", "*/20", "H", "H/15", "10-40/10", "59", "1,31", "*"]);
    let hour = prop::sample::select(vec!["*", "0", "1,2,3", "*/6", "H(0-4)", "23", "0-4"]);
    let day = prop::sample::select(vec!["*", "*", "1", "L", "15W", "*/2", "30,31"]);
    let weekday = prop::sample::select(vec!["*", "*", "sun", "friL", "mon#1", "sat-mon"]);
    (minute, hour, day, weekday).prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

/// 150 cases, or as many as `PROPTEST_CASES` asks for.
fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { asked } else { ProptestConfig { cases: 150, ..asked } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_expression_is_refused_exactly_if_no_day_of_four_centuries_matches(
        date in by_date(), month in 1_u32..=12, weekday in by_weekday(),
    ) {
        let expression = format!("0 0 {} {month} {}", date.text(), weekday.text());
        let both = matches!(date, ByDate::Any) || matches!(weekday, ByWeekday::Any);
        let days = |years: std::ops::Range<i32>| {
            years.filter_map(|year| NaiveDate::from_ymd_opt(year, month, 1)).flat_map(days_of_month).filter(|day| {
                let (date, weekday) = (date.matches(*day), weekday.matches(*day));
                if both { date && weekday } else { date || weekday }
            })
        };
        let parsed = Timing::parse(&[&expression], imagebaked::domain::calendar::zone::Zone::UTC, Duration::ZERO, "x");
        prop_assert_eq!(parsed.is_ok(), days(2000..2400).next().is_some(), "{}", expression);
        if let Ok(timing) = parsed {
            let found: Vec<_> =
                timing.between(utc(2025, 12, 31, 12, 0), utc(2035, 12, 31, 12, 0)).map(|slot| slot.date_naive()).collect();
            prop_assert_eq!(found, days(2026..2036).collect::<Vec<_>>(), "{}", expression);
        }
    }

    #[test]
    fn slots_increase_and_can_be_found_again(
        rules in prop::collection::vec(expression(), 1..4), zone in zone(), from in instant(), days in 1_i64..40,
    ) {
        let timing = timing(&rules, zone);
        let to = from + TimeDelta::days(days);
        let mut slots = Vec::new();
        let mut at = from;
        while let Some(next) = timing.next_after(at).filter(|next| *next <= to) {
            prop_assert!(next > at);
            prop_assert_eq!(timing.last_until(next), Some(next));
            prop_assert_eq!(timing.next_after(next - TimeDelta::nanoseconds(1)), Some(next));
            if at > from {
                prop_assert_eq!(timing.last_until(next - TimeDelta::nanoseconds(1)), Some(at));
            }
            slots.push(next);
            at = next;
        }
        prop_assert_eq!(timing.count(from, to), slots.len() as u64);
        prop_assert_eq!(timing.between(from, to).collect::<Vec<_>>(), slots);
    }

    #[test]
    fn jitter_is_stable_and_ends_before_the_next_slot(
        rule in expression(), zone in zone(), from in instant(), jitter in 0_u64..200_000, id in "[a-z]{1,8}",
    ) {
        let jitter = Duration::from_secs(jitter);
        let timing = Timing::parse(&[&rule], zone, jitter, "x").unwrap();
        let slot = timing.next_after(from).unwrap();
        let begin = timing.begin(slot, &id);
        prop_assert_eq!(begin, timing.begin(slot, &id));
        prop_assert!(begin >= slot && begin < timing.next_after(slot).unwrap());
        prop_assert!(begin == slot || begin - slot < TimeDelta::from_std(jitter).unwrap());
    }
}
