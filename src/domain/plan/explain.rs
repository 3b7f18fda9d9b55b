//! Explanation of one time: whether a slot was due then, and why or why not. The rule and the history go in, plain
//! words come out.
//!
//! A time is an instant, or what the wall clock of the schedule's zone showed. The latter may be no instant (the clock
//! skipped it) or two (the clock showed it twice), which is often the reason for the question.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};

use crate::domain::{
    calendar::{Timing, zone::Zone},
    catch_up::{Entry, Missed, SlotPolicy, process_slots},
    ids::BakeId,
    time::{self, AskedTime, Edge, Facing, show},
};

/// The instants of a time, in order: two if the clock of `zone` shows it twice. A skipped time has the first instant after
/// the gap. A day, or a time that is counted from now, has its first instant.
pub fn moments(asked: &AskedTime, zone: Zone, now: DateTime<Utc>) -> Vec<PointInTime> {
    match asked.wall(zone, now, Facing::Past) {
        Some((wall, _)) => passes(wall, zone),
        None => vec![moment(asked.instant(zone, now, Facing::Past, Edge::Start), zone)],
    }
}

/// An instant, and how the clock of `zone` shows it.
pub fn moment(at: DateTime<Utc>, zone: Zone) -> PointInTime {
    let passes = passes(at.with_timezone(&zone).naive_local(), zone);
    passes.into_iter().find(|moment| moment.at == at).unwrap_or(PointInTime { at, clock: WallClock::Plain })
}

fn passes(wall: NaiveDateTime, zone: Zone) -> Vec<PointInTime> {
    let passes = zone.from_local_datetime(&wall);
    match (passes.earliest(), passes.latest()) {
        (Some(first), Some(second)) if first != second => {
            let (first, second) = (first.to_utc(), second.to_utc());
            vec![
                PointInTime { at: first, clock: WallClock::First { second } },
                PointInTime { at: second, clock: WallClock::Second { first } },
            ]
        }
        (Some(only), _) => vec![PointInTime { at: only.to_utc(), clock: WallClock::Plain }],
        (None, _) => vec![PointInTime { at: time::after_gap(wall, zone), clock: WallClock::Skipped { wall } }],
    }
}

/// An instant in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointInTime {
    /// When.
    pub at: DateTime<Utc>,
    /// How the wall clock shows it.
    pub clock: WallClock,
}

/// How a wall clock shows a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallClock {
    /// Once.
    Plain,
    /// Twice, and this is the first pass.
    First {
        /// The other.
        second: DateTime<Utc>,
    },
    /// Twice, and this is the second pass.
    Second {
        /// The other.
        first: DateTime<Utc>,
    },
    /// Never: the instant is the first one after the gap.
    Skipped {
        /// The time that was never shown.
        wall: NaiveDateTime,
    },
}

/// An instance of a schedule in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Start of its presence in the configuration.
    pub since: DateTime<Utc>,
    /// All slots up to this instant, inclusive, have a row.
    pub processed_until: DateTime<Utc>,
    /// End of its presence in the configuration.
    pub removed_at: Option<DateTime<Utc>>,
}

/// The row of the history that covers an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub bake: BakeId,
    /// The word for its state.
    pub state: String,
    /// Reason of the state.
    pub reason: Option<String>,
    /// Whether the row is as it is now: it has ended, or a daemon may follow it.
    pub is_current: bool,
    /// Whether a person requested it: it belongs to no slot of the rule.
    pub manual: bool,
    /// Whether the row was made from the tags of its image.
    pub rebuilt: bool,
    /// First slot of the row.
    pub first: DateTime<Utc>,
    /// Last slot of the row.
    pub last: DateTime<Utc>,
    /// Number of slots.
    pub count: u64,
}

/// Input of an explanation.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Current rule.
    pub timing: &'a Timing,
    /// Catch-up policy; `None` if the configuration does not have the schedule.
    pub policy: Option<SlotPolicy<'a>>,
    /// State in the history; `None` if it has never had the schedule with this instance.
    pub known: Option<Known>,
    /// Row that covers the instant.
    pub record: Option<&'a Record>,
    /// `not_after` of a bake of the instant, if the schedule has one.
    pub not_after: Option<DateTime<Utc>>,
    /// Current instant.
    pub now: DateTime<Utc>,
}

