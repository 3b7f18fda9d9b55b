//! Each documented path of a bake by its name. What no path may ever do is in `transition_model.rs`.

use std::sync::Arc;

use chrono::{TimeDelta, TimeZone};

use super::*;
use crate::domain::ids::{BakeId, ImageId};
use crate::domain::{
    api::gmt_offset::GmtOffset,
    bake::{
        Trigger,
        settings::{self, BakeSettings, IfConnected, RetryPolicy},
    },
    hooks::Hooks,
};

pub(super) const POLL: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_mins(5);

/// The slot of every bake here.
pub fn slot() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 3, 0, 0).single().expect("a real instant")
}

pub fn settings() -> BakeSettings {
    BakeSettings {
        instance_region: "cn-shanghai".into(),
        tags: [("team".to_owned(), "desktops".to_owned())].into(),
        image_name: "golden-{slot:%Y%m%d-%H%M}-v{version}".into(),
        deadline: Duration::from_hours(2),
        build_deadline: Duration::from_hours(6),
        retry: RetryPolicy { attempts: 3, base: Duration::from_secs(30), cap: Duration::from_mins(10), rebakes: 0 },
        ..settings::example()
    }
}

/// A bake in the queue, due at the slot.
pub fn a_bake(settings: Arc<BakeSettings>) -> Bake {
    Bake {
        id: BakeId(1),
        schedule_id: "golden".into(),
        schedule: "golden".into(),
        instance_id: "ecd-1".into(),
        line: "golden".into(),
        slot: slot(),
        trigger: Trigger::Slot,
        give_up_at: settings.give_up_at(slot(), slot()),
        settings,
        state: State::Queued { not_before: slot(), suspended: None },
    }
}

pub fn error(class: ErrorClass, code: &str) -> ApiError {
    ApiError {
        class,
        code: Some(code.to_owned()),
        message: "the cloud's words".to_owned(),
        advice: "".into(),
        http_status: Some(400),
        request_id: None,
        retry_after: None,
    }
}

/// Of a daemon that has run for long: nothing is searched for without need.
pub fn pace() -> PollPolicy {
    PollPolicy {
        poll_interval: POLL,
        lookup_window: WINDOW,
        owner: "ops".into(),
        search_until: None,
        gmt_offset: Some(GmtOffset::from_minutes(480)),
        clock_skew: TimeDelta::zero(),
        unproven: TimeDelta::zero(),
    }
}

/// One bake, with the events sent to it.
pub(super) struct Fixture {
    pub(super) bake: Bake,
    pub(super) pace: PollPolicy,
    rng: Rng,
    pub(super) now: DateTime<Utc>,
}

impl Fixture {
    pub(super) fn new(settings: BakeSettings) -> Self {
        Self { bake: a_bake(Arc::new(settings)), pace: pace(), rng: Rng::with_seed(1), now: slot() }
    }

    fn stopping(stop_instance: StopInstance) -> Self {
        Self::new(BakeSettings { stop_instance, ..settings() })
    }

    /// Admitted at the slot with an instance that is imaged as it is: the create call is in flight.
    fn creating() -> Self {
        let mut bake = Self::new(settings());
        assert!(matches!(bake.admit(), Effect::Call(Call::CreateImage(_))));
        bake
    }

    fn building() -> Self {
        let mut bake = Self::creating();
        assert_eq!(bake.answer(Response::Created(made("imgc-1"))), bake.wait(POLL));
        bake
    }

    fn unknown() -> Self {
        let mut bake = Self::creating();
        bake.refuse(ErrorClass::Unclear, "Timeout");
        assert_eq!(bake.state(), "unknown");
        bake
    }

    pub(super) fn apply(&mut self, event: Event) -> Effect {
        let (state, effect) = step(&self.bake, event, self.now, &self.pace, &mut self.rng);
        self.bake.state = state;
        effect
    }

    pub(super) fn admit(&mut self) -> Effect {
        self.apply(Event::Admitted { version: 7 })
    }

    /// Nothing else is being made of the instance when that is asked.
    pub(super) fn answer(&mut self, answer: Response) -> Effect {
        let is_hook = matches!(self.bake.state, State::Preparing { hook: Some(_), .. });
        match self.apply(Event::Answered(answer)) {
            Effect::Call(Call::FindImagesInProgress) => self.apply(Event::Answered(Response::InProgress(Vec::new()))),
            // The last `before` hook has run: it goes on in the next turn, which is at once.
            Effect::Wait(at) if is_hook && at == self.now => self.due(),
            effect => effect,
        }
    }

    pub(super) fn refuse(&mut self, class: ErrorClass, code: &str) -> Effect {
        self.answer(Response::Refused(error(class, code)))
    }

    /// The instant it waits for has come. In the queue that is its turn, unless it is past its deadline.
    pub(super) fn due(&mut self) -> Effect {
        self.now = self.now.max(self.bake.state.wake_at().expect("it is not over"));
        match &self.bake.state {
            State::Queued { suspended: Some(_), .. } if self.now <= self.bake.give_up_at => {
                self.apply(Event::Admitted { version: 99 })
            }
            _ => self.apply(Event::Due),
        }
    }

    pub(super) fn pass(&mut self, pause: Duration) {
        self.now = later(self.now, pause);
    }

    /// The process is gone, and with it the call in flight.
    pub(super) fn crash(&mut self) {
        let text = serde_json::to_string(&self.bake.state).expect("a state is JSON");
        self.bake.state = serde_json::from_str(&text).expect("a state can be read back");
    }

    pub(super) fn wait(&self, pause: Duration) -> Effect {
        Effect::Wait(later(self.now, pause))
    }

    pub(super) fn state(&self) -> &'static str {
        self.bake.state.as_str()
    }

    pub(super) fn reason(&self) -> &'static str {
        self.bake.reason().expect("a reason").leak()
    }

    pub(super) fn code(&self) -> Option<ReasonCode> {
        self.bake.state.reason_code()
    }

    fn attempts(&self) -> u32 {
        self.bake.state.work().expect("it began").attempts
    }

    fn restart_pending(&self) -> bool {
        self.bake.state.work().expect("it began").restart_pending
    }
}

pub(super) fn made(id: &str) -> MadeImage {
    MadeImage { image_id: id.into(), version_id: Some("iv-1".into()), task_id: Some("tid-1".into()) }
}

pub(super) fn seen(id: &str, status: ImageStatus) -> RemoteImage {
    let (name, kind) = ("golden-20260302-1100-v7".to_owned(), Some("User".to_owned()));
    let tags = [].into();
    RemoteImage { image_id: id.into(), version_id: Some("iv-1".into()), name, status, tags, kind, made_at: None }
}

pub(super) fn powered(power: PowerState) -> Response {
    Response::Instance(Some(power))
}

pub(super) fn in_use() -> Response {
    powered(PowerState::RunningInUse("alice".into()))
}

fn with_hooks(hooks: Hooks) -> BakeSettings {
    BakeSettings { hooks, ..settings() }
}

pub(super) fn commands(programs: &[&str]) -> Vec<HookCommand> {
    programs.iter().map(|program| HookCommand(vec![(*program).to_owned()])).collect()
}

/// Two commands at each moment.
fn hooks() -> Hooks {
    Hooks {
        before: commands(&["/b1", "/b2"]),
        after: commands(&["/a1", "/a2"]),
        on_failure: commands(&["/f1", "/f2"]),
        ..Hooks::default()
    }
}

fn ran(result: HookResult) -> Response {
    Response::Hook(HookOutcome { result, output: "its first words\nits last words\n\n".into() })
}

pub(super) fn ok() -> Response {
    ran(HookResult::Exited(0))
}

#[track_caller]
fn hook_of(effect: &Effect) -> &HookRun {
    let Effect::Call(Call::RunHook(run)) = effect else { panic!("runs no hook: {effect:?}") };
    run
}

#[track_caller]
pub(super) fn program(effect: &Effect) -> &str {
    hook_of(effect).command.program()
}

fn between() -> Response {
    powered(PowerState::Transitioning("Stopping".into()))
}

pub(super) const POLL_INSTANCE: Effect = Effect::Call(Call::DescribeInstance);
pub(super) const STOP: Effect = Effect::Call(Call::StopInstance);
pub(super) const START: Effect = Effect::Call(Call::StartInstance);

pub(super) fn is_create(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::CreateImage(_)))
}

pub(super) fn is_poll(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::FindImage(_)))
}

// Create

#[test]
fn a_plain_night_makes_one_image() {
    let mut bake = Fixture::new(settings());
    let Effect::Call(Call::CreateImage(identity)) = bake.admit() else { panic!("no create call") };
    assert_eq!((identity.owner.as_str(), identity.version, identity.slot), ("ops", 7, slot()));
    assert_eq!(bake.state(), "creating");

    assert_eq!(bake.answer(Response::Created(made("imgc-1"))), bake.wait(POLL));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress)))), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!((bake.state(), bake.reason(), bake.attempts()), ("succeeded", "image made", 1));
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")));
}

