//! What to type in place of a command line that is not understood, beyond the nearest word.

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Commands of other programs, and what does the same here.
const OF_SERVICES: [&str; 6] = ["start", "stop", "restart", "enable", "disable", "kill"];

/// The error with a tip of ours, where the words that were typed show what is meant.
pub fn with_tip(mut error: Error, command: &Command, words: &[String]) -> Error {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            // That an option could be a value, behind `--`, is never meant.
            error.remove(ContextKind::Suggested);
            if let (Some(tip), None) = (of_argument(&error, command, words), error.get(ContextKind::SuggestedArg)) {
                suggest(&mut error, tip);
            }
        }
        ErrorKind::InvalidSubcommand => {
            if let Some(tip) = of_command(&error) {
                error.remove(ContextKind::SuggestedSubcommand);
                suggest(&mut error, tip);
            }
        }
        _ => {}
    }
    error
}

fn suggest(error: &mut Error, tip: String) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

fn of_command(error: &Error) -> Option<String> {
    let wanted = text(error, ContextKind::InvalidSubcommand)?;
    match wanted {
        verb if OF_SERVICES.contains(&verb) => {
            Some(format!("the daemon is a service: systemctl {verb} imagebaked; in a terminal: imagebaked run"))
        }
        "list" => Some("imagebaked status lists the schedules, history the bakes, images the images".to_owned()),
        _ => None,
    }
}

fn of_argument(error: &Error, command: &Command, words: &[String]) -> Option<String> {
    let wanted = text(error, ContextKind::InvalidArg)?.split('=').next()?.to_owned();
    let used = words.iter().find_map(|word| command.find_subcommand(word))?;
    let Some(long) = wanted.strip_prefix("--") else {
        let takes_one = used.get_positionals().any(|one| one.get_id() == "schedule");
        let takes_one = takes_one && !wanted.starts_with('-');
        return takes_one.then(|| format!("{} takes one schedule at a time", used.get_name()));
    };
    if (used.get_name(), long) == ("check", "strict") {
        return Some("--deny warnings".to_owned());
    }
    let has = |command: &&Command| command.get_arguments().any(|argument| argument.get_long() == Some(long));
    let of: Vec<&str> = command.get_subcommands().filter(has).map(Command::get_name).collect();
    (!of.is_empty()).then(|| format!("--{long} goes with {}", of.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{super::command, *};

    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = command().try_get_matches_from(&words).unwrap_err();
        with_tip(error, &command(), &words[1..]).to_string()
    }

    #[test]
    fn a_line_that_is_not_understood_gets_a_tip_that_helps() {
        for (line, tip) in [
            ("imagebaked status golden office", "tip: status takes one schedule at a time"),
            ("imagebaked pause golden office", "tip: pause takes one schedule at a time"),
            ("imagebaked bake golden --until 3h", "tip: --until goes with "),
            ("imagebaked history --watch", "tip: --watch goes with status"),
            ("imagebaked check --strict", "tip: --deny warnings"),
            ("imagebaked restart", "tip: the daemon is a service: systemctl restart imagebaked"),
            ("imagebaked list", "tip: imagebaked status lists the schedules"),
            ("imagebaked stauts", "'status'"),
            ("imagebaked doctor --probe", "'--no-probe'"),
        ] {
            let said = said(line);
            assert!(said.contains(tip), "{line}: {said}");
            assert!(!said.contains("as a value"), "{line}: {said}");
        }
        assert!(!said("imagebaked stop").contains("history"), "no command that is merely spelled alike");
    }
}
