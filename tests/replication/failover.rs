//! A standby is promoted. From PostgreSQL 17 on it has a copy of the slot, and reading goes on when a person has said so; before
//! that the slot stays behind, and what was not read is a problem.

use std::time::Duration;

use sicantik_notifyd::config::{Backend, ENV_OWNER_URL, ENV_URL};
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio::process::Command;

use crate::stand::{CAPTURE_ONLY, Stand};

async fn yes(client: &tokio_postgres::Client, query: &str) -> bool {
    client
        .query_one(query, &[])
        .await
        .unwrap()
        .get::<_, Option<bool>>(0)
        == Some(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_goes_on_or_says_what_is_missing() {
    let mut stand = Stand::open(Backend::Logical).await;
    let version: i32 = stand
        .one("select current_setting('server_version_num')::integer")
        .await;
    let keeps_slots = version >= 170_000;
    stand.settle().await;
    stand
        .sql("select pg_create_physical_replication_slot('standby', true)")
        .await;
    let primary = &stand.office.cluster;
    let backup = stand.office.folder().join("standby");
    let output = Command::new(primary.bin_dir().join("pg_basebackup"))
        .args([
            "--wal-method=stream",
            "--checkpoint=fast",
            "--slot=standby",
            "--pgdata",
        ])
        .arg(&backup)
        .arg("--dbname")
        .arg(primary.url("postgres"))
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let conninfo = primary.url(DATABASE).replace('\'', "''");
    let mut builder = Cluster::builder()
        .data_from(&backup)
        .file("standby.signal", "")
        .setting("primary_conninfo", &conninfo)
        .setting("primary_slot_name", "standby")
        .setting("hot_standby_feedback", "on")
        .setting("max_prepared_transactions", "5");
    if keeps_slots {
        builder = builder.setting("sync_replication_slots", "on");
    }
    let standby = builder.start().await.unwrap();
    let far = standby.connect(DATABASE).await.unwrap();
    // The standby looks every half minute where nothing moves.
    let copied = "select exists (select from pg_replication_slots where synced and not temporary)";
    let copy = async {
        while keeps_slots && !yes(&far, copied).await {
            stand.sql("select pg_log_standby_snapshot()").await;
            stand.settle().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), copy)
        .await
        .expect("the slot is copied");
    // Something that the standby knows and nobody has read: the daemon is gone.
    stand.settle().await;
    stand.daemon.kill().await.unwrap();
    stand
        .sql("update sicantik_permit set status = 'unread' where id = 1")
        .await;
    let here: String = stand.one("select pg_current_wal_insert_lsn()::text").await;
    stand
        .sql("update sicantik_permit set notes = 'x' where id = 1")
        .await;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{here}'");
    stand.office.until(&far, &replayed).await.unwrap();
    stand.office.cluster.kill().await.unwrap();
    assert!(yes(&far, "select pg_promote()").await);

    let daemon = stand
        .office
        .daemon_on(&standby, CAPTURE_ONLY, &stand.office.folder().join("state"))
        .await
        .unwrap();
    let said = if keeps_slots {
        "a standby was promoted"
    } else {
        "is gone"
    };
    let problem =
        format!("select exists (select from sicantik_notify.v_problem where summary like '%{said}%')");
    stand.office.until(&far, &problem).await.unwrap();
    let output = stand
        .office
        .command(&["hooks", "install"])
        .env(ENV_OWNER_URL, standby.url(DATABASE))
        .env(ENV_URL, standby.url_as(RUNTIME, DATABASE))
        .output()
        .await
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    let reads = "select exists (select from pg_replication_slots where active and database is not null)";
    stand.office.until(&far, reads).await.unwrap();
    far.batch_execute("update sicantik_permit set status = 'afterwards' where id = 2")
        .await
        .unwrap();
    let captured = "select coalesce(array_agg(new ->> 'status' order by id), '{}') = $expected from sicantik_notify.event";
    let (expected, gap) = match keeps_slots {
        true => ("'{unread,afterwards}'", false),
        false => ("'{afterwards}'", true),
    };
    if let Err(error) = stand
        .office
        .until(&far, &captured.replace("$expected", expected))
        .await
    {
        panic!("{error}\n{}", daemon.log());
    }
    let query = "select exists (select from sicantik_notify.problem where key = 'capture gap')";
    assert_eq!(yes(&far, query).await, gap);
}
