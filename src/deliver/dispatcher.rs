//! The choice of a provider: pure, from facts to the routes of one message (SICANTIK guide §6).
//!
//! Promises: every account ends up either as a [`Route`], in the order to try, or as a [`Skipped`] with the reason, so
//! that the log can say why a provider was not used. Must not: look at clock, database or network.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use thiserror::Error;

use super::provider::failure::Fallback;
use super::provider::{Content, Failure, ProviderKind};
use super::template::{
    Keys, MetaStatus, Template, TemplateError, TemplateKey, candidate_keys, meta_parameters, render,
};
use crate::db::ids::ProviderId;

/// The customer service window of Meta ("Meta: messaging rules").
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// What is known about the person a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Agreed to messages through Meta.
    pub opted_in: bool,
    /// When the last message came from them.
    pub last_inbound_at: Option<DateTime<Utc>>,
    /// Stopped promotional messages.
    pub no_marketing: bool,
}

impl Recipient {
    /// Did they write within the last 24 hours?
    ///
    /// A time after `now` counts: the provider's clock may be ahead of ours.
    pub fn window_is_open(&self, now: DateTime<Utc>) -> bool {
        self.last_inbound_at
            .is_some_and(|at| now.signed_duration_since(at) < WINDOW)
    }
}

/// What is to be said.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The rule's template key.
    pub key: &'a TemplateKey,
    /// Values by name.
    pub context: &'a Map<String, Value>,
}

/// An account as a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Row of `provider`.
    pub id: ProviderId,
    /// Which provider.
    pub kind: ProviderKind,
    /// Lower goes first.
    pub sequence: i32,
    /// The host's default provider.
    pub is_default: bool,
    /// Switched on.
    pub active: bool,
    /// Settings and secrets make an account.
    pub configured: bool,
    /// It keeps failing and rests.
    pub circuit_open: bool,
}

/// Where templates are looked up.
pub trait Templates {
    /// The template of that key.
    fn template(&self, key: &TemplateKey) -> Option<&Template>;
}

impl Templates for BTreeMap<TemplateKey, Template> {
    fn template(&self, key: &TemplateKey) -> Option<&Template> {
        self.get(key)
    }
}

impl Templates for HashMap<TemplateKey, Template> {
    fn template(&self, key: &TemplateKey) -> Option<&Template> {
        self.get(key)
    }
}

/// One way to send the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Account.
    pub provider: ProviderId,
    /// Which provider.
    pub kind: ProviderKind,
    /// Ready to be sent.
    pub content: Content,
    /// The template that was found for the key.
    pub template_key_used: TemplateKey,
    /// The template is promotional.
    pub marketing: bool,
    /// Parameters whose text was changed so that Meta accepts it.
    pub changed: Vec<String>,
}

/// A provider that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Account.
    pub provider: ProviderId,
    /// Which provider.
    pub kind: ProviderKind,
    /// Why.
    pub reason: SkipReason,
}

/// Why a provider is not used for a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SkipReason {
    /// Switched off.
    #[error("the provider is inactive")]
    Inactive,
    /// A setting or secret is missing.
    #[error("the provider is not configured: `check` names the missing setting")]
    NotConfigured,
    /// It keeps failing.
    #[error("the provider's circuit is open: it keeps failing and is probed until it recovers")]
    CircuitOpen,
    /// It took this very message and gave it up afterwards.
    #[error("the provider took this message and gave it up afterwards")]
    GaveUp,
    /// Promotional, and the recipient said no.
    #[error("the recipient stopped promotional messages, and the template is of category marketing")]
    MarketingStopped,
    /// Meta's conditions are not met.
    #[error("the recipient has not opted in to Meta and has not written within 24 hours")]
    NotEligible,
    /// There is no template under any of the keys.
    #[error("no template under {}", keys.iter().map(TemplateKey::as_str).collect::<Vec<_>>().join(", "))]
    NoTemplate {
        /// The keys that were tried.
        keys: Vec<TemplateKey>,
    },
    /// The template is not for gateways.
    #[error("template {key} is not meant for Fonnte and Watzap")]
    NotForGateways {
        /// Key of the template.
        key: TemplateKey,
    },
    /// Meta would refuse the template.
    #[error("template {key} is {status} at Meta: only an approved or configured one can be sent")]
    TemplateUnusable {
        /// Key of the template.
        key: TemplateKey,
        /// Its state.
        status: MetaStatus,
    },
    /// Meta has refused the template, or the last sync saw that it would.
    #[error("template {key} does not fit Meta's: {reason}")]
    TemplateUnfit {
        /// Key of the template.
        key: TemplateKey,
        /// What does not fit.
        reason: String,
    },
    /// The values do not make a message.
    #[error(transparent)]
    Values(#[from] TemplateError),
}

