//! The sessions of workstations: which one a schedule's create calls name, and what is in the way.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde_json::{Value, json};

use super::{
    context::Context,
    inventory::{Machine, find},
    outcome::{Exit, Failure},
    output::{NONE, Rows},
};
use crate::{
    adapters::config::Config,
    app::daemon,
    domain::{
        api::{call::ApiError, instance_state::InstanceType},
        clock::{Clock, SystemClock},
        error::chain,
        ids::InstanceId,
        schedule::Schedule,
    },
};

/// The sessions of one instance, and those that its schedules name.
#[derive(Debug)]
pub struct SessionChoice<'a> {
    /// `None`: the cloud lists the workstation without them.
    sessions: Option<&'a [String]>,
    /// Named by `sub_instance_id`.
    named: Vec<&'a str>,
    /// Whether a schedule names none.
    asks: bool,
}

impl<'a> SessionChoice<'a> {
    pub fn of(machine: &'a Machine, schedules: &[&'a Schedule]) -> Self {
        let is_workstation = machine.kind == InstanceType::WuyingServer;
        let mut named: Vec<&str> =
            schedules.iter().filter_map(|schedule| schedule.settings.sub_instance_id.as_deref()).collect();
        named.sort_unstable();
        named.dedup();
        let asks = schedules.iter().any(|schedule| schedule.settings.sub_instance_id.is_none());
        Self { sessions: machine.sessions.as_deref(), named, asks: asks && is_workstation }
    }

    /// Of a desktop, nothing.
    pub fn label(&self) -> String {
        match self.listed() {
            [] => String::new(),
            [one] => format!(", session {one}"),
            several => format!(", sessions {}", several.join(", ")),
        }
    }

    /// Whether bakes fail for it.
    pub fn fails(&self) -> bool {
        self.unlisted().is_some() || self.asks && self.listed().len() != 1
    }

    fn listed(&self) -> &'a [String] {
        self.sessions.unwrap_or_default()
    }

    /// A session that a schedule names and that the cloud does not list.
    fn unlisted(&self) -> Option<&str> {
        let sessions = self.sessions?;
        self.named.iter().copied().find(|named| !sessions.iter().any(|session| session == named))
    }

    /// What a person does about it.
    pub fn advice(&self) -> Option<String> {
        if self.asks && self.listed().len() > 1 {
            return Some("set sub_instance_id to one of its sessions: its bakes fail without a choice".to_owned());
        }
        if self.asks && self.sessions.is_none() {
            return Some("the cloud does not list its sessions: set sub_instance_id".to_owned());
        }
        if self.asks && self.listed().is_empty() {
            return Some("the cloud lists no session of it: its bakes fail until it has one".to_owned());
        }
        let unlisted = self.unlisted()?;
        Some(format!(
            "the cloud lists no session {unlisted}: its bakes fail until sub_instance_id names one that it has"
        ))
    }
}

/// The sessions of the workstations of a configuration, as `check --sessions` shows them.
#[derive(Debug)]
pub struct SessionReport {
    rows: Vec<SessionRow>,
}

#[derive(Debug)]
struct SessionRow {
    instance: InstanceId,
    schedule: String,
    sessions: Vec<String>,
    named: Option<String>,
    advice: Option<String>,
    fails: bool,
}

impl SessionReport {
    /// Asks the cloud.
    pub async fn ask(context: &Context<'_>, config: &Config) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cloud = daemon::client(config, &context.environment, &clock)
            .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
        let kind = InstanceType::WuyingServer;
        let schedules = || config.schedules.iter().filter(|schedule| schedule.settings.instance_type == kind);
        let mut ids: Vec<InstanceId> =
            schedules().flat_map(|schedule| schedule.instances.as_slice().iter().cloned()).collect();
        ids.sort_unstable();
        ids.dedup();
        let listed = find(&cloud, kind, &config.cloud.region, &ids).await.map_err(|error| refused(&error))?;
        let machines: BTreeMap<_, _> = listed.rows.into_iter().map(|machine| (machine.id.clone(), machine)).collect();
        let row = |schedule: &Schedule, instance: &InstanceId| {
            let machine = machines.get(instance);
            let choice = machine.map(|machine| SessionChoice::of(machine, &[schedule]));
            let advice = match &choice {
                Some(choice) => choice.advice(),
                None => Some(match listed.unreadable.first() {
                    Some(why) => format!("not known: a row of the cloud's list is unreadable ({why})"),
                    None => "the account has no such workstation".to_owned(),
                }),
            };
            SessionRow {
                instance: instance.clone(),
                schedule: schedule.name.to_string(),
                sessions: machine.and_then(|machine| machine.sessions.clone()).unwrap_or_default(),
                named: schedule.settings.sub_instance_id.clone(),
                advice,
                fails: choice.is_none_or(|choice| choice.fails()),
            }
        };
        let rows = schedules()
            .flat_map(|schedule| schedule.instances.as_slice().iter().map(|instance| row(schedule, instance)))
            .collect();
        Ok(Self { rows })
    }

