//! Evaluation without a daemon: the batches of a daemon that reads the configuration before each of them, at a time that the
//! test chooses.

use std::path::Path;

use serde_json::Value;
use sicantik_notifyd::capture::fire::{Fired, Selection, fire};
use sicantik_notifyd::db::{Database, Endpoint};
use sicantik_notifyd::evaluate::batch::{Round, Summary, evaluate};
use sicantik_notifyd::evaluate::configuration::Configuration;
use sicantik_notifyd::evaluate::digest;
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan, RUNTIME};
use tokio_postgres::Client;

pub struct Bench {
    pub office: Office,
    pub admin: Client,
    database: Database,
}

impl Bench {
    /// An office without daemon and providers.
    pub async fn open() -> Self {
        let plan = Plan {
            providers: false,
            ..Plan::default()
        };
        let office = Office::open(Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd")), &plan)
            .await
            .unwrap();
        let admin = office.admin().await.unwrap();
        let url = office.cluster.url_as(RUNTIME, DATABASE);
        let database = Endpoint::parse(&url, None).unwrap().pool(8).unwrap();
        Self {
            office,
            admin,
            database,
        }
    }

    pub async fn sql(&self, sql: &str) {
        if let Err(error) = self.admin.batch_execute(sql).await {
            panic!("{}\n{sql}", sicantik_notifyd::db::describe(&error));
        }
    }

    /// A rule with these columns, on a trigger that fires by hand.
    pub async fn rule(&self, model: &str, code: &str, columns: &str) {
        self.sql(&format!(
            "insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('{code}', '{code}', '{model}', 'manual');
             insert into sicantik_notify.rule (code, name, trigger, template_key) values ('{code}', '{code}', '{code}', 'permit_ready');
             update sicantik_notify.rule set {columns} where code = '{code}'"
        ))
        .await;
    }

    /// Grants what the rules read.
    pub async fn grants(&self) {
        self.office.run(&["hooks", "install"]).await.unwrap();
    }

    /// Fires a trigger for records, in one transaction, without an image.
    pub async fn fire(&self, trigger: &str, records: &[i32]) {
        let fire = "insert into sicantik_notify.event (op, record_id, model, target_trigger) \
                    select 'F', r.id, t.model, t.id \
                    from sicantik_notify.trigger t, unnest($2::integer[]) with ordinality r (id, place) \
                    where t.code = $1 order by r.place";
        let fired = self.admin.execute(fire, &[&trigger, &records]).await.unwrap();
        assert_eq!(fired as usize, records.len());
    }

    /// Fires an active trigger as a schedule, a person or a programme does.
    pub async fn fire_with(&self, trigger: &str, selection: Selection<'_>, kwargs: Value) -> Fired {
        let mut client = self.client("").await;
        let configuration = self.configuration(&mut client).await;
        let trigger = configuration.triggers.iter().find(|t| t.code == trigger).unwrap();
        let tx = client.transaction().await.unwrap();
        let fired = fire(&tx, trigger.id, &trigger.model, selection, kwargs.as_object())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        fired
    }

    pub async fn client(&self, offset: &str) -> deadpool_postgres::Client {
        let client = self.database.get().await.unwrap();
        let set = "select set_config('sicantik_notify.clock_offset', $1, false)";
        client.query_one(set, &[&offset]).await.unwrap();
        client
    }

    pub async fn configuration(&self, client: &mut deadpool_postgres::Client) -> Configuration {
        let tx = client.transaction().await.unwrap();
        let configuration = Configuration::load(&tx).await.unwrap();
        tx.commit().await.unwrap();
        configuration
    }

    /// One batch of so many records.
    pub async fn batch(&self, limit: u32) -> Round {
        let mut client = self.client("").await;
        let configuration = self.configuration(&mut client).await;
        evaluate(&mut client, &configuration, limit, 30).await.unwrap()
    }

    /// Flushes the digests of runs that are over.
    pub async fn flush(&self) -> usize {
        digest::flush(&mut self.client("").await).await.unwrap()
    }

    /// Evaluates all there is, at a time.
    pub async fn run_at(&self, offset: &str) -> Summary {
        let mut client = self.client(offset).await;
        let configuration = self.configuration(&mut client).await;
        let mut all = Summary::default();
        while let Round::Done(done) = evaluate(&mut client, &configuration, 1000, 30).await.unwrap() {
            all.events += done.events;
            all.changes += done.changes;
            all.messages += done.messages;
            all.set_aside += done.set_aside;
        }
        all.messages += digest::flush(&mut client).await.unwrap();
        all
    }

    pub async fn run(&self) -> Summary {
        self.run_at("").await
    }

    /// What a query of one text column answers.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.admin.query(query, &[]).await;
        let rows = rows.unwrap_or_else(|e| panic!("{}\n{query}", sicantik_notifyd::db::describe(&e)));
        rows.iter().map(|r| r.get(0)).collect()
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Recipients of the waiting messages of a rule, as `record partner`, sorted; and then forgotten.
    pub async fn told(&self, rule: &str) -> Vec<String> {
        let told = self
            .texts(&format!(
                "select concat_ws(' ', q.record_id, coalesce(q.partner_id::text, q.phone)) from sicantik_notify.queue q \
                 join sicantik_notify.rule r on r.id = q.rule_id where r.code = '{rule}' \
                 order by q.record_id, q.partner_id, q.phone"
            ))
            .await;
        self.sql(&format!(
            "delete from sicantik_notify.queue where rule_id = (select id from sicantik_notify.rule where code = '{rule}')"
        ))
        .await;
        told
    }

    /// Decisions of a rule, as `record outcome: reason`, and then forgotten.
    pub async fn decided(&self, rule: &str) -> Vec<String> {
        let decided = self
            .texts(&format!(
                "select record_id || ' ' || outcome || ': ' || reason from sicantik_notify.decision \
                 where rule_code = '{rule}' order by record_id, outcome, id"
            ))
            .await;
        self.sql("delete from sicantik_notify.decision").await;
        decided
    }

    /// What is wrong with the configuration of a rule.
    pub async fn problem(&self, rule: &str) -> String {
        let mut client = self.client("").await;
        let configuration = self.configuration(&mut client).await;
        let about = format!("rule {rule}");
        let found = configuration.problems.iter().find(|p| p.about == about);
        found.map(|p| p.summary.clone()).unwrap_or_default()
    }
}
