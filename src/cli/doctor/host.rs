//! The host: whether we may send from it, whether what is configured fits it, and what may be read of it.

use std::collections::BTreeSet;

use tokio_postgres::{Client, IsolationLevel};

use super::{Check, Failed, Finding, Severity};
use crate::config::Config;
use crate::evaluate::check::{self, Survey};
use crate::evaluate::configuration::Configuration;
use crate::host::grants as host_grants;
use crate::host::permit::{Arming, ask};

pub(super) async fn permit(config: &Config, client: &Client) -> Result<Check, Failed> {
    let armed = match Arming::load(&config.state_dir)? {
        Some(arming) => ask(client, &arming).await?,
        None => {
            let finding = Finding::new(
                Severity::Warning,
                config.state_dir.display().to_string(),
                "the state directory holds no arming secret: no daemon has run here",
                "start the daemon once; on a further machine, run sicantik-notifyd arm",
            );
            return Ok(Check::new(
                "permit to send",
                "unknown on this machine",
                vec![finding],
            ));
        }
    };
    let findings = match armed.allowed {
        true => Vec::new(),
        false => vec![Finding::new(
            Severity::Alarm,
            "this machine",
            armed.reason.clone(),
            "if it should send, run sicantik-notifyd arm",
        )],
    };
    Ok(Check::new("permit to send", armed.reason, findings))
}

/// Active triggers and rules that cannot work.
pub(super) async fn configuration(client: &mut Client) -> Result<(Check, Configuration), Failed> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let survey = Survey::load(&tx).await?;
    let items = survey.items(&tx).await?;
    tx.commit().await?;
    let active: Vec<_> = items.iter().filter(|i| i.active).collect();
    let mut findings = Vec::new();
    for item in &active {
        for f in item
            .findings
            .iter()
            .filter(|f| f.severity == check::Severity::Error)
        {
            // The first line says it; the caret belongs to `check`.
            let summary = f.text.lines().next().unwrap_or_default();
            findings.push(Finding::new(
                Severity::Alarm,
                format!("{} {}", item.kind, item.code),
                summary,
                format!(
                    "run sicantik-notifyd check {} {}, which shows the place",
                    item.kind, item.code
                ),
            ));
        }
    }
    let seen = format!("{} active triggers and rules of {}", active.len(), items.len());
    Ok((Check::new("configuration", seen, findings), survey.configuration))
}

/// What the daemon lacks of the host, and what it may read without need.
pub(super) async fn grants(client: &Client, configuration: &Configuration) -> Result<Check, Failed> {
    let tables = configuration.tables();
    let mut findings: Vec<Finding> = Vec::new();
    let mut missing = host_grants::standing(client).await?;
    missing.extend(host_grants::missing(client, &tables).await?);
    for statement in missing {
        findings.push(Finding::new(
            Severity::Alarm,
            "rights on Odoo's tables",
            "the daemon, or an operator, may not read what is needed",
            format!("as the owner of the table: {statement}"),
        ));
    }
    let mut needed: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
    for table in host_grants::runtime_tables() {
        needed.insert(table);
    }
    let readable = "select c.relname::text from pg_catalog.pg_class c \
                    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') \
                      and (has_table_privilege('sicantik_notifyd', c.oid, 'select') or has_any_column_privilege('sicantik_notifyd', c.oid, 'select')) \
                    order by 1";
    for row in client.query(readable, &[]).await? {
        let table: &str = row.get(0);
        if !needed.contains(table) {
            findings.push(Finding::new(
                Severity::Warning,
                format!("rights on {table}"),
                "the daemon may read this table, and nothing that is active needs it",
                format!(
                    "revoke select on public.{} from sicantik_notifyd",
                    crate::host::record::quote(table)
                ),
            ));
        }
    }
    let written = "select c.relname::text from pg_catalog.pg_class c \
                   where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') \
                     and has_table_privilege('sicantik_notifyd', c.oid, 'insert, update, delete, truncate, trigger') order by 1";
    for row in client.query(written, &[]).await? {
        let table: &str = row.get(0);
        findings.push(Finding::new(
            Severity::Alarm,
            format!("rights on {table}"),
            "the daemon may write a table of Odoo",
            format!(
                "revoke all on public.{} from sicantik_notifyd, public",
                crate::host::record::quote(table)
            ),
        ));
    }
    Ok(Check::new(
        "host rights",
        format!("{} tables needed", needed.len()),
        findings,
    ))
}