impl SkipReason {
    /// True if waiting may change it: the message stays in the queue. False: only a correction helps.
    pub fn passes(&self) -> bool {
        matches!(self, Self::CircuitOpen)
    }
}

/// Everything a choice rests on.
#[derive(Clone, Copy)]
pub struct Facts<'a, T: Templates + ?Sized> {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// To whom.
    pub recipient: Recipient,
    /// What.
    pub message: Message<'a>,
    /// Through whom.
    pub candidates: &'a [Candidate],
    /// The templates.
    pub templates: &'a T,
    /// How Meta's template of a key is found.
    pub keys: &'a Keys,
}

/// The outcome of a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Ways to send, in the order to try.
    pub routes: Vec<Route>,
    /// Providers that are not used.
    pub skipped: Vec<Skipped>,
}

impl Choice {
    /// No route now, but one may open by itself: the message waits instead of failing.
    pub fn must_wait(&self) -> bool {
        self.routes.is_empty() && self.skipped.iter().any(|skipped| skipped.reason.passes())
    }
}

/// Chooses the providers of a message (SICANTIK guide §6.2).
///
/// A gateway that is the default provider comes first, then Meta, then the gateways by sequence, Fonnte before Watzap
/// on a tie.
pub fn choose<T: Templates + ?Sized>(facts: &Facts<'_, T>) -> Choice {
    let mut candidates: Vec<_> = facts.candidates.iter().collect();
    candidates.sort_by_key(|candidate| rank(candidate));
    let mut choice = Choice::default();
    let unwanted = facts.recipient.no_marketing && is_marketing(facts);
    for candidate in candidates {
        let found = match unwanted {
            true => Err(SkipReason::MarketingStopped),
            false => route(facts, candidate),
        };
        match found {
            Ok(route) => choice.routes.push(route),
            Err(reason) => choice.skipped.push(Skipped {
                provider: candidate.id,
                kind: candidate.kind,
                reason,
            }),
        }
    }
    choice
}

/// May the next route be tried now, after this failure of the one before?
///
/// `marketing` is the failed route's; `urgent` says that the message cannot wait; `tries_used_up` that this provider
/// got all the tries it is due, or that the deadline is near. An uncertain send is no failure: it never falls back.
pub fn next_after(failure: &Failure, marketing: bool, urgent: bool, tries_used_up: bool) -> bool {
    match failure.consequences().fallback {
        Fallback::No => false,
        Fallback::Now => true,
        Fallback::UnlessMarketing => !marketing,
        Fallback::IfUrgent => urgent,
        Fallback::AfterTries => urgent || tries_used_up,
    }
}

/// Whether any form of the template is promotional: a no to Meta's is a no to the gateways' text as well.
fn is_marketing<T: Templates + ?Sized>(facts: &Facts<'_, T>) -> bool {
    [ProviderKind::Meta, ProviderKind::Fonnte].iter().any(|kind| {
        candidate_keys(*kind, facts.message.key, facts.keys)
            .iter()
            .filter_map(|key| facts.templates.template(key))
            .any(|template| template.marketing)
    })
}

