//! `imagebaked doctor`: checks everything that a bake needs, without a change. [`host`] checks this host, [`service`]
//! the daemon on it, [`cloud`] the cloud; [`permissions`] probes permissions without using them.

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use serde_json::json;

use self::{
    daemon_user::DaemonUser,
    report::{Check, CheckStatus, DoctorReport},
};
use super::{
    backup::restore_newest,
    context::Context,
    outcome::{CommandOutput, Exit, Result},
};
use crate::{
    adapters::config,
    app::cli::DoctorArgs,
    domain::{
        calendar::zone,
        clock::{Clock, SystemClock},
        suggestion::ConfigOption,
    },
};

mod backups;
mod cloud;
mod daemon_user;
mod host;
mod key_files;
mod network;
mod ownership;
mod permissions;
mod report;
mod service;
mod way;

pub async fn run(context: &Context<'_>, args: &DoctorArgs) -> Result {
    let (config, problems) = config::load_lenient(context.config_path, &context.environment);
    let Some(config) = config else {
        return Err(context.refused(&problems));
    };
    let mut report = DoctorReport::new(!context.json, context.color, args.all);
    if let Some(check) = host::unread_file(&problems) {
        report.add(check);
        return without_configuration(context, report).await;
    }
    report.add(host::configuration(context.config_path, &config, &problems));
    let config = context.with_running(config).await;
    let answer = service::ask_status(&config).await;
    let daemon = DaemonUser::find(&answer, &context.environment, &config.daemon.state_dir).await;
    let user = daemon.as_ref().map(|daemon| daemon.uid);
    report.add(host::config_permissions(&config, daemon.as_ref()));
    report.add(key_files::permissions(context, &config, daemon.as_ref()));
    let certain = daemon.as_ref().filter(|daemon| daemon.is_certain()).map(|daemon| daemon.uid);
    report.add(host::state_permissions(&config.daemon.state_dir, certain));
    report.add_all(host::control_socket(&config, user));
    report.add(host::hooks(&config, daemon.as_ref()));
    report.add(host::disk(&config.daemon.state_dir));
    report.add(host::time_zones(&zone::release(), SystemClock.now()));
    let whole = !problems.has_errors();
    let key_in_use = service::key_in_use(&answer);
    let zone = context.zones_of_answer(&config, []).await.main;
    let option = ConfigOption::new(context.config_path);
    let backup = restore_newest(&config).map(|restore| option.in_text(&restore).into_owned());
    // Side by side, and printed in this order: none needs the result of another.
    let mut parts: FuturesOrdered<BoxFuture<'_, Vec<Check>>> = FuturesOrdered::new();
    parts.push_back(Box::pin(async { vec![service::database(&config.daemon.state_dir, backup.as_deref()).await] }));
    parts.push_back(Box::pin(async {
        let left_stopped = service::left_stopped(&config.daemon.state_dir).await;
        vec![service::daemon(&config, answer, &left_stopped, (!whole, zone))]
    }));
    parts.push_back(Box::pin(async { vec![service::unit(&context.environment).await] }));
    parts.push_back(Box::pin(async { Vec::from_iter(backups::folder(&config, &context.environment).await) }));
    parts.push_back(Box::pin(async {
        let mut of_cloud = DoctorReport::new(false, false, true);
        let of_daemon = (daemon.as_ref(), key_in_use);
        cloud::examine(context, &config, of_daemon, whole, !args.no_probe, SystemClock.now(), &mut of_cloud).await;
        of_cloud.checks
    }));
    while let Some(checks) = parts.next().await {
        report.add_all(checks);
    }

    let exit = match (whole, report.count(CheckStatus::Fail)) {
        (false, _) => Exit::Usage,
        (true, 0) => Exit::Done,
        (true, _) => Exit::Unhealthy,
    };
    Ok(summed_up(context, report, exit))
}

/// A file of the configuration could not be read: only what does not depend on it is checked, and nothing by defaults.
async fn without_configuration(context: &Context<'_>, mut report: DoctorReport) -> Result {
    let found = "not checked: files, credentials, history, daemon, permissions, instances and images depend on the configuration";
    report.add(Check::skip("everything else", found));
    report.add(host::time_zones(&zone::release(), SystemClock.now()));
    report.add(service::unit(&context.environment).await);
    Ok(summed_up(context, report, Exit::Usage))
}

fn summed_up(context: &Context<'_>, mut report: DoctorReport, exit: Exit) -> CommandOutput {
    report.finish();
    let failures = report.count(CheckStatus::Fail);
    let text = if context.json {
        format!("{}\n", json!({ "checks": report.checks, "ok": failures == 0 }))
    } else {
        let warnings = report.count(CheckStatus::Warn);
        format!(
            "\n{} ok, {warnings} warning{}, {failures} failed, {} skipped; --all shows each check.\n",
            report.count(CheckStatus::Ok),
            if warnings == 1 { "" } else { "s" },
            report.count(CheckStatus::Skip)
        )
    };
    CommandOutput { text, exit }
}
