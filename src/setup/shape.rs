//! What can stand in a file of configuration: sections, and the columns of their tables as the catalogue has them. A column that
//! a later version adds is known here without being named; what is bookkeeping or observed never is.

use serde_json::{Map, Value};
use tokio_postgres::GenericClient;

use crate::db::statements as sql;
use crate::host::record::quote;

/// How a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[[rules]]`, one table a row.
    Rows,
    /// `[settings]`, `key = "value"`: the value's column.
    Pairs(&'static str),
    /// `[noise_columns]`, `model = ["column", …]`: the last part of the key.
    Lists,
}

/// Which columns belong to the file.
#[derive(Clone, Copy, Debug)]
pub enum Belongs {
    /// All but bookkeeping, times, and these.
    AllBut(&'static [&'static str]),
    /// These.
    Only(&'static [&'static str]),
}

/// What becomes of rows that the file does not have, where `--prune` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// They are deleted.
    Delete,
    /// Their `active` becomes false: the row keeps its history.
    Deactivate,
    /// They stay: a setting is changed, never removed.
    Never,
}

/// One kind of configuration.
#[derive(Debug)]
pub struct Section {
    /// In the file, and for `--only`.
    pub name: &'static str,
    /// One of it, for people.
    pub kind: &'static str,
    /// Its table.
    pub table: &'static str,
    /// What tells its rows apart: the first of these lists whose columns exist.
    pub keys: &'static [&'static [&'static str]],
    /// How it is written.
    pub layout: Layout,
    /// Which columns.
    pub belongs: Belongs,
    /// Columns that others set too: left as they are where the file does not say.
    pub kept: &'static [&'static str],
    /// What `--prune` does.
    pub prune: Prune,
    /// Keys that `--prune` leaves alone: the daemon itself uses them.
    pub own: &'static [&'static str],
    /// Which rows of the table `t` are configuration; the others are work, or history.
    pub only: Option<&'static str>,
}

/// In the order in which they are written: what is referred to comes first. A section whose table does not exist is not there.
pub const SECTIONS: &[Section] = &[
    Section {
        own: &["system_inbound"],
        ..rows("triggers", "trigger", "trigger", &[&["code"]])
    },
    Section {
        own: &["system_stop_confirmation"],
        ..rows("rules", "rule", "rule", &[&["code"]])
    },
    Section {
        belongs: Belongs::Only(&[
            "code",
            "name",
            "description",
            "rule",
            "target_model",
            "target_domain",
            "template_key",
        ]),
        // Scheduling and starting one are acts, not configuration.
        only: Some("t.state = 'draft'"),
        ..rows("campaigns", "campaign", "campaign", &[&["code"], &["name"]])
    },
    Section {
        belongs: Belongs::AllBut(&["meta_quality", "meta_placeholders", "meta_unfit"]),
        kept: &["meta_status", "meta_category", "meta_named"],
        own: &["stop_confirmation"],
        ..rows("templates", "template", "template", &[&["template_key"]])
    },
    Section {
        layout: Layout::Pairs("meta_key"),
        ..rows(
            "template_map",
            "template map",
            "template_map",
            &[&["template_key"]],
        )
    },
    rows("providers", "provider", "provider", &[&["name"]]),
    Section {
        belongs: Belongs::AllBut(&["blocked_count"]),
        prune: Prune::Deactivate,
        ..rows("blacklist", "blacklisted number", "blacklist", &[&["phone"]])
    },
    Section {
        layout: Layout::Pairs("value"),
        belongs: Belongs::AllBut(&["description"]),
        prune: Prune::Never,
        ..rows("settings", "setting", "setting", &[&["key"]])
    },
    rows(
        "field_aliases",
        "field alias",
        "field_alias",
        &[&["model", "field"]],
    ),
    rows(
        "value_aliases",
        "value alias",
        "value_alias",
        &[&["model", "field", "value"]],
    ),
    Section {
        layout: Layout::Lists,
        ..rows(
            "noise_columns",
            "noise column",
            "noise_column",
            &[&["model", "column_name"]],
        )
    },
    Section {
        belongs: Belongs::Only(&["active", "interval_number", "interval_type", "priority"]),
        prune: Prune::Never,
        ..rows("cron_jobs", "cron job", "cron_job", &[&["code"], &["name"]])
    },
];

const fn rows(
    name: &'static str,
    kind: &'static str,
    table: &'static str,
    keys: &'static [&'static [&'static str]],
) -> Section {
    Section {
        name,
        kind,
        table,
        keys,
        layout: Layout::Rows,
        belongs: Belongs::AllBut(&[]),
        kept: &[],
        prune: Prune::Delete,
        own: &[],
        only: None,
    }
}

/// Bookkeeping of every table.
const BOOKKEEPING: &[&str] = &["id", "created_at", "updated_at"];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// true or false.
    Flag,
    /// A whole number.
    Integer,
    /// A list of texts.
    Texts,
    /// A table.
    Json,
    /// A length of time, such as "5 minutes".
    Interval,
    /// A moment, with its offset.
    Moment,
    /// A date and a time of the clock on the wall.
    Local,
}

