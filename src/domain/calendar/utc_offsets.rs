//! UTC offsets of a zone between two instants, as spans of constant offset.
//!
//! A zone reports only the offset at an instant, so transitions are found by comparing offsets a day apart and
//! bisecting. That finds every transition: no zone since 1970 has had two within the same week.

use super::zone::Zone;

use super::cron::DAY;

/// A span of time with a constant offset. Instants are seconds since 1970 in UTC, wall seconds are that plus the
/// offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetSpan {
    pub(crate) start: i64,
    /// The first instant after it.
    pub(crate) end: i64,
    /// Seconds that the wall clock is ahead of UTC.
    pub(crate) offset: i64,
    /// The wall clock shows all of this span for the second time.
    pub(crate) repeated: bool,
    /// Seconds that the wall clock skipped at the start of the span; 0 if none.
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

/// The spans of [`from`, `to`), in order; each as long as possible.
pub(crate) fn offset_spans(zone: Zone, from: i64, to: i64) -> impl Iterator<Item = OffsetSpan> {
    let mut next = from;
    std::iter::from_fn(move || {
        if next >= to {
            return None;
        }
        let mut stretch = begin(zone, next, to);
        // Known for a day at most; what follows is the same span unless the offset changes.
        while stretch.end < to && !stretch.repeated && offset(zone, stretch.end) == stretch.offset {
            stretch.end = run(zone, stretch.end, to);
        }
        next = stretch.end;
        Some(stretch)
    })
}

/// The span that starts at `start` or contains it, up to a day of it.
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

/// End of the offset at `start`, at most a day ahead and not after `to`.
fn run(zone: Zone, start: i64, to: i64) -> i64 {
    let end = to.min(start + DAY);
    if offset(zone, start) == offset(zone, end - 1) { end } else { jump(zone, start, end - 1) }
}

/// First instant of the offset at `to`, which differs from that at `from`.
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
