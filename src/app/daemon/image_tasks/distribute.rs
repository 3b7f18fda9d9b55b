//! Copy task: polls, requests and follows copies, a few images at a time. All regions of an image share one poll.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::task_driver::{ImageTask, TaskRun};
use crate::{
    adapters::{
        cloud::{
            ApiResponse,
            actions::{Distribution, Image, ListImage, StartTaskForDistributeImage},
        },
        config::Config,
        failpoint,
        store::{Attempt, Copy, CopyStep, ListedReplica, ReplicaObservation, StoreError},
    },
    app::daemon::{calls::class_label, context::DaemonContext},
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            identity::ImageStatus,
            regions::{REGIONS, nearest_region},
        },
        ids::ImageId,
        image::distribution::{CopyTimeouts, Effect, Event, Observation, REPEATED, State, step},
    },
};

/// Number of images processed at once.
const AT_ONCE: usize = 4;
/// Number of copies read at once.
const BATCH: u32 = 200;

/// Copies images to other regions.
#[derive(Debug)]
pub(super) struct ReplicaTask {
    /// Spreads the polls.
    rng: Rng,
}

impl ReplicaTask {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng }
    }
}

impl ImageTask for ReplicaTask {
    fn name(&self) -> &'static str {
        "replicas"
    }

    fn complaint(&self) -> &'static str {
        "images are not copied"
    }

    fn run_once<'a>(&'a mut self, shared: &'a DaemonContext, _: DateTime<Utc>) -> TaskRun<'a> {
        Box::pin(copy_due(shared, &mut self.rng))
    }
}

/// Looks after all that is due; in observe mode that is nothing.
async fn copy_due(shared: &DaemonContext, rng: &mut Rng) -> Result<Option<DateTime<Utc>>, StoreError> {
    if shared.cloud.mode().is_observe() {
        return Ok(None);
    }
    loop {
        let due = shared.store.due_copies(shared.clock.now(), BATCH).await?;
        if due.is_empty() {
            return shared.store.next_copy().await;
        }
        let config = shared.config();
        let mut images: BTreeMap<ImageId, Vec<Copy>> = BTreeMap::new();
        for copy in due {
            images.entry(copy.image_id.clone()).or_default().push(copy);
        }
        let mut images = images.into_values();
        let mut at_work = FuturesUnordered::new();
        loop {
            while at_work.len() < AT_ONCE
                && let Some(copies) = images.next()
            {
                let mut work = ReplicaWork { shared, config: &config, rng: rng.fork() };
                at_work.push(async move { work.image(copies).await });
            }
            match at_work.next().await {
                Some(done) => done?,
                None => break,
            }
        }
    }
}

/// One image and its copies.
struct ReplicaWork<'a> {
    shared: &'a DaemonContext,
    config: &'a Config,
    rng: Rng,
}

/// Result of a call.
struct TimedResponse<T> {
    call: &'static str,
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    answer: Result<ApiResponse<T>, ApiError>,
}

