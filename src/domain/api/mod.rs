//! Interface to the cloud: calls of a bake, their responses, and the identity of images.
//!
//! ```
//! use imagebaked::domain::api::{class::ErrorClass, codes::{Idempotency, judge}};
//!
//! // After a lost response, only a call without side effects is repeated at once.
//! assert_eq!(judge(None, 502, Idempotency::Idempotent).class, ErrorClass::Transient);
//! assert_eq!(judge(None, 502, Idempotency::NonIdempotent).class, ErrorClass::Unclear);
//! ```

pub mod call;
pub mod cause;
pub mod class;
pub mod codes;
pub mod credential_review;
pub mod credential_source;
pub mod endpoint;
pub mod gmt_offset;
pub mod host;
pub mod identity;
pub mod instance_state;
pub mod mode;
pub mod regions;
