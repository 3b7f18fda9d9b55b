//! False lists: responses of status 200 with wrong rows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Elements of a list response.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListShape {
    /// The rows.
    pub(super) rows: &'static str,
    /// The number of rows in all pages, where there is one.
    pub(super) count: Option<&'static str>,
    /// The id of a row.
    pub(super) id: &'static str,
    /// The image of a row.
    pub(super) image: Option<&'static str>,
    /// Whether pages have tokens rather than numbers.
    pub(super) tokens: bool,
}

/// How a list is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lie {
    /// null in place of the rows.
    Null,
    /// No rows element at all.
    Missing,
    /// No rows, and a count of at least 1.
    Empty,
    /// No rows, and a count of none: nothing shows that it is false.
    Nothing,
    /// No first row, and a count without it.
    Less,
    /// One row less than the count.
    Short,
    /// Rows without their ids.
    NoIds,
    /// Rows without the ids of their images.
    NoImageIds,
    /// A text in place of the rows.
    WrongType,
    /// Numbers in place of the rows.
    WrongRows,
    /// The first page for every request, with further pages announced.
    SamePage,
    /// The first page, and always the same token for the next.
    SameToken,
    /// A count that grows with every answer.
    Growing,
    /// Rows whose ids end with half a surrogate pair.
    DamagedIds,
    /// Half a surrogate pair in place of the ids of images.
    DamagedImageIds,
    /// Names that end with half a surrogate pair.
    DamagedNames,
}

/// Stands in an answer for half a surrogate pair, which no string can have.
const HALF: char = '\u{f8ff}';

/// The answer as it is sent.
pub(super) fn written(answer: &Value) -> String {
    let text = answer.to_string();
    if text.contains(HALF) { text.replace(HALF, "\\ud800") } else { text }
}

impl Lie {
    /// The missing element, if a list of this structure cannot be false in this way.
    pub(super) fn check(self, shape: &ListShape) -> Result<(), &'static str> {
        match self {
            Self::Empty | Self::Short | Self::Growing if shape.count.is_none() => Err("its answer has no count"),
            Self::NoImageIds | Self::DamagedImageIds if shape.image.is_none() => Err("its rows have no image"),
            Self::SameToken if !shape.tokens => Err("its pages have no tokens"),
            _ => Ok(()),
        }
    }

    /// Whether the first page is returned for every request.
    pub(super) fn pins_the_page(self) -> bool {
        matches!(self, Self::SamePage | Self::SameToken)
    }

    /// Makes a true response false; `serial` differs with every call.
    pub(super) fn apply(self, answer: &mut Map<String, Value>, shape: &ListShape, serial: usize) {
        let mut rows = match answer.get_mut(shape.rows).map(Value::take) {
            Some(Value::Array(rows)) => rows,
            _ => Vec::new(),
        };
        let mut count = shape.count.and_then(|name| answer.get(name)).and_then(Value::as_u64).unwrap_or(0);
        let strip = |rows: &mut Vec<Value>, name: &str| {
            if rows.is_empty() {
                rows.push(json!({shape.id: "lie-1"}));
            }
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                row.remove(name);
            }
        };
        let damage = |rows: &mut Vec<Value>, is_meant: &dyn Fn(&str) -> bool, keeps: bool| {
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                for (_, value) in row.iter_mut().filter(|(key, value)| is_meant(key) && value.is_string()) {
                    let kept = value.as_str().filter(|_| keeps).unwrap_or_default();
                    *value = json!(format!("{kept}{HALF}"));
                }
            }
        };
        let mut report = None;
        match self {
            Self::DamagedIds => {
                if rows.is_empty() {
                    rows.push(json!({shape.id: "lie-1"}));
                }
                damage(&mut rows, &|key| key == shape.id, true);
            }
            Self::DamagedImageIds => damage(&mut rows, &|key| Some(key) == shape.image, false),
            Self::DamagedNames => damage(&mut rows, &|key| key.ends_with("Name"), true),
            Self::Null => report = Some(Some(Value::Null)),
            Self::Missing => report = Some(None),
            Self::Empty => {
                rows.clear();
                count = count.max(1);
            }
            Self::Nothing => {
                rows.clear();
                count = 0;
            }
            Self::Less => {
                rows.drain(..1.min(rows.len()));
                count = count.saturating_sub(1);
            }
            Self::Short => {
                rows.pop();
                count = count.max(1);
            }
            Self::NoIds => strip(&mut rows, shape.id),
            Self::NoImageIds => strip(&mut rows, shape.image.unwrap_or(shape.id)),
            Self::WrongType => report = Some(Some(json!("see the next page"))),
            Self::WrongRows => report = Some(Some(json!([1, 2]))),
            Self::SamePage | Self::SameToken => count += 1000,
            Self::Growing => count += serial as u64 + 1,
        }
        count = count.max(rows.len() as u64);
        if let Some(name) = shape.count {
            answer.insert(name.to_owned(), json!(count));
        }
        if shape.tokens {
            match self {
                Self::Empty | Self::Short => drop(answer.insert("NextToken".to_owned(), json!(""))),
                Self::SamePage => drop(answer.insert("NextToken".to_owned(), json!(format!("more-{serial}")))),
                Self::SameToken => drop(answer.insert("NextToken".to_owned(), json!("more"))),
                _ => {}
            }
        }
        match report {
            None => drop(answer.insert(shape.rows.to_owned(), Value::Array(rows))),
            Some(Some(value)) => drop(answer.insert(shape.rows.to_owned(), value)),
            Some(None) => drop(answer.remove(shape.rows)),
        }
    }
}
