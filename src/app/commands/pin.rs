//! `imagebaked pin IMAGE`, `unpin IMAGE`, `undelete IMAGE`: overrides the rules for one image.

use super::{
    context::Context,
    outcome::{CommandOutput, Result},
    times::end_to_come,
};
use crate::{
    adapters::control::Request,
    app::cli::{ImageArgs, PinArgs},
    domain::{
        clock::{Clock, SystemClock},
        time::show,
    },
};

pub async fn pin(context: &Context<'_>, args: &PinArgs) -> Result {
    let zones = context.zones_of_answer(&context.locate_daemon().await?, []).await;
    let (now, zone) = (SystemClock.now(), zones.main);
    let until = end_to_come(args.until, (zone, now))?;
    let request = Request::Pin { image: args.image.as_str().into(), until, reason: args.reason.clone() };
    context.order(request).await?;
    let until = until.map_or_else(|| "it is unpinned".to_owned(), |until| show(until, zone));
    Ok(CommandOutput::done(context.done(format!("{} is kept until {until}, whatever the rules are.", args.image))))
}

pub async fn unpin(context: &Context<'_>, args: &ImageArgs) -> Result {
    context.order(Request::Unpin { image: args.image.as_str().into() }).await?;
    Ok(CommandOutput::done(context.done(format!("{} is no longer pinned; the rules decide.", args.image))))
}

pub async fn undelete(context: &Context<'_>, args: &ImageArgs) -> Result {
    context.order(Request::Undelete { image: args.image.as_str().into() }).await?;
    let words = format!("{} is not deleted; it is pinned until `imagebaked unpin {}`.", args.image, args.image);
    Ok(CommandOutput::done(context.done(words)))
}
