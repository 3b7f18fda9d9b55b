//! What `plan` shows of a file that cannot be planned: the slots of the configuration in force, with which the daemon goes on.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{context::Context, outcome::Failure, table::room};
use crate::{
    adapters::{
        config::{self, Config},
        control::{Reply, Request, client},
        store::Reader,
    },
    app::{cli::PlanArgs, daemon::StoredTiming},
    domain::{
        calendar::{Timing, zone::Zone},
        clock::shifted,
        time::{AskedTime, Edge, Facing, show, show_minute},
    },
};

/// Slots that are listed without a terminal, and at least on one.
const LISTED: usize = 100;
const FEWEST: usize = 5;
/// Days of a plan of no time.
const DAYS: i64 = 7;

/// A schedule in force.
struct InForce {
    name: String,
    timing: Timing,
    instances: usize,
    is_paused: bool,
}

/// The failure, with the slots in force of the time that was asked for.
pub(super) async fn with_slots_in_force(
    context: &Context<'_>,
    failure: Failure,
    args: &PlanArgs,
    now: DateTime<Utc>,
) -> Failure {
    match slots_in_force(context, args, now).await {
        Some((text, most)) => {
            let message = failure.message.trim_end();
            let lines = most.map(|most| most.saturating_sub(message.lines().count()).max(FEWEST));
            Failure { message: format!("{message}\n{}", text.render(lines)), ..failure }
        }
        None => failure,
    }
}

/// The slots as text.
struct Listed {
    heading: String,
    lines: Vec<String>,
    more: u64,
}

impl Listed {
    fn render(&self, most: Option<usize>) -> String {
        let shown = self.lines.len().min(most.unwrap_or(LISTED));
        let more = self.more + (self.lines.len() - shown) as u64;
        let mut text = self.heading.clone();
        for line in &self.lines[..shown] {
            text.push_str(&format!("\n  {line}"));
        }
        if more > 0 {
            text.push_str(&format!("\n  … and {more} more"));
        }
        text
    }
}

async fn slots_in_force(context: &Context<'_>, args: &PlanArgs, now: DateTime<Utc>) -> Option<(Listed, Option<usize>)> {
    let config: Config = config::load_lenient(context.config_path, &context.environment).0?;
    let presence = context.presence(&config).await;
    let daemon = presence.located()?;
    let Ok(Reply::Status(status)) = client::ask(&daemon.socket, &Request::Status { all: false }).await else {
        return None;
    };
    let reader = Reader::open(&daemon.state_dir).await.ok()?;
    let targets = reader.targets().await;
    reader.close().await;
    let mut schedules: BTreeMap<String, InForce> = BTreeMap::new();
    for target in targets.ok()?.into_iter().filter(|target| target.removed_at.is_none()) {
        if let Some(known) = schedules.get_mut(target.schedule_id.as_str()) {
            known.instances += 1;
            continue;
        }
        let Some(timing) = StoredTiming::from_json(&target.timing).and_then(|stored| stored.read()) else { continue };
        let (id, name) = (target.schedule_id.to_string(), target.schedule.to_string());
        let is_paused = status.paused.iter().any(|pause| pause.schedule == id) || status.paused_in_file.contains(&name);
        schedules.insert(id, InForce { name, timing, instances: 1, is_paused });
    }
    let only = args
        .schedule
        .iter()
        .chain(&args.words)
        .find(|word| schedules.iter().any(|(id, one)| id == *word || one.name == **word));
    if let Some(only) = only {
        schedules.retain(|id, one| id == only || one.name == *only);
    }
    let zone = match schedules.values().next() {
        Some(only) if schedules.len() == 1 => only.timing.zone(),
        _ => status.daemon.zone(),
    };
    let when = args.words.iter().find_map(|word| word.parse::<AskedTime>().ok());
    let span = wanted(args, when, zone, now);
    Some((listed(schedules.values(), span, zone), room()))
}

/// The first instant, exclusive, and the last one, inclusive.
pub(super) fn wanted(
    args: &PlanArgs,
    when: Option<AskedTime>,
    zone: Zone,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let before = |at| shifted(at, -TimeDelta::milliseconds(1));
    if let Some(when) = when {
        let (first, after) = when.span(zone, now, Facing::Future);
        return (before(first), before(after));
    }
    let from = args.from.map_or(now, |from| from.instant(zone, now, Facing::Future, Edge::Start));
    let until = args.until.map(|until| until.instant(zone, now, Facing::Future, Edge::End));
    (from, until.unwrap_or_else(|| shifted(from, TimeDelta::days(DAYS))))
}

fn listed<'a>(
    schedules: impl Iterator<Item = &'a InForce> + Clone,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    zone: Zone,
) -> Listed {
    let all: u64 = schedules.clone().map(|one| one.timing.count(from, until)).sum();
    let mut slots: Vec<(DateTime<Utc>, &InForce)> =
        schedules.flat_map(|one| one.timing.between(from, until).take(LISTED).map(move |at| (at, one))).collect();
    slots.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    slots.truncate(LISTED);
    let line = |(at, one): &(DateTime<Utc>, &InForce)| {
        let instances = if one.instances > 1 { format!(", {} instances", one.instances) } else { String::new() };
        let paused = if one.is_paused { ", paused: will be skipped" } else { "" };
        format!("{}  {}{instances}{paused}", show(*at, one.timing.zone()), one.name)
    };
    let lines: Vec<String> = slots.iter().map(line).collect();
    let begin = "The daemon goes on with the configuration in force";
    let until = show_minute(shifted(until, TimeDelta::milliseconds(1)), zone);
    let heading = match lines.len() {
        0 => format!("{begin}, which has no slot up to {until}."),
        _ => format!("{begin}; its slots up to {until}:"),
    };
    Listed { heading, more: all.saturating_sub(lines.len() as u64), lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(name: &str, expression: &str, instances: usize) -> InForce {
        let timing = Timing::parse(&[expression], Zone::UTC, std::time::Duration::ZERO, name).unwrap();
        InForce { name: name.to_owned(), timing, instances, is_paused: name == "lab" }
    }

    #[test]
    fn the_slots_of_all_schedules_are_sorted_and_the_rest_is_counted() {
        let at = |text: &str| text.parse().unwrap();
        let schedules = [in_force("golden", "0 3 * * *", 2), in_force("lab", "0 1 * * *", 1)];
        let span = (at("2027-03-01T12:00:00Z"), at("2027-03-03T11:59:59.999Z"));
        let listed = listed(schedules.iter(), span, Zone::UTC);
        assert_eq!(
            listed.render(Some(2)),
            "The daemon goes on with the configuration in force; its slots up to Wed 2027-03-03 12:00 +00:00:\n  Tue \
             2027-03-02 01:00 +00:00  lab, paused: will be skipped\n  Tue 2027-03-02 03:00 +00:00  golden, 2 instances\n  \
             … and 2 more"
        );
        assert!(!listed.render(None).contains("more"));
        let none = super::listed(schedules.iter(), (span.0, span.0), Zone::UTC).render(None);
        assert!(none.ends_with("which has no slot up to Mon 2027-03-01 12:00 +00:00."), "{none}");
    }
}
