//! What this process has sent in the last seconds. A standby that takes over may lack what was committed last on the old primary:
//! then this is all that is known of those sends, and it is told to the new one (see [`super::timeline`]).
//!
//! It outlives every stage and every reload. What is older than the longest delay of a standby is forgotten, but only while the
//! server is known to be the same: without a server nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::claim::Claimed;
use super::holding::Holding;
use super::settle::{AttemptEnd, storable};
use crate::db::ids::{AttemptId, ClaimToken, ProviderId};

/// Most sends that are remembered, some 30 MB: ten minutes of the quickest account that Meta has.
const MOST: usize = 50_000;

/// The sends of this process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By attempt: their numbers grow.
    sends: BTreeMap<AttemptId, Send>,
    /// Forgotten for want of room.
    dropped: u64,
    /// What this process was called in `instance`: a reload registers anew.
    names: BTreeSet<i64>,
}

#[derive(Debug)]
struct Send {
    claim: ClaimToken,
    touched: Instant,
    /// What does not change, as it is told.
    facts: Value,
    started_at: DateTime<Utc>,
    end: Option<AttemptEnd>,
}

/// Through whom a message goes.
#[derive(Clone, Copy, Debug)]
pub struct Through<'a> {
    /// Provider.
    pub provider: ProviderId,
    /// meta, fonnte or watzap.
    pub kind: &'a str,
    /// Template that is used.
    pub template_key: &'a str,
}

impl Memory {
    /// A request is about to be written.
    pub fn begin(
        &self,
        message: &Claimed,
        through: Through<'_>,
        attempt: AttemptId,
        started_at: DateTime<Utc>,
        now: Instant,
    ) {
        let origin = &message.origin;
        let facts = json!({
            "attempt_id": attempt,
            "started_at": started_at,
            "message_id": message.id,
            "message_created_at": origin.created_at,
            "claim_token": message.held.token(),
            "provider_id": through.provider,
            "provider_type": through.kind,
            "template_key": through.template_key,
            "rule_id": message.rule,
            "phone": message.phone,
            "xact": origin.xact,
            "model": origin.model,
            "record_id": origin.record,
            "changed_at": origin.changed_at,
        });
        let mut inner = self.lock();
        inner.sends.insert(
            attempt,
            Send {
                claim: message.held.token(),
                touched: now,
                facts,
                started_at,
                end: None,
            },
        );
        if inner.sends.len() > MOST {
            inner.sends.pop_first();
            inner.dropped += 1;
        }
    }

    /// It has ended. What was refused was not sent, and need not be remembered.
    pub fn end(&self, attempt: AttemptId, end: &AttemptEnd, now: Instant) {
        let mut inner = self.lock();
        if end.outcome == "refused" {
            inner.sends.remove(&attempt);
        } else if let Some(send) = inner.sends.get_mut(&attempt) {
            send.touched = now;
            send.end = Some(end.clone());
        }
    }

    /// Forgets what ended, and was written, longer than `window` ago. Only to be called while the server is the one that it was written to.
    pub fn forget(&self, window: Duration, holding: &Holding, now: Instant) {
        let mut inner = self.lock();
        inner.sends.retain(|_, send| {
            now.saturating_duration_since(send.touched) < window || holding.holds(send.claim)
        });
        inner.dropped = 0;
    }

    /// Whether a remembered send is still under way, or its outcome still being written.
    pub fn is_busy(&self, holding: &Holding) -> bool {
        self.lock().sends.values().any(|send| holding.holds(send.claim))
    }

    /// This process is also that row of `instance`.
    pub fn answers_for(&self, instance: i64) {
        self.lock().names.insert(instance);
    }

    /// Rows of `instance` that this process is or was.
    pub fn names(&self) -> Vec<i64> {
        self.lock().names.iter().copied().collect()
    }

