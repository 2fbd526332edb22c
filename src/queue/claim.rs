//! Claiming: due messages become this instance's, for a lease.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::holding::{Held, Holding};
use super::lookout::Lookout;
use crate::db::ids::{ClaimToken, MessageId, PartnerId, ProviderId, RecordId, RuleId};
use crate::db::prepared::commit_one_plan;
use crate::db::statements as sql;
use crate::host::permit::Arming;

/// Most messages of one claim. Each takes an advisory lock for the time of the statement, and the server's lock table is
/// Odoo's too. The answer also stays small enough to fit the socket of a daemon that is frozen at that moment.
const MOST: usize = 500;
/// Most messages that one call makes due: the others must not wait long.
const PROMOTE_BATCH: i64 = 1000;

/// A message that this instance works on.
#[derive(Debug)]
pub struct Claimed {
    /// Message.
    pub id: MessageId,
    /// The claim.
    pub held: Held,
    /// Timeline of the server on which it was claimed.
    pub timeline: i64,
    /// Where it comes from.
    pub origin: Origin,
    /// Rule.
    pub rule: RuleId,
    /// Its code, for log lines.
    pub rule_code: String,
    /// Recipient.
    pub partner: Option<PartnerId>,
    /// Number, E.164.
    pub phone: String,
    /// Which text.
    pub template_key: String,
    /// Values of the placeholders.
    pub context: Map<String, Value>,
    /// Failed tries so far.
    pub tries: i32,
    /// Lost answers so far.
    pub uncertain_sends: i32,
    /// How often in a row it was put off.
    pub postponed: i32,
    /// Providers that took it and gave it up afterwards.
    pub not_through: Vec<ProviderId>,
    /// It answers somebody who wrote to this provider, and goes through no other.
    pub reply_through: Option<ProviderId>,
    /// The rule's retries.
    pub retries: Retries,
}

/// What names a message beside its id: after a failover ids may be given out again, and a change evaluated again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// The host's transaction, where it is of one change.
    pub xact: Option<String>,
    /// Model of the record.
    pub model: Option<String>,
    /// The record.
    pub record: Option<RecordId>,
    /// When the host wrote.
    pub changed_at: Option<DateTime<Utc>>,
}

/// When a rule tries again (SICANTIK guide §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub max: i32,
    /// Before the first retry.
    pub delay: Duration,
    /// Doubled each time.
    pub exponential: bool,
}

impl Retries {
    /// The pause after `tries` failed tries (0: the first one just failed); `None`: none is left.
    pub fn pause(&self, tries: i32) -> Option<Duration> {
        if tries >= self.max {
            return None;
        }
        // 2^10 times the delay: beyond that nobody waits for a message.
        let factor = if self.exponential {
            1_u32 << tries.clamp(0, 10)
        } else {
            1
        };
        Some(self.delay.saturating_mul(factor))
    }
}

/// Claims at most `limit` messages. An empty answer may also mean that this database may not send (see
/// [`crate::host::permit`]).
///
/// # Errors
/// The server's.
pub async fn claim(
    client: &deadpool_postgres::Client,
    arming: &Arming,
    instance: i64,
    limit: usize,
    lease: Duration,
    holding: &Holding,
    lookout: &mut Lookout,
) -> Result<Vec<Claimed>, tokio_postgres::Error> {
    let mut limit = limit.min(MOST) as i64;
    loop {
        let begun = Instant::now();
        let bounds = lookout.bounds(begun);
        let values: &[&(dyn ToSql + Sync)] = &[
            &arming.hash(),
            &instance,
            &limit,
            &lease.as_secs_f64(),
            &bounds.priorities,
            &bounds.since,
            &bounds.seconds,
        ];
        match commit_one_plan(client, sql::CLAIM.sql, values).await {
            Ok(rows) => {
                let took = begun.elapsed();
                let claimed = rows.iter().map(|row| claimed(row, holding)).collect();
                // An infinite time is none that a look could begin at.
                let place = |row: &Row| Some((row.get("priority"), row.try_get("scheduled_at").ok()?));
                lookout.found(&bounds, begun, took, rows.len(), rows.iter().filter_map(place));
                return Ok(claimed);
            }
            // Another instance claimed the same recipient since our snapshot. Smaller, so that it cannot go on for long.
            Err(e) if e.code() == Some(&SqlState::UNIQUE_VIOLATION) && limit > 1 => {
                limit = (limit / 2).max(1)
            }
            Err(e) if e.code() == Some(&SqlState::UNIQUE_VIOLATION) => return Ok(Vec::new()),
            Err(e) => return Err(e),
        }
    }
}

fn claimed(row: &Row, holding: &Holding) -> Claimed {
    Claimed {
        id: MessageId(row.get("id")),
        held: holding.hold(ClaimToken(row.get("claim_token"))),
        timeline: row.get("timeline"),
        origin: Origin {
            created_at: row.get("created_at"),
            xact: row.get("xact"),
            model: row.get("model"),
            record: row.get::<_, Option<i64>>("record_id").map(RecordId),
            changed_at: row.get("changed_at"),
        },
        rule: RuleId(row.get("rule_id")),
        rule_code: row.get("rule_code"),
        partner: row.get::<_, Option<i64>>("partner_id").map(PartnerId),
        phone: row.get("phone"),
        template_key: row.get("template_key"),
        context: match row.get::<_, Value>("context") {
            Value::Object(map) => map,
            _ => Map::new(),
        },
        tries: row.get("tries"),
        uncertain_sends: row.get("uncertain_sends"),
        postponed: row.get("postponed"),
        not_through: row
            .get::<_, Vec<i64>>("not_through")
            .into_iter()
            .map(ProviderId)
            .collect(),
        reply_through: row.get::<_, Option<i64>>("reply_through").map(ProviderId),
        retries: Retries {
            max: row.get("max_retries"),
            delay: Duration::from_secs(60 * row.get::<_, i32>("retry_delay").unsigned_abs() as u64),
            exponential: row.get::<_, &str>("retry_backoff") == "exponential",
        },
    }
}

