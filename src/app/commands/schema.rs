//! `imagebaked schema`: the configuration as a JSON Schema, for editors.

use super::{CommandOutput, Result};
use crate::app::reference::schema::schema;

pub fn run() -> Result {
    Ok(CommandOutput::done(format!("{}\n", serde_json::to_string_pretty(&schema())?)))
}
