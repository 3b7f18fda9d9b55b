//! The client against a scripted server on loopback that sends the bad answers of real servers, proxies and networks.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{TimeZone, Utc};
use imagebaked::{
    adapters::cloud::{
        CloudClient, CloudOptions, Environment,
        acs3::{self, Authorization},
        actions::{
            CreateImageByInstance, DeleteImage, DescribeBundles, DescribeDesktopGroups, DescribeDesktops,
            DescribeImages, DescribeTemplates, ListAppInstanceGroup, ListImage, ListWuyingServer,
            StartTaskForDistributeImage, StopDesktops,
        },
        credentials::{CredentialProvider, KeyHosts, SourceName},
        http::Http,
        random_nonces,
    },
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            credential_source::CredentialSource,
            instance_state::InstanceType,
        },
        clock::ManualClock,
    },
};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The server's reaction to one request.
#[derive(Clone)]
enum Reply {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends nothing and keeps the connection open.
    Silence,
}

/// Answers each request with the next reply and repeats the last one; records the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                let n = kept.lock().unwrap().len();
                kept.lock().unwrap().push(request);
                match replies[n.min(replies.len() - 1)].clone() {
                    Reply::Raw(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Reply::Silence => drop(tokio::spawn(async move {
                        let mut rest = Vec::new();
                        let _ = stream.read_to_end(&mut rest).await;
                    })),
                }
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(n > 0, "the request ended in its head");
            continue;
        };
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= length || n == 0 {
            return text;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn http(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    Reply::Raw(format!("{head}{body}").into_bytes())
}

fn client(url: &str) -> CloudClient {
    client_with(url, None, Duration::from_secs(10))
}

fn client_with(url: &str, token: Option<&'static str>, timeout: Duration) -> CloudClient {
    let options = CloudOptions {
        endpoint: Some(url.to_owned()),
        timeout,
        requests_per_second: 1000.0,
        ..CloudOptions::default()
    };
    let environment = Environment::read(|name| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("made-up-id".to_owned()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("made-up-secret".to_owned()),
        "ALIBABA_CLOUD_SECURITY_TOKEN" => token.map(str::to_owned),
        _ => None,
    });
    let clock = ManualClock::at(Utc.with_ymd_and_hms(2026, 3, 1, 2, 3, 4).unwrap());
    CloudClient::new(&options, environment, Arc::new(clock), Arc::new(|| "nonce-1".to_owned())).unwrap()
}

fn create() -> CreateImageByInstance {
    CreateImageByInstance {
        image_name: "win 11".to_owned(),
        description: None,
        instance_id: "ecd-1".into(),
        sub_instance_id: None,
        instance_type: InstanceType::CloudDesktop,
        auto_clean_userdata: Some(true),
        copy_profile: None,
        disk_type: None,
        biz_type: None,
        product_type: None,
        tags: BTreeMap::from([("a b".to_owned(), "c+d".to_owned())]),
    }
}

async fn refused_create(reply: Reply) -> ApiError {
    client(&Server::start(vec![reply]).await.url).create_image(&create()).await.unwrap_err()
}

async fn refused_list(reply: Reply) -> ApiError {
    client(&Server::start(vec![reply]).await.url).list_images(&ListImage::default()).await.unwrap_err()
}

fn gist(error: &ApiError) -> (ErrorClass, &str, Option<u16>) {
    (error.class, error.code.as_deref().unwrap_or("-"), error.http_status)
}

#[tokio::test]
async fn a_created_image_comes_with_everything_the_answer_holds() {
    let body = r#"{"Data":{"ImageId":"imgc-1","VersionId":"iv-1","TaskId":"tid-1"},"Success":true,"Code":200,"Message":"NULL","RequestId":"R-1"}"#;
    let server = Server::start(vec![http(200, "date: Sun, 01 Mar 2026 02:03:05 GMT\r\n", body)]).await;
    let answer =
        client_with(&server.url, Some("made-up-token"), Duration::from_secs(10)).create_image(&create()).await.unwrap();
    assert_eq!(answer.value.image_id.as_str(), "imgc-1");
    assert_eq!(answer.value.version_id.as_deref(), Some("iv-1"));
    assert_eq!(answer.value.task_id.as_deref(), Some("tid-1"));
    assert_eq!((answer.request_id.as_deref(), answer.code.as_deref()), (Some("R-1"), Some("200")));
    assert_eq!((answer.success, answer.message.as_deref()), (Some(true), Some("NULL")));
    assert_eq!(answer.server_date, Some(Utc.with_ymd_and_hms(2026, 3, 1, 2, 3, 5).unwrap()));

    verify(&server.requests()[0], &["content-type", "x-acs-accesskey-id", "x-acs-security-token"]);
}

#[tokio::test]
async fn desktop_calls_have_no_body_and_no_content_type() {
    let server = Server::start(vec![http(200, "", r#"{"RequestId":"R"}"#)]).await;
    let stop = StopDesktops { region: "cn-hangzhou".to_owned(), ids: vec!["ecd-1".into()], stopped_mode: None };
    client(&server.url).stop_desktops(&stop).await.unwrap();
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /?DesktopId.1=ecd-1&RegionId=cn-hangzhou HTTP/1.1"), "{request}");
    assert_eq!(header(request, "content-type"), None);
    verify(request, &[]);
}

/// Verifies the signature of a request as a server does: from the bytes sent, by the headers listed as signed.
fn verify(request: &str, also_signed: &[&str]) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let query = acs3::decode_pairs(target.split_once('?').map_or("", |(_, query)| query));
    let authorization = Authorization::parse(header(head, "authorization").unwrap()).unwrap();
    let common = ["accept", "host", "user-agent", "x-acs-action", "x-acs-content-sha256", "x-acs-date"];
    for name in common.iter().chain(&["x-acs-signature-nonce", "x-acs-version"]).chain(also_signed) {
        assert!(authorization.signed_headers.iter().any(|signed| signed == name), "{name} is not signed");
    }
    let signed: Vec<&str> = authorization.signed_headers.iter().map(String::as_str).collect();
    let headers: Vec<(String, String)> = signed
        .iter()
        .map(|name| ((*name).to_owned(), header(head, name).expect("a signed header is sent").to_owned()))
        .collect();
    let sha256 = acs3::sha256_hex(body.as_bytes());
    assert_eq!(header(head, "x-acs-content-sha256"), Some(sha256.as_str()));
    assert_eq!(header(head, "x-acs-date"), Some("2026-03-01T02:03:04Z"));
    let canonical = acs3::canonical_request("POST", "/", &query, &headers, &signed, &sha256);
    assert_eq!(authorization.signature, acs3::sign("made-up-secret", &acs3::string_to_sign(&canonical)));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&url).create_image(&create()).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Transient, "ConnectFailed", None));
    assert!(error.message.contains("refused"), "{}", error.message);
}

