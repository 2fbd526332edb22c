//! What became of each thing of the replaced module.

use serde_json::{Value, json};

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stands here as it stood there.
    Carried,
    /// It stands here, and something about it is different.
    Changed,
    /// It stands here already: from an import before this one, or of itself.
    Before,
    /// What stands here under its name stays.
    Kept,
    /// It waits for something that this version does not have.
    Later,
    /// It could not be carried over.
    Refused,
}

impl Fate {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Changed => "changed",
            Self::Before => "here_already",
            Self::Kept => "kept",
            Self::Later => "later",
            Self::Refused => "refused",
        }
    }
}

/// One thing of the replaced module.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `rule`, `trigger`, …
    pub kind: &'static str,
    /// What it is here, or was called there.
    pub code: String,
    /// `sicantik_notification_rule 5`.
    pub source: String,
    /// What became of it.
    pub fate: Fate,
    /// It stands here switched off although it was on there.
    pub switched_off: bool,
    /// What is to be known.
    pub notes: Vec<String>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Entry {
    /// Several with the same note share it.
    fn says_the_same(&self, other: &Self) -> bool {
        let alone = self.notes.is_empty() || self.remedy.is_some() || other.remedy.is_some();
        match alone {
            true => std::ptr::eq(self, other),
            false => self.kind == other.kind && self.notes == other.notes,
        }
    }
}

/// Codes, and the rows of the host that they come from.
fn named(entries: &[&Entry]) -> String {
    let code = |e: &&Entry| format!("{}{}", e.code, if e.switched_off { " (inactive)" } else { "" });
    let codes: Vec<String> = entries.iter().map(code).collect();
    let table = |e: &Entry| e.source.split(' ').next().unwrap_or_default().to_owned();
    let id = |e: &&Entry| e.source.split(' ').nth(1).unwrap_or_default().to_owned();
    let ids: Vec<String> = entries.iter().map(id).collect();
    let table = entries.first().map(|e| table(e)).unwrap_or_default();
    format!("{} ← {table} {}", codes.join(", "), ids.join(", "))
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One a thing.
    pub entries: Vec<Entry>,
    /// What concerns all of them.
    pub remarks: Vec<String>,
    /// Credentials that must be created, and for whom.
    pub credentials: Vec<(String, String)>,
}

impl Report {
    /// How many came to this.
    pub fn count(&self, fate: Fate) -> usize {
        self.entries.iter().filter(|e| e.fate == fate).count()
    }

    /// Whether rows were written.
    pub fn writes(&self) -> bool {
        self.count(Fate::Carried) + self.count(Fate::Changed) > 0
    }

    /// Whether something needs a person: what was not carried over, and what is switched off.
    pub fn needs_a_person(&self) -> bool {
        let undone = |e: &Entry| e.switched_off || matches!(e.fate, Fate::Kept | Fate::Later | Fate::Refused);
        self.entries.iter().any(undone)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (fate, heading) in [
            (Fate::Carried, "carried over"),
            (Fate::Changed, "carried over, and changed on the way"),
            (Fate::Before, "here already"),
            (Fate::Kept, "not overwritten: what stands here stays"),
            (Fate::Later, "waiting"),
            (Fate::Refused, "could not be carried over"),
        ] {
            // What is as it was is worth a line only where there is something to say.
            let worth = |e: &&Entry| e.fate == fate && !(fate == Fate::Before && e.notes.is_empty());
            let entries: Vec<&Entry> = self.entries.iter().filter(worth).collect();
            if entries.is_empty() {
                continue;
            }
            text.push_str(&format!("{heading}:\n"));
            let mut said: Vec<&Entry> = Vec::new();
            for entry in &entries {
                let alike = |other: &&Entry| other.says_the_same(entry);
                if said.iter().any(|first| first.says_the_same(entry)) {
                    continue;
                }
                said.push(entry);
                let together: Vec<&Entry> = entries.iter().copied().filter(alike).collect();
                text.push_str(&format!("  {} {}\n", entry.kind, named(&together)));
                for note in &entry.notes {
                    text.push_str(&format!("      {}\n", note.replace('\n', "\n      ")));
                }
                if let Some(remedy) = &entry.remedy {
                    text.push_str(&format!("      remedy: {remedy}\n"));
                }
            }
        }
        if !self.credentials.is_empty() {
            text.push_str(
                "credentials to create, as systemd credentials or environment variables of the daemon:\n",
            );
            for (credential, whose) in &self.credentials {
                text.push_str(&format!("  {credential}: {whose}\n"));
            }
        }
        for remark in &self.remarks {
            text.push_str(&format!("note: {}\n", remark.replace('\n', "\n      ")));
        }
        text
    }

    /// The last line.
    pub fn summary(&self) -> String {
        let off = self.entries.iter().filter(|e| e.switched_off).count();
        format!(
            "{} carried over, {} of them changed on the way, {off} inactive until you switch them on; {} here already, {} not overwritten, {} \
             waiting, {} could not be carried over.",
            self.count(Fate::Carried) + self.count(Fate::Changed),
            self.count(Fate::Changed),
            self.count(Fate::Before),
            self.count(Fate::Kept),
            self.count(Fate::Later),
            self.count(Fate::Refused)
        )
    }

    /// For scripts.
    pub fn json(&self, written: bool) -> Value {
        let entries: Vec<Value> = self
            .entries
            .iter()
            .map(|e| {
                json!({"kind": e.kind, "code": e.code, "source": e.source, "result": e.fate.as_str(), "switched_off": e.switched_off,
                       "notes": e.notes, "remedy": e.remedy})
            })
            .collect();
        let credentials: Vec<Value> = self
            .credentials
            .iter()
            .map(|(name, whose)| json!({"credential": name, "for": whose}))
            .collect();
        json!({"written": written, "entries": entries, "credentials": credentials, "remarks": self.remarks,
               "summary": {"carried": self.count(Fate::Carried), "changed": self.count(Fate::Changed), "here_already": self.count(Fate::Before),
                           "kept": self.count(Fate::Kept), "later": self.count(Fate::Later), "refused": self.count(Fate::Refused)}})
    }
}
