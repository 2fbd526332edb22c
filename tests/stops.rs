//! P8: SIGTERM finishes what is in flight, gives back what was not begun, and ends with exit code 0 within 10 s. A daemon
//! that was frozen does nothing to what has gone to another one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::time::{Duration, Instant};

use desk::{PATIENCE, QUICK, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_gives_back_the_rest() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let hold = desk
        .office
        .gateway
        .script(Provider::Fonnte)
        .hold(HoldPoint::BeforeAccept);
    let mut daemon = desk.daemon(&format!("{QUICK}concurrency = 1\n")).await;
    for i in 0..10 {
        desk.message(&format!("+62812000040{i:02}")).await;
    }
    assert!(hold.arrived_within(PATIENCE).await);
    desk.until("select count(*) > 1 from sicantik_notify.queue where state = 'processing'")
        .await;
    daemon.signal("TERM").await.unwrap();
    // Given back at once, while the call is still in flight.
    desk.until("select count(*) = 1 from sicantik_notify.queue where state = 'processing'")
        .await;
    hold.release();
    let status = daemon.wait().await.unwrap();
    assert!(status.success(), "{status:?}\n{}", daemon.log());
    let left = "select count(*) from sicantik_notify.queue where state = 'pending' and ready and tries = 0 and not possible_duplicate";
    assert_eq!(desk.number(left).await, 9);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent'")
            .await,
        1
    );
    assert_eq!(desk.office.gateway.count(), 1);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.instance").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_time_although_a_provider_never_answers() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .push(Behaviour::Hang { accept: true });
    let mut daemon = desk.quick().await;
    let id = desk.message("+6281200004100").await;
    desk.accepted(1).await;
    let started = Instant::now();
    daemon.signal("TERM").await.unwrap();
    let status = daemon.wait().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(status.success(), "{status:?}\n{}", daemon.log());
    // It stays recorded, and the next daemon knows at once that nobody works on it.
    let started = Instant::now();
    let _next = desk.quick().await;
    desk.until(&format!(
        "select coalesce((select possible_duplicate from sicantik_notify.log where id = {id}), false)"
    ))
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_killed_daemon_is_taken_over_within_seconds() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let hold = desk
        .office
        .gateway
        .script(Provider::Fonnte)
        .hold(HoldPoint::BeforeAccept);
    let mut daemon = desk.daemon(&format!("{QUICK}concurrency = 1\n")).await;
    for i in 0..5 {
        desk.message(&format!("+62812000042{i:02}")).await;
    }
    assert!(hold.arrived_within(PATIENCE).await);
    desk.until("select count(*) = 5 from sicantik_notify.queue where state = 'processing'")
        .await;
    let _other = desk.quick().await;
    let killed = Instant::now();
    daemon.kill().await.unwrap();
    desk.until(
        "select count(*) >= 4 from sicantik_notify.log where state = 'sent' and not possible_duplicate",
    )
    .await;
    assert!(
        killed.elapsed() < Duration::from_secs(5),
        "{:?}",
        killed.elapsed()
    );
    desk.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_daemon_neither_sends_nor_settles_what_was_taken_over() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let hold = desk
        .office
        .gateway
        .script(Provider::Fonnte)
        .hold(HoldPoint::AfterAccept);
    let frozen = desk.daemon(&format!("{QUICK}concurrency = 1\n")).await;
    let first = desk.message("+6281200004300").await;
    assert!(hold.arrived_within(PATIENCE).await);
    // All in one claim: with one in its hand it takes no more.
    desk.sql("begin").await;
    for i in 1..5 {
        desk.message(&format!("+62812000043{i:02}")).await;
    }
    desk.sql("commit").await;
    desk.until("select count(*) = 5 from sicantik_notify.queue where state = 'processing'")
        .await;
    frozen.signal("STOP").await.unwrap();
    let other = desk.quick().await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 6);
    // Its answer comes, and it wakes up: everything it believes to own has gone.
    hold.release();
    frozen.signal("CONT").await.unwrap();
    let told = async {
        while !(frozen.log().contains("came after its claim had ended")
            && frozen.log().contains("taken over meanwhile"))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .unwrap_or_else(|_| panic!("{}", frozen.log()));
    assert_eq!(
        desk.office.gateway.count(),
        6,
        "a frozen daemon sent what was not its own"
    );
    assert_eq!(desk.number("select count(*) from sicantik_notify.log").await, 5);
    assert_eq!(
        desk.number(&format!(
            "select count(*) from sicantik_notify.log where id = {first} and possible_duplicate"
        ))
        .await,
        1
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where possible_duplicate")
            .await,
        1
    );
    // It is back in the circle.
    desk.until("select count(*) = 2 from sicantik_notify.instance")
        .await;
    drop(other);
    desk.message("+6281200004399").await;
    desk.accepted(7).await;
}
