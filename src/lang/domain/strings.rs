//! Python string literals without prefix: both quotes, triple quotes, escapes, adjacent pieces.

use super::error::{DomainError, ErrorKind};
use super::literal::Parser;

/// Reads a string and the strings that directly follow it, which Python joins.
pub(super) fn read(parser: &mut Parser<'_>) -> Result<String, DomainError> {
    let mut out = String::new();
    loop {
        piece(parser, &mut out)?;
        let end = parser.at;
        parser.skip_blanks();
        if !matches!(parser.peek(), Some(b'\'' | b'"')) {
            parser.at = end;
            return Ok(out);
        }
    }
}

fn piece(parser: &mut Parser<'_>, out: &mut String) -> Result<(), DomainError> {
    let start = parser.at;
    let quote = if parser.starts_with("'") { "'" } else { "\"" };
    let triple = if quote == "'" { "'''" } else { "\"\"\"" };
    let close = if parser.starts_with(triple) { triple } else { quote };
    parser.at += close.len();
    loop {
        if parser.starts_with(close) {
            parser.at += close.len();
            return Ok(());
        }
        match parser.text[parser.at..].chars().next() {
            Some('\\') => escape(parser, out)?,
            Some('\n') if close.len() == 1 => break,
            Some(c) => {
                parser.at += c.len_utf8();
                out.push(c);
            }
            None => break,
        }
    }
    Err(DomainError::new(
        ErrorKind::Syntax,
        (start..parser.at).into(),
        "the text in quotes is not closed",
    ))
}

/// One escape; unknown ones keep their backslash.
fn escape(parser: &mut Parser<'_>, out: &mut String) -> Result<(), DomainError> {
    let start = parser.at;
    parser.at += 1;
    let Some(c) = parser.text[parser.at..].chars().next() else {
        return Ok(());
    };
    parser.at += c.len_utf8();
    let simple = match c {
        '\n' => return Ok(()),
        '\r' if parser.peek() == Some(b'\n') => {
            parser.at += 1;
            return Ok(());
        }
        '\\' | '\'' | '"' => c,
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        'x' => code(parser, start, 2)?,
        'u' => code(parser, start, 4)?,
        'U' => code(parser, start, 8)?,
        '0'..='7' => octal(parser, c),
        'N' => {
            return Err(
                invalid(parser, start, "names of characters are not supported in a text").expression(),
            );
        }
        other => {
            out.push('\\');
            other
        }
    };
    out.push(simple);
    Ok(())
}

fn code(parser: &mut Parser<'_>, start: usize, digits: usize) -> Result<char, DomainError> {
    let hex = parser.text.get(parser.at..parser.at + digits);
    let Some(hex) = hex.filter(|h| h.bytes().all(|c| c.is_ascii_hexdigit())) else {
        return Err(invalid(parser, start, "the escape needs more hexadecimal digits"));
    };
    parser.at += digits;
    let code = u32::from_str_radix(hex, 16).unwrap_or(u32::MAX);
    char::from_u32(code).ok_or_else(|| invalid(parser, start, "the escape is not a character"))
}

fn octal(parser: &mut Parser<'_>, first: char) -> char {
    let mut code = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = parser.peek().and_then(|c| char::from(c).to_digit(8)) else {
            break;
        };
        code = code * 8 + digit;
        parser.at += 1;
    }
    char::from_u32(code).unwrap_or('\u{fffd}')
}

fn invalid(parser: &Parser<'_>, start: usize, message: &str) -> DomainError {
    DomainError::new(ErrorKind::Syntax, (start..parser.at).into(), message)
}
