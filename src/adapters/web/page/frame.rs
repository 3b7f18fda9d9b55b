//! Frame of every page: its head, the links to the other pages, its time and the way up.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::{STYLE_PATH, time};
use crate::{
    adapters::web::query::encode,
    domain::{calendar::zone::Zone, suggestion::ConfigOption},
};

/// Seconds between two reloads of a page that can change.
const RELOAD: u32 = 10;

/// The page that is marked in the links at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::web) enum Tab {
    Overview,
    History,
    Images,
    None,
}

/// What every part of a page needs: the time, the zone of times, and the way to the root.
#[derive(Debug, Clone)]
pub(in crate::adapters::web) struct Frame {
    pub(in crate::adapters::web) now: DateTime<Utc>,
    pub(in crate::adapters::web) zone: Zone,
    root: String,
    tab: Tab,
    config: ConfigOption,
}

impl Frame {
    /// Of the page at this path of this host. A reverse proxy may show it under another path: links are relative.
    pub(in crate::adapters::web) fn new(path: &str, tab: Tab, zone: Zone, now: DateTime<Utc>) -> Self {
        let depth = path.matches('/').count().saturating_sub(1);
        let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
        Self { now, zone, root, tab, config: ConfigOption::default() }
    }

    /// The same for a daemon that this option finds.
    pub(in crate::adapters::web) fn with_config(self, config: ConfigOption) -> Self {
        Self { config, ..self }
    }

    /// The same with times in another zone.
    pub(in crate::adapters::web) fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// Address of a page by its path below the root.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Address of a schedule by its id.
    pub(super) fn to_schedule(&self, id: &str) -> String {
        format!("{}schedule/{}", self.root, encode(id))
    }

    /// Address of a bake.
    pub(super) fn to_bake(&self, id: i64) -> String {
        format!("{}bake/{id}", self.root)
    }

    /// A command for the terminal, to copy.
    pub(super) fn command(&self, command: &str) -> Markup {
        html! { code.command { (self.text(command)) } }
    }

    /// A text that may suggest commands.
    pub(super) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.config.in_text(text)
    }

    /// An instant in the zone of the page.
    pub(super) fn time(&self, at: DateTime<Utc>) -> Markup {
        time::local(at, self.zone)
    }

    /// The same of milliseconds since 1970.
    pub(super) fn time_of(&self, millis: i64) -> Markup {
        self.time(time::instant(millis))
    }

    /// The same of an RFC 3339 text; what is none is shown as it is.
    pub(super) fn time_of_text(&self, text: &str) -> Markup {
        time::parse(text).map_or_else(|| html! { (text) }, |at| self.time(at))
    }

    /// An instant, and how far it is from now.
    pub(super) fn time_and_distance(&self, at: DateTime<Utc>) -> Markup {
        html! { (self.time(at)) small { (time::relative(at, self.now)) } }
    }

    /// `in 3h 12m`, `5m ago` or `now`.
    pub(super) fn distance(&self, at: DateTime<Utc>) -> String {
        time::relative(at, self.now)
    }

    /// The same of an RFC 3339 text; what is none is shown as it is.
    pub(super) fn distance_of_text(&self, text: &str) -> String {
        time::parse(text).map_or_else(|| text.to_owned(), |at| self.distance(at))
    }
}

/// A page. Its time stands at the top, so that an old page is recognisable.
pub(super) fn document(frame: &Frame, title: &str, reloads: bool, content: &Markup) -> Markup {
    let tabs =
        [("Overview", "", Tab::Overview), ("History", "history", Tab::History), ("Images", "images", Tab::Images)];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if reloads { meta http-equiv="refresh" content=(RELOAD); }
                title { (title) }
                link rel="stylesheet" href=(frame.to(STYLE_PATH.trim_start_matches('/')));
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    nav aria-label="Pages" {
                        a.brand href=(frame.to("")) { "imagebaked" }
                        ul {
                            @for (name, path, tab) in tabs {
                                li {
                                    @if tab == frame.tab { a href=(frame.to(path)) aria-current="page" { (name) } }
                                    @else { a href=(frame.to(path)) { (name) } }
                                }
                            }
                        }
                    }
                    span { (frame.time(frame.now)) @if reloads { ", again every " (RELOAD) " s" } }
                }
                main #content { (content) }
            }
        }
    }
}

/// Page for a history that does not respond. It reloads, to recover by itself.
pub(in crate::adapters::web) fn unreadable(frame: &Frame, why: &str) -> Markup {
    let content = html! {
        div.health.bad {
            h1 { span aria-hidden="true" { "✗ " } "PROBLEM: the history cannot be read" }
            p { (why) }
        }
        p.summary {
            "The state of the bakes is unknown meanwhile. Check the disk, the state directory and the log."
        }
    };
    document(frame, "✗ imagebaked", true, &content)
}
