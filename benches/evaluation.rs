//! How many events a second the evaluation takes, and what one costs server and daemon, beside what the same server needs for the bare
//! statements that move the same rows: delete the events, keep them in the history, insert messages and decisions. Both in one run, in
//! turns; the ratio is what counts, the absolute figures are this machine's.
//!
//! `cargo bench --bench evaluation`; EVENTS=20000 makes it shorter, ROUNDS=5 steadier, LANES=1 uses one connection, SCENARIO=told runs the
//! scenarios whose names contain it.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sicantik_notifyd::db::{Database, Endpoint};
use sicantik_notifyd::evaluate::batch::{Round, evaluate};
use sicantik_notifyd::evaluate::configuration::Configuration;
use sicantik_notifyd::testkit::host::{Options, Volume, generate};
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan, RUNTIME};
use tokio_postgres::Client;

/// What administrators have: a trigger with few rules, most of which look for one thing.
struct Scenario {
    name: &'static str,
    /// Code and columns of each rule. `{tenth}` is a tenth of the partners.
    rules: &'static [(&'static str, &'static str)],
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "told: one rule, a message for each event",
        rules: &[("told", "condition_domain = '[(''status'', ''='', ''active'')]'")],
    },
    Scenario {
        name: "not told: one rule, whose condition is not met",
        rules: &[(
            "not_told",
            "condition_domain = '[(''status'', ''='', ''expired'')]'",
        )],
    },
    Scenario {
        name: "snippet: one rule with condition_python, a tenth told",
        rules: &[(
            "python",
            "condition_python = 'record.state == ''approved'' and len(record.partner_id.name or '''') > 3 and record.id % 10 == 0'",
        )],
    },
    Scenario {
        name: "ten rules of all kinds on the one trigger, a tenth told by most",
        rules: &[
            (
                "plain",
                "condition_domain = '[(''permit_type_name'', ''ilike'', ''a''), (''id'', ''<'', 0)]'",
            ),
            (
                "status",
                "condition_domain = '[(''state'', ''='', ''approved''), (''partner_id'', ''in'', [{tenth}])]'",
            ),
            (
                "date",
                "condition_domain = '[(''expiry_date'', ''<='', (context_today() + relativedelta(months=1)).strftime(''%Y-%m-%d''))]'",
            ),
            (
                "path",
                "condition_domain = '[(''partner_id.city'', ''='', ''Kabanjahe'')]'",
            ),
            (
                "name",
                "condition_domain = '[(''partner_id'', ''ilike'', ''sembiring'')]'",
            ),
            (
                "lines",
                "condition_domain = '[(''document_ids.state'', ''='', ''signed'')]'",
            ),
            (
                "staff",
                "condition_domain = '[(''id'', ''in'', [{hundred}])]', recipient_type = 'staff', staff_group = 'DPMPTSP Staff'",
            ),
            (
                "field",
                "condition_domain = '[(''id'', ''in'', [{hundred}])]', recipient_type = 'field', \
                 recipient_field = 'partner_id.category_id.partner_ids'",
            ),
            (
                "once",
                "condition_domain = '[(''partner_id'', ''in'', [{tenth}])]', repeat_policy = 'once_per_record'",
            ),
            (
                "negated",
                "condition_domain = '[''!'', (''permit_number'', ''!='', False)]'",
            ),
        ],
    },
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
    runtime.block_on(run(
        number("EVENTS", 50_000),
        number("ROUNDS", 3),
        number("LANES", 2),
    ));
}

