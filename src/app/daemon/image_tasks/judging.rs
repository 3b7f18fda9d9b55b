//! Judgement of images by the rules, as of the last inventory scan. Passes carry it out, and whatever announces deletions shows
//! it: there is one judgement.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{policies, strays};
use crate::{
    adapters::{
        config::Config,
        store::{ImageRow, NewestResult, Reader, StoreError},
    },
    domain::{
        ids::{BakeId, ImageId, LineId},
        image::{
            DeletionState, LineImage, Policy,
            brake::{self, Brake, Candidate, Departed, LineLoad, MarkKind},
            failed::FailedImage,
            held::{Coming, Held, HeldFrom, LineToCome},
            judge::{Action, Blocker, action, deleted_from, judge},
            passes::NextPass,
            report::{Judged, JudgedFailed, RetentionReport},
            retention,
        },
    },
};

/// Mode of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command")]
pub struct Mode {
    /// Scan and judge only.
    pub dry_run: bool,
    /// Also retry deletions that the cloud rejected.
    pub again: bool,
    /// Also delete images that need a confirmation.
    pub confirm: bool,
    /// A failed image does not block the deletion of others of its line.
    pub despite_failed_bake: bool,
}

/// Judges by the history, without a scan, what the next pass does, and when.
pub async fn judgement(
    reader: &Reader,
    config: &Config,
    mode: Mode,
    (now, next_pass): (DateTime<Utc>, NextPass),
) -> Result<RetentionReport, StoreError> {
    let judge = Judge::read(reader, config, now).await?;
    let images = reader.present_images(Some(&with_marked_lines(reader, judge.policies.keys()).await?)).await?;
    Ok(judge.all(reader, Mode { dry_run: true, ..mode }, next_pass, images).await?.report())
}

/// Lines with rules, and those with marked images, whose rules may be gone.
pub async fn lines_to_judge(reader: &Reader, config: &Config) -> Result<Vec<LineId>, StoreError> {
    with_marked_lines(reader, policies::with_rules(config).keys()).await
}

