//! The image in the making, until it is good, failed or gone.

use super::{
    Step,
    ends::{STARTED_MEANWHILE, made_in_vain, vanished},
    is_running,
};
use crate::domain::{
    api::{
        call::{Call, MadeImage, Response},
        identity::ImageStatus,
    },
    bake::{
        event::Effect,
        reason::ReasonCode,
        retry::later,
        state::{BakeWork, End, State},
    },
    clock::show::show_length,
};

impl Step<'_> {
    pub(super) fn follow(
        &mut self,
        mut work: BakeWork,
        image: MadeImage,
        status: String,
        found: Option<String>,
    ) -> (State, Effect) {
        work.waiting = None;
        let next = self.after(self.pace.poll_interval);
        let now = self.now;
        let state = State::Building {
            work,
            image,
            since: now,
            seen_at: now,
            consecutive_errors: 0,
            next,
            status,
            found,
            searching: false,
        };
        (state, Effect::Wait(next))
    }

    pub(super) fn building(&mut self, answer: Response) -> (State, Effect) {
        let State::Building {
            mut work,
            image,
            since,
            mut seen_at,
            mut consecutive_errors,
            mut status,
            found,
            mut searching,
            ..
        } = self.bake.state.clone()
        else {
            return (self.bake.state.clone(), Effect::Wait(self.now));
        };
        // The clock may have been set back since.
        let since = since.min(self.now);
        seen_at = seen_at.min(self.now);
        self.note_poll(&mut work, &answer);
        let lag = self.pace.lookup_window.max(self.pace.poll_interval.saturating_mul(3));
        let mut pause = self.pace.poll_interval;
        let answer = match answer {
            Response::Found(Some(seen)) if seen.image_id == image.image_id => Response::Image(Some(seen)),
            // The id in the response to the create call may belong to another image.
            Response::Image(Some(seen)) if self.identity(&work).contradicts(&seen) => Response::Image(None),
            answer => answer,
        };
        if let Response::Instance(power) = &answer {
            if is_running(power.as_ref()) {
                work.note(STARTED_MEANWHILE.to_owned());
            }
            return self.create_failed(work, image);
        }
        let (mut asks_instance, mut is_outage) = (false, false);
        match answer {
            Response::Image(Some(seen)) => match seen.status {
                ImageStatus::Available => {
                    let reason = match found {
                        Some(found) => format!("image made; {found}"),
                        None if work.attempts > 1 => format!("image made at attempt {}", work.attempts),
                        None => "image made".to_owned(),
                    };
                    return self.finish(work, End::Succeeded { image, reason });
                }
                // Somebody may have started the instance, which makes the image fail.
                ImageStatus::CreateFailed if work.downtime.seen_at_rest => {
                    seen.status.as_str().clone_into(&mut status);
                    asks_instance = true;
                }
                ImageStatus::CreateFailed => return self.create_failed(work, image),
                ImageStatus::Deleted => {
                    seen.status.as_str().clone_into(&mut status);
                    searching = true;
                }
                ImageStatus::InProgress | ImageStatus::Other(_) => {
                    seen_at = self.now;
                    consecutive_errors = 0;
                    searching = false;
                    seen.status.as_str().clone_into(&mut status);
                }
            },
            Response::Image(None) => searching = self.now >= later(seen_at, lag),
            Response::Found(Some(seen)) => {
                let listed = format!("found by name and tags after {} was not listed", image.image_id);
                work.evidence.given_up.push(image.image_id);
                return self.adopt(work, seen, &listed);
            }
            Response::Found(None) | Response::NameTaken(_) if searching => {
                return self.finish(work, vanished(image, &status, lag));
            }
            // What its instance does is not known; the image has failed all the same.
            Response::Refused(_) if ImageStatus::parse(&status) == ImageStatus::CreateFailed => {
                return self.create_failed(work, image);
            }
            Response::Refused(api_error) => {
                consecutive_errors += 1;
                pause = self.pause_after(&api_error, consecutive_errors).max(pause);
                // A cloud that cannot be reached reports nothing about the image and starts no instance.
                is_outage = api_error.is_outage();
            }
            _ => consecutive_errors += 1,
        }
        if !asks_instance && !is_outage && self.has_come(later(since, self.bake.settings.build_deadline)) {
            if searching {
                return self.finish(work, vanished(image, &status, lag));
            }
            let reason = format!(
                "stuck: the image is still {status} after {}, no longer followed",
                show_length(self.bake.settings.build_deadline)
            );
            return self.finish(work, made_in_vain(image, ReasonCode::Stuck, false, reason));
        }
        let was_searching = matches!(self.bake.state, State::Building { searching: true, .. });
        let (next, effect) = if asks_instance {
            (self.after(pause), Effect::Call(Call::DescribeInstance))
        } else if searching && !was_searching {
            (self.now, self.find_image(&work))
        } else {
            let next = self.after(pause);
            (next, Effect::Wait(next))
        };
        (State::Building { work, image, since, seen_at, consecutive_errors, next, status, found, searching }, effect)
    }

    /// The cloud lists the image as CREATE_FAILED.
    fn create_failed(&self, work: BakeWork, image: MadeImage) -> (State, Effect) {
        if work.rebakes < self.bake.settings.retry.rebakes && !self.past_deadline() {
            return self.rebake(work, image);
        }
        let (which, no_other) = match work.rebakes {
            0 => (String::new(), ""),
            _ => (format!(" for image {}, too,", image.image_id), ", and no other one is asked for"),
        };
        let reason = format!("the cloud reports CREATE_FAILED{which} and gives no reason{no_other}");
        self.finish(work, made_in_vain(image, ReasonCode::CreatedFailed, true, reason))
    }

    /// The cloud lists the image as CREATE_FAILED: another one is created under the next version. Later searches of
    /// this bake ignore the failed one.
    fn rebake(&self, mut work: BakeWork, image: MadeImage) -> (State, Effect) {
        let why =
            format!("the cloud reported CREATE_FAILED for image {}, and another one was asked for", image.image_id);
        work.note(why.clone());
        work.rebakes += 1;
        work.needs_version = true;
        work.evidence.given_up.push(image.image_id);
        let next = self.now;
        (State::Ready { work, reconcile_before_create: true, next, blocked_on: Some(why) }, Effect::Wait(next))
    }

    /// Maximum number of create calls: each image that is created again adds one.
    pub(super) fn attempts(&self, work: &BakeWork) -> u32 {
        self.bake.settings.retry.attempts.saturating_add(work.rebakes)
    }
}
