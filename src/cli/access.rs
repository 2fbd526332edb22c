//! Who a command is in the database. Promises: [`WHO`] is the one place that decides which of the configured URLs each command takes
//! (`--help` and docs/operations.md print it), and a role that may not is told so before anything is done, with the way out.

use std::error::Error;
use std::fmt::Write as _;

use tokio_postgres::Client;

use crate::config::{Config, ENV_OPERATOR_URL};
use crate::db::{Endpoint, migrate};

type Failed = Box<dyn Error + Send + Sync>;

/// Whose URL a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A DBA: makes and changes objects, grants rights.
    Owner,
    /// The daemon: what only it may read (secrets of accounts), or what is about its own machine.
    Daemon,
    /// The person at the keyboard, whose name the history keeps.
    Operator,
    /// The same, who without a URL of his own works as the owner.
    Administrator,
    /// Nobody: no database is asked.
    Nobody,
}

/// Who each command is; one that is not named alone is what the command above it is.
pub(super) const WHO: &[(Who, &[&str])] = &[
    (
        Who::Owner,
        &["migrate", "hooks", "capture", "import-odoo", "uninstall"],
    ),
    (
        Who::Daemon,
        &["run", "arm", "doctor", "provider", "template sync"],
    ),
    (
        Who::Operator,
        &[
            "status",
            "explain",
            "check",
            "send",
            "queue",
            "blacklist",
            "template",
            "cron",
            "campaign",
            "domain",
            "fire",
            "simulate",
            "backfill",
            "token",
        ],
    ),
    (Who::Administrator, &["export", "apply"]),
    (Who::Nobody, &["demo", "completions", "man"]),
];

impl Who {
    /// Which URL, and which one without it.
    fn url(self) -> &'static str {
        match self {
            Self::Owner => "database.owner_url, else database.url",
            Self::Daemon => "database.url",
            Self::Operator => "database.operator_url, else database.url",
            Self::Administrator => "database.operator_url, else database.owner_url, else database.url",
            Self::Nobody => "none",
        }
    }

    fn role(self) -> &'static str {
        match self {
            Self::Owner => "a DBA's",
            Self::Daemon => "sicantik_notifyd",
            Self::Operator | Self::Administrator => "a member of sicantik_notify_operator",
            Self::Nobody => "none",
        }
    }
}

/// Who this command (`campaign dry-run`) is.
pub(super) fn who(command: &str) -> Option<Who> {
    let of = |name: &str| {
        WHO.iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(who, _)| *who)
    };
    of(command).or_else(|| of(command.split(' ').next()?))
}

/// [`WHO`] for `--help`.
pub(super) fn help() -> String {
    let mut text =
        "Who runs what (the URL that a command takes; --database-url stands for each of them):\n".to_owned();
    for (who, names) in WHO {
        let _ = writeln!(text, "  {} ({})\n    {}", who.url(), who.role(), names.join(", "));
    }
    text
}

/// Where a command connects to.
///
/// # Errors
/// No URL, or one that cannot be read.
pub(super) fn endpoint(config: &Config, command: &str) -> Result<Endpoint, Failed> {
    let database = &config.database;
    let url = match who(command) {
        Some(Who::Owner) => config.owner_url()?,
        Some(Who::Operator) => config.operator_url()?,
        Some(Who::Administrator) if database.operator_url.is_some() => config.operator_url()?,
        Some(Who::Administrator) => config.owner_url()?,
        // As a session of its own: commands set and lock what a pooler would lose, or give to others.
        Some(Who::Daemon) => config.direct_url()?,
        Some(Who::Nobody) | None => return Err(format!("{command} asks no database").into()),
    };
    Ok(Endpoint::parse(url, database.ca_file.as_deref())?)
}

/// A connection for what viewers may do.
///
/// # Errors
/// No connection, a schema of another version, or a role without any right.
pub(super) async fn look(config: &Config, command: &str) -> Result<Client, Failed> {
    let client = endpoint(config, command)?.connect().await?;
    admit(&client, Need::Look).await?;
    Ok(client)
}

/// A connection for what operators do, and without a URL of theirs the daemon's role.
///
/// # Errors
/// As [`look`], and a role that is neither.
pub(super) async fn connect(config: &Config, command: &str) -> Result<Client, Failed> {
    let client = endpoint(config, command)?.connect().await?;
    admit(&client, need(command)).await?;
    Ok(client)
}

