//! Meta's listing of templates ("Templates: list and sync"): one row per name and language.

use reqwest::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::ButtonKind;
use super::client::credential;
use crate::deliver::template::MetaStatus;

/// Rows a page.
const PAGE: u16 = 100;

/// What a header wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// A text with a place.
    Text,
    /// An image.
    Image,
    /// A document.
    Document,
    /// Something else (video, location).
    Other(String),
}

impl HeaderKind {
    /// For people.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text => "a text",
            Self::Image => "an image",
            Self::Document => "a document",
            Self::Other(kind) => kind,
        }
    }
}

/// A template at Meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTemplate {
    /// Name.
    pub name: String,
    /// Language, matched exactly.
    pub language: String,
    /// Status.
    pub status: MetaStatus,
    /// `utility`, `marketing` or `authentication`.
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
    /// True: its places have names.
    pub named: bool,
    /// Places of the body; numbers in their order, names as they appear.
    pub placeholders: Vec<String>,
    /// The header, if it takes a value.
    pub header: Option<HeaderKind>,
    /// Buttons that take a value: place, and kind.
    pub buttons: Vec<(u8, ButtonKind)>,
}

/// One page of the listing, and where the next one begins.
pub(super) struct Page {
    pub templates: Vec<RemoteTemplate>,
    pub after: Option<String>,
}

pub(super) fn list(
    http: &Client,
    base: &str,
    version: &str,
    waba_id: &str,
    token: &SecretString,
    after: Option<&str>,
) -> RequestBuilder {
    let fields = "id,name,language,status,category,parameter_format,components,quality_score,rejected_reason";
    let mut query = vec![("fields", fields.to_owned()), ("limit", PAGE.to_string())];
    query.extend(after.map(|after| ("after", after.to_owned())));
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    http.get(format!(
        "{base}/{version}/{waba_id}/message_templates?{}",
        query.join("&")
    ))
    .header(
        AUTHORIZATION,
        credential(format!("Bearer {}", token.expose_secret())),
    )
}

/// A cursor is Meta's text: nothing in it may become another parameter.
fn escaped(value: &str) -> String {
    value
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

/// `None`: this is no listing.
pub(super) fn read(json: &Value) -> Option<Page> {
    let rows = json.get("data")?.as_array()?;
    let after = json
        .pointer("/paging/next")
        .and_then(Value::as_str)
        .and_then(|_| json.pointer("/paging/cursors/after")?.as_str())
        .map(str::to_owned);
    Some(Page {
        templates: rows.iter().filter_map(RemoteTemplate::read).collect(),
        after,
    })
}

impl RemoteTemplate {
    /// A row of the listing; `None` where it has no name or language. A status that nobody knows counts as pending.
    pub fn read(row: &Value) -> Option<Self> {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let components: Vec<&Value> = row
            .get("components")
            .and_then(Value::as_array)
            .map(|all| all.iter().collect())
            .unwrap_or_default();
        let component = |kind: &str| {
            components.iter().copied().find(|c| {
                c.get("type")
                    .and_then(Value::as_str)
                    .is_some_and(|t| t.eq_ignore_ascii_case(kind))
            })
        };
        let said = |c: &Value, name: &str| c.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut placeholders = component("BODY")
            .map(|c| places(&said(c, "text")))
            .unwrap_or_default();
        let numbers = placeholders.iter().all(|place| place.parse::<u32>().is_ok());
        if numbers {
            placeholders.sort_by_key(|place| place.parse::<u32>().unwrap_or(u32::MAX));
        }
        let named = match text("parameter_format") {
            Some(format) => format.eq_ignore_ascii_case("NAMED"),
            None => !numbers,
        };
        Some(Self {
            name: text("name")?.to_owned(),
            language: text("language")?.to_owned(),
            status: text("status")
                .and_then(|word| word.parse().ok())
                .unwrap_or(MetaStatus::Pending),
            category: text("category")
                .map(str::to_lowercase)
                .filter(|c| matches!(c.as_str(), "utility" | "marketing" | "authentication")),
            quality: row
                .pointer("/quality_score/score")
                .and_then(Value::as_str)
                .map(str::to_owned),
            named,
            placeholders,
            header: component("HEADER").and_then(|c| match said(c, "format").to_ascii_uppercase().as_str() {
                "TEXT" => (!places(&said(c, "text")).is_empty()).then_some(HeaderKind::Text),
                "IMAGE" => Some(HeaderKind::Image),
                "DOCUMENT" => Some(HeaderKind::Document),
                other => Some(HeaderKind::Other(other.to_lowercase())),
            }),
            buttons: component("BUTTONS")
                .and_then(|c| c.get("buttons")?.as_array())
                .map(|all| buttons(all))
                .unwrap_or_default(),
        })
    }
}

fn buttons(all: &[Value]) -> Vec<(u8, ButtonKind)> {
    let kind = |button: &Value| {
        let text = |name: &str| button.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type").to_ascii_uppercase().as_str() {
            "URL" => (!places(text("url")).is_empty()).then_some(ButtonKind::Url),
            "COPY_CODE" => Some(ButtonKind::CopyCode),
            "QUICK_REPLY" => Some(ButtonKind::QuickReply),
            _ => None,
        }
    };
    all.iter()
        .enumerate()
        .filter_map(|(at, button)| Some((u8::try_from(at).ok()?, kind(button)?)))
        .collect()
}

/// The different `{{places}}` of a text, in order.
fn places(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, next)) = after.split_once("}}") else {
            break;
        };
        let name = name.trim();
        if !name.is_empty() && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_read() {
        let row = json!({"id": "5511", "name": "izin_x", "language": "id", "status": "APPROVED", "category": "UTILITY",
            "parameter_format": "POSITIONAL", "quality_score": {"score": "GREEN"},
            "components": [{"type": "HEADER", "format": "TEXT", "text": "No. {{1}}"},
                {"type": "BODY", "text": "Yth. {{2}}, izin {{1}} {{2}}."},
                {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://x"}, {"type": "URL", "url": "https://x/{{1}}"}]}]});
        let got = RemoteTemplate::read(&row).unwrap();
        assert_eq!(got.placeholders, ["1", "2"]);
        assert_eq!((got.named, got.header), (false, Some(HeaderKind::Text)));
        assert_eq!(got.buttons, [(1, ButtonKind::Url)]);
        let odd = RemoteTemplate::read(&json!({"name": "a", "language": "id", "status": "MOONLIT"})).unwrap();
        assert_eq!(odd.status, MetaStatus::Pending);
        assert_eq!(RemoteTemplate::read(&json!({"name": "a"})), None);
    }

    #[test]
    fn pages_follow_the_cursor_only_while_there_is_a_next_one() {
        let paging = |next: Value| json!({"data": [], "paging": {"cursors": {"after": "bb"}, "next": next}});
        assert_eq!(
            read(&paging(json!("https://…"))).unwrap().after.as_deref(),
            Some("bb")
        );
        assert_eq!(read(&paging(Value::Null)).unwrap().after, None);
        assert!(read(&json!({"error": {}})).is_none());
        assert_eq!(escaped("a=b&c é"), "a%3Db%26c%20%C3%A9");
    }
}
