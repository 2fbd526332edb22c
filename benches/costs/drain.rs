//! How fast a backlog leaves: our stage with a provider that answers at once, beside pgbench making the same writes in batches, and
//! beside the bare claim and delete of a queue that keeps no record.

use std::time::{Duration, Instant};

use sicantik_notifyd::config::DeliverConfig;
use sicantik_notifyd::db::Endpoint;
use sicantik_notifyd::deliver::{Deliverer, provider};
use sicantik_notifyd::host::permit::{Arming, arm};
use sicantik_notifyd::observe::pulse::Pulse;
use sicantik_notifyd::testkit::office::{Office, Plan, RUNTIME};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::ground::{self, Length, Load, OFFICE, number, own_cpu, pgbench, server_cpu, until, wal};
use super::table::{Table, Target, median, paired};

const BATCH: i64 = 500;
const CLIENTS: usize = 4;

/// What a drain of all messages took.
struct Drained {
    per_second: f64,
    server: f64,
    daemon: f64,
    wal: f64,
}

pub async fn run(table: &mut Table, full: bool) {
    let messages = if full { 200_000 } else { 40_000 };
    let rounds = if full { 5 } else { 3 };
    let plan = Plan {
        hooks: false,
        ..Plan::default()
    };
    let office = ground::office(&plan, false).await;
    let admin = office.admin().await.unwrap();
    ready(&admin).await;
    let (mut ours, mut usual, mut same, mut bare) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        for turn in 0..4 {
            match (turn + round) % 4 {
                0 => ours.push(daemon(&office, &admin, messages, 500, 500).await),
                1 => same.push(raw(&office, &admin, "drain_same_writes.sql", messages).await),
                2 => bare.push(raw(&office, &admin, "drain_bare.sql", messages).await),
                _ => usual.push(daemon(&office, &admin, messages / 4, 16, 100).await),
            }
        }
    }
    let rates = |of: &[Drained]| of.iter().map(|d| d.per_second).collect::<Vec<_>>();
    let tell = |of: &[Drained]| {
        let middle = |pick: fn(&Drained) -> f64| median(&of.iter().map(pick).collect::<Vec<_>>());
        format!(
            "{:.0}/s, {:.0}+{:.0} µs, {:.0} B WAL",
            middle(|d| d.per_second),
            middle(|d| d.server),
            middle(|d| d.daemon),
            middle(|d| d.wal)
        )
    };
    let mut line = |what: &str, of: &[Drained], against: &[Drained], name: &str, target| {
        let ratio = paired(&rates(of), &rates(against));
        table.ratio(
            what,
            tell(of),
            format!("{name}: {}", tell(against)),
            ratio,
            target,
        );
    };
    line(
        "b. drain, 500 at once",
        &ours,
        &same,
        "same writes",
        Target::AtLeast(0.6),
    );
    line(
        "b. drain, 500 at once",
        &ours,
        &bare,
        "raw C 500",
        Target::AtLeast(0.47),
    );
    line(
        "b. drain, default 16 at once",
        &usual,
        &same,
        "same writes",
        Target::None,
    );
}

pub async fn ready(admin: &Client) {
    admin
        .batch_execute(
            "update sicantik_notify.provider set active = name = 'Fonnte';
             update sicantik_notify.rule set active = false;
             insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('by_hand', 'By hand', 'sicantik.permit', 'manual');
             insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled)
             values ('drain', 'Drain', 'by_hand', 'permit_ready', false);
             alter table sicantik_notify.queue set (autovacuum_enabled = off);
             insert into sicantik_notify.instance (id, name, pid, version) overriding system value values (1, 'bench', 0, 'bench');",
        )
        .await
        .unwrap();
}

/// The backlog: each message to somebody else, some 400 bytes of values.
pub async fn fill(admin: &Client, messages: i64) {
    admin
        .batch_execute(
            "truncate sicantik_notify.queue, sicantik_notify.log, sicantik_notify.attempt, sicantik_notify.recipient_pace",
        )
        .await
        .unwrap();
    fill_more(admin, 0, messages).await;
    settle_down(admin, "sicantik_notify.queue").await;
}

/// So many more, to recipients from the n-th on.
pub async fn fill_more(admin: &Client, recipient: i64, messages: i64) {
    admin
        .batch_execute(&format!(
            "insert into sicantik_notify.queue (ready, rule_id, trigger_id, phone, template_key, model, record_id, partner_name, context)
             select true, r.id, t.id, '+62812' || lpad((n + {recipient})::text, 8, '0'), 'permit_ready', 'sicantik.permit', n, 'Budi Santoso',
                    jsonb_build_object('partner_name', 'Budi Santoso', 'permit_number', '503/' || n, 'permit_type', 'Surat Izin Praktik',
                                       'status', 'Aktif', 'applicant_name', 'Budi Santoso', 'expiry_date', '31-12-2027',
                                       'document_number', 'D/' || n, 'document_name', 'Surat Izin Praktik Perawat', 'link',
                                       'https://sicantik.example.go.id/permits/' || n, 'contact', '+62 628 20123',
                                       'office', 'DPMPTSP Kabupaten Karo, Jalan Letjen Jamin Ginting 17, Kabanjahe')
             from generate_series(1, {messages}) n
             join sicantik_notify.rule r on r.code = 'drain'
             join sicantik_notify.trigger t on t.code = r.trigger"
        ))
        .await
        .unwrap();
}

