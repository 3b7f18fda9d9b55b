//! What a night is, and what a person calls it at an hour: the one definition of "tonight", for the word on a command line, the
//! sum of a plan, and the timelines of the page. A night is the time from noon to noon, so that each slot belongs to one.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike as _, Utc};

use crate::domain::calendar::{wall::first_at, zone::Zone};

/// First hour of the morning: the night before it is over for a reader, although it lasts until noon.
const MORNING: u32 = 6;
/// First hour of the next night.
const NOON: u32 = 12;

/// What a person calls a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NightName {
    /// It is over.
    Last,
    /// It is morning, and slots until noon belong to it.
    LastAndMorning,
    /// It comes, or it is on.
    Tonight,
}

impl NightName {
    /// As a heading.
    pub fn label(self) -> &'static str {
        match self {
            Self::Last => "Last night",
            Self::LastAndMorning => "Last night and this morning",
            Self::Tonight => "Tonight",
        }
    }
}

/// The time of a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What it is called.
    pub name: NightName,
    /// Noon at its begin.
    pub from: DateTime<Utc>,
    /// The next noon, which does not belong to it.
    pub to: DateTime<Utc>,
}

impl Window {
    /// Whether an instant belongs to it.
    pub fn has(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.to
    }
}

/// The night from noon of this date to the next noon.
fn from_noon_of(date: NaiveDate, name: NightName, zone: Zone) -> Window {
    let noon = NaiveTime::MIN + TimeDelta::hours(i64::from(NOON));
    let next = date.succ_opt().unwrap_or(date);
    Window { name, from: first_at(date.and_time(noon), zone), to: first_at(next.and_time(noon), zone) }
}

/// The two nights that are shown: the current one first while it is on, else in their order.
pub fn windows(zone: Zone, now: DateTime<Utc>) -> [Window; 2] {
    let local = now.with_timezone(&zone);
    let window = |name, days: i64| {
        let date = local.date_naive().checked_add_signed(TimeDelta::days(days));
        from_noon_of(date.unwrap_or_else(|| local.date_naive()), name, zone)
    };
    match local.hour() {
        ..MORNING => [window(NightName::Tonight, -1), window(NightName::Last, -2)],
        MORNING..NOON => [window(NightName::LastAndMorning, -1), window(NightName::Tonight, 0)],
        _ => [window(NightName::Last, -1), window(NightName::Tonight, 0)],
    }
}

/// The night that is called tonight: the current one until 06:00, later the coming one.
pub fn tonight(zone: Zone, now: DateTime<Utc>) -> Window {
    let [first, other] = windows(zone, now);
    if first.name == NightName::Tonight { first } else { other }
}

/// First instant after the night that an instant belongs to: the next noon.
pub fn end_of(zone: Zone, at: DateTime<Utc>) -> DateTime<Utc> {
    let local = at.with_timezone(&zone);
    let days = if local.hour() < NOON { -1 } else { 0 };
    let date = local.date_naive().checked_add_signed(TimeDelta::days(days));
    from_noon_of(date.unwrap_or_else(|| local.date_naive()), NightName::Tonight, zone).to
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: [&str; 6] =
        ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];

    /// Days around changes of the clock in most of these zones, and an ordinary one.
    const DAYS: [&str; 6] = ["2027-03-13", "2027-03-27", "2027-04-03", "2027-10-02", "2027-10-30", "2027-06-15"];

    fn local(zone: Zone, day: &str, hour: u32, minute: u32) -> DateTime<Utc> {
        let day: chrono::NaiveDate = day.parse().unwrap();
        first_at(day.and_hms_opt(hour, minute, 0).unwrap(), zone)
    }

    #[test]
    fn a_night_has_the_name_that_a_person_gives_it_at_that_hour() {
        use NightName::{Last, LastAndMorning, Tonight};
        let zone: Zone = "Asia/Shanghai".parse().unwrap();
        let (second, third, fourth) = ("2027-03-02", "2027-03-03", "2027-03-04");
        for (hour, minute, first, other) in [
            (0, 0, (Tonight, second), (Last, "2027-03-01")),
            (2, 40, (Tonight, second), (Last, "2027-03-01")),
            (5, 59, (Tonight, second), (Last, "2027-03-01")),
            (6, 0, (LastAndMorning, second), (Tonight, third)),
            (8, 0, (LastAndMorning, second), (Tonight, third)),
            (11, 59, (LastAndMorning, second), (Tonight, third)),
            (12, 0, (Last, second), (Tonight, third)),
            (18, 0, (Last, second), (Tonight, third)),
            (23, 59, (Last, second), (Tonight, third)),
        ] {
            let shown = windows(zone, local(zone, third, hour, minute)).map(|window| (window.name, window.from));
            let want = [first, other].map(|(name, day)| (name, local(zone, day, 12, 0)));
            assert_eq!(shown, want, "{hour}:{minute:02}");
        }
        assert_eq!(windows(zone, local(zone, third, 23, 0))[1].to, local(zone, fourth, 12, 0));
    }

    #[test]
    fn at_any_quarter_of_an_hour_in_any_zone_the_nights_are_the_right_ones() {
        for (zone, day) in ZONES.iter().flat_map(|zone| DAYS.map(|day| (zone.parse::<Zone>().unwrap(), day))) {
            let begin = local(zone, day, 0, 0);
            for now in (0..3 * 96).map(|quarter| begin + TimeDelta::minutes(15 * quarter)) {
                let [first, other] = windows(zone, now);
                let (last, tonight) = if first.name == NightName::Tonight { (other, first) } else { (first, other) };
                assert_eq!(last.to, tonight.from, "{now} in {zone}");
                let hour = now.with_timezone(&zone).hour();
                assert_eq!(first.name == NightName::Tonight, hour < MORNING, "{now} in {zone}");
                // It is never shown as over while it is dark, and what has not come is not last night.
                assert_eq!(tonight.has(now), !(MORNING..NOON).contains(&hour), "{now} in {zone}");
                assert_eq!(last.has(now), last.name == NightName::LastAndMorning, "{now} in {zone}");
                assert!(last.from < now && now < tonight.to, "{now} in {zone}");
                assert_eq!(self::tonight(zone, now), tonight, "{now} in {zone}");
                let own = if last.has(now) { last } else { tonight };
                assert_eq!(end_of(zone, now), own.to, "{now} in {zone}");
                let length = tonight.to - tonight.from;
                assert!((23..=25).contains(&length.num_hours()), "{now} in {zone}: {length}");
            }
        }
    }
}
