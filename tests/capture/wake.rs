//! Waking the daemon: a constant NOTIFY at most once a statement, none while the daemon is known to look, and copies.

use std::sync::Arc;
use std::sync::Mutex;

use futures_util::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::stand::Stand;

/// A connection that collects notifications.
async fn listen(stand: &Stand) -> (Client, Arc<Mutex<Vec<String>>>) {
    let (client, mut connection) = tokio_postgres::connect(&stand.office.cluster.url("sicantik"), NoTls)
        .await
        .unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = heard.clone();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(n) = message {
                keep.lock()
                    .unwrap()
                    .push(format!("{}:{}", n.channel(), n.payload()));
            }
        }
    });
    client
        .batch_execute("listen sicantik_notify_event; listen marker")
        .await
        .unwrap();
    (client, heard)
}

/// What was heard since the last call. Notifications come in the order of commits, so a marker of our own is the end.
async fn heard(stand: &Stand, heard: &Arc<Mutex<Vec<String>>>) -> Vec<String> {
    stand.run("notify marker").await;
    for _ in 0..3000 {
        let mut list = heard.lock().unwrap().clone();
        if list.last().is_some_and(|last| last == "marker:") {
            heard.lock().unwrap().clear();
            list.pop();
            return list;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the marker never came");
}

const PAST: &str =
    "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint)";
const FUTURE: &str = "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint + 3600000)";

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_notifies_once_a_statement_and_not_while_the_daemon_is_awake() {
    let stand = Stand::open().await;
    let (_listener, list) = listen(&stand).await;
    for form in ["statement", "row"] {
        stand.shape(form).await;
        stand.run(PAST).await;
        stand
            .run(&format!(
                "update sicantik_permit set status = '{form} asleep' where id < 9"
            ))
            .await;
        assert_eq!(
            heard(&stand, &list).await,
            ["sicantik_notify_event:"],
            "{form}: one, without payload"
        );
        stand
            .run("update sicantik_permit set days_until_expiry = 3 where id < 9")
            .await;
        assert_eq!(heard(&stand, &list).await, [""; 0], "{form}: unrelated");
        stand.run(FUTURE).await;
        stand
            .run(&format!(
                "update sicantik_permit set status = '{form} awake' where id < 9"
            ))
            .await;
        assert_eq!(
            heard(&stand, &list).await,
            [""; 0],
            "{form}: the daemon looks by itself"
        );
        // Fresh inside a snapshot that is older than the change of the sequence.
        let odoo = stand.odoo().await;
        odoo.client()
            .batch_execute("begin isolation level repeatable read; select 1 from sicantik_permit limit 1")
            .await
            .unwrap();
        stand.run(PAST).await;
        odoo.client()
            .batch_execute(&format!(
                "update sicantik_permit set status = '{form} old snapshot' where id = 1; commit"
            ))
            .await
            .unwrap();
        assert_eq!(
            heard(&stand, &list).await,
            ["sicantik_notify_event:"],
            "{form}: old snapshot, new flag"
        );
        stand.run(PAST).await;
        stand
            .run("begin; update sicantik_permit set status = 'undone' where id = 1; rollback")
            .await;
        assert_eq!(heard(&stand, &list).await, [""; 0], "{form}: rolled back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_poll_hooks_never_notify() {
    let stand = Stand::open().await;
    stand
        .run("update sicantik_notify.setting set value = 'poll' where key = 'capture_wake'")
        .await;
    stand.publish().await;
    let bodies: bool = stand
        .one("select bool_or(prosrc like '%pg_notify%') from pg_proc where proname like 'capture\\_sicantik%' and prorettype = 'trigger'::regtype")
        .await;
    assert!(!bodies);
    let (_listener, list) = listen(&stand).await;
    stand.run(PAST).await;
    stand
        .run("update sicantik_permit set status = 'poll' where id = 1")
        .await;
    assert_eq!(heard(&stand, &list).await, [""; 0]);
    assert_eq!(stand.events().await, 1);
    let _daemon = stand.office.daemon("").await.unwrap();
    stand
        .until("select not exists (select from sicantik_notify.event)")
        .await;
}

/// A transaction that has notified cannot be prepared: where two-phase commit is possible, hooks do not notify.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_is_captured() {
    use sicantik_notifyd::testkit::gateway::Gateway;
    use sicantik_notifyd::testkit::office::{Office, Plan};
    use sicantik_notifyd::testkit::postgres::Cluster;

    let cluster = Cluster::builder()
        .setting("max_prepared_transactions", "5")
        .start()
        .await
        .unwrap();
    let plan = Plan {
        providers: false,
        ..Plan::default()
    };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let office = Office::furnish(cluster, Gateway::start().await.unwrap(), program, &plan)
        .await
        .unwrap();
    let admin = office.admin().await.unwrap();
    let stand = Stand { office, admin };
    stand.run(PAST).await;
    stand
        .run("begin; update sicantik_permit set status = 'prepared' where id = 1; prepare transaction 'p'")
        .await;
    assert_eq!(stand.events().await, 0);
    stand.run("commit prepared 'p'").await;
    assert_eq!((stand.events().await, stand.misses().await), (1, 0));
}

/// A copy of the database carries hooks and events. Its hooks are silent; the original goes on, also under another name.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_copy_the_hooks_are_silent() {
    for form in ["statement", "row"] {
        let Stand { office, admin } = {
            let stand = Stand::open().await;
            stand.shape(form).await;
            stand
        };
        drop(admin);
        let cluster = &office.cluster;
        let server = cluster.connect("postgres").await.unwrap();
        let alone = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname in ('sicantik', 'renamed')";
        server.batch_execute(alone).await.unwrap();
        cluster.create_database("copy", Some("sicantik")).await.unwrap();
        server
            .batch_execute(
                "alter database sicantik rename to renamed; alter database copy rename to sicantik",
            )
            .await
            .unwrap();
        for (database, expected) in [("sicantik", 0_i64), ("renamed", 8)] {
            let client = cluster.connect(database).await.unwrap();
            client
                .batch_execute("update sicantik_permit set status = 'written' where id < 9")
                .await
                .unwrap();
            let row = client
                .query_one("select count(*), (select is_called from sicantik_notify.miss) from sicantik_notify.event", &[])
                .await
                .unwrap();
            assert_eq!(
                (row.get::<_, i64>(0), row.get::<_, bool>(1)),
                (expected, false),
                "{form} {database}"
            );
        }
    }
}
