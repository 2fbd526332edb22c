//! What operators see: log lines (journald fields under systemd), signs of life.

pub mod log;
pub mod pulse;
