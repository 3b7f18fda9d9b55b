//! The page of the history.

use chrono::TimeDelta;

use super::{
    Served,
    history::{now, row},
};
#[tokio::test]
async fn the_history_is_filtered_and_paged() {
    let served = Served::start().await;
    let ids = async |query: &str| {
        let page = served.get(&format!("/history{query}")).await;
        assert_eq!(page.code, 200, "{query}");
        assert!(!page.body.contains("<img"), "{query}");
        let links = page.body.split("<a class=\"bake\" href=\"./bake/").skip(1);
        links.map(|link| link.split('"').next().unwrap().parse().unwrap()).collect::<Vec<i64>>()
    };
    assert_eq!(ids("").await, [5, 4, 3, 2, 6, 1, 7]);
    assert_eq!(ids("?state=failed").await, [2, 7]);
    assert_eq!(ids("?schedule=win11-golden&state=").await, [] as [i64; 0], "no target of that name is known");
    assert_eq!(ids("?instance=ecd-7w78ozhjcwa3u").await, [5, 1]);
    assert_eq!(ids("?since=2027-03-03+00%3A30").await, [5, 4, 3], "in Shanghai");
    assert_eq!(served.get("/history?since=soon").await.code, 400);
    let many: Vec<_> = (0..60).map(|n| row("bulk", "ecd-1", now() + TimeDelta::hours(n))).collect();
    served.fake.store.record_slots(&many, &[], "h", now()).await.unwrap();
    let first = served.get("/history").await.body;
    let (_, rest) = first.split_once("rel=\"next\" href=\"./history?before=").unwrap();
    let cursor = rest.split('"').next().unwrap();
    let second = ids(&format!("?before={cursor}")).await;
    assert_eq!(second.len(), 17);
    assert_eq!(second[10..], [5, 4, 3, 2, 6, 1, 7]);
}

#[tokio::test]
async fn wrong_filters_are_reported_all_at_once_and_what_is_not_found_has_a_way_back() {
    let served = Served::start().await;
    let page = served.get("/history?state=foo&since=nonsense").await;
    assert_eq!(page.code, 400);
    for shown in
        ["State &quot;foo&quot;", "choose one of", "Since &quot;nonsense&quot;", "value=\"nonsense\"", "2026-11-26"]
    {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert!(!page.body.contains("No bake is like that"), "nothing was searched: {}", page.body);
    let page = served.get("/history?schedule=finanze&state=failed").await;
    assert_eq!(page.code, 200);
    for shown in
        ["No bake is like that", "Did you mean", "href=\"./history?state=failed&amp;schedule=finance\"", "All bakes"]
    {
        assert!(page.body.contains(shown), "{shown} is missing in {}", page.body);
    }
    assert_eq!(served.get("/history?before=x").await.code, 400);
}
