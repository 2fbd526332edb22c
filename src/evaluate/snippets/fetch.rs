//! What many runs need, read together: one statement a table, whatever the number of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::calls::{MAX_FOUND, Search, order_by};
use super::world::{Need, World};
use crate::host::catalog::{Field, FieldType, Model};
use crate::host::record::quote;
use crate::lang::domain::{Param, shifted};

/// Searches of one statement.
const SEARCHES: usize = 200;
/// Parameters of one statement; the protocol allows 65535.
const PARAMS: usize = 20_000;

/// Rows of one model that are wanted, and their columns.
type Wanted = (Arc<Model>, BTreeSet<i64>, BTreeSet<String>);

/// Reads what is needed.
///
/// # Errors
/// The server's; a missing right among them.
pub(super) async fn fetch(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    needs: Vec<Need>,
) -> Result<(), tokio_postgres::Error> {
    let mut columns: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut lines: BTreeMap<(String, String), (Arc<Model>, BTreeSet<i64>)> = BTreeMap::new();
    let mut searches: BTreeMap<String, Search> = BTreeMap::new();
    let mut references = BTreeSet::new();
    for need in needs {
        match need {
            Need::Columns {
                model,
                ids,
                columns: wanted,
            } => {
                let of = columns.entry(model.name.clone());
                let of = of.or_insert_with(|| (model, BTreeSet::new(), BTreeSet::new()));
                of.1.extend(ids);
                of.2.extend(wanted);
            }
            Need::Lines { model, field, ids } => {
                let of = lines.entry((model.name.clone(), field));
                of.or_insert_with(|| (model, BTreeSet::new())).1.extend(ids);
            }
            Need::Search(search) => drop(searches.insert(search.key(), search)),
            Need::Reference(name) => drop(references.insert(name)),
        }
    }
    for (model, ids, wanted) in columns.into_values() {
        read_columns(tx, world, &model, &ids, &wanted).await?;
    }
    for ((_, field), (model, ids)) in lines {
        read_lines(tx, world, &model, &field, &ids).await?;
    }
    find(tx, world, searches.into_values().collect()).await?;
    refer(tx, world, references).await
}

async fn read_columns(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    model: &Model,
    ids: &BTreeSet<i64>,
    columns: &BTreeSet<String>,
) -> Result<(), tokio_postgres::Error> {
    let ids: Vec<i64> = ids.iter().copied().collect();
    let wanted = columns
        .iter()
        .filter(|c| *c != "id")
        .map(|c| format!(", t.{}", quote(c)));
    let query = format!(
        "select x.\"id\"::bigint, to_jsonb(x.*) from (select t.\"id\"{} from public.{} t where t.\"id\" = any ($1::bigint[])) x",
        wanted.collect::<String>(),
        quote(&model.table)
    );
    let rows = tx.query(&query, &[&ids]).await?;
    let rows = rows.iter().map(|row| match row.get::<_, Value>(1) {
        Value::Object(map) => (row.get(0), map),
        _ => (row.get(0), Map::new()),
    });
    world.take_rows(model, &ids, rows.collect());
    Ok(())
}

