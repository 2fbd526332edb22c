//! What a snippet reads, found from its text: which names hold records of which model, and which fields are asked of them.
//! Hooks carry those columns and rights are granted on them before the code ever runs; a misspelt field is an error then,
//! not at two in the morning. What cannot be seen this way (a name from a dict, a field's name in a variable) is read when
//! it is met, if the daemon may.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::{Comprehension, Expr, ExprCall, ExprCompare, Stmt};
use ruff_text_size::{Ranged, TextRange};

use crate::host::catalog::{Catalog, Field, FieldType, Model};
use crate::lang::domain::{Aliases, is_secret};
use crate::lang::python::{Edit, Failure, FailureKind, Tree, bytes};

/// Methods that give records of the same model.
const SAME: &[&str] = &[
    "browse",
    "ensure_one",
    "exists",
    "filtered",
    "filtered_domain",
    "search",
    "sorted",
    "sudo",
    "with_company",
    "with_context",
    "with_user",
];
/// Further attributes of records that are no fields.
const OTHERS: &[&str] = &["id", "ids", "env", "mapped", "search_count", "_name"];

/// Where a snippet stands.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The model of `record`.
    pub model: &'a Model,
    /// The host's models.
    pub catalog: &'a Catalog,
    /// Names that administrators use for others.
    pub aliases: &'a Aliases,
}

/// What a snippet reads of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Fields by model.
    pub fields: BTreeMap<String, BTreeSet<String>>,
    /// What was read as something else.
    pub notes: Vec<String>,
}

impl Reads {
    /// Columns of a model that it reads.
    pub fn columns<'m>(&self, model: &'m Model) -> impl Iterator<Item = &'m Field> {
        let names = self.fields.get(&model.name).cloned().unwrap_or_default();
        names.into_iter().filter_map(|name| model.column(&name))
    }

    /// Tables with their columns, as rights are granted on them. The base table is among them.
    pub fn tables(&self, catalog: &Catalog) -> BTreeMap<String, BTreeSet<String>> {
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut add = |table: &str, columns: &[&str]| {
            let of = tables.entry(table.to_owned()).or_default();
            of.extend(columns.iter().map(|c| (*c).to_owned()));
        };
        for (model, fields) in &self.fields {
            let Some(model) = catalog.model(model) else {
                continue;
            };
            add(&model.table, &["id"]);
            for field in fields.iter().filter_map(|name| model.fields.get(name)) {
                match (
                    field.ttype,
                    field.relation.as_deref().and_then(|r| catalog.model(r)),
                ) {
                    (FieldType::One2many, Some(lines)) => {
                        let inverse = field.relation_field.as_deref().unwrap_or("id");
                        add(&lines.table, &["id", inverse]);
                        add(&lines.table, &whole_order(lines));
                    }
                    (FieldType::Many2many, Some(lines)) => {
                        if let (Some(table), Some(a), Some(b)) =
                            (&field.relation_table, &field.column1, &field.column2)
                        {
                            add(table, &[a, b]);
                        }
                        add(&lines.table, &["id"]);
                        add(&lines.table, &whole_order(lines));
                    }
                    _ if field.column_type.is_some() => add(&model.table, &[&field.name]),
                    _ => {}
                }
            }
        }
        tables
    }
}

/// The columns that ordering and archiving need.
fn whole_order(model: &Model) -> Vec<&str> {
    let active = model.column("active").map(|f| f.name.as_str());
    let order = model.order.iter().map(|(column, _)| column.as_str());
    order.chain(active).collect()
}

