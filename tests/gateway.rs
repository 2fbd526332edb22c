//! The fake gateway itself: a test that trusts it must know that it refuses, fails and records as it says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sicantik_notifyd::testkit::gateway::meta::{Button, Header, Health, PairRate};
use sicantik_notifyd::testkit::gateway::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TO: &str = "6281200000001";
const SOON: Duration = Duration::from_secs(10);
/// Long enough that a silent answer is silent on purpose, short enough to wait for.
const SILENCE: Duration = Duration::from_millis(300);

struct Bench {
    gateway: Gateway,
    client: Client,
}

async fn bench() -> Bench {
    // The second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = Gateway::start().await.unwrap();
    gateway
        .meta()
        .add_template(Template::new("selesai", "id", "Yth. {{1}}, izin {{2}} selesai."));
    Bench {
        gateway,
        client: Client::builder().no_proxy().build().unwrap(),
    }
}

/// A template message that passes.
fn good() -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": TO, "type": "template",
        "biz_opaque_callback_data": "a:1",
        "template": { "name": "selesai", "language": { "code": "id" }, "components": [
            { "type": "body", "parameters": [
                { "type": "text", "text": "Budi" }, { "type": "text", "text": "503/1" } ] } ] }
    })
}

fn template(name: &str, components: Value) -> Value {
    let mut message = good();
    message["template"] = json!({ "name": name, "language": { "code": "id" }, "components": components });
    message
}

fn body(values: &[&str]) -> Value {
    let parameters: Vec<Value> = values
        .iter()
        .map(|text| json!({ "type": "text", "text": text }))
        .collect();
    json!({ "type": "body", "parameters": parameters })
}

fn text(body: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "to": TO, "type": "text", "text": { "body": body } })
}

impl Bench {
    fn meta(&self, path: &str) -> RequestBuilder {
        self.client
            .post(format!("{}/v23.0/{path}", self.gateway.meta_url()))
            .bearer_auth(Gateway::META_TOKEN)
    }

    fn meta_send(&self, message: &Value) -> RequestBuilder {
        self.meta(&format!("{}/messages", Gateway::META_PHONE_ID))
            .json(message)
    }

    async fn meta_get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}/v23.0/{path}", self.gateway.meta_url());
        answer(self.client.get(url).bearer_auth(Gateway::META_TOKEN)).await
    }

    fn fonnte(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.client
            .post(format!("{}/{path}", self.gateway.fonnte_url()))
            .header("Authorization", Gateway::FONNTE_TOKEN)
            .form(fields)
    }

    fn fonnte_send(&self) -> RequestBuilder {
        self.fonnte(
            "send",
            &[("target", TO), ("message", "Yth. Budi\nSelesai & beres.")],
        )
    }

    fn watzap(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client
            .post(format!("{}/{path}", self.gateway.watzap_url()))
            .json(body)
    }

    fn watzap_send(&self) -> RequestBuilder {
        self.watzap("send_message", &watzap_message())
    }

    async fn refused(&self, message: &Value) -> (u16, i64) {
        let (status, reply) = answer(self.meta_send(message)).await;
        (
            status,
            reply["error"]["code"]
                .as_i64()
                .unwrap_or_else(|| panic!("no error: {reply}")),
        )
    }

    async fn reason(&self, request: RequestBuilder) -> String {
        let (status, reply) = answer(request).await;
        assert_eq!((status, &reply["status"]), (200, &json!(false)), "{reply}");
        assert!(reply["requestid"].is_u64());
        reply["reason"].as_str().unwrap().to_owned()
    }

    async fn watzap_status(&self, request: RequestBuilder) -> String {
        let (status, reply) = answer(request).await;
        assert_eq!(status, 200);
        reply["status"].as_str().unwrap().to_owned()
    }
}

fn watzap_message() -> Value {
    json!({ "api_key": Gateway::WATZAP_API_KEY, "number_key": Gateway::WATZAP_NUMBER_KEY,
            "phone_no": TO, "message": "Yth. Budi" })
}

fn with(mut value: Value, key: &str, new: Value) -> Value {
    value[key] = new;
    value
}

