//! The guide's second test, the states, and who is skipped.

use crate::stand::{RULE, stand};

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_second_test_a_campaign_reaches_every_approved_permit_in_batches() {
    let stand = stand(12).await;
    let desk = &stand.desk;
    desk.sql(
        "update sicantik_notify.rule set schedule_type = 'batch', batch_size = 5, batch_interval = 2 where code = 'reminder_rule';
         update public.sicantik_permit set status = 'expired' where registration_id not like 'KAM-%'",
    )
    .await;
    let daemon = stand.daemon().await;
    let id = stand
        .draft("[('state', '=', 'approved'), ('partner_id', '!=', False)]")
        .await;
    stand.act("start", id).await;
    desk.accepted(5).await;
    desk.until(&format!(
        "select sent = 5 and targets = 12 and pending = 7 from sicantik_notify.v_campaign_progress where id = {id}"
    ))
    .await;
    println!("{}", stand.progress(id).await);
    for (offset, sent) in [("2 minutes", 10), ("4 minutes", 12)] {
        desk.sql(&format!(
            "alter database sicantik set sicantik_notify.clock_offset = '{offset}'"
        ))
        .await;
        desk.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sicantik_notifyd'")
            .await;
        desk.accepted(sent).await;
    }
    stand.until_state(id, "completed").await;
    let end = stand.progress(id).await;
    assert_eq!(
        end,
        "completed targets 12 released 12 messages 12 sent 12 failed 0 skipped 0 cancelled 0 pending 0 percent 100.0"
    );
    let numbers = desk
        .number("select count(distinct phone) from sicantik_notify.log where campaign_id is not null")
        .await;
    assert_eq!(numbers, 12);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_allows_what_it_should_and_says_what_it_refuses() {
    let stand = stand(1).await;
    let desk = &stand.desk;
    let id = stand.draft(&stand.domain(1)).await;
    let of = |what: &str| format!("select sicantik_notify.campaign_{what}({id})");
    let says = |text: &str| ("55000".to_owned(), format!("campaign {id} {text}"));
    assert_eq!(
        stand.refused(&of("pause")).await,
        says("is a draft and cannot be paused")
    );
    assert_eq!(
        stand.refused(&of("resume")).await,
        says("is a draft and cannot be resumed")
    );
    desk.sql("update sicantik_notify.rule set active = false where code = 'reminder_rule'")
        .await;
    let inactive = stand.refused(&of("start")).await;
    assert_eq!(
        inactive,
        (
            "55000".into(),
            format!("rule reminder_rule of campaign {id} is inactive")
        )
    );
    desk.sql("update sicantik_notify.rule set active = true where code = 'reminder_rule'")
        .await;
    stand.act("start", id).await;
    assert_eq!(
        stand.refused(&of("start")).await,
        says("is running and cannot be started")
    );
    stand.act("pause", id).await;
    assert_eq!(
        stand.refused(&of("pause")).await,
        says("is paused and cannot be paused")
    );
    stand.act("resume", id).await;
    stand.act("cancel", id).await;
    assert_eq!(
        stand.refused(&of("cancel")).await,
        says("is cancelled and cannot be cancelled")
    );
    assert_eq!(
        stand.refused(&of("resume")).await,
        says("is cancelled and cannot be resumed")
    );
    let change = format!("update sicantik_notify.campaign set target_domain = '[]' where id = {id}");
    assert_eq!(
        stand.refused(&change).await,
        says("is cancelled and cannot be changed")
    );
    let (code, _) = stand.refused("select sicantik_notify.campaign_start(4711)").await;
    assert_eq!(code, "P0002");
    // A rule about something else.
    let other = format!("select sicantik_notify.campaign_create('x', '{RULE}', '[]', 'sicantik.document')");
    let (code, message) = stand.refused(&other).await;
    assert_eq!(code, "22023");
    assert!(message.contains("is about sicantik.permit"), "{message}");
}
