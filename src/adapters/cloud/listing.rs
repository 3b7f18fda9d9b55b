//! Lists of the cloud: checks that a list is complete.
//!
//! A list decides about images: an unlisted user does not use one, and an unlisted instance is gone. A list is
//! therefore valid only if its rows are present. Null, no list, fewer rows than its own count, rows without ids, a page
//! that repeats the one before: such a list is rejected as [`INCOMPLETE`], and the caller repeats the call.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{answer::one_line, lenient, request::CloudCall};
use crate::domain::{
    api::call::{ApiError, ErrorClass},
    text::{UNREADABLE, clean},
};

/// Code of an incomplete list.
pub const INCOMPLETE: &str = "ListIncomplete";

/// Rows per page; the maximum of the listing calls.
pub const PAGE_SIZE: u32 = 100;

/// Maximum number of pages, 100,000 rows: an endless list must not block the daemon.
pub(super) const MOST_PAGES: u32 = 1000;
/// The same as rows: a page may have more than were requested, and an answer has room for a hundred thousand short ones.
const MOST_ROWS: usize = (MOST_PAGES * PAGE_SIZE) as usize;

/// A response with an unverified list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RawPage(Value);

/// Requested page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// From 1.
    Number(u32),
    /// Token of the former page; `None` for the first.
    Token(Option<String>),
}

impl Cursor {
    /// The number, for calls with page numbers.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Token(_) => None,
        }
    }

    /// The token, for calls with tokens.
    pub fn token(&self) -> Option<String> {
        match self {
            Self::Number(_) => None,
            Self::Token(token) => token.clone(),
        }
    }
}

/// A call that lists.
pub trait Listing: CloudCall<Value = RawPage> {
    /// Type of the rows.
    type Row: DeserializeOwned;

    /// Name of the call.
    const ACTION: &'static str;
    /// Element with the rows.
    const ROWS: &'static str;
    /// Element with the number of rows in all pages, if the call has one.
    const COUNT: Option<&'static str>;
    /// Whether a response without the list, but with a count of 0, is an empty list.
    const ZERO_IS_ENOUGH: bool = false;

    /// Key of a row; empty if the row has no id.
    fn key(row: &Self::Row) -> String;

    /// First page.
    fn first() -> Cursor;

    /// The same call for this page, of [`PAGE_SIZE`] rows.
    #[must_use]
    fn page(&self, cursor: &Cursor) -> Self;
}

/// A page whose rows are present.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    /// Why each other row is unreadable.
    pub(super) unreadable: Vec<String>,
    /// Number of rows in all pages.
    pub(super) count: Option<usize>,
    pub(super) next_token: Option<String>,
}

impl RawPage {
    /// The rows of this page; whether the list is whole, more pages may decide.
    ///
    /// # Errors
    ///
    /// `ApiError` if rows are missing or unreadable.
    pub fn rows<L: Listing>(self) -> Result<Vec<L::Row>, ApiError> {
        Ok(self.read::<L>()?.rows)
    }

    /// Checks that the page has its rows, and that all of them are readable.
    pub(super) fn read<L: Listing>(self) -> Result<Page<L::Row>, ApiError> {
        let page = self.read_what_can_be::<L>()?;
        match page.unreadable.first() {
            None => Ok(page),
            Some(why) => {
                let received = page.rows.len() + page.unreadable.len();
                let more = page.unreadable.len() - 1;
                let more = if more == 0 { String::new() } else { format!(", and {more} more") };
                Err(incomplete(L::ACTION, page.count, received, &format!("a row is unreadable: {why}{more}")))
            }
        }
    }

    /// Checks that the page has its rows; the count is `None` if the call or the response has none.
    pub(super) fn read_what_can_be<L: Listing>(self) -> Result<Page<L::Row>, ApiError> {
        let Value::Object(mut answer) = self.0 else {
            return Err(incomplete(L::ACTION, None, 0, "the answer is no object"));
        };
        let count = match L::COUNT.and_then(|name| answer.get(name)).filter(|count| !count.is_null()) {
            None => None,
            Some(count) => match lenient::as_number(count).and_then(|count| usize::try_from(count).ok()) {
                Some(count) => Some(count),
                None => return Err(incomplete(L::ACTION, None, 0, "its count is not a number of rows")),
            },
        };
        let next_token = answer.get("NextToken").and_then(lenient::as_text).filter(|token| !token.is_empty());
        let listed = match answer.remove(L::ROWS) {
            Some(Value::Array(rows)) => rows,
            None | Some(Value::Null) if L::ZERO_IS_ENOUGH && count == Some(0) => Vec::new(),
            None => return Err(incomplete(L::ACTION, count, 0, &format!("{} is missing", L::ROWS))),
            Some(Value::Null) => return Err(incomplete(L::ACTION, count, 0, &format!("{} is null", L::ROWS))),
            Some(_) => return Err(incomplete(L::ACTION, count, 0, &format!("{} is no list", L::ROWS))),
        };
        let (mut rows, mut unreadable) = (Vec::with_capacity(listed.len()), Vec::new());
        for row in listed {
            match read_row::<L>(row) {
                Ok(row) => rows.push(row),
                Err(why) => unreadable.push(why),
            }
        }
        Ok(Page { rows, unreadable, count, next_token })
    }

