//! Carries out the calls of the state machine: converts them to API requests or hooks, and the responses back.

use std::{borrow::Cow, collections::BTreeMap, path::Path, sync::Arc};

use chrono::{DateTime, Utc};

use super::{remote_images::remote_image, slot_lists::SlotLists};
use crate::{
    adapters::{
        cloud::{
            self, Authorities, CloudClient, CloudError, CloudOptions, Environment, Gate, ProxySettings, Unanswered,
            actions::{
                CreateImageByInstance, DescribeDesktops, Desktop, ListImage, ListWuyingServer, MachineStatus, Server,
                SetDesktopMaintenance, StartDesktops, StartWuyingServer, StopDesktops, StopWuyingServer,
            },
            listing::{self, Listing as _},
            random_nonces,
        },
        config::Config,
        failpoint, hooks,
        store::Attempt,
    },
    domain::{
        api::{
            call::{ApiError, Call, ErrorClass, MadeImage, PowerState, Response},
            identity::{Identity, ImageStatus, RemoteImage, TAG_LINE, TAG_OWNER},
            instance_state::{self, InstanceType, StateClass},
        },
        bake::{Bake, BakeSettings, State, identity::values, naming::Template},
        clock::{Clock, later},
        hooks::{HookOutcome, HookResult, HookRun},
        ids::{ImageId, InstanceId, LineId},
        text::UNREADABLE,
    },
};

/// A user whose name the cloud does not list.
const SOMEBODY: &str = "somebody";

/// Client for `config`. The credentials of `environment` are read when they are first needed.
pub fn client(
    config: &Config,
    environment: &BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
) -> Result<CloudClient, CloudError> {
    let settings = &config.cloud;
    let options = CloudOptions {
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        ecd_endpoint: settings.ecd_endpoint.clone(),
        ecd_endpoints: settings.ecd_endpoints.clone(),
        sts_endpoint: settings.sts_endpoint.clone(),
        metadata_endpoint: settings.metadata_endpoint.clone(),
        credentials: settings.credentials.clone(),
        connect_timeout: settings.connect_timeout,
        timeout: settings.timeout,
        requests_per_second: settings.requests_per_second,
        proxy: ProxySettings::read(|name| environment.get(name).cloned())?,
        authorities: Authorities::read(|name| environment.get(name).cloned())?,
        mode: config.daemon.mode,
    };
    let mut environment = Environment::read(|name| environment.get(name).cloned());
    if let Some(folder) = &settings.credentials_dir {
        environment.credentials_directory = Some(folder.clone());
        environment.folder_is_named = true;
    }
    CloudClient::new(&options, environment, Arc::clone(clock), random_nonces())
}

/// Result of a call.
#[derive(Debug, Clone)]
pub struct Finished {
    call: Call,
    /// The response.
    pub answer: Response,
    /// The cloud's clock at the response.
    pub server_date: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    http_status: Option<u16>,
    request_id: Option<String>,
    own: OwnWords,
}

/// What the API says of its answer itself, where the call has it.
#[derive(Debug, Clone, Default)]
struct OwnWords {
    success: Option<bool>,
    code: Option<String>,
    message: Option<String>,
}

impl OwnWords {
    fn of<T>(answer: &cloud::ApiResponse<T>) -> Self {
        Self { success: answer.success, code: answer.code.clone(), message: answer.message.clone() }
    }

    fn of_error(error: &ApiError) -> Self {
        let success = error.is_decided().then_some(false);
        Self { success, code: error.code.clone(), message: Some(error.message.clone()) }
    }
}

/// Parameters of a bake's call.
#[derive(Debug)]
pub struct Caller<'a> {
    /// Destination.
    pub cloud: &'a CloudClient,
    /// The bake.
    pub instance: &'a InstanceId,
    /// How.
    pub settings: &'a BakeSettings,
    /// Session of its workstation, once it is known.
    pub session: Option<String>,
    /// Identity of its image.
    pub description: Option<String>,
    /// `[daemon] owner`.
    pub owner: &'a str,
    /// The lines on the instance, of all schedules.
    pub lines: Vec<LineId>,
    /// Executor of hooks.
    pub folder: &'a Path,
    /// When create calls and stops must not be sent any more.
    pub gate: Gate,
    /// Shared lists of searches for one slot.
    pub slot_lists: &'a SlotLists,
}