async fn run(events: usize, rounds: usize, lanes: usize) {
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
    let url = office.cluster.url_as(RUNTIME, DATABASE);
    let database = Endpoint::parse(&url, None).unwrap().pool(lanes).unwrap();
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    println!("{events} events, {rounds} rounds, {lanes} at a time");
    for scenario in SCENARIOS.iter().filter(|s| s.name.contains(&wanted)) {
        rules(&admin, scenario.rules).await;
        office.run(&["hooks", "install"]).await.unwrap();
        println!("{}", scenario.name);
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            fill(&admin, events).await;
            let before = Cost::now(&office);
            let (took, messages) = evaluated(&database, lanes).await;
            let cost = Cost::now(&office).since(&before, events);
            let decisions = count(&admin, "decision").await;
            fill(&admin, events).await;
            let before = Cost::now(&office);
            let floor = bare(&admin, messages, decisions).await;
            let bare = Cost::now(&office).since(&before, events);
            ratios.push(cost.server / bare.server);
            rates.push(events as f64 / took.as_secs_f64());
            println!(
                "  {:>7.0} events/s ({messages} messages, {decisions} decisions); CPU per event: server {:.0} µs, daemon {:.0} µs; bare: {:.0} events/s on one connection, {:.0} µs",
                events as f64 / took.as_secs_f64(),
                cost.server,
                cost.own,
                events as f64 / floor.as_secs_f64(),
                bare.server
            );
        }
        println!(
            "  median: {:.0} events/s, server CPU {:.2} × the bare statements'",
            median(&mut rates),
            median(&mut ratios)
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time used so far, in µs.
struct Cost {
    server: f64,
    own: f64,
}

impl Cost {
    fn now(office: &Office) -> Self {
        let pid = std::fs::read_to_string(office.cluster.data_dir().join("postmaster.pid")).unwrap();
        let postmaster: u64 = pid.lines().next().unwrap().parse().unwrap();
        let mut server = 0.0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(stat) = Stat::read(&entry.path().join("stat")) else {
                continue;
            };
            if stat.parent == postmaster {
                server += stat.used;
            }
        }
        let own = Stat::read(Path::new("/proc/self/stat")).map_or(0.0, |stat| stat.used);
        Self { server, own }
    }

    fn since(&self, before: &Self, events: usize) -> Self {
        Self {
            server: (self.server - before.server) / events as f64,
            own: (self.own - before.own) / events as f64,
        }
    }
}

struct Stat {
    parent: u64,
    used: f64,
}

impl Stat {
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            // A tick is a hundredth of a second.
            used: (ticks(11)? + ticks(12)?) * 10_000.0,
        })
    }
}

async fn rules(admin: &Client, rules: &[(&str, &str)]) {
    let list = |ids: std::ops::RangeInclusive<i64>| {
        let ids: Vec<String> = ids.map(|n| n.to_string()).collect();
        ids.join(", ")
    };
    let first = admin
        .query_one("select min(partner_id)::bigint from sicantik_permit", &[])
        .await
        .unwrap();
    let first: i64 = first.get(0);
    let mut sql = "update sicantik_notify.trigger set active = code = 'permit_state_change';
                   update sicantik_notify.rule set active = false;"
        .to_owned();
    for (code, columns) in rules {
        let columns = columns
            .replace("{tenth}", &list(first..=first + 499))
            .replace("{hundred}", &list(1..=100));
        sql.push_str(&format!(
            "insert into sicantik_notify.rule (code, name, trigger, template_key, storm_limit)
             values ('{code}', '{code}', 'permit_state_change', 'permit_ready', null);
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
"
        ))
        .await
        .unwrap();
    admin
        .batch_execute("vacuum analyze sicantik_notify.event")
        .await
        .unwrap();
    admin.batch_execute("checkpoint").await.unwrap();
}

async fn count(admin: &Client, table: &str) -> i64 {
    let query = format!("select count(*) from sicantik_notify.{table}");
    admin.query_one(&query, &[]).await.unwrap().get(0)
}

/// As many evaluators at once as there are connections.
async fn evaluated(database: &Database, lanes: usize) -> (Duration, usize) {
    let configuration = {
        let mut client = database.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let configuration = Configuration::load(&tx).await.unwrap();
        tx.commit().await.unwrap();
        Arc::new(configuration)
    };
    for problem in &configuration.problems {
        println!("problem: {}: {}", problem.about, problem.summary);
    }
    let begun = Instant::now();
    let mut working = tokio::task::JoinSet::new();
    for _ in 0..lanes {
        let (database, configuration) = (database.clone(), configuration.clone());
        working.spawn(async move { lane(&database, &configuration).await });
    }
    let messages = working.join_all().await.into_iter().sum();
    (begun.elapsed(), messages)
}

async fn lane(database: &Database, configuration: &Configuration) -> usize {
    let mut client = database.get().await.unwrap();
    let mut messages = 0;
    loop {
        match evaluate(&mut client, configuration, number("BATCH", 500) as u32, 60)
            .await
            .unwrap()
        {
            Round::Done(done) => {
                assert_eq!(done.set_aside, 0, "set aside; see event_set_aside.error");
                messages += done.messages;
            }
            Round::Stale => panic!("the configuration has changed"),
            Round::Idle => {
                let left = client
                    .query_one("select exists (select from sicantik_notify.event)", &[])
                    .await
                    .unwrap();
                if !left.get::<_, bool>(0) {
                    return messages;
                }
            }
        }
    }
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
