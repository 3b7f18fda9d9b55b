//! The status page. Its data come through [`source::Source`], which the daemon implements.

mod access;
mod background;
pub mod http;
mod listener;
mod page;
mod pages;
mod query;
mod shared;
mod site;
pub mod source;
