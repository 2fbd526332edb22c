//! What fails stops only itself: one record, one rule, one trigger.

use std::time::Duration;

use sicantik_notifyd::evaluate::batch::{BatchError, evaluate};

use crate::bench::Bench;

/// An event that a hook captured before its column changed its type.
async fn poisoned(bench: &Bench, record: i32) {
    bench
        .sql(&format!(
            "insert into sicantik_notify.event (op, record_id, model, changed, old, new)
             values ('U', {record}, 'sicantik.permit', '{{status}}', '{{\"status\": \"draft\"}}',
                     '{{\"status\": \"active\", \"expiry_date\": \"next week\", \"partner_id\": 10}}')"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_asked_fails_alone() {
    let bench = Bench::open().await;
    bench
        .sql(
            "update sicantik_notify.rule set active = true, condition_domain = '[(''expiry_date'', ''!='', False)]' \
             where code = 'notify_permit_approved'; \
             insert into sicantik_notify.rule (code, name, trigger, template_key, sequence) \
             values ('after', 'After', 'permit_state_change', 'status_update', 99); \
             update sicantik_permit set status = 'draft' where id <= 20; delete from sicantik_notify.event",
        )
        .await;
    // The hook must carry what the rule reads.
    bench.grants().await;
    bench
        .sql("update sicantik_permit set status = 'active' where id in (1, 2, 3)")
        .await;
    poisoned(&bench, 13).await;
    bench
        .sql("update sicantik_permit set status = 'active' where id in (14, 17)")
        .await;
    let done = bench.run().await;
    assert_eq!(done.set_aside, 1);
    assert_eq!(
        bench.told("notify_permit_approved").await,
        ["1 10", "2 11", "3 12", "14 21", "17 23"]
    );
    assert_eq!(
        bench.told("after").await.len(),
        6,
        "another rule, which does not read it, goes on for all"
    );
    let aside = bench
        .texts(
            "select record_id || ' ' || r.code || ' ' || error from sicantik_notify.event_set_aside s \
             join sicantik_notify.rule r on r.id = s.target_rule",
        )
        .await;
    assert_eq!(aside.len(), 1);
    assert!(
        aside[0].starts_with("13 notify_permit_approved rule notify_permit_approved: ")
            && aside[0].contains("next week"),
        "{aside:?}"
    );
    let decided = bench.decided("notify_permit_approved").await;
    let errors: Vec<&String> = decided.iter().filter(|d| d.contains(" error: ")).collect();
    assert_eq!(errors.len(), 1, "{decided:?}");
    // The trigger's own condition: all rules wait for that record, and for no other.
    bench
        .sql("update sicantik_notify.trigger set condition_domain = '[(''expiry_date'', ''!='', False)]' where code = 'permit_state_change'")
        .await;
    poisoned(&bench, 13).await;
    poisoned(&bench, 12).await;
    bench
        .sql("update sicantik_permit set status = 'expired' where id = 1")
        .await;
    assert_eq!(bench.run().await.set_aside, 2);
    let outcomes = bench
        .texts("select record_id || ' ' || outcome || ' ' || coalesce(rule_code, '-') from sicantik_notify.decision order by 1")
        .await;
    assert_eq!(
        outcomes,
        [
            "1 enqueued after",
            "1 rule_condition notify_permit_approved",
            "12 error -",
            "13 error -"
        ]
        .map(|o| o.replace(
            "1 rule_condition notify_permit_approved",
            "1 enqueued notify_permit_approved"
        ))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fired_for_nobody_leaves_a_reason_and_what_is_broken_waits() {
    let bench = Bench::open().await;
    for code in ["idle", "broken", "gone", "healthy", "sleeping"] {
        bench.rule("sicantik.permit", code, "active = true").await;
    }
    bench
        .sql(
            "update sicantik_notify.trigger set active = false where code = 'idle';
             update sicantik_notify.rule set active = false where code = 'sleeping';
             update sicantik_notify.trigger set trigger_type = 'on_field_change', field_to_watch = 'colour' where code = 'broken'",
        )
        .await;
    for code in ["idle", "broken", "gone", "healthy", "sleeping"] {
        bench.fire(code, &[1]).await;
    }
    // A record that does not exist, and a rule that is asked for by itself but sleeps.
    bench
        .sql(
            "delete from sicantik_notify.rule where code = 'gone'; delete from sicantik_notify.trigger where code = 'gone';
             insert into sicantik_notify.event (op, record_id, model, target_trigger, target_rule)
             select 'F', 2, 'sicantik.permit', t.id, r.id from sicantik_notify.trigger t, sicantik_notify.rule r
             where t.code = 'sleeping' and r.code = 'sleeping';
             insert into sicantik_notify.event (op, record_id, model, target_trigger)
             select 'F', 999999, 'sicantik.permit', id from sicantik_notify.trigger where code = 'healthy';
             insert into sicantik_notify.event (op, record_id, model) values ('F', 3, 'sicantik.permit')",
        )
        .await;
    assert_eq!(bench.run().await.set_aside, 1);
    let decided = bench
        .texts(
            "select concat_ws(' ', record_id, trigger_code, outcome || ':', split_part(reason, ';', 1)) from sicantik_notify.decision \
             order by record_id, trigger_code nulls first, id",
        )
        .await;
    let nowhere = "1 no_rule: the trigger it is meant for is inactive or gone, or is one of another model";
    assert_eq!(
        decided,
        [
            nowhere,
            "1 error: trigger broken: sicantik.permit has no field colour",
            nowhere,
            "1 healthy enqueued: template permit_ready",
            "1 sleeping no_rule: none of the trigger's 1 rules is active",
            "2 sleeping no_rule: the rule it is meant for is inactive or gone",
            "3 no_rule: it was fired for no trigger",
            "999999 healthy trigger_condition: the record does not exist any more",
        ]
    );
    let aside = bench
        .texts("select error from sicantik_notify.event_set_aside")
        .await;
    assert!(
        aside[0].starts_with("trigger broken: ") && aside[0].contains("colour"),
        "{aside:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_not_be_read_sets_its_records_aside_and_nothing_else() {
    let bench = Bench::open().await;
    bench.rule("sicantik.permit", "healthy", "active = true").await;
    bench.rule("res.country", "closed", "active = true").await;
    bench.fire("closed", &[100]).await;
    bench.fire("healthy", &[1]).await;
    let done = bench.run().await;
    assert_eq!((done.messages, done.set_aside), (1, 1));
    // A DBA grants it.
    bench.grants().await;
    bench.fire("closed", &[100]).await;
    assert_eq!(bench.run().await.set_aside, 0);
    assert_eq!(
        bench
            .texts("select outcome from sicantik_notify.decision where rule_code = 'closed'")
            .await,
        ["no_recipient"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_time_is_over_leaves_its_events_and_one_record_is_always_tried() {
    let bench = Bench::open().await;
    bench.rule("sicantik.permit", "slow", "active = true").await;
    bench.rule("sicantik.permit", "next", "active = true").await;
    bench.fire("slow", &[1, 2]).await;
    bench.fire("next", &[1, 2]).await;
    let mut client = bench.client("").await;
    let configuration = bench.configuration(&mut client).await;
    // No time at all: the rules do not begin, and nothing is committed.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let none = evaluate(&mut client, &configuration, 500, 0).await;
    assert!(matches!(none, Err(BatchError::TooSlow)), "{none:?}");
    assert_eq!(
        bench.number("select count(*) from sicantik_notify.event").await,
        4
    );
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.decision")
            .await,
        0
    );
    evaluate(&mut client, &configuration, 1, 0).await.unwrap();
    assert_eq!(
        bench.number("select count(*) from sicantik_notify.event").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_waits_while_its_rule_is_switched_off() {
    let bench = Bench::open().await;
    bench
        .rule("sicantik.permit", "mended", "template_key = 'no_such_template'")
        .await;
    bench.fire("mended", &[1]).await;
    assert_eq!(bench.run().await.set_aside, 1);
    let client = bench.client("1 hour").await;
    let retry = sicantik_notifyd::db::statements::EVENT_RETRY.sql;
    for (change, back) in [
        (
            "update sicantik_notify.rule set active = false where code = 'mended'",
            0,
        ),
        (
            "update sicantik_notify.trigger set active = false where code = 'mended'",
            0,
        ),
        (
            "update sicantik_notify.rule set template_key = 'permit_ready', active = true where code = 'mended'",
            0,
        ),
        (
            "update sicantik_notify.trigger set active = true where code = 'mended'",
            1,
        ),
    ] {
        bench.sql(change).await;
        assert_eq!(
            client.execute(retry, &[&100_i64]).await.unwrap(),
            back,
            "{change}"
        );
    }
    assert_eq!(bench.run().await.messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_run_by_sequence_then_code() {
    let bench = Bench::open().await;
    bench.rule("sicantik.permit", "z", "sequence = 20").await;
    bench
        .sql(
            "insert into sicantik_notify.rule (code, name, trigger, template_key, sequence)
             values ('last', 'Last', 'z', 'permit_ready', 30), ('c', 'C', 'z', 'permit_ready', 10),
                    ('b', 'B', 'z', 'permit_ready', 10)",
        )
        .await;
    bench.fire("z", &[1]).await;
    bench.run().await;
    assert_eq!(
        bench
            .texts("select rule_code from sicantik_notify.decision order by id")
            .await,
        ["b", "c", "z", "last"]
    );
}
