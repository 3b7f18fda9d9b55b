//! The metadata service of an ECS machine, and a credentials URI: services that hand out temporary keys without a
//! signature.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    reply::{ReplyBody, ReplyKind},
    sessions::assumed_role,
    verify::Received,
    world::World,
};

/// The one role of the machine.
const ROLE: &str = "simulator-role";
/// The one metadata token.
const TOKEN: &str = "sim-metadata-token";
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// Lifetime of the keys in seconds: six hours, as on a machine.
const LIFE: std::time::Duration = std::time::Duration::from_hours(6);

/// A request to one of these services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyRequest {
    /// A token for the other requests to the metadata service.
    Token,
    /// The name of the machine's role.
    Role,
    /// The role's keys.
    Keys,
    /// Keys from the credentials URI.
    Uri,
}

impl KeyRequest {
    const ALL: [Self; 4] = [Self::Token, Self::Role, Self::Keys, Self::Uri];

    /// The service that this path belongs to.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/latest/api/token" => Some(Self::Token),
            "/credentials" => Some(Self::Uri),
            _ => Some(if path.strip_prefix(ROLES)?.is_empty() { Self::Role } else { Self::Keys }),
        }
    }

    /// Name in the fault plan and among the calls.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "MetadataToken",
            Self::Role => "MetadataRole",
            Self::Keys => "MetadataKeys",
            Self::Uri => "CredentialsUri",
        }
    }

    /// Whether a fault can name it.
    pub(super) fn is_named(name: &str) -> bool {
        Self::ALL.iter().any(|request| request.name() == name)
    }

    /// The answer: its status and text.
    pub(super) fn answer(self, received: &Received<'_>, world: &mut World, now: DateTime<Utc>) -> (u16, String) {
        let is_put = received.method == "PUT";
        if is_put != (self == Self::Token) || !is_put && received.method != "GET" {
            return (405, String::new());
        }
        let token = received.header("x-aliyun-ecs-metadata-token");
        if self != Self::Uri && self != Self::Token && !["", TOKEN].contains(&token) {
            return (401, "Unauthorized".to_owned());
        }
        match self {
            Self::Token => {
                let life = received.header("x-aliyun-ecs-metadata-token-ttl-seconds").parse::<u32>();
                if life.is_ok_and(|life| (1..=21_600).contains(&life)) {
                    (200, TOKEN.to_owned())
                } else {
                    (400, "Bad Request".to_owned())
                }
            }
            Self::Role => (200, ROLE.to_owned()),
            Self::Keys if received.path.strip_prefix(ROLES) != Some(ROLE) => (404, "Not Found".to_owned()),
            Self::Keys => (200, keys(world, (ROLE, "i-sim0001"), now)),
            Self::Uri => (200, keys(world, ("simulator-uri", "uri"), now)),
        }
    }
}

/// What is sent.
pub(super) fn reply(status: u16, text: String) -> ReplyKind {
    let content_type = if text.starts_with('{') { "application/json" } else { "text/plain" };
    ReplyKind::Answer { status, headers: Vec::new(), content_type, body: ReplyBody::Whole(Bytes::from(text)) }
}

fn keys(world: &mut World, (role, session): (&str, &str), now: DateTime<Utc>) -> String {
    let issued = world.issue_key(assumed_role(role, session), LIFE, now);
    let mut answer = issued.json();
    if let Value::Object(fields) = &mut answer {
        fields.insert("Code".to_owned(), json!("Success"));
        fields.insert("LastUpdated".to_owned(), json!(now.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    answer.to_string()
}
