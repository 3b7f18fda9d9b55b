//! Adapters, one per outside system: files, the cloud, the database, the operator's hooks, the service manager, the
//! page; and the secrets that they know.

pub mod cloud;
pub mod config;
pub mod control;
pub mod failpoint;
pub mod files;
pub mod hooks;
pub mod secrets;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod tzdata;
pub mod web;
