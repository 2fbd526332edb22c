//! The ways in which rows are written.

use futures_util::SinkExt;
use sicantik_notifyd::config::Backend;

use crate::on_both;
use crate::stand::Stand;

/// A line an event, records in order, steps of a record in theirs.
const FOUND: &str = "select coalesce(array_agg(format('%s %s %s', op, record_id, array_to_string(changed, '+')) order by record_id, id), '{}') \
                     from sicantik_notify.event where model = 'sicantik.permit'";

impl Stand {
    async fn found(&self, sql: &str) -> Vec<String> {
        self.forget().await;
        self.sql(sql).await;
        self.settle().await;
        self.one(FOUND).await
    }

    /// Runs these writes and compares the events that they make.
    async fn check(&self, what: &str, sql: &str, expected: &[&str]) {
        let found = self.found(sql).await;
        assert_eq!(
            found,
            expected,
            "{:?}: {what}\n{}",
            self.backend,
            self.daemon.log()
        );
    }
}

on_both!(every_kind_of_write_is_seen_once, stand, {
    stand
        .watch("('created', 'C', 'sicantik.permit', 'on_create', null), ('partner', 'P', 'sicantik.permit', 'on_field_change', 'partner_id')")
        .await;
    stand
        .sql("update sicantik_permit set status = 'draft', partner_id = 10 where id in (1, 2, 3)")
        .await;
    for (what, sql, expected) in [
        (
            "UPDATE FROM VALUES of several rows, one of which does not change",
            "update sicantik_permit set status = v.s, write_date = now() from (values (1, 'a'), (2, 'draft'), (3, 'c')) v(id, s) \
             where sicantik_permit.id = v.id",
            &["U 1 status", "U 3 status"][..],
        ),
        (
            "equal values in the SET list",
            "update sicantik_permit set status = status, write_date = now()",
            &[],
        ),
        (
            "no row at all",
            "update sicantik_permit set status = 'x' where id < 0",
            &[],
        ),
        (
            "noise only",
            "update sicantik_permit set last_sync_date = now(), write_date = now(), write_uid = 1",
            &[],
        ),
        (
            "noise only, write_date untouched",
            "update sicantik_permit set last_sync_date = clock_timestamp()",
            &[],
        ),
        (
            "INSERT of several rows",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'active'), (1002, 'b', 't', 'draft')",
            &["I 1001 ", "I 1002 "],
        ),
        (
            "an upsert that inserts one row and updates another",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'expired'), (1003, 'c', 't', 'draft') \
             on conflict (id) do update set status = excluded.status",
            &["U 1001 status", "I 1003 "],
        ),
        (
            "an upsert that does nothing",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'expired') on conflict (id) do nothing",
            &[],
        ),
        (
            "a changed primary key is a new record",
            "update sicantik_permit set id = 1004, status = 'moved' where id = 1003",
            &["I 1004 "],
        ),
        (
            "ids that change places",
            "update sicantik_permit set id = case id when 1001 then 2001 else 2002 end where id in (1001, 1002)",
            &["I 2001 ", "I 2002 "],
        ),
        (
            "two columns at once",
            "update sicantik_permit set status = 'both', partner_id = 11 where id = 1",
            &["U 1 partner_id+status"],
        ),
        (
            "a value taken away",
            "update sicantik_permit set partner_id = null where id = 1",
            &["U 1 partner_id"],
        ),
        (
            "a cascade: SET NULL of a foreign key",
            "insert into res_partner (id, name) values (9001, 'gone soon') on conflict do nothing; \
             alter table sicantik_permit disable trigger user; update sicantik_permit set partner_id = 9001 where id in (2, 3); \
             alter table sicantik_permit enable trigger user; delete from res_partner where id = 9001",
            match stand.backend {
                Backend::Triggers => &["U 2 partner_id", "U 3 partner_id"],
                // What DISABLE TRIGGER hides from a hook stands in the log.
                Backend::Logical => &[
                    "U 2 partner_id",
                    "U 2 partner_id",
                    "U 3 partner_id",
                    "U 3 partner_id",
                ],
            },
        ),
        ("DELETE", "delete from sicantik_permit where id > 1000", &[]),
        (
            "three flushes of one row in one transaction",
            "begin; update sicantik_permit set status = 'a1' where id = 1; update sicantik_permit set status = 'a2' where id = 1; \
             update sicantik_permit set status = 'a3' where id = 1; commit",
            &["U 1 status", "U 1 status", "U 1 status"],
        ),
    ] {
        stand.check(what, sql, expected).await;
    }
    let transactions: i64 = stand
        .one("select count(distinct xact) from sicantik_notify.event")
        .await;
    assert_eq!(transactions, 1, "one transaction stays one");
    let way: Vec<String> = stand
        .one("select array_agg((old ->> 'status') || '>' || (new ->> 'status') order by id) from sicantik_notify.event")
        .await;
    assert_eq!(way, ["both>a1", "a1>a2", "a2>a3"]);
});

