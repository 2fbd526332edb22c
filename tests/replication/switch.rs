//! Changing over while the host writes: no event is lost, none counts twice.

use sicantik_notifyd::config::Backend;

use crate::load::{Load, compare, prepare};
use crate::stand::{CAPTURE_ONLY, Stand};

#[tokio::test(flavor = "multi_thread")]
async fn to_and_fro_under_load() {
    let mut stand = Stand::open(Backend::Triggers).await;
    prepare(&stand).await;
    let load = Load::begin(&stand, 6, 1);
    load.more(100).await;
    for round in 0..2 {
        stand.office.run(&["capture", "switch", "logical"]).await.unwrap();
        stand.backend = Backend::Logical;
        load.more(100).await;
        if round == 0 {
            // Also with a change of the daemon in between.
            stand.daemon.kill().await.unwrap();
            load.more(50).await;
            stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
            load.more(50).await;
        }
        stand
            .office
            .run(&["capture", "switch", "triggers"])
            .await
            .unwrap();
        stand.backend = Backend::Triggers;
        load.more(100).await;
    }
    load.end().await;
    compare(&stand).await;
    // Nothing of the slot is left.
    let left: i64 = stand
        .one(
            "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication) \
             + (select count(*) from sicantik_notify.capture_slot) + (select count(*) from sicantik_notify.capture_slot_table) \
             + (select count(*) from pg_class where relreplident = 'f')",
        )
        .await;
    assert_eq!(left, 0);
    let problems: Vec<String> = stand
        .one("select coalesce(array_agg(about || ': ' || summary), '{}') from sicantik_notify.v_problem where about like 'capture%' or about like 'hook%'")
        .await;
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Without a daemon the way back stops half way, says so, and is finished later.
#[tokio::test(flavor = "multi_thread")]
async fn back_without_a_daemon_waits_for_it() {
    let mut stand = Stand::open(Backend::Logical).await;
    prepare(&stand).await;
    stand.daemon.kill().await.unwrap();
    stand.sql("update sicantik_permit set status = 'unread' where id = 5000; insert into written (permit, status) values (5000, 'unread')").await;
    let office = &stand.office;
    let switching = office.command(&["capture", "switch", "triggers"]).output();
    let output = switching.await.unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("start the daemon"), "{text}");
    // The hooks capture already.
    stand.sql("update sicantik_permit set status = 'hooked' where id = 5001; insert into written (permit, status) values (5001, 'hooked')").await;
    let hooked: i64 = stand.one("select count(*) from sicantik_notify.event").await;
    assert_eq!(hooked, 1);
    // Going to the slot again must not forget what is still in it.
    stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    stand.office.run(&["capture", "switch", "logical"]).await.unwrap();
    stand.sql("update sicantik_permit set status = 'again' where id = 5002; insert into written (permit, status) values (5002, 'again')").await;
    stand.settle().await;
    compare(&stand).await;
    stand
        .office
        .run(&["capture", "switch", "triggers"])
        .await
        .unwrap();
}
