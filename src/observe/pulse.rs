//! Signs of progress. Each stage beats once a round; the watchdog of systemd is fed only while every stage beats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The beat of one stage.
#[derive(Clone, Debug)]
pub struct Pulse {
    name: &'static str,
    origin: Instant,
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// A pulse that beats now.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            origin: Instant::now(),
            last: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Which stage.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One round was begun.
    pub fn beat(&self) {
        self.last
            .store(self.origin.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long ago the last round was begun.
    pub fn silence(&self) -> Duration {
        self.origin
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}
