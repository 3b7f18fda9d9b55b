//! `imagebaked coverage`: instances of the account without a schedule, and schedules whose instance does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::json;

use super::{
    context::Context,
    inventory::{Machine, find, list_all},
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{NONE, Rows, schedules},
    terminal::print_error,
};
use crate::{
    adapters::{cloud::CloudClient, config::Config},
    app::{cli::CoverageArgs, daemon},
    domain::{
        api::instance_state::InstanceType,
        clock::{Clock, SystemClock},
        error::chain,
        ids::InstanceId,
        text::counted,
    },
};

/// An instance without a schedule; the field names are those of `--json`.
#[derive(Debug, Serialize)]
struct Uncovered {
    instance_id: InstanceId,
    instance_type: InstanceType,
    name: Option<String>,
    region: String,
    status: String,
}

/// A schedule's instance that does not exist; likewise.
#[derive(Debug, Serialize)]
struct Missing {
    schedule: String,
    instance_id: InstanceId,
}

pub async fn run(context: &Context<'_>, args: &CoverageArgs) -> Result {
    let (config, _, _) = context.find_daemon_or_valid_file().await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cloud = daemon::client(&config, &context.environment, &clock)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    let account = account(&cloud, &config, &args.desktop_region).await?;
    if let Some(damaged) = cloud.damaged_answers() {
        print_error(&format!("warning: answers of the cloud are damaged: {damaged}"));
    }
    let baked: BTreeSet<&InstanceId> =
        config.schedules.iter().flat_map(|schedule| schedule.instances.as_slice()).collect();
    let covered = account.keys().filter(|id| baked.contains(id)).count();
    let uncovered: Vec<Uncovered> = account
        .values()
        .filter(|machine| !baked.contains(&machine.id))
        .map(|machine| Uncovered {
            instance_id: machine.id.clone(),
            instance_type: machine.kind,
            name: machine.name.clone(),
            region: machine.region.clone(),
            status: machine.status.as_str().to_owned(),
        })
        .collect();
    let missing: Vec<Missing> = config
        .schedules
        .iter()
        .flat_map(|schedule| schedule.instances.as_slice().iter().map(move |instance| (schedule, instance)))
        .filter(|(_, instance)| !account.contains_key(*instance))
        .map(|(schedule, instance)| Missing { schedule: schedule.name.to_string(), instance_id: instance.clone() })
        .collect();
    let exit = if args.strict && !(uncovered.is_empty() && missing.is_empty()) { Exit::Failed } else { Exit::Done };
    let text = if context.json {
        format!("{}\n", json!({ "uncovered": uncovered, "missing": missing, "covered": covered }))
    } else {
        text(context, &config, &uncovered, &missing, covered)
    };
    Ok(CommandOutput { text, exit })
}

/// The instances of the account. With an incomplete list others would count as uncovered or missing, so the first error
/// ends it.
async fn account(cloud: &CloudClient, config: &Config, more: &[String]) -> Result<BTreeMap<InstanceId, Machine>> {
    let desktops =
        config.schedules.iter().filter(|schedule| schedule.settings.instance_type == InstanceType::CloudDesktop);
    let regions: BTreeSet<String> = [&config.cloud.region]
        .into_iter()
        .chain(more)
        .chain(desktops.map(|schedule| &schedule.settings.instance_region))
        .cloned()
        .collect();
    let mut account = BTreeMap::new();
    for listed in list_all(cloud, &config.cloud.region, &regions).await {
        let what = listed.what();
        for machine in listed.machines.map_err(|api_error| refused(&what, &api_error))? {
            account.entry(machine.id.clone()).or_insert(machine);
        }
    }
    // The lists omit instances of pools; those are requested by id, as a bake does.
    let mut lost: BTreeMap<(&'static str, &str), (InstanceType, Vec<InstanceId>)> = BTreeMap::new();
    for schedule in &config.schedules {
        let (kind, region) = (schedule.settings.instance_type, schedule.settings.instance_region.as_str());
        for instance in schedule.instances.as_slice().iter().filter(|instance| !account.contains_key(*instance)) {
            lost.entry((kind.as_str(), region)).or_insert((kind, Vec::new())).1.push(instance.clone());
        }
    }
    for ((_, region), (kind, ids)) in lost {
        let found =
            find(cloud, kind, region, &ids).await.map_err(|api_error| refused("missing instances", &api_error))?;
        account.extend(found.rows.into_iter().map(|machine| (machine.id.clone(), machine)));
    }
    Ok(account)
}

/// A list that failed.
pub(super) fn refused(what: &str, api_error: &crate::domain::api::call::ApiError) -> Failure {
    Failure::new(Exit::Failed, format!("the {what} cannot be listed: {api_error}\n{}", api_error.advice))
}

fn text(
    context: &Context<'_>,
    config: &Config,
    uncovered: &[Uncovered],
    missing: &[Missing],
    covered: usize,
) -> String {
    let mut text = format!(
        "{covered} of the account's {} {} a schedule; {} in the configuration.\n",
        counted(covered + uncovered.len(), "instance", "instances"),
        if covered == 1 { "has" } else { "have" },
        schedules(config.schedules.len())
    );
    if !uncovered.is_empty() {
        text.push_str("\nWithout a schedule\n");
        let mut rows = Rows::new(&["INSTANCE", "TYPE", "REGION", "STATUS", "NAME"], context.color);
        for one in uncovered {
            let name = one.name.as_deref().unwrap_or(NONE);
            rows.row([one.instance_id.as_str(), one.instance_type.as_str(), &one.region, &one.status, name]);
        }
        text.push_str(&rows.render());
    }
    if !missing.is_empty() {
        text.push_str("\nNot in the account\n");
        let mut rows = Rows::new(&["INSTANCE", "SCHEDULE"], context.color);
        for one in missing {
            rows.row([one.instance_id.as_str(), &one.schedule]);
        }
        text.push_str(&rows.render());
        text.push_str("Check instance_id, instance_region and the account of the credentials (imagebaked doctor).\n");
    }
    text
}