#[test]
fn a_create_within_a_minute_of_its_slot_does_not_search_first() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(1));
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_late_create_searches_first() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_secs(61));
    assert!(is_poll(&bake.admit()));
    assert_eq!(bake.state(), "ready");
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn a_late_create_that_finds_its_image_follows_it() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    bake.answer(Response::Found(Some(seen("imgc-9", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 0));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-9", ImageStatus::Available))));
    assert_eq!(bake.reason(), "image made; found in the cloud before the create call was made");
}

#[test]
fn a_throttled_create_is_tried_again_after_the_servers_delay() {
    let mut bake = Fixture::creating();
    let asked = Duration::from_secs(90);
    let throttled = ApiError { retry_after: Some(asked), ..error(ErrorClass::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Response::Refused(throttled)) else { panic!("does not wait") };
    assert!(until >= later(bake.now, asked) && until <= later(bake.now, asked * 2), "{until}");
    assert_eq!((bake.state(), bake.attempts()), ("queued", 0));
    assert!(
        bake.reason().starts_with("waits for the cloud: Throttling.User: the cloud's words; next try Mon 2026-03-02 ")
    );
    assert!(bake.reason().ends_with(", until Mon 2026-03-02 13:00 +08:00 at most"), "{}", bake.reason());
    assert!(is_create(&bake.due()), "nothing happened, so there is nothing to search for");
}

#[test]
fn a_servers_delay_of_a_day_is_not_believed() {
    let mut bake = Fixture::creating();
    let day = Duration::from_hours(24);
    let throttled = ApiError { retry_after: Some(day), ..error(ErrorClass::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Response::Refused(throttled)) else { panic!("does not wait") };
    assert!(until <= later(bake.now, Duration::from_hours(2)), "{until}");
}

#[test]
fn a_create_that_keeps_failing_is_given_up_after_its_attempts() {
    let mut bake = Fixture::creating();
    for _ in 0..2 {
        bake.refuse(ErrorClass::Transient, "ServiceUnavailable");
        assert!(is_create(&bake.due()));
    }
    assert_eq!(bake.refuse(ErrorClass::Transient, "ServiceUnavailable"), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "gave up after 3 attempts: ServiceUnavailable: the cloud's words");
}

#[test]
fn a_permanent_error_fails_at_once_with_the_advice() {
    let mut bake = Fixture::creating();
    let forbidden = ApiError { advice: "grant the permission".into(), ..error(ErrorClass::Permanent, "NoPermission") };
    assert_eq!(bake.answer(Response::Refused(forbidden)), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert_eq!(bake.reason(), "NoPermission: the cloud's words (grant the permission)");
}

#[test]
fn task_exist_waits_and_then_searches_before_the_next_create() {
    let mut bake = Fixture::creating();
    for _ in 0..20 {
        let effect = bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
        assert!(matches!(effect, Effect::Wait(_)));
        assert_eq!((bake.state(), bake.attempts()), ("queued", 0), "waiting uses no attempts");
        assert!(is_poll(&bake.due()), "the task may be ours");
        assert!(is_create(&bake.answer(Response::Found(None))));
    }
}

#[test]
fn refused_credentials_wait_like_a_poll_and_use_no_attempts() {
    let mut bake = Fixture::creating();
    for _ in 0..20 {
        let Effect::Wait(until) = bake.refuse(ErrorClass::Credential, "InvalidAccessKeyId.NotFound") else {
            panic!("does not wait")
        };
        assert!(until >= later(bake.now, bake.pace.poll_interval / 2), "{until}");
        assert_eq!(bake.attempts(), 0);
        assert!(is_create(&bake.due()));
    }
}

#[test]
fn a_search_before_the_create_that_is_refused_for_good_fails() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

// Unknown

#[test]
fn an_unclear_create_is_searched_for_and_followed() {
    let mut bake = Fixture::unknown();
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 1));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
}

#[test]
fn an_unclear_create_whose_image_is_finished_succeeds() {
    let mut bake = Fixture::unknown();
    bake.due();
    assert_eq!(bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    let found = "found by name after the create call stayed unclear (Timeout: the cloud's words)";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", format!("image made; {found}").as_str()));
}

#[test]
fn an_unclear_create_is_repeated_only_after_the_look_up_window() {
    let mut bake = Fixture::unknown();
    let sent = slot();
    let mut polls = 0;
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
        polls += 1;
    }
    assert!(polls > 4, "{polls} polls");
    assert!(bake.now >= later(sent, WINDOW), "given up at {}", bake.now);
    assert!(bake.now < later(sent, WINDOW + POLL), "the last search came late, at {}", bake.now);
    assert!(is_poll(&bake.due()));
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn an_unclear_last_attempt_is_searched_for_before_it_is_given_up() {
    let mut bake = Fixture::new(BakeSettings { retry: RetryPolicy { attempts: 1, ..settings().retry }, ..settings() });
    bake.admit();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
    }
    assert!(bake.now >= later(slot(), WINDOW));
    let reason = "gave up after 1 attempt: Timeout: the cloud's words; no image appeared within 5m";
    assert_eq!((bake.state(), bake.reason()), ("failed", reason));
}

#[test]
fn an_unclear_create_that_cannot_be_searched_for_fails_after_the_build_deadline() {
    let mut bake = Fixture::unknown();
    while bake.state() == "unknown" {
        bake.due();
        bake.refuse(ErrorClass::Permanent, "NoPermission");
    }
    assert!(bake.now >= later(slot(), settings().build_deadline));
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().contains("could not be searched for"), "{}", bake.reason());
}

#[test]
fn a_crash_under_a_create_call_is_an_unclear_create() {
    let mut bake = Fixture::creating();
    bake.crash();
    assert!(matches!(bake.due(), Effect::Wait(_)));
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
    assert_eq!(
        bake.reason(),
        "searches for its image: the daemon stopped before the create call was answered; next try Mon 2026-03-02 \
         11:00:02 +08:00"
    );
    assert!(is_poll(&bake.due()));
}

#[test]
fn a_create_answered_with_something_else_is_unclear() {
    let mut bake = Fixture::creating();
    bake.answer(Response::Accepted);
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
}

#[test]
fn a_clock_set_back_does_not_prolong_the_search() {
    let mut bake = Fixture::creating();
    bake.now = slot() - TimeDelta::days(1);
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let unclear = bake.now;
    while bake.state() == "unknown" {
        bake.due();
        bake.answer(Response::Found(None));
    }
    assert!(bake.now < later(unclear, WINDOW + POLL), "{}", bake.now);
}

// Build

#[test]
fn create_failed_is_the_end() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed)))), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert!(bake.reason().contains("CREATE_FAILED"), "{}", bake.reason());
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")), "the image is named, so that it can be looked up");
}

#[test]
fn an_unknown_status_is_tolerated_and_reported() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::parse("Auditing"))))), bake.wait(POLL));
    assert_eq!((bake.state(), bake.reason()), ("building", "Auditing"));
}

#[test]
fn a_new_image_may_be_listed_late() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(None)), bake.wait(POLL));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_image_that_is_not_listed_any_more_has_vanished() {
    let mut bake = Fixture::building();
    bake.pass(Duration::from_hours(1));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    let last_seen = bake.now;
    while !is_poll(&bake.due()) {
        bake.answer(Response::Image(None));
    }
    assert!(bake.now >= later(last_seen, WINDOW));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    assert_eq!(
        (bake.state(), bake.reason()),
        ("failed", "the image vanished: it has not been listed for 5m, and no other image of its slot is listed")
    );
}

/// The create call was answered with the id of an image that is not listed, and the slot's image is searched for.
fn misled() -> Fixture {
    let mut bake = Fixture::building();
    while !matches!(bake.bake.state, State::Building { searching: true, .. }) {
        bake.due();
        bake.answer(Response::Image(None));
    }
    assert!(is_poll(&bake.due()));
    bake
}

#[test]
fn an_image_whose_cloud_does_not_answer_names_the_outage_and_the_next_try_while_it_lasts() {
    let mut bake = Fixture::building();
    bake.due();
    bake.refuse(ErrorClass::Transient, "ConnectFailed");
    let since = bake.now;
    bake.pass(Duration::from_mins(1));
    bake.due();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let local = |at| crate::domain::time::show(at, settings().timezone);
    let next = bake.bake.state.wake_at().unwrap();
    let reason = format!(
        "CREATING; the cloud does not answer since {}: Timeout: the cloud's words; next try {}",
        local(since),
        local(next)
    );
    assert_eq!((bake.state(), bake.reason()), ("building", reason.as_str()));
    bake.pass(Duration::from_mins(10));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.reason()), ("building", "CREATING"));
}

#[test]
fn an_image_that_is_not_listed_is_searched_for_and_the_real_one_followed() {
    let mut bake = misled();
    bake.answer(Response::Found(Some(seen("imgc-2", ImageStatus::InProgress))));
    assert_eq!(
        (bake.state(), bake.bake.state.image().map(|image| image.image_id.as_str())),
        ("building", Some("imgc-2"))
    );
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-2".into())));
    bake.answer(Response::Image(Some(seen("imgc-2", ImageStatus::Available))));
    let reason = "image made; found by name and tags after imgc-1 was not listed";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", reason));
}

#[test]
fn a_search_for_a_vanished_image_outlives_a_restart_and_errors() {
    let mut bake = misled();
    bake.crash();
    assert!(is_poll(&bake.due()));
    for class in [ErrorClass::Transient, ErrorClass::Permanent, ErrorClass::Credential] {
        bake.refuse(class, "Whatever");
        assert!(is_poll(&bake.due()), "{class:?}");
    }
    // By name it is listed: it has not vanished.
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));

    let mut bake = misled();
    bake.pass(Duration::from_hours(7));
    bake.refuse(ErrorClass::Transient, "Whatever");
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.bake.state.reason_code(), Some(ReasonCode::Vanished));
}

#[test]
fn an_answer_that_names_an_image_of_others_is_not_believed() {
    let others = [
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::Available) },
        RemoteImage { kind: Some("Shared".into()), ..seen("imgc-1", ImageStatus::Available) },
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::CreateFailed) },
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::Deleted) },
    ];
    for image in others {
        let mut bake = Fixture::building();
        while !is_poll(&bake.due()) {
            bake.answer(Response::Image(Some(image.clone())));
            assert_eq!(bake.state(), "building", "{image:?}");
        }
        bake.answer(Response::Found(Some(seen("imgc-2", ImageStatus::Available))));
        assert_eq!(bake.bake.state.image().map(|image| image.image_id.as_str()), Some("imgc-2"));
    }
}

#[test]
fn a_deleted_image_is_searched_for_at_once() {
    let mut bake = Fixture::building();
    bake.due();
    assert!(is_poll(&bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Deleted))))));
    bake.answer(Response::Found(None));
    assert_eq!((bake.state(), bake.reason()), ("failed", "the image was deleted while it was being made"));
}

// Names of others

fn taken(others: &[&str], own: &[&str]) -> Response {
    let ids = |ids: &[&str]| ids.iter().map(|id| ImageId::from(*id)).collect();
    Response::NameTaken(TakenName { by_others: ids(others), by_own: ids(own) })
}

