//! Channels of the lines: current targets and all assignments.
//!
//! Reading, deciding and writing are one transaction of the single writer, so that requests and automatic moves cannot
//! interfere.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::{
    ITSELF, ImageRow, Reader, Store, StoreError, audit::audit, deletions::unmark, failed, from_row::from_row,
    images::PRESENT_IMAGES_OF, writer::WriteTransaction,
};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine, Event, EventSeverity, EventType},
        health::{Subject, SubjectKind},
        history::instants::maybe_instant,
        ids::{ImageId, LineId},
        image::channels::{Assigned, Candidate, ChannelTarget, Check, Move, Refused, View, promote, rollback, settle},
        schedule::Channel,
    },
};

/// Lines whose channels are due.
pub(super) const DUE_CHANNELS: &str = "SELECT line_id FROM channels_due WHERE at <= ?1 ORDER BY at, line_id LIMIT ?2";

/// Instant at which the channels of a line are due next.
pub(super) const NEXT_CHANNELS: &str = "SELECT min(at) FROM channels_due";

/// Channels of these lines, and all that do not move by themselves with the images, are due now.
pub(super) const QUEUE_CHANNELS: &str = "
INSERT INTO channels_due (line_id, at)
SELECT value, 0 FROM json_each(?1) UNION SELECT line_id, 0 FROM channels WHERE channel <> 'latest'
ON CONFLICT (line_id) DO UPDATE SET at = 0";

/// The channels of some lines were processed.
pub(super) const CHANNELS_OBSERVED: &str =
    "DELETE FROM channels_due WHERE line_id IN (SELECT value FROM json_each(?1))";

/// Their next instant.
pub(super) const CHANNELS_AGAIN: &str = "
INSERT INTO channels_due (line_id, at) SELECT value ->> 'line_id', value ->> 'at' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET at = min(at, excluded.at)";

/// Current targets of the channels of some lines.
pub(super) const ASSIGNED_CHANNELS: &str = "
SELECT c.line_id, c.channel, c.image_id, i.version, c.above
FROM channels c LEFT JOIN images i ON i.image_id = c.image_id
WHERE c.line_id IN (SELECT value FROM json_each(?1))
ORDER BY c.line_id, c.channel";

/// Former targets, the last assignment first. `latest` needs none.
pub(super) const PAST_OF_CHANNELS: &str = "
SELECT c.line_id, c.channel, h.image_id
FROM channels c JOIN channel_history h ON h.line_id = c.line_id AND h.channel = c.channel
WHERE c.line_id IN (SELECT value FROM json_each(?1)) AND c.channel <> 'latest' AND h.image_id IS NOT NULL
GROUP BY c.line_id, c.channel, h.image_id
ORDER BY max(h.id) DESC";

/// A channel points to an image, or becomes empty.
pub(super) const SET_CHANNEL: &str = "
INSERT INTO channels (line_id, channel, image_id, above, since) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (line_id, channel) DO UPDATE
SET image_id = excluded.image_id, above = excluded.above, since = excluded.since";

/// There is no such channel any more.
pub(super) const DROP_CHANNEL: &str = "DELETE FROM channels WHERE line_id = ?1 AND channel = ?2";

