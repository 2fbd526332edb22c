//! A real pgbouncer in transaction mode, before an office's server; gone when it is dropped.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::office::{DATABASE, Office, RUNTIME};

/// The port is only a part of a socket's name, in a folder of its own.
const PORT: u16 = 6432;
/// Sessions of the server; fewer than connections of a daemon, so that they meet.
pub const SESSIONS: usize = 4;
const PASSWORD: &str = "rahasia";

/// Where the program is; the tests cannot be had without it.
pub fn program() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(project.join("scripts/ensure-pgbouncer.sh"))
        .stderr(Stdio::inherit())
        .output()
        .expect("scripts/ensure-pgbouncer.sh runs");
    assert!(
        output.status.success(),
        "There is no pgbouncer on this machine, and none could be fetched. These tests run the daemon through a real one: install \
         Debian's package pgbouncer, or name the program in SICANTIK_NOTIFYD_PGBOUNCER."
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

pub struct Bouncer {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Bouncer {
    /// Starts one. `settings` are further lines of its [pgbouncer] section.
    pub fn start(office: &Office, settings: &str) -> Self {
        Self::start_on(office, PORT, settings, &[])
    }

    /// Starts one that listens on a free port of 127.0.0.1 as well. `files` are put into its folder, whose place stands for `{place}`
    /// in the settings.
    pub fn start_on_tcp(office: &Office, settings: &str, files: &[(&str, &str)]) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        Self::start_on(
            office,
            port,
            &format!("listen_addr = 127.0.0.1\n{settings}"),
            files,
        )
    }

    fn start_on(office: &Office, number: u16, settings: &str, files: &[(&str, &str)]) -> Self {
        // Short: a socket's name has little room. The server's user must reach it.
        let folder = tempfile::Builder::new()
            .prefix("pb")
            .tempdir_in("/tmp")
            .expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("open to all");
        let place = folder.path().display();
        let (host, port) = (office.cluster.socket_dir().display(), office.cluster.port());
        let settings = settings.replace("{place}", &place.to_string());
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let ini = format!(
            "[databases]\n{DATABASE} = host={host} port={port} dbname={DATABASE}\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = {number}\nunix_socket_dir = {place}\n\
             auth_type = scram-sha-256\nauth_file = {place}/users\nadmin_users = {RUNTIME}\npool_mode = transaction\n\
             default_pool_size = {SESSIONS}\nmax_client_conn = 100\n{settings}\n"
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), ini).expect("written");
        std::fs::write(
            folder.path().join("users"),
            format!("\"{RUNTIME}\" \"{PASSWORD}\"\n"),
        )
        .expect("written");
        let mut bouncer = Self {
            folder,
            port: number,
            child: None,
        };
        bouncer.run();
        bouncer
    }

    /// Starts the program, and waits for its socket.
    pub fn run(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        let mut command = Command::new(program());
        if root() {
            command.args(["-u", account()]);
        }
        command
            .arg(self.folder.path().join("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().expect("pgbouncer starts"));
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "no pgbouncer:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL: every connection is cut.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.folder.path().join(format!(".s.PGSQL.{}", self.port)));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How the daemon's role connects through it.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Its console is a database, too.
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "host={} port={} user={RUNTIME} password={PASSWORD} dbname={database}",
            self.folder.path().display(),
            self.port
        )
    }

    /// The same over TCP.
    pub fn tcp_url(&self, options: &str) -> String {
        format!(
            "postgres://{RUNTIME}:{PASSWORD}@localhost:{}/{DATABASE}?{options}",
            self.port
        )
    }

    pub fn place(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// It refuses to run as root, and steps down to whom the server runs as.
fn root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let probe = tempfile::tempfile().and_then(|file| file.metadata());
    probe.is_ok_and(|meta| meta.uid() == 0)
}

fn account() -> &'static str {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match users.lines().any(|line| line.starts_with("postgres:")) {
        true => "postgres",
        false => "nobody",
    }
}
