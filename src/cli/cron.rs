//! `cron`: the jobs of the SICANTIK guide §7.4 and cron triggers.

use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Map, Value, json};
use tokio_postgres::{Client, Row};

use super::moment::{shown, shown_or, zone};
use super::words::many;
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::db::statements as sql;
use crate::schedule::timing::Timing;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List jobs and cron triggers: how often, when last, when next, what is wrong
    List {
        /// Print one JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Run a job or cron trigger now, and wait for its end
    ///
    /// The daemon that leads runs it; the schedule goes on as it was. Exit code 0 done, 1 failed, 3 it has not ended.
    Run {
        /// Code or name
        name: String,
        /// Seconds to wait for its end
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        wait: u64,
        /// Print one JSON object, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Let a job or cron trigger run by itself
    Enable {
        /// Code or name
        name: String,
    },
    /// Keep a job or cron trigger from running by itself; with process_queue no message is sent any more
    Disable {
        /// Code or name
        name: String,
    },
    /// Change when a job or cron trigger runs
    ///
    /// An interval, such as `5 minutes`, counts from now (that of a trigger from its anchor_at); a trigger takes a cron
    /// expression of five fields as well, such as `'0 8 * * 1-5'`.
    Retime {
        /// Code or name
        name: String,
        /// Interval or expression
        #[arg(required = true, num_args = 1..)]
        when: Vec<String>,
    },
    /// Show past runs, the newest first
    Log {
        /// Code or name; all without
        name: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// Only failed ones
        #[arg(long)]
        failed: bool,
        /// Print one JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let client = access::connect(config, "cron").await?;
    match args.action {
        Action::List { json } => list(&client, json).await,
        Action::Run { name, wait, json } => run(&client, &name, Duration::from_secs(wait), json).await,
        Action::Enable { name } => say(&client, "select sicantik_notify.cron_enable($1)", &name).await,
        Action::Disable { name } => say(&client, "select sicantik_notify.cron_disable($1)", &name).await,
        Action::Retime { name, when } => retime(&client, &name, &when).await,
        Action::Log {
            name,
            limit,
            failed,
            json,
        } => log(&client, name.as_deref(), limit, failed, json).await,
    }
}

fn whole(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(|row| row.get("whole")).collect()
}

async fn list(client: &Client, json: bool) -> Outcome {
    let rows = client.query(sql::CRON_LIST.sql, &[]).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&whole(&rows))?);
        return Ok(Done::Well);
    }
    let zone = zone(client).await?;
    let cell = |row: &Row, column: &str| row.get::<_, String>(column);
    let next = |row: &Row| match row.get("active") {
        true => shown_or(row.get("next_run"), zone, "not planned"),
        false => "inactive".to_owned(),
    };
    let last = |row: &Row| {
        let now: Option<String> = row.get("now");
        now.unwrap_or_else(|| shown_or(row.get("last_run"), zone, "never"))
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let active = if row.get("active") { "yes" } else { "no" };
            vec![
                cell(row, "code"),
                cell(row, "name"),
                active.into(),
                cell(row, "schedule"),
                cell(row, "priority"),
                last(row),
                next(row),
                cell(row, "last_error"),
            ]
        })
        .collect();
    table::print(
        &[
            "code",
            "name",
            "active",
            "schedule",
            "priority",
            "last run",
            "next run",
            "last error",
        ],
        &cells,
    );
    let leader = client
        .query_opt(
            "select name || '/' || pid from sicantik_notify.v_instance where leads",
            &[],
        )
        .await?;
    match leader {
        Some(row) => println!("\n{} runs them.", row.get::<_, String>(0)),
        None => println!(
            "\nNo daemon runs them now; start one with `systemctl start sicantik-notifyd`, or see `sicantik-notifyd status`."
        ),
    }
    Ok(Done::Well)
}

async fn say(client: &Client, statement: &str, name: &str) -> Outcome {
    let text: String = client.query_one(statement, &[&name]).await?.get(0);
    println!("{text}.");
    Ok(Done::Well)
}

