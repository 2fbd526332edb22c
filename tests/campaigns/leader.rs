//! Whatever dies when: every target is reached exactly once, and a campaign starts once.

use std::collections::HashMap;

use crate::stand::{Stand, stand};

const MANY: i64 = 1200;

/// Holds a table in a mode that writers wait for, until dropped.
async fn locked(stand: &Stand, table: &str) -> tokio_postgres::Client {
    let client = stand.desk.office.admin().await.unwrap();
    client
        .batch_execute(&format!(
            "begin; lock table sicantik_notify.{table} in share row exclusive mode"
        ))
        .await
        .unwrap();
    client
}

/// Waits until a statement of a daemon waits for that table.
async fn somebody_waits(stand: &Stand, table: &str) {
    stand
        .desk
        .until(&format!(
            "select exists (select from pg_locks where relation = 'sicantik_notify.{table}'::regclass and not granted)"
        ))
        .await;
}

async fn reached_once(stand: &Stand, id: i64) {
    stand.until_state(id, "completed").await;
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for accepted in stand.desk.office.gateway.accepted() {
        *numbers.entry(accepted.to).or_default() += 1;
    }
    assert_eq!(numbers.len(), MANY as usize);
    assert!(numbers.values().all(|n| *n == 1));
    let progress = stand.progress(id).await;
    assert!(
        progress.starts_with("completed targets 1200 released 1200 messages 1200 sent 1200 failed 0"),
        "{progress}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_collects_leaves_nothing_and_the_next_one_collects_once() {
    let stand = stand(MANY).await;
    let mut one = stand.daemon().await;
    stand
        .desk
        .until("select instance_id is not null from sicantik_notify.leader")
        .await;
    let lock = locked(&stand, "campaign_target").await;
    let id = stand.draft(&stand.domain(MANY)).await;
    stand.act("start", id).await;
    somebody_waits(&stand, "campaign_target").await;
    // Pausing and cancelling do not wait for the collection.
    stand.act("pause", id).await;
    stand.act("resume", id).await;
    let _two = stand.daemon().await;
    one.kill().await.unwrap();
    drop(lock);
    reached_once(&stand, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_releases_leaves_its_portion_to_the_next_one() {
    let stand = stand(MANY).await;
    let mut one = stand.daemon().await;
    stand
        .desk
        .until("select instance_id is not null from sicantik_notify.leader")
        .await;
    let lock = locked(&stand, "campaign_count").await;
    let id = stand.draft(&stand.domain(MANY)).await;
    stand.act("start", id).await;
    somebody_waits(&stand, "campaign_count").await;
    let _two = stand.daemon().await;
    one.kill().await.unwrap();
    drop(lock);
    reached_once(&stand, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_start_a_campaign_once() {
    let stand = stand(1).await;
    let id = stand.draft(&stand.domain(1)).await;
    let mut starts = Vec::new();
    for _ in 0..8 {
        let client = stand.desk.office.admin().await.unwrap();
        starts.push(tokio::spawn(async move {
            client
                .query("select sicantik_notify.campaign_start($1)", &[&id])
                .await
                .is_ok()
        }));
    }
    let mut began = 0;
    for start in starts {
        began += usize::from(start.await.unwrap());
    }
    assert_eq!(began, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_campaign_starts_at_its_date_with_the_targets_of_that_moment() {
    let stand = stand(6).await;
    let desk = &stand.desk;
    let _daemon = stand.daemon().await;
    let id = stand
        .draft(&format!(
            "[('id', '>=', {}), ('state', '=', 'approved')]",
            stand.first
        ))
        .await;
    desk.sql(&format!(
        "select sicantik_notify.campaign_schedule({id}, sicantik_notify.clock() + interval '1 hour')"
    ))
    .await;
    assert_eq!(stand.state(id).await, "scheduled");
    // A second person who says start does not start it early.
    let start = format!("select sicantik_notify.campaign_start({id})");
    let error = desk.admin.query(&start, &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(
        error.code().code() == "55000" && error.message().contains("starts by itself at"),
        "{error}"
    );
    desk.sql(&format!(
        "update public.sicantik_permit set status = 'expired' where id = {}",
        stand.first
    ))
    .await;
    desk.until("select next_run_at > sicantik_notify.clock() from sicantik_notify.cron_state where job = 'process_campaign_batch'")
        .await;
    desk.sql("alter database sicantik set sicantik_notify.clock_offset = '61 minutes'")
        .await;
    desk.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sicantik_notifyd'")
        .await;
    stand.until_state(id, "completed").await;
    let progress = stand.progress(id).await;
    assert!(
        progress.starts_with("completed targets 5 released 5 messages 5 sent 5"),
        "{progress}"
    );
    assert_eq!(desk.office.gateway.count(), 5);
    // One whose rule has been switched off meanwhile does not start, and says so.
    desk.sql("set sicantik_notify.clock_offset = '61 minutes'").await;
    let id = stand.draft(&stand.domain(6)).await;
    desk.sql("update sicantik_notify.rule set active = false where code = 'reminder_rule'")
        .await;
    desk.sql(&format!(
        "select sicantik_notify.campaign_schedule({id}, sicantik_notify.clock())"
    ))
    .await;
    desk.until(&format!(
        "select last_error like '%rule reminder_rule%inactive%' from sicantik_notify.campaign where id = {id}"
    ))
    .await;
    assert_eq!(stand.state(id).await, "draft");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_cannot_be_evaluated_makes_it_a_draft_again_and_a_problem() {
    let stand = stand(1).await;
    let desk = &stand.desk;
    let _daemon = stand.daemon().await;
    let id = stand.draft("[('no_such_field', '=', 1)]").await;
    stand.act("start", id).await;
    stand.until_state(id, "draft").await;
    let problem = desk
        .text(&format!(
            "select summary from sicantik_notify.v_problem where about = 'campaign {id}'"
        ))
        .await
        .unwrap();
    assert!(problem.contains("no_such_field"), "{problem}");
    // Mended, it runs.
    desk.sql(&format!(
        "update sicantik_notify.campaign set target_domain = $${}$$ where id = {id}",
        stand.domain(1)
    ))
    .await;
    stand.act("start", id).await;
    stand.until_state(id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_applied_pauses_its_campaign_and_nothing_is_lost() {
    let stand = stand(3).await;
    let desk = &stand.desk;
    let _daemon = stand.daemon().await;
    desk.sql("update sicantik_notify.rule set condition_domain = '[(''no_such'', ''='', 1)]' where code = 'reminder_rule'")
        .await;
    let id = stand.draft(&stand.domain(3)).await;
    stand.act("start", id).await;
    stand.until_state(id, "paused").await;
    let problem = desk
        .text(&format!(
            "select summary from sicantik_notify.v_problem where about = 'campaign {id}'"
        ))
        .await
        .unwrap();
    assert!(problem.contains("no_such"), "{problem}");
    desk.sql("update sicantik_notify.rule set condition_domain = null where code = 'reminder_rule'")
        .await;
    stand.act("resume", id).await;
    stand.until_state(id, "completed").await;
    assert_eq!(desk.office.gateway.count(), 3);
}