/// Sorts as the providers are tried; the id makes the order of equals the same everywhere.
fn rank(candidate: &Candidate) -> (u8, Reverse<bool>, i32, ProviderKind, ProviderId) {
    let group = match candidate.kind {
        ProviderKind::Meta => 1,
        _ if candidate.is_default => 0,
        _ => 2,
    };
    (
        group,
        Reverse(candidate.is_default),
        candidate.sequence,
        candidate.kind,
        candidate.id,
    )
}

fn route<T: Templates + ?Sized>(facts: &Facts<'_, T>, candidate: &Candidate) -> Result<Route, SkipReason> {
    let eligible = || facts.recipient.opted_in || facts.recipient.window_is_open(facts.now);
    match candidate {
        Candidate { active: false, .. } => return Err(SkipReason::Inactive),
        Candidate {
            configured: false, ..
        } => return Err(SkipReason::NotConfigured),
        Candidate {
            kind: ProviderKind::Meta,
            ..
        } if !eligible() => return Err(SkipReason::NotEligible),
        _ => {}
    }
    let route = first_usable(facts, candidate)?;
    // Last, so that "wait for the circuit" is said only of a provider that could send this message.
    if candidate.circuit_open {
        Err(SkipReason::CircuitOpen)
    } else {
        Ok(route)
    }
}

/// The first template that this provider can send with these values; else what is wrong with the first one found.
fn first_usable<T: Templates + ?Sized>(
    facts: &Facts<'_, T>,
    candidate: &Candidate,
) -> Result<Route, SkipReason> {
    let keys = candidate_keys(candidate.kind, facts.message.key, facts.keys);
    let mut first_reason = None;
    for template in keys.iter().filter_map(|key| facts.templates.template(key)) {
        match fill(template, candidate, facts.message.context) {
            Ok(route) => return Ok(route),
            Err(reason) => {
                first_reason.get_or_insert(reason);
            }
        }
    }
    Err(first_reason.unwrap_or(SkipReason::NoTemplate { keys }))
}

fn fill(
    template: &Template,
    candidate: &Candidate,
    context: &Map<String, Value>,
) -> Result<Route, SkipReason> {
    let (content, changed) = match candidate.kind {
        ProviderKind::Meta => meta_content(template, context)?,
        ProviderKind::Fonnte | ProviderKind::Watzap => {
            (Content::Text(gateway_text(template, context)?), vec![])
        }
    };
    Ok(Route {
        provider: candidate.id,
        kind: candidate.kind,
        content,
        template_key_used: template.key.clone(),
        marketing: template.marketing,
        changed,
    })
}

fn gateway_text(template: &Template, context: &Map<String, Value>) -> Result<String, SkipReason> {
    if !template.gateways {
        return Err(SkipReason::NotForGateways {
            key: template.key.clone(),
        });
    }
    Ok(render(template, context)?)
}

fn meta_content(
    template: &Template,
    context: &Map<String, Value>,
) -> Result<(Content, Vec<String>), SkipReason> {
    let key = || template.key.clone();
    let meta = template
        .meta
        .as_ref()
        .ok_or_else(|| TemplateError::NotAtMeta { key: key() })?;
    if !meta.status.is_usable() {
        return Err(SkipReason::TemplateUnusable {
            key: key(),
            status: meta.status,
        });
    }
    if let Some(reason) = &meta.unfit {
        return Err(SkipReason::TemplateUnfit {
            key: key(),
            reason: reason.clone(),
        });
    }
    let values = meta_parameters(template, context)?;
    let content = Content::MetaTemplate {
        name: meta.name.clone(),
        language: meta.language.clone().unwrap_or_else(|| template.language.clone()),
        parameters: values.body,
        named: meta.named,
        header: values.header,
        buttons: values.buttons,
    };
    Ok((content, values.changed.into_iter().collect()))
}

#[cfg(test)]
mod tests;
