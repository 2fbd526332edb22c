//! P2 and P1: what was rolled back tells nobody, what was committed is never lost, whoever commits first.

use sicantik_notifyd::testkit::host::ids;

use crate::stand::Stand;

const DAEMON: &str = "";

/// Changes that were evaluated for a trigger.
fn decided(trigger: &str) -> String {
    format!(
        "select count(distinct (xact, record_id)) from sicantik_notify.decision where trigger_code = '{trigger}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_change_leaves_nothing() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1, 2], &[("status", "undone".into())]);
    odoo.flush().await.unwrap();
    odoo.create(
        "sicantik_document",
        &[vec![("name", "undone".into()), ("permit_id", 1.into())]],
    )
    .await
    .unwrap();
    odoo.rollback().await.unwrap();
    assert_eq!((stand.events().await, stand.misses().await), (0, 0));

    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "kept".into())]);
    let savepoint = odoo.savepoint().await.unwrap();
    odoo.write("sicantik_permit", &[2], &[("status", "undone".into())]);
    odoo.flush().await.unwrap();
    odoo.rollback_to(&savepoint).await.unwrap();
    let savepoint = odoo.savepoint().await.unwrap();
    odoo.write("sicantik_permit", &[3], &[("status", "released".into())]);
    odoo.release(&savepoint).await.unwrap();
    odoo.commit().await.unwrap();
    let records: Vec<i64> = stand
        .one("select array_agg(record_id order by id) from sicantik_notify.event")
        .await;
    assert_eq!(records, [1, 3]);
    let transactions: i64 = stand
        .one("select count(distinct xact) from sicantik_notify.event")
        .await;
    assert_eq!(transactions, 1, "a savepoint is no transaction of its own");
}

/// A statement that fails for the host's own reasons takes its events along.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_statement_leaves_nothing() {
    let stand = Stand::open().await;
    let odoo = stand.odoo().await;
    let failed = odoo
        .client()
        .batch_execute("update sicantik_permit set status = case when id < 5 then 'x' end where id < 9")
        .await;
    assert!(failed.is_err(), "status is not null");
    assert_eq!((stand.events().await, stand.misses().await), (0, 0));
}

/// A transaction held open while later ones, with higher ids, commit and are evaluated: its events come later, not never.
#[tokio::test(flavor = "multi_thread")]
async fn interleaved_commits_lose_no_event() {
    let stand = Stand::open().await;
    let _daemon = stand.office.daemon(DAEMON).await.unwrap();
    let (mut slow, mut quick) = (stand.odoo().await, stand.odoo().await);
    for round in 0..5 {
        slow.begin().await.unwrap();
        slow.write(
            "sicantik_permit",
            &[1],
            &[("status", format!("slow {round}").into())],
        );
        slow.flush().await.unwrap();
        for permit in 2..5 {
            quick.begin().await.unwrap();
            quick.write(
                "sicantik_permit",
                &[permit],
                &[("status", format!("quick {round}").into())],
            );
            quick.commit().await.unwrap();
        }
        stand
            .until(&format!(
                "select ({}) = {}",
                decided("permit_state_change"),
                round * 4 + 3
            ))
            .await;
        slow.commit().await.unwrap();
        stand
            .until(&format!(
                "select ({}) = {}",
                decided("permit_state_change"),
                round * 4 + 4
            ))
            .await;
    }
    assert_eq!((stand.events().await, stand.misses().await), (0, 0));
}

/// One change, three flushes: one message.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_flushed_three_times_gives_one_message() {
    let stand = Stand::open().await;
    stand
        .run("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await;
    let _daemon = stand.office.daemon(DAEMON).await.unwrap();
    let mut odoo = stand.odoo().await;
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "active".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("permit_number", "503/9".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("expiry_date", "2031-02-03".into())],
    );
    odoo.commit().await.unwrap();
    stand
        .until(&format!("select ({}) = 1", decided("permit_state_change")))
        .await;
    stand
        .until("select not exists (select from sicantik_notify.event)")
        .await;
    let enqueued: Vec<String> = stand
        .one("select array_agg(outcome) from sicantik_notify.decision where rule_code = 'notify_permit_approved'")
        .await;
    assert_eq!(enqueued, ["enqueued"]);
    let number: String = stand
        .one(
            "select m.context ->> 'permit_number' from (select id, context from sicantik_notify.queue \
             union all select id, context from sicantik_notify.log) m",
        )
        .await;
    assert_eq!(number, "503/9", "the message has the last image");
}

/// Each distinct step of one transaction counts, once for each trigger.
#[tokio::test(flavor = "multi_thread")]
async fn two_steps_in_one_transaction_fire_both_document_triggers() {
    let stand = Stand::open().await;
    let _daemon = stand.office.daemon(DAEMON).await.unwrap();
    let mut odoo = stand.odoo().await;
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_document",
        &[ids::DOCUMENT_DRAFT],
        &[("state", "uploaded".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_document",
        &[ids::DOCUMENT_DRAFT],
        &[("state", "pending_signature".into())],
    );
    odoo.commit().await.unwrap();
    stand
        .until("select array_agg(trigger_code order by trigger_code) = '{document_pending_signature,document_uploaded}' \
                from sicantik_notify.decision where record_id = 1 and model = 'sicantik.document'")
        .await;
    // Taken back in the same transaction: it never happened.
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_document",
        &[ids::DOCUMENT_PENDING],
        &[("state", "signed".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_document",
        &[ids::DOCUMENT_PENDING],
        &[("state", "pending_signature".into())],
    );
    odoo.commit().await.unwrap();
    stand
        .until("select not exists (select from sicantik_notify.event)")
        .await;
    let fired: i64 = stand
        .one("select count(*) from sicantik_notify.decision where record_id = 3 and model = 'sicantik.document'")
        .await;
    assert_eq!(fired, 0);
}

/// The guide says state and approved; the host says status and active.
#[tokio::test(flavor = "multi_thread")]
async fn the_guides_words_fire_on_the_hosts_columns() {
    let stand = Stand::open().await;
    stand
        .watch(
            "('guide', 'G', 'sicantik.permit', 'manual', null); \
             update sicantik_notify.trigger set trigger_type = 'on_state_change', state_field = 'state', state_from = 'draft', \
             state_to = 'approved' where code = 'guide'",
        )
        .await;
    let _daemon = stand.office.daemon(DAEMON).await.unwrap();
    let mut odoo = stand.odoo().await;
    odoo.request(async |odoo| {
        odoo.write(
            "sicantik_permit",
            &[ids::PERMIT_DRAFT],
            &[("status", "active".into())],
        );
        Ok(())
    })
    .await
    .unwrap();
    stand.until(&format!("select ({}) = 1", decided("guide"))).await;
}
