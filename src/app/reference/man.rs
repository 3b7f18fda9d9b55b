//! Manual pages.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};

use super::{inner_tables, takes};
use crate::{
    adapters::config::definitions::{Key, definitions},
    app::cli::Cli,
};

/// Footer of every page.
const SOURCE: &str = concat!("imagebaked ", env!("CARGO_PKG_VERSION"));

/// A page and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `imagebaked-bake.1`.
    pub file: String,
    /// In roff.
    pub text: Vec<u8>,
}

/// The page of the program, of each command, and of the configuration.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![program()?];
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push(page(command.clone())?);
    }
    pages.push(configuration());
    Ok(pages)
}

/// `imagebaked.1`.
pub fn program() -> io::Result<Page> {
    page(Cli::command().disable_help_subcommand(true))
}

fn page(command: Command) -> io::Result<Page> {
    let man = Man::new(command).source(SOURCE);
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok(Page { file: man.get_filename(), text })
}

/// `imagebaked.toml.5`.
fn configuration() -> Page {
    let all = definitions();
    let mut roff = Roff::new();
    roff.control("TH", ["imagebaked.toml", "5", "", SOURCE, ""]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("imagebaked.toml - when images are made of which WUYING desktops and workstations")]);
    roff.control("SH", ["SYNOPSIS"]);
    for file in ["/etc/imagebaked/imagebaked.toml", "/etc/imagebaked/conf.d/*.toml"] {
        roff.text([bold(file)]);
        roff.control("br", []);
    }
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "The files of `conf.d` lie above the main file, in the order of their names: their schedules are added, their other \
         keys win. Variables such as `IMAGEBAKED_DAEMON__MAX_BUILDERS=4` win over both.",
        "Periods are text like `\"90s\"`, `\"15m\"`, `\"2h 30m\"` or `\"7d\"`.",
        "A schedule takes each key from the first that has it: itself, its profile, `[defaults]`, the built-in default.",
    ] {
        roff.text(inlines(paragraph));
        roff.control("PP", []);
    }
    for section in [&all.cloud, &all.daemon, &all.schedule] {
        roff.control("SH", [section.header]);
        roff.text(inlines(section.text));
        describe(&mut roff, &section.keys);
        for (key, inner) in inner_tables(&section.keys) {
            roff.control("SS", [key.name]);
            describe(&mut roff, inner);
        }
    }
    for section in [&all.defaults, &all.profile] {
        roff.control("SH", [section.header]);
        roff.text(inlines(section.text));
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("imagebaked"), roman("(1), "), bold("imagebaked-check"), roman("(1)")]);
    Page { file: "imagebaked.toml.5".to_owned(), text: roff.render().into_bytes() }
}

fn describe(roff: &mut Roff, keys: &[Key]) {
    for key in keys {
        roff.control("TP", []);
        let mut head = vec![bold(key.name), roman(" = ")];
        head.extend(inlines(&takes(&key.kind)));
        roff.text(head);
        roff.text(inlines(&key.text));
    }
}

/// Text with parts between backticks in bold.
fn inlines(text: &str) -> Vec<Inline> {
    text.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { roman(part) } else { bold(part) }).collect()
}
