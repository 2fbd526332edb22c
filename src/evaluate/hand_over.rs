//! The end of a rule's steps: drafts become messages in the queue, or wait in a digest for the others of their run.

use super::apply::Batch;
use super::compose::Draft;
use super::decision::{Decision, Outcome};
use super::digest;
use super::rule::{RuleError, Work};
use crate::db::ids::{CampaignId, MessageId};
use crate::queue::enqueue::{Intake, NewMessage, Terms, campaign_series, enqueue_from, run_series};

impl Draft<'_, '_> {
    /// Whether it waits for the others of its run. What a person must release first goes alone.
    pub(super) fn is_digested(&self, work: Work<'_>) -> bool {
        work.plan.grouped && self.case.fired() && self.message.held.is_none()
    }
}

impl Batch<'_> {
    /// One statement for the messages, one for the digests.
    pub(super) async fn hand_over(
        &mut self,
        work: Work<'_>,
        drafts: Vec<Draft<'_, '_>>,
    ) -> Result<(), RuleError> {
        if self.rehearsal.is_some() {
            self.rehearse(work, drafts);
            return Ok(());
        }
        let (digested, single): (Vec<_>, Vec<_>) = drafts.into_iter().partition(|d| d.is_digested(work));
        for (series, campaign, drafts) in by_series(work, single) {
            let intake = Intake {
                series: &series,
                unguarded: campaign.is_some(),
                campaign,
            };
            self.enqueue(work, intake, drafts).await?;
        }
        digest::store(self.tx, work.rule.id, work.trigger.id, &digested).await?;
        for draft in digested {
            let reason = format!("one message tells of all records of this run{}", draft.note);
            let decision = work.decide(Outcome::Grouped, draft.case.change, reason);
            self.decisions.push(decision.partner(draft.message.partner));
        }
        Ok(())
    }

    /// Keeps the messages, and decides as if they had been enqueued.
    fn rehearse(&mut self, work: Work<'_>, drafts: Vec<Draft<'_, '_>>) {
        let Some(rehearsal) = &mut self.rehearsal else {
            return;
        };
        for draft in drafts {
            let grouped = draft.is_digested(work);
            let outcome = match grouped {
                true => Outcome::Grouped,
                false => Outcome::Enqueued,
            };
            let reason = format!("template {}{}", work.rule.template_key, draft.note);
            let decision = work.decide(outcome, draft.case.change, reason);
            self.decisions.push(decision.partner(draft.message.partner));
            self.messages += 1;
            rehearsal.tell(work, draft, grouped);
        }
    }

    async fn enqueue(
        &mut self,
        work: Work<'_>,
        intake: Intake<'_>,
        drafts: Vec<Draft<'_, '_>>,
    ) -> Result<(), RuleError> {
        let terms = Terms {
            rule: work.rule.id,
            trigger: Some(work.trigger.id),
            priority: work.rule.priority,
            delay_minutes: work.rule.delay_minutes,
            template_key: &work.rule.template_key,
        };
        let mut messages = Vec::new();
        let mut rest = Vec::new();
        for Draft { case, message, note } in drafts {
            messages.push(message);
            rest.push((case, note));
        }
        let ids = enqueue_from(self.tx, &self.prepared, &terms, intake, &messages).await?;
        for ((message, (case, note)), id) in messages.iter().zip(rest).zip(ids) {
            let decision = match id {
                Some(id) => {
                    self.messages += 1;
                    enqueued(work, message, id, |outcome, reason| {
                        work.decide(outcome, case.change, format!("{reason}{note}"))
                    })
                }
                None => work.decide(
                    Outcome::Duplicate,
                    case.change,
                    "a message for this change, rule and number waits already",
                ),
            };
            self.decisions.push(decision.partner(message.partner));
        }
        Ok(())
    }
}

/// Drafts that are enqueued together, with their series and campaign.
type Group<'s, 'c> = (String, Option<CampaignId>, Vec<Draft<'s, 'c>>);

/// Batch rules: each campaign and each run of a schedule has a series of slots of its own (one statement a run), row events share the
/// rolling one. For all other rules there is one group.
fn by_series<'s, 'c>(work: Work<'_>, drafts: Vec<Draft<'s, 'c>>) -> Vec<Group<'s, 'c>> {
    let mut groups: Vec<Group<'s, 'c>> = Vec::new();
    for draft in drafts {
        let change = draft.case.change;
        let series = match (work.rule.batched, change.campaign) {
            (true, Some(campaign)) => campaign_series(campaign),
            (true, None) if draft.case.fired() => run_series(&change.xact),
            _ => String::new(),
        };
        match groups
            .iter_mut()
            .find(|(of, campaign, _)| *of == series && *campaign == change.campaign)
        {
            Some((_, _, group)) => group.push(draft),
            None => groups.push((series, change.campaign, vec![draft])),
        }
    }
    groups
}

fn enqueued(
    work: Work<'_>,
    message: &NewMessage,
    id: MessageId,
    decide: impl FnOnce(Outcome, String) -> Decision,
) -> Decision {
    let template = &work.rule.template_key;
    let reason = match &message.held {
        Some(why) => format!("template {template}, held: {why}"),
        None => format!("template {template}"),
    };
    decide(Outcome::Enqueued, reason).message(id)
}
