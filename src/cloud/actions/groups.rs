//! Delivery groups of App Streaming: looked at only to learn which images they use.

use serde::Deserialize;

use crate::{
    cloud::{
        lenient,
        request::{Call, Pairs, Repeat, RpcRequest},
    },
    ids::ImageId,
};

/// ListAppInstanceGroup: delivery groups with the image that each is made from. The SDK sends its parameters in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAppInstanceGroup {
    /// From 1.
    pub page_number: u32,
    /// At most 100.
    pub page_size: u32,
}

/// One page of ListAppInstanceGroup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupPage {
    /// Rows in all pages.
    #[serde(default, deserialize_with = "lenient::number")]
    pub total_count: Option<i64>,
    /// The rows.
    #[serde(rename = "AppInstanceGroupModels", default, deserialize_with = "lenient::list")]
    pub groups: Vec<DeliveryGroup>,
}

/// A delivery group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeliveryGroup {
    /// `aig-…`.
    #[serde(rename = "AppInstanceGroupId")]
    pub id: String,
    /// Its image.
    #[serde(rename = "AppCenterImageId", default)]
    pub image_id: Option<ImageId>,
}

impl Call for ListAppInstanceGroup {
    type Value = GroupPage;

    fn request(&self) -> RpcRequest {
        let query = Pairs::default()
            .number("PageNumber", Some(self.page_number))
            .number("PageSize", Some(self.page_size))
            .text("ProductType", Some("CloudApp"));
        RpcRequest::app_streaming("ListAppInstanceGroup", Repeat::Harmless).with_query(query).listing()
    }
}
