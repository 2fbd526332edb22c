//! From evaluated values in prefix notation to a tree.

use super::error::{DomainError, ErrorKind, Span};
use super::operator::Operator;
use super::value::{Node, Value};
use super::{MAX_DEPTH, MAX_ITEMS, MAX_LEAVES};

/// A domain. Chains of `And` and of `Or` are flat; two `Not` in a row have cancelled each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Every record: `[]` and `(1, '=', 1)`.
    True,
    /// No record: `(0, '=', 1)`.
    False,
    /// All of them.
    And(Vec<Domain>),
    /// Any of them.
    Or(Vec<Domain>),
    /// `!`
    Not(Box<Domain>),
    /// A condition.
    Leaf(Leaf),
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Name or dotted path, as written.
    pub field: String,
    /// Where the name stands.
    pub field_span: Span,
    /// The operator.
    pub operator: Operator,
    /// The value.
    pub value: Node,
    /// Where the condition stands.
    pub span: Span,
}

impl Domain {
    /// Makes a domain of an evaluated list or tuple in prefix notation.
    pub fn build(node: &Node) -> Result<Self, DomainError> {
        let Some(items) = node.value.items() else {
            let message = format!(
                "a domain is a list of conditions, this is {}",
                node.value.type_name()
            );
            return Err(DomainError::new(ErrorKind::Domain, node.span, message).hint(SHAPE));
        };
        bare_condition(node, items)?;
        let (mut stack, mut leaves) = (Vec::new(), 0);
        for item in items.iter().rev() {
            match &item.value {
                Value::Str(word) => connect(&mut stack, word, item.span)?,
                _ => {
                    leaves += 1;
                    if leaves > MAX_LEAVES {
                        let message = format!("more than {MAX_LEAVES} conditions");
                        return Err(DomainError::new(ErrorKind::Limit, item.span, message));
                    }
                    stack.push(Part {
                        domain: leaf(item)?,
                        depth: 0,
                    });
                }
            }
        }
        stack.reverse();
        Ok(finish(stack))
    }

    /// The conditions from left to right.
    pub fn leaves(&self) -> Vec<&Leaf> {
        match self {
            Self::True | Self::False => Vec::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::leaves).collect(),
            Self::Not(inner) => inner.leaves(),
            Self::Leaf(leaf) => vec![leaf],
        }
    }
}

impl Leaf {
    /// A condition that nobody wrote.
    pub(super) fn nowhere() -> Self {
        let span = Span::default();
        Self {
            field: String::new(),
            field_span: span,
            operator: Operator::Eq,
            value: Node {
                value: Value::None,
                span,
            },
            span,
        }
    }
}

const SHAPE: &str = "write `[('field', 'operator', value)]`";

struct Part {
    domain: Domain,
    depth: usize,
}

/// `['state', '=', 'draft']`: the outer list was forgotten.
fn bare_condition(node: &Node, items: &[Node]) -> Result<(), DomainError> {
    let [field, operator, _] = items else {
        return Ok(());
    };
    let (Value::Str(field), Value::Str(operator)) = (&field.value, &operator.value) else {
        return Ok(());
    };
    let looks = !matches!(field.as_str(), "&" | "|" | "!")
        && (Operator::from_text(operator).is_some() || operator == "==");
    if !looks {
        return Ok(());
    }
    Err(DomainError::new(
        ErrorKind::Domain,
        node.span,
        "this is one condition, a domain is a list of conditions",
    )
    .hint("put brackets around it: `[('field', 'operator', value)]`"))
}

fn connect(stack: &mut Vec<Part>, word: &str, span: Span) -> Result<(), DomainError> {
    let part = match word {
        "!" => match stack.pop() {
            Some(part) => negate(part),
            None => return Err(too_few(word, "one condition", span)),
        },
        "&" | "|" => match (stack.pop(), stack.pop()) {
            (Some(left), Some(right)) => join(word == "&", left, right),
            _ => return Err(too_few(word, "two conditions", span)),
        },
        _ => return Err(stray(word, span)),
    };
    if part.depth > MAX_DEPTH {
        let message = format!("conditions are nested deeper than {MAX_DEPTH}");
        return Err(DomainError::new(ErrorKind::Limit, span, message));
    }
    stack.push(part);
    Ok(())
}

fn negate(part: Part) -> Part {
    match part.domain {
        Domain::Not(inner) => Part {
            domain: *inner,
            depth: part.depth.saturating_sub(1),
        },
        Domain::True => Part {
            domain: Domain::False,
            depth: 0,
        },
        Domain::False => Part {
            domain: Domain::True,
            depth: 0,
        },
        domain => Part {
            domain: Domain::Not(Box::new(domain)),
            depth: part.depth + 1,
        },
    }
}

