//! A text as it reads after it is decoded, with the places of its bytes in the text as written.

use std::{borrow::Cow, ops::Range};

/// A text that was decoded, or the text itself.
pub(super) struct View<'t> {
    bytes: Cow<'t, [u8]>,
    /// Begin and end of each byte in the text as written; empty for the text itself.
    places: Vec<Range<usize>>,
}

/// The text, and what it may mean: without line ends, without percent signs (twice), without escapes of JSON, and with
/// the other alphabet of base64.
pub(super) fn of(text: &[u8]) -> Vec<View<'_>> {
    let mut views = vec![View { bytes: Cow::Borrowed(text), places: Vec::new() }];
    if text.contains(&b'\n') {
        views.push(joined(&views[0]));
    }
    let mut last = views.len() - 1;
    if text.contains(&b'\\') {
        views.push(decoded(&views[last], escape));
    }
    for _ in 0..2 {
        if views[last].bytes.contains(&b'%') {
            views.push(decoded(&views[last], percent));
            last = views.len() - 1;
        }
    }
    if text.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        views.push(decoded(&views[last], alphabet));
    }
    views
}

impl View<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where these bytes stand in the text as written.
    pub(super) fn source(&self, range: Range<usize>) -> Range<usize> {
        match (self.places.get(range.start), self.places.get(range.end.saturating_sub(1))) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => range,
        }
    }
}

/// Ends of a line, also of one that goes on.
const LINE_ENDS: [&[u8]; 4] = [b"\n", b"\r\n", b"\\\n", b"\\\r\n"];

/// Without line ends, the blanks after them, and a backslash before them.
fn joined(view: &View<'_>) -> View<'static> {
    let bytes = view.bytes();
    let mut kept = Kept::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let end = LINE_ENDS.iter().find(|end| rest.starts_with(end));
        if let Some(end) = end {
            at += end.len();
            at += bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            continue;
        }
        kept.push(*byte, view.source(at..at + 1));
        at += 1;
    }
    kept.view()
}

/// With what `read` makes of the bytes from a place on: a byte, and how many it was written with.
fn decoded(view: &View<'_>, read: fn(&[u8]) -> Option<(u8, usize)>) -> View<'static> {
    let bytes = view.bytes();
    let mut kept = Kept::default();
    let mut at = 0;
    while at < bytes.len() {
        let (byte, length) = read(&bytes[at..]).unwrap_or((bytes[at], 1));
        kept.push(byte, view.source(at..at + length));
        at += length;
    }
    kept.view()
}

fn percent(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'%', high, low, ..] => Some(((hex(*high)? << 4) | hex(*low)?, 3)),
        _ => None,
    }
}

fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'\\', b'u', b'0', b'0', high, low, ..] => Some(((hex(*high)? << 4) | hex(*low)?, 6)),
        [b'\\', byte @ (b'/' | b'\\' | b'"'), ..] => Some((*byte, 2)),
        _ => None,
    }
}

fn alphabet(rest: &[u8]) -> Option<(u8, usize)> {
    match rest.first()? {
        b'-' => Some((b'+', 1)),
        b'_' => Some((b'/', 1)),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Kept {
    fn push(&mut self, byte: u8, place: Range<usize>) {
        self.bytes.push(byte);
        self.places.push(place);
    }

    fn view(self) -> View<'static> {
        View { bytes: Cow::Owned(self.bytes), places: self.places }
    }
}
