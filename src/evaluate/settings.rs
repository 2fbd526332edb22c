//! Settings of the database: what each may be, and those that the evaluation reads. A wrong value is refused by `apply`, and a problem
//! where it came by SQL; the default holds then.

use std::collections::HashMap;

use tokio_postgres::Transaction;

use super::configuration::ConfigProblem;
use super::context::Office;

/// People that a domain or path may mean for one record.
const RECIPIENT_LIMIT: usize = 1000;
/// Days that evaluated events are kept.
const HISTORY_DAYS: u32 = 7;

/// What a value must be.
enum Kind {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number of these, from … to ….
    Count(&'static str, u64, u64),
    /// A time zone.
    Zone,
    /// A link.
    Link,
    /// Beginnings of template keys, with commas.
    Prefixes,
    /// Anything.
    Text,
}

/// Every setting that there is, and its default.
const KNOWN: &[(&str, Kind, &str)] = &[
    (
        "capture_lag_alarm_bytes",
        Kind::Count("bytes", 1, 1 << 50),
        "1073741824",
    ),
    (
        "capture_lag_warn_bytes",
        Kind::Count("bytes", 1, 1 << 50),
        "268435456",
    ),
    (
        "capture_max_backlog_age",
        Kind::Count("seconds", 1, 999_999_999_999),
        "604800",
    ),
    (
        "capture_max_backlog_bytes",
        Kind::Count("bytes", 1, 999_999_999_999),
        "1073741824",
    ),
    ("capture_wake", Kind::OneOf(&["notify", "poll"]), "notify"),
    ("contact_info", Kind::Text, "DPMPTSP"),
    ("cron_run_days", Kind::Count("days", 1, 3650), "30"),
    ("event_history_days", Kind::Count("days", 0, 3650), "7"),
    ("failed_receipt_retry_hours", Kind::Count("hours", 0, 8760), "24"),
    ("link_base", Kind::Link, "https://sicantik.example.go.id"),
    ("log_retention_days", Kind::Count("days", 1, 99_999), "90"),
    (
        "meta_opt_in_link",
        Kind::Link,
        "https://sicantik.example.go.id/opt-in",
    ),
    ("meta_template_prefixes", Kind::Prefixes, "izin_"),
    ("opt_in_words", Kind::Text, "SETUJU, YA SETUJU"),
    ("provider_source", Kind::OneOf(&["own", "host"]), "own"),
    ("receipt_days", Kind::Count("days", 1, 36_500), "90"),
    ("receipt_unmatched_hours", Kind::Count("hours", 1, 8760), "24"),
    ("recipient_limit", Kind::Count("people", 1, 1_000_000), "1000"),
    ("start_words", Kind::Text, "START, MULAI"),
    ("statistics_days", Kind::Count("days", 0, 99_999), "1095"),
    ("stop_words", Kind::Text, "STOP, BERHENTI, UNSUBSCRIBE"),
    ("template_source", Kind::OneOf(&["own", "host"]), "own"),
    ("timezone", Kind::Zone, "Asia/Jakarta"),
];

impl Kind {
    fn takes(&self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Self::OneOf(words) => words.contains(&value),
            Self::Count(_, low, high) => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                digits && value.parse().is_ok_and(|n: u64| (*low..=*high).contains(&n))
            }
            Self::Zone => value.parse::<chrono_tz::Tz>().is_ok(),
            Self::Link => {
                value.is_empty()
                    || reqwest::Url::parse(value)
                        .is_ok_and(|u| u.has_host() && u.scheme().starts_with("http"))
            }
            Self::Prefixes => value
                .split(',')
                .all(|p| p.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')),
            Self::Text => true,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OneOf(words) => f.write_str(&words.join(" or ")),
            Self::Count(unit, low, high) => write!(f, "a whole number of {unit} from {low} to {high}"),
            Self::Zone => f.write_str("a time zone"),
            Self::Link => f.write_str("a link that begins with https:// or http://"),
            Self::Prefixes => {
                f.write_str("a list of beginnings of template keys (letters, digits, _) with commas")
            }
            Self::Text => f.write_str("a text"),
        }
    }
}

