//! Credentials from the services that give them, played by the simulator: whose key signs, and what happens at its end.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

#[path = "credentials/between_bakes.rs"]
mod between_bakes;
#[path = "support/fast_motion.rs"]
mod fast_motion;
#[path = "credentials/hostile.rs"]
mod hostile;
#[path = "credentials/hosts.rs"]
mod hosts;
#[path = "credentials/night.rs"]
mod night;
#[path = "credentials/official.rs"]
mod official;
#[path = "credentials/outages.rs"]
mod outages;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use hosts::{
    Host, OF_MACHINE, PROVIDER, USER, calls, hosts_of_one_mind, owner, plan, role, session, simulator, uri,
    user_profile,
};
use imagebaked::{
    adapters::cloud::{CloudClient, CloudOptions, Environment, random_nonces},
    domain::clock::{Clock as _, ManualClock, SystemClock},
    sim::Options,
};
use secrecy::ExposeSecret as _;
use serde_json::json;

#[tokio::test]
async fn every_kind_of_source_signs_as_the_one_that_is_meant() {
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    for (host, wanted) in hosts_of_one_mind(&uri(&sim)) {
        let credentials = host.get("default", &sim).await.unwrap_or_else(|error| panic!("{}: {error}", host.name));
        assert_eq!(owner(&sim, &credentials.key.id), wanted, "{}", host.name);
        if let Some(arn) = credentials.arn {
            assert_eq!(arn, wanted, "{}", host.name);
        }
    }
    // A mode that the official Python library does not know.
    let uri = format!("http://{}/credentials", sim.addr());
    let host = Host::new("profile CredentialsURI")
        .profiles(&json!([user_profile("CredentialsURI", json!({"credentials_uri": uri}))]));
    let credentials = host.get("profile:p", &sim).await.unwrap();
    assert_eq!(credentials.origin(), "aliyun profile `p` (CredentialsURI)");
    assert!(owner(&sim, &credentials.key.id).ends_with("/simulator-uri/uri"));
    sim.stop().await;
}

#[tokio::test]
async fn a_source_that_is_set_up_and_refused_leaves_no_room_for_the_machine_s_role() {
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    let foreign = "acs:ram::2000000000000002:role/night";
    let secret = "not-the-secret";
    for (host, wanted) in [
        (
            Host::new("no such role").profiles(&json!([user_profile("RamRoleArn", json!({"ram_role_arn": foreign}))])),
            "does not give the keys of acs:ram::2000000000000002:role/night: EntityNotExist.Role",
        ),
        (
            Host::new("a wrong secret")
                .profiles(&json!([user_profile("RamRoleArn", json!({"access_key_secret": secret}))])),
            "SignatureDoesNotMatch",
        ),
        (
            Host::new("a bad token")
                .put("token", "expired")
                .set("ROLE_ARN", &role("night"))
                .set("OIDC_PROVIDER_ARN", PROVIDER)
                .set("OIDC_TOKEN_FILE", "~/token"),
            "AuthenticationFail.OIDCToken.Invalid",
        ),
        (
            Host::new("no token")
                .set("ROLE_ARN", &role("night"))
                .set("OIDC_PROVIDER_ARN", PROVIDER)
                .set("OIDC_TOKEN_FILE", "~/gone"),
            "there is no OIDC token in ",
        ),
        (
            Host::new("another role").set("ECS_METADATA", "other-role"),
            "the machine does not have the role `other-role`",
        ),
    ] {
        let error = host.with_metadata().get("default", &sim).await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_final && text.contains(wanted), "{text}");
        assert!(!text.contains(secret) && !text.to_lowercase().contains("string"), "{text}");
    }
    assert_eq!(calls(&sim, "MetadataRole"), 0, "the machine's role was asked for");
    sim.stop().await;
}

#[tokio::test]
async fn a_refused_metadata_token_falls_back_to_version_1_unless_that_is_off() {
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    let (host, strict) = (
        Host::new("machine").with_metadata(),
        Host::new("strict machine").with_metadata().set("IMDSV1_DISABLED", "true"),
    );
    let refuse = |action: &str| plan(&sim, &json!([{"action": action, "status": 401}]));
    for action in ["MetadataToken", "MetadataRole", "MetadataKeys"] {
        refuse(action);
        assert_eq!(owner(&sim, &host.get("ecs_ram_role", &sim).await.unwrap().key.id), OF_MACHINE, "{action}");
        refuse(action);
        let error = strict.get("ecs_ram_role", &sim).await.unwrap_err().to_string();
        assert!(error.contains(" refuses ") && error.contains("HTTP 401"), "{action}: {error}");
    }
    // A machine without a role is one where nothing is set up.
    plan(&sim, &json!([{"action": "MetadataRole", "status": 404, "times": 0}]));
    assert!(!host.get("default", &sim).await.unwrap_err().is_final);
    sim.stop().await;
}

