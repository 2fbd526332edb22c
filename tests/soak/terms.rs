//! P5, P6 and P10 within the soak: a rule with a rate limit, a number on the blacklist in eight notations, and a rule, a template and a
//! provider that are broken from the beginning to the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sicantik_notifyd::testkit::gateway::{Gateway, Provider};
use sicantik_notifyd::testkit::host::{OdooSession, Value};
use sicantik_notifyd::testkit::office::Office;

use super::{Dice, ask, count};

/// Messages of the limited rule in any minute.
const LIMIT: usize = 12;
const WINDOW: Duration = Duration::from_secs(60);
const LISTED: &str = "6281299000001";
/// The same number, as people write it.
const NOTATIONS: [&str; 8] = [
    "081299000001",
    "0812-9900-0001",
    "(0812) 9900 0001",
    "81299000001",
    "6281299000001",
    "+62 812 9900 0001",
    "+62 (0) 812.9900.0001",
    "006281299000001",
];

/// The limited rule, and the broken ones beside it.
pub async fn set_up(office: &Office) {
    let admin = office.admin().await.unwrap();
    admin
        .batch_execute(&format!(
            "insert into sicantik_notify.rule (code, name, active, trigger, condition_domain, template_key, recipient_type, max_retries,
                                               retry_delay, rate_limit_enabled, rate_limit_count, rate_limit_period, storm_limit)
             values ('soak_limited', 'Limited', true, 'permit_state_change', '[(''id'', ''='', 0)]', 'permit_ready', 'partner', 100000,
                     0, true, {LIMIT}, 'minute', null);
             insert into sicantik_notify.rule (code, name, active, trigger, condition_python, template_key, recipient_type)
             values ('soak_broken', 'Broken', true, 'permit_state_change', '1 / 0 > 1', 'permit_ready', 'partner');
             insert into sicantik_notify.rule (code, name, active, trigger, condition_domain, template_key, recipient_type)
             values ('soak_template', 'No template', true, 'permit_state_change', '[(''id'', ''='', 0)]', 'soak_absent', 'partner');
             insert into sicantik_notify.template (template_key, name, body, parameters)
             values ('soak_broken', 'Broken', 'Yth. {{{{nobody_gives_this}}}}', '{{nobody_gives_this}}');
             select sicantik_notify.blacklist_add('{LISTED}', 'for the soak');
             with p as (insert into sicantik_notify.provider (name, provider_type, sequence, uncertain_wait, settings)
                        values ('Rusak', 'fonnte', 5, interval '300 milliseconds', '{{\"base_url\": \"http://127.0.0.1:9\", \"delay_seconds\": 0}}') returning id)
             insert into sicantik_notify.provider_secret (provider_id, name, value) select id, 'token', '{}' from p",
            Gateway::FONNTE_TOKEN
        ))
        .await
        .unwrap();
}

/// Permits of people who all have the listed number, each in another notation.
pub async fn listed(odoo: &mut OdooSession) -> Vec<i32> {
    let people: Vec<Vec<(&str, Value)>> = NOTATIONS
        .iter()
        .map(|notation| {
            let name = format!("Warga {notation}");
            vec![
                ("name", Value::Text(name.clone())),
                ("complete_name", Value::Text(name)),
                ("phone", Value::Text((*notation).to_owned())),
            ]
        })
        .collect();
    odoo.begin().await.unwrap();
    let partners = odoo.create("res_partner", &people).await.unwrap();
    let drafts: Vec<Vec<(&str, Value)>> = partners
        .iter()
        .map(|partner| {
            vec![
                ("registration_id", Value::Text(format!("REG-{partner}"))),
                ("permit_number", Value::Text(format!("503/{partner}"))),
                ("permit_type_name", Value::Text("Izin Reklame".to_owned())),
                ("partner_id", Value::Int(i64::from(*partner))),
                ("status", Value::Text("draft".to_owned())),
            ]
        })
        .collect();
    let permits = odoo.create("sicantik_permit", &drafts).await.unwrap();
    odoo.commit().await.unwrap();
    permits
}

