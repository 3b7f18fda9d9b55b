//! Parses the response to a call into an [`ApiResponse`] with its value, or an [`ApiError`] with its class.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    damaged_json,
    http::{HttpError, Incoming},
    lenient,
    request::CloudCall,
};
use crate::{
    adapters::secrets::shapes,
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            codes::{self, Idempotency},
        },
        text::{LONGEST_TEXT, UNREADABLE, clean, clean_json},
    },
};

/// Maximum length of a stored message, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Maximum delay of a header: a larger one is probably wrong, and must not overflow a computation.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// Result of a successful call, with the metadata of its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse<T> {
    /// The result.
    pub value: T,
    /// For support tickets.
    pub request_id: Option<String>,
    /// The HTTP status.
    pub http_status: u16,
    /// The server's clock, to compare with this host's.
    pub server_date: Option<DateTime<Utc>>,
    /// `Success`, if the call has it.
    pub success: Option<bool>,
    /// `Code`, if the call has it; usually `200`.
    pub code: Option<String>,
    /// `Message`, if the call has it.
    pub message: Option<String>,
    /// Number of places in its texts that are no valid text.
    pub replaced_texts: usize,
}

impl<T> ApiResponse<T> {
    /// The same response with a converted value.
    pub(super) fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<ApiResponse<U>, E> {
        let Self { value, request_id, http_status, server_date, success, code, message, replaced_texts } = self;
        let value = read(value)?;
        Ok(ApiResponse { value, request_id, http_status, server_date, success, code, message, replaced_texts })
    }
}

/// Parses a response of any status. The API's own response is a JSON object with a `RequestId` and a result or a
/// `Code`. Any other comes from a proxy or a gateway, and the cloud may or may not have acted. All its texts are cleaned
/// here, before anything else has them.
///
/// # Errors
///
/// `ApiError` if the response reports an error, is not the API's own, or is not as documented.
pub fn read<C: CloudCall>(incoming: &Incoming, repeat: Idempotency) -> Result<ApiResponse<C::Value>, ApiError> {
    let parsed = damaged_json::parse(&incoming.body).filter(|(json, _)| json.is_object());
    let Some((mut json, replaced_texts)) = parsed else {
        let message = format!(
            "HTTP {} with a body of {} bytes that is no JSON object{}",
            incoming.status,
            incoming.body.len(),
            shown(incoming)
        );
        return Err(foreign("AnswerNotJson", &message, incoming, repeat));
    };
    let element = |upper: &str, lower: &str| {
        json.get(upper).or_else(|| json.get(lower)).and_then(lenient::as_text).map(|text| one_line(&text))
    };
    let is_whole = |text: &String| !text.contains(UNREADABLE);
    let Some(request_id) = element("RequestId", "requestId").filter(|id| !id.trim().is_empty()).filter(is_whole) else {
        let message = format!("HTTP {} with a JSON object that has no RequestId", incoming.status);
        return Err(foreign("AnswerNotFromApi", &message, incoming, repeat));
    };
    let code = element("Code", "code").filter(|code| !code.is_empty());
    if code.as_ref().is_some_and(|code| !is_whole(code)) {
        let message = format!("HTTP {} with a JSON object whose Code is damaged", incoming.status);
        return Err(foreign("AnswerNotFromApi", &message, incoming, repeat));
    }
    let message = element("Message", "message");
    let success = json.get("Success").and_then(lenient::as_flag);

    let code_is_good = code
        .as_deref()
        .is_none_or(|code| code == "200" || ["ok", "success"].contains(&code.to_ascii_lowercase().as_str()));
    if !(200..300).contains(&incoming.status) || !success.unwrap_or(code_is_good) {
        let code = code.filter(|_| !code_is_good);
        let verdict = codes::judge(code.as_deref(), incoming.status, repeat);
        let message = message.unwrap_or_else(|| format!("HTTP {} without a message", incoming.status));
        let code = code.as_deref().unwrap_or("HttpStatus");
        let mut error = api_error(verdict, code, &message, incoming, Some(request_id));
        if let Some(advice) = json.get("AccessDeniedDetail").and_then(grant_advice) {
            error.advice = Cow::Owned(advice);
        }
        return Err(error);
    }
    clean_json(&mut json, LONGEST_TEXT);
    match C::value(json) {
        Ok(value) => Ok(ApiResponse {
            value,
            request_id: Some(request_id),
            http_status: incoming.status,
            server_date: server_date(incoming),
            success,
            code,
            message,
            replaced_texts,
        }),
        Err(error) => {
            let verdict = codes::judge(None, incoming.status, repeat);
            let message = format!("the answer is not as documented: {error}");
            Err(api_error(verdict, "AnswerIncomplete", &message, incoming, Some(request_id)))
        }
    }
}

