//! Events of bakes: a step goes in, the facts that it makes true come out.

use chrono::{DateTime, Utc};

use super::{Event, EventSeverity, EventType};
use crate::domain::{
    api::cause::Cause,
    bake::{
        Bake, State,
        reason::ReasonCode,
        state::{BakeWork, End},
    },
    health::{Subject, SubjectKind, one_line},
    ids::{BakeId, InstanceId, LineId, ScheduleName},
    time::rfc3339_seconds,
};

/// Maximum length of a message, in characters: the cloud's messages can be long.
const LONGEST: usize = 1_000;

/// One line of at most 1,000 characters.
pub(super) fn short(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(LONGEST) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// The row of a bake, as its events name it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its number.
    pub id: BakeId,
    /// Its schedule.
    pub schedule: &'a ScheduleName,
    /// Its instance.
    pub instance: &'a InstanceId,
    /// Its line.
    pub line: &'a LineId,
    /// Its slot; the last one of a range.
    pub slot: DateTime<Utc>,
}

impl Row<'_> {
    fn event(&self, kind: EventType, severity: EventSeverity, message: &str) -> Event {
        let Self { id, schedule, instance, line, slot } = *self;
        Event::new(kind, severity, Subject::new(SubjectKind::Bake, id.to_string()), short(message))
            .with("bake", id.0)
            .with("schedule", schedule.as_str())
            .with("instance_id", instance.as_str())
            .with("line", line.as_str())
            .with("slot", rfc3339_seconds(slot))
            .command(format!("imagebaked show {id}"))
    }

    /// Event of a row that was just written; `slots` is the number of its slots.
    pub fn written(&self, state: &State, slots: u64) -> Event {
        let Self { id, schedule, .. } = self;
        if let State::Ended { end, .. } = state {
            return self.ended(state, end, slots);
        }
        self.event(EventType::BakeQueued, EventSeverity::Info, &format!("bake {id} of {schedule} is queued"))
    }

    fn ended(&self, state: &State, end: &End, slots: u64) -> Event {
        let Self { id, schedule, .. } = self;
        let reason = end.reason();
        let of = format!("bake {id} of {schedule}");
        let event = match end {
            End::Succeeded { image, .. } => {
                let (image_id, name) = (image.image_id.as_str(), state.work().map_or("", |work| &work.image_name));
                let message = format!("{of} succeeded: {name} is {image_id}");
                self.event(EventType::BakeSucceeded, EventSeverity::Info, &message)
            }
            End::Failed { .. } => {
                self.event(EventType::BakeFailed, EventSeverity::Problem, &format!("{of} failed: {reason}"))
            }
            End::Cancelled { .. } => {
                self.event(EventType::BakeCancelled, EventSeverity::Info, &format!("{of} cancelled: {reason}"))
            }
            End::Skipped { .. } => {
                self.event(EventType::BakeSkipped, EventSeverity::Warning, &format!("{of} skipped: {reason}"))
            }
        };
        let event = if slots > 1 { event.with("slots", slots) } else { event };
        let image = state.image();
        with_work(event, state.work())
            .with("reason", short(reason))
            .with("reason_code", state.reason_code().map(ReasonCode::as_str))
            .with("cause", state.cause().map(Cause::as_str))
            .with("image_id", image.map(|image| image.image_id.as_str()))
            .with("version_id", image.and_then(|image| image.version_id.as_deref()))
    }
}

fn with_work(event: Event, work: Option<&BakeWork>) -> Event {
    let Some(work) = work else { return event };
    event.with("version", work.version).with("image_name", work.image_name.as_str()).with("attempts", work.attempts)
}

/// Events of a step from `before` to the state of `bake`.
pub fn of_step(bake: &Bake, before: &State) -> Vec<Event> {
    let row =
        Row { id: bake.id, schedule: &bake.schedule, instance: &bake.instance_id, line: &bake.line, slot: bake.slot };
    let (id, schedule, instance, state) = (bake.id, &bake.schedule, &bake.instance_id, &bake.state);
    let reason = bake.reason().unwrap_or_default();
    let info = |kind, message: String| row.event(kind, EventSeverity::Info, &message);
    let warning =
        |kind, message: String| row.event(kind, EventSeverity::Warning, &message).with("reason", short(&reason));
    let mut events = Vec::new();
    let has_started = matches!(before, State::Queued { suspended: None, .. }) && !state.is_ended();
    if let Some(work) = state.work().filter(|_| has_started) {
        let message = format!("bake {id} of {schedule} has started: version {}", work.version);
        events.push(with_work(info(EventType::BakeStarted, message), Some(work)));
    }
    if matches!((before, state), (State::Stopping { .. }, State::Ready { .. })) {
        events.push(info(
            EventType::InstanceStopped,
            format!("instance {instance} is stopped for bake {id} of {schedule}"),
        ));
    }
    let restart_pending = |state: &State| matches!(state, State::Starting { work, .. } if work.restart_pending);
    if restart_pending(before) && !restart_pending(state) {
        events.push(info(
            EventType::InstanceStarted,
            format!("instance {instance} runs again after bake {id} of {schedule}"),
        ));
    }
    // Most reasons of a wait are its predicate, others are sentences.
    let waits = || {
        let link = if reason.starts_with("waits ") { " " } else { ": " };
        warning(EventType::BakeWaits, format!("bake {id} of {schedule}{link}{reason}"))
    };
    // A wait is reported once, however often it is polled.
    let why = |state: &State| state.waiting().map(|waiting| waiting.why.clone());
    let is_news = before.as_str() != state.as_str() && (why(before).is_none() || why(before) != why(state));
    match state {
        State::Ended { end, .. } => events.push(row.ended(state, end, 1)),
        State::Unknown { .. } if is_news => events.push(warning(
            EventType::BakeUnclear,
            format!("bake {id} of {schedule}: searching for its image: {reason}"),
        )),
        State::Queued { suspended: Some(_), .. } if is_news => events.push(waits()),
        State::Ready { blocked_on, work, .. } if is_news && (blocked_on.is_some() || work.waiting.is_some()) => {
            events.push(waits());
        }
        _ => {}
    }
    events
}
