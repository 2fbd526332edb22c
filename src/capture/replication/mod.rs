//! Capture by logical replication: the host's committed transactions become the rows of `event` that the hooks would have
//! written, and nothing of ours stands on its tables or runs in its transactions.
//!
//! Promises: a transaction is stored whole, once, in the order of the commits, whoever dies when; a transaction of a million
//! rows takes no more memory than a small one; what cannot be read is said aloud, and never skipped in silence; one instance
//! reads, the others wait and take over.
//!
//! What a row was before comes from REPLICA IDENTITY FULL. A memory of our own of the watched columns was measured against it
//! (26 columns, 100,000 rows): FULL adds 250 bytes of log to every update of the table (1.4 times a watched one, 1.6 times an
//! unrelated one); the memory adds 380 bytes to each watched one, has to be asked for every update, is larger than the table,
//! and has no old value for a column that a new trigger begins to watch. FULL also keeps the host's updates possible whatever
//! becomes of its keys, which a publication asks for, and brings long values that a statement did not touch.
//!
//! The database decides whether there is a slot to read (`capture_slot`); [`decode`] reads messages, [`watch`] decides what
//! is an event, [`value`] writes its values, [`ledger`] stores, [`wire`] connects, [`session`] joins them.

pub mod decode;
pub mod ledger;
pub mod scripts;
pub mod session;
pub mod value;
pub mod watch;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{Backend, CaptureConfig};
use crate::db::listener::Wakes;
use crate::db::{ConnectError, Database, Endpoint};
use crate::observe::pulse::Pulse;
use decode::DecodeError;
use ledger::Ledger;
use session::Session;
use wire::WireError;

/// The problem that stands while the slot cannot be read.
const PROBLEM: &str = "capture slot";
/// How often it is asked whether there is a slot now.
const IDLE: Duration = Duration::from_secs(2);
/// Between two tries for a slot that another instance reads.
const BUSY: Duration = Duration::from_secs(1);
/// Between two tries where a person must do something first.
const REFUSED: Duration = Duration::from_secs(5);
/// A stop waits this long for what is being stored; what is not committed comes again.
const GRACE: Duration = Duration::from_secs(3);

/// Why the slot is not read.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused a statement.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The log's connection.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Bytes that are no message, or do not fit the ones before.
    #[error("the log cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A change of a relation that was not described.
    #[error("the log cannot be read: a change of relation {0}, which was not described")]
    Relation(u32),
    /// Changes outside of a transaction.
    #[error("the log cannot be read: a change outside of a transaction")]
    Outside,
    /// What lies between would be lost or told twice.
    #[error("{0}")]
    Refused(String),
    /// Nobody evaluates.
    #[error(
        "too many events wait for evaluation (capture_max_backlog_bytes): the slot is not read on, and the server keeps its log meanwhile"
    )]
    Full,
    /// Another consumer stored events.
    #[error("another instance has stored changes meanwhile")]
    Overtaken,
    /// The slot was given up.
    #[error("capture from the slot has ended")]
    Gone,
    /// Nothing came for too long, not even our own message.
    #[error("nothing came out of the log for {0:?}, although something was written")]
    Silent(Duration),
}

/// Why a session ended well.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The hooks capture; nothing to read.
    NoSlot,
    /// The daemon ends.
    Stopped,
}

/// The stage.
#[derive(Clone)]
pub struct Replication {
    /// The server, or several of which one accepts writes; none: there is no way but through a pooler.
    pub endpoint: Option<Endpoint>,
    /// Connections, for asking whether there is a slot. Reading one takes two more, of its own.
    pub database: Database,
    /// Settings.
    pub config: CaptureConfig,
    /// What it wakes.
    pub wakes: Arc<Wakes>,
    /// Sign of progress.
    pub pulse: Pulse,
}

