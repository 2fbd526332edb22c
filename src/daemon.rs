//! Starts, supervises and stops the stages. Promises: a stage that panics is started again and stops no other; SIGTERM
//! finishes what is in flight and exits within 10 s (P8); systemd is told READY only when the database was reached, and its
//! watchdog is fed only while every stage makes progress; SIGHUP reads file and configuration again, and a wrong file
//! changes nothing.

mod heartbeat;
mod supervise;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::capture::replication::Replication;
use crate::config::{Config, ConfigError};
use crate::db::listener::{Wakes, listen};
use crate::db::migrate::{MigrateError, check_version, known_version};
use crate::db::{ConnectError, Database, Endpoint, advice};
use crate::deliver::Deliverer;
use crate::deliver::health::Terms;
use crate::deliver::provider::{Client, ClientError, Timeouts};
use crate::evaluate::Evaluator;
use crate::host::permit::{self, Arming, PermitError};
use crate::http::Listener;
use crate::http::receipts::Receipts;
use crate::observe::pulse::Pulse;
use crate::observe::{manager, metrics};
use crate::queue::holding::Holding;
use crate::queue::memory::Memory;
use crate::schedule::Scheduler;
use crate::schedule::jobs::Tools;
use heartbeat::Heartbeat;
use supervise::{feed_watchdog, supervise};

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

/// Runs until SIGTERM or SIGINT. `reread` makes the configuration anew at SIGHUP.
///
/// # Errors
/// [`DaemonError`]; what is temporary is waited for instead.
pub async fn run(
    mut config: Config,
    reread: impl Fn() -> Result<Config, ConfigError>,
) -> Result<(), DaemonError> {
    metrics::install();
    let stop = CancellationToken::new();
    let reload = catch_signals(stop.clone())?;
    // Outlives reloads: it is what a new primary has to be told.
    let memory = Memory::default();
    loop {
        match serve(&config, &memory, &reread, &reload, &stop).await? {
            End::Stopped => return Ok(()),
            End::Reload(new) => config = *new,
            End::Outdated(found) => {
                let known = known_version();
                return Err(MigrateError::Newer { found, known }.into());
            }
        }
    }
}

/// Why the stages ended.
enum End {
    /// The daemon ends.
    Stopped,
    /// They begin again with this configuration.
    Reload(Box<Config>),
    /// Somebody migrated the schema to this version, which is newer than the binary.
    Outdated(i32),
}

/// What stands before the stages begin.
struct Begun {
    name: String,
    endpoint: Endpoint,
    /// For what needs a session; none behind a pooler without a way around it.
    direct: Option<Endpoint>,
    database: Database,
    arming: Arming,
    heartbeat: Heartbeat,
    holding: Holding,
    http: Client,
}

async fn begin(config: &Config) -> Result<Begun, DaemonError> {
    let parse = |url| {
        let endpoint = Endpoint::parse(url, config.database.ca_file.as_deref())?;
        Ok::<_, DaemonError>(endpoint.with_timeout(config.database.connect_timeout_seconds.duration()))
    };
    let endpoint = parse(config.url()?)?.through_pooler(config.database.pooler);
    let direct = match config.direct_url() {
        Ok(url) => Some(parse(url)?),
        Err(ConfigError::NoSession) => {
            tracing::warn!(
                "The database URL goes through a pooler, and `database.direct_url` is not set: hooks cannot wake this daemon, which looks \
                 for events every {} ms.",
                config.capture.poll_interval_ms
            );
            None
        }
        Err(error) => return Err(error.into()),
    };
    let arming = Arming::load_or_create(&config.state_dir)?;
    let http = Client::new(Timeouts {
        connect: Duration::from_secs(config.deliver.connect_timeout_seconds),
        total: Duration::from_secs(config.deliver.request_timeout_seconds),
    })?;
    let client = first_connection(&endpoint).await?;
    endpoint.check_session(&client).await?;
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
    // A connection of its own: a pool that is full of work must not make the others believe us dead.
    let holding = Holding::default();
    let heartbeat =
        Heartbeat::register(endpoint.pool(1)?, config, &name, arming.clone(), holding.clone()).await?;
    Ok(Begun {
        name,
        endpoint,
        direct,
        database,
        arming,
        heartbeat,
        holding,
        http,
    })
}

