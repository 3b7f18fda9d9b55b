//! `imagebaked adopt SCHEDULE IMAGE…`: assigns images to the line of a schedule.

use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result, refused},
    output::{NONE, Rows},
};
use crate::{
    adapters::control::{Reply, Request, Wanted},
    app::cli::AdoptArgs,
    domain::{ids::ImageId, image::report::Adopted},
};

pub async fn run(context: &Context<'_>, args: &AdoptArgs) -> Result {
    let config = context.locate_daemon().await?;
    let images = args.schedule.others(&args.images);
    let is_by_id = args.name.is_none() && args.tag.is_none();
    if is_by_id == images.is_empty() {
        let message = "adopt takes images by id, or all with --name or with --tag: imagebaked adopt SCHEDULE IMAGE";
        return Err(Failure::new(Exit::Usage, message));
    }
    let wanted = match (&args.name, &args.tag) {
        (Some(name), _) => Wanted::Name(name.clone()),
        (None, Some(tag)) => match tag.split_once('=') {
            Some(("", _) | (_, "")) | None => {
                return Err(Failure::new(Exit::Usage, format!("a tag is written KEY=VALUE, unlike {tag:?}")));
            }
            Some((key, value)) => Wanted::Tag(key.to_owned(), value.to_owned()),
        },
        (None, None) => Wanted::Images(images.into_iter().map(ImageId::from).collect()),
    };
    let request = Request::Adopt {
        schedule: args.schedule.name().to_owned(),
        instance: args.instance.as_deref().map(Into::into),
        wanted,
        dry_run: args.dry_run,
    };
    let images = match context.ask(&config, request).await? {
        Reply::Adopted { images } => images,
        other => return Err(refused(other)),
    };
    let exit = if images.iter().any(|image| image.obstacle.is_none()) { Exit::Done } else { Exit::Failed };
    let text = if context.json {
        format!("{}\n", json!({ "dry_run": args.dry_run, "images": images }))
    } else {
        text(context, &images, args.dry_run)
    };
    Ok(CommandOutput { text, exit })
}

fn text(context: &Context<'_>, images: &[Adopted], dry_run: bool) -> String {
    let mut rows = Rows::new(&["IMAGE", "NAME", "LINE", "V", "NOTE"], context.color);
    for image in images {
        let note = match &image.obstacle {
            Some(obstacle) => format!("not adopted: {obstacle}"),
            None if !image.ours => "adopted; not ours by its tags, so rules neither count nor delete it".to_owned(),
            None => "adopted".to_owned(),
        };
        let note = match &image.from {
            Some(from) => format!("{note}; it leaves {from}"),
            None => note,
        };
        let note = if dry_run { note.replacen("adopted", "to be adopted", 1) } else { note };
        rows.row([
            image.image_id.to_string(),
            image.image_name.clone(),
            image.line.to_string(),
            image.version.map_or_else(|| NONE.to_owned(), |version| version.to_string()),
            note,
        ]);
    }
    let mut text = rows.render();
    if dry_run {
        text.push_str("Nothing was done yet: leave --dry-run out.\n");
    }
    text
}
