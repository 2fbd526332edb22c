//! WhatsApp providers: what goes to them and what their answers mean.
//!
//! | module      | part |
//! |-------------|------|
//! | [`account`] | settings and secrets of one account, validated |
//! | [`client`]  | the HTTP client: one call, and what a broken call means |
//! | [`failure`] | the table: a provider's code → class → what to do |
//! | `meta`, `fonnte`, `watzap` | request and answer of each provider |
//!
//! Promises: an answer is [`Accepted`](Answer::Accepted) only if the provider said so, [`Refused`](Answer::Refused) only
//! if the provider cannot have taken the message, and everything else is [`Uncertain`](Answer::Uncertain), because no
//! provider has an idempotency key. No secret and no whole phone number stands in any text of this module.
//! Must not: touch the database, retry, or choose a provider.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::db::ids::AttemptId;
use crate::host::phone::Phone;

pub mod account;
pub mod client;
pub mod failure;
mod fonnte;
mod meta;
pub mod meta_templates;
mod watzap;

pub use account::{Access, Account, AccountError};
pub use client::{Client, ClientError, Timeouts};
pub use failure::{Class, Failure};

/// Which provider an account belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Meta WhatsApp Cloud API, the official one.
    Meta,
    /// Fonnte, a gateway that drives a linked phone.
    Fonnte,
    /// Watzap, a gateway that drives a linked phone.
    Watzap,
}

impl ProviderKind {
    /// `meta`, `fonnte` or `watzap`, as the log shows it (SICANTIK guide §6.5).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Fonnte => "fonnte",
            Self::Watzap => "watzap",
        }
    }

    /// How long an uncertain send is left alone before the policy decides about it. Meta: its webhooks name our
    /// attempt, and have come by then. Gateways: nothing more can be learned; the time lets an outage pass.
    pub fn settling_time(self) -> Duration {
        match self {
            Self::Meta => Duration::from_secs(5 * 60),
            Self::Fonnte | Self::Watzap => Duration::from_secs(2 * 60),
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word names no provider we know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{0}\" is no provider: use meta, fonnte or watzap")]
pub struct UnknownProvider(pub String);

impl FromStr for ProviderKind {
    type Err = UnknownProvider;

    fn from_str(word: &str) -> Result<Self, UnknownProvider> {
        match word {
            "meta" => Ok(Self::Meta),
            "fonnte" => Ok(Self::Fonnte),
            "watzap" => Ok(Self::Watzap),
            _ => Err(UnknownProvider(word.to_owned())),
        }
    }
}

/// One message on its way to one provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The attempt that was recorded before the call.
    pub attempt: AttemptId,
    /// Our words that Meta's webhooks bring back (`biz_opaque_callback_data`, at most 512 characters): the only link
    /// that survives a lost answer.
    pub callback: String,
    /// Recipient.
    pub to: Phone,
    /// What to say.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A finished text. At Meta legal only within 24 hours of the recipient's last message.
    Text(String),
    /// An approved template of Meta with its values.
    MetaTemplate {
        /// Name at Meta.
        name: String,
        /// Language code at Meta.
        language: String,
        /// Names and values of the body, in the template's order.
        parameters: Vec<(String, String)>,
        /// True: each parameter carries its name (format NAMED). False: the order counts.
        named: bool,
        /// The header's value.
        header: Option<Header>,
        /// The buttons' values.
        buttons: Vec<Button>,
    },
}

/// The header of a Meta template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// A text.
    Text {
        /// Name of the parameter.
        name: String,
        /// The text.
        value: String,
    },
    /// An image.
    Image {
        /// Where Meta fetches it.
        link: String,
    },
    /// A document.
    Document {
        /// Where Meta fetches it.
        link: String,
        /// Name it is shown under.
        filename: Option<String>,
    },
}

/// A button of a Meta template that takes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Place in the template, from 0.
    pub index: u8,
    /// What the button does.
    pub kind: ButtonKind,
    /// Suffix of the URL, payload or code.
    pub value: String,
}

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ButtonKind {
    /// Opens a URL; the value replaces `{{1}}` in it.
    Url,
    /// Sends the payload back.
    QuickReply,
    /// Copies a code.
    CopyCode,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Accepted, refused, or nobody knows.
    pub answer: Answer,
    /// HTTP status, if an answer began to arrive.
    pub http_status: Option<u16>,
    /// From the call to its end.
    pub duration: Duration,
}

/// The provider's answer to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The provider has the message. It is not delivered yet.
    Accepted {
        /// The provider's id of the message; Watzap gives none.
        external_id: Option<String>,
        /// What else support asks for (Fonnte's `requestid`).
        reference: Option<String>,
        /// Why it may take longer.
        note: Option<AcceptNote>,
    },
    /// The provider has not taken the message.
    Refused(Failure),
    /// The request was, or may have been, written, and no answer tells what became of it.
    Uncertain {
        /// What happened, without secrets.
        error: String,
    },
}

impl Answer {
    fn accepted(external_id: Option<String>) -> Self {
        Self::Accepted {
            external_id,
            reference: None,
            note: None,
        }
    }

    fn uncertain(error: impl Into<String>) -> Self {
        Self::Uncertain { error: error.into() }
    }
}

/// Why an accepted message may take longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptNote {
    /// Meta holds it while it judges the template: it is sent later or fails by webhook (132015). Never send it again.
    HeldForQuality,
    /// Meta says the template is paused.
    TemplatePaused,
    /// Fonnte has trouble of its own and sends later.
    Delayed,
}

impl AcceptNote {
    /// One sentence for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeldForQuality => "held by Meta for quality assessment",
            Self::TemplatePaused => "accepted by Meta while the template is paused",
            Self::Delayed => "queued at Fonnte, which reports a server issue and sends later",
        }
    }
}

/// What a probe of an account found. A probe sends no message.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReport {
    /// Finding.
    pub health: Health,
    /// HTTP status, if an answer began to arrive.
    pub http_status: Option<u16>,
    /// From the call to its end.
    pub duration: Duration,
}

/// State of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// Can send: the circuit may close.
    Healthy {
        /// What the provider tells (quota, plan, quality).
        detail: String,
    },
    /// Can send, but the provider warns.
    Limited {
        /// The provider's words.
        detail: String,
    },
    /// Cannot send.
    Down(Failure),
    /// The probe itself did not get through: nothing is known.
    Unknown {
        /// What happened, without secrets.
        error: String,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy { detail } if detail.is_empty() => f.write_str("well"),
            Self::Healthy { detail } => write!(f, "well ({detail})"),
            Self::Limited { detail } => write!(f, "limited: {detail}"),
            Self::Down(failure) => write!(f, "cannot send ({}): {}", failure.code, failure.message),
            Self::Unknown { error } => write!(f, "not known: {error}"),
        }
    }
}

impl Health {
    /// True if the circuit may close.
    pub fn may_send(&self) -> bool {
        matches!(self, Self::Healthy { .. } | Self::Limited { .. })
    }
}