/// Explanation of one instant and one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The slot, if the instant is one by the current rule or by its row.
    pub slot: Option<DateTime<Utc>>,
    /// Whether the slot counts: it has a row, will have one, or should have one. A slot of the current rule does not
    /// count for a time at which another rule was in force.
    pub due: bool,
    /// Whether the slot is in the future and will be baked.
    pub will_run: bool,
    /// Previous slot by the current rule.
    pub before: Option<DateTime<Utc>>,
    /// Next slot by the current rule.
    pub after: Option<DateTime<Utc>>,
    /// The explanation.
    pub words: String,
}

/// Explains one instant.
pub fn explain(moment: PointInTime, case: &Case<'_>) -> Explanation {
    let zone = case.timing.zone();
    let (of_rule, clock) = by_the_rule(moment, case.timing);
    let recorded = case.record.filter(|record| !record.manual).is_some_and(|record| record.last == moment.at);
    let slot = (of_rule || recorded).then_some(moment.at);
    let mut words = match case.record {
        Some(record) if record.last == moment.at || of_rule => record.words(zone),
        _ if of_rule => missing(moment.at, case).words(zone),
        _ => String::new(),
    };
    if !of_rule && recorded {
        let is_rebuilt = case.record.is_some_and(|record| record.rebuilt);
        words.push_str(if is_rebuilt {
            " The row was rebuilt from the cloud, whose image does not show whether a person asked for it; the rule has no slot \
             then."
        } else {
            " The rule has been changed since: as it stands it has no slot then."
        });
    }
    let before = case.timing.last_until(moment.at - TimeDelta::nanoseconds(1));
    let after = case.timing.next_after(moment.at);
    if !of_rule && !recorded {
        let or_none = |slot: Option<DateTime<Utc>>| slot.map_or_else(|| "none".to_owned(), |slot| show(slot, zone));
        let text = format!(
            "{} is no slot of the schedule. The slot before it is {}, the one after it {}.",
            show(moment.at, zone),
            or_none(before),
            or_none(after)
        );
        words = join(&words, &text);
    }
    if let Some(clock) = clock {
        words = join(&words, &clock);
    }
    let missing = (of_rule && case.record.is_none()).then(|| missing(moment.at, case));
    let will_run = matches!(missing, Some(Missing::ToCome { .. }));
    let due = slot.is_some() && missing.is_none_or(|missing| missing.counts());
    Explanation { slot, due, will_run, before, after, words }
}

/// Whether the current rule has a slot at the instant, and the effect of a clock change.
fn by_the_rule(moment: PointInTime, timing: &Timing) -> (bool, Option<String>) {
    let zone = timing.zone();
    let is_slot = timing.last_until(moment.at) == Some(moment.at);
    let shown = moment.at.with_timezone(&zone).naive_local();
    match moment.clock {
        WallClock::Plain if is_slot && !timing.names(shown).any() => {
            let text = format!(
                "The clock of {zone} skipped a time of the rule just before; a fixed time that is skipped runs at the \
                 first instant after the gap."
            );
            (true, Some(text))
        }
        WallClock::Plain => (is_slot, None),
        WallClock::First { second } => {
            let named = timing.names(shown);
            let text = match (named.fixed, named.open) {
                (_, true) => "a rule with a wildcard, step or range runs on both passes",
                (true, false) => "a fixed time runs on the first pass only, which this is",
                (false, false) => "this is the first pass",
            };
            (is_slot, Some(format!("{zone} shows this time twice, again at {}: {text}.", show(second, zone))))
        }
        WallClock::Second { first } => {
            let named = timing.names(shown);
            let text = match (named.fixed, named.open) {
                (_, true) => "a rule with a wildcard, step or range runs on both passes",
                (true, false) => "a fixed time runs on the first pass only, and this is the second",
                (false, false) => "this is the second pass",
            };
            (is_slot, Some(format!("{zone} shows this time twice, first at {}: {text}.", show(first, zone))))
        }
        WallClock::Skipped { wall } => {
            let named = timing.names(wall);
            let last = (moment.at - TimeDelta::seconds(1)).with_timezone(&zone).naive_local() + TimeDelta::seconds(1);
            let text = match (named.fixed, named.open) {
                (true, _) => "a fixed time that is skipped runs at the first instant after the gap",
                (false, true) => {
                    "a rule with a wildcard, step or range runs at times that the clock shows, and not in a gap"
                }
                (false, false) => "the rule does not name it anyway",
            };
            let text = format!(
                "{zone} never showed {}: its clock went from {} to {} ({}); {text}.",
                wall.format("%F %T%.f"),
                last.format("%F %T"),
                shown.format("%F %T"),
                show(moment.at, zone)
            );
            (named.fixed, Some(text))
        }
    }
}

