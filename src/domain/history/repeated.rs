//! Calls of a bake that repeat each other, folded: a cloud that refuses a call for hours is one line with its number, and not
//! hundreds.

use std::collections::{HashMap, VecDeque};

use super::AttemptRow;

/// So many groups back a call may continue one: polls and searches alternate with the call that they are about.
const REACH: usize = 4;
/// Fewer calls than these stay as they are.
const FEWEST: usize = 3;

/// Calls that repeat each other: the same call in the same stage with the same result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedCalls<'a> {
    /// The first one.
    pub first: &'a AttemptRow,
    /// The last one; the first if there is only one.
    pub last: &'a AttemptRow,
    /// Number of all.
    pub count: usize,
}

/// What calls must have in common. Numbers and ids in the message do not count: pauses and percentages differ from call to call.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    stage: &'a str,
    call: &'a str,
    outcome: &'a str,
    code: Option<&'a str>,
    http_status: Option<i64>,
    message: Vec<&'a str>,
}

impl<'a> Likeness<'a> {
    fn of(attempt: &'a AttemptRow) -> Self {
        let message = attempt.message.as_deref().unwrap_or_default().split_whitespace();
        Self {
            stage: &attempt.stage,
            call: &attempt.call,
            outcome: &attempt.outcome,
            code: attempt.code.as_deref(),
            http_status: attempt.http_status,
            message: message.filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit())).collect(),
        }
    }
}

/// The calls in the order of the first of each group.
pub fn folded(attempts: &[AttemptRow]) -> Vec<RepeatedCalls<'_>> {
    // Each group as the places of its calls.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<Likeness<'_>, usize> = HashMap::new();
    let mut recent: VecDeque<usize> = VecDeque::new();
    for (place, attempt) in attempts.iter().enumerate() {
        let likeness = Likeness::of(attempt);
        // A group that is too far back stays closed.
        let group = open.get(&likeness).copied().filter(|group| recent.contains(group));
        let group = group.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        open.insert(likeness, group);
        groups[group].push(place);
        recent.retain(|other| *other != group);
        recent.push_back(group);
        if recent.len() > REACH {
            recent.pop_front();
        }
    }
    let one = |place: usize| (place, RepeatedCalls { first: &attempts[place], last: &attempts[place], count: 1 });
    let mut calls: Vec<(usize, RepeatedCalls<'_>)> = Vec::new();
    for places in groups {
        match places.as_slice() {
            [first, .., last] if places.len() >= FEWEST => {
                let (first_call, last_call) = (&attempts[*first], &attempts[*last]);
                calls.push((*first, RepeatedCalls { first: first_call, last: last_call, count: places.len() }));
            }
            few => calls.extend(few.iter().map(|place| one(*place))),
        }
    }
    calls.sort_by_key(|(place, _)| *place);
    calls.into_iter().map(|(_, call)| call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(minute: i64, call: &str, outcome: &str, message: &str) -> AttemptRow {
        AttemptRow {
            stage: "start".to_owned(),
            call: call.to_owned(),
            started_at: minute * 60_000,
            finished_at: minute * 60_000 + 500,
            outcome: outcome.to_owned(),
            code: (outcome != "ok").then(|| "ServiceUnavailable".to_owned()),
            http_status: Some(503),
            request_id: Some(format!("R-{minute}")),
            message: Some(message.to_owned()),
            success: None,
            answer: None,
        }
    }

    /// Minute of the first and the last, and the number, of each line.
    fn shape(attempts: &[AttemptRow]) -> Vec<(i64, i64, usize)> {
        let minute = |attempt: &AttemptRow| attempt.started_at / 60_000;
        folded(attempts).iter().map(|one| (minute(one.first), minute(one.last), one.count)).collect()
    }

    /// Every call that a bake makes, and those of its copies and hooks.
    const CALLS: [&str; 15] = [
        "describe_instance",
        "list_sessions",
        "describe_maintenance",
        "enter_maintenance",
        "leave_maintenance",
        "stop_instance",
        "start_instance",
        "create_image",
        "find_image",
        "find_images_in_progress",
        "describe_image",
        "run_hook",
        "copy_image",
        "list_copies",
        "hook verify 1",
    ];

    #[test]
    fn a_call_of_any_kind_that_is_refused_for_hours_is_one_line() {
        for call in CALLS {
            let refused: Vec<_> =
                (0..13).map(|n| attempt(n, call, "transient", &format!("refused, again in {n}m"))).collect();
            assert_eq!(shape(&refused), [(0, 12, 13)], "{call}");
            let mut ended = refused.clone();
            ended.push(attempt(13, call, "ok", ""));
            assert_eq!(shape(&ended), [(0, 12, 13), (13, 13, 1)], "{call}: another result is another line");
        }
    }

    #[test]
    fn calls_that_alternate_are_a_line_each() {
        let names = ["create_image", "find_image", "describe_instance"].into_iter().cycle();
        let alternating: Vec<_> = (0..12).zip(names).map(|(n, call)| attempt(n, call, "transient", "x")).collect();
        assert_eq!(shape(&alternating), [(0, 9, 4), (1, 10, 4), (2, 11, 4)]);
    }

    #[test]
    fn few_calls_and_those_of_another_time_stay_as_they_are() {
        let two = [attempt(0, "stop_instance", "ok", ""), attempt(1, "stop_instance", "ok", "")];
        assert_eq!(shape(&two), [(0, 0, 1), (1, 1, 1)]);
        let status = ["INIT", "CREATING 10%", "CREATING 40%", "CREATING 90%", "AVAILABLE"];
        let polls: Vec<_> = (0..).zip(status).map(|(n, status)| attempt(n, "describe_image", "ok", status)).collect();
        assert_eq!(shape(&polls), [(0, 0, 1), (1, 3, 3), (4, 4, 1)]);
        // Between the first three and the last, five others were made.
        let mut calls: Vec<_> = (0..3).map(|n| attempt(n, "start_instance", "transient", "x")).collect();
        calls.extend((3..8).map(|n| attempt(n, &format!("other_{n}"), "ok", "")));
        calls.push(attempt(8, "start_instance", "transient", "x"));
        assert_eq!(shape(&calls)[0], (0, 2, 3));
        assert_eq!(shape(&calls).last(), Some(&(8, 8, 1)));
        assert_eq!(shape(&[]), []);
    }
}
