//! The signature and the parameters of our calls, compared with requests that an official SDK sent.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeMap;

use imagebaked::{
    adapters::cloud::{
        acs3::{self, Authorization},
        actions::{
            AssumeRole, CreateImageByInstance, DeleteImage, DescribeBundles, DescribeDesktopGroups, DescribeDesktops,
            DescribeTemplates, GetCallerIdentity, ListAppInstanceGroup, ListImage, ListWuyingServer,
            SetDesktopMaintenance, StartDesktops, StartTaskForDistributeImage, StartWuyingServer, StopDesktops,
            StopWuyingServer,
        },
        request::{CloudCall, RpcRequest},
    },
    domain::{
        api::instance_state::InstanceType,
        bake::settings::{DiskType, StoppedMode},
        ids::InstanceId,
    },
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Captures {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    action: String,
    version: String,
    access_key_id: String,
    access_key_secret: String,
    method: String,
    path: String,
    query_string: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    authorization: String,
    canonical_request: String,
    string_to_sign: String,
}

fn cases() -> Vec<Case> {
    let files = [include_str!("data/acs3-requests.json"), include_str!("data/acs3-more-requests.json")];
    files.into_iter().flat_map(|text| serde_json::from_str::<Captures>(text).unwrap().cases).collect()
}

#[test]
fn every_captured_request_is_signed_byte_for_byte() {
    let cases = cases();
    assert_eq!(cases.len(), 51);
    for case in cases {
        let name = &case.name;
        let headers: Vec<(String, String)> = case.headers.clone().into_iter().collect();
        let unsigned = ["authorization", "accept-encoding", "content-length"];
        let signed: Vec<&str> = case.headers.keys().map(String::as_str).filter(|h| !unsigned.contains(h)).collect();
        let query = acs3::decode_pairs(&case.query_string);
        let body_sha256 = acs3::sha256_hex(case.body.as_deref().unwrap_or_default().as_bytes());
        assert_eq!(body_sha256, case.headers["x-acs-content-sha256"], "{name}");

        let canonical = acs3::canonical_request(&case.method, &case.path, &query, &headers, &signed, &body_sha256);
        assert_eq!(canonical, case.canonical_request, "{name}");
        let string_to_sign = acs3::string_to_sign(&canonical);
        assert_eq!(string_to_sign, case.string_to_sign, "{name}");
        let signature = acs3::sign(&case.access_key_secret, &string_to_sign);
        assert_eq!(acs3::authorization(&case.access_key_id, &signed, &signature), case.authorization, "{name}");

        let parsed = Authorization::parse(&case.authorization).unwrap();
        assert_eq!((&parsed.access_key_id, &parsed.signature), (&case.access_key_id, &signature), "{name}");
        assert_eq!(parsed.signed_headers, signed, "{name}");
    }
}

/// The example that the API's page on V3 signatures publishes.
#[test]
fn the_published_example() {
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let query = [("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"), ("RegionId", "cn-shanghai")];
    let body_sha256 = acs3::sha256_hex(b"");
    let headers = [
        ("host", "ecs.cn-shanghai.aliyuncs.com"),
        ("x-acs-action", "RunInstances"),
        ("x-acs-content-sha256", &body_sha256),
        ("x-acs-date", "2023-10-26T10:22:32Z"),
        ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        ("x-acs-version", "2014-05-26"),
    ];
    let names = headers.map(|(name, _)| name);
    let canonical = acs3::canonical_request("POST", "/", &query.map(pair), &headers.map(pair), &names, &body_sha256);
    let signature = acs3::sign("YourAccessKeySecret", &acs3::string_to_sign(&canonical));
    assert_eq!(signature, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0");
}

#[test]
fn typed_calls_send_what_the_sdk_sends() {
    let cases = cases();
    for (name, ours) in typed_calls().into_iter().chain(calls_around_images()) {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        assert_eq!((ours.action, ours.product.version()), (case.action.as_str(), case.version.as_str()), "{name}");
        assert_eq!(sorted(ours.query.as_slice()), sorted(&acs3::decode_pairs(&case.query_string)), "{name}: query");
        let theirs = acs3::decode_pairs(case.body.as_deref().unwrap_or_default());
        let form = ours.form.as_ref().map(|form| sorted(form.as_slice()));
        assert_eq!(form.clone().unwrap_or_default(), sorted(&theirs), "{name}: body");
        assert_eq!(form.is_some(), case.headers.contains_key("content-type"), "{name}: content type");
    }
}

/// The SDK writes booleans as Python does. We write them in lower case, as the API's pages do.
fn sorted(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let boolean = |value: &String| match value.as_str() {
        "True" => "true".to_owned(),
        "False" => "false".to_owned(),
        _ => value.clone(),
    };
    let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.clone(), boolean(value))).collect();
    pairs.sort();
    pairs
}

