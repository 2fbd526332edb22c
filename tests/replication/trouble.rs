//! What can go wrong with a slot: noticed, said, and survived where that is possible.

use std::time::Duration;

use sicantik_notifyd::config::Backend;
use sicantik_notifyd::testkit::host::OWNER;

use crate::setup::verify;
use crate::stand::{CAPTURE_ONLY, Stand};

impl Stand {
    async fn problem(&self, like: &str) {
        self.until(&format!(
            "select exists (select from sicantik_notify.v_problem where summary like '%{like}%')"
        ))
        .await;
    }

    async fn toggle(&self, permit: i32) {
        self.sql(&format!(
            "update sicantik_permit set status = case status when 'active' then 'draft' else 'active' end where id = {permit}"
        ))
        .await;
    }

    /// The remedy that is printed: reading begins anew.
    async fn mend(&self) {
        self.office.run(&["hooks", "install"]).await.unwrap();
        self.until(
            "select exists (select from pg_replication_slots where active) \
                    and not exists (select from sicantik_notify.problem where key = 'capture slot')",
        )
        .await;
        self.forget().await;
        self.toggle(1).await;
        assert_eq!(self.count().await, 1, "{}", self.daemon.log());
    }

    async fn configure(&self, name: &str, value: &str) {
        self.sql(&format!("alter system set {name} = {value}")).await;
        self.sql("select pg_reload_conf()").await;
        self.until(&format!(
            "select current_setting('{name}') = '{}'",
            value.trim_matches('\'')
        ))
        .await;
    }

