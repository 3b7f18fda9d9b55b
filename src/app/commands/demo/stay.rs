//! `imagebaked demo --dir DIR --stay`: a trial that goes on until the user ends it, and that goes on where it was when it
//! is started again. It needs no privileges.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use super::{
    super::{
        outcome::{CommandOutput, Exit, Failure, Result},
        terminal::print_text,
    },
    configuration,
    place::{Place, RunningDaemon, daemon_failed, listen, signals, start},
};
use crate::{
    adapters::config,
    sim::{Options, RunningSimulator},
};

/// Where simulator and page listen if these are free.
const SIMULATOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8480);
const PAGE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8490);

pub(super) async fn run(folder: &Path) -> Result {
    let place = Place::new(folder);
    let sim = world(&place, folder).await?;
    let loaded = config::load(&place.config, &BTreeMap::new())
        .map_err(|problems| Failure { message: problems.render(false), exit: Exit::Usage })?;
    let mut interrupted = signals()?;
    let mut daemon = RunningDaemon::start(&place)?;
    let command = place.command();
    let page = loaded.config.daemon.listen.map_or_else(String::new, |page| format!(" Its page: http://{page}"));
    print_text(&format!(
        "A simulated cloud and the real daemon run until Ctrl-C; the same command goes on\nwith them.{page}\n\n\
         In another terminal:\n  {command} status\n  {command} bake win11-golden --wait\n  {command} why office\n\n\
         Edit {}, then:\n  {command} reload\n",
        place.typed.display()
    ));
    tokio::select! {
        _ = interrupted.recv() => {}
        ended = &mut daemon.task => return Err(daemon_failed(ended)),
    }
    daemon.stop().await?;
    sim.stop().await;
    Ok(CommandOutput::done(String::new()))
}

/// The simulator of the trial in this folder; a new trial is written first.
async fn world(place: &Place, folder: &Path) -> Result<RunningSimulator> {
    let options = Options {
        build_time: Duration::from_secs(20),
        power_time: Duration::from_secs(3),
        state: Some(folder.join("cloud.json")),
        ..Options::default()
    };
    if !place.config.exists() {
        let listener = listen(Some(SIMULATOR)).await?;
        let addr = listener.local_addr().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        // Free now; the daemon binds it in a moment.
        let page = listen(Some(PAGE)).await?.local_addr().unwrap_or(PAGE);
        place.write(&configuration::of_the_trial(folder, addr, page))?;
        return start(listener, options);
    }
    let loaded = config::load(&place.config, &BTreeMap::new())
        .map_err(|problems| Failure { message: problems.render(false), exit: Exit::Usage })?;
    let endpoint = loaded.config.cloud.endpoint.unwrap_or_default();
    let addr: SocketAddr = endpoint.trim_start_matches("http://").trim_end_matches('/').parse().map_err(|_| {
        let message = format!("{} is no trial: its endpoint is no address of a simulator", place.config.display());
        Failure::new(Exit::Usage, message)
    })?;
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot listen on {addr}, as {} says: {error}", place.config.display()))
    })?;
    start(listener, options)
}
