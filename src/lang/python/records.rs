//! What snippets need that the sandbox cannot do by itself: a record of the host has no truth value, no length, no items
//! and no operators there, so these become calls of the prelude `records.py`. Statements are checked here too.
//!
//! ```text
//! if record.partner_id and len(records) > 1     ⇒  if _sn_v(_sn_v(record.partner_id) and _sn_len(records) > 1)
//! for line in record.line_ids[:3]               ⇒  for line in _sn_iter(_sn_cut(record.line_ids,None,3,None))
//! records.filtered(lambda r: r.state == 'done') ⇒  _sn_filtered(records, lambda r: r.state == 'done')
//! ```

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{
    CmpOp, Comprehension, Expr, ExprCall, ExprSlice, ExprSubscript, Stmt, StmtAugAssign, UnaryOp,
};
use ruff_text_size::Ranged;

use super::guard::{Guard, bytes, operator};
use super::{Failure, FailureKind};

/// The names that a snippet sees beside Python's own, in the order in which their values are passed.
pub const INPUTS: &[&str] = &[
    "record",
    "records",
    "recipient",
    "env",
    "kwargs",
    "uid",
    "user",
    "company_id",
    "context",
];
/// What a snippet may raise and catch.
const EXCEPTIONS: &[&str] = &[
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "Exception",
    "IndexError",
    "KeyError",
    "LookupError",
    "NameError",
    "OverflowError",
    "RuntimeError",
    "StopIteration",
    "TypeError",
    "ValueError",
    "ZeroDivisionError",
];
/// Builtins that have a twin which knows records.
const TWINS: &[&str] = &[
    "all", "any", "bool", "filter", "len", "map", "max", "min", "sorted", "str",
];
/// Builtins that only walk over what they are given.
const WALKERS: &[&str] = &["enumerate", "list", "reversed", "set", "sum", "tuple", "zip"];
/// Methods of records that take a function, which must be called from within the sandbox.
const METHODS: &[(&str, &str)] = &[
    ("filtered", "_sn_filtered"),
    ("mapped", "_sn_mapped"),
    ("sorted", "_sn_arranged"),
];

/// Whether a snippet knows the name without making it.
pub(super) fn is_known(name: &str) -> bool {
    INPUTS.contains(&name) || EXCEPTIONS.contains(&name) || name == "relativedelta"
}

