//! Cron triggers: a run selects its records by the trigger's domain in one statement, and its events go the way of every event.
//! Promises: history and events commit together within the term, so a run happens once or not at all; after downtime it
//! catches up as `catch_up` says; a clock that is set back runs nothing twice; a run waits until the events of the one
//! before are evaluated; a copy of the database fires nothing; a trigger that cannot run is a problem of its own.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tokio_postgres::{Row, Transaction};

use super::leader::{LeaderError, Term, hold};
use super::timing::{CatchUp, Timing};
use crate::capture::fire::{Fired, Selection, fire};
use crate::db::Database;
use crate::db::ids::TriggerId;
use crate::db::statements as sql;
use crate::evaluate::configuration::load_aliases;
use crate::host::catalog::Catalog;
use crate::host::user;
use crate::lang::domain::{BaseRow, Source, Vars, compile};

/// Runs that are made up for with `catch_up = all`.
const CATCH_UP_MOST: usize = 24;
/// Missed times that are counted.
const COUNTED: usize = 1000;
/// Later than this a run counts as missed with `catch_up = skip`: a restart is no downtime.
const GRACE: TimeDelta = TimeDelta::minutes(5);

/// A cron trigger as it stands.
struct Cron {
    trigger: TriggerId,
    code: String,
    model: String,
    active: bool,
    facts: Map<String, Value>,
    request: Option<i64>,
    asked_by: Option<String>,
    state: Option<State>,
}

struct State {
    id: i64,
    fingerprint: Option<String>,
    next_run_at: Option<DateTime<Utc>>,
    problem: Option<String>,
    note: Option<String>,
    run_xact: Option<String>,
}

impl Cron {
    fn of(row: &Row) -> Self {
        Self {
            trigger: TriggerId(row.get("trigger_id")),
            code: row.get("code"),
            model: row.get("model"),
            active: row.get("active"),
            facts: match row.get("facts") {
                Value::Object(facts) => facts,
                _ => Map::new(),
            },
            request: row.get("request"),
            asked_by: row.get("asked_by"),
            state: row.get::<_, Option<i64>>("id").map(|id| State {
                id,
                fingerprint: row.get("fingerprint"),
                next_run_at: row.get("next_run_at"),
                problem: row.get("problem"),
                note: row.get("note"),
                run_xact: row.get("run_xact"),
            }),
        }
    }
}

/// Looks at every cron trigger once, and runs those that are due.
///
/// # Errors
/// The term is over, or the server is gone. What is wrong with one trigger is its own problem.
pub(super) async fn look(database: &Database, term: Term, holder: &str) -> Result<(), LeaderError> {
    let mut client = database.get().await?;
    let statement = client.prepare_cached(sql::CRON_TRIGGERS.sql).await?;
    let rows = client.query(&statement, &[]).await?;
    for row in &rows {
        let (cron, now) = (Cron::of(row), row.get::<_, DateTime<Utc>>("now"));
        let timing = plan(&mut client, term, &cron, now).await?;
        let (Some(timing), Some(state)) = (timing, &cron.state) else {
            continue;
        };
        if state.next_run_at.is_none_or(|at| at > now) && cron.request.is_none() {
            continue;
        }
        let waits = match refusal(&client).await? {
            Some(reason) => Some(reason),
            None => still_running(&client, state).await?,
        };
        if let Some(waits) = waits {
            note(&mut client, term, state, Some(&waits)).await?;
            continue;
        }
        run(&mut client, term, holder, &cron, state, &timing, now).await?;
    }
    Ok(())
}

