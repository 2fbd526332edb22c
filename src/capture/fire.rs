//! Events without a change: a schedule, a person or a programme asks a trigger to look at records. One statement for all
//! of them, however many; what it writes goes the way of every event.

use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::db::ids::{EventId, RuleId, TriggerId};
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
    /// The first and the last of their ids; events of others may lie between them.
    pub range: Option<(EventId, EventId)>,
}

/// For whom.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The trigger.
    pub trigger: TriggerId,
    /// Only this rule of it.
    pub rule: Option<RuleId>,
    /// The trigger's model.
    pub model: &'a Model,
    /// The events stand for a change of this column that was missed: its present value is what `kwargs` calls new_state. Only with
    /// [`Selection::Domain`].
    pub changed: Option<&'a str>,
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
    let aim = Aim {
        trigger,
        rule: None,
        model,
        changed: None,
    };
    fire_at(tx, aim, selection, kwargs).await
}

/// [`fire`], for one rule perhaps, or for changes that were missed.
///
/// # Errors
/// As [`fire`].
pub async fn fire_at(
    tx: &Transaction<'_>,
    aim: Aim<'_>,
    selection: Selection<'_>,
    kwargs: Option<&Map<String, Value>>,
) -> Result<Fired, tokio_postgres::Error> {
    write(tx, aim, selection, kwargs, None).await
}

/// [`fire_at`] by a person, whose role writes no event itself: the database's own function does, and notes who it was. `source` is that
/// of the note (`cli`, `backfill`).
///
/// # Errors
/// As [`fire`], and what the function refuses.
pub async fn fire_by_hand(
    tx: &Transaction<'_>,
    aim: Aim<'_>,
    selection: Selection<'_>,
    kwargs: &Map<String, Value>,
    source: &str,
) -> Result<Fired, tokio_postgres::Error> {
    write(tx, aim, selection, Some(kwargs), Some(source)).await
}

async fn write(
    tx: &Transaction<'_>,
    aim: Aim<'_>,
    selection: Selection<'_>,
    kwargs: Option<&Map<String, Value>>,
    source: Option<&str>,
) -> Result<Fired, tokio_postgres::Error> {
    let kwargs = kwargs.filter(|k| !k.is_empty()).cloned().map(Value::Object);
    let ids: Option<&[i64]>;
    let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let mut changed = None;
    let from = match selection {
        Selection::Ids(list) => {
            ids = Some(list);
            params.push(&ids);
            "(select distinct u.id from unnest($1::bigint[]) as u (id)) as t".to_owned()
        }
        Selection::Domain(domain) => {
            changed = aim.changed.filter(|c| aim.model.column(c).is_some());
            params.extend(domain.params.iter().map(|p| p as &(dyn ToSql + Sync)));
            format!("public.{} as t where {}", quote(&aim.model.table), domain.sql)
        }
    };
    let next = params.len();
    let rule = aim.rule.map(|r| r.0);
    params.extend([
        &aim.model.name as &(dyn ToSql + Sync),
        &aim.trigger.0,
        &rule,
        &kwargs,
    ]);
    let (name, trigger, rule, given) = (next + 1, next + 2, next + 3, next + 4);
    let own = changed.map(|column| {
        params.push(&aim.changed);
        format!(
            "jsonb_build_object('new_state', to_jsonb(t.{}), 'changed_fields', jsonb_build_array(${}::text))",
            quote(column),
            next + 5
        )
    });
    let passed = match &own {
        None => format!("${given}::jsonb"),
        Some(own) => format!("coalesce(${given}::jsonb, '{{}}') || {own}"),
    };
    let statement = match &source {
        None => format!(
            "with fired as (insert into sicantik_notify.event (op, record_id, model, target_trigger, target_rule, kwargs) \
             select 'F', t.\"id\", ${name}::text, ${trigger}::bigint, ${rule}::bigint, {passed} from {from} order by t.\"id\" \
             returning id) \
             select count(*), min(id), max(id), pg_current_xact_id()::text, pg_notify('sicantik_notify_event', '')::text from fired"
        ),
        Some(source) => {
            params.push(source);
            format!(
                "with chosen as materialized (select t.\"id\"::bigint as id, {} as own from {from}) \
                 select f.events, f.first_event, f.last_event, f.run \
                 from sicantik_notify.fire_records(${name}::text, ${trigger}::bigint, ${rule}::bigint, ${}::text, \
                     (select array_agg(c.id order by c.id) from chosen c), ${given}::jsonb, \
                     (select array_agg(c.own order by c.id) from chosen c)) f",
                own.as_deref().unwrap_or("null::jsonb"),
                params.len()
            )
        }
    };
    let row = tx.query_one(&statement, &params).await?;
    let ends = (row.get::<_, Option<i64>>(1), row.get::<_, Option<i64>>(2));
    Ok(Fired {
        events: row.get::<_, i64>(0).unsigned_abs(),
        xact: row.get(3),
        range: match ends {
            (Some(first), Some(last)) => Some((EventId(first), EventId(last))),
            _ => None,
        },
    })
}
