//! `[cloud]` and `[daemon]`: the connection to the cloud, and the settings of the daemon.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::{
    backup_keys::{BackupLayer, BackupSettings, backup, backup_kind},
    endpoint_keys::{ENDPOINT, endpoint, endpoints_by_region, endpoints_by_region_kind, metadata_endpoint},
    key::Kind,
    layer::layer,
    paths::{ABSOLUTE, absolute, socket},
    reader::{Diagnostics, Item},
    region_keys::{REGION, filled, region},
    suggest::suggestion,
    value_types::{Bool, Custom, Integer, Number, OneOf, Period, Within},
};
use crate::domain::{
    api::{credential_source::CredentialSource, host::HostPort, mode::Mode},
    image::users::UserKind,
};

/// Pattern of [`credential_source`].
const CREDENTIALS: &str = "^(default|environment|files|oidc|profile:.*\\S.*|ini|ecs_ram_role|uri)$";
/// Pattern of [`listen_address`].
const LISTEN: &str = "^$|:[0-9]+$";

/// Pattern of [`host_name`].
const HOST_NAME: &str = "^[A-Za-z0-9.-]+$";

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);
/// A call in ten seconds: with fewer the calls of one bake would not end before its deadline.
const LEAST_RATE: f64 = 0.1;

/// Stores the comments of a struct's fields: they are the descriptions for the operator.
macro_rules! with_texts {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$($note:tt)*])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$($note)*])* pub $field: $type,)*
        }

        impl $name {
            /// Comment lines of each field.
            pub(super) const TEXTS: &'static [(&'static str, &'static [&'static str])] =
                &[$((stringify!($field), &[$(with_texts!(@ $($note)*)),*])),*];
        }
    };
    (@ doc = $line:literal) => { $line };
    (@ $($other:tt)*) => { "" };
}

with_texts! {
    /// `[cloud]`: connection to the cloud.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct CloudSettings {
        /// Region of the image service; the region of an instance may differ. Default `"cn-shanghai"`.
        pub region: String,
        /// Address of the image service, `https://…` or a host name; http on loopback only. Default: by `region`.
        pub endpoint: Option<String>,
        /// Address of the desktop service (ecd) for all regions, in the same format. Default: by the instance's region.
        pub ecd_endpoint: Option<String>,
        /// Addresses of the desktop service by region, such as `{ cn-shanghai = "https://…" }`, where a host serves one region
        /// only, as inside a VPC. They go before `ecd_endpoint`. Default `{}`.
        pub ecd_endpoints: BTreeMap<String, String>,
        /// Address of the token service (sts), in the same format. Default: one for all regions.
        pub sts_endpoint: Option<String>,
        /// Address of the metadata service of ECS, in the same format. Default: the one of every ECS instance.
        pub metadata_endpoint: Option<String>,
        /// Timeout of a connection attempt. Default `"5s"`.
        pub connect_timeout: Duration,
        /// Timeout of a whole call. Default `"30s"`.
        pub timeout: Duration,
        /// Maximum number of calls per second, for all actions together. Default `5`.
        pub requests_per_second: f64,
        /// Source of the access key: `"environment"`, `"files"`, `"oidc"`, `"profile:NAME"` (of the aliyun command),
        /// `"ini"`, `"ecs_ram_role"`, `"uri"`, or `"default"`, which uses the first of them that is set up. One that is
        /// set up or chosen and fails is not replaced by another. Default `"default"`.
        pub credentials: CredentialSource,
        /// Folder of the credential files for `credentials = "files"`. Default: the service manager's.
        pub credentials_dir: Option<PathBuf>,
        /// Time between two polls of an image that is being made. Default `"30s"`.
        pub poll_interval: Duration,
        /// How long the image of an unclear create call is searched for before the call is repeated. Default `"10m"`.
        pub lookup_window: Duration,
        /// Kinds of users that are listed before an image is deleted. Users of an omitted kind can lose their image.
        /// Default: all kinds.
        pub in_use: Vec<UserKind>,
    }
}

impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            region: "cn-shanghai".into(),
            endpoint: None,
            ecd_endpoint: None,
            ecd_endpoints: BTreeMap::new(),
            sts_endpoint: None,
            metadata_endpoint: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            requests_per_second: 5.0,
            credentials: CredentialSource::Default,
            credentials_dir: None,
            poll_interval: Duration::from_secs(30),
            lookup_window: Duration::from_mins(10),
            in_use: UserKind::ALL.to_vec(),
        }
    }
}

