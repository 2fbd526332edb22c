//! What the providers post back: statuses, inbound messages, signatures.
//!
//! The test decides what is sent and when. A duplicate is the same call twice, a reordering is calls in another
//! order, a batch is several events in one [`MetaWebhooks::post`].

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Gateway, GatewayError};

/// The time in webhooks unless the test sets another: now, to the second. Events of one second have no order.
fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Posts as Meta does, signed.
#[derive(Debug)]
pub struct MetaWebhooks<'g> {
    gateway: &'g Gateway,
    url: String,
    app_secret: String,
    at: Option<u64>,
}

/// One thing that Meta tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaEvent {
    /// `sent`, `delivered`, `read`.
    Status {
        /// The message.
        external_id: String,
        /// The word.
        status: String,
    },
    /// `failed`, after the 200.
    Failed {
        /// The message.
        external_id: String,
        /// Error code.
        code: i64,
        /// `error_data.details`.
        details: String,
    },
    /// A user wrote; opens the 24-hour window.
    Inbound {
        /// Who.
        from: String,
        /// What.
        text: String,
    },
    /// A user stopped promotional messages, or wants them again (`stop`, `resume`).
    Preference {
        /// Who.
        from: String,
        /// The word.
        value: String,
    },
    /// A template changed its status at Meta's.
    TemplateStatus {
        /// Name.
        name: String,
        /// Language.
        language: String,
        /// `APPROVED`, `PAUSED`, `DISABLED`, …
        event: String,
    },
}

impl<'g> MetaWebhooks<'g> {
    pub(super) fn new(gateway: &'g Gateway, url: &str, app_secret: &str) -> Self {
        Self {
            gateway,
            url: url.to_owned(),
            app_secret: app_secret.to_owned(),
            at: None,
        }
    }

    /// From here on everything happened then (Unix seconds).
    pub fn at(self, seconds: u64) -> Self {
        Self {
            at: Some(seconds),
            ..self
        }
    }

    fn time(&self) -> u64 {
        self.at.unwrap_or_else(now)
    }

