//! Answers to programs and probes.

use std::sync::atomic::Ordering;

use super::Served;
use crate::domain::{health::Severity, status::Status};
#[tokio::test]
async fn a_probe_fails_on_problems_and_not_on_warnings() {
    let served = Served::start().await;
    let well = served.get("/healthz").await;
    assert_eq!((well.code, well.body.as_str()), (200, "OK\n"));
    served.complain(&[(Severity::Warning, "golden failed")]);
    let ill = served.get("/healthz").await;
    assert_eq!((ill.code, ill.body.as_str()), (200, "WARNING\nwarning: bake_failed: golden failed\n"));
    served.complain(&[(Severity::Warning, "golden failed"), (Severity::Problem, "silver failed twice")]);
    let worse = served.get("/healthz").await;
    let text = "PROBLEM\nproblem: bake_failed: silver failed twice\nwarning: bake_failed: golden failed\n";
    assert_eq!((worse.code, worse.body.as_str()), (503, text));
    served.complain(&[(Severity::Problem, "golden failed"); 150]);
    let many = served.get("/healthz").await.body;
    assert!(many.lines().count() == 102 && many.ends_with("and 50 more\n"), "{many}");
    for path in ["/healthz?schedule=golden", "/status.json?x=1", "/status.json?x"] {
        assert_eq!(served.get(path).await.code, 400, "{path}");
    }
    assert_eq!(served.get("/livez?x=1").await.code, 200, "a restart helps nothing there");
    // What restarts the daemon asks something else: no bake is better for it.
    let alive = served.get("/livez").await;
    assert_eq!((alive.code, alive.body.as_str()), (200, "ok\n"));
    served.fake.store.reader().close().await;
    assert_eq!(served.get("/livez").await.code, 200, "the history is another matter");
    served.fake.ticks.store(false, Ordering::Relaxed);
    assert_eq!(served.get("/livez").await.code, 503);
}

#[tokio::test]
async fn programs_get_json() {
    let served = Served::start().await;
    let status: Status = serde_json::from_str(&served.get("/status.json").await.body).unwrap();
    assert_eq!(status.running.iter().map(|bake| bake.id).collect::<Vec<_>>(), [3, 4]);
    let ids = async |query: &str| {
        let reply = served.get(&format!("/history.json{query}")).await;
        assert_eq!(reply.code, 200, "{query}");
        assert!(reply.head.contains("content-type: application/json"), "{}", reply.head);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        body["bakes"].as_array().unwrap().iter().map(|bake| bake["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [5, 4, 3, 2, 6, 1, 7]);
    assert_eq!(ids("?limit=2").await, [5, 4]);
    for query in ["?limit=0", "?limit=1001", "?limit=-1", "?limit=x", "?limit=", "?state=failed"] {
        assert_eq!(served.get(&format!("/history.json{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_reported() {
    let served = Served::start().await;
    served.fake.store.reader().close().await;
    let page = served.get("/").await;
    assert_eq!(page.code, 503);
    assert!(page.body.contains("the history cannot be read"), "{}", page.body);
    for path in
        ["/", "/bake/1", "/schedule/finance", "/history", "/images", "/healthz", "/status.json", "/history.json"]
    {
        let reply = served.get(path).await;
        assert_eq!(reply.code, 503, "{path}");
        assert!(reply.body.contains("the history could not"), "{path}: {}", reply.body);
    }
}
