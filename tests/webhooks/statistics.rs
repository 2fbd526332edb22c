//! Statistik: the daily counts say what the deliveries came to, each message once, late receipts too.

use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use tokio_postgres::Row;

use crate::bench::{Bench, bench};
use crate::desk::{Desk, approve, citizens};

const TODAY: &str = "(sicantik_notify.clock() at time zone 'Asia/Jakarta')::date";

impl Bench {
    /// Counts what is to be counted, until the counts are like this.
    async fn counted(&self, condition: &str) {
        counted(&self.desk, condition).await;
    }
}

async fn counted(desk: &Desk, condition: &str) {
    // What the function has written is seen by the next look.
    desk.until(&format!(
        "with done as materialized (select sicantik_notify.statistics_count())
         select coalesce(({condition}), false) from (select count(*) from done) d"
    ))
    .await;
}

async fn one(desk: &Desk, query: &str) -> Row {
    desk.admin.query_one(query, &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_counted_once_as_what_it_came_to() {
    let bench = bench().await;
    let desk = &bench.desk;
    // Through Meta: one read, one delivered, one given up for good, one of which nothing is heard.
    let mut sent = Vec::new();
    for n in 1..=4 {
        sent.push(bench.sent_through_meta(&format!("+62812000090{n:02}")).await.1);
    }
    let meta = bench.meta();
    for status in ["sent", "delivered", "read"] {
        assert_eq!(meta.send_status(&sent[0], status).await.unwrap(), 200);
    }
    assert_eq!(meta.send_status(&sent[1], "delivered").await.unwrap(), 200);
    assert_eq!(
        meta.send_failed(&sent[2], 131026, "Message Undeliverable.")
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    // Through Fonnte: one that is refused at first and sent with its second try, one that fails for good, one on the blacklist.
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.rule set retry_delay = 0, max_retries = 1")
        .await;
    let script = desk.office.gateway.script(Provider::Fonnte);
    script.once_to("+6281200009101", Behaviour::http(500, "busy"));
    let retried = desk.message("+6281200009101").await;
    script.when_to("+6281200009102", Behaviour::http(500, "busy"));
    let failed = desk.message("+6281200009102").await;
    desk.sql("select sicantik_notify.blacklist_add('0812-0000-9103', 'asked for it')")
        .await;
    let skipped = desk.message("+6281200009103").await;
    desk.until(&format!(
        "select count(*) = 3 from sicantik_notify.log where (id, state) in (({retried}, 'sent'), ({failed}, 'failed'),
            ({skipped}, 'skipped'))"
    ))
    .await;
    assert!(
        desk.number(&format!(
            "select tries::bigint from sicantik_notify.log where id = {retried}"
        ))
        .await
            == 1
    );
    // A citizen without a number: meant, and never a message.
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 2).await;
    desk.sql(&format!(
        "update res_partner set phone = null, mobile = null where id = (select partner_id from sicantik_permit where id = {})",
        permits[0].0
    ))
    .await;
    approve(&mut odoo, &[permits[0].0, permits[1].0]).await;
    desk.until("select exists (select from sicantik_notify.decision where outcome = 'no_phone')")
        .await;
    desk.until("select count(*) = 8 from sicantik_notify.log").await;

    bench
        .counted("select messages = 8 and skipped = 2 from sicantik_notify.v_daily")
        .await;
    let day = one(
        desk,
        &format!(
            "select day = {TODAY} as today, to_jsonb(v) - array['day', 'counted_at', 'sent_p50', 'sent_p90', 'sent_p99', 'delivered_p50',
                    'delivered_p90', 'delivered_p99'] as counts
             from sicantik_notify.v_daily v"
        ),
    )
    .await;
    assert!(day.get::<_, bool>("today"));
    assert_eq!(
        day.get::<_, serde_json::Value>("counts"),
        serde_json::json!({"messages": 8, "sent": 5, "delivered": 2, "read": 1, "failed": 2, "given_up": 1, "cancelled": 0,
            "skipped": 2, "skipped_why": {"blacklisted": 1, "no_phone": 1}, "repeats": 0, "possible_duplicates": 0})
    );
    // By provider and template they are the same messages; v_log and v_queue agree.
    let wrong = desk
        .text(
            "select string_agg(x.what, ', ') from (
                 select 'provider' as what from sicantik_notify.v_daily_provider having sum(sent) <> 5 or sum(failed) <> 2 or sum(read) <> 1
                 union all
                 select 'Meta' from sicantik_notify.v_daily_provider where provider = 'Meta' and (sent, given_up, delivered) <> (3, 1, 2)
                 union all
                 select 'template' from sicantik_notify.v_daily_template having sum(messages) <> 8 or sum(skipped_messages) <> 1
                 union all
                 select 'rule' from sicantik_notify.v_daily_rule having sum(messages) <> 8 or sum(skipped) <> 2
                 union all
                 select 'reasons' from sicantik_notify.v_daily_skipped where is_skipped having sum(people) <> 2
                 union all
                 select 'log' from sicantik_notify.v_log having count(*) filter (where state = 'sent') <> 5
                                                            or count(*) filter (where state = 'failed') <> 2 or count(*) <> 8
                 union all
                 select 'queue' from sicantik_notify.v_queue having count(*) filter (where state = 'sent') <> 5 or count(*) <> 8
                 union all
                 select 'rules' from sicantik_notify.v_rule where code = 'notify_permit_approved' and (sent, failed, skipped) <> (5, 2, 2)
                 union all
                 select 'range' from sicantik_notify.statistics(current_date - 2, current_date + 2) s where (s.messages,
                     s.skipped) <> (8, 2)
             ) x",
        )
        .await;
    assert_eq!(wrong, None);
    // From the change, where there was one, to the provider's yes: as exactly as the histogram promises.
    let off = desk
        .text(
            "select v.sent_p50 || ' and not ' || e.exact
             from sicantik_notify.v_daily v
             cross join (select percentile_disc(0.5) within group (order by l.sent_at - coalesce(l.changed_at, l.created_at)) as exact
                         from sicantik_notify.v_log l where l.state = 'sent') e
             where abs(extract(epoch from v.sent_p50 - e.exact)) > 0.05 * extract(epoch from e.exact) + 0.002",
        )
        .await;
    assert_eq!(off, None);
    let ordered = one(
        desk,
        "select sent_p50 <= sent_p90 and sent_p90 <= sent_p99 and delivered_p50 <= delivered_p99 as so
        from sicantik_notify.v_daily",
    )
    .await;
    assert!(ordered.get::<_, bool>("so"));
}

