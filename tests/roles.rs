//! Every view and every function of the schema, every table of the host and every secret, as each role: what is not written down here fails.
//! And every command of an operator with nothing but the operator's own URL.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;
#[path = "roles/functions.rs"]
mod functions;

use desk::{Desk, desk};
use functions::{FUNCTIONS, SETUP};
use sicantik_notifyd::config::{ENV_OPERATOR_URL, ENV_OWNER_URL, ENV_URL};
use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::office::{DATABASE, RUNTIME};
use tokio_postgres::Client;

/// Views that the daemon, operators and (but for [`WHOLE`]) viewers read; everybody else reads none.
const VIEWS: &[&str] = &[
    "queue_waits",
    "receipt_furthest",
    "receipt_given_up",
    "v_api_token",
    "v_attempt",
    "v_blacklist",
    "v_campaign",
    "v_campaign_progress",
    "v_campaign_skipped",
    "v_capture",
    "v_cron_job",
    "v_cron_run",
    "v_daily",
    "v_daily_campaign",
    "v_daily_provider",
    "v_daily_rule",
    "v_daily_skipped",
    "v_daily_template",
    "v_decision",
    "v_event",
    "v_failover",
    "v_firing",
    "v_instance",
    "v_log",
    "v_problem",
    "v_provider",
    "v_queue",
    "v_queue_summary",
    "v_receipt",
    "v_rule",
    "v_template",
    "v_trigger",
];

/// Values of permit_ready.
const CONTEXT: &str =
    r#"{"partner_name": "Budi", "permit_number": "503/7", "permit_type": "SIP", "status": "Aktif"}"#;

/// Views that carry whole values: not for viewers.
const WHOLE: &[&str] = &["v_event"];

const REFUSED: &str = "42501";

struct Role {
    letter: char,
    client: Client,
}

/// Owner, daemon, operator, viewer, and somebody with a login and no more.
async fn roles(desk: &Desk) -> Vec<Role> {
    desk.sql(
        "create role omar login; grant sicantik_notify_operator to omar;
         create role vera login; grant sicantik_notify_viewer to vera;
         create role sam login",
    )
    .await;
    let owner = desk.office.admin().await.unwrap();
    owner
        .batch_execute("set role sicantik_notify_owner")
        .await
        .unwrap();
    let mut all = vec![Role {
        letter: 'o',
        client: owner,
    }];
    for (letter, name) in [('d', RUNTIME), ('p', "omar"), ('v', "vera"), ('s', "sam")] {
        let client = desk.office.connect_as(name).await.unwrap();
        all.push(Role { letter, client });
    }
    all
}

/// The SQLSTATE of a statement that is rolled back; empty where it succeeds.
async fn outcome(client: &Client, statement: &str) -> String {
    client.batch_execute("begin").await.unwrap();
    let result = client.query(statement, &[]).await;
    client.batch_execute("rollback").await.unwrap();
    match result {
        Ok(_) => String::new(),
        Err(error) => error
            .code()
            .map_or_else(|| error.to_string(), |c| c.code().to_owned()),
    }
}

