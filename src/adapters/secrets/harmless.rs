//! What stands where a secret may stand, and is none: ports, and the rest of a sentence.

use std::net::Ipv4Addr;

/// How the rest of a sentence begins after the name of a secret and a colon.
const BEGINNINGS: [&str; 14] =
    ["at", "must", "should", "is", "was", "are", "not", "no", "too", "cannot", "may", "needs", "has", "the"];
/// What such a sentence says. A password may begin like one, so that one of these is asked for, too.
const SAID: [&str; 21] = [
    "characters",
    "character",
    "letters",
    "letter",
    "digits",
    "digit",
    "bytes",
    "required",
    "expired",
    "missing",
    "empty",
    "set",
    "given",
    "found",
    "short",
    "long",
    "match",
    "readable",
    "valid",
    "wrong",
    "incorrect",
];

/// Programs whose `-p` wants no password.
pub(super) fn is_without_password(program: &[u8]) -> bool {
    [&b"mkdir"[..], b"cp", b"rsync", b"tar", b"install"].contains(&program)
}

/// Whether the value of `-p` is a port, a range of ports or a forwarded one: `2222`, `8080:80`, `127.0.0.1:80:80/tcp`.
/// Passwords of at most five digits look alike.
pub(super) fn is_ports(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let text = text.trim_matches(['"', '\'']).trim_end_matches([',', ';']);
    let text = text.strip_suffix("/tcp").or_else(|| text.strip_suffix("/udp")).unwrap_or(text);
    let ports = match text.split_once(':') {
        Some((host, ports)) if host.parse::<Ipv4Addr>().is_ok() => ports,
        _ => text,
    };
    let is_port = |part: &str| {
        (1..=5).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u16>().is_ok()
    };
    ports.split([':', '-', ',']).all(is_port)
}

/// Whether a value with blanks, without quotes, is the rest of a sentence: words and small numbers alone, which begin and
/// speak as a rule or a complaint does.
pub(super) fn is_of_sentence(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let is_plain = |word: &str| {
        let is_word = word.bytes().skip(1).all(|byte| byte.is_ascii_lowercase());
        let begins = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        begins && is_word || word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    let words: Vec<&str> = text.split_ascii_whitespace().map(|word| word.trim_end_matches([',', '.', ';'])).collect();
    let [first, rest @ ..] = &*words else { return false };
    BEGINNINGS.contains(first) && rest.iter().any(|word| SAID.contains(word)) && words.iter().all(|word| is_plain(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_that_ports_have() {
        for ports in ["22", "65535", "8080:80", "127.0.0.1:8080:80/tcp", "\"2222\"", "1-1024", "80,443"] {
            assert!(is_ports(ports.as_bytes()), "{ports}");
        }
        for other in ["", "123456", "65536", "8080:swordfish", "pw:80", ":80", "12a", "host:80:80", "2222x"] {
            assert!(!is_ports(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_sentence_begins_and_speaks_as_one() {
        for sentence in
            [" at least 8 characters", "must not be empty.", "is too short, at least 12 characters", "not set"]
        {
            assert!(is_of_sentence(sentence.as_bytes()), "{sentence}");
        }
        for other in [
            "",
            " correct horse battery",
            "the quick brown fox",
            "at noon the horse",
            "at least Tr0ub4dor characters",
            "must be 123456 characters",
            "characters at",
            "\"not set\"",
        ] {
            assert!(!is_of_sentence(other.as_bytes()), "{other}");
        }
    }
}
