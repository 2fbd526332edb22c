//! What a message from a person means: one of the office's words, and nothing else, or no more than "somebody wrote".

use std::collections::HashMap;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// No more messages.
    Stop,
    /// Messages again.
    Start,
    /// Consent to messages through Meta.
    OptIn,
}

impl Meaning {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::OptIn => "opt_in",
        }
    }
}

/// The office's words.
#[derive(Clone, Debug, Default)]
pub struct Words {
    known: HashMap<String, Meaning>,
}

impl Words {
    /// From the settings, each a list with commas. A word that stands in two lists means the first of stop, start, opt-in.
    pub fn new(stop: &str, start: &str, opt_in: &str) -> Self {
        let mut known = HashMap::new();
        let lists = [
            (stop, Meaning::Stop),
            (start, Meaning::Start),
            (opt_in, Meaning::OptIn),
        ];
        for (list, meaning) in lists {
            for word in list.split(',').map(bare).filter(|word| !word.is_empty()) {
                known.entry(word).or_insert(meaning);
            }
        }
        Self { known }
    }

    /// The meaning of a whole message: "tidak setuju" is not "setuju".
    pub fn meaning(&self, text: &str) -> Option<Meaning> {
        self.known.get(&bare(text)).copied()
    }
}

/// Letters and digits only, in lower case.
fn bare(text: &str) -> String {
    // No word of an office is longer; a novel need not be copied.
    let letters = text.chars().filter(|c| c.is_alphanumeric()).take(200);
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_whole_message() {
        let words = Words::new(
            "STOP, BERHENTI,UNSUBSCRIBE",
            "START, MULAI",
            "SETUJU, YA SETUJU,, STOP",
        );
        for (text, meaning) in [
            ("STOP", Some(Meaning::Stop)),
            (" stop.\n", Some(Meaning::Stop)),
            ("*Berhenti!*", Some(Meaning::Stop)),
            ("S T O P", Some(Meaning::Stop)),
            ("mulai", Some(Meaning::Start)),
            ("Ya, setuju.", Some(Meaning::OptIn)),
            ("setuju", Some(Meaning::OptIn)),
            ("tidak setuju", None),
            ("stop dulu ya", None),
            ("jangan berhenti", None),
            ("", None),
            ("...", None),
        ] {
            assert_eq!(words.meaning(text), meaning, "{text}");
        }
        assert_eq!(Words::new("", " , ", "").meaning(""), None);
    }
}
