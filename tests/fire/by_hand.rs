//! `fire_trigger()` and `fire`: what may be fired, who fired it, and what became of it.

use serde_json::json;
use tokio_postgres::error::SqlState;

use crate::desk::desk;
use crate::stand::{PERMITS, refused};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_fires_in_sql_and_explain_knows_who_it_was() {
    let desk = desk().await;
    desk.trigger(
        "by_hand",
        "manual",
        "condition_python = 'kwargs.get(\"reason\") == \"test\" and kwargs[\"trigger\"] == \"by_hand\"'",
    )
    .await;
    let daemon = desk.quick().await;
    let olga = desk.person("olga", "sicantik_notify_operator").await;
    let fire = format!(
        "select sicantik_notify.fire_trigger('by_hand', 'sicantik.permit', array[{0}, {1}, {0}, null], '{{\"reason\": \"test\"}}')",
        PERMITS[0], PERMITS[1]
    );
    let fired: i64 = olga.query_one(&fire, &[]).await.unwrap().get(0);
    assert_eq!(fired, 2, "each record once");
    let told = desk.accepted(2).await;
    let mut numbers: Vec<&str> = told.iter().map(|a| a.to.as_str()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["6281234567890", "6281377778888"]);
    let noted = "select concat_ws(' ', trigger, source, fired_by, events) from sicantik_notify.v_firing";
    assert_eq!(desk.text(noted).await.unwrap(), "by_hand manual olga 2");
    let (code, text) = desk.cli(&["explain", "--record", "sicantik.permit,1"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("was put forward for the trigger by_hand, fired by olga in SQL at ")
            && text.contains("with {\"reason\":\"test\"}"),
        "{text}"
    );
    // Also when the events are not kept any more.
    desk.sql("delete from sicantik_notify.event_history").await;
    let (_, text) = desk.cli(&["explain", "--record", "sicantik.permit,1"]).await;
    assert!(
        text.contains("was put forward in transaction") && text.contains("fired by olga in SQL at "),
        "{text}"
    );
    // Twice in one transaction is one run.
    let twice = "begin; select sicantik_notify.fire_trigger('by_hand', null, array[1]);
                 select sicantik_notify.fire_trigger('by_hand', '', array[2, 3]); commit";
    olga.batch_execute(twice).await.unwrap();
    assert_eq!(
        desk.number("select max(events) from sicantik_notify.v_firing")
            .await,
        3
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fired_is_refused_with_the_remedy() {
    let desk = desk().await;
    desk.trigger("by_hand", "manual", "active = true").await;
    desk.trigger("asleep", "api", "active = true").await;
    desk.sql("update sicantik_notify.trigger set active = false where code = 'asleep'")
        .await;
    let olga = desk.person("olga", "sicantik_notify_operator").await;
    let fire = |arguments: &str| format!("select sicantik_notify.fire_trigger({arguments})");
    for (arguments, state, said) in [
        (
            "'by_hnd', null, array[1]",
            SqlState::NO_DATA_FOUND,
            "there is no trigger 'by_hnd' / did you mean by_hand",
        ),
        (
            "null, null, array[1]",
            SqlState::NO_DATA_FOUND,
            "there is no trigger without a code",
        ),
        (
            "'asleep', null, array[1]",
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "is inactive / update sicantik_notify.trigger set active",
        ),
        (
            "'by_hand', 'res.partner', array[1]",
            SqlState::INVALID_PARAMETER_VALUE,
            "is about sicantik.permit, not about res.partner",
        ),
        (
            "'by_hand', null, '{}'",
            SqlState::INVALID_PARAMETER_VALUE,
            "no record was named",
        ),
        (
            "'by_hand', null, null",
            SqlState::INVALID_PARAMETER_VALUE,
            "no record was named",
        ),
        (
            "'by_hand', null, array[1], '[1]'",
            SqlState::INVALID_PARAMETER_VALUE,
            "kwargs must be a JSON object, and is a JSON array",
        ),
        (
            "'system_inbound', null, array[10]",
            SqlState::WRONG_OBJECT_TYPE,
            "is the daemon's own",
        ),
        (
            "'permit_state_change', null, array[1]",
            SqlState::WRONG_OBJECT_TYPE,
            "backfill --trigger permit_state_change",
        ),
    ] {
        let (code, text) = refused(&olga, &fire(arguments)).await;
        assert_eq!(code, state, "{text}");
        assert!(text.contains(said), "{arguments}: {text}");
    }
    assert_eq!(desk.number("select count(*) from sicantik_notify.event").await, 0);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.firing").await,
        0
    );
    // Whoever only looks fires nothing, and nobody writes events past the function.
    let vera = desk.person("vera", "sicantik_notify_viewer").await;
    let (code, _) = refused(&vera, &fire("'by_hand', null, array[1]")).await;
    assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE);
    for client in [&olga, &vera] {
        for table in [
            "event (op, record_id, model) values ('F', 1, 'x')",
            "firing (trigger_id, source, fired_by, events) values (1, 'cli', 'x', 1)",
        ] {
            let (code, _) = refused(client, &format!("insert into sicantik_notify.{table}")).await;
            assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{table}");
        }
    }
    // The command line says the same.
    for (arguments, said) in [
        (["fire", "by_hnd", "--ids", "1"], "did you mean by_hand"),
        (
            ["fire", "permit_state_change", "--ids", "1"],
            "backfill --trigger permit_state_change",
        ),
        (
            ["fire", "by_hand", "--domain", "[('stat', '=', 'active')]"],
            "^^^^",
        ),
    ] {
        let (code, text) = desk.cli(&arguments).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(said), "{text}");
    }
    let (code, _) = desk.cli(&["fire", "by_hand"]).await;
    assert_eq!(code, 2, "which records?");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_fires_a_domain_and_waits_for_the_decisions() {
    let desk = desk().await;
    desk.trigger(
        "by_hand",
        "manual",
        "condition_domain = '[(\"permit_type_name\", \"ilike\", \"dokter\")]'",
    )
    .await;
    // Nobody evaluates: the run is not over, and says why.
    let (code, text) = desk.cli(&["fire", "by_hand", "--ids", "1", "--wait=0"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("Fired by_hand for 1 record ") && text.contains("no daemon is running"),
        "{text}"
    );
    desk.sql("delete from sicantik_notify.event").await;

    let _daemon = desk.quick().await;
    let domain = "[('status', '=', 'active'), ('id', '<=', 5)]";
    let told = desk
        .json(&[
            "fire",
            "by_hand",
            "--domain",
            domain,
            "--wait",
            "--kwargs",
            r#"{"a": 1}"#,
        ])
        .await;
    assert_eq!(
        (&told["events"], &told["over"]),
        (&json!(5), &json!(true)),
        "{told}"
    );
    let mut counts = told["counts"].as_array().unwrap().clone();
    counts.sort_by_key(|c| c["outcome"].to_string());
    assert_eq!(
        counts,
        [
            json!({"rule": "by_hand", "outcome": "enqueued", "count": 3}),
            json!({"rule": "by_hand", "outcome": "rule_condition", "count": 2})
        ]
    );
    let names: Vec<&str> = told["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|d| d["name"].as_str())
        .collect();
    assert_eq!(names, ["Budi Santoso", "Ani Lestari", "Candra Wijaya"]);
    let who = "select source || coalesce(' ' || (kwargs ->> 'a'), '') from sicantik_notify.firing order by fired_at desc limit 1";
    assert_eq!(desk.text(who).await.unwrap(), "cli 1");
    let (code, text) = desk
        .cli(&["fire", "by_hand", "--ids", "1,999999", "--wait=20"])
        .await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("Budi Santoso") && text.contains("the record does not exist any more"),
        "{text}"
    );
    // A cron trigger may be asked out of its turn.
    let (code, text) = desk.cli(&["fire", "permit_expiring", "--ids", "1"]).await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn firings_are_forgotten_with_the_log() {
    let desk = desk().await;
    desk.trigger("by_hand", "manual", "active = true").await;
    desk.sql("select sicantik_notify.fire_trigger('by_hand', null, array[1])")
        .await;
    let forget = "select sicantik_notify.firing_forget()";
    assert_eq!(desk.number(forget).await, 0);
    desk.sql(
        "update sicantik_notify.firing set fired_at = fired_at - make_interval(days => 1 + (
             select value::integer from sicantik_notify.setting where key = 'log_retention_days'))",
    )
    .await;
    desk.sql("update sicantik_notify.setting set value = '' where key = 'log_retention_days'")
        .await;
    assert_eq!(desk.number(forget).await, 0, "no number: nothing is thrown away");
    desk.sql("update sicantik_notify.setting set value = '365' where key = 'log_retention_days'")
        .await;
    desk.sql("update sicantik_notify.firing set fired_at = now() - interval '366 days'")
        .await;
    // With the months of the log.
    desk.sql("select sicantik_notify.retire_partitions()").await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.firing").await,
        0
    );
}
