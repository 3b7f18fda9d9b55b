use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::domain::image::{
    DeletionState, LineImage, ObservedState,
    brake::MarkKind,
    judge::{Action, RetentionDecision},
};

/// An image of a line, to be deleted at an hour, or kept.
fn image(
    line: &str,
    version: u32,
    deleted_at: Option<i64>,
    channel: Option<&str>,
    why: Vec<Why>,
) -> (ImageRow, Judged) {
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let not_before = deleted_at.map(|hour| at + TimeDelta::hours(hour));
    let image = LineImage {
        image_id: format!("imgc-{line}-{version}").as_str().into(),
        line: line.into(),
        version,
        name: String::new(),
        slot: at,
        available_at: at,
        deletion: DeletionState::Kept,
        seen: ObservedState {
            available: !why.contains(&Why::NotAvailable),
            ours: true,
            used_by: Vec::new(),
            missing_since: None,
        },
        pin: None,
        channels: channel.map(str::to_owned).into_iter().collect(),
        copied_to: Vec::new(),
        veto: None,
        unchecked: false,
    };
    let verdict = match not_before {
        Some(_) => RetentionDecision::Goes { rule: String::new() },
        None => RetentionDecision::Stays { why },
    };
    let judged = Judged {
        image_id: image.image_id.clone(),
        image_name: String::new(),
        line: image.line.clone(),
        schedule: None,
        version,
        slot: at,
        action: Action::Keep,
        verdict,
        not_before,
        vetoed: false,
        held: None,
    };
    let row = ImageRow {
        image,
        schedule_id: line.to_owned(),
        schedule: line.to_owned(),
        instance_id: "ecd-1".to_owned(),
        bake: None,
        version_id: None,
        verify: None,
        judged: true,
        of_slot: true,
        mark: MarkKind::Ordinary,
    };
    (row, judged)
}

/// The newest good image is not the newest one, `prod` points to an old one, and the oldest ones go.
fn line_of(name: &str) -> Vec<(ImageRow, Judged)> {
    let kept = |version, channel, why| image(name, version, None, channel, why);
    let going = |version, hour| image(name, version, Some(hour), None, Vec::new());
    vec![
        kept(9, None, vec![Why::NotAvailable]),
        kept(8, None, vec![Why::LastGood]),
        kept(7, None, Vec::new()),
        kept(6, None, Vec::new()),
        kept(5, Some("prod"), Vec::new()),
        going(4, 30),
        going(3, 20),
        going(2, 10),
        going(1, 10),
    ]
}

fn versions(images: &[(ImageRow, Judged)]) -> Vec<(String, u32)> {
    order(images).into_iter().map(|at| (images[at].1.line.to_string(), images[at].1.version)).collect()
}

#[test]
fn the_newest_good_image_channels_and_the_next_deletions_get_room_first() {
    let images = line_of("golden");
    let order: Vec<u32> = versions(&images).into_iter().map(|(_, version)| version).collect();
    assert_eq!(order, [8, 5, 1, 2, 3, 4, 9, 7, 6]);
}

#[test]
fn of_several_lines_each_has_its_turn() {
    let images = [line_of("a"), line_of("b")].concat();
    let first: Vec<(String, u32)> = versions(&images).into_iter().take(6).collect();
    let of = |line: &str, version| (line.to_owned(), version);
    assert_eq!(first, [of("a", 8), of("a", 5), of("a", 1), of("b", 8), of("b", 5), of("b", 1)]);
}

#[test]
fn the_last_line_says_what_is_left_out_and_how_to_see_it() {
    let images = line_of("golden");
    let order = order(&images);
    let left_out = |shown: usize, unread| line(&images, &order[..shown], unread, "imagebaked images golden --limit 0");
    assert_eq!(left_out(9, 0), "");
    assert_eq!(left_out(8, 0), "… and 1 more, which stay; `imagebaked images golden --limit 0` shows all\n");
    assert_eq!(
        left_out(4, 0),
        "… and 5 more, 2 of them to be deleted; `imagebaked images golden --limit 0` shows all\n"
    );
    assert!(left_out(9, 40).starts_with("… and 40 more; `imagebaked prune --dry-run` shows what is deleted next"));
}
