//! Standard output, standard error and the terminal: the only place that prints, but for an export.

use std::{
    borrow::Cow,
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    colors::{color, without_colors},
    table::{error_width, wrapped_lines},
};
use crate::{
    app::cli,
    domain::{
        suggestion::ConfigOption,
        text::{LONGEST_EXCERPT, LONGEST_TEXT, clean, clean_lines, excerpt, is_hidden, push_json},
    },
};

/// Arguments with hidden characters, each with its text in one line: an output that quotes one has neither lines nor colours
/// of it.
static ARGUMENTS: LazyLock<Vec<(String, String)>> =
    LazyLock::new(|| in_one_line(&std::env::args_os().collect::<Vec<_>>()));

/// The `--config` of this command line: a command that is suggested must find the same daemon.
static CONFIG_OPTION: LazyLock<ConfigOption> =
    LazyLock::new(|| config_option(&std::env::args_os().collect::<Vec<_>>()));

/// Lines on standard error so far, if that is a terminal.
static ERROR_LINES: AtomicUsize = AtomicUsize::new(0);

/// Long arguments, each with its beginning: an error that quotes one is short.
static LONG_ARGUMENTS: LazyLock<Vec<(String, String)>> =
    LazyLock::new(|| long(&std::env::args_os().collect::<Vec<_>>()));

/// Reports progress to a terminal; not to programs and logs.
pub(super) fn progress(step: &str) {
    if io::stderr().is_terminal() {
        print_error(&format!("{step} …"));
    }
}

/// Shows a line in place of the last one on a terminal; an empty one removes it. Nothing elsewhere.
pub(super) fn progress_line(line: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // Nobody reads a terminal that is gone.
        let _ = write!(stderr, "\r\u{1b}[K{}", printable(line, &ARGUMENTS)).and_then(|()| stderr.flush());
    }
}

/// Prints; a closed output, as in `imagebaked history | head`, is no error.
pub(super) fn print_text(text: &str) {
    try_print_text(text);
}

/// Prints; returns whether the output is open. Texts are cleaned where they come in; a history of an earlier version may
/// have others, so that only colours pass here.
pub(super) fn try_print_text(text: &str) -> bool {
    print_raw(&with_config(&printable(text, &ARGUMENTS)))
}

/// The text with the `--config` of this command line in each command that it suggests. Not for programs.
pub(super) fn with_config(text: &str) -> Cow<'_, str> {
    if is_json(text) { Cow::Borrowed(text) } else { CONFIG_OPTION.in_text(text) }
}

/// Moves the cursor or clears lines.
pub(super) fn control(sequence: &str) {
    print_raw(sequence);
}

/// Prints what a command has to say to people and programs; the error of a full disk is the caller's.
pub(super) fn write_text(text: &str) -> io::Result<()> {
    write_raw(&printable(text, &ARGUMENTS))
}

/// An error or a warning on standard error.
pub fn print_error(text: &str) {
    let text = error_text(text);
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        ERROR_LINES.fetch_add(text.lines().count(), Ordering::Relaxed);
    }
    let _ = writeln!(stderr, "{text}");
}

fn error_text(text: &str) -> String {
    let text = with_short(text.trim_end_matches('\n'), &LONG_ARGUMENTS);
    let text = printable(&text, &ARGUMENTS);
    wrapped_lines(&with_config(&text), error_width())
}

/// The lines that errors and warnings have taken on the terminal so far: they stand above the answer.
pub(super) fn lines_of_errors() -> usize {
    ERROR_LINES.load(Ordering::Relaxed)
}

/// The lines that this error takes with its heading; none if it goes elsewhere.
pub(super) fn lines_of_error(message: &str) -> usize {
    if io::stderr().is_terminal() { error_text(&format!("error: {message}")).lines().count() } else { 0 }
}

/// A question on standard error: without a line end.
pub(super) fn print_question(question: &str) {
    let mut stderr = io::stderr();
    let question = with_short(question, &LONG_ARGUMENTS);
    let _ = write!(stderr, "{}", printable(&question, &ARGUMENTS)).and_then(|()| stderr.flush());
}

