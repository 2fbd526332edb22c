//! What each role may do, and what it may not.

use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{Office, RUNTIME};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::harness::{Manager, Process, office};

const VIEWS: &[&str] = &[
    "v_queue",
    "v_queue_summary",
    "v_log",
    "v_attempt",
    "v_decision",
    "v_trigger",
    "v_rule",
    "v_provider",
    "v_template",
    "v_capture",
    "v_problem",
    "v_failover",
    "v_blacklist",
    "v_receipt",
    "receipt_furthest",
    "v_firing",
    "v_api_token",
    "v_campaign",
    "v_campaign_progress",
    "v_campaign_skipped",
    "v_cron_job",
    "v_cron_run",
    "v_instance",
    "v_daily",
    "v_daily_rule",
    "v_daily_campaign",
    "v_daily_template",
    "v_daily_provider",
    "v_daily_skipped",
    "receipt_given_up",
    "queue_waits",
];

/// A person with a login that is a member of this role only.
async fn person(office: &Office, admin: &Client, name: &str, role: &str) -> Client {
    admin
        .batch_execute(&format!("create role {name} login; grant {role} to {name}"))
        .await
        .expect("a role");
    office.connect_as(name).await.expect("a connection")
}

async fn may(client: &Client, statements: &[&str]) {
    for statement in statements {
        if let Err(error) = client
            .batch_execute(&format!("begin; {statement}; rollback"))
            .await
        {
            panic!("{statement}: {}", sicantik_notifyd::db::describe(&error));
        }
    }
}

async fn may_not(client: &Client, statements: &[&str]) {
    for statement in statements {
        let result = client.batch_execute(&format!("begin; {statement}")).await;
        client.batch_execute("rollback").await.expect("rolls back");
        let error = result.err().unwrap_or_else(|| panic!("{statement} was allowed"));
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{statement}: {}",
            sicantik_notifyd::db::describe(&error)
        );
    }
}

/// One sent message and one that waits.
async fn with_messages(office: &Office, admin: &Client) {
    let manager = Manager::new();
    let mut daemon = Process::daemon(office, "", &[("NOTIFY_SOCKET", manager.path())]);
    manager.until("READY=1", &daemon).await;
    crate::wake::approve_and_wait(office, admin).await;
    office
        .until(admin, "select count(*) = 1 from sicantik_notify.log")
        .await
        .expect("sent");
    daemon.signal("TERM").await;
    assert!(daemon.ended().await.success());
    admin
        .batch_execute(
            "insert into sicantik_notify.queue (rule_id, model, record_id, phone, template_key, context, state, last_error) \
             select r.id, 'sicantik.permit', 1, '+6281234567890', 'permit_ready', '{}', 'held', 'for the test' \
             from sicantik_notify.rule r limit 1",
        )
        .await
        .expect("a message");
}

