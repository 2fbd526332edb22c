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

mod binaries;
mod cache;
mod owner;
mod standby;
mod supervisor;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

pub use binaries::find_binaries;
use binaries::real_bin_dir;
use cache::Cache;
use owner::Owner;
use supervisor::Supervisor;

/// Environment variable that names the folder with `initdb`, `postgres` and their companions.
pub const BIN_VARIABLE: &str = "SICANTIK_NOTIFYD_PG_BIN";

/// Folder in the project (and in its parents) where `scripts/ensure-postgres.sh` puts a server of its own.
pub const LOCAL_FOLDER: &str = ".postgres";

/// A server that has not answered by then is not going to: recovery after a crash takes seconds at worst here.
const START_LIMIT: Duration = Duration::from_secs(60);

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

    /// Whether the server was built with TLS, by its own word.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn has_tls() -> Result<bool, ClusterError> {
        let cluster = Self::start().await?;
        let row = cluster
            .connect("postgres")
            .await?
            .query_one("show ssl_library", &[])
            .await?;
        Ok(!row.get::<_, String>(0).is_empty())
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
            // Known, and meant.
            (
                "sicantik_notify.accepted_findings",
                "setting fsync, setting full_page_writes",
            ),
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