/// Brings the state in line with the schedule. The timing, where the state is in line already and may run.
async fn plan(
    client: &mut deadpool_postgres::Client,
    term: Term,
    cron: &Cron,
    now: DateTime<Utc>,
) -> Result<Option<Timing>, LeaderError> {
    let timing = cron.active.then(|| Timing::read(&cron.facts)).transpose();
    let (wanted, problem, timing) = match timing {
        Ok(None) => (None, None, None),
        Ok(Some(timing)) => (Some(timing.fingerprint.clone()), None, Some(timing)),
        // In the place of a fingerprint: it is looked at again only when it was changed.
        Err(problem) => {
            let text = problem.to_string();
            (Some(format!("unreadable: {text}")), Some(text), None)
        }
    };
    if let Some(state) = &cron.state
        && state.fingerprint == wanted
    {
        return Ok(timing.filter(|_| state.problem.is_none()));
    }
    let (next, problem) = match timing.as_ref().map(|t| t.next(now)) {
        Some(Ok(next)) => (Some(next), problem),
        Some(Err(never)) => (None, Some(never.to_string())),
        None => (None, problem),
    };
    let tx = client.transaction().await?;
    hold(&tx, term).await?;
    match &cron.state {
        Some(state) => {
            tx.execute(
                sql::CRON_STATE_PLAN.sql,
                &[&state.id, &state.fingerprint, &wanted, &next, &problem],
            )
            .await?
        }
        None => {
            tx.execute(
                sql::CRON_STATE_NEW.sql,
                &[&None::<String>, &cron.trigger.0, &wanted, &next, &problem],
            )
            .await?
        }
    };
    tx.commit().await?;
    match (&problem, next) {
        (Some(problem), _) => {
            tracing::warn!(
                CRON_TRIGGER = cron.code,
                "Trigger {} does not run: {problem}.",
                cron.code
            );
        }
        (None, Some(next)) => {
            tracing::info!(
                CRON_TRIGGER = cron.code,
                "Trigger {} runs next at {next}.",
                cron.code
            );
        }
        (None, None) => tracing::debug!(
            CRON_TRIGGER = cron.code,
            "Trigger {} has no schedule now.",
            cron.code
        ),
    }
    Ok(None)
}

/// Why nothing may be fired in this database, if so: in a copy, messages would pile up that leave once it is armed.
async fn refusal(client: &deadpool_postgres::Client) -> Result<Option<String>, LeaderError> {
    let row = client
        .query_one("select sicantik_notify.schedule_refusal()", &[])
        .await?;
    let reason: Option<String> = row.get(0);
    Ok(reason.map(|reason| format!("waits, since nothing may be sent from here: {reason}")))
}

/// Why the next run must wait, if it must.
async fn still_running(
    client: &deadpool_postgres::Client,
    state: &State,
) -> Result<Option<String>, LeaderError> {
    let Some(xact) = &state.run_xact else {
        return Ok(None);
    };
    let waits = client
        .query_one(
            "select exists (select from sicantik_notify.event where op = 'F' and xact = $1::text::xid8)",
            &[xact],
        )
        .await?
        .get(0);
    Ok(if waits {
        Some("waits for its previous run, whose events are still being evaluated".to_owned())
    } else {
        None
    })
}

async fn note(
    client: &mut deadpool_postgres::Client,
    term: Term,
    state: &State,
    note: Option<&str>,
) -> Result<(), LeaderError> {
    if state.note.as_deref() == note {
        return Ok(());
    }
    let tx = client.transaction().await?;
    hold(&tx, term).await?;
    tx.execute(
        "update sicantik_notify.cron_state set note = $2, note_since = sicantik_notify.clock() where id = $1",
        &[&state.id, &note],
    )
    .await?;
    Ok(tx.commit().await?)
}

/// What is to be done about a due time.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    /// The time that this run stands for; `None`: somebody asked.
    due: Option<DateTime<Utc>>,
    /// Times before it that have no run.
    missed: usize,
    /// False: it was missed, and is not made up for.
    runs: bool,
    /// When it is due again.
    next: Option<DateTime<Utc>>,
}

impl Turn {
    /// Of a due time, which has come.
    fn of(timing: &Timing, due: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let after = |at: DateTime<Utc>| timing.schedule.next(timing.zone, at);
        let mut passed = vec![due];
        while passed.len() < COUNTED
            && let Some(at) = passed.last().and_then(|last| after(*last))
            && at <= now
        {
            passed.push(at);
        }
        let latest = passed.last().copied().unwrap_or(due);
        let turn = |due, missed, runs, next| Self {
            due: Some(due),
            missed,
            runs,
            next,
        };
        match timing.catch_up {
            CatchUp::Once => turn(latest, passed.len() - 1, true, after(now)),
            CatchUp::Skip => turn(latest, passed.len() - 1, now - latest <= GRACE, after(now)),
            CatchUp::All if passed.len() == COUNTED => turn(latest, passed.len() - 1, true, after(now)),
            CatchUp::All => {
                let skipped = passed.len().saturating_sub(CATCH_UP_MOST);
                let at = passed.get(skipped).copied().unwrap_or(due);
                turn(at, skipped, true, after(at))
            }
        }
    }
}