/// Gives back what was claimed but not begun.
///
/// # Errors
/// The server's.
pub async fn hand_back(
    client: &deadpool_postgres::Client,
    messages: &[(MessageId, ClaimToken)],
) -> Result<u64, tokio_postgres::Error> {
    if messages.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = messages.iter().map(|m| m.0.0).collect();
    let tokens: Vec<i64> = messages.iter().map(|m| m.1.0).collect();
    Ok(client.query(sql::HAND_BACK.sql, &[&ids, &tokens]).await?.len() as u64)
}

/// Makes due what has become due. Returns how many.
///
/// # Errors
/// The server's.
pub async fn promote(client: &deadpool_postgres::Client) -> Result<u64, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql::PROMOTE.sql).await?;
    let mut promoted = 0;
    for _ in 0..10 {
        let now = client.execute(&statement, &[&PROMOTE_BATCH]).await?;
        promoted += now;
        if now < PROMOTE_BATCH as u64 {
            break;
        }
    }
    Ok(promoted)
}

/// Gives room to what waits for the rate limit of its rule, as far as there is room. Returns how many.
///
/// # Errors
/// The server's.
pub async fn admit(client: &deadpool_postgres::Client) -> Result<u64, tokio_postgres::Error> {
    let orphans = client.prepare_cached(sql::RATE_ORPHANS.sql).await?;
    client.execute(&orphans, &[]).await?;
    let statement = client.prepare_cached(sql::ADMIT.sql).await?;
    let mut admitted = 0;
    for _ in 0..10 {
        let now = client.execute(&statement, &[&PROMOTE_BATCH]).await?;
        admitted += now;
        if now < PROMOTE_BATCH as u64 {
            break;
        }
    }
    Ok(admitted)
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Became due.
    pub promoted: u64,
    /// Found room within the rate limit of their rule.
    pub admitted: u64,
    /// There may be more of either.
    pub more: bool,
}

/// One step of the queue's job: what each instance does in small each second, for what all of them may have missed.
///
/// # Errors
/// The server's.
pub async fn sweep(tx: &tokio_postgres::Transaction<'_>) -> Result<Swept, tokio_postgres::Error> {
    tx.execute(sql::RATE_ORPHANS.sql, &[]).await?;
    let promoted = tx.execute(sql::PROMOTE.sql, &[&PROMOTE_BATCH]).await?;
    let admitted = tx.execute(sql::ADMIT.sql, &[&PROMOTE_BATCH]).await?;
    let full = PROMOTE_BATCH as u64;
    Ok(Swept {
        promoted,
        admitted,
        more: promoted >= full || admitted >= full,
    })
}

/// Ends messages that an attempt was refused for, and whose number is on a blacklist. Returns their ids.
///
/// # Errors
/// The server's.
pub async fn skip_listed(
    client: &deadpool_postgres::Client,
    messages: &[(MessageId, ClaimToken)],
) -> Result<Vec<MessageId>, tokio_postgres::Error> {
    let ids: Vec<i64> = messages.iter().map(|m| m.0.0).collect();
    let tokens: Vec<i64> = messages.iter().map(|m| m.1.0).collect();
    let rows = client.query(sql::SKIP_LISTED.sql, &[&ids, &tokens]).await?;
    Ok(rows.iter().map(|r| MessageId(r.get(0))).collect())
}

/// Parks the messages of inactive rules and brings those of active ones back, where a rule was switched at the same moment. Whether there
/// were any.
///
/// # Errors
/// The server's.
pub async fn park(client: &deadpool_postgres::Client) -> Result<bool, tokio_postgres::Error> {
    let mut any = false;
    while !commit_one_plan(client, sql::PARK_INACTIVE.sql, &[&PROMOTE_BATCH])
        .await?
        .is_empty()
    {
        any = true;
    }
    Ok(any)
}

/// Lets some of the messages that wait for a provider try again at once. Returns how many.
///
/// # Errors
/// The server's.
pub async fn retry_some(
    client: &deadpool_postgres::Client,
    limit: i64,
) -> Result<u64, tokio_postgres::Error> {
    client.execute(sql::RETRY_PROVIDER.sql, &[&limit]).await
}

/// Lets messages that wait for a provider try again at once. Returns how many.
///
/// # Errors
/// The server's.
pub async fn retry_provider(client: &deadpool_postgres::Client) -> Result<u64, tokio_postgres::Error> {
    let mut freed = 0;
    loop {
        let now = client.execute(sql::RETRY_PROVIDER.sql, &[&PROMOTE_BATCH]).await?;
        freed += now;
        if now < PROMOTE_BATCH as u64 {
            return Ok(freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_retries_are_tries_after_the_first() {
        let fixed = Retries {
            max: 2,
            delay: Duration::from_secs(60),
            exponential: false,
        };
        assert_eq!(
            [0, 1, 2].map(|t| fixed.pause(t).map(|d| d.as_secs())),
            [Some(60), Some(60), None]
        );
        let doubled = Retries {
            exponential: true,
            max: 3,
            ..fixed
        };
        assert_eq!(
            [0, 1, 2, 3].map(|t| doubled.pause(t).map(|d| d.as_secs())),
            [Some(60), Some(120), Some(240), None]
        );
        assert_eq!(Retries { max: 0, ..fixed }.pause(0), None);
    }
}
