//! The HTTP listener, with the real daemon and the webhooks of the fake gateway: who is believed, what is stored, and that
//! nothing here reaches the other stages.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "webhooks/bench.rs"]
mod bench;
mod desk;

#[path = "webhooks/calls.rs"]
mod calls;
#[path = "webhooks/forward.rs"]
mod forward;
#[path = "webhooks/health.rs"]
mod health;
#[path = "webhooks/inbound.rs"]
mod inbound;
#[path = "webhooks/receipts.rs"]
mod receipts;
#[path = "webhooks/statistics.rs"]
mod statistics;
