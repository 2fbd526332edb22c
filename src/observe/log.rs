//! Where log lines go: to journald with structured fields under systemd, else as readable lines on standard error.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::repeats::Repeats;

/// Overrides the level, in the syntax of tracing's filter.
pub const ENV_LOG: &str = "SICANTIK_NOTIFYD_LOG";

/// Sets the log up, once.
pub fn init() {
    let filter =
        // What the replication client logs, we say ourselves, with what to do.
        EnvFilter::try_from_env(ENV_LOG).unwrap_or_else(|_| EnvFilter::new("warn,sicantik_notifyd=info,pgwire_replication=off"));
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), std::io::stderr())
        .then(|| tracing_journald::layer().ok())
        .flatten();
    let layer = match journal {
        // journald's own clock stamps the entry; the fields keep their names (RULE=, QUEUE_ID=, …).
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
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer.with_filter(filter_fn(may_be_shown).and(Repeats::default())))
        .try_init();
}

/// At the debug level the driver prints the parameters of statements, which are numbers and messages of citizens: what
/// libraries say below info is never shown, whatever the filter says.
fn may_be_shown(meta: &Metadata<'_>) -> bool {
    *meta.level() <= Level::INFO || meta.target().starts_with("sicantik_notifyd")
}

/// Whether this stream is the journal: `JOURNAL_STREAM` holds `device:inode` of the stream that systemd connected. The
/// variable alone proves nothing, since every child inherits it, also one whose output was sent to a file.
fn is_journal(variable: Option<&str>, stream: impl AsFd) -> bool {
    let Some((device, inode)) = variable.and_then(|v| v.split_once(':')) else {
        return false;
    };
    let Ok(meta) = stream
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).metadata())
    else {
        return false;
    };
    device.parse() == Ok(meta.dev()) && inode.parse() == Ok(meta.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().expect("a file");
        let meta = file.metadata().expect("its metadata");
        let named = |device: u64, inode: u64| is_journal(Some(&format!("{device}:{inode}")), &file);
        assert!(named(meta.dev(), meta.ino()));
        assert!(!named(meta.dev(), meta.ino() + 1));
        assert!(!named(meta.dev() + 1, meta.ino()));
        for wrong in [None, Some(""), Some("1"), Some("a:b")] {
            assert!(!is_journal(wrong, &file), "{wrong:?}");
        }
    }
}
