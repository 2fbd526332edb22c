//! Where log lines go: to journald with structured fields under systemd, else as readable lines on standard error.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Overrides the level, in the syntax of tracing's filter.
pub const ENV_LOG: &str = "SICANTIK_NOTIFYD_LOG";

/// Sets the log up, once. `JOURNAL_STREAM` is how systemd says that standard error is the journal.
pub fn init() {
    let filter =
        EnvFilter::try_from_env(ENV_LOG).unwrap_or_else(|_| EnvFilter::new("warn,sicantik_notifyd=info"));
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let layer = match journal {
        Some(layer) => layer
            .with_field_prefix(None)
            .with_syslog_identifier("sicantik-notifyd".into())
            .boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
    };
    // A second call (tests) changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
