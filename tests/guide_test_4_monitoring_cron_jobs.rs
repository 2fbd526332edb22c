//! SICANTIK guide §7.4, test 4: the scheduled actions are there, they run, and they can be looked at, run by hand, edited, disabled
//! and enabled (§8.3).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::desk;
use serde_json::Value;

const QUEUE_JOB: &str = "SICANTIK: Process Notification Queue";

#[tokio::test(flavor = "multi_thread")]
async fn guide_test_4_monitoring_cron_jobs() {
    let desk = desk().await;
    let _daemons = [desk.quick().await, desk.quick().await];

    // Steps 1 and 2: filtered by "SICANTIK:" there are three, with their intervals and priorities.
    let jobs = desk
        .admin
        .query(
            "select name, \"interval\", priority, active, model, method from sicantik_notify.v_cron_job
             where name like 'SICANTIK:%' order by priority desc",
            &[],
        )
        .await
        .unwrap();
    let found: Vec<(&str, &str, i32, bool)> = jobs
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2), r.get(3)))
        .collect();
    assert_eq!(
        found,
        [
            (QUEUE_JOB, "1 minute", 20, true),
            ("SICANTIK: Process Campaign Batch", "5 minutes", 15, true),
            ("SICANTIK: Cleanup Old Notification Logs", "1 day", 5, true),
        ]
    );
    assert_eq!(jobs[0].get::<_, &str>("model"), "sicantik.notification.queue");
    assert!(jobs.iter().all(|r| !r.get::<_, &str>("method").is_empty()));

    // Step 3: each has been run, and has a next run at its interval.
    desk.until(
        "select count(*) = 3 from sicantik_notify.v_cron_job where name like 'SICANTIK:%' and last_run is not null and last_error is null
         and next_run > last_run and next_run <= last_run + make_interval(mins => case interval_type when 'days' then 1440 else 1 end * interval_number)",
    )
    .await;

    // Step 4: run manually; step 5: the log says what it did, who asked and how long it took.
    let before = desk.number("select max(id) from sicantik_notify.cron_run").await;
    let text = desk.office.run(&["cron", "run", QUEUE_JOB]).await.unwrap();
    assert!(
        text.contains("Done in ") && text.contains("messages are due"),
        "{text}"
    );
    let run = desk
        .admin
        .query_one(
            "select outcome, asked_by, duration_ms >= 0, detail from sicantik_notify.v_cron_run
             where id > $1 and name = $2 and asked_by <> 'schedule'",
            &[&before, &QUEUE_JOB],
        )
        .await
        .unwrap();
    assert_eq!(run.get::<_, &str>(0), "done");
    assert!(
        run.get::<_, &str>(1).starts_with("office_operator"),
        "the role that asked: the operator's own"
    );
    assert!(run.get::<_, bool>(2));
    let log: Value = serde_json::from_str(
        &desk
            .office
            .run(&["cron", "log", QUEUE_JOB, "--json"])
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(log[0]["name"], QUEUE_JOB);
    assert!(
        log.as_array()
            .unwrap()
            .iter()
            .all(|r| r["code"] == "process_queue")
    );

    // A message goes at once, not at the next minute.
    desk.message("+6281234567890").await;
    desk.accepted(1).await;
    desk.drained().await;

    // Disable: nobody takes messages any more, and the queue says why. By name, by an operator.
    desk.sql("create role siti login in role sicantik_notify_operator")
        .await;
    let operator = desk.office.connect_as("siti").await.unwrap();
    operator
        .execute("select sicantik_notify.cron_disable($1)", &[&QUEUE_JOB])
        .await
        .unwrap();
    let waiting = desk.message("+6281234567891").await;
    // Both daemons have looked since: one sweeps by hand, both keep their second of housekeeping.
    desk.office.run(&["cron", "run", "process_queue"]).await.unwrap();
    desk.until(
        "select count(*) = 2 from sicantik_notify.instance
         where heartbeat_at > (select max(created_at) + interval '1 second' from sicantik_notify.queue)",
    )
    .await;
    let (state, why) = (
        desk.text(&format!(
            "select state from sicantik_notify.v_queue where id = {waiting}"
        ))
        .await,
        desk.text(&format!(
            "select waiting_for from sicantik_notify.v_queue where id = {waiting}"
        ))
        .await,
    );
    assert_eq!(state.as_deref(), Some("pending"));
    assert_eq!(
        why.as_deref(),
        Some("job disabled (SICANTIK: Process Notification Queue)")
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_problem where about = 'job process_queue' and summary like 'is disabled%'")
            .await,
        1
    );
    assert_eq!(desk.office.gateway.accepted().len(), 1);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_cron_job where code = 'process_queue' and not active and next_run is null")
            .await,
        1
    );

    let text = desk
        .text(&format!("select sicantik_notify.queue_process_now({waiting})"))
        .await
        .unwrap();
    assert!(text.contains("once the job process_queue is enabled"), "{text}");

    // Enable: it goes on at once.
    desk.office.run(&["cron", "enable", QUEUE_JOB]).await.unwrap();
    desk.accepted(2).await;

    // Edit: another interval holds from now on.
    desk.office
        .run(&["cron", "retime", QUEUE_JOB, "10", "minutes"])
        .await
        .unwrap();
    desk.until(
        "select \"interval\" = '10 minutes' and next_run > sicantik_notify.clock() + interval '9 minutes'
                from sicantik_notify.v_cron_job where code = 'process_queue'",
    )
    .await;
    let list: Value =
        serde_json::from_str(&desk.office.run(&["cron", "list", "--json"]).await.unwrap()).unwrap();
    let listed = |code: &str| {
        let rows = list.as_array().unwrap();
        rows.iter().find(|r| r["code"] == code).cloned().unwrap()
    };
    assert_eq!(listed("process_queue")["schedule"], "every 10 minutes");
    assert_eq!(listed("permit_expiring")["kind"], "trigger");
    assert!(listed("permit_expiring")["next_run"].is_string());
    let text = desk.office.run(&["cron", "list"]).await.unwrap();
    assert!(text.contains(QUEUE_JOB) && text.contains(" runs them."), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_due_for_long_or_has_no_leader_is_a_problem() {
    let desk = desk().await;
    let daemon = desk.quick().await;
    desk.until("select count(*) = 7 from sicantik_notify.v_cron_job where last_run is not null")
        .await;
    drop(daemon);
    let problems =
        "select count(*) from sicantik_notify.v_problem where about like 'job %' or about = 'schedules'";
    assert_eq!(desk.number(problems).await, 0);
    desk.sql(
        "update sicantik_notify.cron_state set next_run_at = sicantik_notify.clock() - interval '11 minutes' where job = 'partitions';
         update sicantik_notify.leader set lease_until = clock_timestamp() - interval '2 minutes';
         insert into sicantik_notify.instance (name, pid, version, started_at) values ('x', 1, 'x', sicantik_notify.clock() - interval '1 hour')",
    )
    .await;
    let about =
        "select string_agg(about || ': ' || severity, ', ' order by about) from sicantik_notify.v_problem
                 where about like 'job %' or about = 'schedules'";
    assert_eq!(
        desk.text(about).await.as_deref(),
        Some("job partitions: warning, schedules: alarm")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_are_forgotten_and_a_job_of_a_newer_version_is_a_failure_of_its_own() {
    let desk = desk().await;
    desk.sql(
        "insert into sicantik_notify.cron_run (kind, code, outcome, started_at, term)
         select 'job', 'x', 'done', sicantik_notify.clock() - make_interval(days => d), 0 from generate_series(1, 40) d;
         insert into sicantik_notify.cron_job (code, name, interval_number, interval_type, model, method, description)
         values ('tomorrow', 'Tomorrow', 1, 'minutes', 'x', 'x', 'x')",
    )
    .await;
    let _daemon = desk.quick().await;
    desk.until("select count(*) = 29 from sicantik_notify.cron_run where code = 'x'")
        .await;
    desk.until("select last_error like '%has no job tomorrow%' and failures = 1 from sicantik_notify.v_cron_job where code = 'tomorrow'")
        .await;
    desk.until("select count(*) = 7 from sicantik_notify.v_cron_job where last_run is not null and last_error is null")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_look_and_operators_change_how_often_but_not_what() {
    let desk = desk().await;
    desk.sql("create role budi login in role sicantik_notify_viewer; create role siti login in role sicantik_notify_operator")
        .await;
    let (viewer, operator) = (
        desk.office.connect_as("budi").await.unwrap(),
        desk.office.connect_as("siti").await.unwrap(),
    );
    viewer
        .batch_execute(
            "select * from sicantik_notify.v_cron_job; select * from sicantik_notify.v_cron_run; select * from sicantik_notify.v_instance",
        )
        .await
        .unwrap();
    operator
        .batch_execute(
            "update sicantik_notify.cron_job set priority = 21 where code = 'process_queue';
             select sicantik_notify.cron_run_now('process_queue')",
        )
        .await
        .unwrap();
    for (client, statement) in [
        (&viewer, "select sicantik_notify.cron_run_now('process_queue')"),
        (&viewer, "select sicantik_notify.cron_disable('process_queue')"),
        (&viewer, "update sicantik_notify.cron_job set active = false"),
        (&operator, "update sicantik_notify.cron_job set method = 'x'"),
        (&operator, "delete from sicantik_notify.cron_job"),
        (
            &operator,
            "insert into sicantik_notify.cron_run (kind, code, outcome, started_at, term) values ('job', 'x', 'done', now(), 0)",
        ),
        (&operator, "update sicantik_notify.leader set term = 9"),
    ] {
        let refused = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{statement}");
    }
    let asked = "select asked_by from sicantik_notify.v_cron_job where code = 'process_queue'";
    assert_eq!(desk.text(asked).await.as_deref(), Some("siti"));
}
