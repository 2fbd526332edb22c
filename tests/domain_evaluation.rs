//! Conditions with expressions and relations on the road of an event.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{Office, Plan};
use tokio_postgres::Client;

async fn road(condition: &str) -> (Office, Client, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let office = Office::open(program, &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .execute(
            "update sicantik_notify.rule set active = true, condition_domain = $1 where code = 'notify_permit_approved'",
            &[&condition],
        )
        .await
        .unwrap();
    // The rights that the condition needs.
    office.run(&["hooks", "install"]).await.unwrap();
    let daemon = office.daemon("").await.unwrap();
    office
        .until(
            &admin,
            "select exists (select from sicantik_notify.capture_publication where model = 'sicantik.permit') \
             and exists (select from sicantik_notify.instance)",
        )
        .await
        .unwrap();
    admin
        .execute(
            "update sicantik_permit set status = 'active', permit_number = '503/1' where id = any ($1)",
            &[&vec![ids::PERMIT_DRAFT, 15]],
        )
        .await
        .unwrap();
    office
        .until(
            &admin,
            "select count(*) >= 2 from sicantik_notify.decision where model = 'sicantik.permit' and rule_code = 'notify_permit_approved'",
        )
        .await
        .unwrap();
    let log = daemon.log();
    (office, admin, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_compute_and_follow() {
    // Of the two drafts, one partner has a number for WhatsApp only; the other opted in.
    let condition = "['&', ('partner_id.whatsapp_opt_in', '=', True), '|', ('create_uid.partner_id.name', '=', 'OdooBot'),\n \
        ('partner_id.category_id', '=', False), ('create_date', '<', datetime.now() + timedelta(days=1)), \
        ('write_date', '>', (context_today() - relativedelta(months=1)).strftime('%Y-%m-%d')), \
        ('partner_id', '!=', user.partner_id.id)]";
    let (_office, admin, log) = road(condition).await;
    println!("{log}");
    let rows = admin
        .query(
            "select record_id, outcome::text from sicantik_notify.decision d where model = 'sicantik.permit' order by 1, 2",
            &[],
        )
        .await
        .unwrap();
    let found: Vec<(i64, String)> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    assert!(found.contains(&(6, "rule_condition".into())), "{found:?}");
    assert!(found.contains(&(15, "enqueued".into())), "{found:?}");
}
