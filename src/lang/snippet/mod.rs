//! A condition or a context code of a rule (SICANTIK guide §4.2): read once, run for each record. A run stops wherever it
//! needs the host, and goes on with the answer; so many runs can wait for one statement together.

use chrono::TimeZone;
use monty::{MontyRun, RunProgress};
use monty_types::{
    CompileOptions, ExcType, ExtFunctionResult, MontyException, MontyObject, MontyUuid, NameLookupResult,
    PrintWriter, ResourceLimits, ResourceTracker,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod infer;
pub mod object;

pub use super::python::INPUTS;
pub(crate) use infer::display_column;
pub use infer::{Reads, Scope};

use super::python::{
    self, Clock, DELTAS, Failure, FailureKind, Form, NATURAL, PERCENT, PRELUDE, Place, Program,
    measure_memory, on_own_stack, parse, rewrite,
};
use infer::infer;

const RECORDS: &str = include_str!("records.py");
/// Functions of the prelude that the host answers.
const HOST: &[&str] = &["_sn_model", "_sn_records", "_sn_read", "_sn_order"];

/// What one run of a snippet may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time of its own, waiting for the host not counted.
    pub duration: Duration,
    /// Bytes.
    pub memory: usize,
    /// Calls within calls.
    pub depth: usize,
    /// Looks at attributes and calls of the host, answered from memory or not.
    pub questions: usize,
    /// Those of them that need a statement on the host's database.
    pub host_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duration: Duration::from_millis(100),
            memory: 64 * 1024 * 1024,
            depth: 100,
            questions: 20_000,
            host_calls: 100,
        }
    }
}

/// A snippet, ready to run.
#[derive(Clone, Debug)]
pub struct Snippet {
    program: Program,
    /// Cloned for each run; its clones may go to other threads, it itself may not be shared.
    run: Arc<Mutex<MontyRun>>,
    code: String,
    offset: usize,
    reads: Reads,
}

impl Snippet {
    /// Reads and checks a text. Nothing is run.
    ///
    /// # Errors
    /// [`Failure`], with its place: what is no Python, what is not allowed, and fields that the host's records do not have.
    pub fn new(text: &str, form: Form, scope: &Scope<'_>) -> Result<Self, Failure> {
        let whole = 0..text.len();
        on_own_stack(|| Self::read(text, form, scope))
            .unwrap_or_else(|| Err(Failure::new(FailureKind::Limit, whole, "the code cannot be read")))
    }

    fn read(text: &str, form: Form, scope: &Scope<'_>) -> Result<Self, Failure> {
        let tree = parse(text, form)?;
        // What is not allowed at all is said before what the host does not have.
        rewrite(text, &tree, form, Vec::new())?;
        let (reads, edits) = infer(&tree, scope)?;
        let program = rewrite(text, &tree, form, edits)?;
        if form == Form::Context && !text.contains("context") {
            let message = "the code never sets `context`";
            return Err(Failure::new(FailureKind::Name, 0..text.len(), message)
                .hint("write `context = {'partner_name': recipient.name, …}`"));
        }
        let arithmetic = if program.deltas { DELTAS } else { NATURAL };
        let percent = if program.code.contains("_sn_percent") {
            PERCENT
        } else {
            ""
        };
        let mut code = format!("{PRELUDE}{arithmetic}{percent}{RECORDS}");
        // The value of the last statement is the value of the run.
        let (before, after) = match form {
            Form::Context => ("", "\n_sn_bounded(context)\n"),
            _ => ("_sn_bool(\n", "\n)"),
        };
        code.push_str(before);
        let offset = code.len();
        code.push_str(&program.code);
        code.push_str(after);
        let mut inputs: Vec<String> = INPUTS.iter().map(|name| (*name).to_owned()).collect();
        inputs.extend([
            "_sn_today".to_owned(),
            "_sn_to_utc".to_owned(),
            "_sn_local".to_owned(),
        ]);
        let run = {
            let place = Place {
                program: &program,
                code: &code,
                offset,
                duration: Duration::ZERO,
            };
            MontyRun::new(code.clone(), "code", inputs, CompileOptions::default())
                .map_err(|e| place.failure(&e))?
        };
        Ok(Self {
            program,
            run: Arc::new(Mutex::new(run)),
            code,
            offset,
            reads,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.program.text
    }

    /// Whether it uses this name freely.
    pub fn uses(&self, name: &str) -> bool {
        self.program.uses(name)
    }

    /// What it reads of the host, as far as the text tells.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Begins a run with the values of [`INPUTS`]. To be called on a thread with a stack of its own.
    pub fn start(&self, clock: Clock, limits: &Limits, mut values: Vec<MontyObject>) -> Step {
        let function = |name: &str| MontyObject::Function {
            name: name.to_owned(),
            docstring: None,
        };
        values.push(python::today(&clock));
        values.extend([function("_sn_to_utc"), function("_sn_local")]);
        let tracker = ResourceTracker::new(
            ResourceLimits::default()
                .max_duration(limits.duration)
                .max_memory(limits.memory)
                .max_recursion_depth(limits.depth),
        );
        measure_memory();
        let run = Running {
            clock,
            left: limits.questions,
            duration: limits.duration,
        };
        let fresh = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let begun = fresh.start(values, tracker, PrintWriter::Disabled);
        run.go_on(self, begun)
    }
}

/// How far a run has come.
#[derive(Debug)]
pub enum Step {
    /// It ended with this value.
    Done(MontyObject),
    /// It needs the host.
    Asks(Box<Ask>),
    /// It failed.
    Failed(Failure),
}

/// A run that waits for an answer.
#[derive(Debug)]
pub struct Ask {
    running: Running,
    progress: RunProgress,
}

/// What a run asks the host.
#[derive(Debug)]
pub enum Question<'a> {
    /// The attribute of an object that the host gave it.
    Attribute {
        /// The object.
        object: MontyUuid,
        /// The name.
        name: &'a str,
    },
    /// A call: of a method of an object that the host gave it, or of a function of the prelude.
    Call {
        /// The object.
        object: Option<MontyUuid>,
        /// The method or function.
        name: &'a str,
        /// Positional arguments.
        args: &'a [MontyObject],
        /// Keyword arguments.
        kwargs: &'a [(MontyObject, MontyObject)],
    },
}

/// The host's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A value.
    Value(MontyObject),
    /// Python's `AttributeError`, `KeyError`, `ValueError` …, which the code may catch.
    Raise(ExcType, String),
    /// The run ends here, whatever the code catches.
    Abort(String),
}

