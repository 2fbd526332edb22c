//! Where the documents point to something, it is there: links and their anchors, commands and their options.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::desk::program;

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let all = docs
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .chain([root.join("README.md")]);
    all.map(|p| (p.clone(), std::fs::read_to_string(p).unwrap()))
        .collect()
}

/// Without fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|l| {
        let fence = l.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    lines.map(|l| format!("{l}\n")).collect()
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut links = 0;
    for (path, text) in pages() {
        for target in prose(&text)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let page =
                std::fs::read_to_string(&there).unwrap_or_else(|_| panic!("{}: {target}", path.display()));
            let found = part.is_empty()
                || prose(&page)
                    .lines()
                    .filter(|l| l.starts_with('#'))
                    .any(|l| anchor(l.trim_start_matches('#')) == part);
            assert!(found, "{}: {target}", path.display());
            links += 1;
        }
    }
    assert!(links > 30, "{links}");
}

fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(program())
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_command_of_the_documents_is_one() {
    let all = help(&[]).expect("help");
    let ours: Vec<&str> = all
        .lines()
        .skip_while(|l| *l != "Commands:")
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next())
        .collect();
    let mut commands: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, text) in pages() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let prose = prose(&text).replace('\n', " ");
        for token in prose.split('`').skip(1).step_by(2) {
            let command = match token.trim().strip_prefix("sicantik-notifyd ") {
                Some(command) => command,
                None if token.contains(" --")
                    && ours.contains(&token.split(' ').next().unwrap_or_default()) =>
                {
                    token
                }
                None => continue,
            };
            commands.insert((
                command.split_whitespace().collect::<Vec<_>>().join(" "),
                name.clone(),
            ));
        }
    }
    let mut looked = 0;
    for (command, page) in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let named: Vec<&str> = words
            .iter()
            .take_while(|w| !w.starts_with('-') && w.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            .take(2)
            .copied()
            .collect();
        let text = help(&named).unwrap_or_else(|| panic!("{page}: there is no command {command:?}"));
        for option in words.iter().filter(|w| w.starts_with("--")) {
            let option = option.trim_matches(|c: char| !c.is_ascii_lowercase() && c != '-');
            let option = option.split('=').next().unwrap_or_default();
            assert!(
                text.contains(option),
                "{page}: {command:?} has no option {option}"
            );
        }
        looked += 1;
    }
    assert!(looked > 40, "{looked}");
}
