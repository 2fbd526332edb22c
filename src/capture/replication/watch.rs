//! Which changes of a table are events, and what an event carries: the rules of the hooks (`sql/hooks/capture_body.sql`),
//! applied to decoded rows. Pure.

use super::decode::{Cell, Lsn, Old, Tuple};
use super::value::{Kind, quote};

/// A column that triggers or rules look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its place in the row.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// What its values become.
    pub kind: Kind,
    /// Its change is an event, with the old value.
    pub watched: bool,
    /// Its new value is stored.
    pub carried: bool,
    /// Its change alone is an event, for on_write triggers.
    pub counted: bool,
}

/// How a table is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Odoo model.
    pub model: String,
    /// The table, for messages.
    pub table: String,
    /// Inserts are events.
    pub on_insert: bool,
    /// Transactions committed from here on are ours; those before were the hooks'.
    pub from: Lsn,
    /// Transactions committed from here on are the hooks' again.
    pub until: Option<Lsn>,
    /// Place of the record's id.
    pub id: usize,
    /// Place of Odoo's write_date.
    pub write_date: Option<usize>,
    /// Columns, by name.
    pub roles: Vec<Role>,
}

/// A row of `event` to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Record.
    pub record: i64,
    /// True: the record is new.
    pub insert: bool,
    /// Names of the columns that changed, as an array literal.
    pub changed: Option<String>,
    /// Old values of watched columns, JSON.
    pub old: Option<String>,
    /// New values of carried columns, JSON.
    pub new: String,
}

impl NewEvent {
    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        64 + self.new.len() + self.old.as_ref().map_or(0, String::len)
    }
}

/// What a change means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No trigger looks for it.
    Nothing,
    /// An event.
    Event(NewEvent),
    /// The server sent no old row: whether anything changed cannot be told.
    Blind,
    /// The row has no id that can be read.
    Nameless,
}

impl Watch {
    /// Whether changes that were committed there are ours.
    pub fn covers(&self, commit: Lsn) -> bool {
        commit >= self.from && self.until.is_none_or(|until| commit < until)
    }

    /// A row was made.
    pub fn inserted(&self, new: &Tuple<'_>) -> Verdict {
        match self.on_insert {
            true => self.created(new, None),
            false => Verdict::Nothing,
        }
    }

    /// A row was written.
    pub fn updated(&self, old: Option<&Old<'_>>, new: &Tuple<'_>) -> Verdict {
        let old = match old {
            // A changed id is a new record, whatever else is known of the old one.
            Some(Old::Key(old) | Old::Full(old)) if old.get(self.id) != new.get(self.id) => {
                return self.created(new, Some(old));
            }
            Some(Old::Full(old)) => old,
            Some(Old::Key(_)) | None => return Verdict::Blind,
        };
        let changed: Vec<&Role> = self.roles.iter().filter(|r| differs(r, old, new)).collect();
        let hit = |role: &&&Role| role.watched || role.counted;
        if changed.is_empty() || (!changed.iter().any(|r| hit(&r)) && !self.completes(old, new)) {
            return Verdict::Nothing;
        }
        let Some(record) = self.record(new) else {
            return Verdict::Nameless;
        };
        let mut names = String::from("{");
        for (index, role) in changed.iter().filter(hit).enumerate() {
            if index > 0 {
                names.push(',');
            }
            literal(&role.name, &mut names);
        }
        names.push('}');
        Verdict::Event(NewEvent {
            record,
            insert: false,
            changed: Some(names),
            old: Some(self.image(old, None, |r| r.watched)),
            new: self.image(new, Some(old), |r| r.carried),
        })
    }

    fn created(&self, new: &Tuple<'_>, old: Option<&Tuple<'_>>) -> Verdict {
        match self.record(new) {
            None => Verdict::Nameless,
            Some(record) => Verdict::Event(NewEvent {
                record,
                insert: true,
                changed: None,
                old: None,
                new: self.image(new, old, |r| r.carried),
            }),
        }
    }

    /// A column that is only carried makes no event of its own, unless the row may have been written before in this very
    /// transaction (Odoo writes a row twice, and then write_date stays the same): so a transaction's last image is complete.
    fn completes(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        self.write_date.is_none_or(|at| same(old.get(at), new.get(at)))
    }

    fn record(&self, new: &Tuple<'_>) -> Option<i64> {
        match new.get(self.id)? {
            Cell::Text(id) => id.parse().ok(),
            Cell::Null | Cell::Unchanged => None,
        }
    }

    /// Values as a JSON object. A long value that was not touched is taken from the old row; where that lacks it too, the
    /// event does not carry it.
    fn image(&self, row: &Tuple<'_>, old: Option<&Tuple<'_>>, wanted: impl Fn(&Role) -> bool) -> String {
        let mut out = String::from("{");
        for role in self.roles.iter().filter(|r| wanted(r)) {
            let cell = match row.get(role.place) {
                Some(Cell::Unchanged) => old.and_then(|old| old.get(role.place)),
                cell => cell,
            };
            let Some(cell @ (Cell::Null | Cell::Text(_))) = cell else {
                continue;
            };
            if out.len() > 1 {
                out.push(',');
            }
            quote(&role.name, &mut out);
            out.push(':');
            match cell {
                Cell::Text(text) => role.kind.write(text, &mut out),
                Cell::Null | Cell::Unchanged => out.push_str("null"),
            }
        }
        out.push('}');
        out
    }
}

