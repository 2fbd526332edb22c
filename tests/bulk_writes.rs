//! B2 and what Odoo's bulk writes look like to a hook: each changed row is captured, nothing else, and no plan loops.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hooked;

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use hooked::{Hooked, SHAPES, TOGGLE};
use sicantik_notifyd::testkit::host::{OdooSession, Value, Volume, generate, ids};
use tokio_postgres::Client;

const PERMIT: i32 = ids::PERMIT_ACTIVE;

/// Runs a statement and gives its time.
async fn timed(host: &Client, sql: &str) -> (u64, Duration) {
    let begun = Instant::now();
    let rows = host.execute(sql, &[]).await.unwrap();
    (rows, begun.elapsed())
}

/// Adds an active trigger and installs what it needs.
async fn watch(hooked: &Hooked, kind: &str, field: Option<&str>) {
    hooked
        .admin
        .execute(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch)
             values ('extra', 'Extra', 'sicantik.permit', $1, $2)",
            &[&kind, &field],
        )
        .await
        .unwrap();
    hooked.install().await;
}

const INSERT: &str = "insert into sicantik_permit (id, registration_id, permit_type_name, status)
                      select id, 'R' || id, 'Izin', 'active' from";

#[tokio::test(flavor = "multi_thread")]
async fn b2_one_row_then_a_hundred_thousand_in_one_session() {
    const ROWS: u32 = 100_000;
    let hooked = Hooked::open().await;
    hooked
        .sql("alter table sicantik_permit disable trigger sicantik_notify_insert")
        .await;
    let volume = Volume {
        permits: ROWS,
        ..Volume::default()
    };
    generate(&hooked.admin, &volume, 2).await.unwrap();
    hooked
        .sql("alter table sicantik_permit enable trigger sicantik_notify_insert")
        .await;
    let host = hooked.host().await;
    // The hook's plans are made, and cached, for one row.
    for _ in 0..10 {
        hooked.toggle_captured(&host, PERMIT, "one row").await;
    }
    let all = format!("{TOGGLE} where id > {}", ids::PERMITS);
    let before = hooked.events().await;
    let (rows, with) = timed(&host, &all).await;
    assert_eq!(rows, u64::from(ROWS));
    assert_eq!(
        hooked.events().await - before,
        i64::from(ROWS),
        "each row is captured"
    );
    assert_eq!(hooked.misses().await, 0);
    hooked
        .sql("alter table sicantik_permit disable trigger sicantik_notify_update")
        .await;
    let (rows, without) = timed(&host, &all).await;
    assert_eq!(rows, u64::from(ROWS));
    println!("{ROWS} rows: {with:?} with the hook, {without:?} without");
    assert!(with < 8 * without, "{with:?} with the hook, {without:?} without");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_captures_the_side_that_wrote() {
    let hooked = Hooked::open().await;
    watch(&hooked, "on_create", None).await;
    for (shape, new) in [("statement", 9001), ("row", 9002)] {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        hooked.sql("delete from sicantik_notify.event").await;
        let upsert = format!(
            "{INSERT} (values ({new}), ({PERMIT})) v (id) on conflict (id) do update set status = 'renewed'"
        );
        let kinds = "select coalesce(string_agg(op::text || record_id, ' ' order by op, record_id), '') from sicantik_notify.event";
        hooked.sql(&format!("update sicantik_permit set status = 'active' where id = {PERMIT}; delete from sicantik_notify.event")).await;
        assert_eq!(hooked.write(&host, &upsert).await, 2);
        assert_eq!(hooked.text(kinds).await, format!("I{new} U{PERMIT}"), "{shape}");
        hooked.sql("delete from sicantik_notify.event").await;
        let nothing = format!("{INSERT} (values ({new})) v (id) on conflict do nothing");
        assert_eq!(hooked.write(&host, &nothing).await, 0);
        // Both statement triggers fire here too; only the update wrote.
        assert_eq!(hooked.write(&host, &upsert).await, 2);
        assert_eq!(hooked.text(kinds).await, format!("U{new}"), "{shape}");
    }
    assert_eq!(hooked.misses().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn odoos_update_from_values_captures_exactly_the_changed_rows() {
    let hooked = Hooked::open().await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked
            .sql("update sicantik_permit set status = case when id % 3 = 0 then 'active' else 'draft' end")
            .await;
        hooked.sql("delete from sicantik_notify.event").await;
        let mut odoo = hooked.office.odoo().await.unwrap();
        let all: Vec<i32> = (1..=ids::PERMITS as i32).collect();
        odoo.request(async |odoo: &mut OdooSession| {
            odoo.write("sicantik_permit", &all, &[("status", Value::from("active"))]);
            Ok(())
        })
        .await
        .unwrap();
        let exact = "select array_agg(record_id order by record_id)
                        = (select array_agg(id::bigint order by id) from sicantik_permit where id % 3 <> 0)
                        and bool_and(old ->> 'status' = 'draft' and new ->> 'status' = 'active' and changed @> '{status}')
                     from sicantik_notify.event";
        assert!(hooked.yes(exact).await, "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_values_and_noise_capture_nothing() {
    let hooked = Hooked::open().await;
    watch(&hooked, "on_write", None).await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked.sql("delete from sicantik_notify.event").await;
        let mut odoo = hooked.office.odoo().await.unwrap();
        assert_eq!(odoo.sync().await.unwrap() as i64, ids::PERMITS);
        let host = hooked.host().await;
        for sql in [
            "update sicantik_permit set write_date = now(), write_uid = 2",
            "update sicantik_permit set status = status, permit_number = permit_number, write_date = now()",
            "update sicantik_permit set days_until_expiry = 3, expiry_status = 'critical', write_date = now()",
            "update sicantik_permit set status = 'draft' where false",
        ] {
            hooked.write(&host, sql).await;
            assert_eq!(hooked.events().await, 0, "{sql}, {shape}");
        }
        hooked
            .write(
                &host,
                &format!("update sicantik_permit set notes = 'x' || random() where id = {PERMIT}"),
            )
            .await;
        assert_eq!(hooked.events().await, 1, "a change outside the noise, {shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_fires_on_create() {
    let hooked = Hooked::open().await;
    watch(&hooked, "on_create", None).await;
    for (shape, first) in [("statement", 7000), ("row", 7100)] {
        hooked.reshape(shape).await;
        hooked.sql("delete from sicantik_notify.event").await;
        let host = hooked.host().await;
        let sink = host
            .copy_in("copy sicantik_permit (id, registration_id, permit_type_name, status) from stdin")
            .await
            .unwrap();
        let lines: String = (first..first + 50)
            .map(|id| format!("{id}\tR{id}\tIzin\tactive\n"))
            .collect();
        let mut sink = Box::pin(sink);
        sink.send(std::io::Cursor::new(lines.into_bytes())).await.unwrap();
        sink.close().await.unwrap();
        let created = format!(
            "select count(*) from sicantik_notify.event where op = 'I' and record_id between {first} and {first} + 49"
        );
        assert_eq!(hooked.number(&created).await, 50, "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_primary_key_is_never_lost() {
    let hooked = Hooked::open().await;
    for (shape, new) in [("statement", 8001), ("row", 8101)] {
        hooked.reshape(shape).await;
        hooked.sql("delete from sicantik_notify.event").await;
        let host = hooked.host().await;
        hooked
            .sql(&format!("{INSERT} generate_series({new}, {new} + 1) v (id)"))
            .await;
        hooked.sql("delete from sicantik_notify.event").await;
        let sql = format!(
            "update sicantik_permit set id = id + 10, status = 'draft' where id between {new} and {new} + 1"
        );
        assert_eq!(hooked.write(&host, &sql).await, 2);
        let seen = format!(
            "select count(*) from sicantik_notify.event where record_id between {new} + 10 and {new} + 11 and new ->> 'status' = 'draft'"
        );
        assert_eq!(hooked.number(&seen).await, 2, "{shape}");
        assert_eq!(hooked.misses().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_column_can_be_watched() {
    let hooked = Hooked::open().await;
    hooked
        .sql(
            "set role odoo; alter table sicantik_permit add column extra_data json; reset role;
             insert into ir_model_fields (model_id, model, name, ttype, field_description, state, store)
             select id, model, 'extra_data', 'json', '{\"en_US\": \"Extra\"}', 'base', true from ir_model where model = 'sicantik.permit'",
        )
        .await;
    watch(&hooked, "on_field_change", Some("extra_data")).await;
    let watched = "select 'extra_data' = any (watched) from sicantik_notify.capture_plan where model = 'sicantik.permit'";
    assert!(hooked.yes(watched).await);
    for (shape, value) in [("statement", 1), ("row", 2)] {
        hooked.reshape(shape).await;
        hooked.sql("delete from sicantik_notify.event").await;
        let host = hooked.host().await;
        let set = format!("update sicantik_permit set extra_data = '{{\"a\": {value}}}' where id = {PERMIT}");
        for _ in 0..2 {
            assert_eq!(hooked.write(&host, &set).await, 1);
            assert_eq!(hooked.events().await, 1, "once, {shape}");
        }
        hooked.toggle_captured(&host, PERMIT, "another column").await;
        assert_eq!(hooked.misses().await, 0, "{shape}");
        assert_eq!(hooked.findings().await, "", "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_partner_sets_null_by_foreign_key_and_is_captured_where_watched() {
    let hooked = Hooked::open().await;
    watch(&hooked, "on_field_change", Some("partner_id")).await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked.sql("delete from sicantik_notify.event").await;
        let mut odoo = hooked.office.odoo().await.unwrap();
        odoo.begin().await.unwrap();
        let partner = odoo
            .create("res_partner", &[vec![("name", "Short-lived".into())]])
            .await
            .unwrap();
        odoo.write("sicantik_permit", &[PERMIT], &[("partner_id", partner[0].into())]);
        odoo.commit().await.unwrap();
        odoo.begin().await.unwrap();
        odoo.unlink("res_partner", &partner).await.unwrap();
        odoo.commit().await.unwrap();
        assert!(
            hooked
                .yes(&format!(
                    "select partner_id is null from sicantik_permit where id = {PERMIT}"
                ))
                .await
        );
        let last = "select new -> 'partner_id' = 'null' from sicantik_notify.event order by id desc limit 1";
        assert!(hooked.yes(last).await, "{shape}");
        assert_eq!((hooked.events().await, hooked.misses().await), (2, 0), "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_and_replica_sessions_fire_nothing() {
    let hooked = Hooked::open().await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked
            .sql(&format!(
                "set session_replication_role = replica; {}; set session_replication_role = origin",
                TOGGLE
            ))
            .await;
        hooked
            .sql("begin; truncate sicantik_permit cascade; rollback")
            .await;
        assert_eq!((hooked.events().await, hooked.misses().await), (0, 0), "{shape}");
    }
}
