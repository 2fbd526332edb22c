//! `blacklist list | add | remove`: daftar hitam, the numbers that get nothing.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;

use super::moment::{shown_or, zone};
use super::{Done, Outcome, access, table};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the numbers of our own list
    ///
    /// Those of Odoo's phone_blacklist get nothing either; they are kept in Odoo.
    List {
        /// Those that were taken off as well
        #[arg(long)]
        all: bool,
        /// Print one JSON object a line, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Send nothing more to a number, in whatever notation it is given
    Add {
        /// The number
        #[arg(allow_hyphen_values = true)]
        number: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let messages go to a number again
    Remove {
        /// The number
        #[arg(allow_hyphen_values = true)]
        number: String,
    },
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    match args.action {
        Action::List { all, json } => list(config, all, json).await,
        Action::Add { number, reason } => {
            let client = access::act(config, "blacklist").await?;
            let added = "select sicantik_notify.blacklist_add($1, $2)";
            let row = client.query_one(added, &[&number, &reason]).await?;
            println!("{} gets nothing any more.", row.get::<_, &str>(0));
            Ok(Done::Well)
        }
        Action::Remove { number } => {
            let client = access::act(config, "blacklist").await?;
            let removed = "select sicantik_notify.blacklist_remove($1)";
            let row = client.query_one(removed, &[&number]).await?;
            println!("{} may get messages again.", row.get::<_, &str>(0));
            Ok(Done::Well)
        }
    }
}

async fn list(config: &Config, all: bool, json: bool) -> Outcome {
    let client = access::look(config, "blacklist").await?;
    let query = "select phone, active, reason, source, blocked_count, last_blocked_date \
                 from sicantik_notify.v_blacklist where active or $1 order by changed_at desc";
    let rows = client.query(query, &[&all]).await?;
    if json {
        for r in &rows {
            let row = json!({"phone": r.get::<_, &str>(0), "active": r.get::<_, bool>(1), "reason": r.get::<_, Option<&str>>(2),
                             "source": r.get::<_, &str>(3), "blocked_count": r.get::<_, i64>(4),
                             "last_blocked_date": r.get::<_, Option<DateTime<Utc>>>(5)});
            println!("{row}");
        }
        return Ok(Done::Well);
    }
    let zone = zone(&client).await?;
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                r.get(0),
                if r.get(1) { "yes" } else { "no" }.to_owned(),
                text(r.get(2)),
                r.get(3),
                r.get::<_, i64>(4).to_string(),
                shown_or(r.get(5), zone, "never"),
            ]
        })
        .collect();
    table::print(
        &["phone", "active", "reason", "source", "blocked", "last blocked"],
        &cells,
    );
    Ok(Done::Well)
}
