//! `imagebaked retry BAKE` and `imagebaked cancel BAKE`.

use super::{Context, Result, Said, bake};
use crate::{
    cli::{CancelArgs, RetryArgs},
    control::Request,
};

pub async fn retry(context: &Context<'_>, args: &RetryArgs) -> Result {
    let config = context.whereabouts()?;
    bake::ask(context, &config, Request::Retry { bake: args.bake }, args.wait).await
}

pub async fn cancel(context: &Context<'_>, args: &CancelArgs) -> Result {
    context.order(Request::Cancel { bake: args.bake }).await?;
    Ok(Said::done(context.done(format!("Bake {} is cancelled.", args.bake))))
}
