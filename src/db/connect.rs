//! Connections to PostgreSQL. Promises: over TCP the server's certificate is verified unless the URL says
//! `sslmode=disable`; every connection goes to a server that accepts writes; the pool stays small, because Odoo's own
//! workers share `max_connections`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod,
    Runtime, TimeoutType,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pooler::ThroughPooler;

/// Time for making a connection where the configuration names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds in every session of ours, whatever role and database say.
const SETTINGS: [(&str, &str); 2] = [
    // Names of the host must not stand in for PostgreSQL's: a function or an operator in public that fits better than the one in
    // pg_catalog would run with our rights, or the DBA's.
    ("search_path", "pg_catalog,pg_temp"),
    // A commit that is reported is written (and, where the server has a synchronous standby, written there), whatever the
    // database's own setting says: what is sent rests on it.
    ("synchronous_commit", "on"),
];

/// What suits our statements: short ones by the thousand, which take less time than compiling them would.
const HABITS: [(&str, &str); 1] = [("jit", "off")];

/// What holds in sessions of scheduled work besides; milliseconds.
const SCHEDULING: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "2000"),
    ("statement_timeout", "60000"),
    ("lock_timeout", "5000"),
];

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection string cannot be read.
    #[error("the database URL cannot be read: {0}")]
    Url(String),
    /// A CA file cannot be used.
    #[error(
        "the CA file {path} cannot be used: {reason}; it must hold certificates in PEM (`database.ca_file`, sslrootcert=)"
    )]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The server refused, or is not there.
    #[error("no connection to PostgreSQL: {}{}", super::describe(.0), next_step(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The pool gave nothing in time.
    #[error("no connection to PostgreSQL: {0}")]
    Pool(String),
    /// The session is not as it was asked for.
    #[error("the session's {name} is {found:?}, not {wanted:?}: {remedy}")]
    Session {
        /// The setting.
        name: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
        /// What to do.
        remedy: String,
    },
}

fn next_step(error: &tokio_postgres::Error) -> String {
    super::advice::next_step(error).map_or_else(String::new, |step| format!("; {step}"))
}

/// Where and how to connect: parsed once, used by pool, listener and migrations.
#[derive(Clone)]
pub struct Endpoint {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    rustls: Arc<ClientConfig>,
    timeout: Duration,
    /// A pooler in transaction mode stands between.
    pooled: bool,
}

/// One server of an endpoint, as a client of another protocol than SQL needs it.
pub(crate) struct Place<'a> {
    /// A socket's folder or a name.
    pub host: &'a Host,
    /// Its address, where the URL names one beside the name.
    pub address: Option<std::net::IpAddr>,
    /// Port.
    pub port: u16,
    /// How TLS is spoken there; none: it is not.
    pub tls: Option<Arc<ClientConfig>>,
    /// As whom.
    pub user: &'a str,
    /// The password, if there is one.
    pub password: &'a [u8],
    /// Database.
    pub database: &'a str,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the password.
        f.debug_struct("Endpoint")
            .field("hosts", &self.config.get_hosts())
            .field("user", &self.config.get_user())
            .field("dbname", &self.config.get_dbname())
            .finish()
    }
}

