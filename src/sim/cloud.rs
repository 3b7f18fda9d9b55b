//! One call from its request to its response, and the state between calls.
//!
//! Nothing here waits or writes to a connection: a late or truncated response is described, and the server carries it
//! out.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    actions::{self, SimAction, SimCall},
    authenticate::{self, Caller},
    call_record::CallRecord,
    codes::SimFailure,
    faults::{DropWhen, Fault, FaultPlan},
    garble::Garble,
    key_service::{self, KeyRequest},
    lists,
    options::Options,
    params::Params,
    reply::{ReplyBody, ReplyKind, SimReply},
    snapshot::{self, SnapshotError},
    strict,
    users::{SimUserKind, UserSpec},
    verify::{KeyPair, Nonces, Received},
    world::{ImageSpec, InstanceSpec, World, WorldLimits},
};

/// Maximum number of calls in `/_sim/state`; older ones are dropped.
const MOST_CALLS: usize = 100_000;

/// Maximum number of calls in the state file, which is rewritten with every change.
const MOST_KEPT_CALLS: usize = 2_000;

/// The simulated cloud.
#[derive(Debug)]
pub(super) struct Cloud {
    world: World,
    keys: KeyPair,
    failures_in_success: bool,
    requests_per_second: Option<u32>,
    lenient: bool,
    faults: FaultPlan,
    calls: VecDeque<CallRecord>,
    nonces: Nonces,
    /// Per action: the current second, and the calls in it.
    windows: HashMap<&'static str, (i64, u32)>,
    request_ids: fastrand::Rng,
    state: Option<PathBuf>,
    saved_revision: u64,
}

/// A response in preparation.
struct CallOutcome {
    result: Result<Value, SimFailure>,
    headers: Vec<(String, String)>,
    /// An error is a response of status 200 with Success false.
    in_success: bool,
}

impl CallOutcome {
    fn refused(failure: SimFailure) -> Self {
        Self { result: Err(failure), headers: Vec::new(), in_success: false }
    }
}

impl Cloud {
    /// The cloud from the state file, or from `options`.
    pub(super) fn open(options: Options, now: DateTime<Utc>) -> Result<Self, SnapshotError> {
        let kept = options.state.as_deref().map(snapshot::load).transpose()?.flatten();
        // Ids must not repeat after a restart, nor be those of another simulator: they contain the start time.
        let started = u64::from_ne_bytes(now.timestamp_micros().to_ne_bytes());
        let begun = || (World::new(options.seed ^ started), VecDeque::new());
        let (mut world, calls) = kept.map_or_else(begun, |kept| (kept.world, kept.calls));
        world.handle(WorldLimits {
            build_time: options.build_time,
            power_time: options.power_time,
            builder_quota: options.builder_quota,
            image_quota: options.image_quota,
            open: options.open,
            gmt_zone: options.gmt_zone,
            session_life: options.session_life,
        });
        for spec in options.instances {
            if !world.has_instance(&spec.instance_id) {
                world.put_instance(spec, now);
            }
        }
        let mut cloud = Self {
            saved_revision: 0,
            world,
            keys: KeyPair {
                id: options.access_key_id,
                secret: options.access_key_secret,
                token: options.security_token,
            },
            failures_in_success: options.failures_in_success,
            requests_per_second: options.requests_per_second,
            lenient: options.lenient,
            faults: options.faults,
            calls,
            nonces: Nonces::default(),
            windows: HashMap::new(),
            request_ids: fastrand::Rng::with_seed(options.seed ^ started),
            state: options.state,
        };
        cloud.save()?;
        Ok(cloud)
    }

    /// Writes the state file if anything has changed since it was last written.
    pub(super) fn save_changes(&mut self) -> Result<(), SnapshotError> {
        if self.world.revision() == self.saved_revision { Ok(()) } else { self.save() }
    }

    /// Writes the state file, if there is one.
    pub(super) fn save(&mut self) -> Result<(), SnapshotError> {
        if let Some(path) = &self.state {
            let latest: Vec<&CallRecord> =
                self.calls.iter().skip(self.calls.len().saturating_sub(MOST_KEPT_CALLS)).collect();
            snapshot::save(path, &self.world, &latest)?;
        }
        self.saved_revision = self.world.revision();
        Ok(())
    }

