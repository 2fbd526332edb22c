//! Odoo domains: from what a user typed to SQL with Odoo 18's meaning.
//!
//! ```text
//! text ──literal──▶ Node ──ast──▶ Domain ──compile──▶ boolean SQL over `t`, values bound
//!                                       └──Twin──▶ the same answer in Rust, where that is certain
//! ```
//!
//! [`parse`] reads Python literals, [`Domain::build`] takes any evaluated [`Node`], so that a value which an
//! interpreter computed enters by the same door. A leaf on a column is planned once (`plan`) and rendered
//! twice (`compile`, `twin`). What leaves the row — paths, x2many, names of relations — is in `relation`.
//!
//! This is a security boundary: user values are only ever bound, identifiers come only from the catalogue.

mod alias;
mod ast;
mod coerce;
mod compile;
mod dates;
mod error;
mod expression;
mod hierarchy;
mod lines;
mod lint;
mod literal;
mod names;
mod numbers;
mod operator;
mod parts;
mod plan;
mod reach;
mod relation;
mod render;
mod scope;
mod secret;
mod sql;
mod strings;
mod tree;
mod twin;
mod value;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use alias::{Aliases, Note, NoteKind};
pub use ast::{Domain, Leaf};
pub use compile::{BaseKind, BaseRow, Compiled, Search, compile};
pub use error::{DomainError, ErrorKind, Span};
pub use expression::{Source, Vars};
pub(crate) use expression::{of_value, plain};
pub use lint::{Lint, LintKind, lint};
pub use operator::Operator;
pub(crate) use secret::is_secret;
pub use sql::{Param, shifted};
pub use twin::Twin;
pub use value::{Node, Value};

/// Longest domain text, in bytes. Ten thousand ids in a list fit; anything longer is a mistake or an attack.
pub const MAX_TEXT: usize = 64 * 1024;
/// Deepest nesting of lists and tuples in the text. A plain domain needs 3; each `any` adds 3.
pub const MAX_NESTING: usize = 32;
/// Most conditions in one domain: PostgreSQL plans that many without trouble, people write a dozen.
pub const MAX_LEAVES: usize = 512;
/// Deepest tree of `&`, `|` and `!`; chains of one operator are flat and do not count. Bounds the recursion.
pub const MAX_DEPTH: usize = 64;
/// Most relations that one condition follows, one after the other.
pub const MAX_STEPS: usize = 16;
/// Most elements in one list of values; they travel as a single array parameter.
pub const MAX_ITEMS: usize = 10_000;

/// Reads a domain written as Python literals.
///
/// Text that is Python but no literal (`datetime.now()`) gives an error whose
/// [`needs_interpreter`](DomainError::needs_interpreter) is true.
pub fn parse(text: &str) -> Result<Domain, DomainError> {
    Domain::build(&literal::parse(text)?)
}
