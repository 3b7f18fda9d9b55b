//! Who is answered, and with which headers. Nothing on the page changes anything, so there is no log-in; the listen address
//! determines who has access. A browser that asks for a foreign name which resolves to that address is rejected by its Host
//! header.

use axum::{
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::site::WebState;
use crate::domain::api::host::HostPort;

/// Headers of every response: not stored, not framed, no sniffing, no script, no foreign content. Forms ask this page alone.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONNECTION, HeaderValue::from_static("close")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Rejects foreign host names and adds [`HEADERS`] to every response.
pub(super) async fn guard(State(site): WebState, request: Request, next: Next) -> Response {
    let mut response = if is_for_this_page(&request, &site.hosts) {
        next.run(request).await
    } else {
        let advice = "This page answers to an IP address, to localhost and to the names of [daemon] page_hosts, not to other names.\n";
        (StatusCode::MISDIRECTED_REQUEST, advice).into_response()
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whether the one Host header is an IP address, a name of the loopback or one of `hosts`, and so is the host of the
/// request's own target, if it has one. Another party may have pointed any other name here (DNS rebinding), and its page
/// could then read this one.
fn is_for_this_page(request: &Request, hosts: &[String]) -> bool {
    let mut given = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else { return false };
    let is_known = |host: &str| {
        let Some(host) = HostPort::parse(host) else { return false };
        host.is_own() || host.name().is_some_and(|name| hosts.iter().any(|known| known.eq_ignore_ascii_case(name)))
    };
    host.to_str().is_ok_and(is_known) && request.uri().authority().is_none_or(|host| is_known(host.as_str()))
}
