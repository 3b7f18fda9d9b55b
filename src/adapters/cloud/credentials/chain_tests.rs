//! Which source wins, and which ends the search. Nothing here reaches a network.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::{CredentialProvider, Credentials, Environment, KeyHosts, NoCredentials, SourceName};
use crate::{
    adapters::{cloud::http::Http, secrets::KnownSecrets},
    domain::{api::credential_source::CredentialSource, clock::SystemClock},
};

/// A host without a metadata service: its variables, its home.
struct Host {
    home: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Host {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = BTreeMap::from([
            ("HOME", home.path().display().to_string()),
            ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true".to_owned()),
        ]);
        Self { home, variables }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn put(&self, file: &str, text: &str) -> &Self {
        let path = self.home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn environment(&self) -> Environment {
        Environment::read(|name| self.variables.get(name).cloned())
    }

    fn provider(&self, choice: &str) -> CredentialProvider {
        provider(choice, self.environment())
    }

    async fn get(&self, choice: &str) -> Result<Credentials, NoCredentials> {
        self.provider(choice).get().await
    }

    /// The error of a choice, which ends the search.
    async fn refused(&self, choice: &str) -> String {
        let error = self.get(choice).await.unwrap_err();
        assert!(error.is_final, "{choice}: {error}");
        error.to_string()
    }
}

fn provider(choice: &str, environment: Environment) -> CredentialProvider {
    provider_with(choice, environment, Arc::default())
}

fn provider_with(choice: &str, environment: Environment, secrets: Arc<KnownSecrets>) -> CredentialProvider {
    static HTTP: LazyLock<Http> = LazyLock::new(|| Http::new(Duration::from_secs(1), None).unwrap());
    let http = HTTP.clone();
    let choice = CredentialSource::parse(choice).unwrap();
    let nonce = Arc::new(|| "nonce".to_owned());
    CredentialProvider::new(choice, environment, KeyHosts::default(), http, Arc::new(SystemClock), nonce, secrets)
}

const CONFIG: &str = ".aliyun/config.json";

fn key_folder(folder: &Path, id: &str) {
    fs::write(folder.join("access_key_id"), format!("\u{feff}{id}\n")).unwrap();
    fs::write(folder.join("access_key_secret"), "file-secret\r\n").unwrap();
}

/// A file of profiles whose current one has these fields.
fn profile(fields: &str) -> String {
    format!(r#"{{"current":"p","profiles":[{{"name":"other","mode":"AK"}},{{"name":"p",{fields}}}]}}"#)
}

const KEY: &str = r#""access_key_id":"profile-id","access_key_secret":"profile-secret""#;

#[tokio::test]
async fn the_first_source_wins_and_debug_shows_no_secret() {
    let host = Host::new()
        .set("ALIBABA_CLOUD_ACCESS_KEY_ID", "env-id")
        .set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "env-secret")
        .set("ALIBABA_CLOUD_SECURITY_TOKEN", "env-token");
    host.put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
    let provider = host.provider("default");
    let credentials = provider.get().await.unwrap();
    assert_eq!((credentials.key.id.as_str(), credentials.source), ("env-id", SourceName::Environment));
    assert_eq!(credentials.key.secret.expose_secret(), "env-secret");
    assert_eq!(credentials.key.security_token.as_ref().unwrap().expose_secret(), "env-token");
    let shown = format!("{credentials:?} {provider:?}");
    assert!(!shown.contains("env-secret") && !shown.contains("env-token"), "{shown}");
}

#[tokio::test]
async fn every_key_and_token_that_was_read_is_known_to_be_masked() {
    let (host, secrets) = (Host::new(), Arc::new(KnownSecrets::default()));
    host.put(CONFIG, &profile(&format!(r#""mode":"StsToken",{KEY},"sts_token":"the-token""#)));
    let provider = provider_with("default", host.environment(), Arc::clone(&secrets));
    provider.get().await.unwrap();
    host.put(CONFIG, &profile(&format!(r#""mode":"StsToken",{KEY},"sts_token":"the-next-token""#)));
    provider.refresh().await.unwrap();
    let mut text = *b"profile-id profile-secret the-token the-next-token other";
    assert!(secrets.blot(&mut text));
    assert_eq!(String::from_utf8_lossy(&text), "********** ************** ********* ************** other");
}

#[tokio::test]
async fn edited_files_are_seen_beside_the_key_in_use() {
    let host = Host::new();
    key_folder(host.home.path(), "old");
    let environment = Environment { credentials_directory: Some(host.home.path().to_owned()), ..host.environment() };
    let of_unit = Some("/run/credentials/imagebaked.service".into());
    let of_systemd = Environment { credentials_directory: of_unit, ..environment.clone() };
    let provider = provider("files", environment);
    provider.get().await.unwrap();
    assert!(provider.reread().await.unwrap().is_none(), "nothing was edited");
    host.put("access_key_secret", "another-secret\n");
    let found = provider.reread().await.unwrap().unwrap();
    assert_eq!(provider.get().await.unwrap().key.secret.expose_secret(), "file-secret", "it stays in use");
    provider.take_over(found);
    assert_eq!(provider.get().await.unwrap().key.secret.expose_secret(), "another-secret");
    host.put("access_key_secret", "");
    assert!(provider.reread().await.is_err());
    assert_eq!(provider.get().await.unwrap().key.id, "old", "it stays in use");
    assert_eq!(provider.fixed(SourceName::Files), None, "an edit counts at once");
    assert!(self::provider("files", of_systemd).fixed(SourceName::Files).unwrap().contains("LoadCredential="));
}

#[tokio::test]
async fn files_are_read_again_on_demand() {
    let host = Host::new();
    key_folder(host.home.path(), "old");
    let environment = Environment { credentials_directory: Some(host.home.path().to_owned()), ..host.environment() };
    let provider = provider("files", environment);
    let first = provider.get().await.unwrap();
    assert_eq!((first.key.id.as_str(), first.key.secret.expose_secret()), ("old", "file-secret"));
    key_folder(host.home.path(), "new");
    assert_eq!(provider.get().await.unwrap().key.id, "old");
    assert_eq!(provider.refresh().await.unwrap().key.id, "new");
    assert_eq!(provider.get().await.unwrap().key.id, "new");
}

#[tokio::test]
async fn when_nothing_is_set_up_each_source_has_its_reason() {
    let error = Host::new().get("default").await.unwrap_err();
    let names: Vec<SourceName> = error.reasons.iter().map(|(name, _)| *name).collect();
    let all = [
        SourceName::Environment,
        SourceName::Files,
        SourceName::Oidc,
        SourceName::CliProfile,
        SourceName::Ini,
        SourceName::EcsRamRole,
        SourceName::Uri,
    ];
    assert_eq!(names, all);
    assert!(!error.is_final && error.reasons.iter().all(|(_, why)| !why.is_empty()));
    assert!(error.to_string().chars().count() < 500, "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_key_is_named() {
    let host = Host::new();
    key_folder(host.home.path(), "id");
    let environment = Environment { credentials_directory: Some(host.home.path().to_owned()), ..host.environment() };
    for (text, fault) in
        [("LTAI x", "has a blank inside the value"), ("\u{feff}\n", "is empty"), ("'id'", "has quotes")]
    {
        host.put("access_key_id", text);
        let error = provider("files", environment.clone()).get().await.unwrap_err();
        assert!(error.is_final && error.to_string().contains(&format!("/access_key_id {fault}")), "{text:?}: {error}");
    }
}

/// The next source would sign as somebody else.
#[tokio::test]
async fn what_is_half_set_up_ends_the_search() {
    const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
    const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
    for (set, missing) in [
        (ID, SECRET),
        (SECRET, ID),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ID),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_ROLE_ARN"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_ROLE_ARN"),
    ] {
        let host = Host::new().set(set, "x");
        host.put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
        let why = host.refused("default").await;
        assert!(why.ends_with(&format!("{set} is set, but {missing} is not")), "{why}");
    }
    // The name of a role alone is a default of profiles.
    let host = Host::new().set("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r");
    host.put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
    assert_eq!(host.get("default").await.unwrap().key.id, "profile-id");

    let host = Host::new();
    host.put("keys/access_key_id", "lonely").put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
    let folder = host.home.path().join("keys").display().to_string();
    let host = host.set("CREDENTIALS_DIRECTORY", &folder);
    assert!(host.refused("default").await.contains("no access_key_secret in"));
}

#[tokio::test]
async fn profiles_with_a_key_are_read() {
    let host = Host::new();
    host.put(CONFIG, &profile(&format!(r#""mode":"StsToken",{KEY},"sts_token":"t","expired_seconds":null"#)));
    let credentials = host.get("default").await.unwrap();
    assert_eq!(credentials.origin(), "aliyun profile `p` (StsToken)");
    assert_eq!(credentials.key.security_token.unwrap().expose_secret(), "t");
    assert_eq!(host.get("profile:p").await.unwrap().key.id, "profile-id");
}

/// Each was skipped once, and the role of the machine signed in its place.
#[tokio::test]
async fn a_profile_that_cannot_be_used_ends_the_search_and_names_what_to_use_instead() {
    for (fields, wanted) in [
        (r#""mode":"External","process_command":"x""#, "use CredentialsURI, or StsToken"),
        (r#""mode":"CloudSSO""#, "use RamRoleArn, OIDC or EcsRamRole"),
        (r#""mode":"OAuth""#, "use RamRoleArn, OIDC or EcsRamRole"),
        (r#""mode":"RsaKeyPair""#, "use RamRoleArn or AK"),
        (r#""mode":"RamRoleArnWithEcs""#, "use ChainableRamRoleArn with a source_profile of mode EcsRamRole"),
        (r#""mode":"Later""#, "is of mode Later, which is not supported (it is unknown)"),
        (r#""mode":"AK","access_key_id":"i""#, "profile `p` has no access_key_secret"),
        (r#""mode":"StsToken","access_key_id":"i","access_key_secret":"s""#, "profile `p` has no sts_token"),
        (r#""mode":"RamRoleArn","access_key_id":"i","access_key_secret":"s""#, "profile `p` names no role"),
        (
            r#""mode":"RamRoleArn","access_key_id":"i","access_key_secret":"s","ram_role_arn":"r","expired_seconds":899"#,
            "asks for keys of 899 s; the shortest are of 900 s",
        ),
        (r#""mode":"ChainableRamRoleArn","ram_role_arn":"r""#, "profile `p` has no source_profile"),
        (r#""mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"p""#, "profile `p` is its own source"),
        (r#""mode":"ChainableRamRoleArn","ram_role_arn":"r","source_profile":"q""#, "no profile `q` in"),
        (r#""mode":"EcsRamRole""#, "switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
        (r#""mode":"OIDC","ram_role_arn":"r""#, "profile `p` has no oidc_provider_arn"),
        (r#""mode":"CredentialsURI""#, "profile `p` has no credentials_uri"),
        (r#""mode":"CredentialsURI","credentials_uri":"http://h.example/""#, "http:// is for loopback only"),
    ] {
        let host = Host::new();
        host.put(CONFIG, &profile(fields));
        let (chosen, found) = (host.refused("profile:p").await, host.refused("default").await);
        assert_eq!(chosen, found);
        assert!(found.starts_with("no credentials: aliyun profile: ") && found.contains(wanted), "{found}");
    }
    let host = Host::new();
    host.put(CONFIG, "{\"current\":\"p\",\n\"profiles\":[{\"name\":\"p\",\"access_key_secret\":\"quoted\" oops");
    let why = host.refused("default").await;
    assert!(why.contains("config.json is not valid JSON, line 2") && !why.contains("quoted"), "{why}");
    host.put(CONFIG, "\n");
    assert!(host.refused("default").await.contains("config.json is empty"));
    host.put(CONFIG, &profile(r#""mode":"RamRoleArn","expired_seconds":"quoted""#));
    let why = host.refused("default").await;
    assert!(why.contains("has a value of another type") && !why.contains("quoted"), "{why}");
    host.put(CONFIG, &profile(r#""mode":"AK","access_key_id":"i","access_key_secret":"hush hush""#));
    let why = host.refused("default").await;
    assert!(why.contains("config.json: access_key_secret of profile `p` has a blank inside the value"), "{why}");
    // What an editor adds is left out.
    host.put(CONFIG, &profile(r#""mode":"AK","access_key_id":" i ","access_key_secret":"s\n""#));
    assert_eq!(host.get("default").await.unwrap().key.id, "i");
}

#[tokio::test]
async fn a_named_profile_has_to_be_there() {
    let host = Host::new().set("ALIBABA_CLOUD_PROFILE", "night");
    let why = host.refused("default").await;
    assert!(why.contains("no file with a section `night`, and no such profile of the aliyun command"), "{why}");
    host.put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
    assert!(host.refused("default").await.contains("section `night`"));
    assert!(host.refused("profile:absent").await.contains("no profile `absent` in"));
    assert_eq!(host.get("profile:p").await.unwrap().key.id, "profile-id");
    // The name may also mean a section of the INI file.
    host.put(".alibabacloud/credentials", "[night]\ntype=access_key\naccess_key_id=ini-id\naccess_key_secret=s\n");
    assert_eq!(host.get("default").await.unwrap().key.id, "ini-id");

    // An empty profile is what the command leaves that was never configured; no profile at all is no mistake either.
    let host = Host::new();
    host.put(CONFIG, &profile(r#""mode":"AK","access_key_id":"","access_key_secret":"""#));
    assert!(!host.get("default").await.unwrap_err().is_final);
    assert!(host.refused("profile:p").await.contains("has no access_key_id"));
    host.put(CONFIG, r#"{"current":"gone","profiles":[]}"#);
    assert!(host.refused("default").await.contains("no profile `gone` in"));
    let host = Host::new().set("ALIBABA_CLOUD_CONFIG_FILE", "/nowhere/config.json");
    assert!(host.refused("default").await.contains("there is no /nowhere/config.json"));
}

#[tokio::test]
async fn the_ini_file_is_found_under_both_of_its_names() {
    let section = |id: &str| format!("[default]\ntype = access_key\naccess_key_id = {id}\naccess_key_secret = s\n");
    let host = Host::new();
    host.put(".alibabacloud/credentials.ini", &section("python"));
    let credentials = host.get("default").await.unwrap();
    assert_eq!(
        (credentials.key.id.as_str(), credentials.origin().as_str()),
        ("python", "credentials file `default` (access_key)")
    );
    host.put(".alibabacloud/credentials", &section("documented"));
    assert!(host.refused("ini").await.contains("name one with ALIBABA_CLOUD_CREDENTIALS_FILE"));
    let named = host.home.path().join(".alibabacloud/credentials").display().to_string();
    let host = host.set("ALIBABA_CLOUD_CREDENTIALS_FILE", &named);
    assert_eq!(host.get("ini").await.unwrap().key.id, "documented");
    for (text, wanted) in [
        ("[default]\ntype = rsa_key_pair\n", "use ram_role_arn or access_key"),
        ("[default]\ntype = sts\n", "is of type sts, which is not supported"),
        ("[default]\naccess_key_id = x\n", "has no type"),
        ("[default]\ntype = access_key\naccess_key_secret = s\n", "has no access_key_id"),
        ("[default]\ntype = ecs_ram_role\n", "switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
    ] {
        host.put(".alibabacloud/credentials", text);
        let why = host.refused("default").await;
        assert!(why.contains(wanted), "{why}");
    }
    host.put(".alibabacloud/credentials", &section("off").replace("[default]", "[default]\nenable = false"));
    assert!(!host.get("default").await.unwrap_err().is_final);
}

#[tokio::test]
async fn a_choice_uses_no_other_source() {
    let host = Host::new().set("ALIBABA_CLOUD_ACCESS_KEY_ID", "env-id").set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s");
    for choice in ["oidc", "profile:p", "ini", "ecs_ram_role", "uri", "files"] {
        host.refused(choice).await;
    }
    assert_eq!(host.get("environment").await.unwrap().key.id, "env-id");
    assert_eq!(
        Host::new().refused("environment").await,
        "no credentials: environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set"
    );
}

#[tokio::test]
async fn the_first_source_stays_the_source() {
    let host = Host::new();
    host.put(CONFIG, &profile(&format!(r#""mode":"AK",{KEY}"#)));
    let provider = host.provider("default");
    assert_eq!(provider.get().await.unwrap().key.id, "profile-id");
    fs::remove_file(host.home.path().join(CONFIG)).unwrap();
    host.put(".alibabacloud/credentials", "[default]\ntype=access_key\naccess_key_id=i\naccess_key_secret=s\n");
    let error = provider.refresh().await.unwrap_err();
    assert!(error.is_final && error.to_string().contains("the source since the start"), "{error}");
    assert_eq!(provider.get().await.unwrap().key.id, "profile-id");
}
