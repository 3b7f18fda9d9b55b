//! The options of a simulator: its account, limits and state file.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{
    faults::FaultPlan,
    world::{InstanceKind, InstanceSpec},
};

/// Properties of the simulated account.
#[derive(Debug, Clone)]
pub struct Options {
    /// Accepted key id.
    pub access_key_id: String,
    /// Accepted secret.
    pub access_key_secret: SecretString,
    /// Accepted token; none if absent.
    pub security_token: Option<SecretString>,
    /// Longest lifetime of the temporary keys that are issued; as long as is asked for if absent.
    pub session_life: Option<Duration>,
    /// Time from the call to AVAILABLE; a tenth of it is INIT.
    pub build_time: Duration,
    /// Duration of a start, stop or reboot.
    pub power_time: Duration,
    /// Maximum number of images in the making.
    pub builder_quota: usize,
    /// Maximum number of images; unlimited if absent.
    pub image_quota: Option<usize>,
    /// Maximum calls per second of one action; unlimited if absent.
    pub requests_per_second: Option<u32>,
    /// Instances besides those of the state file.
    pub instances: Vec<InstanceSpec>,
    /// An unknown instance is added when it is first named, to rehearse a real schedule.
    pub open: bool,
    /// Offset of `GmtCreate` from UTC in minutes; the cloud's is not documented.
    pub gmt_zone: i32,
    /// Errors of the image operations are HTTP 200 with Success false: the pages allow both.
    pub failures_in_success: bool,
    /// Seed of image ids.
    pub seed: u64,
    /// State file; written with each change, before the response. Calls without a change are written with the next
    /// change.
    pub state: Option<PathBuf>,
    /// Fault plan. Not in the state file: a restart uses the plan that it is given.
    pub faults: FaultPlan,
}

impl Default for Options {
    /// Three desktops, the third of them stopped, and two workstations.
    fn default() -> Self {
        let instance = |instance_id: &str, instance_type, status: &str| InstanceSpec {
            status: status.to_owned(),
            ..InstanceSpec::running(instance_id, instance_type)
        };
        Self {
            access_key_id: "sim-key-id".to_owned(),
            access_key_secret: "sim-key-secret".into(),
            security_token: None,
            session_life: None,
            build_time: Duration::from_secs(30),
            power_time: Duration::from_secs(5),
            builder_quota: 10,
            image_quota: None,
            requests_per_second: None,
            instances: vec![
                instance("ecd-sim0001", InstanceKind::CloudDesktop, "Running"),
                instance("ecd-sim0002", InstanceKind::CloudDesktop, "Running"),
                instance("ecd-sim0003", InstanceKind::CloudDesktop, "Stopped"),
                instance("ws-sim0001", InstanceKind::WuyingServer, "Running"),
                instance("ws-sim0002", InstanceKind::WuyingServer, "Running"),
            ],
            open: false,
            gmt_zone: 0,
            failures_in_success: false,
            seed: 0,
            state: None,
            faults: FaultPlan::default(),
        }
    }
}
