//! Each documented path of a bake by its name. What no path may ever do is in `state_model.rs`.

use std::sync::Arc;

use chrono::{TimeDelta, TimeZone};

use super::{
    super::{
        Trigger,
        hooks::Hooks,
        settings::{BakeSettings, CONNECTED_WAIT, DiskType, IfConnected, InstanceType, RetryPolicy, StoppedMode},
    },
    *,
};
use crate::ids::{BakeId, ImageId};

const POLL: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_mins(5);

/// The slot of every bake here.
pub fn slot() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 3, 0, 0).single().expect("a real instant")
}

pub fn settings() -> BakeSettings {
    BakeSettings {
        instance_type: InstanceType::CloudDesktop,
        instance_region: "cn-shanghai".into(),
        sub_instance_id: None,
        disk_type: DiskType::All,
        auto_clean_userdata: None,
        copy_profile: None,
        biz_type: None,
        product_type: None,
        tags: [("team".to_owned(), "desktops".to_owned())].into(),
        image_name: "golden-{slot:%Y%m%d}-v{version}".into(),
        description: None,
        timezone: crate::zone::Zone::find("Asia/Shanghai").unwrap(),
        deadline: Duration::from_hours(2),
        build_deadline: Duration::from_hours(6),
        retry: RetryPolicy { attempts: 3, base: Duration::from_secs(30), cap: Duration::from_mins(10) },
        stop_instance: StopInstance::Never,
        stopped_mode: StoppedMode::KeepCharging,
        if_connected: IfConnected::Wait,
        connected_wait: CONNECTED_WAIT,
        hooks: Hooks::default(),
        regions: Vec::new(),
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
        settings,
        state: State::Queued { not_before: slot(), kept: None },
    }
}

pub fn refusal(class: Class, code: &str) -> Refusal {
    Refusal {
        class,
        code: Some(code.to_owned()),
        message: "the cloud's words".to_owned(),
        advice: "".into(),
        http_status: Some(400),
        request_id: None,
        retry_after: None,
    }
}

/// One bake, told what happens to it.
struct Told {
    bake: Bake,
    pace: Pace,
    rng: Rng,
    now: DateTime<Utc>,
}

impl Told {
    fn new(settings: BakeSettings) -> Self {
        Self {
            bake: a_bake(Arc::new(settings)),
            pace: Pace { poll_interval: POLL, lookup_window: WINDOW, owner: "ops".into() },
            rng: Rng::with_seed(1),
            now: slot(),
        }
    }

    fn stopping(stop_instance: StopInstance) -> Self {
        Self::new(BakeSettings { stop_instance, ..settings() })
    }

    /// Admitted at the slot with an instance that is imaged as it is: the create call is under way.
    fn creating() -> Self {
        let mut bake = Self::new(settings());
        assert!(matches!(bake.admit(), Effect::Call(Call::CreateImage(_))));
        bake
    }

    fn building() -> Self {
        let mut bake = Self::creating();
        assert_eq!(bake.answer(Answer::Created(made("imgc-1"))), bake.wait(POLL));
        bake
    }

    fn unknown() -> Self {
        let mut bake = Self::creating();
        bake.refuse(Class::Unclear, "Timeout");
        assert_eq!(bake.state(), "unknown");
        bake
    }

    fn tell(&mut self, event: Event) -> Effect {
        let (state, effect) = step(&self.bake, event, self.now, &self.pace, &mut self.rng);
        self.bake.state = state;
        effect
    }

    fn admit(&mut self) -> Effect {
        self.tell(Event::Admitted { version: 7 })
    }

    fn answer(&mut self, answer: Answer) -> Effect {
        self.tell(Event::Answered(answer))
    }

    fn refuse(&mut self, class: Class, code: &str) -> Effect {
        self.answer(Answer::Refused(refusal(class, code)))
    }

    /// The instant it waits for has come.
    fn due(&mut self) -> Effect {
        self.now = self.now.max(self.bake.state.wake_at().expect("it is not over"));
        self.tell(Event::Due)
    }

    fn pass(&mut self, pause: Duration) {
        self.now = later(self.now, pause);
    }

    /// The process is gone, and with it the call under way.
    fn crash(&mut self) {
        let text = serde_json::to_string(&self.bake.state).expect("a state is JSON");
        self.bake.state = serde_json::from_str(&text).expect("a state can be read back");
    }

    fn wait(&self, pause: Duration) -> Effect {
        Effect::Wait(later(self.now, pause))
    }

    fn state(&self) -> &'static str {
        self.bake.state.as_str()
    }

    fn reason(&self) -> &str {
        self.bake.state.reason().expect("a reason")
    }

    fn attempts(&self) -> u32 {
        self.bake.state.work().expect("it began").attempts
    }

    fn owes_start(&self) -> bool {
        self.bake.state.work().expect("it began").owes_start
    }
}

fn made(id: &str) -> MadeImage {
    MadeImage { image_id: id.into(), version_id: Some("iv-1".into()), task_id: Some("tid-1".into()) }
}

