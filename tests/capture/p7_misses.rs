//! P7, where capture cannot work: the host's write commits, at once, and the miss is counted and reported.

use sicantik_notifyd::testkit::host::{OdooSession, ids};
use tokio_postgres::error::SqlState;

use crate::on_both_profiles;
use crate::stand::{Stand, at_once};

/// One way to break capture.
struct Breakage {
    name: &'static str,
    /// As superuser.
    breaks: &'static str,
    /// As superuser; afterwards capture works again.
    mends: &'static str,
    /// Whether the sequence can count.
    counted: bool,
    /// What `hooks verify` says meanwhile ("" where the miss counter is all there is to say).
    finding: &'static str,
}

const AWAKE: &str = "no right on the awake sequence";

/// Newer servers answer null where older ones refuse to say what a sequence holds: then the hook goes on, and nothing is missed.
async fn sequences_are_silent(stand: &Stand) -> bool {
    let asked = "begin; revoke select on sequence sicantik_notify.awake from sicantik_notify_capture;
                 set local role sicantik_notify_capture; select pg_sequence_last_value('sicantik_notify.awake')";
    let silent = stand.admin.batch_execute(asked).await.is_ok();
    stand.run("rollback").await;
    silent
}

const BREAKAGES: &[Breakage] = &[
    Breakage {
        name: "no right to insert into event",
        breaks: "revoke insert on sicantik_notify.event from sicantik_notify_capture",
        mends: "grant insert on sicantik_notify.event to sicantik_notify_capture",
        counted: true,
        finding: "lacks: insert on table event",
    },
    Breakage {
        name: "no right on the sequence of ids",
        breaks: "revoke usage on sequence sicantik_notify.event_id_seq from sicantik_notify_capture",
        mends: "grant usage on sequence sicantik_notify.event_id_seq to sicantik_notify_capture",
        counted: true,
        finding: "usage on sequence event_id_seq",
    },
    Breakage {
        name: "no right to look into the schema",
        breaks: "revoke usage on schema sicantik_notify from sicantik_notify_capture",
        mends: "grant usage on schema sicantik_notify to sicantik_notify_capture",
        counted: true,
        finding: "usage on schema sicantik_notify",
    },
    Breakage {
        name: AWAKE,
        breaks: "revoke select on sequence sicantik_notify.awake from sicantik_notify_capture",
        mends: "grant select on sequence sicantik_notify.awake to sicantik_notify_capture",
        counted: true,
        finding: "select on sequence awake",
    },
    Breakage {
        name: "no right on anything, the miss counter included",
        breaks: "revoke all on sequence sicantik_notify.miss from sicantik_notify_capture; \
                 revoke all on sicantik_notify.event from sicantik_notify_capture",
        mends: "grant usage on sequence sicantik_notify.miss to sicantik_notify_capture; \
                grant insert on sicantik_notify.event to sicantik_notify_capture",
        counted: false,
        finding: "usage on sequence miss",
    },
    Breakage {
        name: "the disk is full",
        breaks: "create function sicantik_notify.full() returns trigger language plpgsql as $$ begin \
                 raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$; \
                 create trigger full_disk before insert on sicantik_notify.event for each row execute function sicantik_notify.full()",
        mends: "drop function sicantik_notify.full() cascade",
        counted: true,
        finding: "somebody put triggers on table event: full_disk",
    },
    Breakage {
        name: "a constraint on event",
        breaks: "alter table sicantik_notify.event add constraint nothing check (record_id < 0) not valid",
        mends: "alter table sicantik_notify.event drop constraint nothing",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "row security on event",
        breaks: "alter table sicantik_notify.event enable row level security",
        mends: "alter table sicantik_notify.event disable row level security",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "a column of event is gone",
        breaks: "alter table sicantik_notify.event rename column new to newer",
        mends: "alter table sicantik_notify.event rename column newer to new",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "event is gone",
        breaks: "alter table sicantik_notify.event rename to event_elsewhere",
        mends: "alter table sicantik_notify.event_elsewhere rename to event",
        counted: true,
        finding: "lacks: insert on table event",
    },
    Breakage {
        name: "the ids have run out",
        breaks: "alter sequence sicantik_notify.event_id_seq maxvalue 1000; select setval('sicantik_notify.event_id_seq', 1000)",
        mends: "alter sequence sicantik_notify.event_id_seq no maxvalue",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "too much waits",
        breaks: "update sicantik_notify.setting set value = '0' where key = 'capture_max_backlog_bytes'; \
                 select sicantik_notify.publish_capture(); \
                 insert into sicantik_notify.event (model, record_id, op) values ('sicantik.permit', 0, 'F')",
        mends: "update sicantik_notify.setting set value = '1073741824' where key = 'capture_max_backlog_bytes'; \
                select sicantik_notify.publish_capture()",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "nobody has been home for a week",
        breaks: "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp() - interval '8 days') * 1000)::bigint)",
        mends: "select setval('sicantik_notify.awake', (extract(epoch from clock_timestamp()) * 1000)::bigint)",
        counted: true,
        finding: "",
    },
    Breakage {
        name: "the schema has another name",
        breaks: "alter schema sicantik_notify rename to elsewhere",
        mends: "alter schema elsewhere rename to sicantik_notify",
        counted: true, // by oid
        finding: "",
    },
];

