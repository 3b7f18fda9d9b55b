//! `imagebaked demo`: runs the simulator, a real configuration, the real daemon and its history in one process, for
//! half a minute. Its claims are computed from the history and from the simulator's record.

use std::{
    collections::{BTreeMap, HashMap},
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    context::Context,
    history,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::Zones,
    terminal::{control, print_text},
};
use crate::{
    adapters::{
        config,
        store::{BakeRow, Filter, Reader},
    },
    app::{
        cli::DemoArgs,
        daemon::{self, Asked, DaemonError, Setup, Signals},
    },
    domain::{
        calendar::zone::Zone,
        clock::{Clock, SystemClock},
        error::chain,
    },
    sim::{FaultPlan, Options, RunningSimulator, Simulator},
};

/// Maximum duration of the demo; it ends when every slot has ended.
const BOUND: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// The second create call is throttled; the response to the third is lost.
const FAULTS: &str = r#"
[[fault]]
action = "CreateImageByInstance"
instance_id = "ecd-sim0002"
nth = 1
code = "Throttling.User"
status = 429
headers = { x-acs-retry-after = "1500" }

[[fault]]
action = "CreateImageByInstance"
instance_id = "ws-sim0001"
nth = 1
drop = "after"
"#;

/// Number of slots in the configuration below.
const SLOTS: usize = 6;

pub async fn run(context: &Context<'_>, args: &DemoArgs) -> Result {
    let (folder, _removed_at_the_end) = folder(args)?;
    let sim = simulator().await?;
    let now = SystemClock.now();
    let config_path = folder.join("imagebaked.toml");
    let text = configuration(&folder, sim.addr(), now);
    std::fs::write(&config_path, &text)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", config_path.display())))?;
    introduce(&text, sim.addr());

    let mut interrupted = Signals::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}")))?
        .receive();
    let (stop, asked) = mpsc::channel(1);
    let mut daemon = tokio::spawn(daemon::run(setup(&config_path)?, asked));
    let state_dir = folder.join("state");
    let view = watch(&state_dir, context.color);
    let (rows, whole) = tokio::select! {
        rows = view => (rows?, true),
        _ = interrupted.recv() => (Vec::new(), false),
        ended = &mut daemon => return Err(daemon_failed(ended)),
    };
    let _ = stop.send(Asked::Stop).await;
    match daemon.await {
        Ok(Ok(())) => {}
        ended => return Err(daemon_failed(ended)),
    }
    let world = sim.state();
    sim.stop().await;
    if !whole {
        return Ok(CommandOutput { text: "Stopped.\n".to_owned(), exit: Exit::Failed });
    }
    let mut text = format!(
        "\nThe history, as `imagebaked history` shows it:\n\n{}",
        history::table(&rows, &zones(), SystemClock.now(), context.color)
    );
    let claims = claims(&rows, &world);
    text.push_str("\nThe four promises, counted from the history and from the simulator's own record:\n");
    for (number, claim) in claims.iter().enumerate() {
        let mark = if claim.holds { "kept" } else { "BROKEN" };
        text.push_str(&format!("  {}. {mark}: {}\n", number + 1, claim.words));
    }
    if args.keep.is_some() {
        text.push_str(&format!("\nAll files are in {}.\n", folder.display()));
    }
    text.push_str("\nNext: README.md, \"The first real schedule\".\n");
    let exit = if claims.iter().all(|claim| claim.holds) { Exit::Done } else { Exit::Failed };
    Ok(CommandOutput { text, exit })
}

async fn simulator() -> Result<RunningSimulator> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot listen on loopback: {error}")))?;
    let options = Options {
        build_time: Duration::from_secs(4),
        power_time: Duration::from_secs(1),
        faults: FaultPlan::parse(FAULTS).map_err(|error| Failure::new(Exit::Failed, chain(&error)))?,
        ..Options::default()
    };
    Simulator::start(listener, options, Arc::new(SystemClock))
        .map_err(|error| Failure::new(Exit::Failed, chain(&error)))
}

