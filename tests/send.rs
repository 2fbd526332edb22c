//! SICANTIK guide §6.4 and §7.3: a test message, and a test of the accounts, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::meta::Health;
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;

const CONTEXT: &str = r#"{"partner_name": "Uji", "permit_number": "503/1", "permit_type": "SIP", "status": "Aktif",
                          "completion_date": "01-02-2026"}"#;

async fn run(desk: &Desk, arguments: &[&str]) -> (i32, String) {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_goes_the_way_of_every_message_and_tells_what_became_of_it() {
    let desk = desk().await;
    let _daemon = desk.quick().await;
    let to = [
        "send",
        "--rule",
        "notify_permit_approved",
        "--to",
        "0812-0000-9000",
    ];
    let with =
        |more: &[&'static str]| -> Vec<&str> { to.iter().copied().chain(more.iter().copied()).collect() };

    let (code, text) = run(&desk, &with(&["--context", CONTEXT, "--dry-run"])).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("fonnte, template permit_ready:") && text.contains("Yth. Uji"),
        "{text}"
    );
    assert!(
        text.contains("meta: not used: the recipient has not opted in"),
        "{text}"
    );
    assert!(
        text.contains("Nothing was sent") && !text.contains("6281200009000"),
        "{text}"
    );
    assert_eq!(desk.office.gateway.count(), 0);

    let (code, text) = run(&desk, &with(&["--context", CONTEXT])).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("accepted") && text.contains("was sent through fonnte"),
        "{text}"
    );
    assert_eq!(desk.accepted(1).await[0].to, "6281200009000");
    assert_eq!(
        desk.number("select count(*) from sicantik_notify.v_log where rule = 'notify_permit_approved' and state = 'sent'").await,
        1
    );

    // What is missing is named, and nothing is queued.
    let (code, text) = run(&desk, &with(&["--context", r#"{"partner_name": "Uji"}"#])).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("no value for permit_number, permit_type, status"),
        "{text}"
    );

    // A fallback shows each attempt; a refusal for good ends with code 1.
    desk.office.gateway.fonnte().set_connected(false);
    let (code, text) = run(&desk, &with(&["--context", CONTEXT])).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("disconnected") && text.contains("was sent through watzap"),
        "{text}"
    );
    desk.office
        .gateway
        .script(Provider::Watzap)
        .push(Behaviour::watzap_status(
            "1005",
            "Phone number is not registered on WhatsApp",
        ));
    let (code, text) = run(&desk, &with(&["--context", CONTEXT])).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("failed: watzap: 1005"), "{text}");
    assert_eq!(desk.number("select count(*) from sicantik_notify.queue").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_to_a_partner_or_by_template_and_what_is_refused() {
    let desk = desk().await;
    let budi = ids::PARTNER_BUDI.to_string();
    let context = ["--context", CONTEXT];
    // No daemon: it waits, and says so.
    let (code, text) = run(
        &desk,
        &[
            &["send", "--template", "permit_ready", "--partner", &budi][..],
            &context,
        ]
        .concat(),
    )
    .await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("No daemon is sending"), "{text}");
    let _daemon = desk.quick().await;
    let accepted = desk.accepted(1).await;
    assert!(accepted[0].text.contains("Yth. Uji"));
    for (arguments, words) in [
        (
            &["send", "--rule", "nobody", "--to", "081200009001"][..],
            "there is no rule nobody",
        ),
        (
            &["send", "--rule", "notify_permit_expiring", "--to", "081200009001"],
            "is inactive",
        ),
        (
            &["send", "--template", "reminder", "--to", "081200009001"],
            "no active rule has the template",
        ),
        (
            &["send", "--template", "permit_ready", "--to", "0215550000"],
            "not an Indonesian mobile",
        ),
        (
            &["send", "--template", "permit_ready", "--partner", "999999"],
            "there is no partner 999999",
        ),
    ] {
        let (code, text) = run(&desk, arguments).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(words), "{text}");
    }
    for wrong in [
        &["send", "--to", "081200009001"][..],
        &["send", "--template", "permit_ready"],
        &[
            "send",
            "--template",
            "permit_ready",
            "--to",
            "0812",
            "--context",
            "[1]",
        ],
    ] {
        assert_eq!(run(&desk, wrong).await.0, 2);
    }
    // While its provider is paused it waits; the command does not wait for ever.
    desk.sql(
        "insert into sicantik_notify.provider_health (provider_id, open_until, opened_at, last_error)
         select id, clock_timestamp() + interval '1 hour', clock_timestamp(), 'test' from sicantik_notify.provider
         on conflict (provider_id) do update set open_until = excluded.open_until, opened_at = excluded.opened_at",
    )
    .await;
    let (code, text) = run(
        &desk,
        &[
            &[
                "send",
                "--template",
                "permit_ready",
                "--to",
                "081200009002",
                "--wait",
                "1",
            ][..],
            &context,
        ]
        .concat(),
    )
    .await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("pending: a provider:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_are_tested_by_their_own_means() {
    let desk = desk().await;
    let (code, text) = run(&desk, &["provider", "test"]).await;
    assert_eq!(code, 0, "{text}");
    for words in [
        "Meta: well (number 6221****000, quality GREEN, status CONNECTED, throughput STANDARD)",
        "Fonnte: well (device 6281****000, package",
        "Watzap: well (number 6281****009, connected",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(desk.office.gateway.requests().iter().all(|r| !r.is_send));

    desk.office.gateway.fonnte().set_connected(false);
    desk.office.gateway.meta().set_health(Health::Limited {
        code: 141_006,
        description: "low quality".into(),
    });
    let (code, text) = run(&desk, &["provider", "test"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("scan the QR code") && text.contains("remedy: Repair"),
        "{text}"
    );
    assert!(text.contains("limited") && text.contains("low quality"), "{text}");
    let (code, text) = run(&desk, &["provider", "test", "watzap", "--json"]).await;
    assert_eq!(code, 0, "{text}");
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (rows[0]["name"].as_str(), rows[0]["result"].as_str()),
        (Some("Watzap"), Some("ok"))
    );

    // An inactive account is shown, and is no fault; a named one is.
    desk.sql("update sicantik_notify.provider set active = name <> 'Fonnte'")
        .await;
    assert_eq!(run(&desk, &["provider", "test"]).await.0, 0);
    assert_eq!(run(&desk, &["provider", "test", "Fonnte"]).await.0, 3);
    let (code, text) = run(&desk, &["provider", "test", "Nobody"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("there are: Meta, Fonnte, Watzap"), "{text}");
    desk.sql("delete from sicantik_notify.provider_secret").await;
    let (code, text) = run(&desk, &["provider", "test"]).await;
    assert_eq!(code, 3);
    assert!(text.contains("meta: secret \"token\" is missing"), "{text}");
}
