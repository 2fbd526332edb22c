//! Looks at an expression before anything runs, and rewrites what the sandbox cannot do by itself.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_except_handler, walk_expr, walk_parameter, walk_stmt};
use ruff_python_ast::{Expr, Operator, Parameter, Stmt, UnaryOp};
use ruff_python_parser::{parse_module, parse_parenthesized_expression_range};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::{Failure, FailureKind, MAX_SIGNS, MAX_TEXT};

/// The builtins that Odoo 18 offers where it evaluates a domain and that the sandbox has.
const BUILTINS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "chr",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "int",
    "isinstance",
    "len",
    "list",
    "map",
    "max",
    "min",
    "ord",
    "range",
    "repr",
    "round",
    "set",
    "sorted",
    "str",
    "sum",
    "tuple",
    "zip",
];

/// The names that the prelude makes.
const NAMES: &[&str] = &["context_today", "date", "datetime", "timedelta", "timezone"];

/// Dotted names and what they become.
const PATHS: &[(&str, &str)] = &[
    ("datetime.datetime", "datetime"),
    ("datetime.date", "date"),
    ("datetime.time", "_sn_time"),
    ("datetime.timedelta", "timedelta"),
    ("datetime.timezone", "timezone"),
    ("datetime.combine", "_sn_combine"),
    ("datetime.max", "_sn_latest"),
    ("datetime.min", "_sn_earliest"),
    ("date.max", "_sn_last_day"),
    ("date.min", "_sn_first_day"),
    ("datetime.date.max", "_sn_last_day"),
    ("datetime.date.min", "_sn_first_day"),
    ("datetime.today", "datetime.now"),
    ("datetime.utcnow", "datetime.now"),
    ("time.strftime", "_sn_strftime"),
    ("time.gmtime", "_sn_localtime"),
    ("time.localtime", "_sn_localtime"),
    ("time", "_sn_time"),
    ("relativedelta.relativedelta", "relativedelta"),
    ("dateutil.relativedelta.relativedelta", "relativedelta"),
    ("dateutil.relativedelta.MO", "_sn_mo"),
    ("dateutil.relativedelta.TU", "_sn_tu"),
    ("dateutil.relativedelta.WE", "_sn_we"),
    ("dateutil.relativedelta.TH", "_sn_th"),
    ("dateutil.relativedelta.FR", "_sn_fr"),
    ("dateutil.relativedelta.SA", "_sn_sa"),
    ("dateutil.relativedelta.SU", "_sn_su"),
];

/// Builtins that make a list only when they are asked for one.
const LAZY: &[&str] = &["enumerate", "filter", "map", "zip"];

/// Methods that the sandbox's values lack or have otherwise, and the functions that stand for them.
const METHODS: &[(&str, &str, bool)] = &[
    ("to_utc", "_sn_to_utc", false),
    ("isocalendar", "_sn_week", false),
    ("toordinal", "_sn_ordinal", false),
    ("isoformat", "_sn_iso", true),
    ("strftime", "_sn_stamp", true),
];

/// Odoo's `fields`, which snippets see.
const SNIPPET_PATHS: &[(&str, &str)] = &[
    ("fields.Date.today", "date.today"),
    ("fields.Date.context_today", "context_today"),
    ("fields.Date.to_string", "_sn_date_text"),
    ("fields.Date.to_date", "_sn_date"),
    ("fields.Date.from_string", "_sn_date"),
    ("fields.Datetime.now", "_sn_now"),
    ("fields.Datetime.today", "_sn_midnight"),
    ("fields.Datetime.to_string", "_sn_datetime_text"),
    ("fields.Datetime.to_datetime", "_sn_datetime"),
    ("fields.Datetime.from_string", "_sn_datetime"),
    ("fields.Datetime.context_timestamp", "_sn_local"),
];

/// An expression that was looked at, and what is to be run.
#[derive(Clone, Debug)]
pub struct Program {
    pub(in crate::lang) text: String,
    pub(in crate::lang) code: String,
    pub(in crate::lang) deltas: bool,
    names: BTreeSet<String>,
    edits: Vec<Edit>,
}

