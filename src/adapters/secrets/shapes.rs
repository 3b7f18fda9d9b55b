//! Texts that look like secrets, in what others wrote: files, command lines, output of programs, errors of a service. One
//! finder for all ways in which such texts are shown. It would rather hide too much than too little.

use std::ops::Range;

use super::{
    MASK, apart,
    harmless::{is_of_sentence, is_ports, is_without_password},
    line::Line,
    names::{self, Name},
    words::{encoded_login, is_key_of_vendor, mixed_run, runs},
};

/// Options that are written with one dash and begin with the letter of a password.
const NO_PASSWORDS: [&str; 24] = [
    "profile", "path", "print", "print0", "printf", "product", "port", "project", "prefix", "parallel", "period",
    "proto", "progress", "plugin", "pid", "ppid", "prune", "prof", "perm", "poll", "page", "params", "password",
    "passwd",
];

/// What follows the name of a secret in a sentence.
const OF_SENTENCES: [&str; 19] = [
    "of", "is", "was", "has", "and", "or", "in", "to", "for", "from", "the", "must", "may", "cannot", "not", "are",
    "that", "which", "with",
];

/// Where secrets may stand in `text`, apart from each other, in order.
pub fn find(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = private_keys(text);
    let mut start = 0;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let mut of_line = Vec::new();
        of_words(line, &mut of_line);
        let line_with_quotes = Line::new(line);
        named(&line_with_quotes, &mut of_line);
        options(&line_with_quotes, &mut of_line);
        schemes(&line_with_quotes, &mut of_line);
        piped(line, &mut of_line);
        addresses(line, &mut of_line);
        found.extend(
            of_line.into_iter().filter(|range| !range.is_empty()).map(|range| start + range.start..start + range.end),
        );
        start += line.len() + 1;
    }
    // What is hidden already stays so.
    found.retain(|range| text[range.clone()].iter().any(|byte| *byte != b'*'));
    apart(found)
}

/// The text with as many asterisks in place of each secret, so that columns stay right.
pub fn hide(text: &str) -> String {
    replace(text, |secret| "*".repeat(secret.chars().count()))
}

/// The text with a mark in place of each secret.
pub fn mask(text: &str) -> String {
    replace(text, |_| MASK.to_owned())
}

fn replace(text: &str, with: impl Fn(&str) -> String) -> String {
    let mut shown = text.to_owned();
    for range in find(text.as_bytes()).into_iter().rev() {
        let hidden = with(&shown[range.clone()]);
        shown.replace_range(range, &hidden);
    }
    shown
}

/// Blocks of private keys, to their end or that of the text.
fn private_keys(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = position(&text[from..], b"PRIVATE KEY-----").map(|at| from + at + 16) {
        let end = position(&text[at..], b"-----END").map_or(text.len(), |end| at + end);
        found.push(at..end);
        from = (end + 8).min(text.len());
        // The end repeats the words of the beginning.
        from += position(&text[from..], b"-----").map_or(0, |end| end + 5);
    }
    found
}

