//! `/metrics`: what this process counted, and what the database knows, for Prometheus. The database is asked at most once in
//! [`FRESH`]; where it is away, its numbers are left out and `sicantik_notify_database_up` is 0.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::db::Database;
use crate::db::statements as sql;
use crate::observe::metrics;

/// How old the database's numbers may be.
const FRESH: Duration = Duration::from_secs(5);
/// How long it may take to count.
const PATIENCE: Duration = Duration::from_secs(5);

/// What each of the database's numbers means.
const HELP: [(&str, &str, &str); 13] = [
    ("sicantik_notify_queue_messages", "gauge", "Messages in the queue"),
    (
        "sicantik_notify_queue_oldest_due_seconds",
        "gauge",
        "For how long the oldest due message has waited",
    ),
    (
        "sicantik_notify_events_waiting",
        "gauge",
        "Captured changes that wait for their evaluation",
    ),
    (
        "sicantik_notify_events_oldest_seconds",
        "gauge",
        "For how long the oldest of them has waited",
    ),
    (
        "sicantik_notify_events_set_aside",
        "gauge",
        "Changes whose evaluation failed",
    ),
    (
        "sicantik_notify_provider_paused",
        "gauge",
        "1: the provider's circuit is open",
    ),
    ("sicantik_notify_problems", "gauge", "Rows of v_problem"),
    ("sicantik_notify_instances", "gauge", "Daemons that are alive"),
    (
        "sicantik_notify_leader",
        "gauge",
        "1: the daemon of that name runs jobs, cron triggers and campaigns",
    ),
    (
        "sicantik_notify_campaigns",
        "gauge",
        "Campaigns that are not over, by state",
    ),
    (
        "sicantik_notify_campaign_targets_left",
        "gauge",
        "Targets of running and paused campaigns that wait, or whose messages do",
    ),
    (
        "sicantik_notify_capture_slot_lag_bytes",
        "gauge",
        "Backend logical: bytes of the server's log that the slot is behind",
    ),
    (
        "sicantik_notify_host_writes_missed_total",
        "counter",
        "Writes of the host that hooks could not capture",
    ),
];

/// The database's numbers, and when they were read.
#[derive(Default)]
pub struct Numbers {
    last: Mutex<Option<(Instant, String)>>,
}

impl Numbers {
    /// The whole page.
    pub async fn page(&self, database: &Database) -> String {
        let mut page = metrics::render();
        let mut last = self.last.lock().await;
        let fresh = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        let read = match fresh {
            Some((_, text)) => Some(text.clone()),
            None => tokio::time::timeout(PATIENCE, read(database))
                .await
                .ok()
                .flatten(),
        };
        let up = i32::from(read.is_some());
        let _ = writeln!(
            page,
            "# HELP sicantik_notify_database_up 1: the database answered"
        );
        let _ = writeln!(
            page,
            "# TYPE sicantik_notify_database_up gauge\nsicantik_notify_database_up {up}"
        );
        if let Some(text) = read {
            page.push_str(&text);
            if last.as_ref().is_none_or(|(at, _)| at.elapsed() >= FRESH) {
                *last = Some((Instant::now(), text));
            }
        }
        page
    }
}

async fn read(database: &Database) -> Option<String> {
    let client = database.get().await.ok()?;
    let rows = match client.query(sql::METRICS.sql, &[]).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(error = %crate::db::describe(&error), "The database's numbers could not be read.");
            return None;
        }
    };
    let mut text = String::new();
    for (name, kind, help) in HELP {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for row in rows.iter().filter(|r| r.get::<_, &str>(0) == name) {
            let _ = writeln!(text, "{name}{} {}", labels(&row.get(1)), row.get::<_, f64>(2));
        }
    }
    Some(text)
}

/// `{a="b",c="d"}`; none: nothing.
fn labels(labels: &Value) -> String {
    let Some(labels) = labels.as_object().filter(|l| !l.is_empty()) else {
        return String::new();
    };
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What alert rules and the dashboard ask for must be told, and each alert must lead to a section that exists.
    #[test]
    fn alerts_and_dashboard_ask_for_what_is_told() {
        let alerts = include_str!("../../packaging/prometheus/alerts.yml");
        let dashboard = include_str!("../../packaging/grafana/dashboard.json");
        let told: Vec<&str> = HELP
            .iter()
            .map(|h| h.0)
            .chain(metrics::NAMES)
            .chain(["sicantik_notify_database_up"])
            .collect();
        let mut asked = 0;
        for text in [alerts, dashboard] {
            for rest in text.split("sicantik_notify_").skip(1) {
                let end = rest
                    .find(|c: char| !c.is_ascii_lowercase() && c != '_')
                    .unwrap_or(rest.len());
                let name = format!("sicantik_notify_{}", rest[..end].trim_end_matches("_bucket"));
                assert!(told.contains(&name.as_str()), "{name} is not told");
                asked += 1;
            }
        }
        assert!(asked > 20, "{asked}");
        let runbook = include_str!("../../docs/operations.md").to_lowercase();
        for line in alerts
            .lines()
            .filter_map(|l| l.trim().strip_prefix("runbook: \"operations.md: "))
        {
            let section = line.trim_end_matches('"').to_lowercase();
            let words = section.split(", ").next().unwrap_or_default();
            let known = runbook.lines().any(|l| l.starts_with('#') && l.contains(words));
            assert!(known, "no section {section} in operations.md");
        }
        serde_json::from_str::<Value>(dashboard).expect("the dashboard is JSON");
    }

    /// Counters end with _total and nothing else does; times are seconds, sizes bytes.
    #[test]
    fn names_are_as_prometheus_wants_them() {
        for (name, kind, help) in HELP {
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
        }
        for name in metrics::NAMES {
            assert!(name.ends_with("_total") || name.ends_with("_seconds"), "{name}");
        }
        for name in HELP.iter().map(|h| h.0).chain(metrics::NAMES) {
            assert!(name.starts_with("sicantik_notify_") && !odd_unit(name), "{name}");
        }
    }

    /// Units that are not base units.
    fn odd_unit(name: &str) -> bool {
        ["_ms", "_milliseconds", "_minutes", "_hours", "_kb", "_mb"]
            .iter()
            .any(|u| name.trim_end_matches("_total").ends_with(u))
    }

    #[test]
    fn labels_are_written_as_prometheus_reads_them() {
        assert_eq!(labels(&json!({})), "");
        assert_eq!(
            labels(&json!({"provider": "a \"b\" \\ c\nd"})),
            "{provider=\"a \\\"b\\\" \\\\ c\\nd\"}"
        );
    }
}
