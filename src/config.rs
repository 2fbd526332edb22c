//! The daemon file, `/etc/sicantik-notifyd/config.toml`, and what systemd's credentials and the environment override.
//!
//! Strict: an unknown key is an error. Every field has a default except the database URL. `systemd/config.toml.example`
//! documents each key; tests hold the two together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::lang::snippet::Limits;

/// Where the file is looked for.
pub const DEFAULT_PATH: &str = "/etc/sicantik-notifyd/config.toml";
/// Overrides `database.url`.
pub const ENV_URL: &str = "SICANTIK_NOTIFYD_DATABASE_URL";
/// Overrides `database.owner_url`.
pub const ENV_OWNER_URL: &str = "SICANTIK_NOTIFYD_OWNER_URL";
/// Environment variable with the operators' URL.
pub const ENV_OPERATOR_URL: &str = "SICANTIK_NOTIFYD_OPERATOR_URL";
/// Overrides `database.direct_url`.
pub const ENV_DIRECT_URL: &str = "SICANTIK_NOTIFYD_DIRECT_URL";
/// Overrides `state_dir`.
pub const ENV_STATE_DIR: &str = "SICANTIK_NOTIFYD_STATE_DIR";

/// systemd credential that overrides `database.url`; the environment overrides it in turn.
pub const CREDENTIAL_URL: &str = "database-url";
/// systemd credential that overrides `database.direct_url`; the environment overrides it in turn.
pub const CREDENTIAL_DIRECT_URL: &str = "direct-url";

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "the configuration file {path} cannot be read: {source}; check its place and rights, or name another with --config"
    )]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be; the message shows the line.
    #[error("the configuration file {path} is wrong:\n{source}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No database.
    #[error(
        "no database is configured: set `url` under `[database]` in {DEFAULT_PATH}, or {ENV_URL}, or give --database-url"
    )]
    NoDatabase,
    /// A session is needed, and there is none behind a pooler.
    #[error(
        "`database.url` goes through a pooler, and this needs a session of PostgreSQL itself: set `direct_url` under `[database]` in \
         {DEFAULT_PATH}, or {ENV_DIRECT_URL}, or give --database-url"
    )]
    NoSession,
    /// Values that do not fit together.
    #[error("{0}")]
    Rule(String),
}

/// The whole daemon file.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// Where the arming secret is kept. Default `$STATE_DIRECTORY`, else `/var/lib/sicantik-notifyd`.
    pub state_dir: PathBuf,
    /// Name of this instance in `instance`. Default: the host name.
    pub name: Option<String>,
    /// Stage 1.
    pub capture: CaptureConfig,
    /// Stage 2.
    pub evaluate: EvaluateConfig,
    /// What the Python of rules may use.
    pub python: PythonConfig,
    /// Stage 3.
    pub deliver: DeliverConfig,
    /// The HTTP listener.
    pub http: HttpConfig,
}

/// `[database]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// How the daemon connects, as role `sicantik_notifyd`. Required.
    pub url: Option<SecretString>,
    /// How `migrate` and `hooks` connect (a DBA's role). Default: `url`.
    pub owner_url: Option<SecretString>,
    /// How operators connect (`queue`, `campaign`, `cron` …: a login that is a member of `sicantik_notify_operator`). Default: `url`.
    pub operator_url: Option<SecretString>,
    /// True: `url` goes through a pooler in transaction mode (pgbouncer). Default false.
    pub pooler: bool,
    /// The way around the pooler, to PostgreSQL itself: for LISTEN, for reading a slot, and for commands. Default: `url`, where that is
    /// no pooler; without one the daemon polls.
    pub direct_url: Option<SecretString>,
    /// CA certificates that may sign the server's, PEM. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Connections, besides one for LISTEN, one for the heartbeat, and two where a slot is read. Default 6.
    pub pool_size: PoolSize,
    /// Time for making a connection, and for waiting for a free one, seconds, 1 to 60. Default 10.
    pub connect_timeout_seconds: ConnectTimeout,
}

