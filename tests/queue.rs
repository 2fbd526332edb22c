//! The queue as the daemon's own statements see it: what a claim costs (ruling D1), and races driven by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::time::Duration;

use chrono::{DateTime, Utc};
use desk::{Desk, QUICK, desk};
use serde_json::Value;
use sicantik_notifyd::db::prepared::ONE_PLAN;
use sicantik_notifyd::db::statements as sql;
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio_postgres::Client;

/// Fills the queue with rows of a rule.
async fn fill(desk: &Desk, rows: u32, rule: &str, columns: &str, values: &str) {
    desk.sql(&format!(
        "insert into sicantik_notify.queue (rule_id, phone, template_key, context, {columns})
         select r.id, '+62812' || lpad(i::text, 8, '0'), 'permit_ready',
                '{{\"partner_name\": \"B\", \"permit_number\": \"1\", \"permit_type\": \"S\", \"status\": \"A\"}}', {values}
         from sicantik_notify.rule r, generate_series(1, {rows}) i where r.code = '{rule}'"
    ))
    .await;
}

const ACTIVE: &str = "notify_permit_approved";
const INACTIVE: &str = "notify_permit_expiring";

/// Runs a statement as the runtime role, prepared as the daemon does, and takes it back: how many rows it gave, and how many
/// pages it touched. With the plan for these values and with the one for any values.
async fn pages(client: &Client, text: &str, values: &str) -> (usize, i64) {
    let (mut rows, mut touched) = (0, 0);
    for mode in ["force_custom_plan", "force_generic_plan"] {
        client
            .batch_execute(&format!(
                "deallocate all; prepare it as {text}; set plan_cache_mode = {mode}; begin"
            ))
            .await
            .unwrap();
        // Once for the caches of the session.
        client
            .simple_query(&format!("execute it({values})"))
            .await
            .unwrap();
        client.batch_execute("rollback; begin").await.unwrap();
        let explain = format!("explain (analyze, buffers, format json) execute it({values})");
        let mut plan = String::new();
        for message in client.simple_query(&explain).await.unwrap() {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                plan.push_str(row.get(0).unwrap());
            }
        }
        client.batch_execute("rollback").await.unwrap();
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let top = &plan[0]["Plan"];
        rows = top["Actual Rows"].as_f64().unwrap() as usize;
        touched = touched
            .max(top["Shared Hit Blocks"].as_i64().unwrap() + top["Shared Read Blocks"].as_i64().unwrap());
    }
    (rows, touched)
}

