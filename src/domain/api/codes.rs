//! Table of error codes: class, cause and advice for each. The code decides; the HTTP status is used only for codes
//! that are not in the table, because the API returns server errors with 400 and missing keys with 404.

use super::{
    cause::Cause::{self, Cloud, Credentials, Image, Instance, Operator, Quota},
    class::ErrorClass::{self, Busy, Credential, Permanent, Transient, Unclear},
};

/// Effect of a second call after the response to the first one was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// None: reading, starting, stopping.
    Idempotent,
    /// It makes a second image or task, or breaks a promise made since: creating, distributing, deleting. The result of
    /// the first call is looked up before.
    NonIdempotent,
}

/// A quota shared by all bakes of the account: only time or the end of an image frees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountQuota {
    /// How many images are made at a time.
    Builders,
    /// How many images there are.
    Images,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRule {
    /// The API's `Code`, or its beginning.
    pub code: &'static str,
    /// Whether `code` is a prefix.
    pub is_prefix: bool,
    /// Whether `code` is a substring.
    pub is_part: bool,
    /// Class of idempotent calls.
    pub class: ErrorClass,
    /// Class of calls whose repetition would make a second image or task.
    pub class_when_doubling: ErrorClass,
    /// Cause of the failure of a bake that ends with it.
    pub cause: Cause,
    /// The account's quota that is exceeded.
    pub quota: Option<AccountQuota>,
    /// One sentence for the operator.
    pub advice: &'static str,
}

/// Class and advice for a code and a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classification {
    /// The class.
    pub class: ErrorClass,
    /// One sentence for the operator.
    pub advice: &'static str,
}

/// Classifies a failed call: by its exact code, else by its longest part in the table, else by its status. `None` is a
/// response that is not the API's own, or has neither result nor code: its status is that of another system.
pub fn judge(code: Option<&str>, http_status: u16, repeat: Idempotency) -> Classification {
    match code.filter(|code| is_word(code)) {
        Some(code) => find(code).map_or_else(|| by_status(http_status, repeat), |rule| rule.verdict(repeat)),
        None => unknown(repeat),
    }
}

/// The API's codes are words. A number is an HTTP status repeated by a system in between.
fn is_word(code: &str) -> bool {
    code.chars().any(char::is_alphabetic)
}

/// All rows, in the order of the table.
pub fn rules() -> impl Iterator<Item = &'static CodeRule> {
    TABLE.iter()
}

impl CodeRule {
    /// The class for this kind of call.
    pub fn verdict(&self, repeat: Idempotency) -> Classification {
        let class = match repeat {
            Idempotency::Idempotent => self.class,
            Idempotency::NonIdempotent => self.class_when_doubling,
        };
        Classification { class, advice: self.advice }
    }

    fn matches(&self, code: &str) -> bool {
        if self.is_part {
            code.contains(self.code)
        } else if self.is_prefix {
            code.starts_with(self.code)
        } else {
            code == self.code
        }
    }
}

/// The row of a code.
pub fn find(code: &str) -> Option<&'static CodeRule> {
    let closeness = |rule: &&CodeRule| (!rule.is_part && !rule.is_prefix, rule.code.len());
    TABLE.iter().filter(|rule| rule.matches(code)).max_by_key(closeness)
}

fn by_status(http_status: u16, repeat: Idempotency) -> Classification {
    let (class, advice) = match http_status {
        429 => (Transient, "The cloud limits calls: lower requests_per_second if this goes on."),
        401 | 403 => (Permanent, "Access was refused: check the RAM policy."),
        // Proxies that lost the connection send these; the request may have arrived.
        407 | 408 | 499 => return unknown(repeat),
        400..=499 => (Permanent, "The cloud refused the request: read its message."),
        _ => return unknown(repeat),
    };
    Classification { class, advice }
}

