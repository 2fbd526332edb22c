//! How Odoo 18 finds the records of a model by name.

use super::ast::Leaf;
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::reach::Filter;
use super::relation::is_negative;
use super::scope::{Condition, Scope, combine};
use super::sql::Sql;
use super::value::{Node, Value};
use crate::host::catalog::{Field, Model};

/// Models that are found by other fields than their name.
const FIELDS: &[(&str, &[&str])] = &[
    ("sicantik.permit", &["registration_id"]),
    ("sicantik.document", &["document_number"]),
    ("signature.workflow", &["document_id"]),
    ("phone.blacklist", &["number"]),
    ("mail.message", &["record_name"]),
    ("mail.followers", &["partner_id"]),
    ("ir.config_parameter", &["key"]),
    (
        "res.partner",
        &["complete_name", "email", "ref", "vat", "company_registry"],
    ),
    ("res.users", &["name"]),
    ("res.currency", &["name", "full_name"]),
    ("ir.model", &["name", "model"]),
    ("ir.model.fields", &["field_description"]),
    ("ir.cron", &["cron_name"]),
    ("ir.module.module", &["shortdesc"]),
];

/// Fields without a column that Odoo searches in a way of their own, which the catalogue does not tell.
const SEARCHED: &[&str] = &[
    "activity_date_deadline",
    "activity_exception_decoration",
    "activity_state",
    "activity_summary",
    "activity_type_id",
    "activity_user_id",
    "channel_ids",
    "has_error",
    "has_message",
    "is_blacklisted",
    "message_has_error",
    "message_has_sms_error",
    "message_is_follower",
    "message_needaction",
    "message_partner_ids",
    "mobile_blacklisted",
    "my_activity_date_deadline",
    "needaction",
    "phone_blacklisted",
    "phone_mobile_search",
    "phone_sanitized_blacklisted",
    "starred",
];

/// Whether a field without a column can be searched all the same.
pub(super) fn has_own_search(field: &Field) -> bool {
    SEARCHED.contains(&field.name.as_str())
}

fn is_pattern(operator: Operator) -> bool {
    use Operator::{Ilike, Like, NotIlike, NotLike};
    matches!(operator, Like | NotLike | Ilike | NotIlike)
}

impl<'m> Compiler<'m> {
    /// A field that stands for the record's name without being a column.
    pub(super) fn is_name_field(&self, model: &Model, field: &Field) -> bool {
        field.name == "display_name" || (model.name == "res.groups" && field.name == "full_name")
    }

    /// The rows whose name meets the value.
    pub(super) fn name_condition(
        &mut self,
        scope: &Scope<'m>,
        operator: Operator,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let found_below = scope.model.name == "res.partner.category";
        if is_pattern(operator) && !leaf.value.value.truthy() && leaf.field != "full_name" && !found_below {
            return Ok(Condition::Const(!is_negative(operator)));
        }
        match scope.model.name.as_str() {
            "res.groups" => self.group_name(scope, operator, leaf),
            "res.partner.category" => self.category_name(scope, operator, leaf),
            "res.users" => self.user_name(scope, operator, leaf),
            _ => match fields(scope.model, leaf) {
                Ok(fields) => self.by_fields(scope, &fields, operator, leaf),
                Err(_) if self.base.host_like => Ok(Condition::Const(true)),
                Err(error) => Err(error),
            },
        }
    }

    fn by_fields(
        &mut self,
        scope: &Scope<'m>,
        fields: &[&str],
        operator: Operator,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let mut parts = Vec::new();
        for field in fields {
            let test = Leaf {
                field: (*field).to_owned(),
                ..leaf.clone()
            };
            parts.push(self.plain(scope, &test, operator)?);
        }
        Ok(combine(parts, is_negative(operator)))
    }

    /// Whoever has the value as a login is meant, and nobody else; where there is none, the name counts.
    fn user_name(
        &mut self,
        scope: &Scope<'m>,
        operator: Operator,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let named = self.by_fields(scope, &["name"], operator, leaf)?;
        let exact = matches!(operator, Operator::Eq | Operator::Ilike) && leaf.value.value.truthy();
        if !exact || scope.model.column("login").is_none() {
            return Ok(named);
        }
        let login = Leaf {
            field: "login".to_owned(),
            ..leaf.clone()
        };
        let filter = Filter {
            here: scope.active,
            below: scope.active,
        };
        let found = self.subselect(scope.model, filter, "id", leaf, &mut |c, s| {
            c.plain(s, &login, Operator::Eq)
        })?;
        let nobody = Condition::Sql(found.clone().wrapped("NOT EXISTS (", ")"));
        let them = self.owner(scope, false, found);
        let otherwise = combine(vec![nobody, named], true);
        Ok(combine(vec![them, otherwise], false))
    }

