use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{NaiveDate, TimeZone};
use proptest::prelude::*;

use super::*;
use crate::domain::{
    ids::ImageId,
    image::{DeletionState, LineImage, ObservedState},
};

/// A good image of ours in the line `golden`.
pub(crate) fn image(version: u32, slot: DateTime<Utc>) -> LineImage {
    LineImage {
        image_id: ImageId::new(format!("imgc-{version}")),
        line: "golden".into(),
        version,
        name: format!("golden-v{version}"),
        slot,
        available_at: slot,
        deletion: DeletionState::Kept,
        seen: ObservedState { available: true, ours: true, ..ObservedState::default() },
        pin: None,
        channels: vec![],
        copied_to: vec![],
        veto: None,
        unchecked: false,
    }
}

/// The rules that want each image.
fn wanted(keep: &Keep, zone: Zone, images: &[DateTime<Utc>]) -> Vec<Vec<RetentionRule>> {
    let rules = |claims: Vec<Claim>| claims.into_iter().map(|claim| claim.rule).collect();
    claims(keep, zone, images).into_iter().map(rules).collect()
}

pub(crate) fn keep() -> Keep {
    Keep {
        last: 0,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        min: 1,
        grace: Duration::from_hours(24),
        failed: None,
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The images that any rule wants.
fn kept(keep: &Keep, zone: Zone, images: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    let wanted = wanted(keep, zone, images);
    images.iter().zip(wanted).filter(|(_, rules)| !rules.is_empty()).map(|(at, _)| *at).collect()
}

/// One image a Sunday for twelve weeks, as in the manual of restic: `--keep-daily 4` keeps the last four Sundays.
#[test]
fn days_without_an_image_do_not_count() {
    let sundays: Vec<_> = (0..12).map(|week| at("2019-11-17T11:00:00Z") - TimeDelta::weeks(week)).collect();
    let kept = kept(&Keep { daily: 4, ..keep() }, Zone::UTC, &sundays);
    assert_eq!(
        kept,
        ["2019-11-17T11:00:00Z", "2019-11-10T11:00:00Z", "2019-11-03T11:00:00Z", "2019-10-27T11:00:00Z"].map(at)
    );
}

/// A hundred years of daily images under 7 daily, 5 weekly, 12 monthly and 75 yearly, as the manual of restic counts them:
/// 7 days, 4 more ends of weeks, 11 or 12 more ends of months, 74 or 75 more ends of years.
#[test]
fn a_hundred_years_come_down_to_the_published_numbers() {
    let rules = Keep { daily: 7, weekly: 5, monthly: 12, yearly: 75, ..keep() };
    // A Sunday, so that the seven days hold one end of a week.
    let last = NaiveDate::from_ymd_opt(2026, 11, 29).unwrap();
    let images: Vec<_> = last
        .iter_days()
        .rev()
        .take(36_525)
        .map(|day| Utc.from_utc_datetime(&day.and_hms_opt(3, 0, 0).unwrap()))
        .collect();
    let kept = kept(&rules, Zone::UTC, &images);
    let (days, older) = kept.split_at(7);
    assert!(days.iter().zip(&images).all(|(kept, image)| kept == image));
    let ends_a = |what: &str| {
        let ends = |at: &&DateTime<Utc>| {
            let next = **at + TimeDelta::days(1);
            match what {
                "month" => next.month() != at.month(),
                _ => next.year() != at.year(),
            }
        };
        older.iter().filter(ends).count()
    };
    // 31 December of last year ends a month and a year.
    assert_eq!((ends_a("month"), ends_a("year")), (11 + 74 - 1, 74));
    assert_eq!(older.len(), 4 + 11 + 74 - 1);
    let wanted = wanted(&rules, Zone::UTC, &images);
    let by = |rule: RetentionRule| wanted.iter().filter(|rules| rules.contains(&rule)).count();
    assert_eq!(
        [RetentionRule::Daily, RetentionRule::Weekly, RetentionRule::Monthly, RetentionRule::Yearly].map(by),
        [7, 5, 12, 75]
    );
}

#[test]
fn weeks_begin_on_monday_and_days_by_the_zones_clock() {
    // Sunday 23:30 and Monday 00:30 in Shanghai are one UTC day and two ISO weeks.
    let images = [at("2027-02-28T16:30:00Z"), at("2027-02-28T15:30:00Z")];
    assert_eq!(kept(&Keep { weekly: 2, ..keep() }, Zone::find("Asia/Shanghai").unwrap(), &images).len(), 2);
    let wanted = wanted(&Keep { daily: 1, ..keep() }, Zone::UTC, &images);
    assert_eq!(wanted, [vec![RetentionRule::Daily], vec![]]);
    // The second pass of a repeated hour is another hour; so is the half hour of zones that have one.
    let fall = [at("2027-10-31T01:10:00Z"), at("2027-10-31T00:10:00Z")];
    assert_eq!(kept(&Keep { hourly: 2, ..keep() }, Zone::find("Europe/Vienna").unwrap(), &fall).len(), 2);
    let india = [at("2027-01-01T00:40:00Z"), at("2027-01-01T00:20:00Z")];
    assert_eq!(kept(&Keep { hourly: 2, ..keep() }, Zone::find("Asia/Kolkata").unwrap(), &india).len(), 2);
}

#[test]
fn within_is_measured_from_the_newest_image() {
    let images = ["2027-03-10T00:00:00Z", "2027-03-03T00:00:00Z", "2027-03-02T23:59:59Z"].map(at);
    let keep = Keep { within: Some(Duration::from_hours(7 * 24)), ..keep() };
    assert_eq!(kept(&keep, Zone::UTC, &images), images[..2]);
}

#[test]
fn the_words_are_those_of_the_file() {
    let keep = Keep { last: 3, weekly: 2, within: Some(Duration::from_hours(36)), min: 2, ..keep() };
    assert_eq!(words(&keep), "keep = { last = 3, weekly = 2, within = \"1d 12h\", min = 2 }");
    let rest = "grace = \"1d\", failed = \"never\"";
    assert_eq!(all_words(&keep), format!("keep = {{ last = 3, weekly = 2, within = \"1d 12h\", min = 2, {rest} }}"));
    // The history compares it with what earlier versions wrote.
    assert_eq!(fingerprint(&keep), "keep = { last = 3, weekly = 2, within = \"1day 12h\", min = 2 }");
}

#[test]
fn a_claim_names_the_place_the_period_and_the_oldest() {
    let images = ["2027-03-03T03:00:00Z", "2027-03-02T03:00:00Z", "2027-03-02T02:00:00Z"].map(at);
    let keep = Keep { last: 1, hourly: 1, daily: 4, monthly: 1, yearly: 1, ..keep() };
    let claims = claims(&keep, Zone::find("Asia/Shanghai").unwrap(), &images);
    let words = |n: usize| claims[n].iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert_eq!(
        words(0),
        "the 1st of last = 1; hourly, 2027-03-03 11:00; daily, 2027-03-03; monthly, 2027-03; yearly, 2027"
    );
    assert_eq!([words(1).as_str(), words(2).as_str()], ["daily, 2027-03-02", "daily = 4, the oldest"]);
    assert_eq!(
        [1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111].map(ordinal),
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th"]
    );
}

fn rules() -> impl Strategy<Value = Keep> {
    (0u32..4, 0u32..5, 0u32..5, 0u32..4, 0u32..4, 0u32..3, prop::option::of(1u64..200)).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly, within)| Keep {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within: within.map(Duration::from_hours),
            ..keep()
        },
    )
}

