//! What is printed of a configuration and of a crontab has no secret, wherever it stands.

use std::{collections::BTreeMap, path::Path};

use super::{Problems, assemble, crontab, diagnostics::Diagnostics, marks::Source, variables};
use crate::{adapters::secrets::examples::EXAMPLES, domain::calendar::zone::Zone};

const SCHEDULE: &str = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\n";

/// All that `check` prints of a file.
fn printed(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut out = Diagnostics::default();
    let source = Source::new(0, Path::new("x"), text.to_owned(), false);
    assemble(&[source], &variables(environment), None, &mut out);
    let problems = Problems(out.into_problems());
    format!("{}\n{}\n{}", problems.render(false), problems.to_json(), problems.errors_in_one_line(100))
}

#[test]
fn check_prints_no_secret() {
    let nothing = BTreeMap::new();
    for (text, secrets) in EXAMPLES {
        let string = toml::Value::from(text).to_string();
        for file in [
            format!("{text}\n{SCHEDULE}"),
            format!("[cloud]\ncredentials = \"ini\" {text}\n{SCHEDULE}"),
            format!("[cloud]\ncredentials = {string}\n{SCHEDULE}"),
            format!("[cloud]\nsts_endpoint = {string}\n{SCHEDULE}"),
            format!("[cloud]\nregion = {string}\nin_use = [{string}]\n{SCHEDULE}"),
            format!("[cloud]\ntimeout = {string}\n{string} = 1\n{SCHEDULE}"),
            format!("{SCHEDULE}regions = [{string}]\ntimezone = {string}\nkeep = {string}\n"),
            format!("{SCHEDULE}stop_instance = {string} # {text}\ndescription = {string} x\n"),
            format!("{SCHEDULE}hooks.before = {string}\nimage_name = {string}\ntags = {{ {string} = 1 }}\n"),
        ] {
            let shown = printed(&file, &nothing);
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{file}\n{shown}");
        }
        let of = |name: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        for name in ["IMAGEBAKED_CLOUD__REGION", "IMAGEBAKED_CLOUD__CREDENTIALS", "IMAGEBAKED_CLOUD__STS_ENDPOINT"] {
            let shown = printed(SCHEDULE, &of(name));
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{name}={text}\n{shown}");
        }
    }
    let shown = printed(&format!("[cloud]\ncredentials = \"\"\"\nhunter2\n{SCHEDULE}"), &nothing);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_crontab_leaves_secrets_behind() {
    let zone = Zone::find("Asia/Shanghai").unwrap();
    for (text, secrets) in EXAMPLES {
        // A word of the shell: an open quote would end in what follows.
        let is_open = |word: &&str| ['"', '\''].iter().any(|quote| word.matches(*quote).count() % 2 == 1);
        let is_whole = |word: &&str| !is_open(word) && !word.ends_with([':', '=']);
        let first = text.split(' ').next().filter(is_whole).unwrap_or_default();
        // A name with a colon begins a line of a text, not a word of a command.
        let words = if first.is_empty() { "" } else { text };
        for crontab in [
            format!("0 3 * * * {text} && bake ecd-1"),
            format!("0 3 * * * bake ecd-1 --description {first} ; {text}"),
            format!("0 3 * * * bake ecd-1 {words}"),
            format!("@daily {words}"),
            format!("# {text}"),
            format!("CRON_TZ = {words}\n0 3 * * * bake ecd-1"),
            text.to_owned(),
        ] {
            let entries = crontab::read(&crontab, zone, false);
            let json: Vec<String> = entries
                .iter()
                .map(|entry| match entry {
                    crontab::Entry::Schedule(found) => serde_json::to_string(found).unwrap(),
                    crontab::Entry::LeftOut(left_out) => serde_json::to_string(left_out).unwrap(),
                    other => format!("{other:?}"),
                })
                .collect();
            let shown = format!("{}\n{json:?}", crontab::toml(&entries));
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{crontab}\n{shown}");
        }
    }
}
