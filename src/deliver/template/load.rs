//! Templates as the database has them.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::{GenericClient, Row};

use super::{ButtonParameter, HeaderParameter, Keys, MetaStatus, MetaTemplate, Template, TemplateKey};
use crate::db::statements as sql;

/// Active templates by key.
///
/// # Errors
/// The server's.
pub async fn templates(
    client: &impl GenericClient,
) -> Result<BTreeMap<TemplateKey, Template>, tokio_postgres::Error> {
    let rows = client.query(sql::TEMPLATES.sql, &[]).await?;
    Ok(rows
        .iter()
        .filter(|r| r.get::<_, bool>("active"))
        .filter_map(template)
        .map(|t| (t.key.clone(), t))
        .collect())
}

/// How Meta's template of a key is found.
///
/// # Errors
/// The server's.
pub async fn keys(client: &impl GenericClient) -> Result<Keys, tokio_postgres::Error> {
    let map = client
        .query(
            "select template_key, meta_key from sicantik_notify.template_map",
            &[],
        )
        .await?
        .iter()
        .filter_map(|r| {
            Some((
                TemplateKey::new(r.get::<_, String>(0)).ok()?,
                TemplateKey::new(r.get::<_, String>(1)).ok()?,
            ))
        })
        .collect();
    let prefixes: Option<String> = client
        .query_opt(
            "select value from sicantik_notify.setting where key = 'meta_template_prefixes'",
            &[],
        )
        .await?
        .map(|r| r.get(0));
    Ok(match prefixes {
        Some(prefixes) => Keys::new(map, &prefixes),
        None => Keys {
            map,
            ..Keys::default()
        },
    })
}

/// The template of a row; `None` where its key is no key.
pub(crate) fn template(row: &Row) -> Option<Template> {
    let key = TemplateKey::new(row.get::<_, String>("template_key")).ok()?;
    let mut unfit: Option<String> = row.get("meta_unfit");
    let mut read = |column: &str, value: Option<Value>| {
        value.filter(|value| !value.is_null()).inspect(|value| {
            // Said here once, so that the message goes through a gateway and the reason stands in the log.
            if let Err(error) = check(column, value) {
                unfit.get_or_insert(error);
            }
        })
    };
    let header = read("meta_header", row.get("meta_header"));
    let buttons = read("meta_buttons", row.get("meta_buttons"));
    Some(Template {
        meta: Some(MetaTemplate {
            name: row
                .get::<_, Option<String>>("meta_name")
                .unwrap_or_else(|| key.as_str().to_owned()),
            language: Some(row.get("meta_language")),
            status: row
                .get::<_, &str>("meta_status")
                .parse()
                .unwrap_or(MetaStatus::NotConfigured),
            named: row.get("meta_named"),
            parameters: row.get("meta_parameters"),
            header: header.and_then(|value| serde_json::from_value(value).ok()),
            buttons: buttons
                .and_then(|value| serde_json::from_value(value).ok())
                .unwrap_or_default(),
            unfit,
        }),
        key,
        language: row.get("language"),
        body: row.get("body"),
        parameters: row.get("parameters"),
        gateways: row.get("for_gateways"),
        marketing: row.get::<_, Option<&str>>("meta_category") == Some("marketing"),
    })
}

fn check(column: &str, value: &Value) -> Result<(), String> {
    let error = match column {
        "meta_header" => serde_json::from_value::<HeaderParameter>(value.clone()).err(),
        _ => serde_json::from_value::<Vec<ButtonParameter>>(value.clone()).err(),
    };
    error.map_or(Ok(()), |error| Err(format!("{column} cannot be read: {error}")))
}
