//! A service of keys that is down is an outage, which passes; one that refuses is not. For each source, and for each way
//! to be down.

use std::sync::Arc;

use chrono::TimeDelta;
use imagebaked::{
    adapters::cloud::{
        CloudClient, CloudOptions, actions::ListImage, credentials::NoCredentials, outage::Probe, random_nonces,
    },
    domain::{
        api::call::{ApiError, ErrorClass},
        clock::{ManualClock, SystemClock},
        health::outage::Purpose,
    },
    sim::Options,
};
use serde_json::{Value, json};

use super::hosts::{Host, INI, PROVIDER, plan, role, section, session, simulator, user_profile};

/// A host, the source that is chosen, and the action of the service that its keys come from.
fn sources(address: &str) -> Vec<(Host, &'static str, &'static str)> {
    let with_oidc = |host: Host| {
        host.set("ROLE_ARN", &role("night")).set("OIDC_PROVIDER_ARN", PROVIDER).set("OIDC_TOKEN_FILE", "~/token")
    };
    let oidc = json!({"oidc_provider_arn": PROVIDER, "oidc_token_file": "~/token"});
    let chain = json!([
        {"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "q", "ram_role_arn": role("night")},
        {"name": "q", "mode": "EcsRamRole"},
    ]);
    let role_section = section("ram_role_arn", &format!("role_arn = {}", role("night")));
    let uri = format!("http://{address}/credentials");
    let of_uri = json!([user_profile("CredentialsURI", json!({ "credentials_uri": uri }))]);
    let machine = |name| Host::new(name).with_metadata();
    vec![
        (with_oidc(Host::new("oidc")), "oidc", "AssumeRoleWithOIDC"),
        (with_oidc(Host::new("oidc in the chain")), "default", "AssumeRoleWithOIDC"),
        (
            Host::new("profile RamRoleArn").profiles(&json!([user_profile("RamRoleArn", json!({}))])),
            "profile:p",
            "AssumeRole",
        ),
        (Host::new("profile OIDC").profiles(&json!([user_profile("OIDC", oidc)])), "default", "AssumeRoleWithOIDC"),
        (machine("role of the machine's role").profiles(&chain), "default", "AssumeRole"),
        (machine("machine's role of a role").profiles(&chain), "default", "MetadataKeys"),
        (Host::new("profile CredentialsURI").profiles(&of_uri), "default", "CredentialsUri"),
        (Host::new("ini ram_role_arn").put(INI, &role_section), "ini", "AssumeRole"),
        (machine("ecs, name").with_metadata(), "ecs_ram_role", "MetadataRole"),
        (machine("ecs, keys"), "ecs_ram_role", "MetadataKeys"),
        (machine("ecs, strict").set("IMDSV1_DISABLED", "true"), "ecs_ram_role", "MetadataToken"),
        (machine("ecs in the chain, name"), "default", "MetadataRole"),
        (machine("ecs in the chain, keys"), "default", "MetadataKeys"),
        (machine("ecs in the chain, named").set("ECS_METADATA", "simulator-role"), "default", "MetadataKeys"),
        (Host::new("uri").set("CREDENTIALS_URI", &uri), "uri", "CredentialsUri"),
        (Host::new("uri in the chain").set("CREDENTIALS_URI", &uri), "default", "CredentialsUri"),
    ]
}

/// What each source meets whose service has this fault.
async fn meet(fault: &Value, check: impl Fn(&Host, &str, NoCredentials)) {
    for number in 0..sources("").len() {
        // One for each: faults go on until its end.
        let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
        let address = sim.addr().to_string();
        let (host, choice, action) = sources(&address).swap_remove(number);
        let mut fault = fault.clone();
        fault["action"] = json!(action);
        fault["times"] = json!(0);
        plan(&sim, &json!([fault]));
        check(&host, &address, host.get(choice, &sim).await.unwrap_err());
        sim.stop().await;
    }
}

#[tokio::test]
async fn a_service_of_keys_that_is_down_is_an_outage_of_its_host() {
    for fault in [
        json!({"status": 503}),
        json!({"status": 500, "code": "InternalError"}),
        json!({"status": 429, "code": "Throttling.User"}),
        json!({"drop": "before"}),
    ] {
        meet(&fault, |host, address, error| {
            let text = format!("{} {fault}: {error}", host.name);
            let service = error.service.unwrap_or_else(|| panic!("{text}"));
            assert!(error.is_final && service.is_outage() && service.host == address, "{text}");
            assert!(text.contains(address), "{text}");
            assert_outage(&service.error);
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_of_keys_that_refuses_is_no_outage() {
    for fault in [json!({"status": 403, "code": "NoPermission"}), json!({"status": 404, "code": "EntityNotExist.Role"})]
    {
        meet(&fault, |host, _, error| {
            // Without a choice, a machine that has no role is one where nothing is set up.
            let is_nothing = host.name == "ecs in the chain, name";
            assert!(error.service.is_none() && error.is_final != is_nothing, "{} {fault}: {error}", host.name);
        })
        .await;
    }
}

/// Nothing was sent, it is tried again, and no attempt is spent.
fn assert_outage(error: &ApiError) {
    let (class, code) = (error.class, error.code.as_deref());
    assert_eq!((class, code), (ErrorClass::Transient, Some("CredentialsUnreachable")), "{error}");
    assert!(error.is_outage() && error.did_nothing() && !error.spends_attempt() && !error.is_decided(), "{error}");
    assert!(!error.advice.is_empty(), "{error}");
}

fn options(endpoint: String, sts_endpoint: Option<String>) -> CloudOptions {
    CloudOptions { endpoint: Some(endpoint), sts_endpoint, requests_per_second: 1000.0, ..CloudOptions::default() }
}

#[tokio::test]
async fn nobody_at_the_address_of_the_token_service_is_an_outage_until_somebody_is() {
    let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let sim = simulator(Options::default(), Arc::new(clock.clone())).await;
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let of_sim = format!("http://{}", sim.addr());
    let client = |sts: Option<String>| {
        let options = options(of_sim.clone(), sts);
        CloudClient::new(&options, host.environment(), Arc::new(clock.clone()), random_nonces()).unwrap()
    };
    let cut = client(Some(format!("http://{gone}")));
    let one = ListImage::of_one();
    let error = cut.list_images(&one).await.unwrap_err();
    assert_outage(&error);
    assert!(error.message.contains(&format!("aliyun profile: {gone} does not give the keys of ")), "{error}");
    assert!(error.message.contains("cannot connect"), "{error}");
    let outages = cut.outages().outages();
    assert_eq!(outages.len(), 1, "{outages:?}");
    assert_eq!(outages[0].host, gone.to_string());
    assert_eq!(outages[0].purpose, Purpose::Credentials { bridged_until: None });
    clock.advance(TimeDelta::seconds(15));
    assert_eq!(cut.outages().take_probes(), [Probe::Credentials]);
    assert!(sim.state()["calls"].as_array().unwrap().is_empty(), "nothing was sent");

    // The same with an end.
    let client = client(None);
    plan(&sim, &json!([{"action": "AssumeRole", "drop": "before"}]));
    assert_outage(&client.list_images(&one).await.unwrap_err());
    client.probe_outage(Probe::Credentials).await;
    assert_eq!((client.outages().outages(), client.outages().ended()), (Vec::new(), 1));
    assert!(client.list_images(&one).await.is_ok());
    sim.stop().await;
}

#[tokio::test]
async fn keys_that_the_cloud_rejects_while_their_service_is_down_are_an_outage() {
    let host_clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let cloud_clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let life = std::time::Duration::from_mins(10);
    let sim =
        simulator(Options { session_life: Some(life), ..Options::default() }, Arc::new(cloud_clock.clone())).await;
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let options = options(format!("http://{}", sim.addr()), None);
    let client = CloudClient::new(&options, host.environment(), Arc::new(host_clock), random_nonces()).unwrap();
    assert_eq!(client.caller_identity().await.unwrap().value.arn, session("night"));
    // This host's clock is behind: the keys end for the cloud before they do here.
    cloud_clock.advance(TimeDelta::minutes(11));
    plan(&sim, &json!([{"action": "AssumeRole", "status": 503, "times": 2}]));
    let rejection = client.caller_identity().await.unwrap_err();
    assert_eq!(rejection.code.as_deref(), Some("InvalidSecurityToken.Expired"));
    assert_outage(&client.renew_after(&rejection).await.unwrap_err());
    let bridged = || client.outages().outages().iter().map(|outage| outage.purpose).collect::<Vec<_>>();
    assert_eq!(bridged(), [Purpose::Credentials { bridged_until: None }], "the keys at hand serve nobody");
    client.probe_outage(Probe::Credentials).await;
    assert_eq!(bridged(), [Purpose::Credentials { bridged_until: None }]);
    client.probe_outage(Probe::Credentials).await;
    assert_eq!((bridged(), client.outages().ended()), (Vec::new(), 1));
    assert!(client.caller_identity().await.is_ok());
    sim.stop().await;
}

/// A plain key does not say whose it is. The question costs no bake anything.
#[tokio::test]
async fn the_owner_of_a_plain_key_is_asked_for_once_and_a_rejection_is_harmless() {
    let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let sim = simulator(Options::default(), Arc::new(clock.clone())).await;
    let host = Host::new("a key").set("ACCESS_KEY_ID", super::USER.0).set("ACCESS_KEY_SECRET", super::USER.1);
    let options = options(format!("http://{}", sim.addr()), None);
    let client = CloudClient::new(&options, host.environment(), Arc::new(clock.clone()), random_nonces()).unwrap();
    assert!(!client.take_owner_question(), "no key was needed yet");
    client.fetch_credentials().await.unwrap();
    plan(
        &sim,
        &json!([{"action": "GetCallerIdentity", "status": 403, "code": "NoPermission"}, {"action": "GetCallerIdentity", "drop": "before"}]),
    );
    for _ in 0..2 {
        assert!(client.take_owner_question() && !client.take_owner_question());
        client.learn_owner().await;
        let in_use = client.credentials_in_use().unwrap();
        assert_eq!((in_use.key_id.as_str(), in_use.identity), ("si…id", None));
        assert_eq!(client.outages().outages(), [], "no bake needs the token service");
        clock.advance(TimeDelta::hours(1));
    }
    assert!(client.take_owner_question());
    client.learn_owner().await;
    let identity = client.credentials_in_use().unwrap().identity;
    assert_eq!(identity.as_deref(), Some("acs:ram::1000000000000001:user/simulator"));
    clock.advance(TimeDelta::days(30));
    assert!(!client.take_owner_question());
    sim.stop().await;
}
