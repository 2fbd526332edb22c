//! What delivery knows: providers with their accounts and circuits, templates, and what the host says about recipients.
//! Turns claimed messages into routed ones, a batch at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::dispatcher::{self, Candidate, Choice, Facts, Message, Recipient, Route, SkipReason, Skipped};
use super::health::State;
use super::provider::{Account, Content, ProviderKind};
use super::sending::{OnUncertain, Prepared, RouteTo};
use super::template::{Keys, Template, TemplateKey, load, render};
use crate::db::ids::{PartnerId, ProviderId};
use crate::db::statements as sql;
use crate::host::phone::Phone;
use crate::queue::claim::Claimed;
use crate::queue::settle::{FinalState, Settlement, Verdict};

/// Somebody of whom nothing is known.
const STRANGER: Recipient = Recipient {
    opted_in: false,
    last_inbound_at: None,
    no_marketing: false,
};
/// The version changes with every change of the configuration.
const VERSION: &str = "select version, clock_timestamp() from sicantik_notify.config_version";
/// How long a message waits while no provider can take it, at first.
const NO_PROVIDER_PAUSE: Duration = Duration::from_secs(30);

/// Providers and templates.
#[derive(Default)]
pub struct Directory {
    version: Option<i64>,
    /// When it was last read.
    read_at: DateTime<Utc>,
    providers: HashMap<ProviderId, Arc<Provider>>,
    accounts: Vec<Listed>,
    candidates: Vec<Candidate>,
    circuits: Vec<(ProviderId, State)>,
    slow: HashMap<ProviderId, Duration>,
    templates: BTreeMap<TemplateKey, Template>,
    keys: Keys,
}

/// A provider as it is listed: its account, or why it has none.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Name for people.
    pub name: String,
    /// Which provider.
    pub kind: ProviderKind,
    /// Switched on.
    pub active: bool,
    /// The account, or what is missing.
    pub account: Result<Account, String>,
}

/// A provider that can be used, with its terms.
#[derive(Debug)]
pub struct Provider {
    /// Credentials and address.
    pub account: Account,
    /// What to do with lost answers.
    pub on_uncertain: OnUncertain,
}

impl Directory {
    /// Reads what previews need, without a secret: for people, whose role reads none. An account counts as configured where its secrets
    /// are set, whatever they are.
    ///
    /// # Errors
    /// The server's.
    pub async fn survey(client: &tokio_postgres::Client) -> Result<Self, tokio_postgres::Error> {
        let mut directory = Self {
            templates: load::templates(client).await?,
            keys: load::keys(client).await?,
            ..Self::default()
        };
        for row in client.query(sql::PROVIDERS_SEEN.sql, &[]).await? {
            directory.add_provider(&row, false);
        }
        Ok(directory)
    }

    /// Reads providers (their circuits change all the time), and templates where the configuration has changed.
    ///
    /// # Errors
    /// The server's.
    pub async fn refresh(&mut self, client: &deadpool_postgres::Client) -> Result<(), tokio_postgres::Error> {
        let version = client.prepare_cached(VERSION).await?;
        let statement = client.prepare_cached(sql::PROVIDERS.sql).await?;
        // Both on their way at once: this is asked between a claim and its calls.
        let (version, rows) =
            futures_util::try_join!(client.query_one(&version, &[]), client.query(&statement, &[]))?;
        self.read_at = version.get(1);
        let version: i64 = version.get(0);
        if self.version != Some(version) {
            self.templates = load::templates(&***client).await?;
            self.keys = load::keys(&***client).await?;
        }
        self.providers.clear();
        self.accounts.clear();
        self.candidates.clear();
        self.circuits.clear();
        self.slow.clear();
        for row in &rows {
            self.add_provider(row, self.version != Some(version));
        }
        self.version = Some(version);
        Ok(())
    }

