//! Problems of a configuration, rendered like those of a compiler.
//!
//! A problem stores the one source line that it shows, so that the files can be dropped. Lines and messages pass
//! through [`mask`] first: a secret is never printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;

use crate::domain::text::{LONGEST_TEXT, clean, excerpt};

/// Maximum number of listed warnings, and of errors, of a kind.
const MAX_LISTED: usize = 10;
const MAX_ERRORS: usize = 25;
/// Maximum number of listed errors of all kinds: nobody reads more at once.
const MAX_ALL: usize = 100;
/// Maximum length of a message and of a hint that are shown, in characters.
const LONGEST_SHOWN: usize = 600;

/// Whether the configuration can be used nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No.
    Error,
    /// Yes, but it is probably not intended.
    Warning,
}

impl Severity {
    /// Word in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A file, and usually a range in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file; `environment` for variables.
    pub file: Arc<Path>,
    /// The range; `None` for the whole file.
    pub spot: Option<Spot>,
}

/// `FILE:LINE:COLUMN`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_path(&self.file))?;
        match &self.spot {
            Some(Spot { line, column, .. }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// A path in one line: its name may have any character but a slash.
fn shown_path(path: &Path) -> String {
    clean(&path.to_string_lossy(), LONGEST_TEXT).into_owned()
}

/// A range of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The column after the last marked character.
    pub end_column: usize,
    /// The line with its secrets masked, without its line end; empty if it is too long to be shown. Problems of one line
    /// share it.
    pub text: Arc<str>,
}

impl Spot {
    /// The marked bytes of `text`; annotate-snippets counts in bytes.
    fn bytes(&self) -> std::ops::Range<usize> {
        let at = |column: usize| self.text.char_indices().nth(column - 1).map_or(self.text.len(), |(byte, _)| byte);
        at(self.column)..at(self.end_column)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Severity.
    pub severity: Severity,
    /// Stable code of the kind of problem, for scripts: `unknown-key`, `bad-cron`, …
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
    /// Its place.
    pub place: Place,
    /// A related place, with its description.
    pub related: Option<(Place, &'static str)>,
    /// The correction.
    pub hint: Option<String>,
    /// The schedule or the section that it is in, where that is known.
    pub of: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.place, self.severity.as_str(), self.code, self.message)
    }
}

/// All problems, in the order of the files and their lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {}", self.summary())]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// `3 problems in 2 files`; `3 warnings` if there is no error.
    pub fn summary(&self) -> String {
        let files: BTreeSet<&Path> = self.0.iter().map(|problem| &*problem.place.file).collect();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (problems, files) = (self.0.len(), files.len());
        let word = if self.has_errors() { "problem" } else { "warning" };
        format!("{problems} {word}{} in {files} file{}", plural(problems), plural(files))
    }

    /// The errors in one line, each with its place: at most `most`, and the number of the others.
    pub fn errors_in_one_line(&self, most: usize) -> String {
        let errors = || self.0.iter().filter(|problem| problem.severity == Severity::Error);
        let sentence = |Problem { severity, code, message, place, .. }: &Problem| {
            format!("{}[{code}]: {message} ({place})", severity.as_str())
        };
        let mut sentences: Vec<String> = errors().take(most).map(sentence).collect();
        let more = errors().count() - sentences.len();
        if more > 0 {
            sentences.push(format!("and {more} more"));
        }
        sentences.join("; ")
    }

    /// Text for people: each problem with its line, a caret and a hint, and the summary last. The first of each kind, and how
    /// many more there are.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        let mut left_out: BTreeMap<(Severity, &str), usize> = BTreeMap::new();
        let mut listed: BTreeMap<(Severity, &str), usize> = BTreeMap::new();
        let mut errors = 0;
        for problem in &self.0 {
            let kind = (problem.severity, problem.code);
            let known = listed.entry(kind).or_default();
            let has_room = match problem.severity {
                Severity::Error => *known < MAX_ERRORS && errors < MAX_ALL,
                Severity::Warning => *known < MAX_LISTED,
            };
            if !has_room {
                *left_out.entry(kind).or_default() += 1;
                continue;
            }
            *known += 1;
            errors += usize::from(problem.severity == Severity::Error);
            out.push_str(&rendered(&renderer, problem));
            out.push_str("\n\n");
        }
        for ((severity, code), n) in left_out {
            let severity = severity.as_str();
            let plural = if n == 1 { "" } else { "s" };
            out.push_str(&format!("{severity}[{code}]: likewise at {n} more place{plural}; --json has them all\n\n"));
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// JSON for scripts: one object per problem, with null for a missing place or hint.
    pub fn to_json(&self) -> serde_json::Value {
        let object = |problem: &Problem| {
            let spot = problem.place.spot.as_ref();
            json!({
                "severity": problem.severity.as_str(),
                "code": problem.code,
                "file": problem.place.file.to_string_lossy(),
                "line": spot.map(|spot| spot.line),
                "column": spot.map(|spot| spot.column),
                "end_column": spot.map(|spot| spot.end_column),
                "message": problem.message,
                "hint": problem.hint,
                "related": problem.related.as_ref().map(|(place, what)| json!({
                    "what": what,
                    "file": place.file.to_string_lossy(),
                    "line": place.spot.as_ref().map(|spot| spot.line),
                    "column": place.spot.as_ref().map(|spot| spot.column),
                })),
            })
        };
        self.0.iter().map(object).collect()
    }
}

/// One problem as text, without a line end.
pub(super) fn rendered(renderer: &Renderer, problem: &Problem) -> String {
    renderer.render(&report(&shortened(problem)))
}

/// The problem without the rest of what it quotes.
fn shortened(problem: &Problem) -> Problem {
    let short = |text: &str| excerpt(text, LONGEST_SHOWN).into_owned();
    Problem { message: short(&problem.message), hint: problem.hint.as_deref().map(short), ..problem.clone() }
}

fn report(problem: &Problem) -> Vec<Group<'_>> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&problem.message).id(problem.code);
    let file = shown_path(&problem.place.file);
    let mut group = match &problem.place.spot {
        Some(spot) if spot.text.is_empty() && spot.column > 1 => {
            title.element(Origin::path(file).line(spot.line).char_column(spot.column))
        }
        Some(spot) => {
            let mark = AnnotationKind::Primary.span(spot.bytes());
            title.element(Snippet::source(&*spot.text).line_start(spot.line).path(file).annotation(mark))
        }
        None => title.element(Origin::path(file)),
    };
    if let Some((place, what)) = &problem.related
        && let Some(spot) = &place.spot
        && (!spot.text.is_empty() || spot.column == 1)
    {
        let mark = AnnotationKind::Context.span(spot.bytes()).label(*what);
        let file = shown_path(&place.file);
        group = group.element(Snippet::source(&*spot.text).line_start(spot.line).path(file).annotation(mark));
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint));
    }
    vec![group]
}

