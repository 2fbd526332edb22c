//! `campaign`: campaigns from the command line (SICANTIK guide §5). What is said about a domain is said before anything is written.

mod dry_run;
mod watch;

use std::error::Error;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Subcommand;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::moment::{self, Moment, moment, zone};
use super::words::{many, noun};
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::db::statements as sql;
use crate::evaluate::configuration::Configuration;
use crate::evaluate::targets;
use crate::host::catalog::Model;
use crate::host::grants;
use crate::host::record::quote;
use crate::lang::domain::Compiled;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Which campaign.
#[derive(Debug, clap::Args)]
struct One {
    /// Its id or code
    campaign: String,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a campaign, as a draft
    Create(Create),
    /// List campaigns and how far they are
    List {
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Show one campaign: terms, progress, who was skipped and why
    Show(One),
    /// Start it, or, where its date is still to come, let it wait for that
    ///
    /// Compiles its domain and says how many records it means and when the last message goes at the earliest. The daemon
    /// then collects the targets and sends.
    Start(One),
    /// Let it start by itself
    Schedule {
        #[command(flatten)]
        one: One,
        /// When: 2026-12-22 08:00 in the office's time zone, or with an offset [default: its own date]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<Moment>,
    },
    /// Pause it: nothing more of it is sent, except what is under way
    Pause(One),
    /// Let it go on where it was paused
    Resume(One),
    /// End it; its waiting messages end as cancelled
    Cancel(One),
    /// Follow it until it ends
    ///
    /// A progress bar on a terminal, otherwise a line whenever something has changed. Exit code 0 if it was completed, 3 if
    /// it was cancelled or needs a person.
    Watch(One),
    /// Show what it would do, and write nothing
    ///
    /// How many records its domain means, the first messages, through which provider and in which price class of Meta they
    /// would go, who would be skipped and why, and when the last one goes at the earliest.
    DryRun(dry_run::Args),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Name for people
    name: String,
    /// Code of the rule whose conditions, recipients, template and limits hold
    #[arg(long, value_name = "CODE")]
    rule: String,
    /// Which records, such as "[('state', '=', 'approved')]"
    #[arg(long, default_value = "[]", allow_hyphen_values = true)]
    domain: String,
    /// Model of the records [default: that of the rule's trigger]
    #[arg(long)]
    model: Option<String>,
    /// Template key instead of the rule's
    #[arg(long, value_name = "KEY")]
    template: Option<String>,
    /// When it is to start: 2026-12-22 08:00 in the office's time zone, or with an offset
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
    /// Name for scripts
    #[arg(long)]
    code: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

type Failed = Box<dyn Error + Send + Sync>;
type Client = deadpool_postgres::Client;

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::pooled(config, "campaign").await?;
    match args.action {
        Action::Create(create) => self::create(&mut client, create).await,
        Action::List { json } => list(&client, json).await,
        Action::Show(one) => show(&client, &one).await,
        Action::Start(one) => start(&mut client, &one).await,
        Action::Schedule { one, at } => {
            let zone = zone(&client).await?;
            let at = at.map(|at| at.of(zone));
            act(&client, &one, "schedule", &[&at]).await
        }
        Action::Pause(one) => act(&client, &one, "pause", &[]).await,
        Action::Resume(one) => act(&client, &one, "resume", &[]).await,
        Action::Cancel(one) => act(&client, &one, "cancel", &[]).await,
        Action::Watch(one) => watch::execute(&client, &one).await,
        Action::DryRun(args) => dry_run::execute(config, client, &args).await,
    }
}

/// A row of `campaign_list`.
async fn find(client: &Client, campaign: &str) -> Result<(i64, Value), Failed> {
    let row = client.query_opt(sql::CAMPAIGN_LIST.sql, &[&campaign]).await?;
    let row = row.ok_or_else(|| format!("there is no campaign {campaign}; `campaign list` shows them"))?;
    Ok((row.get("id"), row.get("row")))
}

/// A domain that compiles, and that the daemon may read.
struct Meant {
    model: Arc<Model>,
    domain: Arc<Compiled>,
    records: i64,
}

/// Compiles a campaign's domain as the daemon will, counts, and says what is wrong or doubtful.
async fn meant(client: &mut Client, model: &str, domain: &str) -> Result<(Configuration, Meant), Failed> {
    let tx = client.build_transaction().read_only(true).start().await?;
    let configuration = Configuration::load(&tx).await?;
    let (model, domain) = targets::compile(&tx, &configuration, model, domain).await??;
    let missing = grants::missing(&*tx, &targets::tables(&model, &domain)).await?;
    if let Some(statement) = missing.first() {
        return Err(format!(
            "the domain reads what the daemon may not read: run `sicantik-notifyd hooks install` as a DBA, or: {statement}"
        )
        .into());
    }
    let params: Vec<&(dyn ToSql + Sync)> = domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    let count = format!(
        "select count(*) from public.{} as t where {}",
        quote(&model.table),
        domain.sql
    );
    let records: i64 = tx.query_one(&count, &params).await?.get(0);
    tx.commit().await?;
    for note in &domain.notes {
        eprintln!("note: {}", note.message);
    }
    Ok((
        configuration,
        Meant {
            model,
            domain,
            records,
        },
    ))
}

async fn create(client: &mut Client, args: Create) -> Outcome {
    let of_rule = "select t.model from sicantik_notify.rule r join sicantik_notify.trigger t on t.code = r.trigger where r.code = $1";
    let row = client.query_opt(of_rule, &[&args.rule]).await?;
    let row = row.ok_or_else(|| format!("there is no rule {}; v_rule lists them", args.rule))?;
    let model = args.model.clone().unwrap_or_else(|| row.get(0));
    let (configuration, meant) = meant(client, &model, &args.domain).await?;
    let zone = configuration.office.timezone;
    let at = args.at.map(|at| at.of(zone));
    let id: i64 = client
        .query_one(
            "select sicantik_notify.campaign_create($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &args.name,
                &args.rule,
                &args.domain,
                &model,
                &args.template,
                &at,
                &args.code,
                &args.description,
            ],
        )
        .await?
        .get(0);
    if args.json {
        println!("{}", json!({"id": id, "records": meant.records}));
    } else {
        println!(
            "Campaign {id} is a draft; its domain means {} now.",
            many(meant.records, "record")
        );
        println!("See what it would do with `campaign dry-run {id}`, start it with `campaign start {id}`.");
    }
    Ok(Done::Well)
}