/// What a text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An expression of a domain: plain values.
    Domain,
    /// An expression that also sees records.
    Condition,
    /// Statements that see records and set `context`.
    Context,
}

/// A text as a tree.
pub(in crate::lang) enum Tree {
    Expression(Box<Expr>),
    Statements(Vec<Stmt>),
}

#[derive(Clone, Debug)]
pub(in crate::lang) struct Edit {
    pub(in crate::lang) start: usize,
    pub(in crate::lang) end: usize,
    pub(in crate::lang) with: String,
}

impl Program {
    /// Parses and checks a text. Nothing is run.
    ///
    /// # Errors
    /// [`Failure`], with its place.
    pub fn new(text: &str) -> Result<Self, Failure> {
        measure(text)?;
        // A parser may recurse as deep as the text nests: not on a thread whose stack somebody else chose.
        super::sandbox::on_own_stack(|| read(text)).unwrap_or_else(|| {
            Err(Failure::new(
                FailureKind::Limit,
                0..text.len(),
                "the expression cannot be read",
            ))
        })
    }

    /// Whether the text uses this name freely.
    pub fn uses(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The byte of the text that a byte of the rewritten code stands for.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut shift: i64 = 0;
        for edit in &self.edits {
            let here = edit.start as i64 + shift;
            let grown = edit.with.len() as i64 - (edit.end - edit.start) as i64;
            if (at as i64) < here {
                break;
            }
            if (at as i64) < here + edit.with.len() as i64 {
                return edit.start;
            }
            shift += grown;
        }
        usize::try_from(at as i64 - shift)
            .unwrap_or(0)
            .min(self.text.len())
    }
}

/// What bounds the recursion of every later step.
fn measure(text: &str) -> Result<(), Failure> {
    let limit = |message: String| Err(Failure::new(FailureKind::Limit, 0..0, message));
    if text.len() > MAX_TEXT {
        return limit(format!(
            "the expression has {} bytes, {MAX_TEXT} are allowed",
            text.len()
        ));
    }
    let signs = text.bytes().filter(|c| b"([{+-*/%~.<>=|&^@:".contains(c)).count();
    let words = [
        "not", "lambda", "if", "else", "and", "or", "in", "is", "await", "yield",
    ];
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| words.contains(word))
        .count();
    match signs + words {
        many if many > MAX_SIGNS => limit(format!(
            "the expression has {many} operators, {MAX_SIGNS} are allowed"
        )),
        _ => Ok(()),
    }
}

fn read(text: &str) -> Result<Program, Failure> {
    rewrite(text, &parse(text, Form::Domain)?, Form::Domain, Vec::new())
}

/// Parses a text, within the limits of [`measure`].
pub(in crate::lang) fn parse(text: &str, form: Form) -> Result<Tree, Failure> {
    measure(text)?;
    let refusal = |e: ruff_python_parser::ParseError| {
        Failure::new(
            FailureKind::Syntax,
            bytes(e.location),
            e.error.to_string().to_lowercase(),
        )
    };
    if form == Form::Context {
        let module = parse_module(text).map_err(refusal)?.into_syntax();
        return Ok(Tree::Statements(module.body.into_iter().collect()));
    }
    // As in brackets: line breaks and indentation mean nothing.
    let range = TextRange::up_to(TextSize::of(text));
    let parsed = parse_parenthesized_expression_range(text, range).map_err(refusal)?;
    Ok(Tree::Expression(parsed.into_syntax().body))
}

/// Checks a tree and makes of it what the sandbox runs; `edits` are changes that somebody else wants in the text.
pub(in crate::lang) fn rewrite(
    text: &str,
    tree: &Tree,
    form: Form,
    edits: Vec<Edit>,
) -> Result<Program, Failure> {
    let mut bound = Bound::default();
    tree.walk(&mut bound);
    let deltas = bound.names.contains("relativedelta") || bound.names.contains("dateutil");
    let mut guard = Guard {
        text,
        bound: &bound.bound,
        deltas,
        form,
        spans: bound.names.contains("datetime") || bound.names.contains("timedelta"),
        names: BTreeSet::new(),
        edits,
        failure: None,
    };
    tree.walk(&mut guard);
    if let Some(failure) = guard.failure {
        return Err(failure);
    }
    let (names, mut edits) = (guard.names, guard.edits);
    edits.sort_by_key(|edit| edit.start);
    Ok(Program {
        code: splice(text, &edits),
        text: text.to_owned(),
        deltas,
        names,
        edits,
    })
}

