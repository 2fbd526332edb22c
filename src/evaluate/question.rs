//! The domain of a trigger or rule as a question to the host: read once, evaluated anew for each batch, because "in the
//! next thirty days" means other days tomorrow; compiled again only where its value has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::catalog::{Catalog, Model};
use crate::lang::domain::{Aliases, BaseKind, BaseRow, Compiled, Domain, DomainError, Source, Vars, compile};

/// What a question is asked with.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// The host's models.
    pub catalog: &'a Catalog,
    /// Names that administrators use for others.
    pub aliases: &'a Aliases,
    /// The batch's clock and whatever else expressions see.
    pub vars: Vars,
}

/// A domain over captured images of a model, or over its table.
#[derive(Clone, Debug)]
pub struct Question {
    source: Source,
    model: Arc<Model>,
    kind: BaseKind,
    first: Arc<Compiled>,
    last: Arc<Mutex<(Domain, Arc<Compiled>)>>,
}

impl Question {
    /// Evaluates and compiles a text that was read.
    ///
    /// # Errors
    /// [`DomainError`]; its spans are those of the text.
    pub fn new(
        source: Source,
        model: &Arc<Model>,
        kind: BaseKind,
        asking: &Asking<'_>,
    ) -> Result<Self, DomainError> {
        let domain = source.evaluate(&asking.vars)?;
        let first = Arc::new(compiled(&domain, model, kind, asking)?);
        Ok(Self {
            source,
            model: model.clone(),
            kind,
            last: Arc::new(Mutex::new((domain, first.clone()))),
            first,
        })
    }

    /// The question as it is now.
    ///
    /// # Errors
    /// [`DomainError`]: an expression may fail today that did not fail yesterday.
    pub fn at(&self, asking: &Asking<'_>) -> Result<Arc<Compiled>, DomainError> {
        if self.source.is_constant() {
            return Ok(self.first.clone());
        }
        let domain = self.source.evaluate(&asking.vars)?;
        {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.0 == domain {
                return Ok(last.1.clone());
            }
        }
        let compiled = Arc::new(compiled(&domain, &self.model, self.kind, asking)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (domain, compiled.clone());
        Ok(compiled)
    }

    /// The model that it is about.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// Whether it asks about the user.
    pub fn needs_user(&self) -> bool {
        self.source.needs_user()
    }

    /// Columns of the record that it read when it was loaded: what the hook should capture.
    pub fn columns(&self) -> &BTreeSet<String> {
        &self.first.columns
    }

    /// Tables that it reads beside the record, with their columns.
    pub fn tables(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.first.tables
    }
}

fn compiled(
    domain: &Domain,
    model: &Arc<Model>,
    kind: BaseKind,
    asking: &Asking<'_>,
) -> Result<Compiled, DomainError> {
    let base = match kind {
        BaseKind::Image => BaseRow::image(),
        BaseKind::Table => BaseRow::table().active_test(asking.vars.active_test),
    };
    compile(
        domain,
        asking.catalog,
        model,
        asking.aliases,
        asking.vars.base(base),
    )
}
