//! Who is answered, and with which headers. Nothing on the page changes anything, so there is no log-in; the listen address
//! determines who has access. A browser that asks for a foreign name which resolves to that address is rejected by its Host
//! header.

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::site::WebState;

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
    let mut response = if is_for_this_page(request.headers(), &site.hosts) {
        next.run(request).await
    } else {
        let advice = "This page answers to an IP address, to localhost and to the names of [daemon] page_hosts, not to other names.\n";
        (StatusCode::MISDIRECTED_REQUEST, advice).into_response()
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whether the one Host header is an IP address, a name of the loopback or one of `hosts`. Another party may have pointed any
/// other name here (DNS rebinding), and its page could then read this one.
fn is_for_this_page(headers: &HeaderMap, hosts: &[String]) -> bool {
    let mut given = headers.get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else { return false };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    // User information has no place in a Host header and could hide the real name.
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<std::net::IpAddr>().is_ok()
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}