    /// Categories are found with everything below them.
    fn category_name(
        &mut self,
        scope: &Scope<'m>,
        operator: Operator,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        use Operator::{EqIlike, EqLike};
        let pattern = is_pattern(operator) || matches!(operator, EqLike | EqIlike);
        if !pattern || scope.model.column("parent_path").is_none() {
            return self.by_fields(scope, &["name"], operator, leaf);
        }
        let negative = is_negative(operator);
        let search = operator.opposite().filter(|_| negative).unwrap_or(operator);
        let filter = Filter {
            here: scope.active,
            below: scope.active,
        };
        let roots = self.subselect(scope.model, filter, "id", leaf, &mut |c, s| {
            c.by_fields(s, &["name"], search, leaf)
        })?;
        let below = self.below(scope, None, Sql::text(" IN (").add(roots).then(")"), false, leaf)?;
        Ok(if negative { below.negated() } else { below })
    }

    /// `Category / Group`, or a part of either.
    fn group_name(
        &mut self,
        scope: &Scope<'m>,
        operator: Operator,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let category = ["category_id", "privilege_id"]
            .into_iter()
            .find(|name| scope.model.column(name).is_some());
        let one = [leaf.value.clone()];
        let names: Vec<&Node> = leaf.value.value.items().unwrap_or(&one).iter().collect();
        let Some(category) = category else {
            return self.by_fields(scope, &["name"], operator, leaf);
        };
        if matches!(leaf.value.value, Value::Bool(_)) {
            return self.by_fields(scope, &["name"], operator, leaf);
        }
        let group = |node: &Node| matches!(&node.value, Value::Str(name) if name.chars().any(|c| c != '/'));
        if let Some(wrong) = names.iter().find(|node| !group(node)) {
            let message = format!("{} where the name of a group belongs", wrong.value.repr());
            return Err(DomainError::new(ErrorKind::Type, wrong.span, message));
        }
        let negative = is_negative(operator);
        let mut parts = Vec::new();
        for node in names {
            parts.push(self.one_group(scope, category, operator, leaf, node)?);
        }
        Ok(combine(parts, negative))
    }

    fn one_group(
        &mut self,
        scope: &Scope<'m>,
        category: &str,
        operator: Operator,
        leaf: &Leaf,
        node: &Node,
    ) -> Result<Condition, DomainError> {
        let text = node.value.to_python_str();
        let mut words: Vec<&str> = text.split('/').filter(|word| !word.is_empty()).collect();
        let group = words.pop().unwrap_or_default().trim().to_owned();
        let whole = !words.is_empty();
        let above = if whole {
            words.join("/").trim().to_owned()
        } else {
            group.clone()
        };
        let list = leaf.value.value.items().is_some();
        let value = |name: String| {
            let name = Node {
                value: Value::Str(name),
                span: node.span,
            };
            let value = if list {
                Value::List(vec![name.clone()])
            } else {
                name.value.clone()
            };
            Node { value, ..name }
        };
        let test = |name: &str, text: String| Leaf {
            field: name.to_owned(),
            value: value(text),
            ..leaf.clone()
        };
        let named = self.plain(scope, &test("name", group), operator)?;
        let field = self.resolve(scope.model, category, leaf)?;
        let place = test("name", above);
        let follow = self.follow(field, leaf, false, true);
        let mut of_category = self.any(scope, follow, &mut |c, s, _| c.plain(s, &place, operator))?;
        let negative = is_negative(operator);
        if negative && !whole {
            let none = self.read(scope, category).then(" IS NULL");
            of_category = combine(vec![of_category, Condition::Sql(none)], false);
        }
        Ok(combine(vec![named, of_category], negative != whole))
    }
}

/// The fields that name the records of a model.
fn fields<'f>(model: &'f Model, leaf: &Leaf) -> Result<Vec<&'f str>, DomainError> {
    if let Some((_, names)) = FIELDS.iter().find(|(name, _)| *name == model.name) {
        let known: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| model.fields.contains_key(*n))
            .collect();
        if !known.is_empty() {
            return Ok(known);
        }
    }
    for name in ["name", "x_name"] {
        if let Some(field) = model.fields.get(name) {
            return Ok(vec![&field.name]);
        }
    }
    let message = format!("the records of {} have no name to search", model.name);
    Err(DomainError::new(ErrorKind::Field, leaf.span, message).hint(
        "compare one of their fields by a path, as in `('permit_id.permit_number', '=', '…')`, or an id",
    ))
}
