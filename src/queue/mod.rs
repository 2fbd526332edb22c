//! The table between evaluation and delivery: enqueue, claim, settle, recover.
//!
//! States and who moves a message between them:
//!
//! ```text
//!            enqueue                     claim                    settle_done
//!  (nothing) ───────► pending ─ready?─► processing ─────────────────────────► log
//!                       ▲  ▲              │  │ │
//!        promote (due) ─┘  └─ settle_later┘  │ └─ hold ─► held
//!                          └──── recover ────┘   (no heartbeat, lease ended)
//! ```
//!
//! Every step after the claim names the claim's token; one that touches no row is stale and changes nothing.

pub mod claim;
pub mod enqueue;
pub mod holding;
pub mod recover;
pub mod settle;
