//! What a migrated database has, read from the very texts that make it, so that `doctor` can say what is missing.

use std::collections::BTreeSet;

use super::migrate;

/// What a right is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A table or view.
    Table,
    /// A sequence.
    Sequence,
    /// A function.
    Function,
}

/// A right that `grants.sql` gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// What it is on.
    pub kind: ObjectKind,
    /// Its qualified name; a function's with the types of its arguments.
    pub object: String,
    /// `select`, `execute` …
    pub privilege: String,
}

/// The indexes that stand after all migrations, keys' indexes aside, by name.
pub fn index_names() -> Vec<String> {
    let mut names = BTreeSet::new();
    for migration in migrate::texts() {
        for statement in statements(&migration) {
            let words: Vec<&str> = statement.split_whitespace().collect();
            match words.as_slice() {
                ["create", "index", name, ..] | ["create", "unique", "index", name, ..] => {
                    names.insert((*name).to_owned());
                }
                ["drop", "index", rest @ ..] => {
                    for name in rest {
                        let name = name.trim_end_matches([',', ';']);
                        names.remove(name.rsplit('.').next().unwrap_or(name));
                    }
                }
                _ => {}
            }
        }
    }
    names.into_iter().collect()
}

/// Whole rights on our objects that `grants.sql` gives a role; rights on single columns are not among them.
pub fn grants_to(role: &str) -> Vec<Grant> {
    let mut grants = BTreeSet::new();
    for statement in statements(migrate::GRANTS) {
        let Some((what, rest)) = statement
            .strip_prefix("grant ")
            .and_then(|s| s.split_once(" on "))
        else {
            continue;
        };
        let Some((objects, roles)) = rest.rsplit_once(" to ") else {
            continue;
        };
        if what.contains('(') || !roles.split(',').any(|r| r.trim() == role) {
            continue;
        }
        let (kind, objects) = match objects.split_once(' ') {
            Some(("schema", _)) => continue,
            Some(("sequence", names)) => (ObjectKind::Sequence, names),
            Some(("function", names)) => (ObjectKind::Function, names),
            _ => (ObjectKind::Table, objects),
        };
        for object in listed(objects) {
            for privilege in what.split(',') {
                grants.insert(Grant {
                    kind,
                    object: object.clone(),
                    privilege: privilege.trim().to_owned(),
                });
            }
        }
    }
    grants.into_iter().collect()
}

/// `a, b(x, y), c` as three names.
fn listed(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                names.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = names.last_mut() {
            last.push(c);
        }
    }
    names
        .iter()
        .map(|n| n.trim().to_owned())
        .filter(|n| !n.is_empty())
        .collect()
}

/// Statements without comments, their white space single, those of functions' bodies among them.
fn statements(text: &str) -> Vec<String> {
    let bare: Vec<&str> = text.lines().map(|l| l.split("--").next().unwrap_or(l)).collect();
    let all = bare.join(" ");
    all.split(';')
        .map(|s| s.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|s| !s.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_they_are_given() {
        let grants = grants_to("sicantik_notifyd");
        let has = |kind, object: &str, privilege: &str| {
            grants
                .iter()
                .any(|g| g.kind == kind && g.object == object && g.privilege == privilege)
        };
        assert!(has(ObjectKind::Table, "sicantik_notify.event", "delete"));
        assert!(has(ObjectKind::Sequence, "sicantik_notify.awake", "update"));
        assert!(has(
            ObjectKind::Function,
            "sicantik_notify.window_opens(text, text, timestamptz)",
            "execute"
        ));
        assert!(!has(ObjectKind::Table, "sicantik_notify.log", "update"));
        assert!(grants_to("nobody").is_empty());
    }

    #[test]
    fn indexes_that_were_dropped_do_not_count() {
        let names = index_names();
        assert!(names.iter().any(|n| n == "queue_ready_idx"), "{names:?}");
        assert_eq!(names.iter().filter(|n| *n == "queue_not_due_idx").count(), 1);
    }
}
