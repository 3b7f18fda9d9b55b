//! Table of instance states: each word of the cloud is ready, transitional or final for a bake.
//!
//! The states of a workstation are not published, except for the example `RUNNING`; those of its closest relative are
//! used. A word that is not in the table is transitional: a bake waits for it to change, and its reason contains the
//! word.

use serde::{Deserialize, Serialize};

/// `InstanceType` of CreateImageByInstance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InstanceType {
    /// A cloud desktop.
    CloudDesktop,
    /// A workstation.
    WuyingServer,
}

impl InstanceType {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudDesktop => "CloudDesktop",
            Self::WuyingServer => "WuyingServer",
        }
    }
}

/// What a bake does with an instance in that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateClass {
    /// The bake continues.
    Ready,
    /// It changes by itself: the bake waits until its deadline.
    Passing,
    /// It does not change by itself: the bake ends now.
    Final,
}

impl StateClass {
    /// As the docs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Passing => "passing",
            Self::Final => "final",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRule {
    /// Spelling of the cloud; case is ignored.
    pub word: &'static str,
    /// Kind of instance; `None`: both.
    pub only: Option<InstanceType>,
    /// What a bake does.
    pub class: StateClass,
    /// One sentence for the operator.
    pub meaning: &'static str,
}

/// All rows, in the order of the docs.
pub fn rules() -> impl Iterator<Item = &'static StateRule> {
    TABLE.iter()
}

/// The row of a word; `None` if it is unknown for this kind of instance.
pub fn find(word: &str, kind: InstanceType) -> Option<&'static StateRule> {
    let word = word.trim();
    TABLE.iter().find(|rule| rule.word.eq_ignore_ascii_case(word) && rule.only.is_none_or(|only| only == kind))
}

/// What a bake does with an instance of this kind in state `word`.
pub fn classify(word: &str, kind: InstanceType) -> StateClass {
    find(word, kind).map_or(StateClass::Passing, |rule| rule.class)
}

const fn both(word: &'static str, class: StateClass, meaning: &'static str) -> StateRule {
    StateRule { word, only: None, class, meaning }
}

const fn desktop(word: &'static str, class: StateClass, meaning: &'static str) -> StateRule {
    StateRule { only: Some(InstanceType::CloudDesktop), ..both(word, class, meaning) }
}

const fn workstation(word: &'static str, class: StateClass, meaning: &'static str) -> StateRule {
    StateRule { only: Some(InstanceType::WuyingServer), ..both(word, class, meaning) }
}

const TABLE: &[StateRule] = &[
    both("Running", StateClass::Ready, "It runs."),
    both("Stopped", StateClass::Ready, "It is stopped."),
    both("Pending", StateClass::Passing, "It is being made."),
    both("Starting", StateClass::Passing, "It starts."),
    both("Stopping", StateClass::Passing, "It stops."),
    both("Rebuilding", StateClass::Passing, "Its system disk is being rebuilt from an image."),
    desktop("Hibernated", StateClass::Passing, "It is hibernated until a user or an operator wakes it."),
    desktop("Migrating", StateClass::Passing, "It moves to another office network; `ManagementFlag` shows it, too."),
    desktop("Updating", StateClass::Passing, "Its specification is being changed; `ManagementFlag` shows it, too."),
    workstation("Unavailable", StateClass::Passing, "It cannot be used for now."),
    both("Expired", StateClass::Final, "Its subscription is over: renew it, or take it out of the configuration."),
    both("Locked", StateClass::Final, "The cloud has locked it: look for the cause in the console, such as a bill."),
    both("Deleting", StateClass::Final, "It is being deleted: take it out of the configuration."),
    both("Deleted", StateClass::Final, "It is deleted: take it out of the configuration."),
];

#[cfg(test)]
mod tests {
    use super::{
        InstanceType::{CloudDesktop, WuyingServer},
        StateClass::{Final, Passing, Ready},
        *,
    };

    #[test]
    fn every_published_word_has_its_class() {
        for (word, class) in [
            ("Running", Ready),
            ("Stopped", Ready),
            ("Pending", Passing),
            ("Starting", Passing),
            ("Stopping", Passing),
            ("Rebuilding", Passing),
            ("Hibernated", Passing),
            ("Migrating", Passing),
            ("Updating", Passing),
            ("Expired", Final),
            ("Locked", Final),
            ("Deleting", Final),
            ("Deleted", Final),
        ] {
            assert_eq!(find(word, CloudDesktop).map(|rule| rule.class), Some(class), "{word}");
        }
        for (word, class) in [
            ("STARTING", Passing),
            ("RUNNING", Ready),
            ("STOPPING", Passing),
            ("STOPPED", Ready),
            ("REBUILDING", Passing),
            ("PENDING", Passing),
            ("UNAVAILABLE", Passing),
            ("DELETING", Final),
            ("DELETED", Final),
            ("EXPIRED", Final),
            ("LOCKED", Final),
        ] {
            assert_eq!(find(word, WuyingServer).map(|rule| rule.class), Some(class), "{word}");
        }
    }

    #[test]
    fn what_nobody_has_heard_of_is_passing() {
        for word in ["", "Auditing", "Expired2", "停止"] {
            assert_eq!((find(word, CloudDesktop), classify(word, CloudDesktop)), (None, Passing), "{word}");
        }
        assert_eq!(classify("Unavailable", CloudDesktop), Passing);
    }

    #[test]
    fn no_word_stands_twice_and_each_is_explained() {
        for kind in [CloudDesktop, WuyingServer] {
            for rule in rules().filter(|rule| rule.only.is_none_or(|only| only == kind)) {
                assert_eq!(find(&rule.word.to_ascii_uppercase(), kind), Some(rule), "{}", rule.word);
            }
        }
        assert!(rules().all(|rule| rule.meaning.ends_with('.') && rule.meaning.len() >= 8));
    }
}
