//! What these tests share.

use serde_json::Value;
use sicantik_notifyd::testkit::host::ids;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::desk::Desk;

/// Permits of two citizens who can be reached.
pub const PERMITS: [i32; 2] = [ids::PERMIT_DRAFT, ids::PERMIT_ACTIVE];

impl Desk {
    /// Runs the binary: exit code, and all that it printed.
    pub async fn cli(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.office.command(arguments).output().await.unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }

    /// Runs the binary with `--json`; what it answers.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = self.office.command(&arguments).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A trigger of this type on permits with one rule of the same code.
    pub async fn trigger(&self, code: &str, kind: &str, columns: &str) {
        self.sql(&format!(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('{code}', '{code}', 'sicantik.permit', '{kind}');
             insert into sicantik_notify.rule (code, name, trigger, template_key, rate_limit_enabled)
             values ('{code}', '{code}', '{code}', 'permit_ready', false);
             update sicantik_notify.rule set {columns} where code = '{code}'"
        ))
        .await;
    }

    /// A person with a login that is a member of this role only.
    pub async fn person(&self, name: &str, role: &str) -> Client {
        self.sql(&format!("create role {name} login; grant {role} to {name}"))
            .await;
        self.office.connect_as(name).await.unwrap()
    }
}

/// The error of a statement: SQLSTATE, message and hint.
pub async fn refused(client: &Client, sql: &str) -> (SqlState, String) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let db = error.as_db_error().unwrap();
    let text = format!("{} / {}", db.message(), db.hint().unwrap_or_default());
    (db.code().clone(), text)
}
