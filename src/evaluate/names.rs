//! Whether two names may be one person's. The host links permits to partners by a part of the name, so "Budi" is linked to
//! "Budi Santoso": a name that is only part of the other one is another name here. What people write differently is folded:
//! case, accents, punctuation, titles, the order of words. Pure.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Titles that stand before a name.
const BEFORE: &[&str] = &[
    "bapak", "bpk", "pak", "ibu", "bu", "sdr", "sdri", "saudara", "saudari", "tn", "tuan", "ny", "nyonya",
    "nn", "nona", "h", "hj", "haji", "hajjah", "kh", "alm", "almh", "prof", "dr", "drg", "drh", "drs", "dra",
    "ir", "ust", "ustaz", "ustadz", "apt", "ns",
];

/// Degrees that stand after it.
const AFTER: &[&str] = &[
    "ah", "akt", "amd", "amdkeb", "amdkep", "amk", "apt", "bba", "drph", "llm", "lc", "mag", "mak", "mba",
    "mec", "meng", "mfarm", "mh", "mhum", "mikom", "mkes", "mkeb", "mkep", "mkn", "mkom", "mkm", "mm", "mmt",
    "mpd", "mpdi", "mph", "mpsi", "msc", "msi", "msn", "msos", "mstr", "mt", "mti", "ners", "ns", "phd",
    "sag", "sak", "sap", "sars", "sds", "se", "sei", "sfarm", "sgz", "sh", "shi", "shum", "sik", "sikom",
    "sip", "skeb", "sked", "skep", "skg", "skh", "skm", "skom", "sp", "spd", "spdi", "spi", "spog", "spoi",
    "spsi", "spt", "ssi", "ssn", "ssos", "sst", "sstp", "st", "str", "strkeb", "strkep", "sthi", "sti",
];

/// Whether they are the same words.
pub(super) fn agree(one: &str, other: &str) -> bool {
    words(one) == words(other)
}

/// The words of a name, folded, without titles; with them where nothing else is left.
fn words(name: &str) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for part in name.split([',', ';', '(', ')']) {
        kept.extend(untitled(
            part.split(is_gap).map(fold).filter(|w| !w.is_empty()).collect(),
        ));
    }
    if !kept.is_empty() {
        return kept;
    }
    let all = name.split(|c: char| is_gap(c) || ",;()".contains(c));
    all.flat_map(fold_parts).collect()
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '/' | '_')
}

/// `S.H.` is one word, `Drs.Edi` two: dots join where the whole is a title, and part otherwise.
fn untitled(tokens: Vec<String>) -> Vec<String> {
    let joined = |token: &String| token.replace('.', "");
    let mut tokens: std::collections::VecDeque<String> = tokens.into();
    while tokens.back().is_some_and(|t| AFTER.contains(&joined(t).as_str())) {
        tokens.pop_back();
    }
    let mut words: std::collections::VecDeque<String> = tokens.iter().flat_map(|t| fold_parts(t)).collect();
    while words.front().is_some_and(|w| BEFORE.contains(&w.as_str())) {
        words.pop_front();
    }
    words.into()
}

fn fold_parts(token: &str) -> Vec<String> {
    let parts = token.split('.').map(|part| fold(part).replace('.', ""));
    parts.filter(|part| !part.is_empty()).collect()
}

/// Lower case, no accents, letters, digits and dots only.
fn fold(word: &str) -> String {
    let base = word.nfkd().filter(|c| !is_combining_mark(*c));
    base.flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric() || *c == '.')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_differently_is_the_same_name() {
        for (one, other) in [
            ("Budi Santoso", "BUDI  santoso"),
            ("Budi Santoso", "Santoso, Budi"),
            ("Drs. Edi Sembiring", "Edi Sembiring"),
            ("Drs.Edi Sembiring, S.H., M.Si.", "EDI SEMBIRING"),
            ("H. M. Yusuf", "M Yusuf"),
            ("Hj. Siti Rahayu, SE", "Siti Rahayu S.E"),
            ("Bpk. Budi", "Budi"),
            ("Ibu Ani Lestari", "Ani Lestari"),
            ("Ir. H. Joko Susilo, M.T.", "joko susilo"),
            ("José Garçon", "Jose Garcon"),
            ("O'Neil", "O’Neil"),
            ("Siti-Nur Haliza", "Siti Nur Haliza"),
            ("PT Maju Jaya", "PT. MAJU JAYA"),
            ("Ir.", "ir"),
        ] {
            assert!(
                agree(one, other),
                "{one} and {other}: {:?} {:?}",
                words(one),
                words(other)
            );
            assert!(agree(other, one), "{other} and {one}");
        }
    }

    #[test]
    fn a_part_of_a_name_is_another_name() {
        for (one, other) in [
            ("Budi", "Budi Santoso"),
            ("Budi Santoso", "Budi Santosa"),
            ("Budi S.", "Budi Santoso"),
            ("Ani Lestari", "Budi Lestari"),
            ("PT Maju Jaya", "Maju Jaya"),
            ("Budi H", "Budi"),
            ("H.", "Budi"),
        ] {
            assert!(!agree(one, other), "{one} and {other}");
            assert!(!agree(other, one), "{other} and {one}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_name_is_its_own_in_any_case_and_order(name in "\\PC{0,40}") {
            proptest::prop_assert!(agree(&name, &name));
        }

        #[test]
        fn words_may_stand_in_any_order(words in proptest::collection::vec("[b-g]{4,9}", 1..5)) {
            let turned: Vec<&str> = words.iter().rev().map(String::as_str).collect();
            proptest::prop_assert!(agree(&words.join(" "), &turned.join(" ").to_uppercase()));
        }
    }
}
