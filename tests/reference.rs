//! The reference is true: generated files are as the program writes them now, the documented defaults are those of the
//! reader, and links lead to files that exist.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use clap::CommandFactory as _;
use imagebaked::{
    adapters::config::{
        definitions::{Key, Kind, Section, definitions},
        load, load_lenient,
    },
    app::{
        cli::Cli,
        reference::{man, markdown, schema},
    },
    domain::bake::reason::ReasonCode,
};
use serde_json::Value;

const SCHEDULE: &str = "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\n";

/// Compares a committed file with its generated text. `UPDATE_DOCS=1` writes the file.
fn is_fresh(path: &str, made: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, made).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == made,
        "{path} is out of date: `UPDATE_DOCS=1 cargo nextest run --test reference` writes it anew; read the difference"
    );
}

#[test]
fn generated_files_are_fresh() {
    is_fresh("docs/config.md", &markdown::config());
    is_fresh("docs/commands.md", &markdown::commands());
    is_fresh("docs/errors.md", &markdown::errors());
    is_fresh("docs/states.md", &markdown::states());
    is_fresh("docs/events.md", &markdown::events());
    let problems = fs::read_to_string("docs/problems.md").unwrap();
    let (prose, _) = problems.split_once(markdown::PROBLEM_CODES).unwrap();
    is_fresh("docs/problems.md", &format!("{prose}{}", markdown::problem_codes()));
    is_fresh("config/imagebaked.schema.json", &format!("{:#}\n", schema::schema()));
    let example = fs::read_to_string("config/imagebaked.toml").unwrap();
    assert!(example.starts_with("#:schema ./imagebaked.schema.json\n"), "editors find the schema");
}

#[test]
fn every_reason_is_explained_under_its_word() {
    let json = fs::read_to_string("docs/json.md").unwrap();
    for code in ReasonCode::ALL {
        assert!(json.contains(&format!("`{}`", code.as_str())), "{} in docs/json.md", code.as_str());
    }
}

/// The codes and hints of the problems of a file with this text.
fn problems(text: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imagebaked.toml");
    fs::write(&path, text).unwrap();
    let (_, problems) = load_lenient(&path, &BTreeMap::new());
    problems.0.into_iter().map(|problem| (problem.code.to_owned(), problem.hint.unwrap_or_default())).collect()
}

fn hash(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imagebaked.toml");
    fs::write(&path, text).unwrap();
    load(&path, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(false))).config.hash
}

/// The tables of a section, itself first, each with a text at whose end the table is open.
fn tables(section: &Section, opened: &str) -> Vec<(String, Vec<Key>)> {
    let inner = section.keys.iter().filter_map(|key| match &key.kind {
        Kind::Table(keys) => Some((format!("{opened}[{}.{}]\n", header(section), key.name), keys.clone())),
        _ => None,
    });
    std::iter::once((opened.to_owned(), section.keys.clone())).chain(inner).collect()
}

fn header(section: &Section) -> &str {
    section.header.trim_matches(['[', ']'])
}

#[test]
fn the_reference_has_the_keys_that_the_reader_knows() {
    let all = definitions();
    for (section, opened) in [(&all.cloud, "[cloud]\n"), (&all.daemon, "[daemon]\n"), (&all.schedule, "[[schedule]]\n")]
    {
        for (opened, keys) in tables(section, opened) {
            assert!(!keys.is_empty());
            // The reader lists all keys where no key is similar.
            let (_, hint) = problems(&format!("{opened}qqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1\n"))
                .into_iter()
                .find(|(code, _)| code == "unknown-key")
                .unwrap_or_else(|| panic!("{opened} takes any key"));
            let known: Vec<&str> = hint.trim_start_matches("known here: ").split(", ").collect();
            assert_eq!(known, keys.iter().map(|key| key.name).collect::<Vec<_>>(), "{opened}");
        }
    }
    for (section, opened) in [(&all.defaults, "[defaults]\n"), (&all.profile, "[profile.x]\n")] {
        for key in &all.schedule.keys {
            let misplaced = problems(&format!("{opened}{} = 1979-05-27\n", key.name))
                .iter()
                .any(|(code, _)| code == "misplaced-key");
            assert_eq!(misplaced, !section.keys.contains(key), "{opened}{}", key.name);
        }
    }
}

#[test]
fn every_key_is_explained_and_in_the_schema() {
    fn same(keys: &[Key], table: &Value) {
        let named: BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
        let properties = table["properties"].as_object().unwrap_or_else(|| panic!("{table:#}"));
        assert_eq!(named, properties.keys().map(String::as_str).collect());
        assert_eq!(table["additionalProperties"], false, "{table:#}");
        for key in keys {
            assert!(key.text.len() > 10 && key.text.ends_with('.'), "{}: {:?}", key.name, key.text);
            let default = key.default().map(|written| schema::json_of(written).unwrap());
            assert_eq!(properties[key.name].get("default"), default.as_ref(), "{}", key.name);
            if let Kind::Table(inner) = &key.kind {
                same(inner, &properties[key.name]);
            }
        }
    }
    let (all, schema) = (definitions(), schema::schema());
    let part = |path: &str| schema.pointer(path).unwrap();
    same(&all.cloud.keys, part("/properties/cloud"));
    same(&all.daemon.keys, part("/properties/daemon"));
    same(&all.defaults.keys, part("/properties/defaults"));
    same(&all.profile.keys, part("/properties/profile/additionalProperties"));
    same(&all.schedule.keys, part("/properties/schedule/items"));
}

