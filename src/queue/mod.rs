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
//! A message that is pending and not ready waits for its time, or for what `waiting_for` names: its rule's activation, room
//! within the rate limit (`admit`), the end of quiet hours, a batch slot, a provider. The claim's index holds none of these.
//!
//! The rate limit counts places: one is reserved in the statement that claims a message, and free again one period after its
//! call has ended, or at once where there was no call. Whoever writes `rate_usage` for a claim holds the rule's row of
//! `rate_state`.
//!
//! Every step after the claim names the claim's token; one that touches no row is stale and changes nothing.

pub mod claim;
pub mod enqueue;
pub mod holding;
pub mod lookout;
pub mod memory;
pub mod recover;
pub mod settle;
pub mod timeline;
