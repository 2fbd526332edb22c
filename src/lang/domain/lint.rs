//! What a domain says that its author hardly means, although Odoo accepts it: conditions that are always or never met, rows
//! that drop out without a word, values that age. Pure, over the tree and the catalogue; what Odoo or this compiler
//! refuses is not repeated here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alias::Aliases;
use super::ast::{Domain, Leaf};
use super::error::{Span, pointed};
use super::expression::Source;
use super::operator::Operator;
use super::value::{Node, Value};
use crate::host::catalog::{Catalog, Field, FieldType, Model};

/// What is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintKind {
    /// Met by every record.
    AlwaysMet,
    /// Met by no record.
    NeverMet,
    /// `['|', A, B, C]` is `(A or B) and C`.
    ImpliedAnd,
    /// A negative condition behind a relation: records without the relation drop out.
    PathExcludesUnset,
    /// A negative condition on lines: some line, not no line.
    SomeLine,
    /// Two conditions on lines, which different lines may meet.
    DifferentLines,
    /// `'!'` before an operator without an opposite: records without a value drop out.
    NegationLosesUnset,
    /// A stored column that the host does not keep up to date.
    StaleField,
    /// A fixed date in something that recurs.
    FixedDate,
    /// A day compared with a moment.
    MidnightOnly,
    /// `%` and `_` in a text to look for are wildcards.
    Wildcard,
    /// A value that means something else in Odoo than it seems to.
    OddValue,
}

impl LintKind {
    /// One word for scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysMet => "always_met",
            Self::NeverMet => "never_met",
            Self::ImpliedAnd => "implied_and",
            Self::PathExcludesUnset => "path_excludes_unset",
            Self::SomeLine => "some_line",
            Self::DifferentLines => "different_lines",
            Self::NegationLosesUnset => "negation_loses_unset",
            Self::StaleField => "stale_field",
            Self::FixedDate => "fixed_date",
            Self::MidnightOnly => "midnight_only",
            Self::Wildcard => "wildcard",
            Self::OddValue => "odd_value",
        }
    }

    /// Whether the condition most likely tells nobody, or everybody: worth an entry in the list of problems.
    pub fn is_serious(self) -> bool {
        matches!(
            self,
            Self::AlwaysMet | Self::NeverMet | Self::ImpliedAnd | Self::StaleField | Self::FixedDate
        )
    }
}

/// One doubt.
#[derive(Clone, Debug, PartialEq)]
pub struct Lint {
    /// What about.
    pub kind: LintKind,
    /// One clause.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// The bytes of the source; the whole text where the value was computed.
    pub span: Span,
}

impl Lint {
    /// The doubt with the line of the source and carets under the place.
    pub fn diagnostic(&self, source: &str) -> String {
        pointed(&self.message, Some(&self.hint), self.span, source)
    }
}

/// Columns that the host computes when something else is written, and which are wrong from the next midnight on.
const STALE: &[(&str, &str)] = &[
    ("sicantik.permit", "days_until_expiry"),
    ("sicantik.permit", "expiry_status"),
];

/// The doubts about a domain that compiles. `recurring`: it is asked again and again, by a schedule.
pub fn lint(
    domain: &Domain,
    source: &Source,
    recurring: bool,
    catalog: &Catalog,
    model: &Model,
    aliases: &Aliases,
) -> Vec<Lint> {
    let mut linter = Linter {
        catalog,
        aliases,
        fixed: recurring && source.is_constant(),
        found: Vec::new(),
    };
    linter.shape(domain, source.text());
    linter.walk(domain, false, model);
    linter.found.dedup();
    linter.found
}

struct Linter<'a> {
    catalog: &'a Catalog,
    aliases: &'a Aliases,
    /// Dates in it are fixed although it recurs.
    fixed: bool,
    found: Vec<Lint>,
}

/// Where a name or path leads.
struct Way<'a> {
    /// Relations on the way.
    steps: Vec<&'a Field>,
    /// The field at its end, and its model's name.
    end: &'a Field,
    model: &'a str,
}

impl<'a> Linter<'a> {
    fn say(&mut self, kind: LintKind, span: Span, message: String, hint: impl Into<String>) {
        self.found.push(Lint {
            kind,
            message,
            hint: hint.into(),
            span,
        });
    }

