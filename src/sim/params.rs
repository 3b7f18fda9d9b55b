//! Parameters of a call, from its query and its form body.

use std::{collections::BTreeMap, ops::RangeInclusive};

use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};

use super::codes::SimFailure;

/// Parameter names with their values, as received: lists stay flat (`TagList.1.Key`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Decodes the query and a form body; for a name in both the body's value counts.
    pub(super) fn decode(query: &str, body: &[u8]) -> Self {
        Self(form_pairs(query.as_bytes()).chain(form_pairs(body)).collect())
    }

    /// The value of `name`; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all parameters, as received.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names of all parameters, without the numbers and fields of lists.
    pub(super) fn stems(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| name.split('.').next().unwrap_or(name))
    }

    /// Removes this one.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The value of a mandatory parameter.
    pub(super) fn require(&self, name: &str) -> Result<&str, SimFailure> {
        self.get(name).ok_or_else(|| SimFailure::missing(name))
    }

    /// One of `allowed`, if given.
    pub(super) fn choice(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, SimFailure> {
        match self.get(name) {
            Some(value) if !allowed.contains(&value) => Err(SimFailure::invalid(name)),
            value => Ok(value),
        }
    }

    /// A whole number of 32 bits within `range`, in digits alone, or `default`.
    pub(super) fn number(&self, name: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize, SimFailure> {
        self.get(name).map_or(Ok(default), |text| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<i32>().ok().filter(|_| is_plain).and_then(|number| usize::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or_else(|| SimFailure::invalid(name))
        })
    }

    /// A boolean in any case: the Python SDK sends `True`, the Go SDK `true`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, SimFailure> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(SimFailure::invalid(name)),
        }
    }

    /// The items of `name.1`, `name.2`, … in the order of their numbers; at most `most` of them.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<&str>, SimFailure> {
        let mut items: Vec<(usize, &str)> =
            self.members(name).filter_map(|(rest, value)| Some((rest.parse().ok()?, value))).collect();
        if items.len() > most {
            return Err(SimFailure::invalid(name));
        }
        items.sort_unstable();
        Ok(items.into_iter().map(|(_, value)| value).collect())
    }

    /// The items of `name.1`, …, of which there must be one at least.
    pub(super) fn require_list(&self, name: &str, most: usize) -> Result<Vec<&str>, SimFailure> {
        let items = self.list(name, most)?;
        if items.is_empty() { Err(SimFailure::missing(name)) } else { Ok(items) }
    }

    /// Key and value pairs: `name.1.Key` with `name.1.Value`, ….
    pub(super) fn tags(&self, name: &str, most: usize) -> Result<BTreeMap<String, String>, SimFailure> {
        let mut tags = BTreeMap::new();
        for (rest, key) in self.members(name) {
            if let Some(number) = rest.strip_suffix(".Key") {
                let value = self.0.get(&format!("{name}.{number}.Value")).cloned().unwrap_or_default();
                tags.insert(key.to_owned(), value);
            } else if let Some(number) = rest.strip_suffix(".Value")
                && !self.0.contains_key(&format!("{name}.{number}.Key"))
            {
                return Err(SimFailure::invalid(name));
            }
        }
        if tags.len() > most || tags.contains_key("") { Err(SimFailure::invalid(name)) } else { Ok(tags) }
    }

    /// Number of pairs, also where a key is there twice.
    pub(super) fn tag_keys(&self, name: &str) -> usize {
        self.members(name).filter(|(rest, _)| rest.ends_with(".Key")).count()
    }

    /// What follows `name.` in the names that start so, with the values.
    fn members<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'n> {
        self.0
            .iter()
            .filter_map(move |(full, value)| Some((full.strip_prefix(name)?.strip_prefix('.')?, value.as_str())))
    }
}

/// Splits form-encoded text into decoded pairs: `+` is a space, `%XX` a byte of UTF-8.
pub(super) fn form_pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    text.split(|&byte| byte == b'&').filter(|part| !part.is_empty()).map(|part| {
        let mut halves = part.splitn(2, |&byte| byte == b'=');
        let mut half = || form_decode(halves.next().unwrap_or_default());
        (half(), half())
    })
}

fn form_decode(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_ordered_by_number_not_by_text() {
        let params = Params::decode("Id.10=j&Id.2=b&Id.1=a&Identity=x", b"");
        assert_eq!(params.list("Id", 100), Ok(vec!["a", "b", "j"]));
        assert_eq!(params.list("Id", 2), Err(SimFailure::invalid("Id")));
    }

    #[test]
    fn query_and_body_are_one_and_form_decoded() {
        let params = Params::decode("TagList.1.Key=k+1&TagList.1.Value=%E5%80%BC+2", b"Name=a%2Bb+c&Empty=");
        assert_eq!(params.tags("TagList", 20), Ok(BTreeMap::from([("k 1".to_owned(), "值 2".to_owned())])));
        assert_eq!(params.get("Name"), Some("a+b c"));
        assert_eq!(params.require("Empty"), Err(SimFailure::missing("Empty")));
    }

    #[test]
    fn numbers_have_digits_alone_and_32_bits() {
        let read = |text: &str| Params::decode(&format!("A={text}"), b"").number("A", 7, 1..=usize::MAX);
        assert_eq!((read(""), read("05"), read("2147483647")), (Ok(7), Ok(5), Ok(2_147_483_647)));
        for text in ["%2B5", "-5", "5.0", "%205", "0", "2147483648", "9223372036854775808", "True", "%EF%BC%95"] {
            assert_eq!(read(text), Err(SimFailure::invalid("A")), "{text}");
        }
    }

    #[test]
    fn booleans_come_in_any_case() {
        let params = Params::decode("A=True&B=false&C=yes", b"");
        assert_eq!(params.boolean("A"), Ok(Some(true)));
        assert_eq!(params.boolean("B"), Ok(Some(false)));
        assert_eq!(params.boolean("C"), Err(SimFailure::invalid("C")));
    }
}
