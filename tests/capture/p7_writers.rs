//! P7, several writers at once: capture adds no conflict to those that the host has anyway.

use crate::on_both_profiles;
use crate::stand::{Stand, at_once};

const STATUSES: &str = "select coalesce(array_agg(record_id || ' ' || (new ->> 'status') order by id), '{}') from sicantik_notify.event";

on_both_profiles!(two_writers_of_different_permits_do_not_meet, stand, {
    for form in ["statement", "row"] {
        stand.shape(form).await;
        stand.run("delete from sicantik_notify.event").await;
        let (mut a, mut b) = (stand.odoo().await, stand.odoo().await);
        a.begin().await.unwrap();
        b.begin().await.unwrap();
        // Both have their snapshots before either has written.
        for odoo in [&a, &b] {
            odoo.client()
                .batch_execute("select count(*) from sicantik_permit")
                .await
                .unwrap();
        }
        a.write("sicantik_permit", &[1], &[("status", format!("a {form}").into())]);
        a.flush().await.unwrap();
        b.write("sicantik_permit", &[2], &[("status", format!("b {form}").into())]);
        at_once("the other writer", b.flush()).await.unwrap();
        at_once("the other writer", a.commit()).await.unwrap();
        b.write("sicantik_permit", &[3], &[("status", format!("b {form}").into())]);
        b.commit().await.unwrap();
        let mut found: Vec<String> = stand.one(STATUSES).await;
        found.sort();
        assert_eq!(
            found,
            [
                format!("1 a {form}"),
                format!("2 b {form}"),
                format!("3 b {form}")
            ]
        );
        assert_eq!(stand.misses().await, 0);
    }
});

/// The host's own conflict, its own repetition; ours is only what it committed.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_of_one_permit_give_one_event_each() {
    let stand = Stand::open().await;
    let (mut a, mut b) = (stand.odoo().await, stand.odoo().await);
    a.begin().await.unwrap();
    a.write("sicantik_permit", &[1], &[("status", "a".into())]);
    a.flush().await.unwrap();
    let second = tokio::spawn(async move {
        b.request(async |odoo| {
            odoo.write("sicantik_permit", &[1], &[("status", "b".into())]);
            Ok(())
        })
        .await
        .unwrap();
        b.retries()
    });
    stand
        .until("select exists (select from pg_stat_activity where usename = 'odoo' and wait_event_type = 'Lock')")
        .await;
    a.commit().await.unwrap();
    let retries = at_once("the repetition", second).await.unwrap();
    assert_eq!(retries, 1, "40001 is the host's own, and it repeats the request");
    let found: Vec<String> = stand.one(STATUSES).await;
    assert_eq!(found, ["1 a", "1 b"]);
    assert_eq!(stand.misses().await, 0);
}

/// Runs rounds of two overlapping serializable transactions that touch permits of their own; how many failed.
async fn serializable_rounds(stand: &Stand, rounds: i32) -> Vec<String> {
    let (a, b) = (stand.odoo().await, stand.odoo().await);
    let mut failures = Vec::new();
    for round in 0..rounds {
        for (odoo, permit) in [(&a, 1), (&b, 2)] {
            odoo.client()
                .batch_execute(&format!(
                    "set enable_seqscan = off; begin isolation level serializable; \
                     update sicantik_permit set status = 's{round}' where id = {permit}"
                ))
                .await
                .unwrap();
        }
        for odoo in [&a, &b] {
            if let Err(error) = odoo.client().batch_execute("commit").await {
                failures.push(error.to_string());
                odoo.client().batch_execute("rollback").await.unwrap();
            }
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn under_serializable_capture_adds_no_conflict() {
    let stand = Stand::open().await;
    stand
        .run("alter table sicantik_permit disable trigger user")
        .await;
    let without = serializable_rounds(&stand, 20).await;
    stand.run("alter table sicantik_permit enable trigger user").await;
    let with = serializable_rounds(&stand, 20).await;
    assert_eq!(with, without);
    assert_eq!(stand.events().await, 40 - with.len() as i64);
    assert_eq!(stand.misses().await, 0);
}

/// Also while the daemon evaluates and deletes events, and reads the host's rows.
#[tokio::test(flavor = "multi_thread")]
async fn many_writers_and_a_daemon_lose_nothing_and_wait_for_nobody() {
    let stand = Stand::open().await;
    let _daemon = stand.office.daemon("").await.unwrap();
    stand
        .until("select exists (select from sicantik_notify.instance)")
        .await;
    let mut writers = Vec::new();
    for writer in 0..4_i32 {
        let mut odoo = stand.odoo().await;
        writers.push(tokio::spawn(async move {
            for round in 0..25 {
                let permit = 1 + writer * 4 + round % 4;
                odoo.begin().await.unwrap();
                odoo.write(
                    "sicantik_permit",
                    &[permit],
                    &[("status", format!("w{round}").into())],
                );
                odoo.flush().await.unwrap();
                odoo.write(
                    "sicantik_permit",
                    &[permit],
                    &[("days_until_expiry", round.into())],
                );
                odoo.commit().await.unwrap();
            }
        }));
    }
    for writer in writers {
        at_once("a writer", writer).await.unwrap();
    }
    stand
        .until("select not exists (select from sicantik_notify.event) and \
                (select count(distinct (xact, record_id)) = 100 from sicantik_notify.decision where trigger_code = 'permit_state_change')")
        .await;
    assert_eq!(stand.misses().await, 0);
}
