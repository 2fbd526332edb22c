//! Columns that nobody may name: what could be asked about them, letter by letter, would be known.

use super::error::{DomainError, ErrorKind, Span};
use crate::host::catalog::{Field, Model};

/// Parts of names under which modules keep secrets.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "smtp_pass",
    "credential_value",
];

/// Names that look like secrets and are none.
const HARMLESS: &[(&str, &str)] = &[("res.groups", "api_key_duration")];

/// Columns whose names say nothing.
const COLUMNS: &[(&str, &str)] = &[
    ("ir.config_parameter", "value"),
    ("ir.mail_server", "smtp_pass"),
    ("ir.mail_server", "smtp_ssl_private_key"),
    ("res.users.apikeys", "key"),
    ("res.users.apikeys", "index"),
    ("auth_totp.device", "key"),
    ("auth_totp.device", "index"),
];

/// Whether a field holds a secret.
pub(crate) fn is_secret(model: &str, field: &str) -> bool {
    if HARMLESS.contains(&(model, field)) {
        return false;
    }
    let lower = field.to_lowercase();
    COLUMNS.contains(&(model, field)) || PARTS.iter().any(|part| lower.contains(part))
}

/// The refusal of a secret field, whatever it was called in the text.
pub(super) fn check(model: &Model, field: &Field, span: Span) -> Result<(), DomainError> {
    let hidden = |path: &String| path.split('.').any(|step| is_secret(&model.name, step));
    if !is_secret(&model.name, &field.name) && !field.related.as_ref().is_some_and(hidden) {
        return Ok(());
    }
    let message = format!(
        "`{}` of {} is secret, no condition may ask about it",
        field.name, model.name
    );
    Err(DomainError::new(ErrorKind::Field, span, message))
}
