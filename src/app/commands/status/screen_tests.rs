use proptest::prelude::*;

use super::*;
use crate::{
    adapters::control::liveness::SERVICE,
    domain::{
        api::mode::Mode,
        health::{Health, ProblemCode, ReportedProblem, Severity},
        status::{Daemon, LastDay, OnDisk, RowMark, SlotResult},
    },
};

const ERRORS: [&str; 4] = [
    "CREATING",
    "waits for the cloud: QuotaExceeded.Image: the quota of images of this account is used up, request a higher one",
    "waits for the cloud: ConnectFailed: https://ecd.cn-hangzhou.aliyuncs.com cannot be reached, RequestId 7F-0B",
    "waits for the instance, which is Updating",
];

fn now() -> DateTime<Utc> {
    "2026-11-26T03:00:00Z".parse().unwrap()
}

fn reason(n: usize) -> String {
    format!("{}; next try Thu 2026-11-26 03:14 +08:00, until Thu 2026-11-26 07:00 +08:00 at most", ERRORS[n % 4])
}

fn bake(word: &str, n: usize) -> Running {
    Running {
        id: i64::try_from(n).unwrap(),
        schedule: format!("{word}-{n}"),
        instance_id: format!("ecd-{n}"),
        slot: "2026-11-25T19:00:00Z".to_owned(),
        state: "queued".to_owned(),
        reason: Some(reason(n)),
        image_name: None,
        image_id: None,
        created_at: "2026-11-25T19:00:00Z".to_owned(),
        wake_at: None,
        begun_at: (word == "running").then(|| "2026-11-26T02:18:00Z".to_owned()),
        usual_seconds: n.is_multiple_of(2).then_some(2_280),
    }
}

fn late_bake(n: usize) -> Late {
    let Running { id, schedule, instance_id, slot, reason, .. } = bake("late", n);
    Late { id, schedule, instance_id, slot, reason: reason.unwrap() }
}

fn row(n: usize) -> ScheduleRow {
    let result = SlotResult {
        bake: 1,
        slot: "2026-11-25T19:00:00Z".to_owned(),
        state: if n.is_multiple_of(3) { "failed" } else { "succeeded" }.to_owned(),
        reason_code: None,
    };
    let is_paused = n % 7 == 5;
    ScheduleRow {
        schedule: format!("row-{n}{}", "-x".repeat(n % 30)),
        id: format!("row-{n}"),
        severity: Some(Severity::Problem),
        problems: vec![ProblemCode::BakeFailed],
        mark: RowMark::Problem,
        results: vec![result; n % 15],
        lines: 1,
        lines_with_image: 0,
        no_image_yet: 0,
        image: None,
        next: (!is_paused).then(|| "2026-11-26T19:00:00Z".to_owned()),
        next_local: (!is_paused).then(|| "Fri 2026-11-27 03:00 +08:00".to_owned()),
        due: false,
        waits_for: Some(reason(n)),
        paused: is_paused.then(|| {
            "paused by ann until Sun 2026-11-29 12:00 +08:00: the department moves to another building".to_owned()
        }),
    }
}

fn problem(n: usize) -> ReportedProblem {
    let (code, kind) = match n % 3 {
        0 => (ProblemCode::BakeFailed, SubjectKind::Line),
        1 => (ProblemCode::ReplicaFailed, SubjectKind::Bake),
        _ => (ProblemCode::CloudUnreachable, SubjectKind::Cloud),
    };
    let severity = if n.is_multiple_of(2) { Severity::Problem } else { Severity::Warning };
    let message = format!("golden-{n} failed at Thu 2026-11-26 03:00 +08:00: {}", ERRORS[n % 4]);
    let command = (!n.is_multiple_of(5)).then(|| format!("imagebaked show {n}"));
    let problem = Problem::new(code, severity, Subject::new(kind, format!("{n}")), now(), message, command);
    let acknowledged = (n % 11 == 7).then(|| Acknowledgement {
        by: "ann".to_owned(),
        at: "2026-11-26T02:00:00Z".to_owned(),
        until: None,
        reason: "known, and waits for the provider".to_owned(),
    });
    ReportedProblem { problem, acknowledged }
}

/// How many there are of each thing.
#[derive(Debug, Clone)]
struct Counts {
    problems: usize,
    rows: usize,
    beyond: usize,
    bakes: [usize; 3],
    paused: usize,
    notes: bool,
}

