//! A model with a column of every kind, for the tests of this module.

use crate::host::catalog::{Field, FieldType, Model};

fn field(name: &str, ttype: &str, column: Option<&str>) -> Field {
    Field {
        name: name.into(),
        ttype: FieldType::from_ttype(ttype).unwrap(),
        relation: None,
        relation_field: None,
        relation_table: None,
        column1: None,
        column2: None,
        store: column.is_some(),
        related: None,
        translate: false,
        company_dependent: false,
        column_type: column.map(str::to_owned),
        selection: Vec::new(),
    }
}

/// `sicantik.permit`, as far as the tests need it.
pub(super) fn permit() -> Model {
    let mut fields: Vec<Field> = [
        ("id", "integer", "integer"),
        ("ref", "char", "character varying"),
        ("notes", "text", "text"),
        ("days", "integer", "integer"),
        ("ratio", "float", "double precision"),
        ("amount", "monetary", "numeric"),
        ("flag", "boolean", "boolean"),
        ("expiry_date", "date", "date"),
        ("create_date", "datetime", "timestamp without time zone"),
        ("status", "selection", "character varying"),
        ("partner_id", "many2one", "integer"),
        ("payload", "json", "jsonb"),
        ("photo", "binary", "bytea"),
        ("name", "char", "jsonb"),
        ("barcode", "char", "jsonb"),
    ]
    .into_iter()
    .map(|(name, ttype, column)| field(name, ttype, Some(column)))
    .collect();
    fields.push(field("line_ids", "one2many", None));
    let mut mobile = field("mobile", "char", None);
    mobile.related = Some("partner_id.mobile".into());
    fields.push(mobile);
    for field in &mut fields {
        field.translate = field.name == "name";
        field.company_dependent = field.name == "barcode";
        if field.name == "status" {
            let values = [
                ("draft", "Konsep"),
                ("active", "Aktif"),
                ("expired", "Kedaluwarsa"),
            ];
            field.selection = values.map(|(value, label)| (value.into(), label.into())).into();
        }
    }
    Model {
        name: "sicantik.permit".into(),
        table: "sicantik_permit".into(),
        fields: fields.into_iter().map(|f| (f.name.clone(), f)).collect(),
        order: Vec::new(),
    }
}
