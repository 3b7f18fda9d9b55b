//! The create call: the search before it, its answer, and the version that its name gets.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;

use super::{
    Step,
    ends::{failed, failed_by},
};
use crate::domain::{
    api::{
        call::{ApiError, Call, ErrorClass, Response},
        identity::{EarlierName, Evidence, TakenName},
    },
    bake::{
        event::Effect,
        identity::values,
        naming::Template,
        reason::ReasonCode,
        retry,
        state::{BakeWork, Resume, State},
        waiting::{Wait, WaitReason},
    },
    text::counted,
};

impl Step<'_> {
    pub(super) fn create(&self, mut work: BakeWork) -> (State, Effect) {
        // A rejected call made no image: the first call that counts is this one.
        if work.evidence.nothing_made() {
            work.evidence.first_sent = Some(self.now.checked_add_signed(self.pace.clock_skew).unwrap_or(self.now));
            work.evidence.all_refused = true;
            if work.evidence.earlier.is_empty() {
                work.owner = Some(self.pace.owner.clone());
            }
        }
        let identity = self.identity(&work);
        (State::Creating { work, sent_at: self.now }, Effect::Call(Call::CreateImage(identity)))
    }

    pub(super) fn search_or_create(&self, work: BakeWork) -> (State, Effect) {
        if self.must_search(&work) { self.search_then_create(work) } else { self.create(work) }
    }

    /// Whether a search precedes the next create call.
    fn must_search(&self, work: &BakeWork) -> bool {
        if self.pace.search_until.is_some_and(|until| self.now < until) {
            return true;
        }
        let Evidence { baseline, first_sent, .. } = &work.evidence;
        // Others may use a name without the slot. While the zone of GmtCreate is not known, only a list from before the
        // call identifies the image if its tags are not listed.
        let decides_later = self.has_slot() && self.pace.gmt_offset.is_some();
        baseline.is_none() && first_sent.is_none() && !decides_later
    }

    fn has_slot(&self) -> bool {
        Template::parse(&self.bake.settings.image_name).is_ok_and(|template| template.has_slot())
    }

    fn has_version(&self) -> bool {
        Template::parse(&self.bake.settings.image_name).is_ok_and(|template| template.has_version())
    }

    pub(super) fn find_image(&self, work: &BakeWork) -> Effect {
        Effect::Call(Call::FindImage(self.identity(work)))
    }

    pub(super) fn search_then_create(&self, work: BakeWork) -> (State, Effect) {
        let search = self.find_image(&work);
        (State::Ready { work, reconcile_before_create: true, next: self.now, blocked_on: None }, search)
    }

    /// No image of the slot is listed, but others with its name. A name that does not identify its image is not used.
    fn name_taken(&mut self, mut work: BakeWork, taken: TakenName) -> (State, Effect) {
        let known = work.evidence.baseline.as_ref();
        let news = taken.ids().find(|id| known.is_none_or(|known| !known.contains(id)));
        let Some(image_id) = news else { return self.create(work) };
        let why = format!("the name {} is taken by {image_id}", work.image_name);
        if self.has_version() {
            work.needs_version = true;
            let next = self.now;
            return (
                State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(why) },
                Effect::Wait(next),
            );
        }
        if taken.by_others.is_empty() {
            // Tags identify images of other slots of this owner; a template without a version gives no other name.
            work.evidence.baseline = Some(taken.by_own);
            return self.create(work);
        }
        let reason =
            format!("{why}, which is not an image of ours; add {{version}} to image_name, or rename that image");
        self.finish(work, failed(ReasonCode::NameTaken, false, reason))
    }

    pub(super) fn renumbered(
        &mut self,
        mut work: BakeWork,
        version: u32,
        blocked_on: Option<String>,
    ) -> (State, Effect) {
        if self.past_deadline() {
            return self.give_up(work);
        }
        let template = match Template::parse(&self.bake.settings.image_name) {
            Ok(template) => template,
            Err(error) => {
                let reason = format!("the image name's template is not readable: {error}");
                return self.finish(work, failed(ReasonCode::Refused, true, reason));
            }
        };
        let before = (work.version, std::mem::take(&mut work.image_name));
        work.version = version;
        work.image_name = template.render(&values(self.bake, version));
        work.needs_version = false;
        // Nothing is known about images with the new name. A call under the old name may still have made an image.
        let Evidence { baseline, first_sent, all_refused, .. } = &mut work.evidence;
        let (baseline, first_sent) = (baseline.take(), first_sent.take());
        let is_clear = std::mem::take(all_refused);
        if let Some(first_sent) = first_sent.filter(|_| !is_clear) {
            let (version, image_name) = (before.0, before.1);
            work.evidence.earlier.push(EarlierName { version, image_name, baseline, first_sent });
        }
        let search = self.find_image(&work);
        (State::Ready { work, reconcile_before_create: true, next: self.now, blocked_on }, search)
    }

    pub(super) fn searched_before_create(
        &mut self,
        mut work: BakeWork,
        blocked_on: Option<String>,
        answer: Response,
    ) -> (State, Effect) {
        match answer {
            Response::Found(Some(image)) => {
                self.adopt(work, image, "found in the cloud before the create call was made")
            }
            Response::Refused(api_error) if api_error.class == ErrorClass::Permanent => {
                self.finish(work, failed_by(&api_error, true, api_error.describe()))
            }
            _ if self.past_deadline() => self.give_up(work),
            Response::Found(None) | Response::NameTaken(_) if self.downtime_is_over(&work) => self.restart(work),
            Response::Found(None) => {
                if work.evidence.nothing_made() {
                    work.evidence.baseline = Some(Vec::new());
                }
                self.create(work)
            }
            Response::NameTaken(taken) => self.name_taken(work, taken),
            Response::Refused(api_error) => self.wait_for_cloud(work, &api_error, true),
            _ => {
                let next = self.after(self.pace.poll_interval);
                (State::Ready { work, reconcile_before_create: true, next, blocked_on }, Effect::Wait(next))
            }
        }
    }

    pub(super) fn create_answered(
        &mut self,
        mut work: BakeWork,
        sent_at: DateTime<Utc>,
        answer: Response,
    ) -> (State, Effect) {
        match answer {
            Response::Created(image) => {
                work.attempts += 1;
                work.evidence.all_refused = false;
                self.follow(work, image, "CREATING".to_owned(), None)
            }
            Response::Refused(api_error) => match api_error.class {
                ErrorClass::Permanent => {
                    work.attempts += 1;
                    self.finish(work, failed_by(&api_error, true, api_error.describe()))
                }
                ErrorClass::Unclear => {
                    work.attempts += u32::from(api_error.spends_attempt());
                    let asked = api_error.server_delay().unwrap_or_default();
                    self.unclear(work, sent_at, api_error.to_string(), asked)
                }
                ErrorClass::Transient if api_error.spends_attempt() => {
                    work.attempts += 1;
                    self.try_again(work, &api_error)
                }
                // Another image of the instance may be in the making, possibly this bake's.
                ErrorClass::Busy => self.wait_for_cloud(work, &api_error, true),
                ErrorClass::Transient | ErrorClass::Credential => self.wait_for_cloud(work, &api_error, false),
            },
            Response::NotSent if self.past_deadline() => self.give_up(work),
            Response::NotSent => {
                let next = self.now;
                (State::Ready { work, reconcile_before_create: false, next, blocked_on: None }, Effect::Wait(next))
            }
            _ => {
                work.attempts += 1;
                let why = "the create call returned the response to another call".to_owned();
                self.unclear(work, sent_at, why, Duration::ZERO)
            }
        }
    }

    fn try_again(&mut self, work: BakeWork, api_error: &ApiError) -> (State, Effect) {
        if work.attempts >= self.attempts(&work) {
            let reason =
                format!("gave up after {}: {}", counted(work.attempts, "attempt", "attempts"), api_error.describe());
            return self.finish(work, failed_by(api_error, false, reason));
        }
        self.wait_for_cloud(work, api_error, false)
    }

    /// The cloud rejects the create call, or the search before it, for now. With a stopped instance the bake waits in
    /// its state, otherwise in the queue.
    fn wait_for_cloud(
        &mut self,
        mut work: BakeWork,
        api_error: &ApiError,
        reconcile_before_create: bool,
    ) -> (State, Effect) {
        let waiting = Wait::for_cloud(work.waiting.as_ref(), api_error, self.now);
        let on = waiting.on;
        let (policy, asked) = (self.bake.settings.retry, api_error.server_delay());
        let steady = |pause, rng: &mut Rng| retry::poll_delay(pause, 1, retry::LONGEST_GAP, rng);
        let pause = match on {
            WaitReason::Fault => retry::delay(&policy, work.attempts.max(waiting.times), asked, self.rng),
            WaitReason::Outage | WaitReason::Throttled => retry::delay(&policy, waiting.times, asked, self.rng),
            WaitReason::Credentials | WaitReason::Clock => {
                steady(retry::credential_pause(self.pace.poll_interval), self.rng)
            }
            _ => steady(self.pace.poll_interval, self.rng),
        };
        let mut next = self.after(pause.max(asked.unwrap_or_default()));
        let is_first = waiting.times == 1;
        work.waiting = Some(waiting);
        if work.restart_pending {
            next = self.downtime_end(&work).filter(|end| *end > self.now).map_or(next, |end| next.min(end));
            // The instance is started as soon as a search has shown that no image is being made.
            if is_first && on == WaitReason::ImageQuota {
                next = self.now;
            }
            let blocked_on = None;
            (State::Ready { work, reconcile_before_create, next, blocked_on }, Effect::Wait(next))
        } else {
            self.queue(work, if reconcile_before_create { Resume::FindImage } else { Resume::Create }, next)
        }
    }
}
