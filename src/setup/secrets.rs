//! What is a secret, and what is a name of one. A file of configuration holds names only.

use serde_json::Value;

/// Longest name of a credential. Tokens are longer, or hold other characters.
pub const LONGEST_NAME: usize = 64;

/// What to do instead.
pub const REMEDY: &str = "name a credential: credentials = { token = \"meta-token\" }; the daemon finds its value as the systemd \
                          credential (LoadCredential=) or environment variable of that name";

/// Words of which a name of a setting is made that holds a secret.
const WORDS: &[&str] = &[
    "secret", "token", "password", "passwd", "api_key", "apikey", "value",
];

/// Whether a key of a provider holds a secret.
pub fn is_one(name: &str) -> bool {
    let lower = name.to_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// Whether a line of a file may hold one: such a line is never shown.
pub fn may_hold(line: &str) -> bool {
    let lower = line.to_lowercase();
    let words = WORDS.iter().filter(|word| **word != "value");
    lower.contains("credential") || words.into_iter().any(|word| lower.contains(word))
}

/// The first key in settings that holds a secret.
pub fn within(settings: &Value) -> Option<&str> {
    match settings {
        Value::Object(map) => map.iter().find_map(|(name, value)| match is_one(name) {
            true => Some(name.as_str()),
            false => within(value),
        }),
        Value::Array(items) => items.iter().find_map(within),
        _ => None,
    }
}

/// Settings without what is secret in them, for those who only look.
pub fn without(settings: &Value) -> Value {
    match settings {
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| !is_one(name))
            .map(|(name, value)| (name.clone(), without(value)))
            .collect(),
        other => other.clone(),
    }
}

/// Whether a text is a name of a credential. Meta's tokens are long, but begin like no name does.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let first = text.chars().next();
    text.len() <= LONGEST_NAME
        && first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(allowed)
        && !text.starts_with("EAA")
        && !looks_random(text)
}

/// A run of twenty and more letters and digits, in which both stand mixed, is no name that a person gave.
fn looks_random(text: &str) -> bool {
    text.split(['.', '_', '-']).any(|run| {
        let digits = run.chars().filter(char::is_ascii_digit).count();
        let upper = run.chars().any(|c| c.is_ascii_uppercase());
        let lower = run.chars().any(|c| c.is_ascii_lowercase());
        run.len() >= 16 && digits > 0 && (digits >= 3 || (upper && lower))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_told_apart() {
        for name in [
            "meta-token",
            "SICANTIK_FONNTE_TOKEN",
            "sicantik_fonnte_2_token",
            "a",
        ] {
            assert!(is_name(name), "{name}");
        }
        for secret in [
            "EAAGm0PX4ZCpsBAKZ",
            "x9KfL2mQ8rT4vW6y",
            "with blank",
            "",
            "a/b",
            "Ab1Cd2Ef3Gh4Ij5Kl6",
            ".hidden",
        ] {
            assert!(!is_name(secret), "{secret}");
        }
        assert!(is_one("fonnte_token") && is_one("API_KEY") && !is_one("number_key") && !is_one("base_url"));
        let settings = serde_json::json!({"base_url": "x", "nested": {"client_secret": "y"}});
        assert_eq!(within(&settings), Some("client_secret"));
        assert_eq!(
            without(&settings),
            serde_json::json!({"base_url": "x", "nested": {}})
        );
    }
}
