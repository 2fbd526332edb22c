//! Python literals: lists, tuples, strings, numbers, `True`, `False`, `None`.
//!
//! Recursion is bounded by [`MAX_NESTING`]; everything else is a loop over bytes.

use super::error::{DomainError, ErrorKind, Span};
use super::value::{Node, Value};
use super::{MAX_NESTING, MAX_TEXT, numbers, strings};

/// Reads one literal that spans the whole text; a bare comma list is a tuple, as in Python.
pub(super) fn parse(text: &str) -> Result<Node, DomainError> {
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes, {MAX_TEXT} are allowed", text.len());
        return Err(DomainError::new(ErrorKind::Limit, (0..0).into(), message));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let node = parser.top()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("after the end of the domain")),
    }
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn top(&mut self) -> Result<Node, DomainError> {
        self.skip_blanks();
        let start = self.at;
        let first = self.value()?;
        self.skip_blanks();
        if self.peek() != Some(b',') {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.peek() == Some(b',') {
            self.at += 1;
            self.skip_blanks();
            if self.peek().is_none() {
                break;
            }
            items.push(self.value()?);
            self.skip_blanks();
        }
        Ok(Node {
            value: Value::Tuple(items),
            span: (start..self.at).into(),
        })
    }

    fn value(&mut self) -> Result<Node, DomainError> {
        self.skip_blanks();
        let start = self.at;
        let value = match self.peek() {
            None => return Err(self.ended()),
            Some(b'[') => Value::List(self.sequence(b']')?.0),
            Some(b'(') => self.parenthesis()?,
            Some(b'\'' | b'"') => Value::Str(strings::read(self)?),
            Some(b'0'..=b'9' | b'.' | b'+' | b'-') => numbers::read(self)?,
            Some(b'{') => return Err(self.braces()),
            Some(_) if self.starts_word() => self.word()?,
            Some(_) => return Err(self.unexpected("here")),
        };
        Ok(Node {
            value,
            span: (start..self.at).into(),
        })
    }

    /// `(…)`: a tuple if there is a comma or nothing inside, else the value itself.
    fn parenthesis(&mut self) -> Result<Value, DomainError> {
        let (mut items, comma) = self.sequence(b')')?;
        Ok(match items.len() {
            1 if !comma => items.remove(0).value,
            _ => Value::Tuple(items),
        })
    }

    /// The elements up to `close`, and whether there was a comma.
    fn sequence(&mut self, close: u8) -> Result<(Vec<Node>, bool), DomainError> {
        let open = self.at;
        self.depth += 1;
        if self.depth > MAX_NESTING {
            let message = format!("lists are nested deeper than {MAX_NESTING}");
            return Err(DomainError::new(ErrorKind::Limit, self.here(), message));
        }
        self.at += 1;
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Err(self.unclosed(open)),
                Some(c) if c == close => break,
                Some(_) => items.push(self.value()?),
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => comma = true,
                Some(c) if c == close => break,
                None => return Err(self.unclosed(open)),
                Some(_) => return Err(self.unexpected("where a comma or the closing bracket belongs")),
            }
            self.at += 1;
        }
        self.at += 1;
        self.depth -= 1;
        Ok((items, comma))
    }

    fn word(&mut self) -> Result<Value, DomainError> {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        self.at += length;
        let span: Span = (start..self.at).into();
        let word = &rest[..length];
        let error = DomainError::new(
            ErrorKind::Name,
            span,
            format!("`{word}` is not a name that is known here"),
        );
        Err(match word {
            "True" => return Ok(Value::Bool(true)),
            "False" => return Ok(Value::Bool(false)),
            "None" => return Ok(Value::None),
            "true" | "TRUE" => error.hint("write `True`"),
            "false" | "FALSE" => error.hint("write `False`"),
            "null" | "NULL" | "none" | "nil" => error.hint("write `None`, or `False` for \"not set\""),
            _ => expression(span, word),
        })
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn starts_with(&self, prefix: &str) -> bool {
        self.text[self.at..].starts_with(prefix)
    }

    fn starts_word(&self) -> bool {
        self.text[self.at..].starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    /// Blanks, line breaks, comments and continued lines.
    pub(super) fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => self.at += 1,
                b'\\' if self.starts_with("\\\n") => self.at += 2,
                b'\\' if self.starts_with("\\\r\n") => self.at += 3,
                b'#' => {
                    self.at += self.text[self.at..]
                        .find('\n')
                        .unwrap_or(self.text.len() - self.at)
                }
                _ => break,
            }
        }
    }

    /// The character under the cursor.
    pub(super) fn here(&self) -> Span {
        let length = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        (self.at..self.at + length).into()
    }

    fn ended(&self) -> DomainError {
        let blank = self.text[..self.at].trim().is_empty();
        let message = if blank {
            "the text is empty"
        } else {
            "the text ends where a value belongs"
        };
        let error = DomainError::new(ErrorKind::Syntax, self.here(), message);
        if blank {
            error.hint("leave the field unset, or write `[]` for every record")
        } else {
            error
        }
    }

    fn unclosed(&self, open: usize) -> DomainError {
        let bracket = &self.text[open..=open];
        DomainError::new(
            ErrorKind::Syntax,
            (open..open + 1).into(),
            format!("`{bracket}` is never closed"),
        )
    }

    fn braces(&self) -> DomainError {
        DomainError::new(
            ErrorKind::Syntax,
            self.here(),
            "sets and dicts have no place in a domain",
        )
        .hint("write conditions as `('field', 'operator', value)` and lists of values as `[…]`")
        .expression()
    }

    fn unexpected(&self, place: &str) -> DomainError {
        let Some(c) = self.text[self.at..].chars().next() else {
            return self.ended();
        };
        let error = |message: String| DomainError::new(ErrorKind::Syntax, self.here(), message);
        let plain = error(format!("`{c}` {place}"));
        match c {
            ')' | ']' | '}' => plain.hint("the brackets do not match"),
            '‘' | '’' | '“' | '”' | '„' | '`' => plain.hint("use straight quotes: ' or \""),
            ';' | '$' | '?' | '!' => plain,
            '(' | '[' | '\'' | '"' | '0'..='9' => plain.hint("is a comma missing?").expression(),
            c if c.is_whitespace() || c.is_control() => {
                error(format!("U+{:04X}, an invisible character, {place}", c as u32))
                    .hint("replace it by an ordinary blank")
            }
            c if c.is_alphabetic() || "_+-*/%<>=.,:|&^~@".contains(c) => plain
                .hint("only plain values are understood here, no expressions")
                .expression(),
            _ => plain,
        }
    }
}

