//! Values as the server writes them become the JSON that the hooks would have stored, which is what `to_jsonb` makes of
//! them. Promises: what comes out is JSON that a jsonb column takes, whatever goes in; what the type calls equal is equal.

/// What kind of JSON a type becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true, false.
    Bool,
    /// A number; NaN and infinity are strings.
    Number,
    /// json, which may hold what jsonb refuses.
    Json,
    /// jsonb: as it is.
    Jsonb,
    /// A string with T between date and time.
    Timestamp,
    /// The same with the offset in full.
    TimestampTz,
    /// Everything else is a string.
    Text,
    /// A list of these.
    Array(Box<Kind>),
}

impl Kind {
    /// The server's own types, by pg_type.oid; none for types that must be asked for.
    pub fn built_in(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            20 | 21 | 23 | 700 | 701 | 1700 => Self::Number,
            114 => Self::Json,
            3802 => Self::Jsonb,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            // bytea, "char", name, text, oid, bpchar, varchar, date, time, timetz, interval, uuid
            17 | 18 | 19 | 25 | 26 | 1042 | 1043 | 1082 | 1083 | 1266 | 1186 | 2950 => Self::Text,
            _ => return None,
        })
    }

    /// Whether two values are equal, for all that an event is about: numbers by their worth, everything else by its text.
    pub fn equal(&self, one: &str, other: &str) -> bool {
        one == other || (*self == Self::Number && plain(one) == plain(other))
    }

    /// The value as JSON, added to `out`.
    pub fn write(&self, text: &str, out: &mut String) {
        match self {
            Self::Bool if text == "t" => out.push_str("true"),
            Self::Bool if text == "f" => out.push_str("false"),
            Self::Number if is_number(text) => out.push_str(text),
            Self::Jsonb => out.push_str(text),
            Self::Json if fits_jsonb(text) => out.push_str(text),
            Self::Timestamp => quote(&text.replacen(' ', "T", 1), out),
            Self::TimestampTz => quote(&with_offset(&text.replacen(' ', "T", 1)), out),
            Self::Array(item) => match array(text, item) {
                Some(list) => out.push_str(&list),
                None => quote(text, out),
            },
            _ => quote(text, out),
        }
    }
}

/// A JSON string.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // The server's text has none; jsonb would refuse it.
            '\0' => {}
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number without what does not count: 1.50 and 1.5 are one number, and so are 0 and -0.
fn plain(text: &str) -> &str {
    let short = match text.contains('.') && !text.contains(['e', 'E']) {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    };
    if short == "-0" { "0" } else { short }
}

/// Digits as JSON writes them; not NaN, not Infinity.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
}

/// json holds its text as it came: what jsonb would refuse (the character 0, numbers without measure, halves of characters)
/// is kept as a string.
fn fits_jsonb(text: &str) -> bool {
    !text.contains("\\u0000") && serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// `+00` as `+00:00`, also before ` BC`.
fn with_offset(text: &str) -> String {
    let (time, era) = match text.strip_suffix(" BC") {
        Some(time) => (time, " BC"),
        None => (text, ""),
    };
    let short = time.len() >= 3
        && time.is_char_boundary(time.len() - 3)
        && time.contains('T')
        && time[time.len() - 3..].starts_with(['+', '-']);
    match short {
        true => format!("{time}:00{era}"),
        false => text.to_owned(),
    }
}

/// An array literal as a JSON list; none if it is not understood.
fn array(text: &str, item: &Kind) -> Option<String> {
    // Bounds other than 1 stand before it: [0:2]={…}
    let start = text.find('{')?;
    let (bounds, literal) = text.split_at(start);
    if !(bounds.is_empty() || bounds.ends_with('=')) {
        return None;
    }
    let mut out = String::with_capacity(literal.len() + 2);
    let mut rest = literal.chars().peekable();
    level(&mut rest, item, &mut out, 0)?;
    rest.next().is_none().then_some(out)
}

/// Dimensions that an array may have.
const DEEPEST: usize = 6;

fn level(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    item: &Kind,
    out: &mut String,
    depth: usize,
) -> Option<()> {
    if depth > DEEPEST || rest.next() != Some('{') {
        return None;
    }
    out.push('[');
    if rest.next_if_eq(&'}').is_some() {
        out.push(']');
        return Some(());
    }
    loop {
        match rest.peek()? {
            '{' => level(rest, item, out, depth + 1)?,
            '"' => item.write(&quoted(rest)?, out),
            _ => match bare(rest).as_str() {
                "NULL" => out.push_str("null"),
                value => item.write(value, out),
            },
        }
        match rest.next()? {
            ',' => out.push(','),
            '}' => break,
            _ => return None,
        }
    }
    out.push(']');
    Some(())
}

fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    rest.next();
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
    }
}

