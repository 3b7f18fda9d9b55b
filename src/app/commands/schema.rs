//! `imagebaked schema`: the configuration as a JSON Schema, for editors.

use super::outcome::{CommandOutput, Result};
use crate::app::reference::schema::schema;

pub fn run() -> Result {
    Ok(CommandOutput::done(format!("{}\n", serde_json::to_string_pretty(&schema())?)))
}
