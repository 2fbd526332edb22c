//! One suite that both capture backends pass: the same writes of the host make the same events. Where the backends differ, the
//! test says so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod order;
mod stand;
mod triggers;
mod values;
mod writes;
