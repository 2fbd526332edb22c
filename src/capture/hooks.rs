//! Installing, printing, verifying and removing the hooks. Promises: `hooks sql` prints what `hooks install` runs; each
//! table is one short transaction with a small lock_timeout, tried again a few times; nothing cascades.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// How often a table is tried while the host holds its lock.
const TRIES: u32 = 12;

/// Why hooks were not installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The table stayed locked.
    #[error(
        "{table} stayed locked by the host for {TRIES} tries; nothing was changed there, try again later"
    )]
    Busy {
        /// Which.
        table: String,
    },
    /// The connected role may not do it.
    #[error(
        "{table}: {reason}. Hooks are installed by a DBA: a superuser, or a role that owns the table (or has TRIGGER on \
         it) and is a member of sicantik_notify_owner; for the slot also with REPLICATION, and CREATE on the database. Give it \
         with --database-url or database.owner_url"
    )]
    Rights {
        /// Which table.
        table: String,
        /// What the server said.
        reason: String,
    },
    /// Anything else.
    #[error("{table}: {}", crate::db::describe(.source))]
    Server {
        /// Which table.
        table: String,
        /// The server's answer.
        source: tokio_postgres::Error,
    },
}

/// Statements of one table, one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableScript {
    /// The table (or its model), for messages.
    pub table: String,
    /// In order.
    pub statements: Vec<String>,
}

impl TableScript {
    /// As a script for psql.
    pub fn to_sql(&self) -> String {
        // A name is somebody's input, and a line end would end the comment.
        let table: String = self
            .table
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        let mut text = format!("-- {table}\nbegin;\n");
        for statement in &self.statements {
            text.push_str(statement);
            text.push_str(";\n");
        }
        text.push_str("commit;\n");
        text
    }
}

/// What `hooks install` runs, and `hooks sql` prints.
///
/// # Errors
/// The server's.
pub async fn install_scripts(client: &Client) -> Result<Vec<TableScript>, tokio_postgres::Error> {
    scripts(
        client,
        "select model, statement from sicantik_notify.hook_statements() order by model, step",
    )
    .await
}

/// What `hooks remove` runs.
///
/// # Errors
/// The server's.
pub async fn removal_scripts(client: &Client) -> Result<Vec<TableScript>, tokio_postgres::Error> {
    scripts(
        client,
        "select table_name, statement from sicantik_notify.hook_removal() order by table_name, step",
    )
    .await
}

async fn scripts(client: &Client, query: &str) -> Result<Vec<TableScript>, tokio_postgres::Error> {
    let mut scripts: Vec<TableScript> = Vec::new();
    for row in client.query(query, &[]).await? {
        let (table, statement): (String, String) = (row.get(0), row.get(1));
        match scripts.last_mut() {
            Some(last) if last.table == table => last.statements.push(statement),
            _ => scripts.push(TableScript {
                table,
                statements: vec![statement],
            }),
        }
    }
    Ok(scripts)
}

/// Runs one table's script; waits out the host's locks, within reason.
///
/// # Errors
/// [`HookError`]; the table is then as it was.
pub async fn run(client: &mut Client, script: &TableScript) -> Result<(), HookError> {
    let table = &script.table;
    for attempt in 0..TRIES {
        match run_once(client, script).await {
            Ok(()) => return Ok(()),
            Err(e)
                if matches!(
                    e.code(),
                    // In use: a slot whose reader is being ended.
                    Some(
                        &SqlState::LOCK_NOT_AVAILABLE
                            | &SqlState::T_R_DEADLOCK_DETECTED
                            | &SqlState::OBJECT_IN_USE
                    )
                ) =>
            {
                tokio::time::sleep(Duration::from_millis(100 << attempt.min(5))).await;
            }
            Err(e) if e.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Err(HookError::Rights {
                    table: table.clone(),
                    reason: crate::db::describe(&e),
                });
            }
            Err(source) => {
                return Err(HookError::Server {
                    table: table.clone(),
                    source,
                });
            }
        }
    }
    Err(HookError::Busy { table: table.clone() })
}

async fn run_once(client: &mut Client, script: &TableScript) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    for statement in &script.statements {
        tx.batch_execute(statement).await?;
    }
    tx.commit().await
}

/// A difference between the hooks that stand and those that should stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Table concerned.
    pub table: String,
    /// What is wrong.
    pub finding: String,
    /// What to do.
    pub remedy: String,
}

/// Looks; an empty list means that all is well.
///
/// # Errors
/// The server's.
pub async fn verify(client: &Client) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select coalesce(table_name, model, ''), finding, remedy from sicantik_notify.hook_findings()",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|r| Finding {
            table: r.get(0),
            finding: r.get(1),
            remedy: r.get(2),
        })
        .collect())
}
