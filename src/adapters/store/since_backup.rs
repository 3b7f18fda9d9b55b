//! What people decided after a backup was made. A restore takes over from the former history what keeps images, and names
//! the rest.

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::{Reader, StoreError, clock_steps::NEWEST_WRITE, failed, from_row::from_row, instant, learned::owner_of};
use crate::domain::{
    error::chain,
    pause::ITSELF,
    suggestion::shell_quoted,
    text::{LONGEST_TEXT, clean},
    time::rfc3339,
};

/// What is in force by the word of a person, or of a rule that people rely on. `latest` follows from the images.
pub(super) const DECISIONS: &str = "
SELECT 'pin' AS kind, image_id AS subject, '' AS value, since, until, reason, who FROM pins
UNION ALL SELECT 'veto', image_id, '', at, NULL, reason, who FROM vetoes
UNION ALL SELECT 'channel', line_id || '/' || channel, image_id, since, NULL, channel,
                 coalesce((SELECT h.who FROM channel_history h WHERE h.line_id = channels.line_id AND h.channel = channels.channel
                           ORDER BY h.id DESC LIMIT 1), '')
          FROM channels WHERE image_id IS NOT NULL AND channel <> 'latest'
UNION ALL SELECT 'pause', schedule_id, '', since, until, reason, who FROM pauses
UNION ALL SELECT 'acknowledgement', code || ' ' || subject_kind || ':' || subject_id, coalesce(acknowledged_until, ''), 0, NULL,
                 coalesce(acknowledged_reason, ''), acknowledged_by
          FROM problems WHERE acknowledged_by IS NOT NULL
ORDER BY 1, 2";

/// A pin of the former history.
pub(super) const KEEP_PIN: &str = "
INSERT INTO pins (image_id, since, until, reason, who) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (image_id) DO NOTHING";

/// A veto of the former history.
pub(super) const KEEP_VETO: &str = "
INSERT INTO vetoes (image_id, at, reason, who) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (image_id) DO NOTHING";

/// A decision as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    kind: String,
    subject: String,
    value: String,
    since: i64,
    until: Option<i64>,
    reason: String,
    who: String,
}

from_row!(Decision { kind, subject, value, since, until, reason, who });

/// By kind and subject.
type Decisions = BTreeMap<(String, String), Decision>;

/// Something that was decided after the backup, and is not in force in the restored history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostDecision {
    /// In words.
    pub what: String,
    /// The command that decides it again.
    pub command: String,
}

/// What a restored or imported history does not have of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SinceBackup {
    /// The last instant at which the restored history was written.
    #[serde(serialize_with = "as_text")]
    pub ends_at: Option<DateTime<Utc>>,
    /// Pins that were taken over from the former history.
    pub pins: usize,
    /// Vetoes that were taken over.
    pub vetoes: usize,
    /// What is lost.
    pub lost: Vec<LostDecision>,
    /// Why the former history could not be compared; `None` if it was, or if there was none.
    pub unread: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn as_text<S: serde::Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

impl SinceBackup {
    /// One sentence for the audit and the event of the next start.
    pub fn sentence(&self) -> String {
        let end = self.ends_at.map_or_else(|| "it has no end".to_owned(), |at| format!("it ends {}", rfc3339(at)));
        let taken = match (self.pins, self.vetoes) {
            (0, 0) => String::new(),
            (pins, vetoes) => format!("; taken over from the former history: pins {pins}, vetoes {vetoes}"),
        };
        let lost: Vec<&str> = self.lost.iter().take(NAMED).map(|one| one.what.as_str()).collect();
        let lost = match (&self.unread, lost.as_slice()) {
            (Some(why), _) => format!(
                "; the former history cannot be read ({why}): pins, vetoes, channels, acknowledgements and pauses since then are \
                 lost"
            ),
            (None, []) => String::new(),
            (None, lost) => {
                let more = self.lost.len().saturating_sub(NAMED);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                format!("; lost since then: {}{more}", lost.join(", "))
            }
        };
        format!("{end}{taken}{lost}")
    }
}

/// Maximum number of lost decisions in one sentence.
const NAMED: usize = 20;

