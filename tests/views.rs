//! A question of some messages reads some messages, however long the log is: what plans do is looked at, not how long they take.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use serde_json::Value;
use sicantik_notifyd::testkit::office::OPERATOR;
use tokio_postgres::Client;

/// Messages of each of six months.
const MONTH: usize = 8_000;
/// Rows of log, attempt, decision and receipt that a question may look at. The log has forty times as many.
const ROWS: f64 = 1_300.0;
/// Pages that it may touch: 8 kB each. The tables have thousands.
const PAGES: u64 = 3_000;

/// Half a year of messages, attempts, decisions and receipts, and a queue; all that a real one has in proportion.
async fn half_a_year(desk: &Desk) {
    desk.sql(
        "alter table sicantik_notify.queue disable trigger user;
         select sicantik_notify.ensure_partitions(sicantik_notify.clock() - interval '6 months', 9);
         insert into sicantik_notify.campaign (code, name, rule, target_model, state, started_at, finished_at)
         select 'c' || g, 'Kampanye ' || g, 'notify_permit_approved', 'sicantik.permit', 'completed', now(), now() from
             generate_series(1, 200) g",
    )
    .await;
    desk.sql(&format!(
        "create temp table made as
         select g as id, sicantik_notify.clock() - interval '6 months' * g / {all} as back, sicantik_notify.clock() -
             interval '6 months' * ({all} - g) / {all} as at,
                case when g % 1000 = 7 then 'cancelled' when g % 100 = 8 then 'skipped' when g % 100 = 9 then 'failed' else
                    'sent' end as state,
                case when g % 1000 = 1 and g < {all} / 2 then 'notify_document_reminder' when g % 10 < 8 then 'notify_permit_approved'
                     else 'notify_document_uploaded' end as rule,
                1 + g % 3 as provider
         from generate_series(1, {all}) g;
         insert into sicantik_notify.log (id, finished_at, state, rule_id, rule_code, trigger_code, model, record_id,
             partner_id, partner_name, phone,
                template_key, context, provider_id, provider_type, external_id, code, error, tries, possible_duplicate,
                    changed_at, created_at,
                sent_at, processing_time_ms, campaign_id)
         select m.id, m.at, m.state, 1, m.rule, 'permit_state_change', 'sicantik.permit', m.id % 9000, m.id % 7000, 'Warga ' || m.id % 7000,
                '+62811' || lpad((m.id % 7000)::text, 7, '0'), 'permit_ready', '{{}}', m.provider, (array['meta', 'fonnte',
                    'watzap'])[m.provider],
                'wamid.' || m.id, case when m.state <> 'sent' then '131026' end, null, 0, false, m.at - interval '3 seconds',
                    m.at - interval '2 seconds',
                case when m.state = 'sent' then m.at end, 400, case when m.id % 5 = 0 then 1 + m.id % 200 end
         from made m;
         insert into sicantik_notify.attempt (id, started_at, message_id, claim_token, instance_id, provider_id,
             provider_type, template_key,
                finished_at, outcome, class, http_status, code, external_id, duration_ms)
         select m.id, m.at, m.id, m.id, 1, m.provider, (array['meta', 'fonnte', 'watzap'])[m.provider], 'permit_ready', m.at,
                case when m.state = 'failed' then 'refused' else 'accepted' end, null, 200, null, 'wamid.' || m.id, 300
         from made m where m.state in ('sent', 'failed');
         insert into sicantik_notify.decision (decided_at, outcome, event_id, xact, model, record_id, trigger_code, rule_code, partner_id,
                message_id, reason, campaign_id)
         select m.at, case when m.id % 1000 = 1 then 'error' when m.id % 5 = 4 then 'no_phone' else 'enqueued' end, m.id,
             (1000 + m.id)::text::xid8,
                'sicantik.permit', m.id % 9000, 'permit_state_change', m.rule, m.id % 7000, m.id, 'because', case when m.id %
                    5 = 0 then 1 + m.id % 200 end
         from made m;
         insert into sicantik_notify.receipt (attempt_id, state, message_id, provider_id, provider_type, external_id, at,
             received_at, code, error,
                consequence)
         select m.id, r.state, m.id, m.provider, 'meta', 'wamid.' || m.id, m.at, m.at, null, case when r.state = 'failed'
             then 'gave up' end,
                case when r.state = 'failed' then 'none' end
         from made m
         cross join (values ('sent'), ('delivered'), ('failed')) r (state)
         where m.state = 'sent' and case r.state when 'sent' then true when 'failed' then m.id % 50 = 0 else m.id % 50 <> 0 end;
         insert into sicantik_notify.log_given_up
         select l.id, l.finished_at, 'failed', l.rule_id, l.rule_code, l.trigger_code, l.event_id, l.model, l.record_id, l.partner_id,
                l.partner_name, l.phone, l.template_key, l.context, l.provider_id, l.provider_type, l.external_id, 'x', 'gave up', l.tries,
                l.possible_duplicate, l.changed_at, l.created_at, l.sent_at, l.processing_time_ms, l.retry_of, l.campaign_id
         from sicantik_notify.log l where l.state = 'sent' and l.id % 50 = 0;
         insert into sicantik_notify.queue (id, ready, waiting_for, rule_id, trigger_id, model, record_id, partner_id,
             partner_name, phone, template_key)
         select 1000000 + g, g % 2 = 0, case when g % 2 = 1 then 'rate_limit' end, 1 + g % 3, 1, 'sicantik.permit', g, g, 'Warga ' || g,
                '+62812' || lpad(g::text, 7, '0'), 'permit_ready'
         from generate_series(1, 1000) g;
         analyze",
        all = 6 * MONTH
    ))
    .await;
}

