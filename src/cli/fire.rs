//! `fire`: asks a trigger to look at records (SICANTIK guide §3.4).

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

use super::template::{Values, context};
use super::words::many;
use super::{Done, Outcome, access, table};
use crate::capture::fire::Fired;
use crate::config::Config;
use crate::db::statements as sql;
use crate::fire::order::{self, Order, Origin, Which};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Decisions that are shown.
const SHOWN: i64 = 50;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["ids", "domain"])))]
pub(super) struct Args {
    /// Code of the trigger: of type manual, api, or cron out of its turn
    code: String,
    /// Its model, to be sure of it
    #[arg(long)]
    model: Option<String>,
    /// Ids of the records, with commas
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    ids: Vec<i64>,
    /// The records that meet a domain, such as "[('status', '=', 'active')]"
    #[arg(long, allow_hyphen_values = true)]
    domain: Option<String>,
    /// What the rules' code finds in kwargs, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = context)]
    kwargs: Option<Values>,
    /// Wait until it is decided who is told, at most so long
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", require_equals = true)]
    wait: Option<u64>,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::connect(config, "fire").await?;
    client
        .batch_execute("set timezone = 'UTC'; set jit = off")
        .await?;
    let which = match &args.domain {
        Some(domain) => Which::Domain(domain),
        None => Which::Ids(&args.ids),
    };
    let kwargs = args.kwargs.clone().unwrap_or_default().0;
    let order = Order {
        code: &args.code,
        model: args.model.as_deref(),
        which,
        kwargs: &kwargs,
        origin: Origin::Cli,
    };
    let tx = client.transaction().await?;
    let fired = order::fire(&tx, order).await?;
    tx.commit().await?;
    if !args.json {
        println!(
            "Fired {} for {} (run {}).",
            args.code,
            many(fired.events, "record"),
            fired.xact
        );
    }
    let over = match args.wait {
        Some(seconds) => wait(&client, &fired, Duration::from_secs(seconds)).await?,
        None => false,
    };
    if args.json {
        println!(
            "{}",
            report(&client, &args.code, &fired, args.wait.map(|_| over)).await?
        );
    } else if args.wait.is_some() {
        print(&client, &fired).await?;
        if !over {
            println!("The run is not over yet{}.", daemon(&client).await?);
        }
    }
    Ok(match args.wait.is_some() && !over {
        true => Done::NeedsAttention,
        false => Done::Well,
    })
}

/// Whether the run was over in time.
async fn wait(client: &Client, fired: &Fired, patience: Duration) -> Result<bool, tokio_postgres::Error> {
    let Some((first, last)) = fired.range else {
        return Ok(true);
    };
    let started = Instant::now();
    loop {
        let waits: bool = client
            .query_one(sql::FIRE_WAITS.sql, &[&first.0, &last.0, &fired.xact])
            .await?
            .get(0);
        if !waits {
            return Ok(true);
        }
        if started.elapsed() >= patience {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn daemon(client: &Client) -> Result<&'static str, tokio_postgres::Error> {
    let alive = "select exists (select from sicantik_notify.instance i \
                 where i.heartbeat_at > sicantik_notify.clock() - interval '10 seconds')";
    Ok(match client.query_one(alive, &[]).await?.get(0) {
        true => "",
        false => ": no daemon is running (systemctl start sicantik-notifyd)",
    })
}

struct Decided {
    outcome: String,
    rule: Option<String>,
    record: i64,
    partner: Option<i64>,
    name: Option<String>,
    message: Option<i64>,
    state: Option<String>,
    reason: String,
}

async fn decided(client: &Client, fired: &Fired) -> Result<Vec<Decided>, tokio_postgres::Error> {
    let Some((first, last)) = fired.range else {
        return Ok(Vec::new());
    };
    let asked: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&first.0, &last.0, &fired.xact, &SHOWN];
    let rows = client.query(sql::FIRE_DECISIONS.sql, asked).await?;
    let read = |row: &tokio_postgres::Row| Decided {
        outcome: row.get("outcome"),
        rule: row.get("rule_code"),
        record: row.get("record_id"),
        partner: row.get("partner_id"),
        name: row.get("partner_name"),
        message: row.get("message_id"),
        state: row.get("state"),
        reason: row.get("reason"),
    };
    Ok(rows.iter().map(read).collect())
}

async fn counts(client: &Client, fired: &Fired) -> Result<Vec<(String, String, i64)>, tokio_postgres::Error> {
    let Some((first, last)) = fired.range else {
        return Ok(Vec::new());
    };
    let asked: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&first.0, &last.0, &fired.xact];
    let rows = client.query(sql::FIRE_COUNTS.sql, asked).await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect())
}

async fn print(client: &Client, fired: &Fired) -> Result<(), tokio_postgres::Error> {
    for (rule, outcome, times) in counts(client, fired).await? {
        let by = if rule.is_empty() { "(trigger)" } else { &rule };
        println!("  {by}: {outcome} {times}");
    }
    let rows: Vec<Vec<String>> = decided(client, fired)
        .await?
        .into_iter()
        .map(|d| {
            let whom = d.name.or(d.partner.map(|p| format!("partner {p}")));
            let message = d
                .message
                .map(|m| format!("message {m}, {}", d.state.unwrap_or_default()));
            vec![
                d.record.to_string(),
                d.rule.unwrap_or_default(),
                d.outcome,
                whom.unwrap_or_default(),
                message.unwrap_or(d.reason),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table::print(
            &["record", "rule", "outcome", "whom", "message, or why not"],
            &rows,
        );
    }
    Ok(())
}

async fn report(
    client: &Client,
    code: &str,
    fired: &Fired,
    over: Option<bool>,
) -> Result<Value, tokio_postgres::Error> {
    let mut told = Map::new();
    told.insert("trigger".into(), code.into());
    told.insert("run".into(), fired.xact.clone().into());
    told.insert("events".into(), fired.events.into());
    if let Some(over) = over {
        let at: DateTime<Utc> = client
            .query_one("select sicantik_notify.clock()", &[])
            .await?
            .get(0);
        let counts = counts(client, fired).await?.into_iter();
        let counts =
            counts.map(|(rule, outcome, times)| json!({"rule": rule, "outcome": outcome, "count": times}));
        let decided = decided(client, fired).await?.into_iter().map(|d| {
            json!({"outcome": d.outcome, "rule": d.rule, "record": d.record, "partner": d.partner, "name": d.name,
                   "message": d.message, "state": d.state, "reason": d.reason})
        });
        told.insert("over".into(), over.into());
        told.insert("at".into(), at.to_rfc3339().into());
        told.insert("counts".into(), counts.collect());
        told.insert("decisions".into(), decided.collect());
    }
    Ok(Value::Object(told))
}
