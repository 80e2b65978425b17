//! Whether the database can be had, without making or changing anything.

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::open;
use crate::store::{StoreError, version_told};

/// What is there, in words.
pub(super) async fn check(options: &PgConnectOptions, schema: &str) -> Result<String, StoreError> {
    let mut connection = open::connect(options, schema).await?;
    let read = version(&mut connection, schema).await;
    let version = read.map_err(|error| StoreError::Shared { message: format!("it cannot be read: {error}") })?;
    let (newest, place) = (open::newest(), format!("{}:{}", options.get_host(), options.get_port()));
    match version {
        Some(version) if version > newest => Err(StoreError::Shared {
            message: format!(
                "it was written by a newer Tidegate (its tables are of version {version}, this program's of {newest}): \
                 run that one, or name another database"
            ),
        }),
        None if !may_make(&mut connection, schema).await? => Err(StoreError::Shared {
            message: format!("{place}: the schema {schema} is not there, and this user may make none"),
        }),
        version => {
            // What was asked is answered, however the connection ends.
            let _ = connection.close().await;
            Ok(format!("{place} answers; schema {schema}: {}", version_told(version, newest)))
        }
    }
}

/// The version of the fleet's tables; `None`: there are none yet.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<Option<i64>, sqlx::Error> {
    const THERE: &str = "SELECT to_regclass($1) IS NOT NULL";
    const VERSION: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let table = format!("{schema}._sqlx_migrations");
    let is_there: bool = sqlx::query_scalar(THERE).bind(table).fetch_one(&mut *connection).await?;
    if is_there { sqlx::query_scalar(VERSION).fetch_one(connection).await } else { Ok(None) }
}

/// Whether a loop could make its tables.
async fn may_make(connection: &mut PgConnection, schema: &str) -> Result<bool, StoreError> {
    const MAY: &str = "SELECT coalesce(has_schema_privilege(to_regnamespace($1), 'CREATE'), \
                       has_database_privilege(current_database(), 'CREATE'))";
    let may = sqlx::query_scalar(MAY).bind(schema).fetch_one(connection).await;
    may.map_err(|error| StoreError::Shared { message: format!("it cannot be read: {error}") })
}

#[cfg(test)]
mod tests {
    use crate::store::StoreError;
    use crate::store::postgres::PostgresStore;

    #[tokio::test]
    async fn a_database_that_does_not_answer_is_not_reached() {
        let address = "postgres://ann:hush@127.0.0.1:9/lab";
        let error = PostgresStore::check(address, &"lab".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreached { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("127.0.0.1:9 cannot be reached") && !told.contains("hush"), "{told}");
    }
}
