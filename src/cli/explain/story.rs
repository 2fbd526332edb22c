//! One change told in order: the row change, triggers, rules and decisions, messages with their attempts, and the end; or
//! the reason for silence. The same steps are printed and given as JSON.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::moment::shown as at_the_office;
use super::super::words::many;
use super::cause::{Cause, Why, add, undelivered};
use super::now::{
    before_publication, looks_for, name_mismatch, no_number, no_recipient, repeated_remedy, rule_inactive,
    shown, template_missing, unusable,
};
use super::read::{Attempt, Chapter, Decision, Firing, Message};
use crate::capture::event::{Change, Operation};
use crate::evaluate::check::{Survey, Surveyed, flag, text};
use crate::evaluate::definition::{RulePlan, Trigger};
use crate::evaluate::trigger::{Condition, text as value_text};

/// One sentence of the story.
pub(super) struct Step {
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) data: Value,
}

/// One change, from the row to the phone.
pub(super) struct Story {
    pub(super) xact: Option<String>,
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) steps: Vec<Step>,
    pub(super) causes: Vec<Cause>,
}

/// What every story is told with.
pub(super) struct Teller<'a> {
    pub(super) survey: &'a Survey,
    pub(super) model: &'a str,
    pub(super) record: i64,
    pub(super) attempts: &'a HashMap<i64, Vec<Attempt>>,
    /// Who fired, by transaction.
    pub(super) firings: &'a HashMap<String, Vec<Firing>>,
    /// Since when each trigger is in force.
    pub(super) published: &'a HashMap<String, DateTime<Utc>>,
    pub(super) daemon: Option<Cause>,
    pub(super) provider: Option<Cause>,
    pub(super) zone: chrono_tz::Tz,
}

