//! Partitions are made ahead of time, and dropped when retention says so, by whoever runs: nobody runs `migrate` every month.
//! Safe to run in several instances at once, and to fail: what a lock stood in the way of is done the next time.

use std::time::{Duration, Instant};

/// How often.
const INTERVAL: Duration = Duration::from_secs(3600);
/// After a failure sooner: another transaction may have held a lock.
const AGAIN: Duration = Duration::from_secs(60);

const WORK: &[(&str, &str)] = &[
    (
        "Made",
        "select sicantik_notify.ensure_partitions(sicantik_notify.clock())",
    ),
    (
        "Dropped",
        "select sicantik_notify.retire_partitions(sicantik_notify.clock())",
    ),
    (
        "Dropped",
        "select sicantik_notify.drop_event_history(sicantik_notify.clock())",
    ),
];

/// When they were looked after; the first time is at once.
#[derive(Debug, Default)]
pub struct Partitions {
    due: Option<Instant>,
}

impl Partitions {
    /// Makes and drops what is due. A failure is no reason to stop: there are more of them ahead, and a DEFAULT partition
    /// under all.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn look_after(
        &mut self,
        client: &deadpool_postgres::Client,
    ) -> Result<(), tokio_postgres::Error> {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        let mut pause = INTERVAL;
        for (what, statement) in WORK {
            match client.query(*statement, &[]).await {
                Ok(rows) => {
                    for row in rows {
                        let name: &str = row.get(0);
                        tracing::info!("{what} the partition {name}.");
                    }
                }
                Err(error) if error.is_closed() => return Err(error),
                Err(error) => {
                    pause = AGAIN;
                    let error = crate::db::describe(&error);
                    tracing::warn!(error, "Partitions were not looked after; trying again soon.");
                }
            }
        }
        self.due = Some(Instant::now() + pause);
        Ok(())
    }
}
