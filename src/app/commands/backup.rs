//! `imagebaked backup FILE` and `imagebaked restore FILE`: copies the history while the daemon runs, and restores it
//! while it does not.

use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use super::{
    atomic,
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
    output::{bytes, grouped, short},
    terminal::progress,
};
use crate::{
    adapters::{
        config::Config,
        control::who,
        store::{
            self, BackupError, BackupFolder, Checksum, DATABASE_FILE, LostDecision, Rows, SinceBackup, Sound,
            StoreError,
        },
    },
    app::cli::{BackupArgs, RestoreArgs},
    domain::{
        calendar::zone::Zone,
        clock::{Clock, SystemClock},
        error::chain,
        suggestion::ConfigOption,
        text::counted,
        time::show,
    },
};

/// Maximum number of lost decisions in the answer of `restore`.
const LISTED: usize = 15;

pub async fn backup(context: &Context<'_>, args: &BackupArgs) -> Result {
    let begun = Instant::now();
    let config = context.locate_daemon().await?;
    let reader = context.reader_of_any_version(&config).await?;
    keep_off(&args.file, &config.daemon.state_dir)?;
    let file = atomic::begin(&args.file, args.force, atomic::PRIVATE)?;
    // Only of a backup that is replaced as well.
    drop(atomic::begin(&store::checksum_file(&args.file), args.force, atomic::PRIVATE)?);
    let copied = reader.back_up(&file.part(), &progress).await;
    reader.close().await;
    let sound = copied?;
    // A crash in between leaves a backup without a checksum, and never one with another's.
    store::remove_checksum(&args.file)?;
    atomic::finish(file, &args.file)?;
    let checksum = store::write_checksum(&args.file, atomic::PRIVATE)?;
    store::verify_checksum(&args.file)?;
    if context.json {
        let report = json!({
            "file": args.file, "bytes": sound.bytes, "migration": sound.migration, "rows": sound.rows,
            "checksum": checksum, "seconds": begun.elapsed().as_secs_f64(),
        });
        return Ok(CommandOutput::done(format!("{}\n", json!({ "backup": report }))));
    }
    let (size, rows, took) = (bytes(sound.bytes), rows(&sound.rows), short(begun.elapsed()));
    Ok(CommandOutput::done(format!(
        "{}: {size}, {rows}; verified. It took {took}.\nIts checksum, which restore compares, is {}.\n",
        args.file.display(),
        checksum.display()
    )))
}

pub async fn restore(context: &Context<'_>, args: &RestoreArgs) -> Result {
    let begun = Instant::now();
    let config = context.locate_daemon().await?;
    let who = format!("{}, without the daemon", who::oneself());
    let state_dir = &config.daemon.state_dir;
    let restored = store::restore(state_dir, &args.file, &who, SystemClock.now(), &progress).await?;
    if context.json {
        let mut report = restore_report(&restored.history, restored.kept.as_deref(), begun);
        report["checksum"] = restored.checksum.map(Checksum::as_str).into();
        report["altered_settings"] = restored.altered_settings.into();
        report["since"] = serde_json::to_value(&restored.since)?;
        return Ok(CommandOutput::done(format!("{}\n", json!({ "restore": report }))));
    }
    let what = format!("The history in {} is that of {} again", state_dir.display(), args.file.display());
    let zone = context.zones_of_answer(&config, []).await.main;
    let lost = since_backup(&restored.since, zone);
    let text = taken_over(&what, &restored, begun) + &ConfigOption::new(context.config_path).in_text(&lost);
    Ok(CommandOutput::done(text))
}

