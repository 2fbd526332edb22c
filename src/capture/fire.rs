//! Events without a change: a schedule, a person or a programme asks a trigger to look at records. One statement for all
//! of them, however many; what it writes goes the way of every event.

use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::db::ids::TriggerId;
use crate::host::catalog::Model;
use crate::host::record::quote;
use crate::lang::domain::Compiled;

/// Which records.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// These; one that does not exist becomes an event too, and a decision that says so.
    Ids(&'a [i64]),
    /// Those that meet a domain, which was compiled for the model's table.
    Domain(&'a Compiled),
}

/// What was fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Events: one a record.
    pub events: u64,
    /// The transaction that they belong to, which makes them one run (xid8 as text).
    pub xact: String,
}

/// Writes an event for each record, and wakes the evaluation when `tx` commits. `kwargs` is what the rules' code finds in
/// `kwargs`, beside what evaluation itself puts there.
///
/// # Errors
/// The server's: a missing right, or a value in the domain that it cannot read.
pub async fn fire(
    tx: &Transaction<'_>,
    trigger: TriggerId,
    model: &Model,
    selection: Selection<'_>,
    kwargs: Option<&Map<String, Value>>,
) -> Result<Fired, tokio_postgres::Error> {
    let kwargs = kwargs.filter(|k| !k.is_empty()).cloned().map(Value::Object);
    let ids: Option<&[i64]>;
    let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let from = match selection {
        Selection::Ids(list) => {
            ids = Some(list);
            params.push(&ids);
            "(select distinct u.id from unnest($1::bigint[]) as u (id)) as t".to_owned()
        }
        Selection::Domain(domain) => {
            params.extend(domain.params.iter().map(|p| p as &(dyn ToSql + Sync)));
            format!("public.{} as t where {}", quote(&model.table), domain.sql)
        }
    };
    let next = params.len();
    params.extend([&model.name as &(dyn ToSql + Sync), &trigger.0, &kwargs]);
    let (name, target, given) = (next + 1, next + 2, next + 3);
    let statement = format!(
        "insert into sicantik_notify.event (op, record_id, model, target_trigger, kwargs) \
         select 'F', t.\"id\", ${name}::text, ${target}::bigint, ${given}::jsonb from {from} order by t.\"id\""
    );
    let events = tx.execute(&statement, &params).await?;
    let run = "select pg_current_xact_id()::text, pg_notify('sicantik_notify_event', '')::text";
    let xact = tx.query_one(run, &[]).await?.get(0);
    Ok(Fired { events, xact })
}
