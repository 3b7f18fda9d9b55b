//! What the simulator refuses although the API pages of the calls do not say it, unless it is lenient: filters that it
//! would ignore, names and tags against the rules of the sibling calls, regions that there are not. A caller that passes
//! here is on the safe side with the cloud.

use std::collections::{BTreeMap, BTreeSet};

use super::{codes::SimFailure, params::Params};
use crate::domain::api::regions::REGIONS;

/// Parameters of the listing calls. Any other would be a filter without effect, and the rows false.
const FILTERS: &[(&str, &[&str])] = &[
    (
        "ListImage",
        &[
            "BizRegionIdList",
            "BizType",
            "ImageId",
            "ImageName",
            "ImageType",
            "OsType",
            "PageNumber",
            "PageSize",
            "ProductType",
            "ProductTypeList",
            "Status",
            "TagList",
        ],
    ),
    ("ListAppInstanceGroup", &["AppCenterImageId", "PageNumber", "PageSize", "ProductType"]),
    (
        "ListWuyingServer",
        &["BizRegionId", "ImageId", "PageNumber", "PageSize", "Status", "WuyingServerIdList", "WuyingServerNameOrId"],
    ),
    (
        "DescribeDesktops",
        &[
            "DesktopId",
            "DesktopName",
            "DesktopStatus",
            "DesktopStatusList",
            "FilterDesktopGroup",
            "ImageId",
            "MaxResults",
            "NextToken",
            "RegionId",
        ],
    ),
    ("DescribeImages", &["ImageId", "ImageName", "ImageType", "MaxResults", "NextToken", "RegionId"]),
    ("DescribeDesktopGroups", &["ImageId", "MaxResults", "NextToken", "RegionId"]),
    ("DescribeBundles", &["BundleType", "ImageId", "MaxResults", "NextToken", "RegionId", "SupportMultiSession"]),
    ("DescribeTemplates", &["ImageId", "PageNumber", "PageSize", "ProductType"]),
];

/// Values that the pages list, of parameters that the operations would compare with anything.
const VALUES: &[(&str, &str, &[&str])] = &[
    ("ListImage", "Status", &["INIT", "CREATING", "AVAILABLE", "CREATE_FAILED"]),
    ("ListImage", "OsType", &["Linux", "Windows", "Android", "Unknown"]),
    ("ListImage", "ProductType", PRODUCTS),
    ("ListImage", "ProductTypeList", PRODUCTS),
    ("StartTaskForDistributeImage", "ProductType", PRODUCTS),
    (
        "CreateImageByInstance",
        "ProductType",
        &["CloudGame", "CloudApp", "CloudBrowser", "CloudDesktop", "WuyingServer"],
    ),
    ("ListAppInstanceGroup", "ProductType", &["CloudApp"]),
    ("DescribeDesktops", "DesktopStatus", DESKTOP_STATUSES),
    ("DescribeDesktops", "DesktopStatusList", DESKTOP_STATUSES),
];

const PRODUCTS: &[&str] = &["CloudDesktop", "CloudApp", "WuyingServer"];
const DESKTOP_STATUSES: &[&str] =
    &["Pending", "Starting", "Running", "Stopping", "Stopped", "Rebuilding", "Expired", "Deleted"];

/// Parameters that are lists: their names go on with a number from 1. `ImageId` is one in some calls.
const LISTS: &[&str] = &[
    "BizRegionIdList",
    "DesktopId",
    "DesktopIds",
    "DesktopStatusList",
    "DestinationRegionList",
    "ProductTypeList",
    "ResourceIds",
    "TagKeys",
    "TagList",
    "Tags",
    "WuyingServerIdList",
];

/// Parameters that name a region, or several.
const REGION_PARAMETERS: &[&str] =
    &["RegionId", "BizRegionId", "BizRegionIdList", "SourceRegion", "DestinationRegionList"];

/// Lengths of names and descriptions by CreateImage and ModifyImageAttribute of the desktop service, of keys and values
/// by TagCloudResources, in characters.
const NAME: std::ops::RangeInclusive<usize> = 2..=128;
const DESCRIPTION: std::ops::RangeInclusive<usize> = 2..=256;
const TAG: std::ops::RangeInclusive<usize> = 1..=128;