    /// The daemon's walsender ends; it begins again by itself.
    async fn cut(&self) {
        self.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_gone_is_a_gap() {
    let mut stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand.daemon.kill().await.unwrap();
    stand.until("select not active from pg_replication_slots").await;
    stand
        .sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        .await;
    stand.toggle(1).await;
    stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    stand.problem("is gone").await;
    let (code, text) = verify(&stand).await;
    assert_eq!(code, Some(3));
    assert!(
        text.contains("is gone") && text.contains("hooks install"),
        "{text}"
    );
    stand.mend().await;
    // What lies between stays a problem until a person deletes it.
    stand.problem("may not have been captured").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_read_is_refused() {
    let mut stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand.daemon.kill().await.unwrap();
    stand.until("select not active from pg_replication_slots").await;
    stand.toggle(1).await;
    stand
        .sql("select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) from pg_replication_slots")
        .await;
    stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    stand.problem("somebody else read it").await;
    let events: i64 = stand.one("select count(*) from sicantik_notify.event").await;
    assert_eq!(events, 0);
    stand.mend().await;
    stand.problem("may not have been captured").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_timeline_is_refused_until_a_person_says_go_on() {
    let stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand
        .sql("update sicantik_notify.capture_slot set timeline = timeline + 1")
        .await;
    stand.cut().await;
    stand.problem("a standby was promoted").await;
    stand.toggle(2).await;
    // The log is there from the position on: nothing is lost.
    stand.office.run(&["hooks", "install"]).await.unwrap();
    stand.settle().await;
    let events: i64 = stand.one("select count(*) from sicantik_notify.event").await;
    assert_eq!(events, 1, "{}", stand.daemon.log());
    let gap: bool = stand
        .one("select exists (select from sicantik_notify.problem where key = 'capture gap')")
        .await;
    assert!(!gap);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_gave_up_is_said_and_made_anew() {
    let mut stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand.daemon.kill().await.unwrap();
    stand.until("select not active from pg_replication_slots").await;
    stand.configure("max_slot_wal_keep_size", "'1MB'").await;
    let host = stand.host().await;
    for _ in 0..4 {
        host.batch_execute("update sicantik_permit set notes = repeat('x', 1000) where id = 3")
            .await
            .unwrap();
        stand.sql("select pg_switch_wal(); checkpoint").await;
    }
    stand
        .until("select wal_status = 'lost' from pg_replication_slots")
        .await;
    stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    stand.problem("was given up by the server").await;
    stand.configure("max_slot_wal_keep_size", "'2GB'").await;
    stand.mend().await;
    stand.problem("may not have been captured").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_gone_is_said() {
    let stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand.sql("drop publication sicantik_notify").await;
    stand.toggle(1).await;
    stand.problem("publication sicantik_notify is gone").await;
    assert_eq!(verify(&stand).await.0, Some(3));
    stand.office.run(&["hooks", "install"]).await.unwrap();
    // What was written without it cannot be read by it: the slot goes on where the publication stands again.
    stand.mend().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_left_the_publication_or_was_made_anew_is_said() {
    let stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand
        .sql("alter publication sicantik_notify drop table sicantik_permit")
        .await;
    stand.problem("is not in publication").await;
    stand.mend().await;
    stand.problem("may not have been captured").await;
    stand.sql("delete from sicantik_notify.problem").await;
    stand
        .sql(
            "begin; alter table sicantik_permit rename to permit_old; create table sicantik_permit (like permit_old including all); \
             insert into sicantik_permit select * from permit_old; alter table sicantik_permit owner to odoo; commit",
        )
        .await;
    stand.problem("is not in publication").await;
    stand.mend().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_old_rows_nothing_is_guessed() {
    let stand = Stand::open(Backend::Logical).await;
    stand.forget().await;
    stand
        .sql("alter table sicantik_permit replica identity default")
        .await;
    stand.toggle(1).await;
    stand.problem("come without the old row").await;
    stand.problem("does not log old rows").await;
    assert_eq!(stand.count().await, 0);
    stand.mend().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_go_and_change() {
    let stand = Stand::open(Backend::Logical).await;
    stand.forget().await;
    let open = stand.host().await;
    let mut number = 0;
    for ddl in [
        "alter table sicantik_permit add column x_new integer default 7",
        "alter table sicantik_permit drop column notes cascade",
        "alter table sicantik_permit alter column status type text",
        "alter table sicantik_permit alter column partner_id type bigint",
        "alter table sicantik_permit rename column applicant_name to x_applicant",
        "alter table sicantik_permit alter column days_until_expiry type numeric using days_until_expiry",
    ] {
        // Before and after in the log of one reader, and in transactions that are open meanwhile.
        number += 1;
        open.execute(
            &format!("update sicantik_permit set status = 'before {number}' where id = 1"),
            &[],
        )
        .await
        .unwrap();
        stand
            .sql(&format!(
                "begin; {ddl}; update sicantik_permit set status = 'within {number}' where id = 1; commit"
            ))
            .await;
        open.execute(
            &format!("update sicantik_permit set status = 'after {number}' where id = 1"),
            &[],
        )
        .await
        .unwrap();
    }
    let events = stand.events().await;
    assert_eq!(events.len(), 3 * number, "{events:#?}\n{}", stand.daemon.log());
    let carried: i64 = stand
        .one("select count(*) from sicantik_notify.event where jsonb_typeof(new -> 'partner_id') in ('number', 'null')")
        .await;
    assert_eq!(carried, 3 * number as i64);
    // The column that a rule reads is gone under that name: said by the same finding as for hooks.
    stand.problem("applicant_name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_held_up_keeps_its_connection() {
    let stand = Stand::open(Backend::Logical).await;
    stand.configure("wal_sender_timeout", "'2s'").await;
    stand.cut().await;
    stand.until("select active from pg_replication_slots").await;
    stand.forget().await;
    let pid: i32 = stand.one("select active_pid from pg_replication_slots").await;
    let holder = stand.office.admin().await.unwrap();
    holder
        .batch_execute("begin; select from sicantik_notify.capture_slot for update")
        .await
        .unwrap();
    stand.toggle(1).await;
    stand
        .until("select exists (select from pg_stat_activity where usename = 'sicantik_notifyd' and wait_event_type = 'Lock' \
                and clock_timestamp() - query_start > interval '5 seconds')")
        .await;
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(stand.count().await, 1);
    let after: i32 = stand.one("select active_pid from pg_replication_slots").await;
    assert_eq!(pid, after, "{}", stand.daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_slot_moves_and_one_that_lags_is_said() {
    let mut stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    let host = stand.office.connect_as(OWNER).await.unwrap();
    // Writes that concern nobody: the slot follows all the same.
    host.batch_execute("create table elsewhere (t text); insert into elsewhere select repeat('x', 1000) from generate_series(1, 2000)")
        .await
        .unwrap();
    let here: String = stand.one("select pg_current_wal_insert_lsn()::text").await;
    stand
        .until(&format!(
            "select confirmed_flush_lsn >= '{here}' from pg_replication_slots"
        ))
        .await;
    stand.daemon.kill().await.unwrap();
    stand
        .sql(
            "insert into sicantik_notify.setting (key, value, description) values ('capture_lag_warn_bytes', '100000', ''), ('capture_lag_alarm_bytes', '3000000', '') \
             on conflict (key) do update set value = excluded.value",
        )
        .await;
    host.batch_execute("insert into elsewhere select repeat('x', 1000) from generate_series(1, 500)")
        .await
        .unwrap();
    let severity = "select coalesce((select severity = '{}' from sicantik_notify.v_problem where summary like '%behind the server%'), false)";
    stand.until(&severity.replace("{}", "warning")).await;
    host.batch_execute("insert into elsewhere select repeat('x', 1000) from generate_series(1, 5000)")
        .await
        .unwrap();
    stand.until(&severity.replace("{}", "alarm")).await;
    stand.configure("max_slot_wal_keep_size", "-1").await;
    stand.problem("max_slot_wal_keep_size is not set").await;
    stand.daemon = stand.office.daemon(CAPTURE_ONLY).await.unwrap();
    stand
        .until("select not exists (select from sicantik_notify.v_problem where summary like '%behind the server%')")
        .await;
    let shown: bool = stand
        .one("select bool_and(backend = 'logical' and lag_bytes is not null and wal_status = 'reserved') from sicantik_notify.v_capture where active")
        .await;
    assert!(shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_the_right_is_told_what_to_do() {
    let stand = Stand::open(Backend::Logical).await;
    stand.settle().await;
    stand.sql("alter role sicantik_notifyd noreplication").await;
    stand.cut().await;
    stand.until("select exists (select from sicantik_notify.v_problem where remedy like '%alter role sicantik_notifyd replication%')")
        .await;
    stand.toggle(1).await;
    stand.mend().await;
}

/// Memory stays flat whatever one transaction of the host writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_transaction_takes_no_more_memory() {
    const ROWS: i64 = 150_000;
    let stand = Stand::open(Backend::Logical).await;
    stand
        .sql(&format!(
            "insert into sicantik_permit (registration_id, permit_type_name, status, write_date) \
             select 'REG-BULK-' || i, 'Izin', 'draft', now() from generate_series(1, {ROWS}) i"
        ))
        .await;
    stand.forget().await;
    let pid: i32 = stand
        .one("select pid from sicantik_notify.instance order by id desc limit 1")
        .await;
    let peak = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = peak();
    let written = stand
        .admin
        .execute("update sicantik_permit set status = 'active'", &[])
        .await
        .unwrap();
    let patience = Duration::from_secs(240);
    let wait = async {
        while stand
            .one::<i64>("select count(*) from sicantik_notify.event")
            .await
            == 0
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(patience, wait).await.expect("it is stored");
    let events: i64 = stand.one("select count(*) from sicantik_notify.event").await;
    assert!(
        events >= ROWS && events <= written as i64,
        "all at once: {events} of {written}"
    );
    let after = peak();
    println!("{events} events; peak {before} kB before, {after} kB after");
    assert!(
        after < before + 32 * 1024,
        "peak {before} kB before, {after} kB after"
    );
}

/// As hooks stop storing then, the slot is not read; but nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_events_wait_in_the_log() {
    let stand = Stand::open(Backend::Logical).await;
    stand.forget().await;
    stand.toggle(1).await;
    assert_eq!(stand.count().await, 1);
    stand
        .sql("update sicantik_notify.setting set value = '1' where key = 'capture_max_backlog_bytes'")
        .await;
    stand.toggle(2).await;
    stand.problem("too many events wait for evaluation").await;
    assert_eq!(
        stand
            .one::<i64>("select count(*) from sicantik_notify.event")
            .await,
        1
    );
    stand
        .sql(
            "update sicantik_notify.setting set value = '1073741824' where key = 'capture_max_backlog_bytes'",
        )
        .await;
    stand
        .until("select count(*) = 2 from sicantik_notify.event")
        .await;
    stand
        .until("select not exists (select from sicantik_notify.problem where key = 'capture slot')")
        .await;
}

/// A published partition without a key would make the host's updates fail: such a table stays with its hook.
#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_without_a_key_stays_with_its_hook() {
    let mut stand = Stand::open(Backend::Triggers).await;
    stand
        .sql(
            "begin; alter table sicantik_permit rename to permit_old; \
             create table sicantik_permit (like permit_old including defaults) partition by range (id); \
             create table permit_low partition of sicantik_permit for values from (0) to (1000); \
             insert into sicantik_permit select * from permit_old; alter table sicantik_permit owner to odoo; commit; \
             update sicantik_notify.capture_plan set shape = 'row' where model = 'sicantik.permit'",
        )
        .await;
    stand.office.run(&["hooks", "install"]).await.unwrap();
    stand.office.run(&["capture", "switch", "logical"]).await.unwrap();
    stand.backend = Backend::Logical;
    stand.forget().await;
    // As a host does: a partition that nobody prepared.
    stand
        .sql("create table permit_high partition of sicantik_permit for values from (1000) to (2000); \
              insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1500, 'a', 't', 'draft')")
        .await;
    stand.forget().await;
    stand.toggle(1).await;
    stand.toggle(1500).await;
    stand
        .sql("update sicantik_document set state = 'x' where id = (select min(id) from sicantik_document)")
        .await;
    let events = stand.events().await;
    let of = |model: &str| events.iter().filter(|e| e.starts_with(model)).count();
    assert_eq!(
        (of("sicantik.permit"), of("sicantik.document")),
        (2, 1),
        "{events:#?}"
    );
    stand.problem("has no primary key").await;
}
