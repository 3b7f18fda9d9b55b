//! Checks of the history, the daemon and its unit on this host.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{ownership::not_checked, report::Check};
use crate::{
    adapters::{
        config::Config,
        control::{ControlError, Reply, Request, client, liveness::Silence},
        files::open_regular,
        store::{DATABASE_FILE, PendingRestart, Reader, StoreError},
    },
    domain::{
        api::mode::ONLY_OBSERVES,
        calendar::zone::Zone,
        error::chain,
        health::{Health, Verdict},
        time::show,
    },
};

/// Maximum number of problems that are named beside the first.
const SHOWN: usize = 5;
/// Maximum time for reading the history: a million bakes take a few seconds.
const READ_THROUGH: Duration = Duration::from_mins(1);
/// Timeout of `systemctl`.
const SYSTEMCTL: Duration = Duration::from_secs(5);
pub(super) const UNIT: &str = "imagebaked";

pub(super) async fn database(state_dir: &Path, backup: Option<&str>) -> Check {
    let name = "database";
    let path = state_dir.join(DATABASE_FILE);
    let size = match open_regular(&path).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return not_checked(name, &path),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory) => {
            let found = format!("{} is no database: {error}", path.display());
            return Check::fail(name, found, format!("stop the daemon and put {} aside", path.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(name, format!("none yet at {}: it is made when the daemon first runs", path.display()));
        }
        Err(error) => {
            let advice = "run as root, or as a member of the daemon's group";
            return Check::warn(name, format!("{} cannot be read: {error}", path.display()), advice);
        }
    };
    let examined = tokio::time::timeout(READ_THROUGH, async {
        let reader = Reader::open(state_dir).await?;
        let found = reader.examine().await;
        reader.close().await;
        found
    });
    let damaged = |found: String| {
        let aside = format!(
            "put {}* aside; then start it, and the rows of all images in the cloud come back, but no veto, pin, channel, pause or \
             failed slot",
            path.display()
        );
        let advice = match backup {
            Some(restore) => format!("stop the daemon, `{restore}`, start it. Without a backup: stop it and {aside}"),
            None => format!("stop the daemon and restore a backup (`imagebaked restore FILE`); without one {aside}"),
        };
        Check::fail(name, found, advice)
    };
    match examined.await {
        Ok(Ok(faults)) if faults.is_empty() => {
            Check::ok(name, format!("sound, {} KiB at {}", size.div_ceil(1024), path.display()))
        }
        Ok(Ok(faults)) => damaged(format!("{} is damaged: {}", path.display(), faults.join("; "))),
        Ok(Err(error @ StoreError::Older { .. })) => {
            Check::warn(name, error.to_string(), format!("systemctl restart {UNIT}"))
        }
        Ok(Err(error @ StoreError::Newer { .. })) => Check::fail(name, error.to_string(), "install that version"),
        Ok(Err(error)) => {
            let found = chain(&error);
            // SQLite needs an index of the journal beside the database, which a reader may have to create.
            if ["unable to open", "readonly"].iter().any(|words| found.contains(words)) {
                return Check::warn(name, found, "run as root, or as the daemon's user");
            }
            damaged(found)
        }
        Err(_) => {
            let found = format!("not read through within {} s", READ_THROUGH.as_secs());
            Check::warn(name, found, "see whether the disk is slow or broken")
        }
    }
}

/// Asks the daemon for its status.
pub(super) async fn ask_status(config: &Config) -> Result<Reply, ControlError> {
    client::ask(&config.daemon.control_socket, &Request::Status { all: false }).await
}

/// The instances that bakes have stopped and not started again, by the history; none without a readable one.
pub(super) async fn left_stopped(state_dir: &Path) -> Vec<PendingRestart> {
    let Ok(reader) = Reader::open(state_dir).await else { return Vec::new() };
    let pending = reader.pending_restarts().await.unwrap_or_default();
    reader.close().await;
    pending
}