/// Keys, secrets and tokens by their own characters.
fn of_words(line: &[u8], found: &mut Vec<Range<usize>>) {
    for run in runs(line, |byte| byte.is_ascii_alphanumeric()) {
        let word = &line[run.clone()];
        if let Some(at) = position(word, b"LTAI").filter(|at| word.len() - at >= 12) {
            found.push(run.start + at..run.end);
        }
        if mixed_run(word) {
            found.push(run.clone());
        }
        let is_temporary = |name: &[u8], least| line[..run.start].ends_with(name) && word.len() >= least;
        if is_temporary(b"STS.", 8) || is_temporary(b"TMP.", 12) {
            found.push(run.start - 4..run.end);
        }
    }
    for run in runs(line, |byte| byte.is_ascii_alphanumeric() || b"+/=_.-%~".contains(&byte)) {
        let word = &line[run.clone()];
        for beginning in [&b"CAIS"[..], b"eyJ"] {
            let at = position(word, beginning).filter(|at| word.len() - at >= 20);
            found.extend(
                at.filter(|at| *at == 0 || !word[at - 1].is_ascii_alphanumeric()).map(|at| run.start + at..run.end),
            );
        }
        // Base64 with a sign in it that paths do not have.
        let is_base64 = word.len() >= 40 && (word.contains(&b'+') || word.ends_with(b"="));
        if is_base64 && word.iter().any(u8::is_ascii_uppercase) && word.iter().any(u8::is_ascii_digit) {
            found.push(run.clone());
        }
    }
    for run in runs(line, |byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        if is_key_of_vendor(&line[run.clone()]) {
            found.push(run);
        }
    }
    for run in runs(line, |byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)) {
        // After the sign of an assignment, too.
        let at = line[run.clone()].iter().position(|byte| *byte == b'=').map_or(run.start, |at| run.start + at + 1);
        for part in [run.clone(), at.min(run.end)..run.end] {
            if encoded_login(&line[part.clone()]) {
                found.push(part);
            }
        }
    }
}

/// What follows the name of a secret and a sign: `name = value`, `name: value`, `<name>value`, `name%3Dvalue`.
fn named(line: &Line<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = line.bytes;
    for (at, byte) in bytes.iter().enumerate() {
        let (sign, length) = match byte {
            b'=' | b':' | b'>' => (*byte, 1),
            b'%' => match bytes.get(at + 1..at + 3) {
                Some(b"3D" | b"3d") => (b'=', 3),
                Some(b"3A" | b"3a") => (b':', 3),
                Some(b"25") if matches!(bytes.get(at + 3..at + 5), Some(b"3D" | b"3d")) => (b'=', 5),
                _ => continue,
            },
            _ => continue,
        };
        let name = line.name_before(at);
        let text = std::str::from_utf8(&bytes[name.clone()]).unwrap_or_default();
        let Some(kind) = names::judge(text) else { continue };
        let value = at + length;
        let rest = &bytes[value..];
        if rest.starts_with(b"//") || sign == b':' && rest.starts_with(b":") {
            continue;
        }
        if sign == b'>' {
            let is_tag = name.start > 0 && bytes[name.start - 1] == b'<';
            if is_tag {
                let end = rest.iter().position(|byte| *byte == b'<').map_or(bytes.len(), |end| value + end);
                found.push(value..end);
            }
            continue;
        }
        // What is masked already stays so.
        if rest.trim_ascii_start().starts_with(MASK.as_bytes()) {
            continue;
        }
        // The example of many texts.
        if text == "key" {
            continue;
        }
        // A folder, not a password.
        if ["PWD", "OLDPWD"].contains(&text) && rest.starts_with(b"/") {
            continue;
        }
        let has_blanks = rest.first().is_none_or(u8::is_ascii_whitespace)
            || at > 0 && bytes[at - 1].is_ascii_whitespace()
            || kind == Name::Header;
        if sign == b':' && kind == Name::Weak && has_blanks && !line.begins_at(name.start) {
            continue;
        }
        let value = line.value(value, has_blanks);
        if sign == b':' && has_blanks && is_of_sentence(&bytes[value.clone()]) {
            continue;
        }
        found.push(value);
    }
}

