//! Cron rules, time zones, and the slots that result from them. Independent of bakes.

pub mod cron;
pub mod error;
pub(crate) mod field;
pub mod timing;
pub(crate) mod utc_offsets;
pub mod zone;

pub use timing::Timing;
pub use zone::Zone;
