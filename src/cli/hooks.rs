//! `hooks sql | install | verify | remove`

use clap::Subcommand;
use tokio_postgres::Client;

use super::{Done, Outcome, access};
use crate::capture::hooks::{self, TableScript};
use crate::capture::plan::publish;
use crate::capture::replication::scripts::{Work, scripts};
use crate::config::{Backend, Config};
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
    /// Install the hooks on the tables that active triggers watch, or the slot that reads them
    ///
    /// One short transaction a table, tried again while Odoo holds its lock. Safe to run again: what is missing is made.
    Install,
    /// Compare the hooks with what they should be
    ///
    /// Prints each difference with its remedy. Exit code 3 if there is one.
    Verify {
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Remove every hook and the slot: Odoo's tables are then as they were
    ///
    /// Nothing is captured from then on. The schema sicantik_notify stays.
    Remove,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let endpoint = access::endpoint(config, "hooks")?;
    let client = endpoint.connect().await?;
    crate::db::migrate::check_version(&client).await?;
    match args.action {
        Action::Sql => {
            let client = plan(client).await?;
            let scripts = match standing_or(&client, config.capture.backend).await? {
                Backend::Triggers => hooks::install_scripts(&client).await?,
                Backend::Logical => scripts(&client, Work::Begin).await?,
            };
            for script in scripts {
                println!("{}", script.to_sql());
            }
            Ok(Done::Well)
        }
        Action::Install => {
            let mut client = plan(client).await?;
            match standing_or(&client, config.capture.backend).await? {
                Backend::Triggers => install_hooks(&mut client).await?,
                Backend::Logical => run_parts(&mut client, Work::Begin, "set up").await?,
            }
            verify(&client, false).await
        }
        Action::Verify { json } => verify(&client, json).await,
        Action::Remove => {
            let mut client = client;
            for script in hooks::removal_scripts(&client).await? {
                hooks::run(&mut client, &script).await?;
                println!("hook of {} removed", script.table);
            }
            run_parts(&mut client, Work::Remove, "removed").await?;
            Ok(Done::Well)
        }
    }
}

async fn install_hooks(client: &mut Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let scripts = hooks::install_scripts(client).await?;
    for script in &scripts {
        hooks::run(client, script).await?;
        println!("hook of {} installed", script.table);
    }
    if scripts.is_empty() {
        println!(
            "No active trigger watches a table; nothing to install. Activate one in sicantik_notify.trigger."
        );
    }
    Ok(())
}

/// What captures now; where nothing stands yet, what the file asks for.
async fn standing_or(client: &Client, asked: Backend) -> Result<Backend, tokio_postgres::Error> {
    let row = client
        .query_one(
            "select exists (select from sicantik_notify.capture_slot where not draining), \
                    exists (select from sicantik_notify.capture_slot where draining) \
                    or exists (select from sicantik_notify.hook_removal())",
            &[],
        )
        .await?;
    let standing = match (row.get(0), row.get(1)) {
        (true, _) => Backend::Logical,
        (false, true) => Backend::Triggers,
        (false, false) => return Ok(asked),
    };
    if standing != asked {
        eprintln!(
            "{standing} captures here, and stays; the file says `capture.backend = \"{asked}\"`. To change over: \
             sicantik-notifyd capture switch {asked}"
        );
    }
    Ok(standing)
}

/// Runs what is still to be run, part by part: each changes what is missing.
pub(super) async fn run_parts(
    client: &mut Client,
    work: Work,
    done: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut before: Option<TableScript> = None;
    while let Some(script) = scripts(client, work).await?.into_iter().next() {
        if before.as_ref() == Some(&script) {
            return Err(format!(
                "{}: what was run had no effect:\n{}",
                script.table,
                script.to_sql()
            )
            .into());
        }
        hooks::run(client, &script).await?;
        println!("{} {done}", script.table);
        before = Some(script);
    }
    Ok(())
}

/// Brings `capture_plan` up to date with the configuration, as the daemon does. Gives the connection back.
pub(super) async fn plan(mut client: Client) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let (configuration, tables) = loop {
        let tx = client.transaction().await?;
        tx.batch_execute("set local role sicantik_notify_owner").await?;
        let configuration = Configuration::load(&tx).await?;
        let published = publish(&tx, &configuration.plan(), configuration.version).await?;
        let mut tables = configuration.tables();
        for (table, columns) in targets::all_tables(&tx, &configuration).await? {
            tables.entry(table).or_default().extend(columns);
        }
        tx.commit().await?;
        if published.is_some() {
            break (configuration, tables);
        }
    };
    for statement in grants::grant_columns(&client, &tables).await? {
        eprintln!(
            "conditions read what these roles may not read; the owner of the tables must run: {statement}"
        );
    }
    // Rights that were missing a moment ago have been granted, or are said above.
    for problem in configuration.problems.iter().filter(|p| p.about != RIGHTS) {
        eprintln!("{}: {}\n    {}", problem.about, problem.summary, problem.remedy);
    }
    Ok(client)
}

pub(super) async fn verify(client: &Client, as_json: bool) -> Outcome {
    let findings = hooks::verify(client).await?;
    if as_json {
        let rows: Vec<_> = findings
            .iter()
            .map(|f| serde_json::json!({"table": f.table, "finding": f.finding, "remedy": f.remedy}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(match rows.is_empty() {
            true => Done::Well,
            false => Done::NeedsAttention,
        });
    }
    for f in &findings {
        println!("{}: {}\n    remedy: {}", f.table, f.finding, f.remedy);
    }
    if findings.is_empty() {
        println!("The hooks are as they should be.");
        return Ok(Done::Well);
    }
    Ok(Done::NeedsAttention)
}
