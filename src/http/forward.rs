//! Meta's calls passed on to Odoo, body and signature as they came. Meta calls one address per app; where Odoo had it, Odoo still
//! hears everything.
//!
//! Only what was verified and stored is passed on. It is kept in memory, at most [`MEMORY`]; what does not fit, what Odoo does not
//! take in [`TRIES`] tries, and what waits when the daemon stops is lost to Odoo, and said. Meta never waits for Odoo.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most bytes that wait for Odoo.
const MEMORY: usize = 32 * 1024 * 1024;
/// What a call costs beside its body.
const OVERHEAD: usize = 1024;
/// Tries of one call: over 20 minutes, by when a restart of Odoo is over.
const TRIES: u32 = 10;
/// Before the second try; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Calls to Odoo at once: its workers have other things to do.
const AT_ONCE: usize = 4;
/// For one call.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What is under way when the daemon stops gets this long.
const GRACE: Duration = Duration::from_secs(2);

/// What belongs to the body.
const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("content-type"),
    HeaderName::from_static("user-agent"),
    HeaderName::from_static("x-hub-signature"),
    HeaderName::from_static("x-hub-signature-256"),
];

/// The way to Odoo.
pub struct Forwarder {
    http: reqwest::Client,
    url: Url,
    memory: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Forwarder {
    /// To this address.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn new(url: Url) -> Result<Self, reqwest::Error> {
        // An error says that somebody installed one before: good as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            url,
            memory: Arc::new(Semaphore::new(MEMORY)),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Takes a call, if there is room for it, and returns at once.
    pub fn pass_on(&self, headers: &HeaderMap, body: Bytes) {
        let cost = u32::try_from(body.len() + OVERHEAD).unwrap_or(u32::MAX);
        let Ok(room) = self.memory.clone().try_acquire_many_owned(cost) else {
            tracing::error!(
                "Odoo does not take the webhooks that are passed on to it (http.forward_to), and too many wait: one is lost to it."
            );
            return;
        };
        let kept: HeaderMap = HEADERS
            .iter()
            .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
            .collect();
        let call = Call {
            http: self.http.clone(),
            url: self.url.clone(),
            headers: kept,
            body,
            _room: room,
        };
        let (at_once, stop) = (self.at_once.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = call.carry(&at_once) => {}
                () = stop.cancelled() => {
                    tracing::warn!("The daemon stops: a webhook that waited for Odoo is lost to it.");
                }
            }
        });
    }

    /// Waits a little for what is under way, and gives up the rest.
    pub async fn finish(&self) {
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Call {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap<HeaderValue>,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Call {
    async fn carry(&self, at_once: &Semaphore) {
        let mut pause = FIRST_PAUSE;
        let mut error = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() / 5.0)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            let Ok(_turn) = at_once.acquire().await else {
                return;
            };
            match self.once().await {
                Ok(()) => return,
                Err(Refusal { last: true, reason }) => {
                    error = reason;
                    break;
                }
                Err(Refusal { reason, .. }) => error = reason,
            }
        }
        tracing::error!(
            error,
            "Odoo did not take a webhook that was passed on to it (http.forward_to): it is lost to it."
        );
    }

    async fn once(&self) -> Result<(), Refusal> {
        let call = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(self.body.clone());
        let answer = call.send().await.map_err(|e| Refusal {
            last: false,
            reason: e.without_url().to_string(),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Refusal {
            // The same body will not please it later.
            last: status.is_client_error() && !matches!(status.as_u16(), 404 | 408 | 425 | 429),
            reason: format!("HTTP {status}"),
        })
    }
}

struct Refusal {
    last: bool,
    reason: String,
}
