//! The HTTP client: one call to a provider, and what a call means that did not end well.
//!
//! | what happened | answer |
//! |---------------|--------|
//! | no connection (DNS, TCP, TLS): nothing was written | refused, transient |
//! | error after the connection stood: timeout, reset, no answer | uncertain |
//! | 2xx with a body that is cut off, too long, or not understood | uncertain |
//! | 504, 520, 524: an edge gave up waiting for the provider, which may go on | uncertain |
//! | other 5xx without a readable reason (HTML of a proxy), 408, 425 | refused, transient |
//! | 429 | refused, throttled |
//! | 3xx, 401, 403, 404, 405, 410 without a readable reason: base URL or credential is wrong | refused, account |
//! | other 4xx without a readable reason | refused: Meta content, gateways soft; transient if cut off |
//!
//! No redirects (a POST must not change its target), no proxies from the environment, no retries of its own: hyper
//! only takes a fresh connection when a pooled one was found closed before a byte was written. A dropped
//! future of [`Client::send`] is an uncertain send.

use std::error::Error as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use thiserror::Error;

use super::meta_templates::RemoteTemplate;
use super::{Access, Account, Answer, Class, Failure, Health, Outgoing, ProbeReport, ProviderKind, Report};
use super::{fonnte, meta, meta_templates, watzap};
use crate::deliver::template::sync::SyncError;
use crate::host::phone::Phone;

/// More than any answer of a provider; what is longer is not read.
const BODY_LIMIT: usize = 64 * 1024;
/// More than a hundred templates take.
const LISTING_LIMIT: usize = 8 * 1024 * 1024;
/// Pages of a hundred templates; Meta allows 6,000 templates.
const MOST_PAGES: usize = 100;
/// What a log line and a table cell can carry.
const TEXT_LIMIT: usize = 400;
/// No provider's wish holds a message longer than this.
const PATIENCE_LIMIT: Duration = Duration::from_secs(24 * 3_600);

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP and TLS together. Nothing is written before: when it fires, the message may go again.
    pub connect: Duration,
    /// The whole call. When it fires, the send is uncertain: it should outlast a slow provider.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// An overall timeout that fires while connecting would make safe failures uncertain.
    #[error("the connect timeout ({connect:?}) must be shorter than the total timeout ({total:?})")]
    Timeouts {
        /// Configured.
        connect: Duration,
        /// Configured.
        total: Duration,
    },
    /// TLS or the resolver could not be set up.
    #[error("the HTTP client could not be set up: are the system's CA certificates installed?")]
    Build(#[source] reqwest::Error),
}

/// The one way out to providers. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Nothing leaves; each message is accepted at once.
    mute: bool,
}

/// What came of a call, before anybody reads the answer.
enum Exchange {
    NotSent(Class, &'static str, String),
    Unanswered(String),
    Answered(Answered),
}

pub(super) struct Answered {
    status: u16,
    patience: Option<Duration>,
    body: Body,
}

enum Body {
    Json(Value),
    Other(String),
    Broken(String),
}

impl Client {
    /// A client. Installs the process's TLS provider if nobody has.
    pub fn new(timeouts: Timeouts) -> Result<Self, ClientError> {
        let Timeouts { connect, total } = timeouts;
        if connect >= total {
            return Err(ClientError::Timeouts { connect, total });
        }
        // An error says that somebody installed one before: good as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("sicantik-notifyd/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(connect)
            .timeout(total)
            // Shorter than servers keep a connection: a write into a closed one would be uncertain.
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(8)
            .build()
            .map_err(ClientError::Build)?;
        Ok(Self { http, mute: false })
    }

    /// A client that accepts every message at once and sends none: what delivery costs without its provider. For benchmarks; no
    /// configuration leads here.
    ///
    /// # Errors
    /// As [`Client::new`].
    #[doc(hidden)]
    pub fn mute() -> Result<Self, ClientError> {
        Ok(Self {
            mute: true,
            ..Self::new(Timeouts::default())?
        })
    }