    /// The `GET` handshake; true when the receiver echoes the challenge with 200.
    pub async fn handshake(&self, verify_token: &str) -> Result<bool, GatewayError> {
        let challenge = "1158201444";
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{mark}hub.mode=subscribe&hub.verify_token={verify_token}&hub.challenge={challenge}",
            self.url
        );
        let (status, body) = exchange("GET", &url, Bytes::new(), None).await?;
        Ok(status == 200 && body == challenge.as_bytes())
    }

    /// `sent`, `delivered` or `read`, in a post of its own. Returns the receiver's status.
    pub async fn send_status(&self, external_id: &str, status: &str) -> Result<u16, GatewayError> {
        self.post(&[MetaEvent::Status {
            external_id: external_id.to_owned(),
            status: status.to_owned(),
        }])
        .await
    }

    /// An asynchronous failure, in a post of its own.
    pub async fn send_failed(
        &self,
        external_id: &str,
        code: i64,
        details: &str,
    ) -> Result<u16, GatewayError> {
        let (external_id, details) = (external_id.to_owned(), details.to_owned());
        self.post(&[MetaEvent::Failed {
            external_id,
            code,
            details,
        }])
        .await
    }

    /// A message from a user, in a post of its own.
    pub async fn send_inbound(&self, from: &str, text: &str) -> Result<u16, GatewayError> {
        self.post(&[MetaEvent::Inbound {
            from: from.to_owned(),
            text: text.to_owned(),
        }])
        .await
    }

    /// Several events in one body. Returns the receiver's status; nothing is repeated.
    pub async fn post(&self, events: &[MetaEvent]) -> Result<u16, GatewayError> {
        let changes: Vec<Value> = events.iter().map(|event| self.change(event)).collect();
        let entry = json!({ "id": Gateway::META_WABA_ID, "time": self.time(), "changes": changes });
        self.post_raw(&json!({ "object": "whatsapp_business_account", "entry": [entry] }))
            .await
    }

    /// Any body, signed. Non-ASCII and `/` are escaped as Meta does, so that only the raw bytes verify.
    pub async fn post_raw(&self, body: &Value) -> Result<u16, GatewayError> {
        let body = escape(&body.to_string());
        let signature = sign(self.app_secret.as_bytes(), body.as_bytes());
        exchange("POST", &self.url, Bytes::from(body), Some(&signature))
            .await
            .map(|(status, _)| status)
    }

    fn change(&self, event: &MetaEvent) -> Value {
        let mut value = json!({
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": Gateway::META_NUMBER, "phone_number_id": Gateway::META_PHONE_ID },
        });
        match event {
            MetaEvent::Status { external_id, status } => {
                let mut line = self.status_line(external_id, status);
                if status == "sent" {
                    line["pricing"] = json!({ "billable": true, "pricing_model": "PMP", "type": "regular",
                                              "category": "utility" });
                }
                value["statuses"] = json!([line]);
            }
            MetaEvent::Failed {
                external_id,
                code,
                details,
            } => {
                let mut line = self.status_line(external_id, "failed");
                let title = super::meta::title(*code);
                line["errors"] = json!([{ "code": code, "title": title, "message": title,
                    "error_data": { "details": details },
                    "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/" }]);
                value["statuses"] = json!([line]);
            }
            MetaEvent::Inbound { from, text } => {
                let from = super::numbers::digits(from);
                self.gateway.meta().open_window(&from);
                value["contacts"] = json!([{ "profile": { "name": "Budi" }, "wa_id": from }]);
                value["messages"] = json!([{ "from": from, "id": self.gateway.meta().fresh_wamid(),
                    "timestamp": self.time().to_string(), "type": "text", "text": { "body": text } }]);
            }
            MetaEvent::Preference { from, value: word } => {
                let from = super::numbers::digits(from);
                value["contacts"] = json!([{ "profile": { "name": "Budi" }, "wa_id": from }]);
                value["user_preferences"] = json!([{ "wa_id": from, "detail": "User requested it",
                    "category": "marketing_messages", "value": word, "timestamp": self.time() }]);
                return json!({ "field": "user_preferences", "value": value });
            }
            MetaEvent::TemplateStatus {
                name,
                language,
                event,
            } => {
                return json!({ "field": "message_template_status_update", "value": {
                    "event": event, "message_template_id": 5511, "message_template_name": name,
                    "message_template_language": language, "reason": "NONE" } });
            }
        }
        json!({ "field": "messages", "value": value })
    }

    /// With what the ledger knows of the message; an id it does not know gets no recipient.
    fn status_line(&self, external_id: &str, status: &str) -> Value {
        let mut line = json!({ "id": external_id, "status": status, "timestamp": self.time().to_string() });
        self.gateway.ledger().read(|book| {
            let known = book
                .accepted
                .iter()
                .find(|message| message.external_id.as_deref() == Some(external_id));
            if let Some(message) = known {
                line["recipient_id"] = json!(message.to);
                if let Some(data) = &message.callback_data {
                    line["biz_opaque_callback_data"] = json!(data);
                }
            }
        });
        line
    }
}

/// Posts as Fonnte does: JSON, no signature.
#[derive(Debug)]
pub struct FonnteWebhooks {
    url: String,
}

impl FonnteWebhooks {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// A first status: by `id`, with the `stateid` that later ones use.
    pub async fn send_status(&self, id: &str, stateid: &str, status: &str) -> Result<u16, GatewayError> {
        post_json(
            &self.url,
            &json!({ "device": Gateway::FONNTE_NUMBER, "id": id, "stateid": stateid, "status": status, "state": "" }),
        )
        .await
    }

    /// A later status: by `stateid` only.
    pub async fn send_state(&self, stateid: &str, state: &str) -> Result<u16, GatewayError> {
        post_json(
            &self.url,
            &json!({ "device": Gateway::FONNTE_NUMBER, "stateid": stateid, "state": state }),
        )
        .await
    }

