//! Names and ids as types, so that an instance's id cannot be passed where an image's is meant.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; whether it is well formed is checked where it is read.
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
    /// What a schedule is known by for ever: its `id` key, or its name where no `id` is given.
    ScheduleId
}
id! {
    /// What a schedule is called now; may change while the id stays.
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

/// An instance that exists nowhere: what rights are tried with, so that no machine is ever touched. The cloud makes the
/// ids itself, of another form; a simulator that takes every id does not take this one.
pub const NO_SUCH_INSTANCE: &str = "imagebaked-doctor-no-such-instance";
/// An image that exists nowhere, likewise.
pub const NO_SUCH_IMAGE: &str = "imagebaked-doctor-no-such-image";

/// A bake's number in the history, from 1; what `show` and `retry` take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BakeId(pub i64);

impl fmt::Display for BakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
