//! The ACS3-HMAC-SHA256 signature, as pure functions: names and values in, text out.
//!
//! A request is reduced to a canonical text; its hash is signed with the access key secret. The `Authorization` header
//! has the signature and the list of signed headers. A verifier builds the same text from that list, so client and
//! simulator use the same functions.

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Name of the algorithm: first line of the string to sign, first word of the `Authorization` header.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The content of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Access key id of the signer.
    pub access_key_id: String,
    /// Lower-case names of the headers that the signature covers, sorted.
    pub signed_headers: Vec<String>,
    /// 64 lower-case hex digits.
    pub signature: String,
}

impl Authorization {
    /// Parses a header's value; `None` for another algorithm or a missing part.
    pub fn parse(value: &str) -> Option<Self> {
        let parts: Vec<(&str, &str)> =
            value.strip_prefix(ALGORITHM)?.trim().split(',').filter_map(|part| part.trim().split_once('=')).collect();
        let part = |name: &str| parts.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        Some(Self {
            access_key_id: part("Credential")?.to_owned(),
            signed_headers: part("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: part("Signature")?.to_owned(),
        })
    }
}

/// The `Authorization` header's value.
pub fn authorization(access_key_id: &str, signed_header_names: &[&str], signature: &str) -> String {
    let signed = signed_list(signed_header_names);
    format!("{ALGORITHM} Credential={access_key_id},SignedHeaders={signed},Signature={signature}")
}

/// The text whose hash is signed. `query` has decoded pairs; only the `headers` in `signed_header_names` count.
pub fn canonical_request(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
    signed_header_names: &[&str],
    body_sha256: &str,
) -> String {
    let path = if path.is_empty() { "/" } else { path };
    let query = canonical_query(query);
    let signed = signed_list(signed_header_names);
    let headers: String = signed.split(';').map(|name| canonical_header(name, headers)).collect();
    format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{body_sha256}")
}

/// Pairs sorted by decoded name and percent-encoded: a space is `%20`, never the `+` that forms may have on the wire.
pub fn canonical_query(pairs: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    sorted.sort();
    let encoded: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    encoded.join("&")
}

/// The string to sign for a canonical request.
pub fn string_to_sign(canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// The signature: lower-case hex of HMAC-SHA256 under the secret as it is.
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "HMAC takes keys of every length, so the constructor has no failing case"
)]
pub fn sign(access_key_secret: &str, string_to_sign: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(access_key_secret.as_bytes()).expect("HMAC takes any key");
    mac.update(string_to_sign.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Lower-case hex of SHA-256, as in `x-acs-content-sha256` for the raw body.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Parses a query or a form, in which a space may be `+` or `%20`. Invalid UTF-8 becomes U+FFFD.
pub fn decode_pairs(wire: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    wire.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn signed_list(names: &[&str]) -> String {
    let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    names.join(";")
}

/// `name:value` and a line end; several values of one name are sorted and joined, as the signature asks.
fn canonical_header(name: &str, headers: &[(String, String)]) -> String {
    let mut values: Vec<&str> =
        headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
    values.sort_unstable();
    format!("{name}:{}\n", values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn encodes_all_but_the_unreserved() {
        assert_eq!(encode("aZ0-_.~"), "aZ0-_.~");
        assert_eq!(encode(" +*'()/中"), "%20%2B%2A%27%28%29%2F%E4%B8%AD");
    }

    #[test]
    fn wire_forms_of_a_space_are_the_same() {
        assert_eq!(
            decode_pairs("a=b+c&d=%20+&e=&f"),
            [pair("a", "b c"), pair("d", "  "), pair("e", ""), pair("f", "")]
        );
    }

    #[test]
    fn query_is_sorted_as_text() {
        let pairs = [pair("TagList.2.Key", "b"), pair("TagList.10.Key", "a b"), pair("Empty", "")];
        assert_eq!(canonical_query(&pairs), "Empty=&TagList.10.Key=a%20b&TagList.2.Key=b");
    }

    #[test]
    fn authorization_reads_what_it_writes() {
        let parsed = Authorization::parse(&authorization("key", &["x-acs-date", "Host"], "00ff")).unwrap();
        assert_eq!(parsed.access_key_id, "key");
        assert_eq!(parsed.signed_headers, ["host", "x-acs-date"]);
        assert_eq!(parsed.signature, "00ff");
        assert_eq!(Authorization::parse("ACS3-HMAC-SHA256 Credential=key"), None);
        assert_eq!(Authorization::parse("Basic abc"), None);
    }
}
