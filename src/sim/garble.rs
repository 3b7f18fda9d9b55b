//! False responses: truncated, of another system, or with the id of another image.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reply::ReplyBody;

/// Replacement of the response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Garble {
    /// The first half, with the length of all of it.
    Truncate,
    /// The first half, with its own length.
    Half,
    /// A proxy's web page.
    #[serde(alias = "html")]
    NotJson,
    /// A proxy's JSON, without a RequestId.
    OtherJson,
    /// A JSON value that is no object.
    Null,
    /// Nothing.
    Empty,
    /// More than any client should read.
    Huge,
    /// The answer without its RequestId.
    JsonWithoutRequestId,
    /// The action's own response, whatever the status.
    Good,
    /// The response with the id of an image that does not exist.
    WrongImageId,
    /// The answer with an empty id.
    EmptyImageId,
    /// The answer with a text that is no id.
    ImplausibleImageId,
    /// The answer without an id.
    NoImageId,
    /// The answer without `Data`.
    NoData,
}

impl Garble {
    /// Whether the action's own response is sent, under the status of the fault.
    pub(super) fn keeps_the_answer(self) -> bool {
        matches!(
            self,
            Self::Good
                | Self::WrongImageId
                | Self::EmptyImageId
                | Self::ImplausibleImageId
                | Self::NoImageId
                | Self::NoData
        )
    }

    /// Body and content type in place of `answer`.
    pub(super) fn apply(self, mut answer: Value) -> (ReplyBody, &'static str) {
        const JSON: &str = "application/json;charset=utf-8";
        let image_id = |mut answer: Value, id: Value| {
            if let Some(data) = answer.get_mut("Data").and_then(Value::as_object_mut) {
                data.insert("ImageId".to_owned(), id);
            }
            answer
        };
        let text = match self {
            Self::Truncate => return (ReplyBody::Truncated(Bytes::from(answer.to_string())), JSON),
            Self::Huge => return (ReplyBody::Huge, JSON),
            Self::NotJson => {
                return (
                    ReplyBody::Whole(Bytes::from_static(b"<html><body><h1>Bad gateway</h1></body></html>")),
                    "text/html",
                );
            }
            Self::Empty => String::new(),
            Self::Half => {
                let text = answer.to_string();
                text.chars().take(text.chars().count() / 2).collect()
            }
            Self::OtherJson => json!({"error": "access denied", "code": "Forbidden"}).to_string(),
            Self::Null => Value::Null.to_string(),
            Self::JsonWithoutRequestId | Self::NoData => {
                let key = if self == Self::NoData { "Data" } else { "RequestId" };
                if let Some(answer) = answer.as_object_mut() {
                    answer.remove(key);
                }
                answer.to_string()
            }
            Self::Good => answer.to_string(),
            Self::WrongImageId => image_id(answer, json!("imgc-000000000000000")).to_string(),
            Self::EmptyImageId => image_id(answer, json!("")).to_string(),
            Self::ImplausibleImageId => image_id(answer, json!("null")).to_string(),
            Self::NoImageId => {
                if let Some(data) = answer.get_mut("Data").and_then(Value::as_object_mut) {
                    data.remove("ImageId");
                }
                answer.to_string()
            }
        };
        (ReplyBody::Whole(Bytes::from(text)), JSON)
    }
}
