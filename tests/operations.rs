//! What operators do to messages from psql: process now, retry, cancel, enqueue by hand, release, discard; who may, and what
//! a wrong state says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};
use sicantik_notifyd::testkit::host::ids;
use tokio_postgres::Client;

async fn person(desk: &Desk, name: &str, role: &str) -> Client {
    desk.sql(&format!("create role {name} login; grant {role} to {name}"))
        .await;
    desk.office.connect_as(name).await.unwrap()
}

/// SQLSTATE and words of a refusal.
async fn refused(client: &Client, query: &str) -> (String, String) {
    let error = client.query(query, &[]).await.expect_err(query);
    let error = error.as_db_error().expect("the server's");
    (error.code().code().to_owned(), error.message().to_owned())
}

fn says(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_fits_the_state_or_says_why_not() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let operator = person(&desk, "omar", "sicantik_notify_operator").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    script.once_to("+6281300000002", Behaviour::fonnte_reason("target invalid"));
    let sent = desk.message("+6281300000001").await;
    let failed = desk.message("+6281300000002").await;
    let hold = script.hold_to("+6281300000003", HoldPoint::BeforeAccept);
    let busy = desk.message("+6281300000003").await;
    let _daemon = desk.quick().await;
    desk.until("select count(*) = 2 from sicantik_notify.log").await;
    assert!(hold.arrived_within(desk::PATIENCE).await);

    for (operation, word) in [
        ("process_now", "processed now"),
        ("retry", "retried"),
        ("cancel", "cancelled"),
    ] {
        assert_eq!(
            refused(
                &operator,
                &format!("select sicantik_notify.queue_{operation}({sent})")
            )
            .await,
            says("55000", &format!("message {sent} is sent and cannot be {word}"))
        );
        assert_eq!(
            refused(
                &operator,
                &format!("select sicantik_notify.queue_{operation}({busy})")
            )
            .await,
            says(
                "55000",
                &format!("message {busy} is being sent and cannot be {word}")
            )
        );
        assert_eq!(
            refused(
                &operator,
                &format!("select sicantik_notify.queue_{operation}(99999)")
            )
            .await,
            says("P0002", "there is no message 99999")
        );
    }
    assert_eq!(
        refused(
            &operator,
            &format!("select sicantik_notify.queue_cancel({failed})")
        )
        .await,
        says(
            "55000",
            &format!("message {failed} is failed and cannot be cancelled")
        )
    );
    hold.release();
    desk.accepted(2).await;
    desk.drained().await;

    // A repeated message is a new one, and says of which.
    let again: i64 = operator
        .query_one(&format!("select sicantik_notify.queue_retry({failed})"), &[])
        .await
        .unwrap()
        .get(0);
    assert_ne!(again, failed);
    desk.accepted(3).await;
    desk.until(&format!(
        "select state = 'sent' and retry_of = {failed} from sicantik_notify.v_log where id = {again}"
    ))
    .await;
    assert_eq!(
        refused(
            &operator,
            &format!("select sicantik_notify.queue_retry({failed})")
        )
        .await,
        says(
            "55000",
            &format!("message {failed} was repeated already, as message {again}, which is sent")
        )
    );

    // What waits can be cancelled, and hurried.
    let tomorrow = "insert into sicantik_notify.queue (scheduled_at, rule_id, phone, template_key, context, last_error)
                    select now() + interval '1 day', r.id, '+6281300000004', 'permit_ready', '{}', 'refused before'
                    from sicantik_notify.rule r where r.code = 'notify_permit_approved' returning id";
    let (one, two) = (desk.number(tomorrow).await, desk.number(tomorrow).await);
    let said: String = operator
        .query_one(&format!("select sicantik_notify.queue_cancel({one})"), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(said, format!("message {one} is cancelled"));
    assert_eq!(
        desk.text(&format!(
            "select state || ': ' || error from sicantik_notify.v_log where id = {one}"
        ))
        .await
        .unwrap(),
        "cancelled: cancelled by omar; refused before"
    );
    operator
        .query(&format!("select sicantik_notify.queue_retry({two})"), &[])
        .await
        .unwrap();
    desk.until(&format!(
        "select exists (select from sicantik_notify.log where id = {two})"
    ))
    .await;

    // An inactive rule is no reason to pretend.
    desk.sql("update sicantik_notify.rule set active = false").await;
    let three = desk.number(tomorrow).await;
    assert_eq!(
        refused(
            &operator,
            &format!("select sicantik_notify.queue_process_now({three})")
        )
        .await,
        says(
            "55000",
            &format!("message {three} waits for rule notify_permit_approved, which is inactive")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_and_a_claim_at_once_do_one_thing() {
    let desk = desk().await;
    let (one, two) = (
        person(&desk, "omar", "sicantik_notify_operator").await,
        person(&desk, "olga", "sicantik_notify_operator").await,
    );
    // A claim whose transaction is open: the operator waits for it, and is told what came of it.
    let id = desk.message("+6281300000001").await;
    let claimer = desk.office.admin().await.unwrap();
    claimer
        .batch_execute("begin; update sicantik_notify.queue set state = 'processing', ready = false, claim_token = 1, claimed_by = 1, lease_until = now()")
        .await
        .unwrap();
    let cancel = format!("select sicantik_notify.queue_cancel({id})");
    let (answer, ()) = tokio::join!(refused(&one, &cancel), async {
        desk.until("select exists (select from pg_stat_activity where usename = 'omar' and wait_event_type = 'Lock')").await;
        claimer.batch_execute("commit").await.unwrap();
    });
    assert_eq!(
        answer,
        says(
            "55000",
            &format!("message {id} is being sent and cannot be cancelled")
        )
    );
    // A message that another one cancels at the same time.
    let id = desk.message("+6281300000002").await;
    claimer
        .batch_execute(&format!("begin; select sicantik_notify.queue_cancel({id})"))
        .await
        .unwrap();
    let cancel = format!("select sicantik_notify.queue_cancel({id})");
    let (answer, ()) = tokio::join!(refused(&one, &cancel), async {
        desk.until("select exists (select from pg_stat_activity where usename = 'omar' and wait_event_type = 'Lock')").await;
        claimer.batch_execute("commit").await.unwrap();
    });
    assert_eq!(
        answer,
        says(
            "55000",
            &format!("message {id} is cancelled and cannot be cancelled")
        )
    );
    // Two repetitions of one message: one new message.
    let retry = format!("select sicantik_notify.queue_retry({id})");
    let (a, b) = tokio::join!(one.query(&retry, &[]), two.query(&retry, &[]));
    assert!(a.is_ok() != b.is_ok());
    assert_eq!(
        desk.number(&format!(
            "select count(*) from sicantik_notify.queue where retry_of = {id}"
        ))
        .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_by_hand_as_the_guide_shows_it() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let operator = person(&desk, "omar", "sicantik_notify_operator").await;
    let _daemon = desk.quick().await;
    let context = r#"'{"partner_name": "Test User", "permit_number": "TEST/2025/00001", "permit_type": "SIP", "status": "Aktif"}'"#;
    let id: i64 = operator
        .query_one(
            &format!(
                "select sicantik_notify.enqueue('notify_permit_approved', {}, 'permit_ready', {context})",
                ids::PARTNER_BUDI
            ),
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let accepted = desk.accepted(1).await;
    assert_eq!(accepted[0].to, "6281234567890");
    desk.until(&format!(
        "select state = 'sent' and partner_name is not null from sicantik_notify.v_log where id = {id}"
    ))
    .await;
    // Later, with the rule's template.
    let id: i64 = operator
        .query_one(
            &format!(
                "select sicantik_notify.enqueue('notify_permit_approved', {}, null, {context}, now() + interval '1 day')",
                ids::PARTNER_CANDRA
            ),
            &[],
        )
        .await
        .unwrap()
        .get(0);
    desk.until(&format!(
        "select waiting_for = 'scheduled' and template_key = 'permit_ready' from sicantik_notify.v_queue where id = {id}"
    ))
    .await;
    for (query, code, message) in [
        (
            "enqueue('nothing', 10)".to_owned(),
            "P0002",
            "there is no rule nothing".to_owned(),
        ),
        (
            "enqueue('notify_document_signed', 10)".into(),
            "55000",
            "rule notify_document_signed is inactive: its messages would wait".into(),
        ),
        (
            "enqueue('notify_permit_approved', 10, 'nothing')".into(),
            "P0002",
            "there is no active template nothing".into(),
        ),
        (
            "enqueue('notify_permit_approved', 987654)".into(),
            "P0002",
            "there is no partner 987654".into(),
        ),
        (
            format!("enqueue('notify_permit_approved', {})", ids::PARTNER_NO_NUMBER),
            "22023",
            format!(
                "partner {} has no usable number in whatsapp_number, mobile or phone",
                ids::PARTNER_NO_NUMBER
            ),
        ),
        (
            "enqueue('notify_permit_approved', 10, null, '[]')".into(),
            "22023",
            "context must be a JSON object, such as {\"partner_name\": \"Budi\"}".into(),
        ),
        (
            "enqueue('notify_permit_approved', 10, p_at => '-infinity')".into(),
            "22023",
            "the time of a message cannot be infinite".into(),
        ),
        (
            "rule_release('nothing')".into(),
            "P0002",
            "there is no rule nothing".into(),
        ),
        (
            "rule_discard('nothing')".into(),
            "P0002",
            "there is no rule nothing".into(),
        ),
    ] {
        assert_eq!(
            refused(&operator, &format!("select sicantik_notify.{query}")).await,
            (code.to_owned(), message)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_operate() {
    let desk = desk().await;
    let id = desk.message("+6281300000001").await;
    let viewer = person(&desk, "vera", "sicantik_notify_viewer").await;
    let runtime = desk
        .office
        .connect_as(sicantik_notifyd::testkit::office::RUNTIME)
        .await
        .unwrap();
    let operations = [
        format!("queue_process_now({id})"),
        format!("queue_retry({id})"),
        format!("queue_cancel({id})"),
        "enqueue('notify_permit_approved', 10)".to_owned(),
        "rule_release('notify_permit_approved')".to_owned(),
        "rule_discard('notify_permit_approved')".to_owned(),
    ];
    for operation in &operations {
        for who in [&viewer, &runtime] {
            assert_eq!(
                refused(who, &format!("select sicantik_notify.{operation}"))
                    .await
                    .0,
                "42501",
                "{operation}"
            );
        }
    }
    let operator = person(&desk, "omar", "sicantik_notify_operator").await;
    for (operation, who) in [
        ("select sicantik_notify.blacklist_add('08123456789')", &viewer),
        ("select sicantik_notify.blacklist_remove('08123456789')", &viewer),
        ("select * from sicantik_notify.blacklist", &viewer),
        (
            "select * from sicantik_notify.blacklisted(array['+62812345678'])",
            &viewer,
        ),
        // Inner functions are nobody's.
        (
            "select sicantik_notify.messages_end('{1}', 'sent', '')",
            &operator,
        ),
        ("select sicantik_notify.storm_admit(1, 1)", &operator),
        ("select sicantik_notify.retire_partitions()", &operator),
        (
            "select sicantik_notify.host_blacklist(array['+62812345678'])",
            &operator,
        ),
        (
            "select sicantik_notify.host_blacklist(array['+62812345678'])",
            &runtime,
        ),
        ("delete from sicantik_notify.blacklist", &operator),
        ("delete from sicantik_notify.blacklist", &runtime),
        ("update sicantik_notify.rate_state set used = 0", &operator),
    ] {
        assert_eq!(refused(who, operation).await.0, "42501", "{operation}");
    }
    // What viewers see of the list is masked.
    operator
        .query("select sicantik_notify.blacklist_add('0812 3456 7890')", &[])
        .await
        .unwrap();
    let seen: String = viewer
        .query_one("select phone from sicantik_notify.v_blacklist", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(seen, "+6281****890");
    // And the views of the queue are theirs.
    viewer
        .query("select * from sicantik_notify.v_rule", &[])
        .await
        .unwrap();
    viewer
        .query("select * from sicantik_notify.v_queue", &[])
        .await
        .unwrap();
}

/// A command of the operator: exit code and what it prints.
async fn said(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_do_what_the_functions_do() {
    let desk = desk().await;
    let mut messages = Vec::new();
    for number in 1..=3 {
        messages.push(
            desk.message(&format!("+62813000001{number:02}"))
                .await
                .to_string(),
        );
    }
    let one = messages[0].as_str();
    desk.sql("update sicantik_notify.queue set partner_id = 10 where phone = '+6281300000102'")
        .await;

    let (code, all) = said(&desk, &["queue", "list", "--json"]).await;
    let first: serde_json::Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
    assert_eq!((code, all.lines().count()), (0, 3), "{all}");
    assert_eq!(first["id"].to_string(), messages[2], "newest first");
    for (filter, found) in [
        (&["--state", "pending,held"][..], 3),
        (&["--state", "sent"], 0),
        (&["--rule", "notify_permit_approved", "--limit", "2"], 2),
        (&["--rule", "another"], 0),
        (&["--partner", "10"], 1),
        (&["--campaign", "7"], 0),
        (&["--phone", "0813 0000 0103"], 1),
    ] {
        let mut arguments = vec!["queue", "list", "--json"];
        arguments.extend(filter);
        let (code, text) = said(&desk, &arguments).await;
        assert_eq!((code, text.lines().count()), (0, found), "{filter:?}: {text}");
    }
    let (code, table) = said(&desk, &["queue", "list", "--limit", "3"]).await;
    assert!(
        code == 0 && table.contains("waiting_for") && table.contains("There may be more"),
        "{table}"
    );

    // Without an answer nothing is cancelled; with --yes what can be is, and what cannot be is said.
    let (code, text) = said(&desk, &["queue", "cancel", one]).await;
    assert!(code == 1 && text.contains("--yes"), "{text}");
    let (code, text) = said(&desk, &["queue", "cancel", one, "999999", "--yes"]).await;
    assert!(
        code == 1
            && text.contains(&format!("message {one} is cancelled"))
            && text.contains("there is no message 999999"),
        "{text}"
    );
    let (code, text) = said(&desk, &["queue", "retry", one]).await;
    assert!(code == 0 && text.contains("is repeated as message"), "{text}");
    let (code, text) = said(&desk, &["queue", "process", &messages[1]]).await;
    assert!(code == 0 && text.contains("is due now"), "{text}");
    desk.sql("update sicantik_notify.queue set state = 'held', ready = false, waiting_for = 'storm_guard'")
        .await;
    let (code, text) = said(
        &desk,
        &["queue", "release", "notify_permit_approved", "--limit", "1"],
    )
    .await;
    assert_eq!(
        (code, text.as_str()),
        (0, "1 message of rule notify_permit_approved goes on.\n")
    );
    let (code, text) = said(&desk, &["queue", "discard", "notify_permit_approved", "--yes"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "2 messages of rule notify_permit_approved are cancelled.\n")
    );
    let (code, text) = said(&desk, &["queue", "discard", "no_rule", "--yes"]).await;
    assert!(code == 1 && text.contains("there is no rule no_rule"), "{text}");

    let (code, text) = said(
        &desk,
        &["blacklist", "add", "0812-3456-7890", "--reason", "asked by phone"],
    )
    .await;
    assert_eq!(
        (code, text.as_str()),
        (0, "+6281234567890 gets nothing any more.\n")
    );
    let (_, list) = said(&desk, &["blacklist", "list"]).await;
    assert!(
        list.contains("+6281234567890") && list.contains("asked by phone"),
        "{list}"
    );
    let (code, text) = said(&desk, &["blacklist", "remove", "+62 812 3456 7890"]).await;
    assert!(code == 0 && text.contains("may get messages again"), "{text}");
    let (code, text) = said(&desk, &["blacklist", "remove", "+62 812 3456 7890"]).await;
    assert!(code == 1 && text.contains("not on the blacklist"), "{text}");
    assert_eq!(
        said(&desk, &["blacklist", "list", "--json"]).await,
        (0, String::new())
    );
    let (_, all) = said(&desk, &["blacklist", "list", "--all", "--json"]).await;
    assert!(all.contains("\"active\":false"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_no_operator_is_told_how_to_become_one() {
    let desk = desk().await;
    let message = desk.message("+6281300000101").await.to_string();
    desk.sql("create role vina login; grant sicantik_notify_viewer to vina")
        .await;
    let url = desk
        .office
        .cluster
        .url_as("vina", sicantik_notifyd::testkit::office::DATABASE);
    let (code, list) = said(&desk, &["queue", "list", "--database-url", &url]).await;
    assert!(code == 0 && list.contains("notify_permit_approved"), "{list}");
    assert!(!list.contains("6281300000101"), "masked: {list}");
    for arguments in [
        &["queue", "cancel", &message, "--yes"][..],
        &["queue", "release", "notify_permit_approved"],
        &["blacklist", "add", "081234567890"],
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--database-url", &url]);
        let (code, text) = said(&desk, &arguments).await;
        assert!(
            code == 1
                && text.contains("vina is no operator")
                && text.contains("grant sicantik_notify_operator"),
            "{text}"
        );
    }
}
