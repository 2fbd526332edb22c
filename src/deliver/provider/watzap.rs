//! Watzap: "send message", "checking key". Keys stand in the JSON body; refusals usually come with HTTP 200; no message id.

use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::failure::{DISCONNECTED, watzap_class};
use super::{Answer, Class, Content, Failure, Health, Outgoing, ProviderKind};

const KIND: ProviderKind = ProviderKind::Watzap;

/// The number_key that spreads messages over all connected numbers.
const ALL_NUMBERS: &str = "ALL";

pub(super) fn send(
    http: &Client,
    base: &str,
    api_key: &SecretString,
    number_key: &SecretString,
    wait_until_send: bool,
    outgoing: &Outgoing,
) -> Result<RequestBuilder, &'static str> {
    let Content::Text(text) = &outgoing.content else {
        return Err("Watzap's text API knows no templates: render the text first");
    };
    let mut body = json!({
        "api_key": api_key.expose_secret(),
        "number_key": number_key.expose_secret(),
        "phone_no": outgoing.to.digits(),
        "message": text,
    });
    if wait_until_send {
        body["wait_until_send"] = json!("1");
    }
    Ok(http.post(format!("{base}/send_message")).json(&body))
}

/// `None`: the answer says neither yes nor no.
pub(super) fn read(http_status: u16, json: &Value) -> Option<Answer> {
    let ok = (200..300).contains(&http_status);
    let status = status(json)?;
    if status == "200" {
        return ok.then(|| Answer::accepted(None));
    }
    let message = words(json);
    let (class, code) = watzap_class(&status, &message);
    // An unexplained status says less than the HTTP status beside it.
    (ok || class != Class::Soft).then(|| Answer::Refused(Failure::new(KIND, class, code, message)))
}

pub(super) fn probe(http: &Client, base: &str, api_key: &SecretString) -> RequestBuilder {
    http.post(format!("{base}/checking_key"))
        .json(&json!({ "api_key": api_key.expose_secret() }))
}

pub(super) fn read_probe(http_status: u16, json: &Value, number_key: &SecretString) -> Option<Health> {
    let status = status(json)?;
    if status == "200" && (200..300).contains(&http_status) {
        return Some(licences(json, number_key.expose_secret()));
    }
    let message = words(json);
    match watzap_class(&status, &message) {
        (Class::Account, code) => Some(Health::Down(Failure::new(KIND, Class::Account, code, message))),
        // `status:false` to a question about the key: the key is wrong.
        (_, code) if code == "false" => {
            Some(Health::Down(Failure::new(KIND, Class::Account, "1002", message)))
        }
        _ => None,
    }
}

fn licences(json: &Value, number_key: &str) -> Health {
    let down = |code: &str, words: &str| Health::Down(Failure::new(KIND, Class::Account, code, words));
    let Some(licences) = json.pointer("/data/licenses_key").and_then(Value::as_array) else {
        return Health::Unknown {
            error: "Watzap lists no licences".to_owned(),
        };
    };
    let ours = |licence: &&Value| {
        number_key == ALL_NUMBERS || licence.get("key").and_then(Value::as_str) == Some(number_key)
    };
    let mut ours = licences.iter().filter(ours).peekable();
    if ours.peek().is_none() {
        return down("1003", "the number_key is not among the account's licences");
    }
    let connected = ours.find(|licence| licence.get("is_connected").is_some_and(is_yes));
    let Some(licence) = connected else {
        return down(
            DISCONNECTED,
            "the phone is not connected: scan the QR code in Watzap",
        );
    };
    let until = licence
        .get("expires_on")
        .and_then(Value::as_str)
        .unwrap_or("an unknown date");
    let number = licence.get("wa_number").and_then(Value::as_str);
    let number = number.map_or_else(String::new, |number| format!("number {number}, "));
    Health::Healthy {
        detail: format!("{number}connected, licence until {until}"),
    }
}

fn is_yes(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
        || value.as_i64() == Some(1)
        || matches!(value.as_str(), Some("1" | "true"))
}

fn words(json: &Value) -> String {
    let text = |name| {
        json.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    text("message")
        .or_else(|| text("ack"))
        .unwrap_or("no message")
        .to_owned()
}

/// `"200"`, `200` and `true` are one; `None` for an answer without a status.
fn status(json: &Value) -> Option<String> {
    match json.get("status")? {
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some("200".to_owned()),
        Value::String(word) => Some(word.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("200".to_owned()),
        Value::Bool(false) => Some("false".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_say_yes() {
        for yes in [json!("200"), json!(200), json!(true), json!("true")] {
            assert_eq!(read(200, &json!({ "status": yes })), Some(Answer::accepted(None)));
            assert_eq!(read(500, &json!({ "status": yes })), None);
        }
        assert_eq!(read(200, &json!({"message": "Successfully"})), None);
        assert_eq!(read(200, &json!({"status": null})), None);
    }

    #[test]
    fn refusals() {
        let class = |http, json: Value| match read(http, &json) {
            Some(Answer::Refused(failure)) => Some((failure.class, failure.code)),
            _ => None,
        };
        let not_started =
            json!({"status": "1005", "message": "WhatsApp Instance Not Started", "ack": "fatal_error"});
        assert_eq!(
            class(200, not_started),
            Some((Class::Account, DISCONNECTED.into()))
        );
        assert_eq!(
            class(200, json!({"status": 1002})),
            Some((Class::Account, "1002".into()))
        );
        assert_eq!(
            class(200, json!({"status": false})),
            Some((Class::Soft, "false".into()))
        );
        assert_eq!(
            class(400, json!({"status": "3001"})),
            Some((Class::Account, "3001".into()))
        );
        assert_eq!(class(502, json!({"status": "1009"})), None);
    }

    #[test]
    fn state_of_the_number() {
        let licence = |key: &str, connected: Value| json!({"key": key, "is_connected": connected, "expires_on": "2027"});
        let account = |licences: Value| json!({"status": true, "data": {"licenses_key": licences}});
        let health =
            |licences, key: &str| read_probe(200, &account(licences), &SecretString::from(key)).unwrap();
        let two = json!([licence("A", json!(false)), licence("B", json!(true))]);
        assert!(health(two.clone(), "B").may_send());
        assert!(health(two.clone(), "ALL").may_send());
        assert!(matches!(health(two.clone(), "A"), Health::Down(failure) if failure.code == DISCONNECTED));
        assert!(matches!(health(two, "C"), Health::Down(failure) if failure.code == "1003"));
        let bad = read_probe(
            200,
            &json!({"status": "1002", "message": "x"}),
            &SecretString::from("A"),
        );
        assert!(matches!(bad, Some(Health::Down(_))));
    }
}
