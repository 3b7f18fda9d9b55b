//! What the tests of the state machine share: a bake with the events sent to it, and the answers of a cloud.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use fastrand::Rng;

use super::super::step;
use crate::domain::{
    api::{
        call::{ApiError, Call, ErrorClass, MadeImage, PowerState, Response},
        gmt_offset::GmtOffset,
        identity::{ImageStatus, RemoteImage},
    },
    bake::{
        Bake, Trigger,
        event::{Effect, Event, PollPolicy},
        reason::ReasonCode,
        retry::later,
        settings::{BakeSettings, RetryPolicy, StopInstance},
        state::State,
    },
    hooks::{HookCommand, HookOutcome, HookResult, HookRun, Hooks},
    ids::BakeId,
};

pub(crate) const POLL: Duration = Duration::from_secs(30);
pub(crate) const WINDOW: Duration = Duration::from_mins(5);

/// The slot of every bake here.
pub(crate) fn slot() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 3, 0, 0).single().expect("a real instant")
}

pub(crate) fn settings() -> BakeSettings {
    BakeSettings {
        instance_region: "cn-shanghai".into(),
        tags: [("team".to_owned(), "desktops".to_owned())].into(),
        image_name: "golden-{slot:%Y%m%d-%H%M}-v{version}".into(),
        deadline: Duration::from_hours(2),
        build_deadline: Duration::from_hours(6),
        retry: RetryPolicy { attempts: 3, base: Duration::from_secs(30), cap: Duration::from_mins(10), rebakes: 0 },
        ..crate::domain::bake::settings::example()
    }
}

