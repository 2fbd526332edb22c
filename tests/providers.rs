//! The three providers over a real socket: what stands on the wire, and what every kind of broken call means.
//!
//! The server is a script: it records each request and answers, hangs or hangs up as it is told. No test waits by
//! sleeping; where time matters, it is the client's own timeout.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use sicantik_notifyd::db::ids::{AttemptId, ProviderId};
use sicantik_notifyd::deliver::provider::{
    Account, Answer, Button, ButtonKind, Class, Client, Content, Failure, Header, Health, Outgoing,
    ProviderKind, Report, Timeouts,
};
use sicantik_notifyd::host::phone::Phone;
use tokio::net::TcpListener;

#[path = "providers/scripted_server.rs"]
mod scripted_server;

use scripted_server::{Act, Server, response};

fn client() -> Client {
    Client::new(Timeouts {
        connect: Duration::from_millis(300),
        total: Duration::from_millis(600),
    })
    .unwrap()
}

/// A client that outlasts a busy machine, for calls that are answered.
fn patient_client() -> Client {
    Client::new(Timeouts::default()).unwrap()
}

const TOKEN: &str = "s3cr3t-t0ken";

fn account(kind: ProviderKind, base_url: &str) -> Account {
    let settings = json!({"base_url": base_url, "phone_number_id": "1099", "api_version": "v24.0"});
    let secrets = [("token", TOKEN), ("api_key", TOKEN), ("number_key", "NUMBERKEY")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .collect();
    Account::from_settings(
        ProviderId(1),
        "test",
        kind,
        settings.as_object().unwrap(),
        &secrets,
    )
    .unwrap()
}

fn text(words: &str) -> Outgoing {
    Outgoing {
        attempt: AttemptId(7),
        callback: "m:84213:a:7".into(),
        to: Phone::parse("081200000001").unwrap(),
        content: Content::Text(words.into()),
    }
}

async fn send_to(server: &Server, kind: ProviderKind, outgoing: &Outgoing) -> Report {
    patient_client()
        .send(&account(kind, &format!("http://{}", server.address)), outgoing)
        .await
}

const KINDS: [ProviderKind; 3] = [ProviderKind::Meta, ProviderKind::Fonnte, ProviderKind::Watzap];

fn refusal(report: &Report) -> &Failure {
    match &report.answer {
        Answer::Refused(failure) => failure,
        other => panic!("not refused: {other:?}"),
    }
}

fn uncertainty(report: &Report) -> &str {
    match &report.answer {
        Answer::Uncertain { error } => error,
        other => panic!("not uncertain: {other:?}"),
    }
}

#[tokio::test]
async fn meta_gets_a_template_as_json() {
    let answer = r#"{"messaging_product":"whatsapp","contacts":[{"input":"6281200000001","wa_id":"6281200000001"}],
        "messages":[{"id":"wamid.ABC","message_status":"accepted"}]}"#;
    let server = Server::answering(200, answer).await;
    let outgoing = Outgoing {
        content: Content::MetaTemplate {
            name: "izin_selesai_diproses".into(),
            language: "id".into(),
            parameters: vec![
                ("partner_name".into(), "Budi".into()),
                ("permit_number".into(), "503/0421".into()),
            ],
            named: false,
            header: Some(Header::Document {
                link: "https://x.go.id/1.pdf".into(),
                filename: Some("SK.pdf".into()),
            }),
            buttons: vec![Button {
                index: 0,
                kind: ButtonKind::Url,
                value: "84213".into(),
            }],
        },
        ..text("")
    };
    let report = send_to(&server, ProviderKind::Meta, &outgoing).await;
    assert_eq!(report.http_status, Some(200));
    let expected = Answer::Accepted {
        external_id: Some("wamid.ABC".into()),
        reference: None,
        note: None,
    };
    assert_eq!(report.answer, expected);

    let request = server.only_request();
    assert_eq!(request.line, "POST /v24.0/1099/messages HTTP/1.1");
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let expected = json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": "6281200000001", "type": "template",
        "biz_opaque_callback_data": "m:84213:a:7",
        "template": { "name": "izin_selesai_diproses", "language": { "code": "id" }, "components": [
            { "type": "header", "parameters": [
                { "type": "document", "document": { "link": "https://x.go.id/1.pdf", "filename": "SK.pdf" } } ] },
            { "type": "body", "parameters": [
                { "type": "text", "text": "Budi" }, { "type": "text", "text": "503/0421" } ] },
            { "type": "button", "sub_type": "url", "index": "0", "parameters": [ { "type": "text", "text": "84213" } ] }
        ] }
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn meta_gets_names_only_for_named_templates_and_no_empty_components() {
    let server = Server::answering(200, r#"{"messages":[{"id":"wamid.1"}]}"#).await;
    let template = |parameters: &[(&str, &str)], named| Outgoing {
        content: Content::MetaTemplate {
            name: "t".into(),
            language: "en_US".into(),
            parameters: parameters
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            named,
            header: None,
            buttons: vec![],
        },
        ..text("")
    };
    send_to(
        &server,
        ProviderKind::Meta,
        &template(&[("permit_number", "503")], true),
    )
    .await;
    send_to(&server, ProviderKind::Meta, &template(&[], true)).await;
    send_to(&server, ProviderKind::Meta, &text("Halo")).await;
    let bodies: Vec<Value> = server
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| serde_json::from_str(&request.body).unwrap())
        .collect();
    let parameter = json!({ "type": "text", "parameter_name": "permit_number", "text": "503" });
    assert_eq!(
        bodies[0]["template"]["components"],
        json!([{ "type": "body", "parameters": [parameter] }])
    );
    assert_eq!(
        bodies[1]["template"],
        json!({ "name": "t", "language": { "code": "en_US" } })
    );
    assert_eq!(
        (&bodies[2]["type"], &bodies[2]["text"]),
        (&json!("text"), &json!({ "preview_url": false, "body": "Halo" }))
    );
}

#[tokio::test]
async fn fonnte_gets_a_form() {
    let answer = r#"{"detail":"success! message in queue","id":["80367170"],"process":"pending","requestid":2937124,
        "status":true,"target":["6281200000001"]}"#;
    let server = Server::answering(200, answer).await;
    let report = send_to(
        &server,
        ProviderKind::Fonnte,
        &text("Yth. Budi & {name},\nizin 100% + selesai"),
    )
    .await;
    let expected = Answer::Accepted {
        external_id: Some("80367170".into()),
        reference: Some("2937124".into()),
        note: None,
    };
    assert_eq!(report.answer, expected);
    let request = server.only_request();
    assert_eq!(request.line, "POST /send HTTP/1.1");
    assert_eq!(request.headers["authorization"], TOKEN);
    assert_eq!(
        request.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        request.body,
        "target=6281200000001&message=Yth.+Budi+%26+%7B%E2%81%A0name%7D%2C%0Aizin+100%25+%2B+selesai\
         &countryCode=62&connectOnly=true"
    );

    let server = Server::answering(200, answer).await;
    let foreign = Outgoing {
        to: Phone::parse("+6581234567").unwrap(),
        ..text("x")
    };
    send_to(&server, ProviderKind::Fonnte, &foreign).await;
    assert_eq!(
        server.only_request().body,
        "target=6581234567&message=x&countryCode=0&connectOnly=true"
    );
}

