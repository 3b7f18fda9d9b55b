//! Services of keys that answer with something else, too much, or nothing whole: an error that names the host, at once, and no
//! word of the answer.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use imagebaked::{
    adapters::cloud::{credentials::KeyHosts, endpoint::Endpoint},
    domain::clock::SystemClock,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::hosts::{Host, user_profile};

/// In place of the secret in an answer.
const SECRET: &str = "swordfish";

/// How the service answers a request for keys.
#[derive(Clone)]
enum Answer {
    /// With this status, these headers and this body.
    Whole(String, Vec<u8>),
    /// With the beginning of one, and the connection ends.
    Cut,
    /// Not at all; the connection ends.
    Gone,
}

fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Whole("200 OK".to_owned(), body.into())
}

/// Keys as both kinds of services give them, with something else in place of a field.
fn keys(field: &str, value: Option<Value>) -> Answer {
    let mut key = json!({
        "AccessKeyId": "STS.x", "AccessKeySecret": SECRET, "SecurityToken": SECRET, "Expiration": "2999-01-01T00:00:00Z",
    });
    match value {
        Some(value) => key[field] = value,
        None => drop(key.as_object_mut().unwrap().remove(field)),
    }
    let mut whole = key.clone();
    whole["Code"] = json!("Success");
    whole["RequestId"] = json!("r");
    whole["Credentials"] = key;
    ok(whole.to_string())
}

async fn service(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            // The metadata service has a token and a name before the keys.
            let answer = match path {
                "/latest/api/token" => ok("t"),
                path if path.ends_with("/security-credentials/") => ok("night"),
                _ => answer.clone(),
            };
            let text = match answer {
                Answer::Gone => continue,
                Answer::Cut => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{{\"Code\":\"{SECRET}").into_bytes()
                }
                Answer::Whole(status, body) => {
                    let head =
                        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                    [head.into_bytes(), body].concat()
                }
            };
            let _ = stream.write_all(&text).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// The error of each source whose service is at this address.
async fn errors(address: SocketAddr) -> Vec<String> {
    let url = format!("http://{address}");
    let sources = [
        (Host::new("uri").set("CREDENTIALS_URI", &format!("{url}/keys")), "uri"),
        (Host::new("machine").with_metadata(), "ecs_ram_role"),
        (Host::new("role").profiles(&json!([user_profile("RamRoleArn", json!({}))])), "profile:p"),
    ];
    let mut errors = Vec::new();
    for (host, choice) in sources {
        let hosts = KeyHosts::new(Some(Endpoint::parse(&url).unwrap()), Some(&url)).unwrap();
        let begun = Instant::now();
        let error = host.provider_at(choice, hosts, Arc::new(SystemClock)).get().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
        errors.push(error.to_string());
    }
    errors
}

#[tokio::test]
async fn an_answer_that_is_no_key_is_an_error_which_names_the_host_and_quotes_nothing() {
    let page = format!("<html><body>log in, {SECRET}</body></html>");
    let elsewhere = format!("302 Found\r\nlocation: http://127.0.0.1:1/{SECRET}");
    // Packed answers are not asked for.
    let packed = "200 OK\r\ncontent-encoding: gzip".to_owned();
    let nested = "[".repeat(60_000);
    for (name, answer) in [
        ("a page", ok(page)),
        ("elsewhere", Answer::Whole(elsewhere, Vec::new())),
        ("too long", ok("{".repeat(300 * 1024))),
        ("packed", Answer::Whole(packed, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3])),
        ("nested", ok(nested)),
        ("nothing", ok("")),
        ("null", ok("null")),
        ("a list", ok(format!("[\"{SECRET}\"]"))),
        ("cut", Answer::Cut),
        ("gone", Answer::Gone),
        ("a number", keys("AccessKeySecret", Some(json!(7)))),
        ("no secret", keys("AccessKeySecret", Some(json!("")))),
        ("a line end", keys("SecurityToken", Some(json!("a\nx-header: b")))),
        ("no token", keys("SecurityToken", None)),
        ("no end", keys("Expiration", None)),
        ("ended", keys("Expiration", Some(json!("2001-01-01T00:00:00Z")))),
        ("before the common era", keys("Expiration", Some(json!("-0001-01-01T00:00:00Z")))),
        ("beyond all years", keys("Expiration", Some(json!("999999999-01-01T00:00:00Z")))),
        ("an end in seconds", keys("Expiration", Some(json!(-1)))),
    ] {
        let address = service(answer).await;
        for error in errors(address).await {
            assert!(error.contains(&address.to_string()), "{name}: {error}");
            assert!(!error.contains(SECRET) || name == "a page", "{name}: {error}");
            assert!(error.len() < 500, "{name}: {} bytes", error.len());
        }
    }
}

#[tokio::test]
async fn a_key_that_ends_in_thousands_of_years_serves() {
    for end in ["9999-12-31T23:59:59Z", "+262000-01-01T00:00:00Z"] {
        let url = format!("http://{}", service(keys("Expiration", Some(json!(end)))).await);
        let host = Host::new("uri").set("CREDENTIALS_URI", &format!("{url}/keys"));
        let hosts = KeyHosts::new(Some(Endpoint::parse(&url).unwrap()), Some(&url)).unwrap();
        let provider = host.provider_at("uri", hosts, Arc::new(SystemClock));
        assert_eq!(provider.get().await.unwrap().key.id, "STS.x", "{end}");
        assert_eq!(provider.failed_renewal(), None);
    }
}
