//! imagebaked makes versioned images of WUYING cloud desktops and workstations on schedule.
//!
//! # The map
//!
//! Three rings; imports point inwards only (`tests/layering.rs` checks it).
//!
//! * **core**, pure: no I/O, no async; time and randomness are parameters.
//!   [`clock`] is what time it is, [`zone`] what the clocks of a place show, [`schedule`] is when something is due, [`bake`] is what happens then, [`mod@line`] is
//!   what becomes of the images that come out, [`health`] is what all of it comes to.
//! * **adapters**, one outside world each: the TOML files, the cloud, the database, the operator's hooks, the service
//!   manager.
//! * **shell**, wiring: the daemon's tasks and the commands a person types; [`reference`] tells what can be typed.
//! * [`failpoint`] is where tests make the daemon die; releases have nothing of it.
//! * apart: [`sim`], a simulator of the cloud that nothing but the commands uses.
//!
//! Data flows one way: config -> schedule -> bake -> cloud -> store -> status. A wake-up is only a hint;
//! the database and the clock are the truth, so a restart takes the same path as an ordinary night.

pub mod bake;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod commands;
pub mod config;
pub mod control;
pub mod daemon;
pub mod error;
pub mod failpoint;
pub mod files;
pub mod health;
pub mod hooks;
pub mod ids;
pub mod line;
pub mod reference;
pub mod schedule;
pub mod sim;
pub mod status;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod zone;
pub mod zoneinfo;