impl Teller<'_> {
    /// Tells a chapter.
    pub(super) fn tell(&self, chapter: &Chapter) -> Story {
        let mut story = Story {
            xact: chapter.xact.clone(),
            at: chapter.at(),
            steps: Vec::new(),
            causes: Vec::new(),
        };
        self.change(chapter, &mut story);
        self.decisions(chapter, &mut story);
        self.silence(chapter, &mut story);
        self.set_aside(chapter, &mut story);
        for message in &chapter.messages {
            self.message(message, &mut story);
        }
        story
    }

    /// A moment in the office's zone.
    pub(super) fn when(&self, at: DateTime<Utc>) -> String {
        at_the_office(at, self.zone)
    }

    fn change(&self, chapter: &Chapter, story: &mut Story) {
        let name = format!("{},{}", self.model, self.record);
        let (first, again): (Vec<&Change>, Vec<&Change>) = chapter
            .changes
            .iter()
            .partition(|c| (c.target_trigger.is_none() && c.target_rule.is_none()) || put_forward(c));
        if chapter.changes.is_empty() {
            let in_xact = chapter
                .xact
                .as_ref()
                .map_or(String::new(), |x| format!(" in transaction {x}"));
            let fired = chapter.xact.as_deref().and_then(|xact| self.firing(xact, None));
            let by_hand = chapter.xact.is_none() && chapter.decisions.is_empty();
            let campaign = chapter.decisions.iter().find_map(|d| d.campaign.as_deref());
            let text = match campaign {
                Some(campaign) => format!("{name} was a target of campaign {campaign}; no change led to it"),
                None if by_hand && chapter.messages.iter().all(|m| m.event.is_none()) => {
                    "a person or a programme put a message into the queue; no change led to it".to_owned()
                }
                None if fired.is_some() => {
                    let by = fired.map(|f| self.fired_by(f)).unwrap_or_default();
                    format!("{name} was put forward{in_xact}{by}")
                }
                None => format!(
                    "{name} changed{in_xact}; which columns is not kept any more (setting event_history_days)"
                ),
            };
            story.steps.push(Step {
                at: story.at,
                kind: "change",
                text,
                data: json!({"transaction": chapter.xact}),
            });
        }
        for change in first {
            for step in &change.steps {
                let columns: Vec<Value> = columns(step);
                let told: Vec<String> = columns
                    .iter()
                    .map(|c| match step.operation {
                        Operation::Insert => format!("{} {}", text_of(&c["column"]), value(&c["new"])),
                        _ => format!(
                            "{} {} → {}",
                            text_of(&c["column"]),
                            value(&c["old"]),
                            value(&c["new"])
                        ),
                    })
                    .collect();
                let did = match step.operation {
                    Operation::Insert => "was created",
                    Operation::Update => "was written",
                    Operation::Fired => "was put forward",
                };
                let by = match step.operation {
                    Operation::Fired => self.put_forward(change),
                    _ => String::new(),
                };
                let what = match told.is_empty() {
                    true => String::new(),
                    false => format!(": {}", told.join(", ")),
                };
                story.steps.push(Step {
                    at: Some(change.at),
                    kind: "change",
                    text: format!("{name} {did}{by} in transaction {} (event {}){what}", change.xact, step.id),
                    data: json!({"event": step.id, "transaction": change.xact, "operation": did, "columns": columns,
                                 "fired": self.firing(&change.xact, change.target_trigger.map(|t| t.0)).map(Firing::json)}),
                });
            }
        }
        for change in again {
            let rule = change.target_rule.and_then(|r| self.rule_code(r.0));
            let whom = rule.map_or("a trigger".to_owned(), |r| format!("the rule {r}"));
            story.steps.push(Step {
                at: None,
                kind: "again",
                text: format!(
                    "the change was taken up again for {whom}, after {}",
                    many(change.tries, "failure")
                ),
                data: json!({"tries": change.tries}),
            });
        }
        if chapter.waits {
            story.steps.push(Step {
                at: None,
                kind: "event_waiting",
                text: "the event waits to be evaluated".into(),
                data: json!({}),
            });
            let cause = match &self.daemon {
                Some(cause) => cause.clone(),
                None => Cause::new(
                    Why::EventWaiting,
                    "the event has not been evaluated yet",
                    "look again in a moment",
                ),
            };
            add(&mut story.causes, cause);
        }
    }

    /// By whom, and for what.
    fn put_forward(&self, change: &Change) -> String {
        let wanted = change.target_trigger.map(|id| id.0);
        let is = |t: &&Surveyed| wanted.is_some() && t.facts.get("id").and_then(Value::as_i64) == wanted;
        let trigger = self.survey.triggers.iter().find(is);
        let trigger = trigger.map(|t| format!(" for the trigger {}", t.code()));
        let rule = change.target_rule.and_then(|r| self.rule_code(r.0));
        let rule = rule.map(|r| format!(", the rule {r}"));
        let by = match self.firing(&change.xact, wanted) {
            Some(firing) => self.fired_by(firing),
            None if rule.is_some() => ", by a schedule, a person or a programme".to_owned(),
            None => " by a schedule, a person or a programme".to_owned(),
        };
        format!("{}{}{by}", trigger.unwrap_or_default(), rule.unwrap_or_default())
    }

    fn firing(&self, xact: &str, trigger: Option<i64>) -> Option<&Firing> {
        let firings = self.firings.get(xact)?;
        firings.iter().find(|f| trigger.is_none_or(|t| f.trigger == t))
    }

    fn fired_by(&self, firing: &Firing) -> String {
        let (by, at) = (&firing.by, self.when(firing.at));
        let who = match firing.source.as_str() {
            "api" => format!("fired by token {by}"),
            "cli" => format!("fired by {by} on the command line"),
            "backfill" => format!("for a change that was missed: backfill by {by}"),
            _ => format!("fired by {by} in SQL"),
        };
        let kwargs = firing
            .kwargs
            .as_ref()
            .map(|k| format!(" with {k}"))
            .unwrap_or_default();
        format!(", {who} at {at}{kwargs}")
    }

    fn rule_code(&self, id: i64) -> Option<String> {
        let rules = self.survey.triggers.iter().flat_map(|t| &t.rules);
        let found = rules
            .into_iter()
            .find(|r| r.get("id").and_then(Value::as_i64) == Some(id))?;
        text(found, "code").map(str::to_owned)
    }

    fn surveyed(&self, code: &str) -> Option<&Surveyed> {
        self.survey.triggers.iter().find(|t| t.code() == code)
    }

    fn trigger(&self, code: &str) -> Option<&Trigger> {
        self.surveyed(code)?.compiled.as_ref().ok()
    }

    fn decisions(&self, chapter: &Chapter, story: &mut Story) {
        let mut said: Option<&str> = None;
        for decision in &chapter.decisions {
            let trigger = decision.trigger.as_deref();
            if trigger.is_some() && trigger != said {
                said = trigger;
                self.fired(decision, story);
            }
            self.decision(chapter, decision, story);
        }
    }

    /// The trigger that a change met, and what it looks for.
    fn fired(&self, decision: &Decision, story: &mut Story) {
        let code = decision.trigger.as_deref().unwrap_or_default();
        let Some(trigger) = self.trigger(code) else {
            let text = format!("the trigger {code} fired");
            story.steps.push(Step {
                at: None,
                kind: "trigger",
                text,
                data: json!({"trigger": code}),
            });
            return;
        };
        let surveyed = self.surveyed(code);
        let aliases = surveyed
            .map(|s| aliases(s, &trigger.condition))
            .unwrap_or_default();
        let domain = trigger.domain.as_ref().ok().and_then(Option::as_ref).map(shown);
        let mut text = format!(
            "the trigger {code} fired: it looks for {}",
            looks_for(&trigger.condition)
        );
        if !aliases.is_empty() {
            text.push_str(&format!(" ({})", aliases.join(", ")));
        }
        if let Some(domain) = &domain {
            text.push_str(&format!(", under the condition {domain}"));
        }
        let data = json!({"trigger": code, "looks_for": looks_for(&trigger.condition), "aliases": aliases, "condition": domain});
        story.steps.push(Step {
            at: None,
            kind: "trigger",
            text,
            data,
        });
    }

    fn decision(&self, chapter: &Chapter, d: &Decision, story: &mut Story) {
        let rule = d.rule.as_deref();
        let trigger = d.trigger.as_deref().unwrap_or_default();
        let who = d.partner.map(|p| format!(" for partner {p}")).unwrap_or_default();
        let by = rule.map_or_else(|| format!("trigger {trigger}"), |r| format!("rule {r}"));
        let condition = self.condition(trigger, rule, &d.reason);
        let with = match d.outcome.as_str() {
            "trigger_condition" | "rule_condition" => condition.as_ref().map(|c| format!(": {c}")),
            _ => None,
        };
        let said = format!(
            "{by}{who}: {}: {}{}",
            outcome_words(&d.outcome),
            d.reason,
            with.unwrap_or_default()
        );
        story.steps.push(Step {
            at: Some(d.at),
            kind: "decision",
            text: said,
            data: json!({"outcome": d.outcome, "trigger": d.trigger, "rule": d.rule, "partner": d.partner,
                         "message": d.message, "reason": d.reason, "condition": condition}),
        });
        if let Some(cause) = self.cause(chapter, d, &by, condition) {
            add(&mut story.causes, cause);
        }
    }

    /// The text of a condition, of the rule or else of the trigger.
    fn condition(&self, trigger: &str, rule: Option<&str>, reason: &str) -> Option<String> {
        let compiled = self.trigger(trigger)?;
        let Some(rule) = rule else {
            return compiled.domain.as_ref().ok()?.as_ref().map(shown);
        };
        let plan = self.plan(trigger, rule)?;
        match (reason.contains("condition_python"), &plan.condition) {
            (true, Some(code)) => Some(code.text().to_owned()),
            _ => plan.domain.as_ref().map(shown),
        }
    }

    fn plan(&self, trigger: &str, rule: &str) -> Option<&RulePlan> {
        let rule = self.trigger(trigger)?.rules.iter().find(|r| r.code == rule)?;
        rule.plan.as_ref().ok()
    }

    fn cause(&self, chapter: &Chapter, d: &Decision, by: &str, condition: Option<String>) -> Option<Cause> {
        let trigger = d.trigger.as_deref().unwrap_or_default();
        let rule = d.rule.as_deref().unwrap_or_default();
        Some(match d.outcome.as_str() {
            "enqueued" => return None,
            "trigger_condition" | "rule_condition" => {
                let condition = condition.map(|c| format!(": {c}")).unwrap_or_default();
                Cause::new(
                    Why::ConditionNotMet,
                    format!(
                        "the condition of the {by} was not met at the change ({}){condition}",
                        d.reason
                    ),
                    format!("compare the record with it, or correct the condition of the {by}"),
                )
            }
            "no_rule" => {
                let rules = self
                    .surveyed(trigger)
                    .map(|s| s.rules.as_slice())
                    .unwrap_or_default();
                match rules.first() {
                    None => Cause::new(
                        Why::NoRule,
                        format!("the trigger {trigger} has no rule"),
                        "add a rule to sicantik_notify.rule",
                    ),
                    Some(_) => {
                        let codes: Vec<&str> = rules.iter().filter_map(|r| text(r, "code")).collect();
                        let mut cause = rule_inactive(&codes.join(", "));
                        cause.text = format!(
                            "no rule of the trigger {trigger} was active at the change: {}",
                            codes.join(", ")
                        );
                        cause.remedy = format!(
                            "update sicantik_notify.rule set active = true where code = '{}'; it holds for changes from then on",
                            codes.first().unwrap_or(&"")
                        );
                        cause
                    }
                }
            }
            "no_phone" => no_number(d.partner.unwrap_or(0), None, &d.reason),
            "no_recipient" => no_recipient(rule, &d.reason),
            "duplicate" => Cause::new(
                Why::Duplicate,
                format!("a message was not made twice: {}", d.reason),
                "",
            ),
            "repeated" => {
                let who = d
                    .partner
                    .map_or("the recipient".to_owned(), |p| format!("partner {p}"));
                let plan = self.plan(trigger, rule);
                let policy = plan.map(|p| format!("; repeat_policy of the rule {rule} is {}", p.repeat));
                let was = if d.reason.starts_with("told ") {
                    " was"
                } else {
                    ":"
                };
                Cause::new(
                    Why::Repeated,
                    format!("{who}{was} {}{}", d.reason, policy.unwrap_or_default()),
                    repeated_remedy(rule, plan.map(|p| &p.repeat)),
                )
            }
            // Once the run is complete there is a message, and no question.
            "grouped" if told(chapter, d) => return None,
            "grouped" => Cause::new(
                Why::Grouped,
                format!("the {by} keeps it for the others of the run: {}", d.reason),
                "nothing: the message follows when no event of the run waits any more",
            ),
            "name_mismatch" => name_mismatch(rule, &d.reason),
            "no_template" => self.missing_template(rule),
            "error" => match self.template_of(rule) {
                Some(key) if !self.survey.configuration.templates.contains(&key) => {
                    template_missing(rule, &key)
                }
                _ if d.reason.contains("no active template") => self.missing_template(rule),
                _ => unusable("rule", rule, &d.reason),
            },
            _ => return None,
        })
    }

    fn template_of(&self, rule: &str) -> Option<String> {
        let rules = self.survey.triggers.iter().flat_map(|t| &t.rules);
        let found = rules.into_iter().find(|r| text(r, "code") == Some(rule))?;
        text(found, "template_key").map(str::to_owned)
    }

    fn missing_template(&self, rule: &str) -> Cause {
        template_missing(rule, &self.template_of(rule).unwrap_or_default())
    }

    /// A change that led to no decision at all: which triggers looked for something else, or do not look at all.
    fn silence(&self, chapter: &Chapter, story: &mut Story) {
        if chapter.waits
            || !chapter.decisions.is_empty()
            || !chapter.messages.is_empty()
            || !chapter.set_aside.is_empty()
        {
            return;
        }
        let Some(change) = chapter.changes.first() else {
            return;
        };
        let mut looked = Vec::new();
        for surveyed in &self.survey.triggers {
            if text(&surveyed.facts, "model") != Some(self.model) {
                continue;
            }
            let code = surveyed.code();
            match &surveyed.compiled {
                Err(error) if surveyed.active() => add(&mut story.causes, unusable("trigger", code, error)),
                Err(_) => {}
                Ok(trigger) if !trigger.condition.matches(change) => {
                    if surveyed.active() && trigger.condition != Condition::Other {
                        looked.push(format!("{code}: {}", looks_for(&trigger.condition)));
                    }
                }
                Ok(_) if !surveyed.active() => {
                    let used = surveyed.rules.iter().any(|r| flag(r, "active"));
                    if used {
                        let text = format!("the trigger {code} looks for this change, but is inactive");
                        let remedy =
                            format!("update sicantik_notify.trigger set active = true where code = '{code}'");
                        add(&mut story.causes, Cause::new(Why::TriggerInactive, text, remedy));
                    }
                }
                Ok(_) => {
                    let since = self.published.get(code).map(|at| self.when(*at));
                    let since =
                        since.map_or("not yet in force".to_owned(), |s| format!("in force since {s}"));
                    let text = format!(
                        "the trigger {code} looks for this change now, but did not when it was evaluated ({since})"
                    );
                    let remedy = before_publication(code, self.record);
                    add(
                        &mut story.causes,
                        Cause::new(Why::BeforePublication, text, remedy),
                    );
                }
            }
        }
        if story.causes.is_empty() {
            let text = match looked.is_empty() {
                true => format!("no active trigger looks for changes of {}", self.model),
                false => format!(
                    "the change is not one that a trigger looks for ({})",
                    looked.join("; ")
                ),
            };
            let why = if looked.is_empty() {
                Why::ModelNotWatched
            } else {
                Why::NotAWatchedChange
            };
            add(
                &mut story.causes,
                Cause::new(
                    why,
                    text,
                    "see sicantik_notify.v_trigger for what is looked for; a value taken back in the same transaction is no change",
                ),
            );
        }
        story.steps.push(Step {
            at: chapter.evaluated,
            kind: "no_trigger",
            text: "it was evaluated, and no trigger fired".into(),
            data: json!({"looked_for": looked}),
        });
    }

    fn set_aside(&self, chapter: &Chapter, story: &mut Story) {
        for aside in &chapter.set_aside {
            let whom = match (&aside.rule, &aside.trigger) {
                (Some(rule), _) => format!(" for the rule {rule}"),
                (None, Some(trigger)) => format!(" for the trigger {trigger}"),
                _ => String::new(),
            };
            let next = match aside.next_try {
                Some(at) => format!("the next try is at {}", self.when(at)),
                None => "it is not tried again by itself".into(),
            };
            let text = format!(
                "the change was set aside{whom} after {}: {}; {next}",
                many(aside.tries, "try"),
                aside.error
            );
            let ids: Vec<&Value> = aside
                .events
                .as_array()
                .into_iter()
                .flatten()
                .map(|e| &e["id"])
                .collect();
            story.steps.push(Step {
                at: Some(aside.at),
                kind: "set_aside",
                data: json!({"trigger": aside.trigger, "rule": aside.rule, "tries": aside.tries, "error": aside.error,
                             "next_try_at": aside.next_try, "events": ids}),
                text: text.clone(),
            });
            let why = match undelivered(&aside.error) {
                Why::TemplateMissing => Why::TemplateMissing,
                _ => Why::SetAside,
            };
            let known = story
                .causes
                .iter()
                .any(|c| c.why == Why::TemplateMissing || c.why == Why::NotUsable);
            if why == Why::SetAside || !known {
                let remedy = "correct what the error names: what was set aside is tried again with every change of configuration";
                add(&mut story.causes, Cause::new(why, text, remedy));
            }
        }
    }

    fn message(&self, m: &Message, story: &mut Story) {
        let name = m
            .partner_name
            .as_ref()
            .map(|n| format!("{n}, "))
            .unwrap_or_default();
        let whom = match (m.partner, name.is_empty()) {
            (Some(partner), _) => format!("partner {partner} ({name}{})", m.phone),
            (None, false) => format!("{name}{}", m.phone),
            (None, true) => m.phone.clone(),
        };
        let rule = m
            .rule
            .as_ref()
            .map(|r| format!(" by the rule {r}"))
            .unwrap_or_default();
        story.steps.push(Step {
            at: Some(m.created),
            kind: "message",
            text: format!("message {} was enqueued{rule}: to {whom}, template {}", m.id, m.template),
            data: json!({"message": m.id, "rule": m.rule, "trigger": m.trigger, "partner": m.partner, "phone": m.phone,
                         "template": m.template, "event": m.event}),
        });
        let mut before: Option<&str> = None;
        for attempt in self.attempts.get(&m.id).into_iter().flatten() {
            self.attempt(m.id, attempt, before, story);
            before = Some(&attempt.provider);
        }
        match m.finished {
            Some(at) => self.finished(m, at, story),
            None => self.waits(m, story),
        }
    }

    fn attempt(&self, message: i64, a: &Attempt, before: Option<&str>, story: &mut Story) {
        let fallback = before.filter(|b| *b != a.provider);
        let road = match fallback {
            Some(before) => format!("message {message} falls back from {before} to {}", a.provider),
            None => format!("message {message} is handed to {}", a.provider),
        };
        let kind = if a.kind == a.provider {
            String::new()
        } else {
            format!(" ({})", a.kind)
        };
        let took = a
            .milliseconds
            .map(|ms| format!(" after {ms} ms"))
            .unwrap_or_default();
        let words = match a.outcome.as_deref() {
            None => "no answer yet".to_owned(),
            Some("accepted") => format!(
                "accepted{took}, its id there is {}",
                a.external_id.as_deref().unwrap_or("unknown")
            ),
            Some(outcome) => {
                let code = a.code.as_ref().map(|c| format!(", code {c}")).unwrap_or_default();
                let http = a.http_status.map(|h| format!(", HTTP {h}")).unwrap_or_default();
                let class = a.class.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
                let error = a.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
                format!("{outcome}{took}{class}{http}{code}{error}")
            }
        };
        story.steps.push(Step {
            at: Some(a.started),
            kind: "attempt",
            text: format!("{road}{kind} with template {}: {words}", a.template),
            data: json!({"message": message, "provider": a.provider, "provider_type": a.kind, "template": a.template,
                         "outcome": a.outcome, "class": a.class, "http_status": a.http_status, "code": a.code,
                         "error": a.error, "external_id": a.external_id, "duration_ms": a.milliseconds, "fallback": fallback.is_some()}),
        });
    }

    fn finished(&self, m: &Message, at: DateTime<Utc>, story: &mut Story) {
        let through = m
            .provider
            .as_ref()
            .map(|p| format!(" through {p}"))
            .unwrap_or_default();
        let id = m
            .external_id
            .as_ref()
            .map(|i| format!(", the provider's id is {i}"))
            .unwrap_or_default();
        let error = m.error.as_ref().filter(|_| m.state != "sent");
        let code = m
            .code
            .as_ref()
            .map(|c| format!(" (code {c})"))
            .unwrap_or_default();
        let why = error.map(|e| format!(": {e}{code}")).unwrap_or_default();
        let twice = if m.possible_duplicate {
            "; it may have arrived twice"
        } else {
            ""
        };
        story.steps.push(Step {
            at: Some(at),
            kind: "end",
            text: format!("message {} ended as {}{through}{id}{why}{twice}", m.id, m.state),
            data: json!({"message": m.id, "state": m.state, "provider_type": m.provider, "external_id": m.external_id,
                         "code": m.code, "error": error, "possible_duplicate": m.possible_duplicate}),
        });
        if m.state != "sent" {
            let error = error.cloned().unwrap_or_default();
            let why = match (m.state.as_str(), m.code.as_deref()) {
                (_, Some("blacklisted")) => Why::Blacklisted,
                ("cancelled", _) => Why::Cancelled,
                _ => undelivered(&error),
            };
            let text = format!("message {} ended as {}: {error}{code}", m.id, m.state);
            add(&mut story.causes, Cause::new(why, text, remedy(why)));
        }
    }

    fn waits(&self, m: &Message, story: &mut Story) {
        let waiting = m.waiting_for.clone().unwrap_or_else(|| "the daemon".into());
        let until = match (waiting.as_str(), m.scheduled) {
            ("scheduled", Some(at)) => format!(" until {}", self.when(at)),
            _ => String::new(),
        };
        let tries = if m.tries > 0 {
            format!(", after {}", many(m.tries, "failed try"))
        } else {
            String::new()
        };
        let last = match &m.error {
            Some(error) if !waiting.contains(error.as_str()) => format!("; the last error was: {error}"),
            _ => String::new(),
        };
        let said = format!(
            "message {} waits ({}): {waiting}{until}{tries}{last}",
            m.id, m.state
        );
        story.steps.push(Step {
            at: None,
            kind: "waiting",
            text: said.clone(),
            data: json!({"message": m.id, "state": m.state, "waiting_for": waiting, "scheduled_at": m.scheduled,
                         "tries": m.tries, "error": m.error}),
        });
        let cause = match waiting.as_str() {
            "in flight" => return,
            "rule inactive" => rule_inactive(m.rule.as_deref().unwrap_or_default()),
            "campaign paused" => Cause::new(Why::Waiting, said, "campaign resume lets it go on"),
            w if w.starts_with("held") => Cause::new(Why::Held, said, "a person must release or cancel it"),
            w if w.starts_with("a provider") => {
                let why = undelivered(w);
                match (&self.provider, why) {
                    (Some(cause), Why::NoProvider | Why::Failed) => cause.clone(),
                    (None, Why::Failed) => Cause::new(Why::Waiting, said, remedy(Why::Waiting)),
                    _ => Cause::new(why, said, remedy(why)),
                }
            }
            _ => match (&self.daemon, &self.provider) {
                (Some(cause), _) => cause.clone(),
                (None, Some(cause)) => cause.clone(),
                (None, None) => Cause::new(Why::Waiting, said, remedy(Why::Waiting)),
            },
        };
        add(&mut story.causes, cause);
    }
}