/// The folder of all files, and a guard that removes it unless it is to be kept.
fn folder(args: &DemoArgs) -> Result<(PathBuf, Option<Removed>)> {
    let path = match &args.keep {
        Some(path) => path.clone(),
        None => std::env::temp_dir().join(format!("imagebaked-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&path)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot make {}: {error}", path.display())))?;
    let guard = args.keep.is_none().then(|| Removed(path.clone()));
    Ok((path, guard))
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It is in the folder for temporary files, which is cleaned up anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A real configuration whose slots are a few seconds ahead: six fields, seconds first.
fn configuration(folder: &Path, sim: std::net::SocketAddr, now: DateTime<Utc>) -> String {
    let in_seconds = |seconds: i64| {
        let at = now + TimeDelta::seconds(seconds);
        format!("{} {} {} * * *", at.second(), at.minute(), at.hour())
    };
    format!(
        r#"[cloud]
endpoint = "http://{sim}"
poll_interval = "300ms"
lookup_window = "10s"
requests_per_second = 50

[daemon]
state_dir = "{state}"
control_socket = "{socket}"
listen = ""
max_builders = 3

[defaults]
retry = {{ attempts = 5, base = "500ms", cap = "5s" }}

[[schedule]]
name = "win11-golden"
instance_id = "ecd-sim0001"
cron = ["{golden_1}", "{golden_2}"]
auto_clean_userdata = true

[[schedule]]
name = "office"
instance_ids = ["ecd-sim0002", "ecd-sim0003"]
cron = "{office}"

[[schedule]]
name = "cad-workstation"
instance_id = "ws-sim0001"
cron = "{cad}"
stop_instance = "required"

[[schedule]]
name = "build-agent"
instance_id = "ws-sim0002"
cron = "{agent}"
tags = {{ team = "平台" }}
"#,
        state = folder.join("state").display(),
        socket = folder.join("control.sock").display(),
        golden_1 = in_seconds(3),
        golden_2 = in_seconds(13),
        office = in_seconds(4),
        cad = in_seconds(6),
        agent = in_seconds(8),
    )
}

fn introduce(configuration: &str, sim: std::net::SocketAddr) {
    print_text(&format!(
        "imagebaked demo: a simulated cloud on http://{sim}, the real daemon, this configuration:\n\n{}\n\
         On the way the cloud throttles a call and loses an answer. Watch:\n\n",
        configuration.lines().map(|line| format!("    {line}\n")).collect::<String>()
    ));
}

fn setup(config_path: &Path) -> Result<Setup> {
    // Without the environment of the host: no credentials, no settings.
    let environment: BTreeMap<String, String> = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), "sim-key-id".to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), "sim-key-secret".to_owned()),
    ]
    .into();
    let loaded = config::load(config_path, &environment)
        .map_err(|problems| Failure { message: problems.render(false), exit: Exit::Failed })?;
    Ok(Setup {
        config: loaded.config,
        config_path: config_path.to_owned(),
        environment,
        clock: Arc::new(SystemClock),
        rng: fastrand::Rng::new(),
    })
}

