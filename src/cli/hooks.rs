//! `hooks sql | install | verify | remove`

use clap::Subcommand;
use tokio_postgres::Client;

use super::{Done, Outcome, owner_endpoint};
use crate::capture::hooks;
use crate::capture::plan::publish;
use crate::config::Config;
use crate::evaluate::configuration::{Configuration, RIGHTS};
use crate::evaluate::targets;
use crate::host::grants;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print what `install` runs, to read it first or to run it by hand
    Sql,
    /// Install the hooks on the tables that active triggers watch
    ///
    /// One short transaction a table, tried again while Odoo holds its lock. Safe to run again.
    Install,
    /// Compare the hooks with what they should be
    ///
    /// Prints each difference with its remedy. Exit code 3 if there is one.
    Verify,
    /// Remove every hook from Odoo's tables, which are then as they were
    ///
    /// Nothing is captured from then on. The schema sicantik_notify stays.
    Remove,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let endpoint = owner_endpoint(config)?;
    let client = endpoint.connect().await?;
    crate::db::migrate::check_version(&client).await?;
    match args.action {
        Action::Sql => {
            let client = plan(client).await?;
            for script in hooks::install_scripts(&client).await? {
                println!("{}", script.to_sql());
            }
            Ok(Done::Well)
        }
        Action::Install => {
            let mut client = plan(client).await?;
            let scripts = hooks::install_scripts(&client).await?;
            for script in &scripts {
                hooks::run(&mut client, script).await?;
                println!("hook of {} installed", script.table);
            }
            if scripts.is_empty() {
                println!(
                    "No active trigger watches a table; nothing to install. Activate one in sicantik_notify.trigger."
                );
            }
            verify(&client).await
        }
        Action::Verify => verify(&client).await,
        Action::Remove => {
            let mut client = client;
            for script in hooks::removal_scripts(&client).await? {
                hooks::run(&mut client, &script).await?;
                println!("hook of {} removed", script.table);
            }
            Ok(Done::Well)
        }
    }
}

/// Brings `capture_plan` up to date with the configuration, as the daemon does. Gives the connection back.
pub(super) async fn plan(mut client: Client) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let tx = client.transaction().await?;
    tx.batch_execute("set local role sicantik_notify_owner").await?;
    let configuration = Configuration::load(&tx).await?;
    publish(&tx, &configuration.plan()).await?;
    let mut tables = configuration.tables();
    for (table, columns) in targets::all_tables(&tx, &configuration).await? {
        tables.entry(table).or_default().extend(columns);
    }
    tx.commit().await?;
    for statement in grants::grant_columns(&client, &tables).await? {
        eprintln!(
            "conditions read what the daemon may not read; the owner of the tables must run: {statement}"
        );
    }
    // Rights that were missing a moment ago have been granted, or are said above.
    for problem in configuration.problems.iter().filter(|p| p.about != RIGHTS) {
        eprintln!("{}: {}\n    {}", problem.about, problem.summary, problem.remedy);
    }
    Ok(client)
}

async fn verify(client: &Client) -> Outcome {
    let findings = hooks::verify(client).await?;
    for f in &findings {
        println!("{}: {}\n    remedy: {}", f.table, f.finding, f.remedy);
    }
    if findings.is_empty() {
        println!("The hooks are as they should be.");
        return Ok(Done::Well);
    }
    Ok(Done::NeedsAttention)
}