impl Guard<'_> {
    /// Checks a statement, and visits it as far as it needs more than its parts. False: visit its parts.
    pub(super) fn statement(&mut self, stmt: &Stmt) -> bool {
        match stmt {
            Stmt::Expr(_)
            | Stmt::Assign(_)
            | Stmt::AnnAssign(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::Return(_)
            | Stmt::Raise(_)
            | Stmt::Delete(_)
            | Stmt::Try(_) => false,
            Stmt::AugAssign(change) => self.changed(change),
            Stmt::If(branch) => {
                self.truth(&branch.test);
                self.visit_body(&branch.body);
                for clause in &branch.elif_else_clauses {
                    if let Some(test) = &clause.test {
                        self.truth(test);
                    }
                    self.visit_body(&clause.body);
                }
                true
            }
            Stmt::While(each) => {
                self.truth(&each.test);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
                true
            }
            Stmt::For(each) if !each.is_async => {
                self.visit_expr(&each.target);
                self.walked(&each.iter);
                self.visit_body(&each.body);
                self.visit_body(&each.orelse);
                true
            }
            Stmt::Assert(assertion) => {
                self.truth(&assertion.test);
                if let Some(message) = &assertion.msg {
                    self.visit_expr(message);
                }
                true
            }
            Stmt::FunctionDef(function) if !function.is_async && function.decorator_list.is_empty() => {
                let name = function.name.as_str();
                if name.contains("__") || name.starts_with("_sn_") {
                    let message = format!("the name `{name}` is not allowed here");
                    self.refuse(Failure::new(
                        FailureKind::Name,
                        bytes(function.name.range()),
                        message,
                    ));
                }
                false
            }
            Stmt::Import(_) | Stmt::ImportFrom(_) => {
                let message = "nothing can be imported here";
                self.refuse(
                    Failure::new(FailureKind::Syntax, bytes(stmt.range()), message).hint(
                        "datetime, date, time, timedelta, relativedelta and fields are there without it",
                    ),
                );
                true
            }
            _ => {
                let message = "this kind of statement is not allowed here";
                self.refuse(Failure::new(FailureKind::Syntax, bytes(stmt.range()), message));
                true
            }
        }
    }

    /// Visits an expression that must treat records as Odoo does. False: there is nothing special about it.
    pub(super) fn record_expression(&mut self, expr: &Expr) -> bool {
        match expr {
            Expr::BoolOp(op) => {
                let (last, others) = match op.values.split_last() {
                    Some(split) => split,
                    None => return false,
                };
                others.iter().for_each(|value| self.truth(value));
                self.visit_expr(last);
            }
            Expr::UnaryOp(op) if op.op == UnaryOp::Not => self.truth(&op.operand),
            Expr::If(choice) => {
                self.visit_expr(&choice.body);
                self.truth(&choice.test);
                self.visit_expr(&choice.orelse);
            }
            Expr::ListComp(of) => self.comprehension(&[&of.elt], &of.generators),
            Expr::SetComp(of) => self.comprehension(&[&of.elt], &of.generators),
            Expr::Generator(of) => self.comprehension(&[&of.elt], &of.generators),
            Expr::DictComp(of) => {
                let parts: Vec<&Expr> = of.key.iter().map(|key| &**key).chain([&*of.value]).collect();
                self.comprehension(&parts, &of.generators);
            }
            Expr::Compare(compare) => {
                self.visit_expr(&compare.left);
                for (op, right) in compare.ops.iter().zip(&compare.comparators) {
                    match op {
                        CmpOp::In | CmpOp::NotIn => self.walked(right),
                        _ => self.visit_expr(right),
                    }
                }
            }
            Expr::Subscript(of) if of.ctx.is_load() => self.subscript(of),
            Expr::Attribute(of) if !of.ctx.is_load() => {
                let message = "records and values are read-only here";
                self.refuse(
                    Failure::new(FailureKind::Name, bytes(of.range), message)
                        .hint("set keys of `context`: `context['name'] = …`"),
                );
            }
            Expr::Call(call) => return self.call(call),
            _ => return false,
        }
        true
    }

    /// `x += y` as `x = x + y`, where the sum is not the sandbox's own.
    fn changed(&mut self, change: &StmtAugAssign) -> bool {
        let Some((sign, name)) = self.operation(change.op) else {
            return false;
        };
        let target = bytes(change.target.range());
        let gap = target.end..change.value.range().start().to_usize();
        let Some(at) = operator(self.text, gap, sign.as_bytes()[0]) else {
            return false;
        };
        self.visit_expr(&change.target);
        let text = self.text.get(target).unwrap_or_default();
        self.edit(at, at + sign.len() + 1, &format!("= {name}{text}, ("));
        self.visit_expr(&change.value);
        let end = bytes(change.value.range()).end;
        self.edit(end, end, "))");
        true
    }

    /// An expression of which only the truth counts.
    fn truth(&mut self, expr: &Expr) {
        let plain = matches!(
            expr,
            Expr::Compare(_) | Expr::BooleanLiteral(_) | Expr::NumberLiteral(_) | Expr::StringLiteral(_)
        );
        match plain {
            true => self.visit_expr(expr),
            false => self.wrapped("_sn_v(", expr),
        }
    }

    /// An expression over whose items something walks.
    fn walked(&mut self, expr: &Expr) {
        let plain = matches!(
            expr,
            Expr::List(_)
                | Expr::Tuple(_)
                | Expr::Set(_)
                | Expr::Dict(_)
                | Expr::ListComp(_)
                | Expr::Starred(_)
                | Expr::StringLiteral(_)
        );
        match plain {
            true => self.visit_expr(expr),
            false => self.wrapped("_sn_iter(", expr),
        }
    }

    fn wrapped(&mut self, call: &str, expr: &Expr) {
        let range = bytes(expr.range());
        self.edit(range.start, range.start, call);
        self.visit_expr(expr);
        self.edit(range.end, range.end, ")");
    }

    fn comprehension(&mut self, parts: &[&Expr], generators: &[Comprehension]) {
        for part in parts {
            self.visit_expr(part);
        }
        for generator in generators {
            self.visit_expr(&generator.target);
            self.walked(&generator.iter);
            generator.ifs.iter().for_each(|test| self.truth(test));
        }
    }

    fn subscript(&mut self, of: &ExprSubscript) {
        let range = bytes(of.range);
        let gap = of.value.range().end().to_usize()..of.slice.range().start().to_usize() + 1;
        let Some(bracket) = operator(self.text, gap, b'[') else {
            return self.visit_expr(&of.value);
        };
        let (name, open, close) = match &*of.slice {
            Expr::Slice(_) => ("_sn_cut(", ",", ")"),
            Expr::Tuple(_) => ("_sn_item(", ",(", "))"),
            _ => ("_sn_item(", ",", ")"),
        };
        self.edit(range.start, range.start, name);
        self.visit_expr(&of.value);
        self.edit(bracket, bracket + 1, open);
        match &*of.slice {
            Expr::Slice(slice) => self.slice(slice, bracket + 1, range.end - 1),
            index => self.visit_expr(index),
        }
        self.edit(range.end - 1, range.end, close);
    }

    /// `lower:upper:step` as three arguments; what is absent is None.
    fn slice(&mut self, slice: &ExprSlice, start: usize, end: usize) {
        let mut at = start;
        let parts = [&slice.lower, &slice.upper, &slice.step];
        for (n, part) in parts.into_iter().enumerate() {
            if n > 0 {
                let next = parts[n..].iter().find_map(|p| p.as_ref());
                let until = next.map_or(end, |p| p.range().start().to_usize());
                match operator(self.text, at..until, b':') {
                    Some(colon) => {
                        self.edit(colon, colon + 1, ",");
                        at = colon + 1;
                    }
                    None => self.edit(at, at, ","),
                }
            }
            match part {
                Some(part) => {
                    self.visit_expr(part);
                    at = part.range().end().to_usize();
                }
                None => self.edit(at, at, "None"),
            }
        }
    }

    fn call(&mut self, call: &ExprCall) -> bool {
        match &*call.func {
            Expr::Name(name) if !self.bound.contains(name.id.as_str()) => {
                let range = bytes(name.range);
                if TWINS.contains(&name.id.as_str()) {
                    self.edit(range.start, range.start, "_sn_");
                    self.arguments(call, false);
                    return true;
                }
                let walks = WALKERS.contains(&name.id.as_str());
                if walks {
                    self.arguments(call, true);
                }
                walks
            }
            Expr::Attribute(method) => {
                let Some((_, twin)) = METHODS.iter().find(|(known, _)| *known == method.attr.as_str()) else {
                    self.visit_expr(&call.func);
                    self.crossing(call);
                    return true;
                };
                let value_end = method.value.range().end().to_usize();
                let name = bytes(method.attr.range());
                let first = call.arguments.args.first().map(Ranged::range);
                let first = first.or_else(|| call.arguments.keywords.first().map(Ranged::range));
                let until = first.map_or(bytes(call.range()).end, |first| first.start().to_usize());
                let dot = operator(self.text, value_end..name.start, b'.');
                let paren = operator(self.text, name.end..until, b'(');
                let (Some(dot), Some(paren)) = (dot, paren) else {
                    return false;
                };
                let start = bytes(call.range()).start;
                self.edit(start, start, twin);
                self.edit(start, start, "(");
                self.visit_expr(&method.value);
                self.edit(dot, paren + 1, if first.is_some() { "," } else { "" });
                self.arguments(call, false);
                true
            }
            _ => false,
        }
    }

    /// Arguments that may leave the sandbox are measured first: a list that holds another one a hundred times over is small
    /// inside, and endless when it is written out.
    fn crossing(&mut self, call: &ExprCall) {
        let keywords = call.arguments.keywords.iter().map(|k| &k.value);
        for argument in call.arguments.args.iter().chain(keywords) {
            match argument {
                Expr::Starred(all) => self.wrapped("_sn_bounded(", &all.value),
                Expr::StringLiteral(_) | Expr::NumberLiteral(_) | Expr::BooleanLiteral(_) => {
                    self.visit_expr(argument)
                }
                other => self.wrapped("_sn_bounded(", other),
            }
        }
    }

    fn arguments(&mut self, call: &ExprCall, walked: bool) {
        for argument in &call.arguments.args {
            match walked {
                true => self.walked(argument),
                false => self.visit_expr(argument),
            }
        }
        for keyword in &call.arguments.keywords {
            self.visit_expr(&keyword.value);
        }
    }
}
