//! Configuration as data: a file that says what should be, and the tables that say what is.
//!
//! ```text
//! tables ──export──▶ file ──document──▶ rows with their places ──diff──▶ changes ──apply──▶ tables, all or nothing
//! tables of the replaced module ──import──▶ rows, each with a mark of where it came from
//! ```
//!
//! Promises: an export applied to the database it came from changes nothing; a file is taken as a whole or not at all, after the
//! same survey that `check` makes; no file, diff or report holds a secret.

pub mod apply;
pub mod complaint;
pub mod diff;
pub mod document;
pub mod export;
pub mod import;
mod secrets;
pub mod shape;
pub mod store;
