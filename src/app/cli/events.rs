//! Arguments of the commands about events and problems.

use clap::Args;

use super::{
    schedule_args::OnlySchedule,
    values::{count, event_id},
};
use crate::{
    adapters::config::closest,
    domain::{
        event::{EventSeverity, EventType},
        health::{CODES, ProblemCode},
        time::AskedTime,
    },
};

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// At or after this time: `36h`, `yesterday`, `2026-11-26 03:00`
    #[arg(long, value_name = "TIME")]
    pub since: Option<AskedTime>,
    /// At or before this time; a day counts whole.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
    /// Only events of this type, e.g. `bake_failed`; may be repeated. docs/events.md lists the types.
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type)]
    pub kinds: Vec<EventType>,
    /// Only events at least this severe: `info`, `warning` or `problem`.
    #[arg(long, value_name = "SEVERITY", value_parser = event_severity)]
    pub severity: Option<EventSeverity>,
    /// Which.
    #[command(flatten)]
    pub schedule: OnlySchedule,
    /// Only events about this and what belongs to it: a schedule, an instance, a line, an image, the number of a bake.
    #[arg(long, value_name = "ID", conflicts_with_all = ["schedule", "schedule_option"])]
    pub about: Option<String>,
    /// At most so many, the newest ones; 0 shows all [default: 50; on a terminal, those that fit on it].
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// After the event with this number: for programs that fetch what is new.
    #[arg(long, value_name = "ID", value_parser = event_id, allow_negative_numbers = true)]
    pub after: Option<i64>,
    /// Go on with new events as they come, until Ctrl-C. With `--json` each is one line.
    #[arg(long, conflicts_with = "until")]
    pub follow: bool,
}

/// `ack`.
#[derive(Debug, Args)]
pub struct AckArgs {
    /// The problem's code, as `status` shows it.
    #[arg(value_parser = problem_code)]
    pub code: ProblemCode,
    /// Its subject, e.g. `golden` or `line:golden`; may be omitted if there is only one problem of the code.
    pub subject: Option<String>,
    /// Why; shown wherever the problem is listed.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until this time (`tomorrow 07:00`, `2026-11-30`) or for this long (`36h`, `7d`); by default until the problem ends.
    #[arg(long, value_name = "TIME")]
    pub until: Option<AskedTime>,
}

/// `unack`.
#[derive(Debug, Args)]
pub struct UnackArgs {
    /// The problem's code, as `status` shows it.
    #[arg(value_parser = problem_code)]
    pub code: ProblemCode,
    /// Its subject; may be omitted if there is only one problem of the code.
    pub subject: Option<String>,
}

fn event_type(word: &str) -> Result<EventType, String> {
    EventType::parse(word).ok_or_else(|| unknown("event type", word, EventType::ALL.iter().map(|(_, word, _)| *word)))
}

fn event_severity(word: &str) -> Result<EventSeverity, String> {
    let known = EventSeverity::WORDS.iter().find(|(_, known)| *known == word);
    known.map(|(severity, _)| *severity).ok_or_else(|| "it is `info`, `warning` or `problem`".to_owned())
}

fn problem_code(word: &str) -> Result<ProblemCode, String> {
    ProblemCode::parse(word).ok_or_else(|| unknown("problem code", word, CODES.iter().map(|row| row.word)))
}

fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match closest(word, known.clone()) {
        Some(nearest) => format!("there is no such {what}; did you mean `{nearest}`?"),
        None => format!("there is no such {what}; there are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}
