//! All outputs that announce deletions say the same of each image, whether they judge all lines or one, and whichever way they
//! read it.

use proptest::prelude::*;

use super::*;
use crate::{
    adapters::{
        config,
        store::{ChannelOrder, ImageObservation, NewImage, Store},
    },
    domain::{event, image::Pin},
};

/// What happens to an image of a random history.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Nothing,
    /// Marked; its grace ends at this hour.
    Marked(i64),
    Pinned,
    Vetoed,
    Used,
    /// The cloud does not list it as AVAILABLE.
    Failed,
    Promoted,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Nothing),
        4 => (-30i64..30).prop_map(Happening::Marked),
        1 => Just(Happening::Pinned),
        1 => Just(Happening::Vetoed),
        1 => Just(Happening::Used),
        1 => Just(Happening::Failed),
        1 => Just(Happening::Promoted),
    ]
}

/// Three schedules, the images of each, and what is set for all.
#[derive(Debug, Clone)]
struct World {
    lines: Vec<(u32, u32, Vec<Happening>)>,
    max_deletions: Option<u32>,
    scan_failed: bool,
}

fn world() -> impl Strategy<Value = World> {
    let line = (1u32..4, 0u32..3, prop::collection::vec(happening(), 0..7));
    let lines = prop::collection::vec(line, 3);
    (lines, prop::option::of(0u32..4), prop::bool::weighted(0.1))
        .prop_map(|(lines, max_deletions, scan_failed)| World { lines, max_deletions, scan_failed })
}

fn now() -> DateTime<Utc> {
    "2027-03-02T19:00:00Z".parse().unwrap()
}

fn configure(folder: &std::path::Path, world: &World) -> Config {
    let limit = world.max_deletions.map_or_else(String::new, |limit| format!("[daemon]\nmax_deletions = {limit}\n"));
    let mut text = format!("[cloud]\nendpoint = \"http://127.0.0.1:1\"\n{limit}");
    for (n, (last, grace, _)) in world.lines.iter().enumerate() {
        text.push_str(&format!(
            "[[schedule]]\nname = \"s{n}\"\ninstance_id = \"ecd-{n}\"\ncron = \"@yearly\"\n\
             keep = {{ last = {last}, grace = \"{grace}h\" }}\nchannels = {{ prod = {{}} }}\n"
        ));
    }
    let path = folder.join("imagebaked.toml");
    std::fs::write(&path, text).unwrap();
    config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config
}

async fn fill(store: &Store, world: &World, config: &Config) {
    for (n, (_, _, images)) in world.lines.iter().enumerate() {
        let (line, schedule) = (LineId::from(format!("s{n}")), &config.schedules[n]);
        for (at, happening) in images.iter().enumerate() {
            let image_id = ImageId::from(format!("imgc-{n}-{at}"));
            let image = NewImage {
                image_id: image_id.clone(),
                image_name: format!("a \"name\"\n\u{1f}{at}"),
                version_id: None,
                schedule_id: schedule.id.clone(),
                instance_id: schedule.instances.as_slice()[0].clone(),
                line: line.clone(),
                version: u32::try_from(at).ok().map(|at| at + 1),
                slot: now() - TimeDelta::days(20 - i64::try_from(at).unwrap()),
                made_at: now() - TimeDelta::days(9),
                ours: true,
                obstacle: None,
            };
            store.adopt_images(vec![image], false, "uid 0", now() - TimeDelta::days(9)).await.unwrap();
            happen(store, (&image_id, &line), *happening).await;
        }
    }
}