/// The daemon, by its reply at the socket.
pub(super) fn daemon(
    config: &Config,
    answer: Result<Reply, ControlError>,
    left_stopped: &[PendingRestart],
    (broken, zone): (bool, Zone),
) -> Check {
    let name = "daemon";
    let socket = &config.daemon.control_socket;
    let status = match answer {
        Ok(Reply::Status(status)) => status,
        Ok(Reply::Failed { message }) => return Check::fail(name, message, "see its log: journalctl -t imagebaked"),
        Ok(_) => {
            let advice = format!("systemctl restart {UNIT}");
            return Check::fail(name, "it sent an unexpected reply", advice);
        }
        Err(error @ ControlError::Forbidden { .. }) => {
            return Check::warn(name, error.to_string(), "run as root, or as a member of the daemon's group");
        }
        Err(ControlError::Unreachable { .. }) => {
            let found = format!("no daemon listens at {}", socket.display());
            if let [PendingRestart { bake, instance, .. }, others @ ..] = left_stopped {
                let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
                let found =
                    format!("{found}, and {instance}, which bake {bake} has stopped{more}, waits for it to be started");
                return Check::fail(name, found, format!("systemctl start {UNIT}; `imagebaked status` shows them"));
            }
            if config.daemon.mode.is_observe() {
                let advice =
                    format!("systemctl start {UNIT}; it only observes then ([daemon] mode), and bakes nothing");
                return Check::warn(name, found, advice);
            }
            return Check::warn(name, found, format!("systemctl start {UNIT}; without it nothing is baked"));
        }
        Err(error @ ControlError::OtherVersion { .. }) => {
            return Check::warn(name, error.to_string(), format!("systemctl restart {UNIT}"));
        }
        Err(ControlError::Silent { silence: Silence::Stopped { pid }, .. }) => {
            let found = format!("it (pid {pid}) was stopped by a signal, and bakes nothing");
            return Check::fail(name, found, format!("kill -CONT {pid}"));
        }
        Err(error) => return Check::fail(name, chain(&error), format!("systemctl restart {UNIT}")),
    };
    let daemon = &status.daemon;
    let started: DateTime<Utc> = daemon.started_at.parse().unwrap_or_default();
    let started = show(started, zone);
    let observes =
        if daemon.mode.is_observe() { format!("; {ONLY_OBSERVES}, and bakes nothing") } else { String::new() };
    let found = format!("version {}, pid {}, since {started}{observes}", daemon.version, daemon.pid);
    if daemon.version != env!("CARGO_PKG_VERSION") {
        let found = format!("{found}, but this command is of version {}", env!("CARGO_PKG_VERSION"));
        return Check::warn(name, found, format!("systemctl restart {UNIT}"));
    }
    if status.health.verdict != Verdict::Ok {
        let found = format!("{found}; {}", verdict(&status.health));
        let advice = "imagebaked status shows the command for each; see docs/problems.md";
        let is_problem = status.health.verdict == Verdict::Problem;
        return if is_problem { Check::fail(name, found, advice) } else { Check::warn(name, found, advice) };
    }
    if !broken && daemon.config_hash != config.hash {
        let found = format!("{found}, but it runs by configuration {}, not {}", daemon.config_hash, config.hash);
        return Check::warn(name, found, "imagebaked reload; [cloud] and [daemon] may ask for a restart");
    }
    Check::ok(name, format!("{found}, health OK"))
}

/// The key with which the daemon is at work; `None` if it has used none, or the cloud rejects it.
pub(super) fn key_in_use(answer: &Result<Reply, ControlError>) -> Option<String> {
    let Ok(Reply::Status(status)) = answer else { return None };
    let daemon = status.suspended.is_none().then_some(&status.daemon)?;
    let key = daemon.credentials_key_id.as_ref()?;
    let owner = daemon.credentials_identity.as_ref().map_or_else(String::new, |owner| format!(" of {owner}"));
    Some(format!("key {key}{owner}"))
}

/// The verdict with its first problem, and the codes of others.
fn verdict(health: &Health) -> String {
    let headline = health.headline();
    let mut others: Vec<&str> = Vec::new();
    let first = health.problems().next().map(|first| first.code);
    for code in health.problems().map(|one| one.code).filter(|code| Some(*code) != first) {
        if !others.contains(&code.as_str()) && others.len() < SHOWN {
            others.push(code.as_str());
        }
    }
    let others = if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
    format!("{}{others}", headline.trim_end_matches('.'))
}