fn join(and: bool, left: Part, right: Part) -> Part {
    let flat = |part: &Part| match &part.domain {
        Domain::And(_) => and,
        Domain::Or(_) => !and,
        _ => false,
    };
    let depth = [&left, &right].map(|part| part.depth + usize::from(!flat(part)));
    let mut parts = Vec::new();
    for part in [left, right] {
        match part.domain {
            Domain::And(inner) if and => parts.extend(inner),
            Domain::Or(inner) if !and => parts.extend(inner),
            domain => parts.push(domain),
        }
    }
    let domain = if and {
        Domain::And(parts)
    } else {
        Domain::Or(parts)
    };
    Part {
        domain,
        depth: depth[0].max(depth[1]),
    }
}

/// What is left over is joined by `&`.
fn finish(stack: Vec<Part>) -> Domain {
    let mut parts = stack.into_iter();
    let Some(first) = parts.next() else {
        return Domain::True;
    };
    let mut rest = parts.peekable();
    if rest.peek().is_none() {
        return first.domain;
    }
    let mut all = Vec::new();
    for part in std::iter::once(first).chain(rest) {
        match part.domain {
            Domain::And(inner) => all.extend(inner),
            domain => all.push(domain),
        }
    }
    Domain::And(all)
}

fn leaf(item: &Node) -> Result<Domain, DomainError> {
    let error = |message: String| DomainError::new(ErrorKind::Domain, item.span, message);
    let Some(items) = item.value.items() else {
        return Err(error(format!("{} where a condition belongs", item.value.type_name())).hint(SHAPE));
    };
    let [field, operator, value] = items else {
        let message = format!("a condition has three parts, this one has {}", items.len());
        return Err(error(message).hint(SHAPE));
    };
    if let Some(constant) = constant(field, operator, value)? {
        return Ok(constant);
    }
    let Value::Str(name) = &field.value else {
        let message = format!(
            "the field is {}, it must be a name in quotes",
            field.value.type_name()
        );
        return Err(DomainError::new(ErrorKind::Domain, field.span, message));
    };
    let operator = Operator::read(operator)?;
    if value.value.items().is_some_and(|items| items.len() > MAX_ITEMS) {
        let message = format!("the list has more than {MAX_ITEMS} values");
        return Err(DomainError::new(ErrorKind::Limit, value.span, message));
    }
    let (field, field_span) = (name.clone(), field.span);
    Ok(Domain::Leaf(Leaf {
        field,
        field_span,
        operator,
        value: value.clone(),
        span: item.span,
    }))
}

/// `(1, '=', 1)` and `(0, '=', 1)`; no other condition may begin with a number.
fn constant(field: &Node, operator: &Node, value: &Node) -> Result<Option<Domain>, DomainError> {
    let left = match field.value {
        Value::Int(i) => i as f64,
        Value::Float(f) => f,
        Value::Bool(b) => f64::from(b),
        _ => return Ok(None),
    };
    let one = match value.value {
        Value::Int(i) => i == 1,
        Value::Float(f) => f == 1.0,
        Value::Bool(b) => b,
        _ => false,
    };
    let equal = matches!(&operator.value, Value::Str(op) if op == "=");
    match (equal && one, left) {
        (true, 1.0) => Ok(Some(Domain::True)),
        (true, 0.0) => Ok(Some(Domain::False)),
        _ => {
            let span = Span {
                start: field.span.start,
                end: value.span.end,
            };
            Err(
                DomainError::new(ErrorKind::Domain, span, "a condition cannot begin with a number")
                    .hint("only `(1, '=', 1)`, always true, and `(0, '=', 1)`, never true, may"),
            )
        }
    }
}

fn too_few(word: &str, needs: &str, span: Span) -> DomainError {
    DomainError::new(
        ErrorKind::Domain,
        span,
        format!("`{word}` needs {needs} after it"),
    )
    .hint("operators stand before their conditions: `['|', A, B]`")
}

