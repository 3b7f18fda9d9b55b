//! The report of `imagebaked doctor`: checks, each with its result.

use serde::Serialize;

use crate::app::commands::{
    table::{screen, terminal_width, wrapped_lines},
    terminal::{lines_of_errors, print_text, with_config},
};

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

/// The checks so far. The text output prints each at once, because some take long; those of a kind that found nothing are
/// one line. On a terminal what is bad comes at the end, the worst first, as far as there is room.
pub(super) struct DoctorReport {
    pub(super) checks: Vec<Check>,
    live: bool,
    color: bool,
    detail: Detail,
    /// Checks of one kind that were not printed yet.
    alike: Vec<Check>,
    /// What is as it should be and was not printed.
    fine: Vec<String>,
    /// What was not checked and not printed.
    skipped: Vec<String>,
    /// What is bad and was not printed.
    bad: Vec<Check>,
    /// Lines that were printed.
    printed: usize,
}

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Each check.
    Each,
    /// Checks of a kind that found nothing as one.
    Kinds,
    /// Also what is as it should be as one line at the end: on a terminal, which has no room for all.
    Short,
}

/// Below the checks: a blank line, and the sum.
const BELOW: usize = 2;
/// So many checks that have no room are named.
const NAMED: usize = 4;

/// What is printed in any case: questions that people ask `doctor`.
const ASKED: [&str; 4] = ["configuration", "daemon", "credentials", "clock"];

impl DoctorReport {
    /// `all`: each check is shown, also on a terminal.
    pub(super) fn new(live: bool, color: bool, all: bool) -> Self {
        Self {
            checks: Vec::new(),
            live,
            color,
            detail: match (all, live && terminal_width().is_some()) {
                (true, _) => Detail::Each,
                (false, true) => Detail::Short,
                (false, false) => Detail::Kinds,
            },
            alike: Vec::new(),
            fine: Vec::new(),
            skipped: Vec::new(),
            bad: Vec::new(),
            printed: 0,
        }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check.clone());
        let is_quiet = matches!(check.result, CheckStatus::Ok | CheckStatus::Skip);
        let kind = kind(&check.name).filter(|_| is_quiet && self.detail != Detail::Each);
        if self.alike.first().is_some_and(|first| kind.is_none_or(|kind| Some(kind) != self::kind(&first.name))) {
            self.flush();
        }
        if kind.is_some() {
            self.alike.push(check);
        } else {
            self.show(&check);
        }
    }

    /// Prints what is left.
    pub(super) fn finish(&mut self) {
        self.flush();
        let mut rest = String::new();
        if !self.fine.is_empty() {
            let found = format!("{} are as they should be", self.fine.join(", "));
            rest.push_str(&line(&Check::ok("all else", found), self.color));
        }
        if !self.skipped.is_empty() {
            let found = "not needed, or not possible here; --all says why";
            rest.push_str(&line(&Check::skip(self.skipped.join(", "), found), self.color));
        }
        if !self.bad.is_empty() {
            let width = terminal_width();
            let around = self.printed + lines_of_errors() + height(&rest, width) + BELOW;
            let room = screen().unwrap_or(usize::MAX).saturating_sub(around);
            let bad = folded(std::mem::take(&mut self.bad), room, width, self.color);
            self.print(&bad);
        }
        if !rest.is_empty() {
            self.print(&rest);
        }
    }

    /// Prints the checks of a kind that are left.
    fn flush(&mut self) {
        let alike = std::mem::take(&mut self.alike);
        if let Some(sum) = sum(&alike) {
            self.show(&sum);
        }
    }

    /// Prints a check, or keeps its name for the end.
    fn show(&mut self, check: &Check) {
        let is_short = self.detail == Detail::Short;
        match check.result {
            CheckStatus::Skip if is_short => self.skipped.push(check.name.clone()),
            CheckStatus::Ok if is_short && !ASKED.contains(&check.name.as_str()) => {
                self.fine.push(check.name.clone());
            }
            CheckStatus::Warn | CheckStatus::Fail if is_short => self.bad.push(check.clone()),
            _ => self.print(&line(check, self.color)),
        }
    }

    fn print(&mut self, text: &str) {
        if self.live {
            self.printed += height(text, terminal_width());
            print_text(&wrapped_lines(&with_config(text), terminal_width()));
        }
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

/// The lines that a text takes.
fn height(text: &str, width: Option<usize>) -> usize {
    wrapped_lines(&with_config(text), width).lines().count()
}

/// Checks that are bad, the worst first, as many as have room, but at least one. The rest has a line.
fn folded(mut bad: Vec<Check>, room: usize, width: Option<usize>, color: bool) -> String {
    bad.sort_by_key(|check| std::cmp::Reverse(check.result));
    let shown = |count: usize| {
        let (first, rest) = bad.split_at(count);
        let mut text: String = first.iter().map(|check| line(check, color)).collect();
        if !rest.is_empty() {
            let mut names: Vec<&str> = rest.iter().take(NAMED).map(|check| check.name.as_str()).collect();
            names.extend((rest.len() > NAMED).then_some("…"));
            text.push_str(&format!("… and {} more: {}; imagebaked doctor --all\n", rest.len(), names.join(", ")));
        }
        text
    };
    let fits = |count: &usize| height(&shown(*count), width) <= room;
    shown((1..=bad.len()).rev().find(fits).unwrap_or_else(|| bad.len().min(1)))
}

/// What several checks are about: permissions are named `PRODUCT:ACTION`.
fn kind(name: &str) -> Option<&'static str> {
    match name.split_once([' ', ':']) {
        Some(("appstreaming" | "ecd" | "sts", _)) if name.contains(':') => Some("permissions"),
        Some(("instance", _)) => Some("instances"),
        _ => None,
    }
}

