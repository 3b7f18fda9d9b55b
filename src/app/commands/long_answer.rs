//! The end of an answer that is longer than a person reads at a glance: what is left out, and the command that shows it. Most
//! commands fold their lists by what matters; this bounds what remains.

use super::table::LONGEST_ANSWER;
use crate::app::cli::Command;

/// The answer of a command as a terminal shows it; whole if the command line says how long it is to be.
pub(super) fn on_terminal(text: String, command: &Command) -> String {
    match rest(command) {
        Some(how) => cut(text, &how),
        None => text,
    }
}

/// At most as many lines as an answer has; the last says how many are left out, and may be two on a narrow terminal.
fn cut(text: String, how: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= LONGEST_ANSWER {
        return text;
    }
    let shown = LONGEST_ANSWER - 2;
    // A blank line at the end would be one without a purpose.
    let kept = lines[..shown].join("\n");
    format!("{}\n… and {} more lines; {how}\n", kept.trim_end(), lines.len() - shown)
}

/// How the rest is seen; `None` for answers that are whole.
fn rest(command: &Command) -> Option<String> {
    let pipe = "`| cat` at the end of the command line shows all".to_owned();
    match command {
        Command::Run(_) | Command::Demo(_) | Command::Sim(_) | Command::Version => None,
        Command::Schema | Command::Completions(_) | Command::Man(_) | Command::Crontab(_) | Command::Export(_) => None,
        Command::Status(args) if args.all => None,
        Command::Show(args) if args.all => None,
        Command::Why(args) if args.all => None,
        Command::Check(args) if args.all || args.next.is_some() => None,
        Command::Plan(args) if args.limit.is_some() => None,
        Command::History(args) if args.limit.is_some() => None,
        Command::Events(args) if args.limit.is_some() || args.follow => None,
        Command::Audit(args) if args.limit.is_some() => None,
        Command::Images(args) if args.limit.is_some() => None,
        Command::Channels(args) if args.limit.is_some() => None,
        Command::Prune(args) if args.limit.is_some() => None,
        Command::Status(_) | Command::Show(_) | Command::Why(_) | Command::Check(_) => {
            Some("--all shows them".to_owned())
        }
        Command::Plan(_)
        | Command::History(_)
        | Command::Events(_)
        | Command::Audit(_)
        | Command::Images(_)
        | Command::Channels(_) => Some("--limit N shows more".to_owned()),
        // What these have done is not done again to be read.
        Command::Bake(_) | Command::Retry(_) | Command::Cancel(_) => {
            Some("`imagebaked history` lists the bakes".to_owned())
        }
        Command::Pause(_) | Command::Resume(_) => Some("`imagebaked status --all` lists the schedules".to_owned()),
        Command::Prune(args) if !args.dry_run => Some("`imagebaked audit` lists what was done".to_owned()),
        Command::Reconcile(args) if args.apply => Some("`imagebaked audit` lists what was done".to_owned()),
        Command::Adopt(args) if !args.dry_run => Some("`imagebaked images` lists the images".to_owned()),
        Command::Reload => Some("`imagebaked audit` has the change".to_owned()),
        _ => Some(pipe),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::app::cli::Cli;

    fn shown(line: &str, lines: usize) -> String {
        let text: String = (1..=lines).map(|n| format!("line {n}\n")).collect();
        on_terminal(text, &Cli::try_parse_from(line.split(' ')).unwrap().command)
    }

    #[test]
    fn a_long_answer_ends_with_what_is_left_out_and_how_it_is_seen() {
        let text = shown("imagebaked coverage", 90);
        assert_eq!(text.lines().count(), 24);
        assert!(
            text.ends_with("line 23\n… and 67 more lines; `| cat` at the end of the command line shows all\n"),
            "{text}"
        );
        assert_eq!(shown("imagebaked coverage", 25).lines().last(), Some("line 25"));
        for (line, how) in [
            ("imagebaked doctor", "`| cat`"),
            ("imagebaked bake --all", "`imagebaked history`"),
            ("imagebaked check", "--all shows them"),
            ("imagebaked plan", "--limit N"),
            ("imagebaked prune", "`imagebaked audit`"),
            ("imagebaked prune --dry-run", "`| cat`"),
        ] {
            assert!(shown(line, 60).lines().last().is_some_and(|last| last.contains(how)), "{line}");
        }
        for line in
            ["imagebaked check --all", "imagebaked plan --limit 0", "imagebaked why golden --all", "imagebaked schema"]
        {
            assert_eq!(shown(line, 60).lines().count(), 60, "{line}");
        }
    }
}
