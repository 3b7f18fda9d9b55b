//! Words that are secrets by their own characters.

use std::ops::Range;

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};

/// Length of the secret of an access key.
const SECRET: usize = 30;
/// Length from which a word of mixed letters and digits is no name.
const MIXED: usize = 28;

/// How tokens of other services begin.
const BEGINNINGS: [&str; 20] = [
    "AKIA",
    "ASIA",
    "AKID",
    "AIza",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "sk-",
    "sk_live_",
    "rk_live_",
    "hvs.",
    "dop_v1_",
    "pypi-",
];

/// The longest runs of such bytes.
pub(super) fn runs(line: &[u8], is_of_run: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in line.iter().enumerate() {
        match (is_of_run(*byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| from..line.len()));
    found
}

/// Whether a word is long, and of capitals, small letters and digits. Ids and hashes of the cloud have no capitals.
pub(super) fn mixed_run(word: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| word.iter().any(is);
    let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let changes = word.windows(2).filter(|pair| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase()).count();
    let is_random = has(u8::is_ascii_digit) || word.len() == SECRET && changes >= 10;
    word.len() >= MIXED && is_mixed && is_random
}

/// Whether a word is a key or a token of another service.
pub(super) fn is_key_of_vendor(word: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| {
        word.strip_prefix(beginning.as_bytes())
            .is_some_and(|rest| rest.len() >= 12 && rest.iter().any(u8::is_ascii_digit))
    })
}

/// Whether a word is `user:password` in base64.
pub(super) fn encoded_login(word: &[u8]) -> bool {
    let end = word.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
    let word = &word[..end];
    if !(8..=2_000).contains(&word.len()) {
        return false;
    }
    let decoded = BASE64_STANDARD_NO_PAD.decode(word).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(word));
    decoded.is_ok_and(|text| {
        let colon = text.iter().position(|byte| *byte == b':');
        let is_inside = colon.is_some_and(|colon| colon > 0 && colon + 1 < text.len());
        is_inside && text.iter().all(|byte| (b' '..=b'~').contains(byte))
    })
}
