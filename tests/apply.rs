//! Configuration as data: `export` and `apply` against a real server.

#![allow(clippy::unwrap_used)]

mod desk;

use std::io::Write as _;

use desk::{Desk, desk};
use serde_json::Value;

/// Exit code, standard output, standard error.
async fn run(desk: &Desk, arguments: &[&str]) -> (i32, String, String) {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Writes `rules.toml` and applies it.
async fn apply(desk: &Desk, text: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir_in(desk.office.folder()).unwrap();
    let path = folder.path().join("rules.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let name = path.to_str().unwrap();
    let mut all = vec!["apply", "-f", name];
    all.extend(arguments);
    let (code, out, err) = run(desk, &all).await;
    (code, (out + &err).replace(name, "rules.toml"))
}

async fn version(desk: &Desk) -> i64 {
    desk.number("select version from sicantik_notify.config_version")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_changes_nothing_and_is_a_whole_configuration() {
    let desk = desk().await;
    let (code, file, _) = run(&desk, &["export"]).await;
    assert_eq!(code, 0);
    let before = version(&desk).await;
    let (_, some, _) = run(&desk, &["export", "--only", "aliases,settings"]).await;
    assert!(
        some.contains("[settings]\n")
            && some.contains("\ncapture_max_backlog_age = \"604800\"\n")
            && some.contains(
                "\n[[field_aliases]]\nmodel = \"sicantik.permit\"\nfield = \"state\"\ntarget = \"status\"\n"
            )
            && !some.contains("[[rules]]"),
        "{some}"
    );
    let (code, _, error) = run(&desk, &["export", "--only", "rule"]).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("there is no section \"rule\"; there are: aliases, triggers, rules,"),
        "{error}"
    );
    let (code, text) = apply(&desk, &file, &["--dry-run", "--prune"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing differs: rules.toml says what stands.\n"),
        "{file}"
    );
    let (code, _) = apply(&desk, &file, &["--prune", "--yes"]).await;
    assert_eq!((code, version(&desk).await), (0, before));
    // Everything can be made again from it.
    let rows = "select md5(string_agg(x, ';' order by x)) from (
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text x from sicantik_notify.trigger t union all
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text from sicantik_notify.rule t union all
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text from sicantik_notify.template t union all
        select to_jsonb(t.*)::text from sicantik_notify.template_map t union all
        select to_jsonb(t.*)::text from sicantik_notify.noise_column t union all
        select to_jsonb(t.*)::text from sicantik_notify.field_alias t union all
        select to_jsonb(t.*)::text from sicantik_notify.value_alias t) s";
    let stood = desk.text(rows).await;
    desk.sql(
        "delete from sicantik_notify.rule; delete from sicantik_notify.trigger; delete from sicantik_notify.template;
         delete from sicantik_notify.template_map; delete from sicantik_notify.noise_column;
         delete from sicantik_notify.field_alias; delete from sicantik_notify.value_alias",
    )
    .await;
    let before = version(&desk).await;
    let (code, text) = apply(&desk, &file, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(desk.text(rows).await, stood);
    // However many statements it took: once.
    assert_eq!(version(&desk).await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_the_configuration_and_the_difference_is_shown_first() {
    let desk = desk().await;
    desk.sql(
        "update sicantik_notify.rule set context_preparation_code = $$context = {
    'partner_name': record.partner_id.name,
}$$ where code = 'notify_permit_expiring'",
    )
    .await;
    let file = r#"
[settings]
contact_info = "DPMPTSP Karo"
event_history_days = 14

[[triggers]]
code = "permit_new"
name = "Izin Baru"
model = "sicantik.permit"
trigger_type = "on_create"
condition_domain = "[('state', '=', 'approved')]"

[[rules]]
code = "notify_permit_new"
name = "Izin baru"
trigger = "permit_new"
template_key = "permit_ready"
storm_limit = "none"

[[rules]]
code = "notify_permit_expiring"
name = "Reminder Masa Berlaku Izin"
active = false
trigger = "permit_expiring"
template_key = "permit_reminder"
rate_limit_count = 30
context_preparation_code = '''
context = {
    'partner_name': record.partner_id.name or 'Bapak/Ibu',
}'''

[template_map]
reminder = "izin_reminder_baru"

[[blacklist]]
phone = "0812-3456-7890"
reason = "atas permintaan"

[[providers]]
name = "Fonnte cadangan"
provider_type = "fonnte"
sequence = 40
uncertain_wait = "10 minutes"
active = false
settings = { delay_seconds = 7 }
credentials = { token = "fonnte-cadangan" }
"#;
    let (code, text) = apply(&desk, file, &["--dry-run"]).await;
    insta::assert_snapshot!(text);
    assert_eq!(code, 3);
    let untouched = "select count(*) from sicantik_notify.rule where code = 'notify_permit_new'";
    assert_eq!(desk.number(untouched).await, 0);
    let before = version(&desk).await;
    let (code, text) = apply(&desk, file, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.ends_with("Applied: 4 created, 4 changed, 0 deleted.\n"),
        "{text}"
    );
    assert_eq!(version(&desk).await, before + 1);
    let row = "select to_jsonb(r.*) - '{id,created_at,updated_at}'::text[] from sicantik_notify.rule r
               where code = 'notify_permit_new'";
    let row: Value = desk.admin.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(
        (&row["storm_limit"], &row["rate_limit_count"]),
        (&Value::Null, &100.into())
    );
    assert_eq!(
        desk.text("select phone || ' ' || reason from sicantik_notify.blacklist")
            .await
            .as_deref(),
        Some("+6281234567890 atas permintaan")
    );
    assert_eq!(
        desk.text(
            "select s.credential from sicantik_notify.provider_secret s join sicantik_notify.provider p on p.id = s.provider_id
             where p.name = 'Fonnte cadangan' and s.name = 'token' and s.value is null"
        )
        .await
        .as_deref(),
        Some("fonnte-cadangan")
    );
    // Once more: nothing.
    let (code, text) = apply(&desk, file, &["--dry-run"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing differs: rules.toml says what stands.\n")
    );
    // For scripts.
    let changed = file.replace("rate_limit_count = 30", "rate_limit_count = 40");
    let (code, text) = apply(&desk, &changed, &["--json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["applied"]), (0, &true.into()));
    assert_eq!(
        report["changes"][0]["columns"]["rate_limit_count"],
        serde_json::json!({"old": 30, "new": 40})
    );
    assert_eq!(report["summary"]["changed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused_with_every_place() {
    let desk = desk().await;
    let before = desk.number("select count(*) from sicantik_notify.rule").await;
    let version_before = version(&desk).await;
    let (code, text) = apply(
        &desk,
        r#"[[rules]]
code = "notify_x"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"
condition_domian = "[]"
active = "yes"
rate_limit_count = 1.5
trigger_id = 3

[[rules]]
code = "notify_x"
name = "Again"
trigger = "permit_expiring"
template_key = "permit_ready"

[[rules]]
code = "no_name"
trigger = "permit_expiring"
template_key = "permit_ready"

[[triger]]
code = "y"

[[blacklist]]
phone = "12"

[settings]
timezone = ["Asia/Jakarta"]
"#,
        &[],
    )
    .await;
    insta::assert_snapshot!(text);
    assert_eq!(code, 1);
    let (code, text) = apply(&desk, "[[rules]]\ncode = \"a\"\ncode = \"b\"\nname = 'x\n", &[]).await;
    insta::assert_snapshot!("no_toml", text);
    assert_eq!(code, 1);
    // What two rows of the same code say is said once.
    let twice = "[[rules]]\ncode = \"a\"\nname = \"A\"\ntrigger = \"permit_expiring\"\ntemplate_key = \"permit_ready\"\n";
    let (code, text) = apply(&desk, &twice.repeat(2), &[]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("rules.toml:7:8: rule a: it stands in line 1 already\n      7 | code = \"a\"\n"),
        "{text}"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.rule").await,
        before
    );
    assert_eq!(version(&desk).await, version_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_or_the_tables_refuse_is_shown_in_the_file_and_nothing_is_written() {
    let desk = desk().await;
    let version_before = version(&desk).await;
    let (code, text) = apply(
        &desk,
        r#"[settings]
timezon = "Asia/Jakarta"
"#,
        &[],
    )
    .await;
    assert_eq!(code, 1);
    assert!(
        text.contains("rules.toml:2:1: there is no setting timezon")
            && text.contains("did you mean timezone?"),
        "{text}"
    );

    let (code, text) = apply(
        &desk,
        r#"[[rules]]
code = "bad code"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"

[[rules]]
code = "no_trigger"
name = "X"
trigger = "permit_expring"
template_key = "permit_ready"

[[rules]]
code = "no_period"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"
rate_limit_period = "week"

[[rules]]
code = "no_group"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"
recipient_type = "staff"

[[providers]]
name = "F"
provider_type = "fonnte"
uncertain_wait = "soon"
"#,
        &[],
    )
    .await;
    assert_eq!(code, 1);
    // A length of time that is none stops before anything is written.
    assert!(
        text.contains("uncertain_wait = \"soon\"") && text.contains("a length of time in quotes"),
        "{text}"
    );

    let (code, text) = apply(
        &desk,
        r#"[[rules]]
code = "bad code"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"

[[rules]]
code = "no_trigger"
name = "X"
trigger = "permit_expring"
template_key = "permit_ready"

[[rules]]
code = "no_period"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"
rate_limit_period = "week"

[[rules]]
code = "no_group"
name = "X"
trigger = "permit_expiring"
template_key = "permit_ready"
recipient_type = "staff"
"#,
        &[],
    )
    .await;
    insta::assert_snapshot!("refused_by_the_tables", text);
    assert_eq!(code, 1);

    let (code, text) = apply(
        &desk,
        r#"[[triggers]]
code = "watching"
name = "Watching"
model = "sicantik.permit"
trigger_type = "on_field_change"
field_to_watch = "colour"

[[rules]]
code = "notify_y"
name = "Y"
trigger = "permit_state_change"
template_key = "permit_redy"
condition_domain = """
[('state', '=', 'approved'),
 ('colour', '=', 'red')]"""

[[rules]]
code = "group"
name = "G"
trigger = "permit_state_change"
template_key = "permit_ready"
recipient_type = "staff"
staff_group = "DPMPTSP Staf"
"#,
        &[],
    )
    .await;
    insta::assert_snapshot!("refused_by_the_survey", text);
    assert_eq!(code, 1);
    assert_eq!(version(&desk).await, version_before);
    // The same in what is inactive is a warning: it harms nobody, and an export that holds it can be applied.
    let (code, text) = apply(
        &desk,
        "[[rules]]\ncode = \"later\"\nname = \"L\"\nactive = false\ntrigger = \"permit_state_change\"\ntemplate_key = \"not_yet\"\n",
        &[],
    )
    .await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(
            "warning: rules.toml:6:16: rule later: template_key: there is no active template not_yet"
        ),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_breaks_elsewhere_is_its_error_and_what_was_broken_before_is_not() {
    let desk = desk().await;
    desk.sql(
        "insert into sicantik_notify.rule (code, name, trigger, template_key) values ('broken', 'B', 'permit_state_change', 'none_such')",
    )
    .await;
    let (code, text) = apply(&desk, "[settings]\ncontact_info = \"x\"\n", &[]).await;
    assert_eq!(code, 0, "{text}");
    // Without the alias, the rules that say state mean nothing.
    let (code, text) = apply(&desk, "field_aliases = []\n", &["--prune", "--yes"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("trigger permit_state_change")
            && text.contains("add a row to sicantik_notify.field_alias"),
        "{text}"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.field_alias")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_deletes_only_in_the_sections_of_the_file_and_never_without_being_told() {
    let desk = desk().await;
    desk.sql(
        "select sicantik_notify.blacklist_add('081234567890'); select sicantik_notify.blacklist_add('081234567891');
         delete from sicantik_notify.noise_column where model = '*'",
    )
    .await;
    let rules = desk.number("select count(*) from sicantik_notify.rule").await;
    let file = "blacklist = [{ phone = \"+6281234567890\" }]\n[template_map]\nreminder = \"izin_reminder\"\n";
    let (code, text) = apply(&desk, file, &[]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing differs: rules.toml says what stands.\n")
    );
    let (code, text) = apply(&desk, file, &["--prune"]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("--prune would delete 7 rows, and there is nobody to ask: repeat with --yes"),
        "{text}"
    );
    let (code, text) = apply(&desk, file, &["--prune", "--dry-run"]).await;
    assert_eq!(code, 3);
    assert!(
        text.contains("- blacklisted number +6281234567891 (taken off; the row stays)"),
        "{text}"
    );
    let (code, text) = apply(&desk, file, &["--prune", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.template_map")
            .await,
        1
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.blacklist where active")
            .await,
        1
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.blacklist")
            .await,
        2
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.rule").await,
        rules
    );
    assert_eq!(apply(&desk, file, &["--prune", "--dry-run"]).await.0, 0);
    // What the daemon itself uses stays; a rule whose messages wait cannot go.
    desk.message("+6281234567890").await;
    let (code, text) = apply(&desk, "rules = []\n", &["--prune", "--yes"]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("rule notify_permit_approved: it is still in use")
            && text.contains("set active = false in the file"),
        "{text}"
    );
    desk.sql("delete from sicantik_notify.queue").await;
    let (code, text) = apply(&desk, "rules = []\n", &["--prune", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        desk.text("select string_agg(code, ',') from sicantik_notify.rule")
            .await
            .as_deref(),
        Some("system_stop_confirmation")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_a_file_or_is_shown() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set settings = settings || '{\"client_secret\": \"hunter2hunter2\"}' where name = 'Meta'")
        .await;
    let (_, file, _) = run(&desk, &["export", "--only", "providers"]).await;
    use sicantik_notifyd::testkit::gateway::Gateway;
    for secret in [
        Gateway::META_TOKEN,
        Gateway::FONNTE_TOKEN,
        Gateway::WATZAP_API_KEY,
        Gateway::WATZAP_NUMBER_KEY,
        "hunter2hunter2",
    ] {
        assert!(!file.contains(secret), "{file}");
    }
    assert!(
        file.contains("# token: its value is kept in the database and is not exported"),
        "{file}"
    );
    assert!(
        file.contains("client_secret in settings is a secret and is left out"),
        "{file}"
    );
    for line in [
        "token = \"s3cretvalue\"",
        "fonnte_token = \"s3cretvalue\"",
        "settings = { api_key = \"s3cretvalue\" }",
        "credentials = { token = \"s3cretvalue s3cretvalue\" }",
        "credentials = { token = \"s3cretvalue00000000000000000\" }",
        "credentials = \"s3cretvalue\"",
    ] {
        let text = format!("[[providers]]\nname = \"Fonnte\"\nprovider_type = \"fonnte\"\n{line}\n");
        let (code, text) = apply(&desk, &text, &["--json"]).await;
        assert_eq!(code, 1, "{line}: {text}");
        assert!(!text.contains("s3cretvalue"), "{line}: {text}");
        assert!(
            text.contains("name a credential: credentials = { token ="),
            "{line}: {text}"
        );
        let text = format!("[[providers]]\nname = \"Fonnte\"\nprovider_type = \"fonnte\"\n{line}\n");
        let (_, text) = apply(&desk, &text, &[]).await;
        assert!(!text.contains("s3cretvalue"), "{line}: {text}");
        assert!(text.contains("rules.toml:4:"), "{line}: {text}");
    }
    // Nor where the file cannot be read at all.
    let (_, text) = apply(&desk, "[[providers]]\ntoken = s3cretvalue\n", &[]).await;
    assert!(!text.contains("s3cretvalue"), "{text}");
    // A named credential replaces the value that stood there.
    let (_, file, _) = run(&desk, &["export", "--only", "providers"]).await;
    let file = file.replacen(
        "provider_type = \"fonnte\"\n",
        "provider_type = \"fonnte\"\ncredentials = { token = \"fonnte-token\" }\n",
        1,
    );
    let file = file.replace("client_secret = \"hunter2hunter2\"", "");
    let (code, text) = apply(&desk, &file, &["--dry-run"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("    credentials.token: a value in the database → fonnte-token\n"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_applies_what_an_operator_may_write() {
    let desk = desk().await;
    desk.sql("create role omar login; grant sicantik_notify_operator to omar; create role vera login; grant sicantik_notify_viewer to vera")
        .await;
    let omar = desk
        .office
        .cluster
        .url_as("omar", sicantik_notifyd::testkit::office::DATABASE);
    let (code, file, err) = run(&desk, &["export", "--database-url", &omar]).await;
    assert_eq!(code, 0, "{err}");
    let (_, of_owner, _) = run(&desk, &["export"]).await;
    assert_eq!(file, of_owner);
    let (code, text) = apply(&desk, &file, &["--dry-run", "--database-url", &omar]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing differs: rules.toml says what stands.\n")
    );
    let change = r#"[[rules]]
code = "by_omar"
name = "O"
trigger = "permit_state_change"
template_key = "permit_ready"
condition_domain = "[('state', '=', 'approved')]"
recipient_type = "staff"
staff_group = "DPMPTSP Staff"

[[blacklist]]
phone = "081234567890"

[[providers]]
name = "Cadangan"
provider_type = "fonnte"
active = false
credentials = { token = "fonnte-cadangan" }
"#;
    let (code, text) = apply(&desk, change, &["--database-url", &omar]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Applied: 3 created"), "{text}");
    // The survey holds for operators too.
    let (code, text) = apply(
        &desk,
        &change.replace("'state'", "'colour'"),
        &["--database-url", &omar],
    )
    .await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("sicantik.permit has no `colour`"), "{text}");
    // A viewer changes nothing.
    let vera = desk
        .office
        .cluster
        .url_as("vera", sicantik_notifyd::testkit::office::DATABASE);
    let (code, text) = apply(&desk, change, &["--database-url", &vera]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("permission denied"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_at_once_are_taken_one_after_the_other() {
    let desk = desk().await;
    let before = version(&desk).await;
    let file = |n: i64| format!("[settings]\nevent_history_days = {n}\nlog_retention_days = {n}\n");
    let files: Vec<String> = (100..106).map(file).collect();
    let all = futures_util::future::join_all(files.iter().map(|f| apply(&desk, f, &[]))).await;
    for (code, text) in &all {
        assert_eq!(*code, 0, "{text}");
        assert!(
            text.ends_with("Applied: 0 created, 2 changed, 0 deleted.\n"),
            "{text}"
        );
    }
    assert_eq!(version(&desk).await, before + 6);
    // Never half of one and half of another.
    let equal = "select count(distinct value) from sicantik_notify.setting where key in ('event_history_days', 'log_retention_days')";
    assert_eq!(desk.number(equal).await, 1);
    // Somebody holds it for long: words, not a code.
    desk.sql("begin; select pg_advisory_xact_lock(hashtextextended('sicantik_notify.apply', 0))")
        .await;
    let (code, text) = apply(&desk, &file(7), &[]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("somebody else changes the configuration at this moment"),
        "{text}"
    );
    desk.sql("rollback").await;
}

/// Whatever stands in the tables, its export says: applied to the same tables it changes nothing, and applied to emptied ones it
/// brings all of it back.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_an_export_says_it() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use sicantik_notifyd::setup::{apply, export, shape::Shapes};

    let text = prop_oneof![
        "\\PC{0,20}",
        "[\x01-\x7f]{0,20}",
        "['\"\\\\\n\r\t# =]{0,10}",
        Just("none".to_owned())
    ];
    let optional = proptest::option::of(text.clone());
    let json = prop_oneof![
        Just(serde_json::json!({})),
        (text.clone(), text.clone(), any::<i32>(), any::<bool>()).prop_map(|(k, v, n, b)| {
            serde_json::json!({"k": {k: [v, n, b, {"deep": {}}]}, "ratio": 0.25, "whole": 80.0})
        })
    ];
    let row = (
        (text.clone(), optional.clone(), optional.clone(), optional.clone()),
        (
            any::<bool>(),
            any::<i32>(),
            proptest::option::of(1..=i32::MAX),
            0..400_000_i64,
        ),
        (
            proptest::collection::vec(text.clone(), 0..3),
            json,
            text.clone(),
            text,
        ),
    );
    let desk = desk().await;
    let mut client = desk.office.admin().await.unwrap();
    let mut runner = TestRunner::deterministic();
    for case in 0..40 {
        let ((name, domain, code, group), (flag, number, limit, seconds), (list, json, alias, body)) =
            row.new_tree(&mut runner).unwrap().current();
        let tx = client.transaction().await.unwrap();
        let insert = [
            "delete from sicantik_notify.rule where code = 'p'",
            "delete from sicantik_notify.trigger where code = 'p'",
            "delete from sicantik_notify.template where template_key = 'p'",
            "delete from sicantik_notify.provider where name like 'p%'",
            "delete from sicantik_notify.value_alias where model = 'p'",
            "delete from sicantik_notify.noise_column where model like 'p%'",
            "delete from sicantik_notify.template_map where template_key like 'p%'",
        ];
        for statement in insert {
            tx.execute(statement, &[]).await.unwrap();
        }
        tx.execute(
            "insert into sicantik_notify.trigger (code, name, active, sequence, model, trigger_type, condition_domain, description, timezone)
             values ('p', 'x' || $1, $2, $3, 'sicantik.permit', 'manual', $4, $5, $6)",
            &[&name, &flag, &number, &domain, &code, &alias],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.rule (code, name, active, priority, trigger, template_key, condition_python,
                 context_preparation_code, staff_group, storm_limit)
             values ('p', 'x' || $1, $2, $3, 'p', 'p', $4, $5, $6, $7)",
            &[&name, &flag, &number, &domain, &code, &group, &limit],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.template (template_key, name, body, parameters, meta_parameters, active, meta_header, meta_status)
             values ('p', $1, 'x' || $2, $3, $3, $4, $5, 'configured')",
            &[&name, &body, &list, &flag, &json],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.provider (name, provider_type, sequence, settings, uncertain_wait)
             values ('p' || $1, 'fonnte', $2, $3, $4::bigint * interval '1 second')",
            &[&name, &number, &json, &seconds],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.value_alias values ('p', $1, $2, $3)",
            &[&name, &alias, &body],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.noise_column values ('p' || $1, $2), ('p' || $1, $2 || 'b')",
            &[&name, &alias],
        )
        .await
        .unwrap();
        tx.execute(
            "insert into sicantik_notify.template_map values ('p' || $1, $2)",
            &[&name, &alias],
        )
        .await
        .unwrap();
        let shapes = Shapes::load(&tx).await.unwrap();
        let all = shapes.only(&[]).unwrap();
        let file = export::text(&tx, &all).await.unwrap();
        let same = apply::apply(&tx, &file, true, async |_| Ok(Vec::new()))
            .await
            .unwrap();
        let errors: Vec<String> = same.errors.iter().map(|e| e.shown("file", &file)).collect();
        assert!(
            errors.is_empty() && same.changes.is_empty(),
            "case {case}: {errors:?} {:?}\n{file}",
            same.changes
        );
        for statement in insert {
            tx.execute(statement, &[]).await.unwrap();
        }
        let back = apply::apply(&tx, &file, true, async |_| Ok(Vec::new()))
            .await
            .unwrap();
        let errors: Vec<String> = back.errors.iter().map(|e| e.shown("file", &file)).collect();
        assert!(
            errors.is_empty() && back.counts()[0] >= 7,
            "case {case}: {errors:?} {:?}",
            back.counts()
        );
        assert_eq!(export::text(&tx, &all).await.unwrap(), file, "case {case}");
        tx.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_with_a_value_that_it_cannot_have_is_refused_at_its_place() {
    let desk = desk().await;
    let before = version(&desk).await;
    let file = r#"[settings]
timezone = "Jakarta"
event_history_days = "7 days"
log_retention_days = 0
capture_wake = "never"
link_base = "sicantik.example.go.id"
contact_info = "DPMPTSP Kota"
"#;
    let (code, text) = apply(&desk, file, &[]).await;
    assert_eq!(code, 1, "{text}");
    for said in [
        "rules.toml:2:12: setting timezone: \"Jakarta\" is not a time zone",
        "rules.toml:3:22: setting event_history_days: \"7 days\" is not a whole number of days from 0 to 3650",
        "write the number of days alone, such as 7",
        "rules.toml:4:22: setting log_retention_days",
        "rules.toml:5:16: setting capture_wake: \"never\" is not notify or poll",
        "rules.toml:6:13: setting link_base",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("setting contact_info"), "{text}");
    assert_eq!(version(&desk).await, before, "nothing was written");
}