fn named(image_name: &str) -> Fixture {
    Fixture::new(BakeSettings { image_name: image_name.into(), ..settings() })
}

#[test]
fn a_name_that_does_not_show_the_slot_is_searched_for_before_the_first_create() {
    for (name, searches) in [
        ("golden-v{version}", true),
        ("golden-{slot:%Y%m%d}-v{version}", true),
        ("golden-{slot:%Y%m%d-%H%M}-v{version}", false),
        ("golden-{slot}", false),
    ] {
        let mut bake = named(name);
        assert_eq!(is_poll(&bake.admit()), searches, "{name}");
        if searches {
            let Effect::Call(Call::CreateImage(identity)) = bake.answer(Response::Found(None)) else {
                panic!("no call")
            };
            assert_eq!(identity.evidence.baseline, Some(Vec::new()), "no other image has the name");
            assert_eq!(identity.evidence.first_sent, Some(slot()));
        }
    }
}

#[test]
fn without_a_known_zone_or_after_a_crash_every_first_create_searches() {
    let mut bake = Fixture::new(settings());
    bake.pace.gmt_offset = None;
    assert!(is_poll(&bake.admit()));

    let mut bake = Fixture::new(settings());
    bake.pace.search_until = Some(later(slot(), WINDOW));
    assert!(is_poll(&bake.admit()));
    assert!(is_create(&bake.answer(Response::Found(None))));
    // Its repetition, too, while it is not known what the daemon did before.
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    assert!(is_poll(&bake.due()));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.pass(WINDOW);
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    assert!(is_create(&bake.due()));
}

#[test]
fn a_taken_name_gets_the_next_version() {
    let mut bake = named("golden-v{version}");
    bake.admit();
    assert_eq!(bake.answer(taken(&["imgc-byhand"], &[])), bake.wait(Duration::ZERO));
    assert!(bake.bake.state.needs_version());
    assert_eq!(bake.reason(), "the name golden-v7 is taken by imgc-byhand");
    // Without its new version it waits.
    assert!(matches!(bake.due(), Effect::Wait(_)));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 9 }) else {
        panic!("no search")
    };
    assert_eq!((identity.version, identity.image_name.as_str()), (9, "golden-v9"));
    assert!(is_create(&bake.answer(Response::Found(None))));
    assert!(!bake.bake.state.needs_version());
}

#[test]
fn a_taken_name_without_a_version_in_it_fails_and_nothing_is_followed() {
    let mut bake = named("golden-{slot}");
    bake.pace.search_until = Some(later(slot(), WINDOW));
    bake.admit();
    assert_eq!(bake.answer(taken(&["imgc-byhand"], &[])), Effect::Done);
    assert_eq!((bake.state(), bake.bake.state.reason_code()), ("failed", Some(ReasonCode::NameTaken)));
    assert!(bake.reason().starts_with("the name golden-20260302-110000 is taken by imgc-byhand"), "{}", bake.reason());
    assert_eq!(bake.bake.state.image(), None);

    // An image of ours shows by its tags that it is of another slot.
    let mut bake = named("golden-{slot}");
    bake.pace.search_until = Some(later(slot(), WINDOW));
    bake.admit();
    let Effect::Call(Call::CreateImage(identity)) = bake.answer(taken(&[], &["imgc-fold"])) else { panic!("no call") };
    assert_eq!(identity.evidence.baseline, Some(vec!["imgc-fold".into()]));
}

#[test]
fn a_name_that_is_taken_while_a_create_is_unclear_is_not_given_again() {
    let mut bake = Fixture::unknown();
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(taken(&["imgc-shared"], &[]));
    }
    assert!(is_poll(&bake.due()), "the image is searched for once more");
    bake.answer(taken(&["imgc-shared"], &[]));
    assert!(bake.bake.state.needs_version());
    assert!(is_poll(&bake.apply(Event::Renumbered { version: 8 })));
    assert!(is_create(&bake.answer(Response::Found(None))));
    assert_eq!(bake.attempts(), 1);
}

#[test]
fn a_list_after_creates_that_were_all_refused_counts_as_taken_before_the_first() {
    for (class, code) in [
        (ErrorClass::Busy, "TaskExist"),
        (ErrorClass::Transient, "Throttling.User"),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound"),
    ] {
        let mut bake = Fixture::creating();
        bake.pace.search_until = Some(later(slot(), WINDOW * 9));
        bake.refuse(class, code);
        let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search after {code}") };
        assert!(identity.evidence.nothing_made(), "{code}");
        let Effect::Call(Call::CreateImage(identity)) = bake.answer(Response::Found(None)) else { panic!("no call") };
        assert_eq!(identity.evidence.baseline, Some(Vec::new()), "{code}");
        assert_eq!(identity.evidence.first_sent, Some(bake.now), "the first call that counts is this one");
        // Later rejections do not clear an unclear call.
        bake.refuse(ErrorClass::Unclear, "Timeout");
        let sent = bake.now;
        while bake.state() == "unknown" {
            let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search") };
            assert!(!identity.evidence.nothing_made(), "{code}");
            bake.answer(Response::Found(None));
        }
        bake.due();
        assert!(is_create(&bake.answer(Response::Found(None))));
        bake.refuse(class, code);
        let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search") };
        assert!(!identity.evidence.nothing_made(), "{code}");
        let dated = identity.evidence.first_sent;
        assert_eq!(dated, Some(sent), "the call that may have made something");
    }
}

#[test]
fn a_daemon_that_ends_during_a_create_leaves_it_unclear() {
    let mut bake = Fixture::creating();
    bake.apply(Event::Due);
    assert!(!bake.bake.state.work().unwrap().evidence.nothing_made());
    let mut bake = Fixture::building();
    bake.due();
    assert!(!bake.bake.state.work().unwrap().evidence.nothing_made());
}

#[test]
fn an_image_under_a_name_that_was_given_up_is_found_and_followed() {
    let mut bake = Fixture::unknown();
    let (name, sent) = (bake.bake.state.work().unwrap().image_name.clone(), slot());
    while bake.state() == "unknown" {
        bake.due();
        bake.answer(taken(&["imgc-shared"], &[]));
    }
    bake.due();
    bake.answer(taken(&["imgc-shared"], &[]));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 8 }) else {
        panic!("no search")
    };
    let [earlier] = identity.evidence.earlier.as_slice() else { panic!("{identity:?}") };
    assert_eq!((earlier.image_name.as_str(), earlier.version, earlier.first_sent), (name.as_str(), 7, sent));
    let image = RemoteImage { name: name.clone(), tags: [].into(), ..seen("imgc-late", ImageStatus::InProgress) };
    bake.answer(Response::Found(Some(image.clone())));
    let work = bake.bake.state.work().unwrap().clone();
    assert_eq!((work.version, work.image_name.as_str(), work.evidence.first_sent), (7, name.as_str(), Some(sent)));
    // Nor does the name of the image speak against it.
    bake.due();
    bake.answer(Response::Image(Some(RemoteImage { status: ImageStatus::Available, ..image })));
    assert_eq!(bake.state(), "succeeded");

    // Where nothing can have been made, there is nothing to search for.
    let mut bake = named("golden-v{version}");
    bake.admit();
    bake.answer(Response::Found(None));
    bake.refuse(ErrorClass::Busy, "TaskExist");
    bake.due();
    bake.answer(taken(&["imgc-byhand"], &[]));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 9 }) else {
        panic!("no search")
    };
    assert_eq!(identity.evidence.earlier, []);
}

