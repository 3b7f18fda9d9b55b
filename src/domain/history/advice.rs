//! What to do about a bake that ended without an image: the advice of its error, and the command that comes next.

use super::{AttemptRow, BakeRow};
use crate::domain::{api::codes, bake::reason::ReasonCode};

/// The advice for a bake that failed, that a hook refused, or whose image is vetoed, with the next command; `None` for any
/// other.
pub fn of(row: &BakeRow, calls: &[AttemptRow]) -> Option<String> {
    if let Some(image) = row.image_id.as_ref().filter(|_| row.vetoed) {
        return Some(format!(
            "The image is vetoed, and nothing uses it. `imagebaked unveto {image}` allows its use nevertheless; `imagebaked bake \
             {}` makes another one.",
            row.schedule
        ));
    }
    let code = row.reason_code.as_deref().and_then(ReasonCode::parse)?;
    if row.state != "failed" && code != ReasonCode::VetoedByHook {
        return None;
    }
    let reason = row.reason.as_deref().unwrap_or_default();
    let advice = of_call(reason, calls).or_else(|| of_reason(code).map(str::to_owned));
    // The reason of a refused call has the advice of its code already.
    let advice = advice.filter(|advice| !reason.contains(advice.trim_end_matches('.')));
    let advice = advice.map_or_else(String::new, |advice| format!("{advice} "));
    Some(format!("{advice}After the fix: `imagebaked retry {}`.", row.id))
}

/// The advice for the error that the bake ended with.
fn of_call(reason: &str, calls: &[AttemptRow]) -> Option<String> {
    let failed = calls.iter().rev().filter(|call| call.outcome != "ok").find_map(|call| call.code.as_deref());
    let rule = failed.filter(|code| reason.contains(code)).and_then(codes::find)?;
    Some(rule.advice.to_owned())
}

/// The advice where the error of no call is the reason.
const fn of_reason(code: ReasonCode) -> Option<&'static str> {
    Some(match code {
        ReasonCode::HookFailed => "Fix the hook; what it wrote is with its call.",
        ReasonCode::VetoedByHook => "Correct what the hook checks; what it wrote is with its call.",
        ReasonCode::CreatedFailed => {
            "See whether the instance was started or changed while its image was made; the request id of the create call is \
             for a support ticket."
        }
        ReasonCode::Stuck => "Check the image in the console: it may still be made, and holds a builder meanwhile.",
        ReasonCode::Vanished => "See in the console who deleted the image.",
        ReasonCode::NameTaken => "Rename or delete the other image, or change `image_name`.",
        ReasonCode::Quota => "Delete images, lower `max_builders`, or ask for more in the quota center.",
        ReasonCode::Outage => "Check network, DNS and proxies: `imagebaked doctor`.",
        ReasonCode::Credentials => "Check the key pair: `imagebaked doctor`.",
        ReasonCode::InstanceState => {
            "Check the instance in the console: it must exist, and its state must allow an image."
        }
        ReasonCode::Deadline => "A longer `deadline` gives it more time.",
        ReasonCode::Refused => "The cloud refused the call: read its message.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, code: ReasonCode, reason: &str) -> BakeRow {
        BakeRow {
            state: state.to_owned(),
            reason_code: Some(code.as_str().to_owned()),
            reason: Some(reason.to_owned()),
            finished_at: Some(1),
            ..BakeRow::example()
        }
    }

    fn call(code: &str) -> AttemptRow {
        AttemptRow {
            stage: "create".to_owned(),
            call: "create_image".to_owned(),
            started_at: 0,
            finished_at: 0,
            outcome: "permanent".to_owned(),
            code: Some(code.to_owned()),
            http_status: None,
            request_id: None,
            message: None,
            success: None,
            answer: None,
        }
    }

    #[test]
    fn every_failure_has_an_advice_and_the_next_command() {
        for code in ReasonCode::ALL.into_iter().filter(|code| code.cause().is_some()) {
            let advice = of(&row("failed", code, "for a reason"), &[]).unwrap();
            assert!(advice.ends_with("After the fix: `imagebaked retry 7`."), "{advice}");
            assert!(advice.len() > 60, "{code:?} has no advice: {advice}");
        }
        assert!(of(&row("skipped", ReasonCode::VetoedByHook, "no"), &[]).unwrap().contains("what the hook checks"));
        assert_eq!(of(&row("skipped", ReasonCode::Missed, "late"), &[]), None);
        let good = BakeRow { state: "succeeded".to_owned(), image_id: Some("imgc-1".to_owned()), ..BakeRow::example() };
        assert_eq!(of(&good, &[]), None);
        let advice = of(&BakeRow { vetoed: true, ..good }, &[]).unwrap();
        assert!(advice.contains("`imagebaked unveto imgc-1`") && advice.contains("`imagebaked bake "), "{advice}");
    }

    #[test]
    fn an_error_of_the_cloud_has_the_advice_of_its_code_once() {
        let advice = codes::find("Instance.ImageUnsupported").unwrap().advice;
        let calls = [call("Instance.ImageUnsupported")];
        let failed = |reason: &str| of(&row("failed", ReasonCode::Refused, reason), &calls).unwrap();
        assert!(failed("Instance.ImageUnsupported: no").starts_with(advice));
        let bare = failed(&format!("Instance.ImageUnsupported: no ({advice})"));
        assert_eq!(bare, "After the fix: `imagebaked retry 7`.");
        assert!(!failed("the image vanished").starts_with(advice), "another error is the reason");
    }
}