impl Tree {
    fn walk<'a>(&'a self, visitor: &mut impl Visitor<'a>) {
        match self {
            Self::Expression(expr) => visitor.visit_expr(expr),
            Self::Statements(body) => body.iter().for_each(|stmt| visitor.visit_stmt(stmt)),
        }
    }
}

fn splice(text: &str, edits: &[Edit]) -> String {
    let (mut code, mut at) = (String::with_capacity(text.len() * 2), 0);
    for edit in edits {
        code.push_str(text.get(at..edit.start).unwrap_or_default());
        code.push_str(&edit.with);
        at = edit.end;
    }
    code.push_str(text.get(at..).unwrap_or_default());
    code
}

pub(in crate::lang) fn bytes(range: TextRange) -> std::ops::Range<usize> {
    range.start().to_usize()..range.end().to_usize()
}

/// Names that the text itself binds (comprehensions, parameters, `:=`), and all others.
#[derive(Default)]
struct Bound {
    bound: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl<'a> Visitor<'a> for Bound {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr {
            let known = if name.ctx.is_load() {
                &mut self.names
            } else {
                &mut self.bound
            };
            known.insert(name.id.to_string());
        }
        walk_expr(self, expr);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.bound.insert(parameter.name.id.to_string());
        walk_parameter(self, parameter);
    }

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if let Stmt::FunctionDef(function) = stmt {
            self.bound.insert(function.name.to_string());
        }
        walk_stmt(self, stmt);
    }

    fn visit_except_handler(&mut self, handler: &'a ruff_python_ast::ExceptHandler) {
        let ruff_python_ast::ExceptHandler::ExceptHandler(caught) = handler;
        self.bound.extend(caught.name.as_ref().map(ToString::to_string));
        walk_except_handler(self, handler);
    }
}

pub(super) struct Guard<'t> {
    pub(super) text: &'t str,
    pub(super) bound: &'t BTreeSet<String>,
    pub(super) deltas: bool,
    form: Form,
    /// Lengths of time may be divided by each other.
    spans: bool,
    names: BTreeSet<String>,
    edits: Vec<Edit>,
    failure: Option<Failure>,
}

