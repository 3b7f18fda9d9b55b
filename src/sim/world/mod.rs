//! State of the simulated account: instances and images, and their changes over time.
//!
//! Nothing runs by itself. Every status is computed from the instants of the last and the current call, so that a clock
//! that jumps, and a restart, show what would have happened in between.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

mod image;
mod instance;

pub(super) use self::instance::HOME_REGION;
pub use self::instance::{InstanceKind, InstanceSpec};
use self::{
    image::user,
    instance::{DELETED, RUNNING, STOPPED, capitalised},
};
pub(super) use self::{
    image::{ImageFault, ImageSpec, NewImage, SimulatedDistribution, SimulatedImage},
    instance::{PowerAction, SimulatedInstance},
};
use super::{
    codes::SimFailure,
    params::Params,
    sessions::{Issued, Sessions},
    users::{SimUserKind, UserSpec, Users},
};
use crate::domain::ids::NO_SUCH_INSTANCE;

/// Durations and limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorldLimits {
    pub(super) build_time: Duration,
    pub(super) power_time: Duration,
    pub(super) builder_quota: usize,
    /// Unlimited if absent.
    pub(super) image_quota: Option<usize>,
    pub(super) open: bool,
    /// Minutes that the zone of `GmtCreate` is ahead of UTC.
    pub(super) gmt_zone: i32,
    /// Longest lifetime of temporary keys.
    pub(super) session_life: Option<Duration>,
}