/// Whether the value of a key with this name is secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    const WORDS: [&str; 7] =
        ["accesskeyid", "securitytoken", "sessiontoken", "password", "passwd", "privatekey", "secretkey"];
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    key.ends_with("secret") || WORDS.iter().any(|word| key.contains(word))
}

/// Position of the first Alibaba Cloud access key id in `text`: `LTAI` and at least 8 letters or digits.
pub(super) fn find_key_id(text: &str) -> Option<std::ops::Range<usize>> {
    text.match_indices("LTAI").find_map(|(start, _)| {
        let length = text[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        (length >= 12).then_some(start..start + length)
    })
}

/// The user and password of an address in `text`, after the byte `from`: what stands before the last `@` of a word, if
/// a scheme or a colon shows that it is one. `everything`: whatever stands there.
fn find_login(text: &str, from: usize, everything: bool) -> Option<std::ops::Range<usize>> {
    let is_between = |c: char| c.is_whitespace() || "\"'`<>()[]{},".contains(c);
    text[from..]
        .split_inclusive(is_between)
        .scan(from, |at, word| {
            let start = *at;
            *at += word.len();
            Some((start, word))
        })
        .find_map(|(start, word)| {
            let end = word.rfind('@')?;
            let before = &word[..end];
            let login = match (before.find("://"), before.find(':')) {
                (Some(scheme), _) => scheme + 3,
                (None, colon) => {
                    let name = before.find('=').filter(|equals| colon.is_none_or(|colon| *equals < colon));
                    colon.filter(|colon| colon + 1 < end).or_else(|| everything.then_some(0))?;
                    name.map_or(0, |equals| equals + 1)
                }
            };
            // What is masked already stays so.
            let is_new = before[login..].chars().any(|c| c != '*');
            is_new.then_some(start + login..start + end)
        })
}

/// `text` with secrets replaced by as many asterisks, so that columns stay right. Works on the raw text, because the
/// line may not parse: everything after the `=` of a secret's key is replaced, every key id, and the user and password of
/// every address.
pub(super) fn mask(text: &str) -> String {
    let hide = |range: &str| "*".repeat(range.chars().count());
    let mut masked = text.to_owned();
    let secret = masked.match_indices('=').find_map(|(equals, _)| {
        let key = masked[..equals].trim_end().trim_end_matches(['"', '\'']);
        let start = key.rfind(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).map_or(0, |at| at + 1);
        // A key that starts inside a multi-byte character's width is cut at the character after it.
        let start = (start..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(key.len());
        is_secret_key(&key[start..]).then_some(equals + 1)
    });
    if let Some(from) = secret {
        let hidden = hide(&masked[from..]);
        masked.replace_range(from.., &hidden);
    }
    let is_address = masked.to_ascii_lowercase().contains("endpoint");
    hide_each(&mut masked, |text, from| find_key_id(&text[from..]).map(|range| from + range.start..from + range.end));
    hide_each(&mut masked, |text, from| find_login(text, from, is_address));
    masked
}

/// [`mask`] for a line of a file, which may be another format than TOML: what follows the name of a secret at its begin is
/// replaced, with or without a colon.
pub(super) fn mask_line(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    let of_name = |c: char| c.is_alphanumeric() || "-_\"'".contains(c);
    let end = line[start..].find(|c| !of_name(c)).map_or(line.len(), |length| start + length);
    let (name, value) = (line[start..end].trim_matches(['"', '\'']), &line[end..]);
    let has_value = value.starts_with([':', ' ', '\t']) && !value.trim_start().starts_with('=');
    if has_value && is_secret_key(name) {
        return format!("{}{}{}", &line[..end], &value[..1], "*".repeat(value[1..].chars().count()));
    }
    mask(line)
}

/// Replaces all that `find` finds, from one place to the next: a line may have hundreds.
fn hide_each(masked: &mut String, find: impl Fn(&str, usize) -> Option<std::ops::Range<usize>>) {
    let mut from = 0;
    while let Some(range) = find(masked, from) {
        let hidden = "*".repeat(masked[range.clone()].chars().count());
        from = range.start + hidden.len();
        masked.replace_range(range, &hidden);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_another_format_shows_no_secret() {
        for (line, shown) in [
            ("AccessKeySecret: abc def", "AccessKeySecret:********"),
            ("  access_key_secret\tabc", "  access_key_secret\t***"),
            ("\"AccessKeySecret\": \"abc\",", "\"AccessKeySecret\":*******"),
            ("access_key_secret = \"abc\"", "access_key_secret =******"),
            ("name: golden", "name: golden"),
            ("", ""),
        ] {
            assert_eq!(mask_line(line), shown);
        }
    }

    #[test]
    fn a_refused_file_has_each_problem_with_its_place_in_one_line() {
        let spot = Spot { line: 3, column: 1, end_column: 6, text: "cronn = 1".into() };
        let one = Problem {
            severity: Severity::Error,
            code: "unknown-key",
            message: "unknown key `cronn`".to_owned(),
            place: Place { file: Path::new("/etc/imagebaked.toml").into(), spot: Some(spot) },
            related: None,
            hint: None,
            of: None,
        };
        let line = |problems| Problems(problems).errors_in_one_line(20);
        assert_eq!(line(vec![one.clone()]), "error[unknown-key]: unknown key `cronn` (/etc/imagebaked.toml:3:1)");
        let mut odd = one.clone();
        odd.place.file = Path::new("conf.d/a\nok    fine.toml").into();
        assert!(line(vec![odd.clone()]).contains(r"a\nok") && !Problems(vec![odd]).render(false).contains("a\nok"));
        let many = line(vec![one; 23]);
        assert!(many.ends_with("; and 3 more") && !many.contains('\n'), "{many}");
    }

    #[test]
    fn what_is_shown_is_bounded_however_much_is_wrong() {
        let text: Arc<str> = "x".repeat(400).into();
        let problem = |n: usize, code, severity| Problem {
            severity,
            code,
            message: format!("{n} {}", "m".repeat(2_000)),
            place: Place {
                file: Path::new("/etc/imagebaked.toml").into(),
                spot: Some(Spot { line: n + 1, column: 1, end_column: 2, text: Arc::clone(&text) }),
            },
            related: None,
            hint: Some("h".repeat(2_000)),
            of: None,
        };
        let kinds = ["a", "b", "c", "d", "e", "f"];
        let mut all: Vec<Problem> = (0..6_000).map(|n| problem(n, kinds[n % kinds.len()], Severity::Error)).collect();
        all.extend((0..1_000).map(|n| problem(n, "w", Severity::Warning)));
        let shown = Problems(all).render(false);
        assert!(shown.len() < 300_000, "{}", shown.len());
        assert_eq!(shown.matches("error[").count(), MAX_ALL + kinds.len());
        assert!(shown.contains("error[f]: likewise at 984 more places; --json has them all"));
        assert!(shown.contains("warning[w]: likewise at 990 more places; --json has them all"));
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        assert_eq!(mask(r#"name = "x""#), r#"name = "x""#);
        assert_eq!(mask(r#"access_key_secret="abc" nonsense"#), r"access_key_secret=**************");
        assert_eq!(mask(r#"a = { "Password" = "q" }"#), r#"a = { "Password" =******"#);
        assert_eq!(mask("IMAGEBAKED_CLOUD__SECURITY_TOKEN=abc"), "IMAGEBAKED_CLOUD__SECURITY_TOKEN=***");
        assert_eq!(mask("owner = 'LTAI5tExample99'"), "owner = '***************'");
        assert_eq!(mask("「password = 1"), "「password =**");
        assert_eq!(mask("endpoint = \"https://user:s3cret@host/\""), "endpoint = \"https://***********@host/\"");
        assert_eq!(mask("ecd_endpoint='u:p@a/b@host', x=1"), "ecd_endpoint='*******@host', x=1");
        assert_eq!(mask("`https://user@host` and `a:b@c`"), "`https://****@host` and `***@c`");
        assert_eq!(mask("IMAGEBAKED_CLOUD__ENDPOINT=token@host"), "IMAGEBAKED_CLOUD__ENDPOINT=*****@host");
        assert_eq!(
            mask("hooks = ['x', 'HTTPS_PROXY=http://u:p=q@h:1']"),
            "hooks = ['x', 'HTTPS_PROXY=http://*****@h:1']"
        );
        for same in ["cron = \"@daily\"", "why = 'ask ops@example.com'", "at 3:00 @ x", "a:@b"] {
            assert_eq!(mask(same), same);
        }
    }
}
