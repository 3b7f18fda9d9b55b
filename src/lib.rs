//! imagebaked makes versioned images of WUYING cloud desktops and workstations on schedule.
//!
//! # The map
//!
//! Three rings; imports point inwards only (`tests/layering.rs`).
//!
//! * [`domain`]: the rules. Pure: no I/O, no async; time and randomness are parameters.
//! * [`adapters`]: one outside world each.
//! * [`app`]: the daemon and the commands, where everything is wired.
//! * [`sim`], apart: a simulator of the cloud, which nothing but the commands uses.
//!
//! Data flows one way: configuration -> schedule -> bake -> cloud -> history -> status. A wake-up is a hint; the database
//! and the clock are the truth, so a restart takes the same path as an ordinary night. `docs/architecture.md` walks through it.

pub mod adapters;
pub mod app;
pub mod domain;
pub mod sim;
