//! Names and descriptions of images: outside the rules that the cloud publishes for its sibling calls, or not distinct.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Linter, local};
use crate::{
    adapters::config::{Config, source_map::WrittenValue},
    domain::{
        bake::naming::{LAST_VERSION, Template, Values},
        ids::InstanceId,
        schedule::Schedule,
    },
};

/// Number of slots whose names are compared.
const MOST_NAMES: usize = 100;
/// How far around a clock change names are compared.
const AROUND_A_CHANGE: TimeDelta = TimeDelta::hours(3);
/// How far ahead the slots of two schedules are compared.
const COMPARED: TimeDelta = TimeDelta::days(7);
/// Maximum number of pairs of schedules whose slots are compared.
const MOST_PAIRS: usize = 200;

impl Linter<'_> {
    /// Characters and beginnings that the sibling calls refuse. The rule of the create call is not published.
    pub(super) fn characters(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let instance = schedule.instances.as_slice().first().map_or("", InstanceId::as_str);
        let values = values(schedule, instance, self.now);
        if let Some(mark) = self.place(written.image_name.or(Some(written.name)), "name-rules")
            && let Ok(template) = Template::parse(&schedule.settings.image_name)
        {
            let name = template.render(&values);
            let fault = if is_address(&name) {
                Some("begin with `http://` or `https://`".to_owned())
            } else {
                name.chars().find(|c| !is_usual(*c)).map(|c| format!("contain {}", shown(c)))
            };
            if let Some(fault) = fault {
                let message = format!("image names like `{name}` {fault}, which other calls of the cloud refuse");
                let hint = "letters, Chinese characters, digits, `:`, `_` and `-` are safe";
                self.found.warning(mark, "name-rules", message, Some(hint.into()));
            }
        }
        if let Some(mark) = self.place(written.description, "description-rules")
            && let Some(text) = &schedule.settings.description
            && let Ok(template) = Template::parse(text)
        {
            let description = template.render(&values);
            let fault = match description.chars().count() {
                1 => "of one character",
                _ if is_address(&description) => "that begin with `http://` or `https://`",
                _ => return,
            };
            let message = format!("descriptions {fault} are refused by other calls of the cloud");
            let hint = "2 to 256 characters, a word first; no description: leave the key out";
            self.found.warning(mark, "description-rules", message, Some(hint.into()));
        }
    }

    /// Two slots of one schedule whose images have one name. With the version in it no two names are equal.
    pub(super) fn repeated_names(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let Ok(template) = Template::parse(&schedule.settings.image_name) else { return };
        if template.has_version() {
            return;
        }
        let Some(mark) = self.place(written.image_name, "names-not-distinct") else { return };
        let zone = schedule.timing.zone();
        let timing = &schedule.timing;
        // The name has the slot to the minute: it repeats within a minute, and in an hour that a clock repeats.
        let of_seconds = timing.expressions().any(|text| text.split_whitespace().count() == 6);
        let ahead = of_seconds.then(|| (self.now, shifted_by(self.now, TimeDelta::days(366))));
        let changes: Vec<_> = self.clock_changes_of(zone).iter().map(|change| change.at).collect();
        let around = changes.into_iter().map(|at| (shifted_by(at, -AROUND_A_CHANGE), shifted_by(at, AROUND_A_CHANGE)));
        for (from, until) in ahead.into_iter().chain(around) {
            let mut names = HashMap::new();
            for slot in timing.some_between(from, until, MOST_NAMES) {
                let name = template.render(&Values { slot, ..values(schedule, "", slot) });
                let Some(first) = names.insert(name, slot) else { continue };
                let name = template.render(&values(schedule, "", slot));
                let message = format!(
                    "the slots at {} and {} of {} have one image name, `{name}`",
                    local(first, zone),
                    local(slot, zone),
                    schedule.name
                );
                let hint = "add `{version}`, which differs from image to image";
                self.found.warning(mark, "names-not-distinct", message, Some(hint.into()));
                return;
            }
        }
    }

    /// Names that several instances or schedules share at one slot.
    pub(super) fn shared_names(&mut self, config: &Config, written: &[WrittenValue]) {
        let mut names: HashMap<String, (usize, &InstanceId)> = HashMap::new();
        let mut pairs = 0;
        for (index, (schedule, place)) in config.schedules.iter().zip(written).enumerate() {
            let Ok(template) = Template::parse(&schedule.settings.image_name) else { continue };
            for instance in schedule.instances.as_slice() {
                let name = template.render(&values(schedule, instance.as_str(), self.now));
                let Some(&(other, first)) = names.get(&name) else {
                    names.insert(name, (index, instance));
                    continue;
                };
                let span = place.image_name.or(Some(place.name));
                let Some(mark) = self.place(span, "names-not-distinct").filter(|_| pairs < MOST_PAIRS) else {
                    continue;
                };
                let one = &config.schedules[other];
                if other == index {
                    let message = format!(
                        "the images of {first} and {instance} have one name at each slot of {}: `{name}`",
                        schedule.name
                    );
                    let hint = "let `image_name` show `{instance_id}`";
                    self.found.warning(mark, "names-not-distinct", message, Some(hint.into()));
                    continue;
                }
                pairs += 1;
                // The slot keeps names apart unless both schedules have it.
                if template.has_slot() && !self.share_a_slot(one, schedule) {
                    continue;
                }
                let message = format!("images of {} and of {} can have one name: `{name}`", one.name, schedule.name);
                let hint = "let `image_name` show `{name}` or `{id}`";
                if let Some(related) = written.get(other).and_then(|place| place.name.of(self.sources)) {
                    let related = (related, "the other schedule");
                    self.found.warn_with_related(mark, "names-not-distinct", &message, Some(hint.into()), related);
                }
            }
        }
    }

    fn share_a_slot(&self, one: &Schedule, other: &Schedule) -> bool {
        let until = shifted_by(self.now, COMPARED);
        let slots: HashSet<DateTime<Utc>> = one.timing.some_between(self.now, until, MOST_NAMES).collect();
        other.timing.some_between(self.now, until, MOST_NAMES).any(|slot| slots.contains(&slot))
    }
}

fn values<'a>(schedule: &'a Schedule, instance_id: &'a str, slot: DateTime<Utc>) -> Values<'a> {
    Values {
        name: schedule.name.as_str(),
        id: schedule.id.as_str(),
        instance_id,
        slot,
        zone: schedule.settings.timezone,
        version: LAST_VERSION,
    }
}

fn shifted_by(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(at)
}

/// Characters of names that the published rules allow.
fn is_usual(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":_-".contains(c) || is_chinese(c)
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

fn is_address(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.starts_with("http://") || text.starts_with("https://")
}

/// A character for people.
fn shown(c: char) -> String {
    if c == ' ' { "a blank".to_owned() } else { format!("`{c}`") }
}
