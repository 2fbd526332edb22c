//! Runs the Python of a rule for many records at once (SICANTIK guide §4.2). All runs go on until each is done or lacks
//! something of the host; what they lack is read together; so the number of statements depends on how deep the code looks,
//! not on how many records there are.

mod calls;
mod fetch;
mod fields;
mod objects;
mod values;
mod world;

use std::sync::{Arc, Mutex, PoisonError};

use chrono_tz::Tz;
use monty_types::MontyObject;
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use crate::host::catalog::Model;
use crate::lang::domain::DomainError;
use crate::lang::python::{Clock, Failure, FailureKind, on_own_stack};
use crate::lang::snippet::{Ask, Limits, Snippet, Step};
use objects::Objects;
use world::{Image, Need};

pub use world::World;

/// Memory that runs may hold together while they wait, as a multiple of what one may use. Usual ones hold some kilobytes each,
/// so a whole batch waits together; hoarding ones go a few at a time.
const TOGETHER: usize = 2;
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
    run: Running<'a>,
    ask: Box<Ask>,
    need: Need,
}

/// A run that is under way.
struct Running<'a> {
    place: usize,
    errand: &'a Errand<'a>,
    objects: Objects,
    host_calls: usize,
}

type Results = [Option<Result<MontyObject, Failure>>];

async fn run(
    tx: &Transaction<'_>,
    world: &mut World<'_>,
    limits: &Limits,
    snippet: &Snippet,
    errands: &[Errand<'_>],
) -> Result<Vec<Result<MontyObject, Failure>>, tokio_postgres::Error> {
    world.expect(snippet.reads());
    let mut done: Vec<Option<Result<MontyObject, Failure>>> = errands.iter().map(|_| None).collect();
    let mut begun = 0;
    while begun < errands.len() {
        let turn = Turn::new(world, limits, snippet);
        let (count, mut waiting) = aside(|| turn.begin(errands, begun, &mut done));
        // None where no thread could be had: that run is lost, the others are not.
        begun += count.max(1);
        while !waiting.is_empty() {
            let needs = waiting.iter().map(|w| w.need.clone()).collect();
            fetch::fetch(tx, world, needs).await?;
            let turn = Turn::new(world, limits, snippet);
            waiting = aside(|| turn.go_on(waiting, &mut done));
        }
    }
    let lost = || Err(Failure::limit("the code could not be run"));
    Ok(done.into_iter().map(|d| d.unwrap_or_else(lost)).collect())
}

/// Code runs one at a time: the interpreter measures the memory of the process, and must not take one run's for another's.
static INTERPRETER: Mutex<()> = Mutex::new(());

/// On a thread with a stack of its own, while the runtime goes on with other work.
fn aside<T: Send + Default>(work: impl FnOnce() -> T + Send) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let many = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    let work = || {
        let _alone = INTERPRETER.lock().unwrap_or_else(PoisonError::into_inner);
        on_own_stack(work).unwrap_or_default()
    };
    match many {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}

/// Runs as far as what has been read reaches.
struct Turn<'t, 'c> {
    world: &'t World<'c>,
    limits: &'t Limits,
    snippet: &'t Snippet,
}

impl<'t, 'c> Turn<'t, 'c> {
    fn new(world: &'t World<'c>, limits: &'t Limits, snippet: &'t Snippet) -> Self {
        Self {
            world,
            limits,
            snippet,
        }
    }

    /// Begins runs from the `first` on; how many, and those that wait.
    fn begin<'a>(
        &self,
        errands: &'a [Errand<'a>],
        first: usize,
        done: &mut Results,
    ) -> (usize, Vec<Waiting<'a>>) {
        let clock = Clock {
            now: self.world.vars().now,
            tz: self.world.vars().tz,
        };
        let mut waiting = Vec::new();
        let before = memory_in_use();
        for (place, errand) in errands.iter().enumerate().skip(first) {
            // At least one: memory is the whole process's, and may have grown by the work of others.
            if place > first && memory_in_use().saturating_sub(before) > TOGETHER * self.limits.memory {
                return (place - first, waiting);
            }
            if exhausted(done) {
                done[place] = Some(Err(Failure::limit(format!(
                    "not run: the same code ended at its limits on {PATIENCE} records"
                ))));
                continue;
            }
            let mut objects = Objects::default();
            let inputs = self.world.inputs(&mut objects, errand);
            let step = self.snippet.start(clock, self.limits, inputs);
            let run = Running {
                place,
                errand,
                objects,
                host_calls: 0,
            };
            waiting.extend(self.answered(run, step, done));
        }
        (errands.len() - first, waiting)
    }

    fn go_on<'a>(&self, waiting: Vec<Waiting<'a>>, done: &mut Results) -> Vec<Waiting<'a>> {
        let again = |w: Waiting<'a>| self.answered(w.run, Step::Asks(w.ask), done);
        waiting.into_iter().filter_map(again).collect()
    }

    /// Answers a run from memory as long as that is possible.
    fn answered<'a>(&self, mut run: Running<'a>, mut step: Step, done: &mut Results) -> Option<Waiting<'a>> {
        let image = Image {
            model: &run.errand.model.name,
            id: run.errand.record,
            values: run.errand.image,
        };
        loop {
            let ended = match step {
                Step::Done(value) => Ok(value),
                Step::Failed(failure) => Err(failure),
                Step::Asks(ask) => match self.world.answer(&mut run.objects, image, &ask.question()) {
                    Ok(reply) => {
                        step = ask.answer(self.snippet, reply);
                        continue;
                    }
                    Err(need) if run.host_calls < self.limits.host_calls => {
                        run.host_calls += 1;
                        return Some(Waiting { run, ask, need });
                    }
                    Err(_) => Err(Failure::limit(format!(
                        "it asks the host more than {} times; one search with a domain finds many records at once",
                        self.limits.host_calls
                    ))),
                },
            };
            done[run.place] = Some(ended);
            return None;
        }
    }
}

fn exhausted(done: &Results) -> bool {
    let at_limit = |d: &&Option<Result<MontyObject, Failure>>| matches!(d, Some(Err(failure)) if failure.kind == FailureKind::Limit);
    done.iter().filter(at_limit).count() >= PATIENCE
}

fn memory_in_use() -> usize {
    monty_types::LIVE_MEMORY.load(std::sync::atomic::Ordering::Relaxed)
}