async fn status(stand: &Stand, id: i32) -> String {
    stand
        .one(&format!("select status from sicantik_permit where id = {id}"))
        .await
}

async fn write(odoo: &mut OdooSession, id: i32, value: &str) {
    at_once(
        value,
        odoo.request(async |odoo| {
            odoo.write("sicantik_permit", &[id], &[("status", value.into())]);
            Ok(())
        }),
    )
    .await
    .unwrap_or_else(|error| panic!("the host's write fails: {error}"));
    assert_eq!(odoo.retries(), 0, "the host had to repeat its write");
}

on_both_profiles!(the_hosts_write_commits_and_the_miss_is_reported, stand, {
    let mut old_session = stand.odoo().await;
    write(&mut old_session, 1, "warm").await;
    assert_eq!(stand.events().await, 1, "capture works");
    let silent = sequences_are_silent(&stand).await;
    for b in BREAKAGES {
        println!("{}", b.name);
        let counts = b.counted && !(silent && b.name == AWAKE);
        let (events, misses) = (stand.events().await, stand.misses().await);
        stand
            .run("select sicantik_notify.capture_misses(); delete from sicantik_notify.problem")
            .await;
        stand.run(b.breaks).await;
        write(&mut old_session, 1, &format!("{} (old session)", b.name)).await;
        let mut new_session = stand.odoo().await;
        write(&mut new_session, 1, &format!("{} (new session)", b.name)).await;
        assert_eq!(status(&stand, 1).await, format!("{} (new session)", b.name));
        if b.name == "the schema has another name" {
            stand.run(b.mends).await; // to be able to look
        }
        let counted = stand.misses().await - misses;
        assert_eq!(counted, if counts { 2 } else { 0 }, "{}", b.name);
        let findings = stand.findings().await;
        assert!(findings.contains(b.finding), "{}: {findings}", b.name);
        if silent && b.name == AWAKE {
            assert!(
                stand.events().await >= events + 2,
                "{}: captured all the same",
                b.name
            );
        }
        if counts {
            assert!(
                findings.contains("2 host writes were not captured"),
                "{}: {findings}",
                b.name
            );
            let runtime = stand.office.connect_as("sicantik_notifyd").await.unwrap();
            let row = runtime
                .query_one(
                    "select missed, unknown from sicantik_notify.capture_misses()",
                    &[],
                )
                .await
                .unwrap();
            assert_eq!(
                (row.get::<_, i64>(0), row.get::<_, bool>(1)),
                (2, false),
                "{}",
                b.name
            );
            let problem: String = stand
                .one("select summary from sicantik_notify.v_problem where about = 'capture misses'")
                .await;
            assert!(
                problem.starts_with("2 host writes between"),
                "{}: {problem}",
                b.name
            );
        }
        if b.name != "the schema has another name" {
            stand.run(b.mends).await;
        }
        write(&mut old_session, 1, &format!("{} (mended)", b.name)).await;
        write(&mut new_session, 1, &format!("{} (mended, new session)", b.name)).await;
        let stored: i64 = stand
            .one("select count(*) from sicantik_notify.event where op = 'U'")
            .await;
        let before = events
            - stand
                .one::<i64>("select count(*) from sicantik_notify.event where op = 'F'")
                .await;
        assert!(stored >= before + 2, "{}: capture works again", b.name);
        assert_eq!(
            stand.misses().await - misses,
            counted,
            "{}: no more misses",
            b.name
        );
    }
});

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_dropped() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    write(&mut odoo, 1, "before").await;
    stand.run("drop schema sicantik_notify cascade").await;
    write(&mut odoo, 1, "after").await;
    assert_eq!(status(&stand, 1).await, "after");
    let mut odoo = stand.odoo().await;
    write(&mut odoo, 1, "later").await;
    let left: i64 = stand
        .one("select count(*) from pg_trigger where tgname like 'sicantik_notify%'")
        .await;
    assert_eq!(left, 0, "the schema took its triggers along");
}

