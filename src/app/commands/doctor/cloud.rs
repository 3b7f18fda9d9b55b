//! Checks of the cloud: hosts, clock, credentials, permissions, instances, images. Calls of one kind run concurrently,
//! each with the timeouts of `[cloud]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};

use super::{
    daemon_user::DaemonUser,
    key_files, network,
    permissions::{ListCall, NOT_THE_CLOUD, Needs, Probe},
    report::{Check, CheckStatus, DoctorReport},
};
use crate::{
    adapters::{
        cloud::{
            CloudClient, ProbeResult,
            actions::{ImageStatus, ListImage},
            endpoint::Endpoint,
            request::Product,
        },
        config::Config,
    },
    app::{
        commands::{
            context::Context,
            inventory::{Machine, find, kind_label},
            output::{relative, short},
            sessions::SessionChoice,
        },
        daemon as service,
    },
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            identity::{TAG_LINE, TAG_OWNER},
            instance_state::InstanceType,
        },
        clock::{
            Clock, SystemClock,
            watch::{SKEW_NOTICED, SKEW_TOO_FAR},
        },
        ids::InstanceId,
        schedule::Schedule,
        suggestion::ConfigOption,
        text::counted,
    },
};

/// Maximum number of good instances that are listed; above it, only their number is shown.
const LISTED_ONE_BY_ONE: usize = 20;
/// Maximum number of instances that are looked up: a call has a hundred of them, and the rate limit spreads the calls.
const MOST_ASKED: usize = 1_000;
/// Calls that do not wait for each other by the rate limit. Nearly all are of different actions, for each of which the cloud
/// has a limit of its own.
const AT_ONCE: u32 = 30;
/// Transitional states.
const PASSING: [&str; 4] = ["starting", "stopping", "pending", "rebuilding"];

