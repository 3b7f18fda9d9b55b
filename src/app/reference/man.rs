//! Manual pages.

use std::io;

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};

use super::{inner_tables, takes};
use crate::{
    adapters::config::definitions::{Key, definitions},
    app::cli::{
        command,
        examples::{Example, examples},
    },
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
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![program()?];
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages.push(page(command.clone(), examples(command.get_name()))?);
    }
    pages.push(configuration());
    Ok(pages)
}

/// `imagebaked.1`.
pub fn program() -> io::Result<Page> {
    page(command().disable_help_subcommand(true), PROGRAM_EXAMPLES)
}

/// The first commands of a host.
const PROGRAM_EXAMPLES: &[Example] = &[
    ("imagebaked demo", "see it work, on a simulated cloud"),
    ("imagebaked init", "write a first configuration"),
    ("imagebaked check", "check it, and show the next slots"),
    ("systemctl enable --now imagebaked", "run the daemon"),
    ("imagebaked status", "is everything all right, and if not, what to type"),
];

fn page(command: Command, examples: &[Example]) -> io::Result<Page> {
    let has_subcommands = command.has_subcommands();
    let is_program = command.get_name() == "imagebaked";
    let man = Man::new(command).source(SOURCE);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::new();
    terms(&mut roff, "EXAMPLES", examples);
    terms(&mut roff, "FILES", FILES);
    terms(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    terms(&mut roff, "EXIT STATUS", EXIT_STATUS);
    roff.control("SH", ["SEE ALSO"]);
    let first = if is_program { "imagebaked-status" } else { "imagebaked" };
    roff.text([bold(first), roman("(1), "), bold("imagebaked.toml"), roman("(5)")]);
    text.extend(roff.render().into_bytes());
    Ok(Page { file: man.get_filename(), text })
}

/// A section of words, each with its meaning.
fn terms(roff: &mut Roff, heading: &str, terms: &[Example]) {
    if terms.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

const FILES: &[Example] = &[
    (
        "/etc/imagebaked/imagebaked.toml",
        "the configuration, see imagebaked.toml(5); another one with --config or IMAGEBAKED_CONFIG",
    ),
    ("/etc/imagebaked/conf.d/*.toml", "more of it, in the order of the names"),
    ("/var/lib/imagebaked/imagebaked.db", "the history ([daemon] state_dir)"),
    ("/run/imagebaked/control.sock", "where commands reach the daemon ([daemon] control_socket)"),
];

const ENVIRONMENT: &[Example] = &[
    (
        "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN",
        "the key pair of the cloud",
    ),
    ("IMAGEBAKED_CONFIG", "the configuration, if --config names none"),
    (
        "IMAGEBAKED_CLOUD__*, IMAGEBAKED_DAEMON__*",
        "keys of the configuration, such as IMAGEBAKED_DAEMON__MAX_BUILDERS=4; they win over the files",
    ),
    ("NO_COLOR", "if it is not empty, there are no colours"),
    ("TZ", "the zone of times that belong to no schedule"),
    ("TZDIR", "where the host's time zone rules are"),
];

const EXIT_STATUS: &[Example] = &[
    ("0", "done"),
    ("1", "failed"),
    ("2", "wrong usage or configuration"),
    ("3", "not found: a schedule, an instance, a bake, an image, a channel, or the history"),
    ("4", "the daemon is not reachable; nothing was sent"),
    ("5", "the daemon reports a warning or a problem"),
    ("6", "the request was accepted, and its result is not known"),
    ("7", "the history is damaged, of a newer version, or of another program"),
];

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
