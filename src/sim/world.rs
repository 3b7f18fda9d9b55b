//! What exists in the simulated account: instances and images, and what becomes of them as time goes by.
//!
//! Nothing here runs by itself. Every status is worked out from the instants noted at the last call and the present one,
//! so a clock that jumps, and a restart, show what would have happened in between.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    codes::SimFailure,
    params::Params,
    users::{SimUserKind, UserSpec, Users},
};
use crate::domain::ids::NO_SUCH_INSTANCE;

/// The region that every instance and every new image is in.
pub(super) const HOME_REGION: &str = "cn-shanghai";

/// The two kinds of instance that images are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceKind {
    /// A cloud desktop (`ecd-…`).
    CloudDesktop,
    /// A workstation (`ws-…`).
    WuyingServer,
}

impl InstanceKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CloudDesktop => "CloudDesktop",
            Self::WuyingServer => "WuyingServer",
        }
    }

    /// The error of the image calls for an instance of this kind that does not exist.
    pub(super) fn not_found(self) -> SimFailure {
        SimFailure::new(match self {
            Self::CloudDesktop => "DesktopInstance.NotFound",
            Self::WuyingServer => "Instance.NotFound",
        })
    }
}

/// An instance to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// `ecd-…` or `ws-…`.
    pub instance_id: String,
    /// What it is.
    pub instance_type: InstanceKind,
    /// `Running` (the default), `Stopped`, or any other status, for ever: `Expired`.
    #[serde(default = "running")]
    pub status: String,
    /// A workstation's session instance (`p-…`); made from the instance's id where it is absent.
    #[serde(default)]
    pub sub_instance_id: Option<String>,
    /// Whether a user is connected while it runs.
    #[serde(default)]
    pub connected: bool,
    /// The image it says that it was made from, by an id of either service; one of the system's where it is absent.
    #[serde(default)]
    pub image_id: Option<String>,
    /// Desktops: `ManagementFlag`, such as `Migrating`; `NoFlag` where it is absent.
    #[serde(default)]
    pub management_flag: Option<String>,
    /// The name that lists show for that image; that of the image where it is absent.
    #[serde(default)]
    pub image_name: Option<String>,
    /// A desktop of this pool, which lists leave out by default.
    #[serde(default)]
    pub pool_id: Option<String>,
    /// Listed in this region only; in all where it is absent.
    #[serde(default)]
    pub region: Option<String>,
}

impl InstanceSpec {
    /// One that runs, and nothing else is said of it.
    pub fn running(instance_id: &str, instance_type: InstanceKind) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            instance_type,
            status: running(),
            sub_instance_id: None,
            connected: false,
            image_id: None,
            management_flag: None,
            image_name: None,
            pool_id: None,
            region: None,
        }
    }
}