/// The proof that nobody waits: the write has ended while the lock is still held.
#[tokio::test(flavor = "multi_thread")]
async fn locks_on_event_are_misses_and_no_delay() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    write(&mut odoo, 1, "warm").await;
    let holder = stand.office.admin().await.unwrap();
    for form in ["statement", "row"] {
        stand.shape(form).await;
        for mode in ["access exclusive", "exclusive", "share row exclusive", "share"] {
            let (events, misses) = (stand.events().await, stand.misses().await);
            holder
                .batch_execute(&format!("begin; lock table sicantik_notify.event in {mode} mode"))
                .await
                .unwrap();
            write(&mut odoo, 1, &format!("{form} {mode}")).await;
            let held: bool = holder
                .query_one(
                    "select exists (select from pg_locks where pid = pg_backend_pid() and granted \
                     and relation = 'sicantik_notify.event'::regclass and mode like '%Share%' or mode like '%Exclusive%')",
                    &[],
                )
                .await
                .unwrap()
                .get(0);
            assert!(held, "the lock is still held");
            assert_eq!(stand.misses().await, misses + 1, "{form} {mode}");
            holder.batch_execute("rollback").await.unwrap();
            assert_eq!(stand.events().await, events, "{form} {mode}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unrelated_write_does_not_touch_event_or_its_lock() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    let holder = stand.office.admin().await.unwrap();
    holder
        .batch_execute("begin; lock table sicantik_notify.event in access exclusive mode")
        .await
        .unwrap();
    for form in ["statement", "row"] {
        if form == "row" {
            holder.batch_execute("rollback").await.unwrap();
            stand.shape(form).await;
            holder
                .batch_execute("begin; lock table sicantik_notify.event in access exclusive mode")
                .await
                .unwrap();
        }
        odoo.begin().await.unwrap();
        odoo.write(
            "sicantik_permit",
            &[1, 2, 3],
            &[("days_until_expiry", 5.into()), ("status", "active".into())],
        );
        at_once("unrelated", odoo.flush()).await.unwrap();
        let locks: i64 = odoo
            .client()
            .query_one(
                "select count(*) from pg_locks l join pg_class c on c.oid = l.relation \
                 join pg_namespace n on n.oid = c.relnamespace where l.pid = pg_backend_pid() and n.nspname = 'sicantik_notify'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        odoo.rollback().await.unwrap();
        assert_eq!(
            locks, 0,
            "{form}: nothing of ours is locked by a write that does not concern us"
        );
        assert_eq!(stand.misses().await, 0, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_one_miss_a_transaction_gives_up_but_goes_on_counting() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    let holder = stand.office.admin().await.unwrap();
    holder
        .batch_execute("begin; lock table sicantik_notify.event in access exclusive mode")
        .await
        .unwrap();
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "one".into())]);
    at_once("one", odoo.flush()).await.unwrap();
    holder.batch_execute("rollback").await.unwrap();
    // The way is free, but an event of half a transaction would tell half the truth.
    for value in ["two", "three"] {
        odoo.write("sicantik_permit", &[1], &[("status", value.into())]);
        odoo.flush().await.unwrap();
    }
    odoo.commit().await.unwrap();
    assert_eq!((stand.events().await, stand.misses().await), (0, 3));
    write(&mut odoo, 1, "four").await;
    assert_eq!(
        (stand.events().await, stand.misses().await),
        (1, 3),
        "the next transaction is captured"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_in_a_savepoint_that_rolls_back_stays_counted() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    let holder = stand.office.admin().await.unwrap();
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "kept".into())]);
    let savepoint = odoo.savepoint().await.unwrap();
    stand
        .run("revoke insert on sicantik_notify.event from sicantik_notify_capture")
        .await;
    odoo.write("sicantik_permit", &[2], &[("status", "undone".into())]);
    odoo.flush().await.unwrap();
    odoo.rollback_to(&savepoint).await.unwrap();
    stand
        .run("grant insert on sicantik_notify.event to sicantik_notify_capture")
        .await;
    odoo.write("sicantik_permit", &[3], &[("status", "later".into())]);
    odoo.commit().await.unwrap();
    drop(holder);
    assert_eq!(stand.misses().await, 1);
    let records: Vec<i64> = stand
        .one("select array_agg(record_id order by id) from sicantik_notify.event")
        .await;
    assert_eq!(
        records,
        [1, 3],
        "the flag went with the savepoint; so did nothing else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_settings_are_its_own() {
    let stand = Stand::open().await;
    let odoo = stand.odoo().await;
    let client = odoo.client();
    client
        .batch_execute(
            "set statement_timeout = '7s'; set lock_timeout = '6s'; set search_path = public; set timezone = 'Asia/Jakarta'; \
             set datestyle = 'German'; set enable_nestloop = on; set idle_in_transaction_session_timeout = '9min'",
        )
        .await
        .unwrap();
    let settings = "select array_agg(name || '=' || setting order by name) from pg_settings where name in ('statement_timeout', \
                    'lock_timeout', 'search_path', 'TimeZone', 'DateStyle', 'enable_nestloop', 'idle_in_transaction_session_timeout')";
    let before: Vec<String> = client.query_one(settings, &[]).await.unwrap().get(0);
    for (value, breaks) in [
        ("caught", ""),
        (
            "missed",
            "revoke insert on sicantik_notify.event from sicantik_notify_capture",
        ),
    ] {
        stand.run(breaks).await;
        client.batch_execute("begin").await.unwrap();
        client
            .execute("update sicantik_permit set status = $1 where id = 1", &[&value])
            .await
            .unwrap();
        let inside: Vec<String> = client.query_one(settings, &[]).await.unwrap().get(0);
        client.batch_execute("commit").await.unwrap();
        let after: Vec<String> = client.query_one(settings, &[]).await.unwrap().get(0);
        assert_eq!(inside, before, "{value}");
        assert_eq!(after, before, "{value}");
    }
    assert_eq!((stand.events().await, stand.misses().await), (1, 1));
}

/// The host's own statement_timeout ends a hook that takes too long, as it would end the host's statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_passes() {
    let stand = Stand::open().await;
    stand
        .run(
            "create function sicantik_notify.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(300); return new; end $$; \
             create trigger slow before insert on sicantik_notify.event for each row execute function sicantik_notify.slow()",
        )
        .await;
    let odoo = stand.odoo().await;
    odoo.client()
        .batch_execute("set statement_timeout = '300ms'")
        .await
        .unwrap();
    let error = at_once(
        "cancelled",
        odoo.client()
            .batch_execute("update sicantik_permit set status = 'slow' where id = 1"),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!(
        stand.misses().await,
        0,
        "the host's statement failed by the host's will: nothing was missed"
    );
}

/// The file of `event` never shrinks. What counts is what waits in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_but_empty_event_table_is_not_a_backlog() {
    let stand = Stand::open().await;
    stand
        .run(
            "update sicantik_notify.setting set value = '300000' where key = 'capture_max_backlog_bytes'; \
             select sicantik_notify.publish_capture(); \
             insert into sicantik_notify.event (model, record_id, op, new) \
             select 'no.such', i, 'U', jsonb_build_object('x', repeat('x', 500)) from generate_series(1, 2000) i",
        )
        .await;
    let mut odoo = stand.odoo().await;
    write(&mut odoo, ids::PERMIT_ACTIVE, "full").await;
    assert_eq!(
        stand.misses().await,
        1,
        "with that much waiting, misses are counted"
    );
    let _daemon = stand.office.daemon("").await.unwrap();
    stand
        .until("select not exists (select from sicantik_notify.event) and (select last_value from sicantik_notify.event_floor) > 0")
        .await;
    let size: i64 = stand
        .one("select pg_relation_size('sicantik_notify.event')")
        .await;
    assert!(size > 600_000, "the file is as large as before: {size}");
    write(&mut odoo, ids::PERMIT_ACTIVE, "empty").await;
    assert_eq!(stand.misses().await, 1);
    stand
        .until("select exists (select from sicantik_notify.decision where record_id = 1)")
        .await;
}

