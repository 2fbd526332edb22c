//! Real parts for tests and for `demo`: an ephemeral PostgreSQL, the host fixture, a fake WhatsApp gateway.

pub mod gateway;
pub mod host;
pub mod postgres;