impl Firing {
    fn json(&self) -> Value {
        json!({"source": self.source, "by": self.by, "at": self.at, "events": self.events, "kwargs": self.kwargs})
    }
}

/// Whether it is a schedule's or a person's, and no change that was taken up again for the trigger that failed.
fn put_forward(change: &Change) -> bool {
    change.tries == 0 && change.steps.iter().any(|s| s.operation == Operation::Fired)
}

/// Whether what was put together has become a message.
fn told(chapter: &Chapter, grouped: &Decision) -> bool {
    let same =
        |d: &&Decision| d.rule == grouped.rule && d.partner == grouped.partner && d.event == grouped.event;
    let mut told = chapter.decisions.iter().filter(same);
    told.any(|d| d.outcome == "enqueued")
}

fn remedy(why: Why) -> &'static str {
    match why {
        Why::TemplateMissing => {
            "add the template, or make it fit for an active provider (`sicantik-notifyd check`)"
        }
        Why::NoProvider => "set up or activate a provider in sicantik_notify.provider",
        Why::Waiting => "nothing: it goes by itself",
        Why::Blacklisted => {
            "nothing, where the person wants no messages; otherwise `sicantik-notifyd blacklist remove NUMBER`, or take it off Odoo's list, \
             and then `queue retry`"
        }
        Why::Cancelled => "`sicantik-notifyd queue retry` makes it anew",
        _ => "see the attempts above for what the provider said",
    }
}

