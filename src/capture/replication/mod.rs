//! Capture by logical replication: the host's committed transactions become rows of `event`, and nothing of ours stands on
//! its tables.

pub mod decode;
