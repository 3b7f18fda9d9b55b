//! Response of the server to one call.

use std::time::Duration;

use bytes::Bytes;

/// Content of the response.
#[derive(Debug)]
pub(super) struct SimReply {
    /// Delay.
    pub(super) delay: Duration,
    pub(super) kind: ReplyKind,
}

#[derive(Debug)]
pub(super) enum ReplyKind {
    /// The connection is closed without an answer.
    Drop,
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        content_type: &'static str,
        body: ReplyBody,
    },
}

#[derive(Debug)]
pub(super) enum ReplyBody {
    Whole(Bytes),
    /// Its full length is announced, half of it is sent.
    Truncated(Bytes),
    Huge,
}