fn status(counts: &Counts) -> Status {
    let bakes = |word: &str, place: usize| (0..counts.bakes[place]).map(|n| bake(word, n + place * 1000)).collect();
    Status {
        daemon: Daemon {
            version: "0.1.0".to_owned(),
            pid: 4711,
            started_at: "2026-11-20T00:00:00Z".to_owned(),
            config_hash: "5f0c2a9be1d4".to_owned(),
            config_files: vec!["/etc/imagebaked/imagebaked.toml".to_owned()],
            config_on_disk: if counts.notes { OnDisk::Refused } else { OnDisk::InForce },
            mode: if counts.notes { Mode::Observe } else { Mode::Act },
            schedules: counts.rows + counts.beyond,
            state_dir: "/var/lib/imagebaked".to_owned(),
            restart_required: if counts.notes { vec!["daemon.listen".to_owned(); 9] } else { Vec::new() },
            credentials: Some("the RAM role of this ECS instance".to_owned()),
            credentials_key_id: Some("STS.…a1b2".to_owned()),
            credentials_identity: Some("acs:ram::1:assumed-role/baker/imagebaked".to_owned()),
            credentials_accepted_at: Some("2026-11-26T02:57:00Z".to_owned()),
            credentials_expire_at: Some("2026-11-26T05:00:00Z".to_owned()),
            zones: None,
            zone: "UTC".to_owned(),
        },
        health: Health::of_reported((0..counts.problems).map(problem).collect()),
        no_image_yet: 3,
        running: bakes("running", 0),
        waiting: bakes("waiting", 1),
        queued: 7,
        late: (0..counts.bakes[2]).map(|n| late_bake(n + 2000)).collect(),
        suspended: None,
        paused: Vec::new(),
        paused_in_file: (0..counts.paused).map(|n| format!("paused-{n}")).collect(),
        next: Vec::new(),
        schedules: (0..counts.rows).map(row).collect(),
        image_tasks: Vec::new(),
        housekeeping: Vec::new(),
        backup: None,
        last_day: LastDay { succeeded: 12, failed: 3, skipped: 4, cancelled: 0, vetoed: 1 },
    }
}

/// How many of these things are left out, as named with the command that shows all.
fn left_out(text: &str, [one, many]: [&str; 2]) -> usize {
    let named = |line: &str| {
        let (_, named) = line.split_once("… ")?;
        let (count, things) = named.trim_start_matches("and ").split_once(' ')?;
        let (things, command) = things.trim_start_matches("more ").split_once(": ")?;
        (command == ALL && [one, many].contains(&things)).then(|| count.parse::<usize>().unwrap())
    };
    text.lines().filter_map(named).sum()
}

fn folded(text: &str, of_bakes: bool) -> usize {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("the same for "));
    let wanted = lines.filter(|line| line.contains(": bakes ") == of_bakes);
    wanted.filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).sum()
}

proptest! {
    #[test]
    fn whatever_the_state_is_it_fits_and_names_what_is_left_out(
        problems in 0usize..60,
        rows in 0usize..21,
        beyond in prop_oneof![Just(0usize), 1usize..300],
        bakes in prop_oneof![Just([0; 3]), [0usize..40, 0usize..40, 0usize..40]],
        paused in 0usize..30,
        notes: bool,
        height in 19usize..60,
        width in 80usize..160,
    ) {
        let beyond = if rows < 20 { 0 } else { beyond };
        let counts = Counts { problems, rows, beyond, bakes, paused, notes };
        let status = status(&counts);
        let text = of_status(&status, now(), Size { lines: height, width }, false);
        prop_assert!(text.lines().count() <= height, "{} lines of {height}:\n{text}", text.lines().count());
        prop_assert!(text.lines().all(|line| line.width() <= width), "{text}");
        let count = |wanted: &dyn Fn(&str) -> bool| text.lines().filter(|line| wanted(line)).count();
        let shown = count(&|line| line.starts_with("!!  row-"));
        prop_assert_eq!(shown + left_out(&text, ["schedule", "schedules"]), rows + beyond, "{}", text);
        let shown = count(&|line| line.starts_with("  bake "));
        let rest: usize = ["running", "waiting", "late"].iter().map(|things| left_out(&text, [things; 2])).sum();
        prop_assert_eq!(shown + folded(&text, true) + rest, bakes.iter().sum::<usize>(), "{}", text);
        let shown = count(&|line| ["PROBLEM: ", "WARNING: ", "  PROBLEM: ", "  WARNING: "].iter().any(|word| line.starts_with(word)));
        let unknown = status.health.problems().len();
        prop_assert_eq!(shown + folded(&text, false) + left_out(&text, ["problem", "problems"]), unknown, "{}", text);
        // What a bake line is read for stays in it.
        prop_assert!(text.lines().filter(|line| line.starts_with("  bake ")).all(|line| line.contains("next try")), "{text}");
        for error in ["QuotaExceeded.Image: the quota", "ConnectFailed: https"] {
            prop_assert!(text.matches(error).count() <= 1, "an error is repeated:\n{text}");
        }
    }
}

