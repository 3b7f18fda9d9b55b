//! `imagebaked bake SCHEDULE [--wait]`: now, by the daemon, recorded as manual.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Context, Exit, Result, Said, refused, say};
use crate::{
    cli::BakeArgs,
    config::Config,
    control::{Reply, Request},
    ids::BakeId,
};

pub async fn run(context: &Context<'_>, args: &BakeArgs) -> Result {
    let config = context.whereabouts()?;
    ask(context, &config, Request::Bake { schedule: args.schedule.clone() }, args.wait).await
}

/// Asks for bakes, and stays until they are over where that is wanted.
pub async fn ask(context: &Context<'_>, config: &Config, request: Request, wait: bool) -> Result {
    let bakes = match context.ask(config, request).await? {
        Reply::Bakes { bakes } => bakes,
        other => return Err(refused(other)),
    };
    if wait {
        return follow(context, config, bakes).await;
    }
    if context.json {
        let bakes: Vec<_> = bakes.iter().map(|id| json!({ "id": id })).collect();
        return Ok(Said::done(format!("{}\n", json!({ "bakes": bakes }))));
    }
    let text =
        bakes.iter().map(|id| format!("Bake {id} is recorded; follow it with `imagebaked show {id}`.\n")).collect();
    Ok(Said::done(text))
}

/// Says each change of state, until all are over.
async fn follow(context: &Context<'_>, config: &Config, bakes: Vec<BakeId>) -> Result {
    let mut seen = 0;
    // A bake that waits for users goes to and fro between two states; each line is told once.
    let mut told: HashSet<String> = HashSet::new();
    loop {
        let request = Request::Follow { bakes: bakes.clone(), seen };
        let (rows, changes) = match context.ask(config, request).await? {
            Reply::Rows { rows, changes } => (rows, changes),
            other => return Err(refused(other)),
        };
        seen = changes;
        if !context.json {
            for row in &rows {
                let (id, state) = (row["id"].as_i64().unwrap_or_default(), text(row, "state"));
                let line = match text(row, "reason") {
                    "" => format!("bake {id}: {state}"),
                    reason => format!("bake {id}: {state}: {reason}"),
                };
                if told.insert(line.clone()) {
                    say(&format!("{line}\n"));
                }
            }
        }
        let over = rows.len() == bakes.len() && rows.iter().all(|row| !row["finished_at"].is_null());
        if over {
            let good = rows.iter().all(|row| row["state"] == "succeeded");
            let exit = if good { Exit::Done } else { Exit::Failed };
            let report = if context.json { format!("{}\n", json!({ "bakes": rows })) } else { String::new() };
            return Ok(Said { text: report, exit });
        }
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}