async fn list(client: &Client, as_json: bool) -> Outcome {
    let rows = client.query(sql::CAMPAIGN_LIST.sql, &[&None::<&str>]).await?;
    let rows: Vec<Value> = rows.iter().map(|row| row.get("row")).collect();
    if as_json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(Done::Well);
    }
    if rows.is_empty() {
        println!("There is no campaign; make one with `campaign create`.");
        return Ok(Done::Well);
    }
    let columns = [
        "id", "name", "state", "rule", "targets", "sent", "failed", "skipped", "pending", "percent",
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|c| shown(&row[*c])).collect())
        .collect();
    table::print(&columns, &cells);
    Ok(Done::Well)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A column for people: moments in the office's zone.
fn told(value: &Value, column: &str, zone: Tz) -> String {
    let at = value
        .as_str()
        .filter(|_| column.ends_with("_at") || column.ends_with("_date") || column == "expected_end");
    match at.and_then(|at| DateTime::parse_from_rfc3339(at).ok()) {
        Some(at) => moment::shown(at.to_utc(), zone),
        None => shown(value),
    }
}

async fn show(client: &Client, one: &One) -> Outcome {
    let (_, row) = find(client, &one.campaign).await?;
    if one.json {
        println!("{}", serde_json::to_string_pretty(&row)?);
    } else {
        print(&row, zone(client).await?);
    }
    Ok(match row["last_error"].is_null() {
        true => Done::Well,
        false => Done::NeedsAttention,
    })
}

