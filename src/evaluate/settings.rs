//! Settings of the database that the evaluation reads. A wrong value is a problem, and the default holds.

use std::collections::HashMap;

use tokio_postgres::Transaction;

use super::configuration::ConfigProblem;
use super::context::Office;

/// People that a domain or path may mean for one record.
const RECIPIENT_LIMIT: usize = 1000;
/// Days that evaluated events are kept.
const HISTORY_DAYS: u32 = 7;

/// The settings, read.
pub(super) struct Settings {
    pub(super) office: Office,
    pub(super) polling: bool,
    pub(super) recipient_limit: usize,
    pub(super) history_days: u32,
}

impl Settings {
    pub(super) async fn load(
        client: &Transaction<'_>,
        problems: &mut Vec<ConfigProblem>,
    ) -> Result<Self, tokio_postgres::Error> {
        let rows = client
            .query("select key, value from sicantik_notify.setting", &[])
            .await?;
        let settings: HashMap<String, String> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
        for key in ["template_source", "provider_source"] {
            if let Some(value) = settings
                .get(key)
                .filter(|v| !["own", "host"].contains(&v.as_str()))
            {
                problems.push(wrong(key, value, "own or host", "own"));
            }
        }
        Ok(Self {
            office: office(&settings, problems),
            polling: settings.get("capture_wake").is_some_and(|w| w == "poll"),
            recipient_limit: number(&settings, "recipient_limit", RECIPIENT_LIMIT, problems),
            history_days: number(&settings, "event_history_days", HISTORY_DAYS, problems),
        })
    }
}

fn number<T: std::str::FromStr + std::fmt::Display + Copy>(
    settings: &HashMap<String, String>,
    key: &str,
    default: T,
    problems: &mut Vec<ConfigProblem>,
) -> T {
    let Some(value) = settings.get(key) else {
        return default;
    };
    value.trim().parse().unwrap_or_else(|_| {
        problems.push(wrong(
            key,
            value,
            "a whole number that is not negative",
            &default.to_string(),
        ));
        default
    })
}

fn wrong(key: &str, value: &str, kind: &str, default: &str) -> ConfigProblem {
    ConfigProblem {
        about: format!("setting {key}"),
        summary: format!("{value:?} is not {kind}; {default} is used"),
        remedy: format!("update sicantik_notify.setting set value = '{default}' where key = '{key}'"),
    }
}

fn office(settings: &HashMap<String, String>, problems: &mut Vec<ConfigProblem>) -> Office {
    let get = |key: &str| settings.get(key).cloned().unwrap_or_default();
    let zone = get("timezone");
    let timezone = zone.parse().unwrap_or_else(|_| {
        problems.push(wrong("timezone", &zone, "a time zone", "Asia/Jakarta"));
        chrono_tz::Asia::Jakarta
    });
    Office {
        timezone,
        link_base: get("link_base").trim_end_matches('/').to_owned(),
        contact_info: get("contact_info"),
        opt_in_link: get("meta_opt_in_link"),
    }
}
