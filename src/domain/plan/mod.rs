//! Plans: forecasts, explanations of single slots, differences of two configurations, and lints of clock changes.

pub mod clock_change_lints;
pub mod diff;
pub mod explain;
pub mod forecast;