impl Guard<'_> {
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    pub(super) fn edit(&mut self, start: usize, end: usize, with: &str) {
        self.edits.push(Edit {
            start,
            end,
            with: with.to_owned(),
        });
    }

    fn forbidden(&mut self, name: &str, range: TextRange) -> bool {
        if !name.contains("__") && !name.starts_with("_sn_") {
            return false;
        }
        let message = format!("the name `{name}` is not allowed here");
        self.refuse(Failure::new(FailureKind::Name, bytes(range), message));
        true
    }

    fn name(&mut self, name: &str, range: TextRange) {
        if self.forbidden(name, range) || self.bound.contains(name) {
            return;
        }
        self.names.insert(name.to_owned());
        let known = BUILTINS.contains(&name) || NAMES.contains(&name);
        // A domain's further names are known only when it is evaluated.
        let elsewhere = match self.form {
            Form::Domain => ruff_like_builtin(name),
            _ => !super::records::is_known(name),
        };
        if elsewhere && !known {
            let message = format!("`{name}` is not a name that is known here");
            self.refuse(Failure::new(FailureKind::Name, bytes(range), message));
        }
    }

    /// `datetime.date` and its like: the longest dotted name that becomes something else.
    fn path(&mut self, expr: &Expr) -> bool {
        let Some(path) = dotted(expr) else { return false };
        let root = path.split('.').next().unwrap_or_default();
        if self.bound.contains(root) {
            return false;
        }
        // The module's `datetime.datetime.combine` is the class's `datetime.combine`.
        let short = path
            .strip_prefix("datetime.")
            .filter(|rest| rest.starts_with("datetime."));
        let more = if self.form == Form::Domain {
            &[]
        } else {
            SNIPPET_PATHS
        };
        let mut known = PATHS.iter().chain(more);
        let Some((_, with)) = known.find(|(known, _)| *known == short.unwrap_or(&path)) else {
            return false;
        };
        self.names.insert(root.to_owned());
        let range = bytes(expr.range());
        self.edit(range.start, range.end, with);
        true
    }

    /// The sign of an operator in the text, and the function that does its work where the sandbox's own would not do: it
    /// knows no records and no `relativedelta`, and multiplies the largest numbers without looking at the clock.
    pub(super) fn operation(&self, op: Operator) -> Option<(&'static str, &'static str)> {
        let records = self.form != Form::Domain;
        Some(match op {
            Operator::Add if records => ("+", "_sn_plus("),
            Operator::Sub if records => ("-", "_sn_minus("),
            Operator::BitOr if records => ("|", "_sn_union("),
            Operator::BitAnd if records => ("&", "_sn_meet("),
            Operator::Add if self.deltas => ("+", "_sn_add("),
            Operator::Sub if self.deltas => ("-", "_sn_sub("),
            Operator::Mult => ("*", "_sn_multiply("),
            Operator::Pow => ("**", "_sn_power("),
            Operator::LShift => ("<<", "_sn_shifted("),
            Operator::Mod => ("%", "_sn_percent("),
            Operator::Div if self.spans => ("/", "_sn_divide("),
            Operator::FloorDiv if self.spans => ("//", "_sn_floor("),
            _ => return None,
        })
    }

    fn binary(&mut self, range: TextRange, left: &Expr, op: Operator, right: &Expr) -> bool {
        let Some((sign, name)) = self.operation(op) else {
            return false;
        };
        let gap = left.range().end().to_usize()..right.range().start().to_usize();
        let Some(at) = operator(self.text, gap, sign.as_bytes()[0]) else {
            return false;
        };
        let range = bytes(range);
        self.edit(range.start, range.start, name);
        self.visit_expr(left);
        self.edit(at, at + sign.len(), ",");
        self.visit_expr(right);
        self.edit(range.end, range.end, ")");
        true
    }

    fn no_generator(&mut self, items: &[Expr]) {
        let lazy = |expr: &&Expr| match expr {
            Expr::Call(call) => call.func.as_name_expr().is_some_and(|name| {
                LAZY.contains(&name.id.as_str()) && !self.bound.contains(name.id.as_str())
            }),
            other => other.is_generator_expr(),
        };
        if let Some(found) = items.iter().find(lazy) {
            let message = "a generator has no place in a domain";
            self.refuse(
                Failure::new(FailureKind::Value, bytes(found.range()), message).hint("write a list: `[…]`"),
            );
        }
    }

    /// `x.to_utc()`, which only the web client's dates have, and its like: `f(x)`.
    fn method_call(&mut self, expr: &Expr) -> bool {
        let Expr::Call(call) = expr else { return false };
        let Expr::Attribute(attribute) = &*call.func else {
            return false;
        };
        let known = METHODS.iter().find(|(name, ..)| *name == attribute.attr.as_str());
        let Some((name, function, takes)) = known else {
            return false;
        };
        // `strftime` is the sandbox's own unless microseconds or a zone are asked for, which it shows otherwise.
        let own = match *name {
            "strftime" => !["%f", "%Z", "%z"].iter().any(|sign| self.text.contains(sign)),
            "isoformat" => call.arguments.is_empty(),
            _ => false,
        };
        if own || call.arguments.is_empty() == *takes {
            return false;
        }
        let at = attribute.attr.range().start().to_usize();
        let Some(dot) = self.text[..at].rfind('.') else {
            return false;
        };
        let range = bytes(expr.range());
        self.edit(range.start, range.start, &format!("{function}("));
        self.visit_expr(&attribute.value);
        if call.arguments.is_empty() {
            self.edit(dot, range.end, ")");
            return true;
        }
        let open = call.arguments.range().start().to_usize();
        self.edit(dot, open + 1, ", ");
        for argument in &call.arguments.args {
            self.visit_expr(argument);
        }
        for keyword in &call.arguments.keywords {
            self.visit_expr(&keyword.value);
        }
        true
    }

    /// `timedelta(…)`, which takes no fractions in the sandbox.
    fn timedelta_call(&mut self, expr: &Expr) -> bool {
        let Expr::Call(call) = expr else { return false };
        let Some(path) = dotted(&call.func) else {
            return false;
        };
        let root = path.split('.').next().unwrap_or_default();
        if self.bound.contains(root) || !matches!(path.as_str(), "timedelta" | "datetime.timedelta") {
            return false;
        }
        self.names.insert(root.to_owned());
        let range = bytes(call.func.range());
        self.edit(range.start, range.end, "_sn_timedelta");
        for argument in &call.arguments.args {
            self.visit_expr(argument);
        }
        for keyword in &call.arguments.keywords {
            self.visit_expr(&keyword.value);
        }
        true
    }
}

