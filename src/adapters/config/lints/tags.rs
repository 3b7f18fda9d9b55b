//! Tags outside the rules that the cloud publishes for its other calls.

use super::Linter;
use crate::{
    adapters::config::source_map::WrittenValue,
    domain::{ids::InstanceId, schedule::Schedule},
};

/// Maximum characters of a tag's value.
const LONGEST: usize = 128;
/// Beginnings of a key that the cloud reserves, in any case.
const RESERVED: [&str; 2] = ["aliyun", "acs:"];

impl Linter<'_> {
    pub(super) fn tags(&mut self, schedule: &Schedule, written: &WrittenValue) {
        if let Some(mark) = self.place(written.tags, "tag-rules") {
            for (key, value) in &schedule.settings.tags {
                let reserved = RESERVED.iter().find(|prefix| key.to_ascii_lowercase().starts_with(**prefix));
                let (text, fault) = if let Some(prefix) = reserved {
                    (key, format!("the key `{key}` begins with `{prefix}`, which the cloud reserves"))
                } else if let Some(text) = [key, value].into_iter().find(|text| has_address(text)) {
                    (text, format!("the tag `{key}` has an address in it, which other calls of the cloud refuse"))
                } else {
                    continue;
                };
                let hint = "keys and values are words, like `team = \"it\"`";
                self.found.warning(mark.inside(text, 0..text.len()), "tag-rules", fault, Some(hint.into()));
            }
        }
        let line = |instance: &InstanceId| schedule.line(instance).as_str().chars().count();
        let longest = schedule.instances.as_slice().iter().map(line).max().unwrap_or_default();
        if longest > LONGEST
            && let Some(mark) = self.place(Some(written.name), "tag-rules")
        {
            let message = format!(
                "the tag `imagebaked:line` of {} has {longest} characters, and the cloud allows {LONGEST}",
                schedule.name
            );
            self.found.warning(mark, "tag-rules", message, Some("give it a shorter `id`".into()));
        }
    }
}

fn has_address(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("http://") || text.contains("https://")
}