/// One more line of the history of channels.
pub(super) const INSERT_CHANNEL_HISTORY: &str = "
INSERT INTO channel_history (at, line_id, channel, image_id, who, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Nobody should use an image; a later word replaces an earlier one.
pub(super) const SET_VETO: &str = "
INSERT INTO vetoes (image_id, at, reason, who) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (image_id) DO UPDATE SET at = excluded.at, reason = excluded.reason, who = excluded.who";

/// An image may be used again.
pub(super) const LIFT_VETO: &str = "DELETE FROM vetoes WHERE image_id = ?1";

/// Current targets of all channels, with their assignment; of one schedule, or of all.
pub(super) const CHANNELS_NOW: &str = "
SELECT c.line_id, c.channel, c.image_id, i.image_name, i.version_id, i.version, c.since, h.who, h.why, i.ours
FROM channels c LEFT JOIN images i ON i.image_id = c.image_id
     LEFT JOIN channel_history h ON h.id = (SELECT max(id) FROM channel_history
                                            WHERE line_id = c.line_id AND channel = c.channel)
WHERE ?1 IS NULL OR c.line_id IN (SELECT line_id FROM targets WHERE schedule_id = ?1 OR schedule = ?1)
ORDER BY c.line_id, c.channel = 'latest' DESC, c.channel";

/// Every assignment that ever was, the last first; of one schedule, or of all.
pub(super) const CHANNEL_HISTORY: &str = "
SELECT h.line_id, h.channel, h.image_id, i.image_name, i.version_id, i.version, h.at AS since, h.who, h.why, i.ours
FROM channel_history h LEFT JOIN images i ON i.image_id = h.image_id
WHERE ?1 IS NULL OR h.line_id IN (SELECT line_id FROM targets WHERE schedule_id = ?1 OR schedule = ?1)
ORDER BY h.id DESC LIMIT ?2";

/// Images that a channel left for another one since an instant.
pub(super) const LEFT_BY_CHANNELS: &str = "
SELECT DISTINCT (SELECT p.image_id FROM channel_history p
                 WHERE p.line_id = h.line_id AND p.channel = h.channel AND p.id < h.id ORDER BY p.id DESC LIMIT 1)
FROM channel_history h WHERE h.at > ?1 AND h.image_id IS NOT NULL";

/// A person's request about channels or images of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Point a channel to this image.
    Promote {
        /// The image.
        image: ImageId,
        /// The channel.
        channel: String,
        /// Whether an image that has not passed its check is accepted.
        force: bool,
        /// Why.
        reason: String,
    },
    /// Point a channel to its former image, and veto the one it leaves.
    Rollback {
        /// The channel.
        channel: String,
        /// Why.
        reason: String,
    },
    /// Veto this image.
    Veto {
        /// The image.
        image: ImageId,
        /// Why.
        reason: String,
    },
    /// Remove the veto of this image.
    Unveto {
        /// The image.
        image: ImageId,
    },
}

/// A channel that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The line.
    pub line: LineId,
    /// The move.
    pub by: Move,
    /// Who moved it: a person, or [`ITSELF`].
    pub who: String,
    /// Whether the image was marked for deletion: the channel keeps it.
    pub unmarks: bool,
}

/// `stable of golden is v3, imgc-…: why`.
impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, by: Move { channel, to, why, is_loss }, unmarks, .. } = self;
        match to {
            ChannelTarget::Image { image_id, version, .. } => {
                let is = if *is_loss { "goes back to" } else { "is" };
                write!(f, "{channel} of {line} {is} v{version}, {image_id}: {why}")?;
                if *unmarks { f.write_str("; its mark for deletion is removed") } else { Ok(()) }
            }
            ChannelTarget::Nothing { .. } => write!(f, "{channel} of {line} is empty: {why}"),
            ChannelTarget::Dropped => write!(f, "{channel} of {line} is dropped: {why}"),
        }
    }
}

impl Moved {
    fn event(&self) -> Event {
        let Self { line, by, who, .. } = self;
        let severity = if by.is_loss { EventSeverity::Warning } else { EventSeverity::Info };
        let image = match &by.to {
            ChannelTarget::Image { image_id, .. } => Some(image_id.as_str()),
            ChannelTarget::Nothing { .. } | ChannelTarget::Dropped => None,
        };
        Event::new(EventType::ChannelMoved, severity, channel_of(&by.channel, line), format!("channel {self}"))
            .with("line", line.as_str())
            .with("channel", by.channel.as_str())
            .with("image_id", image)
            .with("who", who.as_str())
            .with("reason", by.why.as_str())
            .command(format!("imagebaked channels {line}"))
    }
}

fn channel_of(channel: &str, line: &LineId) -> Subject {
    Subject::new(SubjectKind::Channel, format!("{line}/{channel}"))
}

