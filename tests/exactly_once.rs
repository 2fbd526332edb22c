//! P3 and P9: one change, rule and recipient make exactly one message, however many daemons work on it, and a recipient has
//! one message in flight.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::collections::BTreeMap;
use std::time::Duration;

use desk::{PATIENCE, approve, citizens, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};

#[tokio::test(flavor = "multi_thread")]
async fn three_daemons_send_each_message_once() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let daemons = [desk.quick().await, desk.quick().await, desk.quick().await];
    let mut odoo = desk.odoo().await;
    let citizens = citizens(&mut odoo, 300).await;
    for some in citizens.chunks(7) {
        let ids: Vec<i32> = some.iter().map(|c| c.0).collect();
        approve(&mut odoo, &ids).await;
    }
    desk.accepted(300).await;
    desk.drained().await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for accepted in desk.office.gateway.accepted() {
        *seen.entry(accepted.to).or_default() += 1;
    }
    for (_, number) in &citizens {
        assert_eq!(seen.get(number), Some(&1), "{number}");
    }
    assert_eq!(seen.len(), 300);
    assert_eq!(
        desk.number(
            "select count(*) from sicantik_notify.log where state = 'sent' and not possible_duplicate"
        )
        .await,
        300
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome = 'accepted'")
            .await,
        300
    );
    let workers = desk
        .number("select count(distinct instance_id) from sicantik_notify.attempt")
        .await;
    assert!(workers > 1, "all work was done by one daemon");
    for daemon in &daemons {
        assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_has_one_message_in_flight_over_all_daemons() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let answer_after = Duration::from_millis(40);
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::SlowFirstByte(answer_after));
    let numbers: Vec<String> = (0..5).map(|i| format!("62812000010{i}")).collect();
    for _ in 0..20 {
        for number in &numbers {
            desk.message(&format!("+{number}")).await;
        }
    }
    let daemons = [desk.quick().await, desk.quick().await, desk.quick().await];
    desk.accepted(100).await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 100);
    for number in &numbers {
        let times: Vec<_> = desk
            .office
            .gateway
            .requests()
            .into_iter()
            .filter(|r| {
                r.is_send
                    && r.body["target"]
                        .as_str()
                        .is_some_and(|t| t.contains(&number[2..]))
            })
            .map(|r| r.at)
            .collect();
        assert_eq!(times.len(), 20, "{number}");
        for pair in times.windows(2) {
            assert!(
                pair[1] - pair[0] >= answer_after,
                "two requests to {number} at once"
            );
        }
    }
    // In the order of the queue, for each recipient.
    let disorder = desk
        .number(
            "select count(*) from (select id, lag(id) over (partition by phone order by sent_at) as before
                                   from sicantik_notify.log) l where before > id",
        )
        .await;
    assert_eq!(disorder, 0);
    drop(daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_of_one_busy_recipient_do_not_hold_up_the_others() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let busy = desk.office.gateway.script(Provider::Fonnte).hold_to(
        "6281200002000",
        sicantik_notifyd::testkit::gateway::HoldPoint::BeforeAccept,
    );
    // More than a claim takes, all before the others.
    desk.sql(
        "insert into sicantik_notify.queue (ready, priority, rule_id, phone, template_key, context)
         select true, 9, r.id, '+6281200002000', 'permit_ready',
                '{\"partner_name\": \"B\", \"permit_number\": \"1\", \"permit_type\": \"S\", \"status\": \"A\"}'
         from sicantik_notify.rule r, generate_series(1, 2000) where r.code = 'notify_permit_approved'",
    )
    .await;
    for i in 0..20 {
        desk.message(&format!("+6281200002{:03}", 100 + i)).await;
    }
    let _daemon = desk.quick().await;
    let script = &desk.office.gateway;
    script
        .wait_for(|book| book.accepted.len() >= 20, PATIENCE)
        .await
        .unwrap();
    assert_eq!(busy.arrivals(), 1);
    desk.sql("delete from sicantik_notify.queue where state = 'pending'")
        .await;
    busy.release();
    desk.drained().await;
}
