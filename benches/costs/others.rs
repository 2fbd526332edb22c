//! The benchmarks that stand by themselves: run, and their last words taken into the table.

use std::process::Command;

use super::table::{Table, Target};

/// Runs `cargo bench --bench NAME` and returns what it printed.
fn run(name: &str, settings: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["bench", "--locked", "--quiet", "--bench", name])
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The number before a mark, or after it.
fn before(line: &str, mark: &str) -> Option<f64> {
    line.split_once(mark)?.0.split_whitespace().last()?.parse().ok()
}

fn after(line: &str, mark: &str) -> Option<f64> {
    line.split_once(mark)?
        .1
        .split_whitespace()
        .next()?
        .trim_end_matches(',')
        .parse()
        .ok()
}

/// Each scenario is a line that begins at the margin, its median a line below it.
pub fn evaluation(table: &mut Table, full: bool) {
    let settings: &[(&str, &str)] = match full {
        true => &[],
        false => &[("EVENTS", "20000"), ("ROUNDS", "3")],
    };
    let text = run("evaluation", settings);
    let mut scenario = "mixed rules";
    for line in text.lines() {
        if !line.starts_with(' ') && !line.starts_with("median") && !line.starts_with("round") {
            scenario = line;
        } else if let Some(rate) = before(line, " events/s").filter(|_| line.contains("median")) {
            let target = match scenario {
                s if s.starts_with("snippet") => Target::AtLeast(5000.0),
                s if s.starts_with("ten rules") => Target::None,
                _ => Target::AtLeast(20_000.0),
            };
            let against = after(line, "server CPU ")
                .map_or(String::new(), |r| format!("server CPU {r} × bare statements"));
            let what = format!("c. {}", scenario.split(',').next().unwrap_or(scenario));
            table.figure(&what, rate, " events/s", &against, target);
        } else if let Some(ratio) = after(line, "median ratio to the bare statements: ") {
            table.ratio(
                "c. evaluation, mixed rules",
                String::new(),
                "bare statements".into(),
                ratio,
                Target::None,
            );
        }
    }
}

pub fn campaign(table: &mut Table, full: bool) {
    let settings: &[(&str, &str)] = match full {
        true => &[],
        false => &[("TARGETS", "300000"), ("ROUNDS", "3")],
    };
    let text = run("campaign", settings);
    for line in text.lines() {
        if let Some(ratio) = after(line, "median ratio: ") {
            let targets = text.split_whitespace().next().unwrap_or_default();
            table.ratio(
                &format!("e. {targets} campaign targets"),
                "campaign_start to the last target".into(),
                "bare INSERT … SELECT".into(),
                ratio,
                Target::AtMost(2.0),
            );
        }
    }
}
