//! Where the value of each key comes from: all layers that set it, the last one wins. Read anew for the asked keys alone,
//! so that a configuration of ten thousand schedules costs nothing while nobody asks.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    PREFIX, closest,
    definitions::definitions,
    key::Key,
    parse,
    problem::{is_secret_key, mask},
    reader::{Diagnostics, Source},
    schedule_keys,
    source_files::read_files,
};
use crate::domain::text::{LONGEST_EXCERPT, excerpt};

/// A key with the layers that set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedKey {
    /// The key with its section: `cloud.region`, `schedule.golden.deadline`.
    pub key: String,
    /// The layers that set it, the one in force first. None: it has no value.
    pub layers: Vec<Layer>,
}

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The value as written, in one line.
    pub value: String,
    /// `FILE:LINE:COLUMN`, `IMAGEBAKED_DAEMON__DRAIN`, or `built in`.
    pub place: String,
    /// `[defaults]`, `profile NAME`, …; empty for the section itself.
    pub of: String,
}

/// Maximum length of a value that is shown.
const LONGEST_VALUE: usize = 500;
/// So many names are listed if none is similar.
const FEW: usize = 10;

/// Why nothing is explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// No schedule is called so.
    #[error("there is no schedule or section {name:?}; {hint}")]
    NoSuchName {
        /// The name.
        name: String,
        /// The nearest one that there is, or all if they are few.
        hint: String,
    },
    /// The section has no such key.
    #[error("{section} has no key {key:?}{}", hint(nearest.as_deref()))]
    NoSuchKey {
        /// The section, or the schedule.
        section: String,
        /// The key.
        key: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The layers of a key: `daemon.drain`, `defaults.keep`, `schedule.NAME.deadline` or `NAME.deadline`; without a key all keys
/// of the section or the schedule.
///
/// # Errors
///
/// [`ExplainError`] if there is no such section, schedule or key.
pub fn explain(
    path: &Path,
    environment: &BTreeMap<String, String>,
    asked: &str,
) -> Result<Vec<ExplainedKey>, ExplainError> {
    let mut out = Diagnostics::default();
    let (sources, _) = read_files(path, path, &mut out);
    let files: Vec<File> = sources.iter().map(|source| File { source, tables: parse(source, &mut out) }).collect();
    let all = definitions();
    let (section, key) = asked.split_once('.').map_or((asked, None), |(section, key)| (section, Some(key)));
    // Likewise `daemon.backup.every`.
    let outer = |keys: &[Key]| {
        key.map(|key| key.split('.').next().filter(|one| keys.iter().any(|known| known.name == *one)).unwrap_or(key))
    };
    let keys = match section {
        "cloud" => Some(&all.cloud.keys),
        "daemon" => Some(&all.daemon.keys),
        "defaults" => Some(&all.defaults.keys),
        _ => None,
    };
    if let Some(keys) = keys {
        let of_section = |key: &Key| {
            let mut layers: Vec<Layer> = built_in(key).into_iter().collect();
            layers.extend(files.iter().filter_map(|file| file.layer(&[section], key.name, "")));
            layers.extend(variable(environment, section, key.name));
            explained(section, key.name, layers)
        };
        return pick(keys, section, outer(keys), of_section);
    }
    let asked = asked.strip_prefix("schedule.").unwrap_or(asked);
    let names: Vec<String> = files.iter().flat_map(File::schedule_words).collect();
    // A name may have dots itself.
    let is_name = |word: &str| names.iter().any(|name| name == word);
    let (name, key) = match asked.rsplit_once('.') {
        _ if is_name(asked) => (asked, None),
        // A table is taken whole, so that its keys come from one place: `golden.keep.last` is in `golden.keep`.
        Some((outer, _)) if let Some((name, key)) = outer.rsplit_once('.').filter(|(name, _)| is_name(name)) => {
            (name, Some(key))
        }
        Some((name, key)) => (name, Some(key)),
        None => (asked, None),
    };
    let Some((file, own)) = files.iter().find_map(|file| Some((file, file.schedule(name)?))) else {
        let sections = ["cloud", "daemon", "defaults"];
        let known: Vec<&str> = sections.into_iter().chain(names.iter().map(String::as_str)).collect();
        let hint = match closest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.len() <= FEW => format!("there are: {}", known.join(", ")),
            None => "`imagebaked plan` shows the schedules".to_owned(),
        };
        return Err(ExplainError::NoSuchName { name: excerpt(name, LONGEST_EXCERPT).into_owned(), hint });
    };
    let profile = own.get("profile").and_then(|value| value.get_ref().as_str().map(str::to_owned));
    let section = format!("schedule.{name}");
    let of_schedule = |key: &Key| {
        let mut layers: Vec<Layer> = built_in(key).into_iter().collect();
        if !schedule_keys::OWN.contains(&key.name) {
            layers.extend(files.iter().filter_map(|file| file.layer(&["defaults"], key.name, "[defaults]")));
            if let Some(profile) = &profile {
                let of = format!("profile {profile}");
                layers.extend(files.iter().filter_map(|file| file.layer(&["profile", profile], key.name, &of)));
            }
        }
        layers.extend(file.layer_of(own, key.name, ""));
        explained(&section, key.name, layers)
    };
    pick(&all.schedule.keys, &section, key, of_schedule)
}

fn pick(
    keys: &[Key],
    section: &str,
    wanted: Option<&str>,
    explain: impl Fn(&Key) -> ExplainedKey,
) -> Result<Vec<ExplainedKey>, ExplainError> {
    let Some(wanted) = wanted else { return Ok(keys.iter().map(explain).collect()) };
    match keys.iter().find(|key| key.name == wanted) {
        Some(key) => Ok(vec![explain(key)]),
        None => Err(ExplainError::NoSuchKey {
            section: excerpt(section, LONGEST_EXCERPT).into_owned(),
            key: excerpt(wanted, LONGEST_EXCERPT).into_owned(),
            nearest: closest(wanted, keys.iter().map(|key| key.name)).map(str::to_owned),
        }),
    }
}