    /// Processes a call. The server may delay the response; the effect on the world is immediate.
    pub(super) fn handle(&mut self, received: &Received<'_>, now: DateTime<Utc>) -> SimReply {
        let request_id = self.fresh_request_id();
        if let Some(request) = KeyRequest::of(received.path) {
            return self.hand_out(request, received, request_id, now);
        }
        let params = Params::decode(received.query, received.body);
        let (name, version) = authenticate::names(received, &params);
        let name = name.to_owned();
        let (mut fault, mut right) = (None, None);
        let product = actions::product(version);
        let outcome = match self.admit(received, &params, now) {
            Err(outcome) => outcome,
            Ok((action, caller)) => {
                let regions = params.list("DestinationRegionList", usize::MAX).unwrap_or_default();
                fault = self.faults.strike(action.name, &self.instances_of(&params), &regions);
                right = Some(action.right());
                self.act(action, &params, fault.as_ref(), (&request_id, caller.arn.as_deref()), now)
            }
        };
        let record = CallRecord {
            action: name,
            at: now,
            outcome: Cow::Borrowed(""),
            code: None,
            http_status: None,
            request_id,
            instance_id: self.instances_of(&params).into_iter().next(),
            image_id: params.get("ImageId").map(str::to_owned),
        };
        let origin = Origin { host: received.header("host"), product, right };
        self.reply(outcome, fault.as_ref(), &origin, record)
    }

    /// Checks signature, nonce, action, method and rate, in the order of a gateway.
    fn admit(
        &mut self,
        received: &Received<'_>,
        params: &Params,
        now: DateTime<Utc>,
    ) -> Result<(&'static SimAction, Caller), CallOutcome> {
        let caller = authenticate::authenticate(received, params, &self.keys, self.world.sessions(), now)
            .map_err(CallOutcome::refused)?;
        if let Some(nonce) = &caller.nonce {
            self.nonces.admit(nonce, now).map_err(CallOutcome::refused)?;
        }
        let (name, version) = authenticate::names(received, params);
        let action = actions::find(name, version)
            .filter(|_| received.path == "/")
            .ok_or_else(|| CallOutcome::refused(SimFailure::new("InvalidApi.NotFound")))?;
        if received.method != "POST" && !(action.get && received.method == "GET") {
            return Err(CallOutcome::refused(SimFailure::new("UnsupportedHTTPMethod")));
        }
        self.throttle(action, now)?;
        Ok((action, caller))
    }

    /// A request to the metadata service or the credentials URI, unless a fault replaces the answer.
    fn hand_out(
        &mut self,
        request: KeyRequest,
        received: &Received<'_>,
        request_id: String,
        now: DateTime<Utc>,
    ) -> SimReply {
        let fault = self.faults.strike(request.name(), &[], &[]);
        let forced = fault.as_ref().and_then(Fault::forced_status);
        let (status, text) = match forced {
            Some(status) => (status, String::new()),
            None => request.answer(received, &mut self.world, now),
        };
        let drop = fault.as_ref().is_some_and(|fault| fault.drop.is_some());
        self.record(CallRecord {
            action: request.name().to_owned(),
            at: now,
            outcome: Cow::Borrowed(if drop {
                "dropped_before"
            } else if status == 200 {
                "ok"
            } else {
                "refused"
            }),
            code: None,
            http_status: (!drop).then_some(status),
            request_id,
            instance_id: None,
            image_id: None,
        });
        let kind = if drop { ReplyKind::Drop } else { key_service::reply(status, text) };
        SimReply { delay: fault.and_then(|fault| fault.delay).unwrap_or_default(), kind }
    }

    fn record(&mut self, record: CallRecord) {
        if self.calls.len() >= MOST_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(record);
    }

    fn throttle(&mut self, action: &SimAction, now: DateTime<Utc>) -> Result<(), CallOutcome> {
        let Some(limit) = self.requests_per_second else { return Ok(()) };
        let second = now.timestamp();
        let window = self.windows.entry(action.name).or_insert((second, 0));
        if window.0 != second {
            *window = (second, 0);
        }
        if window.1 < limit {
            window.1 += 1;
            return Ok(());
        }
        let left = 1000 - u64::from(now.timestamp_subsec_millis()).min(999);
        let reset = (second + 1) * 1000;
        Err(CallOutcome {
            headers: vec![
                ("x-acs-retry-after".to_owned(), left.to_string()),
                ("x-ratelimit-user".to_owned(), format!("Limit:{limit},Remain:0,TimeLeft:{left},Reset:{reset}")),
            ],
            ..CallOutcome::refused(SimFailure::new("Throttling.User"))
        })
    }

