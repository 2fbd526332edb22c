//! Keeping stages alive, and telling systemd whether they are.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::observe::manager;
use crate::observe::pulse::Pulse;

/// Before a failed stage begins again: long enough not to burn a core, short enough not to be noticed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a stage, again and again until `stop`: a stage that panics or ends too early must not silence the daemon. `make`
/// learns whether this is not the first time.
pub fn supervise<F, Fut>(name: &'static str, stop: CancellationToken, make: F) -> JoinHandle<()>
where
    F: Fn(bool) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut again = false;
        loop {
            let result = tokio::spawn(make(again)).await;
            if stop.is_cancelled() {
                return;
            }
            match result {
                Ok(()) => tracing::error!(STAGE = name, "Stage {name} ended by itself; starting it again."),
                Err(error) => {
                    tracing::error!(STAGE = name, error = %error, "Stage {name} failed; starting it again.");
                }
            }
            again = true;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    })
}

/// Feeds systemd's watchdog while every stage makes progress. A stage that has begun no round for `limit` is stuck; systemd
/// ends us when it has heard nothing for WatchdogSec after that.
pub async fn feed_watchdog(pulses: Vec<Pulse>, limit: Duration, stop: CancellationToken) {
    let Some(interval) = manager::watchdog_interval() else {
        return stop.cancelled().await;
    };
    let mut stuck_before: Option<&'static str> = None;
    loop {
        let stuck = pulses.iter().find(|p| p.silence() > limit).map(Pulse::name);
        match stuck {
            None => {
                manager::alive();
                if let Some(name) = stuck_before {
                    tracing::info!(STAGE = name, "Stage {name} goes on; the watchdog is fed again.");
                    manager::status("running");
                }
            }
            Some(name) if stuck_before != stuck => {
                tracing::error!(
                    STAGE = name,
                    "Stage {name} has been stuck for {} s; the watchdog is not fed any more.",
                    limit.as_secs()
                );
                manager::status(&format!("stage {name} is stuck"));
            }
            Some(_) => {}
        }
        stuck_before = stuck;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval / 3) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_panics_or_ends_begins_again_and_knows_it() {
        let stop = CancellationToken::new();
        let starts = Arc::new(AtomicU32::new(0));
        let handle = supervise("test", stop.clone(), {
            let (starts, stop) = (starts.clone(), stop.clone());
            move |again| {
                let (starts, stop) = (starts.clone(), stop.clone());
                async move {
                    let n = starts.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(again, n > 0);
                    match n {
                        0 => panic!("the first time it panics"),
                        1 => {}
                        _ => stop.cancel(),
                    }
                }
            }
        });
        handle.await.expect("the supervisor does not panic");
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }
}
