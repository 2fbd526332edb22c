//! Who is skipped and why, and totals that stay exact whatever becomes of a message.

use crate::stand::stand;
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_exact_and_whoever_is_skipped_is_named_with_the_reason() {
    let stand = stand(8).await;
    let desk = &stand.desk;
    let number = |n: i64| format!("62811{}", 1_000_000 + n);
    desk.sql(&format!(
        "update sicantik_notify.rule set max_retries = 0, repeat_policy = 'once_per_record', condition_domain = '[(''permit_number'', ''!='', ''none'')]'
         where code = 'reminder_rule';
         update public.res_partner set phone = null where id = (select partner_id from public.sicantik_permit where id = {0});
         update public.sicantik_permit set permit_number = 'none' where id = {0} + 1;
         select sicantik_notify.blacklist_add('+{black}', 'asked us to stop', 'operator');
         insert into sicantik_notify.repeat_mark (rule_id, phone, record_id, model)
         select id, '+{told}', {0} + 3, 'sicantik.permit' from sicantik_notify.rule where code = 'reminder_rule'",
        stand.first,
        black = number(3),
        told = number(4),
    ))
    .await;
    let failing = number(5);
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .once_to(&failing, Behaviour::fonnte_reason("invalid number"));
    let _daemon = stand.daemon().await;
    let id = stand.draft(&stand.domain(8)).await;
    stand.act("start", id).await;
    stand.until_state(id, "completed").await;
    assert_eq!(
        stand.progress(id).await,
        "completed targets 8 released 5 messages 5 sent 3 failed 1 skipped 4 cancelled 0 pending 0 percent 100.0"
    );
    let why = desk
        .text(&format!(
            "select skipped_why::text from sicantik_notify.v_campaign_progress where id = {id}"
        ))
        .await;
    assert_eq!(
        why.as_deref(),
        Some(r#"{"no_phone": 1, "repeated": 1, "blacklisted": 1, "rule_condition": 1}"#)
    );
    let named = desk
        .text(&format!(
            "select string_agg(record_id - {} || ' ' || outcome, ', ' order by record_id) from sicantik_notify.v_campaign_skipped where campaign_id = {id}",
            stand.first
        ))
        .await;
    assert_eq!(
        named.as_deref(),
        Some("0 no_phone, 1 rule_condition, 2 blacklisted, 3 repeated")
    );
    // A failed message that is repeated takes its end back.
    desk.sql("select sicantik_notify.queue_retry(id) from sicantik_notify.log where state = 'failed'")
        .await;
    desk.until(&format!("select sent = 4 and failed = 0 and pending = 0 from sicantik_notify.v_campaign_progress where id = {id}"))
        .await;
    // A message that its provider gives up afterwards was not sent.
    desk.sql(
        "insert into sicantik_notify.receipt_inbox (provider_id, external_id, state, at, class, consequence)
         select provider_id, external_id, 'failed', sicantik_notify.clock(), 'recipient', 'none'
         from sicantik_notify.attempt where outcome = 'accepted' order by id limit 1",
    )
    .await;
    desk.until(&format!(
        "select sent = 3 and failed = 1 from sicantik_notify.v_campaign_progress where id = {id}"
    ))
    .await;
    let shown = desk
        .number(&format!(
            "select count(*) from sicantik_notify.v_log where campaign_id = {id} and state = 'failed'"
        ))
        .await;
    assert_eq!(shown, 2); // the one that was repeated, and this one
    // And it was sent after all.
    desk.sql(
        "insert into sicantik_notify.receipt_inbox (provider_id, external_id, state, at)
         select provider_id, external_id, 'delivered', sicantik_notify.clock()
         from sicantik_notify.attempt where outcome = 'accepted' order by id limit 1",
    )
    .await;
    desk.until(&format!(
        "select sent = 4 and failed = 0 from sicantik_notify.v_campaign_progress where id = {id}"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_takes_its_own_template_and_a_record_that_is_gone_is_said_to_be() {
    let stand = stand(3).await;
    let desk = &stand.desk;
    let id: i64 = desk
        .admin
        .query_one(
            "select sicantik_notify.campaign_create('Own words', 'reminder_rule', $1, p_template => 'permit_ready', p_code => 'own_words')",
            &[&stand.domain(3)],
        )
        .await
        .unwrap()
        .get(0);
    let _daemon = stand.daemon().await;
    // Collected, but not reached: the release takes the campaign's row first.
    let lock = desk.office.admin().await.unwrap();
    lock.batch_execute("begin; lock table sicantik_notify.campaign_target in share row exclusive mode")
        .await
        .unwrap();
    stand.act("start", id).await;
    desk.until("select exists (select from pg_locks where relation = 'sicantik_notify.campaign_target'::regclass and not granted)")
        .await;
    stand.act("pause", id).await;
    drop(lock);
    desk.until(&format!(
        "select targets = 3 from sicantik_notify.campaign where id = {id}"
    ))
    .await;
    desk.sql(&format!(
        "delete from public.sicantik_permit where id = {}",
        stand.first
    ))
    .await;
    stand.act("resume", id).await;
    stand.until_state(id, "completed").await;
    assert_eq!(
        stand.progress(id).await,
        "completed targets 3 released 2 messages 2 sent 2 failed 0 skipped 1 cancelled 0 pending 0 percent 100.0"
    );
    let reason = format!(
        "select outcome || ': ' || reason from sicantik_notify.v_campaign_skipped where campaign_id = {id}"
    );
    assert_eq!(
        desk.text(&reason).await.as_deref(),
        Some("gone: the record does not exist any more")
    );
    let keys = desk
        .text("select string_agg(distinct template_key, ', ') from sicantik_notify.log where campaign_id is not null")
        .await;
    assert_eq!(keys.as_deref(), Some("permit_ready"));
}
