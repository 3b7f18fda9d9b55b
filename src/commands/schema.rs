//! `imagebaked schema`: the configuration as a JSON Schema, for editors.

use super::{Result, Said};
use crate::reference::schema::schema;

pub fn run() -> Result {
    Ok(Said::done(format!("{}\n", serde_json::to_string_pretty(&schema())?)))
}
