//! What happens when a slot is due: stop, create, build, start; retries, names, versions and the end of it.

pub mod call;
pub mod naming;
pub mod settings;
