//! The pages for people: each reads its parameters, gets its data and is drawn.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{Html, IntoResponse as _, Response},
};
use maud::Markup;

use super::{
    page::{
        self,
        frame::{Frame, Tab},
        history::Filters,
        overview_view::Overview,
    },
    query::Query,
    site::{Site, WebState},
    source::SourceError,
};
use crate::domain::{
    calendar::zone::Zone,
    error::chain,
    history::Filter,
    ids::BakeId,
    page::main_zone,
    schedule::Schedule,
    schedule_rows::{
        order::Entry,
        search::{is_meant, nearest},
    },
    text::{LONGEST_TEXT, clean},
};

/// Number of rows of a page.
const ROWS: usize = 50;

type Answered = Result<Response, SourceError>;

/// `/?q=TEXT&page=N`
pub(super) async fn overview(State(site): WebState, uri: Uri) -> Response {
    let frame = frame(&site, &uri, Tab::Overview);
    let query = match query(&frame, &uri, &["q", "page"]) {
        Ok(query) => query,
        Err(refused) => return *refused,
    };
    let shown = async {
        let (standing, nights) = (site.standing().await?, site.nights().await?);
        let wanted: Vec<_> = match query.get("q") {
            Some(typed) => standing.order.iter().filter(|entry| is_meant(&entry.schedule, typed)).collect(),
            None => standing.order.iter().collect(),
        };
        let pages = wanted.len().div_ceil(ROWS).max(1);
        let page = query.page().min(pages);
        let entries: Vec<_> = wanted.iter().skip((page - 1) * ROWS).take(ROWS).copied().cloned().collect();
        let rows = site.rows(&standing, &entries).await?;
        let overview = Overview {
            status: &standing.status,
            nights: nights.as_deref(),
            rows: &rows,
            found: wanted.len(),
            all: standing.order.len(),
            pages: (page, pages),
            query: &query,
        };
        Ok(html(StatusCode::OK, page::overview::overview(&frame, &overview)))
    };
    or_unreadable(&frame, shown.await)
}

/// `/schedule/NAME`: the id first, because names can be reused.
pub(super) async fn schedule(State(site): WebState, Path(name): Path<String>, uri: Uri) -> Response {
    let mut frame = frame(&site, &uri, Tab::None);
    if let Err(refused) = query(&frame, &uri, &[]) {
        return *refused;
    }
    let schedules = site.source.schedules();
    let by_id = schedules.iter().find(|schedule| schedule.id.as_str() == name);
    let found = by_id.or_else(|| schedules.iter().find(|schedule| schedule.name.as_str() == name));
    let Some(schedule) = found else {
        // The page shows it again.
        let name = clean(&name, LONGEST_TEXT);
        return html(StatusCode::NOT_FOUND, page::not_found::schedule(&frame, &name, &nearest(&schedules, &name)));
    };
    frame.zone = schedule.timing.zone();
    let shown = async {
        let standing = site.standing().await?;
        let known = standing.order.iter().find(|entry| entry.schedule.id == schedule.id).cloned();
        // The order may be older than a reload.
        let entry = known.unwrap_or_else(|| Entry::unknown(Arc::clone(schedule)));
        let rows = site.rows(&standing, &[entry]).await?;
        let view = site.source.schedule(Arc::clone(schedule)).await?;
        let page = rows.first().map(|row| page::schedule::schedule(&frame, &view, row, &standing.status));
        Ok(page.map_or_else(|| not_found(&frame, "There is no such schedule"), |page| html(StatusCode::OK, page)))
    };
    or_unreadable(&frame, shown.await)
}