async fn with_marked_lines(
    reader: &Reader,
    with_rules: impl Iterator<Item = &LineId>,
) -> Result<Vec<LineId>, StoreError> {
    let mut lines: Vec<LineId> = with_rules.cloned().collect();
    lines.extend(reader.lines_with_marks().await?);
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

/// What images are judged by, besides the images themselves: read once, for as many lines as there are.
#[derive(Debug)]
pub struct Judge {
    pub(super) policies: BTreeMap<LineId, Policy>,
    /// The rules of each line that has some, as text: another text is an edit.
    pub(super) rules: BTreeMap<LineId, String>,
    /// Rules by which each line was judged last.
    judged_by: HashMap<LineId, String>,
    /// Deletions of the last day that count for the brake.
    deleted: BTreeMap<LineId, Vec<Departed>>,
    /// Images that a channel left of late.
    left: HashSet<ImageId>,
    max_deletions: Option<usize>,
    /// Limits of all lines together that the next pass exceeds, and from when on one will be; only for the images of some lines.
    of_all: (Vec<Brake>, HeldFrom),
    /// Why the last scan was not complete.
    problem: Option<String>,
    now: DateTime<Utc>,
}

impl Judge {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// `StoreError` if a query fails.
    pub async fn read(reader: &Reader, config: &Config, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let policies = policies::with_rules(config);
        let fingerprint =
            |policy: &Policy| Some(format!("{} {}", retention::fingerprint(policy.keep.as_ref()?), policy.zone));
        let rules = policies.iter().filter_map(|(line, policy)| Some((line.clone(), fingerprint(policy)?))).collect();
        // An image that went at the begin of the window may have been left a day before.
        let left = reader.images_left_by_channels(now - brake::WINDOW - brake::WINDOW).await?;
        Ok(Self {
            rules,
            policies,
            judged_by: reader.line_rules().await?,
            deleted: reader.counted_deletions(now - brake::WINDOW, &left).await?,
            left,
            max_deletions: config.daemon.max_deletions.and_then(|most| usize::try_from(most).ok()),
            of_all: Default::default(),
            problem: reader.last_scan().await?.and_then(|scan| scan.problem),
            now,
        })
    }

    /// The same for the images of some lines. If so many images are marked that the limit of all lines may be exceeded, all lines
    /// are judged for it.
    ///
    /// # Errors
    ///
    /// `StoreError` if a query fails.
    pub async fn of_some(
        reader: &Reader,
        config: &Config,
        (now, next_pass): (DateTime<Utc>, NextPass),
    ) -> Result<Self, StoreError> {
        let mut judge = Self::read(reader, config, now).await?;
        let limit = judge.max_deletions.unwrap_or(judge.rules.len().saturating_mul(2));
        let has_grace = |policy: &Policy| policy.keep.as_ref().is_none_or(|keep| !keep.grace.is_zero());
        let marked = reader.marked_images(judge.max_deletions.is_some()).await?;
        let deleted: usize = judge.deleted.values().map(Vec::len).sum();
        if marked > 0 && marked + deleted > limit || !judge.policies.values().all(has_grace) {
            let lines = with_marked_lines(reader, judge.policies.keys()).await?;
            let images = reader.present_images(Some(&lines)).await?;
            let mode = Mode { dry_run: true, ..Mode::default() };
            let Judgement { brakes, held_from, .. } = judge.lines(reader, mode, next_pass, images).await?;
            let brakes = brakes.into_iter().filter(|brake| brake.line().is_none()).collect();
            judge.of_all = (brakes, HeldFrom { all: held_from.all, ..HeldFrom::default() });
        }
        Ok(judge)
    }

    /// Judges images of some lines, all of each.
    ///
    /// # Errors
    ///
    /// `StoreError` if a query fails.
    pub async fn some(
        &self,
        reader: &Reader,
        images: Vec<ImageRow>,
        next_pass: NextPass,
    ) -> Result<Vec<(ImageRow, Judged)>, StoreError> {
        let mode = Mode { dry_run: true, ..Mode::default() };
        let mut judgement = self.lines(reader, mode, next_pass, images).await?;
        judgement.hold(&self.of_all.0);
        judgement.announce(&self.of_all.1);
        Ok(judgement.images)
    }

    /// Judges the images of all lines, and the CREATE_FAILED ones.
    pub(super) async fn all(
        &self,
        reader: &Reader,
        mode: Mode,
        next_pass: NextPass,
        images: Vec<ImageRow>,
    ) -> Result<Judgement, StoreError> {
        let mut judgement = self.lines(reader, mode, next_pass, images).await?;
        let scan = (self.problem.is_none(), mode.again);
        judgement.failed = strays::judge_failed(reader, &self.policies, scan, (self.now, next_pass)).await?;
        Ok(judgement)
    }

    /// Judges images of some lines, as of the last scan. Images of other lines stay.
    async fn lines(
        &self,
        reader: &Reader,
        mode: Mode,
        next_pass: NextPass,
        images: Vec<ImageRow>,
    ) -> Result<Judgement, StoreError> {
        let lines = by_line(images);
        let results = reader.newest_results(&lines.keys().cloned().collect::<Vec<_>>()).await?;
        let (mut loads, mut to_come) = (BTreeMap::new(), BTreeMap::new());
        let mut judgement = Judgement { problem: self.problem.clone(), ..Judgement::default() };
        for (line, rows) in lines {
            let policy = self.policies.get(&line);
            let failed = results.get(&line).filter(|newest| !newest.succeeded);
            let blocker = failed.filter(|_| !mode.despite_failed_bake);
            if let (Some(failed), None) = (failed, blocker) {
                judgement.overridden.push((line.clone(), failed.bake));
            }
            if self.problem.is_some() || blocker.is_some() {
                judgement.blocked.insert(line.clone());
            }
            let times = (self.now, next_pass);
            let judged = judge_line(&rows, policy, blocker, self.problem.as_deref(), mode.again, times);
            let same_rules = self.rules.get(&line).is_some_and(|rules| self.judged_by.get(&line) == Some(rules));
            let candidates: Vec<Candidate<'_>> =
                rows.iter().zip(&judged).map(|one| candidate(one, &self.left)).collect();
            let kinds = match policy.and_then(|policy| policy.keep.as_ref()) {
                Some(keep) => brake::kinds(&candidates, keep, same_rules, self.now),
                None => vec![MarkKind::Ordinary; candidates.len()],
            };
            let departed = self.deleted.get(&line).map_or(&[][..], Vec::as_slice);
            let load = LineLoad::of(&candidates, &kinds, departed, self.now);
            to_come.insert(line.clone(), coming(&candidates, &kinds, &judged, (load.good, departed)));
            loads.insert(line, load);
            judgement.kinds.extend(rows.iter().map(|row| row.image.image_id.clone()).zip(kinds));
            judgement.images.extend(rows.into_iter().zip(judged));
        }
        judgement.brakes = brake::brakes(&loads, self.max_deletions, self.rules.len());
        judgement.held_from = HeldFrom::foresee(&to_come, self.max_deletions, self.rules.len());
        if !mode.confirm {
            let (brakes, held_from) = (std::mem::take(&mut judgement.brakes), std::mem::take(&mut judgement.held_from));
            judgement.hold(&brakes);
            judgement.announce(&held_from);
            (judgement.brakes, judgement.held_from) = (brakes, held_from);
        }
        Ok(judgement)
    }
}

/// What goes of a line, and when.
fn coming(
    candidates: &[Candidate<'_>],
    kinds: &[MarkKind],
    judged: &[Judged],
    (good, departed): (usize, &[Departed]),
) -> LineToCome {
    let one = |((candidate, &kind), judged): ((&Candidate<'_>, &MarkKind), &Judged)| {
        let at = judged.not_before.filter(|_| kind != MarkKind::Confirmed && candidate.goes)?;
        Some(Coming { at, kind, is_marked: candidate.marked.is_some() || candidate.is_due })
    };
    let coming = candidates.iter().zip(kinds).zip(judged).filter_map(one).collect();
    LineToCome { coming, good, departed: departed.to_vec() }
}

/// Judged images.
#[derive(Default)]
pub(super) struct Judgement {
    /// Why the last scan was not complete.
    pub(super) problem: Option<String>,
    pub(super) brakes: Vec<Brake>,
    pub(super) images: Vec<(ImageRow, Judged)>,
    /// From when on deletions need a confirmation.
    pub(super) held_from: HeldFrom,
    /// How the deletion of each image counts for the brake.
    pub(super) kinds: BTreeMap<ImageId, MarkKind>,
    /// Lines whose deletions are blocked, whatever the rules are.
    pub(super) blocked: BTreeSet<LineId>,
    /// Lines with the failed bake that a person overrides.
    pub(super) overridden: Vec<(LineId, BakeId)>,
    pub(super) failed: Vec<(FailedImage, JudgedFailed)>,
}

impl Judgement {
    /// What these limits hold waits for a confirmation.
    fn hold(&mut self, brakes: &[Brake]) {
        let holds = |line: &LineId| brakes.iter().any(|brake| brake.line().is_none_or(|held| held == line));
        for (row, judged) in &mut self.images {
            let is_going = judged.action == Action::Delete && row.mark != MarkKind::Confirmed;
            if is_going && holds(&row.image.line) {
                (judged.action, judged.not_before) = (Action::NeedsConfirmation, None);
                judged.held = Some(Held::Confirmation);
            }
        }
    }

    /// What is deleted from these instants on will wait for a confirmation.
    fn announce(&mut self, held_from: &HeldFrom) {
        for (row, judged) in self.images.iter_mut().filter(|(row, _)| row.mark != MarkKind::Confirmed) {
            if judged.not_before.is_some_and(|at| held_from.holds(&row.image.line, at)) {
                judged.held = Some(Held::Confirmation);
            }
        }
    }

    /// The report for clients.
    pub(super) fn report(self) -> RetentionReport {
        RetentionReport {
            problem: self.problem,
            brakes: self.brakes,
            images: self.images.into_iter().map(|(_, judged)| judged).collect(),
            failed: self.failed.into_iter().map(|(_, judged)| judged).collect(),
            next_pass: None,
        }
    }
}

/// The images of each line.
pub(super) fn by_line(images: Vec<ImageRow>) -> BTreeMap<LineId, Vec<ImageRow>> {
    let mut lines: BTreeMap<LineId, Vec<ImageRow>> = BTreeMap::new();
    for row in images {
        lines.entry(row.image.line.clone()).or_default().push(row);
    }
    lines
}

/// Input of the brake for an image.
fn candidate<'a>((row, judged): (&'a ImageRow, &Judged), left: &HashSet<ImageId>) -> Candidate<'a> {
    Candidate {
        image: &row.image,
        marked: matches!(row.image.deletion, DeletionState::Marked { .. }).then_some(row.mark),
        is_new: !row.judged,
        of_slot: row.of_slot,
        // An edit of the rules once marked it: a channel that passed over it since replaced nothing.
        left_by_channel: left.contains(&row.image.image_id) && row.mark != MarkKind::Counted,
        goes: judged.verdict.goes(),
        is_due: judged.action == Action::Delete,
    }
}

