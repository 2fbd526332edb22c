//! What the tests of queue and delivery share: an office whose rule for approved permits is active, citizens with permits,
//! and messages put straight into the queue.
#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;

use sicantik_notifyd::testkit::gateway::Accepted;
use sicantik_notifyd::testkit::host::{OdooSession, Value};
use sicantik_notifyd::testkit::office::{Daemon, Office, Plan};
use tokio_postgres::Client;

/// The longest wait of a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Quick looks and signs of life, so that "within seconds" takes less than one here.
pub const QUICK: &str =
    "[capture]\npoll_interval_ms = 50\n[deliver]\npoll_interval_ms = 50\nheartbeat_ms = 200\n";

/// The binary under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"))
}

/// An office with an administrator's connection.
pub struct Desk {
    pub office: Office,
    pub admin: Client,
}

/// An office whose rule `notify_permit_approved` is active, and whose lost answers are settled quickly.
pub async fn desk() -> Desk {
    desk_of(Plan::default()).await
}

pub async fn desk_of(plan: Plan) -> Desk {
    let office = Office::open(program(), &plan).await.unwrap();
    let admin = office.admin().await.unwrap();
    let desk = Desk { office, admin };
    desk.sql(
        "update sicantik_notify.rule set active = true where code = 'notify_permit_approved';
         update sicantik_notify.rule set rate_limit_enabled = false;
         update sicantik_notify.provider set uncertain_wait = interval '300 milliseconds'",
    )
    .await;
    desk
}

impl Desk {
    pub async fn sql(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap();
    }

    /// Waits for a query's boolean; no row is false.
    pub async fn until(&self, query: &str) {
        let query = &match query.starts_with("with") {
            true => query.to_owned(),
            false => format!("select coalesce(({query}), false)"),
        };
        if let Err(error) = self.office.until(&self.admin, query).await {
            panic!("{error}\n{}", self.state().await);
        }
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn text(&self, query: &str) -> Option<String> {
        self.admin
            .query_opt(query, &[])
            .await
            .unwrap()
            .and_then(|r| r.get(0))
    }

    /// A daemon that has registered, and has published its hooks.
    pub async fn daemon(&self, config: &str) -> Daemon {
        let before = self
            .number("select coalesce(max(id), 0) from sicantik_notify.instance")
            .await;
        let daemon = self.office.daemon(config).await.unwrap();
        self.until(&format!(
            "select exists (select from sicantik_notify.capture_publication where model = 'sicantik.permit')
                and exists (select from sicantik_notify.instance where id > {before})"
        ))
        .await;
        daemon
    }

    /// A daemon with the quick settings.
    pub async fn quick(&self) -> Daemon {
        self.daemon(QUICK).await
    }

    pub async fn odoo(&self) -> OdooSession {
        self.office.odoo().await.unwrap()
    }

    /// Puts a message of the rule into the queue, due now. Its id.
    pub async fn message(&self, phone: &str) -> i64 {
        self.message_to(None, phone, "permit_ready").await
    }

    pub async fn message_to(&self, partner: Option<i64>, phone: &str, template: &str) -> i64 {
        self.admin
            .query_one(
                "insert into sicantik_notify.queue (ready, rule_id, partner_id, partner_name, phone, template_key, context)
                 select true, id, $1, 'Budi', $2, $3,
                        '{\"partner_name\": \"Budi\", \"permit_number\": \"503/7\", \"permit_type\": \"SIP\", \"status\": \"Aktif\",
                          \"completion_date\": \"01-02-2026\"}'
                 from sicantik_notify.rule where code = 'notify_permit_approved' returning id",
                &[&partner, &phone, &template],
            )
            .await
            .unwrap()
            .get(0)
    }

    /// Only this provider stays active.
    pub async fn only(&self, provider: &str) {
        self.sql(&format!(
            "update sicantik_notify.provider set active = name = '{provider}'"
        ))
        .await;
    }

    pub async fn accepted(&self, n: usize) -> Vec<Accepted> {
        match self.office.gateway.wait_for_accepted(n, PATIENCE).await {
            Ok(accepted) => accepted,
            Err(error) => panic!("{error}\n{}", self.state().await),
        }
    }

    /// Waits until the queue is empty.
    pub async fn drained(&self) {
        self.until("select not exists (select from sicantik_notify.queue) and not exists (select from sicantik_notify.event)")
            .await;
    }

    /// Queue, log and attempts, for the message of a failed test.
    pub async fn state(&self) -> String {
        let mut text = String::new();
        for table in ["v_queue", "v_attempt", "v_problem", "instance", "event"] {
            let rows = self
                .admin
                .query(
                    &format!("select to_jsonb(t.*)::text from sicantik_notify.{table} t limit 6"),
                    &[],
                )
                .await;
            for row in rows.unwrap_or_default() {
                text.push_str(&format!("{table}: {}\n", row.get::<_, String>(0)));
            }
        }
        text
    }
}

/// Citizens with one draft permit each; (permit, number) of each.
pub async fn citizens(odoo: &mut OdooSession, count: usize) -> Vec<(i32, String)> {
    let numbers: Vec<String> = (0..count).map(|i| format!("62811{:07}", 1000 + i)).collect();
    let people: Vec<Vec<(&str, Value)>> = numbers
        .iter()
        .map(|n| {
            let name = format!("Warga {n}");
            vec![
                ("name", Value::Text(name.clone())),
                ("complete_name", Value::Text(name)),
                ("phone", Value::Text(format!("+{n}"))),
            ]
        })
        .collect();
    odoo.begin().await.unwrap();
    let partners = odoo.create("res_partner", &people).await.unwrap();
    let drafts: Vec<Vec<(&str, Value)>> = partners
        .iter()
        .map(|partner| {
            vec![
                ("registration_id", Value::Text(format!("REG-{partner}"))),
                ("permit_number", Value::Text(format!("503/{partner}"))),
                (
                    "permit_type_name",
                    Value::Text("Izin Mendirikan Bangunan".to_owned()),
                ),
                ("partner_id", Value::Int(i64::from(*partner))),
                ("status", Value::Text("draft".to_owned())),
            ]
        })
        .collect();
    let permits = odoo.create("sicantik_permit", &drafts).await.unwrap();
    odoo.commit().await.unwrap();
    permits.into_iter().zip(numbers).collect()
}

/// One request of Odoo that approves permits.
pub async fn approve(odoo: &mut OdooSession, permits: &[i32]) {
    odoo.request(async |odoo: &mut OdooSession| {
        odoo.write(
            "sicantik_permit",
            permits,
            &[("status", Value::Text("active".to_owned()))],
        );
        Ok(())
    })
    .await
    .unwrap();
}