    fn add_provider(&mut self, row: &Row, say: bool) {
        let id = ProviderId(row.get("id"));
        let Ok(kind) = row.get::<_, &str>("provider_type").parse::<ProviderKind>() else {
            return;
        };
        let active: bool = row.get("active");
        let seconds = |column| Duration::try_from_secs_f64(row.get(column)).unwrap_or_default();
        let (open, slow) = (seconds("open_seconds"), seconds("slow_seconds"));
        let state = match (row.get("probing"), open.is_zero()) {
            (false, _) => State::Closed,
            (true, true) => State::HalfOpen,
            (true, false) => State::Open(open),
        };
        self.circuits.push((id, state));
        if !slow.is_zero() {
            self.slow.insert(id, slow);
        }
        let name: &str = row.get("name");
        let account = account(row, kind);
        if let Err(error) = &account
            && active
            && say
        {
            tracing::warn!(PROVIDER = name, "Provider {name} cannot be used: {error}");
        }
        self.accounts.push(Listed {
            name: name.to_owned(),
            kind,
            active,
            account: account.clone(),
        });
        self.candidates.push(Candidate {
            id,
            kind,
            sequence: row.get("sequence"),
            is_default: row.get("is_default"),
            active,
            configured: account.is_ok(),
            circuit_open: row.get("circuit_open"),
        });
        if let Ok(account) = account {
            let wait =
                Duration::try_from_secs_f64(row.get("uncertain_wait")).unwrap_or(Duration::from_secs(300));
            let on_uncertain = match row.get::<_, &str>("on_uncertain") {
                "hold" => OnUncertain::Hold,
                _ => OnUncertain::ResendAfter(wait),
            };
            self.providers.insert(
                id,
                Arc::new(Provider {
                    account,
                    on_uncertain,
                }),
            );
        }
    }

    /// The circuits at the last reading.
    pub fn circuits(&self) -> impl Iterator<Item = (ProviderId, State)> {
        self.circuits.iter().copied()
    }

    /// True where a half-open circuit waits for the message that goes first.
    pub fn wants_a_probe(&self) -> bool {
        let half_open = |id| self.circuits.contains(&(id, State::HalfOpen));
        self.candidates
            .iter()
            .any(|c| c.active && c.configured && !c.circuit_open && half_open(c.id))
    }

    /// Providers that asked for patience, and how long.
    pub fn slow(&self) -> &HashMap<ProviderId, Duration> {
        &self.slow
    }

    /// An account that can be used.
    pub fn provider(&self, id: ProviderId) -> Option<&Arc<Provider>> {
        self.providers.get(&id)
    }

    /// All providers in the order of the fallback.
    pub fn accounts(&self) -> &[Listed] {
        &self.accounts
    }

    /// The templates that are active.
    pub fn templates(&self) -> &BTreeMap<TemplateKey, Template> {
        &self.templates
    }

    /// What the dispatcher would do with a message, for people who ask before it is sent.
    ///
    /// # Errors
    /// The server's.
    pub async fn preview(
        &self,
        client: &tokio_postgres::Client,
        partner: Option<PartnerId>,
        phone: &str,
        key: &TemplateKey,
        context: &Map<String, Value>,
    ) -> Result<Choice, tokio_postgres::Error> {
        let asked = [(partner, phone)];
        let known = self.recipients(client, &asked).await?;
        let now: DateTime<Utc> = client
            .query_one("select sicantik_notify.clock()", &[])
            .await?
            .get(0);
        let recipient = known.get(phone).copied().unwrap_or(STRANGER);
        Ok(self.choose(now, recipient, key, context, &self.candidates))
    }

    /// The same for many messages with one key.
    ///
    /// # Errors
    /// The server's.
    pub async fn preview_many(
        &self,
        client: &tokio_postgres::Client,
        key: &TemplateKey,
        messages: &[(Option<PartnerId>, &str, &Map<String, Value>)],
    ) -> Result<Vec<Choice>, tokio_postgres::Error> {
        let asked: Vec<(Option<PartnerId>, &str)> =
            messages.iter().map(|(p, phone, _)| (*p, *phone)).collect();
        let known = self.recipients(client, &asked).await?;
        let now: DateTime<Utc> = client
            .query_one("select sicantik_notify.clock()", &[])
            .await?
            .get(0);
        let recipient = |phone: &str| known.get(phone).copied().unwrap_or(STRANGER);
        Ok(messages
            .iter()
            .map(|(_, phone, context)| self.choose(now, recipient(phone), key, context, &self.candidates))
            .collect())
    }

