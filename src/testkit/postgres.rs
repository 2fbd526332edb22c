//! An ephemeral PostgreSQL: a real server in a folder of its own, gone when its owner is gone.
//!
//! What it promises:
//! - **Quick.** `initdb` runs once per server binary and user; each cluster starts on a copy of that result.
//! - **Gone afterwards**, also when a test panics or the process is killed with SIGKILL. The postmaster stands under a
//!   small `/bin/sh` that holds the read end of a pipe from us; the kernel closes our end whatever happens to us, and
//!   at end of file the shell stops the server and removes the folder.
//! - **Works as root** (the server refuses to run as root, so it runs as `postgres`, else `nobody`) **and as anybody.**
//! - **Crash-safe enough to test crashes**: `fsync` is off, which loses data when the machine fails, not when the
//!   server is killed. [`Builder::durable`] turns it on.
//!
//! It is no place for data that anyone wants to keep: authentication is `trust`, on a socket and on 127.0.0.1.

mod standby;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Environment variable that names the folder with `initdb`, `postgres` and their companions.
pub const BIN_VARIABLE: &str = "SICANTIK_NOTIFYD_PG_BIN";

/// Folder in the project (and in its parents) where `scripts/ensure-postgres.sh` puts a server of its own.
pub const LOCAL_FOLDER: &str = ".postgres";

/// A server that has not answered by then is not going to: recovery after a crash takes seconds at worst here.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An immediate stop takes milliseconds; the postmaster itself kills children that do not react after 5 s.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// Longest path of a unix socket: 107 bytes on Linux, 103 elsewhere.
const SOCKET_PATH_LIMIT: usize = 103;

/// Part of the cache key; raise it when the arguments of `initdb` change.
const INIT_RECIPE: &str = "1";

/// File of our settings, included at the end of `postgresql.conf`.
const SETTINGS_FILE: &str = "sicantik_testkit.conf";

/// Why a cluster could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server installed where we look.
    #[error(
        "no PostgreSQL server binaries (initdb and postgres) found; looked at {}. \
         Run scripts/ensure-postgres.sh, or name the folder in {BIN_VARIABLE}", looked.join(", ")
    )]
    NoBinaries {
        /// The places, in the order of the search.
        looked: Vec<String>,
    },
    /// We are root, and there is nobody to run the server as.
    #[error("PostgreSQL refuses to run as root, and this machine has no user {0:?} to run it as")]
    NoAccount(String),
    /// No folder for temporary files that the server's user can reach and whose path is short enough for a socket.
    #[error("no usable folder for temporary files: {0}")]
    NoFolder(String),
    /// A file operation failed.
    #[error("{what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A program (initdb, cp) failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: String,
        /// What it printed.
        output: String,
    },
    /// The shell that watches over the server did not do what it was told.
    #[error("the server's supervisor: {0}")]
    Supervisor(String),
    /// The server ended while it started, or never answered.
    #[error("the server did not start; the end of its log:\n{log}")]
    Start {
        /// The end of the server's log.
        log: String,
    },
    /// The server refused a connection or a statement.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// The runtime stopped while we worked.
    #[error("the work was interrupted")]
    Interrupted,
}

