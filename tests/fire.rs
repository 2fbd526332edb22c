//! Firing, simulating and backfilling: who may, what becomes of it, and what is left as it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

#[path = "fire/backfill.rs"]
mod backfill;
#[path = "fire/by_hand.rs"]
mod by_hand;
#[path = "fire/guide.rs"]
mod guide;
#[path = "fire/simulate.rs"]
mod simulate;
#[path = "fire/stand.rs"]
mod stand;
