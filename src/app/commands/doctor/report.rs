//! The report of `imagebaked doctor`: checks, each with its result.

use serde::Serialize;

use crate::app::commands::terminal::print_text;

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckStatus {
    /// Not needed, or not possible.
    Skip,
    Ok,
    /// Bakes may work, but a person should check it.
    Warn,
    /// Bakes will not work.
    Fail,
}

/// One line of the report; the field names are those of `--json`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) result: CheckStatus,
    pub(super) found: String,
    /// Advice.
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn new(
        name: impl Into<String>,
        result: CheckStatus,
        found: impl Into<String>,
        advice: Option<String>,
    ) -> Self {
        Self { name: name.into(), result, found: found.into(), advice }
    }

    pub(super) fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, found, None)
    }

    pub(super) fn skip(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Skip, found, None)
    }

    pub(super) fn warn(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warn, found, Some(advice.into()))
    }

    pub(super) fn fail(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Fail, found, Some(advice.into()))
    }
}

/// The checks so far. The text output prints each at once, because some take long.
pub(super) struct DoctorReport {
    pub(super) checks: Vec<Check>,
    pub(super) live: bool,
    pub(super) color: bool,
}

impl DoctorReport {
    pub(super) fn add(&mut self, check: Check) {
        if self.live {
            print_text(&line(&check, self.color));
        }
        self.checks.push(check);
    }

    pub(super) fn add_all(&mut self, checks: impl IntoIterator<Item = Check>) {
        for check in checks {
            self.add(check);
        }
    }

    pub(super) fn count(&self, result: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.result == result).count()
    }
}

/// The check on one line, and the advice on the next.
fn line(check: &Check, color: bool) -> String {
    let (word, code) = match check.result {
        CheckStatus::Skip => ("skip", "2"),
        CheckStatus::Ok => ("ok", "32"),
        CheckStatus::Warn => ("warn", "33"),
        CheckStatus::Fail => ("fail", "31;1"),
    };
    let padding = " ".repeat("warn".len() - word.len());
    let word = if color { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
    let advice = check.advice.as_ref().map(|advice| format!("      -> {advice}\n")).unwrap_or_default();
    format!("{word}{padding}  {}: {}\n{advice}", check.name, check.found)
}
