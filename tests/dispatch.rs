//! SICANTIK guide §6: which provider gets a message, with what, and what a refusal leads to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, PATIENCE, QUICK, desk};
use sicantik_notifyd::testkit::gateway::{Accepted, Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;

const OPTED_IN: i64 = ids::PARTNER_OPTED_IN as i64;
const BUDI: i64 = ids::PARTNER_BUDI as i64;

/// Sends one message and gives what was accepted for it.
async fn one(desk: &Desk, partner: i64, phone: &str) -> Accepted {
    let before = desk.office.gateway.count();
    desk.message_to(Some(partner), phone, "permit_ready").await;
    desk.accepted(before + 1).await.pop().unwrap()
}

async fn attempts(desk: &Desk) -> Vec<String> {
    desk.admin
        .query(
            "select provider_type || ' ' || outcome || coalesce(' ' || code, '') from sicantik_notify.attempt order by id",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_or_an_open_window_means_meta_else_a_gateway() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    let accepted = one(&desk, OPTED_IN, "+6281225252525").await;
    assert_eq!(accepted.provider, Provider::Meta);
    assert_eq!(accepted.template.as_deref(), Some("izin_selesai_diproses"));
    assert_eq!(accepted.language.as_deref(), Some("id"));
    assert_eq!(accepted.params, ["Budi", "503/7", "SIP", "Aktif", "01-02-2026"]);
    assert!(accepted.callback_data.is_some());

    let accepted = one(&desk, BUDI, "+6281234567890").await;
    assert_eq!(accepted.provider, Provider::Fonnte);
    assert!(
        accepted.text.contains("503/7") && !accepted.text.contains("{{"),
        "{}",
        accepted.text
    );

    // Their message opens the window, in our table as in Odoo's; yesterday's has closed again.
    desk.sql("insert into sicantik_notify.inbound values ('+6281234567890', now() - interval '23 hours')")
        .await;
    assert_eq!(one(&desk, BUDI, "+6281234567890").await.provider, Provider::Meta);
    desk.sql("update sicantik_notify.inbound set last_inbound_at = now() - interval '25 hours'")
        .await;
    assert_eq!(
        one(&desk, BUDI, "+6281234567890").await.provider,
        Provider::Fonnte
    );
    desk.sql(
        "insert into whatsapp_message (mobile_number_formatted, message_type, create_date)
         values ('6281234567890', 'inbound', now() at time zone 'UTC' - interval '1 hour')",
    )
    .await;
    assert_eq!(one(&desk, BUDI, "+6281234567890").await.provider, Provider::Meta);
    // A host that does not tell is a host where nobody consented; delivery goes on.
    desk.sql("alter table public.res_partner rename to res_partner_away")
        .await;
    desk.sql("delete from whatsapp_message").await;
    assert_eq!(
        one(&desk, OPTED_IN, "+6281225252525").await.provider,
        Provider::Fonnte
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_meta_has_not_approved_goes_through_a_gateway() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    desk.sql("update sicantik_notify.template set meta_status = 'pending'")
        .await;
    assert_eq!(
        one(&desk, OPTED_IN, "+6281225252525").await.provider,
        Provider::Fonnte
    );
    // Approved by our tables, unknown at Meta: refused there, and at once to the gateway.
    desk.sql("update sicantik_notify.template set meta_status = 'approved' where template_key = 'izin_selesai_diproses'").await;
    desk.office
        .gateway
        .meta()
        .remove_template("izin_selesai_diproses", "id");
    assert_eq!(
        one(&desk, OPTED_IN, "+6281225252525").await.provider,
        Provider::Fonnte
    );
    desk.drained().await;
    assert_eq!(
        attempts(&desk).await,
        ["fonnte accepted", "meta refused 132001", "fonnte accepted"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_fonnte_gives_way_to_watzap_at_once() {
    let desk = desk().await;
    desk.office.gateway.fonnte().set_connected(false);
    let _daemon = desk.quick().await;
    assert_eq!(
        one(&desk, BUDI, "+6281234567890").await.provider,
        Provider::Watzap
    );
    desk.drained().await;
    assert_eq!(
        attempts(&desk).await,
        ["fonnte refused disconnected", "watzap accepted"]
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where tries = 0 and provider_type = 'watzap' and not possible_duplicate").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_billing_error_falls_back_at_once_and_pauses_meta() {
    let desk = desk().await;
    desk.office
        .gateway
        .script(Provider::Meta)
        .always(Behaviour::meta_error(
            131_042,
            "Business eligibility payment issue",
        ));
    desk.sql("update res_partner set whatsapp_opt_in = true").await;
    let _daemon = desk.quick().await;
    assert_eq!(
        one(&desk, BUDI, "+6281234567890").await.provider,
        Provider::Fonnte
    );
    desk.drained().await;
    assert_eq!(attempts(&desk).await, ["meta refused 131042", "fonnte accepted"]);
    let paused = "select circuit = 'open' from sicantik_notify.v_provider where name = 'Meta'";
    desk.until(paused).await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about = 'provider Meta'")
            .await,
        1
    );
    for i in 0..20 {
        desk.message_to(Some(BUDI), &format!("+62812000060{i:02}"), "permit_ready")
            .await;
    }
    desk.accepted(21).await;
    desk.drained().await;
    let at_meta = desk
        .office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.is_send && r.provider == Provider::Meta)
        .count();
    assert_eq!(at_meta, 1, "later messages skip Meta");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent' and tries = 0")
            .await,
        21
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_before_the_pause_skips_meta_too() {
    let desk = desk().await;
    desk.office
        .gateway
        .script(Provider::Meta)
        .always(Behaviour::meta_error(131_042, "payment"));
    desk.sql("update res_partner set whatsapp_opt_in = true").await;
    for i in 0..30 {
        desk.message_to(Some(BUDI), &format!("+62812000061{i:02}"), "permit_ready")
            .await;
    }
    let _daemon = desk.daemon(&format!("{QUICK}concurrency = 1\n")).await;
    desk.accepted(30).await;
    let at_meta = desk
        .office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.is_send && r.provider == Provider::Meta)
        .count();
    assert!(
        at_meta <= 2,
        "{at_meta} messages went to a provider that was known to be paused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_the_default_provider_comes_before_meta() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set is_default = name = 'Fonnte'")
        .await;
    let _daemon = desk.quick().await;
    assert_eq!(
        one(&desk, OPTED_IN, "+6281225252525").await.provider,
        Provider::Fonnte
    );
    desk.office.gateway.fonnte().set_connected(false);
    assert_eq!(
        one(&desk, OPTED_IN, "+6281225252525").await.provider,
        Provider::Meta
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_a_message_waits_and_says_why() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = false")
        .await;
    let _daemon = desk.quick().await;
    let id = desk.message("+6281200006200").await;
    desk.until(&format!("select waiting_for like 'a provider: %inactive%' and error like '%inactive%' and tries = 0 from sicantik_notify.v_queue where id = {id}")).await;
    desk.sql("update sicantik_notify.provider set active = true where name = 'Watzap'")
        .await;
    assert_eq!(desk.accepted(1).await[0].provider, Provider::Watzap);
    desk.drained().await;
    desk.sql("delete from sicantik_notify.provider").await;
    let id = desk.message("+6281200006201").await;
    desk.until(&format!("select waiting_for = 'a provider: no provider is set up' from sicantik_notify.v_queue where id = {id}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_tries_after_the_first_and_pauses_double() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::Html502);
    desk.sql(
        "update sicantik_notify.rule set retry_delay = 10, max_retries = 2, retry_backoff = 'exponential'",
    )
    .await;
    let _daemon = desk.quick().await;
    let id = desk.message("+6281200006300").await;
    for (tries, low, high) in [(1, 10, 11), (2, 20, 22)] {
        desk.until(&format!(
            "select tries = {tries} and state = 'pending' and not ready
                    and scheduled_at - clock_timestamp() between interval '{low} minutes' - interval '20 seconds' and interval '{high} minutes'
             from sicantik_notify.queue where id = {id}"
        ))
        .await;
        desk.sql("update sicantik_notify.queue set scheduled_at = clock_timestamp()")
            .await;
    }
    desk.until(&format!("select state = 'failed' and tries = 2 and error like '%502%' from sicantik_notify.log where id = {id}")).await;
    let sends = desk
        .office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.is_send)
        .count();
    assert_eq!(sends, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_error_fails_at_once_and_says_why() {
    let desk = desk().await;
    desk.office.gateway.numbers().remove("6281225252525");
    let _daemon = desk.quick().await;
    let id = desk
        .message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
        .await;
    desk.until(&format!("select state = 'failed' and code = '131026' and error like 'meta: 131026%' from sicantik_notify.log where id = {id}")).await;
    assert_eq!(attempts(&desk).await, ["meta refused 131026"]);
    // A text that no provider can send fails too, and names the template.
    let id = desk.message_to(None, "+6281200006400", "no_such_template").await;
    desk.until(&format!(
        "select state = 'failed' and error like '%no_such_template%' from sicantik_notify.log where id = {id}"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_keeps_failing_is_paused_and_nothing_burns() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    script.always(Behaviour::Html502);
    for i in 0..30 {
        desk.message(&format!("+62812000065{i:02}")).await;
    }
    let _daemon = desk
        .daemon(&format!("{QUICK}concurrency = 1\ncircuit_seconds = 2\n"))
        .await;
    desk.until(
        "select count(*) = 25 from sicantik_notify.queue where waiting_for = 'provider' and tries = 0",
    )
    .await;
    let sends = desk
        .office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.is_send)
        .count();
    assert_eq!(sends, 5);
    script.clear();
    // The pause ends by itself; an operator does not wait for it.
    desk.until(
        "select h.open_until < clock_timestamp() from sicantik_notify.provider_health h
         join sicantik_notify.provider p on p.id = h.provider_id where p.name = 'Fonnte'",
    )
    .await;
    desk.sql("update sicantik_notify.provider set sequence = sequence")
        .await;
    desk.sql("update sicantik_notify.queue set scheduled_at = clock_timestamp() where tries > 0")
        .await;
    desk.office
        .gateway
        .wait_for(|book| book.accepted.len() == 30, PATIENCE)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_recipient_waits_longer_each_time_and_burns_nothing() {
    let desk = desk().await;
    desk.office
        .gateway
        .script(Provider::Meta)
        .push_times(2, Behaviour::meta_error(131_056, "pair rate"));
    let _daemon = desk.quick().await;
    let id = desk
        .message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
        .await;
    desk.until(&format!(
        "select postponed = 1 and tries = 0 from sicantik_notify.queue where id = {id}"
    ))
    .await;
    desk.until(&format!(
        "select postponed = 2 and scheduled_at - clock_timestamp() > interval '2 seconds' from sicantik_notify.queue where id = {id}"
    ))
    .await;
    desk.accepted(1).await;
    desk.drained().await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where tries = 0 and provider_type = 'meta'")
            .await,
        1
    );
}
