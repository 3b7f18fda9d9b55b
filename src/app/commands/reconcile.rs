//! `imagebaked reconcile [--apply]`: compares history and cloud. A running daemon does it; otherwise the command does,
//! and for `--apply` takes the history's lock, so that there is never a second writer.

use std::{io, sync::Arc};

use serde_json::json;

use super::{
    context::{Context, unanswered},
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::{
    adapters::{
        config::Config,
        control::{ControlError, Reply, Request, client, who},
        store::Store,
    },
    app::{cli::ReconcileArgs, daemon},
    domain::{
        clock::{Clock, SystemClock},
        error::chain,
        ids::LineId,
        image::reconcile::{Comparison, Difference, FailedImage, NOT_IN_TAGS},
    },
};

pub async fn run(context: &Context<'_>, args: &ReconcileArgs) -> Result {
    let (config, _, _) = context.find_daemon_or_valid_file().await?;
    let request = Request::Reconcile { apply: args.apply };
    let (differences, failed) = match client::ask(&config.daemon.control_socket, &request).await {
        Ok(Reply::Reconciled { differences, failed }) => (differences, failed),
        Ok(Reply::Failed { message }) => return Err(Failure::new(Exit::Failed, message)),
        Ok(_) => return Err(Failure::new(Exit::Failed, "the daemon sent an unexpected reply")),
        Err(ControlError::Unreachable { source, .. }) if is_down(&source) => {
            let found = without_daemon(context, &config, args.apply).await?;
            (found.differences, found.failed)
        }
        Err(error) => return Err(unanswered(&request, error)),
    };
    let left = differences.iter().filter(|difference| !(args.apply && difference.is_repairable())).count();
    let exit = if left == 0 { Exit::Done } else { Exit::Failed };
    if context.json {
        let report = json!({ "equal": differences.is_empty(), "applied": args.apply, "left": left,
                             "differences": differences, "failed": failed });
        return Ok(CommandOutput { text: format!("{report}\n"), exit });
    }
    Ok(CommandOutput { text: text(&differences, args.apply) + &failed_text(&failed), exit })
}

/// No daemon listens; a forbidden socket is another case.
fn is_down(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn without_daemon(context: &Context<'_>, config: &Config, apply: bool) -> Result<Comparison> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::new(Exit::Failed, chain(error));
    let cloud = daemon::client(config, &context.environment, &clock)
        .map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
    // Also with `--apply`: a database created here would belong to this user, not to the daemon.
    let reader = context.reader(config).await?;
    if !apply {
        let found = daemon::compare_history(&cloud, &reader, config, clock.now()).await.map_err(|error| failed(&error));
        reader.close().await;
        return found;
    }
    reader.close().await;
    let store = Store::open(&config.daemon.state_dir).await?;
    let found = async {
        let found = daemon::compare_history(&cloud, store.reader(), config, clock.now())
            .await
            .map_err(|error| failed(&error))?;
        let who = format!("{}, without the daemon", who::oneself());
        store.rebuild(&found, &who, &config.hash, clock.now()).await?;
        Ok(found)
    };
    let found = found.await;
    store.close().await;
    found
}

fn failed_text(failed: &[FailedImage]) -> String {
    if failed.is_empty() {
        return String::new();
    }
    let mut text =
        "Images of ours that the cloud lists as CREATE_FAILED; see `imagebaked images --failed`:\n".to_owned();
    for image in failed {
        let line = image.line.as_ref().map_or("a line that its tags do not show", LineId::as_str);
        let bake = image.bake.map_or_else(|| "no row".to_owned(), |bake| format!("bake {bake}"));
        text.push_str(&format!("  - {} ({}) of {line}: {bake}\n", image.image_id, image.image_name));
    }
    text
}

fn text(differences: &[Difference], applied: bool) -> String {
    if differences.is_empty() {
        return "History and cloud agree.\n".to_owned();
    }
    let (repairable, others): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| difference.is_repairable());
    let adds_images = repairable.iter().any(|one| matches!(one, Difference::Unrecorded { .. }));
    let mut text = String::new();
    for (heading, differences) in [
        (if applied { "Added to the history:" } else { "--apply adds to the history:" }, repairable),
        ("For a person to check; nothing is ever deleted:", others),
    ] {
        if !differences.is_empty() {
            text.push_str(&format!("{heading}\n"));
            text.extend(differences.iter().map(|difference| format!("  - {difference}\n")));
        }
    }
    if adds_images {
        text.push_str(&format!("Note: {NOT_IN_TAGS}.\n"));
    }
    text
}
