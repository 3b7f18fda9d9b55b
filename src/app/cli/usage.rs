//! What to type in place of a command line that is not understood, beyond the nearest word.

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::domain::similar::closest;

/// Options of other programs that bound a list.
const COUNTS: [&str; 8] = ["count", "lines", "max", "number", "head", "tail", "last", "top"];

/// Options of other programs that bound a time.
const LENGTHS: [&str; 4] = ["for", "duration", "length", "timeout"];

/// What texts have in place of `-`: word processors and web pages make these of two hyphens.
const DASHES: [char; 8] = ['‐', '‑', '‒', '–', '—', '―', '−', '－'];

/// Commands of other programs, and what does the same here.
const OF_SERVICES: [&str; 6] = ["start", "stop", "restart", "enable", "disable", "kill"];

/// The error of a command line with an option whose hyphens were replaced by dashes, as they are where it was copied from a
/// text; `None` if no word is one.
pub fn with_dashes(command: &Command, words: &[String]) -> Option<Error> {
    let used = words.iter().find_map(|word| command.find_subcommand(word));
    let option = words.iter().take_while(|word| *word != "--").find_map(|word| {
        let name = word.trim_start_matches(|c| c == '-' || DASHES.contains(&c));
        let has_dash = word[..word.len() - name.len()].contains(DASHES);
        let long = name.split('=').next().filter(|long| has_dash && !long.is_empty())?;
        let arguments = command.get_arguments().chain(used.into_iter().flat_map(Command::get_arguments));
        let known: Vec<&str> = arguments.filter_map(clap::Arg::get_long).chain(["help", "version"]).collect();
        let is_known = known.contains(&long);
        is_known.then(|| (word, format!("--{name}")))
    });
    let (word, meant) = option?;
    let message = format!("`{word}` begins with the dash of a text, not with two hyphens; write `{meant}`");
    Some(command.clone().error(ErrorKind::UnknownArgument, message))
}

