//! The database's side of the stage: where the log was read to, what is looked for, and the events. Promises: events and
//! the position behind them are stored in one transaction, under a lock on the position: who finds another position there
//! than he left has been overtaken, and stores nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

use super::SlotError;
use super::decode::{Lsn, Relation};
use super::value::Kind;
use super::watch::{NewEvent, Role, Watch};
use crate::db::statements as sql;

/// How a transaction of ours may wait for the one before it, or for a DBA's.
const SETTINGS: &str =
    "set lock_timeout = '15s'; set idle_in_transaction_session_timeout = 0; set synchronous_commit = on";

/// An event with its source.
#[derive(Debug)]
pub struct Captured {
    /// The host's transaction.
    pub xact: u64,
    /// When it was committed.
    pub at: DateTime<Utc>,
    /// Odoo model.
    pub model: String,
    /// The event.
    pub event: NewEvent,
}

/// What stands before the slot is read.
#[derive(Debug)]
pub struct State {
    /// The slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// From where.
    pub position: Lsn,
    /// Why not.
    pub refusal: Option<String>,
    /// Who reads it now.
    pub active_pid: Option<i32>,
    /// Whether the publication stands.
    pub published: bool,
    /// The next transaction's id.
    pub next_xact: u64,
}

/// A connection of its own, so that a transaction as long as the host's longest takes none of the pool's.
pub struct Ledger {
    client: Client,
    open: bool,
}

impl Ledger {
    /// # Errors
    /// The server's.
    pub async fn new(client: Client) -> Result<Self, SlotError> {
        client.batch_execute(SETTINGS).await?;
        Ok(Self { client, open: false })
    }

    /// None: the hooks capture.
    ///
    /// # Errors
    /// The server's.
    pub async fn state(&self) -> Result<Option<State>, SlotError> {
        let Some(row) = self.client.query_opt(sql::SLOT_STATE.sql, &[]).await? else {
            return Ok(None);
        };
        Ok(Some(State {
            slot: row.get("slot_name"),
            publication: row.get("publication_name"),
            position: row.get::<_, String>("position").parse()?,
            refusal: row.get("refusal"),
            active_pid: row.get("active_pid"),
            published: row.get("published"),
            next_xact: row.get::<_, String>("next_xact").parse().unwrap_or(0),
        }))
    }

