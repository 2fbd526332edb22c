//! What the tests of the capture hooks share: an office with hooks and without a daemon, and looks at what they did.
#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::host::OWNER;
use sicantik_notifyd::testkit::office::{Office, Plan};
use tokio_postgres::Client;

/// Forms that a hook can have.
pub const SHAPES: [&str; 2] = ["statement", "row"];

/// A host write that takes longer waits for something of ours.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Gives a permit another status.
pub const TOGGLE: &str =
    "update sicantik_permit set status = case status when 'active' then 'draft' else 'active' end";

/// An office with hooks.
pub struct Hooked {
    pub office: Office,
    pub admin: Client,
}

impl Hooked {
    pub async fn open() -> Self {
        let plan = Plan {
            providers: false,
            ..Plan::default()
        };
        let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
        let office = Office::open(program, &plan).await.unwrap();
        let admin = office.admin().await.unwrap();
        Self { office, admin }
    }

    /// The same with hooks of this form.
    pub async fn of(shape: &str) -> Self {
        let hooked = Self::open().await;
        hooked.reshape(shape).await;
        hooked
    }

    /// Gives all hooks this form.
    pub async fn reshape(&self, shape: &str) {
        self.sql(&format!(
            "update sicantik_notify.capture_plan set shape = '{shape}'"
        ))
        .await;
        self.install().await;
    }

    pub async fn install(&self) -> String {
        self.office.run(&["hooks", "install"]).await.unwrap()
    }

    pub async fn sql(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn text(&self, query: &str) -> String {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn yes(&self, query: &str) -> bool {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    /// A connection of the host's role.
    pub async fn host(&self) -> Client {
        self.office.connect_as(OWNER).await.unwrap()
    }

    /// Events that wait.
    pub async fn events(&self) -> i64 {
        self.number("select count(*) from sicantik_notify.event").await
    }

    /// Writes that were counted as missed so far.
    pub async fn misses(&self) -> i64 {
        self.number("select case when is_called then last_value else 0 end from sicantik_notify.miss")
            .await
    }

    pub async fn findings(&self) -> String {
        self.text("select coalesce(string_agg(finding, e'\\n'), '') from sicantik_notify.hook_findings()")
            .await
    }

    /// Exit code and output of `hooks verify`.
    pub async fn verify(&self) -> (Option<i32>, String) {
        let output = self.office.command(&["hooks", "verify"]).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    }

    pub async fn publish(&self) {
        self.sql("select * from sicantik_notify.publish_capture()").await;
    }

    /// A write of the host that must succeed, at once, whatever is in our way; how many rows it wrote.
    pub async fn write(&self, host: &Client, sql: &str) -> u64 {
        tokio::time::timeout(AT_ONCE, host.execute(sql, &[]))
            .await
            .unwrap_or_else(|_| panic!("the host waits: {sql}"))
            .unwrap_or_else(|error| panic!("the host's write fails: {sql}: {error:?}"))
    }

    /// Gives this permit another status, which must be committed at once; asserts that.
    pub async fn toggle(&self, host: &Client, permit: i32) {
        let status = format!("select status from sicantik_permit where id = {permit}");
        let before = self.text(&status).await;
        let rows = self.write(host, &format!("{TOGGLE} where id = {permit}")).await;
        assert_eq!(rows, 1);
        assert_ne!(before, self.text(&status).await, "the host's row has not changed");
    }

    /// [`Self::toggle`], of which nothing is captured and one miss is counted.
    pub async fn toggle_missed(&self, host: &Client, permit: i32, what: &str) {
        let before = self.misses().await;
        self.toggle(host, permit).await;
        assert_eq!(self.misses().await - before, 1, "misses while {what}");
    }

    /// [`Self::toggle`], which is captured.
    pub async fn toggle_captured(&self, host: &Client, permit: i32, when: &str) {
        let before = (self.events().await, self.misses().await);
        self.toggle(host, permit).await;
        assert_eq!(
            (self.events().await, self.misses().await),
            (before.0 + 1, before.1),
            "events and misses {when}"
        );
    }
}