/// The error with a tip of ours, where the words that were typed show what is meant.
pub fn with_tip(mut error: Error, command: &Command, words: &[String]) -> Error {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            // That an option could be a value, behind `--`, is never meant.
            error.remove(ContextKind::Suggested);
            let tip = of_argument(&error, command, words);
            let is_limit = tip.as_deref().is_some_and(|tip| tip.starts_with("--limit"));
            if is_limit {
                // `--config` is spelled like `--count`.
                error.remove(ContextKind::SuggestedArg);
            }
            if let (Some(tip), None) =
                (tip.or_else(|| options_of(&error, command, words)), error.get(ContextKind::SuggestedArg))
            {
                suggest(&mut error, tip);
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Its help would be about the program, and exits alike.
            let used = words.iter().find_map(|word| command.find_subcommand(word));
            if let Some((used, inner)) = used.and_then(|used| Some((used, used.get_subcommands().next()?))) {
                let (name, inner) = (used.get_name(), inner.get_name());
                let message = format!("{name} takes a command: imagebaked {name} {inner}");
                return command.clone().error(ErrorKind::MissingSubcommand, message);
            }
        }
        ErrorKind::InvalidSubcommand => {
            let tip = of_command(&error).or_else(|| nearest_command(&error, command, words));
            if let Some(tip) = tip {
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

/// The tip for `-2h`, which the parser takes for options of one letter each.
fn unsigned(wanted: &str, words: &[String]) -> Option<String> {
    let typed = words.iter().find(|word| word.starts_with(wanted))?;
    let length = typed.trim_start_matches('-');
    let is_number = length.starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| format!("numbers and lengths have no sign: {length}"))
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

/// The one command that is probably meant: the parser names all that are spelled alike.
fn nearest_command(error: &Error, command: &Command, words: &[String]) -> Option<String> {
    let wanted = text(error, ContextKind::InvalidSubcommand)?;
    if words.iter().any(|word| word == "help") {
        return None;
    }
    let of = words.iter().take_while(|word| *word != wanted).find_map(|word| command.find_subcommand(word));
    let names: Vec<&str> = of.unwrap_or(command).get_subcommands().map(Command::get_name).collect();
    let whole = of.map_or_else(|| "imagebaked".to_owned(), |of| format!("imagebaked {}", of.get_name()));
    closest(wanted, names.iter().copied()).map(|near| format!("{whole} {near}"))
}

/// The options of the command, where none is spelled like what was typed.
fn options_of(error: &Error, command: &Command, words: &[String]) -> Option<String> {
    let wanted = text(error, ContextKind::InvalidArg)?;
    let used = words.iter().find_map(|word| command.find_subcommand(word))?;
    let longs: Vec<&str> =
        used.get_arguments().filter(|one| !one.is_hide_set()).filter_map(clap::Arg::get_long).collect();
    // `-all` is read as `-a`.
    let typed = words.iter().find(|word| word.starts_with(wanted)).map_or(wanted, String::as_str);
    if let Some(long) = longs.iter().find(|long| typed.strip_prefix('-') == Some(**long)) {
        return Some(format!("--{long}, with two hyphens"));
    }
    let options: Vec<String> = longs.iter().map(|long| format!("--{long}")).collect();
    let name = used.get_name();
    match options.as_slice() {
        _ if !wanted.starts_with('-') => None,
        [] => Some(format!("{name} takes no option of its own; imagebaked help {name}")),
        all => Some(format!("{name} takes {}; imagebaked help {name}", all.join(", "))),
    }
}

fn of_argument(error: &Error, command: &Command, words: &[String]) -> Option<String> {
    let wanted = text(error, ContextKind::InvalidArg)?.split('=').next()?.to_owned();
    let used = words.iter().find_map(|word| command.find_subcommand(word))?;
    if wanted == used.get_name() {
        return Some(format!("leave out the `--` before {wanted}"));
    }
    let Some(long) = wanted.strip_prefix("--") else {
        if wanted.starts_with('-') {
            return unsigned(&wanted, words);
        }
        let positionals: Vec<String> = used.get_positionals().map(|one| one.get_id().as_str().to_uppercase()).collect();
        return Some(match positionals.as_slice() {
            [] => format!("{} takes nothing but options", used.get_name()),
            names if names.iter().any(|name| name == "SCHEDULE") => {
                format!("{} takes one schedule at a time", used.get_name())
            }
            names => format!("{} takes {}, and nothing after that", used.get_name(), names.join(" and ")),
        });
    };
    if COUNTS.contains(&long) && used.get_arguments().any(|argument| argument.get_long() == Some("limit")) {
        return Some("--limit N".to_owned());
    }
    if LENGTHS.contains(&long) && used.get_arguments().any(|argument| argument.get_long() == Some("until")) {
        return Some("--until TIME, which takes a length, too: --until 2h".to_owned());
    }
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
            ("imagebaked stauts", "tip: imagebaked status"),
            ("imagebaked wyh", "tip: imagebaked why"),
            ("imagebaked crontab imprt", "tip: imagebaked crontab import"),
            ("imagebaked chek", "tip: imagebaked check"),
            ("imagebaked status -all", "tip: --all, with two hyphens"),
            ("imagebaked status --verbos", "tip: status takes --"),
            ("imagebaked pause golden --for 2h", "--until 2h"),
            ("imagebaked -- status", "tip: leave out the `--` before status"),
            ("imagebaked doctor --probe", "'--no-probe'"),
            ("imagebaked prune golden", "tip: prune takes nothing but options"),
            ("imagebaked show 1 2", "tip: show takes BAKE, and nothing after that"),
            ("imagebaked promote imgc-1 prod x", "tip: promote takes IMAGE and CHANNEL, and nothing after that"),
            ("imagebaked history --since -2h", "tip: numbers and lengths have no sign: 2h"),
            ("imagebaked sim --build-time -1s", "tip: numbers and lengths have no sign: 1s"),
            ("imagebaked history --count 5", "tip: --limit N"),
            ("imagebaked history --tail 5", "tip: --limit N"),
            ("imagebaked crontab", "error: crontab takes a command: imagebaked crontab import"),
            ("imagebaked crontab --json", "error: crontab takes a command: imagebaked crontab import"),
        ] {
            let said = said(line);
            assert!(said.contains(tip), "{line}: {said}");
            assert!(!said.contains("as a value"), "{line}: {said}");
        }
        for line in ["status —json", "bake golden –wait", "history ‐‐since=2h", "status –help"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let said = with_dashes(&command(), &words).unwrap().to_string();
            assert!(said.contains("write `--"), "{line}: {said}");
        }
        for line in ["status –golden", "bake golden --wait", "why -- –json"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(with_dashes(&command(), &words).is_none(), "{line}");
        }
        assert!(!said("imagebaked stop").contains("history"), "no command that is merely spelled alike");
    }
}
