//! What the DBA runs for the slot, part by part.

use tokio_postgres::Client;

use crate::capture::hooks::TableScript;

/// Parts of a set-up or a removal of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Publication, slot, and every table that is not the slot's yet.
    Begin,
    /// The hooks stand again, table by table, and the slot ends where they begin.
    Return,
    /// Slot and publication go.
    Remove,
}

impl Work {
    fn query(self) -> &'static str {
        match self {
            Self::Begin => "select part, statement from sicantik_notify.slot_statements()",
            Self::Return => "select part, statement from sicantik_notify.slot_returns()",
            Self::Remove => "select part, statement from sicantik_notify.slot_removal()",
        }
    }
}

/// What is still to be run, in order.
///
/// # Errors
/// The server's.
pub async fn scripts(client: &Client, work: Work) -> Result<Vec<TableScript>, tokio_postgres::Error> {
    let mut scripts: Vec<TableScript> = Vec::new();
    for row in client.query(work.query(), &[]).await? {
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