/// A bake in the queue, due at the slot.
pub(crate) fn a_bake(settings: Arc<BakeSettings>) -> Bake {
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

pub(crate) fn error(class: ErrorClass, code: &str) -> ApiError {
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
pub(crate) fn pace() -> PollPolicy {
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
pub(crate) struct Fixture {
    pub(crate) bake: Bake,
    pub(crate) pace: PollPolicy,
    pub(crate) rng: Rng,
    pub(crate) now: DateTime<Utc>,
}

impl Fixture {
    pub(crate) fn new(settings: BakeSettings) -> Self {
        Self { bake: a_bake(Arc::new(settings)), pace: pace(), rng: Rng::with_seed(1), now: slot() }
    }

    pub(crate) fn stopping(stop_instance: StopInstance) -> Self {
        Self::new(BakeSettings { stop_instance, ..settings() })
    }

    /// Admitted at the slot with an instance that is imaged as it is: the create call is in flight.
    pub(crate) fn creating() -> Self {
        let mut bake = Self::new(settings());
        assert!(matches!(bake.admit(), Effect::Call(Call::CreateImage(_))));
        bake
    }

    pub(crate) fn building() -> Self {
        let mut bake = Self::creating();
        assert_eq!(bake.answer(Response::Created(made("imgc-1"))), bake.wait(POLL));
        bake
    }

    pub(crate) fn unknown() -> Self {
        let mut bake = Self::creating();
        bake.refuse(ErrorClass::Unclear, "Timeout");
        assert_eq!(bake.state(), "unknown");
        bake
    }

    pub(crate) fn apply(&mut self, event: Event) -> Effect {
        let (state, effect) = step(&self.bake, event, self.now, &self.pace, &mut self.rng);
        self.bake.state = state;
        effect
    }

    pub(crate) fn admit(&mut self) -> Effect {
        self.apply(Event::Admitted { version: 7 })
    }

    /// Nothing else is being made of the instance when that is asked.
    pub(crate) fn answer(&mut self, answer: Response) -> Effect {
        let is_hook = matches!(self.bake.state, State::Preparing { hook: Some(_), .. });
        match self.apply(Event::Answered(answer)) {
            Effect::Call(Call::FindImagesInProgress) => self.apply(Event::Answered(Response::InProgress(Vec::new()))),
            // The last `before` hook has run: it goes on in the next turn, which is at once.
            Effect::Wait(at) if is_hook && at == self.now => self.due(),
            effect => effect,
        }
    }

    pub(crate) fn refuse(&mut self, class: ErrorClass, code: &str) -> Effect {
        self.answer(Response::Refused(error(class, code)))
    }

    /// The instant it waits for has come. In the queue that is its turn, unless it is past its deadline.
    pub(crate) fn due(&mut self) -> Effect {
        self.now = self.now.max(self.bake.state.wake_at().expect("it is not over"));
        match &self.bake.state {
            State::Queued { suspended: Some(_), .. } if self.now <= self.bake.give_up_at => {
                self.apply(Event::Admitted { version: 99 })
            }
            _ => self.apply(Event::Due),
        }
    }

    /// Its stop is accepted and done, and its image imgc-1 is created: the first poll of the image is due.
    #[track_caller]
    pub(crate) fn stop_and_create(&mut self) {
        self.answer(Response::Accepted);
        self.due();
        self.answer(powered(PowerState::Stopped));
        assert!(is_create(&self.answer(Response::Found(None))));
        self.answer(Response::Created(made("imgc-1")));
        self.due();
    }

    pub(crate) fn pass(&mut self, pause: Duration) {
        self.now = later(self.now, pause);
    }

    /// The process is gone, and with it the call in flight.
    pub(crate) fn crash(&mut self) {
        let text = serde_json::to_string(&self.bake.state).expect("a state is JSON");
        self.bake.state = serde_json::from_str(&text).expect("a state can be read back");
    }

    pub(crate) fn wait(&self, pause: Duration) -> Effect {
        Effect::Wait(later(self.now, pause))
    }

    pub(crate) fn state(&self) -> &'static str {
        self.bake.state.as_str()
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.bake.reason().expect("a reason").leak()
    }

    pub(crate) fn code(&self) -> Option<ReasonCode> {
        self.bake.state.reason_code()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.bake.state.work().expect("it began").attempts
    }

    pub(crate) fn restart_pending(&self) -> bool {
        self.bake.state.work().expect("it began").restart_pending
    }
}

pub(crate) fn made(id: &str) -> MadeImage {
    MadeImage { image_id: id.into(), version_id: Some("iv-1".into()), task_id: Some("tid-1".into()) }
}

pub(crate) fn seen(id: &str, status: ImageStatus) -> RemoteImage {
    let (name, kind) = ("golden-20260302-1100-v7".to_owned(), Some("User".to_owned()));
    let tags = [].into();
    RemoteImage { image_id: id.into(), version_id: Some("iv-1".into()), name, status, tags, kind, made_at: None }
}

pub(crate) fn powered(power: PowerState) -> Response {
    Response::Instance(Some(power))
}

pub(crate) fn in_use() -> Response {
    powered(PowerState::RunningInUse("alice".into()))
}

pub(crate) fn with_hooks(hooks: Hooks) -> BakeSettings {
    BakeSettings { hooks, ..settings() }
}

pub(crate) fn commands(programs: &[&str]) -> Vec<HookCommand> {
    programs.iter().map(|program| HookCommand(vec![(*program).to_owned()])).collect()
}

/// Two commands at each moment.
pub(crate) fn hooks() -> Hooks {
    Hooks {
        before: commands(&["/b1", "/b2"]),
        after: commands(&["/a1", "/a2"]),
        on_failure: commands(&["/f1", "/f2"]),
        ..Hooks::default()
    }
}

pub(crate) fn ran(result: HookResult) -> Response {
    Response::Hook(HookOutcome { result, output: "its first words\nits last words\n\n".into() })
}

pub(crate) fn ok() -> Response {
    ran(HookResult::Exited(0))
}

#[track_caller]
pub(crate) fn hook_of(effect: &Effect) -> &HookRun {
    let Effect::Call(Call::RunHook(run)) = effect else { panic!("runs no hook: {effect:?}") };
    run
}

#[track_caller]
pub(crate) fn program(effect: &Effect) -> &str {
    hook_of(effect).command.program()
}

pub(crate) fn between() -> Response {
    powered(PowerState::Transitioning("Stopping".into()))
}

pub(crate) const POLL_INSTANCE: Effect = Effect::Call(Call::DescribeInstance);
pub(crate) const STOP: Effect = Effect::Call(Call::StopInstance);
pub(crate) const START: Effect = Effect::Call(Call::StartInstance);

pub(crate) fn is_create(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::CreateImage(_)))
}

pub(crate) fn is_poll(effect: &Effect) -> bool {
    matches!(effect, Effect::Call(Call::FindImage(_)))
}

pub(crate) fn named(image_name: &str) -> Fixture {
    Fixture::new(BakeSettings { image_name: image_name.into(), ..settings() })
}

/// Up to the create call of an instance that ran and was stopped.
pub(crate) fn stopped_and_creating() -> Fixture {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake
}

/// Its instance is stopped, the create call is refused with `code`, and then every one until the instance is started again.
#[track_caller]
pub(crate) fn refused_until_restarted(bake: &mut Fixture, code: &str) {
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

pub(crate) fn runs_again(bake: &mut Fixture) -> Effect {
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Running))
}
