//! `uninstall`: what was installed leaves no trace (P11), and nothing of others goes with it.

use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

use crate::harness::{bare_host, command, office, output};

/// A command as this role; exit code and output.
async fn as_role(cluster: &Cluster, role: &str, database: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = command(arguments);
    command.env("SICANTIK_NOTIFYD_OWNER_URL", cluster.url_as(role, database));
    command.env("SICANTIK_NOTIFYD_DATABASE_URL", cluster.url_as(RUNTIME, database));
    output(command).await
}

async fn done(cluster: &Cluster, role: &str, arguments: &[&str]) -> String {
    let (code, text) = as_role(cluster, role, DATABASE, arguments).await;
    assert!(
        code == 0 || (code == 3 && arguments[0] != "uninstall"),
        "{arguments:?}: {text}"
    );
    text
}

async fn tool(cluster: &Cluster, name: &str, arguments: &[&str]) -> String {
    let mut tool = tokio::process::Command::new(cluster.bin_dir().join(name));
    let output = tool.args(arguments).output().await.expect("it runs");
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The whole database and the roles as they are dumped, data of the host included; without the token that each dump has anew.
async fn dump(cluster: &Cluster) -> String {
    let (url, server) = (cluster.url(DATABASE), cluster.url("postgres"));
    let database = tool(cluster, "pg_dump", &["--dbname", &url]).await;
    let roles = tool(cluster, "pg_dumpall", &["--globals-only", "--dbname", &server]).await;
    let lines = database.lines().chain(roles.lines());
    lines
        .filter(|l| !l.contains("restrict "))
        .map(|l| format!("{l}\n"))
        .collect()
}

async fn host_of(cluster: &Cluster) -> Client {
    bare_host(cluster).await;
    cluster.connect(DATABASE).await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_dump_before_the_installation_is_a_dump_after_the_removal() {
    let cluster = Cluster::start().await.expect("a server");
    let admin = host_of(&cluster).await;
    // A host that has rights of its own standing.
    admin
        .batch_execute(
            "create role reporting; grant select on public.sicantik_permit to reporting;
             grant select (id, name) on public.res_partner to reporting",
        )
        .await
        .expect("rights");
    let before = dump(&cluster).await;
    for _ in 0..2 {
        done(&cluster, "postgres", &["migrate"]).await;
        done(&cluster, "postgres", &["hooks", "install"]).await;
        assert_ne!(dump(&cluster).await, before);
        done(&cluster, "postgres", &["uninstall", "--yes"]).await;
        similar(&before, &dump(&cluster).await);
    }
    let (code, text) = as_role(&cluster, "postgres", DATABASE, &["uninstall", "--yes"]).await;
    assert!(code == 0 && text.contains("no schema"), "{code}: {text}");
}

fn similar(before: &str, after: &str) {
    let lost: Vec<&str> = before.lines().filter(|l| !after.contains(l)).take(5).collect();
    let left: Vec<&str> = after.lines().filter(|l| !before.contains(l)).take(5).collect();
    assert!(before == after, "lost: {lost:#?}\nleft: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_a_slot_leaves_as_little() {
    let cluster = Cluster::start().await.expect("a server");
    let admin = host_of(&cluster).await;
    let before = dump(&cluster).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "[capture]\nbackend = \"logical\"\n").expect("a file");
    let file = file.to_string_lossy().into_owned();
    done(&cluster, "postgres", &["migrate", "--config", &file]).await;
    done(&cluster, "postgres", &["hooks", "install", "--config", &file]).await;
    let slots = "select count(*) from pg_replication_slots";
    let counted: i64 = admin.query_one(slots, &[]).await.expect("a count").get(0);
    assert_eq!(counted, 1);
    done(&cluster, "postgres", &["uninstall", "--yes"]).await;
    similar(&before, &dump(&cluster).await);
    let counted: i64 = admin.query_one(slots, &[]).await.expect("a count").get(0);
    assert_eq!(counted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_without_superuser_removes_what_he_installed() {
    let cluster = Cluster::start().await.expect("a server");
    let admin = host_of(&cluster).await;
    admin
        .batch_execute(&format!(
            "create role dba login createrole; grant create on database {DATABASE} to dba; grant {} to dba",
            host::OWNER
        ))
        .await
        .expect("a DBA");
    let before = dump(&cluster).await;
    done(&cluster, "dba", &["migrate"]).await;
    done(&cluster, "dba", &["hooks", "install"]).await;
    done(&cluster, "dba", &["uninstall", "--yes"]).await;
    similar(&before, &dump(&cluster).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_prints_removes_as_much_by_psql() {
    let cluster = Cluster::start().await.expect("a server");
    host_of(&cluster).await;
    let before = dump(&cluster).await;
    done(&cluster, "postgres", &["migrate"]).await;
    done(&cluster, "postgres", &["hooks", "install"]).await;
    let script = done(&cluster, "postgres", &["uninstall", "--print"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("uninstall.sql");
    std::fs::write(&file, &script).expect("a file");
    let (url, file) = (cluster.url(DATABASE), file.to_string_lossy().into_owned());
    tool(
        &cluster,
        "psql",
        &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &file, "-d", &url],
    )
    .await;
    similar(&before, &dump(&cluster).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_built_upon_the_schema_is_named_and_nothing_is_removed() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    admin
        .batch_execute(
            "create view public.failed_messages as select * from sicantik_notify.v_log where state = 'failed';
             create table public.follow_up (message bigint, seen sicantik_notify.v_queue)",
        )
        .await
        .expect("objects of others");
    let (code, text) = as_role(&office.cluster, "postgres", DATABASE, &["uninstall", "--yes"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("failed_messages") && text.contains("follow_up"),
        "{text}"
    );
    done(&office.cluster, "postgres", &["hooks", "verify"]).await;
    admin
        .batch_execute("drop view public.failed_messages; drop table public.follow_up")
        .await
        .expect("gone");
    // Asked for the name, and given another one.
    let (code, text) = as_role(&office.cluster, "postgres", DATABASE, &["uninstall"]).await;
    assert!(code == 1 && text.contains("nothing was removed"), "{text}");
    done(&office.cluster, "postgres", &["uninstall", "--yes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_is_stopped_first_and_roles_that_another_database_uses_stay() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    {
        let mut daemon = office.daemon("").await.expect("a daemon");
        let running = "select exists (select from sicantik_notify.instance)";
        office.until(&admin, running).await.expect("it runs");
        let (code, text) = as_role(&office.cluster, "postgres", DATABASE, &["uninstall", "--yes"]).await;
        assert!(code == 1 && text.contains("stop it first"), "{text}");
        daemon.signal("TERM").await.expect("a signal");
        daemon.wait().await.expect("an end");
    }
    drop(admin);
    office
        .cluster
        .create_database("second", Some(DATABASE))
        .await
        .expect("a second database");
    let text = done(&office.cluster, "postgres", &["uninstall", "--yes"]).await;
    assert!(
        text.contains("role sicantik_notifyd stays") && text.contains("database second"),
        "{text}"
    );
    let (code, text) = as_role(&office.cluster, "postgres", "second", &["hooks", "verify"]).await;
    assert_eq!(code, 0, "the other installation still stands: {text}");
    let (code, text) = as_role(&office.cluster, "postgres", "second", &["uninstall", "--yes"]).await;
    assert!(code == 0 && !text.contains("stays"), "{text}");
}
