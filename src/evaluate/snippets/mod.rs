//! Runs the Python of a rule for many records at once (SICANTIK guide §4.2). All runs go on until each is done or lacks
//! something of the host; what they lack is read together; so the number of statements depends on how deep the code looks,
//! not on how many records there are.

mod fetch;
mod values;
mod world;

use std::sync::Arc;

use chrono_tz::Tz;
use monty_types::MontyObject;
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use crate::host::catalog::Model;
use crate::lang::domain::DomainError;
use crate::lang::python::{Clock, Failure, FailureKind, on_own_stack};
use crate::lang::snippet::{Ask, Limits, Snippet, Step};
use world::{Image, Need, Objects};

pub use world::World;

/// Runs that are under way together; each holds memory while it waits.
const TOGETHER: usize = 250;
/// Runs of one snippet that may end at a limit; then the others are not begun, for they would too.
const PATIENCE: usize = 3;

/// One run to be made.
#[derive(Clone, Debug)]
pub struct Errand<'a> {
    /// Model of the record.
    pub model: &'a Arc<Model>,
    /// The record.
    pub record: i64,
    /// The record as it was in the change; what it lacks is read as it is now.
    pub image: &'a Map<String, Value>,
    /// `recipient`, where there is one.
    pub partner: Option<i64>,
    /// `kwargs`.
    pub kwargs: Map<String, Value>,
    /// `context` as it is before the code.
    pub context: Map<String, Value>,
}

/// Which records meet a condition; an error is for its record alone.
///
/// # Errors
/// The server's; then all runs failed.
pub async fn conditions(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    errands: &[Errand<'_>],
) -> Result<Vec<Result<bool, String>>, tokio_postgres::Error> {
    let done = run(tx, world, limits, snippet, errands).await?;
    let truth = |value| matches!(value, MontyObject::Bool(true));
    Ok(done
        .into_iter()
        .map(|done| done.map(truth).map_err(|f| shown(f, snippet)))
        .collect())
}

/// The contexts that a code computes; an error is for its record alone.
///
/// # Errors
/// The server's; then all runs failed.
pub async fn contexts(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    errands: &[Errand<'_>],
) -> Result<Vec<Result<Map<String, Value>, String>>, tokio_postgres::Error> {
    let zone: Tz = world.vars().tz;
    let done = run(tx, world, limits, snippet, errands).await?;
    let context = |done: Result<MontyObject, Failure>| match done {
        Ok(value) => values::context(&value, zone),
        Err(failure) => Err(shown(failure, snippet)),
    };
    Ok(done.into_iter().map(context).collect())
}

fn shown(failure: Failure, snippet: &Snippet) -> String {
    DomainError::from(failure).diagnostic(snippet.text())
}

/// A run that waits.
struct Waiting<'a> {
    place: usize,
    errand: &'a Errand<'a>,
    objects: Objects,
    ask: Box<Ask>,
    need: Need,
    host_calls: usize,
}

async fn run(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    errands: &[Errand<'_>],
) -> Result<Vec<Result<MontyObject, Failure>>, tokio_postgres::Error> {
    world.expect(snippet.reads());
    let mut done: Vec<Option<Result<MontyObject, Failure>>> = errands.iter().map(|_| None).collect();
    for (n, chunk) in errands.chunks(TOGETHER).enumerate() {
        let clock = Clock {
            now: world.vars().now,
            tz: world.vars().tz,
        };
        let mut waiting = {
            let world = &*world;
            aside(|| begin(world, limits, snippet, clock, chunk, n * TOGETHER, &mut done))
        };
        while !waiting.is_empty() {
            let needs = waiting.iter().map(|w| w.need.clone()).collect();
            fetch::fetch(tx, world, needs).await?;
            let world = &*world;
            waiting = aside(|| go_on(world, limits, snippet, waiting, &mut done));
        }
    }
    let lost = || Err(Failure::limit("the code could not be run"));
    Ok(done.into_iter().map(|d| d.unwrap_or_else(lost)).collect())
}

/// On a thread with a stack of its own, while the runtime goes on with other work.
fn aside<T: Send + Default>(work: impl FnOnce() -> T + Send) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let many = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    let work = || on_own_stack(work).unwrap_or_default();
    match many {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}

type Results = [Option<Result<MontyObject, Failure>>];

fn begin<'a>(
    world: &World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    clock: Clock,
    errands: &'a [Errand<'a>],
    first: usize,
    done: &mut Results,
) -> Vec<Waiting<'a>> {
    let mut waiting = Vec::new();
    for (n, errand) in errands.iter().enumerate() {
        let place = first + n;
        if exhausted(done) {
            done[place] = Some(Err(Failure::limit(format!(
                "not run: the same code ended at its limits on {PATIENCE} records"
            ))));
            continue;
        }
        let mut objects = Objects::default();
        let inputs = world.inputs(
            &mut objects,
            errand.model,
            errand.record,
            errand.partner,
            &errand.kwargs,
            &errand.context,
        );
        let step = snippet.start(clock, limits, inputs);
        waiting.extend(answered(
            world, limits, snippet, place, errand, objects, step, 0, done,
        ));
    }
    waiting
}

fn go_on<'a>(
    world: &World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    waiting: Vec<Waiting<'a>>,
    done: &mut Results,
) -> Vec<Waiting<'a>> {
    let mut still = Vec::new();
    for w in waiting {
        let step = Step::Asks(w.ask);
        let calls = w.host_calls;
        still.extend(answered(
            world, limits, snippet, w.place, w.errand, w.objects, step, calls, done,
        ));
    }
    still
}

fn exhausted(done: &Results) -> bool {
    let at_limit = |d: &&Option<Result<MontyObject, Failure>>| matches!(d, Some(Err(failure)) if failure.kind == FailureKind::Limit);
    done.iter().filter(at_limit).count() >= PATIENCE
}

/// Answers a run from memory as long as that is possible.
#[allow(clippy::too_many_arguments)]
fn answered<'a>(
    world: &World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    place: usize,
    errand: &'a Errand<'a>,
    mut objects: Objects,
    mut step: Step,
    host_calls: usize,
    done: &mut Results,
) -> Option<Waiting<'a>> {
    let image = Image {
        model: &errand.model.name,
        id: errand.record,
        values: errand.image,
    };
    loop {
        let ask = match step {
            Step::Done(value) => {
                done[place] = Some(Ok(value));
                return None;
            }
            Step::Failed(failure) => {
                done[place] = Some(Err(failure));
                return None;
            }
            Step::Asks(ask) => ask,
        };
        match world.answer(&mut objects, image, &ask.question()) {
            Ok(reply) => step = ask.answer(snippet, reply),
            Err(_) if host_calls >= limits.host_calls => {
                done[place] = Some(Err(Failure::limit(format!(
                    "it asks the host more than {} times; one search with a domain finds many records at once",
                    limits.host_calls
                ))));
                return None;
            }
            Err(need) => {
                return Some(Waiting {
                    place,
                    errand,
                    objects,
                    ask,
                    need,
                    host_calls: host_calls + 1,
                });
            }
        }
    }
}
