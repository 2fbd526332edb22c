//! How many events a second the evaluation takes, beside what the same server needs for the bare statements: delete the events,
//! insert the messages and the decisions. Both in one run, in turns; the ratio is what counts, the absolute figures are this
//! machine's. `cargo bench --bench evaluation`; EVENTS=20000 makes it shorter, ROUNDS=5 steadier.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use sicantik_notifyd::db::{Database, Endpoint};
use sicantik_notifyd::evaluate::batch::{Round, evaluate};
use sicantik_notifyd::evaluate::configuration::Configuration;
use sicantik_notifyd::testkit::host::{Options, Volume, generate};
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan, RUNTIME};
use tokio_postgres::Client;

/// Ten rules of all kinds: most conditions hold for a tenth of the permits, as rules do that look for one thing.
const RULES: &[(&str, &str)] = &[
    (
        "partner_plain",
        "condition_domain = '[(''permit_type_name'', ''ilike'', ''a''), (''id'', ''<'', 0)]'",
    ),
    (
        "partner_status",
        "condition_domain = '[(''state'', ''='', ''approved''), (''id'', ''in'', [{tenth}])]'",
    ),
    (
        "partner_date",
        "condition_domain = '[(''expiry_date'', ''<='', (context_today() + relativedelta(months=1)).strftime(''%Y-%m-%d''))]'",
    ),
    (
        "partner_path",
        "condition_domain = '[(''partner_id.city'', ''='', ''Kabanjahe'')]'",
    ),
    (
        "partner_name",
        "condition_domain = '[(''partner_id'', ''ilike'', ''sembiring'')]'",
    ),
    (
        "partner_lines",
        "condition_domain = '[(''document_ids.state'', ''='', ''signed'')]'",
    ),
    (
        "staff",
        "condition_domain = '[(''id'', ''in'', [{hundredth}])]', recipient_type = 'staff', staff_group = 'DPMPTSP Staff'",
    ),
    (
        "field",
        "condition_domain = '[(''id'', ''in'', [{hundredth}])]', recipient_type = 'field', recipient_field = 'permit_type_id.permit_ids.partner_id'",
    ),
    (
        "once",
        "condition_domain = '[(''id'', ''in'', [{tenth}])]', repeat_policy = 'once_per_record'",
    ),
    (
        "python",
        "condition_python = 'record.state == ''approved'' and len(record.partner_id.name or '''') > 3 and record.id % 10 == 0', \
         context_preparation_code = 'context = {''partner_name'': recipient.name, ''permit_number'': record.permit_number or ''-''}'",
    ),
];

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        println!("run it with cargo bench");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(number("EVENTS", 100_000), number("ROUNDS", 3)));
}

