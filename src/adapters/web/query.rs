//! Parameters of an address: reading them, and writing them into links.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::text::clean;

/// Everything but what needs no encoding anywhere in an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Maximum length of a value, which each link of a page repeats; longer ones are cut.
const LONGEST: usize = 200;

/// The parameter of pages that have several.
const PAGE: &str = "page";

/// A text as a part of an address.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The parameters of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of an address after the question mark, with the parameters `known` of its page. Empty values are left
    /// out: a form sends all its fields.
    ///
    /// # Errors
    ///
    /// A sentence about the first parameter that the page does not have, that is there twice, or that is no page.
    pub(super) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            if !known.contains(&&*name) {
                let takes = if known.is_empty() {
                    "it takes none".to_owned()
                } else {
                    format!("it takes {}", known.join(", "))
                };
                return Err(format!("This page has no parameter {:?}; {takes}", clean(&name, LONGEST)));
            }
            let value = decode(value);
            let value: String = value.trim().chars().take(LONGEST).collect();
            // The page shows it in the fields of its forms.
            let value = clean(&value, usize::MAX).into_owned();
            if value.is_empty() {
                continue;
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(format!("The parameter {name} is there twice"));
            }
            if name == PAGE && !value.parse().is_ok_and(|page: usize| page >= 1) {
                return Err(format!("A page is a whole number from 1 up, unlike {value:?}"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The number of the page, from 1 up; 1 if there is none.
    pub(super) fn page(&self) -> usize {
        self.get(PAGE).and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// The address of `path` with these parameters and another value of one of them.
    pub(super) fn link(&self, path: &str, name: &str, value: &str) -> String {
        let rest =
            self.0.iter().filter(|(known, _)| known != name).map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> =
            rest.chain([(name, value)]).map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        format!("{path}?{}", pairs.join("&"))
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Query, String> {
        Query::read(Some(text), &["q", "page", "state"])
    }

    #[test]
    fn parameters_are_read_and_written() {
        let query = read("q=a+b%26c&page=2&state=").unwrap();
        assert_eq!((query.get("q"), query.get("state"), query.page()), (Some("a b&c"), None, 2));
        assert_eq!(query.link("./", "page", "3"), "./?q=a%20b%26c&page=3");
        assert_eq!(Query::read(None, &[]), Ok(Query::default()));
        assert_eq!((read("").unwrap().page(), read("&&").unwrap().page(), read("q").unwrap().get("q")), (1, 1, None));
        assert_eq!(read("%71=a%1b[2J%e2%80%ae").unwrap().get("q"), Some(r"a\u{1b}[2J\u{202e}"));
        let long = read(&format!("q={}", "x".repeat(9_999))).unwrap();
        assert_eq!(long.get("q").unwrap().len(), LONGEST);
        assert!(read(&format!("q={}", "%1b".repeat(9_999))).unwrap().link("./", "page", "2").len() < 4_000);
    }

    #[test]
    fn what_is_no_parameter_of_the_page_is_refused() {
        for (text, wrong) in [
            ("x=1", "no parameter \"x\"; it takes q, page, state"),
            ("a-b=1", "no parameter \"a-b\""),
            ("Q=1", "no parameter \"Q\""),
            ("=1", "no parameter \"\""),
            ("odd", "no parameter \"odd\""),
            ("x=", "no parameter \"x\""),
            ("q[]=1", "no parameter \"q[]\""),
            ("%1b[2J=1", "no parameter \"\\\\u{1b}[2J\""),
            ("q=1&q=2", "q is there twice"),
            ("page=0", "unlike \"0\""),
            ("page=-1", "unlike \"-1\""),
            ("page=x%FF", "unlike \"x"),
            ("page=1.5", "unlike \"1.5\""),
            ("page=99999999999999999999", "from 1 up"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(wrong), "{text}: {refused}");
        }
        assert!(read(&format!("{}=1", "n".repeat(9_999))).unwrap_err().len() < 400);
        assert!(Query::read(Some("x=1"), &[]).unwrap_err().ends_with("it takes none"));
    }
}
