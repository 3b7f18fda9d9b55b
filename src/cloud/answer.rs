//! What came back, made of it: an [`Answer`] with its value, or a [`Refusal`] with its class.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    codes,
    http::{HttpError, Incoming},
    lenient,
    request::{Call, Repeat},
};
use crate::bake::call::{Class, Refusal};

/// The longest message that is kept, in characters.
const LONGEST_MESSAGE: usize = 500;

/// A header that asks for more is taken to be wrong, and must not overflow anybody's reckoning.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// A call that brought what was asked for, with all that the answer says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// For support tickets.
    pub request_id: Option<String>,
    /// The HTTP status.
    pub http_status: u16,
    /// The server's clock, to compare ours with.
    pub server_date: Option<DateTime<Utc>>,
    /// `Success`, where the call has it.
    pub success: Option<bool>,
    /// `Code`, where the call has it; `200` as a rule.
    pub code: Option<String>,
    /// `Message`, where the call has it.
    pub message: Option<String>,
}

impl<T> Answer<T> {
    /// The same answer with its value read further.
    pub(super) fn try_map<U, E>(self, read: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        let Self { value, request_id, http_status, server_date, success, code, message } = self;
        Ok(Answer { value: read(value)?, request_id, http_status, server_date, success, code, message })
    }
}

/// Reads an answer of any status.
pub fn read<C: Call>(incoming: &Incoming, repeat: Repeat) -> Result<Answer<C::Value>, Refusal> {
    let Some(json) = serde_json::from_slice::<Value>(&incoming.body).ok().filter(Value::is_object) else {
        let message =
            format!("HTTP {} with a body of {} bytes that is no JSON object", incoming.status, incoming.body.len());
        let verdict = codes::judge(None, incoming.status, repeat);
        return Err(refusal(verdict, "AnswerNotJson", &message, incoming, None));
    };
    let element = |upper: &str, lower: &str| json.get(upper).or_else(|| json.get(lower)).and_then(lenient::as_text);
    let request_id = element("RequestId", "requestId");
    let code = element("Code", "code").filter(|code| !code.is_empty());
    let message = element("Message", "message");
    let success = json.get("Success").and_then(lenient::as_flag);

    let code_is_good = code
        .as_deref()
        .is_none_or(|code| code == "200" || ["ok", "success"].contains(&code.to_ascii_lowercase().as_str()));
    if !(200..300).contains(&incoming.status) || !success.unwrap_or(code_is_good) {
        let code = code.filter(|_| !code_is_good);
        let verdict = codes::judge(code.as_deref(), incoming.status, repeat);
        let message = message.unwrap_or_else(|| format!("HTTP {} without a message", incoming.status));
        return Err(refusal(verdict, code.as_deref().unwrap_or("HttpStatus"), &message, incoming, request_id));
    }
    match C::value(json) {
        Ok(value) => Ok(Answer {
            value,
            request_id,
            http_status: incoming.status,
            server_date: server_date(incoming),
            success,
            code,
            message,
        }),
        Err(error) => {
            let verdict = codes::judge(None, incoming.status, repeat);
            let message = format!("the answer is not as documented: {error}");
            Err(refusal(verdict, "AnswerIncomplete", &message, incoming, request_id))
        }
    }
}

/// Judges a call that brought no whole answer.
pub fn unanswered(error: &HttpError, repeat: Repeat) -> Refusal {
    let after_sending = codes::judge(None, 500, repeat);
    let (code, class, advice) = match error {
        HttpError::NotConnected(_) => (
            "ConnectFailed",
            Class::Transient,
            "Check the network, DNS, proxy and firewall between here and the endpoint.",
        ),
        HttpError::Setup(_) | HttpError::NotFormed(_) => (
            "ConnectFailed",
            Class::Permanent,
            "The request could not be formed: check the endpoint and the credentials.",
        ),
        HttpError::TimedOut(_) => ("Timeout", after_sending.class, after_sending.advice),
        HttpError::Lost(_) => ("ConnectionLost", after_sending.class, after_sending.advice),
        HttpError::TooLarge { .. } => ("AnswerTooLarge", after_sending.class, after_sending.advice),
    };
    let http_status = if let HttpError::TooLarge { status, .. } = error { Some(*status) } else { None };
    Refusal {
        class,
        code: Some(code.to_owned()),
        message: one_line(&error.in_short()),
        advice: Cow::Borrowed(advice),
        http_status,
        request_id: None,
        retry_after: None,
    }
}

/// A text on one line and of bounded length, as logs and the ledger take it.
pub fn one_line(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn refusal(
    verdict: codes::Verdict,
    code: &str,
    message: &str,
    incoming: &Incoming,
    request_id: Option<String>,
) -> Refusal {
    Refusal {
        class: verdict.class,
        code: Some(one_line(code)),
        message: one_line(message),
        advice: Cow::Borrowed(verdict.advice),
        http_status: Some(incoming.status),
        request_id,
        retry_after: retry_after(incoming),
    }
}

/// The longest delay that any of the API's headers asks for; all of them are in milliseconds.
fn retry_after(incoming: &Incoming) -> Option<Duration> {
    let direct = incoming.header("x-acs-retry-after").and_then(|text| text.trim().parse().ok());
    let limits = ["x-ratelimit-user-api", "x-ratelimit-user"].map(|name| incoming.header(name).and_then(time_left));
    let longest = limits.into_iter().chain([direct]).flatten().max()?;
    (longest > 0).then(|| Duration::from_millis(longest).min(LONGEST_DELAY))
}

/// Of `Limit:1,Remain:0,TimeLeft:2000,Reset:1234`, the 2000.
fn time_left(header: &str) -> Option<u64> {
    header.split(',').find_map(|part| part.trim().strip_prefix("TimeLeft:")?.trim().parse().ok())
}

/// The server's clock when it answered.
pub fn server_date(incoming: &Incoming) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(incoming.header("date")?).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn messages_are_short_and_on_one_line() {
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(one_line(&"中".repeat(600)).chars().count(), LONGEST_MESSAGE);
    }
}
