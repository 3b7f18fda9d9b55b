//! HTML of the status page. maud escapes every value.

pub(super) mod bake;
mod calendar;
mod curve;
pub(super) mod frame;
mod health;
pub(super) mod history;
mod housekeeping;
pub(super) mod images;
mod night;
pub(super) mod not_found;
pub(super) mod overview;
pub(super) mod overview_view;
pub(super) mod schedule;
mod schedules;
mod strip;
mod table;
mod time;
mod work;

/// The only stylesheet.
pub(super) const STYLE: &str = include_str!("page.css");
/// Its path.
pub(super) const STYLE_PATH: &str = "/page.css";