/// Runs the stages until `stop`, or until a reload wants them to begin anew.
async fn serve(
    config: &Config,
    memory: &Memory,
    reread: &impl Fn() -> Result<Config, ConfigError>,
    reload: &Notify,
    stop: &CancellationToken,
) -> Result<End, DaemonError> {
    let begun = tokio::select! {
        // Also in the middle of a statement that hangs.
        () = stop.cancelled() => return Ok(End::Stopped),
        begun = Box::pin(begin(config)) => begun?,
    };
    let Begun {
        name,
        endpoint,
        direct,
        database,
        arming,
        heartbeat,
        holding,
        http,
    } = begun;
    let instance = heartbeat.instance();
    let database_name = endpoint.database().to_owned();
    let heartbeat = Arc::new(heartbeat);
    // Stops last: as long as it beats, nobody takes over what is still being finished.
    let heart_stop = CancellationToken::new();
    let heart = supervise("heartbeat", heart_stop.clone(), {
        let (heartbeat, stop) = (heartbeat.clone(), heart_stop.clone());
        move |_| heartbeat.clone().run(stop.clone())
    });

    let stop_stages = stop.child_token();
    let wakes = Arc::new(Wakes::default());
    let pulses = [
        Pulse::new("evaluate"),
        Pulse::new("deliver"),
        Pulse::new("schedule"),
        Pulse::new("capture"),
    ];
    let mut stages = vec![
        supervise("evaluate", stop_stages.clone(), {
            let (database, wakes, stop, pulse) = (
                database.clone(),
                wakes.clone(),
                stop_stages.clone(),
                pulses[0].clone(),
            );
            let evaluator = Evaluator {
                database: database.clone(),
                wakes,
                config: config.evaluate.clone(),
                capture: config.capture.clone(),
                python: config.python.limits(),
                pulse,
            };
            move |_| evaluator.clone().run(stop.clone())
        }),
        supervise("capture", stop_stages.clone(), {
            let stop = stop_stages.clone();
            let replication = Replication {
                endpoint: direct.clone(),
                database: database.clone(),
                config: config.capture.clone(),
                wakes: wakes.clone(),
                pulse: pulses[3].clone(),
            };
            move |_| replication.clone().run(stop.clone())
        }),
        supervise("receipts", stop_stages.clone(), {
            let (database, wakes, stop) = (database.clone(), wakes.clone(), stop_stages.clone());
            let terms = Terms::of(&config.deliver);
            move |_| {
                let receipts = Receipts {
                    database: database.clone(),
                    wakes: wakes.clone(),
                    terms,
                };
                receipts.run(stop.clone())
            }
        }),
        supervise("schedule", stop_stages.clone(), {
            let (endpoint, wakes, stop, pulse) = (
                endpoint.clone(),
                wakes.clone(),
                stop_stages.clone(),
                pulses[2].clone(),
            );
            let tools = Tools {
                arming: arming.clone(),
                client: http.clone(),
                instance,
                holding: holding.clone(),
                dead_after: config.deliver.dead_after(),
                python: config.python.limits(),
                stop: stop_stages.clone(),
            };
            move |_| {
                let scheduler = Scheduler {
                    endpoint: endpoint.clone(),
                    instance,
                    name: name.clone(),
                    wakes: wakes.clone(),
                    tools: tools.clone(),
                    pulse: pulse.clone(),
                };
                scheduler.run(stop.clone())
            }
        }),
        supervise("deliver", stop_stages.clone(), {
            let (wakes, stop, pulse) = (wakes.clone(), stop_stages.clone(), pulses[1].clone());
            let (deliver, arming, memory) = (config.deliver.clone(), arming.clone(), memory.clone());
            move |again| {
                let deliverer = Deliverer {
                    database: database.clone(),
                    wakes: wakes.clone(),
                    config: deliver.clone(),
                    arming: arming.clone(),
                    instance,
                    client: http.clone(),
                    holding: holding.clone(),
                    memory: memory.clone(),
                    pulse: pulse.clone(),
                };
                let (database, holding, stop) = (database.clone(), holding.clone(), stop.clone());
                async move {
                    if again {
                        disown(&database, instance, &holding).await;
                    }
                    deliverer.run(stop).await;
                }
            }
        }),
        supervise("watchdog", stop_stages.clone(), {
            let (stop, limit) = (stop_stages.clone(), config.longest_round());
            let pulses = pulses.clone();
            move |_| feed_watchdog(pulses.to_vec(), limit, stop.clone())
        }),
    ];
    if let Some(direct) = direct.clone() {
        stages.push(supervise("listen", stop_stages.clone(), {
            let (wakes, stop) = (wakes.clone(), stop_stages.clone());
            move |_| listen(direct.clone(), wakes.clone(), stop.clone())
        }));
    }
    if config.http.enabled {
        stages.push(supervise("http", stop_stages.clone(), {
            let (config, wakes, stop) = (config.clone(), wakes.clone(), stop_stages.clone());
            move |_| {
                let listener = Listener {
                    endpoint: endpoint.clone(),
                    config: config.http.clone(),
                    arming: arming.clone(),
                    pulses: pulses.to_vec(),
                    longest_round: config.longest_round(),
                    terms: Terms::of(&config.deliver),
                    wakes: wakes.clone(),
                };
                listener.run(stop.clone())
            }
        }));
    }
    let running = format!("running on {database_name} as instance {instance}");
    manager::ready(&running);
    tracing::info!(
        INSTANCE = instance,
        "Running on {database_name} as instance {instance}."
    );

    let end = loop {
        tokio::select! {
            () = stop.cancelled() => break End::Stopped,
            // What an older binary would do to a newer schema, nobody has tried.
            found = heartbeat.outdated() => break End::Outdated(found),
            () = reload.notified() => {}
        }
        manager::reloading();
        match reread() {
            Ok(new) if !new.same_as(config) => break End::Reload(Box::new(new)),
            Ok(_) => {
                tracing::info!(
                    "Reloading: the file is as it was; reading the configuration in the database again."
                );
                wakes.configuration.notify_one();
            }
            Err(error) => {
                tracing::error!(error = %error, "The new configuration is wrong; the old one stays.")
            }
        }
        manager::ready(&running);
    };
    match end {
        End::Stopped => tracing::info!("Stopping: finishing what is in flight."),
        End::Reload(_) => tracing::info!("Reloading: the stages begin anew with the changed file."),
        End::Outdated(found) => tracing::error!(
            "The schema was migrated to version {found}, which this binary does not know: finishing what is in flight, then ending. What \
             waits is left to the newer binary."
        ),
    }
    stop_stages.cancel();
    let ended = tokio::time::timeout(HARD_STOP, async {
        for stage in stages {
            let _ = stage.await;
        }
        heart_stop.cancel();
        let _ = heart.await;
    });
    ended.await.map_err(|_| DaemonError::HardStop)?;
    if matches!(end, End::Stopped) {
        tracing::info!("Stopped.");
    }
    Ok(end)
}