impl ReplicaWork<'_> {
    async fn image(&mut self, copies: Vec<Copy>) -> Result<(), StoreError> {
        let now = self.now();
        let mut steps = Vec::new();
        let mut to_observe = Vec::new();
        for mut copy in copies {
            let event = copy.gone.as_ref().map_or(Event::Due, |why| Event::Gone(format!("the image is gone: {why}")));
            let before = copy.state.clone();
            let effect = self.take(&mut copy, event, now);
            if effect == Effect::Observe {
                to_observe.push(copy.clone());
            }
            if copy.state != before {
                log(&before, &copy);
                steps.push(CopyStep { copy, task_id: None, attempt: None, before, listed: None });
            }
        }
        self.shared.store.commit_copies(&steps, now).await?;
        let Some(image_id) = to_observe.first().map(|copy| copy.image_id.clone()) else { return Ok(()) };

        let response = self.poll(&image_id).await;
        let now = self.now();
        let mut steps = Vec::new();
        let mut to_ask = Vec::new();
        for mut copy in to_observe {
            let observed =
                response.answer.as_ref().map(|answer| observe(&answer.value.images, &copy)).map_err(Clone::clone);
            let before = copy.state.clone();
            let message = observed.as_ref().ok().map(|observation| describe(observation).to_owned());
            let effect = self.take(&mut copy, Event::Observed(observed), now);
            if effect == Effect::Ask {
                to_ask.push(copy.clone());
            }
            log(&before, &copy);
            let news = before.as_str() != copy.state.as_str() || before.reason() != copy.state.reason();
            let attempt = (news || response.answer.is_err()).then(|| response.attempt(&copy.region, message));
            let listed = response.answer.as_ref().ok().and_then(|answer| listed_replica(&answer.value.images, &copy));
            steps.push(CopyStep { copy, task_id: None, attempt, before, listed });
        }
        self.shared.store.commit_copies(&steps, now).await?;

        // One region per call: an error concerns all regions of a call.
        for mut copy in to_ask {
            let response = self.ask(&copy).await;
            let now = self.now();
            let task_id = response.answer.as_ref().ok().map(|answer| answer.value.clone());
            let message = task_id.as_ref().map(|task| format!("accepted as {task}"));
            let attempt = Some(response.attempt(&copy.region, message));
            let before = copy.state.clone();
            self.take(&mut copy, Event::Asked(response.answer.map(|_| ())), now);
            log(&before, &copy);
            let step = CopyStep { copy, task_id, attempt, before, listed: None };
            self.shared.store.commit_copies(&[step], now).await?;
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    fn take(&mut self, copy: &mut Copy, event: Event, now: DateTime<Utc>) -> Effect {
        let pace = CopyTimeouts {
            poll_interval: self.config.cloud.poll_interval,
            lookup_window: self.config.cloud.lookup_window,
            retry: copy.settings.retry,
            deadline: copy.settings.build_deadline,
        };
        let is_gone = matches!(event, Event::Gone(_));
        let (state, effect) = step(&copy.state, event, now, &pace, &mut self.rng);
        copy.state = state;
        if let State::Failed { reason, .. } = &mut copy.state
            && !is_gone
            && let Some(advice) = unknown_region(&copy.region, &copy.schedule)
        {
            *reason = format!("{advice}; answer of the cloud: {reason}");
        }
        effect
    }

    async fn poll(&self, image_id: &ImageId) -> TimedResponse<crate::adapters::cloud::actions::ImagePage> {
        let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
        self.call("describe_image", || self.shared.cloud.list_images(&request)).await
    }

    async fn ask(&self, copy: &Copy) -> TimedResponse<String> {
        let request = StartTaskForDistributeImage {
            image_id: copy.image_id.clone(),
            version_id: copy.version_id.clone(),
            destination_regions: vec![copy.region.clone()],
            source_region: None,
            product_type: None,
        };
        failpoint::hit("send", "distribute_image");
        let response = self.call("distribute_image", || self.shared.cloud.distribute_image(&request)).await;
        failpoint::hit("answer", "distribute_image");
        response
    }

    /// After rejected credentials they are reread and the call is repeated once: the cloud does not act on a request
    /// with an invalid signature.
    async fn call<T, F: Future<Output = Result<ApiResponse<T>, ApiError>>>(
        &self,
        call: &'static str,
        send: impl Fn() -> F,
    ) -> TimedResponse<T> {
        let started_at = self.now();
        let mut answer = send().await;
        if let Err(rejection) = &answer
            && rejection.class == ErrorClass::Credential
        {
            answer = match self.shared.cloud.renew_after(rejection).await {
                Ok(()) => send().await,
                Err(error) => Err(error),
            };
        }
        TimedResponse { call, started_at, finished_at: self.now(), answer }
    }
}

impl<T> TimedResponse<T> {
    fn attempt(&self, region: &str, message: Option<String>) -> Attempt {
        let (outcome, code, http_status, request_id, message) = match &self.answer {
            Ok(answer) => ("ok", answer.code.clone(), Some(answer.http_status), answer.request_id.clone(), message),
            Err(api_error) => {
                let advice =
                    if api_error.advice.is_empty() { String::new() } else { format!(" ({})", api_error.advice) };
                let message = format!("{}{advice}", api_error.message);
                // No failure: the region has it, or will have it.
                let repeated = api_error.code.as_deref() == Some(REPEATED);
                let outcome = if repeated { "ok" } else { class_label(api_error.class) };
                (outcome, api_error.code.clone(), api_error.http_status, api_error.request_id.clone(), Some(message))
            }
        };
        Attempt {
            stage: "distribute",
            call: self.call.into(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            outcome,
            code,
            http_status,
            request_id,
            message: Some(format!("{region}: {}", message.unwrap_or_default())),
            success: match &self.answer {
                Ok(answer) => answer.success,
                Err(api_error) => api_error.is_decided().then_some(false),
            },
            answer: match &self.answer {
                Ok(answer) => answer.message.clone(),
                Err(api_error) => Some(api_error.message.clone()),
            },
        }
    }
}

/// What a person does about a copy to a region that may be mistyped.
fn unknown_region(region: &str, schedule: &str) -> Option<String> {
    if REGIONS.contains(&region) {
        return None;
    }
    let near = nearest_region(region).map(|near| format!(", perhaps {near}")).unwrap_or_default();
    Some(format!(
        "{region} is no region that is known here{near}: correct `regions` of {schedule} and `imagebaked reload`, then retry \
         the copy"
    ))
}

/// Observation of a copy from the rows of an image. An image may be listed once per version.
fn observe(images: &[Image], copy: &Copy) -> Observation {
    let there = || rows_of(images, &copy.image_id);
    if there().next().is_none() {
        return Observation::NoImage;
    }
    match row_in_region(images, &copy.image_id, copy.version_id.as_deref(), &copy.region) {
        Some(row) => {
            Observation::Listed { status: ImageStatus::parse(row.status.as_str()), progress: row.progress.clone() }
        }
        None if there().any(|image| image.image_region_list.contains(&copy.region)) => Observation::Named,
        None => Observation::Absent,
    }
}

fn rows_of<'a>(images: &'a [Image], image_id: &ImageId) -> impl Iterator<Item = &'a Image> {
    images.iter().filter(move |image| image.image_id == *image_id && !is_deleted(image.status.as_str()))
}

