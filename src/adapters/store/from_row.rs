//! Structs from rows, by the names of their fields.

/// Implements `FromRow` for a struct with these fields. The derive of sqlx would build sqlx, SQLite and tokio a second time,
/// for the compiler.
macro_rules! from_row {
    ($type:ident { $($field:ident $(= $column:literal)?),* $(,)? }) => {
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $type {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get($crate::adapters::store::from_row::column!($field $(, $column)?))?),* })
            }
        }
    };
}

/// The name of a column: that of the field, unless another one is given.
macro_rules! column {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $column:literal) => {
        $column
    };
}

pub(super) use {column, from_row};
