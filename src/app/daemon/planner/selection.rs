//! Which schedules and instances a person asks to bake.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{Planner, target::PlannedTarget};
use crate::{
    adapters::{
        config,
        control::{BakeSelection, MOST_NAMED},
        store::NewRow,
    },
    domain::{
        bake::{State, Trigger},
        ids::InstanceId,
        text::{LONGEST_EXCERPT, excerpt},
    },
};

/// Why nothing is baked.
#[derive(Debug, thiserror::Error)]
pub enum NotSelected {
    /// A schedule or an instance is not known.
    #[error("{0}")]
    Unknown(String),
    /// It is not clear which schedule is meant.
    #[error("{0}")]
    Ambiguous(String),
    /// More words than one request may have.
    #[error("{named} schedules or instances are too many for one request: at most {MOST_NAMED}")]
    TooMany {
        /// How many there are.
        named: usize,
    },
}

/// Name and id of the schedule.
fn words(entry: &PlannedTarget) -> [&str; 2] {
    [entry.schedule.name.as_str(), entry.schedule.id.as_str()]
}

impl Planner {
    /// Rows for bakes of these schedules and instances, now. All of them, or an error that names what is not known.
    pub fn manual(&self, selection: &BakeSelection, now: DateTime<Utc>) -> Result<Vec<NewRow>, NotSelected> {
        let BakeSelection { schedules, instances, all } = selection;
        let most = schedules.len().max(instances.len());
        if most > MOST_NAMED {
            return Err(NotSelected::TooMany { named: most });
        }
        let not_found = |message: String| Err(NotSelected::Unknown(message));
        let known: HashSet<&str> = self.entries.iter().flat_map(words).collect();
        if let Some(unknown) = schedules.iter().find(|text| !known.contains(text.as_str())) {
            return not_found(config::no_schedule(unknown, self.schedule_words()));
        }
        let named: HashSet<&str> = schedules.iter().map(String::as_str).collect();
        let is_named = |entry: &PlannedTarget| *all || words(entry).iter().any(|word| named.contains(word));
        let mut by_instance: HashMap<&InstanceId, Vec<&PlannedTarget>> = HashMap::new();
        for entry in self.entries.iter().filter(|_| !instances.is_empty()) {
            by_instance.entry(&entry.instance).or_default().push(entry);
        }
        let mut chosen: Vec<&PlannedTarget> = Vec::new();
        for wanted in instances {
            let with_it = by_instance.get(wanted).map_or(&[][..], Vec::as_slice);
            let found: Vec<&PlannedTarget> =
                with_it.iter().copied().filter(|entry| schedules.is_empty() || is_named(entry)).collect();
            if let [one, other, ..] = found.as_slice()
                && schedules.is_empty()
            {
                let (one, other) = (&one.schedule.name, &other.schedule.name);
                let message =
                    format!("{wanted} is an instance of several schedules; name one, such as {one} or {other}");
                return Err(NotSelected::Ambiguous(message));
            }
            if found.is_empty() {
                let known = self.entries.iter().filter(|entry| schedules.is_empty() || is_named(entry));
                let whose = if schedules.is_empty() { "the configuration".to_owned() } else { schedules.join(", ") };
                let whose = excerpt(&whose, LONGEST_EXCERPT);
                if let Some(owner) = with_it.first() {
                    let owner = &owner.schedule.name;
                    return not_found(format!("{whose} has no instance \"{wanted}\"; it is one of {owner}"));
                }
                return not_found(config::no_instance(
                    &whose,
                    wanted.as_str(),
                    known.map(|entry| entry.instance.as_str()),
                ));
            }
            chosen.extend(found);
        }
        if instances.is_empty() {
            chosen = self.entries.iter().filter(|entry| is_named(entry)).collect();
        }
        if chosen.is_empty() {
            return not_found("no schedule is named".to_owned());
        }
        let mut once = HashSet::new();
        chosen.retain(|entry| once.insert((&entry.schedule.id, &entry.instance)));
        // The history counts in milliseconds; the slot of the row must equal the instant in its tag.
        let slot = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
        let row = |entry: &PlannedTarget| {
            let state = State::Queued { not_before: slot, suspended: None };
            entry.new_row(slot, Trigger::Manual, Some(Arc::clone(&entry.schedule.settings)), state)
        };
        Ok(chosen.into_iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{adapters::store::Store, domain::api::mode::Mode};

    #[tokio::test]
    async fn schedules_and_instances_are_chosen_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        let text = "[[schedule]]\nname = \"farm\"\ninstance_ids = [\"ecd-1\", \"ecd-2\"]\ncron = \"@daily\"\n\
                    [[schedule]]\nname = \"golden\"\ninstance_id = \"ws-9\"\ncron = \"@daily\"\n\
                    [[schedule]]\nname = \"weekly\"\ninstance_id = \"ecd-2\"\ncron = \"@weekly\"\n";
        std::fs::write(&path, text).unwrap();
        let config =
            config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let now = "2027-03-01T00:00:00Z".parse().unwrap();
        let planner = Planner::adopt(&config.schedules, &config.hash, &store, Mode::Act, now).await.unwrap();
        let chosen = |schedules: &[&str], instances: &[&str], all: bool| {
            let selection = BakeSelection {
                schedules: schedules.iter().map(|&name| name.to_owned()).collect(),
                instances: instances.iter().map(|&id| id.into()).collect(),
                all,
            };
            match planner.manual(&selection, now) {
                Ok(rows) => {
                    let rows = rows.iter().map(|row| format!("{} {}", row.schedule, row.instance_id));
                    rows.collect::<Vec<_>>().join(", ")
                }
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(chosen(&["farm"], &[], false), "farm ecd-1, farm ecd-2");
        assert_eq!(chosen(&["golden", "farm", "golden"], &[], false), "farm ecd-1, farm ecd-2, golden ws-9");
        assert_eq!(chosen(&[], &[], true), "farm ecd-1, farm ecd-2, golden ws-9, weekly ecd-2");
        assert_eq!(chosen(&["farm"], &["ecd-2"], false), "farm ecd-2");
        assert_eq!(chosen(&[], &["ws-9", "ecd-1"], false), "golden ws-9, farm ecd-1");
        assert_eq!(
            chosen(&[], &["ecd-2"], false),
            "ecd-2 is an instance of several schedules; name one, such as farm or weekly"
        );
        assert_eq!(chosen(&["golden", "fram"], &[], false), "there is no schedule \"fram\"; did you mean \"farm\"?");
        assert_eq!(chosen(&["farm"], &["ecd-3"], false), "farm has no instance \"ecd-3\"; did you mean \"ecd-1\"?");
        assert_eq!(chosen(&["farm"], &["ws-9"], false), "farm has no instance \"ws-9\"; it is one of golden");
        assert_eq!(chosen(&[], &[], false), "no schedule is named");
        let many = vec!["farm"; MOST_NAMED + 1];
        assert_eq!(
            chosen(&many, &[], false),
            "10001 schedules or instances are too many for one request: at most 10000"
        );
        assert_eq!(chosen(&many[1..], &["ecd-2"], false), "farm ecd-2");
    }
}
