//! A whole office: server, host, our schema with its hooks, the gateway as its three providers, and daemons as real
//! processes. Everything is gone when it is dropped.

mod kept;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio_postgres::Client;

use super::gateway::{Gateway, GatewayError, Template};
use super::host::{self, HostError, OdooSession, Options, Profile};
use super::postgres::{Cluster, ClusterError, StopMode};
use kept::Kept;

/// Name of the office's database.
pub const DATABASE: &str = "sicantik";
/// Role of the daemon.
pub const RUNTIME: &str = "sicantik_notifyd";
/// A person who operates: a member of `sicantik_notify_operator`.
pub const OPERATOR: &str = "office_operator";

/// Why there is no office.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OfficeError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("the database refused: {}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("cannot run {program}: {source}")]
    Program {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("`sicantik-notifyd {command}` failed ({status}):\n{output}")]
    Command {
        command: String,
        status: ExitStatus,
        output: String,
    },
    #[error("a file of the office cannot be written: {0}")]
    File(#[from] std::io::Error),
    #[error("waited {0:?} in vain for {1}")]
    InVain(Duration, String),
}

/// What an office is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Version of the host.
    pub profile: Profile,
    /// What the host holds.
    pub host: Options,
    /// Whether the hooks are installed at once.
    pub hooks: bool,
    /// Whether the providers are set up at once.
    pub providers: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            profile: Profile::Odoo18_0,
            host: Options::default(),
            hooks: true,
            providers: true,
        }
    }
}

/// A running office.
#[derive(Debug)]
pub struct Office {
    /// The server.
    pub cluster: Cluster,
    /// The providers.
    pub gateway: Gateway,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Office {
    /// Server, host, schema, hooks, providers. `program` is the binary to run.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn open(program: &Path, plan: &Plan) -> Result<Self, OfficeError> {
        let Some(kept) = Kept::of(program, plan) else {
            let (cluster, gateway) = tokio::join!(Cluster::start(), Gateway::start());
            return Self::furnish(cluster?, gateway?, program, plan).await;
        };
        let gateway = Gateway::start().await?;
        let lock = kept.lock().await?;
        let office = match kept.data() {
            Some(data) => {
                let cluster = Cluster::builder().data_from(data).start().await?;
                Self::around(cluster, gateway, program)?
            }
            None => {
                let office = Self::around(Cluster::start().await?, gateway, program)?;
                office.found(plan).await?;
                office.cluster.stop(StopMode::Fast).await?;
                kept.keep(&office.cluster.data_dir())?;
                office.cluster.restart().await?;
                office
            }
        };
        drop(lock);
        office.equip(plan).await?;
        Ok(office)
    }