    /// All of it, as the database takes it, and how many sends did not fit.
    pub fn report(&self) -> (Value, u64) {
        let inner = self.lock();
        (
            Value::Array(inner.sends.values().map(Send::told).collect()),
            inner.dropped,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Send {
    fn told(&self) -> Value {
        let mut told = self.facts.clone();
        let end = self.end.as_ref();
        let took = end.map_or(Duration::ZERO, |end| end.duration);
        let words = |text: Option<&String>| text.map(|text| storable(text));
        told["outcome"] = json!(end.map_or("uncertain", |end| end.outcome));
        told["ended_at"] = json!(self.started_at + TimeDelta::from_std(took).unwrap_or_default());
        told["http_status"] = json!(end.and_then(|end| end.http_status));
        told["external_id"] = json!(words(end.and_then(|end| end.external_id.as_ref())));
        told["error"] = match end {
            Some(end) => json!(words(end.error.as_ref())),
            None => json!("no answer came"),
        };
        told["note"] = json!(words(end.and_then(|end| end.note.as_ref())));
        told["duration_ms"] = json!(i32::try_from(took.as_millis()).unwrap_or(i32::MAX));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ids::{MessageId, RuleId};
    use crate::queue::claim::{Origin, Retries};

    fn message(holding: &Holding, id: i64) -> Claimed {
        Claimed {
            id: MessageId(id),
            held: holding.hold(ClaimToken(id)),
            timeline: 1,
            origin: Origin {
                created_at: DateTime::UNIX_EPOCH,
                xact: Some("77".into()),
                model: None,
                record: None,
                changed_at: None,
            },
            rule: RuleId(1),
            rule_code: String::new(),
            partner: None,
            phone: "+62812".into(),
            template_key: String::new(),
            context: serde_json::Map::new(),
            tries: 0,
            uncertain_sends: 0,
            postponed: 0,
            not_through: Vec::new(),
            reply_through: None,
            retries: Retries {
                max: 0,
                delay: Duration::ZERO,
                exponential: false,
            },
        }
    }

    const META: Through<'static> = Through {
        provider: ProviderId(1),
        kind: "meta",
        template_key: "x",
    };

    fn ended(outcome: &'static str) -> AttemptEnd {
        AttemptEnd {
            outcome,
            external_id: Some("wamid\0".into()),
            duration: Duration::from_secs(2),
            ..AttemptEnd::default()
        }
    }

    #[test]
    fn what_was_refused_is_forgotten_and_the_rest_told() {
        let (memory, holding, now) = (Memory::default(), Holding::default(), Instant::now());
        for id in 1..=3 {
            memory.begin(
                &message(&holding, id),
                META,
                AttemptId(id),
                DateTime::UNIX_EPOCH,
                now,
            );
        }
        memory.end(AttemptId(1), &ended("refused"), now);
        memory.end(AttemptId(2), &ended("accepted"), now);
        let (told, dropped) = memory.report();
        assert_eq!(dropped, 0);
        assert_eq!(told[0]["message_id"], 2);
        assert_eq!(told[0]["outcome"], "accepted");
        assert_eq!(told[0]["external_id"], "wamid\u{fffd}");
        assert_eq!(told[0]["ended_at"], "1970-01-01T00:00:02Z");
        assert_eq!(told[1]["outcome"], "uncertain");
        assert_eq!(told[1]["xact"], "77");
        assert_eq!(told.as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn what_is_written_long_ago_is_forgotten_and_what_is_under_way_is_not() {
        let (memory, holding, now) = (Memory::default(), Holding::default(), Instant::now());
        let held = message(&holding, 1);
        memory.begin(&held, META, AttemptId(1), DateTime::UNIX_EPOCH, now);
        memory.begin(
            &message(&holding, 2),
            META,
            AttemptId(2),
            DateTime::UNIX_EPOCH,
            now,
        );
        let (window, later) = (Duration::from_secs(60), now + Duration::from_secs(61));
        assert!(memory.is_busy(&holding));
        memory.forget(window, &holding, now + Duration::from_secs(59));
        assert_eq!(memory.report().0.as_array().map(Vec::len), Some(2));
        memory.forget(window, &holding, later);
        assert_eq!(memory.report().0[0]["message_id"], 1);
        drop(held);
        assert!(!memory.is_busy(&holding));
        memory.forget(window, &holding, later);
        assert_eq!(memory.report().0, json!([]));
    }

    #[test]
    fn memory_is_bounded() {
        let (memory, holding, now) = (Memory::default(), Holding::default(), Instant::now());
        let one = message(&holding, 1);
        for id in 0..=MOST as i64 {
            memory.begin(&one, META, AttemptId(id), DateTime::UNIX_EPOCH, now);
        }
        let (told, dropped) = memory.report();
        assert_eq!((told.as_array().map(Vec::len), dropped), (Some(MOST), 1));
        assert_eq!(told[0]["attempt_id"], 1);
    }
}