/// What follows an option that wants a secret: `--password x`, `-px`, `-p x`, `-u user:x`, and `set access_key_secret x`.
fn options(line: &Line<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = line.bytes;
    let lower = bytes.to_ascii_lowercase();
    let has = |word: &str| position(&lower, word.as_bytes()).is_some();
    let has_login = has("login");
    let mut program: &[u8] = b"";
    for at in line.words() {
        let word = line.word(at);
        let text = std::str::from_utf8(&bytes[word.clone()]).unwrap_or_default();
        let before = std::mem::replace(&mut program, line.whole_word(at));
        if !text.starts_with('-') {
            if names::is_compound(text) && names::judge(text) == Some(Name::Strong) {
                // In a sentence one of these follows.
                let is_secret =
                    |value: &Range<usize>| !OF_SENTENCES.iter().any(|of| bytes[value.clone()] == *of.as_bytes());
                found.extend(line.next_value(word.end).filter(is_secret));
            }
            continue;
        }
        let name = text.trim_start_matches('-');
        let is_short = !text.starts_with("--") && !name.is_empty();
        let is_of_file = ["file", "stdin", "path", "prompt"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
        if names::judge(name).is_some() && !is_of_file {
            found.extend(line.next_value(word.end));
        }
        let is_user = ["user", "proxy-user", "username", "http-user"].contains(&name);
        if is_short && name.starts_with(['p', 'P']) && !NO_PASSWORDS.contains(&name) {
            found.extend(after_letter_p(line, word.start, before, has_login));
        } else if is_user || is_short && name.starts_with(['u', 'U']) {
            let value = if is_short && name.len() > 1 && !is_user {
                Some(line.value(word.start + 2, false))
            } else if matches!(bytes.get(word.end), Some(b'=' | b':')) {
                Some(line.value(word.end + 1, false))
            } else {
                line.next_value(word.end)
            };
            found.extend(value.filter(|value| is_login(&bytes[value.clone()])));
        } else if name == "a" && has("redis") || name == "w" && has("ldap") || name == "k" && has("openssl") {
            found.extend(line.next_value(word.end));
        }
    }
}

/// What follows a `-p` at this byte, after the word `before`: a password, unless it is a port.
fn after_letter_p(line: &Line<'_>, at: usize, before: &[u8], has_login: bool) -> Option<Range<usize>> {
    let bytes = line.bytes;
    let program = before.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_secret = |value: &Range<usize>| has_login || program == b"sshpass" || !is_ports(&bytes[value.clone()]);
    let next = |end| line.next_value(end).filter(|value| !is_without_password(program) && is_secret(value));
    let value = at + 2;
    match bytes.get(value) {
        Some(b'=' | b':') => Some(line.value(value + 1, false)),
        Some(byte) if !byte.is_ascii_whitespace() && !b"`,)]".contains(byte) => {
            let is_end_of_word = line.is_quoted_by(at, *byte);
            // `mysql -p12345` is a password.
            let joined = || Some(line.value(value, false)).filter(|value| program != b"ssh" || is_secret(value));
            if is_end_of_word { next(value) } else { joined() }
        }
        _ => next(value),
    }
}

/// `user:password` or `user%password`, and no numbers of a user and a group.
fn is_login(value: &[u8]) -> bool {
    let has_sign = value.iter().any(|byte| b":%".contains(byte));
    has_sign && !value.iter().all(|byte| byte.is_ascii_digit() || b":\"'".contains(byte))
}

/// `Basic …` and `Bearer …` without the name of the header.
fn schemes(line: &Line<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = line.bytes;
    for at in line.words() {
        let word = line.word(at);
        let scheme = String::from_utf8_lossy(&bytes[word.clone()]).to_ascii_lowercase();
        let is_of_cloud = scheme == "acs3-hmac-sha256" || scheme == "acs3-rsa-sha256";
        if !is_of_cloud && !["basic", "bearer", "digest", "negotiate"].contains(&scheme.as_str()) {
            continue;
        }
        let blanks = bytes[word.end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if blanks == 0 {
            continue;
        }
        let value = line.value(word.end + blanks, is_of_cloud);
        let secret = &bytes[value.clone()];
        let is_token = secret.iter().any(|byte| byte.is_ascii_digit() || b"=+/_".contains(byte)) || secret.len() >= 20;
        if is_of_cloud || secret.len() >= 8 && is_token {
            found.push(value);
        }
    }
}

/// What is written to the standard input of a program that reads a password from there.
fn piped(line: &[u8], found: &mut Vec<Range<usize>>) {
    const READERS: [&str; 5] = ["stdin", "sudo -S", "passwd", "smbclient", "kinit"];
    let mut start = 0;
    for pipe in (0..line.len()).filter(|at| line[*at] == b'|') {
        let reads = READERS.iter().any(|word| position(&line[pipe..], word.as_bytes()).is_some());
        for writer in ["echo ", "printf ", "<<< "].iter().filter(|_| reads) {
            if let Some(at) = position(&line[start..pipe], writer.as_bytes()) {
                found.push(start + at + writer.len()..pipe);
            }
        }
        start = pipe + 1;
    }
}

/// The user and password of an address, its query, and its path where that is the key.
fn addresses(line: &[u8], found: &mut Vec<Range<usize>>) {
    let is_end = |byte: u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(&byte);
    for run in runs(line, |byte| !is_end(byte)) {
        let word = &line[run.clone()];
        let shifted = |range: Range<usize>| run.start + range.start..run.start + range.end;
        let Some(host) = position(word, b"://").map(|at| at + 3) else {
            let of_list = |byte: u8| !b"()[]{},".contains(&byte);
            let logins = runs(word, of_list).into_iter().filter_map(|part| {
                login(&word[part.clone()]).map(|range| part.start + range.start..part.start + range.end)
            });
            found.extend(logins.map(shifted));
            continue;
        };
        let login = word.iter().rposition(|byte| *byte == b'@').filter(|end| *end > host);
        found.extend(login.map(|end| shifted(host..end)));
        if let Some(query) = word[host..].iter().position(|byte| *byte == b'?').map(|at| host + at + 1)
            && !is_harmless_query(&word[query..])
        {
            found.push(shifted(query..word.len()));
        }
        for folder in ["/hook/", "/hooks/", "/webhook/", "/webhooks/", "hooks.slack.com/services/", "telegram.org/bot"]
        {
            if let Some(at) = position(word, folder.as_bytes()) {
                found.push(shifted(at + folder.len()..word.len()));
            }
        }
    }
}

/// What stands before the last `@` of a word without a scheme, if a colon shows that it is a login.
fn login(word: &[u8]) -> Option<Range<usize>> {
    let end = word.iter().rposition(|byte| *byte == b'@')?;
    let before = &word[..end];
    // The name of a user of the cloud, and the digest of an image of containers.
    if before.starts_with(b"acs:") || word[end..].starts_with(b"@sha256:") {
        return None;
    }
    let colon = before.iter().position(|byte| *byte == b':').filter(|colon| colon + 1 < end)?;
    let name = before.iter().position(|byte| *byte == b'=').filter(|equals| *equals < colon);
    Some(name.map_or(0, |equals| equals + 1)..end)
}

/// The pages of the cloud's help name an error in their query.
fn is_harmless_query(query: &[u8]) -> bool {
    const HARMLESS: [&str; 6] = ["q", "product", "requestid", "version", "lang", "page"];
    let query = String::from_utf8_lossy(query).to_ascii_lowercase();
    query.split('&').all(|pair| HARMLESS.contains(&pair.split('=').next().unwrap_or_default()))
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::secrets::examples::EXAMPLES;

    #[test]
    fn no_example_shows_its_secret() {
        let shown: Vec<String> = EXAMPLES
            .iter()
            .filter_map(|(text, secrets)| {
                let shown = mask(text);
                secrets.iter().any(|secret| shown.contains(secret)).then(|| format!("{text}\n    {shown}"))
            })
            .collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }

    #[test]
    fn other_texts_stay() {
        for same in [
            "",
            "bake 7 of golden failed: the image m-0ab1cd2ef3gh4ij5k is gone",
            "request 4B31F4C2-9C1E-5A0E-8D3B-6A2F7C9D1E0F of acs:ram::123456789:user/baker",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "0 3 * * * /opt/bake.sh --instance-id ecd-1 --keep 7 -v",
            "name = \"golden\"  # the one",
            "credentials = \"profile:bake\"",
            "https://api.aliyun.com/troubleshoot?q=InvalidAccessKeyId.NotFound&product=Sts",
            "see https://example.com/path/to at 3:00",
            "ask ops@example.com, or git@host:path",
            "unknown key `token`; a token, an access_key_secret",
            "the access_key_secret of profile x is empty, and its security_token has a blank",
            "PWD=/opt",
            "all 12 tests passed: ok",
            "NextToken=abc",
            "don't stop; it's fine",
            "docker run -u 1000:1000 x",
            "find / -print -path x",
            "/var/lib/imagebaked/Backups2026/HistoryOfBakes/imagebaked.db",
            "mkdir -p /opt/x",
            "sudo cp -p a b",
            "ssh -p 2222 baker@host",
            "/usr/bin/ssh -p2222 host",
            "docker run -p 8080:80 -p 127.0.0.1:8443:443/tcp x",
            "[\"ssh\", \"-p\", \"2222\", \"host\"]",
            "nmap -p 1-1024 host",
            "password: at least 8 characters",
            "password: must have a digit, and no letters of the name",
            "error: access_key_secret: is not set",
        ] {
            assert_eq!(mask(same), same);
        }
    }

    #[test]
    fn what_stands_around_a_secret_stays() {
        for (text, shown) in [
            ("mysql -pswordfish db", "mysql -p*** db"),
            ("curl -u user:pw host", "curl -u *** host"),
            ("{\"password\":\"x\",\"a\":1}", "{\"password\":***,\"a\":1}"),
            ("curl -H 'Authorization: Bearer x' host", "curl -H 'Authorization:***' host"),
            ("KEY=abc /opt/bake.sh ecd-1", "KEY=*** /opt/bake.sh ecd-1"),
            ("sh -c \"sshpass -p pw ssh host\"", "sh -c \"sshpass -p *** ssh host\""),
            ("https://u:p@host/x?y=z end", "https://***@host/x?*** end"),
            ("a=1\npassword=x\nb=2", "a=1\npassword=***\nb=2"),
            (
                "-----BEGIN PRIVATE KEY-----\nMII\nx\n-----END PRIVATE KEY-----\nok",
                "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\nok",
            ),
        ] {
            assert_eq!(mask(text), shown);
            assert_eq!(mask(shown), shown, "once is enough");
            assert_eq!(hide(text).chars().count(), text.chars().count());
        }
    }

    #[test]
    fn any_length_is_one_walk() {
        let begun = std::time::Instant::now();
        for unit in [
            "-p ",
            "password=",
            "\"",
            "a:b@",
            "://?",
            "Basic ",
            "LTAI",
            "=",
            "-----BEGIN PRIVATE KEY-----",
            "set a_b_password ",
        ] {
            let text = unit.repeat(8_192 / unit.len());
            assert!(find(text.as_bytes()).iter().all(|range| range.end <= text.len()), "{unit}");
        }
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn no_example_shows_its_secret_among_others(
            picked in prop::collection::vec((0..EXAMPLES.len(), "[ \\t]{0,2}"), 1..4), before in "[ -~中]{0,20}", after in "[ -~中]{0,20}",
        ) {
            let lines: Vec<String> = picked.iter().map(|(at, indent)| format!("{indent}{}", EXAMPLES[*at].0)).collect();
            let text = format!("{before}\n{}\n{after}", lines.join("\n"));
            let shown = mask(&text);
            for (at, _) in &picked {
                for secret in EXAMPLES[*at].1 {
                    prop_assert!(!shown.contains(secret) || before.contains(secret) || after.contains(secret), "{text}\n{shown}");
                }
            }
        }

        #[test]
        fn any_bytes_are_taken(text in prop::collection::vec(any::<u8>(), 0..200), line in "([-=:@%'\"\\\\ ]|password|中|-p|://|Basic |eyJ){0,30}") {
            for range in find(&text) {
                prop_assert!(range.end <= text.len());
            }
            prop_assert_eq!(hide(&line).chars().count(), line.chars().count());
        }
    }
}
