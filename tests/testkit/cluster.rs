//! The ephemeral PostgreSQL.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::postgres::{Cluster, StopMode, find_binaries};

fn gone(path: &Path) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while path.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    !path.exists()
}

/// Whether the server of a pid file still lives.
fn alive(pid: &str) -> bool {
    Command::new("kill")
        .args(["-0", pid])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

async fn setting(cluster: &Cluster, name: &str) -> String {
    let client = cluster.connect("postgres").await.unwrap();
    client
        .query_one(&format!("show {name}"), &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn starts_with_the_promised_settings() {
    let began = Instant::now();
    let cluster = Cluster::builder()
        .setting("work_mem", "3MB")
        .start()
        .await
        .unwrap();
    eprintln!("started in {:?}", began.elapsed());
    assert_eq!(setting(&cluster, "wal_level").await, "logical");
    assert_eq!(setting(&cluster, "max_connections").await, "200");
    assert_eq!(setting(&cluster, "fsync").await, "off");
    assert_eq!(setting(&cluster, "server_encoding").await, "UTF8");
    assert_eq!(setting(&cluster, "work_mem").await, "3MB");
    let client = cluster.connect("postgres").await.unwrap();
    let collate: String = client
        .query_one(
            "select datcollate from pg_database where datname = 'postgres'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(collate, "C");
    assert!(cluster.bin_dir().join("psql").exists());
    let tcp = cluster.tcp_url_as("postgres", "postgres");
    drop(
        tokio_postgres::connect(&tcp, tokio_postgres::NoTls)
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn is_gone_when_dropped() {
    let cluster = Cluster::start().await.unwrap();
    let folder = cluster.socket_dir().to_owned();
    let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
    assert!(alive(pid.trim()));
    let _client = cluster.connect("postgres").await.unwrap();
    drop(cluster);
    assert!(!folder.exists());
    assert!(!alive(pid.trim()));
}

/// Not a test of its own: the process that the next tests kill. It prints the cluster's folder and waits.
#[tokio::test]
#[ignore = "a part of the tests that kill it"]
async fn victim() {
    let cluster = Cluster::start().await.unwrap();
    println!("folder {}", cluster.socket_dir().display());
    if std::env::var_os("TESTKIT_VICTIM_PANICS").is_some() {
        panic!("as asked");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn victim_process(mut command: Command) -> (std::process::Child, PathBuf) {
    let mut child = command
        .args(["--ignored", "--exact", "cluster::victim", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| {
            line.split_once("folder ")
                .map(|(_, folder)| PathBuf::from(folder))
        })
        .expect("the victim starts its cluster");
    (child, folder)
}

#[test]
fn a_killed_process_leaves_nothing() {
    let (mut child, folder) = victim_process(Command::new(std::env::current_exe().unwrap()));
    let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
    assert!(alive(pid.trim()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(gone(&folder), "{} is still there", folder.display());
    assert!(!alive(pid.trim()), "the server is still there");
}

#[test]
fn a_panic_leaves_nothing() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("TESTKIT_VICTIM_PANICS", "1");
    let (mut child, folder) = victim_process(command);
    assert!(!child.wait().unwrap().success());
    assert!(gone(&folder));
}

#[test]
fn works_as_an_ordinary_user() {
    // As an ordinary user every other test is this one already; as root, step down for it.
    let runuser = Command::new("runuser")
        .args(["-u", "nobody", "--", "true"])
        .status();
    if !runuser.is_ok_and(|status| status.success()) {
        eprintln!("not root, or no runuser: nothing to step down from");
        return;
    }
    // The binary may lie where that user cannot read it.
    let shelf = tempfile::Builder::new()
        .prefix("snpg-test")
        .tempdir_in("/tmp")
        .unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(shelf.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = shelf.path().join("testkit");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let bin = find_binaries().unwrap();
    let mut command = Command::new("runuser");
    command.args(["-u", "nobody", "--"]).arg(&copy).current_dir("/");
    command
        .env("SICANTIK_NOTIFYD_PG_BIN", bin)
        .env("TMPDIR", "/tmp")
        .env("TESTKIT_VICTIM_PANICS", "1");
    let (mut child, folder) = victim_process(command);
    child.wait().unwrap();
    assert!(gone(&folder));
}

#[tokio::test]
async fn crash_stop_and_restart_keep_data_and_port() {
    let cluster = Cluster::start().await.unwrap();
    cluster.create_database("office", None).await.unwrap();
    let client = cluster.connect("office").await.unwrap();
    client
        .batch_execute("create table t(id int); insert into t values (1)")
        .await
        .unwrap();
    let port = cluster.port();

    cluster.kill().await.unwrap();
    assert!(client.simple_query("select 1").await.is_err());
    assert!(cluster.connect("office").await.is_err());
    cluster.restart().await.unwrap();
    let client = cluster.connect("office").await.unwrap();
    client.batch_execute("insert into t values (2)").await.unwrap();

    cluster.stop(StopMode::Fast).await.unwrap();
    cluster.restart().await.unwrap();
    assert_eq!(cluster.port(), port);
    let client = cluster.connect("office").await.unwrap();
    let rows: i64 = client
        .query_one("select count(*) from t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 2);
    assert!(cluster.log_tail().contains("ready to accept connections"));
}

#[tokio::test]
async fn a_file_copy_is_a_second_server_with_the_same_identity() {
    let cluster = Cluster::start().await.unwrap();
    cluster.create_database("office", None).await.unwrap();
    let identity = "select system_identifier::text from pg_control_system()";
    let client = cluster.connect("office").await.unwrap();
    client.batch_execute("create table t(id int)").await.unwrap();
    let original: String = client.query_one(identity, &[]).await.unwrap().get(0);

    let copy = cluster.copy_to().await.unwrap();
    let there = copy.connect("office").await.unwrap();
    let copied: String = there.query_one(identity, &[]).await.unwrap().get(0);
    assert_eq!(original, copied);
    assert_ne!(cluster.port(), copy.port());
    there.batch_execute("insert into t values (1)").await.unwrap();
    let here = cluster.connect("office").await.unwrap();
    let rows: i64 = here
        .query_one("select count(*) from t", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0, "the two are separate");
}

#[tokio::test]
async fn a_template_makes_a_second_database() {
    let cluster = Cluster::start().await.unwrap();
    cluster.create_database("first one", None).await.unwrap();
    cluster
        .connect("first one")
        .await
        .unwrap()
        .batch_execute("create table t(id int)")
        .await
        .unwrap();
    for _ in 0..100 {
        // The connection above takes a moment to be gone.
        if cluster.create_database("second", Some("first one")).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster
        .connect("second")
        .await
        .unwrap()
        .batch_execute("select from t")
        .await
        .unwrap();
    cluster.drop_database("second").await.unwrap();
    assert!(cluster.connect("second").await.is_err());
}

#[tokio::test]
async fn a_broken_setting_is_reported_with_the_log() {
    let error = Cluster::builder()
        .setting("wal_level", "nonsense")
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("wal_level"), "{error}");
}

#[test]
fn a_damaged_cache_heals() {
    use std::os::unix::fs::PermissionsExt;
    let shelf = tempfile::Builder::new()
        .prefix("snpg-test")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(shelf.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let once = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env("TMPDIR", shelf.path())
            .env("TESTKIT_VICTIM_PANICS", "1");
        let (mut child, folder) = victim_process(command);
        child.wait().unwrap();
        assert!(folder.starts_with(shelf.path()));
        assert!(gone(&folder));
    };
    once();
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let cache = list(shelf.path()).pop().expect("a cache");
    let template = list(&cache)
        .into_iter()
        .find(|path| path.is_dir())
        .expect("a template");
    std::fs::write(template.join("global/pg_control"), "").unwrap();
    once();
    std::fs::remove_file(template.join("PG_VERSION")).unwrap();
    once();
}
