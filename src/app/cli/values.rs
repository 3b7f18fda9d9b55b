//! Parsers of single values.

use std::{net::SocketAddr, time::Duration};

use crate::{
    adapters::config::is_region,
    domain::{calendar::zone::Zone, ids::BakeId, time::length},
};

/// How many rows; 0 is all.
pub(super) fn count(text: &str) -> Result<u32, String> {
    match text.parse::<u64>() {
        Ok(0) => Ok(u32::MAX),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err("this is no number of rows; give a whole number, such as 100, or 0 for all".to_owned()),
    }
}

/// The same for lists that are longer than memory.
pub(super) fn many(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "this is no number of slots; give a whole number, such as 100".to_owned())
}

/// Where to listen.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "this is no address with a port, such as 127.0.0.1:8480".to_owned())
}

/// A text with something in it.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("this may not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// A length of time.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    length::length(text).map_err(|error| error.to_string())
}

/// A time zone by its name.
pub(super) fn zone(text: &str) -> Result<Zone, String> {
    text.parse().map_err(|_| "zones look like Asia/Shanghai".to_owned())
}

/// The number of a bake, with or without `#`.
pub(super) fn bake_id(text: &str) -> Result<BakeId, String> {
    match text.trim_start_matches('#').parse() {
        Ok(id) if id > 0 => Ok(BakeId(id)),
        _ => Err("a bake is named by its number, as the first column of `imagebaked history` shows it".to_owned()),
    }
}

/// A region, which becomes a part of a host's name.
pub(super) fn region(text: &str) -> Result<String, String> {
    if is_region(text) { Ok(text.to_owned()) } else { Err("regions look like cn-shanghai".to_owned()) }
}

/// The number of an event; 0 is before the first.
pub(super) fn event_id(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(id) if id >= 0 => Ok(id),
        _ => Err(
            "an event is named by its number, as the first column of `imagebaked events` shows it; 0 is before the \
                  first"
                .to_owned(),
        ),
    }
}