/// Checks the parameters of a call.
pub(super) fn check(action: &str, params: &Params) -> Result<(), SimFailure> {
    if let Some((_, known)) = FILTERS.iter().find(|(name, _)| *name == action)
        && let Some(unknown) = params.stems().find(|name| !known.contains(name))
    {
        let message = format!("The simulator does not know the parameter {unknown} of {action}; --lenient ignores it.");
        return Err(SimFailure::new("UnsupportedParameter").with_message(message));
    }
    check_lists(action, params)?;
    for name in REGION_PARAMETERS {
        only(params, name, &REGIONS)?;
    }
    for (_, name, allowed) in VALUES.iter().filter(|(of, ..)| *of == action) {
        only(params, name, allowed)?;
    }
    match action {
        "CreateImageByInstance" => {
            let is_workstation = params.get("InstanceType") == Some("WuyingServer");
            if is_workstation && params.get("AutoCleanUserdata").is_some() {
                return Err(SimFailure::invalid("AutoCleanUserdata"));
            }
            if params.get("ImageName").is_some_and(|name| !is_name(name)) {
                return Err(SimFailure::invalid("ImageName"));
            }
            let description = params.get("Description");
            if description.is_some_and(|text| !DESCRIPTION.contains(&text.chars().count()) || is_link(text)) {
                return Err(SimFailure::invalid("Description"));
            }
            check_tags("TagList", params)
        }
        "ListImage" => {
            // Whether a key alone means all its values is not documented.
            if params.tags("TagList", usize::MAX)?.values().any(String::is_empty) {
                return Err(SimFailure::invalid("TagList"));
            }
            one_value_per_key("TagList", params)
        }
        "TagCloudResources" => check_tags("Tags", params),
        _ => Ok(()),
    }
}

/// A list in another notation would not be seen, and a single value in that of a list neither.
fn check_lists(action: &str, params: &Params) -> Result<(), SimFailure> {
    let lists_images = ["DescribeDesktops", "DescribeImages", "DescribeDesktopGroups", "DescribeBundles"];
    let mut numbers: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for name in params.names() {
        let (stem, rest) = name.split_once('.').map_or((name, None), |(stem, rest)| (stem, Some(rest)));
        let is_list = LISTS.contains(&stem) || (stem == "ImageId" && lists_images.contains(&action));
        let number = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
        match (is_list, rest, number) {
            (false, None, _) => {}
            (true, Some(_), Some(number)) => drop(numbers.entry(stem).or_default().insert(number)),
            _ => return Err(SimFailure::invalid(stem)),
        }
    }
    let is_whole = |numbers: &BTreeSet<usize>| numbers.iter().copied().eq(1..=numbers.len());
    match numbers.iter().find(|(_, numbers)| !is_whole(numbers)) {
        Some((stem, _)) => Err(SimFailure::invalid(stem)),
        None => Ok(()),
    }
}

/// The parameter, or every item of the list, is one of these or absent.
fn only(params: &Params, name: &str, allowed: &[&str]) -> Result<(), SimFailure> {
    let items = params.list(name, usize::MAX)?;
    let mut sent = params.get(name).into_iter().chain(items);
    if sent.all(|value| allowed.contains(&value)) { Ok(()) } else { Err(SimFailure::invalid(name)) }
}

fn check_tags(name: &'static str, params: &Params) -> Result<(), SimFailure> {
    let fits = |text: &str| TAG.contains(&text.chars().count());
    let tags = params.tags(name, usize::MAX)?;
    if !tags.iter().all(|(key, value)| fits(key) && fits(value)) {
        return Err(SimFailure::invalid(name));
    }
    one_value_per_key(name, params)
}

/// By the page of TagCloudResources a key has one value.
fn one_value_per_key(name: &str, params: &Params) -> Result<(), SimFailure> {
    if params.tags(name, usize::MAX)?.len() == params.tag_keys(name) { Ok(()) } else { Err(SimFailure::invalid(name)) }
}

/// A letter, Chinese ones included, first; not the beginning of a link.
fn is_name(name: &str) -> bool {
    NAME.contains(&name.chars().count())
        && name.starts_with(char::is_alphabetic)
        && !is_link(name)
        && !name.contains(char::is_control)
}