/// Current or former target of a channel; the field names are those of `channels --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelRow {
    /// The line.
    #[serde(rename = "line")]
    pub line_id: String,
    /// The channel.
    pub channel: String,
    /// The image; `None` if the channel is empty.
    pub image_id: Option<String>,
    /// Its name.
    pub image_name: Option<String>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// Its version in the line.
    pub version: Option<i64>,
    /// Instant of the assignment.
    #[serde(serialize_with = "maybe_instant")]
    pub since: Option<i64>,
    /// Who assigned it.
    pub who: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// Whether the image had the tag of `[daemon] owner` in the last scan; `None` without an image.
    pub ours: Option<bool>,
}

from_row!(ChannelRow { line_id, channel, image_id, image_name, version_id, version, since, who, why, ours });

impl Reader {
    /// Images that a channel left for another one since an instant.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn images_left_by_channels(&self, since: DateTime<Utc>) -> Result<HashSet<ImageId>, StoreError> {
        let rows: Vec<(Option<String>,)> = sqlx::query_as(LEFT_BY_CHANNELS)
            .bind(since.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which images channels left"))?;
        Ok(rows.into_iter().filter_map(|(image,)| Some(ImageId::from(image?))).collect())
    }

    /// Current targets of all channels, or of those of one schedule by name or id.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn channels(&self, schedule: Option<&str>) -> Result<Vec<ChannelRow>, StoreError> {
        sqlx::query_as(CHANNELS_NOW).bind(schedule).fetch_all(&self.pool).await.map_err(failed("read the channels"))
    }

    /// The last assignments, newest first, of all channels or of those of one schedule by name or id.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn channel_history(&self, schedule: Option<&str>, limit: u32) -> Result<Vec<ChannelRow>, StoreError> {
        sqlx::query_as(CHANNEL_HISTORY)
            .bind(schedule)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the history of the channels"))
    }

    /// Instant of the next move of any channel.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn next_channels(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(NEXT_CHANNELS)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read when channels move next"))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }
}