fn typed_calls() -> Vec<(&'static str, RpcRequest)> {
    let ids = |ids: &[&str]| ids.iter().map(|id| InstanceId::new(*id)).collect::<Vec<_>>();
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let text = |text: &str| Some(text.to_owned());
    let minimal = CreateImageByInstance {
        image_name: "n".to_owned(),
        description: None,
        instance_id: "ws-0buj1s9gmmadeup".into(),
        sub_instance_id: None,
        instance_type: InstanceType::WuyingServer,
        auto_clean_userdata: None,
        copy_profile: None,
        disk_type: None,
        biz_type: None,
        product_type: None,
        tags: BTreeMap::new(),
    };
    let full = CreateImageByInstance {
        image_name: "dev-image 01".to_owned(),
        description: text("镜像 v1.0 测试 *~'() a+b=c&d/e?f#g%h\"i\\j:k;l,m@n!o$p[q]r{s}t|u^v`w<x>y 中文，。 end"),
        sub_instance_id: text("p-0cc7s3n1lmadeup"),
        auto_clean_userdata: Some(true),
        copy_profile: Some(false),
        disk_type: Some(DiskType::All),
        biz_type: Some(1),
        product_type: text("WuyingServer"),
        tags: tags(&[("env", "test 环境"), ("team*~'()", "a+b&c=d/e")]),
        ..minimal.clone()
    };
    let desktop = CreateImageByInstance {
        image_name: "桌面镜像_2025-01".to_owned(),
        description: text("空格 and *~'() here"),
        instance_id: "ecd-7w78ozhjcwamadeup".into(),
        instance_type: InstanceType::CloudDesktop,
        auto_clean_userdata: Some(true),
        disk_type: Some(DiskType::System),
        tags: tags(&[("k1", "v1"), ("k2", "值 2")]),
        ..minimal.clone()
    };
    let by_id = ListImage {
        image_id: Some("imgc-07hnjj5fpmadeup".into()),
        page_number: Some(1),
        page_size: Some(10),
        ..ListImage::default()
    };
    let distribute = StartTaskForDistributeImage {
        image_id: "imgc-07jyldnd9imadeup".into(),
        version_id: text("iv-1"),
        destination_regions: vec!["cn-hangzhou".to_owned(), "cn-beijing".to_owned()],
        source_region: None,
        product_type: text("WuyingServer"),
    };
    let describe = DescribeDesktops {
        region: "cn-shanghai".to_owned(),
        ids: ids(&["ecd-1", "ecd-2"]),
        with_pools: false,
        image_ids: Vec::new(),
        max_results: Some(10),
        next_token: None,
    };
    let region = || "cn-shanghai".to_owned();
    let stop_desktops =
        StopDesktops { region: region(), ids: ids(&["ecd-1"]), stopped_mode: Some(StoppedMode::KeepCharging) };
    vec![
        ("create-image-full", full.request()),
        ("create-image-desktop", desktop.request()),
        ("create-image-minimal-sts", minimal.request()),
        ("list-image-by-id", by_id.request()),
        ("list-image-empty-sts", ListImage::default().request()),
        ("delete-image", DeleteImage { image_id: "imgc-07hnjj5fpmadeup".into() }.request()),
        ("start-wuying-server-sts", StartWuyingServer { ids: ids(&["ws-0aaa"]) }.request()),
        ("start-task-for-distribute-image-sts", distribute.request()),
        ("ecd-describe-desktops", describe.request()),
        ("ecd-stop-desktops", stop_desktops.request()),
        ("ecd-start-desktops-sts", StartDesktops { region: region(), ids: ids(&["ecd-1"]) }.request()),
        ("sts-get-caller-identity", GetCallerIdentity.request()),
    ]
}

