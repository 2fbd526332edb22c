//! What several of these tests need: an office, daemons with an environment of their own, a socket that plays systemd.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// How long is waited for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

pub async fn office() -> Office {
    Office::open(program(), &Plan::default())
        .await
        .expect("an office")
}

/// A server with the host's tables and nothing of ours.
pub async fn bare_host(cluster: &Cluster) {
    use sicantik_notifyd::testkit::host::{Options, Profile, install};
    cluster.create_database(DATABASE, None).await.expect("a database");
    let admin = cluster.connect(DATABASE).await.expect("a connection");
    install(&admin, Profile::Odoo18_0, &Options::default())
        .await
        .expect("the host");
}

/// The binary, with nothing of our own environment that it reads.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "SICANTIK_NOTIFYD_DATABASE_URL",
        "SICANTIK_NOTIFYD_OWNER_URL",
        "SICANTIK_NOTIFYD_OPERATOR_URL",
        "SICANTIK_NOTIFYD_DIRECT_URL",
        "SICANTIK_NOTIFYD_LOG",
    ] {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}

/// Exit code and everything printed.
pub async fn output(mut command: Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("ends")
        .expect("runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code().expect("not killed"), text)
}

/// A process whose output goes to a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(folder: &Path, mut command: Command) -> Self {
        let log = folder.join(format!("process-{:08x}.log", rand::random::<u32>()));
        let file = std::fs::File::create(&log).expect("a log");
        let child = command
            .stdout(file.try_clone().expect("a handle"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self { child, log }
    }

    /// A daemon of the office with this configuration.
    pub fn daemon(office: &Office, config: &str, environment: &[(&str, &str)]) -> Self {
        let file = office
            .folder()
            .join(format!("config-{:08x}.toml", rand::random::<u32>()));
        std::fs::write(&file, config).expect("a file");
        let mut command = office.command(&["run", "--config", file.to_str().expect("a name")]);
        command
            .env_remove("WATCHDOG_USEC")
            .envs(environment.iter().copied());
        Self::start(office.folder(), command)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("runs").to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .await;
        assert!(status.expect("kill runs").success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("still runs:\n{}", self.log()))
            .expect("ends")
    }

    /// Waits until a text stands in the log.
    pub async fn logged(&self, text: &str) {
        self.logged_times(text, 1).await;
    }

    pub async fn logged_times(&self, text: &str, times: usize) {
        let look = async {
            while self.log().matches(text).count() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            panic!("`{text}` is not in the log:\n{}", self.log());
        }
    }
}

/// Plays systemd's notification socket.
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self {
            socket,
            path,
            _folder: folder,
        }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().expect("a name")
    }

    /// The next message, or nothing within this time.
    pub async fn within(&self, limit: Duration) -> Option<String> {
        let mut buffer = vec![0; 8192];
        let size = tokio::time::timeout(limit, self.socket.recv(&mut buffer))
            .await
            .ok()?
            .expect("a message");
        Some(String::from_utf8_lossy(&buffer[..size]).into_owned())
    }

    /// All messages up to the first that has this line; that one is the last.
    pub async fn until(&self, line: &str, process: &Process) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let Some(message) = self.within(PATIENCE).await else {
                panic!("no {line} after {all:?}; the log:\n{}", process.log());
            };
            let found = message.lines().any(|l| l.starts_with(line));
            all.push(message);
            if found {
                return all;
            }
        }
    }
}