    /// Hands a message to a provider.
    pub async fn send(&self, account: &Account, outgoing: &Outgoing) -> Report {
        let started = Instant::now();
        if self.mute {
            return accepted(outgoing, started.elapsed());
        }
        let exchange = match self.request(account, outgoing) {
            Ok(request) => exchange(request).await,
            Err(wrong) => Exchange::NotSent(Class::Content, "wrong_content", wrong.to_owned()),
        };
        let (http_status, answer) = judge(account.kind(), exchange);
        let clean = |text: &str| cut(&mask(&account.redact(text), &outgoing.to));
        let answer = match answer {
            Answer::Refused(failure) => Answer::Refused(Failure {
                message: clean(&failure.message),
                ..failure
            }),
            Answer::Uncertain { error } => Answer::Uncertain { error: clean(&error) },
            accepted @ Answer::Accepted { .. } => accepted,
        };
        Report {
            answer,
            http_status,
            duration: started.elapsed(),
        }
    }

    /// Asks a provider how the account is, without sending a message.
    pub async fn probe(&self, account: &Account) -> ProbeReport {
        let started = Instant::now();
        let request = match &account.access {
            Access::Meta {
                token,
                api_version,
                phone_number_id,
                ..
            } => meta::probe(&self.http, &account.base_url, api_version, phone_number_id, token),
            Access::Fonnte { token } => fonnte::probe(&self.http, &account.base_url, token),
            Access::Watzap { api_key, .. } => watzap::probe(&self.http, &account.base_url, api_key),
        };
        let (http_status, health) = diagnose(account, exchange(request).await);
        let clean = |text: &str| cut(&account.redact(text));
        let health = match health {
            Health::Healthy { detail } => Health::Healthy {
                detail: clean(&detail),
            },
            Health::Limited { detail } => Health::Limited {
                detail: clean(&detail),
            },
            Health::Down(failure) => Health::Down(Failure {
                message: clean(&failure.message),
                ..failure
            }),
            Health::Unknown { error } => Health::Unknown { error: clean(&error) },
        };
        ProbeReport {
            health,
            http_status,
            duration: started.elapsed(),
        }
    }

    /// All templates of Meta's account, page by page.
    ///
    /// # Errors
    /// Why there is no whole listing.
    pub async fn templates(&self, account: &Account) -> Result<Vec<RemoteTemplate>, SyncError> {
        let Access::Meta {
            token,
            api_version,
            waba_id,
            ..
        } = &account.access
        else {
            return Err(SyncError::NotMeta(account.name.clone()));
        };
        let waba_id = waba_id
            .as_deref()
            .ok_or_else(|| SyncError::NoBusinessAccount(account.name.clone()))?;
        let refused = |words: &str| SyncError::Meta(cut(&account.redact(words)));
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let request = meta_templates::list(
                &self.http,
                &account.base_url,
                api_version,
                waba_id,
                token,
                after.as_deref(),
            );
            let answered = match exchange_up_to(request, LISTING_LIMIT).await {
                Exchange::Answered(answered) => answered,
                Exchange::NotSent(_, _, error) | Exchange::Unanswered(error) => return Err(refused(&error)),
            };
            let page = match &answered.body {
                Body::Json(json) if (200..300).contains(&answered.status) => meta_templates::read(json),
                Body::Json(json) if json.get("error").is_some() => {
                    let failure = Failure::from_meta(&json["error"], Some(answered.status));
                    return Err(refused(&format!("{}: {}", failure.code, failure.message)));
                }
                _ => None,
            };
            let Some(page) = page else {
                return Err(refused(&format!(
                    "HTTP {}, {}",
                    answered.status,
                    answered.body.describe()
                )));
            };
            all.extend(page.templates);
            match page.after {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
        Err(refused("the listing has no end"))
    }

    fn request(&self, account: &Account, outgoing: &Outgoing) -> Result<RequestBuilder, &'static str> {
        let base = &account.base_url;
        match &account.access {
            Access::Meta {
                token,
                api_version,
                phone_number_id,
                ..
            } => Ok(meta::send(
                &self.http,
                base,
                api_version,
                phone_number_id,
                token,
                outgoing,
            )),
            Access::Fonnte { token } => fonnte::send(&self.http, base, token, outgoing),
            Access::Watzap {
                api_key,
                number_key,
                wait_until_send,
            } => watzap::send(&self.http, base, api_key, number_key, *wait_until_send, outgoing),
        }
    }
}

fn accepted(outgoing: &Outgoing, duration: Duration) -> Report {
    let external_id = Some(format!("mute-{}", outgoing.attempt.0));
    Report {
        answer: Answer::Accepted {
            external_id,
            reference: None,
            note: None,
        },
        http_status: Some(200),
        duration,
    }
}

async fn exchange(request: RequestBuilder) -> Exchange {
    exchange_up_to(request, BODY_LIMIT).await
}

async fn exchange_up_to(request: RequestBuilder, limit: usize) -> Exchange {
    match request.send().await {
        Ok(response) => Exchange::Answered(read(response, limit).await),
        // Nothing of the request was written: it stands before TLS is up, and a builder error before any connection.
        Err(error) if error.is_builder() => Exchange::NotSent(Class::Account, "bad_request", describe(error)),
        Err(error) if error.is_dns() => Exchange::NotSent(Class::Transient, "dns", describe(error)),
        Err(error) if error.is_connect() && error.is_timeout() => {
            Exchange::NotSent(Class::Transient, "connect_timeout", describe(error))
        }
        Err(error) if error.is_connect() => Exchange::NotSent(Class::Transient, "connect", describe(error)),
        Err(error) if error.is_timeout() => {
            Exchange::Unanswered(format!("no answer in time: {}", describe(error)))
        }
        Err(error) => Exchange::Unanswered(format!("the connection broke: {}", describe(error))),
    }
}

async fn read(mut response: Response, limit: usize) -> Answered {
    let status = response.status().as_u16();
    let patience = patience(response.headers()).map(|asked| asked.min(PATIENCE_LIMIT));
    let mut bytes = Vec::new();
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                break Body::Broken(format!("the answer is longer than {limit} bytes"));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break parse(&bytes),
            Err(error) => break Body::Broken(format!("the answer was cut off: {}", describe(error))),
        }
    };
    Answered {
        status,
        patience,
        body,
    }
}

