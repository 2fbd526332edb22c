//! What models, fields and columns the attached host has, from `ir_model`, `ir_model_fields` and `pg_attribute`.
//!
//! Identifiers that reach SQL come only from here, never from what a user typed.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Odoo's type of a field (`ir_model_fields.ttype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FieldType {
    Char,
    Text,
    Html,
    Integer,
    Float,
    Monetary,
    Boolean,
    Date,
    Datetime,
    Selection,
    Many2one,
    One2many,
    Many2many,
    Reference,
    Many2oneReference,
    Binary,
    Json,
    Properties,
    PropertiesDefinition,
}

impl FieldType {
    /// The type that `ir_model_fields.ttype` names; `None` for a type this version does not know.
    pub fn from_ttype(ttype: &str) -> Option<Self> {
        Some(match ttype {
            "char" => Self::Char,
            "text" => Self::Text,
            "html" => Self::Html,
            "integer" => Self::Integer,
            "float" => Self::Float,
            "monetary" => Self::Monetary,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "datetime" => Self::Datetime,
            "selection" => Self::Selection,
            "many2one" => Self::Many2one,
            "one2many" => Self::One2many,
            "many2many" => Self::Many2many,
            "reference" => Self::Reference,
            "many2one_reference" => Self::Many2oneReference,
            "binary" => Self::Binary,
            "json" => Self::Json,
            "properties" => Self::Properties,
            "properties_definition" => Self::PropertiesDefinition,
            _ => return None,
        })
    }
}

/// A field as the host's catalogue describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name of the field, which is also the column's name where there is one.
    pub name: String,
    /// Odoo's type.
    pub ttype: FieldType,
    /// Model at the other end of a relation.
    pub relation: Option<String>,
    /// one2many: the many2one on the other side.
    pub relation_field: Option<String>,
    /// many2many: the relation table.
    pub relation_table: Option<String>,
    /// many2many: column of this model in the relation table.
    pub column1: Option<String>,
    /// many2many: column of the target in the relation table.
    pub column2: Option<String>,
    /// False: computed when read, so there is no column.
    pub store: bool,
    /// Dotted path of a related field.
    pub related: Option<String>,
    /// jsonb by language.
    pub translate: bool,
    /// jsonb by company id (Odoo 18+).
    pub company_dependent: bool,
    /// The column's PostgreSQL type as `format_type` prints it (`character varying`, `integer`, `jsonb`, …);
    /// `None` where the table has no such column.
    pub column_type: Option<String>,
    /// Values and labels (Indonesian first, else English) of a selection, in the host's order.
    pub selection: Vec<(String, String)>,
}

/// A model with the table that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `sicantik.permit`
    pub name: String,
    /// `sicantik_permit`, in schema `public`.
    pub table: String,
    /// Fields by name.
    pub fields: BTreeMap<String, Field>,
    /// Columns by which Odoo orders its records, and whether descending (`ir_model.order`).
    pub order: Vec<(String, bool)>,
}

impl Model {
    /// The field, if it is a column of the table.
    pub fn column(&self, name: &str) -> Option<&Field> {
        self.fields.get(name).filter(|f| f.column_type.is_some())
    }

    /// Names of the fields that are columns, sorted.
    pub fn column_names(&self) -> Vec<&str> {
        self.fields
            .values()
            .filter(|f| f.column_type.is_some())
            .map(|f| f.name.as_str())
            .collect()
    }
}

/// Every model of the host that has a table.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Models by name.
    pub models: BTreeMap<String, Arc<Model>>,
    /// Models that hold another model's fields: by model, the many2one and the model at its other end.
    pub delegations: BTreeMap<String, Vec<(String, String)>>,
}

impl Catalog {
    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        self.models.get(name)
    }

    /// The many2one through which a model has the fields of another one, and that one.
    pub fn delegation(&self, model: &str, field: &str) -> Option<(&str, &str)> {
        let all = self.delegations.get(model)?;
        let (field, target) = all.iter().find(|(known, _)| known == field)?;
        Some((field, target))
    }
}

