//! Evaluators work side by side: one never locks more than its share, and what fails for one record is that record's alone.

use sicantik_notifyd::db::statements::EVENT_SHARDS;
use sicantik_notifyd::evaluate::batch::{Round, evaluate, evaluate_alone};

use crate::bench::Bench;

const RECORDS: std::ops::RangeInclusive<i32> = 1..=400;

async fn waiting(bench: &Bench, condition: &str) -> i64 {
    let query = format!("select count(*) from sicantik_notify.event where {condition}");
    bench.number(&query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_evaluator_finds_work_while_the_first_is_at_it() {
    let bench = Bench::open().await;
    bench
        .rule("res.partner", "all", "recipient_type = 'partner'")
        .await;
    bench.fire("all", &RECORDS.collect::<Vec<i32>>()).await;
    bench.grants().await;
    let mut first = bench.client("").await;
    let mut second = bench.client("").await;
    let configuration = bench.configuration(&mut second).await;

    let held = first.transaction().await.unwrap();
    let rows = held.query(EVENT_SHARDS.sql, &[&2000_i64, &32_i64]).await.unwrap();
    let shards: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(shards.len(), 32);
    let of_first = format!("hashtextextended(model, record_id) & 63 = any ('{{{}}}')", {
        let shards: Vec<String> = shards.iter().map(i32::to_string).collect();
        shards.join(",")
    });
    let (theirs, all) = (waiting(&bench, &of_first).await, waiting(&bench, "true").await);
    assert!(theirs > 0 && theirs < all, "{theirs} of {all}");

    let Round::Done(done) = evaluate(&mut second, &configuration, 1000, 30).await.unwrap() else {
        panic!("the second evaluator found nothing");
    };
    assert_eq!(done.changes as i64, all - theirs);
    assert_eq!(
        waiting(&bench, "true").await,
        theirs,
        "the first one's are untouched"
    );
    assert_eq!(
        evaluate(&mut second, &configuration, 1000, 30).await.unwrap(),
        Round::Idle
    );

    held.rollback().await.unwrap();
    let Round::Done(done) = evaluate(&mut second, &configuration, 1000, 30).await.unwrap() else {
        panic!("what the first one gave back is lost");
    };
    assert_eq!(done.changes as i64, theirs);
    assert_eq!(waiting(&bench, "true").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_that_fails_is_the_one_that_is_set_aside() {
    let bench = Bench::open().await;
    bench
        .rule("res.partner", "all", "recipient_type = 'partner'")
        .await;
    bench.fire("all", &[1, 2, 3]).await;
    bench.grants().await;
    // What no rule is to blame for: decisions on one record cannot be stored.
    bench
        .sql("alter table sicantik_notify.decision add constraint broken check (record_id <> 1) not valid")
        .await;
    let mut client = bench.client("").await;
    let configuration = bench.configuration(&mut client).await;
    assert!(evaluate(&mut client, &configuration, 1000, 30).await.is_err());
    assert_eq!(
        waiting(&bench, "true").await,
        3,
        "a batch that fails leaves everything where it was"
    );
    for record in 1..=3 {
        let Round::Done(done) = evaluate_alone(&mut client, &configuration, 30).await.unwrap() else {
            panic!("record {record} was not taken");
        };
        assert_eq!(done.set_aside, usize::from(record == 1), "record {record}");
    }
    let aside =
        "select count(*) from sicantik_notify.event_set_aside where record_id = 1 and error like '%broken%'";
    assert_eq!(bench.number(aside).await, 1);
    assert_eq!(
        bench
            .number("select count(*) from sicantik_notify.event_set_aside")
            .await,
        1
    );
    assert_eq!(waiting(&bench, "true").await, 0);
}