/// What to do about a missing right: the rejection names the action.
fn grant_advice(detail: &Value) -> Option<String> {
    const LONGEST_ACTION: usize = 100;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b":*-_".contains(&b);
    let action = detail
        .get("AuthAction")?
        .as_str()
        .filter(|action| (1..=LONGEST_ACTION).contains(&action.len()) && action.bytes().all(is_plain))?;
    Some(if detail.get("NoPermissionType").and_then(Value::as_str) == Some("ExplicitDeny") {
        format!("A policy denies {action} to the RAM user or role; a grant does not help.")
    } else {
        format!("Grant {action} to the RAM user or role.")
    })
}

/// What a page of a proxy is: its title, or its first words. Nothing of a body that is no page: it may be a part of an answer
/// with keys in it.
fn shown(incoming: &Incoming) -> String {
    const LONGEST_WORDS: usize = 80;
    const BEGINNING: usize = 2_000;
    let kind = incoming.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !["text/html", "text/plain"].contains(&kind.as_str()) {
        return String::new();
    }
    let body = String::from_utf8_lossy(&incoming.body[..incoming.body.len().min(BEGINNING)]);
    if body.trim_start().starts_with(['{', '[', '"']) {
        return format!(" ({kind})");
    }
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
    let words = title.map_or_else(|| without_tags(&body), str::to_owned);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { format!(" ({kind})") } else { format!(" ({kind}: {})", clean(&words, LONGEST_WORDS)) }
}

