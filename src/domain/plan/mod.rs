//! What lies ahead and why: forecasts, explanations, differences between two configurations, lints of clock changes.

pub mod clock_change_lints;
pub mod diff;
pub mod explain;
pub mod forecast;
pub mod slots;
