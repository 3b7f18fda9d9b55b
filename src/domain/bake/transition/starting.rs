//! The start of an instance that was stopped, which is tried until it runs.

use chrono::{DateTime, Utc};

use super::{ABSENT_AFTER, SETTLED_AFTER, STEADY_POLLS, Step, ends::started_meanwhile, obstacle::Obstacle};
use crate::domain::{
    api::{
        call::{Call, PowerState, Response},
        identity::TAG_LINE,
    },
    bake::{
        event::Effect,
        maintenance::Maintenance,
        retry::{self, later},
        state::{End, State},
    },
};

impl Step<'_> {
    pub(super) fn starting(&mut self, answer: Response) -> (State, Effect) {
        let State::Starting {
            mut work,
            end,
            tries,
            stop_unconfirmed,
            since,
            start_sent,
            mut refused_since,
            mut last_error,
            ..
        } = self.bake.state.clone()
        else {
            return (self.bake.state.clone(), Effect::Wait(self.now));
        };
        let asked = if let Response::Refused(api_error) = &answer { api_error.server_delay() } else { None };
        let absent = match &answer {
            Response::Instance(None) => true,
            Response::Instance(Some(PowerState::Final(status))) => status.eq_ignore_ascii_case("deleted"),
            _ => false,
        };
        if absent {
            let before = work.waiting.as_ref();
            work.waiting = Some(Obstacle::Absent.wait(before, self.now));
        } else {
            self.note_poll(&mut work, &answer);
        }
        let times = work.waiting.as_ref().map_or(0, |waiting| waiting.times);
        if let Response::Refused(api_error) = &answer
            && start_sent
            && api_error.is_decided()
        {
            refused_since = refused_since.or(Some(self.now));
        }
        let (tries, stop_unconfirmed, next, call) = match answer {
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_)))
                if stop_unconfirmed && tries < SETTLED_AFTER =>
            {
                (tries + 1, stop_unconfirmed, self.after(self.pace.poll_interval), None)
            }
            Response::Instance(Some(PowerState::Running | PowerState::RunningInUse(_))) => {
                work.restart_pending = false;
                work.downtime.stopped_since = None;
                work.downtime.running_since = Some(self.now);
                return self.end_maintenance(work, end.map(|end| started_meanwhile(end, tries)));
            }
            // Another line or host may be making an image of the instance now; a start would damage it.
            Response::Instance(Some(PowerState::Stopped)) => {
                let waited = self.has_come(later(since.unwrap_or(self.now), self.bake.settings.build_deadline));
                let call = if waited { Call::StartInstance } else { Call::FindImagesInProgress };
                (tries + 1, false, self.start_pause(tries), Some(call))
            }
            Response::InProgress(images) => {
                let own = end.as_ref().and_then(End::image).map(|image| &image.image_id);
                match images.iter().find(|image| Some(&image.image_id) != own) {
                    None => (tries, false, self.start_pause(tries), Some(Call::StartInstance)),
                    Some(image) => {
                        let line = image.tags.get(TAG_LINE).map_or("another line", String::as_str);
                        let name = &image.image_id;
                        last_error =
                            Some(format!("it is not started while image {name} of {line} is being made of it"));
                        (tries, false, self.start_pause(tries), None)
                    }
                }
            }
            // One listing without the instance proves nothing: it could stay stopped.
            Response::Instance(_) if absent && times >= ABSENT_AFTER => {
                work.waiting = None;
                work.restart_pending = false;
                work.maintenance = Maintenance::Unknown;
                work.downtime.stopped_since = None;
                let end = end.map(|end| end.with_note("the instance is gone, it could not be started again"));
                return self.run_end_hooks(work, end, 0);
            }
            Response::Accepted => (tries, stop_unconfirmed, self.after(self.pace.poll_interval), None),
            answer => {
                last_error = match answer {
                    Response::Refused(api_error) => Some(api_error.describe()),
                    Response::Instance(Some(PowerState::Transitioning(status) | PowerState::Final(status))) => {
                        Some(format!("the cloud reports it {status}"))
                    }
                    Response::Instance(None) => Some("the cloud does not list it".to_owned()),
                    _ => last_error,
                };
                (tries + 1, stop_unconfirmed, self.start_pause(tries), None)
            }
        };
        let next = next.max(self.after(asked.unwrap_or_default()));
        // Before each start: the cloud may reject one of a desktop in maintenance, and may have rejected the end for now
        // only.
        let call = match call {
            Some(Call::StartInstance) if work.maintenance.is_pending() => {
                work.maintenance = Maintenance::Leaving;
                Some(Call::LeaveMaintenance)
            }
            call => call,
        };
        let start_sent = call == Some(Call::StartInstance);
        let effect = call.map_or(Effect::Wait(next), Effect::Call);
        (
            State::Starting { work, end, tries, stop_unconfirmed, since, start_sent, refused_since, last_error, next },
            effect,
        )
    }

    /// Starts are repeated without limit: a stopped instance is worse than one more call. An instance needs a few polls
    /// to start, so the pauses grow only after those.
    pub(super) fn start_pause(&mut self, tries: u32) -> DateTime<Utc> {
        let pause = retry::poll_delay(self.pace.poll_interval, tries / STEADY_POLLS + 1, retry::LONGEST_GAP, self.rng);
        self.after(pause)
    }
}
