//! The configurations of the demonstration and of the trial.

use std::{net::SocketAddr, path::Path};

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

use super::place::Place;

/// Number of slots of the show.
pub(super) const SLOTS: usize = 8;

/// What both have in common.
fn basis(folder: &Path, sim: SocketAddr) -> String {
    let place = Place::new(folder);
    format!(
        "[cloud]\nendpoint = \"http://{sim}\"\ncredentials = \"files\"\ncredentials_dir = \"{}\"\n\n\
         [daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\n",
        place.keys.display(),
        place.state.display(),
        place.socket.display()
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
        config = Place::new(folder).config.display(),
        basis = basis(folder, sim),
    )
}
