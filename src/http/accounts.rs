//! Whose webhooks are believed: the secrets of the providers, and the office's words, as the database has them. Read at most
//! every two seconds, however many calls come; while the database is away the last ones count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::signature::{is_secret, is_signed};
use super::words::Words;
use crate::db::ids::ProviderId;
use crate::db::statements as sql;
use crate::db::{ConnectError, Database};
use crate::deliver::directory::secret;
use crate::deliver::provider::ProviderKind;

/// How old what is known may be.
const FRESH: Duration = Duration::from_secs(2);

/// An account, as far as its webhooks are concerned.
#[derive(Clone, Debug)]
pub struct Account {
    /// Row of `provider`.
    pub id: ProviderId,
    /// Which provider.
    pub kind: ProviderKind,
    /// Meta: the sending number's id.
    pub phone_number_id: Option<String>,
    /// Fonnte: the device's number, if the settings name it.
    pub device: Option<String>,
    app_secret: Option<SecretString>,
    verify_token: Option<SecretString>,
    webhook_secret: Option<SecretString>,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Known {
    accounts: Vec<Account>,
    /// The office's words.
    pub words: Words,
}

impl Known {
    /// Meta's accounts whose app signed this body. Two numbers of one app share its secret.
    pub fn signed_by(&self, header: &str, body: &[u8]) -> Vec<&Account> {
        let signs = |account: &&Account| {
            let key = account.app_secret.as_ref();
            key.is_some_and(|key| is_signed(key, header, body))
        };
        self.of(ProviderKind::Meta).filter(signs).collect()
    }

    /// Whether this is the verify token of one of Meta's accounts.
    pub fn verifies(&self, token: &str) -> bool {
        let fits = |account: &Account| {
            let ours = account.verify_token.as_ref();
            ours.is_some_and(|ours| is_secret(ours, token))
        };
        // All of them: the time must not tell which one fits.
        self.of(ProviderKind::Meta)
            .filter(|account| fits(account))
            .count()
            > 0
    }

    /// The gateway's account with this webhook secret.
    pub fn with_secret(&self, kind: ProviderKind, given: &str) -> Option<&Account> {
        let fits = |account: &&Account| {
            let ours = account.webhook_secret.as_ref();
            ours.is_some_and(|ours| is_secret(ours, given))
        };
        self.of(kind).filter(fits).last()
    }

    fn of(&self, kind: ProviderKind) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter(move |account| account.kind == kind)
    }
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// The memory.
pub struct Accounts {
    database: Database,
    last: Mutex<Option<(Instant, Arc<Known>)>>,
}

impl Accounts {
    /// Empty.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            last: Mutex::default(),
        }
    }

    /// What is known now. One caller asks the database, the others wait for its answer.
    ///
    /// # Errors
    /// [`AccountsError`] where nothing was ever known.
    pub async fn known(&self) -> Result<Arc<Known>, AccountsError> {
        let mut last = self.last.lock().await;
        if let Some((at, known)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let known = match (self.read().await, &*last) {
            (Ok(known), _) => Arc::new(known),
            (Err(error), Some((_, known))) => {
                tracing::warn!(error = %error, "The secrets of webhooks could not be read again; the last ones count.");
                known.clone()
            }
            (Err(error), None) => return Err(error),
        };
        *last = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    async fn read(&self) -> Result<Known, AccountsError> {
        let client = self.database.get().await?;
        let rows = client.query(sql::PROVIDERS.sql, &[]).await?;
        let accounts = rows.iter().filter_map(account).collect();
        let settings = client
            .query(
                "select key, value from sicantik_notify.setting where key in ('stop_words', 'start_words', 'opt_in_words')",
                &[],
            )
            .await?;
        let list = |name: &str| {
            let row = settings.iter().find(|row| row.get::<_, &str>(0) == name);
            row.map_or("", |row| row.get(1))
        };
        Ok(Known {
            accounts,
            words: Words::new(list("stop_words"), list("start_words"), list("opt_in_words")),
        })
    }
}

fn account(row: &tokio_postgres::Row) -> Option<Account> {
    let name: &str = row.get("name");
    let settings: Value = row.get("settings");
    let secrets: Value = row.get("secrets");
    let empty = Map::new();
    let secrets = secrets.as_object().unwrap_or(&empty);
    let find = |wanted: &str| {
        let found = secret(wanted, secrets.get(wanted)?);
        match found {
            Ok(found) => Some(found).filter(|found| !found.expose_secret().is_empty()),
            Err(error) => {
                tracing::warn!(
                    PROVIDER = name,
                    "Webhooks of provider {name} are not believed: secret {wanted}: {error}."
                );
                None
            }
        }
    };
    Some(Account {
        id: ProviderId(row.get("id")),
        kind: row.get::<_, &str>("provider_type").parse().ok()?,
        phone_number_id: super::news::id(settings.get("phone_number_id")),
        device: super::news::id(settings.get("device")),
        app_secret: find("app_secret"),
        verify_token: find("verify_token"),
        webhook_secret: find("webhook_secret"),
    })
}

#[cfg(test)]
pub(super) fn an_account(id: i64, kind: ProviderKind, phone_number_id: Option<&str>) -> Account {
    Account {
        id: ProviderId(id),
        kind,
        phone_number_id: phone_number_id.map(str::to_owned),
        device: None,
        app_secret: None,
        verify_token: None,
        webhook_secret: None,
    }
}
