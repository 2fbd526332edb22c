//! The operators of a condition.

use super::error::{DomainError, ErrorKind};
use super::value::{Node, Value};

macro_rules! operators {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $opposite:expr;)*) => {
        /// The operators of Odoo 18.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operator { $($(#[doc = $doc])* $name,)* }

        impl Operator {
            /// Every operator, in the order of Odoo's own list.
            pub const ALL: &[Operator] = &[$(Operator::$name,)*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The operator that `!` turns this one into, where there is one.
            pub fn opposite(self) -> Option<Operator> {
                use Operator::*;
                match self { $(Self::$name => $opposite,)* }
            }
        }
    };
}

operators! {
    /// `=`
    Eq = "=", Some(Ne);
    /// `!=`
    Ne = "!=", Some(Eq);
    /// `<>`, another `!=` of which `!` makes SQL's NOT
    Differs = "<>", None;
    /// `<`
    Lt = "<", Some(Ge);
    /// `<=`
    Le = "<=", Some(Gt);
    /// `>`
    Gt = ">", Some(Le);
    /// `>=`
    Ge = ">=", Some(Lt);
    /// `=?`, no condition at all if the value is not set
    EqOrUnset = "=?", None;
    /// `like`
    Like = "like", Some(NotLike);
    /// `not like`
    NotLike = "not like", Some(Like);
    /// `ilike`
    Ilike = "ilike", Some(NotIlike);
    /// `not ilike`
    NotIlike = "not ilike", Some(Ilike);
    /// `=like`
    EqLike = "=like", None;
    /// `=ilike`
    EqIlike = "=ilike", None;
    /// `in`
    In = "in", Some(NotIn);
    /// `not in`
    NotIn = "not in", Some(In);
    /// `child_of`
    ChildOf = "child_of", None;
    /// `parent_of`
    ParentOf = "parent_of", None;
    /// `any`
    Any = "any", Some(NotAny);
    /// `not any`
    NotAny = "not any", Some(Any);
}

impl Operator {
    /// The operator of that exact spelling.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.as_str() == text)
    }

    /// The operator that it is another spelling of, or itself.
    pub fn plain(self) -> Self {
        match self {
            Self::Differs => Self::Ne,
            other => other,
        }
    }

    /// The operator of a condition, with a remedy for what people write instead.
    pub(super) fn read(node: &Node) -> Result<Self, DomainError> {
        let Value::Str(text) = &node.value else {
            let message = format!("the operator is {}, it must be a text", node.value.type_name());
            return Err(DomainError::new(ErrorKind::Domain, node.span, message).hint(known()));
        };
        Operator::from_text(text).ok_or_else(|| {
            let error = DomainError::new(
                ErrorKind::Domain,
                node.span,
                format!("`{text}` is not an operator"),
            );
            let lower = text
                .to_lowercase()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            match lower.as_str() {
                "==" | "is" | "equals" => error.hint("write `=`"),
                "is not" | "!==" | "=!" => error.hint("write `!=`"),
                "=>" => error.hint("write `>=`"),
                "=<" => error.hint("write `<=`"),
                "not =like" | "not =ilike" | "not child_of" | "not parent_of" => {
                    error.hint(format!("put `'!'` before a condition with `{}`", &lower[4..]))
                }
                _ => match Operator::from_text(&lower) {
                    Some(op) => error.hint(format!("write `{}`", op.as_str())),
                    None => error.hint(known()),
                },
            }
        })
    }
}

fn known() -> String {
    let names: Vec<_> = Operator::ALL
        .iter()
        .filter(|op| **op == op.plain())
        .map(|op| op.as_str())
        .collect();
    format!("the operators are {}", names.join(", "))
}
