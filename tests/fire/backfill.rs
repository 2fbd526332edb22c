//! `backfill`: those whose change was missed are told, once, and nobody else.

use serde_json::json;
use sicantik_notifyd::testkit::host::{OdooSession, Value};

use crate::desk::{Desk, QUICK, approve, citizens, desk};

const OFF: &str = "alter table sicantik_permit disable trigger user";
const ON: &str = "alter table sicantik_permit enable trigger user";

/// What a backfill would do for the rule of approved permits.
async fn planned(desk: &Desk, more: &[&str]) -> serde_json::Value {
    let arguments: Vec<&str> = ["backfill", "--rule", "notify_permit_approved"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    desk.json(&arguments).await
}

async fn write(odoo: &mut OdooSession, permits: &[i32], column: &'static str, value: &str) {
    odoo.request(async |odoo: &mut OdooSession| {
        odoo.write(
            "sicantik_permit",
            permits,
            &[(column, Value::Text(value.to_owned()))],
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_whose_change_was_missed_are_told_once_and_the_alarm_is_settled() {
    let desk = desk().await;
    let daemon = desk
        .daemon(&QUICK.replace("[capture]", "[capture]\nverify_interval_seconds = 1"))
        .await;
    let mut odoo = desk.odoo().await;
    let permits: Vec<i32> = citizens(&mut odoo, 6)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    // Two are captured, two are missed, one stays a draft, one is written without having come anywhere.
    approve(&mut odoo, &permits[..2]).await;
    desk.accepted(2).await;
    desk.drained().await;
    desk.sql(OFF).await;
    desk.until("select exists (select from sicantik_notify.hook_check where finding is not null)")
        .await;
    let (code, text) = desk.cli(&["backfill"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Changes go on being missed: trigger sicantik_notify_"),
        "{text}"
    );
    approve(&mut odoo, &permits[2..4]).await;
    write(&mut odoo, &permits[4..5], "applicant_name", "Somebody").await;
    write(&mut odoo, &permits[..1], "applicant_name", "Somebody Else").await;
    desk.sql(ON).await;
    desk.until(
        "select exists (select from sicantik_notify.v_problem where about = 'hook gap of sicantik_permit'
                               and remedy like 'run sicantik-notifyd backfill%')",
    )
    .await;

    let (code, text) = desk.cli(&["backfill"]).await;
    assert_eq!(code, 3, "{text}");
    for said in [
        "hook gap of sicantik_permit: between",
        "2 messages would be enqueued",
        "whether the status changed at all is not known",
        "Nothing was written; give --yes to go on.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.firing").await,
        0
    );
    let (code, text) = desk.cli(&["backfill", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("The alarm \"hook gap of sicantik_permit\" is settled."),
        "{text}"
    );
    let told = desk.accepted(4).await;
    desk.drained().await;
    assert_eq!(told.len(), desk.office.gateway.count());
    let whom = "select string_agg(record_id::text, ',' order by id) from sicantik_notify.log";
    let expected = permits[..4]
        .iter()
        .map(i32::to_string)
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(desk.text(whom).await.unwrap(), expected);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about like 'hook gap%'")
            .await,
        0
    );

    // Again, over the same time and over all times: nobody.
    for since in ["1h", "2020-01-01"] {
        let again = planned(
            &desk,
            &["--since", since, "--domain", "[('id', '>', 20)]", "--yes"],
        )
        .await;
        assert_eq!(again["would"]["messages"], 0, "{again}");
    }
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 4);
    // explain knows where the message came from.
    let record = format!("sicantik.permit,{}", permits[2]);
    let (_, text) = desk.cli(&["explain", "--record", &record]).await;
    assert!(
        text.contains("the rule notify_permit_approved, for a change that was missed: backfill by "),
        "{text}"
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_before_the_daemon_looks_and_beside_captured_events_is_once() {
    let desk = desk().await;
    drop(desk.quick().await);
    let mut odoo = desk.odoo().await;
    let permits: Vec<i32> = citizens(&mut odoo, 4)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    approve(&mut odoo, &permits[..1]).await;
    desk.sql(OFF).await;
    approve(&mut odoo, &permits[1..]).await;
    desk.sql(ON).await;
    assert!(
        desk.number("select count(*) from sicantik_notify.event").await > 0,
        "captured, and waits"
    );
    let arguments = ["--since", "1h", "--domain", "[('id', '>', 20)]", "--yes"];
    let (one, two) = tokio::join!(planned(&desk, &arguments), planned(&desk, &arguments));
    let events = one["events"].as_i64().unwrap() + two["events"].as_i64().unwrap();
    assert_eq!(events, 3, "{one} {two}");
    assert_eq!(
        one["parts"][0]["not_known"],
        json!("whether the status changed at all is not known")
    );
    let third = planned(&desk, &arguments).await;
    assert_eq!(
        (&third["events"], &third["parts"][0]["waiting"]),
        (&json!(0), &json!(4)),
        "{third}"
    );
    let _daemon = desk.quick().await;
    desk.accepted(4).await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 4);
    let each = "select max(n) from (select count(*) as n from sicantik_notify.log group by record_id) x";
    assert_eq!(desk.number(each).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_before_is_told_again_only_where_that_is_said() {
    let desk = desk().await;
    let daemon = desk.quick().await;
    let mut odoo = desk.odoo().await;
    let permits: Vec<i32> = citizens(&mut odoo, 2)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    approve(&mut odoo, &permits).await;
    desk.accepted(2).await;
    desk.drained().await;
    drop(daemon);
    // A day later, hooks were away for an hour: one permit went to and fro, the other was only synchronised.
    desk.sql("update sicantik_notify.decision set decided_at = decided_at - interval '1 day'")
        .await;
    desk.sql(OFF).await;
    write(&mut odoo, &permits[..1], "status", "draft").await;
    write(&mut odoo, &permits[..1], "status", "active").await;
    write(&mut odoo, &permits[1..], "applicant_name", "Somebody").await;
    desk.sql(ON).await;
    let domain = ["--since", "1h", "--domain", "[('id', '>', 20)]"];
    let plan = planned(&desk, &domain).await;
    assert_eq!(
        (&plan["parts"][0]["told_before"], &plan["would"]["messages"]),
        (&json!(2), &json!(0)),
        "{plan}"
    );
    let again: Vec<&str> = domain.iter().copied().chain(["--again"]).collect();
    let plan = planned(&desk, &again).await;
    assert_eq!(
        (&plan["parts"][0]["told_before"], &plan["would"]["messages"]),
        (&json!(0), &json!(2)),
        "{plan}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_times_are_utc_and_each_kind_of_trigger_has_its_own_sign() {
    let desk = desk().await;
    desk.trigger("created", "on_create", "active = true").await;
    desk.trigger("written", "on_write", "active = true").await;
    desk.trigger("expired", "on_state_change", "active = true").await;
    desk.sql("update sicantik_notify.trigger set state_to = 'expired', state_from = 'active' where code = 'expired'").await;
    desk.sql(
        "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch, field_change) values
             ('numbered', 'x', 'sicantik.permit', 'on_field_change', 'permit_number', 'set'),
             ('unnumbered', 'x', 'sicantik.permit', 'on_field_change', 'permit_number', 'cleared'),
             ('broken', 'x', 'sicantik.permit', 'on_field_change', 'nothing', 'set');
         insert into sicantik_notify.rule (code, name, trigger, template_key)
         select t.code, 'x', t.code, 'permit_ready' from sicantik_notify.trigger t where t.code like '%numbered'",
    )
    .await;
    desk.sql("alter database sicantik set timezone = 'Asia/Jakarta'")
        .await;
    desk.sql(
        "update sicantik_permit set write_date = '2026-03-01 10:00:00', create_date = '2026-01-01 10:00:00';
         update sicantik_permit set create_date = '2026-03-01 09:30:00' where id = 2;
         update sicantik_permit set write_date = '2026-03-01 09:00:00' where id = 3;
         delete from sicantik_notify.event",
    )
    .await;
    let plan = desk
        .json(&[
            "backfill",
            "--model",
            "sicantik.permit",
            "--since",
            "2026-03-01 09:15:00Z",
        ])
        .await;
    let left = |code: &str| {
        let parts = plan["parts"].as_array().unwrap();
        parts.iter().find(|p| p["rule"] == code).unwrap()["left"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(
        (left("created"), left("written"), left("expired")),
        (1, 19, 1),
        "{plan}"
    );
    assert_eq!((left("numbered"), left("unnumbered")), (17, 2), "{plan}");
    assert!(
        plan["unusable"][0]
            .as_str()
            .unwrap()
            .starts_with("trigger broken: "),
        "{plan}"
    );
    let doubt = "the old value is not known: whether it was 'active' cannot be checked";
    assert!(
        plan["parts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["not_known"] == doubt),
        "{plan}"
    );
    // What has no answer.
    for (arguments, said) in [
        (vec!["backfill"], "v_problem has no alarm of missed changes"),
        (
            vec!["backfill", "--since", "1h", "--trigger", "permit_expiring"],
            "watches no changes",
        ),
        (
            vec!["backfill", "--since", "1h", "--trigger", "permit_issued"],
            "is inactive, so nothing of it was missed",
        ),
        (
            vec!["backfill", "--since", "1h", "--rule", "nobody"],
            "there is no rule nobody",
        ),
        (
            vec![
                "backfill",
                "--since",
                "1h",
                "--trigger",
                "written",
                "--domain",
                "[('x', '=', 1)]",
            ],
            "field error",
        ),
    ] {
        let (code, answer) = desk.cli(&arguments).await;
        assert_eq!(code, 1, "{answer}");
        assert!(answer.contains(said), "{answer}");
    }
    let (code, _) = desk.cli(&["backfill", "--ids", "1"]).await;
    assert_eq!(code, 2, "ids of which model?");
    // An operator may settle an alarm without telling anybody.
    let olga = desk.person("olga", "sicantik_notify_operator").await;
    desk.sql("insert into sicantik_notify.problem (key, severity, summary, remedy) values ('capture misses', 'alarm', 'x', 'x'), ('other', 'alarm', 'x', 'x')").await;
    let taken: i64 = olga
        .query_one("select sicantik_notify.capture_acknowledge()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(taken, 1);
    let (_, text) = crate::stand::refused(&olga, "select sicantik_notify.capture_acknowledge('other')").await;
    assert!(text.contains("has no alarm of missed changes 'other'"), "{text}");
}