/// The text between the tags of a page.
fn without_tags(page: &str) -> String {
    let parts = page.split('<').enumerate().map(|(index, part)| match part.split_once('>') {
        Some((_, text)) if index > 0 => text,
        _ if index > 0 => "",
        _ => part,
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Whether an error is that of a response which is not the API's own.
pub(super) fn is_foreign(error: &ApiError) -> bool {
    error.code.as_deref().is_some_and(|code| ["AnswerNotJson", "AnswerNotFromApi"].contains(&code))
}

/// Error for a response that is not the API's own: its class does not depend on the status.
fn foreign(code: &str, message: &str, incoming: &Incoming, repeat: Idempotency) -> ApiError {
    let advice = match incoming.status {
        300..=399 => "Calls are redirected: check the endpoint and proxies.",
        401 | 403 | 407 => "A proxy or firewall rejects access: check proxies and their credentials.",
        429 => "A proxy or gateway limits calls: lower requests_per_second if this goes on.",
        _ => "A proxy or gateway answered in place of the cloud: check the endpoint, proxies and firewalls.",
    };
    let verdict = codes::Classification { advice, ..codes::judge(None, incoming.status, repeat) };
    api_error(verdict, code, message, incoming, None)
}

/// Error for a call without a complete response.
pub fn unanswered(error: &HttpError, repeat: Idempotency) -> ApiError {
    let after_sending = codes::judge(None, 0, repeat);
    let (code, class, advice) = match error {
        HttpError::NotConnected(_) if error.in_short().contains("certificate") => (
            "ConnectFailed",
            ErrorClass::Transient,
            "Check this host's clock and its CA certificates (SSL_CERT_FILE), and whether a proxy puts itself in between.",
        ),
        HttpError::NotConnected(_) => (
            "ConnectFailed",
            ErrorClass::Transient,
            "Check the network, DNS, proxy and firewall between here and the endpoint.",
        ),
        HttpError::Proxy { reason, .. } => ("ConnectFailed", ErrorClass::Transient, proxy_advice(reason)),
        HttpError::Setup(_) | HttpError::NotFormed(_) => (
            "ConnectFailed",
            ErrorClass::Permanent,
            "The request could not be formed: check the endpoint and the credentials.",
        ),
        HttpError::TimedOut(_) => ("Timeout", after_sending.class, after_sending.advice),
        HttpError::Lost(_) => ("ConnectionLost", after_sending.class, after_sending.advice),
        HttpError::TooLarge { .. } => ("AnswerTooLarge", after_sending.class, after_sending.advice),
    };
    let http_status = if let HttpError::TooLarge { status, .. } = error { Some(*status) } else { None };
    ApiError {
        class,
        code: Some(code.to_owned()),
        message: one_line(&error.in_short()),
        advice: Cow::Borrowed(advice),
        http_status,
        request_id: None,
        retry_after: None,
    }
}

fn proxy_advice(reason: &str) -> &'static str {
    if reason.contains("407") {
        "The proxy wants a user: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT in the environment of the service."
    } else {
        "Check the proxy of HTTPS_PROXY, and NO_PROXY; both are in the environment of the service."
    }
}

/// Text on one line and of bounded length, without what looks like a secret, for logs and the history.
pub fn one_line(text: &str) -> String {
    // Masked before it is cut: of half a secret nobody knows what it is.
    let beginning = clean(&text.replace(['\n', '\r', '\t'], " "), 4 * LONGEST_MESSAGE).into_owned();
    clean(&shapes::mask(&beginning), LONGEST_MESSAGE).into_owned()
}

fn api_error(
    verdict: codes::Classification,
    code: &str,
    message: &str,
    incoming: &Incoming,
    request_id: Option<String>,
) -> ApiError {
    ApiError {
        class: verdict.class,
        code: Some(one_line(code)),
        message: one_line(message),
        advice: Cow::Borrowed(verdict.advice),
        http_status: Some(incoming.status),
        request_id,
        retry_after: retry_after(incoming),
    }
}

/// The longest delay in any header: those of the API in milliseconds, and the standard one of proxies and gateways.
pub(super) fn retry_after(incoming: &Incoming) -> Option<Duration> {
    let direct = incoming.header("x-acs-retry-after").and_then(|text| text.trim().parse().ok());
    let limits = ["x-ratelimit-user-api", "x-ratelimit-user"].map(|name| incoming.header(name).and_then(time_left));
    let of_api = limits.into_iter().chain([direct]).flatten().map(Duration::from_millis);
    let longest = of_api.chain(standard_retry_after(incoming)).max()?;
    (!longest.is_zero()).then(|| longest.min(LONGEST_DELAY))
}

/// `Retry-After`: seconds, or a date, which is relative to the server's own (RFC 9110, section 10.2.3).
fn standard_retry_after(incoming: &Incoming) -> Option<Duration> {
    let text = incoming.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    (until - server_date(incoming)?).to_std().ok()
}

/// Of `Limit:1,Remain:0,TimeLeft:2000,Reset:1234`, the 2000.
fn time_left(header: &str) -> Option<u64> {
    header.split(',').find_map(|part| part.trim().strip_prefix("TimeLeft:")?.trim().parse().ok())
}

/// The server's clock at the response.
pub fn server_date(incoming: &Incoming) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(incoming.header("date")?).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::secrets::examples::EXAMPLES;

    #[test]
    fn a_missing_right_is_named_by_the_answer_itself() {
        let advice = |detail: &str| {
            let body =
                format!(r#"{{"RequestId":"R","Code":"Forbidden.RAM","Message":"m","AccessDeniedDetail":{detail}}}"#);
            let incoming = Incoming { status: 403, headers: Vec::new(), body: body.into_bytes() };
            read::<crate::adapters::cloud::actions::ListImage>(&incoming, Idempotency::Idempotent)
                .unwrap_err()
                .advice
                .into_owned()
        };
        assert_eq!(advice(r#"{"AuthAction":"ecd:StopDesktops"}"#), "Grant ecd:StopDesktops to the RAM user or role.");
        let denied = advice(r#"{"AuthAction":"ecd:StopDesktops","NoPermissionType":"ExplicitDeny"}"#);
        assert_eq!(denied, "A policy denies ecd:StopDesktops to the RAM user or role; a grant does not help.");
        for detail in ["null", "[]", r#"{"AuthAction":null}"#, r#"{"AuthAction":"a b"}"#, r#"{"AuthAction":""}"#] {
            assert!(advice(detail).starts_with("Grant this action"), "{detail}");
        }
    }

    #[test]
    fn no_error_shows_what_looks_like_a_secret() {
        for (text, secrets) in EXAMPLES {
            let body = serde_json::json!({"RequestId": "R", "Code": "Forbidden.RAM", "Message": text}).to_string();
            let page = format!("<title>{text}</title>");
            for (kind, body) in [("application/json", body), ("text/html", page)] {
                let headers = vec![("content-type".to_owned(), kind.to_owned())];
                let incoming = Incoming { status: 403, headers, body: body.into_bytes() };
                let error =
                    read::<crate::adapters::cloud::actions::ListImage>(&incoming, Idempotency::Idempotent).unwrap_err();
                let shown = format!("{error} {}", error.describe());
                assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{text}: {shown}");
            }
        }
        let long = format!("{} LTAI5tKvb7Xw2QeR9mZsYd1P", "x ".repeat(LONGEST_MESSAGE / 2 - 5));
        assert!(!one_line(&long).contains("LTAI5t"), "{}", one_line(&long));
    }

    #[test]
    fn the_page_of_a_proxy_is_named_and_a_part_of_an_answer_is_not() {
        let message = |kind: &str, body: &str| {
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            let incoming = Incoming { status: 200, headers, body: body.as_bytes().to_vec() };
            read::<crate::adapters::cloud::actions::ListImage>(&incoming, Idempotency::Idempotent).unwrap_err().message
        };
        let page = "<html><head><title>Access\n denied\u{1b}</title></head><body>x</body></html>";
        assert!(
            message("text/html; charset=utf-8", page)
                .ends_with(r"that is no JSON object (text/html: Access denied\u{1b})")
        );
        assert!(message("text/html", "<h1>Bad <b>gateway</b></h1>").ends_with("(text/html: Bad gateway)"));
        assert!(message("text/plain", "log in first").ends_with("(text/plain: log in first)"));
        assert!(message("text/html", &"y".repeat(9_000)).len() < 300);
        for part in [r#"{"Credentials":{"AccessKeySecret":"hush"#, r#""hush"#, "[\"hush"] {
            assert!(!message("text/plain", part).contains("hush"), "{part}");
        }
        assert!(!message("application/json", "hush").contains("hush"));
    }

    #[test]
    fn the_longest_delay_header_wins() {
        let answer = |headers: &[(&str, &str)]| Incoming {
            status: 429,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Vec::new(),
        };
        let limits = "Limit:1,Remain:0,TimeLeft:2000,Reset:1234";
        let both = [("x-ratelimit-user", limits), ("x-acs-retry-after", "1500")];
        assert_eq!(retry_after(&answer(&both)), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(&answer(&both[1..])), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(&answer(&[("x-acs-retry-after", &u64::MAX.to_string())])), Some(LONGEST_DELAY));
        assert_eq!(retry_after(&answer(&[("x-acs-retry-after", "-1")])), None);
        assert_eq!(retry_after(&answer(&[("x-acs-retry-after", "0")])), None);
    }

    #[test]
    fn a_proxy_s_delay_is_seconds_or_a_date() {
        let asked = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            retry_after(&Incoming { status: 503, headers, body: Vec::new() })
        };
        assert_eq!(asked(&[("retry-after", "120")]), Some(Duration::from_mins(2)));
        assert_eq!(asked(&[("retry-after", "120"), ("x-acs-retry-after", "500")]), Some(Duration::from_mins(2)));
        let (date, until) = ("Sun, 01 Mar 2026 02:03:05 GMT", "Sun, 01 Mar 2026 02:04:05 GMT");
        assert_eq!(asked(&[("retry-after", until), ("date", date)]), Some(Duration::from_mins(1)));
        // Without the server's clock, or for a date in the past, there is no delay.
        assert_eq!(asked(&[("retry-after", until)]), None);
        assert_eq!(asked(&[("retry-after", date), ("date", until)]), None);
        assert_eq!(asked(&[("retry-after", "soon")]), None);
        assert_eq!(asked(&[("retry-after", &u64::MAX.to_string())]), Some(LONGEST_DELAY));
    }

    const STATUSES: [u16; 19] =
        [200, 204, 301, 302, 307, 308, 400, 401, 403, 404, 407, 408, 413, 429, 499, 500, 502, 503, 504];

    fn class_of(status: u16, body: &str, repeat: Idempotency) -> (ErrorClass, Option<String>) {
        let incoming = Incoming { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        match repeat {
            Idempotency::NonIdempotent => {
                read::<crate::adapters::cloud::actions::CreateImageByInstance>(&incoming, repeat).map(drop)
            }
            Idempotency::Idempotent => read::<crate::adapters::cloud::actions::ListImage>(&incoming, repeat).map(drop),
        }
        .map_err(|api_error| (api_error.class, api_error.code))
        .unwrap_err()
    }

    #[test]
    fn an_answer_that_is_not_the_api_s_own_is_unclear_under_every_status() {
        for status in STATUSES {
            for (body, code) in [
                ("", "AnswerNotJson"),
                ("<html><body>Bad gateway</body></html>", "AnswerNotJson"),
                ("null", "AnswerNotJson"),
                ("[]", "AnswerNotJson"),
                (r#"{"RequestId":"R","Code":"Forbidden"#, "AnswerNotJson"),
                ("{}", "AnswerNotFromApi"),
                (r#"{"message":"no API key found in request"}"#, "AnswerNotFromApi"),
                (r#"{"Code":"InvalidAccessKeyId.NotFound","Message":"m"}"#, "AnswerNotFromApi"),
                (r#"{"RequestId":" ","Code":"Forbidden.RAM"}"#, "AnswerNotFromApi"),
                (r#"{"RequestId":null,"Code":"Throttling.User"}"#, "AnswerNotFromApi"),
                (r#"{"Data":{"ImageId":"imgc-1"},"Success":true,"Code":"200"}"#, "AnswerNotFromApi"),
            ] {
                let code = Some(code.to_owned());
                assert_eq!(
                    class_of(status, body, Idempotency::NonIdempotent),
                    (ErrorClass::Unclear, code.clone()),
                    "{status} {body}"
                );
                assert_eq!(
                    class_of(status, body, Idempotency::Idempotent),
                    (ErrorClass::Transient, code),
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn an_answer_with_a_request_id_but_neither_result_nor_code_is_unclear_likewise() {
        for status in STATUSES {
            for body in [
                r#"{"RequestId":"R"}"#,
                r#"{"RequestId":"R","Success":false}"#,
                r#"{"RequestId":"R","Data":null,"Code":"200","Success":true}"#,
                r#"{"RequestId":"R","Data":{"ImageId":""},"Code":"200","Success":true}"#,
                r#"{"RequestId":"R","Data":{"ImageId":"null"},"Code":"200","Success":true}"#,
                r#"{"RequestId":"R","Data":{"ImageId":"imgc 1"},"Code":"200","Success":true}"#,
                // A response with the status as its code is not the API's.
                r#"{"RequestId":"R","Code":403,"Message":"m"}"#,
            ] {
                assert_eq!(
                    class_of(status, body, Idempotency::NonIdempotent).0,
                    ErrorClass::Unclear,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn the_api_s_own_error_is_judged_by_its_code_under_every_status() {
        for status in STATUSES {
            for (code, class) in [
                ("ExceedBuilderQuota", ErrorClass::Busy),
                ("Throttling.User", ErrorClass::Transient),
                ("InvalidAccessKeyId.NotFound", ErrorClass::Credential),
                ("NoPermission", ErrorClass::Permanent),
                ("InternalError", ErrorClass::Unclear),
            ] {
                let body = format!(r#"{{"RequestId":"R","Code":"{code}","Message":"m"}}"#);
                let wanted = (class, Some(code.to_owned()));
                // A success has a success code; these have none.
                assert_eq!(class_of(status, &body, Idempotency::NonIdempotent), wanted, "{status} {code}");
            }
        }
    }

    #[test]
    fn no_text_of_an_answer_has_hidden_characters() {
        use crate::adapters::cloud::actions::{GetCallerIdentity, ListImage};
        let answer =
            |status, body: Value| Incoming { status, headers: Vec::new(), body: body.to_string().into_bytes() };
        let row = serde_json::json!({"ImageId": "imgc-1\r", "ImageName": "g\u{1b}[2J", "Status": "\u{9b}31m",
            "TagList": [{"Key": "k\u{202e}", "Value": "v\n"}]});
        let list = answer(200, serde_json::json!({"RequestId": "R\u{7}", "Count": 1, "Data": [row]}));
        let page = read::<ListImage>(&list, Idempotency::Idempotent).unwrap();
        assert_eq!(page.request_id.as_deref(), Some("R\\u{7}"));
        let (images, _) = page.value.read_whole::<ListImage>(&[], |image| image.image_id.as_str()).unwrap();
        let shown = format!(
            "{} {} {} {:?}",
            images[0].image_id,
            images[0].image_name.as_deref().unwrap(),
            images[0].status,
            images[0].tags.first_key_value().unwrap()
        );
        assert_eq!(shown, r#"imgc-1\r g\u{1b}[2J \u{9b}31m ("k\\u{202e}", "v\\n")"#);

        let identity = answer(200, serde_json::json!({"RequestId": "R", "Arn": "acs:ram::\u{1b}c"}));
        let caller = read::<GetCallerIdentity>(&identity, Idempotency::Idempotent).unwrap().value;
        assert_eq!(caller.arn, r"acs:ram::\u{1b}c");

        let refused = serde_json::json!({"RequestId": "R\u{1b}", "Code": "C\u{1b}", "Message": "a\nb\u{1b}"});
        let error = read::<ListImage>(&answer(400, refused), Idempotency::Idempotent).unwrap_err();
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some(r"C\u{1b}"), r"a b\u{1b}"));
        assert_eq!(error.request_id.as_deref(), Some(r"R\u{1b}"));
    }

    #[test]
    fn messages_are_short_and_on_one_line() {
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(one_line(&"中".repeat(600)).chars().count(), LONGEST_MESSAGE);
    }
}
