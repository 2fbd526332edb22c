//! What the commands print, and with which code they end.

use std::fmt::Write as _;

use serde_json::Value;
use sicantik_notifyd::testkit::office::Office;

use crate::harness::{command, office, output};

async fn run(office: &Office, arguments: &[&str]) -> (i32, String) {
    let mut command = office.command(arguments);
    command.kill_on_drop(true);
    output(command).await
}

#[tokio::test]
async fn help_of_every_command() {
    let mut all = String::new();
    for arguments in [
        "--help",
        "run --help",
        "migrate --help",
        "hooks --help",
        "hooks sql --help",
        "hooks install --help",
        "hooks verify --help",
        "hooks remove --help",
        "capture --help",
        "capture switch --help",
        "arm --help",
        "status --help",
        "doctor --help",
        "explain --help",
        "check --help",
        "export --help",
        "apply --help",
        "import-odoo --help",
        "send --help",
        "queue --help",
        "queue list --help",
        "queue process --help",
        "queue retry --help",
        "queue cancel --help",
        "queue release --help",
        "queue discard --help",
        "blacklist --help",
        "blacklist list --help",
        "blacklist add --help",
        "blacklist remove --help",
        "provider --help",
        "provider test --help",
        "template --help",
        "template list --help",
        "template preview --help",
        "template sync --help",
        "template lint --help",
        "cron --help",
        "cron list --help",
        "cron run --help",
        "cron enable --help",
        "cron disable --help",
        "cron retime --help",
        "cron log --help",
        "domain --help",
        "uninstall --help",
        "completions --help",
        "man --help",
        "fire --help",
        "simulate --help",
        "backfill --help",
        "token --help",
        "token create --help",
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let (code, text) = output(command(&words)).await;
        assert_eq!(code, 0);
        let _ = writeln!(all, "$ sicantik-notifyd {arguments}\n{text}");
    }
    insta::assert_snapshot!("help", all);
}

