//! Credentials from the services that give them, played by the simulator: whose key signs, and what happens at its end.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use imagebaked::{
    adapters::cloud::{
        CloudClient, CloudOptions, Environment,
        credentials::{CredentialProvider, Credentials, KeyHosts, NoCredentials},
        endpoint::Endpoint,
        http::Http,
        random_nonces,
    },
    domain::{
        api::credential_source::CredentialSource,
        clock::{Clock, ManualClock, SystemClock},
    },
    sim::{FaultPlan, Options, RunningSimulator, Simulator},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const CONFIG: &str = ".aliyun/config.json";
/// Found by the official Python library; the documented name is without the ending.
const INI: &str = ".alibabacloud/credentials.ini";
const USER: (&str, &str) = ("sim-key-id", "sim-key-secret");
const PROVIDER: &str = "acs:ram::1000000000000001:oidc-provider/cluster";
const OF_MACHINE: &str = "acs:ram::1000000000000001:assumed-role/simulator-role/i-sim0001";

async fn simulator(options: Options, clock: Arc<dyn Clock>) -> RunningSimulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, options, clock).unwrap()
}

fn plan(sim: &RunningSimulator, faults: &Value) {
    sim.add_faults(FaultPlan::parse(&json!({ "fault": faults }).to_string()).unwrap());
}

fn role(name: &str) -> String {
    format!("acs:ram::1000000000000001:role/{name}")
}

fn session(name: &str) -> String {
    format!("acs:ram::1000000000000001:assumed-role/{name}/bake")
}

/// A host of its own: variables, files of the home, whether it has a metadata service.
struct Host {
    name: &'static str,
    home: TempDir,
    variables: BTreeMap<String, String>,
}

impl Host {
    fn new(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = [("HOME", home.path().to_str().unwrap()), ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { name, home, variables }.put("token", "header.claims.signature\n")
    }

    /// `~` in the value is the home.
    fn set(mut self, name: &str, value: &str) -> Self {
        let value = value.replace('~', self.home.path().to_str().unwrap());
        self.variables.insert(format!("ALIBABA_CLOUD_{name}"), value);
        self
    }

    fn put(self, file: &str, text: &str) -> Self {
        let path = self.home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace('~', self.home.path().to_str().unwrap())).unwrap();
        self
    }

    /// A file of profiles, the first of them current.
    fn profiles(self, profiles: &Value) -> Self {
        let text = json!({ "current": profiles[0]["name"], "profiles": profiles }).to_string();
        self.put(CONFIG, &text)
    }

    fn with_metadata(mut self) -> Self {
        self.variables.remove("ALIBABA_CLOUD_ECS_METADATA_DISABLED");
        self
    }

    fn environment(&self) -> Environment {
        Environment::read(|name| self.variables.get(name).cloned())
    }

    fn provider(&self, choice: &str, sim: &RunningSimulator, clock: Arc<dyn Clock>) -> CredentialProvider {
        let address = format!("http://{}", sim.addr());
        let hosts = KeyHosts::new(Some(Endpoint::parse(&address).unwrap()), Some(&address)).unwrap();
        let http = Http::new(Duration::from_secs(5)).unwrap();
        let choice = CredentialSource::parse(choice).unwrap();
        CredentialProvider::new(choice, self.environment(), hosts, http, clock, random_nonces())
    }

    async fn get(&self, choice: &str, sim: &RunningSimulator) -> Result<Credentials, NoCredentials> {
        self.provider(choice, sim, Arc::new(SystemClock)).get().await
    }
}

