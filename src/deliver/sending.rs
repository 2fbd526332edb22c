//! One message on its way: a call, its answer, perhaps the next provider, and the verdict. Each attempt is committed before
//! its call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::directory::Provider;
use super::dispatcher::{Route, next_after};
use super::provider::failure::{Circuit, Fails, RetrySame};
use super::provider::{Answer, Client, Failure, Outgoing, Report};
use crate::db::Database;
use crate::db::ids::{AttemptId, MessageId};
use crate::db::statements as sql;
use crate::host::phone::Phone;
use crate::queue::claim::Claimed;
use crate::queue::settle::{AttemptEnd, FinalState, FinishedAttempt, Settlement, Verdict, finish_attempts};

/// How long a message waits when its account must be repaired first.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(30);

/// What to do with an answer that was lost after the request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUncertain {
    /// Send once more, after the provider had time to tell.
    ResendAfter(Duration),
    /// A person decides.
    Hold,
}

/// A route with the account it leads to.
#[derive(Clone, Debug)]
pub struct RouteTo {
    /// What to send.
    pub route: Route,
    /// Through whom.
    pub provider: Arc<Provider>,
}

/// A claimed message with its routes, in the order to try.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The message.
    pub claimed: Claimed,
    phone: Phone,
    routes: Vec<RouteTo>,
    since: Instant,
}

impl Prepared {
    /// Routes must not be empty.
    pub fn new(claimed: Claimed, phone: Phone, routes: Vec<RouteTo>) -> Self {
        Self {
            claimed,
            phone,
            routes,
            since: Instant::now(),
        }
    }
}

/// An attempt that is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    id: AttemptId,
    started_at: DateTime<Utc>,
}

/// Records the first attempt of each message, in one committed statement. A message that is missing in the answer is not
/// ours any more.
///
/// # Errors
/// The server's.
pub async fn begin_attempts(
    client: &impl deadpool_postgres::GenericClient,
    instance: i64,
    messages: &[Prepared],
) -> Result<HashMap<MessageId, Attempt>, tokio_postgres::Error> {
    let first: Vec<(&Claimed, &RouteTo)> = messages
        .iter()
        .filter_map(|m| m.routes.first().map(|r| (&m.claimed, r)))
        .collect();
    begin(client, instance, &first).await
}

async fn begin(
    client: &impl deadpool_postgres::GenericClient,
    instance: i64,
    attempts: &[(&Claimed, &RouteTo)],
) -> Result<HashMap<MessageId, Attempt>, tokio_postgres::Error> {
    let ids: Vec<i64> = attempts.iter().map(|(m, _)| m.id.0).collect();
    let tokens: Vec<i64> = attempts.iter().map(|(m, _)| m.token.0).collect();
    let providers: Vec<i64> = attempts.iter().map(|(_, r)| r.route.provider.0).collect();
    let kinds: Vec<&str> = attempts.iter().map(|(_, r)| r.route.kind.as_str()).collect();
    let keys: Vec<&str> = attempts
        .iter()
        .map(|(_, r)| r.route.template_key_used.as_str())
        .collect();
    let statement = client.prepare_cached(sql::ATTEMPT_BEGIN.sql).await?;
    let rows = client
        .query(&statement, &[&instance, &ids, &tokens, &providers, &kinds, &keys])
        .await?;
    Ok(rows
        .iter()
        .map(|r| {
            let attempt = Attempt {
                id: AttemptId(r.get("id")),
                started_at: r.get("started_at"),
            };
            (MessageId(r.get("message_id")), attempt)
        })
        .collect())
}

/// Carries one message.
pub struct Sender {
    /// Connections.
    pub database: Database,
    /// The way out.
    pub client: Client,
    /// Row of `instance`.
    pub instance: i64,
    /// Longest pause of a provider.
    pub circuit_limit: Duration,
}

