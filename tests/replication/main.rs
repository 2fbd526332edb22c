//! Capture from the replication slot: setting it up and removing it, changing over, crashes, and everything that can go wrong
//! with a slot. What it captures is the business of the conformance suite.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crashes;
mod failover;
mod load;
mod setup;
#[path = "../conformance/stand.rs"]
mod stand;
mod switch;
mod tls;
mod trouble;
