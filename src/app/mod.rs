//! Application: the tasks of the daemon, the commands, and their reference.

#[allow(rustdoc::broken_intra_doc_links, reason = "help texts name sections of the TOML file in brackets")]
pub mod cli;
pub mod commands;
pub mod daemon;
pub mod reference;
