//! The host fixture: an Odoo database with the SICANTIK modules, as far as this daemon meets it, and a writer that
//! behaves as Odoo does.
//!
//! Faithful where it matters: types, nullability, keys and indexes of real databases, the ORM's catalogue, the messy
//! data, and in [`OdooSession`] the statements that the ORM sends. Two profiles show what the daemon has to probe for.

mod generate;
pub mod ids;
mod odoo;

use chrono::NaiveDate;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

pub use generate::{Volume, generate};
pub use odoo::{OdooSession, Value, Values};

/// The role that owns the host's tables and that Odoo connects as.
pub const OWNER: &str = "odoo";

/// Why the fixture could not be made or written to.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The database refused one of the fixture's files.
    #[error("the fixture's {file}: {}", describe(source))]
    File {
        /// Which file.
        file: &'static str,
        /// The server's answer.
        source: tokio_postgres::Error,
    },
    /// The database refused a statement.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A table that is not there, or a column that it has not.
    #[error("the host has no column {table}.{column}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value that a request cannot end with.
    #[error("{0}")]
    Usage(&'static str),
    /// A request failed with a conflict each of the times that Odoo tries.
    #[error("given up after {tries} tries: {source}")]
    Retries {
        /// How often it was tried.
        tries: u32,
        /// The last answer.
        source: Box<HostError>,
    },
}

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({}): {}", db.severity(), db.code().code(), db.message()),
        None => error.to_string(),
    }
}

impl HostError {
    /// The SQLSTATE, where the server gave one.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::File { source, .. } | Self::Postgres(source) => source.code(),
            Self::Retries { source, .. } => source.code(),
            Self::NoColumn { .. } | Self::Usage(_) => None,
        }
    }

    /// True for the conflicts after which Odoo repeats a request: 40001, 40P01, 55P03.
    pub fn is_retryable(&self) -> bool {
        self.code().is_some_and(|code| {
            [
                &SqlState::T_R_SERIALIZATION_FAILURE,
                &SqlState::T_R_DEADLOCK_DETECTED,
                &SqlState::LOCK_NOT_AVAILABLE,
            ]
            .contains(&code)
        })
    }
}

/// The two schemas that offices run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Odoo 18.0.
    Odoo18_0,
    /// saas~18.4: no `mobile`, implied groups not written out, no unique keys on the modules' tables.
    Saas18_4,
}

/// What the fixture holds.
#[derive(Clone, Debug)]
pub struct Options {
    /// `database.uuid`.
    pub uuid: String,
    /// The day that dates of expiry are counted from; `None`: the server's day, UTC.
    pub today: Option<NaiveDate>,
    /// `database.is_neutralized`: a test copy.
    pub neutralized: bool,
    /// The tables of Odoo Enterprise's `whatsapp` (empty).
    pub enterprise_whatsapp: bool,
    /// `sicantik_whatsapp_message_log`, which only the newest module has.
    pub message_log: bool,
    /// The tables and the configuration of the module that this daemon replaces.
    pub replaced_module: bool,
    /// Columns that one recorded database has and no published module: `sicantik_permit.state`, `.active` (both NULL), and a
    /// translated `sicantik_permit_type.name`.
    pub recorded_columns: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uuid: "5c1c0000-0000-4000-8000-000000000001".to_owned(),
            today: None,
            neutralized: false,
            enterprise_whatsapp: true,
            message_log: true,
            replaced_module: true,
            recorded_columns: false,
        }
    }
}

/// What [`install`] made.
#[derive(Clone, Debug)]
pub struct Host {
    /// The schema.
    pub profile: Profile,
    /// `database.uuid`.
    pub uuid: String,
}

