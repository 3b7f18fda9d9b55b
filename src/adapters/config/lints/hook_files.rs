//! Whether the service's user can start a program of this host.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::process::{getegid, geteuid};

/// User of the service, as the unit of the distribution has it.
const USER: &str = "imagebaked";
/// Folders that the unit hides from the service.
const HIDDEN: [(&str, &str); 5] = [
    ("/home", "ProtectHome=yes"),
    ("/root", "ProtectHome=yes"),
    ("/run/user", "ProtectHome=yes"),
    ("/tmp", "PrivateTmp=yes"),
    ("/var/tmp", "PrivateTmp=yes"),
];

/// Why a program cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

/// What is known of programs: many schedules have the same hook.
#[derive(Default)]
pub(super) struct HookFiles {
    user: Option<User>,
    known: HashMap<PathBuf, Option<Fault>>,
}

impl HookFiles {
    pub(super) fn fault(&mut self, program: &Path) -> Option<Fault> {
        if let Some(known) = self.known.get(program) {
            return known.clone();
        }
        let user = self.user.get_or_insert_with(User::of_service);
        let fault = fault(program, user);
        self.known.insert(program.to_owned(), fault.clone());
        fault
    }
}

fn fault(program: &Path, user: &User) -> Option<Fault> {
    let shown = program.display();
    let cannot = |message: String, hint: String| Some(Fault { code: "hook-not-executable", message, hint });
    if let Some(option) = user.name.as_ref().and_then(|_| hidden_by(program)) {
        let hint = "put it into /usr/local/bin, or change the unit with `systemctl edit imagebaked`";
        return cannot(format!("the service does not see `{shown}`: its unit has {option}"), hint.to_owned());
    }
    let metadata = match fs::metadata(program) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let message = format!("there is no program `{shown}` on this host");
            let text = program.to_string_lossy();
            let words: Vec<&str> = text.split_whitespace().collect();
            let hint = match words.first().filter(|first| words.len() > 1 && Path::new(first).is_file()) {
                Some(_) => format!("arguments are strings of their own: {words:?}"),
                None => "a bake whose `before` hook cannot start fails: install it, or correct the path".to_owned(),
            };
            return Some(Fault { code: "hook-missing", message, hint });
        }
        // This user may not see it; the service may.
        Err(_) => return None,
    };
    if metadata.is_dir() {
        return cannot(format!("`{shown}` is a folder"), "name the program in it".to_owned());
    }
    if !metadata.is_file() {
        return cannot(format!("`{shown}` is no program: it is no regular file"), "name the program".to_owned());
    }
    let who = user.name.as_deref().map_or_else(|| "this user".to_owned(), |name| format!("the service's user {name}"));
    let closed =
        program.ancestors().skip(1).find(|folder| fs::metadata(folder).is_ok_and(|found| !user.may_execute(&found)));
    if let Some(folder) = closed {
        let folder = folder.display();
        return cannot(format!("{who} may not enter {folder}, where `{shown}` is"), format!("chmod a+x {folder}"));
    }
    if !user.may_execute(&metadata) {
        let message = match metadata.mode() & 0o111 {
            0 => format!("`{shown}` is not executable"),
            _ => format!("{who} may not execute `{shown}`"),
        };
        return cannot(message, format!("chmod a+rx {shown}"));
    }
    let interpreter = interpreter(program)?;
    if interpreter.ends_with('\r') {
        let message = format!(
            "the first line of `{shown}` ends with a carriage return, which is taken for part of its interpreter"
        );
        return cannot(message, format!("save it with Unix line ends: sed -i 's/\\r$//' {shown}"));
    }
    let missing = !Path::new(&interpreter).exists();
    missing.then(|| Fault {
        code: "hook-missing",
        message: format!("there is no `{interpreter}` on this host, which the first line of `{shown}` names"),
        hint: "install it, or correct the first line".to_owned(),
    })
}

/// The option of the unit that hides the program.
fn hidden_by(program: &Path) -> Option<&'static str> {
    HIDDEN.iter().find(|(folder, _)| program.starts_with(folder)).map(|(_, option)| *option)
}

