//! Health of the providers: told to the other instances through `provider_health`, and kept here for the messages that were
//! routed before a provider was paused.
//!
//! A circuit is closed, open (messages wait and burn nothing) or half-open: the pause has ended, the account was checked by the
//! provider's own means, and one message goes first, over all instances. What it meets closes the circuit or opens it again,
//! for longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::provider::failure::{Circuit, Class, Failure};
use super::provider::{Answer, ProbeReport};
use crate::config::DeliverConfig;
use crate::db::Database;
use crate::db::ids::ProviderId;
use crate::db::statements as sql;
use crate::queue::claim::retry_provider;

/// A success is told this often: not every message is worth a statement.
const OK_INTERVAL: Duration = Duration::from_secs(5);
/// A note is not worth holding an outcome back.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause of a provider whose failures merely add up.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long this process does not ask again for the ticket that another one has.
const TICKET_PAUSE: Duration = Duration::from_secs(1);

/// A probe may take this much longer than a call, before another one is allowed.
const PROBE_MARGIN: Duration = Duration::from_secs(5);

/// The daemon's terms.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// First pause of a provider.
    pub pause: Duration,
    /// How long a probe may take: longer than a call.
    pub probe: Duration,
}

impl Terms {
    /// From the daemon's settings.
    pub fn of(config: &DeliverConfig) -> Self {
        Self {
            pause: Duration::from_secs(config.circuit_seconds),
            probe: Duration::from_secs(config.request_timeout_seconds) + PROBE_MARGIN,
        }
    }
}

/// A circuit as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go.
    Closed,
    /// Messages wait, so long at least.
    Open(Duration),
    /// One message goes first.
    HalfOpen,
}

/// Health of the providers, as this process saw it.
#[derive(Clone, Debug)]
pub struct Health {
    known: Arc<Mutex<HashMap<ProviderId, Known>>>,
    terms: Terms,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    ok_at: Option<Instant>,
    paused_until: Option<Instant>,
    half_open: bool,
    /// As of the last look at the database.
    was_open: bool,
}

/// What an answer says of its provider.
enum Word<'a> {
    Works,
    Fails {
        error: String,
        at_once: Duration,
        weight: f32,
        cap: Duration,
    },
    Slower(&'a Failure),
}

impl Health {
    /// Nothing is known yet.
    pub fn new(terms: Terms) -> Self {
        Self {
            known: Arc::default(),
            terms,
        }
    }

    /// Is the provider paused, as far as this process knows?
    pub fn is_paused(&self, provider: ProviderId) -> bool {
        let until = self.lock().get(&provider).and_then(|known| known.paused_until);
        until.is_some_and(|until| until > Instant::now())
    }

    /// The database has been read: it knows better, also when an operator ended a pause. True: a circuit has closed since the last look.
    pub fn agree(&self, circuits: impl Iterator<Item = (ProviderId, State)>) -> bool {
        let mut all = self.lock();
        let mut closed = false;
        for (provider, state) in circuits {
            let known = all.entry(provider).or_default();
            closed |= known.was_open && state == State::Closed;
            known.was_open = state != State::Closed;
            known.half_open = state == State::HalfOpen;
            known.paused_until = match state {
                State::Closed => None,
                State::Open(rest) => Some(Instant::now() + rest),
                // A ticket that was refused a moment ago is not asked for again at once.
                State::HalfOpen => known.paused_until.map(|at| at.min(Instant::now() + TICKET_PAUSE)),
            };
        }
        closed
    }

    /// May a message go to this provider now? Through a half-open circuit only the one that gets the ticket.
    pub async fn admits(&self, database: &Database, provider: ProviderId) -> bool {
        if self.is_paused(provider) {
            return false;
        }
        if !self.lock().get(&provider).is_some_and(|known| known.half_open) {
            return true;
        }
        let ticket = within(async {
            let client = database.get().await.map_err(|e| e.to_string())?;
            client
                .query_one(
                    sql::PROVIDER_PROBE.sql,
                    &[&provider.0, &self.terms.probe.as_secs_f64()],
                )
                .await
                .map(|row| row.get::<_, bool>(0))
                .map_err(|e| crate::db::describe(&e))
        })
        .await
        .unwrap_or(false);
        let mut all = self.lock();
        let known = all.entry(provider).or_default();
        known.ok_at = None;
        known.paused_until = Some(Instant::now() + TICKET_PAUSE);
        ticket
    }

    /// Notes what an answer says about its provider; `begun` is when its attempt was recorded.
    pub async fn note(
        &self,
        database: &Database,
        provider: ProviderId,
        answer: &Answer,
        begun: DateTime<Utc>,
    ) {
        let noted = match self.word(answer) {
            Word::Works => self.ok(database, provider, begun).await,
            Word::Fails {
                error,
                at_once,
                weight,
                cap,
            } => {
                self.failed(database, provider, &error, (at_once, weight, cap))
                    .await
            }
            Word::Slower(failure) => self.slower(database, provider, failure).await,
        };
        if let Err(error) = noted {
            tracing::warn!(error, "A provider's health could not be noted.");
        }
    }