/// What a plan looked at, of the tables that grow for ever.
#[derive(Debug, Default)]
struct Looked {
    rows: f64,
    scanned_whole: Vec<String>,
}

fn look(node: &Value, looked: &mut Looked) {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    let grows = ["log", "attempt", "decision", "receipt"]
        .iter()
        .any(|t| relation == *t || relation.starts_with(&format!("{t}_")));
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let loops = number("Actual Loops");
    if grows && loops > 0.0 {
        let removed = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        let rows = (number("Actual Rows") + removed) * loops;
        looked.rows += rows;
        if node["Node Type"].as_str().is_some_and(|t| t.contains("Seq Scan")) && rows > 0.0 {
            looked.scanned_whole.push(relation.to_owned());
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        look(child, looked);
    }
}

async fn plan(client: &Client, question: &str) -> (Looked, u64, Value) {
    let row = client
        .query_one(
            &format!("explain (analyze, buffers, format json) {question}"),
            &[],
        )
        .await
        .unwrap_or_else(|e| panic!("{question}: {}", sicantik_notifyd::db::describe(&e)));
    let plan: Value = row.get(0);
    let root = plan[0]["Plan"].clone();
    let pages = ["Shared Hit Blocks", "Shared Read Blocks"]
        .iter()
        .filter_map(|n| root[n].as_u64())
        .sum();
    let mut looked = Looked::default();
    look(&root, &mut looked);
    (looked, pages, root)
}

/// What people ask, view by view. The rule notify_document_reminder is rare, and was last used three months ago.
const QUESTIONS: &[&str] = &[
    // The newest, as psql and `queue list` ask for them.
    "v_queue order by id desc limit 50",
    "v_log order by finished_at desc limit 50",
    "v_log order by id desc limit 50",
    "v_attempt order by started_at desc limit 50",
    "v_attempt order by id desc limit 50",
    "v_decision order by decided_at desc limit 50",
    "v_receipt order by received_at desc limit 50",
    // By state.
    "v_queue where state = 'pending' order by id desc limit 50",
    "v_queue where state = 'failed' order by id desc limit 50",
    "v_queue where state = 'cancelled' order by id desc limit 50",
    "v_queue where state = 'sent' order by id desc limit 50",
    "v_queue where state = 'nonsense'",
    "v_queue where state in ('pending', 'processing', 'held') order by id desc limit 50",
    "v_log where state = 'failed' order by finished_at desc limit 50",
    "v_log where state = 'skipped' order by finished_at desc limit 50",
    "v_log where state = 'cancelled' order by finished_at desc limit 50",
    "v_log where state = 'sent' order by finished_at desc limit 50",
    "v_attempt where outcome = 'refused' order by started_at desc limit 50",
    "v_attempt where outcome = 'open' order by started_at desc limit 50",
    "v_decision where outcome = 'error' order by decided_at desc limit 50",
    "v_receipt where state = 'failed' order by received_at desc limit 50",
    // By rule, campaign, recipient, number, record, message.
    "v_queue where rule = 'notify_permit_approved' order by id desc limit 50",
    "v_queue where rule = 'notify_document_reminder' order by id desc limit 50",
    "v_log where rule = 'notify_document_reminder' order by finished_at desc limit 50",
    "v_log where rule = 'notify_permit_approved' and state = 'failed' order by finished_at desc limit 50",
    "v_decision where rule = 'notify_document_reminder' order by decided_at desc limit 50",
    "v_queue where campaign_id = 6 order by id desc limit 50",
    "v_log where campaign_id = 6 order by finished_at desc limit 50",
    "v_decision where campaign_id = 6 and outcome <> 'enqueued' limit 50",
    "v_campaign_skipped where campaign_id = 6 limit 50",
    "v_queue where partner_id = 42",
    "v_log where partner_id = 42 order by finished_at desc limit 20",
    "v_decision where partner_id = 42 order by decided_at desc limit 20",
    "v_queue where phone = '+628110000042'",
    "v_log where phone = '+628110000042'",
    "v_log where model = 'sicantik.permit' and record_id = 42",
    "v_decision where model = 'sicantik.permit' and record_id = 42",
    "v_decision where message_id = 4711",
    "v_decision where xact = '5711'",
    "v_queue where id = 4711",
    "v_log where id = 4711",
    "v_attempt where message_id = 4711 order by started_at",
    "v_receipt where message_id = 4711",
    "receipt_furthest where message_id = 4711",
    // Of an hour, long ago and now.
    "v_log where finished_at >= now() - interval '2 hours'",
    "v_log where finished_at >= now() - interval '100 days' and finished_at < now() - interval '100 days' + interval '2 hours'",
    "v_attempt where started_at >= now() - interval '2 hours'",
    "v_decision where decided_at >= now() - interval '2 hours'",
    // All of what is small: a view of configuration, of counters, of what waits.
    "v_queue where finished_at is null and state = 'pending' limit 50",
    "v_queue_summary",
    "v_rule",
    "v_trigger",
    "v_provider",
    "v_template",
    "v_campaign",
    "v_campaign_progress",
    "v_cron_job",
    "v_cron_run",
    "v_capture",
    "v_blacklist",
    "v_problem",
    "v_instance",
    "v_failover",
    "v_firing",
    "v_api_token",
    "v_daily where day > current_date - 31",
    "v_daily_rule where day > current_date - 31",
    "v_daily_campaign where campaign_id = 6 and day > current_date - 31",
    "v_daily_template where day > current_date - 31",
    "v_daily_provider where day > current_date - 31",
    "v_daily_skipped where day > current_date - 31",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_some_messages_reads_some_however_long_the_log_is() {
    let desk = desk().await;
    half_a_year(&desk).await;
    // As the daemon's job does, until nothing is due.
    while desk
        .admin
        .query_one("select sicantik_notify.statistics_count() is not null", &[])
        .await
        .unwrap()
        .get(0)
    {}
    desk.sql("vacuum analyze").await;
    let operator = desk.office.connect_as(OPERATOR).await.unwrap();
    let mut wrong = Vec::new();
    for question in QUESTIONS {
        let (looked, pages, root) =
            plan(&operator, &format!("select * from sicantik_notify.{question}")).await;
        if std::env::var_os("SHOW_PLANS").is_some() {
            println!("{:>8} rows {pages:>7} pages  {question}", looked.rows);
        }
        if looked.rows > ROWS || pages > PAGES || !looked.scanned_whole.is_empty() {
            wrong.push(format!(
                "{question}: {looked:?}, {pages} pages\n{}",
                serde_json::to_string(&root)
                    .unwrap()
                    .chars()
                    .take(3000)
                    .collect::<String>()
            ));
        }
    }
    let names: Vec<&str> = wrong.iter().filter_map(|w| w.lines().next()).collect();
    assert!(wrong.is_empty(), "{}\n\n{}", names.join("\n"), wrong[0]);
}

/// The branches of v_log and v_queue that have whole numbers are never begun for a viewer, whatever is asked of the view.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_a_viewer_sees_masked_numbers_only() {
    let desk = desk().await;
    desk.message("+6281234567890").await;
    desk.sql(
        "insert into sicantik_notify.log (id, state, phone, template_key, context, tries, possible_duplicate, created_at)
         values (1000001, 'sent', '+6281234567890', 'x', '{}', 0, false, now());
         insert into sicantik_notify.log_given_up (id, finished_at, state, phone, template_key, context, tries,
             possible_duplicate, created_at)
         values (1000002, now(), 'failed', '+6281234567890', 'x', '{}', 0, false, now());
         create role vera login; grant sicantik_notify_viewer to vera; grant create on schema public to vera",
    )
    .await;
    let vera = desk.office.connect_as("vera").await.unwrap();
    // Cheap, so that it is asked first; and an error says what it has seen.
    vera.batch_execute(
        "create function public.peep(text) returns boolean language plpgsql immutable cost 0.0000001 as
         $$ begin if $1 !~ '[*]' then raise 'seen %', $1; end if; return true; end $$",
    )
    .await
    .unwrap();
    for view in ["v_log", "v_queue"] {
        for rest in [
            "",
            " and phone like '+62%'",
            " and phone = '+6281234567890'",
            " and phone::text <> '' order by id desc limit 5",
        ] {
            let question = format!("select id from sicantik_notify.{view} where public.peep(phone){rest}");
            if let Err(error) = vera.query(&question, &[]).await {
                panic!("{question}: {}", sicantik_notifyd::db::describe(&error));
            }
        }
        let found = vera
            .query(
                &format!("select phone from sicantik_notify.{view} where phone = '+6281****890'"),
                &[],
            )
            .await
            .unwrap();
        assert_eq!(found.len(), if view == "v_log" { 2 } else { 3 });
    }
}
