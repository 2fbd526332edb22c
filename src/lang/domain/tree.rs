//! The tree that Odoo 18 makes of a domain before it writes SQL: paths are `any`, `!` stands only before conditions
//! that have no opposite, and neighbouring `any` on the same relation are one.
//!
//! The shape decides answers: whether a search is empty before it is made (`in` with nothing in it), and whether a
//! subdomain mentions `active`.

use super::ast::{Domain, Leaf};
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::parts;
use super::relation::{self, is_relation, not_a_relation};
use super::{MAX_LEAVES, MAX_STEPS};
use crate::host::catalog::{Field, FieldType, Model};

#[derive(Clone, Debug)]
pub(super) enum Tree<'m> {
    Const(bool),
    And(Vec<Tree<'m>>),
    Or(Vec<Tree<'m>>),
    /// SQL's NOT of a condition that has no opposite.
    Not(Leaf),
    Leaf(Leaf, Operator),
    Any(Any<'m>),
}

/// `any`, `not any`
#[derive(Clone, Debug)]
pub(super) struct Any<'m> {
    pub(super) field: &'m Field,
    pub(super) negative: bool,
    pub(super) inner: Box<Tree<'m>>,
    /// The condition that it was made of, or the first of them.
    pub(super) leaf: Leaf,
}

/// What `!` makes of a condition.
pub(super) enum Opposite {
    Operator(Operator),
    Const(bool),
    /// SQL's NOT.
    Not,
}

/// What `!` makes of a condition on a field of the model itself.
pub(super) fn opposite(leaf: &Leaf) -> Opposite {
    match (leaf.operator, leaf.operator.opposite()) {
        (Operator::EqOrUnset, _) if leaf.value.value.truthy() => Opposite::Operator(Operator::Ne),
        (Operator::EqOrUnset, _) => Opposite::Const(false),
        (_, Some(operator)) => Opposite::Operator(operator),
        (_, None) => Opposite::Not,
    }
}

/// Whether a condition says by its value alone that it is met by no record (`in` with nothing) or by all.
fn certain(operator: Operator, leaf: &Leaf) -> i8 {
    match operator {
        Operator::In if !leaf.value.value.truthy() => -1,
        Operator::NotIn if !leaf.value.value.truthy() => 1,
        _ => 0,
    }
}

/// Whether a domain is met by no record whatever the fields are: then nothing is searched, and nothing is wrong.
pub(super) fn is_never(domain: &Domain) -> bool {
    fn sign(domain: &Domain) -> i8 {
        match domain {
            Domain::True => 1,
            Domain::False => -1,
            Domain::And(parts) => parts.iter().map(sign).min().unwrap_or(1),
            Domain::Or(parts) => parts.iter().map(sign).max().unwrap_or(-1),
            Domain::Not(inner) => -sign(inner),
            Domain::Leaf(leaf) => certain(leaf.operator, leaf),
        }
    }
    let whole = |leaf: &&Leaf| {
        !matches!(leaf.operator, Operator::Any | Operator::NotAny) || Domain::build(&leaf.value).is_ok()
    };
    sign(domain) < 0 && domain.leaves().iter().all(whole)
}

impl<'m> Tree<'m> {
    fn sign(&self) -> i8 {
        match self {
            Self::Const(true) => 1,
            Self::Const(false) => -1,
            Self::And(parts) => parts.iter().map(Self::sign).min().unwrap_or(1),
            Self::Or(parts) => parts.iter().map(Self::sign).max().unwrap_or(-1),
            Self::Leaf(leaf, operator) => certain(*operator, leaf),
            Self::Not(_) | Self::Any(_) => 0,
        }
    }

    /// As [`is_never`].
    pub(super) fn is_never(&self) -> bool {
        self.sign() < 0
    }

    /// Whether it says anything about `active` of its own records, even nothing.
    pub(super) fn mentions_active(&self) -> bool {
        match self {
            Self::Const(_) | Self::Any(_) => false,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::mentions_active),
            Self::Not(leaf) | Self::Leaf(leaf, _) => leaf.field == "active",
        }
    }

    /// Joins, with constants folded, and merges what follows the same relation.
    fn join(and: bool, parts: Vec<Self>) -> Self {
        let parts = Self::flat(and, parts);
        let (mut own, mut found, mut missing): (Vec<Self>, Groups<'m>, Groups<'m>) = Default::default();
        for part in parts {
            match part {
                Self::Any(any) if any.negative => group(&mut missing, any),
                Self::Any(any) => group(&mut found, any),
                other => own.push(other),
            }
        }
        for (group, negative) in found
            .into_iter()
            .map(|g| (g, false))
            .chain(missing.into_iter().map(|g| (g, true)))
        {
            own.extend(merge(and, negative, group));
        }
        Self::single(and, Self::flat(and, own))
    }

    fn flat(and: bool, parts: Vec<Self>) -> Vec<Self> {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Const(value) if value == and => {}
                Self::Const(value) => return vec![Self::Const(value)],
                Self::And(inner) if and => flat.extend(inner),
                Self::Or(inner) if !and => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat
    }

    fn single(and: bool, mut parts: Vec<Self>) -> Self {
        match (parts.len(), and) {
            (0, _) => Self::Const(and),
            (1, _) => parts.remove(0),
            (_, true) => Self::And(parts),
            (_, false) => Self::Or(parts),
        }
    }
}

