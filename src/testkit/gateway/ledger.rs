//! What the gateway received and what it accepted: the evidence for "none lost, none doubled".
//!
//! An accepted message is written here before its answer leaves, and also when that answer never leaves: the
//! ledger is the provider's truth, whatever the client was told.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;

use super::numbers::digits;
use super::{GatewayError, Provider};

/// One HTTP request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// Place in the order of arrival, from 0.
    pub seq: usize,
    /// Whose API was called.
    pub provider: Provider,
    /// The path below the provider's own base, e.g. `v23.0/1099/messages`.
    pub path: String,
    /// `GET`, `POST`.
    pub method: String,
    /// True for a call that sends a message; false for probes, listings and unknown paths.
    pub is_send: bool,
    /// `authorization`, `content-type`, `user-agent` and `accept`, where given.
    pub headers: Vec<(String, String)>,
    /// The JSON body; a form as an object of strings; any other text as a string; `Null` if it was not read.
    pub body: Value,
    /// When it arrived.
    pub at: Instant,
    /// When its answer was handed to the connection; `None` while unanswered.
    pub answered_at: Option<Instant>,
    /// The status answered; `None` while unanswered, and for ever after a hang or a cut.
    pub response_status: Option<u16>,
    /// True when at least one message of this request was accepted.
    pub accepted: bool,
}

impl Request {
    /// The value of a kept header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// One message that a provider took: from here on the recipient may get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Place in the order of acceptance over all providers, from 0.
    pub seq: usize,
    /// [`Request::seq`] of the request that carried it.
    pub request: usize,
    /// Who took it.
    pub provider: Provider,
    /// The recipient: digits with country code.
    pub to: String,
    /// Meta: the template's name; `None` for free text and for the other providers.
    pub template: Option<String>,
    /// Meta: the template's language.
    pub language: Option<String>,
    /// Meta: the body's values, in the order sent.
    pub params: Vec<String>,
    /// What the recipient reads: for a template its body with the values put in.
    pub text: String,
    /// The id that the reply carries; Watzap has none.
    pub external_id: Option<String>,
    /// Meta: `biz_opaque_callback_data`.
    pub callback_data: Option<String>,
    /// Meta, templates: `accepted`, `held_for_quality_assessment` or `paused`.
    pub message_status: Option<String>,
}

/// An accepted message before it has its place in the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub to: String,
    pub template: Option<String>,
    pub language: Option<String>,
    pub params: Vec<String>,
    pub text: String,
    pub external_id: Option<String>,
    pub callback_data: Option<String>,
    pub message_status: Option<String>,
}

/// Everything seen so far.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// In order of arrival.
    pub requests: Vec<Request>,
    /// In order of acceptance.
    pub accepted: Vec<Accepted>,
}

impl Book {
    /// Messages accepted for one number, however it is written.
    pub fn accepted_to(&self, number: &str) -> impl Iterator<Item = &Accepted> {
        let to = digits(number);
        self.accepted.iter().filter(move |message| message.to == to)
    }

    /// Requests that tried to send a message.
    pub fn sends(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.is_send)
    }

    /// One line a request, for the message of a failed wait.
    fn describe(&self) -> String {
        let lines: Vec<String> = self
            .requests
            .iter()
            .map(|request| {
                let status = request
                    .response_status
                    .map_or("-".to_owned(), |status| status.to_string());
                let word = if request.accepted {
                    "accepted"
                } else {
                    "not accepted"
                };
                format!(
                    "{} {} {} -> {status}, {word}",
                    request.provider, request.method, request.path
                )
            })
            .collect();
        lines.join("; ")
    }
}

/// The [`Book`], shared between the server and the test, with a way to wait for a line in it.
#[derive(Debug)]
pub struct Ledger {
    book: watch::Sender<Book>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            book: watch::Sender::new(Book::default()),
        }
    }

    /// Reads the book under its lock; keep `read` short.
    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.book.borrow())
    }

    /// All accepted messages.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.read(|book| book.accepted.clone())
    }

    /// Messages accepted for one number, however it is written.
    pub fn accepted_to(&self, number: &str) -> Vec<Accepted> {
        self.read(|book| book.accepted_to(number).cloned().collect())
    }

    /// How many messages were accepted.
    pub fn count(&self) -> usize {
        self.read(|book| book.accepted.len())
    }

    /// All requests.
    pub fn requests(&self) -> Vec<Request> {
        self.read(|book| book.requests.clone())
    }

    /// Waits until `predicate` holds, which may be at once.
    pub async fn wait_for(
        &self,
        mut predicate: impl FnMut(&Book) -> bool,
        timeout: Duration,
    ) -> Result<(), GatewayError> {
        let mut book = self.book.subscribe();
        let waited = tokio::time::timeout(timeout, book.wait_for(|book| predicate(book))).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.read(|book| GatewayError::WaitedInVain {
                timeout,
                accepted: book.accepted.len(),
                seen: book.describe(),
            })),
        }
    }

    /// Waits until at least `n` messages are accepted and returns all of them.
    pub async fn wait_for_accepted(
        &self,
        n: usize,
        timeout: Duration,
    ) -> Result<Vec<Accepted>, GatewayError> {
        self.wait_for(|book| book.accepted.len() >= n, timeout).await?;
        Ok(self.accepted())
    }

    pub(crate) fn arrived(&self, request: Request) -> usize {
        let mut place = 0;
        self.book.send_modify(|book| {
            place = book.requests.len();
            book.requests.push(Request {
                seq: place,
                ..request
            });
        });
        place
    }

    pub(crate) fn took(&self, provider: Provider, request: usize, drafts: Vec<Draft>) {
        self.book.send_modify(|book| {
            if let Some(line) = book.requests.get_mut(request) {
                line.accepted = line.accepted || !drafts.is_empty();
            }
            for draft in drafts {
                let seq = book.accepted.len();
                book.accepted.push(Accepted {
                    seq,
                    request,
                    provider,
                    to: draft.to,
                    template: draft.template,
                    language: draft.language,
                    params: draft.params,
                    text: draft.text,
                    external_id: draft.external_id,
                    callback_data: draft.callback_data,
                    message_status: draft.message_status,
                });
            }
        });
    }

    pub(crate) fn answered(&self, request: usize, status: u16) {
        self.book.send_modify(|book| {
            if let Some(line) = book.requests.get_mut(request) {
                line.response_status = Some(status);
                line.answered_at = Some(Instant::now());
            }
        });
    }
}