#[test]
fn a_line_without_versions_left_refuses_the_bake() {
    let why = || "line golden has no version left, its last one is 4294967295".to_owned();
    let mut bake = Fixture::new(settings());
    assert_eq!(bake.apply(Event::NoVersion { why: why() }), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", why().as_str()));

    let mut bake = named("golden-v{version}");
    bake.admit();
    bake.answer(taken(&["imgc-byhand"], &[]));
    assert_eq!(bake.apply(Event::NoVersion { why: why() }), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", why().as_str()));
}

#[test]
fn the_first_create_is_dated_by_the_cloud_s_clock() {
    let mut bake = Fixture::new(settings());
    bake.pace.clock_skew = TimeDelta::hours(-3);
    let Effect::Call(Call::CreateImage(identity)) = bake.admit() else { panic!("no call") };
    assert_eq!(identity.evidence.first_sent, Some(slot() - TimeDelta::hours(3)));
}

// Calls that do not go out

#[test]
fn a_create_that_did_not_go_out_is_made_again_and_uses_no_attempt() {
    let mut bake = Fixture::creating();
    assert_eq!(bake.answer(Response::NotSent), bake.wait(Duration::ZERO));
    assert_eq!((bake.state(), bake.attempts()), ("ready", 0));
    assert!(is_create(&bake.due()));
}

#[test]
fn a_create_whose_turn_comes_after_the_deadline_is_given_up() {
    let mut bake = Fixture::creating();
    bake.pass(Duration::from_hours(3));
    assert_eq!(bake.answer(Response::NotSent), Effect::Done);
    assert_eq!(bake.bake.state.reason_code(), Some(ReasonCode::Deadline));
}

#[test]
fn an_unclear_create_is_searched_for_no_sooner_than_the_proxy_asks() {
    let mut bake = Fixture::creating();
    let asked = Duration::from_mins(2);
    let limited = ApiError { retry_after: Some(asked), ..error(ErrorClass::Unclear, "AnswerNotJson") };
    assert_eq!(bake.answer(Response::Refused(limited)), bake.wait(asked));
}

#[test]
fn refused_polls_of_an_image_do_not_end_it() {
    let mut bake = Fixture::building();
    for class in
        [ErrorClass::Transient, ErrorClass::Busy, ErrorClass::Credential, ErrorClass::Permanent, ErrorClass::Unclear]
    {
        bake.due();
        bake.refuse(class, "Whatever");
        assert_eq!(bake.state(), "building");
    }
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn stuck_after_the_build_deadline() {
    let mut bake = Fixture::building();
    while bake.state() == "building" {
        bake.due();
        bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    }
    assert_eq!(bake.now, later(slot(), settings().build_deadline));
    assert_eq!(bake.reason(), "stuck: the image is still CREATING after 6h, no longer followed");
}

#[test]
fn the_deadline_of_the_create_does_not_touch_an_image_being_made() {
    let mut bake = Fixture::building();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage(ImageId::new("imgc-1"))));
}

// Stop and start

/// Up to the create call of an instance that ran and was stopped.
fn stopped_and_creating() -> Fixture {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake
}

/// An image of another line on the instance that is being made.
fn in_progress(id: &str) -> RemoteImage {
    let mut image = seen(id, ImageStatus::InProgress);
    image.tags.insert(TAG_LINE.into(), "silver".into());
    image
}

#[test]
fn an_instance_is_not_started_under_an_image_of_another_line() {
    let mut bake = stopped_and_creating();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    for _ in 0..3 {
        let search = bake.apply(Event::Answered(powered(PowerState::Stopped)));
        assert_eq!(search, Effect::Call(Call::FindImagesInProgress));
        assert_ne!(bake.answer(Response::InProgress(vec![in_progress("imgc-2")])), START);
        let State::Starting { last_error: Some(error), .. } = &bake.bake.state else { panic!("{:?}", bake.bake.state) };
        assert!(error.contains("imgc-2") && error.contains("silver"), "{error}");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    // A rejected search shows nothing either.
    bake.apply(Event::Answered(powered(PowerState::Stopped)));
    assert_ne!(bake.refuse(ErrorClass::Transient, "ServiceUnavailable"), START);
    bake.due();
    // Its own image, given up on, is no reason to leave it stopped.
    bake.apply(Event::Answered(powered(PowerState::Stopped)));
    assert_eq!(bake.answer(Response::InProgress(vec![in_progress("imgc-1")])), START);
}

#[test]
fn nobodys_image_keeps_an_instance_stopped_for_longer_than_build_deadline() {
    let mut bake = stopped_and_creating();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    let begun = bake.now;
    let started = loop {
        match bake.apply(Event::Answered(powered(PowerState::Stopped))) {
            Effect::Call(Call::FindImagesInProgress) => {
                bake.answer(Response::InProgress(vec![in_progress("imgc-2")]));
                bake.due();
            }
            effect => break effect,
        }
    };
    assert_eq!(started, START);
    let waited = (bake.now - begun).to_std().unwrap();
    assert!(waited >= settings().build_deadline && waited < settings().build_deadline * 2, "{waited:?}");
}

#[test]
fn a_running_instance_is_stopped_first_and_started_last() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), POLL_INSTANCE);
    assert!(!bake.restart_pending());
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    assert!(bake.restart_pending(), "the debt is in the state that is committed before the stop");
    assert_eq!(bake.answer(Response::Accepted), bake.wait(POLL));
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!(bake.answer(between()), bake.wait(POLL));
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    let effect = bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!((bake.state(), effect), ("starting", POLL_INSTANCE));
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    assert_eq!(bake.answer(Response::Accepted), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.restart_pending()), ("succeeded", false));
}

#[test]
fn a_found_stopped_instance_stays_stopped() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_instance_in_transition_is_waited_for_and_not_started() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    assert!(matches!(bake.answer(between()), Effect::Wait(_)));
    assert_eq!(bake.state(), "queued", "neither a builder nor the instance is held");
    assert!(bake.reason().starts_with("waits for the instance, which is Stopping; next try "), "{}", bake.reason());
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(!bake.restart_pending());
}

#[test]
fn a_lost_stop_is_repeated_after_five_polls() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let effects: Vec<_> = (0..5)
        .map(|_| {
            bake.due();
            bake.answer(powered(PowerState::Running))
        })
        .collect();
    assert_eq!(effects.iter().filter(|effect| **effect == STOP).count(), 1, "{effects:?}");
    assert_eq!(effects.last(), Some(&STOP));
}

#[test]
fn a_required_stop_that_is_refused_fails() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), POLL_INSTANCE);
    for _ in 0..SETTLED_AFTER {
        assert!(
            matches!(bake.answer(powered(PowerState::Running)), Effect::Wait(_)),
            "an earlier stop may still take effect"
        );
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "the instance could not be stopped: NoPermission: the cloud's words");
}

#[test]
fn an_instance_stopped_after_the_bake_was_cancelled_is_started() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    assert_eq!(bake.apply(Event::Cancelled { by: "uid 7".into() }), POLL_INSTANCE);
    assert!(matches!(bake.answer(powered(PowerState::Running)), Effect::Wait(_)));
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7"));
}

#[test]
fn what_waits_can_be_cancelled_and_what_the_cloud_works_on_cannot() {
    let by = || Event::Cancelled { by: "uid 7".into() };
    let mut bake = Fixture::new(settings());
    assert_eq!(bake.apply(by()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7 before it started"));

    let mut bake = Fixture::new(settings());
    bake.admit();
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
    bake.apply(by());
    assert_eq!(bake.state(), "creating");
}

#[test]
fn if_running_a_refused_stop_bakes_the_running_instance() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert!(is_poll(&bake.refuse(ErrorClass::Permanent, "NoPermission")));
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn a_stop_that_may_have_been_acted_on_is_polled_again() {
    for (class, code) in
        [(ErrorClass::Transient, "InternalError"), (ErrorClass::Transient, "Timeout"), (ErrorClass::Unclear, "Timeout")]
    {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        bake.answer(powered(PowerState::Running));
        assert_eq!(bake.refuse(class, code), bake.wait(POLL));
        assert_eq!((bake.state(), bake.restart_pending()), ("stopping", true), "{code}");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
}

#[test]
fn a_first_stop_that_cannot_have_been_acted_on_is_no_debt() {
    for (class, code) in [
        (ErrorClass::Busy, "IncorrectDesktopStatus"),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound"),
        (ErrorClass::Transient, "ConnectFailed"),
        (ErrorClass::Transient, "Throttling.User"),
    ] {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        assert!(matches!(bake.refuse(class, code), Effect::Wait(_)));
        assert_eq!((bake.state(), bake.restart_pending()), ("queued", false), "{code}");
        assert!(bake.reason().contains(&format!(": {code}: the cloud's words; next try ")), "{}", bake.reason());
        assert_eq!(bake.due(), POLL_INSTANCE);
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        // What one stop did is not known once its answer is lost, whatever the next one comes to.
        bake.crash();
        bake.due();
        bake.refuse(class, code);
        assert_eq!((bake.state(), bake.restart_pending()), ("stopping", true), "{code}");
    }
}

#[test]
fn an_instance_counts_as_missing_after_several_answers_some_polls_apart() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    let first = bake.now;
    for _ in 1..ABSENT_AFTER {
        assert_eq!(bake.answer(Response::Instance(None)), bake.wait(POLL));
        assert_eq!(bake.state(), "queued");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
    assert!(bake.now >= later(first, POLL * 4));
    assert_eq!((bake.state(), bake.reason()), ("failed", "the cloud does not know the instance ecd-1"));
    assert_eq!(bake.code(), Some(ReasonCode::InstanceState));

    // Neither what is refused nor an instance that comes back counts.
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    for answer in
        [Response::Instance(None), powered(PowerState::Transitioning("Migrating".into()))].into_iter().cycle().take(40)
    {
        assert!(matches!(bake.answer(answer), Effect::Wait(_)));
        bake.due();
    }
}

// States of the instance

#[test]
fn a_final_state_ends_the_bake_before_any_hook_and_stop() {
    for word in ["Expired", "Deleted", "Deleting", "Locked"] {
        for hooks in [Hooks::default(), hooks()] {
            for if_connected in [IfConnected::Wait, IfConnected::Skip, IfConnected::Proceed] {
                let settings = BakeSettings {
                    stop_instance: StopInstance::IfRunning,
                    if_connected,
                    hooks: hooks.clone(),
                    ..settings()
                };
                let mut bake = Fixture::new(settings);
                assert_eq!(bake.admit(), POLL_INSTANCE);
                assert_eq!(bake.answer(powered(PowerState::Final(word.into()))), Effect::Done);
                assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::InstanceState)));
                assert!(bake.reason().contains(word), "{}", bake.reason());
            }
        }
    }
}

#[test]
fn a_passing_state_is_waited_for_in_the_queue_until_the_deadline() {
    for word in ["Hibernated", "Migrating", "Rebuilding", "Updating", "Auditing"] {
        let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
        bake.admit();
        let mut gaps = Vec::new();
        while bake.now <= bake.bake.give_up_at {
            let Effect::Wait(next) = bake.answer(powered(PowerState::Transitioning(word.into()))) else {
                panic!("does not wait")
            };
            gaps.push((next - bake.now).to_std().expect("later"));
            assert!(!bake.bake.state.holds_builder() && !bake.bake.state.holds_instance());
            assert_eq!(bake.bake.state.work().map(|work| work.version), Some(7));
            assert!(bake.reason().contains(&format!("waits for the instance, which is {word}; next try")));
            bake.due();
        }
        assert!(gaps.iter().all(|gap| *gap <= Duration::from_mins(10)), "{gaps:?}");
        assert!(gaps[..7].iter().all(|gap| *gap <= POLL * 11 / 10), "{gaps:?}");
        assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::InstanceState)));
        assert!(bake.reason().contains(word), "{}", bake.reason());
    }
}

