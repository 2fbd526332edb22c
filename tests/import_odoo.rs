//! `import-odoo` on the tables of the replaced module, with what offices leave in them.

#![allow(clippy::unwrap_used)]

mod desk;

use desk::Desk;
use serde_json::Value;
use sicantik_notifyd::testkit::host::{Options, Profile};
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};

const MISTAKES: &str = include_str!("import_odoo/mistakes.sql");

async fn office(profile: Profile, options: Options) -> Desk {
    let plan = Plan {
        profile,
        host: options,
        providers: false,
        ..Plan::default()
    };
    let office = Office::open(desk::program(), &plan).await.unwrap();
    let admin = office.admin().await.unwrap();
    Desk { office, admin }
}

async fn usual() -> Desk {
    office(Profile::Odoo18_0, Options::default()).await
}

impl Desk {
    async fn as_odoo(&self, sql: &str) {
        self.sql(&format!(
            "set role odoo; set search_path = public; {sql}; reset role; reset search_path"
        ))
        .await;
    }

    async fn import(&self, arguments: &[&str]) -> (i32, String) {
        let all: Vec<&str> = ["import-odoo"].iter().chain(arguments).copied().collect();
        let output = self.office.command(&all).output().await.unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }

    async fn report(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = ["import-odoo", "--json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let output = self.office.command(&all).output().await.unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// All configuration, and the marks.
    async fn configuration(&self) -> String {
        let query = "select md5(string_agg(x, ';' order by x)) from (
            select to_jsonb(t.*)::text x from sicantik_notify.trigger t union all select to_jsonb(t.*)::text from sicantik_notify.rule t
            union all select to_jsonb(t.*)::text from sicantik_notify.template t
            union all select to_jsonb(t.*)::text from sicantik_notify.provider t
            union all select to_jsonb(t.*)::text from sicantik_notify.provider_secret t
            union all select to_jsonb(t.*)::text from sicantik_notify.blacklist t
            union all select to_jsonb(t.*)::text from sicantik_notify.import_mark t
            union all select version::text from sicantik_notify.config_version) s";
        self.text(query).await.unwrap()
    }
}

fn entry<'r>(report: &'r Value, source: &str) -> &'r Value {
    let entries = report["entries"].as_array().unwrap();
    let found = entries.iter().find(|e| e["source"] == source);
    found.unwrap_or_else(|| panic!("{source}: {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_as_it_ships_is_carried_over_with_a_report() {
    let desk = usual().await;
    let before = desk.configuration().await;
    let (code, dry) = desk.import(&["--dry-run"]).await;
    assert_eq!(code, 3);
    assert_eq!(desk.configuration().await, before);
    let (code, text) = desk.import(&[]).await;
    assert_eq!(code, 3);
    assert_eq!(dry, format!("{text}This was a dry run: nothing was written.\n"));
    insta::assert_snapshot!(text);
    // Once more: nothing.
    let before = desk.configuration().await;
    let (_, text) = desk.import(&[]).await;
    insta::assert_snapshot!("second", text);
    assert_eq!(desk.configuration().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn typical_mistakes_are_mended_or_named() {
    let desk = usual().await;
    desk.as_odoo(MISTAKES).await;
    let (code, text) = desk.import(&[]).await;
    assert_eq!(code, 3);
    insta::assert_snapshot!(text);
    let before = desk.configuration().await;
    let (code, _) = desk.import(&[]).await;
    assert_eq!((code, desk.configuration().await), (3, before));
    let report = desk.report(&[]).await;
    assert_eq!(report["written"], false);
    assert_eq!(report["summary"]["carried"], 0);
    let _ = entry(&report, "sicantik_notification_rule 101");
    let _ = DATABASE;
}
