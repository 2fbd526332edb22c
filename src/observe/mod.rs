//! What operators see: log lines (journald fields under systemd), signs of life, words to the service manager.

pub mod log;
pub mod manager;
pub mod pulse;
pub mod repeats;
