//! A small world does its worst to one bake, and the promises are checked after every step.
//!
//! The world keeps to what the cloud is known to do. A call may be lost on its way, acted on and its answer lost, acted
//! on late, accepted and not carried out, or refused with every class. An instance has one image task at a time. A new
//! image may be listed late, fail, stay, vanish or show a word nobody documented. The process crashes between commit and
//! call and between call and answer, and the wall clock is stepped. Users come and go, and hooks do what they like.
//!
//! What the machine cannot know bounds what it can promise: once something was hidden for longer than the window in
//! which it is looked for, the case is set aside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{TestCaseError, TestRunner},
};

use super::{
    super::{
        Bake,
        call::{Answer, Call, Class, MadeImage, Power, Refusal},
        hooks::{HookCommand, HookOutcome, HookResult, HookRun, Hooks, Moment},
        identity::{Identity, ImageStatus, SeenImage, TAG_LINE, TAG_OWNER, TAG_SLOT},
        settings::{BakeSettings, IfConnected, RetryPolicy, StopInstance},
    },
    Effect, End, Event, Pace, State, step,
    tests::{a_bake, refusal, settings, slot},
};
use crate::ids::ImageId;

/// Seconds, as all whole numbers of this file.
const POLL: i64 = 30;
const WINDOW: i64 = 300;
const BUILD_DEADLINE: i64 = 7200;
/// A bake whose world has become honest ends within so many rounds: an image that stays is looked at each `POLL` until
/// `BUILD_DEADLINE`, and the clock may have been set back by as much before.
const HONEST_ROUNDS: usize = 1000;

/// What a case begins with.
#[derive(Debug, Clone)]
struct Setting {
    stop: StopInstance,
    if_connected: IfConnected,
    connected_wait: u64,
    connected: bool,
    /// How many hooks of `before`, `on_failure` and `after`.
    hooks: [usize; 3],
    attempts: u32,
    deadline: u64,
    machine: Machine,
    /// Somebody else's image task is on the instance until then.
    foreign_task_until: i64,
    /// Whether listings show tags.
    lists_tags: bool,
    seed: u64,
}