#[tokio::test]
async fn one_call_renews_for_all_before_the_end_and_the_old_key_serves_until_then() {
    let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let sim = simulator(Options::default(), Arc::new(clock.clone())).await;
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let provider = Arc::new(host.provider("default", &sim, Arc::new(clock.clone())));
    let all_at_once = || async {
        let many: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn({
                    let provider = Arc::clone(&provider);
                    async move { provider.get().await }
                })
            })
            .collect();
        let mut ids = Vec::new();
        for one in many {
            ids.push(one.await.unwrap().map(|credentials| credentials.key.id));
        }
        ids
    };
    let first = all_at_once().await;
    assert!(first.iter().all(|id| id == &first[0] && id.is_ok()), "{first:?}");
    assert_eq!(calls(&sim, "AssumeRole"), 1);
    let first = first[0].clone().unwrap();

    // Three quarters of an hour later the renewal is due, and the token service is down.
    clock.advance(TimeDelta::minutes(46));
    plan(&sim, &json!([{"action": "AssumeRole", "status": 503, "times": 2}]));
    assert!(all_at_once().await.iter().all(|id| id.as_ref() == Ok(&first)));
    assert_eq!(calls(&sim, "AssumeRole"), 2, "one call tries for all");
    clock.advance(TimeDelta::seconds(31));
    assert_eq!(provider.get().await.unwrap().key.id, first);
    clock.advance(TimeDelta::seconds(31));
    let second = provider.get().await.unwrap();
    assert_ne!(second.key.id, first);
    assert_eq!(second.expires_at, Some("2026-11-27T19:47:02Z".parse::<DateTime<Utc>>().unwrap()));

    // Rejected by the cloud at twenty calls: read anew once.
    let before = calls(&sim, "AssumeRole");
    let many = (0..20).map(|_| provider.refresh());
    assert!(futures_util::future::join_all(many).await.iter().all(Result::is_ok));
    assert_eq!(calls(&sim, "AssumeRole"), before + 1);

    // Down beyond the end of the key: no key, with the reason.
    plan(&sim, &json!([{"action": "AssumeRole", "status": 503, "times": 0}]));
    clock.advance(TimeDelta::hours(2));
    let ids = all_at_once().await;
    assert!(
        ids.iter().all(|id| id.as_ref().is_err_and(|error| error.to_string().contains("ServiceUnavailable"))),
        "{ids:?}"
    );
    sim.stop().await;
}

#[tokio::test]
async fn a_refused_renewal_is_reported_while_the_old_key_serves_and_ends_with_the_next_key() {
    let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let sim = simulator(Options::default(), Arc::new(clock.clone())).await;
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let provider = host.provider("default", &sim, Arc::new(clock.clone()));
    let first = provider.get().await.unwrap();
    assert_eq!(provider.failed_renewal(), None);
    clock.advance(TimeDelta::minutes(46));
    let began = clock.now();
    plan(&sim, &json!([{"action": "AssumeRole", "status": 403, "code": "NoPermission", "times": 2}]));
    for _ in 0..2 {
        assert_eq!(provider.get().await.unwrap().key.id, first.key.id);
        let failed = provider.failed_renewal().unwrap();
        assert_eq!((failed.since, Some(failed.until)), (began, first.expires_at));
        assert!(failed.error.contains("NoPermission") && failed.error.contains(&sim.addr().to_string()), "{failed:?}");
        clock.advance(TimeDelta::seconds(31));
    }
    assert_ne!(provider.get().await.unwrap().key.id, first.key.id);
    assert_eq!(provider.failed_renewal(), None);

    // An outage is reported as one.
    clock.advance(TimeDelta::minutes(46));
    plan(&sim, &json!([{"action": "AssumeRole", "status": 503}]));
    provider.get().await.unwrap();
    assert_eq!((provider.failed_renewal(), provider.outages().outages().len()), (None, 1));
    sim.stop().await;
}

#[tokio::test]
async fn the_simulator_knows_whose_key_signed_and_when_it_ended() {
    let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
    let options = Options { session_life: Some(Duration::from_mins(10)), ..Options::default() };
    let sim = simulator(options, Arc::new(clock.clone())).await;
    let host = Host::new("a role").profiles(&json!([user_profile("RamRoleArn", json!({}))]));
    let options = CloudOptions {
        endpoint: Some(format!("http://{}", sim.addr())),
        requests_per_second: 1000.0,
        ..CloudOptions::default()
    };
    let client = CloudClient::new(&options, host.environment(), Arc::new(clock.clone()), random_nonces()).unwrap();
    let identity = client.caller_identity().await.unwrap().value;
    assert_eq!((identity.arn, identity.identity_type.as_deref()), (session("night"), Some("AssumedRoleUser")));
    let in_use = client.credentials_in_use().unwrap();
    assert_eq!((in_use.source.as_str(), in_use.identity), ("aliyun profile `p` (RamRoleArn)", Some(session("night"))));
    assert!(in_use.key_id.starts_with("STS.…"), "{}", in_use.key_id);

    // The key ends, and its successor signs.
    clock.advance(TimeDelta::minutes(11));
    assert_eq!(client.caller_identity().await.unwrap().value.arn, session("night"));
    assert_eq!(calls(&sim, "AssumeRole"), 2);

    // A key that is sent beyond its end is refused.
    let key = host.provider("default", &sim, Arc::new(clock.clone())).get().await.unwrap().key;
    let late = Environment::read(|name| match name {
        "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some(key.id.clone()),
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some(key.secret.expose_secret().to_owned()),
        "ALIBABA_CLOUD_SECURITY_TOKEN" => Some(key.security_token.as_ref().unwrap().expose_secret().to_owned()),
        _ => None,
    });
    let client = CloudClient::new(&options, late, Arc::new(clock.clone()), random_nonces()).unwrap();
    assert_eq!(client.caller_identity().await.unwrap().value.arn, session("night"));
    clock.advance(TimeDelta::minutes(10));
    let error = client.caller_identity().await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("InvalidSecurityToken.Expired"));
    sim.stop().await;
}
