//! All four promises under mixed faults: the real daemon, a simulator in another process, and kills mixed with proxies, false
//! lists, wrong clocks, full disks, older histories and other users of the account. Each scene ends with all faults removed;
//! then its images and rows are checked from outside.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "helpers of tests are not recognised as tests, and real processes live by the real clock"
)]

#[path = "sweep/evidence.rs"]
mod evidence;
#[path = "sweep/nemesis.rs"]
mod nemesis;
#[path = "sweep/scene.rs"]
mod scene;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evidence::Kind;
use nemesis::Nemesis;
use scene::{Means, Outcome, fault_kinds, play};
use support::{in_parallel, number};

/// Scenes of the ordinary suite. Together they have every kind of fault.
const SELECTION: [u64; 6] = [521, 2970, 2342, 2974, 2481, 2999];

#[test]
fn a_selection_of_scenes_breaks_no_promise() {
    sweep(3, &SELECTION);
}

#[test]
fn the_selection_has_every_kind_of_fault() {
    let means = Means { faketime: Some(PathBuf::new()), mount: true, prlimit: true };
    let there: BTreeSet<Nemesis> =
        SELECTION.iter().flat_map(|seed| fault_kinds(&mut fastrand::Rng::with_seed(*seed), &means, &[])).collect();
    let missing: Vec<Nemesis> = Nemesis::OTHERS.into_iter().filter(|nemesis| !there.contains(nemesis)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The long run. `SCENES` is the number of scenes, `SEED` the first seed, `ONLY` the kinds of faults (`kill,proxy`), `JOBS` the
/// number of scenes at once.
#[test]
#[ignore = "takes hours"]
fn sweep_scenes() {
    let (scenes, seed) = (number("SCENES", 200), number("SEED", 1));
    let seeds: Vec<u64> = (seed..seed + scenes).collect();
    sweep(usize::try_from(number("JOBS", 1)).unwrap(), &seeds);
}

fn sweep(at_once: usize, seeds: &[u64]) {
    let started = Instant::now();
    let (means, only) = (means(), only());
    let outcomes = in_parallel(at_once, seeds, |seed| {
        let outcome = play(*seed, &means, &only);
        report(&outcome);
        outcome
    });
    let broken = total(&outcomes, started.elapsed());
    assert!(broken.is_empty(), "promises were broken in the scenes {broken:?}");
}

/// Prints one line for a scene, and the command that repeats it if it broke a promise.
fn report(outcome: &Outcome) {
    let Outcome { seed, slots, excused, images, deleted, took, violations, .. } = outcome;
    let verdict = if violations.is_empty() { "ok" } else { "BROKEN" };
    println!(
        "scene {seed}: {}; {slots} slots ({excused} without an image), {images} images, {deleted} deleted, {:.1} s: {verdict}",
        words(&outcome.counts),
        took.as_secs_f64()
    );
    for violation in violations {
        println!("    {violation}");
    }
    if let Some(folder) = &outcome.folder {
        println!(
            "    see {}; again: SCENES=1 SEED={seed} cargo test --test sweep -- --ignored --nocapture",
            folder.display()
        );
    }
}

/// `7 kills (3 at failpoints), 12 faults (cut 5, proxy 7)`.
fn words(counts: &BTreeMap<Nemesis, u64>) -> String {
    let of = |nemesis: Nemesis| counts.get(&nemesis).copied().unwrap_or_default();
    let others: Vec<(Nemesis, u64)> =
        counts.iter().filter(|(nemesis, _)| !Nemesis::KILLS.contains(nemesis)).map(|(kind, n)| (*kind, *n)).collect();
    let sum: u64 = others.iter().map(|(_, n)| n).sum();
    let list: Vec<String> = others.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    format!(
        "{} kills ({} at failpoints), {sum} faults ({})",
        of(Nemesis::Kill) + of(Nemesis::Failpoint),
        of(Nemesis::Failpoint),
        list.join(", ")
    )
}

/// Prints the totals of all scenes; returns the seeds of those that broke a promise.
fn total(outcomes: &[Outcome], took: Duration) -> Vec<u64> {
    let mut counts: BTreeMap<Nemesis, u64> = BTreeMap::new();
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for outcome in outcomes {
        for (nemesis, n) in &outcome.counts {
            *counts.entry(*nemesis).or_default() += n;
        }
        for violation in &outcome.violations {
            *kinds.entry(violation.kind).or_default() += 1;
        }
    }
    let of = |kind| kinds.get(&kind).copied().unwrap_or_default();
    println!(
        "{} scenes, {} s: {} in all: {}\n{} slots: {} lost, {} failed without need, {} doubled; {} images, {} deleted: {} that should \
         have stayed; {} instances left off; {} contradictions between history and cloud; {} complaints without ground or \
         daemons that did not live",
        outcomes.len(),
        took.as_secs(),
        counts.values().sum::<u64>(),
        words(&counts),
        outcomes.iter().map(|outcome| outcome.slots).sum::<usize>(),
        of(Kind::SlotLost),
        of(Kind::SlotFailed),
        of(Kind::SlotDoubled),
        outcomes.iter().map(|outcome| outcome.images).sum::<usize>(),
        outcomes.iter().map(|outcome| outcome.deleted).sum::<usize>(),
        of(Kind::ImageDeleted),
        of(Kind::InstanceOff),
        of(Kind::Untrue),
        of(Kind::Unhealthy),
    );
    outcomes.iter().filter(|outcome| !outcome.violations.is_empty()).map(|outcome| outcome.seed).collect()
}

/// The kinds of faults that `ONLY` names.
fn only() -> Vec<Nemesis> {
    let text = std::env::var("ONLY").unwrap_or_default();
    let all = || Nemesis::KILLS.into_iter().chain(Nemesis::OTHERS);
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            all()
                .find(|nemesis| nemesis.name() == name)
                .unwrap_or_else(|| panic!("ONLY: no kind of fault is called {name}"))
        })
        .collect()
}

/// The means of this machine; prints those that are missing.
fn means() -> Means {
    let quiet = |program: &str, args: &[&str]| {
        let run = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let faketime = faketime();
    let at = tempfile::tempdir().unwrap();
    let path = at.path().display().to_string();
    let mount = quiet("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", &path]) && quiet("umount", &[&path]);
    let prlimit = quiet("prlimit", &["--version"]);
    for (has, what) in [
        (faketime.is_some(), "without libfaketime no clock goes wrong"),
        (mount, "without the right to mount no disk gets full"),
        (prlimit, "without prlimit no write fails"),
    ] {
        if !has {
            println!("skipped: {what}");
        }
    }
    Means { faketime, mount, prlimit }
}

/// The paths where distributions put libfaketime for programs with threads.
fn faketime() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].into_iter().map(PathBuf::from);
    let nested = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    folders.chain(nested).map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists())
}
