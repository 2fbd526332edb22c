//! P1: whatever stops the daemon or the server, at whatever instant, every committed change that matches reaches its
//! citizen; twice only where the log says so. Judged by the gateway's ledger.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use desk::{Desk, PATIENCE, QUICK, approve, citizens, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};
use sicantik_notifyd::testkit::office::Daemon;

/// Every citizen has the message; more than once only if the log says that it may be so.
async fn all_were_told(desk: &Desk, citizens: &[(i32, String)]) {
    desk.until("select not exists (select from sicantik_notify.event)")
        .await;
    // A message whose answer was lost twice waits for a person, who sends it again.
    desk.until(
        "with released as (update sicantik_notify.queue set state = 'pending', ready = true where state = 'held')
         select not exists (select from sicantik_notify.queue)",
    )
    .await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for accepted in desk.office.gateway.accepted() {
        *told.entry(accepted.to).or_default() += 1;
    }
    for (permit, number) in citizens {
        let count = told.remove(number).unwrap_or(0);
        let flagged = desk
            .number(&format!(
                "select count(*) from sicantik_notify.log where phone = '+{number}' and possible_duplicate"
            ))
            .await;
        assert!(
            count >= 1,
            "permit {permit}: {number} was not told\n{}",
            desk.state().await
        );
        assert!(
            count == 1 || flagged > 0,
            "permit {permit}: {number} was told {count} times without a flag"
        );
    }
    assert!(told.is_empty(), "others were told: {told:?}");
    let logged = desk
        .number("select count(*) from sicantik_notify.log where state = 'sent'")
        .await;
    assert_eq!(logged, citizens.len() as i64, "one log row a message");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_is_killed_at_random_while_odoo_writes() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::SlowFirstByte(Duration::from_millis(15)));
    let mut odoo = desk.odoo().await;
    let citizens = citizens(&mut odoo, 150).await;
    drop(desk.quick().await);
    let ids: Vec<i32> = citizens.iter().map(|c| c.0).collect();
    let written = AtomicBool::new(false);
    let write = async {
        for id in ids {
            approve(&mut odoo, &[id]).await;
        }
        written.store(true, Ordering::Relaxed);
    };
    let config = format!("{QUICK}concurrency = 4\n[evaluate]\nbatch_records = 5\n");
    let mut kills = 0;
    let kill = async {
        while !written.load(Ordering::Relaxed) || desk.office.gateway.count() < 150 && kills < 40 {
            let mut daemon = desk.office.daemon(&config).await.unwrap();
            // Chaos, not synchronisation: any instant will do.
            tokio::time::sleep(Duration::from_millis(60 + rand::random::<u64>() % 250)).await;
            daemon.kill().await.unwrap();
            kills += 1;
        }
    };
    tokio::join!(write, kill);
    assert!(kills >= 5, "only {kills} kills");
    let _last = desk.quick().await;
    all_were_told(&desk, &citizens).await;
    println!("{kills} kills, {} accepted for 150", desk.office.gateway.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_is_killed_between_any_two_stages() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let mut odoo = desk.odoo().await;
    let citizens = citizens(&mut odoo, 5).await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let kill = async |mut daemon: Daemon| daemon.kill().await.unwrap();
    drop(desk.quick().await);

    // Committed, not evaluated.
    let daemon = desk
        .daemon(&format!("{QUICK}[evaluate]\nenabled = false\n"))
        .await;
    approve(&mut odoo, &[citizens[0].0]).await;
    assert_eq!(desk.number("select count(*) from sicantik_notify.event").await, 1);
    kill(daemon).await;

    // Enqueued, not claimed.
    let daemon = desk.daemon(&format!("{QUICK}enabled = false\n")).await;
    approve(&mut odoo, &[citizens[1].0]).await;
    desk.until("select count(*) = 2 from sicantik_notify.queue where state = 'pending'")
        .await;
    kill(daemon).await;

    // An attempt of the first one is committed, its request not judged; the second one is claimed, without an attempt.
    let first = script.hold_to(&citizens[0].1, HoldPoint::BeforeAccept);
    let daemon = desk.daemon(&format!("{QUICK}concurrency = 1\n")).await;
    assert!(first.arrived_within(PATIENCE).await);
    desk.until(
        "select count(*) filter (where on_wire is null) = 1 and count(*) = 2
         from sicantik_notify.queue where state = 'processing'",
    )
    .await;
    kill(daemon).await;
    script.clear();

    // The same with an idle queue.
    let hold = script.hold_to(&citizens[2].1, HoldPoint::BeforeAccept);
    let daemon = desk.quick().await;
    approve(&mut odoo, &[citizens[2].0]).await;
    assert!(hold.arrived_within(PATIENCE).await);
    kill(daemon).await;
    script.clear();

    // Accepted, answer not sent.
    let second = script.hold_to(&citizens[3].1, HoldPoint::AfterAccept);
    let daemon = desk.quick().await;
    approve(&mut odoo, &[citizens[3].0]).await;
    assert!(second.arrived_within(PATIENCE).await);
    kill(daemon).await;
    script.clear();

    // Answered, not settled.
    let daemon = desk.quick().await;
    desk.until("select not exists (select from sicantik_notify.queue)")
        .await;
    let lock = desk.office.admin().await.unwrap();
    lock.batch_execute("begin; lock table sicantik_notify.log in share mode")
        .await
        .unwrap();
    approve(&mut odoo, &[citizens[4].0]).await;
    desk.until("select exists (select from pg_locks where relation = 'sicantik_notify.log'::regclass and not granted)").await;
    kill(daemon).await;
    desk.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'sicantik_notifyd' and wait_event_type = 'Lock'",
    )
    .await;
    lock.batch_execute("rollback").await.unwrap();
    drop((first, hold, second));

    let _last = desk.quick().await;
    all_were_told(&desk, &citizens).await;
    let flagged = desk
        .number("select count(*) from sicantik_notify.log where possible_duplicate")
        .await;
    assert_eq!(flagged, 4, "only what was on the wire may be doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_restarts_and_crashes_underneath() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let mut odoo = desk.odoo().await;
    let citizens = citizens(&mut odoo, 60).await;
    let ids: Vec<i32> = citizens.iter().map(|c| c.0).collect();
    let mut daemon = desk.daemon(&format!("{QUICK}concurrency = 4\n")).await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::SlowFirstByte(Duration::from_millis(30)));
    approve(&mut odoo, &ids[..30]).await;
    desk.accepted(5).await;
    desk.office.cluster.restart().await.unwrap();
    let desk = Desk {
        admin: desk.office.admin().await.unwrap(),
        office: desk.office,
    };
    let mut odoo = desk.odoo().await;
    approve(&mut odoo, &ids[30..]).await;
    desk.accepted(15).await;
    desk.office.cluster.kill().await.unwrap();
    desk.office.cluster.restart().await.unwrap();
    let desk = Desk {
        admin: desk.office.admin().await.unwrap(),
        office: desk.office,
    };
    all_were_told(&desk, &citizens).await;
    daemon.signal("TERM").await.unwrap();
    assert!(daemon.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_for_long_does_not_make_calls_in_flight_uncertain() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let hold = desk
        .office
        .gateway
        .script(Provider::Fonnte)
        .hold(HoldPoint::AfterAccept);
    let _one = desk.quick().await;
    desk.message("+6281200005000").await;
    assert!(hold.arrived_within(PATIENCE).await);
    let _other = desk.quick().await;
    desk.office
        .cluster
        .stop(sicantik_notifyd::testkit::postgres::StopMode::Fast)
        .await
        .unwrap();
    // Longer than the time after which a silent daemon counts as dead (4 x 200 ms).
    tokio::time::sleep(Duration::from_millis(1500)).await;
    desk.office.cluster.restart().await.unwrap();
    let desk = Desk {
        admin: desk.office.admin().await.unwrap(),
        office: desk.office,
    };
    // Both have beaten since: whoever looks for lost work has looked.
    desk.until("select count(*) = 2 from sicantik_notify.instance where heartbeat_at > pg_postmaster_start_time() + interval '2 seconds'").await;
    hold.release();
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 1);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where not possible_duplicate")
            .await,
        1
    );
}
