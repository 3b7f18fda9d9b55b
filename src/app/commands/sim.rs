//! `imagebaked sim`: the simulator of the cloud alone.

use std::{io, path::Path, sync::Arc};

use tokio::net::TcpListener;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    terminal::print_text,
};
use crate::{
    adapters::files::{open_regular, read_regular},
    app::{cli::SimArgs, daemon::Signals},
    domain::{clock::SystemClock, error::chain},
    sim::{FaultPlan, InstanceKind, InstanceSpec, Options, Simulator},
};

/// Maximum size of a file of instances or faults.
const LARGEST: u64 = 16 << 20;

pub async fn run(context: &Context<'_>, args: &SimArgs) -> Result {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::new(
            Exit::Usage,
            format!("the simulator speaks plain HTTP and listens on loopback only, not on {}", args.listen),
        ));
    }
    let mut options = Options {
        access_key_id: args.access_key_id.clone(),
        session_life: args.session_life,
        build_time: args.build_time,
        power_time: args.power_time,
        builder_quota: args.builders as usize,
        image_quota: args.images.map(|images| images as usize),
        requests_per_second: args.requests_per_second,
        open: args.open,
        lenient: args.lenient,
        gmt_zone: args.gmt_zone,
        state: args.state.clone(),
        ..Options::default()
    };
    let mut secret = "sim-key-secret";
    if let Some(own) = context.environment.get("SIM_ACCESS_KEY_SECRET") {
        options.access_key_secret = own.as_str().into();
        secret = "…, as SIM_ACCESS_KEY_SECRET says";
    }
    if args.no_instances {
        options.instances.clear();
    }
    if let Some(path) = &args.instances {
        let text = text(path)?;
        let instances = InstanceSpec::parse_all(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {}", path.display(), chain(&error))))?;
        options.instances.extend(instances);
    }
    for id in &args.instance {
        options.instances.push(instance(id)?);
    }
    if let Some(path) = &args.faults {
        let text = text(path)?;
        options.faults = FaultPlan::parse(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {}", path.display(), chain(&error))))?;
    }
    // One that is not there yet is made.
    if let Some(state) = args.state.as_ref().filter(|state| state.exists() || state.is_symlink()) {
        open_regular(state).map_err(|error| unreadable(state, &error))?;
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot listen on {}: {error}", args.listen)))?;
    let mut asked = Signals::new()
        .map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}")))?
        .receive();
    let sim = Simulator::start(listener, options, Arc::new(SystemClock))
        .map_err(|error| Failure::new(Exit::Failed, chain(&error)))?;
    let at = sim.addr();
    print_text(&format!(
        "The simulator listens on http://{at}; key id {id}, state at http://{at}/_sim/state. Ctrl-C stops it.\n\
         In the configuration: [cloud] endpoint = \"http://{at}\".\n\
         In the environment: ALIBABA_CLOUD_ACCESS_KEY_ID={id} ALIBABA_CLOUD_ACCESS_KEY_SECRET={secret}\n",
        id = args.access_key_id
    ));
    let _ = asked.recv().await;
    sim.stop().await;
    Ok(CommandOutput::done(String::new()))
}

fn text(path: &Path) -> Result<String> {
    let bytes = read_regular(path, LARGEST).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, format!("{} is not UTF-8", path.display())))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display()))
}

fn instance(id: &str) -> Result<InstanceSpec> {
    let instance_type = match id.split_once('-') {
        Some(("ecd", _)) => InstanceKind::CloudDesktop,
        Some(("ws", _)) => InstanceKind::WuyingServer,
        _ => {
            return Err(Failure::new(
                Exit::Usage,
                format!("--instance {id:?}: cloud desktops are called ecd-…, workstations ws-…"),
            ));
        }
    };
    Ok(InstanceSpec::running(id, instance_type))
}
