//! P5: the rate limit holds in every window of its period, over all instances, and no place in it stays unused while messages
//! wait. The clock is moved, never waited for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use chrono::{DateTime, Utc};
use desk::{Desk, desk};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sicantik_notifyd::db::statements as sql;
use sicantik_notifyd::testkit::office::RUNTIME;
use tokio_postgres::Client;

const RULE: &str = "notify_permit_approved";
const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// This desk, armed for the claims of the test itself, with a limit of so many a minute.
async fn limited(most: i32) -> (Desk, i64) {
    let desk = desk().await;
    desk.sql(&format!(
        "insert into sicantik_notify.arming (secret_hash, label) values ('{HASH}', 'test');
         update sicantik_notify.rule set rate_limit_enabled = true, rate_limit_count = {most}, rate_limit_period = 'minute'
         where code = '{RULE}'"
    ))
    .await;
    let provider = desk
        .number("select id from sicantik_notify.provider where name = 'Fonnte'")
        .await;
    (desk, provider)
}

/// Messages as evaluation enqueues them, through the daemon's own statement.
async fn enqueue(client: &Client, rule: &str, first: i64, count: i64, priority: i32) -> u64 {
    let numbers: Vec<i64> = (first..first + count).collect();
    let texts = |text: &str| vec![text.to_owned(); numbers.len()];
    let phones: Vec<String> = numbers.iter().map(|n| format!("+62813{n:08}")).collect();
    let xacts: Vec<String> = numbers.iter().map(|n| n.to_string()).collect();
    let contexts = vec![
        serde_json::json!({"partner_name": "B", "permit_number": "1", "permit_type": "S", "status": "A"});
        numbers.len()
    ];
    let rule_row = client
        .query_one(
            "select r.id, t.id, clock_timestamp() from sicantik_notify.rule r join sicantik_notify.trigger t on t.code = r.trigger \
             where r.code = $1",
            &[&rule],
        )
        .await
        .unwrap();
    let times = vec![rule_row.get::<_, chrono::DateTime<chrono::Utc>>(2); numbers.len()];
    client
        .execute(
            sql::ENQUEUE.sql,
            &[
                &rule_row.get::<_, i64>(0),
                &rule_row.get::<_, i64>(1),
                &priority,
                &0_i32,
                &"permit_ready",
                &vec![None::<i64>; numbers.len()],
                &numbers,
                &xacts,
                &texts("sicantik.permit"),
                &numbers,
                &numbers,
                &texts("Budi"),
                &phones,
                &contexts,
                &times,
                &vec![None::<&str>; numbers.len()],
                &"",
                &false,
                &None::<i64>,
            ],
        )
        .await
        .unwrap()
}

/// No bounds: a look at everything.
const NOWHERE: &[Option<DateTime<Utc>>] = &[];

async fn claim(client: &Client, instance: i64, limit: i64) -> Vec<(i64, i64)> {
    let rows = client
        .query(
            sql::CLAIM.sql,
            &[
                &HASH,
                &instance,
                &limit,
                &1e9_f64,
                &None::<Vec<i32>>,
                &NOWHERE,
                &0_f64,
            ],
        )
        .await
        .unwrap();
    rows.iter().map(|r| (r.get("id"), r.get("claim_token"))).collect()
}

async fn begin(client: &Client, instance: i64, claims: &[(i64, i64)], provider: i64) -> Vec<i64> {
    let (ids, tokens): (Vec<i64>, Vec<i64>) = claims.iter().copied().unzip();
    let (providers, kinds, keys) = (
        vec![provider; ids.len()],
        vec!["fonnte"; ids.len()],
        vec!["permit_ready"; ids.len()],
    );
    client
        .query(
            sql::ATTEMPT_BEGIN.sql,
            &[
                &instance,
                &ids,
                &tokens,
                &providers,
                &kinds,
                &keys,
                &vec![None::<&str>; ids.len()],
                &vec![0_f64; ids.len()],
            ],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get("message_id"))
        .collect()
}