    /// Rows of a page that must contain the whole list, and only the requested ones, if any were requested; and why each
    /// other one is unreadable, if all requested ones are there without them.
    pub(super) fn read_whole<L: Listing>(
        self,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<(Vec<L::Row>, Vec<String>), ApiError> {
        let (rows, unreadable) = self.read_whole_what_can_be::<L>(asked, &id)?;
        let has_all = !asked.is_empty() && asked.iter().all(|asked| rows.iter().any(|row| id(row) == *asked));
        match unreadable.first() {
            // It may be the one that is missed.
            Some(why) if !has_all => {
                let received = rows.len() + unreadable.len();
                Err(incomplete(L::ACTION, None, received, &format!("a row is unreadable: {why}")))
            }
            _ => Ok((rows, unreadable)),
        }
    }

    /// The same, whether or not the requested ones are among the readable ones.
    pub(super) fn read_whole_what_can_be<L: Listing>(
        self,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<(Vec<L::Row>, Vec<String>), ApiError> {
        let Page { rows, unreadable, count, next_token } = self.read_what_can_be::<L>()?;
        let received = rows.len() + unreadable.len();
        check_not_empty::<L>(received, count)?;
        if count.is_some_and(|count| received < count) {
            return Err(incomplete(L::ACTION, count, received, FEWER));
        }
        if count.is_none() && next_token.is_some() {
            return Err(incomplete(L::ACTION, count, received, "it goes on after one page"));
        }
        if let Some(other) = rows.iter().map(id).find(|id| !asked.is_empty() && !asked.contains(id)) {
            let why = format!("it shows {other}, which was not asked for");
            return Err(incomplete(L::ACTION, count, received, &why));
        }
        Ok((rows, unreadable))
    }
}

/// A row, or why it is unreadable. An id in which something was replaced may be any other one.
fn read_row<L: Listing>(row: Value) -> Result<L::Row, String> {
    let name = row.as_object().and_then(|row| {
        let is_id = |key: &&String| key.ends_with("Id");
        row.keys().find(is_id).and_then(|key| Some(format!("{key} {}: ", lenient::as_text(&row[key])?)))
    });
    let name = name.map(|name| clean(&name, LONGEST_NAME).into_owned()).unwrap_or_default();
    let row: L::Row = serde_json::from_value(row).map_err(|error| format!("{name}{error}"))?;
    match L::key(&row) {
        key if key.is_empty() => Err("it has no id".to_owned()),
        key if key.contains(UNREADABLE) || key.contains('…') => Err(format!("{name}its id is damaged")),
        _ => Ok(row),
    }
}

/// Maximum length of the name of an unreadable row.
const LONGEST_NAME: usize = 80;

const FEWER: &str = "there are fewer rows than its count";

/// Pages of one list, read so far.
pub(super) struct Pages<L: Listing> {
    /// Each row once: rows move to later pages when others are added meanwhile.
    rows: Vec<L::Row>,
    unreadable: Vec<String>,
    seen: BTreeSet<String>,
    tokens: BTreeSet<String>,
    count: Option<usize>,
}

/// Next step after a page.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// It was the last one: these are all rows, and why each other one is unreadable.
    Whole(Vec<T>, Vec<String>),
    /// This page is next.
    Next(Cursor),
    /// Rows were added or removed meanwhile, so that some may have moved to a page that was read already.
    Moved(ApiError),
}

impl<L: Listing> Default for Pages<L> {
    fn default() -> Self {
        Self { rows: Vec::new(), unreadable: Vec::new(), seen: BTreeSet::new(), tokens: BTreeSet::new(), count: None }
    }
}

impl<L: Listing> Pages<L> {
    /// Adds the page at `cursor`. The count of all rows decides if the response has it: a server may return shorter
    /// pages than requested.
    pub(super) fn take(&mut self, page: Page<L::Row>, cursor: &Cursor) -> Result<Taken<L::Row>, ApiError> {
        let refuse = |rows: usize, count: Option<usize>, why: &str| incomplete(L::ACTION, count, rows, why);
        if let (Some(before), Some(now)) = (self.count, page.count)
            && before != now
        {
            let why = format!("its count changed from {before} while it was read");
            return Ok(Taken::Moved(refuse(self.read(), Some(now), &why)));
        }
        self.count = self.count.or(page.count);
        let (received, before) = (page.rows.len() + page.unreadable.len(), self.read());
        check_not_empty::<L>(before + received, self.count)?;
        for row in page.rows {
            if self.seen.insert(L::key(&row)) {
                self.rows.push(row);
            }
        }
        // Without ids nobody knows whether they are new: two pages of them would be taken for progress.
        if page.unreadable.len() < received || before == 0 {
            self.unreadable.extend(page.unreadable);
        }
        let (rows, count) = (self.read(), self.count);
        if rows > MOST_ROWS {
            return Err(refuse(rows, count, &format!("it has more than {MOST_ROWS} rows")));
        }
        let nothing_new = rows == before;
        // More rows than the count are harmless: an image may have one row per version.
        let missing = count.is_some_and(|count| rows < count);
        let enough = count.is_some_and(|count| rows >= count);
        let next = match cursor {
            Cursor::Token(_) => match page.next_token {
                None if missing => return Err(refuse(rows, count, FEWER)),
                None => None,
                Some(_) if enough && nothing_new => None,
                Some(token) if !self.tokens.insert(token.clone()) => {
                    return Err(refuse(rows, count, "its NextToken repeats"));
                }
                Some(token) => Some(Cursor::Token(Some(token))),
            },
            Cursor::Number(_) if count == Some(rows) => None,
            Cursor::Number(_) if enough && (nothing_new || received < PAGE_SIZE as usize) => None,
            // Without a count only an empty page ends the list: a short one may be the server's maximum.
            Cursor::Number(_) if count.is_none() && received == 0 => None,
            Cursor::Number(number) => Some(Cursor::Number(number.saturating_add(1))),
        };
        match next {
            None => Ok(Taken::Whole(std::mem::take(&mut self.rows), std::mem::take(&mut self.unreadable))),
            Some(_) if nothing_new => Err(refuse(rows, count, "a page brings nothing new")),
            Some(next) => Ok(Taken::Next(next)),
        }
    }

