//! An office whose changes are captured by one of the two backends and not evaluated: events stay and can be looked at.
#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::config::Backend;
use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::host::{OWNER, OdooSession};
use sicantik_notifyd::testkit::office::{Daemon, Office, Plan};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;
use tokio_postgres::types::FromSqlOwned;

/// Events stay where they are.
pub const CAPTURE_ONLY: &str = "[capture]\npoll_interval_ms = 50\nverify_interval_seconds = 1\nheartbeat_seconds = 1\n[evaluate]\nenabled = false\n[deliver]\nenabled = false\n";

pub struct Stand {
    pub office: Office,
    pub admin: Client,
    pub backend: Backend,
    pub daemon: Daemon,
}

impl Stand {
    pub async fn open(backend: Backend) -> Self {
        // Two-phase commit, and a slot that cannot fill the disk.
        let cluster = Cluster::builder()
            .setting("max_prepared_transactions", "5")
            .setting("max_slot_wal_keep_size", "2GB")
            .start()
            .await
            .unwrap();
        let gateway = Gateway::start().await.unwrap();
        let plan = Plan {
            providers: false,
            ..Plan::default()
        };
        let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
        let office = Office::furnish(cluster, gateway, program, &plan).await.unwrap();
        if backend == Backend::Logical {
            office.run(&["capture", "switch", "logical"]).await.unwrap();
        }
        let admin = office.admin().await.unwrap();
        let daemon = office.daemon(CAPTURE_ONLY).await.unwrap();
        Self {
            office,
            admin,
            backend,
            daemon,
        }
    }

    /// Triggers (columns of `trigger`, as SQL) beside the guide's, captured from now on.
    pub async fn watch(&self, rows: &str) {
        self.sql(&format!(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch) values {rows}"
        ))
        .await;
        self.office.run(&["hooks", "install"]).await.unwrap();
    }

    pub async fn sql(&self, sql: &str) {
        if let Err(error) = self.admin.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }

    pub async fn one<T: FromSqlOwned>(&self, sql: &str) -> T {
        match self.admin.query_one(sql, &[]).await {
            Ok(row) => row.get(0),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    pub async fn host(&self) -> Client {
        self.office.connect_as(OWNER).await.unwrap()
    }

    pub async fn odoo(&self) -> OdooSession {
        let mut odoo = self.office.odoo().await.unwrap();
        odoo.set_retry_pause(Duration::from_millis(5));
        odoo
    }

    pub async fn until(&self, sql: &str) {
        if let Err(error) = self.office.until(&self.admin, sql).await {
            panic!("{error}\n{}", self.daemon.log());
        }
    }

    /// Everything that was committed before has been captured.
    pub async fn settle(&self) {
        if self.backend == Backend::Triggers {
            return;
        }
        // A change of our own tables makes the daemon store its position at once.
        self.sql("update sicantik_notify.noise_column set model = model where model = 'res.partner'")
            .await;
        let here: String = self.one("select pg_current_wal_insert_lsn()::text").await;
        self.sql("update sicantik_notify.noise_column set model = model where model = 'res.partner'")
            .await;
        self.until(&format!(
            "select position >= '{here}' from sicantik_notify.capture_slot"
        ))
        .await;
    }

    /// What was captured since [`Self::forget`], a line an event.
    pub async fn events(&self) -> Vec<String> {
        self.settle().await;
        let rows = self
            .admin
            .query(
                "select concat_ws(' ', model || ',' || record_id, op, changed::text, old::text, '->', new::text) \
                 from sicantik_notify.event order by id",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|r| r.get(0)).collect()
    }

    pub async fn count(&self) -> i64 {
        self.settle().await;
        self.one("select count(*) from sicantik_notify.event").await
    }

    pub async fn forget(&self) {
        self.settle().await;
        self.sql("delete from sicantik_notify.event").await;
    }
}

/// The same test with both backends.
#[macro_export]
macro_rules! on_both {
    ($name:ident, $stand:ident, $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            async fn body($stand: $crate::stand::Stand) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn triggers() {
                body($crate::stand::Stand::open(sicantik_notifyd::config::Backend::Triggers).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn logical() {
                body($crate::stand::Stand::open(sicantik_notifyd::config::Backend::Logical).await).await;
            }
        }
    };
}
