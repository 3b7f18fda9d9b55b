//! `imagebaked crontab import`: prints `[[schedule]]` tables for the lines of a crontab that name an instance. It never
//! writes; a person reads the result first.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::schedules,
    terminal::print_error,
};
use crate::{
    adapters::config::{
        self,
        crontab::{self, Entry},
    },
    app::cli::CrontabImportArgs,
};

/// Maximum bytes of a crontab.
const LARGEST: u64 = 1 << 20;

pub fn import(context: &Context<'_>, args: &CrontabImportArgs) -> Result {
    let text = text(&args.file)?;
    let zone = args.timezone.unwrap_or_else(|| context.host_zone());
    let entries = crontab::read(&text, zone, args.system);
    let found: Vec<_> =
        entries.iter().filter_map(|entry| if let Entry::Schedule(it) = entry { Some(it) } else { None }).collect();
    let left_out: Vec<_> =
        entries.iter().filter_map(|entry| if let Entry::LeftOut(it) = entry { Some(it) } else { None }).collect();
    if found.is_empty() {
        print_error("warning: no line names an instance (ecd-… or ws-…)");
    }
    if context.json {
        return Ok(CommandOutput::done(format!("{}\n", json!({ "schedules": found, "left_out": left_out }))));
    }
    let left = match left_out.len() {
        0 => String::new(),
        1 => "; 1 line left out".to_owned(),
        n => format!("; {n} lines left out"),
    };
    Ok(CommandOutput::done(format!(
        "# {} from a crontab{left}. Options of the commands are kept where there is a key for them.\n\
         # Check each schedule, above all its `stop_instance`, `disk_type` and `instance_region`, then try\n\
         # `imagebaked check` and take its line out of the crontab.\n\n{}",
        schedules(found.len()),
        crontab::toml(&entries)
    )))
}

fn text(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        if io::stdin().is_terminal() {
            let message = "name a file, or pipe one in: crontab -l | imagebaked crontab import";
            return Err(Failure::new(Exit::Usage, message));
        }
        io::stdin()
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot read standard input: {error}")))?;
    } else {
        // A pipe is read as well, if it ends.
        bytes = match config::read_bounded(file, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let message = format!("{} is a pipe that did not end within 5 s", file.display());
                return Err(Failure::new(Exit::Failed, message));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(too_large(file)),
            read => read.map_err(|error| {
                let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
                Failure::new(exit, format!("cannot read {}: {error}", file.display()))
            })?,
        };
    }
    if bytes.len() as u64 > LARGEST {
        return Err(too_large(file));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn too_large(file: &Path) -> Failure {
    let message = format!("{} is larger than {} MiB, which no crontab is", file.display(), LARGEST >> 20);
    Failure::new(Exit::Usage, message)
}
