//! Parameters of an address: reading them, and writing them into links.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::text::clean;

/// Everything but what needs no encoding anywhere in an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Maximum length of a value; longer ones are cut.
const LONGEST: usize = 200;
/// Maximum length of a name, and maximum number of parameters: each link of a page repeats them.
const LONGEST_NAME: usize = 20;
const MOST: usize = 10;

/// A text as a part of an address.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The parameters of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of an address after the question mark. Empty values are left out: a form sends all its fields.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = decode(value);
            let value: String = value.trim().chars().take(LONGEST).collect();
            // The page shows it in the fields of its forms.
            let is_name = name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_lowercase());
            (is_name && !value.is_empty()).then(|| (name.to_owned(), clean(&value, usize::MAX).into_owned()))
        });
        Self(pairs.take(MOST).collect())
    }

    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first parameter that is none of these.
    pub(super) fn other_than(&self, known: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
    }

    /// A number from 1 up, 1 if there is none.
    pub(super) fn page(&self) -> usize {
        self.get("page").and_then(|text| text.parse().ok()).filter(|page| *page >= 1).unwrap_or(1)
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

    #[test]
    fn parameters_are_read_and_written() {
        let query = Query::parse(Some("q=a+b%26c&page=2&state=&odd"));
        assert_eq!((query.get("q"), query.get("state"), query.page()), (Some("a b&c"), None, 2));
        assert_eq!(query.link("./", "page", "3"), "./?q=a%20b%26c&page=3");
        assert_eq!((query.other_than(&["q", "page"]), query.other_than(&["q"])), (None, Some("page")));
        assert_eq!(Query::parse(Some("page=0")).page(), 1);
        assert_eq!(Query::parse(Some("page=x%FF")).page(), 1);
        assert_eq!(Query::parse(None), Query::default());
        assert_eq!(Query::parse(Some("q=a%1b[2J%e2%80%ae")).get("q"), Some(r"a\u{1b}[2J\u{202e}"));
        let long = Query::parse(Some(&format!("q={}", "x".repeat(9_999))));
        assert_eq!(long.get("q").unwrap().len(), LONGEST);
        let many = Query::parse(Some(&format!("{}&{}=x&q=b", "a=%1b&".repeat(10_000), "n".repeat(9_999))));
        assert!(many.link("./", "page", "2").len() < 500, "{}", many.link("./", "page", "2"));
    }
}
