//! The command line with its help: commands in groups, examples below the options.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _, builder::Resettable};

use super::{CONFIG_VARIABLE, Cli, examples::examples};

/// The commands in the order of the day.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("To begin", &["demo", "init", "check", "doctor", "coverage", "crontab"]),
    ("How it is", &["status", "why", "plan", "history", "show", "events", "audit", "ack", "unack"]),
    ("Bakes and schedules", &["bake", "retry", "cancel", "pause", "resume", "reload"]),
    ("Images", &["images", "pin", "unpin", "undelete", "adopt", "prune", "reconcile"]),
    ("Channels", &["channels", "promote", "rollback", "veto", "unveto"]),
    ("The history", &["backup", "restore", "export", "import"]),
    ("Programs and files", &["run", "sim", "schema", "completions", "man"]),
];

/// Examples of the program as a whole.
const FIRST: &str = "Examples:
  imagebaked demo                  see it work, on a simulated cloud
  imagebaked init                  write a first configuration
  imagebaked status                is everything all right, and if not, what to type
  imagebaked why golden            why there is no image of last night
  imagebaked help bake             all about a command

To go back: `rollback` or `veto` for a bad image, `check` and `reload` for a wrong edit, `doctor` for a
lost history or host, `reconcile` for one older than the cloud; docs/disaster-recovery.md has each.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 daemon not reachable,
5 unhealthy, 6 accepted but not confirmed, 7 history unusable";

/// The command line as it is parsed and explained.
pub fn command() -> Command {
    let plain = Cli::command();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{}\nOptions:\n{{options}}{{after-help}}",
        groups(&plain)
    );
    let mut command = plain.help_template(template).after_help(FIRST);
    for (_, names) in GROUPS {
        for name in *names {
            command = command.mut_subcommand(name, with_examples);
        }
    }
    command
}

/// The same in this environment: a variable that is set to nothing names no configuration.
pub fn command_here() -> Command {
    let is_empty = std::env::var_os(CONFIG_VARIABLE).is_some_and(|path| path.is_empty());
    let command = command();
    if is_empty { command.mut_arg("config", |arg| arg.env(Resettable::Reset)) } else { command }
}

fn with_examples(command: Command) -> Command {
    let examples = examples(command.get_name());
    if examples.is_empty() {
        return command;
    }
    let lines = examples.iter().fold("Examples:".to_owned(), |mut text, (line, what)| {
        let _ = write!(text, "\n  {line}\n      {what}");
        text
    });
    command.after_help(lines)
}

/// The list of commands for the template of the help.
fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        let _ = write!(text, "\n{group}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let _ = writeln!(text, "  {name:<12} {}", about.map(ToString::to_string).unwrap_or_default());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::app::cli::examples::EXAMPLES;

    #[test]
    fn every_command_is_in_one_group_and_has_examples_and_a_line_that_fits() {
        let command = command();
        let shown: BTreeSet<&str> =
            command.get_subcommands().filter(|one| !one.is_hide_set()).map(Command::get_name).collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(shown, grouped.iter().copied().collect());
        assert_eq!(grouped.len(), shown.len(), "each is listed once");
        let with_examples: BTreeSet<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(shown, with_examples);
        let text = command.clone().render_help().to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        let of_group = |line: &&str| {
            line.starts_with("  ") && grouped.iter().any(|name| line[2..].starts_with(&format!("{name} ")))
        };
        for line in text.lines().filter(of_group) {
            assert!(line.chars().count() <= 79, "{line}");
        }
    }

    /// Words of a shell's command line; quotes hold spaces together.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('"').enumerate();
        let words = parts.flat_map(|(n, part)| {
            if n % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
        });
        words.take_while(|word| word != ">").collect()
    }

    #[test]
    fn every_example_is_understood() {
        for (name, examples) in EXAMPLES {
            for (line, _) in *examples {
                let matches =
                    command().try_get_matches_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(matches.subcommand_name(), Some(*name), "{line}");
            }
        }
    }
}