impl Endpoint {
    /// Parses a URL or a key=value string. `sslmode` may be `disable`, or `require`, `verify-ca`, `verify-full` (all
    /// three verify chain and name); `sslrootcert` names a CA file. Without `sslmode`, TCP means verified TLS and a
    /// unix socket means none.
    ///
    /// # Errors
    /// [`ConnectError::Url`] for what cannot be parsed, [`ConnectError::CaFile`] for an unusable CA file.
    pub fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, ConnectError> {
        let (rest, mode, root) = split_tls_options(url);
        let mut config: tokio_postgres::Config = rest
            .parse()
            .map_err(|e: tokio_postgres::Error| ConnectError::Url(super::describe(&e)))?;
        let only_sockets = config.get_hosts().iter().all(|h| matches!(h, Host::Unix(_)));
        let ssl = match mode.as_deref() {
            Some("disable") => SslMode::Disable,
            None if only_sockets => SslMode::Disable,
            None | Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            Some(other) => {
                return Err(ConnectError::Url(format!(
                    "sslmode={other} is not supported; use verify-full, or disable on a trusted network"
                )));
            }
        };
        let pinned = options_with(config.get_options(), &[&SETTINGS[..], &HABITS[..]].concat());
        config
            .ssl_mode(ssl)
            .application_name("sicantik-notifyd")
            .options(pinned)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        let ca = root.map(PathBuf::from).or_else(|| ca_file.map(Path::to_path_buf));
        let rustls = client_config(ssl, ca.as_deref())?;
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(rustls.clone()),
            rustls: Arc::new(rustls),
            timeout: CONNECT_TIMEOUT,
            pooled: false,
        })
    }

    /// The same through a pooler in transaction mode, or not: then no session of the server is ours, prepared statements have no name,
    /// and what a session would keep stands at the begin of each transaction.
    pub fn through_pooler(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Whether a pooler in transaction mode stands between.
    pub fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Whether the session is as it was asked for. A pooler may have dropped what the connection said, and none of its sessions keeps
    /// what one transaction sets: there the role must bring it.
    ///
    /// # Errors
    /// [`ConnectError::Session`] with the statement that mends it.
    pub async fn check_session(&self, client: &tokio_postgres::Client) -> Result<(), ConnectError> {
        let row = client
            .query_one(
                "select pg_catalog.current_setting('search_path'), pg_catalog.current_setting('synchronous_commit'), \
                 pg_catalog.quote_ident(current_user), pg_catalog.quote_ident(pg_catalog.current_database())",
                &[],
            )
            .await?;
        for (at, (name, wanted)) in SETTINGS.into_iter().enumerate() {
            let found: String = row.get(at);
            if found.replace(' ', "") == wanted {
                continue;
            }
            let (role, database): (&str, &str) = (row.get(2), row.get(3));
            let remedy = match self.pooled {
                true => format!(
                    "as a DBA: alter role {role} in database {database} set {name} = {wanted}; then RECONNECT on the pooler's console"
                ),
                false => "a pooler that drops the options of connections stands between; say so with `database.pooler = true`, or let \
                          the URL go to PostgreSQL itself"
                    .to_owned(),
            };
            return Err(ConnectError::Session {
                name,
                found,
                wanted,
                remedy,
            });
        }
        Ok(())
    }

    /// With another time for making a connection, and for waiting for a free one of the pool.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout(timeout);
        self.timeout = timeout;
        self
    }

    /// The same server and database as another user.
    pub fn as_user(&self, user: &str) -> Self {
        let mut other = self.clone();
        other.config.user(user);
        other
    }

    /// Its servers, each as an endpoint of its own; one where the endpoint names one.
    pub(crate) fn servers(&self) -> Vec<Self> {
        if self.config.get_hosts().len() < 2 {
            return vec![self.clone()];
        }
        let one = |config| Self {
            config,
            ..self.clone()
        };
        self.configs(self.config.get_options())
            .into_iter()
            .map(one)
            .collect()
    }

    /// One configuration a server.
    fn configs(&self, options: Option<&str>) -> Vec<tokio_postgres::Config> {
        let old = &self.config;
        let server = |(at, host): (usize, &Host)| {
            let mut config = tokio_postgres::Config::new();
            match host {
                Host::Tcp(name) => config.host(name),
                Host::Unix(folder) => config.host_path(folder),
            };
            // One port may stand for all hosts.
            if let Some(port) = old.get_ports().get(at).or(old.get_ports().first()) {
                config.port(*port);
            }
            if let Some(address) = old.get_hostaddrs().get(at) {
                config.hostaddr(*address);
            }
            if let Some(user) = old.get_user() {
                config.user(user);
            }
            if let Some(password) = old.get_password() {
                config.password(password);
            }
            if let Some(database) = old.get_dbname() {
                config.dbname(database);
            }
            if let Some(options) = options {
                config.options(options);
            }
            config
                .ssl_mode(old.get_ssl_mode())
                .application_name("sicantik-notifyd")
                .target_session_attrs(TargetSessionAttrs::ReadWrite)
                .connect_timeout(self.timeout)
                .keepalives(true)
                .keepalives_idle(Duration::from_secs(15))
                .keepalives_interval(Duration::from_secs(5))
                .keepalives_retries(3)
                .tcp_user_timeout(Duration::from_secs(30));
            config
        };
        old.get_hosts().iter().enumerate().map(server).collect()
    }

    fn pooler(&self, more: &[(&str, &str)]) -> ThroughPooler {
        let settings = [&SETTINGS, more].concat();
        // An option of the connection is refused there.
        ThroughPooler::new(self.configs(None), self.rustls.clone(), &settings, self.timeout)
    }

    /// Its first server.
    pub(crate) fn place(&self) -> Result<Place<'_>, ConnectError> {
        let config = &self.config;
        let host = config
            .get_hosts()
            .first()
            .ok_or_else(|| ConnectError::Url("it names no host".to_owned()))?;
        let user = config
            .get_user()
            .ok_or_else(|| ConnectError::Url("it names no user".to_owned()))?;
        Ok(Place {
            host,
            address: config.get_hostaddrs().first().copied(),
            port: config.get_ports().first().copied().unwrap_or(5432),
            tls: match config.get_ssl_mode() {
                SslMode::Disable => None,
                _ => Some(self.rustls.clone()),
            },
            user,
            password: config.get_password().unwrap_or_default(),
            database: config.get_dbname().unwrap_or(user),
        })
    }

    /// The name of the database, for messages.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or("?")
    }

    /// One connection of its own (listener, migrations); the task that drives it ends with the client.
    ///
    /// # Errors
    /// [`ConnectError::Server`].
    pub async fn connect(&self) -> Result<tokio_postgres::Client, ConnectError> {
        if self.pooled {
            let (client, _) = self.limited(self.pooler(&[]).client()).await?;
            return Ok(client);
        }
        let (client, connection) = self.limited(self.config.connect(self.tls.clone())).await?;
        tokio::spawn(async move {
            // The client's next call reports what went wrong here.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// A connection whose notifications are wanted: the caller drives it. Never through a pooler that is known to be one.
    pub(crate) async fn connect_raw(
        &self,
    ) -> Result<
        (
            tokio_postgres::Client,
            tokio_postgres::Connection<
                tokio_postgres::Socket,
                <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
            >,
        ),
        ConnectError,
    > {
        self.limited(self.config.connect(self.tls.clone())).await
    }

    /// The driver's own time-out ends with TCP: a server that accepts and then says nothing would hold us for ever.
    async fn limited<T>(
        &self,
        connecting: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, ConnectError> {
        match tokio::time::timeout(self.timeout * 2, connecting).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ConnectError::Pool(format!(
                "no answer in {} s; check host and port of the database URL, and the network between",
                self.timeout.as_secs() * 2
            ))),
        }
    }

    /// A pool for scheduled work, of which a new leader waits for every transaction that the old one left open: none is idle in a
    /// transaction for more than 2 s, and a statement whose client is gone ends.
    ///
    /// # Errors
    /// [`ConnectError::Pool`] if the pool cannot be built.
    pub fn scheduling_pool(&self, size: usize) -> Result<Database, ConnectError> {
        if self.pooled {
            // What the server does about a client that is gone, a pooler decides.
            return self.pool_of(
                Manager::from_connect(self.config.clone(), self.pooler(&SCHEDULING), RECYCLING),
                size,
                None,
            );
        }
        let mut other = self.clone();
        let options = options_with(other.config.get_options(), &SCHEDULING);
        other.config.options(&options);
        // Not an option of the connection: a server that does not know it would refuse.
        let setup = Hook::async_fn(|client: &mut ClientWrapper, _| {
            Box::pin(async move {
                client
                    .batch_execute(
                        "select set_config(name, '1s', false) from pg_settings where name = 'client_connection_check_interval'",
                    )
                    .await
                    .map_err(HookError::Backend)
            })
        });
        other.pool_with(size, Some(setup))
    }

    /// A pool of at most `size` connections.
    ///
    /// # Errors
    /// [`ConnectError::Pool`] if the pool cannot be built.
    pub fn pool(&self, size: usize) -> Result<Database, ConnectError> {
        self.pool_with(size, None)
    }

    fn pool_with(&self, size: usize, setup: Option<Hook>) -> Result<Database, ConnectError> {
        let manager = match self.pooled {
            true => Manager::from_connect(self.config.clone(), self.pooler(&[]), RECYCLING),
            false => Manager::from_config(self.config.clone(), self.tls.clone(), RECYCLING),
        };
        self.pool_of(manager, size, setup)
    }

    fn pool_of(&self, manager: Manager, size: usize, setup: Option<Hook>) -> Result<Database, ConnectError> {
        let mut builder = Pool::builder(manager);
        if let Some(setup) = setup {
            builder = builder.post_create(setup);
        }
        let pool = builder
            .max_size(size)
            // The session that worked last has the plans and the catalogue at hand.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(self.timeout))
            .create_timeout(Some(self.timeout))
            .recycle_timeout(Some(self.timeout / 2))
            .build()
            .map_err(|e| ConnectError::Pool(e.to_string()))?;
        Ok(Database { pool })
    }
}

/// A connection that works is taken as it is.
const RECYCLING: ManagerConfig = ManagerConfig {
    recycling_method: RecyclingMethod::Fast,
};

/// The options of a connection with these settings after what the URL says.
fn options_with(given: Option<&str>, settings: &[(&str, &str)]) -> String {
    settings
        .iter()
        .fold(given.unwrap_or_default().to_owned(), |mut text, (name, value)| {
            let space = if text.is_empty() { "" } else { " " };
            text.push_str(&format!("{space}-c {name}={value}"));
            text
        })
}

/// The daemon's connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
}

