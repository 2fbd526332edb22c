//! One message on its way: a call, its answer, perhaps the next provider, and the verdict. Each attempt is committed before
//! its call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::directory::{Provider, wait_for_provider};
use super::dispatcher::{Route, next_after};
use super::health::Health;
use super::pace::{Pace, reserve};
use super::provider::failure::{Fails, Mark, RetrySame};
use super::provider::{Answer, Class, Client, Failure, Outgoing, Report};
use crate::db::Database;
use crate::db::ids::{AttemptId, MessageId, ProviderId};
use crate::db::prepared::{Prepared as Statements, commit_one_plan, keep_one_plan};
use crate::db::statements as sql;
use crate::host::phone::Phone;
use crate::observe::metrics;
use crate::queue::claim::Claimed;
use crate::queue::memory::{Memory, Through};
use crate::queue::settle::{AttemptEnd, FinalState, FinishedAttempt, Settlement, Verdict, finish_attempts};

/// What the code itself does not time, and burns no try.
const SHORT_PAUSE: Duration = Duration::from_secs(5);
/// A fallback whose turn comes sooner waits for it; another comes back later.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

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
#[derive(Debug)]
pub struct Prepared {
    /// The message.
    pub claimed: Claimed,
    phone: Phone,
    routes: Vec<RouteTo>,
    others_paused: bool,
    since: Instant,
}

impl Prepared {
    /// Routes must not be empty. `others_paused`: there are providers that would take it if they were not paused.
    pub fn new(claimed: Claimed, phone: Phone, routes: Vec<RouteTo>, others_paused: bool) -> Self {
        Self {
            claimed,
            phone,
            routes,
            others_paused,
            since: Instant::now(),
        }
    }

    /// The first account that will be tried, and its pace.
    pub fn first(&self) -> Option<(ProviderId, Pace)> {
        let to = self.routes.first()?;
        Some((to.route.provider, to.provider.account.pace))
    }

    /// Drops routes whose provider was paused since they were chosen; where none is left, the message waits.
    ///
    /// # Errors
    /// The settlement of a message that has no route any more.
    pub fn without_paused(mut self, health: &Health) -> Result<Self, Box<Settlement>> {
        let before = self.routes.len();
        self.routes.retain(|to| !health.is_paused(to.route.provider));
        self.others_paused |= self.routes.len() < before;
        self.with_a_route()
    }

    /// Drops first routes that a half-open circuit keeps for another message.
    ///
    /// # Errors
    /// The settlement of a message that has no route any more.
    pub async fn admitted(mut self, database: &Database, health: &Health) -> Result<Self, Box<Settlement>> {
        while let Some(to) = self.routes.first()
            && !health.admits(database, to.route.provider).await
        {
            self.others_paused = true;
            self.routes.remove(0);
        }
        self.with_a_route()
    }

    fn with_a_route(self) -> Result<Self, Box<Settlement>> {
        if self.routes.is_empty() {
            let verdict = wait_for_provider(
                &self.claimed,
                "every provider that could take it is paused".into(),
            );
            return Err(Box::new(Settlement::of(self.claimed, Vec::new(), verdict)));
        }
        Ok(self)
    }

    /// Back into the queue until its turn at the provider comes.
    pub fn put_off(self, delay: Duration) -> Settlement {
        let kind = self
            .routes
            .first()
            .map_or("the provider", |to| to.route.kind.as_str());
        let error = format!("{kind} takes messages at its own pace: its turn comes later");
        Settlement::of(self.claimed, Vec::new(), later(delay, error))
    }
}

/// An attempt that is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    id: AttemptId,
    started_at: DateTime<Utc>,
    /// Before it was recorded, by the clock of this process.
    begun: Instant,
}

/// Records the first attempt of each message, in one committed statement. A message that is missing in the answer must not
/// be sent: it is not ours any more, or its rule was switched off.
///
/// # Errors
/// The server's.
pub async fn begin_attempts(
    client: &deadpool_postgres::Client,
    instance: i64,
    messages: &[Prepared],
) -> Result<HashMap<MessageId, Attempt>, tokio_postgres::Error> {
    let first: Vec<(&Claimed, &RouteTo)> = messages
        .iter()
        .filter_map(|m| m.routes.first().map(|r| (&m.claimed, r)))
        .collect();
    begin(Recording::Alone(client), instance, &first).await
}

/// Where attempts are recorded.
enum Recording<'a> {
    /// In a transaction of their own.
    Alone(&'a deadpool_postgres::Client),
    /// In one that holds more, with what its session has prepared.
    Within(&'a Transaction<'a>, Statements),
}

