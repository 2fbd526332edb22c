//! sicantik-notifyd: committed changes of permits and documents become WhatsApp messages.
//!
//! The modules follow the road of one event; dependencies point one way,
//! `cli → daemon → stages → foundations`, and two stages meet only in a table:
//!
//! | module       | part |
//! |--------------|------|
//! | [`cli`]      | one file a subcommand |
//! | [`config`]   | the daemon file and the environment |
//! | [`daemon`]   | starts, supervises and stops the stages |
//! | [`capture`]  | stage 1: a host write becomes a row of `event`, in the host's own transaction |
//! | [`evaluate`] | stage 2: `event` → triggers, rules, recipients → `queue`, in one transaction |
//! | [`deliver`]  | stage 3: due messages of `queue` → a provider → `log` |
//! | [`schedule`] | what happens by the clock: jobs and cron triggers, run by one instance |
//! | [`fire`]     | a person or a programme asks a trigger to look at records; simulation and backfill |
//! | [`http`]     | what providers tell afterwards (webhooks), and whether the daemon is well |
//! | [`queue`]    | the table between them: enqueue, claim, settle, recover |
//! | [`setup`]    | configuration as data: export, apply, import from the module that is replaced |
//! | [`lang`]     | what users write: Odoo domains, Python |
//! | [`host`]     | the Odoo database we are attached to: catalogue, records, numbers, the permit to send |
//! | [`db`]       | connections, TLS, LISTEN, statements, migrations |
//! | [`observe`]  | logs, journald, numbers for Prometheus, signs of life |
//! | [`testkit`]  | ephemeral PostgreSQL, host fixture, fake gateway (tests and `demo`) |

/// Counts what is in use, so that code that users write can be held to a limit of memory.
#[global_allocator]
static ALLOCATOR: monty_alloc::LimitedAllocator = monty_alloc::LimitedAllocator;

pub mod capture;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod db;
pub mod deliver;
pub mod evaluate;
pub mod fire;
pub mod host;
pub mod http;
pub mod lang;
pub mod observe;
pub mod queue;
pub mod schedule;
pub mod setup;
pub mod testkit;
