//! One account at one provider: settings and secrets, checked before the first call.
//!
//! Promises: an [`Account`] that exists can be called; what is missing is named; secrets cannot be printed.

use std::collections::BTreeMap;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use thiserror::Error;

use super::ProviderKind;
use crate::db::ids::ProviderId;
use crate::deliver::pace::Pace;

/// Version of Meta's Graph API unless `api_version` says otherwise. Payloads of v23 to v25 are the same.
const META_VERSION: &str = "v23.0";

/// An account that can be called.
#[derive(Clone, Debug)]
pub struct Account {
    /// Row of `provider`.
    pub id: ProviderId,
    /// Name for people.
    pub name: String,
    /// Where the API is, without a slash at the end.
    pub base_url: String,
    /// What the provider needs.
    pub access: Access,
    /// How fast it may be used.
    pub pace: Pace,
}

/// Credentials and settings by provider.
#[derive(Clone, Debug)]
pub enum Access {
    /// Meta WhatsApp Cloud API.
    Meta {
        /// System user token.
        token: SecretString,
        /// `v23.0`
        api_version: String,
        /// Id of the sending number: not the number itself.
        phone_number_id: String,
        /// WhatsApp Business Account, for the template sync.
        waba_id: Option<String>,
    },
    /// Fonnte.
    Fonnte {
        /// Device token (not the account token).
        token: SecretString,
    },
    /// Watzap.
    Watzap {
        /// Key of the account.
        api_key: SecretString,
        /// Key of the number's licence, or `ALL`.
        number_key: SecretString,
        /// Wait for the phone's word instead of the queue's: the total timeout must then be 60 s or more.
        wait_until_send: bool,
    },
}

/// Why settings make no account.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum AccountError {
    #[error("{kind}: setting \"{name}\" is missing")]
    MissingSetting { kind: ProviderKind, name: &'static str },
    #[error("{kind}: secret \"{name}\" is missing: give it in the credentials of this provider")]
    MissingSecret { kind: ProviderKind, name: &'static str },
    #[error("{kind}: setting \"{name}\" must be {expected}")]
    InvalidSetting {
        kind: ProviderKind,
        name: &'static str,
        expected: &'static str,
    },
    #[error(
        "{kind}: secret \"{name}\" holds a blank, a line break or a character outside ASCII: copy it again"
    )]
    InvalidSecret { kind: ProviderKind, name: &'static str },
    #[error("{kind}: base_url would send the credential unencrypted: use https (http only to this machine)")]
    Unencrypted { kind: ProviderKind },
}

impl Account {
    /// The account that settings and secrets describe.
    ///
    /// | provider | settings | secrets |
    /// |----------|----------|---------|
    /// | meta     | `phone_number_id`; optional `waba_id`, `api_version`, `base_url`, `messages_per_second`, `pair_interval_seconds` | `token` |
    /// | fonnte   | optional `base_url`, `delay_seconds` | `token` (of the device) |
    /// | watzap   | `number_key` (here or as a secret); optional `wait_until_send`, `base_url`, `delay_seconds` | `api_key` |
    pub fn from_settings(
        id: ProviderId,
        name: &str,
        kind: ProviderKind,
        settings: &Map<String, Value>,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Self, AccountError> {
        let from = Source {
            kind,
            settings,
            secrets,
        };
        let access = match kind {
            ProviderKind::Meta => Access::Meta {
                token: from.secret("token")?,
                api_version: from.api_version()?,
                phone_number_id: from
                    .digits("phone_number_id")?
                    .ok_or_else(|| from.missing("phone_number_id"))?,
                waba_id: from.digits("waba_id")?,
            },
            ProviderKind::Fonnte => Access::Fonnte {
                token: from.secret("token")?,
            },
            ProviderKind::Watzap => Access::Watzap {
                api_key: from.secret("api_key")?,
                number_key: from.number_key()?,
                wait_until_send: from.flag("wait_until_send")?,
            },
        };
        Ok(Self {
            id,
            name: name.to_owned(),
            base_url: from.base_url()?,
            access,
            pace: from.pace()?,
        })
    }

    /// Which provider.
    pub fn kind(&self) -> ProviderKind {
        match self.access {
            Access::Meta { .. } => ProviderKind::Meta,
            Access::Fonnte { .. } => ProviderKind::Fonnte,
            Access::Watzap { .. } => ProviderKind::Watzap,
        }
    }

    /// The text without any secret of this account and without whole phone numbers, for errors and logs: what a provider
    /// answers may quote both, and viewers read it.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in self.secrets() {
            // "ALL" is a number_key and no secret.
            let secret = secret.expose_secret();
            if secret.len() > 3 {
                clean = clean.replace(secret, "[secret]");
            }
        }
        mask_numbers(&clean)
    }

    fn secrets(&self) -> Vec<&SecretString> {
        match &self.access {
            Access::Meta { token, .. } | Access::Fonnte { token } => vec![token],
            Access::Watzap {
                api_key, number_key, ..
            } => vec![api_key, number_key],
        }
    }
}

