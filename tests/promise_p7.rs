//! P7: whatever is wrong with us, the host's write commits, at once; what could not be captured is counted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hooked;

use std::time::{Duration, Instant};

use hooked::{Hooked, SHAPES, TOGGLE};
use sicantik_notifyd::testkit::host::{OdooSession, Value, Volume, generate, ids};
use tokio_postgres::error::SqlState;

const PERMIT: i32 = ids::PERMIT_ACTIVE;
const OTHER: i32 = ids::PERMIT_DRAFT;

/// A trigger on `event` that gets in the hook's way.
fn obstacle(body: &str) -> String {
    format!(
        "create function public.obstacle() returns trigger language plpgsql as $$ begin {body}; return new; end $$;
         create trigger obstacle before insert on sicantik_notify.event for each row execute function public.obstacle()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_dropping_our_schema_takes_the_triggers_along_and_open_sessions_go_on() {
    for shape in SHAPES {
        let hooked = Hooked::of(shape).await;
        let open = hooked.host().await;
        hooked.toggle_captured(&open, PERMIT, "before the drop").await;
        hooked.sql("drop schema sicantik_notify cascade").await;
        hooked.toggle(&open, PERMIT).await;
        hooked.toggle(&hooked.host().await, OTHER).await;
        let left = "select count(*) from pg_trigger where tgname like 'sicantik_notify%'";
        assert_eq!(hooked.number(left).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_dropped_function_takes_its_triggers_along_and_is_named() {
    let hooked = Hooked::open().await;
    let open = hooked.host().await;
    hooked.toggle_captured(&open, PERMIT, "before the drop").await;
    hooked
        .sql("drop function sicantik_notify.capture_sicantik_permit() cascade")
        .await;
    hooked.toggle(&open, PERMIT).await;
    let findings = hooked.findings().await;
    assert!(findings.contains("public.sicantik_permit"), "{findings}");
    assert_eq!(hooked.verify().await.0, Some(3));
    hooked.install().await;
    hooked.toggle_captured(&open, PERMIT, "after hooks install").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_revoked_rights_are_misses_and_are_named() {
    let hooked = Hooked::open().await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        for (right, counted) in [
            ("insert on sicantik_notify.event", true),
            ("usage on sequence sicantik_notify.event_id_seq", true),
            ("select on sequence sicantik_notify.awake", true),
            // Without these not even counting is possible: the findings have to say so.
            ("usage on schema sicantik_notify", false),
            (
                "insert on sicantik_notify.event, usage on sequence sicantik_notify.miss",
                false,
            ),
        ] {
            let open = hooked.host().await;
            hooked.toggle_captured(&open, PERMIT, "with all rights").await;
            for one in right.split(", ") {
                hooked
                    .sql(&format!("revoke {one} from sicantik_notify_capture"))
                    .await;
            }
            let what = format!("{right} is revoked, {shape}");
            // A session that has run the hook before, and one that has not.
            for host in [&open, &hooked.host().await] {
                let before = (hooked.events().await, hooked.misses().await);
                hooked.toggle(host, PERMIT).await;
                let missed = hooked.misses().await - before.1;
                let captured = hooked.events().await - before.0;
                // Whether the capture role has to read `awake` is the hook's affair.
                let either = right.contains("awake") && captured == 1;
                assert!(
                    !counted || either || (missed, captured) == (1, 0),
                    "{missed} misses, {captured} events while {what}"
                );
            }
            let findings = hooked.findings().await;
            assert!(
                findings.contains("sicantik_notify_capture lacks"),
                "{what}: {findings}"
            );
            for one in right.split(", ") {
                hooked
                    .sql(&format!("grant {one} to sicantik_notify_capture"))
                    .await;
            }
            // The misses themselves are reported until the daemon has taken note of them.
            hooked.sql("select sicantik_notify.capture_misses()").await;
            assert_eq!(hooked.findings().await, "", "{what}, and granted again");
            hooked.toggle_captured(&open, PERMIT, "granted again").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_full_disk_is_a_miss() {
    let hooked = Hooked::open().await;
    hooked
        .sql(&obstacle(
            "raise exception 'no space left' using errcode = 'disk_full'",
        ))
        .await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        hooked.toggle_missed(&host, PERMIT, "the disk is full").await;
    }
    assert_eq!(hooked.events().await, 0);
    hooked.sql("drop trigger obstacle on sicantik_notify.event").await;
    hooked
        .toggle_captured(&hooked.host().await, PERMIT, "with room again")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_exhausted_sequence_is_a_miss() {
    let hooked = Hooked::open().await;
    let host = hooked.host().await;
    for _ in 0..2 {
        hooked.toggle_captured(&host, PERMIT, "at first").await;
    }
    hooked
        .sql(
            "do $$ begin execute format('alter sequence sicantik_notify.event_id_seq maxvalue %s',
                (select last_value from sicantik_notify.event_id_seq)); end $$",
        )
        .await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked
            .toggle_missed(&host, PERMIT, "the sequence is exhausted")
            .await;
    }
    hooked
        .sql("alter sequence sicantik_notify.event_id_seq no maxvalue")
        .await;
    hooked.toggle_captured(&host, PERMIT, "with numbers again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_backlog_that_is_too_large_is_not_filled_further() {
    let hooked = Hooked::open().await;
    let host = hooked.host().await;
    hooked.toggle_captured(&host, PERMIT, "at first").await;
    let limit = |bytes: i64| {
        format!(
            "update sicantik_notify.setting set value = '{bytes}' where key = 'capture_max_backlog_bytes'"
        )
    };
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked.sql(&limit(0)).await;
        hooked.publish().await;
        hooked.toggle_missed(&host, PERMIT, "the backlog is large").await;
        hooked.sql(&limit(1 << 30)).await;
        hooked.publish().await;
        hooked.toggle_captured(&host, PERMIT, "within the limit").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_backlog_that_is_too_old_is_not_filled_further() {
    let hooked = Hooked::open().await;
    let host = hooked.host().await;
    let awake = |interval: &str| {
        format!(
            "select setval('sicantik_notify.awake',
                (extract(epoch from clock_timestamp() - interval '{interval}') * 1000)::bigint)"
        )
    };
    for shape in SHAPES {
        hooked.reshape(shape).await;
        hooked.sql(&awake("10 days")).await;
        hooked
            .toggle_missed(&host, PERMIT, "nobody was there for ten days")
            .await;
        hooked.sql(&awake("6 days")).await;
        hooked
            .toggle_captured(&host, PERMIT, "six days without a daemon")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_lock_on_our_table_is_a_miss_and_no_delay() {
    let hooked = Hooked::open().await;
    let admin = hooked.office.admin().await.unwrap();
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        for mode in ["access exclusive", "exclusive", "share row exclusive", "share"] {
            let before = (
                hooked.misses().await,
                hooked
                    .number("select last_value from sicantik_notify.event_id_seq")
                    .await,
            );
            admin
                .batch_execute(&format!("begin; lock table sicantik_notify.event in {mode} mode"))
                .await
                .unwrap();
            hooked.toggle_missed(&host, PERMIT, mode).await;
            // Inserts have a hook too.
            let document = "insert into sicantik_document (permit_id, name, document_number, state)
                            select permit_id, name, 'DOC/' || random(), 'pending_signature' from sicantik_document where id = 1";
            assert_eq!(hooked.write(&host, document).await, 1);
            assert_eq!(
                hooked.misses().await - before.0,
                2,
                "an insert under {mode}, {shape}"
            );
            admin.batch_execute("rollback").await.unwrap();
            let after = hooked
                .number("select last_value from sicantik_notify.event_id_seq")
                .await;
            assert_eq!(after, before.1, "nothing was tried");
            hooked.toggle_captured(&host, PERMIT, "without the lock").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_write_that_nobody_watches_is_neither_delayed_nor_counted() {
    let hooked = Hooked::open().await;
    let admin = hooked.office.admin().await.unwrap();
    admin
        .batch_execute("begin; lock table sicantik_notify.event in access exclusive mode")
        .await
        .unwrap();
    let misses = hooked.misses().await;
    for shape in SHAPES {
        admin.batch_execute("rollback").await.unwrap();
        hooked.reshape(shape).await;
        admin
            .batch_execute("begin; lock table sicantik_notify.event in access exclusive mode")
            .await
            .unwrap();
        let host = hooked.host().await;
        let unwatched = "update sicantik_permit set notes = 'new ' || random(), write_date = now()";
        assert_eq!(hooked.write(&host, unwatched).await, ids::PERMITS as u64);
        let same = "update sicantik_permit set status = status, write_date = now()";
        assert_eq!(hooked.write(&host, same).await, ids::PERMITS as u64);
        assert_eq!(hooked.write(&host, &format!("{TOGGLE} where false")).await, 0);
        assert_eq!(hooked.misses().await, misses, "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_after_a_miss_the_transaction_gives_up_and_the_next_one_captures() {
    let hooked = Hooked::open().await;
    let admin = hooked.office.admin().await.unwrap();
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        let before = (hooked.events().await, hooked.misses().await);
        admin
            .batch_execute("begin; lock table sicantik_notify.event in share mode")
            .await
            .unwrap();
        host.batch_execute("begin").await.unwrap();
        hooked
            .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
            .await;
        admin.batch_execute("rollback").await.unwrap();
        hooked
            .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
            .await;
        hooked.write(&host, &format!("{TOGGLE} where id = {OTHER}")).await;
        host.batch_execute("commit").await.unwrap();
        assert_eq!(
            (hooked.events().await, hooked.misses().await),
            (before.0, before.1 + 3),
            "{shape}"
        );
        hooked
            .toggle_captured(&host, PERMIT, "in the next transaction")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_savepoint_that_is_rolled_back_after_a_miss_leaves_the_miss_and_loses_nothing_silently() {
    let hooked = Hooked::open().await;
    let admin = hooked.office.admin().await.unwrap();
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        let before = (hooked.events().await, hooked.misses().await);
        admin
            .batch_execute("begin; lock table sicantik_notify.event in share mode")
            .await
            .unwrap();
        host.batch_execute("begin; savepoint a").await.unwrap();
        hooked
            .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
            .await;
        host.batch_execute("rollback to a").await.unwrap();
        assert_eq!(
            hooked.misses().await,
            before.1 + 1,
            "a miss is not rolled back, {shape}"
        );
        hooked
            .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
            .await;
        assert_eq!(hooked.misses().await, before.1 + 2, "still locked, {shape}");
        host.batch_execute("rollback to a").await.unwrap();
        admin.batch_execute("rollback").await.unwrap();
        hooked.write(&host, &format!("{TOGGLE} where id = {OTHER}")).await;
        host.batch_execute("commit").await.unwrap();
        let (captured, missed) = (hooked.events().await - before.0, hooked.misses().await - before.1);
        assert_eq!(
            captured + missed,
            3,
            "captured or counted: {captured}, {missed}, {shape}"
        );
        hooked
            .toggle_captured(&host, PERMIT, "in the next transaction")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_the_hosts_own_timeouts_are_left_alone() {
    let hooked = Hooked::open().await;
    let admin = hooked.office.admin().await.unwrap();
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        host.batch_execute("set lock_timeout = '31s'; set statement_timeout = '47s'")
            .await
            .unwrap();
        for locked in [false, true] {
            if locked {
                admin
                    .batch_execute("begin; lock table sicantik_notify.event in share mode")
                    .await
                    .unwrap();
            }
            let timeouts = async || -> (String, String) {
                let query = "select current_setting('lock_timeout'), current_setting('statement_timeout')";
                let row = host.query_one(query, &[]).await.unwrap();
                (row.get(0), row.get(1))
            };
            host.batch_execute("begin").await.unwrap();
            hooked
                .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
                .await;
            assert_eq!(timeouts().await, ("31s".to_owned(), "47s".to_owned()), "{shape}");
            host.batch_execute("set local lock_timeout = '5s'").await.unwrap();
            hooked
                .write(&host, &format!("{TOGGLE} where id = {PERMIT}"))
                .await;
            assert_eq!(timeouts().await.0, "5s");
            host.batch_execute("commit").await.unwrap();
            assert_eq!(timeouts().await, ("31s".to_owned(), "47s".to_owned()), "{shape}");
        }
        admin.batch_execute("rollback").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_the_hosts_statement_timeout_is_not_swallowed() {
    let hooked = Hooked::open().await;
    hooked.sql(&obstacle("perform pg_sleep(30)")).await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let host = hooked.host().await;
        host.batch_execute("set statement_timeout = '200ms'")
            .await
            .unwrap();
        let begun = Instant::now();
        let misses = hooked.misses().await;
        let error = host
            .execute(&format!("{TOGGLE} where id = {PERMIT}"), &[])
            .await
            .unwrap_err();
        assert_eq!(
            error.code(),
            Some(&SqlState::QUERY_CANCELED),
            "{shape}: {error:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{shape}");
        assert_eq!(hooked.misses().await, misses, "the host's write did not happen");
    }
    assert_eq!(hooked.events().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_repeatable_read_writers_of_different_permits_do_not_conflict() {
    let hooked = Hooked::open().await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let before = hooked.events().await;
        let (one, two) = (hooked.host().await, hooked.host().await);
        for host in [&one, &two] {
            host.batch_execute("begin isolation level repeatable read; select count(*) from sicantik_permit")
                .await
                .unwrap();
        }
        for _ in 0..3 {
            hooked.write(&one, &format!("{TOGGLE} where id = {PERMIT}")).await;
            hooked.write(&two, &format!("{TOGGLE} where id = {OTHER}")).await;
        }
        one.batch_execute("commit").await.unwrap();
        hooked.write(&two, &format!("{TOGGLE} where id = {OTHER}")).await;
        two.batch_execute("commit").await.unwrap();
        assert_eq!(hooked.events().await - before, 7, "{shape}");
    }
    assert_eq!(hooked.misses().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_odoos_own_repetition_of_a_request_works_and_captures_each_committed_write_once() {
    let hooked = Hooked::open().await;
    let mut first = hooked.office.odoo().await.unwrap();
    let mut second = hooked.office.odoo().await.unwrap();
    first.begin().await.unwrap();
    first.write("sicantik_permit", &[OTHER], &[("status", "active".into())]);
    first.flush().await.unwrap();
    let blocked = tokio::spawn(async move {
        second
            .request(async |odoo: &mut OdooSession| {
                odoo.write("sicantik_permit", &[OTHER], &[("status", Value::from("expired"))]);
                Ok(())
            })
            .await
            .map(|()| second.retries())
    });
    hooked
        .office
        .until(
            &hooked.admin,
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'odoo')",
        )
        .await
        .unwrap();
    first.commit().await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap(), 1, "repeated once");
    let steps = "select string_agg(concat(old ->> 'status', '>', new ->> 'status'), ' ' order by id) from sicantik_notify.event";
    assert_eq!(hooked.text(steps).await, "draft>active active>expired");
    assert_eq!(hooked.misses().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_serializable_writers_of_different_permits_both_commit() {
    let hooked = Hooked::open().await;
    // Enough that the two rows are on different pages of each index: the host alone has no conflict.
    let volume = Volume {
        permits: 5000,
        ..Volume::default()
    };
    generate(&hooked.admin, &volume, 1).await.unwrap();
    let far = hooked.number("select max(id)::int8 from sicantik_permit").await;
    for shape in SHAPES {
        hooked.reshape(shape).await;
        let before = (hooked.events().await, hooked.misses().await);
        let (one, two) = (hooked.host().await, hooked.host().await);
        for host in [&one, &two] {
            host.batch_execute(
                "set enable_seqscan = off; set enable_bitmapscan = off; begin isolation level serializable",
            )
            .await
            .unwrap();
        }
        hooked.write(&one, &format!("{TOGGLE} where id = {PERMIT}")).await;
        hooked.write(&two, &format!("{TOGGLE} where id = {far}")).await;
        one.batch_execute("commit").await.unwrap();
        two.batch_execute("commit").await.unwrap();
        assert_eq!(
            (hooked.events().await, hooked.misses().await),
            (before.0 + 2, before.1),
            "{shape}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_nothing_about_the_event_table_can_conflict_between_two_writers() {
    let hooked = Hooked::open().await;
    let unique = "select count(*) from pg_index where indrelid = 'sicantik_notify.event'::regclass
                  and indisunique and not indisprimary";
    assert_eq!(hooked.number(unique).await, 0);
    let foreign = "select count(*) from pg_constraint where contype in ('f', 'x', 'c')
                   and 'sicantik_notify.event'::regclass in (conrelid, confrelid)";
    assert_eq!(hooked.number(foreign).await, 0);
}
