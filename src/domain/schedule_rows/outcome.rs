//! What a person sees of a bake: fewer words than the states have, and an order.

/// Result of a slot. Of several results of one slot the greatest is shown.
///
/// A loss stands before whatever is open: an open bake can still bring an image, while a lost one stays lost until the next
/// slot. Among losses a failure wants a person most, a veto was one's decision, and a skipped slot may be wanted. A cancelled
/// bake is known to whoever cancelled it, and a good image needs nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A good image was made.
    Succeeded,
    /// A person cancelled it.
    Cancelled,
    /// It is queued.
    Queued,
    /// It is being baked.
    Running,
    /// It is not known what the cloud did.
    Unknown,
    /// It was not baked.
    Skipped,
    /// An image was made that is vetoed.
    Vetoed,
    /// It failed.
    Failed,
}

impl Outcome {
    /// Of the word of a state, or `vetoed`.
    pub fn of(state: &str) -> Self {
        match state {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "skipped" => Self::Skipped,
            "cancelled" => Self::Cancelled,
            "queued" => Self::Queued,
            "unknown" => Self::Unknown,
            "vetoed" => Self::Vetoed,
            _ => Self::Running,
        }
    }

    /// Of the word of a state, and whether the bake's image is vetoed.
    pub fn with_veto(state: &str, vetoed: bool) -> Self {
        match Self::of(state) {
            Self::Succeeded if vetoed => Self::Vetoed,
            outcome => outcome,
        }
    }

    /// The word of a state that has this result.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Vetoed => "vetoed",
            Self::Failed => "failed",
        }
    }

    /// Whether it can still change.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bake::State;

    #[test]
    fn each_state_has_an_outcome_of_its_kind() {
        for word in State::WORDS {
            let is_running = State::RUNNING_WORDS.contains(&word);
            let outcome = Outcome::of(word);
            assert_eq!(outcome.is_open(), is_running || word == "queued", "{word}");
            assert!(is_running || outcome.word() == word, "{word}");
        }
    }

    #[test]
    fn a_loss_stands_before_what_is_open_and_that_before_what_needs_nobody() {
        let is_lost = |outcome: Outcome| matches!(outcome, Outcome::Skipped | Outcome::Vetoed | Outcome::Failed);
        let mut all: Vec<Outcome> = State::WORDS.into_iter().map(Outcome::of).chain([Outcome::of("vetoed")]).collect();
        all.sort();
        let kinds: Vec<u8> = all.iter().map(|one| if is_lost(*one) { 2 } else { one.is_open().into() }).collect();
        assert!(kinds.is_sorted(), "{all:?}");
        assert_eq!(all.last(), Some(&Outcome::Failed));
    }

    #[test]
    fn only_a_good_image_can_be_vetoed() {
        assert_eq!(Outcome::with_veto("succeeded", true), Outcome::Vetoed);
        assert_eq!(Outcome::with_veto("failed", true), Outcome::Failed);
        assert_eq!(Outcome::with_veto("succeeded", false), Outcome::Succeeded);
    }
}
