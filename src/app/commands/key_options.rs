//! Options of the command line that are keys of `[cloud]`: they are laid over the variables, and their problems are reported
//! by the option, which is what the operator typed.

use std::collections::BTreeMap;

use crate::adapters::config::{Problem, Problems, Severity};

/// The options with their values, and the variables with them on top.
pub(super) struct KeyOptions<'a> {
    given: Vec<(&'static str, &'a str)>,
}

impl<'a> KeyOptions<'a> {
    /// Those of these keys that were typed.
    pub(super) fn new(keys: &[(&'static str, &'a Option<String>)]) -> Self {
        Self { given: keys.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect() }
    }

    /// The variables, with each option in place of its variable.
    pub(super) fn over(&self, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = environment.clone();
        all.extend(self.given.iter().map(|(key, value)| (variable(key), (*value).to_owned())));
        all
    }

    /// The errors as text: those of options in a line each, the others as they are rendered everywhere.
    pub(super) fn report(&self, problems: Problems, color: bool) -> String {
        let errors = problems.0.into_iter().filter(|problem| problem.severity == Severity::Error);
        let (typed, others): (Vec<Problem>, Vec<Problem>) = errors.partition(|problem| self.option(problem).is_some());
        let mut text: String = typed
            .iter()
            .filter_map(|problem| {
                let (key, value) = self.option(problem)?;
                let help = problem.hint.as_ref().map_or_else(String::new, |hint| format!("\n  help: {hint}"));
                let option = key.replace('_', "-");
                Some(format!("error: --{option} {value:?}: {}{help}\n", problem.message))
            })
            .collect();
        if !others.is_empty() {
            text.push_str(&Problems(others).render(color));
        }
        text
    }

    /// The option that a problem is about.
    fn option(&self, problem: &Problem) -> Option<(&'static str, &'a str)> {
        let line = &problem.place.spot.as_ref()?.text;
        let name = line.split('=').next()?;
        self.given.iter().copied().find(|(key, _)| variable(key) == name)
    }
}

fn variable(key: &str) -> String {
    format!("IMAGEBAKED_CLOUD__{}", key.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::config;

    #[test]
    fn a_wrong_value_is_reported_by_the_option_that_was_typed() {
        let (bad, good) = (Some("ftp://x".to_owned()), Some("cn-beijing".to_owned()));
        let options = KeyOptions::new(&[("ecd_endpoint", &bad), ("region", &good), ("credentials", &None)]);
        let variable = ("IMAGEBAKED_CLOUD__TIMEOUT".to_owned(), "soon".to_owned());
        let report = |environment: &[(String, String)]| {
            let environment = options.over(&environment.iter().cloned().collect());
            options.report(config::without_file(&environment).1, false)
        };
        let of_option = report(&[]);
        assert!(of_option.starts_with("error: --ecd-endpoint \"ftp://x\": `ftp` is not a scheme"), "{of_option}");
        assert!(
            of_option.contains("\n  help: write `https://host`") && !of_option.contains("IMAGEBAKED"),
            "{of_option}"
        );
        let both = report(&[variable]);
        assert!(both.contains("--ecd-endpoint") && both.contains("--> environment:"), "{both}");
        assert!(both.contains("IMAGEBAKED_CLOUD__TIMEOUT=soon") && !both.contains("IMAGEBAKED_CLOUD__ECD"), "{both}");
    }
}
