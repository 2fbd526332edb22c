//! SICANTIK guide §7.3.

use sicantik_notifyd::testkit::host::ids;

use crate::desk::desk;

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_third_test_test_send_manual() {
    let desk = desk().await;
    let _daemon = desk.quick().await;

    // The wizard: a test send of the rule.
    let context = r#"{"partner_name": "Test User", "permit_number": "TEST/2025/00001", "permit_type": "SIP", "status": "Aktif"}"#;
    let (code, text) = desk
        .cli(&[
            "send",
            "--rule",
            "notify_permit_approved",
            "--partner",
            "10",
            "--context",
            context,
        ])
        .await;
    assert_eq!(code, 0, "{text}");
    let told = desk.accepted(1).await;
    assert_eq!(told[0].to, "6281234567890");
    assert!(told[0].text.contains("TEST/2025/00001"), "{:?}", told[0]);

    // The alternative: an entry of the queue by hand, for later, and "Proses Sekarang".
    let olga = desk.person("olga", "sicantik_notify_operator").await;
    let enqueue = "select sicantik_notify.enqueue('notify_permit_approved', $1::bigint, 'permit_ready', $2, now() + interval '1 day')";
    let values: serde_json::Value = serde_json::from_str(&context.replace("00001", "00002")).unwrap();
    let id: i64 = olga
        .query_one(enqueue, &[&i64::from(ids::PARTNER_ANI), &values])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        desk.text(&format!(
            "select state || ' ' || waiting_for from sicantik_notify.v_queue where id = {id}"
        ))
        .await
        .unwrap(),
        "pending scheduled"
    );
    let now = "select sicantik_notify.queue_process_now($1)";
    olga.query_one(now, &[&id]).await.unwrap();

    // Verified: queue, log, and the phone.
    desk.until(&format!(
        "select state = 'sent' from sicantik_notify.v_queue where id = {id}"
    ))
    .await;
    let told = desk.accepted(2).await;
    assert_eq!(told[1].to, "6281211112222");
    assert!(told[1].text.contains("TEST/2025/00002"), "{:?}", told[1]);
    let log = "select string_agg(partner_name || ' ' || state, ', ' order by id) from sicantik_notify.v_log";
    assert_eq!(
        desk.text(log).await.unwrap(),
        "Budi Santoso sent, Ani Lestari sent"
    );
}
