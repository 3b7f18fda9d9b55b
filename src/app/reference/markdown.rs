//! The generated pages of `docs/`.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::{inner_tables, takes};
use crate::{
    adapters::config::definitions::{Key, definitions},
    app::cli::{command, examples::examples},
    domain::{
        api::{
            call::ErrorClass,
            codes::{CodeRule, rules},
            instance_state::{self, InstanceType, StateClass},
        },
        event::EventType,
        health,
    },
};

/// `docs/config.md`.
pub fn config() -> String {
    let all = definitions();
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this file anew. -->\n\n\
         The file is TOML, `/etc/imagebaked/imagebaked.toml` unless `--config` or `IMAGEBAKED_CONFIG` names another. Above it lie the files \
         `conf.d/*.toml` beside it, in the order of their names: their schedules are added, their other keys win. Above \
         all lie variables such as `IMAGEBAKED_DAEMON__MAX_BUILDERS=4`, for `[cloud]` and `[daemon]` only. A file has at \
         most 16 MiB; a pipe in place of one must end within 5 s.\n\n\
         `imagebaked check` finds every mistake at once. An editor that knows JSON Schema (Even Better TOML, taplo) finds \
         most of them while you type:\n\n\
         ```sh\n\
         imagebaked schema | sudo tee /etc/imagebaked/imagebaked.schema.json > /dev/null\n\
         ```\n\n\
         and, as the first line of the file: `#:schema ./imagebaked.schema.json` (in `conf.d/`: `../…`).\n\n\
         Durations are strings such as `\"90s\"`, `\"15m\"`, `\"2h 30m\"` or `\"7d\"`, at most ten years. Cron expressions, time \
         zones, missed slots and names: [schedules.md](schedules.md).\n",
    );
    for section in [&all.cloud, &all.daemon, &all.schedule] {
        let _ = write!(page, "\n## `{}`\n\n{}\n\n", section.header, section.text);
        keys(&mut page, &section.keys);
        for (key, inner) in inner_tables(&section.keys) {
            let _ = write!(page, "\n### `{}`\n\n", key.name);
            keys(&mut page, inner);
        }
    }
    let apart: Vec<String> = all
        .schedule
        .keys
        .iter()
        .filter(|key| !all.defaults.keys.contains(key))
        .map(|key| format!("`{}`", key.name))
        .collect();
    for section in [&all.defaults, &all.profile] {
        let (header, text) = (section.header, section.text);
        let _ = write!(page, "\n## `{header}`\n\n{text} Takes every key of a schedule but {}.\n", apart.join(", "));
    }
    page.push_str(
        "\nA schedule takes each key from the first that has it: itself, its profile, `[defaults]`, the built-in default. \
         Keys that are tables are taken whole.\n",
    );
    page
}

fn keys(page: &mut String, keys: &[Key]) {
    page.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let default = key.default().map(|value| format!("`{value}`")).unwrap_or_default();
        let text = match key.default() {
            // The default has its own column, unless its text has more.
            Some(value) => key.text.replace(&format!("Default `{value}`."), ""),
            None => key.text.clone(),
        };
        row(page, &[&format!("`{}`", key.name), &takes(&key.kind), &default, text.trim()]);
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// `docs/commands.md`.
pub fn commands() -> String {
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let mut page = String::from(
        "# Commands\n\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this file anew. -->\n\n",
    );
    let _ = write!(page, "{}\n\nWith every command go:\n\n", styled(whole.get_long_about().or(whole.get_about())));
    let global: Vec<&Arg> = whole.get_arguments().filter(|arg| arg.is_global_set()).collect();
    arguments(&mut page, &global);
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n```\n{}\n```\n",
            command.get_name(),
            sentence(styled(command.get_long_about().or(command.get_about()))),
            usage(command)
        );
        let own: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help")
            .collect();
        if !own.is_empty() {
            page.push('\n');
            arguments(&mut page, &own);
        }
        let examples = examples(command.get_name());
        if !examples.is_empty() {
            let lines = examples.iter().map(|(line, what)| format!("{line}    # {what}\n"));
            let _ = write!(page, "\n```sh\n{}```\n", lines.collect::<String>());
        }
    }
    page
}

fn usage(command: &Command) -> String {
    command.clone().render_usage().to_string().trim_start_matches("Usage: ").to_owned()
}