/// `/bake/N`
pub(super) async fn bake(State(site): WebState, Path(id): Path<String>, uri: Uri) -> Response {
    let mut frame = frame(&site, &uri, Tab::None);
    if let Err(refused) = query(&frame, &uri, &[]) {
        return *refused;
    }
    let Ok(id) = id.parse().map(BakeId) else { return not_found(&frame, "There is no such bake") };
    match site.source.bake(id).await {
        Ok(Some(view)) => {
            let schedules = site.source.schedules();
            let schedule = schedules.iter().find(|schedule| schedule.id.as_str() == view.row.schedule_id);
            if let Some(schedule) = schedule {
                frame.zone = schedule.timing.zone();
            }
            html(StatusCode::OK, page::bake::bake(&frame, &view, schedule.is_some()))
        }
        Ok(None) => {
            // The newest one shows how far the numbers go.
            let newest = site.source.history(Filter { limit: 1, ..Filter::default() }).await.unwrap_or_default();
            html(StatusCode::NOT_FOUND, page::not_found::bake(&frame, newest.first().map(|row| row.id)))
        }
        Err(error) => unreadable(&frame, &error),
    }
}

/// `/history?schedule=&instance=&state=&since=&until=&before=`
pub(super) async fn history(State(site): WebState, uri: Uri) -> Response {
    let frame = frame(&site, &uri, Tab::History);
    let query = match query(&frame, &uri, &["schedule", "instance", "state", "since", "until", "before"]) {
        Ok(query) => query,
        Err(refused) => return *refused,
    };
    let shown = async {
        let schedules = site.source.schedules();
        let filters = Filters::read(&query, &schedules, frame.zone, frame.now);
        // One more shows whether there is a next page.
        let limit = u32::try_from(ROWS + 1).unwrap_or(u32::MAX);
        let (code, mut rows) = if filters.wrong.is_empty() {
            (StatusCode::OK, site.source.history(filters.filter(limit)).await?)
        } else {
            (StatusCode::BAD_REQUEST, Vec::new())
        };
        let has_more = rows.len() > ROWS;
        rows.truncate(ROWS);
        Ok(html(code, page::history::history(&frame, &query, &filters, &rows, has_more, &schedules)))
    };
    or_unreadable(&frame, shown.await)
}

/// `/images?after=LINE`
pub(super) async fn images(State(site): WebState, uri: Uri) -> Response {
    let frame = frame(&site, &uri, Tab::Images);
    let query = match query(&frame, &uri, &["after"]) {
        Ok(query) => query,
        Err(refused) => return *refused,
    };
    let shown = async {
        let after = query.get("after").unwrap_or_default().to_owned();
        let limit = u32::try_from(ROWS + 1).unwrap_or(u32::MAX);
        let mut view = site.source.images(after, limit).await?;
        let has_more = view.lines.len() > ROWS;
        view.lines.truncate(ROWS);
        let standing = site.standing().await?;
        Ok(html(
            StatusCode::OK,
            page::images::images(&frame, &view, &standing.order, query.get("after").is_some(), has_more),
        ))
    };
    or_unreadable(&frame, shown.await)
}

/// Everything else.
pub(super) async fn no_such_page(State(site): WebState, uri: Uri) -> Response {
    not_found(&frame(&site, &uri, Tab::None), "There is no such page")
}

fn frame(site: &Site, uri: &Uri, tab: Tab) -> Frame {
    let schedules = site.source.schedules();
    let zone: Zone = main_zone(schedules.iter().map(|schedule| &**schedule as &Schedule));
    Frame::new(uri.path(), tab, zone, site.source.now()).with_config(site.source.config_option())
}

/// The parameters of an address; the response to wrong ones.
fn query(frame: &Frame, uri: &Uri, known: &[&str]) -> Result<Query, Box<Response>> {
    Query::read(uri.query(), known)
        .map_err(|wrong| Box::new(html(StatusCode::BAD_REQUEST, page::not_found::page(frame, &wrong))))
}

fn html(code: StatusCode, page: Markup) -> Response {
    (code, Html(page.into_string())).into_response()
}

fn or_unreadable(frame: &Frame, answered: Answered) -> Response {
    answered.unwrap_or_else(|error| unreadable(frame, &error))
}

fn unreadable(frame: &Frame, error: &SourceError) -> Response {
    html(StatusCode::SERVICE_UNAVAILABLE, page::frame::unreadable(frame, &chain(&**error)))
}

fn not_found(frame: &Frame, what: &str) -> Response {
    html(StatusCode::NOT_FOUND, page::not_found::page(frame, what))
}
