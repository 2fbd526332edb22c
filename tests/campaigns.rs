//! Campaigns, end to end: a real PostgreSQL, the real binary, real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

#[path = "campaigns/basic.rs"]
mod basic;
#[path = "campaigns/commands.rs"]
mod commands;
#[path = "campaigns/flight.rs"]
mod flight;
#[path = "campaigns/leader.rs"]
mod leader;
#[path = "campaigns/stand.rs"]
mod stand;
#[path = "campaigns/totals.rs"]
mod totals;