#[tokio::test]
async fn watzap_gets_its_keys_in_the_body() {
    let server = Server::answering(
        200,
        r#"{"status":"200","message":"Successfully","ack":"successfully"}"#,
    )
    .await;
    let report = send_to(&server, ProviderKind::Watzap, &text("Yth. Budi")).await;
    assert_eq!(
        report.answer,
        Answer::Accepted {
            external_id: None,
            reference: None,
            note: None
        }
    );
    let request = server.only_request();
    assert_eq!(request.line, "POST /send_message HTTP/1.1");
    assert!(!request.headers.contains_key("authorization"));
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let expected = json!({"api_key": TOKEN, "number_key": "NUMBERKEY", "phone_no": "6281200000001", "message": "Yth. Budi"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_gateway_never_gets_a_template() {
    let server = Server::answering(200, "{}").await;
    let content = Content::MetaTemplate {
        name: "t".into(),
        language: "id".into(),
        parameters: vec![],
        named: false,
        header: None,
        buttons: vec![],
    };
    for kind in [ProviderKind::Fonnte, ProviderKind::Watzap] {
        let report = send_to(
            &server,
            kind,
            &Outgoing {
                content: content.clone(),
                ..text("")
            },
        )
        .await;
        assert_eq!(
            (refusal(&report).class, report.http_status),
            (Class::Content, None)
        );
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn refusals_carry_class_code_and_words() {
    let meta_payment = r#"{"error":{"message":"(#131042) Business eligibility payment issue","type":"OAuthException",
        "code":131042,"error_data":{"messaging_product":"whatsapp","details":"no payment method"}}}"#;
    let table = [
        (
            ProviderKind::Meta,
            400,
            meta_payment,
            Class::Account,
            "131042",
            "no payment method",
        ),
        (
            ProviderKind::Meta,
            401,
            r#"{"error":{"code":190,"message":"expired"}}"#,
            Class::Account,
            "190",
            "expired",
        ),
        (
            ProviderKind::Meta,
            500,
            r#"{"error":{"code":131000,"message":"x"}}"#,
            Class::Transient,
            "131000",
            "x",
        ),
        (
            ProviderKind::Fonnte,
            200,
            r#"{"reason":"insufficient quota","status":false}"#,
            Class::Account,
            "insufficient_quota",
            "insufficient quota",
        ),
        (
            ProviderKind::Fonnte,
            200,
            r#"{"reason":"target invalid","status":false}"#,
            Class::Recipient,
            "target_invalid",
            "target invalid",
        ),
        (
            ProviderKind::Watzap,
            200,
            r#"{"status":"1002","message":"invalid key"}"#,
            Class::Account,
            "1002",
            "invalid key",
        ),
    ];
    for (kind, status, body, class, code, words) in table {
        let server = Server::answering(status, body).await;
        let report = send_to(&server, kind, &text("x")).await;
        let failure = refusal(&report);
        assert_eq!(
            (failure.class, failure.code.as_str(), failure.message.as_str()),
            (class, code, words),
            "{body}"
        );
        assert_eq!(report.http_status, Some(status));
        server.only_request();
    }
}

#[tokio::test]
async fn html_of_a_proxy_is_transient_and_garbage_after_a_yes_is_uncertain() {
    let html = "<html><h1>502 Bad Gateway</h1></html>";
    for kind in KINDS {
        let server = Server::answering(502, html).await;
        let report = send_to(&server, kind, &text("x")).await;
        assert_eq!(
            (refusal(&report).class, refusal(&report).code.as_str()),
            (Class::Transient, "http_502"),
            "{kind}"
        );

        for (status, body) in [
            (200, html),
            (200, ""),
            (200, "{\"messages\":"),
            (200, "{}"),
            (200, "[]"),
            (504, html),
        ] {
            let server = Server::answering(status, body).await;
            let report = send_to(&server, kind, &text("x")).await;
            assert!(
                uncertainty(&report).starts_with(&format!("HTTP {status}, ")),
                "{kind} {body}"
            );
            assert_eq!(report.http_status, Some(status));
            server.only_request();
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_endless_is_uncertain() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"status\":true".to_vec();
    let endless = response(
        200,
        "",
        &format!("{{\"status\":true,\"x\":\"{}\"}}", "y".repeat(70_000)),
    );
    for kind in KINDS {
        for (bytes, words) in [
            (cut.clone(), "cut off"),
            (endless.clone(), "longer than 65536 bytes"),
        ] {
            let server = Server::start(Act::Write(bytes)).await;
            let report = send_to(&server, kind, &text("x")).await;
            assert!(uncertainty(&report).contains(words), "{kind}: {report:?}");
        }
        // A refusal stays one, however little of it arrived.
        let cut = b"HTTP/1.1 400 X\r\ncontent-length: 500\r\n\r\n{\"err".to_vec();
        let server = Server::start(Act::Write(cut)).await;
        assert_eq!(
            refusal(&send_to(&server, kind, &text("x")).await).class,
            Class::Transient
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_write_is_uncertain_and_not_tried_again() {
    for kind in KINDS {
        let server = Server::start(Act::HangUp).await;
        let report = send_to(&server, kind, &text("x")).await;
        assert!(uncertainty(&report).contains("connection broke"), "{report:?}");
        assert_eq!(report.http_status, None);
        server.only_request();
    }
    // Whether the request left before the close is unknown: still uncertain.
    let server = Server::start(Act::HangUpUnread).await;
    uncertainty(&send_to(&server, ProviderKind::Meta, &text("x")).await);
}

#[tokio::test]
async fn a_pooled_connection_that_breaks_after_the_write_is_not_replaced() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":true}".to_vec();
    let server = Server::start(Act::WriteOnce(answer)).await;
    let client = patient_client();
    let account = account(ProviderKind::Fonnte, &format!("http://{}", server.address));
    assert!(matches!(
        client.send(&account, &text("1")).await.answer,
        Answer::Accepted { .. }
    ));
    uncertainty(&client.send(&account, &text("2")).await);
    assert_eq!(server.count(), 2, "the second message must not be written twice");
}

#[tokio::test]
async fn silence_is_uncertain() {
    for kind in KINDS {
        let server = Server::start(Act::Hang).await;
        let account = account(kind, &format!("http://{}", server.address));
        let report = client().send(&account, &text("x")).await;
        assert!(uncertainty(&report).contains("no answer in time"), "{report:?}");
        assert!(report.duration >= Duration::from_millis(600));
        server.only_request();
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_written() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    // A server that speaks no TLS, and one that never answers the handshake.
    let plain = Server::start(Act::HangUpUnread).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = [
        (format!("http://{closed}"), "connect"),
        (format!("https://{}", plain.address), "connect"),
        (
            format!("https://{}", mute.local_addr().unwrap()),
            "connect_timeout",
        ),
        ("https://provider.invalid".to_owned(), "dns"),
    ];
    for (base_url, code) in table {
        for kind in KINDS {
            let report = client().send(&account(kind, &base_url), &text("x")).await;
            let failure = refusal(&report);
            assert_eq!(failure.class, Class::Transient, "{base_url}");
            // A resolver that does not answer in time counts as a connection that was not made.
            let accepted = [code, if code == "dns" { "connect_timeout" } else { code }];
            assert!(
                accepted.contains(&failure.code.as_str()),
                "{base_url}: {failure:?}"
            );
            assert_eq!(report.http_status, None);
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Server::answering(200, r#"{"status":true}"#).await;
    let headers = format!("location: http://{}/send\r\n", target.address);
    for status in [302, 307] {
        let server = Server::start(Act::Write(response(status, &headers, ""))).await;
        let report = send_to(&server, ProviderKind::Fonnte, &text("x")).await;
        assert_eq!(refusal(&report).class, Class::Account);
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_provider_may_ask_for_patience() {
    let body = r#"{"error":{"code":130429,"message":"throughput"}}"#;
    let server = Server::start(Act::Write(response(429, "retry-after: 17\r\n", body))).await;
    let report = send_to(&server, ProviderKind::Meta, &text("x")).await;
    let failure = refusal(&report);
    assert_eq!(
        (failure.class, failure.retry_after),
        (Class::ThrottleProvider, Some(Duration::from_secs(17)))
    );
}

#[tokio::test]
async fn no_text_shows_a_secret_or_a_whole_number() {
    let said = format!("bad {TOKEN} or NUMBERKEY for 6281200000001 (081200000001)");
    let bodies = [
        json!({"status": false, "reason": said, "message": said, "error": {"code": 190, "message": said}})
            .to_string(),
        json!({"said": said}).to_string(),
        said.clone(),
    ];
    for kind in KINDS {
        for (status, body) in [
            (200, &bodies[0]),
            (400, &bodies[0]),
            (200, &bodies[1]),
            (500, &bodies[2]),
        ] {
            let server = Server::answering(status, body).await;
            let report = send_to(&server, kind, &text("x")).await;
            let printed = format!("{report:?}");
            assert!(
                printed.contains("bad ") && printed.contains("****001"),
                "{kind}: {printed}"
            );
            assert!(
                !printed.contains(TOKEN) && !printed.contains("81200000001"),
                "{kind}: {printed}"
            );
            assert!(
                kind != ProviderKind::Watzap || !printed.contains("NUMBERKEY"),
                "{printed}"
            );
        }
        let report = client()
            .send(&account(kind, "http://127.0.0.1:1"), &text("x"))
            .await;
        assert!(!format!("{report:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn probes_send_no_message() {
    let meta = r#"{"id":"1099","quality_rating":"GREEN","health_status":{"can_send_message":"AVAILABLE"}}"#;
    let fonnte = r#"{"status":true,"device_status":"connect","quota":"9500","package":"Regular"}"#;
    let watzap = r#"{"status":true,"data":{"licenses_key":[{"key":"NUMBERKEY","is_connected":true,"expires_on":"2027"}]}}"#;
    let fields = "id,display_phone_number,quality_rating,status,throughput,health_status";
    let table = [
        (
            ProviderKind::Meta,
            meta,
            format!("GET /v24.0/1099?fields={fields} HTTP/1.1"),
            "",
        ),
        (
            ProviderKind::Fonnte,
            fonnte,
            "POST /device HTTP/1.1".to_owned(),
            "",
        ),
        (
            ProviderKind::Watzap,
            watzap,
            "POST /checking_key HTTP/1.1".to_owned(),
            r#"{"api_key":"s3cr3t-t0ken"}"#,
        ),
    ];
    for (kind, answer, line, body) in table {
        let server = Server::answering(200, answer).await;
        let base_url = format!("http://{}", server.address);
        let report = patient_client().probe(&account(kind, &base_url)).await;
        assert!(matches!(report.health, Health::Healthy { .. }), "{report:?}");
        let request = server.only_request();
        assert_eq!((request.line, request.body.as_str()), (line, body));
    }
}

#[tokio::test]
async fn a_probe_tells_a_bad_account_from_a_bad_line() {
    let health = async |kind, status, body: &str| {
        let server = Server::answering(status, body).await;
        patient_client()
            .probe(&account(kind, &format!("http://{}", server.address)))
            .await
            .health
    };
    for kind in KINDS {
        assert!(matches!(
            health(kind, 502, "<html>").await,
            Health::Unknown { .. }
        ));
        assert!(matches!(
            health(kind, 200, "<html>").await,
            Health::Unknown { .. }
        ));
        assert!(matches!(health(kind, 401, "").await, Health::Down(_)));
        let report = client().probe(&account(kind, "http://127.0.0.1:1")).await;
        assert!(matches!(report.health, Health::Unknown { .. }) && !report.health.may_send());
    }
    let disconnected = r#"{"status":true,"device_status":"disconnect"}"#;
    assert!(matches!(
        health(ProviderKind::Fonnte, 200, disconnected).await,
        Health::Down(_)
    ));
}
