//! The regions of the service, as the endpoint page of the desktop service lists them.

use crate::domain::similar::closest;

/// All of them. The cloud may have newer ones.
pub const REGIONS: [&str; 23] = [
    "cn-shanghai",
    "cn-hangzhou",
    "cn-beijing",
    "cn-shenzhen",
    "cn-guangzhou",
    "cn-qingdao",
    "cn-zhangjiakou",
    "cn-wulanchabu",
    "cn-nanjing",
    "cn-chengdu",
    "cn-hongkong",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "us-west-1",
    "eu-west-1",
    "eu-central-1",
    "me-central-1",
    "me-east-1",
    "cn-hangzhou-finance",
    "cn-shanghai-finance-1",
];

/// The known region that is meant by this word: in another spelling, by its city alone, or mistyped.
pub fn nearest_region(text: &str) -> Option<&'static str> {
    let plain = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    let is_of_city = |region: &&&str| region.strip_suffix(plain.as_str()).is_some_and(|front| front.ends_with('-'));
    let spelled = REGIONS.iter().find(|region| **region == plain);
    spelled.or_else(|| REGIONS.iter().find(is_of_city)).copied().or_else(|| closest(&plain, REGIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_region_is_found_by_spelling_city_and_mistake() {
        for (text, near) in [
            ("CN_Hangzhou", Some("cn-hangzhou")),
            ("beijing", Some("cn-beijing")),
            ("cn-hangzou", Some("cn-hangzhou")),
            ("ap-southeast-8", Some("ap-southeast-1")),
            ("mars", None),
        ] {
            assert_eq!(nearest_region(text), near, "{text}");
        }
    }
}
