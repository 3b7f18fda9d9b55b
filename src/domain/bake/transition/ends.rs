//! How a bake ends without a good image, each with its reason.

use std::time::Duration;

use crate::domain::{
    api::{
        call::{ApiError, MadeImage},
        identity::ImageStatus,
    },
    bake::{reason::ReasonCode, state::End, waiting::WaitReason},
    clock::show::show_length,
};

/// What makes the image of a stopped instance fail.
pub(super) const STARTED_MEANWHILE: &str = "the instance was started while its image was being made";

/// The end of a bake whose instance ran when it was to be started: other hands did it. After `tries` it may have been ours.
pub(super) fn started_meanwhile(end: End, tries: u32) -> End {
    match &end {
        End::Failed { image: Some(_), reason, .. } if tries == 0 && !reason.contains(STARTED_MEANWHILE) => {
            end.after(&[STARTED_MEANWHILE.to_owned()])
        }
        _ => end,
    }
}

/// The daemon only observes.
pub(super) fn observed() -> End {
    let reason = "not baked: the daemon only observes since it was begun ([daemon] mode)".to_owned();
    End::Skipped { code: ReasonCode::Observe, reason }
}

/// Ends without an image.
pub(super) fn failed(code: ReasonCode, permanent: bool, reason: String) -> End {
    End::Failed { image: None, permanent, code, cause: code.cause(), reason }
}

/// Ends without an image: the cloud's error is the reason.
pub(super) fn failed_by(error: &ApiError, permanent: bool, reason: String) -> End {
    End::Failed { image: None, permanent, code: ReasonCode::of(error), cause: Some(error.cause()), reason }
}

/// There is no image: what it waited for was in the way until it gave up.
pub(super) fn failed_waiting(on: WaitReason, reason: String) -> End {
    End::Failed { image: None, permanent: false, code: on.code_at_deadline(), cause: Some(on.cause()), reason }
}

/// Ends with an image that is not good.
pub(super) fn made_in_vain(image: MadeImage, code: ReasonCode, permanent: bool, reason: String) -> End {
    End::Failed { image: Some(image), permanent, code, cause: code.cause(), reason }
}

/// Ends because the image is not listed any more.
pub(super) fn vanished(image: MadeImage, status: &str, lag: Duration) -> End {
    let reason = if ImageStatus::parse(status) == ImageStatus::Deleted {
        "the image was deleted while it was being made".to_owned()
    } else {
        format!(
            "the image vanished: it has not been listed for {}, and no other image of its slot is listed",
            show_length(lag)
        )
    };
    made_in_vain(image, ReasonCode::Vanished, false, reason)
}