#[test]
fn an_instance_that_cannot_be_started_for_its_state_is_not_forgotten() {
    for word in ["Expired", "Locked", "Deleting"] {
        let mut bake = stopped_and_creating();
        bake.refuse(ErrorClass::Permanent, "NoPermission");
        for _ in 0..50 {
            assert!(matches!(bake.answer(powered(PowerState::Final(word.into()))), Effect::Wait(_)));
            bake.due();
        }
        assert_eq!(bake.answer(powered(PowerState::Stopped)), START, "renewed, it is started");
    }
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 1..ABSENT_AFTER {
        bake.answer(powered(PowerState::Final("Deleted".into())));
        bake.due();
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
}

// Outages

/// What keeps a call from the cloud, or the cloud's answer from us, and is no word of the cloud itself.
const OUTAGES: [(ErrorClass, &str); 4] = [
    (ErrorClass::Transient, "ConnectFailed"),
    (ErrorClass::Transient, "AnswerNotJson"),
    (ErrorClass::Transient, "AnswerNotFromApi"),
    (ErrorClass::Transient, "Throttling.User"),
];

#[test]
fn no_outage_ends_a_bake_by_count_and_its_pauses_grow_up_to_the_cap() {
    for (class, code) in OUTAGES {
        let mut bake = Fixture::creating();
        let mut pauses = Vec::new();
        let before_the_deadline = later(bake.bake.give_up_at, Duration::ZERO) - TimeDelta::minutes(15);
        while bake.now < before_the_deadline {
            let Effect::Wait(next) = bake.refuse(class, code) else { panic!("does not wait") };
            pauses.push((next - bake.now).to_std().expect("later"));
            assert_eq!((bake.state(), bake.attempts()), ("queued", 0), "{code}");
            assert!(is_create(&bake.due()));
        }
        let cap = settings().retry.cap;
        assert!(pauses.iter().all(|pause| *pause <= cap), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > cap / 2), "{pauses:?}");
        bake.answer(Response::Created(made("imgc-1")));
        assert_eq!((bake.state(), bake.attempts()), ("building", 1));
        assert_eq!(bake.bake.state.work().and_then(|work| work.waiting.clone()), None);
    }
}

#[test]
fn an_outage_until_the_deadline_is_the_reason_of_the_end() {
    for (stop, failed) in [(StopInstance::Never, "failed"), (StopInstance::Required, "failed")] {
        let mut bake = Fixture::stopping(stop);
        bake.admit();
        while !bake.bake.state.is_ended() {
            assert!(!bake.bake.state.holds_builder() || bake.now <= bake.bake.give_up_at);
            bake.refuse(ErrorClass::Transient, "ConnectFailed");
            if bake.now > bake.bake.give_up_at {
                break;
            }
            bake.due();
        }
        bake.pass(Duration::from_secs(1));
        assert_eq!((bake.state(), bake.code()), (failed, Some(ReasonCode::Outage)));
        let reason = "no image could be started before the deadline (2h after the slot): it waited for the cloud: ConnectFailed: \
                      the cloud's words";
        assert_eq!(bake.reason(), reason);
    }
}

#[test]
fn the_code_of_the_end_is_that_of_what_was_waited_for() {
    for (class, code, reason_code) in [
        (ErrorClass::Busy, "ExceedBuilderQuota", ReasonCode::Quota),
        (ErrorClass::Busy, "QuotaExceed.Image", ReasonCode::Quota),
        (ErrorClass::Busy, "ImageCreateByInstance.TaskExist", ReasonCode::Deadline),
        (ErrorClass::Busy, "IncorrectDesktopStatus", ReasonCode::Deadline),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound", ReasonCode::Credentials),
        (ErrorClass::Transient, "Throttling.User", ReasonCode::Deadline),
        (ErrorClass::Transient, "InternalError", ReasonCode::Outage),
        (ErrorClass::Transient, "ConnectFailed", ReasonCode::Outage),
    ] {
        let mut bake = Fixture::creating();
        bake.refuse(class, code);
        bake.pass(settings().deadline + Duration::from_secs(1));
        if is_poll(&bake.due()) {
            bake.answer(Response::Found(None));
        }
        assert_eq!((bake.state(), bake.code()), ("failed", Some(reason_code)), "{code}");
        assert!(bake.reason().contains(code), "{}", bake.reason());
    }
}

#[test]
fn an_unclear_create_spends_an_attempt_unless_it_was_no_answer_of_the_cloud() {
    for (code, attempts) in
        [("Timeout", 1), ("ConnectionLost", 1), ("InternalError", 1), ("AnswerNotJson", 0), ("AnswerNotFromApi", 0)]
    {
        let mut bake = Fixture::creating();
        bake.refuse(ErrorClass::Unclear, code);
        assert_eq!((bake.state(), bake.attempts()), ("unknown", attempts), "{code}");
    }
}

#[test]
fn with_a_stopped_instance_an_outage_is_waited_for_in_place() {
    let mut bake = stopped_and_creating();
    for _ in 0..20 {
        assert!(matches!(bake.refuse(ErrorClass::Transient, "ConnectFailed"), Effect::Wait(_)));
        assert_eq!((bake.state(), bake.attempts()), ("ready", 0));
        assert!(bake.reason().contains("ConnectFailed") && bake.reason().contains("; next try "), "{}", bake.reason());
        if bake.bake.state.wake_at() > Some(bake.bake.give_up_at) {
            break;
        }
        assert!(is_create(&bake.due()));
    }
}

#[test]
fn an_outage_while_it_starts_does_not_make_the_instance_missing() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 0..20 {
        bake.refuse(ErrorClass::Transient, "ConnectFailed");
        bake.due();
    }
    assert!(matches!(bake.answer(Response::Instance(None)), Effect::Wait(_)), "one empty listing proves nothing");
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
}

#[test]
fn an_outage_of_days_is_no_verdict_on_an_image() {
    let mut bake = Fixture::building();
    for code in ["ConnectFailed", "Timeout", "ConnectionLost", "AnswerNotJson"].into_iter().cycle().take(1000) {
        bake.due();
        assert!(matches!(bake.refuse(ErrorClass::Transient, code), Effect::Wait(_)));
        assert_eq!(bake.state(), "building");
    }
    assert!(bake.now > later(slot(), settings().build_deadline * 4));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded", "it was made meanwhile");
}

#[test]
fn the_server_s_delay_wins_wherever_something_is_waited_for() {
    let asked = Duration::from_mins(17);
    let refused =
        || Response::Refused(ApiError { retry_after: Some(asked), ..error(ErrorClass::Transient, "Throttling") });
    let stopping = || {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        bake
    };
    let mut stopped = stopping();
    stopped.answer(powered(PowerState::Running));
    stopped.answer(Response::Accepted);
    let mut starting = stopped_and_creating();
    starting.refuse(ErrorClass::Permanent, "NoPermission");
    for mut bake in [Fixture::creating(), Fixture::unknown(), Fixture::building(), stopping(), stopped, starting] {
        let state = bake.state();
        assert!(matches!(bake.answer(refused()), Effect::Wait(next) if next >= later(bake.now, asked)), "{state}");
    }
}

#[test]
fn a_crash_after_the_stop_was_committed_still_starts() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.crash();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!((bake.state(), bake.answer(powered(PowerState::Stopped))), ("starting", START));
}

#[test]
fn a_failed_create_starts_what_was_stopped() {
    let mut bake = stopped_and_creating();
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), POLL_INSTANCE);
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

#[test]
fn an_unclear_create_keeps_the_instance_stopped_until_it_is_clear() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
        assert!(bake.restart_pending());
    }
}

#[test]
fn a_start_is_tried_for_ever_at_most_ten_minutes_apart() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    let mut starts = 0;
    for _ in 0..200 {
        if bake.answer(powered(PowerState::Stopped)) == START {
            starts += 1;
            bake.refuse(ErrorClass::Permanent, "OperationDenied");
        }
        assert_eq!(bake.state(), "starting");
        assert!(bake.bake.state.wake_at() <= Some(later(bake.now, retry::LONGEST_GAP)));
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert!(starts >= 100, "{starts} starts");
}

#[test]
fn an_instance_that_is_gone_is_not_started() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 1..ABSENT_AFTER {
        assert!(matches!(bake.answer(Response::Instance(None)), Effect::Wait(_)), "one empty listing proves nothing");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().ends_with("; the instance is gone, it could not be started again"), "{}", bake.reason());
}

#[test]
fn while_it_starts_an_instance_is_taken_but_no_builder() {
    let mut bake = stopped_and_creating();
    assert!(bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
}

// Deadline

#[test]
fn the_deadline_while_admission_is_closed_names_the_cause() {
    let held =
        || Event::AdmissionClosed { code: ReasonCode::Credentials, why: "credentials: the key is disabled".into() };
    let mut bake = Fixture::new(settings());
    bake.apply(held());
    assert_eq!(bake.state(), "queued", "not past its deadline yet");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.apply(held()), Effect::Done);
    assert_eq!(bake.state(), "skipped");
    assert_eq!(bake.reason(), "no bake was admitted before the deadline: credentials: the key is disabled");
}

#[test]
fn the_deadline_while_queued_is_a_skip_with_its_reason() {
    let mut bake = Fixture::new(settings());
    bake.pass(settings().deadline);
    assert_eq!(bake.due(), Effect::Wait(slot()), "not past it yet");
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "waited past its deadline (2h after the slot) for its instance or a builder";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
    assert_eq!(bake.bake.state.work(), None, "no version is used up");
}

#[test]
fn the_deadline_while_waiting_for_the_cloud_names_what_it_waited_for() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Busy, "ExceedBuilderQuota");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_poll(&bake.due()));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    let what = "it waited for the cloud: ExceedBuilderQuota: the cloud's words";
    let reason = format!("no image could be started before the deadline (2h after the slot): {what}");
    assert_eq!((bake.state(), bake.reason()), ("failed", reason.as_str()));
}

#[test]
fn a_task_that_was_ours_is_found_past_the_deadline() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!(bake.state(), "building");
}

#[test]
fn the_search_past_the_deadline_is_the_last_one() {
    for class in [ErrorClass::Transient, ErrorClass::Busy, ErrorClass::Credential, ErrorClass::Unclear] {
        let mut bake = Fixture::creating();
        bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
        bake.pass(settings().deadline + Duration::from_secs(1));
        bake.due();
        assert_eq!(bake.refuse(class, "Whatever"), Effect::Done);
        assert_eq!(bake.state(), "failed");
    }
}

#[test]
fn a_throttled_create_past_the_deadline_is_given_up() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

