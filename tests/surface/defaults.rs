//! The guide's triggers, templates and rules: offered once, inactive where they would send, and complete.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sicantik_notifyd::evaluate::context::{Office as Values, Subject, default_context};
use sicantik_notifyd::host::catalog::Model;
use sicantik_notifyd::testkit::office::{Office, Plan};
use tokio_postgres::Client;

use crate::harness::{office, program};

async fn column(client: &Client, query: &str) -> Vec<String> {
    let rows = client.query(query, &[]).await.expect("answers");
    rows.iter().map(|r| r.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn six_triggers_of_the_guide_and_the_seventh_inactive_and_no_rule_sends() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    assert_eq!(
        column(
            &admin,
            "select concat_ws(' ', code, active, model, trigger_type, coalesce(state_from, '*') || '>' || coalesce(state_to, '*')) \
             from sicantik_notify.trigger where code not like 'system%' order by sequence"
        )
        .await,
        [
            "permit_state_change t sicantik.permit on_state_change *>*",
            "permit_expiring t sicantik.permit cron *>*",
            "document_uploaded t sicantik.document on_state_change draft>uploaded",
            "document_pending_signature t sicantik.document on_state_change *>pending_signature",
            "document_signed t sicantik.document on_state_change *>signed",
            "document_pending_reminder t sicantik.document cron *>*",
            "permit_issued f sicantik.permit on_field_change *>*",
        ]
    );
    let rules = column(
        &admin,
        "select code from sicantik_notify.rule where code not like 'system%'",
    )
    .await;
    assert_eq!(rules.len(), 6);
    // It answers those who stop our messages, and sends nothing else.
    let active = column(&admin, "select code from sicantik_notify.rule where active").await;
    assert_eq!(active, ["system_stop_confirmation"]);
    let dangling = column(
        &admin,
        "select r.code from sicantik_notify.rule r left join sicantik_notify.template t using (template_key) where t.id is null \
         union all select m.template_key from sicantik_notify.template_map m \
         where not exists (select from sicantik_notify.template t where t.template_key = m.template_key) \
            or not exists (select from sicantik_notify.template t where t.template_key = m.meta_key)",
    )
    .await;
    assert_eq!(dangling, [""; 0], "every key that is named exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_does_not_come_back_and_what_was_changed_stays() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    admin
        .batch_execute(
            "delete from sicantik_notify.rule; delete from sicantik_notify.trigger; delete from sicantik_notify.template_map; \
             delete from sicantik_notify.template where template_key <> 'permit_ready'; \
             update sicantik_notify.template set body = 'mine'",
        )
        .await
        .expect("an administrator tidies up");
    office.run(&["migrate"]).await.expect("migrates");
    for table in ["rule", "trigger", "template_map"] {
        let rows = column(&admin, &format!("select t::text from sicantik_notify.{table} t")).await;
        assert_eq!(rows, [""; 0], "{table}");
    }
    assert_eq!(
        column(&admin, "select body from sicantik_notify.template").await,
        ["mine"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_triggers_of_his_own_gets_none_of_ours() {
    let plan = Plan {
        hooks: false,
        providers: false,
        ..Plan::default()
    };
    let office = Office::open(program(), &plan).await.expect("an office");
    let admin = office.admin().await.expect("a connection");
    // As if the first migration had been one without defaults.
    admin
        .batch_execute(
            "delete from sicantik_notify.rule; delete from sicantik_notify.trigger; \
             delete from sicantik_notify.repeatable where name like 'defaults/%'; \
             insert into sicantik_notify.trigger (code, name, model, trigger_type) values ('mine', 'Mine', 'sicantik.permit', 'manual')",
        )
        .await
        .expect("sets up");
    office.run(&["migrate", "--no-defaults"]).await.expect("migrates");
    assert_eq!(
        column(&admin, "select code from sicantik_notify.rule").await,
        [""; 0]
    );
    office.run(&["migrate"]).await.expect("migrates");
    assert_eq!(
        column(&admin, "select code from sicantik_notify.trigger").await,
        ["mine"]
    );
    // The default rules need the default triggers.
    assert_eq!(
        column(&admin, "select code from sicantik_notify.rule").await,
        [""; 0]
    );
}

/// A record of the host, as a hook carries it.
async fn record(client: &Client, table: &str, condition: &str) -> Map<String, Value> {
    let row = client
        .query_one(
            &format!("select to_jsonb(t.*) from {table} t where {condition} order by id limit 1"),
            &[],
        )
        .await
        .expect("a record");
    let value: Value = row.get(0);
    value.as_object().cloned().expect("an object")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_template_renders_for_a_permit_and_for_a_document() {
    let office = office().await;
    let admin = office.admin().await.expect("a connection");
    let keys = column(
        &admin,
        "select template_key from sicantik_notify.template order by 1",
    )
    .await;
    for key in [
        "permit_ready",
        "document_pending",
        "approval_required",
        "reminder",
        "status_update",
        "permit_reminder",
        "renewal_approved",
    ] {
        assert!(keys.contains(&key.to_owned()), "the guide's key {key} is there");
    }

    let model = |name: &str| Model {
        name: name.into(),
        table: name.replace('.', "_"),
        fields: BTreeMap::new(),
        order: Vec::new(),
    };
    let (permit_model, document_model) = (model("sicantik.permit"), model("sicantik.document"));
    let permit = record(&admin, "public.sicantik_permit", "id = 1").await;
    let document = record(&admin, "public.sicantik_document", "permit_id is not null").await;
    let values = Values {
        timezone: chrono_tz::Asia::Jakarta,
        link_base: "https://office.example".into(),
        contact_info: "0628".into(),
        opt_in_link: "https://office.example/opt-in".into(),
    };
    let now = chrono::Utc::now();
    let subjects = [(&permit_model, &permit), (&document_model, &document)];
    for (model, record) in subjects {
        let subject = Subject {
            model,
            record,
            permit: Some((&permit_model, &permit)),
            changed_at: now,
        };
        let context = default_context(&subject, "Budi", &values, now);
        for row in admin
            .query(
                "select template_key, body, parameters from sicantik_notify.template",
                &[],
            )
            .await
            .expect("templates")
        {
            let (key, mut text, parameters): (String, String, Vec<String>) =
                (row.get(0), row.get(1), row.get(2));
            for name in &parameters {
                let placeholder = format!("{{{{{name}}}}}");
                assert!(
                    text.contains(&placeholder),
                    "{key} lists {name} and does not use it"
                );
                let value = context
                    .get(name)
                    .unwrap_or_else(|| panic!("{key}: no value for {name}"));
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert!(!value.is_null(), "{key}: {name} is null");
                text = text.replace(&placeholder, &shown);
            }
            assert!(!text.contains("{{"), "{key} for {}: {text}", model.name);
        }
    }
}