fn outcome_words(outcome: &str) -> &str {
    match outcome {
        "enqueued" => "a message was made",
        "trigger_condition" | "rule_condition" => "nobody is told",
        "no_rule" | "no_recipient" | "no_phone" => "nobody is told",
        "duplicate" | "repeated" => "not told again",
        "grouped" => "put together with others",
        "name_mismatch" => "the names differ",
        "error" => "failed",
        other => other,
    }
}

/// Names in a trigger that stand for others.
fn aliases(surveyed: &Surveyed, condition: &Condition) -> Vec<String> {
    let written = |column: &str| text(&surveyed.facts, column);
    let pairs = match condition {
        Condition::State { column, from, to } => vec![
            (written("state_field"), Some(column)),
            (written("state_from"), from.as_ref()),
            (written("state_to"), to.as_ref()),
        ],
        Condition::Field { column, .. } => vec![(written("field_to_watch"), Some(column))],
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .filter_map(|(written, meant)| Some((written?, meant?)))
        .filter(|(written, meant)| written != meant)
        .map(|(written, meant)| format!("'{written}' is read as '{meant}'"))
        .collect()
}

/// The columns of one statement that changed; of a creation, those that the hook carries.
fn columns(step: &crate::capture::event::Step) -> Vec<Value> {
    let names: Vec<&String> = match step.operation {
        Operation::Update => step.changed.iter().collect(),
        _ => step
            .new
            .keys()
            .filter(|k| *k != "id" && value_text(step.new.get(*k)).is_some())
            .collect(),
    };
    names
        .into_iter()
        .map(|name| {
            let shown = |value: Option<&Value>| value.map(|v| masked(name, v));
            json!({"column": name, "old": shown(step.old.get(name)), "new": shown(step.new.get(name))})
        })
        .collect()
}

/// Telephone numbers as viewers see them.
fn masked(column: &str, value: &Value) -> Value {
    let number = ["phone", "mobile", "whatsapp_number"]
        .iter()
        .any(|n| column.contains(n));
    match value.as_str() {
        Some(text) if number && text.chars().count() > 8 => {
            let letters: Vec<char> = text.chars().collect();
            let (head, tail) = (&letters[..5], &letters[letters.len() - 3..]);
            json!(format!(
                "{}****{}",
                head.iter().collect::<String>(),
                tail.iter().collect::<String>()
            ))
        }
        Some(text) if number && !text.is_empty() => json!("****"),
        _ => value.clone(),
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn value(value: &Value) -> String {
    let shown = value_text(Some(value)).map_or("(empty)".to_owned(), |v| v.replace('\n', " "));
    match shown.chars().count() > 60 {
        true => shown.chars().take(59).chain(['…']).collect(),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked() {
        assert_eq!(masked("mobile", &json!("+6281234567890")), json!("+6281****890"));
        assert_eq!(masked("phone", &json!("0812")), json!("****"));
        assert_eq!(masked("phone", &Value::Null), Value::Null);
        assert_eq!(masked("name", &json!("Budi Santoso")), json!("Budi Santoso"));
    }
}
