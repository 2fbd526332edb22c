//! What `explain` and `status` print, word for word: text for people, JSON for scripts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;

/// What differs from run to run.
const FILTERS: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WIB", "[moment]"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+07", "[moment]"),
    (r#""\d{4}-\d\d-\d\dT[0-9:.]+(Z|\+00:00|\+07:00)""#, "\"[moment]\""),
    (r"(?m)^  \d\d:\d\d:\d\d  ", "  [time]    "),
    (r"quiet hours until \S+ \S+", "quiet hours until [moment]"),
    (r"transaction \d+", "transaction [n]"),
    (r"event \d+", "event [n]"),
    (r"message \d+", "message [n]"),
    (r"after \d+ ms", "after [n] ms"),
    (r#""(transaction|xact)": "\d+""#, "\"$1\": \"[n]\""),
    (r#""(event|message|duration_ms|pid)": \d+"#, "\"$1\": \"[n]\""),
    (r#""external_id": "[^"]+""#, "\"external_id\": \"[id]\""),
    (r"id( there)? is [A-Za-z0-9_.=-]+", "id$1 is [id]"),
    (r"instance \S+ alive", "instance [name] alive"),
    (r#""name": "[^"]+""#, "\"name\": \"[name]\""),
    (r#""version": "[^"]+""#, "\"version\": \"[version]\""),
    (r"oldest event +[0-9.]+ s", "oldest event [n] s"),
    (
        r#""oldest_event_seconds": [0-9.]+"#,
        "\"oldest_event_seconds\": \"[n]\"",
    ),
];

async fn said(desk: &Desk, arguments: &[&str], code: i32) -> String {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

macro_rules! snapshot {
    ($name:literal, $text:expr) => {{
        let text = $text;
        insta::with_settings!({filters => FILTERS.to_vec()}, { insta::assert_snapshot!($name, text); })
    }};
}

const RECORD: &str = "sicantik.permit,6";

/// Only the rule for approved permits, whose number is Eka's.
async fn quiet_desk() -> Desk {
    let desk = desk().await;
    desk.sql("update public.ir_cron set active = false").await;
    desk.only("Fonnte").await;
    desk
}

async fn approve(desk: &Desk) {
    desk.sql(&format!(
        "update public.sicantik_permit set status = 'active' where id = {}",
        ids::PERMIT_DRAFT
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_sent() {
    let desk = quiet_desk().await;
    let _daemon = desk.quick().await;
    approve(&desk).await;
    desk.accepted(1).await;
    desk.drained().await;
    snapshot!(
        "explain_sent",
        said(&desk, &["explain", "--record", RECORD], 0).await
    );
    snapshot!(
        "explain_sent_json",
        said(&desk, &["explain", "--record", RECORD, "--json"], 0).await
    );
    desk.until("select leads from sicantik_notify.v_instance").await;
    snapshot!("status_healthy", said(&desk, &["status"], 0).await);
    snapshot!("status_healthy_json", said(&desk, &["status", "--json"], 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_blacklist_stopped() {
    let desk = quiet_desk().await;
    desk.sql("select sicantik_notify.blacklist_add('+6281377778888', 'asked for it')")
        .await;
    let _daemon = desk.quick().await;
    approve(&desk).await;
    desk.until("select count(*) = 1 from sicantik_notify.log").await;
    snapshot!(
        "explain_blacklisted",
        said(&desk, &["explain", "--record", RECORD], 0).await
    );
    snapshot!(
        "explain_blacklisted_json",
        said(&desk, &["explain", "--record", RECORD, "--json"], 0).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_the_morning() {
    let desk = quiet_desk().await;
    desk.sql(
        "update sicantik_notify.rule set send_window = to_char((clock_timestamp() at time zone 'Asia/Jakarta') + interval '5 hours', 'HH24:MI') || '-'
             || to_char((clock_timestamp() at time zone 'Asia/Jakarta') + interval '6 hours', 'HH24:MI')",
    )
    .await;
    let _daemon = desk.quick().await;
    approve(&desk).await;
    desk.until("select count(*) = 1 from sicantik_notify.v_queue where waiting_for like 'quiet hours%'")
        .await;
    snapshot!(
        "explain_quiet_hours",
        said(&desk, &["explain", "--record", RECORD], 0).await
    );
    snapshot!(
        "explain_quiet_hours_json",
        said(&desk, &["explain", "--record", RECORD, "--json"], 0).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_failed_after_its_retries() {
    let desk = quiet_desk().await;
    desk.sql("update sicantik_notify.rule set max_retries = 2, retry_delay = 0 where code = 'notify_permit_approved'").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    for _ in 0..3 {
        script.once_to("+6281377778888", Behaviour::Html502);
    }
    let _daemon = desk.quick().await;
    approve(&desk).await;
    desk.until("select count(*) = 1 from sicantik_notify.log where state = 'failed'")
        .await;
    snapshot!(
        "explain_failed",
        said(&desk, &["explain", "--record", RECORD], 0).await
    );
    snapshot!(
        "explain_failed_json",
        said(&desk, &["explain", "--record", RECORD, "--json"], 0).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_person_sent_to_try_it_out() {
    let desk = quiet_desk().await;
    let _daemon = desk.quick().await;
    said(
        &desk,
        &[
            "send",
            "--rule",
            "notify_permit_approved",
            "--to",
            "+6281300000042",
            "--json",
            "--context",
            r#"{"partner_name": "Budi", "permit_number": "503/7", "permit_type": "SIP", "status": "Aktif"}"#,
        ],
        0,
    )
    .await;
    let id = desk
        .number("select id from sicantik_notify.log")
        .await
        .to_string();
    let text = said(&desk, &["explain", "--message", &id], 0).await;
    assert!(text.starts_with(&format!("message {id}, ")), "{text}");
    snapshot!("explain_test_send", text);
    snapshot!(
        "explain_test_send_json",
        said(&desk, &["explain", "--message", &id, "--json"], 0).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_with_problems() {
    let desk = quiet_desk().await;
    desk.sql(
        "insert into sicantik_notify.event (record_id, model, op, occurred_at) values (1, 'sicantik.permit', 'u', clock_timestamp() - interval '2 minutes');
         update sicantik_notify.provider_health set open_until = clock_timestamp() + interval '1 hour', opened_at = clock_timestamp(),
             last_error = 'device disconnected';
         select sicantik_notify.problem_raise('configuration: rule by_hand', null, 'warning', 'the template nothing is missing', 'add it')",
    )
    .await;
    snapshot!("status_problems", said(&desk, &["status"], 3).await);
    snapshot!(
        "status_problems_json",
        said(&desk, &["status", "--json"], 3).await
    );
}