fn seen(id: &str, status: ImageStatus) -> SeenImage {
    let name = "golden".to_owned();
    SeenImage { image_id: id.into(), version_id: Some("iv-1".into()), name, status, tags: [].into() }
}

fn powered(power: Power) -> Answer {
    Answer::Instance(Some(power))
}

fn in_use() -> Answer {
    powered(Power::InUse("alice".into()))
}

fn with_hooks(hooks: Hooks) -> BakeSettings {
    BakeSettings { hooks, ..settings() }
}

fn commands(programs: &[&str]) -> Vec<HookCommand> {
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

fn ran(result: HookResult) -> Answer {
    Answer::Hook(HookOutcome { result, output: "its first words\nits last words\n\n".into() })
}

fn ok() -> Answer {
    ran(HookResult::Exited(0))
}

#[track_caller]
fn hook_of(effect: &Effect) -> &HookRun {
    let Effect::Call(Call::RunHook(run)) = effect else { panic!("runs no hook: {effect:?}") };
    run
}

#[track_caller]
fn program(effect: &Effect) -> &str {
    hook_of(effect).command.program()
}

fn between() -> Answer {
    powered(Power::Between("Stopping".into()))
}

const LOOK_AT_INSTANCE: Effect = Effect::Call(Call::DescribeInstance);
const STOP: Effect = Effect::Call(Call::StopInstance);
const START: Effect = Effect::Call(Call::StartInstance);

fn is_create(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::CreateImage(_)))
}

fn is_look(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::FindImage(_)))
}

// Create

#[test]
fn a_plain_night_makes_one_image() {
    let mut bake = Told::new(settings());
    let Effect::Call(Call::CreateImage(identity)) = bake.admit() else { panic!("no create call") };
    assert_eq!((identity.owner.as_str(), identity.version, identity.slot), ("ops", 7, slot()));
    assert_eq!(bake.state(), "creating");

    assert_eq!(bake.answer(Answer::Created(made("imgc-1"))), bake.wait(POLL));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::InProgress)))), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!((bake.state(), bake.reason(), bake.attempts()), ("succeeded", "image made", 1));
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")));
}

