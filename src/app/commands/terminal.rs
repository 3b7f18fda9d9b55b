//! Standard output and the terminal.

use std::io::{IsTerminal, Write};

/// Reports progress to a terminal; not to programs and logs.
pub(super) fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{step} …");
    }
}

/// Shows a line in place of the last one on a terminal; an empty one removes it. Nothing elsewhere.
pub(super) fn progress_line(line: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Nobody reads a terminal that is gone.
        let _ = write!(stderr, "\r\u{1b}[K{line}").and_then(|()| stderr.flush());
    }
}

/// Prints; a closed output, as in `imagebaked history | head`, is no error.
pub(super) fn print_text(text: &str) {
    try_print_text(text);
}

/// Prints; returns whether the output is open.
pub(super) fn try_print_text(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
