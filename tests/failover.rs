//! P3 and P4 across a failover (the promises hold for what the surviving primary has): an asynchronous standby takes over and lacks what
//! was committed last. What a daemon remembers to have sent is not sent again; what nobody can know is flagged. The gateway's own
//! record is the judge.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "webhooks/bench.rs"]
mod bench;
mod desk;

use std::collections::{BTreeMap, BTreeSet};

use desk::{Desk, PATIENCE, QUICK, approve, citizens, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, RUNTIME};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

/// Two servers of one office, and what is said of the second one once it has taken over.
struct Pair {
    desk: Desk,
    standby: Cluster,
}

impl Pair {
    async fn new() -> Self {
        let desk = desk().await;
        desk.only("Fonnte").await;
        let standby = desk.office.cluster.standby().await.unwrap();
        Self { desk, standby }
    }

    /// A daemon that knows both servers and works on the one that accepts writes.
    async fn daemon(&self, config: &str) -> Daemon {
        let (a, b) = (&self.desk.office.cluster, &self.standby);
        let url = format!(
            "host={},{} port={},{} user={RUNTIME} dbname={DATABASE}",
            a.socket_dir().display(),
            b.socket_dir().display(),
            a.port(),
            b.port()
        );
        let state = self.desk.office.folder().join("state");
        self.desk
            .office
            .daemon_at(&url, &format!("{QUICK}{config}"), &state)
            .await
            .unwrap()
    }

    /// From now on the standby gets nothing.
    async fn cut_off(&self) {
        self.standby.catch_up(&self.desk.office.cluster).await.unwrap();
        self.standby.cut_off().await.unwrap();
    }

    /// The primary is lost and the standby takes over. A connection to it.
    async fn fail_over(&self) -> Client {
        self.desk.office.cluster.kill().await.unwrap();
        self.standby.promote().await.unwrap();
        self.standby.connect(DATABASE).await.unwrap()
    }

    async fn until(&self, admin: &Client, query: &str) {
        if let Err(error) = self.desk.office.until(admin, query).await {
            let mut text = String::new();
            for table in ["v_queue", "v_attempt", "v_problem", "v_failover", "instance"] {
                let query = format!("select to_jsonb(t.*)::text from sicantik_notify.{table} t limit 9");
                for row in admin.query(&query, &[]).await.unwrap() {
                    text.push_str(&format!("{table}: {}\n", row.get::<_, String>(0)));
                }
            }
            panic!("{error}\n{text}");
        }
    }

    /// How often each number was written to, by the gateway's own record.
    fn told(&self) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        for accepted in self.desk.office.gateway.accepted() {
            *told.entry(format!("+{}", accepted.to)).or_default() += 1;
        }
        told
    }

    /// Nobody was written to twice without a flag on the new primary, and everybody was written to.
    async fn judge(&self, admin: &Client, numbers: &[String]) {
        let rows = admin
            .query(
                "select phone from sicantik_notify.log where possible_duplicate union
                 select phone from sicantik_notify.queue where possible_duplicate",
                &[],
            )
            .await
            .unwrap();
        let flagged: BTreeSet<String> = rows.iter().map(|r| r.get(0)).collect();
        let told = self.told();
        for number in numbers {
            let times = told.get(number).copied().unwrap_or(0);
            assert!(
                times == 1 || times == 2 && flagged.contains(number),
                "{number} was written to {times} times: {told:?}, flagged {flagged:?}"
            );
        }
    }
}

fn numbers(base: u32, count: u32) -> Vec<String> {
    (base..base + count).map(|n| format!("+6281200{n:06}")).collect()
}

async fn one(admin: &Client, query: &str) -> i64 {
    admin.query_one(query, &[]).await.unwrap().get(0)
}

