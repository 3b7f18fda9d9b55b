//! What a bake failed for: decides what its failure says of other images and of the next slot.

use serde::{Deserialize, Serialize};

/// Where the cause of a failed bake lies. The words are a contract: scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The image that was begun is no good one.
    Image,
    /// The instance: it is not there, its state allows no image, or none can be made of it.
    Instance,
    /// A quota is used up.
    Quota,
    /// The cloud reports a fault, limits calls or refuses for a reason that is not known.
    Cloud,
    /// The cloud could not be reached, or did not answer.
    Outage,
    /// Key, token or signature are rejected, or a grant is missing.
    Credentials,
    /// A command of the operator.
    Hook,
    /// What the operator has set: the configuration, a name, the clock of this host.
    Operator,
}

impl Cause {
    /// All causes, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Image,
        Self::Instance,
        Self::Quota,
        Self::Cloud,
        Self::Outage,
        Self::Credentials,
        Self::Hook,
        Self::Operator,
    ];

    /// The word in tables and JSON; the same as in serde.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Instance => "instance",
            Self::Quota => "quota",
            Self::Cloud => "cloud",
            Self::Outage => "outage",
            Self::Credentials => "credentials",
            Self::Hook => "hook",
            Self::Operator => "operator",
        }
    }

    /// Whether the next slot of the schedule alone must be expected to fail likewise: such failures pause it.
    pub const fn counts_for_auto_pause(self) -> bool {
        matches!(self, Self::Image | Self::Instance | Self::Hook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_the_one_of_json() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
    }

    #[test]
    fn failures_for_the_image_the_instance_and_a_hook_pause_a_schedule() {
        let counted: Vec<&str> =
            Cause::ALL.into_iter().filter(|cause| cause.counts_for_auto_pause()).map(Cause::as_str).collect();
        assert_eq!(counted, ["image", "instance", "hook"]);
    }
}