    /// Number of rows so far.
    fn read(&self) -> usize {
        self.rows.len() + self.unreadable.len()
    }

    /// Error after the maximum number of pages.
    pub(super) fn endless(&self) -> ApiError {
        incomplete(L::ACTION, self.count, self.read(), &format!("it does not end after {MOST_PAGES} pages"))
    }
}

/// An empty list must be explicit: by its count, if the call has one.
fn check_not_empty<L: Listing>(rows: usize, count: Option<usize>) -> Result<(), ApiError> {
    if rows == 0 && count.is_none() && L::COUNT.is_some() {
        return Err(incomplete(L::ACTION, None, 0, "it has neither rows nor a count"));
    }
    Ok(())
}

/// Error for an incomplete list: the call, its count, the received rows, and the fault.
pub fn incomplete(action: &str, count: Option<usize>, rows: usize, why: &str) -> ApiError {
    let count = count.map_or_else(|| "no count".to_owned(), |count| format!("a count of {count}"));
    ApiError {
        class: ErrorClass::Transient,
        code: Some(INCOMPLETE.to_owned()),
        message: one_line(&format!("{action} answered with {count} and {rows} rows: {why}")),
        advice: Cow::Borrowed("Such a list is not used; the call is repeated."),
        http_status: Some(200),
        request_id: None,
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::adapters::cloud::actions::DescribeDesktops;

    #[test]
    fn a_list_of_endless_rows_is_given_up_before_it_fills_the_memory() {
        const AT_ONCE: usize = 20_000;
        let mut pages = Pages::<DescribeDesktops>::default();
        let mut taken = Vec::new();
        for number in 0..10 {
            let rows: Vec<_> = (0..AT_ONCE).map(|row| json!({ "DesktopId": format!("ecd-{number}-{row}") })).collect();
            let page = RawPage(json!({ "Desktops": rows, "NextToken": number.to_string() }));
            let taken_now = pages.take(page.read::<DescribeDesktops>().unwrap(), &Cursor::Token(None));
            taken.push(taken_now.map(|_| ()).map_err(|error| error.message));
            if taken.last().is_some_and(Result::is_err) {
                break;
            }
        }
        assert_eq!(taken.len(), MOST_ROWS / AT_ONCE + 1, "{taken:?}");
        let why = taken.pop().unwrap().unwrap_err();
        assert!(why.contains("it has more than 100000 rows"), "{why}");
    }
}
