//! `provider test`: each account is asked by its provider's own means; nothing is sent (SICANTIK guide §6.4).

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Done, Outcome, access, table};
use crate::config::Config;
use crate::deliver::directory::{Directory, Listed};
use crate::deliver::provider::{Client, Health, ProbeReport, Timeouts};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask each account whether it can send; no message is sent
    ///
    /// Meta: the number's health and quality. Fonnte: the device, its connection and quota. Watzap: the key, its licences and the
    /// connection. Secrets that are systemd credentials are looked for in $CREDENTIALS_DIRECTORY, then in the environment.
    /// Exit code 3 if an account that is active, or was named, cannot send.
    Test {
        /// Only this provider, by its name in sicantik_notify.v_provider
        name: Option<String>,
        /// Print a JSON array, for scripts
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let Action::Test { name, json } = args.action;
    let client = access::pooled(config, "provider").await?;
    let mut directory = Directory::default();
    directory.refresh(&client).await?;
    drop(client);
    let wanted: Vec<&Listed> = directory
        .accounts()
        .iter()
        .filter(|p| {
            name.as_ref()
                .is_none_or(|name| name.eq_ignore_ascii_case(&p.name))
        })
        .collect();
    if wanted.is_empty() {
        return Err(match name {
            Some(name) => {
                let known: Vec<&str> = directory.accounts().iter().map(|p| p.name.as_str()).collect();
                format!("there is no provider {name}; there are: {}", known.join(", "))
            }
            None => "no provider is set up: insert one into sicantik_notify.provider".to_owned(),
        }
        .into());
    }
    let http = Client::new(Timeouts {
        connect: Duration::from_secs(config.deliver.connect_timeout_seconds),
        total: Duration::from_secs(config.deliver.request_timeout_seconds),
    })?;
    let mut found = Vec::with_capacity(wanted.len());
    for provider in wanted {
        let report = match &provider.account {
            Ok(account) => Ok(http.probe(account).await),
            Err(missing) => Err(missing.clone()),
        };
        found.push((provider, report));
    }
    let counts = |p: &Listed| p.active || name.is_some();
    let bad = found
        .iter()
        .filter(|(p, report)| counts(p) && !report.as_ref().is_ok_and(|r| r.health.may_send()))
        .count();
    print(&found, json)?;
    Ok(if bad == 0 {
        Done::Well
    } else {
        Done::NeedsAttention
    })
}

type Found<'a> = (&'a Listed, Result<ProbeReport, String>);

fn print(found: &[Found<'_>], as_json: bool) -> Result<(), serde_json::Error> {
    if as_json {
        let rows: Vec<_> = found
            .iter()
            .map(|(p, report)| {
                json!({"name": p.name, "provider_type": p.kind.as_str(), "active": p.active,
                       "result": word(report), "detail": detail(report),
                       "http_status": report.as_ref().ok().and_then(|r| r.http_status),
                       "duration_ms": report.as_ref().ok().map(|r| r.duration.as_millis() as u64)})
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(p, report)| {
            let name = match p.active {
                true => p.name.clone(),
                false => format!("{} (inactive)", p.name),
            };
            let took = report
                .as_ref()
                .map_or_else(|_| String::new(), |r| format!("{} ms", r.duration.as_millis()));
            vec![name, p.kind.to_string(), word(report).to_owned(), took]
        })
        .collect();
    table::print(&["provider", "type", "result", "took"], &rows);
    for (p, report) in found {
        println!("{}: {}", p.name, detail(report));
        if let Ok(ProbeReport {
            health: Health::Down(failure),
            ..
        }) = report
        {
            println!("    remedy: {}", failure.class.remedy());
        }
    }
    Ok(())
}

fn word(report: &Result<ProbeReport, String>) -> &'static str {
    match report.as_ref().map(|r| &r.health) {
        Ok(Health::Healthy { .. }) => "ok",
        Ok(Health::Limited { .. }) => "limited",
        Ok(Health::Down(_)) => "cannot send",
        Ok(Health::Unknown { .. }) => "no answer",
        Err(_) => "not configured",
    }
}

fn detail(report: &Result<ProbeReport, String>) -> String {
    match report {
        Ok(report) => report.health.to_string(),
        Err(missing) => missing.clone(),
    }
}