/// Connections of the daemon, 3 to 50.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub struct PoolSize(pub usize);

impl Default for PoolSize {
    fn default() -> Self {
        // Odoo's workers share max_connections (100 by default): stay well below ten.
        Self(6)
    }
}

/// Seconds, 1 to 60.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub struct ConnectTimeout(pub u64);

impl Default for ConnectTimeout {
    fn default() -> Self {
        // Three tries fit into an operator's patience, and one into the stop's ten seconds does not matter: stopping
        // does not wait for it.
        Self(10)
    }
}

impl ConnectTimeout {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// How changes of the host are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Statement triggers on the tables, in the host's own transactions.
    #[default]
    Triggers,
    /// A replication slot, which costs the host's transactions nothing, and its log more.
    Logical,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Triggers => "triggers",
            Self::Logical => "logical",
        })
    }
}

/// `[capture]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// What `hooks install` sets up where nothing stands yet: `triggers` (hooks on the tables) or `logical` (a replication
    /// slot). Default triggers. What stands is changed by `capture switch`, and every daemon follows it.
    pub backend: Backend,
    /// Backend logical: after how long without a change the slot is moved, seconds, 1 to 300. Default 30.
    pub heartbeat_seconds: u64,
    /// How often events are looked for without being woken, milliseconds, 20 to 60000. Default 1000.
    pub poll_interval_ms: u64,
    /// How often the hooks are verified, seconds, 1 to 3600. Default 60.
    pub verify_interval_seconds: u64,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            backend: Backend::Triggers,
            // Each one is a few hundred bytes of the server's log.
            heartbeat_seconds: 30,
            poll_interval_ms: 1000,
            verify_interval_seconds: 60,
        }
    }
}

/// `[evaluate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// False: this instance evaluates nothing. Default true.
    pub enabled: bool,
    /// Most records a batch, 1 to 10000. Default 500.
    pub batch_records: u32,
    /// Time that one batch may take, seconds, 1 to 60. Default 10. What takes longer is tried record by record.
    pub batch_timeout_seconds: u64,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            batch_records: 500,
            batch_timeout_seconds: 10,
        }
    }
}

/// `[python]`: limits of one run of `condition_python` or `context_preparation_code`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PythonConfig {
    /// Time of its own, milliseconds, 1 to 10000. Default 100. Waiting for the database does not count.
    pub time_ms: u64,
    /// Memory, MiB, 8 to 1024. Default 64. What the daemon does meanwhile counts too.
    pub memory_mb: u64,
    /// Calls within calls, 10 to 1000. Default 100.
    pub depth: u64,
    /// Statements that one run may cause, 1 to 10000. Default 100.
    pub host_calls: u64,
}

impl Default for PythonConfig {
    fn default() -> Self {
        Self {
            time_ms: 100,
            memory_mb: 64,
            depth: 100,
            host_calls: 100,
        }
    }
}

impl PythonConfig {
    /// As the sandbox wants them.
    pub fn limits(&self) -> Limits {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Limits {
            duration: Duration::from_millis(self.time_ms),
            memory: size(self.memory_mb) << 20,
            depth: size(self.depth),
            host_calls: size(self.host_calls),
            ..Limits::default()
        }
    }
}

/// `[deliver]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverConfig {
    /// False: this instance sends nothing. Default true.
    pub enabled: bool,
    /// How often due messages are looked for without being woken, milliseconds, 20 to 60000. Default 1000.
    pub poll_interval_ms: u64,
    /// Requests in flight at once, 1 to 500. Default 16.
    pub concurrency: u32,
    /// Messages a claim, 1 to 5000. Default 100.
    pub claim_batch: u32,
    /// How long a claim holds without renewal, seconds. Default 60; longer than `request_timeout_seconds`.
    pub lease_seconds: u64,
    /// Time for connecting to a provider, seconds. Default 5.
    pub connect_timeout_seconds: u64,
    /// Time for one request to a provider, seconds. Default 30.
    pub request_timeout_seconds: u64,
    /// Sign of life, milliseconds, 100 to 10000. Default 1000; three missed ones free the work of this instance.
    pub heartbeat_ms: u64,
    /// First pause of a provider that cannot send, seconds; each further one is twice as long. Default 60.
    pub circuit_seconds: u64,
    /// How far a standby may be behind when it takes over, seconds, 1 to 600. Default 60: so long sends are remembered, and so long the
    /// other daemons are waited for after a failover.
    pub failover_window_seconds: u64,
}