with_texts! {
    /// `[daemon]`: settings of the daemon.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct DaemonSettings {
        /// Folder of the history database. Default `"/var/lib/imagebaked"`.
        pub state_dir: PathBuf,
        /// Maximum number of images that are made at once. Default `5`.
        pub max_builders: u32,
        /// Maximum number of images that are made at once of instances in one region. Default `1000`: no separate
        /// limit.
        pub max_builders_per_region: u32,
        /// Number of consecutive permanent failures after which a schedule is paused; 0 disables this. Default `5`.
        pub pause_after_failures: u32,
        /// Address and port of the status page; `""` disables it. Default `"127.0.0.1:8470"`.
        #[serde(with = "listen")]
        pub listen: Option<SocketAddr>,
        /// Names under which a reverse proxy shows the status page, such as `["bake.example.com"]`. It answers to addresses
        /// and to localhost in any case, and to no other name. Default `[]`.
        pub page_hosts: Vec<String>,
        /// Path of the socket between commands and daemon. Default `"/run/imagebaked/control.sock"`.
        pub control_socket: PathBuf,
        /// Value of the tag that marks images of this daemon; two daemons of one account need different ones. Another one
        /// takes effect at the next start: images of the former owner are not ours then, and open bakes keep theirs. Default
        /// `"imagebaked"`.
        pub owner: String,
        /// Timeout of an orderly stop. Default `"30s"`.
        pub drain: Duration,
        /// Time between two inventory scans, each followed by a retention pass. Default `"1h"`.
        pub prune_interval: Duration,
        /// Maximum number of images that one retention pass deletes without `prune --confirm`. Default: twice the
        /// number of lines with `keep`, without deletions of images that a new one replaces.
        pub max_deletions: Option<u32>,
        /// How long events are kept; at most two million are, however young they are. Default `"90d"`.
        pub keep_events: Duration,
        /// Whether changed files are reloaded automatically. Default `false`.
        pub watch: bool,
        /// `"observe"` makes every call that only reads and none that changes the cloud: slots end as skipped, code `observe`, and
        /// nothing is deleted or copied. Default `"act"`.
        pub mode: Mode,
        /// Scheduled backups of the history, each verified; `{}` means the defaults of its keys. Default: no backups.
        pub backup: Option<BackupSettings>,
    }
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/imagebaked".into(),
            max_builders: 5,
            max_builders_per_region: 1000,
            pause_after_failures: 5,
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8470))),
            page_hosts: Vec::new(),
            control_socket: "/run/imagebaked/control.sock".into(),
            owner: "imagebaked".into(),
            drain: Duration::from_secs(30),
            prune_interval: Duration::from_hours(1),
            max_deletions: None,
            keep_events: Duration::from_hours(90 * 24),
            watch: false,
            mode: Mode::Act,
            backup: None,
        }
    }
}

