//! SIGHUP: the file is read again, a wrong one changes nothing, a changed one begins the stages anew.

use crate::harness::{Manager, Process, office};

#[tokio::test(flavor = "multi_thread")]
async fn sighup_rereads_the_file_and_a_wrong_one_changes_nothing() {
    let office = office().await;
    let manager = Manager::new();
    let file = office.folder().join("reload.toml");
    std::fs::write(&file, "name = 'first'\n").expect("a file");
    let mut command = office.command(&["run", "--config", file.to_str().expect("a name")]);
    command.env("NOTIFY_SOCKET", manager.path());
    let mut daemon = Process::start(office.folder(), command);
    manager.until("READY=1", &daemon).await;
    let admin = office.admin().await.expect("a connection");

    // Nothing changed.
    daemon.signal("HUP").await;
    let told = manager.until("READY=1", &daemon).await;
    assert!(
        told[0].contains("RELOADING=1") && told[0].contains("MONOTONIC_USEC="),
        "{told:?}"
    );
    daemon.logged("the file is as it was").await;

    // A wrong file.
    std::fs::write(&file, "name = 'second'\npool_size = 3\n").expect("a file");
    daemon.signal("HUP").await;
    manager.until("READY=1", &daemon).await;
    daemon.logged("The new configuration is wrong").await;
    assert!(daemon.log().contains("pool_size"), "{}", daemon.log());
    office
        .until(
            &admin,
            "select count(*) = 1 and bool_and(name = 'first') from sicantik_notify.instance",
        )
        .await
        .expect("the old one stays");

    // A right one, changed.
    std::fs::write(&file, "name = 'second'\n").expect("a file");
    daemon.signal("HUP").await;
    manager.until("READY=1", &daemon).await;
    office
        .until(
            &admin,
            "select count(*) = 1 and bool_and(name = 'second') from sicantik_notify.instance",
        )
        .await
        .expect("the new one");
    crate::wake::approve_and_wait(&office, &admin).await;
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success(), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_the_database_needs_no_signal() {
    let office = office().await;
    let manager = Manager::new();
    // A minute until it would look by itself.
    let config = "[capture]\npoll_interval_ms = 60000\n";
    let daemon = Process::daemon(&office, config, &[("NOTIFY_SOCKET", manager.path())]);
    manager.until("READY=1", &daemon).await;
    let admin = office.admin().await.expect("a connection");
    // Its listener may still be on the way: from here on wake-ups count.
    office
        .until(
            &admin,
            "select exists (select from pg_stat_activity where application_name = 'sicantik-notifyd' and query ilike 'listen%' \
             and state = 'idle')",
        )
        .await
        .expect("listens");
    crate::wake::approve_and_wait(&office, &admin).await;
}
