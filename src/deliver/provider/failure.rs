//! The failure table: a provider's refusal → class → what happens to message, account, template and number.
//!
//! One place, read by synchronous answers, by webhooks (`failed` after an acceptance) and by tests. Sources: "Meta: error
//! codes", "Fonnte: API send", "Watzap: status codes". A code that is not listed takes the class of its HTTP status.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ProviderKind;

mod codes;

pub(super) use codes::DISCONNECTED;
use codes::adjust_for_meta;
pub use codes::{fonnte_class, meta_class, watzap_class};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A refusal: the provider has not taken the message, or has given it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who refused.
    pub provider: ProviderKind,
    /// Kind of failure, which decides what happens.
    pub class: Class,
    /// The provider's code (`131042`, `token_invalid`, `1003`), or ours (`http_502`, `connect`).
    pub code: String,
    /// The provider's words, without secrets, cut to a readable length.
    pub message: String,
    /// The provider asked for this much patience.
    pub retry_after: Option<Duration>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Passes by itself: no connection, HTTP 5xx.
    Transient,
    /// The account sends too fast.
    ThrottleProvider,
    /// This recipient gets too much from us.
    ThrottleRecipient,
    /// Meta wants a day's pause for this recipient.
    Wait,
    /// This recipient cannot be reached at all.
    Recipient,
    /// This recipient told Meta to stop promotional messages.
    OptOut,
    /// Meta does not send this template.
    Template,
    /// What we sent is wrong.
    Content,
    /// Free text outside the 24-hour window.
    Window,
    /// The account cannot send: token, billing, disconnected phone.
    Account,
    /// A reason nobody has explained.
    Soft,
}

/// May the same provider be tried again with this message?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetrySame {
    /// No.
    No,
    /// By the retry schedule.
    Schedule,
    /// By the retry schedule, `tries` in all; then the message is treated as `then`.
    UpTo {
        /// Tries in all, the first one counted.
        tries: u32,
        /// Class afterwards.
        then: Class,
    },
    /// After a pause; [`Failure::retry_after`] replaces it if longer.
    After {
        /// The pause.
        pause: Duration,
        /// How often; `None`: as often as needed.
        times: Option<u32>,
    },
    /// After 4^x seconds, x = 0, 1, 2, …, for this recipient alone (Meta's advice for 131056).
    PowersOfFour,
    /// Once, with values made fit again.
    Sanitised,
    /// As a template instead of free text.
    AsTemplate,
}

impl RetrySame {
    /// The pause before try `number` (0 = first retry), where the code itself sets one and not the rule's schedule.
    pub fn pause(self, number: u32) -> Option<Duration> {
        match self {
            Self::After { pause, .. } => Some(pause),
            // 4^6 s is more than an hour: the pair rate has long recovered.
            Self::PowersOfFour => Some(Duration::from_secs(4_u64.pow(number.min(6)))),
            _ => None,
        }
    }
}

/// May the next provider be tried now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Never.
    No,
    /// At once.
    Now,
    /// At once, unless the message is promotional: a gateway must not get round a recipient's or Meta's no.
    UnlessMarketing,
    /// Only if the message cannot wait.
    IfUrgent,
    /// Once the tries at this provider are used up, or the deadline is near.
    AfterTries,
}

/// When does the message fail?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// At once.
    AtOnce,
    /// When neither a retry nor another provider is left.
    WhenNoneLeft,
    /// At its deadline, or with its last try.
    AtDeadline,
    /// Not for this reason: it waits until the account is repaired.
    Never,
}

/// What happens to the account's circuit?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Nothing.
    Stays,
    /// Counts as one failure in a row.
    Counts,
    /// Counts as half a failure (uncertain sends).
    CountsHalf,
    /// Opens at once; first probe after this time.
    Opens(Duration),
}

/// What must be remembered beyond this message?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The number cannot be reached.
    Number,
    /// The recipient opted out of promotional messages.
    OptOut,
    /// The template is unusable at Meta until a sync or webhook says approved.
    Template,
}

/// Everything that follows from a failure.
///
/// A repair comes first ([`Consequences::repairs_first`]), then the next provider if `fallback` allows it and one is left,
/// then `retry_same`, then `fails`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// The same provider again?
    pub retry_same: RetrySame,
    /// The next provider?
    pub fallback: Fallback,
    /// The end of the message?
    pub fails: Fails,
    /// Does it use up one of the message's tries?
    pub burns_try: bool,
    /// The account's circuit.
    pub circuit: Circuit,
    /// What to remember.
    pub mark: Option<Mark>,
    /// Must a person look at it?
    pub alert: bool,
}

impl Consequences {
    /// What follows when nobody knows whether the message was taken: no second provider, no blind retry.
    pub const UNCERTAIN: Self = Self {
        retry_same: RetrySame::No,
        fallback: Fallback::No,
        fails: Fails::Never,
        burns_try: true,
        circuit: Circuit::CountsHalf,
        mark: None,
        alert: false,
    };

    /// True if the same provider is asked again at once with something else (fit values, a template) before another
    /// provider is.
    pub fn repairs_first(&self) -> bool {
        matches!(self.retry_same, RetrySame::Sanitised | RetrySame::AsTemplate)
    }

    /// True if the account's circuit opens at once.
    pub fn opens_circuit(&self) -> bool {
        matches!(self.circuit, Circuit::Opens(_))
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 11] = [
        Self::Transient,
        Self::ThrottleProvider,
        Self::ThrottleRecipient,
        Self::Wait,
        Self::Recipient,
        Self::OptOut,
        Self::Template,
        Self::Content,
        Self::Window,
        Self::Account,
        Self::Soft,
    ];

