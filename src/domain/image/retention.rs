//! Rules of `keep`: the dates of a line's images go in, the rules that want each image come out.
//!
//! The rules are those of restic and borg. Each one goes from the newest image to the oldest; an image stays if any
//! rule wants it. `last` wants that many of the highest versions. `hourly` to `yearly` want the newest image of each of
//! that many hours, days, ISO weeks, months and years that have one, in the schedule's zone; until such a rule has
//! found that many, it also wants the oldest image. `within` wants all images that are at most that much older than the
//! newest one. It does not count from now: after a month without bakes nothing is deleted.

use crate::domain::calendar::zone::Zone;
use chrono::{DateTime, Datelike, Offset, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::schedule::Keep;

/// A rule of `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionRule {
    /// `last`.
    Last,
    /// `hourly`.
    Hourly,
    /// `daily`.
    Daily,
    /// `weekly`.
    Weekly,
    /// `monthly`.
    Monthly,
    /// `yearly`.
    Yearly,
    /// `within`.
    Within,
    /// `min`.
    Min,
}

impl RetentionRule {
    /// Spelling in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Within => "within",
            Self::Min => "min",
        }
    }
}

/// Groups instants: two instants with the same value belong together.
type Bucket = fn(DateTime<Zone>) -> (i32, u32, i64);

const BUCKETS: [(RetentionRule, Bucket); 5] = [
    // The offset distinguishes the two passes of a repeated hour.
    (RetentionRule::Hourly, |at| {
        let offset = i64::from(at.offset().fix().local_minus_utc());
        (at.year(), at.ordinal(), i64::from(at.hour()) * 1_000_000 + offset)
    }),
    (RetentionRule::Daily, |at| (at.year(), at.ordinal(), 0)),
    (RetentionRule::Weekly, |at| (at.iso_week().year(), at.iso_week().week(), 0)),
    (RetentionRule::Monthly, |at| (at.year(), at.month(), 0)),
    (RetentionRule::Yearly, |at| (at.year(), 0, 0)),
];

/// A number of images in `keep`.
type Count = fn(&Keep) -> u32;

/// The rules of a number of images, in the order in which they are written.
const COUNTS: [(RetentionRule, Count); 6] = [
    (RetentionRule::Last, |keep| keep.last),
    (RetentionRule::Hourly, |keep| keep.hourly),
    (RetentionRule::Daily, |keep| keep.daily),
    (RetentionRule::Weekly, |keep| keep.weekly),
    (RetentionRule::Monthly, |keep| keep.monthly),
    (RetentionRule::Yearly, |keep| keep.yearly),
];

/// Those that `keep` uses, each with its number of images.
pub fn counts(keep: &Keep) -> impl Iterator<Item = (RetentionRule, u32)> {
    COUNTS.iter().map(|(rule, count)| (*rule, count(keep))).filter(|(_, count)| *count > 0)
}

/// Rules that want each of `images`: the dates of a line's images from the highest version to the lowest. An adopted
/// image may be older than its version suggests. `min` is not among the rules: it counts images that stay for any
/// reason.
pub fn wanted(keep: &Keep, zone: Zone, images: &[DateTime<Utc>]) -> Vec<Vec<RetentionRule>> {
    let mut wanted: Vec<Vec<RetentionRule>> = vec![Vec::new(); images.len()];
    for rules in wanted.iter_mut().take(keep.last as usize) {
        rules.push(RetentionRule::Last);
    }
    let mut by_date: Vec<usize> = (0..images.len()).collect();
    by_date.sort_by_key(|&index| std::cmp::Reverse(images[index]));
    for (rule, bucket) in BUCKETS {
        let mut left = counts(keep).find(|(counted, _)| *counted == rule).map_or(0, |(_, count)| count);
        let mut previous = None;
        for (place, &index) in by_date.iter().enumerate() {
            let this = bucket(images[index].with_timezone(&zone));
            let is_oldest = place + 1 == images.len();
            if left > 0 && (previous != Some(this) || is_oldest) {
                wanted[index].push(rule);
                left -= 1;
                previous = Some(this);
            }
        }
    }
    let within = keep.within.and_then(|within| TimeDelta::from_std(within).ok());
    if let (Some(within), Some(newest)) = (within, images.iter().max()) {
        for (at, rules) in images.iter().zip(&mut wanted) {
            if *newest - *at <= within {
                rules.push(RetentionRule::Within);
            }
        }
    }
    wanted
}

/// `keep` as in the configuration, for the reason of a deletion. The history keeps this text and compares it: it must not change
/// between versions.
pub fn words(keep: &Keep) -> String {
    let mut rules: Vec<String> = counts(keep).map(|(rule, count)| format!("{} = {count}", rule.as_str())).collect();
    if let Some(within) = keep.within {
        rules.push(format!("within = \"{}\"", humantime::format_duration(within)));
    }
    rules.push(format!("min = {}", keep.min));
    format!("keep = {{ {} }}", rules.join(", "))
}

#[cfg(test)]
#[path = "retention_tests.rs"]
pub(crate) mod tests;
