//! Evaluation against a real server: what becomes of a change, who is told, how often, and why.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod errors;
mod grouping;
mod history;
mod mismatch;
mod outcomes;
mod python;
mod recipients;
mod repetition;
mod side_by_side;
mod statements;
mod terms;