/// The claims of a deliver stage that failed: its calls are gone. Without an owner they are recovered at once, like those of a
/// daemon that died, and need not wait for the end of their leases. Outcomes that are still being written stay ours.
async fn disown(database: &Database, instance: i64, holding: &Holding) {
    let result = match database.get().await {
        Ok(client) => client
            .execute(
                "update sicantik_notify.queue set claimed_by = 0 \
                 where claimed_by = $1 and state = 'processing' and claim_token <> all ($2)",
                &[&instance, &holding.tokens()],
            )
            .await
            .map_err(ConnectError::Server),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        // The next failure of the stage, or the end of this process, frees them.
        tracing::error!(error = %error, "The messages of the failed stage could not be freed.");
    }
}

/// The server may come up after us: wait for it.
async fn first_connection(endpoint: &Endpoint) -> Result<tokio_postgres::Client, DaemonError> {
    let mut pause = Duration::from_millis(250);
    loop {
        match endpoint.connect().await {
            Ok(client) => return Ok(client),
            // It answered, and said no: waiting does not help.
            Err(ConnectError::Server(e)) if !advice::is_temporary(&e) => {
                return Err(ConnectError::Server(e).into());
            }
            Err(error) => {
                tracing::warn!(error = %error, "Waiting for the database.");
                // Longer than the longest try and the pause after it.
                manager::waiting(
                    &format!("waiting for the database: {error}"),
                    Duration::from_secs(180),
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
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
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => poke.notify_one(),
            }
        }
        manager::stopping();
        stop.cancel();
    });
    Ok(reload)
}
