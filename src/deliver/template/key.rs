//! Template keys, and the keys a provider's template is looked up under.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TemplateError;
use crate::deliver::provider::ProviderKind;

/// Key that asks a citizen to allow messages of Meta. It begins with `meta_`, but it is a gateway template and no Meta
/// variant of a key `opt_in_request`: only a map entry that names it makes it one.
const OPT_IN_REQUEST: &str = "meta_opt_in_request";

/// The key of a template: letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateKey(String);

impl TemplateKey {
    /// The key, if it is made of `A-Z a-z 0-9 _` and not empty.
    pub fn new(key: impl Into<String>) -> Result<Self, TemplateError> {
        let key = key.into();
        let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid {
            Ok(Self(key))
        } else {
            Err(TemplateError::InvalidKey { key })
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn prefixed(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0))
    }
}

impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TemplateKey {
    type Err = TemplateError;

    fn from_str(key: &str) -> Result<Self, TemplateError> {
        Self::new(key)
    }
}

impl TryFrom<String> for TemplateKey {
    type Error = TemplateError;

    fn try_from(key: String) -> Result<Self, TemplateError> {
        Self::new(key)
    }
}

impl From<TemplateKey> for String {
    fn from(key: TemplateKey) -> String {
        key.0
    }
}

/// Keys to look a template up under, in order (SICANTIK guide §6.3).
///
/// Meta: `meta_` + key, the map's target, `izin_` + key, the key. Gateways: the key alone. A prefix is not put twice.
pub fn candidate_keys(
    kind: ProviderKind,
    key: &TemplateKey,
    map: &BTreeMap<TemplateKey, TemplateKey>,
) -> Vec<TemplateKey> {
    if kind != ProviderKind::Meta {
        return vec![key.clone()];
    }
    let prefixed = |prefix: &str| (!key.as_str().starts_with(prefix)).then(|| key.prefixed(prefix));
    let official = prefixed("meta_").filter(|key| key.as_str() != OPT_IN_REQUEST);
    let mut keys = Vec::with_capacity(4);
    for candidate in [
        official,
        map.get(key).cloned(),
        prefixed("izin_"),
        Some(key.clone()),
    ]
    .into_iter()
    .flatten()
    {
        if !keys.contains(&candidate) {
            keys.push(candidate);
        }
    }
    keys
}