    /// A message from a user.
    pub async fn send_inbound(&self, sender: &str, message: &str) -> Result<u16, GatewayError> {
        post_json(
            &self.url,
            &json!({ "device": Gateway::FONNTE_NUMBER, "sender": super::numbers::digits(sender), "name": "Budi",
                "message": message, "text": "", "member": "", "location": "", "pollname": "", "choices": "",
                "timestamp": now(), "inboxid": 77, "url": "", "filename": "", "extension": "" }),
        )
        .await
    }

    /// The phone was linked or unlinked. Tells only; [`super::FonnteAccount::set_connected`] does it.
    pub async fn send_device(&self, connected: bool) -> Result<u16, GatewayError> {
        let status = if connected { "connect" } else { "disconnect" };
        post_json(
            &self.url,
            &json!({ "device": Gateway::FONNTE_NUMBER, "status": status, "timestamp": now(), "reason": "" }),
        )
        .await
    }
}

/// Posts as Watzap does: inbound only, JSON, no signature.
#[derive(Debug)]
pub struct WatzapWebhooks {
    url: String,
}

impl WatzapWebhooks {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// A message from a user; `chat_id` goes out as given, with whatever suffix.
    pub async fn send_inbound(&self, chat_id: &str, message: &str) -> Result<u16, GatewayError> {
        post_json(
            &self.url,
            &json!({ "type": "incoming_chat", "data": { "chat_id": chat_id, "message_id": "3EB0B2", "name": "Budi",
                "profile_picture": "", "timestamp": now(), "message_body": message, "message_ack": "PENDING",
                "has_media": false, "media_mime": "", "media_name": "",
                "location_attached": { "lat": null, "lng": null }, "is_forwading": false, "is_from_me": false } }),
        )
        .await
    }
}

async fn post_json(url: &str, body: &Value) -> Result<u16, GatewayError> {
    exchange("POST", url, Bytes::from(body.to_string()), None)
        .await
        .map(|(status, _)| status)
}

/// One request on a connection of its own. Plain HTTP only: the receiver under test is local.
async fn exchange(
    method: &str,
    url: &str,
    body: Bytes,
    signature: Option<&str>,
) -> Result<(u16, Bytes), GatewayError> {
    let failed = |reason: &dyn std::fmt::Display| GatewayError::Webhook {
        url: url.to_owned(),
        reason: reason.to_string(),
    };
    let uri: Uri = url
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| failed(&error))?;
    let host = uri.authority().ok_or_else(|| failed(&"no host"))?.as_str();
    let address = if uri.port().is_some() {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(signature) = signature {
        request = request.header("X-Hub-Signature-256", signature);
    }
    let request = request.body(Full::new(body)).map_err(|error| failed(&error))?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await?
            .to_bytes();
        Ok::<_, hyper::Error>((status, body))
    };
    tokio::pin!(answered);
    // The connection has to be driven beside its request; it ends with it.
    tokio::select! {
        answer = &mut answered => answer,
        driven = connection => match driven {
            Ok(()) => answered.await,
            Err(error) => Err(error),
        },
    }
    .map_err(|error| failed(&error))
}

/// Meta's way with JSON: `\u00e9` and `\/`.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        match character {
            '/' => escaped.push_str("\\/"),
            character if character.is_ascii() => escaped.push(character),
            character => {
                for unit in character.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// `X-Hub-Signature-256`: HMAC-SHA256 in hex. Written out, because this is its only use here.
fn sign(key: &[u8], data: &[u8]) -> String {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    let digest;
    let key = if key.len() > BLOCK {
        digest = Sha256::digest(key);
        digest.as_slice()
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(data)
        .finalize();
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize();
    let hex: String = outer.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256() {
        // RFC 4231, cases 2 and 6.
        assert_eq!(
            sign(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            sign(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            ),
            "sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn non_ascii_is_escaped_as_meta_does() {
        assert_eq!(escape(r#"{"a":"é/😀"}"#), r#"{"a":"\u00e9\/\ud83d\ude00"}"#);
    }
}
