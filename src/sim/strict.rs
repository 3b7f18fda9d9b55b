//! What the simulator refuses although the API pages of the calls do not say it, unless it is lenient: filters that it
//! would ignore, names and tags against the rules of the sibling calls, regions that there are not. A caller that passes
//! here is on the safe side with the cloud.

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
            "LanguageType",
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
    if params.get("RegionId").is_some_and(|region| !REGIONS.contains(&region)) {
        return Err(SimFailure::invalid("RegionId"));
    }
    if params.list("DestinationRegionList", usize::MAX)?.iter().any(|region| !REGIONS.contains(region)) {
        return Err(SimFailure::invalid("DestinationRegionList"));
    }
    match action {
        "CreateImageByInstance" => {
            if params.get("ImageName").is_some_and(|name| !is_name(name)) {
                return Err(SimFailure::invalid("ImageName"));
            }
            let description = params.get("Description");
            if description.is_some_and(|text| !DESCRIPTION.contains(&text.chars().count()) || is_link(text)) {
                return Err(SimFailure::invalid("Description"));
            }
            check_tags("TagList", params)
        }
        "TagCloudResources" => check_tags("Tags", params),
        _ => Ok(()),
    }
}

fn check_tags(name: &'static str, params: &Params) -> Result<(), SimFailure> {
    let fits = |text: &str| TAG.contains(&text.chars().count());
    let tags = params.tags(name, usize::MAX)?;
    if tags.iter().all(|(key, value)| fits(key) && fits(value)) { Ok(()) } else { Err(SimFailure::invalid(name)) }
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
    fn only_regions_that_there_are_are_taken() {
        assert_eq!(code("StopDesktops", "RegionId=cn-shanghia").as_deref(), Some("InvalidRegionId"));
        let distribute =
            |region: &str| code("StartTaskForDistributeImage", &format!("DestinationRegionList.1={region}"));
        assert_eq!(distribute("cn-beijing"), None);
        assert_eq!(distribute("mars").as_deref(), Some("InvalidDestinationRegionList"));
    }
}
