//! Firing: a person or a programme asks a trigger to look at records, without a change.
//!
//! | module | part |
//! |--------|------|
//! | [`order`]    | one firing: checked, compiled, written as events, and noted with whoever asked |
//! | [`records`]  | which records a trigger is about, as a condition on their table |
//! | [`simulate`] | what a trigger would tell of records, or would have told of the last days; nothing is written |
//! | [`backfill`] | events for changes that were missed |
//!
//! Promises: what is fired goes the way of every event; who fired is known afterwards. Must not: enqueue or send.

pub mod backfill;
pub mod order;
pub mod records;
pub mod simulate;
