//! What a provider can tell, whoever it is.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::db::ids::{AttemptId, MessageId, ProviderId};
use crate::deliver::dispatcher::next_after;
use crate::deliver::provider::Failure;
use crate::deliver::provider::failure::RetrySame;
use crate::host::phone::Phone;

/// Longest id of a provider that is kept.
const ID_LIMIT: usize = 512;

/// Everything in one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// Second ids of messages.
    pub aliases: Vec<Alias>,
    /// Messages from people.
    pub inbound: Vec<Inbound>,
    /// States of templates.
    pub templates: Vec<TemplateNews>,
    /// What people want.
    pub preferences: Vec<Preference>,
    /// States of accounts.
    pub accounts: Vec<AccountNews>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Who tells.
    pub provider: ProviderId,
    /// The provider's id of the message.
    pub external_id: String,
    /// Our words, if they came back.
    pub ours: Option<(MessageId, AttemptId)>,
    /// How far it got.
    pub state: State,
    /// When; `None`: now.
    pub at: Option<DateTime<Utc>>,
}

/// How far a message got.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// On its way.
    Sent,
    /// Arrived.
    Delivered,
    /// Looked at.
    Read,
    /// Given up.
    Failed(Failure),
}

impl State {
    /// As stored.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed(_) => "failed",
        }
    }
}

/// What follows from a failure that comes after the acceptance, by the same table as for one that comes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Another provider may take it.
    NextProvider,
    /// The same provider later; `None`: by the rule's schedule.
    Again(Option<Duration>),
    /// It stays failed.
    None,
}

impl Consequence {
    /// Of a failure. Promotional templates are not told apart yet.
    pub fn of(failure: &Failure) -> Self {
        if next_after(failure, false, false, false) {
            return Self::NextProvider;
        }
        match failure.consequences().retry_same {
            RetrySame::Schedule | RetrySame::UpTo { .. } => Self::Again(None),
            again @ (RetrySame::After { .. } | RetrySame::PowersOfFour) => Self::Again(again.pause(1)),
            RetrySame::No | RetrySame::Sanitised | RetrySame::AsTemplate => Self::None,
        }
    }

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NextProvider => "next_provider",
            Self::Again(_) => "again",
            Self::None => "none",
        }
    }
}

/// Another id by which a provider speaks of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Who.
    pub provider: ProviderId,
    /// The second id.
    pub alias: String,
    /// The first one.
    pub external_id: String,
}

/// A message from a person.
#[derive(Clone, PartialEq)]
pub struct Inbound {
    /// To whom.
    pub provider: ProviderId,
    /// The provider's id, or one made of what makes it what it is.
    pub external_id: String,
    /// From whom.
    pub phone: Phone,
    /// When; `None`: now.
    pub at: Option<DateTime<Utc>>,
    /// What. Looked at, and forgotten.
    pub text: String,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound")
            .field("provider", &self.provider)
            .field("phone", &self.phone)
            .finish_non_exhaustive()
    }
}

/// A template changed its state at Meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateNews {
    /// Account.
    pub provider: ProviderId,
    /// Name at Meta.
    pub name: String,
    /// Language code at Meta.
    pub language: String,
    /// Meta's word.
    pub event: String,
    /// Why.
    pub reason: Option<String>,
    /// When; `None`: now.
    pub at: Option<DateTime<Utc>>,
}

/// Somebody told WhatsApp whether they want promotional messages from this business.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// Account.
    pub provider: ProviderId,
    /// Who.
    pub phone: Phone,
    /// They do not.
    pub stopped: bool,
    /// When; `None`: now.
    pub at: Option<DateTime<Utc>>,
}

/// An account changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountNews {
    /// Which.
    pub provider: ProviderId,
    /// `None`: it can send again.
    pub failure: Option<Failure>,
    /// When; `None`: now.
    pub at: Option<DateTime<Utc>>,
}

/// A text as the database takes it: without NUL, and not endless.
pub fn storable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(limit).collect()
}

/// An id of a provider, as text whatever it was; empty is none.
pub fn id(value: Option<&serde_json::Value>) -> Option<String> {
    let text = match value? {
        serde_json::Value::String(text) => text.trim().to_owned(),
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let text = storable(&text, ID_LIMIT);
    (!text.is_empty()).then_some(text)
}

/// Unix seconds, as a number or a text.
pub fn seconds(value: Option<&serde_json::Value>) -> Option<DateTime<Utc>> {
    let value = value?;
    let seconds = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
    // Before WhatsApp there was none; zero stands for "unknown".
    DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 1_200_000_000 && seconds < 32_503_680_000)
}

/// The number of an account of WhatsApp: digits with the country code, sometimes with a suffix. Groups and ids that are no
/// numbers are nobody.
pub fn person(raw: &str) -> Option<Phone> {
    let digits = match raw.split_once('@') {
        Some((digits, "c.us" | "s.whatsapp.net")) => digits,
        Some(_) => return None,
        None => raw,
    };
    let digits = digits.trim().trim_start_matches('+');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits.starts_with('0') {
        true => Phone::parse(digits).ok(),
        false => Phone::parse(&format!("+{digits}")).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn late_failures_follow_the_table() {
        let after = |code: i64| Consequence::of(&Failure::from_meta(&json!({ "code": code }), None));
        for (codes, expected) in [
            (
                &[131042, 190, 131031, 132015, 132001, 131049, 132000][..],
                Consequence::NextProvider,
            ),
            (&[131000, 131016], Consequence::Again(None)),
            (&[131056], Consequence::Again(Some(Duration::from_secs(4)))),
            (&[131026, 131050], Consequence::None),
        ] {
            for code in codes {
                assert_eq!(after(*code), expected, "{code}");
            }
        }
    }

    #[test]
    fn who_wrote() {
        for raw in [
            "6281200000001",
            "+6281200000001",
            "6281200000001@c.us",
            "081200000001",
            "6281200000001@s.whatsapp.net",
        ] {
            assert_eq!(
                person(raw).map(|p| p.as_e164().to_owned()).as_deref(),
                Some("+6281200000001"),
                "{raw}"
            );
        }
        assert_eq!(
            person("60123456789").map(|p| p.as_e164().to_owned()).as_deref(),
            Some("+60123456789")
        );
        for raw in [
            "120363@g.us",
            "1234567890123@lid",
            "",
            "ID.13491208655302741918",
            "62812-1234@g.us",
        ] {
            assert_eq!(person(raw), None, "{raw}");
        }
    }

    #[test]
    fn times_are_seconds() {
        let at = DateTime::from_timestamp(1_795_300_000, 0);
        assert_eq!(seconds(Some(&json!("1795300000"))), at);
        assert_eq!(seconds(Some(&json!(1_795_300_000_u64))), at);
        for wrong in [
            json!(0),
            json!(""),
            json!("soon"),
            json!(1_795_300_000_000_i64),
            json!(i64::MAX),
            json!(null),
        ] {
            assert_eq!(seconds(Some(&wrong)), None, "{wrong}");
        }
    }
}