/// A crash may let the sequence jump: then the number is a bound, and the alarm says so.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_number_of_misses_is_a_bound() {
    let stand = Stand::open().await;
    stand
        .run("revoke insert on sicantik_notify.event from sicantik_notify_capture; checkpoint")
        .await;
    let mut odoo = stand.odoo().await;
    write(&mut odoo, 1, "one").await;
    let row = stand
        .admin
        .query_one(
            "select missed, unknown from sicantik_notify.capture_misses()",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, false));
    stand.run("delete from sicantik_notify.problem").await;
    stand.office.cluster.kill().await.unwrap();
    stand.office.cluster.restart().await.unwrap();
    let admin = stand.office.admin().await.unwrap();
    let row = admin
        .query_one(
            "select missed, unknown from sicantik_notify.capture_misses()",
            &[],
        )
        .await
        .unwrap();
    let (missed, unknown): (i64, bool) = (row.get(0), row.get(1));
    assert!(
        missed > 0 && unknown,
        "the sequence jumped by {missed}, which must not read as that many misses"
    );
    let row = admin
        .query_one(
            "select summary from sicantik_notify.problem where key = 'capture misses'",
            &[],
        )
        .await
        .unwrap();
    let summary: String = row.get(0);
    assert!(summary.contains("at most"), "{summary}");
    // Once: the next look starts from there.
    let row = admin
        .query_one(
            "select missed, unknown from sicantik_notify.capture_misses()",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (0, false));
}

