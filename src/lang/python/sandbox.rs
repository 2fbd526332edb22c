//! Runs a checked expression under its limits.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use monty::{MontyRun, RunProgress};
use monty_types::{
    CompileOptions, ExcType, ExtFunctionResult, MontyDate, MontyDateTime, MontyException, MontyObject,
    NameLookupResult, OsFunctionCall, PrintWriter, ResourceLimits, ResourceTracker,
};

use super::guard::Program;
use super::{Failure, FailureKind, MAX_CALLS, MAX_DURATION, MAX_MEMORY, MAX_QUESTIONS};

/// The two clocks that an expression sees: the server's (UTC) and the user's calendar day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The moment.
    pub now: DateTime<Utc>,
    /// Where the user is.
    pub tz: Tz,
}

/// The value of an expression.
pub type Answer = Result<MontyObject, Failure>;

/// Longest message of an error, in characters: code may raise texts of any length.
const MAX_MESSAGE: usize = 500;
const OPEN: &str = "_sn_bounded((\n";
const STACK: usize = 64 * 1024 * 1024;
pub(in crate::lang) const PRELUDE: &str = include_str!("prelude.py");
/// Arithmetic where no `relativedelta` is in play.
pub(in crate::lang) const NATURAL: &str = include_str!("natural.py");
pub(in crate::lang) const DELTAS: &str = include_str!("relativedelta.py");
pub(in crate::lang) const PERCENT: &str = include_str!("percent.py");

/// Runs on a thread with a stack that fits what the limits admit; pages that are not touched cost nothing.
pub(crate) fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("expression".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .ok()?;
        thread.join().ok()
    })
}

/// Evaluates; `names` are what the expression may use beside Python's own.
///
/// # Errors
/// [`Failure`] with its place in the text.
pub fn run(program: &Program, clock: Clock, names: Vec<(String, MontyObject)>) -> Answer {
    let whole = 0..program.text.len();
    on_own_stack(|| evaluate(program, clock, names)).unwrap_or_else(|| {
        Err(Failure::new(
            FailureKind::Limit,
            whole,
            "the expression cannot be evaluated",
        ))
    })
}

fn evaluate(program: &Program, clock: Clock, names: Vec<(String, MontyObject)>) -> Answer {
    let deltas = if program.deltas { DELTAS } else { NATURAL };
    let percent = if program.code.contains("_sn_percent") {
        PERCENT
    } else {
        ""
    };
    let prelude = format!("{PRELUDE}{deltas}{percent}");
    // The value of the last statement is the value of the run. It leaves the sandbox as a copy in which nothing is
    // shared, so its size is taken while the limits hold.
    let code = format!("{prelude}{OPEN}{}\n))", program.code);
    let place = Place {
        program,
        code: &code,
        offset: prelude.len() + OPEN.len(),
        duration: MAX_DURATION,
    };
    let (mut inputs, mut values): (Vec<String>, Vec<MontyObject>) = names.into_iter().unzip();
    inputs.push("_sn_today".into());
    values.push(today(&clock));
    if program.code.contains("_sn_to_utc") {
        inputs.push("_sn_to_utc".into());
        values.push(MontyObject::Function {
            name: "_sn_to_utc".into(),
            docstring: None,
        });
    }
    let run = MontyRun::new(code.clone(), "domain", inputs, CompileOptions::default())
        .map_err(|e| place.failure(&e))?;
    let limits = ResourceLimits::default()
        .max_duration(MAX_DURATION)
        .max_memory(MAX_MEMORY)
        .max_recursion_depth(MAX_CALLS)
        .max_suspensions(MAX_QUESTIONS);
    measure_memory();
    let mut progress = run
        .start(values, ResourceTracker::new(limits), PrintWriter::Disabled)
        .map_err(|e| place.failure(&e))?;
    for _ in 0..MAX_QUESTIONS {
        progress = match progress {
            RunProgress::Complete(value) => return Ok(value),
            other => step(other, &clock).map_err(|e| place.failure(&e))?,
        };
    }
    match progress {
        RunProgress::Complete(value) => Ok(value),
        _ => Err(Failure::new(
            FailureKind::Limit,
            0..program.text.len(),
            format!("the expression asks for the time more than {MAX_QUESTIONS} times"),
        )),
    }
}

/// What is in use now counts as nothing: the limit on memory is for what is made from here on. Other work of the process
/// counts too while an expression runs, which is why the limit is far above what an expression needs.
pub(in crate::lang) fn measure_memory() {
    use std::sync::atomic::Ordering::Relaxed;
    monty_types::BASELINE_MEMORY.store(monty_types::LIVE_MEMORY.load(Relaxed), Relaxed);
}

/// Answers one question of the sandbox.
pub(in crate::lang) fn step(progress: RunProgress, clock: &Clock) -> Result<RunProgress, MontyException> {
    let print = PrintWriter::Disabled;
    match progress {
        RunProgress::OsCall(call) => {
            let answer = match &call.function_call {
                OsFunctionCall::DateToday => MontyObject::Date(date(&clock.now.naive_utc())).into(),
                OsFunctionCall::DateTimeNow(zone) => {
                    let offset = zone.as_ref().map(|z| (z.offset_seconds, z.name.clone()));
                    MontyObject::DateTime(now(clock, offset)).into()
                }
                _ => ExtFunctionResult::Error(refusal("nothing outside can be reached from here")),
            };
            call.resume(answer, print)
        }
        RunProgress::NameLookup(lookup) => lookup.resume(NameLookupResult::Undefined, print),
        RunProgress::FunctionCall(call) => {
            let answer = match (call.function_name.as_str(), call.args.as_slice()) {
                ("_sn_to_utc", [MontyObject::DateTime(local)]) => to_utc(clock, local),
                ("_sn_to_utc", _) => ExtFunctionResult::Error(MontyException::new(
                    ExcType::AttributeError,
                    Some("only a datetime has `to_utc`".into()),
                )),
                (name, _) => ExtFunctionResult::NotFound(name.to_owned()),
            };
            call.resume(answer, print)
        }
        RunProgress::ResolveFutures(futures) => futures.abort(refusal("nothing can be awaited here"), print),
        done @ RunProgress::Complete(_) => Ok(done),
    }
}

