//! How fast an account may be used, over all instances: turns are reserved in `provider_health.next_send_at`, so that two daemons
//! together are no faster than one, and a provider's `Retry-After` holds for all of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::db::ids::ProviderId;
use crate::db::statements as sql;

/// Part of Meta's throughput that is used. With [`META_BURST`] on top, no second sees more than the whole.
const META_SHARE: f64 = 0.9;
/// This much of a second's messages may go at once.
const META_BURST: Duration = Duration::from_millis(100);
/// A message whose turn comes sooner waits in memory; another goes back into the queue.
const NEAR: Duration = Duration::from_secs(3);
/// Nobody is put off for longer by pace alone: the order of the queue is looked at again.
const FAR: Duration = Duration::from_secs(60);

/// The pace of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Between two messages; zero: as they come.
    pub gap: Duration,
    /// What was not used before may be made up for by this much.
    pub burst: Duration,
    /// Between two messages to one recipient; zero: as they come.
    pub pair_gap: Duration,
}

impl Pace {
    /// Meta: messages per second of the number, and seconds between two messages to one recipient.
    pub fn of_meta(per_second: f64, pair_seconds: f64) -> Self {
        let gap = match per_second > 0.0 {
            true => Duration::from_secs_f64((1.0 / (per_second * META_SHARE)).min(86_400.0)),
            false => Duration::ZERO,
        };
        Self {
            gap,
            burst: META_BURST,
            pair_gap: Duration::from_secs_f64(pair_seconds),
        }
    }

    /// A phone: seconds between two messages.
    pub fn of_gateway(delay_seconds: f64) -> Self {
        Self {
            gap: Duration::from_secs_f64(delay_seconds),
            ..Self::default()
        }
    }

    /// How many messages wait in memory for their turn.
    pub fn kept(&self) -> usize {
        match self.gap.is_zero() {
            true => 0,
            false => 1 + (NEAR.as_secs_f64() / self.gap.as_secs_f64()) as usize,
        }
    }

    /// How long the `place`th message beyond those is put off; one that was put off before comes back later.
    pub fn put_off(&self, next_turn: Duration, place: usize, postponed: i32) -> Duration {
        let far = FAR * (1 << postponed.clamp(0, 4));
        let behind = self.kept().saturating_add(place);
        let line = self.gap.saturating_mul(u32::try_from(behind).unwrap_or(u32::MAX));
        // Where the provider itself asked for patience, that long at least.
        let wait = next_turn.max(next_turn.saturating_add(line).min(far));
        wait.mul_f64(1.0 + rand::random::<f64>() / 10.0)
    }
}

/// What an account has for waiting messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turns {
    /// So many may go now.
    pub now: usize,
    /// When the next turn comes.
    pub next: Instant,
}

/// Reserves turns: for each account how many messages wait.
///
/// # Errors
/// The server's; then nothing was reserved.
pub async fn reserve(
    client: &deadpool_postgres::Client,
    wanted: &HashMap<ProviderId, (usize, Pace)>,
) -> Result<HashMap<ProviderId, Turns>, tokio_postgres::Error> {
    let ids: Vec<i64> = wanted.keys().map(|id| id.0).collect();
    let messages: Vec<i32> = wanted
        .values()
        .map(|w| i32::try_from(w.0).unwrap_or(i32::MAX))
        .collect();
    let gaps: Vec<f64> = wanted.values().map(|w| w.1.gap.as_secs_f64()).collect();
    let bursts: Vec<f64> = wanted.values().map(|w| w.1.burst.as_secs_f64()).collect();
    let statement = client.prepare_cached(sql::PROVIDER_RESERVE.sql).await?;
    let mut rows = client
        .query(&statement, &[&ids, &messages, &gaps, &bursts])
        .await?;
    if rows.len() < ids.len() {
        // An account that was never used. What was granted to the others stays unused: it happens once.
        client
            .execute(
                "insert into sicantik_notify.provider_health (provider_id) \
                 select p.id from sicantik_notify.provider p where p.id = any ($1) on conflict do nothing",
                &[&ids],
            )
            .await?;
        rows = client
            .query(&statement, &[&ids, &messages, &gaps, &bursts])
            .await?;
    }
    let asked = Instant::now();
    Ok(rows
        .iter()
        .map(|r| {
            let seconds = Duration::try_from_secs_f64(r.get("seconds")).unwrap_or(FAR);
            let turns = Turns {
                now: r.get::<_, i32>("turns").unsigned_abs() as usize,
                next: asked + seconds,
            };
            (ProviderId(r.get("provider_id")), turns)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_of_meta_has_more_than_its_throughput() {
        for per_second in [20.0, 80.0, 1000.0] {
            let pace = Pace::of_meta(per_second, 6.0);
            let most = 1.0 + (1.0 + pace.burst.as_secs_f64()) / pace.gap.as_secs_f64();
            assert!(most < per_second + 1.0, "{per_second}: {most}");
        }
        assert!(Pace::of_meta(0.0, 0.0).gap.is_zero());
    }

    #[test]
    fn who_is_put_off_comes_one_behind_the_other_and_not_too_late() {
        let pace = Pace::of_gateway(5.0);
        assert_eq!(pace.kept(), 1);
        let seconds = |place, postponed| {
            pace.put_off(Duration::from_secs(4), place, postponed)
                .as_secs_f64()
        };
        assert!((9.0..10.0).contains(&seconds(0, 0)));
        assert!((19.0..21.0).contains(&seconds(2, 0)));
        assert!((60.0..=66.0).contains(&seconds(1000, 0)));
        assert!((960.0..=1056.0).contains(&seconds(1000, 9)));
        // The provider's own wish is not shortened.
        let hour = Duration::from_secs(3600);
        assert!(Pace::default().put_off(hour, 0, 0) >= hour);
    }
}