impl Kind {
    /// For people.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Flag => "true or false",
            Self::Integer => "a whole number",
            Self::Texts => "a list of texts",
            Self::Json => "a table or list",
            Self::Interval => "a length of time in quotes, such as \"5 minutes\"",
            Self::Moment => "a moment with its offset, such as 2026-03-01T08:00:00+07:00",
            Self::Local => "a date and time without an offset, such as 2026-03-01T08:00:00",
        }
    }

    fn of(type_name: &str) -> Self {
        match type_name {
            "boolean" => Self::Flag,
            "integer" | "bigint" | "smallint" => Self::Integer,
            "text[]" => Self::Texts,
            "jsonb" | "json" => Self::Json,
            "interval" => Self::Interval,
            "timestamp with time zone" => Self::Moment,
            "timestamp without time zone" => Self::Local,
            _ => Self::Text,
        }
    }
}

/// A column that belongs to the file.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// It is never empty.
    pub required: bool,
    /// What it holds where nobody says otherwise; null: nothing.
    pub default: Value,
}

/// A section with its columns.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Which.
    pub section: &'static Section,
    /// Columns that tell rows apart.
    pub key: &'static [&'static str],
    /// In the order of the table, the key included.
    pub columns: Vec<Column>,
    /// The table's comment.
    pub about: String,
}

impl Shape {
    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Whether a column tells rows apart.
    pub fn is_key(&self, column: &str) -> bool {
        self.key.contains(&column)
    }

    /// Columns beside the key.
    pub fn values(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| !self.is_key(&c.name))
    }

    /// The key of a row.
    pub fn key_of(&self, row: &Map<String, Value>) -> Vec<String> {
        let part = |column: &&str| match row.get(*column) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        self.key.iter().map(part).collect()
    }

    /// The table, quoted.
    pub fn table(&self) -> String {
        format!("sicantik_notify.{}", quote(self.section.table))
    }

    /// A row in which every column has its default.
    pub fn defaults(&self) -> Map<String, Value> {
        let pairs = self.columns.iter().map(|c| (c.name.clone(), c.default.clone()));
        pairs.collect()
    }

    fn has_credentials(&self) -> bool {
        self.section.table == "provider"
    }

    /// Names that a table of the section may have.
    pub fn names(&self) -> Vec<&str> {
        let names = self.columns.iter().map(|c| c.name.as_str());
        names
            .chain(self.has_credentials().then_some(CREDENTIALS))
            .collect()
    }
}

/// Where a provider names its secrets.
pub const CREDENTIALS: &str = "credentials";

/// The sections that this database has.
#[derive(Clone, Debug)]
pub struct Shapes(pub Vec<Shape>);

impl Shapes {
    /// Reads the catalogue.
    ///
    /// # Errors
    /// The server's.
    pub async fn load(client: &impl GenericClient) -> Result<Self, tokio_postgres::Error> {
        let tables: Vec<&str> = SECTIONS.iter().map(|s| s.table).collect();
        let rows = client.query(sql::SETUP_COLUMNS.sql, &[&tables]).await?;
        let mut shapes = Vec::new();
        for section in SECTIONS {
            let mine: Vec<_> = rows
                .iter()
                .filter(|r| r.get::<_, &str>("table_name") == section.table)
                .collect();
            let known = |column: &&str| mine.iter().any(|r| r.get::<_, &str>("name") == *column);
            let Some(key) = section.keys.iter().find(|key| key.iter().all(known)) else {
                continue;
            };
            let (mut columns, mut expressions) = (Vec::new(), Vec::new());
            for row in &mine {
                let (name, kind) = (row.get::<_, &str>("name"), Kind::of(row.get("type")));
                let belongs = key.contains(&name)
                    || match section.belongs {
                        Belongs::Only(these) => these.contains(&name),
                        Belongs::AllBut(others) => {
                            kind != Kind::Moment && !others.contains(&name) && !BOOKKEEPING.contains(&name)
                        }
                    };
                if !belongs {
                    continue;
                }
                let expression: Option<&str> = row.get("default_expression");
                expressions.push(expression.unwrap_or("null::text").to_owned());
                columns.push(Column {
                    name: name.to_owned(),
                    kind,
                    required: row.get("required"),
                    default: Value::Null,
                });
            }
            let asked = format!("select jsonb_build_array({})", expressions.join(", "));
            if let Value::Array(defaults) = client.query_one(&asked, &[]).await?.get(0) {
                for (column, default) in columns.iter_mut().zip(defaults) {
                    column.default = default;
                }
            }
            let about = mine.first().map(|r| r.get("about")).unwrap_or_default();
            shapes.push(Shape {
                section,
                key,
                columns,
                about,
            });
        }
        Ok(Self(shapes))
    }

    /// A section by name.
    pub fn get(&self, name: &str) -> Option<&Shape> {
        self.0.iter().find(|s| s.section.name == name)
    }

    /// The section of a table.
    pub fn of_table(&self, table: &str) -> Option<&Shape> {
        self.0.iter().find(|s| s.section.table == table)
    }

    /// The sections that `--only` names, `aliases` for both kinds of them.
    ///
    /// # Errors
    /// A sentence that names what there is.
    pub fn only(&self, names: &[String]) -> Result<Vec<&Shape>, String> {
        for name in names {
            if name != "aliases" && self.get(name).is_none() {
                let known: Vec<&str> = self.0.iter().map(|s| s.section.name).collect();
                return Err(format!(
                    "there is no section {name:?}; there are: aliases, {}",
                    known.join(", ")
                ));
            }
        }
        let wanted = |shape: &&Shape| {
            let name = shape.section.name;
            names.is_empty()
                || names
                    .iter()
                    .any(|n| n == name || (n == "aliases" && name.ends_with("_aliases")))
        };
        Ok(self.0.iter().filter(wanted).collect())
    }
}
