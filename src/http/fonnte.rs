//! Fonnte's webhooks ("webhook", "webhook status", "webhook connect"). The three may come to one address and are told apart
//! by their fields.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::accounts::Account;
use super::news::{AccountNews, Alias, Inbound, News, Receipt, State, id, person, seconds, storable};
use crate::deliver::provider::failure::fonnte_class;
use crate::deliver::provider::{Class, Failure, ProviderKind};

/// The body is about another device than the one that the provider's settings name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherDevice;

/// The news in a body.
///
/// # Errors
/// [`OtherDevice`].
pub fn read(body: &Value, account: &Account) -> Result<News, OtherDevice> {
    let device = id(body.get("device"));
    if account.device.is_some() && account.device != device {
        return Err(OtherDevice);
    }
    let mut news = News::default();
    let word = |name: &str| id(body.get(name)).unwrap_or_default().to_lowercase();
    if body.get("sender").is_some() {
        news.inbound.extend(inbound(body, account));
    } else if body.get("id").is_some() || body.get("stateid").is_some() {
        status(body, account, &word("status"), &word("state"), &mut news);
    } else {
        let failure = match word("status").as_str() {
            "connect" => None,
            "disconnect" => Some(refusal(
                Class::Account,
                "disconnected",
                "the phone was disconnected",
            )),
            _ => return Ok(news),
        };
        news.accounts.push(AccountNews {
            provider: account.id,
            failure,
            at: seconds(body.get("timestamp")),
        });
    }
    Ok(news)
}

/// First by id, with the stateid as soon as it is known; later perhaps by stateid alone.
fn status(body: &Value, account: &Account, status: &str, state: &str, news: &mut News) {
    let alias = id(body.get("stateid")).map(|stateid| format!("state:{stateid}"));
    let first = id(body.get("id"));
    if let (Some(external_id), Some(alias)) = (&first, &alias) {
        news.aliases.push(Alias {
            provider: account.id,
            alias: alias.clone(),
            external_id: external_id.clone(),
        });
    }
    let word = if state.is_empty() { status } else { state };
    let state = match word {
        "sent" => State::Sent,
        "delivered" => State::Delivered,
        "read" => State::Read,
        "invalid" => State::Failed(refusal(Class::Recipient, "invalid", "the number has no WhatsApp")),
        "expired" => State::Failed(refusal(
            Class::Account,
            "expired",
            "the phone was off for too long",
        )),
        "" | "pending" | "waiting" | "processing" => return,
        other => {
            let Some((class, code)) = fonnte_class(other) else {
                return;
            };
            State::Failed(refusal(class, code, &storable(other, 400)))
        }
    };
    if let Some(external_id) = first.or(alias) {
        news.receipts.push(Receipt {
            provider: account.id,
            external_id,
            ours: None,
            state,
            at: None,
        });
    }
}

fn refusal(class: Class, code: &str, message: &str) -> Failure {
    Failure {
        provider: ProviderKind::Fonnte,
        class,
        code: code.to_owned(),
        message: message.to_owned(),
        retry_after: None,
    }
}

fn inbound(body: &Value, account: &Account) -> Option<Inbound> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    // Somebody spoke in a group.
    if !text("member").is_empty() {
        return None;
    }
    let sender = id(body.get("sender"))?;
    // A pressed button comes as text.
    let said = if text("text").is_empty() {
        text("message")
    } else {
        text("text")
    };
    let time = id(body.get("timestamp")).unwrap_or_default();
    let external_id = match id(body.get("inboxid")).filter(|inbox| inbox != "0") {
        // It may count anew for each device: with the time it is one message.
        Some(inbox) => format!("{inbox}@{time}"),
        None => crate::db::migrate::hex(&Sha256::digest(format!("{sender}\n{time}\n{said}"))),
    };
    Some(Inbound {
        provider: account.id,
        external_id,
        phone: person(&sender)?,
        at: seconds(body.get("timestamp")),
        text: storable(said, 4_096),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::accounts::an_account;
    use super::*;

    fn news(body: Value) -> News {
        read(&body, &an_account(3, ProviderKind::Fonnte, None)).unwrap()
    }

    #[test]
    fn the_three_kinds_are_told_apart() {
        let first = news(
            json!({ "device": "628110000000", "id": 80367170, "stateid": "3EB0A1", "status": "sent", "state": "" }),
        );
        assert_eq!(first.receipts[0].external_id, "80367170");
        assert_eq!(first.receipts[0].state, State::Sent);
        assert_eq!(first.aliases[0].alias, "state:3EB0A1");
        let later = news(json!({ "device": "628110000000", "stateid": "3EB0A1", "state": "Delivered" }));
        assert_eq!(
            (later.receipts[0].external_id.as_str(), later.aliases.len()),
            ("state:3EB0A1", 0)
        );
        assert_eq!(later.receipts[0].state, State::Delivered);
        let device = news(
            json!({ "device": "628110000000", "status": "disconnect", "timestamp": 1795300100, "reason": "" }),
        );
        assert!(
            device.accounts[0]
                .failure
                .as_ref()
                .is_some_and(|f| f.code == "disconnected")
        );
        assert_eq!(news(json!({ "status": "connect" })).accounts[0].failure, None);
        let written = news(
            json!({ "sender": "6281200000001", "message": "halo", "text": "SETUJU", "member": "",
                                   "timestamp": 1795300100, "inboxid": 77 }),
        );
        assert_eq!(
            (
                written.inbound[0].external_id.as_str(),
                written.inbound[0].text.as_str()
            ),
            ("77@1795300100", "SETUJU")
        );
    }

    #[test]
    fn failures_have_their_class() {
        for (word, class) in [
            ("invalid", Some(Class::Recipient)),
            ("expired", Some(Class::Account)),
            ("url unreachable", Some(Class::Content)),
            ("pending", None),
            ("dancing", None),
        ] {
            let told = news(json!({ "id": "1", "status": word }));
            let seen = told.receipts.first().and_then(|r| match &r.state {
                State::Failed(failure) => Some(failure.class),
                _ => None,
            });
            assert_eq!(seen, class, "{word}");
        }
    }

    #[test]
    fn groups_nonsense_and_other_devices_are_nothing() {
        for body in [
            json!({ "sender": "120363@g.us", "message": "x" }),
            json!({ "sender": "6281200000001", "member": "62813", "message": "x" }),
            json!({ "sender": null }),
            json!({}),
            json!(5),
            json!({ "id": null, "status": "sent" }),
        ] {
            assert_eq!(news(body.clone()), News::default(), "{body}");
        }
        let mut account = an_account(3, ProviderKind::Fonnte, None);
        account.device = Some("628110000000".into());
        assert_eq!(
            read(
                &json!({ "device": "628119999999", "id": "1", "status": "sent" }),
                &account
            ),
            Err(OtherDevice)
        );
    }
}