    /// The same in a server that stands already.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn furnish(
        cluster: Cluster,
        gateway: Gateway,
        program: &Path,
        plan: &Plan,
    ) -> Result<Self, OfficeError> {
        let office = Self::around(cluster, gateway, program)?;
        office.found(plan).await?;
        office.equip(plan).await?;
        Ok(office)
    }

    /// Host and schema.
    async fn found(&self, plan: &Plan) -> Result<(), OfficeError> {
        self.cluster.create_database(DATABASE, None).await?;
        let admin = self.cluster.connect(DATABASE).await?;
        host::install(&admin, plan.profile, &plan.host).await?;
        self.run(&["migrate"]).await?;
        admin
            .batch_execute(&format!(
                "do $$ begin
                     if to_regrole('{OPERATOR}') is null then create role {OPERATOR} login; end if;
                 end $$;
                 grant sicantik_notify_operator to {OPERATOR}"
            ))
            .await?;
        Ok(())
    }

    /// Providers and hooks.
    async fn equip(&self, plan: &Plan) -> Result<(), OfficeError> {
        if plan.providers {
            self.set_up_providers(&self.admin().await?).await?;
        }
        if plan.hooks {
            self.run(&["hooks", "install"]).await?;
        }
        Ok(())
    }

    /// An office around a database that stands already, with whatever schema it has.
    ///
    /// # Errors
    /// [`OfficeError::File`].
    pub fn around(cluster: Cluster, gateway: Gateway, program: &Path) -> Result<Self, OfficeError> {
        Ok(Self {
            cluster,
            gateway,
            program: program.to_owned(),
            folder: tempfile::tempdir()?,
        })
    }

    /// A superuser's connection to the office's database.
    ///
    /// # Errors
    /// [`OfficeError::Cluster`].
    pub async fn admin(&self) -> Result<Client, OfficeError> {
        Ok(self.cluster.connect(DATABASE).await?)
    }

    /// A connection of another role.
    ///
    /// # Errors
    /// [`OfficeError::Cluster`].
    pub async fn connect_as(&self, role: &str) -> Result<Client, OfficeError> {
        Ok(self.cluster.connect_as(role, DATABASE).await?)
    }

    /// A session that writes as Odoo does.
    ///
    /// # Errors
    /// [`OfficeError::Host`].
    pub async fn odoo(&self) -> Result<OdooSession, OfficeError> {
        let url = self.cluster.url_as(host::OWNER, DATABASE);
        Ok(OdooSession::connect(&url, host::ids::USER_ADMIN).await?)
    }

    /// A command of the binary, as the DBA.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env(crate::config::ENV_URL, self.cluster.url_as(RUNTIME, DATABASE))
            .env(crate::config::ENV_OWNER_URL, self.cluster.url(DATABASE))
            .env(
                crate::config::ENV_OPERATOR_URL,
                self.cluster.url_as(OPERATOR, DATABASE),
            )
            .env(crate::config::ENV_STATE_DIR, self.folder.path().join("state"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end; its standard output. Exit code 3 (needs attention) counts as done.
    ///
    /// # Errors
    /// [`OfficeError::Command`] with all it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, OfficeError> {
        let output = self
            .command(arguments)
            .output()
            .await
            .map_err(|source| OfficeError::Program {
                program: self.program.clone(),
                source,
            })?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() || output.status.code() == Some(3) {
            return Ok(stdout);
        }
        Err(OfficeError::Command {
            command: arguments.join(" "),
            status: output.status,
            output: stdout + &String::from_utf8_lossy(&output.stderr),
        })
    }

    /// Starts a daemon. `config` is the text of its daemon file; database and state directory come from the environment.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn daemon(&self, config: &str) -> Result<Daemon, OfficeError> {
        self.daemon_on(&self.cluster, config, &self.folder.path().join("state"))
            .await
    }

    /// Starts a daemon on another server (a copy of the office's), with its own state directory.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn daemon_on(
        &self,
        cluster: &Cluster,
        config: &str,
        state_dir: &Path,
    ) -> Result<Daemon, OfficeError> {
        self.daemon_at(&cluster.url_as(RUNTIME, DATABASE), config, state_dir)
            .await
    }

    /// Starts a daemon on any database.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn daemon_at(&self, url: &str, config: &str, state_dir: &Path) -> Result<Daemon, OfficeError> {
        let file = tempfile::Builder::new()
            .suffix(".toml")
            .tempfile_in(self.folder.path())?;
        std::fs::write(file.path(), config)?;
        let (_, file) = file.keep().map_err(|e| e.error)?;
        let log = file.with_extension("log");
        let out = std::fs::File::create(&log)?;
        let child = self
            .command(&["run", "--config"])
            .arg(&file)
            .env(crate::config::ENV_URL, url)
            .env(crate::config::ENV_STATE_DIR, state_dir)
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| OfficeError::Program {
                program: self.program.clone(),
                source,
            })?;
        Ok(Daemon { child, log })
    }

    /// A folder that ends with the office.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until a query's single boolean is true. Looks often, gives up late, and says what it waited for.
    ///
    /// # Errors
    /// [`OfficeError::InVain`].
    pub async fn until(&self, client: &Client, query: &str) -> Result<(), OfficeError> {
        let patience = Duration::from_secs(30);
        let look = async {
            loop {
                if client.query_one(query, &[]).await?.get::<_, Option<bool>>(0) == Some(true) {
                    return Ok::<(), OfficeError>(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(patience, look)
            .await
            .map_err(|_| OfficeError::InVain(patience, query.to_owned()))?
    }

    /// The gateway as Meta, Fonnte and Watzap, in this order and without their pace, and templates approved at Meta.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn set_up_providers(&self, admin: &Client) -> Result<(), OfficeError> {
        let statement = "with p as (insert into sicantik_notify.provider (name, provider_type, sequence, settings) \
                         values ($1, $2, $3, $4) returning id) \
                         insert into sicantik_notify.provider_secret (provider_id, name, value) \
                         select p.id, s.key, s.value from p, jsonb_each_text($5) s";
        let gateway = &self.gateway;
        let providers = [
            (
                "Meta",
                "meta",
                10_i32,
                serde_json::json!({"base_url": gateway.meta_url(), "phone_number_id": Gateway::META_PHONE_ID,
                                   "waba_id": Gateway::META_WABA_ID, "messages_per_second": 0, "pair_interval_seconds": 0}),
                serde_json::json!({"token": Gateway::META_TOKEN}),
            ),
            (
                "Fonnte",
                "fonnte",
                20_i32,
                serde_json::json!({"base_url": gateway.fonnte_url(), "delay_seconds": 0}),
                serde_json::json!({"token": Gateway::FONNTE_TOKEN}),
            ),
            (
                "Watzap",
                "watzap",
                30_i32,
                serde_json::json!({"base_url": gateway.watzap_url(), "delay_seconds": 0}),
                serde_json::json!({"api_key": Gateway::WATZAP_API_KEY, "number_key": Gateway::WATZAP_NUMBER_KEY}),
            ),
        ];
        for (name, kind, sequence, settings, secrets) in &providers {
            admin
                .execute(statement, &[name, kind, sequence, settings, secrets])
                .await?;
        }
        for row in admin
            .query("select meta_name, body, parameters from sicantik_notify.template where template_key like 'izin_%'", &[])
            .await?
        {
            let (name, mut body, parameters): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
            for (index, parameter) in parameters.iter().enumerate() {
                body = body.replace(&format!("{{{{{parameter}}}}}"), &format!("{{{{{}}}}}", index + 1));
            }
            self.gateway.meta().add_template(Template::new(&name, "id", &body));
        }
        // As after a sync: the next one is due tomorrow, so that none changes what a test has set.
        admin
            .batch_execute(
                "update sicantik_notify.template set meta_status = 'approved' where template_key like 'izin_%';
                 insert into sicantik_notify.provider_health (provider_id, templates_synced_at)
                 select id, clock_timestamp() from sicantik_notify.provider where provider_type = 'meta'",
            )
            .await?;
        Ok(())
    }
}

/// A daemon as a process. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// SIGKILL, at once.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill(&mut self) -> Result<(), OfficeError> {
        Ok(self.child.kill().await?)
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, `HUP`).
    ///
    /// # Errors
    /// The system's.
    pub async fn signal(&self, name: &str) -> Result<(), OfficeError> {
        if let Some(pid) = self.child.id() {
            Command::new("kill")
                .arg(format!("-{name}"))
                .arg(pid.to_string())
                .status()
                .await?;
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system's.
    pub async fn wait(&mut self) -> Result<ExitStatus, OfficeError> {
        Ok(self.child.wait().await?)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
