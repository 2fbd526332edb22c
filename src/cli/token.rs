//! `token create | list | revoke`: who may fire triggers over HTTP.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::moment::{Moment, moment, shown_or, zone};
use super::{Done, Outcome, access, table};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token, and show it this once
    ///
    /// It is kept nowhere: what the database has of it is its SHA-256. Give it to the programme as `Authorization: Bearer …`.
    #[command(group(clap::ArgGroup::new("scope").required(true).args(["trigger", "all_triggers"])))]
    Create {
        /// Name for people: explain says of a firing which token it was
        name: String,
        /// Code of a trigger of type api that it may fire; may be given several times
        #[arg(long, value_name = "CODE")]
        trigger: Vec<String>,
        /// It may fire every trigger of type api, those of later too
        #[arg(long)]
        all_triggers: bool,
        /// It may choose records by a domain, and not only by ids
        #[arg(long)]
        may_use_domain: bool,
        /// Until when it is valid, such as 2027-12-31 (the office's time, or with an offset) [default: for ever]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        expires: Option<Moment>,
    },
    /// List the tokens
    List {
        /// Print one JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Refuse a token from now on
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let client = access::act(config, "token").await?;
    match args.action {
        Action::Create {
            name,
            trigger,
            all_triggers,
            may_use_domain,
            expires,
        } => {
            let triggers = (!all_triggers).then_some(trigger);
            let zone = zone(&client).await?;
            let expires = expires.map(|at| at.of(zone));
            let made = "select sicantik_notify.api_token_create($1, $2, $3, $4)";
            let token: String = client
                .query_one(made, &[&name, &triggers, &expires, &may_use_domain])
                .await?
                .get(0);
            eprintln!("The token {name}, shown this once:");
            println!("{token}");
        }
        Action::List { json } => list(&client, json).await?,
        Action::Revoke { name } => {
            let done: String = client
                .query_one("select sicantik_notify.api_token_revoke($1)", &[&name])
                .await?
                .get(0);
            println!("{done}");
        }
    }
    Ok(Done::Well)
}

async fn list(client: &Client, as_json: bool) -> Result<(), tokio_postgres::Error> {
    let rows = client
        .query(
            "select name, state, triggers, may_use_domain, created_at, created_by, expires_at, last_used_at \
             from sicantik_notify.v_api_token order by name",
            &[],
        )
        .await?;
    let time = |row: &tokio_postgres::Row, column: &str| row.get::<_, Option<DateTime<Utc>>>(column);
    if as_json {
        let tokens: Vec<Value> = rows
            .iter()
            .map(|r| {
                json!({"name": r.get::<_, &str>("name"), "state": r.get::<_, &str>("state"),
                       "triggers": r.get::<_, &str>("triggers"), "may_use_domain": r.get::<_, bool>("may_use_domain"),
                       "created_at": time(r, "created_at"), "created_by": r.get::<_, &str>("created_by"),
                       "expires_at": time(r, "expires_at"), "last_used_at": time(r, "last_used_at")})
            })
            .collect();
        println!("{}", Value::Array(tokens));
        return Ok(());
    }
    if rows.is_empty() {
        println!("There is no token; `sicantik-notifyd token create` makes one.");
        return Ok(());
    }
    let zone = zone(client).await?;
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let may = if r.get("may_use_domain") {
                "ids, domain"
            } else {
                "ids"
            };
            vec![
                r.get("name"),
                r.get("state"),
                r.get("triggers"),
                may.to_owned(),
                shown_or(time(r, "expires_at"), zone, "never"),
                shown_or(time(r, "last_used_at"), zone, "never"),
            ]
        })
        .collect();
    table::print(
        &["name", "state", "triggers", "by", "expires", "last used"],
        &lines,
    );
    Ok(())
}
