//! `status`

use serde_json::json;

use super::{Done, Outcome, access};
use crate::config::Config;
use crate::db::statements as sql;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let client = access::connect(config, "status").await?;
    let row = client.query_one(sql::STATUS.sql, &[]).await?;
    let numbers: Vec<(&str, i64)> = [
        "events_waiting",
        "due",
        "waiting",
        "processing",
        "held",
        "sent_24h",
        "failed_24h",
        "misses_ever",
    ]
    .into_iter()
    .map(|name| (name, row.get::<_, i64>(name)))
    .collect();
    let oldest: Option<f64> = row.get("oldest_event_seconds");
    let instances = client
        .query(
            "select name, pid, version, delivering, note, alive, leads from sicantik_notify.v_instance order by id",
            &[],
        )
        .await?;
    let problems = client
        .query(
            "select severity, about, summary, remedy from sicantik_notify.v_problem",
            &[],
        )
        .await?;
    if args.json {
        let instances: Vec<_> = instances
            .iter()
            .map(|r| {
                json!({"name": r.get::<_, &str>(0), "pid": r.get::<_, i32>(1), "version": r.get::<_, &str>(2),
                       "delivering": r.get::<_, bool>(3), "note": r.get::<_, Option<&str>>(4), "alive": r.get::<_, bool>(5),
                       "leads": r.get::<_, bool>(6)})
            })
            .collect();
        let problems: Vec<_> = problems
            .iter()
            .map(|r| {
                json!({"severity": r.get::<_, &str>(0), "about": r.get::<_, Option<&str>>(1),
                       "summary": r.get::<_, &str>(2), "remedy": r.get::<_, &str>(3)})
            })
            .collect();
        let mut all: serde_json::Map<_, _> =
            numbers.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        all.insert("oldest_event_seconds".into(), json!(oldest));
        all.insert("instances".into(), json!(instances));
        all.insert("problems".into(), json!(problems));
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        for (name, value) in &numbers {
            println!("{:<22}{value:>10}", name.replace('_', " "));
        }
        if let Some(seconds) = oldest {
            println!("{:<22}{seconds:>10.1} s", "oldest event");
        }
        for r in &instances {
            let (name, pid, alive): (&str, i32, bool) = (r.get(0), r.get(1), r.get(5));
            let note = r
                .get::<_, Option<&str>>(4)
                .map(|n| format!(": {n}"))
                .unwrap_or_default();
            println!(
                "instance {name}/{pid} {}{}{note}",
                if alive { "alive" } else { "silent" },
                if r.get(6) { ", runs the schedules" } else { "" }
            );
        }
        if instances.is_empty() {
            println!("no daemon is running; start it with `systemctl start sicantik-notifyd`");
        }
        for r in &problems {
            let (severity, about): (&str, Option<&str>) = (r.get(0), r.get(1));
            println!(
                "{severity}: {}: {}\n    remedy: {}",
                about.unwrap_or(""),
                r.get::<_, &str>(2),
                r.get::<_, &str>(3)
            );
        }
    }
    Ok(if problems.is_empty() {
        Done::Well
    } else {
        Done::NeedsAttention
    })
}
