//! Client of a request, for the audit: the user id from the kernel, and its name.

/// The host's own users. Those of a directory service stay numbers: a lookup needs the C library, and may take long.
const PASSWD: &str = "/etc/passwd";

/// `uid 1000 (alice)`, or `uid 1000` where the host has no name for it.
pub fn person(uid: u32) -> String {
    named(uid, &std::fs::read_to_string(PASSWD).unwrap_or_default())
}

/// The user of this process.
pub fn oneself() -> String {
    person(rustix::process::getuid().as_raw())
}

/// Number of a user of this host.
pub fn number_of(name: &str) -> Option<u32> {
    number_in(name, &std::fs::read_to_string(PASSWD).unwrap_or_default())
}

fn number_in(name: &str, passwd: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (user, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (user == name && !name.is_empty()).then(|| number.parse().ok())?
    })
}

fn named(uid: u32, passwd: &str) -> String {
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    });
    match name {
        Some(name) => format!("uid {uid} ({name})"),
        None => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_a_number_and_mostly_a_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\n# note\n\nbroken:x\n:x:7:7::/:\nalice:x:1000:1000:A,,,:/home/a:/bin/sh\n";
        assert_eq!(named(1000, passwd), "uid 1000 (alice)");
        assert_eq!(named(0, passwd), "uid 0 (root)");
        assert_eq!(named(7, passwd), "uid 7");
        assert_eq!(named(100, passwd), "uid 100");
        assert_eq!(named(100, ""), "uid 100");
        assert_eq!(
            [number_in("alice", passwd), number_in("", passwd), number_in("bob", passwd)],
            [Some(1000), None, None]
        );
    }
}
