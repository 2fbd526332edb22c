//! What became of a change, for each trigger, rule and recipient, and why: rows of `decision`.

use tokio_postgres::Transaction;

use crate::capture::event::Change;
use crate::db::ids::{MessageId, PartnerId};
use crate::db::prepared::Prepared;
use crate::db::statements as sql;
use crate::observe::metrics;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A message was enqueued.
    Enqueued,
    /// The trigger's condition is not met.
    TriggerCondition,
    /// The trigger has no active rule.
    NoRule,
    /// The rule's condition is not met.
    RuleCondition,
    /// There is nobody to tell.
    NoRecipient,
    /// The recipient has no usable number.
    NoPhone,
    /// The same change, rule and number has a message already.
    Duplicate,
    /// The recipient was told already.
    Repeated,
    /// The partner seems to be somebody else than the applicant.
    NameMismatch,
    /// The record waits to be told with others of its run.
    Grouped,
    /// The record of a campaign's target does not exist any more.
    Gone,
    /// The rule could not be evaluated; its events are set aside.
    Error,
}

impl Outcome {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::TriggerCondition => "trigger_condition",
            Self::NoRule => "no_rule",
            Self::RuleCondition => "rule_condition",
            Self::NoRecipient => "no_recipient",
            Self::NoPhone => "no_phone",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
            Self::NameMismatch => "name_mismatch",
            Self::Grouped => "grouped",
            Self::Gone => "gone",
            Self::Error => "error",
        }
    }
}

/// A record that a run of a schedule told of.
#[derive(Clone, Copy, Debug)]
pub struct RunRecord<'a> {
    /// Its event.
    pub event: i64,
    /// The run.
    pub xact: &'a str,
    /// Model of the record.
    pub model: &'a str,
    /// The record.
    pub record: i64,
    /// Code of the trigger.
    pub trigger: Option<&'a str>,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What.
    pub outcome: Outcome,
    event_id: Option<i64>,
    xact: String,
    model: String,
    record_id: i64,
    trigger: Option<String>,
    rule: Option<String>,
    partner: Option<i64>,
    message: Option<i64>,
    reason: String,
    campaign: Option<i64>,
}

impl Decision {
    /// A decision on a change.
    pub fn new(outcome: Outcome, change: &Change, trigger: &str, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            event_id: change.source().map(|e| e.0),
            xact: change.xact.clone(),
            model: change.model.clone(),
            record_id: change.record.0,
            trigger: Some(trigger.to_owned()),
            rule: None,
            partner: None,
            message: None,
            reason: reason.into(),
            campaign: change.campaign.map(|c| c.0),
        }
    }

    /// A decision on a change that no trigger is concerned with.
    pub fn untriggered(outcome: Outcome, change: &Change, reason: impl Into<String>) -> Self {
        Self {
            trigger: None,
            ..Self::new(outcome, change, "", reason)
        }
    }

    /// A decision on one record of a message that stands for several.
    pub fn of_run(run: RunRecord<'_>, reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Enqueued,
            event_id: Some(run.event),
            xact: run.xact.to_owned(),
            model: run.model.to_owned(),
            record_id: run.record,
            trigger: run.trigger.map(str::to_owned),
            rule: None,
            partner: None,
            message: None,
            reason: reason.into(),
            campaign: None,
        }
    }

    /// By which rule.
    pub fn rule(mut self, code: &str) -> Self {
        self.rule = Some(code.to_owned());
        self
    }

    /// For whom, where it is a partner.
    pub fn partner(mut self, partner: Option<PartnerId>) -> Self {
        self.partner = partner.map(|p| p.0);
        self
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// For whom.
    pub fn partner_id(&self) -> Option<i64> {
        self.partner
    }

    /// By which rule, where it is one's.
    pub fn rule_code(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// On which record.
    pub fn record(&self) -> i64 {
        self.record_id
    }

    /// Which message.
    pub fn message(mut self, message: MessageId) -> Self {
        self.message = Some(message.0);
        self
    }
}

/// Stores them, in one statement.
///
/// # Errors
/// The server's.
pub async fn store(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    decisions: &[Decision],
) -> Result<(), tokio_postgres::Error> {
    if decisions.is_empty() {
        return Ok(());
    }
    let column = |get: fn(&Decision) -> &str| decisions.iter().map(get).collect::<Vec<&str>>();
    let ids = |get: fn(&Decision) -> Option<i64>| decisions.iter().map(get).collect::<Vec<Option<i64>>>();
    let names = |get: fn(&Decision) -> Option<&str>| decisions.iter().map(get).collect::<Vec<Option<&str>>>();
    prepared
        .query(
            tx,
            sql::DECISION_INSERT.sql,
            &[
                &column(|d| d.outcome.as_str()),
                &ids(|d| d.event_id),
                &column(|d| &d.xact),
                &column(|d| &d.model),
                &ids(|d| Some(d.record_id)),
                &names(|d| d.trigger.as_deref()),
                &names(|d| d.rule.as_deref()),
                &ids(|d| d.partner),
                &ids(|d| d.message),
                &column(|d| &d.reason),
                &ids(|d| d.campaign),
            ],
        )
        .await?;
    Ok(())
}

/// Writes the committed decisions to the log, with the fields that `journalctl RULE=…` looks for. What led to no message is
/// for `explain` and the debug level.
pub fn announce(decisions: &[Decision]) {
    for d in decisions {
        metrics::decided(d.outcome.as_str());
        let rule = d.rule.as_deref().unwrap_or_default();
        let trigger = d.trigger.as_deref().unwrap_or_default();
        if d.outcome == Outcome::Enqueued {
            tracing::info!(
                RULE = rule,
                TRIGGER = trigger,
                EVENT_ID = d.event_id,
                QUEUE_ID = d.message,
                MODEL = d.model.as_str(),
                RECORD_ID = d.record_id,
                "Rule {rule} enqueued a message for {},{}.",
                d.model,
                d.record_id
            );
        } else {
            tracing::debug!(
                RULE = rule,
                TRIGGER = trigger,
                EVENT_ID = d.event_id,
                MODEL = d.model.as_str(),
                RECORD_ID = d.record_id,
                OUTCOME = d.outcome.as_str(),
                "No message for {},{}: {}.",
                d.model,
                d.record_id,
                d.outcome.as_str()
            );
        }
    }
}