const DRAINED: &str = "select not exists (select from sicantik_notify.queue)";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_sent_last_is_not_sent_again() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let sent = numbers(100, 6);
    desk.sql(
        "update sicantik_notify.rule set rate_limit_enabled = true, rate_limit_count = 1000 where code = 'notify_permit_approved';
         update sicantik_notify.provider set uncertain_wait = interval '5 seconds'",
    )
    .await;
    let _daemon = pair
        .daemon("concurrency = 1\nclaim_batch = 1\nfailover_window_seconds = 600\n")
        .await;
    // While the first one is under way, the others stand ready, on both servers.
    let hold = script.hold(HoldPoint::BeforeAccept);
    desk.message(&sent[0]).await;
    assert!(hold.arrived_within(PATIENCE).await);
    for number in &sent[1..] {
        desk.message(number).await;
    }
    // One of them gets no answer, and one more is under way when the primary is lost.
    script.once_to(&sent[1], Behaviour::CutAfterAccept);
    pair.cut_off().await;
    drop(hold);
    desk.until("select count(*) = 5 from sicantik_notify.log").await;
    desk.message("+6281200000199").await;
    let hold = script.hold(HoldPoint::AfterAccept);
    assert!(hold.arrived_within(PATIENCE).await);
    let admin = pair.fail_over().await;
    let before = desk.office.gateway.requests().len();
    pair.until(
        &admin,
        "select exists (select from sicantik_notify.v_problem where about = 'failover to timeline 2')",
    )
    .await;
    // Nothing is claimed while its answer is awaited.
    assert_eq!(
        one(
            &admin,
            "select count(*) from sicantik_notify.queue where claim_token > 1000000"
        )
        .await,
        0
    );
    drop(hold);
    pair.until(&admin, DRAINED).await;
    pair.judge(&admin, &sent).await;
    // Only what had no answer was sent again.
    assert_eq!(desk.office.gateway.requests().len(), before + 1);
    assert_eq!(pair.told()[&sent[1]], 2);
    assert_eq!(
        one(&admin, "select count(*) from sicantik_notify.log where state = 'sent' and not possible_duplicate and external_id is not null").await,
        5
    );
    let problem: String = admin
        .query_one(
            "select summary from sicantik_notify.v_problem where about = 'failover to timeline 2'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(
        problem.contains("7 sends were missing (5 known to be sent, 1 uncertain, 1 without a message here)"),
        "{problem}"
    );
    // Places within the limit were taken for what was sent, so that its window holds across the failover.
    assert_eq!(one(&admin, "select used::bigint from sicantik_notify.rate_state s join sicantik_notify.rule r on r.id = s.rule_id where r.code = 'notify_permit_approved'").await, 8);
    // And it goes on.
    let next = numbers(300, 3);
    for number in &next {
        message(&admin, number).await;
    }
    pair.until(&admin, DRAINED).await;
    pair.judge(&admin, &next).await;
}