    /// Executes the action, unless a fault replaces it.
    fn act(
        &mut self,
        action: &SimAction,
        params: &Params,
        fault: Option<&Fault>,
        (request_id, caller): (&str, Option<&str>),
        now: DateTime<Utc>,
    ) -> CallOutcome {
        let lie = fault.and_then(|fault| fault.list).zip(action.list.as_ref());
        let pinned;
        let params = if lie.is_some_and(|(lie, _)| lie.pins_the_page()) {
            pinned = params.clone().without("PageNumber").without("NextToken");
            &pinned
        } else {
            params
        };
        let call = SimCall {
            params,
            now,
            request_id,
            caller,
            fault: fault.and_then(|fault| fault.image.clone()).unwrap_or_default(),
            late: fault.and_then(|fault| fault.late_image).unwrap_or_default(),
        };
        let mut result = Ok(json!({}));
        if fault.is_none_or(Fault::acts) {
            let strict = if self.lenient { Ok(()) } else { strict::check(action.name, params) };
            result = strict.and_then(|()| (action.handler)(&mut self.world, &call));
        }
        if let (Some((lie, shape)), Ok(Value::Object(answer))) = (lie, &mut result) {
            lie.apply(answer, shape, self.calls.len());
        }
        if let (true, Ok(Value::Object(answer))) = (action.enveloped, &mut result) {
            answer.insert("Success".to_owned(), json!(true));
            // DescribeTemplates has another name for it.
            answer.entry("Code").or_insert_with(|| json!("200"));
        }
        let mut in_success = self.failures_in_success && action.enveloped;
        if let Some(fault) = fault.filter(|fault| fault.refuses()) {
            let code = fault.code.clone().unwrap_or_else(|| usual_code(fault.status).to_owned());
            let mut failure = SimFailure::new(code);
            failure.status = fault.forced_status().unwrap_or(failure.status);
            if let Some(message) = &fault.message {
                failure = failure.with_message(message.clone());
            }
            result = Err(failure);
            in_success = fault.success_false;
        }
        if let (Some(image_id), Ok(answer)) = (fault.and_then(|fault| fault.image_id.as_ref()), &mut result) {
            answer["Data"]["ImageId"] = json!(image_id);
        }
        let mut headers: Vec<_> = fault.map(|fault| fault.headers.clone().into_iter().collect()).unwrap_or_default();
        headers.extend(fault.and_then(|fault| fault.redirect.clone()).map(|to| ("location".to_owned(), to)));
        CallOutcome { result, headers, in_success }
    }

    /// Records the call and renders its response.
    fn reply(
        &mut self,
        outcome: CallOutcome,
        fault: Option<&Fault>,
        origin: &Origin<'_>,
        mut record: CallRecord,
    ) -> SimReply {
        let Origin { host, product, right } = origin;
        let delay = fault.and_then(|fault| fault.delay).unwrap_or_default();
        let id = &record.request_id;
        let (status, answer) = match outcome.result {
            Ok(mut answer) => {
                answer["RequestId"] = json!(id);
                (200, answer)
            }
            Err(failure) => {
                record.code = Some(failure.code.to_string());
                let (status, mut answer) = if outcome.in_success {
                    let answer = json!({
                        "RequestId": id, "Success": false, "Code": failure.code, "Message": failure.message,
                    });
                    (200, answer)
                } else {
                    let answer = json!({
                        "RequestId": id, "HostId": host, "Code": failure.code, "Message": failure.message,
                        "Recommend": format!(
                            "https://api.aliyun.com/troubleshoot?q={}&product={product}&requestId={id}",
                            failure.code,
                        ),
                    });
                    (failure.status, answer)
                };
                if let Some(right) = right.as_ref().filter(|_| is_denial(&failure.code)) {
                    answer["AccessDeniedDetail"] = access_denied(right);
                }
                (status, answer)
            }
        };
        let garble = fault.and_then(|fault| fault.body);
        let status = match fault.and_then(Fault::forced_status) {
            Some(forced) if garble.is_some_and(Garble::keeps_the_answer) => forced,
            _ => status,
        };
        let drop = fault.and_then(|fault| fault.drop);
        let word = match (drop, garble) {
            (Some(DropWhen::Before), _) => "dropped_before",
            (Some(DropWhen::After), _) => "dropped_after",
            (None, Some(_)) => "garbled",
            (None, None) if fault.is_some_and(|fault| fault.image_id.is_some()) => "garbled",
            (None, None) if record.code.is_some() => "refused",
            (None, None) if fault.is_some_and(|fault| fault.list.is_some()) => "lied",
            (None, None) => "ok",
        };
        record.outcome = Cow::Borrowed(word);
        record.http_status = drop.is_none().then_some(status);
        self.record(record);
        if drop.is_some() {
            return SimReply { delay, kind: ReplyKind::Drop };
        }
        let (body, content_type) = match garble {
            None => (ReplyBody::Whole(Bytes::from(lists::written(&answer))), "application/json;charset=utf-8"),
            Some(garble) => garble.apply(answer),
        };
        SimReply { delay, kind: ReplyKind::Answer { status, headers: outcome.headers, content_type, body } }
    }

