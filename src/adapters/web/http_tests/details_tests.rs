//! The pages of a schedule, of a bake and of the images, and what is not there.

use super::{
    Served,
    history::{HOSTILE, image, newer_image_than_stable, now, row, work},
};
use crate::{
    adapters::{
        store::{ChannelOrder, Transition},
        web::query::encode,
    },
    domain::{
        bake::{State, state::End},
        ids::{BakeId, LineId},
        schedule::Channel,
    },
};

#[tokio::test]
async fn a_schedule_is_shown_with_its_images_and_channels() {
    let served = Served::start().await;
    newer_image_than_stable(&served.fake.store).await;
    let page = served.get("/schedule/win11-golden").await;
    assert_eq!(page.code, 200);
    for shown in [
        "win11-golden-20270303-0300-v42",
        "imgc-07if81c4ktj9shi03",
        "win11-golden-20270303-0300-v41",
        "href=\"../bake/5\"",
        "href=\"../page.css\"",
        "href=\"../history?schedule=win11-golden&amp;since=2027-03-03&amp;until=2027-03-03\"",
        "0 3 * * *",
        "latest 42",
        "stable <strong>41</strong>",
    ] {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    let hostile = served.get(&format!("/schedule/{}", encode(HOSTILE))).await;
    assert_eq!(hostile.code, 200);
    assert!(!hostile.body.contains("<img"), "{}", hostile.body);
}

#[tokio::test]
async fn a_bake_whose_image_is_vetoed_is_marked_and_each_sign_has_a_word() {
    let served = Served::start().await;
    newer_image_than_stable(&served.fake.store).await;
    let vetoed = "<span class=\"state bad\"><span aria-hidden=\"true\">⊗</span> vetoed</span>";
    let bake_5 = format!("<a class=\"bake\" href=\"../bake/5\"><span class=\"id\">5</span> {vetoed}");
    let page = served.get("/schedule/win11-golden").await.body;
    assert!(!page.contains(vetoed) && page.contains("aria-label=\"Shapes\""), "{page}");
    let line = LineId::from("win11-golden");
    let stable = [Channel { name: "stable".into(), after: None }];
    let veto = ChannelOrder::Veto { image: image(3).image_id, reason: "no sound".into() };
    served.fake.store.order_channels(&line, Some(&stable), &veto, "ann", now()).await.unwrap().unwrap();
    let page = served.get("/schedule/win11-golden").await.body;
    assert!(page.contains(&bake_5), "{page}");
    let (_, signs) = page.split_once("aria-label=\"Signs of the days\"").unwrap();
    let (signs, _) = signs.split_once("</ul>").unwrap();
    assert!(signs.contains(vetoed) && signs.contains("succeeded"), "{signs}");
    assert!(served.get("/history").await.body.contains(&bake_5.replace("../", "./")));
    assert!(served.get("/bake/5").await.body.contains(vetoed));
}

#[tokio::test]
async fn a_parameter_that_a_page_does_not_have_is_refused() {
    let served = Served::start().await;
    for (path, takes) in [
        ("/?x=1", "takes q, page"),
        ("/images?x=1", "takes after"),
        ("/history?state=failed&x=1", "takes schedule, instance, state, since, until, before"),
        ("/schedule/finance?x=1", "takes none"),
        ("/bake/1?x=1", "takes none"),
    ] {
        let page = served.get(path).await;
        assert_eq!(page.code, 400, "{path}");
        assert!(page.body.contains("no parameter &quot;x&quot;") && page.body.contains(takes), "{path}: {}", page.body);
    }
    assert_eq!(served.get("/?a-b=1").await.code, 400);
    assert_eq!(served.get("/?page=-1").await.code, 400);
    // A form sends empty fields.
    assert_eq!(served.get("/images?after=").await.code, 200);
}

#[tokio::test]
async fn images_are_listed_by_line_and_those_without_one_first() {
    let served = Served::start().await;
    newer_image_than_stable(&served.fake.store).await;
    let page = served.get("/images").await.body;
    let (without, newest) = page.split_once("id=\"newest\"").unwrap();
    assert!(without.contains("cad-station") && !without.contains("win11-golden"), "{without}");
    assert!(newest.contains("imgc-07if81c4ktj9shi03") && newest.contains("stable <strong>41</strong>"), "{newest}");
    let store = &served.fake.store;
    let many: Vec<_> = (0..60).map(|n| row(&format!("line-{n:03}"), "ecd-1", now())).collect();
    store.record_slots(&many, &[], "h", now()).await.unwrap();
    let made = |n: u32| Transition {
        bake: BakeId(8 + i64::from(n)),
        line: LineId::from(format!("line-{n:03}")),
        state: State::Ended {
            work: Some(work("line", 1)),
            end: End::Succeeded { image: image(100 + n), reason: "made".into() },
        },
        reason: None,
        attempt: None,
        events: Vec::new(),
    };
    store.commit(&(0..60).map(made).collect::<Vec<_>>(), now()).await.unwrap();
    let first = served.get("/images").await.body;
    assert!(first.contains("images?after=line-049") && !first.contains("line-050"), "{first}");
    let second = served.get("/images?after=line-049").await.body;
    assert!(
        second.contains("line-050") && second.contains("win11-golden") && !second.contains("line-049<"),
        "{second}"
    );
}

#[tokio::test]
async fn a_bake_is_shown_with_its_settings_and_calls() {
    let served = Served::start().await;
    let page = served.get("/bake/2").await;
    assert_eq!(page.code, 200);
    for shown in ["retry.cap", "10m", "cn-shanghai, cn-beijing", "ImageQuotaExceeded", "403", "1CBAFFAB", "412ms"] {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("<img"), "{}", page.body);
    assert!(!page.body.contains("http-equiv"), "an ended bake does not change any more");
    assert!(served.get("/bake/3").await.body.contains("http-equiv"));
    assert!(served.get("/bake/6").await.body.contains("only accounts"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let served = Served::start().await;
    for path in [
        "/bake/8",
        "/bake/0",
        "/bake/x",
        "/bake/99999999999999999999",
        "/bake/",
        "/admin",
        "//",
        "/schedule/none",
        "/schedule/",
    ] {
        let page = served.get(path).await;
        assert_eq!(page.code, 404, "{path}");
        assert!(page.body.contains("There is no such"), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn who_mistypes_a_name_is_shown_the_nearest_and_the_way_back() {
    let served = Served::start().await;
    for (path, shown) in [
        ("/schedule/finanze", &["Did you mean", "href=\"../schedule/finance\"", "../history?schedule=finanze"][..]),
        ("/schedule/GOLDEN", &["href=\"../schedule/win11-golden\""]),
        ("/schedule/nothing-like-it", &["No schedule in force has a name like"]),
        ("/schedule/%3Cimg%20src%3Dy%3E", &["&lt;img src=y&gt;"]),
        ("/bake/8", &["The bake of the newest slot is", "href=\"../bake/5\""]),
    ] {
        let page = served.get(path).await;
        assert_eq!(page.code, 404, "{path}");
        for shown in shown.iter().chain(&["href=\"../\"", "href=\"../history\""]) {
            assert!(page.body.contains(shown), "{path}: {shown} is missing in {}", page.body);
        }
    }
}
