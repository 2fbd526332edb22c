//! One instance schedules, whatever happens to it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::desk;

#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_leads_and_the_jobs_run() {
    let desk = desk().await;
    let daemon = desk.quick().await;
    desk.until("select count(*) = (select count(*) from sicantik_notify.cron_job) from sicantik_notify.cron_run where outcome = 'done'")
        .await;
    assert_eq!(desk.number("select term from sicantik_notify.leader").await, 1);
    drop(daemon);
}
