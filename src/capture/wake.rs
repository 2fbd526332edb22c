//! Being woken without a price for the host. NOTIFY takes a lock of the whole cluster at commit, so hooks leave it out
//! while the daemon is known to look by itself: until the time in the sequence `awake`.
//!
//! The protocol of the evaluating loop: while rounds follow one another, stay *awake* (renewed before it runs out); before
//! waiting, fall *asleep*, look once more, then wait. A transaction that saw "awake" and commits after the last look costs
//! one poll interval.

use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;

/// How long one "awake" holds. Longer than a round, shorter than an operator's patience after a crash.
const AWAKE: Duration = Duration::from_millis(3000);
/// How often a sleeping daemon shows that it is there (hooks stop storing events when nobody is home for days).
const PRESENCE: Duration = Duration::from_secs(60);

const SET: &str = "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint + $1::bigint)";
/// The file of `event` never shrinks: the hooks' limit on what waits counts from its size when it was last empty.
const FLOOR: &str = "select setval('sicantik_notify.event_floor', \
                     pg_relation_size(c.oid) + coalesce(pg_relation_size(c.reltoastrelid), 0)) \
                     from pg_class c \
                     where c.oid = 'sicantik_notify.event'::regclass and not exists (select from sicantik_notify.event)";

/// What the hooks believe about us.
#[derive(Debug, Default)]
pub struct Wakefulness {
    awake_until: Option<Instant>,
    shown: Option<Instant>,
}

impl Wakefulness {
    /// Work follows work: hooks need not wake us.
    ///
    /// # Errors
    /// The server's.
    pub async fn stay_awake(&mut self, client: &impl GenericClient) -> Result<(), tokio_postgres::Error> {
        let now = Instant::now();
        if self.awake_until.is_none_or(|until| until < now + AWAKE / 2) {
            client.query(SET, &[&(AWAKE.as_millis() as i64)]).await?;
            self.awake_until = Some(now + AWAKE);
            self.shown = Some(now);
        }
        Ok(())
    }

    /// Before waiting. True: the hooks believed us awake until now, so look once more before you wait.
    ///
    /// # Errors
    /// The server's.
    pub async fn fall_asleep(&mut self, client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
        let was_awake = self.awake_until.take().is_some();
        if was_awake || self.shown.is_none_or(|shown| shown.elapsed() > PRESENCE) {
            client.query(SET, &[&0_i64]).await?;
            client.query(FLOOR, &[]).await?;
            self.shown = Some(Instant::now());
        }
        Ok(was_awake)
    }
}