    /// The domain as a whole.
    fn shape(&mut self, domain: &Domain, text: &str) {
        let whole = Span {
            start: 0,
            end: text.len(),
        };
        match domain {
            Domain::False => {
                let message = "this domain is met by no record".to_owned();
                self.say(LintKind::NeverMet, whole, message, "remove the false condition");
            }
            Domain::And(parts) if parts.len() > 1 && !text.contains("'&'") && !text.contains("\"&\"") => {
                if let Some(Domain::Or(alternatives)) = parts.first() {
                    let or = alternatives.len();
                    let message = format!(
                        "only the first {or} conditions are alternatives; all that follow must be met as well"
                    );
                    let hint = format!(
                        "each `'|'` joins two: for any of all {} write {} `'|'` before them; if it is meant so, write `'&'` first",
                        or + parts.len() - 1,
                        or + parts.len() - 2
                    );
                    let span = place(&parts[1]).unwrap_or(whole);
                    self.say(LintKind::ImpliedAnd, span, message, hint);
                }
            }
            _ => {}
        }
    }

    fn walk(&mut self, domain: &Domain, negated: bool, model: &'a Model) {
        match domain {
            Domain::True | Domain::False => {}
            Domain::Not(inner) => self.walk(inner, !negated, model),
            Domain::Leaf(leaf) => self.leaf(leaf, negated, model),
            Domain::And(parts) | Domain::Or(parts) => {
                let all = matches!(domain, Domain::And(_)) != negated;
                self.together(parts, negated, all, model);
                for part in parts {
                    self.walk(part, negated, model);
                }
            }
        }
    }

