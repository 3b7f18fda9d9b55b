//! The schedules that a person means.

use std::sync::Arc;

use crate::domain::{schedule::Schedule, similar};

/// Maximum number of suggested schedules.
const SUGGESTED: usize = 5;
/// Maximum length of a text that is compared with all names, letter by letter.
const LONGEST: usize = 100;

/// Whether a schedule is meant by what a person typed: a part of its name, id or an instance, in any case.
pub fn is_meant(schedule: &Schedule, typed: &str) -> bool {
    let typed = typed.trim().to_lowercase();
    let mut words = [schedule.name.as_str(), schedule.id.as_str()].into_iter();
    words.any(|word| word.to_lowercase().contains(&typed))
        || schedule.instances.as_slice().iter().any(|instance| instance.as_str().to_lowercase().contains(&typed))
}

/// Schedules that may be meant by a name that none has: those that have it as a part, else the one of the most similar name.
pub fn nearest(schedules: &[Arc<Schedule>], typed: &str) -> Vec<Arc<Schedule>> {
    let parts = schedules.iter().filter(|schedule| !typed.trim().is_empty() && is_meant(schedule, typed));
    let near: Vec<_> = parts.take(SUGGESTED).cloned().collect();
    if !near.is_empty() {
        return near;
    }
    if typed.chars().count() > LONGEST {
        return Vec::new();
    }
    let nearest = similar::nearest(typed, schedules.iter().map(|schedule| schedule.name.as_str()));
    schedules.iter().filter(|schedule| Some(schedule.name.as_str()) == nearest).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule;

    fn schedule(name: &str, instances: &[&str]) -> Arc<Schedule> {
        Arc::new(schedule::example(name, instances))
    }

    #[test]
    fn a_part_of_a_name_or_an_instance_finds_a_schedule() {
        let farm = schedule("Farm-Nord", &["ecd-5", "ecd-6"]);
        for typed in ["farm", " NORD ", "ecd-6", ""] {
            assert!(is_meant(&farm, typed), "{typed}");
        }
        assert!(!is_meant(&farm, "south"));
    }

    #[test]
    fn a_wrong_name_has_its_nearest_ones() {
        let many = (0..9).map(|n| schedule(&format!("farm-{n}"), &[&format!("ecd-{n}")]));
        let schedules: Vec<_> = many.chain([schedule("win11-golden", &["ws-1"])]).collect();
        let near = |typed| nearest(&schedules, typed).iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        assert_eq!(near("FARM").len(), SUGGESTED);
        assert_eq!(near("win11-goldn"), ["win11-golden"]);
        assert_eq!(near("ws-1"), ["win11-golden"], "the name of an instance");
        assert!(near("something-else").is_empty() && near(" ").is_empty());
    }
}
