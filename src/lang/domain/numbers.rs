//! Python number literals.

use super::error::{DomainError, ErrorKind};
use super::literal::{Parser, expression};
use super::value::Value;

/// Reads an optional sign and a number.
pub(super) fn read(parser: &mut Parser<'_>) -> Result<Value, DomainError> {
    let start = parser.at;
    let negative = sign(parser)?;
    let digits = parser.at;
    scan(parser);
    let (span, text) = ((start..parser.at).into(), &parser.text[digits..parser.at]);
    let invalid = || DomainError::new(ErrorKind::Syntax, span, format!("`{text}` is not a number"));
    if text.starts_with("0x")
        || text.starts_with("0o")
        || text.starts_with("0b")
        || text.ends_with(['j', 'J'])
    {
        return Err(expression(span, text));
    }
    let plain = plain(text).ok_or_else(invalid)?;
    if plain.contains(['.', 'e', 'E']) {
        let float: f64 = plain.parse().map_err(|_| invalid())?;
        return Ok(Value::Float(if negative { -float } else { float }));
    }
    if plain.starts_with('0') && plain.bytes().any(|c| c != b'0') {
        return Err(invalid().hint("no leading zeros; put a text like this in quotes"));
    }
    if plain.is_empty() || !plain.bytes().all(|c| c.is_ascii_digit()) {
        return Err(invalid());
    }
    let signed = if negative { format!("-{plain}") } else { plain };
    signed.parse().map(Value::Int).map_err(|_| {
        DomainError::new(ErrorKind::Limit, span, "this number is beyond eight bytes")
            .hint("no column holds such a number; put a text of digits in quotes")
    })
}

/// Skips `+` or `-` and reports which; the sign of anything but a number is an expression.
fn sign(parser: &mut Parser<'_>) -> Result<bool, DomainError> {
    let (span, negative) = (parser.here(), parser.peek() == Some(b'-'));
    if !negative && parser.peek() != Some(b'+') {
        return Ok(false);
    }
    parser.at += 1;
    parser.skip_blanks();
    match parser.peek() {
        Some(b'0'..=b'9' | b'.') => Ok(negative),
        _ => Err(expression(span, if negative { "-" } else { "+" })),
    }
}

/// Moves over everything that could belong to a number.
fn scan(parser: &mut Parser<'_>) {
    let bytes = parser.text.as_bytes();
    let hexadecimal = bytes[parser.at..].starts_with(b"0x");
    while let Some(c) = parser.peek() {
        let exponent =
            !hexadecimal && matches!(c, b'+' | b'-') && matches!(bytes[parser.at - 1], b'e' | b'E');
        if !(c.is_ascii_alphanumeric() || c == b'_' || c == b'.' || exponent) {
            break;
        }
        parser.at += 1;
    }
}

/// The number without its underscores, each of which must stand between two digits.
pub(super) fn plain(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let placed = |(at, _): (usize, &u8)| digit(at.checked_sub(1)) && digit(Some(at + 1));
    let well = bytes.iter().enumerate().filter(|(_, c)| **c == b'_').all(placed);
    well.then(|| text.replace('_', ""))
}
