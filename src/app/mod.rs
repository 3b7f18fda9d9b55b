//! Wiring: the daemon's tasks, the commands that a person types, and the reference of both.

#[allow(rustdoc::broken_intra_doc_links, reason = "help texts name sections of the TOML file in brackets")]
pub mod cli;
pub mod commands;
pub mod daemon;
pub mod reference;