#[test]
fn a_bad_night_fits_a_screen() {
    let counts = Counts { problems: 9, rows: 20, beyond: 10, bakes: [3, 7, 4], paused: 2, notes: true };
    let text = of_status(&status(&counts), now(), Size { lines: 23, width: 80 }, false);
    insta::assert_snapshot!(text);
}

#[test]
fn a_good_morning_has_empty_lines_between_its_parts() {
    let counts = Counts { problems: 0, rows: 3, beyond: 0, bakes: [1, 0, 0], paused: 0, notes: false };
    let text = of_status(&status(&counts), now(), Size { lines: 23, width: 80 }, false);
    assert!(text.starts_with("OK; 3 lines have no image yet.\n\nLast 24 hours: "), "{text}");
    assert!(
        text.contains("\n\nRunning\n  bake 0 of running-0, queued for 42m, usually 38m: CREATING; next try"),
        "{text}"
    );
    assert!(!text.contains(ALL), "{text}");
}

#[test]
fn without_a_daemon_the_screen_has_the_history_and_what_stays_stopped() {
    let rows: Vec<ScheduleRow> = (0..20).map(row).collect();
    let health = Health::of_reported((0..9).map(problem).collect());
    let (running, waiting): (Vec<_>, Vec<_>) =
        ((0..9).map(|n| bake("a", n)).collect(), (0..9).map(|n| bake("b", n)).collect());
    for (lines, width) in (19..40).flat_map(|lines| [60, 80, 140].map(|width| (lines, width))) {
        let offline = Offline {
            last_day: LastDay::default(),
            queued: 9,
            rows: &rows,
            known: 300,
            since: Some("Thu 2026-11-26 02:59 +08:00".to_owned()),
            health: &health,
            command: SERVICE.to_owned(),
            running: &running,
            waiting: &waiting,
            stopped: vec![
                "Instance ecd-1 was stopped for bake 7 of golden; it is started again only once the daemon runs."
                    .to_owned(),
            ],
        };
        let text = of_history(&offline, now(), Size { lines, width }, false);
        let height: usize = text.lines().map(|line| line.width().div_ceil(width).max(1)).sum();
        assert!(height <= lines && text.starts_with("UNKNOWN: "), "{width}: {text}");
        assert!(text.contains("As of Thu 2026-11-26 02:59 +08:00:\n  PROBLEM: golden-"), "{text}");
        assert!(text.contains("Instance ecd-1 was stopped"), "{text}");
        assert!(text.contains("more schedules: ") || text.contains("… 300 schedules: "), "{text}");
    }
}

#[test]
fn bakes_with_the_same_error_are_not_said_to_have_the_same_next_try() {
    let counts = Counts { problems: 0, rows: 0, beyond: 0, bakes: [0, 0, 0], paused: 0, notes: false };
    let tried_at = |times: &[&str]| {
        let reason = |time: &str| format!("{}; next try Thu 2026-11-26 {time} +08:00", ERRORS[1]);
        let bake = |(n, time): (usize, &&str)| Running { reason: Some(reason(time)), ..bake("farm", n + 5) };
        let waiting = times.iter().enumerate().map(bake).collect();
        of_status(&Status { waiting, ..status(&counts) }, now(), Size { lines: 30, width: 100 }, false)
    };
    let text = tried_at(&["10:22:12", "10:20:09", "10:20:03", "10:21"]);
    assert!(text.contains("next try 10:22:12"), "{text}");
    assert!(text.contains("    the same for 3 more (next tries from 10:20:03): bakes 6, 7, 8"), "{text}");
    assert!(tried_at(&["10:22", "10:20:03"]).contains("the same for 1 more (next try 10:20:03): bakes 6"), "{text}");
    assert!(tried_at(&["10:22", "10:22"]).contains("the same for 1 more: bakes 6"), "{text}");
}

#[test]
fn the_first_command_without_an_answer_is_the_one_that_helps() {
    let health = Health::default();
    let offline = Offline {
        last_day: LastDay::default(),
        queued: 0,
        rows: &[],
        known: 0,
        since: None,
        health: &health,
        command: "kill -CONT 7".to_owned(),
        running: &[],
        waiting: &[],
        stopped: Vec::new(),
    };
    let text = of_history(&offline, now(), Size { lines: 20, width: 80 }, false);
    assert_eq!(text.lines().map(str::trim).find(|line| line.starts_with("kill")), Some("kill -CONT 7"), "{text}");
    assert!(!text.contains(SERVICE), "{text}");
}
