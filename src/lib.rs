//! sicantik-notifyd: committed changes of permits and documents become WhatsApp messages.
//!
//! The modules follow the road of one event; dependencies point one way,
//! `cli → daemon → stages → foundations`, and two stages meet only in a table:
//!
//! | module       | part |
//! |--------------|------|
//! | [`capture`]  | stage 1: a host write becomes a row of `event`, in the host's own transaction |
//! | [`evaluate`] | stage 2: `event` → triggers, rules, recipients → `queue`, in one transaction |
//! | [`deliver`]  | stage 3: due messages of `queue` → a provider → `log` |
//! | [`queue`]    | the table between them: enqueue, claim, settle, recover |
//! | [`lang`]     | what users write: Odoo domains |
//! | [`host`]     | the Odoo database we are attached to: catalogue, records, identity |
//! | [`db`]       | connections, TLS, LISTEN, migrations |
//! | [`observe`]  | logs, journald, sd_notify |
//! | [`testkit`]  | ephemeral PostgreSQL, host fixture, fake gateway (tests and `demo`) |

pub mod db;
pub mod deliver;
pub mod host;
pub mod lang;
pub mod testkit;
