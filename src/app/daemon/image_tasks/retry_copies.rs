//! `imagebaked retry BAKE --stage distribute`: repeats the failed copies of an image, to the regions that its schedule has now.

use super::pins::to_reply;
use crate::{
    adapters::{
        control::Reply,
        store::{CopyRow, StoreError},
    },
    app::daemon::context::DaemonContext,
    domain::ids::BakeId,
};

/// Repeats the failed copies of a bake's image on request.
pub async fn retry(shared: &DaemonContext, bake: BakeId, who: &str) -> Reply {
    to_reply(try_retry(shared, bake, who).await)
}

async fn try_retry(shared: &DaemonContext, bake: BakeId, who: &str) -> Result<Reply, StoreError> {
    let reader = shared.store.reader();
    let Some(row) = reader.bake(bake).await? else {
        return Ok(Reply::NotFound { message: format!("there is no bake {bake}; see `imagebaked history`") });
    };
    if row.state != "succeeded" {
        return Ok(Reply::Failed { message: format!("bake {bake} has no image to copy: it is {}", row.state) });
    }
    let copies = reader.copies(bake).await?;
    let wanted = shared.regions_of(&row.schedule_id);
    let copies = CopyRetry::of(&copies, wanted.as_deref());
    if copies.again.is_empty() && copies.new.is_empty() {
        return Ok(Reply::Failed { message: copies.nothing_to_do(bake, &row.schedule) });
    }
    if shared.store.reopen_copies(bake, &copies.again, &copies.new, who, shared.clock.now()).await? == 0 {
        return Ok(Reply::Failed { message: format!("the image of bake {bake} is deleted, or about to be") });
    }
    Ok(Reply::CommandOutput { sentences: copies.sentences(bake, &row.schedule) })
}

/// What a request to repeat copies comes to, by region.
#[derive(Debug, Default, PartialEq, Eq)]
struct CopyRetry {
    /// Failed, and wanted.
    again: Vec<String>,
    /// Wanted since the configuration was edited.
    new: Vec<String>,
    /// Failed, and not wanted any more.
    left_out: Vec<String>,
    /// Wanted already, and not ended.
    running: Vec<String>,
    /// The others, each with its state.
    others: Vec<String>,
}

impl CopyRetry {
    /// `wanted`: the regions of the schedule; `None`: it is not in the configuration any more, and the copies are those that
    /// were wanted.
    fn of(copies: &[CopyRow], wanted: Option<&[String]>) -> Self {
        let mut retry = Self::default();
        for copy in copies {
            let is_wanted = wanted.is_none_or(|wanted| wanted.contains(&copy.region));
            match (copy.state == "failed", is_wanted) {
                (true, true) => retry.again.push(copy.region.clone()),
                (true, false) => retry.left_out.push(copy.region.clone()),
                (false, true) if copy.state != "done" => retry.running.push(copy.region.clone()),
                (false, _) => retry.others.push(format!("{} is {}", copy.region, copy.state)),
            }
        }
        let is_new = |region: &&String| !copies.iter().any(|copy| copy.region == **region);
        retry.new.extend(wanted.unwrap_or_default().iter().filter(is_new).cloned());
        retry
    }

    fn sentences(&self, bake: BakeId, schedule: &str) -> Vec<String> {
        let mut to = Vec::new();
        if !self.again.is_empty() {
            to.push(format!("to {} again", self.again.join(", ")));
        }
        if !self.new.is_empty() {
            to.push(format!("to {}, new in `regions` of {schedule}", self.new.join(", ")));
        }
        let to = to.join(", and ");
        let mut sentences =
            vec![format!("The image of bake {bake} is copied {to}; `imagebaked show {bake}` shows its progress.")];
        if !self.left_out.is_empty() {
            sentences.push(format!(
                "Not to {}: `regions` of {schedule} does not have it any more.",
                self.left_out.join(", ")
            ));
        }
        sentences
    }

    fn nothing_to_do(&self, bake: BakeId, schedule: &str) -> String {
        if !self.running.is_empty() {
            return format!(
                "the image of bake {bake} is being copied to {} already; `imagebaked show {bake}` shows its progress",
                self.running.join(", ")
            );
        }
        if !self.left_out.is_empty() {
            return format!(
                "the image of bake {bake} is not copied to {} any more: `regions` of {schedule} does not have it; for another \
                 region edit the configuration and `imagebaked reload` first",
                self.left_out.join(", ")
            );
        }
        if self.others.is_empty() {
            return format!("the image of bake {bake} is to be copied nowhere: {schedule} has no `regions`");
        }
        format!("no copy of the image of bake {bake} failed: {}", self.others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(region: &str, state: &str) -> CopyRow {
        CopyRow {
            region: region.to_owned(),
            state: state.to_owned(),
            status: None,
            tries: 1,
            progress: None,
            reason: None,
            task_id: None,
            wake_at: None,
            created_at: 1,
            finished_at: Some(1),
        }
    }

    fn regions(regions: &[&str]) -> Vec<String> {
        regions.iter().map(|region| (*region).to_owned()).collect()
    }

    #[test]
    fn the_regions_are_those_of_the_configuration_in_force() {
        let copies = [copy("cn-beijing", "failed"), copy("cn-hangzou", "failed"), copy("cn-nanjing", "done")];
        let corrected = regions(&["cn-beijing", "cn-hangzhou", "cn-nanjing"]);
        let retry = CopyRetry::of(&copies, Some(&corrected));
        assert_eq!((&retry.again, &retry.new), (&regions(&["cn-beijing"]), &regions(&["cn-hangzhou"])));
        assert_eq!(
            retry.sentences(BakeId(7), "golden"),
            [
                "The image of bake 7 is copied to cn-beijing again, and to cn-hangzhou, new in `regions` of golden; \
                 `imagebaked show 7` shows its progress.",
                "Not to cn-hangzou: `regions` of golden does not have it any more."
            ]
        );
        // Without its schedule the file says nothing.
        let retry = CopyRetry::of(&copies, None);
        assert_eq!((retry.again, retry.new), (regions(&["cn-beijing", "cn-hangzou"]), Vec::new()));
    }

    #[test]
    fn why_there_is_nothing_to_do() {
        let why = |copies: &[CopyRow], wanted: &[&str]| {
            let retry = CopyRetry::of(copies, Some(&regions(wanted)));
            assert!(retry.again.is_empty() && retry.new.is_empty());
            retry.nothing_to_do(BakeId(7), "golden")
        };
        assert!(why(&[], &[]).ends_with("is to be copied nowhere: golden has no `regions`"));
        assert!(why(&[copy("a", "done")], &["a"]).ends_with("failed: a is done"));
        let removed = why(&[copy("cn-hangzou", "failed"), copy("a", "done")], &["a"]);
        assert!(removed.contains("is not copied to cn-hangzou any more: `regions` of golden"), "{removed}");
        assert!(removed.contains("`imagebaked reload` first"), "{removed}");
        let running = why(&[copy("cn-hangzou", "failed"), copy("cn-hangzhou", "copying")], &["cn-hangzhou"]);
        assert!(running.contains("is being copied to cn-hangzhou already"), "{running}");
    }
}
