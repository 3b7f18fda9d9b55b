//! Interface to the cloud: calls of a bake, their responses, and the identity of images.

pub mod call;
pub mod cause;
pub mod class;
pub mod codes;
pub mod gmt_offset;
pub mod identity;
pub mod instance_state;
