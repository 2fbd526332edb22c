//! The evaluation with its last step left out: what would be told, to whom and why not, with nothing written. It is the
//! evaluation itself (`apply`), whose marks are only read and whose messages are handed back, so a simulation cannot say
//! something else than a daemon would do. A read-only transaction is enough for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::apply::{self, Limits};
use super::batch::BatchError;
use super::compose::Draft;
use super::configuration::Configuration;
use super::decision::Decision;
use super::rule::Work;
use crate::capture::event::Change;
use crate::db::ids::{PartnerId, RuleId};
use crate::db::prepared::Prepared;

/// A message that would be enqueued.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// Rule.
    pub rule: RuleId,
    /// Its code.
    pub rule_code: String,
    /// Model of the record.
    pub model: String,
    /// The record.
    pub record: i64,
    /// The transaction of its change.
    pub xact: String,
    /// To whom, where it is a partner.
    pub partner: Option<PartnerId>,
    /// Their name.
    pub name: String,
    /// Normalised number.
    pub phone: String,
    /// Template key.
    pub template: String,
    /// Values of the placeholders.
    pub context: Map<String, Value>,
    /// Why a person would have to release it first.
    pub held: Option<String>,
    /// It would become one message with the others of its run and recipient.
    pub grouped: bool,
    /// What the decision would note.
    pub note: String,
}

/// What one portion comes to.
#[derive(Debug, Default)]
pub struct Played {
    /// Messages.
    pub messages: Vec<Rehearsed>,
    /// Decisions on all changes, those with messages among them.
    pub decisions: Vec<Decision>,
}

/// The memory of a simulation, from portion to portion: who has been told in it.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Marks that are younger were made by what is being simulated.
    marks_until: Option<DateTime<Utc>>,
    told: HashMap<u64, DateTime<Utc>>,
    pub(super) messages: Vec<Rehearsed>,
}

impl Rehearsal {
    /// Marks that were made after `marks_until` do not count: what is replayed has made them.
    pub fn new(marks_until: Option<DateTime<Utc>>) -> Self {
        Self {
            marks_until,
            ..Self::default()
        }
    }

    /// Evaluates a portion of changes as of `now`.
    ///
    /// # Errors
    /// [`BatchError`]; what a rule fails at is a decision.
    pub async fn play(
        &mut self,
        tx: &Transaction<'_>,
        configuration: &Configuration,
        now: DateTime<Utc>,
        changes: &[Change],
    ) -> Result<Played, BatchError> {
        let limits = Limits {
            deadline: Instant::now(),
            alone: true,
        };
        let rehearsal = std::mem::take(self);
        let marks_until = rehearsal.marks_until;
        let outcomes = apply::apply_with(
            tx,
            &Prepared::default(),
            configuration,
            now,
            limits,
            changes,
            Some(rehearsal),
        )
        .await?;
        *self = outcomes.rehearsal.unwrap_or_else(|| Self::new(marks_until));
        Ok(Played {
            messages: std::mem::take(&mut self.messages),
            decisions: outcomes.decisions,
        })
    }

    /// Whether a mark of the database counts.
    pub(super) fn counts(&self, told_at: DateTime<Utc>) -> bool {
        self.marks_until.is_none_or(|until| told_at < until)
    }

    /// When this simulation told of the record last, if that still stands at `at`; otherwise it does so now.
    pub(super) fn told(
        &mut self,
        rule: RuleId,
        draft: &Draft<'_, '_>,
        value: &str,
        over_after: Option<f64>,
    ) -> Option<DateTime<Utc>> {
        // Records as they are come once each: only a past has to be remembered.
        self.marks_until?;
        let mut hasher = DefaultHasher::new();
        let message = &draft.message;
        (rule, &message.phone, &message.model, message.record, value).hash(&mut hasher);
        let (key, at) = (hasher.finish(), draft.case.change.at);
        let stands = |told: &DateTime<Utc>| {
            let seconds = at.signed_duration_since(told).num_milliseconds() as f64 / 1000.0;
            over_after.is_none_or(|over| seconds < over)
        };
        let before = self.told.get(&key).copied().filter(stands);
        if before.is_none() {
            self.told.insert(key, at);
        }
        before
    }

    pub(super) fn tell(&mut self, work: Work<'_>, draft: Draft<'_, '_>, grouped: bool) {
        let Draft { message, note, .. } = draft;
        self.messages.push(Rehearsed {
            rule: work.rule.id,
            rule_code: work.rule.code.clone(),
            model: message.model,
            record: message.record.0,
            xact: message.xact.unwrap_or_default(),
            partner: message.partner,
            name: message.partner_name,
            phone: message.phone,
            template: work.rule.template_key.clone(),
            context: message.context,
            held: message.held,
            grouped,
            note,
        });
    }
}