/// `listen` as written: the empty string is "off".
mod listen {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(listen: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&listen.map(|address| address.to_string()).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}

layer! {
    /// [`CloudSettings`] of one layer.
    #[derive(Serialize)]
    struct CloudLayer {
        region: String = Custom(region, || Kind::Text(REGION)),
        endpoint: String = Custom(endpoint, || Kind::Text(ENDPOINT)),
        ecd_endpoint: String = Custom(endpoint, || Kind::Text(ENDPOINT)),
        ecd_endpoints: BTreeMap<String, String> = Custom(endpoints_by_region, endpoints_by_region_kind),
        sts_endpoint: String = Custom(endpoint, || Kind::Text(ENDPOINT)),
        metadata_endpoint: String = Custom(metadata_endpoint, || Kind::Text(ENDPOINT)),
        connect_timeout: Duration = Within(MILLISECOND, Duration::from_mins(5)),
        timeout: Duration = Within(MILLISECOND, Duration::from_hours(1)),
        requests_per_second: f64 = Number(LEAST_RATE, 1000.0),
        credentials: CredentialSource = Custom(credential_source, || Kind::Text(CREDENTIALS)),
        credentials_dir: String = Custom(absolute, || Kind::Text(ABSOLUTE)),
        poll_interval: Duration = Within(Duration::from_millis(10), DAY),
        lookup_window: Duration = Period(MILLISECOND),
        in_use: Vec<UserKind> = Custom(user_kinds, user_kinds_kind),
    }
}

layer! {
    /// [`DaemonSettings`] of one layer.
    #[derive(Serialize)]
    struct DaemonLayer {
        state_dir: String = Custom(absolute, || Kind::Text(ABSOLUTE)),
        max_builders: u32 = Integer(1, 1000),
        max_builders_per_region: u32 = Integer(1, 1000),
        pause_after_failures: u32 = Integer(0, 1000),
        listen: String = Custom(listen_address, || Kind::Text(LISTEN)),
        page_hosts: Vec<String> = Custom(host_names, || Kind::Set { of: Kind::Text(HOST_NAME).into(), min: 0 }),
        control_socket: String = Custom(socket, || Kind::Text(ABSOLUTE)),
        owner: String = Custom(owner, || Kind::FILLED),
        drain: Duration = Within(Duration::ZERO, DAY),
        prune_interval: Duration = Period(Duration::from_millis(100)),
        max_deletions: u32 = Integer(0, 1_000_000),
        keep_events: Duration = Period(Duration::from_hours(1)),
        watch: bool = Bool,
        mode: Mode = OneOf(&[("act", Mode::Act), ("observe", Mode::Observe)]),
        backup: BackupLayer = Custom(backup, backup_kind),
    }
}

/// Characters of a word in place of a source of credentials that is shown.
const LONGEST_SOURCE: usize = 20;

/// Reads the source of the access key: a word, or a profile by its name.
fn credential_source(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<CredentialSource> {
    let text = filled(item, out)?;
    let source = CredentialSource::parse(&text);
    if source.is_none() {
        let hint = if text.starts_with("profile") {
            "name the profile of ~/.aliyun/config.json: `\"profile:NAME\"`".to_owned()
        } else {
            suggestion(&text, &[CredentialSource::WORDS.as_slice(), &["profile:NAME"]].concat())
        };
        // People write the key itself there.
        let is_word =
            text.len() <= LONGEST_SOURCE && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let value = if is_word { format!("`{text}`") } else { "this".to_owned() };
        out.error(item.mark, "bad-value", format!("{value} is not a source of credentials"), Some(hint));
    }
    source
}

/// Reads kinds of users without duplicates; a variable has commas between them.
fn user_kinds(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<UserKind>> {
    let words = UserKind::ALL.map(|kind| (kind.as_str(), kind));
    let kinds =
        set(item, "a list like [\"desktops\", \"workstations\"]", |member, out| member.one_of(&words, out), out)?;
    if kinds.is_empty() {
        let message = "nobody is asked for before an image is deleted, not even the desktops that were made from it";
        let hint = "leave the key out to ask for all, or name the kinds that can use images";
        out.warning(item.mark, "no-users-asked", message, Some(hint.into()));
    }
    Some(kinds)
}

/// Reads names of hosts without duplicates; a variable has commas between them.
fn host_names(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Vec<String>> {
    set(item, "a list like [\"bake.example.com\"]", host_name, out)
}

fn host_name(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = filled(item, out)?;
    let name =
        HostPort::parse(&text).filter(|host| host.port().is_none()).and_then(|host| host.name().map(str::to_owned));
    if name.is_none() {
        let hint = Some("a name as in the address bar, without scheme, port and path: `bake.example.com`".into());
        out.error(item.mark, "bad-value", format!("`{text}` is not the name of a host"), hint);
    }
    name
}

/// Maximum number of members of a list without duplicates: each is compared with all others.
const MOST_MEMBERS: usize = 200;

/// Reads a list without duplicates; a variable has commas between its members.
fn set<T: PartialEq>(
    item: Item<'_, '_>,
    example: &str,
    read: impl Fn(Item<'_, '_>, &mut Diagnostics) -> Option<T>,
    out: &mut Diagnostics,
) -> Option<Vec<T>> {
    let mut members = Vec::new();
    let mut sound = true;
    let mut take = |member: Item<'_, '_>, out: &mut Diagnostics| match read(member, out) {
        Some(_) if members.len() == MOST_MEMBERS => {
            let message = format!("this list has more than {MOST_MEMBERS} members");
            out.error(item.mark, "out-of-range", message, Some("leave some out".into()));
            sound = false;
        }
        Some(value) if members.contains(&value) => {
            let text = member.value.as_str().unwrap_or_default();
            out.error(
                member.mark,
                "bad-value",
                format!("`{text}` is listed twice"),
                Some("keep one of the two".into()),
            );
            sound = false;
        }
        Some(value) => members.push(value),
        None => sound = false,
    };
    match item.value.as_str().filter(|_| item.mark.source.untyped) {
        Some(text) => {
            for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                take(Item { value: &DeValue::String(word.into()), mark: item.mark }, out);
            }
        }
        None => {
            for member in item.list(example, out)? {
                take(member, out);
            }
        }
    }
    sound.then_some(members)
}

fn user_kinds_kind() -> Kind {
    let words = UserKind::ALL.iter().map(|kind| kind.as_str()).collect();
    Kind::Set { of: Kind::OneOf(words).into(), min: 0 }
}

fn listen_address(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    if let DeValue::Integer(port) = item.value {
        let hint = format!("an address and a port, in quotes: \"127.0.0.1:{}\"", port.as_str());
        out.error(item.mark, "bad-type", "expected a string, found an integer", Some(hint));
        return None;
    }
    let text = item.text(out)?;
    if text.is_empty() {
        return Some(String::new());
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(8470);
        let hint = format!("an IP address and a port, like \"127.0.0.1:{port}\"; \"\" turns the status page off");
        out.error(item.mark, "bad-listen", format!("`{text}` is not an address to listen on"), Some(hint));
        return None;
    };
    if !address.ip().is_loopback() {
        let hint = Some("the status page asks for no password; keep it on 127.0.0.1 behind a proxy that does".into());
        out.warning(item.mark, "open-listen", "the status page can be read by other hosts", hint);
    }
    Some(text.to_owned())
}

fn owner(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = filled(item, out)?;
    if text.chars().count() > 128 {
        out.error(item.mark, "bad-value", "an owner has at most 128 characters", Some("choose a shorter one".into()));
        return None;
    }
    Some(text)
}
