//! When a message may go: batches, quiet hours, "process now", the storm guard. The clock is moved, never waited for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use chrono::{DateTime, Utc};
use desk::{Desk, approve, citizens, desk};
use sicantik_notifyd::db::ids::{EventId, PartnerId, RecordId, RuleId, TriggerId};
use sicantik_notifyd::db::prepared::Prepared;
use sicantik_notifyd::queue::enqueue::{Intake, NewMessage, Terms, enqueue_from};
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio_postgres::Client;

const RULE: &str = "notify_permit_approved";

fn message(number: i64) -> NewMessage {
    let values =
        serde_json::json!({"partner_name": "B", "permit_number": "1", "permit_type": "S", "status": "A"});
    NewMessage {
        id: None,
        held: None,
        event: EventId(number),
        xact: Some(number.to_string()),
        model: "sicantik.permit".into(),
        record: RecordId(number),
        partner: Some(PartnerId(number)),
        partner_name: "Budi".into(),
        phone: format!("+62813{number:08}"),
        context: values.as_object().unwrap().clone(),
        changed_at: Utc::now(),
    }
}

/// Enqueues so many messages of the rule, numbered on from `first`, as the evaluator does. How many were new.
async fn enqueue(client: &mut Client, intake: Intake<'_>, first: i64, count: i64) -> usize {
    let row = client
        .query_one(
            "select r.id, t.id from sicantik_notify.rule r join sicantik_notify.trigger t on t.code = r.trigger where r.code = $1",
            &[&RULE],
        )
        .await
        .unwrap();
    let terms = Terms {
        rule: RuleId(row.get(0)),
        trigger: Some(TriggerId(row.get(1))),
        priority: 5,
        delay_minutes: 0,
        template_key: "permit_ready",
    };
    let messages: Vec<NewMessage> = (first..first + count).map(message).collect();
    let tx = client.transaction().await.unwrap();
    let ids = enqueue_from(&tx, &Prepared::default(), &terms, intake, &messages)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    ids.iter().flatten().count()
}

async fn clock(client: &Client, offset: &str) {
    client
        .execute(
            "select set_config('sicantik_notify.clock_offset', $1, false)",
            &[&offset],
        )
        .await
        .unwrap();
}