/// What an expression is, as far as the text tells.
#[derive(Clone)]
enum Kind<'m> {
    Records(&'m Model),
    List(&'m Model),
    Value(&'m Model, &'m Field),
    Env,
    Other,
}

/// Finds what a tree reads, and where a value in it stands for another one.
pub(super) fn infer(tree: &Tree, scope: &Scope<'_>) -> Result<(Reads, Vec<Edit>), Failure> {
    let mut vars = HashMap::from([
        ("record".to_owned(), Kind::Records(scope.model)),
        ("records".to_owned(), Kind::Records(scope.model)),
        ("env".to_owned(), Kind::Env),
    ]);
    for (name, model) in [("recipient", "res.partner"), ("user", "res.users")] {
        if let Some(model) = scope.catalog.model(model) {
            vars.insert(name.to_owned(), Kind::Records(model));
        }
    }
    let mut inference = Inference {
        scope: *scope,
        vars,
        reads: Reads::default(),
        edits: BTreeMap::new(),
        failure: None,
    };
    // A name may be used above the line that says what it is: a second look knows them all.
    for _ in 0..2 {
        match tree {
            Tree::Expression(expr) => inference.visit_expr(expr),
            Tree::Statements(body) => body.iter().for_each(|stmt| inference.visit_stmt(stmt)),
        }
    }
    match inference.failure {
        Some(failure) => Err(failure),
        None => Ok((inference.reads, inference.edits.into_values().collect())),
    }
}

struct Inference<'m> {
    scope: Scope<'m>,
    vars: HashMap<String, Kind<'m>>,
    reads: Reads,
    edits: BTreeMap<usize, Edit>,
    failure: Option<Failure>,
}