#[test]
fn defaults_are_those_of_the_reference() {
    let all = definitions();
    let written = |section: &Section| {
        let lines = section.keys.iter().filter_map(|key| Some(format!("{} = {}\n", key.name, key.default()?)));
        format!("[{}]\n{}", header(section), lines.collect::<String>())
    };
    let schedule = format!("{SCHEDULE}cron = '@daily'\n");
    let [cloud, daemon, defaults] = [&all.cloud, &all.daemon, &all.defaults].map(written);
    assert!(defaults.contains("catch_up = \"latest\"\n") && defaults.lines().count() > 10, "{defaults}");
    assert_eq!(hash(&format!("{cloud}{daemon}{defaults}{schedule}")), hash(&schedule));

    for (outer, least) in [("retry", ""), ("keep", "last = 3")] {
        let key = all.schedule.keys.iter().find(|key| key.name == outer).unwrap();
        let Kind::Table(keys) = &key.kind else { panic!("{outer} is a table") };
        let report: Vec<String> =
            keys.iter().filter_map(|key| Some(format!("{} = {}", key.name, key.default()?))).collect();
        assert!(!report.is_empty());
        let all_reported = if least.is_empty() { report.join(", ") } else { format!("{least}, {}", report.join(", ")) };
        let with = |inner: &str| hash(&format!("{schedule}{outer} = {{ {inner} }}\n"));
        assert_eq!(with(&all_reported), with(least), "{outer}");
    }

    let backup = all.daemon.keys.iter().find(|key| key.name == "backup").unwrap();
    let Kind::Table(keys) = &backup.kind else { panic!("backup is a table") };
    let defaults: Vec<String> = keys.iter().map(|key| format!("{} = {}", key.name, key.default().unwrap())).collect();
    let with = |inner: &str| hash(&format!("[daemon]\nbackup = {{ {inner} }}\n{schedule}"));
    assert_eq!(with(&defaults.join(", ")), with(""));
    assert_ne!(with(""), hash(&schedule), "without the table there are no backups");
}

#[test]
fn manual_pages_can_be_read() {
    let pages = man::pages().unwrap();
    let names: BTreeSet<&str> = pages.iter().map(|page| page.file.as_str()).collect();
    assert!(names.is_superset(&["imagebaked.1", "imagebaked-bake.1", "imagebaked.toml.5"].into()), "{names:?}");
    for page in &pages {
        assert!(String::from_utf8_lossy(&page.text).contains("\n.TH "), "{}", page.file);
        // Where `groff` is installed, it must print no warning.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(&page.file);
        fs::write(&path, &page.text).unwrap();
        let Ok(set) = Command::new("groff").args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"]).arg(&path).output() else {
            continue;
        };
        assert!(
            set.status.success() && set.stderr.is_empty(),
            "{}: {}",
            page.file,
            String::from_utf8_lossy(&set.stderr)
        );
    }
}

/// Every Markdown page, with its path.
fn pages() -> Vec<(String, String)> {
    let folder = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let markdown = folder.filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "md"));
    markdown.chain(["README.md".to_owned()]).map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn links_of_pages_lead_to_files() {
    let mut links = 0;
    for (page, text) in pages() {
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap().split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(Path::new(&page).parent().unwrap().join(target).exists(), "{page} points at {target}");
        }
        // Paths of tests and sources between backticks.
        for named in
            text.split('`').skip(1).step_by(2).filter(|named| named.starts_with("tests/") || named.starts_with("src/"))
        {
            assert!(Path::new(named).exists(), "{page} names {named}");
        }
    }
    assert!(links > 8, "the pages are linked: {links}");
    for entry in fs::read_dir("docs").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let linked = pages().iter().any(|(_, text)| text.contains(&format!("{name})")));
        assert!(linked, "nothing leads to docs/{name}");
    }
}

#[test]
fn the_readme_lists_every_command() {
    let readme = fs::read_to_string("README.md").unwrap();
    let table = readme.split_once("| command |").unwrap().1.split("\n\n").next().unwrap();
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let listed = table.contains(&format!("`{name}`")) || table.contains(&format!("`{name} "));
        assert!(listed, "the table of commands in README.md lacks `{name}`");
    }
}

#[test]
fn every_granted_action_is_explained() {
    let policy: Value = serde_json::from_str(&fs::read_to_string("docs/ram-policy.json").unwrap()).unwrap();
    let explained = fs::read_to_string("docs/ram-policy.md").unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions: Vec<&str> = statements
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap())
        .collect();
    assert!(actions.len() > 5 && actions.iter().all(|action| !action.contains('*')), "{actions:?}");
    for action in actions {
        assert!(explained.contains(&format!("`{action}`")), "{action}");
    }
}