/// Whose key this is; a key that the simulator did not issue is its own name.
fn owner(sim: &RunningSimulator, key_id: &str) -> String {
    let state = sim.state();
    let keys = state["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["access_key_id"] == key_id);
    found.map_or(key_id, |key| key["arn"].as_str().unwrap()).to_owned()
}

fn calls(sim: &RunningSimulator, action: &str) -> usize {
    sim.state()["calls"].as_array().unwrap().iter().filter(|call| call["action"] == action).count()
}

fn user_profile(mode: &str, more: Value) -> Value {
    let mut profile = json!({
        "name": "p", "mode": mode, "access_key_id": USER.0, "access_key_secret": USER.1,
        "ram_role_arn": role("night"), "ram_session_name": "bake",
    });
    profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    profile
}

fn section(kind: &str, more: &str) -> String {
    format!(
        "[default]\ntype = {kind}\naccess_key_id = {}\naccess_key_secret = {}  # of the build account\n{more}\n",
        USER.0, USER.1
    )
}

/// What the official library takes, too.
fn hosts_of_one_mind(sim: &RunningSimulator) -> Vec<(Host, String)> {
    let with_user = |host: Host| host.set("ACCESS_KEY_ID", USER.0).set("ACCESS_KEY_SECRET", USER.1);
    let own_section = section("access_key", "").replace(USER.0, "ini-id");
    let night = session("night");
    let oidc = json!({"oidc_provider_arn": PROVIDER, "oidc_token_file": "~/token", "role_session_name": "bake"});
    let chain = json!([
        {"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "q", "ram_role_arn": role("night"), "ram_session_name": "bake"},
        {"name": "q", "mode": "ChainableRamRoleArn", "source_profile": "r", "ram_role_arn": role("day"), "ram_session_name": "bake"},
        {"name": "r", "mode": "AK", "access_key_id": USER.0, "access_key_secret": USER.1},
    ]);
    let uri = format!("http://{}/credentials?for=bake", sim.addr());
    vec![
        (with_user(Host::new("environment")), USER.0.to_owned()),
        (with_user(Host::new("environment with a token")).set("SECURITY_TOKEN", "t").set("ACCESS_KEY_ID", "STS.env"), "STS.env".to_owned()),
        (with_user(Host::new("environment before profile")).profiles(&json!([{"name": "p", "mode": "AK", "access_key_id": "i", "access_key_secret": "s"}])), USER.0.to_owned()),
        (
            Host::new("oidc").set("ROLE_ARN", &role("night")).set("ROLE_SESSION_NAME", "bake").set("OIDC_PROVIDER_ARN", PROVIDER).set("OIDC_TOKEN_FILE", "~/token"),
            night.clone(),
        ),
        (Host::new("profile AK").profiles(&json!([user_profile("AK", json!({}))])), USER.0.to_owned()),
        (Host::new("profile StsToken").profiles(&json!([user_profile("StsToken", json!({"sts_token": "t", "access_key_id": "STS.p"}))])), "STS.p".to_owned()),
        (Host::new("profile RamRoleArn").profiles(&json!([user_profile("RamRoleArn", json!({"expired_seconds": 900, "policy": "{\"Version\":\"1\"}"}))])), night.clone()),
        (Host::new("profile ChainableRamRoleArn").profiles(&chain), night.clone()),
        (Host::new("profile OIDC").profiles(&json!([user_profile("OIDC", oidc)])), night.clone()),
        (Host::new("profile EcsRamRole").with_metadata().profiles(&json!([user_profile("EcsRamRole", json!({"ram_role_name": "simulator-role"}))])), OF_MACHINE.to_owned()),
        (Host::new("a named profile").set("PROFILE", "q").profiles(&json!([user_profile("AK", json!({})), {"name": "q", "mode": "AK", "access_key_id": "q-id", "access_key_secret": "s"}])), "q-id".to_owned()),
        (Host::new("profile before ini").profiles(&json!([user_profile("AK", json!({}))])).put(INI, &own_section), USER.0.to_owned()),
        (Host::new("an empty profile before ini").profiles(&json!([{"name": "default", "mode": "AK", "access_key_id": "", "access_key_secret": ""}])).put(INI, &own_section), "ini-id".to_owned()),
        (Host::new("ini access_key").put(INI, &section("access_key", "")), USER.0.to_owned()),
        (Host::new("ini ram_role_arn").put(INI, &section("ram_role_arn", &format!("role_arn = {}\nrole_session_name = bake", role("night")))), night.clone()),
        (Host::new("ini oidc_role_arn").put(INI, &section("oidc_role_arn", &format!("role_arn = {}\nrole_session_name = bake\noidc_provider_arn = {PROVIDER}\noidc_token_file_path = ~/token", role("night")))), night),
        (Host::new("ini ecs_ram_role").with_metadata().put(INI, &section("ecs_ram_role", "role_name = simulator-role")), OF_MACHINE.to_owned()),
        (Host::new("ini before the machine's role").with_metadata().put(INI, &own_section), "ini-id".to_owned()),
        (Host::new("the machine's role").with_metadata().set("CREDENTIALS_URI", &uri), OF_MACHINE.to_owned()),
        (Host::new("credentials URI").set("CREDENTIALS_URI", &uri), "acs:ram::1000000000000001:assumed-role/simulator-uri/uri".to_owned()),
    ]
}

#[tokio::test]
async fn every_kind_of_source_signs_as_the_one_that_is_meant() {
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    for (host, wanted) in hosts_of_one_mind(&sim) {
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
            "role other-role: the metadata service answered HTTP 404",
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
        assert!(error.contains("the metadata service answered HTTP 401"), "{action}: {error}");
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

/// The official library, from the same files and variables; its hosts are fixed, so a script sends it to the simulator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_library_takes_the_same_keys() {
    let python = std::env::var("CREDENTIALS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_library = Command::new(&python).args(["-c", "import alibabacloud_credentials"]).output();
    if !has_library.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: {python} has no alibabacloud_credentials (pip install; CREDENTIALS_PYTHON names another Python)"
        );
        return;
    }
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    let mut hosts = hosts_of_one_mind(&sim);
    // The library signs as the machine where a source is set up by half: the reason for all the refusing here.
    let half = Host::new("half a pair").with_metadata().set("ACCESS_KEY_ID", USER.0);
    let other = Host::new("another mode").with_metadata().profiles(&json!([{"name": "p", "mode": "RsaKeyPair"}]));
    for host in [half, other] {
        assert!(host.get("default", &sim).await.unwrap_err().is_final, "{}", host.name);
        hosts.push((host, OF_MACHINE.to_owned()));
    }
    let input = json!(
        hosts.iter().map(|(host, _)| json!({"name": host.name, "variables": host.variables})).collect::<Vec<_>>()
    );
    let address = sim.addr().to_string();
    let output = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/credentials.py");
        let mut child =
            Command::new(python).args([script, &address]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = String::from_utf8(output.await.unwrap().stdout).unwrap();
    let found: BTreeMap<String, Value> = output
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["name"].as_str().unwrap().to_owned(), line))
        .collect();
    for (host, wanted) in hosts {
        let line = found.get(host.name).unwrap_or_else(|| panic!("{}: no answer in {output}", host.name));
        let id = line["key_id"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert_eq!(owner(&sim, id), wanted, "{line}");
    }
    sim.stop().await;
}
