//! Which calls of a bake explain it best, where there is no room for all.

use std::cmp::Reverse;

use super::{AttemptRow, BakeRow, repeated::RepeatedCalls};
use crate::domain::bake::reason::ReasonCode;

/// The status of an image that will never be one.
const FAILED_IMAGE: &str = "CREATE_FAILED";
/// Calls that change something in the cloud; the create call first, whose request id a ticket needs.
const CHANGES: [&str; 6] =
    ["create_image", "stop_instance", "start_instance", "delete_image", "enter_maintenance", "leave_maintenance"];

/// Places of the calls, the one that explains most first: what ended the bake, polls that found a failed image and rejections of
/// the key, which hold everything; the calls that change something; the other failures; and the rest. Of a kind the newest is
/// the first.
pub fn by_importance(row: &BakeRow, calls: &[RepeatedCalls<'_>]) -> Vec<usize> {
    let ended = ended_by(row, calls);
    let mut places: Vec<usize> = (0..calls.len()).collect();
    places.sort_by_key(|&place| {
        let rank = if Some(place) == ended { 0 } else { rank(calls[place].first) };
        (rank, Reverse(place))
    });
    places
}

fn rank(call: &AttemptRow) -> usize {
    let change = CHANGES.iter().position(|change| *change == call.call);
    match change {
        _ if finds_failed_image(call) || call.outcome == "credential" => 1,
        Some(0) => 2,
        Some(_) => 3,
        None if is_failed(call) => 4,
        None => 5,
    }
}

fn is_failed(call: &AttemptRow) -> bool {
    call.outcome != "ok"
}

fn finds_failed_image(call: &AttemptRow) -> bool {
    call.message.as_deref().is_some_and(|message| message.ends_with(FAILED_IMAGE))
}

fn is_hook(call: &AttemptRow) -> bool {
    call.call.starts_with("hook ")
}

/// The call that the bake's end is about, by its reason code; of an open bake that by which it waits.
fn ended_by(row: &BakeRow, calls: &[RepeatedCalls<'_>]) -> Option<usize> {
    let last = |is_it: &dyn Fn(&AttemptRow) -> bool| calls.iter().rposition(|call| is_it(call.last));
    let reason = row.reason.as_deref().unwrap_or_default();
    let is_named = |call: &AttemptRow| call.code.as_deref().is_some_and(|code| reason.contains(code));
    let named = || last(&|call| is_failed(call) && is_named(call));
    let code = row.reason_code.as_deref().and_then(ReasonCode::parse);
    let by_code = match code {
        Some(ReasonCode::CreatedFailed) => last(&finds_failed_image),
        Some(ReasonCode::Stuck | ReasonCode::Vanished) => last(&|call| call.call == "describe_image"),
        Some(ReasonCode::HookFailed | ReasonCode::VetoedByHook) => last(&|call| is_hook(call) && is_failed(call)),
        Some(ReasonCode::Credentials) => last(&|call| call.outcome == "credential"),
        Some(ReasonCode::UsersConnected) => last(&|call| call.call == "list_sessions"),
        Some(ReasonCode::InstanceState) => named().or_else(|| last(&|call| call.call == "describe_instance")),
        // Its image was refused by the check.
        _ if row.vetoed => last(&|call| is_hook(call) && is_failed(call)),
        _ => None,
    };
    let is_good = row.state == "succeeded" && !row.vetoed;
    by_code.or_else(named).or_else(|| last(&is_failed).filter(|_| row.is_ended() && !is_good))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::history::repeated::folded;

    fn call(name: &str, outcome: &str, message: &str) -> AttemptRow {
        AttemptRow {
            stage: "build".to_owned(),
            call: name.to_owned(),
            started_at: 0,
            finished_at: 0,
            outcome: outcome.to_owned(),
            code: (outcome != "ok").then(|| message.to_owned()),
            http_status: None,
            request_id: None,
            message: Some(message.to_owned()),
            success: None,
            answer: None,
        }
    }

    fn row(code: Option<ReasonCode>, state: &str, reason: &str) -> BakeRow {
        BakeRow {
            state: state.to_owned(),
            reason_code: code.map(|code| code.as_str().to_owned()),
            reason: Some(reason.to_owned()),
            finished_at: Some(1),
            ..BakeRow::example()
        }
    }

    /// Names and messages of the calls, the most important first.
    fn order(row: &BakeRow, calls: &[AttemptRow]) -> Vec<String> {
        let calls = folded(calls);
        let name =
            |place: usize| format!("{} {}", calls[place].first.call, calls[place].first.message.as_ref().unwrap());
        by_importance(row, &calls).into_iter().map(name).collect()
    }

    #[test]
    fn a_failed_image_explains_more_than_a_lost_connection() {
        let calls = [
            call("describe_instance", "transient", "ConnectFailed"),
            call("stop_instance", "ok", ""),
            call("create_image", "ok", "made a"),
            call("describe_image", "ok", "CREATE_FAILED"),
            call("create_image", "ok", "made b"),
            call("describe_image", "ok", "CREATE_FAILED"),
            call("find_image", "ok", "not listed"),
            call("start_instance", "transient", "ServiceUnavailable"),
        ];
        let failed = row(Some(ReasonCode::CreatedFailed), "failed", "the cloud reports CREATE_FAILED");
        let expected = [
            "describe_image CREATE_FAILED",
            "describe_image CREATE_FAILED",
            "create_image made b",
            "create_image made a",
            "start_instance ServiceUnavailable",
            "stop_instance ",
            "describe_instance ConnectFailed",
            "find_image not listed",
        ];
        assert_eq!(order(&failed, &calls), expected);
    }

    #[test]
    fn the_call_that_the_reason_names_is_the_first() {
        let calls = [
            call("create_image", "permanent", "QuotaExceeded"),
            call("start_instance", "transient", "ServiceUnavailable"),
            call("describe_instance", "transient", "ConnectFailed"),
        ];
        let quota = row(Some(ReasonCode::Quota), "failed", "QuotaExceeded: no more images");
        assert_eq!(order(&quota, &calls)[0], "create_image QuotaExceeded");
        // The reason names no call: the last failure.
        let other = row(Some(ReasonCode::Deadline), "failed", "not done by then");
        assert_eq!(order(&other, &calls)[0], "describe_instance ConnectFailed");
        // A good end is explained by none of them.
        assert_eq!(order(&row(None, "succeeded", "image made"), &calls)[0], "create_image QuotaExceeded");
    }

    #[test]
    fn each_reason_code_has_its_call() {
        let calls = [
            call("list_sessions", "ok", "session x"),
            call("stop_instance", "credential", "InvalidAccessKeyId"),
            call("hook before 1", "veto", "check: exit status 1"),
            call("describe_image", "ok", "not listed"),
            call("describe_instance", "transient", "ConnectFailed"),
        ];
        for (code, first) in [
            (ReasonCode::Credentials, "stop_instance"),
            (ReasonCode::VetoedByHook, "hook before 1"),
            (ReasonCode::Vanished, "describe_image"),
            (ReasonCode::UsersConnected, "list_sessions"),
            (ReasonCode::Outage, "describe_instance"),
        ] {
            let order = order(&row(Some(code), "failed", ""), &calls);
            assert!(order[0].starts_with(first), "{code:?}: {order:?}");
        }
        // A key that held a good bake comes before a lost connection.
        assert!(order(&row(None, "succeeded", "image made"), &calls)[0].starts_with("stop_instance"));
        // The check of a vetoed image.
        let vetoed = BakeRow { vetoed: true, ..row(None, "succeeded", "image made") };
        assert!(order(&vetoed, &calls)[0].starts_with("hook before 1"));
    }
}
