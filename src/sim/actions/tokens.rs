//! The operations of the token service.

use std::time::Duration;

use serde_json::{Value, json};

use super::call::SimCall;
use crate::sim::{
    codes::SimFailure,
    sessions::{ACCOUNT, assumed_role},
    world::World,
};

/// Lifetimes of keys in seconds: the shortest, the usual and the longest one.
const LIFE: (usize, usize, usize) = (900, 3600, 43_200);
/// Maximum length of a policy, and of the name of a role.
const LONGEST_POLICY: usize = 2048;
const LONGEST_ROLE: usize = 64;

/// The signer: the user of the key pair, or the session of a role.
#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
pub(super) fn get_caller_identity(_world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    Ok(match call.caller {
        None => json!({
            "IdentityType": "RAMUser",
            "AccountId": ACCOUNT,
            "UserId": "200000000000000001",
            "PrincipalId": "200000000000000001",
            "Arn": format!("acs:ram::{ACCOUNT}:user/simulator"),
        }),
        Some(arn) => json!({
            "IdentityType": "AssumedRoleUser",
            "AccountId": ACCOUNT,
            "RoleId": "300000000000000001",
            "PrincipalId": format!("300000000000000001:{}", session_name(arn)),
            "Arn": arn,
        }),
    })
}

/// Keys of a role for the signer.
pub(super) fn assume_role(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    issue(world, call)
}

/// Keys of a role for an OIDC token; nothing is signed. A token has the three parts of a JWT; its content does not count.
pub(super) fn assume_role_with_oidc(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let provider = call.params.require("OIDCProviderArn")?;
    if !provider.starts_with(&format!("acs:ram::{ACCOUNT}:oidc-provider/")) {
        return Err(SimFailure::new("EntityNotExist.OIDCProvider"));
    }
    let token = call.params.require("OIDCToken")?.trim();
    let is_text =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if token.split('.').count() != 3 || !token.split('.').all(is_text) {
        return Err(SimFailure::new("AuthenticationFail.OIDCToken.Invalid"));
    }
    issue(world, call)
}

fn issue(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let wrong = |name: &str| {
        SimFailure::new(format!("InvalidParameter.{name}")).with_message(format!("The parameter {name} is not valid."))
    };
    let role = call.params.require("RoleArn")?;
    let session = call.params.require("RoleSessionName")?;
    if !is_text_of(session, 2..=64, b".@-_") {
        return Err(wrong("RoleSessionName"));
    }
    for (name, longest, signs) in [("ExternalId", 1224, &b"_+=,.@:/-"[..]), ("SourceIdentity", 64, &b".@-_"[..])] {
        if call.params.get(name).is_some_and(|text| !is_text_of(text, 2..=longest, signs)) {
            return Err(wrong(name));
        }
    }
    let (account, name) = role
        .strip_prefix("acs:ram::")
        .and_then(|rest| rest.split_once(":role/"))
        .filter(|(account, name)| {
            account.bytes().all(|b| b.is_ascii_digit()) && is_text_of(name, 1..=LONGEST_ROLE, b".-_")
        })
        .ok_or_else(|| wrong("RoleArn"))?;
    let (shortest, usual, longest) = LIFE;
    let seconds =
        call.params.number("DurationSeconds", usual, shortest..=longest).map_err(|_| wrong("DurationSeconds"))?;
    let is_policy = |policy: &str| {
        let document = serde_json::from_str(policy).ok();
        policy.chars().count() <= LONGEST_POLICY && document.is_some_and(|document: Value| document.is_object())
    };
    if call.params.get("Policy").is_some_and(|policy| !is_policy(policy)) {
        let message = "The parameter Policy is not valid.";
        return Err(SimFailure::new("InvalidParameter.PolicyGrammar").with_message(message));
    }
    if account != ACCOUNT {
        return Err(SimFailure::new("EntityNotExist.Role"));
    }
    let arn = assumed_role(name, session);
    let issued = world.issue_key(arn, Duration::from_secs(seconds as u64), call.now);
    Ok(json!({
        "Credentials": issued.json(),
        "AssumedRoleUser": { "Arn": issued.arn(), "AssumedRoleId": format!("300000000000000001:{session}") },
    }))
}

/// Whether a text consists of so many letters, digits and these signs.
fn is_text_of(text: &str, length: std::ops::RangeInclusive<usize>, signs: &[u8]) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || signs.contains(&b))
}

fn session_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}
