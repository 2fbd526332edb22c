//! `explain` against a real server: the whole story of a change, and each reason for silence recognisable by the number that
//! the SICANTIK guide §8.4 gives it.

#![allow(clippy::unwrap_used)]

mod desk;

use desk::{Desk, QUICK, desk, desk_of};
use serde_json::Value;
use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::Plan;

/// Expired, of the partner without any number.
const PERMIT_NO_NUMBER: i32 = 7;

async fn explain(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let all: Vec<&str> = ["explain"].iter().chain(arguments).copied().collect();
    let output = desk.office.command(&all).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

async fn json(desk: &Desk, subject: &[&str]) -> Value {
    let all: Vec<&str> = ["explain", "--json"].iter().chain(subject).copied().collect();
    let output = desk.office.command(&all).output().await.unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn permit(id: i32) -> String {
    format!("sicantik.permit,{id}")
}

/// Codes and guide numbers of all causes, those of the stories first.
async fn causes(desk: &Desk, permit: &str) -> Vec<(String, Option<u64>)> {
    let report = json(desk, &["--record", permit]).await;
    let stories = report["stories"].as_array().unwrap();
    let all = stories.iter().flat_map(|s| s["causes"].as_array().unwrap());
    let all = all.chain(report["causes"].as_array().unwrap());
    all.map(|c| {
        assert!(!c["text"].as_str().unwrap().is_empty());
        (c["code"].as_str().unwrap().to_owned(), c["guide"].as_u64())
    })
    .collect()
}

#[track_caller]
fn has(found: &[(String, Option<u64>)], code: &str, guide: u64) {
    assert!(
        found.contains(&(code.to_owned(), Some(guide))),
        "no {code} in {found:?}"
    );
}

async fn write(desk: &Desk, id: i32, status: &str) {
    desk.sql(&format!(
        "update public.sicantik_permit set status = '{status}' where id = {id}"
    ))
    .await;
}

/// Waits until the record has a decision of that outcome.
async fn decided(desk: &Desk, id: i32, outcome: &str) {
    desk.until(&format!(
        "select exists (select from sicantik_notify.decision where record_id = {id} and outcome = '{outcome}')"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_goes_from_the_row_to_the_providers_answer_and_back() {
    let desk = desk().await;
    let daemon = desk.daemon(QUICK).await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    desk.accepted(1).await;
    desk.drained().await;
    let (code, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert_eq!(code, 0, "{text}");
    for part in [
        "sicantik.permit,6",
        "was written in transaction",
        "status draft → active",
        "the trigger permit_state_change fired: it looks for status going from anything to anything ('state' is read as 'status')",
        "rule notify_permit_approved for partner 15: a message was made: template permit_ready",
        "by the rule notify_permit_approved: to partner 15 (Eka Putri, +6281****888), template permit_ready",
        "is handed to",
        "accepted after",
        "ended as sent through fonnte",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains("+6281377778888"), "{text}");
    assert!(!text.contains("why:"), "nothing is wrong:\n{text}");
    // The same without the daemon, and by its message and its event.
    drop(daemon);
    let message = desk
        .number("select id from sicantik_notify.log")
        .await
        .to_string();
    let event = desk
        .number("select event_id from sicantik_notify.log")
        .await
        .to_string();
    for subject in [["--message", &message], ["--event", &event]] {
        let report = json(&desk, &subject).await;
        assert_eq!(report["known"], true);
        assert_eq!(report["subject"]["record"], ids::PERMIT_DRAFT);
        assert_eq!(report["stories"].as_array().unwrap().len(), 1, "{report:#}");
        let steps = report["stories"][0]["steps"].as_array().unwrap();
        let kinds: Vec<&str> = steps.iter().map(|s| s["kind"].as_str().unwrap()).collect();
        let wanted = ["change", "trigger", "decision", "message", "attempt", "end"];
        assert_eq!(kinds, wanted, "{report:#}");
        assert_eq!(steps[4]["data"]["outcome"], "accepted");
        assert_eq!(steps[5]["data"]["state"], "sent");
    }
    for subject in [
        ["--message", "999999"],
        ["--event", "999999"],
        ["--record", "sicantik.permit,999999"],
    ] {
        let (code, text) = explain(&desk, &subject).await;
        assert_eq!(code, 3, "{subject:?}: {text}");
    }
    assert_eq!(explain(&desk, &["--record", "sicantik.permit"]).await.0, 2);
    assert_eq!(explain(&desk, &[]).await.0, 2);
    assert_eq!(explain(&desk, &["--event", "1", "--message", "1"]).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_of_the_change_are_told_while_they_are_kept() {
    let desk = desk().await;
    // Published, and then nobody evaluates: the event waits.
    drop(desk.daemon(QUICK).await);
    desk.sql("delete from sicantik_notify.instance").await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    let (code, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("was written in transaction") && text.contains("status draft → active"),
        "{text}"
    );
    assert!(text.contains("the event waits to be evaluated"), "{text}");
    // Cause 7: nobody works.
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "queue_not_processed",
        7,
    );
    let event = desk
        .number("select id from sicantik_notify.event")
        .await
        .to_string();
    let report = json(&desk, &["--event", &event]).await;
    assert_eq!(
        report["stories"][0]["steps"][0]["data"]["columns"][0]["old"],
        "draft"
    );
    // Evaluated when nothing looked for it any more.
    desk.sql("update sicantik_notify.trigger set state_to = 'expired' where code = 'permit_state_change'")
        .await;
    let daemon = desk.quick().await;
    desk.until("select exists (select from sicantik_notify.event_history)")
        .await;
    drop(daemon);
    let found = causes(&desk, &permit(ids::PERMIT_DRAFT)).await;
    assert!(
        found.contains(&("not_a_watched_change".to_owned(), None)),
        "{found:?}"
    );
    let (code, text) = explain(&desk, &["--event", &event]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("status draft → active") && text.contains("no trigger fired"),
        "{text}"
    );
    assert!(
        text.contains("status going from anything to 'expired'"),
        "what is looked for:\n{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_1_the_trigger_is_inactive() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.trigger set active = false where code = 'permit_state_change'")
        .await;
    let _daemon = desk.daemon(QUICK).await;
    desk.until("select not exists (select from sicantik_notify.capture_plan where model = 'sicantik.permit' and active)")
        .await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    let found = causes(&desk, &permit(ids::PERMIT_DRAFT)).await;
    assert_eq!(found[0], ("trigger_inactive".to_owned(), Some(1)), "{found:?}");
    let (code, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("Nothing has been captured of sicantik.permit,6."),
        "{text}"
    );
    assert!(
        text.contains("why: cause 1 of SICANTIK guide §8.4 (Pemicu tidak aktif)"),
        "{text}"
    );
    assert!(
        text.contains("update sicantik_notify.trigger set active = true where code = 'permit_state_change'"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_2_the_rule_is_inactive() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.rule set active = false").await;
    // Before anything was captured, from what stands there now.
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "rule_inactive",
        2,
    );
    let _daemon = desk.quick().await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    decided(&desk, ids::PERMIT_DRAFT, "no_rule").await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "rule_inactive",
        2,
    );
    // A message whose rule was switched off while it waited.
    desk.sql("update sicantik_notify.rule set active = true where code = 'notify_permit_approved'; update sicantik_notify.provider set active = false")
        .await;
    write(&desk, ids::PERMIT_ACTIVE, "draft").await;
    write(&desk, ids::PERMIT_ACTIVE, "active").await;
    desk.until("select exists (select from sicantik_notify.queue where waiting_for = 'provider')")
        .await;
    desk.sql("update sicantik_notify.rule set active = false").await;
    desk.until("select exists (select from sicantik_notify.queue where waiting_for = 'rule_inactive')")
        .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "rule_inactive",
        2,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_3_a_condition_is_not_met() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    write(&desk, ids::PERMIT_ACTIVE, "expired").await;
    decided(&desk, ids::PERMIT_ACTIVE, "rule_condition").await;
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "condition_not_met",
        3,
    );
    let (_, text) = explain(&desk, &["--record", &permit(ids::PERMIT_ACTIVE)]).await;
    assert!(
        text.contains("[('state', '=', 'approved')]"),
        "the text of the condition:\n{text}"
    );
    assert!(
        text.contains("'approved' of `status` is read as 'active'"),
        "{text}"
    );
    // The trigger's own, and of a record that nobody has touched.
    desk.sql(
        "update sicantik_notify.trigger set condition_domain = '[(''permit_number'', ''='', ''none'')]' where code = 'permit_state_change'",
    )
    .await;
    let found = causes(&desk, &permit(ids::PERMIT_STALE)).await;
    has(&found, "condition_not_met", 3);
    write(&desk, ids::PERMIT_STALE, "expired").await;
    decided(&desk, ids::PERMIT_STALE, "trigger_condition").await;
    has(
        &causes(&desk, &permit(ids::PERMIT_STALE)).await,
        "condition_not_met",
        3,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_4_the_partner_has_no_number() {
    let desk = desk().await;
    has(&causes(&desk, &permit(PERMIT_NO_NUMBER)).await, "no_number", 4);
    let _daemon = desk.quick().await;
    write(&desk, PERMIT_NO_NUMBER, "active").await;
    decided(&desk, PERMIT_NO_NUMBER, "no_phone").await;
    has(&causes(&desk, &permit(PERMIT_NO_NUMBER)).await, "no_number", 4);
    let (_, text) = explain(&desk, &["--record", &permit(PERMIT_NO_NUMBER)]).await;
    assert!(
        text.contains("partner 16") && text.contains("whatsapp_number, mobile and phone are empty"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_5_the_template_is_not_found() {
    let desk = desk().await;
    desk.sql(
        "update sicantik_notify.rule set template_key = 'no_such' where code = 'notify_permit_approved'",
    )
    .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "template_missing",
        5,
    );
    let daemon = desk.quick().await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    desk.until("select exists (select from sicantik_notify.event_set_aside where record_id = 6)")
        .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "template_missing",
        5,
    );
    let (_, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert!(
        text.contains("was set aside for the rule notify_permit_approved")
            && text.contains("the next try is at"),
        "{text}"
    );
    // Found, and unfit for every provider that there is.
    drop(daemon);
    desk.sql(
        "update sicantik_notify.rule set template_key = 'permit_ready' where code = 'notify_permit_approved';
         update sicantik_notify.template set for_gateways = false, meta_status = 'rejected'",
    )
    .await;
    let _daemon = desk.quick().await;
    desk.until("select exists (select from sicantik_notify.log where state = 'failed' and record_id = 6)")
        .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "template_missing",
        5,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_6_no_provider_is_set_up_or_all_are_paused() {
    let plan = Plan {
        providers: false,
        ..Plan::default()
    };
    let desk = desk_of(plan).await;
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "no_provider",
        6,
    );
    let _daemon = desk.quick().await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    desk.until("select exists (select from sicantik_notify.queue where waiting_for = 'provider')")
        .await;
    has(&causes(&desk, &permit(ids::PERMIT_DRAFT)).await, "no_provider", 6);
    // All that there are keep failing.
    desk.sql(
        "insert into sicantik_notify.provider (name, provider_type) values ('f', 'fonnte');
         insert into sicantik_notify.provider_secret (provider_id, name, value) select id, 'token', 't' from sicantik_notify.provider;
         insert into sicantik_notify.provider_health (provider_id, open_until) select id, now() + interval '1 hour' from sicantik_notify.provider",
    )
    .await;
    let report = json(&desk, &["--record", &permit(ids::PERMIT_ACTIVE)]).await;
    let paused = report["causes"].as_array().unwrap().iter().any(|c| {
        c["code"] == "no_provider"
            && c["text"]
                .as_str()
                .unwrap()
                .contains("keeps failing and is paused")
    });
    assert!(paused, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_7_the_queue_is_not_processed() {
    let desk = desk().await;
    has(
        &causes(&desk, &permit(ids::PERMIT_ACTIVE)).await,
        "queue_not_processed",
        7,
    );
    // Switched off.
    let daemon = desk
        .daemon("[capture]\npoll_interval_ms = 50\n[deliver]\nenabled = false\nheartbeat_ms = 200\n")
        .await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    desk.until("select exists (select from sicantik_notify.queue) and exists (select from sicantik_notify.instance where note is not null)")
        .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "queue_not_processed",
        7,
    );
    let (_, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert!(
        text.contains("deliver.enabled") && text.contains("waits (pending): the daemon"),
        "{text}"
    );
    // Not there.
    drop(daemon);
    desk.sql("delete from sicantik_notify.instance").await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "queue_not_processed",
        7,
    );
    // There, and not allowed to: a copy.
    desk.sql(
        "insert into public.ir_config_parameter (key, value) values ('database.is_neutralized', 'true')",
    )
    .await;
    let _daemon = desk.quick().await;
    desk.until("select exists (select from sicantik_notify.instance where not delivering)")
        .await;
    let (_, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert!(text.contains("cause 7") && text.contains("neutralised"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cause_7_the_job_of_the_queue_is_disabled() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    desk.sql("select sicantik_notify.cron_disable('process_queue')")
        .await;
    write(&desk, ids::PERMIT_DRAFT, "active").await;
    desk.until("select exists (select from sicantik_notify.queue)")
        .await;
    has(
        &causes(&desk, &permit(ids::PERMIT_DRAFT)).await,
        "queue_not_processed",
        7,
    );
    let (_, text) = explain(&desk, &["--record", &permit(ids::PERMIT_DRAFT)]).await;
    assert!(
        text.contains("job disabled") && text.contains("cron enable process_queue"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_that_the_guide_does_not_know() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    let code = |found: &[(String, Option<u64>)], code: &str| found.iter().any(|(c, _)| c == code);
    // Written before anybody looked; and not in the state that is looked for.
    desk.sql("update sicantik_notify.trigger set state_to = 'approved' where code = 'permit_state_change'")
        .await;
    let found = causes(&desk, &permit(ids::PERMIT_DRAFT)).await;
    assert!(
        code(&found, "before_publication") && code(&found, "not_a_watched_change"),
        "{found:?}"
    );
    // No such record, no such model, nobody watches.
    assert!(code(
        &causes(&desk, "sicantik.permit,99999").await,
        "record_missing"
    ));
    assert!(code(&causes(&desk, "sicantik.nothing,1").await, "model_unknown"));
    assert!(code(&causes(&desk, "res.partner,10").await, "model_not_watched"));
    assert_eq!(explain(&desk, &["--record", "sicantik.nothing,1"]).await.0, 3);
    // The hook was switched off, and something was missed.
    desk.sql("alter table public.sicantik_permit disable trigger sicantik_notify_update")
        .await;
    desk.sql(
        "insert into sicantik_notify.problem (key, severity, summary, remedy) values ('capture misses', 'alarm', '3 host writes', 'look')",
    )
    .await;
    let found = causes(&desk, &permit(ids::PERMIT_DRAFT)).await;
    assert!(
        code(&found, "hook_missing") && code(&found, "capture_misses"),
        "{found:?}"
    );
    // A rule that does not compile, and one that finds nobody.
    desk.sql("update sicantik_notify.rule set condition_domain = '[(''colour'', ''='', 1)]' where code = 'notify_permit_approved'").await;
    let found = causes(&desk, &permit(ids::PERMIT_ACTIVE)).await;
    assert!(code(&found, "not_usable"), "{found:?}");
    desk.sql("update sicantik_notify.rule set condition_domain = null where code = 'notify_permit_approved'")
        .await;
    let found = causes(&desk, &permit(ids::PERMIT_NO_PARTNER)).await;
    assert!(code(&found, "no_recipient"), "{found:?}");
    // A message that a person put there is about no change.
    desk.sql("update sicantik_notify.provider set active = false")
        .await;
    let id = desk.message("+6281234567890").await.to_string();
    let (exit, text) = explain(&desk, &["--message", &id]).await;
    assert_eq!(exit, 0, "{text}");
    assert!(
        text.contains("no change led to it") && text.contains("+6281****890"),
        "{text}"
    );
}

/// Text and remedy of each cause of that code, those of the stories first.
async fn said(desk: &Desk, record: &str, code: &str) -> Vec<String> {
    let report = json(desk, &["--record", record]).await;
    let stories = report["stories"].as_array().unwrap();
    let all = stories.iter().flat_map(|s| s["causes"].as_array().unwrap());
    let all = all.chain(report["causes"].as_array().unwrap());
    let mine = all.filter(|c| c["code"] == code);
    mine.map(|c| {
        format!(
            "{} | {}",
            c["text"].as_str().unwrap(),
            c["remedy"].as_str().unwrap()
        )
    })
    .collect()
}

/// Forgets all that became of changes, but not who was told.
async fn forget(desk: &Desk) {
    desk.sql(
        "delete from sicantik_notify.decision; delete from sicantik_notify.event_history;
         delete from sicantik_notify.log; delete from sicantik_notify.queue",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_is_not_told_again_and_explain_says_when_and_by_which_message() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.rule set repeat_policy = 'once_per_record' where code = 'notify_permit_approved'")
        .await;
    let record = permit(ids::PERMIT_DRAFT);
    assert!(said(&desk, &record, "repeated").await.is_empty());
    let _daemon = desk.quick().await;
    for status in ["active", "draft", "active"] {
        write(&desk, ids::PERMIT_DRAFT, status).await;
        desk.drained().await;
    }
    decided(&desk, ids::PERMIT_DRAFT, "repeated").await;
    let message = desk.number("select id from sicantik_notify.log").await;
    let told = said(&desk, &record, "repeated").await;
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "partner 15 was told on ",
        &format!("by message {message}"),
        "once for each record",
        "repeat_policy of the rule notify_permit_approved is once_per_record",
        "change repeat_policy of the rule notify_permit_approved",
    ] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    // The history is gone; the mark stands.
    forget(&desk).await;
    desk.sql("update sicantik_notify.rule set condition_domain = null where code = 'notify_permit_approved'")
        .await;
    let told = said(&desk, &record, "repeated").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "the rule notify_permit_approved would not tell partner 15 (Eka Putri) again now: told on "
        ) && told[0].contains(&format!("by message {message}")),
        "{told:?}"
    );
    // A cooldown that is over is no obstacle.
    desk.sql(
        "update sicantik_notify.rule set repeat_policy = 'cooldown', repeat_cooldown = 60 where code = 'notify_permit_approved'",
    )
    .await;
    assert!(said(&desk, &record, "repeated").await[0].contains("told again 60 minutes after"));
    desk.sql("update sicantik_notify.repeat_mark set marked_at = now() - interval '2 hours'")
        .await;
    assert!(said(&desk, &record, "repeated").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_told_before_and_after_the_change() {
    let desk = desk().await;
    let record = permit(ids::PERMIT_WRONG_PERSON);
    let policy = async |policy: &str| {
        desk.sql(&format!(
            "update sicantik_notify.rule set on_name_mismatch = '{policy}', condition_domain = null where code = 'notify_permit_approved'"
        ))
        .await;
    };
    policy("warn").await;
    assert!(said(&desk, &record, "name_mismatch").await.is_empty());
    policy("hold").await;
    let now = said(&desk, &record, "name_mismatch").await;
    assert!(
        now[0].starts_with("the applicant is \"Budi\", but the partner is \"Budi Santoso\"")
            && now[0].contains("would be held for a person"),
        "{now:?}"
    );
    policy("skip").await;
    let now = said(&desk, &record, "name_mismatch").await;
    assert!(
        now[0].contains("nobody is told") && now[0].contains("on_name_mismatch"),
        "{now:?}"
    );
    let daemon = desk.quick().await;
    write(&desk, ids::PERMIT_WRONG_PERSON, "draft").await;
    decided(&desk, ids::PERMIT_WRONG_PERSON, "name_mismatch").await;
    assert_eq!(said(&desk, &record, "name_mismatch").await.len(), 1);
    drop(daemon);
    policy("hold").await;
    let _daemon = desk.quick().await;
    write(&desk, ids::PERMIT_WRONG_PERSON, "active").await;
    desk.until("select exists (select from sicantik_notify.queue where state = 'held')")
        .await;
    let held = said(&desk, &record, "held").await;
    assert!(
        held[0].contains("waits (held)") && held[0].contains("perhaps another person"),
        "{held:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_run_leads_to_the_one_message_that_tells_of_it() {
    let desk = desk().await;
    desk.sql(
        "update sicantik_notify.rule set active = true where code = 'notify_document_reminder';
         insert into public.sicantik_document (id, document_number, name, permit_id, state, create_date)
         select 100 + i, 'DOC/' || i, 'Dokumen', 1, 'pending_signature', now() - interval '3 days' from generate_series(1, 2) i",
    )
    .await;
    desk.office.run(&["hooks", "install"]).await.unwrap();
    let daemon = desk.quick().await;
    desk.sql(
        "insert into sicantik_notify.event (op, record_id, model, target_trigger)
         select 'F', r, model, id from sicantik_notify.trigger, generate_series(101, 102) r where code = 'document_pending_reminder'",
    )
    .await;
    desk.until("select count(*) >= 2 from sicantik_notify.decision where outcome = 'enqueued'")
        .await;
    desk.drained().await;
    drop(daemon);
    for document in ["sicantik.document,101", "sicantik.document,102"] {
        let (code, text) = explain(&desk, &["--record", document]).await;
        assert_eq!(code, 0, "{text}");
        for part in [
            "was put forward for the trigger document_pending_reminder by a schedule, a person or a programme",
            "put together with others: one message tells of all records of this run",
            "one message for 2 records of the run",
            "ended as sent",
        ] {
            assert!(text.contains(part), "{document}: {part}:\n{text}");
        }
        assert!(!text.contains("why: grouped"), "{text}");
    }
    // Before the run is complete.
    desk.sql("delete from sicantik_notify.decision where outcome = 'enqueued'")
        .await;
    let waits = said(&desk, "sicantik.document,102", "grouped").await;
    assert!(
        waits[0].contains("the message follows when no event of the run waits"),
        "{waits:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_and_python_are_asked_of_the_record_as_it_is_now() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.rule set condition_domain = null where code = 'notify_permit_approved'")
        .await;
    let rule = async |columns: &str| {
        desk.sql(&format!(
            "update sicantik_notify.rule set {columns} where code = 'notify_permit_approved'"
        ))
        .await;
        desk.office.run(&["hooks", "install"]).await.unwrap();
    };
    let (active, nobody) = (permit(ids::PERMIT_ACTIVE), permit(ids::PERMIT_NO_PARTNER));
    rule("condition_python = 'len(record.partner_id.name) > 0 and record.permit_number == ''none'''").await;
    let unmet = said(&desk, &active, "condition_not_met").await;
    assert!(
        unmet[0].contains("does not meet condition_python of the rule notify_permit_approved now")
            && unmet[0].contains("record.permit_number == 'none'"),
        "{unmet:?}"
    );
    let wrong = said(&desk, &nobody, "not_usable").await;
    assert!(
        wrong[0].contains("1 | len(record.partner_id.name)") && wrong[0].contains("^^^"),
        "{wrong:?}"
    );
    // Nothing in the way.
    rule("condition_python = 'record.state == ''approved'''").await;
    for code in ["condition_not_met", "not_usable", "no_recipient", "no_number"] {
        assert_eq!(said(&desk, &active, code).await, [""; 0], "{code}");
    }
    rule("condition_python = null, context_preparation_code = 'context = {''partner_name'': record.partner_id.name.upper(), ''x'': 1 / 0}'")
        .await;
    let wrong = said(&desk, &active, "not_usable").await;
    assert!(wrong[0].contains("division by zero"), "{wrong:?}");
    rule("context_preparation_code = null, recipient_type = 'field', recipient_field = 'partner_id'").await;
    let none = said(&desk, &nobody, "no_recipient").await;
    assert!(none[0].contains("recipient_field leads to nobody"), "{none:?}");
    let none = said(&desk, &permit(PERMIT_NO_NUMBER), "no_number").await;
    assert!(
        none[0].contains("partner 16 (") && none[0].contains("are empty"),
        "{none:?}"
    );
    rule("recipient_type = 'custom', recipient_domain = '[(''id'', ''='', 16)]'").await;
    let none = said(&desk, &active, "no_number").await;
    assert!(none[0].contains("partner 16 ("), "{none:?}");
    rule("recipient_domain = '[(''id'', ''='', -1)]'").await;
    let none = said(&desk, &active, "no_recipient").await;
    assert!(none[0].contains("no partner meets recipient_domain"), "{none:?}");
    // More than anybody means.
    desk.sql("update sicantik_notify.setting set value = '1' where key = 'recipient_limit'")
        .await;
    rule("recipient_domain = '[(''id'', ''>'', 0)]'").await;
    let wrong = said(&desk, &active, "not_usable").await;
    assert!(wrong[0].contains("means more than 1 people"), "{wrong:?}");
    // What the daemon may not read.
    desk.sql(
        "revoke select on public.sicantik_permit from sicantik_notifyd;
         grant select (id) on public.sicantik_permit to sicantik_notifyd",
    )
    .await;
    let right = said(&desk, &active, "right_missing").await;
    assert!(
        right[0].contains("\"status\"") && right[0].contains("grant select ("),
        "{right:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_reads_through_indexes_however_much_there_is() {
    use sicantik_notifyd::db::statements as sql;
    let desk = desk().await;
    desk.sql(
        "insert into sicantik_notify.decision (outcome, event_id, xact, model, record_id, message_id, reason)
         select 'enqueued', i, i::text::xid8, 'sicantik.permit', i, case when i % 2 = 0 then i end, 'x' from generate_series(1, 30000) i;
         insert into sicantik_notify.log (id, state, rule_code, event_id, model, record_id, phone, template_key, context, tries,
                                          possible_duplicate, created_at)
         select i, 'sent', 'r', i, 'sicantik.permit', i, '+62', 't', '{}', 0, false, now() from generate_series(1, 30000) i;
         insert into sicantik_notify.event_history (id, record_id, xact, occurred_at, op, tries, model)
         select i, i, i::text::xid8, now(), 'U', 0, 'sicantik.permit' from generate_series(1, 30000) i;
         insert into sicantik_notify.attempt (message_id, claim_token, instance_id, provider_id, provider_type, template_key)
         select i, 1, 1, 1, 'meta', 't' from generate_series(1, 30000) i;
         insert into sicantik_notify.event_set_aside (model, record_id, events, tries, error, next_try_at)
         select 'sicantik.permit', i, '[]', 1, 'x', now() from generate_series(1, 30000) i;
         analyze sicantik_notify.decision; analyze sicantik_notify.log; analyze sicantik_notify.event_history;
         analyze sicantik_notify.attempt; analyze sicantik_notify.event_set_aside",
    )
    .await;
    // Partitions that have rows.
    let grown = desk
        .text(
            "select string_agg(distinct x.part::regclass::text, ' ')
             from (select tableoid as part from sicantik_notify.decision union all select tableoid from sicantik_notify.log
                   union all select tableoid from sicantik_notify.event_history union all select tableoid from sicantik_notify.attempt
                   union all select tableoid from sicantik_notify.event_set_aside) x",
        )
        .await
        .unwrap()
        .replace("sicantik_notify.", "");
    assert_eq!(grown.split(' ').count(), 5, "{grown}");
    let (model, record) = ("'sicantik.permit'", "77");
    for (statement, parameters, whole) in [
        (sql::EXPLAIN_LOCATE, vec!["null", record], "event_set_aside"),
        (sql::EXPLAIN_LOCATE, vec![record, "null"], "event_set_aside"),
        (sql::EXPLAIN_EVENTS, vec![model, record, "1000"], ""),
        (sql::EXPLAIN_DECISIONS, vec![model, record, "1000"], ""),
        (sql::EXPLAIN_SET_ASIDE, vec![model, record], ""),
        (
            sql::EXPLAIN_MESSAGES,
            vec![model, record, "'{70,71}'", "1000"],
            "",
        ),
        (
            sql::EXPLAIN_MESSAGES,
            vec![model, "null", "'{70,71}'", "1000"],
            "",
        ),
        (sql::EXPLAIN_ATTEMPTS, vec!["'{70,71}'"], ""),
    ] {
        let types = vec!["unknown"; parameters.len()].join(", ");
        let plan = format!(
            "set plan_cache_mode = force_generic_plan; prepare p ({types}) as {};
             explain (costs off) execute p ({}); deallocate p",
            statement.sql,
            parameters.join(", ")
        );
        let rows = desk.admin.simple_query(&plan).await.unwrap();
        let plan: Vec<String> = rows
            .iter()
            .filter_map(|m| match m {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .collect();
        let scanned: Vec<&str> = grown
            .split(' ')
            .filter(|table| *table != whole)
            .filter(|table| {
                plan.iter()
                    .any(|line| line.contains(&format!("Seq Scan on {table} ")))
            })
            .collect();
        assert!(
            scanned.is_empty(),
            "{} {parameters:?} reads {scanned:?}:\n{}",
            statement.name,
            plan.join("\n")
        );
        assert!(
            plan.iter().any(|line| line.contains("Index")),
            "{}",
            plan.join("\n")
        );
    }
}
