//! `doctor`: whether everything around the daemon is as it should be. Each check says what it looked at; each finding has a
//! remedy. What SQL alone can see stands in `v_problem` as well, live. Reads only, but for one NOTIFY to itself.

mod host;
mod rights;
mod server;

use serde_json::json;
use tokio_postgres::Client;

use super::words::many;
use super::{Done, Outcome, access};
use crate::config::{Config, ConfigError};
use crate::db::{Endpoint, inventory, migrate};
use crate::deliver::directory::Directory;
use crate::deliver::provider::{Client as Caller, Health, Timeouts};
use crate::deliver::template::{self, lint};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask the providers as well (as `provider test` does; nothing is sent)
    #[arg(long)]
    online: bool,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Alarm,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Alarm => "alarm",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "alarm" | "error" => Self::Alarm,
            _ => Self::Warning,
        }
    }
}

/// Something that is not as it should be.
struct Finding {
    severity: Severity,
    about: String,
    summary: String,
    remedy: String,
}

impl Finding {
    fn new(
        severity: Severity,
        about: impl Into<String>,
        summary: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            about: about.into(),
            summary: summary.into(),
            remedy: remedy.into(),
        }
    }
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    /// What was seen.
    seen: String,
    findings: Vec<Finding>,
}

impl Check {
    fn new(name: &'static str, seen: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self {
            name,
            seen: seen.into(),
            findings,
        }
    }
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let way = Endpoint::parse(config.url()?, config.database.ca_file.as_deref())?
        .through_pooler(config.database.pooler);
    let direct = match config.direct_url() {
        Err(ConfigError::NoSession) => None,
        _ => Some(access::endpoint(config, "doctor")?),
    };
    let endpoint = direct.as_ref().unwrap_or(&way);
    let mut client = endpoint.connect().await?;
    migrate::check_version(&client).await?;
    if !endpoint.is_pooled() {
        client.batch_execute("set statement_timeout = '30s'").await?;
    }
    let mut checks = vec![
        server::version(&client).await?,
        server::clock(&client).await?,
        server::session(&way, direct.as_ref(), &client).await?,
        server::time_zones(&client).await?,
        rights::attributes(&client).await?,
        rights::ours(&client).await?,
        host::permit(config, &client).await?,
    ];
    let (check, configuration) = host::configuration(&mut client).await?;
    checks.extend([
        check,
        host::grants(&client, &configuration).await?,
        schema(&client).await?,
        templates(&client).await?,
        credentials(config, endpoint, args.online).await?,
    ]);
    checks.push(problems(&client).await?);
    let worst = checks.iter().flat_map(|c| &c.findings).map(|f| f.severity).max();
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report(&checks))?),
        false => print(&checks),
    }
    Ok(match worst {
        None => Done::Well,
        Some(_) => Done::NeedsAttention,
    })
}

/// Indexes and partitions that migrations made.
async fn schema(client: &Client) -> Result<Check, Failed> {
    let wanted = inventory::index_names();
    let query = "select w.name from unnest($1::text[]) as w (name) \
                 where to_regclass('sicantik_notify.' || quote_ident(w.name)) is null order by 1";
    let missing: Vec<String> = client
        .query(query, &[&wanted])
        .await?
        .iter()
        .map(|r| r.get(0))
        .collect();
    let mut findings: Vec<Finding> = missing
        .iter()
        .map(|name| {
            Finding::new(
                Severity::Alarm,
                format!("index {name}"),
                "the index is missing: somebody dropped it",
                format!("make it again as its migration does (grep {name} in migrations/)"),
            )
        })
        .collect();
    let ahead = "select p.name from unnest(array['log', 'attempt', 'decision']) as p (name) \
                 where to_regclass('sicantik_notify.' || p.name || '_' || \
                       to_char(sicantik_notify.clock() + interval '1 month', 'YYYY_MM')) is null";
    for row in client.query(ahead, &[]).await? {
        let table: &str = row.get(0);
        findings.push(Finding::new(
            Severity::Warning,
            format!("partitions of {table}"),
            "there is none for the next month",
            "the daemon makes them hourly; by hand: select sicantik_notify.ensure_partitions()",
        ));
    }
    let seen = format!("version {}, {} indexes", migrate::known_version(), wanted.len());
    Ok(Check::new("schema", seen, findings))
}

