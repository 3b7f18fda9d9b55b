//! Plans: forecasts, explanations of single slots, differences of two configurations, and lints of valid rules.
//!
//! ```
//! use imagebaked::domain::{calendar::Zone, plan::explain::moments};
//!
//! // Clocks in Vienna show 02:30 twice on this day.
//! let vienna: Zone = "Europe/Vienna".parse()?;
//! assert_eq!(moments(&"2027-10-31 02:30".parse()?, vienna, "2027-12-01T00:00:00Z".parse()?).len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod clock_change_lints;
pub mod day_lints;
pub mod diff;
pub mod explain;
pub mod forecast;
pub mod slots;
