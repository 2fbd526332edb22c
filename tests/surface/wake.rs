//! From a commit to the provider: woken by a hook, or looking by itself.

use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::Office;
use tokio_postgres::Client;

use crate::harness::{Manager, Process, office};

/// Activates the guide's rule and approves a permit; the message must arrive.
pub async fn approve_and_wait(office: &Office, admin: &Client) {
    admin
        .batch_execute(
            "update sicantik_notify.rule set active = true where code = 'notify_permit_approved' and not active",
        )
        .await
        .expect("activates");
    published(office, admin).await;
    let before = office.gateway.count();
    approve(admin).await;
    office
        .gateway
        .wait_for_accepted(before + 1, Duration::from_secs(20))
        .await
        .expect("arrives");
}

/// Waits until the hook that stands is the one of the configuration that stands.
pub async fn published(office: &Office, admin: &Client) {
    office
        .until(
            admin,
            "select exists (select from sicantik_notify.capture_plan p where p.model = 'sicantik.permit' and p.active \
               and 'applicant_name' = any (p.read) and p.updated_at < (select max(c.published_at) + interval '1 s' \
               from sicantik_notify.capture_publication c where c.model = p.model)) \
             and exists (select from sicantik_notify.instance)",
        )
        .await
        .expect("published");
}

async fn approve(admin: &Client) {
    for status in ["draft", "active"] {
        admin
            .execute(
                "update sicantik_permit set status = $2, permit_number = '503/1' where id = $1",
                &[&ids::PERMIT_DRAFT, &status],
            )
            .await
            .expect("writes");
    }
}

async fn twenty_writes(office: &Office, admin: &Client) -> Duration {
    approve_and_wait(office, admin).await; // warm
    let mut times = Vec::new();
    for _ in 0..20 {
        let before = office.gateway.count();
        let start = Instant::now();
        approve(admin).await;
        office
            .gateway
            .wait_for_accepted(before + 1, Duration::from_secs(20))
            .await
            .expect("arrives");
        times.push(start.elapsed());
        // The next write finds a daemon that has settled and waits again.
        office
            .until(
                admin,
                "select not exists (select from sicantik_notify.queue) and not exists (select from sicantik_notify.event)",
            )
            .await
            .expect("settles");
    }
    assert_eq!(office.gateway.count(), 21, "one message a write");
    times.sort();
    times[times.len() / 2]
}

async fn run(poll: bool, config: &str) -> Duration {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    if poll {
        admin
            .batch_execute("update sicantik_notify.setting set value = 'poll' where key = 'capture_wake'")
            .await
            .expect("sets");
    }
    let manager = Manager::new();
    let daemon = Process::daemon(&office, config, &[("NOTIFY_SOCKET", manager.path())]);
    manager.until("READY=1", &daemon).await;
    twenty_writes(&office, &admin).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_wakes_the_daemon() {
    // Without the wake-up each write would wait for a minute.
    let median = run(false, "[capture]\npoll_interval_ms = 60000\n").await;
    println!("median from write to gateway, woken by NOTIFY: {median:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wake_ups_the_daemon_looks_by_itself() {
    let median = run(true, "[capture]\npoll_interval_ms = 100\n").await;
    println!("median from write to gateway, polling every 100 ms: {median:?}");
}