impl Record {
    fn words(&self, zone: Zone) -> String {
        // Messages of the cloud end with a full stop of their own.
        let reason =
            self.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", reason.trim_end_matches('.')));
        let reason = if reason.ends_with(".)") { reason.replace(".)", ")") } else { reason };
        let (bake, state) = (self.bake, &self.state);
        let verb = match state.as_str() {
            "succeeded" | "failed" => "",
            "skipped" | "cancelled" => "was ",
            _ if !self.is_current => "was ",
            _ => "is ",
        };
        if self.manual {
            return format!("A person asked for bake {bake} at this moment; it {verb}{state}{reason}.");
        }
        if self.count > 1 {
            return format!(
                "The slot is one of {} from {} to {} that bake {bake} covers, {state}{reason}.",
                self.count,
                show(self.first, zone),
                show(self.last, zone)
            );
        }
        format!("Bake {bake} is the one of this slot, {}; it {verb}{state}{reason}.", show(self.last, zone))
    }
}

/// What becomes of a due slot when the daemon comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Treatment {
    Baked,
    CaughtUp,
    /// No bake of it may begin any more.
    TooLate {
        not_after: DateTime<Utc>,
    },
    Missed(Missed),
    /// It is left to another rule.
    Unknown,
}

/// Why a slot of the rule has no row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing {
    /// The slot is in the future.
    ToCome { slot: DateTime<Utc> },
    /// It is in the future, and the schedule is paused.
    ToComePaused { slot: DateTime<Utc>, reason: String },
    /// It is in the future, and the configuration does not have the schedule any more.
    Leaving { slot: DateTime<Utc> },
    /// The daemon has not run with this schedule.
    Unheard,
    /// The schedule was added later.
    BeforeKnown { since: DateTime<Utc> },
    /// The schedule was removed before.
    Removed { at: DateTime<Utc> },
    /// It is due, and the daemon has not planned it yet.
    NotPlanned { processed_until: DateTime<Utc>, treatment: Treatment },
    /// All slots of that time have rows: the rule had no such slot then.
    OtherRule,
}

fn missing(slot: DateTime<Utc>, case: &Case<'_>) -> Missing {
    if let Some(at) = case.known.and_then(|known| known.removed_at).filter(|at| slot > *at) {
        return Missing::Removed { at };
    }
    if slot > case.now {
        return match case.policy {
            None => Missing::Leaving { slot },
            Some(SlotPolicy { paused: Some(reason), .. }) => Missing::ToComePaused { slot, reason: reason.to_owned() },
            Some(_) => Missing::ToCome { slot },
        };
    }
    match case.known {
        None => Missing::Unheard,
        Some(known) if slot <= known.since => Missing::BeforeKnown { since: known.since },
        Some(known) if slot > known.processed_until => {
            let covers = |entry: &Entry| match entry {
                Entry::Due { slot: due, .. } => *due == slot,
                Entry::Missed { first, last, .. } => *first <= slot && slot <= *last,
            };
            let entry = case.policy.and_then(|policy| {
                process_slots(case.timing, &policy, known.processed_until, case.now).entries.into_iter().find(covers)
            });
            let treatment = match (entry, case.not_after.filter(|not_after| *not_after < case.now)) {
                (Some(Entry::Due { .. }), Some(not_after)) => Treatment::TooLate { not_after },
                (Some(Entry::Due { caught_up: false, .. }), None) => Treatment::Baked,
                (Some(Entry::Due { caught_up: true, .. }), None) => Treatment::CaughtUp,
                (Some(Entry::Missed { why, .. }), _) => Treatment::Missed(why),
                (None, _) => Treatment::Unknown,
            };
            Missing::NotPlanned { processed_until: known.processed_until, treatment }
        }
        Some(_) => Missing::OtherRule,
    }
}