fn differs(role: &Role, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
    match (old.get(role.place), new.get(role.place)) {
        (Some(Cell::Text(old)), Some(Cell::Text(new))) => !role.kind.equal(old, new),
        (old, new) => !same(old, new),
    }
}

fn same(old: Option<&Cell<'_>>, new: Option<&Cell<'_>>) -> bool {
    matches!(new, Some(Cell::Unchanged)) || old == new
}

/// An element of an array literal.
fn literal(name: &str, out: &mut String) {
    out.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(place: usize, name: &str, watched: bool, carried: bool, counted: bool) -> Role {
        Role {
            place,
            name: name.to_owned(),
            kind: if name == "fee" { Kind::Number } else { Kind::Text },
            watched,
            carried,
            counted,
        }
    }

    /// id, status (watched), phone (carried), fee (watched), write_date.
    fn watch() -> Watch {
        Watch {
            model: "sicantik.permit".into(),
            table: "sicantik_permit".into(),
            on_insert: true,
            from: Lsn(100),
            until: None,
            id: 0,
            write_date: Some(4),
            roles: vec![
                role(3, "fee", true, true, false),
                role(2, "phone", false, true, false),
                role(1, "status", true, true, false),
            ],
        }
    }

    fn row(values: [&'static str; 5]) -> Tuple<'static> {
        values
            .map(|v| match v {
                "~" => Cell::Null,
                "…" => Cell::Unchanged,
                text => Cell::Text(text.into()),
            })
            .into()
    }

    fn update(old: [&'static str; 5], new: [&'static str; 5]) -> Verdict {
        watch().updated(Some(&Old::Full(row(old))), &row(new))
    }

    fn event(verdict: Verdict) -> NewEvent {
        match verdict {
            Verdict::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    const BEFORE: [&str; 5] = ["7", "draft", "+62", "1.50", "monday"];

    #[test]
    fn a_watched_column_that_changed_is_an_event_with_its_old_value() {
        let event = event(update(BEFORE, ["7", "active", "+62", "1.5", "tuesday"]));
        assert_eq!(event.record, 7);
        assert!(!event.insert);
        assert_eq!(event.changed.as_deref(), Some(r#"{"status"}"#));
        assert_eq!(event.old.as_deref(), Some(r#"{"fee":1.50,"status":"draft"}"#));
        assert_eq!(event.new, r#"{"fee":1.5,"phone":"+62","status":"active"}"#);
    }

    #[test]
    fn equal_values_are_no_change_and_null_is_a_value() {
        assert_eq!(
            update(BEFORE, ["7", "draft", "+62", "1.5", "tuesday"]),
            Verdict::Nothing
        );
        let event = event(update(BEFORE, ["7", "~", "+62", "1.5", "tuesday"]));
        assert_eq!(event.changed.as_deref(), Some(r#"{"status"}"#));
    }

    #[test]
    fn a_carried_column_counts_only_where_the_row_was_written_before_in_its_transaction() {
        assert_eq!(
            update(BEFORE, ["7", "draft", "+63", "1.50", "tuesday"]),
            Verdict::Nothing
        );
        let event = event(update(BEFORE, ["7", "draft", "+63", "1.50", "monday"]));
        assert_eq!(event.changed.as_deref(), Some("{}"));
        let mut bare = watch();
        bare.write_date = None;
        let old = Old::Full(row(BEFORE));
        assert!(matches!(
            bare.updated(Some(&old), &row(["7", "draft", "+63", "1.50", "x"])),
            Verdict::Event(_)
        ));
    }

    #[test]
    fn a_changed_id_is_a_new_record() {
        let event = event(update(BEFORE, ["8", "draft", "…", "1.50", "monday"]));
        assert!(event.insert && event.record == 8 && event.old.is_none());
        assert!(event.new.contains("\"phone\":\"+62\""), "{}", event.new);
    }

    #[test]
    fn a_long_value_that_was_not_touched_comes_from_the_old_row() {
        let event = event(update(BEFORE, ["7", "active", "…", "…", "tuesday"]));
        assert_eq!(event.changed.as_deref(), Some(r#"{"status"}"#));
        assert_eq!(event.new, r#"{"fee":1.50,"phone":"+62","status":"active"}"#);
    }

    #[test]
    fn without_an_old_row_nobody_knows() {
        assert_eq!(watch().updated(None, &row(BEFORE)), Verdict::Blind);
        let key = Old::Key(row(["7", "~", "~", "~", "~"]));
        assert_eq!(watch().updated(Some(&key), &row(BEFORE)), Verdict::Blind);
        assert_eq!(
            watch().inserted(&row(["x", "~", "~", "~", "~"])),
            Verdict::Nameless
        );
    }

    #[test]
    fn transactions_belong_to_one_backend() {
        let mut watch = watch();
        watch.until = Some(Lsn(200));
        assert_eq!(
            [99, 100, 199, 200].map(|lsn| watch.covers(Lsn(lsn))),
            [false, true, true, false]
        );
    }

    #[test]
    fn counted_columns_make_events_for_on_write() {
        let mut watch = watch();
        watch.roles.push(role(4, "write_date", false, false, true));
        let verdict = watch.updated(
            Some(&Old::Full(row(BEFORE))),
            &row(["7", "draft", "+62", "1.50", "tuesday"]),
        );
        let event = event(verdict);
        assert_eq!(event.changed.as_deref(), Some(r#"{"write_date"}"#));
        assert!(!event.new.contains("write_date"));
    }

    #[test]
    fn names_are_quoted() {
        let mut out = String::new();
        literal("a\"b\\c", &mut out);
        assert_eq!(out, r#""a\"b\\c""#);
    }
}