impl Store {
    /// Queues the channels of these lines, and all that depend on the configuration, for the next pass.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn queue_channels(&self, lines: &[LineId]) -> Result<(), StoreError> {
        let query = sqlx::query(QUEUE_CHANNELS).bind(serde_json::to_string(lines).map_err(StoreError::Encode)?);
        let mut tx = self.begin().await?;
        query.execute(&mut *tx).await.map_err(failed("queue lines for their channels"))?;
        tx.commit().await.map_err(failed("queue lines for their channels"))
    }

    /// Lines whose channels are due at `now`, at most `limit`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn due_channels(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<LineId>, StoreError> {
        let lines: Vec<String> = sqlx::query_scalar(DUE_CHANNELS)
            .bind(now.timestamp_millis())
            .bind(limit)
            .fetch_all(&self.reader().pool)
            .await
            .map_err(failed("read whose channels are due"))?;
        Ok(lines.into_iter().map(LineId::from).collect())
    }

    /// Applies the automatic moves of these lines. `declared` returns the channels that the configuration has for a
    /// line.
    pub async fn settle_channels<'a>(
        &self,
        lines: &[LineId],
        declared: impl Fn(&LineId) -> Option<&'a [Channel]>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Moved>, StoreError> {
        let mut tx = self.begin().await?;
        let mut moved = Vec::new();
        let mut again = Vec::new();
        for (line, view) in views(&mut tx, lines).await? {
            let (moves, next) = settle(&view, declared(&line), now);
            again.extend(next.map(|at| Again { line_id: line.clone(), at: at.timestamp_millis() }));
            let moves =
                moves.into_iter().map(|by| Moved { line: line.clone(), by, who: ITSELF.to_owned(), unmarks: false });
            moved.extend(moves);
        }
        write(&mut tx, &mut moved, now).await?;
        let json = |value: Result<String, serde_json::Error>| value.map_err(StoreError::Encode);
        for (sql, json) in [
            (CHANNELS_OBSERVED, json(serde_json::to_string(lines))?),
            (CHANNELS_AGAIN, json(serde_json::to_string(&again))?),
        ] {
            sqlx::query(sql).bind(json).execute(&mut *tx).await.map_err(failed("note when channels move next"))?;
        }
        commit(tx, &moved).await?;
        Ok(moved)
    }

    /// Carries out a person's request in one line, and the automatic moves that result from it.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; the inner `Refused` if the request is rejected.
    pub async fn order_channels(
        &self,
        line: &LineId,
        declared: Option<&[Channel]>,
        order: &ChannelOrder,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<Vec<Moved>, Refused>, StoreError> {
        let mut tx = self.begin().await?;
        let mut view = views(&mut tx, std::slice::from_ref(line)).await?.remove(line).unwrap_or_default();
        let mut wanted = Vec::new();
        let (action, subject, detail) = match order {
            ChannelOrder::Promote { image, channel, force, reason } => {
                match promote(&view, image, channel, *force, reason) {
                    Ok(by) => wanted.push(by),
                    Err(refused) => return Ok(Err(refused)),
                }
                (Action::Promote, channel_of(channel, line), format!("{image} to {channel} of {line}: {reason}"))
            }
            ChannelOrder::Rollback { channel, reason } => {
                let left = match rollback(&view, line.as_str(), channel, &format!("rolled back: {reason}")) {
                    Ok((left, by)) => {
                        wanted.push(by);
                        left
                    }
                    Err(refused) => return Ok(Err(refused)),
                };
                let reason = format!("rolled back from {channel}: {reason}");
                view.veto(&left, &reason);
                veto(&mut tx, &left, &reason, who, now).await?;
                let detail = format!("{channel} of {line}, away from {left}: {reason}");
                (Action::Rollback, channel_of(channel, line), detail)
            }
            ChannelOrder::Veto { image, reason } => {
                view.veto(image, reason);
                veto(&mut tx, image, reason, who, now).await?;
                (Action::Veto, Subject::new(SubjectKind::Image, image.as_str()), format!("{image} of {line}: {reason}"))
            }
            ChannelOrder::Unveto { image } => {
                sqlx::query(LIFT_VETO).bind(image.as_str()).execute(&mut *tx).await.map_err(failed("lift a veto"))?;
                // The next decision determines whether the image is fit then.
                view = views(&mut tx, std::slice::from_ref(line)).await?.remove(line).unwrap_or_default();
                (Action::Unveto, Subject::new(SubjectKind::Image, image.as_str()), format!("{image} of {line}"))
            }
        };
        view.apply(&wanted);
        let of = |by: Move, who: &str| Moved { line: line.clone(), by, who: who.to_owned(), unmarks: false };
        let (followed, _) = settle(&view, declared, now);
        let mut moved: Vec<Moved> =
            wanted.into_iter().map(|by| of(by, who)).chain(followed.into_iter().map(|by| of(by, ITSELF))).collect();
        write(&mut tx, &mut moved, now).await?;
        audit(&mut tx, &AuditLine { at: now, who, action, subject, detail }).await?;
        commit(tx, &moved).await?;
        Ok(Ok(moved))
    }
}

#[derive(Serialize)]
struct Again {
    line_id: LineId,
    at: i64,
}

type AssignedColumns = (String, String, Option<String>, Option<i64>, i64);

