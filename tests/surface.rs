//! The daemon's surface: what systemd, the journal, the DBA and the operator see. Real processes, a real PostgreSQL.

#![allow(clippy::expect_used)] // the helpers are tests, too
#[path = "surface/harness.rs"]
mod harness;

#[path = "surface/commands.rs"]
mod commands;
#[path = "surface/defaults.rs"]
mod defaults;
#[path = "surface/journal.rs"]
mod journal;
#[path = "surface/migrate.rs"]
mod migrate;
#[path = "surface/reload.rs"]
mod reload;
#[path = "surface/rights.rs"]
mod rights;
#[path = "surface/service_manager.rs"]
mod service_manager;
#[path = "surface/tls.rs"]
mod tls;
#[path = "surface/uninstall.rs"]
mod uninstall;
#[path = "surface/unit.rs"]
mod unit;
#[path = "surface/wake.rs"]
mod wake;
