//! Rules of `keep`: the dates of a line's images go in, the rules that want each image come out.
//!
//! The rules are those of restic and borg. Each one goes from the newest image to the oldest; an image stays if any
//! rule wants it. `last` wants that many of the highest versions. `hourly` to `yearly` want the newest image of each of
//! that many hours, days, ISO weeks, months and years that have one, in the schedule's zone; until such a rule has
//! found that many, it also wants the oldest image. `within` wants all images that are at most that much older than the
//! newest one. It does not count from now: after a month without bakes nothing is deleted.

use std::fmt;

use chrono::{DateTime, Datelike, Offset, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{calendar::zone::Zone, schedule::Keep, time::show_length};

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

/// Why a rule keeps an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The rule.
    pub rule: RetentionRule,
    /// Place of the image among those that the rule keeps, from 1.
    #[serde(default)]
    pub place: u32,
    /// Number of images in `keep`; `None` for `within`.
    #[serde(default)]
    pub of: Option<u32>,
    /// The hour, day, week, month or year of which it is the newest; for `within` the length.
    #[serde(default)]
    pub period: Option<String>,
    /// Whether the rule keeps it as the oldest image, because it has found fewer than its number.
    #[serde(default)]
    pub oldest: bool,
}

impl Claim {
    /// One of a rule that counts images by their order.
    pub fn counted(rule: RetentionRule, place: u32, of: u32) -> Self {
        Self { rule, place, of: Some(of), period: None, oldest: false }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, of) = (self.rule.as_str(), self.of.unwrap_or_default());
        match (self.rule, self.period.as_deref()) {
            (RetentionRule::Last, _) => write!(f, "the {} of last = {of}", ordinal(self.place)),
            (RetentionRule::Min, _) => write!(f, "min = {of}"),
            (RetentionRule::Within, Some(length)) => write!(f, "within {length} of the newest"),
            (_, Some(_)) if self.oldest => write!(f, "{rule} = {of}, the oldest"),
            (_, Some(period)) => write!(f, "{rule}, {period}"),
            (_, None) => f.write_str(rule),
        }
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
fn ordinal(n: u32) -> String {
    let ending = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
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
/// reason. Each rule comes with why it wants the image.
pub fn claims(keep: &Keep, zone: Zone, images: &[DateTime<Utc>]) -> Vec<Vec<Claim>> {
    let mut claims: Vec<Vec<Claim>> = vec![Vec::new(); images.len()];
    for (claims, place) in claims.iter_mut().zip(1..=keep.last) {
        claims.push(Claim::counted(RetentionRule::Last, place, keep.last));
    }
    let mut by_date: Vec<usize> = (0..images.len()).collect();
    by_date.sort_by_key(|&index| std::cmp::Reverse(images[index]));
    for (rule, bucket) in BUCKETS {
        let of = counts(keep).find(|(counted, _)| *counted == rule).map_or(0, |(_, count)| count);
        let (mut found, mut previous) = (0, None);
        for (order, &index) in by_date.iter().enumerate() {
            let at = images[index].with_timezone(&zone);
            let this = bucket(at);
            let (is_new, is_oldest) = (previous != Some(this), order + 1 == images.len());
            if found < of && (is_new || is_oldest) {
                found += 1;
                let period = Some(period(rule, at));
                claims[index].push(Claim { period, oldest: !is_new, ..Claim::counted(rule, found, of) });
                previous = Some(this);
            }
        }
    }
    if let (Some(within), Some(newest)) = (keep.within, images.iter().max()) {
        let (length, within) = (show_length(within), TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX));
        let near = by_date.iter().filter(|&&index| *newest - images[index] <= within);
        for (&index, place) in near.zip(1..) {
            let period = Some(length.clone());
            claims[index].push(Claim { rule: RetentionRule::Within, place, of: None, period, oldest: false });
        }
    }
    claims
}

/// The period of a rule that an instant lies in, as people write it.
fn period(rule: RetentionRule, at: DateTime<Zone>) -> String {
    let at = at.naive_local();
    match rule {
        RetentionRule::Hourly => at.format("%F %H:00"),
        RetentionRule::Weekly => at.format("week %-V of %G"),
        RetentionRule::Monthly => at.format("%Y-%m"),
        RetentionRule::Yearly => at.format("%Y"),
        _ => at.format("%F"),
    }
    .to_string()
}

/// The rules of `keep` as in the configuration, for the reason of a deletion.
pub fn words(keep: &Keep) -> String {
    table(&rules(keep, show_length))
}

/// All of `keep` as in the configuration.
pub fn all_words(keep: &Keep) -> String {
    let mut rules = rules(keep, show_length);
    rules.push(format!("grace = \"{}\"", show_length(keep.grace)));
    rules.push(format!("failed = \"{}\"", keep.failed.map_or_else(|| "never".to_owned(), show_length)));
    table(&rules)
}

/// The rules as the history keeps them, which compares them with those of the configuration: another text is an edit. It
/// must not change between versions.
pub fn fingerprint(keep: &Keep) -> String {
    table(&rules(keep, |within| humantime::format_duration(within).to_string()))
}

fn rules(keep: &Keep, length: fn(std::time::Duration) -> String) -> Vec<String> {
    let mut rules: Vec<String> = counts(keep).map(|(rule, count)| format!("{} = {count}", rule.as_str())).collect();
    rules.extend(keep.within.map(|within| format!("within = \"{}\"", length(within))));
    rules.push(format!("min = {}", keep.min));
    rules
}

fn table(rules: &[String]) -> String {
    format!("keep = {{ {} }}", rules.join(", "))
}

#[cfg(test)]
#[path = "retention_tests.rs"]
pub(crate) mod tests;