/// One event, and the call that follows from it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may happen or not")]
struct Round {
    /// How long after the wanted instant the bake is looked at.
    idle: i64,
    clock_step: i64,
    /// Whether a queued bake gets its turn.
    admits: bool,
    crash: Crash,
    instance_vanishes: bool,
    /// Somebody connects, or all leave.
    user_turns: bool,
    /// A person cancels the bake, where that is possible.
    cancels: bool,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Crash {
    No,
    BeforeTheCall,
    BeforeTheAnswer,
}

/// What becomes of a call.
#[derive(Debug, Clone)]
struct Fate {
    /// `None`: it is answered truly.
    refused: Option<Class>,
    /// When an unclear call is acted on; `None`: never.
    acts_after: Option<i64>,
    /// A stop or start is accepted and then not carried out.
    comes_to_nothing: bool,
    answered_after: i64,
    retry_after: Option<u64>,
    image: ImageFate,
    hook: HookFate,
}

/// What becomes of a hook.
#[derive(Debug, Clone, Copy, PartialEq)]
enum HookFate {
    Works,
    Refuses,
    HasNoTime,
    IsNotThere,
}

impl Fate {
    const HONEST: Self = Self {
        refused: None,
        acts_after: None,
        comes_to_nothing: false,
        answered_after: 1,
        retry_after: None,
        image: ImageFate { listed_after: 3, built_after: 900, becomes: Becomes::Available },
        hook: HookFate::Works,
    };
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy)]
struct ImageFate {
    listed_after: i64,
    built_after: i64,
    becomes: Becomes,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Becomes {
    Available,
    Failed,
    Deleted,
    Unlisted,
    Odd,
    /// In progress for ever.
    Stays,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Machine {
    Running,
    Stopped,
    Rising { until: i64 },
    Falling { until: i64 },
    Gone,
}

#[derive(Debug, Clone)]
enum Deed {
    Stop,
    Start,
    Create(Identity, ImageFate),
}

#[derive(Debug)]
struct Image {
    id: ImageId,
    name: String,
    tags: BTreeMap<String, String>,
    listed_at: i64,
    built_at: i64,
    becomes: Becomes,
}

impl Image {
    fn in_progress(&self, at: i64) -> bool {
        at < self.built_at || self.becomes == Becomes::Stays
    }

    fn exists(&self, at: i64) -> bool {
        self.in_progress(at) || !matches!(self.becomes, Becomes::Deleted | Becomes::Unlisted)
    }

    fn listed(&self, at: i64, with_tags: bool) -> Option<SeenImage> {
        let status = match self.becomes {
            _ if self.in_progress(at) => ImageStatus::InProgress,
            Becomes::Available => ImageStatus::Available,
            Becomes::Failed => ImageStatus::CreateFailed,
            Becomes::Deleted => ImageStatus::Deleted,
            Becomes::Odd => ImageStatus::Other("AUDITING".into()),
            Becomes::Unlisted | Becomes::Stays => return None,
        };
        (at >= self.listed_at).then(|| SeenImage {
            image_id: self.id.clone(),
            version_id: None,
            name: self.name.clone(),
            status,
            tags: if with_tags { self.tags.clone() } else { BTreeMap::new() },
        })
    }
}

#[derive(Debug)]
struct World {
    /// Time that really passed, and how far the wall clock is off.
    time: i64,
    skew: i64,
    machine: Machine,
    connected: bool,
    foreign_task_until: i64,
    lists_tags: bool,
    settings: Arc<BakeSettings>,
    images: Vec<Image>,
    /// Calls on their way, and when they are acted on.
    underway: Vec<(i64, Deed)>,
    /// The earliest that the wall clock showed since the last create or stop was committed.
    create_since: i64,
    stop_since: i64,
    /// Something was hidden for longer than the machine looks: nothing is promised any more.
    beyond_bounds: bool,
}

impl World {
    fn wall(&self) -> i64 {
        self.time + self.skew
    }

    fn now(&self) -> DateTime<Utc> {
        slot() + TimeDelta::seconds(self.wall())
    }

    fn pass(&mut self, seconds: i64) {
        self.time += seconds;
        self.settle();
    }

    fn step_clock(&mut self, seconds: i64) {
        self.skew += seconds;
        self.settle();
    }

    fn settle(&mut self) {
        let (mut due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|(at, _)| *at <= self.time);
        self.underway = later;
        due.sort_by_key(|(at, _)| *at);
        for (at, deed) in due {
            // Whether it was refused is heard by nobody.
            self.act(at, deed).ok();
        }
        self.let_machine_move(self.time);
        self.create_since = self.create_since.min(self.wall());
        self.stop_since = self.stop_since.min(self.wall());
        let create_hidden = self.images.iter().any(|image| image.listed_at > self.time)
            || self.underway.iter().any(|(_, deed)| matches!(deed, Deed::Create(..)));
        let stop_hidden = self.underway.iter().any(|(_, deed)| matches!(deed, Deed::Stop));
        self.beyond_bounds |= create_hidden && self.wall() >= self.create_since + WINDOW
            || stop_hidden && self.wall() >= self.stop_since + POLL;
    }

    fn let_machine_move(&mut self, at: i64) {
        self.machine = match self.machine {
            Machine::Rising { until } if until <= at => Machine::Running,
            Machine::Falling { until } if until <= at => Machine::Stopped,
            machine => machine,
        };
    }

    fn task_exists(&self, at: i64) -> bool {
        at < self.foreign_task_until || self.images.iter().any(|image| image.in_progress(at))
    }

    fn act(&mut self, at: i64, deed: Deed) -> Result<(), Class> {
        self.let_machine_move(at);
        match (deed, self.machine) {
            (_, Machine::Gone) => return Err(Class::Permanent),
            (Deed::Stop, Machine::Running | Machine::Rising { .. }) => {
                self.machine = Machine::Falling { until: at + 50 }
            }
            (Deed::Start, Machine::Stopped | Machine::Falling { .. }) => {
                self.machine = Machine::Rising { until: at + 70 }
            }
            (Deed::Stop | Deed::Start, _) => {}
            (Deed::Create(..), _) if self.task_exists(at) => return Err(Class::Busy),
            (Deed::Create(identity, fate), _) => self.images.push(Image {
                id: format!("imgc-{}", self.images.len()).into(),
                name: identity.image_name.clone(),
                tags: identity.tags(&self.settings),
                listed_at: at + fate.listed_after,
                built_at: at + fate.built_after,
                becomes: fate.becomes,
            }),
        }
        Ok(())
    }

    /// Does with `call` what `fate` says.
    fn perform(&mut self, call: Call, fate: &Fate) -> Answer {
        let deed = match &call {
            Call::StopInstance => Some(Deed::Stop),
            Call::StartInstance => Some(Deed::Start),
            Call::CreateImage(identity) => Some(Deed::Create(identity.clone(), fate.image)),
            _ => None,
        };
        if let Call::RunHook(_) = &call {
            let result = match fate.hook {
                HookFate::Works => HookResult::Exited(0),
                HookFate::Refuses => HookResult::Exited(1),
                HookFate::HasNoTime => HookResult::TimedOut(Duration::from_mins(5)),
                HookFate::IsNotThere => HookResult::NotStarted("no such file".to_owned()),
            };
            self.settle();
            return Answer::Hook(HookOutcome { result, output: "the hook's words".to_owned() });
        }
        let mut refused = fate.refused;
        match (deed, fate.refused) {
            (Some(Deed::Stop | Deed::Start), None) if fate.comes_to_nothing => {}
            (Some(deed), None) => refused = self.act(self.time, deed).err(),
            (Some(deed), Some(Class::Unclear)) => {
                if let Some(after) = fate.acts_after {
                    self.underway.push((self.time + after, deed));
                }
            }
            _ => {}
        }
        self.settle();
        if let Some(class) = refused {
            let mut refusal = refusal(class, "ItsCode");
            refusal.retry_after = fate.retry_after.map(Duration::from_secs);
            return Answer::Refused(refusal);
        }
        match call {
            Call::DescribeInstance => Answer::Instance(match self.machine {
                Machine::Running if self.connected => Some(Power::InUse("alice".into())),
                Machine::Running => Some(Power::Running),
                Machine::Stopped => Some(Power::Stopped),
                Machine::Rising { .. } => Some(Power::Between("Starting".into())),
                Machine::Falling { .. } => Some(Power::Between("Stopping".into())),
                Machine::Gone => None,
            }),
            Call::StopInstance | Call::StartInstance => Answer::Accepted,
            Call::CreateImage(_) => {
                let image_id = self.images.last().expect("it was just made").id.clone();
                Answer::Created(MadeImage { image_id, version_id: Some("iv-1".into()), task_id: Some("tid-1".into()) })
            }
            Call::FindImage(identity) => Answer::Found(identity.choose(self.listing(&identity))),
            Call::FindImagesInProgress => Answer::InProgress(
                self.images
                    .iter()
                    .filter_map(|image| image.listed(self.time, self.lists_tags))
                    .filter(|image| image.status == ImageStatus::InProgress)
                    .collect(),
            ),
            Call::DescribeImage(id) => {
                let image = self.images.iter().find(|image| image.id == id);
                Answer::Image(image.and_then(|image| image.listed(self.time, self.lists_tags)))
            }
            Call::RunHook(_) => Answer::Accepted,
        }
    }

    /// Everything that is listed, with another owner's image under our name where tags show whose it is.
    fn listing(&self, identity: &Identity) -> Vec<SeenImage> {
        let mut listing: Vec<_> =
            self.images.iter().filter_map(|image| image.listed(self.time, self.lists_tags)).collect();
        if self.lists_tags {
            let tags = [(TAG_OWNER, "another"), (TAG_LINE, "golden"), (TAG_SLOT, "2026-03-02T03:00:00Z")];
            listing.push(SeenImage {
                image_id: "imgc-".into(),
                version_id: None,
                name: identity.image_name.clone(),
                status: ImageStatus::Available,
                tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            });
        }
        listing
    }
}

/// A bake in its world, and what was seen of it.
struct Case {
    bake: Bake,
    pace: Pace,
    rng: Rng,
    world: World,
    call: Option<Call>,
    stops: usize,
    /// Create calls but those that were answered with busy or with a refusal of the credentials.
    creates: u32,
    /// Given up on after `BUILD_DEADLINE`: the image may still be in progress.
    stuck: bool,
    /// Turns that it got.
    turns: u32,
    /// Hooks in the order in which they were begun.
    hooks: Vec<(Moment, usize)>,
    words: BTreeSet<&'static str>,
}

type Checked = Result<(), TestCaseError>;

impl Case {
    fn new(setting: &Setting) -> Self {
        let settings = Arc::new(BakeSettings {
            stop_instance: setting.stop,
            if_connected: setting.if_connected,
            connected_wait: Duration::from_secs(setting.connected_wait),
            hooks: hooks(setting.hooks),
            deadline: Duration::from_secs(setting.deadline),
            build_deadline: Duration::from_secs(BUILD_DEADLINE.unsigned_abs()),
            retry: RetryPolicy { attempts: setting.attempts, ..settings().retry },
            ..settings()
        });
        Self {
            bake: a_bake(settings.clone()),
            pace: Pace {
                poll_interval: Duration::from_secs(POLL.unsigned_abs()),
                lookup_window: Duration::from_secs(WINDOW.unsigned_abs()),
                owner: "ops".into(),
            },
            rng: Rng::with_seed(setting.seed),
            world: World {
                time: 0,
                skew: 0,
                machine: setting.machine,
                connected: setting.connected,
                foreign_task_until: setting.foreign_task_until,
                lists_tags: setting.lists_tags,
                settings,
                images: Vec::new(),
                underway: Vec::new(),
                create_since: 0,
                stop_since: 0,
                beyond_bounds: false,
            },
            call: None,
            stops: 0,
            creates: 0,
            stuck: false,
            turns: 0,
            hooks: Vec::new(),
            words: BTreeSet::new(),
        }
    }

    fn run(&mut self, rounds: &[Round]) -> Checked {
        for round in rounds {
            self.round(round)?;
        }
        let honest = Round {
            idle: 0,
            clock_step: 0,
            admits: true,
            crash: Crash::No,
            instance_vanishes: false,
            user_turns: false,
            cancels: false,
            fate: Fate::HONEST,
        };
        for _ in 0..HONEST_ROUNDS {
            if self.bake.state.is_ended() {
                break;
            }
            self.round(&honest)?;
        }
        prop_assert!(self.bake.state.is_ended(), "it never ends: {:?}", self.bake.state);
        self.check_the_end()
    }

    fn round(&mut self, round: &Round) -> Checked {
        self.world.step_clock(round.clock_step);
        if round.instance_vanishes {
            self.world.machine = Machine::Gone;
        }
        self.world.connected ^= round.user_turns;
        if round.cancels && self.call.is_none() && self.bake.state.cannot_be_cancelled().is_none() {
            return self.event(Event::Cancelled { by: "ops".into() });
        }
        if self.call.is_none() {
            let wake = self.bake.state.wake_at().unwrap_or(self.world.now());
            let ahead = (wake - self.world.now() + TimeDelta::milliseconds(999)).num_seconds().max(0);
            self.world.pass(ahead + round.idle);
            let queued = matches!(self.bake.state, State::Queued { .. });
            let admitted = queued && round.admits;
            self.turns += u32::from(admitted);
            // Another version each time: the first one stays.
            self.event(if admitted { Event::Admitted { version: 6 + self.turns } } else { Event::Due })?;
        }
        let Some(call) = self.call.take() else { return Ok(()) };
        if round.crash == Crash::BeforeTheCall {
            self.reload();
            return Ok(());
        }
        let answer = self.world.perform(call, &round.fate);
        self.world.pass(round.fate.answered_after);
        if round.crash == Crash::BeforeTheAnswer {
            self.reload();
            return Ok(());
        }
        self.event(Event::Answered(answer))
    }

    fn reload(&mut self) {
        let text = serde_json::to_string(&self.bake.state).expect("a state is JSON");
        self.bake.state = serde_json::from_str(&text).expect("a state can be read back");
    }

    fn event(&mut self, event: Event) -> Checked {
        let (state, effect) = step(&self.bake, event.clone(), self.world.now(), &self.pace, &mut self.rng);
        self.words.insert(state.as_str());
        let before = std::mem::replace(&mut self.bake.state, state);
        self.check_step(&before, &event, &effect)?;
        self.call = match effect {
            Effect::Call(call) => Some(call),
            Effect::Wait(_) | Effect::Done => None,
        };
        Ok(())
    }

    fn check_step(&mut self, before: &State, event: &Event, effect: &Effect) -> Checked {
        let (state, now) = (&self.bake.state, self.world.now());
        let text = serde_json::to_string(state).expect("a state is JSON");
        prop_assert_eq!(&serde_json::from_str::<State>(&text).expect("a state can be read back"), state);

        match state.wake_at() {
            None => prop_assert!(state.is_ended() && *effect == Effect::Done),
            Some(wake) => {
                let furthest = now + TimeDelta::seconds(600 + BUILD_DEADLINE);
                prop_assert!(wake <= furthest || matches!(state, State::Queued { .. }), "sleeps until {wake}");
                prop_assert!(*effect != Effect::Done);
                if let Effect::Wait(until) = effect {
                    prop_assert_eq!(*until, wake, "what is waited for is what is written down");
                }
            }
        }

        let attempts = state.work().map_or(0, |work| work.attempts);
        prop_assert!(attempts <= self.bake.settings.retry.attempts);
        if let State::Creating { work, .. } = before
            && let Event::Answered(Answer::Refused(Refusal { class: Class::Busy | Class::Credential, .. })) = event
        {
            prop_assert_eq!(attempts, work.attempts, "waiting uses no attempts");
            self.creates -= 1;
        }
        if let Some(work) = before.work() {
            let still = state.work().map(|work| (work.version, &work.image_name));
            prop_assert_eq!(still, Some((work.version, &work.image_name)));
        }

        if let State::Building { since, .. } | State::Unknown { since, .. } = before {
            self.stuck |= now >= *since + TimeDelta::seconds(BUILD_DEADLINE);
        }
        let create = matches!(effect, Effect::Call(Call::CreateImage(_)));
        prop_assert_eq!(create, matches!(state, State::Creating { .. }), "a create call is committed as such");
        let waits = matches!(state, State::Queued { .. }) && !matches!(before, State::Queued { .. });
        prop_assert!(!waits || state.waiting().is_some() && self.bake.settings.if_connected == IfConnected::Wait);
        match effect {
            Effect::Call(Call::CreateImage(_)) => {
                self.creates += 1;
                prop_assert!(self.creates <= self.bake.settings.retry.attempts, "more calls than attempts");
                self.world.create_since = self.world.wall();
            }
            Effect::Call(Call::StopInstance) => {
                prop_assert!(state.work().is_some_and(|work| work.owes_start), "a stop is committed as a debt");
                let sent_before = matches!(before, State::Stopping { sent: true, .. });
                let may_stop = self.bake.settings.if_connected == IfConnected::Proceed || !self.world.connected;
                prop_assert!(sent_before || may_stop, "stopped under a user");
                self.stops += 1;
                self.world.stop_since = self.world.wall();
            }
            Effect::Call(Call::StartInstance) => {
                prop_assert!(matches!(state, State::Starting { .. }), "nothing is started before the end is decided");
                prop_assert!(self.stops > 0, "only what we stopped is started");
                let being_made = self.world.images.iter().any(|image| image.in_progress(self.world.time))
                    || self.world.underway.iter().any(|(_, deed)| matches!(deed, Deed::Create(..)));
                prop_assert!(!being_made || self.stuck || self.world.beyond_bounds, "started under its image");
            }
            Effect::Call(Call::RunHook(HookRun { moment, number, .. })) => {
                // Hooks nest: `before` around stop, create and start, and what undoes it last to first.
                if *moment == Moment::Before {
                    prop_assert!(self.stops == 0 && self.creates == 0, "too late for {effect:?}");
                } else {
                    let owes_start = state.work().is_some_and(|work| work.owes_start);
                    prop_assert!(!owes_start, "{effect:?} before the instance is started");
                }
                // Each may run again in its place: a crash does not tell how far it was.
                if self.hooks.last() != Some(&(*moment, *number)) {
                    self.hooks.push((*moment, *number));
                }
            }
            _ => {}
        }
        // One that was deleted before anybody knew of it may be made again.
        let there = self.world.images.iter().filter(|image| image.exists(self.world.time)).count();
        prop_assert!(there <= 1 || self.world.beyond_bounds, "two images: {:?}", self.world.images);
        Ok(())
    }

    /// All that were to run did, and in order.
    fn check_hooks(&self, end: &End) -> Checked {
        let all = &self.bake.settings.hooks;
        let begun = self.hooks.iter().filter(|(moment, _)| *moment == Moment::Before).count();
        let mut wanted: Vec<_> = (1..=begun).map(|number| (Moment::Before, number)).collect();
        let failed = matches!(end, End::Failed { .. });
        // Without a `before`, they are owed once it is clear that the bake is begun: at its first call that matters.
        let owed =
            begun > 0 || self.hooks.len() > begun || all.before.is_empty() && (self.creates > 0 || self.stops > 0);
        if owed {
            wanted.extend(all.ending(failed).map(|(moment, number, _)| (moment, number)));
        }
        prop_assert_eq!(&self.hooks, &wanted);
        if matches!(end, End::Succeeded { .. }) {
            prop_assert_eq!(begun, all.before.len());
        }
        Ok(())
    }

    fn check_the_end(&mut self) -> Checked {
        let ended = self.bake.state.clone();
        let strays = [
            Event::Due,
            Event::Admitted { version: 8 },
            Event::Answered(Answer::Accepted),
            Event::Answered(Answer::Instance(Some(Power::Stopped))),
            Event::Answered(Answer::Found(None)),
            Event::Answered(Answer::Refused(refusal(Class::Unclear, "Timeout"))),
        ];
        for stray in strays {
            self.event(stray)?;
            prop_assert_eq!(&self.bake.state, &ended);
        }
        self.world.pass(1000);
        if let State::Ended { end, .. } = &ended {
            self.check_hooks(end)?;
        }
        let world = &self.world;
        if world.beyond_bounds {
            return Ok(());
        }
        if self.stops > 0 && world.machine != Machine::Gone {
            prop_assert_eq!(world.machine, Machine::Running, "left stopped");
        }
        let State::Ended { end, work } = &ended else { return Err(TestCaseError::fail("not ended")) };
        prop_assert!(work.as_ref().is_none_or(|work| !work.owes_start && !work.owes_hooks && work.version == 7));
        if let End::Succeeded { image, .. } = end {
            let made = world.images.iter().find(|made| made.id == image.image_id);
            prop_assert!(made.is_some_and(|made| made.becomes == Becomes::Available && !made.in_progress(world.time)));
        } else {
            let lost = world.images.iter().find(|made| matches!(made.becomes, Becomes::Available | Becomes::Stays));
            prop_assert!(lost.is_none() || self.stuck, "{end:?} although there is {lost:?}");
        }
        Ok(())
    }
}

fn classes() -> impl Strategy<Value = Class> {
    use Class::{Busy, Credential, Permanent, Transient, Unclear};
    prop_oneof![
        4 => Just(Unclear), 2 => Just(Transient), 1 => Just(Busy), 1 => Just(Credential), 1 => Just(Permanent)
    ]
}

fn image_fates() -> impl Strategy<Value = ImageFate> {
    use Becomes::{Available, Deleted, Failed, Odd, Stays, Unlisted};
    let listed_after = prop_oneof![3 => Just(0), 3 => 0..WINDOW, 1 => 0..3 * WINDOW];
    let becomes = prop_oneof![
        6 => Just(Available),
        1 => Just(Failed),
        1 => Just(Deleted),
        1 => Just(Unlisted),
        1 => Just(Odd),
        1 => Just(Stays)
    ];
    (listed_after, 0..3000i64, becomes).prop_map(|(listed_after, built_after, becomes)| ImageFate {
        listed_after,
        built_after,
        becomes,
    })
}

fn fates() -> impl Strategy<Value = Fate> {
    let refused = proptest::option::weighted(0.4, classes());
    let acts_after = prop_oneof![2 => Just(None), 3 => Just(Some(0)), 2 => (0..POLL).prop_map(Some)];
    let retry_after = prop_oneof![8 => Just(None), 1 => (0..90u64).prop_map(Some), 1 => Just(Some(86_400))];
    let comes_to_nothing = proptest::bool::weighted(0.2);
    (refused, acts_after, comes_to_nothing, 0..20i64, retry_after, image_fates(), hook_fates()).prop_map(
        |(refused, acts_after, comes_to_nothing, answered_after, retry_after, image, hook)| Fate {
            refused,
            acts_after,
            comes_to_nothing,
            answered_after,
            retry_after,
            image,
            hook,
        },
    )
}

fn hook_fates() -> impl Strategy<Value = HookFate> {
    use HookFate::{HasNoTime, IsNotThere, Refuses, Works};
    prop_oneof![12 => Just(Works), 1 => Just(Refuses), 1 => Just(HasNoTime), 1 => Just(IsNotThere)]
}

/// So many commands at each moment.
fn hooks([before, on_failure, after]: [usize; 3]) -> Hooks {
    let commands = |count| (0..count).map(|_| HookCommand(vec!["/bin/true".to_owned()])).collect();
    Hooks { before: commands(before), on_failure: commands(on_failure), after: commands(after), ..Hooks::default() }
}

fn rounds() -> impl Strategy<Value = Round> {
    let idle = prop_oneof![5 => Just(0), 2 => 0..60i64, 1 => 0..BUILD_DEADLINE];
    let clock_step = prop_oneof![20 => Just(0), 2 => -30..30i64, 1 => -BUILD_DEADLINE..BUILD_DEADLINE];
    let crash = prop_oneof![8 => Just(Crash::No), 1 => Just(Crash::BeforeTheCall), 1 => Just(Crash::BeforeTheAnswer)];
    let user_turns = proptest::bool::weighted(0.1);
    let people = (user_turns, proptest::bool::weighted(0.01));
    (idle, clock_step, proptest::bool::weighted(0.8), crash, proptest::bool::weighted(0.01), people, fates()).prop_map(
        |(idle, clock_step, admits, crash, instance_vanishes, (user_turns, cancels), fate)| Round {
            idle,
            clock_step,
            admits,
            crash,
            instance_vanishes,
            user_turns,
            cancels,
            fate,
        },
    )
}

fn cases() -> impl Strategy<Value = (Setting, Vec<Round>)> {
    let stop = prop_oneof![Just(StopInstance::Never), Just(StopInstance::IfRunning), Just(StopInstance::Required)];
    let machine = prop_oneof![
        6 => Just(Machine::Running),
        1 => Just(Machine::Stopped),
        1 => Just(Machine::Rising { until: 100 }),
        1 => Just(Machine::Falling { until: 100 }),
        1 => Just(Machine::Gone)
    ];
    let foreign_task_until = prop_oneof![3 => Just(0), 1 => 0..4000i64];
    let if_connected =
        prop_oneof![3 => Just(IfConnected::Wait), 1 => Just(IfConnected::Skip), 1 => Just(IfConnected::Proceed)];
    let users = (if_connected, 60..4000u64, proptest::bool::weighted(0.2));
    let hooks = prop_oneof![1 => Just([0; 3]), 2 => [0..3usize, 0..3usize, 0..3usize]];
    let setting = (stop, users, hooks, 1..5u32, 600..7200u64, machine, foreign_task_until, any::<bool>(), any::<u64>())
        .prop_map(|(stop, users, hooks, attempts, deadline, machine, foreign_task_until, lists_tags, seed)| Setting {
            stop,
            if_connected: users.0,
            connected_wait: users.1,
            connected: users.2,
            hooks,
            attempts,
            deadline,
            machine,
            foreign_task_until,
            lists_tags,
            seed,
        });
    (setting, proptest::collection::vec(rounds(), 0..40))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_promises_hold_in_every_world((setting, rounds) in cases()) {
        Case::new(&setting).run(&rounds)?;
    }
}

/// The test above is worth what its worlds reach: every state, and few cases that promise nothing.
#[test]
fn the_worlds_reach_every_state() {
    const CASES: usize = 300;
    let mut runner = TestRunner::deterministic();
    let (mut words, mut set_aside) = (BTreeSet::new(), 0);
    for _ in 0..CASES {
        let (setting, rounds) = cases().new_tree(&mut runner).expect("a case").current();
        let mut case = Case::new(&setting);
        case.run(&rounds).expect("it holds");
        words.extend(case.words);
        set_aside += usize::from(case.world.beyond_bounds);
    }
    assert_eq!(words, State::WORDS.into());
    assert!(set_aside < CASES / 5, "{set_aside} of {CASES} cases prove nothing");
}
