//! `Type=notify`, `WatchdogSec=` and the answers to signals.

use std::time::Duration;

use sicantik_notifyd::testkit::postgres::StopMode;

use crate::harness::{Manager, Process, office};

#[tokio::test(flavor = "multi_thread")]
async fn ready_comes_only_after_the_database_and_stopping_at_sigterm() {
    let office = office().await;
    office.cluster.stop(StopMode::Fast).await.expect("stops");
    let manager = Manager::new();
    let mut daemon = Process::daemon(&office, "", &[("NOTIFY_SOCKET", manager.path())]);

    // Several tries, each of which keeps the start-up time-out away; no READY.
    for _ in 0..3 {
        let message = manager
            .within(crate::harness::PATIENCE)
            .await
            .expect("a word while it waits");
        assert!(message.contains("EXTEND_TIMEOUT_USEC="), "{message}");
        assert!(
            message.contains("STATUS=waiting for the database: no connection to PostgreSQL"),
            "{message}"
        );
        assert!(!message.contains("READY=1"), "{message}");
    }
    assert_eq!(
        daemon.log().matches("Waiting for the database").count(),
        1,
        "said once:\n{}",
        daemon.log()
    );

    office.cluster.restart().await.expect("starts");
    let last = manager.until("READY=1", &daemon).await.pop().expect("a message");
    assert!(last.contains("STATUS=running on sicantik"), "{last}");

    daemon.signal("TERM").await;
    manager.until("STOPPING=1", &daemon).await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
    let after = manager.within(Duration::from_millis(50)).await;
    assert_eq!(after, None, "STOPPING is the last word, said once");
    let admin = office.admin().await.expect("a connection");
    let left: i64 = admin
        .query_one("select count(*) from sicantik_notify.instance", &[])
        .await
        .expect("counts")
        .get(0);
    assert_eq!(left, 0, "a clean end leaves no instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_it_waits_for_the_database_ends_it_at_once() {
    let office = office().await;
    office.cluster.stop(StopMode::Fast).await.expect("stops");
    let manager = Manager::new();
    let mut daemon = Process::daemon(&office, "", &[("NOTIFY_SOCKET", manager.path())]);
    manager.until("EXTEND_TIMEOUT_USEC", &daemon).await;
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_only_while_every_stage_makes_progress() {
    let office = office().await;
    let manager = Manager::new();
    // Longest healthy round: 2 × 1 s of evaluation, 2.5 × 1 s of waiting for connections.
    let config = "[evaluate]\nbatch_timeout_seconds = 1\n[database]\nconnect_timeout_seconds = 1\n";
    let environment = [("NOTIFY_SOCKET", manager.path()), ("WATCHDOG_USEC", "600000")];
    let mut daemon = Process::daemon(&office, config, &environment);
    manager.until("READY=1", &daemon).await;
    for _ in 0..3 {
        manager.until("WATCHDOG=1", &daemon).await;
    }

    let mut admin = office.admin().await.expect("a connection");
    let lock = admin.transaction().await.expect("begins");
    lock.batch_execute("lock table sicantik_notify.event_set_aside in access exclusive mode")
        .await
        .expect("locks");
    let fed = manager.until("STATUS=stage evaluate is stuck", &daemon).await;
    assert!(
        fed.iter().any(|m| m.contains("WATCHDOG=1")),
        "fed until then: {fed:?}"
    );
    // Six times the interval in which it would be fed.
    assert_eq!(manager.within(Duration::from_millis(1200)).await, None);
    daemon.logged("Stage evaluate has been stuck").await;

    lock.rollback().await.expect("frees");
    manager.until("WATCHDOG=1", &daemon).await;
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_waits_for_a_lock_does_not_delay_the_end() {
    let office = office().await;
    let manager = Manager::new();
    let mut admin = office.admin().await.expect("a connection");
    let watcher = office.admin().await.expect("a connection");
    let lock = admin.transaction().await.expect("begins");
    lock.batch_execute("lock table sicantik_notify.event_set_aside in access exclusive mode")
        .await
        .expect("locks");
    let mut daemon = Process::daemon(&office, "", &[("NOTIFY_SOCKET", manager.path())]);
    manager.until("READY=1", &daemon).await;
    office
        .until(
            &watcher,
            "select exists (select from pg_locks where not granted and relation = 'sicantik_notify.event_set_aside'::regclass)",
        )
        .await
        .expect("it waits");
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_reported_once_and_found_again() {
    let office = office().await;
    let manager = Manager::new();
    let mut daemon = Process::daemon(
        &office,
        "[deliver]\nheartbeat_ms = 100\n",
        &[("NOTIFY_SOCKET", manager.path())],
    );
    manager.until("READY=1", &daemon).await;
    daemon.logged("Running on sicantik").await;
    office.cluster.kill().await.expect("crashes");
    // 20 beats and more fail meanwhile, and each round of each stage.
    for text in ["Evaluation failed", "Delivery failed", "No heartbeat"] {
        daemon.logged(text).await;
    }
    office.cluster.restart().await.expect("starts");
    daemon.logged("The heartbeat is back").await;
    daemon.logged("Listening again").await;
    let lines = daemon
        .log()
        .lines()
        .filter(|l| l.contains("WARN") || l.contains("ERROR"))
        .count();
    assert!(lines < 20, "{lines} lines:\n{}", daemon.log());

    // And it works again.
    let admin = office.admin().await.expect("a connection");
    crate::wake::approve_and_wait(&office, &admin).await;
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}
