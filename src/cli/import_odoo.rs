//! `import-odoo`: what the replaced module had configured.

use tokio_postgres::IsolationLevel;
use tokio_postgres::error::SqlState;

use super::{Done, Outcome, access, apply, check};
use crate::config::Config;
use crate::setup::import::{self, ImportError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what would be carried over, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Copy tokens and keys into provider_secret, where only the daemon reads them, instead of naming credentials
    #[arg(long)]
    with_secrets: bool,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::endpoint(config, "import-odoo")?.connect().await?;
    crate::db::migrate::check_version(&client).await?;
    client
        .batch_execute("set statement_timeout = '60s'; set lock_timeout = '10s'")
        .await?;
    // Before the transaction, whose snapshot would otherwise be older than the lock; it ends with the connection.
    client.execute(apply::LOCK, &[]).await.map_err(apply::occupied)?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let report = match import::import(&tx, args.with_secrets, check::items).await {
        Err(ImportError::Server(error)) if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Err(apply::occupied(error));
        }
        done => done?,
    };
    match args.dry_run {
        true => tx.rollback().await?,
        false => tx.commit().await?,
    }
    match args.json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&report.json(!args.dry_run && report.writes()))?
        ),
        false => {
            print!("{}", report.text());
            println!("{}", report.summary());
            if args.dry_run {
                println!("This was a dry run: nothing was written.");
            }
        }
    }
    Ok(match report.needs_a_person() {
        true => Done::NeedsAttention,
        false => Done::Well,
    })
}