async fn begin(
    recording: Recording<'_>,
    instance: i64,
    attempts: &[(&Claimed, &RouteTo)],
) -> Result<HashMap<MessageId, Attempt>, tokio_postgres::Error> {
    let begun = Instant::now();
    let ids: Vec<i64> = attempts.iter().map(|(m, _)| m.id.0).collect();
    let tokens: Vec<i64> = attempts.iter().map(|(m, _)| m.held.token().0).collect();
    let providers: Vec<i64> = attempts.iter().map(|(_, r)| r.route.provider.0).collect();
    let kinds: Vec<&str> = attempts.iter().map(|(_, r)| r.route.kind.as_str()).collect();
    let keys: Vec<&str> = attempts
        .iter()
        .map(|(_, r)| r.route.template_key_used.as_str())
        .collect();
    let notes: Vec<Option<String>> = attempts.iter().map(|(_, r)| changed(&r.route)).collect();
    let gaps: Vec<f64> = attempts
        .iter()
        .map(|(_, r)| r.provider.account.pace.pair_gap.as_secs_f64())
        .collect();
    let values: &[&(dyn ToSql + Sync)] =
        &[&instance, &ids, &tokens, &providers, &kinds, &keys, &notes, &gaps];
    let rows = match recording {
        Recording::Alone(client) => commit_one_plan(client, sql::ATTEMPT_BEGIN.sql, values).await?,
        Recording::Within(tx, prepared) => prepared.query(tx, sql::ATTEMPT_BEGIN.sql, values).await?,
    };
    Ok(rows
        .iter()
        .map(|r| {
            let attempt = Attempt {
                id: AttemptId(r.get("id")),
                started_at: r.get("started_at"),
                begun,
            };
            (MessageId(r.get("message_id")), attempt)
        })
        .collect())
}

/// Which values do not stand in the message as the rule gave them.
fn changed(route: &Route) -> Option<String> {
    let names = route.changed.join(", ");
    (!names.is_empty())
        .then(|| format!("made fit for Meta (line breaks, tabs, long runs of blanks): {names}"))
}

/// Carries one message.
pub struct Sender {
    /// Connections.
    pub database: Database,
    /// The way out.
    pub client: Client,
    /// Row of `instance`.
    pub instance: i64,
    /// Health of the providers.
    pub health: Health,
    /// What this process has sent.
    pub memory: Memory,
    /// A record of an attempt that is older than this is looked at again before the request is written.
    pub fresh: Duration,
}

impl Sender {
    /// Calls the providers of its routes, one after the other as far as their answers allow it.
    pub async fn send(&self, mut message: Prepared, first: Attempt) -> Settlement {
        let routes = std::mem::take(&mut message.routes);
        let mut attempt = first;
        let mut finished: Vec<FinishedAttempt> = Vec::new();
        let (mut refused_by, mut account_refused) = (Vec::new(), false);
        let mut routes = routes.iter().peekable();
        let verdict = loop {
            let Some(to) = routes.next() else {
                break later(SHORT_PAUSE, "it had no route".into());
            };
            if !self.may_send(&message, attempt).await {
                finished.push(not_sent(attempt));
                break later(Duration::from_secs(1), "not sent: the daemon stood still".into());
            }
            let through = Through {
                provider: to.route.provider,
                kind: to.route.kind.as_str(),
                template_key: to.route.template_key_used.as_str(),
            };
            self.memory.begin(
                &message.claimed,
                through,
                attempt.id,
                attempt.started_at,
                Instant::now(),
            );
            let report = self.call(&message, to, attempt).await;
            let end = end_of(&report);
            metrics::attempted(to.route.kind.as_str(), end.outcome, end.class, end.duration);
            self.memory.end(attempt.id, &end, Instant::now());
            finished.push(FinishedAttempt {
                id: attempt.id,
                started_at: attempt.started_at,
                end,
            });
            self.health
                .note(
                    &self.database,
                    to.route.provider,
                    &report.answer,
                    attempt.started_at,
                )
                .await;
            let failure = match report.answer {
                Answer::Accepted { external_id, .. } => break sent(&message, to, external_id),
                Answer::Uncertain { error } => break uncertain(&message, to, error),
                Answer::Refused(failure) => failure,
            };
            self.mark(&message, to, &failure).await;
            refused_by.push(to.route.provider);
            // An account that is mended meanwhile may take it: it stays a way, and the next claim's call counts as a first one.
            account_refused |= failure.class == Class::Account;
            if account_refused {
                refused_by.clear();
            }
            let used_up = tries_used_up(&message.claimed, &failure);
            if next_after(&failure, to.route.marketing, false, used_up) {
                while let Some(next) = routes.peek()
                    && !self.health.admits(&self.database, next.route.provider).await
                {
                    message.others_paused = true;
                    routes.next();
                }
            } else {
                let paused = |to: &RouteTo| self.health.is_paused(to.route.provider);
                message.others_paused |= routes.any(paused);
                break refused(&message, to, &failure);
            }
            let Some(next) = routes.peek() else {
                break refused(&message, to, &failure);
            };
            if let Err(wait) = self.turn(next).await {
                let error = format!(
                    "{}: {}: {}; its turn at {} comes later",
                    to.route.kind, failure.code, failure.message, next.route.kind
                );
                break fallback_later(wait, refused_by, error);
            }
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
            match self.begin_next(&message, next, &mut finished).await {
                Ok(Some(next)) => attempt = next,
                // Taken over (then this verdict is stale), or its rule was switched off (then it waits, unsent).
                Ok(None) => {
                    break later(
                        Duration::from_secs(1),
                        "the fallback was not allowed any more".into(),
                    );
                }
                // The refusal is certain: put the message back, the fallback comes with the next claim.
                Err(error) => {
                    let error = format!("the fallback could not be recorded: {error}");
                    break fallback_later(SHORT_PAUSE, refused_by, error);
                }
            }
        };
        Settlement::of(message.claimed, finished, verdict)
    }