/// Adds all checks of the cloud. `key_in_use`: the key with which the daemon is at work; `whole`: the configuration has no
/// errors; `probe`: permissions to change things are tried.
pub(super) async fn examine(
    context: &Context<'_>,
    config: &Config,
    (daemon, key_in_use): (Option<&DaemonUser>, Option<String>),
    whole: bool,
    probe: bool,
    now: DateTime<Utc>,
    report: &mut DoctorReport,
) {
    if !config.cloud_is_whole {
        let why =
            "the configuration of the cloud has errors: without them another key or another address would be used";
        return report.add(Check::skip("hosts, credentials and all else in the cloud", why));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cloud = match service::client(config, &context.environment, &clock) {
        Ok(cloud) => cloud,
        Err(error) => return network::unusable(&error, report),
    };
    cloud.allow_at_once(AT_ONCE);
    network::examine(context, daemon, &cloud, report);
    let needs = Needs::of(config);
    let reachable = hosts(&cloud, &needs, report).await;
    let reaches =
        |product: &Product| cloud.endpoint(product).is_ok_and(|endpoint| reachable.contains(endpoint.authority()));
    if !reaches(&Product::AppStreaming) {
        return report.add(Check::skip("credentials and all else in the cloud", "its host is not reachable"));
    }
    let to_sts = reaches(&Product::Sts);
    if !credentials(context, (config, key_in_use.as_deref()), &cloud, to_sts, now, report).await {
        return report.add(Check::skip("permissions, instances and images", "there are no good credentials"));
    }
    let mut parts: FuturesOrdered<BoxFuture<'_, Vec<Check>>> = FuturesOrdered::new();
    parts.push_back(Box::pin(permissions(&cloud, &needs, probe)));
    parts.push_back(Box::pin(instances(&cloud, config)));
    parts.push_back(Box::pin(async {
        let unknown = "which lines there are is not known until the configuration is fixed";
        vec![if whole { images(&cloud, config).await } else { Check::skip("images", unknown) }]
    }));
    while let Some(checks) = parts.next().await {
        report.add_all(checks);
    }
    drop(parts);
    report.add_all(cloud.damaged_answers().map(|damaged| {
        let advice =
            "correct the names in the console; where an id is damaged, nothing is deleted until it is right again";
        Check::warn("answers of the cloud", damaged, advice)
    }));
}

/// Calls every needed host, which also returns the time there; returns the hosts that responded.
async fn hosts(cloud: &CloudClient, needs: &Needs, report: &mut DoctorReport) -> BTreeSet<String> {
    let desktops = needs.regions.iter().map(|region| Product::Desktops { region: region.clone() });
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for product in [Product::AppStreaming].into_iter().chain(desktops).chain([Product::Sts]) {
        match cloud.endpoint(&product) {
            Ok(endpoint) if !endpoints.contains(&endpoint) => endpoints.push(endpoint),
            Ok(_) => {}
            Err(api_error) => report.add(Check::fail("endpoint", api_error.to_string(), advice_of(&api_error))),
        }
    }
    let sts = cloud.endpoint(&Product::Sts).ok();
    let app_streaming = cloud.endpoint(&Product::AppStreaming).ok();
    let mut greetings: FuturesOrdered<_> =
        endpoints.into_iter().map(async |endpoint| (cloud.probe(&endpoint).await, endpoint)).collect();
    let mut reachable = BTreeSet::new();
    let mut skews = Vec::new();
    while let Some((greeting, endpoint)) = greetings.next().await {
        let name = format!("endpoint {}", endpoint.authority());
        match greeting {
            Ok(ProbeResult { took, skew }) => {
                let how = if endpoint.is_encrypted() { "over TLS" } else { "on this machine, without TLS" };
                report.add(Check::ok(name, format!("answers {how} within {}", short(took))));
                reachable.insert(endpoint.authority().to_owned());
                skews.extend(skew);
            }
            // Bakes do not need the token service.
            Err(api_error) if Some(&endpoint) == sts.as_ref() && sts != app_streaming => {
                report.add(Check::warn(name, api_error.to_string(), unreachable(&api_error)));
            }
            Err(api_error) => report.add(Check::fail(name, api_error.to_string(), unreachable(&api_error))),
        }
    }
    report.add(clock_skew(&skews));
    reachable
}

fn unreachable(api_error: &ApiError) -> &str {
    if api_error.message.contains("certificate") {
        "check this host's clock and CA certificates, and whether a proxy puts itself in between"
    } else {
        advice_of(api_error)
    }
}

/// What a person can do about an error: the advice of one that passes by itself says what bakes do.
fn advice_of(api_error: &ApiError) -> &str {
    match api_error.class {
        _ if api_error.is_outage() => {
            "check the network, DNS, proxies and firewalls between this host and that one; bakes go on by themselves once it \
             answers"
        }
        ErrorClass::Transient | ErrorClass::Unclear => {
            "run this command again in a minute; bakes try again by themselves"
        }
        _ => &api_error.advice,
    }
}

fn clock_skew(skews: &[TimeDelta]) -> Check {
    let name = "clock";
    let Some(skew) = skews.iter().max_by_key(|skew| skew.abs()).copied() else {
        return Check::skip(name, "no host of the cloud gave the time");
    };
    let seconds = Duration::from_secs(skew.num_seconds().unsigned_abs());
    let side = if skew > TimeDelta::zero() { "behind" } else { "ahead of" };
    let found = format!("{} {side} the cloud's", short(seconds));
    let advice = "set it, and keep it set with NTP (timedatectl); over 5 minutes no image is marked, deleted or moved to a \
                  channel, over 15 minutes every call is refused";
    if skew.abs() > SKEW_TOO_FAR {
        Check::fail(name, found, advice)
    } else if skew.abs() > SKEW_NOTICED {
        Check::warn(name, found, advice)
    } else if seconds.as_secs() <= 1 {
        // The cloud's Date has whole seconds.
        Check::ok(name, "right to the second, by the cloud's")
    } else {
        Check::ok(name, found)
    }
}

/// Source and owner of the credentials; whether calls with them make sense. `reaches_sts`: the token service can be asked
/// for their owner.
async fn credentials(
    context: &Context<'_>,
    (config, key_in_use): (&Config, Option<&str>),
    cloud: &CloudClient,
    reaches_sts: bool,
    now: DateTime<Utc>,
    report: &mut DoctorReport,
) -> bool {
    let name = "credentials";
    // A role needs the token service for its keys, and not only to know whose they are.
    if let Err(api_error) = cloud.fetch_credentials().await {
        let advice = provide(context, config, &api_error);
        report.add(match key_in_use {
            // The key of a service is often for the service alone.
            Some(key) => Check::warn(
                name,
                format!("the daemon is at work with {key}; this command has {}", api_error.message),
                advice,
            ),
            None => Check::fail(name, api_error.message, advice),
        });
        return false;
    }
    let identity = if reaches_sts { Some(cloud.caller_identity().await) } else { None };
    let in_use = cloud.credentials_in_use();
    let source = in_use
        .as_ref()
        .map_or_else(|| "from nowhere".to_owned(), |in_use| format!("from {}, key {}", in_use.source, in_use.key_id));
    let expires_at = in_use.as_ref().and_then(|in_use| in_use.expires_at);
    let expiry = expires_at.map(|at| format!(", expire {}", relative(at, now))).unwrap_or_default();
    let (check, accepted) = match identity {
        None => {
            let owner = in_use.and_then(|in_use| in_use.identity);
            let owner =
                owner.unwrap_or_else(|| "whose it is, only the token service knows, which is not reachable".to_owned());
            let advice = "bakes do not need the token service with these credentials";
            (Check::warn(name, format!("{source}: {owner}{expiry}"), advice), true)
        }
        Some(Ok(answer)) => {
            let who = answer.value;
            let account = who.account_id.unwrap_or_else(|| "unknown".to_owned());
            let found = format!("{source}: account {account}, {}{expiry}", who.arn);
            if who.identity_type.as_deref() == Some("Account") {
                let advice =
                    "the account's own key may do anything: make a RAM user with the few actions that are needed";
                (Check::warn(name, found, advice), true)
            } else {
                (Check::ok(name, found), true)
            }
        }
        Some(Err(api_error)) if api_error.class == ErrorClass::Credential => {
            (Check::fail(name, format!("{source}: {api_error}{expiry}"), &*api_error.advice), false)
        }
        Some(Err(api_error)) => {
            let found = format!("{source}{expiry}; their owner is not known: {api_error}");
            (Check::warn(name, found, "see below whether the calls that bakes need are allowed"), true)
        }
    };
    report.add(check);
    accepted
}

/// How this command gets the key pair of the service.
fn provide(context: &Context<'_>, config: &Config, api_error: &ApiError) -> String {
    let folder = key_files::unit_credentials(context.config_path);
    let in_unit =
        !api_error.is_outage() && folder.join("access_key_id").exists() && config.cloud.credentials_dir.is_none();
    if in_unit {
        format!(
            "the service has the key pair of {} from systemd, this command needs it named: sudo env \
             CREDENTIALS_DIRECTORY={} {}",
            folder.display(),
            folder.display(),
            ConfigOption::new(context.config_path).in_text("imagebaked doctor")
        )
    } else {
        advice_of(api_error).to_owned()
    }
}

async fn permissions(cloud: &CloudClient, needs: &Needs, probe: bool) -> Vec<Check> {
    let (calls, left_out) = ListCall::all(needs);
    let mut calls: FuturesOrdered<_> = calls.into_iter().map(|(call, weight)| call.check(cloud, weight)).collect();
    let (mut checks, mut found_any) = (Vec::new(), false);
    while let Some((check, found)) = calls.next().await {
        found_any |= found;
        checks.push(check);
    }
    let is_foreign =
        checks.iter().any(|check| check.result == CheckStatus::Fail && check.found.starts_with(NOT_THE_CLOUD));
    checks.extend(left_out);

    let (probes, left_out) = Probe::all(needs);
    if !probe || found_any || is_foreign {
        let why = if is_foreign {
            "not tried: what answers is not the cloud"
        } else if probe {
            "not tried: the cloud lists something of an id that should exist nowhere"
        } else {
            "not tried, because of --no-probe"
        };
        checks.extend(probes.iter().map(|probe| Check::skip(probe.name(), why)));
    } else {
        let probes: FuturesOrdered<_> = probes.into_iter().map(|probe| probe.check(cloud)).collect();
        checks.extend(probes.collect::<Vec<_>>().await);
    }
    checks.extend(left_out);
    folded(checks)
}

/// Checks that met the same answer in place of the cloud's are one: a proxy answers all calls alike.
fn folded(checks: Vec<Check>) -> Vec<Check> {
    let mut folded: Vec<(Check, usize)> = Vec::new();
    for check in checks {
        let is_bad = check.result == CheckStatus::Fail && check.found.starts_with(NOT_THE_CLOUD);
        let alike = |known: &&mut (Check, usize)| (known.0.result, &known.0.found) == (check.result, &check.found);
        match folded.iter_mut().find(alike).filter(|_| is_bad) {
            Some((_, more)) => *more += 1,
            None => folded.push((check, 0)),
        }
    }
    let named = |(check, more): (Check, usize)| match more {
        0 => check,
        _ => Check { name: format!("{} and {more} more permissions", check.name), ..check },
    };
    folded.into_iter().map(named).collect()
}

/// Instances of one kind and region, each with its schedules.
type Group<'a> = BTreeMap<InstanceId, Vec<&'a Schedule>>;

async fn instances(cloud: &CloudClient, config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut groups: BTreeMap<(&'static str, &str), (InstanceType, Group<'_>)> = BTreeMap::new();
    let (mut asked, mut left_out) = (0, 0);
    for schedule in &config.schedules {
        let kind = schedule.settings.instance_type;
        // One list has the workstations of all regions.
        let region = match kind {
            InstanceType::CloudDesktop => schedule.settings.instance_region.as_str(),
            InstanceType::WuyingServer => config.cloud.region.as_str(),
        };
        let (_, group) = groups.entry((kind.as_str(), region)).or_insert_with(|| (kind, BTreeMap::new()));
        for instance in schedule.instances.as_slice() {
            let is_new = !group.contains_key(instance);
            if is_new && asked == MOST_ASKED {
                left_out += 1;
                continue;
            }
            asked += usize::from(is_new);
            group.entry(instance.clone()).or_default().push(schedule);
        }
    }
    groups.retain(|_, (_, group)| !group.is_empty());
    let mut looked_up: FuturesOrdered<_> = groups
        .into_iter()
        .map(async |((_, region), (kind, group))| {
            let looked_up = look_up(cloud, kind, region, &group).await;
            (kind, region, group, looked_up)
        })
        .collect();
    let mut good: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    while let Some((kind, region, group, looked_up)) = looked_up.next().await {
        match looked_up {
            Ok((machines, unreadable)) => {
                for (id, schedules) in &group {
                    let check = match (machines.get(id), unreadable.first()) {
                        (None, Some(why)) => {
                            let found = format!("not known: a row of the cloud's list is unreadable ({why})");
                            Check::warn(format!("instance {id}"), found, "check it in the console: its bakes may fail")
                        }
                        (machine, _) => instance(id, kind, region, schedules, machine),
                    };
                    if check.advice.is_none() {
                        let state = machines.get(id).map(|machine| machine.status.as_str().to_owned());
                        *good.entry(state.unwrap_or_default()).or_default() += 1;
                        lines.push(check);
                    } else {
                        checks.push(check);
                    }
                }
            }
            Err(api_error) => {
                let name = format!("{} {}s in {region}", group.len(), kind_label(kind));
                checks.push(Check::warn(name, format!("not looked up: {api_error}"), advice_of(&api_error)));
            }
        }
    }
    if left_out > 0 {
        let found = format!("not looked up, only the first {MOST_ASKED}: `imagebaked coverage` compares all");
        checks.push(Check::skip(format!("{left_out} more instances"), found));
    }
    if lines.len() <= LISTED_ONE_BY_ONE {
        checks.extend(lines);
    } else {
        let states: Vec<String> = good.iter().map(|(state, n)| format!("{n} {state}")).collect();
        checks.push(Check::ok(counted(lines.len(), "instance", "instances"), format!("found: {}", states.join(", "))));
    }
    checks
}

/// Existing instances of the group, and why rows are unreadable; those of the wrong kind are searched for in the other kind.
async fn look_up(
    cloud: &CloudClient,
    kind: InstanceType,
    region: &str,
    group: &Group<'_>,
) -> Result<(BTreeMap<InstanceId, Machine>, Vec<String>), ApiError> {
    let ids: Vec<InstanceId> = group.keys().cloned().collect();
    let listed = find(cloud, kind, region, &ids).await?;
    let mut found: BTreeMap<_, _> = listed.rows.into_iter().map(|machine| (machine.id.clone(), machine)).collect();
    let other = match kind {
        InstanceType::CloudDesktop => InstanceType::WuyingServer,
        InstanceType::WuyingServer => InstanceType::CloudDesktop,
    };
    let lost: Vec<InstanceId> = ids.into_iter().filter(|id| !found.contains_key(id)).collect();
    // Only for a better message: without the permission they count as missing.
    if let Ok(elsewhere) = find(cloud, other, region, &lost).await {
        found.extend(elsewhere.rows.into_iter().map(|machine| (machine.id.clone(), machine)));
    }
    Ok((found, listed.unreadable))
}

fn instance(
    id: &InstanceId,
    kind: InstanceType,
    region: &str,
    schedules: &[&Schedule],
    machine: Option<&Machine>,
) -> Check {
    let name = format!("instance {id}");
    let names: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    let names = names.join(", ");
    let Some(machine) = machine else {
        let place = match kind {
            InstanceType::CloudDesktop => format!(" in {region}"),
            InstanceType::WuyingServer => String::new(),
        };
        let found = format!("the account has no such {}{place} ({names})", kind_label(kind));
        let advice = "check instance_id, instance_region and the account of the credentials";
        let is_idle = schedules.iter().all(|schedule| schedule.paused);
        return if is_idle { Check::warn(name, found, advice) } else { Check::fail(name, found, advice) };
    };
    if machine.kind != kind {
        let found = format!("a {}, but the configuration has {} ({names})", kind_label(machine.kind), kind.as_str());
        return Check::fail(name, found, format!("set instance_type = \"{}\"", machine.kind.as_str()));
    }
    let state = machine.status.as_str();
    let sessions = SessionChoice::of(machine, schedules);
    let kept = if machine.in_maintenance { " in maintenance" } else { "" };
    let found =
        format!("{state}{kept}, {}{} ({names})", machine.name.as_deref().unwrap_or(kind_label(kind)), sessions.label());
    if let Some(advice) = sessions.advice() {
        return if sessions.fails() { Check::fail(name, found, advice) } else { Check::warn(name, found, advice) };
    }
    let is_usual = ["Running", "Stopped"].contains(&state) || PASSING.contains(&state.to_ascii_lowercase().as_str());
    if is_usual {
        Check::ok(name, found)
    } else {
        Check::warn(name, found, "check it in the console: its bakes may fail")
    }
}

/// Images with the owner's tag whose line is not in the configuration.
async fn images(cloud: &CloudClient, config: &Config) -> Check {
    let name = "images";
    let owner = &config.daemon.owner;
    let filter = ListImage { tags: [(TAG_OWNER.to_owned(), owner.clone())].into(), ..ListImage::default() };
    let images = match cloud.list_all_images(&filter).await {
        Ok(images) => images,
        Err(api_error) => return Check::warn(name, format!("not listed: {api_error}"), advice_of(&api_error)),
    };
    let lines: BTreeSet<String> = config
        .schedules
        .iter()
        .flat_map(|schedule| schedule.instances.as_slice().iter().map(|instance| schedule.line(instance).to_string()))
        .collect();
    let mut ours = 0;
    let mut strays: BTreeMap<&str, usize> = BTreeMap::new();
    for image in images.iter().filter(|image| image.status != ImageStatus::Deleted) {
        if image.tags.get(TAG_OWNER) != Some(owner) {
            continue;
        }
        ours += 1;
        let line = image.tags.get(TAG_LINE).map_or("", String::as_str);
        if !lines.contains(line) {
            *strays.entry(line).or_default() += 1;
        }
    }
    if ours == 0 {
        return Check::ok(name, format!("none of owner {owner} yet"));
    }
    let found = format!("{ours} of owner {owner}");
    if strays.is_empty() {
        return Check::ok(name, format!("{found}, all of configured lines"));
    }
    let count: usize = strays.values().sum();
    let mut lines: Vec<String> = strays.iter().take(5).map(|(line, n)| format!("{line} ({n})")).collect();
    if strays.len() > lines.len() {
        lines.push(format!("and {} more", counted(strays.len() - lines.len(), "line", "lines")));
    }
    let found = format!("{found}, {count} of them of lines that are not in the file: {}", lines.join(", "));
    let advice = "no schedule manages these: restore the schedule (with its `id`, if it was renamed), or delete them in the \
                  console";
    Check::warn(name, found, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api::codes::{self, Idempotency};

    #[test]
    fn what_bakes_do_by_themselves_is_no_advice() {
        let error = |code: Option<&str>, status| {
            let rule = codes::judge(code, status, Idempotency::Idempotent);
            let code = code.map(str::to_owned);
            let (message, advice) = ("no".to_owned(), rule.advice.into());
            ApiError {
                class: rule.class,
                code,
                message,
                advice,
                http_status: None,
                request_id: None,
                retry_after: None,
            }
        };
        for silent in [error(None, 502), error(Some("Timeout"), 0), error(Some("InternalError"), 500)] {
            let advice = advice_of(&silent);
            assert!(!advice.contains("tried again") && !advice.contains("nothing to do"), "{silent:?}: {advice}");
        }
        assert!(advice_of(&error(Some("Forbidden.RAM"), 403)).starts_with("Grant"));
    }
}
