//! Which images of a line the rules of `keep` want: pure arithmetic on dates.
//!
//! The rules are those that restic and borg have taught operators. Each looks at the images from the newest to the oldest;
//! an image stays if any rule wants it. `last` takes the highest versions, so many. `hourly` to `yearly` take the newest image of each
//! of so many hours, days, ISO weeks, months and years that have one, by the clock of the schedule's zone; while such a
//! rule has not found as many, it also takes the oldest image there is. `within` takes everything that is at most so much
//! older than the newest image: not than now, so that a daemon that stood still for a month deletes nothing for it.

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
    /// As the file spells it.
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

/// A way to say that two instants belong together.
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

/// The rules that want each of `images`, which are the dates of a line's images from the highest version to the lowest; an
/// adopted image may be older than its version says. `min` is not among the rules: it counts what is kept for whatever
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

/// `keep` as one would write it, to say what asked for a deletion.
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
