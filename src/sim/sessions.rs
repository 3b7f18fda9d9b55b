//! Temporary keys that the simulator issued.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The simulated account.
pub(super) const ACCOUNT: &str = "1000000000000001";

/// Maximum number of keys that are remembered; the ones that ended first are forgotten first.
const MOST: usize = 1_000;

/// A key with an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) secret: String,
    pub(super) token: String,
    /// Whose it is: `acs:ram::ACCOUNT:assumed-role/NAME/SESSION`.
    pub(super) arn: String,
    pub(super) expires_at: DateTime<Utc>,
}

/// All of them, by their id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sessions(BTreeMap<String, Session>);

impl Sessions {
    pub(super) fn find(&self, id: &str) -> Option<&Session> {
        self.0.get(id)
    }

    /// Issues a key. `text` makes random text that begins as given.
    pub(super) fn issue(
        &mut self,
        arn: String,
        life: Duration,
        now: DateTime<Utc>,
        mut text: impl FnMut(&str) -> String,
    ) -> Issued {
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, session)| session.expires_at).map(|(id, _)| id.clone())
        {
            self.0.remove(&oldest);
        }
        let life = TimeDelta::from_std(life).unwrap_or(TimeDelta::MAX);
        let expires_at = now.checked_add_signed(life).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let session = Session { secret: text("secret-"), token: text("token-"), arn, expires_at };
        let id = text("STS.");
        self.0.insert(id.clone(), session.clone());
        Issued { id, session }
    }

    /// For `/_sim/state`: whose each key is.
    pub(super) fn list(&self) -> Vec<Value> {
        let row = |(id, session): (&String, &Session)| json!({ "access_key_id": id, "arn": session.arn, "expires_at": session.expires_at });
        self.0.iter().map(row).collect()
    }
}

/// The session of a role of the account.
pub(super) fn assumed_role(role: &str, session: &str) -> String {
    format!("acs:ram::{ACCOUNT}:assumed-role/{role}/{session}")
}

/// A key that was issued just now.
#[derive(Debug)]
pub(super) struct Issued {
    id: String,
    session: Session,
}

impl Issued {
    /// The key as the token service and the key services spell it.
    pub(super) fn json(&self) -> Value {
        json!({
            "AccessKeyId": self.id,
            "AccessKeySecret": self.session.secret,
            "SecurityToken": self.session.token,
            "Expiration": self.session.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }

    /// Whose it is.
    pub(super) fn arn(&self) -> &str {
        &self.session.arn
    }
}