/// A message put into the queue of the new primary.
async fn message(admin: &Client, phone: &str) {
    admin
        .execute(
            "insert into sicantik_notify.queue (ready, rule_id, partner_name, phone, template_key, context)
             select true, id, 'Budi', $1, 'permit_ready',
                    '{\"partner_name\": \"Budi\", \"permit_number\": \"503/7\", \"permit_type\": \"SIP\", \"status\": \"Aktif\",
                      \"completion_date\": \"01-02-2026\"}'
             from sicantik_notify.rule where code = 'notify_permit_approved'",
            &[&phone],
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_message_was_lost_is_not_told_twice() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    // Hooks stand, nobody evaluates: the change reaches the standby, its message does not.
    let hooks = pair.daemon("").await;
    desk.until(
        "select exists (select from sicantik_notify.capture_publication where model = 'sicantik.permit')",
    )
    .await;
    drop(hooks);
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 3).await;
    approve(&mut odoo, &people.iter().map(|p| p.0).collect::<Vec<_>>()).await;
    drop(odoo);
    pair.cut_off().await;
    let _daemon = pair.daemon("failover_window_seconds = 600\n").await;
    desk.until("select count(*) = 3 from sicantik_notify.log where state = 'sent'")
        .await;
    let admin = pair.fail_over().await;
    pair.until(
        &admin,
        "select count(*) = 3 from sicantik_notify.log where state = 'sent' and not possible_duplicate",
    )
    .await;
    pair.until(&admin, DRAINED).await;
    let numbers: Vec<String> = people.iter().map(|p| format!("+{}", p.1)).collect();
    pair.judge(&admin, &numbers).await;
    assert_eq!(desk.office.gateway.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_waits_for_the_memory_of_the_first() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    let first = pair.daemon("failover_window_seconds = 600\n").await;
    desk.until("select count(*) = 1 from sicantik_notify.instance")
        .await;
    let sent = numbers(100, 8);
    desk.sql("update sicantik_notify.rule set active = false").await;
    for number in &sent {
        desk.message(number).await;
    }
    desk.sql("update sicantik_notify.queue set ready = false, waiting_for = 'rule_inactive'")
        .await;
    pair.cut_off().await;
    // The standby has them parked, as if the rule had never been switched on; there a person does it again.
    desk.sql("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await;
    desk.until("select count(*) = 8 from sicantik_notify.log where state = 'sent'")
        .await;
    // Frozen: it cannot tell yet.
    first.signal("STOP").await.unwrap();
    let admin = pair.fail_over().await;
    admin
        .batch_execute("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await
        .unwrap();
    let second = pair.daemon("failover_window_seconds = 600\n").await;
    pair.until(
        &admin,
        "select count(*) = 1 from sicantik_notify.timeline where timeline = 2 and cardinality(reported) >= 1",
    )
    .await;
    pair.until(
        &admin,
        "select count(*) = 8 from sicantik_notify.queue where state = 'pending'",
    )
    .await;
    // The second one beats and has told, and claims nothing.
    let beats = "select heartbeat_at > started_at + interval '2 seconds' from sicantik_notify.instance order by id desc limit 1";
    pair.until(&admin, beats).await;
    assert_eq!(desk.office.gateway.count(), 8);
    assert_eq!(
        one(
            &admin,
            "select count(*) from sicantik_notify.queue where claim_token is not null"
        )
        .await,
        0
    );
    first.signal("CONT").await.unwrap();
    pair.until(&admin, DRAINED).await;
    assert_eq!(desk.office.gateway.count(), 8);
    pair.judge(&admin, &sent).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_died_with_its_primary_leaves_what_was_due_uncertain() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    // Of what it sends last the standby sees one on the wire, one that is claimed, and others that are due.
    let mut daemon = pair.daemon("concurrency = 1\nclaim_batch = 1\n").await;
    desk.until("select count(*) = 1 from sicantik_notify.instance")
        .await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let hold = script.hold(HoldPoint::BeforeAccept);
    let sent = numbers(100, 5);
    desk.message(&sent[0]).await;
    assert!(hold.arrived_within(PATIENCE).await);
    for number in &sent[1..] {
        desk.message(number).await;
    }
    desk.until("select count(*) = 2 from sicantik_notify.queue where state = 'processing'")
        .await;
    let later = numbers(900, 1);
    desk.message(&later[0]).await;
    desk.sql(&format!(
        "update sicantik_notify.queue set ready = false, scheduled_at = sicantik_notify.clock() + interval '1 hour' where phone = '{}'",
        later[0]
    ))
    .await;
    pair.cut_off().await;
    drop(hold);
    desk.until("select count(*) = 5 from sicantik_notify.log where state = 'sent'")
        .await;
    daemon.kill().await.unwrap();
    let admin = pair.fail_over().await;
    let _next = pair.daemon("failover_window_seconds = 1\n").await;
    pair.until(
        &admin,
        "select count(*) = 5 from sicantik_notify.log where state = 'sent' and possible_duplicate",
    )
    .await;
    pair.judge(&admin, &sent).await;
    // What was not due was not sent, and is as it was.
    assert_eq!(
        one(
            &admin,
            "select count(*) from sicantik_notify.queue where not possible_duplicate and uncertain_sends = 0"
        )
        .await,
        1
    );
    pair.until(
        &admin,
        "select exists (select from sicantik_notify.v_problem where about = 'failover to timeline 2' and severity = 'alarm'
                        and summary like '%5 due messages are uncertain because 1 daemons could not be asked')",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_that_loses_nothing_goes_on_at_once_and_raises_nothing() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    let daemon = pair.daemon("failover_window_seconds = 600\n").await;
    let sent = numbers(100, 4);
    for number in &sent {
        desk.message(number).await;
    }
    desk.until("select count(*) = 4 from sicantik_notify.log where state = 'sent'")
        .await;
    pair.standby.catch_up(&desk.office.cluster).await.unwrap();
    // A fast stop hands everything to the standby first.
    desk.office
        .cluster
        .stop(sicantik_notifyd::testkit::postgres::StopMode::Fast)
        .await
        .unwrap();
    pair.standby.promote().await.unwrap();
    let admin = pair.standby.connect(DATABASE).await.unwrap();
    let next = numbers(200, 4);
    for number in &next {
        message(&admin, number).await;
    }
    pair.until(
        &admin,
        "select count(*) = 8 from sicantik_notify.log where state = 'sent' and not possible_duplicate",
    )
    .await;
    pair.judge(&admin, &[sent, next].concat()).await;
    assert_eq!(desk.office.gateway.count(), 8);
    assert_eq!(
        one(
            &admin,
            "select count(*) from sicantik_notify.v_problem where about like 'failover%'"
        )
        .await,
        0
    );
    // The numbers that the old primary gave out last are not given out again.
    assert_eq!(
        one(
            &admin,
            "select count(*) from sicantik_notify.attempt where id > 1000000 and claim_token > 1000000"
        )
        .await,
        4
    );
    assert!(
        daemon.log().contains("Nothing that was sent is missing"),
        "{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_that_comes_back_is_not_sent_from() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    let daemon = pair.daemon("failover_window_seconds = 600\n").await;
    desk.message("+6281200000400").await;
    desk.until("select count(*) = 1 from sicantik_notify.log").await;
    pair.cut_off().await;
    let admin = pair.fail_over().await;
    pair.until(
        &admin,
        "select exists (select from sicantik_notify.timeline where timeline = 2 and opened_at is not null)",
    )
    .await;
    // Nobody has fenced it: it accepts writes again, stands first in the URL, and has a message that is due.
    desk.office.cluster.restart().await.unwrap();
    let old = desk.office.admin().await.unwrap();
    message(&old, "+6281200000401").await;
    admin
        .batch_execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sicantik_notifyd'",
        )
        .await
        .unwrap();
    let told = async {
        while !daemon.log().contains("an old primary answers") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it says so");
    pair.until(
        &old,
        "select exists (select from sicantik_notify.instance where heartbeat_at > clock_timestamp() - interval '1 second')",
    )
    .await;
    assert_eq!(desk.office.gateway.count(), 1);
    // It is stopped for good, and the new one goes on.
    desk.office.cluster.kill().await.unwrap();
    message(&admin, "+6281200000402").await;
    pair.until(&admin, DRAINED).await;
    assert_eq!(pair.told().get("+6281200000401"), None);
    assert_eq!(desk.office.gateway.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_settles_a_send_that_only_a_daemon_remembers() {
    let pair = Pair::new().await;
    let desk = &pair.desk;
    desk.only("Meta").await;
    let number = "+6281200000500";
    desk.sql(&format!(
        "insert into sicantik_notify.consent (phone, opted_in_at) values ('{number}', now());
         insert into sicantik_notify.provider_secret (provider_id, name, value)
         select id, 'app_secret', '{}' from sicantik_notify.provider where name = 'Meta';
         update sicantik_notify.provider set uncertain_wait = interval '1 hour'",
        bench::APP_SECRET.replace('\'', "''")
    ))
    .await;
    let daemon = pair
        .daemon(&format!("failover_window_seconds = 600\n{}", bench::LISTENS))
        .await;
    desk.until("select count(*) = 1 from sicantik_notify.instance")
        .await;
    let address = bench::address(&daemon).await;
    // The answer is lost, and with the primary's last seconds all that is known of the send.
    desk.office
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::CutAfterAccept);
    let rule = |active: bool| {
        format!("update sicantik_notify.rule set active = {active} where code = 'notify_permit_approved'")
    };
    desk.sql(&rule(false)).await;
    let id = desk.message(number).await;
    pair.cut_off().await;
    desk.sql(&rule(true)).await;
    desk.until("select uncertain_sends = 1 from sicantik_notify.queue")
        .await;
    let accepted = desk.accepted(1).await.remove(0);
    let admin = pair.fail_over().await;
    pair.until(
        &admin,
        "select count(*) = 1 from sicantik_notify.queue where state = 'pending' and possible_duplicate and uncertain_sends = 1",
    )
    .await;
    let meta = desk
        .office
        .gateway
        .meta_webhooks(&format!("http://{address}/webhook/meta"), bench::APP_SECRET);
    let external = accepted.external_id.unwrap();
    assert_eq!(meta.send_status(&external, "delivered").await.unwrap(), 200);
    pair.until(
        &admin,
        &format!(
            "select exists (select from sicantik_notify.log where id = {id} and state = 'sent' and external_id = '{external}'
                                                              and not possible_duplicate)"
        ),
    )
    .await;
    assert_eq!(desk.office.gateway.count(), 1);
}