impl Sender {
    /// Calls the providers of its routes, one after the other as far as their answers allow it. `None`: the message was
    /// taken over between two calls.
    pub async fn send(&self, message: Prepared, first: Attempt) -> Option<Settlement> {
        let mut attempt = first;
        let mut finished: Vec<FinishedAttempt> = Vec::new();
        let mut routes = message.routes.iter().peekable();
        while let Some(to) = routes.next() {
            let report = self.call(&message, to, attempt).await;
            finished.push(FinishedAttempt {
                id: attempt.id,
                started_at: attempt.started_at,
                end: end_of(&report),
            });
            self.note_health(to, &report.answer).await;
            let failure = match report.answer {
                Answer::Accepted { external_id, .. } => {
                    return Some(settlement(&message, finished, sent(&message, to, external_id)));
                }
                Answer::Uncertain { error } => {
                    return Some(settlement(&message, finished, uncertain(&message, to, error)));
                }
                Answer::Refused(failure) => failure,
            };
            let tries_used_up = message.claimed.retries.pause(message.claimed.tries).is_none();
            let Some(next) = routes
                .peek()
                .filter(|_| next_after(&failure, to.route.marketing, false, tries_used_up))
            else {
                return Some(settlement(&message, finished, refused(&message, to, &failure)));
            };
            tracing::info!(
                QUEUE_ID = message.claimed.id.0,
                PROVIDER = to.route.kind.as_str(),
                "Message {}: {} refused ({}: {}); falling back to {}.",
                message.claimed.id,
                to.route.kind,
                failure.code,
                failure.message,
                next.route.kind
            );
            attempt = match self.begin_next(&message, next, &mut finished).await {
                Ok(Some(attempt)) => attempt,
                Ok(None) => return None,
                // The refusal is certain: put the message back, the fallback comes with the next claim.
                Err(error) => {
                    tracing::warn!(
                        error,
                        QUEUE_ID = message.claimed.id.0,
                        "The fallback could not be recorded."
                    );
                    return Some(settlement(&message, finished, refused(&message, to, &failure)));
                }
            };
        }
        None
    }

    async fn call(&self, message: &Prepared, to: &RouteTo, attempt: Attempt) -> Report {
        let outgoing = Outgoing {
            attempt: attempt.id,
            callback: format!("q:{}:a:{}", message.claimed.id, attempt.id),
            to: message.phone.clone(),
            content: to.route.content.clone(),
        };
        let report = self.client.send(&to.provider.account, &outgoing).await;
        tracing::info!(
            QUEUE_ID = message.claimed.id.0,
            ATTEMPT_ID = attempt.id.0,
            PROVIDER = to.route.kind.as_str(),
            HTTP_STATUS = report.http_status,
            "Message {} to {} through {}: {}.",
            message.claimed.id,
            message.phone.masked(),
            to.route.kind,
            word(&report.answer)
        );
        report
    }

    /// Closes the attempts so far and records the next one, in one transaction.
    async fn begin_next(
        &self,
        message: &Prepared,
        next: &RouteTo,
        finished: &mut Vec<FinishedAttempt>,
    ) -> Result<Option<Attempt>, String> {
        let mut client = self.database.get().await.map_err(|e| e.to_string())?;
        let result = async {
            let tx = client.transaction().await?;
            finish_attempts(&tx, &finished.iter().collect::<Vec<_>>()).await?;
            let begun = begin(&tx, self.instance, &[(&message.claimed, next)]).await?;
            tx.commit().await?;
            Ok::<_, tokio_postgres::Error>(begun)
        }
        .await;
        let begun = result.map_err(|e| crate::db::describe(&e))?;
        finished.clear();
        Ok(begun.get(&message.claimed.id).copied())
    }

    /// Tells the others how the provider is. Not worth failing for.
    async fn note_health(&self, to: &RouteTo, answer: &Answer) {
        let Ok(client) = self.database.get().await else {
            return;
        };
        let result = match answer {
            Answer::Accepted { .. } => match client.prepare_cached(sql::PROVIDER_OK.sql).await {
                Ok(statement) => client.execute(&statement, &[&to.route.provider.0]).await,
                Err(error) => Err(error),
            },
            Answer::Uncertain { .. } => return,
            Answer::Refused(failure) => {
                let pause = match failure.consequences().circuit {
                    Circuit::Opens(pause) => pause.min(self.circuit_limit),
                    Circuit::Stays => return,
                    _ => Duration::ZERO,
                };
                let error = format!("{}: {}", failure.code, failure.message);
                client
                    .execute(
                        sql::PROVIDER_FAILED.sql,
                        &[&to.route.provider.0, &error, &pause.as_secs_f64()],
                    )
                    .await
            }
        };
        if let Err(error) = result {
            tracing::warn!(error = %crate::db::describe(&error), "A provider's health could not be noted.");
        }
    }
}

