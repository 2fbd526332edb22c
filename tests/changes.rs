//! What becomes an event, and what does not: transactions, savepoints, flushes, order of commits (P1, P2).

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::host::{Profile, ids};
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, Office, Plan};
use tokio_postgres::Client;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

async fn office(profile: Profile) -> (Office, Client) {
    let office = Office::open(
        program(),
        &Plan {
            profile,
            ..Plan::default()
        },
    )
    .await
    .unwrap();
    let admin = office.admin().await.unwrap();
    (office, admin)
}

async fn running(rules: &str) -> (Office, Client, Daemon) {
    let (office, admin) = office(Profile::Odoo18_0).await;
    admin
        .execute(
            "update sicantik_notify.rule set active = true where code = any (string_to_array($1, ' '))",
            &[&rules],
        )
        .await
        .unwrap();
    let daemon = office.daemon("").await.unwrap();
    office
        .until(&admin, "select count(*) = 1 from sicantik_notify.instance")
        .await
        .unwrap();
    (office, admin, daemon)
}

async fn events(client: &Client) -> i64 {
    client
        .query_one("select count(*) from sicantik_notify.event", &[])
        .await
        .unwrap()
        .get(0)
}

/// Until everything captured so far has been evaluated and sent.
async fn quiet(office: &Office, admin: &Client) {
    office
        .until(
            admin,
            "select not exists (select from sicantik_notify.event) and not exists (select from sicantik_notify.queue)",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_what_is_rolled_back_never_notifies() {
    for profile in [Profile::Odoo18_0, Profile::Saas18_4] {
        let (office, admin) = office(profile).await;
        let mut odoo = office.odoo().await.unwrap();
        odoo.begin().await.unwrap();
        odoo.write(
            "sicantik_permit",
            &[ids::PERMIT_DRAFT],
            &[("status", "active".into())],
        );
        odoo.flush().await.unwrap();
        odoo.rollback().await.unwrap();
        assert_eq!(events(&admin).await, 0, "rolled back");

        odoo.begin().await.unwrap();
        odoo.write(
            "sicantik_permit",
            &[ids::PERMIT_ACTIVE],
            &[("status", "renewed".into())],
        );
        let savepoint = odoo.savepoint().await.unwrap();
        odoo.write(
            "sicantik_permit",
            &[ids::PERMIT_DRAFT],
            &[("status", "active".into())],
        );
        odoo.flush().await.unwrap();
        odoo.rollback_to(&savepoint).await.unwrap();
        odoo.commit().await.unwrap();
        let captured: Vec<i64> = admin
            .query("select record_id from sicantik_notify.event", &[])
            .await
            .unwrap()
            .iter()
            .map(|r| r.get(0))
            .collect();
        assert_eq!(
            captured,
            [i64::from(ids::PERMIT_ACTIVE)],
            "only what was outside the savepoint"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_transaction_that_commits_after_later_ids_is_not_lost() {
    let (office, admin, _daemon) = running("notify_permit_approved").await;
    admin
        .execute(
            "update sicantik_permit set status = 'draft', partner_id = $2 where id = any ($1)",
            &[&vec![1_i32, 2, 3, 4], &ids::PARTNER_BUDI],
        )
        .await
        .unwrap();
    quiet(&office, &admin).await;
    let slow = office.admin().await.unwrap();
    slow.batch_execute("begin; update sicantik_permit set status = 'active' where id = 1")
        .await
        .unwrap();
    for id in 2..=4 {
        admin
            .execute(
                "update sicantik_permit set status = 'active' where id = $1",
                &[&id],
            )
            .await
            .unwrap();
    }
    // The later ids are committed, evaluated, sent and gone.
    office
        .gateway
        .wait_for_accepted(3, Duration::from_secs(30))
        .await
        .unwrap();
    quiet(&office, &admin).await;
    slow.batch_execute("commit").await.unwrap();
    office
        .gateway
        .wait_for_accepted(4, Duration::from_secs(30))
        .await
        .unwrap();
    quiet(&office, &admin).await;
    assert_eq!(office.gateway.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_flushed_three_times_in_one_transaction_gives_one_message_with_its_last_image() {
    let (office, admin, _daemon) = running("notify_permit_approved").await;
    let mut odoo = office.odoo().await.unwrap();
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "active".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("permit_number", "503/7/2026".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("permit_type_name", "Izin Apotek".into())],
    );
    odoo.commit().await.unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(30))
        .await
        .unwrap();
    quiet(&office, &admin).await;
    assert_eq!(office.gateway.count(), 1);
    assert!(
        accepted[0].text.contains("503/7/2026") && accepted[0].text.contains("Izin Apotek"),
        "{}",
        accepted[0].text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_of_a_document_in_one_transaction_fire_both_triggers_and_a_step_back_none() {
    let (office, admin, _daemon) =
        running("notify_document_uploaded notify_document_pending_signature").await;
    let mut odoo = office.odoo().await.unwrap();
    odoo.begin().await.unwrap();
    for state in ["uploaded", "pending_signature"] {
        odoo.write(
            "sicantik_document",
            &[ids::DOCUMENT_DRAFT],
            &[("state", state.into())],
        );
        odoo.flush().await.unwrap();
    }
    odoo.commit().await.unwrap();
    // Three members of staff, two messages each.
    office
        .gateway
        .wait_for_accepted(6, Duration::from_secs(30))
        .await
        .unwrap();
    quiet(&office, &admin).await;
    let per_rule: Vec<i64> = admin
        .query("select count(*) from sicantik_notify.log group by rule_code", &[])
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(per_rule, [3, 3]);

    odoo.begin().await.unwrap();
    for state in ["uploaded", "pending_signature"] {
        odoo.write(
            "sicantik_document",
            &[ids::DOCUMENT_DRAFT],
            &[("state", state.into())],
        );
        odoo.flush().await.unwrap();
    }
    odoo.commit().await.unwrap();
    quiet(&office, &admin).await;
    assert_eq!(
        office.gateway.count(),
        6,
        "pending_signature, uploaded and back: nothing happened"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_record_is_seen_as_the_transaction_left_it() {
    let (office, admin, _daemon) = running("").await;
    admin
        .batch_execute(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type) \
             values ('created', 'Created', 'sicantik.document', 'on_create'); \
             insert into sicantik_notify.template (template_key, name, body, parameters) \
             values ('seen', 'Seen', '{{document_number}} {{document_name}}', '{document_number,document_name}'); \
             insert into sicantik_notify.rule (code, name, trigger, template_key) values ('created', 'Created', 'created', 'seen')",
        )
        .await
        .unwrap();
    office
        .until(&admin, "select on_insert and hooks = 'ok' from sicantik_notify.v_capture where model = 'sicantik.document'")
        .await
        .unwrap();
    let mut odoo = office.odoo().await.unwrap();
    odoo.begin().await.unwrap();
    let created = odoo
        .create(
            "sicantik_document",
            &[vec![
                ("name", "First".into()),
                ("permit_id", ids::PERMIT_ACTIVE.into()),
            ]],
        )
        .await
        .unwrap();
    odoo.flush().await.unwrap();
    odoo.write("sicantik_document", &created, &[("name", "Second".into())]);
    odoo.commit().await.unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(30))
        .await
        .unwrap();
    assert!(accepted[0].text.ends_with("Second"), "{}", accepted[0].text);
    quiet(&office, &admin).await;
    // The same by psql, which keeps no write_date.
    admin
        .batch_execute(
            "begin; insert into sicantik_document (document_number, name, permit_id, state) values ('D/1', 'Third', 1, 'draft'); \
             update sicantik_document set name = 'Fourth' where document_number = 'D/1'; commit",
        )
        .await
        .unwrap();
    let accepted = office
        .gateway
        .wait_for_accepted(2, Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(accepted[1].text, "D/1 Fourth");
    quiet(&office, &admin).await;
    assert_eq!(office.gateway.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_names_fire_on_the_real_columns() {
    let (office, admin, _daemon) = running("").await;
    admin
        .batch_execute(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, state_field, state_from, state_to) \
             values ('permit_approved', 'Izin Disetujui', 'sicantik.permit', 'on_state_change', 'state', 'draft', 'approved'); \
             insert into sicantik_notify.rule (code, name, trigger, template_key, condition_domain) values \
             ('tell', 'Tell', 'permit_approved', 'permit_ready', '[(''state'', ''='', ''approved'')]')",
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
    office
        .gateway
        .wait_for_accepted(1, Duration::from_secs(30))
        .await
        .unwrap();
    quiet(&office, &admin).await;
    // From another value: the trigger wants draft.
    admin
        .batch_execute("update sicantik_permit set status = 'active' where status = 'expired'")
        .await
        .unwrap();
    quiet(&office, &admin).await;
    assert_eq!(office.gateway.count(), 1);
}

/// Whether a write of a watched column wakes the listener.
async fn wakes(office: &Office, admin: &Client, value: &str) -> bool {
    let url = office.cluster.url(DATABASE);
    let (client, mut connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let Ok(tokio_postgres::AsyncMessage::Notification(n)) = message {
                let _ = send.send((n.channel().to_owned(), n.payload().to_owned()));
            }
        }
    });
    client
        .batch_execute("listen sicantik_notify_event; listen marker")
        .await
        .unwrap();
    admin
        .execute("update sicantik_permit set status = $1 where id = 1", &[&value])
        .await
        .unwrap();
    admin.batch_execute("notify marker").await.unwrap();
    // Notifications arrive in the order of commits: what is not there before the marker does not come.
    let mut woken = false;
    loop {
        match receive.recv().await.unwrap() {
            (channel, _) if channel == "marker" => return woken,
            (_, payload) => {
                assert_eq!(payload, "");
                woken = true;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_notify_only_a_daemon_that_sleeps() {
    let (office, admin) = office(Profile::Odoo18_0).await;
    let awake =
        "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint + $1)";
    admin.query(awake, &[&60_000_i64]).await.unwrap();
    assert!(!wakes(&office, &admin, "draft").await, "known to look by itself");
    admin.query(awake, &[&-1_i64]).await.unwrap();
    assert!(wakes(&office, &admin, "active").await, "asleep");
    admin
        .batch_execute("update sicantik_notify.setting set value = 'poll' where key = 'capture_wake'; select sicantik_notify.publish_capture()")
        .await
        .unwrap();
    assert!(!wakes(&office, &admin, "renewed").await, "capture_wake = poll");
    assert_eq!(events(&admin).await, 3, "woken or not, every change is an event");
}