#[test]
fn a_create_within_a_minute_of_its_slot_does_not_look_first() {
    let mut bake = Told::new(settings());
    bake.pass(Duration::from_mins(1));
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_late_create_looks_first() {
    let mut bake = Told::new(settings());
    bake.pass(Duration::from_secs(61));
    assert!(is_look(&bake.admit()));
    assert_eq!(bake.state(), "ready");
    assert!(is_create(&bake.answer(Answer::Found(None))));
}

#[test]
fn a_late_create_that_finds_its_image_follows_it() {
    let mut bake = Told::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    bake.answer(Answer::Found(Some(seen("imgc-9", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 0));
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-9", ImageStatus::Available))));
    assert_eq!(bake.reason(), "image made; found in the cloud before the create call was made");
}

#[test]
fn a_throttled_create_is_tried_again_after_the_servers_delay() {
    let mut bake = Told::creating();
    let asked = Duration::from_secs(90);
    let throttled = Refusal { retry_after: Some(asked), ..refusal(Class::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Answer::Refused(throttled)) else { panic!("does not wait") };
    assert!(until >= later(bake.now, asked) && until <= later(bake.now, asked * 2), "{until}");
    assert_eq!((bake.state(), bake.attempts()), ("ready", 1));
    assert_eq!(bake.reason(), "Throttling.User: the cloud's words");
    assert!(is_create(&bake.due()), "nothing happened, so there is nothing to look for");
}

#[test]
fn a_servers_delay_of_a_day_is_not_believed() {
    let mut bake = Told::creating();
    let day = Duration::from_hours(24);
    let throttled = Refusal { retry_after: Some(day), ..refusal(Class::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Answer::Refused(throttled)) else { panic!("does not wait") };
    assert!(until <= later(bake.now, Duration::from_hours(2)), "{until}");
}

#[test]
fn a_create_that_keeps_failing_is_given_up_after_its_attempts() {
    let mut bake = Told::creating();
    for _ in 0..2 {
        bake.refuse(Class::Transient, "ServiceUnavailable");
        assert!(is_create(&bake.due()));
    }
    assert_eq!(bake.refuse(Class::Transient, "ServiceUnavailable"), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "gave up after 3 attempts: ServiceUnavailable: the cloud's words");
}

#[test]
fn a_permanent_refusal_fails_at_once_with_the_advice() {
    let mut bake = Told::creating();
    let forbidden = Refusal { advice: "grant the permission".into(), ..refusal(Class::Permanent, "NoPermission") };
    assert_eq!(bake.answer(Answer::Refused(forbidden)), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert_eq!(bake.reason(), "NoPermission: the cloud's words (grant the permission)");
}

#[test]
fn task_exist_waits_and_then_looks_before_the_next_create() {
    let mut bake = Told::creating();
    for _ in 0..20 {
        let effect = bake.refuse(Class::Busy, "ImageCreateByInstance.TaskExist");
        assert!(matches!(effect, Effect::Wait(_)));
        assert_eq!((bake.state(), bake.attempts()), ("ready", 0), "waiting uses no attempts");
        assert!(is_look(&bake.due()), "the task may be ours");
        assert!(is_create(&bake.answer(Answer::Found(None))));
    }
}

#[test]
fn refused_credentials_wait_like_a_look_and_use_no_attempts() {
    let mut bake = Told::creating();
    for _ in 0..20 {
        let Effect::Wait(until) = bake.refuse(Class::Credential, "InvalidAccessKeyId.NotFound") else {
            panic!("does not wait")
        };
        assert!(until >= later(bake.now, bake.pace.poll_interval / 2), "{until}");
        assert_eq!(bake.attempts(), 0);
        assert!(is_create(&bake.due()));
    }
}

#[test]
fn a_look_before_the_create_that_is_refused_for_good_fails() {
    let mut bake = Told::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    assert_eq!(bake.refuse(Class::Permanent, "NoPermission"), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

// Unknown

#[test]
fn an_unclear_create_is_looked_for_and_followed() {
    let mut bake = Told::unknown();
    assert!(is_look(&bake.due()));
    bake.answer(Answer::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 1));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
}

#[test]
fn an_unclear_create_whose_image_is_finished_succeeds() {
    let mut bake = Told::unknown();
    bake.due();
    assert_eq!(bake.answer(Answer::Found(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    let found = "found by name after the create call stayed unclear (Timeout: the cloud's words)";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", format!("image made; {found}").as_str()));
}

#[test]
fn an_unclear_create_is_repeated_only_after_the_look_up_window() {
    let mut bake = Told::unknown();
    let sent = slot();
    let mut looks = 0;
    while bake.state() == "unknown" {
        assert!(is_look(&bake.due()));
        bake.answer(Answer::Found(None));
        looks += 1;
    }
    assert!(looks > 4, "{looks} looks");
    assert!(bake.now >= later(sent, WINDOW), "given up at {}", bake.now);
    assert!(bake.now < later(sent, WINDOW + POLL), "the last look came late, at {}", bake.now);
    assert!(is_look(&bake.due()));
    assert!(is_create(&bake.answer(Answer::Found(None))));
}

#[test]
fn an_unclear_last_attempt_is_looked_for_before_it_is_given_up() {
    let mut bake = Told::new(BakeSettings { retry: RetryPolicy { attempts: 1, ..settings().retry }, ..settings() });
    bake.admit();
    bake.refuse(Class::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_look(&bake.due()));
        bake.answer(Answer::Found(None));
    }
    assert!(bake.now >= later(slot(), WINDOW));
    let reason = "gave up after 1 attempt: Timeout: the cloud's words; no image appeared within 5m";
    assert_eq!((bake.state(), bake.reason()), ("failed", reason));
}

#[test]
fn an_unclear_create_that_cannot_be_looked_for_fails_after_the_build_deadline() {
    let mut bake = Told::unknown();
    while bake.state() == "unknown" {
        bake.due();
        bake.refuse(Class::Permanent, "NoPermission");
    }
    assert!(bake.now >= later(slot(), settings().build_deadline));
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().contains("could not be looked for"), "{}", bake.reason());
}

#[test]
fn a_crash_under_a_create_call_is_an_unclear_create() {
    let mut bake = Told::creating();
    bake.crash();
    assert!(matches!(bake.due(), Effect::Wait(_)));
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
    assert_eq!(bake.reason(), "the daemon stopped before the create call was answered");
    assert!(is_look(&bake.due()));
}

#[test]
fn a_create_answered_with_something_else_is_unclear() {
    let mut bake = Told::creating();
    bake.answer(Answer::Accepted);
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
}

#[test]
fn a_clock_set_back_does_not_prolong_the_looking() {
    let mut bake = Told::creating();
    bake.now = slot() - TimeDelta::days(1);
    bake.refuse(Class::Unclear, "Timeout");
    let unclear = bake.now;
    while bake.state() == "unknown" {
        bake.due();
        bake.answer(Answer::Found(None));
    }
    assert!(bake.now < later(unclear, WINDOW + POLL), "{}", bake.now);
}

// Build

#[test]
fn create_failed_is_the_end() {
    let mut bake = Told::building();
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::CreateFailed)))), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert!(bake.reason().contains("CREATE_FAILED"), "{}", bake.reason());
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")), "the image is named, so that it can be looked up");
}

#[test]
fn an_image_deleted_under_way_is_the_end() {
    let mut bake = Told::building();
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Deleted)))), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "the image was deleted while it was being made"));
}

#[test]
fn an_unknown_status_is_tolerated_and_reported() {
    let mut bake = Told::building();
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::parse("Auditing"))))), bake.wait(POLL));
    assert_eq!((bake.state(), bake.reason()), ("building", "Auditing"));
}

