//! Secrets in texts that are stored and shown: those that this process knows, in the output of programs that run beside it
//! and in answers, and what looks like one ([`shapes`]).

#[cfg(test)]
pub(crate) mod examples;
mod harmless;
mod line;
mod names;
mod parts;
pub mod shapes;
mod views;
mod words;

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::{names::is_secret_key, parts::Parts};

/// In the place of a secret.
pub const MASK: &str = "***";
/// Longer secrets are known in pieces, so that the end of a cut output has no half of one.
pub const LONGEST_PIECE: usize = 1024;
/// Length of the longest piece as others may write it: each byte as `%XX`, or more lines.
pub const LONGEST_WRITTEN: usize = 4 * LONGEST_PIECE;
/// Shorter texts occur in any output.
const SHORTEST: usize = 6;
/// Those of a day: a source has a key, a secret and a token, which are renewed every hour.
const MOST: usize = 256;

/// The secrets, the latest last: each as it is and in the forms in which base64 may have it.
#[derive(Default)]
pub struct KnownSecrets(Mutex<VecDeque<[SecretString; 4]>>);

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSecrets").finish_non_exhaustive()
    }
}

impl KnownSecrets {
    /// Adds a secret.
    pub fn learn(&self, secret: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces(secret) {
            known.retain(|[one, ..]| one.expose_secret() != piece);
            let [first, second, third] = [0, 1, 2].map(|before| SecretString::from(in_base64(piece, before)));
            known.push_back([piece.into(), first, second, third]);
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

    /// Where secrets stand in `bytes`, whole, divided by line ends or encoded: apart from each other, in order.
    pub fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // By their first byte: a text is walked through once.
        let mut by_first: Vec<Vec<&[u8]>> = vec![Vec::new(); 256];
        for form in known.iter().flatten().map(|form| form.expose_secret().as_bytes()) {
            if let Some(first) = form.first().filter(|_| form.len() >= SHORTEST) {
                by_first[usize::from(*first)].push(form);
            }
        }
        let mut found = Vec::new();
        for view in views::of(bytes) {
            for (at, first) in view.bytes().iter().enumerate() {
                for form in &by_first[usize::from(*first)] {
                    if view.bytes()[at..].starts_with(form) {
                        found.push(view.source(at..at + form.len()));
                    }
                }
            }
        }
        drop(known);
        apart(found)
    }
}

/// The characters of base64 that depend on `text` alone, where `before` bytes (modulo 3) stand before it.
fn in_base64(text: &str, before: usize) -> String {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(text.bytes()).collect();
    let encoded = BASE64_STANDARD_NO_PAD.encode(&bytes);
    // A character has six bits; the first and the last may have bits of neighbours.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded.get(first..end).unwrap_or_default().to_owned()
}

/// The same ranges in order, with those in one that overlap.
pub fn apart(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
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
    fn it_is_found_in_base64_percent_signs_escapes_and_over_line_ends() {
        let known = KnownSecrets::default();
        let secret = "Zx/9+aB8q?>Q2w3E4r5T6y7U8i9O0p";
        known.learn(secret);
        let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let all = percent(secret);
        for text in [
            all.clone(),
            all.to_uppercase(),
            percent(&all),
            secret.replace('/', "%2F").replace('?', "%3f"),
            secret.replace('/', "\\/").replace('+', "\\u002b"),
            format!("{}\n{}", &secret[..9], &secret[9..]),
            format!("{}\r\n    {}\n{}", &secret[..3], &secret[3..20], &secret[20..]),
            format!("{}\\\n{}", &secret[..9], &secret[9..]),
        ] {
            assert_eq!(masked(&known, &format!("a {text} b")), "a *** b", "{text}");
        }
        for before in ["", "u", "us", "user:"] {
            for after in ["", "!", "!!"] {
                let plain = BASE64_STANDARD_NO_PAD.encode(format!("{before}{secret}{after}"));
                let divided: Vec<String> =
                    plain.as_bytes().chunks(16).map(|line| String::from_utf8_lossy(line).into()).collect();
                let url_safe = plain.replace('+', "-").replace('/', "_");
                for text in [plain.clone(), divided.join("\n"), url_safe, plain.replace('/', "%2F").replace('+', "%2B")]
                {
                    let shown = masked(&known, &text);
                    assert!(shown.contains(MASK) && shown.len() < MASK.len() + 14, "{text}: {shown}");
                }
            }
        }
        assert_eq!(masked(&known, "100% of\nnothing \\ here%"), "100% of\nnothing \\ here%");
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