impl Missing {
    fn counts(&self) -> bool {
        matches!(self, Self::ToCome { .. } | Self::ToComePaused { .. } | Self::NotPlanned { .. })
    }

    fn words(&self, zone: Zone) -> String {
        match self {
            Self::ToCome { slot } => format!("{} is a slot to come.", show(*slot, zone)),
            Self::ToComePaused { slot, reason } => format!(
                "{} is a slot to come, but the schedule is paused {reason}; it will be skipped.",
                show(*slot, zone)
            ),
            Self::Leaving { slot } => format!(
                "{} would be a slot, but the file does not have the schedule any more; it ends when the daemon next reads \
                 its configuration.",
                show(*slot, zone)
            ),
            Self::Unheard => {
                "The rule has this slot, but the daemon has never run with this schedule and instance, and \
                              nothing runs for the time before a schedule is known."
                    .to_owned()
            }
            Self::BeforeKnown { since } => format!(
                "The rule has this slot, but the history has the schedule only since {}, and nothing runs for the time \
                 before.",
                show(*since, zone)
            ),
            Self::Removed { at } => format!(
                "The rule would have had this slot, but the schedule was taken out of the file; the daemon learned it at \
                 {}.",
                show(*at, zone)
            ),
            Self::NotPlanned { processed_until, treatment } => {
                let text = format!(
                    "The slot is due, but the daemon has processed slots up to {} only.",
                    show(*processed_until, zone)
                );
                join(&text, &treatment.words(zone))
            }
            Self::OtherRule => {
                "The rule as it stands has this slot, but all slots of that time have their rows and this \
                                one has none: the schedule had other times then."
                    .to_owned()
            }
        }
    }
}

impl Treatment {
    fn words(&self, zone: Zone) -> String {
        let then = match self {
            Self::Baked => "baked".to_owned(),
            Self::CaughtUp => "caught up".to_owned(),
            Self::TooLate { not_after } => {
                format!("skipped: no bake of it may begin after {} (not_after)", show(*not_after, zone))
            }
            Self::Missed(why) => format!("skipped: {why}"),
            Self::Unknown => return String::new(),
        };
        format!("If it came to the slot now, it would be {then}.")
    }
}

