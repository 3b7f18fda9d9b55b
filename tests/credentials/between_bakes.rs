//! A daemon that has nothing to bake: `status` still says whether the cloud accepts its key.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::control::{Reply, Request},
    domain::{health::ProblemCode, status::Status},
    sim::Options,
};

use super::fast_motion::{FastMotion, Places};

const REVOKED: &str =
    "[[fault]]\naction = \"ListImage\"\ntimes = 0\nstatus = 404\ncode = \"InvalidAccessKeyId.NotFound\"\n";

fn write_key(folder: &Path, secret: &str) {
    fs::write(folder.join("access_key_id"), "sim-key-id").unwrap();
    fs::write(folder.join("access_key_secret"), secret).unwrap();
}

fn configuration(places: &Places, keys: &Path) -> String {
    format!(
        "[cloud]\nendpoint = \"http://{}\"\nrequests_per_second = 1000\ncredentials = \"files\"\ncredentials_dir = \"{}\"\n\
         [daemon]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nlisten = \"\"\n\
         [[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n",
        places.endpoint,
        keys.display(),
        places.state_dir.display(),
        places.socket.display(),
    )
}

async fn begin(keys: &Path) -> FastMotion {
    let now: DateTime<Utc> = "2026-11-27T16:00:00Z".parse().unwrap();
    FastMotion::begin_with([].into(), now, Options::default(), |places| configuration(places, keys)).await
}

async fn status(idle: &FastMotion) -> Status {
    let reply = idle.ask(Request::Status { all: true }).await;
    let status = if let Reply::Status(status) = reply { Some(*status) } else { None };
    status.unwrap()
}

/// The clock stands still meanwhile: what is due happens at the engine's next ticks. A call that was on its way when the clock
/// was set counts as heard then, and puts the next check off.
async fn until_problems_are(idle: &FastMotion, wanted: &[ProblemCode]) -> Status {
    let begun = Instant::now();
    let mut put_off = Duration::from_secs(10);
    loop {
        if begun.elapsed() >= put_off {
            idle.clock.truth.advance(TimeDelta::minutes(5));
            put_off += Duration::from_secs(10);
        }
        let status = status(idle).await;
        let is_meant =
            |code: &ProblemCode| [ProblemCode::CredentialsRejected, ProblemCode::ReconcilePending].contains(code);
        let found: Vec<_> = status.health.problems().map(|problem| problem.code).filter(is_meant).collect();
        if found == wanted {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", status.health);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_while_nothing_is_baked_is_a_problem_within_minutes_and_ends_by_itself() {
    let keys = tempfile::tempdir().unwrap();
    write_key(keys.path(), "sim-key-secret");
    let idle = begin(keys.path()).await;
    until_problems_are(&idle, &[]).await;
    idle.control("POST", "faults", REVOKED).await;
    // No scan, no slot, no command asks the cloud anything meanwhile.
    idle.clock.truth.advance(TimeDelta::minutes(5));
    let status = until_problems_are(&idle, &[ProblemCode::CredentialsRejected]).await;
    assert!(
        status.health.problems().next().unwrap().message.contains("InvalidAccessKeyId.NotFound"),
        "{:?}",
        status.health
    );
    idle.control("DELETE", "faults", "").await;
    idle.clock.truth.advance(TimeDelta::minutes(1));
    until_problems_are(&idle, &[]).await;
    idle.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_of_the_first_start_that_is_corrected_in_its_file_needs_neither_reload_nor_restart() {
    let keys = tempfile::tempdir().unwrap();
    write_key(keys.path(), "not-the-secret");
    let idle = begin(keys.path()).await;
    let both = [ProblemCode::CredentialsRejected, ProblemCode::ReconcilePending];
    let status = until_problems_are(&idle, &both).await;
    assert!(status.health.problems().nth(1).unwrap().message.contains("SignatureDoesNotMatch"), "{:?}", status.health);
    write_key(keys.path(), "sim-key-secret");
    idle.clock.truth.advance(TimeDelta::minutes(1));
    until_problems_are(&idle, &[]).await;
    idle.end().await;
}