#[test]
fn a_new_image_may_be_listed_late() {
    let mut bake = Told::building();
    bake.due();
    assert_eq!(bake.answer(Answer::Image(None)), bake.wait(POLL));
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_image_that_is_not_listed_any_more_has_vanished() {
    let mut bake = Told::building();
    bake.pass(Duration::from_hours(1));
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    let last_seen = bake.now;
    while bake.state() == "building" {
        bake.due();
        bake.answer(Answer::Image(None));
    }
    assert!(bake.now >= later(last_seen, WINDOW));
    assert_eq!((bake.state(), bake.reason()), ("failed", "the image vanished: it has not been listed for 5m"));
}

#[test]
fn refused_looks_at_an_image_do_not_end_it() {
    let mut bake = Told::building();
    for class in [Class::Transient, Class::Busy, Class::Credential, Class::Permanent, Class::Unclear] {
        bake.due();
        bake.refuse(class, "Whatever");
        assert_eq!(bake.state(), "building");
    }
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn stuck_after_the_build_deadline() {
    let mut bake = Told::building();
    while bake.state() == "building" {
        bake.due();
        bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    }
    assert_eq!(bake.now, later(slot(), settings().build_deadline));
    assert_eq!(bake.reason(), "stuck: the image is still CREATING after 6h, no longer followed");
}

#[test]
fn the_deadline_of_the_create_does_not_touch_an_image_being_made() {
    let mut bake = Told::building();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage(ImageId::new("imgc-1"))));
}

// Stop and start

/// Up to the create call of an instance that ran and was stopped.
fn stopped_and_creating() -> Told {
    let mut bake = Told::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(Power::Running));
    bake.answer(Answer::Accepted);
    bake.due();
    assert!(is_look(&bake.answer(powered(Power::Stopped))));
    assert!(is_create(&bake.answer(Answer::Found(None))));
    bake
}

#[test]
fn a_running_instance_is_stopped_first_and_started_last() {
    let mut bake = Told::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), LOOK_AT_INSTANCE);
    assert!(!bake.owes_start());
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    assert!(bake.owes_start(), "the debt is in the state that is committed before the stop");
    assert_eq!(bake.answer(Answer::Accepted), bake.wait(POLL));
    assert_eq!(bake.due(), LOOK_AT_INSTANCE);
    assert_eq!(bake.answer(between()), bake.wait(POLL));
    bake.due();
    assert!(is_look(&bake.answer(powered(Power::Stopped))));
    assert!(is_create(&bake.answer(Answer::Found(None))));
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    let effect = bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!((bake.state(), effect), ("starting", LOOK_AT_INSTANCE));
    assert_eq!(bake.answer(powered(Power::Stopped)), START);
    assert_eq!(bake.answer(Answer::Accepted), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(powered(Power::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.owes_start()), ("succeeded", false));
}

#[test]
fn a_found_stopped_instance_stays_stopped() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    assert!(is_look(&bake.answer(powered(Power::Stopped))));
    bake.answer(Answer::Found(None));
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_instance_on_its_way_is_waited_for_and_owed_nothing() {
    let mut bake = Told::stopping(StopInstance::IfRunning);
    bake.admit();
    assert_eq!(bake.answer(between()), bake.wait(POLL));
    bake.due();
    assert!(is_look(&bake.answer(powered(Power::Stopped))));
    assert!(!bake.owes_start());
}

#[test]
fn a_lost_stop_is_asked_for_again_after_five_looks() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    bake.refuse(Class::Unclear, "Timeout");
    let effects: Vec<_> = (0..5)
        .map(|_| {
            bake.due();
            bake.answer(powered(Power::Running))
        })
        .collect();
    assert_eq!(effects.iter().filter(|effect| **effect == STOP).count(), 1, "{effects:?}");
    assert_eq!(effects.last(), Some(&STOP));
}

#[test]
fn a_required_stop_that_is_refused_fails() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(Power::Running));
    assert_eq!(bake.refuse(Class::Permanent, "NoPermission"), LOOK_AT_INSTANCE);
    for _ in 0..SETTLED_AFTER {
        assert!(
            matches!(bake.answer(powered(Power::Running)), Effect::Wait(_)),
            "an earlier stop may still take effect"
        );
        assert_eq!(bake.due(), LOOK_AT_INSTANCE);
    }
    assert_eq!(bake.answer(powered(Power::Running)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "the instance could not be stopped: NoPermission: the cloud's words");
}

