//! Hooks that cannot start on this host.

use std::{collections::BTreeSet, path::Path};

use super::{
    Linter,
    hook_files::{Fault, HookFiles},
};
use crate::{
    adapters::config::{Config, source_map::WrittenValue},
    domain::{hooks::HookCommand, schedule::Schedule},
};

/// The hooks of a configuration that cannot start on this host, each program once: what is wrong with it, and what to do.
pub fn hooks_that_cannot_start(config: &Config) -> Vec<(String, String)> {
    let mut files = HookFiles::default();
    let commands = config.schedules.iter().flat_map(|schedule| schedule.settings.hooks.commands());
    let programs: BTreeSet<&Path> = commands.map(|command| Path::new(command.program())).collect();
    let faults = programs.into_iter().filter_map(|program| files.fault(program));
    faults.map(|fault| (fault.message, fault.hint)).collect()
}

impl Linter<'_> {
    pub(super) fn hooks(&mut self, schedule: &Schedule, written: &WrittenValue) {
        let hooks = &schedule.settings.hooks;
        if hooks.is_empty() {
            return;
        }
        let Some(table) = written.hooks.and_then(|span| span.of(self.sources)) else { return };
        for program in hooks.commands().map(HookCommand::program) {
            let mark = table.inside(program, 0..program.len());
            let Some(Fault { code, message, hint }) = self.hooks.fault(Path::new(program)) else { continue };
            self.found.warning(mark, code, message, Some(hint));
        }
    }
}
