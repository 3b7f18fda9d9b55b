//! `imagebaked man`: the manual pages.

use std::{fs, io::Write as _, path::Path};

use super::{
    atomic,
    context::Context,
    outcome::{CommandOutput, Exit, Failure, Result},
};
use crate::app::{cli::ManArgs, reference::man};

pub fn run(context: &Context<'_>, args: &ManArgs) -> Result {
    let unmade = |error| Failure::new(Exit::Failed, format!("the pages could not be made: {error}"));
    let Some(folder) = &args.out else {
        let page = man::program().map_err(unmade)?;
        return Ok(CommandOutput::done(String::from_utf8_lossy(&page.text).into_owned()));
    };
    let failed = |path: &Path, error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let pages = man::pages().map_err(unmade)?;
    for page in &pages {
        let path = folder.join(&page.file);
        let file = atomic::begin(&path, true, atomic::READABLE)?;
        file.file().write_all(&page.text).map_err(|error| failed(&path, error))?;
        atomic::finish(file, &path)?;
    }
    Ok(CommandOutput::done(context.done(format!("{} pages are in {}.", pages.len(), folder.display()))))
}
