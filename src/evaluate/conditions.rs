//! Conditions asked of many records at once: one statement, the captured images as the rows. The answer is a verdict for
//! each record, so that one whose values cannot be read fails alone. What the image answers for certain is not asked at all.

use std::collections::HashSet;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::{Json, ToSql};

use super::cases::Case;
use super::savepoint::attempt;
use crate::host::catalog::Model;
use crate::host::record;
use crate::lang::domain::{Compiled, shifted};

/// Whether a record meets a condition, or why that cannot be said of it.
pub(super) type Verdict = Result<bool, String>;

/// Most statements that may fail in the search for the records that cannot be asked.
const PATIENCE: usize = 32;
/// Where a record stands among those asked about; no column of a host is called so.
const POSITION: &str = "sicantik_notify position";

/// What a domain says without asking the server; `None`: ask.
fn certain(domain: Option<&Compiled>, case: &Case<'_>) -> Option<bool> {
    match domain {
        None => Some(true),
        Some(domain) => domain.twin.as_ref()?.matches(&case.image),
    }
}

/// What the domain says of each record. Where the server cannot read a value, the set is halved until the record that has it
/// stands alone: further statements are needed only then.
///
/// # Errors
/// What no other choice of records would mend: a missing right, a lost connection.
pub(super) async fn ask(
    tx: &Transaction<'_>,
    domain: Option<&Compiled>,
    model: &Model,
    cases: &[&Case<'_>],
) -> Result<Vec<Verdict>, tokio_postgres::Error> {
    let answers: Vec<Option<bool>> = cases.iter().map(|case| certain(domain, case)).collect();
    let open: Vec<usize> = (0..cases.len()).filter(|at| answers[*at].is_none()).collect();
    let mut verdicts: Vec<Verdict> = answers.into_iter().map(|a| Ok(a == Some(true))).collect();
    let Some(domain) = domain.filter(|_| !open.is_empty()) else {
        return Ok(verdicts);
    };
    let asked: Vec<&Case<'_>> = open.iter().map(|at| cases[*at]).collect();
    let mut parts = vec![(0, open.len())];
    let mut failed = 0;
    while let Some((from, to)) = parts.pop() {
        match attempt(tx, satisfied(tx, &[domain], model, &asked[from..to])).await? {
            Ok(met) => met
                .into_iter()
                .flatten()
                .for_each(|at| verdicts[open[from + at]] = Ok(true)),
            Err(error) if !about_data(&error) => return Err(error),
            Err(_) if to - from > 1 && failed < PATIENCE => {
                failed += 1;
                let middle = from + (to - from) / 2;
                parts.extend([(from, middle), (middle, to)]);
            }
            Err(error) => {
                let error = crate::db::describe(&error);
                open[from..to]
                    .iter()
                    .for_each(|at| verdicts[*at] = Err(error.clone()));
            }
        }
    }
    Ok(verdicts)
}

/// What several domains say of the same records, in one statement: a row for each record, a column for each domain that the server must
/// be asked. `None` where that statement fails, or would save nothing: then each domain is asked for itself, which also tells whose fault
/// it is.
///
/// # Errors
/// The connection is gone.
pub(super) async fn ask_together(
    tx: &Transaction<'_>,
    domains: &[Option<&Compiled>],
    model: &Model,
    cases: &[&Case<'_>],
) -> Result<Option<Vec<Vec<Verdict>>>, tokio_postgres::Error> {
    let open = |domain: &Option<&Compiled>| cases.iter().any(|case| certain(*domain, case).is_none());
    let asked: Vec<usize> = (0..domains.len()).filter(|at| open(&domains[*at])).collect();
    if asked.len() < 2 {
        return Ok(None);
    }
    let compiled: Vec<&Compiled> = asked.iter().filter_map(|at| domains[*at]).collect();
    let Ok(mut met) = attempt(tx, satisfied(tx, &compiled, model, cases)).await? else {
        return Ok(None);
    };
    let mut verdicts: Vec<Vec<Verdict>> = Vec::new();
    for (at, domain) in domains.iter().enumerate() {
        let place = asked.iter().position(|a| *a == at);
        let met = place.and_then(|place| met.get_mut(place)).map(std::mem::take);
        let answer = |(n, case): (usize, &&Case<'_>)| match &met {
            Some(met) => Ok(met.contains(&n)),
            None => Ok(certain(*domain, case) == Some(true)),
        };
        verdicts.push(cases.iter().enumerate().map(answer).collect());
    }
    Ok(Some(verdicts))
}

/// SQLSTATE class 22: a value was not what its column or an operator wants.
fn about_data(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("22"))
}

/// For each domain the positions of the records that satisfy it. The images become rows once; each domain stays a WHERE of its own, so that
/// what it looks up elsewhere in the host is found by index.
async fn satisfied(
    tx: &Transaction<'_>,
    domains: &[&Compiled],
    model: &Model,
    cases: &[&Case<'_>],
) -> Result<Vec<HashSet<usize>>, tokio_postgres::Error> {
    let images: Vec<Json<&Map<String, Value>>> = cases.iter().map(|c| Json(&c.image)).collect();
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&images];
    let mut asked = Vec::new();
    for (n, domain) in domains.iter().enumerate() {
        let condition = shifted(&domain.sql, params.len());
        asked.push(format!("select {n}, t.\"{POSITION}\" from t where {condition}"));
        params.extend(domain.params.iter().map(|p| p as &(dyn ToSql + Sync)));
    }
    let query = format!(
        "with t as materialized ( \
             select i.position::integer - 1 as \"{POSITION}\", r.* \
             from unnest($1::jsonb[]) with ordinality as i (image, position) \
             cross join lateral jsonb_populate_record(null::public.{}, i.image) as r) {}",
        record::quote(&model.table),
        asked.join(" union all "),
    );
    let mut met = vec![HashSet::new(); domains.len()];
    for row in tx.query(&query, &params).await? {
        if let Some(of) = met.get_mut(row.get::<_, i32>(0) as usize) {
            of.insert(row.get::<_, i32>(1) as usize);
        }
    }
    Ok(met)
}