async fn run(
    client: &mut deadpool_postgres::Client,
    term: Term,
    holder: &str,
    cron: &Cron,
    state: &State,
    timing: &Timing,
    now: DateTime<Utc>,
) -> Result<(), LeaderError> {
    let turn = match (cron.request, state.next_run_at) {
        // The schedule goes on as it was.
        (Some(_), next) => Turn {
            due: None,
            missed: 0,
            runs: true,
            next,
        },
        (None, Some(due)) => Turn::of(timing, due, now),
        (None, None) => return Ok(()),
    };
    let mut tx = client.transaction().await?;
    hold(&tx, term).await?;
    let taken = tx
        .query_opt(
            sql::CRON_TRIGGER_BEGIN.sql,
            &[&state.id, &state.next_run_at, &cron.request, &turn.next],
        )
        .await?;
    if taken.is_none() {
        return Ok(());
    }
    let result = match turn.runs {
        true => Some(select(&mut tx, cron, now).await?),
        false => None,
    };
    let (outcome, fired, error) = match &result {
        None => ("skipped", None, None),
        Some(Ok(fired)) => ("done", Some(fired), None),
        Some(Err(error)) => ("failed", None, Some(error)),
    };
    let records = i64::try_from(fired.map_or(0, |f| f.events)).unwrap_or(i64::MAX);
    let detail = match (outcome, turn.missed) {
        ("skipped", _) => Some("missed while no daemon ran, and catch_up is skip".to_owned()),
        (_, 0) => None,
        (_, missed) if missed + 1 >= COUNTED => Some(format!("{missed} or more times before it were missed")),
        (_, missed) => Some(format!("{missed} times before it were missed")),
    };
    tx.execute(
        sql::CRON_TRIGGER_END.sql,
        &[
            &state.id,
            &cron.code,
            &outcome,
            &turn.due,
            &cron.asked_by,
            &i32::try_from(turn.missed).unwrap_or(i32::MAX),
            &records,
            &detail,
            &error,
            &fired.map(|f| f.xact.as_str()),
            &term.number(),
            &holder,
        ],
    )
    .await?;
    tx.commit().await?;
    match (fired, error) {
        (Some(fired), _) => tracing::info!(
            CRON_TRIGGER = cron.code,
            TERM = term.number(),
            RECORDS = records,
            XACT = fired.xact,
            "Trigger {} ran: {records} records.",
            cron.code
        ),
        (None, Some(error)) => {
            tracing::warn!(
                CRON_TRIGGER = cron.code,
                TERM = term.number(),
                error,
                "Trigger {} failed.",
                cron.code
            );
        }
        (None, None) => tracing::warn!(
            CRON_TRIGGER = cron.code,
            "Trigger {} missed a run, and does not make up for it.",
            cron.code
        ),
    }
    Ok(())
}

/// Fires for the records that meet the trigger's domain now. What goes wrong leaves the transaction as it was.
async fn select(
    tx: &mut Transaction<'_>,
    cron: &Cron,
    now: DateTime<Utc>,
) -> Result<Result<Fired, String>, LeaderError> {
    let inner = tx.transaction().await?;
    match fire_domain(&inner, cron, now).await {
        Ok(fired) => {
            inner.commit().await?;
            Ok(Ok(fired))
        }
        Err(Refused::Server(error)) if error.as_db_error().is_none() => Err(error.into()),
        Err(error) => {
            inner.rollback().await?;
            Ok(Err(error.to_string()))
        }
    }
}

/// Why a run selects nothing.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Wrong(String),
}

