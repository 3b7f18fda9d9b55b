//! `imagebaked sim`: the simulator of the cloud alone.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    terminal::print_text,
};
use crate::{
    app::{cli::SimArgs, daemon::Signals},
    domain::{clock::SystemClock, error::chain},
    sim::{FaultPlan, InstanceKind, InstanceSpec, Options, Simulator},
};

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
        gmt_zone: args.gmt_zone,
        state: args.state.clone(),
        ..Options::default()
    };
    let mut secret = "sim-key-secret";
    if let Some(own) = context.environment.get("SIM_ACCESS_KEY_SECRET") {
        options.access_key_secret = own.as_str().into();
        secret = "…, as SIM_ACCESS_KEY_SECRET says";
    }
    for id in &args.instance {
        options.instances.push(instance(id)?);
    }
    if let Some(path) = &args.faults {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display())))?;
        options.faults = FaultPlan::parse(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {}", path.display(), chain(&error))))?;
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
