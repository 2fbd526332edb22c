//! One run of a schedule, one message for each recipient: whole, once, whoever evaluates.

use std::time::Duration;

use sicantik_notifyd::evaluate::batch::{Round, evaluate};
use sicantik_notifyd::evaluate::digest;
use sicantik_notifyd::testkit::office::{Office, Plan};

use crate::bench::Bench;

/// The guide's reminder, active, and so many documents that wait for their signature.
async fn bench(documents: i32) -> (Bench, Vec<i32>) {
    let bench = Bench::open().await;
    bench
        .sql(&format!(
            "update sicantik_notify.rule set active = true where code = 'notify_document_reminder';
             insert into sicantik_document (id, document_number, name, permit_id, state, create_date)
             select 100 + i, 'DOC/' || i, 'Dokumen', 1 + i % 3, 'pending_signature', now() - interval '3 days'
             from generate_series(1, {documents}) i"
        ))
        .await;
    let ids = (101..=100 + documents).collect();
    (bench, ids)
}

/// `partner count`, for each waiting message.
async fn messages(bench: &Bench) -> Vec<String> {
    bench
        .texts("select partner_id || ' ' || (context ->> 'jumlah') from sicantik_notify.queue order by partner_id, id")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_each_recipient_once_with_the_count_and_the_list() {
    let (bench, documents) = bench(23).await;
    bench.fire("document_pending_reminder", &documents).await;
    assert_eq!(bench.run().await.messages, 3);
    assert_eq!(messages(&bench).await, ["6 23", "7 23", "8 23"]);
    let since = bench
        .texts(
            "select distinct context ->> 'pending_duration' from sicantik_notify.queue where context ->> 'waktu_pending' = \
             to_char((now() - interval '3 days') at time zone 'Asia/Jakarta', 'DD-MM-YYYY')",
        )
        .await;
    assert_eq!(
        since,
        ["3 hari"],
        "since the document is there, not since the schedule ran"
    );
    let list = bench
        .texts("select context ->> 'daftar' from sicantik_notify.queue where partner_id = 6")
        .await;
    let lines: Vec<&str> = list[0].lines().collect();
    assert_eq!(
        lines[0],
        "1. SIP/0002/2025 – Surat Izin Praktik Dokter – Ani Lestari"
    );
    assert_eq!((lines.len(), lines[20]), (21, "… dan 3 lainnya"));
    let of_record = bench
        .texts("select outcome || ' ' || (message_id is not null) from sicantik_notify.decision where record_id = 115 and partner_id = 7 order by id")
        .await;
    assert_eq!(
        of_record,
        ["grouped false", "enqueued true"],
        "each record leads to its message"
    );
    // The marks are of each record, and know their message.
    let marks = "select count(*) from sicantik_notify.repeat_mark k join sicantik_notify.queue q on q.id = k.message_id and q.phone = k.phone";
    assert_eq!(bench.number(marks).await, 3 * 23);
    // The next run tells only of what is new.
    bench
        .sql("update sicantik_document set state = 'pending_signature' where id = 1")
        .await;
    bench
        .sql("update sicantik_document set create_date = now() - interval '2 days' where id = 1")
        .await;
    bench.sql("delete from sicantik_notify.queue").await;
    bench
        .fire(
            "document_pending_reminder",
            &[documents.as_slice(), &[1]].concat(),
        )
        .await;
    bench.run().await;
    assert_eq!(messages(&bench).await, ["6 1", "7 1", "8 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_row_is_told_by_itself() {
    let (bench, _) = bench(0).await;
    bench
        .sql(
            "update sicantik_notify.rule set active = true, group_by = 'recipient' where code = 'notify_document_uploaded';
             update sicantik_notify.trigger set active = true where code = 'document_uploaded'",
        )
        .await;
    bench.grants().await;
    bench
        .sql("update sicantik_document set state = 'draft' where id = 2")
        .await;
    bench
        .sql("update sicantik_document set state = 'uploaded' where id in (1, 2)")
        .await;
    bench.run().await;
    assert_eq!(messages(&bench).await, ["6 1", "6 1", "7 1", "7 1", "8 1", "8 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_flushed_when_its_last_event_is_committed() {
    let (bench, documents) = bench(2).await;
    bench.fire("document_pending_reminder", &documents).await;
    assert!(matches!(bench.batch(1).await, Round::Done(_)));
    assert_eq!(bench.flush().await, 0, "one event of the run is left");
    // The second evaluator is stopped in the middle: its digests are written, its event is deleted, nothing is committed.
    let blocker = bench.office.admin().await.unwrap();
    blocker
        .batch_execute("begin; lock table sicantik_notify.event_history in access exclusive mode")
        .await
        .unwrap();
    let mut client = bench.client("").await;
    let configuration = bench.configuration(&mut client).await;
    let second = tokio::spawn(async move { evaluate(&mut client, &configuration, 10, 60).await.unwrap() });
    bench
        .office
        .until(
            &bench.admin,
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'sicantik_notifyd')",
        )
        .await
        .unwrap();
    assert_eq!(bench.flush().await, 0, "what is not committed did not happen");
    blocker.batch_execute("commit").await.unwrap();
    second.await.unwrap();
    // It died before its own flush: the next round of another one does it.
    assert_eq!(bench.flush().await, 3);
    assert_eq!(messages(&bench).await, ["6 2", "7 2", "8 2"]);
    assert_eq!(bench.flush().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_evaluators_lose_and_double_nothing() {
    let (bench, documents) = bench(240).await;
    for run in documents.chunks(80) {
        bench.fire("document_pending_reminder", run).await;
    }
    let mut evaluators = Vec::new();
    for _ in 0..4 {
        let mut client = bench.client("").await;
        let configuration = bench.configuration(&mut client).await;
        evaluators.push(tokio::spawn(async move {
            let mut flushed = 0;
            loop {
                let round = evaluate(&mut client, &configuration, 7, 60).await.unwrap();
                flushed += digest::flush(&mut client).await.unwrap();
                if round == Round::Idle {
                    let left = "select exists (select from sicantik_notify.event) or exists (select from sicantik_notify.digest)";
                    if !client.query_one(left, &[]).await.unwrap().get::<_, bool>(0) {
                        return flushed;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }));
    }
    let mut flushed = 0;
    for evaluator in evaluators {
        flushed += evaluator.await.unwrap();
    }
    assert_eq!(flushed, 9, "three runs, three recipients");
    assert_eq!(
        messages(&bench).await,
        [
            "6 80", "6 80", "6 80", "7 80", "7 80", "7 80", "8 80", "8 80", "8 80"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_must_release_waits_alone() {
    let bench = Bench::open().await;
    let columns = "group_by = 'recipient', on_name_mismatch = 'hold'";
    bench.rule("sicantik.permit", "grouped", columns).await;
    bench
        .sql("update sicantik_permit set partner_id = 10, applicant_name = 'Budi Santoso' where id in (2, 3)")
        .await;
    bench.fire("grouped", &[1, 2, 3, 11]).await;
    bench.run().await;
    let waiting = bench
        .texts("select state || ' ' || (context ->> 'jumlah') from sicantik_notify.queue order by 1")
        .await;
    assert_eq!(waiting, ["held 1", "pending 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_sends_a_run_as_one_message_a_person() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let office = Office::open(program, &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    let _daemon = office.daemon("[evaluate]\nbatch_records = 3\n").await.unwrap();
    admin
        .batch_execute(
            "update sicantik_notify.rule set active = true where code = 'notify_document_reminder';
             update sicantik_notify.provider set active = name = 'Fonnte';
             insert into sicantik_document (id, document_number, name, permit_id, state, create_date)
             select 100 + i, 'DOC/' || i, 'Dokumen', 1, 'pending_signature', now() - interval '3 days' from generate_series(1, 10) i;
             insert into sicantik_notify.event (op, record_id, model, target_trigger)
             select 'F', 100 + i, 'sicantik.document', t.id
             from sicantik_notify.trigger t, generate_series(1, 10) i where t.code = 'document_pending_reminder'",
        )
        .await
        .unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(3, Duration::from_secs(30))
        .await
        .unwrap();
    for message in accepted {
        assert!(
            message.text.contains("10 dokumen belum diproses"),
            "{}",
            message.text
        );
    }
    office
        .until(
            &admin,
            "select not exists (select from sicantik_notify.queue) and not exists (select from sicantik_notify.digest)
             and not exists (select from sicantik_notify.event)",
        )
        .await
        .unwrap();
    assert_eq!(office.gateway.count(), 3);
}
