//! What a look into the queue costs: with nothing to do, and for a claim of a hundred. On a clean database, on one with millions of log
//! rows and messages that are not due, and while somebody holds an old snapshot under which a backlog has passed.

use std::time::{Duration, Instant};

use sicantik_notifyd::db::Endpoint;
use sicantik_notifyd::host::permit::Arming;
use sicantik_notifyd::queue::claim::claim;
use sicantik_notifyd::queue::holding::Holding;
use sicantik_notifyd::queue::lookout::Lookout;
use sicantik_notifyd::testkit::office::{Office, Plan, RUNTIME};
use tokio_postgres::Client;

use super::drain::{armed, fill_more};
use super::ground::{self, OFFICE};
use super::table::{Table, Target, median, percentile};

const CLEAN: &str = "clean";
const BATCH: i64 = 100;

/// Somebody who claims.
struct Looker {
    admin: Client,
    database: sicantik_notifyd::db::Database,
    arming: Arming,
    holding: Holding,
    lookout: Lookout,
    /// How many were written to: each time to others, as in an office.
    recipients: i64,
}

impl Looker {
    async fn at(office: &Office, name: &str) -> Self {
        let url = office.cluster.url_as(RUNTIME, name);
        Self {
            admin: office.cluster.connect(name).await.unwrap(),
            database: Endpoint::parse(&url, None).unwrap().pool(2).unwrap(),
            arming: armed(office, name).await,
            holding: Holding::default(),
            lookout: Lookout::default(),
            recipients: 0,
        }
    }

    /// One look; milliseconds, and what it claimed.
    async fn look(&mut self) -> (f64, Vec<i64>) {
        let client = self.database.get().await.unwrap();
        let begun = Instant::now();
        let lease = Duration::from_secs(60);
        let claimed = claim(
            &client,
            &self.arming,
            1,
            BATCH as usize,
            lease,
            &self.holding,
            &mut self.lookout,
        )
        .await
        .unwrap();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        (took, claimed.iter().map(|m| m.id.0).collect())
    }

    async fn empty(&mut self) -> f64 {
        let (took, claimed) = self.look().await;
        assert!(claimed.is_empty());
        took
    }

    /// A claim of a hundred, and then they are gone.
    async fn hundred(&mut self) -> f64 {
        fill_more(&self.admin, self.recipients, BATCH).await;
        self.recipients += BATCH;
        let (took, claimed) = self.look().await;
        assert_eq!(claimed.len() as i64, BATCH);
        let gone = "delete from sicantik_notify.queue where id = any ($1)";
        self.admin.execute(gone, &[&claimed]).await.unwrap();
        took
    }
}

pub async fn run(table: &mut Table, full: bool) {
    let (log, later, passed) = if full {
        (10_000_000, 1_000_000, 600_000)
    } else {
        (1_000_000, 300_000, 60_000)
    };
    let plan = Plan {
        hooks: false,
        ..Plan::default()
    };
    let office = ground::office(&plan, true).await;
    let admin = office.admin().await.unwrap();
    super::drain::ready(&admin).await;
    admin
        .batch_execute("alter table sicantik_notify.queue reset (autovacuum_enabled)")
        .await
        .unwrap();
    drop(admin);
    office.cluster.create_database(CLEAN, Some(OFFICE)).await.unwrap();
    // A copy sends nothing, except where an operator says that it is the real one: by arming it.
    let mut clean = Looker::at(&office, CLEAN).await;
    let mut laden = Looker::at(&office, OFFICE).await;
    load(&laden.admin, log, later).await;
    let name = format!("{log} log rows, {later} not due");
    compare(table, &name, &mut laden, &mut clean, 1.5, 200).await;

    let old = office.cluster.connect(OFFICE).await.unwrap();
    old.batch_execute("begin isolation level repeatable read; select count(*) from sicantik_notify.rule")
        .await
        .unwrap();
    pass(&mut laden, passed).await;
    let name = format!("old snapshot, {passed} passed");
    compare(table, &name, &mut laden, &mut clean, 5.0, 100).await;
    old.batch_execute("rollback").await.unwrap();
}

async fn load(admin: &Client, log: i64, later: i64) {
    admin
        .batch_execute(&format!(
            "insert into sicantik_notify.log (id, state, rule_id, rule_code, model, record_id, phone, template_key, context, tries,
                                              possible_duplicate, created_at)
             select -n, 'sent', 1, 'drain', 'sicantik.permit', n, '+62812' || lpad(n::text, 8, '0'), 'permit_ready',
                    jsonb_build_object('permit_number', n), 0, false, now()
             from generate_series(1, {log}) n;
             insert into sicantik_notify.queue (ready, priority, scheduled_at, rule_id, phone, template_key, model, record_id, context)
             select false, 9, now() + interval '1 day', r.id, '+62813' || lpad(n::text, 8, '0'), 'permit_ready', 'sicantik.permit', n,
                    jsonb_build_object('permit_number', n)
             from generate_series(1, {later}) n join sicantik_notify.rule r on r.code = 'drain'"
        ))
        .await
        .unwrap();
    for sql in [
        "vacuum analyze sicantik_notify.queue",
        "vacuum analyze sicantik_notify.log",
        "checkpoint",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
}

/// Messages come and go while the snapshot is held.
async fn pass(looker: &mut Looker, messages: i64) {
    let mut left = messages;
    while left > 0 {
        looker.hundred().await;
        left -= BATCH;
    }
}

async fn compare(
    table: &mut Table,
    name: &str,
    laden: &mut Looker,
    clean: &mut Looker,
    most: f64,
    times: usize,
) {
    let (mut polls, mut claims, mut poll_floor, mut claim_floor) = (vec![], vec![], vec![], vec![]);
    for _ in 0..times {
        poll_floor.push(clean.empty().await);
        polls.push(laden.empty().await);
        claim_floor.push(clean.hundred().await);
        claims.push(laden.hundred().await);
    }
    for (what, ours, floor) in [
        ("empty poll", &polls, &poll_floor),
        ("claim of 100", &claims, &claim_floor),
    ] {
        table.ratio(
            &format!("g. {what}: {name}"),
            format!("{:.2} ms (p95 {:.1})", median(ours), percentile(ours, 0.95)),
            format!("clean: {:.2} ms", median(floor)),
            median(ours) / median(floor),
            Target::AtMost(most),
        );
    }
}