async fn settle_down(admin: &Client, table: &str) {
    admin
        .batch_execute(&format!("vacuum analyze {table}"))
        .await
        .unwrap();
    admin.batch_execute("checkpoint").await.unwrap();
}

async fn raw(office: &Office, admin: &Client, script: &str, messages: i64) -> Drained {
    if script == "drain_bare.sql" {
        fill_bare(admin, messages).await;
    } else {
        fill(admin, messages).await;
    }
    let before = wal(admin).await;
    let load = Load {
        script,
        database: OFFICE,
        role: "postgres",
        clients: CLIENTS,
        length: Length::Transactions(messages as u64 / (BATCH as u64 * CLIENTS as u64)),
        variables: &[("batch", BATCH)],
    };
    ground::profile_begin(admin).await;
    let ran = pgbench(&office.cluster, &load).await;
    let of = messages as f64;
    ground::profile_end(admin, script, of).await;
    Drained {
        per_second: ran.per_second * BATCH as f64,
        server: ran.cpu.as_secs_f64() * 1e6 / of,
        daemon: 0.0,
        wal: (wal(admin).await - before) as f64 / of,
    }
}

async fn fill_bare(admin: &Client, messages: i64) {
    admin
        .batch_execute(&format!(
            "drop table if exists bare_queue;
             create table bare_queue (id bigint generated always as identity primary key, status smallint not null default 0,
                                      priority smallint not null default 5, run_at timestamptz not null default now(),
                                      locked_at timestamptz, attempts integer not null default 0, payload jsonb not null)
                 with (autovacuum_enabled = off);
             create index on bare_queue (priority, run_at, id) where status = 0;
             insert into bare_queue (payload)
             select jsonb_build_object('partner_name', 'Budi Santoso', 'permit_number', n, 'text', repeat('x', 340))
             from generate_series(1, {messages}) n"
        ))
        .await
        .unwrap();
    settle_down(admin, "bare_queue").await;
}

/// Our stage in this process: claim, route, attempt, settle, as the daemon does it; the call itself is nothing.
async fn daemon(
    office: &Office,
    admin: &Client,
    messages: i64,
    concurrency: u32,
    claim_batch: u32,
) -> Drained {
    fill(admin, messages).await;
    let url = office.cluster.url_as(RUNTIME, OFFICE);
    let database = Endpoint::parse(&url, None).unwrap().pool(8).unwrap();
    let arming = armed(office, OFFICE).await;
    let deliverer = Deliverer {
        database: database.clone(),
        wakes: Default::default(),
        config: DeliverConfig {
            concurrency,
            claim_batch,
            ..DeliverConfig::default()
        },
        arming,
        instance: 1,
        client: provider::Client::mute().unwrap(),
        holding: Default::default(),
        memory: Default::default(),
        pulse: Pulse::new("deliver"),
    };
    let claimed = number(
        admin,
        "select last_value - (not is_called)::integer from sicantik_notify.claim_token_seq",
    )
    .await;
    let stop = CancellationToken::new();
    let alive = tokio::spawn(beat(office.admin().await.unwrap()));
    ground::profile_begin(admin).await;
    let (wal_before, cpu_before, own_before) = (wal(admin).await, server_cpu(&office.cluster), own_cpu());
    let begun = Instant::now();
    let running = tokio::spawn(deliverer.run(stop.clone()));
    // A sequence is cheap to look at; the count is not, and comes last.
    let last = claimed + messages;
    until(
        admin,
        &format!("select last_value >= {last} from sicantik_notify.claim_token_seq"),
    )
    .await;
    until(
        admin,
        &format!("select count(*) >= {messages} from sicantik_notify.log"),
    )
    .await;
    let took = begun.elapsed().as_secs_f64();
    let (server, own) = (server_cpu(&office.cluster) - cpu_before, own_cpu() - own_before);
    let of = messages as f64;
    let drained = Drained {
        per_second: of / took,
        server: server.as_secs_f64() * 1e6 / of,
        daemon: own.as_secs_f64() * 1e6 / of,
        wal: (wal(admin).await - wal_before) as f64 / of,
    };
    ground::profile_end(admin, "drain", of).await;
    stop.cancel();
    running.await.unwrap();
    alive.abort();
    assert_eq!(
        number(admin, "select count(*) from sicantik_notify.queue").await,
        0
    );
    drained
}

/// This process may send from that database.
pub async fn armed(office: &Office, database: &str) -> Arming {
    let arming = Arming::load_or_create(&office.folder().join("state")).unwrap();
    let admin = office.cluster.connect(database).await.unwrap();
    arm(&admin, &arming, "bench", true).await.unwrap();
    arming
}

/// The heart of the instance.
async fn beat(client: Client) {
    loop {
        client
            .batch_execute(
                "update sicantik_notify.instance set heartbeat_at = sicantik_notify.clock() where id = 1",
            )
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
