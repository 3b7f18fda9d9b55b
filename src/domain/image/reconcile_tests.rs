use std::time::Duration;

use super::*;
use crate::domain::{
    bake::transition::tests::settings,
    calendar::Timing,
    catch_up::CatchUp,
    schedule::{Instances, Overlap},
};

const SLOT: &str = "2027-03-01T03:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn schedule(id: &str, instances: Instances) -> Arc<Schedule> {
    Arc::new(Schedule {
        id: id.into(),
        name: "Golden".into(),
        instances,
        timing: Timing::parse(&["0 3 * * *"], crate::domain::calendar::zone::Zone::UTC, Duration::ZERO, id).unwrap(),
        catch_up: CatchUp::Skip,
        catch_up_window: Duration::ZERO,
        overlap: Overlap::Queue,
        paused: false,
        max_image_age: None,
        keep: None,
        channels: Vec::new(),
        settings: Arc::new(settings()),
    })
}

fn image(id: &str, version: u32, status: ImageStatus) -> RemoteImage {
    let tags = [
        (TAG_OWNER, "ops"),
        (TAG_SCHEDULE, "golden"),
        (TAG_LINE, "golden"),
        (TAG_SLOT, SLOT),
        (TAG_VERSION, &version.to_string()),
    ];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = format!("golden-v{version}");
    RemoteImage { image_id: id.into(), version_id: None, name, status, tags, kind: None, made_at: None }
}

fn good(id: &str, version: u32) -> RemoteImage {
    image(id, version, ImageStatus::Available)
}

fn row(state: &str, image_id: Option<&str>) -> Recorded {
    Recorded {
        bake: BakeId(5),
        line: "golden".into(),
        slot: at(SLOT),
        state: state.to_owned(),
        ended: matches!(state, "succeeded" | "failed" | "skipped"),
        missed: state == "skipped",
        image_id: image_id.map(ImageId::from),
    }
}

fn compared(rows: &[Recorded], last_version: u32, images: &[RemoteImage]) -> Comparison {
    let schedules = [schedule("golden", Instances::One("ecd-1".into()))];
    let versions = HashMap::from([(LineId::from("golden"), last_version)]);
    let now = at("2027-03-01T04:00:00Z");
    let listed = rows.iter().filter(|row| row.state == "succeeded").filter_map(|row| row.image_id.clone()).collect();
    let history =
        RecordedHistory { owner: "ops", rows, listed: &listed, versions: &versions, schedules: &schedules, now };
    compare(history, images)
}

#[test]
fn versions_and_slots_that_cannot_be_true_are_left_for_a_person() {
    let of_version = |version| good("imgc-1", version);
    let with_tag = |key: &str, value: &str| {
        let mut image = good("imgc-1", 7);
        image.tags.insert(key.into(), value.into());
        image
    };
    for (last_known, image) in [
        (0, of_version(u32::MAX)),
        (0, of_version(1_000_000)),
        (0, of_version(0)),
        (7, of_version(1_008)),
        (u32::MAX, of_version(0)),
        (6, with_tag(TAG_SLOT, "2027-03-01T04:00:01Z")),
        (6, with_tag(TAG_SLOT, "+262142-12-31T00:00:00Z")),
        (6, with_tag(TAG_SLOT, "-262143-01-01T00:00:00Z")),
        (6, with_tag(TAG_SLOT, "1969-12-31T23:59:59Z")),
    ] {
        let found = compared(&[], last_known, std::slice::from_ref(&image));
        assert!(found.rows.is_empty() && found.versions.is_empty(), "{found:?}");
        let [Some(obstacle)] = obstacles(&found)[..] else { panic!("{found:?}") };
        assert!(obstacle.starts_with("its tags are not plausible: "), "{obstacle}");
        assert!(!found.differences[0].is_repairable());
        // An image with a row is no difference.
        let known = compared(&[row("succeeded", Some("imgc-1"))], last_known, &[image]);
        assert_eq!(known.differences, []);
    }
    for (last_known, version) in [(0, 999_999), (7, 1_007), (7, 1), (u32::MAX, u32::MAX)] {
        assert_eq!(obstacles(&compared(&[], last_known, &[of_version(version)])), [None], "{last_known} {version}");
    }
}