async fn templates(client: &Client) -> Result<Check, Failed> {
    let found = lint(client).await?;
    let findings: Vec<Finding> = found
        .into_iter()
        .map(|f| {
            let severity = match f.severity {
                template::Severity::Error => Severity::Alarm,
                template::Severity::Warning => Severity::Warning,
            };
            Finding::new(severity, f.about, f.summary, f.remedy)
        })
        .collect();
    let active: i64 = client
        .query_one("select count(*) from sicantik_notify.template where active", &[])
        .await?
        .get(0);
    Ok(Check::new("templates", format!("{active} active"), findings))
}

/// Whether each active account has its secrets, and, if asked, whether its provider takes them.
async fn credentials(config: &Config, endpoint: &crate::db::Endpoint, online: bool) -> Result<Check, Failed> {
    let client = endpoint.pool(1)?.get().await?;
    let mut directory = Directory::default();
    directory.refresh(&client).await?;
    drop(client);
    let active: Vec<_> = directory.accounts().iter().filter(|a| a.active).collect();
    let caller = Caller::new(Timeouts {
        connect: std::time::Duration::from_secs(config.deliver.connect_timeout_seconds),
        total: std::time::Duration::from_secs(config.deliver.request_timeout_seconds),
    })?;
    let mut findings = Vec::new();
    for listed in &active {
        let about = format!("provider {}", listed.name);
        match &listed.account {
            Err(missing) => findings.push(Finding::new(
                Severity::Alarm,
                about,
                missing.clone(),
                "see sicantik_notify.provider_secret; a credential is looked for in $CREDENTIALS_DIRECTORY, then in the environment",
            )),
            Ok(account) if online => {
                let health = caller.probe(account).await.health;
                let remedy = match &health {
                    Health::Down(failure) => failure.class.remedy(),
                    _ => "run sicantik-notifyd provider test, which says more",
                };
                if !health.may_send() {
                    findings.push(Finding::new(Severity::Alarm, about, health.to_string(), remedy));
                }
            }
            Ok(_) => {}
        }
    }
    if active.is_empty() {
        findings.push(Finding::new(
            Severity::Warning,
            "providers",
            "no provider is active: messages wait",
            "insert one into sicantik_notify.provider, then run sicantik-notifyd provider test",
        ));
    }
    let asked = if online {
        ", asked"
    } else {
        ", not asked (--online)"
    };
    Ok(Check::new(
        "providers",
        format!("{} active{asked}", active.len()),
        findings,
    ))
}

/// What everybody sees in v_problem.
async fn problems(client: &Client) -> Result<Check, Failed> {
    let query = "select severity, coalesce(about, ''), summary, remedy from sicantik_notify.v_problem";
    let findings: Vec<Finding> = client
        .query(query, &[])
        .await?
        .iter()
        .map(|r| {
            Finding::new(
                Severity::of(r.get(0)),
                r.get::<_, &str>(1),
                r.get::<_, &str>(2),
                r.get::<_, &str>(3),
            )
        })
        .collect();
    let seen = match findings.len() {
        0 => "v_problem is empty".to_owned(),
        n => format!("v_problem has {}", many(n, "row")),
    };
    Ok(Check::new("problems", seen, findings))
}

fn print(checks: &[Check]) {
    for check in checks {
        let worst = check.findings.iter().map(|f| f.severity).max();
        println!(
            "{:<8} {:<14} {}",
            worst.map_or("ok", Severity::as_str),
            check.name,
            check.seen
        );
        for f in &check.findings {
            println!(
                "    {}: {}: {}\n        remedy: {}",
                f.severity.as_str(),
                f.about,
                f.summary,
                f.remedy
            );
        }
    }
    let count = |severity| {
        let all = checks.iter().flat_map(|c| &c.findings);
        all.filter(|f| f.severity == severity).count()
    };
    println!(
        "{}, {}.",
        many(count(Severity::Alarm), "alarm"),
        many(count(Severity::Warning), "warning")
    );
}

fn report(checks: &[Check]) -> serde_json::Value {
    let rows: Vec<_> = checks
        .iter()
        .map(|c| {
            let findings: Vec<_> = c
                .findings
                .iter()
                .map(|f| json!({"severity": f.severity.as_str(), "about": f.about, "summary": f.summary, "remedy": f.remedy}))
                .collect();
            json!({"check": c.name, "seen": c.seen, "findings": findings})
        })
        .collect();
    json!({ "checks": rows })
}
