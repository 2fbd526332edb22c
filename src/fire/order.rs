//! One firing, from the command line or over HTTP. `fire_trigger()` does the same for people in SQL; what may be fired is
//! decided in one place for all of them, the SQL function `firing_target()`.

use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use crate::capture::fire::{Aim, Fired, Selection, fire_at, fire_by_hand};
use crate::db::ids::TriggerId;
use crate::evaluate::configuration::{load_aliases, present};
use crate::host::catalog::{Catalog, Model};
use crate::lang::domain::{BaseRow, Compiled, DomainError, Source, compile};

/// Where a firing comes from (`firing.source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The command line: the database knows who that is.
    Cli,
    /// HTTP, with the name of the token.
    Api(&'a str),
}

/// Which records.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// These.
    Ids(&'a [i64]),
    /// Those that meet a domain.
    Domain(&'a str),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Code of the trigger.
    pub code: &'a str,
    /// Its model, where that is to be checked.
    pub model: Option<&'a str>,
    /// Which records.
    pub which: Which<'a>,
    /// What the rules' code finds in `kwargs`.
    pub kwargs: &'a Map<String, Value>,
    /// Where it comes from.
    pub origin: Origin<'a>,
}

/// Why nothing was fired.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The trigger does not exist, is inactive, is of another type or of another model.
    #[error("{message}{}", .hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Refused {
        /// Which of them.
        why: Refusal,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// No id was given.
    #[error("no record was named: ids is empty")]
    NoRecords,
    /// The domain is wrong; with the place.
    #[error("{}", .error.diagnostic(.text))]
    Domain {
        /// The domain.
        text: String,
        /// What is wrong with it.
        error: DomainError,
    },
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(tokio_postgres::Error),
}

/// What is wrong with the trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    Unknown,
    /// It is inactive.
    Inactive,
    /// It fires on changes.
    Type,
    /// It is about another model.
    Model,
}

impl From<tokio_postgres::Error> for OrderError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// Fires, and notes who did.
///
/// # Errors
/// [`OrderError`]; then the transaction is of no use any more.
pub async fn fire(tx: &Transaction<'_>, order: Order<'_>) -> Result<Fired, OrderError> {
    let (trigger, model) = target(tx, order.code, order.model).await?;
    match order.which {
        Which::Ids([]) => Err(OrderError::NoRecords),
        Which::Ids(ids) => {
            // Ids need nothing of the host's catalogue, which takes longer to read than all the rest.
            let model = Model {
                name: model,
                table: String::new(),
                fields: std::collections::BTreeMap::new(),
                order: Vec::new(),
            };
            put(tx, trigger, &model, Selection::Ids(ids), &order).await
        }
        Which::Domain(text) => {
            let (model, domain) = compiled(tx, &model, text).await?;
            put(tx, trigger, &model, Selection::Domain(&domain), &order).await
        }
    }
}

async fn put(
    tx: &Transaction<'_>,
    trigger: TriggerId,
    model: &Model,
    selection: Selection<'_>,
    order: &Order<'_>,
) -> Result<Fired, OrderError> {
    let aim = Aim {
        trigger,
        rule: None,
        model,
        changed: None,
    };
    match order.origin {
        Origin::Cli => Ok(fire_by_hand(tx, aim, selection, order.kwargs, "cli").await?),
        Origin::Api(token) => {
            let fired = fire_at(tx, aim, selection, Some(order.kwargs)).await?;
            note(tx, trigger, token, &fired, order.kwargs).await?;
            Ok(fired)
        }
    }
}

/// The trigger that may be fired, and its model.
async fn target(
    tx: &Transaction<'_>,
    code: &str,
    model: Option<&str>,
) -> Result<(TriggerId, String), OrderError> {
    let asked = "select t.id, t.model from sicantik_notify.firing_target($1, $2) t";
    match tx.query_one(asked, &[&code, &model]).await {
        Ok(row) => Ok((TriggerId(row.get(0)), row.get(1))),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: tokio_postgres::Error) -> OrderError {
    let Some(db) = error.as_db_error() else {
        return OrderError::Server(error);
    };
    let why = match db.code() {
        code if *code == SqlState::NO_DATA_FOUND => Refusal::Unknown,
        code if *code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => Refusal::Inactive,
        code if *code == SqlState::WRONG_OBJECT_TYPE => Refusal::Type,
        code if *code == SqlState::INVALID_PARAMETER_VALUE => Refusal::Model,
        _ => return OrderError::Server(error),
    };
    OrderError::Refused {
        why,
        message: db.message().to_owned(),
        hint: db.hint().map(str::to_owned),
    }
}

/// The domain over the model's table, as Odoo would search with it: without archived records, unless it speaks of them.
async fn compiled(tx: &Transaction<'_>, model: &str, text: &str) -> Result<(Model, Compiled), OrderError> {
    let wrong = |error| OrderError::Domain {
        text: text.to_owned(),
        error,
    };
    let catalog = Catalog::load(tx).await?;
    let model = catalog.model(model).cloned().ok_or_else(|| OrderError::Refused {
        why: Refusal::Model,
        message: format!("the host has no model {model}, or no table for it"),
        hint: None,
    })?;
    let aliases = load_aliases(tx).await?;
    let vars = present(tx).await?;
    let base = vars.base(BaseRow::table()).active_test(vars.active_test);
    let source = Source::parse(text).map_err(wrong)?;
    let domain = source.evaluate(&vars).map_err(wrong)?;
    let domain = compile(&domain, &catalog, &model, &aliases, base).map_err(wrong)?;
    Ok((model.as_ref().clone(), domain))
}

/// Notes a firing over HTTP. Several of one transaction and trigger are one run.
async fn note(
    tx: &Transaction<'_>,
    trigger: TriggerId,
    token: &str,
    fired: &Fired,
    kwargs: &Map<String, Value>,
) -> Result<(), tokio_postgres::Error> {
    let noted = "insert into sicantik_notify.firing as f (trigger_id, source, fired_by, events, kwargs) \
                 values ($1, 'api', $2, $3, nullif($4::jsonb, '{}')) \
                 on conflict (xact, trigger_id) do update set events = f.events + excluded.events";
    let events = i64::try_from(fired.events).unwrap_or(i64::MAX);
    let kwargs = Value::Object(kwargs.clone());
    tx.execute(noted, &[&trigger.0, &token, &events, &kwargs]).await?;
    Ok(())
}
