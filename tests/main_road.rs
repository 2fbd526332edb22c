//! The road of one event, end to end: a real PostgreSQL, the real binary, real HTTP.

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{Office, Plan};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_first_test_a_permit_goes_from_draft_to_approved() {
    let office = Office::open(program(), &Plan::default()).await.unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .batch_execute("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await
        .unwrap();
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
            "update sicantik_permit set status = 'active', permit_number = '503/1' where id = $1",
            &[&ids::PERMIT_DRAFT],
        )
        .await
        .unwrap();
    let result = office.gateway.wait_for_accepted(1, Duration::from_secs(20)).await;
    println!("{}", daemon.log());
    let accepted = result.unwrap();
    println!("{accepted:?}");
    office
        .until(
            &admin,
            "select count(*) = 1 from sicantik_notify.log where state = 'sent'",
        )
        .await
        .unwrap();
}
