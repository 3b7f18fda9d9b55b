//! Client of a request, for the audit: the user id from the kernel, and its name.

/// The host's own users. Those of a directory service stay numbers: a lookup needs the C library, and may take long.
const PASSWD: &str = "/etc/passwd";
/// Its groups.
const GROUP: &str = "/etc/group";

/// A group of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name; `None` if the host does not know it.
    pub name: Option<String>,
    /// Its users, also those whose first group it is, in order.
    pub members: Vec<u32>,
}

/// The group with this number.
pub fn group(gid: u32) -> Group {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    group_in(gid, &read(GROUP), &read(PASSWD))
}

fn group_in(gid: u32, groups: &str, passwd: &str) -> Group {
    let of_number = |line: &str| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?.to_owned(), fields.next()?, fields.next()?);
        let members = fields.next().unwrap_or_default().to_owned();
        (number.parse() == Ok(gid) && !name.is_empty()).then_some((name, members))
    };
    let found = groups.lines().find_map(of_number);
    let (name, named) = found.map_or((None, String::new()), |(name, members)| (Some(name), members));
    let mut members: Vec<u32> = named.split(',').filter_map(|name| number_in(name.trim(), passwd)).collect();
    members.extend(passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, first, ..] = fields.as_slice() else { return None };
        (first.parse() == Ok(gid)).then(|| uid.parse::<u32>().ok())?
    }));
    members.sort_unstable();
    members.dedup();
    Group { name, members }
}

/// All groups of a user of this host: the first one, and those that name the user.
pub fn groups_of(uid: u32) -> Vec<u32> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    groups_in(uid, &read(GROUP), &read(PASSWD))
}

fn groups_in(uid: u32, groups: &str, passwd: &str) -> Vec<u32> {
    let user = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, first, ..] = fields.as_slice() else { return None };
        let is_meant = number.parse() == Ok(uid) && !name.is_empty();
        Some(((*name).to_owned(), first.parse::<u32>().ok()?)).filter(|_| is_meant)
    });
    let Some((name, first)) = user else { return Vec::new() };
    let mut all = vec![first];
    all.extend(groups.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, number, members, ..] = fields.as_slice() else { return None };
        members.split(',').any(|member| member.trim() == name).then(|| number.parse::<u32>().ok())?
    }));
    all
}

/// Number of a group of this host.
pub fn group_number_of(name: &str) -> Option<u32> {
    number_in(name, &std::fs::read_to_string(GROUP).unwrap_or_default())
}

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
    fn groups_have_the_users_that_name_them_as_well() {
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:50:A:/:/bin/sh\nbob:x:1001:1001:B:/:/bin/sh\nx:x:y\n";
        let groups = "root:x:0:\nbroken\nstaff:x:50:bob,carol\nbob:x:1001:\n";
        let of = |gid| group_in(gid, groups, passwd);
        assert_eq!(of(50), Group { name: Some("staff".to_owned()), members: vec![1000, 1001] });
        assert_eq!(of(1001), Group { name: Some("bob".to_owned()), members: vec![1001] });
        assert_eq!(of(7), Group { name: None, members: Vec::new() });
        assert_eq!(groups_in(1001, groups, passwd), [1001, 50]);
        assert_eq!((groups_in(1000, groups, passwd), groups_in(7, groups, passwd)), (vec![50], Vec::new()));
        assert_eq!(number_in("staff", groups), Some(50));
    }

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
