//! Retired words do not come back: in identifiers, comments, output and the documentation.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A retired word, and its replacement. Words of identifiers and file names count: `told_by` and `ToldBy` have `told`.
const RETIRED: &[(&str, &str)] = &[
    ("aloud", "warned"),
    ("beat", "tick"),
    ("beats", "ticks"),
    ("cried", "last_warned"),
    ("cries", "warns"),
    ("cry", "warn"),
    ("door", "listener"),
    ("doors", "listeners"),
    ("doubt", "blocker"),
    ("doubted", "blocked"),
    ("doubts", "blockers"),
    ("fate", "deletion_state"),
    ("greet", "probe"),
    ("greets", "probes"),
    ("hasten", "clamp_wakeups_after_clock_step"),
    ("hastens", "clamps"),
    ("hopeless", "failing"),
    ("hopelessly", "failing"),
    ("keeper", "image task"),
    ("keepers", "image tasks"),
    ("keyring", "credential provider"),
    ("keyrings", "credential providers"),
    ("knock", "probe"),
    ("knocks", "probes"),
    ("ledger", "history"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mending", "fixing"),
    ("mends", "fixes"),
    ("metronome", "ticker"),
    ("obey", "handle"),
    ("obeys", "handles"),
    ("oddities", "clock_change_lints"),
    ("owe", "pending"),
    ("owed", "pending"),
    ("owes", "pending"),
    ("patience", "timeout, wait"),
    ("pulse", "tick"),
    ("pulses", "ticks"),
    ("reckon", "compute"),
    ("reckoned", "computed"),
    ("reckoning", "computation"),
    ("reckons", "computes"),
    ("refusal", "rejection, ApiError"),
    ("refusals", "rejections"),
    ("rounds", "image tasks"),
    ("saga", "stop and start"),
    ("seat", "permit"),
    ("seats", "permits"),
    ("sheet", "source map"),
    ("sheets", "source maps"),
    ("staged", "AtomicFile"),
    ("stir", "activate"),
    ("stirred", "activations"),
    ("surroundings", "environment"),
    ("survey", "load_lenient"),
    ("tell", "report, describe"),
    ("tells", "reports, describes"),
    ("told", "reported"),
    ("trouble", "last_error"),
    ("troubled", "incomplete"),
    ("undone", "end hooks"),
    ("whereabouts", "locate_daemon"),
];

/// A retired phrase in lower case, and its replacement.
const PHRASES: &[(&str, &str)] = &[
    ("asked for by", "requested by"),
    ("failed for good", "failed permanently"),
    ("it is succeeded", "succeeded"),
    ("looked at", "polled, scanned, checked"),
    ("looked over", "verified"),
    ("looks at", "polls, scans, checks"),
    ("made up for", "caught up"),
    ("next look", "next poll"),
    ("said aloud", "warned"),
    ("stand for", "point to, cover"),
    ("stands for", "points to, covers"),
    ("stood for", "pointed to, covered"),
    ("under way", "running"),
    ("waits for its turn", "queued"),
];

/// Files and folders that are read, from the root of the repository.
const PLACES: &[&str] =
    &["src", "tests", "benches", "docs", "config", "systemd", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// This file has the words, and the data of others keeps its words. The schema is written from migrations, which never change.
const EXCEPT: &[&str] = &["tests/words.rs", "tests/data", "tests/sdk", "docs/schema.sql"];

#[test]
fn retired_words_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in PLACES.iter().flat_map(|place| files(&root.join(place))) {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        if EXCEPT.iter().any(|except| name.starts_with(except)) {
            continue;
        }
        for retired in words(&name).filter_map(|word| find(&word)) {
            found.entry(retired).or_default().push(format!("{name}: the name of the file"));
        }
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !keeps_old_name(line)) {
            for retired in words(line).filter_map(|word| find(&word)).chain(phrases(line)) {
                found.entry(retired).or_default().push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    let report: String = found
        .iter()
        .map(|(word, places)| {
            let instead = RETIRED.iter().chain(PHRASES).find(|(retired, _)| retired == word).unwrap().1;
            format!("\"{word}\" is retired ({instead}), {} times:\n    {}\n", places.len(), places.join("\n    "))
        })
        .collect();
    assert!(found.is_empty(), "{report}");
}

#[test]
fn words_of_identifiers_are_found() {
    let of = |line| words(line).collect::<Vec<_>>();
    assert_eq!(of("let told_by = ToldBy::HTTPKeeper(x1);"), ["let", "told", "by", "told", "by", "httpkeeper", "x"]);
    assert_eq!(of("cargo"), ["cargo"]);
}

#[test]
fn phrases_are_found_between_other_words() {
    assert_eq!(phrases("//! It Stands for v2, and is_looked_at.").collect::<Vec<_>>(), ["looked at", "stands for"]);
    assert_eq!(phrases("it understands fortunes").count(), 0);
}

/// The retired word that equals `word`.
fn find(word: &str) -> Option<&'static str> {
    RETIRED.iter().map(|(retired, _)| *retired).find(|retired| *retired == word)
}

/// The retired phrases in `line`.
fn phrases(line: &str) -> impl Iterator<Item = &'static str> {
    let text: Vec<String> = line.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase).collect();
    let text = format!(" {} ", text.join(" "));
    PHRASES.iter().map(|(retired, _)| *retired).filter(move |retired| text.contains(&format!(" {retired} ")))
}

/// Rows and documents of older versions are read by their old names. The head of an export, fields of the control protocol and
/// fields of stored rows keep their names.
fn keeps_old_name(line: &str) -> bool {
    ["alias = \"", "rename = \"ledger\"", "imagebaked_ledger", "owes_start", "owes_hooks"]
        .iter()
        .any(|name| line.contains(name))
}

/// The words of a line in lower case; `snake_case` and `CamelCase` come apart.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in line.chars() {
        let begins = !letter.is_ascii_alphabetic() || before.is_ascii_lowercase() && letter.is_ascii_uppercase();
        if begins {
            words.push(String::new());
        }
        if letter.is_ascii_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words.into_iter().filter(|word| !word.is_empty())
}

fn files(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
    entries.filter_map(Result::ok).flat_map(|entry| files(&entry.path())).collect()
}
