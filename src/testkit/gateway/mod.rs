//! A fake WhatsApp gateway: the HTTP APIs of Meta, Fonnte and Watzap on a local port.
//!
//! It is at least as strict as the providers are known to be, keeps a [`Ledger`] of what arrived and of what was
//! accepted, and fails on order by its [`Script`]s. It promises that an accepted message is in the ledger
//! before any byte of its answer leaves, and that a message is accepted whether or not the client lives to
//! hear of it. It must not be gentle: where a provider is silent on a point, it refuses.
//!
//! | module      | part |
//! |-------------|------|
//! | [`meta`]    | Meta Cloud API: account, templates, windows, rates |
//! | [`fonnte`]  | Fonnte: device, quota, form bodies |
//! | [`watzap`]  | Watzap: keys in the body, HTTP 200 for every refusal |
//! | [`ledger`]  | what came, what was accepted, and waiting for it |
//! | [`script`]  | failures on order, holds |
//! | [`webhook`] | what the providers would post back |
//! | [`numbers`] | who has WhatsApp |
//! | [`clock`]   | time for rates and windows, without waiting |

mod call;
pub mod clock;
pub mod fonnte;
pub mod ledger;
pub mod meta;
pub mod numbers;
pub mod script;
mod server;
pub mod watzap;
pub mod webhook;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use call::{Call, Verdict};
pub use clock::Clock;
pub use fonnte::FonnteAccount;
pub use ledger::{Accepted, Book, Ledger, Request};
pub use meta::{MetaAccount, Template, TemplateStatus};
pub use numbers::Directory;
pub use script::{Behaviour, Hold, HoldHandle, HoldPoint, Script};
pub use watzap::WatzapAccount;
pub use webhook::{FonnteWebhooks, MetaWebhooks, WatzapWebhooks};

/// The APIs the gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Meta WhatsApp Cloud API.
    Meta,
    /// Fonnte.
    Fonnte,
    /// Watzap.
    Watzap,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Meta => "meta",
            Self::Fonnte => "fonnte",
            Self::Watzap => "watzap",
        })
    }
}

/// Which calls a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Send,
    Other,
}

/// Why the gateway could not do what a test asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No port.
    #[error("the fake gateway cannot listen on {address}")]
    Listen {
        /// Where it tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A wait ended without what was waited for.
    #[error("waited {timeout:?} in vain; {accepted} accepted so far; requests: [{seen}]")]
    WaitedInVain {
        /// The limit of the wait.
        timeout: Duration,
        /// Messages accepted at its end.
        accepted: usize,
        /// One line a request.
        seen: String,
    },
    /// A webhook could not be delivered at all; a refusing status is not an error.
    #[error("cannot post a webhook to {url}: {reason}")]
    Webhook {
        /// Where it was to go.
        url: String,
        /// What went wrong.
        reason: String,
    },
}

/// All that the server and the test share.
#[derive(Debug)]
pub(crate) struct Shared {
    url: String,
    ledger: Ledger,
    clock: Arc<Clock>,
    numbers: Arc<Directory>,
    meta: MetaAccount,
    fonnte: FonnteAccount,
    watzap: WatzapAccount,
    /// By provider; sends first, then everything else.
    scripts: [[Script; 2]; 3],
}

impl Shared {
    fn script(&self, provider: Provider, endpoint: Endpoint) -> &Script {
        let [sends, others] = match provider {
            Provider::Meta => &self.scripts[0],
            Provider::Fonnte => &self.scripts[1],
            Provider::Watzap => &self.scripts[2],
        };
        match endpoint {
            Endpoint::Send => sends,
            Endpoint::Other => others,
        }
    }

    fn endpoint(&self, provider: Provider, method: &Method, path: &[String]) -> Endpoint {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (provider, path.as_slice()) {
            (Provider::Meta, [_, _, "messages"])
            | (Provider::Fonnte, ["send"])
            | (Provider::Watzap, ["v1", "send_message"])
                if method == Method::POST =>
            {
                Endpoint::Send
            }
            _ => Endpoint::Other,
        }
    }

    /// Whom a send is for, as far as its body can be read.
    fn recipient(&self, provider: Provider, call: &Call) -> Option<String> {
        let to = match provider {
            Provider::Meta => call.payload.json()?.get("to")?.as_str()?,
            Provider::Fonnte => call.payload.field("target")?.split([',', '|']).next()?,
            Provider::Watzap => call.payload.json()?.get("phone_no")?.as_str()?,
        };
        Some(numbers::digits(to))
    }

    fn judge(&self, provider: Provider, call: &Call) -> Verdict {
        match provider {
            Provider::Meta => self.meta.judge(call, &self.url),
            Provider::Fonnte => self.fonnte.judge(call),
            Provider::Watzap => self.watzap.judge(call),
        }
    }
}

