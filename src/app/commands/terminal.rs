//! Standard output and the terminal.

use std::io::{IsTerminal, Write};

/// Reports progress to a terminal; not to programs and logs.
pub(super) fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{step} …");
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