impl Database {
    /// A connection; returns to the pool when dropped.
    ///
    /// # Errors
    /// [`ConnectError`] if none can be had in time.
    pub async fn get(&self) -> Result<Object, ConnectError> {
        self.pool.get().await.map_err(|e| match e {
            deadpool_postgres::PoolError::Backend(error) => ConnectError::Server(error),
            deadpool_postgres::PoolError::Timeout(TimeoutType::Wait) => ConnectError::Pool(
                "all connections are busy; raise `database.pool_size` if this stays so".into(),
            ),
            deadpool_postgres::PoolError::Timeout(_) => ConnectError::Pool(
                "the server did not answer in time; check that it runs, and the network between".into(),
            ),
            other => ConnectError::Pool(other.to_string()),
        })
    }
}

/// Takes `sslmode` and `sslrootcert` out of a connection string, since the driver does not know all their values.
fn split_tls_options(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root) = (None, None);
    let mut take = |pair: &str| -> bool {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.trim_matches('\'').to_owned()),
            Some(("sslrootcert", value)) => root = Some(value.trim_matches('\'').to_owned()),
            _ => return true,
        }
        false
    };
    let rest = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        match url.split_once('?') {
            None => url.to_owned(),
            Some((base, query)) => {
                let kept: Vec<&str> = query.split('&').filter(|p| take(p)).collect();
                if kept.is_empty() {
                    base.to_owned()
                } else {
                    format!("{base}?{}", kept.join("&"))
                }
            }
        }
    } else {
        url.split(' ').filter(|p| take(p)).collect::<Vec<_>>().join(" ")
    };
    (rest, mode, root)
}