type Groups<'m> = Vec<Vec<Any<'m>>>;

fn group<'m>(groups: &mut Groups<'m>, any: Any<'m>) {
    match groups.iter_mut().find(|g| g[0].field.name == any.field.name) {
        Some(group) => group.push(any),
        None => groups.push(vec![any]),
    }
}

/// `any A or any B` is `any (A or B)`, `not any A and not any B` is `not any (A or B)`; on a many2one, which has one
/// row at its other end, the other two likewise.
fn merge(and: bool, negative: bool, group: Vec<Any<'_>>) -> Vec<Tree<'_>> {
    let one = group
        .first()
        .is_some_and(|any| any.field.ttype == FieldType::Many2one);
    if group.len() < 2 || (and != negative && !one) {
        return group.into_iter().map(Tree::Any).collect();
    }
    let (field, leaf) = (group[0].field, group[0].leaf.clone());
    let inner = Tree::join(and != negative, group.into_iter().map(|any| *any.inner).collect());
    let inner = Box::new(inner);
    vec![Tree::Any(Any {
        field,
        negative,
        inner,
        leaf,
    })]
}

impl<'m> Compiler<'m> {
    /// The tree of a domain on a model; every name is looked up.
    pub(super) fn tree(
        &mut self,
        domain: &Domain,
        negate: bool,
        model: &'m Model,
    ) -> Result<Tree<'m>, DomainError> {
        let (parts, and) = match domain {
            Domain::True => return Ok(Tree::Const(!negate)),
            Domain::False => return Ok(Tree::Const(negate)),
            Domain::Not(inner) => return self.tree(inner, !negate, model),
            Domain::Leaf(leaf) => return self.leaf(leaf, negate, model),
            Domain::And(parts) => (parts, !negate),
            Domain::Or(parts) => (parts, negate),
        };
        let parts = parts.iter().map(|part| self.tree(part, negate, model));
        Ok(Tree::join(and, parts.collect::<Result<_, _>>()?))
    }

    fn leaf(&mut self, leaf: &Leaf, negate: bool, model: &'m Model) -> Result<Tree<'m>, DomainError> {
        self.leaves += 1;
        if self.leaves > 4 * MAX_LEAVES {
            let message = format!("more than {} conditions in all", 4 * MAX_LEAVES);
            return Err(DomainError::new(ErrorKind::Limit, leaf.span, message));
        }
        if leaf.field.matches('.').count() > MAX_STEPS {
            let message = format!("the condition follows more than {MAX_STEPS} relations");
            return Err(DomainError::new(ErrorKind::Limit, leaf.span, message));
        }
        if let Some((first, rest)) = leaf.field.split_once('.') {
            if !parts::is_part(leaf, model) {
                relation::check_path(leaf, model, self.aliases)?;
                let field = self.resolve(model, first, leaf)?;
                let comodel = self.comodel(model, field, leaf)?;
                let inner = Leaf {
                    field: rest.to_owned(),
                    ..leaf.clone()
                };
                let inner = Box::new(self.leaf(&inner, false, comodel)?);
                let (negative, leaf) = (negate, leaf.clone());
                return Ok(Tree::Any(Any {
                    field,
                    negative,
                    inner,
                    leaf,
                }));
            }
        } else {
            let known = self.notes.len();
            let field = self.resolve(model, &leaf.field, leaf)?;
            self.notes.truncate(known);
            if matches!(leaf.operator, Operator::Any | Operator::NotAny) {
                if !is_relation(field) {
                    return Err(not_a_relation(field, leaf, leaf.operator));
                }
                let comodel = self.comodel(model, field, leaf)?;
                let domain = Domain::build(&leaf.value)?;
                let inner = Box::new(self.tree(&domain, false, comodel)?);
                let (negative, leaf) = ((leaf.operator == Operator::NotAny) != negate, leaf.clone());
                return Ok(Tree::Any(Any {
                    field,
                    negative,
                    inner,
                    leaf,
                }));
            }
        }
        Ok(match negate.then(|| opposite(leaf)) {
            None => Tree::Leaf(leaf.clone(), leaf.operator),
            Some(Opposite::Operator(operator)) => Tree::Leaf(leaf.clone(), operator),
            Some(Opposite::Const(value)) => Tree::Const(value),
            Some(Opposite::Not) => Tree::Not(leaf.clone()),
        })
    }
}
