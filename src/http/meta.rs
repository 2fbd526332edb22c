//! Meta's webhooks: statuses, messages, states of templates ("Webhooks: messages/status", "message_template_status_update").
//! What is not known is passed over: Meta adds fields and kinds as it likes.

use serde_json::Value;

use super::accounts::Account;
use super::news::{
    AccountNews, Inbound, News, Preference, Receipt, State, TemplateNews, id, person, seconds, storable,
};
use crate::db::ids::{AttemptId, MessageId, ProviderId};
use crate::deliver::provider::Failure;

/// Longest text that is looked at: no word of an office is longer.
const TEXT_LIMIT: usize = 4_096;

/// The news in a signed body, for the accounts whose app signed it.
pub fn read(body: &Value, accounts: &[&Account]) -> News {
    let mut news = News::default();
    for entry in array(body.get("entry")) {
        for change in array(entry.get("changes")) {
            let Some(value) = change.get("value") else {
                continue;
            };
            match change.get("field").and_then(Value::as_str) {
                Some("messages") => messages(value, accounts, &mut news),
                Some("message_template_status_update") => {
                    // A template belongs to the business account, and to whichever number: any account that signed will do.
                    if let Some(account) = accounts.first() {
                        news.templates.extend(template(value, entry, account.id));
                    }
                }
                Some("user_preferences") => preferences(value, accounts, &mut news),
                _ => {}
            }
        }
    }
    news
}

/// "No more promotional messages from this business", as WhatsApp offers it beside each of them, and its end.
fn preferences(value: &Value, accounts: &[&Account], news: &mut News) {
    let Some(account) =
        whose(value, accounts).or(accounts.first().filter(|_| value.get("metadata").is_none()))
    else {
        return;
    };
    let wanted = |one: &Value| {
        if one.get("category")?.as_str()? != "marketing_messages" {
            return None;
        }
        Some(Preference {
            provider: account.id,
            phone: person(one.get("wa_id")?.as_str()?)?,
            stopped: match one.get("value")?.as_str()? {
                "stop" => true,
                "resume" => false,
                _ => return None,
            },
            at: seconds(one.get("timestamp")),
        })
    };
    news.preferences
        .extend(array(value.get("user_preferences")).filter_map(wanted));
}

