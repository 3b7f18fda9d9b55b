//! The port to the cloud: the calls that a bake makes, what they answer, and how an image is recognised.

pub mod call;
pub mod cause;
pub mod class;
pub mod codes;
pub mod gmt_offset;
pub mod identity;
pub mod instance_state;
pub mod mode;
