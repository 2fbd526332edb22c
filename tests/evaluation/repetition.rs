//! Who was told is not told again: marks, their values, their end.

use sicantik_notifyd::testkit::host::ids;

use crate::bench::Bench;

/// The days that the guide's permit_expiring runs, each with the permits of citizens who are told.
async fn days(bench: &Bench, days: std::ops::Range<i32>, permits: &[i32]) -> Vec<(i32, Vec<String>)> {
    let mut told = Vec::new();
    for day in days {
        bench.fire("permit_expiring", permits).await;
        bench.run_at(&format!("{day} days")).await;
        let today = bench.told("notify_permit_expiring").await;
        if !today.is_empty() {
            told.push((day, today));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_run_over_thirty_days_tells_each_citizen_once_for_each_expiry_date() {
    let bench = Bench::open().await;
    bench
        .sql("update sicantik_notify.rule set active = true where code = 'notify_permit_expiring'")
        .await;
    // Budi's permit ends in 30 of the office's days, Ani's in 31, Candra's in 7, John Smith's never.
    bench
        .sql(
            "update sicantik_permit set expiry_date = (clock_timestamp() at time zone 'Asia/Jakarta')::date + d.days
             from (values (1, 30), (2, 31), (3, 7)) d (id, days) where sicantik_permit.id = d.id",
        )
        .await;
    let permits = [ids::PERMIT_ACTIVE, 2, 3, 5];
    let told = days(&bench, 0..12, &permits).await;
    assert_eq!(
        told,
        [
            (0, vec!["1 10".to_owned(), "3 12".to_owned()]),
            (1, vec!["2 11".to_owned()])
        ],
        "Ani's comes within thirty days a day later"
    );
    let decided = bench.decided("notify_permit_expiring").await;
    let repeated: Vec<&String> = decided
        .iter()
        .filter(|d| d.starts_with("1 repeated: told on "))
        .collect();
    assert_eq!(repeated.len(), 11, "{decided:?}");
    assert!(
        repeated[0].contains(" by message ") && repeated[0].contains("once for each expiry_date, here \"2"),
        "{}",
        repeated[0]
    );
    let written: i64 = bench
        .number("select count(*) from sicantik_notify.repeat_mark where message_id is not null")
        .await;
    assert_eq!(written, 3);
    // The date moves: another appointment, another message. Then it is quiet again.
    bench
        .sql("update sicantik_permit set expiry_date = expiry_date + 10 where id = 1")
        .await;
    let told = days(&bench, 12..31, &permits).await;
    assert_eq!(told, [(12, vec!["1 10".to_owned()])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooldown_ends_with_its_time_and_forgives_an_early_run() {
    let bench = Bench::open().await;
    bench
        .sql(
            "update sicantik_notify.rule set active = true, group_by = 'none', repeat_policy = 'auto' \
             where code = 'notify_document_reminder'; \
             update sicantik_notify.trigger set active = true where code = 'document_pending_reminder'",
        )
        .await;
    let mut told = Vec::new();
    for hours in ["0", "1", "23", "23.9", "47", "47.9", "48"] {
        bench
            .fire("document_pending_reminder", &[ids::DOCUMENT_PENDING])
            .await;
        bench.run_at(&format!("{hours} hours")).await;
        let people = bench.told("notify_document_reminder").await.len();
        told.push(format!("{hours}: {people}"));
    }
    assert_eq!(
        told,
        ["0: 3", "1: 0", "23: 0", "23.9: 3", "47: 0", "47.9: 3", "48: 0"],
        "auto under a schedule whose condition reads no date but create_date is a cooldown of a day"
    );
    let decided = bench.decided("notify_document_reminder").await;
    assert!(
        decided.iter().any(|d| d.contains("again after 1440 minutes")),
        "{decided:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_policy_counts_records_and_recipients_apart() {
    let bench = Bench::open().await;
    for (code, columns) in [
        ("always", "repeat_policy = 'auto'"),
        ("once", "repeat_policy = 'once_per_record'"),
        (
            "by_values",
            "repeat_policy = 'once_per_value', repeat_field = 'expiry_date, state'",
        ),
        (
            "wrong",
            "repeat_policy = 'once_per_value', repeat_field = 'colour'",
        ),
    ] {
        bench.rule("sicantik.permit", code, columns).await;
    }
    let problem = bench.problem("wrong").await;
    assert!(
        problem.starts_with("repeat_field: sicantik.permit has no field colour; it has "),
        "{problem}"
    );
    // Twice in one batch, then once more; permit 5 has no expiry_date, which is a value too.
    for code in ["always", "once", "by_values"] {
        bench.fire(code, &[1, 5]).await;
        bench.fire(code, &[1]).await;
    }
    bench.run().await;
    assert_eq!(bench.told("always").await, ["1 10", "1 10", "5 14"]);
    assert_eq!(bench.told("once").await, ["1 10", "5 14"]);
    assert_eq!(bench.told("by_values").await, ["1 10", "5 14"]);
    let decided = bench.decided("once").await;
    assert_eq!(
        decided[1],
        "1 repeated: an earlier change of the same record, evaluated with this one, tells it; once for each record"
    );
    bench
        .sql(
            "update sicantik_permit set status = 'renewed' where id = 1;
             update sicantik_permit set partner_id = 11 where id = 5",
        )
        .await;
    for code in ["always", "once", "by_values"] {
        bench.fire(code, &[1, 5]).await;
    }
    bench.run().await;
    assert_eq!(bench.told("always").await, ["1 10", "5 11"]);
    assert_eq!(bench.told("once").await, ["5 11"], "another recipient");
    assert_eq!(bench.told("by_values").await, ["1 10", "5 11"], "another value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_stands_for_a_message_and_goes_with_its_failure() {
    let bench = Bench::open().await;
    bench
        .rule("sicantik.permit", "once", "repeat_policy = 'once_per_record'")
        .await;
    // The rule fails after its marks were written.
    bench
        .sql("alter table sicantik_notify.queue add constraint refused check (partner_id <> 10) not valid")
        .await;
    bench.fire("once", &[1]).await;
    assert_eq!(bench.run().await.set_aside, 1);
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.repeat_mark")
            .await,
        0
    );
    // It comes back, and marks.
    bench
        .sql(
            "alter table sicantik_notify.queue drop constraint refused;
             insert into sicantik_notify.event (model, record_id, xact, op, target_trigger, target_rule)
             select s.model, s.record_id, (s.events -> 0 ->> 'xact')::xid8, 'F', s.target_trigger, s.target_rule
             from sicantik_notify.event_set_aside s",
        )
        .await;
    assert_eq!(bench.run().await.messages, 1);
    let marked = "select count(*) from sicantik_notify.repeat_mark k join sicantik_notify.queue q on q.id = k.message_id";
    assert_eq!(bench.number(marked).await, 1);
    // The same change once more, while its message waits: the change is the duplicate, nobody says "told already".
    bench
        .sql(
            "insert into sicantik_notify.event (model, record_id, xact, op, target_trigger)
             select q.model, q.record_id, q.xact, 'F', q.trigger_id from sicantik_notify.queue q",
        )
        .await;
    bench.run().await;
    let outcomes = bench
        .texts("select outcome from sicantik_notify.decision where rule_code = 'once' order by id")
        .await;
    assert_eq!(outcomes, ["error", "enqueued", "duplicate"]);
    assert_eq!(bench.number(marked).await, 1);
}