impl Default for DeliverConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            poll_interval_ms: 1000,
            concurrency: 16,
            claim_batch: 100,
            lease_seconds: 60,
            connect_timeout_seconds: 5,
            request_timeout_seconds: 30,
            heartbeat_ms: 1000,
            circuit_seconds: 60,
            failover_window_seconds: 60,
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// True: this instance listens for webhooks, for questions about its health and for programmes that fire triggers. Default
    /// false.
    pub enabled: bool,
    /// Where. Default `127.0.0.1:8470`: a proxy on this machine brings the providers' calls in, with TLS.
    pub listen: SocketAddr,
    /// Longest body of a webhook, bytes, 65536 to 16777216. Default 4194304.
    pub max_body_bytes: u64,
    /// Time for reading and for storing one call, seconds, 1 to 30. Default 5.
    pub request_timeout_seconds: u64,
    /// Calls that are worked on at once, 1 to 256. Default 16; more are asked to come again.
    pub concurrency: u32,
    /// Odoo's own address for Meta's webhooks, to which they are passed on as they came. Default: none.
    pub forward_to: Option<String>,
    /// Longest body of a call of the API, bytes, 1024 to 16777216. Default 1048576.
    pub api_max_body_bytes: u64,
    /// Records that one call of the API may be about, 1 to 1000000. Default 10000.
    pub api_max_records: u32,
    /// Calls of the API for each token, 1 to 100000 a minute, over all instances. Default 60.
    pub api_requests_per_minute: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 8470)),
            // Meta's largest is 3 MB.
            max_body_bytes: 4 * 1024 * 1024,
            // Meta wants its answer within seconds.
            request_timeout_seconds: 5,
            concurrency: 16,
            forward_to: None,
            api_max_body_bytes: 1024 * 1024,
            api_max_records: 10_000,
            api_requests_per_minute: 60,
        }
    }
}

impl HttpConfig {
    /// Where Meta's webhooks are passed on to.
    ///
    /// # Errors
    /// [`ConfigError::Rule`].
    pub fn forward_url(&self) -> Result<Option<reqwest::Url>, ConfigError> {
        let Some(text) = &self.forward_to else {
            return Ok(None);
        };
        let url = reqwest::Url::parse(text).ok().filter(reqwest::Url::has_host);
        // Inbound messages are personal data.
        let safe = url.filter(|url| {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let here =
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
            url.scheme() == "https" || (url.scheme() == "http" && here)
        });
        safe.map(Some).ok_or_else(|| {
            ConfigError::Rule(
                "`http.forward_to` must be an https URL (http only to this machine), such as \
                 https://odoo.example.go.id/whatsapp/webhook"
                    .to_owned(),
            )
        })
    }
}