/// Neither the result nor the delivery of the request is known.
fn unknown(repeat: Idempotency) -> Classification {
    match repeat {
        Idempotency::Idempotent => Classification { class: Transient, advice: "No usable answer came: tried again." },
        Idempotency::NonIdempotent => Classification {
            class: Unclear,
            advice: "It is unknown whether the cloud acted: searched for before any repetition.",
        },
    }
}

const fn exact(code: &'static str, class: ErrorClass, cause: Cause, advice: &'static str) -> CodeRule {
    CodeRule { code, is_prefix: false, is_part: false, class, class_when_doubling: class, cause, quota: None, advice }
}

const fn prefix(code: &'static str, class: ErrorClass, cause: Cause, advice: &'static str) -> CodeRule {
    CodeRule { is_prefix: true, ..exact(code, class, cause, advice) }
}

const fn part(code: &'static str, class: ErrorClass, cause: Cause, advice: &'static str) -> CodeRule {
    CodeRule { is_part: true, ..exact(code, class, cause, advice) }
}

/// An error of the cloud with unknown result: idempotent calls are repeated, for others the image is searched for
/// first.
const fn fault(code: &'static str, advice: &'static str) -> CodeRule {
    CodeRule { class_when_doubling: Unclear, ..exact(code, Transient, Cloud, advice) }
}

const fn fault_prefix(code: &'static str, advice: &'static str) -> CodeRule {
    CodeRule { is_prefix: true, ..fault(code, advice) }
}

const fn account_quota(quota: AccountQuota, rule: CodeRule) -> CodeRule {
    CodeRule { quota: Some(quota), ..rule }
}

const SERVER_FAULT: &str = "The cloud had a fault: nothing to do unless it goes on.";
const SLOW_DOWN: &str = "The cloud limits calls: lower requests_per_second if this goes on.";
const WAIT_QUOTA: &str = "A quota is used up: wait, free something or ask for more in the quota center.";
const WAIT_IMAGES: &str =
    "The account has as many images as it may: images past their grace are deleted; delete others or ask for more.";
const NO_KEY: &str = "Check the access key id: it must exist, be enabled and belong to this account.";
const NO_TOKEN: &str = "The security token is not valid any more: renew the temporary credentials.";
const BAD_SIGNATURE: &str = "Check the access key secret: it does not fit the key id.";
const IN_THE_WAY: &str = "The instance is busy, or in a state that does not allow it now: waited for.";
const RAM: &str = "Grant this action (appstreaming:… or ecd:…) to the RAM user or role.";
const NO_INSTANCE: &str = "Check instance_id, instance_type and the account: the instance is not there.";
const NO_WORKSTATION: &str =
    "Check instance_id, sub_instance_id and the account: the workstation or its session is not there.";
const NOT_DELETABLE: &str = "The image is shared or not ours: keep it.";
const IN_USE: &str = "The image is in use or shared: its deletion is tried again later; release it or pin it.";
const OURS: &str = "The cloud did not understand the request: check the settings, else report a bug.";