async fn run(events: usize, rounds: usize) {
    let plan = Plan {
        hooks: false,
        providers: false,
        host: Options::default(),
        ..Plan::default()
    };
    let office = Office::open(Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")), &plan)
        .await
        .unwrap();
    let admin = office.admin().await.unwrap();
    let volume = Volume {
        partners: 5_000,
        permits: events as u32,
        documents: 2_000,
        today: None,
    };
    generate(&admin, &volume, 1).await.unwrap();
    rules(&admin).await;
    office.run(&["hooks", "install"]).await.unwrap();
    let url = office.cluster.url_as(RUNTIME, DATABASE);
    let database = Endpoint::parse(&url, None).unwrap().pool(2).unwrap();
    println!("{events} events over {} rules, {rounds} rounds", RULES.len());
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        fill(&admin, events).await;
        let (took, messages) = evaluated(&database).await;
        let decisions = count(&admin, "decision").await;
        fill(&admin, events).await;
        let floor = bare(&admin, messages, decisions).await;
        let rate = |d: Duration| events as f64 / d.as_secs_f64();
        ratios.push(took.as_secs_f64() / floor.as_secs_f64());
        println!(
            "round {round}: {:>9.0} events/s evaluated ({messages} messages, {decisions} decisions), {:>9.0} events/s bare, ratio {:.1}",
            rate(took),
            rate(floor),
            took.as_secs_f64() / floor.as_secs_f64()
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio to the bare statements: {:.1}",
        ratios[ratios.len() / 2]
    );
}

async fn rules(admin: &Client) {
    let some = |every: usize| {
        (1..=1000)
            .step_by(every)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut sql = "update sicantik_notify.trigger set active = code = 'permit_state_change';
                   update sicantik_notify.rule set active = false;"
        .to_owned();
    for (code, columns) in RULES {
        let columns = columns
            .replace("{tenth}", &some(1))
            .replace("{hundredth}", &some(10));
        sql.push_str(&format!(
            "insert into sicantik_notify.rule (code, name, trigger, template_key) values ('{code}', '{code}', 'permit_state_change', 'permit_ready');
             update sicantik_notify.rule set {columns} where code = '{code}';"
        ));
    }
    admin.batch_execute(&sql).await.unwrap();
}

/// Events as the hook would have made them, an empty queue, and statistics.
async fn fill(admin: &Client, events: usize) {
    admin
        .batch_execute(&format!(
            "truncate sicantik_notify.event, sicantik_notify.queue, sicantik_notify.decision, sicantik_notify.repeat_mark,
                      sicantik_notify.event_history, sicantik_notify.event_set_aside;
             insert into sicantik_notify.event (op, record_id, model, changed, old, new)
             select 'U', p.id, 'sicantik.permit', array['status'], '{{\"status\": \"draft\"}}',
                    jsonb_build_object('status', 'active', 'registration_id', p.registration_id, 'permit_number', p.permit_number,
                                       'applicant_name', p.applicant_name, 'permit_type_name', p.permit_type_name,
                                       'permit_type_id', p.permit_type_id, 'partner_id', p.partner_id, 'issue_date', p.issue_date,
                                       'expiry_date', p.expiry_date)
             from sicantik_permit p order by p.id limit {events};
             vacuum analyze sicantik_notify.event;"
        ))
        .await
        .unwrap();
    admin.batch_execute("checkpoint").await.unwrap();
}

async fn count(admin: &Client, table: &str) -> i64 {
    let query = format!("select count(*) from sicantik_notify.{table}");
    admin.query_one(&query, &[]).await.unwrap().get(0)
}

async fn evaluated(database: &Database) -> (Duration, usize) {
    let mut client = database.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let configuration = Configuration::load(&tx).await.unwrap();
    tx.commit().await.unwrap();
    for problem in &configuration.problems {
        println!("problem: {}: {}", problem.about, problem.summary);
    }
    let (begun, mut messages, mut batches) = (Instant::now(), 0, 0);
    while let Round::Done(done) = evaluate(&mut client, &configuration, 500, 60).await.unwrap() {
        assert_eq!(done.set_aside, 0);
        messages += done.messages;
        batches += 1;
    }
    let took = begun.elapsed();
    println!(
        "  {batches} batches, {:.0} ms each",
        took.as_secs_f64() * 1000.0 / f64::from(batches)
    );
    (took, messages)
}

/// The same rows moved by bare statements, 500 events a transaction.
async fn bare(admin: &Client, messages: usize, decisions: i64) -> Duration {
    let total = count(admin, "event").await;
    let share = |all: i64| (all * 500 / total.max(1)).max(1);
    let (messages, decisions) = (share(messages as i64), share(decisions));
    let begun = Instant::now();
    loop {
        let moved = admin
            .query_one(
                "with gone as (
                     delete from sicantik_notify.event where id in (select id from sicantik_notify.event order by id limit 500) returning *
                 ), kept as (
                     insert into sicantik_notify.event_history (id, record_id, xact, occurred_at, op, tries, model, changed, old, new)
                     select id, record_id, xact, occurred_at, op, tries, model, changed, old, new from gone returning id
                 ), enqueued as (
                     insert into sicantik_notify.queue (ready, rule_id, phone, template_key, model, record_id, context)
                     select true, (select min(id) from sicantik_notify.rule), '+628' || (1000000 + n), 'permit_ready', 'sicantik.permit', n,
                            jsonb_build_object('partner_name', 'Budi Santoso', 'permit_number', '503/' || n, 'permit_type', 'SIP')
                     from generate_series(1, $1::bigint) n where exists (select from gone) returning id
                 ), decided as (
                     insert into sicantik_notify.decision (outcome, model, record_id, trigger_code, rule_code, reason)
                     select 'rule_condition', 'sicantik.permit', n, 'permit_state_change', 'rule', 'the rule''s condition_domain is not met'
                     from generate_series(1, $2::bigint) n where exists (select from gone) returning id
                 )
                 select (select count(*) from kept), (select count(*) from enqueued), (select count(*) from decided)",
                &[&messages, &decisions],
            )
            .await
            .unwrap();
        if moved.get::<_, i64>(0) == 0 {
            return begun.elapsed();
        }
    }
}
