//! Templates and providers that follow Odoo's, where settings say so.

#![allow(clippy::unwrap_used)]

mod desk;

use desk::{Desk, desk_of};
use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::office::{Plan, RUNTIME};

impl Desk {
    async fn as_odoo(&self, sql: &str) {
        self.sql(&format!(
            "set role odoo; set search_path = public; {sql}; reset role; reset search_path"
        ))
        .await;
    }

    async fn follow(&self) {
        self.sql("update sicantik_notify.setting set value = 'host' where key in ('template_source', 'provider_source')")
            .await;
    }
}

const GRANT: &str = "grant select on sicantik_whatsapp_template_master, sicantik_whatsapp_provider, whatsapp_account to sicantik_notify_owner";

async fn followed() -> Desk {
    let desk = desk_of(Plan {
        providers: false,
        ..Plan::default()
    })
    .await;
    desk.as_odoo(GRANT).await;
    desk.as_odoo(&format!(
        "update sicantik_whatsapp_provider set active = provider_type = 'fonnte';
         update sicantik_whatsapp_provider set fonnte_api_url = '{}/send', fonnte_token = '{}' where id = 2;
         update sicantik_whatsapp_template_master set body_preview = 'Dari Odoo: {{{{partner_name}}}}' where template_key = 'permit_ready'",
        desk.office.gateway.fonnte_url(),
        Gateway::FONNTE_TOKEN
    ))
    .await;
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn what_odoo_says_is_what_is_sent() {
    let desk = followed().await;
    desk.follow().await;
    let _daemon = desk.quick().await;
    desk.until("select body = 'Dari Odoo: {{partner_name}}' from sicantik_notify.template where template_key = 'permit_ready'")
        .await;
    // No pace in a test.
    desk.sql("update sicantik_notify.provider set settings = settings || '{\"delay_seconds\": 0}' where provider_type = 'fonnte'")
        .await;
    desk.message("+6281234567890").await;
    let accepted = desk.accepted(1).await;
    assert_eq!(accepted[0].text.as_str(), "Dari Odoo: Budi");
    // Odoo changes its mind; what it does not know stays.
    desk.as_odoo("update sicantik_whatsapp_template_master set body_preview = 'Baru: {{partner_name}}' where template_key = 'permit_ready'")
        .await;
    desk.until("select body = 'Baru: {{partner_name}}' from sicantik_notify.template where template_key = 'permit_ready'")
        .await;
    desk.message("+6281234567891").await;
    assert_eq!(desk.accepted(2).await[1].text.as_str(), "Baru: Budi");
    assert_eq!(
        desk.text("select settings ->> 'delay_seconds' from sicantik_notify.provider where name = 'Fonnte'")
            .await
            .as_deref(),
        Some("0")
    );
    assert_eq!(desk.number("select count(*) from sicantik_notify.template where template_key = 'stop_confirmation' and active").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_without_news_writes_nothing_and_what_is_dropped_is_switched_off() {
    let desk = followed().await;
    let runtime = desk.office.connect_as(RUNTIME).await.unwrap();
    let round = async || {
        let rows = runtime
            .query(
                "select concat_ws(': ', about, summary, remedy) from sicantik_notify.follow_host()",
                &[],
            )
            .await
            .unwrap();
        rows.iter()
            .map(|r| r.get::<_, String>(0))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let version = "select version from sicantik_notify.config_version";
    let before = desk.number(version).await;
    assert_eq!(round().await, "");
    assert_eq!(desk.number(version).await, before, "nobody asked for it");
    desk.follow().await;
    assert_eq!(round().await, "");
    let before = desk.number(version).await;
    assert_eq!(round().await, "");
    assert_eq!(desk.number(version).await, before);
    assert_eq!(
        desk.text("select string_agg(name || ' ' || active || ' ' || is_default || ' ' || settings::text, '; ' order by id) from sicantik_notify.provider")
            .await
            .unwrap(),
        format!(
            "Meta WhatsApp Business false false {{}}; Fonnte true true {{\"base_url\": \"{}\"}}; \
             Watzap false false {{\"base_url\": \"https://watzap.example.com/v1\"}}",
            desk.office.gateway.fonnte_url()
        )
    );
    // Renamed and dropped in Odoo; a list that is none; the runtime role reads no host table for it.
    desk.as_odoo(
        "update sicantik_whatsapp_provider set name = 'Fonnte Utama', fonnte_token = 'another' where id = 2;
         delete from sicantik_whatsapp_provider where id = 3;
         delete from sicantik_whatsapp_template_master where template_key = 'reminder';
         update sicantik_whatsapp_template_master set parameter_list = 'partner_name' where template_key = 'status_update';
         insert into sicantik_whatsapp_template_master (id, template_key, name, body_preview, parameter_list, language, active, meta_status)
         values (300, 'kantor_tutup', 'Kantor Tutup', 'Tutup, {{partner_name}}', '[''partner_name'']', 'id', true, 'approved')",
    )
    .await;
    desk.sql("update sicantik_notify.provider set active = true where name = 'Watzap'")
        .await;
    let text = round().await;
    assert!(
        text.starts_with(
            "template status_update: parameter_list of sicantik_whatsapp_template_master 5 is no list"
        ),
        "{text}"
    );
    assert_eq!(
        desk.text("select string_agg(name || ' ' || active, ', ' order by id) from sicantik_notify.provider")
            .await
            .as_deref(),
        Some("Meta WhatsApp Business false, Fonnte true, Watzap false")
    );
    assert_eq!(
        desk.text("select s.value from sicantik_notify.provider_secret s join sicantik_notify.provider p on p.id = s.provider_id where p.name = 'Fonnte'")
            .await
            .as_deref(),
        Some("another")
    );
    assert_eq!(
        desk.text("select active || ' ' || (select meta_status || parameters::text from sicantik_notify.template where template_key = 'kantor_tutup')
                   from sicantik_notify.template where template_key = 'reminder'")
            .await
            .as_deref(),
        Some("false approved{partner_name}")
    );
    assert!(
        runtime
            .query("select 1 from public.sicantik_whatsapp_provider", &[])
            .await
            .is_err()
    );
    // What is followed is not carried over as well.
    let output = desk.office.command(&["import-odoo"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("the setting template_source is host") && !text.contains("  template "),
        "{text}"
    );
    assert!(
        text.contains("the setting provider_source is host") && !text.contains("  provider "),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_a_problem_and_nothing_is_lost() {
    let desk = followed().await;
    desk.follow().await;
    let _daemon = desk.quick().await;
    let body = "select body = 'Dari Odoo: {{partner_name}}' from sicantik_notify.template where template_key = 'permit_ready'";
    desk.until(body).await;
    desk.as_odoo("revoke select on sicantik_whatsapp_template_master from sicantik_notify_owner; alter table sicantik_whatsapp_provider rename to gone")
        .await;
    desk.until("select count(*) = 2 from sicantik_notify.problem where key like 'host: setting %'")
        .await;
    let text = desk
        .text("select string_agg(summary || ' ' || remedy, ' ' order by key desc) from sicantik_notify.problem where key like 'host: %'")
        .await
        .unwrap();
    for part in [
        "permission denied for table sicantik_whatsapp_template_master",
        "as a DBA: grant select on public.sicantik_whatsapp_template_master to sicantik_notify_owner",
        "the host has no table sicantik_whatsapp_provider",
        "set value = 'own' where key = 'provider_source'",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    desk.until(body).await;
    // An upgrade of the host is free to change its tables: nothing of ours depends on them.
    desk.as_odoo(
        "alter table gone rename to sicantik_whatsapp_provider;
         alter table sicantik_whatsapp_provider drop column is_default, alter column sequence type bigint, add column colour text;
         alter table sicantik_whatsapp_template_master alter column name type text, drop column usage_count;
         grant select on sicantik_whatsapp_template_master to sicantik_notify_owner",
    )
    .await;
    desk.until("select not exists (select from sicantik_notify.problem where key like 'host: %')")
        .await;
    desk.sql("update sicantik_notify.setting set value = 'hots' where key = 'template_source'")
        .await;
    desk.until("select exists (select from sicantik_notify.v_problem where summary like '%\"hots\" is not own or host; own is used%')").await;
}
