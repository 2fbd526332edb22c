//! `import-odoo` on the tables of the replaced module, with what offices leave in them.

#![allow(clippy::unwrap_used)]

mod desk;

use desk::Desk;
use serde_json::Value;
use sicantik_notifyd::testkit::host::{Options, Profile};
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};

/// Campaigns have a test of their own.
const NO_CAMPAIGN: &str =
    "delete from sicantik_notification_queue; delete from sicantik_notification_campaign";

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
    desk.as_odoo(NO_CAMPAIGN).await;
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
    desk.as_odoo(NO_CAMPAIGN).await;
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
    assert_eq!(
        entry(&report, "sicantik_notification_rule 101")["result"],
        "here_already"
    );
    // What was carried over and stands active compiles.
    let output = desk.office.command(&["check"]).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // An export of it is a whole configuration.
    let file = desk.office.folder().join("export.toml");
    std::fs::write(&file, desk.office.run(&["export"]).await.unwrap()).unwrap();
    let text = desk
        .office
        .run(&["apply", "--dry-run", "--prune", "-f", file.to_str().unwrap()])
        .await
        .unwrap();
    assert!(text.starts_with("Nothing differs"), "{text}");
}

/// Without the module's own scheduled actions, rules are in force at once unless something about them is different.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_in_force_where_nobody_else_sends() {
    let desk = usual().await;
    desk.as_odoo("update ir_cron set active = false where id in (1, 2, 3)")
        .await;
    desk.sql("update sicantik_notify.rule set active = true, recipient_type = 'staff' where code = 'notify_document_pending_signature'")
        .await;
    let report = desk.report(&[]).await;
    let rules = "select string_agg(code, ',' order by code) from sicantik_notify.rule r
        where active and exists (select from sicantik_notify.import_mark m where m.section = 'rules' and m.code = r.code)";
    let active = desk.text(rules).await.unwrap();
    assert!(
        active.contains("beritahu_pemohon_izin_selesai") && active.contains("ingatkan_pemegang_izin"),
        "{active}"
    );
    // The same message to the same people from a rule that is in force here already.
    let doubled = entry(&report, "sicantik_notification_rule 2");
    assert_eq!(doubled["switched_off"], true);
    assert!(
        doubled["notes"]
            .to_string()
            .contains("the active rule notify_document_pending_signature says the same to the same people"),
        "{doubled}"
    );
    let row: Value = desk
        .admin
        .query_one(
            "select to_jsonb(r.*) from sicantik_notify.rule r where code = 'ingatkan_pemegang_izin'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(row["condition_domain"], Value::Null);
    assert_eq!(
        (
            &row["recipient_type"],
            &row["recipient_field"],
            &row["schedule_type"],
            &row["trigger"]
        ),
        (
            &"field".into(),
            &"partner_id".into(),
            &"batch".into(),
            &"permit_expiring".into()
        )
    );
    // Groups: an external id where there is one, else the name that no other group has.
    let groups = "select string_agg(coalesce(staff_group, official_group), ',' order by code) from sicantik_notify.rule
                  where code like 'beritahu_pejabat%' or code like 'beritahu_staf%'";
    assert_eq!(
        desk.text(groups).await.as_deref(),
        Some("__export__.res_groups_11_4f2a9c1e,DPMPTSP Staff")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_here_stays_and_what_was_changed_in_odoo_follows() {
    let desk = usual().await;
    desk.import(&[]).await;
    // Here: one rule changed, one removed. In Odoo: both, a third one, and counters.
    desk.sql(
        "update sicantik_notify.rule set priority = 9 where code = 'beritahu_pemohon_izin_selesai';
         delete from sicantik_notify.rule where code = 'beritahu_staf_dokumen_menunggu'",
    )
    .await;
    let before = desk.configuration().await;
    desk.as_odoo("update sicantik_notification_rule set execution_count = 7, write_date = now()")
        .await;
    let report = desk.report(&[]).await;
    assert_eq!(desk.configuration().await, before);
    assert!(
        entry(&report, "sicantik_notification_rule 2")["notes"]
            .to_string()
            .contains("it was removed here, and is not brought back")
    );
    desk.as_odoo("update sicantik_notification_rule set rate_limit_count = 7")
        .await;
    let report = desk.report(&[]).await;
    let kept = entry(&report, "sicantik_notification_rule 1");
    assert_eq!(kept["result"], "kept");
    assert!(
        kept["notes"]
            .to_string()
            .contains("it was changed here and in Odoo"),
        "{kept}"
    );
    assert_eq!(entry(&report, "sicantik_notification_rule 2")["result"], "kept");
    let followed = entry(&report, "sicantik_notification_rule 3");
    assert_eq!(followed["result"], "changed");
    assert!(
        followed["notes"]
            .to_string()
            .contains("it was changed in Odoo since the last import"),
        "{followed}"
    );
    let limits = "select string_agg(code || ' ' || rate_limit_count, ',' order by code) from sicantik_notify.rule
                  where code in ('beritahu_pemohon_izin_selesai', 'beritahu_staf_dokumen_menunggu', 'beritahu_pejabat_perlu_persetujuan')";
    assert_eq!(
        desk.text(limits).await.as_deref(),
        Some("beritahu_pejabat_perlu_persetujuan 7,beritahu_pemohon_izin_selesai 100")
    );
    // An office that edited a shipped trigger meant it; one that an administrator edited here is the administrator's.
    desk.as_odoo(
        "update sicantik_notification_trigger set state_to = 'verified' where code = 'document_signed'",
    )
    .await;
    desk.import(&[]).await;
    let to = "select state_to from sicantik_notify.trigger where code = 'document_signed'";
    assert_eq!(desk.text(to).await.as_deref(), Some("verified"));
    let before = desk.configuration().await;
    desk.import(&[]).await;
    assert_eq!(desk.configuration().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_here_under_the_same_name_is_not_overwritten() {
    let desk = usual().await;
    desk.sql(
        "update sicantik_notify.template set body = 'Ours {{partner_name}}' where template_key = 'permit_ready';
         update sicantik_notify.trigger set name = 'Ours' where code = 'permit_expiring';
         insert into sicantik_notify.provider (name, provider_type, active) values ('Fonnte', 'fonnte', false);
         select sicantik_notify.blacklist_add('081298765432', 'ours'); select sicantik_notify.blacklist_remove('081298765432')",
    )
    .await;
    desk.as_odoo(
        "update sicantik_notification_trigger set condition_domain = '[]' where code = 'permit_expiring'",
    )
    .await;
    let report = desk.report(&[]).await;
    for (source, word) in [
        ("sicantik_whatsapp_template_master 1", "body"),
        ("sicantik_notification_trigger 2", "condition_domain"),
        ("sicantik_whatsapp_provider 2", "settings"),
        (
            "sicantik_notification_blacklist 1",
            "an operator took this number off the list here",
        ),
    ] {
        let entry = entry(&report, source);
        assert_eq!(entry["result"], "kept", "{entry}");
        assert!(entry["notes"].to_string().contains(word), "{entry}");
    }
    assert_eq!(
        desk.text("select body from sicantik_notify.template where template_key = 'permit_ready'")
            .await
            .as_deref(),
        Some("Ours {{partner_name}}")
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.blacklist where active")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_named_or_copied_and_never_shown() {
    const SECRETS: &[&str] = &[
        "fixture-fonnte-token",
        "fixture-watzap-key",
        "fixture-device",
        "fixture-second-token",
        "fixture-fonnte-secret",
        "fixture-meta-token",
        "fixture-app-secret",
    ];
    let desk = usual().await;
    desk.as_odoo(MISTAKES).await;
    desk.as_odoo(
        "insert into whatsapp_account (id, name, app_uid, app_secret, account_uid, phone_uid, token, webhook_verify_token, active)
         values (7, 'Meta', '1', 'fixture-app-secret', '200', '300', 'fixture-meta-token', 'fixture-app-secret', true);
         update sicantik_whatsapp_provider set meta_account_id = 7 where id = 1",
    )
    .await;
    let quiet = |text: &str| SECRETS.iter().all(|secret| !text.contains(secret));
    for arguments in [
        &["--dry-run"][..],
        &["--dry-run", "--json"],
        &["--dry-run", "--with-secrets"],
    ] {
        let (_, text) = desk.import(arguments).await;
        assert!(quiet(&text), "{text}");
    }
    let (_, text) = desk.import(&[]).await;
    assert!(quiet(&text), "{text}");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.provider_secret where value is not null")
            .await,
        0
    );
    let meta: Value = desk
        .admin
        .query_one(
            "select settings from sicantik_notify.provider where provider_type = 'meta'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        meta,
        serde_json::json!({"phone_number_id": "300", "waba_id": "200"})
    );
    let everything = desk
        .text(
            "select string_agg(x, ' ') from (select to_jsonb(t.*)::text x from sicantik_notify.provider t union all
             select to_jsonb(t.*)::text from sicantik_notify.provider_secret t union all
             select to_jsonb(t.*)::text from sicantik_notify.import_mark t) s",
        )
        .await
        .unwrap();
    assert!(quiet(&everything), "{everything}");
    // Where the operator says so, from table to table.
    let desk = usual().await;
    desk.as_odoo(MISTAKES).await;
    let (_, text) = desk.import(&["--with-secrets"]).await;
    assert!(quiet(&text), "{text}");
    let copied = "select string_agg(p.name || ' ' || s.name || ' ' || coalesce(s.value, '→ ' || s.credential), ', ' order by p.name, s.name)
                  from sicantik_notify.provider_secret s join sicantik_notify.provider p on p.id = s.provider_id where p.name like '%nte%'
                      or p.name like 'Watzap%'";
    assert_eq!(
        desk.text(copied).await.as_deref(),
        Some(
            "Fonnte token fixture-fonnte-token, Fonnte Karo token fixture-second-token, Watzap api_key fixture-watzap-key, \
             Watzap number_key fixture-device, Watzap Kosong api_key → watzap-kosong-api-key, \
             Watzap Kosong number_key → watzap-kosong-number-key"
        )
    );
    let before = desk.configuration().await;
    desk.import(&["--with-secrets"]).await;
    assert_eq!(desk.configuration().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_host_and_twins_that_it_allows() {
    let desk = office(Profile::Saas18_4, Options::default()).await;
    desk.as_odoo(MISTAKES).await;
    desk.as_odoo(
        "insert into sicantik_notification_trigger (id, name, code, active, model_id, model_name, trigger_type, state_field, state_to)
         select 120, '{\"en_US\": \"Twin\"}', 'document_signed', true, id, model, 'on_state_change', 'state', 'verified'
         from ir_model where model = 'sicantik.document';
         insert into sicantik_notification_rule (id, name, active, trigger_id, template_key, recipient_type, schedule_type, respect_blacklist)
         values (120, '{\"en_US\": \"On the twin\"}', true, 120, 'document_signed', 'partner', 'immediate', true);
         insert into sicantik_whatsapp_template_master (id, template_key, name, body_preview, parameter_list, language, active)
         values (120, 'permit_ready', 'Twin', 'Twin {{partner_name}}', '[\"partner_name\"]', 'id', true)",
    )
    .await;
    let report = desk.report(&[]).await;
    let twin = entry(&report, "sicantik_notification_trigger 120");
    assert_eq!(
        (&twin["code"], &twin["switched_off"]),
        (&"document_signed_120".into(), &true.into())
    );
    assert!(
        twin["notes"]
            .to_string()
            .contains("another trigger of Odoo has the same name document_signed"),
        "{twin}"
    );
    assert_eq!(
        desk.text("select trigger from sicantik_notify.rule where code = 'on_the_twin'")
            .await
            .as_deref(),
        Some("document_signed_120")
    );
    assert_eq!(
        entry(&report, "sicantik_whatsapp_template_master 120")["code"],
        "permit_ready_120"
    );
    let before = desk.configuration().await;
    let report = desk.report(&[]).await;
    assert_eq!(report["written"], false);
    assert_eq!(desk.configuration().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_not_there_are_not_missed() {
    let desk = usual().await;
    desk.as_odoo(
        "alter table sicantik_notification_rule drop column template_master_id, drop column context_preparation_code,
             drop column trigger_code, drop column retry_delay;
         alter table sicantik_notification_trigger drop column model_name, drop column field_to_watch_name, drop column cron_expression;
         alter table sicantik_notification_trigger alter column name type varchar using name ->> 'en_US';
         alter table sicantik_whatsapp_provider drop column is_default, drop column watzap_device_id;
         drop table sicantik_notification_queue cascade; drop table sicantik_notification_campaign cascade",
    )
    .await;
    let report = desk.report(&[]).await;
    assert_eq!(report["summary"]["refused"], 0, "{report:#}");
    assert_eq!(
        entry(&report, "sicantik_notification_trigger 1")["result"],
        "here_already"
    );
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.import_mark where section = 'rules'")
            .await,
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_miss_and_a_host_without_the_module() {
    let desk = usual().await;
    desk.sql("create role omar login; grant sicantik_notify_operator to omar")
        .await;
    let omar = desk.office.cluster.url_as("omar", DATABASE);
    let (code, text) = desk.import(&["--database-url", &omar]).await;
    assert_eq!(code, 1, "{text}");
    for part in [
        "the role omar may not read sicantik_notification_trigger, sicantik_notification_rule,",
        "connect as the role that owns Odoo's tables or as a DBA, with --database-url",
        "grant select on public.sicantik_notification_trigger,",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A DBA who is no superuser: member of the owner of Odoo's tables and of ours.
    desk.sql("create role dora login; grant odoo to dora; grant sicantik_notify_owner to dora")
        .await;
    let dora = desk.office.cluster.url_as("dora", DATABASE);
    let (code, text) = desk.import(&["--database-url", &dora, "--with-secrets"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("rule beritahu_pemohon_izin_selesai"), "{text}");
    // Odoo's own role may read all of it and write nothing here.
    let odoo = desk.office.cluster.url_as("odoo", DATABASE);
    let (code, text) = desk.import(&["--database-url", &odoo]).await;
    assert_eq!(code, 1);
    assert!(text.contains("permission denied"), "{text}");
    let desk = usual().await;
    desk.as_odoo(
        "drop table sicantik_notification_trigger, sicantik_notification_rule, sicantik_notification_campaign, sicantik_notification_queue,
             sicantik_notification_log, sicantik_notification_blacklist, sicantik_whatsapp_provider, sicantik_whatsapp_template_master cascade",
    )
    .await;
    let (code, text) = desk.import(&[]).await;
    assert_eq!(code, 1);
    assert!(text.contains("there is nothing to carry over"), "{text}");
}

/// Campaigns are carried over as drafts where this database has a place for them.
#[tokio::test(flavor = "multi_thread")]
async fn campaigns_become_drafts() {
    let desk = usual().await;
    desk.sql(
        "create table if not exists sicantik_notify.campaign (
             id bigint generated always as identity primary key, code text unique, name text not null, description text,
             rule text not null references sicantik_notify.rule (code) on update cascade, target_model text not null,
             target_domain text not null default '[]', template_key text, scheduled_date timestamptz, state text not null default 'draft')",
    )
    .await;
    desk.as_odoo(
        "update sicantik_notification_campaign set target_domain = '[(''active'', ''='', True), (''status'', ''='', ''active'')]',
             scheduled_date = '2026-03-01 01:00:00' where id = 1",
    )
    .await;
    let report = desk.report(&[]).await;
    let first = entry(&report, "sicantik_notification_campaign 1");
    assert_eq!(first["result"], "changed");
    assert!(
        first["notes"]
            .to_string()
            .contains("it was to begin at 2026-03-01T01:00:00 UTC"),
        "{first}"
    );
    let rows = "select string_agg(concat_ws(' ', code, rule, state, target_domain), '; ' order by code) from sicantik_notify.campaign";
    assert_eq!(
        desk.text(rows).await.as_deref(),
        Some(
            "pengingat_perpanjangan ingatkan_pemegang_izin draft [('status', '=', 'active')]; \
             pengumuman_layanan ingatkan_pemegang_izin draft []"
        )
    );
    let before = desk.configuration().await;
    desk.import(&[]).await;
    assert_eq!(desk.configuration().await, before);
    let file = desk.office.run(&["export", "--only", "campaigns"]).await.unwrap();
    assert!(
        file.contains("[[campaigns]]\ncode = \"pengingat_perpanjangan\"\n"),
        "{file}"
    );
}

/// From the module's tables to a message: what was carried over works.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_was_carried_over_sends() {
    let desk = desk::desk().await;
    desk.as_odoo("update ir_cron set active = false where id in (1, 2, 3)")
        .await;
    desk.sql(
        "update sicantik_notify.rule set active = false where code = 'notify_permit_approved';
         update sicantik_notify.template set meta_status = 'not_configured'",
    )
    .await;
    let _daemon = desk.quick().await;
    let report = desk.report(&[]).await;
    assert_eq!(
        entry(&report, "sicantik_notification_rule 1")["switched_off"],
        false,
        "{report:#}"
    );
    let mut odoo = desk.odoo().await;
    let citizens = desk::citizens(&mut odoo, 1).await;
    // The daemon has read what was carried over, and its hooks carry what the new rule reads.
    desk.until(
        "select p.published_at > v.changed_at or 'status' = any (c.watched)
         from sicantik_notify.config_version v, sicantik_notify.capture_plan c,
              lateral (select max(published_at) as published_at from sicantik_notify.capture_publication) p
         where c.model = 'sicantik.permit'",
    )
    .await;
    desk::approve(&mut odoo, &[citizens[0].0]).await;
    let accepted = desk.accepted(1).await;
    assert_eq!(accepted[0].to, citizens[0].1);
    assert!(
        accepted[0].text.contains("telah selesai diproses"),
        "{}",
        accepted[0].text
    );
    desk.until("select rule = 'beritahu_pemohon_izin_selesai' from sicantik_notify.v_log limit 1")
        .await;
}