/// Input of the channel decision for each of these lines, including those without images.
async fn views(tx: &mut SqliteConnection, lines: &[LineId]) -> Result<HashMap<LineId, View>, StoreError> {
    let json = serde_json::to_string(lines).map_err(StoreError::Encode)?;
    let mut views: HashMap<LineId, View> = lines.iter().map(|line| (line.clone(), View::default())).collect();
    let images: Vec<ImageRow> = sqlx::query_as(PRESENT_IMAGES_OF)
        .bind(&json)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("read the images of channels"))?;
    // In ascending order of versions.
    let mut latest: HashMap<LineId, DateTime<Utc>> = HashMap::new();
    for row in images.into_iter().rev() {
        let check = row.verify.as_deref().map(|word| match word {
            "passed" => Check::Passed,
            "failed" => Check::Failed,
            _ => Check::Due,
        });
        let view = views.entry(row.image.line.clone()).or_default();
        let mut candidate = Candidate::new(&row.image, check);
        // A slot in the future does not count as later: images of past slots after it can still move in.
        let date = row.image.date(row.image.available_at);
        let latest = latest.entry(row.image.line.clone()).or_insert(date);
        candidate.moves_in &= date >= *latest;
        if !row.image.is_of_the_future(row.image.available_at) {
            *latest = date.max(*latest);
        }
        view.images.push(candidate);
    }
    let assigned: Vec<AssignedColumns> =
        sqlx::query_as(ASSIGNED_CHANNELS).bind(&json).fetch_all(&mut *tx).await.map_err(failed("read the channels"))?;
    for (line, channel, image_id, version, above) in assigned {
        let version = version.and_then(|version| u32::try_from(version).ok());
        let assigned = Assigned { channel, image_id: image_id.map(ImageId::from), version, above };
        views.entry(LineId::from(line)).or_default().assigned.push(assigned);
    }
    let past: Vec<(String, String, String)> = sqlx::query_as(PAST_OF_CHANNELS)
        .bind(&json)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("read the history of the channels"))?;
    for (line, channel, image_id) in past {
        views.entry(LineId::from(line)).or_default().past.push((channel, ImageId::from(image_id)));
    }
    Ok(views)
}

/// Writes moves and their history. An image that a channel points to loses its mark.
async fn write(tx: &mut WriteTransaction, moved: &mut [Moved], at: DateTime<Utc>) -> Result<(), StoreError> {
    let now = at.timestamp_millis();
    for moved in moved {
        let Moved { line, by, who, unmarks } = &mut *moved;
        let wrote = failed("move a channel");
        let image_id = match &by.to {
            ChannelTarget::Image { image_id, above, .. } => {
                set(tx, line, &by.channel, Some(image_id), *above, now).await?;
                *unmarks = unmark(tx, image_id, Some(&format!("channel {} points to it", by.channel)), who, at).await?;
                Some(image_id.as_str())
            }
            ChannelTarget::Nothing { above } => {
                set(tx, line, &by.channel, None, *above, now).await?;
                None
            }
            ChannelTarget::Dropped => {
                let query = sqlx::query(DROP_CHANNEL).bind(line.as_str()).bind(&by.channel);
                query.execute(&mut **tx).await.map_err(failed("drop a channel"))?;
                None
            }
        };
        sqlx::query(INSERT_CHANNEL_HISTORY)
            .bind(now)
            .bind(line.as_str())
            .bind(&by.channel)
            .bind(image_id)
            .bind(&*who)
            .bind(&by.why)
            .execute(&mut **tx)
            .await
            .map_err(wrote)?;
        tx.record(at, moved.event());
    }
    Ok(())
}

async fn set(
    tx: &mut SqliteConnection,
    line: &LineId,
    channel: &str,
    image_id: Option<&ImageId>,
    above: i64,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query(SET_CHANNEL)
        .bind(line.as_str())
        .bind(channel)
        .bind(image_id.map(ImageId::as_str))
        .bind(above)
        .bind(now)
        .execute(tx)
        .await
        .map_err(failed("move a channel"))
        .map(|_| ())
}

async fn veto(
    tx: &mut SqliteConnection,
    image_id: &ImageId,
    reason: &str,
    who: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(SET_VETO)
        .bind(image_id.as_str())
        .bind(now.timestamp_millis())
        .bind(reason)
        .bind(who)
        .execute(tx)
        .await
        .map_err(failed("veto an image"))
        .map(|_| ())
}

/// Each channel move is its own failpoint: the number of commits before it depends on the start.
async fn commit(tx: WriteTransaction, moved: &[Moved]) -> Result<(), StoreError> {
    let pass = |moment: &str| moved.iter().for_each(|moved| failpoint::hit(moment, &moved.by.channel));
    pass("before");
    tx.commit().await.map_err(failed("commit moves of channels"))?;
    pass("after");
    Ok(())
}
