//! One instance schedules, whatever happens to it: killed, frozen, cut off or stopped, no run comes twice, and none is lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::path::PathBuf;
use std::time::Duration;

use desk::{Desk, QUICK, desk};
use sicantik_notifyd::schedule::leader::{LeaderError, Term, hold};
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, RUNTIME};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::watch;

/// Three daemons, one of which leads, and a cron trigger that its test makes due by hand.
struct Stand {
    desk: Desk,
    daemons: Vec<(i64, Daemon)>,
}

async fn stand() -> Stand {
    let desk = desk().await;
    let mut daemons = Vec::new();
    for _ in 0..3 {
        let daemon = desk.quick().await;
        daemons.push((newest(&desk).await, daemon));
    }
    let stand = Stand { desk, daemons };
    stand.trigger().await;
    stand
}

async fn newest(desk: &Desk) -> i64 {
    desk.number("select max(id) from sicantik_notify.instance").await
}

impl Stand {
    async fn trigger(&self) {
        self.desk
            .sql(
                "insert into sicantik_notify.trigger (code, name, model, trigger_type, cron_expression)
                 values ('tick', 'Tick', 'sicantik.permit', 'cron', '0 0 1 1 *')",
            )
            .await;
        self.desk
            .until("select next_run is not null from sicantik_notify.v_trigger where code = 'tick'")
            .await;
    }

    async fn leader(&self) -> i64 {
        self.desk
            .number("select coalesce(instance_id, 0) from sicantik_notify.leader")
            .await
    }

    async fn term(&self) -> i64 {
        self.desk.number("select term from sicantik_notify.leader").await
    }

    fn daemon(&mut self, instance: i64) -> &mut Daemon {
        let found = self.daemons.iter_mut().find(|(id, _)| *id == instance);
        &mut found.expect("one of ours").1
    }

    /// The trigger is due now.
    async fn due(&self) {
        self.desk
            .sql(
                "update sicantik_notify.cron_state s set next_run_at = sicantik_notify.clock()
                 from sicantik_notify.trigger t where t.id = s.trigger_id and t.code = 'tick'",
            )
            .await;
    }

    async fn runs(&self) -> i64 {
        self.desk
            .number("select count(*) from sicantik_notify.cron_run where code = 'tick'")
            .await
    }

    async fn ran(&self, runs: i64) {
        self.desk
            .until(&format!(
                "select count(*) = {runs} from sicantik_notify.cron_run where code = 'tick' and outcome = 'done'"
            ))
            .await;
    }

    /// Another instance leads, and it took over in time.
    async fn succeeded(&self, term: i64) {
        self.desk
            .until(&format!(
                "select term > {term} and lease_until > clock_timestamp() from sicantik_notify.leader"
            ))
            .await;
    }

