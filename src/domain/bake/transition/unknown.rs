//! A create call whose effect is not known: only a search ends it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Step, ends::failed};
use crate::domain::{
    api::{
        call::{MadeImage, Response},
        identity::{EarlierName, ImageStatus, RemoteImage},
    },
    bake::{
        event::Effect,
        reason::ReasonCode,
        retry::{self, later},
        state::{BakeWork, End, State},
    },
    clock::show::show_length,
    text::counted,
};

impl Step<'_> {
    pub(super) fn unclear(
        &mut self,
        mut work: BakeWork,
        since: DateTime<Utc>,
        why: String,
        asked: Duration,
    ) -> (State, Effect) {
        work.waiting = None;
        work.evidence.all_refused = false;
        // The clock may have been set back since.
        let since = since.min(self.now);
        let next = self.after(self.first_poll_delay().max(asked));
        (State::Unknown { work, since, polls: 0, next, why }, Effect::Wait(next))
    }

    pub(super) fn searched(
        &mut self,
        mut work: BakeWork,
        since: DateTime<Utc>,
        polls: u32,
        why: String,
        answer: Response,
    ) -> (State, Effect) {
        // The clock may have been set back since; a window that starts in the future would delay the bake by as much.
        let since = since.min(self.now);
        self.note_poll(&mut work, &answer);
        match answer {
            Response::Found(Some(image)) => {
                let found = format!("found by name after the create call stayed unclear ({why})");
                self.adopt(work, image, &found)
            }
            // Images with the same name are checked right before the call is repeated.
            Response::Found(None) | Response::NameTaken(_) if self.now >= later(since, self.pace.lookup_window) => {
                let nothing = format!("{why}; no image appeared within {}", show_length(self.pace.lookup_window));
                let spent = work.attempts >= self.attempts(&work);
                if self.past_deadline() && !spent {
                    let deadline = self.deadline_in_words();
                    let reason = format!("no image could be started before the deadline ({deadline}); last: {nothing}");
                    let end = match self.not_after() {
                        Some(_) => End::Skipped { code: ReasonCode::Deadline, reason },
                        None => failed(ReasonCode::Outage, false, reason),
                    };
                    return self.finish(work, end);
                }
                if spent {
                    let reason = format!("gave up after {}: {nothing}", counted(work.attempts, "attempt", "attempts"));
                    return self.finish(work, failed(ReasonCode::Outage, false, reason));
                }
                let next = self.now;
                let state = State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(nothing) };
                (state, Effect::Wait(next))
            }
            Response::Refused(_) if self.has_come(later(since, self.bake.settings.build_deadline)) => {
                let reason = format!("{why}; the image could not be searched for either, see the bake's calls");
                self.finish(work, failed(ReasonCode::Outage, false, reason))
            }
            Response::Refused(api_error) => {
                let pause = self.pause_after(&api_error, polls + 1);
                let next = self.after(pause);
                (State::Unknown { work, since, polls: polls + 1, next, why }, Effect::Wait(next))
            }
            _ => {
                let gap = retry::poll_delay(self.first_poll_delay(), polls + 1, self.longest_poll_delay(), self.rng);
                // The last search comes right after the window, not up to a full interval later.
                let window_end = later(since, self.pace.lookup_window).max(self.after(self.first_poll_delay()));
                let next = self.after(gap).min(window_end);
                (State::Unknown { work, since, polls: polls + 1, next, why }, Effect::Wait(next))
            }
        }
    }

    fn first_poll_delay(&self) -> Duration {
        retry::FIRST_POLL.min(self.pace.lookup_window / 4)
    }

    fn longest_poll_delay(&self) -> Duration {
        retry::LONGEST_GAP.min(self.pace.lookup_window)
    }

    pub(super) fn adopt(&mut self, mut work: BakeWork, image: RemoteImage, found: &str) -> (State, Effect) {
        // An image under a former name is identified by that name from here on.
        let evidence = &mut work.evidence;
        if let Some(index) = evidence.earlier.iter().position(|earlier| earlier.image_name == image.name) {
            let EarlierName { version, image_name, baseline, first_sent } = evidence.earlier.remove(index);
            (evidence.baseline, evidence.first_sent, evidence.all_refused) = (baseline, Some(first_sent), false);
            (work.version, work.image_name) = (version, image_name);
        }
        let made = MadeImage { image_id: image.image_id, version_id: image.version_id, task_id: None };
        match image.status {
            ImageStatus::Available => {
                self.finish(work, End::Succeeded { image: made, reason: format!("image made; {found}") })
            }
            status => self.follow(work, made, status.as_str().to_owned(), Some(found.to_owned())),
        }
    }
}