/// A running fake gateway. Dropping it stops the server; [`Gateway::stop`] also waits for its end.
///
/// ```no_run
/// # use std::time::Duration;
/// # use sicantik_notifyd::testkit::gateway::*;
/// # async fn example() -> Result<(), GatewayError> {
/// let gateway = Gateway::start().await?;
/// gateway.meta().add_template(Template::new("izin_selesai", "id", "Yth. {{1}}, izin {{2}} selesai."));
/// gateway.script(Provider::Meta).push(Behaviour::CutAfterAccept);
/// // … a client posts to {gateway.meta_url()}/v23.0/{Gateway::META_PHONE_ID}/messages …
/// let accepted = gateway.wait_for_accepted(1, Duration::from_secs(5)).await?;
/// assert_eq!(accepted[0].to, "6281200000001");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    acceptor: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Meta's bearer token.
    pub const META_TOKEN: &str = "EAAfakemetatoken0000000000";
    /// Meta's phone number id.
    pub const META_PHONE_ID: &str = "109900000000001";
    /// Meta's WhatsApp business account, under which the templates are listed.
    pub const META_WABA_ID: &str = "208800000000001";
    /// The number behind [`Gateway::META_PHONE_ID`].
    pub const META_NUMBER: &str = "622150000000";
    /// Fonnte's device token.
    pub const FONNTE_TOKEN: &str = "fakefonntedevicetoken";
    /// Fonnte's account token, for `/get-devices` only.
    pub const FONNTE_ACCOUNT_TOKEN: &str = "fakefonnteaccounttoken";
    /// The number of Fonnte's device.
    pub const FONNTE_NUMBER: &str = "628110000000";
    /// Watzap's `api_key`.
    pub const WATZAP_API_KEY: &str = "FAKEWATZAPAPIKEY";
    /// Watzap's `number_key`.
    pub const WATZAP_NUMBER_KEY: &str = "FAKEWATZAPNUMBER";
    /// The number behind [`Gateway::WATZAP_NUMBER_KEY`].
    pub const WATZAP_NUMBER: &str = "628110000009";

    /// Starts on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self, GatewayError> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on a given address; with the port of a stopped gateway this is a provider that came back.
    pub async fn start_on(address: SocketAddr) -> Result<Self, GatewayError> {
        let refused = |source| GatewayError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let clock = Arc::new(Clock::new());
        let numbers = Arc::new(Directory::default());
        let shared = Arc::new(Shared {
            url: format!("http://{bound}"),
            ledger: Ledger::new(),
            meta: MetaAccount::new(clock.clone(), numbers.clone()),
            fonnte: FonnteAccount::new(numbers.clone()),
            watzap: WatzapAccount::new(numbers.clone()),
            clock,
            numbers,
            scripts: Default::default(),
        });
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let acceptor = tokio::spawn(server::run(
            listener,
            shared.clone(),
            shutdown.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            shared,
            shutdown,
            tasks,
            acceptor: Some(acceptor),
        })
    }

    /// Stops listening, ends what is open, and waits for it. From here on connections are refused.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(acceptor) = self.acceptor.take() {
            // It fails only by a panic, which the runtime has reported.
            let _ = acceptor.await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Base of Meta's API without its version: post to `{meta_url}/v23.0/{phone id}/messages`.
    pub fn meta_url(&self) -> String {
        format!("{}/meta", self.shared.url)
    }

    /// Base of Fonnte's API: post to `{fonnte_url}/send`.
    pub fn fonnte_url(&self) -> String {
        format!("{}/fonnte", self.shared.url)
    }

    /// Base of Watzap's API with its version: post to `{watzap_url}/send_message`.
    pub fn watzap_url(&self) -> String {
        format!("{}/watzap/v1", self.shared.url)
    }

    /// Meta's side: templates, windows, rates, health.
    pub fn meta(&self) -> &MetaAccount {
        &self.shared.meta
    }

    /// Fonnte's side: device and quota.
    pub fn fonnte(&self) -> &FonnteAccount {
        &self.shared.fonnte
    }

    /// Watzap's side: number and plan.
    pub fn watzap(&self) -> &WatzapAccount {
        &self.shared.watzap
    }

    /// Who has WhatsApp.
    pub fn numbers(&self) -> &Directory {
        &self.shared.numbers
    }

    /// The time that rates and windows go by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// What goes wrong with sends through this provider.
    pub fn script(&self, provider: Provider) -> &Script {
        self.shared.script(provider, Endpoint::Send)
    }

    /// What goes wrong with this provider's other calls: probes, listings, unknown paths.
    pub fn probe_script(&self, provider: Provider) -> &Script {
        self.shared.script(provider, Endpoint::Other)
    }

    /// All that came and was accepted.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// [`Ledger::accepted`].
    pub fn accepted(&self) -> Vec<Accepted> {
        self.shared.ledger.accepted()
    }

    /// [`Ledger::accepted_to`].
    pub fn accepted_to(&self, number: &str) -> Vec<Accepted> {
        self.shared.ledger.accepted_to(number)
    }

    /// [`Ledger::count`].
    pub fn count(&self) -> usize {
        self.shared.ledger.count()
    }

    /// [`Ledger::requests`].
    pub fn requests(&self) -> Vec<Request> {
        self.shared.ledger.requests()
    }

    /// [`Ledger::wait_for_accepted`].
    pub async fn wait_for_accepted(
        &self,
        n: usize,
        timeout: Duration,
    ) -> Result<Vec<Accepted>, GatewayError> {
        self.shared.ledger.wait_for_accepted(n, timeout).await
    }

    /// [`Ledger::wait_for`].
    pub async fn wait_for(
        &self,
        predicate: impl FnMut(&Book) -> bool,
        timeout: Duration,
    ) -> Result<(), GatewayError> {
        self.shared.ledger.wait_for(predicate, timeout).await
    }

    /// Meta's webhooks to `url`, signed with `app_secret`.
    pub fn meta_webhooks(&self, url: &str, app_secret: &str) -> MetaWebhooks<'_> {
        MetaWebhooks::new(self, url, app_secret)
    }

    /// Fonnte's webhooks to `url`.
    pub fn fonnte_webhooks(&self, url: &str) -> FonnteWebhooks {
        FonnteWebhooks::new(url)
    }

    /// Watzap's webhooks to `url`.
    pub fn watzap_webhooks(&self, url: &str) -> WatzapWebhooks {
        WatzapWebhooks::new(url)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