async fn names(desk: &Desk, query: &str) -> Vec<String> {
    desk.admin
        .query(query, &[])
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_shows_what_its_readers_may_see_and_nothing_to_others() {
    let desk = desk().await;
    desk.sql(SETUP).await;
    // A row that waits for quiet hours asks further functions.
    desk.sql("update sicantik_notify.rule set send_window = '00:00-00:01'; update sicantik_notify.queue set ready = false")
        .await;
    let views = names(
        &desk,
        "select c.relname::text from pg_class c where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('v', 'm') order by 1",
    )
    .await;
    assert_eq!(
        views, VIEWS,
        "a new view needs its line here, and its right in grants.sql"
    );
    let mut wrong = Vec::new();
    for role in roles(&desk).await {
        for view in VIEWS {
            let refused = role.letter == 's' || (role.letter == 'v' && WHOLE.contains(view));
            let expected = if refused { REFUSED } else { "" };
            let got = outcome(&role.client, &format!("select * from sicantik_notify.{view}")).await;
            if got != expected {
                wrong.push(format!(
                    "{view} as {}: {got:?} instead of {expected:?}",
                    role.letter
                ));
            }
            if role.letter != 'v' || refused {
                continue;
            }
            // No whole number in any column.
            let rows = role
                .client
                .query(&format!("select v::text from sicantik_notify.{view} v"), &[])
                .await
                .unwrap();
            for row in rows {
                let text: String = row.get(0);
                if text.contains("813000099") {
                    wrong.push(format!("{view} shows a viewer a number: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let shown = "select string_agg(distinct phone, ',') from sicantik_notify.v_log";
    let vera = desk.office.connect_as("vera").await.unwrap();
    let masked: String = vera.query_one(shown, &[]).await.unwrap().get(0);
    assert_eq!(masked, "+6281****999");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_function_works_for_those_who_may_call_it_and_refuses_others() {
    let desk = desk().await;
    desk.sql(SETUP).await;
    let known = names(
        &desk,
        "select replace(p.oid::regprocedure::text, 'sicantik_notify.', '') from pg_proc p
         where p.pronamespace = 'sicantik_notify'::regnamespace and p.prorettype <> 'trigger'::regtype order by p.oid::regprocedure::text",
    )
    .await;
    let mut wrong: Vec<String> = known
        .iter()
        .filter(|k| !FUNCTIONS.iter().any(|f| f.0 == k.as_str()))
        .map(|k| format!("{k} has no entry in tests/roles/functions.rs"))
        .collect();
    for (function, call, who, state) in FUNCTIONS {
        if !known.iter().any(|k| k == function) {
            wrong.push(format!(
                "there is no function {function}, called as {call} for {who:?} ({state:?})"
            ));
        }
    }
    for role in roles(&desk).await {
        for (function, call, who, state) in FUNCTIONS {
            let may = role.letter == 'o' || who.contains(role.letter);
            // What the owner lacks of the host is no matter of these rights.
            let expected = if may { *state } else { REFUSED };
            let got = outcome(&role.client, &format!("select sicantik_notify.{call}")).await;
            if got != expected {
                wrong.push(format!(
                    "{function} as {}: {got:?} instead of {expected:?}",
                    role.letter
                ));
            }
        }
    }
    // Those behind triggers are called by nobody.
    let callable = "select r.role || ' calls ' || p.oid::regprocedure::text from pg_proc p,
                    (values ('sicantik_notifyd'), ('sicantik_notify_operator'), ('sicantik_notify_viewer'), ('sam')) r (role)
                    where p.pronamespace = 'sicantik_notify'::regnamespace and p.prorettype = 'trigger'::regtype
                      and has_function_privilege(r.role, p.oid, 'execute') order by 1";
    wrong.extend(names(&desk, callable).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_ours_writes_a_table_of_the_host() {
    let desk = desk().await;
    let tables = names(
        &desk,
        "select c.oid::regclass::text from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1",
    )
    .await;
    assert!(tables.len() > 20, "{tables:?}");
    let mut wrong = Vec::new();
    for role in roles(&desk).await {
        for table in &tables {
            for statement in [
                format!("update public.{table} set id = id where false"),
                format!("delete from public.{table} where false"),
                format!("insert into public.{table} default values"),
                format!("truncate public.{table}"),
            ] {
                let got = outcome(&role.client, &statement).await;
                // A relation between two models has no id.
                if got != REFUSED && got != "42703" {
                    wrong.push(format!("{statement} as {}: {got:?}", role.letter));
                }
            }
        }
    }
    let rights = "select r.role || ' on ' || c.relname from pg_class c,
                  (values ('sicantik_notifyd'), ('sicantik_notify_operator'), ('sicantik_notify_viewer'), ('sicantik_notify_capture')) r (role)
                  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                    and has_table_privilege(r.role, c.oid, 'insert, update, delete, truncate, references, trigger') order by 1";
    wrong.extend(names(&desk, rights).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_read_by_the_daemon_alone() {
    let desk = desk().await;
    let secrets = [
        Gateway::META_TOKEN,
        Gateway::FONNTE_TOKEN,
        Gateway::WATZAP_API_KEY,
        Gateway::WATZAP_NUMBER_KEY,
    ];
    let relations = names(
        &desk,
        "select c.oid::regclass::text from pg_class c
         where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') order by 1",
    )
    .await;
    for role in roles(&desk).await.iter().filter(|r| r.letter != 'o') {
        let mut seen = Vec::new();
        for relation in &relations {
            let columns = names(
                &desk,
                &format!(
                    "select quote_ident(a.attname) from pg_attribute a where a.attrelid = '{relation}'::regclass and a.attnum > 0 \
                     and not a.attisdropped order by a.attnum"
                ),
            )
            .await;
            for column in columns {
                let query = format!("select t.{column}::text from {relation} t");
                let rows = role.client.query(&query, &[]).await.unwrap_or_default();
                for row in rows {
                    let text: Option<String> = row.get(0);
                    if secrets
                        .iter()
                        .any(|s| text.as_deref().is_some_and(|t| t.contains(s)))
                    {
                        seen.push(format!("{relation}.{column}"));
                    }
                }
            }
        }
        seen.dedup();
        let expected: &[&str] = if role.letter == 'd' {
            &["sicantik_notify.provider_secret.value"]
        } else {
            &[]
        };
        assert_eq!(seen, expected, "as {}", role.letter);
    }
}

/// A command with the operator's URL and no other: exit code and all it printed.
async fn operator(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let output = desk
        .office
        .command(arguments)
        .env_remove(ENV_URL)
        .env_remove(ENV_OWNER_URL)
        .env(ENV_OPERATOR_URL, desk.office.cluster.url_as("marta", DATABASE))
        .env("SUDO_USER", "marta")
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_an_operator_works_with_the_operators_own_role_and_names_the_person() {
    let desk = desk().await;
    desk.sql(SETUP).await;
    desk.sql("delete from sicantik_notify.campaign; create role marta login; grant sicantik_notify_operator to marta")
        .await;
    let file = desk.office.folder().join("rules.toml");
    std::fs::write(&file, "[settings]\ncontact_info = \"DPMPTSP Kota\"\n").unwrap();
    let file = file.to_str().unwrap();
    let record = "sicantik.permit,1";
    let domain = "[('status', '=', 'active')]";
    for (arguments, code) in [
        (&["status"][..], 3),
        (&["explain", "--record", record], 0),
        (&["explain", "--message", "900002"], 0),
        (&["check"], 0),
        (&["export"], 0),
        (&["apply", "-f", file], 0),
        (
            &[
                "send",
                "--rule",
                "by_hand",
                "--to",
                "081300007777",
                "--context",
                CONTEXT,
                "--dry-run",
            ],
            0,
        ),
        (
            &[
                "send",
                "--rule",
                "by_hand",
                "--to",
                "081300007777",
                "--context",
                CONTEXT,
                "--wait",
                "0",
            ],
            3,
        ),
        (&["queue", "list"], 0),
        (&["queue", "cancel", "900001", "--yes"], 0),
        (&["blacklist", "list"], 0),
        (&["template", "list"], 0),
        (&["template", "preview", "permit_ready"], 0),
        (&["template", "lint"], 0),
        (&["cron", "list"], 0),
        (&["cron", "log"], 0),
        (&["cron", "disable", "process_queue"], 0),
        (&["cron", "enable", "process_queue"], 0),
        (&["cron", "retime", "process_queue", "2 minutes"], 0),
        (&["cron", "run", "process_queue", "--wait", "0"], 3),
        (
            &[
                "campaign", "create", "Lebaran", "--rule", "by_hand", "--code", "lebaran", "--domain", domain,
            ],
            0,
        ),
        (&["campaign", "list"], 0),
        (&["campaign", "show", "lebaran"], 0),
        (&["campaign", "dry-run", "lebaran"], 0),
        (&["campaign", "start", "lebaran"], 0),
        (&["campaign", "pause", "lebaran"], 0),
        (&["campaign", "watch", "lebaran"], 3),
        (&["campaign", "resume", "lebaran"], 0),
        (&["campaign", "cancel", "lebaran"], 0),
        (&["domain", "--model", "sicantik.permit", domain], 0),
        (&["fire", "by_hand", "--ids", "1,2"], 0),
        (&["fire", "by_hand", "--domain", domain], 0),
        (&["simulate", "--rule", "by_hand", "--ids", "1"], 0),
        (&["simulate", "--trigger", "permit_state_change"], 0),
        (
            &[
                "backfill",
                "--since",
                "2020-01-01",
                "--model",
                "sicantik.permit",
                "--yes",
            ],
            0,
        ),
        (&["token", "list"], 0),
    ] {
        let (got, text) = operator(&desk, arguments).await;
        assert_eq!(got, code, "{arguments:?}:\n{text}");
    }
    for (what, expected) in [
        ("select created_by from sicantik_notify.campaign", "marta"),
        (
            "select distinct asked_by from sicantik_notify.cron_request",
            "marta",
        ),
        (
            "select string_agg(distinct source || ' ' || fired_by, ', ' order by source || ' ' || fired_by) from sicantik_notify.firing",
            "backfill marta, cli marta",
        ),
        (
            "select substr(error, 1, 18) from sicantik_notify.log where id = 900001",
            "cancelled by marta",
        ),
    ] {
        assert_eq!(desk.text(what).await.as_deref(), Some(expected), "{what}");
    }
    // What reads a secret is the daemon's.
    for arguments in [&["provider", "test"][..], &["template", "sync"], &["doctor"]] {
        let (code, text) = operator(&desk, arguments).await;
        assert!(
            code == 1 && text.contains("no database is configured"),
            "{arguments:?}: {text}"
        );
    }
    // Without an operator's URL the daemon's does, and the person is named all the same.
    let output = desk
        .office
        .command(&["campaign", "create", "Idul Adha", "--rule", "by_hand"])
        .env_remove(ENV_OPERATOR_URL)
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let fired = desk
        .office
        .command(&["fire", "by_hand", "--ids", "3"])
        .env_remove(ENV_OPERATOR_URL)
        .env("SUDO_USER", "olga")
        .output()
        .await
        .unwrap();
    assert!(
        fired.status.success(),
        "{}",
        String::from_utf8_lossy(&fired.stderr)
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.firing where source = 'cli' and fired_by = 'olga'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_told_what_he_lacks_before_anything_is_done() {
    let desk = desk().await;
    desk.sql("create role vera login; grant sicantik_notify_viewer to vera; create role sam login")
        .await;
    for (name, arguments, said) in [
        ("vera", &["campaign", "list"][..], "the role vera is no operator"),
        (
            "vera",
            &["fire", "by_hand", "--ids", "1"],
            "grant sicantik_notify_operator to a login role",
        ),
        (
            "vera",
            &["simulate", "--rule", "notify_permit_approved"],
            "the role vera is no operator",
        ),
        ("sam", &["status"], "the role sam may not look"),
        (
            "sam",
            &["queue", "list"],
            "grant sicantik_notify_viewer to a login role",
        ),
    ] {
        let url = desk.office.cluster.url_as(name, DATABASE);
        let output = desk
            .office
            .command(arguments)
            .args(["--database-url", &url])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            output.status.code() == Some(1) && text.contains(said),
            "{arguments:?} as {name}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_what_the_table_says() {
    let desk = desk().await;
    desk.sql("update public.ir_cron set active = false").await;
    desk.sql("create role marta login; grant sicantik_notify_operator to marta")
        .await;
    for (arguments, code, said) in [
        (&["status"][..], 0, ""),
        (
            &["cron", "log", "nope"],
            1,
            "there is no job and no cron trigger nope; there are: process_queue",
        ),
        (&["campaign", "show", "nope"], 1, "there is no campaign nope"),
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["explain"], 2, "required"),
        (&["explain", "--message", "1"], 3, "Nothing is known of message 1"),
        (&["template", "preview", "nothing_of_ours"], 3, ""),
        (&["queue", "cancel", "4711"], 1, "there is no message 4711"),
        (
            &[
                "campaign",
                "create",
                "x",
                "--rule",
                "notify_permit_approved",
                "--code",
                "7",
            ],
            1,
            "cannot be a campaign's code",
        ),
        (
            &["campaign", "create", " ", "--rule", "notify_permit_approved"],
            1,
            "has no name",
        ),
        (
            &[
                "campaign",
                "create",
                "x",
                "--rule",
                "notify_permit_approved",
                "--code",
                "lebaran",
            ],
            0,
            "is a draft",
        ),
        (
            &[
                "campaign",
                "create",
                "y",
                "--rule",
                "notify_permit_approved",
                "--code",
                "lebaran",
            ],
            1,
            "there is a campaign lebaran already",
        ),
        (&["check", "campaign", "lebaran"], 0, "1 checked"),
    ] {
        let (got, text) = operator(&desk, arguments).await;
        assert!(got == code && text.contains(said), "{arguments:?}: {got}\n{text}");
        assert!(!text.contains("constraint"), "{text}");
    }
    // A finished message is said to be so, and nobody is asked.
    desk.sql("update sicantik_notify.rule set active = true").await;
    let id = desk.message("+6281300000001").await;
    let (code, text) = operator(&desk, &["queue", "cancel", &id.to_string(), "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = operator(&desk, &["queue", "cancel", &id.to_string()]).await;
    assert!(
        code == 1
            && text.contains(&format!("message {id} is cancelled and cannot be cancelled"))
            && !text.contains("--yes"),
        "{text}"
    );
}