/// What is wrong with a value.
pub struct Fault {
    /// In words.
    pub text: String,
    /// What to write instead.
    pub remedy: String,
}

/// What is wrong with the value of a setting; nothing is known against one that nobody reads.
pub fn fault(key: &str, value: &str) -> Option<Fault> {
    let (_, kind, default) = KNOWN.iter().find(|(known, ..)| *known == key)?;
    if kind.takes(value) {
        return None;
    }
    let remedy = match kind {
        Kind::Zone => "write a name such as Asia/Jakarta, Asia/Makassar or Asia/Jayapura".to_owned(),
        Kind::Count(unit, ..) => format!("write the number of {unit} alone, such as {default}"),
        Kind::OneOf(_) => format!("the default is {default}"),
        _ => format!("write it as {default}"),
    };
    Some(Fault {
        text: format!("{value:?} is not {kind}"),
        remedy,
    })
}

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
        for (key, kind, default) in KNOWN {
            if let Some(value) = settings.get(*key).filter(|v| !kind.takes(v)) {
                problems.push(wrong(key, value, kind, default));
            }
        }
        Ok(Self {
            office: office(&settings),
            polling: settings.get("capture_wake").is_some_and(|w| w == "poll"),
            recipient_limit: number(&settings, "recipient_limit", RECIPIENT_LIMIT),
            history_days: number(&settings, "event_history_days", HISTORY_DAYS),
        })
    }
}

fn number<T: std::str::FromStr>(settings: &HashMap<String, String>, key: &str, default: T) -> T {
    let value = settings.get(key).filter(|value| fault(key, value).is_none());
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(default)
}

fn wrong(key: &str, value: &str, kind: &Kind, default: &str) -> ConfigProblem {
    ConfigProblem {
        about: format!("setting {key}"),
        summary: format!("{value:?} is not {kind}; {default} is used"),
        remedy: format!("update sicantik_notify.setting set value = '{default}' where key = '{key}'"),
    }
}

fn office(settings: &HashMap<String, String>) -> Office {
    let get = |key: &str| settings.get(key).cloned().unwrap_or_default();
    let timezone = get("timezone").parse().unwrap_or(chrono_tz::Asia::Jakarta);
    Office {
        timezone,
        link_base: get("link_base").trim_end_matches('/').to_owned(),
        contact_info: get("contact_info"),
        opt_in_link: get("meta_opt_in_link"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_is_what_it_must_be_and_a_wrong_value_is_named() {
        for (key, _, default) in KNOWN {
            assert!(fault(key, default).is_none(), "{key}");
        }
        for (key, value, said) in [
            (
                "event_history_days",
                "7 days",
                "a whole number of days from 0 to 3650",
            ),
            ("event_history_days", "9999", "from 0 to 3650"),
            ("log_retention_days", "0", "from 1"),
            ("capture_wake", "never", "notify or poll"),
            ("timezone", "Jakarta", "a time zone"),
            ("link_base", "sicantik.example.go.id", "https://"),
            ("meta_template_prefixes", "izin-", "beginnings"),
            ("recipient_limit", "", "people"),
        ] {
            let found = fault(key, value).expect(key);
            assert!(
                found.text.contains(said) && !found.remedy.is_empty(),
                "{key}: {}",
                found.text
            );
        }
        assert!(fault("stop_words", "").is_none() && fault("unknown", "x").is_none());
    }

    /// What the migrations make is what is known here.
    #[test]
    fn every_setting_of_the_schema_is_known() {
        let mut made: Vec<String> = Vec::new();
        for text in crate::db::migrate::texts() {
            for part in text.split("insert into sicantik_notify.setting").skip(1) {
                let values = part.split(");").next().unwrap_or_default();
                made.extend(
                    values
                        .split("\n    ('")
                        .skip(1)
                        .filter_map(|v| Some(v.split('\'').next()?.to_owned())),
                );
            }
        }
        made.sort();
        let known: Vec<&str> = KNOWN.iter().map(|(key, ..)| *key).collect();
        assert_eq!(made, known);
    }
}
