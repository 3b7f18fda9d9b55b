//! HTTP server of the simulator: plain HTTP/1.1, the API at `/`, the controls under `/_sim/`.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue, ORIGIN},
        request::Parts,
        uri::Authority,
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    cloud::Cloud,
    connection::{Connection, CuttingListener},
    faults::FaultPlan,
    key_service::KeyRequest,
    reply::{ReplyBody, ReplyKind, SimReply},
    users::{SimUserKind, UserSpec},
    verify::Received,
    world::{ImageSpec, InstanceSpec},
};
use crate::domain::{api::host::HostPort, clock::Clock};

/// Maximum size of a request: no documented one is close; larger ones are rejected unread, like by a proxy.
const LARGEST_BODY: usize = 1 << 20;

/// A huge response has this many chunks of this many bytes: 64 MiB, never in memory at once.
const HUGE_CHUNKS: usize = 64;
const HUGE_CHUNK: usize = 1 << 20;

/// What all connections share.
#[derive(Debug)]
pub(super) struct ServerState {
    cloud: Mutex<Cloud>,
    pub(super) clock: Arc<dyn Clock>,
}

impl ServerState {
    pub(super) fn new(cloud: Cloud, clock: Arc<dyn Clock>) -> Self {
        Self { cloud: Mutex::new(cloud), clock }
    }

    /// The cloud. Locked for one call at a time and never across an await.
    pub(super) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until `stop`, then closes them all.
pub(super) async fn serve(listener: TcpListener, shared: Arc<ServerState>, stop: CancellationToken) {
    let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
    let listener = CuttingListener::new(listener, stop.clone());
    tokio::select! {
        // It never ends by itself: errors of single connections do not end it.
        _ = axum::serve(listener, router.into_make_service_with_connect_info::<Connection>()) => {}
        () = stop.cancelled() => {}
    }
    if let Err(error) = shared.cloud().save() {
        tracing::error!(error = &error as &dyn std::error::Error, "the simulator's last state is not in its file");
    }
}

async fn answer(
    State(shared): State<Arc<ServerState>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let (head, incoming) = request.into_parts();
    let mut response = match to_bytes(incoming, LARGEST_BODY).await {
        Err(_) => json_answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({"Code": "RequestEntityTooLarge"})),
        Ok(body) => {
            let path = head.uri.path();
            if let Some(control) = path.strip_prefix("/_sim/") {
                if !connection.peer().ip().is_loopback() {
                    json_answer(StatusCode::FORBIDDEN, &json!({"error": "the controls are for this host only"}))
                } else if !host(&head).is_some_and(|host| host.is_loopback()) {
                    misdirected("the controls answer to localhost only")
                } else if is_of_page(&head) {
                    json_answer(StatusCode::FORBIDDEN, &json!({"error": "the controls are not for web pages"}))
                } else {
                    controls(head.method.as_str(), control, &body, &shared)
                }
            } else if !host(&head).is_some_and(|host| is_expected(&host, path)) {
                misdirected(
                    "the simulator answers to an address, to localhost and, where calls are signed, to names below aliyuncs.com",
                )
            } else {
                let received = Received {
                    method: head.method.as_str(),
                    path,
                    query: head.uri.query().unwrap_or_default(),
                    headers: &head.headers,
                    body: &body,
                };
                let reply = decide(&received, &shared);
                if !reply.delay.is_zero() {
                    tokio::time::sleep(reply.delay).await;
                }
                respond(reply.kind, &connection)
            }
        }
    };
    let date = shared.clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::try_from(date) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// The host that a request names: its one Host header, or that of its own target, which must be the same.
fn host(head: &Parts) -> Option<HostPort> {
    let mut given = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else { return None };
    let host = HostPort::parse(host.to_str().ok()?)?;
    let is_same = |target: &Authority| HostPort::parse(target.as_str()).is_some_and(|target| target == host);
    head.uri.authority().is_none_or(is_same).then_some(host)
}

/// Whether a call may name this host. Any other name may lead here from a web page, which would be given keys. Names of the
/// cloud are taken for calls of the API, which a front with their certificates passes on.
fn is_expected(host: &HostPort, path: &str) -> bool {
    let is_of_cloud = || host.name().is_some_and(|name| name.ends_with(".aliyuncs.com"));
    host.is_own() || KeyRequest::of(path).is_none() && is_of_cloud()
}

/// Whether a browser sent this for a page: it may be that of anybody.
fn is_of_page(head: &Parts) -> bool {
    let of_other_site = head.headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    of_other_site || head.headers.contains_key(ORIGIN)
}

fn misdirected(message: &str) -> Response {
    json_answer(StatusCode::MISDIRECTED_REQUEST, &json!({ "error": message }))
}

/// Processes a call and stores the change before the response. The write blocks this thread under the lock: calls and
/// files must have the same order.
fn decide(received: &Received<'_>, shared: &ServerState) -> SimReply {
    let mut cloud = shared.cloud();
    let reply = cloud.handle(received, shared.clock.now());
    match cloud.save_changes() {
        Ok(()) => reply,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the simulator drops a call it cannot keep");
            SimReply { delay: std::time::Duration::ZERO, kind: ReplyKind::Drop }
        }
    }
}

