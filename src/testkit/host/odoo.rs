//! A writer that behaves as Odoo's ORM does, seen from the database.
//!
//! REPEATABLE READ transactions; `create` is an INSERT at once, without stored computed columns; `write` goes to a cache and reaches
//! the database at a flush, merged with other writes of the same row; a flush is `UPDATE … FROM (VALUES …)`, with literals
//! in the text and always with `write_uid` and `write_date`; computed columns follow in a second UPDATE.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{HostError, OWNER};

/// Rows per statement.
const CHUNK: usize = 100;

/// How often Odoo tries a request in all.
const TRIES: u32 = 5;

/// A column's new value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer or an id.
    Int(i64),
    /// Text; also dates, timestamps and numbers with decimals, in PostgreSQL's notation.
    Text(String),
    /// jsonb, as for translated columns.
    Json(serde_json::Value),
}

impl Value {
    fn literal(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => quote(text),
            Self::Json(value) => quote(&value.to_string()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<chrono::NaiveDate> for Value {
    fn from(day: chrono::NaiveDate) -> Self {
        Self::Text(day.to_string())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Columns and their values, as given to `create` and `write`.
pub type Values<'a> = &'a [(&'a str, Value)];

fn quote(text: &str) -> String {
    // standard_conforming_strings is on: only the quote itself is special.
    format!("'{}'", text.replace('\'', "''"))
}

fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Dirty rows of one table, as the ORM's cache holds them.
type Dirty = BTreeMap<i32, Row>;

/// One row's changed columns.
type Row = BTreeMap<String, Value>;

/// One connection of one user of Odoo.
#[derive(Debug)]
pub struct OdooSession {
    client: Client,
    uid: i32,
    retries: u32,
    pause: Duration,
    types: BTreeMap<String, BTreeMap<String, String>>,
    dirty: BTreeMap<String, Dirty>,
    computed: BTreeMap<String, Vec<i32>>,
}

impl OdooSession {
    /// Connects with this string (see `Cluster::url_as("odoo", …)`), as this user of Odoo.
    pub async fn connect(url: &str, uid: i32) -> Result<Self, HostError> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self::new(client, uid))
    }

    /// Takes a connection over; it should be one of the role `odoo`.
    pub fn new(client: Client, uid: i32) -> Self {
        Self {
            client,
            uid,
            retries: 0,
            pause: Duration::from_millis(20),
            types: BTreeMap::new(),
            dirty: BTreeMap::new(),
            computed: BTreeMap::new(),
        }
    }

    /// Longest pause before the first repetition (doubled for each further one). Odoo's is a second.
    pub fn set_retry_pause(&mut self, pause: Duration) {
        self.pause = pause;
    }

    /// How many requests were repeated so far, because of conflicts.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// The connection, for statements that are not the ORM's.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Gives the connection back.
    pub fn into_client(self) -> Client {
        self.client
    }

    /// Begins a request's transaction.
    pub async fn begin(&mut self) -> Result<(), HostError> {
        self.dirty.clear();
        self.computed.clear();
        Ok(self
            .client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await?)
    }

    /// Flushes and commits.
    pub async fn commit(&mut self) -> Result<(), HostError> {
        self.flush().await?;
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    /// Drops what was not flushed, and rolls back.
    pub async fn rollback(&mut self) -> Result<(), HostError> {
        self.dirty.clear();
        self.computed.clear();
        Ok(self.client.batch_execute("ROLLBACK").await?)
    }

    /// A request: a transaction that is repeated on 40001, 40P01 and 55P03, up to five tries, with a random pause.
    pub async fn request<T>(
        &mut self,
        mut body: impl AsyncFnMut(&mut Self) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.begin().await?;
            let result = match body(self).await {
                Ok(value) => self.commit().await.map(|()| value),
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // After a cut connection this fails too; the first error says more.
            let _ = self.rollback().await;
            if !error.is_retryable() {
                return Err(error);
            }
            if tries >= TRIES {
                return Err(HostError::Retries {
                    tries,
                    source: Box::new(error),
                });
            }
            self.retries += 1;
            let longest = self.pause.as_secs_f64() * f64::from(1 << (tries - 1));
            tokio::time::sleep(Duration::from_secs_f64(longest * rand::random::<f64>())).await;
        }
    }

    /// `create`: inserts at once; columns that Odoo computes follow with the next flush. Returns the ids.
    ///
    /// All rows name the same columns. Defaults of the ORM are added: `status` and `state`, the document's number and
    /// bucket, `active` and `type` of a partner.
    pub async fn create(&mut self, table: &str, rows: &[Vec<(&str, Value)>]) -> Result<Vec<i32>, HostError> {
        let mut ids = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(CHUNK) {
            let mut complete = Vec::with_capacity(chunk.len());
            for row in chunk {
                complete.push(self.with_defaults(table, row).await?);
            }
            let mut columns: Vec<String> = complete.iter().flat_map(BTreeMap::keys).cloned().collect();
            columns.sort();
            columns.dedup();
            self.check_columns(table, columns.iter().map(String::as_str))
                .await?;
            let list: Vec<String> = columns.iter().map(|column| name(column)).collect();
            let tuples: Vec<String> = complete
                .iter()
                .map(|row| {
                    let values: Vec<String> = columns
                        .iter()
                        .map(|column| row.get(column).map_or("NULL".to_owned(), Value::literal))
                        .collect();
                    format!(
                        "({}, {uid}, now() at time zone 'UTC', {uid}, now() at time zone 'UTC')",
                        values.join(", "),
                        uid = self.uid
                    )
                })
                .collect();
            let sql = format!(
                "INSERT INTO {} ({}, \"create_uid\", \"create_date\", \"write_uid\", \"write_date\") VALUES {} RETURNING \"id\"",
                name(table),
                list.join(", "),
                tuples.join(", ")
            );
            for message in self.client.simple_query(&sql).await? {
                if let SimpleQueryMessage::Row(row) = message {
                    ids.extend(row.get(0).and_then(|id| id.parse::<i32>().ok()));
                }
            }
        }
        self.computed.entry(table.to_owned()).or_default().extend(&ids);
        Ok(ids)
    }

    async fn with_defaults(
        &self,
        table: &str,
        row: &[(&str, Value)],
    ) -> Result<BTreeMap<String, Value>, HostError> {
        let mut complete: BTreeMap<String, Value> = row
            .iter()
            .map(|(column, value)| ((*column).to_owned(), value.clone()))
            .collect();
        let defaults: &[(&str, Value)] = match table {
            "sicantik_permit" => &[("status", Value::Text("active".to_owned()))],
            "sicantik_document" => &[
                ("state", Value::Text("draft".to_owned())),
                ("minio_bucket", Value::Text("sicantik-documents".to_owned())),
            ],
            "signature_workflow" => &[("state", Value::Text("draft".to_owned()))],
            "res_partner" => &[
                ("active", Value::Bool(true)),
                ("type", Value::Text("contact".to_owned())),
            ],
            _ => &[],
        };
        for (column, value) in defaults {
            complete
                .entry((*column).to_owned())
                .or_insert_with(|| value.clone());
        }
        if table == "sicantik_document" && !complete.contains_key("document_number") {
            let next = "select 'DOC/' || extract(year from now()) || '/' ||
                lpad(nextval('ir_sequence_sicantik_document')::text, 5, '0')";
            let number: String = self.client.query_one(next, &[]).await?.get(0);
            complete.insert("document_number".to_owned(), Value::Text(number));
        }
        Ok(complete)
    }

    /// `write`: the same values for all these rows. Nothing reaches the database before the next flush.
    ///
    /// Name an unchanged column with its present value to get it into the SET list, as recomputed fields do.
    pub fn write(&mut self, table: &str, ids: &[i32], values: Values<'_>) {
        let rows = self.dirty.entry(table.to_owned()).or_default();
        for id in ids {
            let row = rows.entry(*id).or_default();
            for (column, value) in values {
                row.insert((*column).to_owned(), value.clone());
            }
        }
    }

    /// Sends what was written: one UPDATE per set of columns and 100 rows, then the recomputed columns.
    pub async fn flush(&mut self) -> Result<(), HostError> {
        for (table, rows) in std::mem::take(&mut self.dirty) {
            let mut groups: BTreeMap<Vec<String>, Vec<(i32, Row)>> = BTreeMap::new();
            for (id, row) in rows {
                groups
                    .entry(row.keys().cloned().collect())
                    .or_default()
                    .push((id, row));
            }
            for (columns, rows) in groups {
                for chunk in rows.chunks(CHUNK) {
                    self.update(&table, &columns, chunk).await?;
                }
                let ids: Vec<i32> = rows.iter().map(|(id, _)| *id).collect();
                if recomputes(&table, &columns) {
                    self.computed.entry(table.clone()).or_default().extend(&ids);
                }
                if table == "sicantik_permit" && touches(&columns, &["permit_number", "permit_type_id"]) {
                    // Stored copies on the permit's documents.
                    let sql = format!(
                        "select id from sicantik_document where permit_id in ({})",
                        joined(&ids)
                    );
                    let documents: Vec<i32> = self
                        .client
                        .query(&sql, &[])
                        .await?
                        .iter()
                        .map(|row| row.get(0))
                        .collect();
                    self.computed
                        .entry("sicantik_document".to_owned())
                        .or_default()
                        .extend(&documents);
                }
            }
        }
        for (table, ids) in std::mem::take(&mut self.computed) {
            for chunk in ids.chunks(CHUNK) {
                self.recompute(&table, chunk).await?;
            }
        }
        Ok(())
    }

    async fn update(
        &mut self,
        table: &str,
        columns: &[String],
        rows: &[(i32, Row)],
    ) -> Result<(), HostError> {
        self.check_columns(table, columns.iter().map(String::as_str))
            .await?;
        let types = self.types.get(table).cloned().unwrap_or_default();
        let typed = |column: &str| types.get(column).cloned().unwrap_or_else(|| "text".to_owned());
        let mut set: Vec<String> = columns
            .iter()
            .map(|column| {
                let (quoted, cast) = (name(column), typed(column));
                // A translated value merges with the stored languages.
                match rows
                    .iter()
                    .any(|(_, row)| matches!(row.get(column), Some(Value::Json(_))))
                {
                    true => format!(
                        "{quoted} = coalesce({}.{quoted}, '{{}}'::jsonb) || \"__tmp\".{quoted}::{cast}",
                        name(table)
                    ),
                    false => format!("{quoted} = \"__tmp\".{quoted}::{cast}"),
                }
            })
            .collect();
        set.push("\"write_date\" = \"__tmp\".\"write_date\"::timestamp".to_owned());
        set.push("\"write_uid\" = \"__tmp\".\"write_uid\"::int4".to_owned());
        let names: Vec<String> = columns.iter().map(|column| name(column)).collect();
        let tuples: Vec<String> = rows
            .iter()
            .map(|(id, row)| {
                let values: Vec<String> = columns
                    .iter()
                    .map(|column| row.get(column).map_or("NULL".to_owned(), Value::literal))
                    .collect();
                format!(
                    "({id}, {}, now() at time zone 'UTC', {})",
                    values.join(", "),
                    self.uid
                )
            })
            .collect();
        let sql = format!(
            "UPDATE {table} SET {} FROM (VALUES {}) AS \"__tmp\"(\"id\", {}, \"write_date\", \"write_uid\") \
             WHERE {table}.\"id\" = \"__tmp\".\"id\"",
            set.join(", "),
            tuples.join(", "),
            names.join(", "),
            table = name(table)
        );
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// The second UPDATE of a row: stored computed and related columns.
    async fn recompute(&mut self, table: &str, ids: &[i32]) -> Result<(), HostError> {
        if ids.is_empty() {
            return Ok(());
        }
        let audit = format!(
            "\"write_date\" = now() at time zone 'UTC', \"write_uid\" = {}",
            self.uid
        );
        let list = joined(ids);
        let sql = match table {
            "sicantik_permit" => format!(
                "UPDATE \"sicantik_permit\" SET \"days_until_expiry\" = \"__tmp\".\"days\"::int4, \
                 \"expiry_status\" = \"__tmp\".\"status\"::varchar, {audit} \
                 FROM (SELECT id, coalesce(expiry_date - current_date, 0) AS days, \
                    CASE WHEN expiry_date IS NULL THEN NULL WHEN expiry_date < current_date THEN 'expired' \
                    WHEN expiry_date <= current_date + 30 THEN 'critical' \
                    WHEN expiry_date <= current_date + 60 THEN 'warning' ELSE 'ok' END AS status \
                    FROM sicantik_permit WHERE id IN ({list})) AS \"__tmp\" WHERE \"sicantik_permit\".id = \"__tmp\".id"
            ),
            "sicantik_document" => format!(
                "UPDATE \"sicantik_document\" SET \"permit_number\" = p.permit_number, \
                 \"permit_type_id\" = p.permit_type_id, \
                 \"minio_url\" = 'http://localhost:9000/' || minio_bucket || '/' || minio_object_name, \
                 \"verification_url\" = 'https://sicantik.example.com/verify/' || sicantik_document.id, \
                 \"download_url\" = 'https://sicantik.example.com/download/' || sicantik_document.id, {audit} \
                 FROM sicantik_permit p WHERE p.id = permit_id AND sicantik_document.id IN ({list})"
            ),
            "signature_workflow" => format!(
                "UPDATE \"signature_workflow\" SET \"document_number\" = d.document_number, \
                 \"permit_number\" = d.permit_number, \"progress\" = CASE signature_workflow.state \
                 WHEN 'pending' THEN 25 WHEN 'approved' THEN 50 WHEN 'signing' THEN 75 WHEN 'signed' THEN 100 ELSE 0 END, {audit} \
                 FROM sicantik_document d WHERE d.id = document_id AND signature_workflow.id IN ({list})"
            ),
            "res_partner" => {
                self.check_columns(table, std::iter::empty()).await?;
                let mobile = self
                    .types
                    .get(table)
                    .is_some_and(|types| types.contains_key("mobile"));
                let number = if mobile {
                    "coalesce(nullif(mobile, ''), phone)"
                } else {
                    "phone"
                };
                format!(
                    "UPDATE \"res_partner\" SET \"complete_name\" = name, \
                     \"commercial_partner_id\" = coalesce(parent_id, id), \
                     \"email_normalized\" = lower(nullif(email, '')), \"phone_sanitized\" = (SELECT CASE \
                        WHEN digits ~ '^08[0-9]{{8,11}}$' THEN '+62' || substr(digits, 2) \
                        WHEN digits ~ '^[+]?62[1-5789][0-9]{{7,11}}$' THEN '+' || ltrim(digits, '+') \
                        WHEN digits ~ '^[+](?!62)[1-9][0-9]{{7,14}}$' THEN digits END \
                        FROM regexp_replace({number}, '[-. ()]', '', 'g') AS digits), {audit} WHERE id IN ({list})"
                )
            }
            _ => return Ok(()),
        };
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// `unlink`. Foreign keys do the rest inside the server, without `write_date`.
    pub async fn unlink(&mut self, table: &str, ids: &[i32]) -> Result<(), HostError> {
        self.flush().await?;
        let sql = format!("DELETE FROM {} WHERE id IN ({})", name(table), joined(ids));
        match ids {
            [] => Ok(()),
            _ => Ok(self.client.batch_execute(&sql).await?),
        }
    }

    /// Flushes and sets a savepoint; returns its name.
    pub async fn savepoint(&mut self) -> Result<String, HostError> {
        self.flush().await?;
        let bits = rand::random::<u128>();
        let hex = format!("{bits:032x}");
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        let savepoint = format!("{a}-{b}-{c}-{d}-{e}");
        self.client
            .batch_execute(&format!("SAVEPOINT {}", name(&savepoint)))
            .await?;
        Ok(savepoint)
    }

    /// Undoes everything since the savepoint, flushed or not.
    pub async fn rollback_to(&mut self, savepoint: &str) -> Result<(), HostError> {
        self.dirty.clear();
        self.computed.clear();
        let quoted = name(savepoint);
        let sql = format!("ROLLBACK TO SAVEPOINT {quoted}; RELEASE SAVEPOINT {quoted}");
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// Flushes and keeps what was done since the savepoint.
    pub async fn release(&mut self, savepoint: &str) -> Result<(), HostError> {
        self.flush().await?;
        Ok(self
            .client
            .batch_execute(&format!("RELEASE SAVEPOINT {}", name(savepoint)))
            .await?)
    }

    /// What every sync does: a new `last_sync_date` on every permit, 100 rows a statement. Returns how many.
    pub async fn sync(&mut self) -> Result<usize, HostError> {
        self.begin().await?;
        let rows = self
            .client
            .query("select id from sicantik_permit order by id", &[])
            .await?;
        let ids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        let now: String = self
            .client
            .query_one(
                "select date_trunc('second', clock_timestamp() at time zone 'UTC')::text",
                &[],
            )
            .await?
            .get(0);
        self.write("sicantik_permit", &ids, &[("last_sync_date", now.into())]);
        self.commit().await?;
        Ok(ids.len())
    }

    /// The nightly cron: active permits past their date become `expired`, all in one transaction, not repeated on
    /// conflict; the computed columns follow in a second UPDATE. Returns the ids.
    pub async fn nightly_expiry(&mut self) -> Result<Vec<i32>, HostError> {
        self.begin().await?;
        let due = "select id from sicantik_permit where status = 'active' and expiry_date < current_date order by id";
        let ids: Vec<i32> = self
            .client
            .query(due, &[])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        self.write("sicantik_permit", &ids, &[("status", "expired".into())]);
        self.flush().await?;
        self.computed
            .entry("sicantik_permit".to_owned())
            .or_default()
            .extend(&ids);
        self.commit().await?;
        Ok(ids)
    }

    /// Marks a module `to upgrade`, in a transaction of its own, as the first step of `-u`.
    pub async fn start_upgrade(&mut self, module: &str) -> Result<(), HostError> {
        self.module_state(module, "to upgrade").await
    }

    /// Marks a module `installed` again and moves the registry's signal.
    pub async fn finish_upgrade(&mut self, module: &str) -> Result<(), HostError> {
        self.module_state(module, "installed").await?;
        let signal = "do $$ begin
            if to_regclass('public.base_registry_signaling') is not null then
                perform nextval('public.base_registry_signaling');
            else
                insert into public.orm_signaling_registry default values;
            end if;
        end $$";
        Ok(self.client.batch_execute(signal).await?)
    }

    async fn module_state(&self, module: &str, state: &str) -> Result<(), HostError> {
        let sql =
            "update ir_module_module set state = $2, write_date = now() at time zone 'UTC' where name = $1";
        self.client.execute(sql, &[&module, &state]).await?;
        Ok(())
    }

    /// An upgrade's `ALTER TABLE … ADD COLUMN`; with a literal, followed by the back-fill over the whole table.
    pub async fn add_column(
        &mut self,
        table: &str,
        column: &str,
        sql_type: &str,
        backfill: Option<&str>,
    ) -> Result<(), HostError> {
        let (table_name, quoted) = (name(table), name(column));
        let mut sql = format!("ALTER TABLE {table_name} ADD COLUMN {quoted} {sql_type};");
        if let Some(value) = backfill {
            sql.push_str(&format!(
                "UPDATE {table_name} SET {quoted} = {value} WHERE {quoted} IS NULL;"
            ));
        }
        self.ddl(table, &sql).await
    }

    /// An upgrade's `ALTER COLUMN … TYPE`, as when a size or `translate` changes. `using` is an SQL expression.
    pub async fn alter_type(
        &mut self,
        table: &str,
        column: &str,
        sql_type: &str,
        using: Option<&str>,
    ) -> Result<(), HostError> {
        let (table_name, quoted) = (name(table), name(column));
        let using = using.map_or_else(|| format!("{quoted}::{sql_type}"), str::to_owned);
        let sql = format!("ALTER TABLE {table_name} ALTER COLUMN {quoted} TYPE {sql_type} USING {using}");
        self.ddl(table, &sql).await
    }

    /// A migration script's `RENAME COLUMN`.
    pub async fn rename_column(&mut self, table: &str, from: &str, to: &str) -> Result<(), HostError> {
        let sql = format!(
            "ALTER TABLE {} RENAME COLUMN {} TO {}",
            name(table),
            name(from),
            name(to)
        );
        self.ddl(table, &sql).await
    }

    /// A removed field: `DROP COLUMN … CASCADE`.
    pub async fn drop_column(&mut self, table: &str, column: &str) -> Result<(), HostError> {
        self.ddl(
            table,
            &format!("ALTER TABLE {} DROP COLUMN {} CASCADE", name(table), name(column)),
        )
        .await
    }

    /// An uninstalled model: `DROP TABLE … CASCADE`.
    pub async fn drop_table(&mut self, table: &str) -> Result<(), HostError> {
        self.ddl(table, &format!("DROP TABLE {} CASCADE", name(table)))
            .await
    }

    /// Runs inside the open transaction if there is one, else on its own.
    async fn ddl(&mut self, table: &str, sql: &str) -> Result<(), HostError> {
        self.flush().await?;
        self.types.remove(table);
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn check_columns<'a>(
        &mut self,
        table: &str,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<(), HostError> {
        if !self.types.contains_key(table) {
            let sql = "select attname::text, format_type(atttypid, atttypmod) from pg_attribute
                where attrelid = to_regclass('public.' || quote_ident($1)) and attnum > 0 and not attisdropped";
            let rows = self.client.query(sql, &[&table]).await?;
            let types = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            self.types.insert(table.to_owned(), types);
        }
        let known = self.types.get(table);
        for column in columns {
            if !known.is_some_and(|types| types.contains_key(column)) {
                return Err(HostError::NoColumn {
                    table: table.to_owned(),
                    column: column.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The role that a session of Odoo connects as.
    pub fn role() -> &'static str {
        OWNER
    }
}

fn touches(columns: &[String], names: &[&str]) -> bool {
    columns.iter().any(|column| names.contains(&column.as_str()))
}

/// Whether these columns are what stored computed ones of the same table depend on.
fn recomputes(table: &str, columns: &[String]) -> bool {
    let causes: &[&str] = match table {
        "sicantik_permit" => &["expiry_date"],
        "sicantik_document" => &["permit_id", "minio_bucket", "minio_object_name"],
        "signature_workflow" => &["document_id", "state"],
        "res_partner" => &["name", "phone", "mobile", "email", "parent_id"],
        _ => &[],
    };
    touches(columns, causes)
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