/// Up to forty instants within three years, the newest first; some close together.
fn images() -> impl Strategy<Value = Vec<DateTime<Utc>>> {
    let far = prop::collection::vec(0i64..3 * 365 * 24 * 60, 0..25);
    let near = prop::collection::vec(0i64..3 * 24 * 60, 0..15);
    (far, near).prop_map(|(far, near)| {
        let minutes: BTreeSet<i64> = far.into_iter().chain(near).collect();
        minutes.into_iter().map(|minutes| at("2027-03-29T12:00:00Z") - TimeDelta::minutes(minutes)).collect()
    })
}

/// The rules in another implementation: buckets as texts, filled from the oldest on.
fn plainly(keep: &Keep, zone: Zone, images: &[DateTime<Utc>]) -> BTreeSet<DateTime<Utc>> {
    let mut kept: BTreeSet<_> = images.iter().take(keep.last as usize).copied().collect();
    for (format, count) in [
        ("%F %H %z", keep.hourly),
        ("%F", keep.daily),
        ("%G-%V", keep.weekly),
        ("%Y-%m", keep.monthly),
        ("%Y", keep.yearly),
    ] {
        let mut newest_of = BTreeMap::new();
        for at in images.iter().rev() {
            newest_of.insert(at.with_timezone(&zone).format(format).to_string(), *at);
        }
        let mut newest: Vec<_> = newest_of.into_values().collect();
        newest.sort_unstable();
        let found = newest.len().min(count as usize);
        kept.extend(newest.into_iter().rev().take(count as usize));
        // The oldest fills one of the places that are left.
        if found < count as usize {
            kept.extend(images.last());
        }
    }
    if let (Some(within), Some(newest)) = (keep.within, images.first()) {
        kept.extend(images.iter().filter(|at| (*newest - **at).to_std().is_ok_and(|age| age <= within)));
    }
    kept
}

proptest! {
    #[test]
    fn the_rules_match_another_implementation(keep in rules(), images in images(), zone in prop::sample::select(vec![
        Zone::UTC, Zone::find("Asia/Shanghai").unwrap(), Zone::find("America/New_York").unwrap(), Zone::find("Europe/Vienna").unwrap(), Zone::find("Asia/Kolkata").unwrap(),
    ])) {
        let kept: BTreeSet<_> = kept(&keep, zone, &images).into_iter().collect();
        prop_assert_eq!(kept, plainly(&keep, zone, &images));
    }

    /// What is left after the rules were carried out, the rules leave alone: passes do not eat a line up.
    #[test]
    fn a_second_pass_takes_nothing(keep in rules(), images in images()) {
        let once = kept(&keep, Zone::find("Asia/Shanghai").unwrap(), &images);
        prop_assert_eq!(kept(&keep, Zone::find("Asia/Shanghai").unwrap(), &once), once);
    }

    #[test]
    fn any_rule_keeps_the_newest(keep in rules(), images in images()) {
        let counts = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
        let has_rule = keep.within.is_some() || counts.iter().any(|count| *count > 0);
        prop_assert_eq!(kept(&keep, Zone::UTC, &images).first().copied(), images.first().copied().filter(|_| has_rule));
    }
}
