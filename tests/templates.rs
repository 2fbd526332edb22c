//! SICANTIK guide §6.3: which template Meta and the gateways get for a key, what Meta says of ours, and what does not fit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::meta::{Button, Category, Header};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider, Template, TemplateStatus};
use sicantik_notifyd::testkit::host::ids;
use sicantik_notifyd::testkit::office::RUNTIME;

const OPTED_IN: i64 = ids::PARTNER_OPTED_IN as i64;

async fn run(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

async fn meta_says(desk: &Desk, key: &str) -> String {
    desk.text(&format!(
        "select meta from sicantik_notify.v_template where template_key = '{key}'"
    ))
    .await
    .unwrap()
}

async fn message(desk: &Desk, key: &str, context: &str) {
    desk.sql(&format!(
        "insert into sicantik_notify.queue (ready, rule_id, partner_id, partner_name, phone, template_key, context)
         select true, id, {OPTED_IN}, 'Budi', '+6281225252525', '{key}', '{context}'
         from sicantik_notify.rule where code = 'notify_permit_approved'"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_reads_all_pages_and_says_what_fits() {
    let desk = desk().await;
    let meta = desk.office.gateway.meta();
    for i in 0..230 {
        meta.add_template(Template::new(&format!("other_{i}"), "id", "x"));
    }
    // Behind all of them.
    meta.add_template(Template::new(
        "peringatan_masa_berlaku_izin",
        "id",
        "{{1}} {{2}} {{3}} {{4}} {{5}} {{6}} {{7}}",
    ));
    meta.add_template(Template::new(
        "update_status_perizinan",
        "en",
        "{{1}} {{2}} {{3}} {{4}} {{5}}",
    ));
    meta.set_template_status("izin_reminder", "id", TemplateStatus::Paused);
    desk.sql(
        "update sicantik_notify.template set meta_name = template_key where template_key = 'izin_reminder'",
    )
    .await;
    let (code, text) = run(&desk, &["template", "sync"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("239 templates at Meta"), "{text}");
    let pages = desk
        .office
        .gateway
        .requests()
        .iter()
        .filter(|r| r.path.contains("message_templates"))
        .count();
    assert_eq!(pages, 3);
    assert_eq!(meta_says(&desk, "permit_reminder").await, "usable");
    assert_eq!(meta_says(&desk, "izin_selesai_diproses").await, "usable");
    assert_eq!(meta_says(&desk, "izin_reminder").await, "is paused at Meta");
    // The plain key has the same name at Meta, and four values where Meta wants five.
    assert!(
        meta_says(&desk, "permit_ready")
            .await
            .contains("has 5 values, ours 4"),
        "{text}"
    );
    assert_eq!(
        meta_says(&desk, "document_signed").await,
        "is not configured at Meta"
    );
    assert!(
        desk.text("select meta_unfit from sicantik_notify.template where template_key = 'status_update'")
            .await
            .unwrap()
            .contains("in en, not in id")
    );
    desk.until("select templates_synced_at is not null and template_sync_error is null from sicantik_notify.v_provider where name = 'Meta'")
        .await;
    desk.until("select exists (select from sicantik_notify.v_problem where about = 'template permit_ready')")
        .await;

    // A listing that breaks off changes nothing.
    desk.office
        .gateway
        .probe_script(Provider::Meta)
        .push(Behaviour::Normal)
        .push(Behaviour::Html502);
    meta.set_template_status("izin_selesai_diproses", "id", TemplateStatus::Disabled);
    let (code, text) = run(&desk, &["template", "sync"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("HTTP 502"), "{text}");
    assert_eq!(meta_says(&desk, "izin_selesai_diproses").await, "usable");
    desk.until("select template_sync_error like '%502%' from sicantik_notify.v_provider where name = 'Meta'")
        .await;
    desk.until("select exists (select from sicantik_notify.v_problem where about = 'templates of Meta')")
        .await;
    assert_eq!(run(&desk, &["template", "sync"]).await.0, 3);
    assert_eq!(
        meta_says(&desk, "izin_selesai_diproses").await,
        "is disabled at Meta"
    );
    let (code, text) = run(&desk, &["template", "list"]).await;
    assert_eq!(code, 0);
    assert!(text.contains("is disabled at Meta"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_syncs_once_a_day() {
    let desk = desk().await;
    let listings = || {
        let requests = desk.office.gateway.requests();
        requests
            .iter()
            .filter(|r| r.path.contains("message_templates"))
            .count()
    };
    desk.sql("update sicantik_notify.provider_health set templates_synced_at = null")
        .await;
    let daemons = [desk.quick().await, desk.quick().await];
    desk.until("select count(*) > 10 from sicantik_notify.template where meta_synced_at is not null")
        .await;
    assert_eq!(listings(), 1, "one instance reads them");
    drop(daemons);
    desk.sql("alter database sicantik set sicantik_notify.clock_offset = '25 hours'")
        .await;
    let _next = desk.quick().await;
    desk.office
        .gateway
        .wait_for(
            |book| {
                book.requests
                    .iter()
                    .filter(|r| r.path.contains("message_templates"))
                    .count()
                    == 2
            },
            desk::PATIENCE,
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_pair_and_header_button_and_named_values_reach_the_phone() {
    let desk = desk().await;
    desk.office.gateway.meta().add_template(
        Template::new("selesai_resmi", "id", "Yth. {{nama}}, izin {{nomor}} selesai.")
            .with_category(Category::Utility)
            .with_header(Header::Document)
            .with_button(Button::QuickReply {
                text: "Terima kasih".into(),
            })
            .with_button(Button::Url {
                text: "Buka".into(),
                url: "https://example.go.id/{{1}}".into(),
            }),
    );
    // One key, two sets of parameters: names at Meta, others for the gateways.
    desk.sql(
        r#"insert into sicantik_notify.template (template_key, name, parameters, body, meta_name, meta_status, meta_named, meta_parameters,
                                                meta_header, meta_buttons, for_gateways)
           values ('meta_selesai_diproses', 'Resmi', '{}', 'resmi', 'selesai_resmi', 'configured', true, '{nama,nomor}',
                   '{"document": {"link": "sk", "filename": "berkas"}}', '[{"index": 1, "kind": "url", "parameter": "id"}]', false),
                  ('selesai_diproses', 'Biasa', '{partner_name}', E'Yth. {{partner_name}}\nselesai.', null, 'not_configured', false, null, null, '[]', true)"#,
    )
    .await;
    let (_, text) = run(&desk, &["template", "sync"]).await;
    assert_eq!(
        meta_says(&desk, "meta_selesai_diproses").await,
        "usable",
        "{text}"
    );
    let _daemon = desk.quick().await;
    let context = r#"{"partner_name": "Budi", "nama": "Budi\nSantoso     (pemohon)", "nomor": 503, "sk": "https://example.go.id/sk.pdf",
                      "berkas": "SK.pdf", "id": 84213}"#;
    message(&desk, "selesai_diproses", context).await;
    let accepted = desk.accepted(1).await;
    assert_eq!(accepted[0].provider, Provider::Meta);
    assert_eq!(accepted[0].text, "Yth. Budi Santoso (pemohon), izin 503 selesai.");
    desk.until(
        "select note like 'made fit for Meta%nama' from sicantik_notify.v_attempt order by id desc limit 1",
    )
    .await;
    // What is missing for Meta sends it through a gateway, which needs less.
    message(
        &desk,
        "selesai_diproses",
        r#"{"partner_name": "Budi", "nama": "Budi", "nomor": 503}"#,
    )
    .await;
    let accepted = desk.accepted(2).await;
    assert_eq!(
        (accepted[1].provider, accepted[1].text.as_str()),
        (Provider::Fonnte, "Yth. Budi\nselesai.")
    );
    // The official key for a gateway is the plain one.
    desk.sql("update sicantik_notify.provider set active = name <> 'Meta'")
        .await;
    message(&desk, "meta_selesai_diproses", r#"{"partner_name": "Budi"}"#).await;
    assert_eq!(desk.accepted(3).await[2].text, "Yth. Budi\nselesai.");
    // What nobody can say names what is missing.
    message(&desk, "selesai_diproses", "{}").await;
    desk.until("select exists (select from sicantik_notify.log where state = 'failed' and error like '%no value for partner_name%')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_meta_refuses_is_left_to_gateways_until_a_sync_finds_it_in_order() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    let meta = desk.office.gateway.meta();
    meta.set_template_status("izin_selesai_diproses", "id", TemplateStatus::Paused);
    for n in 1..=5 {
        desk.message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
            .await;
        assert_eq!(desk.accepted(n).await[n - 1].provider, Provider::Fonnte);
    }
    let at_meta = || {
        let requests = desk.office.gateway.requests();
        requests
            .iter()
            .filter(|r| r.is_send && r.provider == Provider::Meta)
            .count()
    };
    // The mark travels with the configuration: at most a message or two met the refusal.
    assert!((1..=2).contains(&at_meta()), "{}", at_meta());
    assert!(meta_says(&desk, "izin_selesai_diproses").await.contains("132015"));
    desk.until("select exists (select from sicantik_notify.v_problem where about = 'template izin_selesai_diproses' and severity = 'warning')").await;
    meta.set_template_status("izin_selesai_diproses", "id", TemplateStatus::Approved);
    run(&desk, &["template", "sync"]).await;
    assert_eq!(meta_says(&desk, "izin_selesai_diproses").await, "usable");
    desk.message_to(Some(OPTED_IN), "+6281225252525", "permit_ready")
        .await;
    assert_eq!(desk.accepted(6).await[5].provider, Provider::Meta);
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_and_faults() {
    let desk = desk().await;
    let (code, text) = run(&desk, &["template", "preview", "permit_ready"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("meta, template izin_selesai_diproses:")
            && text.contains("{{5}} completion_date = [completion_date]"),
        "{text}"
    );
    assert!(
        text.contains("fonnte, template permit_ready:") && text.contains("Yth. [partner_name],"),
        "{text}"
    );
    let (code, text) = run(
        &desk,
        &[
            "template",
            "preview",
            "permit_ready",
            "--json",
            "--context",
            r#"{"partner_name": "A"}"#,
        ],
    )
    .await;
    assert_eq!(code, 3, "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        json["skipped"][1]["reason"]
            .as_str()
            .unwrap()
            .contains("permit_number, permit_type, status"),
        "{text}"
    );

    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    assert_eq!(
        sicantik_notifyd::deliver::template::lint(&client).await.unwrap(),
        [],
        "what is shipped is in order"
    );
    desk.sql(
        r#"update sicantik_notify.template set body = 'Yth. {{partner name}} {{x}}' where template_key = 'permit_ready';
           update sicantik_notify.template set meta_header = '{"video": "x"}' where template_key = 'izin_selesai_diproses';
           update sicantik_notify.rule set template_key = 'nowhere', active = true where code = 'notify_permit_expiring'"#,
    )
    .await;
    let (code, text) = run(&desk, &["template", "lint"]).await;
    assert_eq!(code, 3);
    for words in [
        "template permit_ready: the text uses x",
        "\"{{partner name}}",
        "template izin_selesai_diproses: it is not sent through Meta: meta_header cannot be read",
        "rule notify_permit_expiring: names the template nowhere",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}
