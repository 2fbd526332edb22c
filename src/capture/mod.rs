//! Stage 1: a host write becomes a row of `event`, in the host's own transaction.
//!
//! Capturing itself is SQL (`sql/hooks`): statement triggers whose bodies are generated. Here is what surrounds it: which
//! columns matter ([`plan`]), installing and verifying ([`hooks`]), being woken ([`wake`]), and reading events back as
//! changes of records ([`event`]), and events that stand for no change ([`fire`]).

pub mod event;
pub mod fire;
pub mod hooks;
pub mod plan;
pub mod replication;
pub mod wake;