/// The interpreter of a script.
fn interpreter(program: &Path) -> Option<String> {
    let mut first = Vec::new();
    File::open(program).ok()?.take(256).read_to_end(&mut first).ok()?;
    let text = String::from_utf8_lossy(&first);
    let line = text.strip_prefix("#!")?.split('\n').next()?;
    let word = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// A user and his groups.
#[derive(Debug)]
struct User {
    /// The name of the service's user; `None` where it does not exist and that of this process counts.
    name: Option<String>,
    uid: u32,
    groups: Vec<u32>,
}

impl User {
    fn of_service() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::find(USER, &read("/etc/passwd"), &read("/etc/group")).unwrap_or_else(|| Self {
            name: None,
            uid: geteuid().as_raw(),
            groups: vec![getegid().as_raw()],
        })
    }

    fn find(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = passwd.lines().map(fields).find(|entry| entry.first().is_some_and(|first| first == name))?;
        let mut groups = vec![entry.get(3)?.parse().ok()?];
        let member =
            |entry: &Vec<String>| entry.get(3).is_some_and(|members| members.split(',').any(|one| one == name));
        groups.extend(group.lines().map(fields).filter(member).filter_map(|entry| entry.get(2)?.parse::<u32>().ok()));
        Some(Self { name: Some(name.to_owned()), uid: entry.get(2)?.parse().ok()?, groups })
    }

    /// Whether the mode lets the user execute a file or enter a folder. Access lists are not read.
    fn may_execute(&self, metadata: &Metadata) -> bool {
        let bit = match metadata {
            _ if self.uid == 0 => 0o111,
            metadata if metadata.uid() == self.uid => 0o100,
            metadata if self.groups.contains(&metadata.gid()) => 0o010,
            _ => 0o001,
        };
        metadata.is_dir() && self.uid == 0 || metadata.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn this_user() -> User {
        User { name: None, uid: geteuid().as_raw(), groups: vec![getegid().as_raw()] }
    }

    #[test]
    fn programs_that_cannot_start_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            fault(&path, &this_user()).map(|fault| (fault.code, fault.message))
        };
        assert_eq!(file("sound", "#!/bin/sh\nexit 0\n", 0o755), None);
        assert_eq!(file("binary", "\u{7f}ELF", 0o755), None);
        let message = |found: Option<(&'static str, String)>| found.unwrap();
        assert!(message(file("plain", "#!/bin/sh\n", 0o644)).1.ends_with("is not executable"));
        assert!(message(file("dos", "#!/bin/sh\r\n", 0o755)).1.contains("carriage return"));
        assert_eq!(message(file("strange", "#! /no/such -x\n", 0o755)).0, "hook-missing");
        assert!(fault(Path::new("/bin/sh -c x"), &this_user()).unwrap().hint.ends_with(r#"["/bin/sh", "-c", "x"]"#));
        assert_eq!(fault(&folder.path().join("none"), &this_user()).unwrap().code, "hook-missing");
        assert!(fault(folder.path(), &this_user()).unwrap().message.ends_with("is a folder"));
    }

    #[test]
    fn the_services_user_counts() {
        let passwd = "root:x:0:0::/root:/bin/sh\nimagebaked:x:998:997::/:/bin/false\n";
        let group = "imagebaked:x:997:\nops:x:500:alice,imagebaked\n";
        let user = User::find("imagebaked", passwd, group).unwrap();
        assert_eq!((user.uid, user.groups.as_slice()), (998, &[997, 500][..]));
        assert!(User::find("nobody", passwd, group).is_none());
        // Of another user, and closed to all others.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = User { name: None, uid: 4_000_000, groups: vec![4_000_000] };
        assert!(fault(&path, &stranger).is_some());
        let service = User { name: Some("imagebaked".into()), ..stranger };
        assert!(fault(&path, &service).unwrap().message.contains("PrivateTmp=yes"));
    }
}