async fn phones(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "select phone from sicantik_notify.v_queue union all select phone from sicantik_notify.v_log order by 1",
            &[],
        )
        .await
        .expect("answers");
    rows.iter().map(|r| r.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_every_view_with_masked_numbers_and_changes_nothing() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    with_messages(&office, &admin).await;
    let viewer = person(&office, &admin, "vera", "sicantik_notify_viewer").await;
    for view in VIEWS {
        viewer
            .query(&format!("select * from sicantik_notify.{view}"), &[])
            .await
            .unwrap_or_else(|e| panic!("{view}: {}", sicantik_notifyd::db::describe(&e)));
    }
    let seen = phones(&viewer).await;
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|p| p.contains("****") && p.len() == 12),
        "{seen:?}"
    );
    // Not in another column either.
    for view in VIEWS {
        let rows = viewer
            .query(&format!("select v::text from sicantik_notify.{view} v"), &[])
            .await
            .expect("answers");
        for row in rows {
            let text: String = row.get(0);
            for number in ["81234567890", "8155556666", "87755554444"] {
                assert!(!text.contains(number), "{view}: {text}");
            }
        }
    }
    may_not(
        &viewer,
        &[
            "select * from sicantik_notify.queue",
            "select * from sicantik_notify.log",
            "select * from sicantik_notify.event",
            "select * from sicantik_notify.provider_secret",
            "select * from sicantik_notify.arming",
            "select * from sicantik_notify.trigger",
            "update sicantik_notify.rule set active = true",
            "select sicantik_notify.arm('x', 'x', true)",
            "select sicantik_notify.publish_capture()",
            "select sicantik_notify.host_partner('{1}')",
            "select * from public.res_partner",
            "create table sicantik_notify.x ()",
            "set role sicantik_notify_owner",
            "set role sicantik_notify_operator",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_whole_numbers_writes_configuration_and_reads_no_secret() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    with_messages(&office, &admin).await;
    let operator = person(&office, &admin, "omar", "sicantik_notify_operator").await;
    let seen = phones(&operator).await;
    assert!(
        seen.len() == 3 && seen.iter().all(|p| p.starts_with("+62") && !p.contains('*')),
        "{seen:?}"
    );
    may(
        &operator,
        &[
            "insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('x', 'X', 'sicantik.permit', 'manual')",
            "update sicantik_notify.trigger set active = false where code = 'permit_expiring'",
            "update sicantik_notify.rule set active = true",
            "update sicantik_notify.rule set active = false",
            "insert into sicantik_notify.rule (code, name, trigger, template_key) values ('x', 'X', 'permit_expiring', 'reminder')",
            "delete from sicantik_notify.rule where code = 'notify_document_signed'",
            "update sicantik_notify.template set body = 'x {{partner_name}}' where template_key = 'permit_ready'",
            "update sicantik_notify.setting set value = 'poll' where key = 'capture_wake'",
            "update sicantik_notify.provider set active = false",
            "insert into sicantik_notify.provider_secret (provider_id, name, value) \
             select id, 'another', 'secret' from sicantik_notify.provider limit 1",
            "select provider_id, name, credential from sicantik_notify.provider_secret",
            "update sicantik_notify.provider_secret set value = 'new' where name = 'token'",
        ],
    )
    .await;
    may_not(
        &operator,
        &[
            "select value from sicantik_notify.provider_secret",
            "select * from sicantik_notify.provider_secret",
            "select 1 from sicantik_notify.provider_secret where value like 'E%'",
            "update sicantik_notify.provider_secret set value = 'x' where value like 'E%'",
            "delete from sicantik_notify.provider_secret where value like 'E%'",
            "insert into sicantik_notify.provider_secret (provider_id, name, value) select provider_id, name || '2', 'x' \
             from sicantik_notify.provider_secret returning value",
            "insert into sicantik_notify.queue (rule_id, model, record_id, phone, template_key, context) \
             values (1, 'x', 1, '+62811111111', 'x', '{}')",
            "delete from sicantik_notify.log",
            "update sicantik_notify.installation set database_uuid = 'x'",
            "insert into sicantik_notify.arming (secret_hash, label) values (repeat('0', 64), 'x')",
            "select * from public.res_users",
            "set role sicantik_notify_owner",
            "set role sicantik_notify_capture",
            "set role sicantik_notifyd",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_moves_work_and_writes_neither_configuration_nor_host() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    // What PostgreSQL 15 and later do by themselves (docs/security.md).
    admin
        .batch_execute("revoke create on schema public from public")
        .await
        .expect("revoked");
    let runtime = office.connect_as(RUNTIME).await.expect("a connection");
    may(
        &runtime,
        &[
            "select * from sicantik_notify.provider_secret",
            "delete from sicantik_notify.event",
            "select * from public.sicantik_permit",
            "select * from sicantik_notify.host_partner('{10}')",
            "select * from sicantik_notify.v_problem",
        ],
    )
    .await;
    let mut refused: Vec<String> = [
        "setting",
        "trigger",
        "rule",
        "template",
        "template_map",
        "provider",
        "provider_secret",
        "field_alias",
        "noise_column",
        "installation",
        "arming",
        "schema_history",
        "repeatable",
        "config_version",
    ]
    .iter()
    .map(|t| format!("delete from sicantik_notify.{t}"))
    .collect();
    refused.extend(
        ["sicantik_permit", "sicantik_document", "res_partner"]
            .iter()
            .flat_map(|t| {
                [
                    format!("delete from public.{t}"),
                    format!("update public.{t} set write_date = null"),
                    format!("create trigger x after insert on public.{t} execute function sicantik_notify.touch_updated_at()"),
                ]
            }),
    );
    refused.extend(
        [
            "select * from public.res_users",
            "select * from public.ir_config_parameter",
            "select * from sicantik_notify.arming",
            "delete from sicantik_notify.log",
            "update sicantik_notify.log set state = 'sent'",
            "truncate sicantik_notify.event",
            "create table sicantik_notify.x ()",
            "create table public.x ()",
            "create or replace function sicantik_notify.show_phone(text) returns text language sql as 'select null::text'",
            "create trigger x after insert on sicantik_notify.event execute function sicantik_notify.touch_updated_at()",
            "set role sicantik_notify_owner",
            "set role sicantik_notify_capture",
            &format!("set role {}", host::OWNER),
        ]
        .map(str::to_owned),
    );
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    may_not(&runtime, &refused).await;
}
