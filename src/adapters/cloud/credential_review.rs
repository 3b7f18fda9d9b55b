//! Credentials that are read again on request: probed first, and in use only if the cloud accepts them.

use std::time::Duration;

use super::{
    actions::ListImage,
    client::{CloudClient, Ready},
    request::CloudCall as _,
    signing::AccessKey,
};
use crate::domain::api::{
    call::ErrorClass,
    credential_review::{CredentialReview, KeyResult},
};

/// Maximum time of a probe: somebody waits for the answer.
const LONGEST_PROBE: Duration = Duration::from_secs(8);

impl CloudClient {
    /// Reads the source of the credentials again. Others than those in use are probed, and used from now on if the cloud accepts
    /// them. `is_rejected`: those in use are rejected, and are probed as well.
    pub async fn review_credentials(&self, is_rejected: bool) -> CredentialReview {
        let former = self.credential_provider.at_hand();
        let masked = |key: &AccessKey| Some(key.masked());
        let former_key_id = former.as_ref().and_then(|former| masked(&former.key));
        let only_at_restart = former.as_ref().and_then(|former| self.credential_provider.fixed(former.source));
        let only_at_restart = only_at_restart.map(str::to_owned);
        let (changed, key_id, result) = match (self.credential_provider.reread().await, former) {
            (Err(error), _) => (false, None, KeyResult::Unreadable { message: error.to_string() }),
            (Ok(None), Some(former)) if is_rejected => (false, masked(&former.key), self.probe_key(&former.key).await),
            (Ok(None), _) => (false, former_key_id.clone(), KeyResult::NotProbed),
            (Ok(Some(found)), _) => {
                let (key_id, result) = (masked(&found.key), self.probe_key(&found.key).await);
                if result == KeyResult::Accepted {
                    self.credential_provider.take_over(found);
                }
                (true, key_id, result)
            }
        };
        CredentialReview { changed, key_id, former_key_id, result, only_at_restart }
    }

    /// Asks the cloud for one image with this key, outside of the rate limit.
    async fn probe_key(&self, key: &AccessKey) -> KeyResult {
        let request = ListImage::of_one().request();
        let endpoint = match self.endpoint(&request.product) {
            Ok(endpoint) => endpoint,
            Err(error) => return KeyResult::NoAnswer { message: error.to_string() },
        };
        let ready = Ready { endpoint, key: key.clone() };
        match tokio::time::timeout(LONGEST_PROBE, self.exchange::<ListImage>(&request, &ready)).await {
            Err(_) => KeyResult::NoAnswer { message: format!("no answer within {} s", LONGEST_PROBE.as_secs()) },
            Ok(Err(error)) if error.class == ErrorClass::Credential => {
                KeyResult::Rejected { message: error.to_string() }
            }
            Ok(Err(error)) if error.is_outage() => KeyResult::NoAnswer { message: error.to_string() },
            // Any other answer comes after the check of the signature.
            Ok(_) => KeyResult::Accepted,
        }
    }
}
