//! Python in rules (SICANTIK guide §4.2): conditions and contexts, what they read, and what goes wrong.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sicantik_notifyd::capture::fire::Selection;
use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{Office, Plan};

use crate::bench::Bench;

const GUIDE: &str = "context = {
    'partner_name': recipient.name or 'Bapak/Ibu',
    'permit_number': record.permit_number or '',
    'permit_type': record.permit_type_name or '',
    'status': record.state or '',
    'applicant_name': record.applicant_name or '',
    'expiry_date': record.expiry_date.strftime('%d-%m-%Y') if record.expiry_date else '',
}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_context_code_goes_unmodified_from_a_write_to_the_provider() {
    let office = Office::open(
        Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")),
        &Plan::default(),
    )
    .await
    .unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .execute(
            "update sicantik_notify.rule set active = true, context_preparation_code = $1,
                    condition_python = 'record.state == ''approved'' and kwargs[''old_state''] == ''draft'' '
                                       'and not record.partner_id.parent_id'
             where code = 'notify_permit_approved'",
            &[&GUIDE],
        )
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    let _daemon = office.daemon("").await.unwrap();
    office
        .until(
            &admin,
            "select exists (select from sicantik_notify.capture_publication)",
        )
        .await
        .unwrap();
    admin
        .execute(
            "update sicantik_permit set status = 'active', permit_number = '503/PY', permit_type_name = 'SIUP' where id = $1",
            &[&ids::PERMIT_DRAFT],
        )
        .await
        .unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(20))
        .await
        .unwrap();
    assert!(
        accepted[0].text.contains("503/PY") && accepted[0].text.contains("status active"),
        "{}",
        accepted[0].text
    );
    // The hook carries what the code reads, and nothing had to be read again.
    office
        .until(
            &admin,
            "select exists (select from sicantik_notify.v_decision where outcome = 'enqueued' and reason not like '%current value%')",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_fails_for_one_record_stops_only_that_record() {
    let bench = Bench::open().await;
    bench
        .rule(
            "sicantik.permit",
            "py",
            "condition_python = 'len(record.partner_id.name) > 0 and record.id != 2'",
        )
        .await;
    bench.grants().await;
    bench
        .fire("py", &[ids::PERMIT_ACTIVE, 2, ids::PERMIT_NO_PARTNER])
        .await;
    let done = bench.run().await;
    assert_eq!(done.set_aside, 1);
    let decided = bench.decided("py").await;
    assert!(decided[0].starts_with("1 enqueued"), "{decided:?}");
    assert_eq!(
        decided[1],
        "2 rule_condition: the rule's condition_python is not met"
    );
    assert!(
        decided[2].starts_with("10 error: type error: ")
            && decided[2].contains("1 | len(record.partner_id.name)"),
        "{decided:?}"
    );
    let problem =
        "select summary from sicantik_notify.v_problem where about = 'rule py' and severity = 'warning'";
    let problems = bench.texts(problem).await;
    assert!(
        problems[0].contains("for 1 changes, such as sicantik.permit,10"),
        "{problems:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_fails_is_no_message_and_is_tried_again() {
    let bench = Bench::open().await;
    bench
        .rule(
            "sicantik.permit",
            "py",
            "context_preparation_code = 'context = {''partner_name'': record.partner_id}'",
        )
        .await;
    bench.grants().await;
    bench.fire("py", &[ids::PERMIT_ACTIVE]).await;
    assert_eq!(bench.run().await.set_aside, 1);
    let decided = bench.decided("py").await;
    assert!(decided[0].contains("write `.name` after it"), "{decided:?}");
    bench
        .sql(
            "update sicantik_notify.rule set context_preparation_code = 'context = {''partner_name'': record.partner_id.name}'
             where code = 'py';
             update sicantik_notify.event_set_aside set next_try_at = sicantik_notify.clock();
             with due as (delete from sicantik_notify.event_set_aside returning *)
             insert into sicantik_notify.event (op, record_id, model, target_trigger, target_rule)
             select 'F', record_id, model, target_trigger, target_rule from due",
        )
        .await;
    bench.run().await;
    let context = bench
        .texts("select context::text from sicantik_notify.queue")
        .await;
    assert_eq!(context.len(), 1);
    assert!(context[0].starts_with("{\"partner_name\": \""), "{context:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snippet_that_cannot_work_is_a_problem_with_its_place() {
    let bench = Bench::open().await;
    for (code, columns, said) in [
        (
            "field",
            "condition_python = 'record.colour == 1'",
            "sicantik.permit has no field colour",
        ),
        (
            "recipient",
            "condition_python = 'recipient.name'",
            "recipient is not known there",
        ),
        (
            "import",
            "context_preparation_code = E'import os\\ncontext = {}'",
            "nothing can be imported",
        ),
        ("secret", "condition_python = 'user.password'", "secret"),
        ("write", "condition_python = 'record.write({})'", "read-only"),
    ] {
        bench.rule("sicantik.permit", code, columns).await;
        let mut client = bench.client("").await;
        let configuration = bench.configuration(&mut client).await;
        let about = format!("rule {code}");
        let problem = configuration.problems.iter().find(|p| p.about == about);
        let problem = problem.unwrap_or_else(|| panic!("{code} is accepted"));
        assert!(problem.summary.contains(said), "{}", problem.summary);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_a_missing_right_names_the_remedy_and_nothing_else_suffers() {
    let bench = Bench::open().await;
    bench
        .rule(
            "sicantik.permit",
            "py",
            "condition_python = 'record.partner_id.country_id.code == ''ID'''",
        )
        .await;
    bench.rule("sicantik.permit", "plain", "sequence = 99").await;
    bench
        .sql("revoke all on res_country from sicantik_notifyd; update sicantik_notify.rule set trigger = 'py' where code = 'plain'")
        .await;
    bench.fire("py", &[ids::PERMIT_ACTIVE]).await;
    bench.run().await;
    let decided = bench
        .texts(
            "select rule_code || ' ' || outcome || ' ' || reason from sicantik_notify.decision order by id",
        )
        .await;
    assert!(
        decided[0].starts_with("py error condition_python reads what the daemon may not read")
            && decided[0].contains("hooks install"),
        "{decided:?}"
    );
    assert!(decided[1].starts_with("plain enqueued"), "{decided:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_hostile_code_is_ended_and_the_daemon_goes_on() {
    let office = Office::open(
        Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")),
        &Plan::default(),
    )
    .await
    .unwrap();
    let admin = office.admin().await.unwrap();
    for (code, text) in [
        ("endless", "while True:\n    pass\ncontext = {}"),
        (
            "hoard",
            "x = []\nwhile True:\n    x.append('a' * 500000)\ncontext = {}",
        ),
        ("deep", "def f(n):\n    return f(n + 1)\nf(0)\ncontext = {}"),
        (
            "wide",
            "x = [0]\nfor n in range(9):\n    x = [x] * 100\ncontext = {'a': x}",
        ),
        (
            "many",
            "for n in range(10 ** 6):\n    env['res.partner'].search_count([('id', '=', n)])\ncontext = {}",
        ),
        (
            "sql",
            "context['a'] = env['res.partner'].search([('name', '=', \"'; drop table res_partner; --\")]).ids",
        ),
    ] {
        admin
            .execute(
                "insert into sicantik_notify.rule (code, name, trigger, template_key, sequence, context_preparation_code)
                 values ($1, $1, 'permit_state_change', 'permit_ready', 1, $2)",
                &[&code, &text],
            )
            .await
            .unwrap();
    }
    admin
        .batch_execute("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    let daemon = office
        .daemon("[python]\nhost_calls = 5\ntime_ms = 1000\n")
        .await
        .unwrap();
    office
        .until(
            &admin,
            "select exists (select from sicantik_notify.capture_publication)",
        )
        .await
        .unwrap();
    admin
        .execute(
            "update sicantik_permit set status = 'active' where id = $1",
            &[&ids::PERMIT_DRAFT],
        )
        .await
        .unwrap();
    // The healthy rule, and the one whose text is only a text.
    office
        .gateway
        .wait_for_accepted(2, Duration::from_secs(40))
        .await
        .unwrap();
    for (code, said) in [
        ("endless", "longer than 1s"),
        ("hoard", "limit error"),
        ("deep", "recursion"),
        ("wide", "too large"),
        ("many", "more than 5 times"),
    ] {
        let decided = format!(
            "select exists (select from sicantik_notify.v_decision where rule = '{code}' and outcome = 'error' and reason like '%{said}%')"
        );
        if let Err(error) = office.until(&admin, &decided).await {
            let why = admin
                .query("select rule, reason from sicantik_notify.v_decision", &[])
                .await
                .unwrap();
            let why: Vec<String> = why
                .iter()
                .map(|r| format!("{:?}", (r.get::<_, Option<String>>(0), r.get::<_, String>(1))))
                .collect();
            panic!("{code}: {error}\n{}\n{}", why.join("\n"), daemon.log());
        }
    }
    office
        .until(&admin, "select count(*) > 20 from res_partner")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_firing_passes_on_is_in_kwargs_and_survives_a_set_aside() {
    let bench = Bench::open().await;
    bench
        .rule(
            "sicantik.permit",
            "told",
            "condition_python = 'kwargs[''reason''] == ''flood'' and kwargs[''trigger''] == ''told'' and kwargs[''old_state''] == ''draft'' '
                                'and 1 / kwargs[''divisor''] > 0'",
        )
        .await;
    bench.grants().await;
    let permits = [i64::from(ids::PERMIT_ACTIVE), i64::from(ids::PERMIT_DRAFT)];
    let given = json!({"reason": "flood", "old_state": "draft", "trigger": "forged", "divisor": 0});
    let fired = bench.fire_with("told", Selection::Ids(&permits), given).await;
    assert_eq!(fired.events, 2);
    bench.batch(100).await;
    let kept = "select count(*) from sicantik_notify.event_set_aside s, jsonb_array_elements(s.events) e
                where e -> 'kwargs' ->> 'reason' = 'flood'";
    assert_eq!(bench.number(kept).await, 2, "the division failed for each");
    bench
        .sql("update sicantik_notify.rule set condition_python = 'kwargs[''reason''] == ''flood''' where code = 'told'")
        .await;
    bench
        .sql("update sicantik_notify.event_set_aside set next_try_at = '-infinity'")
        .await;
    let retry = sicantik_notifyd::db::statements::EVENT_RETRY.sql;
    bench.client("").await.execute(retry, &[&100_i64]).await.unwrap();
    bench.batch(100).await;
    assert_eq!(
        bench.number("select count(*) from sicantik_notify.queue").await,
        2
    );
    let told = "select count(*) from sicantik_notify.event_history where kwargs ->> 'reason' = 'flood'";
    assert_eq!(bench.number(told).await, 4);
}