/// What other hands do to images: one of that id is changed, another is added as AVAILABLE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageSpec {
    image_id: String,
    /// What the desktop service knows it as (`m-…`).
    #[serde(default)]
    desktop_image_id: Option<String>,
    #[serde(default)]
    image_name: Option<String>,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    /// `User`, `Shared` …
    #[serde(default)]
    image_type: Option<String>,
    /// `CloudDesktop` or `WuyingServer`.
    #[serde(default)]
    product_type: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS`, shown as it is.
    #[serde(default)]
    gmt_create: Option<String>,
    /// When it was made; `gmt_create` is that in the cloud's zone, where it is not said.
    #[serde(default)]
    created_at: Option<DateTime<Utc>>,
    /// The instance that it was made from.
    #[serde(default)]
    instance_id: Option<String>,
    /// It is deleted, or is there again.
    #[serde(default)]
    deleted: Option<bool>,
    /// The word that lists show for it, for ever: `AVAILABLE`, `CREATING`, `CREATE_FAILED` or any other.
    #[serde(default)]
    status: Option<String>,
}

fn user() -> String {
    "User".to_owned()
}

fn running() -> String {
    RUNNING.to_owned()
}

const RUNNING: &str = "Running";
const STOPPED: &str = "Stopped";
const DELETED: &str = "Deleted";

/// A desktop or workstation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SimulatedInstance {
    pub(super) id: String,
    pub(super) kind: InstanceKind,
    pub(super) sub_instance_id: Option<String>,
    status: String,
    /// The status it will have, and from when.
    turning: Option<(DateTime<Utc>, String)>,
    #[serde(default)]
    connected: bool,
    /// The image, by whichever id it was given; see [`World::shown_image`].
    #[serde(default)]
    pub(super) image_id: Option<String>,
    #[serde(default)]
    pub(super) management_flag: Option<String>,
    #[serde(default)]
    pub(super) image_name: Option<String>,
    #[serde(default)]
    pub(super) pool_id: Option<String>,
    #[serde(default)]
    pub(super) region: Option<String>,
    pub(super) since: DateTime<Utc>,
}

impl SimulatedInstance {
    fn new(spec: InstanceSpec, now: DateTime<Utc>) -> Self {
        let suffix =
            spec.instance_id.split_once('-').map_or(spec.instance_id.as_str(), |(_, suffix)| suffix).to_owned();
        let sub_instance_id = match spec.instance_type {
            InstanceKind::CloudDesktop => None,
            InstanceKind::WuyingServer => Some(spec.sub_instance_id.unwrap_or_else(|| format!("p-{suffix}"))),
        };
        let status = capitalised(&spec.status);
        Self {
            id: spec.instance_id,
            kind: spec.instance_type,
            sub_instance_id,
            status,
            turning: None,
            connected: spec.connected,
            image_id: spec.image_id,
            management_flag: spec.management_flag,
            image_name: spec.image_name,
            pool_id: spec.pool_id,
            region: spec.region,
            since: now,
        }
    }

    fn plain_status(&self, now: DateTime<Utc>) -> &str {
        match &self.turning {
            Some((at, next)) if *at <= now => next,
            _ => &self.status,
        }
    }

    /// Whether a user works on it: nobody does on one that does not run.
    pub(super) fn is_connected(&self, now: DateTime<Utc>) -> bool {
        self.connected && self.plain_status(now) == RUNNING
    }

    /// The status as its API spells it: `Running` for desktops, `RUNNING` for workstations.
    pub(super) fn status(&self, now: DateTime<Utc>) -> String {
        match self.kind {
            InstanceKind::CloudDesktop => self.plain_status(now).to_owned(),
            InstanceKind::WuyingServer => self.plain_status(now).to_ascii_uppercase(),
        }
    }
}

/// `RUNNING` and `running` are `Running`.
fn capitalised(status: &str) -> String {
    let mut text = status.to_ascii_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A change of an instance's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PowerAction {
    Start,
    Stop,
    Reboot,
}

/// What an image in the making ends as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) enum ImageFault {
    /// It can be used.
    #[default]
    Available,
    /// It is being made for ever.
    Stuck,
    /// It is gone from all lists.
    Vanish,
    /// Any other status, `CREATE_FAILED` first of all.
    Status(String),
}

impl From<String> for ImageFault {
    fn from(text: String) -> Self {
        match text.as_str() {
            "AVAILABLE" => Self::Available,
            "STUCK" => Self::Stuck,
            "VANISH" => Self::Vanish,
            _ => Self::Status(text),
        }
    }
}

impl Serialize for ImageFault {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(match self {
            Self::Available => "AVAILABLE",
            Self::Stuck => "STUCK",
            Self::Vanish => "VANISH",
            Self::Status(text) => text,
        })
    }
}

/// An image, from the moment its making was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SimulatedImage {
    pub(super) id: String,
    /// What the desktop service knows it as (`m-…`), where that is another id.
    #[serde(default)]
    pub(super) desktop_id: Option<String>,
    pub(super) version_id: String,
    pub(super) task_id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) instance_id: String,
    pub(super) instance_type: InstanceKind,
    pub(super) product_type: String,
    pub(super) biz_type: usize,
    pub(super) tags: BTreeMap<String, String>,
    /// What the call said, as received.
    pub(super) parameters: Params,
    pub(super) request_id: String,
    pub(super) created_at: DateTime<Utc>,
    /// What `GmtCreate` shows instead of `created_at`.
    #[serde(default)]
    gmt_create: Option<String>,
    /// When lists begin to show it: later than `created_at` only by a fault.
    visible_at: DateTime<Utc>,
    /// INIT until then, CREATING after.
    begins_at: DateTime<Utc>,
    pub(super) ready_at: DateTime<Utc>,
    #[serde(alias = "fate")]
    fault: ImageFault,
    /// Its instance was switched while it was being made.
    spoiled: bool,
    deleted: bool,
    /// When DeleteImage deleted it; other hands leave no time.
    #[serde(default)]
    pub(super) deleted_at: Option<DateTime<Utc>>,
    #[serde(default = "user")]
    pub(super) image_type: String,
    pub(super) distributions: Vec<SimulatedDistribution>,
}

/// A copy of an image on its way to another region.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SimulatedDistribution {
    pub(super) region: String,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ready_at: DateTime<Utc>,
    /// What it ends as; only a fault makes it anything but AVAILABLE.
    #[serde(default, alias = "fate")]
    fault: ImageFault,
}

impl SimulatedDistribution {
    /// How far it is.
    pub(super) fn status(&self, now: DateTime<Utc>) -> &str {
        match &self.fault {
            _ if now < self.ready_at => "CREATING",
            ImageFault::Available => "AVAILABLE",
            ImageFault::Stuck => "CREATING",
            ImageFault::Vanish => "DELETE",
            ImageFault::Status(text) => text,
        }
    }

    /// Percent done.
    pub(super) fn progress(&self, now: DateTime<Utc>) -> i64 {
        let whole = (self.ready_at - self.started_at).num_milliseconds();
        let done = now.signed_duration_since(self.started_at).num_milliseconds();
        if done >= whole { 100 } else { (done.max(0) * 100).checked_div(whole).unwrap_or(100) }
    }
}

impl SimulatedImage {
    /// Whether either service knows it by this id.
    fn has_id(&self, id: &str) -> bool {
        self.id == id || self.desktop_id.as_deref() == Some(id)
    }

    pub(super) fn status(&self, now: DateTime<Utc>) -> &str {
        if self.deleted {
            "DELETE"
        } else if self.spoiled {
            "CREATE_FAILED"
        } else if now < self.begins_at {
            "INIT"
        } else if now < self.ready_at {
            "CREATING"
        } else {
            match &self.fault {
                ImageFault::Available => "AVAILABLE",
                ImageFault::Stuck => "CREATING",
                ImageFault::Vanish => "VANISHED",
                ImageFault::Status(text) => text,
            }
        }
    }

    /// From when it can be used; `None` where its making fails.
    pub(super) fn available_from(&self) -> Option<DateTime<Utc>> {
        (!self.spoiled && self.fault == ImageFault::Available).then_some(self.ready_at)
    }

    /// `GmtCreate`, in a zone so many minutes ahead of UTC.
    pub(super) fn gmt_create(&self, zone: i32) -> String {
        let shown = self.created_at.checked_add_signed(TimeDelta::minutes(zone.into())).unwrap_or(self.created_at);
        self.gmt_create.clone().unwrap_or_else(|| shown.format("%Y-%m-%d %H:%M:%S").to_string())
    }

    fn is_building(&self, now: DateTime<Utc>) -> bool {
        matches!(self.status(now), "INIT" | "CREATING")
    }

    /// Whether the API knows it: it has appeared and has not vanished.
    pub(super) fn is_visible(&self, now: DateTime<Utc>) -> bool {
        self.visible_at <= now && self.status(now) != "VANISHED"
    }
}

/// How long things take and how many of them there may be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorldLimits {
    pub(super) build_time: Duration,
    pub(super) power_time: Duration,
    pub(super) builder_quota: usize,
    pub(super) open: bool,
    /// Minutes that the zone of `GmtCreate` is ahead of UTC.
    pub(super) gmt_zone: i32,
}

/// An image to make, with what a fault adds to it.
#[derive(Debug)]
pub(super) struct NewImage {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) instance_id: String,
    pub(super) instance_type: InstanceKind,
    pub(super) product_type: String,
    pub(super) biz_type: usize,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) parameters: Params,
    pub(super) request_id: String,
    pub(super) fault: ImageFault,
    pub(super) late: Duration,
}

/// Everything in the account.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct World {
    instances: BTreeMap<String, SimulatedInstance>,
    /// In the order of their making; nothing is ever taken out, so that doubles show.
    images: Vec<SimulatedImage>,
    /// What uses images besides instances.
    #[serde(default)]
    users: Users,
    /// Whether DeleteImage deletes what is in use, too.
    #[serde(default)]
    deletes_in_use: bool,
    /// Where the source of ids stands: kept with the rest, or a restart would give the same ids again.
    seed: u64,
    #[serde(skip)]
    rules: WorldLimits,
    #[serde(skip)]
    revision: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            instances: BTreeMap::new(),
            images: Vec::new(),
            users: Users::default(),
            deletes_in_use: false,
            seed,
            rules: WorldLimits::default(),
            revision: 0,
        }
    }

    pub(super) fn handle(&mut self, rules: WorldLimits) {
        self.rules = rules;
    }

    /// Minutes that the zone of `GmtCreate` is ahead of UTC.
    pub(super) fn gmt_zone(&self) -> i32 {
        self.rules.gmt_zone
    }

    /// Grows with every change, so that a saver knows whether there is anything to save.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn images(&self) -> &[SimulatedImage] {
        &self.images
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = &SimulatedInstance> {
        self.instances.values()
    }

    /// Adds an instance, or puts it in place of the one that has its id. One that runs now and was stopped has been started
    /// by somebody, which spoils the image that is being made of it, as a call would.
    pub(super) fn put_instance(&mut self, spec: InstanceSpec, now: DateTime<Utc>) {
        self.revision += 1;
        let was_stopped = self.instances.get(&spec.instance_id).is_some_and(|old| old.plain_status(now) == STOPPED);
        if was_stopped && capitalised(&spec.status) == RUNNING {
            for image in &mut self.images {
                image.spoiled |= image.instance_id == spec.instance_id && image.is_building(now);
            }
        }
        self.instances.insert(spec.instance_id.clone(), SimulatedInstance::new(spec, now));
    }

    /// What uses images besides instances.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Puts something there that uses an image, or takes it away.
    pub(super) fn put_user(&mut self, kind: SimUserKind, spec: UserSpec) {
        self.revision += 1;
        self.users.put(kind, spec);
    }

    /// Whether DeleteImage deletes images in use: what the real one protects is not documented.
    pub(super) fn set_deletes_in_use(&mut self, deletes: bool) {
        self.revision += 1;
        self.deletes_in_use = deletes;
    }

    /// How a list shows the image that something says it uses: its id in that service, and its name. One that is not among
    /// the images is shown as it was given.
    pub(super) fn shown_image(
        &self,
        image_id: &str,
        image_name: Option<&str>,
        of_desktop_service: bool,
    ) -> (String, Option<String>) {
        let image = self.images.iter().find(|image| image.has_id(image_id));
        let id = match image {
            Some(SimulatedImage { desktop_id: Some(id), .. }) if of_desktop_service => id,
            Some(image) => &image.id,
            None => image_id,
        };
        let name = image_name.map(str::to_owned).or_else(|| image.map(|image| image.name.clone()));
        (id.to_owned(), name)
    }

    /// Why an image in use is not deleted. Templates do not hold it: they go with it.
    fn in_use(&self, id: &str, now: DateTime<Utc>) -> Option<SimFailure> {
        let image = self.images.iter().find(|image| image.id == id)?;
        let uses = |kind| self.users.list(kind).any(|user| image.has_id(&user.image_id));
        let by_instance = self.instances.values().any(|instance| {
            instance.plain_status(now) != DELETED && instance.image_id.as_deref().is_some_and(|id| image.has_id(id))
        });
        if uses(SimUserKind::Pool) {
            Some(SimFailure::new("ImageNotAllowDelete"))
        } else if by_instance || uses(SimUserKind::Group) || uses(SimUserKind::Bundle) {
            Some(SimFailure::new("ImageDeleteFailed.NotAllow"))
        } else {
            None
        }
    }

    pub(super) fn has_instance(&self, id: &str) -> bool {
        self.instances.contains_key(id)
    }

    /// The instance of that id and kind. An open world makes one that it does not know, but for the one that is promised
    /// to be nowhere.
    pub(super) fn instance(&mut self, id: &str, kind: InstanceKind, now: DateTime<Utc>) -> Option<&SimulatedInstance> {
        if self.rules.open && id != NO_SUCH_INSTANCE && !self.has_instance(id) {
            self.put_instance(InstanceSpec::running(id, kind), now);
        }
        self.instances.get(id).filter(|instance| instance.kind == kind)
    }

    /// Whether a workstation has that session instance; an open world takes any.
    pub(super) fn has_session(&self, id: &str, session: &str) -> bool {
        self.rules.open || self.instances.get(id).is_some_and(|i| i.sub_instance_id.as_deref() == Some(session))
    }

    /// Switches all of `ids`, or none if one of them cannot be: a stop needs `Running`, a start `Stopped`.
    pub(super) fn switch(
        &mut self,
        ids: &[&str],
        kind: InstanceKind,
        power: PowerAction,
        now: DateTime<Utc>,
    ) -> Result<(), SimFailure> {
        let (unknown, wrong) = match kind {
            InstanceKind::CloudDesktop => ("InvalidDesktopId.NotFound", "IncorrectDesktopStatus"),
            InstanceKind::WuyingServer => ("Instance.NotFound", "IncorrectInstanceStatus"),
        };
        let (from, during, to) = match power {
            PowerAction::Start => (STOPPED, "Starting", RUNNING),
            PowerAction::Stop => (RUNNING, "Stopping", STOPPED),
            PowerAction::Reboot => (RUNNING, "Starting", RUNNING),
        };
        for id in ids {
            let instance = self.instance(id, kind, now).ok_or_else(|| SimFailure::new(unknown))?;
            if instance.plain_status(now) != from {
                return Err(SimFailure::new(wrong));
            }
        }
        self.revision += 1;
        let done = after(now, self.rules.power_time);
        for id in ids {
            if let Some(instance) = self.instances.get_mut(*id) {
                during.clone_into(&mut instance.status);
                instance.turning = Some((done, to.to_owned()));
            }
        }
        for image in &mut self.images {
            if ids.contains(&image.instance_id.as_str()) && image.is_building(now) {
                image.spoiled = true;
            }
        }
        Ok(())
    }

    /// Begins to make an image.
    pub(super) fn create_image(&mut self, order: NewImage, now: DateTime<Utc>) -> Result<&SimulatedImage, SimFailure> {
        let building = self.images.iter().filter(|image| image.is_building(now));
        let (mut all, mut own) = (0, 0);
        for image in building {
            all += 1;
            own += usize::from(image.instance_id == order.instance_id);
        }
        if own > 0 {
            return Err(SimFailure::new("ImageCreateByInstance.TaskExist"));
        }
        if all >= self.rules.builder_quota {
            return Err(SimFailure::new("ExceedBuilderQuota"));
        }
        self.revision += 1;
        let visible_at = after(now, order.late);
        let image = SimulatedImage {
            id: self.fresh_id("imgc-"),
            desktop_id: None,
            version_id: self.fresh_id("iv-"),
            task_id: self.fresh_id("tid-"),
            name: order.name,
            description: order.description,
            instance_id: order.instance_id,
            instance_type: order.instance_type,
            product_type: order.product_type,
            biz_type: order.biz_type,
            tags: order.tags,
            parameters: order.parameters,
            request_id: order.request_id,
            created_at: now,
            gmt_create: None,
            visible_at,
            begins_at: after(visible_at, self.rules.build_time / 10),
            ready_at: after(visible_at, self.rules.build_time),
            fault: order.fault,
            spoiled: false,
            deleted: false,
            deleted_at: None,
            image_type: user(),
            distributions: Vec::new(),
        };
        self.images.push(image);
        self.images.last().ok_or_else(|| SimFailure::new("InternalError"))
    }

    /// Changes an image from outside, or adds one that nobody asked us for.
    pub(super) fn put_image(&mut self, spec: ImageSpec, now: DateTime<Utc>) {
        self.revision += 1;
        if !self.images.iter().any(|image| image.id == spec.image_id) {
            let image = SimulatedImage {
                id: spec.image_id.clone(),
                desktop_id: None,
                version_id: self.fresh_id("iv-"),
                task_id: self.fresh_id("tid-"),
                name: spec.image_id.clone(),
                description: String::new(),
                instance_id: String::new(),
                instance_type: InstanceKind::CloudDesktop,
                product_type: InstanceKind::CloudDesktop.name().to_owned(),
                biz_type: 1,
                tags: BTreeMap::new(),
                parameters: Params::default(),
                request_id: String::new(),
                created_at: now,
                gmt_create: None,
                visible_at: now,
                begins_at: now,
                ready_at: now,
                fault: ImageFault::Available,
                spoiled: false,
                deleted: false,
                deleted_at: None,
                image_type: user(),
                distributions: Vec::new(),
            };
            self.images.push(image);
        }
        for image in self.images.iter_mut().filter(|image| image.id == spec.image_id) {
            if let Some(id) = &spec.desktop_image_id {
                image.desktop_id = Some(id.clone()).filter(|id| !id.is_empty());
            }
            if let Some(name) = &spec.image_name {
                image.name.clone_from(name);
            }
            if let Some(tags) = &spec.tags {
                image.tags.clone_from(tags);
            }
            if let Some(kind) = &spec.image_type {
                image.image_type.clone_from(kind);
            }
            if let Some(product) = &spec.product_type {
                image.product_type.clone_from(product);
            }
            if let Some(instance_id) = &spec.instance_id {
                image.instance_id.clone_from(instance_id);
            }
            image.created_at = spec.created_at.unwrap_or(image.created_at);
            image.gmt_create = spec.gmt_create.clone().or_else(|| image.gmt_create.take());
            image.deleted = spec.deleted.unwrap_or(image.deleted);
            if let Some(status) = &spec.status {
                image.fault =
                    if status == "AVAILABLE" { ImageFault::Available } else { ImageFault::Status(status.clone()) };
            }
        }
    }

    /// Deletes an image for the API; it stays among [`images`](Self::images).
    pub(super) fn delete_image(&mut self, id: &str, now: DateTime<Utc>) -> Result<(), SimFailure> {
        let image = self.existing(id, now)?;
        if image.image_type != "User" {
            return Err(SimFailure::new("ImageDeleteFailed.NotAllowSharedImage"));
        }
        if image.is_building(now) {
            return Err(SimFailure::new("InvalidImageOperation.ImageIsCreating"));
        }
        if !self.deletes_in_use
            && let Some(failure) = self.in_use(id, now)
        {
            return Err(failure);
        }
        let image = self.existing(id, now)?;
        image.deleted = true;
        let ids: Vec<String> = image.desktop_id.iter().cloned().chain([image.id.clone()]).collect();
        image.deleted_at = Some(now);
        self.users.drop_templates(&ids);
        self.revision += 1;
        Ok(())
    }

    /// Begins to copy an image to other regions and gives the task's id.
    pub(super) fn distribute_image(
        &mut self,
        id: &str,
        version: Option<&str>,
        regions: &[&str],
        fault: &ImageFault,
        now: DateTime<Utc>,
    ) -> Result<String, SimFailure> {
        let ready_at = after(now, self.rules.build_time);
        let image = self.existing(id, now)?;
        if version.is_some_and(|version| version != image.version_id) {
            return Err(SimFailure::new("Image.NotExist"));
        }
        if image.status(now) != "AVAILABLE" {
            return Err(SimFailure::new("ImageRegionDistribute.NotAllow"));
        }
        // Whether a copy that failed may be asked for again is not documented; else it would be lost for ever.
        image.distributions.retain(|copy| copy.status(now) != "CREATE_FAILED" && copy.status(now) != "DELETE");
        let has = |region: &str| region == HOME_REGION || image.distributions.iter().any(|d| d.region == region);
        if regions.iter().any(|region| has(region)) {
            return Err(SimFailure::new("ImageDistribute.RepeatedDistribution"));
        }
        image.distributions.extend(regions.iter().map(|region| SimulatedDistribution {
            region: (*region).to_owned(),
            started_at: now,
            ready_at,
            fault: fault.clone(),
        }));
        self.revision += 1;
        Ok(self.fresh_id("tid-"))
    }

    fn existing(&mut self, id: &str, now: DateTime<Utc>) -> Result<&mut SimulatedImage, SimFailure> {
        self.images
            .iter_mut()
            .find(|image| image.id == id && image.is_visible(now) && !image.deleted)
            .ok_or_else(|| SimFailure::new("Image.NotExist"))
    }

    /// `prefix` and fifteen letters and digits.
    fn fresh_id(&mut self, prefix: &str) -> String {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut id = prefix.to_owned();
        id.extend((0..15).map(|_| random.digit(36)));
        self.seed = random.get_seed();
        id
    }
}

/// The instant `span` after `now`, or the last there is.
fn after(now: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span).ok().and_then(|span| now.checked_add_signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn world() -> World {
        let mut world = World::new(1);
        world.handle(WorldLimits {
            build_time: Duration::from_secs(30),
            power_time: Duration::from_secs(5),
            builder_quota: 2,
            open: false,
            gmt_zone: 0,
        });
        for id in ["ecd-1", "ecd-2", "ecd-3"] {
            world.put_instance(InstanceSpec::running(id, InstanceKind::CloudDesktop), START);
        }
        world
    }

    fn order(instance_id: &str, fault: ImageFault) -> NewImage {
        NewImage {
            name: "golden".to_owned(),
            description: String::new(),
            instance_id: instance_id.to_owned(),
            instance_type: InstanceKind::CloudDesktop,
            product_type: "CloudDesktop".to_owned(),
            biz_type: 1,
            tags: BTreeMap::new(),
            parameters: Params::default(),
            request_id: String::new(),
            fault,
            late: Duration::ZERO,
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        START + TimeDelta::seconds(seconds)
    }

    #[test]
    fn an_image_is_made_in_its_time() {
        let mut world = world();
        world.create_image(order("ecd-1", ImageFault::Available), START).unwrap();
        let statuses = [0, 3, 29, 30].map(|seconds| world.images()[0].status(at(seconds)).to_owned());
        assert_eq!(statuses, ["INIT", "CREATING", "CREATING", "AVAILABLE"]);
    }

    #[test]
    fn one_task_per_instance_and_a_quota_over_all() {
        let mut world = world();
        let mut create =
            |id: &str, now| world.create_image(order(id, ImageFault::Available), now).map(|_| ()).map_err(|f| f.code);
        assert_eq!(create("ecd-1", START), Ok(()));
        assert_eq!(create("ecd-1", at(1)), Err("ImageCreateByInstance.TaskExist".into()));
        assert_eq!(create("ecd-2", at(1)), Ok(()));
        assert_eq!(create("ecd-3", at(1)), Err("ExceedBuilderQuota".into()));
        assert_eq!(create("ecd-3", at(30)), Ok(()));
    }

    #[test]
    fn switching_the_instance_spoils_the_image_in_the_making_and_no_other() {
        let mut world = world();
        world.create_image(order("ecd-1", ImageFault::Available), START).unwrap();
        world.create_image(order("ecd-1", ImageFault::Available), at(40)).unwrap();
        world.switch(&["ecd-1"], InstanceKind::CloudDesktop, PowerAction::Stop, at(41)).unwrap();
        let statuses: Vec<&str> = world.images().iter().map(|image| image.status(at(80))).collect();
        assert_eq!(statuses, ["AVAILABLE", "CREATE_FAILED"]);
    }

    #[test]
    fn power_takes_time_and_needs_the_right_status() {
        let mut world = world();
        let mut switch = |power, now| {
            world.switch(&["ecd-1"], InstanceKind::CloudDesktop, power, now).map_err(|failure| failure.code)
        };
        assert_eq!(switch(PowerAction::Start, START), Err("IncorrectDesktopStatus".into()));
        assert_eq!(switch(PowerAction::Stop, START), Ok(()));
        assert_eq!(switch(PowerAction::Start, at(4)), Err("IncorrectDesktopStatus".into()));
        assert_eq!(switch(PowerAction::Start, at(5)), Ok(()));
        assert_eq!(world.instance("ecd-1", InstanceKind::CloudDesktop, at(6)).unwrap().status(at(6)), "Starting");
        assert_eq!(world.instance("ecd-1", InstanceKind::CloudDesktop, at(6)).unwrap().status(at(10)), "Running");
    }

    #[test]
    fn a_vanished_image_can_be_neither_found_nor_deleted() {
        let mut world = world();
        let id = world.create_image(order("ecd-1", ImageFault::Vanish), START).unwrap().id.clone();
        assert!(world.images()[0].is_visible(at(29)));
        assert!(!world.images()[0].is_visible(at(30)));
        assert_eq!(world.delete_image(&id, at(30)), Err(SimFailure::new("Image.NotExist")));
    }
}
