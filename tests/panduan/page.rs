//! The page as steps: fenced blocks, the outputs shown below them, and remarks to the test (`<!-- uji: … -->`), which stand for what
//! a reader does away from the keyboard: waiting, unplugging a phone, answering a message.

/// Why a block is not performed.
pub const EXCERPTS: &[&str] = &[
    // A picture of letters.
    "bagan", // A programme of others calls it; tests/api.rs does so.
    "api",
];

/// A chapter: what stands under a heading of the second level.
pub struct Chapter {
    pub title: String,
    pub steps: Vec<Step>,
}

pub struct Step {
    /// Its first line in the page, counted from one.
    pub line: usize,
    pub what: What,
    /// What the page shows as its output, and between which lines it stands.
    pub shown: Option<Shown>,
}

#[derive(Clone)]
pub struct Shown {
    pub lines: Vec<String>,
    pub from: usize,
}

pub enum What {
    /// SQL, as whom.
    Sql(Who, String),
    /// A file for `apply`.
    Apply(String),
    /// A daemon file.
    Config(String),
    /// A command for the shell.
    Command(String),
    /// A remark to the test.
    Remark(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A member of `sicantik_notify_operator`.
    Operator,
    /// Odoo's own role.
    Odoo,
    /// A superuser.
    Dba,
}

/// Reads the page. Panics where a block is of a kind that the test does not know.
pub fn chapters(text: &str) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            chapters.push(Chapter {
                title: title.to_owned(),
                steps: Vec::new(),
            });
        } else if let Some(remark) = line.strip_prefix("<!-- uji:") {
            let mut remark = remark.to_owned();
            while !remark.ends_with("-->") {
                remark.push('\n');
                remark.push_str(lines.next().expect("the end of a remark").1);
            }
            let steps = &mut chapters.last_mut().expect("a chapter").steps;
            for one in remark.trim_end_matches("-->").lines().map(str::trim) {
                if !one.is_empty() {
                    steps.push(step(index + 1, What::Remark(one.to_owned())));
                }
            }
        } else if let Some(info) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let mut body = Vec::new();
            for (_, line) in lines.by_ref() {
                if line.trim_start() == "```" {
                    break;
                }
                body.push(line.get(indent..).unwrap_or_default().to_owned());
            }
            let chapter = chapters
                .last_mut()
                .unwrap_or_else(|| panic!("line {}: a block before the first chapter", index + 1));
            block(info, index + 1, body, &mut chapter.steps);
        }
    }
    chapters
}

fn step(line: usize, what: What) -> Step {
    Step {
        line,
        what,
        shown: None,
    }
}

fn block(info: &str, line: usize, body: Vec<String>, steps: &mut Vec<Step>) {
    let text = body.join("\n");
    match info {
        "sql" => steps.push(step(line, What::Sql(Who::Operator, text))),
        "sql odoo" => steps.push(step(line, What::Sql(Who::Odoo, text))),
        "sql dba" => steps.push(step(line, What::Sql(Who::Dba, text))),
        "toml" => steps.push(step(line, What::Apply(text))),
        "toml config" => steps.push(step(line, What::Config(text))),
        "text hasil" => {
            let above = steps
                .last_mut()
                .filter(|s| s.shown.is_none() && matches!(s.what, What::Sql(..) | What::Apply(_)));
            let above = above.unwrap_or_else(|| panic!("line {line}: an output of nothing"));
            above.shown = Some(Shown {
                lines: body,
                from: line + 1,
            });
        }
        "console" => commands(line, body, steps),
        other => {
            let reason = other.split_once("kutipan: ").map(|(_, reason)| reason);
            assert!(
                reason.is_some_and(|r| EXCERPTS.contains(&r)),
                "line {line}: the test does not know what to do with ```{other}"
            );
        }
    }
}

fn commands(line: usize, body: Vec<String>, steps: &mut Vec<Step>) {
    let mut at = 0;
    while at < body.len() {
        let begun = at;
        let mut command = body[at]
            .strip_prefix("$ ")
            .unwrap_or_else(|| panic!("line {}: a command begins with $", line + 1 + at))
            .to_owned();
        while command.ends_with('\\') {
            at += 1;
            command.push('\n');
            command.push_str(&body[at]);
        }
        at += 1;
        let from = at;
        while at < body.len() && !body[at].starts_with("$ ") {
            at += 1;
        }
        let mut one = step(line + 1 + begun, What::Command(command));
        let lines = body[from..at].to_vec();
        if lines.iter().any(|l| !l.is_empty()) {
            one.shown = Some(Shown {
                lines,
                from: line + 1 + from,
            });
        }
        steps.push(one);
    }
}
