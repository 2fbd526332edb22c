//! The server that everything is measured on, pgbench beside it, and what both used: time of the processor, log of the server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};
use sicantik_notifyd::testkit::postgres::{Builder, Cluster};
use tokio_postgres::Client;

/// The daemon as it is measured: the release binary that `make bench` names, else the one of this profile.
pub fn program() -> PathBuf {
    std::env::var_os("BENCH_BINARY")
        .filter(|v| !v.is_empty())
        .map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_sicantik-notifyd")),
            PathBuf::from,
        )
}

/// As a production server, but without the noise of its checkpoints.
pub fn server() -> Builder {
    let server = Cluster::builder()
        .durable(true)
        .setting("synchronous_commit", "on")
        .setting("shared_buffers", "1GB")
        .setting("jit", "off")
        .setting("max_wal_size", "16GB")
        .setting("checkpoint_timeout", "1h")
        .setting("wal_compression", "off");
    if !profiling() {
        return server;
    }
    server
        .setting("shared_preload_libraries", "pg_stat_statements")
        .setting("pg_stat_statements.track_planning", "on")
        .setting("pg_stat_statements.track_utility", "on")
}

/// `PROFILE=1 make bench`: after a part it is said where the server's time went. That costs time itself.
fn profiling() -> bool {
    std::env::var_os("PROFILE").is_some_and(|v| !v.is_empty())
}

/// Forgets what was counted so far.
pub async fn profile_begin(admin: &Client) {
    if profiling() {
        admin
            .batch_execute("create extension if not exists pg_stat_statements schema public; select public.pg_stat_statements_reset()")
            .await
            .unwrap();
    }
}

/// Prints which statements took the server's time since, for each of `of` things that were done.
pub async fn profile_end(admin: &Client, what: &str, of: f64) {
    if !profiling() {
        return;
    }
    let rows = admin
        .query(
            r"select calls, total_plan_time * 1000, total_exec_time * 1000,
                    left(regexp_replace(regexp_replace(query, '--[^\n]*', '', 'g'), '\s+', ' ', 'g'), 90)
             from public.pg_stat_statements
             where toplevel and dbid = (select oid from pg_database where datname = current_database())
             order by total_plan_time + total_exec_time desc limit 16",
            &[],
        )
        .await
        .unwrap();
    println!("   {what}: calls, planning and execution in µs for each");
    for row in rows {
        let (calls, plan, run): (i64, f64, f64) = (row.get(0), row.get(1), row.get(2));
        println!(
            "   {calls:8} {:9.2} {:9.2}  {}",
            plan / of,
            run / of,
            row.get::<_, &str>(3)
        );
    }
}

/// An office on such a server.
pub async fn office(plan: &Plan, autovacuum: bool) -> Office {
    let server = server().setting("autovacuum", if autovacuum { "on" } else { "off" });
    let (cluster, gateway) = tokio::join!(server.start(), Gateway::start());
    Office::furnish(cluster.unwrap(), gateway.unwrap(), &program(), plan)
        .await
        .unwrap()
}

pub async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

pub async fn until(client: &Client, sql: &str) {
    while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes of the server's log so far.
pub async fn wal(client: &Client) -> i64 {
    number(client, "select (pg_current_wal_insert_lsn() - '0/0')::bigint").await
}

/// Fields of /proc/PID/stat behind the name: parent, own time, time of children that have ended; in ticks.
fn stat(pid: u32) -> Option<(u32, u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok());
    Some((field(1)? as u32, field(11)? + field(12)?, field(13)? + field(14)?))
}

/// Processor time that the server's processes have used, those that have ended included. Linux counts it in hundredths of a second.
pub fn server_cpu(cluster: &Cluster) -> Duration {
    let pid = std::fs::read_to_string(cluster.data_dir().join("postmaster.pid")).unwrap();
    let postmaster: u32 = pid.lines().next().unwrap().trim().parse().unwrap();
    let (_, own, ended) = stat(postmaster).unwrap();
    let mut ticks = own + ended;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((parent, own, ended)) = child.and_then(stat)
            && parent == postmaster
        {
            ticks += own + ended;
        }
    }
    Duration::from_millis(ticks * 10)
}

/// Processor time of this process.
pub fn own_cpu() -> Duration {
    let (_, own, _) = stat(std::process::id()).unwrap();
    Duration::from_millis(own * 10)
}

/// A pgbench run.
pub struct Load<'a> {
    pub script: &'a str,
    pub database: &'a str,
    pub role: &'a str,
    pub clients: usize,
    pub length: Length,
    pub variables: &'a [(&'a str, i64)],
}

/// How long it lasts.
#[derive(Clone, Copy)]
pub enum Length {
    Seconds(u64),
    /// For each client.
    Transactions(u64),
}

/// What it did.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    pub transactions: f64,
    pub per_second: f64,
    pub cpu: Duration,
}

impl Ran {
    /// Of the server, microseconds.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.transactions
    }
}

/// A script of `benches/pgbench`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/pgbench")
        .join(name)
}

pub async fn pgbench(cluster: &Cluster, load: &Load<'_>) -> Ran {
    let mut command = tokio::process::Command::new(cluster.bin_dir().join("pgbench"));
    command
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &load.clients.to_string()])
        .args([
            "-h",
            &cluster.socket_dir().display().to_string(),
            "-p",
            &cluster.port().to_string(),
        ])
        .args(["-U", load.role, "-f"])
        .arg(script(load.script));
    for (name, value) in load.variables {
        command.args(["-D", &format!("{name}={value}")]);
    }
    match load.length {
        Length::Seconds(n) => command.args(["-T", &n.to_string()]),
        Length::Transactions(n) => command.args(["-t", &n.to_string()]),
    };
    command.arg(load.database);
    let before = server_cpu(cluster);
    let output = command.output().await.unwrap();
    let cpu = server_cpu(cluster).saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && !text.contains("aborted"),
        "pgbench {}: {text}{}",
        load.script,
        String::from_utf8_lossy(&output.stderr)
    );
    let find = |mark: &str| {
        let after = text
            .split_once(mark)
            .map(|(_, rest)| rest.trim_start())
            .unwrap_or_default();
        let end = after
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(after.len());
        after[..end].parse::<f64>().unwrap()
    };
    Ran {
        transactions: find("transactions actually processed:"),
        per_second: find("tps ="),
        cpu,
    }
}

/// The office's database.
pub const OFFICE: &str = DATABASE;