    /// Conditions side by side: `all` of them must be met, or any.
    fn together(&mut self, parts: &[Domain], negated: bool, all: bool, model: &'a Model) {
        let mut lines: BTreeMap<String, &Leaf> = BTreeMap::new();
        let mut values: BTreeMap<(String, bool), (&Leaf, &Value)> = BTreeMap::new();
        for part in parts {
            let Domain::Leaf(leaf) = part else { continue };
            let Some(way) = self.way(model, &leaf.field) else {
                continue;
            };
            if let Some(first) = way.steps.first().filter(|f| is_lines(f)) {
                let name = first.name.clone();
                if all && !negated && lines.insert(name.clone(), leaf).is_some() {
                    let message = format!("different records of `{name}` may meet these conditions");
                    let hint = format!("to ask one and the same for all: `('{name}', 'any', [(…), (…)])`");
                    self.say(LintKind::DifferentLines, leaf.span, message, hint);
                }
                continue;
            }
            if is_lines(way.end) {
                continue;
            }
            let equal = match leaf.operator {
                Operator::Eq => !negated,
                Operator::Ne => negated,
                _ => continue,
            };
            if leaf.value.value.items().is_some() {
                continue;
            }
            let key = (leaf.field.clone(), equal);
            match values.get(&key) {
                Some((_, known)) if **known == leaf.value.value => {}
                Some(_) if all == equal => {
                    let (kind, message, hint) = if all {
                        let hint = format!("for either of them: `('{}', 'in', [… , …])`", leaf.field);
                        (LintKind::NeverMet, "cannot have two values at once", hint)
                    } else {
                        let hint = format!("for neither of them: `('{}', 'not in', [… , …])`", leaf.field);
                        (LintKind::AlwaysMet, "always differs from one of two values", hint)
                    };
                    self.say(kind, leaf.span, format!("`{}` {message}", leaf.field), hint);
                }
                _ => {
                    values.insert(key, (leaf, &leaf.value.value));
                }
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf, negated: bool, model: &'a Model) {
        let Some(way) = self.way(model, &leaf.field) else {
            return;
        };
        let name = &leaf.field;
        if STALE.contains(&(way.model, way.end.name.as_str())) {
            let message = format!(
                "`{name}` is only computed when the date is written and is wrong from the next midnight on"
            );
            let hint = "compare `expiry_date` with a date: \
                        `('expiry_date', '<=', (context_today() + timedelta(days=30)).strftime('%Y-%m-%d'))`";
            self.say(LintKind::StaleField, leaf.field_span, message, hint);
        }
        self.unset_rows(leaf, negated, &way);
        if let Some(domain) = subdomain(leaf) {
            if let Some(inner) = way.end.relation.as_deref().and_then(|m| self.catalog.model(m)) {
                self.walk(&domain, negated != (leaf.operator == Operator::NotAny), inner);
            }
            return;
        }
        self.constants(leaf, negated, way.end);
        self.values(leaf, way.end);
    }

    /// Records without a value, which a negative condition includes or not.
    fn unset_rows(&mut self, leaf: &Leaf, negated: bool, way: &Way<'_>) {
        let name = &leaf.field;
        let negative = matches!(
            leaf.operator,
            Operator::Ne | Operator::NotIn | Operator::NotLike | Operator::NotIlike
        );
        let unset = leaf.value.value.is_unset();
        if let Some(first) = way.steps.first()
            && negative
            && !negated
            && !unset
        {
            let positive = leaf.operator.opposite().map_or("=", Operator::as_str);
            let shown = shorten(&leaf.value.value.repr());
            if is_lines(first) {
                let message = format!(
                    "this asks for some record of `{}` that is not so, not for none that is",
                    first.name
                );
                let hint = format!("for none: `'!', ('{name}', '{positive}', {shown})`");
                self.say(LintKind::SomeLine, leaf.span, message, hint);
            } else {
                let message = format!("records without `{}` do not meet this condition", first.name);
                let hint = format!("to include them: `'!', ('{name}', '{positive}', {shown})`");
                self.say(LintKind::PathExcludesUnset, leaf.span, message, hint);
            }
        }
        let loses = matches!(
            leaf.operator,
            Operator::EqLike | Operator::EqIlike | Operator::ChildOf | Operator::ParentOf
        );
        if negated && loses && way.steps.is_empty() && way.end.name != "id" && !is_lines(way.end) {
            let message = format!("records without `{name}` do not meet this negation");
            let hint = format!("to include them: `'|', ('{name}', '=', False), '!', (…)`");
            self.say(LintKind::NegationLosesUnset, leaf.span, message, hint);
        }
    }

    /// Conditions that are none.
    fn constants(&mut self, leaf: &Leaf, negated: bool, field: &Field) {
        use Operator as Op;
        let (name, value) = (&leaf.field, &leaf.value.value);
        let list = value.items();
        let order = matches!(leaf.operator, Op::Lt | Op::Le | Op::Gt | Op::Ge);
        let (met, message, hint): (bool, String, String) = match leaf.operator {
            Op::EqOrUnset if value.is_unset() => (
                true,
                format!("`=?` without a value is no condition on `{name}` at all"),
                format!("for records without a value: `('{name}', '=', False)`"),
            ),
            Op::In if list.is_some_and(<[Node]>::is_empty) => (
                false,
                format!("`{name}` is in no empty list"),
                "put the values into the list".into(),
            ),
            Op::NotIn if list.is_some_and(<[Node]>::is_empty) => (
                true,
                "everything is outside an empty list".into(),
                "put the values into the list, or remove this condition".into(),
            ),
            Op::In if *value == Value::Bool(false) => (
                false,
                "`in` with `False` instead of a list is never met".into(),
                format!("for records without a value: `('{name}', '=', False)`"),
            ),
            Op::Like | Op::Ilike if !value.truthy() && list.is_none() => (
                true,
                format!("`{}` with an empty text is always met", leaf.operator.as_str()),
                format!("for records with a value: `('{name}', '!=', False)`"),
            ),
            Op::NotLike | Op::NotIlike if !value.truthy() && list.is_none() => (
                false,
                format!("`{}` with an empty text is never met", leaf.operator.as_str()),
                format!("for records without a value: `('{name}', '=', False)`"),
            ),
            _ if order && value.is_unset() && !is_number(field) && field.ttype != FieldType::Boolean => (
                false,
                format!("nothing is before or after no value: `{name}` is never met"),
                format!("for records with a value: `('{name}', '!=', False)`"),
            ),
            _ => return,
        };
        let kind = match met != negated {
            true => LintKind::AlwaysMet,
            false => LintKind::NeverMet,
        };
        self.say(kind, leaf.span, message, hint);
    }

    /// Values that are read in a way of Odoo's own.
    fn values(&mut self, leaf: &Leaf, field: &Field) {
        use Operator as Op;
        let name = &leaf.field;
        let order = matches!(leaf.operator, Op::Lt | Op::Le | Op::Gt | Op::Ge);
        let equal = matches!(leaf.operator, Op::Eq | Op::Ne | Op::In | Op::NotIn);
        let text = matches!(leaf.operator, Op::Like | Op::NotLike | Op::Ilike | Op::NotIlike);
        let dated = matches!(field.ttype, FieldType::Date | FieldType::Datetime);
        let listed = leaf.value.value.items().is_some();
        let items = leaf
            .value
            .value
            .items()
            .unwrap_or(std::slice::from_ref(&leaf.value));
        if listed
            && field.ttype == FieldType::Boolean
            && items.iter().any(|i| matches!(i.value, Value::Int(0)))
        {
            let message = format!("0 in a list is not `False` for `{name}`");
            self.say(LintKind::OddValue, leaf.value.span, message, "write `False`");
        }
        if field.ttype == FieldType::Many2many && listed && items.iter().any(|i| i.value.is_unset()) {
            let message = format!("`False` in the list does nothing on `{name}`");
            let hint = format!("to include records without any: `'|', ('{name}', '=', False), (…)`");
            self.say(LintKind::OddValue, leaf.value.span, message, hint);
        }
        for item in items {
            let (message, hint): (String, String) = match &item.value {
                Value::Str(v) if text && v.contains(['%', '_']) => {
                    let message = format!(
                        "`%` and `_` in '{}' stand for any text and any letter",
                        shorten(v)
                    );
                    let hint = "put a backslash before one that is meant itself: `'100\\\\%'`";
                    self.say(LintKind::Wildcard, item.span, message, hint);
                    continue;
                }
                Value::Str(v) if dated && self.fixed && v.len() >= 8 && v.as_bytes()[0].is_ascii_digit() => {
                    let message = format!("'{}' is the same day at every run", shorten(v));
                    let hint = "compute it: `context_today().strftime('%Y-%m-%d')`, with `+ timedelta(days=30)` where needed";
                    self.say(LintKind::FixedDate, item.span, message, hint);
                    continue;
                }
                Value::Str(v) if field.ttype == FieldType::Datetime && equal && v.len() == 10 => {
                    let message = format!("`{name}` is a moment: '{v}' means its midnight (UTC) only");
                    let hint =
                        format!("for the whole day: `('{name}', '>=', '{v}'), ('{name}', '<=', '{v}')`");
                    self.say(LintKind::MidnightOnly, item.span, message, hint);
                    continue;
                }
                Value::Str(v) if field.ttype == FieldType::Boolean && is_no(v) => (
                    format!("'{v}' is a text, and as such true"),
                    "write `False`, without quotes".into(),
                ),
                Value::None if field.ttype == FieldType::Boolean && !listed => (
                    format!(
                        "`None` asks whether `{name}` was never set; most unset ones are stored as false"
                    ),
                    "write `False`, which covers both".into(),
                ),
                Value::Str(v)
                    if equal
                        && is_relation(field)
                        && !v.is_empty()
                        && v.bytes().all(|c| c.is_ascii_digit()) =>
                {
                    (
                        format!("'{v}' is looked for as a name in `{name}`, not as an id"),
                        format!("write the id without quotes: {v}"),
                    )
                }
                Value::Int(_) | Value::Float(_)
                    if order && matches!(field.ttype, FieldType::Char | FieldType::Text) =>
                {
                    (
                        format!(
                            "`{name}` is a text, and texts are compared letter by letter: '9' is greater than '10'"
                        ),
                        "compare a number column".into(),
                    )
                }
                Value::Float(f) if field.ttype == FieldType::Integer && f.fract() != 0.0 => (
                    format!("`{name}` is a whole number: {f} is read as {}", f.trunc()),
                    "write the whole number that is meant".into(),
                ),
                _ => continue,
            };
            self.say(LintKind::OddValue, item.span, message, hint);
        }
    }

    fn way(&self, model: &'a Model, path: &str) -> Option<Way<'a>> {
        let mut model: &'a Model = model;
        let mut steps = Vec::new();
        let mut names = path.split('.').peekable();
        loop {
            let name = names.next()?;
            let resolved = self.aliases.resolve_field(model, name);
            let field: &'a Field = model.fields.get(resolved)?;
            if names.peek().is_none() {
                return Some(Way {
                    steps,
                    end: field,
                    model: &model.name,
                });
            }
            let next: &'a Arc<Model> = self.catalog.model(field.relation.as_deref()?)?;
            steps.push(field);
            model = next;
        }
    }
}

fn subdomain(leaf: &Leaf) -> Option<Domain> {
    matches!(leaf.operator, Operator::Any | Operator::NotAny).then_some(())?;
    Domain::build(&leaf.value).ok()
}

fn place(domain: &Domain) -> Option<Span> {
    domain.leaves().first().map(|leaf| leaf.span)
}

fn is_lines(field: &Field) -> bool {
    matches!(field.ttype, FieldType::One2many | FieldType::Many2many)
}

fn is_relation(field: &Field) -> bool {
    field.ttype == FieldType::Many2one || is_lines(field)
}

fn is_number(field: &Field) -> bool {
    matches!(
        field.ttype,
        FieldType::Integer | FieldType::Float | FieldType::Monetary
    )
}

fn is_no(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "false" | "0" | "no" | "f" | "n" | "none" | "tidak"
    )
}

fn shorten(text: &str) -> String {
    match text.chars().count() > 40 {
        true => text.chars().take(39).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::super::Vars;
    use super::super::fixture::permit;
    use super::*;

    fn field(name: &str, ttype: FieldType, relation: Option<&str>, column: bool) -> Field {
        Field {
            name: name.into(),
            ttype,
            relation: relation.map(Into::into),
            relation_field: None,
            relation_table: None,
            column1: None,
            column2: None,
            store: true,
            related: None,
            translate: false,
            company_dependent: false,
            column_type: column.then(|| "character varying".into()),
            selection: Vec::new(),
        }
    }

    /// A permit with its partner, and the partner's tags and permits.
    fn catalog() -> Catalog {
        let mut permit = permit();
        for (name, relation) in [("partner_id", "res.partner"), ("line_ids", "res.partner")] {
            permit.fields.get_mut(name).unwrap().relation = Some(relation.into());
        }
        let stale = field("days_until_expiry", FieldType::Integer, None, true);
        permit.fields.insert(stale.name.clone(), stale);
        let partner = [
            field("city", FieldType::Char, None, true),
            field("active", FieldType::Boolean, None, true),
            field("tag_ids", FieldType::Many2many, Some("res.partner"), false),
        ];
        let partner = Model {
            name: "res.partner".into(),
            table: "res_partner".into(),
            order: Vec::new(),
            fields: partner.into_iter().map(|f| (f.name.clone(), f)).collect(),
        };
        let models = [permit, partner];
        Catalog {
            models: models
                .into_iter()
                .map(|m| (m.name.clone(), Arc::new(m)))
                .collect(),
            ..Catalog::default()
        }
    }

    fn doubts(text: &str, recurring: bool) -> Vec<(LintKind, String)> {
        let catalog = catalog();
        let aliases = Aliases::default().field("sicantik.permit", "state", "status");
        let source = Source::parse(text).unwrap();
        let now = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).single().unwrap();
        let domain = source.evaluate(&Vars::at(now, chrono_tz::Asia::Jakarta)).unwrap();
        let model = catalog.model("sicantik.permit").unwrap();
        lint(&domain, &source, recurring, &catalog, model, &aliases)
            .into_iter()
            .map(|l| (l.kind, l.diagnostic(text)))
            .collect()
    }

    #[track_caller]
    fn kinds(text: &str, wanted: &[LintKind]) {
        let found: Vec<LintKind> = doubts(text, false).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn what_is_meant_is_left_alone() {
        for text in [
            "[]",
            "[('state','=','active')]",
            "['|', ('status','=','draft'), ('status','=','active')]",
            "[('days','>',1), '|', ('status','=','draft'), ('status','=','active')]",
            "['&', '|', ('status','=','draft'), ('status','=','active'), ('days','>',1)]",
            "[('status','!=','draft'), ('status','!=','active')]",
            "[('partner_id','!=',False), ('partner_id.city','!=',False)]",
            "['!', ('partner_id.city','=','Kabanjahe')]",
            "[('status','not in',['draft'])]",
            "[('days','>=',0), ('days','<=',30)]",
            "[('ref','=like','503/%')]",
            "[('expiry_date','<=','2026-12-22')]",
            "[('flag','=',False), ('notes','=',False)]",
            "[('line_ids','any',[('city','=','A'),('active','=',True)])]",
            "[('days','<',False)]",
        ] {
            kinds(text, &[]);
        }
    }

    #[test]
    fn always_and_never() {
        kinds("[('flag','=?',False)]", &[LintKind::AlwaysMet]);
        kinds("['!', ('flag','=?',False)]", &[LintKind::NeverMet]);
        kinds("[('status','not in',[])]", &[LintKind::AlwaysMet]);
        kinds("[('status','in',[])]", &[LintKind::NeverMet]);
        kinds("[('status','in',False)]", &[LintKind::NeverMet]);
        kinds("[('notes','ilike','')]", &[LintKind::AlwaysMet]);
        kinds("[('notes','not ilike',False)]", &[LintKind::NeverMet]);
        kinds("[('expiry_date','<',False)]", &[LintKind::NeverMet]);
        kinds("[(0,'=',1)]", &[LintKind::NeverMet]);
        kinds(
            "[('state','=','draft'), ('state','=','active')]",
            &[LintKind::NeverMet],
        );
        kinds(
            "['|', ('status','!=','draft'), ('status','!=','active')]",
            &[LintKind::AlwaysMet],
        );
        kinds(
            "['!', '&', ('status','=','draft'), ('status','=','active')]",
            &[LintKind::AlwaysMet],
        );
    }

    #[test]
    fn an_implied_and_after_alternatives() {
        let text = "['|', ('status','=','draft'), ('status','=','active'), ('days','>',1)]";
        let found = doubts(text, false);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, LintKind::ImpliedAnd);
        assert!(
            found[0].1.contains("write 2 `'|'`") && found[0].1.contains("^^^"),
            "{}",
            found[0].1
        );
    }

    #[test]
    fn rows_that_drop_out() {
        kinds(
            "[('partner_id.city','!=','Kabanjahe')]",
            &[LintKind::PathExcludesUnset],
        );
        kinds(
            "[('partner_id.city','not in',['A','B'])]",
            &[LintKind::PathExcludesUnset],
        );
        kinds("[('line_ids.city','!=','A')]", &[LintKind::SomeLine]);
        kinds(
            "[('line_ids.city','=','A'), ('line_ids.active','=',True)]",
            &[LintKind::DifferentLines],
        );
        kinds("['!', ('notes','=like','B%')]", &[LintKind::NegationLosesUnset]);
        kinds(
            "['!', ('partner_id','child_of',20)]",
            &[LintKind::NegationLosesUnset],
        );
    }

    #[test]
    fn what_ages() {
        kinds("[('days_until_expiry','<=',30)]", &[LintKind::StaleField]);
        let fixed = "[('expiry_date','<=','2026-12-22')]";
        assert_eq!(doubts(fixed, true)[0].0, LintKind::FixedDate);
        let computed = "[('expiry_date','<=',(datetime.now() + timedelta(days=30)).strftime('%Y-%m-%d'))]";
        assert_eq!(doubts(computed, true), vec![]);
    }

    #[test]
    fn odd_values() {
        kinds("[('create_date','=','2026-11-20')]", &[LintKind::MidnightOnly]);
        kinds("[('notes','ilike','100%')]", &[LintKind::Wildcard]);
        for text in [
            "[('flag','=','False')]",
            "[('flag','=',None)]",
            "[('flag','in',[1, 0])]",
            "[('partner_id','=','10')]",
            "[('ref','>',100)]",
            "[('days','>',29.5)]",
            "[('partner_id.tag_ids','in',[4, False])]",
            "[('partner_id','any',[('active','=','no')])]",
        ] {
            kinds(text, &[LintKind::OddValue]);
        }
    }
}
