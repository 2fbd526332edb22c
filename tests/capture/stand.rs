//! An office without daemon and providers: what is captured stays in `event` and can be looked at.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::host::{OdooSession, Profile};
use sicantik_notifyd::testkit::office::{Office, Plan};
use tokio_postgres::Client;
use tokio_postgres::types::FromSqlOwned;

pub struct Stand {
    pub office: Office,
    pub admin: Client,
}

impl Stand {
    pub async fn open() -> Self {
        Self::of(Profile::Odoo18_0).await
    }

    pub async fn of(profile: Profile) -> Self {
        Self::with(&Plan {
            profile,
            providers: false,
            ..Plan::default()
        })
        .await
    }

    pub async fn with(plan: &Plan) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
        let office = Office::open(program, plan).await.unwrap();
        let admin = office.admin().await.unwrap();
        Self { office, admin }
    }

    /// Triggers (columns of `trigger`, as SQL) beside the guide's, and the hooks for them.
    pub async fn watch(&self, rows: &str) {
        self.run(&format!(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type, field_to_watch) values {rows}"
        ))
        .await;
        self.office.run(&["hooks", "install"]).await.unwrap();
    }

    /// Makes the hooks of one form: `statement` or `row`.
    pub async fn shape(&self, shape: &str) {
        self.run(&format!(
            "update sicantik_notify.capture_plan set shape = '{shape}'"
        ))
        .await;
        self.office.run(&["hooks", "install"]).await.unwrap();
    }

    pub async fn publish(&self) {
        self.run("select sicantik_notify.publish_capture()").await;
    }

    pub async fn run(&self, sql: &str) {
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

    pub async fn events(&self) -> i64 {
        self.one("select count(*) from sicantik_notify.event").await
    }

    pub async fn misses(&self) -> i64 {
        self.one("select case when is_called then last_value else 0 end from sicantik_notify.miss")
            .await
    }

    pub async fn findings(&self) -> String {
        self.one(
            "select coalesce(string_agg(concat_ws(' | ', table_name, finding, remedy), E'\\n'), '') \
             from sicantik_notify.hook_findings()",
        )
        .await
    }

    pub async fn odoo(&self) -> OdooSession {
        let mut odoo = self.office.odoo().await.unwrap();
        odoo.set_retry_pause(Duration::from_millis(5));
        odoo
    }

    /// Waits for this query's boolean.
    pub async fn until(&self, sql: &str) {
        self.office.until(&self.admin, sql).await.unwrap();
    }
}

/// The host must not wait: what takes this long would wait for ever.
pub async fn at_once<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .unwrap_or_else(|_| panic!("the host waits: {what}"))
}

/// The same test on both host profiles.
#[macro_export]
macro_rules! on_both_profiles {
    ($name:ident, $stand:ident, $body:block) => {
        mod $name {
            use super::*;
            async fn body($stand: $crate::stand::Stand) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn odoo_18_0() {
                body($crate::stand::Stand::of(sicantik_notifyd::testkit::host::Profile::Odoo18_0).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn saas_18_4() {
                body($crate::stand::Stand::of(sicantik_notifyd::testkit::host::Profile::Saas18_4).await).await;
            }
        }
    };
}