impl Caller<'_> {
    /// Sends one call. After rejected credentials they are reread and the call is repeated once: the cloud does not act
    /// on a request with an invalid signature. This applies only to a rejection by the API itself, not to a proxy's 401
    /// or 403.
    pub async fn perform(&self, call: Call, clock: &dyn Clock) -> Finished {
        let (started_at, began) = (clock.now(), clock.boottime());
        failpoint::hit("send", call.as_str());
        let mut response = self.send(&call).await;
        if let Err(Unanswered::Refused(rejection)) = &response
            && rejection.class == ErrorClass::Credential
        {
            response = match self.cloud.renew_after(rejection).await {
                Ok(()) => self.send(&call).await,
                Err(error) => Err(Unanswered::Refused(error)),
            };
        }
        failpoint::hit("answer", call.as_str());
        // By the time since boot: setting the clock during the call does not change the result.
        let finished_at = later(started_at, clock.boottime().saturating_sub(began));
        let LoggedResponse { answer, server_date, http_status, request_id, own } = match response {
            Ok(logged) => logged,
            Err(Unanswered::NotSent) => LoggedResponse::without_words(Response::NotSent),
            Err(Unanswered::Refused(error)) => LoggedResponse {
                server_date: None,
                http_status: error.http_status,
                request_id: error.request_id.clone(),
                own: OwnWords::of_error(&error),
                answer: Response::Refused(error),
            },
        };
        Finished { call, answer, server_date, started_at, finished_at, http_status, request_id, own }
    }
}

/// Description of the image of `bake`.
pub fn description(bake: &Bake) -> Option<String> {
    let template = Template::parse(bake.settings.description.as_deref()?).ok()?;
    let version = bake.state.work()?.version;
    Some(template.render(&values(bake, version)))
}

impl Finished {
    /// Row for the attempts table; `None` for a poll without news.
    pub fn attempt(&self, before: &State, after: &State) -> Option<Attempt> {
        let (outcome, message) = match &self.answer {
            Response::Refused(error) => {
                let message = if error.advice.is_empty() {
                    error.message.clone()
                } else {
                    format!("{} ({})", error.message, error.advice)
                };
                (class_label(error.class), Some(message))
            }
            Response::Accepted => ("ok", None),
            Response::Created(image) => ("ok", Some(format!("made {}", image.image_id))),
            Response::Found(Some(image)) => ("ok", Some(format!("found {} {}", image.image_id, image.status.as_str()))),
            Response::Image(Some(image)) => ("ok", Some(image.status.as_str().to_owned())),
            Response::InProgress(images) if !images.is_empty() => {
                let images: Vec<&str> = images.iter().map(|image| image.image_id.as_str()).collect();
                ("ok", Some(format!("{} being made", images.join(", "))))
            }
            Response::InProgress(_) => ("ok", Some("none".to_owned())),
            Response::Found(None) | Response::Image(None) => ("ok", Some("not listed".to_owned())),
            Response::NameTaken(taken) => {
                let carriers = taken.ids().map(ImageId::as_str).collect::<Vec<_>>().join(", ");
                ("ok", Some(format!("not listed; others have its name: {carriers}")))
            }
            Response::NotSent => return None,
            Response::Instance(Some(power)) => ("ok", Some(power_label(power).into_owned())),
            Response::Instance(None) | Response::Sessions(None) => ("ok", Some("no such instance".to_owned())),
            Response::Sessions(Some(sessions)) => ("ok", Some(session_label(sessions))),
            Response::SessionsNotListed => ("ok", Some("no list of its sessions".to_owned())),
            Response::Maintenance(found) => ("ok", Some(maintenance_label(*found).to_owned())),
            Response::Hook(outcome) => (hook_label(outcome, before), self.hook_message(outcome)),
        };
        let changes_something = matches!(
            self.call,
            Call::CreateImage(_)
                | Call::StopInstance
                | Call::StartInstance
                | Call::EnterMaintenance
                | Call::LeaveMaintenance
                | Call::RunHook(_)
        );
        // A wait is recorded once, however often it is polled.
        let why = |state: &State| state.waiting().map(|waiting| waiting.why.clone());
        let waits_on = why(before).is_some() && why(before) == why(after);
        let news = !waits_on && (before.as_str() != after.as_str() || before.reason() != after.reason());
        if outcome == "ok" && !changes_something && !news {
            return None;
        }
        Some(Attempt {
            stage: match self.call {
                Call::RunHook(_) => "hook",
                // The create call needs it, also where nothing is stopped.
                Call::ListSessions => "create",
                _ => stage(before),
            },
            call: self.name(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            outcome,
            code: self.own.code.clone(),
            http_status: self.http_status,
            request_id: self.request_id.clone(),
            message,
            success: self.own.success,
            answer: self.own.message.clone(),
        })
    }
}

impl Finished {
    fn name(&self) -> Cow<'static, str> {
        match &self.call {
            Call::RunHook(run) => format!("hook {} {}", run.moment.as_str(), run.number).into(),
            call => call.as_str().into(),
        }
    }