fn parse(bytes: &[u8]) -> Body {
    match serde_json::from_slice(bytes) {
        Ok(json @ Value::Object(_)) => Body::Json(json),
        _ => Body::Other(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn judge(kind: ProviderKind, exchange: Exchange) -> (Option<u16>, Answer) {
    match exchange {
        Exchange::NotSent(class, code, error) => {
            (None, Answer::Refused(Failure::new(kind, class, code, error)))
        }
        Exchange::Unanswered(error) => (None, Answer::Uncertain { error }),
        Exchange::Answered(answered) => {
            let mut answer = understand(kind, &answered).unwrap_or_else(|| by_status(kind, &answered));
            if let Answer::Refused(failure) = &mut answer {
                failure.retry_after = answered.patience;
            }
            (Some(answered.status), answer)
        }
    }
}

fn understand(kind: ProviderKind, answered: &Answered) -> Option<Answer> {
    let Body::Json(json) = &answered.body else {
        return None;
    };
    match kind {
        ProviderKind::Meta => meta::read(answered.status, json),
        ProviderKind::Fonnte => fonnte::read(answered.status, json),
        ProviderKind::Watzap => watzap::read(answered.status, json),
    }
}

/// The meaning of an answer that has no readable reason.
fn by_status(kind: ProviderKind, answered: &Answered) -> Answer {
    let status = answered.status;
    let message = format!("HTTP {status}, {}", answered.body.describe());
    let class = match status {
        200..=299 | 504 | 520 | 524 => return Answer::uncertain(message),
        429 => Class::ThrottleProvider,
        408 | 425 | 500.. => Class::Transient,
        300..=399 | 401 | 403 | 404 | 405 | 410 => Class::Account,
        _ if matches!(answered.body, Body::Broken(_)) => Class::Transient,
        _ if kind == ProviderKind::Meta => Class::Content,
        _ => Class::Soft,
    };
    Answer::Refused(Failure::new(kind, class, format!("http_{status}"), message))
}

impl Body {
    fn describe(&self) -> String {
        match self {
            Self::Json(json) => format!("not understood: {json}"),
            Self::Other(text) if text.trim().is_empty() => "no answer in the body".to_owned(),
            Self::Other(text) => format!("not JSON: {text}"),
            Self::Broken(error) => error.clone(),
        }
    }
}

fn diagnose(account: &Account, exchange: Exchange) -> (Option<u16>, Health) {
    match exchange {
        Exchange::NotSent(_, _, error) | Exchange::Unanswered(error) => (None, Health::Unknown { error }),
        Exchange::Answered(answered) => (Some(answered.status), diagnose_answer(account, &answered)),
    }
}

/// A probe asks about the account alone: a refusal that blames anything passing leaves the question open.
fn diagnose_answer(account: &Account, answered: &Answered) -> Health {
    let known = match (&answered.body, &account.access) {
        (Body::Json(json), Access::Meta { .. }) => meta::read_probe(answered.status, json),
        (Body::Json(json), Access::Fonnte { .. }) => fonnte::read_probe(answered.status, json),
        (Body::Json(json), Access::Watzap { number_key, .. }) => {
            watzap::read_probe(answered.status, json, number_key)
        }
        _ => None,
    };
    known.unwrap_or_else(|| match by_status(account.kind(), answered) {
        Answer::Refused(failure) if failure.class == Class::Account => Health::Down(failure),
        Answer::Refused(failure) => Health::Unknown {
            error: failure.message,
        },
        Answer::Uncertain { error } => Health::Unknown { error },
        Answer::Accepted { .. } => Health::Unknown {
            error: "the provider's answer was not understood".to_owned(),
        },
    })
}

/// How long the provider asks us to wait: `Retry-After`, or the minutes in Meta's `X-Business-Use-Case-Usage`.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(wish) = text(RETRY_AFTER.as_str()) {
        return match wish.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => (DateTime::parse_from_rfc2822(wish).ok()?.to_utc() - Utc::now())
                .to_std()
                .ok(),
        };
    }
    let usage: Value = serde_json::from_str(text("x-business-use-case-usage")?).ok()?;
    let uses = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let minutes = uses
        .filter_map(|one| one.get("estimated_time_to_regain_access")?.as_u64())
        .max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}

