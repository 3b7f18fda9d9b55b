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
    /// The call that begins it was sent, and it is not known what became of it.
    Unclear,
    /// That call was about to be sent again: the former one may have begun it.
    EnteringAgain,
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
        matches!(self, Self::Entered | Self::Unclear | Self::Leaving | Self::LeaveRefused) || self.is_entering()
    }

    /// Whether the call that begins it is in flight.
    pub fn is_entering(self) -> bool {
        matches!(self, Self::Entering | Self::EnteringAgain)
    }

    /// Without the answer to the call in flight: it may have been executed.
    #[must_use]
    pub fn unanswered(self) -> Self {
        match self {
            Self::Entering | Self::EnteringAgain => Self::Unclear,
            Self::Leaving => Self::Entered,
            other => other,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so whether to skip it")]
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}
