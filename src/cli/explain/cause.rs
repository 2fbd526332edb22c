//! Why somebody got nothing: the seven causes of the SICANTIK guide §8.4 by their numbers, and those it does not know.

use serde_json::{Value, json};

/// A cause, with a code that stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    TriggerInactive,
    RuleInactive,
    ConditionNotMet,
    NoNumber,
    TemplateMissing,
    NoProvider,
    QueueNotProcessed,
    HookMissing,
    BeforePublication,
    CaptureMisses,
    NotAWatchedChange,
    RecordMissing,
    ModelUnknown,
    ModelNotWatched,
    RightMissing,
    EventWaiting,
    SetAside,
    NotUsable,
    NoRule,
    NoRecipient,
    Duplicate,
    Repeated,
    Grouped,
    NameMismatch,
    Waiting,
    Held,
    Blacklisted,
    Cancelled,
    Failed,
}

impl Why {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::TriggerInactive => "trigger_inactive",
            Self::RuleInactive => "rule_inactive",
            Self::ConditionNotMet => "condition_not_met",
            Self::NoNumber => "no_number",
            Self::TemplateMissing => "template_missing",
            Self::NoProvider => "no_provider",
            Self::QueueNotProcessed => "queue_not_processed",
            Self::HookMissing => "hook_missing",
            Self::BeforePublication => "before_publication",
            Self::CaptureMisses => "capture_misses",
            Self::NotAWatchedChange => "not_a_watched_change",
            Self::RecordMissing => "record_missing",
            Self::ModelUnknown => "model_unknown",
            Self::ModelNotWatched => "model_not_watched",
            Self::RightMissing => "right_missing",
            Self::EventWaiting => "event_waiting",
            Self::SetAside => "set_aside",
            Self::NotUsable => "not_usable",
            Self::NoRule => "no_rule",
            Self::NoRecipient => "no_recipient",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
            Self::Grouped => "grouped",
            Self::NameMismatch => "name_mismatch",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Blacklisted => "blacklisted",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Its number in the guide's list, and the guide's words.
    pub(super) fn guide(self) -> Option<(u8, &'static str)> {
        Some(match self {
            Self::TriggerInactive => (1, "Pemicu tidak aktif"),
            Self::RuleInactive => (2, "Aturan tidak aktif"),
            Self::ConditionNotMet => (3, "Kondisi pemicu/aturan tidak terpenuhi"),
            Self::NoNumber => (4, "Partner tidak memiliki nomor WhatsApp"),
            Self::TemplateMissing => (5, "Template tidak ditemukan"),
            Self::NoProvider => (6, "Provider WhatsApp tidak dikonfigurasi"),
            Self::QueueNotProcessed => (7, "Antrian tidak diproses"),
            _ => return None,
        })
    }
}

/// A cause with its sentence and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) why: Why,
    pub(super) text: String,
    pub(super) remedy: String,
}

impl Cause {
    pub(super) fn new(why: Why, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            why,
            text: text.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let guide = self.why.guide();
        json!({"code": self.why.code(), "guide": guide.map(|(n, _)| n), "guide_text": guide.map(|(_, t)| t),
               "text": self.text, "remedy": self.remedy})
    }

    pub(super) fn print(&self) {
        let number = match self.why.guide() {
            Some((n, words)) => format!("cause {n} of SICANTIK guide §8.4 ({words})"),
            None => self.why.code().replace('_', " "),
        };
        println!("  why: {number}: {}", self.text.replace('\n', "\n      "));
        if !self.remedy.is_empty() {
            println!("      remedy: {}", self.remedy);
        }
    }
}

/// Keeps causes in their order, each once.
pub(super) fn add(causes: &mut Vec<Cause>, cause: Cause) {
    if !causes.contains(&cause) {
        causes.push(cause);
    }
}

/// Why a message that no provider took was not taken, from the reasons that delivery gave.
pub(super) fn undelivered(error: &str) -> Why {
    let template = [
        "no template under",
        "is not meant for",
        "at Meta",
        "no value for",
        "is empty, which Meta",
        "no active template",
    ];
    let provider = [
        "no provider is set up",
        "is inactive",
        "is not configured",
        "circuit is open",
        "has not opted in",
    ];
    match () {
        () if template.iter().any(|t| error.contains(t)) => Why::TemplateMissing,
        () if provider.iter().any(|p| error.contains(p)) => Why::NoProvider,
        () => Why::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::dispatcher::SkipReason;
    use crate::deliver::template::{MetaStatus, TemplateKey};

    #[test]
    fn the_reasons_of_delivery_are_recognised() {
        let key = || TemplateKey::new("permit_ready").unwrap();
        for reason in [
            SkipReason::NoTemplate { keys: vec![key()] },
            SkipReason::NotForGateways { key: key() },
            SkipReason::TemplateUnusable {
                key: key(),
                status: MetaStatus::Rejected,
            },
        ] {
            assert_eq!(
                undelivered(&format!("fonnte: {reason}")),
                Why::TemplateMissing,
                "{reason}"
            );
        }
        for reason in [
            SkipReason::Inactive,
            SkipReason::NotConfigured,
            SkipReason::CircuitOpen,
            SkipReason::NotEligible,
        ] {
            assert_eq!(
                undelivered(&format!("meta: {reason}")),
                Why::NoProvider,
                "{reason}"
            );
        }
        assert_eq!(undelivered("HTTP 500"), Why::Failed);
    }

    #[test]
    fn the_guide_has_seven_causes_each_once() {
        let all = [
            Why::TriggerInactive,
            Why::RuleInactive,
            Why::ConditionNotMet,
            Why::NoNumber,
            Why::TemplateMissing,
            Why::NoProvider,
            Why::QueueNotProcessed,
        ];
        let numbers: Vec<u8> = all.iter().filter_map(|w| w.guide()).map(|(n, _)| n).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    }
}