on_both!(what_is_taken_back_is_not_seen, stand, {
    stand
        .sql("update sicantik_permit set status = 'draft' where id <= 6")
        .await;
    for (what, sql, expected) in [
        (
            "a rollback",
            "begin; update sicantik_permit set status = 'x' where id = 1; rollback",
            &[][..],
        ),
        (
            "a savepoint that is rolled back, between writes that stay",
            "begin; update sicantik_permit set status = 'a' where id = 1; savepoint s; \
             update sicantik_permit set status = 'x' where id in (1, 2); rollback to s; \
             update sicantik_permit set status = 'c' where id = 3; commit",
            &["U 1 status", "U 3 status"],
        ),
        (
            "savepoints within savepoints, released",
            "begin; savepoint a; update sicantik_permit set status = 's1' where id = 1; savepoint b; \
             update sicantik_permit set status = 's2' where id = 2; release b; release a; commit",
            &["U 1 status", "U 2 status"],
        ),
        (
            "subtransactions of a function, one of which fails",
            "do $$ begin for i in 4..6 loop begin update sicantik_permit set status = 'f' || i where id = i; \
             if i = 5 then raise 'no'; end if; exception when raise_exception then null; end; end loop; end $$",
            &["U 4 status", "U 6 status"],
        ),
        (
            "more subtransactions than a backend keeps in memory",
            "do $$ begin for i in 1..100 loop begin update sicantik_permit set status = 'n' || i where id = 1; \
             exception when raise_exception then null; end; end loop; end $$",
            &["U 1 status"; 100],
        ),
        (
            "a prepared transaction that is rolled back",
            "begin; update sicantik_permit set status = 'p' where id = 1; prepare transaction 'a'; rollback prepared 'a'",
            &[],
        ),
        (
            "a prepared transaction that is committed",
            "begin; update sicantik_permit set status = 'p' where id = 2; prepare transaction 'b'; commit prepared 'b'",
            &["U 2 status"],
        ),
    ] {
        stand.forget().await;
        for statement in split(sql) {
            stand.sql(statement).await;
        }
        stand.settle().await;
        let found: Vec<String> = stand.one(FOUND).await;
        assert_eq!(found, expected, "{:?}: {what}", stand.backend);
    }
});

/// COMMIT PREPARED must not stand in a statement list.
fn split(sql: &str) -> Vec<&str> {
    match sql.contains("prepared") {
        true => sql.split("; ").collect(),
        false => vec![sql],
    }
}

