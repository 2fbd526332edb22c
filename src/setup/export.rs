//! The configuration as a file: TOML that `apply` reads, in a stable order, without what is at its default and without any secret.

use serde_json::Value;
use tokio_postgres::Transaction;

use super::diff::worth_saying;
use super::document::NONE;
use super::secrets;
use super::shape::{CREDENTIALS, Kind, Layout, Shape};
use super::store::{self, Stored};

/// What stands above every file.
const HEAD: &str = "\
# Configuration of sicantik-notifyd. `sicantik-notifyd apply -f FILE --dry-run` shows what a changed file would change,
# `sicantik-notifyd apply -f FILE` makes it so. Rows are told apart by their code, key or name. What a row does not say is at its
# default; rows and sections that the file does not have stay as they are, unless --prune is given.
";

/// The file.
///
/// # Errors
/// The server's.
pub async fn text(tx: &Transaction<'_>, shapes: &[&Shape]) -> Result<String, tokio_postgres::Error> {
    let mut text = HEAD.to_owned();
    for shape in shapes {
        let rows = store::load(tx, shape).await?;
        text.push_str(&format!("\n# {}\n", shape.about.replace('\n', " ")));
        match store::nameless(tx, shape).await? {
            0 => {}
            n => text.push_str(&format!(
                "# {n} without a {} cannot stand in a file: give them one\n",
                shape.key.join(" or ")
            )),
        }
        match shape.section.layout {
            Layout::Rows if rows.is_empty() => {
                text.push_str(&format!("# none: [[{}]]\n", shape.section.name))
            }
            Layout::Rows => {
                let observed = observed(tx, shape).await?;
                for stored in &rows {
                    text.push_str(&row(shape, stored, &observed));
                }
            }
            Layout::Pairs(column) => text.push_str(&pairs(shape, column, &rows)),
            Layout::Lists => text.push_str(&lists(shape, &rows)),
        }
    }
    Ok(text)
}

/// Rows whose kept columns somebody else maintains: what Meta says of a template is Meta's to say again.
async fn observed(tx: &Transaction<'_>, shape: &Shape) -> Result<Vec<String>, tokio_postgres::Error> {
    if shape.section.table != "template" {
        return Ok(Vec::new());
    }
    let query = "select template_key from sicantik_notify.template where meta_synced_at is not null";
    Ok(tx.query(query, &[]).await?.iter().map(|row| row.get(0)).collect())
}

fn row(shape: &Shape, stored: &Stored, observed: &[String]) -> String {
    let section = shape.section.name;
    let mut text = format!("\n[[{section}]]\n");
    let said = |column: &str| {
        !(shape.section.kept.contains(&column) && stored.key.iter().any(|key| observed.contains(key)))
    };
    let mut tables = String::new();
    for (column, kind, found) in worth_saying(shape, &stored.row).filter(|(column, ..)| said(column)) {
        let shown = match (shape.section.table, kind) {
            ("provider", Kind::Json) => {
                if let Some(secret) = secrets::within(found) {
                    text.push_str(&format!(
                        "# {secret} in {column} is a secret and is left out: keep it in provider_secret\n"
                    ));
                }
                secrets::without(found)
            }
            _ => found.clone(),
        };
        let line = format!("{} = {}\n", toml_key(column), value(&shown));
        match kind {
            Kind::Json => tables.push_str(&line),
            _ => text.push_str(&line),
        }
    }
    text.push_str(&tables);
    let named: Vec<String> = stored
        .credentials
        .iter()
        .filter_map(|(name, credential)| Some((name, credential.as_ref()?)))
        .map(|(name, credential)| format!("{} = {}", toml_key(name), quoted(credential)))
        .collect();
    if !named.is_empty() {
        text.push_str(&format!("{CREDENTIALS} = {{ {} }}\n", named.join(", ")));
    }
    for (name, _) in stored
        .credentials
        .iter()
        .filter(|(_, credential)| credential.is_none())
    {
        text.push_str(&format!(
            "# {name}: its value is kept in the database and is not exported; name a credential here to replace it\n"
        ));
    }
    text
}

fn pairs(shape: &Shape, column: &str, rows: &[Stored]) -> String {
    let mut text = format!("[{}]\n", shape.section.name);
    for stored in rows {
        let key = stored.key.first().map(String::as_str).unwrap_or_default();
        let found = stored.row.get(column).cloned().unwrap_or_default();
        text.push_str(&format!("{} = {}\n", toml_key(key), value(&found)));
    }
    text
}

fn lists(shape: &Shape, rows: &[Stored]) -> String {
    let mut text = format!("[{}]\n", shape.section.name);
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let key = first.key.first();
        let count = rest.iter().take_while(|s| s.key.first() == key).count();
        let (group, left) = rest.split_at(count);
        let items: Vec<String> = group
            .iter()
            .filter_map(|s| s.key.last())
            .map(|i| quoted(i))
            .collect();
        let key = toml_key(key.map(String::as_str).unwrap_or_default());
        let line = format!("{key} = [{}]\n", items.join(", "));
        match line.chars().count() {
            0..=120 => text.push_str(&line),
            _ => text.push_str(&format!("{key} = [\n    {},\n]\n", items.join(",\n    "))),
        }
        rest = left;
    }
    text
}

/// A key, in quotes where it needs them.
fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => basic(key),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => quoted(NONE),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(self::value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_key(key), self::value(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Number(number) if number.is_f64() => {
            // TOML wants digits on both sides of the point.
            let text = number.to_string();
            match text.contains(['.', 'e', 'E']) {
                true => text,
                false => format!("{text}.0"),
            }
        }
        other => other.to_string(),
    }
}

/// A text in the most readable form that holds it.
fn quoted(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains('\n') && !text.chars().any(control) {
        if !text.contains("'''") && !text.ends_with('\'') {
            return format!("'''\n{text}'''");
        }
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"\"\"\n{escaped}\"\"\"");
    }
    if text.contains(['"', '\\']) && !text.contains(['\'', '\n']) && !text.chars().any(control) {
        return format!("'{text}'");
    }
    basic(text)
}

fn basic(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_survives(text in "\\PC*|[\\x01-\\x7f]*|['\"\\\\\n\r\t ]{0,12}") {
            let written = format!("x = {}\n", quoted(&text));
            let read: toml::Table = toml::from_str(&written).map_err(|e| TestCaseError::fail(format!("{written}: {e}")))?;
            prop_assert_eq!(read.get("x").and_then(|v| v.as_str()), Some(text.as_str()));
            let written = format!("{} = 1\n", toml_key(&text));
            let read: toml::Table = toml::from_str(&written).map_err(|e| TestCaseError::fail(format!("{written}: {e}")))?;
            prop_assert_eq!(read.keys().next().map(String::as_str), Some(text.as_str()));
        }
    }

    #[test]
    fn texts_are_written_readably() {
        assert_eq!(
            quoted("[('state', '=', 'approved')]"),
            "\"[('state', '=', 'approved')]\""
        );
        assert_eq!(quoted("say \"a\""), "'say \"a\"'");
        assert_eq!(quoted("a\nb"), "'''\na\nb'''");
        assert_eq!(value(&Value::Null), "\"none\"");
    }
}