/// What people decided after the backup: what was taken over, and what has to be decided again.
fn since_backup(since: &SinceBackup, zone: Zone) -> String {
    let mut text = match since.ends_at {
        Some(at) => format!("The backup ends {}. ", show(at, zone)),
        None => String::new(),
    };
    match (&since.unread, since.pins + since.vetoes) {
        (Some(why), _) => text.push_str(&format!(
            "What people decided since then is lost: pins, vetoes, channels, acknowledgements, pauses. It is not known what that \
             is: {why}.\n"
        )),
        (None, 0) if since.lost.is_empty() => text.push_str("Nothing that people decided since then is lost.\n"),
        (None, 0) => {}
        (None, _) => text.push_str(&format!(
            "Taken over from the former history: pins {}, vetoes {}.\n",
            since.pins, since.vetoes
        )),
    }
    if !since.lost.is_empty() {
        text.push_str("Not as it was; once the daemon runs, decide again:\n");
        for LostDecision { what, command } in since.lost.iter().take(LISTED) {
            text.push_str(&format!("  - {what}: {command}\n"));
        }
        let more = since.lost.len().saturating_sub(LISTED);
        if more > 0 {
            text.push_str(&format!("  … and {more} more; --json has all\n"));
        }
    }
    text.push_str(
        "Marks begin anew: no image is deleted before a whole grace has passed from the start of the daemon on.\n",
    );
    text
}

/// The command that restores the newest scheduled backup; `None` where there is none.
pub fn restore_newest(config: &Config) -> Option<String> {
    let settings = config.daemon.backup.as_ref()?;
    let folder = BackupFolder::new(&settings.dir, &config.daemon.owner);
    let newest = folder.newest_of_anybody(SystemClock.now()).ok().flatten()?;
    Some(format!("imagebaked restore {}", settings.dir.join(newest.name).display()))
}

/// JSON report of `restore` and `import`.
pub fn restore_report(sound: &Sound, kept: Option<&Path>, begun: Instant) -> Value {
    json!({
        "bytes": sound.bytes, "migration": sound.migration, "rows": sound.rows, "kept": kept,
        "seconds": begun.elapsed().as_secs_f64(),
    })
}

/// Text report of `restore` and `import`. The last sentence matters: it prevents a second image of a slot.
pub fn taken_over(what: &str, restored: &store::Restored, begun: Instant) -> String {
    let took = short(begun.elapsed());
    let mut text = format!("{what}: {}. It took {took}.\n", rows(&restored.history.rows));
    if let Some(kept) = &restored.kept {
        text.push_str(&format!("The former history is kept as {}.\n", kept.display()));
    }
    if restored.checksum == Some(Checksum::Missing) {
        text.push_str(
            "It had no checksum (.sha256 beside it): its pages, schema, numbers and states were checked, but a changed byte in a \
             text or a row that was left out is not noticed.\n",
        );
    }
    if restored.altered_settings > 0 {
        text.push_str(&format!(
            "Not as they were written, by their checksums in the history: {}. Bakes that are not over go on by them: check \
             `imagebaked show BAKE`.\n",
            counted(restored.altered_settings, "set of settings", "sets of settings")
        ));
    }
    text.push_str(
        "The daemon compares it with the cloud when it starts, and adds what was baked since, before it starts any bake: \
         what `imagebaked reconcile --apply` does.\n",
    );
    text
}

/// `12 bakes, 345 rows in all`.
pub fn rows(rows: &Rows) -> String {
    let bakes = rows.get("bakes").copied().unwrap_or_default();
    let rows = rows.values().sum();
    let (bake, row) = (if bakes == 1 { "bake" } else { "bakes" }, if rows == 1 { "row" } else { "rows" });
    format!("{} {bake}, {} {row} in all", grouped(bakes), grouped(rows))
}

/// A backup must not replace a file of the history.
fn keep_off(target: &Path, state_dir: &Path) -> Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = matches!((folder.canonicalize(), state_dir.canonicalize()), (Ok(one), Ok(other)) if one == other);
    let own = ["", "-wal", "-shm", "-journal"].map(|suffix| format!("{DATABASE_FILE}{suffix}"));
    if inside && target.file_name().is_some_and(|name| name == "lock" || own.iter().any(|own| name == own.as_str())) {
        return Err(Failure::new(Exit::Usage, format!("{} is the daemon's own; choose another", target.display())));
    }
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = match &error {
            BackupError::File { step: "read", source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Exit::NotFound
            }
            BackupError::Store(StoreError::Missing { .. }) => Exit::NotFound,
            _ => Exit::Failed,
        };
        Self::new(exit, chain(&error))
    }
}
