//! `imagebaked images`: the good images of each line, by the ledger.

use serde_json::json;

use super::{
    Context, Exit, Failure, Result, Said, known_schedule,
    output::{NONE, Rows, relative, utc},
};
use crate::{
    cli::ImagesArgs,
    clock::{Clock, SystemClock},
    store::rfc3339,
};

pub async fn run(context: &Context<'_>, args: &ImagesArgs) -> Result {
    let config = context.whereabouts()?;
    let reader = context.reader(&config).await?;
    // One more than is shown, to know whether there are more.
    let limit = (!context.json).then(|| args.limit.saturating_add(1));
    let mut images = reader.images(args.schedule.as_deref(), limit).await?;
    if let (true, Some(schedule)) = (images.is_empty(), &args.schedule) {
        known_schedule(&config, &reader, schedule).await?;
    }
    reader.close().await;
    if context.json {
        let images: Vec<_> = images
            .iter()
            .map(|row| {
                json!({
                    "image_id": row.image_id, "version_id": row.version_id, "image_name": row.image_name,
                    "version": row.version, "line": row.line_id, "schedule": row.schedule,
                    "instance_id": row.instance_id, "slot": rfc3339(row.slot), "bake": row.id,
                    "finished_at": row.finished_at.map(rfc3339),
                })
            })
            .collect();
        return Ok(Said::done(format!("{}\n", json!({ "images": images }))));
    }
    if images.is_empty() {
        return match &args.schedule {
            Some(schedule) => Err(Failure::new(
                Exit::NotFound,
                format!("no good image of {schedule:?} is recorded; see `imagebaked history --schedule {schedule}`"),
            )),
            None => Ok(Said::done("No good image is recorded yet.\n".to_owned())),
        };
    }
    let shown = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = images.len() > shown;
    images.truncate(shown);
    let now = SystemClock.now();
    let mut rows = Rows::new(&["LINE", "V", "IMAGE", "NAME", "SLOT", "AGE", "BAKE"], context.color);
    for row in images {
        rows.row([
            row.line_id.clone(),
            row.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            row.image_id.clone().unwrap_or_default(),
            row.image_name.clone().unwrap_or_default(),
            utc(row.slot()),
            relative(row.slot(), now),
            row.id.to_string(),
        ]);
    }
    let mut text = rows.render();
    if more {
        text.push_str("… and more; name a schedule, or see --limit and --json.\n");
    }
    Ok(Said::done(text))
}
