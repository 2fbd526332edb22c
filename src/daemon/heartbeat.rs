//! This process's row in `instance`: registered at the start, beaten while it lives (which renews its leases), deleted at
//! a clean end. Others take over the work of a row that is silent or gone.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::db::Database;
use crate::db::migrate::newer_version;
use crate::db::statements as sql;
use crate::host::permit::{Arming, Permit, ask};
use crate::queue::holding::Holding;

/// How often the permit is asked for the operator's eyes (claims ask each time).
const PERMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A beat of a tenth of a second still has this long for its connection.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// The heart of this instance. `database` is its own connection: when the stages are waiting for theirs, others must not
/// take this instance for dead.
pub struct Heartbeat {
    database: Database,
    arming: Arming,
    instance: i64,
    name: String,
    beat: Duration,
    lease: Duration,
    enabled: bool,
    holding: Holding,
    /// The schema's version, once it is newer than ours.
    newer: OnceLock<i32>,
    outdated: CancellationToken,
}

impl Heartbeat {
    /// Makes the row.
    ///
    /// # Errors
    /// No connection, or the server's.
    pub async fn register(
        database: Database,
        config: &Config,
        name: &str,
        arming: Arming,
        holding: Holding,
    ) -> Result<Self, super::DaemonError> {
        let client = database.get().await?;
        let row = client
            .query_one(
                "insert into sicantik_notify.instance (name, pid, version) values ($1, $2, $3) returning id",
                &[&name, &(std::process::id() as i32), &env!("CARGO_PKG_VERSION")],
            )
            .await?;
        drop(client);
        Ok(Self {
            database,
            arming,
            instance: row.get(0),
            name: name.to_owned(),
            beat: Duration::from_millis(config.deliver.heartbeat_ms),
            lease: Duration::from_secs(config.deliver.lease_seconds),
            enabled: config.deliver.enabled,
            holding,
            newer: OnceLock::new(),
            outdated: CancellationToken::new(),
        })
    }

    /// Id of the row.
    pub fn instance(&self) -> i64 {
        self.instance
    }

    /// Ends when the schema has moved on under this binary; its version.
    pub async fn outdated(&self) -> i32 {
        self.outdated.cancelled().await;
        self.newer.get().copied().unwrap_or_default()
    }

    /// Beats until `stop`, then deletes the row.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut permit: Option<(Instant, Permit)> = None;
        let mut silent_since: Option<Instant> = None;
        loop {
            // A beat that hangs is given up: the next one may find another connection.
            let limit = (self.beat * 3).max(SHORTEST_PATIENCE);
            let beat = tokio::select! {
                () = stop.cancelled() => break,
                beat = tokio::time::timeout(limit, self.beat_once(&mut permit)) => beat,
            };
            match beat {
                Ok(Ok(())) => {
                    if let Some(since) = silent_since.take() {
                        tracing::info!("The heartbeat is back after {} s.", since.elapsed().as_secs());
                    }
                }
                failed => {
                    let error = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "the server did not answer in time".into(),
                    };
                    silent_since.get_or_insert_with(Instant::now);
                    tracing::warn!(error, "No heartbeat; others may take over.");
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.beat) => {}
            }
        }
        // Within the stop's ten seconds, whatever hangs: a row that stays is forgotten by the others.
        let _ = tokio::time::timeout(Duration::from_millis(500), async {
            if let Ok(client) = self.database.get().await {
                let _ = client
                    .execute(
                        "delete from sicantik_notify.instance where id = $1",
                        &[&self.instance],
                    )
                    .await;
            }
        })
        .await;
    }

    async fn beat_once(&self, permit: &mut Option<(Instant, Permit)>) -> Result<(), super::DaemonError> {
        let client = self.database.get().await?;
        if permit
            .as_ref()
            .is_none_or(|(at, _)| at.elapsed() > PERMIT_INTERVAL)
        {
            // A refusal to answer is an answer, and no reason to stop beating.
            let now = match ask(&client, &self.arming).await {
                Err(error) if error.as_db_error().is_some() => Permit {
                    allowed: false,
                    reason: format!("the permit cannot be asked: {}", crate::db::describe(&error)),
                },
                other => other?,
            };
            let before = permit.replace((Instant::now(), now.clone()));
            if before.is_none_or(|(_, b)| b != now) && !now.allowed {
                tracing::error!("This daemon does not send: {}.", now.reason);
            }
        }
        let (delivering, note) = match permit {
            Some((_, p)) if !p.allowed => (false, Some(p.reason.as_str())),
            _ if !self.enabled => (true, Some("deliver.enabled is false")),
            _ => (true, None),
        };
        let statement = client.prepare_cached(sql::EXTEND_LEASES.sql).await?;
        let alive: bool = client
            .query_one(
                &statement,
                &[
                    &self.instance,
                    &self.lease.as_secs_f64(),
                    &delivering,
                    &note,
                    &self.holding.tokens(),
                ],
            )
            .await?
            .get(0);
        if !alive {
            // We were silent for long, and our work is in other hands. Claims under the old beat stay theirs: tokens differ.
            tracing::warn!(
                INSTANCE = self.instance,
                "This instance was given up by the others; it registers again."
            );
            client
                .execute(
                    "insert into sicantik_notify.instance (id, name, pid, version) overriding system value \
                     values ($1, $2, $3, $4) on conflict do nothing",
                    &[
                        &self.instance,
                        &self.name,
                        &(std::process::id() as i32),
                        &env!("CARGO_PKG_VERSION"),
                    ],
                )
                .await?;
        }
        if let Some(found) = newer_version(&client).await? {
            let _ = self.newer.set(found);
            self.outdated.cancel();
        }
        Ok(())
    }
}
