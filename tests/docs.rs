//! What the documents say of the tests is true.

#![allow(clippy::unwrap_used)]

use std::path::Path;

fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_defect_of_the_replaced_module_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    sources(&root.join("tests"), &mut all);
    sources(&root.join("src"), &mut all);
    let page = std::fs::read_to_string(root.join("docs/replaced-module.md")).unwrap();
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
