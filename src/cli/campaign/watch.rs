//! `campaign watch`: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::moment::zone;
use super::{Client, Done, One, Outcome, Tz, find, many, shown, told};

/// How often the campaign is looked at.
const LOOK: Duration = Duration::from_millis(1000);

pub(super) async fn execute(client: &Client, one: &One) -> Outcome {
    let bar = (!one.json && std::io::stderr().is_terminal()).then(bar);
    let mut before = Value::Null;
    let zone = zone(client).await?;
    loop {
        let (id, row) = find(client, &one.campaign).await?;
        let changed = [
            "state",
            "waiting_for",
            "targets",
            "pending",
            "sent",
            "failed",
            "skipped",
            "cancelled",
        ]
        .iter()
        .any(|column| before[*column] != row[*column]);
        match &bar {
            Some(bar) => draw(bar, &row, zone),
            None if changed && one.json => println!("{row}"),
            None if changed && row["state"] != "draft" => println!("{}", line(&row, zone)),
            None => {}
        }
        let state = row["state"].as_str().unwrap_or_default();
        let done = match state {
            "completed" => Some(Done::Well),
            "cancelled" | "draft" | "paused" => Some(Done::NeedsAttention),
            // Its rule was switched off: nothing goes on before a person acts.
            _ if row["waiting_for"]
                .as_str()
                .is_some_and(|w| w.contains("inactive")) =>
            {
                Some(Done::NeedsAttention)
            }
            _ => None,
        };
        if let Some(done) = done {
            if let Some(bar) = bar {
                bar.abandon();
            }
            if !one.json {
                let waits = row["waiting_for"].as_str().map(|w| format!("it waits for {w}"));
                let why = row["last_error"].as_str().map(str::to_owned).or(waits);
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                println!(
                    "Campaign {id} is {}{why}.",
                    if state == "draft" { "a draft" } else { state }
                );
            }
            return Ok(done);
        }
        before = row;
        tokio::time::sleep(LOOK).await;
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{prefix} [{bar:40}] {percent:>3}% {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Units that are over, and all of them: targets without a message, and messages.
fn units(row: &Value) -> (u64, u64) {
    let n = |column: &str| row[column].as_u64().unwrap_or(0);
    let done = n("sent") + n("failed") + n("skipped") + n("cancelled");
    (done, done + n("pending"))
}

fn draw(bar: &ProgressBar, row: &Value, zone: Tz) {
    let (done, all) = units(row);
    bar.set_length(all.max(1));
    bar.set_position(done);
    bar.set_prefix(shown(&row["name"]));
    bar.set_message(tail(row, zone));
}

fn tail(row: &Value, zone: Tz) -> String {
    let mut text = format!(
        "{}: sent {}, failed {}, skipped {}, pending {}",
        shown(&row["state"]),
        row["sent"],
        row["failed"],
        row["skipped"],
        row["pending"]
    );
    if let Some(rate) = row["per_hour"].as_f64().filter(|rate| *rate > 0.0) {
        text.push_str(&format!(", {rate:.0} an hour"));
    }
    if !row["expected_end"].is_null() {
        let end = told(&row["expected_end"], "expected_end", zone);
        text.push_str(&format!(", at the earliest until {end}"));
    }
    if let Some(waits) = row["waiting_for"].as_str() {
        text.push_str(&format!("; waits for {waits}"));
    }
    text
}

fn line(row: &Value, zone: Tz) -> String {
    format!(
        "{:>5}% of {}, {}",
        shown(&row["percent"]),
        many(row["targets"].as_i64().unwrap_or(0), "target"),
        tail(row, zone)
    )
}