/// How many messages go how many minutes after the first one, in order.
async fn minutes(desk: &Desk) -> Vec<(i64, i64)> {
    desk.admin
        .query(
            "select (extract(epoch from q.scheduled_at - (select min(scheduled_at) from sicantik_notify.queue)) / 60)::bigint, count(*)
             from sicantik_notify.queue q group by 1 order by 1",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_rule_fills_its_slots_one_after_the_other() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.rule set schedule_type = 'batch', batch_size = 5, batch_interval = 2")
        .await;
    let mut client = desk.office.connect_as(RUNTIME).await.unwrap();
    let rolling = Intake::default();
    // 3 now, then 9 more: 2 fill the first slot, the others take the next ones.
    assert_eq!(enqueue(&mut client, rolling, 1, 3).await, 3);
    assert_eq!(enqueue(&mut client, rolling, 4, 9).await, 9);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where ready")
            .await,
        5
    );
    // What waits already takes no place twice.
    assert_eq!(enqueue(&mut client, rolling, 4, 9).await, 0);
    assert_eq!(enqueue(&mut client, rolling, 13, 4).await, 4);
    assert_eq!(minutes(&desk).await, [(0, 5), (2, 5), (4, 5), (6, 1)]);
    desk.until("select count(*) = 11 from sicantik_notify.v_queue where waiting_for like 'batch slot at %'")
        .await;
    // Another run has slots of its own.
    desk.sql("delete from sicantik_notify.queue").await;
    let run = Intake {
        series: "cron 7",
        ..Intake::default()
    };
    assert_eq!(enqueue(&mut client, run, 20, 12).await, 12);
    assert_eq!(minutes(&desk).await, [(0, 5), (2, 5), (4, 2)]);
    // When the last slot is over, the series begins anew, at once.
    desk.sql("delete from sicantik_notify.queue").await;
    clock(&client, "20 minutes").await;
    assert_eq!(enqueue(&mut client, rolling, 40, 6).await, 6);
    assert_eq!(minutes(&desk).await, [(0, 5), (2, 1)]);
    // Two evaluators at once do not share a place.
    desk.sql("delete from sicantik_notify.queue; delete from sicantik_notify.batch_series")
        .await;
    clock(&client, "0 s").await;
    let mut other = desk.office.connect_as(RUNTIME).await.unwrap();
    tokio::join!(
        enqueue(&mut client, rolling, 100, 8),
        enqueue(&mut other, rolling, 200, 8)
    );
    assert_eq!(minutes(&desk).await, [(0, 5), (2, 5), (4, 5), (6, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_opens_when_the_wall_clock_says() {
    let desk = desk().await;
    let opens = [
        // Inside, before, after, at the ends; 2026-03-02 is a Monday.
        (
            "08:00-17:00",
            "Asia/Jakarta",
            "2026-03-02 09:00+07",
            "2026-03-02 09:00+07",
        ),
        (
            "08:00-17:00",
            "Asia/Jakarta",
            "2026-03-02 07:59:59+07",
            "2026-03-02 08:00+07",
        ),
        (
            "08:00-17:00",
            "Asia/Jakarta",
            "2026-03-02 17:00+07",
            "2026-03-03 08:00+07",
        ),
        (
            "08:00-17:00",
            "Asia/Jayapura",
            "2026-03-02 07:30+07",
            "2026-03-02 07:30+07",
        ),
        // Days, and over a weekend, in both languages.
        (
            "Mon-Fri 08:00-17:00",
            "Asia/Jakarta",
            "2026-03-06 17:30+07",
            "2026-03-09 08:00+07",
        ),
        (
            "Sen-Jum 08:00-17:00",
            "Asia/Jakarta",
            "2026-03-06 17:30+07",
            "2026-03-09 08:00+07",
        ),
        (
            "Mon-Fri 08:00-17:00, Sat 09:00-12:00",
            "Asia/Jakarta",
            "2026-03-06 17:30+07",
            "2026-03-07 09:00+07",
        ),
        (
            "Sun 10:00-11:00",
            "Asia/Jakarta",
            "2026-03-02 09:00+07",
            "2026-03-08 10:00+07",
        ),
        (
            "sat-mon 10:00-11:00",
            "Asia/Jakarta",
            "2026-03-03 09:00+07",
            "2026-03-07 10:00+07",
        ),
        // Over midnight: the night of a Friday reaches into Saturday.
        (
            "20:00-06:00",
            "Asia/Jakarta",
            "2026-03-02 05:00+07",
            "2026-03-02 05:00+07",
        ),
        (
            "20:00-06:00",
            "Asia/Jakarta",
            "2026-03-02 06:00+07",
            "2026-03-02 20:00+07",
        ),
        (
            "Fri 20:00-06:00",
            "Asia/Jakarta",
            "2026-03-07 05:59+07",
            "2026-03-07 05:59+07",
        ),
        (
            "Fri 20:00-06:00",
            "Asia/Jakarta",
            "2026-03-07 06:00+07",
            "2026-03-13 20:00+07",
        ),
        (
            "00:00-24:00",
            "Asia/Jakarta",
            "2026-03-02 23:59:59+07",
            "2026-03-02 23:59:59+07",
        ),
        (
            "08:00-12:00,13:00-17:00",
            "Asia/Jakarta",
            "2026-03-02 12:00+07",
            "2026-03-02 13:00+07",
        ),
        // Summer time in Berlin: 02:30 does not exist on 29 March, and comes twice on 25 October.
        (
            "08:00-17:00",
            "Europe/Berlin",
            "2026-03-28 18:00+01",
            "2026-03-29 08:00+02",
        ),
        (
            "02:30-05:00",
            "Europe/Berlin",
            "2026-03-29 00:00+01",
            "2026-03-29 03:30+02",
        ),
        (
            "08:00-17:00",
            "Europe/Berlin",
            "2026-10-24 18:00+02",
            "2026-10-25 08:00+01",
        ),
        (
            "01:00-02:30",
            "Europe/Berlin",
            "2026-10-25 02:15+02",
            "2026-10-25 02:15+02",
        ),
        (
            "23:00-04:00",
            "Europe/Berlin",
            "2026-03-29 03:30+02",
            "2026-03-29 03:30+02",
        ),
        // A zone that is none is the office's.
        (
            "08:00-17:00",
            "Mars/Olympus",
            "2026-03-02 17:00+07",
            "2026-03-03 08:00+07",
        ),
    ];
    for (window, zone, at, expected) in opens {
        let row = desk
            .admin
            .query_one(
                "select sicantik_notify.window_opens($1, $2, $3::text::timestamptz), $4::text::timestamptz",
                &[&window, &zone, &at, &expected],
            )
            .await
            .unwrap();
        let (found, expected): (DateTime<Utc>, DateTime<Utc>) = (row.get(0), row.get(1));
        assert_eq!(found, expected, "{window} in {zone} at {at}");
        desk.admin
            .execute("update sicantik_notify.rule set send_window = $1", &[&window])
            .await
            .unwrap();
    }
    for wrong in [
        "8-17",
        "08:00",
        "25:00-26:00",
        "Mon 08:00",
        "Xyz 08:00-17:00",
        "08:00-17:00;",
        "08:00-17:60",
        "",
    ] {
        let refused = desk
            .admin
            .execute("update sicantik_notify.rule set send_window = $1", &[&wrong])
            .await;
        assert_eq!(
            refused.unwrap_err().code().map(|c| c.code()),
            Some("23514"),
            "{wrong}"
        );
    }
}

/// A window that is closed for the next hours, and opens within a day.
const CLOSED: &str = "update sicantik_notify.rule set send_window = to_char((clock_timestamp() at time zone 'Asia/Jakarta') + interval '5 hours', 'HH24:MI') || '-'
     || to_char((clock_timestamp() at time zone 'Asia/Jakarta') + interval '6 hours', 'HH24:MI')";

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_are_waited_for_and_process_now_skips_them() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql(CLOSED).await;
    let mut client = desk.office.connect_as(RUNTIME).await.unwrap();
    enqueue(&mut client, Intake::default(), 1, 2).await;
    // One that became ready before the window closed.
    let ready = desk.message("+6281300000070").await;
    // One that is only due later.
    desk.sql("insert into sicantik_notify.queue (scheduled_at, rule_id, phone, template_key, context)
              select now() + interval '3 hours', rule_id, '+6281300000071', template_key, context from sicantik_notify.queue limit 1")
        .await;
    let mut daemon = desk.quick().await;
    desk.until(
        "select count(*) = 3 from sicantik_notify.v_queue where waiting_for like 'quiet hours until %'",
    )
    .await;
    desk.until(&format!(
        "select scheduled_at between now() + interval '4 hours' and now() + interval '6 hours' from sicantik_notify.queue where id = {ready}"
    ))
    .await;
    let said = desk
        .text(&format!("select sicantik_notify.queue_process_now({ready})"))
        .await;
    assert_eq!(said, Some(format!("message {ready} is due now")));
    assert_eq!(desk.accepted(1).await[0].to, "6281300000070");
    desk.until("select count(*) = 1 from sicantik_notify.log").await;
    // The one that becomes due within the quiet hours waits for their end, too; then all of them go.
    for (offset, waiting, sent) in [("4 hours", 3, 1), ("5 hours 30 minutes", 0, 4)] {
        daemon.signal("TERM").await.unwrap();
        daemon.wait().await.unwrap();
        desk.sql(&format!(
            "alter database sicantik set sicantik_notify.clock_offset = '{offset}'"
        ))
        .await;
        daemon = desk.quick().await;
        desk.until(&format!(
            "select count(*) = {waiting} from sicantik_notify.queue where waiting_for = 'quiet_hours'"
        ))
        .await;
        desk.until(&format!("select count(*) = {sent} from sicantik_notify.log"))
            .await;
    }
    assert_eq!(desk.office.gateway.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn process_now_does_not_skip_the_rate_limit_or_the_blacklist() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.rule set rate_limit_enabled = true, rate_limit_count = 1")
        .await;
    let mut client = desk.office.connect_as(RUNTIME).await.unwrap();
    enqueue(&mut client, Intake::default(), 1, 3).await;
    let _daemon = desk.quick().await;
    desk.until("select count(*) = 1 from sicantik_notify.log").await;
    desk.until("select count(*) = 2 from sicantik_notify.queue where waiting_for = 'rate_limit'")
        .await;
    let last = desk.number("select max(id) from sicantik_notify.queue").await;
    desk.sql(&format!("select sicantik_notify.queue_process_now({last})"))
        .await;
    desk.until(&format!(
        "select urgent and waiting_for = 'rate_limit' from sicantik_notify.queue where id = {last}"
    ))
    .await;
    // It goes before the other one when there is room; but not to a number that must get nothing.
    desk.sql("select sicantik_notify.blacklist_add('0813 00000003'); update sicantik_notify.rule set rate_limit_count = 2").await;
    desk.until(&format!(
        "select state = 'skipped' from sicantik_notify.log where id = {last}"
    ))
    .await;
    // Being skipped used up no place: the other one has it.
    desk.accepted(2).await;
    desk.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_held_and_is_one_alarm() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.rule set storm_limit = 20").await;
    let (mut one, mut two) = (
        desk.office.connect_as(RUNTIME).await.unwrap(),
        desk.office.connect_as(RUNTIME).await.unwrap(),
    );
    let states = "select string_agg(state || ' ' || n, ', ' order by state) from (select state, count(*) as n from sicantik_notify.queue group by 1) x";
    // Two evaluators at once.
    tokio::join!(
        enqueue(&mut one, Intake::default(), 1, 15),
        enqueue(&mut two, Intake::default(), 101, 15)
    );
    assert_eq!(desk.text(states).await.unwrap(), "held 10, pending 20");
    // A campaign is meant to be many.
    let campaign = Intake {
        series: "campaign 1",
        unguarded: true,
        ..Intake::default()
    };
    enqueue(&mut one, campaign, 201, 30).await;
    assert_eq!(desk.text(states).await.unwrap(), "held 10, pending 50");
    // Five minutes later it is still the same storm; after ten there is room again.
    clock(&one, "5 minutes").await;
    enqueue(&mut one, Intake::default(), 301, 5).await;
    assert_eq!(desk.text(states).await.unwrap(), "held 15, pending 50");
    clock(&one, "12 minutes").await;
    enqueue(&mut one, Intake::default(), 401, 5).await;
    assert_eq!(desk.text(states).await.unwrap(), "held 15, pending 55");

    assert_eq!(
        desk.text("select string_agg(about || ': ' || summary, '; ') from sicantik_notify.v_problem where about like 'storm%' or about like 'message%'").await.unwrap(),
        "storm of rule notify_permit_approved: 15 messages are held: the rule enqueued more than storm_limit (20) in ten minutes"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_queue where waiting_for like 'storm guard%'")
            .await,
        15
    );
    // Some go on, the oldest first; the rest is discarded.
    assert_eq!(
        desk.number("select sicantik_notify.rule_release('notify_permit_approved', 4)")
            .await,
        4
    );
    assert_eq!(desk.text(states).await.unwrap(), "held 11, pending 59");
    assert_eq!(
        desk.number("select sicantik_notify.rule_discard('notify_permit_approved')")
            .await,
        11
    );
    assert_eq!(desk.text(states).await.unwrap(), "pending 59");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.log where state = 'cancelled' and error like 'discarded by postgres%'").await,
        11
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about like 'storm%'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sync_of_an_office_meets_the_storm_guard() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.rule set storm_limit = 10").await;
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 40).await;
    let _daemon = desk.quick().await;
    let permits: Vec<i32> = people.iter().map(|p| p.0).collect();
    approve(&mut odoo, &permits).await;
    desk.accepted(10).await;
    desk.until("select count(*) = 30 from sicantik_notify.queue where state = 'held'")
        .await;
    desk.until("select count(*) = 10 from sicantik_notify.log").await;
    assert_eq!(
        desk.number("select sicantik_notify.rule_release('notify_permit_approved')")
            .await,
        30
    );
    desk.accepted(40).await;
    desk.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_rule_waits_for_its_delay_in_minutes() {
    let desk = desk().await;
    desk.only("Fonnte").await;
    desk.sql(
        "update sicantik_notify.rule set schedule_type = 'scheduled', scheduled_delay = 45 where code = 'notify_permit_approved'",
    )
    .await;
    let mut daemon = desk.quick().await;
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 1).await;
    approve(&mut odoo, &[people[0].0]).await;
    desk.until("select count(*) = 1 from sicantik_notify.v_queue where waiting_for = 'scheduled'")
        .await;
    assert_eq!(
        desk.number(
            "select round(extract(epoch from scheduled_at - created_at))::bigint from sicantik_notify.queue where not ready"
        )
        .await,
        45 * 60
    );
    // A minute before its time it waits, a minute after it has gone.
    for (offset, sent) in [("44 minutes", 0), ("46 minutes", 1)] {
        daemon.signal("TERM").await.unwrap();
        daemon.wait().await.unwrap();
        desk.sql(&format!(
            "alter database sicantik set sicantik_notify.clock_offset = '{offset}'"
        ))
        .await;
        daemon = desk.quick().await;
        // It has looked at the queue several times.
        desk.until("select heartbeat_at > started_at + interval '2 seconds' from sicantik_notify.instance order by id desc limit 1")
            .await;
        assert_eq!(desk.office.gateway.count(), sent, "{offset}");
    }
    assert_eq!(desk.accepted(1).await[0].to, people[0].1);
}
