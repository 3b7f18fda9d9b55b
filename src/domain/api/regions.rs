//! The regions of the service, as the endpoint page of the desktop service lists them.

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
