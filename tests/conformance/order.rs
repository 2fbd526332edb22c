//! Writers at the same time, and the order in which they commit.

use sicantik_notifyd::config::Backend;
use sicantik_notifyd::testkit::host::OWNER;

use crate::on_both;

on_both!(commit_order_is_not_id_order, stand, {
    stand.forget().await;
    let (first, second) = (stand.host().await, stand.host().await);
    first
        .batch_execute("begin; update sicantik_permit set status = 'early' where id = 1")
        .await
        .unwrap();
    second
        .batch_execute("update sicantik_permit set status = 'late' where id = 2")
        .await
        .unwrap();
    first.batch_execute("commit").await.unwrap();
    stand.settle().await;
    let order: Vec<i64> = stand
        .one("select array_agg(record_id order by id) from sicantik_notify.event")
        .await;
    match stand.backend {
        // A hook's ids follow the statements; who evaluates must not take ids for an order of commits.
        Backend::Triggers => assert_eq!(order, [1, 2]),
        // The log is in the order of the commits.
        Backend::Logical => assert_eq!(order, [2, 1]),
    }
    // Either way a transaction is seen whole, and as one.
    let whole: bool = stand
        .one("select count(distinct xact) = 2 from sicantik_notify.event")
        .await;
    assert!(whole);
});

on_both!(writers_at_the_same_time_lose_nothing_and_double_nothing, stand, {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 40;
    stand.forget().await;
    stand
        .sql(
            "create table written (n bigserial, permit integer, status text); grant all on written, written_n_seq to public; \
             insert into sicantik_permit (id, registration_id, permit_type_name, status) \
             select 5000 + i, 'w' || i, 't', 'draft' from generate_series(0, 19) i",
        )
        .await;
    stand.forget().await;
    let url = stand
        .office
        .cluster
        .url_as(OWNER, sicantik_notifyd::testkit::office::DATABASE);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let url = url.clone();
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
                    .await
                    .unwrap();
                tokio::spawn(connection);
                for round in 0..ROUNDS {
                    let permit = 5000 + (writer * 7 + round * 3) % 20;
                    let end = if round % 5 == 4 { "rollback" } else { "commit" };
                    let status = format!("w{writer}r{round}");
                    client
                        .batch_execute(&format!(
                            "begin; update sicantik_permit set status = '{status}' where id = {permit}; \
                             insert into written (permit, status) values ({permit}, '{status}'); {end}"
                        ))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stand.settle().await;
    let differ: i64 = stand
        .one(
            "select count(*) from (
                 (select permit::bigint, status from written except all
                  select record_id, new ->> 'status' from sicantik_notify.event)
                 union all
                 (select record_id, new ->> 'status' from sicantik_notify.event except all
                  select permit::bigint, status from written)) d",
        )
        .await;
    assert_eq!(differ, 0);
    let kept: i64 = stand.one("select count(*) from written").await;
    assert_eq!(kept, (WRITERS * ROUNDS * 4 / 5) as i64);
    // Each record's steps join: what one leaves, the next finds.
    let broken: i64 = stand
        .one(
            "select count(*) from (select old ->> 'status' as old, lag(new ->> 'status') over (partition by record_id order by id) as before \
             from sicantik_notify.event) x where before is not null and old <> before",
        )
        .await;
    assert_eq!(broken, 0);
});

on_both!(a_new_trigger_holds_for_the_next_write, stand, {
    // Under writes of an unrelated column all the time, the column is watched from the moment the plan says so.
    stand.forget().await;
    stand
        .sql("update sicantik_permit set notes = 'before' where id = 1")
        .await;
    stand
        .watch("('notes', 'N', 'sicantik.permit', 'on_field_change', 'notes')")
        .await;
    stand
        .sql("update sicantik_permit set notes = 'after' where id = 1")
        .await;
    let events = stand.events().await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].contains("\"notes\": \"before\"") && events[0].contains("\"notes\": \"after\""));
});
