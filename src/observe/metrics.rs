//! Numbers for Prometheus. What this process does is counted here, as it happens; what the database holds is read when somebody
//! asks ([`crate::http`], `/metrics`). No name, number or text of a message is in any of them.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const EVENTS: &str = "sicantik_notify_events_evaluated_total";
const DECISIONS: &str = "sicantik_notify_decisions_total";
const FINISHED: &str = "sicantik_notify_messages_finished_total";
const LATER: &str = "sicantik_notify_messages_postponed_total";
const ATTEMPTS: &str = "sicantik_notify_attempts_total";
const STALE: &str = "sicantik_notify_stale_settlements_total";
const STAGE: &str = "sicantik_notify_stage_duration_seconds";
const CALL: &str = "sicantik_notify_call_duration_seconds";
const WAIT: &str = "sicantik_notify_event_wait_seconds";
const QUEUED: &str = "sicantik_notify_message_wait_seconds";
const WHOLE: &str = "sicantik_notify_change_to_sent_seconds";

/// All that this process counts.
pub const NAMES: [&str; 11] = [
    EVENTS, DECISIONS, FINISHED, LATER, ATTEMPTS, STALE, STAGE, CALL, WAIT, QUEUED, WHOLE,
];

/// From a claim of a millisecond to a provider's time-out.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// Waits may be long: quiet hours, a rate limit, an account that is paused.
const LONG: [f64; 14] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count. Called once, by the daemon; before it, and in commands, nothing is counted.
pub fn install() {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS);
    let installed = builder
        .and_then(|b| b.set_buckets_for_metric(Matcher::Full(QUEUED.into()), &LONG))
        .and_then(|b| b.set_buckets_for_metric(Matcher::Full(WHOLE.into()), &LONG))
        .map_err(|e| e.to_string())
        .and_then(|b| b.install_recorder().map_err(|e| e.to_string()));
    match installed {
        Ok(handle) => {
            let _ = HANDLE.set(handle);
            describe();
        }
        Err(error) => tracing::warn!(error, "Nothing is counted: /metrics tells of the database only."),
    }
}

fn describe() {
    describe_counter!(EVENTS, "Captured events that were evaluated");
    describe_counter!(DECISIONS, "Decisions by outcome; enqueued is a message");
    describe_counter!(FINISHED, "Messages that left the queue, by state and provider");
    describe_counter!(LATER, "Messages that went back into the queue, by reason");
    describe_counter!(ATTEMPTS, "Calls to providers by outcome and class of failure");
    describe_counter!(STALE, "Answers that came after their claim had ended");
    describe_histogram!(
        STAGE,
        Unit::Seconds,
        "Time of one batch by stage: evaluate, claim, settle"
    );
    describe_histogram!(CALL, Unit::Seconds, "Time of one call by provider");
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Time from a host write to its evaluation, which makes its messages"
    );
    describe_histogram!(
        QUEUED,
        Unit::Seconds,
        "Time from a message's making to a provider's acceptance"
    );
    describe_histogram!(
        WHOLE,
        Unit::Seconds,
        "Time from a host write to a provider's acceptance of its message"
    );
}

/// All numbers of this process, in Prometheus' text format.
pub fn render() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// A batch of a stage took so long.
pub fn stage(name: &'static str, took: Duration) {
    histogram!(STAGE, "stage" => name).record(took.as_secs_f64());
}

/// Events were evaluated.
pub fn evaluated(events: usize) {
    counter!(EVENTS).increment(events as u64);
}

/// A change had waited so long for its evaluation.
pub fn waited(time: Duration) {
    histogram!(WAIT).record(time.as_secs_f64());
}

/// A decision was made.
pub fn decided(outcome: &'static str) {
    counter!(DECISIONS, "outcome" => outcome).increment(1);
}

/// A message left the queue.
pub fn finished(state: &'static str, provider: Option<&'static str>) {
    counter!(FINISHED, "state" => state, "provider_type" => provider.unwrap_or("none")).increment(1);
}

/// A provider accepted a message, so long after it was made, and after the host's write behind it.
pub fn sent(queued: Duration, whole: Option<Duration>) {
    histogram!(QUEUED).record(queued.as_secs_f64());
    if let Some(whole) = whole {
        histogram!(WHOLE).record(whole.as_secs_f64());
    }
}

/// A message went back: `retry`, `uncertain`, `held`, `provider`.
pub fn postponed(reason: &'static str) {
    counter!(LATER, "reason" => reason).increment(1);
}

/// A provider answered, or did not.
pub fn attempted(provider: &'static str, outcome: &'static str, class: Option<&'static str>, took: Duration) {
    counter!(ATTEMPTS, "provider_type" => provider, "outcome" => outcome, "class" => class.unwrap_or("none"))
        .increment(1);
    histogram!(CALL, "provider_type" => provider).record(took.as_secs_f64());
}

/// An answer came too late.
pub fn stale() {
    counter!(STALE).increment(1);
}