#[test]
fn a_stop_that_takes_effect_after_the_bake_was_called_off_is_undone() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    bake.answer(Answer::Accepted);
    assert_eq!(bake.tell(Event::Cancelled { by: "uid 7".into() }), LOOK_AT_INSTANCE);
    assert!(matches!(bake.answer(powered(Power::Running)), Effect::Wait(_)));
    bake.due();
    assert_eq!(bake.answer(powered(Power::Stopped)), START);
    bake.answer(Answer::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(Power::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7"));
}

#[test]
fn what_waits_can_be_cancelled_and_what_the_cloud_works_on_cannot() {
    let by = || Event::Cancelled { by: "uid 7".into() };
    let mut bake = Told::new(settings());
    assert_eq!(bake.tell(by()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7 before it began"));

    let mut bake = Told::new(settings());
    bake.admit();
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
    bake.tell(by());
    assert_eq!(bake.state(), "creating");
}

#[test]
fn if_running_a_refused_stop_bakes_the_running_instance() {
    let mut bake = Told::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(Power::Running));
    assert!(is_look(&bake.refuse(Class::Permanent, "NoPermission")));
    assert!(is_create(&bake.answer(Answer::Found(None))));
}

#[test]
fn a_stop_refused_for_now_is_looked_at_again() {
    for class in [Class::Transient, Class::Busy, Class::Credential, Class::Unclear] {
        let mut bake = Told::stopping(StopInstance::Required);
        bake.admit();
        bake.answer(powered(Power::Running));
        assert_eq!(bake.refuse(class, "Whatever"), bake.wait(POLL));
        assert_eq!(bake.due(), LOOK_AT_INSTANCE);
        assert!(bake.owes_start(), "it may have been acted on");
    }
}

#[test]
fn an_instance_that_is_not_there_fails() {
    let mut bake = Told::stopping(StopInstance::IfRunning);
    bake.admit();
    assert_eq!(bake.answer(Answer::Instance(None)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "the cloud does not know the instance ecd-1"));
}

#[test]
fn a_crash_after_the_stop_was_committed_still_starts() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    bake.crash();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), LOOK_AT_INSTANCE);
    assert_eq!((bake.state(), bake.answer(powered(Power::Stopped))), ("starting", START));
}

