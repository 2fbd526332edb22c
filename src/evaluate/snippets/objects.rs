//! What one run knows by its objects.

use std::collections::HashMap;
use std::sync::Arc;

use monty_types::{ExcType, MontyObject, MontyUuid};

use super::world::{Stop, raise};
use crate::host::catalog::Model;
use crate::lang::snippet::object::records;

/// Records that a run knows by an object, and those that are read together with them.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) model: Arc<Model>,
    pub(super) ids: Vec<i64>,
    pub(super) group: Arc<Vec<i64>>,
}

/// What one run knows by its objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    known: HashMap<MontyUuid, Known>,
    pub(super) environment: Option<MontyUuid>,
}

impl Objects {
    pub(super) fn get(&self, object: MontyUuid) -> Result<Known, Stop> {
        match self.known.get(&object) {
            Some(known) => Ok(known.clone()),
            None => raise(ExcType::TypeError, "records were expected"),
        }
    }

    pub(super) fn add(&mut self, model: &Arc<Model>, ids: &[i64], group: Arc<Vec<i64>>) -> MontyObject {
        let (object, handles) = records(&model.name, ids);
        for handle in handles {
            let known = Known {
                model: model.clone(),
                ids: handle.ids,
                group: group.clone(),
            };
            self.known.insert(handle.object, known);
        }
        object
    }

    pub(super) fn of(&mut self, known: &Known) -> MontyObject {
        self.add(&known.model, &known.ids, known.group.clone())
    }
}