    /// Waits for a turn at the next provider.
    ///
    /// # Errors
    /// How long the message has to wait, if that is long.
    async fn turn(&self, next: &RouteTo) -> Result<(), Duration> {
        let pace = next.provider.account.pace;
        let wanted = HashMap::from([(next.route.provider, (1, pace))]);
        let until = Instant::now() + TURN_PATIENCE;
        loop {
            let Ok(client) = self.database.get().await else {
                return Err(SHORT_PAUSE);
            };
            let turns = reserve(&client, &wanted).await.ok();
            drop(client);
            match turns.and_then(|turns| turns.get(&next.route.provider).copied()) {
                // An account that nobody can ask about (deleted meanwhile) does not hold the message up.
                None => return Ok(()),
                Some(turns) if turns.now > 0 => return Ok(()),
                Some(turns) if turns.next < until => {
                    tokio::time::sleep_until(turns.next.into()).await;
                }
                Some(turns) => {
                    let next_turn = turns.next.saturating_duration_since(Instant::now());
                    return Err(pace.put_off(next_turn, 0, 0));
                }
            }
        }
    }

    /// Remembers what a refusal says of the template or of the recipient, so that the next message does not meet it too.
    async fn mark(&self, message: &Prepared, to: &RouteTo, failure: &Failure) {
        match failure.consequences().mark {
            Some(Mark::Template) => self.mark_template(to, failure).await,
            Some(Mark::OptOut) => self.mark_opt_out(message).await,
            Some(Mark::Number) | None => {}
        }
    }

    async fn mark_opt_out(&self, message: &Prepared) {
        let marked = async {
            let client = self.database.get().await.map_err(|e| e.to_string())?;
            client
                .execute(
                    "select sicantik_notify.marketing_choice($1, sicantik_notify.clock(), true)",
                    &[&message.claimed.phone],
                )
                .await
                .map_err(|e| crate::db::describe(&e))
        };
        if let Err(error) = marked.await {
            tracing::warn!(
                error,
                "A recipient's stop of promotional messages could not be noted."
            );
        }
    }

    async fn mark_template(&self, to: &RouteTo, failure: &Failure) {
        let key = to.route.template_key_used.as_str();
        let why =
            format!("Meta refused it ({}: {})", failure.code, failure.message).replace('\0', "\u{fffd}");
        let marked = async {
            let client = self.database.get().await.map_err(|e| e.to_string())?;
            client
                .execute(sql::TEMPLATE_MARK.sql, &[&key, &why])
                .await
                .map_err(|e| crate::db::describe(&e))
        };
        match marked.await {
            Ok(0) => {}
            Ok(_) => tracing::warn!(
                TEMPLATE = key,
                "Template {key} is not sent through Meta any more: {why}."
            ),
            Err(error) => tracing::warn!(
                error,
                TEMPLATE = key,
                "Meta's refusal of a template could not be noted."
            ),
        }
    }