    fn hook_message(&self, outcome: &HookOutcome) -> Option<String> {
        let Call::RunHook(run) = &self.call else { return None };
        let mut message = format!("{}: {}", run.command.program(), outcome.result);
        if !outcome.output.is_empty() {
            message.push_str("; it wrote:\n");
            message.push_str(&outcome.output);
        }
        Some(message)
    }
}

fn hook_label(outcome: &HookOutcome, before: &State) -> &'static str {
    match outcome.result {
        HookResult::Exited(0) => "ok",
        HookResult::TimedOut(_) => "timeout",
        HookResult::Exited(_) if matches!(before, State::Preparing { .. }) => "veto",
        _ => "failed",
    }
}

fn stage(state: &State) -> &'static str {
    match state {
        State::Preparing { .. } | State::Stopping { .. } => "stop",
        State::Queued { .. } | State::Ready { .. } | State::Creating { .. } | State::Unknown { .. } => "create",
        State::Building { .. } | State::Ended { .. } => "build",
        State::Starting { .. } | State::Finishing { .. } => "start",
    }
}

pub(super) fn class_label(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient => "transient",
        ErrorClass::Busy => "busy",
        ErrorClass::Credential => "credential",
        ErrorClass::Permanent => "permanent",
        ErrorClass::Unclear => "unclear",
    }
}

fn power_label(power: &PowerState) -> Cow<'_, str> {
    match power {
        PowerState::Running => "Running".into(),
        PowerState::RunningInUse(who) => format!("Running, {who} is connected").into(),
        PowerState::Stopped => "Stopped".into(),
        PowerState::Transitioning(text) | PowerState::Final(text) => text.into(),
    }
}

fn maintenance_label(found: Option<bool>) -> &'static str {
    match found {
        Some(true) => "in maintenance",
        Some(false) => "not in maintenance",
        None => "no such instance",
    }
}

fn session_label(sessions: &[String]) -> String {
    match sessions {
        [] => "no session".to_owned(),
        [one] => format!("session {one}"),
        several => format!("{} sessions", several.len()),
    }
}

struct LoggedResponse {
    answer: Response,
    server_date: Option<DateTime<Utc>>,
    http_status: Option<u16>,
    request_id: Option<String>,
    own: OwnWords,
}

impl LoggedResponse {
    fn of<T>(answer: cloud::ApiResponse<T>, meaning: impl FnOnce(T) -> Response) -> Self {
        let (own, server_date, http_status) = (OwnWords::of(&answer), answer.server_date, Some(answer.http_status));
        Self { answer: meaning(answer.value), server_date, http_status, request_id: answer.request_id, own }
    }

