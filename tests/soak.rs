//! P3, P4, P5, P6, P8, P9, P10 under everything at once: three daemons on one database, kill -9 and SIGTERM at random, PostgreSQL restarted and
//! crashed underneath, three providers that fail in every way they can. Afterwards every message is accounted for, and the gateway's
//! own record is the judge: nothing is lost, nothing is sent twice without a flag, no two for one recipient at once; no minute has more
//! messages of a limited rule than its limit; a number on the blacklist hears nothing; what is broken stops only itself.
//!
//! `make soak` runs it for long. `SOAK_SECONDS` is how long, `SOAK_SEED` repeats the choices of a run (not its timing),
//! `SOAK_BACKEND=logical` captures from a replication slot.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;
#[path = "soak/terms.rs"]
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use desk::{Desk, QUICK, approve, citizens, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::{Daemon, Office};
use tokio_postgres::Client;

/// Recipients who get many messages; some of them allowed messages through Meta.
const BUSY: u64 = 24;
/// How long the healed office may take to finish.
const HEALING: Duration = Duration::from_secs(120);

/// SplitMix64: the same choices for the same seed, in every version.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// About three of ten calls go wrong.
fn break_everything(office: &Office, seed: u64) {
    let hang = |accept| Behaviour::Hang { accept };
    let ways: [(u8, Behaviour); 11] = [
        (6, Behaviour::Html502),
        (4, Behaviour::Garbage),
        (2, hang(true)),
        (2, hang(false)),
        (4, Behaviour::CutBeforeRead),
        (6, Behaviour::CutAfterAccept),
        (4, Behaviour::SlowFirstByte(Duration::from_millis(300))),
        (3, Behaviour::Delay(Duration::from_millis(300))),
        (2, Behaviour::http(504, "<html>gateway timeout</html>")),
        (2, Behaviour::too_many(1)),
        (1, Behaviour::http(401, "<html>who are you</html>")),
    ];
    for (number, provider) in [Provider::Meta, Provider::Fonnte, Provider::Watzap]
        .into_iter()
        .enumerate()
    {
        let script = office.gateway.script(provider);
        // Fonnte alone carries the limited rule, whose calls are counted: it never refuses the account as a whole, which would pause
        // it for most of a short run and leave nothing to count.
        let ways = match provider {
            Provider::Fonnte => &ways[..9],
            Provider::Meta | Provider::Watzap => &ways[..],
        };
        for (way, (percent, behaviour)) in ways.iter().enumerate() {
            script.chance(
                *percent,
                seed ^ (number as u64 * 100 + way as u64),
                behaviour.clone(),
            );
        }
        let refusal = match provider {
            Provider::Meta => Behaviour::meta_error(131_026, "undeliverable"),
            Provider::Fonnte => Behaviour::fonnte_reason("target invalid"),
            Provider::Watzap => {
                Behaviour::watzap_status("1005", "Phone number is not registered on WhatsApp")
            }
        };
        script.chance(1, seed ^ (number as u64 * 100 + 50), refusal);
        script.always(Behaviour::SlowFirstByte(Duration::from_millis(10)));
    }
}

/// A connection that survives restarts by being made anew.
async fn ask<T>(office: &Office, work: impl AsyncFn(&Client) -> Result<T, tokio_postgres::Error>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let error = match office.admin().await {
            Ok(client) => match work(&client).await {
                Ok(done) => return done,
                Err(error) => sicantik_notifyd::db::describe(&error),
            },
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn count(office: &Office, query: &str) -> i64 {
    ask(office, async |client| {
        Ok(client.query_one(query, &[]).await?.get(0))
    })
    .await
}

/// Puts messages straight into the queue, each with a mark of its own.
async fn enqueue(office: &Office, marks: &mut BTreeSet<String>, dice: &mut Dice) {
    for _ in 0..8 {
        let mark = format!("503/S{:05}", marks.len());
        let to = dice.throw(BUSY);
        let partner = (to < BUSY / 3).then_some(i64::from(ids::PARTNER_OPTED_IN));
        let phone = format!("+62812000{:05}", 50_000 + to);
        ask(office, async |client| {
            // A commit whose answer was lost is found again.
            client
                .execute(
                    "insert into sicantik_notify.queue (ready, rule_id, partner_id, partner_name, phone, template_key, context)
                     select true, r.id, $1, 'Budi', $2, 'permit_ready',
                            jsonb_build_object('partner_name', 'Budi', 'permit_number', $3::text, 'permit_type', 'SIP', 'status', 'Aktif',
                                               'completion_date', '01-02-2026')
                     from sicantik_notify.rule r
                     where r.code = 'notify_permit_approved'
                       and not exists (select from sicantik_notify.queue q where q.context ->> 'permit_number' = $3::text)
                       and not exists (select from sicantik_notify.log l where l.context ->> 'permit_number' = $3::text)",
                    &[&partner, &phone, &mark],
                )
                .await
        })
        .await;
        marks.insert(mark);
    }
}

/// What was committed until now has left the slot.
async fn everything_was_read(office: &Office) {
    let here: String = ask(office, async |client| {
        Ok(client
            .query_one("select pg_current_wal_insert_lsn()::text", &[])
            .await?
            .get(0))
    })
    .await;
    let until = Instant::now() + HEALING;
    let read = format!("select count(*) from sicantik_notify.capture_slot where position >= '{here}'");
    while count(office, &read).await == 0 {
        assert!(Instant::now() < until, "the slot is not read up to {here}");
        // What the daemon waits for: something in the log, and its own interval.
        ask(office, async |client| {
            client
                .execute(
                    "update sicantik_notify.noise_column set model = model where model = 'res.partner'",
                    &[],
                )
                .await
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_doubled_unseen_whatever_breaks() {
    let seconds = number("SOAK_SECONDS", 12);
    let seed = number("SOAK_SEED", u64::from(rand::random::<u32>()));
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let mut dice = Dice(seed);
    let desk = desk().await;
    let logical = std::env::var("SOAK_BACKEND").is_ok_and(|backend| backend == "logical");
    if logical {
        desk.office.run(&["capture", "switch", "logical"]).await.unwrap();
    }
    desk.sql("update sicantik_notify.rule set retry_delay = 0, max_retries = 100000")
        .await;
    let mut odoo = desk.odoo().await;
    let people = citizens(&mut odoo, 40 + seconds as usize * 2).await;
    let mut listed = terms::listed(&mut odoo).await;
    terms::set_up(&desk.office).await;
    drop(desk.quick().await);
    let mut waiting: Vec<i32> = people.iter().map(|(permit, _)| *permit).collect();
    let Desk { office, .. } = desk;
    break_everything(&office, seed);

    let config = format!(
        "{QUICK}concurrency = 4\ncircuit_seconds = 1\nrequest_timeout_seconds = 2\nconnect_timeout_seconds = 1\nclaim_batch = 20\n\
         [evaluate]\nbatch_records = 5\n"
    );
    let mut daemons: Vec<Daemon> = Vec::new();
    let mut ending: Vec<Daemon> = Vec::new();
    let (mut marks, mut limited) = (BTreeSet::new(), BTreeSet::new());
    // Enough for the limit to bind all the time, and few enough to be sent at the end.
    let most_limited = 20 + seconds as usize / 2;
    let (mut kills, mut stops, mut restarts, mut crashes) = (0, 0, 0, 0);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        while daemons.len() < 3 {
            daemons.push(office.daemon(&config).await.unwrap());
        }
        enqueue(&office, &mut marks, &mut dice).await;
        if limited.len() < most_limited {
            terms::enqueue(&office, &mut marks, &mut limited, &mut dice).await;
        }
        // Some of those who must hear nothing, among the others.
        let permits: Vec<i32> = match dice.throw(4) {
            0 => listed.pop().into_iter().chain(waiting.pop()).collect(),
            _ => waiting.pop().into_iter().collect(),
        };
        if !permits.is_empty() {
            let mut odoo = loop {
                match office.odoo().await {
                    Ok(odoo) => break odoo,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            approve(&mut odoo, &permits).await;
        }
        let victim = dice.throw(3) as usize;
        match dice.throw(12) {
            0..3 => {
                daemons.swap_remove(victim).kill().await.unwrap();
                kills += 1;
            }
            3..5 => {
                let daemon = daemons.swap_remove(victim);
                daemon.signal("TERM").await.unwrap();
                ending.push(daemon);
                stops += 1;
            }
            5 if restarts <= crashes && started.elapsed() > Duration::from_secs(seconds / 4) => {
                office.cluster.restart().await.unwrap();
                restarts += 1;
            }
            6 if crashes < restarts => {
                office.cluster.kill().await.unwrap();
                office.cluster.restart().await.unwrap();
                crashes += 1;
            }
            // Chaos, not synchronisation: any instant will do.
            n => tokio::time::sleep(Duration::from_millis(15 * n)).await,
        }
    }
    for provider in [Provider::Meta, Provider::Fonnte, Provider::Watzap] {
        office.gateway.script(provider).clear();
    }
    while daemons.len() < 3 {
        daemons.push(office.daemon(&config).await.unwrap());
    }
    let approved: BTreeMap<String, String> = people
        .iter()
        .filter(|(permit, _)| !waiting.contains(permit))
        .map(|(_, to)| (to.clone(), String::new()))
        .collect();
    let told = 8 - listed.len() as i64;
    let until = terms::lift(&office).await;
    if logical {
        everything_was_read(&office).await;
    }
    finish(&office, &config, seed).await;
    let wrong = terms::judge(&office, &limited, told, until).await;
    assert!(wrong.is_empty(), "SOAK_SEED={seed}: {}", wrong.join("\n"));
    judge(&office, &marks, &approved, seed).await;
    let mut clean = 0;
    for mut daemon in ending {
        let status = daemon.wait().await.unwrap();
        assert!(status.success(), "SOAK_SEED={seed}: {status:?}\n{}", daemon.log());
        clean += 1;
    }
    println!(
        "{} messages, {} requests, {} accepted; {kills} kills, {stops} stops ({clean} clean), {restarts} restarts, {crashes} crashes of the server",
        marks.len() + approved.len(),
        office.gateway.requests().len(),
        office.gateway.count()
    );
}

/// Lets the healed office finish. A message whose answer was lost twice waits for a person, who sends it again.
async fn finish(office: &Office, config: &str, seed: u64) {
    let until = Instant::now() + HEALING;
    loop {
        let left = count(
            office,
            "with released as (update sicantik_notify.queue set state = 'pending', ready = true, waiting_for = null where state = 'held')
             select (select count(*) from sicantik_notify.queue) + (select count(*) from sicantik_notify.event)",
        )
        .await;
        if left == 0 {
            return;
        }
        if Instant::now() > until {
            let admin = office.admin().await.unwrap();
            for view in ["v_queue", "v_provider", "v_problem", "instance"] {
                let rows = admin
                    .query(
                        &format!("select to_jsonb(v.*)::text from sicantik_notify.{view} v limit 5"),
                        &[],
                    )
                    .await
                    .unwrap();
                for row in rows {
                    println!("{view}: {}", row.get::<_, String>(0));
                }
            }
            panic!("SOAK_SEED={seed}: {left} messages and events do not end\n{config}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What became of one message.
#[derive(Debug)]
struct Logged {
    state: String,
    flagged: bool,
    code: Option<String>,
    rows: usize,
}

/// Holds the gateway's record against ours.
async fn judge(office: &Office, marks: &BTreeSet<String>, approved: &BTreeMap<String, String>, seed: u64) {
    let rows = ask(office, async |client| {
        client
            .query(
                "select context ->> 'permit_number', phone, state, possible_duplicate, code from sicantik_notify.log",
                &[],
            )
            .await
    })
    .await;
    // By mark, or by number for what Odoo wrote.
    let mut logged: BTreeMap<String, Logged> = BTreeMap::new();
    for row in &rows {
        let (mark, phone): (String, String) = (row.get(0), row.get(1));
        let key = match marks.contains(&mark) {
            true => mark,
            false => phone.trim_start_matches('+').to_owned(),
        };
        let entry = logged.entry(key).or_insert(Logged {
            state: row.get(2),
            flagged: row.get(3),
            code: row.get(4),
            rows: 0,
        });
        entry.rows += 1;
    }
    let key_of = |text: &str, to: &str| -> String {
        let mark = text
            .find("503/S")
            .map(|at| text[at..].chars().take(10).collect::<String>());
        mark.filter(|mark| marks.contains(mark))
            .unwrap_or_else(|| to.to_owned())
    };
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for accepted in office.gateway.accepted() {
        *told.entry(key_of(&accepted.text, &accepted.to)).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for key in marks.iter().chain(approved.keys()) {
        let count = told.remove(key).unwrap_or(0);
        match logged.get(key) {
            None => wrong.push(format!("{key}: lost; told {count} times")),
            Some(logged) => {
                let fits = match (logged.state.as_str(), count) {
                    ("sent", 1) => true,
                    ("sent", 2..) | ("failed", 1..) => logged.flagged,
                    ("failed", 0) => logged.code.is_some(),
                    _ => false,
                };
                if !fits || logged.rows != 1 {
                    wrong.push(format!("{key}: told {count} times, but {logged:?}"));
                }
            }
        }
    }
    wrong.extend(
        told.iter()
            .map(|(key, count)| format!("{key}: told {count} times, and nobody asked for it")),
    );

    // Requests for one recipient, in order: the next one comes after the answer of the one before, unless that one's answer was lost.
    let mut by_recipient: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for request in office.gateway.requests().into_iter().filter(|r| r.is_send) {
        let body = request.body.to_string();
        let field = |name: &str| request.body.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        let to = field("to")
            .or_else(|| field("target"))
            .or_else(|| field("phone_no"));
        // What was cut before it was read names nobody.
        if let Some(to) = to {
            let key = key_of(&body, &to);
            by_recipient.entry(to).or_default().push((key, request));
        }
    }
    for (to, requests) in &by_recipient {
        for pair in requests.windows(2) {
            let ((key, before), (_, after)) = (&pair[0], &pair[1]);
            let over = before.answered_at.is_some_and(|at| at <= after.at);
            let flagged = logged.get(key).is_some_and(|logged| logged.flagged);
            if !over && !flagged {
                wrong.push(format!(
                    "{to}: {} was sent while {key} had no answer, and {key} is not flagged",
                    pair[1].0
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "SOAK_SEED={seed}: {} faults\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
