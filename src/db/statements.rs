//! Every statement of more than two lines, from `sql/statements`, included at compile time. A test prepares each of them
//! against a migrated database.

/// A statement with the name of its file.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// File name without ending.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(
            #[doc = concat!("`sql/statements/", $file, ".sql`")]
            pub const $name: Statement =
                Statement { name: $file, sql: include_str!(concat!("../../sql/statements/", $file, ".sql")) };
        )*
        /// All of them.
        pub const ALL: &[Statement] = &[$($name),*];
    };
}

statements! {
    ADMIT = "admit",
    ATTEMPT_BEGIN = "attempt_begin",
    ATTEMPT_FINISH = "attempt_finish",
    ATTEMPT_ORPHANS = "attempt_orphans",
    CATALOG_FIELDS = "catalog_fields",
    CATALOG_SELECTIONS = "catalog_selections",
    CHECK_TEMPLATES = "check_templates",
    CLAIM = "claim",
    DECISION_INSERT = "decision_insert",
    DIGEST_STORE = "digest_store",
    DIGEST_TAKE = "digest_take",
    ENQUEUE = "enqueue",
    EVENT_ARCHIVE = "event_archive",
    EVENT_CLAIM = "event_claim",
    EVENT_RECONSIDER = "event_reconsider",
    EVENT_RETRY = "event_retry",
    EVENT_SET_ASIDE = "event_set_aside",
    EVENT_SHARDS = "event_shards",
    EXPLAIN_ATTEMPTS = "explain_attempts",
    EXPLAIN_CAPTURE = "explain_capture",
    EXPLAIN_DECISIONS = "explain_decisions",
    EXPLAIN_EVENTS = "explain_events",
    EXPLAIN_LOCATE = "explain_locate",
    EXPLAIN_MESSAGES = "explain_messages",
    EXPLAIN_SET_ASIDE = "explain_set_aside",
    EXTEND_LEASES = "extend_leases",
    FORGET_INSTANCES = "forget_instances",
    HAND_BACK = "hand_back",
    PARK_INACTIVE = "park_inactive",
    PLAN_STORE = "plan_store",
    PROBLEM_RAISE = "problem_raise",
    PROMOTE = "promote",
    PROVIDER_CHECK = "provider_check",
    PROVIDER_CHECKED = "provider_checked",
    PROVIDER_FAILED = "provider_failed",
    PROVIDER_OK = "provider_ok",
    PROVIDER_PROBE = "provider_probe",
    PROVIDER_RESERVE = "provider_reserve",
    PROVIDER_SLOW = "provider_slow",
    PROVIDERS = "providers",
    RATE_ORPHANS = "rate_orphans",
    REPEAT_MARK = "repeat_mark",
    REPEAT_NAME = "repeat_name",
    REPEAT_TOLD = "repeat_told",
    RECIPIENT_PACE = "recipient_pace",
    RECEIPT_ALIAS = "receipt_alias",
    RECEIPT_MATCH = "receipt_match",
    RECEIPT_REQUEUE = "receipt_requeue",
    RECEIPT_SETTLE = "receipt_settle",
    RECEIPT_STORE = "receipt_store",
    RECEIPT_TEMPLATE = "receipt_template",
    RECOVER = "recover",
    RETRY_PROVIDER = "retry_provider",
    RULES = "rules",
    SEND_OUTCOME = "send_outcome",
    SEND_TEST = "send_test",
    SETTLE_DONE = "settle_done",
    SETTLE_LATER = "settle_later",
    SKIP_LISTED = "skip_listed",
    SLOT_HOLD = "slot_hold",
    SLOT_MOVE = "slot_move",
    SLOT_STATE = "slot_state",
    SLOT_STORE = "slot_store",
    SLOT_TYPES = "slot_types",
    SLOT_WATCH = "slot_watch",
    STATUS = "status",
    TEMPLATE_MARK = "template_mark",
    TEMPLATE_SYNC = "template_sync",
    TEMPLATE_SYNC_DUE = "template_sync_due",
    TEMPLATES = "templates",
    TRIGGERS = "triggers",
}
