//! P4: an answer that was lost after the request was written is recorded as uncertain, flagged, sent once more after the
//! provider's waiting time, and then left to a person. Never a fallback, never a blind retry.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, PATIENCE, QUICK, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};

const NUMBER: &str = "+6281200003000";

async fn sends(desk: &Desk) -> usize {
    desk.office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.is_send)
        .count()
}

/// Kills the daemon while a request is parked at the gateway, and starts the next one.
async fn killed_while_sending(point: HoldPoint, accepted_in_all: usize) {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let hold = desk.office.gateway.script(Provider::Fonnte).hold(point);
    let mut daemon = desk.quick().await;
    desk.message(NUMBER).await;
    assert!(hold.arrived_within(PATIENCE).await);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome is null")
            .await,
        1
    );
    daemon.kill().await.unwrap();
    drop(hold);
    let _next = desk.quick().await;
    desk.until("select exists (select from sicantik_notify.attempt where outcome = 'uncertain')")
        .await;
    desk.drained().await;
    assert_eq!(sends(&desk).await, 2);
    // The gateway let the first one go on: it does not notice that its caller died.
    desk.accepted(accepted_in_all).await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent' and possible_duplicate and tries = 0").await,
        1
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome is null")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_provider_accepted() {
    killed_while_sending(HoldPoint::AfterAccept, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_provider_accepted() {
    killed_while_sending(HoldPoint::BeforeAccept, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_lost_answer_is_left_to_a_person() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .push_times(2, Behaviour::CutAfterAccept);
    let _daemon = desk.quick().await;
    let id = desk.message(NUMBER).await;
    desk.until(&format!("select state = 'held' and possible_duplicate and uncertain_sends = 2 from sicantik_notify.queue where id = {id}")).await;
    assert_eq!(sends(&desk).await, 2);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome = 'uncertain'")
            .await,
        2
    );
    assert_eq!(
        desk.number(&format!("select count(*) from sicantik_notify.v_problem where about = 'message {id}' and summary like 'held%'")).await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_hold_is_not_asked_twice() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.provider set on_uncertain = 'hold'")
        .await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    script.push(Behaviour::CutAfterAccept);
    let mut daemon = desk.quick().await;
    let lost = desk.message(NUMBER).await;
    let held = |id: i64| {
        format!("select state = 'held' and possible_duplicate from sicantik_notify.queue where id = {id}")
    };
    desk.until(&held(lost)).await;
    // The same when the daemon dies with the answer.
    let hold = script.hold(HoldPoint::AfterAccept);
    let killed = desk.message("+6281200003001").await;
    assert!(hold.arrived_within(PATIENCE).await);
    daemon.kill().await.unwrap();
    let _next = desk.quick().await;
    desk.until(&held(killed)).await;
    assert_eq!(sends(&desk).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_garbage_and_cuts_neither_fall_back_nor_retry_at_once() {
    let desk = desk().await;
    // Long enough that nothing is sent again in this test.
    desk.sql(
        "update sicantik_notify.provider set uncertain_wait = interval '1 hour', active = name <> 'Meta'",
    )
    .await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let cases = [
        ("+6281200003010", Behaviour::CutAfterAccept),
        ("+6281200003011", Behaviour::Hang { accept: true }),
        ("+6281200003012", Behaviour::Hang { accept: false }),
        ("+6281200003013", Behaviour::Garbage),
        (
            "+6281200003014",
            Behaviour::http(504, "<html>gateway timeout</html>"),
        ),
    ];
    for (number, behaviour) in &cases {
        script.once_to(number, behaviour.clone());
        desk.message(number).await;
    }
    let _daemon = desk
        .daemon(&format!(
            "{QUICK}request_timeout_seconds = 2\nconnect_timeout_seconds = 1\n"
        ))
        .await;
    desk.until(
        "select count(*) = 5 from sicantik_notify.queue
         where state = 'pending' and not ready and possible_duplicate and uncertain_sends = 1 and tries = 0
           and scheduled_at > clock_timestamp() + interval '50 minutes'",
    )
    .await;
    assert_eq!(sends(&desk).await, 5);
    assert!(
        desk.office
            .gateway
            .requests()
            .iter()
            .all(|r| r.provider == Provider::Fonnte)
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where outcome = 'uncertain'")
            .await,
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_written_is_certain_and_tried_again() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.rule set retry_delay = 0; update sicantik_notify.provider set settings = '{\"base_url\": \"http://127.0.0.1:9\"}'").await;
    let _daemon = desk.quick().await;
    desk.message(NUMBER).await;
    desk.until("select exists (select from sicantik_notify.attempt where class = 'transient' and outcome = 'refused')").await;
    let settings = format!("{{\"base_url\": \"{}\"}}", desk.office.gateway.fonnte_url());
    desk.sql(&format!(
        "update sicantik_notify.rule set max_retries = 1000; update sicantik_notify.provider set settings = '{settings}';
         update sicantik_notify.provider_health set open_until = null, failures = 0"
    ))
    .await;
    desk.until("select exists (select from sicantik_notify.log)")
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where possible_duplicate")
            .await,
        0
    );
}