impl<'m> Inference<'m> {
    fn fail(&mut self, range: TextRange, message: String, hint: Option<String>) {
        let failure = Failure::new(FailureKind::Name, bytes(range), message);
        self.failure.get_or_insert(match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        });
    }

    fn bind(&mut self, target: &Expr, kind: &Kind<'m>) {
        if let (Expr::Name(name), Kind::Records(_) | Kind::List(_) | Kind::Env) = (target, kind) {
            self.vars.insert(name.id.to_string(), kind.clone());
        }
    }

    fn kind(&mut self, expr: &Expr) -> Kind<'m> {
        match expr {
            Expr::Name(name) => self.vars.get(name.id.as_str()).cloned().unwrap_or(Kind::Other),
            Expr::Attribute(of) => {
                let base = self.kind(&of.value);
                self.attribute(&base, of.attr.as_str(), of.attr.range())
            }
            Expr::Call(call) => self.call(call),
            Expr::Subscript(of) => {
                let base = self.kind(&of.value);
                match (base, &*of.slice) {
                    (Kind::Env, Expr::StringLiteral(name)) => {
                        self.model(name.value.to_str(), of.slice.range())
                    }
                    (base @ Kind::Records(_), Expr::StringLiteral(name)) => {
                        self.attribute(&base, name.value.to_str(), of.slice.range())
                    }
                    (Kind::Records(model) | Kind::List(model), index) => {
                        let sliced = matches!(index, Expr::Slice(_));
                        self.kind(index);
                        match sliced && matches!(self.kind(&of.value), Kind::List(_)) {
                            true => Kind::List(model),
                            false => Kind::Records(model),
                        }
                    }
                    (_, index) => {
                        self.kind(index);
                        Kind::Other
                    }
                }
            }
            Expr::Named(named) => {
                let kind = self.kind(&named.value);
                self.bind(&named.target, &kind);
                kind
            }
            Expr::If(choice) => {
                self.kind(&choice.test);
                let body = self.kind(&choice.body);
                let other = self.kind(&choice.orelse);
                first_known(vec![body, other])
            }
            Expr::BoolOp(op) => {
                let kinds = op.values.iter().map(|v| self.kind(v)).collect();
                first_known(kinds)
            }
            Expr::BinOp(op) => {
                let (left, right) = (self.kind(&op.left), self.kind(&op.right));
                first_known(vec![left, right])
            }
            Expr::Compare(compare) => {
                self.compare(compare);
                Kind::Other
            }
            Expr::ListComp(of) => self.comprehension(&of.elt, &of.generators),
            Expr::SetComp(of) => self.comprehension(&of.elt, &of.generators),
            Expr::Generator(of) => self.comprehension(&of.elt, &of.generators),
            Expr::DictComp(of) => {
                self.generators(&of.generators);
                if let Some(key) = &of.key {
                    self.kind(key);
                }
                self.kind(&of.value);
                Kind::Other
            }
            other => {
                Parts(self).parts(other);
                Kind::Other
            }
        }
    }

    fn model(&mut self, name: &str, range: TextRange) -> Kind<'m> {
        match self.scope.catalog.model(name) {
            Some(model) => {
                self.reads.fields.entry(model.name.clone()).or_default();
                Kind::Records(model)
            }
            None => {
                self.fail(range, format!("the host has no model {name}"), None);
                Kind::Other
            }
        }
    }

    fn attribute(&mut self, base: &Kind<'m>, name: &str, range: TextRange) -> Kind<'m> {
        let model = match base {
            Kind::Records(model) => *model,
            Kind::Env => {
                return match name {
                    "user" => self.model("res.users", range),
                    "company" => self.model("res.company", range),
                    "companies" => self.model("res.company", range),
                    "ref" | "uid" | "context" | "lang" => Kind::Other,
                    _ => {
                        let hint =
                            "env has env['model'], ref, user, company, companies, uid, lang and context";
                        self.fail(range, format!("env has no {name} here"), Some(hint.into()));
                        Kind::Other
                    }
                };
            }
            _ => return Kind::Other,
        };
        if OTHERS.contains(&name) {
            return if name == "env" { Kind::Env } else { Kind::Other };
        }
        if SAME.contains(&name) {
            return Kind::Other; // called, or nothing
        }
        self.field(model, name, range)
    }

    fn field(&mut self, model: &'m Model, name: &str, range: TextRange) -> Kind<'m> {
        let resolved = self.scope.aliases.resolve_field(model, name);
        let Some(field) = model.fields.get(resolved) else {
            let message = format!(
                "{} has no field {name}; it has {}",
                model.name,
                model.column_names().join(", ")
            );
            let hint = "records are read-only; beside fields they have search, search_count, browse, mapped, filtered, sorted, exists";
            self.fail(range, message, Some(hint.into()));
            return Kind::Other;
        };
        if resolved != name {
            let note = format!("{name} is read as {resolved} on {}", model.name);
            if !self.reads.notes.contains(&note) {
                self.reads.notes.push(note);
            }
        }
        if is_secret(&model.name, &field.name) {
            let message = format!("{} of {} is secret, no code may read it", field.name, model.name);
            self.fail(range, message, None);
            return Kind::Other;
        }
        let read = self.reads.fields.entry(model.name.clone()).or_default();
        read.insert(field.name.clone());
        let relation = field
            .relation
            .as_deref()
            .and_then(|r| self.scope.catalog.model(r));
        let lines = matches!(field.ttype, FieldType::One2many | FieldType::Many2many) && field.store;
        if field.column_type.is_some() || lines {
            if field.ttype == FieldType::Binary {
                self.fail(range, format!("{} of {} is a file", field.name, model.name), None);
            }
            return match relation {
                Some(target) if field.ttype != FieldType::Reference => {
                    self.reads.fields.entry(target.name.clone()).or_default();
                    Kind::Records(target)
                }
                _ => Kind::Value(model, field),
            };
        }
        if let Some(path) = &field.related {
            let mut kind = Kind::Records(model);
            for step in path.split('.') {
                kind = self.attribute(&kind, step, range);
            }
            return kind;
        }
        if field.name == "display_name" {
            if let Some(name) = display_column(model) {
                read_column(&mut self.reads, model, name);
            }
            return Kind::Other;
        }
        let message = format!(
            "{} of {} is computed when read and has no column",
            field.name, model.name
        );
        self.fail(range, message, Some("compute it from stored fields".into()));
        Kind::Other
    }

    fn path(&mut self, model: &'m Model, path: &str, range: TextRange) -> Kind<'m> {
        let mut kind = Kind::Records(model);
        for step in path.split('.') {
            kind = match (&kind, step) {
                (Kind::Records(_), "id") => Kind::Other,
                _ => self.attribute(&kind, step, range),
            };
        }
        kind
    }

    fn call(&mut self, call: &ExprCall) -> Kind<'m> {
        if let Expr::Attribute(method) = &*call.func
            && let Kind::Records(model) = self.kind(&method.value)
        {
            return self.method(model, method.attr.as_str(), call);
        }
        let known = match &*call.func {
            Expr::Name(name) => Some(name.id.as_str()),
            other => {
                self.kind(other);
                None
            }
        };
        // sorted(records, key=lambda r: …), map(lambda r: …, records)
        let walked = call.arguments.args.iter().find_map(|a| match self.kind(a) {
            Kind::Records(model) | Kind::List(model) => Some(model),
            _ => None,
        });
        for argument in call.arguments.args.iter() {
            self.function(argument, walked);
        }
        for keyword in &call.arguments.keywords {
            self.function(&keyword.value, walked);
        }
        match (known, walked) {
            (Some("sorted" | "list" | "tuple" | "reversed" | "filter"), Some(model)) => Kind::List(model),
            (Some("max" | "min"), Some(model)) => Kind::Records(model),
            _ => Kind::Other,
        }
    }

    /// A function that may be called with a record.
    fn function(&mut self, expr: &Expr, of: Option<&'m Model>) -> Kind<'m> {
        let Expr::Lambda(lambda) = expr else {
            return self.kind(expr);
        };
        let first = lambda.parameters.iter().flat_map(|p| p.iter()).next();
        if let (Some(model), Some(first)) = (of, first) {
            self.vars.insert(first.name().to_string(), Kind::Records(model));
        }
        self.kind(&lambda.body)
    }

    fn method(&mut self, model: &'m Model, name: &str, call: &ExprCall) -> Kind<'m> {
        let range = call.func.range();
        let arguments = &call.arguments;
        match name {
            "search" | "search_count" | "filtered_domain" => {
                for argument in &arguments.args {
                    self.domain(model, argument);
                }
                for keyword in &arguments.keywords {
                    self.domain(model, &keyword.value);
                }
                let read = self.reads.fields.entry(model.name.clone()).or_default();
                read.extend(whole_order(model).into_iter().map(str::to_owned));
            }
            "mapped" | "filtered" | "sorted" => {
                let key = arguments.args.first();
                let key = key.or_else(|| arguments.find_keyword("key").map(|k| &k.value));
                let kind = match key {
                    Some(Expr::StringLiteral(path)) => self.path(model, path.value.to_str(), path.range()),
                    Some(function) => self.function(function, Some(model)),
                    None => Kind::Other,
                };
                if name == "mapped" {
                    return kind;
                }
            }
            name if SAME.contains(&name) => {
                for argument in &arguments.args {
                    self.kind(argument);
                }
            }
            "create" | "write" | "unlink" | "copy" | "message_post" => {
                self.fail(
                    range,
                    format!("records are read-only here, {name} is not possible"),
                    None,
                );
            }
            other => {
                let message = format!("{other} is not a method that records have here");
                let hint = "they have search, search_count, browse, mapped, filtered, filtered_domain, sorted, exists, ensure_one";
                self.fail(range, message, Some(hint.into()));
            }
        }
        match SAME.contains(&name) {
            true => Kind::Records(model),
            false => Kind::Other,
        }
    }

    /// Conditions of a domain that is written out.
    fn domain(&mut self, model: &'m Model, expr: &Expr) {
        let items: &[Expr] = match expr {
            Expr::List(list) => &list.elts,
            Expr::Tuple(tuple) => &tuple.elts,
            Expr::BinOp(op) => {
                self.domain(model, &op.left);
                return self.domain(model, &op.right);
            }
            other => {
                self.kind(other);
                return;
            }
        };
        if let [Expr::StringLiteral(path), Expr::StringLiteral(_), value] = items {
            self.path(model, path.value.to_str(), path.range());
            self.kind(value);
            return;
        }
        for item in items {
            self.domain(model, item);
        }
    }

    fn comprehension(&mut self, element: &Expr, generators: &[Comprehension]) -> Kind<'m> {
        self.generators(generators);
        match self.kind(element) {
            Kind::Records(model) => Kind::List(model),
            _ => Kind::Other,
        }
    }

    fn generators(&mut self, generators: &[Comprehension]) {
        for generator in generators {
            self.walked(&generator.target, &generator.iter);
            for test in &generator.ifs {
                self.kind(test);
            }
        }
    }

    fn walked(&mut self, target: &Expr, iter: &Expr) {
        if let Kind::Records(model) | Kind::List(model) = self.kind(iter) {
            self.bind(target, &Kind::Records(model));
        }
    }

    /// `record.state == 'approved'`: the value as the host has it.
    fn compare(&mut self, compare: &ExprCompare) {
        let mut left = &*compare.left;
        let mut left_kind = self.kind(left);
        for right in &compare.comparators {
            let right_kind = self.kind(right);
            if let Kind::Value(model, field) = &left_kind {
                self.values(model, field, right);
            }
            if let Kind::Value(model, field) = &right_kind {
                self.values(model, field, left);
            }
            (left, left_kind) = (right, right_kind);
        }
    }

    fn values(&mut self, model: &Model, field: &Field, expr: &Expr) {
        match expr {
            Expr::List(list) => list.elts.iter().for_each(|item| self.values(model, field, item)),
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| self.values(model, field, item)),
            Expr::Set(set) => set.elts.iter().for_each(|item| self.values(model, field, item)),
            Expr::StringLiteral(text) => {
                let written = text.value.to_str();
                let meant = self.scope.aliases.resolve_value(model, field, written);
                let range = bytes(text.range());
                if meant != written {
                    let note = format!("{written} is read as {meant} of {}.{}", model.name, field.name);
                    if !self.reads.notes.contains(&note) {
                        self.reads.notes.push(note);
                    }
                    let with = format!("'{}'", meant.replace('\\', "\\\\").replace('\'', "\\'"));
                    let (start, end) = (range.start, range.end);
                    self.edits.insert(start, Edit { start, end, with });
                }
            }
            _ => {}
        }
    }
}

fn read_column(reads: &mut Reads, model: &Model, column: &str) {
    reads
        .fields
        .entry(model.name.clone())
        .or_default()
        .insert(column.to_owned());
}

/// The column that stands for a record's name.
pub(crate) fn display_column(model: &Model) -> Option<&'static str> {
    ["complete_name", "name", "document_number", "permit_number"]
        .into_iter()
        .find(|name| model.column(name).is_some())
}

fn first_known(kinds: Vec<Kind<'_>>) -> Kind<'_> {
    let known = kinds
        .into_iter()
        .find(|kind| matches!(kind, Kind::Records(_) | Kind::List(_)));
    known.unwrap_or(Kind::Other)
}

impl<'a> Visitor<'a> for Inference<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.kind(expr);
    }

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Assign(assign) => {
                let kind = self.kind(&assign.value);
                for target in &assign.targets {
                    self.bind(target, &kind);
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    let kind = self.kind(value);
                    self.bind(&assign.target, &kind);
                }
            }
            Stmt::For(each) => {
                self.walked(&each.target, &each.iter);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
            }
            other => walk_stmt(self, other),
        }
    }
}

/// Visits the parts of an expression that means nothing by itself.
struct Parts<'i, 'm>(&'i mut Inference<'m>);

impl Parts<'_, '_> {
    fn parts(&mut self, expr: &Expr) {
        ruff_python_ast::visitor::walk_expr(self, expr);
    }
}

impl<'a> Visitor<'a> for Parts<'_, '_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.0.kind(expr);
    }
}
