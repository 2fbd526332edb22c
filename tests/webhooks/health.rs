//! `/healthz` and `/readyz`.

use sicantik_notifyd::testkit::postgres::StopMode;

use crate::bench::{APP_SECRET, bench, get, raw, status};
use crate::desk::PATIENCE;

async fn ready(address: &str) -> (u16, serde_json::Value) {
    let answer = raw(address, &get("/readyz")).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (
        status(&answer),
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")),
    )
}

async fn until_ready(address: &str, wanted: u16) -> serde_json::Value {
    let look = async {
        loop {
            let (code, told) = ready(address).await;
            if code == wanted {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_means_that_the_database_is_there_and_alive_only_that_the_process_is() {
    let bench = bench().await;
    let told = until_ready(&bench.address, 200).await;
    assert_eq!(
        told,
        serde_json::json!({ "ready": true, "database": "ok", "schema": "ok", "armed": true,
                            "stages": { "evaluate": "ok", "deliver": "ok", "schedule": "ok", "capture": "ok" } })
    );
    bench.desk.office.cluster.stop(StopMode::Immediate).await.unwrap();
    let told = until_ready(&bench.address, 503).await;
    assert_eq!(
        (told["ready"].clone(), told["database"].clone()),
        (false.into(), "away".into())
    );
    assert_eq!(status(&raw(&bench.address, &get("/healthz")).await), 200);
    // Nothing is lost: Meta is asked to come again.
    let answered = bench.meta().send_status("wamid.1", "sent").await.unwrap();
    assert_eq!(answered, 503);
    bench.desk.office.cluster.restart().await.unwrap();
    until_ready(&bench.address, 200).await;
    assert_eq!(bench.meta().send_status("wamid.1", "sent").await.unwrap(), 200);
    assert!(!bench.daemon.log().contains(APP_SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_may_not_send_is_ready_and_says_so() {
    let bench = bench().await;
    bench.desk.sql("delete from sicantik_notify.arming").await;
    let look = async {
        while ready(&bench.address).await.1["armed"] != false {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("in time");
    assert_eq!(ready(&bench.address).await.0, 200);
    // A schema that is not this binary's, but an earlier one: a newer one ends the daemon.
    bench
        .desk
        .sql("delete from sicantik_notify.schema_history where version = (select max(version) from sicantik_notify.schema_history)")
        .await;
    assert_eq!(until_ready(&bench.address, 503).await["schema"], "wrong");
}

/// The value of a line of `/metrics`.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page
        .lines()
        .find_map(|l| l.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|v| v.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_for_prometheus_tell_what_happened_and_what_waits() {
    let bench = bench().await;
    bench.desk.only("Fonnte").await;
    bench
        .desk
        .sql("update public.sicantik_permit set status = 'active' where id = 6")
        .await;
    bench
        .desk
        .until("select count(*) = 1 from sicantik_notify.log")
        .await;
    bench
        .desk
        .sql("update sicantik_notify.provider set active = false")
        .await;
    bench.desk.message("+6281300000009").await;
    let read = async {
        loop {
            let page = raw(&bench.address, &get("/metrics")).await;
            let waits = "sicantik_notify_queue_messages{rule=\"notify_permit_approved\",state=\"pending\",waiting_for=\"provider\"}";
            // Counted in the process a moment after the database has it.
            let counted = "sicantik_notify_messages_postponed_total{reason=\"provider\"}";
            if value(&page, waits) == Some(1.0) && value(&page, counted).is_some() {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let page = match tokio::time::timeout(PATIENCE, read).await {
        Ok(page) => page,
        Err(_) => panic!("{}", raw(&bench.address, &get("/metrics")).await),
    };
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    for (series, least) in [
        ("sicantik_notify_database_up", 1.0),
        ("sicantik_notify_events_evaluated_total", 1.0),
        ("sicantik_notify_decisions_total{outcome=\"enqueued\"}", 1.0),
        (
            "sicantik_notify_messages_finished_total{state=\"sent\",provider_type=\"fonnte\"}",
            1.0,
        ),
        (
            "sicantik_notify_attempts_total{provider_type=\"fonnte\",outcome=\"accepted\",class=\"none\"}",
            1.0,
        ),
        (
            "sicantik_notify_messages_postponed_total{reason=\"provider\"}",
            1.0,
        ),
        (
            "sicantik_notify_stage_duration_seconds_count{stage=\"evaluate\"}",
            1.0,
        ),
        (
            "sicantik_notify_stage_duration_seconds_count{stage=\"claim\"}",
            1.0,
        ),
        (
            "sicantik_notify_stage_duration_seconds_count{stage=\"settle\"}",
            1.0,
        ),
        (
            "sicantik_notify_call_duration_seconds_bucket{provider_type=\"fonnte\",le=\"60\"}",
            1.0,
        ),
        ("sicantik_notify_event_wait_seconds_count", 1.0),
        ("sicantik_notify_message_wait_seconds_bucket{le=\"86400\"}", 1.0),
        ("sicantik_notify_change_to_sent_seconds_count", 1.0),
        ("sicantik_notify_change_to_sent_seconds_bucket{le=\"86400\"}", 1.0),
        ("sicantik_notify_campaigns{state=\"running\"}", 0.0),
        ("sicantik_notify_campaign_targets_left", 0.0),
        ("sicantik_notify_instances{delivering=\"true\"}", 1.0),
        ("sicantik_notify_problems{severity=\"alarm\"}", 0.0),
        ("sicantik_notify_events_waiting", 0.0),
        ("sicantik_notify_host_writes_missed_total", 0.0),
    ] {
        let found = value(&page, series);
        assert!(
            found.is_some_and(|v| v >= least),
            "{series}: {found:?} in\n{page}"
        );
    }
    assert!(!page.contains("62813"), "no number of a citizen");
    // Every series has its help and type, once.
    for line in page.lines().filter(|l| l.starts_with("sicantik_notify_")) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                name.strip_suffix(end)
                    .filter(|f| page.contains(&format!("# TYPE {f} histogram")))
            })
            .unwrap_or(name);
        assert_eq!(page.matches(&format!("# TYPE {family} ")).count(), 1, "{family}");
        assert_eq!(page.matches(&format!("# HELP {family} ")).count(), 1, "{family}");
    }
    bench.desk.office.cluster.stop(StopMode::Immediate).await.unwrap();
    let away = async {
        while value(
            &raw(&bench.address, &get("/metrics")).await,
            "sicantik_notify_database_up",
        ) != Some(0.0)
        {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, away).await.expect("in time");
}