    /// Every run was recorded once, with events of its own.
    async fn nothing_ran_twice(&self) {
        let twice = "select count(*) from (select kind, code, due_at from sicantik_notify.cron_run where due_at is not null
                     and outcome = 'done' group by 1, 2, 3 having count(*) > 1) d";
        assert_eq!(self.desk.number(twice).await, 0);
        let same = "select count(*) from (select xact from sicantik_notify.cron_run where xact is not null group by 1 having count(*) > 1) d";
        assert_eq!(self.desk.number(same).await, 0);
        // What was fired is what the history says, whichever way the events have gone since.
        let fired = "select (select coalesce(sum(records), 0)::bigint from sicantik_notify.cron_run where code = 'tick')
                     - (select count(*) from sicantik_notify.event_history where op = 'F')
                     - (select count(*) from sicantik_notify.event where op = 'F')";
        self.desk.until(&format!("select ({fired}) = 0")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_run_and_the_leader_is_shown() {
    let desk = desk().await;
    let _daemons = [desk.quick().await, desk.quick().await];
    desk.until("select count(distinct code) = (select count(*) from sicantik_notify.cron_job) from sicantik_notify.cron_run where outcome = 'done'")
        .await;
    assert_eq!(desk.number("select term from sicantik_notify.leader").await, 1);
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_instance where leads and alive and term = 1")
            .await,
        1
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_instance")
            .await,
        2
    );
    let failed = "select string_agg(code || ': ' || error, '; ') from sicantik_notify.cron_run where outcome = 'failed'";
    assert_eq!(desk.text(failed).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_followed_within_seconds() {
    let mut stand = stand().await;
    let (leader, term) = (stand.leader().await, stand.term().await);
    stand.due().await;
    stand.ran(1).await;
    stand.daemon(leader).kill().await.unwrap();
    stand.due().await;
    let begun = std::time::Instant::now();
    stand.succeeded(term).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_ne!(stand.leader().await, leader);
    stand.ran(2).await;
    // Once more, and the last one is alone.
    let (leader, term) = (stand.leader().await, stand.term().await);
    stand.daemon(leader).kill().await.unwrap();
    stand.due().await;
    stand.succeeded(term).await;
    stand.ran(3).await;
    stand.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_gives_the_lead_back_at_once() {
    let mut stand = stand().await;
    let (leader, term) = (stand.leader().await, stand.term().await);
    stand.daemon(leader).signal("TERM").await.unwrap();
    assert!(stand.daemon(leader).wait().await.unwrap().success());
    assert!(stand.daemon(leader).log().contains("Gave the schedules back"));
    stand.succeeded(term).await;
    // The lease was not waited for: it would have held for seconds after the last renewal.
    let others: String = stand.daemons.iter().map(|(_, d)| d.log()).collect();
    assert!(others.contains(&format!("in term {}", term + 1)), "{others}");
    stand.due().await;
    stand.ran(1).await;
    stand.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_frozen_does_not_act_late() {
    let mut stand = stand().await;
    let (leader, term) = (stand.leader().await, stand.term().await);
    stand.daemon(leader).signal("STOP").await.unwrap();
    stand.due().await;
    stand.succeeded(term).await;
    stand.ran(1).await;
    let last = stand
        .desk
        .number("select max(id) from sicantik_notify.cron_run")
        .await;
    // Due in the very moment in which it wakes.
    stand.due().await;
    stand.daemon(leader).signal("CONT").await.unwrap();
    stand.ran(2).await;
    let left = format!("term {term} is over");
    let begun = std::time::Instant::now();
    while !stand.daemon(leader).log().contains(&left) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            stand.daemon(leader).log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = format!("select count(*) from sicantik_notify.cron_run where id > {last} and term = {term}");
    assert_eq!(stand.desk.number(&late).await, 0);
    stand.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_frozen_in_the_middle_of_a_run_leaves_nothing_of_it() {
    let mut stand = stand().await;
    let (leader, term) = (stand.leader().await, stand.term().await);
    let mut other = stand.desk.office.admin().await.unwrap();
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table sicantik_notify.event in share mode")
        .await
        .unwrap();
    stand.due().await;
    // It holds its term, and waits for the table of events.
    stand
        .desk
        .until("select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%insert into sicantik_notify.event %')")
        .await;
    stand.daemon(leader).signal("STOP").await.unwrap();
    lock.rollback().await.unwrap();
    // The new leader had to wait until the server had ended what the old one left open.
    stand.succeeded(term).await;
    stand.ran(1).await;
    let by = "select term from sicantik_notify.cron_run where code = 'tick'";
    assert!(stand.desk.number(by).await > term);
    stand.daemon(leader).signal("CONT").await.unwrap();
    stand.due().await;
    stand.ran(2).await;
    stand.nothing_ran_twice().await;
}

/// What stands between a daemon and its server: passes everything on, until it is cut, and then says nothing to either.
struct Proxy {
    folder: PathBuf,
    open: watch::Sender<bool>,
}

impl Proxy {
    fn before(desk: &Desk) -> Self {
        let port = desk.office.cluster.port();
        let folder = desk.office.folder().join("proxy");
        std::fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
        let (open, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    if !*state.borrow() {
                        let _ = state.wait_for(|open| *open).await;
                    }
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        _ = state.wait_for(|open| !*open) => {}
                    }
                    // Both ends stay open, and hear nothing.
                    let _ = state.wait_for(|open| *open).await;
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { folder, open }
    }

    fn url(&self) -> String {
        format!(
            "host={} port=5432 user={RUNTIME} dbname={DATABASE}",
            self.folder.display()
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_does_not_act_late() {
    let desk = desk().await;
    let proxy = Proxy::before(&desk);
    let state = desk.office.folder().join("state");
    let first = desk.office.daemon_at(&proxy.url(), QUICK, &state).await.unwrap();
    desk.until("select exists (select from sicantik_notify.v_instance where leads)")
        .await;
    let leader = newest(&desk).await;
    let mut daemons = vec![(leader, first)];
    for _ in 0..2 {
        let daemon = desk.quick().await;
        daemons.push((newest(&desk).await, daemon));
    }
    let mut stand = Stand { desk, daemons };
    stand.trigger().await;
    let term = stand.term().await;
    assert_eq!(stand.leader().await, leader);
    proxy.open.send(false).unwrap();
    stand.due().await;
    stand.succeeded(term).await;
    stand.ran(1).await;
    let last = stand
        .desk
        .number("select max(id) from sicantik_notify.cron_run")
        .await;
    // What it had written into the void arrives now.
    stand.due().await;
    proxy.open.send(true).unwrap();
    stand.ran(2).await;
    let left = format!("term {term} is over");
    let begun = std::time::Instant::now();
    while !stand.daemon(leader).log().contains(&left) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}",
            stand.daemon(leader).log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = format!("select count(*) from sicantik_notify.cron_run where id > {last} and term = {term}");
    assert_eq!(stand.desk.number(&late).await, 0);
    assert_eq!(stand.runs().await, 2);
    stand.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_is_over_can_write_nothing_and_a_new_one_waits_for_what_the_old_one_has_open() {
    let desk = desk().await;
    let mut old = desk.office.connect_as(RUNTIME).await.unwrap();
    let new = desk.office.connect_as(RUNTIME).await.unwrap();
    let term = Term::of(0);
    let held = old.transaction().await.unwrap();
    hold(&held, term).await.unwrap();
    // Renewing goes on beside it.
    new.execute(
        "update sicantik_notify.leader set lease_until = clock_timestamp() where term = 0",
        &[],
    )
    .await
    .unwrap();
    let take = "set lock_timeout = '200ms'; update sicantik_notify.leader set term = term + 1 where term = 0";
    let refused = new.batch_execute(take).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "55P03", "it waits");
    held.commit().await.unwrap();
    new.batch_execute(take).await.unwrap();
    let late = old.transaction().await.unwrap();
    let over = hold(&late, term).await.unwrap_err();
    assert!(matches!(over, LeaderError::Over(t) if t == term), "{over}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_leader_dies_in_the_middle_is_recorded_and_run_again() {
    let mut stand = stand().await;
    stand
        .desk
        .until("select count(*) = 1 from sicantik_notify.cron_run where code = 'cleanup_logs' and outcome = 'done'")
        .await;
    stand
        .desk
        .sql(
            "insert into sicantik_notify.cron_run (kind, code, outcome, started_at, term)
             values ('job', 'old', 'done', sicantik_notify.clock() - interval '99 days', 0)",
        )
        .await;
    let mut other = stand.desk.office.admin().await.unwrap();
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("select from sicantik_notify.cron_run where code = 'old' for update")
        .await
        .unwrap();
    let (leader, term) = (stand.leader().await, stand.term().await);
    stand
        .desk
        .sql("select sicantik_notify.cron_run_now('cleanup_logs')")
        .await;
    stand
        .desk
        .until("select running_since is not null from sicantik_notify.v_cron_job where code = 'cleanup_logs'")
        .await;
    stand.daemon(leader).kill().await.unwrap();
    lock.rollback().await.unwrap();
    stand.succeeded(term).await;
    stand
        .desk
        .until("select count(*) = 1 from sicantik_notify.cron_run where code = 'cleanup_logs' and error like '%ended before the job did'
                and asked_by = 'postgres'")
        .await;
    stand
        .desk
        .until("select count(*) = 2 from sicantik_notify.cron_run where code = 'cleanup_logs' and outcome = 'done'")
        .await;
    let old = "select count(*) from sicantik_notify.cron_run where code = 'old'";
    assert_eq!(stand.desk.number(old).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_connections_are_ended_goes_on() {
    let stand = stand().await;
    for runs in 1..=3 {
        stand
            .desk
            .sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sicantik_notifyd'")
            .await;
        stand.due().await;
        stand.ran(runs).await;
    }
    stand.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_frozen_between_looking_and_acting_finds_its_term_over() {
    let mut stand = stand().await;
    let (leader, term) = (stand.leader().await, stand.term().await);
    let due = "update sicantik_notify.cron_state s set next_run_at = '2026-01-01 00:00:00+00'
               from sicantik_notify.trigger t where t.id = s.trigger_id and t.code = 'tick'";
    let mut other = stand.desk.office.admin().await.unwrap();
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table sicantik_notify.cron_state in access exclusive mode")
        .await
        .unwrap();
    lock.batch_execute(due).await.unwrap();
    stand
        .desk
        .until("select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%to_jsonb(t.*) as facts%')")
        .await;
    // What it asked for is answered while it is frozen: the trigger is due.
    stand.daemon(leader).signal("STOP").await.unwrap();
    lock.commit().await.unwrap();
    stand.succeeded(term).await;
    stand.ran(1).await;
    // Nobody else is left, and all stands as it was seen: nothing but the term can stop it.
    for (id, daemon) in &mut stand.daemons {
        if *id != leader {
            daemon.kill().await.unwrap();
        }
    }
    stand.desk.sql(due).await;
    stand.daemon(leader).signal("CONT").await.unwrap();
    stand.ran(2).await;
    let late = format!("select count(*) from sicantik_notify.cron_run where term = {term} and code = 'tick'");
    assert_eq!(stand.desk.number(&late).await, 0);
}