/// The same from a pool, for what takes one.
///
/// # Errors
/// As [`connect`].
pub(super) async fn pooled(config: &Config, command: &str) -> Result<deadpool_postgres::Client, Failed> {
    let client = endpoint(config, command)?.pool(1)?.get().await?;
    admit(&client, need(command)).await?;
    Ok(client)
}

/// A connection for what operators alone may do.
///
/// # Errors
/// As [`look`], and a role that is no operator's.
pub(super) async fn act(config: &Config, command: &str) -> Result<Client, Failed> {
    let client = endpoint(config, command)?.connect().await?;
    admit(&client, Need::Act).await?;
    Ok(client)
}

/// What a role must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Any,
    Look,
    Work,
    Act,
}

fn need(command: &str) -> Need {
    match who(command) {
        Some(Who::Operator) => Need::Work,
        _ => Need::Any,
    }
}

/// Whether the role may, and everything the server writes about time in the office's zone.
async fn admit(client: &Client, need: Need) -> Result<(), Failed> {
    let asked = "select current_user::text, coalesce(has_schema_privilege(to_regnamespace('sicantik_notify')::oid, 'usage'), true), \
                        (select count(*) = 2 from pg_catalog.pg_roles r where r.rolname in ('sicantik_notify_operator', 'sicantik_notifyd'))";
    let row = client.query_one(asked, &[]).await?;
    let (role, usable, roles): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if !usable {
        return Err(format!(
            "the role {role} may not look: connect as another one with --database-url or {ENV_OPERATOR_URL}, or have a DBA \
             run: grant sicantik_notify_viewer to a login role of yours"
        )
        .into());
    }
    migrate::check_version(client).await?;
    if roles && matches!(need, Need::Work | Need::Act) {
        let held = "select pg_has_role(current_user, 'sicantik_notify_operator', 'usage'), \
                           pg_has_role(current_user, 'sicantik_notifyd', 'usage')";
        let row = client.query_one(held, &[]).await?;
        let (operator, daemon): (bool, bool) = (row.get(0), row.get(1));
        if !operator && (need == Need::Act || !daemon) {
            return Err(format!(
                "the role {role} is no operator: connect as one with --database-url or {ENV_OPERATOR_URL}, or have a \
                 DBA run: grant sicantik_notify_operator to a login role of yours"
            )
            .into());
        }
    }
    client.execute(IN_THE_OFFICES_TIME, &[&person()]).await?;
    Ok(())
}

/// What the server writes about time is the office's, and whoever asks has a name in the history.
const IN_THE_OFFICES_TIME: &str = "select set_config('TimeZone', coalesce((select z.name from sicantik_notify.office_zone() z (name)), 'UTC'), false), \
            set_config('sicantik_notify.asker', $1, false)";

/// Who runs the command, as far as the system says.
fn person() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|v| std::env::var(v).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command that can be run, as it is typed.
    fn leaves(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        let children: Vec<_> = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .collect();
        if children.is_empty() {
            all.push(path.to_owned());
        }
        for child in children {
            let name = format!("{path} {}", child.get_name());
            leaves(child, name.trim_start(), all);
        }
    }

    #[test]
    fn every_command_has_a_role_and_every_role_a_command() {
        let mut all = Vec::new();
        leaves(&super::super::Cli::command(), "", &mut all);
        assert!(all.len() > 40, "{all:?}");
        let known: Vec<&str> = WHO.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for command in &all {
            assert!(who(command).is_some(), "{command} is in no list");
        }
        for name in &known {
            assert!(
                all.iter()
                    .any(|c| c == name || c.starts_with(&format!("{name} "))),
                "there is no command {name}"
            );
            assert_eq!(
                known.iter().filter(|n| *n == name).count(),
                1,
                "{name} stands twice"
            );
        }
    }

    #[test]
    fn the_runbook_has_the_same_table() {
        let page = include_str!("../../docs/operations.md");
        for (who, names) in WHO {
            let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
            let url: Vec<String> = who
                .url()
                .split(", ")
                .map(|u| match u.rsplit_once(' ') {
                    _ if u == "none" => "none".to_owned(),
                    Some((word, url)) => format!("{word} `{url}`"),
                    None => format!("`{u}`"),
                })
                .collect();
            let row = format!("| {} | {} | {} |", names.join(", "), url.join(", "), who.role());
            assert!(page.contains(&row), "docs/operations.md has no row {row}");
        }
    }
}