    /// A process that was frozen between recording and writing may have lost the message meanwhile.
    async fn may_send(&self, message: &Prepared, attempt: Attempt) -> bool {
        if attempt.begun.elapsed() < self.fresh {
            return true;
        }
        let claimed = &message.claimed;
        let Ok(client) = self.database.get().await else {
            return false;
        };
        let ours = client
            .query_one(
                "select exists (select from sicantik_notify.queue \
                 where id = $1 and claim_token = $2 and state = 'processing')",
                &[&claimed.id.0, &claimed.held.token().0],
            )
            .await
            .is_ok_and(|row| row.get(0));
        if !ours {
            tracing::warn!(
                QUEUE_ID = claimed.id.0,
                "Message {} was taken over before it was sent; it is left to its new owner.",
                claimed.id
            );
        }
        ours
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
            RULE = message.claimed.rule_code.as_str(),
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
            let prepared = Statements::of(&client);
            let tx = client.transaction().await?;
            keep_one_plan(&tx);
            finish_attempts(&tx, &prepared, &finished.iter().collect::<Vec<_>>()).await?;
            let recording = Recording::Within(&tx, prepared);
            let begun = begin(recording, self.instance, &[(&message.claimed, next)]).await?;
            tx.commit().await?;
            Ok::<_, tokio_postgres::Error>(begun)
        }
        .await;
        let begun = result.map_err(|e| crate::db::describe(&e))?;
        finished.clear();
        Ok(begun.get(&message.claimed.id).copied())
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
            external_id,
            note,
            reference,
        } => {
            end.outcome = "accepted";
            end.external_id = external_id.clone();
            let reference = reference.as_ref().map(|id| format!("request {id}"));
            let words = [note.map(|n| n.as_str().to_owned()), reference];
            let words: Vec<String> = words.into_iter().flatten().collect();
            end.note = (!words.is_empty()).then(|| words.join("; "));
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

fn not_sent(attempt: Attempt) -> FinishedAttempt {
    FinishedAttempt {
        id: attempt.id,
        started_at: attempt.started_at,
        end: AttemptEnd {
            outcome: "refused",
            code: Some("not_sent".to_owned()),
            error: Some("not sent: the daemon stood still, and its claim may have ended".to_owned()),
            ..AttemptEnd::default()
        },
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

/// It was not sent; it comes back without using up a try.
fn later(delay: Duration, error: String) -> Verdict {
    Verdict::Later {
        delay,
        burns_try: false,
        uncertain: false,
        hold: false,
        for_provider: false,
        refused_by: Vec::new(),
        error,
    }
}

/// It was refused for certain, and the next provider is asked later.
fn fallback_later(delay: Duration, refused_by: Vec<ProviderId>, error: String) -> Verdict {
    Verdict::Later {
        delay,
        burns_try: false,
        uncertain: false,
        hold: false,
        for_provider: false,
        refused_by,
        error,
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
        for_provider: false,
        refused_by: Vec::new(),
        error,
    }
}

/// The pause before this message is tried again at the same provider by the rule's schedule; `None`: no try is left.
fn scheduled(claimed: &Claimed, failure: &Failure) -> Option<Duration> {
    let schedule = claimed.retries.pause(claimed.tries)?;
    let pause = match failure.consequences().retry_same {
        RetrySame::UpTo { tries, .. } => {
            (i64::from(claimed.tries) + 1 < i64::from(tries)).then_some(schedule)
        }
        RetrySame::Schedule => Some(schedule),
        // What is known to take so long is not tried sooner.
        RetrySame::After { pause, times: None } => Some(pause.max(schedule)),
        _ => None,
    };
    pause.map(jittered)
}

fn tries_used_up(claimed: &Claimed, failure: &Failure) -> bool {
    failure.consequences().burns_try && scheduled(claimed, failure).is_none()
}

/// What becomes of a message that was refused, where no other provider may take it now.
fn refused(message: &Prepared, to: &RouteTo, failure: &Failure) -> Verdict {
    let error = format!("{}: {}: {}", to.route.kind, failure.code, failure.message);
    let consequences = failure.consequences();
    let claimed = &message.claimed;
    let wanted = failure.retry_after.unwrap_or_default();
    let again = |pause: Duration| Verdict::Later {
        delay: pause.max(wanted),
        burns_try: true,
        uncertain: false,
        hold: false,
        for_provider: false,
        refused_by: Vec::new(),
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
        Fails::Never => wait_for_provider(claimed, error),
        // Not the number of tries, but of times that it was put off: these burn none.
        Fails::AtDeadline if !consequences.burns_try => {
            let number = u32::try_from(claimed.postponed).unwrap_or(0);
            let pause = consequences.retry_same.pause(number).unwrap_or(SHORT_PAUSE);
            later(pause.max(wanted), error)
        }
        Fails::AtDeadline => scheduled(claimed, failure).map_or_else(failed, again),
        Fails::WhenNoneLeft => match consequences.retry_same {
            RetrySame::After { pause, times }
                if times.is_none_or(|t| i64::from(claimed.tries) < i64::from(t)) =>
            {
                match consequences.burns_try {
                    true => again(pause),
                    false => later(pause.max(wanted), error),
                }
            }
            _ => match scheduled(claimed, failure) {
                Some(pause) => again(pause),
                // Another provider could take it, once it is well.
                None if message.others_paused => wait_for_provider(claimed, error),
                None => failed(),
            },
        },
    }
}

/// Up to a tenth longer, so that what failed together does not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() / 10.0)
}