/// Compares the history in `state_dir` with the one that will replace it, and takes over what keeps images: pins and vetoes,
/// if both are of the same owner.
///
/// # Errors
///
/// `StoreError` if the new history cannot be read or written. A former one that cannot be read is no error.
pub(super) async fn compare(
    state_dir: &Path,
    incoming: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> Result<SinceBackup, StoreError> {
    let ends_at: Option<i64> = sqlx::query_scalar(NEWEST_WRITE)
        .fetch_one(&mut *incoming)
        .await
        .map_err(failed("read when the backup was made"))?;
    let mut since = SinceBackup { ends_at: ends_at.map(instant), ..SinceBackup::default() };
    let (former, former_owner) = match former(state_dir).await {
        Ok(Some(former)) => former,
        Ok(None) => return Ok(since),
        Err(error) => {
            since.unread = Some(chain(&error));
            return Ok(since);
        }
    };
    let restored = decisions(&mut *incoming).await?;
    let owner = owner_of(&mut *incoming).await?;
    let is_ours = owner.is_none() || former_owner.is_none() || owner == former_owner;
    for (key, decision) in &former {
        if decision.until.is_some_and(|until| until <= now.timestamp_millis()) {
            continue;
        }
        match restored.get(key) {
            Some(same) if same.value == decision.value => {}
            Some(_) | None if decision.kind == "pin" && is_ours => {
                keep(incoming, KEEP_PIN, decision).await?;
                since.pins += 1;
            }
            Some(_) | None if decision.kind == "veto" && is_ours => {
                keep(incoming, KEEP_VETO, decision).await?;
                since.vetoes += 1;
            }
            Some(_) | None => since.lost.push(decision.lost()),
        }
    }
    let again = restored.iter().filter(|(key, _)| !former.contains_key(*key));
    since.lost.extend(again.filter_map(|(_, decision)| decision.in_force_again()));
    Ok(since)
}

/// Decisions and owner of the history that is replaced; `None` if there is none.
async fn former(state_dir: &Path) -> Result<Option<(Decisions, Option<String>)>, StoreError> {
    let reader = match Reader::open(state_dir).await {
        Ok(reader) => reader,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = async {
        let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
        Ok(Some((decisions(&mut connection).await?, owner_of(&mut connection).await?)))
    };
    let read = read.await;
    reader.close().await;
    read
}

async fn decisions(connection: &mut SqliteConnection) -> Result<Decisions, StoreError> {
    let rows: Vec<Decision> =
        sqlx::query_as(DECISIONS).fetch_all(connection).await.map_err(failed("read what people decided"))?;
    Ok(rows.into_iter().map(Decision::cleaned).map(|one| ((one.kind.clone(), one.subject.clone()), one)).collect())
}

async fn keep(connection: &mut SqliteConnection, sql: &'static str, of: &Decision) -> Result<(), StoreError> {
    let query = sqlx::query(sql).bind(&of.subject).bind(of.since);
    let query = if sql == KEEP_PIN { query.bind(of.until) } else { query };
    let kept = query.bind(&of.reason).bind(&of.who).execute(connection).await;
    kept.map_err(failed("take over what people decided")).map(|_| ())
}

impl Decision {
    /// The former history was not examined as the backup was.
    fn cleaned(mut self) -> Self {
        for text in [&mut self.subject, &mut self.value, &mut self.reason, &mut self.who] {
            *text = clean(text, LONGEST_TEXT).into_owned();
        }
        self
    }

    fn lost(&self) -> LostDecision {
        let Self { kind, subject, value, reason, until, .. } = self;
        let reason = shell_quoted(reason);
        let until =
            until.map_or_else(String::new, |until| format!(" --until {}", shell_quoted(&rfc3339(instant(until)))));
        let (what, command) = match kind.as_str() {
            "pin" => (format!("the pin of {subject}"), format!("pin {subject} --reason {reason}{until}")),
            "veto" => (format!("the veto of {subject}"), format!("veto {subject} --reason {reason}")),
            // By hand it would stay behind the images that its rule finds next.
            "channel" if self.who == ITSELF => {
                let schedule = shell_quoted(subject.split('/').next().unwrap_or_default());
                let what = format!("channel {subject} pointed to {value} by its rule, and moves by itself again");
                (what, format!("channels {schedule}"))
            }
            "channel" => (format!("channel {subject} pointed to {value}"), format!("promote {value} {}", self.reason)),
            "pause" => (format!("the pause of {subject}"), format!("pause {subject} --reason {reason}{until}")),
            _ => {
                let until = if value.is_empty() { String::new() } else { format!(" --until {}", shell_quoted(value)) };
                (format!("the acknowledgement of {subject}"), format!("ack {subject} --reason {reason}{until}"))
            }
        };
        LostDecision { what, command: format!("imagebaked {command}") }
    }

    /// Of something that was taken back since; the end of a channel or of an acknowledgement comes by itself.
    fn in_force_again(&self) -> Option<LostDecision> {
        let subject = &self.subject;
        let (what, command) = match self.kind.as_str() {
            "pin" => (format!("{subject} is pinned again"), format!("imagebaked unpin {subject}")),
            "veto" => (format!("{subject} is vetoed again"), format!("imagebaked unveto {subject}")),
            "pause" => (format!("{subject} is paused again"), format!("imagebaked resume {subject}")),
            _ => return None,
        };
        Some(LostDecision { what, command })
    }
}
