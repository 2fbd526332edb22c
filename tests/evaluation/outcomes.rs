//! Evaluation against a real server: what becomes of a change, and why.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{Office, Plan};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

const APPROVE: &str = "update sicantik_permit set status = 'active' where id = $1";

async fn running(
    rule: &str,
) -> (
    Office,
    tokio_postgres::Client,
    sicantik_notifyd::testkit::office::Daemon,
) {
    let office = Office::open(program(), &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .execute(
            "update sicantik_notify.rule set active = true where code = $1",
            &[&rule],
        )
        .await
        .unwrap();
    let daemon = office.daemon("").await.unwrap();
    office
        .until(&admin, "select count(*) = 1 from sicantik_notify.instance")
        .await
        .unwrap();
    (office, admin, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_broken_rule_sets_its_events_aside_and_they_come_back_when_it_is_mended() {
    let (office, admin, _daemon) = running("notify_permit_approved").await;
    admin
        .batch_execute(
            "insert into sicantik_notify.rule (code, name, trigger, template_key, sequence) \
             values ('broken', 'Broken', 'permit_state_change', 'no_such_template', 1)",
        )
        .await
        .unwrap();
    admin.execute(APPROVE, &[&ids::PERMIT_DRAFT]).await.unwrap();
    // The healthy rule goes on.
    office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(20))
        .await
        .unwrap();
    office
        .until(
            &admin,
            "select count(*) = 1 from sicantik_notify.v_decision where outcome = 'error' and rule = 'broken'",
        )
        .await
        .unwrap();
    office
        .until(
            &admin,
            "select count(*) = 1 from sicantik_notify.event_set_aside where error like '%no_such_template%'",
        )
        .await
        .unwrap();
    // Mended: tried again at once, for that rule only.
    admin
        .batch_execute("update sicantik_notify.rule set template_key = 'status_update' where code = 'broken'")
        .await
        .unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(2, Duration::from_secs(20))
        .await
        .unwrap();
    assert!(
        accepted[1].text.contains("berubah menjadi"),
        "{}",
        accepted[1].text
    );
    office.until(&admin, "select not exists (select from sicantik_notify.event_set_aside) and not exists (select from sicantik_notify.queue)").await.unwrap();
    let per_rule: i64 = admin
        .query_one("select count(*) from sicantik_notify.log", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(per_rule, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_on_a_column_that_does_not_exist_is_a_problem_that_lists_the_columns() {
    let (office, admin, _daemon) = running("notify_permit_approved").await;
    admin
        .batch_execute(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch) \
             values ('wrong', 'Wrong', 'sicantik.permit', 'on_field_change', 'colour')",
        )
        .await
        .unwrap();
    office
        .until(
            &admin,
            "select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: trigger wrong' \
             and summary like '%colour%' and summary like '%permit_number%' and summary like '%status%'",
        )
        .await
        .unwrap();
    // The guide's own example is refused with the remedy.
    admin
        .batch_execute("update sicantik_notify.rule set condition_domain = '[(''active'', ''='', True)]' where code = 'notify_permit_approved'")
        .await
        .unwrap();
    office
        .until(&admin, "select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: rule notify_permit_approved' and summary like '%remove this condition%'")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_has_a_reason() {
    let (office, admin, _daemon) = running("notify_permit_approved").await;
    let write = |id: i32, status: &'static str| {
        let admin = &admin;
        async move {
            admin
                .execute(
                    "update sicantik_permit set status = $2 where id = $1",
                    &[&id, &status],
                )
                .await
                .unwrap()
        }
    };
    let decided = |id: i32, outcome: &'static str| {
        format!(
            "select exists (select from sicantik_notify.v_decision where record_id = {id} and outcome = '{outcome}' and reason <> '')"
        )
    };
    // Active to expired in the night: nobody is told "your permit is ready".
    write(ids::PERMIT_ACTIVE, "expired").await;
    office
        .until(&admin, &decided(ids::PERMIT_ACTIVE, "rule_condition"))
        .await
        .unwrap();
    // Nobody to tell.
    write(ids::PERMIT_NO_PARTNER, "draft").await;
    write(ids::PERMIT_NO_PARTNER, "active").await;
    office
        .until(&admin, &decided(ids::PERMIT_NO_PARTNER, "no_recipient"))
        .await
        .unwrap();
    // No number.
    admin
        .execute(
            "update sicantik_permit set partner_id = $2 where id = $1",
            &[&ids::PERMIT_DRAFT, &ids::PARTNER_NO_NUMBER],
        )
        .await
        .unwrap();
    write(ids::PERMIT_DRAFT, "active").await;
    office
        .until(&admin, &decided(ids::PERMIT_DRAFT, "no_phone"))
        .await
        .unwrap();
    // No active rule.
    admin
        .batch_execute("update sicantik_notify.rule set active = false")
        .await
        .unwrap();
    write(ids::PERMIT_ACTIVE, "active").await;
    office
        .until(&admin, &decided(ids::PERMIT_ACTIVE, "no_rule"))
        .await
        .unwrap();
    // The trigger's own condition.
    admin
        .batch_execute("update sicantik_notify.trigger set condition_domain = '[(''permit_number'', ''='', ''none'')]' where code = 'permit_state_change'")
        .await
        .unwrap();
    write(ids::PERMIT_ACTIVE, "expired").await;
    office
        .until(&admin, &decided(ids::PERMIT_ACTIVE, "trigger_condition"))
        .await
        .unwrap();
    assert_eq!(office.gateway.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_the_members_of_the_group_and_its_implying_groups_each_once() {
    for profile in [
        sicantik_notifyd::testkit::host::Profile::Odoo18_0,
        sicantik_notifyd::testkit::host::Profile::Saas18_4,
    ] {
        let office = Office::open(
            program(),
            &Plan {
                profile,
                ..Plan::default()
            },
        )
        .await
        .unwrap();
        let admin = office.admin().await.unwrap();
        admin
            .batch_execute(
                "update sicantik_notify.rule set active = true where code = 'notify_document_uploaded'",
            )
            .await
            .unwrap();
        let _daemon = office.daemon("").await.unwrap();
        office
            .until(&admin, "select count(*) = 1 from sicantik_notify.instance")
            .await
            .unwrap();
        admin
            .execute(
                "update sicantik_document set state = 'uploaded' where id = $1",
                &[&ids::DOCUMENT_DRAFT],
            )
            .await
            .unwrap();
        let accepted = office
            .gateway
            .wait_for_accepted(3, Duration::from_secs(20))
            .await
            .unwrap();
        let mut numbers: Vec<&str> = accepted.iter().map(|m| m.to.as_str()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(
            numbers.len(),
            3,
            "two staff and the official, each once, on {profile:?}"
        );
        office
            .until(&admin, "select not exists (select from sicantik_notify.queue)")
            .await
            .unwrap();
        assert_eq!(office.gateway.count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_column_that_a_new_rule_reads_gets_the_current_value_and_says_so() {
    let office = Office::open(program(), &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    // Captured before the rule wanted `notes`.
    admin.execute(APPROVE, &[&ids::PERMIT_DRAFT]).await.unwrap();
    admin
        .execute(
            "update sicantik_permit set notes = 'urgent' where id = $1",
            &[&ids::PERMIT_DRAFT],
        )
        .await
        .unwrap();
    admin
        .batch_execute("update sicantik_notify.rule set active = true, condition_domain = '[(''notes'', ''='', ''urgent'')]' where code = 'notify_permit_approved'")
        .await
        .unwrap();
    let _daemon = office.daemon("").await.unwrap();
    office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(20))
        .await
        .unwrap();
    office
        .until(&admin, "select exists (select from sicantik_notify.v_decision where outcome = 'enqueued' and reason like '%current value of%notes%')")
        .await
        .unwrap();
}
