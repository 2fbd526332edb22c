//! Cron triggers by the database's clock: what runs, what is made up for, what waits, and what is said about the rest.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, QUICK, citizens, desk};
use sicantik_notifyd::testkit::office::Daemon;

/// An office with a trigger of every day at eight over the drafts, whose rule tells their applicants.
async fn office(drafts: usize, columns: &str, values: &str) -> Desk {
    let desk = desk().await;
    let mut odoo = desk.odoo().await;
    citizens(&mut odoo, drafts).await;
    desk.sql(&format!(
        "insert into sicantik_notify.trigger (code, name, model, trigger_type, condition_domain, timezone{columns})
         values ('nightly', 'Nightly', 'sicantik.permit', 'cron', '[(''status'', ''='', ''draft'')]', 'Asia/Jakarta'{values});
         update sicantik_notify.trigger set active = false where trigger_type = 'cron' and code <> 'nightly';
         insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled, repeat_policy)
         values ('tell', 'Tell', 'nightly', 'permit_ready', false, 'every_event')"
    ))
    .await;
    desk
}

async fn daily(drafts: usize) -> Desk {
    office(drafts, ", cron_expression", ", '0 8 * * *'").await
}

async fn planned(desk: &Desk) {
    desk.until(
        "select next_run > sicantik_notify.clock() from sicantik_notify.v_trigger where code = 'nightly'",
    )
    .await;
}

async fn stopped(mut daemon: Daemon) {
    daemon.signal("TERM").await.unwrap();
    assert!(daemon.wait().await.unwrap().success());
}

/// The office's clock, for connections that are made from now on.
async fn clock(desk: &mut Desk, offset: &str) {
    desk.sql(&format!(
        "alter database sicantik set sicantik_notify.clock_offset = '{offset}'"
    ))
    .await;
    desk.admin = desk.office.admin().await.unwrap();
}