fn is_link(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(action: &str, query: &str) -> Option<String> {
        check(action, &Params::decode(query, b"")).err().map(|failure| failure.code.into_owned())
    }

    #[test]
    fn a_filter_without_effect_is_refused() {
        assert_eq!(code("ListImage", "ImageName=a&TagList.1.Key=k&TagList.1.Value=v"), None);
        assert_eq!(code("ListImage", "PlatformName=Ubuntu").as_deref(), Some("UnsupportedParameter"));
        assert_eq!(
            code("DescribeDesktops", "RegionId=cn-shanghai&PageNumber=1").as_deref(),
            Some("UnsupportedParameter")
        );
        assert_eq!(code("StopDesktops", "RegionId=cn-shanghai&PatchId=1"), None, "only lists have filters");
    }

    #[test]
    fn names_descriptions_and_tags_have_the_limits_of_the_sibling_calls() {
        let create = |query: &str| code("CreateImageByInstance", query);
        let (name, description, tags) = (Some("InvalidImageName"), Some("InvalidDescription"), Some("InvalidTagList"));
        for (query, refused) in [
            ("ImageName=ab", None),
            ("ImageName=%E9%95%9C%E5%83%8F", None),
            ("ImageName=a", name),
            ("ImageName=1ab", name),
            ("ImageName=http://a", name),
            ("ImageName=a%0Ab", name),
            (&format!("ImageName={}", "a".repeat(128)), None),
            (&format!("ImageName={}", "a".repeat(129)), name),
            ("ImageName=ab&Description=", None),
            ("ImageName=ab&Description=d", description),
            ("ImageName=ab&Description=https://d", description),
            (&format!("ImageName=ab&Description={}", "d".repeat(257)), description),
            ("ImageName=ab&TagList.1.Key=k&TagList.1.Value=", tags),
            (&format!("ImageName=ab&TagList.1.Key=k&TagList.1.Value={}", "v".repeat(129)), tags),
        ] {
            assert_eq!(create(query).as_deref(), refused, "{query}");
        }
        assert_eq!(code("TagCloudResources", "Tags.1.Key=k&Tags.1.Value=").as_deref(), Some("InvalidTags"));
    }

    #[test]
    fn only_values_that_the_pages_list_are_taken() {
        for (action, query, refused) in [
            ("ListImage", "Status=AVAILABLE&ProductTypeList.1=CloudApp", None),
            ("ListImage", "Status=available", Some("InvalidStatus")),
            ("ListImage", "ProductTypeList.1=CloudApp&ProductTypeList.2=x", Some("InvalidProductTypeList")),
            ("ListImage", "LanguageType=zh-CN", Some("UnsupportedParameter")),
            ("ListImage", "BizRegionIdList.1=mars", Some("InvalidBizRegionIdList")),
            ("ListWuyingServer", "BizRegionId=mars", Some("InvalidBizRegionId")),
            ("DescribeDesktops", "RegionId=cn-shanghai&DesktopStatus=running", Some("InvalidDesktopStatus")),
            ("StartTaskForDistributeImage", "SourceRegion=mars", Some("InvalidSourceRegion")),
            ("CreateImageByInstance", "ProductType=x", Some("InvalidProductType")),
            ("CreateImageByInstance", "InstanceType=CloudDesktop&AutoCleanUserdata=True", None),
            (
                "CreateImageByInstance",
                "InstanceType=WuyingServer&AutoCleanUserdata=True",
                Some("InvalidAutoCleanUserdata"),
            ),
        ] {
            assert_eq!(code(action, query).as_deref(), refused, "{action} {query}");
        }
    }

    #[test]
    fn lists_have_numbers_from_1_and_single_values_none() {
        let describe = |query: &str| code("DescribeDesktops", &format!("RegionId=cn-shanghai&{query}"));
        assert_eq!(describe("DesktopId.1=a&DesktopId.2=b&ImageId.1=m-1"), None);
        for list in ["DesktopId=a", "DesktopId.0=a", "DesktopId.2=a", "DesktopId.x=a", "DesktopId.1=a&DesktopId.3=b"] {
            assert_eq!(describe(list).as_deref(), Some("InvalidDesktopId"), "{list}");
        }
        assert_eq!(describe("ImageId=m-1").as_deref(), Some("InvalidImageId"));
        assert_eq!(describe("MaxResults.1=5").as_deref(), Some("InvalidMaxResults"));
        assert_eq!(code("DeleteImage", "ImageId=imgc-1"), None);
        assert_eq!(code("StopDesktops", "RegionId=cn-shanghai&DesktopId=a").as_deref(), Some("InvalidDesktopId"));
    }

    #[test]
    fn a_tag_key_has_one_value() {
        let twice = |name: &str| format!("{name}.1.Key=k&{name}.1.Value=a&{name}.2.Key=k&{name}.2.Value=b");
        for (action, name) in
            [("CreateImageByInstance", "TagList"), ("ListImage", "TagList"), ("TagCloudResources", "Tags")]
        {
            assert_eq!(code(action, &twice(name)), Some(format!("Invalid{name}")), "{action}");
        }
        assert_eq!(code("ListImage", "TagList.1.Value=v").as_deref(), Some("InvalidTagList"), "a value without a key");
        assert_eq!(code("ListImage", "TagList.1.Key=k").as_deref(), Some("InvalidTagList"), "a key without a value");
    }

    #[test]
    fn only_regions_that_there_are_are_taken() {
        assert_eq!(code("StopDesktops", "RegionId=cn-shanghia").as_deref(), Some("InvalidRegionId"));
        let distribute =
            |region: &str| code("StartTaskForDistributeImage", &format!("DestinationRegionList.1={region}"));
        assert_eq!(distribute("cn-beijing"), None);
        assert_eq!(distribute("mars").as_deref(), Some("InvalidDestinationRegionList"));
    }
}
