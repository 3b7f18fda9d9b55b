//! Whether the daemon changes the cloud, or only watches it.

use serde::{Deserialize, Serialize};

/// Said wherever something is announced that a daemon in this mode does not do.
pub const ONLY_OBSERVES: &str = "the daemon only observes";

/// `[daemon] mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It bakes, deletes and copies.
    #[default]
    Act,
    /// It makes every call that only reads and none that changes the cloud; slots end as skipped, code `observe`.
    Observe,
}

impl Mode {
    /// As the configuration and the status spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Observe => "observe",
        }
    }

    /// Whether nothing may change the cloud.
    pub fn is_observe(self) -> bool {
        self == Self::Observe
    }
}