impl Ask {
    /// What is asked.
    pub fn question(&self) -> Question<'_> {
        match &self.progress {
            RunProgress::FunctionCall(call) => Question::Call {
                object: call.object_id,
                name: &call.function_name,
                args: &call.args,
                kwargs: &call.kwargs,
            },
            RunProgress::NameLookup(lookup) => Question::Attribute {
                object: lookup.object_id().unwrap_or(MontyUuid::from_u128(0)),
                name: &lookup.name,
            },
            _ => Question::Call {
                object: None,
                name: "",
                args: &[],
                kwargs: &[],
            },
        }
    }

    /// Goes on with the answer. To be called on a thread with a stack of its own.
    pub fn answer(self, snippet: &Snippet, reply: Reply) -> Step {
        let print = PrintWriter::Disabled;
        let exception = |kind, text| MontyException::new(kind, Some(text));
        if let Reply::Abort(text) = reply {
            return Step::Failed(Failure::new(FailureKind::Limit, 0..snippet.text().len(), text));
        }
        let next = match self.progress {
            RunProgress::NameLookup(lookup) => lookup.resume(
                match reply {
                    Reply::Value(value) => NameLookupResult::Value(value),
                    Reply::Raise(kind, text) => NameLookupResult::Error(exception(kind, text)),
                    Reply::Abort(text) => NameLookupResult::Error(exception(ExcType::RuntimeError, text)),
                },
                print,
            ),
            RunProgress::FunctionCall(call) => call.resume(
                match reply {
                    Reply::Value(value) => ExtFunctionResult::Return(value),
                    Reply::Raise(kind, text) => ExtFunctionResult::Error(exception(kind, text)),
                    Reply::Abort(text) => ExtFunctionResult::Error(exception(ExcType::RuntimeError, text)),
                },
                print,
            ),
            other => Ok(other),
        };
        self.running.go_on(snippet, next)
    }
}

#[derive(Clone, Copy, Debug)]
struct Running {
    clock: Clock,
    left: usize,
    duration: Duration,
}

impl Running {
    /// Runs on until the host is needed; what the sandbox answers itself (the clock) is no question to the host.
    fn go_on(mut self, snippet: &Snippet, mut next: Result<RunProgress, MontyException>) -> Step {
        loop {
            let progress = match next {
                Ok(progress) => progress,
                Err(error) => {
                    let place = Place {
                        program: &snippet.program,
                        code: &snippet.code,
                        offset: snippet.offset,
                        duration: self.duration,
                    };
                    return Step::Failed(place.failure(&error));
                }
            };
            match progress {
                RunProgress::Complete(value) => return Step::Done(value),
                _ if self.left == 0 => {
                    let message = "it asks for too many attributes; a search with a domain asks for many records at once";
                    return Step::Failed(Failure::new(FailureKind::Limit, 0..snippet.text().len(), message));
                }
                progress => {
                    self.left -= 1;
                    if is_for_host(&progress) {
                        return Step::Asks(Box::new(Ask {
                            running: self,
                            progress,
                        }));
                    }
                    next = self.own(progress);
                }
            }
        }
    }

    fn own(&self, progress: RunProgress) -> Result<RunProgress, MontyException> {
        match progress {
            RunProgress::FunctionCall(call) if call.function_name == "_sn_local" => {
                let answer = match call.args.last() {
                    Some(MontyObject::DateTime(at)) => local(&self.clock, at),
                    _ => None,
                };
                let refused = python::refusal("context_timestamp wants a record and a datetime");
                let answer = answer.map_or(ExtFunctionResult::Error(refused), ExtFunctionResult::Return);
                call.resume(answer, PrintWriter::Disabled)
            }
            other => python::step(other, &self.clock),
        }
    }
}

/// UTC as the user's wall time.
fn local(clock: &Clock, at: &monty_types::MontyDateTime) -> Option<MontyObject> {
    let utc = python::naive(at)?;
    let local = clock.tz.from_utc_datetime(&utc).naive_local();
    Some(MontyObject::DateTime(python::datetime(&local)))
}

fn is_for_host(progress: &RunProgress) -> bool {
    match progress {
        RunProgress::NameLookup(lookup) => lookup.object_id().is_some(),
        RunProgress::FunctionCall(call) => {
            call.object_id.is_some() || HOST.contains(&call.function_name.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
