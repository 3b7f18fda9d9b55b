//! The simulator over real sockets: recorded SDK requests, errors, faults and a restart.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests are not recognised as tests; a failure in them is a failed test"
)]

use std::{
    collections::HashMap,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use imagebaked::{
    domain::clock::{Clock as _, ManualClock, SystemClock},
    sim::{FaultPlan, Options, RunningSimulator, Simulator, SimulatorError},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const APP_STREAMING: &str = "2021-09-01";
const DESKTOPS: &str = "2020-09-30";

fn start_of_tests() -> DateTime<Utc> {
    "2026-11-24T17:37:36Z".parse().unwrap()
}

async fn start(options: Options) -> (RunningSimulator, ManualClock) {
    let clock = ManualClock::at(start_of_tests());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Simulator::start(listener, options, Arc::new(clock.clone())).unwrap(), clock)
}

/// An answer as read from the socket.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn code(&self) -> String {
        self.json()["Code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn exchange(sim: &RunningSimulator, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Answer { status, headers, body: bytes[split + 4..].to_vec() })
}

/// A call to be signed; every part can be falsified.
struct Request {
    method: &'static str,
    action: String,
    version: String,
    query: String,
    body: String,
    date: String,
    nonce: String,
    key_id: String,
    secret: String,
    sent_body: Option<String>,
}

fn request(action: &str, version: &str, params: &[(&str, &str)], now: DateTime<Utc>) -> Request {
    static NONCE: AtomicU32 = AtomicU32::new(0);
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    Request {
        method: "POST",
        action: action.to_owned(),
        version: version.to_owned(),
        query: String::new(),
        body: pairs.join("&"),
        date: now.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        nonce: format!("nonce-{}", NONCE.fetch_add(1, Ordering::Relaxed)),
        key_id: "sim-key-id".to_owned(),
        secret: "sim-key-secret".to_owned(),
        sent_body: None,
    }
}

impl Request {
    fn wire(&self) -> Vec<u8> {
        let hash = hex::encode(Sha256::digest(&self.body));
        let headers = format!(
            "content-type:application/x-www-form-urlencoded\nhost:localhost\nx-acs-action:{}\nx-acs-content-sha256:{hash}\n\
             x-acs-date:{}\nx-acs-signature-nonce:{}\nx-acs-version:{}\n",
            self.action, self.date, self.nonce, self.version
        );
        let signed =
            "content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        let canonical = format!("{}\n/\n{}\n{headers}\n{signed}\n{hash}", self.method, self.query);
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let body = self.sent_body.as_ref().unwrap_or(&self.body);
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut wire = format!("{} /{mark}{} HTTP/1.1\r\n", self.method, self.query);
        for line in headers.lines() {
            let (name, value) = line.split_once(':').unwrap();
            wire += &format!("{name}: {value}\r\n");
        }
        wire += &format!(
            "authorization: ACS3-HMAC-SHA256 Credential={},SignedHeaders={signed},Signature={signature}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.key_id,
            body.len()
        );
        wire.into_bytes()
    }
}

async fn call(sim: &RunningSimulator, clock: &ManualClock, action: &str, params: &[(&str, &str)]) -> Option<Answer> {
    let of_desktops = action.contains("Desktop") || action.starts_with("Describe") && !action.contains("Wuying");
    let version = if of_desktops { DESKTOPS } else { APP_STREAMING };
    exchange(sim, &request(action, version, params, clock.now()).wire()).await
}

const CREATE: &[(&str, &str)] =
    &[("InstanceId", "ecd-sim0003"), ("InstanceType", "CloudDesktop"), ("ImageName", "golden-桌面")];

async fn control(sim: &RunningSimulator, method: &str, path: &str, body: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    exchange(sim, (head + body).as_bytes()).await.unwrap()
}

#[tokio::test]
async fn requests_recorded_from_the_official_sdk_are_accepted() {
    let files = [include_str!("data/acs3-requests.json"), include_str!("data/acs3-more-requests.json")];
    let recorded = files.map(|text| serde_json::from_str::<Value>(text).unwrap()["cases"].as_array().unwrap().clone());
    let mut acted = 0;
    for case in recorded.iter().flatten() {
        let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
        let (sim, clock) = start(Options {
            // Some have filters without effect here.
            lenient: true,
            access_key_id: text("access_key_id"),
            access_key_secret: text("access_key_secret").into(),
            security_token: case["security_token"].as_str().map(Into::into),
            open: true,
            ..Options::default()
        })
        .await;
        clock.set(case["headers"]["x-acs-date"].as_str().unwrap().parse().unwrap());
        let mark = if text("query_string").is_empty() { "" } else { "?" };
        let mut wire = format!(
            "{} {}{mark}{} HTTP/1.1\r\nconnection: close\r\n",
            text("method"),
            text("path"),
            text("query_string")
        );
        for header in case["headers_on_wire"].as_array().unwrap() {
            wire += &format!("{}: {}\r\n", header[0].as_str().unwrap(), header[1].as_str().unwrap());
        }
        wire += &format!("\r\n{}", text("body"));
        let answer = exchange(&sim, wire.as_bytes()).await.unwrap();
        let code = answer.code();
        // Some recorded ids do not exist here. Their signature is accepted, then the id is refused.
        let believed = [
            "",
            "200",
            "success",
            "Image.NotExist",
            "IncorrectDesktopStatus",
            "IncorrectInstanceStatus",
            // The least that the SDK lets one send is less than the cloud takes.
            "MissingSubInstanceId",
            // Sent for their spelling.
            "InvalidBizType",
            "InvalidNextToken",
            "InvalidPageSize",
            "InvalidTagList",
        ];
        assert!(believed.contains(&code.as_str()), "{}: {code}", text("name"));
        acted += usize::from(answer.status == 200);

        let again = exchange(&sim, wire.as_bytes()).await.unwrap();
        assert_eq!(again.code(), "SignatureNonceUsed", "{}", text("name"));
        let spoiled = wire.replacen("/json", "/jsox", 1);
        assert_eq!(exchange(&sim, spoiled.as_bytes()).await.unwrap().code(), "SignatureDoesNotMatch");
        sim.stop().await;
    }
    assert!(acted >= 25, "only {acted} of the recorded calls did anything");
}

#[tokio::test]
async fn false_requests_are_refused_each_for_its_own_reason() {
    let (sim, clock) = start(Options::default()).await;
    let now = clock.now();
    let list = || request("ListImage", APP_STREAMING, &[("PageSize", "10")], now);
    let mut cases: Vec<(&str, u16, Request)> = Vec::new();
    cases.push(("SignatureDoesNotMatch", 400, Request { secret: "wrong".to_owned(), ..list() }));
    cases.push(("SignatureDoesNotMatch", 400, Request { sent_body: Some("PageSize=11".to_owned()), ..list() }));
    cases.push(("InvalidAccessKeyId.NotFound", 404, Request { key_id: "nobody".to_owned(), ..list() }));
    for minutes in [-16, 16] {
        let other = request("ListImage", APP_STREAMING, &[], now + TimeDelta::minutes(minutes));
        cases.push(("InvalidTimeStamp.Expired", 400, other));
    }
    cases.push(("InvalidTimeStamp.Format", 400, Request { date: "yesterday".to_owned(), ..list() }));
    cases.push(("InvalidApi.NotFound", 404, request("ListImages", APP_STREAMING, &[], now)));
    cases.push(("InvalidApi.NotFound", 404, request("ListImage", DESKTOPS, &[], now)));
    cases.push((
        "UnsupportedHTTPMethod",
        400,
        Request { method: "GET", ..request("DeleteImage", APP_STREAMING, &[], now) },
    ));
    cases.push(("MissingImageId", 400, request("DeleteImage", APP_STREAMING, &[], now)));
    for (code, status, request) in cases {
        let answer = exchange(&sim, &request.wire()).await.unwrap();
        assert_eq!((answer.code().as_str(), answer.status), (code, status));
        let error = answer.json();
        assert_eq!(error["HostId"], "localhost");
        assert_eq!(error["RequestId"].as_str().map(str::len), Some(36));
        if code == "SignatureDoesNotMatch" {
            let words = "server StringToSign is [ACS3-HMAC-SHA256\n";
            assert!(error["Message"].as_str().unwrap().contains(words), "{error}");
        }
    }
    let bare = exchange(&sim, b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!((bare.code().as_str(), bare.status), ("MissingAccessKeyId", 400));
    assert_eq!(bare.headers["date"], "Tue, 24 Nov 2026 17:37:36 GMT");
    sim.stop().await;
}

#[tokio::test]
async fn an_image_is_made_listed_and_deleted() {
    let (sim, clock) = start(Options::default()).await;
    let mut params = CREATE.to_vec();
    params.extend([("TagList.1.Key", "env"), ("TagList.1.Value", "测试")]);
    let made = call(&sim, &clock, "CreateImageByInstance", &params).await.unwrap().json();
    assert_eq!((&made["Success"], &made["Code"], &made["Message"]), (&json!(true), &json!("200"), &json!("NULL")));
    let id = made["Data"]["ImageId"].as_str().unwrap();
    assert!(id.starts_with("imgc-"));

    let again = call(&sim, &clock, "CreateImageByInstance", CREATE).await.unwrap();
    assert_eq!((again.code().as_str(), again.status), ("ImageCreateByInstance.TaskExist", 400));
    let early = call(&sim, &clock, "DeleteImage", &[("ImageId", id)]).await.unwrap();
    assert_eq!(early.code(), "InvalidImageOperation.ImageIsCreating");

    for (seconds, status) in [(0, "INIT"), (10, "CREATING"), (20, "AVAILABLE")] {
        clock.advance(TimeDelta::seconds(seconds));
        let list = call(&sim, &clock, "ListImage", &[("ImageId", id)]).await.unwrap().json();
        assert_eq!(list["Data"][0]["Status"], status);
    }
    let by_get = Request {
        method: "GET",
        query: format!("ImageId={id}"),
        ..request("ListImage", APP_STREAMING, &[], clock.now())
    };
    assert_eq!(exchange(&sim, &by_get.wire()).await.unwrap().json()["Count"], 1);
    let by_tag = [("ImageName", "桌面"), ("TagList.1.Key", "env"), ("TagList.1.Value", "测试")];
    let list = call(&sim, &clock, "ListImage", &by_tag).await.unwrap().json();
    assert_eq!((&list["Count"], &list["Data"][0]["GmtCreate"]), (&json!(1), &json!("2026-11-24 17:37:36")));
    assert_eq!(list["Data"][0]["TagList"], json!([{"Key": "env", "Value": "测试"}]));

    assert_eq!(call(&sim, &clock, "DeleteImage", &[("ImageId", id)]).await.unwrap().json()["Data"], json!(true));
    let list = call(&sim, &clock, "ListImage", &[]).await.unwrap().json();
    assert_eq!(list["Count"], 0);
    assert_eq!(sim.state()["images"][0]["status"], "DELETE");
    sim.stop().await;
}

#[tokio::test]
async fn pages_are_whole_and_bounded() {
    let (sim, clock) = start(Options { build_time: Duration::ZERO, ..Options::default() }).await;
    for number in 0..12 {
        let name = format!("n{number}");
        let params = [
            ("InstanceId", "ws-sim0001"),
            ("SubInstanceId", "p-sim0001"),
            ("InstanceType", "WuyingServer"),
            ("ImageName", name.as_str()),
        ];
        assert_eq!(call(&sim, &clock, "CreateImageByInstance", &params).await.unwrap().status, 200);
    }
    let mut names = Vec::new();
    for page in ["1", "2", "3"] {
        let list = call(&sim, &clock, "ListImage", &[("PageNumber", page)]).await.unwrap().json();
        assert_eq!(list["Count"], 12);
        names.extend(list["Data"].as_array().unwrap().iter().map(|row| row["ImageName"].as_str().unwrap().to_owned()));
    }
    let newest_first: Vec<String> = (0..12).rev().map(|number| format!("n{number}")).collect();
    assert_eq!(names, newest_first);
    let refused = call(&sim, &clock, "ListImage", &[("PageSize", "101")]).await.unwrap();
    assert_eq!(refused.code(), "InvalidPageSize");

    let first = call(&sim, &clock, "DescribeDesktops", &[("RegionId", "cn-shanghai"), ("MaxResults", "2")])
        .await
        .unwrap()
        .json();
    let token = first["NextToken"].as_str().unwrap();
    let params = [("RegionId", "cn-shanghai"), ("MaxResults", "2"), ("NextToken", token)];
    let second = call(&sim, &clock, "DescribeDesktops", &params).await.unwrap().json();
    assert_eq!(second["Desktops"][0]["DesktopId"], "ecd-sim0003");
    assert_eq!((second["Desktops"].as_array().unwrap().len(), &second["NextToken"]), (1, &json!("")));
    sim.stop().await;
}

#[tokio::test]
async fn instances_stop_and_start_in_their_time() {
    let (sim, clock) = start(Options::default()).await;
    let stop = [("WuyingServerIdList.1", "ws-sim0001"), ("Force", "True")];
    assert_eq!(call(&sim, &clock, "StopWuyingServer", &stop).await.unwrap().status, 200);
    for (seconds, status) in [(0, "STOPPING"), (5, "STOPPED")] {
        clock.advance(TimeDelta::seconds(seconds));
        let list = call(&sim, &clock, "ListWuyingServer", &[("WuyingServerIdList.1", "ws-sim0001")]).await.unwrap();
        assert_eq!(list.json()["WuyingServerList"][0]["Status"], status);
    }
    assert_eq!(call(&sim, &clock, "StopWuyingServer", &stop).await.unwrap().code(), "IncorrectInstanceStatus");

    call(&sim, &clock, "CreateImageByInstance", CREATE).await.unwrap();
    let desktop = [("RegionId", "cn-shanghai"), ("DesktopId.1", "ecd-sim0003")];
    assert_eq!(call(&sim, &clock, "StartDesktops", &desktop).await.unwrap().status, 200);
    assert_eq!(sim.state()["images"][0]["status"], "CREATE_FAILED");
    sim.stop().await;
}

#[tokio::test]
async fn users_and_images_of_instances_are_listed_where_they_are() {
    let (sim, clock) = start(Options::default()).await;
    for (id, kind) in [("ecd-used", "CloudDesktop"), ("ws-used", "WuyingServer")] {
        let spec = json!({"instance_id": id, "instance_type": kind, "connected": true, "image_id": "imgc-base"});
        assert_eq!(control(&sim, "POST", "/_sim/instances", &spec.to_string()).await.status, 200);
    }
    let desktops = [("RegionId", "cn-shanghai"), ("DesktopId.1", "ecd-used")];
    let row = call(&sim, &clock, "DescribeDesktops", &desktops).await.unwrap().json()["Desktops"][0].clone();
    assert_eq!((&row["ConnectionStatus"], &row["ImageId"]), (&json!("Connected"), &json!("imgc-base")));
    let servers = [("WuyingServerIdList.1", "ws-used")];
    let row = call(&sim, &clock, "ListWuyingServer", &servers).await.unwrap().json()["WuyingServerList"][0].clone();
    assert_eq!((&row["Sessions"][0]["UserId"], &row["ImageId"]), (&json!("sim-user"), &json!("imgc-base")));

    // No user is connected to an instance that does not run.
    call(&sim, &clock, "StopDesktops", &desktops).await.unwrap();
    let row = call(&sim, &clock, "DescribeDesktops", &desktops).await.unwrap().json()["Desktops"][0].clone();
    assert_eq!(row["ConnectionStatus"], "Disconnected");
    control(&sim, "POST", "/_sim/instances", r#"{"instance_id":"ws-used","instance_type":"WuyingServer"}"#).await;
    let row = call(&sim, &clock, "ListWuyingServer", &servers).await.unwrap().json()["WuyingServerList"][0].clone();
    let system = json!("desktopimage-windows-11-64-asp");
    assert_eq!((&row["Sessions"], &row["ImageId"]), (&json!([]), &system));
    sim.stop().await;
}

#[tokio::test]
async fn pools_bundles_and_templates_are_listed_as_the_desktop_service_knows_them() {
    let (sim, clock) = start(Options::default()).await;
    let put = async |what: &str, body: Value| {
        assert_eq!(control(&sim, "POST", &format!("/_sim/{what}"), &body.to_string()).await.status, 200, "{body}");
    };
    let list = async |action: &str, parameters: &[(&str, &str)]| {
        let answer = call(&sim, &clock, action, parameters).await.unwrap();
        assert_eq!(answer.status, 200, "{action}: {}", answer.json());
        answer.json()
    };
    put("images", json!({"image_id": "imgc-1", "image_name": "golden", "desktop_image_id": "m-1"})).await;
    for n in 0..3 {
        put("pools", json!({"pool_id": format!("dg-{n}"), "image_id": "imgc-1"})).await;
        put("templates", json!({"template_id": format!("t-{n}"), "image_id": "m-1"})).await;
    }
    put("bundles", json!({"bundle_id": "b-1", "image_id": "m-1", "region": "cn-beijing"})).await;
    put("bundles", json!({"bundle_id": "b-2", "image_id": "m-2", "image_name": "other", "multi_session": true})).await;
    let pooled =
        json!({"instance_id": "ecd-p", "instance_type": "CloudDesktop", "image_id": "imgc-1", "pool_id": "dg-0"});
    put("instances", pooled).await;

    // The next token leads from page to page. The row has an id of the desktop service and no name.
    let first = list("DescribeDesktopGroups", &[("RegionId", "cn-shanghai"), ("MaxResults", "2")]).await;
    assert_eq!(first["DesktopGroups"][0]["ImageId"], "m-1");
    assert_eq!((first["DesktopGroups"][0].get("ImageName"), first.get("TotalCount")), (None, None));
    let token = first["NextToken"].as_str().unwrap();
    let second = list("DescribeDesktopGroups", &[("RegionId", "cn-shanghai"), ("NextToken", token)]).await;
    assert_eq!((&second["DesktopGroups"][0]["DesktopGroupId"], &second["NextToken"]), (&json!("dg-2"), &json!("")));
    let filtered = list("DescribeDesktopGroups", &[("RegionId", "cn-shanghai"), ("ImageId.1", "imgc-1")]).await;
    assert_eq!(filtered["DesktopGroups"], json!([]));

    // Templates have page numbers and no region.
    let page =
        list("DescribeTemplates", &[("ProductType", "CloudDesktop"), ("PageSize", "2"), ("PageNumber", "2")]).await;
    assert_eq!((&page["TotalCount"], &page["Data"][0]["TemplateId"]), (&json!(3), &json!("t-2")));
    assert_eq!((&page["Success"], &page["Code"]), (&json!(true), &json!("success")));
    assert_eq!(list("DescribeTemplates", &[("ImageId", "m-9")]).await["TotalCount"], 0);

    // Bundles for several sessions are left out by default. Bundles of other regions are never listed.
    let ids = |answer: &Value| -> Vec<String> {
        answer["Bundles"].as_array().unwrap().iter().map(|row| row["BundleId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&list("DescribeBundles", &[("RegionId", "cn-shanghai")]).await), Vec::<String>::new());
    let several = ("SupportMultiSession", "true");
    assert_eq!(ids(&list("DescribeBundles", &[("RegionId", "cn-shanghai"), several]).await), ["b-2"]);
    let both = list("DescribeBundles", &[("RegionId", "cn-beijing"), several]).await;
    assert_eq!((ids(&both).len(), &both["Bundles"][0]["ImageName"]), (2, &json!("golden")));
    assert_eq!(
        list("DescribeBundles", &[("RegionId", "cn-beijing"), ("BundleType", "SYSTEM")]).await["Bundles"],
        json!([])
    );

    // Desktops of pools are left out by default. A desktop may name its image.
    let desktops = [("RegionId", "cn-shanghai"), ("DesktopId.1", "ecd-p")];
    assert_eq!(list("DescribeDesktops", &desktops).await["TotalCount"], 0);
    let row = list("DescribeDesktops", &[&desktops[..], &[("FilterDesktopGroup", "false")]].concat()).await;
    assert_eq!((&row["Desktops"][0]["ImageId"], &row["Desktops"][0]["ImageName"]), (&json!("m-1"), &json!("golden")));
    let images = list("DescribeImages", &[("RegionId", "cn-shanghai"), ("ImageName", "golden")]).await;
    assert_eq!((&images["Images"][0]["ImageId"], &images["Images"][0]["Name"]), (&json!("m-1"), &json!("golden")));

    for (action, parameters) in [
        ("DescribeBundles", &[][..]),
        ("DescribeDesktopGroups", &[("RegionId", "cn-shanghai"), ("MaxResults", "101")]),
        ("DescribeTemplates", &[("ProductType", "CloudApp")]),
        ("DescribeDesktops", &[("RegionId", "cn-shanghai"), ("FilterDesktopGroup", "perhaps")]),
    ] {
        assert_eq!(call(&sim, &clock, action, parameters).await.unwrap().status, 400, "{action}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn an_image_in_use_is_not_deleted_and_templates_go_with_theirs() {
    let (sim, clock) = start(Options::default()).await;
    let image = json!({"image_id": "imgc-1", "image_name": "golden", "desktop_image_id": "m-1"});
    control(&sim, "POST", "/_sim/images", &image.to_string()).await;
    let delete = async || call(&sim, &clock, "DeleteImage", &[("ImageId", "imgc-1")]).await.unwrap();
    control(&sim, "POST", "/_sim/templates", r#"{"template_id":"t-1","image_id":"imgc-1"}"#).await;
    for (control_path, user, code) in [
        ("pools", json!({"pool_id": "dg-1", "image_id": "m-1"}), "ImageNotAllowDelete"),
        ("bundles", json!({"bundle_id": "b-1", "image_id": "m-1"}), "ImageDeleteFailed.NotAllow"),
        ("groups", json!({"group_id": "aig-1", "image_id": "imgc-1"}), "ImageDeleteFailed.NotAllow"),
    ] {
        let path = format!("/_sim/{control_path}");
        control(&sim, "POST", &path, &user.to_string()).await;
        assert_eq!(delete().await.code(), code, "{user}");
        let mut gone = user.clone();
        gone["image_id"] = json!("");
        control(&sim, "POST", &path, &gone.to_string()).await;
    }
    let desktop = |status: &str| {
        json!({"instance_id": "ecd-u", "instance_type": "CloudDesktop", "image_id": "m-1", "status": status})
            .to_string()
    };
    control(&sim, "POST", "/_sim/instances", &desktop("Running")).await;
    assert_eq!(delete().await.code(), "ImageDeleteFailed.NotAllow");
    control(&sim, "POST", "/_sim/deletes_in_use", "true").await;
    assert_eq!(delete().await.status, 200);
    control(&sim, "POST", "/_sim/images", r#"{"image_id":"imgc-1","deleted":false}"#).await;
    control(&sim, "POST", "/_sim/deletes_in_use", "false").await;
    control(&sim, "POST", "/_sim/templates", r#"{"template_id":"t-2","image_id":"m-1"}"#).await;
    control(&sim, "POST", "/_sim/instances", &desktop("Deleted")).await;
    assert_eq!(delete().await.status, 200);
    assert_eq!(sim.state()["templates"], json!([]));
    sim.stop().await;
}

#[tokio::test]
async fn refused_rights_name_what_is_missing() {
    let plan = "[[fault]]\naction = \"DescribeBundles\"\ncode = \"Forbidden.RAM\"\n\n\
                [[fault]]\naction = \"DeleteImage\"\nstatus = 403\n\n[[fault]]\naction = \"ListImage\"\nstatus = 500";
    let faults = FaultPlan::parse(plan).unwrap();
    let (sim, clock) = start(Options { faults, ..Options::default() }).await;
    let denied = async |action: &str| call(&sim, &clock, action, &[("RegionId", "cn-shanghai")]).await.unwrap().json();
    assert_eq!(denied("DescribeBundles").await["AccessDeniedDetail"]["AuthAction"], "ecd:DescribeBundles");
    let detail = denied("DeleteImage").await["AccessDeniedDetail"].clone();
    assert_eq!(detail["AuthAction"], "appstreaming:DeleteImage");
    assert_eq!(detail["NoPermissionType"], "ImplicitDeny");
    assert_eq!(denied("ListImage").await.get("AccessDeniedDetail"), None);
    sim.stop().await;
}

#[tokio::test]
async fn lists_are_false_by_the_fault_plan() {
    let (sim, clock) = start(Options::default()).await;
    for (lie, rows, count, token) in [
        ("null", json!(null), 3, ""),
        ("empty", json!([]), 3, ""),
        ("wrong_type", json!("see the next page"), 3, ""),
        ("wrong_rows", json!([1, 2]), 3, ""),
    ] {
        let plan = format!(r#"{{"fault":[{{"action":"DescribeDesktops","list":"{lie}"}}]}}"#);
        assert_eq!(control(&sim, "POST", "/_sim/faults", &plan).await.status, 200);
        let report = call(&sim, &clock, "DescribeDesktops", &[("RegionId", "cn-shanghai")]).await.unwrap().json();
        assert_eq!(
            (&report["Desktops"], &report["TotalCount"], &report["NextToken"]),
            (&rows, &json!(count), &json!(token))
        );
    }
    let mut report = Vec::new();
    for lie in ["missing", "short", "no_ids", "no_image_ids"] {
        let plan = format!(r#"{{"fault":[{{"action":"ListWuyingServer","list":"{lie}"}}]}}"#);
        assert_eq!(control(&sim, "POST", "/_sim/faults", &plan).await.status, 200);
        report.push(call(&sim, &clock, "ListWuyingServer", &[]).await.unwrap().json());
    }
    assert_eq!(report[0].get("WuyingServerList"), None);
    assert_eq!((report[1]["WuyingServerList"].as_array().unwrap().len(), &report[1]["TotalCount"]), (1, &json!(2)));
    assert_eq!(report[2]["WuyingServerList"][0].get("WuyingServerId"), None);
    assert_eq!(report[3]["WuyingServerList"][0].get("ImageId"), None);
    // An empty list can be false, too.
    let plan =
        r#"{"fault":[{"action":"ListImage","list":"empty"},{"action":"ListImage","list":"same_page","times":2}]}"#;
    control(&sim, "POST", "/_sim/faults", plan).await;
    assert_eq!(call(&sim, &clock, "ListImage", &[]).await.unwrap().json()["Count"], 1);
    control(&sim, "POST", "/_sim/images", r#"{"image_id":"imgc-1"}"#).await;
    for page in ["1", "7"] {
        let report = call(&sim, &clock, "ListImage", &[("PageNumber", page)]).await.unwrap().json();
        assert_eq!((&report["Data"][0]["ImageId"], &report["Count"]), (&json!("imgc-1"), &json!(1001)));
    }
    for plan in [
        r#"{"fault":[{"action":"DescribeBundles","list":"empty"}]}"#,
        r#"{"fault":[{"action":"ListImage","list":"same_token"}]}"#,
        r#"{"fault":[{"action":"StopDesktops","list":"null"}]}"#,
    ] {
        assert_eq!(control(&sim, "POST", "/_sim/faults", plan).await.status, 400, "{plan}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn too_many_calls_get_a_retry_after() {
    let (sim, clock) = start(Options { requests_per_second: Some(2), ..Options::default() }).await;
    clock.advance(TimeDelta::milliseconds(400));
    for expected in [200, 200, 429] {
        let answer = call(&sim, &clock, "ListImage", &[]).await.unwrap();
        assert_eq!(answer.status, expected);
        if expected == 429 {
            assert_eq!(answer.code(), "Throttling.User");
            assert_eq!(answer.headers["x-acs-retry-after"], "600");
            assert!(answer.headers["x-ratelimit-user"].starts_with("Limit:2,Remain:0,TimeLeft:600,Reset:"));
        }
    }
    clock.advance(TimeDelta::milliseconds(600));
    assert_eq!(call(&sim, &clock, "ListImage", &[]).await.unwrap().status, 200);
    sim.stop().await;
}

#[tokio::test]
async fn faults_meet_the_calls_they_name() {
    let create = "[[fault]]\naction = \"CreateImageByInstance\"\n";
    // The answer that the caller gets, and the number of images after it.
    let cases: &[(&str, Option<u16>, usize)] = &[
        ("drop = \"before\"", None, 0),
        ("drop = \"after\"", None, 1),
        ("code = \"InternalError\"", Some(400), 0),
        ("code = \"InternalError\"\nact = true\nstatus = 500", Some(500), 1),
        ("code = \"ServiceUnavailable\"\nlate_image = \"30s\"", Some(503), 1),
        ("body = \"not_json\"\nstatus = 502", Some(502), 1),
        ("body = \"empty\"", Some(200), 1),
        ("body = \"truncate\"", Some(200), 1),
        ("success_false = true\ncode = \"ExceedBuilderQuota\"", Some(200), 0),
        ("body = \"huge\"", Some(200), 1),
        ("delay = \"10ms\"", Some(200), 1),
        ("code = \"Throttling\"\nheaders = { x-acs-retry-after = \"700\" }", Some(429), 0),
    ];
    for (keys, status, images) in cases {
        let (sim, clock) = start(Options::default()).await;
        let taken = control(&sim, "POST", "/_sim/faults", &format!("{create}{keys}")).await;
        assert_eq!(taken.status, 200, "{}", String::from_utf8_lossy(&taken.body));
        let answer = call(&sim, &clock, "CreateImageByInstance", CREATE).await;
        assert_eq!(answer.as_ref().map(|answer| answer.status), *status, "{keys}");
        assert_eq!(sim.state()["images"].as_array().unwrap().len(), *images, "{keys}");
        if keys.contains("truncate") {
            let answer = answer.as_ref().unwrap();
            assert!(answer.body.len() < answer.headers["content-length"].parse().unwrap());
        }
        if keys.contains("huge") {
            assert!(answer.as_ref().unwrap().body.len() > 64 << 20);
        }
        if keys.contains("retry-after") {
            assert_eq!(answer.as_ref().unwrap().headers["x-acs-retry-after"], "700");
        }
        if keys.contains("late_image") {
            assert_eq!(call(&sim, &clock, "ListImage", &[]).await.unwrap().json()["Count"], 0);
            clock.advance(TimeDelta::seconds(30));
            assert_eq!(call(&sim, &clock, "ListImage", &[]).await.unwrap().json()["Count"], 1);
        }
        assert_eq!(control(&sim, "GET", "/_sim/faults", "").await.json(), json!({"fault": []}));
        assert!(sim.faults_are_spent());
        sim.stop().await;
    }
}

#[tokio::test]
async fn an_image_ends_by_the_fault_plan() {
    for (deletion, status, listed) in
        [("CREATE_FAILED", "CREATE_FAILED", 1), ("STUCK", "CREATING", 1), ("VANISH", "VANISHED", 0), ("ODD", "ODD", 1)]
    {
        let plan = json!({"fault": [{"action": "CreateImageByInstance", "image": deletion}]}).to_string();
        let (sim, clock) = start(Options { faults: FaultPlan::parse(&plan).unwrap(), ..Options::default() }).await;
        assert_eq!(call(&sim, &clock, "CreateImageByInstance", CREATE).await.unwrap().status, 200);
        clock.advance(TimeDelta::seconds(60));
        assert_eq!(call(&sim, &clock, "ListImage", &[]).await.unwrap().json()["Count"], listed, "{deletion}");
        assert_eq!(sim.state()["images"][0]["status"], status);
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_plan_is_refused_with_its_place() {
    let (sim, _clock) = start(Options::default()).await;
    let refused = control(&sim, "POST", "/_sim/faults", "[[fault]]\naction = \"ListImage\"\ncoed = \"x\"").await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].as_str().unwrap().contains("line 3"), "{}", refused.json());
    sim.stop().await;
}

#[tokio::test]
async fn business_failures_can_come_as_success_false() {
    let (sim, clock) = start(Options { failures_in_success: true, ..Options::default() }).await;
    let answer = call(&sim, &clock, "DeleteImage", &[("ImageId", "imgc-none")]).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (200, "Image.NotExist"));
    assert_eq!(answer.json()["Success"], json!(false));
    sim.stop().await;
}

#[tokio::test]
async fn the_state_file_brings_everything_back_and_a_damaged_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let options = || Options { state: Some(path.clone()), ..Options::default() };
    let (sim, clock) = start(options()).await;
    call(&sim, &clock, "CreateImageByInstance", CREATE).await.unwrap();
    control(&sim, "POST", "/_sim/instances", r#"{"instance_id":"ws-new","instance_type":"WuyingServer"}"#).await;
    // The file as a kill at this moment would leave it, before the orderly stop writes.
    let killed = std::fs::read(&path).unwrap();
    let before = sim.state();
    sim.stop().await;
    std::fs::write(&path, killed).unwrap();

    let (sim, clock) = start(options()).await;
    assert_eq!(sim.state()["images"], before["images"]);
    assert_eq!(sim.state()["instances"], before["instances"]);
    assert_eq!(sim.state()["calls"], before["calls"]);
    clock.advance(TimeDelta::seconds(30));
    call(&sim, &clock, "CreateImageByInstance", CREATE).await.unwrap();
    let images = sim.state()["images"].clone();
    assert_ne!(images[0]["image_id"], images[1]["image_id"]);
    sim.stop().await;

    std::fs::write(&path, "{\"format\":1,").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = Simulator::start(listener, options(), Arc::new(clock)).unwrap_err();
    assert!(matches!(refused, SimulatorError::State(_)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"format\":1,");
}

/// Serves until standard input ends, for `tests/sdk/conformance.py`; prints the address first. Run with
/// `cargo test --test simulator -- --ignored --nocapture serve`.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "serves until standard input ends"]
async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options =
        Options { build_time: Duration::from_secs(2), power_time: Duration::from_secs(1), ..Options::default() };
    let sim = Simulator::start(listener, options, Arc::new(SystemClock)).unwrap();
    println!("listening on {}", sim.addr());
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    read.await.unwrap().unwrap();
    sim.stop().await;
}

#[tokio::test]
async fn desktops_are_put_into_maintenance_by_the_documented_parameters_alone() {
    let (sim, clock) = start(Options::default()).await;
    let set = [("RegionId", "cn-shanghai"), ("DesktopIds.1", "ecd-sim0001"), ("Mode", "ENTER")];
    for (params, code) in [
        (vec![set[1], set[2]], "MissingRegionId"),
        (vec![set[0], set[2]], "MissingDesktopIds"),
        (vec![set[0], set[1]], "MissingMode"),
        (vec![set[0], set[1], ("Mode", "ON")], "InvalidMode"),
        (vec![set[0], ("DesktopIds.1", "ecd-none"), set[2]], "InvalidDesktopId.NotFound"),
        (vec![set[0], ("DesktopIds.1", "ws-sim0001"), set[2]], "InvalidDesktopId.NotFound"),
        (vec![("RegionId", "cn-beijing"), set[1], set[2]], "InvalidDesktopId.NotFound"),
    ] {
        let answer = call(&sim, &clock, "SetDesktopMaintenance", &params).await.unwrap();
        assert_eq!(answer.code(), code, "{params:?}");
    }
    for (mode, shown) in [("enter", "Maintenance"), ("EXIT", "NoFlag")] {
        let params = [set[0], set[1], ("Mode", mode)];
        let answer = call(&sim, &clock, "SetDesktopMaintenance", &params).await.unwrap();
        assert_eq!((answer.status, answer.json().as_object().unwrap().len()), (200, 1), "only a RequestId");
        let desktops = [set[0], ("DesktopId.1", "ecd-sim0001")];
        let row = call(&sim, &clock, "DescribeDesktops", &desktops).await.unwrap().json()["Desktops"][0].clone();
        assert_eq!((&row["ManagementFlag"], &row["ManagementFlags"]), (&json!(shown), &json!([shown])));
    }
    sim.stop().await;
}