fn stray(word: &str, span: Span) -> DomainError {
    let error = DomainError::new(
        ErrorKind::Domain,
        span,
        format!("the text '{word}' where a condition belongs"),
    );
    match word.to_lowercase().as_str() {
        "and" | "&&" => error.hint("write `'&'`, before the two conditions"),
        "or" | "||" => error.hint("write `'|'`, before the two conditions"),
        "not" => error.hint("write `'!'`, before the condition"),
        _ => error.hint(SHAPE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn show(domain: &Domain) -> String {
        let list = |name: &str, parts: &[Domain]| {
            format!("{name}({})", parts.iter().map(show).collect::<Vec<_>>().join(" "))
        };
        match domain {
            Domain::True => "T".into(),
            Domain::False => "F".into(),
            Domain::And(parts) => list("&", parts),
            Domain::Or(parts) => list("|", parts),
            Domain::Not(inner) => format!("!{}", show(inner)),
            Domain::Leaf(leaf) => leaf.field.clone(),
        }
    }

    fn shape(text: &str) -> String {
        let text = ["A", "B", "C", "D"].iter().fold(text.to_owned(), |text, name| {
            text.replace(name, &format!("('{}','=',1)", name.to_lowercase()))
        });
        show(&parse(&text).unwrap())
    }

    #[test]
    fn prefix_notation() {
        for (text, tree) in [
            ("[]", "T"),
            ("()", "T"),
            ("[A]", "a"),
            ("(A,)", "a"),
            ("A, B", "&(a b)"),
            ("[A, B, C]", "&(a b c)"),
            ("['|', A, B, C]", "&(|(a b) c)"),
            ("['|', '|', A, B, C]", "|(a b c)"),
            ("['|', A, '|', B, C]", "|(a b c)"),
            ("['&', A, '|', B, '!', C]", "&(a |(b !c))"),
            ("['|', '&', A, B, C, D]", "&(|(&(a b) c) d)"),
            ("['!', '!', A]", "a"),
            ("['!', '|', A, B]", "!|(a b)"),
            ("[(1,'=',1)]", "T"),
            ("[(True,'=',1)]", "T"),
            ("['!', (0,'=',1), A]", "&(T a)"),
        ] {
            assert_eq!(shape(text), tree, "{text}");
        }
    }

    #[test]
    fn broken_shapes() {
        for (text, message) in [
            ("'a'", "a domain is a list of conditions, this is a str"),
            ("5", "a domain is a list of conditions, this is an int"),
            ("['state','=','draft']", "this is one condition"),
            ("('state','==','draft')", "this is one condition"),
            ("['|']", "`|` needs two conditions after it"),
            ("['|', ('a','=',1)]", "`|` needs two conditions after it"),
            ("[('a','=',1), '!']", "`!` needs one condition after it"),
            (
                "[('a','=',1), 'or', ('b','=',1)]",
                "the text 'or' where a condition belongs; write `'|'`",
            ),
            ("[('a','=')]", "a condition has three parts, this one has 2"),
            ("[[('a','=',1)]]", "a condition has three parts, this one has 1"),
            ("[5]", "an int where a condition belongs"),
            ("[('a','==',1)]", "`==` is not an operator; write `=`"),
            ("[('a','ILIKE','x')]", "`ILIKE` is not an operator; write `ilike`"),
            (
                "[('a','not  in',[])]",
                "`not  in` is not an operator; write `not in`",
            ),
            (
                "[('a','not =like','x')]",
                "`not =like` is not an operator; put `'!'` before",
            ),
            (
                "[('a','contains','x')]",
                "`contains` is not an operator; the operators are =, !=,",
            ),
            ("[('a',1,1)]", "the operator is an int"),
            ("[(None,'=',1)]", "the field is None"),
            ("[(1,'=',0)]", "a condition cannot begin with a number"),
            ("[(2,'=',2)]", "a condition cannot begin with a number"),
            ("[(1,'!=',0)]", "a condition cannot begin with a number"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Domain, "{text}");
            assert!(error.to_string().starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn limits() {
        let many = format!("[{}]", "('a','=',1),".repeat(MAX_LEAVES + 1));
        assert_eq!(parse(&many).unwrap_err().kind, ErrorKind::Limit);
        let flat = format!(
            "[{}{}]",
            "'|',".repeat(MAX_LEAVES - 1),
            "('a','=',1),".repeat(MAX_LEAVES)
        );
        assert!(parse(&flat).is_ok());
        let deep = format!("[{}('a','=',1)]", "'|',('a','=',1),'&',('a','=',1),".repeat(100));
        assert_eq!(parse(&deep).unwrap_err().kind, ErrorKind::Limit);
        let nots = format!("[{}('a','=',1)]", "'!',".repeat(4000));
        assert_eq!(parse(&nots).unwrap().leaves().len(), 1);
        let list = format!("[('id','in',[{}])]", "1,".repeat(MAX_ITEMS + 1));
        assert_eq!(parse(&list).unwrap_err().kind, ErrorKind::Limit);
    }
}
