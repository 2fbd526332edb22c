//! Installing, printing, verifying and removing the hooks, as a DBA does it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use sicantik_notifyd::testkit::host::{self, ids};
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};
use tokio::process::Command;
use tokio_postgres::Client;

async fn open(hooks: bool) -> (Office, Client) {
    let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let plan = Plan {
        providers: false,
        hooks,
        ..Plan::default()
    };
    let office = Office::open(program, &plan).await.unwrap();
    let admin = office.admin().await.unwrap();
    (office, admin)
}

/// Exit code and all that was printed.
async fn output(command: &mut Command) -> (i32, String) {
    let output = command.output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

async fn hooks(office: &Office, action: &str) -> (i32, String) {
    output(&mut office.command(&["hooks", action])).await
}

/// A program beside the server's, on the office's database.
async fn tool(office: &Office, url: &str, name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(office.cluster.bin_dir().join(name));
    let (code, text) = output(command.args(arguments).arg("-d").arg(url)).await;
    assert_eq!(code, 0, "{name}: {text}");
    text
}

/// The schema as a dump; without the lines that newer versions of pg_dump make up anew each time.
async fn dump(office: &Office, arguments: &[&str]) -> String {
    let mut all = vec!["--schema-only"];
    all.extend(arguments);
    let text = tool(office, &office.cluster.url(DATABASE), "pg_dump", &all).await;
    let lines = text
        .lines()
        .filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

async fn text(client: &Client, query: &str) -> String {
    let value: Option<String> = client.query_one(query, &[]).await.unwrap().get(0);
    value.unwrap_or_default()
}

/// Functions and triggers of the hooks, with their oids.
async fn standing(client: &Client) -> String {
    text(
        client,
        "select concat_ws(E'\n',
            (select string_agg(p.oid || ' ' || p.proname || ' ' || p.proowner::regrole || ' ' || p.prosrc, E'\n' order by p.proname)
             from pg_proc p where p.pronamespace = 'sicantik_notify'::regnamespace and p.prorettype = 'trigger'::regtype),
            (select string_agg(t.oid || ' ' || pg_get_triggerdef(t.oid), E'\n' order by t.oid)
             from pg_trigger t where t.tgname like 'sicantik\\_notify\\_%'))",
    )
    .await
}

/// How many events a change of a permit's status makes.
async fn captured(office: &Office, admin: &Client) -> i64 {
    admin
        .batch_execute("delete from sicantik_notify.event")
        .await
        .unwrap();
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    let write = "update public.sicantik_permit set status = case status when 'active' then 'draft' else 'active' end \
                 where id = $1";
    odoo.execute(write, &[&ids::PERMIT_DRAFT]).await.unwrap();
    let count = "select count(*) from sicantik_notify.event where model = 'sicantik.permit'";
    admin.query_one(count, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_sql_prints_installs_the_same_hooks_by_psql() {
    let (office, admin) = open(false).await;
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("sicantik_permit") && said.contains("hooks install"),
        "{said}"
    );
    assert_eq!(captured(&office, &admin).await, 0);
    let (code, script) = hooks(&office, "sql").await;
    assert_eq!(code, 0, "{script}");
    assert!(
        !standing(&admin).await.contains("capture_"),
        "to print is not to install"
    );
    let file = office.folder().join("hooks.sql");
    std::fs::write(&file, &script).unwrap();
    let arguments = ["-X", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().unwrap()];
    tool(&office, &office.cluster.url(DATABASE), "psql", &arguments).await;
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(captured(&office, &admin).await, 1);
    // `install` finds nothing to change.
    let (before, schema) = (standing(&admin).await, dump(&office, &[]).await);
    office.run(&["hooks", "install"]).await.unwrap();
    assert_eq!(standing(&admin).await, before);
    assert_eq!(dump(&office, &[]).await, schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn p11_installing_twice_is_installing_once() {
    let (office, admin) = open(true).await;
    let (before, schema) = (standing(&admin).await, dump(&office, &[]).await);
    assert!(
        before.contains("sicantik_notify_insert") && before.contains("sicantik_notify_update"),
        "{before}"
    );
    for command in [&["hooks", "install"][..], &["migrate"], &["hooks", "install"]] {
        office.run(command).await.unwrap();
        assert_eq!(standing(&admin).await, before);
        assert_eq!(dump(&office, &[]).await, schema);
    }
    let since = "select string_agg(code, ',' order by code) from sicantik_notify.v_trigger where published_at is not null";
    assert_eq!(
        text(&admin, since).await,
        "document_pending_signature,document_signed,document_uploaded,permit_state_change"
    );
}

const WAITER: &str = "select exists (select from pg_locks l where not l.granted and l.relation = 'public.sicantik_permit'::regclass)";

#[tokio::test(flavor = "multi_thread")]
async fn install_waits_out_a_lock_of_the_host() {
    let (office, admin) = open(false).await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    odoo.batch_execute("begin; update public.sicantik_permit set notes = 'x' where id = 1")
        .await
        .unwrap();
    let mut command = office.command(&["hooks", "install"]);
    let install = tokio::spawn(async move { output(&mut command).await });
    // One try has failed at least, and another one waits.
    office.until(&admin, WAITER).await.unwrap();
    office
        .until(&admin, &WAITER.replace("select exists", "select not exists"))
        .await
        .unwrap();
    office.until(&admin, WAITER).await.unwrap();
    assert!(!install.is_finished());
    odoo.batch_execute("commit").await.unwrap();
    let (code, said) = install.await.unwrap();
    assert_eq!(code, 0, "{said}");
    assert_eq!(captured(&office, &admin).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as all tries together, 45 seconds"]
async fn a_table_that_stays_locked_is_named_and_left_as_it_was() {
    let (office, admin) = open(false).await;
    let hooked = "select coalesce(string_agg(tgname, ','), '') from pg_trigger \
                  where tgrelid = 'public.sicantik_permit'::regclass and tgname like 'sicantik_notify%'";
    let before = dump(&office, &["--schema=public"]).await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    odoo.batch_execute(
        "begin; lock table public.sicantik_permit, public.sicantik_document in row exclusive mode",
    )
    .await
    .unwrap();
    let (code, said) = hooks(&office, "install").await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("locked"), "{said}");
    assert!(
        said.contains("sicantik_document") || said.contains("sicantik.document"),
        "{said}"
    );
    assert_eq!(text(&admin, hooked).await, "");
    odoo.batch_execute("rollback").await.unwrap();
    assert_eq!(dump(&office, &["--schema=public"]).await, before);
    assert_eq!(standing(&admin).await.matches("capture_sicantik").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_leaves_the_hosts_schema_as_it_was() {
    let (office, admin) = open(false).await;
    let before = dump(&office, &["--schema=public"]).await;
    for _ in 0..2 {
        office.run(&["hooks", "install"]).await.unwrap();
        assert_ne!(dump(&office, &["--schema=public"]).await, before);
        office.run(&["hooks", "remove"]).await.unwrap();
        assert_eq!(dump(&office, &["--schema=public"]).await, before);
        office.run(&["migrate"]).await.unwrap();
        assert_eq!(dump(&office, &["--schema=public"]).await, before);
        assert_eq!(captured(&office, &admin).await, 0);
        let (code, said) = hooks(&office, "verify").await;
        assert_eq!(code, 3, "{said}");
    }
    // A hook that no trigger wants any more goes too.
    office.run(&["hooks", "install"]).await.unwrap();
    admin
        .batch_execute("update sicantik_notify.trigger set active = false")
        .await
        .unwrap();
    office.run(&["migrate"]).await.unwrap();
    assert_eq!(captured(&office, &admin).await, 0);
    office.run(&["hooks", "remove"]).await.unwrap();
    assert_eq!(dump(&office, &["--schema=public"]).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_without_superuser_installs_verifies_and_removes() {
    let (office, admin) = open(false).await;
    admin
        .batch_execute("create role dba login; grant odoo, sicantik_notify_owner to dba")
        .await
        .unwrap();
    let url = office.cluster.url_as("dba", DATABASE);
    let before = dump(&office, &["--schema=public"]).await;
    for action in ["install", "verify", "install"] {
        let mut command = office.command(&["hooks", action]);
        let (code, said) = output(command.env("SICANTIK_NOTIFYD_OWNER_URL", &url)).await;
        assert_eq!(code, 0, "{action}: {said}");
    }
    assert!(
        standing(&admin)
            .await
            .contains("capture_sicantik_permit sicantik_notify_capture")
    );
    assert_eq!(captured(&office, &admin).await, 1);
    let mut command = office.command(&["hooks", "remove"]);
    let (code, said) = output(command.env("SICANTIK_NOTIFYD_OWNER_URL", &url)).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(dump(&office, &["--schema=public"]).await, before);
    // Who is not a member of the owner is told what he lacks.
    admin
        .batch_execute("revoke sicantik_notify_owner from dba")
        .await
        .unwrap();
    let mut command = office.command(&["hooks", "install"]);
    let (code, said) = output(command.env("SICANTIK_NOTIFYD_OWNER_URL", &url)).await;
    assert!(
        code != 0 && code != 3 && said.contains("permission denied"),
        "{said}"
    );
}

/// Harm, the text that the finding holds, and what mends it (`migrate`, `hooks install`, or SQL).
const HARMS: &[(&str, &str, &str)] = &[
    (
        "alter table public.sicantik_permit disable trigger sicantik_notify_update",
        "disabled",
        "remedy",
    ),
    (
        "alter table public.sicantik_permit enable replica trigger sicantik_notify_insert",
        "disabled",
        "remedy",
    ),
    (
        "alter table public.sicantik_permit disable trigger user",
        "disabled",
        "remedy",
    ),
    (
        "drop trigger sicantik_notify_insert on public.sicantik_permit",
        "missing",
        "install",
    ),
    (
        "create or replace trigger sicantik_notify_update after update on public.sicantik_permit \
      for each row execute function sicantik_notify.capture_sicantik_permit()",
        "altered",
        "install",
    ),
    (
        "create or replace trigger sicantik_notify_update after update on public.sicantik_permit referencing old table as old_rows \
      new table as new_rows for each statement when (pg_backend_pid() = 0) \
      execute function sicantik_notify.capture_sicantik_permit()",
        "altered",
        "install",
    ),
    (
        "create or replace trigger sicantik_notify_update after update on public.sicantik_permit referencing old table as old_rows \
      new table as new_rows for each statement execute function sicantik_notify.capture_sicantik_document()",
        "altered",
        "install",
    ),
    (
        "create or replace trigger sicantik_notify_update after update of status on public.sicantik_permit \
      for each statement execute function sicantik_notify.capture_sicantik_permit()",
        "altered",
        "install",
    ),
    (
        "create or replace trigger sicantik_notify_update after update on public.sicantik_permit referencing old table as o \
      new table as n for each statement execute function sicantik_notify.capture_sicantik_permit()",
        "altered",
        "install",
    ),
    (
        "do $$ begin execute replace(pg_get_functiondef('sicantik_notify.capture_sicantik_permit()'::regprocedure), 'begin', \
      'begin --'||chr(10)); end $$",
        "body",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() owner to odoo",
        "belongs to",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() owner to sicantik_notify_owner",
        "belongs to",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() security invoker",
        "altered",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() reset enable_nestloop",
        "altered",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() reset search_path",
        "altered",
        "install",
    ),
    (
        "alter function sicantik_notify.capture_sicantik_permit() set lock_timeout = '1s'",
        "altered",
        "install",
    ),
    (
        "drop function sicantik_notify.capture_sicantik_permit() cascade",
        "not captured",
        "install",
    ),
    (
        "revoke insert on sicantik_notify.event from sicantik_notify_capture",
        "lacks",
        "migrate",
    ),
    (
        "revoke usage on schema sicantik_notify from sicantik_notify_capture",
        "lacks",
        "migrate",
    ),
    (
        "revoke usage on sequence sicantik_notify.miss from sicantik_notify_capture",
        "lacks",
        "migrate",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_every_harm_and_names_what_mends_it() {
    let (office, admin) = open(true).await;
    let mut wrong = Vec::new();
    for (harm, word, remedy) in HARMS {
        admin
            .batch_execute(harm)
            .await
            .unwrap_or_else(|e| panic!("{harm}: {e}"));
        let (code, said) = hooks(&office, "verify").await;
        let table = if *remedy == "migrate" {
            "event"
        } else {
            "sicantik_permit"
        };
        if code != 3 || !said.contains(word) || !said.contains(table) || !said.contains("remedy:") {
            wrong.push(format!("{harm}: verify: {code} {said}"));
        }
        let problems = text(
            &admin,
            "select string_agg(about || ' ' || summary || ' ' || remedy, ' ') from sicantik_notify.v_problem",
        )
        .await;
        if !problems.contains(word) || !problems.contains(table) {
            wrong.push(format!("{harm}: v_problem: {problems}"));
        }
        let mended = match *remedy {
            "migrate" => output(&mut office.command(&["migrate"])).await,
            "install" => hooks(&office, "install").await,
            _ => {
                // The remedy is a statement, printed as it is to be run.
                for line in said.lines().filter_map(|l| l.trim().strip_prefix("remedy: ")) {
                    if let Err(error) = admin.batch_execute(line).await {
                        wrong.push(format!("{harm}: remedy {line}: {error}"));
                    }
                }
                (0, String::new())
            }
        };
        let (code, now) = hooks(&office, "verify").await;
        if code != 0 || mended.0 != 0 {
            wrong.push(format!(
                "{harm}: after mending: {} {}\n{code} {now}",
                mended.0, mended.1
            ));
        }
        let events = captured(&office, &admin).await;
        if events != 1 {
            wrong.push(format!("{harm}: {events} events after mending"));
            // The next harm meets whole hooks again.
            hooks(&office, "remove").await;
            hooks(&office, "install").await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn install_mends_what_can_be_mended_with_no_other_help() {
    let (office, admin) = open(true).await;
    admin
        .batch_execute("alter table public.sicantik_permit disable trigger sicantik_notify_update")
        .await
        .unwrap();
    let (code, said) = hooks(&office, "install").await;
    assert_eq!(
        code, 0,
        "a disabled trigger is not mended by `hooks install`: {said}"
    );
    assert_eq!(captured(&office, &admin).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_gone_and_a_plan_that_is_stale_are_found() {
    let (office, admin) = open(true).await;
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    odoo.batch_execute("alter table public.sicantik_permit rename status to condition")
        .await
        .unwrap();
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("no column status") && said.contains("sicantik_permit") && said.contains("field_alias"),
        "{said}"
    );
    odoo.batch_execute("alter table public.sicantik_permit rename condition to status")
        .await
        .unwrap();
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 0, "{said}");
    // A plan that was stored and not yet published.
    admin
        .batch_execute("update sicantik_notify.capture_plan set watched = watched || '{received_date}' where model = 'sicantik.permit'")
        .await
        .unwrap();
    let (code, said) = hooks(&office, "verify").await;
    assert!(
        code == 3 && said.contains("older than its plan") && said.contains("publish_capture"),
        "{code} {said}"
    );
    let problem = "select string_agg(summary, ' ') from sicantik_notify.v_problem";
    assert!(text(&admin, problem).await.contains("older than its plan"));
    office.run(&["migrate"]).await.unwrap();
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_trigger_does_not_hold_before_it_is_published() {
    let (office, admin) = open(true).await;
    let published = "select published_at::text from sicantik_notify.v_trigger where code = 'permit_issued'";
    assert_eq!(text(&admin, published).await, "");
    admin
        .batch_execute("update sicantik_notify.trigger set active = true where code = 'permit_issued'")
        .await
        .unwrap();
    let mut wrong = Vec::new();
    let since = text(&admin, published).await;
    if !since.is_empty() {
        wrong.push(format!(
            "v_trigger shows a publication older than the trigger: {since}"
        ));
    }
    let (code, said) = hooks(&office, "verify").await;
    if code != 3 || !said.contains("sicantik_permit") {
        wrong.push(format!("hooks verify: {code} {said}"));
    }
    office.run(&["migrate"]).await.unwrap();
    assert_ne!(text(&admin, published).await, "");
    let (code, said) = hooks(&office, "verify").await;
    assert_eq!(code, 0, "{said}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