#[test]
fn the_deadline_while_stopping_starts_the_instance_again() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    while bake.state() == "stopping" {
        if bake.due() == POLL_INSTANCE && bake.state() == "stopping" {
            bake.answer(between());
        }
    }
    assert!(bake.now <= later(slot(), settings().deadline + POLL));
    assert_eq!((bake.state(), bake.answer(powered(PowerState::Stopped))), ("starting", START));
}

#[test]
fn the_deadline_passes_during_the_search_before_the_create() {
    let mut bake = Fixture::new(settings());
    bake.pass(settings().deadline);
    assert!(is_poll(&bake.admit()));
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

#[test]
fn a_deadline_of_its_own_counts_and_nothing_is_begun_after_it() {
    let caught_up = |stop_instance, hooks: Hooks| {
        let mut bake = Fixture::new(BakeSettings { stop_instance, hooks, ..settings() });
        // Found a day late, and queued then.
        bake.now = later(slot(), Duration::from_hours(24));
        bake.bake.trigger = Trigger::CaughtUp;
        bake.bake.give_up_at = later(bake.now, settings().deadline);
        bake
    };
    for hooks in [Hooks::default(), hooks()] {
        let mut bake = caught_up(StopInstance::Required, hooks.clone());
        assert_eq!(bake.admit(), POLL_INSTANCE);
        assert_eq!(bake.bake.state.wake_at(), Some(bake.now));

        // Past it, neither a hook nor a stop.
        let mut late = caught_up(StopInstance::Required, hooks.clone());
        late.pass(settings().deadline + Duration::from_secs(1));
        assert_eq!(late.admit(), Effect::Done);
        assert_eq!((late.state(), late.code()), ("skipped", Some(ReasonCode::Deadline)));
        assert_eq!(late.reason(), "waited past its deadline (2h after it was caught up) for its instance or a builder");

        bake.pass(settings().deadline + Duration::from_secs(1));
        let mut effect = bake.answer(powered(PowerState::Running));
        for wanted in if hooks.is_empty() { vec![] } else { vec!["/f2", "/f1"] } {
            assert_eq!(program(&effect), wanted, "it failed, and before did not begin");
            effect = bake.answer(ok());
        }
        assert_eq!(effect, Effect::Done, "the deadline has passed during the search");
        assert_eq!((bake.state(), bake.restart_pending()), ("failed", false));
    }
    let mut plain = caught_up(StopInstance::Never, Hooks::default());
    assert!(is_poll(&plain.admit()), "baked as any late one");
}

// Events out of turn, and what the history keeps

#[test]
fn an_event_that_does_not_belong_changes_nothing() {
    let mut queued = Fixture::new(settings());
    queued.answer(Response::Created(made("imgc-1")));
    assert_eq!(queued.bake.state, State::Queued { not_before: slot(), suspended: None });

    let mut building = Fixture::building();
    let before = building.bake.state.clone();
    assert_eq!(building.admit(), building.wait(POLL));
    assert_eq!(building.bake.state, before);
}

/// Rows of earlier releases must stay readable: a change here needs a migration.
#[test]
fn the_history_spelling_of_a_state_is_fixed() {
    let bake = Fixture::unknown();
    let mut text: serde_json::Value = serde_json::to_value(&bake.bake.state).expect("a state is JSON");
    text["next"].take();
    text["work"]["image_name"].take();
    let expected = serde_json::json!({
        "state": "unknown",
        "work": {
            "version": 7, "image_name": null, "attempts": 1, "restart_pending": false,
            "evidence": { "first_sent": "2026-03-02T03:00:00Z" },
        },
        "since": "2026-03-02T03:00:00Z",
        "polls": 0,
        "next": null,
        "why": "Timeout: the cloud's words",
    });
    assert_eq!(text, expected);
    // Rows of releases that knew no evidence.
    text["next"] = "2026-03-02T03:00:02Z".into();
    text["work"]["image_name"] = "golden-v7".into();
    text["work"].as_object_mut().expect("an object").remove("evidence");
    serde_json::from_value::<State>(text).expect("a state can be read back");

    let ended = State::Ended { work: None, end: End::Skipped { code: ReasonCode::Paused, reason: "paused".into() } };
    let text = serde_json::to_string(&ended).expect("a state is JSON");
    assert_eq!(text, r#"{"state":"ended","work":null,"end":{"end":"skipped","code":"paused","reason":"paused"}}"#);
}

// Connected users

#[test]
fn a_connected_user_is_waited_for_in_the_queue() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), POLL_INSTANCE);
    let since = bake.now;
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    assert_eq!(bake.state(), "queued");
    assert_eq!(
        bake.reason(),
        "waits for alice to leave, who is connected to the instance; next try Mon 2026-03-02 11:00:30 +08:00, until Mon \
         2026-03-02 12:00 +08:00 at most"
    );
    assert!(!bake.bake.state.holds_builder() && !bake.bake.state.holds_instance());

    for _ in 0..3 {
        bake.pass(Duration::from_mins(10));
        bake.crash();
        assert_eq!(bake.apply(Event::Admitted { version: 99 }), POLL_INSTANCE);
        assert_eq!(bake.state(), "preparing");
        bake.answer(in_use());
        assert_eq!(bake.bake.state.work().map(|work| work.version), Some(7), "versions are not burnt by waiting");
        assert_eq!(bake.bake.state.waiting().map(|waiting| waiting.since), Some(since));
    }
    bake.pass(Duration::from_mins(10));
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP, "this poll is the one right before the stop");
    assert!(bake.restart_pending());
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.reason(), "image made; waited 40m for a connected user to leave");
}

#[test]
fn a_user_who_stays_too_long_costs_the_slot() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(in_use());
    bake.pass(Duration::from_mins(59));
    bake.admit();
    let Effect::Wait(until) = bake.answer(in_use()) else { panic!("does not wait") };
    assert_eq!(until, later(bake.now, POLL));
    bake.now = later(slot(), Duration::from_hours(1));
    bake.admit();
    assert_eq!(bake.answer(in_use()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("skipped", "somebody was connected to the instance for 1h"));
}

#[test]
fn the_deadline_bounds_the_wait() {
    let settings =
        BakeSettings { stop_instance: StopInstance::Required, connected_wait: Duration::from_hours(9), ..settings() };
    let mut bake = Fixture::new(settings);
    bake.admit();
    bake.answer(in_use());
    bake.pass(Duration::from_hours(3));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "somebody was connected to the instance until the deadline (2h after the slot)";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn a_wait_survives_a_clock_that_is_set_back() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.pass(Duration::from_mins(30));
    bake.admit();
    bake.answer(in_use());
    bake.now = slot() - TimeDelta::hours(5);
    bake.admit();
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    bake.pass(POLL);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.bake.state.work().map(|work| work.notes.len()), Some(1));
}

#[test]
fn if_connected_is_skip() {
    let mut bake = Fixture::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Skip,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), Effect::Done);
    let reason = "alice was connected to the instance, and if_connected is \"skip\"";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn if_connected_is_proceed() {
    let mut bake = Fixture::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Proceed,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), STOP);
    bake.answer(Response::Accepted);
    bake.apply(Event::Cancelled { by: "ops".into() });
    bake.pass(POLL);
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Accepted);
    bake.answer(in_use());
    let reason = "cancelled by ops; alice was connected; stopped nevertheless, because if_connected is \"proceed\"";
    assert_eq!((bake.state(), bake.reason()), ("cancelled", reason), "who works on it shows that it runs");
}

#[test]
fn users_do_not_matter_to_an_instance_that_is_not_stopped() {
    let mut bake = Fixture::new(BakeSettings { if_connected: IfConnected::Skip, ..settings() });
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_bake_that_waits_for_a_user_can_be_cancelled() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(in_use());
    assert_eq!(bake.bake.state.cannot_be_cancelled(), None);
    assert_eq!(bake.apply(Event::Cancelled { by: "ops".into() }), Effect::Done);
    assert_eq!(bake.state(), "cancelled");
}

// Hooks

#[test]
fn hooks_nest_around_a_stop() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    assert_eq!(bake.admit(), POLL_INSTANCE, "no hook runs before it is known that nobody is connected");
    assert_eq!(program(&bake.answer(powered(PowerState::Running))), "/b1");
    assert_eq!(bake.state(), "preparing");
    assert_eq!(program(&bake.answer(ok())), "/b2");
    assert_eq!(bake.answer(ok()), POLL_INSTANCE, "and again before the stop");
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), POLL_INSTANCE);
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    let last = bake.answer(powered(PowerState::Running));
    assert_eq!((program(&last), bake.state()), ("/a2", "finishing"), "what undoes goes backwards");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    assert_eq!((hook_of(&last).moment, hook_of(&last).number), (Moment::After, 2));
    assert_eq!(program(&bake.answer(ok())), "/a1");
    assert_eq!(bake.answer(ok()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("succeeded", "image made"));
}

#[test]
fn a_user_who_comes_while_hooks_run_is_waited_for_and_before_does_not_run_again() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(in_use());
    assert_eq!(bake.state(), "queued");
    bake.pass(POLL);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    let mut waits = bake;
    waits.bake.state = State::Queued {
        not_before: slot(),
        suspended: Some(Suspended {
            work: BakeWork { end_hooks_pending: true, version: 7, ..BakeWork::default() },
            resume: Resume::Instance,
        }),
    };
    let end = waits.apply(Event::Cancelled { by: "ops".into() });
    assert_eq!((program(&end), waits.state()), ("/a2", "finishing"), "the end hooks run");
}

#[test]
fn hooks_around_a_plain_bake_need_no_poll() {
    let mut bake = Fixture::new(with_hooks(Hooks { on_failure: Vec::new(), ..hooks() }));
    assert_eq!(program(&bake.admit()), "/b1");
    bake.answer(ok());
    assert!(is_create(&bake.answer(ok())));
    assert_eq!(program(&bake.refuse(ErrorClass::Permanent, "NoPermission")), "/a2");
}

#[test]
fn before_that_takes_long_makes_the_create_search_first() {
    let mut bake = Fixture::new(with_hooks(Hooks { before: commands(&["/b1"]), ..Hooks::default() }));
    bake.admit();
    bake.pass(Duration::from_mins(3));
    assert!(is_poll(&bake.answer(ok())));
}

