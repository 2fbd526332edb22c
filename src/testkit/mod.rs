//! Real parts for tests and for `demo`: an ephemeral PostgreSQL, the host fixture, a fake WhatsApp gateway, and an
//! [`office`] in which they stand together with the daemon.

pub mod gateway;
pub mod host;
pub mod office;
pub mod postgres;