/// Help, the version, or what is wrong with the command line, on the stream that they belong to.
///
/// # Errors
///
/// What the standard output answered.
pub fn print_usage(error: &clap::Error) -> io::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = |is_terminal| usage_color(&arguments, no_color, is_terminal);
    if error.use_stderr() {
        print_error(&usage(error, color(io::stderr().is_terminal()), &ARGUMENTS, &LONG_ARGUMENTS));
        Ok(())
    } else {
        write_raw(&usage(error, color(io::stdout().is_terminal()), &ARGUMENTS, &LONG_ARGUMENTS))
    }
}

/// Whether what is wrong with a command line is shown in colours: its `--color` is not parsed then, and holds all the same.
fn usage_color(arguments: &[OsString], no_color: bool, is_terminal: bool) -> bool {
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let after = words.windows(2).filter(|pair| pair[0] == "--color").map(|pair| &*pair[1]);
    let joined = words.iter().filter_map(|word| word.strip_prefix("--color="));
    match after.chain(joined).next_back() {
        Some("always") => true,
        Some("never") => false,
        _ => is_terminal && !no_color,
    }
}

/// [`print_usage`] as text, for a command line with these arguments.
pub fn usage_text(error: &clap::Error, color: bool, arguments: &[OsString]) -> String {
    usage(error, color, &in_one_line(arguments), &long(arguments))
}

fn usage(
    error: &clap::Error,
    color: bool,
    arguments: &[(String, String)],
    long_arguments: &[(String, String)],
) -> String {
    // Without colours the library leaves out all that begins like one, also within the arguments, which hides them.
    let text = error.render().ansi().to_string();
    let text = printable(&with_short(&text, long_arguments), arguments).into_owned();
    if color { text } else { without_colors(&text) }
}

fn print_raw(text: &str) -> bool {
    write_raw(text).is_ok()
}

fn write_raw(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// The arguments with hidden characters and, of those that are paths, the folders above.
fn in_one_line(arguments: &[OsString]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for argument in arguments.iter().map(|argument| argument.to_string_lossy()) {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        let folders = Path::new(&*argument).ancestors().chain(Path::new(value).ancestors()).filter_map(Path::to_str);
        for text in [&*argument, value].into_iter().chain(folders) {
            // One that is nothing but a line end would be found at the end of each line.
            if text.chars().any(is_hidden) && !text.trim().is_empty() {
                let line = clean(text, usize::MAX).into_owned();
                // Texts of errors have only their line ends left.
                found.push((clean_lines(text, usize::MAX).into_owned(), line.clone()));
                found.push((text.to_owned(), line));
            }
        }
    }
    found.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    found
}

/// The arguments that are too long to be repeated, in each form in which errors quote them, with their beginning.
fn long(arguments: &[OsString]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for argument in arguments.iter().map(|argument| argument.to_string_lossy()) {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for text in [&*argument, value].into_iter().filter(|text| text.chars().nth(LONGEST_TEXT).is_some()) {
            let debug = format!("{text:?}");
            let forms = [debug.trim_matches('"'), &clean(text, usize::MAX), &clean_lines(text, usize::MAX), text];
            found.extend(forms.map(|form| (form.to_owned(), excerpt(text, LONGEST_EXCERPT).into_owned())));
        }
    }
    found.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    found
}

/// The text with the beginning of each long argument in place of it.
fn with_short<'a>(text: &'a str, long_arguments: &[(String, String)]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for (argument, short) in long_arguments {
        if text.contains(argument.as_str()) {
            text = Cow::Owned(text.replace(argument, short));
        }
    }
    text
}

