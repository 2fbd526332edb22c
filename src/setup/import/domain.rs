//! Domains of the replaced module, as far as they are changed on the way: exactly one condition, which never worked there.

use ruff_python_ast::Expr;
use ruff_text_size::Ranged;

/// The text without `('active', '=', True)`, which asks about a field that the model lacks and is met by every record of such a
/// model. `None`: it does not stand there, or not where it can be taken out.
pub fn without_active(text: &str) -> Option<String> {
    let parsed = ruff_python_parser::parse_expression(text.trim()).ok()?;
    let text = text.trim();
    let Expr::List(list) = parsed.expr() else {
        return None;
    };
    if !list.elts.iter().any(asks_active) {
        return None;
    }
    let operators = list
        .elts
        .iter()
        .any(|part| matches!(part, Expr::StringLiteral(_)));
    let written = |part: &Expr| text[part.range()].to_owned();
    let parts: Vec<String> = list
        .elts
        .iter()
        .filter_map(|part| match (asks_active(part), operators) {
            (false, _) => Some(written(part)),
            // An operator wants its operand: one that is always met.
            (true, true) => Some("(1, '=', 1)".to_owned()),
            (true, false) => None,
        })
        .collect();
    Some(format!("[{}]", parts.join(", ")))
}

fn asks_active(part: &Expr) -> bool {
    let parts = match part {
        Expr::Tuple(tuple) => &tuple.elts,
        Expr::List(list) => &list.elts,
        _ => return false,
    };
    let is = |part: &Expr, wanted: &str| matches!(part, Expr::StringLiteral(text) if text.value.to_str() == wanted);
    match parts.as_slice() {
        [field, operator, Expr::BooleanLiteral(value)] => {
            is(field, "active") && is(operator, "=") && value.value
        }
        _ => false,
    }
}

/// Whether it says nothing: every record.
pub fn is_everything(text: &str) -> bool {
    text.chars().filter(|c| !c.is_whitespace()).eq("[]".chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_condition_on_active_goes() {
        for (written, expected) in [
            ("[('active','=',True)]", Some("[]")),
            (
                " [('active', '=', True), ('status', '=', 'active')]",
                Some("[('status', '=', 'active')]"),
            ),
            (
                "[('a', '=', 1),\n (\"active\", \"=\", True), ('d', '<', datetime.now())]",
                Some("[('a', '=', 1), ('d', '<', datetime.now())]"),
            ),
            (
                "['|', ('active', '=', True), ('a', '=', 1)]",
                Some("['|', (1, '=', 1), ('a', '=', 1)]"),
            ),
            ("[['active', '=', True]]", Some("[]")),
            ("[('active', '=', False)]", None),
            ("[('partner_id.active', '=', True)]", None),
            ("[('active', '!=', True)]", None),
            ("[('status', '=', 'active')]", None),
            ("state = 'approved'", None),
            ("[('active', '=', True)", None),
            ("[('active', '=', True)] + extra", None),
            ("", None),
        ] {
            assert_eq!(without_active(written).as_deref(), expected, "{written}");
        }
        assert!(is_everything(" [ ] ") && !is_everything("[1]") && !is_everything(""));
    }
}
