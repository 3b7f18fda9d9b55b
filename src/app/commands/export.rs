//! `imagebaked export [FILE]` and `imagebaked import FILE`: the whole history as one JSON document.

use std::{
    io::{self, BufWriter, Read},
    path::Path,
    time::Instant,
};

use serde_json::json;

use super::{
    atomic,
    backup::{restore_report, rows, taken_over},
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::short,
    presence::Presence,
    terminal::{print_error, progress},
};
use crate::{
    adapters::{
        config::Config,
        files::open_regular,
        store::{self, Reader, TransferError},
    },
    app::cli::{ExportArgs, ImportArgs},
    domain::{
        clock::{Clock, SystemClock},
        error::chain,
    },
};

/// Buffer size.
const BUFFER: usize = 1 << 16;

pub async fn export(context: &Context<'_>, args: &ExportArgs) -> Result {
    let begun = Instant::now();
    let (config, presence) = context.find_daemon().await?;
    let reader = context.reader_of_any_version(&config).await?;
    report_unfollowed(context, &config, &presence, &reader).await;
    if args.file == Path::new("-") {
        let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
        let exported = reader.export(&mut out, &progress).await;
        reader.close().await;
        return match exported {
            // A closed output is no error.
            Err(TransferError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(CommandOutput::done(String::new()))
            }
            exported => Ok(exported.map(|_| CommandOutput::done(String::new()))?),
        };
    }
    let file = atomic::begin(&args.file, args.force, atomic::PRIVATE)?;
    let mut out = BufWriter::with_capacity(BUFFER, file.file());
    let exported = reader.export(&mut out, &progress).await;
    drop(out);
    reader.close().await;
    let exported = exported?;
    atomic::finish(file, &args.file)?;
    if context.json {
        let report = json!({ "file": args.file, "rows": exported, "seconds": begun.elapsed().as_secs_f64() });
        return Ok(CommandOutput::done(format!("{}\n", json!({ "export": report }))));
    }
    let (rows, took) = (rows(&exported), short(begun.elapsed()));
    Ok(CommandOutput::done(format!("{}: {rows}. It took {took}.\n", args.file.display())))
}

/// The document has open bakes as the last daemon left them.
async fn report_unfollowed(context: &Context<'_>, config: &Config, presence: &Presence, reader: &Reader) {
    if let (Some(unfollowed), Ok(true)) = (presence.unfollowed(reader), reader.has_open_bake().await) {
        let zone = context.zones_of_answer(config, []).await.main;
        print_error(&format!("warning: {}", unfollowed.describe("the open bakes", zone)));
    }
}

pub async fn import(context: &Context<'_>, args: &ImportArgs) -> Result {
    let begun = Instant::now();
    let config = context.locate_daemon().await?;
    let input: Box<dyn Read + Send> = if args.file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(open_regular(&args.file).map_err(|error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
            let is_pipe = error.kind() == io::ErrorKind::InvalidInput;
            let hint = if is_pipe { "; `imagebaked import -` reads standard input" } else { "" };
            Failure::new(exit, format!("cannot read {}: {error}{hint}", args.file.display()))
        })?)
    };
    let state_dir = &config.daemon.state_dir;
    let imported = store::import(state_dir, input, SystemClock.now(), &progress).await?;
    if context.json {
        let report = restore_report(&imported.history, imported.kept.as_deref(), begun);
        return Ok(CommandOutput::done(format!("{}\n", json!({ "import": report }))));
    }
    let what = format!("The history in {} is that of the export", state_dir.display());
    Ok(CommandOutput::done(taken_over(&what, &imported, begun)))
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::File(error) => error.into(),
            error => Self::new(Exit::Failed, chain(&error)),
        }
    }
}