    /// What each kind of provider would send for a key, as if every account were there and well, and the recipient had allowed
    /// messages through Meta.
    pub fn preview_all(&self, key: &TemplateKey, context: &Map<String, Value>) -> Choice {
        let kinds = [ProviderKind::Meta, ProviderKind::Fonnte, ProviderKind::Watzap];
        let candidates: Vec<Candidate> = kinds
            .into_iter()
            .zip(0..)
            .map(|(kind, id)| Candidate {
                id: ProviderId(id),
                kind,
                sequence: 0,
                is_default: false,
                active: true,
                configured: true,
                circuit_open: false,
            })
            .collect();
        dispatcher::choose(&Facts {
            now: DateTime::UNIX_EPOCH,
            recipient: Recipient {
                opted_in: true,
                ..STRANGER
            },
            message: Message { key, context },
            candidates: &candidates,
            templates: &self.templates,
            keys: &self.keys,
        })
    }

    fn choose(
        &self,
        now: DateTime<Utc>,
        recipient: Recipient,
        key: &TemplateKey,
        context: &Map<String, Value>,
        candidates: &[Candidate],
    ) -> Choice {
        dispatcher::choose(&Facts {
            now,
            recipient,
            message: Message { key, context },
            candidates,
            templates: &self.templates,
            keys: &self.keys,
        })
    }

    /// Routes of claimed messages, as of the last reading; those that have none are settled at once, with the reason.
    ///
    /// # Errors
    /// The server's.
    pub async fn route(
        &self,
        client: &deadpool_postgres::Client,
        claimed: Vec<Claimed>,
    ) -> Result<(Vec<Prepared>, Vec<Settlement>), tokio_postgres::Error> {
        let asked: Vec<(Option<PartnerId>, &str)> =
            claimed.iter().map(|m| (m.partner, m.phone.as_str())).collect();
        let pairs = self.pairs(client, &asked).await?;
        let known = match self.recipients(client, &asked).await {
            Err(error) if error.as_db_error().is_some() => {
                // The host's tables are not ours. Without their word nobody has consented, which leaves the gateways.
                tracing::error!(
                    error = %crate::db::describe(&error),
                    "The host does not tell who allowed messages through Meta; nobody is taken to have."
                );
                HashMap::new()
            }
            known => known?,
        };
        let (mut routed, mut settled) = (Vec::new(), Vec::new());
        for message in claimed {
            let recipient = known.get(&message.phone).copied().unwrap_or(STRANGER);
            match self.prepare(self.read_at, recipient, &message) {
                Ok((phone, routes, others_paused)) => {
                    let first = routes
                        .first()
                        .map(|to| (to.route.provider, message.phone.clone()));
                    match first.and_then(|pair| pairs.get(&pair)) {
                        Some(wait) => settled.push(Settlement::of(message, Vec::new(), spaced(*wait))),
                        None => routed.push(Prepared::new(message, phone, routes, others_paused)),
                    }
                }
                Err(verdict) => settled.push(Settlement::of(message, Vec::new(), *verdict)),
            }
        }
        Ok((routed, settled))
    }

    fn prepare(
        &self,
        now: DateTime<Utc>,
        recipient: Recipient,
        message: &Claimed,
    ) -> Result<(Phone, Vec<RouteTo>, bool), Box<Verdict>> {
        let phone = Phone::parse(&message.phone).map_err(|e| fail(e.to_string()))?;
        let key = TemplateKey::new(message.template_key.clone()).map_err(|e| fail(e.to_string()))?;
        if let Some(provider) = message.reply_through {
            let route = self.reply(now, recipient, message, &key, provider)?;
            return Ok((phone, vec![route], false));
        }
        let (given_up, candidates): (Vec<Candidate>, Vec<Candidate>) = self
            .candidates
            .iter()
            .cloned()
            .partition(|candidate| message.not_through.contains(&candidate.id));
        let mut choice = self.choose(now, recipient, &key, &message.context, &candidates);
        choice.skipped.extend(given_up.iter().map(|candidate| Skipped {
            provider: candidate.id,
            kind: candidate.kind,
            reason: SkipReason::GaveUp,
        }));
        let others_paused = choice.skipped.iter().any(|s| s.reason == SkipReason::CircuitOpen);
        let routes: Vec<RouteTo> = choice
            .routes
            .iter()
            .filter_map(|route| {
                let provider = self.providers.get(&route.provider)?.clone();
                let route = route.clone();
                Some(RouteTo { route, provider })
            })
            .collect();
        if routes.is_empty() {
            return Err(no_route(message, &choice));
        }
        Ok((phone, routes, others_paused))
    }

