//! `migrate`: by whom, how often, on what.

use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

use crate::harness::{bare_host, command, output};

/// `migrate` (or another command) as this role; exit code and output.
async fn as_role(cluster: &Cluster, role: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = command(arguments);
    command.env("SICANTIK_NOTIFYD_OWNER_URL", cluster.url_as(role, DATABASE));
    command.env("SICANTIK_NOTIFYD_DATABASE_URL", cluster.url_as(RUNTIME, DATABASE));
    command.env(
        "SICANTIK_NOTIFYD_STATE_DIR",
        std::env::temp_dir().join("no-state-needed"),
    );
    output(command).await
}

async fn migrated(cluster: &Cluster, role: &str) -> String {
    let (code, text) = as_role(cluster, role, &["migrate"]).await;
    assert_eq!(code, 0, "{text}");
    text
}

/// The schema as pg_dump writes it, without the token that each dump has anew.
async fn dump(cluster: &Cluster) -> String {
    let output = tokio::process::Command::new(cluster.bin_dir().join("pg_dump"))
        .args(["--schema-only", "--schema=sicantik_notify", "--dbname"])
        .arg(cluster.url(DATABASE))
        .output()
        .await
        .expect("pg_dump runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let kept = text.lines().filter(|l| !l.contains("restrict "));
    kept.map(|l| format!("{l}\n")).collect()
}

async fn host() -> (Cluster, Client) {
    let cluster = Cluster::start().await.expect("a server");
    bare_host(&cluster).await;
    let admin = cluster.connect(DATABASE).await.expect("a connection");
    (cluster, admin)
}

/// What the office's DBA is where nobody is superuser.
const DBA: &str = "create role dba login createrole";

#[tokio::test(flavor = "multi_thread")]
async fn twice_is_once() {
    let (cluster, admin) = host().await;
    let first = migrated(&cluster, "postgres").await;
    assert!(
        first.contains("migration ") && first.contains("replaced ") && first.contains("hooks install"),
        "{first}"
    );
    let before = dump(&cluster).await;
    assert!(before.contains("CREATE VIEW sicantik_notify.v_problem"));
    let second = migrated(&cluster, "postgres").await;
    assert!(
        !second.contains("migration ") && !second.contains("replaced ") && !second.contains("partition "),
        "{second}"
    );
    assert_eq!(before, dump(&cluster).await);
    let rows: i64 = admin
        .query_one("select count(*) from sicantik_notify.trigger", &[])
        .await
        .expect("counts")
        .get(0);
    // The six of the guide, permit_issued, and the one behind the answer to STOP.
    assert_eq!(rows, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_are_one() {
    let (alone, _) = host().await;
    migrated(&alone, "postgres").await;
    let expected = dump(&alone).await;
    drop(alone);
    let (cluster, _) = host().await;
    let (a, b, c) = tokio::join!(
        migrated(&cluster, "postgres"),
        migrated(&cluster, "postgres"),
        migrated(&cluster, "postgres")
    );
    let worked = [a, b, c].iter().filter(|t| t.contains("migration ")).count();
    assert_eq!(worked, 1);
    assert_eq!(expected, dump(&cluster).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_without_superuser_installs_the_same() {
    let (by_super, _) = host().await;
    migrated(&by_super, "postgres").await;
    let expected = dump(&by_super).await;
    drop(by_super);

    let (cluster, admin) = host().await;
    admin
        .batch_execute(&format!(
            "{DBA}; grant {} to dba; alter database {DATABASE} owner to dba",
            host::OWNER
        ))
        .await
        .expect("a DBA");
    migrated(&cluster, "dba").await;
    assert_eq!(expected, dump(&cluster).await);
    migrated(&cluster, "dba").await;
    let (code, text) = as_role(&cluster, "dba", &["hooks", "install"]).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = as_role(&cluster, RUNTIME, &["status"]).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = as_role(&cluster, "dba", &["hooks", "remove"]).await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_cannot_be_granted_are_printed_as_statements() {
    let (cluster, admin) = host().await;
    // Hardened: nobody may connect or look without a grant.
    admin
        .batch_execute(&format!(
            "{DBA}; grant create, connect on database {DATABASE} to dba; revoke connect on database {DATABASE} from public"
        ))
        .await
        .expect("a DBA");
    let (code, text) = as_role(&cluster, "dba", &["migrate"]).await;
    assert_eq!(code, 3, "{text}");
    let statements: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| l.starts_with("grant "))
        .collect();
    assert!(
        statements.contains(&"grant select on public.sicantik_permit to sicantik_notifyd;")
            && statements.contains(&"grant select on public.ir_config_parameter to sicantik_notify_owner;")
            && statements.contains(&"grant connect on database sicantik to sicantik_notifyd;"),
        "{text}"
    );
    admin
        .batch_execute(&statements.join("\n"))
        .await
        .expect("they run as printed");
    let text = migrated(&cluster, "dba").await;
    assert!(!text.contains("grant "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_install_is_told_who_may() {
    let (cluster, admin) = host().await;
    admin
        .batch_execute("create role somebody login")
        .await
        .expect("a role");
    let (code, text) = as_role(&cluster, "somebody", &["migrate"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("Connect as a DBA with --database-url"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_by_everything() {
    let (cluster, admin) = host().await;
    migrated(&cluster, "postgres").await;
    let before = dump(&cluster).await;
    admin
        .batch_execute("insert into sicantik_notify.schema_history (version, name, applied_on, checksum) values (9999, 'later', '', '')")
        .await
        .expect("a later version was here");
    for arguments in [
        &["migrate"][..],
        &["run"],
        &["status"],
        &["hooks", "install"],
        &["arm", "--yes"],
    ] {
        let (code, text) = as_role(&cluster, "postgres", arguments).await;
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(
            text.contains("the schema is at version 9999") && text.contains("install the newer"),
            "{arguments:?}: {text}"
        );
    }
    assert_eq!(before, dump(&cluster).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_schema_run_says_what_to_do() {
    let (cluster, admin) = host().await;
    // The very first time there is not even the role.
    let (code, text) = as_role(&cluster, "postgres", &["run"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("sicantik-notifyd migrate"), "{text}");
    // Where another database of the cluster has it already, there is.
    admin
        .batch_execute("create role sicantik_notifyd login")
        .await
        .expect("a role");
    let (code, text) = as_role(&cluster, "postgres", &["run"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("has no schema sicantik_notify: run `sicantik-notifyd migrate`"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_odoo_database_is_left_alone() {
    let cluster = Cluster::start().await.expect("a server");
    cluster.create_database(DATABASE, None).await.expect("a database");
    let (code, text) = as_role(&cluster, "postgres", &["migrate"]).await;
    assert_eq!(code, 1, "{text}");
    for expected in [
        "sicantik is not Odoo's",
        "ir_model, ir_model_fields",
        "res_partner",
        "db_name",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let admin = cluster.connect(DATABASE).await.expect("a connection");
    let left: bool = admin
        .query_one(
            "select exists (select from pg_namespace where nspname = 'sicantik_notify') \
                 or exists (select from pg_roles where rolname like 'sicantik%')",
            &[],
        )
        .await
        .expect("answers")
        .get(0);
    assert!(!left, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_replaces_its_function_or_all_views() {
    let (cluster, admin) = host().await;
    migrated(&cluster, "postgres").await;
    let before = dump(&cluster).await;
    // As if this binary's file were a newer one than what stands.
    admin
        .batch_execute(
            "create or replace function sicantik_notify.show_phone(p_phone text) returns text language sql as 'select ''old'''; \
             update sicantik_notify.repeatable set checksum = 'old' where name = 'functions/show_phone.sql'",
        )
        .await
        .expect("an older function");
    let text = migrated(&cluster, "postgres").await;
    let replaced: Vec<&str> = text.lines().filter(|l| l.starts_with("replaced ")).collect();
    assert_eq!(replaced, ["replaced    functions/show_phone.sql"], "{text}");
    assert_eq!(before, dump(&cluster).await);

    admin
        .batch_execute(
            "drop view sicantik_notify.v_log; create view sicantik_notify.v_log as select 1 as other_columns; \
             update sicantik_notify.repeatable set checksum = 'old' where name = 'views/v_log.sql'",
        )
        .await
        .expect("an older view");
    let text = migrated(&cluster, "postgres").await;
    assert!(text.contains("replaced    views/v_log.sql"), "{text}");
    assert!(!text.contains("replaced    functions/"), "{text}");
    assert_eq!(before, dump(&cluster).await);
}
