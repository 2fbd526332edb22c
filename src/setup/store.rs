//! Rows of configuration in the database: read, brought into the server's own form, written. Names of tables and columns come
//! from the catalogue and are quoted; values are bound.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::shape::{Kind, Shape};
use crate::host::record::quote;

/// A row by column.
pub type Row = Map<String, Value>;

/// A secret of a provider as far as it may be known: its name, and the credential that holds it; `None`: a value is stored.
pub type Credentials = BTreeMap<String, Option<String>>;

/// A row that stands.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What tells it apart.
    pub key: Vec<String>,
    /// Its columns.
    pub row: Row,
    /// Of a provider: its secrets.
    pub credentials: Credentials,
}

/// How many rows cannot be told apart by a key, and so cannot stand in a file.
///
/// # Errors
/// The server's.
pub async fn nameless(tx: &Transaction<'_>, shape: &Shape) -> Result<i64, tokio_postgres::Error> {
    let missing: Vec<String> = shape
        .key
        .iter()
        .map(|c| format!("t.{} is null", quote(c)))
        .collect();
    let query = format!(
        "select count(*) from {} t where ({}) and {}",
        shape.table(),
        missing.join(" or "),
        shape.section.only.unwrap_or("true")
    );
    Ok(tx.query_one(&query, &[]).await?.get(0))
}

/// All rows of a section that have a key, by key.
///
/// # Errors
/// The server's.
pub async fn load(tx: &Transaction<'_>, shape: &Shape) -> Result<Vec<Stored>, tokio_postgres::Error> {
    let order: Vec<String> = shape.key.iter().map(|c| format!("t.{}", quote(c))).collect();
    let columns: Vec<String> = shape
        .columns
        .iter()
        .map(|c| format!("t.{}", quote(&c.name)))
        .collect();
    let query = format!(
        "select to_jsonb(c.*) from {} t cross join lateral (select {}) c where {} and {} order by {}",
        shape.table(),
        columns.join(", "),
        order
            .iter()
            .map(|c| format!("{c} is not null"))
            .collect::<Vec<_>>()
            .join(" and "),
        shape.section.only.unwrap_or("true"),
        order.join(", ")
    );
    let mut secrets = match shape.section.table {
        "provider" => credentials(tx).await?,
        _ => BTreeMap::new(),
    };
    let rows = tx.query(&query, &[]).await?;
    let stored = rows.iter().filter_map(|row| match row.get::<_, Value>(0) {
        Value::Object(row) => {
            let key = shape.key_of(&row);
            let credentials = key.first().and_then(|name| secrets.remove(name));
            let credentials = credentials.unwrap_or_default();
            Some(Stored {
                key,
                row,
                credentials,
            })
        }
        _ => None,
    });
    Ok(stored.collect())
}

async fn credentials(tx: &Transaction<'_>) -> Result<BTreeMap<String, Credentials>, tokio_postgres::Error> {
    let query = "select p.name, s.name, s.credential from sicantik_notify.provider_secret s \
                 join sicantik_notify.provider p on p.id = s.provider_id";
    let mut all: BTreeMap<String, Credentials> = BTreeMap::new();
    for row in tx.query(query, &[]).await? {
        all.entry(row.get(0)).or_default().insert(row.get(1), row.get(2));
    }
    Ok(all)
}

/// Rows as the server writes them: `5 minutes` becomes what it keeps, so that equal values look equal.
///
/// # Errors
/// The server's, such as for a length of time that is none; the transaction goes on.
pub async fn normal(
    tx: &Transaction<'_>,
    shape: &Shape,
    rows: Vec<Row>,
) -> Result<Result<Vec<Row>, tokio_postgres::Error>, tokio_postgres::Error> {
    let plain = |kind| matches!(kind, Kind::Interval | Kind::Moment | Kind::Local);
    if rows.is_empty() || !shape.columns.iter().any(|c| plain(c.kind)) {
        return Ok(Ok(rows));
    }
    let query = format!(
        "select to_jsonb(r.*) from jsonb_populate_recordset(null::{}, $1) r",
        shape.table()
    );
    let asked = Value::Array(rows.iter().cloned().map(Value::Object).collect());
    let answer = attempt(tx, async { tx.query(&query, &[&asked]).await }).await?;
    Ok(answer.map(|found| {
        let mut normal = Vec::with_capacity(rows.len());
        for (mut row, found) in rows.into_iter().zip(&found) {
            let found: Value = found.get(0);
            for column in shape.columns.iter().filter(|c| plain(c.kind)) {
                if let Some(value) = found.get(&column.name) {
                    row.insert(column.name.clone(), value.clone());
                }
            }
            normal.push(row);
        }
        normal
    }))
}

