//! Months of log, attempts and decisions: made ahead, dropped by retention, and the DEFAULT partition emptied.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};

async fn partitions(desk: &Desk, parent: &str) -> Vec<String> {
    desk.admin
        .query(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent = to_regclass('sicantik_notify.' || $1) order by 1",
            &[&parent],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect()
}

/// A finished message and an attempt of that time.
async fn row_of(desk: &Desk, at: &str, id: i64, open: bool) {
    let (finished, outcome) = if open {
        ("null", "null")
    } else {
        ("started_at", "'accepted'")
    };
    desk.sql(&format!(
        "insert into sicantik_notify.log (id, finished_at, state, phone, template_key, context, tries, possible_duplicate, created_at)
         values ({id}, '{at}', 'sent', '+6281234567890', 'x', '{{}}', 0, false, '{at}');
         insert into sicantik_notify.attempt (message_id, started_at, claim_token, instance_id, provider_id, provider_type, template_key, finished_at, outcome)
         select {id}, started_at, 1, 1, 1, 'meta', 'x', {finished}, {outcome} from (select '{at}'::timestamptz as started_at) s"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fell_into_default_is_moved_once_its_month_exists() {
    let desk = desk().await;
    // Months that nobody made: a daemon that was down for long, and one in the past.
    for (i, at) in [
        "2031-05-31 23:59+00",
        "2031-06-01 00:00+00",
        "2031-06-30 12:00+00",
        "2020-01-15 00:00+00",
    ]
    .iter()
    .enumerate()
    {
        row_of(&desk, at, i as i64 + 1, false).await;
    }
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log_default")
            .await,
        4
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about = 'partitions'")
            .await,
        1
    );
    desk.sql("select sicantik_notify.ensure_partitions('2031-06-10')")
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log_default")
            .await,
        0
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt_default")
            .await,
        0
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log_2031_06")
            .await,
        2
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log_2031_05")
            .await,
        1
    );
    assert_eq!(desk.number("select count(*) from sicantik_notify.log").await, 4);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about = 'partitions'")
            .await,
        0
    );
    let log = partitions(&desk, "log").await;
    for month in ["log_2020_01", "log_2031_05", "log_2031_06", "log_2031_09"] {
        assert!(log.iter().any(|p| p == month), "{month}: {log:?}");
    }
    // Each has its parent's indexes, attached.
    assert_eq!(
        desk.number(
            "select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent in (select indexrelid from pg_index where indrelid = 'sicantik_notify.log'::regclass)
               and c.relname like 'log_2031_06%'"
        )
        .await,
        desk.number("select count(*) from pg_index where indrelid = 'sicantik_notify.log'::regclass").await
    );
    // Twice is once.
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.ensure_partitions('2031-06-10')")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_months_are_dropped_and_unfinished_work_stays() {
    let desk = desk().await;
    desk.sql("select sicantik_notify.ensure_partitions('2026-01-10', 8)")
        .await;
    for (i, month) in ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]
        .iter()
        .enumerate()
    {
        row_of(
            &desk,
            &format!("{month}-20 10:00+00"),
            100 + i as i64,
            *month == "2026-02",
        )
        .await;
    }
    // A message that still waits has an attempt in January.
    let waiting = desk.message("+6281300000001").await;
    desk.sql(&format!(
        "update sicantik_notify.attempt set message_id = {waiting} where message_id = 100"
    ))
    .await;
    // 90 days before 15 June: everything that ended by 17 March.
    let dropped: Vec<String> = desk
        .admin
        .query(
            "select sicantik_notify.retire_partitions('2026-06-15 00:00+00')",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(
        dropped,
        [
            "decision_2026_01",
            "decision_2026_02",
            "log_2026_01",
            "log_2026_02"
        ]
    );
    assert_eq!(desk.number("select count(*) from sicantik_notify.log").await, 3);
    // Its attempts go when it is finished and the open one has an answer.
    desk.sql("delete from sicantik_notify.queue; update sicantik_notify.attempt set outcome = 'uncertain', finished_at = now() where outcome is null").await;
    assert_eq!(
        desk.text(
            "select string_agg(p, ' ') from sicantik_notify.retire_partitions('2026-06-15 00:00+00') p"
        )
        .await
        .unwrap(),
        "attempt_2026_01 attempt_2026_02"
    );
    // Another number of days; and nothing is thrown away where it is not a number.
    for (days, gone) in [("'no'", 0), ("'0'", 0), ("'30'", 6)] {
        desk.sql(&format!(
            "update sicantik_notify.setting set value = {days} where key = 'log_retention_days'"
        ))
        .await;
        assert_eq!(
            desk.number("select count(*) from sicantik_notify.retire_partitions('2026-06-15 00:00+00')")
                .await,
            gone,
            "{days}"
        );
    }
    assert_eq!(
        desk.text("select string_agg(to_char(finished_at, 'MM'), ' ' order by id) from sicantik_notify.log")
            .await
            .unwrap(),
        "05"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_daemon_keeps_the_months_and_waits_for_no_lock() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    row_of(&desk, "2020-01-15 00:00+00", 7, false).await;
    desk.sql("alter database sicantik set sicantik_notify.clock_offset = '200 days'")
        .await;
    // Somebody reads the log for long, as a backup does.
    let reader = desk.office.admin().await.unwrap();
    reader
        .batch_execute("begin; select count(*) from sicantik_notify.log_default")
        .await
        .unwrap();
    let mut daemon = desk.quick().await;
    let id = desk.message("+6281300000001").await;
    desk.accepted(1).await;
    desk.until(&format!(
        "select exists (select from sicantik_notify.log where id = {id})"
    ))
    .await;
    let said = async {
        while !daemon.log().contains("Notifyd: Partitions failed") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(desk::PATIENCE, said).await.unwrap();
    reader.batch_execute("commit").await.unwrap();
    daemon.signal("TERM").await.unwrap();
    daemon.wait().await.unwrap();
    let _daemon = desk.quick().await;
    desk.until("select to_char(clock_timestamp() + interval '200 days 3 months', '\"log_\"YYYY_MM') = (select max(c.relname::text) from pg_class c where c.relname ~ '^log_[0-9]{4}_[0-9]{2}$')").await;
    // What was of 2020 was given its month, and that is long over.
    desk.until("select not exists (select from sicantik_notify.log where id = 7) and not exists (select from sicantik_notify.log_default)").await;
    desk.until(&format!(
        "select exists (select from sicantik_notify.log where id = {id})"
    ))
    .await;
}
