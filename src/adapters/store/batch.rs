//! Changes of many rows: one statement for a thousand, which come as one JSON array.

use serde::Serialize;

use super::{StoreError, failed};

/// Rows per statement: a burst of slots needs one or two statements, and ten thousand new schedules no peak of memory.
pub(super) const BATCH: usize = 1000;

/// Executes a batch statement; an empty batch does nothing.
pub(super) async fn execute<T: Serialize>(
    tx: &mut sqlx::SqliteConnection,
    sql: &'static str,
    rows: &[T],
) -> Result<(), StoreError> {
    for batch in rows.chunks(BATCH) {
        let json = serde_json::to_string(batch).map_err(StoreError::Encode)?;
        sqlx::query(sql).bind(json).execute(&mut *tx).await.map_err(failed("write a batch of rows"))?;
    }
    Ok(())
}
