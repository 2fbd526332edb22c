//! The configuration of the module that is replaced, carried over from its tables in the host.
//!
//! ```text
//! host (rows as JSON) ──convert──▶ candidate ──settle──▶ row of ours + mark ──survey, caution──▶ switched off where it must not
//! ```
//!
//! Promises: a second run changes nothing; what was changed or removed here afterwards stays so; a rule is in force only if it means
//! here what it meant there and nobody else sends the same; no secret passes through this process; what was not carried over is
//! named with its reason.

mod candidate;
mod caution;
mod convert;
mod domain;
mod host;
mod mark;
pub mod report;
mod settle;

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use self::convert::Context;
use self::host::Host;
use self::mark::Marks;
use self::report::Report;
use self::settle::{Import, offered};
use super::shape::Shapes;
use crate::evaluate::check::Item;
use crate::host::catalog::Catalog;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The server's answer.
    #[error("{}{}", crate::db::describe(.0), remedy(.0))]
    Server(#[from] tokio_postgres::Error),
    /// Tables that may not be read.
    #[error(
        "the role {role} may not read {} of the host: connect as the role that owns Odoo's tables or as a DBA, with --database-url or \
         `database.owner_url`, or let one of them run: grant select on {} to {role}",
        tables.join(", "),
        tables.iter().map(|t| format!("public.{t}")).collect::<Vec<_>>().join(", ")
    )]
    Rights {
        /// Who is connected.
        role: String,
        /// Which.
        tables: Vec<String>,
    },
    /// There is nothing of it.
    #[error(
        "this host has none of the tables of sicantik_notification_automation and sicantik_whatsapp: there is nothing to carry over"
    )]
    Absent,
}

fn remedy(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            ": import-odoo writes configuration and reads Odoo's tables; connect as the DBA who installed the daemon, with \
             --database-url or `database.owner_url`"
        }
        _ => "",
    }
}

/// Carries over into the transaction what can be. The caller commits, or rolls back after a dry run. `survey` looks at all that
/// stands. `with_secrets`: secrets are copied, inside the database, instead of being named.
///
/// # Errors
/// [`ImportError`].
pub async fn import<S>(tx: &Transaction<'_>, with_secrets: bool, survey: S) -> Result<Report, ImportError>
where
    S: AsyncFn(&Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error>,
{
    tx.batch_execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'",
    )
    .await?;
    tx.batch_execute("select pg_advisory_xact_lock(hashtextextended('sicantik_notify.apply', 0))")
        .await?;
    let mut host = Host::read(tx).await?;
    if !host.is_there() {
        return Err(ImportError::Absent);
    }
    let followed = host.leave_followed(tx).await?;
    let catalog = Catalog::load(tx).await?;
    let mut import = Import {
        shapes: Shapes::load(tx).await?,
        marks: Marks::load(tx).await?,
        offered: offered(tx).await?,
        with_secrets,
        report: Report::default(),
        written: Vec::new(),
        touched: Vec::new(),
    };
    import
        .all(
            tx,
            &Context {
                host: &host,
                catalog: &catalog,
            },
        )
        .await?;
    import.switch_off(tx, &host, survey(tx).await?).await?;
    import.mark(tx).await?;
    remark(&mut import.report, &host);
    import.report.remarks.extend(followed);
    Ok(import.report)
}

/// What concerns all of it.
fn remark(report: &mut Report, host: &Host) {
    let remarks = &mut report.remarks;
    for off in &host.own_crons {
        remarks.push(format!(
                "Odoo's scheduled action of the replaced module is active; before a rule is switched on here, its owner switches it off: {off}"
            ));
    }
    for off in &host.other_crons {
        remarks.push(format!(
            "Odoo's scheduled action sends WhatsApp messages too: {off}"
        ));
    }
    if host.whatsapp_module {
        remarks.push(
                "Odoo's module sicantik_whatsapp sends permit_ready, renewal_approved and document_pending itself when permits and \
                 documents are written: a rule that sends the same here makes two messages of it"
                    .into(),
            );
    }
    if host.pending > 0 {
        remarks.push(format!(
                "messages that wait in Odoo's sicantik_notification_queue ({}) are not carried over: some may have been sent already",
                host.pending
            ));
    }
    if let Some(base) = host.parameters.get("sicantik_whatsapp.webhook_base_url") {
        remarks.push(format!(
            "Odoo's links begin with {base}; here the setting link_base says where links of messages lead"
        ));
    }
}