/// Checks of one kind as one.
fn sum(checks: &[Check]) -> Option<Check> {
    let [first, rest @ ..] = checks else { return None };
    if rest.is_empty() {
        return Some(first.clone());
    }
    let fine = checks.iter().filter(|check| check.result == CheckStatus::Ok).count();
    let skipped = checks.len() - fine;
    let name = kind(&first.name).unwrap_or(&first.name);
    let good = if name == "permissions" { "granted" } else { "as they should be" };
    let found = match (fine, skipped) {
        (0, _) => format!("{skipped} not tried or not needed"),
        (_, 0) => format!("{fine} {good}"),
        _ => format!("{fine} {good}, {skipped} not tried or not needed"),
    };
    Some(if fine == 0 { Check::skip(name, found) } else { Check::ok(name, found) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_of_a_kind_that_found_nothing_are_one_line() {
        let granted = |name: &str| Check::ok(name, "allowed");
        let skipped = |name: &str| Check::skip(name, "not needed");
        let of = |checks: &[Check]| sum(checks).map(|sum| line(&sum, false));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[granted("ecd:A")]).as_deref(), Some("ok    ecd:A: allowed\n"), "one stays itself");
        let three = [granted("ecd:A"), granted("appstreaming:B"), skipped("ecd:C")];
        assert_eq!(of(&three).as_deref(), Some("ok    permissions: 2 granted, 1 not tried or not needed\n"));
        let instances = [granted("instance ecd-1"), granted("instance ecd-2")];
        assert_eq!(of(&instances).as_deref(), Some("ok    instances: 2 as they should be\n"));
        assert_eq!([kind("credentials"), kind("daemon"), kind("ecd:A in cn-x")], [None, None, Some("permissions")]);
        let mut report = DoctorReport::new(false, false, true);
        report.add_all(three);
        report.add(Check::fail("ecd:D", "refused", "grant it"));
        report.finish();
        assert_eq!(report.checks.len(), 4, "JSON has each of them");
    }

    #[test]
    fn a_terminal_has_one_line_for_what_nobody_asked_about_and_is_fine() {
        let mut report = DoctorReport { detail: Detail::Short, ..DoctorReport::new(false, false, false) };
        report.add_all(["credentials", "disk", "ecd:A", "ecd:B"].map(|name| Check::ok(name, "fine")));
        report.add(Check::skip("hooks", "there are none"));
        report.add(Check::warn("time zones", "old", "update them"));
        report.finish();
        assert_eq!(report.fine, ["disk", "permissions"]);
        assert_eq!(report.skipped, ["hooks"]);
        assert_eq!(report.checks.len(), 6);
    }

    #[test]
    fn what_is_bad_has_the_room_that_is_left_and_the_worst_comes_first() {
        let warning = |name: &str| Check::warn(name, "old", "update it");
        let bad = vec![warning("a"), Check::fail("b", "gone", "make it"), warning("c"), warning("d")];
        let of = |room, width| folded(bad.clone(), room, width, false);
        let all = of(8, Some(80));
        assert_eq!(all.lines().count(), 8);
        assert!(all.starts_with("fail  b: gone\n      -> make it\nwarn  a: old\n"), "{all}");
        assert!(!all.contains("more"), "{all}");
        let some = of(7, Some(80));
        assert_eq!(some.lines().count(), 7, "{some}");
        assert!(some.ends_with("… and 1 more: d; imagebaked doctor --all\n"), "{some}");
        let one = of(0, Some(80));
        assert_eq!(one, "fail  b: gone\n      -> make it\n… and 3 more: a, c, d; imagebaked doctor --all\n");
        let long = vec![Check::fail("b", "gone ".repeat(40), "make it"), warning("a")];
        assert_eq!(folded(long.clone(), 6, Some(80), false).lines().count(), 4);
        assert_eq!(folded(long.clone(), 5, Some(80), false).lines().count(), 3, "lines are those of the terminal");
        assert_eq!(folded(long, usize::MAX, None, false).lines().count(), 4);
    }
}