fn word(answer: &Answer) -> String {
    match answer {
        Answer::Accepted { .. } => "accepted".into(),
        Answer::Refused(f) => format!("refused ({}: {})", f.code, f.message),
        Answer::Uncertain { error } => format!("uncertain ({error})"),
    }
}

fn end_of(report: &Report) -> AttemptEnd {
    let mut end = AttemptEnd {
        http_status: report.http_status.and_then(|s| i16::try_from(s).ok()),
        duration: report.duration,
        ..AttemptEnd::default()
    };
    match &report.answer {
        Answer::Accepted {
            external_id, note, ..
        } => {
            end.outcome = "accepted";
            end.external_id = external_id.clone();
            end.error = note.map(|n| n.as_str().to_owned());
        }
        Answer::Refused(failure) => {
            end.outcome = "refused";
            end.class = Some(failure.class.as_str());
            end.code = Some(failure.code.clone());
            end.error = Some(failure.message.clone());
        }
        Answer::Uncertain { error } => {
            end.outcome = "uncertain";
            end.error = Some(error.clone());
        }
    }
    end
}

fn settlement(message: &Prepared, attempts: Vec<FinishedAttempt>, verdict: Verdict) -> Settlement {
    Settlement {
        id: message.claimed.id,
        token: message.claimed.token,
        attempts,
        verdict,
    }
}

fn sent(message: &Prepared, to: &RouteTo, external_id: Option<String>) -> Verdict {
    Verdict::Done {
        state: FinalState::Sent,
        provider: Some((to.route.provider, to.route.kind.as_str())),
        external_id,
        code: None,
        error: None,
        template_key: Some(to.route.template_key_used.as_str().to_owned()),
        took: message.since.elapsed(),
    }
}

/// Nobody knows whether it was sent. Once more after a while; a second time a person decides.
fn uncertain(message: &Prepared, to: &RouteTo, error: String) -> Verdict {
    let (delay, hold) = match to.provider.on_uncertain {
        OnUncertain::ResendAfter(wait) => (wait, message.claimed.uncertain_sends > 0),
        OnUncertain::Hold => (Duration::ZERO, true),
    };
    Verdict::Later {
        delay,
        burns_try: false,
        uncertain: true,
        hold,
        error,
    }
}

fn refused(message: &Prepared, to: &RouteTo, failure: &Failure) -> Verdict {
    let error = format!("{}: {}: {}", to.route.kind, failure.code, failure.message);
    let consequences = failure.consequences();
    let claimed = &message.claimed;
    let own_pause = consequences
        .retry_same
        .pause(u32::try_from(claimed.tries).unwrap_or(0));
    let later = |delay: Duration, burns_try: bool| Verdict::Later {
        delay: delay.max(failure.retry_after.unwrap_or_default()),
        burns_try,
        uncertain: false,
        hold: false,
        error: error.clone(),
    };
    let failed = || Verdict::Done {
        state: FinalState::Failed,
        provider: Some((to.route.provider, to.route.kind.as_str())),
        external_id: None,
        code: Some(failure.code.clone()),
        error: Some(error.clone()),
        template_key: Some(to.route.template_key_used.as_str().to_owned()),
        took: message.since.elapsed(),
    };
    match consequences.fails {
        Fails::AtOnce => failed(),
        Fails::Never => later(ACCOUNT_PAUSE, false),
        Fails::WhenNoneLeft => match consequences.retry_same {
            RetrySame::After { pause, times } if times.is_none_or(|t| claimed.tries < t as i32) => {
                later(pause, consequences.burns_try)
            }
            _ => failed(),
        },
        Fails::AtDeadline if !consequences.burns_try => later(own_pause.unwrap_or(ACCOUNT_PAUSE), false),
        Fails::AtDeadline => match claimed.retries.pause(claimed.tries) {
            Some(pause) => later(jittered(own_pause.unwrap_or(pause)), true),
            None => failed(),
        },
    }
}

/// Up to a tenth longer, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() / 10.0)
}
