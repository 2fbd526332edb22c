//! A provider that cannot send is one alarm: messages wait and burn nothing, and when its pause ends one message goes first,
//! over all instances. P10: a broken provider stops only itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::time::Duration;

use desk::{Desk, PATIENCE, QUICK, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, HoldPoint, Provider};

fn sends(desk: &Desk) -> usize {
    let requests = desk.office.gateway.requests();
    requests.iter().filter(|r| r.is_send).count()
}

fn checks(desk: &Desk) -> usize {
    let requests = desk.office.gateway.requests();
    requests.iter().filter(|r| !r.is_send).count()
}

/// What the office's pause is worth waiting for: the server's clock of new connections.
async fn end_the_pause(desk: &Desk) {
    desk.sql("update sicantik_notify.provider_health set open_until = sicantik_notify.clock() where open_until is not null")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_one_alarm_and_its_check_sends_nothing() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.provider_secret set value = 'wrong' where value like 'fakefonnte%'")
        .await;
    for i in 0..50 {
        desk.message(&format!("+62812000070{i:02}")).await;
    }
    let _daemon = desk
        .daemon(&format!("{QUICK}concurrency = 1\ncircuit_seconds = 600\n"))
        .await;
    desk.until(
        "select count(*) = 50 from sicantik_notify.queue where waiting_for = 'provider' and tries = 0",
    )
    .await;
    assert_eq!(sends(&desk), 1, "one message met the bad token");
    let alarm = "select count(*) = 1 from sicantik_notify.v_problem
                 where about = 'provider Fonnte' and severity = 'alarm' and summary like '%token_invalid%' and remedy like '%provider_resume%'";
    desk.until(alarm).await;
    desk.until("select circuit = 'open' and next_probe_at > clock_timestamp() + interval '9 minutes' and openings = 1
                from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;

    // The account's own check finds it still wrong: no message is bothered, and the next pause is longer.
    end_the_pause(&desk).await;
    desk.until(
        "select circuit = 'open' and openings = 2 and next_probe_at > clock_timestamp() + interval '14 minutes'
         from sicantik_notify.v_provider where name = 'Fonnte'",
    )
    .await;
    assert_eq!((sends(&desk), checks(&desk)), (1, 1));

    // Repaired: an operator does not wait.
    desk.sql(
        "update sicantik_notify.provider_secret set value = 'fakefonntedevicetoken' where value = 'wrong'",
    )
    .await;
    desk.sql(
        "set role sicantik_notify_operator; select sicantik_notify.provider_resume('Fonnte'); reset role",
    )
    .await;
    desk.accepted(50).await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 50);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'sent' and tries = 0 and not possible_duplicate")
            .await,
        50
    );
    desk.until("select circuit = 'closed' and failures = 0 and openings = 0 from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    let unknown = desk
        .admin
        .batch_execute("select sicantik_notify.provider_resume('Nobody')")
        .await
        .unwrap_err();
    assert!(sicantik_notifyd::db::describe(&unknown).contains("v_provider"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_goes_first_over_all_instances_and_opens_the_road_or_closes_it_again() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    script.always(Behaviour::Html502);
    desk.sql("update sicantik_notify.rule set max_retries = 100, retry_delay = 60")
        .await;
    for i in 0..60 {
        desk.message(&format!("+62812000071{i:02}")).await;
    }
    let config = format!("{QUICK}concurrency = 1\ncircuit_seconds = 600\n");
    let daemons = [
        desk.daemon(&config).await,
        desk.daemon(&config).await,
        desk.daemon(&config).await,
    ];
    desk.until("select circuit = 'open' from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    desk.until("select not exists (select from sicantik_notify.queue where ready or state = 'processing')")
        .await;
    let before = sends(&desk);
    assert!(
        (5..=8).contains(&before),
        "{before}: five in a row, and what two others had begun"
    );

    // The pause ends: one probe, which fails.
    end_the_pause(&desk).await;
    desk.until(
        "select openings = 2 and circuit = 'open' from sicantik_notify.v_provider where name = 'Fonnte'",
    )
    .await;
    assert_eq!(sends(&desk), before + 1);

    // The next one is held at the gateway: nobody else goes meanwhile.
    script.clear();
    let hold = script.hold(HoldPoint::BeforeAccept);
    end_the_pause(&desk).await;
    assert!(hold.arrived_within(PATIENCE).await);
    desk.until("select circuit = 'half-open' and next_probe_at > clock_timestamp() from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    // Everything that waits is offered again, in vain.
    desk.sql("update sicantik_notify.queue set scheduled_at = clock_timestamp() where state = 'pending'")
        .await;
    desk.until("select not exists (select from sicantik_notify.queue where state = 'pending' and (ready or scheduled_at <= clock_timestamp()))
                and (select count(*) from sicantik_notify.queue where state = 'processing' and on_wire is not null) = 1")
        .await;
    assert_eq!(sends(&desk), before + 2);
    hold.release();
    desk.until("select circuit = 'closed' from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    desk.sql("update sicantik_notify.queue set scheduled_at = clock_timestamp() where tries > 0")
        .await;
    desk.accepted(60).await;
    desk.drained().await;
    assert_eq!(desk.office.gateway.count(), 60);
    drop(daemons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_probe_gives_its_ticket_back_after_a_while() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    // As if a daemon had died with the ticket.
    desk.sql(
        "insert into sicantik_notify.provider_health (provider_id, open_until, opened_at, openings, checked_at, probe_until)
         select id, clock_timestamp() - interval '1 minute', clock_timestamp() - interval '2 minutes', 3,
                clock_timestamp() - interval '30 seconds', clock_timestamp() + interval '2 seconds'
         from sicantik_notify.provider where name = 'Fonnte'",
    )
    .await;
    let _daemon = desk.quick().await;
    desk.message("+6281200007200").await;
    desk.until("select exists (select from sicantik_notify.queue where waiting_for = 'provider')")
        .await;
    assert_eq!(sends(&desk), 0);
    desk.accepted(1).await;
    desk.until("select circuit = 'closed' from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_from_before_the_pause_does_not_end_it() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    let slow = script.hold_to("+6281200007301", HoldPoint::AfterAccept);
    let _daemon = desk.daemon(&format!("{QUICK}circuit_seconds = 600\n")).await;
    desk.message("+6281200007301").await;
    assert!(slow.arrived_within(PATIENCE).await);
    script.once_to("+6281200007302", Behaviour::fonnte_reason("insufficient quota"));
    desk.message("+6281200007302").await;
    desk.until("select circuit = 'open' from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    slow.release();
    desk.until("select exists (select from sicantik_notify.log where phone = '+6281200007301')")
        .await;
    assert_eq!(
        desk.text("select circuit from sicantik_notify.v_provider where name = 'Fonnte'")
            .await
            .as_deref(),
        Some("open")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_slows_the_account_down_and_sends_nothing_elsewhere() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = name in ('Fonnte', 'Watzap')")
        .await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .push(Behaviour::too_many(3));
    let daemons = [desk.quick().await, desk.quick().await];
    desk.message("+6281200007400").await;
    desk.until("select next_send_at > clock_timestamp() + interval '1 second' and circuit = 'closed' and last_error like 'http_429%'
                from sicantik_notify.v_provider where name = 'Fonnte'")
        .await;
    for i in 1..10 {
        desk.message(&format!("+62812000074{i:02}")).await;
    }
    let accepted = desk.accepted(10).await;
    assert!(accepted.iter().all(|a| a.provider == Provider::Fonnte));
    let times: Vec<_> = desk
        .office
        .gateway
        .requests()
        .into_iter()
        .filter(|r| r.is_send)
        .map(|r| r.at)
        .collect();
    assert_eq!(times.len(), 11);
    // Fonnte asked for 3 s, and a throttled account gets 5 s at least.
    assert!(
        times[1] - times[0] >= Duration::from_millis(4800),
        "{:?}",
        times[1] - times[0]
    );
    desk.drained().await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where tries = 0")
            .await,
        10
    );
    drop(daemons);
}