async fn fire_domain(tx: &Transaction<'_>, cron: &Cron, now: DateTime<Utc>) -> Result<Fired, Refused> {
    let catalog = Catalog::load(tx).await?;
    let Some(model) = catalog.model(&cron.model) else {
        return Err(Refused::Wrong(format!(
            "model: the host has no model {}; see check",
            cron.model
        )));
    };
    let aliases = load_aliases(tx).await?;
    let zone = tx
        .query_opt(
            "select value from sicantik_notify.setting where key = 'timezone'",
            &[],
        )
        .await?
        .and_then(|row| row.get::<_, String>(0).trim().parse().ok())
        .unwrap_or(chrono_tz::Asia::Jakarta);
    let vars = Vars::at(now, zone);
    let user = user::facts(tx, vars.uid).await?;
    let vars = Vars { user, ..vars };
    let text = cron.facts.get("condition_domain").and_then(Value::as_str);
    let text = text.filter(|t| !t.trim().is_empty()).unwrap_or("[]");
    let wrong = |error: crate::lang::domain::DomainError| {
        Refused::Wrong(format!("condition_domain: {}", error.diagnostic(text)))
    };
    let domain = Source::parse(text)
        .and_then(|source| source.evaluate(&vars))
        .map_err(wrong)?;
    let base = vars.base(BaseRow::table().active_test(vars.active_test));
    let compiled = compile(&domain, &catalog, model, &aliases, base).map_err(wrong)?;
    Ok(fire(tx, cron.trigger, model, Selection::Domain(&compiled), None).await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn daily(catch_up: &str) -> Timing {
        let row = json!({"cron_expression": "0 8 * * *", "timezone": "Asia/Jakarta", "catch_up": catch_up});
        Timing::read(row.as_object().expect("an object")).expect("readable")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn downtime_is_made_up_for_as_the_policy_says() {
        let (due, now) = (at("2026-03-01T01:00:00Z"), at("2026-03-05T05:00:00Z"));
        let next = Some(at("2026-03-06T01:00:00Z"));
        let latest = Some(at("2026-03-05T01:00:00Z"));
        let turn = Turn::of(&daily("once"), due, now);
        assert_eq!(
            turn,
            Turn {
                due: latest,
                missed: 4,
                runs: true,
                next
            }
        );
        let turn = Turn::of(&daily("skip"), due, now);
        assert_eq!(
            turn,
            Turn {
                due: latest,
                missed: 4,
                runs: false,
                next
            }
        );
        let turn = Turn::of(&daily("skip"), due, at("2026-03-01T01:03:00Z"));
        assert!(turn.runs, "a restart is no downtime");
        let turn = Turn::of(&daily("all"), due, now);
        assert_eq!(
            turn,
            Turn {
                due: Some(due),
                missed: 0,
                runs: true,
                next: Some(at("2026-03-02T01:00:00Z"))
            }
        );
        let turn = Turn::of(&daily("all"), due, at("2026-03-31T05:00:00Z"));
        assert_eq!(
            (turn.missed, turn.due),
            (31 - CATCH_UP_MOST, Some(at("2026-03-08T01:00:00Z")))
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

        /// Clocks that jump either way: no time runs twice, a jump forward is made up for once, and what was never reached never ran.
        #[test]
        fn a_clock_that_jumps_runs_nothing_twice(
            number in 1_u32..100,
            unit in 0_usize..6,
            zone in proptest::sample::select(vec!["Asia/Jakarta", "Europe/Berlin", "Australia/Lord_Howe"]),
            jumps in proptest::collection::vec(-5_000_i64..20_000, 1..40),
        ) {
            let units = ["minutes", "hours", "days", "weeks", "months"];
            let row = match units.get(unit) {
                Some(unit) => json!({"interval_number": number, "interval_type": unit, "timezone": zone,
                                     "anchor_at": "2025-10-31T02:30:00"}),
                None => json!({"cron_expression": format!("{} 2 * * *", number % 60), "timezone": zone}),
            };
            let timing = Timing::read(row.as_object().expect("an object")).expect("readable");
            let mut now = at("2026-03-01T00:00:00Z");
            let mut furthest = now;
            let mut next = timing.next(now).expect("it runs");
            let mut ran: Vec<DateTime<Utc>> = Vec::new();
            for minutes in jumps {
                now += TimeDelta::minutes(minutes);
                furthest = furthest.max(now);
                if next > now {
                    continue;
                }
                let turn = Turn::of(&timing, next, now);
                let due = turn.due.expect("the schedule's");
                proptest::prop_assert!(due <= now && ran.last().is_none_or(|last| due > *last));
                proptest::prop_assert_eq!(timing.schedule.next(timing.zone, due - TimeDelta::seconds(1)), Some(due));
                ran.push(due);
                next = turn.next.expect("it goes on");
                proptest::prop_assert!(next > now, "one run a jump");
            }
            proptest::prop_assert!(ran.iter().all(|due| *due <= furthest));
        }
    }

    #[test]
    fn years_of_downtime_are_not_walked_through() {
        let row = json!({"cron_expression": "* * * * *", "catch_up": "all"});
        let timing = Timing::read(row.as_object().expect("an object")).expect("readable");
        let now = at("2030-01-01T00:00:00Z");
        let turn = Turn::of(&timing, at("2026-01-01T00:00:00Z"), now);
        assert_eq!(turn.next, Some(now + TimeDelta::minutes(1)));
    }
}
