use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

#[test]
fn every_form_is_understood() {
    // Thursday, 20:30 in Shanghai.
    let (now, zone) = (at("2026-11-26T12:30:00Z"), zone("Asia/Shanghai"));
    for (text, wanted) in [
        ("2026-11-26T03:00:00+08:00", "2026-11-25T19:00:00Z"),
        ("2026-11-26T03:00:00.250Z", "2026-11-26T03:00:00.250Z"),
        ("2026-11-26 03:00:00Z", "2026-11-26T03:00:00Z"),
        ("2026-11-26 03:00+01:00", "2026-11-26T02:00:00Z"),
        ("Thu 2026-11-26 03:00 +08:00", "2026-11-25T19:00:00Z"),
        ("Thursday, 2026-11-26 03:00:07 UTC", "2026-11-26T03:00:07Z"),
        ("2026-11-26 03:00 +0800", "2026-11-25T19:00:00Z"),
        ("2026-11-26 03:00", "2026-11-25T19:00:00Z"),
        ("thu 2026-11-26", "2026-11-25T16:00:00Z"),
        ("2026-11-26T03:00", "2026-11-25T19:00:00Z"),
        ("2026-11-26", "2026-11-25T16:00:00Z"),
        ("  03:00 ", "2026-11-25T19:00:00Z"),
        ("21:00", "2026-11-25T13:00:00Z"),
        ("20:30", "2026-11-26T12:30:00Z"),
        ("7:06", "2026-11-25T23:06:00Z"),
        ("today", "2026-11-25T16:00:00Z"),
        ("Yesterday", "2026-11-24T16:00:00Z"),
        ("yesterday 07:00", "2026-11-24T23:00:00Z"),
        ("tomorrow 07:00", "2026-11-26T23:00:00Z"),
        ("tonight", "2026-11-26T04:00:00Z"),
        ("now", "2026-11-26T12:30:00Z"),
        ("2d", "2026-11-24T12:30:00Z"),
        ("3h 30m", "2026-11-26T09:00:00Z"),
        ("2 days ago", "2026-11-24T12:30:00Z"),
        ("in 5h 20m", "2026-11-26T17:50:00Z"),
    ] {
        let asked: AskedTime = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(asked.instant(zone, now, Facing::Past, Edge::Start), at(wanted), "{text}");
    }
    for (text, wanted) in [
        ("03:00", "2026-11-26T19:00:00Z"),
        ("20:30", "2026-11-27T12:30:00Z"),
        ("2d", "2026-11-28T12:30:00Z"),
        ("2d ago", "2026-11-24T12:30:00Z"),
        ("2026-11-26", "2026-11-26T15:59:59.999Z"),
        ("tomorrow", "2026-11-27T15:59:59.999Z"),
        ("tonight", "2026-11-27T03:59:59.999Z"),
        ("tomorrow 07:00", "2026-11-26T23:00:00Z"),
        ("05:10 +1d", "2026-11-26T21:10:00Z"),
    ] {
        let asked: AskedTime = text.parse().unwrap();
        assert_eq!(asked.instant(zone, now, Facing::Future, Edge::End), at(wanted), "{text}");
    }
}

#[test]
fn tonight_is_what_is_left_of_it_ahead_and_all_of_it_behind() {
    let zone = zone("Asia/Shanghai");
    let tonight: AskedTime = "tonight".parse().unwrap();
    // At 02:00, 09:00 and 20:00 in Shanghai.
    for (now, from, to, left) in [
        ("2026-11-25T18:00:00Z", "2026-11-25T04:00:00Z", "2026-11-26T04:00:00Z", "2026-11-25T18:00:00Z"),
        ("2026-11-26T01:00:00Z", "2026-11-26T04:00:00Z", "2026-11-27T04:00:00Z", "2026-11-26T04:00:00Z"),
        ("2026-11-26T12:00:00Z", "2026-11-26T04:00:00Z", "2026-11-27T04:00:00Z", "2026-11-26T12:00:00Z"),
    ] {
        assert_eq!(tonight.span(zone, at(now), Facing::Past), (at(from), at(to)), "{now}");
        assert_eq!(tonight.span(zone, at(now), Facing::Future), (at(left), at(to)), "{now}");
    }
}

#[test]
fn what_is_no_time_is_refused_with_examples() {
    for text in [
        "",
        "5x",
        "25:00",
        "2026-13-01",
        "26-11-2026",
        "1-2-3",
        "someday",
        "Thu",
        "Thu 03:00",
        "03:00 +99:00",
        "yesterday noon",
    ] {
        let error = text.parse::<AskedTime>().unwrap_err();
        let has_examples = error.to_string().contains("`tomorrow 07:00`");
        assert!(has_examples || matches!(error, TimeError::Meant(_)), "{text}: {error}");
    }
    for (text, error) in [
        ("999999999d", "that is too long; at most 10 years"),
        ("in 999999999d", "that is too long; at most 10 years"),
        ("99999999999999999999d ago", "that is too long; at most 10 years"),
        ("5M", "the `M` would be months; write `m` for minutes, or days"),
    ] {
        assert_eq!(text.parse::<AskedTime>().unwrap_err().to_string(), error, "{text}");
    }
    let error = "Fri 2026-11-26 03:00".parse::<AskedTime>().unwrap_err();
    assert_eq!(error.to_string(), "2026-11-26 is a Thu, not a Fri");
}

#[test]
fn a_time_that_the_clock_skips_is_the_first_one_after_and_one_that_it_repeats_is_both() {
    let (now, zone) = (at("2027-11-26T12:30:00Z"), zone("Europe/Vienna"));
    let span = |text: &str| text.parse::<AskedTime>().unwrap().span(zone, now, Facing::Past);
    assert_eq!(span("2027-03-28 02:30"), (at("2027-03-28T01:00:00Z"), at("2027-03-28T01:01:00Z")));
    assert_eq!(span("2027-10-31 02:30"), (at("2027-10-31T00:30:00Z"), at("2027-10-31T01:31:00Z")));
    // A day of 25 hours.
    assert_eq!(span("2027-10-31"), (at("2027-10-30T22:00:00Z"), at("2027-10-31T23:00:00Z")));
}

proptest! {
    /// Whatever is printed is taken, and means what was printed.
    #[test]
    fn what_is_shown_is_understood(seconds in 0i64..7_000_000_000, of in 0usize..6) {
        let zone = zone(["UTC", "Asia/Shanghai", "Europe/Vienna", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"][of]);
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        let now = self::at("2026-11-26T12:30:00Z");
        for (shown, wanted) in [
            (show(at, zone), at),
            (show_minute(at, zone), DateTime::from_timestamp(seconds - seconds % 60, 0).unwrap()),
            (rfc3339(at), at),
            (show_day(at, zone), {
                let day = at.with_timezone(&zone).date_naive().and_time(NaiveTime::MIN);
                first_at(day, zone)
            }),
            (rfc3339_seconds(at), at),
        ] {
            // Some zones had an offset with seconds, which `%:z` does not show.
            prop_assume!(zone.offset_at(seconds) % 60 == 0);
            let asked: AskedTime = shown.parse().map_err(|error| TestCaseError::fail(format!("{shown}: {error}")))?;
            prop_assert_eq!(asked.instant(zone, now, Facing::Past, Edge::Start), wanted, "{}", shown);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", now in 0i64..7_000_000_000) {
        let now = DateTime::from_timestamp(now, 0).unwrap();
        if let Ok(asked) = text.parse::<AskedTime>() {
            asked.span(Zone::UTC, now, Facing::Past);
            asked.span(Zone::UTC, now, Facing::Future);
        }
    }
}
