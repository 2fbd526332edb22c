//! Health of the providers: told to the other instances through `provider_health`, and kept here for the messages that were
//! routed before a provider was paused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::provider::Answer;
use super::provider::failure::Circuit;
use crate::db::Database;
use crate::db::ids::ProviderId;
use crate::db::statements as sql;

/// A success is told this often: not every message is worth a statement.
const OK_INTERVAL: Duration = Duration::from_secs(5);
/// A note is not worth holding an outcome back.
const PATIENCE: Duration = Duration::from_secs(2);

/// Health of the providers, as this process saw it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    known: Arc<Mutex<HashMap<ProviderId, Known>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    ok_at: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Health {
    /// Is the provider paused, as far as this process knows?
    pub fn is_paused(&self, provider: ProviderId) -> bool {
        let until = self.lock().get(&provider).and_then(|known| known.paused_until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// The database has been read: it knows better, also when an operator ended a pause.
    pub fn agree(&self, is_open: impl Fn(ProviderId) -> bool) {
        for (provider, known) in self.lock().iter_mut() {
            if !is_open(*provider) {
                known.paused_until = None;
            }
        }
    }

    /// Notes what an answer says about its provider. `pause` is the longest pause, and that of a provider that keeps failing.
    pub async fn note(&self, database: &Database, provider: ProviderId, answer: &Answer, pause: Duration) {
        let noted = match answer {
            Answer::Accepted { .. } => self.ok(database, provider).await,
            Answer::Uncertain { error } => {
                let error = format!("no answer: {error}");
                self.failed(database, provider, &error, Duration::ZERO, 0.5, pause)
                    .await
            }
            Answer::Refused(failure) => {
                let (at_once, weight) = match failure.consequences().circuit {
                    Circuit::Opens(wanted) => (wanted.min(pause), 1.0),
                    Circuit::Counts => (Duration::ZERO, 1.0),
                    Circuit::CountsHalf => (Duration::ZERO, 0.5),
                    Circuit::Stays => return,
                };
                let error = format!("{}: {}", failure.code, failure.message);
                self.failed(database, provider, &error, at_once, weight, pause)
                    .await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(error, "A provider's health could not be noted.");
        }
    }

    async fn ok(&self, database: &Database, provider: ProviderId) -> Result<(), String> {
        let recent = |known: &Known| known.ok_at.is_some_and(|at| at.elapsed() < OK_INTERVAL);
        if self.lock().get(&provider).is_some_and(recent) {
            return Ok(());
        }
        within(async {
            let client = database.get().await.map_err(|e| e.to_string())?;
            let statement = client.prepare_cached(sql::PROVIDER_OK.sql).await;
            let statement = statement.map_err(|e| crate::db::describe(&e))?;
            let done = client.execute(&statement, &[&provider.0]).await;
            done.map_err(|e| crate::db::describe(&e))
        })
        .await?;
        let mut all = self.lock();
        let known = all.entry(provider).or_default();
        known.ok_at = Some(Instant::now());
        known.paused_until = None;
        Ok(())
    }

    async fn failed(
        &self,
        database: &Database,
        provider: ProviderId,
        error: &str,
        at_once: Duration,
        weight: f32,
        pause: Duration,
    ) -> Result<(), String> {
        if let Some(known) = self.lock().get_mut(&provider) {
            known.ok_at = None;
        }
        let error = error.replace('\0', "\u{fffd}");
        let paused = within(async {
            let client = database.get().await.map_err(|e| e.to_string())?;
            client
                .query_one(
                    sql::PROVIDER_FAILED.sql,
                    &[
                        &provider.0,
                        &error,
                        &at_once.as_secs_f64(),
                        &weight,
                        &pause.as_secs_f64(),
                    ],
                )
                .await
                .map(|row| row.get::<_, bool>(0))
                .map_err(|e| crate::db::describe(&e))
        })
        .await;
        // Where the database could not be told, our own messages still skip it.
        if *paused.as_ref().unwrap_or(&!at_once.is_zero()) {
            let length = if at_once.is_zero() { pause } else { at_once };
            self.lock().entry(provider).or_default().paused_until = Some(Instant::now() + length);
        }
        paused.map(|_| ())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProviderId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err("the database did not answer in time".to_owned()),
    }
}