const RUNS: &str = "select count(*) from sicantik_notify.cron_run where code = 'nightly'";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_selects_by_the_domain_and_its_events_go_the_way_of_every_event() {
    let mut desk = daily(3).await;
    let daemon = desk.quick().await;
    planned(&desk).await;
    assert_eq!(desk.number(RUNS).await, 0, "a new trigger waits for its time");
    stopped(daemon).await;
    clock(&mut desk, "1 day").await;
    let _daemon = desk.quick().await;
    desk.accepted(3).await;
    let run = desk
        .admin
        .query_one(
            "select outcome, records, missed, asked_by, kind, name, due_at at time zone 'Asia/Jakarta' = date_trunc('day', due_at at time zone 'Asia/Jakarta')
                    + interval '8 hours', duration_ms >= 0, xact::text, term, instance is not null
             from sicantik_notify.v_cron_run where code = 'nightly'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(run.get::<_, &str>(0), "done");
    let drafts = desk
        .number("select count(*) from public.sicantik_permit where status = 'draft'")
        .await;
    assert_eq!(run.get::<_, i64>(1), drafts);
    assert_eq!(run.get::<_, i32>(2), 0);
    assert_eq!(run.get::<_, &str>(3), "schedule");
    assert_eq!(
        (run.get::<_, &str>(4), run.get::<_, &str>(5)),
        ("trigger", "Nightly")
    );
    let (at_eight, lasted, by): (bool, bool, bool) = (run.get(6), run.get(7), run.get(10));
    assert_eq!((at_eight, lasted, by), (true, true, true));
    // The decisions name the run.
    desk.until(&format!(
        "select count(*) = {drafts} from sicantik_notify.event_history where xact::text = '{}'",
        run.get::<_, &str>(8)
    ))
    .await;
    let shown = "select last_run is not null and next_run > sicantik_notify.clock() and last_error is null
                 from sicantik_notify.v_trigger where code = 'nightly'";
    desk.until(shown).await;
}

/// Runs for `days` of downtime; (due runs, missed, skipped runs).
async fn after_downtime(policy: &str, days: u32) -> (i64, i64, i64) {
    let mut desk = office(
        1,
        ", cron_expression, catch_up",
        &format!(", '0 8 * * *', '{policy}'"),
    )
    .await;
    let daemon = desk.quick().await;
    planned(&desk).await;
    stopped(daemon).await;
    clock(&mut desk, &format!("{days} days 6 hours")).await;
    // Further from eight than a restart takes, whatever the hour of the test.
    desk.sql(
        "update sicantik_notify.trigger set cron_expression = to_char((sicantik_notify.clock() - interval '5 hours') at time zone 'Asia/Jakarta', 'MI HH24')
             || ' * * *' where code = 'nightly';
         update sicantik_notify.cron_state s set next_run_at = s.next_run_at - interval '2 days',
             fingerprint = 'cron ' || t.cron_expression || ' in Asia/Jakarta'
         from sicantik_notify.trigger t where t.id = s.trigger_id and t.code = 'nightly'",
    )
    .await;
    desk.sql(&format!(
        "update sicantik_notify.cron_state s
         set next_run_at = date_trunc('minute', sicantik_notify.clock() - interval '5 hours') - interval '{} days'
         from sicantik_notify.trigger t where t.id = s.trigger_id and t.code = 'nightly'",
        days - 1
    ))
    .await;
    let _daemon = desk.quick().await;
    planned(&desk).await;
    let counted = "select count(*) filter (where outcome = 'done'), coalesce(sum(missed), 0)::bigint, count(*) filter (where outcome = 'skipped')
                   from sicantik_notify.cron_run where code = 'nightly'";
    let row = desk.admin.query_one(counted, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_a_trigger_catches_up_once() {
    assert_eq!(after_downtime("once", 5).await, (1, 4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_a_trigger_catches_up_on_all_where_it_says_so() {
    assert_eq!(after_downtime("all", 5).await, (5, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_a_trigger_skips_what_it_missed_where_it_says_so() {
    assert_eq!(after_downtime("skip", 5).await, (0, 4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_runs_nothing_twice_and_one_set_forward_catches_up_once() {
    let mut desk = daily(1).await;
    let daemon = desk.quick().await;
    planned(&desk).await;
    stopped(daemon).await;
    clock(&mut desk, "40 days").await;
    let daemon = desk.quick().await;
    planned(&desk).await;
    assert_eq!(desk.number(RUNS).await, 1);
    stopped(daemon).await;
    clock(&mut desk, "39 days").await;
    let daemon = desk.quick().await;
    let jobs =
        "select count(*) from sicantik_notify.cron_run where code = 'process_queue' and asked_by is not null";
    // Something else runs meanwhile.
    desk.sql("select sicantik_notify.cron_run_now('process_queue')")
        .await;
    desk.until(&format!("select ({jobs}) = 1")).await;
    assert_eq!(desk.number(RUNS).await, 1);
    let told = "select count(*) from sicantik_notify.v_problem where about = 'trigger nightly' and summary like '%lies in the future%'";
    assert_eq!(desk.number(told).await, 1);
    // The way out.
    desk.sql("select sicantik_notify.cron_retime('nightly', '0 8 * * *')")
        .await;
    desk.until("select next_run < sicantik_notify.clock() + interval '1 day' from sicantik_notify.v_trigger where code = 'nightly'")
        .await;
    assert_eq!(desk.number(RUNS).await, 1);
    stopped(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_the_one_before() {
    let desk = daily(2).await;
    let unevaluated = format!("{QUICK}[evaluate]\nenabled = false\n");
    let daemon = desk.daemon(&unevaluated).await;
    planned(&desk).await;
    desk.sql("select sicantik_notify.cron_run_now('nightly')").await;
    desk.until(&format!("select ({RUNS}) = 1")).await;
    desk.sql("select sicantik_notify.cron_run_now('nightly')").await;
    desk.until("select last_error like 'waits for its previous run%' from sicantik_notify.v_trigger where code = 'nightly'")
        .await;
    assert_eq!(desk.number(RUNS).await, 1);
    let again = desk
        .text("select sicantik_notify.cron_run_now('nightly')")
        .await
        .unwrap();
    assert!(again.contains("asked for already"), "{again}");
    stopped(daemon).await;
    let _daemon = desk.quick().await;
    desk.until(&format!("select ({RUNS}) = 2")).await;
    desk.until("select last_error is null from sicantik_notify.v_trigger where code = 'nightly'")
        .await;
    let asked = "select count(*) from sicantik_notify.v_cron_run where code = 'nightly' and asked_by = 'postgres' and due_at is null";
    assert_eq!(desk.number(asked).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_schedule_or_condition_stops_only_itself() {
    let desk = daily(1).await;
    desk.sql(
        "insert into sicantik_notify.trigger (code, name, model, trigger_type, cron_expression, condition_domain) values
             ('old_module', 'Old', 'sicantik.permit', 'cron', '1,days', null),
             ('never', 'Never', 'sicantik.permit', 'cron', '0 8 30 2 *', null),
             ('wrong', 'Wrong', 'sicantik.permit', 'cron', '0 8 * * *', '[(''nope'', ''='', 1)]')",
    )
    .await;
    let _daemon = desk.quick().await;
    planned(&desk).await;
    let problem = async |code: &str, part: &str| {
        desk.until(&format!(
            "select exists (select from sicantik_notify.v_problem where about = 'trigger {code}' and summary like '%{part}%')"
        ))
        .await;
    };
    problem("old_module", "interval_number = 1, interval_type = ''days''").await;
    problem("never", "no date fits: it never runs").await;
    let refused = desk
        .admin
        .execute("select sicantik_notify.cron_run_now('old_module')", &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55000");
    desk.sql("select sicantik_notify.cron_run_now('wrong'), sicantik_notify.cron_run_now('nightly')")
        .await;
    desk.until(
        "select count(*) = 1 from sicantik_notify.cron_run where code = 'nightly' and outcome = 'done'",
    )
    .await;
    desk.until("select count(*) = 1 from sicantik_notify.cron_run where code = 'wrong' and outcome = 'failed' and error like '%nope%'")
        .await;
    desk.until("select last_error like '%nope%' from sicantik_notify.v_trigger where code = 'wrong'")
        .await;
    // Three in a row are an alarm.
    for runs in 2..=3 {
        desk.sql("select sicantik_notify.cron_run_now('wrong')").await;
        desk.until(&format!(
            "select count(*) = {runs} from sicantik_notify.cron_run where code = 'wrong' and outcome = 'failed'"
        ))
        .await;
    }
    problem("wrong", "has failed 3 times in a row").await;
    // Mended: the schedule takes effect at once, the condition with the next run.
    desk.sql(
        "update sicantik_notify.trigger set cron_expression = null, interval_number = 1, interval_type = 'days' where code = 'old_module';
         update sicantik_notify.trigger set condition_domain = null where code = 'wrong'",
    )
    .await;
    desk.until("select next_run > sicantik_notify.clock() and last_error is null from sicantik_notify.v_trigger where code = 'old_module'")
        .await;
    desk.sql("select sicantik_notify.cron_run_now('wrong')").await;
    desk.until("select last_error is null from sicantik_notify.v_trigger where code = 'wrong'")
        .await;
    let checked = desk
        .office
        .command(&["check", "trigger", "never"])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{text}");
    assert!(text.contains("error: cron_expression: no date fits"), "{text}");
    let text = desk.office.run(&["check", "trigger", "nightly"]).await.unwrap();
    let line = text
        .lines()
        .find(|l| l.starts_with("schedule: trigger nightly: "))
        .unwrap();
    assert_eq!(line.matches(" 08:00 WIB").count(), 3, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_another_schedule_moves_the_next_run() {
    let desk = daily(1).await;
    let _daemon = desk.quick().await;
    planned(&desk).await;
    let next = "select next_run::text from sicantik_notify.v_trigger where code = 'nightly'";
    let before = desk.text(next).await.unwrap();
    // As a trigger that is due in a moment: any other change must not put it off.
    desk.sql("update sicantik_notify.trigger set name = 'Malam', description = 'x' where code = 'nightly'")
        .await;
    desk.sql("select sicantik_notify.cron_run_now('nightly')").await;
    desk.until(&format!("select ({RUNS}) = 1")).await;
    assert_eq!(
        desk.text(next).await.unwrap(),
        before,
        "a run by hand changes nothing"
    );
    desk.sql("update sicantik_notify.trigger set timezone = 'Asia/Jayapura' where code = 'nightly'")
        .await;
    desk.until("select to_char(next_run at time zone 'Asia/Jayapura', 'HH24:MI') = '08:00' from sicantik_notify.v_trigger where code = 'nightly'")
        .await;
    desk.sql("select sicantik_notify.cron_disable('nightly')").await;
    desk.until(
        "select not active and next_run is null from sicantik_notify.v_trigger where code = 'nightly'",
    )
    .await;
    let refused = desk
        .admin
        .execute("select sicantik_notify.cron_run_now('nightly')", &[])
        .await
        .unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("inactive"));
    desk.sql("select sicantik_notify.cron_enable('nightly')").await;
    planned(&desk).await;
    assert_eq!(desk.number(RUNS).await, 1);
    for (call, code) in [
        ("cron_run_now('nobody')", "P0002"),
        ("cron_run_now('permit_state_change')", "55000"),
        ("cron_retime('nightly', 0, 'days')", "22023"),
        ("cron_retime('nightly', 1, 'years')", "22023"),
        ("cron_retime('nightly', '8 o''clock')", "22023"),
        ("cron_retime('process_queue', '0 8 * * *')", "22023"),
    ] {
        let refused = desk
            .admin
            .execute(&format!("select sicantik_notify.{call}"), &[])
            .await
            .unwrap_err();
        assert_eq!(refused.code().unwrap().code(), code, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_trigger_open_holds_nobody_else_up() {
    let desk = daily(1).await;
    let _daemon = desk.quick().await;
    planned(&desk).await;
    let mut other = desk.office.admin().await.unwrap();
    let open = other.transaction().await.unwrap();
    open.batch_execute(
        "update sicantik_notify.cron_state s set note = 'x' from sicantik_notify.trigger t where t.id = s.trigger_id and t.code = 'nightly';
         update sicantik_notify.cron_job set priority = priority where code = 'partitions';
         select sicantik_notify.cron_run_now('cleanup_logs')",
    )
    .await
    .unwrap();
    desk.sql(
        "select sicantik_notify.cron_run_now('nightly'), sicantik_notify.cron_run_now('partitions'),
              sicantik_notify.cron_run_now('process_queue')",
    )
    .await;
    desk.until("select count(distinct code) = 2 from sicantik_notify.cron_run where asked_by is not null")
        .await;
    assert_eq!(desk.number(RUNS).await, 0);
    open.commit().await.unwrap();
    desk.until("select count(distinct code) = 4 from sicantik_notify.cron_run where asked_by is not null")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_fires_nothing_and_the_real_one_catches_up() {
    let desk = daily(1).await;
    let _daemon = desk.quick().await;
    planned(&desk).await;
    desk.sql(
        "insert into public.ir_config_parameter (key, value) values ('database.is_neutralized', 'true')",
    )
    .await;
    desk.sql("select sicantik_notify.cron_run_now('nightly')").await;
    desk.until(
        "select last_error like '%neutralised%' from sicantik_notify.v_trigger where code = 'nightly'",
    )
    .await;
    assert_eq!(desk.number(RUNS).await, 0);
    desk.sql("delete from public.ir_config_parameter where key = 'database.is_neutralized'")
        .await;
    desk.until(&format!("select ({RUNS}) = 1")).await;
}