async fn done(client: &Client, (id, token): (i64, i64)) {
    let none: Vec<Option<&str>> = vec![None];
    let moved = client
        .query(
            sql::SETTLE_DONE.sql,
            &[
                &vec![id],
                &vec![token],
                &vec!["sent"],
                &vec![None::<i64>],
                &none,
                &none,
                &none,
                &none,
                &none,
                &vec![1_i32],
                &vec![false],
            ],
        )
        .await
        .unwrap();
    assert_eq!(moved.len(), 1);
}

async fn later(client: &Client, (id, token): (i64, i64), delay: f64, refused: &str) {
    let moved = client
        .query(
            sql::SETTLE_LATER.sql,
            &[
                &vec![id],
                &vec![token],
                &vec![delay],
                &vec![1_i32],
                &vec![false],
                &vec![false],
                &vec!["x"],
                &vec![false],
                &vec![refused],
            ],
        )
        .await
        .unwrap();
    assert_eq!(moved.len(), 1);
}

/// What an instance of the simulation holds.
struct Instance {
    id: i64,
    client: Client,
    /// Claimed, no attempt yet.
    waiting: Vec<(i64, i64)>,
    /// On the wire; when the provider takes it, which may be any instant of the call.
    calls: Vec<((i64, i64), bool)>,
}

/// The world of the simulation: true time only grows; the server's clock is behind it by what it was set back.
struct World {
    desk: Desk,
    instances: Vec<Instance>,
    provider: i64,
    ahead: f64,
    set_back: f64,
    sends: Vec<f64>,
    fallbacks: u32,
    enqueued: i64,
    most: i64,
    rng: StdRng,
}

