//! What evaluation enqueues keeps its rule's terms: batches, storm guard, quiet hours, rate limit.

use sicantik_notifyd::testkit::host::ids;

use crate::bench::Bench;

/// A bench whose permits all have a partner with a number of their own.
async fn bench() -> Bench {
    let bench = Bench::open().await;
    bench
        .sql("update res_partner set whatsapp_number = '+62812' || lpad(id::text, 8, '0')")
        .await;
    bench
}

/// `minutes from the first slot, how many`, for each slot of a rule.
async fn slots(bench: &Bench, rule: &str) -> Vec<String> {
    bench
        .texts(&format!(
            "select extract(epoch from q.scheduled_at - min(q.scheduled_at) over ())::integer / 60 || ' ' || count(*)
             from sicantik_notify.queue q join sicantik_notify.rule r on r.id = q.rule_id where r.code = '{rule}'
             group by q.scheduled_at order by q.scheduled_at"
        ))
        .await
}

/// Whether each message is in the claim's index exactly if its slot has come.
const READY_AS_DUE: &str = "select count(*) from sicantik_notify.queue q
     where q.ready <> (q.scheduled_at <= clock_timestamp()) or (q.waiting_for = 'batch') = q.ready";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_batch_rule_has_slots_of_its_own() {
    let bench = bench().await;
    let columns = "schedule_type = 'batch', batch_size = 2, batch_interval = 10, scheduled_delay = 99";
    bench.rule("sicantik.permit", "spread", columns).await;
    bench.fire("spread", &[1, 2, 3, 4, 5]).await;
    bench.run().await;
    assert_eq!(slots(&bench, "spread").await, ["0 2", "10 2", "20 1"]);
    assert_eq!(bench.number(READY_AS_DUE).await, 0);
    // Another run does not queue up behind the first one's slots.
    bench.fire("spread", &[6, 7, 8]).await;
    bench.run().await;
    assert_eq!(
        bench
            .texts("select taken::text from sicantik_notify.batch_series order by series")
            .await,
        ["1", "1"],
        "two series, of each the last slot"
    );
    let first = "select count(*) from sicantik_notify.queue where scheduled_at <= clock_timestamp()";
    assert_eq!(bench.number(first).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_events_of_a_batch_rule_share_the_rolling_slots() {
    let bench = Bench::open().await;
    bench
        .sql(
            "update sicantik_notify.rule set active = true, schedule_type = 'batch', batch_size = 2, batch_interval = 5
             where code = 'notify_permit_approved'",
        )
        .await;
    bench.grants().await;
    for permit in [ids::PERMIT_DRAFT, ids::PERMIT_DRAFT + 1] {
        bench
            .sql(&format!(
                "update sicantik_permit set status = 'draft' where id = {permit}"
            ))
            .await;
    }
    bench.run().await;
    bench
        .sql("delete from sicantik_notify.queue; delete from sicantik_notify.batch_series")
        .await;
    for permit in [ids::PERMIT_DRAFT, ids::PERMIT_DRAFT + 1] {
        bench
            .sql(&format!(
                "update sicantik_permit set status = 'active' where id = {permit}"
            ))
            .await;
        bench.run().await;
    }
    let series = bench
        .texts("select '[' || series || '] ' || taken from sicantik_notify.batch_series")
        .await;
    let told = bench.number("select count(*) from sicantik_notify.queue").await;
    assert!(told > 0);
    assert_eq!(series, [format!("[] {told}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_for_a_run_takes_a_slot_of_the_run() {
    let bench = Bench::open().await;
    bench
        .sql(
            "update sicantik_notify.rule set active = true, schedule_type = 'batch', batch_size = 2, batch_interval = 10
             where code = 'notify_document_reminder';
             insert into sicantik_document (id, document_number, name, permit_id, state, create_date)
             select 100 + i, 'DOC/' || i, 'Dokumen', 1 + i % 3, 'pending_signature', now() - interval '3 days' from generate_series(1, 6) i",
        )
        .await;
    bench
        .fire("document_pending_reminder", &[101, 102, 103, 104, 105, 106])
        .await;
    assert_eq!(bench.run().await.messages, 3);
    assert_eq!(slots(&bench, "notify_document_reminder").await, ["0 2", "10 1"]);
    let series = bench
        .texts("select series from sicantik_notify.batch_series")
        .await;
    assert!(series.len() == 1 && series[0].starts_with("run "), "{series:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storm_guard_holds_the_excess_and_what_a_person_must_release_takes_no_place() {
    let bench = bench().await;
    let columns = "storm_limit = 3, on_name_mismatch = 'hold'";
    bench.rule("sicantik.permit", "storm", columns).await;
    bench
        .fire("storm", &[ids::PERMIT_WRONG_PERSON, 1, 2, 3, 4, 5])
        .await;
    bench.run().await;
    let states =
        "select state || coalesce(' ' || waiting_for, '') || ' ' || count(*) from sicantik_notify.queue
                  group by state, waiting_for order by 1";
    assert_eq!(
        bench.texts(states).await,
        ["held 1", "held storm_guard 2", "pending 3"]
    );
    // Releasing the storm leaves what is held for another reason.
    assert_eq!(
        bench.number("select sicantik_notify.rule_release('storm')").await,
        2
    );
    let held = bench
        .texts("select record_id::text from sicantik_notify.queue where state = 'held'")
        .await;
    assert_eq!(held, [ids::PERMIT_WRONG_PERSON.to_string()]);
    // Each has its decision and its mark, held or not: it is told once.
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.decision where outcome = 'enqueued' and message_id is not null")
            .await,
        6
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_and_the_limit_keep_messages_out_of_the_claims_index() {
    let bench = bench().await;
    bench
        .rule(
            "sicantik.permit",
            "few",
            "rate_limit_enabled = true, rate_limit_count = 2, rate_limit_period = 'hour'",
        )
        .await;
    bench.fire("few", &[1, 2, 3, 4, 5]).await;
    // Two hours of tomorrow.
    let window = bench
        .texts(
            "select to_char(l + interval '2 hours', 'HH24:00') || '-' || to_char(l + interval '4 hours', 'HH24:00')
             from (select now() at time zone 'Asia/Jakarta' as l) x",
        )
        .await;
    bench
        .rule(
            "sicantik.permit",
            "later",
            &format!("send_window = '{}'", window[0]),
        )
        .await;
    bench.fire("later", &[1, 2]).await;
    bench.run().await;
    let waits = "select r.code || ' ' || coalesce(q.waiting_for, case when q.ready then 'ready' else 'no' end) || ' ' || count(*)
                 from sicantik_notify.queue q join sicantik_notify.rule r on r.id = q.rule_id group by r.code, q.waiting_for, q.ready order by 1";
    assert_eq!(
        bench.texts(waits).await,
        ["few rate_limit 3", "few ready 2", "later quiet_hours 2"]
    );
}
