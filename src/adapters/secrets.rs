//! The secrets that this process knows: the output of programs that run beside it may contain them, and is stored and
//! shown.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

/// As addresses and forms are written.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// In the place of a secret.
pub const MASK: &str = "***";
/// Longer secrets are known in pieces, so that the end of a cut output has no half of one.
pub const LONGEST_PIECE: usize = 1024;
/// Shorter texts occur in any output.
const SHORTEST: usize = 6;
/// Those of a day: a source has a key, a secret and a token, which are renewed every hour.
const MOST: usize = 256;

/// The secrets, the latest last.
#[derive(Default)]
pub struct KnownSecrets(Mutex<VecDeque<SecretString>>);

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSecrets").finish_non_exhaustive()
    }
}

impl KnownSecrets {
    /// Adds a secret, as it is and as it is written in an address.
    pub fn learn(&self, secret: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let encoded = utf8_percent_encode(secret, ENCODED).to_string();
        for text in [Some(secret), Some(encoded.as_str()).filter(|encoded| *encoded != secret)].into_iter().flatten() {
            for piece in pieces(text) {
                known.retain(|one| one.expose_secret() != piece);
                known.push_back(SecretString::from(piece));
            }
        }
        while known.len() > MOST {
            known.pop_front();
        }
    }

    /// Overwrites secrets in `bytes`, and returns whether there were any.
    pub fn blot(&self, bytes: &mut [u8]) -> bool {
        let found = self.find(bytes);
        for range in &found {
            bytes[range.clone()].fill(b'*');
        }
        !found.is_empty()
    }

    /// Where secrets stand in `bytes`: apart from each other, in order.
    pub fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Range<usize>> = Vec::new();
        for secret in known.iter().map(|secret| secret.expose_secret().as_bytes()) {
            let places = bytes.windows(secret.len()).enumerate().filter(|(_, window)| *window == secret);
            found.extend(places.map(|(at, _)| at..at + secret.len()));
        }
        drop(known);
        found.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        apart
    }
}

/// A text in pieces of at most [`LONGEST_PIECE`] bytes and at least [`SHORTEST`]; none of a shorter text.
fn pieces(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while rest.len() > LONGEST_PIECE {
        // What is left is no piece too short to be known.
        let mut end = LONGEST_PIECE.min(rest.len() - SHORTEST);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = rest.split_at(end);
        all.push(piece);
        rest = more;
    }
    if rest.len() >= SHORTEST {
        all.push(rest);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(known: &KnownSecrets, text: &str) -> String {
        let mut out = text.to_owned();
        for range in known.find(text.as_bytes()).into_iter().rev() {
            out.replace_range(range, MASK);
        }
        out
    }

    #[test]
    fn every_known_secret_is_found_in_each_of_its_forms() {
        let known = KnownSecrets::default();
        for secret in ["hush-hush", "CAIS+/token==", "short", "hush-hush-more"] {
            known.learn(secret);
        }
        assert_eq!(masked(&known, "a=hush-hush b=hush-hushhush-hush-more!"), "a=*** b=***!");
        assert_eq!(masked(&known, "t=CAIS%2B%2Ftoken%3D%3D CAIS+/token=="), "t=*** ***");
        assert_eq!(masked(&known, "short"), "short", "it is a word of any output");
        assert!(!format!("{known:?}").contains("hush"));
    }

    #[test]
    fn long_ones_are_found_piece_by_piece_and_old_ones_are_forgotten() {
        let known = KnownSecrets::default();
        let long: String = (0..700).map(|n| format!("{n:04}")).collect();
        known.learn(&long);
        assert_eq!(masked(&known, &long), MASK);
        assert!(masked(&known, &long[100..]).starts_with(&long[100..LONGEST_PIECE]), "a piece is whole or not");
        assert_eq!(
            pieces(&"x".repeat(LONGEST_PIECE + 2)).iter().map(|piece| piece.len()).collect::<Vec<_>>(),
            [1020, 6]
        );
        for n in 0..2 * MOST {
            known.learn(&format!("secret-number-{n}"));
        }
        assert_eq!(known.0.lock().unwrap().len(), MOST);
        assert_eq!(masked(&known, &format!("secret-number-{}", 2 * MOST - 1)), MASK);
    }
}
