//! Values of the host as snippets see them (Odoo shows an empty text as False, an empty number as 0), and what they compute
//! as values of placeholders.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use monty_types::{MontyDate, MontyDateTime, MontyObject};
use serde_json::{Map, Value};

use crate::host::catalog::{Field, FieldType};
use crate::lang::domain::plain;
use crate::lang::python::naive;

/// A column's value in a language and for a company.
pub(super) fn seen(field: &Field, value: Option<&Value>, lang: &str, company: i64) -> MontyObject {
    let value = match value {
        Some(Value::Object(by)) if field.translate => by.get(lang).or_else(|| by.get("en_US")),
        Some(Value::Object(by)) if field.company_dependent => by.get(&company.to_string()),
        other => other,
    };
    let value = value.filter(|v| !v.is_null());
    let empty = MontyObject::Bool(false);
    match field.ttype {
        FieldType::Integer | FieldType::Many2oneReference => {
            MontyObject::Int(value.and_then(Value::as_i64).unwrap_or(0))
        }
        FieldType::Float | FieldType::Monetary => MontyObject::Float(value.and_then(number).unwrap_or(0.0)),
        FieldType::Boolean => MontyObject::Bool(value.and_then(Value::as_bool).unwrap_or(false)),
        FieldType::Date => value.and_then(date).map_or(empty, MontyObject::Date),
        FieldType::Datetime => value.and_then(datetime).map_or(empty, MontyObject::DateTime),
        FieldType::Json | FieldType::Properties | FieldType::PropertiesDefinition => {
            value.map_or(empty, plain)
        }
        _ => match value {
            Some(Value::String(text)) => MontyObject::String(text.clone()),
            Some(other) => plain(other),
            None => empty,
        },
    }
}

/// What a field is on no record at all.
pub(super) fn nothing(field: &Field) -> MontyObject {
    seen(field, None, "", 0)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn date(value: &Value) -> Option<MontyDate> {
    let day = NaiveDate::parse_from_str(value.as_str()?.get(..10)?, "%Y-%m-%d").ok()?;
    Some(MontyDate {
        year: day.year(),
        month: day.month() as u8,
        day: day.day() as u8,
    })
}

fn datetime(value: &Value) -> Option<MontyDateTime> {
    let text = value.as_str()?.replacen(' ', "T", 1);
    let at = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(MontyDateTime {
        year: at.year(),
        month: at.month() as u8,
        day: at.day() as u8,
        hour: at.hour() as u8,
        minute: at.minute() as u8,
        second: at.second() as u8,
        microsecond: (at.nanosecond() / 1000).min(999_999),
        offset_seconds: None,
        timezone_name: None,
    })
}

/// The context that a code computed, as the values of placeholders: dates as dd-mm-yyyy (SICANTIK guide §4.2), moments in
/// the office's zone, nothing as an empty text.
///
/// # Errors
/// A sentence that names the key.
pub(super) fn context(value: &MontyObject, zone: Tz) -> Result<Map<String, Value>, String> {
    let MontyObject::Dict(pairs) = value else {
        return Err(format!(
            "`context` is {}, it must be a dict: context = {{'partner_name': recipient.name}}",
            kind(value)
        ));
    };
    let mut context = Map::new();
    for (key, value) in pairs.into_iter() {
        let MontyObject::String(key) = key else {
            return Err(format!("a key of `context` is {}, it must be a text", kind(key)));
        };
        let value = placeholder(value, zone).map_err(|why| format!("context[{key:?}] is {why}"))?;
        context.insert(key.clone(), value);
    }
    Ok(context)
}

fn placeholder(value: &MontyObject, zone: Tz) -> Result<Value, String> {
    Ok(match value {
        MontyObject::None | MontyObject::Bool(false) => Value::String(String::new()),
        MontyObject::Bool(true) => Value::String("True".into()),
        MontyObject::Int(number) => (*number).into(),
        MontyObject::BigInt(number) => Value::String(number.to_string()),
        MontyObject::Float(number) => Value::String(number.to_string()),
        MontyObject::String(text) => Value::String(text.clone()),
        MontyObject::Date(day) => Value::String(format!("{:02}-{:02}-{:04}", day.day, day.month, day.year)),
        MontyObject::DateTime(at) => {
            let utc = naive(at).ok_or_else(|| "no moment of the calendar".to_owned())?;
            let local = match at.offset_seconds {
                None => zone.from_utc_datetime(&utc).naive_local(),
                Some(_) => utc,
            };
            Value::String(local.format("%d-%m-%Y %H:%M").to_string())
        }
        MontyObject::List(items) | MontyObject::Tuple(items) => {
            let mut texts = Vec::new();
            for item in items {
                texts.push(match placeholder(item, zone)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                });
            }
            Value::String(texts.join(", "))
        }
        other => {
            return Err(format!(
                "{}, a placeholder needs a text, a number or a date",
                kind(other)
            ));
        }
    })
}

fn kind(value: &MontyObject) -> String {
    match value {
        MontyObject::ClassInstance(of) => {
            format!("a record ({}; write `.name` after it)", of.class_type.name)
        }
        MontyObject::None => "None".into(),
        MontyObject::Dict(_) => "a dict".into(),
        MontyObject::List(_) => "a list".into(),
        MontyObject::Set(_) | MontyObject::FrozenSet(_) => "a set".into(),
        MontyObject::String(_) => "a text".into(),
        MontyObject::Function { .. } => "a function".into(),
        other => other.to_string().chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_made_of_texts_numbers_and_dates() {
        let text = |t: &str| MontyObject::String(t.into());
        let day = MontyObject::Date(MontyDate {
            year: 2026,
            month: 1,
            day: 9,
        });
        let zone = chrono_tz::Asia::Jakarta;
        let of = |value: MontyObject| context(&MontyObject::dict(vec![(text("a"), value)]), zone);
        for (value, shown) in [
            (MontyObject::Bool(false), "\"\""),
            (MontyObject::None, "\"\""),
            (MontyObject::Int(0), "0"),
            (day.clone(), "\"09-01-2026\""),
            (
                MontyObject::List(vec![text("x"), MontyObject::Int(2)]),
                "\"x, 2\"",
            ),
        ] {
            assert_eq!(of(value).unwrap()["a"].to_string(), shown);
        }
        let said = of(MontyObject::dict(Vec::new())).unwrap_err();
        assert_eq!(
            said,
            "context[\"a\"] is a dict, a placeholder needs a text, a number or a date"
        );
        assert!(context(&text("x"), zone).unwrap_err().contains("must be a dict"));
    }
}
