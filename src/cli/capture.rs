//! `capture switch triggers | logical`

use std::time::{Duration, Instant};

use clap::Subcommand;
use tokio_postgres::Client;

use super::hooks::{plan, run_parts, verify};
use super::{Done, Outcome, access};
use crate::capture::replication::scripts::Work;
use crate::config::{Backend, Config};

/// How long the daemon is waited for while it makes no progress.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Capture by hooks (triggers) or by a replication slot (logical) from now on
    ///
    /// While Odoo writes: each table changes over in one short transaction under an exclusive lock, so that every transaction
    /// of Odoo belongs to one of the two, and none to both or neither. Safe to run again where it stopped half way.
    /// Back to triggers, the daemon must run: it reads the slot up to where the hooks begin. Exit code 3 if it does not.
    Switch {
        /// What captures from now on
        to: Backend,
    },
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let client = access::endpoint(config, "capture")?.connect().await?;
    crate::db::migrate::check_version(&client).await?;
    let mut client = plan(client).await?;
    let Action::Switch { to } = args.action;
    match to {
        Backend::Triggers => {
            run_parts(&mut client, Work::Return, "has its hook; the slot ends here").await?;
            if !finish(&mut client).await? {
                return Ok(Done::NeedsAttention);
            }
        }
        Backend::Logical => {
            let level: String = client.query_one("show wal_level", &[]).await?.get(0);
            if level != "logical" {
                return Err(format!(
                    "wal_level is {level}: set wal_level = logical in postgresql.conf and restart the server, then run this again"
                )
                .into());
            }
            // A change back that stopped half way comes to its end first: its borders are needed until then.
            if draining(&client).await? && !finish(&mut client).await? {
                return Ok(Done::NeedsAttention);
            }
            run_parts(&mut client, Work::Begin, "set up").await?;
        }
    }
    if config.capture.backend != to {
        println!("Set `backend = \"{to}\"` under [capture] in the daemon file, so that it says what stands.");
    }
    verify(&client, false).await
}

async fn draining(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let query = "select exists (select from sicantik_notify.capture_slot where draining)";
    Ok(client.query_one(query, &[]).await?.get(0))
}

/// Waits until the slot was read up to the borders, then removes it. False: nobody reads it.
async fn finish(client: &mut Client) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let query = "select max(t.until_lsn) > c.position, c.position::text, max(t.until_lsn)::text, sicantik_notify.slot_refusal() \
                 from sicantik_notify.capture_slot c cross join sicantik_notify.capture_slot_table t group by c.position";
    let (mut moved, mut last) = (Instant::now(), String::new());
    while let Some(row) = client.query_opt(query, &[]).await? {
        let (position, until): (String, String) = (row.get(1), row.get(2));
        if !row.get::<_, bool>(0) {
            break;
        }
        if let Some(refusal) = row.get::<_, Option<String>>(3) {
            eprintln!("{refusal}. What was not read becomes a problem in v_problem.");
            break;
        }
        if position != last {
            (moved, last) = (Instant::now(), position);
        } else if moved.elapsed() > PATIENCE {
            eprintln!(
                "The hooks capture already, but the slot stands at {last} and must be read up to {until}: start the daemon, then run \
                 this again."
            );
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run_parts(client, Work::Remove, "removed").await?;
    Ok(true)
}