#[test]
fn before_that_outlasts_the_deadline_ends_the_bake() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.pass(Duration::from_hours(3));
    assert_eq!(program(&bake.answer(ok())), "/f2");
    assert!(bake.reason().starts_with("no image could be started before the deadline"), "{}", bake.reason());
}

#[test]
fn a_veto_skips_the_slot_and_runs_the_end_hooks() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    let end = bake.answer(ran(HookResult::Exited(4)));
    assert_eq!(program(&end), "/a2", "a slot that is skipped did not fail");
    bake.answer(ok());
    assert_eq!(bake.answer(ok()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("skipped", "vetoed by /b1: its last words"));
}

#[test]
fn a_before_hook_that_cannot_decide_fails_the_bake() {
    for (result, permanent, words) in [
        (HookResult::TimedOut(Duration::from_mins(5)), false, "not done after 5m, ended"),
        (HookResult::NotStarted("no such file".into()), true, "cannot be started: no such file"),
        (HookResult::Killed(11), false, "killed by signal 11"),
    ] {
        let mut bake = Fixture::new(with_hooks(hooks()));
        bake.admit();
        bake.answer(ok());
        assert_eq!(program(&bake.answer(ran(result))), "/f2");
        assert_eq!(program(&bake.answer(ok())), "/f1");
        assert_eq!(program(&bake.answer(ok())), "/a2");
        bake.answer(ok());
        bake.answer(ok());
        assert_eq!(bake.reason(), format!("the hook /b2 of before failed: {words}"));
        let State::Ended { end: End::Failed { permanent: variables, .. }, .. } = bake.bake.state else {
            panic!("not failed")
        };
        assert_eq!(variables, permanent);
    }
}

#[test]
fn end_hooks_change_nothing_and_are_noted() {
    let mut bake = Fixture::new(with_hooks(Hooks { before: Vec::new(), ..hooks() }));
    assert!(is_create(&bake.admit()));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(ran(HookResult::Exited(1)));
    assert_eq!(bake.answer(ran(HookResult::TimedOut(Duration::from_mins(5)))), Effect::Done);
    let reason = "image made; the hook /a2 of after failed: exit status 1; \
                  the hook /a1 of after failed: not done after 5m, ended";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", reason));
}

#[test]
fn hooks_cut_off_by_a_crash_run_again() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/b2");
    bake.answer(ok());
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/f1");
}

#[test]
fn a_bake_cancelled_in_its_hooks_runs_the_end_hooks() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    assert_eq!(program(&bake.apply(Event::Cancelled { by: "ops".into() })), "/a2", "it did not fail");
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
}

#[test]
fn a_hook_gets_the_variables_of_its_bake_and_no_others() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    let variables = |effect: &Effect| hook_of(effect).environment.clone();
    let mut wanted = vec![
        ("IMAGEBAKED_HOOK", "before"),
        ("IMAGEBAKED_BAKE_ID", "1"),
        ("IMAGEBAKED_SCHEDULE", "golden"),
        ("IMAGEBAKED_SCHEDULE_ID", "golden"),
        ("IMAGEBAKED_INSTANCE_ID", "ecd-1"),
        ("IMAGEBAKED_LINE", "golden"),
        ("IMAGEBAKED_SLOT", "2026-03-02T03:00:00Z"),
        ("IMAGEBAKED_VERSION", "7"),
        ("IMAGEBAKED_IMAGE_NAME", "golden-20260302-1100-v7"),
    ];
    let named = |wanted: &[(&'static str, &str)]| -> Vec<_> {
        wanted.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    assert_eq!(variables(&bake.admit()), named(&wanted));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    let last = bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    wanted[0].1 = "on_failure";
    let Some(reason) = bake.bake.state.reason() else { panic!("{:?}", bake.bake.state) };
    wanted.extend([("IMAGEBAKED_IMAGE_ID", "imgc-1"), ("IMAGEBAKED_STATE", "failed"), ("IMAGEBAKED_REASON", reason)]);
    assert_eq!(variables(&last), named(&wanted));
}

// Rows of older versions

#[test]
fn states_and_settings_of_older_versions_can_be_read() {
    let queued: State =
        serde_json::from_str(r#"{"state":"queued","not_before":"2026-03-02T03:00:00Z"}"#).expect("read");
    assert_eq!(queued, State::Queued { not_before: slot(), suspended: None });
    let waits = r#"{"state":"queued","not_before":"2026-03-02T03:00:00Z","kept":{"work":{"version":7,"image_name":"x",
        "attempts":0,"owes_start":false},"waiting":{"since":"2026-03-02T03:00:00Z","why":"waits for alice to leave"}}}"#;
    let waits: State = serde_json::from_str(waits).expect("read");
    assert_eq!(waits.reason(), Some("waits for alice to leave"));
    let waiting = waits.waiting().expect("it waits");
    assert_eq!((waiting.since, waiting.on), (slot(), WaitReason::Users));
    let starting = r#"{"state":"starting","work":{"version":7,"image_name":"x","attempts":1,"owes_start":true},
        "end":{"end":"skipped","reason":"no"},"tries":3,"next":"2026-03-02T03:00:00Z"}"#;
    assert!(serde_json::from_str::<State>(starting).expect("read").work().is_some_and(|work| work.restart_pending));

    let mut json = serde_json::to_value(settings()).expect("JSON");
    for key in ["if_connected", "connected_wait"] {
        assert!(json.as_object_mut().expect("an object").remove(key).is_some());
    }
    assert_eq!(serde_json::from_value::<BakeSettings>(json).expect("read"), settings());
    let with_hooks = with_hooks(hooks());
    let json = serde_json::to_string(&with_hooks).expect("JSON");
    assert_eq!(serde_json::from_str::<BakeSettings>(&json).expect("read"), with_hooks);
}

fn until_noon(stop_instance: StopInstance) -> Fixture {
    // The slot is at 11:00 in Shanghai.
    let not_after = chrono::NaiveTime::from_hms_opt(12, 0, 0);
    Fixture::new(BakeSettings { not_after, stop_instance, ..settings() })
}

#[test]
fn nothing_begins_after_not_after() {
    let noon = slot() + TimeDelta::hours(1);
    let after = noon + TimeDelta::seconds(1);

    let mut queued = until_noon(StopInstance::Never);
    queued.now = noon;
    queued.admit();
    assert_eq!(queued.state(), "ready", "at noon it may begin");
    let mut queued = until_noon(StopInstance::Never);
    queued.now = after;
    assert_eq!((queued.admit(), queued.state()), (Effect::Done, "skipped"));
    assert_eq!(queued.code(), Some(ReasonCode::Deadline));
    assert!(queued.reason().contains("not_after, 12:00 Asia/Shanghai"), "{}", queued.reason());

    // A stop that was decided too late is not sent, and one that was sent is followed by the start.
    let mut late = until_noon(StopInstance::Required);
    assert_eq!(late.admit(), POLL_INSTANCE);
    late.now = after;
    assert_eq!((late.answer(powered(PowerState::Running)), late.state()), (Effect::Done, "skipped"));
    let mut stopped = until_noon(StopInstance::Required);
    stopped.admit();
    assert_eq!(stopped.answer(powered(PowerState::Running)), STOP);
    stopped.answer(Response::Accepted);
    stopped.now = after;
    assert_eq!((stopped.due(), stopped.state()), (POLL_INSTANCE, "starting"));
    stopped.answer(powered(PowerState::Stopped));
    stopped.answer(Response::Accepted);
    stopped.answer(powered(PowerState::Running));
    assert_eq!((stopped.state(), stopped.code()), ("skipped", Some(ReasonCode::Deadline)));
}

#[test]
fn what_it_waited_for_till_not_after_is_in_the_reason() {
    let mut bake = until_noon(StopInstance::Required);
    bake.admit();
    while bake.answer(powered(PowerState::Transitioning("Migrating".into()))) != Effect::Done
        && !bake.bake.state.is_ended()
    {
        bake.due();
    }
    assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::Deadline)));
    assert!(bake.reason().contains("Migrating"), "{}", bake.reason());

    let mut held = until_noon(StopInstance::Never);
    held.now = slot() + TimeDelta::minutes(61);
    held.apply(Event::AdmissionClosed { code: ReasonCode::Outage, why: "the cloud cannot be reached".into() });
    assert_eq!((held.state(), held.code()), ("skipped", Some(ReasonCode::Deadline)));
}

#[test]
fn a_conflict_at_the_stop_passes_and_spends_no_attempt() {
    for code in [
        "IncorrectDesktopStatus",
        "IncorrectInstanceStatus",
        "OperationConflict",
        "OperationDenied.ImageCopying",
        "ResourceBusy",
        "DesktopStatusNotSupport",
    ] {
        for stop_instance in [StopInstance::IfRunning, StopInstance::Required] {
            let mut bake = Fixture::stopping(stop_instance);
            bake.admit();
            for _ in 0..5 {
                assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
                bake.refuse(ErrorClass::Busy, code);
                assert_eq!((bake.state(), bake.attempts(), bake.restart_pending()), ("queued", 0, false), "{code}");
                assert!(bake.reason().starts_with(&format!("waits for the cloud: {code}: ")), "{}", bake.reason());
                assert_eq!(bake.due(), POLL_INSTANCE);
            }
            // The conflict is over: the machine is stopped, and its image is made of the stopped machine.
            assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
            bake.answer(Response::Accepted);
            bake.due();
            bake.answer(powered(PowerState::Stopped));
            assert!(is_create(&bake.answer(Response::Found(None))), "{code}");
            assert_eq!(bake.bake.state.work().map(|work| work.notes.len()), Some(0));

            let mut bake = Fixture::stopping(stop_instance);
            bake.admit();
            while !bake.bake.state.is_ended() {
                bake.answer(powered(PowerState::Running));
                bake.refuse(ErrorClass::Busy, code);
                bake.due();
            }
            assert!(bake.now > bake.bake.give_up_at, "{code} is waited for until the deadline");
        }
    }
}

