//! The HTTP listener: what providers tell afterwards, programmes that fire triggers, and whether this daemon is well.
//!
//! | module | part |
//! |--------|------|
//! | `server`    | connections: limits, time-outs, stop |
//! | `routes`    | one call: path, method, body, secret, answer |
//! | `accounts`  | whose webhooks are believed |
//! | `signature` | secrets compared in constant time |
//! | `meta`, `fonnte`, `watzap` | a body becomes [`news`] |
//! | [`news`]    | what a provider can tell |
//! | `words`     | STOP, MULAI, SETUJU |
//! | `store`     | news become rows, in one transaction, before the provider is answered |
//! | [`receipts`]  | receipts find their messages, and what follows from them |
//! | `forward`   | Meta's calls passed on to Odoo |
//! | `health`    | `/healthz`, `/readyz` |
//! | `metrics`   | `/metrics` |
//! | [`api`]     | `/v1/`: programmes fire triggers |
//!
//! Promises: 200 means stored; a call that comes twice changes nothing the second time; nothing is believed before its secret or
//! signature fits; no flood, no panic and no slow caller here reaches another stage (own connections to the database, own
//! limits). Must not: call a provider, or log a secret, a path that holds one, or what somebody wrote.

mod accounts;
pub mod api;
mod fonnte;
mod forward;
mod health;
mod meta;
mod metrics;
pub mod news;
pub mod receipts;
mod routes;
mod server;
mod signature;
mod store;
mod watzap;
mod words;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::HttpConfig;
use crate::db::listener::Wakes;
use crate::db::{Database, Endpoint};
use crate::deliver::health::Terms;
use crate::host::permit::Arming;
use crate::observe::pulse::Pulse;
use accounts::Accounts;
use api::Api;
use forward::Forwarder;
use health::Readiness;
use metrics::Numbers;

/// Connections of its own: two for calls, one for questions about its health.
const CONNECTIONS: usize = 3;

/// The stage.
pub struct Listener {
    /// Where the database is.
    pub endpoint: Endpoint,
    /// Settings.
    pub config: HttpConfig,
    /// This machine's arming, for `/readyz`.
    pub arming: Arming,
    /// The stages, for `/readyz`.
    pub pulses: Vec<Pulse>,
    /// The longest that a healthy stage is silent.
    pub longest_round: Duration,
    /// How long a provider is paused after a failure of its account.
    pub terms: Terms,
    /// What has to look when something was stored.
    pub wakes: Arc<Wakes>,
}

/// What all calls share.
pub(crate) struct Shared {
    config: HttpConfig,
    database: Database,
    accounts: Accounts,
    readiness: Readiness,
    numbers: Numbers,
    forwarder: Option<Forwarder>,
    wakes: Arc<Wakes>,
    terms: Terms,
    at_work: Semaphore,
    api: Api,
}

impl Listener {
    /// Runs until `stop`. What cannot be set up is said, and tried again by the supervisor.
    pub async fn run(self, stop: CancellationToken) {
        let database = match self.endpoint.pool(CONNECTIONS) {
            Ok(database) => database,
            Err(error) => return tracing::error!(error = %error, "The HTTP listener has no connections."),
        };
        let forwarder = match self.config.forward_url().map(|url| url.map(Forwarder::new)) {
            Ok(None) => None,
            Ok(Some(Ok(forwarder))) => Some(forwarder),
            Ok(Some(Err(error))) => {
                return tracing::error!(error = %error, "Webhooks cannot be passed on.");
            }
            Err(error) => return tracing::error!(error = %error, "Webhooks cannot be passed on."),
        };
        let api = match self.endpoint.pool(api::CONNECTIONS) {
            Ok(database) => Api::new(database, self.config.concurrency),
            Err(error) => return tracing::error!(error = %error, "The HTTP listener has no connections."),
        };
        let shared = Arc::new(Shared {
            api,
            accounts: Accounts::new(database.clone()),
            readiness: Readiness::new(database.clone(), self.arming, self.pulses, self.longest_round),
            numbers: Numbers::default(),
            at_work: Semaphore::new(self.config.concurrency as usize),
            config: self.config,
            database,
            forwarder,
            wakes: self.wakes,
            terms: self.terms,
        });
        server::run(shared.clone(), stop).await;
        if let Some(forwarder) = &shared.forwarder {
            forwarder.finish().await;
        }
    }
}
