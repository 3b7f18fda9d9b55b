//! The three rings: imports point inwards only, and each outside world has one door.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every source file with its path relative to `src`.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 20, "the walk lost its way");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            // Comments may name what code may not use.
            let code: String =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (path.strip_prefix(&root).unwrap().to_owned(), code)
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

const CORE: &[&str] = &["clock", "zone", "ids", "error", "schedule", "bake", "line", "health"];
const ADAPTERS: &[&str] = &[
    "config",
    "cloud",
    "store",
    "status",
    "control",
    "systemd",
    "telemetry",
    "failpoint",
    "files",
    "hooks",
    "zoneinfo",
];
const SHELL: &[&str] = &["daemon", "commands", "cli", "reference", "main", "lib", "build"];
const APART: &[&str] = &["sim"];

#[test]
fn every_room_is_on_the_map() {
    for (path, _) in sources() {
        let room = room(&path);
        let known = [CORE, ADAPTERS, SHELL, APART].iter().any(|ring| ring.contains(&room.as_str()));
        assert!(known, "{} belongs to no ring", path.display());
    }
}

#[test]
fn the_core_is_pure() {
    let banned = [
        "tokio",
        "sqlx",
        "reqwest",
        "figment",
        "hyper",
        "axum",
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "Utc::now",
        "SystemTime::now",
        "Instant::now",
        "async fn",
        ".await",
        "println!",
        "tracing::",
    ];
    for (path, code) in sources() {
        // clock.rs is where the system is asked for the time.
        if !CORE.contains(&room(&path).as_str()) || is_test(&path) || path.ends_with("clock.rs") {
            continue;
        }
        for word in banned {
            assert!(!code.contains(word), "src/{} uses {word}; the core is pure", path.display());
        }
    }
}

#[test]
fn imports_point_inwards() {
    for (path, code) in sources() {
        let room = room(&path);
        let outer: Vec<&str> = if CORE.contains(&room.as_str()) {
            [ADAPTERS, SHELL, APART].concat()
        } else if ADAPTERS.contains(&room.as_str()) {
            // The log's format is typed on the command line.
            [SHELL, APART].concat().into_iter().filter(|outer| room != "telemetry" || *outer != "cli").collect()
        } else if APART.contains(&room.as_str()) {
            [SHELL, ADAPTERS].concat()
        } else if room == "commands" {
            vec![]
        } else {
            APART.to_vec()
        };
        for outer in outer.iter().filter(|outer| !["lib", "main", "build"].contains(outer)) {
            let uses = code.contains(&format!("crate::{outer}::")) || imports_in_braces(&code, outer);
            assert!(!uses, "src/{} looks outwards, to {outer}", path.display());
        }
    }
}

/// Whether a `use crate::{…}` list names `room` at its first level.
fn imports_in_braces(code: &str, room: &str) -> bool {
    code.split("use crate::{").skip(1).any(|rest| {
        let list = rest.split("};").next().unwrap_or_default();
        let mut depth = 0;
        let mut item = String::new();
        let mut found = false;
        for character in list.chars().chain([',']) {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found |= item.trim().split("::").next() == Some(room);
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(character);
        }
        found
    })
}

#[test]
fn each_outside_world_has_one_door() {
    let doors: &[(&str, &[&str])] = &[
        ("tokio_cron_scheduler", &["daemon/pulse.rs", "daemon/mod.rs"]),
        ("reqwest", &["cloud/http.rs"]),
        ("sqlx", &["store/"]),
        ("figment", &["config/"]),
        ("rustix::process", &["hooks.rs", "files/"]),
        ("tokio::process", &["hooks.rs"]),
        ("sd_notify", &["systemd.rs"]),
        ("signal_hook", &["daemon/signals.rs", "failpoint.rs"]),
    ];
    for (path, code) in sources() {
        for (world, allowed) in doors {
            let allowed = allowed.iter().any(|door| path.to_string_lossy().starts_with(door));
            assert!(
                allowed || !code.contains(&format!("{world}::")),
                "src/{} opens another door to {world}",
                path.display()
            );
        }
    }
}
