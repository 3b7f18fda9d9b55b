//! Commands that texts suggest. A text names them as for the default configuration; whoever shows it to a person who uses
//! another one adds the option that finds it.

use std::{borrow::Cow, path::Path};

/// The default path of the configuration.
pub const DEFAULT_CONFIG: &str = "/etc/imagebaked/imagebaked.toml";

/// The program, as texts name it.
const PROGRAM: &str = "imagebaked";

/// Names of the commands that use the configuration. The command line defines them, and a test there compares.
#[rustfmt::skip]
pub const COMMANDS: &[&str] = &[
    "ack", "adopt", "audit", "backup", "bake", "cancel", "channels", "check", "coverage", "doctor", "events",
    "export", "history", "images", "import", "init", "pause", "pin", "plan", "promote", "prune", "reconcile",
    "reload", "restore", "resume", "retry", "rollback", "run", "show", "status", "unack", "undelete", "unpin",
    "unveto", "veto", "why",
];

/// The option of the command line that names the configuration; none for the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigOption {
    words: String,
}

impl ConfigOption {
    /// Of the configuration at `path`.
    pub fn new(path: &Path) -> Self {
        if path == Path::new(DEFAULT_CONFIG) {
            return Self::default();
        }
        Self { words: format!("--config {} ", shell_word(&path.to_string_lossy())) }
    }

    /// The text with the option in each command of it.
    pub fn in_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.words.is_empty() || !text.contains(PROGRAM) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len() + self.words.len());
        let mut rest = text;
        while let Some(at) = rest.find(PROGRAM) {
            let name = at + PROGRAM.len();
            // A line may end within a command.
            let gap = rest[name..].len() - rest[name..].trim_start().len();
            let (before, after) = rest.split_at(name + gap);
            shown.push_str(before);
            if gap > 0 && begins_a_word(&before[..at]) && names_a_command(after) {
                shown.push_str(&self.words);
            }
            rest = after;
        }
        shown.push_str(rest);
        Cow::Owned(shown)
    }
}

/// Whether what follows these characters is a word of its own, and not the end of a path or a name.
fn begins_a_word(before: &str) -> bool {
    before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '/' | '-' | '_' | '.' | '@'))
}

fn names_a_command(after: &str) -> bool {
    let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
    COMMANDS.contains(&&after[..end])
}

/// A word as a shell reads it: in quotes if it has characters that mean something to it.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '+' | ',' | ':' | '@' | '%' | '=');
    if !word.is_empty() && word.chars().all(is_plain) { Cow::Borrowed(word) } else { Cow::Owned(shell_quoted(word)) }
}

/// Any text as one word for a shell, in quotes.
pub fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_a_text_gets_the_option() {
        let option = ConfigOption::new(Path::new("/srv/a.toml"));
        let shown = |text: &str| option.in_text(text).into_owned();
        assert_eq!(
            shown("see `imagebaked history`; imagebaked show 7, then\n  imagebaked bake golden"),
            "see `imagebaked --config /srv/a.toml history`; imagebaked --config /srv/a.toml show 7, then\n  imagebaked \
             --config /srv/a.toml bake golden"
        );
        for text in [
            "another imagebaked is running",
            "imagebaked runs no program",
            "imagebaked help bake",
            "imagebaked --config x.toml status",
            "/usr/bin/imagebaked run",
            "systemctl restart imagebaked",
            "systemctl enable --now imagebaked ",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("see `imagebaked\n    show 7`"), "see `imagebaked\n    --config /srv/a.toml show 7`");
        assert_eq!(shown("see imagebaked"), "see imagebaked");
        assert_eq!(shown(&shown("imagebaked status")), shown("imagebaked status"), "once");
        assert_eq!(ConfigOption::default().in_text("imagebaked status"), "imagebaked status");
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for (path, word) in
            [("a b.toml", "'a b.toml'"), ("it's", r"'it'\''s'"), ("$x", "'$x'"), ("", "''"), ("ä.toml", "ä.toml")]
        {
            let shown = ConfigOption::new(Path::new(path)).in_text("imagebaked status").into_owned();
            assert_eq!(shown, format!("imagebaked --config {word} status"));
        }
    }
}
