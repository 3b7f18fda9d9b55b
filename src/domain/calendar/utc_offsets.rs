//! What the wall clock of a zone does between two instants: it runs evenly, but for jumps.
//!
//! A zone has the offset at an instant and no more, so transitions are found by comparing offsets a day apart and
//! halving in between. That finds every jump, as no zone since 1970 has had two of them within the same week.

use super::zone::Zone;

use super::cron::DAY;

/// A span of time in which the offset does not change. Instants are seconds since 1970 in UTC, wall seconds are that
/// plus the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetSpan {
    pub(crate) start: i64,
    /// The first instant after it.
    pub(crate) end: i64,
    /// Seconds that the wall clock is ahead of UTC.
    pub(crate) offset: i64,
    /// The wall clock shows all of this for the second time.
    pub(crate) repeated: bool,
    /// Seconds that the wall clock skipped as the stretch began; 0 if it did not.
    pub(crate) skipped: i64,
}

impl OffsetSpan {
    pub(crate) fn wall_start(&self) -> i64 {
        self.start + self.offset
    }

    pub(crate) fn wall_end(&self) -> i64 {
        self.end + self.offset
    }
}

/// The offset_spans of [`from`, `to`), in order; each as long as can be.
pub(crate) fn offset_spans(zone: Zone, from: i64, to: i64) -> impl Iterator<Item = OffsetSpan> {
    let mut next = from;
    std::iter::from_fn(move || {
        if next >= to {
            return None;
        }
        let mut stretch = begin(zone, next, to);
        // Known to run evenly for a day at most; what follows is the same stretch unless something happened.
        while stretch.end < to && !stretch.repeated && offset(zone, stretch.end) == stretch.offset {
            stretch.end = run(zone, stretch.end, to);
        }
        next = stretch.end;
        Some(stretch)
    })
}

/// What begins at `start` or goes on there, up to a day of it.
fn begin(zone: Zone, start: i64, to: i64) -> OffsetSpan {
    let (before, now) = (offset(zone, start - DAY), offset(zone, start));
    let mut stretch = OffsetSpan { start, end: run(zone, start, to), offset: now, repeated: false, skipped: 0 };
    if before != now {
        let jump = jump(zone, start - DAY, start);
        let repeated_until = jump + before - now;
        if start < repeated_until {
            stretch.repeated = true;
            stretch.end = stretch.end.min(repeated_until);
        } else if start == jump {
            stretch.skipped = now - before;
        }
    }
    stretch
}

/// How far the offset at `start` holds, looking a day ahead and not past `to`.
fn run(zone: Zone, start: i64, to: i64) -> i64 {
    let end = to.min(start + DAY);
    if offset(zone, start) == offset(zone, end - 1) { end } else { jump(zone, start, end - 1) }
}

/// The first instant of the offset that holds at `to`, which differs from that at `from`.
fn jump(zone: Zone, mut from: i64, mut to: i64) -> i64 {
    let new = offset(zone, to);
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if offset(zone, middle) == new {
            to = middle;
        } else {
            from = middle;
        }
    }
    to
}

fn offset(zone: Zone, instant: i64) -> i64 {
    zone.offset_at(instant).into()
}