fn respond(kind: ReplyKind, connection: &Connection) -> Response {
    let ReplyKind::Answer { status, headers, content_type, body } = kind else {
        connection.cut();
        return Response::default();
    };
    let mut announced = None;
    let body = match body {
        ReplyBody::Whole(bytes) => Body::from(bytes),
        ReplyBody::Truncated(bytes) => {
            announced = Some(bytes.len());
            let half = bytes.slice(..bytes.len() / 2);
            // The body must be pending once, or the error would overtake buffered data.
            let reset = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "the fault plan cuts this answer off"))
            });
            Body::from_stream(stream::iter([Ok(half)]).chain(reset))
        }
        ReplyBody::Huge => {
            let chunk = Bytes::from(vec![b' '; HUGE_CHUNK]);
            Body::from_stream(stream::iter(std::iter::repeat_n(chunk, HUGE_CHUNKS).map(Ok::<_, io::Error>)))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let sent = response.headers_mut();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = announced {
        sent.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            sent.insert(name, value);
        }
    }
    response
}

/// The controls, for tests and rehearsals: no part of the cloud's API.
fn controls(method: &str, control: &str, body: &[u8], shared: &ServerState) -> Response {
    let mut cloud = shared.cloud();
    let now = shared.clock.now();
    match (method, control) {
        ("GET", "state") => json_answer(StatusCode::OK, &cloud.state(now)),
        ("GET", "faults") => json_answer(StatusCode::OK, &json!(cloud.faults_left())),
        ("POST", "faults") => match FaultPlan::parse(&String::from_utf8_lossy(body)) {
            Ok(plan) => {
                cloud.add_faults(plan);
                json_answer(StatusCode::OK, &json!(cloud.faults_left()))
            }
            Err(error) => error_response(&error),
        },
        ("DELETE", "faults") => {
            cloud.clear_faults();
            json_answer(StatusCode::OK, &json!(cloud.faults_left()))
        }
        ("POST", "instances") => match serde_json::from_slice::<InstanceSpec>(body) {
            Ok(spec) => {
                cloud.put_instance(spec, now);
                saved(&mut cloud)
            }
            Err(error) => error_response(&error),
        },
        ("POST", "groups" | "pools" | "bundles" | "templates") => match serde_json::from_slice::<UserSpec>(body) {
            Ok(spec) => {
                let kind = match control {
                    "groups" => SimUserKind::Group,
                    "pools" => SimUserKind::Pool,
                    "bundles" => SimUserKind::Bundle,
                    _ => SimUserKind::Template,
                };
                cloud.put_user(kind, spec);
                saved(&mut cloud)
            }
            Err(error) => error_response(&error),
        },
        ("POST", "deletes_in_use") => match serde_json::from_slice::<bool>(body) {
            Ok(deletes) => {
                cloud.set_deletes_in_use(deletes);
                saved(&mut cloud)
            }
            Err(error) => error_response(&error),
        },
        ("POST", "images") => match serde_json::from_slice::<ImageSpec>(body) {
            Ok(spec) => {
                cloud.put_image(spec, now);
                saved(&mut cloud)
            }
            Err(error) => error_response(&error),
        },
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"error": "there is no such control"})),
    }
}

fn saved(cloud: &mut Cloud) -> Response {
    match cloud.save_changes() {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(error) => error_response(&error),
    }
}

/// An error and what caused it, in one text.
fn error_response(error: &dyn std::error::Error) -> Response {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let text: Vec<String> = chain.map(ToString::to_string).collect();
    json_answer(StatusCode::BAD_REQUEST, &json!({"error": text.join(": ")}))
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn is_answered(hosts: &[&str], target: &str) -> bool {
        let request = hosts.iter().fold(Request::builder().uri(target), |request, host| request.header(HOST, *host));
        let (head, ()) = request.body(()).unwrap().into_parts();
        host(&head).is_some_and(|host| is_expected(&host, head.uri.path()))
    }

    #[test]
    fn a_page_has_no_controls() {
        let of_page = |name: &str, value: &str| {
            let (head, ()) = Request::builder().uri("/_sim/faults").header(name, value).body(()).unwrap().into_parts();
            is_of_page(&head)
        };
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("Origin", "http://localhost:8480"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert!(of_page(name, value), "{name}: {value}");
        }
        assert!(!of_page("sec-fetch-site", "none") && !of_page("accept", "*/*"));
    }

    #[test]
    fn keys_are_given_under_names_that_nobody_else_can_point_here() {
        for path in
            ["/", "/credentials", "/latest/api/token", "/latest/meta-data/ram/security-credentials/simulator-role"]
        {
            for host in ["127.0.0.1:8480", "localhost", "[::1]:80", "100.100.100.200", "sim.localhost:1"] {
                assert!(is_answered(&[host], path), "{host} {path}");
            }
            for hosts in [
                &["evil.example"][..],
                &["evil.example:8480"],
                &["[::1]evil"],
                &["localhost.evil.example"],
                &["user@localhost"],
                &["localhost", "evil.example"],
                &["localhost:"],
                &[""],
                &[],
            ] {
                assert!(!is_answered(hosts, path), "{hosts:?} {path}");
            }
            let is_of_api = path == "/";
            assert_eq!(is_answered(&["sts.aliyuncs.com"], path), is_of_api, "{path}");
        }
        assert!(!is_answered(&["localhost"], "http://evil.example/credentials"));
        assert!(!is_answered(&["evil.aliyuncs.com.example"], "/"));
    }
}
