//! The commands. One file a subcommand; errors end with what to do next.
//!
//! Exit codes: 0 done · 1 failed · 2 wrong usage · 3 done, and something needs a person (`hooks verify`, `status`).

mod arm;
mod demo;
mod hooks;
mod migrate;
mod run;
mod status;
mod table;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::db::Endpoint;

/// Turns committed changes of permits and documents in an Odoo database into WhatsApp messages.
#[derive(Debug, Parser)]
#[command(name = "sicantik-notifyd", version, max_term_width = 100)]
struct Cli {
    /// Configuration file [default: /etc/sicantik-notifyd/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database to connect to, instead of the one in the configuration
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (systemd does this)
    Run,
    /// Create or update the schema sicantik_notify; as a DBA
    Migrate(migrate::Args),
    /// The hooks on the host's tables; as a DBA
    Hooks(hooks::Args),
    /// Allow the daemon of this machine to send from this database (after a move or a restore)
    Arm(arm::Args),
    /// What waits, what was sent, what needs a person
    Status(status::Args),
    /// The whole road on an embedded PostgreSQL and a fake gateway, in seconds
    Demo(demo::Args),
}

/// What went well.
enum Done {
    /// All of it.
    Well,
    /// It ran, and something needs a person.
    NeedsAttention,
}

type Outcome = Result<Done, Box<dyn Error + Send + Sync>>;

/// Parses the command line, runs, and says what went wrong, once.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::observe::log::init();
    // One TLS provider for the whole process, before anything speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(Box::pin(execute(cli)));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::NeedsAttention) => ExitCode::from(3),
        Err(error) => failed(error.as_ref()),
    }
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let text = match error.downcast_ref::<tokio_postgres::Error>() {
        Some(error) => crate::db::describe(error),
        None => error.to_string(),
    };
    eprintln!("sicantik-notifyd: {text}");
    ExitCode::FAILURE
}

async fn execute(cli: Cli) -> Outcome {
    if let Command::Demo(args) = cli.command {
        return demo::execute(args).await;
    }
    let mut config = Config::load(cli.config.as_deref())?;
    if let Some(url) = cli.database_url {
        config.database.owner_url = Some(url.clone().into());
        config.database.url = Some(url.into());
    }
    match cli.command {
        Command::Run => run::execute(config).await,
        Command::Migrate(args) => migrate::execute(&config, args).await,
        Command::Hooks(args) => hooks::execute(&config, args).await,
        Command::Arm(args) => arm::execute(&config, args).await,
        Command::Status(args) => status::execute(&config, args).await,
        Command::Demo(args) => demo::execute(args).await,
    }
}

/// The daemon's connection.
fn endpoint(config: &Config) -> Result<Endpoint, Box<dyn Error + Send + Sync>> {
    Ok(Endpoint::parse(
        config.url()?,
        config.database.ca_file.as_deref(),
    )?)
}

/// The DBA's connection.
fn owner_endpoint(config: &Config) -> Result<Endpoint, Box<dyn Error + Send + Sync>> {
    Ok(Endpoint::parse(
        config.owner_url()?,
        config.database.ca_file.as_deref(),
    )?)
}
