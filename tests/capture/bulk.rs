//! One row, then very many, in one session: the plan that was cached for one row must not loop over the many.

use crate::stand::Stand;

const ROWS: i64 = 100_000;

async fn fill(stand: &Stand, rows: i64) {
    stand
        .run(&format!(
            "insert into sicantik_permit (registration_id, permit_type_name, status, write_date) \
             select 'REG-BULK-' || i, 'Izin', 'active', now() from generate_series(1, {rows}) i; analyze sicantik_permit"
        ))
        .await;
}

/// All plans that the session ran for the hook, as auto_explain logs them to the client.
#[tokio::test(flavor = "multi_thread")]
async fn after_one_row_a_hundred_thousand_are_joined_by_hash() {
    let stand = Stand::open().await;
    fill(&stand, ROWS).await;
    let client = stand.office.admin().await.unwrap();
    for id in 1..=8 {
        // More often than the five times after which a generic plan is kept.
        client
            .batch_execute(&format!(
                "update sicantik_permit set status = 'one' where id = {id}"
            ))
            .await
            .unwrap();
    }
    assert_eq!(stand.events().await, 8);
    client
        .batch_execute(
            "load 'auto_explain'; set auto_explain.log_nested_statements = on; set auto_explain.log_min_duration = 0; \
             set auto_explain.log_analyze = on; set auto_explain.log_timing = off",
        )
        .await
        .unwrap();
    // A loop over the pairs would take hours: 100,000 × 100,000.
    let written = client
        .execute(
            "update sicantik_permit set status = 'many', write_date = clock_timestamp()",
            &[],
        )
        .await
        .unwrap() as i64;
    assert_eq!(stand.events().await, 8 + written);
    assert_eq!(stand.misses().await, 0);
    let log = std::fs::read_to_string(stand.office.cluster.socket_dir().join("log")).unwrap();
    let joins: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Join") || line.contains("Nested Loop"))
        .collect();
    assert!(
        joins.iter().any(|line| line.contains("Hash")),
        "the plans were logged: {joins:?}"
    );
    assert!(
        !joins.iter().any(|line| line.contains("Nested Loop")),
        "{joins:?}"
    );
    // And back: the next single row.
    client
        .batch_execute("update sicantik_permit set status = 'one again' where id = 1")
        .await
        .unwrap();
    assert_eq!(stand.events().await, 9 + written);
}

/// The nightly sync of everything: nothing that a trigger looks for, so nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_mass_sync_stores_nothing() {
    let stand = Stand::open().await;
    fill(&stand, 2000).await;
    let mut odoo = stand.odoo().await;
    odoo.begin().await.unwrap();
    odoo.client()
        .batch_execute("update sicantik_permit set last_sync_date = clock_timestamp(), write_date = clock_timestamp(), write_uid = 1")
        .await
        .unwrap();
    odoo.commit().await.unwrap();
    assert!(odoo.sync().await.unwrap() as i64 > 1000);
    assert_eq!((stand.events().await, stand.misses().await), (0, 0));
}
