//! Names and ids as types, so that the id of an instance cannot be passed as that of an image.
//!
//! ```
//! use imagebaked::domain::ids::LineId;
//!
//! assert_eq!(LineId::from("farm/ecd-1").as_str(), "farm/ecd-1");
//! ```

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text without validation; parsers validate it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The bare text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    };
}

id! {
    /// Permanent identity of a schedule: its `id` key, or its name if no `id` is set.
    ScheduleId
}
id! {
    /// Current name of a schedule; it may change while the id stays.
    ScheduleName
}
id! {
    /// A WUYING instance: a cloud desktop (`ecd-…`) or a workstation (`ws-…`).
    InstanceId
}
id! {
    /// All images of one schedule: the schedule's id, followed by `/` and the instance where it has several.
    LineId
}
id! {
    /// An image in the cloud (`imgc-…`).
    ImageId
}

impl LineId {
    /// The id of its schedule.
    pub fn schedule(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }
}

/// An instance that does not exist, for probes of permissions: no real machine is affected. The cloud's own ids have
/// another form; the simulator rejects this one.
pub const NO_SUCH_INSTANCE: &str = "imagebaked-doctor-no-such-instance";
/// An image that does not exist, for the same purpose.
pub const NO_SUCH_IMAGE: &str = "imagebaked-doctor-no-such-image";

/// Number of a bake in the history, from 1; argument of `show` and `retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BakeId(pub i64);

impl fmt::Display for BakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
