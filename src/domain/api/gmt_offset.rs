//! Zone of `GmtCreate`: the API returns `YYYY-MM-DD HH:MM:SS` and documents no zone.
//!
//! It is derived from own images: the `Date` of the response to a create call is the instant at which the image was
//! made, and the list shows the same instant in the unknown zone. Until then `GmtCreate` is not used.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Every zone in use is a multiple of a quarter of an hour off UTC.
const QUARTER: i64 = 15 * 60;
/// The image is recorded during the call; beyond this difference the two are not the same instant.
const SLACK: i64 = 60;
/// From UTC-12:00 to UTC+14:00.
const FURTHEST: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

/// Offset of `GmtCreate` from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GmtOffset {
    minutes: i32,
}

impl GmtOffset {
    /// The offset if an own image was made at `made_at` by the cloud's clock and shows `shown`; `None` if no zone
    /// explains both.
    pub fn learn(shown: NaiveDateTime, made_at: DateTime<Utc>) -> Option<Self> {
        let ahead = (shown - made_at.naive_utc()).num_seconds();
        let rounded = (ahead + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
        let is_one_instant = (ahead - rounded).abs() <= SLACK && FURTHEST.contains(&rounded);
        is_one_instant.then(|| i32::try_from(rounded / 60).ok().map(|minutes| Self { minutes })).flatten()
    }

    /// The offset after `observed`: two images that disagree leave it unknown.
    pub fn agree(known: Option<Self>, observed: Self) -> Option<Self> {
        known.is_none_or(|known| known == observed).then_some(observed)
    }

    /// The instant that an image shows.
    pub fn instant(self, shown: NaiveDateTime) -> DateTime<Utc> {
        shown.and_utc().checked_sub_signed(TimeDelta::minutes(self.minutes.into())).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// Minutes ahead of UTC.
    pub fn minutes(self) -> i32 {
        self.minutes
    }

    /// The offset that was stored as minutes.
    pub fn from_minutes(minutes: i32) -> Self {
        Self { minutes }
    }
}

/// Zones that the cloud is known to write times in, in minutes ahead of UTC: that of Beijing, and UTC.
const USUAL: [i32; 2] = [480, 0];

/// When the image of a slot was made. Where the zone is not known, it is the one of the usual zones by which the image was made
/// after its slot and not in the future; the slot itself where the cloud shows nothing that fits.
pub fn made_at(
    shown: Option<NaiveDateTime>,
    zone: Option<GmtOffset>,
    slot: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let slack = TimeDelta::seconds(SLACK);
    let fits = |at: &DateTime<Utc>| *at >= slot - slack && *at <= now + slack;
    let zones: Vec<GmtOffset> = zone.map_or_else(|| USUAL.map(GmtOffset::from_minutes).to_vec(), |zone| vec![zone]);
    let made = shown.and_then(|shown| zones.iter().map(|zone| zone.instant(shown)).find(fits));
    made.unwrap_or(slot).min(now)
}

/// Parses `GmtCreate`, also with a `T`, fractions of seconds or a `Z`.
pub fn parse(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().trim_end_matches(['Z', 'z']);
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_zone_is_the_distance_rounded_to_a_quarter_of_an_hour() {
        let made_at = at("2026-03-01T19:00:10Z");
        for (shown, minutes) in [
            ("2026-03-02 03:00:09", Some(480)),
            ("2026-03-02 03:00:11", Some(480)),
            ("2026-03-01 19:00:10", Some(0)),
            ("2026-03-02 00:45:00", Some(345)),
            ("2026-03-01 11:00:10", Some(-480)),
            ("2026-03-01 18:59:40", Some(0)),
            // No zone explains these.
            ("2026-03-02 03:02:00", None),
            ("2026-03-02 02:58:00", None),
            ("2026-03-03 03:00:10", None),
            ("2026-02-28 03:00:10", None),
        ] {
            let learned = GmtOffset::learn(parse(shown).unwrap(), made_at);
            assert_eq!(learned.map(GmtOffset::minutes), minutes, "{shown}");
        }
        let shanghai = GmtOffset::from_minutes(480);
        assert_eq!(shanghai.instant(parse("2026-03-02 03:00:10").unwrap()), made_at);
    }

    #[test]
    fn images_that_disagree_leave_nothing_known() {
        let (utc, shanghai) = (GmtOffset::from_minutes(0), GmtOffset::from_minutes(480));
        assert_eq!(GmtOffset::agree(None, utc), Some(utc));
        assert_eq!(GmtOffset::agree(Some(utc), utc), Some(utc));
        assert_eq!(GmtOffset::agree(Some(utc), shanghai), None);
    }

    #[test]
    fn an_image_of_a_slot_was_made_after_it_and_not_in_the_future() {
        let (slot, now) = (at("2026-03-01T19:00:00Z"), at("2026-03-02T12:00:00Z"));
        let utc = Some(GmtOffset::from_minutes(0));
        for (shown, zone, made) in [
            (Some("2026-03-02 03:20:00"), None, "2026-03-01T19:20:00Z"),
            (Some("2026-03-01 19:20:00"), None, "2026-03-01T19:20:00Z"),
            (Some("2026-03-02 03:20:00"), utc, "2026-03-02T03:20:00Z"),
            (Some("2026-02-01 03:20:00"), None, "2026-03-01T19:00:00Z"),
            (Some("2026-03-02 23:00:00"), utc, "2026-03-01T19:00:00Z"),
            (None, None, "2026-03-01T19:00:00Z"),
        ] {
            assert_eq!(made_at(shown.and_then(parse), zone, slot, now), at(made), "{shown:?} {zone:?}");
        }
        assert_eq!(made_at(None, None, now + TimeDelta::days(1), now), now, "a slot to come");
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        assert_eq!(parse("2025-04-25 15:13:57"), parse("2025-04-25T15:13:57Z"));
        assert!(parse("2025-04-25 15:13:57").is_some());
        for text in ["", "2025-04-25", "yesterday", "1714058037", "2025-13-25 15:13:57"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(GmtOffset::learn(NaiveDateTime::MAX, DateTime::<Utc>::MIN_UTC), None);
        GmtOffset::from_minutes(i32::MIN).instant(NaiveDateTime::MAX);
    }
}