/// Judges one line and determines the action for each image.
pub(super) fn judge_line(
    rows: &[ImageRow],
    policy: Option<&Policy>,
    newest: Option<&NewestResult>,
    problem: Option<&str>,
    again: bool,
    (now, next_pass): (DateTime<Utc>, NextPass),
) -> Vec<Judged> {
    let mut blockers = Vec::new();
    if let Some(newest) = newest.filter(|newest| !newest.succeeded) {
        blockers.push(Blocker::NewestFailed { bake: newest.bake });
    }
    if let Some(problem) = problem {
        blockers.push(Blocker::NotSeen { why: problem.to_owned() });
    }
    let images: Vec<Cow<'_, LineImage>> = rows
        .iter()
        .map(|row| {
            let mut image = Cow::Borrowed(&row.image);
            match &row.image.deletion {
                DeletionState::Refused { .. } if again => image.to_mut().deletion = DeletionState::Kept,
                // Its grace had passed when the call was sent.
                DeletionState::Marked { last_error: Some(_), .. } if again => {
                    if let DeletionState::Marked { delete_after, .. } = &mut image.to_mut().deletion {
                        *delete_after = now;
                    }
                }
                _ => {}
            }
            image
        })
        .collect();
    let grace = policy.and_then(|policy| policy.keep.as_ref()).map_or(Duration::ZERO, |keep| keep.grace);
    let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
    let verdicts = judge(&images, policy, &blockers, now);
    let schedule = policy.map(|policy| policy.schedule.to_string());
    let at_pass = next_pass.not_before(now).unwrap_or(now);
    images
        .iter()
        .zip(verdicts)
        .map(|(image, verdict)| (action(image, &verdict, grace, now, at_pass), image, verdict))
        .map(|(action, image, verdict)| Judged {
            image_id: image.image_id.clone(),
            image_name: image.name.clone(),
            line: image.line.clone(),
            schedule: schedule.clone(),
            version: image.version,
            slot: image.slot,
            not_before: next_pass.not_before(now).and_then(|at| deleted_from(&image.deletion, &verdict, grace, at)),
            vetoed: image.veto.is_some(),
            held: (next_pass == NextPass::Never && !matches!(action, Action::Keep)).then_some(Held::Observe),
            action,
            verdict,
        })
        .collect()
}

#[cfg(test)]
#[path = "judging_tests.rs"]
mod tests;
