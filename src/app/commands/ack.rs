//! `imagebaked ack CODE [SUBJECT]` and `imagebaked unack CODE [SUBJECT]`: a person knows of a problem.

use super::{
    context::Context,
    outcome::{Exit, Failure, Result},
    times::end_to_come,
};
use crate::{
    adapters::control::Request,
    app::cli::{AckArgs, UnackArgs},
    domain::clock::{Clock, SystemClock},
};

pub async fn ack(context: &Context<'_>, args: &AckArgs) -> Result {
    if args.reason.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "the reason is empty; say why nobody has to act: --reason TEXT"));
    }
    let zones = context.zones_of_answer(&context.locate_daemon().await?, []).await;
    let (now, zone) = (SystemClock.now(), zones.main);
    let until = end_to_come(args.until, (zone, now))?;
    let (code, subject, reason) = (args.code, args.subject.clone(), args.reason.trim().to_owned());
    context.print_text(Request::Acknowledge { code, subject, until, reason }).await
}

pub async fn unack(context: &Context<'_>, args: &UnackArgs) -> Result {
    context.print_text(Request::Unacknowledge { code: args.code, subject: args.subject.clone() }).await
}