fn without(mut value: Value, key: &str) -> Value {
    value.as_object_mut().unwrap().remove(key);
    value
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn ok(request: RequestBuilder) -> Response {
    let response = request.timeout(SOON).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

// Meta

#[tokio::test]
async fn meta_takes_a_good_template_and_records_it_rendered() {
    let bench = bench().await;
    let (status, reply) = answer(bench.meta_send(&with(good(), "to", json!("+6281200000001")))).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(
        reply["contacts"][0],
        json!({ "input": "+6281200000001", "wa_id": TO })
    );
    assert_eq!(reply["messages"][0]["message_status"], "accepted");
    let [message] = &bench.gateway.accepted_to("0812 0000 0001")[..] else {
        panic!("not one")
    };
    assert_eq!(
        message.external_id.as_deref(),
        reply["messages"][0]["id"].as_str()
    );
    assert_eq!(message.text, "Yth. Budi, izin 503/1 selesai.");
    assert_eq!((message.provider, message.to.as_str()), (Provider::Meta, TO));
    assert_eq!(
        (message.template.as_deref(), message.language.as_deref()),
        (Some("selesai"), Some("id"))
    );
    assert_eq!(message.params, ["Budi", "503/1"]);
    assert_eq!(message.callback_data.as_deref(), Some("a:1"));

    let (_, second) = answer(bench.meta_send(&good())).await;
    assert_ne!(reply["messages"][0]["id"], second["messages"][0]["id"]);
    let requests = bench.gateway.requests();
    assert_eq!(
        (requests.len(), requests[1].response_status, requests[1].accepted),
        (2, Some(200), true)
    );
    assert_eq!(
        requests[1].path,
        format!("v23.0/{}/messages", Gateway::META_PHONE_ID)
    );
    assert_eq!(requests[1].header("content-type"), Some("application/json"));
    assert_eq!(requests[1].body, good());
}

#[tokio::test]
async fn meta_checks_who_calls_and_where() {
    let bench = bench().await;
    let url = format!(
        "{}/v23.0/{}/messages",
        bench.gateway.meta_url(),
        Gateway::META_PHONE_ID
    );
    for request in [
        bench.client.post(&url).json(&good()),
        bench.client.post(&url).bearer_auth("wrong").json(&good()),
        bench
            .client
            .post(&url)
            .header("Authorization", Gateway::META_TOKEN)
            .json(&good()),
    ] {
        let (status, reply) = answer(request).await;
        assert_eq!((status, &reply["error"]["code"]), (401, &json!(190)));
    }
    let (status, reply) = answer(bench.meta("5/messages").json(&good())).await;
    assert_eq!((status, &reply["error"]["code"]), (400, &json!(33)));
    for path in ["message/sendText", "1/2/3"] {
        assert_eq!(
            bench.meta(path).json(&good()).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    let no_version = format!("{}/{}/messages", bench.gateway.meta_url(), Gateway::META_PHONE_ID);
    assert_eq!(
        bench
            .client
            .post(no_version)
            .json(&good())
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let elsewhere = format!("{}/twilio/send", bench.gateway.url());
    assert_eq!(bench.client.post(elsewhere).send().await.unwrap().status(), 404);
    assert_eq!(bench.gateway.count(), 0);
}

#[tokio::test]
async fn meta_refuses_a_malformed_message() {
    let bench = bench().await;
    for (message, code) in [
        (json!([]), 100),
        (without(good(), "messaging_product"), 100),
        (with(good(), "messaging_product", json!("sms")), 100),
        (with(good(), "recipient_type", json!("group")), 100),
        (with(good(), "message", json!("x")), 100),
        (without(good(), "to"), 100),
        (with(without(good(), "to"), "recipient", json!("ID.1")), 131_062),
        (with(good(), "to", json!(6_281_200_000_001_u64)), 100),
        (with(good(), "to", json!("081200000001")), 131_009),
        (with(good(), "to", json!("62 812")), 131_009),
        (with(good(), "to", json!(Gateway::META_NUMBER)), 131_021),
        (with(good(), "type", json!("sticker")), 131_051),
        (without(good(), "template"), 100),
        (
            with(good(), "biz_opaque_callback_data", json!("x".repeat(513))),
            100,
        ),
    ] {
        assert_eq!(bench.refused(&message).await, (400, code), "{message}");
    }
    let form = bench
        .meta(&format!("{}/messages", Gateway::META_PHONE_ID))
        .form(&[("to", TO)]);
    assert_eq!(answer(form).await.1["error"]["code"], 100);
    assert_eq!(bench.gateway.count(), 0);
    assert!(bench.gateway.requests().iter().all(|request| !request.accepted));
}

#[tokio::test]
async fn meta_checks_the_template() {
    let bench = bench().await;
    let meta = bench.gateway.meta();
    for (name, status) in [
        ("paused", TemplateStatus::Paused),
        ("disabled", TemplateStatus::Disabled),
        ("pending", TemplateStatus::Pending),
        ("rejected", TemplateStatus::Rejected),
    ] {
        meta.add_template(Template::new(name, "id", "Halo.").with_status(status));
    }
    meta.add_template(Template::new("long", "id", "{{1}}{{2}}"));
    let mut english = good();
    english["template"]["language"]["code"] = json!("en");
    let mut policy = good();
    policy["template"]["namespace"] = json!("x");
    let mut upper = good();
    upper["template"]["components"][0]["type"] = json!("BODY");
    let mut number = good();
    number["template"]["components"][0]["parameters"][0]["text"] = json!(5);
    let half = "x".repeat(513);
    for (message, expected) in [
        (template("unknown", json!([])), (404, 132_001)),
        (english, (404, 132_001)),
        (template("pending", json!([])), (404, 132_001)),
        (template("rejected", json!([])), (404, 132_001)),
        (template("paused", json!([])), (400, 132_015)),
        (template("disabled", json!([])), (400, 132_016)),
        (policy, (400, 100)),
        (upper, (400, 100)),
        (number, (400, 100)),
        (template("selesai", json!([])), (400, 132_000)),
        (template("selesai", json!([body(&["a"])])), (400, 132_000)),
        (
            template("selesai", json!([body(&["a", "b", "c"])])),
            (400, 132_000),
        ),
        (
            template("selesai", json!([body(&["a", "b"]), body(&["a", "b"])])),
            (400, 100),
        ),
        (template("selesai", json!([body(&["a", ""])])), (400, 131_008)),
        (template("selesai", json!([body(&["a", "  "])])), (400, 131_008)),
        (template("selesai", json!([body(&["a", "b\nc"])])), (400, 132_018)),
        (template("selesai", json!([body(&["a", "b\tc"])])), (400, 132_018)),
        (
            template("selesai", json!([body(&["a", "b     c"])])),
            (400, 132_018),
        ),
        (template("long", json!([body(&[&half, &half])])), (400, 132_005)),
    ] {
        assert_eq!(bench.refused(&message).await, expected, "{message}");
    }
    assert_eq!(bench.gateway.count(), 0);
    ok(bench.meta_send(&template("selesai", json!([body(&["a", "b    c"])])))).await;
    assert!(meta.set_template_status("paused", "id", TemplateStatus::Approved));
    ok(bench.meta_send(&without(
        template("paused", json!([])),
        "biz_opaque_callback_data",
    )))
    .await;
    assert!(meta.remove_template("paused", "id") && !meta.remove_template("paused", "id"));
    assert_eq!(
        bench.refused(&template("paused", json!([]))).await,
        (404, 132_001)
    );
}

#[tokio::test]
async fn meta_checks_named_parameters() {
    let bench = bench().await;
    bench
        .gateway
        .meta()
        .add_template(Template::new("named", "id", "Yth. {{partner_name}}, {{permit}}."));
    let message = |pairs: &[(&str, &str)]| {
        let parameters: Vec<Value> = pairs
            .iter()
            .map(|(name, text)| json!({ "type": "text", "parameter_name": name, "text": text }))
            .collect();
        template("named", json!([{ "type": "body", "parameters": parameters }]))
    };
    ok(bench.meta_send(&message(&[("permit", "503"), ("partner_name", "Budi")]))).await;
    assert_eq!(bench.gateway.accepted()[0].text, "Yth. Budi, 503.");
    for (message, code) in [
        (message(&[("permit", "503")]), 132_000),
        (message(&[("permit", "503"), ("nobody", "x")]), 132_012),
        (message(&[("permit", "503"), ("permit", "504")]), 132_012),
        (template("named", json!([body(&["a", "b"])])), 100),
    ] {
        assert_eq!(bench.refused(&message).await, (400, code), "{message}");
    }
    let mut named = good();
    named["template"]["components"][0]["parameters"][0]["parameter_name"] = json!("a");
    assert_eq!(bench.refused(&named).await, (400, 132_012));
}

#[tokio::test]
async fn meta_checks_header_and_buttons() {
    let bench = bench().await;
    let button = Button::Url {
        text: "Buka".to_owned(),
        url: "https://example.go.id/{{1}}".to_owned(),
    };
    let letter = Template::new("surat", "id", "Terlampir.")
        .with_header(Header::Document)
        .with_button(button);
    bench.gateway.meta().add_template(letter);
    let document = json!({ "type": "header", "parameters": [
        { "type": "document", "document": { "link": "https://example.go.id/1.pdf" } } ] });
    let url = json!({ "type": "button", "sub_type": "url", "index": "0",
                      "parameters": [ { "type": "text", "text": "84213" } ] });
    ok(bench.meta_send(&template("surat", json!([document, url])))).await;
    ok(bench.meta_send(&template(
        "surat",
        json!([document, with(url.clone(), "index", json!(0))]),
    )))
    .await;
    let words = json!({ "type": "header", "parameters": [ { "type": "text", "text": "x" } ] });
    let nothing = json!({ "type": "header", "parameters": [ { "type": "document", "document": {} } ] });
    for (components, code) in [
        (json!([document]), 131_008),
        (json!([url]), 132_000),
        (json!([words, url]), 132_012),
        (json!([nothing, url]), 131_008),
        (json!([document, with(url.clone(), "index", json!(1))]), 132_000),
        (json!([document, without(url.clone(), "index")]), 100),
    ] {
        assert_eq!(
            bench.refused(&template("surat", components.clone())).await,
            (400, code),
            "{components}"
        );
    }
}

#[tokio::test]
async fn meta_lets_text_through_an_open_window_only() {
    let bench = bench().await;
    assert_eq!(bench.refused(&text("Halo")).await, (400, 131_047));
    bench.gateway.meta().open_window("+62 812-0000-0001");
    assert_eq!(bench.refused(&text("")).await, (400, 100));
    assert_eq!(bench.refused(&text(&"x".repeat(4097))).await, (400, 100));
    let reply: Value = ok(bench.meta_send(&text("Halo\nBudi")))
        .await
        .json()
        .await
        .unwrap();
    assert!(reply["messages"][0].get("message_status").is_none());
    assert_eq!(bench.gateway.accepted()[0].text, "Halo\nBudi");
    bench.gateway.clock().advance(Duration::from_secs(24 * 3600));
    assert_eq!(bench.refused(&text("Halo")).await, (400, 131_047));
    bench.gateway.meta().open_window(TO);
    bench.gateway.meta().close_window(TO);
    assert_eq!(bench.refused(&text("Halo")).await, (400, 131_047));
}

#[tokio::test]
async fn meta_limits_pairs_and_seconds_when_told() {
    let bench = bench().await;
    bench.gateway.clock().freeze();
    bench.gateway.meta().set_pair_rate(Some(PairRate::STRICT));
    ok(bench.meta_send(&good())).await;
    assert_eq!(bench.refused(&good()).await, (400, 131_056));
    ok(bench.meta_send(&with(good(), "to", json!("6281200000002")))).await;
    bench.gateway.clock().advance(Duration::from_secs(6));
    ok(bench.meta_send(&good())).await;
    bench.gateway.meta().set_pair_rate(None);
    bench.gateway.meta().set_throughput(Some(2));
    ok(bench.meta_send(&good())).await;
    ok(bench.meta_send(&good())).await;
    assert_eq!(bench.refused(&good()).await, (400, 130_429));
    bench.gateway.clock().advance(Duration::from_secs(1));
    ok(bench.meta_send(&good())).await;
}

#[tokio::test]
async fn a_number_without_whatsapp_is_met_in_three_ways() {
    let bench = bench().await;
    bench.gateway.numbers().remove(TO);
    assert_eq!(bench.refused(&good()).await, (400, 131_026));
    assert_eq!(bench.watzap_status(bench.watzap_send()).await, "1005");
    let (_, reply) = answer(bench.fonnte_send()).await;
    assert_eq!(reply["status"], true);
    let id = reply["id"][0].as_str().unwrap();
    assert_eq!(
        answer(bench.fonnte("status", &[("id", id)])).await.1["message_status"],
        "pending"
    );
    assert_eq!(
        answer(bench.fonnte("validate", &[("target", &format!("{TO},08129"))]))
            .await
            .1["reason"],
        json!("target invalid")
    );
    let (_, reply) = answer(bench.fonnte("validate", &[("target", &format!("{TO},081200000009"))])).await;
    assert_eq!(
        reply,
        json!({ "status": true, "registered": ["6281200000009"], "not_registered": [TO] })
    );
    bench.gateway.numbers().restore(TO);
    ok(bench.meta_send(&good())).await;
}

#[tokio::test]
async fn meta_lists_templates_in_pages() {
    let bench = bench().await;
    bench
        .gateway
        .meta()
        .add_template(Template::new("selesai", "en", "Dear {{1}}, {{2}}."));
    bench
        .gateway
        .meta()
        .add_template(Template::new("lain", "id", "{{nama}}").with_status(TemplateStatus::Paused));
    let path = format!(
        "{}/message_templates?fields=name,language,status,parameter_format&limit=2",
        Gateway::META_WABA_ID
    );
    let (status, first) = bench.meta_get(&path).await;
    assert_eq!((status, first["data"].as_array().unwrap().len()), (200, 2));
    assert_eq!(
        first["data"][0],
        json!({ "id": "5511", "name": "selesai", "language": "id", "status": "APPROVED", "parameter_format": "POSITIONAL" })
    );
    let next = first["paging"]["next"].as_str().unwrap();
    let (_, second) = answer(bench.client.get(next).bearer_auth(Gateway::META_TOKEN)).await;
    assert_eq!(second["data"][0]["name"], "lain");
    assert_eq!(second["data"][0]["parameter_format"], "NAMED");
    assert!(second["paging"].get("next").is_none());
    let after = first["paging"]["cursors"]["after"].as_str().unwrap();
    assert_eq!(
        bench.meta_get(&format!("{path}&after={after}")).await.1["data"],
        second["data"]
    );
    let (_, paused) = bench
        .meta_get(&format!(
            "{}/message_templates?status=PAUSED",
            Gateway::META_WABA_ID
        ))
        .await;
    assert_eq!(paused["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        paused["data"][0]["components"][0],
        json!({ "type": "BODY", "text": "{{nama}}" })
    );
    assert_eq!(bench.meta_get("1/message_templates").await.0, 400);
}

#[tokio::test]
async fn meta_reports_health() {
    let bench = bench().await;
    let path = format!("{}?fields=id,health_status", Gateway::META_PHONE_ID);
    assert_eq!(
        bench.meta_get(&path).await.1["health_status"]["can_send_message"],
        "AVAILABLE"
    );
    bench.gateway.meta().set_health(Health::Blocked {
        code: 131_042,
        description: "billing".to_owned(),
    });
    let (_, reply) = bench.meta_get(&path).await;
    assert_eq!(
        reply["health_status"]["entities"][0]["errors"][0]["error_code"],
        131_042
    );
    assert_eq!(bench.meta_get("5?fields=id").await.0, 400);
}

// Fonnte

#[tokio::test]
async fn fonnte_takes_a_form_only() {
    let bench = bench().await;
    let url = format!("{}/send", bench.gateway.fonnte_url());
    let (status, reply) = answer(bench.fonnte_send()).await;
    assert_eq!(
        (status, &reply["status"], &reply["process"]),
        (200, &json!(true), &json!("pending"))
    );
    assert_eq!(reply["target"], json!([TO]));
    let message = &bench.gateway.accepted()[0];
    assert_eq!(message.text, "Yth. Budi\nSelesai & beres.");
    assert_eq!(message.external_id.as_deref(), reply["id"][0].as_str());
    assert_eq!(bench.gateway.requests()[0].body["target"], TO);

    let json = json!({ "target": TO, "message": "x" });
    let post = |token: &str| bench.client.post(&url).header("Authorization", token);
    assert_eq!(
        bench.reason(post(Gateway::FONNTE_TOKEN).json(&json)).await,
        "input invalid"
    );
    let fields = [("target", TO), ("message", "x")];
    for token in [
        format!("Bearer {}", Gateway::FONNTE_TOKEN),
        "x".into(),
        Gateway::FONNTE_ACCOUNT_TOKEN.into(),
    ] {
        assert_eq!(bench.reason(post(&token).form(&fields)).await, "token invalid");
    }
    assert_eq!(
        bench.reason(bench.client.post(&url).form(&fields)).await,
        "token invalid"
    );
    for (fields, reason) in [
        ([("target", ""), ("message", "x")], "input invalid"),
        ([("target", TO), ("message", "")], "input invalid"),
        ([("target", TO), ("template", "selesai")], "input invalid"),
        ([("target", "abc"), ("message", "x")], "target invalid"),
        ([("target", "+6281200000001"), ("message", "x")], "target invalid"),
    ] {
        assert_eq!(
            bench.reason(bench.fonnte("send", &fields)).await,
            reason,
            "{fields:?}"
        );
    }
    assert_eq!(bench.gateway.count(), 1);
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n081200000001\r\n--b\r\n\
                     Content-Disposition: form-data; name=\"message\"\r\n\r\nHalo\r\n--b--\r\n";
    ok(post(Gateway::FONNTE_TOKEN)
        .header("Content-Type", "multipart/form-data; boundary=b")
        .body(multipart))
    .await;
    assert_eq!(bench.gateway.accepted_to(TO).len(), 2);
    for path in ["qr-code", "message"] {
        assert_eq!(bench.fonnte(path, &fields).send().await.unwrap().status(), 404);
    }
    assert_eq!(bench.client.get(&url).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn fonnte_sends_to_many_and_binds_their_values() {
    let bench = bench().await;
    let fields = [
        ("target", "081200000001|Budi|503,6281200000002|Ani|504"),
        ("message", "Yth. {name}: {var1}"),
    ];
    let reply: Value = ok(bench.fonnte("send", &fields)).await.json().await.unwrap();
    assert_eq!(reply["id"].as_array().unwrap().len(), 2);
    assert_eq!(bench.gateway.accepted_to(TO)[0].text, "Yth. Budi: 503");
    assert_eq!(
        bench.gateway.accepted_to("6281200000002")[0].text,
        "Yth. Ani: 504"
    );
}

#[tokio::test]
async fn fonnte_has_a_phone_and_a_quota() {
    let bench = bench().await;
    bench.gateway.fonnte().set_quota(Some(1));
    assert_eq!(answer(bench.fonnte("device", &[])).await.1["quota"], "1");
    ok(bench.fonnte_send()).await;
    assert_eq!(bench.reason(bench.fonnte_send()).await, "insufficient quota");
    bench.gateway.fonnte().set_quota(None);
    bench.gateway.fonnte().set_connected(false);
    assert_eq!(
        answer(bench.fonnte("device", &[])).await.1["device_status"],
        "disconnect"
    );
    assert_eq!(
        bench.reason(bench.fonnte_send()).await,
        "request invalid on disconnected device"
    );
    let validate = bench.fonnte("validate", &[("target", TO)]);
    assert_eq!(
        bench.reason(validate).await,
        "request invalid on disconnected device"
    );
    assert_eq!(bench.gateway.count(), 1);
    let later = [("target", TO), ("message", "x"), ("connectOnly", "false")];
    assert_eq!(answer(bench.fonnte("send", &later)).await.1["status"], true);
    assert_eq!(bench.gateway.count(), 2);
    assert_eq!(
        bench.reason(bench.fonnte("get-devices", &[])).await,
        "unknown user"
    );
    let devices = bench
        .client
        .post(format!("{}/get-devices", bench.gateway.fonnte_url()))
        .header("Authorization", Gateway::FONNTE_ACCOUNT_TOKEN);
    assert_eq!(answer(devices).await.1["data"][0]["status"], "disconnect");
}

// Watzap

#[tokio::test]
async fn watzap_answers_200_to_everything_it_knows() {
    let bench = bench().await;
    let reply: Value = ok(bench.watzap_send()).await.json().await.unwrap();
    assert_eq!(
        reply,
        json!({ "status": "200", "message": "Successfully", "ack": "successfully" })
    );
    let [message] = &bench.gateway.accepted()[..] else {
        panic!("not one")
    };
    assert_eq!(
        (message.to.as_str(), message.text.as_str(), &message.external_id),
        (TO, "Yth. Budi", &None)
    );
    ok(bench.watzap(
        "send_message",
        &with(watzap_message(), "number_key", json!("ALL")),
    ))
    .await;
    assert_eq!(bench.gateway.count(), 2);
    for (message, status) in [
        (with(watzap_message(), "api_key", json!("x")), "1002"),
        (without(watzap_message(), "api_key"), "1002"),
        (with(watzap_message(), "number_key", json!("x")), "1003"),
        (without(watzap_message(), "number_key"), "1003"),
        (
            with(watzap_message(), "phone_no", json!("+6281200000001")),
            "1005",
        ),
        (with(watzap_message(), "phone_no", json!("081200000001")), "1005"),
        (with(watzap_message(), "message", json!("")), "1005"),
    ] {
        assert_eq!(
            bench.watzap_status(bench.watzap("send_message", &message)).await,
            status,
            "{message}"
        );
    }
    let url = format!("{}/send_message", bench.gateway.watzap_url());
    let form = bench
        .client
        .post(url)
        .form(&[("api_key", Gateway::WATZAP_API_KEY), ("phone_no", TO)]);
    assert_eq!(bench.watzap_status(form).await, "1002");
    assert_eq!(bench.gateway.count(), 2);
    for path in ["message/sendText", "message/status/1"] {
        assert_eq!(
            bench
                .watzap(path, &watzap_message())
                .send()
                .await
                .unwrap()
                .status(),
            404
        );
    }
}

#[tokio::test]
async fn watzap_has_a_phone_and_a_plan() {
    let bench = bench().await;
    let key = json!({ "api_key": Gateway::WATZAP_API_KEY });
    let (_, reply) = answer(bench.watzap("checking_key", &key)).await;
    assert_eq!(
        (
            &reply["status"],
            &reply["data"]["licenses_key"][0]["is_connected"]
        ),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        bench
            .watzap_status(bench.watzap("validate_number", &watzap_message()))
            .await,
        "200"
    );
    bench.gateway.watzap().set_connected(false);
    let (_, reply) = answer(bench.watzap_send()).await;
    assert_eq!(
        (&reply["status"], &reply["message"]),
        (&json!("1005"), &json!("WhatsApp Instance Not Started"))
    );
    let (_, reply) = answer(bench.watzap("checking_key", &key)).await;
    assert_eq!(reply["data"]["licenses_key"][0]["is_connected"], false);
    bench.gateway.watzap().set_plan_has_api(false);
    assert_eq!(bench.watzap_status(bench.watzap_send()).await, "3001");
    assert_eq!(bench.gateway.count(), 0);
}

#[tokio::test]
async fn watzap_can_wait_until_sent() {
    let bench = bench().await;
    bench.gateway.watzap().set_send_takes(SILENCE);
    let started = Instant::now();
    ok(bench.watzap(
        "send_message",
        &with(watzap_message(), "wait_until_send", json!("1")),
    ))
    .await;
    assert!(started.elapsed() >= SILENCE);
}

// Failing on order

#[tokio::test]
async fn scripted_answers_accept_nothing() {
    let bench = bench().await;
    let meta = bench.gateway.script(Provider::Meta);
    meta.push(Behaviour::meta_error(131_042, "no payment"))
        .push(Behaviour::http(500, "oops"))
        .push(Behaviour::too_many(7))
        .push(Behaviour::Html502)
        .push(Behaviour::Garbage);
    assert_eq!(meta.left(), 5);
    let (status, reply) = answer(bench.meta_send(&good())).await;
    assert_eq!((status, &reply["error"]["code"]), (400, &json!(131_042)));
    assert_eq!(reply["error"]["error_data"]["details"], "no payment");
    let response = bench.meta_send(&good()).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.text().await.unwrap().as_str()
        ),
        (500, "oops")
    );
    let response = bench.meta_send(&good()).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "7")
    );
    let response = bench.meta_send(&good()).send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["content-type"].to_str().unwrap()
        ),
        (502, "text/html")
    );
    let response = ok(bench.meta_send(&good())).await;
    assert!(response.json::<Value>().await.is_err());
    assert_eq!((bench.gateway.count(), meta.left()), (0, 0));

    bench
        .gateway
        .script(Provider::Fonnte)
        .push(Behaviour::fonnte_reason("insufficient quota"));
    assert_eq!(bench.reason(bench.fonnte_send()).await, "insufficient quota");
    bench
        .gateway
        .script(Provider::Watzap)
        .push(Behaviour::watzap_status("1006", "other"));
    assert_eq!(bench.watzap_status(bench.watzap_send()).await, "1006");
    assert_eq!(bench.gateway.count(), 0);
    ok(bench.meta_send(&good())).await;
}

#[tokio::test]
async fn held_and_paused_messages_are_accepted() {
    let bench = bench().await;
    bench
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::MetaHeld)
        .push(Behaviour::MetaPaused);
    for word in ["held_for_quality_assessment", "paused"] {
        let reply: Value = ok(bench.meta_send(&good())).await.json().await.unwrap();
        assert_eq!(reply["messages"][0]["message_status"], word);
    }
    assert_eq!(
        bench.gateway.accepted()[0].message_status.as_deref(),
        Some("held_for_quality_assessment")
    );
    assert_eq!(bench.gateway.count(), 2);
}

#[tokio::test]
async fn a_cut_after_accept_leaves_the_client_in_doubt_and_the_message_in_the_ledger() {
    let bench = bench().await;
    // A connection already in the client's pool must not be repaired behind its back.
    ok(bench.meta_send(&good())).await;
    ok(bench.fonnte_send()).await;
    ok(bench.watzap_send()).await;
    for (provider, request) in [
        (Provider::Meta, bench.meta_send(&good())),
        (Provider::Fonnte, bench.fonnte_send()),
        (Provider::Watzap, bench.watzap_send()),
    ] {
        let before = bench.gateway.count();
        bench.gateway.script(provider).push(Behaviour::CutAfterAccept);
        let error = request.timeout(SOON).send().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
        assert_eq!(bench.gateway.count(), before + 1, "{provider}");
        let request = bench.gateway.requests().pop().unwrap();
        assert_eq!((request.response_status, request.accepted), (None, true));
    }
    // A refusal is not made an acceptance by the cut.
    bench
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::CutAfterAccept);
    let before = bench.gateway.count();
    assert!(bench.meta_send(&without(good(), "to")).send().await.is_err());
    assert_eq!(bench.gateway.count(), before);
    ok(bench.meta_send(&good())).await;
}

