//! Lists of the cloud: when one is whole, and what it is when it is not.
//!
//! A list decides over images: who is not listed does not use one, and an instance that is not listed is gone. So a list
//! counts only where its rows are there. Null, no list at all, fewer rows than its own count, rows without ids, a page
//! that repeats the one before: such a list concludes nothing. It is refused as [`INCOMPLETE`], and whoever asked asks
//! again.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{answer::one_line, lenient, request::CloudCall};
use crate::domain::api::call::{ApiError, ErrorClass};

/// The code of a list that is not whole.
pub const INCOMPLETE: &str = "ListIncomplete";

/// Rows asked for at once; the most that the listing calls give.
pub const PAGE_SIZE: u32 = 100;

/// 100,000 rows: an account with more has no use for these lists, and a server that never ends must not hold us.
pub(super) const MOST_PAGES: u32 = 1000;

/// An answer with a list in it, not judged yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RawPage(Value);

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// From 1.
    Number(u32),
    /// What the page before gave; `None` for the first.
    Token(Option<String>),
}

impl Cursor {
    /// The number, where pages have numbers.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Token(_) => None,
        }
    }

    /// The token, where pages have tokens.
    pub fn token(&self) -> Option<String> {
        match self {
            Self::Number(_) => None,
            Self::Token(token) => token.clone(),
        }
    }
}

/// A call that lists.
pub trait Listing: CloudCall<Value = RawPage> {
    /// What is listed.
    type Row: DeserializeOwned;

    /// The call's name.
    const ACTION: &'static str;
    /// The element that holds the rows.
    const ROWS: &'static str;
    /// The element that holds the number of rows in all pages, where the call has one.
    const COUNT: Option<&'static str>;
    /// Whether an answer without the list, but with a count of 0, means that there is nothing.
    const ZERO_IS_ENOUGH: bool = false;

    /// What distinguishes rows; empty where the row lacks its id.
    fn key(row: &Self::Row) -> String;

    /// The page to begin with.
    fn first() -> Cursor;

    /// The same call for this page, of [`PAGE_SIZE`] rows.
    #[must_use]
    fn page(&self, cursor: &Cursor) -> Self;
}

/// A page whose rows are there, as far as it shows.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    /// Rows in all pages.
    pub(super) count: Option<usize>,
    pub(super) next_token: Option<String>,
}

impl RawPage {
    /// The page, where its rows are there; `None` for the count where the call has none or the answer leaves it out.
    pub(super) fn read<L: Listing>(self) -> Result<Page<L::Row>, ApiError> {
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
        let rows = match answer.remove(L::ROWS) {
            Some(Value::Array(rows)) => rows,
            None | Some(Value::Null) if L::ZERO_IS_ENOUGH && count == Some(0) => Vec::new(),
            None => return Err(incomplete(L::ACTION, count, 0, &format!("{} is missing", L::ROWS))),
            Some(Value::Null) => return Err(incomplete(L::ACTION, count, 0, &format!("{} is null", L::ROWS))),
            Some(_) => return Err(incomplete(L::ACTION, count, 0, &format!("{} is no list", L::ROWS))),
        };
        let received = rows.len();
        let rows = rows
            .into_iter()
            .map(|row| {
                let row: L::Row =
                    serde_json::from_value(row).map_err(|error| format!("a row is unreadable: {error}"))?;
                if L::key(&row).is_empty() { Err("a row has no id".to_owned()) } else { Ok(row) }
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| incomplete(L::ACTION, count, received, &why))?;
        Ok(Page { rows, count, next_token })
    }

    /// The rows of a page that has to hold the whole list, and none but those `asked` for, where any were.
    pub(super) fn read_whole<L: Listing>(
        self,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<Vec<L::Row>, ApiError> {
        let Page { rows, count, next_token } = self.read::<L>()?;
        let received = rows.len();
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
        Ok(rows)
    }
}

const FEWER: &str = "there are fewer rows than its count";

/// The pages of one list, read so far.
pub(super) struct Pages<L: Listing> {
    /// Each row once: rows move to later pages when others are added meanwhile.
    rows: Vec<L::Row>,
    seen: BTreeSet<String>,
    tokens: BTreeSet<String>,
    count: Option<usize>,
}

/// What follows from a page.
#[derive(Debug)]
pub(super) enum Taken<T> {
    /// It was the last: these are all rows.
    Whole(Vec<T>),
    /// This one is next.
    Next(Cursor),
    /// Rows came or went meanwhile, so that some may have moved to a page that was read already.
    Moved(ApiError),
}

impl<L: Listing> Default for Pages<L> {
    fn default() -> Self {
        Self { rows: Vec::new(), seen: BTreeSet::new(), tokens: BTreeSet::new(), count: None }
    }
}

impl<L: Listing> Pages<L> {
    /// Takes the page at `cursor`. The count of all rows decides where the answer has it, as a server may give shorter
    /// pages than it was asked for.
    pub(super) fn take(&mut self, page: Page<L::Row>, cursor: &Cursor) -> Result<Taken<L::Row>, ApiError> {
        let refuse = |rows: usize, count: Option<usize>, why: &str| incomplete(L::ACTION, count, rows, why);
        if let (Some(before), Some(now)) = (self.count, page.count)
            && before != now
        {
            let why = format!("its count changed from {before} while it was read");
            return Ok(Taken::Moved(refuse(self.rows.len(), Some(now), &why)));
        }
        self.count = self.count.or(page.count);
        let (received, before) = (page.rows.len(), self.rows.len());
        check_not_empty::<L>(before + received, self.count)?;
        for row in page.rows {
            if self.seen.insert(L::key(&row)) {
                self.rows.push(row);
            }
        }
        let (rows, count) = (self.rows.len(), self.count);
        let nothing_new = rows == before;
        // More rows than the count are no lie that hides anything: an image may be a row for each of its versions.
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
            // Without a count only an empty page is an end: a short one may be all that the server gives at once.
            Cursor::Number(_) if count.is_none() && received == 0 => None,
            Cursor::Number(number) => Some(Cursor::Number(number.saturating_add(1))),
        };
        match next {
            None => Ok(Taken::Whole(std::mem::take(&mut self.rows))),
            Some(_) if nothing_new => Err(refuse(rows, count, "a page brings nothing new")),
            Some(next) => Ok(Taken::Next(next)),
        }
    }

    /// So many pages, and no end.
    pub(super) fn endless(&self) -> ApiError {
        incomplete(L::ACTION, self.count, self.rows.len(), &format!("it does not end after {MOST_PAGES} pages"))
    }
}

/// An empty list must be explicit: where the call has a count, by that.
fn check_not_empty<L: Listing>(rows: usize, count: Option<usize>) -> Result<(), ApiError> {
    if rows == 0 && count.is_none() && L::COUNT.is_some() {
        return Err(incomplete(L::ACTION, None, 0, "it has neither rows nor a count"));
    }
    Ok(())
}

/// A list that concludes nothing: the call, its count, the rows that came, and what is wrong.
pub fn incomplete(action: &str, count: Option<usize>, rows: usize, why: &str) -> ApiError {
    let count = count.map_or_else(|| "no count".to_owned(), |count| format!("a count of {count}"));
    ApiError {
        class: ErrorClass::Transient,
        code: Some(INCOMPLETE.to_owned()),
        message: one_line(&format!("{action} answered with {count} and {rows} rows: {why}")),
        advice: Cow::Borrowed("Nothing is concluded from such a list; it is asked for again."),
        http_status: Some(200),
        request_id: None,
        retry_after: None,
    }
}
