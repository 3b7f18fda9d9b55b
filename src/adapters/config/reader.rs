//! Typed reader of parsed TOML that collects problems instead of stopping at the first.
//!
//! Every value keeps a [`Mark`], its place in the file, because many checks follow the merge of the layers and must
//! still point to the line to change.

use std::{collections::BTreeMap, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(super) use super::{
    diagnostics::{Diagnostics, Hint, Homes},
    marks::{At, Mark, Source, Span},
};
use super::{
    hidden, mistakes,
    problem::{find_key_id, is_secret_key},
    suggest::closest,
};
use crate::{
    adapters::secrets::shapes::mask,
    domain::time::{
        length::{LONGEST, LengthError, length},
        show_length,
    },
};

/// A value of a file that is about to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'v, 's> {
    pub value: &'v DeValue<'s>,
    pub mark: Mark<'s>,
}

impl<'v, 's> Item<'v, 's> {
    pub(super) fn new(source: &'s Source, value: &'v Spanned<DeValue<'s>>) -> Self {
        Self { value: value.get_ref(), mark: source.mark(value.span()) }
    }

    fn wrong_type<T>(self, wanted: &str, hint: Hint, out: &mut Diagnostics) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(time) if time.date.is_none() => "a time",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        if !self.report_secrets(out) {
            out.error(self.mark, "bad-type", format!("expected {wanted}, found {found}"), hint);
        }
        None
    }

    /// Reports secrets inside a table or a list that is not read; whether there are any.
    fn report_secrets(self, out: &mut Diagnostics) -> bool {
        let source = self.mark.source;
        let before = out.count();
        match self.value {
            DeValue::Table(table) => {
                for (key, value) in table {
                    if is_secret_key(key.get_ref()) {
                        secret(source.mark(key.span()), "a secret does not belong in a configuration file", out);
                    } else if value.get_ref().is_table() || value.get_ref().is_array() {
                        Item::new(source, value).report_secrets(out);
                    }
                }
            }
            DeValue::Array(array) => {
                for value in array.iter().filter(|value| value.get_ref().is_table()) {
                    Item::new(source, value).report_secrets(out);
                }
            }
            _ => {}
        }
        out.count() > before
    }

    /// Reads a string; rejects one that looks like a credential, or has characters that act on the text around it.
    pub(super) fn text(self, out: &mut Diagnostics) -> Option<&'v str> {
        let Some(text) = self.value.as_str() else {
            return self.wrong_type("a string", Some(self.as_text()), out);
        };
        if let Some(range) = find_key_id(text) {
            secret(self.mark.inside(text, range), "this looks like an access key id", out);
            return None;
        }
        hidden::is_seen(text, self.mark, out).then_some(text)
    }

    /// Hint for another value where a string is expected.
    fn as_text(self) -> String {
        let Some(list) = self.value.as_array() else {
            let written = self.mark.text();
            let short = !written.contains(['"', '\n']) && written.len() <= 64;
            if let (DeValue::Datetime(_), Some(time)) = (self.value, mistakes::time_of_day(written)) {
                return format!("write it in quotes: \"{time}\"");
            }
            return if short { format!("write it in quotes: \"{written}\"") } else { "write it in quotes".into() };
        };
        let texts: Vec<&str> = list.iter().filter_map(|value| value.get_ref().as_str()).collect();
        match *texts.as_slice() {
            [only] => format!("write it without brackets: \"{only}\""),
            [first, ..] if first.starts_with("ecd-") || first.starts_with("ws-") => {
                "several instances are a list under `instance_ids`".into()
            }
            _ => "one string, without brackets".into(),
        }
    }

    /// Hint for a string where a list of strings is expected.
    fn as_list(self) -> Hint {
        // Parts of a secret do not look like one.
        let text = mask(self.value.as_str()?);
        let parts: Vec<&str> = text.split([',', ';', ' ']).map(str::trim).filter(|part| !part.is_empty()).collect();
        let quoted = |parts: &[&str]| format!("write a list: [\"{}\"]", parts.join("\", \""));
        let several = parts.len() > 1 && text.contains([',', ';']);
        Some(if several { quoted(&parts) } else { quoted(&[text.trim()]) })
    }

    pub(super) fn table(self, wanted: &str, out: &mut Diagnostics) -> Option<&'v DeTable<'s>> {
        self.table_or(wanted, || None, out)
    }

    /// Reads a table; `hint` is what to write in place of another value.
    pub(super) fn table_or(
        self,
        wanted: &str,
        hint: impl FnOnce() -> Hint,
        out: &mut Diagnostics,
    ) -> Option<&'v DeTable<'s>> {
        let hint = || mistakes::single_brackets(self.mark.text()).or_else(hint);
        self.value.as_table().or_else(|| self.wrong_type(wanted, hint(), out))
    }

    /// Reads the table of a key that people often write as another value.
    pub(super) fn table_of(self, key: &str, wanted: &str, out: &mut Diagnostics) -> Option<&'v DeTable<'s>> {
        self.table_or(wanted, || mistakes::table(key, self.value), out)
    }

    /// Reads the elements of a list.
    pub(super) fn list(self, wanted: &str, out: &mut Diagnostics) -> Option<Vec<Item<'v, 's>>> {
        self.list_or(wanted, || self.as_list(), out)
    }

    /// Reads the elements of a list; `hint` is what to write in place of another value.
    pub(super) fn list_or(self, wanted: &str, hint: impl FnOnce() -> Hint, out: &mut Diagnostics) -> Option<Vec<Self>> {
        let Some(array) = self.value.as_array() else { return self.wrong_type(wanted, hint(), out) };
        Some(array.iter().map(|value| Item::new(self.mark.source, value)).collect())
    }

    pub(super) fn bool(self, out: &mut Diagnostics) -> Option<bool> {
        if let (true, Some(word)) = (self.mark.source.untyped, self.value.as_str())
            && let Some(meant) = mistakes::boolean(word)
        {
            return Some(meant);
        }
        let meant = match self.value {
            DeValue::String(word) => mistakes::boolean(word),
            DeValue::Integer(_) => mistakes::boolean(self.mark.text()),
            _ => None,
        };
        let hint = meant
            .map_or("true or false, without quotes".to_owned(), |meant| format!("write `{meant}`, without quotes"));
        self.value.as_bool().or_else(|| self.wrong_type("true or false", Some(hint), out))
    }

    /// Hint for a number in quotes, a number with a point, or what is no number.
    fn as_number(self) -> Hint {
        let known = match self.value {
            DeValue::String(text) => {
                text.trim().parse().ok().map(|number: i64| format!("write {number}, without quotes"))
            }
            DeValue::Float(float) => {
                let whole = float.as_str().trim_end_matches('0').strip_suffix('.');
                Some(whole.map_or("write a whole number".to_owned(), |whole| format!("write {whole}")))
            }
            _ => None,
        };
        known.or_else(|| Some("write a number, without quotes".to_owned()))
    }

    /// Reads an integer from `min` to `max`.
    pub(super) fn integer<T: TryFrom<i64>>(self, min: i64, max: i64, out: &mut Diagnostics) -> Option<T> {
        let number = match self.value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) if self.mark.source.untyped => text.trim().parse().ok(),
            _ => return self.wrong_type("an integer", self.as_number(), out),
        };
        let fits = number.filter(|number| (min..=max).contains(number)).and_then(|number| T::try_from(number).ok());
        if fits.is_none() {
            let is_above = number.map_or_else(|| !self.mark.text().starts_with('-'), |number| number > max);
            let hint = if is_above { format!("at most {max}") } else { format!("at least {min}") };
            out.error(self.mark, "out-of-range", format!("expected an integer from {min} to {max}"), Some(hint));
        }
        fits
    }

    /// Reads a number from `min` to `max`.
    pub(super) fn number(self, min: f64, max: f64, out: &mut Diagnostics) -> Option<f64> {
        let number = match self.value {
            // Both kinds may contain `_` between digits; toml has removed it.
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse::<f64>().ok(),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::String(text) if self.mark.source.untyped => text.trim().parse().ok(),
            _ => return self.wrong_type("a number", self.as_number(), out),
        };
        let fits = number.filter(|number| (min..=max).contains(number));
        if fits.is_none() {
            out.error(self.mark, "out-of-range", format!("expected a number from {min} to {max}"), None);
        }
        fits
    }

    /// Reads a duration such as `15m` or `2h 30m`, from `min` to `max`, which is ten years at most.
    pub(super) fn duration(
        self,
        min: Duration,
        max: Duration,
        or_never: bool,
        out: &mut Diagnostics,
    ) -> Option<Duration> {
        let Some(text) = self.value.as_str() else {
            let hint = match self.value {
                DeValue::Integer(number) if number.radix() == 10 => mistakes::with_units(number.as_str()),
                _ => "write a string with a unit, like \"15m\" or \"2h 30m\"".into(),
            };
            return self.wrong_type("a duration", Some(hint), out);
        };
        match length(text) {
            Err(LengthError::Months) => {
                let hint = format!("write \"{}\" for minutes, or days", text.replace('M', "m"));
                out.error(self.mark, "bad-duration", format!("the `M` of `{text}` would be months"), Some(hint));
                None
            }
            Ok(period) if period < min => {
                let message = format!("a duration of {text} is too short here");
                let least = show_length(min);
                out.error(self.mark, "out-of-range", message, Some(format!("at least {least}")));
                None
            }
            Ok(period) if period <= max => Some(period),
            Ok(_) | Err(LengthError::TooLong) => {
                let most = if max == LONGEST { "10 years".to_owned() } else { show_length(max) };
                let message = format!("a duration of {text} is too long here");
                out.error(self.mark, "out-of-range", message, Some(format!("at most {most}")));
                None
            }
            Err(LengthError::Unknown) => {
                let (message, hint) = mistakes::not_a_duration(text, or_never);
                out.error(self.mark, "bad-duration", message, Some(hint));
                None
            }
        }
    }

    /// Whether it is this string.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.value.as_str() == Some(word)
    }

    /// Reads one of a few words.
    pub(super) fn one_of<T: Copy>(self, words: &[(&str, T)], out: &mut Diagnostics) -> Option<T> {
        if !self.value.is_str() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            return self.wrong_type("a word in quotes", Some(format!("one of \"{}\"", known.join("\", \""))), out);
        }
        let text = self.text(out)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = match closest(text, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("one of \"{}\"", known.join("\", \"")),
            };
            out.error(self.mark, "bad-value", format!("`{text}` is not one of the values of this key"), Some(hint));
        }
        found
    }

    /// Reads a table of strings.
    pub(super) fn texts(self, out: &mut Diagnostics) -> Option<Vec<(At<'s, String>, At<'s, String>)>> {
        let source = self.mark.source;
        let table = self.table_of("tags", "a table of strings", out)?;
        let mut texts = Vec::with_capacity(table.len());
        for (key, value) in table {
            let mark = source.mark(key.span());
            let value = Item::new(source, value);
            if is_secret_key(key.get_ref()) {
                secret(mark, "a secret does not belong in a configuration file", out);
            } else if let (Some(text), true) = (value.text(out), hidden::is_name(key.get_ref(), mark, out)) {
                hidden::report_edges(text, value.mark, out);
                let key = At { value: key.get_ref().to_string(), mark };
                texts.push((key, At { value: text.to_owned(), mark: value.mark }));
            }
        }
        Some(texts)
    }
}

/// Reports a secret.
pub(super) fn secret(mark: Mark<'_>, message: &str, out: &mut Diagnostics) {
    let hint = "remove it and replace the key, which others may have seen; credentials come from the environment, \
                files, a profile or a role: see `credentials` of [cloud]";
    out.error(mark, "secret-in-file", message, Some(hint.into()));
}

/// Strings without duplicates, by key.
pub(super) fn to_map(texts: Vec<(At<'_, String>, At<'_, String>)>) -> BTreeMap<String, String> {
    texts.into_iter().map(|(key, value)| (key.value, value.value)).collect()
}