#[test]
fn a_failed_create_starts_what_was_stopped() {
    let mut bake = stopped_and_creating();
    assert_eq!(bake.refuse(Class::Permanent, "NoPermission"), LOOK_AT_INSTANCE);
    assert_eq!(bake.answer(powered(Power::Stopped)), START);
    bake.answer(Answer::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(Power::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

#[test]
fn an_unclear_create_keeps_the_instance_stopped_until_it_is_clear() {
    let mut bake = stopped_and_creating();
    bake.refuse(Class::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_look(&bake.due()));
        bake.answer(Answer::Found(None));
        assert!(bake.owes_start());
    }
}

#[test]
fn a_start_is_tried_for_ever_at_most_ten_minutes_apart() {
    let mut bake = stopped_and_creating();
    bake.refuse(Class::Permanent, "NoPermission");
    let mut starts = 0;
    for _ in 0..200 {
        if bake.answer(powered(Power::Stopped)) == START {
            starts += 1;
            bake.refuse(Class::Permanent, "OperationDenied");
        }
        assert_eq!(bake.state(), "starting");
        assert!(bake.bake.state.wake_at() <= Some(later(bake.now, retry::LONGEST_GAP)));
        assert_eq!(bake.due(), LOOK_AT_INSTANCE);
    }
    assert!(starts >= 100, "{starts} starts");
}

#[test]
fn an_instance_that_is_gone_owes_no_start() {
    let mut bake = stopped_and_creating();
    bake.refuse(Class::Permanent, "NoPermission");
    for _ in 0..GONE_AFTER {
        assert!(matches!(bake.answer(Answer::Instance(None)), Effect::Wait(_)), "one empty listing proves nothing");
        assert_eq!(bake.due(), LOOK_AT_INSTANCE);
    }
    assert_eq!(bake.answer(Answer::Instance(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().ends_with("; the instance is gone, it could not be started again"), "{}", bake.reason());
}

#[test]
fn while_it_starts_an_instance_is_taken_but_no_builder() {
    let mut bake = stopped_and_creating();
    assert!(bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    bake.refuse(Class::Permanent, "NoPermission");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
}

// Deadline

#[test]
fn the_deadline_while_everything_is_held_says_what_held_it() {
    let held = || Event::Held { why: "credentials: the key is disabled".into() };
    let mut bake = Told::new(settings());
    bake.tell(held());
    assert_eq!(bake.state(), "queued", "not past its deadline yet");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.tell(held()), Effect::Done);
    assert_eq!(bake.state(), "skipped");
    assert_eq!(bake.reason(), "held until its deadline had passed: credentials: the key is disabled");
}

#[test]
fn the_deadline_while_queued_is_a_skip_with_its_reason() {
    let mut bake = Told::new(settings());
    bake.pass(settings().deadline);
    assert_eq!(bake.due(), Effect::Wait(slot()), "not past it yet");
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "waited past its deadline (2h after the slot) for its instance or a builder";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
    assert_eq!(bake.bake.state.work(), None, "no version is used up");
}

#[test]
fn the_deadline_while_waiting_for_the_cloud_tells_what_it_waited_for() {
    let mut bake = Told::creating();
    bake.refuse(Class::Busy, "ExceedBuilderQuota");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_look(&bake.due()));
    assert_eq!(bake.answer(Answer::Found(None)), Effect::Done);
    let last = "last: ExceedBuilderQuota: the cloud's words";
    let reason = format!("no image could be begun before the deadline (2h after the slot); {last}");
    assert_eq!((bake.state(), bake.reason()), ("failed", reason.as_str()));
}

#[test]
fn a_task_that_was_ours_is_found_past_the_deadline() {
    let mut bake = Told::creating();
    bake.refuse(Class::Busy, "ImageCreateByInstance.TaskExist");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_look(&bake.due()));
    bake.answer(Answer::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!(bake.state(), "building");
}

#[test]
fn the_look_past_the_deadline_is_the_last_one() {
    for class in [Class::Transient, Class::Busy, Class::Credential, Class::Unclear] {
        let mut bake = Told::creating();
        bake.refuse(Class::Busy, "ImageCreateByInstance.TaskExist");
        bake.pass(settings().deadline + Duration::from_secs(1));
        bake.due();
        assert_eq!(bake.refuse(class, "Whatever"), Effect::Done);
        assert_eq!(bake.state(), "failed");
    }
}

#[test]
fn a_throttled_create_past_the_deadline_is_given_up() {
    let mut bake = Told::creating();
    bake.refuse(Class::Transient, "Throttling.User");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

#[test]
fn the_deadline_while_stopping_starts_the_instance_again() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(Power::Running));
    bake.answer(Answer::Accepted);
    while bake.state() == "stopping" {
        if bake.due() == LOOK_AT_INSTANCE && bake.state() == "stopping" {
            bake.answer(between());
        }
    }
    assert!(bake.now <= later(slot(), settings().deadline + POLL));
    assert_eq!((bake.state(), bake.answer(powered(Power::Stopped))), ("starting", START));
}

#[test]
fn the_deadline_passes_during_the_look_before_the_create() {
    let mut bake = Told::new(settings());
    bake.pass(settings().deadline);
    assert!(is_look(&bake.admit()));
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.answer(Answer::Found(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

// Events out of turn, and what the ledger keeps

#[test]
fn an_event_that_does_not_belong_changes_nothing() {
    let mut queued = Told::new(settings());
    queued.answer(Answer::Created(made("imgc-1")));
    assert_eq!(queued.bake.state, State::Queued { not_before: slot(), kept: None });

    let mut building = Told::building();
    let before = building.bake.state.clone();
    assert_eq!(building.admit(), building.wait(POLL));
    assert_eq!(building.bake.state, before);
}

/// Rows of earlier releases must stay readable: a change here needs a migration.
#[test]
fn the_ledgers_spelling_of_a_state_is_fixed() {
    let bake = Told::unknown();
    let mut text: serde_json::Value = serde_json::to_value(&bake.bake.state).expect("a state is JSON");
    text["next"].take();
    text["work"]["image_name"].take();
    let expected = serde_json::json!({
        "state": "unknown",
        "work": { "version": 7, "image_name": null, "attempts": 1, "owes_start": false },
        "since": "2026-03-02T03:00:00Z",
        "looks": 0,
        "next": null,
        "why": "Timeout: the cloud's words",
    });
    assert_eq!(text, expected);

    let ended = State::Ended { work: None, end: End::Skipped { code: ReasonCode::Paused, reason: "paused".into() } };
    let text = serde_json::to_string(&ended).expect("a state is JSON");
    assert_eq!(text, r#"{"state":"ended","work":null,"end":{"end":"skipped","code":"paused","reason":"paused"}}"#);
}

// Connected users

#[test]
fn a_connected_user_is_waited_for_in_the_queue() {
    let mut bake = Told::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), LOOK_AT_INSTANCE);
    let since = bake.now;
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    assert_eq!(bake.state(), "queued");
    assert_eq!(
        bake.reason(),
        "waits for alice to leave, who is connected to the instance; until 2026-03-02 04:00:00 UTC at most"
    );
    assert!(!bake.bake.state.holds_builder() && !bake.bake.state.holds_instance());

    for _ in 0..3 {
        bake.pass(Duration::from_mins(10));
        bake.crash();
        assert_eq!(bake.tell(Event::Admitted { version: 99 }), LOOK_AT_INSTANCE);
        assert_eq!(bake.state(), "preparing");
        bake.answer(in_use());
        assert_eq!(bake.bake.state.work().map(|work| work.version), Some(7), "versions are not burnt by waiting");
        assert_eq!(bake.bake.state.waiting().map(|waiting| waiting.since), Some(since));
    }
    bake.pass(Duration::from_mins(10));
    bake.admit();
    assert_eq!(bake.answer(powered(Power::Running)), STOP, "this look is the one right before the stop");
    assert!(bake.owes_start());
    bake.answer(Answer::Accepted);
    bake.due();
    bake.answer(powered(Power::Stopped));
    bake.answer(Answer::Found(None));
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(powered(Power::Running));
    assert_eq!(bake.reason(), "image made; waited 40m for a connected user to leave");
}

#[test]
fn a_user_who_stays_too_long_costs_the_slot() {
    let mut bake = Told::stopping(StopInstance::IfRunning);
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
    let mut bake = Told::new(settings);
    bake.admit();
    bake.answer(in_use());
    bake.pass(Duration::from_hours(3));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "somebody was connected to the instance until the deadline (2h after the slot)";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn a_wait_survives_a_clock_that_is_set_back() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.pass(Duration::from_mins(30));
    bake.admit();
    bake.answer(in_use());
    bake.now = slot() - TimeDelta::hours(5);
    bake.admit();
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    bake.pass(POLL);
    bake.admit();
    bake.answer(powered(Power::Running));
    assert_eq!(bake.bake.state.work().map(|work| work.notes.len()), Some(1));
}

#[test]
fn if_connected_says_skip() {
    let mut bake = Told::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Skip,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), Effect::Done);
    let reason = "alice was connected to the instance, and if_connected says to skip";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn if_connected_says_proceed() {
    let mut bake = Told::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Proceed,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), STOP);
    bake.answer(Answer::Accepted);
    bake.tell(Event::Cancelled { by: "ops".into() });
    bake.pass(POLL);
    bake.answer(powered(Power::Stopped));
    bake.answer(Answer::Accepted);
    bake.answer(in_use());
    let reason = "cancelled by ops; alice was connected; stopped all the same, as if_connected says";
    assert_eq!((bake.state(), bake.reason()), ("cancelled", reason), "who works on it shows that it runs");
}

#[test]
fn users_do_not_matter_to_an_instance_that_is_not_stopped() {
    let mut bake = Told::new(BakeSettings { if_connected: IfConnected::Skip, ..settings() });
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_bake_that_waits_for_a_user_can_be_cancelled() {
    let mut bake = Told::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(in_use());
    assert_eq!(bake.bake.state.cannot_be_cancelled(), None);
    assert_eq!(bake.tell(Event::Cancelled { by: "ops".into() }), Effect::Done);
    assert_eq!(bake.state(), "cancelled");
}

// Hooks

#[test]
fn hooks_nest_around_a_stop() {
    let mut bake = Told::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    assert_eq!(bake.admit(), LOOK_AT_INSTANCE, "no hook runs before it is known that nobody is connected");
    assert_eq!(program(&bake.answer(powered(Power::Running))), "/b1");
    assert_eq!(bake.state(), "preparing");
    assert_eq!(program(&bake.answer(ok())), "/b2");
    assert_eq!(bake.answer(ok()), LOOK_AT_INSTANCE, "and again before the stop");
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    bake.answer(Answer::Accepted);
    bake.due();
    assert!(is_look(&bake.answer(powered(Power::Stopped))));
    assert!(is_create(&bake.answer(Answer::Found(None))));
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available)))), LOOK_AT_INSTANCE);
    assert_eq!(bake.answer(powered(Power::Stopped)), START);
    bake.answer(Answer::Accepted);
    bake.due();
    let last = bake.answer(powered(Power::Running));
    assert_eq!((program(&last), bake.state()), ("/a2", "finishing"), "what undoes goes backwards");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    assert_eq!((hook_of(&last).moment, hook_of(&last).number), (Moment::After, 2));
    assert_eq!(program(&bake.answer(ok())), "/a1");
    assert_eq!(bake.answer(ok()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("succeeded", "image made"));
}

