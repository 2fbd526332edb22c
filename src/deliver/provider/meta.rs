//! Meta WhatsApp Cloud API: "Messages/Template messages", "Error codes", phone number `health_status`.

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client::credential;
use super::{
    AcceptNote, Answer, Button, ButtonKind, Class, Content, Failure, Header, Health, Outgoing, ProviderKind,
};

/// Longest `biz_opaque_callback_data`; a longer one would be refused.
const CALLBACK_LIMIT: usize = 512;

pub(super) fn send(
    http: &Client,
    base: &str,
    version: &str,
    phone_number_id: &str,
    token: &SecretString,
    outgoing: &Outgoing,
) -> RequestBuilder {
    http.post(format!("{base}/{version}/{phone_number_id}/messages"))
        .header(
            AUTHORIZATION,
            credential(format!("Bearer {}", token.expose_secret())),
        )
        .json(&message(outgoing))
}

fn message(outgoing: &Outgoing) -> Value {
    let callback: String = outgoing.callback.chars().take(CALLBACK_LIMIT).collect();
    let mut message = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": outgoing.to.digits(),
        "biz_opaque_callback_data": callback,
    });
    match &outgoing.content {
        Content::Text(body) => {
            message["type"] = json!("text");
            message["text"] = json!({ "preview_url": false, "body": body });
        }
        Content::MetaTemplate {
            name,
            language,
            parameters,
            named,
            header,
            buttons,
        } => {
            let mut template = json!({ "name": name, "language": { "code": language } });
            let components = components(parameters, *named, header.as_ref(), buttons);
            if !components.is_empty() {
                template["components"] = Value::Array(components);
            }
            message["type"] = json!("template");
            message["template"] = template;
        }
    }
    message
}

/// Header, body and dynamic buttons; a part without variables is left out, as Meta wants it.
fn components(
    parameters: &[(String, String)],
    named: bool,
    header: Option<&Header>,
    buttons: &[Button],
) -> Vec<Value> {
    let mut components = Vec::new();
    if let Some(header) = header {
        components.push(json!({ "type": "header", "parameters": [header_parameter(header, named)] }));
    }
    if !parameters.is_empty() {
        let values: Vec<_> = parameters
            .iter()
            .map(|(name, value)| text_parameter(name, value, named))
            .collect();
        components.push(json!({ "type": "body", "parameters": values }));
    }
    components.extend(buttons.iter().map(button_component));
    components
}

fn text_parameter(name: &str, value: &str, named: bool) -> Value {
    if named {
        json!({ "type": "text", "parameter_name": name, "text": value })
    } else {
        json!({ "type": "text", "text": value })
    }
}

fn header_parameter(header: &Header, named: bool) -> Value {
    match header {
        Header::Text { name, value } => text_parameter(name, value, named),
        Header::Image { link } => json!({ "type": "image", "image": { "link": link } }),
        Header::Document { link, filename } => {
            let mut document = json!({ "link": link });
            if let Some(filename) = filename {
                document["filename"] = json!(filename);
            }
            json!({ "type": "document", "document": document })
        }
    }
}

fn button_component(button: &Button) -> Value {
    let value = &button.value;
    let (sub_type, parameter) = match button.kind {
        ButtonKind::Url => ("url", json!({ "type": "text", "text": value })),
        ButtonKind::QuickReply => ("quick_reply", json!({ "type": "payload", "payload": value })),
        ButtonKind::CopyCode => (
            "copy_code",
            json!({ "type": "coupon_code", "coupon_code": value }),
        ),
    };
    let index = button.index.to_string();
    json!({ "type": "button", "sub_type": sub_type, "index": index, "parameters": [parameter] })
}

/// `None`: the answer says neither yes nor no.
pub(super) fn read(status: u16, json: &Value) -> Option<Answer> {
    if let Some(error) = json.get("error").filter(|error| error.is_object()) {
        return Some(Answer::Refused(Failure::from_meta(error, Some(status))));
    }
    let first = json
        .pointer("/messages/0")
        .filter(|_| (200..300).contains(&status))?;
    let external_id = Some(first.get("id")?.as_str()?.to_owned());
    let note = match first.get("message_status").and_then(Value::as_str) {
        Some("held_for_quality_assessment") => Some(AcceptNote::HeldForQuality),
        Some("paused") => Some(AcceptNote::TemplatePaused),
        _ => None,
    };
    Some(Answer::Accepted {
        external_id,
        reference: None,
        note,
    })
}

