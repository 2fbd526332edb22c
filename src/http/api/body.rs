//! What a call asks for.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::code::{Code, Failure};
use crate::fire::order::Which;

/// The body of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The trigger's model, where the caller wants to be sure.
    pub model: Option<String>,
    ids: Option<Vec<i64>>,
    domain: Option<String>,
    /// What the rules' code finds in `kwargs`.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

impl Asked {
    /// Reads it.
    pub fn read(bytes: &[u8], most: u32) -> Result<Self, Failure> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|e| Failure::new(Code::InvalidJson, format!("the body is no JSON: {e}")))?;
        if !value.is_object() {
            return Err(Code::InvalidJson.into());
        }
        let wrong = |message: String| Failure::new(Code::InvalidRequest, message);
        if has_nul(&value) {
            return Err(wrong("no text may hold a NUL character".to_owned()));
        }
        let asked: Self = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        match (&asked.ids, &asked.domain) {
            (Some(ids), None) if ids.is_empty() => Err(wrong("ids is empty".to_owned())),
            (Some(ids), None) if ids.len() > most as usize => Err(too_many(most)),
            (Some(_), None) | (None, Some(_)) => Ok(asked),
            (Some(_), Some(_)) => Err(wrong("give ids or domain, not both".to_owned())),
            (None, None) => Err(wrong("give ids or domain".to_owned())),
        }
    }

    /// Which records.
    pub fn which(&self) -> Which<'_> {
        match (&self.domain, &self.ids) {
            (Some(domain), _) => Which::Domain(domain),
            (None, ids) => Which::Ids(ids.as_deref().unwrap_or_default()),
        }
    }
}

/// More records than a call may be about.
pub fn too_many(most: u32) -> Failure {
    Failure::new(
        Code::TooManyRecords,
        format!("one call may be about {most} records, and is about more"),
    )
}

/// PostgreSQL's texts and JSON hold none.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_or_a_domain_and_nothing_unknown() {
        let code = |body: &str| Asked::read(body.as_bytes(), 3).err().map(|f| f.code);
        for right in [
            r#"{"ids": [1, 2, 3]}"#,
            r#"{"domain": "[]", "model": "x", "parameters": {"a": 1}}"#,
        ] {
            assert_eq!(code(right), None, "{right}");
        }
        for wrong in ["", "{", "[]", "1", "null"] {
            assert_eq!(code(wrong), Some(Code::InvalidJson), "{wrong}");
        }
        for wrong in [
            "{}",
            r#"{"ids": []}"#,
            r#"{"ids": [1.5]}"#,
            r#"{"ids": [99999999999999999999]}"#,
            r#"{"ids": ["1"]}"#,
            r#"{"ids": [1], "domain": "[]"}"#,
            r#"{"ids": [1], "other": 1}"#,
            r#"{"ids": [1], "parameters": [1]}"#,
            r#"{"ids": [1], "parameters": {"a": ["\u0000"]}}"#,
            r#"{"ids": [1], "model": 1}"#,
        ] {
            assert_eq!(code(wrong), Some(Code::InvalidRequest), "{wrong}");
        }
        assert_eq!(code(r#"{"ids": [1, 2, 3, 4]}"#), Some(Code::TooManyRecords));
    }
}
