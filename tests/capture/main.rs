//! Capture: from a write of the host to a row of `event`, against a real PostgreSQL. Module names say the promise.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bulk;
mod image;
mod p11_install;
mod p2_rollback;
mod p7_misses;
mod p7_writers;
mod stand;
mod upgrades;
mod verify;
mod wake;
mod writes;
