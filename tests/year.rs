//! A year of nights in half a minute: the real daemon and the simulator share one clock that the test moves. At the end, the
//! images that are left are compared with the rules of `keep` for all images that were made.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

#[path = "support/fast_motion.rs"]
mod fast_motion;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use fast_motion::{FastMotion, Places};
use imagebaked::domain::calendar::zone::Zone;
use imagebaked::{
    adapters::{
        control::{Reply, Request},
        store::{BakeRow, Filter},
    },
    domain::{
        clock::Clock,
        image::{judge::Action, report::RetentionReport},
    },
    sim::{FaultPlan, InstanceKind, InstanceSpec, Options},
};

fn zone() -> Zone {
    Zone::find("Asia/Shanghai").unwrap()
}

struct Night(FastMotion);

impl std::ops::Deref for Night {
    type Target = FastMotion;

    fn deref(&self) -> &FastMotion {
        &self.0
    }
}

impl Night {
    async fn begin(now: DateTime<Utc>) -> Self {
        let options = Options {
            build_time: Duration::from_mins(40),
            instances: vec![InstanceSpec::running("ecd-1", InstanceKind::CloudDesktop)],
            ..Options::default()
        };
        let config = |places: &Places| {
            format!(
                r#"
                [cloud]
                endpoint = "http://{}"
                requests_per_second = 1000
                poll_interval = "20m"
                [daemon]
                state_dir = "{}"
                control_socket = "{}"
                listen = ""
                pause_after_failures = 0
                # Requested by the test only.
                prune_interval = "3650d"
                [[schedule]]
                name = "golden"
                instance_id = "ecd-1"
                cron = "0 3 * * *"
                timezone = "{}"
                retry = {{ rebakes = 0 }}
                keep = {{ last = 3, daily = 7, weekly = 5, monthly = 6, yearly = 2, min = 2 }}
                "#,
                places.endpoint,
                places.state_dir.display(),
                places.socket.display(),
                zone(),
            )
        };
        Self(FastMotion::begin(now, options, config).await)
    }

    async fn newest(&self) -> Option<BakeRow> {
        self.reader.history(&Filter { limit: 1, ..Filter::default() }).await.unwrap().into_iter().next()
    }

