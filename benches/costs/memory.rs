//! Resident memory of the daemon as a process: at rest, with a million messages queued, while the host changes a million rows in one
//! transaction, and over all of that at its peak.

use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::host::{Volume, generate};
use sicantik_notifyd::testkit::office::Plan;
use tokio_postgres::Client;

use super::ground::{self, number, until};
use super::table::{Table, Target};

const CALM: Duration = Duration::from_secs(5);

pub async fn run(table: &mut Table, full: bool) {
    let rows: i64 = if full { 1_000_000 } else { 200_000 };
    let office = ground::office(&Plan::default(), true).await;
    let admin = office.admin().await.unwrap();
    let volume = Volume {
        partners: 2_000,
        permits: rows as u32,
        documents: 0,
        today: None,
    };
    generate(&admin, &volume, 1).await.unwrap();
    let (url, arrivals) = super::latency::provider().await;
    drop(arrivals);
    admin
        .batch_execute(&format!(
            "update sicantik_notify.provider set active = name = 'Fonnte',
                    settings = settings || jsonb_build_object('base_url', '{url}', 'delay_seconds', 0);
             update sicantik_notify.rule set active = code = 'notify_permit_approved', rate_limit_enabled = false, storm_limit = 1000;
             insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('by_hand', 'By hand', 'sicantik.permit', 'manual');
             insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled)
             values ('drain', 'Drain', 'by_hand', 'permit_ready', false);"
        ))
        .await
        .unwrap();
    office.run(&["hooks", "install"]).await.unwrap();
    let _daemon = office.daemon("").await.unwrap();
    until(
        &admin,
        "select exists (select from sicantik_notify.instance where delivering)",
    )
    .await;
    tokio::time::sleep(CALM).await;
    let pid = number(&admin, "select pid::bigint from sicantik_notify.instance").await;
    say(table, "at rest", pid, "VmRSS", 40.0);
    queued(&admin, rows).await;
    watch(CALM * 2, &admin, None).await;
    say(table, &format!("{rows} queued, sending"), pid, "VmHWM", 64.0);
    admin
        .batch_execute("truncate sicantik_notify.queue")
        .await
        .unwrap();
    // The host's job; the daemon reads what it wrote after its commit.
    admin
        .batch_execute("update sicantik_permit set status = case status when 'active' then 'expired' else 'active' end, write_date = now()")
        .await
        .unwrap();
    let limit = Duration::from_secs(if full { 600 } else { 60 });
    watch(
        limit,
        &admin,
        Some("select not exists (select from sicantik_notify.event)"),
    )
    .await;
    say(
        table,
        &format!("host transaction of {rows} rows, evaluated"),
        pid,
        "VmHWM",
        64.0,
    );
}

async fn queued(admin: &Client, rows: i64) {
    admin
        .batch_execute(&format!(
            "insert into sicantik_notify.queue (ready, rule_id, phone, template_key, model, record_id, context)
             select true, (select id from sicantik_notify.rule where code = 'drain'), '+62812' || lpad(n::text, 8, '0'), 'permit_ready',
                    'sicantik.permit', n, jsonb_build_object('partner_name', 'Budi', 'permit_number', n::text, 'permit_type', 'SIP',
                                                              'status', 'Aktif')
             from generate_series(1, {rows}) n"
        ))
        .await
        .unwrap();
}

/// Until it is so, or for so long.
async fn watch(limit: Duration, admin: &Client, done: Option<&str>) {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(sql) = done
            && admin.query_one(sql, &[]).await.unwrap().get(0)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn say(table: &mut Table, when: &str, pid: i64, field: &str, most: f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let what = if field == "VmHWM" {
        "peak so far"
    } else {
        "resident"
    };
    table.figure(
        &format!("f. memory, {when}"),
        kib / 1024.0,
        " MiB",
        what,
        Target::AtMost(most),
    );
}