fn explained(section: &str, key: &str, mut layers: Vec<Layer>) -> ExplainedKey {
    layers.reverse();
    ExplainedKey { key: format!("{section}.{key}"), layers }
}

fn built_in(key: &Key) -> Option<Layer> {
    Some(Layer { value: key.default()?.to_owned(), place: "built in".to_owned(), of: String::new() })
}

fn variable(environment: &BTreeMap<String, String>, section: &str, key: &str) -> Option<Layer> {
    let is_named = |name: &str| {
        let path = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        (path == format!("{section}__{key}")).then_some(())
    };
    let (name, value) = environment.iter().find(|(name, _)| is_named(name).is_some())?;
    Some(Layer { value: shown(key, value), place: name.clone(), of: String::new() })
}

/// One line; a secret does not belong into a configuration, and is not shown where one is.
fn shown(key: &str, text: &str) -> String {
    if is_secret_key(key) {
        return "(not shown)".to_owned();
    }
    let line = mask(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    excerpt(&line, LONGEST_VALUE).into_owned()
}

/// A file, or a part of one.
struct File<'s> {
    source: &'s Source,
    tables: DeTable<'s>,
}

impl<'s> File<'s> {
    fn layer(&self, path: &[&str], key: &str, of: &str) -> Option<Layer> {
        let mut table = &self.tables;
        for part in path {
            table = table.get(*part)?.get_ref().as_table()?;
        }
        self.layer_of(table, key, of)
    }

    fn layer_of(&self, table: &DeTable<'s>, key: &str, of: &str) -> Option<Layer> {
        let mark = self.source.mark(table.get(key)?.span());
        Some(Layer { value: shown(key, mark.text()), place: mark.place().to_string(), of: of.to_owned() })
    }

    fn schedules(&self) -> impl Iterator<Item = &DeTable<'s>> {
        let list = self.tables.get("schedule").and_then(|value| value.get_ref().as_array());
        list.into_iter().flat_map(|list| list.iter().filter_map(|value| value.get_ref().as_table()))
    }

    /// The schedule with this id, or else with this name.
    fn schedule(&self, wanted: &str) -> Option<&DeTable<'s>> {
        let is = |table: &&DeTable<'s>, key: &str| text(table, key).as_deref() == Some(wanted);
        self.schedules().find(|table| is(table, "id")).or_else(|| self.schedules().find(|table| is(table, "name")))
    }

    fn schedule_words(&self) -> Vec<String> {
        self.schedules().flat_map(|table| ["name", "id"].map(|key| text(table, key))).flatten().collect()
    }
}

fn text(table: &DeTable<'_>, key: &str) -> Option<String> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[daemon]\ndrain = \"5s\"\n[defaults]\ndeadline = \"2h\"\n[profile.slow]\ndeadline = \"9h\"\n\
                        [[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\nprofile = \"slow\"\n\
                        [[schedule]]\nname = \"a.b\"\nid = \"ab\"\ninstance_id = \"ecd-2\"\ncron = \"@daily\"\ndeadline = \"1h\"\n";

    fn ask(key: &str) -> Result<Vec<String>, ExplainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        std::fs::write(&path, FILE).unwrap();
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        std::fs::write(folder.path().join("conf.d/10.toml"), "[daemon]\ndrain = \"6s\"\n").unwrap();
        let environment = BTreeMap::from([("IMAGEBAKED_DAEMON__DRAIN".to_owned(), "7s".to_owned())]);
        let explained = explain(&path, &environment, key)?;
        let text = |ExplainedKey { key, layers }: &ExplainedKey| {
            let layer = |Layer { value, place, of }: &Layer| {
                let place = place.replace(&folder.path().display().to_string(), "");
                format!(" {value} at {place}{}{of}", if of.is_empty() { "" } else { " in " })
            };
            format!("{key}:{}", layers.iter().map(layer).collect::<Vec<_>>().join(" over"))
        };
        Ok(explained.iter().map(text).collect())
    }

    #[test]
    fn the_last_layer_is_in_force_and_the_others_are_listed() {
        assert_eq!(
            ask("daemon.drain").unwrap(),
            ["daemon.drain: 7s at IMAGEBAKED_DAEMON__DRAIN over \"6s\" at /conf.d/10.toml:2:9 over \"5s\" at \
              /imagebaked.toml:2:9 over \"30s\" at built in"]
        );
        let golden = ask("golden.deadline").unwrap();
        assert!(
            golden[0].starts_with(
                "schedule.golden.deadline: \"9h\" at /imagebaked.toml:6:12 in profile slow over \"2h\" at \
                 /imagebaked.toml:4:12 in [defaults] over "
            ),
            "{golden:?}"
        );
        for name in ["a.b.deadline", "schedule.ab.deadline"] {
            assert!(ask(name).unwrap()[0].contains("deadline: \"1h\" at /imagebaked.toml:17:12 over \"2h\""), "{name}");
        }
        assert!(ask("golden").unwrap().len() > 20 && ask("cloud").unwrap().len() > 5);
    }

    #[test]
    fn what_is_not_there_has_its_nearest_name() {
        for (asked, part) in [
            ("daemon.drian", "did you mean `drain`?"),
            ("golden.deadlin", "did you mean `deadline`?"),
            ("goldn.deadline", "did you mean `golden`?"),
            ("demon", "did you mean `daemon`?"),
        ] {
            let error = ask(asked).unwrap_err().to_string();
            assert!(error.contains(part), "{asked}: {error}");
        }
    }
}
