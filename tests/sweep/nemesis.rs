//! The kinds of faults of a scene, and the simulator's fault plan for each.

use std::fmt;

use fastrand::Rng;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nemesis {
    /// kill -9 at a random time.
    Kill,
    /// kill -9 at a failpoint that the start before it armed.
    Failpoint,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// An orderly stop and a start.
    Restart,
    /// An answer that is not the API's own, whether the call acted or not.
    Proxy,
    /// A good answer to a create call with a wrong image id, or with none.
    WrongId,
    /// A connection that is cut before or after the call acted, or in the answer.
    Cut,
    /// An answer after the client's timeout.
    Timeout,
    /// A list without its rows.
    List,
    /// Throttling by code.
    Throttle,
    /// A transient error code of the cloud.
    CloudFault,
    /// Nothing listens at the endpoint.
    Outage,
    /// A transient state of an instance.
    InstanceState,
    /// Users connect to an instance.
    Connect,
    /// A user starts an instance that was stopped for its image.
    UserStart,
    /// An image is made by hand under the name of a slot.
    HandImage,
    /// An image ends as CREATE_FAILED, or shows late in lists.
    Spoil,
    /// The disk is full.
    DiskFull,
    /// Writes to the disk fail.
    DiskError,
    /// The clock is wrong for a moment.
    Clock,
    /// An older history is restored from a backup.
    Restore,
    /// The files of an older history are put back, as with a machine that is rolled back.
    Rollback,
    /// The configuration is changed a little and read again.
    Reload,
    /// A manual bake.
    Manual,
    /// A delivery group, a pool, a bundle or a template uses an image.
    Use,
    /// An image is pinned.
    Pin,
}

impl Nemesis {
    /// All kinds but the kills, which every scene has.
    pub const OTHERS: [Self; 24] = [
        Self::Pause,
        Self::Restart,
        Self::Proxy,
        Self::WrongId,
        Self::Cut,
        Self::Timeout,
        Self::List,
        Self::Throttle,
        Self::CloudFault,
        Self::Outage,
        Self::InstanceState,
        Self::Connect,
        Self::UserStart,
        Self::HandImage,
        Self::Spoil,
        Self::DiskFull,
        Self::DiskError,
        Self::Clock,
        Self::Restore,
        Self::Rollback,
        Self::Reload,
        Self::Manual,
        Self::Use,
        Self::Pin,
    ];

    pub const KILLS: [Self; 2] = [Self::Kill, Self::Failpoint];

