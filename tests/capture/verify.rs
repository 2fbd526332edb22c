//! `hooks verify`: what it finds, on which table, and what helps.

use crate::on_both_profiles;
use crate::stand::Stand;

struct Damage {
    name: &'static str,
    damages: &'static str,
    /// Words of the finding.
    finding: &'static str,
    /// Words of the remedy.
    remedy: &'static str,
    mends: Mend,
}

enum Mend {
    /// `hooks install`.
    Install,
    /// `publish_capture()`, as the daemon does every minute.
    Publish,
    /// This SQL.
    Sql(&'static str),
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "disabled trigger",
        damages: "alter table sicantik_permit disable trigger sicantik_notify_update",
        finding: "sicantik_permit | trigger sicantik_notify_update on public.sicantik_permit is disabled",
        remedy: "alter table public.sicantik_permit enable trigger sicantik_notify_update",
        mends: Mend::Sql("alter table public.sicantik_permit enable trigger sicantik_notify_update"),
    },
    Damage {
        name: "trigger for replicas only",
        damages: "alter table sicantik_permit enable replica trigger sicantik_notify_update",
        finding: "sicantik_notify_update on public.sicantik_permit is disabled",
        remedy: "enable trigger",
        mends: Mend::Sql("alter table public.sicantik_permit enable trigger sicantik_notify_update"),
    },
    Damage {
        name: "missing trigger",
        damages: "drop trigger sicantik_notify_insert on sicantik_document",
        finding: "sicantik_document | trigger sicantik_notify_insert is missing on public.sicantik_document",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "trigger with a condition",
        damages: "create or replace trigger sicantik_notify_update after update on sicantik_permit for each row \
                  when (old.id > 5) execute function sicantik_notify.capture_sicantik_permit()",
        finding: "trigger sicantik_notify_update on public.sicantik_permit was altered",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "trigger that calls another function",
        damages: "create function public.other() returns trigger language plpgsql as 'begin return null; end'; \
                  create or replace trigger sicantik_notify_update after update on sicantik_permit \
                  referencing old table as old_rows new table as new_rows for each statement execute function public.other()",
        finding: "trigger sicantik_notify_update on public.sicantik_permit was altered",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "another form than planned",
        damages: "update sicantik_notify.capture_plan set shape = 'row' where model = 'sicantik.permit'; select sicantik_notify.publish_capture()",
        finding: "trigger sicantik_notify_update on public.sicantik_permit was altered, or is of another form than capture_plan.shape",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "altered body",
        damages: "create or replace function sicantik_notify.capture_sicantik_permit() returns trigger language plpgsql security definer \
                  set search_path = pg_catalog, pg_temp set enable_nestloop = off set \"DateStyle\" = 'ISO, YMD' set \"TimeZone\" = 'UTC' \
                  as 'begin return null; end'",
        finding: "function capture_sicantik_permit was altered: its body is not the one that was published",
        remedy: "hooks install",
        mends: Mend::Publish,
    },
    Damage {
        name: "another owner, as after a restore without owners",
        damages: "alter function sicantik_notify.capture_sicantik_permit() owner to postgres",
        finding: "function capture_sicantik_permit belongs to postgres, not to sicantik_notify_capture (restored without owners?)",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "settings removed",
        damages: "alter function sicantik_notify.capture_sicantik_permit() reset all",
        finding: "function capture_sicantik_permit was altered: its settings are gone",
        remedy: "hooks install",
        mends: Mend::Publish,
    },
    Damage {
        name: "a setting added",
        damages: "alter function sicantik_notify.capture_sicantik_permit() set lock_timeout = '1s'",
        finding: "was altered: its settings are search_path=",
        remedy: "hooks install",
        mends: Mend::Publish,
    },
    Damage {
        name: "security definer removed",
        damages: "alter function sicantik_notify.capture_sicantik_permit() security invoker",
        finding: "function capture_sicantik_permit was altered: security definer is gone",
        remedy: "hooks install",
        mends: Mend::Publish,
    },
    Damage {
        name: "the function, and with it the triggers, dropped",
        damages: "drop function sicantik_notify.capture_sicantik_permit() cascade",
        finding: "there is no hook on public.sicantik_permit",
        remedy: "hooks install",
        mends: Mend::Install,
    },
    Damage {
        name: "missing grants",
        damages: "revoke insert on sicantik_notify.event from sicantik_notify_capture",
        finding: "event | role sicantik_notify_capture lacks: insert on table event",
        remedy: "sicantik-notifyd migrate",
        mends: Mend::Sql("grant insert on sicantik_notify.event to sicantik_notify_capture"),
    },
    Damage {
        name: "stale plan",
        damages: "update sicantik_notify.capture_plan set watched = watched || 'notes'::text where model = 'sicantik.permit'",
        finding: "the hook of public.sicantik_permit is older than its plan",
        remedy: "publish_capture()",
        mends: Mend::Publish,
    },
    Damage {
        name: "a watched column that does not exist",
        damages: "update sicantik_notify.capture_plan set watched = watched || 'no_such'::text where model = 'sicantik.permit'; \
                  select sicantik_notify.publish_capture()",
        finding: "public.sicantik_permit has no column no_such, which a trigger watches; it has applicant_name, create_date",
        remedy: "field_alias",
        mends: Mend::Install,
    },
    Damage {
        name: "a column that may hold a secret",
        damages: "alter table sicantik_permit add column if not exists api_token text; \
                  update sicantik_notify.capture_plan set read = read || 'api_token'::text where model = 'sicantik.permit'; \
                  select sicantik_notify.publish_capture()",
        finding: "public.sicantik_permit: api_token may hold secrets and is not captured",
        remedy: "take it out",
        mends: Mend::Install,
    },
    Damage {
        name: "children",
        damages: "create table permit_child () inherits (sicantik_permit)",
        finding: "public.sicantik_permit has partitions or children",
        remedy: "set shape = 'row'",
        mends: Mend::Sql("drop table permit_child"),
    },
    Damage {
        name: "a setting that is no number",
        damages: "update sicantik_notify.setting set value = 'a week' where key = 'capture_max_backlog_age'",
        finding: "setting capture_max_backlog_age is 'a week', which is no number: 604800 is used",
        remedy: "update sicantik_notify.setting",
        mends: Mend::Sql(
            "update sicantik_notify.setting set value = '604800' where key = 'capture_max_backlog_age'",
        ),
    },
];