fn obstacles(comparison: &Comparison) -> Vec<Option<&str>> {
    comparison
        .differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Unrecorded { obstacle, .. } => Some(obstacle.as_deref()),
            _ => None,
        })
        .collect()
}

#[test]
fn equal_sides_do_not_differ() {
    let rows = [row("succeeded", Some("imgc-1"))];
    assert_eq!(compared(&rows, 7, &[good("imgc-1", 7)]), Comparison::default());
    assert_eq!(compared(&[row("failed", Some("imgc-1"))], 7, &[]), Comparison::default());
    let mut another = good("imgc-2", 9);
    another.tags.insert(TAG_OWNER.into(), "another".into());
    assert_eq!(compared(&rows, 7, &[good("imgc-1", 7), another]), Comparison::default());
}

#[test]
fn a_lost_history_is_rebuilt_from_the_tags() {
    let lost = compared(&[], 0, &[good("imgc-1", 7)]);
    assert_eq!(lost.versions, [(LineId::from("golden"), 7)]);
    let [rebuilt] = lost.rows.as_slice() else { panic!("{lost:?}") };
    assert_eq!((rebuilt.schedule.as_str(), rebuilt.instance_id.as_str()), ("Golden", "ecd-1"));
    assert_eq!((rebuilt.tagged.slot, rebuilt.tagged.version), (at(SLOT), 7));
    assert_eq!(rebuilt.checked_by, None, "its schedule has no check");
    assert!(lost.differences.iter().all(Difference::is_repairable), "{lost:?}");
    assert_eq!(lost.differences.len(), 2);
}

#[test]
fn an_image_that_is_still_being_made_or_failed_is_distinguished() {
    let making = compared(&[], 7, &[image("imgc-1", 7, ImageStatus::InProgress)]);
    assert!(making.rows.is_empty() && !making.differences[0].is_repairable(), "{making:?}");
    let failed = image("imgc-1", 7, ImageStatus::CreateFailed);
    assert_eq!(compared(&[], 7, std::slice::from_ref(&failed)).rows.len(), 1);
    // It is listed, but is no difference.
    let named = FailedImage {
        image_id: "imgc-1".into(),
        image_name: "golden-v7".into(),
        line: Some("golden".into()),
        slot: Some(at(SLOT)),
        bake: Some(BakeId(5)),
    };
    let compared = compared(&[row("failed", None)], 7, &[failed]);
    assert_eq!(compared, Comparison { failed: vec![named], ..Comparison::default() });
}

#[test]
fn a_bake_running_does_not_know_its_image_yet() {
    assert_eq!(compared(&[row("creating", None)], 7, &[good("imgc-1", 7)]), Comparison::default());
}

#[test]
fn an_image_of_a_skipped_slot_is_listed_with_its_row_which_stays_skipped() {
    let mut paused = row("skipped", None);
    paused.missed = false;
    let late = compared(std::slice::from_ref(&paused), 7, &[good("imgc-1", 7)]);
    assert!(late.rows.is_empty() && late.differences[0].is_repairable(), "{late:?}");
    let [returned] = late.returned.as_slice() else { panic!("{late:?}") };
    assert_eq!((returned.bake, returned.version, returned.slot), (BakeId(5), 7, at(SLOT)));
    // Later, while it is being made.
    let making = compared(std::slice::from_ref(&paused), 7, &[image("imgc-1", 7, ImageStatus::InProgress)]);
    assert_eq!(obstacles(&making), [Some(BEING_MADE)]);
    assert!(making.images_being_made() && making.returned.is_empty());
}