on_both!(bulk_writes_and_copy_are_seen, stand, {
    stand
        .watch("('created', 'C', 'sicantik.permit', 'on_create', null)")
        .await;
    stand.forget().await;
    let sink = stand
        .admin
        .copy_in("copy sicantik_permit (id, registration_id, permit_type_name, status) from stdin")
        .await
        .unwrap();
    let mut sink = Box::pin(sink);
    let rows: String = (3001..6001)
        .map(|i| format!("{i}\tREG-{i}\tIzin\tdraft\n"))
        .collect();
    sink.send(std::io::Cursor::new(rows.into_bytes())).await.unwrap();
    sink.as_mut().finish().await.unwrap();
    assert_eq!(stand.count().await, 3000);

    stand.forget().await;
    stand
        .sql(
            "update sicantik_permit set status = 'active', write_date = now() where id between 3001 and 6000",
        )
        .await;
    assert_eq!(stand.count().await, 3000);
    let (records, transactions, old): (i64, i64, i64) = {
        let row = stand
            .admin
            .query_one(
                "select count(distinct record_id), count(distinct xact), count(*) filter (where old ->> 'status' = 'draft') from sicantik_notify.event",
                &[],
            )
            .await
            .unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    assert_eq!((records, transactions, old), (3000, 1, 3000));

    stand.forget().await;
    stand
        .sql("create table permit_copy as table sicantik_permit; truncate sicantik_permit cascade")
        .await;
    assert_eq!(stand.count().await, 0, "nobody is told of a TRUNCATE");
    stand
        .sql("insert into sicantik_permit select * from permit_copy where id = 3001")
        .await;
    assert_eq!(stand.count().await, 1, "capture goes on after it");
});

on_both!(the_hosts_transaction_is_named_as_the_host_names_it, stand, {
    stand.forget().await;
    let host = stand.host().await;
    host.batch_execute("begin; savepoint a; update sicantik_permit set status = 'x1' where id = 1")
        .await
        .unwrap();
    let xact: String = host
        .query_one("select pg_current_xact_id()::text", &[])
        .await
        .unwrap()
        .get(0);
    host.batch_execute("release a; commit").await.unwrap();
    stand.settle().await;
    let found: Vec<String> = stand
        .one("select array_agg(xact::text) from sicantik_notify.event")
        .await;
    assert_eq!(found, [xact]);
    let recent: bool = stand
        .one("select bool_and(abs(extract(epoch from clock_timestamp() - occurred_at)) < 30) from sicantik_notify.event")
        .await;
    assert!(recent);
});

on_both!(a_session_that_plays_replica, stand, {
    let sql = "begin; set local session_replication_role = replica; update sicantik_permit set status = 'restored' where id = 1; commit";
    match stand.backend {
        // As with every trigger of PostgreSQL: a data-only restore makes no events.
        Backend::Triggers => stand.check("a restore", sql, &[]).await,
        // The log has it, whoever wrote it.
        Backend::Logical => stand.check("a restore", sql, &["U 1 status"]).await,
    }
});

on_both!(a_partitioned_table, stand, {
    stand
        .watch("('created', 'C', 'sicantik.permit', 'on_create', null)")
        .await;
    // The host rebuilds its table; hooks need their row form then, and the slot its publication.
    stand
        .sql(
            "begin; alter table sicantik_permit rename to permit_old; \
             create table sicantik_permit (like permit_old including defaults) partition by range (id); \
             alter table sicantik_permit add primary key (id); \
             create table permit_low partition of sicantik_permit for values from (0) to (1000); \
             create table permit_high partition of sicantik_permit for values from (1000) to (100000); \
             alter table sicantik_permit owner to odoo; commit",
        )
        .await;
    if stand.backend == Backend::Triggers {
        stand
            .sql("update sicantik_notify.capture_plan set shape = 'row' where model = 'sicantik.permit'")
            .await;
    }
    stand.office.run(&["hooks", "install"]).await.unwrap();
    for (what, sql, expected) in [
        (
            "inserts through the parent and into a leaf",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1, 'a', 't', 'draft'), (1001, 'b', 't', 'draft'); \
             insert into permit_low (id, registration_id, permit_type_name, status) values (2, 'c', 't', 'draft')",
            &["I 1 ", "I 2 ", "I 1001 "][..],
        ),
        (
            "updates through the parent and in a leaf",
            "update sicantik_permit set status = 'active'; update permit_high set status = 'expired'",
            &["U 1 status", "U 2 status", "U 1001 status", "U 1001 status"],
        ),
        (
            "a row that moves to another partition",
            "update sicantik_permit set id = 1002, status = 'moved' where id = 2",
            &["I 1002 "],
        ),
    ] {
        stand.check(what, sql, expected).await;
    }
});
