//! The partners that meet a domain: asked once a batch, since the domain does not depend on the record.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::evaluate::question::{Asking, Question};
use crate::host::catalog::Model;
use crate::host::search;
use crate::lang::domain::{BaseKind, Compiled};

/// Reads a rule's recipient_domain.
pub(in crate::evaluate) fn compile(text: &str, asking: &Asking<'_>) -> Result<Question, String> {
    let model = asking
        .catalog
        .model("res.partner")
        .ok_or("recipient_domain: the host has no model res.partner")?;
    let wrong =
        |error: crate::lang::domain::DomainError| format!("recipient_domain: {}", error.diagnostic(text));
    let source = crate::lang::domain::Source::parse(text).map_err(wrong)?;
    if let Some(name) = ["record", "records"].iter().find(|name| source.uses(name)) {
        return Err(format!(
            "recipient_domain: it uses `{name}`, but it is asked once for all records; to reach people through the record set \
             recipient_type to field and recipient_field to the path, such as permit_id.partner_id"
        ));
    }
    Question::new(source, model, BaseKind::Table, asking).map_err(wrong)
}

/// Their ids, ascending; one more than the limit where there are more.
pub(super) async fn people(
    tx: &Transaction<'_>,
    model: &Model,
    domain: Option<&Compiled>,
    limit: usize,
) -> Result<Vec<i64>, tokio_postgres::Error> {
    let Some(domain) = domain else {
        return Ok(Vec::new());
    };
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let query = format!(
        "{} limit ${}::bigint",
        search::statement(model, domain, BaseKind::Table),
        domain.params.len() + 1
    );
    let mut params: Vec<&(dyn ToSql + Sync)> =
        domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    params.push(&most);
    Ok(tx
        .query(&query, &params)
        .await?
        .iter()
        .map(|r| r.get(0))
        .collect())
}