async fn happen(store: &Store, (image, line): (&ImageId, &LineId), happening: Happening) {
    let reader = store.reader();
    let order = async |order| {
        let declared = [crate::domain::schedule::Channel { name: "prod".into(), after: None }];
        store.order_channels(line, Some(&declared), &order, "uid 0", now()).await.unwrap().unwrap();
    };
    match happening {
        Happening::Nothing => {}
        Happening::Marked(hour) => {
            let row = reader.image(image).await.unwrap().unwrap();
            let after = now() + TimeDelta::hours(hour);
            store.mark_image(&row.image, "last = 1", after, MarkKind::Counted, "imagebaked", now()).await.unwrap();
        }
        Happening::Pinned => {
            let pin = Pin { until: None, reason: "audit".into(), who: "uid 0".into() };
            store.pin_image(image, &pin, event::Action::Pin, now()).await.unwrap();
        }
        Happening::Vetoed => order(ChannelOrder::Veto { image: image.clone(), reason: "no sound".into() }).await,
        Happening::Promoted => {
            let (image, channel) = (image.clone(), "prod".to_owned());
            order(ChannelOrder::Promote { image, channel, force: true, reason: "good".into() }).await;
        }
        Happening::Used | Happening::Failed => {
            let used_by = if matches!(happening, Happening::Used) { vec!["ws-\"1\"".to_owned()] } else { vec![] };
            let available = matches!(happening, Happening::Used);
            let seen = ImageObservation { image_id: image.clone(), listed: true, available, ours: true, used_by };
            store.record_scan(&[seen], &[], None, now()).await.unwrap();
        }
    }
}

async fn assert_one_answer(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), &world);
    let store = Store::open(&folder.path().join("state")).await.unwrap();
    fill(&store, &world, &config).await;
    store.record_scan(&[], &[], world.scan_failed.then_some("503"), now()).await.unwrap();
    let reader = store.reader();
    for next_pass in [NextPass::At(now() + TimeDelta::minutes(40)), NextPass::AtStart, NextPass::Never] {
        let all = judgement(reader, &config, Mode::default(), (now(), next_pass)).await.unwrap();
        let mut one_by_one = Vec::new();
        for schedule in &config.schedules {
            let judge = Judge::of_some(reader, &config, (now(), next_pass)).await.unwrap();
            let lines: Vec<LineId> = schedule.lines().collect();
            let rows = reader.present_images(Some(&lines)).await.unwrap();
            for row in &rows {
                let single = reader.image(&row.image.image_id).await.unwrap();
                assert_eq!(Some(row), single.as_ref(), "one by one it is read the same");
            }
            let judged = judge.some(reader, rows, next_pass).await.unwrap();
            one_by_one.extend(judged.into_iter().map(|(_, judged)| judged));
        }
        assert_eq!(all.images, one_by_one, "{next_pass:?} {world:?}");
    }
    store.close().await;
}

/// A date of a deletion is given with what will hold it.
#[tokio::test]
async fn a_date_comes_with_the_limit_that_its_pass_will_exceed() {
    use Happening::{Marked, Nothing};
    let of = async |images: Vec<Happening>, max_deletions| {
        let world =
            World { lines: vec![(1, 1, images), (3, 1, vec![]), (3, 1, vec![])], max_deletions, scan_failed: false };
        let folder = tempfile::tempdir().unwrap();
        let config = configure(folder.path(), &world);
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        fill(&store, &world, &config).await;
        store.record_scan(&[], &[], None, now()).await.unwrap();
        let times = (now(), NextPass::At(now() + TimeDelta::minutes(40)));
        let report = judgement(store.reader(), &config, Mode::default(), times).await.unwrap();
        store.close().await;
        let held = report.images.iter().filter(|image| image.held == Some(Held::Confirmation));
        let steps = held.map(|image| image.step(config.schedules[0].timing.zone()));
        steps.collect::<Vec<_>>()
    };
    let four = of(vec![Marked(3), Marked(3), Marked(3), Marked(3), Nothing], None).await;
    assert_eq!(four.len(), 4);
    assert!(four[0].ends_with(", then held until `imagebaked prune --confirm`"), "{four:?}");
    assert!(four[0].starts_with("marked, in grace until "), "{four:?}");
    assert_eq!(of(vec![Marked(3), Marked(3), Nothing], None).await, Vec::<String>::new());
    assert_eq!(of(vec![Marked(3), Marked(5), Nothing], Some(1)).await.len(), 1, "the second one is too many in a day");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn a_schedule_alone_is_judged_like_all_together(world in world()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(assert_one_answer(world));
    }
}