#[test]
fn an_image_of_a_machine_that_could_not_be_stopped_has_a_note() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(powered(PowerState::Running));
    while !bake.bake.state.is_ended() {
        bake.due();
        bake.answer(powered(PowerState::Running));
    }
    let wanted = "image made; imaged without a stop, which the cloud refused: NoPermission: the cloud's words";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", wanted));
}

/// Its instance is stopped, the create call is refused with `code`, and then every one until the instance is started again.
#[track_caller]
fn refused_until_restarted(bake: &mut Fixture, code: &str) {
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    let stopped_at = bake.now;
    for _ in 0..1000 {
        if bake.state() == "starting" {
            assert_eq!(bake.now, later(stopped_at, bake.bake.settings.max_downtime), "no later and no earlier");
            return;
        }
        if bake.state() == "creating" {
            bake.refuse(ErrorClass::Busy, code);
            assert_eq!(bake.state(), "ready");
            bake.due();
        } else {
            bake.answer(Response::Found(None));
        }
    }
    panic!("never started again: {:?}", bake.bake.state);
}

/// The instance runs when it is asked for; it is stopped, and started again once the image is AVAILABLE.
fn stops_and_makes_its_image(bake: &mut Fixture) {
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    runs_again(bake);
}

fn runs_again(bake: &mut Fixture) -> Effect {
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Running))
}

#[test]
fn a_stopped_instance_runs_again_after_max_downtime_and_is_stopped_once_more_at_most() {
    for code in ["ExceedBuilderQuota", "LimitExceeded", "ImageCreateByInstance.TaskExist"] {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        refused_until_restarted(&mut bake, code);
        assert!(bake.reason().contains(code), "{}", bake.reason());
        let effect = runs_again(&mut bake);
        assert_eq!((bake.state(), bake.restart_pending(), bake.attempts()), ("queued", false, 0));
        assert_eq!(effect, bake.wait(settings().max_downtime), "it runs for as long as it was stopped");
        assert!(bake.reason().contains(code) && bake.reason().contains("next try"), "{}", bake.reason());

        bake.crash();
        assert_eq!(bake.due(), POLL_INSTANCE);
        let mut good = Fixture { bake: bake.bake.clone(), pace: pace(), rng: Rng::with_seed(1), now: bake.now };
        refused_until_restarted(&mut bake, code);
        runs_again(&mut bake);
        assert_eq!(bake.state(), "failed", "{:?}", bake.bake.state);
        assert!(bake.reason().contains("2 times for 30m (max_downtime)"), "{}", bake.reason());

        stops_and_makes_its_image(&mut good);
        assert_eq!(good.state(), "succeeded");
        assert!(good.reason().contains("started again after 30m (max_downtime)"), "{}", good.reason());
    }
}

/// Only deleted images make room, and that takes longer than the instance has to be down.
#[test]
fn an_instance_is_started_at_once_where_the_image_quota_is_full() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    let refused = |bake: &mut Fixture| {
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        bake.answer(Response::Accepted);
        bake.due();
        bake.answer(powered(PowerState::Stopped));
        assert!(is_create(&bake.answer(Response::Found(None))));
        assert!(!bake.bake.only_restarts(bake.now, TimeDelta::zero()));
        assert_eq!(bake.refuse(ErrorClass::Busy, "QuotaExceeded.Image"), Effect::Wait(bake.now));
        assert!(bake.bake.only_restarts(bake.now, TimeDelta::zero()), "it begins nothing more while the quota is full");
        assert!(is_poll(&bake.due()), "an image of the slot may be there all the same");
        // The list cannot be read: it is asked again later, not at once.
        assert_ne!(bake.refuse(ErrorClass::Transient, "InternalError"), Effect::Wait(bake.now));
        assert!(is_poll(&bake.due()));
        assert!(is_create(&bake.answer(Response::Found(None))), "the quota is not what it waited for last");
        bake.refuse(ErrorClass::Busy, "QuotaExceeded.Image");
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None))
    };
    assert_eq!(refused(&mut bake), POLL_INSTANCE);
    let effect = runs_again(&mut bake);
    assert_eq!((bake.state(), effect), ("queued", bake.wait(settings().max_downtime)));
    let mut good = Fixture { bake: bake.bake.clone(), pace: pace(), rng: Rng::with_seed(1), now: bake.now };

    assert_eq!(good.due(), POLL_INSTANCE);
    stops_and_makes_its_image(&mut good);
    assert!(
        good.reason().contains("the instance was started again: the bake waited for the cloud: QuotaExceeded.Image")
    );

    assert_eq!(bake.due(), POLL_INSTANCE);
    refused(&mut bake);
    runs_again(&mut bake);
    assert_eq!((bake.state(), bake.code()), ("failed", Some(ReasonCode::Quota)));
    assert!(bake.reason().contains("while the instance was stopped, 2 times: it waited for"), "{}", bake.reason());
}

#[test]
fn hooks_run_around_each_stop() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    for turn in 0..2 {
        assert_eq!(program(&bake.answer(powered(PowerState::Running))), "/b1", "turn {turn}");
        assert_eq!(program(&bake.answer(ok())), "/b2");
        assert_eq!(bake.answer(ok()), POLL_INSTANCE);
        refused_until_restarted(&mut bake, "ExceedBuilderQuota");
        let first = if turn == 0 { "/a2" } else { "/f2" };
        assert_eq!(program(&runs_again(&mut bake)), first, "only the end is a failure");
        let rest = if turn == 0 { vec!["/a1"] } else { vec!["/f1", "/a2", "/a1"] };
        let mut effect = bake.answer(ok());
        for wanted in rest {
            assert_eq!(program(&effect), wanted);
            effect = bake.answer(ok());
        }
        assert_eq!(bake.state(), ["queued", "failed"][turn]);
        if turn == 0 {
            assert_eq!(bake.due(), POLL_INSTANCE);
        }
    }
}

#[test]
fn nothing_is_started_while_an_image_may_be_in_the_making() {
    // The create call is unclear: max_downtime passes, and the image is searched for.
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.due();
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.pass(Duration::from_hours(1));
    bake.refuse(ErrorClass::Unclear, "Timeout");
    assert_eq!(bake.state(), "unknown");
    assert!(is_poll(&bake.due()));

    // After TaskExist a search that finds the image follows it, however long the instance is stopped.
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Found(None));
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.pass(Duration::from_hours(1));
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.restart_pending()), ("building", true));
}

fn rebaking(rebakes: u32) -> Fixture {
    let mut bake = Fixture::new(BakeSettings { retry: RetryPolicy { rebakes, ..settings().retry }, ..settings() });
    bake.admit();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake
}

#[test]
fn an_image_that_failed_is_created_again_with_the_next_version() {
    let mut bake = rebaking(1);
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    assert_eq!((bake.state(), bake.bake.state.needs_version()), ("ready", true));
    assert!(bake.reason().contains("CREATE_FAILED for image imgc-1"), "{}", bake.reason());
    bake.crash();
    let effect = bake.apply(Event::Renumbered { version: 8 });
    let Effect::Call(Call::FindImage(identity)) = &effect else { panic!("{effect:?}") };
    let failed = seen("imgc-1", ImageStatus::CreateFailed);
    assert_eq!((identity.version, identity.matches(&failed)), (8, false), "the failed image is found no more");
    let create = bake.answer(Response::Found(None));
    let Effect::Call(Call::CreateImage(identity)) = &create else { panic!("{create:?}") };
    assert_eq!(identity.image_name, "golden-20260302-1100-v8");
    bake.answer(Response::Created(made("imgc-2")));
    bake.due();
    let second = RemoteImage { name: "golden-20260302-1100-v8".into(), ..seen("imgc-2", ImageStatus::Available) };
    assert_eq!(bake.answer(Response::Image(Some(second))), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
    assert!(bake.reason().contains("CREATE_FAILED for image imgc-1"), "{}", bake.reason());
}

#[test]
fn it_is_created_again_as_often_as_rebakes_allows_and_not_past_the_deadline() {
    let mut bake = rebaking(1);
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    bake.apply(Event::Renumbered { version: 8 });
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-2")));
    bake.due();
    let second = RemoteImage { name: "golden-20260302-1100-v8".into(), ..seen("imgc-2", ImageStatus::CreateFailed) };
    assert_eq!(
        (bake.answer(Response::Image(Some(second))), bake.code()),
        (Effect::Done, Some(ReasonCode::CreatedFailed))
    );

    let mut late = rebaking(1);
    late.now = late.bake.give_up_at + TimeDelta::seconds(1);
    late.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    assert_eq!((late.state(), late.code()), ("failed", Some(ReasonCode::CreatedFailed)));
}

#[test]
fn on_failure_runs_once_for_every_failed_bake_and_after_only_if_before_began() {
    // Failed in the queue, without a version.
    let mut bake = Fixture::new(with_hooks(hooks()));
    let failed = bake.apply(Event::NoVersion { why: "no version left".into() });
    assert_eq!(program(&failed), "/f2");
    let names: Vec<_> = hook_of(&failed).environment.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&"IMAGEBAKED_REASON") && !names.contains(&"IMAGEBAKED_VERSION"), "{names:?}");
    bake.crash();
    assert_eq!(program(&bake.due()), "/f2", "a hook that was interrupted runs again");
    assert_eq!(program(&bake.answer(ok())), "/f1");
    assert_eq!((bake.answer(ok()), bake.state()), (Effect::Done, "failed"));
    assert_eq!(bake.bake.state.work(), None);

    // Failed at its instance, before `before`.
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    assert_eq!(program(&bake.refuse(ErrorClass::Permanent, "NoPermission")), "/f2");
    assert_eq!(program(&bake.answer(ok())), "/f1");
    assert_eq!((bake.answer(ok()), bake.state()), (Effect::Done, "failed"));

    // Skipped and cancelled bakes have not failed.
    let mut bake = Fixture::new(with_hooks(hooks()));
    assert_eq!(bake.apply(Event::Cancelled { by: "ops".into() }), Effect::Done);
}
