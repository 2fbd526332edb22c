//! Writers that never stop, and keep a list of what they have committed, in the same transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sicantik_notifyd::testkit::host::OWNER;
use sicantik_notifyd::testkit::office::DATABASE;
use tokio::task::JoinHandle;

use crate::stand::Stand;

/// Permits that are written: 5000 to 5019. Each write changes status, so each is one event.
pub async fn prepare(stand: &Stand) {
    stand
        .sql(
            "create table written (n bigserial, permit integer, status text); grant all on written, written_n_seq to public; \
             insert into sicantik_permit (id, registration_id, permit_type_name, status) \
             select 5000 + i, 'w' || i, 't', 'draft' from generate_series(0, 19) i; \
             insert into sicantik_document (id, permit_id, name, document_number, state) select 5000 + i, 1, 'w' || i, 'w' || i, 'draft' from generate_series(0, 19) i",
        )
        .await;
    stand.forget().await;
}

pub struct Load {
    stop: Arc<AtomicBool>,
    pub commits: Arc<AtomicU64>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Writers that go on through crashes of the server.
    pub fn begin(stand: &Stand, writers: u64, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let commits = Arc::new(AtomicU64::new(0));
        let url = stand.office.cluster.url_as(OWNER, DATABASE);
        let writers = (0..writers)
            .map(|writer| {
                let (stop, commits, url) = (stop.clone(), commits.clone(), url.clone());
                let mut rng = StdRng::seed_from_u64(seed * 100 + writer);
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let Ok((client, connection)) =
                            tokio_postgres::connect(&url, tokio_postgres::NoTls).await
                        else {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        };
                        tokio::spawn(connection);
                        while !stop.load(Ordering::Relaxed) {
                            let sql = request(&mut rng, writer);
                            match client.batch_execute(&sql).await {
                                Ok(()) => _ = commits.fetch_add(1, Ordering::Relaxed),
                                Err(error) if error.is_closed() || error.as_db_error().is_none() => break,
                                // A conflict with another writer, or a server that goes down.
                                Err(_) if client.batch_execute("rollback").await.is_err() => break,
                                Err(_) => {}
                            }
                        }
                    }
                })
            })
            .collect();
        Self {
            stop,
            commits,
            writers,
        }
    }

    /// Waits until so many more transactions were committed.
    pub async fn more(&self, count: u64) {
        let wanted = self.commits.load(Ordering::Relaxed) + count;
        let wait = async {
            while self.commits.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .expect("the writers go on");
    }

    pub async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
    }
}

/// A transaction of a few writes to one or two tables; some of it is taken back, some of it takes its time.
fn request(rng: &mut StdRng, writer: u64) -> String {
    let mut sql = String::from("begin;");
    for _ in 0..rng.random_range(1..4) {
        // One order for all writers of a table would hide nothing, and deadlocks are retried.
        let id = 5000 + rng.random_range(0..20);
        let status = format!("w{writer}-{}", rng.random::<u64>());
        let (table, column) = match rng.random_bool(0.7) {
            true => ("sicantik_permit", "status"),
            false => ("sicantik_document", "state"),
        };
        let back = rng.random_bool(0.1);
        if back {
            sql.push_str("savepoint s;");
        }
        sql.push_str(&format!(
            "update {table} set {column} = '{status}' where id = {id}; insert into written (permit, status) values ({id}, '{status}');"
        ));
        if back {
            sql.push_str("rollback to s;");
        }
        if rng.random_bool(0.05) {
            sql.push_str("select pg_sleep(0.05);");
        }
    }
    sql.push_str(if rng.random_bool(0.1) {
        "rollback"
    } else {
        "commit"
    });
    sql
}

/// What was committed and what was captured are the same, each once.
pub async fn compare(stand: &Stand) {
    let captured = "select record_id, coalesce(new ->> 'status', new ->> 'state') from sicantik_notify.event where record_id between 5000 and 5019";
    let committed = "select permit::bigint, status from written";
    let lost: i64 = stand
        .one(&format!(
            "select count(*) from ({committed} except all {captured}) d"
        ))
        .await;
    let doubled: i64 = stand
        .one(&format!(
            "select count(*) from ({captured} except all {committed}) d"
        ))
        .await;
    let all: i64 = stand.one("select count(*) from written").await;
    assert_eq!((lost, doubled), (0, 0), "of {all}\n{}", stand.daemon.log());
    println!("{all} writes, each captured once");
}