#[tokio::test]
async fn a_lost_answer_is_unclear_for_what_would_double_and_transient_for_the_rest() {
    let cut = Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Data\":".to_vec());
    for (reply, code) in [(cut, "ConnectionLost"), (Reply::Raw(Vec::new()), "ConnectionLost")] {
        assert_eq!(gist(&refused_create(reply.clone()).await), (ErrorClass::Unclear, code, None));
        assert_eq!(gist(&refused_list(reply).await), (ErrorClass::Transient, code, None));
    }
    let server = Server::start(vec![Reply::Silence]).await;
    let impatient = client_with(&server.url, None, Duration::from_millis(300));
    let error = impatient.create_image(&create()).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Unclear, "Timeout", None));
    let error = impatient.list_images(&ListImage::default()).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Transient, "Timeout", None));
    assert_eq!(server.requests().len(), 2, "each call is sent once");
}

#[tokio::test]
async fn answers_that_are_no_json_keep_their_status() {
    let html = "<html>Bad gateway</html>";
    assert_eq!(gist(&refused_create(http(502, "", html)).await), (ErrorClass::Unclear, "AnswerNotJson", Some(502)));
    assert_eq!(gist(&refused_list(http(502, "", html)).await), (ErrorClass::Transient, "AnswerNotJson", Some(502)));
    assert_eq!(gist(&refused_create(http(200, "", html)).await), (ErrorClass::Unclear, "AnswerNotJson", Some(200)));
    assert_eq!(
        gist(&refused_create(http(200, "", "{\"Data\":")).await),
        (ErrorClass::Unclear, "AnswerNotJson", Some(200))
    );
    assert_eq!(gist(&refused_list(http(403, "", "")).await), (ErrorClass::Transient, "AnswerNotJson", Some(403)));
    let redirect = http(302, "location: http://127.0.0.1:1/\r\n", "");
    assert_eq!(gist(&refused_create(redirect).await), (ErrorClass::Unclear, "AnswerNotJson", Some(302)));
    let keyless = http(401, "", r#"{"Code":"InvalidAccessKeyId.NotFound","Message":"who are you?"}"#);
    assert_eq!(gist(&refused_create(keyless.clone()).await), (ErrorClass::Unclear, "AnswerNotFromApi", Some(401)));
    assert_eq!(gist(&refused_list(keyless).await), (ErrorClass::Transient, "AnswerNotFromApi", Some(401)));
}

#[tokio::test]
async fn a_proxy_s_delay_is_honoured_although_its_answer_is_not_the_api_s() {
    let limited = http(429, "retry-after: 1\r\n", "<html>slow down</html>");
    let server = Server::start(vec![limited, page("", 0..1)]).await;
    let client = client(&server.url);
    let error = client.list_images(&ListImage::default()).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    let started = std::time::Instant::now();
    client.list_images(&ListImage::default()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let long = |bytes: usize| http(200, "", &format!("{{\"RequestId\":\"R\",\"x\":\"{}\"}}", "a".repeat(bytes)));
    let error = refused_create(long(1024 * 1024)).await;
    assert_eq!(gist(&error), (ErrorClass::Unclear, "AnswerTooLarge", Some(200)));
    // A list may be longer than this. The answer fails because it is no list.
    assert_eq!(gist(&refused_list(long(1024 * 1024)).await), (ErrorClass::Transient, "ListIncomplete", Some(200)));
    assert_eq!(gist(&refused_list(long(8 * 1024 * 1024)).await), (ErrorClass::Transient, "AnswerTooLarge", Some(200)));
}

#[tokio::test]
async fn a_success_without_its_image_is_unclear() {
    let incomplete = http(200, "", r#"{"Success":true,"Code":"200","RequestId":"R-2"}"#);
    let error = refused_create(incomplete).await;
    assert_eq!(gist(&error), (ErrorClass::Unclear, "AnswerIncomplete", Some(200)));
    assert_eq!(error.request_id.as_deref(), Some("R-2"));
}

#[tokio::test]
async fn http_200_can_be_an_error() {
    let body = r#"{"Success":false,"Code":"ExceedBuilderQuota","Message":"The maximum\nis reached.","RequestId":"R"}"#;
    let error = refused_create(http(200, "", body)).await;
    assert_eq!(gist(&error), (ErrorClass::Busy, "ExceedBuilderQuota", Some(200)));
    assert_eq!(error.message, "The maximum is reached.");
    // DescribeTemplates has a code of its own for success.
    let good = http(200, "", r#"{"Code":"success","RequestId":"R","TotalCount":0,"Data":[]}"#);
    let templates = client(&Server::start(vec![good]).await.url).list_all(&DescribeTemplates::default()).await;
    assert_eq!(templates.unwrap(), []);
    let bare = refused_create(http(200, "", r#"{"Success":false,"Code":200,"RequestId":"R"}"#)).await;
    assert_eq!(gist(&bare), (ErrorClass::Unclear, "HttpStatus", Some(200)));
}

#[tokio::test]
async fn codes_go_before_statuses() {
    let body = |code: &str| format!(r#"{{"Code":"{code}","Message":"m","RequestId":"R"}}"#);
    let fault = http(400, "", &body("InternalError"));
    assert_eq!(gist(&refused_create(fault.clone()).await), (ErrorClass::Unclear, "InternalError", Some(400)));
    assert_eq!(gist(&refused_list(fault).await), (ErrorClass::Transient, "InternalError", Some(400)));
    let no_key = http(404, "", &body("InvalidAccessKeyId.NotFound"));
    assert_eq!(gist(&refused_create(no_key).await), (ErrorClass::Credential, "InvalidAccessKeyId.NotFound", Some(404)));
    let unavailable = http(503, "", &body("ServiceUnavailable"));
    assert_eq!(gist(&refused_create(unavailable).await), (ErrorClass::Unclear, "ServiceUnavailable", Some(503)));
    assert_eq!(gist(&refused_create(http(400, "", &body("Brand.New"))).await).0, ErrorClass::Permanent);
}

#[tokio::test]
async fn the_server_s_own_delay_is_passed_on_and_holds_the_next_call() {
    let throttled =
        http(429, "x-acs-retry-after: 300\r\n", r#"{"Code":"Throttling.User","Message":"m","RequestId":"R"}"#);
    let server = Server::start(vec![throttled, http(200, "", r#"{"Data":true,"Success":true,"RequestId":"R"}"#)]).await;
    let client = client(&server.url);
    let delete = DeleteImage { image_id: "imgc-1".into() };
    let error = client.delete_image(&delete).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Transient, "Throttling.User", Some(429)));
    assert_eq!(error.retry_after, Some(Duration::from_millis(300)));

    let started = std::time::Instant::now();
    assert_eq!(client.delete_image(&delete).await.unwrap().value, Some(true));
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_distribution_may_have_a_number_for_a_code() {
    let server =
        Server::start(vec![http(200, "", r#"{"Data":"tid-9","Code":200,"Success":"true","RequestId":"R"}"#)]).await;
    let call = StartTaskForDistributeImage {
        image_id: "imgc-1".into(),
        version_id: None,
        destination_regions: vec!["cn-beijing".to_owned()],
        source_region: None,
        product_type: None,
    };
    let answer = client(&server.url).distribute_image(&call).await.unwrap();
    assert_eq!((answer.value.as_str(), answer.success), ("tid-9", Some(true)));
}

fn page(count: &str, ids: std::ops::Range<u32>) -> Reply {
    let rows: Vec<String> = ids.map(|id| format!(r#"{{"ImageId":"imgc-{id}","Status":"AVAILABLE"}}"#)).collect();
    http(200, "", &format!(r#"{{{count}"Data":[{}],"Success":true,"RequestId":"R"}}"#, rows.join(",")))
}

#[tokio::test]
async fn all_pages_are_read_and_a_row_that_moved_counts_once() {
    let count = r#""Count":150,"#;
    let server = Server::start(vec![page(count, 0..100), page(count, 99..149), page(count, 149..150)]).await;
    let images = client(&server.url).list_all_images(&ListImage::default()).await.unwrap();
    assert_eq!(images.len(), 150);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].ends_with("PageNumber=2&PageSize=100"), "{}", requests[1]);

    // Without a count a short page may not be the last one. Only an empty page is the end.
    let server = Server::start(vec![page("", 0..50), page("", 50..51), page("", 51..51)]).await;
    assert_eq!(client(&server.url).list_all_images(&ListImage::default()).await.unwrap().len(), 51);
}

#[tokio::test]
async fn a_list_that_changed_while_it_was_read_is_read_again() {
    let (more, less) = (r#""Count":150,"#, r#""Count":149,"#);
    let moved = [page(more, 0..100), page(less, 101..150)];
    let whole = [page(less, 1..101), page(less, 101..150)];
    let server = Server::start([moved, whole].concat()).await;
    assert_eq!(client(&server.url).list_all_images(&ListImage::default()).await.unwrap().len(), 149);

    // The client gives up after a bound.
    let growing: Vec<Reply> =
        (0..50).map(|n| page(&format!(r#""Count":{},"#, 200 + n), n * 100..n * 100 + 100)).collect();
    let server = Server::start(growing).await;
    let error = client(&server.url).list_all_images(&ListImage::default()).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Transient, "ListIncomplete", Some(200)));
    assert_eq!(server.requests().len(), 6);
}

/// The body with the element that every answer of the API has.
fn of_api(body: &str) -> String {
    body.replacen('{', "{\"RequestId\":\"R\",", 1)
}

/// A false list is an error for each call that lists, and the client does not follow it without end.
#[tokio::test]
async fn a_list_without_its_rows_is_neither_empty_nor_endless() {
    let count = |name: &str, n: usize| if name.is_empty() { String::new() } else { format!(r#""{name}":{n},"#) };
    for (rows, total, id) in [
        ("Data", "Count", "ImageId"),
        ("WuyingServerList", "TotalCount", "WuyingServerId"),
        ("AppInstanceGroupModels", "TotalCount", "AppInstanceGroupId"),
        ("Data", "TotalCount", "TemplateId"),
        ("Desktops", "TotalCount", "DesktopId"),
        ("DesktopGroups", "", "DesktopGroupId"),
        ("Bundles", "", "BundleId"),
        ("Images", "", "ImageId"),
    ] {
        let one = format!(r#"{{"{id}":"x-1"}}"#);
        let mut lies = vec![
            ("null", format!(r#"{{{}"{rows}":null}}"#, count(total, 1))),
            ("missing", format!(r#"{{{}"Success":true}}"#, count(total, 1))),
            ("a text", format!(r#"{{{}"{rows}":"none"}}"#, count(total, 1))),
            ("an object", format!(r#"{{{}"{rows}":{{"Row":[{one}]}}}}"#, count(total, 1))),
            ("numbers", format!(r#"{{{}"{rows}":[1]}}"#, count(total, 1))),
            ("no id", format!(r#"{{{}"{rows}":[{{"ImageName":"n"}}]}}"#, count(total, 1))),
            ("an empty id", format!(r#"{{{}"{rows}":[{{"{id}":""}}]}}"#, count(total, 1))),
            ("the same page", format!(r#"{{{}"{rows}":[{one}],"NextToken":"t"}}"#, count(total, 9))),
        ];
        if !total.is_empty() {
            lies.extend([
                ("empty", format!(r#"{{"{total}":1,"{rows}":[]}}"#)),
                ("no count", format!(r#"{{"{rows}":[]}}"#)),
                ("short", format!(r#"{{"{total}":2,"{rows}":[{one}]}}"#)),
                ("a count in words", format!(r#"{{"{total}":"one","{rows}":[{one}]}}"#)),
                ("a count below zero", format!(r#"{{"{total}":-1,"{rows}":[]}}"#)),
            ]);
        }
        for (lie, body) in lies {
            let server = Server::start(vec![http(200, "", &of_api(&body))]).await;
            let client = client(&server.url);
            let report = match (rows, total, id) {
                (_, "Count", _) => client.list_all(&ListImage::default()).await.map(|_| ()),
                ("WuyingServerList", ..) => client.list_all(&ListWuyingServer::default()).await.map(|_| ()),
                ("AppInstanceGroupModels", ..) => client.list_all(&ListAppInstanceGroup::default()).await.map(|_| ()),
                ("Desktops", ..) => client.list_all(&DescribeDesktops::default()).await.map(|_| ()),
                ("DesktopGroups", ..) => client.list_all(&DescribeDesktopGroups::default()).await.map(|_| ()),
                ("Bundles", ..) => client.list_all(&DescribeBundles::default()).await.map(|_| ()),
                ("Images", ..) => client.list_all(&DescribeImages::default()).await.map(|_| ()),
                _ => client.list_all(&DescribeTemplates::default()).await.map(|_| ()),
            };
            let error = report.expect_err(&format!("{rows}: {lie}"));
            assert_eq!(gist(&error), (ErrorClass::Transient, "ListIncomplete", Some(200)), "{rows}: {lie}");
            assert!(server.requests().len() <= 2, "{rows}: {lie}: {} calls", server.requests().len());
        }
    }
}

/// An instance is absent only where a whole list has no row of it and no other row.
#[tokio::test]
async fn an_instance_is_absent_only_from_a_list_that_is_whole() {
    let ask = |body: &'static str| async move {
        let server = Server::start(vec![http(200, "", &of_api(body))]).await;
        let ids = vec!["ecd-1".into()];
        let call = DescribeDesktops { region: "cn-shanghai".to_owned(), ids, ..DescribeDesktops::default() };
        client(&server.url).describe_desktops(&call).await.map(|answer| answer.value.len())
    };
    assert_eq!(ask(r#"{"TotalCount":0,"Desktops":[],"NextToken":""}"#).await.unwrap(), 0);
    assert_eq!(ask(r#"{"TotalCount":1,"Desktops":[{"DesktopId":"ecd-1","DesktopStatus":7}]}"#).await.unwrap(), 1);
    for body in [
        r#"{"TotalCount":1,"Desktops":[]}"#,
        r#"{"TotalCount":0,"Desktops":null}"#,
        r#"{"TotalCount":0}"#,
        r#"{"Desktops":[]}"#,
        r#"{"TotalCount":1,"Desktops":[{"DesktopName":"ecd-1"}]}"#,
        r#"{"TotalCount":1,"Desktops":[{"DesktopId":"ecd-2"}]}"#,
        r#"{"Desktops":[{"DesktopId":"ecd-1"}],"NextToken":"t"}"#,
    ] {
        assert_eq!(gist(&ask(body).await.unwrap_err()), (ErrorClass::Transient, "ListIncomplete", Some(200)), "{body}");
    }
}

#[tokio::test]
async fn a_part_of_a_list_does_not_pass_for_the_whole() {
    let count = r#""Count":150,"#;
    let server = Server::start(vec![page(count, 0..100), http(502, "", "")]).await;
    let error = client(&server.url).list_all_images(&ListImage::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = Server::start(vec![http(200, "", "{}")]).await;
    let options = CloudOptions {
        endpoint: Some(server.url.clone()),
        credentials: CredentialSource::Files,
        ..CloudOptions::default()
    };
    let clock = Arc::new(ManualClock::at(Utc.timestamp_opt(0, 0).unwrap()));
    let client = CloudClient::new(&options, Environment::read(|_| None), clock, Arc::new(|| "n".to_owned())).unwrap();
    let error = client.create_image(&create()).await.unwrap_err();
    assert_eq!(gist(&error), (ErrorClass::Credential, "CredentialsUnavailable", None));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn role_keys_are_fetched_anew_before_they_expire() {
    let keys = |id: &str, end: &str| {
        let body = format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"s","SecurityToken":"t","Expiration":"{end}"}}"#
        );
        http(200, "", &body)
    };
    let replies = vec![
        http(200, "", "token-1"),
        http(200, "", "my-role\n"),
        keys("first", "2026-03-01T06:00:00Z"),
        http(404, "", ""),
        http(200, "", "my-role"),
        keys("second", "2026-03-01T12:00:00Z"),
        http(500, "", ""),
    ];
    let server = Server::start(replies).await;
    let hosts = KeyHosts::new(None, Some(&server.url)).unwrap();
    let clock = ManualClock::at(Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap());
    let http = Http::new(Duration::from_secs(1), None).unwrap();
    let credential_provider = CredentialProvider::new(
        CredentialSource::EcsRamRole,
        Environment::read(|_| None),
        hosts,
        http,
        Arc::new(clock.clone()),
        random_nonces(),
        Arc::default(),
    );

    let first = credential_provider.get().await.unwrap();
    assert_eq!((first.key.id.as_str(), first.source), ("first", SourceName::EcsRamRole));
    assert_eq!(first.key.security_token.unwrap().expose_secret(), "t");
    assert!(server.requests()[0].starts_with("PUT /latest/api/token "));
    assert_eq!(header(&server.requests()[2], "x-aliyun-ecs-metadata-token"), Some("token-1"));
    clock.set(Utc.with_ymd_and_hms(2026, 3, 1, 5, 44, 0).unwrap());
    assert_eq!(credential_provider.get().await.unwrap().key.id, "first");

    clock.set(Utc.with_ymd_and_hms(2026, 3, 1, 5, 46, 0).unwrap());
    assert_eq!(credential_provider.get().await.unwrap().key.id, "second");
    assert_eq!(header(&server.requests()[5], "x-aliyun-ecs-metadata-token"), None);

    // The service is down from here on. The last keys serve until they expire, and no longer.
    clock.set(Utc.with_ymd_and_hms(2026, 3, 1, 11, 59, 0).unwrap());
    assert_eq!(credential_provider.get().await.unwrap().key.id, "second");
    let asked = server.requests().len();
    assert_eq!(credential_provider.get().await.unwrap().key.id, "second");
    assert_eq!(server.requests().len(), asked, "a source that is down is not asked at every call");
    clock.set(Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap());
    assert!(credential_provider.get().await.is_err());
}