/// The calls on machines and on what uses images.
fn calls_around_images() -> Vec<(&'static str, RpcRequest)> {
    let region = || "cn-shanghai".to_owned();
    let maintenance = |ids: &[&str], enter| {
        let ids = ids.iter().map(|id| InstanceId::new(*id)).collect();
        SetDesktopMaintenance { region: region(), ids, enter }.request()
    };
    let pooled = DescribeDesktops {
        region: region(),
        with_pools: true,
        image_ids: vec!["m-1".to_owned(), "m-2".to_owned()],
        max_results: Some(100),
        next_token: Some("AAAAAV3+/MZpKfb8==~*".to_owned()),
        ..DescribeDesktops::default()
    };
    let image_ids = vec!["m-1".to_owned()];
    let bundles = DescribeBundles {
        region: region(),
        image_ids: image_ids.clone(),
        max_results: Some(100),
        ..DescribeBundles::default()
    };
    let pools = DescribeDesktopGroups {
        region: region(),
        image_ids,
        max_results: Some(100),
        ..DescribeDesktopGroups::default()
    };
    let templates = DescribeTemplates {
        host_region: region(),
        image_id: Some("m-1".to_owned()),
        page_number: Some(1),
        page_size: Some(100),
    };
    let groups =
        ListAppInstanceGroup { image_id: Some("imgc-1".to_owned()), page_number: Some(1), page_size: Some(100) };
    let distribute = StartTaskForDistributeImage {
        image_id: "imgc-1".into(),
        version_id: Some("iv-1".to_owned()),
        destination_regions: vec!["cn-hangzhou".to_owned()],
        source_region: Some(region()),
        product_type: Some("CloudDesktop".to_owned()),
    };
    let policy = r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ecd:*", "Resource": "acs:ecd:*:*:a b+c~'(é)"}]}"#;
    let role = AssumeRole {
        role_arn: "acs:ram::1000000000000001:role/baker".to_owned(),
        role_session_name: "night.1@host-2".to_owned(),
        duration_seconds: 900,
        policy: Some(policy.to_owned()),
        external_id: Some("a=b,c.d@e:f/g-h".to_owned()),
    };
    vec![
        ("enter-maintenance", maintenance(&["ecd-1"], true)),
        ("leave-maintenance-sts", maintenance(&["ecd-1", "ecd-2"], false)),
        ("describe-desktops-pooled", pooled.request()),
        ("describe-bundles", bundles.request()),
        ("describe-desktop-groups-sts", pools.request()),
        ("describe-templates", templates.request()),
        ("list-app-instance-group", groups.request()),
        ("distribute-with-source", distribute.request()),
        ("assume-role-policy", role.request()),
    ]
}

/// Two captured calls have a parameter that we never send. All other parameters must be equal.
#[test]
fn workstation_calls_flatten_their_lists() {
    let ids: Vec<InstanceId> = vec!["ws-0aaa".into(), "ws-0bbb".into()];
    let list = ListWuyingServer {
        ids: ids.clone(),
        page_number: Some(1),
        page_size: Some(100),
        ..ListWuyingServer::default()
    };
    for (name, ours, left_out) in [
        ("stop-wuying-server", StopWuyingServer { ids, force: Some(true) }.request(), "ProductType"),
        ("list-wuying-server", list.request(), "Status"),
    ] {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let mut theirs = acs3::decode_pairs(case.body.as_deref().unwrap());
        theirs.retain(|(name, _)| name != left_out);
        assert_eq!(sorted(ours.form.unwrap().as_slice()), sorted(&theirs), "{name}");
    }
}
