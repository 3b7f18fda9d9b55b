//! `imagebaked plan`: the slots to come. Needs neither credentials nor a daemon; versions are read from the ledger where
//! there is one.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    Context, Exit, Failure, Result, Said,
    output::{Rows, relative, utc},
};
use crate::{
    bake::naming::{Template, Values},
    cli::PlanArgs,
    clock::{Clock, SystemClock},
    config::Config,
    error::chain,
    ids::{InstanceId, LineId},
    schedule::Schedule,
    store::{Reader, StoreError},
};

/// One slot to come, with the field names that `plan --json` promises.
#[derive(Debug, Serialize)]
struct Slot<'a> {
    schedule: &'a str,
    slot: String,
    local: String,
    instance_id: &'a str,
    image_name: String,
    paused: bool,
    #[serde(skip)]
    at: DateTime<Utc>,
    #[serde(skip)]
    order: usize,
}

pub async fn run(context: &Context<'_>, args: &PlanArgs) -> Result {
    let config = context.config()?;
    let now = SystemClock.now();
    let from = args.from.unwrap_or(now);
    let until = args.until.unwrap_or_else(|| from.checked_add_signed(TimeDelta::days(7)).unwrap_or(from));
    if until < from {
        return Err(Failure::new(Exit::Usage, format!("--until ({until}) lies before --from ({from})")));
    }
    let schedules: Vec<&Schedule> = match &args.schedule {
        None => config.schedules.iter().map(|schedule| &**schedule).collect(),
        Some(wanted) => config
            .schedules
            .iter()
            .map(|schedule| &**schedule)
            .filter(|schedule| schedule.name.as_str() == wanted || schedule.id.as_str() == wanted)
            .collect(),
    };
    if let (true, Some(wanted)) = (schedules.is_empty(), &args.schedule) {
        return Err(Failure::new(Exit::NotFound, format!("there is no schedule {wanted:?} in the configuration")));
    }
    let versions = versions(&config).await;
    let mut slots = Vec::new();
    for (order, schedule) in schedules.iter().enumerate() {
        for instance in schedule.instances.as_slice() {
            slots_of(schedule, instance, order, from, until, &versions, &mut slots);
        }
    }
    slots.sort_by_key(|slot| (slot.at, slot.order));
    if context.json {
        return Ok(Said::done(format!("{}\n", serde_json::to_string(&json!({ "slots": slots }))?)));
    }
    Ok(Said::done(table(context, args, &slots, now, from, until)))
}

fn slots_of<'a>(
    schedule: &'a Schedule,
    instance: &'a InstanceId,
    order: usize,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    versions: &HashMap<LineId, u32>,
    slots: &mut Vec<Slot<'a>>,
) {
    let zone = schedule.timing.zone();
    let template = Template::parse(&schedule.settings.image_name);
    let mut version = versions.get(&schedule.line(instance)).copied().unwrap_or_default();
    for at in schedule.timing.between(from, until) {
        // A paused schedule gives out no versions.
        version = version.saturating_add(u32::from(!schedule.paused));
        let values = Values {
            name: schedule.name.as_str(),
            id: schedule.id.as_str(),
            instance_id: instance.as_str(),
            slot: at,
            zone,
            version,
        };
        slots.push(Slot {
            schedule: schedule.name.as_str(),
            slot: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            local: at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            instance_id: instance.as_str(),
            // Checked when the configuration was read.
            image_name: template.as_ref().map(|template| template.render(&values)).unwrap_or_default(),
            paused: schedule.paused,
            at,
            order,
        });
    }
}

fn table(
    context: &Context<'_>,
    args: &PlanArgs,
    slots: &[Slot<'_>],
    now: DateTime<Utc>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> String {
    if slots.is_empty() {
        return format!("No slots after {} up to {}.\n", utc(from), utc(until));
    }
    let mut at_once: HashMap<(DateTime<Utc>, &str), usize> = HashMap::new();
    for slot in slots.iter().filter(|slot| !slot.paused) {
        *at_once.entry((slot.at, slot.instance_id)).or_default() += 1;
    }
    let mut rows = Rows::new(&["SLOT", "LOCAL", "WHEN", "SCHEDULE", "INSTANCE", "IMAGE NAME", "NOTE"], context.color);
    for slot in slots.iter().take(args.limit) {
        let note = if slot.paused {
            "paused: will be skipped"
        } else if at_once.get(&(slot.at, slot.instance_id)).is_some_and(|n| *n > 1) {
            "same instance as another slot: one after the other"
        } else {
            ""
        };
        rows.row([
            &utc(slot.at),
            &slot.local,
            &relative(slot.at, now),
            slot.schedule,
            slot.instance_id,
            &slot.image_name,
            note,
        ]);
    }
    let mut text = rows.render();
    if slots.len() > args.limit {
        text.push_str(&format!(
            "… and {} more up to {}; see --limit and --json.\n",
            slots.len() - args.limit,
            utc(until)
        ));
    }
    text
}

/// The last version of each line; none where there is no ledger yet.
async fn versions(config: &Config) -> HashMap<LineId, u32> {
    let read = async {
        let reader = Reader::open(&config.daemon.state_dir).await?;
        let versions = reader.versions().await;
        reader.close().await;
        versions
    };
    match read.await {
        Ok(versions) => versions,
        Err(StoreError::Missing { .. }) => HashMap::new(),
        Err(error) => {
            eprintln!("warning: versions are counted from 1, the ledger cannot be read: {}", chain(&error));
            HashMap::new()
        }
    }
}
