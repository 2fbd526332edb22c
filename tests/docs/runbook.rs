//! Whoever is called at night finds a section for what calls.

use std::path::Path;

use crate::{page, sources};

/// What `v_problem.about` can say, with `…` for a name in it.
fn raised() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<String> = Vec::new();
    for file in ["sql/views/v_problem.sql", "sql/functions/server_findings.sql"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for branch in text.split("select ").skip(1) {
            let columns = columns(branch);
            if columns
                .first()
                .is_some_and(|c| c.contains("'alarm'") || c.contains("'warning'") || c.ends_with(".severity"))
            {
                all.extend(patterns(columns.get(2).expect("a problem is about something")));
            }
        }
    }
    let mut sql = String::new();
    sources(&root.join("sql"), "sql", &mut sql);
    for place in sql.split("sicantik_notify.problem_raise(").skip(1) {
        all.extend(patterns(&columns(place.trim_start())[0]));
    }
    let mut code = String::new();
    sources(&root.join("src"), "rs", &mut code);
    // Whoever raises a problem by a new way adds what it is about.
    assert_eq!(
        code.matches("sql::PROBLEM_RAISE.sql").count(),
        3,
        "evaluate, caretaker, ledger"
    );
    for (place, about) in [
        ("format!(\"configuration: {}\", p.about)", "configuration: …"),
        ("format!(\"host: {}\", row.get", "host: …"),
        ("format!(\"capture of {table}\")", "capture of …"),
        ("const PROBLEM: &str = \"capture slot\"", "capture slot"),
    ] {
        assert!(code.contains(place), "{place}");
        all.push(about.to_owned());
    }
    assert_eq!(
        code.matches(".problem(&format!").count()
            + code.matches(".problem(PROBLEM").count()
            + code.matches(".problem(super::PROBLEM").count(),
        3
    );
    all.sort();
    all.dedup();
    all
}

/// The select list up to its third column, quotes and parentheses minded.
fn columns(text: &str) -> Vec<String> {
    let (mut columns, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                if columns.len() == 3 {
                    return columns;
                }
                columns.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = columns.last_mut() {
            last.push(c);
        }
    }
    columns
}

/// `'provider ' || p.name` as `provider …`; `'daemon'` as itself; a column of another list as nothing.
fn patterns(expression: &str) -> Vec<String> {
    let literals: Vec<&str> = expression.split('\'').skip(1).step_by(2).collect();
    let all = literals.iter().filter(|l| l.len() > 1);
    all.map(|l| {
        if l.ends_with(' ') {
            format!("{l}…")
        } else {
            (*l).to_owned()
        }
    })
    .collect()
}

/// What the headings of the runbook name.
fn named() -> Vec<String> {
    let page = page("operations.md");
    let headings = page.lines().filter(|l| l.starts_with("### "));
    headings
        .flat_map(|l| l.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

#[test]
fn everything_that_v_problem_can_say_has_its_section_in_the_runbook() {
    let (raised, named) = (raised(), named());
    for known in [
        "provider …",
        "daemon",
        "storm of rule …",
        "setting …",
        "capture misses",
        "hook gap of …",
        "partitions",
    ] {
        assert!(
            raised.iter().any(|r| r == known),
            "{known} is not found in the sources: {raised:?}"
        );
    }
    // `job …` is the section of `job process_queue` too.
    let fits =
        |n: &String, r: &String| n == r || n.strip_suffix('…').is_some_and(|begin| r.starts_with(begin));
    let missing: Vec<&String> = raised
        .iter()
        .filter(|r| !named.iter().any(|n| fits(n, r)))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md has no section for {missing:?}"
    );
    let idle: Vec<&String> = named
        .iter()
        .filter(|n| !raised.iter().any(|r| fits(n, r)))
        .collect();
    assert!(idle.is_empty(), "nothing says {idle:?}");
}

#[test]
fn every_alert_leads_to_its_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alerts = std::fs::read_to_string(root.join("packaging/prometheus/alerts.yml")).unwrap();
    let page = page("operations.md");
    let headings: Vec<String> = page
        .lines()
        .filter(|l| l.starts_with("## ") || l.starts_with("### "))
        .map(|l| l.trim_start_matches('#').trim().replace(['`', '…'], ""))
        .collect();
    let mut blocks = alerts.split("- alert: ").skip(1).peekable();
    assert!(blocks.peek().is_some());
    for block in blocks {
        let name = block.lines().next().unwrap();
        let section = block
            .split("runbook: \"operations.md: ")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let section = section.unwrap_or_else(|| panic!("{name} has no runbook"));
        let leads = headings.iter().any(|h| {
            h.strip_prefix(section)
                .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        });
        assert!(
            leads,
            "{name}: docs/operations.md has no section {section:?} in {headings:?}"
        );
    }
}