impl<'a> Visitor<'a> for Guard<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if self.failure.is_some() || self.timedelta_call(expr) || self.path(expr) || self.method_call(expr) {
            return;
        }
        if self.form != Form::Domain && self.record_expression(expr) {
            return;
        }
        match expr {
            Expr::Name(name) => return self.name(name.id.as_str(), name.range),
            Expr::Attribute(attribute) => {
                self.forbidden(attribute.attr.as_str(), attribute.attr.range());
            }
            Expr::BinOp(op) if self.binary(op.range, &op.left, op.op, &op.right) => return,
            // The sandbox makes lists of them, Python does not.
            Expr::List(list) => self.no_generator(&list.elts),
            Expr::Tuple(tuple) => self.no_generator(&tuple.elts),
            Expr::UnaryOp(op) if self.deltas && op.op == UnaryOp::USub => {
                let range = bytes(op.range);
                self.edit(range.start, range.start + 1, "_sn_neg(");
                self.visit_expr(&op.operand);
                self.edit(range.end, range.end, ")");
                return;
            }
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) | Expr::IpyEscapeCommand(_) => {
                let message = "this is not allowed in an expression";
                self.refuse(Failure::new(FailureKind::Syntax, bytes(expr.range()), message));
            }
            _ => {}
        }
        walk_expr(self, expr);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.forbidden(parameter.name.as_str(), parameter.name.range());
        walk_parameter(self, parameter);
    }

    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if self.failure.is_none() && !self.statement(stmt) {
            walk_stmt(self, stmt);
        }
    }
}

/// `a.b.c` of names only; longer paths than we know of are none.
fn dotted(expr: &Expr) -> Option<String> {
    let (mut expr, mut steps) = (expr, Vec::new());
    while let Expr::Attribute(attribute) = expr {
        if steps.len() == 3 {
            return None;
        }
        steps.push(attribute.attr.as_str());
        expr = &attribute.value;
    }
    let Expr::Name(name) = expr else { return None };
    if !name.ctx.is_load() {
        return None;
    }
    steps.push(name.id.as_str());
    steps.reverse();
    Some(steps.join("."))
}

/// The operator's sign in the gap between its operands, in which only brackets, blanks and comments are.
pub(super) fn operator(text: &str, gap: std::ops::Range<usize>, sign: u8) -> Option<usize> {
    let mut comment = false;
    for (at, c) in text.bytes().enumerate().take(gap.end).skip(gap.start) {
        match c {
            b'\n' => comment = false,
            b'#' => comment = true,
            c if c == sign && !comment => return Some(at),
            _ => {}
        }
    }
    None
}

/// A builtin of Python: the sandbox may have it without asking us.
fn ruff_like_builtin(name: &str) -> bool {
    monty_types::MontyObject::builtin_function_from_name(name).is_some() || TYPES.contains(&name)
}

/// Types that the sandbox knows by name.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "bytearray",
    "classmethod",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "iter",
    "list",
    "memoryview",
    "object",
    "property",
    "range",
    "set",
    "slice",
    "staticmethod",
    "str",
    "super",
    "tuple",
    "type",
];

#[cfg(test)]
mod tests;