/// The account that a value speaks of, by its number.
fn whose<'a, 'b>(value: &Value, accounts: &'b [&'a Account]) -> Option<&'b &'a Account> {
    let number = id(value.pointer("/metadata/phone_number_id"));
    accounts
        .iter()
        .find(|account| number.is_some() && account.phone_number_id == number)
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn messages(value: &Value, accounts: &[&Account], news: &mut News) {
    // Another number of the same app, which somebody else uses.
    let Some(account) = whose(value, accounts) else {
        return;
    };
    news.receipts
        .extend(array(value.get("statuses")).filter_map(|s| receipt(s, account.id)));
    news.inbound
        .extend(array(value.get("messages")).filter_map(|m| inbound(m, account.id)));
    news.accounts
        .extend(array(value.get("errors")).map(|error| AccountNews {
            provider: account.id,
            failure: Some(clean(Failure::from_meta(error, None))),
            at: None,
        }));
}

fn receipt(status: &Value, provider: ProviderId) -> Option<Receipt> {
    let state = match status.get("status")?.as_str()? {
        "sent" => State::Sent,
        "delivered" => State::Delivered,
        "read" | "played" => State::Read,
        "failed" => {
            let error = status.pointer("/errors/0").unwrap_or(&Value::Null);
            State::Failed(clean(Failure::from_meta(error, None)))
        }
        _ => return None,
    };
    Some(Receipt {
        provider,
        external_id: id(status.get("id"))?,
        ours: status
            .get("biz_opaque_callback_data")
            .and_then(Value::as_str)
            .and_then(our_words),
        state,
        at: seconds(status.get("timestamp")),
    })
}

/// `q:<message>:a:<attempt>`, as we send it.
fn our_words(text: &str) -> Option<(MessageId, AttemptId)> {
    let (message, attempt) = text.strip_prefix("q:")?.split_once(":a:")?;
    Some((MessageId(message.parse().ok()?), AttemptId(attempt.parse().ok()?)))
}

fn inbound(message: &Value, provider: ProviderId) -> Option<Inbound> {
    let text = [
        "/text/body",
        "/button/text",
        "/interactive/button_reply/title",
        "/interactive/list_reply/title",
    ]
    .iter()
    .find_map(|path| message.pointer(path)?.as_str());
    Some(Inbound {
        provider,
        external_id: id(message.get("id"))?,
        // Absent for people who write under a name.
        phone: person(message.get("from")?.as_str()?)?,
        at: seconds(message.get("timestamp")),
        text: storable(text.unwrap_or_default(), TEXT_LIMIT),
    })
}

fn template(value: &Value, entry: &Value, provider: ProviderId) -> Option<TemplateNews> {
    Some(TemplateNews {
        provider,
        name: id(value.get("message_template_name"))?,
        language: id(value.get("message_template_language"))?,
        event: id(value.get("event"))?,
        reason: id(value.get("reason")).filter(|reason| reason != "NONE"),
        at: seconds(entry.get("time")),
    })
}

fn clean(failure: Failure) -> Failure {
    Failure {
        message: storable(&failure.message, 400),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::accounts::an_account;
    use super::*;
    use crate::deliver::provider::ProviderKind;

    fn body(field: &str, value: Value) -> Value {
        json!({ "object": "whatsapp_business_account",
                "entry": [{ "id": "208", "time": 1795300200, "changes": [{ "field": field, "value": value }] }] })
    }

    fn messages_of(number: &str, more: Value) -> News {
        let mut value = json!({ "messaging_product": "whatsapp", "metadata": { "phone_number_id": number } });
        for (key, part) in more.as_object().unwrap() {
            value[key] = part.clone();
        }
        let account = an_account(7, ProviderKind::Meta, Some("1099"));
        read(&body("messages", value), &[&account])
    }

    #[test]
    fn statuses_with_and_without_our_words() {
        let news = messages_of(
            "1099",
            json!({ "statuses": [
                { "id": "wamid.1", "status": "sent", "timestamp": "1795300000", "biz_opaque_callback_data": "q:84213:a:1" },
                { "id": "wamid.2", "status": "read", "timestamp": 1795300000, "biz_opaque_callback_data": "order 5" },
                { "id": "wamid.3", "status": "failed", "errors": [{ "code": 131042, "error_data": { "details": "pay" } }] },
                { "id": "wamid.4", "status": "failed" },
                { "id": "wamid.5", "status": "warning" },
                { "status": "sent" }, 5, null,
            ] }),
        );
        let seen: Vec<_> = news
            .receipts
            .iter()
            .map(|r| {
                (
                    r.external_id.as_str(),
                    r.state.as_str(),
                    r.ours.map(|o| (o.0.0, o.1.0)),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("wamid.1", "sent", Some((84213, 1))),
                ("wamid.2", "read", None),
                ("wamid.3", "failed", None),
                ("wamid.4", "failed", None),
            ]
        );
        assert!(
            matches!(&news.receipts[2].state, State::Failed(f) if f.code == "131042" && f.message == "pay")
        );
        assert!(matches!(&news.receipts[3].state, State::Failed(f) if f.code == "none"));
    }

    #[test]
    fn another_number_of_the_app_is_not_ours() {
        let statuses = json!({ "statuses": [{ "id": "wamid.1", "status": "sent" }] });
        assert_eq!(messages_of("1098", statuses.clone()), News::default());
        assert_eq!(messages_of("", statuses), News::default());
    }

    #[test]
    fn what_people_write_press_and_choose() {
        let news = messages_of(
            "1099",
            json!({ "messages": [
                { "from": "6281200000001", "id": "a", "timestamp": "1795300100", "type": "text", "text": { "body": "SETUJU" } },
                { "from": "6281200000001", "id": "b", "type": "button", "button": { "text": "Berhenti", "payload": "X" } },
                { "from": "6281200000001", "id": "c", "type": "interactive",
                  "interactive": { "type": "button_reply", "button_reply": { "id": "1", "title": "Mulai" } } },
                { "from": "6281200000001", "id": "d", "type": "image", "image": { "id": "1" } },
                { "id": "e", "type": "text", "user_id": "ID.1349", "text": { "body": "hidden" } },
            ] }),
        );
        let texts: Vec<_> = news
            .inbound
            .iter()
            .map(|m| (m.external_id.as_str(), m.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [("a", "SETUJU"), ("b", "Berhenti"), ("c", "Mulai"), ("d", "")]
        );
    }

    #[test]
    fn templates_and_faults_of_the_account() {
        let account = an_account(7, ProviderKind::Meta, Some("1099"));
        let news = read(
            &body(
                "message_template_status_update",
                json!({ "event": "PAUSED", "message_template_id": 5511, "message_template_name": "izin_selesai_diproses",
                        "message_template_language": "id", "reason": "NONE" }),
            ),
            &[&account],
        );
        assert_eq!(news.templates.len(), 1);
        assert_eq!(
            (news.templates[0].event.as_str(), &news.templates[0].reason),
            ("PAUSED", &None)
        );
        let news = messages_of(
            "1099",
            json!({ "errors": [{ "code": 131031, "title": "locked" }] }),
        );
        assert!(
            news.accounts[0]
                .failure
                .as_ref()
                .is_some_and(|f| f.code == "131031")
        );
    }

    #[test]
    fn what_people_want() {
        let account = an_account(7, ProviderKind::Meta, Some("1099"));
        let one = |category: &str, value: &str, who: &str| json!({ "wa_id": who, "category": category, "value": value, "timestamp": 1795300000 });
        let value = |number: &str| {
            json!({ "metadata": { "phone_number_id": number }, "contacts": [],
                    "user_preferences": [one("marketing_messages", "stop", "6281200000001"),
                                         one("marketing_messages", "resume", "6281200000002"),
                                         one("marketing_messages", "perhaps", "6281200000003"),
                                         one("something_else", "stop", "6281200000004"),
                                         one("marketing_messages", "stop", "ID.1"), 5] })
        };
        let news = read(&body("user_preferences", value("1099")), &[&account]);
        let seen: Vec<_> = news
            .preferences
            .iter()
            .map(|p| (p.phone.as_e164(), p.stopped, p.at.map(|at| at.timestamp())))
            .collect();
        assert_eq!(
            seen,
            [
                ("+6281200000001", true, Some(1_795_300_000)),
                ("+6281200000002", false, Some(1_795_300_000))
            ]
        );
        let others = read(&body("user_preferences", value("1098")), &[&account]);
        assert_eq!(others, News::default());
    }

    #[test]
    fn nonsense_is_no_news() {
        let account = an_account(7, ProviderKind::Meta, Some("1099"));
        for body in [
            json!(null),
            json!([]),
            json!({ "entry": 5 }),
            json!({ "entry": [{ "changes": [{ "field": "messages" }] }] }),
            body("messages", json!(null)),
            body("flows", json!({})),
            body("message_template_status_update", json!({})),
        ] {
            assert_eq!(read(&body, &[&account]), News::default(), "{body}");
        }
    }

    #[test]
    fn our_words_are_ours_alone() {
        assert_eq!(our_words("q:1:a:2"), Some((MessageId(1), AttemptId(2))));
        for other in [
            "",
            "q:1",
            "q:a:a:1",
            "q:1:a:",
            "x:1:a:2",
            "q:1:a:99999999999999999999",
        ] {
            assert_eq!(our_words(other), None, "{other}");
        }
    }
}
