//! The official Python library and ours, from the same variables and files: whose key does each take?

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use imagebaked::{
    adapters::cloud::credentials::KeyHosts,
    domain::clock::SystemClock,
    sim::{Options, Simulator},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::hosts::{
    Host, OF_MACHINE, PROVIDER, USER, hosts_of_one_mind, owner, plan, role, session, simulator, uri, user_profile,
};

/// Set in the namespace: the folder with what the test outside has made.
const FOLDER: &str = "IMAGEBAKED_TEST_NAMESPACE";
/// The metadata service of every ECS machine, and here every other service, too.
const ADDRESS: &str = "100.100.100.200";
/// The only names that there are in the namespace.
const NAMES: [&str; 5] = [
    "sts.aliyuncs.com",
    "sts.cn-beijing.aliyuncs.com",
    "sts.cn-hangzhou.aliyuncs.com",
    "sts-vpc.cn-shenzhen.aliyuncs.com",
    "keys.example",
];

fn python() -> String {
    std::env::var("CREDENTIALS_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Why the library cannot be asked.
fn no_library() -> Option<String> {
    let python = python();
    (!works(&python, &["-c", "import alibabacloud_credentials"])).then(|| {
        format!("{python} has no alibabacloud_credentials (pip install; CREDENTIALS_PYTHON names another Python)")
    })
}

/// The library's key of each host, by the host's name. `address`: where its services are, `-` for the real addresses.
async fn official(hosts: &[(Host, String)], address: &str) -> BTreeMap<String, Value> {
    let own = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let input: Vec<Value> = hosts
        .iter()
        .map(|(host, _)| {
            // It trusts these authorities besides its own.
            let variables: BTreeMap<_, _> = host.variables.clone().into_iter().chain(own("SSL_CERT_FILE")).collect();
            json!({"name": host.name, "variables": variables})
        })
        .collect();
    let (input, address) = (json!(input).to_string(), address.to_owned());
    let output = tokio::task::spawn_blocking(move || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/credentials.py");
        let mut child = Command::new(python())
            .args([script, &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = String::from_utf8(output.await.unwrap().stdout).unwrap();
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line["name"].as_str().unwrap().to_owned(), line)).collect()
}

/// Its hosts are fixed, so a script sends it to the simulator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_library_takes_the_same_keys() {
    if let Some(why) = no_library() {
        println!("skipped: {why}");
        return;
    }
    let sim = simulator(Options::default(), Arc::new(SystemClock)).await;
    let mut hosts = hosts_of_one_mind(&uri(&sim));
    // The library signs as the machine where a source is set up by half: the reason for all the refusing here.
    let half = Host::new("half a pair").with_metadata().set("ACCESS_KEY_ID", USER.0);
    let other = Host::new("another mode").with_metadata().profiles(&json!([{"name": "p", "mode": "RsaKeyPair"}]));
    for host in [half, other] {
        assert!(host.get("default", &sim).await.unwrap_err().is_final, "{}", host.name);
        hosts.push((host, OF_MACHINE.to_owned()));
    }
    let found = official(&hosts, &sim.addr().to_string()).await;
    for (host, wanted) in hosts {
        let line = found.get(host.name).unwrap_or_else(|| panic!("{}: no answer in {found:?}", host.name));
        let id = line["key_id"].as_str().unwrap_or_else(|| panic!("{line}"));
        assert_eq!(owner(&sim, id), wanted, "{line}");
    }
    sim.stop().await;
}

/// No address is overridden: the metadata service is at its own, and the names of the token service lead to a host of the
/// namespace that ends TLS.
#[test]
fn in_a_network_of_their_own_both_libraries_take_the_same_keys_from_the_real_addresses() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(compare_at_the_real_addresses(&PathBuf::from(folder)));
        return;
    }
    let tools = [("unshare", ["--net", "--mount", "true"]), ("ip", ["-V", "link", "show"])];
    let missing = tools.iter().find(|(tool, arguments)| !works(tool, arguments));
    let missing = missing.map(|(tool, _)| format!("`{tool}` does not work here (util-linux and iproute2, as root)"));
    let openssl = (!works("openssl", &["version"])).then(|| "there is no openssl".to_owned());
    if let Some(why) = no_library().or(missing).or(openssl) {
        println!("skipped: {why}");
        return;
    }
    let folder = certificates();
    let test = std::thread::current().name().unwrap().to_owned();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("ca.pem"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("compared "), "{said}\n{complained}");
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with an authority, a certificate of it for [`NAMES`], and the file of names.
fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let of_ca = ["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &path("ca.key"), "-out", &path("ca.pem")];
    run("openssl", &[&["req"], &key[..], &of_ca].concat());
    let of_leaf = ["-subj", "/CN=services", "-keyout", &path("leaf.key"), "-out", &path("leaf.csr")];
    run("openssl", &[&["req"], &key[..], &of_leaf].concat());
    let names = NAMES.map(|name| format!("DNS:{name}")).join(",");
    fs::write(folder.path().join("names"), format!("subjectAltName={names}\n")).unwrap();
    let by = ["-CA", &path("ca.pem"), "-CAkey", &path("ca.key"), "-CAcreateserial", "-extfile", &path("names")];
    let of = ["x509", "-req", "-days", "2", "-in", &path("leaf.csr"), "-out", &path("leaf.pem")];
    run("openssl", &[&of[..], &by].concat());
    fs::write(folder.path().join("hosts"), format!("127.0.0.1 localhost\n{ADDRESS} {}\n", NAMES.join(" "))).unwrap();
    folder
}

/// Ends with its parent.
struct Front(Child);

impl Front {
    fn start(folder: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/tls_front.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([folder.join("leaf.pem"), folder.join("leaf.key")])
            .args([format!("{ADDRESS}:443"), format!("{ADDRESS}:80")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn compare_at_the_real_addresses(folder: &Path) {
    run("mount", &["--bind", folder.join("hosts").to_str().unwrap(), "/etc/hosts"]);
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]);
    let front = Front::start(folder);

    let mut hosts = hosts_of_one_mind("https://keys.example:443/credentials?for=bake");
    hosts.extend(hosts_of_regions());
    let mut count = compare(&json!([]), hosts).await;
    // Old machines, and broken ones.
    let machine = |name| Host::new(name).with_metadata();
    for status in [403, 404, 500] {
        let fault = json!([{"action": "MetadataToken", "status": status, "times": 0}]);
        let strict = machine("strict machine").set("IMDSV1_DISABLED", "true");
        count += compare(&fault, vec![(machine("old machine"), OF_MACHINE.to_owned()), (strict, String::new())]).await;
    }
    for action in ["MetadataKeys", "MetadataRole"] {
        let fault = json!([{"action": action, "status": 500, "times": 0}]);
        count += compare(&fault, vec![(machine("broken machine"), String::new())]).await;
    }
    println!("compared {count}");
    drop(front);
}

/// Each is served by the one host that it has to find.
fn hosts_of_regions() -> Vec<(Host, String)> {
    let night = session("night");
    let of_region = |more: Value| json!([user_profile("RamRoleArn", more)]);
    let in_cluster = |name| {
        Host::new(name)
            .set("ROLE_ARN", &role("night"))
            .set("ROLE_SESSION_NAME", "bake")
            .set("OIDC_PROVIDER_ARN", PROVIDER)
    };
    let wrong_name = json!([user_profile("EcsRamRole", json!({"ram_role_name": "other-role"}))]);
    vec![
        (Host::new("region of a profile").profiles(&of_region(json!({"sts_region": "cn-beijing"}))), night.clone()),
        (
            Host::new("inside a VPC").profiles(&of_region(json!({"sts_region": "cn-shenzhen", "enable_vpc": true}))),
            night.clone(),
        ),
        (Host::new("VPC without a region").profiles(&of_region(json!({"enable_vpc": true}))), night.clone()),
        (
            in_cluster("region of a cluster").set("OIDC_TOKEN_FILE", "~/token").set("STS_REGION", "cn-hangzhou"),
            night.clone(),
        ),
        (
            in_cluster("cluster inside a VPC")
                .set("OIDC_TOKEN_FILE", "~/token")
                .set("STS_REGION", "cn-shenzhen")
                .set("VPC_ENDPOINT_ENABLED", "true"),
            night,
        ),
        (Host::new("a region without a host").profiles(&of_region(json!({"sts_region": "cn-nowhere"}))), String::new()),
        (Host::new("another name of the role").with_metadata().set("ECS_METADATA", "other-role"), String::new()),
        (Host::new("a named role").with_metadata().set("ECS_METADATA", "simulator-role"), OF_MACHINE.to_owned()),
        (Host::new("another name in a profile").profiles(&wrong_name), String::new()),
        (Host::new("no source"), String::new()),
    ]
}

/// Each host takes the key of its owner, in both libraries; an empty name is none.
async fn compare(faults: &Value, hosts: Vec<(Host, String)>) -> usize {
    let listener = TcpListener::bind((ADDRESS, 80)).await.unwrap();
    let sim = Simulator::start(listener, Options::default(), Arc::new(SystemClock)).unwrap();
    plan(&sim, faults);
    let found = official(&hosts, "-").await;
    for (host, wanted) in &hosts {
        let provider = host.provider_at("default", KeyHosts::default(), Arc::new(SystemClock));
        let ours = provider.get().await.map(|credentials| owner(&sim, &credentials.key.id));
        let line = found.get(host.name).unwrap();
        let theirs = line["key_id"].as_str().map(|id| owner(&sim, id));
        assert_eq!(ours.as_ref().ok().map_or("", String::as_str), wanted, "{}: {ours:?}", host.name);
        assert_eq!(theirs.as_deref().unwrap_or_default(), wanted, "{line}");
        if let Err(error) = ours {
            println!("{}: {error}", host.name);
        }
    }
    sim.stop().await;
    hosts.len()
}
