//! The test kit itself: a server that starts, leaves nothing behind, and can be copied; a host fixture that is one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "testkit/cluster.rs"]
mod cluster;
#[path = "testkit/host.rs"]
mod host;
