//! Pause, resume and cancel while messages fly: by the gateway's own record nothing begins after the call has returned, beyond what
//! was in flight.

use crate::desk::{Desk, PATIENCE};
use crate::stand::{Stand, stand};

/// Calls at once.
const CONCURRENCY: i64 = 8;
const CONFIG: &str = "[capture]\npoll_interval_ms = 50\n[deliver]\npoll_interval_ms = 50\nheartbeat_ms = 200\nconcurrency = 8\n";
/// Citizens; more than one portion.
const MANY: i64 = 700;

/// A campaign to all of them that has begun to be sent.
async fn begun(stand: &Stand) -> i64 {
    let id = stand.draft(&stand.domain(MANY)).await;
    stand.act("start", id).await;
    stand.desk.accepted(40).await;
    id
}

async fn attempts(desk: &Desk) -> i64 {
    desk.number("select count(*) from sicantik_notify.attempt").await
}

/// Waits until nothing is under way, and until a message of no campaign, enqueued after that, has passed: whoever might have sent
/// more had the occasion.
async fn settled(desk: &Desk) {
    let quiet = "select not exists (select from sicantik_notify.queue where state = 'processing')
                    and not exists (select from sicantik_notify.queue where state = 'pending' and ready)";
    desk.until(quiet).await;
    desk.sql("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'")
        .await;
    let other = desk.message("+6281300000001").await;
    desk.until(&format!(
        "select exists (select from sicantik_notify.log where id = {other} and state = 'sent')"
    ))
    .await;
    desk.until(quiet).await;
}

