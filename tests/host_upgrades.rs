//! The host's upgrades: no hook stands in the way of an ALTER TABLE, an open session goes on writing across it, and what is
//! captured no more is named. In both forms of the hook.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hooked;

use hooked::{Hooked, SHAPES};
use sicantik_notifyd::testkit::host::{OdooSession, ids};
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio_postgres::Client;

const PERMIT: i32 = ids::PERMIT_ACTIVE;
const TABLE: &str = "sicantik_permit";

/// An office; a session of the host that has written, and whose plans are cached; another one that upgrades.
async fn upgrading(shape: &str) -> (Hooked, Client, OdooSession) {
    let hooked = Hooked::of(shape).await;
    // A rule reads more columns than are watched.
    hooked
        .sql("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await;
    hooked.install().await;
    let read = "select read @> '{permit_number,permit_type_name}' from sicantik_notify.capture_plan where model = 'sicantik.permit'";
    assert!(hooked.yes(read).await);
    let open = hooked.host().await;
    for _ in 0..7 {
        hooked.toggle_captured(&open, PERMIT, "before the upgrade").await;
    }
    let upgrade = hooked.office.odoo().await.unwrap();
    (hooked, open, upgrade)
}

/// One write of the open session after a watched column has gone: it commits, and is captured nowhere.
async fn not_captured(hooked: &Hooked, open: &Client, column: &str, shape: &str) {
    let before = (hooked.events().await, hooked.misses().await);
    let sql = format!(
        "update {TABLE} set {column} = case {column} when 'active' then 'draft' else 'active' end where id = {PERMIT}"
    );
    assert_eq!(hooked.write(open, &sql).await, 1);
    let text = format!("select {column} from {TABLE} where id = {PERMIT}");
    assert!(["active", "draft"].contains(&hooked.text(&text).await.as_str()));
    assert_eq!(hooked.events().await, before.0, "{shape}");
    assert!(hooked.misses().await - before.1 <= 1, "{shape}");
}

/// `hooks verify` fails and names this column.
async fn named(hooked: &Hooked, column: &str) {
    let (code, output) = hooked.verify().await;
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains(TABLE) && output.contains(column), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alter_type_of_a_watched_and_of_a_read_column() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade.alter_type(TABLE, "status", "text", None).await.unwrap();
        hooked
            .toggle_captured(
                &open,
                PERMIT,
                &format!("after ALTER TYPE of a watched column, {shape}"),
            )
            .await;
        upgrade
            .alter_type(TABLE, "permit_number", "varchar(64)", None)
            .await
            .unwrap();
        hooked
            .toggle_captured(
                &open,
                PERMIT,
                &format!("after ALTER TYPE of a read column, {shape}"),
            )
            .await;
        // To a type that compares in another way, and to one without equality.
        upgrade
            .alter_type(
                TABLE,
                "permit_type_name",
                "json",
                Some("to_json(permit_type_name)"),
            )
            .await
            .unwrap();
        hooked.toggle(&open, PERMIT).await;
        hooked.publish().await;
        hooked
            .toggle_captured(
                &open,
                PERMIT,
                &format!("after ALTER TYPE to json and publishing, {shape}"),
            )
            .await;
        upgrade
            .alter_type(TABLE, "status", "varchar", None)
            .await
            .unwrap();
        hooked.publish().await;
        hooked
            .toggle_captured(&open, PERMIT, &format!("with the old type, {shape}"))
            .await;
        // The miss meanwhile is reported until the daemon has taken note of it.
        hooked.sql("select sicantik_notify.capture_misses()").await;
        assert_eq!(hooked.findings().await, "", "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_one_transaction_with_a_backfill() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        let before = (hooked.events().await, hooked.misses().await);
        upgrade.start_upgrade("sicantik_connector").await.unwrap();
        upgrade.begin().await.unwrap();
        upgrade
            .add_column(TABLE, "priority", "varchar", Some("'normal'"))
            .await
            .unwrap();
        upgrade.alter_type(TABLE, "status", "text", None).await.unwrap();
        upgrade.write(TABLE, &[ids::PERMIT_DRAFT], &[("status", "active".into())]);
        upgrade.commit().await.unwrap();
        upgrade.finish_upgrade("sicantik_connector").await.unwrap();
        assert_eq!(
            (hooked.events().await, hooked.misses().await),
            (before.0 + 1, before.1),
            "only the change of status, {shape}"
        );
        hooked
            .toggle_captured(&open, PERMIT, &format!("after the upgrade, {shape}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn added_dropped_and_renamed_columns_that_nobody_watches() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade
            .add_column(TABLE, "aaa_first", "int4", None)
            .await
            .unwrap();
        hooked
            .toggle_captured(&open, PERMIT, &format!("after ADD COLUMN, {shape}"))
            .await;
        upgrade.drop_column(TABLE, "original_permit_id").await.unwrap();
        hooked
            .toggle_captured(&open, PERMIT, &format!("after DROP COLUMN, {shape}"))
            .await;
        upgrade.rename_column(TABLE, "notes", "remarks").await.unwrap();
        hooked
            .toggle_captured(&open, PERMIT, &format!("after RENAME COLUMN, {shape}"))
            .await;
        assert_eq!(hooked.findings().await, "", "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_watched_column_is_named_and_renaming_it_back_heals() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade.rename_column(TABLE, "status", "phase").await.unwrap();
        not_captured(&hooked, &open, "phase", shape).await;
        named(&hooked, "status").await;
        // Publishing meanwhile does no harm.
        hooked.publish().await;
        not_captured(&hooked, &open, "phase", shape).await;
        named(&hooked, "status").await;
        upgrade.rename_column(TABLE, "phase", "status").await.unwrap();
        hooked.publish().await;
        hooked
            .toggle_captured(&open, PERMIT, &format!("renamed back, {shape}"))
            .await;
        // The miss meanwhile is reported until the daemon has taken note of it.
        hooked.sql("select sicantik_notify.capture_misses()").await;
        assert_eq!(hooked.findings().await, "", "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_column_that_is_renamed_back_at_once_heals_without_publishing() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade.rename_column(TABLE, "status", "phase").await.unwrap();
        upgrade.rename_column(TABLE, "phase", "status").await.unwrap();
        hooked
            .toggle_captured(&open, PERMIT, &format!("renamed back, {shape}"))
            .await;
        assert_eq!(hooked.verify().await.0, Some(0), "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_watched_column_is_named_and_the_triggers_stay() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade
            .add_column(TABLE, "phase", "varchar", Some("'draft'"))
            .await
            .unwrap();
        upgrade.drop_column(TABLE, "status").await.unwrap();
        not_captured(&hooked, &open, "phase", shape).await;
        named(&hooked, "status").await;
        let standing = "select count(*) from pg_trigger where tgrelid = 'sicantik_permit'::regclass
                        and tgname in ('sicantik_notify_insert', 'sicantik_notify_update')";
        assert_eq!(hooked.number(standing).await, 2, "{shape}");
        upgrade.rename_column(TABLE, "phase", "status").await.unwrap();
        hooked.publish().await;
        hooked
            .toggle_captured(&open, PERMIT, &format!("with a new column of that name, {shape}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_model_takes_its_hooks_along_and_is_named() {
    for shape in SHAPES {
        let (hooked, open, mut upgrade) = upgrading(shape).await;
        upgrade.drop_table("sicantik_document").await.unwrap();
        hooked
            .toggle_captured(&open, PERMIT, "another table's hook")
            .await;
        let (code, output) = hooked.verify().await;
        assert_eq!(code, Some(3));
        assert!(
            output.contains("sicantik_document") && output.contains("does not exist"),
            "{output}"
        );
        hooked.publish().await;
        hooked
            .toggle_captured(&open, PERMIT, &format!("after publishing, {shape}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inherited_tables_need_the_row_form_and_that_is_said() {
    let (hooked, open, _) = upgrading("statement").await;
    hooked
        .sql("set role odoo; create table permit_child () inherits (sicantik_permit); reset role")
        .await;
    let findings = hooked.findings().await;
    assert!(
        findings.contains("sicantik_permit") && findings.contains("statement trigger"),
        "{findings}"
    );
    assert_eq!(hooked.verify().await.0, Some(3));
    hooked
        .toggle_captured(&open, PERMIT, "of the parent's own row")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_needs_the_row_form_and_is_captured_with_it() {
    let (hooked, open, _) = upgrading("statement").await;
    hooked
        .sql(
            "set role odoo;
             alter table sicantik_permit rename to permit_old;
             create table sicantik_permit (like permit_old including defaults) partition by hash (id);
             create table permit_leaf_0 partition of sicantik_permit for values with (modulus 2, remainder 0);
             create table permit_leaf_1 partition of sicantik_permit for values with (modulus 2, remainder 1);
             insert into sicantik_permit select * from permit_old;
             reset role",
        )
        .await;
    hooked.install().await;
    let findings = hooked.findings().await;
    assert!(findings.contains("statement trigger"), "{findings}");
    hooked.reshape("row").await;
    assert_eq!(hooked.findings().await, "");
    hooked.toggle_captured(&open, PERMIT, "through the parent").await;
    let leaf = hooked
        .text(&format!(
            "select tableoid::regclass::text from sicantik_permit where id = {PERMIT}"
        ))
        .await;
    let before = hooked.events().await;
    hooked
        .write(
            &open,
            &format!("update {leaf} set status = 'renewed' where id = {PERMIT}"),
        )
        .await;
    assert_eq!(hooked.events().await, before + 1, "through the leaf");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_partners_come_and_go_under_an_open_session() {
    let hooked = Hooked::of("statement").await;
    let daemon = hooked.office.connect_as(RUNTIME).await.unwrap();
    hooked
        .sql("update res_partner set name = 'Budi', phone = '0811', mobile = '0812', active = null where id = 10")
        .await;
    let ask = "select concat_ws('|', id, name, coalesce(whatsapp_number, '-'), coalesce(mobile, '-'), phone, opted_in, active) \
               from sicantik_notify.host_partner('{10}')";
    let told = async || {
        // Often enough for a plan that is kept.
        for _ in 0..7 {
            daemon.query_one(ask, &[]).await.unwrap();
        }
        daemon.query_one(ask, &[]).await.unwrap().get::<_, String>(0)
    };
    hooked
        .sql("update res_partner set whatsapp_number = '0813', whatsapp_opt_in = true where id = 10")
        .await;
    assert_eq!(told().await, "10|Budi|0813|0812|0811|t|f");
    hooked
        .sql("alter table res_partner drop column mobile, drop column whatsapp_number, drop column whatsapp_opt_in")
        .await;
    assert_eq!(told().await, "10|Budi|-|-|0811|f|f");
    hooked
        .sql(
            "alter table res_partner add column mobile text, alter column phone type text; \
             update res_partner set mobile = '0814' where id = 10",
        )
        .await;
    assert_eq!(told().await, "10|Budi|-|0814|0811|f|f");
}