const TABLE: &[CodeRule] = &[
    // CreateImageByInstance.
    exact("Instance.NotFound", Permanent, Instance, NO_WORKSTATION),
    exact("DesktopInstance.NotFound", Permanent, Instance, NO_INSTANCE),
    exact(
        "Instance.ImageUnsupported",
        Permanent,
        Instance,
        "The instance was made from an old regional image: rebuild it from a central one.",
    ),
    exact(
        "Instance.PhysicalNodeNotExist",
        Permanent,
        Instance,
        "The instance has no machine behind it: check it in the console.",
    ),
    exact(
        "ImageCreateByInstance.TaskExist",
        Busy,
        Instance,
        "An image of this instance is being made already: waited for.",
    ),
    account_quota(
        AccountQuota::Builders,
        exact(
            "ExceedBuilderQuota",
            Busy,
            Quota,
            "All image builders are in use: waited for; lower max_builders if this is usual.",
        ),
    ),
    exact(
        "InvalidBaseImage.NotConfigured",
        Permanent,
        Instance,
        "The instance's base image is not configured: check it in the console.",
    ),
    exact(
        "CreateDesktopImageRecord.Failed",
        Unclear,
        Cloud,
        "The cloud failed half-way: searched for before any repetition.",
    ),
    exact("Image.NotExist", Permanent, Instance, "The image is not there (any more)."),
    exact(
        "ImageRegionDistribute.NotAllow",
        Permanent,
        Operator,
        "This image may not be distributed: leave `regions` empty.",
    ),
    exact(
        "ImageUpdateFailed.NotAllow",
        Permanent,
        Instance,
        "The instance's image may not be changed: use an image of your own.",
    ),
    exact(
        "ImageUpdateSharedImageFailed.NotAllow",
        Permanent,
        Instance,
        "The instance's image is shared and may not be changed: use an image of your own.",
    ),
    exact(
        "ParentImageRegionDistribute.NotExist",
        Permanent,
        Operator,
        "The parent image is not in the target region: distribute it there first.",
    ),
    fault("InternalError", SERVER_FAULT),
    // DeleteImage.
    prefix("ImageDeleteFailed.", Permanent, Image, NOT_DELETABLE),
    exact("ImageDeleteFailed.NotAllow", Busy, Image, IN_USE),
    exact("ImageDeleteFailed.HasSharedImage", Busy, Image, IN_USE),
    exact("ImageNotAllowDelete", Busy, Image, IN_USE),
    exact("InvalidImageOperation.ImageIsCreating", Busy, Image, "The image is still being made: waited for."),
    exact(
        "DeleteTemplate.Failed",
        Unclear,
        Cloud,
        "The cloud failed to delete a template of the image: check it in the console.",
    ),
    exact(
        "QueryTemplate.Failed",
        Unclear,
        Cloud,
        "The cloud failed to read a template of the image: check it in the console.",
    ),
    exact("InvalidTemplate.NotFound", Permanent, Image, "A template of the image is not there (any more)."),
    // StartTaskForDistributeImage.
    exact(
        "ImageDistribute.TargetDistributeRegionListEmpty",
        Permanent,
        Operator,
        "Name at least one region in `regions`.",
    ),
    exact(
        "ImageDistribute.ImageNotSupport",
        Permanent,
        Image,
        "This kind of image cannot be distributed: leave `regions` empty.",
    ),
    exact(
        "ImageDistribute.RepeatedDistribution",
        Permanent,
        Image,
        "The image is in that region already: nothing to do.",
    ),
    exact("ImageDistribute.Undistributed", Permanent, Image, "The image is in no region yet: check it in the console."),
    exact("ImageRegion.NotConfigured", Permanent, Image, "The image has no region settings: check it in the console."),
    // ListImage.
    exact("InvalidBizType", Permanent, Operator, "Check biz_type: the cloud does not have it."),
    // Limits.
    prefix("Throttling", Transient, Cloud, SLOW_DOWN),
    exact("Rejected.Throttling", Transient, Cloud, SLOW_DOWN),
    exact("TooManyRequests", Transient, Cloud, SLOW_DOWN),
    prefix("Throttling.Resource", Busy, Quota, WAIT_QUOTA),
    prefix("Throttling.Api.Risk", Busy, Quota, WAIT_QUOTA),
    part("Quota", Busy, Quota, WAIT_QUOTA),
    account_quota(AccountQuota::Images, prefix("QuotaExceeded.", Busy, Quota, WAIT_IMAGES)),
    prefix("LimitExceeded", Busy, Quota, WAIT_QUOTA),
    exact("LastTokenProcessing", Transient, Cloud, "Another operation is running: tried again."),
    // The state or a task of the instance does not allow the call now; that changes.
    exact("IncorrectDesktopStatus", Busy, Instance, IN_THE_WAY),
    exact("IncorrectInstanceStatus", Busy, Instance, IN_THE_WAY),
    exact("OperationConflict", Busy, Instance, IN_THE_WAY),
    prefix("OperationDenied.", Busy, Instance, IN_THE_WAY),
    prefix("ResourceBusy", Busy, Instance, IN_THE_WAY),
    part("StatusNotSupport", Busy, Instance, IN_THE_WAY),
    // Errors of the gateway and behind it.
    fault_prefix("ServiceUnavailable", SERVER_FAULT),
    fault("InternalFailure", SERVER_FAULT),
    fault("RequestTimeout", SERVER_FAULT),
    fault(
        "SignatureNonceUsed",
        "The request arrived twice, and the first may have worked: searched for or tried again.",
    ),
    // Key, token, signature, clock.
    prefix("InvalidAccessKeyId", Credential, Credentials, NO_KEY),
    exact("MissingAccessKeyId", Credential, Credentials, NO_KEY),
    exact("SignatureDoesNotMatch", Credential, Credentials, BAD_SIGNATURE),
    exact("IncompleteSignature", Credential, Credentials, BAD_SIGNATURE),
    exact("InvalidSignatureMethod", Credential, Credentials, BAD_SIGNATURE),
    prefix("InvalidSecurityToken", Credential, Credentials, NO_TOKEN),
    exact(
        "InvalidTimeStamp.Expired",
        Credential,
        Operator,
        "This host's clock is more than 15 minutes off: set it, and keep it set with NTP.",
    ),
    exact("InvalidTimeStamp.Format", Permanent, Operator, OURS),
    // Permissions.
    prefix("Forbidden", Permanent, Credentials, RAM),
    prefix("NoPermission", Permanent, Credentials, RAM),
    // Errors of the request and its endpoint.
    exact("InvalidApi.NotFound", Permanent, Operator, "Check the endpoint: this host does not have the call."),
    exact("InvalidProduct.NotFound", Permanent, Operator, "Check the endpoint: this host does not have the service."),
    exact("InvalidProtocol.NeedSsl", Permanent, Operator, "Use an https endpoint."),
    exact("UnsupportedHTTPMethod", Permanent, Operator, OURS),
    prefix("Missing", Permanent, Operator, OURS),
    prefix("Invalid", Permanent, Operator, OURS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_own_code_and_gives_advice() {
        for rule in rules() {
            assert_eq!(find(rule.code), Some(rule), "{}", rule.code);
            if rule.is_prefix {
                assert_eq!(find(&format!("{}Whatever", rule.code)), Some(rule), "{}", rule.code);
            }
            if rule.is_part {
                assert_eq!(find(&format!("Some{}Whatever", rule.code)), Some(rule), "{}", rule.code);
            }
            assert!(rule.advice.ends_with('.') && rule.advice.len() > 20, "{}", rule.code);
            assert!(rule.class == rule.class_when_doubling || rule.class_when_doubling == Unclear, "{}", rule.code);
        }
    }

    /// Such a quota would reject other bakes of the account too; another quota may concern one call only.
    #[test]
    fn two_quotas_are_of_the_account() {
        let quota = |code: &str| find(code).and_then(|rule| rule.quota);
        assert_eq!(quota("ExceedBuilderQuota"), Some(AccountQuota::Builders));
        assert_eq!(quota("QuotaExceeded.Image"), Some(AccountQuota::Images));
        for code in ["QuotaExceed.Image", "ImageQuotaExceeded", "LimitExceeded", "Throttling.Resource"] {
            assert_eq!((find(code).map(|rule| rule.cause), quota(code)), (Some(Quota), None), "{code}");
        }
    }

    #[test]
    fn a_known_code_means_the_same_under_every_status() {
        for rule in rules() {
            for repeat in [Idempotency::Idempotent, Idempotency::NonIdempotent] {
                let verdicts = [200, 400, 403, 404, 429, 500, 503].map(|status| judge(Some(rule.code), status, repeat));
                assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{}", rule.code);
            }
        }
        // Without a code it is not a response of the API, whatever the status.
        for status in 100..600 {
            for code in [None, Some(""), Some("403"), Some("-1")] {
                assert_eq!(
                    judge(code, status, Idempotency::NonIdempotent).class,
                    ErrorClass::Unclear,
                    "{code:?} {status}"
                );
                assert_eq!(
                    judge(code, status, Idempotency::Idempotent).class,
                    ErrorClass::Transient,
                    "{code:?} {status}"
                );
            }
        }
    }

    #[test]
    fn codes_of_the_create_call() {
        for (code, class) in [
            ("Instance.NotFound", Permanent),
            ("DesktopInstance.NotFound", Permanent),
            ("Instance.ImageUnsupported", Permanent),
            ("Instance.PhysicalNodeNotExist", Permanent),
            ("ImageCreateByInstance.TaskExist", Busy),
            ("ExceedBuilderQuota", Busy),
            ("InvalidBaseImage.NotConfigured", Permanent),
            ("CreateDesktopImageRecord.Failed", Unclear),
            ("Image.NotExist", Permanent),
            ("ImageRegionDistribute.NotAllow", Permanent),
            ("ImageUpdateFailed.NotAllow", Permanent),
            ("ImageUpdateSharedImageFailed.NotAllow", Permanent),
            ("ParentImageRegionDistribute.NotExist", Permanent),
            ("InternalError", Unclear),
        ] {
            assert!(TABLE.iter().any(|rule| rule.code == code), "{code} is not in the table");
            assert_eq!(judge(Some(code), 400, Idempotency::NonIdempotent).class, class, "{code}");
        }
    }

    #[test]
    fn common_codes_and_statuses() {
        for (code, status, harmless, doubling) in [
            (Some("Throttling.User"), 400, Transient, Transient),
            (Some("Throttling.Api"), 429, Transient, Transient),
            (Some("Throttling.Api.Risk"), 429, Busy, Busy),
            (Some("Throttling.Resource"), 429, Busy, Busy),
            (Some("QuotaExceed.Image"), 403, Busy, Busy),
            (Some("IncorrectDesktopStatus"), 400, Busy, Busy),
            (Some("IncorrectInstanceStatus"), 403, Busy, Busy),
            (Some("OperationConflict"), 409, Busy, Busy),
            (Some("OperationDenied.ImageCopying"), 403, Busy, Busy),
            (Some("OperationDenied.NoStock"), 403, Busy, Busy),
            (Some("ResourceBusy"), 400, Busy, Busy),
            (Some("DesktopStatusNotSupport"), 400, Busy, Busy),
            (Some("InvalidDesktop.StatusNotSupported"), 400, Busy, Busy),
            (Some("InternalError"), 400, Transient, Unclear),
            (Some("ServiceUnavailableTemporary"), 503, Transient, Unclear),
            (Some("SignatureNonceUsed"), 400, Transient, Unclear),
            (Some("InvalidAccessKeyId.NotFound"), 404, Credential, Credential),
            (Some("InvalidSecurityToken.Expired"), 403, Credential, Credential),
            (Some("InvalidTimeStamp.Expired"), 400, Credential, Credential),
            (Some("Forbidden.RAM"), 403, Permanent, Permanent),
            (Some("MissingImageId"), 400, Permanent, Permanent),
            (Some("NeverHeardOf"), 400, Permanent, Permanent),
            (Some("NeverHeardOf"), 500, Transient, Unclear),
            (Some("NeverHeardOf"), 403, Permanent, Permanent),
            (Some("NeverHeardOf"), 429, Transient, Transient),
            (Some("NeverHeardOf"), 408, Transient, Unclear),
            (Some("NeverHeardOf"), 302, Transient, Unclear),
            (Some("NeverHeardOf"), 200, Transient, Unclear),
        ] {
            assert_eq!(judge(code, status, Idempotency::Idempotent).class, harmless, "{code:?} {status}");
            assert_eq!(judge(code, status, Idempotency::NonIdempotent).class, doubling, "{code:?} {status}");
        }
    }
}
