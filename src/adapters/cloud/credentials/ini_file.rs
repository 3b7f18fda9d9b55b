//! Sections of the credentials file in the INI format. The documentation and most libraries call it
//! `~/.alibabacloud/credentials`, the Python library `~/.alibabacloud/credentials.ini`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    environment::ecs_role,
    modes::unsupported,
    plain_value,
    recipe::{Base, Recipe, RoleFields},
    text_file,
    types::NoKey,
    variables::Environment,
};
use crate::adapters::cloud::signing::AccessKey;

/// Names of the file below the home.
const NAMES: [&str; 2] = [".alibabacloud/credentials", ".alibabacloud/credentials.ini"];
/// The section where no other one is named.
const DEFAULT: &str = "default";

/// The section of `ALIBABA_CLOUD_PROFILE`, or `default`. Asked right after the profiles of the `aliyun` command: a name
/// that neither has is an error.
pub(super) async fn find(environment: &Environment) -> Result<Recipe, NoKey> {
    let absent = |why: String| match environment.profile {
        Some(_) => {
            NoKey::unusable(format!("{why}, and no such profile of the aliyun command: ALIBABA_CLOUD_PROFILE names it"))
        }
        None => NoKey::not_set_up(why),
    };
    let name = environment.profile.as_deref().unwrap_or(DEFAULT);
    let Some((path, text)) = read(environment).await? else {
        return Err(absent(format!("no file with a section `{name}`")));
    };
    if let Some((first, second)) = repeated(&text, name) {
        return Err(NoKey::unusable(format!(
            "{} has two sections `{name}`, in line {first} and {second}, and they may be of different accounts: leave one",
            path.display()
        )));
    }
    let Some(section) = section(&text, name) else {
        return Err(absent(format!("no section `{name}` in {}", path.display())));
    };
    if section.get("enable").is_some_and(|word| word.eq_ignore_ascii_case("false")) {
        return Err(absent(format!("section `{name}` of {} is not enabled", path.display())));
    }
    let section = Section { place: format!("section `{name}` of {}", path.display()), keys: section };
    Ok(section.recipe(environment)?.described(format!("`{name}` ({})", section.keys["type"])))
}

/// The file in force and its text.
async fn read(environment: &Environment) -> Result<Option<(PathBuf, String)>, NoKey> {
    if let Some(path) = &environment.credentials_file {
        return match text_file::read(path).await? {
            Some(text) => Ok(Some((path.clone(), text))),
            None => Err(NoKey::unusable(format!("there is no {}", path.display()))),
        };
    }
    let Some(home) = &environment.home else { return Ok(None) };
    let [documented, of_python] = NAMES.map(|name| home.join(name));
    match (text_file::read(&documented).await?, text_file::read(&of_python).await?) {
        (Some(_), Some(_)) => Err(NoKey::unusable(two_files(&documented, &of_python))),
        (Some(text), None) => Ok(Some((documented, text))),
        (None, Some(text)) => Ok(Some((of_python, text))),
        (None, None) => Ok(None),
    }
}

fn two_files(one: &Path, other: &Path) -> String {
    format!("there are {} and {}: name one with ALIBABA_CLOUD_CREDENTIALS_FILE", one.display(), other.display())
}

/// The keys of a section, in lower case; `None` if the file does not have it. A later value of a key counts.
fn section(text: &str, wanted: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_wanted = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            is_wanted = rest.split_once(']').is_some_and(|(name, _)| name.trim() == wanted);
            if is_wanted {
                found.get_or_insert_default();
            }
        } else if let (true, Some(keys), Some((key, value))) = (is_wanted, &mut found, line.split_once(['=', ':'])) {
            // As in the official libraries, a number sign ends a value.
            let value = value.split('#').next().unwrap_or_default().trim();
            keys.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    found
}