#[tokio::test]
async fn a_cut_is_a_reset_and_not_an_orderly_end() {
    let bench = bench().await;
    let address = bench.gateway.url().strip_prefix("http://").unwrap();
    for behaviour in [Behaviour::CutBeforeRead, Behaviour::CutAfterAccept] {
        bench.gateway.script(Provider::Watzap).push(behaviour);
        let body = watzap_message().to_string();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = "POST /watzap/v1/send_message HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let error = stream.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(bench.gateway.count(), 1);
}

#[tokio::test]
async fn a_cut_before_read_accepts_nothing() {
    let bench = bench().await;
    let script = bench.gateway.script(Provider::Meta);
    script.push(Behaviour::CutBeforeRead);
    let error = bench.meta_send(&good()).timeout(SOON).send().await.unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
    assert_eq!(bench.gateway.requests()[0].body, Value::Null);
    ok(bench.meta_send(&good())).await;
    script.always(Behaviour::CutBeforeRead);
    assert!(bench.meta_send(&good()).send().await.is_err());
    assert!(bench.meta_send(&good()).send().await.is_err());
    script.clear();
    script.when_to(TO, Behaviour::CutBeforeRead);
    assert!(bench.meta_send(&good()).send().await.is_err());
    ok(bench.meta_send(&with(good(), "to", json!("6281200000002")))).await;
    assert_eq!((bench.gateway.count(), bench.gateway.requests().len()), (2, 6));
}

#[tokio::test]
async fn a_hang_is_silent_with_or_without_the_message() {
    let bench = bench().await;
    for accept in [false, true] {
        bench
            .gateway
            .script(Provider::Meta)
            .push(Behaviour::Hang { accept });
        let error = bench
            .meta_send(&good())
            .timeout(SILENCE)
            .send()
            .await
            .unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(bench.gateway.count(), usize::from(accept));
    }
    assert!(
        bench
            .gateway
            .requests()
            .iter()
            .all(|request| request.response_status.is_none())
    );
}

#[tokio::test]
async fn a_slow_answer_has_accepted_at_once_and_a_delayed_one_has_not() {
    let bench = bench().await;
    let script = bench.gateway.script(Provider::Meta);
    let far = Duration::from_secs(3600);
    script
        .push(Behaviour::SlowFirstByte(far))
        .push(Behaviour::Delay(far))
        .push(Behaviour::Delay(SILENCE));
    assert!(
        bench
            .meta_send(&good())
            .timeout(SILENCE)
            .send()
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(bench.gateway.count(), 1);
    assert!(
        bench
            .meta_send(&good())
            .timeout(SILENCE)
            .send()
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(bench.gateway.count(), 1);
    let started = Instant::now();
    ok(bench.meta_send(&good())).await;
    assert!(started.elapsed() >= SILENCE);
    assert_eq!(bench.gateway.count(), 2);
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    let bench = bench().await;
    for (point, meanwhile) in [(HoldPoint::BeforeAccept, 0), (HoldPoint::AfterAccept, 2)] {
        let hold = bench.gateway.script(Provider::Meta).hold(point);
        let sending = tokio::spawn(bench.meta_send(&good()).timeout(SOON).send());
        hold.arrived().await;
        assert_eq!((bench.gateway.count(), hold.arrivals()), (meanwhile, 1));
        assert!(!sending.is_finished());
        hold.release();
        assert_eq!(sending.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(bench.gateway.count(), 2);
}

#[tokio::test]
async fn a_hold_can_end_in_another_behaviour() {
    let bench = bench().await;
    let hold = bench
        .gateway
        .script(Provider::Watzap)
        .hold_to(TO, HoldPoint::AfterAccept);
    let sending = tokio::spawn(bench.watzap_send().send());
    assert!(hold.arrived_within(SOON).await);
    hold.release_as(Behaviour::CutAfterAccept);
    assert!(sending.await.unwrap().is_err());
    assert_eq!(bench.gateway.count(), 1);

    let dropped = bench.gateway.script(Provider::Meta).hold(HoldPoint::BeforeAccept);
    let sending = tokio::spawn(bench.meta_send(&good()).send());
    assert!(dropped.arrived_within(SOON).await);
    drop(dropped);
    assert_eq!(sending.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_provider_goes_on_when_its_client_has_died() {
    let bench = bench().await;
    let hold = bench.gateway.script(Provider::Meta).hold(HoldPoint::BeforeAccept);
    let sending = tokio::spawn(bench.meta_send(&good()).send());
    hold.arrived().await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    // A round trip, in which the server notices that the other connection has ended.
    ok(bench.watzap_send()).await;
    hold.release();
    let accepted = bench.gateway.wait_for_accepted(2, SOON).await.unwrap();
    assert_eq!(accepted[1].provider, Provider::Meta);
}

#[tokio::test]
async fn the_most_particular_line_of_a_script_wins() {
    let bench = bench().await;
    let script = bench.gateway.script(Provider::Fonnte);
    script
        .always(Behaviour::fonnte_reason("always"))
        .push(Behaviour::fonnte_reason("pushed"))
        .when_to("+62 812 0000 0001", Behaviour::fonnte_reason("number"))
        .once_to(TO, Behaviour::fonnte_reason("once"));
    let other = || bench.fonnte("send", &[("target", "6281200000002"), ("message", "x")]);
    assert_eq!(bench.reason(bench.fonnte_send()).await, "once");
    assert_eq!(bench.reason(bench.fonnte_send()).await, "number");
    assert_eq!(bench.reason(other()).await, "pushed");
    assert_eq!(bench.reason(other()).await, "always");
    // Neither probes nor other providers follow it.
    assert_eq!(answer(bench.fonnte("device", &[])).await.1["status"], true);
    ok(bench.watzap_send()).await;
    script.clear();
    ok(bench.fonnte_send()).await;
    bench
        .gateway
        .probe_script(Provider::Fonnte)
        .push(Behaviour::http(503, ""));
    ok(bench.fonnte_send()).await;
    assert_eq!(bench.fonnte("device", &[]).send().await.unwrap().status(), 503);
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let bench = bench().await;
        bench
            .gateway
            .script(Provider::Watzap)
            .chance(30, seed, Behaviour::watzap_status("1006", "chance"));
        let mut run = Vec::new();
        for _ in 0..100 {
            run.push(bench.watzap_status(bench.watzap_send()).await == "1006");
        }
        let struck = run.iter().filter(|struck| **struck).count();
        assert!((15..=45).contains(&struck), "{struck}");
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

// Waiting, starting, stopping

#[tokio::test]
async fn waiting_ends_with_the_message_or_says_what_was_seen() {
    let bench = bench().await;
    let error = bench
        .gateway
        .wait_for_accepted(1, Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(matches!(error, GatewayError::WaitedInVain { accepted: 0, .. }));
    bench.refused(&text("Halo")).await;
    let error = bench
        .gateway
        .wait_for(|book| book.accepted.len() == 1, Duration::from_millis(20))
        .await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("/messages -> 400, not accepted")
    );
    let (waited, ()) = tokio::join!(bench.gateway.wait_for_accepted(2, SOON), async {
        ok(bench.fonnte_send()).await;
        ok(bench.watzap_send()).await;
    });
    let accepted = waited.unwrap();
    assert_eq!(
        accepted
            .iter()
            .map(|message| (message.seq, message.request))
            .collect::<Vec<_>>(),
        [(0, 1), (1, 2)]
    );
    bench
        .gateway
        .wait_for(|book| book.sends().count() == 3, SOON)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stopped_gateway_refuses_connections_and_can_come_back() {
    let bench = bench().await;
    let address = bench
        .gateway
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    bench
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::Hang { accept: false });
    let hung = tokio::spawn(bench.meta_send(&good()).send());
    bench
        .gateway
        .wait_for(|book| book.requests.len() == 1, SOON)
        .await
        .unwrap();
    let again = bench.watzap_send();
    let third = bench.watzap_send();
    tokio::time::timeout(SOON, bench.gateway.stop()).await.unwrap();
    assert!(hung.await.unwrap().is_err());
    assert!(again.send().await.unwrap_err().is_connect());
    let back = Gateway::start_on(address).await.unwrap();
    ok(third).await;
    assert_eq!(back.count(), 1);
}

#[tokio::test]
async fn a_dropped_gateway_stops() {
    let bench = bench().await;
    let request = bench.watzap_send();
    let hung = bench.meta_send(&good());
    bench
        .gateway
        .script(Provider::Meta)
        .push(Behaviour::Hang { accept: false });
    let hung = tokio::spawn(hung.send());
    bench
        .gateway
        .wait_for(|book| book.requests.len() == 1, SOON)
        .await
        .unwrap();
    drop(bench.gateway);
    assert!(tokio::time::timeout(SOON, hung).await.unwrap().unwrap().is_err());
    assert!(request.send().await.is_err());
}

#[tokio::test]
async fn many_at_once_are_each_recorded_once() {
    let bench = bench().await;
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..200 {
        sends.spawn(
            bench
                .meta_send(&with(good(), "to", json!(format!("62812000{n:05}"))))
                .send(),
        );
    }
    while let Some(sent) = sends.join_next().await {
        assert_eq!(sent.unwrap().unwrap().status(), 200);
    }
    assert_eq!(bench.gateway.count(), 200);
    assert!((0..200).all(|n| bench.gateway.accepted_to(&format!("62812000{n:05}")).len() == 1));
}

// Webhooks

mod webhooks {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Query, State};
    use axum::http::HeaderMap;
    use axum::routing::get;

    use super::*;

    type Inbox = Arc<Mutex<Vec<(Option<String>, String)>>>;

    /// A receiver that keeps signature and raw body of what is posted.
    async fn receiver() -> (String, Inbox) {
        let inbox = Inbox::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new()
            .route(
                "/hook",
                get(|Query(query): Query<HashMap<String, String>>| async move {
                    if query["hub.verify_token"] == "ours" {
                        query["hub.challenge"].clone()
                    } else {
                        String::new()
                    }
                })
                .post(
                    |State(inbox): State<Inbox>, headers: HeaderMap, body: String| async move {
                        let signature = headers
                            .get("x-hub-signature-256")
                            .map(|value| value.to_str().unwrap().to_owned());
                        inbox.lock().unwrap().push((signature, body));
                    },
                ),
            )
            .with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, inbox)
    }

    #[tokio::test]
    async fn meta_posts_what_the_ledger_knows() {
        let bench = bench().await;
        let (url, inbox) = receiver().await;
        let hooks = bench.gateway.meta_webhooks(&url, "app secret");
        assert!(hooks.handshake("ours").await.unwrap());
        assert!(!hooks.handshake("theirs").await.unwrap());
        ok(bench.meta_send(&good())).await;
        let id = bench.gateway.accepted()[0].external_id.clone().unwrap();
        assert_eq!(hooks.send_status(&id, "delivered").await.unwrap(), 200);
        assert_eq!(
            hooks
                .send_failed(&id, 131_026, "Message Undeliverable.")
                .await
                .unwrap(),
            200
        );
        assert_eq!(hooks.send_inbound(TO, "SETUJU é/").await.unwrap(), 200);
        ok(bench.meta_send(&text("Terima kasih"))).await;
        let posts = inbox.lock().unwrap().clone();
        let read: Vec<Value> = posts
            .iter()
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect();
        let value = |n: usize| &read[n]["entry"][0]["changes"][0]["value"];
        let status = &value(0)["statuses"][0];
        assert_eq!(
            (&status["status"], &status["recipient_id"]),
            (&json!("delivered"), &json!(TO))
        );
        assert_eq!(status["biz_opaque_callback_data"], "a:1");
        assert_eq!(value(1)["statuses"][0]["errors"][0]["code"], 131_026);
        assert_eq!(value(2)["messages"][0]["text"]["body"], "SETUJU é/");
        assert!(posts[2].1.contains("SETUJU \\u00e9\\/"));
        assert!(
            posts
                .iter()
                .all(|(signature, _)| signature.as_ref().unwrap().len() == 71)
        );
    }

    #[tokio::test]
    async fn fonnte_and_watzap_post_unsigned() {
        let bench = bench().await;
        let (url, inbox) = receiver().await;
        let fonnte = bench.gateway.fonnte_webhooks(&url);
        fonnte.send_status("80367170", "3EB0A1", "sent").await.unwrap();
        fonnte.send_state("3EB0A1", "delivered").await.unwrap();
        fonnte.send_inbound("0812-0000-0001", "SETUJU").await.unwrap();
        fonnte.send_device(false).await.unwrap();
        bench
            .gateway
            .watzap_webhooks(&url)
            .send_inbound("6281200000001@c.us", "SETUJU")
            .await
            .unwrap();
        let posts = inbox.lock().unwrap().clone();
        assert!(posts.iter().all(|(signature, _)| signature.is_none()));
        let read: Vec<Value> = posts
            .iter()
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect();
        assert_eq!(read[0]["id"], "80367170");
        assert!(read[1].get("id").is_none());
        assert_eq!(read[2]["sender"], TO);
        assert_eq!(read[3]["status"], "disconnect");
        assert_eq!(read[4]["data"]["message_body"], "SETUJU");
    }

    #[tokio::test]
    async fn a_receiver_that_is_not_there_is_an_error() {
        let bench = bench().await;
        let hooks = bench.gateway.watzap_webhooks("http://127.0.0.1:1/hook");
        assert!(matches!(
            hooks.send_inbound("1", "x").await,
            Err(GatewayError::Webhook { .. })
        ));
    }
}
