//! imagebaked makes versioned images of WUYING cloud desktops and workstations on schedule.
//!
//! # The map
//!
//! Three rings; imports point inwards only (`tests/layering.rs` checks it).
//!
//! * **core**, pure: no I/O, no async; time and randomness are parameters.
//!   [`clock`] is what time it is, [`schedule`] is when something is due, [`bake`] is what happens then.
//! * **adapters**, one outside world each: the TOML files, the cloud, the database, the service manager.
//! * **shell**, wiring: the daemon's tasks and the commands a person types.
//! * apart: `sim`, a simulator of the cloud that nothing but the commands uses.
//!
//! Data flows one way: config -> schedule -> bake -> cloud -> store -> status. A wake-up is only a hint;
//! the database and the clock are the truth, so a restart takes the same path as an ordinary night.

pub mod bake;
pub mod clock;
pub mod cloud;
pub mod ids;
pub mod schedule;
