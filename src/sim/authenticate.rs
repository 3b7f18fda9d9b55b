//! Who calls: by a signature in the headers, by the older one in the parameters of a token service call, or nobody.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use secrecy::ExposeSecret as _;

use super::{
    codes::SimFailure,
    params::{Params, form_pairs},
    sessions::Sessions,
    verify::{self, KeyPair, Received, TOLERANCE},
};

/// Of the calls that need no signature there is one: the token speaks for itself.
const ANONYMOUS: &str = "AssumeRoleWithOIDC";
/// The token service, the one that is still called with signatures of version 1.
const STS: &str = "2015-04-01";
/// What RFC 3986 calls unreserved stays as it is; all other bytes are escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Action and version of a call: headers of the newer libraries, parameters of the older ones.
pub(super) fn names<'a>(received: &'a Received<'_>, params: &'a Params) -> (&'a str, &'a str) {
    let either = |header, name| match received.header(header) {
        "" => params.get(name).unwrap_or_default(),
        text => text,
    };
    (either("x-acs-action", "Action"), either("x-acs-version", "Version"))
}

/// The caller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// The session of a role; `None` for the user of the key pair, and for nobody.
    pub(super) arn: Option<String>,
    /// Used once; absent where nothing is signed.
    pub(super) nonce: Option<String>,
}

/// Checks everything but the nonce, which only counts once the signature has been found good.
pub(super) fn authenticate(
    received: &Received<'_>,
    params: &Params,
    keys: &KeyPair,
    sessions: &Sessions,
    now: DateTime<Utc>,
) -> Result<Caller, SimFailure> {
    let (action, version) = names(received, params);
    let is_older = received.header("authorization").is_empty() && version == STS;
    if is_older && action == ANONYMOUS {
        return Ok(Caller::default());
    }
    if received.header("authorization").is_empty() && !is_older && params.get("Signature").is_some() {
        let message = "The simulator takes signatures in the parameters from calls of the token service only.";
        return Err(SimFailure::new("InvalidSignatureMethod").with_message(message));
    }
    let signed_by_parameters = is_older && params.get("Signature").is_some();
    let claimed = if signed_by_parameters { params.get("AccessKeyId") } else { verify::claimed_key(received) };
    let session = claimed.and_then(|id| Some((id, sessions.find(id)?)));
    let issued = session.map(|(id, session)| KeyPair {
        id: id.to_owned(),
        secret: session.secret.as_str().into(),
        token: Some(session.token.as_str().into()),
    });
    let keys = issued.as_ref().unwrap_or(keys);
    let nonce = if signed_by_parameters {
        verify_parameters(received, params, keys, now)?;
        params.require("SignatureNonce")?
    } else {
        verify::verify(received, keys, now)?;
        received.header("x-acs-signature-nonce")
    };
    if session.is_some_and(|(_, session)| session.expires_at <= now) {
        return Err(SimFailure::new("InvalidSecurityToken.Expired"));
    }
    Ok(Caller { arn: session.map(|(_, session)| session.arn.clone()), nonce: Some(nonce.to_owned()) })
}

/// A signature of version 1: HMAC-SHA1 over all parameters.
fn verify_parameters(
    received: &Received<'_>,
    params: &Params,
    keys: &KeyPair,
    now: DateTime<Utc>,
) -> Result<(), SimFailure> {
    if params.require("AccessKeyId")? != keys.id {
        return Err(SimFailure::new("InvalidAccessKeyId.NotFound"));
    }
    let date = NaiveDateTime::parse_from_str(params.require("Timestamp")?, "%Y-%m-%dT%H:%M:%SZ")
        .map_err(|_| SimFailure::new("InvalidTimeStamp.Format"))?;
    if now.signed_duration_since(date.and_utc()).abs() > TOLERANCE {
        return Err(SimFailure::new("InvalidTimeStamp.Expired"));
    }
    if params.require("SignatureMethod")? != "HMAC-SHA1" || params.require("SignatureVersion")? != "1.0" {
        return Err(SimFailure::new("InvalidSignatureMethod"));
    }
    let signature = STANDARD.decode(params.require("Signature")?).unwrap_or_default();
    let secret = format!("{}&", keys.secret.expose_secret());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    if hmac::verify(&key, string_to_sign(received).as_bytes(), &signature).is_err() {
        return Err(SimFailure::new("SignatureDoesNotMatch"));
    }
    match (&keys.token, params.get("SecurityToken")) {
        (None, None) => Ok(()),
        (Some(token), Some(sent)) if token.expose_secret() == sent => Ok(()),
        (Some(_), None) => Err(SimFailure::new("MissingSecurityToken")),
        _ => Err(SimFailure::new("InvalidSecurityToken.Expired")),
    }
}

fn string_to_sign(received: &Received<'_>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let mut pairs: Vec<(String, String)> = form_pairs(received.query.as_bytes())
        .chain(form_pairs(received.body))
        .filter(|(name, _)| name != "Signature")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    format!("{}&%2F&{}", received.method, encode(&pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    /// The example of the documentation of signatures of version 1.
    #[test]
    fn the_published_example_is_reproduced() {
        let query = "Timestamp=2016-02-23T12:46:24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions\
                     &SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf\
                     &Version=2014-05-26&SignatureVersion=1.0";
        let received = Received { method: "GET", path: "/", query, headers: &HeaderMap::new(), body: b"" };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"testsecret&");
        let signature = STANDARD.encode(hmac::sign(&key, string_to_sign(&received).as_bytes()));
        assert_eq!(signature, "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }
}
