//! Fonnte: "API send", "device profile". The body is a form; success and failure both come with HTTP 200.

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::client::credential;
use super::failure::{DISCONNECTED, fonnte_class};
use super::{AcceptNote, Answer, Class, Content, Failure, Health, Outgoing, ProviderKind};
use crate::deliver::template::guard_for_fonnte;

const KIND: ProviderKind = ProviderKind::Fonnte;

pub(super) fn send(
    http: &Client,
    base: &str,
    token: &SecretString,
    outgoing: &Outgoing,
) -> Result<RequestBuilder, &'static str> {
    let Content::Text(text) = &outgoing.content else {
        return Err("Fonnte knows no templates: render the text first");
    };
    // "0" switches the rewriting of numbers off: a foreign number must reach Fonnte as it is.
    let country = if outgoing.to.is_indonesian() { "62" } else { "0" };
    let message = guard_for_fonnte(text);
    // One target per call, so that outcome and id are one to one. connectOnly: refuse at once when the phone is
    // disconnected; otherwise Fonnte would send later what another provider has sent by then.
    let form = [
        ("target", outgoing.to.digits()),
        ("message", message.as_str()),
        ("countryCode", country),
        ("connectOnly", "true"),
    ];
    Ok(http
        .post(format!("{base}/send"))
        .header(AUTHORIZATION, token_header(token))
        .form(&form))
}

/// The token stands alone, without `Bearer`.
fn token_header(token: &SecretString) -> reqwest::header::HeaderValue {
    credential(token.expose_secret().to_owned())
}

/// `None`: the answer says neither yes nor no.
pub(super) fn read(status: u16, json: &Value) -> Option<Answer> {
    let ok = (200..300).contains(&status);
    if ok && is_true(json)? {
        return Some(accepted(json));
    }
    let reason = text(json, "reason")
        .or_else(|| text(json, "detail"))
        .unwrap_or_default();
    match fonnte_class(&reason) {
        Some((class, code)) => Some(Answer::Refused(Failure::new(KIND, class, code, reason))),
        None if ok => Some(Answer::Refused(Failure::new(
            KIND,
            Class::Soft,
            "unknown_reason",
            reason,
        ))),
        None => None,
    }
}

fn accepted(json: &Value) -> Answer {
    let detail = text(json, "detail").unwrap_or_default().to_lowercase();
    Answer::Accepted {
        external_id: field(json, "id").and_then(|id| as_text(id.get(0).unwrap_or(id))),
        reference: text(json, "requestid"),
        note: detail.contains("server issue").then_some(AcceptNote::Delayed),
    }
}

pub(super) fn probe(http: &Client, base: &str, token: &SecretString) -> RequestBuilder {
    http.post(format!("{base}/device"))
        .header(AUTHORIZATION, token_header(token))
}

pub(super) fn read_probe(status: u16, json: &Value) -> Option<Health> {
    if (200..300).contains(&status) && is_true(json)? {
        return Some(device(json));
    }
    let reason = text(json, "reason").unwrap_or_default();
    let (class, code) = fonnte_class(&reason)?;
    Some(match class {
        Class::Account => Health::Down(Failure::new(KIND, class, code, reason)),
        _ => Health::Unknown { error: reason },
    })
}

fn device(json: &Value) -> Health {
    let state = text(json, "device_status").unwrap_or_else(|| "unknown".to_owned());
    if state != "connect" {
        let words = format!("the phone is not connected (device_status {state}): scan the QR code in Fonnte");
        return Health::Down(Failure::new(KIND, Class::Account, DISCONNECTED, words));
    }
    let quota = text(json, "quota");
    if quota.as_deref() == Some("0") {
        let words = "the quota is used up: buy some, or wait for the next month";
        return Health::Down(Failure::new(KIND, Class::Account, "insufficient_quota", words));
    }
    let said = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let parts = [
        said("device", text(json, "device")),
        said("package", text(json, "package")),
        said("quota", quota),
        said("until", text(json, "expired")),
    ];
    Health::Healthy {
        detail: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

/// Fonnte's keys are compared without regard to case.
fn field<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    json.as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn text(json: &Value, name: &str) -> Option<String> {
    field(json, name).and_then(as_text)
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `status` is a boolean or its word; `None` if it is neither.
fn is_true(json: &Value) -> Option<bool> {
    match field(json, "status")? {
        Value::Bool(yes) => Some(*yes),
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Value::String(word) if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, json: Value) -> (Class, String) {
        match read(status, &json) {
            Some(Answer::Refused(failure)) => (failure.class, failure.code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn yes_needs_a_true_status() {
        let yes = json!({"detail": "success! message in queue", "id": ["80367170"], "process": "pending",
            "requestid": 2937124, "status": true, "target": ["6281200000001"]});
        let expected = Answer::Accepted {
            external_id: Some("80367170".into()),
            reference: Some("2937124".into()),
            note: None,
        };
        assert_eq!(read(200, &yes), Some(expected));
        let odd = json!({"Status": "true", "ID": 7, "detail": "pending due to a server issue"});
        assert!(
            matches!(read(200, &odd), Some(Answer::Accepted { external_id: Some(id), note: Some(AcceptNote::Delayed), .. }) if id == "7")
        );
        for neither in [json!({}), json!({"status": 1}), json!({"detail": "success"})] {
            assert_eq!(read(200, &neither), None);
        }
        assert_eq!(read(500, &yes), None);
    }

    #[test]
    fn no_comes_with_http_200() {
        let reason = |words: &str| json!({"status": false, "reason": words, "requestid": 1});
        assert_eq!(
            refused(200, reason("token invalid")),
            (Class::Account, "token_invalid".into())
        );
        assert_eq!(
            refused(200, json!({"status": "false", "Reason": "target invalid"})).0,
            Class::Recipient
        );
        assert_eq!(
            refused(200, reason("what?")),
            (Class::Soft, "unknown_reason".into())
        );
        assert_eq!(refused(400, reason("input invalid")).0, Class::Content);
        assert_eq!(read(400, &reason("what?")), None);
    }

    #[test]
    fn state_of_the_device() {
        let device = |state: &str, quota: &str| {
            read_probe(
                200,
                &json!({"status": true, "device_status": state, "quota": quota, "package": "Regular"}),
            )
        };
        assert_eq!(
            device("connect", "9500"),
            Some(Health::Healthy {
                detail: "package Regular, quota 9500".into()
            })
        );
        assert!(
            matches!(device("disconnect", "9500"), Some(Health::Down(failure)) if failure.code == DISCONNECTED)
        );
        assert!(
            matches!(device("connect", "0"), Some(Health::Down(failure)) if failure.code == "insufficient_quota")
        );
        let bad = read_probe(200, &json!({"status": false, "reason": "token invalid"}));
        assert!(matches!(bad, Some(Health::Down(failure)) if failure.code == "token_invalid"));
        assert_eq!(read_probe(200, &json!({"status": false, "reason": "?"})), None);
    }
}