#[tokio::test]
async fn wrong_usage_is_2_and_everything_that_fails_is_1() {
    for wrong in [
        &["bogus"][..],
        &[],
        &["status", "--bogus"],
        &["hooks"],
        &["run", "extra"],
    ] {
        assert_eq!(output(command(wrong)).await.0, 2, "{wrong:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "[deliver]\nconcurency = 1\n").expect("a file");
    let wrong_file = file.to_str().expect("a name");
    for (arguments, next_step) in [
        (&["status", "--config", "/nowhere/config.toml"][..], "--config"),
        (&["status", "--config", wrong_file], "concurrency"),
        (&["status"], "SICANTIK_NOTIFYD_DATABASE_URL"),
        (
            &[
                "status",
                "--database-url",
                "host=127.0.0.1 port=1 user=u dbname=d sslmode=disable",
            ],
            "check that PostgreSQL runs",
        ),
        (
            &["status", "--database-url", "host=h sslmode=prefer"],
            "verify-full",
        ),
        (&["migrate", "--database-url", "nonsense"], "database URL"),
    ] {
        let (code, text) = output(command(arguments)).await;
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(text.starts_with("sicantik-notifyd: "), "{text}");
        assert!(text.contains(next_step), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_the_daemon_with_what_to_check() {
    use sicantik_notifyd::testkit::postgres::Cluster;
    let cluster = Cluster::builder()
        .file(
            "pg_hba.conf",
            "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        )
        .start()
        .await
        .expect("a server");
    let admin = cluster.connect("postgres").await.expect("a connection");
    admin
        .batch_execute("create role u login password 'right'")
        .await
        .expect("a role");
    let url = cluster.tcp_url_as("u", "postgres") + " sslmode=disable";
    for (password, next_step) in [
        ("wrong", "check user and password"),
        ("right", "run `sicantik-notifyd migrate`"),
    ] {
        let mut command = command(&["run"]);
        command
            .env(
                "SICANTIK_NOTIFYD_DATABASE_URL",
                format!("{url} password={password}"),
            )
            .env("SICANTIK_NOTIFYD_STATE_DIR", cluster.socket_dir().join("state"));
        let (code, text) = output(command).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(next_step), "{text}");
        assert!(!text.contains(&format!("password={password}")), "{text}");
    }
    // The password may come from a systemd credential.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("database-url"),
        format!("{url} password=right\n"),
    )
    .expect("a file");
    let mut command = command(&["status"]);
    command.env("CREDENTIALS_DIRECTORY", folder.path());
    let (code, text) = output(command).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("has no schema sicantik_notify"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_for_people_and_for_scripts() {
    let office = office().await;
    let (code, text) = run(&office, &["status"]).await;
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("status_of_a_new_installation", text);

    let admin = office.admin().await.expect("a connection");
    admin
        .batch_execute(
            "update public.sicantik_permit set status = 'active' where id = 6; \
             insert into sicantik_notify.instance (name, pid, version, delivering, note) \
             values ('office-1', 4242, '0.0.0', true, null), ('office-2', 4243, '0.0.0', false, 'this is a copy'); \
             insert into sicantik_notify.queue (id, rule_id, model, record_id, phone, template_key, context, state, last_error) \
             select 900, r.id, 'sicantik.permit', 1, '+6281234567890', 'permit_ready', '{}', 'held', 'the answer was lost twice' \
             from sicantik_notify.rule r where r.code = 'notify_permit_approved'; \
             insert into sicantik_notify.log (id, state, phone, template_key, context, tries, possible_duplicate, created_at) \
             values (901, 'sent', '+6281234567890', 'permit_ready', '{}', 0, false, now()), \
                    (902, 'failed', '+6281234567890', 'permit_ready', '{}', 3, false, now())",
        )
        .await
        .expect("some work");
    let (code, text) = run(&office, &["status"]).await;
    assert_eq!(code, 3, "{text}");
    let redacted: String = text
        .lines()
        .map(|l| {
            if l.starts_with("oldest event") {
                "oldest event           [seconds] s\n".to_owned()
            } else {
                format!("{l}\n")
            }
        })
        .collect();
    insta::assert_snapshot!("status_with_problems", redacted);

    let mut json = office.command(&["status", "--json"]);
    let printed = json.output().await.expect("runs");
    assert_eq!(printed.status.code(), Some(3));
    let mut value: Value = serde_json::from_slice(&printed.stdout).expect("JSON and nothing else");
    value["oldest_event_seconds"] = "[seconds]".into();
    insta::assert_snapshot!(
        "status_as_json",
        serde_json::to_string_pretty(&value).expect("prints")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_waits_without_a_daemon_is_a_problem() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    admin
        .batch_execute(
            "insert into sicantik_notify.event (record_id, model, op, occurred_at) \
             values (1, 'sicantik.permit', 'u', clock_timestamp() - interval '2 minutes')",
        )
        .await
        .expect("an old event");
    let (code, text) = run(&office, &["status"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("alarm: daemon: work waits") && text.contains("systemctl start"),
        "{text}"
    );
    // One that lives will do it.
    admin
        .batch_execute("insert into sicantik_notify.instance (name, pid, version) values ('office', 1, '0')")
        .await
        .expect("an instance");
    assert_eq!(run(&office, &["status"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_verify_ends_with_3_while_something_differs() {
    let office = office().await;
    let (code, text) = run(&office, &["hooks", "verify"]).await;
    assert_eq!((code, text.as_str()), (0, "The hooks are as they should be.\n"));
    let admin = office.admin().await.expect("a connection");
    admin
        .batch_execute("alter table public.sicantik_permit disable trigger sicantik_notify_update")
        .await
        .expect("disables");
    let (code, text) = run(&office, &["hooks", "verify"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("sicantik_permit") && text.contains("remedy: "),
        "{text}"
    );
    let (code, text) = run(&office, &["hooks", "install"]).await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arm_asks_for_the_name_and_says_what_it_did() {
    let office = office().await;
    // Nobody answers.
    let (code, text) = run(&office, &["arm"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("type sicantik to go on, or give --yes"), "{text}");
    let admin = office.admin().await.expect("a connection");
    let (code, text) = run(&office, &["arm", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("Armed: the daemon of this machine sends from sicantik."),
        "{text}"
    );
    let (code, text) = run(&office, &["arm"]).await;
    assert_eq!((code, text.as_str()), (0, "Armed already.\n"));
    admin
        .batch_execute(
            "insert into public.ir_config_parameter (key, value) values ('database.is_neutralized', 'true')",
        )
        .await
        .expect("neutralises");
    let (code, text) = run(&office, &["arm", "--yes"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("neutralised"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_panic() {
    let office = sicantik_notifyd::testkit::office::Office::open(
        std::path::Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")),
        &sicantik_notifyd::testkit::office::Plan::default(),
    )
    .await
    .unwrap();
    let mut child = office
        .command(&["check", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(
        (done.status.code(), said.contains("panicked")),
        (Some(141), false),
        "{said}"
    );
}