impl ClusterError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// The folder that holds `initdb` and `postgres`, and beside them `psql`, `pg_dump`, `pg_basebackup`.
///
/// Searched: [`BIN_VARIABLE`], then `PATH` (links followed to the real folder), then the newest
/// `/usr/lib/postgresql/*/bin`, then [`LOCAL_FOLDER`] in the project and the folders above the current one.
pub fn find_binaries() -> Result<PathBuf, ClusterError> {
    let mut looked = Vec::new();

    if let Some(dir) = std::env::var_os(BIN_VARIABLE).filter(|v| !v.is_empty()) {
        let dir = PathBuf::from(dir);
        looked.push(format!("{BIN_VARIABLE}={}", dir.display()));
        // Set and wrong is a mistake to report, not to paper over with another server.
        return real_bin_dir(&dir).ok_or(ClusterError::NoBinaries { looked });
    }
    looked.push(format!("{BIN_VARIABLE} (not set)"));

    looked.push("PATH".to_owned());
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find_map(|dir| real_bin_dir(&dir)) {
        return Ok(found);
    }

    let mut versions = vec![PathBuf::from("/usr/lib/postgresql")];
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    versions.extend(project.iter().map(|dir| dir.join(LOCAL_FOLDER)));
    versions.extend(
        here.iter()
            .flat_map(|dir| dir.ancestors())
            .map(|dir| dir.join(LOCAL_FOLDER)),
    );
    for folder in versions {
        let found = newest_version(&folder);
        looked.push(format!("{}/*/bin", folder.display()));
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(ClusterError::NoBinaries { looked })
}

/// The folder itself, or the one its `initdb` links to: the one that also holds the companions.
fn real_bin_dir(dir: &Path) -> Option<PathBuf> {
    let complete = |dir: &Path| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    if dir.as_os_str().is_empty() || !complete(dir) {
        return None;
    }
    let target = fs::canonicalize(dir.join("postgres")).ok()?;
    match target.parent() {
        Some(real) if complete(real) => Some(real.to_owned()),
        _ => fs::canonicalize(dir).ok(),
    }
}

fn newest_version(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = entry
                .file_name()
                .to_str()?
                .split('.')
                .next()?
                .parse()
                .unwrap_or(0);
            Some((version, real_bin_dir(&entry.path().join("bin"))?))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, dir)| dir)
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits until every client has gone.
    Smart,
    /// Ends the clients, writes a checkpoint.
    Fast,
    /// No checkpoint: what a crash leaves behind. The next start recovers.
    Immediate,
}

impl StopMode {
    fn signal(self) -> &'static str {
        match self {
            Self::Smart => "TERM",
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}

/// What a cluster is to be like, before it starts.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    data_from: Option<PathBuf>,
    account: Option<String>,
    bin_dir: Option<PathBuf>,
    durable: bool,
    /// Follows this server, given as a connection string.
    follows: Option<String>,
}

impl Builder {
    /// A line of `postgresql.conf`, later than all of ours; the value without quotes.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file to put into the data folder before the start (`pg_hba.conf`, `server.key` …), readable by the server only.
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// Starts on a copy of this data folder (of a stopped server, or a base backup) instead of an empty cluster.
    pub fn data_from(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_from = Some(folder.into());
        self
    }

    /// When we are root: the user the server runs as. By default `postgres`, else `nobody`.
    pub fn account(mut self, name: &str) -> Self {
        self.account = Some(name.to_owned());
        self
    }

    /// Uses the server in this folder instead of the one that [`find_binaries`] finds.
    pub fn bin_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(folder.into());
        self
    }

    /// Turns `fsync` and `full_page_writes` on.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Creates the cluster and waits until it takes connections.
    pub async fn start(self) -> Result<Cluster, ClusterError> {
        let builder = self.clone();
        let mut cluster = blocking(move || Cluster::prepare(builder)).await?;
        match cluster.launch().await {
            // A cache that somebody damaged must not stop every later run: drop it, build anew, try once more.
            Err(ClusterError::Start { log }) if cluster.from_cache && !log.contains("contains errors") => {
                drop(cluster);
                let builder = self;
                cluster = blocking(move || {
                    Cache::of(&builder)?.forget();
                    Cluster::prepare(builder)
                })
                .await?;
                cluster.launch().await?;
            }
            other => other?,
        }
        Ok(cluster)
    }
}

/// A running PostgreSQL; dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Arc<Supervisor>,
    builder: Builder,
    bin: PathBuf,
    root: PathBuf,
    port: u16,
    from_cache: bool,
}

impl Cluster {
    /// A cluster with the defaults: `wal_level=logical`, `fsync=off`, 200 connections, UTF8, locale C.
    pub async fn start() -> Result<Self, ClusterError> {
        Self::builder().start().await
    }

    /// A cluster to describe before it starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Connection string of the superuser `postgres`, over the unix socket.
    pub fn url(&self, db: &str) -> String {
        self.url_as("postgres", db)
    }

    /// Connection string over the unix socket.
    pub fn url_as(&self, user: &str, db: &str) -> String {
        let host = self.root.display().to_string();
        format!(
            "host={} port={} user={} dbname={}",
            quote_option(&host),
            self.port,
            quote_option(user),
            quote_option(db)
        )
    }

    /// Connection string for replication, which is of no database.
    fn replication_url(&self) -> String {
        let host = self.root.display().to_string();
        format!("host={} port={} user=postgres", quote_option(&host), self.port)
    }

