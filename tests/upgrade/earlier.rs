//! An installation as an earlier version left it: that version's migrations, functions, views, rights, defaults and hooks, in the middle
//! of its work.

use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::host;
use sicantik_notifyd::testkit::office::{DATABASE, OPERATOR, Office};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The roles are made as they always were.
const BOOTSTRAP: &str = include_str!("../../sql/bootstrap.sql");

/// A version whose functions and views are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub number: i32,
    recorded: &'static str,
}

pub const EIGHT: Version = Version {
    number: 8,
    recorded: include_str!("version_8.sql"),
};
pub const TWELVE: Version = Version {
    number: 12,
    recorded: include_str!("version_12.sql"),
};

/// The installation, without hooks, and an administrator's connection.
pub async fn install(version: Version, program: &std::path::Path) -> (Office, Client) {
    let (cluster, gateway) = tokio::join!(Cluster::start(), Gateway::start());
    let (cluster, gateway) = (cluster.unwrap(), gateway.unwrap());
    cluster.create_database(DATABASE, None).await.unwrap();
    let mut admin = cluster.connect(DATABASE).await.unwrap();
    host::install(&admin, host::Profile::Odoo18_0, &host::Options::default())
        .await
        .unwrap();
    let run = async |client: &Client, sql: &str| {
        if let Err(error) = client.batch_execute(sql).await {
            panic!("{sql:.200}: {error:?}");
        }
    };
    run(&admin, BOOTSTRAP).await;
    run(
        &admin,
        "grant select on all tables in schema public to sicantik_notifyd, sicantik_notify_owner; set role sicantik_notify_owner;
         set search_path = pg_catalog, pg_temp",
    )
    .await;
    let mut runner =
        embedded::migrations::runner().set_target(refinery::Target::Version(version.number as _));
    runner.set_migration_table_name("sicantik_notify.schema_history");
    runner.run_async(&mut admin).await.unwrap();
    run(&admin, version.recorded).await;
    run(
        &admin,
        "select sicantik_notify.bind_installation(); reset role; reset search_path",
    )
    .await;
    run(
        &admin,
        &format!("create role {OPERATOR} login; grant sicantik_notify_operator to {OPERATOR}"),
    )
    .await;
    let office = Office::around(cluster, gateway, program).unwrap();
    office.set_up_providers(&admin).await.unwrap();
    run(
        &admin,
        "update sicantik_notify.rule set active = true where code = 'notify_permit_approved';
         update sicantik_notify.rule set rate_limit_enabled = false;
         update sicantik_notify.provider set uncertain_wait = interval '300 milliseconds'",
    )
    .await;
    (office, admin)
}

/// The hooks as `hooks install` of that version made them.
pub async fn hook(admin: &Client) {
    admin
        .batch_execute(
            "insert into sicantik_notify.capture_plan (model, table_name, triggers, watched, read) values
             ('sicantik.permit', 'sicantik_permit', '{permit_state_change}', '{status}', '{status,permit_number,partner_id}')",
        )
        .await
        .unwrap();
    let statements: Vec<String> = admin
        .query_one(
            "select array_agg(statement order by step) from sicantik_notify.hook_statements() where model = 'sicantik.permit'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let script = format!("begin; {}; commit", statements.join(";\n"));
    admin.batch_execute(&script).await.unwrap();
}

/// Everything of ours in the catalogue, a line each, but the bodies of hooks and what they were published from.
pub async fn inventory(admin: &Client) -> Vec<String> {
    admin
        .query(include_str!("inventory.sql"), &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}
