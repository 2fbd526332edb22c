//! Starts, supervises and stops the stages. Promises: a stage that panics is started again and stops no other; SIGTERM
//! finishes what is in flight and exits within 10 s (P8); systemd is told READY only when the database was reached, and its
//! watchdog is fed only while every stage makes progress.

mod heartbeat;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};
use crate::db::listener::{Wakes, listen};
use crate::db::migrate::{MigrateError, check_version};
use crate::db::{ConnectError, Database, Endpoint};
use crate::deliver::Deliverer;
use crate::deliver::provider::{Client, ClientError, Timeouts};
use crate::evaluate::Evaluator;
use crate::host::permit::{self, Arming, PermitError};
use crate::observe::pulse::Pulse;
use crate::queue::holding::Holding;
use heartbeat::Heartbeat;

/// A stage that has not begun a round for this long is stuck: the watchdog is not fed any more. Longer than the longest
/// batch and the longest wait for a connection together.
const STUCK_AFTER: Duration = Duration::from_secs(45);
/// The process ends then, whatever hangs. systemd would kill it later.
const HARD_STOP: Duration = Duration::from_millis(9500);

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The schema is not this binary's.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// The state directory.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// The way out to providers.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// Signals cannot be caught.
    #[error("signals cannot be caught: {0}")]
    Signal(std::io::Error),
    /// Did not end in time.
    #[error("a stage did not stop in time")]
    HardStop,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`]; what is temporary is waited for instead.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    let stop = CancellationToken::new();
    let signals = catch_signals(stop.clone())?;
    let result = serve(config, &signals, stop).await;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    result
}

/// Runs the stages until `stop`. `reload` is poked by SIGHUP.
async fn serve(config: Config, reload: &Arc<Notify>, stop: CancellationToken) -> Result<(), DaemonError> {
    let endpoint = Endpoint::parse(config.url()?, config.database.ca_file.as_deref())?;
    let arming = Arming::load_or_create(&config.state_dir)?;
    let http = Client::new(Timeouts {
        connect: Duration::from_secs(config.deliver.connect_timeout_seconds),
        total: Duration::from_secs(config.deliver.request_timeout_seconds),
    })?;
    let Some(client) = first_connection(&endpoint, &stop).await? else {
        return Ok(());
    };
    check_version(&client).await?;
    let name = config
        .name
        .clone()
        .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    if permit::arm(&client, &arming, &name, false).await? {
        tracing::info!(
            "The first daemon of this installation: armed for {}.",
            endpoint.database()
        );
    }
    drop(client);

    let database = endpoint.pool(config.database.pool_size.0)?;
    let wakes = Arc::new(Wakes::default());
    let holding = Holding::default();
    let heartbeat = Heartbeat::register(
        &endpoint.pool(1)?,
        &config,
        &name,
        arming.clone(),
        holding.clone(),
    )
    .await?;
    let instance = heartbeat.instance();
    // Stops last: as long as it beats, nobody takes over what is still being finished.
    let heart_stop = CancellationToken::new();
    let heart = tokio::spawn(heartbeat.run(heart_stop.clone()));

    let pulses = [Pulse::new("evaluate"), Pulse::new("deliver")];
    let stages = [
        supervise("listen", stop.clone(), {
            let (endpoint, wakes, stop) = (endpoint.clone(), wakes.clone(), stop.clone());
            move || listen(endpoint.clone(), wakes.clone(), stop.clone())
        }),
        supervise("evaluate", stop.clone(), {
            let (database, wakes, stop, pulse) =
                (database.clone(), wakes.clone(), stop.clone(), pulses[0].clone());
            let (evaluate, capture) = (config.evaluate.clone(), config.capture.clone());
            move || evaluator(&database, &wakes, &evaluate, &capture, &pulse).run(stop.clone())
        }),
        supervise("deliver", stop.clone(), {
            let (wakes, stop, pulse) = (wakes.clone(), stop.clone(), pulses[1].clone());
            let (database, deliver) = (database.clone(), config.deliver.clone());
            move || {
                Deliverer {
                    database: database.clone(),
                    wakes: wakes.clone(),
                    config: deliver.clone(),
                    arming: arming.clone(),
                    instance,
                    client: http.clone(),
                    holding: holding.clone(),
                    pulse: pulse.clone(),
                }
                .run(stop.clone())
            }
        }),
        supervise("watchdog", stop.clone(), {
            let stop = stop.clone();
            move || feed_watchdog(pulses.to_vec(), stop.clone())
        }),
    ];
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("running")]);
    tracing::info!(
        INSTANCE = instance,
        "Running on {} as instance {instance}.",
        endpoint.database()
    );

    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = reload.notified() => wakes.configuration.notify_one(),
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("Stopping: finishing what is in flight.");
    let ended = tokio::time::timeout(HARD_STOP, async {
        for stage in stages {
            let _ = stage.await;
        }
        heart_stop.cancel();
        let _ = heart.await;
    });
    ended.await.map_err(|_| DaemonError::HardStop)?;
    tracing::info!("Stopped.");
    Ok(())
}

fn evaluator(
    database: &Database,
    wakes: &Arc<Wakes>,
    evaluate: &crate::config::EvaluateConfig,
    capture: &crate::config::CaptureConfig,
    pulse: &Pulse,
) -> Evaluator {
    Evaluator {
        database: database.clone(),
        wakes: wakes.clone(),
        config: evaluate.clone(),
        capture: capture.clone(),
        pulse: pulse.clone(),
    }
}

/// The server may come up after us: wait for it. `None`: stopped meanwhile.
async fn first_connection(
    endpoint: &Endpoint,
    stop: &CancellationToken,
) -> Result<Option<tokio_postgres::Client>, DaemonError> {
    let mut pause = Duration::from_millis(250);
    loop {
        match endpoint.connect().await {
            Ok(client) => return Ok(Some(client)),
            // The server answered, and said no: waiting does not help.
            Err(ConnectError::Server(e))
                if e.as_db_error()
                    .is_some_and(|d| !d.code().code().starts_with("57P")) =>
            {
                return Err(ConnectError::Server(e).into());
            }
            Err(error) => tracing::warn!(error = %error, "Waiting for the database."),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
        }
    }
}

/// Runs a stage, again and again until `stop`: a stage that panics or ends too early must not silence the daemon.
fn supervise<F, Fut>(name: &'static str, stop: CancellationToken, make: F) -> JoinHandle<()>
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            let result = tokio::spawn(make()).await;
            if stop.is_cancelled() {
                return;
            }
            match result {
                Ok(()) => tracing::error!(STAGE = name, "Stage {name} ended by itself; starting it again."),
                Err(error) => {
                    tracing::error!(STAGE = name, error = %error, "Stage {name} failed; starting it again.")
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    })
}

/// Feeds systemd's watchdog while every stage makes progress.
async fn feed_watchdog(pulses: Vec<Pulse>, stop: CancellationToken) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return stop.cancelled().await;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval / 3) => {}
        }
        match pulses.iter().find(|p| p.silence() > STUCK_AFTER) {
            None => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            Some(stuck) => tracing::error!(
                STAGE = stuck.name(),
                "Stage {} is stuck; the watchdog is not fed.",
                stuck.name()
            ),
        }
    }
}

fn catch_signals(stop: CancellationToken) -> Result<Arc<Notify>, DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signal)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signal)?;
    let reload = Arc::new(Notify::new());
    let poke = reload.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return stop.cancel(),
                _ = interrupt.recv() => return stop.cancel(),
                _ = hangup.recv() => poke.notify_one(),
            }
        }
    });
    Ok(reload)
}
