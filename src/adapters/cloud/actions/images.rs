//! Images of App Streaming: made from an instance, listed, deleted, distributed.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    adapters::cloud::{
        lenient,
        listing::{Cursor, Listing, PAGE_SIZE, RawPage},
        request::{CloudCall, Pairs, RpcRequest},
    },
    domain::{
        api::{codes::Idempotency, instance_state::InstanceType},
        bake::settings::DiskType,
        ids::{ImageId, InstanceId},
    },
};

/// CreateImageByInstance: starts to make an image of a cloud desktop or a workstation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateImageByInstance {
    /// Name of the image; the API does not require it to be unique, this program does.
    pub image_name: String,
    /// The image's description.
    pub description: Option<String>,
    /// Source of the image.
    pub instance_id: InstanceId,
    /// Workstations only: the persistent session that pins one machine.
    pub sub_instance_id: Option<String>,
    /// Kind of the machine.
    pub instance_type: InstanceType,
    /// Cloud desktops only: omit user data.
    pub auto_clean_userdata: Option<bool>,
    /// Whether user profile data is copied.
    pub copy_profile: Option<bool>,
    /// Which disks; the cloud's default is all.
    pub disk_type: Option<DiskType>,
    /// Meaning not public.
    pub biz_type: Option<i32>,
    /// Meaning not public.
    pub product_type: Option<String>,
    /// Tags of the image.
    pub tags: BTreeMap<String, String>,
}

/// `Data` of CreateImageByInstance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedImage {
    /// The image that is being made.
    pub image_id: ImageId,
    /// Its version.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version_id: Option<String>,
    /// Task that makes it; for support tickets, because no call takes it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub task_id: Option<String>,
}

impl CloudCall for CreateImageByInstance {
    type Value = CreatedImage;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .text("ImageName", Some(&self.image_name))
            .text("Description", self.description.as_deref())
            .text("InstanceId", Some(self.instance_id.as_str()))
            .text("SubInstanceId", self.sub_instance_id.as_deref())
            .text("InstanceType", Some(self.instance_type.as_str()))
            .flag("AutoCleanUserdata", self.auto_clean_userdata)
            .flag("CopyProfile", self.copy_profile)
            .text("DiskType", self.disk_type.map(DiskType::as_str))
            .number("BizType", self.biz_type)
            .text("ProductType", self.product_type.as_deref());
        RpcRequest::app_streaming("CreateImageByInstance", Idempotency::NonIdempotent)
            .with_form(form)
            .with_query(Pairs::default().tags(&self.tags))
    }

    fn value(answer: Value) -> Result<CreatedImage, serde_json::Error> {
        let created: CreatedImage = data(answer)?;
        if is_plausible_id(created.image_id.as_str()) { Ok(created) } else { Err(missing("ImageId")) }
    }
}

/// ListImage: one page of the account's images; also used to poll an image that is being made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListImage {
    /// One image.
    pub image_id: Option<ImageId>,
    /// Part of the name: the match is fuzzy, so compare the returned names.
    pub image_name: Option<String>,
    /// All that are not deleted where `None`.
    pub status: Option<ImageStatus>,
    /// `User`, `Shared`, `System` or `Community`.
    pub image_type: Option<String>,
    /// `CloudDesktop`, `CloudApp` or `WuyingServer`.
    pub product_type: Option<String>,
    /// Images that carry these tags.
    pub tags: BTreeMap<String, String>,
    /// From 1.
    pub page_number: Option<u32>,
    /// At most 100; the cloud's default is 10.
    pub page_size: Option<u32>,
}

impl ListImage {
    /// The shortest list, for the RequestId and Date of its response.
    pub fn of_one() -> Self {
        Self { page_number: Some(1), page_size: Some(1), ..Self::default() }
    }
}

/// Images of one page that contains all requested ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagePage {
    /// The rows.
    pub images: Vec<Image>,
}

