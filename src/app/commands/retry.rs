//! `imagebaked retry BAKE` and `imagebaked cancel BAKE`.

use super::{
    bake,
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::{
    adapters::control::Request,
    app::cli::{CancelArgs, RetryArgs, RetryStage},
};

pub async fn retry(context: &Context<'_>, args: &RetryArgs) -> Result {
    if args.stage == RetryStage::Distribute {
        if args.wait {
            let words =
                format!("--wait follows bakes; `imagebaked show {}` shows the progress of the copies", args.bake);
            return Err(Failure::new(Exit::Usage, words));
        }
        return context.print_text(Request::RetryCopies { bake: args.bake }).await;
    }
    let config = context.locate_daemon().await?;
    bake::ask(context, &config, Request::Retry { bake: args.bake }, args.wait).await
}

pub async fn cancel(context: &Context<'_>, args: &CancelArgs) -> Result {
    context.order(Request::Cancel { bake: args.bake }).await?;
    Ok(CommandOutput::done(context.done(format!("Bake {} is cancelled.", args.bake))))
}
