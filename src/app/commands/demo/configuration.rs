//! The configurations of the demonstration and of the trial.

use std::{net::SocketAddr, path::Path};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

use super::place::Place;
use crate::{adapters::config::toml_string, domain::suggestion::shell_word};

/// Number of slots of the show.
pub(super) const SLOTS: usize = 8;

/// A path as a value. [`super::folder`] refuses folders whose name no configuration can have.
fn path(path: &Path) -> String {
    toml_string(&path.to_string_lossy())
}

/// What both have in common.
fn basis(folder: &Path, sim: SocketAddr) -> String {
    let place = Place::new(folder);
    format!(
        "[cloud]\nendpoint = \"http://{sim}\"\ncredentials = \"files\"\ncredentials_dir = {}\n\n\
         [daemon]\nstate_dir = {}\ncontrol_socket = {}\n",
        path(&place.keys),
        path(&place.state),
        path(&place.socket)
    )
}

/// Slots that are a few seconds ahead: six fields, seconds first.
pub(super) fn of_the_show(folder: &Path, sim: SocketAddr, now: DateTime<Utc>) -> String {
    let at = |seconds: i64| {
        let at = now + TimeDelta::seconds(seconds);
        format!("{} {} {} * * *", at.second(), at.minute(), at.hour())
    };
    let basis = basis(folder, sim).replace(
        "[daemon]\n",
        "poll_interval = \"300ms\"\nlookup_window = \"10s\"\nrequests_per_second = 50\n\n[daemon]\n",
    );
    format!(
        r#"{basis}listen = ""
max_builders = 3
prune_interval = "1s"

[defaults]
retry = {{ attempts = 5, base = "500ms", cap = "5s" }}

[[schedule]]
name = "win11-golden"
instance_id = "ecd-sim0001"
cron = ["{first}", "{second}", "{third}", "{fourth}"]
keep = {{ last = 2, grace = "1s" }}
channels = {{ prod = {{ after = "1s" }} }}

[[schedule]]
name = "office"
instance_ids = ["ecd-sim0002", "ecd-sim0003"]
cron = "{office}"

[[schedule]]
name = "cad"
instance_id = "ws-sim0001"
cron = "{cad}"
stop_instance = "required"

[[schedule]]
name = "build-agent"
instance_id = "ws-sim0002"
cron = "{agent}"
"#,
        first = at(2),
        second = at(6),
        third = at(10),
        fourth = at(14),
        office = at(3),
        cad = at(4),
        agent = at(5),
    )
}

/// Slots every few minutes, for as long as the user likes.
pub(super) fn of_the_trial(folder: &Path, sim: SocketAddr, page: SocketAddr) -> String {
    format!(
        r#"# A trial on a simulated cloud. Edit it, then: imagebaked --config {config} reload
{basis}listen = "{page}"
prune_interval = "1m"

[[schedule]]
name = "win11-golden"
instance_id = "ecd-sim0001"
cron = "*/2 * * * *"
keep = {{ last = 3, grace = "1m" }}
channels = {{ prod = {{ after = "3m" }} }}

[[schedule]]
name = "office"
instance_ids = ["ecd-sim0002", "ecd-sim0003"]
cron = "*/5 * * * *"

[[schedule]]
name = "cad"
instance_id = "ws-sim0001"
cron = "*/7 * * * *"
stop_instance = "required"
"#,
        config = shell_word(&Place::new(folder).config.to_string_lossy()),
        basis = basis(folder, sim),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{adapters::config, domain::clock::Clock as _, domain::clock::SystemClock};

    #[test]
    fn any_folder_gives_a_valid_configuration() {
        let above = tempfile::tempdir().unwrap();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        for name in ["plain", "a\"b", "it's", "a\\b", "a b #c", "\"\"\"", "$x{y}", "桌面"] {
            let folder = above.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let place = Place::new(&folder);
            for text in [of_the_show(&folder, address, SystemClock.now()), of_the_trial(&folder, address, address)] {
                std::fs::write(&place.config, text).unwrap();
                let loaded = config::load(&place.config, &BTreeMap::new());
                let loaded = loaded.unwrap_or_else(|wrong| panic!("{name}: {}", wrong.render(false))).config;
                assert_eq!((&loaded.daemon.state_dir, &loaded.daemon.control_socket), (&place.state, &place.socket));
                assert_eq!(loaded.cloud.credentials_dir.as_ref(), Some(&place.keys), "{name}");
            }
        }
    }
}