#[test]
fn a_user_who_comes_while_hooks_run_is_waited_for_and_before_does_not_run_again() {
    let mut bake = Told::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    bake.answer(powered(Power::Running));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(in_use());
    assert_eq!(bake.state(), "queued");
    bake.pass(POLL);
    bake.admit();
    assert_eq!(bake.answer(powered(Power::Running)), STOP);
    let mut waits = bake;
    waits.bake.state = State::Queued {
        not_before: slot(),
        kept: Some(Kept {
            work: Work { owes_hooks: true, version: 7, ..Work::default() },
            waiting: Waiting { since: slot(), why: "alice".into() },
        }),
    };
    let undo = waits.tell(Event::Cancelled { by: "ops".into() });
    assert_eq!((program(&undo), waits.state()), ("/a2", "finishing"), "what is prepared is undone");
}

#[test]
fn hooks_around_a_plain_bake_need_no_look() {
    let mut bake = Told::new(with_hooks(Hooks { on_failure: Vec::new(), ..hooks() }));
    assert_eq!(program(&bake.admit()), "/b1");
    bake.answer(ok());
    assert!(is_create(&bake.answer(ok())));
    assert_eq!(program(&bake.refuse(Class::Permanent, "NoPermission")), "/a2");
}

#[test]
fn before_that_takes_long_makes_the_create_look_first() {
    let mut bake = Told::new(with_hooks(Hooks { before: commands(&["/b1"]), ..Hooks::default() }));
    bake.admit();
    bake.pass(Duration::from_mins(3));
    assert!(is_look(&bake.answer(ok())));
}