/// Whether systemd starts the daemon, now and at boot.
pub(super) async fn unit(environment: &BTreeMap<String, String>) -> Check {
    let name = "systemd unit";
    let answers = tokio::join!(ask(environment, &["is-enabled"]), ask(environment, &["is-active"]));
    let (enabled, active) = match answers {
        (Ok(enabled), Ok(active)) => (enabled, active),
        (Err(why), _) | (_, Err(why)) => {
            return Check::warn(name, why, "see to it that something starts `imagebaked run`, also after a boot");
        }
    };
    let found = format!("{enabled}, {active}");
    match (enabled.as_str(), active.as_str()) {
        ("enabled" | "enabled-runtime", "active" | "reloading") => Check::ok(name, found),
        ("not-found", _) => Check::warn(
            name,
            format!("there is no unit {UNIT}"),
            "install systemd/imagebaked.service of the distribution",
        ),
        (_, "failed") => Check::fail(name, found, format!("journalctl -u {UNIT} -n 50 shows the reason")),
        (_, "active") => Check::warn(name, found, format!("systemctl enable {UNIT}, or a boot ends the bakes")),
        _ => Check::warn(name, found, format!("systemctl enable --now {UNIT}")),
    }
}

/// A property of the unit; an error also where it has no value.
pub(super) async fn property(environment: &BTreeMap<String, String>, name: &str) -> Result<String, String> {
    ask(environment, &["show", "--value", "--property", name]).await
}

/// Status word of `systemctl` for the unit, or why there is none.
async fn ask(environment: &BTreeMap<String, String>, what: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    command.args(what).arg(UNIT).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = environment.get("PATH") {
        command.env("PATH", path);
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no systemctl on this host".to_owned(),
        _ => format!("systemctl cannot be run: {error}"),
    })?;
    let give_up = Instant::now() + SYSTEMCTL;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < give_up => tokio::time::sleep(Duration::from_millis(10)).await,
            outcome => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(error) => format!("systemctl cannot be waited for: {error}"),
                    Ok(_) => format!("systemctl does not answer within {} s", SYSTEMCTL.as_secs()),
                });
            }
        }
    }
    // Its output of a line or two fits into the pipe.
    let first = |stream: Option<&mut dyn io::Read>| {
        let mut text = Vec::new();
        stream.map(|stream| stream.take(4096).read_to_end(&mut text));
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
    };
    let output = first(child.stdout.as_mut().map(|stream| stream as &mut dyn io::Read));
    if !output.is_empty() {
        return Ok(output);
    }
    let why = first(child.stderr.as_mut().map(|stream| stream as &mut dyn io::Read));
    // Older versions have no word for it.
    if why.contains("No such file") { Ok("not-found".to_owned()) } else { Err(format!("systemctl reports: {why}")) }
}

#[cfg(test)]
mod tests {
    use super::{super::report::CheckStatus, *};
    use crate::{
        adapters::config::without_file,
        domain::{
            bake::State,
            health::{Problem, ProblemCode, Severity, Subject, SubjectKind},
            ids::BakeId,
        },
    };

    #[test]
    fn a_dead_daemon_that_left_an_instance_stopped_is_a_failure() {
        let config = without_file(&BTreeMap::new()).0.unwrap();
        let unreachable = || {
            let source = io::Error::other("refused");
            Err(ControlError::Unreachable { socket: "/run/x".into(), source })
        };
        let pending = |bake: i64| PendingRestart {
            bake: BakeId(bake),
            schedule: "golden".to_owned(),
            instance: "ecd-1".into(),
            state: State::Queued { not_before: DateTime::UNIX_EPOCH, suspended: None },
        };
        let check = |left: &[PendingRestart]| daemon(&config, unreachable(), left, (false, Zone::UTC));
        assert_eq!(check(&[]).result, CheckStatus::Warn);
        let failed = check(&[pending(7), pending(8)]);
        assert_eq!(failed.result, CheckStatus::Fail);
        assert!(failed.found.contains("ecd-1, which bake 7 has stopped (and 1 more), waits"), "{}", failed.found);
    }

    #[test]
    fn the_verdict_names_each_other_code_once_and_ends_without_a_full_stop() {
        let problem = |code, schedule: &str| {
            let subject = Subject::new(SubjectKind::Schedule, schedule);
            let message = format!("{schedule} failed.");
            Problem::new(code, Severity::Problem, subject, DateTime::UNIX_EPOCH, message, None)
        };
        let one = verdict(&Health::of(vec![problem(ProblemCode::BakeFailed, "a")]));
        assert!(one.ends_with(": a failed"), "{one}");
        let alike = [problem(ProblemCode::BakeFailed, "a"), problem(ProblemCode::BakeFailed, "b")];
        let others = [problem(ProblemCode::VerifyFailed, "c"), problem(ProblemCode::VerifyFailed, "d")];
        let all = verdict(&Health::of(alike.into_iter().chain(others).collect()));
        assert!(all.ends_with(": a failed; also verify_failed"), "{all}");
    }
}