    /// Whether bakes of a workstation fail for want of a session.
    pub fn fails(&self) -> bool {
        self.rows.iter().any(|row| row.fails)
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "instance_id": row.instance, "schedule": row.schedule, "sessions": row.sessions,
                "sub_instance_id": row.named, "advice": row.advice,
            })
        });
        rows.collect()
    }

    pub fn text(&self, color: bool) -> String {
        if self.rows.is_empty() {
            return "\nNo schedule has a workstation.\n".to_owned();
        }
        let mut rows = Rows::new(&["WORKSTATION", "SCHEDULE", "SESSION", "USED"], color);
        let mut advice = String::new();
        for SessionRow { instance, schedule, sessions, named, advice: of_row, .. } in &self.rows {
            let is_used = |session: &String| match named {
                Some(named) => named == session,
                None => sessions.len() == 1,
            };
            if sessions.is_empty() {
                rows.row([instance.as_str(), schedule, "none", NONE]);
            }
            for session in sessions {
                let used = if is_used(session) { "yes" } else { "no" };
                rows.row([instance.as_str(), schedule, session, used]);
            }
            if let Some(of_row) = of_row {
                let _ = writeln!(advice, "{instance} ({schedule}): {of_row}");
            }
        }
        format!("\nSessions:\n{}{advice}", rows.render())
    }
}

fn refused(error: &ApiError) -> Failure {
    Failure::new(Exit::Failed, format!("the sessions cannot be listed: {error}\n{}", error.advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{adapters::cloud::actions::MachineStatus, adapters::config};

    fn machine(sessions: &[&str]) -> Machine {
        Machine {
            id: "ws-1".into(),
            kind: InstanceType::WuyingServer,
            name: None,
            region: "cn-shanghai".to_owned(),
            status: MachineStatus::Running,
            in_maintenance: false,
            sessions: Some(sessions.iter().map(|id| (*id).to_owned()).collect()),
        }
    }

    fn configured(keys: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        let text = format!("[[schedule]]\nname='a'\ninstance_id='ws-1'\ncron='@daily'\n{keys}\n");
        std::fs::write(&path, text).unwrap();
        config::load(&path, &BTreeMap::new()).unwrap().config
    }

    #[test]
    fn a_choice_is_missing_only_where_there_is_one() {
        for (keys, sessions, label, fails, advice) in [
            ("", &["p-1"][..], ", session p-1", false, None),
            ("", &["p-1", "p-2"], ", sessions p-1, p-2", true, Some("set sub_instance_id to one")),
            ("", &[], "", true, Some("lists no session of it")),
            ("sub_instance_id = 'p-2'", &["p-1", "p-2"], ", sessions p-1, p-2", false, None),
            ("sub_instance_id = 'p-3'", &["p-1"], ", session p-1", true, Some("lists no session p-3")),
            ("sub_instance_id = 'p-3'", &[], "", true, Some("lists no session p-3")),
        ] {
            let (config, machine) = (configured(keys), machine(sessions));
            let choice = SessionChoice::of(&machine, &[&config.schedules[0]]);
            assert_eq!((choice.label().as_str(), choice.fails()), (label, fails), "{keys} {sessions:?}");
            let found = choice.advice();
            assert_eq!(found.is_some(), advice.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(advice.unwrap_or_default()));
        }
        for (keys, fails) in [("", true), ("sub_instance_id = 'p-3'", false)] {
            let (config, machine) = (configured(keys), Machine { sessions: None, ..machine(&[]) });
            let choice = SessionChoice::of(&machine, &[&config.schedules[0]]);
            assert_eq!((choice.fails(), choice.advice().is_some()), (fails, fails), "{keys}");
        }
        let config = configured("");
        let desktop = Machine { kind: InstanceType::CloudDesktop, ..machine(&[]) };
        assert_eq!(SessionChoice::of(&desktop, &[&config.schedules[0]]).advice(), None);
    }
}
