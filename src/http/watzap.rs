//! Watzap's webhook: messages from people, and nothing about ours. Two forms are in use; other events are noise.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::accounts::Account;
use super::news::{Inbound, News, id, person, seconds, storable};

/// The news in a body.
pub fn read(body: &Value, account: &Account) -> News {
    News {
        inbound: inbound(body, account).into_iter().collect(),
        ..News::default()
    }
}

fn inbound(body: &Value, account: &Account) -> Option<Inbound> {
    let data = body.get("data")?;
    let said = data.get("message_body")?.as_str()?;
    let own = |name: &str| data.get(name).and_then(Value::as_bool) == Some(true);
    if own("is_from_me") || own("from_me") {
        return None;
    }
    let chat = id(data.get("chat_id")).or_else(|| id(data.get("phone_number")))?;
    let group = chat.ends_with("@g.us");
    let phone = person(&chat)
        .or_else(|| person(&id(data.get("phone_number"))?))
        .filter(|_| !group)?;
    let time = id(data.get("timestamp")).unwrap_or_default();
    let external_id = id(data.get("message_id"))
        .unwrap_or_else(|| crate::db::migrate::hex(&Sha256::digest(format!("{chat}\n{time}\n{said}"))));
    Some(Inbound {
        provider: account.id,
        external_id,
        phone,
        at: seconds(data.get("timestamp")),
        text: storable(said, 4_096),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::accounts::an_account;
    use super::*;
    use crate::deliver::provider::ProviderKind;

    fn said(body: Value) -> Option<(String, String)> {
        let news = read(&body, &an_account(5, ProviderKind::Watzap, None));
        news.inbound
            .first()
            .map(|m| (m.phone.as_e164().to_owned(), m.text.clone()))
    }

    #[test]
    fn both_forms_and_no_noise() {
        let one = json!({ "type": "incoming_chat", "data": { "chat_id": "6281200000001@c.us", "message_id": "3EB0B2",
            "timestamp": 1795300100, "message_body": "STOP", "is_from_me": false } });
        assert_eq!(said(one), Some(("+6281200000001".into(), "STOP".into())));
        let two = json!({ "event_type": "message.new", "data": { "message_body": "STOP", "message_id": "1",
            "phone_number": "6281200000001", "from_me": false, "chat_id": "1234567890@lid" } });
        assert_eq!(said(two), Some(("+6281200000001".into(), "STOP".into())));
        for noise in [
            json!({ "data": { "chat_id": "6281200000001", "message_body": "x", "is_from_me": true } }),
            json!({ "data": { "chat_id": "120363@g.us", "phone_number": "6281200000001", "message_body": "x" } }),
            json!({ "data": { "chat_id": "1234567890@lid", "message_body": "x" } }),
            json!({ "event_type": "presence.update", "data": { "id": "6281200000001" } }),
            json!({}),
            json!(null),
            json!([1]),
        ] {
            assert_eq!(said(noise.clone()), None, "{noise}");
        }
    }
}