fn styled(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// clap removes the final full stop.
fn sentence(text: String) -> String {
    if text.ends_with('.') { text } else { text + "." }
}

fn arguments(page: &mut String, arguments: &[&Arg]) {
    page.push_str("| argument | meaning |\n|---|---|\n");
    for arg in arguments {
        let mut text = sentence(styled(arg.get_long_help().or(arg.get_help())));
        let words: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !words.is_empty() {
            let _ = write!(text, " One of {}.", words.join(", "));
        }
        let default: Vec<String> = arg
            .get_default_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        if !default.is_empty() {
            let _ = write!(text, " Default {}.", default.join(", "));
        }
        row(page, &[&format!("`{}`", arg.to_string().trim_end_matches("...")), &text.replace('\n', " ")]);
    }
}

/// `docs/errors.md`.
pub fn errors() -> String {
    let mut page = String::from(
        "# Error codes of the cloud\n\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this file anew. -->\n\n\
         The code of an answer decides what imagebaked does, not its HTTP status. `imagebaked show BAKE` has the code, the \
         cloud's words and the RequestId of every call that failed; `imagebaked history --code CODE` has the bakes that met \
         one. A code that ends in `…` is a prefix of codes, unless a longer one matches.\n\n\
         | class | what imagebaked does |\n|---|---|\n",
    );
    for class in
        [ErrorClass::Transient, ErrorClass::Busy, ErrorClass::Credential, ErrorClass::Permanent, ErrorClass::Unclear]
    {
        row(&mut page, &[name(class), deed(class)]);
    }
    page.push_str("\nThe cause is the one of a bake that fails by the code. A failure with the cause `image` blocks the deletion of images of \
         its line. Permanent failures with the cause `image`, `instance` or `hook` count for the automatic pause.\n\n\
         | code | class | cause | what it means, what to do |\n|---|---|---|---|\n",
    );
    for rule in rules() {
        let before = if rule.is_part { "…" } else { "" };
        let code = format!("`{before}{}{}`", rule.code, if rule.is_prefix || rule.is_part { "…" } else { "" });
        row(&mut page, &[&code, &classes(rule), rule.cause.as_str(), rule.advice]);
    }
    page.push_str(
        "\nA code that is not in the table is judged by the HTTP status: 429 is transient, other 4xx are permanent, and all else \
         is transient, or unclear where a repetition would make a second image or task.\n\n\
         The cloud's own answer is a JSON object with a RequestId and a result or a code, whatever its status. Anything else \
         (a page of a proxy, an empty body, a redirection, half an answer) is transient under every status, or unclear where \
         a repetition would make a second image or task: the image is searched for before the call is repeated. Such an \
         answer neither suspends credentials nor counts for the automatic pause.\n\n\
         Codes of our own, where there was no answer that could be used: `Timeout`, `ConnectFailed`, `ConnectionLost`, \
         `AnswerNotJson`, `AnswerNotFromApi` (JSON without a RequestId), `AnswerTooLarge`, `AnswerIncomplete`, \
         `ListIncomplete` (a list without its rows), `HttpStatus`, `CredentialsUnavailable`, \
         `CredentialsUnreachable` (the service that gives the keys does not answer: an outage, nothing was sent).\n",
    );
    page
}

/// Heading of the generated part of `docs/problems.md`.
pub const PROBLEM_CODES: &str = "## Codes\n";

/// The end of `docs/problems.md`, from [`PROBLEM_CODES`] on.
pub fn problem_codes() -> String {
    let mut page = format!(
        "{PROBLEM_CODES}\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this table anew. -->\n\n\
         | code | what it means | what to do |\n|---|---|---|\n"
    );
    for health::CodeRow { word, meaning, advice, .. } in health::CODES {
        row(&mut page, &[&format!("`{word}`"), meaning, advice]);
    }
    page
}

/// `docs/events.md`.
pub fn events() -> String {
    let mut page = String::from(
        "# Events\n\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this file anew. -->\n\n\
         An event says what happened. It is written in the transaction that makes it true, so that neither a crash nor a \
         full disk separates the two. The log has each event as one line, and the history keeps them for `[daemon] \
         keep_events`, at most two million.\n\n\
         ```sh\n\
         imagebaked events --since 12h --severity warning\n\
         imagebaked events --about golden\n\
         imagebaked events --follow --json\n\
         ```\n\n\
         ## The envelope\n\n\
         `events --json` has `{\"events\": [\u{2026}]}`, oldest first; `events --follow --json` has one event per line:\n\n\
         ```json\n\
         {\"version\":1,\"id\":812,\"type\":\"bake_failed\",\"time\":\"2026-11-26T02:14:09Z\",\"severity\":\"problem\",\n \
         \"subject\":{\"kind\":\"bake\",\"id\":\"42\"},\"since\":null,\"message\":\"bake 42 of golden failed: \u{2026}\",\n \
         \"command\":\"imagebaked show 42\",\"link\":null,\"data\":{\"bake\":42,\"schedule\":\"golden\",\u{2026}}}\n\
         ```\n\n\
         | field | what it is |\n|---|---|\n\
         | `version` | Version of the envelope. New fields do not raise it. |\n\
         | `id` | Later events have higher numbers; none is used twice. `events --after ID` reads on from one; a \
         number that this history has not reached ends with 3, as after a restore. |\n\
         | `type` | One of the types below. |\n\
         | `time` | When it happened, by this host's clock. |\n\
         | `severity` | `info`, `warning` (a person should know) or `problem` (a person should act). |\n\
         | `subject` | Kind and id of what it is about; the id is empty if there is only one of the kind. |\n\
         | `since` | Beginning of the problem, for the events of problems. |\n\
         | `message` | One sentence. |\n\
         | `command` | Command that shows more or fixes it. |\n\
         | `link` | Reserved for the address of a page; null. |\n\
         | `data` | The facts by name, those that apply: `bake`, `schedule`, `instance_id`, `line`, `slot`, `slots`, `version`, \
         `attempts`, `image_id`, `image_name`, `version_id`, `reason`, `reason_code`, `cause`, `region`, `channel`, `code` (of a \
         problem), `before`, `who`, `action` (the word of the audit), `config_hash`, `schedules`, `mode`. |\n\n\
         ## Types\n\n\
         | type | when |\n|---|---|\n",
    );
    for (_, word, meaning) in EventType::ALL {
        row(&mut page, &[&format!("`{word}`"), meaning]);
    }
    page
}

/// `docs/states.md`.
pub fn states() -> String {
    let mut page = String::from(
        "# States of an instance\n\n\
         <!-- Made from the source: `UPDATE_DOCS=1 cargo nextest run --test reference` writes this file anew. -->\n\n\
         A bake that stops its instance asks for the state first, before any hook and before the stop. The reason of the bake \
         names the state that it waits for or that ended it: see `imagebaked status`, `imagebaked show BAKE` and `imagebaked \
         history`.\n\n\
         | class | what a bake does |\n|---|---|\n",
    );
    for class in [StateClass::Ready, StateClass::Passing, StateClass::Final] {
        row(&mut page, &[class.as_str(), class_text(class)]);
    }
    page.push_str("\n| state | of | class | what it means |\n|---|---|---|---|\n");
    for rule in instance_state::rules() {
        let of = match rule.only {
            None => "desktops, workstations",
            Some(InstanceType::CloudDesktop) => "desktops",
            Some(InstanceType::WuyingServer) => "workstations",
        };
        row(&mut page, &[&format!("`{}`", rule.word), of, rule.class.as_str(), rule.meaning]);
    }
    page.push_str(
        "\nUpper and lower case do not differ. A state that is not in the table is passing; the log reports it once. An \
         instance that the cloud does not list counts as missing after several answers in a row, some polls apart; the bake \
         then fails.\n",
    );
    page
}

fn class_text(class: StateClass) -> &'static str {
    match class {
        StateClass::Ready => "It goes on.",
        StateClass::Passing => {
            "It waits in the queue until `deadline`, without a builder, so that other bakes go on. At the deadline it is skipped."
        }
        StateClass::Final => "It is skipped at once, with the reason code `instance_state`.",
    }
}

fn classes(rule: &CodeRule) -> String {
    if rule.class == rule.class_when_doubling {
        name(rule.class).to_owned()
    } else {
        format!("{}; {} where a repetition would double", name(rule.class), name(rule.class_when_doubling))
    }
}

fn name(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => "transient",
        ErrorClass::Busy => "busy",
        ErrorClass::Credential => "credential",
        ErrorClass::Permanent => "permanent",
        ErrorClass::Unclear => "unclear",
    }
}

fn deed(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => {
            "Nothing happened and a later attempt may work: repeated with growing pauses, see `retry`."
        }
        ErrorClass::Busy => "The cloud is occupied: waited for, which uses up no attempts, until `deadline`.",
        ErrorClass::Credential => {
            "Key, token or signature was refused: fetched anew once, then every schedule is suspended until the cloud accepts it."
        }
        ErrorClass::Permanent => "No repetition will help: the bake fails now. Five in a row may pause the schedule.",
        ErrorClass::Unclear => {
            "It is not known whether the cloud acted: the image is searched for by name and tags for `lookup_window`, and only \
             then is the call repeated."
        }
    }
}