    /// Recipients whom an account must not write to yet; asked only where an account spaces them.
    async fn pairs(
        &self,
        client: &tokio_postgres::Client,
        asked: &[(Option<PartnerId>, &str)],
    ) -> Result<HashMap<(ProviderId, String), Duration>, tokio_postgres::Error> {
        if self.providers.values().all(|p| p.account.pace.pair_gap.is_zero()) {
            return Ok(HashMap::new());
        }
        let phones: Vec<&str> = asked.iter().map(|(_, phone)| *phone).collect();
        let rows = client.query(sql::RECIPIENT_PACE.sql, &[&phones]).await?;
        Ok(rows
            .iter()
            .map(|r| {
                let wait = Duration::try_from_secs_f64(r.get("seconds")).unwrap_or_default();
                ((ProviderId(r.get("provider_id")), r.get("phone")), wait)
            })
            .collect())
    }

    /// The answer to somebody who wrote to this provider: free text, which Meta allows while the window is open.
    fn reply(
        &self,
        now: DateTime<Utc>,
        recipient: Recipient,
        message: &Claimed,
        key: &TemplateKey,
        id: ProviderId,
    ) -> Result<RouteTo, Box<Verdict>> {
        let candidate = self.candidates.iter().find(|c| c.id == id && c.active);
        let (Some(candidate), Some(provider)) = (candidate, self.providers.get(&id)) else {
            return Err(fail(
                "the provider that was written to is not there any more".to_owned(),
            ));
        };
        if candidate.kind == ProviderKind::Meta && !recipient.window_is_open(now) {
            return Err(fail(
                "meta: the 24-hour window for an answer has closed".to_owned(),
            ));
        }
        if candidate.circuit_open {
            let error = format!("{}: {}", candidate.kind, SkipReason::CircuitOpen);
            return Err(Box::new(wait_for_provider(message, error)));
        }
        let template = self
            .templates
            .get(key)
            .ok_or_else(|| fail(format!("there is no active template {}", key.as_str())))?;
        let text = render(template, &message.context).map_err(|e| fail(e.to_string()))?;
        Ok(RouteTo {
            route: Route {
                provider: id,
                kind: candidate.kind,
                content: Content::Text(text),
                template_key_used: key.clone(),
                marketing: false,
                changed: Vec::new(),
            },
            provider: provider.clone(),
        })
    }

    /// Consent (the host's or ours) and last inbound message of each number, in three statements at once; asked only where Meta is a
    /// candidate.
    async fn recipients(
        &self,
        client: &tokio_postgres::Client,
        asked: &[(Option<PartnerId>, &str)],
    ) -> Result<HashMap<String, Recipient>, tokio_postgres::Error> {
        let mut known: HashMap<String, Recipient> = HashMap::new();
        let phones: Vec<&str> = asked.iter().map(|(_, phone)| *phone).collect();
        if self.templates.values().any(|template| template.marketing) {
            let stopped =
                "select phone from sicantik_notify.consent where phone = any ($1) and marketing_stopped";
            for row in client.query(stopped, &[&phones]).await? {
                known.insert(
                    row.get(0),
                    Recipient {
                        no_marketing: true,
                        ..STRANGER
                    },
                );
            }
        }
        if !self
            .candidates
            .iter()
            .any(|c| c.kind == ProviderKind::Meta && c.active && c.configured)
        {
            return Ok(known);
        }
        let partners: Vec<i64> = asked.iter().filter_map(|(p, _)| p.map(|p| p.0)).collect();
        let theirs = "select id, opted_in from sicantik_notify.host_partner($1)";
        let ours =
            "select phone from sicantik_notify.consent where phone = any ($1) and opted_in_at is not null";
        let inbound = "select phone, last_inbound_at from sicantik_notify.host_inbound($1)";
        let (whom, about): (&[&(dyn ToSql + Sync)], &[&(dyn ToSql + Sync)]) = (&[&partners], &[&phones]);
        let (theirs, ours, inbound) = futures_util::try_join!(
            client.query(theirs, whom),
            client.query(ours, about),
            client.query(inbound, about),
        )?;
        let opted_in: HashMap<i64, bool> = theirs.iter().map(|r| (r.get(0), r.get(1))).collect();
        for (partner, phone) in asked {
            let opted_in = partner.and_then(|p| opted_in.get(&p.0)).copied().unwrap_or(false);
            known.entry((*phone).to_owned()).or_insert(STRANGER).opted_in = opted_in;
        }
        for row in &ours {
            if let Some(recipient) = known.get_mut(row.get::<_, &str>(0)) {
                recipient.opted_in = true;
            }
        }
        for row in &inbound {
            if let Some(recipient) = known.get_mut(row.get::<_, &str>(0)) {
                recipient.last_inbound_at = recipient.last_inbound_at.max(row.get(1));
            }
        }
        Ok(known)
    }
}

