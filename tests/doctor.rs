//! `doctor`: what it finds, and that it finds nothing where nothing is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use serde_json::Value;

async fn doctor(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let mut all = vec!["doctor"];
    all.extend(arguments);
    let output = desk.office.command(&all).output().await.unwrap();
    // What it logs on the way stands on stderr.
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// Findings as `about: summary -> remedy`.
async fn findings(desk: &Desk, arguments: &[&str]) -> Vec<String> {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let (code, text) = doctor(desk, &all).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let checks = report["checks"].as_array().unwrap();
    let found: Vec<String> = checks
        .iter()
        .flat_map(|c| c["findings"].as_array().unwrap())
        .map(|f| {
            format!(
                "{}: {} -> {}",
                f["about"].as_str().unwrap(),
                f["summary"].as_str().unwrap(),
                f["remedy"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(code, if found.is_empty() { 0 } else { 3 }, "{text}");
    found
}

fn has(found: &[String], parts: &[&str]) -> bool {
    found.iter().any(|f| parts.iter().all(|p| f.contains(p)))
}

/// A desk where nothing is wrong.
async fn healthy() -> (Desk, sicantik_notifyd::testkit::office::Daemon) {
    let desk = desk().await;
    // Odoo's own jobs that send are a finding of their own.
    desk.sql("update public.ir_cron set active = false").await;
    let daemon = desk.quick().await;
    (desk, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_wrong_it_finds_nothing() {
    let (desk, _daemon) = healthy().await;
    let (code, text) = doctor(&desk, &["--online"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.ends_with("0 alarms, 0 warnings.\n")
            && text.contains("LISTEN works")
            && !text.contains("remedy"),
        "{text}"
    );
    insta::with_settings!({filters => vec![
        (r"PostgreSQL [0-9][^,]*", "PostgreSQL [version]"),
        (r"[0-9.]+ ms", "[time] ms"),
        (r"version [0-9]+, [0-9]+ indexes", "version [n], [n] indexes"),
        (r"[0-9]+ rights", "[n] rights"),
    ]}, { insta::assert_snapshot!("doctor_healthy", text); });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_took_away_is_named_with_the_way_back() {
    let (desk, _daemon) = healthy().await;
    desk.sql(
        "drop index sicantik_notify.queue_not_due_idx;
         revoke delete on sicantik_notify.event_set_aside from sicantik_notifyd;
         revoke select on public.res_partner from sicantik_notifyd;
         grant select on public.mail_message to sicantik_notifyd;
         grant update on public.sicantik_permit to sicantik_notifyd;
         update sicantik_notify.setting set value = 'Asia/Jakartaa' where key = 'timezone';
         insert into sicantik_notify.rule (code, name, trigger, template_key, condition_domain)
         values ('bad', 'Bad', 'permit_state_change', 'permit_ready', '[(''no_field'', ''='', 1)]');
         drop trigger sicantik_notify_update on public.sicantik_permit",
    )
    .await;
    let found = findings(&desk, &[]).await;
    for parts in [
        &["index queue_not_due_idx", "missing"][..],
        &["sicantik_notify.event_set_aside", "lacks delete", "migrate"],
        &[
            "rights on Odoo's tables",
            "grant select on public.res_partner to sicantik_notifyd",
        ],
        &[
            "rights on mail_message",
            "nothing that is active needs it",
            "revoke select on public.\"mail_message\"",
        ],
        &["rights on sicantik_permit", "may write a table of Odoo"],
        &["setting timezone", "Asia/Jakartaa"],
        &["rule bad", "no_field", "check rule bad"],
        &["hooks of ", "sicantik_permit", "hooks install"],
    ] {
        assert!(has(&found, parts), "{parts:?} in {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_server_is_in_v_problem_too() {
    let (desk, _daemon) = healthy().await;
    let problems =
        "select coalesce(string_agg(about, ',' order by about), '') from sicantik_notify.v_problem";
    assert_eq!(desk.text(problems).await.unwrap(), "");
    desk.sql(
        "alter database sicantik set sicantik_notify.accepted_findings = ''; alter database sicantik set synchronous_commit = off",
    )
    .await;
    for statement in ["alter system set autovacuum = off", "select pg_reload_conf()"] {
        desk.sql(statement).await;
    }
    desk.sql("insert into sicantik_notify.queue (ready, rule_id, phone, template_key, scheduled_at)
              select true, id, '+6281300000009', 'permit_ready', now() - interval '1 hour' from sicantik_notify.rule where code = 'notify_permit_approved'")
        .await;
    let fresh = desk.office.admin().await.unwrap();
    let seen = "select count(*) = 4 from sicantik_notify.v_problem where about in
                ('setting fsync', 'setting full_page_writes', 'setting synchronous_commit', 'setting autovacuum')";
    desk.office.until(&fresh, seen).await.unwrap();
    let found = findings(&desk, &[]).await;
    assert!(
        has(&found, &["setting autovacuum", "autovacuum = on"]),
        "{found:#?}"
    );
    // What the office accepts is silent.
    desk.sql("alter database sicantik set sicantik_notify.accepted_findings = 'setting fsync,setting full_page_writes, setting synchronous_commit'")
        .await;
    let found = findings(&desk, &[]).await;
    assert!(
        has(&found, &["setting autovacuum"])
            && !has(&found, &["setting fsync"])
            && !has(&found, &["synchronous_commit"]),
        "{found:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_must_not_send_and_an_account_without_its_secret() {
    let (desk, _daemon) = healthy().await;
    desk.sql(
        "delete from sicantik_notify.arming; delete from sicantik_notify.provider_secret where provider_id in
              (select id from sicantik_notify.provider where provider_type = 'fonnte')",
    )
    .await;
    let found = findings(&desk, &[]).await;
    assert!(
        has(&found, &["this machine", "not armed", "sicantik-notifyd arm"]),
        "{found:#?}"
    );
    assert!(has(&found, &["provider Fonnte", "provider_secret"]), "{found:#?}");
    desk.sql("update sicantik_notify.provider set active = false")
        .await;
    let found = findings(&desk, &[]).await;
    assert!(has(&found, &["no provider is active"]), "{found:#?}");
    let url = desk
        .office
        .cluster
        .url(sicantik_notifyd::testkit::office::DATABASE);
    let found = findings(&desk, &["--database-url", &url]).await;
    assert!(has(&found, &["role postgres", "superuser"]), "{found:#?}");
}