    /// Moves the clock to each instant that the bake of `slot` waits for, until the bake has ended.
    async fn through(&self, slot: DateTime<Utc>) -> BakeRow {
        self.clock.truth.set(slot);
        let mut seen = 0;
        loop {
            self.nudge().await;
            let row = self.newest().await.unwrap();
            assert_eq!(row.slot(), slot);
            if row.is_ended() {
                return row;
            }
            // No call is repeated before the clock moves. A pending answer shows as a change of the row.
            let wake = DateTime::from_timestamp_millis(row.wake_at.unwrap()).unwrap();
            if wake > self.clock.now() {
                self.clock.truth.set(wake);
                continue;
            }
            match self.ask(Request::Follow { bakes: vec![], seen }).await {
                Reply::Rows { changes, .. } => seen = changes,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn prune(&self, dry_run: bool) -> RetentionReport {
        match self.ask(Request::Prune { dry_run, again: false, confirm: false, despite_failed_bake: false }).await {
            Reply::Pruned { report } => report.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    /// The images that are AVAILABLE.
    fn good(&self) -> BTreeSet<String> {
        let state = self.sim.state();
        let images = state["images"].as_array().unwrap().iter();
        images
            .filter(|image| image["status"] == "AVAILABLE")
            .map(|image| image["image_id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn to_delete(report: &RetentionReport) -> BTreeSet<String> {
    let images = report.images.iter().filter(|image| image.action == Action::Delete);
    images.map(|image| image.image_id.to_string()).collect()
}

fn to_go(report: &RetentionReport) -> BTreeSet<String> {
    let images = report.images.iter().filter(|image| image.verdict.goes());
    images.map(|image| image.image_id.to_string()).collect()
}

/// The rules of the file above, without the daemon's code: the newest slot of each calendar bucket, by formatted dates.
fn wanted(images: &BTreeSet<DateTime<Utc>>) -> BTreeSet<DateTime<Utc>> {
    let mut kept: BTreeSet<_> = images.iter().rev().take(3).copied().collect();
    for (format, count) in [("%F", 7), ("%G-%V", 5), ("%Y-%m", 6), ("%Y", 2)] {
        let newest_of: BTreeMap<String, DateTime<Utc>> =
            images.iter().map(|at| (at.with_timezone(&zone()).format(format).to_string(), *at)).collect();
        let mut newest: Vec<_> = newest_of.into_values().collect();
        newest.sort_unstable();
        if newest.len() < count {
            kept.extend(images.first());
        }
        kept.extend(newest.into_iter().rev().take(count));
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_nights_leaves_what_the_rules_want() {
    let begin: DateTime<Utc> = "2026-11-30T18:00:00Z".parse().unwrap();
    let night = Night::begin(begin).await;
    let mut rng = fastrand::Rng::with_seed(20_261_130);
    let mut made = BTreeSet::new();
    let mut failures = 0;
    // Whether the newest image failed. A failure of the instance says nothing of images.
    let mut image_failed = false;
    // The images that failed, by the day of their slot.
    let mut failed: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
    for day in 0..365 {
        let fault = match rng.u8(0..14) {
            0 => "code = \"Instance.ImageUnsupported\"\nstatus = 400\n",
            1 => "image = \"CREATE_FAILED\"\n",
            2 => "drop = \"after\"\n",
            3 => "code = \"Throttling.User\"\nstatus = 429\n",
            _ => "",
        };
        if !fault.is_empty() {
            let plan = format!("[[fault]]\naction = \"CreateImageByInstance\"\n{fault}");
            night.sim.add_faults(FaultPlan::parse(&plan).unwrap());
        }
        let slot = begin + TimeDelta::hours(1) + TimeDelta::days(day);
        let row = night.through(slot).await;
        if row.state == "succeeded" {
            made.insert(slot);
            image_failed = false;
        } else {
            failures += 1;
            image_failed |= row.cause.as_deref() == Some("image");
            failed.extend(row.image_id.clone().map(|image| (image, slot)));
        }
        // The pass of the afternoon deletes what was marked before.
        let announced = to_go(&night.prune(true).await);
        night.clock.truth.set(slot + TimeDelta::hours(11));
        let before = night.good();
        let rehearsed = night.prune(true).await;
        let done = night.prune(false).await;
        // The daemon's own pass may come before the dry run. Then it has deleted what was marked in the morning.
        let gone: BTreeSet<_> = before.difference(&night.good()).cloned().collect();
        let rehearsed = to_delete(&rehearsed);
        assert!(rehearsed.is_subset(&gone), "what is rehearsed is what is done");
        assert!(gone.difference(&rehearsed).all(|image| announced.contains(image)), "all that goes was announced");
        assert_eq!((&done.brakes[..], &done.problem), (&[][..], &None));
        if image_failed {
            assert!(
                done.images.iter().all(|image| !image.verdict.goes()),
                "nothing goes while the newest image failed"
            );
        }
    }
    for _ in 0..3 {
        night.clock.truth.advance(TimeDelta::hours(25));
        night.prune(false).await;
    }
    let state = night.sim.state();
    let images = state["images"].as_array().unwrap();
    let left: BTreeSet<DateTime<Utc>> = images
        .iter()
        .filter(|image| image["status"] == "AVAILABLE")
        .map(|image| image["tags"]["imagebaked:slot"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(failures > 20 && made.len() > 300, "{failures} failures, {} images", made.len());
    assert_eq!(left, wanted(&made));
    // Each slot that succeeded has one image: lost answers caused no second image.
    let is_failed = |image: &&serde_json::Value| failed.contains_key(image["image_id"].as_str().unwrap());
    let good = images.iter().filter(|image| !is_failed(image) && image["status"] != "CREATE_FAILED");
    assert_eq!(good.count(), made.len());
    // Failed images stay for a week, and no pass needed a confirmation.
    let end = night.clock.now();
    assert!(failed.len() > 10, "{}", failed.len());
    for image in images.iter().filter(is_failed) {
        let age = end - failed[image["image_id"].as_str().unwrap()];
        let status = image["status"].as_str().unwrap();
        assert_eq!(status == "DELETE", age > TimeDelta::days(9), "{status} after {age}");
    }
    night.0.end().await;
}