    /// How the changes of a relation are looked at; none: not at all.
    ///
    /// # Errors
    /// The server's.
    pub async fn watch(&self, relation: &Relation) -> Result<Option<Watch>, SlotError> {
        if relation.schema != "public" {
            return Ok(None);
        }
        let names: Vec<&str> = relation.columns.iter().map(|c| c.name.as_str()).collect();
        let rows = self
            .client
            .query(sql::SLOT_WATCH.sql, &[&relation.name, &names])
            .await?;
        let (Some(first), Some(id)) = (rows.first(), names.iter().position(|n| *n == "id")) else {
            return Ok(None);
        };
        let kinds = self.kinds(relation).await?;
        let mut roles = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(place) = row.get::<_, Option<i32>>("place") else {
                continue;
            };
            let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
            let Some(column) = relation.columns.get(place) else {
                continue;
            };
            roles.push(Role {
                place,
                name: column.name.clone(),
                kind: kinds.get(&column.type_oid).cloned().unwrap_or(Kind::Text),
                watched: row.get("watched"),
                carried: row.get("carried"),
                counted: row.get("counted"),
            });
        }
        let lsn = |text: Option<String>| text.map(|t| t.parse::<Lsn>()).transpose();
        Ok(Some(Watch {
            model: first.get("model"),
            table: relation.name.clone(),
            on_insert: first.get("on_insert"),
            from: lsn(first.get("from_lsn"))?.unwrap_or_default(),
            until: lsn(first.get("until_lsn"))?,
            id,
            write_date: names.iter().position(|n| *n == "write_date"),
            roles,
        }))
    }

    /// What the values of each type of a relation become.
    async fn kinds(&self, relation: &Relation) -> Result<HashMap<u32, Kind>, SlotError> {
        let mut kinds = HashMap::new();
        let mut unknown: Vec<u32> = Vec::new();
        for column in &relation.columns {
            match Kind::built_in(column.type_oid) {
                Some(kind) => _ = kinds.insert(column.type_oid, kind),
                None if unknown.contains(&column.type_oid) => {}
                None => unknown.push(column.type_oid),
            }
        }
        if unknown.is_empty() {
            return Ok(kinds);
        }
        for row in self.client.query(sql::SLOT_TYPES.sql, &[&unknown]).await? {
            let built_in = |oid: u32| Kind::built_in(oid).unwrap_or(Kind::Text);
            let kind = match row.get::<_, Option<u32>>("item") {
                Some(item) => Kind::Array(Box::new(built_in(item))),
                None => built_in(row.get("base")),
            };
            kinds.insert(row.get("asked"), kind);
        }
        Ok(kinds)
    }

    /// Begins to store, unless that was done: nobody else does, from here to [`Self::commit`].
    ///
    /// # Errors
    /// [`SlotError::Overtaken`], [`SlotError::Gone`], [`SlotError::Full`] where there are events to store, or the server's.
    pub async fn hold(&mut self, position: Lsn, events: bool) -> Result<(), SlotError> {
        if self.open {
            return Ok(());
        }
        self.client
            .batch_execute("begin isolation level read committed")
            .await?;
        self.open = true;
        let row = self.client.query_opt(sql::SLOT_HOLD.sql, &[]).await?;
        let row = row.ok_or(SlotError::Gone)?;
        if events && row.get("is_full") {
            return Err(SlotError::Full);
        }
        let found: Lsn = row.get::<_, String>("position").parse()?;
        match found == position {
            true => Ok(()),
            false => Err(SlotError::Overtaken),
        }
    }

    /// Stores events, in order.
    ///
    /// # Errors
    /// The server's.
    pub async fn store(&self, events: &[Captured]) -> Result<(), SlotError> {
        if events.is_empty() {
            return Ok(());
        }
        let each = |f: fn(&Captured) -> String| events.iter().map(f).collect::<Vec<String>>();
        let records: Vec<i64> = events.iter().map(|e| e.event.record).collect();
        let operations: Vec<&str> = events
            .iter()
            .map(|e| if e.event.insert { "I" } else { "U" })
            .collect();
        let xacts = each(|e| e.xact.to_string());
        let times: Vec<DateTime<Utc>> = events.iter().map(|e| e.at).collect();
        let models: Vec<&str> = events.iter().map(|e| e.model.as_str()).collect();
        let changed: Vec<Option<&str>> = events.iter().map(|e| e.event.changed.as_deref()).collect();
        let old: Vec<Option<&str>> = events.iter().map(|e| e.event.old.as_deref()).collect();
        let new: Vec<&str> = events.iter().map(|e| e.event.new.as_str()).collect();
        self.client
            .execute(
                sql::SLOT_STORE.sql,
                &[
                    &records,
                    &operations,
                    &xacts,
                    &times,
                    &models,
                    &changed,
                    &old,
                    &new,
                ],
            )
            .await?;
        Ok(())
    }

    /// Moves the position and ends what [`Self::hold`] began.
    ///
    /// # Errors
    /// The server's.
    pub async fn commit(&mut self, position: Lsn, transactions: u64, events: u64) -> Result<(), SlotError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.client
            .query(
                sql::SLOT_MOVE.sql,
                &[&position.to_string(), &count(transactions), &count(events)],
            )
            .await?;
        self.client.batch_execute("commit").await?;
        self.open = false;
        Ok(())
    }

    /// A message into the log, which comes back through the slot: an idle slot moves, and a dead connection shows.
    ///
    /// # Errors
    /// The server's.
    pub async fn heartbeat(&self) -> Result<(), SlotError> {
        let emit = "select pg_catalog.pg_logical_emit_message(true, 'sicantik_notify', 'heartbeat')";
        self.client.execute(emit, &[]).await?;
        Ok(())
    }

    /// Says something to a person, or that there is nothing to say any more.
    ///
    /// # Errors
    /// The server's.
    pub async fn problem(&self, key: &str, said: Option<(&str, &str)>) -> Result<(), SlotError> {
        match said {
            Some((summary, remedy)) => {
                self.client
                    .execute(sql::PROBLEM_RAISE.sql, &[&key, &"alarm", &summary, &remedy])
                    .await?
            }
            None => {
                self.client
                    .execute("delete from sicantik_notify.problem where key = $1", &[&key])
                    .await?
            }
        };
        Ok(())
    }
}