    /// The name in the sweep's output and in `ONLY`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Failpoint => "failpoint",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::Proxy => "proxy",
            Self::WrongId => "wrong-id",
            Self::Cut => "cut",
            Self::Timeout => "timeout",
            Self::List => "list",
            Self::Throttle => "throttle",
            Self::CloudFault => "cloud-fault",
            Self::Outage => "outage",
            Self::InstanceState => "instance-state",
            Self::Connect => "connect",
            Self::UserStart => "user-start",
            Self::HandImage => "hand-image",
            Self::Spoil => "spoil",
            Self::DiskFull => "disk-full",
            Self::DiskError => "disk-error",
            Self::Clock => "clock",
            Self::Restore => "restore",
            Self::Rollback => "rollback",
            Self::Reload => "reload",
            Self::Manual => "manual",
            Self::Use => "use",
            Self::Pin => "pin",
        }
    }

    /// The simulator's fault plan for this kind, in TOML, and how many calls its faults meet.
    pub fn fault_plan(self, rng: &mut Rng) -> Option<(String, u64)> {
        let action = *pick(rng, &CALLS);
        let create = "CreateImageByInstance";
        let times = rng.u64(1..=3);
        let act = rng.bool();
        let (action, words) = match self {
            Self::Proxy => {
                // The statuses that a proxy may answer with.
                let status = match rng.u8(0..3) {
                    0 => rng.u16(302..600),
                    _ => *pick(rng, &[200, 204, 302, 307, 400, 401, 403, 404, 407, 408, 413, 429, 499, 502, 503, 504]),
                };
                let body = pick(rng, &["not_json", "empty", "half", "other_json", "null", "json_without_request_id"]);
                (action, format!("status = {status}\nbody = \"{body}\"\nact = {act}"))
            }
            Self::WrongId => {
                let body =
                    pick(rng, &["wrong_image_id", "empty_image_id", "implausible_image_id", "no_image_id", "no_data"]);
                (create, format!("body = \"{body}\""))
            }
            Self::Cut => match rng.u8(0..3) {
                0 => (action, "drop = \"before\"".to_owned()),
                1 => (action, "drop = \"after\"".to_owned()),
                _ => (action, "body = \"truncate\"".to_owned()),
            },
            Self::Timeout => (action, format!("delay = \"{}ms\"", rng.u64(1100..1800))),
            Self::List if rng.u8(0..4) == 0 => {
                let action = *pick(rng, &LISTS_WITHOUT_COUNT);
                (action, format!("list = \"{}\"", pick(rng, &LIES_WITHOUT_COUNT)))
            }
            Self::List => (*pick(rng, &LISTS), format!("list = \"{}\"", pick(rng, &LIES))),
            Self::Throttle => {
                let code = pick(rng, &["Throttling", "Throttling.User", "Throttling.Api"]);
                let status = pick(rng, &[400, 429, 503]);
                let headers = pick(rng, &["{}", "{ retry-after = \"1\" }", "{ x-acs-retry-after = \"400\" }"]);
                (action, format!("code = \"{code}\"\nstatus = {status}\nheaders = {headers}"))
            }
            Self::CloudFault => {
                let code = pick(rng, &["InternalError", "ServiceUnavailable"]);
                let status = pick(rng, &[400, 500, 503]);
                (action, format!("code = \"{code}\"\nstatus = {status}\nact = {act}"))
            }
            Self::Spoil => (
                create,
                match rng.u8(0..3) {
                    0 => "image = \"CREATE_FAILED\"".to_owned(),
                    1 => format!("drop = \"after\"\nlate_image = \"{}ms\"", rng.u64(100..400)),
                    _ => format!("status = 504\nbody = \"not_json\"\nlate_image = \"{}ms\"", rng.u64(100..400)),
                },
            ),
            _ => return None,
        };
        Some((format!("[[fault]]\naction = \"{action}\"\ntimes = {times}\n{words}\n"), times))
    }
}

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A random element.
pub fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(0..of.len())]
}

/// The calls that a scene makes. Calls where a fault does the most harm are listed more often.
const CALLS: [&str; 14] = [
    "CreateImageByInstance",
    "CreateImageByInstance",
    "CreateImageByInstance",
    "CreateImageByInstance",
    "ListImage",
    "ListImage",
    "DeleteImage",
    "DescribeDesktops",
    "ListWuyingServer",
    "ListAppInstanceGroup",
    "StopDesktops",
    "StartDesktops",
    "StopWuyingServer",
    "StartWuyingServer",
];

/// The lists that bakes and deletions rely on.
const LISTS: [&str; 5] =
    ["ListImage", "DescribeDesktops", "ListWuyingServer", "ListAppInstanceGroup", "DescribeTemplates"];

/// The kinds of false lists.
const LIES: [&str; 9] =
    ["null", "missing", "empty", "short", "no_ids", "wrong_type", "wrong_rows", "same_page", "growing"];

/// Lists without a row count.
const LISTS_WITHOUT_COUNT: [&str; 2] = ["DescribeBundles", "DescribeDesktopGroups"];

/// The kinds of false lists without a row count.
const LIES_WITHOUT_COUNT: [&str; 7] =
    ["null", "missing", "no_ids", "no_image_ids", "wrong_type", "wrong_rows", "same_token"];
