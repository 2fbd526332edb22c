//! What capture costs the host: the same transactions on a table without anything of ours, with our hook, and with a slot that the
//! daemon reads; processor time of the server, log of the server, throughput of 16 writers.

use sicantik_notifyd::testkit::host::{self, Options, Profile, Volume, generate};
use sicantik_notifyd::testkit::office::{Daemon, Office, Plan};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

use super::ground::{self, Length, Load, OFFICE, Ran, number, pgbench, wal};
use super::table::{Table, Target, median, paired};

const BARE: &str = "bare";
const LEAST: &str = "least";
const PERMITS: i64 = 40_000;

/// Script, name, targets for the hook: processor time, log.
const KINDS: [(&str, &str, Target, Target); 4] = [
    (
        "host_unrelated_1.sql",
        "1 row, unrelated",
        Target::AtMost(1.2),
        Target::None,
    ),
    (
        "host_watched_1.sql",
        "1 row, watched",
        Target::AtMost(1.3),
        Target::AtMost(1.5),
    ),
    (
        "host_unrelated_500.sql",
        "500 rows, unrelated",
        Target::AtMost(1.1),
        Target::None,
    ),
    (
        "host_watched_500.sql",
        "500 rows, watched",
        Target::AtMost(1.5),
        Target::AtMost(1.5),
    ),
];

/// A database whose host is written to.
struct Place<'a> {
    cluster: &'a Cluster,
    database: &'static str,
    admin: Client,
    first: i64,
}

impl<'a> Place<'a> {
    async fn at(cluster: &'a Cluster, database: &'static str) -> Self {
        let admin = cluster.connect(database).await.unwrap();
        let volume = Volume {
            partners: 2_000,
            permits: PERMITS as u32,
            documents: 0,
            today: None,
        };
        generate(&admin, &volume, 1).await.unwrap();
        let last = number(&admin, "select max(id)::bigint from sicantik_permit").await;
        admin
            .batch_execute("vacuum analyze sicantik_permit")
            .await
            .unwrap();
        Self {
            cluster,
            database,
            admin,
            first: last - PERMITS,
        }
    }

    /// An empty `event`, a host without dead rows, no checkpoint under way.
    async fn tidy(&self) {
        let events = "do $$ begin
            if to_regclass('sicantik_notify.event') is not null then truncate sicantik_notify.event; end if;
            if to_regclass('least.event') is not null then truncate least.event; end if; end $$";
        for sql in [events, "vacuum sicantik_permit", "checkpoint"] {
            self.admin.batch_execute(sql).await.unwrap();
        }
    }

    async fn write(&self, script: &str, clients: usize, length: Length) -> Ran {
        let load = Load {
            script,
            database: self.database,
            role: host::OWNER,
            clients,
            length,
            variables: &[("first", self.first), ("share", PERMITS / clients as i64)],
        };
        pgbench(self.cluster, &load).await
    }

    /// Bytes of log for each transaction of one client, without full pages.
    async fn logged(&self, script: &str, transactions: u64) -> f64 {
        self.whole_pages(false).await;
        let before = wal(&self.admin).await;
        self.write(script, 1, Length::Transactions(transactions)).await;
        let bytes = wal(&self.admin).await - before;
        self.whole_pages(true).await;
        bytes as f64 / transactions as f64
    }

    /// Whether the first change of a page after a checkpoint logs the page.
    async fn whole_pages(&self, on: bool) {
        let word = if on { "on" } else { "off" };
        self.admin
            .batch_execute(&format!("alter system set full_page_writes = {word}"))
            .await
            .unwrap();
        self.admin
            .batch_execute("select pg_reload_conf(); checkpoint")
            .await
            .unwrap();
        ground::until(
            &self.admin,
            &format!("select current_setting('full_page_writes') = '{word}'"),
        )
        .await;
    }
}