fn bare(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next_if(|c| !matches!(c, ',' | '}')) {
        value.push(c);
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(kind: &Kind, text: &str) -> String {
        let mut out = String::new();
        kind.write(text, &mut out);
        out
    }

    fn list(kind: Kind) -> Kind {
        Kind::Array(Box::new(kind))
    }

    #[test]
    fn values_are_what_to_jsonb_makes_of_them() {
        for (kind, text, expected) in [
            (Kind::Bool, "t", "true"),
            (Kind::Number, "-12.50", "-12.50"),
            (Kind::Number, "NaN", "\"NaN\""),
            (Kind::Number, "-Infinity", "\"-Infinity\""),
            (Kind::Number, "1e+20", "1e+20"),
            (Kind::Text, "a \"b\"\\\n\u{1}", r#""a \"b\"\\\n\u0001""#),
            (
                Kind::Timestamp,
                "2026-01-02 03:04:05.6",
                "\"2026-01-02T03:04:05.6\"",
            ),
            (
                Kind::TimestampTz,
                "2026-01-02 03:04:05+00",
                "\"2026-01-02T03:04:05+00:00\"",
            ),
            (Kind::TimestampTz, "infinity", "\"infinity\""),
            (
                Kind::TimestampTz,
                "0044-03-15 10:00:00+00 BC",
                "\"0044-03-15T10:00:00+00:00 BC\"",
            ),
            (Kind::Jsonb, r#"{"a": 1}"#, r#"{"a": 1}"#),
            (Kind::Json, r#"{"a":"\u0000"}"#, r#""{\"a\":\"\\u0000\"}""#),
            (list(Kind::Number), "{1,NULL,3}", "[1,null,3]"),
            (list(Kind::Text), r#"{"a,b","NULL",c}"#, r#"["a,b","NULL","c"]"#),
            (list(Kind::Bool), "{{t,f},{f,t}}", "[[true,false],[false,true]]"),
            (list(Kind::Number), "[0:1]={7,8}", "[7,8]"),
            (list(Kind::Text), "{}", "[]"),
            (list(Kind::Text), "{\"a", "\"{\\\"a\""),
        ] {
            assert_eq!(json(&kind, text), expected, "{kind:?} {text}");
        }
    }

    #[test]
    fn numbers_are_compared_by_their_worth_and_text_by_its_letters() {
        for (one, other) in [("1.50", "1.5"), ("2.00", "2"), ("-0", "0"), ("0.00", "0")] {
            assert!(Kind::Number.equal(one, other), "{one} {other}");
            assert!(!Kind::Text.equal(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("10", "1"),
            ("100", "1.0"),
            ("1e+20", "1e+2"),
            ("-1", "1"),
            ("NaN", "1"),
        ] {
            assert!(!Kind::Number.equal(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_goes_out_as_json(text in any::<String>(), depth in 0_usize..3, which in 0_usize..5) {
            let mut kind = [Kind::Bool, Kind::Json, Kind::Timestamp, Kind::TimestampTz, Kind::Text][which].clone();
            for _ in 0..depth {
                kind = list(kind);
            }
            let out = json(&kind, &text);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        }

        #[test]
        fn array_literals_are_no_panic(text in "[\\[\\]{}\",\\\\NUL1=: ]{0,40}") {
            let out = json(&list(Kind::Text), &text);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
        }
    }
}