impl DeliverConfig {
    /// After how long without a heartbeat the work of an instance is taken over. One more than three, since the
    /// beat itself takes time.
    pub fn dead_after(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms * 4)
    }

    /// How long sends are remembered.
    pub fn failover_window(&self) -> Duration {
        Duration::from_secs(self.failover_window_seconds)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            // systemd separates several directories by colons; ours is the first.
            state_dir: std::env::var("STATE_DIRECTORY")
                .ok()
                .and_then(|dirs| {
                    dirs.split(':')
                        .next()
                        .filter(|d| !d.is_empty())
                        .map(PathBuf::from)
                })
                .unwrap_or_else(|| PathBuf::from("/var/lib/sicantik-notifyd")),
            name: None,
            capture: CaptureConfig::default(),
            evaluate: EvaluateConfig::default(),
            python: PythonConfig::default(),
            deliver: DeliverConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

impl Config {
    /// Reads the file (a missing one at the default place is an empty one), then the environment, then checks.
    ///
    /// # Errors
    /// [`ConfigError`], which names the place and the remedy.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let asked = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(asked) {
            Ok(text) => text,
            Err(e) if path.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(ConfigError::Read {
                    path: asked.to_owned(),
                    source,
                });
            }
        };
        let mut config: Self = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: asked.to_owned(),
            source: Box::new(source),
        })?;
        if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            let read = |name| std::fs::read_to_string(Path::new(&folder).join(name));
            if let Ok(url) = read(CREDENTIAL_URL) {
                config.database.url = Some(url.trim().into());
            }
            if let Ok(url) = read(CREDENTIAL_DIRECT_URL) {
                config.database.direct_url = Some(url.trim().into());
            }
        }
        if let Ok(url) = std::env::var(ENV_URL) {
            config.database.url = Some(url.into());
        }
        if let Ok(url) = std::env::var(ENV_DIRECT_URL) {
            config.database.direct_url = Some(url.into());
        }
        if let Ok(url) = std::env::var(ENV_OWNER_URL) {
            config.database.owner_url = Some(url.into());
        }
        if let Ok(url) = std::env::var(ENV_OPERATOR_URL) {
            config.database.operator_url = Some(url.into());
        }
        if let Some(dir) = std::env::var_os(ENV_STATE_DIR) {
            config.state_dir = dir.into();
        }
        config.check()?;
        Ok(config)
    }

    /// The rules that join several values.
    ///
    /// # Errors
    /// [`ConfigError::Rule`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let d = &self.deliver;
        let within = |name: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Rule(format!(
                    "`{name}` is {value}; it must be from {low} to {high}"
                )))
            }
        };
        within("database.pool_size", self.database.pool_size.0 as u64, 3, 50)?;
        within(
            "database.connect_timeout_seconds",
            self.database.connect_timeout_seconds.0,
            1,
            60,
        )?;
        within(
            "capture.poll_interval_ms",
            self.capture.poll_interval_ms,
            20,
            60_000,
        )?;
        within(
            "capture.heartbeat_seconds",
            self.capture.heartbeat_seconds,
            1,
            300,
        )?;
        within(
            "capture.verify_interval_seconds",
            self.capture.verify_interval_seconds,
            1,
            3600,
        )?;
        within(
            "evaluate.batch_records",
            self.evaluate.batch_records.into(),
            1,
            10_000,
        )?;
        within(
            "evaluate.batch_timeout_seconds",
            self.evaluate.batch_timeout_seconds,
            1,
            60,
        )?;
        within("python.time_ms", self.python.time_ms, 1, 10_000)?;
        within("python.memory_mb", self.python.memory_mb, 8, 1024)?;
        within("python.depth", self.python.depth, 10, 1000)?;
        within("python.host_calls", self.python.host_calls, 1, 10_000)?;
        within("deliver.poll_interval_ms", d.poll_interval_ms, 20, 60_000)?;
        within("deliver.concurrency", d.concurrency.into(), 1, 500)?;
        within("deliver.claim_batch", d.claim_batch.into(), 1, 5000)?;
        within("deliver.heartbeat_ms", d.heartbeat_ms, 100, 10_000)?;
        within(
            "deliver.request_timeout_seconds",
            d.request_timeout_seconds,
            1,
            600,
        )?;
        within(
            "deliver.connect_timeout_seconds",
            d.connect_timeout_seconds,
            1,
            60,
        )?;
        within("deliver.lease_seconds", d.lease_seconds, 2, 3600)?;
        within("deliver.circuit_seconds", d.circuit_seconds, 1, 86_400)?;
        within(
            "deliver.failover_window_seconds",
            d.failover_window_seconds,
            1,
            600,
        )?;
        let h = &self.http;
        within(
            "http.max_body_bytes",
            h.max_body_bytes,
            64 * 1024,
            16 * 1024 * 1024,
        )?;
        within("http.request_timeout_seconds", h.request_timeout_seconds, 1, 30)?;
        within("http.concurrency", h.concurrency.into(), 1, 256)?;
        within(
            "http.api_max_body_bytes",
            h.api_max_body_bytes,
            1024,
            16 * 1024 * 1024,
        )?;
        within("http.api_max_records", h.api_max_records.into(), 1, 1_000_000)?;
        within(
            "http.api_requests_per_minute",
            h.api_requests_per_minute.into(),
            1,
            100_000,
        )?;
        h.forward_url()?;
        if d.connect_timeout_seconds > d.request_timeout_seconds {
            return Err(ConfigError::Rule(format!(
                "`deliver.connect_timeout_seconds` ({}) must not be longer than `deliver.request_timeout_seconds` ({}), \
                 of which it is a part",
                d.connect_timeout_seconds, d.request_timeout_seconds
            )));
        }
        if d.lease_seconds * 1000 <= d.heartbeat_ms * 4 {
            return Err(ConfigError::Rule(format!(
                "`deliver.lease_seconds` ({}) must be longer than four beats of `deliver.heartbeat_ms` ({}): a live \
                 daemon would lose its work",
                d.lease_seconds, d.heartbeat_ms
            )));
        }
        if d.lease_seconds <= d.request_timeout_seconds {
            return Err(ConfigError::Rule(format!(
                "`deliver.lease_seconds` ({}) must be longer than `deliver.request_timeout_seconds` ({}): a message \
                 whose lease ends during its request would be sent twice",
                d.lease_seconds, d.request_timeout_seconds
            )));
        }
        Ok(())
    }

    /// The longest that a healthy round of a stage may take: a batch, the record that is tried alone after it, and the
    /// waits for connections. A stage that has begun no round for longer is stuck. 45 s by default.
    pub fn longest_round(&self) -> Duration {
        Duration::from_secs(2 * self.evaluate.batch_timeout_seconds)
            + self.database.connect_timeout_seconds.duration().mul_f64(2.5)
    }

    /// Whether the two are the same, secrets included.
    pub fn same_as(&self, other: &Self) -> bool {
        let secret = |s: &Option<SecretString>| s.as_ref().map(|s| s.expose_secret().to_owned());
        format!("{self:?}") == format!("{other:?}")
            && secret(&self.database.url) == secret(&other.database.url)
            && secret(&self.database.direct_url) == secret(&other.database.direct_url)
            && secret(&self.database.owner_url) == secret(&other.database.owner_url)
            && secret(&self.database.operator_url) == secret(&other.database.operator_url)
    }

    /// The daemon's database.
    ///
    /// # Errors
    /// [`ConfigError::NoDatabase`].
    pub fn url(&self) -> Result<&str, ConfigError> {
        self.database
            .url
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .ok_or(ConfigError::NoDatabase)
    }

    /// The daemon's database, as a session of its own.
    ///
    /// # Errors
    /// [`ConfigError::NoDatabase`]; [`ConfigError::NoSession`] where only the way through a pooler is known.
    pub fn direct_url(&self) -> Result<&str, ConfigError> {
        match &self.database.direct_url {
            Some(url) => Ok(url.expose_secret()),
            None if self.database.pooler => Err(ConfigError::NoSession),
            None => self.url(),
        }
    }

    /// The DBA's connection to the same database.
    ///
    /// # Errors
    /// [`ConfigError::NoDatabase`], [`ConfigError::NoSession`].
    pub fn owner_url(&self) -> Result<&str, ConfigError> {
        match &self.database.owner_url {
            Some(url) => Ok(url.expose_secret()),
            None => self.direct_url(),
        }
    }

    /// The operators' connection to the same database.
    ///
    /// # Errors
    /// [`ConfigError::NoDatabase`], [`ConfigError::NoSession`].
    pub fn operator_url(&self) -> Result<&str, ConfigError> {
        match &self.database.operator_url {
            Some(url) => Ok(url.expose_secret()),
            None => self.direct_url(),
        }
    }
}

#[cfg(test)]
mod tests;