fn print(row: &Value, zone: Tz) {
    let fields = [
        ("campaign", "id"),
        ("code", "code"),
        ("name", "name"),
        ("state", "state"),
        ("waits for", "waiting_for"),
        ("rule", "rule"),
        ("model", "target_model"),
        ("domain", "target_domain"),
        ("template", "template_key"),
        ("made by", "created_by"),
        ("date", "scheduled_date"),
        ("started", "started_at"),
        ("finished", "finished_at"),
        ("targets", "targets"),
        ("released", "released"),
        ("messages", "messages"),
        ("sent", "sent"),
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("cancelled", "cancelled"),
        ("pending", "pending"),
        ("percent", "percent"),
        ("per hour", "per_hour"),
        ("expected end", "expected_end"),
        ("last error", "last_error"),
    ];
    for (name, column) in fields {
        if !row[column].is_null() {
            println!("  {name:<13} {}", told(&row[column], column, zone));
        }
    }
    for (reason, n) in row["skipped_why"].as_object().into_iter().flatten() {
        println!("  skipped       {n}: {reason} (sicantik_notify.v_campaign_skipped names each)");
    }
}

/// When the last of so many messages goes at the earliest, in words; `None` where nothing holds them up.
async fn duration(
    client: &tokio_postgres::Client,
    rule: &str,
    messages: i64,
) -> Result<Option<String>, Failed> {
    let row = client
        .query_one(
            "select extract(epoch from d)::double precision, sicantik_notify.clock() + d, \
                    case when r.rate_limit_enabled then r.rate_limit_count || ' per ' || r.rate_limit_period end, \
                    case when r.schedule_type = 'batch' then r.batch_size || ' every ' || r.batch_interval || ' minutes' end, \
                    r.send_window \
             from sicantik_notify.rule r, sicantik_notify.rule_duration(r.code, $2) d where r.code = $1",
            &[&rule, &messages],
        )
        .await?;
    let seconds: f64 = row.get(0);
    let words = |column: usize| row.get::<_, Option<String>>(column);
    let limits: Vec<String> = [words(2), words(3)].into_iter().flatten().collect();
    if seconds < 60.0 {
        return Ok(None);
    }
    let end: DateTime<Utc> = row.get(1);
    let hours = words(4).map_or_else(String::new, |window| {
        format!("; outside of {window} nothing goes, which adds to it")
    });
    Ok(Some(format!(
        "the rule sends {}: {} {} {} at least, until {}{hours}",
        limits.join(" and "),
        many(messages, "message"),
        if messages == 1 { "takes" } else { "take" },
        span(seconds),
        moment::shown(end, zone(client).await?)
    )))
}

fn span(seconds: f64) -> String {
    let (days, hours, minutes) = (seconds / 86_400.0, seconds / 3600.0, seconds / 60.0);
    match seconds {
        s if s >= 2.0 * 86_400.0 => format!("{} days", days.floor()),
        s if s >= 2.0 * 3600.0 => format!("{} hours", hours.floor()),
        _ => format!("{0} {1}", minutes.ceil(), noun(minutes.ceil() as i64, "minute")),
    }
}

async fn start(client: &mut Client, one: &One) -> Outcome {
    let (_, row) = find(client, &one.campaign).await?;
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    if matches!(row["state"].as_str(), Some("draft" | "scheduled")) {
        let (_, meant) = meant(client, &text("target_model"), &text("target_domain")).await?;
        if !one.json {
            println!("Its domain means {} now.", many(meant.records, "record"));
            if let Some(long) = duration(client, &text("rule"), meant.records).await? {
                println!("Mind: {long}.");
            }
        }
    }
    act(client, one, "start", &[]).await
}

/// Calls one of the functions, which know what a state allows.
async fn act(client: &Client, one: &One, action: &str, more: &[&(dyn ToSql + Sync)]) -> Outcome {
    let (id, _) = find(client, &one.campaign).await?;
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&id];
    params.extend(more);
    let places = if more.is_empty() { "$1" } else { "$1, $2" };
    let said: String = client
        .query_one(
            &format!("select sicantik_notify.campaign_{action}({places})"),
            &params,
        )
        .await?
        .get(0);
    if one.json {
        let (_, row) = find(client, &one.campaign).await?;
        println!("{}", serde_json::to_string_pretty(&row)?);
    } else {
        println!("{}.", capital(&said));
    }
    Ok(Done::Well)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_at_a_hundred_an_hour_is_416_days() {
        assert_eq!(span(9999.0 * 3600.0), "416 days");
        assert_eq!(span(90.0 * 60.0), "90 minutes");
        assert_eq!(span(3.5 * 3600.0), "3 hours");
    }
}