impl Catalog {
    /// Reads the catalogue of the attached host.
    ///
    /// # Errors
    /// The server's; a missing right on `ir_model_fields` among them.
    pub async fn load(client: &tokio_postgres::Transaction<'_>) -> Result<Self, tokio_postgres::Error> {
        use crate::db::statements as sql;
        let mut models: BTreeMap<String, Model> = BTreeMap::new();
        for row in client.query(sql::CATALOG_FIELDS.sql, &[]).await? {
            let ttype: &str = row.get("ttype");
            let Some(ttype) = FieldType::from_ttype(ttype) else {
                continue;
            };
            let (name, model): (String, String) = (row.get("name"), row.get("model"));
            let field = Field {
                name: name.clone(),
                ttype,
                relation: row.get("relation"),
                relation_field: row.get("relation_field"),
                relation_table: row.get("relation_table"),
                column1: row.get("column1"),
                column2: row.get("column2"),
                store: row.get("store"),
                related: row.get("related"),
                translate: row.get("translate"),
                company_dependent: row.get("company_dependent"),
                column_type: row.get("column_type"),
                selection: Vec::new(),
            };
            models
                .entry(model.clone())
                .or_insert_with(|| Model {
                    name: model,
                    table: row.get("table_name"),
                    fields: BTreeMap::new(),
                    order: Vec::new(),
                })
                .fields
                .insert(name, field);
        }
        for row in client.query(sql::CATALOG_SELECTIONS.sql, &[]).await? {
            let (model, name): (&str, &str) = (row.get("model"), row.get("name"));
            if let Some(field) = models.get_mut(model).and_then(|m| m.fields.get_mut(name)) {
                field.selection.push((row.get("value"), row.get("label")));
            }
        }
        for (name, order) in orders(client).await? {
            if let Some(model) = models.get_mut(&name) {
                model.order = read_order(&order, model);
            }
        }
        let delegations = delegations(client).await?;
        Ok(Self {
            delegations,
            models: models
                .into_iter()
                .map(|(name, model)| (name, Arc::new(model)))
                .collect(),
        })
    }
}

/// The order of each model, where the host tells it.
async fn orders(
    client: &tokio_postgres::Transaction<'_>,
) -> Result<Vec<(String, String)>, tokio_postgres::Error> {
    let readable = "select coalesce(has_table_privilege(to_regclass('public.ir_model'), 'select'), false)";
    if !client.query_one(readable, &[]).await?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let listed = "select m.doc ->> 'model', m.doc ->> 'order' \
                  from (select to_jsonb(n.*) as doc from public.ir_model n) m where m.doc ->> 'order' is not null";
    let rows = client.query(listed, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// `create_date desc, id desc`, as far as it names columns.
fn read_order(order: &str, model: &Model) -> Vec<(String, bool)> {
    let mut columns = Vec::new();
    for part in order.split(',') {
        let mut words = part.split_whitespace();
        let column = words.next().unwrap_or_default().trim_matches('"');
        if model.column(column).is_some() {
            let descending = words.next().is_some_and(|w| w.eq_ignore_ascii_case("desc"));
            columns.push((column.to_owned(), descending));
        }
    }
    columns
}

/// Delegations as the host lists them; before Odoo 17 it does not, but users have always had their partner's fields.
async fn delegations(
    client: &tokio_postgres::Transaction<'_>,
) -> Result<BTreeMap<String, Vec<(String, String)>>, tokio_postgres::Error> {
    let mut all = BTreeMap::from([(
        "res.users".to_owned(),
        vec![("partner_id".to_owned(), "res.partner".to_owned())],
    )]);
    let readable = "select coalesce(has_table_privilege(to_regclass('public.ir_model_inherit'), 'select'), false) \
                    and coalesce(has_table_privilege(to_regclass('public.ir_model'), 'select'), false)";
    if !client.query_one(readable, &[]).await?.get::<_, bool>(0) {
        return Ok(all);
    }
    let listed = "select m.model, f.name, p.model from public.ir_model_inherit i \
                  join public.ir_model m on m.id = i.model_id join public.ir_model p on p.id = i.parent_id \
                  join public.ir_model_fields f on f.id = i.parent_field_id";
    for row in client.query(listed, &[]).await? {
        let of: &mut Vec<(String, String)> = all.entry(row.get(0)).or_default();
        let found = (row.get(1), row.get(2));
        if !of.contains(&found) {
            of.push(found);
        }
    }
    Ok(all)
}

impl Field {
    /// The label of a selection's value; the value itself where it has none.
    pub fn label<'a>(&'a self, value: &'a str) -> &'a str {
        self.selection
            .iter()
            .find(|(v, _)| v == value)
            .map_or(value, |(_, label)| label)
    }
}
