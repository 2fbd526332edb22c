//! Names and types that the host makes redirect nothing that runs with more rights than its own; publishing is orderly.

use std::sync::Arc;

use sicantik_notifyd::db::describe;
use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use tokio_postgres::Client;

use crate::{captured, number, open, person, texts};

/// A trap that records as whom it ran, and may be called by everybody.
async fn lay_traps(odoo: &Client) {
    odoo.batch_execute(
        "create table public.caught (trap text, ran_as text);
         grant insert, select on public.caught to public;
         create function public.spring(trap text) returns void language plpgsql volatile as $$
         begin
             insert into public.caught values (trap, current_user);
         end $$;
         grant execute on function public.spring(text) to public;",
    )
    .await
    .unwrap();
}

/// Whom the traps caught, apart from the host itself and the capture role (which may do nothing with it).
async fn caught(admin: &Client) -> Vec<String> {
    let query = "select distinct trap || ' ran as ' || ran_as from public.caught \
                 where ran_as not in ('odoo', 'sicantik_notify_capture') order by 1";
    texts(admin, query).await
}

/// Functions and operators of the host that fit a call better than those of pg_catalog, or stand before them.
async fn lay_shadows(odoo: &Client) {
    for (name, arguments, result) in [
        ("nextval", "text", "bigint"),
        ("setval", "text, bigint", "bigint"),
        ("setval", "regclass, bigint", "bigint"),
        ("hashtextextended", "text, integer", "bigint"),
        ("hashtextextended", "text, bigint", "bigint"),
        ("pg_advisory_xact_lock", "bigint", "void"),
        ("md5", "text", "text"),
        ("md5", "varchar", "text"),
        ("clock_timestamp", "", "timestamptz"),
        ("current_setting", "text, boolean", "text"),
        ("set_config", "text, text, boolean", "text"),
        ("pg_notify", "text, text", "void"),
        ("pg_relation_size", "regclass", "bigint"),
        ("pg_relation_size", "oid", "bigint"),
        ("array_remove", "text[], unknown", "text[]"),
        ("array_remove", "text[], text", "text[]"),
        ("jsonb_build_object", "text, varchar", "jsonb"),
        ("jsonb_build_object", "variadic text[]", "jsonb"),
        ("format", "text, text", "text"),
        ("format", "text, varchar", "text"),
        ("to_regclass", "varchar", "regclass"),
        ("quote_ident", "varchar", "text"),
        ("current_database", "", "name"),
    ] {
        // Some of these cannot be made (a pseudo-type): those are no danger.
        let sql = format!(
            "create function public.{name}({arguments}) returns {result} language plpgsql volatile as $$
             begin perform public.spring('{name}({arguments})'); return {value}; end $$",
            value = if result == "void" {
                String::new()
            } else {
                format!("null::{result}")
            },
        );
        let _ = odoo.batch_execute(&sql).await;
    }
    for (operator, left, right, result) in [
        ("*", "numeric", "integer", "numeric"),
        ("-", "bigint", "integer", "bigint"),
        (">", "bigint", "numeric", "boolean"),
        ("=", "varchar", "varchar", "boolean"),
        ("=", "name", "name", "boolean"),
        ("=", "oid", "integer", "boolean"),
        ("<>", "varchar", "varchar", "boolean"),
        ("||", "text", "name", "text"),
        ("||", "text", "varchar", "text"),
        ("=", "text", "name", "boolean"),
    ] {
        let number = format!("{operator} ({left}, {right})");
        let function = format!("public.\"shadow {number}\"");
        odoo.batch_execute(&format!(
            "create function {function}({left}, {right}) returns {result} language plpgsql volatile as $$
             begin perform public.spring('operator {number}'); return null::{result}; end $$;
             create operator public.{operator} (leftarg = {left}, rightarg = {right}, function = {function})"
        ))
        .await
        .unwrap_or_else(|e| panic!("{number}: {}", describe(&e)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_host_do_not_stand_in_for_those_that_hooks_use() {
    let (office, admin) = open().await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    lay_traps(&odoo).await;
    lay_shadows(&odoo).await;
    odoo.batch_execute(
        "create temporary table event (like public.sicantik_permit); create temporary table new_rows (id integer);
         create temporary table old_rows (id integer); create temporary table awake (last_value bigint);
         create temporary table pg_database (oid oid, datname name);
         set search_path = pg_temp, public, pg_catalog;
         update public.sicantik_permit set status = 'active' where id = 6",
    )
    .await
    .unwrap();
    let inserted = "select count(*) from sicantik_notify.event where record_id = 6 and changed = '{status}'";
    assert_eq!(number(&admin, inserted).await, 1);
    assert_eq!(caught(&admin).await, Vec::<String>::new());
    // The same for what the daemon's role and viewers call.
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    runtime
        .batch_execute("update sicantik_notify.capture_plan set watched = watched || '{notes}'; set search_path = public, pg_catalog")
        .await
        .unwrap();
    for call in [
        "publish_capture()",
        "hook_findings()",
        "host_identity()",
        "v_problem",
        "v_queue",
    ] {
        runtime
            .query(&format!("select * from sicantik_notify.{call}"), &[])
            .await
            .unwrap();
    }
    let by_definer =
        "select distinct trap || ' ran as ' || ran_as from public.caught where ran_as <> 'sicantik_notifyd'";
    assert_eq!(texts(&admin, by_definer).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_host_do_not_stand_in_for_those_that_the_dba_uses() {
    let (office, admin) = open().await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    lay_traps(&odoo).await;
    lay_shadows(&odoo).await;
    let mut holes = Vec::new();
    for command in [
        &["migrate"][..],
        &["hooks", "install"],
        &["hooks", "verify"],
        &["hooks", "remove"],
        &["hooks", "install"],
        &["status"],
    ] {
        let result = office.run(command).await;
        for hole in caught(&admin).await {
            holes.push(format!("{}: {hole}", command.join(" ")));
        }
        if let Err(error) = result {
            holes.push(format!("{}: {error}", command.join(" ")));
        }
        admin.batch_execute("delete from public.caught").await.unwrap();
    }
    // What `hooks sql` printed, in a DBA's own psql.
    let script = office.folder().join("hooks.sql");
    std::fs::write(&script, office.run(&["hooks", "sql"]).await.unwrap()).unwrap();
    let output = tokio::process::Command::new(office.cluster.bin_dir().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
        .arg(office.cluster.url(DATABASE))
        .arg("-f")
        .arg(&script)
        .output()
        .await
        .unwrap();
    if !output.status.success() {
        holes.push(format!("psql: {}", String::from_utf8_lossy(&output.stderr)));
    }
    holes.extend(caught(&admin).await.iter().map(|hole| format!("psql: {hole}")));
    assert!(holes.is_empty(), "{holes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_the_host_runs_nothing_as_owner_or_dba() {
    let (office, admin) = open().await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    lay_traps(&odoo).await;
    // A domain's check is a function of the host's, and is asked for nulls too.
    odoo.batch_execute(
        "create function public.lure(varchar) returns boolean language plpgsql volatile as $$
         begin perform public.spring('check of a domain'); return true; end $$;
         create domain public.lured as varchar check (public.lure(value));
         alter table public.sicantik_permit alter column status type public.lured",
    )
    .await
    .unwrap();
    let mut holes = Vec::new();
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    let viewer = person(&office, &admin, "vera", "sicantik_notify_viewer").await;
    for (who, client, call) in [
        ("daemon", &runtime, "publish_capture()"),
        ("daemon", &runtime, "hook_findings()"),
        ("viewer", &viewer, "v_problem"),
    ] {
        client
            .query(&format!("select * from sicantik_notify.{call}"), &[])
            .await
            .unwrap();
        holes.extend(
            caught(&admin)
                .await
                .iter()
                .map(|hole| format!("{who}, {call}: {hole}")),
        );
        admin.batch_execute("delete from public.caught").await.unwrap();
    }
    for command in [["hooks", "sql"], ["hooks", "install"], ["hooks", "verify"]] {
        office.run(&command).await.unwrap();
        holes.extend(
            caught(&admin)
                .await
                .iter()
                .map(|hole| format!("{}: {hole}", command.join(" "))),
        );
        admin.batch_execute("delete from public.caught").await.unwrap();
    }
    assert_eq!(captured(&office, &admin).await, 1);
    holes.extend(caught(&admin).await.iter().map(|hole| format!("a write: {hole}")));
    assert!(holes.is_empty(), "{holes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_eight_publish_at_once_and_only_what_changed() {
    let (office, admin) = open().await;
    let standing = "select string_agg(oid || ' ' || proname || ' ' || proowner::regrole, ', ' order by proname) from pg_proc \
                    where pronamespace = 'sicantik_notify'::regnamespace and proname like 'capture\\_sicantik%'";
    let history = "select count(*) from sicantik_notify.capture_publication";
    let before = texts(&admin, standing).await;
    assert_eq!(
        before[0].matches("sicantik_notify_capture").count(),
        2,
        "{before:?}"
    );
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Arc::new(office.connect_as(RUNTIME).await.unwrap()));
    }
    let call = "select count(*) filter (where published) from sicantik_notify.publish_capture()";
    number(&clients[0], call).await;
    for round in 0..20 {
        let rows = number(&admin, history).await;
        let changed = if round % 2 == 0 {
            "array_append(watched, 'notes')"
        } else {
            "array_remove(watched, 'notes')"
        };
        admin
            .batch_execute(&format!(
                "update sicantik_notify.capture_plan set watched = {changed} where model = 'sicantik.permit'"
            ))
            .await
            .unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for client in &clients {
            let client = Arc::clone(client);
            calls.spawn(async move { client.query_one(call, &[]).await.map(|row| row.get::<_, i64>(0)) });
        }
        let mut published = 0;
        while let Some(done) = calls.join_next().await {
            published += done
                .unwrap()
                .unwrap_or_else(|e| panic!("round {round}: {}", describe(&e)));
        }
        assert_eq!(published, 1, "round {round}");
        assert_eq!(number(&admin, history).await, rows + 1);
        // Nothing changed since.
        assert_eq!(number(&clients[round % 8], call).await, 0);
        assert_eq!(number(&admin, history).await, rows + 1);
    }
    assert_eq!(texts(&admin, standing).await, before);
    assert_eq!(captured(&office, &admin).await, 1);
}
