//! The machine of a copy: path by path, and in a small world that does its worst.

use std::borrow::Cow;

use chrono::{TimeDelta, TimeZone};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const PACE: CopyTimeouts = CopyTimeouts {
    poll_interval: Duration::from_secs(30),
    lookup_window: Duration::from_mins(5),
    retry: RetryPolicy { attempts: 3, base: Duration::from_secs(30), cap: Duration::from_mins(10), rebakes: 1 },
    deadline: Duration::from_hours(2),
};

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 3, 1, 3, 0, 0).single().expect("a real instant")
}

fn error(class: ErrorClass, code: &str) -> ApiError {
    ApiError {
        class,
        code: Some(code.to_owned()),
        message: "no".into(),
        advice: Cow::Borrowed(""),
        http_status: Some(400),
        request_id: None,
        retry_after: None,
    }
}

fn listed(status: ImageStatus) -> Event {
    Event::Observed(Ok(Observation::Listed { status, progress: Some("40%".to_owned()) }))
}

/// Lets `events` happen one after the other, each when the one before is due; the last state and effect.
fn live(events: impl IntoIterator<Item = Event>) -> (State, Effect, DateTime<Utc>) {
    let (mut state, mut effect, mut now) = (State::wanted(start()), Effect::Wait(start()), start());
    let mut rng = Rng::with_seed(1);
    for event in events {
        if let (Effect::Wait(at), Event::Due) = (effect, &event) {
            now = now.max(at);
        }
        (state, effect) = step(&state, event, now, &PACE, &mut rng);
    }
    (state, effect, now)
}

fn absent() -> Event {
    Event::Observed(Ok(Observation::Absent))
}