#[test]
fn before_that_outlasts_the_deadline_ends_the_bake() {
    let mut bake = Told::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.pass(Duration::from_hours(3));
    assert_eq!(program(&bake.answer(ok())), "/f2");
    assert!(bake.reason().starts_with("no image could be begun before the deadline"), "{}", bake.reason());
}

#[test]
fn a_veto_skips_the_slot_and_is_undone() {
    let mut bake = Told::new(with_hooks(hooks()));
    bake.admit();
    let undo = bake.answer(ran(HookResult::Exited(4)));
    assert_eq!(program(&undo), "/a2", "a slot that is skipped did not fail");
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
        let mut bake = Told::new(with_hooks(hooks()));
        bake.admit();
        bake.answer(ok());
        assert_eq!(program(&bake.answer(ran(result))), "/f2");
        assert_eq!(program(&bake.answer(ok())), "/f1");
        assert_eq!(program(&bake.answer(ok())), "/a2");
        bake.answer(ok());
        bake.answer(ok());
        assert_eq!(bake.reason(), format!("the hook /b2 of before failed: {words}"));
        let State::Ended { end: End::Failed { permanent: told, .. }, .. } = bake.bake.state else {
            panic!("not failed")
        };
        assert_eq!(told, permanent);
    }
}

#[test]
fn hooks_of_the_end_change_nothing_and_are_told_of() {
    let mut bake = Told::new(with_hooks(Hooks { before: Vec::new(), ..hooks() }));
    assert!(is_create(&bake.admit()));
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(ran(HookResult::Exited(1)));
    assert_eq!(bake.answer(ran(HookResult::TimedOut(Duration::from_mins(5)))), Effect::Done);
    let reason = "image made; the hook /a2 of after failed: exit status 1; \
                  the hook /a1 of after failed: not done after 5m, ended";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", reason));
}

#[test]
fn hooks_cut_off_by_a_crash_run_again() {
    let mut bake = Told::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/b2");
    bake.answer(ok());
    bake.refuse(Class::Permanent, "NoPermission");
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/f1");
}

#[test]
fn a_bake_cancelled_in_its_hooks_is_undone() {
    let mut bake = Told::new(with_hooks(hooks()));
    bake.admit();
    assert_eq!(program(&bake.tell(Event::Cancelled { by: "ops".into() })), "/a2", "it did not fail");
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
}

#[test]
fn a_hook_is_told_what_it_is_for_and_nothing_else() {
    let mut bake = Told::new(with_hooks(hooks()));
    let told = |effect: &Effect| hook_of(effect).environment.clone();
    let mut wanted = vec![
        ("IMAGEBAKED_HOOK", "before"),
        ("IMAGEBAKED_BAKE_ID", "1"),
        ("IMAGEBAKED_SCHEDULE", "golden"),
        ("IMAGEBAKED_SCHEDULE_ID", "golden"),
        ("IMAGEBAKED_INSTANCE_ID", "ecd-1"),
        ("IMAGEBAKED_LINE", "golden"),
        ("IMAGEBAKED_SLOT", "2026-03-02T03:00:00Z"),
        ("IMAGEBAKED_VERSION", "7"),
        ("IMAGEBAKED_IMAGE_NAME", "golden-20260302-v7"),
    ];
    let named = |wanted: &[(&'static str, &str)]| -> Vec<_> {
        wanted.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    assert_eq!(told(&bake.admit()), named(&wanted));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(Answer::Created(made("imgc-1")));
    bake.due();
    let last = bake.answer(Answer::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    wanted[0].1 = "on_failure";
    let reason = bake.reason().to_owned();
    wanted.extend([
        ("IMAGEBAKED_IMAGE_ID", "imgc-1"),
        ("IMAGEBAKED_STATE", "failed"),
        ("IMAGEBAKED_REASON", reason.as_str()),
    ]);
    assert_eq!(told(&last), named(&wanted));
}

// Rows of older versions

#[test]
fn states_and_settings_of_older_versions_can_be_read() {
    let queued: State =
        serde_json::from_str(r#"{"state":"queued","not_before":"2026-03-02T03:00:00Z"}"#).expect("read");
    assert_eq!(queued, State::Queued { not_before: slot(), kept: None });
    let starting = r#"{"state":"starting","work":{"version":7,"image_name":"x","attempts":1,"owes_start":true},
        "end":{"end":"skipped","reason":"no"},"tries":3,"next":"2026-03-02T03:00:00Z"}"#;
    assert!(serde_json::from_str::<State>(starting).expect("read").work().is_some_and(|work| work.owes_start));

    let mut json = serde_json::to_value(settings()).expect("JSON");
    for key in ["if_connected", "connected_wait"] {
        assert!(json.as_object_mut().expect("an object").remove(key).is_some());
    }
    assert_eq!(serde_json::from_value::<BakeSettings>(json).expect("read"), settings());
    let with_hooks = with_hooks(hooks());
    let json = serde_json::to_string(&with_hooks).expect("JSON");
    assert_eq!(serde_json::from_str::<BakeSettings>(&json).expect("read"), with_hooks);
}