fn join(words: &str, more: &str) -> String {
    match (words, more) {
        ("", one) | (one, "") => one.to_owned(),
        _ => format!("{words} {more}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::catch_up::CatchUp;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn berlin(cron: &str) -> Timing {
        Timing::parse(&[cron], crate::domain::calendar::zone::Zone::find("Europe/Berlin").unwrap(), Duration::ZERO, "x")
            .unwrap()
    }

    fn policy() -> SlotPolicy<'static> {
        SlotPolicy {
            catch_up: CatchUp::Latest,
            window: Duration::from_hours(6),
            on_time: Duration::from_mins(1),
            paused: None,
        }
    }

    fn known() -> Known {
        Known { since: at("2027-01-01T00:00:00Z"), processed_until: at("2027-06-01T00:00:00Z"), removed_at: None }
    }

    fn case(timing: &Timing) -> Case<'_> {
        let now = at("2027-06-01T00:00:30Z");
        Case { timing, policy: Some(policy()), known: Some(known()), record: None, not_after: None, now }
    }

    fn ask(text: &str, timing: &Timing) -> Vec<Explanation> {
        let asked: AskedTime = text.parse().unwrap();
        let moments = moments(&asked, timing.zone(), at("2027-12-31T00:00:00Z"));
        moments.into_iter().map(|moment| explain(moment, &case(timing))).collect()
    }

    fn record() -> Record {
        let (first, last) = (at("2027-02-01T02:00:00Z"), at("2027-02-05T02:00:00Z"));
        let reason = Some("missed for longer than catch_up_window".to_owned());
        Record {
            bake: BakeId(7),
            state: "skipped".into(),
            reason,
            is_current: true,
            manual: false,
            rebuilt: false,
            first,
            last,
            count: 5,
        }
    }

    #[test]
    fn a_row_of_no_slot_is_of_another_rule_unless_it_was_rebuilt() {
        let timing = berlin("30 2 * * *");
        let said = |rebuilt: bool| {
            let record = Record { state: "succeeded".into(), rebuilt, count: 1, ..record() };
            explain(moment(record.last, timing.zone()), &Case { record: Some(&record), ..case(&timing) }).words
        };
        assert!(said(false).contains("The rule has been changed since"), "{}", said(false));
        assert!(!said(true).contains("changed") && said(true).contains("rebuilt from the cloud"), "{}", said(true));
    }

    #[test]
    fn what_is_no_slot_has_its_neighbours() {
        let answers = ask("2027-02-03 04:00", &berlin("30 2 * * *"));
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(answer.slot, None);
        assert_eq!(answer.before, Some(at("2027-02-03T01:30:00Z")));
        assert_eq!(answer.after, Some(at("2027-02-04T01:30:00Z")));
        assert!(answer.words.contains("after it Thu 2027-02-04 02:30 +01:00"), "{}", answer.words);
        // Half a second beside a slot is no slot.
        assert_eq!(ask("2027-02-03T01:30:00.5Z", &berlin("30 2 * * *"))[0].slot, None);
    }

    #[test]
    fn a_skipped_time_is_caught_up_if_it_is_fixed() {
        let fixed = &ask("2027-03-28 02:30", &berlin("30 2 * * *"))[0];
        assert_eq!(fixed.slot, Some(at("2027-03-28T01:00:00Z")));
        assert!(fixed.words.contains("never showed 2027-03-28 02:30:00"), "{}", fixed.words);
        assert!(fixed.words.contains("from 2027-03-28 02:00:00 to 2027-03-28 03:00:00"), "{}", fixed.words);
        let open = &ask("2027-03-28 02:30", &berlin("*/30 * * * *"))[0];
        assert_eq!(open.slot, None, "that 03:00 is a slot of its own does not make the gap one");
        assert!(open.words.contains("not in a gap"), "{}", open.words);
        let other = &ask("2027-03-28 02:30", &berlin("0 4 * * *"))[0];
        assert!(other.slot.is_none() && other.words.contains("does not name it"), "{}", other.words);
        let made_up = &ask("2027-03-28T01:00:00Z", &berlin("30 2 * * *"))[0];
        assert!(made_up.slot.is_some() && made_up.words.contains("skipped a time of the rule"), "{}", made_up.words);
    }

    #[test]
    fn a_whole_day_may_be_skipped() {
        let apia = Timing::parse(
            &["0 10 30 12 *"],
            crate::domain::calendar::zone::Zone::find("Pacific/Apia").unwrap(),
            Duration::ZERO,
            "x",
        )
        .unwrap();
        assert_eq!(ask("2011-12-30 10:00", &apia)[0].slot, Some(at("2011-12-30T10:00:00Z")));
    }

    #[test]
    fn both_passes_of_a_repeated_time_are_explained() {
        let passes = [at("2027-10-31T00:30:00Z"), at("2027-10-31T01:30:00Z")];
        let fixed = ask("2027-10-31 02:30", &berlin("30 2 * * *"));
        assert_eq!(fixed.iter().map(|answer| answer.slot).collect::<Vec<_>>(), [Some(passes[0]), None]);
        assert!(fixed[1].words.contains("this is the second"), "{}", fixed[1].words);
        let open = ask("2027-10-31 02:30", &berlin("*/30 * * * *"));
        assert_eq!(open.iter().map(|answer| answer.slot).collect::<Vec<_>>(), passes.map(Some));
        // An instant is one pass, and knows which.
        let second = ask("2027-10-31T01:30:00Z", &berlin("30 2 * * *"));
        assert_eq!(second, fixed[1..]);
    }

    #[test]
    fn a_row_answers_for_its_slot_and_for_those_it_covers() {
        let timing = berlin("0 3 * * *");
        let record = record();
        let case = Case { record: Some(&record), ..case(&timing) };
        let moment = moment(at("2027-02-03T02:00:00Z"), timing.zone());
        let answer = explain(moment, &case);
        assert_eq!(answer.slot, Some(moment.at));
        assert!(answer.words.contains("one of 5 from") && answer.words.contains("bake 7"), "{}", answer.words);
        // A time between the slots of a range is still none.
        let beside = super::moment(at("2027-02-03T05:00:00Z"), timing.zone());
        assert_eq!(explain(beside, &case).slot, None);
    }

    #[test]
    fn a_row_stands_when_the_rule_was_changed() {
        let timing = berlin("0 9 * * *");
        let record = record();
        let moment = moment(record.last, timing.zone());
        let answer = explain(moment, &Case { record: Some(&record), ..case(&timing) });
        assert_eq!(answer.slot, Some(record.last));
        assert!(answer.words.contains("changed since"), "{}", answer.words);
    }

    #[test]
    fn a_slot_without_a_row_has_its_reason() {
        let timing = berlin("0 3 * * *");
        let now = case(&timing).now;
        let report = |slot: &str, case: Case<'_>| {
            let answer = explain(moment(at(slot), timing.zone()), &case);
            assert_eq!(answer.slot, Some(at(slot)), "{answer:?}");
            (answer.words, answer.will_run, answer.due)
        };
        let is = |slot: &str, case: Case<'_>, part: &str, will_run: bool| {
            let (words, runs, due) = report(slot, case);
            assert!(words.contains(part), "{words}");
            assert_eq!(runs, will_run, "{words}");
            let counts = ["slot to come", "has processed"].iter().any(|part| words.contains(part));
            assert_eq!(due, counts, "{words}");
        };
        let (past, ahead) = ("2027-05-01T01:00:00Z", "2027-06-02T01:00:00Z");
        is(ahead, case(&timing), "slot to come", true);
        is(past, case(&timing), "other times then", false);
        let paused = SlotPolicy { paused: Some("by the removal: moving"), ..policy() };
        is(
            ahead,
            Case { policy: Some(paused), ..case(&timing) },
            "paused by the removal: moving; it will be skipped",
            false,
        );
        is(ahead, Case { policy: None, ..case(&timing) }, "does not have the schedule any more", false);
        is(past, Case { known: None, ..case(&timing) }, "never run with this schedule", false);
        is(ahead, Case { known: None, ..case(&timing) }, "slot to come", true);
        is("2026-12-24T02:00:00Z", case(&timing), "only since Fri 2027-01-01 01:00 +01:00", false);
        let removed = Known { removed_at: Some(at("2027-04-01T00:00:00Z")), ..known() };
        is(past, Case { known: Some(removed), ..case(&timing) }, "taken out of the file", false);
        is(ahead, Case { known: Some(removed), ..case(&timing) }, "taken out of the file", false);
        let behind = Known { processed_until: at("2027-04-29T00:00:00Z"), ..known() };
        is(past, Case { known: Some(behind), ..case(&timing) }, "missed for longer than catch_up_window", false);
        let recent = at("2027-05-01T01:20:00Z");
        let down = Case { known: Some(behind), now: recent, ..case(&timing) };
        is(past, down, "would be caught up", false);
        let not_after = Some(recent - TimeDelta::minutes(1));
        is(past, Case { not_after, ..down }, "would be skipped: no bake of it may begin after", false);
        let not_after = Some(recent + TimeDelta::minutes(1));
        is(past, Case { not_after, ..down }, "would be caught up", false);
        assert!(now > recent);
    }
}