on_both_profiles!(each_damage_is_found_with_its_table_and_remedy, stand, {
    assert_eq!(stand.findings().await, "");
    for d in DAMAGES {
        stand.run(d.damages).await;
        let found = stand.findings().await;
        assert!(found.contains(d.finding), "{}: {found}", d.name);
        let line = found.lines().find(|line| line.contains(d.finding)).unwrap();
        assert!(line.contains(d.remedy), "{}: {line}", d.name);
        let output = stand.office.command(&["hooks", "verify"]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", d.name);
        let said = String::from_utf8(output.stdout).unwrap();
        let words = d.finding.split(" | ").last().unwrap();
        assert!(
            said.contains(words) && said.contains("remedy: "),
            "{}: {said}",
            d.name
        );
        let listed: bool = stand
            .admin
            .query_one(
                "select exists (select from sicantik_notify.v_problem where position($1 in summary) > 0)",
                &[&words],
            )
            .await
            .unwrap()
            .get(0);
        assert!(listed, "{}: v_problem", d.name);
        match d.mends {
            Mend::Install => {
                stand.office.run(&["hooks", "install"]).await.unwrap();
                // The shape is the DBA's: install does not change it.
                stand
                    .run("update sicantik_notify.capture_plan set shape = 'statement'")
                    .await;
                stand.office.run(&["hooks", "install"]).await.unwrap();
            }
            Mend::Publish => stand.publish().await,
            Mend::Sql(sql) => stand.run(sql).await,
        }
        if d.name == "stale plan" {
            stand.office.run(&["hooks", "install"]).await.unwrap();
        }
        assert_eq!(stand.findings().await, "", "{}: mended", d.name);
    }
    // Whatever happened to them, they capture.
    stand.run("delete from sicantik_notify.event; update sicantik_permit set status = 'after all that' where id = 1").await;
    assert_eq!((stand.events().await, stand.misses().await), (1, 0));
});

/// v_problem says since when, and after the hook is back, that there was a gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_remembered_when_the_hook_is_back() {
    let stand = Stand::open().await;
    let _daemon = stand
        .office
        .daemon("[capture]\nverify_interval_seconds = 1\n")
        .await
        .unwrap();
    stand
        .until("select exists (select from sicantik_notify.hook_check where model = 'sicantik.permit' and sound_at is not null)")
        .await;
    stand
        .run("alter table sicantik_permit disable trigger sicantik_notify_update")
        .await;
    stand
        .run("update sicantik_permit set status = 'unseen' where id = 1")
        .await;
    stand
        .until("select exists (select from sicantik_notify.v_problem where about = 'hooks of sicantik_permit' and since is not null \
                and severity = 'alarm')")
        .await;
    stand
        .until("select exists (select from sicantik_notify.hook_check where finding like '%is disabled%')")
        .await;
    stand
        .run("alter table sicantik_permit enable trigger sicantik_notify_update")
        .await;
    stand
        .until("select exists (select from sicantik_notify.v_problem where about = 'hook gap of sicantik_permit' \
                and summary like '%may not have been captured: trigger sicantik_notify_update%is disabled%')")
        .await;
    stand.run("delete from sicantik_notify.problem").await;
    stand
        .run("update sicantik_permit set status = 'seen' where id = 1")
        .await;
    stand
        .until("select exists (select from sicantik_notify.decision where record_id = 1)")
        .await;
    let standing: i64 = stand
        .one("select count(*) from sicantik_notify.v_problem where about like 'hook%'")
        .await;
    assert_eq!(standing, 0);
}

/// A restore without owners and without rights: said, and mended by migrate and install.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_owners_is_known() {
    let stand = Stand::open().await;
    let cluster = &stand.office.cluster;
    let dump = stand.office.folder().join("dump");
    let tool = |name: &str| {
        let mut command = tokio::process::Command::new(cluster.bin_dir().join(name));
        command.args([
            "-h",
            &cluster.socket_dir().display().to_string(),
            "-p",
            &cluster.port().to_string(),
            "-U",
            "postgres",
        ]);
        command
    };
    let status = tool("pg_dump")
        .args(["-Fc", "-f"])
        .arg(&dump)
        .arg("sicantik")
        .status()
        .await
        .unwrap();
    assert!(status.success());
    cluster.create_database("restored", None).await.unwrap();
    let status = tool("pg_restore")
        .args(["--no-owner", "--no-privileges", "-d", "restored"])
        .arg(&dump)
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let client = cluster.connect("restored").await.unwrap();
    let findings: Vec<String> = client
        .query_one(
            "select array_agg(finding) from sicantik_notify.hook_findings()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let all = findings.join("\n");
    for words in [
        "sicantik_notify_capture lacks:",
        "capture_sicantik_permit belongs to postgres, not to",
        "capture_sicantik_document belongs to",
    ] {
        assert!(all.contains(words), "{all}");
    }
    // The host writes on, in whatever state our part is.
    client
        .batch_execute("update sicantik_permit set status = 'restored' where id = 1")
        .await
        .unwrap();
}