/// Adds a row.
///
/// # Errors
/// The server's; the transaction goes on.
pub async fn insert(
    tx: &Transaction<'_>,
    shape: &Shape,
    row: &Row,
) -> Result<Result<(), tokio_postgres::Error>, tokio_postgres::Error> {
    let columns: Vec<String> = row.keys().map(|c| quote(c)).collect();
    let listed = columns.join(", ");
    let table = shape.table();
    let query = format!(
        "insert into {table} ({listed}) select {listed} from jsonb_populate_record(null::{table}, $1)"
    );
    let values = Value::Object(row.clone());
    attempt(tx, async { tx.execute(&query, &[&values]).await.map(drop) }).await
}

/// Changes these columns of a row.
///
/// # Errors
/// The server's; the transaction goes on.
pub async fn update(
    tx: &Transaction<'_>,
    shape: &Shape,
    key: &[String],
    row: &Row,
) -> Result<Result<(), tokio_postgres::Error>, tokio_postgres::Error> {
    let table = shape.table();
    let mut set: Vec<String> = row.keys().map(|c| format!("{0} = n.{0}", quote(c))).collect();
    if shape.section.table == "blacklist" {
        set.push("changed_at = sicantik_notify.clock()".into());
    }
    let query = format!(
        "update {table} t set {} from jsonb_populate_record(null::{table}, $1) n where {}",
        set.join(", "),
        matching(shape, 2)
    );
    let values = Value::Object(row.clone());
    attempt(tx, async { tx.execute(&query, &[&values, &key]).await.map(drop) }).await
}

/// Removes a row.
///
/// # Errors
/// The server's; the transaction goes on.
pub async fn delete(
    tx: &Transaction<'_>,
    shape: &Shape,
    key: &[String],
) -> Result<Result<(), tokio_postgres::Error>, tokio_postgres::Error> {
    let query = format!("delete from {} t where {}", shape.table(), matching(shape, 1));
    attempt(tx, async { tx.execute(&query, &[&key]).await.map(drop) }).await
}

fn matching(shape: &Shape, parameter: usize) -> String {
    let parts = shape.key.iter().zip(1..);
    let parts: Vec<String> = parts
        .map(|(column, place)| format!("t.{} = (${parameter}::text[])[{place}]", quote(column)))
        .collect();
    parts.join(" and ")
}

/// Says which credential holds a secret of a provider; a value that stood there is gone.
///
/// # Errors
/// The server's; the transaction goes on.
pub async fn name_credential(
    tx: &Transaction<'_>,
    provider: &str,
    secret: &str,
    credential: &str,
) -> Result<Result<(), tokio_postgres::Error>, tokio_postgres::Error> {
    let query = "insert into sicantik_notify.provider_secret (provider_id, name, credential) \
                 select p.id, $2, $3 from sicantik_notify.provider p where p.name = $1 \
                 on conflict (provider_id, name) do update set value = null, credential = excluded.credential";
    attempt(tx, async {
        tx.execute(query, &[&provider, &secret, &credential])
            .await
            .map(drop)
    })
    .await
}

/// The definition of a constraint, for people.
///
/// # Errors
/// The server's.
pub async fn constraint(
    tx: &Transaction<'_>,
    table: &str,
    name: &str,
) -> Result<Option<(String, Vec<String>)>, tokio_postgres::Error> {
    let query = "select pg_get_constraintdef(c.oid), array(select a.attname::text from pg_attribute a \
                 where a.attrelid = c.conrelid and a.attnum = any (c.conkey) order by array_position(c.conkey, a.attnum)) \
                 from pg_constraint c where c.conrelid = to_regclass($1) and c.conname = $2";
    let row = tx
        .query_opt(query, &[&format!("sicantik_notify.{}", quote(table)), &name])
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// Work that may fail without taking the transaction along.
async fn attempt<T>(
    tx: &Transaction<'_>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<Result<T, tokio_postgres::Error>, tokio_postgres::Error> {
    tx.batch_execute("savepoint setup").await?;
    let result = work.await;
    tx.batch_execute(match result {
        Ok(_) => "release savepoint setup",
        Err(_) => "rollback to savepoint setup; release savepoint setup",
    })
    .await?;
    match result {
        // Not what was written is wrong, but the moment.
        Err(error) if is_passing(&error) => Err(error),
        result => Ok(result),
    }
}

/// Conflicts with others: another try may do.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    let passing = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
    ];
    error.code().is_none_or(|code| passing.contains(code))
}

/// Whether a value is what stands where nobody said anything.
pub fn is_default(shape: &Shape, column: &str, value: &Value) -> bool {
    shape.column(column).is_some_and(|c| c.default == *value)
}

/// A value for people: text as it is, the rest as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(empty)".to_owned(),
        Value::String(text) => json!(text).to_string(),
        other => other.to_string(),
    }
}
