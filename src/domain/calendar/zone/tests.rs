use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone};

use super::*;

fn zone(name: &str) -> Zone {
    Zone::find(name).unwrap()
}

fn wall(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%F %R").unwrap()
}

#[test]
fn later_releases_are_newer() {
    let release = |version: &str| Release::new(version.to_owned(), "a test".to_owned(), None, Box::new(|_| None));
    let versions = ["nonsense", "2025b", "2026a", "2026f", "2026z", "2026za", "2027"];
    for pair in versions.windows(2) {
        assert!(release(pair[1]).is_newer_than(&release(pair[0])), "{pair:?}");
        assert!(!release(pair[0]).is_newer_than(&release(pair[1])), "{pair:?}");
    }
    assert_eq!(release("nonsense").year(), None);
}

#[test]
fn a_release_is_old_a_year_after_the_day_by_which_it_was_published() {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    let release =
        |version: &str, written| Release::new(version.to_owned(), "a test".to_owned(), written, Box::new(|_| None));
    let published_by = |version, written| release(version, written).published_by();
    assert_eq!(published_by("2025b", None), Some(day(2025, 12, 31)));
    assert_eq!(published_by("2025b", Some(day(2025, 3, 22))), Some(day(2025, 3, 22)));
    // Files without a date and files that were copied later do not count.
    assert_eq!(published_by("2025b", Some(day(1970, 1, 1))), Some(day(2025, 12, 31)));
    assert_eq!(published_by("2025b", Some(day(2026, 8, 1))), Some(day(2025, 12, 31)));
    assert_eq!(published_by("nonsense", Some(day(2026, 8, 1))), None);

    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let spring = release("2025b", Some(day(2025, 3, 22)));
    assert_eq!(spring.old_since(at("2026-03-21T23:59:59Z")), None);
    assert_eq!(spring.old_since(at("2026-03-22T00:00:00Z")), Some(at("2026-03-22T00:00:00Z")));
    assert_eq!(release("2025b", None).old_since(at("2026-11-26T03:00:00Z")), None);
    assert_eq!(release("nonsense", None).old_since(at("2040-01-01T00:00:00Z")), None);
}

#[test]
fn the_day_of_the_release_that_is_built_in_is_known() {
    let built_in = Release::built_in();
    assert_eq!(
        built_in.version(),
        BUILT_IN.0,
        "a new release: BUILT_IN needs its name and day, tests/data/zones.txt its reading"
    );
    assert_eq!(built_in.published_by(), Some(BUILT_IN.1));
}

#[test]
fn a_name_is_found_exactly_or_not_at_all() {
    assert_eq!(zone("Asia/Shanghai").name(), "Asia/Shanghai");
    assert_eq!(zone("UTC"), Zone::UTC);
    for name in ["asia/shanghai", "Shanghai", "", "../../etc/passwd", "Asia/Shanghai\0"] {
        assert!(Zone::find(name).is_none(), "{name:?}");
    }
    assert_eq!(
        "Mars/Base".parse::<Zone>().unwrap_err().to_string(),
        "unknown time zone `Mars/Base`; zones look like `Asia/Shanghai`"
    );
}

#[test]
fn a_zone_travels_by_its_name() {
    let json = serde_json::to_string(&zone("Europe/Vienna")).unwrap();
    assert_eq!(json, r#""Europe/Vienna""#);
    assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone("Europe/Vienna"));
    assert!(serde_json::from_str::<Zone>(r#""Mars/Base""#).is_err());
}

#[test]
fn wall_clocks_skip_and_repeat() {
    let vienna = zone("Europe/Vienna");
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let shown = |text: &str| at(text).with_timezone(&vienna).format("%F %R %Z").to_string();
    assert_eq!(shown("2027-03-28T00:59:00Z"), "2027-03-28 01:59 CET");
    assert_eq!(shown("2027-03-28T01:00:00Z"), "2027-03-28 03:00 CEST");
    assert_eq!(vienna.from_local_datetime(&wall("2027-03-28 02:30")), MappedLocalTime::None);
    let MappedLocalTime::Ambiguous(first, second) = vienna.from_local_datetime(&wall("2027-10-31 02:30")) else {
        panic!("shown twice")
    };
    assert_eq!((first.to_utc(), second.to_utc()), (at("2027-10-31T00:30:00Z"), at("2027-10-31T01:30:00Z")));
    assert_eq!(first.format("%Z").to_string(), "CEST");
    assert_eq!(second.format("%Z").to_string(), "CET");
}

#[test]
fn instants_at_the_ends_of_time_have_an_offset() {
    for zone in [Zone::UTC, zone("Asia/Shanghai"), zone("Europe/Vienna")] {
        for instant in [i64::MIN, -62_000_000_000, 0, 253_402_300_799, i64::MAX] {
            assert!(zone.offset_at(instant).abs() <= 86_400);
        }
        let _ = DateTime::<Utc>::MAX_UTC.with_timezone(&zone).naive_utc();
        let _ = zone.from_local_datetime(&NaiveDate::MAX.and_hms_opt(0, 0, 0).unwrap());
    }
}