pub async fn run(table: &mut Table, full: bool) {
    let (rounds, seconds) = if full { (7, 15) } else { (3, 3) };
    let plan = Plan {
        hooks: false,
        ..Plan::default()
    };
    let office = ground::office(&plan, false).await;
    office.cluster.create_database(BARE, None).await.unwrap();
    let other = office.cluster.connect(BARE).await.unwrap();
    host::install(&other, Profile::Odoo18_0, &Options::default())
        .await
        .unwrap();
    drop(other);
    office.cluster.create_database(LEAST, Some(BARE)).await.unwrap();
    let bare = Place::at(&office.cluster, BARE).await;
    let least = Place::at(&office.cluster, LEAST).await;
    let hook = std::fs::read_to_string(ground::script("least_hook.sql")).unwrap();
    least.admin.batch_execute(&hook).await.unwrap();
    let hooked = Place::at(&office.cluster, OFFICE).await;
    told(&office, &hooked.admin).await;
    office.run(&["hooks", "install"]).await.unwrap();
    awake(&hooked.admin, true).await;
    // On a server of its own: what reads a slot reads everything that the server writes.
    let with_slot = ground::office(&plan, false).await;
    let slotted = Place::at(&with_slot.cluster, OFFICE).await;
    told(&with_slot, &slotted.admin).await;
    let _reader = slot(&with_slot).await;

    for (script, name, cpu, log) in KINDS {
        let (mut none, mut hook, mut read, mut little) = (vec![], vec![], vec![], vec![]);
        for round in 0..rounds {
            for turn in 0..4 {
                let (place, into) = match (turn + round) % 4 {
                    0 => (&bare, &mut none),
                    1 => (&hooked, &mut hook),
                    2 => (&least, &mut little),
                    _ => (&slotted, &mut read),
                };
                place.tidy().await;
                into.push(place.write(script, 4, Length::Seconds(seconds)).await);
            }
        }
        let each = |of: &[Ran]| of.iter().map(Ran::cpu_each).collect::<Vec<_>>();
        let rate = |of: &[Ran]| of.iter().map(|r| r.per_second).collect::<Vec<_>>();
        let kinds = [
            ("hook", &hook, cpu),
            ("least trigger", &little, Target::None),
            ("slot", &read, Target::None),
        ];
        for (what, of, target) in kinds {
            table.ratio(
                &format!("a. {name}: {what}, server CPU"),
                format!("{:.0} µs", median(&each(of))),
                format!("no capture: {:.0} µs", median(&each(&none))),
                paired(&each(of), &each(&none)),
                target,
            );
            table.ratio(
                &format!("a. {name}: {what}, throughput"),
                format!("{:.0} tps", median(&rate(of))),
                format!("no capture: {:.0} tps", median(&rate(&none))),
                paired(&rate(of), &rate(&none)),
                Target::None,
            );
        }
        let count = if script.ends_with("500.sql") { 10 } else { 300 };
        let (floor, hook, read) = (
            bare.logged(script, count).await,
            hooked.logged(script, count).await,
            slotted.logged(script, count).await,
        );
        for (what, bytes, target) in [("hook", hook, log), ("slot", read, Target::None)] {
            let name = format!("a. {name}: {what}, WAL");
            let (measured, against) = (format!("{bytes:.0} B"), format!("no capture: {floor:.0} B"));
            table.ratio(&name, measured, against, bytes / floor, target);
        }
    }
    sixteen(table, &hooked, rounds, seconds).await;
}

/// Many writers at once: NOTIFY makes them queue at their commits; the hook leaves it out while somebody looks.
async fn sixteen(table: &mut Table, hooked: &Place<'_>, rounds: usize, seconds: u64) {
    let (mut elided, mut never, mut always) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        for turn in 0..3 {
            hooked.tidy().await;
            let turn = (turn + round) % 3;
            // Awake for hours, never to be told; renewed for seconds as by a daemon at work; asleep.
            let renewing = match turn {
                0 => Some(tokio::spawn(renew(hooked.cluster.connect(OFFICE).await.unwrap()))),
                _ => {
                    awake(&hooked.admin, turn == 1).await;
                    None
                }
            };
            let ran = hooked
                .write("host_watched_1.sql", 16, Length::Seconds(seconds))
                .await
                .per_second;
            match turn {
                0 => elided.push(ran),
                1 => never.push(ran),
                _ => always.push(ran),
            }
            if let Some(task) = renewing {
                task.abort();
            }
        }
    }
    let against = || format!("same hook, no NOTIFY: {:.0} tps", median(&never));
    for (what, of, target) in [
        ("daemon at work", &elided, Target::AtLeast(0.9)),
        ("NOTIFY in each", &always, Target::None),
    ] {
        let measured = format!("{:.0} tps", median(of));
        table.ratio(
            &format!("a. 16 writers, watched: {what}"),
            measured,
            against(),
            paired(of, &never),
            target,
        );
    }
}

/// What the evaluating loop of a daemon at work does for the hooks.
async fn renew(client: Client) {
    loop {
        let sql = "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint + 3000)";
        client.query(sql, &[]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    }
}

async fn awake(admin: &Client, awake: bool) {
    let until = if awake {
        "(extract(epoch from clock_timestamp()) * 1000)::bigint + 36000000"
    } else {
        "0"
    };
    admin
        .batch_execute(&format!("select setval('sicantik_notify.awake', {until})"))
        .await
        .unwrap();
}

/// The default trigger and rule on a permit's state are in force, so that the hook carries what they read.
async fn told(office: &Office, admin: &Client) {
    admin
        .batch_execute("update sicantik_notify.rule set active = code = 'notify_permit_approved'")
        .await
        .unwrap();
    office.run(&["check"]).await.unwrap();
}

/// A slot, and the daemon that reads it. It stores events and evaluates none.
async fn slot(office: &Office) -> Daemon {
    let daemon = office
        .daemon("[capture]\nbackend = \"logical\"\n[evaluate]\nenabled = false\n[deliver]\nenabled = false\n")
        .await
        .unwrap();
    office.run(&["capture", "switch", "logical"]).await.unwrap();
    let admin = office.admin().await.unwrap();
    ground::until(&admin, "select exists (select from pg_stat_replication)").await;
    daemon
}