/// The lines of the first two headers of a section, if it has more than one.
fn repeated(text: &str, wanted: &str) -> Option<(usize, usize)> {
    let is_header = |line: &str| {
        line.trim()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .is_some_and(|(name, _)| name.trim() == wanted)
    };
    let mut headers = text.lines().enumerate().filter(|(_, line)| is_header(line)).map(|(index, _)| index + 1);
    Some((headers.next()?, headers.next()?))
}

struct Section {
    place: String,
    keys: BTreeMap<String, String>,
}

impl Section {
    fn recipe(&self, environment: &Environment) -> Result<Recipe, NoKey> {
        match self.keys.get("type").map(String::as_str).unwrap_or_default() {
            "access_key" => Ok(Recipe::of(Base::Key(self.key()?))),
            "ram_role_arn" => {
                let base = Base::Key(self.key()?);
                Ok(Recipe::of(base).then(self.role().role(&self.place, environment)?))
            }
            "oidc_role_arn" => {
                let provider_arn = self.given("oidc_provider_arn").or_else(|| environment.oidc_provider_arn.clone());
                let file = self.given("oidc_token_file_path").map(PathBuf::from);
                let file = file.or_else(|| environment.oidc_token_file.clone());
                Ok(Recipe::of(Base::Oidc {
                    provider_arn: provider_arn.ok_or_else(|| self.missing("oidc_provider_arn"))?,
                    token_file: file.ok_or_else(|| self.missing("oidc_token_file_path"))?,
                    role: self.role().role(&self.place, environment)?,
                }))
            }
            "ecs_ram_role" => ecs_role(self.given("role_name"), &self.place, environment)
                .map_err(|error| error.set_up_as(&format!("{} is of type ecs_ram_role", self.place))),
            word => Err(unsupported(&self.place, "type", word)),
        }
    }

    fn given(&self, key: &str) -> Option<String> {
        self.keys.get(key).cloned().filter(|value| !value.is_empty())
    }

    fn missing(&self, key: &str) -> NoKey {
        NoKey::unusable(format!("{} has no {key}", self.place))
    }

    fn key(&self) -> Result<AccessKey, NoKey> {
        let required = |key: &str| match plain_value::of_text(&self.given(key).unwrap_or_default()) {
            Ok(value) if value.is_empty() => Err(self.missing(key)),
            Ok(value) => Ok(value),
            Err(fault) => Err(NoKey::unusable(format!("{key} of {} {fault}", self.place))),
        };
        let secret = required("access_key_secret")?.into();
        Ok(AccessKey { id: required("access_key_id")?, secret, security_token: None })
    }

    fn role(&self) -> RoleFields {
        RoleFields {
            arn: self.given("role_arn"),
            session_name: self.given("role_session_name"),
            policy: self.given("policy"),
            ..RoleFields::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn sections_are_read_as_the_official_libraries_read_them() {
        let text = "; a comment\n[other]\ntype = x\n[ default ]\nType: access_key\n\
                    access_key_id = id # of the build account\n# access_key_id = old\nempty =\n[third]\ntype = y\n";
        let keys = section(text, "default").unwrap();
        let pairs: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("access_key_id", "id"), ("empty", ""), ("type", "access_key")]);
        assert_eq!(section(text, "Default"), None);
    }

    #[test]
    fn a_section_that_is_there_twice_is_seen() {
        assert_eq!(repeated("[a]\nx=1\n[b]\n [ a ] ; once more\n[a]", "a"), Some((1, 4)));
        assert_eq!(repeated("[a]\n# [a]\nx=[a]\n", "a"), None);
    }

    #[test]
    fn the_largest_file_is_one_walk() {
        let begun = Instant::now();
        for unit in ["a=1\n", "[default]\n", "[", "=", "#", "a=#", "\t\n", "\r", "[default]\nk=[\n"] {
            let text = format!("[default]\n{}", unit.repeat((1 << 20) / unit.len()));
            assert!(section(&text, DEFAULT).is_some(), "{unit:?}");
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