/// A message of the limited rule, which goes through the gateway's Fonnte only, so that each of its requests is a place; and one with the
/// broken template.
pub async fn enqueue(
    office: &Office,
    marks: &mut BTreeSet<String>,
    limited: &mut BTreeSet<String>,
    dice: &mut Dice,
) {
    let mark = format!("503/S{:05}", marks.len());
    let phone = format!("+62812000{:05}", 60_000 + dice.throw(12));
    for (rule, template, phone, mark) in [
        ("soak_limited", "permit_ready", phone.as_str(), mark.clone()),
        (
            "notify_permit_approved",
            "soak_broken",
            "+6281200070000",
            format!("{mark}-broken"),
        ),
    ] {
        ask(office, async |client| {
            client
                .execute(
                    "insert into sicantik_notify.queue (ready, rule_id, partner_name, phone, template_key, context, not_through)
                     select true, r.id, 'Budi', $2, $3,
                            jsonb_build_object('partner_name', 'Budi', 'permit_number', $4::text, 'permit_type', 'SIP', 'status', 'Aktif',
                                               'completion_date', '01-02-2026'),
                            case when $1 = 'soak_limited'
                                 then array(select p.id from sicantik_notify.provider p where p.name <> 'Fonnte') else '{}' end
                     from sicantik_notify.rule r
                     where r.code = $1
                       and not exists (select from sicantik_notify.queue q where q.context ->> 'permit_number' = $4::text)
                       and not exists (select from sicantik_notify.log l where l.context ->> 'permit_number' = $4::text)",
                    &[&rule, &phone, &template, &mark],
                )
                .await
        })
        .await;
    }
    limited.insert(mark.clone());
    marks.insert(mark);
}

/// Lifts the limit, so that the office can finish. Until when it held.
pub async fn lift(office: &Office) -> Instant {
    let until = Instant::now();
    ask(office, async |client| {
        client
            .execute(
                "update sicantik_notify.rule set rate_limit_enabled = false where code = 'soak_limited'",
                &[],
            )
            .await
    })
    .await;
    until
}

/// What the gateway's record says against the three promises. `until`: how long the limit held.
pub async fn judge(office: &Office, limited: &BTreeSet<String>, listed: i64, until: Instant) -> Vec<String> {
    let requests: Vec<_> = office
        .gateway
        .requests()
        .into_iter()
        .filter(|r| r.is_send)
        .collect();
    let mut wrong = Vec::new();

    // P5. A request that was cut before it was read names nobody: it may be one more, never one less.
    let mut calls: Vec<Instant> = Vec::new();
    for request in requests
        .iter()
        .filter(|r| r.at < until && r.provider == Provider::Fonnte)
    {
        let body = request.body.to_string();
        if limited.iter().any(|mark| body.contains(mark.as_str())) {
            calls.push(request.at);
        }
    }
    calls.sort();
    for pair in calls.windows(LIMIT + 1) {
        let span = pair[LIMIT].duration_since(pair[0]);
        if span < WINDOW {
            wrong.push(format!(
                "P5: {} calls of the limited rule within {span:?}",
                LIMIT + 1
            ));
        }
    }
    if limited.len() > LIMIT && calls.len() < LIMIT / 2 {
        wrong.push(format!("P5: the limited rule made only {} calls", calls.len()));
    }
    println!(
        "the limited rule made {} calls, {} in a minute at most",
        calls.len(),
        densest(&calls)
    );

    // P6.
    for request in &requests {
        if request.body.to_string().contains("1299000001") {
            wrong.push(format!("P6: a request to the listed number: {}", request.body));
        }
    }
    let skipped = count(
        office,
        &format!("select count(*) from sicantik_notify.log where phone = '+{LISTED}' and state = 'skipped' and code = 'blacklisted'"),
    )
    .await;
    if skipped != listed {
        wrong.push(format!(
            "P6: {listed} people with the listed number had news, and {skipped} messages were skipped"
        ));
    }

    // P10. What is broken failed alone (the judge of everything else says the rest), and is listed.
    for request in &requests {
        if request.body.to_string().contains("-broken") {
            wrong.push(format!(
                "P10: a request with the broken template: {}",
                request.body
            ));
        }
    }
    for (what, query) in [
        (
            "every message with the broken template fails and says why",
            "select (count(*) filter (where state <> 'failed' or error not like '%nobody_gives_this%') > 0)::int::bigint
             from sicantik_notify.log where template_key = 'soak_broken'",
        ),
        (
            "the broken rule is listed",
            "select (not exists (select from sicantik_notify.v_problem where about = 'rule soak_broken'))::int::bigint",
        ),
        (
            "the rule without a template is listed",
            "select (not exists (select from sicantik_notify.v_problem where about || summary like '%soak_template%'))::int::bigint",
        ),
        (
            "the broken provider is listed",
            "select (not exists (select from sicantik_notify.v_problem where about = 'provider Rusak' and severity = 'alarm'))::int::bigint",
        ),
        (
            "the broken provider took nothing",
            "select count(*) from sicantik_notify.attempt a join sicantik_notify.provider p on p.id = a.provider_id
             where p.name = 'Rusak' and a.outcome = 'accepted'",
        ),
    ] {
        if count(office, query).await != 0 {
            wrong.push(format!("P10: not so: {what}"));
        }
    }
    wrong
}

/// Most calls in one window.
fn densest(calls: &[Instant]) -> usize {
    let within = |from: &Instant| {
        calls
            .iter()
            .filter(|at| *at >= from && at.duration_since(*from) < WINDOW)
            .count()
    };
    calls.iter().map(within).max().unwrap_or(0)
}
