//! `imagebaked pause SCHEDULE` and `imagebaked resume SCHEDULE`: both apply to future slots only.

use super::{
    context::Context,
    outcome::{CommandOutput, Result},
    times::end_to_come,
};
use crate::{
    adapters::control::Request,
    app::cli::{PauseArgs, ResumeArgs},
    domain::{
        clock::{Clock, SystemClock},
        time::show,
    },
};

pub async fn pause(context: &Context<'_>, args: &PauseArgs) -> Result {
    let schedule = args.schedule.name();
    let zones = context.zones_of_answer(&context.locate_daemon().await?, [schedule]).await;
    let (now, zone) = (SystemClock.now(), zones.of(schedule));
    let until = end_to_come(args.until, (zone, now))?;
    let request = Request::Pause { schedule: args.schedule.name().to_owned(), until, reason: args.reason.clone() };
    context.order(request).await?;
    let until = until.map_or_else(|| "it is resumed".to_owned(), |until| show(until, zone));
    Ok(CommandOutput::done(
        context.done(format!("{} is paused until {until}; its slots are recorded as skipped.", args.schedule.name())),
    ))
}

pub async fn resume(context: &Context<'_>, args: &ResumeArgs) -> Result {
    context.order(Request::Resume { schedule: args.schedule.name().to_owned() }).await?;
    Ok(CommandOutput::done(
        context.done(format!("{} is resumed; it bakes from its next slot on.", args.schedule.name())),
    ))
}
