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
use crate::db::ids::{AttemptId, ClaimToken, MessageId, ProviderId, RecordId, RuleId};

/// Most sends that are remembered, some 20 MB: ten minutes of the quickest account that Meta has.
const MOST: usize = 50_000;

/// The sends of this process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By attempt: their numbers grow, which leaves the map's nodes half empty; hence boxes.
    sends: BTreeMap<AttemptId, Box<Send>>,
    /// Keys of templates and names of models, each kept once.
    words: BTreeSet<Arc<str>>,
    /// Forgotten for want of room.
    dropped: u64,
    /// What this process was called in `instance`: a reload registers anew.
    names: BTreeSet<i64>,
}

/// Small: there may be tens of thousands.
#[derive(Debug)]
struct Send {
    claim: ClaimToken,
    touched: Instant,
    started_at: DateTime<Utc>,
    message: MessageId,
    created_at: DateTime<Utc>,
    provider: ProviderId,
    kind: &'static str,
    template_key: Arc<str>,
    rule: RuleId,
    phone: Box<str>,
    xact: Option<Box<str>>,
    model: Option<Arc<str>>,
    record: Option<RecordId>,
    changed_at: Option<DateTime<Utc>>,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    outcome: &'static str,
    http_status: Option<i16>,
    external_id: Option<Box<str>>,
    error: Option<Box<str>>,
    note: Option<Box<str>>,
    took: Duration,
}

impl End {
    fn of(end: &AttemptEnd) -> Self {
        let words = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_boxed_str());
        Self {
            outcome: end.outcome,
            http_status: end.http_status,
            external_id: words(&end.external_id),
            error: words(&end.error),
            note: words(&end.note),
            took: end.duration,
        }
    }
}

/// Through whom a message goes.
#[derive(Clone, Copy, Debug)]
pub struct Through<'a> {
    /// Provider.
    pub provider: ProviderId,
    /// meta, fonnte or watzap.
    pub kind: &'static str,
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
        let mut inner = self.lock();
        let send = Send {
            claim: message.held.token(),
            touched: now,
            started_at,
            message: message.id,
            created_at: origin.created_at,
            provider: through.provider,
            kind: through.kind,
            template_key: inner.word(through.template_key),
            rule: message.rule,
            phone: message.phone.as_str().into(),
            xact: origin.xact.as_deref().map(Into::into),
            model: origin.model.as_deref().map(|model| inner.word(model)),
            record: origin.record,
            changed_at: origin.changed_at,
            end: None,
        };
        inner.sends.insert(attempt, Box::new(send));
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
            send.end = Some(End::of(end));
        }
    }

    /// Forgets what ended, and was written, longer than `window` ago. Only to be called while the server is the one that it was written to.
    pub fn forget(&self, window: Duration, holding: &Holding, now: Instant) {
        let mut inner = self.lock();
        inner.sends.retain(|_, send| {
            now.saturating_duration_since(send.touched) < window || holding.holds(send.claim)
        });
        inner.words.retain(|word| Arc::strong_count(word) > 1);
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
            inner.sends.iter().map(|(id, send)| send.told(*id)).collect(),
            inner.dropped,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.words.get(text) {
            return word.clone();
        }
        let word: Arc<str> = text.into();
        self.words.insert(word.clone());
        word
    }
}

impl Send {
    fn told(&self, attempt: AttemptId) -> Value {
        let end = self.end.as_ref();
        let took = end.map_or(Duration::ZERO, |end| end.took);
        json!({
            "attempt_id": attempt,
            "started_at": self.started_at,
            "message_id": self.message,
            "message_created_at": self.created_at,
            "claim_token": self.claim,
            "provider_id": self.provider,
            "provider_type": self.kind,
            "template_key": &*self.template_key,
            "rule_id": self.rule,
            "phone": self.phone,
            "xact": self.xact,
            "model": self.model.as_deref(),
            "record_id": self.record,
            "changed_at": self.changed_at,
            "outcome": end.map_or("uncertain", |end| end.outcome),
            "ended_at": self.started_at + TimeDelta::from_std(took).unwrap_or_default(),
            "http_status": end.and_then(|end| end.http_status),
            "external_id": end.and_then(|end| end.external_id.as_deref()),
            "error": end.map_or(Some("no answer came"), |end| end.error.as_deref()),
            "note": end.and_then(|end| end.note.as_deref()),
            "duration_ms": i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
