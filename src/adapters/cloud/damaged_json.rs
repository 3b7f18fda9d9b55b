//! JSON with damaged texts: invalid UTF-8, half a surrogate pair, raw control characters. One such text in a list of a
//! thousand rows must not make all rows unreadable. Each damaged place becomes U+FFFD; a number that is none becomes null.
//!
//! Whoever compares ids and names must know of it: a text with U+FFFD may have been another one
//! ([`may_be`](crate::domain::text::may_be)).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The value of a document, and the number of places that were replaced; `None` if its structure is damaged. A key that an
/// object has twice is such damage: which of both counts, an empty list of users or the one with all, nobody knows.
pub(super) fn parse(body: &[u8]) -> Option<(Value, usize)> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(KeysOnce(value)) = serde_json::from_slice(body) {
        return Some((value, 0));
    }
    let text = String::from_utf8_lossy(body);
    let invalid = usize::from(matches!(text, Cow::Owned(_)));
    let mut repair = Repair { rest: &text, out: String::with_capacity(text.len()), replaced: invalid };
    repair.run();
    if repair.replaced == 0 {
        return None;
    }
    let KeysOnce(value) = serde_json::from_str(&repair.out).ok()?;
    Some((value, repair.replaced))
}

/// A value each of whose objects has each key once.
struct KeysOnce(Value);

impl<'de> Deserialize<'de> for KeysOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose objects have each key once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, KeysOnce(value))) = map.next_entry::<String, KeysOnce>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(KeysOnce(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// A copy of a document in which all tokens are valid.
struct Repair<'a> {
    rest: &'a str,
    out: String,
    replaced: usize,
}

impl Repair<'_> {
    fn run(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            if c == '"' {
                self.copy(1);
                self.string();
            } else if c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.') {
                self.word();
            } else {
                self.copy(c.len_utf8());
            }
        }
    }

    fn copy(&mut self, bytes: usize) {
        let (head, rest) = self.rest.split_at(bytes);
        self.out.push_str(head);
        self.rest = rest;
    }

    fn replace(&mut self, bytes: usize, by: &str) {
        self.out.push_str(by);
        self.rest = &self.rest[bytes..];
        self.replaced += 1;
    }

    /// A number or a word outside of strings. What other programs write for numbers that are none, and numbers beyond all
    /// that are known here, are null.
    fn word(&mut self) {
        let length =
            self.rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
        let word = &self.rest[..length];
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && word.parse::<f64>().is_ok_and(|number| !number.is_finite());
        if is_number || matches!(word, "NaN" | "Infinity") {
            self.replace(length, "null");
        } else {
            self.copy(length);
        }
    }

    /// The rest of a string, with its end.
    fn string(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '"' => return self.copy(1),
                '\\' => self.escape(),
                c if c < ' ' => self.replace(1, "\u{fffd}"),
                c => self.copy(c.len_utf8()),
            }
        }
    }

    fn escape(&mut self) {
        match self.rest.as_bytes().get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.copy(2),
            Some(b'u') => match (unit(self.rest), unit(self.rest.get(6..).unwrap_or_default())) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => self.copy(12),
                (Some(0xd800..=0xdfff), _) => self.replace(6, "\u{fffd}"),
                (Some(_), _) => self.copy(6),
                (None, _) => self.replace(2, "\u{fffd}"),
            },
            // The next character is an ordinary one.
            _ => self.replace(1, "\u{fffd}"),
        }
    }
}

/// The number of `\uXXXX` at the beginning.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_damaged_text_costs_that_text_alone() {
        for (body, value, replaced) in [
            (&br#"{"a":"x\ud800y","b":1}"#[..], json!({"a": "x\u{fffd}y", "b": 1}), 1),
            (br#"{"a":"\udc00\ud83d\ude00\ud83d"}"#, json!({"a": "\u{fffd}😀\u{fffd}"}), 2),
            (br#"{"a":"\ud800A"}"#, json!({"a": "\u{fffd}A"}), 1),
            (b"{\"a\":\"x\xff\xfey\"}", json!({"a": "x\u{fffd}\u{fffd}y"}), 1),
            (b"{\"a\":\"x\0y\nz\"}", json!({"a": "x\u{fffd}y\u{fffd}z"}), 2),
            (br#"{"a":"\x41\u12","b":"c"}"#, json!({"a": "\u{fffd}x41\u{fffd}12", "b": "c"}), 2),
            (br#"{"a":1e999,"b":NaN,"c":[-1e999,2.5]}"#, json!({"a": null, "b": null, "c": [null, 2.5]}), 3),
            (b"\xef\xbb\xbf{\"a\":\"\\u0000\"}", json!({"a": "\0"}), 0),
            (br#"{"a":"\"\\ud800","b":"\ud800"}"#, json!({"a": "\"\\ud800", "b": "\u{fffd}"}), 1),
        ] {
            assert_eq!(parse(body), Some((value, replaced)), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_damaged_structure_is_no_document() {
        for body in [
            &b""[..],
            b"{",
            b"{\"a\":\"x\xff",
            b"<html>\xff</html>",
            b"{\"a\":}",
            br#"{"a":"\ud800}"#,
            b"{}{}",
            br#"{"Desktops":[{"a":1}],"Desktops":[]}"#,
            br#"{"a":[{"b":{"c":1,"\u0063":1}}]}"#,
            br#"{"a":"\ud800","a":1}"#,
            b"\xff{}",
        ] {
            assert_eq!(parse(body), None, "{}", String::from_utf8_lossy(body));
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), None);
    }

    proptest! {
        /// A sound document stays as it is, and a byte of damage in a text leaves every other text.
        #[test]
        fn damage_stays_where_it_is(texts in proptest::collection::vec("\\PC{0,12}", 1..6), at in 0usize..6, byte in 0x80u8..=0xff) {
            let document = json!({ "rows": texts, "count": texts.len() });
            prop_assert_eq!(parse(document.to_string().as_bytes()), Some((document.clone(), 0)));
            let at = at % texts.len();
            let mut damaged = json!({ "rows": texts, "count": texts.len() });
            damaged["rows"][at] = "MARK".into();
            let body = damaged.to_string().into_bytes();
            let place = body.windows(4).position(|four| four == b"MARK").unwrap();
            let body = [&body[..place], &[byte], &body[place + 4..]].concat();
            let (value, replaced) = parse(&body).unwrap();
            prop_assert!(replaced > 0);
            for (index, text) in texts.iter().enumerate().filter(|(index, _)| *index != at) {
                // A text that has the mark itself may be the one that was found.
                if !texts.iter().any(|text| text.contains("MARK")) {
                    prop_assert_eq!(value["rows"][index].as_str(), Some(text.as_str()));
                }
            }
        }

        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