/// Everything in the account.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct World {
    instances: BTreeMap<String, SimulatedInstance>,
    /// In the order of creation; nothing is ever removed, so that duplicates are visible.
    images: Vec<SimulatedImage>,
    /// What uses images besides instances.
    #[serde(default)]
    users: Users,
    /// Whether DeleteImage deletes what is in use, too.
    #[serde(default)]
    deletes_in_use: bool,
    /// Temporary keys.
    #[serde(default)]
    sessions: Sessions,
    /// State of the source of ids: stored, because a restart would repeat ids otherwise.
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
            sessions: Sessions::default(),
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

    /// Increases with every change, so that an unchanged world is not stored again.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn images(&self) -> &[SimulatedImage] {
        &self.images
    }

    pub(super) fn instances(&self) -> impl Iterator<Item = &SimulatedInstance> {
        self.instances.values()
    }

    /// Adds or replaces an instance. If it runs now and was stopped before, somebody has started it, which spoils the
    /// image that is being made of it, as a call would.
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

    /// Temporary keys.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Issues a temporary key for the session `arn`.
    pub(super) fn issue_key(&mut self, arn: String, life: Duration, now: DateTime<Utc>) -> Issued {
        self.revision += 1;
        let life = self.rules.session_life.map_or(life, |longest| life.min(longest));
        let mut sessions = std::mem::take(&mut self.sessions);
        let issued = sessions.issue(arn, life, now, |prefix| self.fresh_id(prefix));
        self.sessions = sessions;
        issued
    }

    /// What uses images besides instances.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Adds or removes a user of an image.
    pub(super) fn put_user(&mut self, kind: SimUserKind, spec: UserSpec) {
        self.revision += 1;
        self.users.put(kind, spec);
    }

    /// Whether DeleteImage deletes images in use: the protection of the real one is not documented.
    pub(super) fn set_deletes_in_use(&mut self, deletes: bool) {
        self.revision += 1;
        self.deletes_in_use = deletes;
    }

    /// Image of a user in a list: its id in that service, and its name. An unknown image is listed as given.
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

    /// Why an image in use is not deleted. Templates do not protect it: they are deleted with it.
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

    /// The instance with that id and kind. An open world creates a missing one, except for the reserved id that never
    /// exists.
    pub(super) fn instance(&mut self, id: &str, kind: InstanceKind, now: DateTime<Utc>) -> Option<&SimulatedInstance> {
        if self.rules.open && id != NO_SUCH_INSTANCE && !self.has_instance(id) {
            self.put_instance(InstanceSpec::running(id, kind), now);
            if let Some(instance) = self.instances.get_mut(id) {
                instance.region = None;
            }
        }
        self.instances.get(id).filter(|instance| instance.kind == kind)
    }

    /// Likewise, if it is in that region. One whose region is not known yet is in it from now on.
    pub(super) fn instance_in(
        &mut self,
        region: &str,
        id: &str,
        kind: InstanceKind,
        now: DateTime<Utc>,
    ) -> Option<&SimulatedInstance> {
        self.instance(id, kind, now)?;
        if let Some(instance) = self.instances.get_mut(id)
            && instance.region.is_none()
        {
            instance.region = Some(region.to_owned());
            self.revision += 1;
        }
        self.instances.get(id).filter(|instance| instance.region.as_deref() == Some(region))
    }

    /// Adds tags to an image, or changes their values.
    pub(super) fn tag_image(
        &mut self,
        id: &str,
        most: usize,
        tags: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Result<(), SimFailure> {
        let image = self.existing(id, now)?;
        let mut all = image.tags.clone();
        all.extend(tags.clone());
        if all.len() > most {
            return Err(SimFailure::invalid("Tags"));
        }
        image.tags = all;
        self.revision += 1;
        Ok(())
    }

    /// Removes these tags of an image, or all if none is named.
    pub(super) fn untag_image(&mut self, id: &str, keys: &[&str], now: DateTime<Utc>) -> Result<(), SimFailure> {
        let image = self.existing(id, now)?;
        image.tags.retain(|key, _| !keys.is_empty() && !keys.contains(&key.as_str()));
        self.revision += 1;
        Ok(())
    }

    /// Whether a workstation has that session instance; an open world accepts any.
    pub(super) fn has_session(&self, id: &str, session: &str) -> bool {
        self.rules.open || self.instances.get(id).is_some_and(|instance| instance.sessions().any(|own| own == session))
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

    /// Puts all of `ids` into maintenance or takes them out, or none if one of them is not in that region. Connected users
    /// stay.
    pub(super) fn set_maintenance(
        &mut self,
        region: &str,
        ids: &[&str],
        enters: bool,
        now: DateTime<Utc>,
    ) -> Result<(), SimFailure> {
        for id in ids {
            let known = self.instance_in(region, id, InstanceKind::CloudDesktop, now);
            known.ok_or_else(|| SimFailure::new("InvalidDesktopId.NotFound"))?;
        }
        self.revision += 1;
        for id in ids {
            if let Some(instance) = self.instances.get_mut(*id) {
                instance.maintenance = enters;
            }
        }
        Ok(())
    }

    /// Starts to make an image.
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
        let present = self.images.iter().filter(|image| !image.deleted).count();
        if self.rules.image_quota.is_some_and(|quota| present >= quota) {
            return Err(SimFailure::new("QuotaExceeded.Image"));
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

    /// Changes an image from outside, or adds one without a call.
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
            for (region, status) in &spec.copies {
                image.distributions.retain(|copy| copy.region != *region);
                let (region, fault) = (region.clone(), ImageFault::from(status.clone()));
                image.distributions.push(SimulatedDistribution { region, started_at: now, ready_at: now, fault });
            }
            if let Some(status) = &spec.status {
                image.fault =
                    if status == "AVAILABLE" { ImageFault::Available } else { ImageFault::Status(status.clone()) };
            }
        }
    }

    /// Deletes an image for the API; it stays in [`images`](Self::images).
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

    /// Starts to copy an image to other regions and returns the task's id.
    pub(super) fn distribute_image(
        &mut self,
        (id, version): (&str, Option<&str>),
        source: Option<&str>,
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
        let is_there = |region: &str| {
            let mut copies = image.distributions.iter();
            region == HOME_REGION || copies.any(|copy| copy.region == region && copy.status(now) == "AVAILABLE")
        };
        if source.is_some_and(|region| !is_there(region)) {
            return Err(SimFailure::new("ImageDistribute.Undistributed"));
        }
        // Whether a failed copy can be requested again is not documented; otherwise it would be lost.
        image.distributions.retain(|copy| copy.status(now) != "CREATE_FAILED" && copy.status(now) != "DELETE");
        let has = |region: &str| region == HOME_REGION || image.distributions.iter().any(|d| d.region == region);
        if regions.iter().any(|region| has(region)) {
            return Err(SimFailure::new("ImageDistribute.RepeatedDistribution"));
        }
        // A region that is named twice gets one copy.
        let regions: std::collections::BTreeSet<&str> = regions.iter().copied().collect();
        image.distributions.extend(regions.into_iter().map(|region| SimulatedDistribution {
            region: region.to_owned(),
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

/// The instant `span` after `now`, or the last one on overflow.
fn after(now: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span).ok().and_then(|span| now.checked_add_signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
