//! Nobody gets further than his role: not through the hooks, not through names, not through configuration.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "escalation/injection.rs"]
mod injection;
#[path = "escalation/names.rs"]
mod names;

use std::path::Path;

use sicantik_notifyd::db::describe;
use sicantik_notifyd::testkit::host::{self, ids};
use sicantik_notifyd::testkit::office::{Office, Plan, RUNTIME};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const OWNER: &str = "sicantik_notify_owner";
const CAPTURE: &str = "sicantik_notify_capture";

async fn open() -> (Office, Client) {
    let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let plan = Plan {
        providers: false,
        ..Plan::default()
    };
    let office = Office::open(program, &plan).await.unwrap();
    let admin = office.admin().await.unwrap();
    (office, admin)
}

/// A login that is a member of this role only.
async fn person(office: &Office, admin: &Client, name: &str, role: &str) -> Client {
    let sql = format!("create role {name} login; grant {role} to {name}");
    admin.batch_execute(&sql).await.unwrap();
    office.connect_as(name).await.unwrap()
}

/// Tries each statement in a transaction of its own; what was not refused for want of a right.
async fn not_refused(who: &str, client: &Client, statements: &[String]) -> Vec<String> {
    let mut holes = Vec::new();
    for statement in statements {
        let result = client.batch_execute(&format!("begin; {statement}")).await;
        client.batch_execute("rollback").await.unwrap();
        match result {
            Err(e) if e.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
            Err(e) => holes.push(format!("{who}: {statement}: {}", describe(&e))),
            Ok(()) => holes.push(format!("{who}: {statement}: allowed")),
        }
    }
    holes
}

async fn refused(who: &str, client: &Client, statements: &[&str]) {
    let statements: Vec<String> = statements.iter().map(|s| (*s).to_owned()).collect();
    let holes = not_refused(who, client, &statements).await;
    assert!(holes.is_empty(), "{holes:#?}");
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn texts(client: &Client, query: &str) -> Vec<String> {
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|r| r.get(0)).collect()
}

