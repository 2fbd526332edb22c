//! `/healthz`: the process lives. `/readyz`: it can do its work: the database is reached, its schema is this binary's, and the
//! stages make progress; whether it is armed to send is told, and does not make it unready. No secret, name or number is in
//! either. Asked at most once a second, however often it is called.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::db::Database;
use crate::db::migrate::check_version;
use crate::host::permit::{Arming, ask};
use crate::observe::pulse::Pulse;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);
/// Whoever asks has a time-out of his own.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether this daemon can do its work.
pub struct Readiness {
    database: Database,
    arming: Arming,
    pulses: Vec<Pulse>,
    longest_round: Duration,
    last: Mutex<Option<(Instant, Said)>>,
}

#[derive(Clone)]
struct Said {
    database: &'static str,
    schema: &'static str,
    armed: Option<bool>,
}

impl Readiness {
    /// Of these stages.
    pub fn new(database: Database, arming: Arming, pulses: Vec<Pulse>, longest_round: Duration) -> Self {
        Self {
            database,
            arming,
            pulses,
            longest_round,
            last: Mutex::default(),
        }
    }

    /// Whether it is ready, and what was found.
    pub async fn ask(&self) -> (bool, Value) {
        let said = {
            let mut last = self.last.lock().await;
            match &*last {
                Some((at, said)) if at.elapsed() < FRESH => said.clone(),
                _ => {
                    let said = self.look().await;
                    *last = Some((Instant::now(), said.clone()));
                    said
                }
            }
        };
        let stages: serde_json::Map<String, Value> = self
            .pulses
            .iter()
            .map(|pulse| {
                let word = if pulse.silence() > self.longest_round {
                    "stuck"
                } else {
                    "ok"
                };
                (pulse.name().to_owned(), word.into())
            })
            .collect();
        let ready = said.database == "ok" && said.schema == "ok" && stages.values().all(|word| word == "ok");
        let told = json!({ "ready": ready, "database": said.database, "schema": said.schema, "armed": said.armed, "stages": stages });
        (ready, told)
    }

    async fn look(&self) -> Said {
        let away = Said {
            database: "away",
            schema: "unknown",
            armed: None,
        };
        let found = tokio::time::timeout(PATIENCE, async {
            let client = self.database.get().await.ok()?;
            let schema = match check_version(&client).await {
                Ok(()) => "ok",
                Err(crate::db::migrate::MigrateError::Step { source, .. })
                    if source.as_db_error().is_none() =>
                {
                    return None;
                }
                Err(_) => "wrong",
            };
            let armed = ask(&client, &self.arming).await.ok().map(|permit| permit.allowed);
            Some(Said {
                database: "ok",
                schema,
                armed,
            })
        });
        found.await.ok().flatten().unwrap_or(away)
    }
}