impl World {
    async fn new(seed: u64, desk: Desk, provider: i64, most: i64) -> World {
        let mut instances = Vec::new();
        for _ in 0..3 {
            let client = desk.office.connect_as(RUNTIME).await.unwrap();
            let id = World::register(&desk).await;
            instances.push(Instance {
                id,
                client,
                waiting: vec![],
                calls: vec![],
            });
        }
        World {
            desk,
            instances,
            provider,
            ahead: 0.0,
            set_back: 0.0,
            sends: vec![],
            fallbacks: 0,
            enqueued: 0,
            most,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    async fn register(desk: &Desk) -> i64 {
        desk.number(
            "insert into sicantik_notify.instance (name, pid, version, heartbeat_at) values ('sim', 1, '0', 'infinity') returning id",
        )
        .await
    }

    /// Sets the clock of this instance's session.
    async fn set_clock(&self, i: usize) {
        let offset = format!("{} seconds", self.ahead - self.set_back);
        self.instances[i]
            .client
            .execute(
                "select set_config('sicantik_notify.clock_offset', $1, false)",
                &[&offset],
            )
            .await
            .unwrap();
    }

    async fn true_time(&self, i: usize) -> f64 {
        let row = self.instances[i]
            .client
            .query_one(
                "select extract(epoch from sicantik_notify.clock())::double precision",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, f64>(0) + self.set_back
    }

    async fn step(&mut self) {
        self.ahead += self.rng.random_range(0.0..9.0);
        let i = self.rng.random_range(0..self.instances.len());
        self.set_clock(i).await;
        match self.rng.random_range(0..100) {
            0..20 => {
                let count = self.rng.random_range(1..12);
                let priority = self.rng.random_range(1..4);
                self.enqueued += enqueue(
                    &self.instances[i].client,
                    RULE,
                    1000 + self.enqueued,
                    count,
                    priority,
                )
                .await as i64;
            }
            20..42 => self.look(i).await,
            42..66 => self.call(i).await,
            66..90 => self.answer(i).await,
            90..93 => self.crash(i).await,
            93..96 => self.give_back(i).await,
            // The clock is set back, by anybody, by up to a period and a half.
            96..97 => self.set_back += self.rng.random_range(0.0..90.0),
            _ => self.ahead += self.rng.random_range(0.0..70.0),
        }
    }

    /// Housekeeping and a claim, as a daemon's round does them. Afterwards no place is unused while a message waits.
    async fn look(&mut self, i: usize) {
        let limit = self.rng.random_range(1..20);
        let all = {
            let it = &mut self.instances[i];
            let held: Vec<i64> = it
                .waiting
                .iter()
                .map(|c| c.1)
                .chain(it.calls.iter().map(|c| c.0.1))
                .collect();
            it.client
                .query(sql::RECOVER.sql, &[&1_f64, &100_i64, &it.id, &held])
                .await
                .unwrap();
            it.client.execute(sql::PROMOTE.sql, &[&1000_i64]).await.unwrap();
            it.client.execute(sql::RATE_ORPHANS.sql, &[]).await.unwrap();
            it.client.execute(sql::ADMIT.sql, &[&1000_i64]).await.unwrap();
            let claimed = claim(&it.client, it.id, limit).await;
            let all = (claimed.len() as i64) < limit;
            it.waiting.extend(claimed);
            all
        };
        let row = self.instances[i]
            .client
            .query_one(
                "select s.used::bigint, (select count(*) from sicantik_notify.rate_usage u where u.rule_id = s.rule_id),
                        (select count(*) from sicantik_notify.rate_usage u
                         where u.rule_id = s.rule_id and (u.ended_at is null or u.ended_at > greatest(sicantik_notify.clock(), s.reserved_at)
                                                                                             - interval '1 minute 200 milliseconds')),
                        (select count(*) from sicantik_notify.queue q where q.rule_id = s.rule_id and q.state = 'pending'
                            and (q.waiting_for = 'rate_limit' or q.ready))
                 from sicantik_notify.rate_state s join sicantik_notify.rule r on r.id = s.rule_id where r.code = $1",
                &[&RULE],
            )
            .await
            .unwrap();
        let [used, rows, live, waiting] = [0, 1, 2, 3].map(|c| row.get::<_, i64>(c));
        assert_eq!(used, rows, "the count is wrong");
        assert!(live <= self.most, "{live} places of {}", self.most);
        if all && waiting > 0 {
            assert_eq!(
                live, self.most,
                "{waiting} messages wait, and {live} places are used"
            );
        }
    }

    async fn call(&mut self, i: usize) {
        let many = self.rng.random_range(1..6);
        let it = &mut self.instances[i];
        let next: Vec<(i64, i64)> = it.waiting.drain(..many.min(it.waiting.len())).collect();
        let begun = begin(&it.client, it.id, &next, self.provider).await;
        for claim in next {
            if !begun.contains(&claim.0) {
                continue;
            }
            let at_once = self.rng.random_bool(0.5);
            self.instances[i].calls.push((claim, at_once));
            if at_once {
                let now = self.true_time(i).await;
                self.send(i, claim.0, now).await;
            }
        }
    }

    /// A call reaches the provider. A fallback that comes with another claim has the place of the first call, and none of its own.
    async fn send(&mut self, i: usize, id: i64, now: f64) {
        let row = self.instances[i]
            .client
            .query_one(
                "select exists (select from sicantik_notify.rate_usage where message_id = $1 and ended_at is null)",
                &[&id],
            )
            .await
            .unwrap();
        match row.get(0) {
            true => self.sends.push(now),
            false => self.fallbacks += 1,
        }
    }

    async fn answer(&mut self, i: usize) {
        if self.instances[i].calls.is_empty() {
            return;
        }
        let which = self.rng.random_range(0..self.instances[i].calls.len());
        let (claim, taken) = self.instances[i].calls.swap_remove(which);
        if !taken {
            let now = self.true_time(i).await;
            self.send(i, claim.0, now).await;
        }
        if self.rng.random_bool(0.7) {
            done(&self.instances[i].client, claim).await;
        } else {
            // The provider is down, or another one is to be asked: at once or when its turn comes.
            let refused = if self.rng.random_bool(0.4) { "{999}" } else { "{}" };
            let delay = self.rng.random_range(-5.0..30.0);
            later(&self.instances[i].client, claim, delay, refused).await;
        }
    }

    /// The process is killed; what was on the wire reaches the provider all the same.
    async fn crash(&mut self, i: usize) {
        let now = self.true_time(i).await;
        let calls = std::mem::take(&mut self.instances[i].calls);
        for ((id, _), _) in calls.iter().filter(|c| !c.1) {
            self.send(i, *id, now).await;
        }
        self.instances[i].waiting.clear();
        self.desk
            .sql(&format!(
                "delete from sicantik_notify.instance where id = {}",
                self.instances[i].id
            ))
            .await;
        self.instances[i].id = World::register(&self.desk).await;
    }

    async fn give_back(&mut self, i: usize) {
        let it = &mut self.instances[i];
        let (ids, tokens): (Vec<i64>, Vec<i64>) = it.waiting.drain(..).unzip();
        it.client
            .query(sql::HAND_BACK.sql, &[&ids, &tokens])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_in_no_window_a_rule_exceeds_its_limit_and_no_place_is_wasted() {
    let mut fallbacks = 0;
    for seed in 0..4_u64 {
        let most = [3, 7, 1, 5][seed as usize];
        let (desk, provider) = limited(most).await;
        let mut world = World::new(seed, desk, provider, i64::from(most)).await;
        for _ in 0..220 {
            world.step().await;
        }
        world.sends.sort_by(f64::total_cmp);
        for window in world.sends.windows(most as usize + 1) {
            let apart = window[most as usize] - window[0];
            assert!(
                apart >= 60.0,
                "seed {seed}: {} sends in {apart} seconds",
                most + 1
            );
        }
        println!(
            "seed {seed}: {} sends, {} fallbacks, {} enqueued",
            world.sends.len(),
            world.fallbacks,
            world.enqueued
        );
        assert!(
            world.sends.len() > most as usize,
            "seed {seed}: only {} sends",
            world.sends.len()
        );
        fallbacks += world.fallbacks;
    }
    assert!(fallbacks > 0, "no fallback came with another claim");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_at_the_same_instant_share_the_places() {
    let (desk, _) = limited(40).await;
    // Past the gate of enqueue: as if the limit had been switched on a moment ago.
    for i in 0..300 {
        desk.message(&format!("+628130009{i:04}")).await;
    }
    let clients = futures_util::future::join_all((0..8).map(|_| desk.office.connect_as(RUNTIME))).await;
    let claims = clients.into_iter().enumerate().map(|(i, client)| async move {
        let client = client.unwrap();
        let mut taken = 0;
        for _ in 0..6 {
            // A recipient that another claim took since the snapshot: the daemon tries again, too.
            if let Ok(rows) = client
                .query(
                    sql::CLAIM.sql,
                    &[
                        &HASH,
                        &(i as i64),
                        &9_i64,
                        &60_f64,
                        &None::<Vec<i32>>,
                        &NOWHERE,
                        &0_f64,
                    ],
                )
                .await
            {
                taken += rows.len();
            }
        }
        taken
    });
    let taken: usize = futures_util::future::join_all(claims).await.into_iter().sum();
    assert_eq!(taken, 40);
    assert_eq!(
        desk.number("select used::bigint from sicantik_notify.rate_state s join sicantik_notify.rule r on r.id = s.rule_id where r.code = 'notify_permit_approved'").await,
        40
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where waiting_for = 'rate_limit'")
            .await,
        260
    );
    // Nothing of it is written again while there is no room.
    let before = desk
        .text("select md5(string_agg(xmin::text, ',' order by id)) from sicantik_notify.queue")
        .await;
    let runtime = desk.office.connect_as(RUNTIME).await.unwrap();
    for _ in 0..3 {
        runtime.execute(sql::ADMIT.sql, &[&1000_i64]).await.unwrap();
        runtime.execute(sql::PROMOTE.sql, &[&1000_i64]).await.unwrap();
        assert_eq!(claim(&runtime, 9, 100).await, []);
    }
    let after = desk
        .text("select md5(string_agg(xmin::text, ',' order by id)) from sicantik_notify.queue")
        .await;
    assert_eq!(before, after);
    // An operator allows more: at the next look.
    desk.sql("update sicantik_notify.rule set rate_limit_count = 45")
        .await;
    assert_eq!(runtime.execute(sql::ADMIT.sql, &[&1000_i64]).await.unwrap(), 5);
    // Or switches the limit off.
    desk.sql("update sicantik_notify.rule set rate_limit_enabled = false")
        .await;
    assert_eq!(runtime.execute(sql::ADMIT.sql, &[&1000_i64]).await.unwrap(), 255);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_two_daemons_a_crash_and_an_hour_later() {
    let (desk, _) = limited(10).await;
    desk.only("Fonnte").await;
    // Not armed by the test: the first daemon arms itself.
    desk.sql(
        "update sicantik_notify.rule set rate_limit_period = 'hour'; delete from sicantik_notify.arming",
    )
    .await;
    assert_eq!(enqueue(&desk.admin, RULE, 1, 35, 5).await, 35);
    let mut daemons = vec![desk.quick().await, desk.quick().await];
    desk.accepted(10).await;
    desk.until("select count(*) = 10 from sicantik_notify.log").await;
    desk.until("select count(*) = 25 from sicantik_notify.v_queue where waiting_for like 'rate limit (10 per hour) until %'").await;
    for daemon in &mut daemons {
        daemon.signal("KILL").await.unwrap();
    }
    drop(daemons);
    // Half an hour later: nothing. A message of another rule shows that they look.
    desk.sql("alter database sicantik set sicantik_notify.clock_offset = '59 minutes'")
        .await;
    let mut daemon = desk.quick().await;
    desk.sql("update sicantik_notify.rule set active = true where code = 'notify_document_signed'")
        .await;
    let other = "insert into sicantik_notify.queue (rule_id, phone, template_key, context)
                 select id, '+6281300000999', 'permit_ready', '{\"partner_name\": \"B\", \"permit_number\": \"1\", \"permit_type\": \"S\", \"status\": \"A\"}'
                 from sicantik_notify.rule where code = 'notify_document_signed'";
    desk.sql(other).await;
    desk.accepted(11).await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where waiting_for = 'rate_limit'")
            .await,
        25
    );
    daemon.signal("TERM").await.unwrap();
    daemon.wait().await.unwrap();
    // And in the next hour the next ten, no more.
    desk.sql("alter database sicantik set sicantik_notify.clock_offset = '61 minutes'")
        .await;
    let _daemons = [desk.quick().await, desk.quick().await];
    desk.accepted(21).await;
    desk.until("select count(*) = 21 from sicantik_notify.log").await;
    desk.sql(other).await;
    desk.accepted(22).await;
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.queue where waiting_for = 'rate_limit'")
            .await,
        15
    );
    assert_eq!(desk.office.gateway.count(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_counts_a_fallback_does_not_and_what_was_not_sent_costs_nothing() {
    let (desk, provider) = limited(2).await;
    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    enqueue(&client, RULE, 1, 3, 5).await;
    let claims = claim(&client, 1, 10).await;
    assert_eq!(claims.len(), 2);
    // Two attempts of one claim are one place.
    assert_eq!(begin(&client, 1, &claims[..1], provider).await.len(), 1);
    assert_eq!(begin(&client, 1, &claims[..1], provider).await.len(), 1);
    later(&client, claims[0], 0.0, "{}").await;
    // Not begun: its place is free at once.
    client
        .query(sql::HAND_BACK.sql, &[&vec![claims[1].0], &vec![claims[1].1]])
        .await
        .unwrap();
    let again = claim(&client, 1, 10).await;
    assert_eq!(
        again.len(),
        1,
        "one place is left, for a retry or another message"
    );
    let no_room = "select count(*) from sicantik_notify.queue where waiting_for = 'rate_limit'";
    assert_eq!(desk.number(no_room).await, 2);
}
