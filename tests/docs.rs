//! What the documents say is true: of the tests, of the configuration, of what can call an operator.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

#[path = "docs/configuration.rs"]
mod configuration;
#[path = "docs/readme.rs"]
mod readme;
#[path = "docs/references.rs"]
mod references;
#[path = "docs/runbook.rs"]
mod runbook;

use std::path::Path;

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn sources(folder: &Path, kind: &str, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, kind, all);
        } else if path.extension().is_some_and(|e| e == kind) {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_defect_of_the_replaced_module_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    sources(&root.join("tests"), "rs", &mut all);
    sources(&root.join("src"), "rs", &mut all);
    let page = page("replaced-module.md");
    let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("| D")).collect();
    assert_eq!(rows.len(), 37);
    for (row, number) in rows.iter().zip(1..) {
        assert!(row.starts_with(&format!("| D{number} |")), "{row}");
        let shown_by = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            assert!(
                all.contains(&format!("fn {test}(")),
                "D{number}: there is no test {test}"
            );
        }
    }
}
