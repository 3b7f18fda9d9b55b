//! Problems of a configuration on a terminal: those of one kind together, and no more than there is room for.

use std::collections::BTreeMap;

use annotate_snippets::Renderer;

use super::problem::{Problem, Problems, Severity, rendered};
use crate::domain::text::counted;

/// Lines that the names of others of a kind may take.
const LINES_OF_NAMES: usize = 2;
/// Lines below the problems: what is left out, the sum, and a blank line before each.
const BELOW: usize = 4;

impl Problems {
    /// The first problem of each kind with its line, a caret and a hint, as far as there is room, else in one line, and where
    /// the others of its kind are; then the sum. At most `lines` lines of `width` columns, except for the first problem, which
    /// is whole. `all` says what shows each.
    pub fn render_folded(&self, color: bool, (width, lines): (usize, usize), all: &str) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let kinds = self.kinds();
        let (mut out, mut short, mut used, mut is_folded) = (String::new(), String::new(), 0, false);
        let mut left_out: Vec<String> = Vec::new();
        let mut count = 0;
        for (number, kind) in kinds.iter().enumerate() {
            let [first, others @ ..] = kind.as_slice() else { continue };
            let likewise = likewise(first, others, width);
            let whole = height(&rendered(&Renderer::plain(), first), width) + height(&likewise, width) + 1;
            is_folded |= !others.is_empty();
            // Each kind after this one has a line at least.
            if short.is_empty() && (used == 0 || used + whole + (kinds.len() - number - 1) + BELOW <= lines) {
                used += whole;
                out.push_str(&format!("{}\n{likewise}\n", rendered(&renderer, first)));
            } else if used + 1 + BELOW <= lines {
                used += 1;
                short.push_str(&in_one_line(first, others.len(), width));
            } else {
                left_out.push(format!("{} ({})", first.code, kind.len()));
                count += kind.len();
            }
        }
        out.push_str(&short);
        if !left_out.is_empty() {
            let codes = fitting(&left_out, width.saturating_sub(all.len() + 16).max(width / 3), 1);
            out.push_str(&format!("… and {count} more: {codes}; {all}.\n"));
        } else if is_folded || !short.is_empty() {
            let mut all = all.chars();
            let begin = all.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            out.push_str(&format!("{begin}{}.\n", all.as_str()));
        }
        if !out.ends_with("\n\n") {
            out.push('\n');
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// The problems of each kind, errors first.
    fn kinds(&self) -> Vec<Vec<&Problem>> {
        let mut kinds: Vec<Vec<&Problem>> = Vec::new();
        let mut places: BTreeMap<(Severity, &str), usize> = BTreeMap::new();
        for problem in &self.0 {
            let place = *places.entry((problem.severity, problem.code)).or_insert(kinds.len());
            match kinds.get_mut(place) {
                Some(kind) => kind.push(problem),
                None => kinds.push(vec![problem]),
            }
        }
        kinds.sort_by_key(|kind| kind.first().map(|first| first.severity));
        kinds
    }
}

/// The first problem of a kind in one line of this width, with the number of the others.
fn in_one_line(first: &Problem, others: usize, width: usize) -> String {
    let Problem { severity, code, message, place, .. } = first;
    let line = place.spot.as_ref().map(|spot| format!(" line {}", spot.line)).unwrap_or_default();
    let more =
        if others > 0 { format!(" and {}", counted(others, "more place", "more places")) } else { String::new() };
    let text = format!("{}[{code}]{line}{more}: {message}", severity.as_str());
    let text = if text.chars().count() <= width {
        text
    } else {
        let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
        // Between words, if there is one in sight.
        if let Some(space) = cut.rfind(' ').filter(|space| *space > width / 2) {
            cut.truncate(space);
        }
        cut + "…"
    };
    format!("{text}\n")
}

/// Where the others of a kind are: in which schedules or sections, or else in which lines.
fn likewise(first: &Problem, others: &[&Problem], width: usize) -> String {
    if others.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = Vec::new();
    for problem in others {
        let line = || problem.place.spot.as_ref().map(|spot| format!("line {}", spot.line));
        let name = problem.of.clone().or_else(line).unwrap_or_else(|| problem.place.file.display().to_string());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let severity = first.severity.as_str();
    let begin =
        format!("{severity}[{}]: likewise at {}: ", first.code, counted(others.len(), "more place", "more places"));
    format!("{begin}{}\n", fitting(&names, (width * LINES_OF_NAMES).saturating_sub(begin.len() + width / 4), 1))
}

/// As many words as have room, at least some, and the number of the others.
fn fitting(words: &[String], room: usize, least: usize) -> String {
    let mut used = 0;
    let fits = |word: &&String| {
        used += word.chars().count() + 2;
        used <= room
    };
    let shown = words.iter().take_while(fits).count().max(least).min(words.len());
    let more = words.len() - shown;
    let end = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{end}", words[..shown].join(", "))
}

/// Lines that a text takes where words are wrapped; those of a source are not.
fn height(text: &str, width: usize) -> usize {
    // Wrapped lines are indented, and end where a word does.
    let usable = width.saturating_sub(width / 8).max(1);
    let of_line = |line: &str| {
        let code = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let is_source = code.starts_with('|') || code.starts_with("-->") || code.starts_with(":::");
        let length = line.chars().count();
        if is_source || length <= width { 1 } else { length.div_ceil(usable) }
    };
    text.lines().map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::{
        super::problem::{Place, Spot},
        *,
    };

    fn problem(line: usize, code: &'static str, severity: Severity, of: Option<&str>) -> Problem {
        let text: Arc<str> = "regions = [\"cn-hangzou\"]".into();
        Problem {
            severity,
            code,
            message: format!("unknown thing of {code}"),
            place: Place {
                file: Path::new("/etc/imagebaked.toml").into(),
                spot: Some(Spot { line, column: 1, end_column: 8, text }),
            },
            related: None,
            hint: Some("did you mean another one?".to_owned()),
            of: of.map(str::to_owned),
        }
    }

    #[test]
    fn problems_of_one_kind_are_one_with_the_schedules_of_the_others() {
        let names: Vec<String> = (0..40).map(|n| format!("farm-{n:02}")).collect();
        let all =
            names.iter().enumerate().map(|(n, name)| problem(n + 1, "unknown-region", Severity::Warning, Some(name)));
        let text = Problems(all.collect()).render_folded(false, (80, 23), "`imagebaked check --all` shows each");
        assert_eq!(text.matches("did you mean").count(), 1, "{text}");
        assert!(text.contains("warning[unknown-region]: likewise at 39 more places: farm-01, farm-02, "), "{text}");
        assert!(text.contains(" more\n") && text.contains("`imagebaked check --all` shows each.\n"), "{text}");
        assert!(text.ends_with("40 warnings in 1 file\n"), "{text}");
    }

    #[test]
    fn what_has_no_room_is_counted_by_its_kind_and_errors_come_first() {
        let codes = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut all: Vec<Problem> = (0..80).map(|n| problem(n + 1, codes[n % 8], Severity::Warning, None)).collect();
        all.push(problem(99, "bad-cron", Severity::Error, None));
        for lines in [14, 23, 25, 40] {
            let text = Problems(all.clone()).render_folded(false, (80, lines), "`imagebaked check --all` shows each");
            assert!(text.starts_with("error[bad-cron]") && text.lines().count() <= lines, "{lines}: {text}");
            assert!(text.contains("`imagebaked check --all` shows each.\n\n81 problems in 1 file\n"), "{text}");
        }
        let text = Problems(all.clone()).render_folded(false, (80, 23), "`imagebaked check --all` shows each");
        assert!(text.contains("warning[a] line 1 and 9 more places: unknown thing of a\n"), "{text}");
        let text = Problems(all).render_folded(false, (80, 16), "`imagebaked check --all` shows each");
        assert!(text.contains("g (10) and 1 more; `imagebaked check --all` shows each."), "{text}");
    }

    #[test]
    fn one_problem_is_shown_as_ever() {
        let one = Problems(vec![problem(3, "bad-cron", Severity::Error, None)]);
        assert_eq!(one.render_folded(false, (80, 5), "`imagebaked check --all` shows each"), one.render(false));
    }
}