/// Runs of nine digits and more (the shortest Indonesian mobile number has eleven with its 62) keep their ends only.
fn mask_numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        match run.len() {
            0..9 => masked.push_str(&run),
            n => masked.extend([&run[..4], "****", &run[n - 3..]]),
        }
        run.clear();
        masked.push(c);
    }
    masked.pop();
    masked
}

struct Source<'a> {
    kind: ProviderKind,
    settings: &'a Map<String, Value>,
    secrets: &'a BTreeMap<String, SecretString>,
}

impl Source<'_> {
    fn missing(&self, name: &'static str) -> AccountError {
        AccountError::MissingSetting {
            kind: self.kind,
            name,
        }
    }

    fn invalid(&self, name: &'static str, expected: &'static str) -> AccountError {
        AccountError::InvalidSetting {
            kind: self.kind,
            name,
            expected,
        }
    }

    /// A text or number; an empty one counts as absent, as forms leave it.
    fn text(&self, name: &'static str) -> Result<Option<String>, AccountError> {
        match self.settings.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.invalid(name, "a text")),
        }
    }

    fn digits(&self, name: &'static str) -> Result<Option<String>, AccountError> {
        match self.text(name)? {
            Some(text) if !text.bytes().all(|b| b.is_ascii_digit()) => {
                Err(self.invalid(name, "an id of digits, as Meta's settings show it"))
            }
            text => Ok(text),
        }
    }

    fn api_version(&self) -> Result<String, AccountError> {
        let version = self
            .text("api_version")?
            .unwrap_or_else(|| META_VERSION.to_owned());
        let numbers = version.strip_prefix('v').and_then(|rest| rest.split_once('.'));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match numbers {
            Some((major, minor)) if number(major) && number(minor) => Ok(version),
            _ => Err(self.invalid("api_version", "a version of the Graph API such as v23.0")),
        }
    }

    /// A number that is not negative.
    fn number(&self, name: &'static str, default: f64) -> Result<f64, AccountError> {
        let Some(text) = self.text(name)? else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number: &f64| (0.0..=86_400.0).contains(number))
            .ok_or_else(|| self.invalid(name, "a number from 0 to 86400"))
    }

    fn pace(&self) -> Result<Pace, AccountError> {
        Ok(match self.kind {
            ProviderKind::Meta => Pace::of_meta(
                self.number("messages_per_second", 80.0)?,
                self.number("pair_interval_seconds", 6.0)?,
            ),
            // Fonnte's own advice begins at 5 s; users of Watzap space bulk sends by 30 s and more.
            ProviderKind::Fonnte => Pace::of_gateway(self.number("delay_seconds", 5.0)?),
            ProviderKind::Watzap => Pace::of_gateway(self.number("delay_seconds", 30.0)?),
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, AccountError> {
        match self.settings.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    fn secret(&self, name: &'static str) -> Result<SecretString, AccountError> {
        let secret = self
            .secrets
            .get(name)
            .map(|secret| secret.expose_secret().trim())
            .filter(|s| !s.is_empty());
        let secret = secret.ok_or(AccountError::MissingSecret {
            kind: self.kind,
            name,
        })?;
        if secret.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(SecretString::from(secret))
        } else {
            Err(AccountError::InvalidSecret {
                kind: self.kind,
                name,
            })
        }
    }

    fn number_key(&self) -> Result<SecretString, AccountError> {
        if self.secrets.contains_key("number_key") {
            return self.secret("number_key");
        }
        self.text("number_key")?
            .map(SecretString::from)
            .ok_or_else(|| self.missing("number_key"))
    }

    fn base_url(&self) -> Result<String, AccountError> {
        let Some(text) = self.text("base_url")? else {
            let default = match self.kind {
                ProviderKind::Meta => "https://graph.facebook.com",
                ProviderKind::Fonnte => "https://api.fonnte.com",
                ProviderKind::Watzap => "https://api.watzap.id/v1",
            };
            return Ok(default.to_owned());
        };
        let url = Url::parse(&text)
            .ok()
            .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
        let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
        let url = url.ok_or_else(|| {
            self.invalid(
                "base_url",
                "a URL such as https://host/path, without query or login",
            )
        })?;
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&url) => {}
            "http" => return Err(AccountError::Unencrypted { kind: self.kind }),
            _ => return Err(self.invalid("base_url", "an https URL")),
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(
        kind: ProviderKind,
        settings: Value,
        secrets: &[(&str, &str)],
    ) -> Result<Account, AccountError> {
        let secrets = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect();
        Account::from_settings(
            ProviderId(1),
            "test",
            kind,
            settings.as_object().unwrap(),
            &secrets,
        )
    }

    #[test]
    fn complete_settings_make_an_account() {
        let token = [("token", " EAAB-token\n")];
        let meta = account(
            ProviderKind::Meta,
            json!({"phone_number_id": 1099, "waba_id": ""}),
            &token,
        )
        .unwrap();
        assert_eq!(meta.base_url, "https://graph.facebook.com");
        assert!(
            matches!(&meta.access, Access::Meta { api_version, phone_number_id, waba_id: None, .. }
            if api_version == "v23.0" && phone_number_id == "1099")
        );
        assert!(!format!("{meta:?}").contains("EAAB"));
        assert_eq!(meta.redact("bad EAAB-token!"), "bad [secret]!");

        let fonnte = account(
            ProviderKind::Fonnte,
            json!({"base_url": "http://127.0.0.1:8080/"}),
            &token,
        )
        .unwrap();
        assert_eq!(
            (fonnte.kind(), fonnte.base_url.as_str()),
            (ProviderKind::Fonnte, "http://127.0.0.1:8080")
        );

        let watzap = account(
            ProviderKind::Watzap,
            json!({"number_key": "ALL"}),
            &[("api_key", "AKEY")],
        )
        .unwrap();
        assert_eq!(watzap.base_url, "https://api.watzap.id/v1");
        assert_eq!(watzap.redact("ALL AKEY"), "ALL [secret]");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        use ProviderKind::{Fonnte, Meta, Watzap};
        let token = [("token", "t0ken")];
        let table = [
            (
                account(Meta, json!({}), &token),
                "meta: setting \"phone_number_id\" is missing",
            ),
            (
                account(Meta, json!({"phone_number_id": "+62 812"}), &token),
                "an id of digits",
            ),
            (
                account(Meta, json!({"phone_number_id": "1", "api_version": "23"}), &token),
                "such as v23.0",
            ),
            (
                account(Meta, json!({"phone_number_id": "1"}), &[]),
                "meta: secret \"token\" is missing",
            ),
            (
                account(Fonnte, json!({}), &[("token", " ")]),
                "secret \"token\" is missing",
            ),
            (account(Fonnte, json!({}), &[("token", "a b")]), "copy it again"),
            (
                account(Watzap, json!({}), &[("api_key", "k")]),
                "setting \"number_key\" is missing",
            ),
            (
                account(
                    Watzap,
                    json!({"number_key": "n", "wait_until_send": 1}),
                    &[("api_key", "k")],
                ),
                "true or false",
            ),
            (
                account(Fonnte, json!({"delay_seconds": -1}), &token),
                "setting \"delay_seconds\" must be a number from 0",
            ),
            (
                account(Fonnte, json!({"base_url": "http://api.fonnte.com"}), &token),
                "unencrypted",
            ),
            (
                account(Fonnte, json!({"base_url": "ftp://api.fonnte.com"}), &token),
                "https URL",
            ),
            (
                account(Fonnte, json!({"base_url": "https://u:p@host"}), &token),
                "without query or login",
            ),
            (
                account(Fonnte, json!({"base_url": "fonnte"}), &token),
                "a URL such as",
            ),
        ];
        for (got, expected) in table {
            let text = got.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn numbers_in_answers_are_masked() {
        assert_eq!(
            mask_numbers("6281234567890 is not on WhatsApp (131026)"),
            "6281****890 is not on WhatsApp (131026)"
        );
        assert_eq!(mask_numbers("+62 812345678"), "+62 8123****678");
        assert_eq!(mask_numbers(""), "");
    }
}
