//! What became of the credentials when they were read again.

use serde::{Deserialize, Serialize};

/// Credentials that were read again: the files may have been edited since. The field names are those of `reload --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialReview {
    /// Whether they are others than those in use.
    pub changed: bool,
    /// The key's id, masked; none if there is no key.
    pub key_id: Option<String>,
    /// The id of the key in use before, masked.
    pub former_key_id: Option<String>,
    /// What the cloud answered to them.
    pub result: KeyResult,
    /// Why an edit counts at the next start only, where that is so.
    pub only_at_restart: Option<String>,
}

/// What the cloud answered to a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum KeyResult {
    /// It was not asked: they are those in use.
    NotProbed,
    /// It accepts them. They are in use.
    Accepted,
    /// It rejects them.
    Rejected {
        /// Its message.
        message: String,
    },
    /// It did not answer.
    NoAnswer {
        /// The error.
        message: String,
    },
    /// There is no key to ask with.
    Unreadable {
        /// Why.
        message: String,
    },
}

impl CredentialReview {
    /// One line for the operator; `None` if there is no news.
    pub fn sentence(&self) -> Option<String> {
        let key = self.key_id.as_deref().unwrap_or("without an id");
        let new = match &self.former_key_id {
            Some(former) if former == key => format!("the key {key}, which was edited,"),
            Some(former) => format!("the key {key}, in place of {former},"),
            None => format!("the key {key}"),
        };
        let stays = if self.former_key_id.is_some() { ": the former one stays in use" } else { "" };
        let restart = self.only_at_restart.as_deref().map(|why| format!(". {why}")).unwrap_or_default();
        Some(match (&self.result, self.changed) {
            (KeyResult::NotProbed, _) => return None,
            (KeyResult::Accepted, true) => format!("Credentials: {new} is accepted and in use from now on."),
            (KeyResult::Accepted, false) => format!("Credentials: the key {key} is accepted again."),
            (KeyResult::Rejected { message }, true) => format!(
                "warning: credentials: the cloud rejects {new} ({message}){stays}, and the next start would fail. Correct it, \
                 then `imagebaked reload`."
            ),
            (KeyResult::Rejected { message }, false) => {
                format!("warning: credentials: the cloud still rejects the key {key} ({message}){restart}.")
            }
            (KeyResult::NoAnswer { message }, true) => format!(
                "warning: credentials: whether the cloud accepts {new} is not known ({message}){stays}. `imagebaked reload` \
                 tries again."
            ),
            (KeyResult::NoAnswer { message }, false) => {
                format!(
                    "warning: credentials: whether the cloud accepts the key {key} is not known ({message}){restart}."
                )
            }
            (KeyResult::Unreadable { message }, _) => format!(
                "warning: credentials: they cannot be read again ({message}){stays}, and the next start would fail."
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(former: &str, changed: bool, result: KeyResult) -> CredentialReview {
        CredentialReview {
            changed,
            key_id: Some("LTAI…new".to_owned()),
            former_key_id: (!former.is_empty()).then(|| former.to_owned()),
            result,
            only_at_restart: Some("They are of systemd".to_owned()),
        }
    }

    #[test]
    fn the_sentence_says_which_key_is_in_use() {
        let message = || "SignatureDoesNotMatch".to_owned();
        let rejected = || KeyResult::Rejected { message: message() };
        for (former, changed, result, sentence) in [
            ("LTAI…old", true, KeyResult::Accepted, "Credentials: the key LTAI…new, in place of LTAI…old, is accepted"),
            ("LTAI…new", true, KeyResult::Accepted, "Credentials: the key LTAI…new, which was edited, is accepted"),
            ("LTAI…new", false, KeyResult::Accepted, "Credentials: the key LTAI…new is accepted again."),
            (
                "LTAI…old",
                true,
                rejected(),
                "(SignatureDoesNotMatch): the former one stays in use, and the next start would",
            ),
            ("", true, rejected(), "(SignatureDoesNotMatch), and the next start would fail"),
            (
                "LTAI…new",
                false,
                rejected(),
                "still rejects the key LTAI…new (SignatureDoesNotMatch). They are of systemd.",
            ),
            (
                "LTAI…old",
                true,
                KeyResult::NoAnswer { message: message() },
                "stays in use. `imagebaked reload` tries again.",
            ),
            ("LTAI…old", false, KeyResult::Unreadable { message: message() }, "cannot be read again"),
        ] {
            let said = review(former, changed, result).sentence().unwrap();
            assert!(said.contains(sentence), "{said}");
        }
        assert_eq!(review("LTAI…new", false, KeyResult::NotProbed).sentence(), None);
    }
}