/// Writes a draft permit's status as the host does, and counts the events that came of it.
async fn captured(office: &Office, admin: &Client) -> i64 {
    admin
        .batch_execute("delete from sicantik_notify.event")
        .await
        .unwrap();
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    let write = "update public.sicantik_permit set status = case status when 'active' then 'draft' else 'active' end \
                 where id = $1";
    odoo.execute(write, &[&ids::PERMIT_DRAFT]).await.unwrap();
    number(admin, "select count(*) from sicantik_notify.event").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_or_alters_anything_of_ours() {
    let (office, admin) = open().await;
    // What PostgreSQL 15 and later do by themselves (docs/security.md).
    admin
        .batch_execute("alter role sicantik_notify_capture login; revoke create on schema public from public")
        .await
        .unwrap();
    let clients = [
        (RUNTIME, office.connect_as(RUNTIME).await.unwrap()),
        (
            "operator",
            person(&office, &admin, "omar", "sicantik_notify_operator").await,
        ),
        (
            "viewer",
            person(&office, &admin, "vera", "sicantik_notify_viewer").await,
        ),
        (host::OWNER, office.connect_as(host::OWNER).await.unwrap()),
        (CAPTURE, office.connect_as(CAPTURE).await.unwrap()),
    ];
    let mut holes = Vec::new();
    for (who, client) in &clients {
        let mut tries: Vec<String> = [
            "create function sicantik_notify.x() returns int language sql as 'select 1'",
            "create table sicantik_notify.x ()",
            "create view sicantik_notify.x as select 1",
            "create sequence sicantik_notify.x",
            "create or replace function sicantik_notify.capture_sicantik_permit() returns trigger language plpgsql \
             as 'begin return null; end'",
            "alter function sicantik_notify.capture_sicantik_permit() owner to sicantik_notify_owner",
            "alter function sicantik_notify.capture_sicantik_permit() rename to y",
            "alter function sicantik_notify.publish_capture() security invoker",
            "drop function sicantik_notify.publish_capture()",
            "create or replace function sicantik_notify.publish_capture() returns table (model text, published boolean, \
             checksum text) language sql as 'select null, false, null'",
            "alter table sicantik_notify.event add column x text",
            "alter table sicantik_notify.event disable trigger all",
            "create trigger x before insert on sicantik_notify.event for each row \
             execute function suppress_redundant_updates_trigger()",
            "create rule x as on insert to sicantik_notify.event do also select 1",
            "create policy x on sicantik_notify.event",
            "create index on sicantik_notify.event (xact)",
            "truncate sicantik_notify.event",
            "drop table sicantik_notify.event",
            "lock table sicantik_notify.installation in access exclusive mode",
            "select setval('sicantik_notify.miss', 1)",
            "select setval('sicantik_notify.event_id_seq', 1)",
            "alter sequence sicantik_notify.miss restart",
            "alter schema sicantik_notify rename to x",
            "drop schema sicantik_notify cascade",
            "set role sicantik_notify_owner",
            "set role postgres",
            "set session authorization sicantik_notify_owner",
            "alter role sicantik_notifyd superuser",
            "create role x",
            "copy public.sicantik_permit to program 'true'",
            "set session_replication_role = replica",
            "grant sicantik_notify_owner to sicantik_notify_viewer",
        ]
        .map(str::to_owned)
        .into();
        if *who != CAPTURE {
            // It owns the hooks, so that it may alter and drop them; nobody can become it.
            tries.push("alter function sicantik_notify.capture_sicantik_permit() reset all".into());
            tries.push("alter function sicantik_notify.capture_sicantik_permit() security invoker".into());
            tries.push("drop function sicantik_notify.capture_sicantik_permit() cascade".into());
            tries
                .push("grant execute on function sicantik_notify.capture_sicantik_permit() to public".into());
            tries.push(format!("set role {CAPTURE}"));
        }
        if *who != RUNTIME {
            tries.push("select * from sicantik_notify.event".into());
            tries.push("delete from sicantik_notify.event".into());
            tries.push("select sicantik_notify.publish_capture()".into());
            tries.push("select value from sicantik_notify.provider_secret".into());
            tries.push("update sicantik_notify.capture_plan set active = false".into());
        }
        if *who != host::OWNER {
            tries.push("create table public.x ()".into());
            tries.push("create function public.x() returns int language sql as 'select 1'".into());
            tries.push("create schema x".into());
            tries.push(format!("set role {}", host::OWNER));
            for table in [
                "sicantik_permit",
                "sicantik_document",
                "res_partner",
                "res_users",
                "ir_config_parameter",
            ] {
                tries.push(format!(
                    "create trigger x before update on public.{table} for each row \
                     execute function suppress_redundant_updates_trigger()"
                ));
                tries.push(format!("insert into public.{table} (id) values (-1)"));
                tries.push(format!("update public.{table} set write_date = null"));
                tries.push(format!("delete from public.{table}"));
                tries.push(format!("truncate public.{table} cascade"));
                tries.push(format!(
                    "alter table public.{table} disable trigger sicantik_notify_update"
                ));
                tries.push(format!("lock table public.{table} in row exclusive mode"));
            }
        }
        holes.extend(not_refused(who, client, &tries).await);
    }
    assert!(holes.is_empty(), "{holes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_on_event_that_would_stop_capture_are_not_for_the_daemon_or_the_hooks() {
    let (office, admin) = open().await;
    admin
        .batch_execute("alter role sicantik_notify_capture login")
        .await
        .unwrap();
    for who in [CAPTURE, host::OWNER] {
        let client = office.connect_as(who).await.unwrap();
        refused(
            who,
            &client,
            &["lock table sicantik_notify.event in access exclusive mode"],
        )
        .await;
        refused(who, &client, &["lock table sicantik_notify.event in share mode"]).await;
    }
    // A role with DELETE may take any lock (PostgreSQL): a hook does not wait for it, it counts a miss.
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    let lock = "begin; lock table sicantik_notify.event in access exclusive mode";
    if let Err(error) = runtime.batch_execute(lock).await {
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
        return;
    }
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    odoo.batch_execute(
        "set lock_timeout = '5s'; update public.sicantik_permit set status = 'revoked' where id = 1",
    )
    .await
    .unwrap();
    runtime.batch_execute("rollback").await.unwrap();
    let misses = "select case when is_called then last_value else 0 end from sicantik_notify.miss";
    assert_eq!(number(&admin, misses).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_capture_role_may_store_events_and_nothing_else() {
    let (office, admin) = open().await;
    let role = "select count(*) from pg_roles where rolname = 'sicantik_notify_capture' and not (rolcanlogin or rolsuper \
                or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)";
    assert_eq!(number(&admin, role).await, 1);
    assert_eq!(
        texts(&admin, "select g.roleid::regrole::text from pg_auth_members g where g.member = 'sicantik_notify_capture'::regrole").await,
        Vec::<String>::new()
    );
    assert_eq!(
        texts(&admin, "select r.rolname::text from pg_roles r where not r.rolsuper and r.rolname <> 'sicantik_notify_capture' \
                       and pg_has_role(r.oid, 'sicantik_notify_capture', 'member')").await,
        [OWNER]
    );
    // Every right on every relation of ours and of the host.
    let rights = texts(
        &admin,
        "select c.oid::regclass || ' ' || p.name
         from pg_class c
         cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'usage']) p (name)
         where c.relnamespace in ('sicantik_notify'::regnamespace, 'public'::regnamespace)
           and case when c.relkind = 'S' then case when p.name in ('select', 'update', 'usage')
                                              then has_sequence_privilege('sicantik_notify_capture', c.oid, p.name) end
                    when c.relkind in ('r', 'p', 'v', 'm', 'f') and p.name <> 'usage'
                    then has_table_privilege('sicantik_notify_capture', c.oid, p.name) end
         order by 1",
    )
    .await;
    assert_eq!(
        rights,
        [
            "sicantik_notify.awake select",
            "sicantik_notify.event insert",
            "sicantik_notify.event_floor select",
            "sicantik_notify.event_id_seq usage",
            "sicantik_notify.miss usage"
        ]
    );
    let columns = "select a.attrelid::regclass || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid \
                   where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 \
                   and not a.attisdropped and (has_column_privilege('sicantik_notify_capture', c.oid, a.attnum, 'select') \
                   or has_column_privilege('sicantik_notify_capture', c.oid, a.attnum, 'update'))";
    assert_eq!(texts(&admin, columns).await, Vec::<String>::new());
    // Of our functions it may call its own hooks, and every hook is its own.
    let functions = "select p.proname::text from pg_proc p where p.pronamespace = 'sicantik_notify'::regnamespace \
                     and has_function_privilege('sicantik_notify_capture', p.oid, 'execute') order by 1";
    assert_eq!(
        texts(&admin, functions).await,
        ["capture_sicantik_document", "capture_sicantik_permit"]
    );
    // As the role.
    admin
        .batch_execute("set role sicantik_notify_capture")
        .await
        .unwrap();
    admin
        .batch_execute(
            "begin; insert into sicantik_notify.event (model, record_id, op) values ('x', 1, 'U');
             select nextval('sicantik_notify.miss'); select last_value from sicantik_notify.awake; rollback",
        )
        .await
        .unwrap();
    refused(
        CAPTURE,
        &admin,
        &[
            "insert into sicantik_notify.event (model, record_id, op) values ('x', 1, 'U') returning id",
            "select nextval('sicantik_notify.awake')",
            "select setval('sicantik_notify.awake', 1)",
            "select last_value from sicantik_notify.event_id_seq",
            "select * from sicantik_notify.setting",
            "select * from sicantik_notify.capture_plan",
            "select * from sicantik_notify.v_problem",
            "select * from sicantik_notify.hook_findings()",
            "select * from public.sicantik_permit",
            "select * from public.res_users",
        ],
    )
    .await;
    drop(office);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_function_is_no_trigger_for_anybody_elses_table() {
    let (office, admin) = open().await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    // More than it ever has: with the right to see the schema.
    admin
        .batch_execute("grant usage on schema sicantik_notify to odoo")
        .await
        .unwrap();
    odoo.batch_execute("create table public.mine (like public.sicantik_permit)")
        .await
        .unwrap();
    let trigger = "after update on TABLE referencing old table as old_rows new table as new_rows for each statement \
                   execute function sicantik_notify.capture_sicantik_permit()";
    let on = |table: &str| format!("create trigger x {}", trigger.replace("TABLE", table));
    refused(
        host::OWNER,
        &odoo,
        &[&on("public.mine"), &on("public.res_partner")],
    )
    .await;
    refused(
        host::OWNER,
        &odoo,
        &["select sicantik_notify.capture_sicantik_permit()"],
    )
    .await;
    for (who, client) in [
        (RUNTIME, office.connect_as(RUNTIME).await.unwrap()),
        (
            "operator",
            person(&office, &admin, "omar", "sicantik_notify_operator").await,
        ),
        (
            "viewer",
            person(&office, &admin, "vera", "sicantik_notify_viewer").await,
        ),
    ] {
        client
            .batch_execute("create temporary table mine (id integer, status varchar)")
            .await
            .unwrap();
        refused(who, &client, &[&on("mine")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_reads_only_what_it_needs_and_writes_no_configuration() {
    let (office, admin) = open().await;
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    let mut tries: Vec<String> = [
        "setting",
        "trigger",
        "rule",
        "template",
        "template_map",
        "provider",
        "provider_secret",
        "field_alias",
        "value_alias",
        "noise_column",
        "capture_publication",
        "installation",
        "arming",
        "schema_history",
        "repeatable",
        "config_version",
    ]
    .iter()
    .flat_map(|t| {
        [
            format!("insert into sicantik_notify.{t} default values"),
            format!("delete from sicantik_notify.{t}"),
            format!("truncate sicantik_notify.{t}"),
            format!("lock table sicantik_notify.{t} in row exclusive mode"),
        ]
    })
    .collect();
    for statement in [
        "update sicantik_notify.setting set value = 'x'",
        "update sicantik_notify.rule set active = true",
        "update sicantik_notify.trigger set active = true",
        "update sicantik_notify.provider set active = false",
        "update sicantik_notify.provider_secret set value = 'x'",
        "select * from public.res_users",
        "select password from public.res_users",
        "select id from public.res_users",
        "select value from public.ir_config_parameter",
        "select * from public.ir_config_parameter",
        "select * from sicantik_notify.arming",
        "select * from pg_authid",
        "select pg_read_file('pg_hba.conf')",
    ] {
        tries.push(statement.to_owned());
    }
    let holes = not_refused(RUNTIME, &runtime, &tries).await;
    assert!(holes.is_empty(), "{holes:#?}");

    let identity = runtime
        .query_one("select * from sicantik_notify.host_identity()", &[])
        .await
        .unwrap();
    let columns: Vec<&str> = identity
        .columns()
        .iter()
        .map(tokio_postgres::Column::name)
        .collect();
    assert_eq!(
        columns,
        [
            "database_uuid",
            "neutralized",
            "system_identifier",
            "database_oid"
        ]
    );
    let _: bool = identity.get("neutralized");
    // No other table of the host than those that it was given.
    let readable = texts(
        &admin,
        "select c.relname::text from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') \
         and has_any_column_privilege('sicantik_notifyd', c.oid, 'select') \
         and (c.relname ~ 'users|config|token|key|secret|provider|mail|session|auth|api' or c.relname in ('ir_cron'))",
    )
    .await;
    assert_eq!(readable, Vec::<String>::new());
}
