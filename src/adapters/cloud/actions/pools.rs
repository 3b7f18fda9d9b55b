//! Sources of cloud desktops in the desktop service: pools, bundles, templates and its own list of images. They are
//! listed only as users of images, and for the ids of images.

use serde::Deserialize;

use crate::adapters::cloud::{
    lenient,
    listing::{Cursor, Listing, PAGE_SIZE, RawPage},
    request::{CloudCall, Pairs, RpcRequest},
};

/// DescribeDesktopGroups of ecd: desktop pools. A pool scaled to 0 has no desktops and uses its image nevertheless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeDesktopGroups {
    /// The pools' region.
    pub region: String,
    /// Pools with one of these images; all if empty.
    pub image_ids: Vec<String>,
    /// At most 100.
    pub max_results: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// A desktop pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesktopGroup {
    /// `dg-…`.
    #[serde(rename = "DesktopGroupId")]
    pub id: String,
    /// Its image.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
}

impl CloudCall for DescribeDesktopGroups {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .list("ImageId", self.image_ids.iter().map(String::as_str))
            .number("MaxResults", self.max_results)
            .text("NextToken", self.next_token.as_deref());
        RpcRequest::desktops(Self::ACTION, &self.region, parameters).listing()
    }
}

impl Listing for DescribeDesktopGroups {
    type Row = DesktopGroup;
    const ACTION: &'static str = "DescribeDesktopGroups";
    const ROWS: &'static str = "DesktopGroups";
    const COUNT: Option<&'static str> = None;

    fn key(row: &DesktopGroup) -> String {
        row.id.clone()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { max_results: Some(PAGE_SIZE), next_token: cursor.token(), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Token(None)
    }
}

/// DescribeBundles of ecd: the account's own bundles, from which desktops and pools are made; also those for several
/// sessions, which the cloud omits by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeBundles {
    /// The bundles' region.
    pub region: String,
    /// Bundles with one of these images; all if empty.
    pub image_ids: Vec<String>,
    /// At most 100.
    pub max_results: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Bundle {
    /// `b-…`.
    #[serde(rename = "BundleId")]
    pub id: String,
    /// Its image.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
    /// The image's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_name: Option<String>,
}

impl CloudCall for DescribeBundles {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .text("BundleType", Some("CUSTOM"))
            .flag("SupportMultiSession", Some(true))
            .list("ImageId", self.image_ids.iter().map(String::as_str))
            .number("MaxResults", self.max_results)
            .text("NextToken", self.next_token.as_deref());
        RpcRequest::desktops(Self::ACTION, &self.region, parameters).listing()
    }
}

impl Listing for DescribeBundles {
    type Row = Bundle;
    const ACTION: &'static str = "DescribeBundles";
    const ROWS: &'static str = "Bundles";
    const COUNT: Option<&'static str> = None;

    fn key(row: &Bundle) -> String {
        row.id.clone()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { max_results: Some(PAGE_SIZE), next_token: cursor.token(), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Token(None)
    }
}

/// DescribeTemplates of ecd: templates of cloud desktops, of all regions at once. DeleteImage deletes those of its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeTemplates {
    /// Region of the host; templates belong to none.
    pub host_region: String,
    /// Those of this image.
    pub image_id: Option<String>,
    /// From 1.
    pub page_number: Option<u32>,
    /// Rows asked for.
    pub page_size: Option<u32>,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template {
    /// `t-…`.
    #[serde(rename = "TemplateId")]
    pub id: String,
    /// Its image.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
}

impl CloudCall for DescribeTemplates {
    type Value = RawPage;

    /// Unlike the other calls of ecd this one takes a form, and no region.
    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .text("ImageId", self.image_id.as_deref())
            .number("PageNumber", self.page_number)
            .number("PageSize", self.page_size)
            .text("ProductType", Some("CloudDesktop"));
        RpcRequest::desktops(Self::ACTION, &self.host_region, Pairs::default())
            .with_query(Pairs::default())
            .with_form(form)
            .listing()
    }
}

impl Listing for DescribeTemplates {
    type Row = Template;
    const ACTION: &'static str = "DescribeTemplates";
    const ROWS: &'static str = "Data";
    const COUNT: Option<&'static str> = Some("TotalCount");

    fn key(row: &Template) -> String {
        row.id.clone()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { page_number: cursor.number(), page_size: Some(PAGE_SIZE), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Number(1)
    }
}

/// DescribeImages of ecd: the account's own images under their ids in the desktop service (`m-…`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeImages {
    /// The images' region.
    pub region: String,
    /// Images with this name; the match may be fuzzy, so compare the returned names.
    pub image_name: Option<String>,
    /// At most 100.
    pub max_results: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// An image of the desktop service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesktopImage {
    /// `m-…`.
    #[serde(rename = "ImageId")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

impl CloudCall for DescribeImages {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let parameters = Pairs::default()
            .text("ImageType", Some("CUSTOM"))
            .text("ImageName", self.image_name.as_deref())
            .number("MaxResults", self.max_results)
            .text("NextToken", self.next_token.as_deref());
        RpcRequest::desktops(Self::ACTION, &self.region, parameters).listing()
    }
}

impl Listing for DescribeImages {
    type Row = DesktopImage;
    const ACTION: &'static str = "DescribeImages";
    const ROWS: &'static str = "Images";
    const COUNT: Option<&'static str> = None;

    fn key(row: &DesktopImage) -> String {
        row.id.clone()
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { max_results: Some(PAGE_SIZE), next_token: cursor.token(), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Token(None)
    }
}