async fn of_campaign(desk: &Desk) -> usize {
    let accepted = desk.office.gateway.accepted();
    accepted.iter().filter(|a| !a.to.ends_with("81300000001")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_sends_nothing_and_goes_on_where_it_stopped() {
    let stand = stand(MANY).await;
    let desk = &stand.desk;
    let _one = stand.daemon_with(CONFIG).await;
    let _two = stand.daemon_with(CONFIG).await;
    let id = begun(&stand).await;
    let said = stand.act("pause", id).await;
    let then = attempts(desk).await;
    settled(desk).await;
    let sent = of_campaign(desk).await;
    assert!(sent < MANY as usize, "{said}: all were sent already");
    // What had been chosen for the wire when the pause was committed: at most what two daemons send at once.
    assert!(attempts(desk).await - 1 <= then + 2 * CONCURRENCY);
    let waits = "select bool_and(waiting_for = 'campaign paused') from sicantik_notify.v_queue where finished_at is null";
    desk.until(waits).await;
    println!("{said}\n{}", stand.progress(id).await);
    let some: i64 = desk
        .number("select min(id) from sicantik_notify.queue where campaign_id is not null")
        .await;
    let (code, message) = stand
        .refused(&format!("select sicantik_notify.queue_process_now({some})"))
        .await;
    assert_eq!(
        (code.as_str(), message),
        (
            "55000",
            format!("message {some} belongs to campaign {id}, which is paused")
        )
    );
    stand.act("resume", id).await;
    stand.until_state(id, "completed").await;
    assert_eq!(of_campaign(desk).await, MANY as usize);
    assert_eq!(
        stand.progress(id).await,
        "completed targets 700 released 700 messages 700 sent 700 failed 0 skipped 0 cancelled 0 pending 0 percent 100.0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_campaign_ends_at_once() {
    let stand = stand(MANY).await;
    let desk = &stand.desk;
    // Slower than the release, so that messages wait in the queue.
    desk.sql("update sicantik_notify.rule set schedule_type = 'batch', batch_size = 300 where code = 'reminder_rule'").await;
    let _daemon = stand.daemon_with(CONFIG).await;
    let id = begun(&stand).await;
    desk.until(&format!(
        "select released = 700 from sicantik_notify.v_campaign_progress where id = {id}"
    ))
    .await;
    let said = stand.act("cancel", id).await;
    let then = attempts(desk).await;
    settled(desk).await;
    assert!(attempts(desk).await - 1 <= then + CONCURRENCY);
    let sent = of_campaign(desk).await;
    assert!((40..=300).contains(&sent), "{sent}: {said}");
    desk.until("select not exists (select from sicantik_notify.queue where campaign_id is not null)")
        .await;
    let expected = format!(
        "cancelled targets 700 released 700 messages 700 sent {sent} failed 0 skipped 0 cancelled {} pending 0 percent 100.0",
        700 - sent
    );
    desk.until(&format!(
        "select sent = {sent} and cancelled = {} and pending = 0 from sicantik_notify.v_campaign_progress where id = {id}",
        700 - sent
    ))
    .await;
    assert_eq!(stand.progress(id).await, expected);
    let one: i64 = desk
        .number("select min(id) from sicantik_notify.log where state = 'cancelled'")
        .await;
    let (code, _) = stand
        .refused(&format!("select sicantik_notify.queue_retry({one})"))
        .await;
    assert_eq!(code, "55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_cancelled_before_it_reached_its_targets_never_reaches_them() {
    let stand = stand(MANY).await;
    let desk = &stand.desk;
    // As the release takes the campaign's row only when it has something to do, it is stopped by its rule.
    let _daemon = stand.daemon().await;
    let id = stand.draft(&stand.domain(MANY)).await;
    stand.act("start", id).await;
    desk.sql("update sicantik_notify.rule set active = false where code = 'reminder_rule'")
        .await;
    desk.until(&format!(
        "select targets = 700 from sicantik_notify.campaign where id = {id}"
    ))
    .await;
    stand.act("cancel", id).await;
    desk.sql("update sicantik_notify.rule set active = true where code = 'reminder_rule'")
        .await;
    desk.until("select not exists (select from sicantik_notify.campaign_target)")
        .await;
    desk.until("select not exists (select from sicantik_notify.queue where campaign_id is not null)")
        .await;
    let row = desk
        .text(&format!(
            "select (targets = sent + cancelled and pending = 0 and percent = 100)::text from sicantik_notify.v_campaign_progress where id = {id}"
        ))
        .await;
    assert_eq!(row.as_deref(), Some("true"), "{}", stand.progress(id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_switched_off_in_the_middle_stops_its_campaign_until_it_is_on_again() {
    let stand = stand(MANY).await;
    let desk = &stand.desk;
    let _daemon = stand.daemon_with(CONFIG).await;
    let id = begun(&stand).await;
    desk.sql("update sicantik_notify.rule set active = false where code = 'reminder_rule'")
        .await;
    settled(desk).await;
    let sent = of_campaign(desk).await;
    assert!(sent < MANY as usize);
    assert_eq!(stand.state(id).await, "running");
    let waits = desk
        .text(&format!(
            "select waiting_for from sicantik_notify.v_campaign where id = {id}"
        ))
        .await;
    assert_eq!(waits.as_deref(), Some("its rule, which is inactive"));
    desk.sql("update sicantik_notify.rule set active = true where code = 'reminder_rule'")
        .await;
    stand.until_state(id, "completed").await;
    assert_eq!(of_campaign(desk).await, MANY as usize);
    let distinct: std::collections::HashSet<String> =
        desk.office.gateway.accepted().into_iter().map(|a| a.to).collect();
    assert_eq!(distinct.len(), MANY as usize + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slots_of_a_batch_keep_their_distance_over_a_pause() {
    let stand = stand(12).await;
    let desk = &stand.desk;
    desk.sql(
        "update sicantik_notify.rule set schedule_type = 'batch', batch_size = 5, batch_interval = 10 where code = 'reminder_rule'",
    )
    .await;
    let _daemon = stand.daemon().await;
    let id = stand.draft(&stand.domain(12)).await;
    stand.act("start", id).await;
    desk.office.gateway.wait_for_accepted(5, PATIENCE).await.unwrap();
    desk.until(&format!(
        "select sent = 5 from sicantik_notify.v_campaign_progress where id = {id}"
    ))
    .await;
    stand.act("pause", id).await;
    // An hour later by the operator's clock.
    desk.sql("set sicantik_notify.clock_offset = '1 hour'").await;
    stand.act("resume", id).await;
    let minutes = desk
        .text(
            "select string_agg(m || ': ' || n, ', ' order by m) from (
                 select round(extract(epoch from scheduled_at - sicantik_notify.clock()) / 60)::integer as m, count(*) as n
                 from sicantik_notify.queue group by 1) x",
        )
        .await;
    assert_eq!(minutes.as_deref(), Some("10: 5, 20: 2"));
}
