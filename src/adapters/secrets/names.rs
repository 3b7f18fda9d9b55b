//! Names whose values are secrets: keys of files, options, variables, headers.

/// How certain a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Its value is a secret wherever it stands.
    Strong,
    /// A word of prose, too: `token`, `key`.
    Weak,
    /// A header, whose value has blanks.
    Header,
}

/// Whether the value of a key with this name is secret.
pub fn is_secret_key(key: &str) -> bool {
    const WORDS: [&str; 7] =
        ["accesskeyid", "securitytoken", "sessiontoken", "password", "passwd", "privatekey", "secretkey"];
    let key = letters(key);
    key.ends_with("secret") || WORDS.iter().any(|word| key.contains(word))
}

/// What the name of a value says of it; none if it is no secret.
pub(super) fn judge(name: &str) -> Option<Name> {
    const HEADERS: [&str; 5] = ["authorization", "proxyauthorization", "cookie", "setcookie", "xauthorization"];
    const STRONG: [&str; 9] = [
        "passphrase",
        "accesskey",
        "apikey",
        "accesstoken",
        "refreshtoken",
        "authtoken",
        "privatetoken",
        "secretid",
        "apitoken",
    ];
    const WEAK: [&str; 13] =
        ["token", "pass", "pwd", "auth", "secrets", "credential", "signature", "sig", "jwt", "sas", "ak", "sk", "otp"];
    // Pages of a list, and what makes a call unique.
    const HARMLESS: [&str; 5] = ["nexttoken", "pagetoken", "clienttoken", "signatureversion", "signaturemethod"];
    const RESULTS: [&str; 4] = ["passed", "passes", "passing", "passthrough"];
    let plain = letters(name);
    if HARMLESS.iter().any(|harmless| plain.ends_with(harmless)) {
        return None;
    }
    if HEADERS.contains(&plain.as_str()) {
        return Some(Name::Header);
    }
    if is_secret_key(name) || STRONG.iter().any(|word| plain.contains(word)) {
        return Some(Name::Strong);
    }
    let last = last_word(name);
    let is_pass = plain.starts_with("pass") && !RESULTS.contains(&plain.as_str());
    let is_key = last == "key" && !plain.contains("tag") && !plain.contains("public");
    (WEAK.contains(&last.as_str()) || is_pass || is_key).then_some(Name::Weak)
}

/// Whether a name consists of several words, so that it is no word of prose.
pub(super) fn is_compound(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
        || name.trim_matches(['-', '_', '.']).contains(['_', '-'])
}

fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Of `dbPassword`, `DB_PASSWORD` and `db-password`, the last word in lower case.
fn last_word(name: &str) -> String {
    let name = name.trim_end_matches(['-', '_', '.']);
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    let has_lower = last.bytes().any(|byte| byte.is_ascii_lowercase());
    let start = if has_lower { last.rfind(|c: char| c.is_ascii_uppercase()).unwrap_or(0) } else { 0 };
    last[start..].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_words() {
        for strong in ["AccessKeySecret", "--accessKeySecret", "DB_PASSWORD", "x.security-token", "api-key", "SECRET"] {
            assert_eq!(judge(strong), Some(Name::Strong), "{strong}");
        }
        for weak in ["token", "githubToken", "KEY", "SSH_KEY", "DB_PASS", "sk", "-passin"] {
            assert_eq!(judge(weak), Some(Name::Weak), "{weak}");
        }
        assert_eq!(judge("Proxy-Authorization"), Some(Name::Header));
        for none in ["name", "NextToken", "keep", "monkey", "TagList.1.Key", "author", "compass", "", "task"] {
            assert_eq!(judge(none), None, "{none}");
        }
        assert!(is_compound("access_key_secret") && is_compound("AccessKeySecret") && !is_compound("--password"));
    }
}
