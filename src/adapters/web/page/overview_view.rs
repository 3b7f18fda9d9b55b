//! The data of the overview.

use crate::{
    adapters::web::query::Query,
    domain::{page::night::Night, schedule_rows::Row, status::Status},
};

/// What the overview shows.
pub(in crate::adapters::web) struct Overview<'a> {
    pub(in crate::adapters::web) status: &'a Status,
    /// `None` while they are computed for the first time.
    pub(in crate::adapters::web) nights: Option<&'a [Night; 2]>,
    /// The schedules of this page.
    pub(in crate::adapters::web) rows: &'a [Row],
    /// Number of schedules that were asked for.
    pub(in crate::adapters::web) found: usize,
    /// Number of all schedules.
    pub(in crate::adapters::web) all: usize,
    /// This page and how many there are.
    pub(in crate::adapters::web) pages: (usize, usize),
    pub(in crate::adapters::web) query: &'a Query,
}
