//! `backfill`: tells people of changes that were missed while hooks were absent.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::IsTerminal;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::moment::{Since, shown as at_the_office, since, zone};
use super::simulate::{Progress, QUIET, Told, shown};
use super::words::many;
use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::fire::backfill::{Backfill, Gap, Wish, gaps, still_missing};
use crate::fire::records::Choice;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("records").args(["ids", "domain"])),
          group(clap::ArgGroup::new("one_model").multiple(true).args(["trigger", "rule", "model"])))]
pub(super) struct Args {
    /// Only this trigger
    #[arg(long, value_name = "CODE")]
    trigger: Option<String>,
    /// Only this rule
    #[arg(long, value_name = "CODE")]
    rule: Option<String>,
    /// Only triggers of this model
    #[arg(long)]
    model: Option<String>,
    /// Records that were written since then, such as 2026-12-22 18:30:00 (the office's time) or 12h [default: since the alarms in v_problem]
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Of these records only: ids, with commas
    #[arg(long, value_delimiter = ',', value_name = "IDS", requires = "one_model")]
    ids: Vec<i64>,
    /// Of these records only: those that meet a domain
    #[arg(long, allow_hyphen_values = true, requires = "one_model")]
    domain: Option<String>,
    /// Also records that a rule told of before that time, as if they had come to their state anew
    #[arg(long)]
    again: bool,
    /// How many messages are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    limit: u16,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object, for scripts; asks nothing
    #[arg(long)]
    json: bool,
}

type Failed = Box<dyn Error + Send + Sync>;

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::pooled(config, "backfill").await?;
    client.batch_execute(QUIET).await?;

    let tx = client.build_transaction().read_only(true).start().await?;
    let now: DateTime<Utc> = tx.query_one("select sicantik_notify.clock()", &[]).await?.get(0);
    let alarms = match args.since.is_none() && args.ids.is_empty() && args.domain.is_none() {
        true => gaps(&tx).await?,
        false => Vec::new(),
    };
    let missing = still_missing(&tx).await?;
    for (finding, remedy) in &missing {
        eprintln!("Changes go on being missed: {finding}. First: {remedy}");
    }
    let zone = zone(tx.client()).await?;
    let wish = wish(&args, now, zone, &alarms)?;
    let mut plan = Backfill::plan(&tx, &wish).await?;
    plan.python(config.python.limits());
    let mut progress = Progress::new("looked at");
    let report = plan
        .rehearse(&tx, args.limit.into(), |n| progress.show(n))
        .await?;
    progress.end();
    tx.rollback().await?;

    let shown = shown(&client, &report.examples).await?;
    let told = Told {
        what: "record",
        report: &report,
        shown: &shown,
        inactive: &[],
    };
    if !args.json {
        preface(&wish, &alarms, &plan, zone);
        told.print();
    }
    let go = report.looked_at > 0 && (args.yes || (!args.json && agreed(report.total())?));
    let mut events = 0;
    let mut settled = Vec::new();
    // An alarm that there is nothing to tell of is settled too, once somebody has said yes.
    if go || (args.yes && report.looked_at == 0) {
        let tx = client.transaction().await?;
        events = plan.fire(&tx).await?;
        if whole(&args) && plan.waiting() == 0 && plan.unusable.is_empty() && missing.is_empty() {
            for alarm in &alarms {
                tx.execute("select sicantik_notify.capture_acknowledge($1)", &[&alarm.about])
                    .await?;
                settled.push(alarm.about.clone());
            }
        }
        tx.commit().await?;
    }
    if args.json {
        println!("{}", as_json(&plan, &told, &wish, events, &settled));
    } else {
        conclude(events, go, report.looked_at, &settled);
        if plan.waiting() > 0 {
            println!(
                "{} {} events that wait to be evaluated, perhaps of this very change: run it again when the daemon \
                 has done so.",
                many(plan.waiting(), "record"),
                if plan.waiting() == 1 { "has" } else { "have" }
            );
        }
    }
    Ok(match report.looked_at > 0 && !go {
        true => Done::NeedsAttention,
        false => Done::Well,
    })
}

/// Everything that an alarm is about, so that it is settled.
fn whole(args: &Args) -> bool {
    args.trigger.is_none() && args.rule.is_none() && args.model.is_none()
}

