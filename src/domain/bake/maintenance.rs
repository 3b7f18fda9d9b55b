//! The maintenance of a cloud desktop, which keeps users out while its bake stops it.

use serde::{Deserialize, Serialize};

/// Maintenance of the instance of a bake, as far as the bake knows it. Only one that the bake began is ended by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maintenance {
    /// Not known.
    #[default]
    Unknown,
    /// The desktop was in maintenance, and stays in it.
    Found,
    /// The call that begins it was about to be sent.
    Entering,
    /// It has begun, or may have.
    Entered,
    /// The call that ends it was about to be sent.
    Leaving,
    /// The cloud rejected the end: perhaps it is over.
    LeaveRefused,
    /// The cloud rejected the begin; the bake goes on without.
    Refused,
}

impl Maintenance {
    /// Whether the bake has to end it.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Entering | Self::Entered | Self::Leaving | Self::LeaveRefused)
    }

    /// Without the answer to the call in flight: it may have been executed.
    #[must_use]
    pub fn unanswered(self) -> Self {
        match self {
            Self::Entering | Self::Leaving => Self::Entered,
            other => other,
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}