    /// Instances of a call: named in it, or the source of the image named in it.
    fn instances_of(&self, params: &Params) -> Vec<String> {
        let mut ids: Vec<String> =
            ["InstanceId", "WuyingServerId"].iter().filter_map(|name| params.get(name)).map(str::to_owned).collect();
        for name in ["DesktopId", "DesktopIds", "WuyingServerIdList"] {
            ids.extend(params.list(name, usize::MAX).unwrap_or_default().into_iter().map(str::to_owned));
        }
        if let Some(image_id) = params.get("ImageId") {
            ids.extend(self.world.images().iter().find(|i| i.id == image_id).map(|i| i.instance_id.clone()));
        }
        ids
    }

    /// An upper-case UUID.
    fn fresh_request_id(&mut self) -> String {
        let id = uuid::Builder::from_random_bytes(self.request_ids.u128(..).to_ne_bytes()).into_uuid();
        id.hyphenated().to_string().to_ascii_uppercase()
    }

    /// Adds to the fault plan, after its remaining faults.
    pub(super) fn add_faults(&mut self, plan: FaultPlan) {
        self.faults.extend(plan);
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults = FaultPlan::default();
    }

    pub(super) fn faults_left(&self) -> &FaultPlan {
        &self.faults
    }

    pub(super) fn put_instance(&mut self, spec: InstanceSpec, now: DateTime<Utc>) {
        self.world.put_instance(spec, now);
    }

    pub(super) fn put_image(&mut self, spec: ImageSpec, now: DateTime<Utc>) {
        self.world.put_image(spec, now);
    }

    pub(super) fn put_user(&mut self, kind: SimUserKind, spec: UserSpec) {
        self.world.put_user(kind, spec);
    }

    pub(super) fn set_deletes_in_use(&mut self, deletes: bool) {
        self.world.set_deletes_in_use(deletes);
    }

    /// Response to `GET /_sim/state`. It contains the key pair on purpose, which is valid for this simulator only.
    pub(super) fn state(&self, now: DateTime<Utc>) -> Value {
        let instances: Vec<Value> = self
            .world
            .instances()
            .map(|instance| {
                json!({
                    "instance_id": instance.id, "instance_type": instance.kind, "status": instance.status(now),
                    "sub_instance_id": instance.sessions().next(), "connected": instance.is_connected(now),
                    "image_id": instance.image_id, "image_name": instance.image_name, "pool_id": instance.pool_id,
                    "region": instance.region, "maintenance": instance.maintenance,
                })
            })
            .collect();
        let images: Vec<Value> = self
            .world
            .images()
            .iter()
            .map(|image| {
                json!({
                    "image_id": image.id, "desktop_image_id": image.desktop_id, "version_id": image.version_id, "task_id": image.task_id,
                    "image_name": image.name, "description": image.description,
                    "instance_id": image.instance_id, "instance_type": image.instance_type,
                    "status": image.status(now), "tags": image.tags, "created_at": image.created_at,
                    "image_type": image.image_type, "visible": image.is_visible(now), "parameters": image.parameters,
                    "available_from": image.available_from(), "deleted_at": image.deleted_at,
                    "request_id": image.request_id,
                    "regions": image.distributions.iter().map(|d| &d.region).collect::<Vec<_>>(),
                })
            })
            .collect();
        let users = |kind| self.world.users().list(kind).collect::<Vec<_>>();
        json!({
            "access_key_id": self.keys.id,
            "access_key_secret": self.keys.secret.expose_secret(),
            "keys": self.world.sessions().list(),
            "instances": instances,
            "images": images,
            "groups": users(SimUserKind::Group),
            "pools": users(SimUserKind::Pool),
            "bundles": users(SimUserKind::Bundle),
            "templates": users(SimUserKind::Template),
            "calls": self.calls,
        })
    }
}

/// Host of a call, for error messages.
struct Origin<'a> {
    host: &'a str,
    product: &'static str,
    /// Permission for the action, if it is known.
    right: Option<String>,
}

/// Whether a code reports a missing permission.
fn is_denial(code: &str) -> bool {
    code.starts_with("Forbidden") || code.starts_with("NoPermission")
}

/// Additional fields of an error for a missing permission.
fn access_denied(right: &str) -> Value {
    json!({
        "AuthAction": right,
        "AuthPrincipalDisplayName": "200000000000000001",
        "AuthPrincipalOwnerId": "1000000000000001",
        "AuthPrincipalType": "SubUser",
        "NoPermissionType": "ImplicitDeny",
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "EncodedDiagnosticMessage": "AQEAAAAA",
    })
}

/// Code of a fault that sets only a status.
fn usual_code(status: Option<u16>) -> &'static str {
    match status {
        Some(429) => "Throttling.User",
        Some(401 | 403) => "Forbidden.NoPermission",
        Some(502..=504) => "ServiceUnavailable",
        _ => "InternalError",
    }
}
