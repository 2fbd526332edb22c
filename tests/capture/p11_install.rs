//! P11: installing twice is installing once, what is printed is what is run, and removing leaves no trace.

use std::process::Stdio;

use sicantik_notifyd::testkit::office::Plan;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::on_both_profiles;
use crate::stand::{Stand, at_once};

/// All that the hooks are: functions with owner, settings and rights, and triggers.
const HOOKS: &str = "select string_agg(line, E'\\n' order by line) from ( \
    select pg_get_functiondef(f.oid) || pg_get_userbyid(f.proowner) || coalesce(f.proacl::text, 'default') as line from pg_proc f \
    where f.pronamespace = 'sicantik_notify'::regnamespace and f.proname like 'capture\\_sicantik%' \
    union all select pg_get_triggerdef(t.oid) || t.tgenabled::text from pg_trigger t where t.tgname like 'sicantik_notify%') x";

async fn program(stand: &Stand, name: &str, arguments: &[&str], input: &str) -> String {
    let cluster = &stand.office.cluster;
    let mut child = Command::new(cluster.bin_dir().join(name))
        .args([
            "-h",
            &cluster.socket_dir().display().to_string(),
            "-p",
            &cluster.port().to_string(),
            "-U",
            "postgres",
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .await
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The host's part of the schema. pg_dump's only varying lines are left out.
async fn host_schema(stand: &Stand) -> String {
    let text = program(
        stand,
        "pg_dump",
        &["--schema-only", "--schema=public", "sicantik"],
        "",
    )
    .await;
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn without_hooks() -> Plan {
    Plan {
        hooks: false,
        providers: false,
        ..Plan::default()
    }
}

on_both_profiles!(removing_leaves_the_hosts_tables_as_they_were, stand, {
    stand.office.run(&["hooks", "remove"]).await.unwrap();
    let before = host_schema(&stand).await;
    assert!(!before.contains("sicantik_notify_insert"));
    for form in ["statement", "row"] {
        stand.office.run(&["hooks", "install"]).await.unwrap();
        stand.shape(form).await;
        stand
            .run("update sicantik_permit set status = 'x' || random()")
            .await;
        assert!(
            host_schema(&stand).await.contains("sicantik_notify_insert"),
            "{form}: the look at the dump works"
        );
        stand.office.run(&["hooks", "remove"]).await.unwrap();
        assert_eq!(host_schema(&stand).await, before, "{form}");
        let left: i64 = stand
            .one("select count(*) from pg_proc where pronamespace = 'sicantik_notify'::regnamespace and prorettype = 'trigger'::regtype \
                  and proname like 'capture\\_%'")
            .await;
        assert_eq!(left, 0, "{form}");
        stand.office.run(&["hooks", "remove"]).await.unwrap(); // twice is once
    }
});

#[tokio::test(flavor = "multi_thread")]
async fn installing_twice_is_installing_once() {
    let stand = Stand::open().await;
    let history = "select count(*) from sicantik_notify.capture_publication";
    let (hooks, published): (String, i64) = (stand.one(HOOKS).await, stand.one(history).await);
    let before = host_schema(&stand).await;
    for _ in 0..2 {
        stand.office.run(&["hooks", "install"]).await.unwrap();
        stand.office.run(&["migrate"]).await.unwrap();
    }
    assert_eq!(stand.one::<String>(HOOKS).await, hooks);
    assert_eq!(host_schema(&stand).await, before);
    assert_eq!(
        stand.one::<i64>(history).await,
        published,
        "history is of changes"
    );
    assert!(
        stand
            .office
            .run(&["hooks", "verify"])
            .await
            .unwrap()
            .contains("The hooks are as they should be.")
    );
}

/// What `hooks sql` prints, run by psql, makes what `hooks install` makes.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_sql_is_what_is_run() {
    let stand = Stand::with(&without_hooks()).await;
    let printed = stand.office.run(&["hooks", "sql"]).await.unwrap();
    assert!(printed.contains("create or replace function sicantik_notify.capture_sicantik_permit()"));
    let said = stand.office.command(&["hooks", "verify"]).output().await.unwrap();
    assert_eq!(said.status.code(), Some(3), "there are no hooks yet");
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("there is no hook on public.sicantik_permit")
            && said.contains("run sicantik-notifyd hooks install"),
        "{said}"
    );

    program(
        &stand,
        "psql",
        &["-d", "sicantik", "-v", "ON_ERROR_STOP=1", "-q"],
        &printed,
    )
    .await;
    assert_eq!(stand.findings().await, "");
    let by_psql: String = stand.one(HOOKS).await;
    stand
        .run("update sicantik_permit set status = 'by psql' where id = 1")
        .await;
    assert_eq!((stand.events().await, stand.misses().await), (1, 0));

    // And the statements themselves: in the server's log, install's are the printed ones, in order.
    stand.office.run(&["hooks", "remove"]).await.unwrap();
    stand.run("alter system set log_statement = 'all'").await;
    stand.run("select pg_reload_conf()").await;
    stand
        .until("select current_setting('log_statement') = 'all'")
        .await;
    let printed_again = stand.office.run(&["hooks", "sql"]).await.unwrap();
    assert_eq!(printed_again, printed);
    stand.run("select 'install starts'").await;
    stand.office.run(&["hooks", "install"]).await.unwrap();
    assert_eq!(stand.one::<String>(HOOKS).await, by_psql);
    let log = std::fs::read_to_string(stand.office.cluster.socket_dir().join("log")).unwrap();
    let log = &log[log.rfind("install starts").unwrap()..];
    let statements: Vec<String> = stand
        .one("select array_agg(statement order by model, step) from sicantik_notify.hook_statements()")
        .await;
    let (mut run, mut shown) = (0, 0);
    for statement in &statements {
        // Continuation lines are indented by the log with a tab.
        let logged = statement.replace('\n', "\n\t");
        run += log[run..]
            .find(&logged)
            .unwrap_or_else(|| panic!("not run, or not in this order: {statement}"))
            + logged.len();
        shown += printed[shown..]
            .find(statement.as_str())
            .unwrap_or_else(|| panic!("not printed: {statement}"))
            + statement.len();
    }
}

/// A host that is busy with the table: install waits a little, lets the host go first, and tries again.
#[tokio::test(flavor = "multi_thread")]
async fn installing_waits_out_the_hosts_locks() {
    let stand = Stand::with(&without_hooks()).await;
    let host = stand.office.admin().await.unwrap();
    host.batch_execute("begin; update sicantik_permit set status = 'busy' where id = 1")
        .await
        .unwrap();
    let mut install = stand
        .office
        .command(&["hooks", "install"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = install.stdout.take().unwrap();
    // The table before it is done; this one is not, and the host is not kept from writing.
    stand.until("select exists (select from pg_trigger where tgrelid = 'sicantik_document'::regclass and tgname = 'sicantik_notify_update')").await;
    stand.until("select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%create or replace trigger%')").await;
    let odoo = stand.odoo().await;
    at_once(
        "another writer behind the waiting install",
        odoo.client()
            .batch_execute("update sicantik_permit set status = 'another' where id = 2"),
    )
    .await
    .unwrap();
    host.batch_execute("commit").await.unwrap();
    let status = at_once("install", install.wait()).await.unwrap();
    drop(stdout);
    assert!(status.success());
    assert_eq!(stand.findings().await, "");
}

/// It gives up after some tries, and then nothing has changed on that table.
#[tokio::test(flavor = "multi_thread")]
async fn removing_gives_up_where_the_host_never_lets_go() {
    let stand = Stand::open().await;
    let before: String = stand.one(HOOKS).await;
    let host = stand.office.admin().await.unwrap();
    host.batch_execute("begin; lock table sicantik_document in access share mode")
        .await
        .unwrap();
    let output = stand.office.command(&["hooks", "remove"]).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stayed locked by the host"), "{said}");
    assert_eq!(stand.one::<String>(HOOKS).await, before);
    host.batch_execute("rollback").await.unwrap();
    stand.office.run(&["hooks", "remove"]).await.unwrap();
}

/// A DBA without superuser: owner of the host's tables, and of our schema.
#[tokio::test(flavor = "multi_thread")]
async fn a_dba_without_superuser_can_install_and_remove() {
    let stand = Stand::with(&without_hooks()).await;
    stand
        .run("create role dba login; grant odoo, sicantik_notify_owner to dba")
        .await;
    let command = async |arguments: &[&str]| {
        let output = stand
            .office
            .command(arguments)
            .env(
                "SICANTIK_NOTIFYD_OWNER_URL",
                stand.office.cluster.url_as("dba", "sicantik"),
            )
            .output()
            .await
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    };
    command(&["hooks", "install"]).await;
    assert_eq!(stand.findings().await, "");
    let mut odoo = stand.odoo().await;
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "x".into())]);
    odoo.commit().await.unwrap();
    assert_eq!((stand.events().await, stand.misses().await), (1, 0));
    command(&["hooks", "remove"]).await;
    // Who may not, is told who may.
    stand
        .run("create role nobody_special login; grant sicantik_notify_owner, pg_read_all_data to nobody_special")
        .await;
    let output = stand
        .office
        .command(&["hooks", "install"])
        .env(
            "SICANTIK_NOTIFYD_OWNER_URL",
            stand.office.cluster.url_as("nobody_special", "sicantik"),
        )
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("Hooks are installed by a DBA"),
        "{said}"
    );
}
