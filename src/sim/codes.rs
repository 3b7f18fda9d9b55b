//! Error codes of the simulated API, each with its usual HTTP status and message.

use std::borrow::Cow;

/// Code, HTTP status, message. The wording follows the error tables of the API pages and the gateway's own output;
/// `IncorrectDesktopStatus`, `IncorrectInstanceStatus` and `InvalidDesktopId.NotFound` are invented, because the pages
/// of the power calls list no codes.
const CODES: &[(&str, u16, &str)] = &[
    ("AuthenticationFail.OIDCToken.Invalid", 403, "The OIDC token is invalid."),
    ("CreateDesktopImageRecord.Failed", 400, "Create cloud computer image failed."),
    ("DeleteTemplate.Failed", 400, "Delete template failed."),
    ("DesktopInstance.NotFound", 400, "The cloud computer instance does not exist."),
    ("EntityNotExist.OIDCProvider", 404, "The OIDC provider does not exist."),
    ("EntityNotExist.Role", 404, "The specified role does not exist."),
    ("ExceedBuilderQuota", 400, "The maximum number of builders is reached."),
    ("Forbidden.NoPermission", 403, "You are not authorized to access this page."),
    ("Image.NotExist", 400, "The image does not exist."),
    ("ImageCreateByInstance.TaskExist", 400, "The image task of instance creation already exists."),
    ("ImageDeleteFailed.HasSharedImage", 400, "The shared image is not allowed to be deleted."),
    ("ImageDeleteFailed.NotAllow", 400, "The image is not allowed to be deleted."),
    (
        "ImageDeleteFailed.NotAllowCommunityParent",
        400,
        "The parent image of a community image is not allowed to be deleted.",
    ),
    ("ImageDeleteFailed.NotAllowSharedImage", 400, "The shared image is not allowed to be deleted."),
    ("ImageDistribute.ImageNotSupport", 400, "The image does not support region distribution."),
    ("ImageDistribute.RepeatedDistribution", 400, "This image has been distributed to this region."),
    ("ImageDistribute.TargetDistributeRegionListEmpty", 400, "The target distribution region list is empty."),
    ("ImageDistribute.Undistributed", 400, "The image has not been distributed to any region."),
    ("ImageNotAllowDelete", 400, "The image cannot be deleted, because shared cloud computers already exist."),
    ("ImageRegion.NotConfigured", 400, "The image does not have any region configuration."),
    ("ImageRegionDistribute.NotAllow", 400, "This image cannot be distributed."),
    ("ImageUpdateFailed.NotAllow", 400, "The image is not allowed to be modified."),
    ("ImageUpdateSharedImageFailed.NotAllow", 400, "The shared image is not allowed to be modified."),
    ("IncompleteSignature", 400, "The request signature does not conform to the ACS3-HMAC-SHA256 standard."),
    ("IncorrectDesktopStatus", 400, "The current status of the cloud computer does not support this operation."),
    ("IncorrectInstanceStatus", 400, "The current status of the instance does not support this operation."),
    ("Instance.ImageUnsupported", 400, "A non-centralized image does not support this type of operation."),
    ("Instance.NotFound", 400, "The instance is not found."),
    ("Instance.PhysicalNodeNotExist", 400, "The instance physical node does not exist."),
    ("InternalError", 400, "Internal error."),
    ("InvalidAccessKeyId.Inactive", 400, "Specified access key is disabled."),
    ("InvalidAccessKeyId.NotFound", 404, "Specified access key is not found."),
    ("InvalidApi.NotFound", 404, "Specified api is not found, please check your url and method."),
    ("InvalidBaseImage.NotConfigured", 400, "Configuration required for Vhd/Container images."),
    ("InvalidBizType", 400, "The bizType parameter is invalid."),
    ("InvalidDesktopId.NotFound", 400, "The specified cloud computer does not exist."),
    ("InvalidImageOperation.ImageIsCreating", 400, "Failed to operation the image, it is creating."),
    ("InvalidSecurityToken.Expired", 403, "Specified SecurityToken is expired."),
    ("InvalidSignatureMethod", 400, "Specified signature method is not valid."),
    ("InvalidTemplate.NotFound", 400, "Template not found."),
    ("InvalidTimeStamp.Expired", 400, "Specified time stamp or date value is expired."),
    ("InvalidTimeStamp.Format", 400, "Specified time stamp or date value is not well formatted."),
    ("MissingAccessKeyId", 400, "AccessKeyId is mandatory for this action."),
    ("MissingSecurityToken", 400, "SecurityToken is mandatory for this action."),
    ("ParentImageRegionDistribute.NotExist", 400, "The target distribution region of the parent image does not exist."),
    ("QueryTemplate.Failed", 400, "Query template failed."),
    ("QuotaExceeded.Image", 403, "The maximum number of images is reached."),
    ("ServiceUnavailable", 503, "Service unavailable. Please try again later."),
    ("SignatureDoesNotMatch", 400, "Specified signature does not match our calculation."),
    ("SignatureNonceUsed", 400, "Specified signature nonce was used already."),
    ("Throttling", 429, "Request was denied due to request throttling."),
    ("Throttling.Api", 429, "Request was denied due to api flow control."),
    ("Throttling.User", 429, "Request was denied due to user flow control."),
    ("UnsupportedHTTPMethod", 400, "This http method is not supported."),
];

/// An error: code, message and status of an error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimFailure {
    pub(super) code: Cow<'static, str>,
    pub(super) status: u16,
    pub(super) message: Cow<'static, str>,
}

impl SimFailure {
    /// The error with `code`, with its usual status and message. A code without an entry gets 429 or 403 by its family,
    /// else 400, and a general message.
    pub(super) fn new(code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        let (status, message) = match CODES.iter().find(|(known, ..)| *known == code) {
            Some(&(_, status, message)) => (status, message),
            None if code.starts_with("Throttling") => (429, "Request was denied due to flow control."),
            None if code.starts_with("Forbidden") || code.starts_with("NoPermission") => {
                (403, "You are not authorized to perform this operation.")
            }
            None => (400, "The request was refused."),
        };
        Self { code, status, message: message.into() }
    }

    /// The same error with another message.
    pub(super) fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// A mandatory parameter is absent.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(format!("Missing{parameter}")).with_message(format!("{parameter} is mandatory for this action."))
    }

    /// A parameter has a value that the API page does not allow.
    pub(super) fn invalid(parameter: &str) -> Self {
        Self::new(format!("Invalid{parameter}"))
            .with_message(format!("The specified parameter {parameter} is not valid."))
    }
}
