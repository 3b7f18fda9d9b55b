//! The host's copy of the IANA time zone database, in the layout that every Linux distribution has.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::calendar::zone::{self, Release};

/// Default directory of distributions; `TZDIR` overrides it.
const DIRECTORY: &str = "/usr/share/zoneinfo";
/// Maximum size of a zone file: the largest today has 3.6 KB.
const LARGEST: u64 = 1 << 20;

/// The directory from the environment.
pub fn directory(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    variable("TZDIR").filter(|dir| !dir.is_empty()).map_or_else(|| DIRECTORY.into(), PathBuf::from)
}

/// Selects the newer of two releases: the built-in one, or the one in `directory`.
pub fn use_the_newer(directory: &Path) {
    let built_in = Release::built_in();
    let newer = read(directory).filter(|host| host.is_newer_than(&built_in)).unwrap_or(built_in);
    let current = zone::release();
    if (newer.version(), newer.origin()) != (current.version(), current.origin()) {
        zone::use_release(newer);
    }
}

/// The release in `directory`; `None` where there is none, or its version is unknown.
pub fn read(directory: &Path) -> Option<Release> {
    let version = version(directory)?;
    let (folder, origin) = (directory.to_owned(), directory.display().to_string());
    let read = move |name: &str| {
        // Names become paths, so only those of the database are accepted.
        zone::names().any(|known| known == name).then(|| bounded(&folder.join(name))).flatten()
    };
    Some(Release::new(version, origin, written(directory), Box::new(read)))
}

/// Date of the file with the release's name: packages keep their build date.
fn written(directory: &Path) -> Option<NaiveDate> {
    let modified = |file: &str| directory.join(file).metadata().ok()?.modified().ok();
    let time = modified("tzdata.zi").or_else(|| modified("+VERSION"))?;
    Some(DateTime::<Utc>::from(time).date_naive())
}

/// `tzdata.zi` begins with `# version 2026f`; `+VERSION` of other systems has the version alone.
fn version(directory: &Path) -> Option<String> {
    let first_line = |file: &str| {
        let mut line = String::new();
        BufReader::new(File::open(directory.join(file)).ok()?.take(100)).read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    };
    let named = first_line("tzdata.zi").and_then(|line| Some(line.strip_prefix("# version ")?.trim().to_owned()));
    named.or_else(|| first_line("+VERSION"))
}

fn bounded(path: &Path) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    File::open(path).ok()?.take(LARGEST).read_to_end(&mut data).ok()?;
    Some(data)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(version: &str) -> (tempfile::TempDir, Option<Release>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tzdata.zi"), format!("# version {version}\n# ddeps\n")).unwrap();
        let release = read(dir.path());
        (dir, release)
    }

    #[test]
    fn a_release_has_its_name_and_folder() {
        let (dir, release) = host("2031a");
        let release = release.unwrap();
        assert_eq!((release.version(), release.year()), ("2031a", Some(2031)));
        assert_eq!(release.origin(), dir.path().display().to_string());
        assert!(release.is_newer_than(&Release::built_in()));
        assert!(!host("2025b").1.unwrap().is_newer_than(&Release::built_in()));
        assert!(!host("nonsense").1.unwrap().is_newer_than(&Release::built_in()));
        assert!(read(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn the_day_of_a_release_is_that_of_its_file() {
        let (dir, _) = host("2031a");
        let file = File::options().write(true).open(dir.path().join("tzdata.zi")).unwrap();
        let at = |day: &str| format!("{day}T12:00:00Z").parse::<DateTime<Utc>>().unwrap();
        file.set_modified(at("2031-02-03").into()).unwrap();
        let release = read(dir.path()).unwrap();
        assert_eq!(release.published_by(), NaiveDate::from_ymd_opt(2031, 2, 3));
        assert_eq!(release.old_since(at("2032-02-02")), None);
        assert!(release.old_since(at("2032-02-03")).is_some());
    }

    #[test]
    fn the_file_of_other_systems_counts_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("+VERSION"), "2031c\n").unwrap();
        assert_eq!(read(dir.path()).unwrap().version(), "2031c");
    }

    #[test]
    fn the_environment_names_the_folder() {
        assert_eq!(directory(|_| None), Path::new(DIRECTORY));
        assert_eq!(directory(|name| (name == "TZDIR").then(|| "/zones".to_owned())), Path::new("/zones"));
    }
}