async fn read_lines(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    model: &Model,
    name: &str,
    ids: &BTreeSet<i64>,
) -> Result<(), tokio_postgres::Error> {
    let ids: Vec<i64> = ids.iter().copied().collect();
    let field = model.fields.get(name);
    let target = field.and_then(|f| world.model(f.relation.as_deref()?));
    let query = match (field, target) {
        (Some(field), Some(target)) => lines_query(field, target),
        _ => None,
    };
    let lines = match query {
        Some(query) => {
            let rows = tx.query(&query, &[&ids]).await?;
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
        None => Vec::new(),
    };
    world.take_lines(model, name, &ids, lines);
    Ok(())
}

/// Lists leave archived records out, as Odoo's do.
fn lines_query(field: &Field, target: &Model) -> Option<String> {
    let active = match target.column("active") {
        Some(_) => " and t.\"active\"",
        None => "",
    };
    let (table, order) = (quote(&target.table), order_by(&target.order));
    match field.ttype {
        FieldType::One2many => {
            let inverse = quote(&target.column(field.relation_field.as_deref()?)?.name);
            Some(format!(
                "select t.{inverse}::bigint, t.\"id\"::bigint from public.{table} t \
                 where t.{inverse} = any ($1::bigint[]){active} {order}"
            ))
        }
        _ => {
            let relation = quote(field.relation_table.as_deref()?);
            let (own, other) = (quote(field.column1.as_deref()?), quote(field.column2.as_deref()?));
            Some(format!(
                "select r.{own}::bigint, t.\"id\"::bigint from public.{relation} r \
                 join public.{table} t on t.\"id\" = r.{other} where r.{own} = any ($1::bigint[]){active} {order}"
            ))
        }
    }
}

/// Runs searches together. One that the server cannot run (a date that is none) must not spoil the others: then each is
/// tried alone, and its error is its answer.
async fn find(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    searches: Vec<Search>,
) -> Result<(), tokio_postgres::Error> {
    let mut group: Vec<Search> = Vec::new();
    let mut params = 0;
    for search in searches {
        if group.len() >= SEARCHES || (params + search.params.len() > PARAMS && !group.is_empty()) {
            find_group(tx, world, std::mem::take(&mut group)).await?;
            params = 0;
        }
        params += search.params.len();
        group.push(search);
    }
    find_group(tx, world, group).await
}

async fn find_group(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    group: Vec<Search>,
) -> Result<(), tokio_postgres::Error> {
    if group.is_empty() {
        return Ok(());
    }
    if let Ok(found) = guarded(tx, &group).await? {
        for (search, ids) in group.iter().zip(found) {
            world.found.insert(search.key(), Ok(ids));
        }
        return Ok(());
    }
    for search in group {
        let alone = guarded(tx, std::slice::from_ref(&search)).await?;
        let answer = alone.map(|mut found| found.pop().unwrap_or_default());
        world.found.insert(search.key(), answer);
    }
    Ok(())
}

/// In a savepoint: the inner error is the statement's, the outer one ends the connection's work.
async fn guarded(
    tx: &Transaction<'_>,
    group: &[Search],
) -> Result<Result<Vec<Vec<i64>>, String>, tokio_postgres::Error> {
    tx.batch_execute("savepoint search").await?;
    match run(tx, group).await {
        Ok(found) => {
            tx.batch_execute("release savepoint search").await?;
            Ok(Ok(found))
        }
        Err(error) if error.is_closed() => Err(error),
        Err(error) => {
            tx.batch_execute("rollback to savepoint search; release savepoint search")
                .await?;
            Ok(Err(crate::db::describe(&error)))
        }
    }
}

async fn run(tx: &Transaction<'_>, group: &[Search]) -> Result<Vec<Vec<i64>>, tokio_postgres::Error> {
    let mut parts = Vec::new();
    let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
    for (n, search) in group.iter().enumerate() {
        let condition = shifted(&search.condition, params.len());
        params.extend(search.params.iter().map(|p: &Param| p as &(dyn ToSql + Sync)));
        let table = quote(&search.model.table);
        let limit = search.limit.min(MAX_FOUND as i64 + 1);
        let inner = format!(
            "select t.\"id\"::bigint as id from public.{table} as t where {condition} {} limit {limit} offset {}",
            search.order, search.offset
        );
        let ids = match search.count {
            true => format!(
                "array[(select count(*) from ({}) c)]",
                counted(&table, &condition, search)
            ),
            false => format!("array({inner})"),
        };
        parts.push(format!("select {n}, {ids}"));
    }
    let query = format!("{} order by 1", parts.join(" union all "));
    let rows = tx.query(&query, &params).await?;
    Ok(rows.iter().map(|row| row.get(1)).collect())
}

/// A count counts everything, unless the code gave it a limit.
fn counted(table: &str, condition: &str, search: &Search) -> String {
    let limit = match search.limit {
        n if n > MAX_FOUND as i64 => String::new(),
        n => format!(" limit {n}"),
    };
    format!("select from public.{table} as t where {condition}{limit}")
}

async fn refer(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    names: BTreeSet<String>,
) -> Result<(), tokio_postgres::Error> {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = names.into_iter().collect();
    for name in &names {
        world.references.insert(name.clone(), None);
    }
    let query = "select name, model, record_id from sicantik_notify.host_reference($1)";
    for row in tx.query(query, &[&names]).await? {
        world
            .references
            .insert(row.get(0), Some((row.get(1), row.get(2))));
    }
    Ok(())
}
