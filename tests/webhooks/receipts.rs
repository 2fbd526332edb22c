//! Receipts: they find their messages, settle lost answers, and send out again what a provider gave up.

use sicantik_notifyd::testkit::gateway::webhook::MetaEvent;
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};

use crate::bench::{bench, furnished};
use crate::desk::PATIENCE;

const NUMBER: &str = "+6281200008001";

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_and_out_of_order_receipts_leave_one_row_each_and_the_log_as_it_was() {
    let bench = bench().await;
    let (id, external) = bench.sent_through_meta(NUMBER).await;
    let before = bench
        .desk
        .text(&format!(
            "select l::text from sicantik_notify.log l where id = {id}"
        ))
        .await;
    let meta = bench.meta();
    let status = |word: &str| MetaEvent::Status {
        external_id: external.clone(),
        status: word.to_owned(),
    };
    for word in ["read", "delivered", "read", "sent", "delivered"] {
        assert_eq!(meta.post(&[status(word)]).await.unwrap(), 200);
    }
    // And in one call.
    assert_eq!(
        meta.post(&[status("read"), status("read"), status("sent")])
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    assert_eq!(bench.told(id).await.as_deref(), Some("sent delivered read"));
    assert_eq!(bench.furthest(id).await.as_deref(), Some("read"));
    // A failure after it was read is noise.
    assert_eq!(meta.send_failed(&external, 131042, "pay").await.unwrap(), 200);
    bench.receipts_taken().await;
    assert_eq!(bench.furthest(id).await.as_deref(), Some("read"));
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.queue")
            .await,
        0
    );
    assert_eq!(
        bench
            .desk
            .text(&format!(
                "select l::text from sicantik_notify.log l where id = {id}"
            ))
            .await,
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_quicker_than_the_answer_waits_for_it() {
    let bench = bench().await;
    // Meta: our own words are in it.
    bench.opt_in(NUMBER).await;
    let hold = bench
        .desk
        .office
        .gateway
        .script(Provider::Meta)
        .hold(HoldPoint::AfterAccept);
    let id = bench.desk.message(NUMBER).await;
    assert!(hold.arrived_within(PATIENCE).await);
    let external = bench.desk.office.gateway.accepted()[0]
        .external_id
        .clone()
        .unwrap();
    assert_eq!(
        bench.meta().send_status(&external, "delivered").await.unwrap(),
        200
    );
    bench.receipts_taken().await;
    assert_eq!(bench.furthest(id).await.as_deref(), Some("delivered"));
    hold.release();
    bench
        .desk
        .until(&format!(
            "select state = 'sent' and not possible_duplicate from sicantik_notify.log where id = {id}"
        ))
        .await;
    // Fonnte: only its id, which we do not know yet; then only its second id.
    bench.desk.only("Fonnte").await;
    let hold = bench
        .desk
        .office
        .gateway
        .script(Provider::Fonnte)
        .hold(HoldPoint::AfterAccept);
    let id = bench.desk.message("+6281200008002").await;
    assert!(hold.arrived_within(PATIENCE).await);
    let external = bench.desk.office.gateway.accepted()[1]
        .external_id
        .clone()
        .unwrap();
    let fonnte = bench.fonnte();
    assert_eq!(fonnte.send_state("3EB0A1", "read").await.unwrap(), 200);
    assert_eq!(
        fonnte.send_status(&external, "3EB0A1", "sent").await.unwrap(),
        200
    );
    assert_eq!(bench.told(id).await, None);
    hold.release();
    bench.receipts_taken().await;
    assert_eq!(bench.told(id).await.as_deref(), Some("sent read"));
    assert_eq!(fonnte.send_state("3EB0A1", "delivered").await.unwrap(), 200);
    bench.receipts_taken().await;
    assert_eq!(bench.told(id).await.as_deref(), Some("sent delivered read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_settled_by_its_receipt_and_not_sent_again() {
    let bench = bench().await;
    bench.opt_in(NUMBER).await;
    bench
        .desk
        .office
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::CutAfterAccept);
    let id = bench.desk.message(NUMBER).await;
    bench
        .desk
        .until(&format!(
            "select uncertain_sends = 1 and possible_duplicate from sicantik_notify.queue where id = {id}"
        ))
        .await;
    let external = bench.desk.office.gateway.accepted()[0]
        .external_id
        .clone()
        .unwrap();
    assert_eq!(bench.meta().send_status(&external, "sent").await.unwrap(), 200);
    bench.desk.drained().await;
    bench
        .desk
        .until(&format!(
            "select state = 'sent' and provider_type = 'meta' and external_id = '{external}' and not possible_duplicate
                and sent_at is not null and template_key = 'izin_selesai_diproses' from sicantik_notify.log where id = {id}"
        ))
        .await;
    assert_eq!(bench.desk.office.gateway.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_came_while_the_daemon_died_settles_the_message_after_its_restart() {
    let bench = bench().await;
    bench.opt_in(NUMBER).await;
    let hold = bench
        .desk
        .office
        .gateway
        .script(Provider::Meta)
        .hold(HoldPoint::AfterAccept);
    let id = bench.desk.message(NUMBER).await;
    assert!(hold.arrived_within(PATIENCE).await);
    let external = bench.desk.office.gateway.accepted()[0]
        .external_id
        .clone()
        .unwrap();
    assert_eq!(
        bench.meta().send_status(&external, "delivered").await.unwrap(),
        200
    );
    bench.receipts_taken().await;
    let mut daemon = bench.daemon;
    daemon.kill().await.unwrap();
    drop(hold);
    // The next one does not even listen.
    let _next = bench.desk.quick().await;
    bench.desk.drained().await;
    assert_eq!(
        bench.desk.number(&format!("select count(*) from sicantik_notify.log where id = {id} and state = 'sent' and not possible_duplicate")).await,
        1
    );
    assert_eq!(bench.desk.office.gateway.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lost_answers_and_one_receipt_stay_a_possible_duplicate() {
    let desk = furnished().await;
    desk.sql("update sicantik_notify.provider set uncertain_wait = interval '100 milliseconds'")
        .await;
    let daemon = desk
        .daemon(&format!("{}{}", crate::desk::QUICK, crate::bench::LISTENS))
        .await;
    let address = crate::bench::address(&daemon).await;
    let bench = crate::bench::Bench {
        desk,
        daemon,
        address,
    };
    bench.opt_in(NUMBER).await;
    bench
        .desk
        .office
        .gateway
        .script(Provider::Meta)
        .push_times(2, Behaviour::CutAfterAccept);
    let id = bench.desk.message(NUMBER).await;
    bench
        .desk
        .until(&format!(
            "select state = 'held' from sicantik_notify.queue where id = {id}"
        ))
        .await;
    let external = bench.desk.office.gateway.accepted()[0]
        .external_id
        .clone()
        .unwrap();
    assert_eq!(bench.meta().send_status(&external, "sent").await.unwrap(), 200);
    bench.desk.drained().await;
    assert_eq!(
        bench.desk.number(&format!("select count(*) from sicantik_notify.log where id = {id} and state = 'sent' and possible_duplicate")).await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_whose_message_failed_goes_the_way_of_the_failure_table() {
    let bench = bench().await;
    let meta = bench.desk.office.gateway.script(Provider::Meta);
    let cases = [
        ("+6281200008010", 131042), // the account: another provider, at once
        ("+6281200008011", 131026), // the recipient: failed
        ("+6281200008012", 131000), // passing: once more through Meta
    ];
    bench
        .desk
        .sql("update sicantik_notify.rule set retry_delay = 0")
        .await;
    let mut ids = Vec::new();
    for (number, _) in cases {
        bench.opt_in(number).await;
        meta.once_to(number, Behaviour::CutAfterAccept);
        ids.push(bench.desk.message(number).await);
    }
    bench
        .desk
        .until("select count(*) = 3 from sicantik_notify.queue where uncertain_sends = 1")
        .await;
    // The one that goes through Meta again before the account's failure pauses it.
    for (number, code) in cases.iter().rev() {
        let lost = bench.desk.office.gateway.accepted_to(number)[0]
            .external_id
            .clone()
            .unwrap();
        assert_eq!(
            bench
                .meta()
                .send_failed(&lost, *code, "told later")
                .await
                .unwrap(),
            200
        );
        bench
            .desk
            .until(&format!(
                "select not exists (select from sicantik_notify.queue where phone = '{number}')"
            ))
            .await;
    }
    let end = async |id: i64| {
        bench
            .desk
            .text(&format!("select concat_ws(' ', state, provider_type, code, possible_duplicate, tries) from sicantik_notify.log where id = {id}"))
            .await
            .unwrap()
    };
    assert_eq!(end(ids[0]).await, "sent fonnte f 0");
    assert_eq!(end(ids[1]).await, "failed meta 131026 f 0");
    assert_eq!(end(ids[2]).await, "sent meta f 1");
    let to = |number: &str| bench.desk.office.gateway.accepted_to(number).len();
    assert_eq!(cases.map(|(number, _)| to(number)), [2, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_131042_after_a_200_goes_out_through_fonnte_once() {
    let bench = bench().await;
    let (id, external) = bench.sent_through_meta(NUMBER).await;
    let before = bench
        .desk
        .text(&format!(
            "select l::text from sicantik_notify.log l where id = {id}"
        ))
        .await;
    let meta = bench.meta();
    // Told three times, as Meta does.
    for _ in 0..3 {
        assert_eq!(
            meta.send_failed(&external, 131042, "Business eligibility payment issue")
                .await
                .unwrap(),
            200
        );
    }
    let accepted = bench.desk.accepted(2).await;
    assert_eq!(
        (accepted[1].provider, accepted[1].to.as_str()),
        (Provider::Fonnte, "6281200008001")
    );
    // The rule's own text, not that of Meta's template.
    assert!(
        accepted[1].text.contains("Silakan mengambil dokumen izin"),
        "{}",
        accepted[1].text
    );
    assert_eq!(
        meta.send_failed(&external, 131042, "once more").await.unwrap(),
        200
    );
    bench.receipts_taken().await;
    bench.desk.drained().await;
    assert_eq!(bench.desk.office.gateway.count(), 2);
    bench
        .desk
        .until(&format!(
            "select count(*) = 1 and bool_and(state = 'sent' and provider_type = 'fonnte' and id <> {id} and not possible_duplicate)
             from sicantik_notify.log where retry_of = {id}"
        ))
        .await;
    assert_eq!(
        bench
            .desk
            .text(&format!(
                "select l::text from sicantik_notify.log l where id = {id}"
            ))
            .await,
        before
    );
    assert_eq!(bench.furthest(id).await.as_deref(), Some("failed"));
    // The account is paused, and says why.
    bench
        .desk
        .until("select exists (select from sicantik_notify.v_problem where about = 'provider Meta' and summary like '%131042%')")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_for_good_too_late_or_of_a_retry_sends_nothing() {
    let bench = bench().await;
    let meta = bench.meta();
    let (gone, external) = bench.sent_through_meta(NUMBER).await;
    assert_eq!(
        meta.send_failed(&external, 131026, "Message Undeliverable.")
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    assert_eq!(bench.furthest(gone).await.as_deref(), Some("failed"));
    // What was accepted and given up is failed for whoever looks, with the reason, though its log row stays as it was written.
    for view in ["v_log", "v_queue"] {
        assert_eq!(
            bench
                .desk
                .text(&format!(
                    "select state || ': ' || error from sicantik_notify.{view} where id = {gone}"
                ))
                .await
                .as_deref(),
            Some("failed: Message Undeliverable.")
        );
    }
    assert_eq!(
        bench
            .desk
            .text(&format!(
                "select code || ' ' || receipt_state || ' ' || (receipt_at is not null) from sicantik_notify.v_log where id = {gone}"
            ))
            .await
            .as_deref(),
        Some("131026 failed true")
    );
    // Not timely.
    bench
        .desk
        .sql("update sicantik_notify.setting set value = '0' where key = 'failed_receipt_retry_hours'")
        .await;
    let (late, external) = bench.sent_through_meta("+6281200008020").await;
    assert_eq!(meta.send_failed(&external, 132015, "paused").await.unwrap(), 200);
    bench.receipts_taken().await;
    assert_eq!(bench.furthest(late).await.as_deref(), Some("failed"));
    // It also says that the template is not usable, which is another story.
    bench
        .desk
        .sql("update sicantik_notify.template set meta_unfit = null")
        .await;
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.queue")
            .await,
        0
    );
    // A retry that fails as well.
    bench.desk.sql("update sicantik_notify.setting set value = '24' where key = 'failed_receipt_retry_hours'; update sicantik_notify.rule set retry_delay = 0").await;
    let (first, external) = bench.sent_through_meta("+6281200008021").await;
    assert_eq!(
        meta.send_failed(&external, 131000, "something went wrong")
            .await
            .unwrap(),
        200
    );
    bench.desk.until(&format!("select exists (select from sicantik_notify.log where retry_of = {first} and provider_type = 'meta')")).await;
    let again = bench
        .desk
        .text(&format!(
            "select external_id from sicantik_notify.log where retry_of = {first}"
        ))
        .await
        .unwrap();
    assert_eq!(
        meta.send_failed(&again, 131000, "something went wrong")
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    bench.desk.drained().await;
    assert_eq!(bench.desk.office.gateway.accepted_to("+6281200008021").len(), 2);
    assert_eq!(bench.desk.office.gateway.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_repeats_what_was_accepted_and_given_up_but_nothing_that_arrived() {
    let bench = bench().await;
    let meta = bench.meta();
    let (id, external) = bench.sent_through_meta(NUMBER).await;
    let retry = format!("select sicantik_notify.queue_retry({id})");
    let refused = bench.desk.admin.batch_execute(&retry).await.unwrap_err();
    assert!(
        sicantik_notifyd::db::describe(&refused).contains("is sent and cannot be retried"),
        "{refused:?}"
    );
    assert_eq!(
        meta.send_failed(&external, 131026, "Message Undeliverable.")
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    bench.desk.only("Fonnte").await;
    bench.desk.sql(&retry).await;
    bench
        .desk
        .until(&format!(
            "select exists (select from sicantik_notify.v_log where retry_of = {id} and state = 'sent' and provider_type = 'fonnte')"
        ))
        .await;
    // Once.
    let again = bench.desk.admin.batch_execute(&retry).await.unwrap_err();
    assert!(
        sicantik_notifyd::db::describe(&again).contains("was repeated already"),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_nobody_is_kept_for_a_while() {
    let bench = bench().await;
    assert_eq!(
        bench
            .meta()
            .send_status("wamid.of.somebody.else", "sent")
            .await
            .unwrap(),
        200
    );
    bench
        .desk
        .until("select exists (select from sicantik_notify.receipt_inbox where tries > 0)")
        .await;
    assert_eq!(
        bench
            .desk
            .number("select sicantik_notify.receipt_forget(100)")
            .await,
        0
    );
    bench
        .desk
        .sql("update sicantik_notify.receipt_inbox set received_at = received_at - interval '25 hours'")
        .await;
    assert_eq!(
        bench
            .desk
            .number("select sicantik_notify.receipt_forget(100)")
            .await,
        1
    );
    // The words of another installation on the same account: an attempt of that number is ours, but Meta's id is not.
    let (id, external) = bench.sent_through_meta(NUMBER).await;
    let words = bench.desk.office.gateway.accepted()[0]
        .callback_data
        .clone()
        .unwrap();
    let body = |external: &str| {
        serde_json::json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": {
            "metadata": { "phone_number_id": sicantik_notifyd::testkit::gateway::Gateway::META_PHONE_ID },
            "statuses": [{ "id": external, "status": "delivered", "timestamp": "1795300000", "biz_opaque_callback_data": words }] } }] }] })
    };
    assert_eq!(bench.meta().post_raw(&body("wamid.another")).await.unwrap(), 200);
    bench
        .desk
        .until("select exists (select from sicantik_notify.receipt_inbox where tries > 0)")
        .await;
    assert_eq!(bench.told(id).await, None);
    assert_eq!(bench.meta().post_raw(&body(&external)).await.unwrap(), 200);
    bench
        .desk
        .until(&format!(
            "select exists (select from sicantik_notify.receipt where message_id = {id})"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_word_about_a_template_decides_whether_meta_is_used() {
    let bench = bench().await;
    let tell = async |event: &str, seconds: u64| {
        let event = MetaEvent::TemplateStatus {
            name: "izin_selesai_diproses".into(),
            language: "id".into(),
            event: event.into(),
        };
        assert_eq!(bench.meta().at(seconds).post(&[event]).await.unwrap(), 200);
    };
    let status =
        "select meta_status from sicantik_notify.template where template_key = 'izin_selesai_diproses'";
    let now = bench
        .desk
        .number("select extract(epoch from now())::bigint")
        .await as u64;
    // The plain key has the same name at Meta and is not set up there.
    bench
        .desk
        .sql("update sicantik_notify.template set meta_name = null where template_key = 'permit_ready'")
        .await;
    tell("PAUSED", now - 60).await;
    assert_eq!(bench.desk.text(status).await.as_deref(), Some("paused"));
    bench.opt_in(NUMBER).await;
    bench.desk.message(NUMBER).await;
    assert_eq!(bench.desk.accepted(1).await[0].provider, Provider::Fonnte);
    // Late, twice, and of no weight.
    tell("APPROVED", now - 90).await;
    tell("FLAGGED", now - 50).await;
    tell("PAUSED", now - 60).await;
    assert_eq!(bench.desk.text(status).await.as_deref(), Some("paused"));
    tell("APPROVED", now - 30).await;
    assert_eq!(bench.desk.text(status).await.as_deref(), Some("approved"));
    bench.desk.message(NUMBER).await;
    assert_eq!(bench.desk.accepted(2).await[1].provider, Provider::Meta);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_paused_or_disabled_after_the_acceptance_is_left_to_gateways() {
    let bench = bench().await;
    let meta = bench.meta();
    let unfit =
        "select meta_unfit from sicantik_notify.template where template_key = 'izin_selesai_diproses'";
    for (code, number) in [(132_015, 0), (132_016, 1)] {
        let phone = format!("+628120000810{number}");
        let (id, external) = bench.sent_through_meta(&phone).await;
        let before = bench.desk.office.gateway.count();
        assert_eq!(
            meta.send_failed(&external, code, "Template is paused")
                .await
                .unwrap(),
            200
        );
        // This message goes out again, through a gateway.
        bench
            .desk
            .until(&format!(
                "select exists (select from sicantik_notify.log where retry_of = {id} and state = 'sent' and provider_type = 'fonnte')"
            ))
            .await;
        let why = bench.desk.text(unfit).await.unwrap();
        assert!(why.starts_with(&format!("Meta gave it up ({code}: ")), "{why}");
        bench
            .desk
            .until("select exists (select from sicantik_notify.v_problem where about = 'template izin_selesai_diproses')")
            .await;
        // And the next one does not meet Meta's no.
        let next = bench.desk.message(&phone).await;
        bench
            .desk
            .until(&format!(
                "select provider_type = 'fonnte' from sicantik_notify.log where id = {next} and state = 'sent'"
            ))
            .await;
        assert_eq!(bench.desk.office.gateway.count(), before + 2);
        bench
            .desk
            .sql("update sicantik_notify.template set meta_unfit = null")
            .await;
    }
    // A failure from before the template was found in order says nothing.
    let (late, external) = bench.sent_through_meta("+6281200008110").await;
    bench
        .desk
        .sql("update sicantik_notify.template set meta_synced_at = clock_timestamp() + interval '1 minute'")
        .await;
    assert_eq!(meta.send_failed(&external, 132_015, "paused").await.unwrap(), 200);
    bench.receipts_taken().await;
    assert_eq!(bench.furthest(late).await.as_deref(), Some("failed"));
    assert_eq!(bench.desk.text(unfit).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_kept_for_ninety_days() {
    let bench = bench().await;
    let meta = bench.meta();
    let mut ids = Vec::new();
    for (number, days) in [(0, 89), (1, 91)] {
        let (id, external) = bench.sent_through_meta(&format!("+628120000820{number}")).await;
        assert_eq!(meta.send_status(&external, "delivered").await.unwrap(), 200);
        bench.receipts_taken().await;
        bench
            .desk
            .sql(&format!(
                "update sicantik_notify.receipt set received_at = received_at - interval '{days} days' where message_id = {id}"
            ))
            .await;
        ids.push(id);
    }
    // The daemon drops what is older when it starts, and then every hour.
    let crate::bench::Bench { desk, daemon, .. } = bench;
    drop(daemon);
    let _next = desk.quick().await;
    desk.until(&format!(
        "select array_agg(message_id) = '{{{}}}' from sicantik_notify.receipt",
        ids[0]
    ))
    .await;
    // An operator may want another age.
    desk.sql("update sicantik_notify.setting set value = '30' where key = 'receipt_days'")
        .await;
    assert_eq!(desk.number("select sicantik_notify.receipt_forget(100)").await, 1);
}
