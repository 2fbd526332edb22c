//! Says a thing once. A server that is down for an hour makes every stage fail every second, always in the same words:
//! a warning or error that says exactly what it said less than a minute ago is left out. Lines that differ in anything (the
//! message's id, the error) are all kept, and so is everything below a warning.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// How long a line is not repeated.
const QUIET: Duration = Duration::from_secs(60);
/// Most lines that are remembered; beyond that the memory starts anew, and a line may come twice.
const MEMORY: usize = 256;

/// The filter.
#[derive(Debug, Default)]
pub struct Repeats {
    said: Mutex<HashMap<String, Instant>>,
}

impl Repeats {
    fn is_new(&self, line: String, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&line).is_some_and(|at| now.duration_since(*at) < QUIET) {
            return false;
        }
        if said.len() >= MEMORY {
            said.clear();
        }
        said.insert(line, now);
        true
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let mut line = Line(event.metadata().name().to_owned());
        event.record(&mut line);
        self.is_new(line.0, Instant::now())
    }
}

/// All that a line says.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_comes_once_a_minute() {
        let repeats = Repeats::default();
        let start = Instant::now();
        assert!(repeats.is_new("down".into(), start));
        assert!(!repeats.is_new("down".into(), start + QUIET / 2));
        assert!(repeats.is_new("another".into(), start + QUIET / 2));
        assert!(repeats.is_new("down".into(), start + QUIET));
    }

    #[test]
    fn the_memory_is_bounded() {
        let repeats = Repeats::default();
        let now = Instant::now();
        for n in 0..10 * MEMORY {
            assert!(repeats.is_new(n.to_string(), now));
        }
        assert!(repeats.said.lock().expect("not poisoned").len() <= MEMORY);
    }
}