#[test]
fn an_image_that_comes_back_is_listed_again_unless_its_slot_has_another() {
    for (state, image_id) in [
        ("failed", Some("imgc-1")),    // it vanished, or was given up
        ("failed", None),              // its create call was never answered
        ("failed", Some("imgc-gone")), // the one before the last
        ("cancelled", Some("imgc-1")),
        ("deleted", Some("imgc-1")), // not listed for a day
    ] {
        let mut row = row(state, image_id);
        row.ended = true;
        let back = compared(std::slice::from_ref(&row), 7, &[good("imgc-1", 7)]);
        let [returned] = back.returned.as_slice() else { panic!("{state} {image_id:?}: {back:?}") };
        assert_eq!((returned.bake, returned.version, returned.image.image_id.as_str()), (BakeId(5), 7, "imgc-1"));
        assert!(back.rows.is_empty() && back.differences.len() == 1 && back.differences[0].is_repairable(), "{back:?}");
        // Not one that is still being made, or failed.
        for status in [ImageStatus::InProgress, ImageStatus::CreateFailed] {
            assert_eq!(compared(std::slice::from_ref(&row), 7, &[image("imgc-1", 7, status)]).returned, []);
        }
        // Two of one slot: one is listed, the other is left to a person.
        let two = compared(std::slice::from_ref(&row), 7, &[good("imgc-1", 7), good("imgc-2", 7)]);
        assert_eq!(two.returned.len(), 1);
        assert!(two.differences.iter().any(|one| matches!(one, Difference::Doubled { .. })), "{two:?}");
    }
    let other = compared(&[row("succeeded", Some("imgc-2"))], 7, &[good("imgc-1", 7), good("imgc-2", 7)]);
    assert_eq!(other.returned, []);
    let [Difference::Doubled { .. }] = other.differences.as_slice() else { panic!("{other:?}") };
}

#[test]
fn doubles_are_named_together_and_one_at_most_gets_a_row() {
    let images = [good("imgc-2", 8), good("imgc-1", 7), image("imgc-0", 6, ImageStatus::CreateFailed)];
    let doubled = Difference::Doubled {
        line: "golden".into(),
        slot: at(SLOT),
        images: vec!["imgc-1".into(), "imgc-2".into()],
        bake: Some(BakeId(5)),
    };
    let known = compared(&[row("succeeded", Some("imgc-2"))], 8, &images);
    assert_eq!(known.differences, [doubled]);
    let lost = compared(&[], 8, &images);
    assert_eq!(lost.rows.len(), 1);
    assert_eq!(lost.rows[0].image.image_id.as_str(), "imgc-1");
    assert_eq!(obstacles(&lost)[1..], [Some("another image of its slot is taken"); 2]);
}

#[test]
fn what_is_gone_or_not_known_is_reported() {
    let gone = compared(&[row("succeeded", Some("imgc-1"))], 7, &[]);
    assert_eq!(gone.differences, [Difference::Vanished { bake: BakeId(5), image_id: "imgc-1".into() }]);
    let deleted = compared(&[row("succeeded", Some("imgc-1"))], 7, &[image("imgc-1", 7, ImageStatus::Deleted)]);
    assert_eq!(deleted.differences, gone.differences);
    let unknown = compared(&[row("unknown", None)], 7, &[]);
    assert_eq!((unknown.differences.len(), unknown.unknown), (1, vec![BakeId(5)]));
}

#[test]
fn images_that_cannot_be_placed_are_reported_and_still_raise_versions() {
    let mut foreign = good("imgc-1", 7);
    foreign.tags.remove(TAG_SLOT);
    assert_eq!(obstacles(&compared(&[], 7, &[foreign])), [Some("not all of our tags are on it")]);

    let mut removed = good("imgc-1", 9);
    removed.tags.insert(TAG_SCHEDULE.into(), "old".into());
    removed.tags.insert(TAG_LINE.into(), "old".into());
    let report = compared(&[], 7, &[removed.clone()]);
    assert!(report.rows.is_empty());
    assert_eq!(report.versions, [(LineId::from("old"), 9)]);
    let text = report.differences.last().unwrap().to_string();
    assert!(text.starts_with("line old, which no schedule of the file has, has an image of version 9"), "{text}");
    // A line that is none of the schedule in the same tags is nobody's.
    let mut nowhere = removed.clone();
    for line in ["nowhere", "older", "golden/ecd-1", ""] {
        nowhere.tags.insert(TAG_LINE.into(), line.into());
        let report = compared(&[], 7, &[nowhere.clone()]);
        assert_eq!((report.versions.len(), report.rows.len()), (0, 0), "{line}");
        assert!(obstacles(&report)[0].unwrap().contains("is none of its schedule old"), "{line}");
    }
    // The id of such a line contains the instance.
    removed.tags.insert(TAG_LINE.into(), "old/ecd-3".into());
    assert_eq!(compared(&[], 7, &[removed]).rows[0].instance_id.as_str(), "ecd-3");
}
