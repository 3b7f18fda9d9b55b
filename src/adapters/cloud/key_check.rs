//! Finds out whether the cloud accepts the key in use, where no other call shows it.

use std::time::Duration;

use super::{
    actions::{DescribeDesktops, ListImage},
    client::CloudClient,
    key_watch::KeyWatch,
    request::Product,
};
use crate::domain::api::call::{ApiError, ErrorClass};

/// A check that is due.
#[derive(Debug)]
pub struct KeyCheck(Product);

impl CloudClient {
    /// What is known of the key.
    pub fn key_watch(&self) -> &KeyWatch {
        &self.keys
    }

    /// The check that is due: a call was rejected, or none was accepted for this long. It counts as begun.
    pub fn take_key_check(&self, after: Duration) -> Option<KeyCheck> {
        self.keys.take_check(after).map(KeyCheck)
    }

    /// Sends something cheap; if it is rejected, the source of the key is read again, as for the call of a bake.
    pub async fn check_key(&self, check: KeyCheck) {
        let KeyCheck(product) = check;
        let mut outcome = self.ask_cheaply(&product).await;
        if let Err(rejection) = &outcome
            && rejection.class == ErrorClass::Credential
        {
            outcome = match self.renew_after(rejection).await {
                Ok(()) => self.ask_cheaply(&product).await,
                Err(error) => Err(error),
            };
        }
        self.keys.checked(outcome);
    }

    /// A call of this product that costs little and changes nothing.
    pub(super) async fn ask_cheaply(&self, product: &Product) -> Result<(), ApiError> {
        match product {
            Product::AppStreaming => self.list_images(&ListImage::of_one()).await.map(drop),
            Product::Desktops { region } => {
                let region = region.clone();
                let one = DescribeDesktops { region, max_results: Some(1), ..DescribeDesktops::default() };
                self.call(&one).await.map(drop)
            }
            Product::Sts => self.caller_identity().await.map(drop),
        }
    }
}
