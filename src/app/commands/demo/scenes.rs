//! The scenes of the show: bakes, a failure, retention, a rollback. Each shows a command with its output.

use std::collections::BTreeMap;

use clap::FromArgMatches as _;

use super::{
    super::{
        context::Context,
        outcome::{CommandOutput, Exit, Failure, Result, refused},
        table::wrapped,
        terminal::print_text,
        {channels, images, why},
    },
    claims::of,
    place::Place,
    watch::{BOUND, POLL_INTERVAL, reader, watch},
};
use crate::{
    adapters::{
        control::{Reply, Request, client},
        store::{BakeRow, Reader},
    },
    app::cli::{self, Cli, Command},
    sim::RunningSimulator,
};

/// The schedule with retention and a channel.
const GOLDEN: &str = "win11-golden";

/// Plays all scenes; returns the bakes.
pub(super) async fn play(context: &Context<'_>, place: &Place, sim: &RunningSimulator) -> Result<Vec<BakeRow>> {
    let reader = reader(&place.state).await?;
    let rows = watch(&reader, context.color).await?;
    let on = Context { config_path: &place.config, environment: BTreeMap::new(), json: false, color: context.color };

    print_text("\nOne bake failed. Why?\n\n");
    scene(&on, &["why", "build-agent"]).await?;

    until("retention", async || {
        let deleted = of(&sim.state(), "calls").iter().filter(|call| call["action"] == "DeleteImage").count();
        Ok(deleted >= 2 && prod(&reader).await? == Some(4))
    })
    .await?;
    print_text("\nRetention: of four images keep = { last = 2 } deleted two, after their grace.\n\n");
    scene(&on, &["images", GOLDEN]).await?;

    print_text("\nThe channel `prod` followed by itself. Say that v4 is no good:\n\n");
    print_text(&format!("$ imagebaked rollback {GOLDEN} prod --reason \"no sound\"\n"));
    let request = Request::Rollback {
        schedule: GOLDEN.to_owned(),
        instance: None,
        channel: "prod".to_owned(),
        reason: "no sound".to_owned(),
    };
    match client::ask(&place.socket, &request).await? {
        Reply::CommandOutput { sentences } => print_text(&wrapped(&format!("{}\n\n", sentences.join("\n")), 2)),
        other => return Err(refused(other)),
    }
    scene(&on, &["channels", GOLDEN]).await?;
    reader.close().await;
    Ok(rows)
}

/// The version that the channel `prod` points to.
async fn prod(reader: &Reader) -> Result<Option<i64>> {
    let channels = reader.channels(Some(GOLDEN)).await?;
    Ok(channels.iter().find(|row| row.channel == "prod").and_then(|row| row.version))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let give_up = tokio::time::Instant::now() + BOUND;
    while !is_so().await? {
        if tokio::time::Instant::now() > give_up {
            return Err(Failure::new(Exit::Failed, format!("waited for {what} in vain")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// A command as a user types it, and its output.
async fn scene(context: &Context<'_>, words: &[&str]) -> Result<()> {
    print_text(&format!("$ imagebaked {}\n", words.join(" ")));
    let words = std::iter::once("imagebaked").chain(words.iter().copied());
    let parsed = cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = parsed.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let CommandOutput { text, .. } = match &cli.command {
        Command::Why(args) => why::run(context, args).await?,
        Command::Images(args) => images::run(context, args).await?,
        Command::Channels(args) => channels::run(context, args).await?,
        _ => return Err(Failure::new(Exit::Failed, "the demo does not show this command")),
    };
    print_text(&text);
    Ok(())
}