fn wish(args: &Args, now: DateTime<Utc>, zone: Tz, alarms: &[Gap]) -> Result<Wish, Failed> {
    let choice = match &args.domain {
        Some(domain) => Choice::Domain(domain.clone()),
        None if args.ids.is_empty() => Choice::All,
        None => Choice::Ids(args.ids.clone()),
    };
    let mut models: BTreeSet<String> = args.model.iter().cloned().collect();
    let mut since = args.since.map(|s| s.before(now, zone));
    if since.is_none() && matches!(choice, Choice::All) {
        since = alarms.iter().map(|a| a.since).min();
        if since.is_none() {
            return Err(
                "v_problem has no alarm of missed changes: say since when they may have been missed (--since), or which \
                 records are meant (--ids or --domain with --trigger or --rule)"
                    .into(),
            );
        }
        // A gap of one table is no reason to look at others.
        if models.is_empty() && alarms.iter().all(|a| a.model.is_some()) {
            models = alarms.iter().filter_map(|a| a.model.clone()).collect();
        }
    }
    Ok(Wish {
        trigger: args.trigger.clone(),
        rule: args.rule.clone(),
        models,
        choice,
        since,
        again: args.again,
    })
}

fn preface(wish: &Wish, alarms: &[Gap], plan: &Backfill, zone: Tz) {
    for alarm in alarms {
        println!("{}: {}", alarm.about, alarm.summary);
    }
    if let Some(since) = wish.since {
        println!(
            "Records that were written since {}, as the host's write_date and create_date say:",
            at_the_office(since, zone)
        );
    }
    let rows: Vec<Vec<String>> = plan
        .parts
        .iter()
        .map(|part| {
            vec![
                part.trigger.code.clone(),
                part.rule.code.clone(),
                part.written.to_string(),
                part.decided.to_string(),
                part.waiting.to_string(),
                part.told_before.to_string(),
                part.left().to_string(),
            ]
        })
        .collect();
    for unusable in &plan.unusable {
        println!("Cannot be made up for until it is corrected: {unusable}");
    }
    if rows.is_empty() {
        println!("No active rule is under a trigger that watches changes there.");
        return;
    }
    table::print(
        &[
            "trigger",
            "rule",
            "records",
            "decided since",
            "told before",
            "left",
        ],
        &rows,
    );
    let doubts: BTreeSet<String> = plan
        .parts
        .iter()
        .filter(|p| p.left() > 0)
        .filter_map(|p| Some(format!("{}: {}", p.trigger.code, p.doubts()?)))
        .collect();
    println!("What cannot be known:");
    println!(
        "  why a record was written: it stands where the trigger leads, but it may have stood there before"
    );
    for doubt in doubts {
        println!("  {doubt}");
    }
    if let Some(at) = plan.remembers {
        println!(
            "  who was told before {}: older decisions are not kept",
            at_the_office(at, zone)
        );
    }
    println!("Now:");
}

fn agreed(messages: u64) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Tell them ({})? Type yes to go on: ", many(messages, "message"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn conclude(events: u64, go: bool, looked_at: u64, settled: &[String]) {
    match (go, looked_at) {
        (true, _) => println!(
            "{} {} written: the daemon evaluates {} like changes.",
            many(events, "event"),
            if events == 1 { "was" } else { "were" },
            if events == 1 { "it" } else { "them" }
        ),
        (false, 0) => println!("Nobody is left to be told."),
        (false, _) => println!("Nothing was written; give --yes to go on."),
    }
    for about in settled {
        println!("The alarm {about:?} is settled.");
    }
    if looked_at == 0 && settled.is_empty() {
        println!(
            "An alarm that stands is taken off with --yes, or: select sicantik_notify.capture_acknowledge()"
        );
    }
}

fn as_json(plan: &Backfill, told: &Told<'_>, wish: &Wish, events: u64, settled: &[String]) -> Value {
    let parts: Vec<Value> = plan
        .parts
        .iter()
        .map(|p| {
            json!({"trigger": p.trigger.code, "rule": p.rule.code, "records": p.written, "decided_since": p.decided, "waiting": p.waiting,
                   "told_before": p.told_before, "left": p.left(), "not_known": p.doubts()})
        })
        .collect();
    json!({"since": wish.since.map(|s| s.to_rfc3339()), "parts": parts, "unusable": plan.unusable, "would": told.json(), "events": events,
           "settled": settled})
}
