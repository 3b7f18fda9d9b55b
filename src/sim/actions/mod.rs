//! Table of the operations of the API. The files of each kind implement them.

mod call;
mod desktops;
mod images;
mod origin;
mod paging;
mod tags;
mod tokens;
mod users;
mod workstations;

use serde_json::Value;

pub(super) use self::call::SimCall;
use super::{codes::SimFailure, lists::ListShape, world::World};

type Handler = fn(&mut World, &SimCall<'_>) -> Result<Value, SimFailure>;

/// One operation.
pub(super) struct SimAction {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Whether GET is allowed beside POST.
    pub(super) get: bool,
    /// Whether responses have Success, Code and Message: the image operations do, the others have the HTTP status only.
    pub(super) enveloped: bool,
    pub(super) handler: Handler,
    /// Where it lists.
    pub(super) list: Option<ListShape>,
}

const APP_STREAMING: &str = "2021-09-01";
const DESKTOPS: &str = "2020-09-30";
const STS: &str = "2015-04-01";

/// Product of a version, for the advice in errors.
pub(super) fn product(version: &str) -> &'static str {
    match version {
        DESKTOPS => "ecd",
        STS => "Sts",
        _ => "appstream-center",
    }
}

pub(super) const ACTIONS: &[SimAction] = &[
    action("CreateImageByInstance", APP_STREAMING, false, true, images::create_image_by_instance),
    action("ListImage", APP_STREAMING, true, true, images::list_image).listing(
        "Data",
        Some("Count"),
        "ImageId",
        None,
        false,
    ),
    action("DeleteImage", APP_STREAMING, false, true, images::delete_image),
    action("StartTaskForDistributeImage", APP_STREAMING, false, true, images::start_task_for_distribute_image),
    action("TagCloudResources", APP_STREAMING, false, false, tags::tag_cloud_resources),
    action("UntagCloudResources", APP_STREAMING, false, false, tags::untag_cloud_resources),
    action("ListAppInstanceGroup", APP_STREAMING, false, false, users::list_app_instance_group).listing(
        "AppInstanceGroupModels",
        Some("TotalCount"),
        "AppInstanceGroupId",
        Some("AppCenterImageId"),
        false,
    ),
    action("ListWuyingServer", APP_STREAMING, true, false, workstations::list_wuying_server).listing(
        "WuyingServerList",
        Some("TotalCount"),
        "WuyingServerId",
        Some("ImageId"),
        false,
    ),
    action("DescribeWuyingServer", APP_STREAMING, false, false, workstations::describe_wuying_server),
    action("StartWuyingServer", APP_STREAMING, true, false, workstations::start_wuying_server),
    action("StopWuyingServer", APP_STREAMING, true, false, workstations::stop_wuying_server),
    action("RestartWuyingServer", APP_STREAMING, false, false, workstations::restart_wuying_server),
    action("DescribeDesktops", DESKTOPS, true, false, desktops::describe_desktops).listing(
        "Desktops",
        Some("TotalCount"),
        "DesktopId",
        Some("ImageId"),
        true,
    ),
    action("StartDesktops", DESKTOPS, true, false, desktops::start_desktops),
    action("StopDesktops", DESKTOPS, true, false, desktops::stop_desktops),
    action("SetDesktopMaintenance", DESKTOPS, true, false, desktops::set_desktop_maintenance),
    action("RebootDesktops", DESKTOPS, true, false, desktops::reboot_desktops),
    action("DescribeImages", DESKTOPS, true, false, images::describe_images)
        .listing("Images", None, "ImageId", None, true),
    action("DescribeDesktopGroups", DESKTOPS, true, false, users::describe_desktop_groups).listing(
        "DesktopGroups",
        None,
        "DesktopGroupId",
        Some("ImageId"),
        true,
    ),
    action("DescribeBundles", DESKTOPS, true, false, users::describe_bundles).listing(
        "Bundles",
        None,
        "BundleId",
        Some("ImageId"),
        true,
    ),
    action("DescribeTemplates", DESKTOPS, true, true, users::describe_templates).listing(
        "Data",
        Some("TotalCount"),
        "TemplateId",
        Some("ImageId"),
        false,
    ),
    action("GetCallerIdentity", STS, true, false, tokens::get_caller_identity),
    action("AssumeRole", STS, true, false, tokens::assume_role),
    action("AssumeRoleWithOIDC", STS, true, false, tokens::assume_role_with_oidc),
];

const fn action(name: &'static str, version: &'static str, get: bool, enveloped: bool, handler: Handler) -> SimAction {
    SimAction { name, version, get, enveloped, handler, list: None }
}

impl SimAction {
    const fn listing(
        mut self,
        rows: &'static str,
        count: Option<&'static str>,
        id: &'static str,
        image: Option<&'static str>,
        tokens: bool,
    ) -> Self {
        self.list = Some(ListShape { rows, count, id, image, tokens });
        self
    }

    /// Permission for the operation.
    pub(super) fn right(&self) -> String {
        let service = match self.version {
            DESKTOPS => "ecd",
            STS => "sts",
            _ => "appstreaming",
        };
        format!("{service}:{}", self.name)
    }
}

/// The operation of that name and version.
pub(super) fn find(name: &str, version: &str) -> Option<&'static SimAction> {
    ACTIONS.iter().find(|action| action.name == name && action.version == version)
}

/// The operation of that name, of any version.
pub(super) fn of_name(name: &str) -> Option<&'static SimAction> {
    ACTIONS.iter().find(|action| action.name == name)
}
