//! Hosts with their variables and files, and the simulator as all the services that they ask.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, LazyLock},
    time::Duration,
};

use imagebaked::{
    adapters::cloud::{
        Environment,
        credentials::{CredentialProvider, Credentials, KeyHosts, NoCredentials},
        endpoint::Endpoint,
        http::Http,
        random_nonces,
    },
    domain::{
        api::credential_source::CredentialSource,
        clock::{Clock, SystemClock},
    },
    sim::{FaultPlan, Options, RunningSimulator, Simulator},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(super) const CONFIG: &str = ".aliyun/config.json";
/// Found by the official Python library; the documented name is without the ending.
pub(super) const INI: &str = ".alibabacloud/credentials.ini";
pub(super) const USER: (&str, &str) = ("sim-key-id", "sim-key-secret");
pub(super) const PROVIDER: &str = "acs:ram::1000000000000001:oidc-provider/cluster";
pub(super) const OF_MACHINE: &str = "acs:ram::1000000000000001:assumed-role/simulator-role/i-sim0001";

pub(super) async fn simulator(options: Options, clock: Arc<dyn Clock>) -> RunningSimulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, options, clock).unwrap()
}

pub(super) fn plan(sim: &RunningSimulator, faults: &Value) {
    sim.add_faults(FaultPlan::parse(&json!({ "fault": faults }).to_string()).unwrap());
}

pub(super) fn role(name: &str) -> String {
    format!("acs:ram::1000000000000001:role/{name}")
}

pub(super) fn session(name: &str) -> String {
    format!("acs:ram::1000000000000001:assumed-role/{name}/bake")
}

/// A host of its own: variables, files of the home, whether it has a metadata service.
pub(super) struct Host {
    pub(super) name: &'static str,
    home: TempDir,
    pub(super) variables: BTreeMap<String, String>,
}

impl Host {
    pub(super) fn new(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = [("HOME", home.path().to_str().unwrap()), ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { name, home, variables }.put("token", "header.claims.signature\n")
    }

    /// `~` in the value is the home.
    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        let value = value.replace('~', self.home.path().to_str().unwrap());
        self.variables.insert(format!("ALIBABA_CLOUD_{name}"), value);
        self
    }

    pub(super) fn put(self, file: &str, text: &str) -> Self {
        let path = self.home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace('~', self.home.path().to_str().unwrap())).unwrap();
        self
    }

    /// A file of profiles, the first of them current.
    pub(super) fn profiles(self, profiles: &Value) -> Self {
        let text = json!({ "current": profiles[0]["name"], "profiles": profiles }).to_string();
        self.put(CONFIG, &text)
    }

    pub(super) fn with_metadata(mut self) -> Self {
        self.variables.remove("ALIBABA_CLOUD_ECS_METADATA_DISABLED");
        self
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::read(|name| self.variables.get(name).cloned())
    }

    pub(super) fn provider(&self, choice: &str, sim: &RunningSimulator, clock: Arc<dyn Clock>) -> CredentialProvider {
        let address = format!("http://{}", sim.addr());
        let hosts = KeyHosts::new(Some(Endpoint::parse(&address).unwrap()), Some(&address)).unwrap();
        self.provider_at(choice, hosts, clock)
    }

    /// The same, with these addresses of the services.
    pub(super) fn provider_at(&self, choice: &str, hosts: KeyHosts, clock: Arc<dyn Clock>) -> CredentialProvider {
        // It reads the certificates of the host, which takes long. Each simulator has a port of its own, so that no connection
        // outlives its test.
        static HTTP: LazyLock<Http> = LazyLock::new(|| Http::new(Duration::from_secs(5), None).unwrap());
        let http = HTTP.clone();
        let choice = CredentialSource::parse(choice).unwrap();
        CredentialProvider::new(choice, self.environment(), hosts, http, clock, random_nonces(), Arc::default())
    }

    pub(super) async fn get(&self, choice: &str, sim: &RunningSimulator) -> Result<Credentials, NoCredentials> {
        self.provider(choice, sim, Arc::new(SystemClock)).get().await
    }
}

/// Whose key this is; a key that the simulator did not issue is its own name.
pub(super) fn owner(sim: &RunningSimulator, key_id: &str) -> String {
    let state = sim.state();
    let keys = state["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["access_key_id"] == key_id);
    found.map_or(key_id, |key| key["arn"].as_str().unwrap()).to_owned()
}

pub(super) fn calls(sim: &RunningSimulator, action: &str) -> usize {
    sim.state()["calls"].as_array().unwrap().iter().filter(|call| call["action"] == action).count()
}

pub(super) fn user_profile(mode: &str, more: Value) -> Value {
    let mut profile = json!({
        "name": "p", "mode": mode, "access_key_id": USER.0, "access_key_secret": USER.1,
        "ram_role_arn": role("night"), "ram_session_name": "bake",
    });
    profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    profile
}

pub(super) fn section(kind: &str, more: &str) -> String {
    format!(
        "[default]\ntype = {kind}\naccess_key_id = {}\naccess_key_secret = {}  # of the build account\n{more}\n",
        USER.0, USER.1
    )
}

/// A credentials URI of the simulator.
pub(super) fn uri(sim: &RunningSimulator) -> String {
    format!("http://{}/credentials?for=bake", sim.addr())
}

/// What the official library takes, too.
pub(super) fn hosts_of_one_mind(uri: &str) -> Vec<(Host, String)> {
    let with_user = |host: Host| host.set("ACCESS_KEY_ID", USER.0).set("ACCESS_KEY_SECRET", USER.1);
    let own_section = section("access_key", "").replace(USER.0, "ini-id");
    let night = session("night");
    let oidc = json!({"oidc_provider_arn": PROVIDER, "oidc_token_file": "~/token", "role_session_name": "bake"});
    let chain = json!([
        {"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "q", "ram_role_arn": role("night"), "ram_session_name": "bake"},
        {"name": "q", "mode": "ChainableRamRoleArn", "source_profile": "r", "ram_role_arn": role("day"), "ram_session_name": "bake"},
        {"name": "r", "mode": "AK", "access_key_id": USER.0, "access_key_secret": USER.1},
    ]);
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
        (Host::new("the machine's role").with_metadata().set("CREDENTIALS_URI", uri), OF_MACHINE.to_owned()),
        (Host::new("credentials URI").set("CREDENTIALS_URI", uri), "acs:ram::1000000000000001:assumed-role/simulator-uri/uri".to_owned()),
    ]
}
