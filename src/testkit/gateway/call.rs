//! One request as the three APIs see it, and what they decide about it.

use axum::extract::{Form, FromRequest, Query};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Uri, header};
use serde_json::{Map, Value};

use super::ledger::Draft;

/// A request below one provider's base.
#[derive(Debug)]
pub(crate) struct Call {
    pub method: Method,
    /// Segments of the path, without the provider's own.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub payload: Payload,
    /// What a template's success says; the script may change it.
    pub meta_status: &'static str,
}

/// The body, as its content type says it is to be read.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Empty,
    Json(Value),
    Form(Vec<(String, String)>),
    /// Not what its content type promises, or of a type that no provider knows.
    Other(String),
}

impl Payload {
    pub async fn parse(headers: &HeaderMap, body: Bytes) -> Self {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let parsed = match kind.trim().to_ascii_lowercase().as_str() {
            _ if body.is_empty() => Some(Self::Empty),
            "application/json" => serde_json::from_slice(&body).ok().map(Self::Json),
            "application/x-www-form-urlencoded" => urlencoded(headers, body.clone()).await.map(Self::Form),
            "multipart/form-data" => boundary(parameters)
                .and_then(|mark| multipart(&body, mark))
                .map(Self::Form),
            _ => None,
        };
        parsed.unwrap_or_else(|| Self::Other(String::from_utf8_lossy(&body).into_owned()))
    }

    /// For the ledger.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Json(value) => value.clone(),
            Self::Form(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(k, v)| (k.clone(), Value::String(v.clone())))
                    .collect::<Map<_, _>>(),
            ),
            Self::Other(text) => Value::String(text.clone()),
        }
    }

    pub fn json(&self) -> Option<&Value> {
        if let Self::Json(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// A form's field; `None` when the body is no form.
    pub fn field(&self, name: &str) -> Option<&str> {
        let Self::Form(fields) = self else { return None };
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .unwrap_or_default()
}

async fn urlencoded(headers: &HeaderMap, body: Bytes) -> Option<Vec<(String, String)>> {
    let mut request = axum::extract::Request::new(axum::body::Body::from(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers.clone();
    Form::from_request(request, &())
        .await
        .ok()
        .map(|Form(fields)| fields)
}

fn boundary(parameters: &str) -> Option<&str> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then(|| value.trim_matches('"'))
    })
}

/// Text fields of a multipart body. Files keep their name only: nothing here looks into them.
fn multipart(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(body);
    let mut fields = Vec::new();
    for part in text.split(&format!("--{boundary}")).skip(1) {
        if part.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.split_once(" name=\"")?.1.split_once('"')?.0;
        fields.push((
            name.to_owned(),
            value.strip_suffix("\r\n").unwrap_or(value).to_owned(),
        ));
    }
    None
}

/// An answer, and the messages taken with it.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub status: u16,
    pub body: Value,
    pub accepted: Vec<Draft>,
    /// Time the provider itself takes before it answers.
    pub takes: std::time::Duration,
}

impl Verdict {
    pub fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            accepted: Vec::new(),
            takes: std::time::Duration::ZERO,
        }
    }

    pub fn taking(self, accepted: Vec<Draft>) -> Self {
        Self { accepted, ..self }
    }

    /// An invented path.
    pub fn not_found() -> Self {
        Self::new(404, serde_json::json!({ "message": "Not Found" }))
    }
}

/// Places of a rendering that stand for a value.
///
/// Splits `text` at `open…close`; a mark without its end is plain text.
pub(crate) fn marks<'t>(text: &'t str, open: &str, close: &str) -> Vec<(&'t str, Option<&'t str>)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((name, tail)) = after.split_once(close) else {
            break;
        };
        pieces.push((before, Some(name.trim())));
        rest = tail;
    }
    pieces.push((rest, None));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_as_its_content_type_says() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "content-type",
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        let form = Payload::parse(
            &headers,
            Bytes::from_static(b"target=62812&message=a%20b%2Bc+d%0Ae"),
        )
        .await;
        assert_eq!(form.field("message"), Some("a b+c d\ne"));

        headers.insert(
            "content-type",
            "multipart/form-data; boundary=\"xY\"".parse().unwrap(),
        );
        let body = "--xY\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n62812\r\n--xY\r\n\
                    Content-Disposition: form-data; name=\"message\"\r\n\r\na\r\nb\r\n--xY--\r\n";
        let form = Payload::parse(&headers, Bytes::from_static(body.as_bytes())).await;
        assert_eq!(
            (form.field("target"), form.field("message")),
            (Some("62812"), Some("a\r\nb"))
        );

        headers.insert("content-type", "application/json".parse().unwrap());
        assert!(matches!(
            Payload::parse(&headers, Bytes::from_static(b"{")).await,
            Payload::Other(_)
        ));
        assert!(matches!(
            Payload::parse(&headers, Bytes::new()).await,
            Payload::Empty
        ));
    }

    #[test]
    fn marks_split_a_text_at_its_places() {
        assert_eq!(
            marks("a {{1}} b {{ n }}{{", "{{", "}}"),
            [("a ", Some("1")), (" b ", Some("n")), ("{{", None)]
        );
    }
}