/// The error with its causes, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The text without the recipient's number, also as it is written inside the country.
fn mask(text: &str, phone: &Phone) -> String {
    let masked = text.replace(phone.digits(), &phone.masked());
    match phone.digits().strip_prefix("62") {
        Some(national) => masked.replace(national, "****"),
        None => masked,
    }
}

/// One line of a readable length. Comes after redaction, which cannot see a secret that is cut in two.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_LIMIT) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A credential as a header value that HTTP/2 tables and debug output leave out. An [`Account`] holds only graphic
/// ASCII, so nothing is lost by the empty value, which the provider would refuse as a bad token.
pub(super) fn credential(text: String) -> HeaderValue {
    let mut value = HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn providers_may_ask_for_patience() {
        let seconds = |name, value: &str| patience(&headers(name, value)).map(|wish| wish.as_secs());
        assert_eq!(seconds("retry-after", "30"), Some(30));
        assert_eq!(seconds("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), None);
        let later = (Utc::now() + chrono::TimeDelta::minutes(10)).to_rfc2822();
        assert!((590..=600).contains(&seconds("retry-after", &later).unwrap()));
        let usage = r#"{"77":[{"type":"messaging","estimated_time_to_regain_access":3},{"call_count":1}]}"#;
        assert_eq!(seconds("x-business-use-case-usage", usage), Some(180));
        assert_eq!(seconds("x-business-use-case-usage", "garbage"), None);
        assert_eq!(seconds("x-other", "1"), None);
    }

    #[test]
    fn answers_without_a_reason() {
        use ProviderKind::{Fonnte, Meta};
        let table = [
            (Meta, 502, Some(Class::Transient)),
            (Meta, 504, None),
            (Meta, 200, None),
            (Meta, 302, Some(Class::Account)),
            (Meta, 404, Some(Class::Account)),
            (Meta, 429, Some(Class::ThrottleProvider)),
            (Meta, 408, Some(Class::Transient)),
            (Meta, 400, Some(Class::Content)),
            (Fonnte, 400, Some(Class::Soft)),
            (Fonnte, 403, Some(Class::Account)),
            (Fonnte, 524, None),
        ];
        for (kind, status, class) in table {
            let answered = Answered {
                status,
                patience: None,
                body: Body::Other("<html>".into()),
            };
            let got = match by_status(kind, &answered) {
                Answer::Refused(failure) => Some(failure.class),
                _ => None,
            };
            assert_eq!(got, class, "{kind} {status}");
        }
        let broken = Answered {
            status: 400,
            patience: None,
            body: Body::Broken("cut off".into()),
        };
        assert!(
            matches!(by_status(Meta, &broken), Answer::Refused(failure) if failure.class == Class::Transient)
        );
    }

    #[test]
    fn timeouts_are_checked() {
        let second = Duration::from_secs(1);
        assert!(matches!(
            Client::new(Timeouts {
                connect: second,
                total: second
            }),
            Err(ClientError::Timeouts { .. })
        ));
        assert!(Client::new(Timeouts::default()).is_ok());
    }
}