impl Replication {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut said: Option<String> = None;
        let mut compared = false;
        while !stop.is_cancelled() {
            self.pulse.beat();
            let late = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            let end = tokio::select! {
                () = late => return,
                end = Box::pin(self.session(&stop, &mut said)) => end,
            };
            let pause = match end {
                Ok(End::Stopped) => return,
                Ok(End::NoSlot) => {
                    if self.config.backend == Backend::Logical && !std::mem::replace(&mut compared, true) {
                        tracing::warn!(
                            "The file says `capture.backend = \"logical\"`, but there is no slot: hooks capture, if they were installed. To \
                             change over: sicantik-notifyd capture switch logical."
                        );
                    }
                    IDLE
                }
                Err(error) => self.explain(&error, &mut said).await,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads as long as it goes well.
    async fn session(&self, stop: &CancellationToken, said: &mut Option<String>) -> Result<End, SlotError> {
        if !self.has_slot().await? {
            return Ok(End::NoSlot);
        }
        let Some(endpoint) = &self.endpoint else {
            return Err(SlotError::Refused(
                "a slot cannot be read through a pooler: set `database.direct_url`".to_owned(),
            ));
        };
        let (server, ledger) = connect(endpoint).await?;
        self.pulse.beat();
        let Some(state) = ledger.state().await? else {
            return Ok(End::NoSlot);
        };
        if let Some(refusal) = state.refusal {
            return Err(SlotError::Refused(refusal));
        }
        if !state.published {
            return Err(SlotError::Refused(format!(
                "publication {} is gone",
                state.publication
            )));
        }
        if state.active_pid.is_some() {
            return Err(WireError::Busy.into());
        }
        let client = wire::open(&server, &state.slot, &state.publication, state.position).await?;
        tracing::info!(
            SLOT = state.slot.as_str(),
            "Reading {} from {}.",
            state.slot,
            state.position
        );
        Session::new(self, ledger, client, &state).run(stop, said).await
    }

    async fn has_slot(&self) -> Result<bool, SlotError> {
        let query = "select exists (select from sicantik_notify.capture_slot)";
        Ok(self.database.get().await?.query_one(query, &[]).await?.get(0))
    }

    /// Says what went wrong, once; how long to wait.
    async fn explain(&self, error: &SlotError, said: &mut Option<String>) -> Duration {
        let text = error.to_string();
        let new = said.as_ref() != Some(&text);
        *said = Some(text.clone());
        match error {
            SlotError::Wire(WireError::Busy) => {
                if new {
                    tracing::info!("Another instance reads the slot; this one waits to take over.");
                }
                BUSY
            }
            SlotError::Overtaken | SlotError::Gone => {
                tracing::info!("{text}.");
                BUSY
            }
            SlotError::Connect(_)
            | SlotError::Server(_)
            | SlotError::Silent(_)
            | SlotError::Wire(WireError::Lost(_)) => {
                tracing::warn!(error = %text, "Reading the slot was interrupted; trying again.");
                BUSY
            }
            SlotError::Wire(WireError::Refused(_))
            | SlotError::Refused(_)
            | SlotError::Full
            | SlotError::Decode(_)
            | SlotError::Relation(_)
            | SlotError::Outside => {
                if new {
                    tracing::error!(error = %text, "The slot cannot be read.");
                }
                let remedy = match error {
                    SlotError::Refused(_) => {
                        "run sicantik-notifyd hooks install (as a DBA): reading begins anew, and what lies between becomes a problem of its own"
                    }
                    SlotError::Full => {
                        "see why nothing is evaluated (v_problem, the daemon's log); reading goes on by itself when there is room"
                    }
                    _ => wire::remedy(&text),
                };
                if let Some(endpoint) = &self.endpoint
                    && let Ok((_, ledger)) = connect(endpoint).await
                {
                    // The next try says it again.
                    let _ = ledger.problem(PROBLEM, Some((&text, remedy))).await;
                }
                REFUSED
            }
        }
    }
}

/// The server that accepts writes, and a connection to it.
async fn connect(endpoint: &Endpoint) -> Result<(Endpoint, Ledger), SlotError> {
    let mut last = None;
    for server in endpoint.servers() {
        match server.connect().await {
            Ok(client) => return Ok((server, Ledger::new(client).await?)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(SlotError::Gone, SlotError::Connect))
}