pub(super) fn probe(
    http: &Client,
    base: &str,
    version: &str,
    phone_number_id: &str,
    token: &SecretString,
) -> RequestBuilder {
    let fields = "id,display_phone_number,quality_rating,status,throughput,health_status";
    http.get(format!("{base}/{version}/{phone_number_id}?fields={fields}"))
        .header(
            AUTHORIZATION,
            credential(format!("Bearer {}", token.expose_secret())),
        )
}

pub(super) fn read_probe(status: u16, json: &Value) -> Option<Health> {
    if let Some(error) = json.get("error").filter(|error| error.is_object()) {
        let failure = Failure::from_meta(error, Some(status));
        return Some(match failure.class {
            Class::Account | Class::Content => Health::Down(Failure {
                class: Class::Account,
                ..failure
            }),
            _ => Health::Unknown {
                error: failure.message,
            },
        });
    }
    json.get("id").filter(|_| (200..300).contains(&status))?;
    let quality = json
        .get("quality_rating")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let said = |name: &str, pointer: &str| {
        let value = json.pointer(pointer).and_then(Value::as_str)?;
        Some(format!("{name} {value}"))
    };
    let parts = [
        said("number", "/display_phone_number"),
        Some(format!("quality {quality}")),
        said("status", "/status"),
        said("throughput", "/throughput/level"),
    ];
    let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Some(
        match json
            .pointer("/health_status/can_send_message")
            .and_then(Value::as_str)
        {
            Some("BLOCKED") => Health::Down(blocked(json)),
            Some("LIMITED") => Health::Limited {
                detail: format!("{detail}; {}", complaint(json).1),
            },
            _ => Health::Healthy { detail },
        },
    )
}

/// Whatever blocks the number, the account is what cannot send.
fn blocked(json: &Value) -> Failure {
    let (code, words) = complaint(json);
    let code = code.map_or_else(|| "blocked".to_owned(), |code| code.to_string());
    Failure::new(ProviderKind::Meta, Class::Account, code, words)
}

/// Code and words of the first entity that complains.
fn complaint(json: &Value) -> (Option<i64>, String) {
    let entities = json
        .pointer("/health_status/entities")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let first = entities
        .filter_map(|entity| entity.get("errors")?.as_array())
        .flatten()
        .next();
    let Some(first) = first else {
        return (None, "Meta gives no reason".to_owned());
    };
    let text = |name| first.get(name).and_then(Value::as_str);
    let words = [text("error_description"), text("possible_solution")];
    let code = first.get("error_code").and_then(Value::as_i64);
    (code, words.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_is_a_yes() {
        let yes = json!({"messages": [{"id": "wamid.1", "message_status": "accepted"}]});
        assert_eq!(read(200, &yes), Some(Answer::accepted(Some("wamid.1".into()))));
        let held = json!({"messages": [{"id": "wamid.1", "message_status": "held_for_quality_assessment"}]});
        assert!(matches!(
            read(200, &held),
            Some(Answer::Accepted {
                note: Some(AcceptNote::HeldForQuality),
                ..
            })
        ));
        for neither in [
            json!({}),
            json!({"messages": []}),
            json!({"messages": [{}]}),
            json!({"error": "no"}),
        ] {
            assert_eq!(read(200, &neither), None);
        }
        assert_eq!(read(502, &yes), None);
        let no = json!({"error": {"code": 131042, "message": "payment"}});
        assert!(matches!(read(200, &no), Some(Answer::Refused(failure)) if failure.class == Class::Account));
    }

    #[test]
    fn health_of_a_number() {
        let health = |word: &str| {
            let errors =
                json!([{"error_code": 141010, "error_description": "limit.", "possible_solution": "Wait."}]);
            let entities = json!([{"entity_type": "APP"}, {"entity_type": "WABA", "errors": errors}]);
            let status = json!({"can_send_message": word, "entities": entities});
            read_probe(
                200,
                &json!({"id": "1", "quality_rating": "GREEN", "health_status": status}),
            )
            .unwrap()
        };
        assert_eq!(
            health("AVAILABLE"),
            Health::Healthy {
                detail: "quality GREEN".into()
            }
        );
        assert_eq!(
            health("LIMITED"),
            Health::Limited {
                detail: "quality GREEN; limit. Wait.".into()
            }
        );
        assert!(matches!(health("BLOCKED"), Health::Down(failure) if failure.code == "141010"));
        let expired = read_probe(401, &json!({"error": {"code": 190, "message": "expired"}}));
        assert!(matches!(expired, Some(Health::Down(failure)) if failure.code == "190"));
        let busy = read_probe(400, &json!({"error": {"code": 4, "message": "calls"}}));
        assert!(matches!(busy, Some(Health::Unknown { .. })));
        assert_eq!(read_probe(200, &json!({})), None);
    }
}