/// The row of an image in a region, of this version where rows name theirs.
fn row_in_region<'a>(
    images: &'a [Image],
    image_id: &ImageId,
    version_id: Option<&str>,
    region: &str,
) -> Option<&'a Distribution> {
    let is_ours = |version: Option<&str>| match (version, version_id) {
        (Some(shown), Some(ours)) => shown == ours,
        _ => true,
    };
    let mut rows = rows_of(images, image_id).flat_map(|image| &image.image_region_distribute_list);
    rows.find(|row| row.region_id.as_deref() == Some(region) && is_ours(row.version_id.as_deref()))
}

fn listed_replica(images: &[Image], copy: &Copy) -> Option<ListedReplica> {
    row_in_region(images, &copy.image_id, copy.version_id.as_deref(), &copy.region).map(listed)
}

fn listed(row: &Distribution) -> ListedReplica {
    let status = Some(row.status.as_str()).filter(|status| !status.is_empty());
    ListedReplica { status: status.map(str::to_owned), progress: row.progress.clone() }
}

/// What a list of images shows of copies in these regions.
pub(super) fn replicas(images: &[Image], regions: &[String]) -> Vec<ReplicaObservation> {
    let of_image = |image: &Image| {
        let (image_id, version_id) = (image.image_id.clone(), image.version_id.clone());
        let rows = image.image_region_distribute_list.iter();
        let of_version = rows.filter(move |row| row.version_id.is_none() || row.version_id == version_id);
        let in_region = |row: &Distribution| {
            let region = row.region_id.clone().filter(|region| regions.contains(region))?;
            Some(ReplicaObservation { image_id: image_id.clone(), region, listed: listed(row) })
        };
        of_version.filter_map(in_region).collect::<Vec<_>>()
    };
    images.iter().filter(|image| !is_deleted(image.status.as_str())).flat_map(of_image).collect()
}

fn is_deleted(status: &str) -> bool {
    ImageStatus::parse(status) == ImageStatus::Deleted
}

fn describe(observation: &Observation) -> &str {
    match observation {
        Observation::NoImage => "the image is not listed",
        Observation::Absent => "not listed in the region",
        Observation::Named => "the region is named, without a status",
        Observation::Listed { status, .. } => status.as_str(),
    }
}

/// Logs a new wait of a copy; its start and its end are events.
fn log(before: &State, copy: &Copy) {
    let State::Pending { waits_for: Some(reason), .. } = &copy.state else { return };
    if before.reason() != copy.state.reason() {
        let (bake, region, image) = (copy.bake.0, copy.region.as_str(), copy.image_id.as_str());
        tracing::warn!(bake, region, image, reason, "the {copy} is polled again later: {reason}");
    }
}