    /// Notes what the check of a half-open account found: it opens again, or one message may go first.
    pub async fn note_check(&self, database: &Database, provider: ProviderId, report: &ProbeReport) {
        use super::provider::Health::{Down, Unknown};
        let noted = match &report.health {
            Down(failure) => {
                let word = self.word_of(failure);
                let (at_once, cap) = match word {
                    Word::Fails { at_once, cap, .. } => (at_once, cap),
                    _ => (self.terms.pause, LONGEST_PAUSE),
                };
                let error = format!("{}: {}", failure.code, failure.message);
                self.failed(database, provider, &error, (at_once, 1.0, cap)).await
            }
            // Where the check itself did not get through, the message will tell.
            _ => {
                within(async {
                    let client = database.get().await.map_err(|e| e.to_string())?;
                    let in_vain = matches!(report.health, Unknown { .. });
                    let done = client
                        .execute(sql::PROVIDER_CHECKED.sql, &[&provider.0, &in_vain])
                        .await;
                    done.map(drop).map_err(|e| crate::db::describe(&e))
                })
                .await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(error, "The check of a provider could not be noted.");
        }
    }

    fn word<'a>(&self, answer: &'a Answer) -> Word<'a> {
        match answer {
            Answer::Accepted { .. } => Word::Works,
            Answer::Uncertain { error } => Word::Fails {
                error: format!("no answer: {error}"),
                at_once: Duration::ZERO,
                weight: 0.5,
                cap: LONGEST_PAUSE,
            },
            Answer::Refused(failure) => self.word_of(failure),
        }
    }

    fn word_of<'a>(&self, failure: &'a Failure) -> Word<'a> {
        let asked = failure.retry_after.unwrap_or_default();
        let (at_once, weight, cap) = match failure.consequences().circuit {
            // The number or template is restricted for hours: trying every minute would make it worse.
            Circuit::Opens(wanted) if failure.class == Class::ThrottleProvider => (wanted, 1.0, wanted),
            Circuit::Opens(wanted) => (wanted.min(self.terms.pause), 1.0, wanted),
            Circuit::Counts => (Duration::ZERO, 1.0, LONGEST_PAUSE),
            Circuit::CountsHalf => (Duration::ZERO, 0.5, LONGEST_PAUSE),
            Circuit::Stays if failure.class == Class::ThrottleProvider => return Word::Slower(failure),
            // It has looked at the message, and works.
            Circuit::Stays => return Word::Works,
        };
        let at_once = match at_once.is_zero() {
            true => at_once,
            false => at_once.max(asked),
        };
        Word::Fails {
            error: format!("{}: {}", failure.code, failure.message),
            at_once,
            weight,
            cap: cap.max(asked),
        }
    }

    async fn ok(
        &self,
        database: &Database,
        provider: ProviderId,
        begun: DateTime<Utc>,
    ) -> Result<(), String> {
        let recent = |known: &Known| known.ok_at.is_some_and(|at| at.elapsed() < OK_INTERVAL);
        if self.lock().get(&provider).is_some_and(recent) {
            return Ok(());
        }
        let closed = within(async {
            let client = database.get().await.map_err(|e| e.to_string())?;
            let statement = client.prepare_cached(sql::PROVIDER_OK.sql).await;
            let statement = statement.map_err(|e| crate::db::describe(&e))?;
            let row = client.query_one(&statement, &[&provider.0, &begun]).await;
            row.map(|r| r.get::<_, bool>(0))
                .map_err(|e| crate::db::describe(&e))
        })
        .await?;
        {
            let mut all = self.lock();
            let known = all.entry(provider).or_default();
            // One whose attempt is older than the pause says nothing about it; the next reading of the database does.
            if closed || !known.half_open && known.paused_until.is_none() {
                *known = Known {
                    ok_at: Some(Instant::now()),
                    ..Known::default()
                };
            }
        }
        if closed {
            tracing::info!(
                PROVIDER_ID = provider.0,
                "A provider is well again; what waited for it goes on."
            );
            let client = database.get().await.map_err(|e| e.to_string())?;
            retry_provider(&client)
                .await
                .map_err(|e| crate::db::describe(&e))?;
        }
        Ok(())
    }

    async fn failed(
        &self,
        database: &Database,
        provider: ProviderId,
        error: &str,
        (at_once, weight, cap): (Duration, f32, Duration),
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
                        &self.terms.pause.as_secs_f64(),
                        &cap.as_secs_f64(),
                    ],
                )
                .await
                .map(|row| {
                    let seconds = row.get::<_, bool>("paused").then(|| row.get::<_, f64>("seconds"));
                    seconds.map(|s| Duration::try_from_secs_f64(s).unwrap_or(at_once))
                })
                .map_err(|e| crate::db::describe(&e))
        })
        .await;
        // Where the database could not be told, our own messages still skip it.
        let pause = match &paused {
            Ok(pause) => *pause,
            Err(_) => (!at_once.is_zero()).then_some(at_once),
        };
        if let Some(pause) = pause {
            let mut all = self.lock();
            let known = all.entry(provider).or_default();
            known.half_open = false;
            known.paused_until = Some(Instant::now() + pause);
        }
        paused.map(drop)
    }

    /// The provider asked all of us for patience.
    async fn slower(
        &self,
        database: &Database,
        provider: ProviderId,
        failure: &Failure,
    ) -> Result<(), String> {
        let pause = failure.consequences().retry_same.pause(0).unwrap_or_default();
        let pause = pause.max(failure.retry_after.unwrap_or_default());
        let error = format!("{}: {}", failure.code, failure.message).replace('\0', "\u{fffd}");
        within(async {
            let client = database.get().await.map_err(|e| e.to_string())?;
            let noted = client
                .execute(
                    sql::PROVIDER_SLOW.sql,
                    &[&provider.0, &pause.as_secs_f64(), &error],
                )
                .await;
            noted.map(drop).map_err(|e| crate::db::describe(&e))
        })
        .await
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
