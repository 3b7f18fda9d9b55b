//! What a list of the cloud's images shows of a history at its start: whether it is older than they are. Such a history was put
//! back together with its marks, as by a copy of the whole folder or a snapshot of the machine, which nothing else shows.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::reconcile::{Difference, RecordedHistory, Tagged, versions_behind};
use crate::domain::{api::identity::RemoteImage, ids::LineId};

/// Maximum number of lines that a sentence names.
const NAMED: usize = 3;

/// Result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartCheck {
    /// Lines of the configuration with images of versions that the history has not given out: one that goes on would give
    /// them once more.
    pub behind: Vec<Difference>,
    /// Whether the cloud has an image of a slot whose bake is open: that bake has to find it before it makes one.
    pub has_open_image: bool,
}

impl StartCheck {
    /// Checks a history by the images with the tag of its owner. `open` are the lines and slots of its open bakes.
    pub fn of(history: RecordedHistory<'_>, open: &HashSet<(LineId, DateTime<Utc>)>, images: &[RemoteImage]) -> Self {
        let mut behind = versions_behind(history, images);
        // Another daemon may bake lines of its own under the same owner.
        behind.retain(|line| matches!(line, Difference::VersionBehind { in_file: true, .. }));
        let of_open = |image: &RemoteImage| {
            Tagged::read(image, history.owner).is_some_and(|tagged| open.contains(&(tagged.line, tagged.slot)))
        };
        Self { has_open_image: images.iter().any(of_open), behind }
    }

    /// Whether the history is older than the images.
    pub fn is_older(&self) -> bool {
        !self.behind.is_empty()
    }

    /// `golden has v5 in the cloud, v3 here; and 4 more lines`.
    pub fn describe(&self) -> String {
        let named = self.behind.iter().take(NAMED).filter_map(|one| match one {
            Difference::VersionBehind { line, history, cloud, .. } => {
                Some(format!("{line} has v{cloud} in the cloud, v{history} here"))
            }
            _ => None,
        });
        let mut text = named.collect::<Vec<_>>().join("; ");
        match self.behind.len().saturating_sub(NAMED) {
            0 => {}
            1 => text.push_str("; and 1 more line"),
            more => text.push_str(&format!("; and {more} more lines")),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashMap, HashSet},
        time::Duration,
    };

    use super::*;
    use crate::domain::{
        api::identity::{ImageStatus, TAG_LINE, TAG_OWNER, TAG_SCHEDULE, TAG_SLOT, TAG_VERSION},
        bake::transition::tests::settings,
        calendar::{Timing, zone::Zone},
        catch_up::CatchUp,
        schedule::{Instances, Overlap, Schedule},
    };

    const SLOT: &str = "2027-03-01T03:00:00Z";

    fn image(line: &str, version: u32) -> RemoteImage {
        let version = version.to_string();
        let tags =
            [(TAG_OWNER, "ops"), (TAG_SCHEDULE, line), (TAG_LINE, line), (TAG_SLOT, SLOT), (TAG_VERSION, &version)];
        RemoteImage {
            image_id: "imgc-1".into(),
            version_id: None,
            name: line.to_owned(),
            status: ImageStatus::InProgress,
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            kind: None,
            made_at: None,
        }
    }

    fn check(given: u32, open: &[&str], images: &[RemoteImage]) -> StartCheck {
        let schedule = Schedule {
            id: "golden".into(),
            name: "golden".into(),
            instances: Instances::One("ecd-1".into()),
            timing: Timing::parse(&["0 3 * * *"], Zone::UTC, Duration::ZERO, "golden").unwrap(),
            catch_up: CatchUp::Skip,
            catch_up_window: Duration::ZERO,
            overlap: Overlap::Queue,
            paused: false,
            max_image_age: None,
            keep: None,
            channels: Vec::new(),
            settings: std::sync::Arc::new(settings()),
        };
        let now = "2027-03-01T04:00:00Z".parse().unwrap();
        let (versions, listed) = (HashMap::from([(LineId::from("golden"), given)]), HashSet::new());
        let open = open.iter().map(|line| (LineId::from(*line), SLOT.parse().unwrap())).collect();
        let schedules = [schedule.into()];
        let history = RecordedHistory {
            owner: "ops",
            rows: &[],
            listed: &listed,
            versions: &versions,
            schedules: &schedules,
            now,
        };
        StartCheck::of(history, &open, images)
    }

    #[test]
    fn a_version_that_was_not_given_out_shows_an_older_history() {
        let older = check(3, &[], &[image("golden", 5), image("golden", 2)]);
        assert!(older.is_older());
        assert_eq!(older.describe(), "golden has v5 in the cloud, v3 here");
        assert_eq!(check(5, &[], &[image("golden", 5)]), StartCheck::default());
        assert!(!check(3, &[], &[image("golden", 1_004)]).is_older(), "tags that cannot be true show nothing");
        assert!(!check(3, &[], &[image("silver", 5)]).is_older(), "lines of others are theirs");
    }

    #[test]
    fn an_image_of_an_open_bake_is_searched_for_whatever_its_version() {
        assert!(check(5, &["golden"], &[image("golden", 5)]).has_open_image);
        assert!(!check(5, &["silver"], &[image("golden", 5)]).has_open_image);
    }
}
