use super::*;

fn minute(n: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(n)
}

const HOUR: TimeDelta = TimeDelta::hours(1);

#[test]
fn a_full_image_quota_asks_for_one_pass_per_rejection_and_hour() {
    let mut timetable = Timetable::default();
    assert_eq!(timetable.quota_pass(None), None);
    assert_eq!(timetable.quota_pass(Some(minute(10))), Some(minute(10)));
    timetable.begins_for_quota(minute(11));
    assert_eq!(timetable.quota_pass(Some(minute(10))), None, "the pass came after the rejection");
    assert_eq!(timetable.quota_pass(Some(minute(20))), Some(minute(71)));
    assert_eq!(timetable.quota_pass(Some(minute(90))), Some(minute(90)));
}

#[test]
fn a_pass_that_did_not_see_everything_is_repeated_after_five_minutes_or_sooner() {
    let after = |is_whole, interval| {
        let mut timetable = Timetable::default();
        timetable.passed(minute(0), (is_whole, false), TimeDelta::minutes(interval));
        timetable.next(Prompts::default(), minute(0))
    };
    assert_eq!([after(true, 60), after(false, 60), after(false, 3)], [60, 5, 3].map(minute));
}

#[test]
fn a_pass_that_was_held_back_comes_when_the_hold_ends() {
    let mut timetable = Timetable::default();
    timetable.passed(minute(0), (false, true), HOUR);
    assert!(timetable.is_held());
    assert_eq!(timetable.next(Prompts::default(), minute(1)), minute(5));
    timetable.released(minute(1));
    assert!(!timetable.is_held());
    assert_eq!(timetable.next(Prompts::default(), minute(1)), minute(1), "an image past its grace does not wait");
    timetable.passed(minute(1), (true, false), HOUR);
    timetable.released(minute(2));
    assert_eq!(timetable.next(Prompts::default(), minute(2)), minute(61), "nothing was held back");
}

#[test]
fn the_next_pass_is_the_first_of_all_that_ask_for_one() {
    let mut timetable = Timetable::default();
    assert_eq!(timetable.next(Prompts::default(), minute(7)), minute(7), "the first is at once");
    timetable.correct(minute(7), HOUR);
    timetable.passed(minute(7), (true, false), HOUR);
    let next = |grace, refused| {
        let prompts = Prompts { grace_ends: Some(minute(grace)), quota_refused: Some(minute(refused)) };
        timetable.next(prompts, minute(9))
    };
    assert_eq!([next(100, 200), next(30, 200), next(30, 20), next(3, 200)], [67, 30, 20, 9].map(minute));
}

#[test]
fn a_clock_that_was_set_back_delays_no_pass() {
    let mut timetable = Timetable::default();
    timetable.passed(minute(1_000), (true, false), HOUR);
    timetable.begins_for_quota(minute(1_000));
    timetable.correct(minute(10), HOUR);
    assert_eq!(timetable.next(Prompts::default(), minute(10)), minute(70));
    assert_eq!(timetable.judged_at(), Some(minute(10)), "marks after it prompt a pass again");
    assert_eq!(timetable.quota_pass(Some(minute(11))), Some(minute(70)));
}

#[test]
fn the_next_pass_is_described_in_words() {
    let report = |next: NextPass| next.describe(Zone::UTC, minute(0));
    let at = "The next retention pass of the daemon is in 1h, Thu 1970-01-01 01:00 +00:00.";
    assert_eq!(report(NextPass::At(minute(60))), at);
    assert!(report(NextPass::At(minute(0))).contains("due now"));
    for (pass, words, instant) in [
        (NextPass::AtStart, "No daemon answers", Some(minute(0))),
        (NextPass::Held, "deletes nothing yet", Some(minute(0))),
        (NextPass::Never, "only observes", None),
        (NextPass::Unknown, "does not answer", Some(minute(0))),
    ] {
        assert!(report(pass).contains(words), "{pass:?}");
        assert_eq!(pass.not_before(minute(0)), instant);
    }
}
