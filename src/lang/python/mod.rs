//! Python expressions in a sandbox without ambient access: no files, no network, no clock but the injected one.
//!
//! ```text
//! text ──guard──▶ checked and rewritten source ──monty──▶ value
//! ```
//!
//! This is a security boundary. Before anything runs, the text is parsed: names with two underscores and
//! builtins that Odoo 18 does not offer in a domain either are refused ([`guard`]). Then it runs under limits
//! of time, size, recursion and questions to the host ([`sandbox`]). What the sandbox cannot do itself is
//! rewritten: a class defined in it has no operators, so `a - b` becomes a call where a `relativedelta` is in
//! play, and `datetime` is both the class and the module.

mod guard;
mod records;
mod sandbox;

pub(in crate::lang) use guard::{Edit, Tree, bytes, parse, rewrite};
pub use guard::{Form, Program};
pub use records::INPUTS;
pub use sandbox::{Answer, Clock, run};
pub(in crate::lang) use sandbox::{
    DELTAS, NATURAL, PERCENT, PRELUDE, Place, datetime, measure_memory, refusal, step, today,
};
pub(crate) use sandbox::{naive, on_own_stack};

use std::time::Duration;

/// Longest text of an expression, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Most signs in a text that could nest (brackets, operators, dots); it bounds every recursion over the tree.
pub const MAX_SIGNS: usize = 6_000;
/// How long an expression may run. A usual one takes a tenth of a millisecond.
pub const MAX_DURATION: Duration = Duration::from_millis(100);
/// Most memory of an expression, in bytes.
pub const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// Deepest calls of lambdas.
pub const MAX_CALLS: usize = 64;
/// Most questions to the host (the clock, a time zone, an attribute that is not there).
pub const MAX_QUESTIONS: usize = 200;

/// What kind of wrong it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Not Python, or not an expression.
    Syntax,
    /// A name or attribute that is not there or not allowed.
    Name,
    /// Anything that Python raises about values.
    Value,
    /// Too long, too large, too deep.
    Limit,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// One clause.
    pub message: String,
    /// Bytes of the text that it is about.
    pub start: usize,
    /// One past the last of them.
    pub end: usize,
    /// The remedy, if one is known.
    pub hint: Option<String>,
}

impl Failure {
    /// Beyond a limit, as a whole.
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Limit, 0..0, message)
    }

    pub(in crate::lang) fn new(
        kind: FailureKind,
        range: std::ops::Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            start: range.start,
            end: range.end,
            hint: None,
        }
    }

    pub(in crate::lang) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