fn client_config(mode: SslMode, ca_file: Option<&Path>) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    if mode != SslMode::Disable {
        match ca_file {
            Some(path) => {
                let fail = |reason: String| ConnectError::CaFile {
                    path: path.to_owned(),
                    reason,
                };
                for cert in CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))? {
                    let cert = cert.map_err(|e| fail(e.to_string()))?;
                    roots.add(cert).map_err(|e| fail(e.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(fail("it holds no certificate".into()));
                }
            }
            None => {
                for cert in rustls_native_certs::load_native_certs().certs {
                    // A single unusable certificate of the system is not our business.
                    let _ = roots.add(cert);
                }
            }
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| ConnectError::Tls(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_options_leave_the_url() {
        let (rest, mode, root) =
            split_tls_options("postgres://u@h/db?sslmode=verify-full&connect_timeout=3&sslrootcert=/ca.pem");
        assert_eq!(rest, "postgres://u@h/db?connect_timeout=3");
        assert_eq!(mode.as_deref(), Some("verify-full"));
        assert_eq!(root.as_deref(), Some("/ca.pem"));
        let (rest, mode, _) = split_tls_options("host=h user=u sslmode=disable");
        assert_eq!(
            (rest.as_str(), mode.as_deref()),
            ("host=h user=u", Some("disable"))
        );
    }

    #[test]
    fn unverified_tls_is_not_to_be_had() {
        let error = Endpoint::parse("host=h sslmode=prefer", None).expect_err("refused");
        assert!(error.to_string().contains("verify-full"), "{error}");
    }
}