/// Misses add up in one alarm until somebody clears it; a daemon raises it by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_raises_the_alarm_and_misses_add_up() {
    let stand = Stand::open().await;
    let mut odoo = stand.odoo().await;
    let daemon = stand
        .office
        .daemon("[capture]\nverify_interval_seconds = 1\n")
        .await
        .unwrap();
    stand
        .until("select exists (select from sicantik_notify.capture_state where checked_at is not null)")
        .await;
    stand
        .run("revoke insert on sicantik_notify.event from sicantik_notify_capture")
        .await;
    write(&mut odoo, 1, "one").await;
    stand
        .until("select exists (select from sicantik_notify.v_problem where about = 'capture misses' and summary like '1 host write %')")
        .await;
    write(&mut odoo, 1, "two").await;
    write(&mut odoo, 1, "three").await;
    stand
        .until("select exists (select from sicantik_notify.v_problem where about = 'capture misses' and summary like '3 host writes %')")
        .await;
    assert!(daemon.log().contains("were not captured"), "{}", daemon.log());
    stand.run("grant insert on sicantik_notify.event to sicantik_notify_capture; delete from sicantik_notify.problem").await;
    write(&mut odoo, 1, "four").await;
    stand
        .until("select exists (select from sicantik_notify.decision where record_id = 1)")
        .await;
    let standing: bool = stand
        .one("select exists (select from sicantik_notify.problem where key = 'capture misses')")
        .await;
    assert!(!standing, "cleared is cleared");
}