pub(in crate::lang) fn refusal(message: &str) -> MontyException {
    MontyException::new(ExcType::TypeError, Some(message.to_owned()))
}

pub(super) fn date(at: &NaiveDateTime) -> MontyDate {
    MontyDate {
        year: at.year(),
        month: at.month() as u8,
        day: at.day() as u8,
    }
}

pub(in crate::lang) fn today(clock: &Clock) -> MontyObject {
    MontyObject::Date(date(&clock.now.with_timezone(&clock.tz).naive_local()))
}

pub(in crate::lang) fn datetime(at: &NaiveDateTime) -> MontyDateTime {
    MontyDateTime {
        year: at.year(),
        month: at.month() as u8,
        day: at.day() as u8,
        hour: at.hour() as u8,
        minute: at.minute() as u8,
        second: at.second() as u8,
        microsecond: (at.nanosecond() / 1000).min(999_999),
        offset_seconds: None,
        timezone_name: None,
    }
}

fn now(clock: &Clock, zone: Option<(i32, Option<String>)>) -> MontyDateTime {
    let Some((offset, name)) = zone else {
        return datetime(&clock.now.naive_utc());
    };
    let local = clock.now.naive_utc() + chrono::Duration::seconds(offset.into());
    MontyDateTime {
        offset_seconds: Some(offset),
        timezone_name: name,
        ..datetime(&local)
    }
}

/// The user's wall time as UTC; in a gap of the clock, an hour later; in a repeated hour, the first one.
fn to_utc(clock: &Clock, local: &MontyDateTime) -> ExtFunctionResult {
    let naive = naive(local);
    let at = naive.and_then(|naive| {
        let later = naive + chrono::Duration::hours(1);
        clock
            .tz
            .from_local_datetime(&naive)
            .earliest()
            .or_else(|| clock.tz.from_local_datetime(&later).earliest())
    });
    match at {
        Some(at) => MontyObject::DateTime(datetime(&at.naive_utc())).into(),
        None => ExtFunctionResult::Error(refusal("this moment is beyond the calendar")),
    }
}

/// A datetime of the sandbox; its zone is dropped.
pub(crate) fn naive(at: &MontyDateTime) -> Option<NaiveDateTime> {
    chrono::NaiveDate::from_ymd_opt(at.year, at.month.into(), at.day.into())?.and_hms_micro_opt(
        at.hour.into(),
        at.minute.into(),
        at.second.into(),
        at.microsecond,
    )
}

/// Finds the place of an error in the text as the user wrote it.
pub(in crate::lang) struct Place<'a> {
    pub(in crate::lang) program: &'a Program,
    pub(in crate::lang) code: &'a str,
    pub(in crate::lang) offset: usize,
    pub(in crate::lang) duration: std::time::Duration,
}

impl Place<'_> {
    pub(in crate::lang) fn failure(&self, error: &MontyException) -> Failure {
        let kind = match error.exc_type() {
            ExcType::SyntaxError => FailureKind::Syntax,
            ExcType::NameError
            | ExcType::UnboundLocalError
            | ExcType::AttributeError
            | ExcType::ImportError => FailureKind::Name,
            ExcType::TimeoutError | ExcType::MemoryError | ExcType::RecursionError => FailureKind::Limit,
            _ => FailureKind::Value,
        };
        let range = self.range(error).unwrap_or(0..self.program.text.len());
        let message = match (error.exc_type(), error.message()) {
            (ExcType::TimeoutError, _) => format!("it takes longer than {:?}", self.duration),
            (ExcType::MemoryError, _) => "it makes something too large".to_owned(),
            (_, Some(message)) => message.replace("_sn_", ""),
            (kind, None) => kind.to_string(),
        };
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        let failure = Failure::new(kind, range, message);
        match error.exc_type() {
            ExcType::NameError => failure.hint(
                "known are datetime, date, time, timedelta, relativedelta, context_today(), current_date, uid, user, \
                 company_id, company_ids, allowed_company_ids, context",
            ),
            _ => failure,
        }
    }

    /// The outermost frame that lies in the text.
    fn range(&self, error: &MontyException) -> Option<std::ops::Range<usize>> {
        let frame = error.traceback().iter().find(|frame| {
            self.byte(frame.start.line, frame.start.column)
                .is_some_and(|at| at >= self.offset)
        })?;
        let start = self.byte(frame.start.line, frame.start.column)?;
        let end = self.byte(frame.end.line, frame.end.column).unwrap_or(start);
        let start = self.program.original(start.saturating_sub(self.offset));
        let end = self.program.original(end.saturating_sub(self.offset)).max(start);
        Some(start..end)
    }

    /// The byte of the code at a line and column, both counted from 1.
    fn byte(&self, line: u32, column: u32) -> Option<usize> {
        let mut start = 0;
        for _ in 1..line {
            start += self.code.get(start..)?.find('\n')? + 1;
        }
        let rest = self.code.get(start..)?;
        let column = usize::try_from(column).ok()?.saturating_sub(1);
        Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
    }
}