/// Makes an empty database into a host. `client` is a superuser's; everything will belong to the role [`OWNER`].
pub async fn install(client: &Client, profile: Profile, options: &Options) -> Result<Host, HostError> {
    ensure_owner(client).await?;
    let database: String = client
        .query_one("select quote_ident(current_database())", &[])
        .await?
        .get(0);
    let own = format!("alter database {database} owner to {OWNER}; grant all on schema public to {OWNER}");
    client.batch_execute(&own).await?;

    let today = options.today.map(|day| day.to_string());
    let fill = Fill {
        profile,
        options,
        today: today.as_deref(),
    };
    client
        .batch_execute(&format!(
            "begin; set local role {OWNER}; set local search_path = public, pg_temp; set local jit = off"
        ))
        .await?;
    let done = async {
        run(client, "schema.sql", include_str!("schema.sql")).await?;
        if profile == Profile::Saas18_4 {
            run(client, "saas_18_4.sql", include_str!("saas_18_4.sql")).await?;
        }
        if options.recorded_columns {
            run(
                client,
                "recorded_columns.sql",
                include_str!("recorded_columns.sql"),
            )
            .await?;
        }
        if !options.replaced_module {
            drop_tables(client, "sicantik_notification_").await?;
        }
        if !options.enterprise_whatsapp {
            drop_tables(client, "whatsapp_account").await?;
            drop_tables(client, "whatsapp_message").await?;
            drop_tables(client, "whatsapp_template").await?;
            drop_tables(client, "res_users_whatsapp_").await?;
            drop_tables(client, "res_company_whatsapp_").await?;
        }
        if !options.message_log {
            drop_tables(client, "sicantik_whatsapp_message_log").await?;
        }
        run(client, "catalogue.sql", &fill.text(include_str!("catalogue.sql"))).await?;
        run(client, "data.sql", &fill.text(include_str!("data.sql"))).await?;
        if options.replaced_module {
            run(
                client,
                "replaced_module.sql",
                &fill.text(include_str!("replaced_module.sql")),
            )
            .await?;
        }
        if options.neutralized {
            let neutralize =
                "insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true');
                update ir_cron set active = false;";
            run(client, "neutralization", neutralize).await?;
        }
        run(client, "sequences.sql", include_str!("sequences.sql")).await?;
        Ok(())
    }
    .await;
    finish(client, done).await?;
    Ok(Host {
        profile,
        uuid: options.uuid.clone(),
    })
}

/// Roles belong to the cluster: another database's installation may create it at the same moment.
async fn ensure_owner(client: &Client) -> Result<(), HostError> {
    let known = client
        .query_opt("select from pg_roles where rolname = $1", &[&OWNER])
        .await?;
    if known.is_some() {
        return Ok(());
    }
    match client
        .batch_execute(&format!("create role {OWNER} login nosuperuser createdb"))
        .await
    {
        Err(error)
            if [
                Some(&SqlState::DUPLICATE_OBJECT),
                Some(&SqlState::UNIQUE_VIOLATION),
            ]
            .contains(&error.code()) =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}

async fn drop_tables(client: &Client, prefix: &str) -> Result<(), HostError> {
    let names = "select string_agg(quote_ident(relname), ', ') from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and starts_with(relname, $1)";
    let names: Option<String> = client.query_one(names, &[&prefix]).await?.get(0);
    if let Some(names) = names {
        client
            .batch_execute(&format!("drop table {names} cascade"))
            .await?;
    }
    Ok(())
}

async fn run(client: &Client, file: &'static str, sql: &str) -> Result<(), HostError> {
    client
        .batch_execute(sql)
        .await
        .map_err(|source| HostError::File { file, source })
}

/// Commits, or rolls back and gives the first error.
async fn finish(client: &Client, done: Result<(), HostError>) -> Result<(), HostError> {
    match done {
        Ok(()) => Ok(client.batch_execute("commit").await?),
        Err(error) => {
            let _ = client.batch_execute("rollback").await;
            Err(error)
        }
    }
}

/// The values of the placeholders in the fixture's files.
struct Fill<'a> {
    profile: Profile,
    options: &'a Options,
    today: Option<&'a str>,
}

impl Fill<'_> {
    fn text(&self, sql: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let types = ["Surat Izin Praktik Dokter", "Izin Mendirikan Bangunan"];
        let name = |name: &str| match self.options.recorded_columns {
            true => quoted(&format!(r#"{{"en_US": "{name}", "id_ID": "{name}"}}"#)),
            false => quoted(name),
        };
        let saas = if self.profile == Profile::Saas18_4 {
            "true"
        } else {
            "false"
        };
        placeholders(sql, self.today)
            .replace("{uuid}", &quoted(&self.options.uuid))
            .replace("{saas}", saas)
            .replace("{type_1}", &name(types[0]))
            .replace("{type_2}", &name(types[1]))
    }
}

/// `{today}` and `{t0}`: the day, and a moment two days before (old enough for "waiting for more than 24 hours").
fn placeholders(sql: &str, today: Option<&str>) -> String {
    let day = match today {
        Some(day) => format!("date '{day}'"),
        None => "(now() at time zone 'UTC')::date".to_owned(),
    };
    let moment = format!("({day}::timestamp - interval '2 days' + interval '2 hours 3.123456 seconds')");
    sql.replace("{today}", &day).replace("{t0}", &moment)
}
