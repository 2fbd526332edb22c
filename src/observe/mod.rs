//! What operators see: numbers for Prometheus, log lines (journald fields under systemd), signs of life, words to the service manager.

pub mod log;
pub mod manager;
pub mod metrics;
pub mod pulse;
pub mod repeats;
