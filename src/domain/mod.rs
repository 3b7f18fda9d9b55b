//! The rules of the product: pure, without I/O and without async. Time and randomness are parameters.
//!
//! In the order in which they are built; a module imports only from those before it (`tests/layering.rs`).

pub mod similar;
pub mod suggestion;
pub mod text;

pub mod clock;
pub mod error;
pub mod ids;

pub mod calendar;
pub mod time;

pub mod catch_up;

pub mod hooks;

pub mod api;
pub mod bake;
pub mod schedule;

pub mod pause;

pub mod image;
pub mod plan;

pub mod history;

pub mod health;

pub mod event;
pub mod status;

pub mod schedule_rows;

pub mod page;

#[cfg(test)]
pub(crate) mod random_tests;