    /// Connection string over TCP, 127.0.0.1.
    pub fn tcp_url_as(&self, user: &str, db: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={} dbname={}",
            self.port,
            quote_option(user),
            quote_option(db)
        )
    }

    /// Folder of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.root
    }

    /// Port of the socket's name and of TCP; stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Folder of the server's programs (`psql`, `pg_dump`, `pg_basebackup` …).
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// The server's log.
    pub fn log(&self) -> String {
        let log = fs::read(self.root.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// A connection of the superuser; its task runs until the client is dropped.
    pub async fn connect(&self, db: &str) -> Result<Client, ClusterError> {
        connect(&self.url(db)).await
    }

    /// A connection of another role.
    pub async fn connect_as(&self, user: &str, db: &str) -> Result<Client, ClusterError> {
        connect(&self.url_as(user, db)).await
    }

    /// Creates a database, empty or as a copy of one that nobody is connected to.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<(), ClusterError> {
        let client = self.connect("postgres").await?;
        let template = template.unwrap_or("template1");
        let sql = format!(
            "create database {} template {}",
            quote_name(name),
            quote_name(template)
        );
        client.batch_execute(&sql).await?;
        Ok(())
    }

    /// Removes a database; ends who is connected to it.
    pub async fn drop_database(&self, name: &str) -> Result<(), ClusterError> {
        let client = self.connect("postgres").await?;
        client
            .batch_execute(&format!(
                "drop database if exists {} with (force)",
                quote_name(name)
            ))
            .await?;
        Ok(())
    }

    /// Stops the server; its data stays, and [`Cluster::restart`] brings it back.
    pub async fn stop(&self, mode: StopMode) -> Result<(), ClusterError> {
        let supervisor = Arc::clone(&self.supervisor);
        blocking(move || supervisor.command(&format!("stop {}", mode.signal())).map(drop)).await
    }

    /// Crashes the server (SIGQUIT): no checkpoint, every connection cut.
    pub async fn kill(&self) -> Result<(), ClusterError> {
        self.stop(StopMode::Immediate).await
    }

    /// Stops the server if it runs, and starts it on the same data and port.
    pub async fn restart(&self) -> Result<(), ClusterError> {
        self.stop(StopMode::Fast).await?;
        self.run().await
    }

    /// A file copy of the whole cluster as a second server: what a snapshot of the machine makes.
    ///
    /// This one is stopped for the copy and runs again afterwards; its connections are cut.
    pub async fn copy_to(&self) -> Result<Self, ClusterError> {
        self.stop(StopMode::Fast).await?;
        let mut builder = self.builder.clone();
        builder.files.clear();
        builder.bin_dir = Some(self.bin.clone());
        builder.data_from = Some(self.data_dir());
        let copy = blocking(move || Self::prepare(builder)).await;
        let back = self.run().await;
        let mut copy = copy?;
        back?;
        copy.launch().await?;
        copy.builder = self.builder.clone();
        Ok(copy)
    }

    /// Folder, data and settings, but no server yet.
    fn prepare(builder: Builder) -> Result<Self, ClusterError> {
        let bin = match &builder.bin_dir {
            Some(dir) => real_bin_dir(dir).ok_or_else(|| ClusterError::NoBinaries {
                looked: vec![dir.display().to_string()],
            })?,
            None => find_binaries()?,
        };
        let owner = Owner::of(builder.account.as_deref())?;
        let (supervisor, base, root) = Supervisor::spawn(&bin, owner)?;
        let data = root.join("data");
        let from_cache = match (&builder.data_from, &builder.follows) {
            (_, Some(primary)) => {
                standby::base_backup(owner, &bin, primary, &data)?;
                false
            }
            (Some(source), None) => {
                copy_folder(source, &data)?;
                for left in ["postmaster.pid", "postmaster.opts"] {
                    let _ = fs::remove_file(data.join(left));
                }
                if owner.drop_to.is_some() {
                    run(Command::new("chown")
                        .arg("-R")
                        .arg(format!("{}:{}", owner.uid, owner.gid))
                        .arg(&data))?;
                }
                fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
                    .map_err(ClusterError::io("set the mode of", &data))?;
                false
            }
            (None, None) => Cache::new(&base, &bin, owner)?.copy_into(&data)?,
        };
        for (name, contents) in &builder.files {
            let path = data.join(name);
            fs::write(&path, contents).map_err(ClusterError::io("write", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                .map_err(ClusterError::io("set the mode of", &path))?;
            owner.give(&path)?;
        }
        Ok(Self {
            supervisor: Arc::new(supervisor),
            builder,
            bin,
            root,
            port: 0,
            from_cache,
        })
    }

    /// First start: finds a port that nobody else took meanwhile.
    async fn launch(&mut self) -> Result<(), ClusterError> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.port = free_port()?;
            self.write_settings()?;
            match self.run().await {
                Err(ClusterError::Start { log })
                    if tries < 5 && log.contains("could not create any TCP/IP sockets") => {}
                other => return other,
            }
        }
    }

    fn write_settings(&self) -> Result<(), ClusterError> {
        let data = self.data_dir();
        let durable = if self.builder.durable { "on" } else { "off" };
        let root = self.root.display().to_string();
        let port = self.port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", port.as_str()),
            ("unix_socket_directories", root.as_str()),
            ("wal_level", "logical"),
            ("max_connections", "200"),
            ("fsync", durable),
            ("full_page_writes", durable),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %u@%d "),
        ];
        let theirs = self
            .builder
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let follows = self
            .builder
            .follows
            .iter()
            .map(|primary| ("primary_conninfo", primary.as_str()));
        let mut text = String::new();
        for (name, value) in ours.into_iter().chain(theirs).chain(follows) {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let owner = self.supervisor.owner;
        let path = data.join(SETTINGS_FILE);
        fs::write(&path, text).map_err(ClusterError::io("write", &path))?;
        owner.give(&path)?;

        let main = data.join("postgresql.conf");
        let mut conf = fs::read_to_string(&main).unwrap_or_default();
        let include = format!("include '{SETTINGS_FILE}'");
        if !conf.contains(&include) {
            conf.push_str(&format!("\n{include}\n"));
            fs::write(&main, conf).map_err(ClusterError::io("write", &main))?;
            owner.give(&main)?;
        }
        Ok(())
    }

    /// Starts the postmaster and waits until it answers, or until it has gone.
    async fn run(&self) -> Result<(), ClusterError> {
        let supervisor = Arc::clone(&self.supervisor);
        blocking(move || supervisor.command("start").map(drop)).await?;
        let url = self.url("postgres");
        let ended = self.root.join("exit");
        let began = Instant::now();
        loop {
            match tokio_postgres::connect(&url, NoTls).await {
                Ok(_) => return Ok(()),
                Err(error) => match error.code() {
                    None => {}
                    Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => {}
                    // It answers: whom it lets in is the caller's affair.
                    Some(_) => return Ok(()),
                },
            }
            if ended.exists() || began.elapsed() > START_LIMIT {
                return Err(ClusterError::Start { log: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn connect(url: &str) -> Result<Client, ClusterError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The task ends when the client is dropped or the server goes; both show in the client's own calls.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ClusterError::Interrupted)?
}

/// A value of a `key=value` connection string.
fn quote_option(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn free_port() -> Result<u16, ClusterError> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ClusterError::io("bind", Path::new("127.0.0.1")))
}

fn run(command: &mut Command) -> Result<(), ClusterError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let result = command.stdin(Stdio::null()).output();
    let output = result.map_err(|e| ClusterError::Program {
        program: program.clone(),
        output: e.to_string(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(ClusterError::Program {
        program,
        output: String::from_utf8_lossy(&text).trim().to_owned(),
    })
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), ClusterError> {
    run(Command::new("cp").arg("-a").arg(from).arg(to))
}

/// Whom the server and its files belong to.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    /// Set when we are root and have to step down.
    drop_to: Option<(u32, u32)>,
}

impl Owner {
    fn of(account: Option<&str>) -> Result<Self, ClusterError> {
        // Who we are, without libc: a file that we create belongs to us.
        let probe = tempfile::tempfile().and_then(|file| file.metadata());
        let me = probe.map_err(ClusterError::io("create a file in", &std::env::temp_dir()))?;
        if me.uid() != 0 {
            return Ok(Self {
                uid: me.uid(),
                gid: me.gid(),
                drop_to: None,
            });
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let wanted: &[&str] = match &account {
            Some(name) => &[name],
            None => &["postgres", "nobody"],
        };
        let found = wanted.iter().find_map(|name| {
            passwd.lines().find_map(|line| {
                let mut parts = line.split(':');
                let matches = parts.next() == Some(name);
                let (uid, gid) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
                (matches && uid != 0).then_some((uid, gid))
            })
        });
        let (uid, gid) = found.ok_or_else(|| ClusterError::NoAccount(wanted.join(" or ")))?;
        Ok(Self {
            uid,
            gid,
            drop_to: Some((uid, gid)),
        })
    }

    fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.drop_to {
            command.uid(uid).gid(gid);
        }
        // Ours may be closed to that user, and initdb complains about that.
        command.current_dir("/");
        command
    }

    fn give(self, path: &Path) -> Result<(), ClusterError> {
        match self.drop_to {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(ClusterError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }
}

/// The shell over the server. `$1` is the folder to make, use and remove, `$2` the folder of the programs.
///
/// It stands in a process group of its own, so that Ctrl-C and a killed group of tests do not take it along. SIGTERM ends
/// the `read`, and so leads to the same tidy end as the closed pipe.
const SUPERVISE: &str = r#"
trap : HUP INT TERM
umask 077
root=$1 bin=$2 watch=
mkdir "$root" && chmod 711 "$root" || { echo "err cannot create $root"; exit 1; }
stop() {
    [ -n "$watch" ] || return 0
    [ -s "$root/pid" ] && kill "-$1" "$(cat "$root/pid")" 2>/dev/null
    while kill -0 "$watch" 2>/dev/null; do wait "$watch" 2>/dev/null; done
    watch=
}
echo ok
while read -r verb arg; do
    case $verb in
        start)
            stop INT
            rm -f "$root/pid" "$root/exit"
            (
                "$bin/postgres" -D "$root/data" </dev/null >>"$root/log" 2>&1 &
                echo $! >"$root/pid"
                wait $!
                echo $? >"$root/exit"
            ) </dev/null >/dev/null 2>&1 &
            watch=$!
            while [ ! -s "$root/pid" ]; do sleep 0.01; done
            echo ok
            ;;
        stop) stop "$arg"; echo ok ;;
        *) echo "err unknown command" ;;
    esac
done
exec >/dev/null
stop QUIT
tries=0
while [ -e "$root" ] && [ $tries -lt 50 ]; do
    rm -rf "$root" 2>/dev/null
    [ -e "$root" ] && sleep 0.1
    tries=$((tries + 1))
done
"#;

#[derive(Debug)]
struct Supervisor {
    owner: Owner,
    channel: Mutex<Channel>,
}

#[derive(Debug)]
struct Channel {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Channel {
    fn answer(&mut self) -> Result<String, ClusterError> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(0) => Err(ClusterError::Supervisor("has ended".to_owned())),
            Err(error) => Err(ClusterError::Supervisor(error.to_string())),
            Ok(_) => match line.trim().split_once(' ') {
                Some(("err", why)) => Err(ClusterError::Supervisor(why.to_owned())),
                _ => Ok(line),
            },
        }
    }
}

impl Supervisor {
    /// The supervisor, the folder for temporary files it could use, and the cluster's folder in it.
    fn spawn(bin: &Path, owner: Owner) -> Result<(Self, PathBuf, PathBuf), ClusterError> {
        let mut refused = Vec::new();
        for base in [
            std::env::temp_dir(),
            PathBuf::from("/tmp"),
            PathBuf::from("/var/tmp"),
        ] {
            let root = base.join(format!("snpg-{:08x}", rand::random::<u32>()));
            if root.join(".s.PGSQL.65535.lock").as_os_str().len() > SOCKET_PATH_LIMIT {
                refused.push(format!("{}: path too long for a socket", base.display()));
                continue;
            }
            let mut child = owner
                .command("/bin/sh")
                .args(["-c", SUPERVISE, "sicantik-testkit"])
                .args([&root, bin])
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(ClusterError::io("start", Path::new("/bin/sh")))?;
            let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(ClusterError::Supervisor("has no pipes".to_owned()));
            };
            let mut channel = Channel {
                child,
                orders: Some(orders),
                answers: BufReader::new(answers),
            };
            match channel.answer() {
                Ok(_) => {
                    return Ok((
                        Self {
                            owner,
                            channel: Mutex::new(channel),
                        },
                        base,
                        root,
                    ));
                }
                Err(error) => {
                    refused.push(format!("{}: {error}", base.display()));
                    let _ = channel.child.wait();
                }
            }
        }
        Err(ClusterError::NoFolder(refused.join("; ")))
    }

    fn command(&self, order: &str) -> Result<String, ClusterError> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(orders) = channel.orders.as_mut() else {
            return Err(ClusterError::Supervisor("is being stopped".to_owned()));
        };
        writeln!(orders, "{order}").map_err(|e| ClusterError::Supervisor(e.to_string()))?;
        channel.answer()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let channel = self.channel.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(channel.orders.take());
        let until = Instant::now() + GONE_LIMIT;
        while Instant::now() < until {
            match channel.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}

/// The result of `initdb`, kept between runs.
struct Cache {
    /// `None`: the folder belongs to somebody else, so there is no cache.
    folder: Option<PathBuf>,
    bin: PathBuf,
    owner: Owner,
    key: String,
}

impl Cache {
    /// The cache that this builder's cluster came from.
    fn of(builder: &Builder) -> Result<Self, ClusterError> {
        let bin = match &builder.bin_dir {
            Some(dir) => dir.clone(),
            None => find_binaries()?,
        };
        let bin = fs::canonicalize(&bin).map_err(ClusterError::io("find", &bin))?;
        let owner = Owner::of(builder.account.as_deref())?;
        let (_supervisor, base, _root) = Supervisor::spawn(&bin, owner)?;
        Self::new(&base, &bin, owner)
    }

    fn new(base: &Path, bin: &Path, owner: Owner) -> Result<Self, ClusterError> {
        let server = bin.join("postgres");
        let meta = fs::metadata(&server).map_err(ClusterError::io("read", &server))?;
        let built = meta
            .modified()
            .ok()
            .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let recipe = format!("{INIT_RECIPE} {} {} {built:?}", server.display(), meta.len());
        let digest = Sha256::digest(recipe.as_bytes());
        let key: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();

        let folder = base.join(format!("sicantik-testkit-{}", owner.uid));
        if fs::create_dir(&folder).is_ok() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(ClusterError::io("set the mode of", &folder))?;
            owner.give(&folder)?;
        }
        // In a folder that everybody writes to, a name proves nothing: take only what is ours and closed to others.
        let ours = fs::symlink_metadata(&folder)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == owner.uid && meta.mode() & 0o077 == 0);
        Ok(Self {
            folder: ours.then_some(folder),
            bin: bin.to_owned(),
            owner,
            key,
        })
    }

    /// Puts a fresh cluster there. True: it came from the cache.
    fn copy_into(&self, data: &Path) -> Result<bool, ClusterError> {
        let Some(folder) = &self.folder else {
            self.initdb(data)?;
            return Ok(false);
        };
        let template = folder.join(&self.key);
        for _ in 0..2 {
            let lock = self.lock_file(folder)?;
            lock.lock_shared().map_err(ClusterError::io("lock", folder))?;
            if template.join("global/pg_control").is_file() && template.join("PG_VERSION").is_file() {
                copy_folder(&template, data)?;
                return Ok(true);
            }
            drop(lock);
            self.build(folder, &template)?;
        }
        self.initdb(data)?;
        Ok(false)
    }

    fn build(&self, folder: &Path, template: &Path) -> Result<(), ClusterError> {
        let lock = self.lock_file(folder)?;
        lock.lock().map_err(ClusterError::io("lock", folder))?;
        if template.join("global/pg_control").is_file() && template.join("PG_VERSION").is_file() {
            return Ok(());
        }
        // What a killed builder left, and a template without its essentials.
        let unfinished = folder.join(format!("{}.new", self.key));
        for left in [&unfinished, &template.to_owned()] {
            let _ = fs::remove_dir_all(left);
        }
        self.initdb(&unfinished)?;
        fs::rename(&unfinished, template).map_err(ClusterError::io("rename", &unfinished))
    }

    fn forget(&self) {
        let Some(folder) = &self.folder else { return };
        let Ok(lock) = self.lock_file(folder) else { return };
        if lock.lock().is_ok() {
            let _ = fs::remove_dir_all(folder.join(&self.key));
        }
    }

    fn lock_file(&self, folder: &Path) -> Result<File, ClusterError> {
        let path = folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(ClusterError::io("open", &path))?;
        self.owner.give(&path)?;
        Ok(file)
    }

    fn initdb(&self, data: &Path) -> Result<(), ClusterError> {
        let initdb = |ctype: &str| {
            let mut command = self.owner.command(self.bin.join("initdb"));
            command
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                ])
                .arg(format!("--lc-ctype={ctype}"))
                .arg("-D")
                .arg(data)
                .env("LC_ALL", "C");
            run(&mut command)
        };
        // Odoo's image has C.UTF-8; a system without that locale still gets a server.
        initdb("C.UTF-8").or_else(|_| {
            let _ = fs::remove_dir_all(data);
            initdb("C")
        })
    }
}
