//! Permits behind the records of a batch, as they are now: read once, however many rules ask.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::cases::Case;
use super::context::PERMIT_COLUMNS;
use crate::host::catalog::{Catalog, Model};
use crate::host::record;

/// The model of permits.
const MODEL: &str = "sicantik.permit";

/// Permits by id; those that do not exist are remembered too.
#[derive(Default)]
pub(super) struct Permits(HashMap<i64, Option<Map<String, Value>>>);

impl Permits {
    /// Reads those that are not known yet, in one statement.
    pub(super) async fn load(
        &mut self,
        tx: &Transaction<'_>,
        catalog: &Catalog,
        cases: &[&Case<'_>],
    ) -> Result<(), tokio_postgres::Error> {
        let Some(model) = catalog.model(MODEL) else {
            return Ok(());
        };
        let mut ids: Vec<i64> = cases.iter().filter_map(|c| id_of(&c.image)).collect();
        ids.retain(|id| !self.0.contains_key(id));
        ids.sort_unstable();
        ids.dedup();
        let mut found = record::fetch(tx, model, PERMIT_COLUMNS, &ids).await?;
        self.0.extend(ids.into_iter().map(|id| (id, found.remove(&id))));
        Ok(())
    }

    /// The permit that a record is, or belongs to.
    pub(super) fn of<'p>(
        &'p self,
        catalog: &'p Catalog,
        model: &str,
        image: &'p Map<String, Value>,
    ) -> Option<(&'p Model, &'p Map<String, Value>)> {
        let permits = catalog.model(MODEL)?;
        if model == MODEL {
            return Some((permits, image));
        }
        let permit = self.0.get(&id_of(image)?)?.as_ref()?;
        Some((permits, permit))
    }
}

fn id_of(image: &Map<String, Value>) -> Option<i64> {
    image.get("permit_id").and_then(Value::as_i64)
}
