//! Words for people: numbers with their nouns.

/// `1 message`, `2 messages`, `0 tries`.
pub(super) fn many(n: impl TryInto<i128>, what: &str) -> String {
    let n = n.try_into().unwrap_or(i128::MAX);
    format!("{n} {}", noun(n, what))
}

/// The noun alone, as it stands behind so many.
pub(super) fn noun(n: impl TryInto<i128>, what: &str) -> String {
    match (n.try_into().unwrap_or(i128::MAX), what.strip_suffix('y')) {
        (1, _) => what.to_owned(),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(many(1_u64, "message"), "1 message");
        assert_eq!(many(2_usize, "message"), "2 messages");
        assert_eq!(many(0_i64, "day"), "0 days");
        assert_eq!(many(3, "failed try"), "3 failed tries");
    }
}
