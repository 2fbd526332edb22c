//! Who is told: per record, never all records times all people (SICANTIK guide §4.2). Two people with one number are one
//! recipient of a record's message.

pub(super) mod custom;
pub(super) mod group;
pub mod path;
pub(super) mod person;

use std::collections::BTreeSet;

use super::apply::Batch;
use super::cases::Case;
use super::question::Question;
use super::rule::{RuleError, Work};
use path::Path;
use person::Recipient;

/// Who is told.
#[derive(Clone, Debug)]
pub enum Recipients {
    /// The record's partner, else its permit's.
    Partner,
    /// Members of a group.
    Group(String),
    /// Partners that meet a domain.
    Custom(Question),
    /// Whoever a path from the record leads to.
    Field(Path),
}

/// One of those a record's message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A partner of the host.
    Partner(i64),
    /// A number that stands in the record.
    Number(String),
}

/// A record with its recipients.
pub(super) struct Addressed<'s, 'c> {
    pub(super) case: &'s Case<'c>,
    pub(super) recipients: Vec<Recipient>,
}

impl Batch<'_> {
    /// The recipients of each record; how many statements that takes does not depend on the number of records.
    pub(super) async fn address<'s, 'c>(
        &mut self,
        work: Work<'_>,
        hits: Vec<&'s Case<'c>>,
    ) -> Result<Vec<Addressed<'s, 'c>>, RuleError> {
        let targets = self.targets(work, &hits).await?;
        let mut ids = BTreeSet::new();
        for target in targets.iter().flatten() {
            if let Target::Partner(id) = target {
                ids.insert(*id);
            }
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        let people = person::partners(self.tx, &self.prepared, &ids).await?;
        let mut addressed = Vec::new();
        for (case, targets) in hits.into_iter().zip(targets) {
            if let Err(error) = self.within_limit(work, targets.len()) {
                self.fail_case(work, case, &error);
                continue;
            }
            let recipient = |target: &Target| match target {
                Target::Partner(id) => people.get(id).cloned().unwrap_or_else(|| Recipient::gone(*id)),
                Target::Number(raw) => Recipient::number(raw),
            };
            let recipients = targets.iter().map(recipient).collect();
            addressed.push(Addressed { case, recipients });
        }
        Ok(addressed)
    }

    async fn targets(&self, work: Work<'_>, hits: &[&Case<'_>]) -> Result<Vec<Vec<Target>>, RuleError> {
        let everybody = |ids: Vec<i64>| vec![ids.into_iter().map(Target::Partner).collect(); hits.len()];
        Ok(match &work.plan.recipients {
            Recipients::Partner => hits.iter().map(|case| self.partner_of(case)).collect(),
            Recipients::Group(name) => everybody(group::partners(self.tx, name).await?),
            Recipients::Custom(question) => {
                let domain = self.compiled(Some(question));
                let domain =
                    domain.map_err(|error| RuleError::Configuration(format!("recipient_domain: {error}")))?;
                let limit = self.configuration.recipient_limit;
                let people = custom::people(self.tx, question.model(), domain.as_deref(), limit).await?;
                self.within_limit(work, people.len())
                    .map_err(RuleError::Configuration)?;
                everybody(people)
            }
            Recipients::Field(path) => path.follow(self.tx, hits).await?,
        })
    }

    /// The record's partner, else its permit's; a partner is his own.
    fn partner_of(&self, case: &Case<'_>) -> Vec<Target> {
        let model = case.change.model.as_str();
        if model == "res.partner" {
            return vec![Target::Partner(case.change.record.0)];
        }
        let own = case.image.get("partner_id").and_then(|v| v.as_i64());
        let permit = || {
            let (_, permit) = self.permits.of(&self.configuration.catalog, model, &case.image)?;
            permit.get("partner_id")?.as_i64()
        };
        own.or_else(permit).map(Target::Partner).into_iter().collect()
    }

    /// One mistake in a domain or path must not write to the whole address book. Groups have their members.
    fn within_limit(&self, work: Work<'_>, people: usize) -> Result<(), String> {
        let limit = self.configuration.recipient_limit;
        let field = match work.plan.recipients {
            Recipients::Custom(_) => "recipient_domain",
            Recipients::Field(_) => "recipient_field",
            Recipients::Partner | Recipients::Group(_) => return Ok(()),
        };
        if people <= limit {
            return Ok(());
        }
        Err(format!(
            "{field} means more than {limit} people for one record, and nobody was told; narrow it down, or raise the \
             setting recipient_limit"
        ))
    }
}
