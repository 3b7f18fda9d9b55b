//! Delivery groups of App Streaming: listed only as users of images.

use serde::Deserialize;

use crate::{
    adapters::cloud::{
        lenient,
        listing::{Cursor, Listing, PAGE_SIZE, RawPage},
        request::{CloudCall, Pairs, RpcRequest},
    },
    domain::api::codes::Idempotency,
};

/// ListAppInstanceGroup: delivery groups with their image. The SDK sends its parameters in the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAppInstanceGroup {
    /// Groups with this image.
    pub image_id: Option<String>,
    /// From 1.
    pub page_number: Option<u32>,
    /// At most 100.
    pub page_size: Option<u32>,
}

/// A delivery group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeliveryGroup {
    /// `aig-…`.
    #[serde(rename = "AppInstanceGroupId")]
    pub id: String,
    /// Its image.
    #[serde(rename = "AppCenterImageId", default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
}

impl CloudCall for ListAppInstanceGroup {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let query = Pairs::default()
            .text("AppCenterImageId", self.image_id.as_deref())
            .number("PageNumber", self.page_number)
            .number("PageSize", self.page_size)
            .text("ProductType", Some("CloudApp"));
        RpcRequest::app_streaming(Self::ACTION, Idempotency::Idempotent).with_query(query).listing()
    }
}

impl Listing for ListAppInstanceGroup {
    type Row = DeliveryGroup;
    const ACTION: &'static str = "ListAppInstanceGroup";
    const ROWS: &'static str = "AppInstanceGroupModels";
    const COUNT: Option<&'static str> = Some("TotalCount");

    fn key(row: &DeliveryGroup) -> String {
        row.id.clone()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { page_number: cursor.number(), page_size: Some(PAGE_SIZE), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Number(1)
    }
}
