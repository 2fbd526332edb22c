//! Upgrades of the host with hooks in place: they succeed, open sessions go on, and what no longer fits is said.

use sicantik_notifyd::testkit::host::OdooSession;

use crate::on_both_profiles;
use crate::stand::{Stand, at_once};

async fn write(odoo: &mut OdooSession, column: &str, value: &str) {
    odoo.request(async |odoo| {
        odoo.write("sicantik_permit", &[1], &[(column, value.into())]);
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{column} = {value}: {error}"));
}

/// The same connection, under an ORM that has read the new columns.
fn forget_columns(odoo: OdooSession) -> OdooSession {
    OdooSession::new(odoo.into_client(), 2)
}

const LAST: &str =
    "select coalesce(new ->> 'status', '') from sicantik_notify.event order by id desc limit 1";

on_both_profiles!(open_sessions_lose_no_write_over_the_hosts_ddl, stand, {
    for form in ["statement", "row"] {
        stand.shape(form).await;
        stand.run("delete from sicantik_notify.event").await;
        let mut open = stand.odoo().await;
        let mut upgrade = stand.odoo().await;
        for round in 0..6 {
            write(&mut open, "status", &format!("before {round}")).await; // a plan that stays
        }
        assert_eq!(stand.events().await, 6, "{form}");
        upgrade.start_upgrade("sicantik_connector").await.unwrap();

        // The watched column, and one that events carry.
        upgrade
            .alter_type("sicantik_permit", "status", "varchar(64)", None)
            .await
            .unwrap();
        write(&mut open, "status", "wider").await;
        assert_eq!(stand.one::<String>(LAST).await, "wider", "{form}");
        upgrade
            .alter_type("sicantik_permit", "status", "text", None)
            .await
            .unwrap();
        write(&mut open, "status", "text").await;
        assert_eq!(stand.one::<String>(LAST).await, "text", "{form}");
        upgrade
            .alter_type(
                "sicantik_permit",
                "applicant_name",
                "jsonb",
                Some("jsonb_build_object('en_US', applicant_name)"),
            )
            .await
            .unwrap();
        write(&mut open, "status", "translated").await;
        assert_eq!(stand.one::<String>(LAST).await, "translated", "{form}");
        upgrade
            .alter_type(
                "sicantik_permit",
                "applicant_name",
                "varchar",
                Some("applicant_name ->> 'en_US'"),
            )
            .await
            .unwrap();

        // A new column, back-filled over the whole table; and an unrelated one that goes.
        upgrade
            .add_column(
                "sicantik_permit",
                &format!("extra_{form}"),
                "varchar",
                Some("'x'"),
            )
            .await
            .unwrap();
        write(&mut open, "status", "added").await;
        assert_eq!(stand.one::<String>(LAST).await, "added", "{form}");
        upgrade
            .drop_column("sicantik_permit", &format!("extra_{form}"))
            .await
            .unwrap();
        write(&mut open, "status", "dropped").await;
        assert_eq!(stand.one::<String>(LAST).await, "dropped", "{form}");
        assert_eq!(stand.misses().await, 0, "{form}: nothing was missed");

        // And within one transaction, as `-u` does: DDL, then writes.
        upgrade.begin().await.unwrap();
        upgrade
            .alter_type("sicantik_permit", "status", "varchar", None)
            .await
            .unwrap();
        upgrade.write(
            "sicantik_permit",
            &[2],
            &[("status", format!("in the upgrade {form}").into())],
        );
        upgrade.commit().await.unwrap();
        assert_eq!(
            stand.one::<String>(LAST).await,
            format!("in the upgrade {form}"),
            "{form}"
        );
        upgrade.finish_upgrade("sicantik_connector").await.unwrap();
        assert_eq!(stand.misses().await, 0, "{form}: nothing was missed");
        assert_eq!(stand.findings().await, "", "{form}");
    }
});

/// What is only carried: the upgrade and the writes succeed; publishing heals the hook.
#[tokio::test(flavor = "multi_thread")]
async fn a_carried_column_that_goes_is_left_out() {
    for form in ["statement", "row"] {
        let stand = Stand::open().await;
        stand.shape(form).await;
        let mut open = stand.odoo().await;
        write(&mut open, "status", "before").await;
        let mut upgrade = stand.odoo().await;
        at_once(
            "the upgrade",
            upgrade.drop_column("sicantik_permit", "issue_date"),
        )
        .await
        .unwrap();
        write(&mut open, "status", "after").await;
        let caught = stand.events().await - 1;
        assert_eq!(
            caught + stand.misses().await,
            1,
            "{form}: captured, or a counted miss"
        );
        let findings = stand.findings().await;
        assert!(
            findings.contains("has no column issue_date, which a rule reads; it has"),
            "{form}: {findings}"
        );
        stand.publish().await;
        write(&mut open, "status", "healed").await;
        assert_eq!(stand.one::<String>(LAST).await, "healed", "{form}");
    }
}

/// A watched column that is gone: never a silent nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_column_that_goes_is_a_miss_and_a_finding() {
    for form in ["statement", "row"] {
        for change in ["rename", "drop"] {
            let stand = Stand::open().await;
            stand.shape(form).await;
            let mut open = stand.odoo().await;
            write(&mut open, "status", "before").await;
            let mut upgrade = stand.odoo().await;
            let done = match change {
                "rename" => upgrade.rename_column("sicantik_permit", "status", "state").await,
                _ => upgrade.drop_column("sicantik_permit", "status").await,
            };
            done.unwrap_or_else(|error| panic!("{form} {change}: the host's upgrade fails: {error}"));
            let column = if change == "rename" { "state" } else { "notes" };
            let mut open = forget_columns(open);
            write(&mut open, column, "after").await;
            let mut new = stand.odoo().await;
            write(&mut new, column, "after, new session").await;
            assert_eq!(stand.events().await, 1, "{form} {change}");
            assert_eq!(stand.misses().await, 2, "{form} {change}: each write is counted");
            let findings = stand.findings().await;
            assert!(
                findings.contains("has no column status, which a trigger watches; it has applicant_name"),
                "{form} {change}: {findings}"
            );
            if change == "rename" {
                upgrade
                    .rename_column("sicantik_permit", "state", "status")
                    .await
                    .unwrap();
                let mut new = forget_columns(new);
                write(&mut new, "notes", "n").await;
                write(&mut new, "status", "back").await;
                assert_eq!(
                    stand.one::<String>(LAST).await,
                    "back",
                    "{form}: healed by itself"
                );
            }
        }
    }
}

/// The guide's trigger names `state`; a host that has it gets it, without anybody's help, once the daemon has seen it.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_rename_the_daemon_follows_where_the_configuration_allows() {
    let stand = Stand::open().await;
    let mut upgrade = stand.odoo().await;
    upgrade.begin().await.unwrap();
    upgrade
        .rename_column("sicantik_permit", "status", "state")
        .await
        .unwrap();
    upgrade
        .client()
        .batch_execute(
            "update ir_model_fields set name = 'state' where name = 'status' and model = 'sicantik.permit'",
        )
        .await
        .unwrap();
    upgrade.commit().await.unwrap();
    assert!(stand.findings().await.contains("has no column status"));
    let _daemon = stand
        .office
        .daemon("[capture]\nverify_interval_seconds = 1\n")
        .await
        .unwrap();
    stand
        .until("select watched = '{state}' from sicantik_notify.capture_plan where model = 'sicantik.permit'")
        .await;
    stand
        .until("select not exists (select from sicantik_notify.hook_findings())")
        .await;
    let mut odoo = stand.odoo().await;
    write(&mut odoo, "state", "approved").await;
    stand
        .until(
            "select exists (select from sicantik_notify.decision where trigger_code = 'permit_state_change')",
        )
        .await;
    assert_eq!(stand.misses().await, 0);
}
