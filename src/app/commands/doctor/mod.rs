//! `imagebaked doctor`: checks everything that a bake needs, without a change. [`host`] checks this host, [`service`]
//! the daemon on it, [`cloud`] the cloud; [`permissions`] probes permissions without using them.

use serde::Serialize;
use serde_json::json;

use super::{CommandOutput, Context, Exit, Failure, Result};
use crate::{
    adapters::config,
    app::cli::DoctorArgs,
    domain::{
        calendar::zone,
        clock::{Clock, SystemClock},
    },
};

mod cloud;
mod host;
mod permissions;
mod service;

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum CheckStatus {
    /// Not needed, or not possible.
    Skip,
    Ok,
    /// Bakes may work, but a person should check it.
    Warn,
    /// Bakes will not work.
    Fail,
}

/// One line of the report; the field names are those of `--json`.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: String,
    result: CheckStatus,
    found: String,
    /// Advice.
    advice: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, result: CheckStatus, found: impl Into<String>, advice: Option<String>) -> Self {
        Self { name: name.into(), result, found: found.into(), advice }
    }

    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Ok, found, None)
    }

    fn skip(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Skip, found, None)
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Warn, found, Some(advice.into()))
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, CheckStatus::Fail, found, Some(advice.into()))
    }
}

/// The checks so far. The text output prints each at once, because some take long.
struct DoctorReport {
    checks: Vec<Check>,
    live: bool,
    color: bool,
}

impl DoctorReport {
    fn add(&mut self, check: Check) {
        if self.live {
            super::print_text(&line(&check, self.color));
        }
        self.checks.push(check);
    }

    fn add_all(&mut self, checks: impl IntoIterator<Item = Check>) {
        for check in checks {
            self.add(check);
        }
    }

    fn count(&self, result: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.result == result).count()
    }
}

pub async fn run(context: &Context<'_>, args: &DoctorArgs) -> Result {
    let (config, problems) = config::load_lenient(context.config_path, &context.environment);
    let Some(config) = config else {
        return Err(Failure::new(Exit::Usage, problems.render(context.color_of_stderr())));
    };
    let mut report = DoctorReport { checks: Vec::new(), live: !context.json, color: context.color };
    report.add(host::configuration(context.config_path, &config, &problems));
    report.add(host::config_permissions(&config));
    report.add(host::credential_permissions(context, &config));
    report.add(host::disk(&config.daemon.state_dir));
    report.add(host::time_zones(&zone::release(), SystemClock.now()));
    report.add(service::database(&config.daemon.state_dir).await);
    report.add(service::daemon(&config, problems.has_errors()).await);
    report.add(service::unit(&context.environment).await);
    let whole = !problems.has_errors();
    cloud::examine(context, &config, whole, !args.no_probe, SystemClock.now(), &mut report).await;

    let failures = report.count(CheckStatus::Fail);
    let exit = match (whole, failures) {
        (false, _) => Exit::Usage,
        (true, 0) => Exit::Done,
        (true, _) => Exit::Unhealthy,
    };
    let text = if context.json {
        format!("{}\n", json!({ "checks": report.checks, "ok": failures == 0 }))
    } else {
        format!(
            "\n{} ok, {} warnings, {failures} failed, {} skipped.\n",
            report.count(CheckStatus::Ok),
            report.count(CheckStatus::Warn),
            report.count(CheckStatus::Skip)
        )
    };
    Ok(CommandOutput { text, exit })
}

/// The check on one line, and the advice on the next.
fn line(check: &Check, color: bool) -> String {
    let (word, code) = match check.result {
        CheckStatus::Skip => ("skip", "2"),
        CheckStatus::Ok => ("ok", "32"),
        CheckStatus::Warn => ("warn", "33"),
        CheckStatus::Fail => ("fail", "31;1"),
    };
    let padding = " ".repeat("warn".len() - word.len());
    let word = if color { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
    let advice = check.advice.as_ref().map(|advice| format!("      -> {advice}\n")).unwrap_or_default();
    format!("{word}{padding}  {}: {}\n{advice}", check.name, check.found)
}
