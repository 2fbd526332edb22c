//! The values of a message's placeholders. The default context covers every parameter of every shipped template, for
//! permits and documents (SICANTIK guide §4.2: dates as dd-mm-yyyy; the status is its label). Pure: the office's day and
//! zone are passed in.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::host::catalog::Model;

/// Columns of a permit that the default context reads.
pub const PERMIT_COLUMNS: &[&str] = &[
    "registration_id",
    "permit_number",
    "applicant_name",
    "permit_type_name",
    "partner_id",
    "issue_date",
    "expiry_date",
    "status",
];

/// Columns of a document that the default context reads; the permit behind it is read as it is now.
pub const DOCUMENT_COLUMNS: &[&str] = &[
    "document_number",
    "name",
    "permit_id",
    "state",
    "create_date",
    "upload_date",
];

/// What a message is about.
pub struct Subject<'a> {
    /// Model of the changed record.
    pub model: &'a Model,
    /// The changed record.
    pub record: &'a Map<String, Value>,
    /// The permit: the record itself, or the one its document belongs to.
    pub permit: Option<(&'a Model, &'a Map<String, Value>)>,
    /// When the host wrote.
    pub changed_at: DateTime<Utc>,
}

/// What the office is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Office {
    /// Its time zone.
    pub timezone: Tz,
    /// Base of links.
    pub link_base: String,
    /// Contact that reminders name.
    pub contact_info: String,
    /// Link of the opt-in request.
    pub opt_in_link: String,
}

/// Since when a record has been as it is, for a schedule that reminds of it: nothing changed when it fired, so the record's own
/// dates count, and its moment only where there are none.
pub fn waiting_since(record: &Map<String, Value>, fired_at: DateTime<Utc>) -> DateTime<Utc> {
    let dates = ["upload_date", "create_date"];
    dates
        .iter()
        .find_map(|column| moment(record.get(*column)?.as_str()?))
        .unwrap_or(fired_at)
}

/// The default context for one recipient.
pub fn default_context(
    subject: &Subject<'_>,
    recipient: &str,
    office: &Office,
    now: DateTime<Utc>,
) -> Map<String, Value> {
    let empty = Map::new();
    let (permit_model, permit) = subject.permit.unwrap_or((subject.model, &empty));
    let today = now.with_timezone(&office.timezone).date_naive();
    let changed = date(subject.changed_at.with_timezone(&office.timezone).date_naive());
    let name = if recipient.is_empty() {
        "Bapak/Ibu"
    } else {
        recipient
    };

    let permit_text = |column: &str| text(permit.get(column));
    let permit_number = permit_text("permit_number");
    let permit_type = permit_text("permit_type_name");
    let applicant = permit_text("applicant_name");
    let registration = permit_text("registration_id");
    let expiry = day(permit.get("expiry_date"), office.timezone);
    let expiry_text = expiry.map(date).unwrap_or_default();
    let status = status_label(subject.model, subject.record)
        .or_else(|| status_label(permit_model, permit))
        .unwrap_or_default();
    let completed = day(permit.get("issue_date"), office.timezone)
        .map(date)
        .unwrap_or_else(|| changed.clone());
    let uploaded = ["upload_date", "create_date"]
        .iter()
        .find_map(|c| day(subject.record.get(*c), office.timezone))
        .map(date)
        .unwrap_or_else(|| changed.clone());
    let pending_days = (today - subject.changed_at.with_timezone(&office.timezone).date_naive())
        .num_days()
        .max(0);
    let record_id = text(subject.record.get("id"));

    let mut context = Map::new();
    let mut set = |key: &str, value: &str| {
        context.insert(key.to_owned(), Value::String(value.to_owned()));
    };
    // To the applicant.
    set("partner_name", name);
    set("permit_number", &permit_number);
    set("permit_type", &permit_type);
    set("status", &status);
    set("applicant_name", &applicant);
    set("expiry_date", &expiry_text);
    set("new_expiry_date", &expiry_text);
    set("completion_date", &completed);
    set("approval_date", &completed);
    set("new_status", &status);
    set("update_date", &changed);
    set("update_reason", "-");
    set(
        "renewal_link",
        &format!("{}/perpanjangan/{registration}", office.link_base),
    );
    set("contact_info", &office.contact_info);
    set("opt_in_link", &office.opt_in_link);
    set("qr_code_link", &office.opt_in_link);
    set("document_number", &text(subject.record.get("document_number")));
    set("document_name", &text(subject.record.get("name")));
    // To staff and officials.
    set("staff_name", name);
    set("official_name", name);
    set("nama_pejabat", name);
    set("jenis_izin", &permit_type);
    set("nama_pemohon", &applicant);
    set("pendaftaran_id", &registration);
    set("registration_id", &registration);
    set("link_dashboard", &format!("{}/dashboard", office.link_base));
    set(
        "approval_link",
        &format!("{}/approval/{record_id}", office.link_base),
    );
    set("document_date", &uploaded);
    set("request_date", &changed);
    set("waktu_pending", &changed);
    set("pending_since", &changed);
    set("pending_duration", &format!("{pending_days} hari"));
    context.insert("jumlah".into(), 1.into());
    context.insert(
        "days_remaining".into(),
        expiry.map_or(Value::String(String::new()), |e| (e - today).num_days().into()),
    );
    context
}

