//! Wiring: the daemon's tasks, the commands that a person types, and the reference of both.

pub mod cli;
pub mod commands;
pub mod daemon;
pub mod reference;
