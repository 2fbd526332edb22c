//! Evaluated events are kept for some days, in partitions that the running daemon makes and drops.

use sicantik_notifyd::testkit::host::ids;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluated_event_moves_into_the_history_whole() {
    let bench = Bench::open().await;
    bench.rule("sicantik.permit", "any", "active = true").await;
    bench
        .sql(&format!(
            "update sicantik_permit set status = 'active' where id = {}",
            ids::PERMIT_DRAFT
        ))
        .await;
    bench.fire("any", &[1]).await;
    let columns =
        "id, record_id, xact, occurred_at, op, tries, target_trigger, target_rule, model, changed, old, new";
    bench
        .sql(&format!(
            "create table before as select {columns} from sicantik_notify.event"
        ))
        .await;
    assert_eq!(bench.run().await.events, 2);
    let same = format!(
        "select count(*) from (select {columns} from sicantik_notify.event_history intersect all select {columns} from before) x"
    );
    assert_eq!(bench.number(&same).await, 2);
    assert_eq!(
        bench.number("select count(*) from sicantik_notify.event").await,
        0
    );
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.event_history_default")
            .await,
        0
    );
    // Off: they are gone.
    bench
        .sql("update sicantik_notify.setting set value = '0' where key = 'event_history_days'")
        .await;
    bench.fire("any", &[1]).await;
    assert_eq!(bench.run().await.events, 1);
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.event_history")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_made_ahead_and_dropped_and_what_fell_beside_is_taken_back() {
    let bench = Bench::open().await;
    let made = |now: &str| format!("select sicantik_notify.ensure_partitions('{now}') order by 1");
    assert_eq!(
        bench.texts(&made("2031-03-01 12:00+00")).await.len(),
        3 * 4 + 8,
        "this month and three, today and seven days"
    );
    assert_eq!(bench.texts(&made("2031-03-01 23:59+00")).await, [""; 0]);
    assert_eq!(
        bench.texts(&made("2031-03-02 00:00+00")).await,
        ["event_history_2031_03_09"]
    );
    // Nobody was there for a month: rows fell into the DEFAULT partitions, which is a problem until the next call.
    bench
        .sql(
            "insert into sicantik_notify.event_history (id, evaluated_at, record_id, xact, occurred_at, op, tries, model)
             values (1, '2031-04-10 08:00+00', 1, '1', now(), 'F', 0, 'x'), (2, '2031-03-09 08:00+00', 1, '1', now(), 'F', 0, 'x');
             insert into sicantik_notify.decision (decided_at, outcome, model, record_id, reason)
             values ('2031-07-01 00:00+00', 'error', 'x', 1, 'x')",
        )
        .await;
    let beside = "select count(*) from sicantik_notify.v_problem where about = 'partitions'";
    assert_eq!(bench.number(beside).await, 1);
    let made = bench.texts(&made("2031-04-10 09:00+00")).await;
    assert!(
        made.contains(&"event_history_2031_04_10".to_owned())
            && made.contains(&"decision_2031_07".to_owned()),
        "{made:?}"
    );
    assert_eq!(bench.number(beside).await, 0);
    let kept = "select tableoid::regclass::text from sicantik_notify.event_history order by id";
    assert_eq!(
        bench.texts(kept).await,
        [
            "sicantik_notify.event_history_2031_04_10",
            "sicantik_notify.event_history_2031_03_09"
        ]
    );
    let dropped = bench
        .texts("select sicantik_notify.drop_event_history('2031-04-10 09:00+00') order by 1")
        .await;
    assert_eq!(dropped.last().unwrap(), "event_history_2031_03_09");
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.event_history")
            .await,
        1
    );
    let left = bench
        .texts("select relname::text from pg_class where relname ~ '^event_history_2031' and relkind = 'r' order by 1 limit 1")
        .await;
    assert_eq!(left, ["event_history_2031_04_10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_makes_and_drops_them() {
    let bench = Bench::open().await;
    // A month later, without a migration in between.
    bench
        .sql("alter database sicantik set sicantik_notify.clock_offset = '100 days'")
        .await;
    let _daemon = bench.office.daemon("").await.unwrap();
    let made = "select to_regclass('sicantik_notify.event_history_' || to_char((clock_timestamp() + interval '107 days') at time zone 'UTC', 'YYYY_MM_DD')) is not null
                and to_regclass('sicantik_notify.log_' || to_char((clock_timestamp() + interval '100 days') at time zone 'UTC' + interval '1 month', 'YYYY_MM')) is not null
                and to_regclass('sicantik_notify.event_history_' || to_char(clock_timestamp() at time zone 'UTC' + interval '1 day', 'YYYY_MM_DD')) is null";
    bench.office.until(&bench.admin, made).await.unwrap();
}
