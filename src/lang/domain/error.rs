//! What can be wrong with a domain, and how it is shown.

use std::fmt;
use std::ops::Range;

/// A range of bytes in the text of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// The part of the road on which a domain failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not Python.
    Syntax,
    /// A name that means nothing here.
    Name,
    /// A value that does not fit the field or the operator.
    Type,
    /// Values that do not make a domain.
    Domain,
    /// A field that the model does not have, or that cannot be used.
    Field,
    /// Too large.
    Limit,
}

impl ErrorKind {
    /// The kind in one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Name => "name",
            Self::Type => "type",
            Self::Domain => "domain",
            Self::Field => "field",
            Self::Limit => "limit",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a domain is refused, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}{}{}", if hint.is_some() { "; " } else { "" }, hint.as_deref().unwrap_or(""))]
pub struct DomainError {
    /// Where on the road.
    pub kind: ErrorKind,
    /// What is wrong, in one clause.
    pub message: String,
    /// The bytes of the source that it is about.
    pub span: Span,
    /// The remedy, if one is known.
    pub hint: Option<String>,
    interpreter: bool,
}

impl DomainError {
    pub(super) fn new(kind: ErrorKind, span: Span, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            span,
            hint: None,
            interpreter: false,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn expression(mut self) -> Self {
        self.interpreter = true;
        self
    }

    /// True where the text may well be a Python expression and only an interpreter can tell its value.
    pub fn needs_interpreter(&self) -> bool {
        self.interpreter
    }

    /// The error with the line of the source and carets under the place.
    pub fn diagnostic(&self, source: &str) -> String {
        let head = format!("{} error: {}", self.kind, self.message);
        pointed(&head, self.hint.as_deref(), self.span, source)
    }
}

/// A sentence with the line of the source and carets under the place that it is about.
pub(super) fn pointed(head: &str, hint: Option<&str>, span: Span, source: &str) -> String {
    let start = floor(source, span.start);
    let end = floor(source, span.end).max(start);
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let number = source[..start].matches('\n').count() + 1;
    let blank: String = source[line_start..start]
        .chars()
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let marked = source[start..end.min(line_end).max(start)].chars().count().max(1);
    let margin = " ".repeat(number.to_string().len());
    // Of a very long line, what stands around the place.
    let line = &source[line_start..line_end];
    let (line, blank, marked) = match line.chars().count() {
        length if length <= WIDEST => (line.to_owned(), blank, marked),
        _ => excerpt(line, blank.chars().count(), marked),
    };
    let carets = "^".repeat(marked);
    let mut text = format!("{head}\n{number} | {line}\n{margin} | {blank}{carets}");
    if let Some(hint) = hint {
        text.push_str(&format!("\n{margin} = {hint}"));
    }
    text
}

/// Most characters of a line that are shown.
const WIDEST: usize = 160;

/// Some characters around the marked ones, what stands under them, and how many are marked.
fn excerpt(line: &str, before: usize, marked: usize) -> (String, String, usize) {
    let skipped = before.saturating_sub(WIDEST / 4);
    let lead = if skipped > 0 { "… " } else { "" };
    let shown: String = line.chars().skip(skipped).take(WIDEST).collect();
    let rest = line.chars().count() > skipped + WIDEST;
    let blank = " ".repeat(before - skipped + lead.chars().count());
    let text = format!("{lead}{shown}{}", if rest { " …" } else { "" });
    (
        text,
        blank,
        marked.min((skipped + WIDEST).saturating_sub(before).max(1)),
    )
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_points_at_the_place() {
        let error =
            DomainError::new(ErrorKind::Name, (10..14).into(), "`true` is unknown").hint("write `True`");
        let text = "[\n ('é','=',true)]";
        let at = text.find("true").unwrap();
        let error = DomainError {
            span: (at..at + 4).into(),
            ..error
        };
        assert_eq!(
            error.diagnostic(text),
            "name error: `true` is unknown\n2 |  ('é','=',true)]\n  |           ^^^^\n  = write `True`"
        );
        assert_eq!(error.to_string(), "`true` is unknown; write `True`");
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}true{}", "x".repeat(500), "y".repeat(500));
        let error = DomainError::new(ErrorKind::Name, (500..504).into(), "unknown");
        let shown = error.diagnostic(&text);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[1].starts_with("1 | … x") && lines[1].ends_with("y …") && lines[1].chars().count() < 180
        );
        let at = lines[2].find('^').unwrap();
        let under: String = lines[1].chars().skip(at).take(4).collect();
        assert_eq!(under, "true", "{shown}");
        let all = DomainError::new(ErrorKind::Limit, (0..1004).into(), "long").diagnostic(&text);
        assert!(all.lines().all(|l| l.chars().count() < 180), "{all}");
    }

    #[test]
    fn a_diagnostic_survives_any_span() {
        let error = DomainError::new(ErrorKind::Syntax, (1..999).into(), "x");
        error.diagnostic("é");
        error.diagnostic("");
        error.diagnostic("\n\n");
    }
}