#[test]
fn a_region_is_certainly_empty_only_if_no_request_was_accepted_and_nothing_was_listed() {
    let asked = |class, code: &str| Event::Asked(Err(error(class, code)));
    let refused = || asked(ErrorClass::Permanent, "InvalidRegionId");
    let end = |events: Vec<Event>| match live([Event::Due, absent()].into_iter().chain(events)).0 {
        State::Failed { nothing_there, .. } => nothing_there,
        state => panic!("not failed: {state:?}"),
    };
    assert!(end(vec![refused()]));
    // A call without an answer may have been accepted, and so may one that the cloud failed to answer well.
    let maybe =
        [asked(ErrorClass::Unclear, "Timeout"), asked(ErrorClass::Transient, "InternalError"), Event::Asked(Ok(()))];
    for maybe in maybe {
        assert!(!end(vec![maybe, Event::Due, Event::Gone("no image".to_owned())]));
    }
    assert!(!end(vec![Event::Gone("no image".to_owned())]), "the call may be on its way");
    assert!(!end(vec![asked(ErrorClass::Permanent, REPEATED), Event::Due, Event::Gone("no image".to_owned())]));
    // What is listed is there; a history of before does not say what was.
    let failed = live([Event::Due, listed(ImageStatus::CreateFailed), refused()]).0;
    assert!(matches!(failed, State::Failed { nothing_there: false, .. }), "{failed:?}");
    let old: State = serde_json::from_str(r#"{"state": "failed", "reason": "no"}"#).expect("a state");
    assert!(matches!(old, State::Failed { nothing_there: false, .. }));
}

#[test]
fn an_ordinary_copy() {
    let (state, effect, _) = live([Event::Due]);
    assert_eq!((state.as_str(), effect), ("pending", Effect::Observe));
    let (state, effect, _) = live([Event::Due, absent()]);
    assert_eq!((state.as_str(), effect), ("asking", Effect::Ask));
    let (state, ..) = live([Event::Due, absent(), Event::Asked(Ok(()))]);
    assert_eq!(state.as_str(), "copying");
    let asked = [Event::Due, absent(), Event::Asked(Ok(())), Event::Due, listed(ImageStatus::InProgress)];
    let (state, ..) = live(asked.clone());
    assert_eq!((state.as_str(), state.progress()), ("copying", Some("40%")));
    let (state, effect, _) = live(asked.into_iter().chain([Event::Due, listed(ImageStatus::Available)]));
    assert_eq!((state.as_str(), effect), ("done", Effect::Done));
}

#[test]
fn what_is_there_is_never_asked_for() {
    let (state, ..) = live([Event::Due, listed(ImageStatus::Available)]);
    assert_eq!(state.as_str(), "done");
    for observation in [listed(ImageStatus::InProgress), Event::Observed(Ok(Observation::Named))] {
        let (state, ..) = live([Event::Due, observation]);
        assert_eq!(state.as_str(), "copying");
    }
}

#[test]
fn a_repeated_request_is_followed_and_counts_as_done_where_the_region_is_never_listed() {
    let repeated = Event::Asked(Err(error(ErrorClass::Permanent, REPEATED)));
    let (state, effect, now) = live([Event::Due, absent(), repeated.clone()]);
    assert_eq!(state.as_str(), "copying");
    let Effect::Wait(next) = effect else { panic!("{effect:?}") };
    let mut rng = Rng::with_seed(1);
    let (early, _) = step(&state, absent(), next, &PACE, &mut rng);
    assert_eq!(early.as_str(), "copying");
    let (late, _) = step(&early, absent(), later(now, PACE.lookup_window), &PACE, &mut rng);
    assert_eq!(
        (late.as_str(), late.reason()),
        ("done", Some("the cloud reports that the region has it, and lists no status there"))
    );
}

#[test]
fn a_lost_answer_is_polled_for_before_the_call_is_repeated() {
    for lost in [Event::Asked(Err(error(ErrorClass::Unclear, "Timeout"))), Event::Due] {
        let (state, ..) = live([Event::Due, absent(), lost.clone()]);
        assert_eq!(state.as_str(), "pending", "{lost:?}");
        let (state, effect, _) = live([Event::Due, absent(), lost.clone(), Event::Due, absent()]);
        assert_eq!(state.as_str(), "pending", "it may be listed late");
        assert!(matches!(effect, Effect::Wait(_)));
        let mut rng = Rng::with_seed(1);
        let late = later(start(), PACE.lookup_window + Duration::from_secs(10));
        let (state, effect) = step(&state, absent(), late, &PACE, &mut rng);
        assert_eq!((state.as_str(), effect), ("asking", Effect::Ask));
    }
}

#[test]
fn errors_by_class() {
    let after = |class, code: &str| live([Event::Due, absent(), Event::Asked(Err(error(class, code)))]);
    let (state, ..) = after(ErrorClass::Permanent, "ImageDistribute.ImageNotSupport");
    assert_eq!((state.as_str(), state.reason()), ("failed", Some("ImageDistribute.ImageNotSupport: no")));
    for (class, tries) in
        [(ErrorClass::Transient, 1), (ErrorClass::Busy, 0), (ErrorClass::Credential, 0), (ErrorClass::Unclear, 1)]
    {
        let (state, effect, now) = after(class, "X");
        assert_eq!(state.as_str(), "pending", "{class:?}");
        assert_eq!(state.work().map(|work| work.tries), Some(tries), "{class:?}");
        assert!(matches!(effect, Effect::Wait(at) if at > now), "{class:?}");
    }
}

#[test]
fn it_gives_up_by_the_rule_of_the_schedule() {
    let refused = || [Event::Due, absent(), Event::Asked(Err(error(ErrorClass::Transient, "Throttling.User")))];
    let (state, ..) = live(refused().into_iter().chain(refused()));
    assert_eq!(state.as_str(), "pending");
    let (state, ..) = live(refused().into_iter().chain(refused()).chain(refused()));
    assert_eq!(state.reason(), Some("gave up after 3 attempts: Throttling.User: no"));
    assert_eq!(state.as_str(), "failed");
}

#[test]
fn waiting_for_a_busy_cloud_has_an_end_and_waiting_for_credentials_has_none() {
    let mut rng = Rng::with_seed(1);
    let late = later(start(), PACE.deadline);
    for (class, word) in [(ErrorClass::Busy, "failed"), (ErrorClass::Credential, "pending")] {
        let (asking, ..) = live([Event::Due, absent()]);
        let (state, _) = step(&asking, Event::Asked(Err(error(class, "X"))), late, &PACE, &mut rng);
        assert_eq!(state.as_str(), word);
    }
}

#[test]
fn a_copy_that_fails_is_asked_for_again_and_one_that_is_stuck_given_up() {
    let copying = [Event::Due, absent(), Event::Asked(Ok(())), Event::Due];
    let (state, ..) = live(copying.clone().into_iter().chain([listed(ImageStatus::CreateFailed)]));
    assert_eq!(state.as_str(), "pending");
    let (state, effect, _) = live(copying.into_iter().chain([
        listed(ImageStatus::CreateFailed),
        Event::Due,
        listed(ImageStatus::CreateFailed),
    ]));
    assert_eq!((state.as_str(), effect), ("asking", Effect::Ask));
    let (copying, ..) = live([Event::Due, absent(), Event::Asked(Ok(()))]);
    let mut rng = Rng::with_seed(1);
    let late = later(start(), PACE.deadline);
    let (state, _) = step(&copying, listed(ImageStatus::InProgress), late, &PACE, &mut rng);
    assert!(state.reason().is_some_and(|reason| reason.starts_with("stuck: ") && reason.contains("40%")), "{state:?}");
}

#[test]
fn an_image_that_is_gone_ends_its_copies() {
    for events in [vec![], vec![Event::Due, absent()], vec![Event::Due, absent(), Event::Asked(Ok(()))]] {
        let (state, ..) = live(events.into_iter().chain([Event::Gone("the image is gone: pruned".to_owned())]));
        assert_eq!((state.as_str(), state.reason()), ("failed", Some("the image is gone: pruned")));
    }
    // One empty listing proves nothing.
    let (state, effect, _) = live([Event::Due, Event::Observed(Ok(Observation::NoImage))]);
    assert!(matches!(effect, Effect::Wait(_)), "{state:?}");
    let mut rng = Rng::with_seed(1);
    let late = later(start(), PACE.lookup_window);
    let (gone, _) = step(&state, Event::Observed(Ok(Observation::NoImage)), late, &PACE, &mut rng);
    assert_eq!(gone.as_str(), "failed");
    let (back, _) = step(&state, listed(ImageStatus::Available), late, &PACE, &mut rng);
    assert_eq!(back.as_str(), "done");
}

#[test]
fn the_history_keeps_every_state_whole() {
    for events in [vec![], vec![Event::Due, absent()], vec![Event::Due, absent(), Event::Asked(Ok(()))]] {
        let (state, ..) = live(events);
        let json = serde_json::to_string(&state).expect("plain data");
        assert_eq!(serde_json::from_str::<State>(&json).expect("what was written"), state);
    }
}

/// Effect of one call or poll in the model.
#[derive(Debug, Clone)]
enum Deed {
    /// It answers truly.
    Honest,
    /// It refuses.
    Refuse(ErrorClass),
    /// It acts, and the answer is lost.
    ActAndLose,
    /// The process dies before the call, or before its answer is taken.
    Crash { acted: bool },
    /// The clock is stepped by so many seconds.
    Step(i64),
    /// The running copy fails.
    Spoil,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Honest),
        2 => prop_oneof![
            Just(ErrorClass::Transient), Just(ErrorClass::Busy), Just(ErrorClass::Credential), Just(ErrorClass::Unclear)
        ].prop_map(Deed::Refuse),
        1 => Just(Deed::ActAndLose),
        1 => any::<bool>().prop_map(|acted| Deed::Crash { acted }),
        1 => (-20_000i64..20_000).prop_map(Deed::Step),
        1 => Just(Deed::Spoil),
    ]
}

