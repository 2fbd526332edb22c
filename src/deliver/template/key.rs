//! Template keys, and the keys a provider's template is looked up under.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TemplateError;
use crate::deliver::provider::ProviderKind;

/// Prefix of templates that are Meta's alone.
const OFFICIAL: &str = "meta_";
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

/// How Meta's template of a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Keys at Meta that follow no prefix.
    pub map: BTreeMap<TemplateKey, TemplateKey>,
    /// Prefixes that are tried after `meta_` and the map.
    pub prefixes: Vec<String>,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(BTreeMap::new(), "izin_")
    }
}

impl Keys {
    /// Prefixes with commas; what cannot begin a key is left out.
    pub fn new(map: BTreeMap<TemplateKey, TemplateKey>, prefixes: &str) -> Self {
        let prefixes = prefixes.split(',').map(str::trim);
        Self {
            map,
            prefixes: prefixes
                .filter(|prefix| TemplateKey::new(*prefix).is_ok())
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// Keys to look a template up under, in order (SICANTIK guide §6.3).
///
/// Meta: `meta_` + key, the map's target, further prefixes (`izin_`) + key, the key. Gateways: the key without `meta_`, the key.
/// A prefix is not put twice.
pub fn candidate_keys(kind: ProviderKind, key: &TemplateKey, keys: &Keys) -> Vec<TemplateKey> {
    let prefixed = |prefix: &str| (!key.as_str().starts_with(prefix)).then(|| key.prefixed(prefix));
    let mut candidates = Vec::with_capacity(4);
    let mut add = |candidate: Option<TemplateKey>| {
        if let Some(candidate) = candidate
            && !candidates.contains(&candidate)
        {
            candidates.push(candidate);
        }
    };
    if kind == ProviderKind::Meta {
        add(prefixed(OFFICIAL).filter(|key| key.as_str() != OPT_IN_REQUEST));
        add(keys.map.get(key).cloned());
        keys.prefixes.iter().for_each(|prefix| add(prefixed(prefix)));
    } else if key.as_str() != OPT_IN_REQUEST {
        let plain = key.as_str().strip_prefix(OFFICIAL);
        add(plain.and_then(|plain| TemplateKey::new(plain).ok()));
    }
    add(Some(key.clone()));
    candidates
}
