//! Cron rules, time zones, and the slots that result from them. Independent of bakes.
//!
//! ```
//! use std::time::Duration;
//! use imagebaked::domain::calendar::{Timing, Zone};
//!
//! let zone: Zone = "Europe/Vienna".parse()?;
//! let nightly = Timing::parse(&["30 2 * * *"], zone, Duration::ZERO, "golden")?;
//! // Clocks skip 02:30 on this day: the slot is the first instant after the gap.
//! let slot = nightly.next_after("2027-03-27T12:00:00Z".parse()?).ok_or("no slot")?;
//! assert_eq!(slot.to_rfc3339(), "2027-03-28T01:00:00+00:00");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cron;
pub mod error;
pub(crate) mod field;
mod foreign;
pub mod timing;
pub(crate) mod utc_offsets;
pub mod wall;
pub mod zone;

pub use timing::Timing;
pub use zone::Zone;
