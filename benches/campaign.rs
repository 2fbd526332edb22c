//! What a campaign to a million costs: the time from its start until its targets stand there, beside a bare INSERT … SELECT of the
//! same rows with its key on the same server, in turns; the peak of the daemon's memory over all of it; how long a pause takes while
//! it is being released and sent; how many targets a second are reached. The ratio is what counts, the absolute figures are
//! this machine's. `cargo bench --bench campaign`; TARGETS=100000 makes it shorter, ROUNDS=5 steadier.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::host::{Options, Volume, generate};
use sicantik_notifyd::testkit::office::{Office, Plan};
use tokio_postgres::Client;

const CONFIG: &str = "[capture]\npoll_interval_ms = 50\n[deliver]\npoll_interval_ms = 50\nconcurrency = 32\n";
/// Pauses that are timed.
const PAUSES: usize = 20;

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
    runtime.block_on(run(number("TARGETS", 1_000_000), number("ROUNDS", 3)));
}

async fn run(targets: usize, rounds: usize) {
    let plan = Plan {
        hooks: false,
        host: Options::default(),
        ..Plan::default()
    };
    let office = Office::open(Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")), &plan)
        .await
        .unwrap();
    let admin = office.admin().await.unwrap();
    let volume = Volume {
        partners: 20_000,
        permits: targets as u32,
        documents: 0,
        today: None,
    };
    generate(&admin, &volume, 1).await.unwrap();
    admin
        .batch_execute("vacuum analyze public.sicantik_permit")
        .await
        .unwrap();
    admin
        .batch_execute(
            "update sicantik_notify.provider set active = name = 'Fonnte';
             update sicantik_notify.rule set active = false;
             insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('by_hand', 'By hand', 'sicantik.permit', 'manual');
             insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled)
             values ('campaign_rule', 'Campaign', 'by_hand', 'permit_reminder', false);",
        )
        .await
        .unwrap();
    let _daemon = office.daemon(CONFIG).await.unwrap();
    until(
        &admin,
        "select instance_id is not null from sicantik_notify.leader",
    )
    .await;
    let pid = query(&admin, "select pid::bigint from sicantik_notify.instance").await;
    println!(
        "{targets} permits, {rounds} rounds; daemon at rest: {}",
        memory(pid)
    );

    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // In turns, each first as often as the other.
        let (ours, bare) = if round % 2 == 0 {
            let bare = bare(&admin).await;
            (collected(&admin).await, bare)
        } else {
            let ours = collected(&admin).await;
            (ours, self::bare(&admin).await)
        };
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!(
            "round {round}: collected in {:.2} s (from campaign_start to the last row), bare INSERT … SELECT {:.2} s, ratio {ratio:.2}; {}",
            ours.as_secs_f64(),
            bare.as_secs_f64(),
            memory(pid)
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio: {:.2}", ratios[ratios.len() / 2]);
    flight(&admin, pid).await;
    reached(&admin, pid).await;
    println!("peak of the daemon's memory over all: {}", memory(pid));
}

async fn query(admin: &Client, sql: &str) -> i64 {
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

async fn until(admin: &Client, sql: &str) {
    while !admin.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `VmHWM`: the most memory that the process ever had.
fn memory(pid: i64) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    format!(
        "RSS {:.1} MiB, peak {:.1} MiB",
        line("VmRSS").unwrap_or(0.0) / 1024.0,
        line("VmHWM").unwrap_or(0.0) / 1024.0
    )
}

async fn started(admin: &Client) -> i64 {
    let create = "select sicantik_notify.campaign_create('Bench', 'campaign_rule', '[(''permit_number'', ''!='', ''none'')]')";
    let id = query(admin, create).await;
    admin
        .execute("select sicantik_notify.campaign_start($1)", &[&id])
        .await
        .unwrap();
    id
}

/// From the start until the targets stand there; with the rule switched off, so that nothing is released yet.
async fn collected(admin: &Client) -> Duration {
    tidy(admin).await;
    admin
        .batch_execute(
            "alter table sicantik_notify.campaign_target set (autovacuum_enabled = off); checkpoint",
        )
        .await
        .unwrap();
    let begun = Instant::now();
    let id = started(admin).await;
    // The release waits for its rule, from before it could begin.
    admin
        .batch_execute("update sicantik_notify.rule set active = false where code = 'campaign_rule'")
        .await
        .unwrap();
    until(
        admin,
        &format!("select materialised_at is not null or state = 'draft' from sicantik_notify.campaign where id = {id}"),
    )
    .await;
    let took = begun.elapsed();
    let row = admin
        .query_one(
            "select targets, last_error from sicantik_notify.campaign where id = $1",
            &[&id],
        )
        .await
        .unwrap();
    if let Some(error) = row.get::<_, Option<&str>>(1) {
        panic!("{error}");
    }
    admin
        .execute("select sicantik_notify.campaign_cancel($1)", &[&id])
        .await
        .unwrap();
    took
}

async fn bare(admin: &Client) -> Duration {
    tidy(admin).await;
    admin
        .batch_execute(
            "create table bare (campaign_id bigint not null, record_id bigint not null, primary key (campaign_id, record_id))
                 with (autovacuum_enabled = off);
             checkpoint",
        )
        .await
        .unwrap();
    let begun = Instant::now();
    admin
        .batch_execute("insert into bare select 1, id from public.sicantik_permit where permit_number <> 'none' or permit_number is null")
        .await
        .unwrap();
    begun.elapsed()
}

/// No campaign runs, no target waits, the rule is in force.
async fn tidy(admin: &Client) {
    admin
        .batch_execute(
            "truncate sicantik_notify.campaign_target;
             drop table if exists bare;
             update sicantik_notify.rule set active = true where code = 'campaign_rule'",
        )
        .await
        .unwrap();
}

/// Pauses while the campaign is released and sent as fast as both can.
async fn flight(admin: &Client, pid: i64) {
    tidy(admin).await;
    let id = started(admin).await;
    let sent = format!("select sent from sicantik_notify.v_campaign_progress where id = {id}");
    let mut times = Vec::new();
    let begun = Instant::now();
    let (mut after, mut last) = (0, 0);
    for _ in 0..PAUSES {
        until(
            admin,
            &sent.replace("select sent", &format!("select sent > {}", last + 200)),
        )
        .await;
        let at = Instant::now();
        admin
            .execute("select sicantik_notify.campaign_pause($1)", &[&id])
            .await
            .unwrap();
        times.push(at.elapsed());
        let then = query(admin, "select count(*) from sicantik_notify.attempt").await;
        until(
            admin,
            "select not exists (select from sicantik_notify.queue where state = 'processing')",
        )
        .await;
        after = after.max(query(admin, "select count(*) from sicantik_notify.attempt").await - then);
        last = query(admin, &sent).await;
        admin
            .execute("select sicantik_notify.campaign_resume($1)", &[&id])
            .await
            .unwrap();
    }
    times.sort();
    println!(
        "{PAUSES} pauses in flight: median {:.0} ms, worst {:.0} ms; calls that began after one had returned: {after} at most; \
         {last} messages sent in {:.0} s; {}",
        times[PAUSES / 2].as_secs_f64() * 1000.0,
        times[PAUSES - 1].as_secs_f64() * 1000.0,
        begun.elapsed().as_secs_f64(),
        memory(pid)
    );
    let at = Instant::now();
    admin
        .execute("select sicantik_notify.campaign_cancel($1)", &[&id])
        .await
        .unwrap();
    println!("cancelled in {:.0} ms", at.elapsed().as_secs_f64() * 1000.0);
    until(admin, "select not exists (select from sicantik_notify.queue)").await;
}

/// Targets a second, where the rule's condition holds for none of them: what the release itself costs.
async fn reached(admin: &Client, pid: i64) {
    tidy(admin).await;
    admin
        .batch_execute("update sicantik_notify.rule set condition_domain = '[(''id'', ''<'', 0)]' where code = 'campaign_rule'")
        .await
        .unwrap();
    let id = started(admin).await;
    let count = format!(
        "select coalesce(skipped, 0)::bigint from sicantik_notify.v_campaign_progress where id = {id}"
    );
    until(admin, &format!("select ({count}) > 0")).await;
    let (begun, before) = (Instant::now(), query(admin, &count).await);
    let over = format!("select state <> 'running' from sicantik_notify.campaign where id = {id}");
    while begun.elapsed() < Duration::from_secs(60)
        && !admin.query_one(&over, &[]).await.unwrap().get::<_, bool>(0)
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reached = query(admin, &count).await - before;
    println!(
        "{:.0} targets a second reached, none of them told; {}",
        reached as f64 / begun.elapsed().as_secs_f64(),
        memory(pid)
    );
}