/// The error for Python that must be computed.
pub(super) fn expression(span: Span, what: &str) -> DomainError {
    DomainError::new(
        ErrorKind::Name,
        span,
        format!("`{what}` is an expression; only plain values are understood here"),
    )
    .hint("write the value itself: a text, a number, `True`, `False`, `None` or a list of them")
    .expression()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match parse(text) {
            Ok(node) => node.value.repr(),
            Err(e) => format!("{} {}..{} {}", e.kind, e.span.start, e.span.end, e),
        }
    }

    #[test]
    fn literals() {
        for (text, repr) in [
            ("[]", "[]"),
            (
                "  \n# a note\n[ ('a', '=', 1), # more\n ]  # end",
                "[('a', '=', 1)]",
            ),
            ("('a','=',1),", "(('a', '=', 1),)"),
            ("1, 2", "(1, 2)"),
            ("(1)", "1"),
            ("(1,)", "(1,)"),
            ("()", "()"),
            ("[1,-2,+3,- 4,1_000,0,00]", "[1, -2, 3, -4, 1000, 0, 0]"),
            (
                "[1.5,.5,2.,1e3,-1E-2,1_0.5]",
                "[1.5, 0.5, 2.0, 1000.0, -0.01, 10.5]",
            ),
            ("[True,False,None]", "[True, False, None]"),
            ("['a' \"b\"\n 'c']", "['abc']"),
            ("'''it's\n\"x\"'''", "'it\\'s\\n\"x\"'"),
            ("''", "''"),
            (
                r"'\n\t\\\'\x41\u00e9\U0001F600\101\q\0'",
                "\"\\n\\t\\\\'Aé😀A\\\\q\\x00\"",
            ),
            ("'a\\\nb'", "'ab'"),
            ("[1, \\\n 2]", "[1, 2]"),
            ("-9223372036854775808", "-9223372036854775808"),
        ] {
            assert_eq!(show(text), repr, "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, start) in [
            ("", "syntax 0..0 the text is empty"),
            (" \n ", "syntax 3..3 the text is empty"),
            (
                "[('a','=',true)]",
                "name 10..14 `true` is not a name that is known here; write `True`",
            ),
            (
                "[('a','<',datetime.now())]",
                "name 10..18 `datetime` is an expression",
            ),
            ("[('a','=',f'x')]", "name 10..11 `f` is an expression"),
            ("[1", "syntax 0..1 `[` is never closed"),
            (
                "[1)",
                "syntax 2..3 `)` where a comma or the closing bracket belongs; the brackets do not match",
            ),
            ("[1] 2", "syntax 4..5 `2` after the end"),
            ("['a]", "syntax 1..4 the text in quotes is not closed"),
            ("['a\n']", "syntax 1..3 the text in quotes is not closed"),
            ("{'a': 1}", "syntax 0..1 sets and dicts"),
            ("[“a”]", "syntax 1..4 `“` here; use straight quotes"),
            ("[\u{a0}1]", "syntax 1..3 U+00A0, an invisible character, here"),
            ("[007]", "syntax 1..4 "),
            ("[1j]", "name 1..3 `1j` is an expression"),
            ("[0x1F]", "name 1..5 `0x1F` is an expression"),
            ("[99999999999999999999]", "limit 1..21 "),
            ("[1 + 2]", "syntax 3..4 `+` where"),
            (r"['\ud800']", "syntax 2..8 "),
            (r"['\x4']", "syntax 2..4 "),
            (r"['\N{DASH}']", "syntax 2..4 "),
            ("[-'a']", "name 1..2 `-` is an expression"),
            ("[1e]", "syntax 1..3 "),
            ("[.]", "syntax 1..2 "),
        ] {
            assert!(show(text).starts_with(start), "{text}: {}", show(text));
        }
    }

    #[test]
    fn an_interpreter_is_asked_for_only_where_it_could_help() {
        for text in [
            "[('a','<',datetime.now())]",
            "['|'] * 2",
            "[1+2]",
            "'a'.split()",
            "[f(1)]",
        ] {
            assert!(parse(text).unwrap_err().needs_interpreter(), "{text}");
        }
        for text in ["", "[", "[true]", "['a"] {
            assert!(!parse(text).unwrap_err().needs_interpreter(), "{text}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(parse(&"[".repeat(5000)).unwrap_err().kind, ErrorKind::Limit);
        assert_eq!(
            parse(&" ".repeat(MAX_TEXT + 1)).unwrap_err().kind,
            ErrorKind::Limit
        );
        let deep = format!("{}{}", "(".repeat(MAX_NESTING), ")".repeat(MAX_NESTING));
        assert!(parse(&deep).is_ok());
    }
}
