//! Images that take longer than those of their line usually do.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Problem, ProblemCode, Severity, Subject, SubjectKind};
use crate::domain::{
    clock::{later, show::show_length},
    ids::{BakeId, LineId},
};

/// An image is late after this many times the usual duration.
const LATE_FACTOR: u32 = 3;
/// And at least this much after the usual duration: a short bake may well take twice its time.
const LEAST_DELAY: Duration = Duration::from_mins(30);

/// Usual duration where no image of the line has been finished: that of another line says little of a larger disk.
const ASSUMED: Duration = Duration::from_mins(30);

/// A bake whose image the cloud makes, or may be making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInProgress {
    /// The bake.
    pub bake: BakeId,
    /// Its schedule's name.
    pub schedule: String,
    /// Its line.
    pub line: LineId,
    /// Its first call that stopped the instance or was to make the image.
    pub begun_at: DateTime<Utc>,
}

/// The problem of an image that takes too long. `known`: median duration of the line's last bakes, if there are any.
pub fn problem(image: &ImageInProgress, known: Option<Duration>, now: DateTime<Utc>) -> Option<Problem> {
    let usual = known.unwrap_or(ASSUMED);
    let bound = usual.saturating_mul(LATE_FACTOR).max(usual.saturating_add(LEAST_DELAY));
    let late_since = later(image.begun_at, bound);
    if now < late_since {
        return None;
    }
    let minutes = |time: Duration| show_length(Duration::from_mins(time.as_secs().div_ceil(60)));
    let of_line = match known {
        Some(usual) => format!("it usually takes {}", minutes(usual)),
        None => "no image of its line has been finished so far".to_owned(),
    };
    let ImageInProgress { bake, schedule, line, .. } = image;
    let problem = Problem::new(
        ProblemCode::ImageLate,
        Severity::Warning,
        Subject::new(SubjectKind::Bake, bake.to_string()),
        late_since,
        format!("the image of bake {bake} of {schedule} is not finished after {}; {of_line}", minutes(bound)),
        Some(format!("imagebaked show {bake}")),
    );
    Some(problem.of_line(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_late_after_three_times_its_usual_duration_and_half_an_hour_at_least() {
        let begun_at: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let image = ImageInProgress { bake: BakeId(7), schedule: "golden".into(), line: "golden".into(), begun_at };
        let at = |usual: u64, minutes: u64| {
            let now = begun_at + Duration::from_mins(minutes);
            problem(&image, Some(Duration::from_mins(usual)), now).map(|problem| {
                let since: DateTime<Utc> = problem.since.parse().unwrap();
                (since - begun_at).num_minutes()
            })
        };
        for (usual, late) in [(5, 35), (15, 45), (20, 60), (60, 180)] {
            assert_eq!(at(usual, late - 1), None, "usually {usual} minutes");
            assert_eq!(at(usual, late + 9), Some(i64::try_from(late).unwrap()), "usually {usual} minutes");
        }
        let message =
            problem(&image, Some(Duration::from_secs(1201)), begun_at + Duration::from_hours(2)).unwrap().message;
        assert_eq!(message, "the image of bake 7 of golden is not finished after 1h 1m; it usually takes 21m");
        assert_eq!(problem(&image, None, begun_at + Duration::from_mins(89)), None);
        let first = problem(&image, None, begun_at + Duration::from_hours(4)).unwrap().message;
        let wanted =
            "the image of bake 7 of golden is not finished after 1h 30m; no image of its line has been finished so far";
        assert_eq!(first, wanted);
    }
}
