//! The pace of an account holds over all instances: Meta's messages a second and its limit for one recipient, the delays of the
//! gateways. Judged by the gateway's own record. And no capacity lies idle while messages wait.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::time::{Duration, Instant};

use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::meta::PairRate;
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;

const OPTED_IN: i64 = ids::PARTNER_OPTED_IN as i64;

async fn set(desk: &Desk, provider: &str, setting: &str) {
    desk.sql(&format!(
        "update sicantik_notify.provider set settings = settings || '{setting}' where name = '{provider}'"
    ))
    .await;
}

fn times(desk: &Desk, provider: Provider) -> Vec<Instant> {
    let requests = desk.office.gateway.requests();
    let mut times: Vec<_> = requests
        .iter()
        .filter(|r| r.is_send && r.provider == provider)
        .map(|r| r.at)
        .collect();
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_delay_holds_over_three_daemons() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    set(&desk, "Fonnte", r#"{"delay_seconds": 0.5}"#).await;
    for i in 0..16 {
        desk.message(&format!("+62812000080{i:02}")).await;
    }
    let daemons = [desk.quick().await, desk.quick().await, desk.quick().await];
    desk.accepted(16).await;
    desk.drained().await;
    let times = times(&desk, Provider::Fonnte);
    assert_eq!(times.len(), 16);
    for pair in times.windows(2) {
        // The turn is the database's; the request follows within the jitter of two processes.
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(350),
            "{:?}",
            pair[1] - pair[0]
        );
    }
    let whole = times[15] - times[0];
    assert!(
        (Duration::from_millis(7300)..Duration::from_millis(11_000)).contains(&whole),
        "15 gaps of 0.5 s took {whole:?}"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent' and tries = 0")
            .await,
        16
    );
    drop(daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_throughput_holds_over_three_daemons() {
    let desk = desk().await;
    desk.only("Meta").await;
    desk.sql("update res_partner set whatsapp_opt_in = true").await;
    set(&desk, "Meta", r#"{"messages_per_second": 40}"#).await;
    for i in 0..120 {
        desk.message_to(Some(OPTED_IN), &format!("+628120008{i:04}"), "permit_ready")
            .await;
    }
    let daemons = [desk.quick().await, desk.quick().await, desk.quick().await];
    desk.accepted(120).await;
    let times = times(&desk, Provider::Meta);
    assert_eq!(times.len(), 120);
    for (at, first) in times.iter().enumerate() {
        let within = times[at..]
            .iter()
            .filter(|t| **t - *first < Duration::from_secs(1))
            .count();
        assert!(within <= 40 + 4, "{within} messages within a second");
    }
    assert!(
        times[119] - times[0] < Duration::from_secs(6),
        "{:?}",
        times[119] - times[0]
    );
    drop(daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_gets_a_message_in_six_seconds_from_meta_and_others_do_not_wait() {
    let desk = desk().await;
    desk.only("Meta").await;
    desk.sql("update res_partner set whatsapp_opt_in = true").await;
    set(&desk, "Meta", r#"{"pair_interval_seconds": 6}"#).await;
    desk.office.gateway.meta().set_pair_rate(Some(PairRate::STRICT));
    let daemons = [desk.quick().await, desk.quick().await];
    let started = Instant::now();
    for _ in 0..2 {
        desk.message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
            .await;
    }
    desk.message_to(Some(OPTED_IN), "+6281200008500", "permit_ready")
        .await;
    desk.accepted(2).await;
    assert!(started.elapsed() < Duration::from_secs(4));
    // The gateway's clock is the limit's: ours has waited by itself.
    let rest = async {
        desk.until("select exists (select from sicantik_notify.queue where last_error like 'Meta wants%' and tries = 0)").await;
        desk.accepted(3).await
    };
    rest.await;
    desk.drained().await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.attempt where code = '131056'")
            .await,
        0
    );
    assert!(started.elapsed() >= Duration::from_secs(6));
    drop(daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_gateway_holds_nobody_else_up() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = name in ('Meta', 'Watzap')")
        .await;
    set(&desk, "Watzap", r#"{"delay_seconds": 600}"#).await;
    for i in 0..150 {
        desk.message(&format!("+628120008{i:04}")).await;
    }
    desk.message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
        .await;
    let _daemon = desk.quick().await;
    let accepted = desk.accepted(2).await;
    assert!(accepted.iter().any(|a| a.provider == Provider::Meta));
    // The others went back into the queue, and say why.
    desk.until(
        "select count(*) >= 148 from sicantik_notify.queue
         where state = 'pending' and tries = 0 and last_error like 'watzap takes messages at its own pace%'
           and scheduled_at > clock_timestamp() + interval '9 minutes'",
    )
    .await;
    assert_eq!(desk.office.gateway.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_waits_for_its_turn_too() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = name in ('Fonnte', 'Watzap')")
        .await;
    set(&desk, "Watzap", r#"{"delay_seconds": 1}"#).await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::fonnte_reason("bulan purnama"));
    let _daemon = desk.quick().await;
    for i in 0..4 {
        desk.message(&format!("+62812000086{i:02}")).await;
    }
    desk.accepted(4).await;
    let times = times(&desk, Provider::Watzap);
    for pair in times.windows(2) {
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(800),
            "{:?}",
            pair[1] - pair[0]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_whose_turn_comes_later_counts_once_against_the_rate_limit() {
    let desk = desk().await;
    desk.sql(
        "update sicantik_notify.rule set rate_limit_enabled = true, rate_limit_count = 1, rate_limit_period = 'hour'
         where code = 'notify_permit_approved';
         update sicantik_notify.provider set active = name in ('Meta', 'Fonnte');
         insert into sicantik_notify.provider_health (provider_id, next_send_at)
         select id, clock_timestamp() + interval '5 seconds' from sicantik_notify.provider where name = 'Fonnte'
         on conflict (provider_id) do update set next_send_at = excluded.next_send_at",
    )
    .await;
    set(&desk, "Fonnte", r#"{"delay_seconds": 5}"#).await;
    desk.office
        .gateway
        .script(Provider::Meta)
        .always(Behaviour::meta_error(131_008, "parameter is missing"));
    let _daemon = desk.quick().await;
    let id = desk
        .message_to(Some(OPTED_IN), "+6281200008500", "permit_ready")
        .await;
    // Refused for certain, and the gateway has no turn yet: it waits, outside the rate limit, whose only place it has had.
    desk.until(&format!(
        "select fallback and cardinality(not_through) = 1 and not ready and state = 'pending' and waiting_for is null
         from sicantik_notify.queue where id = {id}"
    ))
    .await;
    assert_eq!(desk.accepted(1).await[0].provider, Provider::Fonnte);
    desk.drained().await;
    assert_eq!(times(&desk, Provider::Meta).len(), 1);
    assert_eq!(times(&desk, Provider::Fonnte).len(), 1);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.rate_usage")
            .await,
        1
    );
    // The next message finds no room.
    desk.message("+6281200008501").await;
    desk.until("select waiting_for = 'rate_limit' from sicantik_notify.queue")
        .await;
    assert_eq!(desk.office.gateway.count(), 1);
}