/// A copy in the model's cloud: when it was begun, and whether it fails.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at: i64,
    fails: bool,
}

/// How long a copy takes, and how late it is listed.
const TAKES: i64 = 600;
const LISTED_AFTER: i64 = 20;

/// A region in the cloud.
#[derive(Debug, Default)]
struct Region {
    copy: Option<Begun>,
    /// Copies begun in all.
    begun: usize,
    /// True time in seconds, whatever the daemon's clock shows.
    time: i64,
}

impl Region {
    fn observation(&self) -> Observation {
        let Some(copy) = self.copy.filter(|copy| self.time >= copy.at + LISTED_AFTER) else {
            return Observation::Absent;
        };
        let status = match self.time >= copy.at + TAKES {
            true if copy.fails => ImageStatus::CreateFailed,
            true => ImageStatus::Available,
            false => ImageStatus::InProgress,
        };
        Observation::Listed { status, progress: None }
    }

    fn is_there(&self) -> bool {
        self.copy.is_some_and(|copy| !copy.fails || self.time < copy.at + TAKES)
    }

    fn ask(&mut self) -> Result<(), ApiError> {
        if self.is_there() {
            return Err(error(ErrorClass::Permanent, REPEATED));
        }
        self.copy = Some(Begun { at: self.time, fails: false });
        self.begun += 1;
        Ok(())
    }
}

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(600))]

    /// It ends in every case; it is done only if the region has it; and every call follows a poll.
    #[test]
    fn a_copy_ends_in_the_state_of_the_cloud(deeds in proptest::collection::vec(deed(), 0..40), seed in any::<u64>()) {
        let mut rng = Rng::with_seed(seed);
        let mut region = Region::default();
        let mut clock = start();
        let mut state = State::wanted(clock);
        let mut deeds = deeds.into_iter();
        let mut event = Event::Due;
        let mut observed = false;
        for iteration in 0.. {
            prop_assert!(iteration < 3000, "no end: {state:?}");
            let before = state.clone();
            let effect;
            (state, effect) = step(&state, event.clone(), clock, &PACE, &mut rng);
            // What is committed is what is read back.
            state = serde_json::from_str(&serde_json::to_string(&state).expect("plain data")).expect("what was written");
            let pass = |seconds: i64, region: &mut Region, clock: &mut DateTime<Utc>| {
                region.time += seconds;
                *clock += TimeDelta::seconds(seconds);
            };
            match effect {
                Effect::Done => break,
                Effect::Wait(at) => {
                    let wait = (at - clock).num_seconds().clamp(0, 90_000) + 1;
                    pass(wait, &mut region, &mut clock);
                    match deeds.next() {
                        Some(Deed::Step(seconds)) => {
                            clock += TimeDelta::seconds(seconds);
                            // Whatever waits for an instant of another clock is polled all the same.
                        }
                        Some(Deed::Spoil) => {
                            if let Some(copy) = region.copy.as_mut().filter(|copy| region.time < copy.at + TAKES) {
                                copy.fails = true;
                            }
                        }
                        _ => {}
                    }
                    observed = false;
                    event = Event::Due;
                }
                Effect::Observe => {
                    pass(1, &mut region, &mut clock);
                    event = match deeds.next() {
                        Some(Deed::Refuse(class)) => Event::Observed(Err(error(class, "X"))),
                        Some(Deed::ActAndLose) => Event::Observed(Err(error(ErrorClass::Transient, "Timeout"))),
                        Some(Deed::Crash { .. }) => Event::Due,
                        _ => Event::Observed(Ok(region.observation())),
                    };
                    observed = matches!(event, Event::Observed(Ok(_)));
                }
                Effect::Ask => {
                    prop_assert!(observed, "called without a poll: {before:?}");
                    prop_assert_eq!(state.as_str(), "asking", "the intent is committed first");
                    observed = false;
                    pass(1, &mut region, &mut clock);
                    event = match deeds.next() {
                        Some(Deed::Refuse(class)) => Event::Asked(Err(error(class, "X"))),
                        Some(Deed::ActAndLose) => {
                            let _ = region.ask();
                            Event::Asked(Err(error(ErrorClass::Unclear, "Timeout")))
                        }
                        Some(Deed::Crash { acted }) => {
                            if acted {
                                let _ = region.ask();
                            }
                            Event::Due
                        }
                        _ => Event::Asked(region.ask()),
                    };
                }
            }
        }
        prop_assert!(state.is_ended());
        prop_assert!(!state.reason().unwrap_or_default().is_empty());
        if state.as_str() == "done" {
            prop_assert!(region.is_there(), "done, and not there: {region:?}");
        }
        prop_assert!(region.begun <= PACE.retry.attempts as usize + 1, "{region:?}");
        // An end is an end.
        let (after, effect) = step(&state, Event::Due, clock, &PACE, &mut rng);
        prop_assert_eq!((after, effect), (state, Effect::Done));
    }
}
