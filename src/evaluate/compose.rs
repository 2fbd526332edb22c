//! What each recipient is told: one draft for each record and number, with the values of the placeholders, and whether the
//! partner may be somebody else than the applicant.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::apply::Batch;
use super::cases::Case;
use super::context::{Subject, default_context, waiting_since};
use super::decision::Outcome;
use super::definition::OnMismatch;
use super::names;
use super::recipients::person::{NoPhone, Recipient};
use super::recipients::{Addressed, Recipients};
use super::rule::{RuleError, Work, unreadable};
use super::snippets::{self, Errand};
use crate::queue::enqueue::NewMessage;

/// A message that may still be left out.
pub(super) struct Draft<'s, 'c> {
    pub(super) case: &'s Case<'c>,
    pub(super) message: NewMessage,
    /// What its decision says beside the outcome.
    pub(super) note: String,
}

impl Batch<'_> {
    /// Drafts for those who can be written to; of the others it is said why not.
    pub(super) async fn compose<'s, 'c>(
        &mut self,
        work: Work<'_>,
        addressed: &[Addressed<'s, 'c>],
    ) -> Result<Vec<Draft<'s, 'c>>, RuleError> {
        let mut drafts = Vec::new();
        for Addressed { case, recipients } in addressed {
            if recipients.is_empty() {
                let reason = nobody(&work.plan.recipients);
                self.decisions
                    .push(work.decide(Outcome::NoRecipient, case.change, reason));
            }
            let mut numbers = HashSet::new();
            for recipient in recipients {
                drafts.extend(self.draft(work, case, recipient, &mut numbers));
            }
        }
        if let Some(contexts) = self.prepared_contexts(work, &drafts).await? {
            for (case, error) in replace_contexts(&mut drafts, contexts) {
                self.fail_case(work, case, &error);
            }
        }
        Ok(drafts)
    }

    /// `context_preparation_code`: the map that replaces a draft's context, or why there is none; `None` where the default stays.
    async fn prepared_contexts(
        &self,
        work: Work<'_>,
        drafts: &[Draft<'_, '_>],
    ) -> Result<Option<Vec<PreparedContext>>, RuleError> {
        let Some(code) = &work.plan.context_code else {
            return Ok(None);
        };
        let errands: Vec<Errand<'_>> = drafts
            .iter()
            .map(|d| work.errand(d.case, d.message.partner.map(|p| p.0), d.message.context.clone()))
            .collect();
        let mut world = self.world();
        let asked = snippets::contexts(self.tx, &mut world, &self.configuration.python, code, &errands);
        let contexts = asked
            .await
            .map_err(|e| unreadable("context_preparation_code", e))?;
        Ok(Some(contexts))
    }

    fn draft<'s, 'c>(
        &mut self,
        work: Work<'_>,
        case: &'s Case<'c>,
        recipient: &Recipient,
        numbers: &mut HashSet<String>,
    ) -> Option<Draft<'s, 'c>> {
        let change = case.change;
        let mut decline = |outcome, reason: String| {
            let decision = work.decide(outcome, change, reason);
            self.decisions.push(decision.partner(recipient.partner));
        };
        let phone = match &recipient.phone {
            Ok(phone) => phone.as_e164().to_owned(),
            Err(NoPhone::Nobody(reason)) => {
                decline(Outcome::NoRecipient, reason.clone());
                return None;
            }
            Err(NoPhone::NoNumber(reason)) => {
                decline(Outcome::NoPhone, reason.clone());
                return None;
            }
        };
        if !numbers.insert(phone.clone()) {
            let reason = "another recipient of this message has the same number";
            decline(Outcome::Duplicate, reason.into());
            return None;
        }
        let catalog = &self.configuration.catalog;
        let permit = self.permits.of(catalog, &change.model, &case.image);
        let (mut note, mut held) = (case.note(), None);
        if let Some(mismatch) = mismatch(work, permit.map(|(_, image)| image), &recipient.name) {
            match work.plan.on_mismatch {
                OnMismatch::Warn => note = format!("; {mismatch}{note}"),
                OnMismatch::Hold => held = Some(mismatch),
                OnMismatch::Skip => {
                    decline(Outcome::NameMismatch, mismatch);
                    return None;
                }
            }
        }
        let about = Subject {
            model: &work.trigger.model,
            record: &case.image,
            permit,
            changed_at: match case.fired() {
                true => waiting_since(&case.image, change.at),
                false => change.at,
            },
        };
        let context = default_context(&about, &recipient.name, &self.configuration.office, self.now);
        let message = NewMessage {
            id: None,
            event: change.event_id(),
            // A campaign's messages have a key of their own.
            xact: change.campaign.is_none().then(|| change.xact.clone()),
            model: change.model.clone(),
            record: change.record,
            partner: recipient.partner,
            partner_name: recipient.name.clone(),
            phone,
            context,
            changed_at: change.at,
            held,
        };
        Some(Draft { case, message, note })
    }
}

