//! The warnings of `check` for files that are valid and probably not meant.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use imagebaked::{
    adapters::config::{Problems, Severity, load_with_source_map},
    domain::plan::forecast::Durations,
};
use serde_json::Value;
use support::imagebaked;

/// The diagnostics of a file, on 2027-01-13.
fn lints(file: &Path) -> Problems {
    let (config, mut source_map) =
        load_with_source_map(file, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    source_map.lint(&config, "2027-01-13T12:00:00Z".parse().unwrap(), &Durations::default());
    source_map.into_problems()
}

fn lints_of(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imagebaked.toml");
    fs::write(&file, text).unwrap();
    lints(&file).0.into_iter().map(|problem| format!("{} {}", problem.code, problem.message)).collect()
}

fn schedule(more: &str) -> String {
    format!("[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\n{more}\n")
}

#[test]
fn every_lint_is_reported_at_its_place() {
    let mut problems = lints(Path::new("tests/data/lints.toml"));
    // `not-…` warnings are about features that do not exist yet. They are no lints.
    problems.0.retain(|problem| problem.code != "not-applied");
    let report: Vec<_> = problems
        .0
        .iter()
        .map(|problem| {
            let spot = problem.place.spot.as_ref().unwrap();
            format!("{} {}:{}..{}", problem.code, spot.line, spot.column, spot.end_column)
        })
        .collect();
    assert!(problems.0.iter().all(|problem| problem.severity == Severity::Warning));
    assert_eq!(report.len(), 59, "{report:#?}");
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn what_is_meant_has_no_warning() {
    for sound in [
        "cron = \"0 3 * * mon-fri\"\ntimezone = \"Europe/Berlin\"\nmax_image_age = \"4d\"\nkeep = { last = 3, within = \"1d\" }",
        // Every hour is even, and no clock changes on a Saturday.
        "cron = [\"*/15 * * * *\", \"30 2 * * sat\"]\ntimezone = \"Europe/Berlin\"",
        "cron = \"30 2 * * *\"",
        "cron = \"30 2 * * *\"\ntimezone = \"Asia/Shanghai\"\ncatch_up = \"skip\"\ncatch_up_window = \"0s\"",
        "cron = \"8-20/5 9 1 1,7 *\"\npaused = false",
    ] {
        let report: Vec<_> =
            lints_of(&schedule(sound)).into_iter().filter(|report| !report.starts_with("not-")).collect();
        assert_eq!(report, Vec::<String>::new(), "{sound}");
    }
}

#[test]
fn what_many_schedules_share_is_reported_once() {
    let mut text = "[defaults]\ncron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\npaused = true\n".to_owned();
    for n in 0..100 {
        text.push_str(&format!("[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\n"));
    }
    let report: Vec<_> = lints_of(&text).iter().map(|report| report.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(report, ["dst-affected", "paused-for-ever"]);
}

fn check(text: &str, args: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imagebaked.toml");
    fs::write(&file, format!("[daemon]\nstate_dir = \"{}\"\n{text}", folder.path().display())).unwrap();
    let output = imagebaked().arg("check").arg(&file).args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn warnings_can_be_denied() {
    let doubtful = schedule("cron = \"*/7 3 * * *\"");
    assert_eq!(check(&doubtful, &[]).0, 0);
    let (code, text) = check(&doubtful, &["--deny", "warnings"]);
    assert!(code == 2 && text.contains("it has warnings, which are denied"), "{text}");
    let (code, text) = check(&doubtful, &["--deny", "warnings", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let problem = &report["problems"][0];
    assert_eq!((code, &report["ok"], &problem["code"]), (2, &false.into(), &"uneven-step".into()));
    assert_eq!((&problem["severity"], &problem["line"], &problem["column"]), (&"warning".into(), &6.into(), &9.into()));
    assert_eq!(check(&schedule("cron = \"*/6 3 * * *\""), &["--deny", "warnings"]).0, 0);
}

#[test]
fn a_wall_of_warnings_is_cut_for_people_and_whole_for_programs() {
    let text: String = (0..25)
        .map(|n| format!("[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\ncron = \"*/7 3 * * *\"\n"))
        .collect();
    let (_, shown) = check(&text, &[]);
    assert_eq!(shown.matches("warning[uneven-step]: `*/7`").count(), 10);
    assert!(shown.contains("warning[uneven-step]: likewise at 15 more places"), "{shown}");
    let report: Value = serde_json::from_str(&check(&text, &["--json"]).1).unwrap();
    let uneven = report["problems"].as_array().unwrap().iter().filter(|problem| problem["code"] == "uneven-step");
    assert_eq!(uneven.count(), 25);
}

#[test]
fn a_queue_that_no_night_is_long_enough_for_is_reported_at_the_number_of_builders() {
    let schedules: String = (0..20)
        .map(|n| format!("[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\ncron = \"0 3 * * *\"\n"))
        .collect();
    let report = |builders: u32| {
        let (_, text) = check(&format!("max_builders = {builders}\n{schedules}"), &["--json"]);
        let report: Value = serde_json::from_str(&text).unwrap();
        let problems = report["problems"].as_array().unwrap().clone();
        problems.into_iter().find(|problem| problem["code"] == "queue-longer-than-night")
    };
    // Half an hour is assumed for each bake. One after the other, they do not end within the deadline of four hours.
    let problem = report(1).unwrap();
    assert_eq!((&problem["line"], &problem["column"]), (&3.into(), &16.into()));
    assert!(problem["message"].as_str().unwrap().contains("11 slots would wait past the deadline"), "{problem}");
    assert_eq!(report(20), None);
}

#[test]
fn schedules_of_one_instance_are_reported_once_a_pair() {
    let text = format!(
        "{}[[schedule]]\nname = \"b\"\ninstance_id = \"ecd-1\"\ncron = \"20 3 * * *\"\n\
         [[schedule]]\nname = \"c\"\ninstance_id = \"ecd-1\"\ncron = \"50 3 * * *\"\npaused = true\n\
         [[schedule]]\nname = \"d\"\ninstance_id = \"ecd-1\"\ncron = \"50 3 * * *\"\n",
        schedule("cron = \"0 3 * * *\"")
    );
    let report: Vec<_> = lints_of(&text).into_iter().filter(|report| report.starts_with("same")).collect();
    let [only] = &report[..] else { panic!("{report:?}") };
    assert!(only.contains("b comes 20m after a on ecd-1") && only.contains("waits if a bake takes 30m"), "{only}");
}