/// Nobody can send it. It waits while waiting may help (an account to be repaired, a provider to be set up); it fails where
/// the message itself is at fault.
fn no_route(message: &Claimed, choice: &Choice) -> Box<Verdict> {
    let reasons: Vec<String> = choice
        .skipped
        .iter()
        .map(|s| format!("{}: {}", s.kind, s.reason))
        .collect();
    let may_help = |reason: &SkipReason| {
        matches!(
            reason,
            SkipReason::Inactive | SkipReason::NotConfigured | SkipReason::CircuitOpen
        )
    };
    let error = match reasons.is_empty() {
        true => "no provider is set up".to_owned(),
        false => reasons.join("; "),
    };
    let at_fault = choice
        .skipped
        .iter()
        .any(|s| !may_help(&s.reason) && !matches!(s.reason, SkipReason::NotEligible | SkipReason::GaveUp));
    if choice.must_wait() || !at_fault {
        return Box::new(wait_for_provider(message, error));
    }
    fail(error)
}

/// It waits until a provider can take it; longer each time, since thousands may wait with it. A change of the configuration
/// ends the wait.
pub(super) fn wait_for_provider(message: &Claimed, error: String) -> Verdict {
    Verdict::Later {
        delay: NO_PROVIDER_PAUSE * (1 << message.postponed.clamp(0, 2)),
        burns_try: false,
        uncertain: false,
        hold: false,
        for_provider: true,
        refused_by: Vec::new(),
        error,
    }
}

/// This recipient heard from the account a moment ago.
fn spaced(wait: Duration) -> Verdict {
    Verdict::Later {
        delay: wait,
        burns_try: false,
        uncertain: false,
        hold: false,
        for_provider: false,
        refused_by: Vec::new(),
        error: "Meta wants some seconds between two messages to one recipient".to_owned(),
    }
}

fn fail(error: String) -> Box<Verdict> {
    Box::new(Verdict::Done {
        state: FinalState::Failed,
        provider: None,
        external_id: None,
        code: None,
        error: Some(error),
        template_key: None,
        took: Duration::ZERO,
    })
}

/// The account that a row of `providers` describes, or what it lacks.
pub(crate) fn account(row: &Row, kind: ProviderKind) -> Result<Account, String> {
    let (id, name): (_, &str) = (ProviderId(row.get("id")), row.get("name"));
    let settings = object(row.get("settings"));
    let secrets = secrets(&object(row.get("secrets")))?;
    Account::from_settings(id, name, kind, &settings, &secrets).map_err(|e| e.to_string())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Secrets by name.
fn secrets(rows: &Map<String, Value>) -> Result<BTreeMap<String, SecretString>, String> {
    rows.iter()
        .map(|(name, row)| Ok((name.clone(), secret(name, row)?)))
        .collect()
}

/// A secret: its value, or the systemd credential or environment variable that holds it.
pub(crate) fn secret(name: &str, row: &Value) -> Result<SecretString, String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    match (text("value"), text("credential")) {
        (Some(value), _) => Ok(SecretString::from(value)),
        (None, Some(credential)) => credential_value(credential).map(SecretString::from),
        (None, None) => Err(format!("secret {name} is empty")),
    }
}

fn credential_value(name: &str) -> Result<String, String> {
    // A name, never a path: a row of the database must not make the daemon read any file it likes.
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        || name.starts_with('.')
    {
        return Err(format!(
            "credential {name:?} is not a name of letters, digits, `.`, `_` and `-`"
        ));
    }
    if let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && let Ok(text) = std::fs::read_to_string(std::path::Path::new(&dir).join(name))
    {
        return Ok(text.trim_end().to_owned());
    }
    std::env::var(name)
        .map_err(|_| format!("there is neither a systemd credential nor an environment variable {name}"))
}