    /// Of several calls, or of none.
    fn without_words(answer: Response) -> Self {
        Self { answer, server_date: None, http_status: None, request_id: None, own: OwnWords::default() }
    }
}

impl Caller<'_> {
    async fn send(&self, call: &Call) -> Result<LoggedResponse, Unanswered> {
        match call {
            Call::CreateImage(identity) => self.create(identity).await,
            Call::FindImage(identity) => Ok(self.find(identity).await?),
            Call::FindImagesInProgress => Ok(self.find_in_progress().await?),
            Call::DescribeImage(image_id) => Ok(self.describe(image_id).await?),
            Call::DescribeInstance => Ok(self.power().await?),
            Call::ListSessions => Ok(self.sessions().await?),
            Call::DescribeMaintenance => Ok(self.maintenance().await?),
            Call::EnterMaintenance => self.enter_maintenance().await,
            Call::LeaveMaintenance => Ok(self.leave_maintenance().await?),
            Call::StopInstance => self.stop().await,
            Call::StartInstance => Ok(self.start().await?),
            Call::RunHook(run) => Ok(self.hook(run).await),
        }
    }

    async fn create(&self, identity: &Identity) -> Result<LoggedResponse, Unanswered> {
        let settings = self.settings;
        let request = CreateImageByInstance {
            image_name: identity.image_name.clone(),
            description: self.description.clone(),
            instance_id: self.instance.clone(),
            sub_instance_id: self.session.clone().or_else(|| settings.sub_instance_id.clone()),
            instance_type: settings.instance_type,
            auto_clean_userdata: settings.auto_clean_userdata,
            copy_profile: settings.copy_profile,
            disk_type: Some(settings.disk_type),
            biz_type: settings.biz_type,
            product_type: settings.product_type.clone(),
            tags: identity.tags(&settings.tags),
        };
        let answer = self.cloud.call_behind(&request, &self.gate).await?;
        Ok(LoggedResponse::of(answer, |made| {
            Response::Created(MadeImage { image_id: made.image_id, version_id: made.version_id, task_id: made.task_id })
        }))
    }

    /// By name first; if no image has the name and the tags of the slot, by tags too: another host with the same
    /// configuration counts versions separately and uses another name.
    async fn find(&self, identity: &Identity) -> Result<LoggedResponse, ApiError> {
        let by_name = |name: &str| ListImage { image_name: Some(name.to_owned()), ..ListImage::default() };
        let mut images: Vec<_> =
            self.cloud.list_all_images(&by_name(&identity.image_name)).await?.iter().map(remote_image).collect();
        for earlier in &identity.evidence.earlier {
            images.extend(self.cloud.list_all_images(&by_name(&earlier.image_name)).await?.iter().map(remote_image));
        }
        if !identity.is_tagged(&images) {
            let by_tags = self.slot_lists.list(self.cloud, identity).await?;
            // An image in both lists counts once.
            let fresh = |image: &&RemoteImage| images.iter().all(|known| known.image_id != image.image_id);
            let others: Vec<_> = by_tags.iter().filter(fresh).cloned().collect();
            images.extend(others);
        }
        if let Some(image) = identity.unreadable_candidate(&images) {
            let why = format!("{} may be the image of this slot, but its name or tags are damaged", image.image_id);
            return Err(listing::incomplete(ListImage::ACTION, None, images.len(), &why));
        }
        let answer = Response::of_search(identity, images);
        // Several pages have several request ids: none identifies the whole.
        Ok(LoggedResponse::without_words(answer))
    }

    /// Images of our lines on this instance that are being made, whoever requested them.
    async fn find_in_progress(&self) -> Result<LoggedResponse, ApiError> {
        let mut found: Vec<RemoteImage> = Vec::new();
        for status in [cloud::actions::ImageStatus::Init, cloud::actions::ImageStatus::Creating] {
            let tags = [(TAG_OWNER.to_owned(), self.owner.to_owned())].into();
            let filter = ListImage { status: Some(status), tags, ..ListImage::default() };
            match self.cloud.list_all_images(&filter).await {
                Ok(images) => found.extend(images.iter().map(remote_image)),
                // A cloud without an answer must not keep the instance stopped.
                Err(error) if error.class == ErrorClass::Permanent => {}
                Err(error) => return Err(error),
            }
        }
        let of_instance = format!("/{}", self.instance);
        found.retain(|image| {
            let line = image.tags.get(TAG_LINE).map(String::as_str).unwrap_or_default();
            image.status == ImageStatus::InProgress
                && image.tags.get(TAG_OWNER).map(String::as_str) == Some(self.owner)
                && (line.contains(UNREADABLE)
                    || self.lines.iter().any(|known| known.as_str() == line)
                    || line.ends_with(&of_instance))
        });
        Ok(LoggedResponse::without_words(Response::InProgress(found)))
    }

    async fn describe(&self, image_id: &ImageId) -> Result<LoggedResponse, ApiError> {
        let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
        let response = self.cloud.list_images(&request).await?;
        Ok(LoggedResponse::of(response, |page| {
            Response::Image(page.images.iter().find(|image| image.image_id == *image_id).map(remote_image))
        }))
    }

    async fn power(&self) -> Result<LoggedResponse, ApiError> {
        let ids = vec![self.instance.clone()];
        match self.settings.instance_type {
            InstanceType::CloudDesktop => {
                let region = self.settings.instance_region.clone();
                let request = DescribeDesktops { region, ids, ..DescribeDesktops::default() };
                let response = self.cloud.describe_desktops(&request).await?;
                Ok(LoggedResponse::of(response, |desktops| {
                    let found = desktops.iter().find(|desktop| desktop.id == *self.instance);
                    Response::Instance(found.map(desktop_power))
                }))
            }
            InstanceType::WuyingServer => {
                let request = ListWuyingServer { ids, ..ListWuyingServer::default() };
                let response = self.cloud.list_servers(&request).await?;
                Ok(LoggedResponse::of(response, |servers| {
                    let found = servers.iter().find(|server| server.id == *self.instance);
                    let power =
                        |server: &Server| power(&server.status, InstanceType::WuyingServer, server_users(server));
                    Response::Instance(found.map(power))
                }))
            }
        }
    }

    async fn maintenance(&self) -> Result<LoggedResponse, ApiError> {
        let (region, ids) = (self.settings.instance_region.clone(), vec![self.instance.clone()]);
        let request = DescribeDesktops { region, ids, ..DescribeDesktops::default() };
        let response = self.cloud.describe_desktops(&request).await?;
        Ok(LoggedResponse::of(response, |desktops| {
            let found = desktops.iter().find(|desktop| desktop.id == *self.instance);
            Response::Maintenance(found.map(Desktop::is_in_maintenance))
        }))
    }

    fn set_maintenance(&self, enter: bool) -> SetDesktopMaintenance {
        let (region, ids) = (self.settings.instance_region.clone(), vec![self.instance.clone()]);
        SetDesktopMaintenance { region, ids, enter }
    }

    async fn enter_maintenance(&self) -> Result<LoggedResponse, Unanswered> {
        let response = self.cloud.call_behind(&self.set_maintenance(true), &self.gate).await?;
        Ok(LoggedResponse::of(response, |_| Response::Accepted))
    }

    async fn leave_maintenance(&self) -> Result<LoggedResponse, ApiError> {
        let response = self.cloud.set_maintenance(&self.set_maintenance(false)).await?;
        Ok(LoggedResponse::of(response, |_| Response::Accepted))
    }

    async fn sessions(&self) -> Result<LoggedResponse, ApiError> {
        let request = ListWuyingServer { ids: vec![self.instance.clone()], ..ListWuyingServer::default() };
        let response = self.cloud.list_servers(&request).await?;
        Ok(LoggedResponse::of(response, |servers| {
            let found = servers.iter().find(|server| server.id == *self.instance);
            match found.map(Server::session_ids) {
                None => Response::Sessions(None),
                Some(None) => Response::SessionsNotListed,
                Some(listed) => Response::Sessions(listed),
            }
        }))
    }

    async fn stop(&self) -> Result<LoggedResponse, Unanswered> {
        let ids = vec![self.instance.clone()];
        let response = match self.settings.instance_type {
            InstanceType::CloudDesktop => {
                let region = self.settings.instance_region.clone();
                let stopped_mode = Some(self.settings.stopped_mode);
                self.cloud.call_behind(&StopDesktops { region, ids, stopped_mode }, &self.gate).await?
            }
            // Never forced: a forced stop may lose data that belongs into the image.
            InstanceType::WuyingServer => {
                self.cloud.call_behind(&StopWuyingServer { ids, force: None }, &self.gate).await?
            }
        };
        Ok(LoggedResponse::of(response, |_| Response::Accepted))
    }

    async fn start(&self) -> Result<LoggedResponse, ApiError> {
        let ids = vec![self.instance.clone()];
        let response = match self.settings.instance_type {
            InstanceType::CloudDesktop => {
                let region = self.settings.instance_region.clone();
                self.cloud.start_desktops(&StartDesktops { region, ids }).await?
            }
            InstanceType::WuyingServer => self.cloud.start_servers(&StartWuyingServer { ids }).await?,
        };
        Ok(LoggedResponse::of(response, |_| Response::Accepted))
    }

    async fn hook(&self, run: &HookRun) -> LoggedResponse {
        // A variable cannot contain NUL; external texts may.
        let environment = run.environment.iter().map(|(name, value)| (*name, value.replace('\0', " ")));
        let outcome = hooks::run(&run.command, environment, self.folder, run.timeout, self.cloud.secrets()).await;
        LoggedResponse::without_words(Response::Hook(outcome))
    }
}

