//! `check` and the list of problems against a real server: what administrators get wrong is named with place and remedy.

#![allow(clippy::unwrap_used)]

mod desk;

use desk::{Desk, desk};
use serde_json::Value;

async fn check(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let all: Vec<&str> = ["check"].iter().chain(arguments).copied().collect();
    let output = desk.office.command(&all).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// Codes of the findings of one item.
async fn codes(desk: &Desk, kind: &str, code: &str) -> Vec<String> {
    let output = desk
        .office
        .command(&["check", "--json", kind, code])
        .output()
        .await
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["items"][0]["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|f| {
            format!(
                "{} {}",
                f["severity"].as_str().unwrap(),
                f["code"].as_str().unwrap()
            )
        })
        .collect()
}

async fn rule(desk: &Desk, code: &str, columns: &str, values: &str) {
    desk.sql(&format!(
        "insert into sicantik_notify.rule (code, name, trigger, template_key, {columns})
         values ('{code}', '{code}', 'permit_state_change', 'permit_ready', {values})"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_installation_is_well_and_shows_aliases_offers_and_other_senders() {
    let desk = desk().await;
    let (code, text) = check(&desk, &[]).await;
    assert_eq!(code, 0, "{text}");
    for part in [
        "alias in force: sicantik.permit: state is read as status",
        "alias in force: sicantik.permit.status: approved is read as active",
        // C6: permits that a synchronisation brings never change their status.
        "trigger permit_issued (inactive)",
        "repetition in force: rule notify_permit_approved: every_event (auto)",
        "repetition in force: rule notify_permit_expiring: once_per_value(expiry_date) (auto)",
        "update sicantik_notify.trigger set active = true where code = 'permit_issued'",
        // E5: whatever sends besides us, with the statement that would switch it off.
        "update public.ir_cron set active = false where id = 7",
        "Reminder Dokumen Pending (WhatsApp)",
        "0 errors",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains("ir_cron 4"), "a cron that sends nothing:\n{text}");
    // Two senders are warnings.
    assert_eq!(check(&desk, &["--strict"]).await.0, 3);
    let output = desk.office.command(&["check", "--json"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["summary"]["errors"], 0);
    assert_eq!(report["aliases"]["fields"][0]["read_as"], "status");
    // Once a trigger looks for new numbers, nothing is offered.
    desk.sql(
        "update sicantik_notify.trigger set active = true where code = 'permit_issued';
         insert into sicantik_notify.rule (code, name, trigger, template_key) values ('issued', 'Issued', 'permit_issued', 'permit_ready')",
    )
    .await;
    assert!(
        !check(&desk, &[])
            .await
            .1
            .contains("set active = true where code = 'permit_issued'")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_place_and_the_remedy() {
    let desk = desk().await;
    rule(
        &desk,
        "no_field",
        "condition_domain",
        "'[(''colour'', ''='', ''red'')]'",
    )
    .await;
    rule(
        &desk,
        "own_example",
        "condition_domain",
        "'[(''active'', ''='', True)]'",
    )
    .await;
    rule(
        &desk,
        "computed",
        "condition_domain",
        "'[(''mobile'', ''!='', False)]'",
    )
    .await;
    rule(
        &desk,
        "bare",
        "condition_domain",
        "'[''status'', ''='', ''draft'']'",
    )
    .await;
    rule(
        &desk,
        "nobody",
        "recipient_type, staff_group",
        "'staff', 'No such group'",
    )
    .await;
    desk.sql(
        "insert into public.res_groups (id, name) values (900, '{\"en_US\": \"DPMPTSP Staff\"}');
         insert into sicantik_notify.trigger (code, name, model, trigger_type, state_field)
         values ('wrong_state', 'Wrong', 'sicantik.permit', 'on_state_change', 'stage');
         delete from sicantik_notify.field_alias",
    )
    .await;
    rule(
        &desk,
        "twice",
        "recipient_type, staff_group",
        "'staff', 'DPMPTSP Staff'",
    )
    .await;
    desk.sql("update sicantik_notify.rule set template_key = 'permit_redy' where code = 'twice'")
        .await;
    let (code, text) = check(&desk, &[]).await;
    assert_eq!(code, 1, "{text}");
    for part in [
        "rule no_field",
        "sicantik.permit has no `colour`",
        "      1 | [('colour', '=', 'red')]\n        |   ^^^^^^^^",
        "remove this condition",
        "rule bare",
        "put brackets around it",
        "the host has no group \"No such group\"",
        "means several groups ([10, 900])",
        "there is no active template permit_redy",
        // The guide's own name, without its alias: what exists is listed with the ways out.
        "sicantik.permit has no field state; it has",
        "permit_number",
        "add a row to sicantik_notify.field_alias",
        "sicantik.permit has no field stage",
        "sicantik-notifyd: ",
        "must be corrected",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert_eq!(
        codes(&desk, "rule", "twice").await[..2],
        ["error template_unknown", "error group_ambiguous"]
    );
    // An inactive rule that is wrong harms nobody, until somebody asks for it by name.
    desk.sql(
        "update sicantik_notify.rule set active = false where trigger = 'permit_state_change';
         delete from sicantik_notify.trigger where code = 'wrong_state';
         insert into sicantik_notify.field_alias (model, field, target) values ('sicantik.permit', 'state', 'status')",
    )
    .await;
    let (code, text) = check(&desk, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("rule no_field (inactive)") && text.contains("in what is inactive"),
        "{text}"
    );
    assert_eq!(check(&desk, &["rule", "no_field"]).await.0, 1);
    let (code, text) = check(&desk, &["rule", "nothing"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("there is no rule nothing"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_may_not_read_is_an_error_with_the_grant() {
    let desk = desk().await;
    rule(
        &desk,
        "tagged",
        "active, condition_domain",
        "false, '[(''partner_id.category_id.name'', ''='', ''Priority'')]'",
    )
    .await;
    let (code, text) = check(&desk, &["rule", "tagged"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("grant select (")
            && text.contains("on public.\"res_partner_category\" to sicantik_notifyd"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn doubts_are_warnings_and_warnings_fail_only_where_asked() {
    let desk = desk().await;
    for (code, domain, warning) in [
        ("w1", "[(''status'', ''='', ''aproved'')]", "unknown_value"),
        ("w2", "[(''days_until_expiry'', ''<='', 30)]", "stale_field"),
        (
            "w3",
            "[''|'', (''status'', ''='', ''active''), (''status'', ''='', ''draft''), (''is_renewal'', ''='', True)]",
            "implied_and",
        ),
        (
            "w4",
            "[(''partner_id.city'', ''!='', ''Kabanjahe'')]",
            "path_excludes_unset",
        ),
        ("w5", "[(''status'', ''not in'', [])]", "always_met"),
        (
            "w6",
            "[(''status'', ''='', ''active''), (''status'', ''='', ''draft'')]",
            "never_met",
        ),
        ("w7", "[(''expiry_date'', ''<'', False)]", "never_met"),
    ] {
        rule(&desk, code, "condition_domain", &format!("'{domain}'")).await;
        let found = codes(&desk, "rule", code).await;
        assert!(
            found.contains(&format!("warning {warning}")),
            "{domain}: {found:?}"
        );
        assert_eq!(check(&desk, &["rule", code]).await.0, 0);
        assert_eq!(check(&desk, &["--strict", "rule", code]).await.0, 3);
    }
    // A schedule that asks for the same day for ever.
    desk.sql(
        "insert into sicantik_notify.trigger (code, name, model, trigger_type, interval_number, interval_type, condition_domain)
         values ('fixed', 'Fixed', 'sicantik.permit', 'cron', 1, 'days', '[(''expiry_date'', ''<='', ''2026-12-22'')]')",
    )
    .await;
    assert!(
        codes(&desk, "trigger", "fixed")
            .await
            .contains(&"warning fixed_date".to_owned())
    );
    // Settings that do not go together.
    rule(
        &desk,
        "odd",
        "schedule_type, scheduled_delay, group_by",
        "'immediate', 5, 'recipient'",
    )
    .await;
    assert_eq!(
        codes(&desk, "rule", "odd").await,
        ["warning settings", "warning settings"]
    );
    desk.sql(
        "update sicantik_notify.template set body = 'Yth. {{partner_name}}: {{no_such_value}}' where template_key = 'permit_ready';
         update sicantik_notify.provider set settings = '{}' where name = 'meta';
         delete from sicantik_notify.provider_secret",
    )
    .await;
    assert_eq!(
        codes(&desk, "template", "permit_ready").await,
        ["error template_values", "warning template_lint"]
    );
    let (code, text) = check(&desk, &[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no provider is active and configured"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_rule_is_a_problem_while_the_daemon_runs_and_none_when_it_is_mended() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    rule(
        &desk,
        "bad",
        "condition_domain",
        "'[(''colour'', ''='', ''red'')]'",
    )
    .await;
    desk.until("select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: rule bad' and summary like '%colour%'")
        .await;
    // Corrected to a condition that no record meets: accepted, and still a warning.
    desk.sql("update sicantik_notify.rule set condition_domain = '[(''status'', ''='', ''aproved'')]' where code = 'bad'")
        .await;
    desk.until(
        "select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: rule bad' and severity = 'warning'
           and summary like '%aproved%' and summary like '%expired%' and remedy like '%check rule bad%'",
    )
    .await;
    // A template that does not exist, seen before the first message.
    desk.sql("update sicantik_notify.rule set condition_domain = null, template_key = 'nothing' where code = 'bad'").await;
    desk.until(
        "select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: rule bad'
           and summary like '%there is no active template nothing%' and remedy like '%meta_opt_in_request%'",
    )
    .await;
    // What is only worth a look does not drown the list.
    desk.sql(
        "update sicantik_notify.rule set template_key = 'permit_ready',
         condition_domain = '[(''partner_id.city'', ''!='', ''Kabanjahe''), (''state'', ''='', ''approved'')]' where code = 'bad'",
    )
    .await;
    desk.until(
        "select not exists (select from sicantik_notify.v_problem where about = 'configuration: rule bad')",
    )
    .await;
    assert!(
        codes(&desk, "rule", "bad")
            .await
            .contains(&"warning path_excludes_unset".to_owned())
    );
}

/// `severity code place` of the findings of one rule, and all their text.
async fn findings(desk: &Desk, rule: &str) -> (Vec<String>, String) {
    let arguments = ["check", "--json", "rule", rule];
    let output = desk.office.command(&arguments).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = report["items"][0]["findings"].as_array().unwrap();
    let word = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    let shown = |f: &Value| format!("{} {} {}", word(f, "severity"), word(f, "code"), word(f, "place"));
    let texts: Vec<String> = all.iter().map(|f| word(f, "text") + &word(f, "remedy")).collect();
    (all.iter().map(shown).collect(), texts.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn python_is_held_against_the_host_with_a_caret_and_its_aliases_are_named() {
    let desk = desk().await;
    rule(
        &desk,
        "py",
        "condition_python, context_preparation_code",
        "'record.state == ''approved''', 'context = {''status'': record.state}'",
    )
    .await;
    let (found, text) = findings(&desk, "py").await;
    assert!(found.iter().all(|f| f.starts_with("hint alias ")), "{found:?}");
    assert!(
        found.contains(&"hint alias condition_python".to_owned())
            && found.contains(&"hint alias context_preparation_code".to_owned()),
        "{found:?}"
    );
    assert!(text.contains("state") && text.contains("status"), "{text}");
    // All that is wrong at once, not only what the compiler meets first.
    rule(
        &desk,
        "bad",
        "condition_domain, condition_python, context_preparation_code",
        "'[(''colour'', ''='', 1)]', 'record.colour == 1', 'x = 1'",
    )
    .await;
    let (found, text) = findings(&desk, "bad").await;
    for wanted in [
        "error domain condition_domain",
        "error python condition_python",
        "error python context_preparation_code",
    ] {
        assert_eq!(
            found.iter().filter(|f| *f == wanted).count(),
            1,
            "{wanted}: {found:?}"
        );
    }
    assert!(
        text.contains("1 | record.colour == 1")
            && text.contains("^^^^^^")
            && text.contains("never sets `context`"),
        "{text}"
    );
    rule(&desk, "who", "condition_python", "'recipient.name == ''x'''").await;
    let (found, text) = findings(&desk, "who").await;
    assert_eq!(found, ["error python condition_python"]);
    assert!(text.contains("before its recipients are found"), "{text}");
    // Read by Python, and not granted.
    rule(
        &desk,
        "rights",
        "condition_python",
        "'''x'' in record.partner_id.category_id.mapped(''name'')'",
    )
    .await;
    let (found, text) = findings(&desk, "rights").await;
    assert!(
        found.contains(&"error rights ".to_owned()) && text.contains("on public.\"res_partner_category\""),
        "{found:?} {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_by_domain_and_by_field_are_checked() {
    let desk = desk().await;
    for (code, domain, wanted, part) in [
        (
            "r1",
            "[(''colour'', ''='', 1)]",
            "error domain recipient_domain",
            "res.partner has no `colour`",
        ),
        (
            "r2",
            "[(''id'', ''='', record.id)]",
            "error domain recipient_domain",
            "recipient_field",
        ),
        (
            "r3",
            "[(''city'', ''not in'', [])]",
            "warning always_met recipient_domain",
            "city",
        ),
        (
            "r4",
            "[(''id'', ''='', 10)",
            "error domain recipient_domain",
            "1 | [('id'",
        ),
    ] {
        let values = format!("'custom', '{domain}'");
        rule(&desk, code, "recipient_type, recipient_domain", &values).await;
        let (found, text) = findings(&desk, code).await;
        assert_eq!(
            found.iter().filter(|f| *f == wanted).count(),
            1,
            "{domain}: {found:?}"
        );
        assert!(text.contains(part), "{domain}: {text}");
    }
    rule(
        &desk,
        "f1",
        "recipient_type, recipient_field",
        "'field', 'owner_id'",
    )
    .await;
    let (found, text) = findings(&desk, "f1").await;
    assert_eq!(found, ["error settings recipient_field"]);
    assert!(text.contains("recipient_field owner_id"), "{text}");
    // Everybody: a problem that nobody has to ask for.
    let _daemon = desk.quick().await;
    desk.until(
        "select count(*) = 1 from sicantik_notify.v_problem where about = 'configuration: rule r3' and severity = 'warning'
           and summary like 'recipient_domain: %'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repetition_is_shown_as_it_is_understood() {
    let desk = desk().await;
    for (code, columns, values, meant) in [
        ("p1", "repeat_policy", "'once_per_record'", "once_per_record"),
        (
            "p2",
            "repeat_policy, repeat_field",
            "'once_per_value', 'state, expiry_date'",
            "once_per_value(status, expiry_date)",
        ),
        (
            "p3",
            "repeat_policy, repeat_cooldown",
            "'cooldown', 60",
            "cooldown(60 minutes)",
        ),
        ("p4", "repeat_policy", "'auto'", "every_event"),
    ] {
        rule(&desk, code, columns, values).await;
        let arguments = ["check", "--json", "rule", code];
        let output = desk.office.command(&arguments).output().await.unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["items"][0]["repeat_policy"]["meant"], meant);
    }
    // A schedule whose condition reads no date but the host's own.
    desk.sql(
        "update sicantik_notify.rule set repeat_policy = 'auto' where code = 'notify_document_reminder'",
    )
    .await;
    let (_, text) = check(&desk, &[]).await;
    assert!(
        text.contains("repetition in force: rule notify_document_reminder: cooldown(1440 minutes) (auto)"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cron_that_sends_too_is_a_problem_only_while_rules_are_in_force() {
    let desk = desk().await;
    let crons = "select count(*) from sicantik_notify.v_problem where about like 'host cron %' and severity = 'warning'";
    assert!(desk.number(crons).await > 0);
    let remedy = "select remedy from sicantik_notify.v_problem where about = 'host cron 7'";
    let remedy = desk.text(remedy).await.unwrap();
    assert!(
        remedy.contains("update public.ir_cron set active = false where id = 7"),
        "{remedy}"
    );
    desk.sql("update sicantik_notify.rule set active = false").await;
    assert_eq!(desk.number(crons).await, 0);
    desk.sql(
        "update sicantik_notify.rule set active = true; update public.ir_cron set active = false where id <> 7",
    )
    .await;
    assert_eq!(desk.number(crons).await, 1);
    desk.sql("update public.ir_cron set active = false").await;
    assert_eq!(desk.number(crons).await, 0);
    // Without the right to look, the list of problems is still there.
    desk.sql(
        "update public.ir_cron set active = true; revoke select on public.ir_cron from sicantik_notify_owner",
    )
    .await;
    assert_eq!(desk.number(crons).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_that_are_not_over_are_checked_too() {
    let desk = desk().await;
    desk.sql(
        "insert into sicantik_notify.campaign (code, name, rule, target_model, target_domain, state, finished_at, started_at) values
             ('well', 'A', 'notify_permit_approved', 'sicantik.permit', '[(''state'', ''='', ''approved'')]', 'draft', null, null),
             ('typo', 'B', 'notify_permit_approved', 'sicantik.permit', '[(''stat'', ''='', ''active'')]', 'draft', null, null),
             ('asleep', 'C', 'notify_document_signed', 'sicantik.document', '[]', 'running', null, now()),
             ('textless', 'D', 'notify_permit_approved', 'sicantik.permit', '[]', 'draft', null, null),
             ('over', 'E', 'notify_permit_approved', 'sicantik.permit', '[(''stat'', ''='', 1)]', 'cancelled', now(), now());
         update sicantik_notify.campaign set template_key = 'reminder' where code = 'textless';
         update sicantik_notify.template set active = false where template_key = 'reminder'",
    )
    .await;
    assert_eq!(codes(&desk, "campaign", "well").await, [""; 0]);
    assert_eq!(codes(&desk, "campaign", "typo").await, ["error campaign_domain"]);
    assert_eq!(
        codes(&desk, "campaign", "asleep").await,
        ["warning campaign_inactive"]
    );
    assert_eq!(
        codes(&desk, "campaign", "textless").await,
        ["error campaign_template"]
    );
    let (code, text) = check(&desk, &["campaign", "typo"]).await;
    assert!(
        code == 1 && text.contains("target_domain: ") && text.contains("^^^^"),
        "{text}"
    );
    let (code, text) = check(&desk, &["campaign", "over"]).await;
    assert!(code == 1 && text.contains("there is no campaign over"), "{text}");
    // A draft stops nobody else: only what is under way counts.
    let (code, text) = check(&desk, &[]).await;
    assert!(code == 0 && text.contains("campaign typo (inactive)"), "{text}");
}