/// The text with escapes in place of hidden characters, except for line ends, tabs and colours. In JSON they are escapes
/// of JSON.
fn printable<'a>(text: &'a str, arguments: &[(String, String)]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for (argument, line) in arguments {
        if text.contains(argument.as_str()) {
            text = Cow::Owned(text.replace(argument, line));
        }
    }
    let is_plain = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
    if text.chars().all(is_plain) {
        return text;
    }
    let is_json = is_json(&text);
    let mut shown = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(c) = rest.chars().next() {
        let color = color(rest);
        if color > 0 {
            shown.push_str(&rest[..color]);
        } else if is_plain(c) {
            shown.push(c);
        } else if is_json {
            push_json(&mut shown, c);
        } else {
            shown.extend(c.escape_default());
        }
        rest = &rest[color.max(c.len_utf8())..];
    }
    Cow::Owned(shown)
}

/// Whether a text is JSON. A long one is printed in pieces, each of which begins with a value.
fn is_json(text: &str) -> bool {
    text.trim_start_matches(',').starts_with(['{', '['])
}

/// The option of a command line that names the configuration.
fn config_option(arguments: &[OsString]) -> ConfigOption {
    cli::typed_config(arguments).map(|path| ConfigOption::new(&path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_of_usage_errors_are_those_of_the_command_line() {
        let color = |line: &str, no_color, is_terminal| {
            usage_color(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), no_color, is_terminal)
        };
        assert!(color("imagebaked show x", false, true));
        assert!(!color("imagebaked show x", true, true) && !color("imagebaked show x", false, false));
        assert!(!color("imagebaked --color never show x", false, true));
        assert!(!color("imagebaked show x --color=never", false, true));
        assert!(color("imagebaked --color always show x", true, false));
    }

    #[test]
    fn only_colours_lines_and_tabs_reach_a_terminal() {
        let own = "1  \u{1b}[31;1mfailed\u{1b}[0m\tx\n";
        assert_eq!(printable(own, &[]), own);
        assert_eq!(printable("hidden\u{1b}[8m \u{1b}[31;5m", &[]), r"hidden\u{1b}[8m \u{1b}[31;5m");
        assert_eq!(printable("a\u{1b}[2Jb\u{1b}]0;t\u{7}\r\u{9b}5n", &[]), r"a\u{1b}[2Jb\u{1b}]0;t\u{7}\r\u{9b}5n");
        let json = serde_json::json!({"name": "a\u{9b}\u{202e}\u{e0041}"});
        let shown = printable(&json.to_string(), &[]).into_owned();
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json, "it is the same JSON");
    }

    #[test]
    fn an_argument_that_is_quoted_stays_in_one_line() {
        let arguments = ["--config=a\nbake 7: succeeded", "x\ty", "\n"].map(OsString::from);
        let text = printable("cannot read a\nbake 7: succeeded:\n  x\ty\n", &in_one_line(&arguments)).into_owned();
        assert_eq!(text, "cannot read a\\nbake 7: succeeded:\n  x\\ty\n");
        let colored = in_one_line(&[OsString::from("w/e\u{1b}[31mX.toml")]);
        assert_eq!(
            printable("w/e\u{1b}[31mX.toml: \u{1b}[32mvalid\u{1b}[0m", &colored),
            "w/e\\u{1b}[31mX.toml: \u{1b}[32mvalid\u{1b}[0m"
        );
    }
    #[test]
    fn a_long_argument_is_not_repeated() {
        let (long_one, short) = ("x\u{1b} \n".repeat(30_000), "x".repeat(LONGEST_TEXT));
        let arguments = ["--config", &long_one, &format!("--reason={long_one}"), &short].map(OsString::from);
        let found = long(&arguments);
        for text in [
            format!("cannot read {long_one}: it is too long"),
            format!("there is no schedule {long_one:?}"),
            format!("`{}` and {short}", clean(&long_one, usize::MAX)),
        ] {
            let shown = with_short(&text, &found);
            assert!(shown.len() < 2 * LONGEST_TEXT && shown.contains("… (120000 characters)"), "{} bytes", shown.len());
            assert!(shown.contains(&short) == text.contains(&short), "{shown}");
        }
    }
}