/// The hash that the first daemon armed itself with.
async fn armed(desk: &Desk) -> String {
    let mut daemon = desk.quick().await;
    daemon.signal("TERM").await.unwrap();
    daemon.wait().await.unwrap();
    desk.text("select secret_hash from sicantik_notify.arming")
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_does_not_read_what_is_not_due_nor_what_is_parked() {
    let desk = desk().await;
    let hash = armed(&desk).await;
    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    let claim = format!("'{hash}', 1, 100, 60, null, null, 0");
    fill(
        &desk,
        200_000,
        ACTIVE,
        "priority, scheduled_at",
        "50, now() + interval '1 day'",
    )
    .await;
    fill(
        &desk,
        100_000,
        INACTIVE,
        "priority, waiting_for",
        "60, 'rule_inactive'",
    )
    .await;
    fill(&desk, 100_000, ACTIVE, "priority, state", "70, 'held'").await;
    // With statistics and without.
    for analyze in ["select 1", "analyze sicantik_notify.queue"] {
        desk.sql(analyze).await;
        let (none, touched) = pages(&client, sql::CLAIM.sql, &claim).await;
        assert_eq!(none, 0);
        assert!(touched < 60, "a claim that finds nothing touches {touched} pages");
        // The sweeps of every second read none of it either.
        for (statement, values) in [
            (sql::PROMOTE, "1000"),
            (sql::RECOVER, "1, 1000, 1, '{}'"),
            (sql::EXTEND_LEASES, "1, 60, true, null, '{}'"),
            (sql::ATTEMPT_ORPHANS, ""),
        ] {
            let values = if values.is_empty() { "1" } else { values };
            let text = match statement.sql.contains("$1") {
                true => statement.sql.to_owned(),
                false => format!("{} and $1::integer = 1", statement.sql),
            };
            let (_, touched) = pages(&client, &text, values).await;
            assert!(touched < 60, "{}: {touched} pages", statement.name);
        }
    }
    for i in 0..50 {
        desk.message(&format!("+62813000000{i:02}")).await;
    }
    let (taken, touched) = pages(&client, sql::CLAIM.sql, &claim).await;
    assert_eq!(taken, 50);
    // Each message costs its row, and its places in the indexes that its new state touches.
    assert!(touched < 60 + 50 * 30, "a claim of 50 touches {touched} pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_does_not_read_what_is_over_a_limit_nor_what_a_storm_held() {
    const LIMITED: &str = "notify_document_signed";
    let desk = desk().await;
    let hash = armed(&desk).await;
    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    let claim = format!("'{hash}', 1, 100, 60, null, null, 0");
    // The limit is used up, by sends of the last minutes.
    desk.sql(&format!(
        "update sicantik_notify.rule set active = true, rate_limit_enabled = true, rate_limit_count = 1000 where code = '{LIMITED}';
         update sicantik_notify.rate_state s set used = 1000 from sicantik_notify.rule r where r.id = s.rule_id and r.code = '{LIMITED}';
         insert into sicantik_notify.rate_usage (rule_id, message_id, reserved_at, ended_at)
         select r.id, i, now(), now() from sicantik_notify.rule r, generate_series(1, 1000) i where r.code = '{LIMITED}'"
    ))
    .await;
    fill(
        &desk,
        200_000,
        LIMITED,
        "priority, waiting_for",
        "80, 'rate_limit'",
    )
    .await;
    fill(
        &desk,
        200_000,
        ACTIVE,
        "priority, state, waiting_for",
        "90, 'held', 'storm_guard'",
    )
    .await;
    for analyze in [
        "select 1",
        "analyze sicantik_notify.queue, sicantik_notify.rate_usage",
    ] {
        desk.sql(analyze).await;
        for (statement, values) in [
            (sql::CLAIM, claim.as_str()),
            (sql::PROMOTE, "1000"),
            (sql::ADMIT, "1000"),
            (sql::RECOVER, "1, 1000, 1, '{}'"),
        ] {
            let (rows, touched) = pages(&client, statement.sql, values).await;
            assert_eq!(rows, 0, "{}", statement.name);
            assert!(touched < 80, "{}: {touched} pages", statement.name);
        }
    }
    for i in 0..50 {
        desk.message(&format!("+62813000000{i:02}")).await;
    }
    let (taken, touched) = pages(&client, sql::CLAIM.sql, &claim).await;
    assert_eq!(taken, 50);
    assert!(touched < 60 + 50 * 30, "a claim of 50 touches {touched} pages");
    // Ten places become free: their messages are found without a look at the others.
    desk.sql("update sicantik_notify.rate_usage set ended_at = '-infinity' where message_id <= 10")
        .await;
    let (_, touched) = pages(&client, sql::ADMIT.sql, "1000").await;
    assert!(touched < 60 + 10 * 40, "admitting ten touches {touched} pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_switched_off_parks_its_messages_and_on_brings_them_back() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    fill(&desk, 500, ACTIVE, "scheduled_at", "now()").await;
    desk.sql("update sicantik_notify.queue set ready = true; update sicantik_notify.rule set active = false")
        .await;
    let _daemon = desk.quick().await;
    let late = desk.message("+6281300001000").await; // enqueued while the rule was being switched off
    desk.until(&format!(
        "select waiting_for = 'rule_inactive' from sicantik_notify.queue where id = {late}"
    ))
    .await;
    desk.until(&format!(
        "select waiting_for = 'rule inactive' from sicantik_notify.v_queue where id = {late}"
    ))
    .await;
    assert_eq!(desk.office.gateway.count(), 0);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where ready or state <> 'pending'")
            .await,
        0
    );
    desk.sql("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await;
    desk.accepted(501).await;
    // A message that was parked after its rule came back is found as well.
    let strays = "insert into sicantik_notify.queue (waiting_for, rule_id, phone, template_key, context)
                  select 'rule_inactive', id, '+6281300001001', 'permit_ready',
                         '{\"partner_name\": \"B\", \"permit_number\": \"1\", \"permit_type\": \"S\", \"status\": \"A\"}'
                  from sicantik_notify.rule where code = 'notify_permit_approved'";
    desk.sql(strays).await;
    desk.until("select exists (select from sicantik_notify.log where phone = '+6281300001001')")
        .await;
}

/// No bounds: a look at everything.
const NOWHERE: &[Option<DateTime<Utc>>] = &[];

async fn claim(client: &Client, hash: &str, instance: i64) -> Result<Vec<(i64, i64)>, tokio_postgres::Error> {
    let rows = client
        .query(
            sql::CLAIM.sql,
            &[
                &hash,
                &instance,
                &100_i64,
                &60_f64,
                &None::<Vec<i32>>,
                &NOWHERE,
                &0_f64,
            ],
        )
        .await?;
    Ok(rows.iter().map(|r| (r.get("id"), r.get("claim_token"))).collect())
}

async fn begin(client: &Client, instance: i64, (id, token): (i64, i64), provider: i64) -> usize {
    client
        .query(
            sql::ATTEMPT_BEGIN.sql,
            &[
                &instance,
                &vec![id],
                &vec![token],
                &vec![provider],
                &vec!["fonnte"],
                &vec!["permit_ready"],
                &vec![None::<String>],
                &vec![0_f64],
            ],
        )
        .await
        .unwrap()
        .len()
}

async fn recover(client: &Client, instance: i64, held: &[i64]) -> Vec<(i64, bool)> {
    client
        .query(sql::RECOVER.sql, &[&1_f64, &100_i64, &instance, &held])
        .await
        .unwrap()
        .iter()
        .map(|r| (r.get("id"), r.get("uncertain")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_and_an_attempt_that_meet_know_of_each_other() {
    let desk = desk().await;
    let hash = armed(&desk).await;
    let provider = desk
        .number("select id from sicantik_notify.provider where name = 'Fonnte'")
        .await;
    let (slow, quick) = (
        desk.office.connect_as(RUNTIME).await.unwrap(),
        desk.office.connect_as(RUNTIME).await.unwrap(),
    );
    // Instance 1 is dead: it has no row.
    let one = desk.message("+6281300002000").await;
    let claims = claim(&slow, &hash, 1).await.unwrap();
    assert_eq!(claims.len(), 1);

    // The attempt is recorded first, and not yet committed: the takeover passes by.
    slow.batch_execute("begin").await.unwrap();
    assert_eq!(begin(&slow, 1, claims[0], provider).await, 1);
    assert_eq!(recover(&quick, 2, &[]).await, []);
    slow.batch_execute("commit").await.unwrap();
    assert_eq!(recover(&quick, 2, &[]).await, [(one, true)]);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome = 'uncertain'")
            .await,
        1
    );

    // The takeover comes first: the attempt waits for it, and then is not allowed.
    let two = desk.message("+6281300002001").await;
    let claims = claim(&slow, &hash, 1).await.unwrap();
    assert_eq!(claims.iter().map(|c| c.0).collect::<Vec<_>>(), [two]);
    quick.batch_execute("begin").await.unwrap();
    assert_eq!(recover(&quick, 2, &[]).await, [(two, false)]);
    let attempt = begin(&slow, 1, claims[0], provider);
    let commit = async {
        desk.until("select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '-- Records attempts%')").await;
        quick.batch_execute("commit").await.unwrap();
    };
    let (begun, ()) = tokio::join!(attempt, commit);
    assert_eq!(
        begun, 0,
        "an attempt was allowed for a message that was taken over"
    );
    desk.until(&format!("select state = 'pending' and ready and not possible_duplicate from sicantik_notify.queue where id = {two}")).await;

    // The takeover's snapshot is older than the attempt: it sees on_wire all the same, since it reads the row as it locked it.
    let claims = claim(&slow, &hash, 1).await.unwrap();
    let (_, lost) = sql::RECOVER.sql.split_once("lost as materialized (").unwrap();
    let (lost, _) = lost.split_once("), unanswered").unwrap();
    let lost = lost
        .replace("$1::double precision", "1")
        .replace("$2::bigint", "9")
        .replace("$3::bigint", "2")
        .replace("$4::bigint[]", "'{}'");
    quick
        .batch_execute(&format!("begin; declare lost cursor for {lost}"))
        .await
        .unwrap();
    assert_eq!(begin(&slow, 1, claims[0], provider).await, 1);
    let row = quick.query_one("fetch lost", &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, i64>("id"), row.get::<_, Option<i64>>("on_wire")),
        (two, Some(provider))
    );
    quick.batch_execute("rollback").await.unwrap();

    // What the caller holds in memory is not taken from it, whatever the clocks say.
    desk.sql("delete from sicantik_notify.queue").await;
    desk.message("+6281300002002").await;
    let claims = claim(&slow, &hash, 7).await.unwrap();
    desk.sql("update sicantik_notify.queue set lease_until = '2000-01-01'")
        .await;
    assert_eq!(recover(&slow, 7, &[claims[0].1]).await, []);
    // A stale settle, of somebody who lost the claim, touches nothing.
    let settled = slow
        .query(
            sql::SETTLE_LATER.sql,
            &[
                &vec![claims[0].0],
                &vec![claims[0].1 - 1],
                &vec![0_f64],
                &vec![1_i32],
                &vec![false],
                &vec![false],
                &vec!["x"],
                &vec![false],
                &vec!["{}"],
            ],
        )
        .await
        .unwrap();
    assert!(settled.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_claims_of_one_recipient_never_wait_for_each_other() {
    let desk = desk().await;
    let hash = armed(&desk).await;
    let (one, two) = (
        desk.office.connect_as(RUNTIME).await.unwrap(),
        desk.office.connect_as(RUNTIME).await.unwrap(),
    );
    for _ in 0..2 {
        for i in 0..3 {
            desk.message(&format!("+628130000300{i}")).await;
        }
    }
    one.batch_execute("begin").await.unwrap();
    let first = claim(&one, &hash, 1).await.unwrap();
    assert_eq!(first.len(), 3);
    // A message that would come before all of them, of a recipient whose claim is not committed: waiting for that
    // transaction could end in a deadlock.
    desk.sql("update sicantik_notify.queue set priority = 99 where id in (select max(id) from sicantik_notify.queue)").await;
    let second = tokio::time::timeout(Duration::from_secs(5), claim(&two, &hash, 2)).await;
    assert_eq!(second.expect("it waits").unwrap(), []);
    one.batch_execute("commit").await.unwrap();
    assert_eq!(claim(&two, &hash, 2).await.unwrap(), []);
    // Where the index itself refuses, the statement says so and nothing is claimed.
    let forced = desk
        .admin
        .execute("update sicantik_notify.queue set state = 'processing', ready = false, claim_token = 1, claimed_by = 1, lease_until = now() where state = 'pending'", &[])
        .await;
    assert_eq!(
        forced.unwrap_err().code(),
        Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_written_stops_no_other() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    // The log refuses one of them for good, and a provider's words cannot be stored as they are.
    desk.sql("alter table sicantik_notify.log add constraint poison check (phone <> '+6281300004007')")
        .await;
    desk.office.gateway.script(Provider::Fonnte).once_to(
        "+6281300004003",
        Behaviour::http(
            200,
            "{\"status\": false, \"reason\": \"target invalid \\u0000 here\"}",
        ),
    );
    for i in 0..40 {
        desk.message(&format!("+62813000040{i:02}")).await;
    }
    let daemon = desk.quick().await;
    desk.until("select count(*) = 39 from sicantik_notify.log").await;
    desk.until("select state = 'held' and last_error like '%could not be written%poison%' from sicantik_notify.queue where phone = '+6281300004007'").await;
    assert_eq!(
        desk.number(
            "select count(*) from sicantik_notify.log where state = 'failed' and phone = '+6281300004003'"
        )
        .await,
        1
    );
    assert!(daemon.log().contains("is held"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_comes_free_while_its_daemon_lives() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let _daemon = desk
        .daemon(&format!(
            "{QUICK}lease_seconds = 3\nrequest_timeout_seconds = 2\nconnect_timeout_seconds = 1\n"
        ))
        .await;
    // As if the connection had broken between the commit of the claim and its answer.
    desk.message("+6281300005999").await;
    desk.drained().await;
    desk.sql(
        "insert into sicantik_notify.queue (state, claim_token, claimed_by, lease_until, rule_id, phone, template_key, context)
         select 'processing', nextval('sicantik_notify.claim_token_seq'), i.id, clock_timestamp() + interval '3 seconds', r.id,
                '+6281300005000', 'permit_ready',
                '{\"partner_name\": \"B\", \"permit_number\": \"1\", \"permit_type\": \"S\", \"status\": \"A\"}'
         from sicantik_notify.rule r, sicantik_notify.instance i where r.code = 'notify_permit_approved'",
    )
    .await;
    desk.until("select exists (select from sicantik_notify.log where phone = '+6281300005000' and not possible_duplicate)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_with_bounds_does_not_walk_past_what_went_under_an_old_snapshot() {
    let desk = desk().await;
    let hash = armed(&desk).await;
    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    client
        .batch_execute(&ONE_PLAN.replace("local ", ""))
        .await
        .unwrap();
    let everything = format!("'{hash}', 1, 100, 60, null, null, 0");
    let near = format!("'{hash}', 1, 100, 60, '{{5}}', array[null]::timestamptz[], 1");
    let old = desk.office.admin().await.unwrap();
    old.batch_execute("begin isolation level repeatable read; select count(*) from sicantik_notify.queue")
        .await
        .unwrap();
    // They have come and gone a minute ago.
    fill(
        &desk,
        20_000,
        ACTIVE,
        "ready, scheduled_at",
        "true, now() - interval '1 minute'",
    )
    .await;
    desk.sql("delete from sicantik_notify.queue").await;
    desk.sql("vacuum analyze sicantik_notify.queue").await;
    let (none, walked) = pages(&client, sql::CLAIM.sql, &everything).await;
    assert_eq!(none, 0);
    assert!(walked > 200, "nothing was in the way: {walked} pages");
    let (none, touched) = pages(&client, sql::CLAIM.sql, &near).await;
    assert_eq!(none, 0);
    assert!(touched < 80, "a claim that finds nothing touches {touched} pages");
    // What is new is found, of whatever rule's priority; what is older than the bound is found by a look at everything.
    let new = desk.message("+6281300000001").await;
    let late = desk.message("+6281300000002").await;
    desk.sql(&format!(
        "update sicantik_notify.queue set scheduled_at = scheduled_at - interval '1 hour' where id = {late}"
    ))
    .await;
    let found = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|r| r.get(0)).collect::<Vec<i64>>();
    let none: &[Option<DateTime<Utc>>] = &[None];
    let rows = client
        .query(
            sql::CLAIM.sql,
            &[&hash, &1_i64, &100_i64, &60_f64, &vec![5], &none, &60_f64],
        )
        .await
        .unwrap();
    assert_eq!(found(rows), [new]);
    let rows = client
        .query(
            sql::CLAIM.sql,
            &[
                &hash,
                &1_i64,
                &100_i64,
                &60_f64,
                &None::<Vec<i32>>,
                &NOWHERE,
                &0_f64,
            ],
        )
        .await
        .unwrap();
    assert_eq!(found(rows), [late]);
    old.batch_execute("rollback").await.unwrap();
}
