//! The configuration in force as a document: the daemon gives it to commands whose file is another one by now.

use std::{
    collections::{HashMap, hash_map},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CloudSettings, Config, DaemonSettings};
use crate::domain::{
    bake::settings::BakeSettings,
    calendar::{
        Timing,
        zone::{self, Zone},
    },
    catch_up::CatchUp,
    ids::InstanceId,
    schedule::{Channel, Instances, Keep, Overlap, Schedule},
};

/// The document; read by a command of the same version, as any answer of the daemon.
#[derive(Serialize, Deserialize)]
struct Document {
    cloud: CloudSettings,
    daemon: DaemonSettings,
    next_owner: Option<String>,
    hash: String,
    files: Vec<PathBuf>,
    fingerprint: String,
    /// Settings of bakes, each once: schedules share them.
    settings: Vec<BakeSettings>,
    schedules: Vec<ScheduleDocument>,
}

#[derive(Serialize, Deserialize)]
struct ScheduleDocument {
    id: String,
    name: String,
    instances: Vec<InstanceId>,
    many: bool,
    cron: Vec<String>,
    timezone: Zone,
    jitter: Duration,
    catch_up: CatchUp,
    catch_up_window: Duration,
    overlap: Overlap,
    paused: bool,
    max_image_age: Option<Duration>,
    keep: Option<Keep>,
    channels: Vec<Channel>,
    /// Place in the list of settings.
    settings: usize,
}

impl Config {
    /// The document of this configuration.
    ///
    /// # Errors
    ///
    /// A value cannot be written as JSON.
    pub fn to_document(&self) -> serde_json::Result<Value> {
        let (mut settings, mut places) = (Vec::new(), HashMap::new());
        let mut schedules = Vec::with_capacity(self.schedules.len());
        for schedule in &self.schedules {
            let place = match places.entry(Arc::as_ptr(&schedule.settings)) {
                hash_map::Entry::Occupied(known) => *known.get(),
                hash_map::Entry::Vacant(new) => {
                    settings.push(BakeSettings::clone(&schedule.settings));
                    *new.insert(settings.len() - 1)
                }
            };
            schedules.push(ScheduleDocument::of(schedule, place));
        }
        serde_json::to_value(Document {
            cloud: self.cloud.clone(),
            daemon: self.daemon.clone(),
            next_owner: self.next_owner.clone(),
            hash: self.hash.clone(),
            files: self.files.clone(),
            fingerprint: self.fingerprint.clone(),
            settings,
            schedules,
        })
    }

    /// The configuration of a document; `None` where this version cannot read it.
    pub fn from_document(document: Value) -> Option<Self> {
        let document: Document = serde_json::from_value(document).ok()?;
        let settings: Vec<Arc<BakeSettings>> = document.settings.into_iter().map(Arc::new).collect();
        let schedules = document.schedules.into_iter().map(|one| Some(Arc::new(one.read(&settings)?)));
        Some(Self {
            cloud: document.cloud,
            cloud_is_whole: true,
            daemon: document.daemon,
            next_owner: document.next_owner,
            schedules: schedules.collect::<Option<_>>()?,
            hash: document.hash,
            files: document.files,
            fingerprint: document.fingerprint,
            zones: zone::release(),
            only_in_file: Vec::new(),
        })
    }
}

impl ScheduleDocument {
    fn of(schedule: &Schedule, settings: usize) -> Self {
        Self {
            id: schedule.id.to_string(),
            name: schedule.name.to_string(),
            instances: schedule.instances.as_slice().to_vec(),
            many: matches!(schedule.instances, Instances::Many(_)),
            cron: schedule.timing.expressions().map(str::to_owned).collect(),
            timezone: schedule.timing.zone(),
            jitter: schedule.timing.jitter(),
            catch_up: schedule.catch_up,
            catch_up_window: schedule.catch_up_window,
            overlap: schedule.overlap,
            paused: schedule.paused,
            max_image_age: schedule.max_image_age,
            keep: schedule.keep.clone(),
            channels: schedule.channels.clone(),
            settings,
        }
    }

    fn read(mut self, settings: &[Arc<BakeSettings>]) -> Option<Schedule> {
        let timing = Timing::parse(&self.cron, self.timezone, self.jitter, &self.id).ok()?;
        let instances = if self.many { Instances::Many(self.instances) } else { Instances::One(self.instances.pop()?) };
        Some(Schedule {
            id: self.id.as_str().into(),
            name: self.name.as_str().into(),
            instances,
            timing,
            catch_up: self.catch_up,
            catch_up_window: self.catch_up_window,
            overlap: self.overlap,
            paused: self.paused,
            max_image_age: self.max_image_age,
            keep: self.keep,
            channels: self.channels,
            settings: Arc::clone(settings.get(self.settings)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::adapters::config::load;

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        let text = "[cloud]\nregion = \"cn-beijing\"\nrequests_per_second = 7\n[daemon]\nmode = \"observe\"\nmax_deletions = 3\n\
                    backup = { keep = 17 }\n[defaults]\ndeadline = \"3h\"\n\
                    [[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = [\"H 3 * * *\", \"30 1 * * MON\"]\n\
                    timezone = \"Asia/Shanghai\"\njitter = \"5m\"\nkeep = { last = 3, within = \"9d\", failed = \"never\" }\n\
                    channels = { stable = { after = \"1d\" }, prod = {} }\nmax_image_age = \"2d\"\noverlap = \"queue\"\n\
                    [[schedule]]\nname = \"pool\"\nid = \"p-1\"\ninstance_ids = [\"ecd-2\", \"ecd-3\"]\ncron = \"@daily\"\npaused = true\n\
                    stop_instance = \"required\"\n";
        std::fs::write(&path, text).unwrap();
        let config = load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
        let read = Config::from_document(config.to_document().unwrap()).unwrap();
        assert_eq!(read.schedules, config.schedules);
        assert_eq!((&read.cloud, &read.daemon), (&config.cloud, &config.daemon));
        assert_eq!((&read.hash, &read.fingerprint, &read.files), (&config.hash, &config.fingerprint, &config.files));
        let hash = super::super::hash(&read.cloud, &read.daemon, &read.schedules).unwrap();
        assert_eq!(hash, config.hash, "every effective value is the same");
        assert!(Config::from_document(serde_json::json!({})).is_none());
    }
}