/// An image of ListImage. Unused elements are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// Id; the only required element.
    pub image_id: ImageId,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_name: Option<String>,
    /// Its description.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
    /// Status.
    #[serde(default)]
    pub status: ImageStatus,
    /// The version of this row.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version_id: Option<String>,
    /// The newest version.
    #[serde(default, deserialize_with = "lenient::text")]
    pub latest_version_id: Option<String>,
    /// The version in effect.
    #[serde(default, deserialize_with = "lenient::text")]
    pub online_version_id: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` in an undocumented zone: for display only.
    #[serde(default, deserialize_with = "lenient::text")]
    pub gmt_create: Option<String>,
    /// Likewise.
    #[serde(default, deserialize_with = "lenient::text")]
    pub gmt_modified: Option<String>,
    /// `User`, `Shared`, `System` or `Community`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_type: Option<String>,
    /// Which product line the image is for.
    #[serde(default, deserialize_with = "lenient::text")]
    pub product_type: Option<String>,
    /// `BY_INSTANCE_ID`, `INSTANCE_AUTO`, `BY_SNAPSHOT_ID` or `BUILDER_MANUAL`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub image_create_mode: Option<String>,
    /// Regions that have the image.
    #[serde(default, deserialize_with = "lenient::list")]
    pub image_region_list: Vec<String>,
    /// Status in each region.
    #[serde(default, deserialize_with = "lenient::list")]
    pub image_region_distribute_list: Vec<Distribution>,
    /// Its tags.
    #[serde(default, rename = "TagList", deserialize_with = "tags")]
    pub tags: BTreeMap<String, String>,
    /// Source of the image.
    #[serde(default, deserialize_with = "lenient::text")]
    pub parent_image_id: Option<String>,
    /// GiB.
    #[serde(default, deserialize_with = "lenient::number")]
    pub system_disk_size: Option<i64>,
    /// GiB.
    #[serde(default, deserialize_with = "lenient::number")]
    pub data_disk_size: Option<i64>,
}

/// An image in one region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Distribution {
    /// The region.
    #[serde(deserialize_with = "lenient::text")]
    pub region_id: Option<String>,
    /// The image's id there, which may be another.
    #[serde(deserialize_with = "lenient::text")]
    pub image_id: Option<String>,
    /// Status there.
    pub status: ImageStatus,
    /// Percent as text, such as `70%`.
    #[serde(deserialize_with = "lenient::text")]
    pub progress: Option<String>,
    /// Which version.
    #[serde(deserialize_with = "lenient::text")]
    pub version_id: Option<String>,
}

/// Status of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageStatus {
    /// `INIT`: accepted.
    Init,
    /// `CREATING`: being made.
    Creating,
    /// `AVAILABLE`: good; final.
    Available,
    /// `CREATE_FAILED`: bad; final.
    CreateFailed,
    /// `DELETE`: deleted; final.
    Deleted,
    /// Any other word, treated as in progress.
    Other(String),
}

impl Image {
    /// The regions that have a status of it.
    pub fn listed_regions(&self) -> impl Iterator<Item = &str> {
        let regions = self.image_region_distribute_list.iter().filter_map(|copy| copy.region_id.as_deref());
        regions.filter(|region| !region.is_empty())
    }
}

impl ImageStatus {
    /// Spelling of the API.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Init => "INIT",
            Self::Creating => "CREATING",
            Self::Available => "AVAILABLE",
            Self::CreateFailed => "CREATE_FAILED",
            Self::Deleted => "DELETE",
            Self::Other(text) => text,
        }
    }

    /// Whether it will not change by itself.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Available | Self::CreateFailed | Self::Deleted)
    }
}

impl Default for ImageStatus {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl From<&str> for ImageStatus {
    fn from(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "INIT" => Self::Init,
            "CREATING" => Self::Creating,
            "AVAILABLE" => Self::Available,
            "CREATE_FAILED" | "CREATEFAILED" => Self::CreateFailed,
            "DELETE" | "DELETED" => Self::Deleted,
            _ => Self::Other(text.to_owned()),
        }
    }
}

impl fmt::Display for ImageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ImageStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(lenient::text(from)?.as_deref().map_or_else(Self::default, Self::from))
    }
}

impl CloudCall for ListImage {
    type Value = RawPage;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .text("ImageId", self.image_id.as_ref().map(ImageId::as_str))
            .text("ImageName", self.image_name.as_deref())
            .text("Status", self.status.as_ref().map(ImageStatus::as_str))
            .text("ImageType", self.image_type.as_deref())
            .text("ProductType", self.product_type.as_deref())
            .number("PageNumber", self.page_number)
            .number("PageSize", self.page_size);
        RpcRequest::app_streaming(Self::ACTION, Idempotency::Idempotent)
            .with_form(form)
            .with_query(Pairs::default().tags(&self.tags))
            .listing()
    }
}

impl Listing for ListImage {
    type Row = Image;
    const ACTION: &'static str = "ListImage";
    const ROWS: &'static str = "Data";
    const COUNT: Option<&'static str> = Some("Count");
    /// Most searches find nothing. How the cloud returns that is not documented: a count of 0 is sufficient.
    const ZERO_IS_ENOUGH: bool = true;

    /// An image may be a row for each of its versions.
    fn key(row: &Image) -> String {
        let id = row.image_id.as_str();
        if id.is_empty() { String::new() } else { format!("{id} {}", row.version_id.as_deref().unwrap_or_default()) }
    }

    fn page(&self, cursor: &Cursor) -> Self {
        Self { page_number: cursor.number(), page_size: Some(PAGE_SIZE), ..self.clone() }
    }

    fn first() -> Cursor {
        Cursor::Number(1)
    }
}

/// DeleteImage: deletes an image in all its regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteImage {
    /// Which one.
    pub image_id: ImageId,
}

impl CloudCall for DeleteImage {
    /// Whether it was deleted, if the response has it.
    type Value = Option<bool>;

    fn request(&self) -> RpcRequest {
        RpcRequest::app_streaming("DeleteImage", Idempotency::NonIdempotent)
            .with_form(Pairs::default().text("ImageId", Some(self.image_id.as_str())))
    }

    fn value(answer: Value) -> Result<Option<bool>, serde_json::Error> {
        Ok(answer.get("Data").and_then(lenient::as_flag))
    }
}

/// StartTaskForDistributeImage: copies an image to other regions; cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTaskForDistributeImage {
    /// Which image.
    pub image_id: ImageId,
    /// Which version; the newest where `None`.
    pub version_id: Option<String>,
    /// Where to; at most 100.
    pub destination_regions: Vec<String>,
    /// Where from; any where `None`.
    pub source_region: Option<String>,
    /// `CloudDesktop`, `CloudApp` or `WuyingServer`.
    pub product_type: Option<String>,
}

impl CloudCall for StartTaskForDistributeImage {
    /// Id of the task; the copy is polled by ListImage.
    type Value = String;

    fn request(&self) -> RpcRequest {
        let form = Pairs::default()
            .text("ImageId", Some(self.image_id.as_str()))
            .text("VersionId", self.version_id.as_deref())
            .list("DestinationRegionList", self.destination_regions.iter().map(String::as_str))
            .text("SourceRegion", self.source_region.as_deref())
            .text("ProductType", self.product_type.as_deref());
        RpcRequest::app_streaming("StartTaskForDistributeImage", Idempotency::NonIdempotent).with_form(form)
    }

    fn value(answer: Value) -> Result<String, serde_json::Error> {
        answer.get("Data").and_then(lenient::as_text).ok_or_else(|| missing("Data"))
    }
}

fn data<T: serde::de::DeserializeOwned>(mut answer: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(answer.get_mut("Data").map(Value::take).ok_or_else(|| missing("Data"))?)
}

/// Whether a text can be the id of a new image. Every published one is a prefix, a hyphen, letters and digits:
/// `imgc-…`, `m-…`. A wrongly rejected id costs a search, a wrongly accepted one a whole build.
fn is_plausible_id(id: &str) -> bool {
    const LONGEST: usize = 128;
    let well_formed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    id.len() <= LONGEST
        && id.chars().all(well_formed)
        && id
            .split_once('-')
            .is_some_and(|(kind, rest)| kind.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty())
}

fn missing(element: &'static str) -> serde_json::Error {
    serde::de::Error::missing_field(element)
}

/// `[{"Key": …, "Value": …}]`; entries without a key are omitted.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Tag {
        #[serde(deserialize_with = "lenient::text")]
        key: Option<String>,
        #[serde(deserialize_with = "lenient::text")]
        value: Option<String>,
    }
    let tags: Vec<Tag> = lenient::list(from)?;
    Ok(tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(answer: Value) -> Result<Vec<Image>, crate::domain::api::call::ApiError> {
        Ok(ListImage::value(answer).unwrap().read_whole::<ListImage>(&[], |image| image.image_id.as_str())?.0)
    }

    #[test]
    fn an_image_is_read_whatever_surrounds_it() {
        let page = read(json!({"Count": "1", "New": [1], "Data": [{
            "ImageId": "imgc-1", "Status": "creating", "Description": null, "SystemDiskSize": "80", "Platform": {},
            "ImageRegionList": null, "ImageRegionDistributeList": [{"RegionId": "cn-a", "Status": "INIT", "Progress": 7}],
            "TagList": [{"Key": "a", "Value": "b"}, {"Value": "c"}, {"Key": "d", "Value": null}]}]}))
        .unwrap();
        let image = &page[0];
        assert_eq!((image.status.clone(), image.system_disk_size), (ImageStatus::Creating, Some(80)));
        assert_eq!(image.image_region_distribute_list[0].progress.as_deref(), Some("7"));
        let expected = [("a", "b"), ("d", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(image.tags, BTreeMap::from(expected));
    }

    #[test]
    fn statuses_of_any_case() {
        for (text, status) in [
            ("Init", ImageStatus::Init),
            ("AVAILABLE", ImageStatus::Available),
            ("create_failed", ImageStatus::CreateFailed),
            ("DELETE", ImageStatus::Deleted),
            ("Frozen", ImageStatus::Other("Frozen".to_owned())),
        ] {
            assert_eq!(ImageStatus::from(text), status);
        }
        assert!(!ImageStatus::Other("x".to_owned()).is_final());
    }

    #[test]
    fn a_created_image_without_an_id_is_not_one() {
        for data in
            [json!(null), json!({}), json!([]), json!("imgc-1"), json!({"ImageId": null}), json!({"ImageId": 7})]
        {
            assert!(CreateImageByInstance::value(json!({"Data": data.clone()})).is_err(), "{data}");
        }
        for id in
            ["", " ", "null", "0", "-", "imgc-", "-1", "imgc 1", "imgc-1\n", "<html>", "{imgc-1}", &"i-1".repeat(50)]
        {
            assert!(CreateImageByInstance::value(json!({"Data": {"ImageId": id}})).is_err(), "{id:?}");
        }
        for id in ["imgc-07hnjj5fp4e2", "m-4zfb6zj728hhr", "desktopimage-windows-2022", "imgc-a_b"] {
            assert!(CreateImageByInstance::value(json!({"Data": {"ImageId": id}})).is_ok(), "{id}");
        }
        let created = CreateImageByInstance::value(json!({"Data": {"ImageId": "imgc-1", "TaskId": "tid-1"}})).unwrap();
        assert_eq!((created.image_id.as_str(), created.task_id.as_deref()), ("imgc-1", Some("tid-1")));
    }
}
