//! What is wrong with a file: with line, column, the line itself, carets and a remedy.

use std::ops::Range;

use serde_json::{Value, json};

use super::secrets;

/// Most characters of a line that are shown.
const WIDEST: usize = 140;

/// Something wrong, or doubtful, in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where, in bytes; `None`: the file as a whole.
    pub at: Option<Range<usize>>,
    /// What it is about, such as `rule notify_x`; may be empty.
    pub about: String,
    /// What is wrong; lines of a source with carets may follow.
    pub text: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Its line may hold a secret, and is not shown.
    pub quiet: bool,
}

impl Complaint {
    /// At a place of the file.
    pub fn at(at: Range<usize>, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            about: about.into(),
            text: text.into(),
            remedy: None,
            quiet: false,
        }
    }

    /// About something that the file does not contain.
    pub fn elsewhere(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            at: None,
            about: about.into(),
            text: text.into(),
            remedy: None,
            quiet: false,
        }
    }

    /// What to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Without its line.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// For people: `file:3:1: rule x: what` with the line and carets.
    pub fn shown(&self, file: &str, source: &str) -> String {
        let about = match self.about.is_empty() {
            true => String::new(),
            false => format!("{}: ", self.about),
        };
        let text = self.text.replace('\n', "\n      ");
        let mut shown = match &self.at {
            None => format!("{file}: {about}{text}"),
            Some(at) => {
                let (line, column) = place(source, at.start);
                let excerpt = match self.quiet {
                    true => String::new(),
                    false => excerpt(source, at, line),
                };
                format!("{file}:{line}:{column}: {about}{text}{excerpt}")
            }
        };
        if let Some(remedy) = &self.remedy {
            shown.push_str(&format!("\n      remedy: {}", remedy.replace('\n', "\n      ")));
        }
        shown
    }

    /// For scripts.
    pub fn json(&self, file: &str, source: &str) -> Value {
        let place = self.at.as_ref().map(|at| place(source, at.start));
        json!({"file": file, "line": place.map(|p| p.0), "column": place.map(|p| p.1), "about": self.about, "text": self.text,
               "remedy": self.remedy})
    }
}

/// Line and column of a byte, from one.
pub fn place(source: &str, byte: usize) -> (usize, usize) {
    let byte = floor(source, byte);
    let start = source[..byte].rfind('\n').map_or(0, |at| at + 1);
    (
        source[..byte].matches('\n').count() + 1,
        source[start..byte].chars().count() + 1,
    )
}

fn floor(source: &str, byte: usize) -> usize {
    let mut byte = byte.min(source.len());
    while !source.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

fn excerpt(source: &str, at: &Range<usize>, line: usize) -> String {
    let start = floor(source, at.start);
    let line_start = source[..start].rfind('\n').map_or(0, |found| found + 1);
    let line_end = source[start..]
        .find('\n')
        .map_or(source.len(), |found| start + found);
    let whole = source[line_start..line_end].trim_end();
    if secrets::may_hold(whole) {
        return String::new();
    }
    let shown: String = whole.chars().take(WIDEST).collect();
    let blank: String = source[line_start..start]
        .chars()
        .take(WIDEST)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let end = floor(source, at.end).min(line_start + shown.len()).max(start);
    let marked = source[start..end].chars().count().max(1);
    let margin = " ".repeat(line.to_string().len());
    format!(
        "\n      {line} | {shown}\n      {margin} | {blank}{}",
        "^".repeat(marked)
    )
}

/// The names that are most like a wrong one, for "did you mean".
pub fn near<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let lower = wrong.to_lowercase();
    let mut found: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    // Only what is about as like as the best.
    let best = found.first().map_or(1.0, |(likeness, _)| *likeness);
    let close = found
        .into_iter()
        .take_while(|(likeness, _)| *likeness > best - 0.03);
    close.take(3).map(|(_, name)| name).collect()
}

/// "did you mean a or b? There are: …", as far as there is something to say.
pub fn meant<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match near(wrong, names.iter().copied()) {
        found if !found.is_empty() => format!("did you mean {}?", found.join(" or ")),
        _ => {
            let more = if names.len() > 30 { ", …" } else { "" };
            let listed: Vec<&str> = names.into_iter().take(30).collect();
            format!("there are: {}{more}", listed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_points_at_its_place() {
        let source = "[[rules]]\ncode = \"x\"\nnmae = \"ä\" # \n";
        let at = source.find("nmae").map(|start| start..start + 4).unwrap_or(0..0);
        let complaint = Complaint::at(at, "rule x", "unknown key nmae").remedy("did you mean name?");
        assert_eq!(
            complaint.shown("rules.toml", source),
            "rules.toml:3:1: rule x: unknown key nmae\n      3 | nmae = \"ä\" #\n        | ^^^^\n      remedy: did you mean name?"
        );
        // Places outside the file are its end, and no panic.
        assert_eq!(place(source, 10_000), (4, 1));
    }

    #[test]
    fn near_names() {
        let names = ["condition_domain", "condition_python", "code"];
        assert_eq!(meant("condition_domian", names), "did you mean condition_domain?");
        assert_eq!(
            meant("zzz", names),
            "there are: condition_domain, condition_python, code"
        );
    }
}
