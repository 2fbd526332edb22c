//! P13: a copy of the database carries the queue, and sends nothing, however it was made, until an operator says otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::path::Path;
use std::process::Command;

use desk::{Desk, PATIENCE, QUICK, approve, citizens, desk};
use sicantik_notifyd::testkit::office::{DATABASE, Daemon, RUNTIME};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

/// Messages of a citizen that wait in every copy.
async fn fill(desk: &Desk) {
    for i in 0..5 {
        desk.message(&format!("+628140000000{i}")).await;
    }
}

/// A daemon on another database, with its own state directory unless one is given.
async fn daemon_on(desk: &Desk, cluster: &Cluster, database: &str, state: &Path) -> Daemon {
    let url = cluster.url_as(RUNTIME, database);
    desk.office.daemon_at(&url, QUICK, state).await.unwrap()
}

/// The daemon of a copy has looked at its queue several times, has sent nothing, says why, and evaluates all the same.
async fn sends_nothing(desk: &Desk, copy: &Client, reason: &str) {
    let before = desk.office.gateway.requests().len();
    desk.office
        .until(
            copy,
            "select coalesce(bool_or(not delivering), false) from sicantik_notify.instance",
        )
        .await
        .unwrap();
    let said = format!(
        "select exists (select from sicantik_notify.v_problem where summary like 'does not send: %{reason}%')
            and exists (select from sicantik_notify.instance where not delivering and note like '%{reason}%')"
    );
    desk.office.until(copy, &said).await.unwrap();
    // Evaluation goes on: an event that is there is turned into a message.
    copy.batch_execute(
        "insert into sicantik_notify.event (model, record_id, op, changed, old, new)
         select 'sicantik.permit', id, 'U', '{status}', '{\"status\": \"draft\"}', to_jsonb(p.*) || '{\"status\": \"active\"}'
         from sicantik_permit p where id = 1",
    )
    .await
    .unwrap();
    desk.office
        .until(copy, "select not exists (select from sicantik_notify.event)")
        .await
        .unwrap();
    desk.office
        .until(
            copy,
            "select count(*) = 6 from sicantik_notify.queue where state = 'pending' and ready",
        )
        .await
        .unwrap();
    // Many looks later.
    let beats = "select coalesce(max(heartbeat_at) > min(started_at) + interval '2 seconds', false) from sicantik_notify.instance where not delivering";
    desk.office.until(copy, beats).await.unwrap();
    assert_eq!(desk.office.gateway.requests().len(), before);
    let touched = copy
        .query_one(
            "select count(*) from sicantik_notify.queue where claim_token is not null",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(touched.get::<_, i64>(0), 0);
}

fn run(cluster: &Cluster, program: &str, arguments: &[&str]) {
    let output = Command::new(cluster.bin_dir().join(program))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn dump(desk: &Desk) -> String {
    let file = desk.office.folder().join("dump.sql").display().to_string();
    let cluster = &desk.office.cluster;
    run(
        cluster,
        "pg_dump",
        &["--dbname", &cluster.url(DATABASE), "--file", &file],
    );
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_into_another_database_of_the_cluster() {
    let desk = desk().await;
    drop(desk.quick().await);
    fill(&desk).await;
    let file = dump(&desk);
    desk.office
        .cluster
        .create_database("copy", Some("template0"))
        .await
        .unwrap();
    run(
        &desk.office.cluster,
        "psql",
        &[
            "-q",
            "--set=ON_ERROR_STOP=1",
            &desk.office.cluster.url("copy"),
            "--file",
            &file,
        ],
    );
    let copy = desk.office.cluster.connect("copy").await.unwrap();
    // Even with the state directory of the real daemon.
    let _daemon = daemon_on_same_state(&desk, "copy").await;
    sends_nothing(&desk, &copy, "another cluster or database").await;
}

/// A daemon of this machine, with its armed state directory, on another database of the cluster.
async fn daemon_on_same_state(desk: &Desk, database: &str) -> Daemon {
    daemon_on(
        desk,
        &desk.office.cluster,
        database,
        &desk.office.folder().join("state"),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_into_another_cluster_and_armed_there() {
    let desk = desk().await;
    drop(desk.quick().await);
    fill(&desk).await;
    let file = dump(&desk);
    let other = Cluster::start().await.unwrap();
    let roles = other.connect("postgres").await.unwrap();
    for role in ["odoo", RUNTIME] {
        roles
            .batch_execute(&format!("create role {role} login"))
            .await
            .unwrap();
    }
    for role in ["owner", "capture", "operator", "viewer"] {
        roles
            .batch_execute(&format!("create role sicantik_notify_{role}"))
            .await
            .unwrap();
    }
    roles
        .batch_execute("grant sicantik_notify_capture to sicantik_notify_owner")
        .await
        .unwrap();
    other.create_database(DATABASE, Some("template0")).await.unwrap();
    run(
        &other,
        "psql",
        &[
            "-q",
            "--set=ON_ERROR_STOP=1",
            &other.url(DATABASE),
            "--file",
            &file,
        ],
    );
    let copy = other.connect(DATABASE).await.unwrap();
    let state = desk.office.folder().join("other-state");
    let _daemon = daemon_on(&desk, &other, DATABASE, &state).await;
    sends_nothing(&desk, &copy, "another cluster or database").await;
    // The operator decides that this is the real one from now on.
    let armed = desk
        .office
        .command(&["arm", "--yes"])
        .env(sicantik_notifyd::config::ENV_URL, other.url_as(RUNTIME, DATABASE))
        .env(sicantik_notifyd::config::ENV_STATE_DIR, &state)
        .output()
        .await
        .unwrap();
    assert!(
        armed.status.success(),
        "{}",
        String::from_utf8_lossy(&armed.stderr)
    );
    desk.office.gateway.wait_for_accepted(6, PATIENCE).await.unwrap();
    desk.office
        .until(&copy, "select bool_and(delivering) from sicantik_notify.instance")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_copy_of_the_whole_cluster_while_the_original_goes_on() {
    let desk = desk().await;
    drop(desk.quick().await);
    fill(&desk).await;
    let clone = desk.office.cluster.copy_to().await.unwrap();
    let desk = Desk {
        admin: desk.office.admin().await.unwrap(),
        office: desk.office,
    };
    let copy = clone.connect(DATABASE).await.unwrap();
    let state = desk.office.folder().join("clone-state");
    let _daemon = daemon_on(&desk, &clone, DATABASE, &state).await;
    sends_nothing(&desk, &copy, "not armed").await;
    // The original sends, once.
    let _original = desk.quick().await;
    desk.accepted(5).await;
    desk.drained().await;
    let mut odoo = desk.odoo().await;
    let citizens = citizens(&mut odoo, 2).await;
    approve(&mut odoo, &[citizens[0].0, citizens[1].0]).await;
    desk.accepted(7).await;
    assert_eq!(desk.office.gateway.count(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_made_from_it_as_a_template() {
    let desk = desk().await;
    let mut daemon = desk.quick().await;
    daemon.signal("TERM").await.unwrap();
    daemon.wait().await.unwrap();
    fill(&desk).await;
    let Desk { office, admin } = desk;
    drop(admin);
    office
        .cluster
        .connect("postgres")
        .await
        .unwrap()
        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'sicantik'")
        .await
        .unwrap();
    office
        .cluster
        .create_database("copy", Some(DATABASE))
        .await
        .unwrap();
    let desk = Desk {
        admin: office.admin().await.unwrap(),
        office,
    };
    let copy = desk.office.cluster.connect("copy").await.unwrap();
    let _daemon = daemon_on_same_state(&desk, "copy").await;
    sends_nothing(&desk, &copy, "another cluster or database").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neutralised_or_renamed_or_unreadable_database_and_back() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    desk.message("+6281400001000").await;
    desk.accepted(1).await;
    desk.drained().await;
    let uuid = desk
        .text("select value from ir_config_parameter where key = 'database.uuid'")
        .await
        .unwrap();
    let steps = [
        (
            "insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true')"
                .to_owned(),
            "neutralised",
            "delete from ir_config_parameter where key = 'database.is_neutralized'".to_owned(),
        ),
        (
            "update ir_config_parameter set value = 'another' where key = 'database.uuid'".to_owned(),
            "database.uuid is another",
            format!("update ir_config_parameter set value = '{uuid}' where key = 'database.uuid'"),
        ),
        (
            "alter table ir_config_parameter rename to away".to_owned(),
            "cannot be read",
            "alter table away rename to ir_config_parameter".to_owned(),
        ),
        (
            "revoke execute on function sicantik_notify.delivery_permit(text) from sicantik_notifyd"
                .to_owned(),
            "permit cannot be asked",
            "grant execute on function sicantik_notify.delivery_permit(text) to sicantik_notifyd".to_owned(),
        ),
    ];
    for (sent, (forbid, reason, allow)) in (1..).zip(steps) {
        desk.sql(&forbid).await;
        desk.message(&format!("+628140000100{sent}")).await;
        desk.until(&format!(
            "select not delivering and note like '%{reason}%' from sicantik_notify.instance"
        ))
        .await;
        assert_eq!(desk.office.gateway.count(), sent, "{reason}");
        assert_eq!(
            desk.number("select count(*) from sicantik_notify.queue where state = 'pending' and ready")
                .await,
            1
        );
        desk.sql(&allow).await;
        desk.accepted(sent + 1).await;
        desk.until("select delivering from sicantik_notify.instance")
            .await;
    }
}
