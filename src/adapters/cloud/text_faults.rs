//! Counts what could not be read in answers of the cloud: texts with replaced places, and rows that were left out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::text::{LONGEST_EXCERPT, clean};

/// A call that is repeated every few seconds warns once in this time.
const WARN_AGAIN: Duration = Duration::from_hours(1);

/// What was found since the start, by call.
#[derive(Debug, Default)]
pub(super) struct TextFaults(Mutex<BTreeMap<&'static str, OfCall>>);

#[derive(Debug, Default)]
struct OfCall {
    texts: usize,
    rows: usize,
    /// Of the last row that was left out.
    why: Option<String>,
    warned: Option<Instant>,
}

impl TextFaults {
    /// Texts of an answer have this many replaced places.
    pub(super) fn texts(&self, action: &'static str, replaced: usize) {
        if replaced > 0 {
            self.note(action, |of| of.texts = of.texts.saturating_add(replaced));
        }
    }

    /// Rows of a list were left out.
    pub(super) fn rows(&self, action: &'static str, unreadable: &[String]) {
        if let Some(why) = unreadable.last() {
            self.note(action, |of| {
                of.rows = of.rows.saturating_add(unreadable.len());
                of.why = Some(clean(why, LONGEST_EXCERPT).into_owned());
            });
        }
    }

    fn note(&self, action: &'static str, count: impl FnOnce(&mut OfCall)) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = calls.entry(action).or_default();
        count(of);
        if of.warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            of.warned = Some(Instant::now());
            let found = of.describe(action);
            tracing::warn!(action, "an answer of the cloud is damaged: {found}");
        }
    }

    /// All of them in one line; `None` if all was readable.
    pub(super) fn describe(&self) -> Option<String> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<String> = calls.iter().map(|(action, of)| of.describe(action)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl OfCall {
    fn describe(&self, action: &str) -> String {
        let mut found = Vec::new();
        if self.texts > 0 {
            let plural = if self.texts == 1 { "place of its texts is" } else { "places of its texts are" };
            found.push(format!("{} {plural} no valid text and shown as \u{fffd}", self.texts));
        }
        if let Some(why) = &self.why {
            let plural = if self.rows == 1 { "row is" } else { "rows are" };
            found.push(format!("{} {plural} left out ({why})", self.rows));
        }
        format!("{action}: {}", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_damaged_is_counted_by_call() {
        let faults = TextFaults::default();
        faults.texts("A", 0);
        faults.rows("A", &[]);
        assert_eq!(faults.describe(), None);
        faults.texts("A", 2);
        faults.texts("A", 1);
        faults.rows("B", &["ecd-1: no id".to_owned()]);
        assert_eq!(
            faults.describe().unwrap(),
            "A: 3 places of its texts are no valid text and shown as \u{fffd}; B: 1 row is left out (ecd-1: no id)"
        );
    }
}