/// The API reports a connected user without a name.
fn desktop_user(desktop: &Desktop) -> Option<String> {
    let status = desktop.connection_status.as_deref()?;
    is_connected(status).then(|| SOMEBODY.to_owned())
}

/// One that cannot be read may be: nobody is thrown out by a damaged text.
fn is_connected(status: &str) -> bool {
    status.eq_ignore_ascii_case("connected") || status.contains(UNREADABLE)
}

fn server_users(server: &Server) -> Option<String> {
    let users: Vec<&str> = server.sessions.iter().filter_map(|session| session.user_id.as_deref()).collect();
    let connected = server.session_status.as_deref().is_some_and(is_connected);
    match users.as_slice() {
        [] if connected || !server.sessions.is_empty() => Some(SOMEBODY.to_owned()),
        [] => None,
        users => Some(users.join(", ")),
    }
}

/// A desktop that runs or is stopped may still be in transition, as its flag shows. Unknown flags are ignored.
fn desktop_power(desktop: &Desktop) -> PowerState {
    let kind = InstanceType::CloudDesktop;
    let flag = desktop.flags().find(|flag| instance_state::find(flag, kind).is_some());
    match (power(&desktop.status, kind, desktop_user(desktop)), flag) {
        (PowerState::Running | PowerState::RunningInUse(_) | PowerState::Stopped, Some(flag)) => {
            power(&MachineStatus::Other(flag.to_owned()), kind, None)
        }
        (power, _) => power,
    }
}

fn power(status: &MachineStatus, kind: InstanceType, user: Option<String>) -> PowerState {
    match status {
        MachineStatus::Running => user.map_or(PowerState::Running, PowerState::RunningInUse),
        MachineStatus::Stopped => PowerState::Stopped,
        MachineStatus::Other(text) if text.trim().is_empty() => {
            PowerState::Transitioning("in no state that the cloud names".to_owned())
        }
        MachineStatus::Other(text) => match instance_state::classify(text, kind) {
            StateClass::Final => PowerState::Final(text.clone()),
            StateClass::Ready | StateClass::Passing => PowerState::Transitioning(text.clone()),
        },
    }
}