/// A message of some days ago that Meta took, as its settle and its attempt left it.
async fn sent_then(desk: &Desk, days: i32, external: &str) -> i64 {
    let row = one(
        desk,
        &format!(
            "with m as (select nextval('sicantik_notify.message_id_seq') as id, sicantik_notify.clock() - interval '{days} days' as at),
                  a as (insert into sicantik_notify.attempt (message_id, started_at, claim_token, instance_id, provider_id,
                      provider_type, template_key,
                                                            finished_at, outcome, external_id)
                        select m.id, m.at, 1, 1, p.id, 'meta', 'permit_ready', m.at, 'accepted', '{external}'
                        from m, sicantik_notify.provider p where p.name = 'Meta')
             insert into sicantik_notify.log (id, finished_at, state, rule_id, rule_code, phone, template_key, context,
                 provider_id, provider_type,
                                              external_id, tries, possible_duplicate, created_at, sent_at)
             select m.id, m.at, 'sent', r.id, r.code, '+6281200009001', 'permit_ready', '{{}}', p.id, 'meta', '{external}', 0, false,
                    m.at - interval '90 seconds', m.at
             from m, sicantik_notify.rule r, sicantik_notify.provider p
             where r.code = 'notify_permit_approved' and p.name = 'Meta'
             returning id"
        ),
    )
    .await;
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_comes_days_later_changes_the_day_of_its_message_and_no_other() {
    let bench = bench().await;
    let desk = &bench.desk;
    desk.sql("select sicantik_notify.ensure_partitions(sicantik_notify.clock() - interval '2 months', 3)")
        .await;
    for (days, external) in [(40, "wamid.old1"), (40, "wamid.old2"), (5, "wamid.new")] {
        sent_then(desk, days, external).await;
    }
    bench
        .counted("select sum(sent) = 3 and bool_and(delivered = 0) from sicantik_notify.v_daily")
        .await;
    let then = desk.text("select string_agg(day || ' ' || sent, ', ' order by day) from sicantik_notify.v_daily where sent > 0").await;
    let meta = bench.meta();
    assert_eq!(meta.send_status("wamid.old1", "read").await.unwrap(), 200);
    bench.receipts_taken().await;
    bench
        .counted(&format!("select delivered = 1 and read = 1 and sent = 2 from sicantik_notify.v_daily where day = {TODAY} - 40"))
        .await;
    // The provider gave the other one up; and then it arrived all the same.
    assert_eq!(
        meta.send_failed("wamid.old2", 131026, "Message Undeliverable.")
            .await
            .unwrap(),
        200
    );
    bench.receipts_taken().await;
    bench
        .counted(&format!("select (sent, failed, given_up) = (1, 1, 1) from sicantik_notify.v_daily where day = {TODAY} - 40"))
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_log where state = 'failed'")
            .await,
        1
    );
    assert_eq!(desk.number("select count(*) from sicantik_notify.v_log").await, 3);
    assert_eq!(meta.send_status("wamid.old2", "delivered").await.unwrap(), 200);
    bench.receipts_taken().await;
    bench
        .counted(&format!("select (sent, failed, given_up, delivered) = (2, 0, 0, 2) from sicantik_notify.v_daily where day =
            {TODAY} - 40"))
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_log where state = 'sent'")
            .await,
        3
    );
    assert_eq!(
        desk.text("select string_agg(day || ' ' || sent, ', ' order by day) from sicantik_notify.v_daily where sent > 0").await,
        then
    );
    // 90 seconds until the provider took them, and what is read from histograms is right within 5 %.
    assert_eq!(
        desk.number(
            "select count(*) from sicantik_notify.v_daily
             where sent > 0 and extract(epoch from sent_p50) between 85.5 and 94.5 and sent_p99 = sent_p50"
        )
        .await,
        2
    );
    // Nothing is due any more, and counting all again is counting once.
    desk.sql("update sicantik_notify.statistic_day set changed = true, counted_at = null")
        .await;
    let before = all(desk).await;
    bench
        .counted("select not exists (select from sicantik_notify.statistic_day where changed)")
        .await;
    assert_eq!(all(desk).await, before);
}

async fn all(desk: &Desk) -> Option<String> {
    desk.text(
        "select (select jsonb_agg(s order by s.day, s.rule_code, s.template_key, s.provider_id) from sicantik_notify.statistic s)::text
             || (select jsonb_agg(s order by s.day, s.kind, s.bucket) from sicantik_notify.statistic_time s)::text",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_dropped_stays_counted() {
    let desk = crate::desk::desk().await;
    desk.sql("select sicantik_notify.ensure_partitions(sicantik_notify.clock() - interval '8 months', 9)")
        .await;
    sent_then(&desk, 200, "wamid.gone").await;
    counted(&desk, "select sum(sent) = 1 from sicantik_notify.v_daily").await;
    desk.sql("select sicantik_notify.retire_partitions(sicantik_notify.clock())")
        .await;
    assert_eq!(desk.number("select count(*) from sicantik_notify.log").await, 0);
    desk.sql("update sicantik_notify.statistic_day set changed = true")
        .await;
    for _ in 0..3 {
        desk.sql("select sicantik_notify.statistics_count()").await;
    }
    assert_eq!(
        desk.number("select sum(sent)::bigint from sicantik_notify.v_daily")
            .await,
        1
    );
    // Until statistics_days says otherwise.
    desk.sql("update sicantik_notify.setting set value = '100' where key = 'statistics_days'; select sicantik_notify.statistics_count()")
        .await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_daily where sent > 0")
            .await,
        0
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.statistic")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_counts_by_itself() {
    let bench = bench().await;
    bench.sent_through_meta("+6281200009001").await;
    bench
        .desk
        .sql("select sicantik_notify.cron_run_now('count_statistics')")
        .await;
    bench
        .desk
        .until("select sum(sent) = 1 from sicantik_notify.v_daily")
        .await;
    bench
        .desk
        .until("select detail ~ 'counted [0-9]+ day' and outcome = 'done' from sicantik_notify.v_cron_run where code =
            'count_statistics' order by id desc limit 1")
        .await;
}
