//! imagebaked makes versioned images of WUYING cloud desktops and workstations on schedule.
//!
//! # The map
//!
//! Three rings; imports point inwards only (`tests/layering.rs`).
//!
//! * [`domain`]: the rules. Pure: no I/O, no async; time and randomness are parameters.
//! * [`adapters`]: one outside system each.
//! * [`app`]: the daemon and the commands, which combine both.
//! * [`sim`], apart: a simulator of the cloud, used by commands only.
//!
//! Data flows one way: configuration -> schedule -> bake -> cloud -> history -> status. A wake-up is a hint; state
//! comes only from the database and the clock, so a restart takes the same path as an ordinary night.
//! `docs/architecture.md` explains it.

// `app::commands::terminal` writes to the standard streams, and cleans what it writes.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod adapters;
pub mod app;
pub mod domain;
pub mod sim;
