//! The applicant and the partner are perhaps two people: the message says so, waits for a person, or stays away.

use sicantik_notifyd::testkit::host::ids;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_person_is_warned_of_held_or_skipped() {
    let bench = Bench::open().await;
    for policy in ["warn", "hold", "skip"] {
        let columns = format!("on_name_mismatch = '{policy}', repeat_policy = 'once_per_record'");
        bench.rule("sicantik.permit", policy, &columns).await;
        // "Budi" is linked to "Budi Santoso"; permit 1 is his own; permit 20 names nobody.
        bench.fire(policy, &[ids::PERMIT_WRONG_PERSON, 1, 20]).await;
    }
    bench.run().await;
    let names = "the applicant is \"Budi\", but the partner is \"Budi Santoso\": perhaps another person";
    let states = |rule: &str| {
        format!(
            "select q.record_id || ' ' || q.state || coalesce(': ' || q.last_error, '') from sicantik_notify.queue q \
             join sicantik_notify.rule r on r.id = q.rule_id where r.code = '{rule}' order by q.record_id"
        )
    };
    assert_eq!(
        bench.texts(&states("warn")).await,
        ["1 pending", "11 pending", "20 pending"]
    );
    assert_eq!(
        bench.texts(&states("hold")).await,
        [
            "1 pending".to_owned(),
            format!("11 held: {names}"),
            "20 pending".to_owned()
        ]
    );
    assert_eq!(bench.texts(&states("skip")).await, ["1 pending", "20 pending"]);
    let decisions = bench
        .texts("select rule_code || ' ' || outcome || ': ' || reason from sicantik_notify.decision where record_id = 11 order by 1")
        .await;
    assert_eq!(
        decisions,
        [
            format!("hold enqueued: template permit_ready, held: {names}"),
            format!("skip name_mismatch: {names}"),
            format!("warn enqueued: template permit_ready; {names}"),
        ]
    );
    // Who was not written to was not told.
    let marks = bench
        .texts("select r.code from sicantik_notify.repeat_mark k join sicantik_notify.rule r on r.id = k.rule_id where k.record_id = 11 order by 1")
        .await;
    assert_eq!(marks, ["hold", "warn"]);
    let problems = bench
        .texts("select summary from sicantik_notify.v_problem where about like 'message %'")
        .await;
    assert_eq!(problems, [format!("held: {names}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_compared_by_its_permit_and_staff_are_nobodys_namesake() {
    let bench = Bench::open().await;
    bench
        .sql(&format!(
            "update sicantik_document set permit_id = {} where id = 1",
            ids::PERMIT_WRONG_PERSON
        ))
        .await;
    bench
        .rule("sicantik.document", "applicant", "on_name_mismatch = 'skip'")
        .await;
    let columns = "on_name_mismatch = 'skip', recipient_type = 'staff', staff_group = 'DPMPTSP Staff'";
    bench.rule("sicantik.document", "staff", columns).await;
    let columns =
        "on_name_mismatch = 'skip', recipient_type = 'field', recipient_field = 'permit_id.partner_id'";
    bench.rule("sicantik.document", "path", columns).await;
    for rule in ["applicant", "staff", "path"] {
        bench.fire(rule, &[1]).await;
    }
    bench.run().await;
    assert_eq!(bench.told("applicant").await, [""; 0]);
    assert_eq!(bench.told("staff").await.len(), 3);
    assert_eq!(bench.told("path").await, ["1 10"]);
}