    /// The word in tables and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::ThrottleProvider => "throttle_provider",
            Self::ThrottleRecipient => "throttle_recipient",
            Self::Wait => "wait",
            Self::Recipient => "recipient",
            Self::OptOut => "opt_out",
            Self::Template => "template",
            Self::Content => "content",
            Self::Window => "window",
            Self::Account => "account",
            Self::Soft => "soft",
        }
    }

    /// Who must do what, in one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Transient => "Nothing to do: it is tried again.",
            Self::ThrottleProvider => {
                "Nothing to do: sending slows down; lower the rules' rates if it stays."
            }
            Self::ThrottleRecipient => "Nothing to do: this recipient's messages are spaced.",
            Self::Wait => "See whether Meta now counts this template as marketing.",
            Self::Recipient => "Correct the contact's number: it has no reachable WhatsApp.",
            Self::OptOut => "Nothing to do: the recipient stopped promotional messages.",
            Self::Template => "Look at the template in WhatsApp Manager, then run the template sync.",
            Self::Content => "Compare the template's parameters with Meta's, or correct the rule's context.",
            Self::Window => "Set up an approved template for this key.",
            Self::Account => {
                "Repair the provider account: token, payment, registration, or the phone's connection."
            }
            Self::Soft => "Read the provider's message; tell us if it keeps coming.",
        }
    }

    /// What follows from this class where no single code says otherwise.
    pub fn consequences(self) -> Consequences {
        use Class::*;
        let (retry_same, fallback, fails, burns_try, circuit) = match self {
            Transient => (
                RetrySame::Schedule,
                Fallback::AfterTries,
                Fails::AtDeadline,
                true,
                Circuit::Counts,
            ),
            ThrottleProvider => {
                let soon = RetrySame::After {
                    pause: Duration::from_secs(5),
                    times: None,
                };
                (soon, Fallback::IfUrgent, Fails::AtDeadline, false, Circuit::Stays)
            }
            ThrottleRecipient => (
                RetrySame::PowersOfFour,
                Fallback::No,
                Fails::AtDeadline,
                false,
                Circuit::Stays,
            ),
            Wait => {
                let day = RetrySame::After {
                    pause: 24 * HOUR,
                    times: Some(1),
                };
                (
                    day,
                    Fallback::UnlessMarketing,
                    Fails::WhenNoneLeft,
                    true,
                    Circuit::Stays,
                )
            }
            Recipient => (RetrySame::No, Fallback::No, Fails::AtOnce, true, Circuit::Stays),
            OptOut => (RetrySame::No, Fallback::No, Fails::AtOnce, true, Circuit::Stays),
            Template => (
                RetrySame::No,
                Fallback::Now,
                Fails::WhenNoneLeft,
                false,
                Circuit::Stays,
            ),
            Content => (
                RetrySame::No,
                Fallback::Now,
                Fails::WhenNoneLeft,
                true,
                Circuit::Stays,
            ),
            Window => (
                RetrySame::AsTemplate,
                Fallback::Now,
                Fails::WhenNoneLeft,
                false,
                Circuit::Stays,
            ),
            Account => (
                RetrySame::No,
                Fallback::Now,
                Fails::Never,
                false,
                Circuit::Opens(15 * MINUTE),
            ),
            Soft => {
                let once = RetrySame::UpTo { tries: 2, then: Soft };
                (once, Fallback::Now, Fails::WhenNoneLeft, true, Circuit::Counts)
            }
        };
        let mark = match self {
            Recipient => Some(Mark::Number),
            OptOut => Some(Mark::OptOut),
            Template => Some(Mark::Template),
            _ => None,
        };
        let alert = matches!(self, Account | Content | Template);
        Consequences {
            retry_same,
            fallback,
            fails,
            burns_try,
            circuit,
            mark,
            alert,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} refused ({}, {}): {}",
            self.provider, self.code, self.class, self.message
        )
    }
}

impl Failure {
    pub(super) fn new(
        provider: ProviderKind,
        class: Class,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            provider,
            class,
            code: code.into(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// The failure in an `error` object of an answer, or in `statuses[].errors[]` of a webhook ("Meta: error codes":
    /// decide on `code` alone). Without an HTTP status an unlisted code is a [`Class::Soft`].
    pub fn from_meta(error: &Value, http_status: Option<u16>) -> Self {
        let code = error
            .get("code")
            .and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
        let details = error
            .pointer("/error_data/details")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        let text = |name| error.get(name).and_then(Value::as_str);
        let message = details
            .or_else(|| text("message"))
            .or_else(|| text("title"))
            .unwrap_or("no message");
        let transient = error
            .get("is_transient")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let class = code.and_then(meta_class).unwrap_or(match http_status {
            _ if transient => Class::Transient,
            Some(429) => Class::ThrottleProvider,
            Some(500..) => Class::Transient,
            Some(401) => Class::Account,
            Some(_) => Class::Content,
            None => Class::Soft,
        });
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        Self::new(ProviderKind::Meta, class, code, message)
    }

    /// What follows from this failure: the class's consequences, changed by what is known about the single code.
    pub fn consequences(&self) -> Consequences {
        let mut after = self.class.consequences();
        match self.provider {
            ProviderKind::Meta => adjust_for_meta(&self.code, &mut after),
            // A phone comes back within minutes; tokens and payment take a person.
            _ if self.code == DISCONNECTED => after.circuit = Circuit::Opens(2 * MINUTE),
            _ => {}
        }
        if let (RetrySame::After { pause, times }, Some(asked)) = (after.retry_same, self.retry_after) {
            after.retry_same = RetrySame::After {
                pause: pause.max(asked),
                times,
            };
        }
        after
    }
}

#[cfg(test)]
mod tests;
