//! The options of a simulator: its account, limits and state file.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{
    faults::FaultPlan,
    world::{InstanceKind, InstanceSpec},
};

/// What the simulated account is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// The key id that requests must name.
    pub access_key_id: String,
    /// The secret that requests must be signed with.
    pub access_key_secret: SecretString,
    /// The token that requests must carry; none where absent.
    pub security_token: Option<SecretString>,
    /// From the call to AVAILABLE; a tenth of it is INIT.
    pub build_time: Duration,
    /// How long a start, stop or reboot takes.
    pub power_time: Duration,
    /// How many images can be in the making at a time.
    pub builder_quota: usize,
    /// How many images there can be; no limit where absent.
    pub image_quota: Option<usize>,
    /// Calls per second of one action; none are refused where absent.
    pub requests_per_second: Option<u32>,
    /// Instances that exist, beside those of the state file.
    pub instances: Vec<InstanceSpec>,
    /// An unknown instance is added when it is first named, so that a real schedule can be rehearsed.
    pub open: bool,
    /// Minutes that the zone of `GmtCreate` is ahead of UTC; which one the cloud means is not documented.
    pub gmt_zone: i32,
    /// Business failures of the image operations come as HTTP 200 with Success false: the pages allow for both shapes.
    pub failures_in_success: bool,
    /// Where the source of image ids starts.
    pub seed: u64,
    /// The file that keeps the state; written with each change, before the answer. Calls that change nothing are noted
    /// in it with the next change.
    pub state: Option<PathBuf>,
    /// What goes wrong. Not kept in the state file: a restart takes the plan that it is given.
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