async fn run(client: &Client, name: &str, wait: Duration, json: bool) -> Outcome {
    let before: i64 = client
        .query_one("select coalesce(max(id), 0) from sicantik_notify.v_cron_run", &[])
        .await?
        .get(0);
    let text: String = client
        .query_one("select sicantik_notify.cron_run_now($1)", &[&name])
        .await?
        .get(0);
    if !json {
        println!("{text}.");
    }
    let begun = Instant::now();
    loop {
        let rows = client
            .query(sql::CRON_LOG.sql, &[&Some(name), &1000_i64, &false, &before])
            .await?;
        // One of the schedule may come in between.
        if let Some(row) = rows.iter().find(|r| r.get::<_, &str>("asked_by") != "schedule") {
            let failed = row.get::<_, &str>("outcome") == "failed";
            let detail: &str = row.get("detail");
            if json {
                println!("{}", serde_json::to_string_pretty(&row.get::<_, Value>("whole"))?);
            } else if !failed {
                let (records, took): (i64, i64) = (row.get("records"), row.get("duration_ms"));
                let detail = if detail.is_empty() {
                    String::new()
                } else {
                    format!("; {detail}")
                };
                println!("Done in {took} ms: {}{detail}.", many(records, "record"));
            }
            return match failed {
                true => Err(format!("the run failed: {detail}").into()),
                false => Ok(Done::Well),
            };
        }
        if begun.elapsed() >= wait {
            if json {
                println!("{}", json!({"outcome": null}));
            } else {
                println!(
                    "It has not ended yet; see `sicantik-notifyd cron log`, and `status` whether a daemon runs."
                );
            }
            return Ok(Done::NeedsAttention);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn retime(client: &Client, name: &str, when: &[String]) -> Outcome {
    let written = when.join(" ");
    let words: Vec<&str> = written.split_whitespace().collect();
    let text: String = match words[..] {
        [number, unit] => {
            let number: i32 = number
                .parse()
                .map_err(|_| format!("{number:?} is no number; write an interval such as `5 minutes`"))?;
            client
                .query_one(
                    "select sicantik_notify.cron_retime($1, $2::integer, $3::text)",
                    &[&name, &number, &unit],
                )
                .await?
                .get(0)
        }
        _ => {
            let mut row = Map::new();
            row.insert("cron_expression".into(), written.clone().into());
            let timing = Timing::read(&row).map_err(|problem| problem.to_string())?;
            timing
                .next(chrono::Utc::now())
                .map_err(|problem| problem.to_string())?;
            client
                .query_one(
                    "select sicantik_notify.cron_retime($1, $2::text)",
                    &[&name, &written],
                )
                .await?
                .get(0)
        }
    };
    println!("{text}.");
    Ok(Done::Well)
}

async fn log(client: &Client, name: Option<&str>, limit: u32, failed: bool, json: bool) -> Outcome {
    if let Some(name) = name {
        known(client, name).await?;
    }
    let rows = client
        .query(sql::CRON_LOG.sql, &[&name, &i64::from(limit), &failed, &0_i64])
        .await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&whole(&rows))?);
        return Ok(Done::Well);
    }
    let zone = zone(client).await?;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                shown(row.get("started_at"), zone),
                row.get("code"),
                row.get("outcome"),
                row.get::<_, i64>("duration_ms").to_string(),
                row.get("asked_by"),
                row.get::<_, i64>("records").to_string(),
                row.get("detail"),
            ]
        })
        .collect();
    table::print(
        &[
            "started",
            "code",
            "outcome",
            "ms",
            "asked by",
            "records",
            "what it did",
        ],
        &cells,
    );
    Ok(Done::Well)
}

/// An error that names what there is, unless there is something of that name now, or runs of it.
async fn known(client: &Client, name: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let found = "select exists (select from sicantik_notify.v_cron_run r where r.code = $1 or lower(r.name) = lower($1))";
    if client.query_one(found, &[&name]).await?.get(0) {
        return Ok(());
    }
    let rows = client.query(sql::CRON_LIST.sql, &[]).await?;
    let is = |row: &Row| {
        row.get::<_, &str>("code") == name
            || row.get::<_, String>("name").to_lowercase() == name.to_lowercase()
    };
    if rows.iter().any(is) {
        return Ok(());
    }
    let codes: Vec<&str> = rows.iter().map(|row| row.get("code")).collect();
    Err(format!(
        "there is no job and no cron trigger {name}; there are: {}",
        codes.join(", ")
    )
    .into())
}
