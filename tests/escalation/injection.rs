//! Text that somebody may write is text, never a statement; a plan captures no secret of the host.

use sicantik_notifyd::db::describe;
use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::{captured, number, open, person, texts};

/// Texts that would do something if they were ever run as SQL. `canary` belongs to the owner of our functions.
const HOSTILE: &[&str] = &[
    "status\"; drop table public.canary; --",
    "$$; drop table public.canary; $$",
    "'; drop table public.canary; --",
    "$capture$; drop table public.canary; --",
    "$text$; drop table public.canary; --",
    "'); end; drop table public.canary; --",
    "a''b\\'; drop table public.canary; --",
    "%s%I%1$s%L%%",
    "\n*/ drop table public.canary; --\n",
];

async fn canary(admin: &Client) {
    admin
        .batch_execute(
            "create table public.canary (); alter table public.canary owner to sicantik_notify_owner",
        )
        .await
        .unwrap();
}

async fn canary_lives(admin: &Client) -> bool {
    number(
        admin,
        "select count(*) from pg_class where oid = to_regclass('public.canary')",
    )
    .await
        == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_a_plan_are_names_whatever_they_hold() {
    let (office, admin) = open().await;
    canary(&admin).await;
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    let publish = "select model from sicantik_notify.publish_capture()";
    // Columns that do not exist.
    for column in ["watched", "read"] {
        let plant = format!(
            "update sicantik_notify.capture_plan set {column} = {column} || $1::text[] where model = 'sicantik.permit'"
        );
        runtime.execute(&plant, &[&HOSTILE]).await.unwrap();
        runtime.query(publish, &[]).await.unwrap();
        assert!(canary_lives(&admin).await);
        assert_eq!(captured(&office, &admin).await, 1);
    }
    // Columns that the host made with such names.
    let odoo = office.connect_as(host::OWNER).await.unwrap();
    for name in HOSTILE {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        odoo.batch_execute(&format!(
            "alter table public.sicantik_permit add column {quoted} varchar"
        ))
        .await
        .unwrap();
    }
    for shape in ["statement", "row"] {
        admin
            .execute(
                "update sicantik_notify.capture_plan set shape = $1 where model = 'sicantik.permit'",
                &[&shape],
            )
            .await
            .unwrap();
        office.run(&["hooks", "install"]).await.unwrap();
        runtime
            .execute("update sicantik_notify.capture_plan set watched = watched || $1::text[] where model = 'sicantik.permit'", &[&HOSTILE])
            .await
            .unwrap();
        runtime.query(publish, &[]).await.unwrap();
        for name in HOSTILE {
            let quoted = format!("\"{}\"", name.replace('"', "\"\""));
            admin
                .batch_execute("delete from sicantik_notify.event")
                .await
                .unwrap();
            odoo.execute(
                &format!("update public.sicantik_permit set {quoted} = 'x{shape}' where id = 1"),
                &[],
            )
            .await
            .unwrap();
            if name.contains(char::is_control) {
                // The generated text is laid out by lines: such a column is left out, and nothing of it is run.
                assert_eq!(captured_now(&admin).await, 0, "{shape}: {name:?}");
                continue;
            }
            let event = "select changed from sicantik_notify.event";
            let changed: Vec<String> = admin.query_one(event, &[]).await.expect(name).get(0);
            assert_eq!(changed, [*name], "{shape}");
        }
    }
    // A model.
    for name in HOSTILE {
        let rename =
            "update sicantik_notify.capture_plan set model = $1 where table_name = 'sicantik_permit'";
        match runtime.execute(rename, &[name]).await {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.code(), Some(&SqlState::CHECK_VIOLATION), "{}", describe(&e));
                continue;
            }
        }
        runtime.query(publish, &[]).await.unwrap();
        assert_eq!(captured(&office, &admin).await, 1, "{name}");
        assert_eq!(
            texts(&admin, "select model from sicantik_notify.event").await,
            [*name]
        );
    }
    // A table.
    for name in HOSTILE
        .iter()
        .chain(&["Public", "public.res_users", "sicantik_permit\n", ""])
    {
        let plant = "insert into sicantik_notify.capture_plan (model, table_name) values ('x', $1)";
        let error = runtime.execute(plant, &[name]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{name:?}");
    }
    assert!(canary_lives(&admin).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_operators_write_is_a_problem_at_most() {
    let (office, admin) = open().await;
    canary(&admin).await;
    let operator = person(&office, &admin, "omar", "sicantik_notify_operator").await;
    for text in HOSTILE {
        for statement in [
            "insert into sicantik_notify.field_alias values ('sicantik.permit', $1, 'status') on conflict do nothing",
            "insert into sicantik_notify.field_alias values ('sicantik.permit', 'f' || md5($1), $1)",
            "insert into sicantik_notify.value_alias values ('sicantik.permit', 'status', $1, $1)",
            "insert into sicantik_notify.noise_column values ('sicantik.permit', $1)",
            "update sicantik_notify.trigger set state_to = $1 where code = 'document_signed'",
            "update sicantik_notify.trigger set state_field = $1 where code = 'document_uploaded'",
            "update sicantik_notify.trigger set condition_domain = '[(''status'', ''='', ''' || $1 || ''')]' \
             where code = 'permit_state_change'",
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch) \
             values ('t' || md5($1), $1, 'sicantik.permit', 'on_field_change', $1)",
            "insert into sicantik_notify.trigger (code, name, model, trigger_type) \
             values ('w' || md5($1), $1, 'sicantik.permit', 'on_write')",
        ] {
            operator
                .execute(statement, &[text])
                .await
                .unwrap_or_else(|e| panic!("{statement}: {}", describe(&e)));
        }
        for command in [&["migrate"][..], &["hooks", "install"], &["hooks", "verify"]] {
            office.run(command).await.unwrap();
        }
        assert!(canary_lives(&admin).await, "{text}");
    }
    operator
        .batch_execute("update sicantik_notify.trigger set condition_domain = null")
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    assert_eq!(captured(&office, &admin).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_without_sense_stops_no_hook_and_is_named() {
    let (office, admin) = open().await;
    canary(&admin).await;
    let operator = person(&office, &admin, "omar", "sicantik_notify_operator").await;
    let keys = [
        "capture_wake",
        "capture_max_backlog_age",
        "capture_max_backlog_bytes",
    ];
    let mut silent = Vec::new();
    for key in keys {
        let before = texts(
            &admin,
            &format!("select value from sicantik_notify.setting where key = '{key}'"),
        )
        .await;
        for value in HOSTILE[2..4].iter().chain(&["", "NaN", "1e300", "-1"]) {
            let set = "update sicantik_notify.setting set value = $2 where key = $1";
            if operator.execute(set, &[&key, value]).await.is_err() {
                continue; // refused at once: as good
            }
            let output = office.command(&["hooks", "install"]).output().await.unwrap();
            assert!(canary_lives(&admin).await, "{key} = {value}");
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            if !output.status.success() && !said.contains(key) {
                silent.push(format!("{key} = {value:?}: {}", said.trim()));
            }
            if captured(&office, &admin).await != 1 {
                silent.push(format!(
                    "{key} = {value:?}: nothing is captured; said {}",
                    said.trim()
                ));
            }
            operator.execute(set, &[&key, &before[0]]).await.unwrap();
        }
        office.run(&["hooks", "install"]).await.unwrap();
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// What an Odoo user must never find in an event.
const LEAK: &str = "select count(*) from sicantik_notify.event e where e::text like '%verysecret%'";
const SECRETS: &str = "update public.res_users set password = coalesce(password, '') || 'verysecret', totp_secret = 'verysecret'; \
                       update public.ir_config_parameter set value = 'verysecret' where key = 'database.secret'";

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_trigger_captures_no_secret_of_the_host() {
    let (office, admin) = open().await;
    let operator = person(&office, &admin, "omar", "sicantik_notify_operator").await;
    operator
        .batch_execute(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch) values \
             ('p', 'P', 'res.users', 'on_field_change', 'password'), ('q', 'Q', 'res.users', 'on_field_change', 'totp_secret'), \
             ('v', 'V', 'ir.config_parameter', 'on_field_change', 'value')",
        )
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    admin.batch_execute(SECRETS).await.unwrap();
    assert_eq!(number(&admin, LEAK).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_the_daemons_role_turned_to_another_table_captures_nothing_there() {
    let (office, admin) = open().await;
    let runtime = office.connect_as(RUNTIME).await.unwrap();
    let turn =
        "update sicantik_notify.capture_plan set table_name = 'res_users' where model = 'sicantik.permit'";
    let plant = "insert into sicantik_notify.capture_plan (model, table_name, watched) \
                 values ('ir.config_parameter', 'ir_config_parameter', '{value}')";
    for statement in [turn, plant] {
        // To be refused is as good.
        let _ = runtime.batch_execute(statement).await;
    }
    // The DBA's next installation, and then the columns.
    let _ = office.run(&["hooks", "install"]).await;
    for (table, columns) in [
        ("res_users", "{password,totp_secret}"),
        ("ir_config_parameter", "{value}"),
    ] {
        let watch = format!(
            "update sicantik_notify.capture_plan set active = true, watched = '{columns}', read = '{{}}' where table_name = '{table}'"
        );
        let _ = runtime.batch_execute(&watch).await;
    }
    let _ = runtime
        .query("select * from sicantik_notify.publish_capture()", &[])
        .await;
    admin.batch_execute(SECRETS).await.unwrap();
    assert_eq!(number(&admin, LEAK).await, 0);
    // And the permit's own hook goes on.
    assert_eq!(captured(&office, &admin).await, 1);
}

async fn captured_now(admin: &tokio_postgres::Client) -> i64 {
    admin
        .query_one("select count(*) from sicantik_notify.event", &[])
        .await
        .unwrap()
        .get(0)
}
