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

pub(super) use crate::adapters::secrets::is_secret_key;
use crate::{
    adapters::secrets::shapes,
    domain::text::{LONGEST_TEXT, clean, excerpt},
};

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

/// Position of the first Alibaba Cloud access key id in `text`: `LTAI` and at least 8 letters or digits.
pub(super) fn find_key_id(text: &str) -> Option<std::ops::Range<usize>> {
    text.match_indices("LTAI").find_map(|(start, _)| {
        let length = text[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        (length >= 12).then_some(start..start + length)
    })
}

/// `text` with secrets replaced by as many asterisks, so that columns stay right. Works on the raw text, because the
/// line may not parse: what follows the `=` of a secret's key to the end, what follows a source of credentials, logins and
/// queries of endpoints, and all that looks like a secret anywhere.
pub(super) fn mask(text: &str) -> String {
    let mut masked = text.to_owned();
    for from in [after_secret_key(text), after_credentials(text)].into_iter().flatten() {
        let end = masked.len();
        cover(&mut masked, from..end);
    }
    masked = shapes::hide(&masked);
    if masked.to_ascii_lowercase().contains("endpoint") {
        hide_in_addresses(&mut masked);
    }
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
    if has_value && (is_secret_key(name) || name == "credentials") {
        return format!("{}{}{}", &line[..end], &value[..1], "*".repeat(value[1..].chars().count()));
    }
    mask(line)
}

/// Whether what follows this line may be the rest of a secret: it sets one, or a value of several lines begins in it where
/// keys are written by mistake.
pub(super) fn may_continue_secret(line: &str) -> bool {
    let is_open = |value: &str| {
        let value = value.trim();
        value.is_empty() || ["\"\"\"", "'''"].iter().any(|quotes| value.matches(quotes).count() % 2 == 1)
    };
    after_secret_key(line).is_some()
        || after_credentials(line).is_some()
        || credentials_value(line).is_some_and(|from| is_open(&line[from..]))
}

/// Where the value of the first key begins that is a secret.
fn after_secret_key(text: &str) -> Option<usize> {
    text.match_indices('=').find_map(|(equals, _)| is_secret_key(key_before(text, equals)).then_some(equals + 1))
}

/// Where the value of `credentials` begins.
fn credentials_value(text: &str) -> Option<usize> {
    text.match_indices('=').find_map(|(equals, _)| (key_before(text, equals) == "credentials").then_some(equals + 1))
}

/// What follows a source of credentials, or stands in its place: people write the key itself there. A source is a word of
/// small letters, or names a profile.
fn after_credentials(text: &str) -> Option<usize> {
    const LONGEST_WORD: usize = 20;
    let from = credentials_value(text)?;
    let value = text[from..].trim_start();
    let begin = text.len() - value.len();
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let is_word = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && value.len() < LONGEST_WORD;
        return (!is_word).then_some(begin);
    };
    let inside = &value[1..];
    let word = inside.split(quote).next().unwrap_or_default();
    let is_source = word.starts_with("profile:")
        || word.len() < LONGEST_WORD && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let end = begin + 1 + word.len() + usize::from(inside.len() > word.len());
    let rest = text[end..].trim();
    if !is_source {
        return Some(begin);
    }
    // In a message the sentence goes on after a backtick.
    (!rest.is_empty() && !rest.starts_with('`')).then_some(end)
}

/// The key whose `=` this is.
fn key_before(text: &str, equals: usize) -> &str {
    let key = text[..equals].trim_end().trim_end_matches(['"', '\'']);
    let start = key.rfind(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).map_or(0, |at| at + 1);
    // A key that starts inside a multi-byte character's width is cut at the character after it.
    let start = (start..=key.len()).find(|at| key.is_char_boundary(*at)).unwrap_or(key.len());
    &key[start..]
}

/// What stands before the `@` of an address, with or without a scheme, and after its question mark.
fn hide_in_addresses(masked: &mut String) {
    let is_between = |c: char| c.is_whitespace() || "\"'`<>()[]{},".contains(c);
    let mut at = 0;
    let mut ranges = Vec::new();
    for word in masked.split_inclusive(is_between) {
        let address = word.trim_end_matches(is_between);
        let name = address.find('=').filter(|equals| address.find([':', '/', '?']).is_none_or(|sign| *equals < sign));
        let host = address.find("://").map_or_else(|| name.map_or(0, |equals| equals + 1), |scheme| scheme + 3);
        let address = &address[host..];
        if let Some(end) = address.rfind('@').filter(|end| address[..*end].chars().any(|c| c != '*')) {
            ranges.push(at + host..at + host + end);
        }
        if let Some(query) = address.find(['?', '#']).filter(|query| *query > 0) {
            ranges.push(at + host + query + 1..at + host + address.len());
        }
        at += word.len();
    }
    for range in ranges.into_iter().rev() {
        cover(masked, range);
    }
}

/// Replaces a range by as many asterisks.
fn cover(masked: &mut String, range: std::ops::Range<usize>) {
    let hidden = "*".repeat(masked[range.clone()].chars().count());
    masked.replace_range(range, &hidden);
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
    fn a_line_of_credentials_shows_sources_alone() {
        for (line, shown) in [
            ("credentials = \"ini\" SECRET", "credentials = \"ini\"*******"),
            ("credentials = \"ini\" # SECRET", "credentials = \"ini\"*********"),
            ("credentials = SECRET", "credentials = ******"),
            ("credentials = \"SECRET\" x", "credentials = **********"),
            ("credentials: SECRET", "credentials:*******"),
            ("[cloud]credentials='hush1'", "[cloud]credentials=*******"),
        ] {
            assert_eq!(mask_line(line), shown);
        }
        for same in ["credentials = \"profile:x\"", "credentials = defualt", "write `credentials = \"ini\"`: so"] {
            assert_eq!(mask_line(same), same);
        }
        assert!(may_continue_secret("credentials = \"\"\"") && may_continue_secret("password = x"));
        assert!(!may_continue_secret("credentials = \"ini\"") && !may_continue_secret("name = \"\"\""));
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