fn status_label(model: &Model, record: &Map<String, Value>) -> Option<String> {
    ["status", "state"].iter().find_map(|name| {
        let value = record.get(*name)?.as_str()?;
        Some(
            model
                .fields
                .get(*name)
                .map_or(value, |f| f.label(value))
                .to_owned(),
        )
    })
}

/// A value as text; empty for nothing.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => String::new(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

/// The office's day of a date or of a UTC timestamp without zone, as Odoo stores it.
fn day(value: Option<&Value>, zone: Tz) -> Option<NaiveDate> {
    let raw = value?.as_str()?;
    if raw.len() > 10 {
        return Some(moment(raw)?.with_timezone(&zone).date_naive());
    }
    NaiveDate::parse_from_str(raw, "%Y-%m-%d").ok()
}

/// A UTC timestamp without zone.
fn moment(raw: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(raw, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(time.and_utc())
}

/// dd-mm-yyyy.
fn date(day: NaiveDate) -> String {
    format!("{:02}-{:02}-{:04}", day.day(), day.month(), day.year())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeZone;
    use serde_json::json;

    use super::*;

    fn office() -> Office {
        Office {
            timezone: chrono_tz::Asia::Jakarta,
            link_base: "https://office".into(),
            contact_info: "0628".into(),
            opt_in_link: "https://office/opt-in".into(),
        }
    }

    #[test]
    fn dates_are_the_offices_and_zero_is_a_value() {
        let model = Model {
            name: "sicantik.permit".into(),
            table: "sicantik_permit".into(),
            fields: BTreeMap::new(),
            order: Vec::new(),
        };
        let record =
            json!({"id": 7, "permit_number": "503/1", "expiry_date": "2026-11-23", "status": "active"});
        let record = record.as_object().cloned().unwrap_or_default();
        // 18:00 UTC is already the 23rd in Jakarta.
        let now = Utc
            .with_ymd_and_hms(2026, 11, 22, 18, 0, 0)
            .single()
            .unwrap_or_default();
        let subject = Subject {
            model: &model,
            record: &record,
            permit: Some((&model, &record)),
            changed_at: now,
        };
        let context = default_context(&subject, "", &office(), now);
        assert_eq!(context["partner_name"], "Bapak/Ibu");
        assert_eq!(context["expiry_date"], "23-11-2026");
        assert_eq!(context["days_remaining"], 0);
        assert_eq!(context["update_date"], "23-11-2026");
    }
}