/// Shows the history as it changes, until every slot has ended.
async fn watch(state_dir: &Path, color: bool) -> Result<Vec<BakeRow>> {
    let live = std::io::stdout().is_terminal();
    let give_up = tokio::time::Instant::now() + BOUND;
    let mut shown = 0;
    let mut report: HashMap<i64, String> = HashMap::new();
    let reader = loop {
        match Reader::open(state_dir).await {
            Ok(reader) => break reader,
            Err(error) if tokio::time::Instant::now() > give_up => return Err(error.into()),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    };
    loop {
        // The first polls may come before the tables exist.
        let rows = reader.history(&Filter { limit: 50, ..Filter::default() }).await.unwrap_or_default();
        if live {
            shown = redraw(&rows, shown, color);
        } else {
            for row in rows.iter().rev() {
                let line = line(row);
                if report.get(&row.id).map(String::as_str) != Some(line.as_str()) {
                    print_text(&format!("{} {line}\n", SystemClock.now().format("%T")));
                    report.insert(row.id, line);
                }
            }
        }
        let over = rows.len() >= SLOTS && rows.iter().all(BakeRow::is_ended);
        if over || tokio::time::Instant::now() > give_up {
            reader.close().await;
            return Ok(rows);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn line(row: &BakeRow) -> String {
    let reason = row.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("bake {} {:<16} {:<12} {}{reason}", row.id, row.schedule, row.instance_id, row.state)
}

/// Draws the table over the last one; returns its height.
fn redraw(rows: &[BakeRow], shown: usize, color: bool) -> usize {
    let table = history::table(rows, &zones(), SystemClock.now(), color);
    if shown > 0 {
        control(&format!("\u{1b}[{shown}A"));
    }
    control("\u{1b}[J");
    print_text(&table);
    table.lines().count()
}

struct Claim {
    holds: bool,
    words: String,
}

fn claims(rows: &[BakeRow], world: &Value) -> [Claim; 4] {
    let list = |name: &str| world[name].as_array().map_or(&[][..], Vec::as_slice);
    let (images, calls) = (list("images"), list("calls"));
    let of = |action: &str| calls.iter().filter(|call| call["action"] == action).count();

    let ended = rows.iter().filter(|row| row.is_ended() && row.reason.is_some()).count();
    let good = rows.iter().filter(|row| row.state == "succeeded").count();
    let accounted = Claim {
        holds: rows.len() == SLOTS && ended == SLOTS && good == SLOTS,
        words: format!(
            "{SLOTS} slots were due, {} have a row, {ended} of them ended with a reason, {good} with an image",
            rows.len()
        ),
    };

    let mut per_slot: HashMap<(&str, &str), usize> = HashMap::new();
    for image in images {
        let tag = |key: &str| image["tags"][key].as_str().unwrap_or_default();
        *per_slot.entry((tag("imagebaked:line"), tag("imagebaked:slot"))).or_default() += 1;
    }
    let most = per_slot.values().copied().max().unwrap_or_default();
    let once = Claim {
        holds: most == 1 && per_slot.len() == SLOTS,
        words: format!(
            "{} create calls, one refused and one answer lost, made {} images for {} slots, never more than {most} for one",
            of("CreateImageByInstance"),
            images.len(),
            per_slot.len()
        ),
    };

    let available = images.iter().filter(|image| image["status"] == "AVAILABLE").count();
    let deleted = of("DeleteImage");
    let kept = Claim {
        holds: deleted == 0 && available == images.len(),
        words: format!("all {available} images are there; {deleted} were deleted"),
    };

    let cad = list("instances").iter().find(|instance| instance["instance_id"] == "ws-sim0001");
    let status = cad.and_then(|instance| instance["status"].as_str()).unwrap_or("gone");
    let (stops, starts) = (of("StopWuyingServer"), of("StartWuyingServer"));
    let restarted = Claim {
        holds: stops > 0 && starts > 0 && status.eq_ignore_ascii_case("running"),
        words: format!("ws-sim0001 was stopped for its image and started afterwards; it is {status}"),
    };
    [accounted, once, kept, restarted]
}

fn daemon_failed(ended: std::result::Result<std::result::Result<(), DaemonError>, tokio::task::JoinError>) -> Failure {
    let message = match ended {
        Ok(Ok(())) => "the daemon ended before the demo did".to_owned(),
        Ok(Err(error)) => chain(&error),
        Err(error) => format!("the daemon failed: {error}"),
    };
    Failure::new(Exit::Failed, message)
}

/// The demonstration's schedules are in UTC, wherever it runs.
fn zones() -> Zones {
    Zones { host: Zone::UTC, schedules: HashMap::new() }
}
