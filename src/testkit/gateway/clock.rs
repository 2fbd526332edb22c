//! The gateway's own time, so that a test of a rate or of a 24-hour window does not wait for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time since the gateway started, as its rates and windows see it.
///
/// It runs with the real clock until it is frozen, and it can be pushed ahead. It never touches how long a
/// scripted delay really takes.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ahead: Duration,
    frozen: Option<Duration>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// The gateway's time.
    pub fn now(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.frozen.unwrap_or_else(|| self.start.elapsed()) + state.ahead
    }

    /// Moves the time forward; works on a frozen clock too.
    pub fn advance(&self, by: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ahead += by;
    }

    /// Stops the time: from here on only [`Clock::advance`] moves it.
    pub fn freeze(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.frozen.get_or_insert_with(|| self.start.elapsed());
    }
}