/// What prepares a context, or why it could not.
type PreparedContext = Result<Map<String, Value>, String>;

/// Puts the prepared contexts in, and gives back the records that have none, each with its first error. A record of which one
/// context fails is tried again as a whole, so none of its messages leaves now.
fn replace_contexts<'s, 'c>(
    drafts: &mut Vec<Draft<'s, 'c>>,
    contexts: Vec<PreparedContext>,
) -> Vec<(&'s Case<'c>, String)> {
    let mut failed = Vec::new();
    let mut ids = HashSet::new();
    for (draft, context) in drafts.iter_mut().zip(contexts) {
        match context {
            Ok(context) => draft.message.context = context,
            Err(error) => {
                if ids.insert(draft.case.change.event_id()) {
                    failed.push((draft.case, error));
                }
            }
        }
    }
    drafts.retain(|draft| !ids.contains(&draft.case.change.event_id()));
    failed
}

/// Why there is nobody to tell.
fn nobody(recipients: &Recipients) -> &'static str {
    match recipients {
        Recipients::Partner => "the record has no partner, and no permit with one",
        Recipients::Group(_) => "the group has no active member",
        Recipients::Custom(_) => "no partner meets recipient_domain",
        Recipients::Field(_) => "recipient_field leads to nobody",
    }
}

/// Where the message is for the applicant, and the partner seems to be somebody else: which names differ.
fn mismatch(work: Work<'_>, permit: Option<&Map<String, Value>>, partner: &str) -> Option<String> {
    if !matches!(work.plan.recipients, Recipients::Partner) {
        return None;
    }
    let applicant = permit?.get("applicant_name")?.as_str()?.trim();
    if applicant.is_empty() || partner.trim().is_empty() || names::agree(applicant, partner) {
        return None;
    }
    Some(format!(
        "the applicant is {applicant:?}, but the partner is {partner:?}: perhaps another person"
    ))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::capture::event::{Change, Operation, Step};
    use crate::db::ids::{EventId, RecordId};

    fn change(id: i64) -> Change {
        Change {
            model: "sicantik.permit".into(),
            record: RecordId(id),
            xact: "1".into(),
            at: DateTime::UNIX_EPOCH,
            tries: 0,
            target_trigger: None,
            target_rule: None,
            kwargs: Map::new(),
            campaign: None,
            steps: vec![Step {
                id: EventId(id),
                operation: Operation::Fired,
                changed: Vec::new(),
                old: Map::new(),
                new: Map::new(),
            }],
        }
    }

    fn draft<'s, 'c>(case: &'s Case<'c>, phone: &str) -> Draft<'s, 'c> {
        let message = NewMessage {
            id: None,
            event: case.change.event_id(),
            xact: None,
            model: case.change.model.clone(),
            record: case.change.record,
            partner: None,
            partner_name: String::new(),
            phone: phone.to_owned(),
            context: Map::new(),
            changed_at: case.change.at,
            held: None,
        };
        Draft {
            case,
            message,
            note: String::new(),
        }
    }

    #[test]
    fn a_context_that_fails_keeps_all_messages_of_its_record_back_and_no_others() {
        let changes = [change(1), change(2), change(3)];
        let cases: Vec<Case<'_>> = changes.iter().map(Case::new).collect();
        let mut drafts = vec![
            draft(&cases[0], "+621"),
            draft(&cases[1], "+621"),
            draft(&cases[1], "+622"),
            draft(&cases[1], "+623"),
            draft(&cases[2], "+621"),
        ];
        let made = |n: i64| Ok(json!({ "n": n }).as_object().cloned().unwrap_or_default());
        let contexts = vec![
            made(1),
            made(2),
            Err("first".into()),
            Err("second".into()),
            made(3),
        ];
        let failed = replace_contexts(&mut drafts, contexts);
        let failed: Vec<(i64, &str)> = failed
            .iter()
            .map(|(case, e)| (case.change.record.0, e.as_str()))
            .collect();
        assert_eq!(failed, [(2, "first")]);
        let kept: Vec<(i64, &Value)> = drafts
            .iter()
            .map(|d| (d.message.record.0, &d.message.context["n"]))
            .collect();
        assert_eq!(kept, [(1, &json!(1)), (3, &json!(3))]);
    }
}
