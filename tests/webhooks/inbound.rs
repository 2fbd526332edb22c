//! What people write: the 24-hour window, STOP and MULAI, consent.

use serde_json::json;
use sicantik_notifyd::testkit::gateway::webhook::MetaEvent;
use sicantik_notifyd::testkit::gateway::{Gateway, Provider};

use crate::bench::{Bench, bench};

const WHO: &str = "+6281200007001";

async fn blacklisted(bench: &Bench, number: &str) -> bool {
    bench
        .desk
        .number(&format!(
            "select count(*) from sicantik_notify.blacklist where phone = '{number}' and active"
        ))
        .await
        == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_messages_and_is_confirmed_once_through_the_number_that_was_written_to() {
    let bench = bench().await;
    let meta = bench.meta();
    assert_eq!(meta.send_inbound(WHO, "  Stop! ").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
    let confirmed = bench.desk.accepted(1).await;
    assert_eq!(
        (confirmed[0].provider, confirmed[0].template.as_deref()),
        (Provider::Meta, None)
    );
    assert_eq!(confirmed[0].to, "6281200007001");
    assert!(confirmed[0].text.contains("MULAI"), "{}", confirmed[0].text);
    bench.desk.drained().await;
    // Once more, and through another provider: nothing new.
    assert_eq!(meta.send_inbound(WHO, "BERHENTI").await.unwrap(), 200);
    assert_eq!(
        bench
            .watzap()
            .send_inbound("6281200007001@c.us", "unsubscribe")
            .await
            .unwrap(),
        200
    );
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.inbound_message where meaning = 'stop'")
            .await,
        3
    );
    bench.desk.drained().await;
    assert_eq!(bench.desk.office.gateway.count(), 1);
    // Its rule alone passes the blacklist.
    assert_eq!(
        bench
            .desk
            .text("select string_agg(code, ' ') from sicantik_notify.rule where not respect_blacklist")
            .await
            .as_deref(),
        Some("system_stop_confirmation")
    );

    // Consent does not undo it; a word of start_words does.
    assert_eq!(meta.send_inbound(WHO, "setuju").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
    assert_eq!(meta.send_inbound(WHO, "mulai").await.unwrap(), 200);
    assert!(!blacklisted(&bench, WHO).await);
    assert_eq!(meta.send_inbound(WHO, "stop").await.unwrap(), 200);
    bench.desk.accepted(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_does_not_undo_what_a_person_did() {
    let bench = bench().await;
    bench
        .desk
        .sql(&format!(
            "select sicantik_notify.blacklist_add('{WHO}', 'asked on the phone', 'operator')"
        ))
        .await;
    assert_eq!(bench.meta().send_inbound(WHO, "MULAI").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
    assert_eq!(bench.meta().send_inbound(WHO, "STOP").await.unwrap(), 200);
    assert_eq!(bench.meta().send_inbound(WHO, "MULAI").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_adds_to_a_stopped_number_stays_and_what_one_lets_through_can_be_stopped_again() {
    let bench = bench().await;
    let meta = bench.meta();
    let source =
        format!("select source || ': ' || reason from sicantik_notify.blacklist where phone = '{WHO}'");
    assert_eq!(meta.send_inbound(WHO, "STOP").await.unwrap(), 200);
    assert_eq!(
        bench.desk.text(&source).await.as_deref(),
        Some("stop: wrote a word of stop_words")
    );
    bench.desk.accepted(1).await;
    let add = format!("select sicantik_notify.blacklist_add('{WHO}', 'asked on the phone')");
    bench.desk.sql(&add).await;
    let operators = Some("operator: asked on the phone");
    assert_eq!(bench.desk.text(&source).await.as_deref(), operators);
    assert_eq!(meta.send_inbound(WHO, "MULAI").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
    // Nor does a later STOP make it theirs again.
    assert_eq!(meta.send_inbound(WHO, "STOP").await.unwrap(), 200);
    assert_eq!(bench.desk.text(&source).await.as_deref(), operators);
    bench.desk.accepted(2).await;
    bench.desk.drained().await;
    // A person lets messages through again, but the recipient does not want them.
    bench
        .desk
        .sql(&format!("select sicantik_notify.blacklist_remove('{WHO}')"))
        .await;
    assert_eq!(meta.send_inbound(WHO, "STOP").await.unwrap(), 200);
    assert!(blacklisted(&bench, WHO).await);
    bench.desk.accepted(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_passes_the_blacklist_and_nothing_else() {
    let bench = bench().await;
    bench
        .desk
        .sql("update sicantik_notify.rule set rate_limit_enabled = default, rate_limit_count = 1 where code = 'system_stop_confirmation'")
        .await;
    assert_eq!(bench.meta().send_inbound(WHO, "STOP").await.unwrap(), 200);
    bench.desk.accepted(1).await;
    assert_eq!(
        bench.meta().send_inbound("+6281200007002", "STOP").await.unwrap(),
        200
    );
    bench
        .desk
        .until("select waiting_for = 'rate_limit' from sicantik_notify.queue where phone = '+6281200007002'")
        .await;
    // Everybody else's messages to the number end at the blacklist.
    let id = bench.desk.message(WHO).await;
    bench
        .desk
        .until(&format!(
            "select state = 'skipped' and code = 'blacklisted' from sicantik_notify.log where id = {id}"
        ))
        .await;
    assert_eq!(bench.desk.office.gateway.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_acts_once_and_a_start_that_is_older_than_the_stop_not_at_all() {
    let bench = bench().await;
    let body = |id: &str, text: &str, seconds: i64| {
        json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages", "value": {
            "metadata": { "phone_number_id": Gateway::META_PHONE_ID },
            "messages": [{ "from": "6281200007001", "id": id, "timestamp": seconds.to_string(), "type": "button",
                           "button": { "text": text, "payload": "x" } }] } }] }] })
    };
    let now = bench
        .desk
        .number("select extract(epoch from now())::bigint")
        .await;
    let stop = body("wamid.stop", "Berhenti", now - 60);
    let start = body("wamid.start", "Mulai", now - 30);
    for (call, listed) in [(&stop, true), (&start, false), (&stop, false), (&stop, false)] {
        assert_eq!(bench.meta().post_raw(call).await.unwrap(), 200);
        assert_eq!(blacklisted(&bench, WHO).await, listed);
    }
    for (call, listed) in [
        (body("wamid.stop2", "Berhenti", now - 10), true),
        (body("wamid.start2", "Mulai", now - 20), true),
    ] {
        assert_eq!(bench.meta().post_raw(&call).await.unwrap(), 200);
        assert_eq!(blacklisted(&bench, WHO).await, listed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_confirmation_can_be_switched_off_and_the_words_are_the_offices() {
    let bench = bench().await;
    bench
        .desk
        .sql(
            "update sicantik_notify.rule set active = false where code = 'system_stop_confirmation';
             update sicantik_notify.setting set value = 'Tidak mau' where key = 'stop_words'",
        )
        .await;
    assert_eq!(
        bench
            .fonnte()
            .send_inbound("6281200007001", "tidak mau.")
            .await
            .unwrap(),
        200
    );
    assert!(blacklisted(&bench, WHO).await);
    assert_eq!(
        bench
            .fonnte()
            .send_inbound("6281200007002", "STOP")
            .await
            .unwrap(),
        200
    );
    assert!(!blacklisted(&bench, "+6281200007002").await);
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.queue")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_can_be_answered_through_meta_and_who_consents_always() {
    let bench = bench().await;
    let through = async |number: &str, expected: usize| {
        bench.desk.message(number).await;
        bench.desk.accepted(expected).await.last().unwrap().provider
    };
    assert_eq!(through("+6281200007010", 1).await, Provider::Fonnte);
    assert_eq!(
        bench.meta().send_inbound("+6281200007011", "Halo").await.unwrap(),
        200
    );
    assert_eq!(through("+6281200007011", 2).await, Provider::Meta);
    // A message that comes three days late opens nothing.
    let now = bench
        .desk
        .number("select extract(epoch from now())::bigint")
        .await;
    let late = bench.meta().at(now as u64 - 3 * 86_400);
    assert_eq!(late.send_inbound("+6281200007012", "Halo").await.unwrap(), 200);
    assert_eq!(through("+6281200007012", 3).await, Provider::Fonnte);
    // Nor does it close what is open.
    assert_eq!(late.send_inbound("+6281200007011", "Halo").await.unwrap(), 200);
    assert_eq!(through("+6281200007011", 4).await, Provider::Meta);
    // Consent does not depend on the window.
    assert_eq!(
        late.send_inbound("+6281200007013", "Ya, setuju").await.unwrap(),
        200
    );
    assert_eq!(
        late.send_inbound("+6281200007014", "tidak setuju").await.unwrap(),
        200
    );
    assert_eq!(through("+6281200007013", 5).await, Provider::Meta);
    assert_eq!(through("+6281200007014", 6).await, Provider::Fonnte);
}

#[tokio::test(flavor = "multi_thread")]
async fn fonntes_device_pauses_and_resumes_its_provider() {
    let bench = bench().await;
    bench.desk.only("Fonnte").await;
    assert_eq!(bench.fonnte().send_device(false).await.unwrap(), 200);
    bench
        .desk
        .until("select exists (select from sicantik_notify.v_problem where about = 'provider Fonnte' and summary like '%disconnected%')")
        .await;
    let id = bench.desk.message("+6281200007020").await;
    bench
        .desk
        .until(&format!(
            "select waiting_for = 'provider' from sicantik_notify.queue where id = {id}"
        ))
        .await;
    assert_eq!(bench.fonnte().send_device(true).await.unwrap(), 200);
    bench.desk.accepted(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_behind_the_confirmation_watches_nothing_and_is_no_problem() {
    let bench = bench().await;
    // Alone, as it is after an installation: the host's own jobs that send messages are no rivals then.
    bench
        .desk
        .sql("update sicantik_notify.rule set active = false where code <> 'system_stop_confirmation'")
        .await;
    assert_eq!(
        bench
            .desk
            .number("select count(*) from sicantik_notify.capture_plan where model = 'res.partner'")
            .await,
        0
    );
    assert_eq!(
        bench
            .desk
            .text("select string_agg(about || ': ' || summary, '; ') from sicantik_notify.v_problem")
            .await,
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_promotional_messages_gets_none_through_no_provider_and_everything_else() {
    let bench = bench().await;
    let meta = bench.meta();
    let prefer = async |word: &str, at: u64| {
        let event = MetaEvent::Preference {
            from: WHO.to_owned(),
            value: word.to_owned(),
        };
        assert_eq!(bench.meta().at(at).post(&[event]).await.unwrap(), 200);
    };
    bench
        .desk
        .sql(
            "insert into sicantik_notify.template (template_key, name, body, parameters, meta_category)
             values ('promo', 'Promo', 'Halo {{partner_name}}', '{partner_name}', 'marketing'),
                    ('info', 'Info', 'Yth. {{partner_name}}', '{partner_name}', 'utility');
             update sicantik_notify.template set meta_category = 'marketing' where template_key = 'izin_selesai_diproses'",
        )
        .await;
    let failed = async |id: i64| {
        bench
            .desk
            .until(&format!(
                "select state = 'failed' and error like '%stopped promotional messages%' from sicantik_notify.log where id = {id}"
            ))
            .await;
    };
    prefer("stop", 1_795_300_000).await;
    // What comes late changes nothing.
    prefer("resume", 1_795_299_000).await;
    // Neither Meta's promotional template, nor its text through a gateway, nor a text that is promotional itself.
    for template in ["permit_ready", "promo"] {
        failed(bench.desk.message_to(None, WHO, template).await).await;
    }
    assert_eq!(bench.desk.office.gateway.count(), 0);
    // Everything else, and everybody else.
    bench.desk.message_to(None, WHO, "info").await;
    bench.desk.message_to(None, "+6281200007002", "promo").await;
    bench.desk.accepted(2).await;
    prefer("resume", 1_795_301_000).await;
    bench.desk.message_to(None, WHO, "promo").await;
    bench.desk.accepted(3).await;

    // Meta's late "the user stopped" is the same word.
    bench
        .desk
        .sql("update sicantik_notify.template set meta_category = null where template_key = 'izin_selesai_diproses'")
        .await;
    let (_, external) = bench.sent_through_meta("+6281200007003").await;
    assert_eq!(
        meta.send_failed(&external, 131_050, "User stopped")
            .await
            .unwrap(),
        200
    );
    bench
        .desk
        .until("select marketing_stopped from sicantik_notify.consent where phone = '+6281200007003'")
        .await;
    failed(bench.desk.message_to(None, "+6281200007003", "promo").await).await;
}
