//! Hooks that cannot start on this host.

use std::path::Path;

use super::{Linter, hook_files::Fault};
use crate::{
    adapters::config::source_map::WrittenValue,
    domain::{hooks::HookCommand, schedule::Schedule},
};

impl Linter<'_> {
    pub(super) fn hooks(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let hooks = &schedule.settings.hooks;
        if hooks.is_empty() {
            return;
        }
        let Some(table) = written.hooks.and_then(|span| span.of(self.sources)) else { return };
        let commands = [&hooks.before, &hooks.after, &hooks.on_failure, &hooks.verify].into_iter().flatten();
        for program in commands.map(HookCommand::program) {
            let mark = table.inside(program, 0..program.len());
            let Some(Fault { code, message, hint }) = self.hooks.fault(Path::new(program)) else { continue };
            self.found.warning(mark, code, message, Some(hint));
        }
    }
}
