//! What is shown against what came out. Blanks do not count, moments, dates and lengths of time stand for each other, `…` for anything in a
//! line, and a line of `…` for any lines.

/// Whether the output is as the page shows it.
pub fn is_as_shown(shown: &[String], found: &str) -> bool {
    let shown: Vec<String> = shown.iter().map(|l| plain(l)).filter(|l| !l.is_empty()).collect();
    let found: Vec<String> = found.lines().map(plain).filter(|l| !l.is_empty()).collect();
    lines(&shown, &found)
}

fn lines(shown: &[String], found: &[String]) -> bool {
    match shown.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any == "…" => (0..=found.len()).any(|skipped| lines(rest, &found[skipped..])),
        Some((first, rest)) => found
            .split_first()
            .is_some_and(|(line, others)| fits(first, line) && lines(rest, others)),
    }
}

/// Whether a line is as shown.
fn fits(shown: &str, found: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    if parts.len() == 1 {
        return shown == found;
    }
    let Some(mut rest) = found.strip_prefix(first) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A line with its blanks and its times evened out. Rules of a table and lines of boxes are one each.
fn plain(line: &str) -> String {
    let line = line.trim();
    if !line.is_empty() && line.chars().all(|c| "-+ ".contains(c)) {
        return "---".to_owned();
    }
    let cells: Vec<String> = line
        .split('|')
        .map(|cell| cell.split_whitespace().map(word).collect::<Vec<_>>().join(" "))
        .collect();
    // A time of day belongs to the date before it; a length of time has its unit behind it.
    let mut text = cells.join("|");
    for (old, new) in [
        ("<date> <time>", "<time>"),
        ("<date>", "<time>"),
        ("<time> UTC", "<time>"),
        ("<time> WIB", "<time>"),
    ] {
        text = text.replace(old, new);
    }
    restored(&text)
}

/// Numbers that are no lengths of time stand for themselves.
fn restored(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("<number:") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('>').map_or(rest.len(), |n| at + n);
        let number = &rest[at + 8..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let unit = [" ms", " s", " milliseconds", " seconds"].into_iter().find(|u| {
            rest.strip_prefix(u)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
        });
        match unit {
            Some(unit) => {
                out.push_str("<while>");
                rest = &rest[unit.len()..];
            }
            None => out.push_str(number),
        }
    }
    out.push_str(rest);
    out
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| ",.;:()'\"".contains(c));
    let with = |new: &str| word.replacen(bare, new, 1);
    if bare.is_empty() {
        return word.to_owned();
    }
    if is_date(bare) {
        with("<date>")
    } else if is_time(bare) || bare.split_once('T').is_some_and(|(date, _)| is_date(date)) {
        with("<time>")
    } else if bare.chars().all(|c| c.is_ascii_digit() || c == '.') {
        with(&format!("<number:{bare}>"))
    } else {
        word.to_owned()
    }
}

/// 2026-11-26 or 26-11-2026.
fn is_date(text: &str) -> bool {
    let parts: Vec<usize> = text
        .split('-')
        .map(|p| {
            if p.chars().all(|c| c.is_ascii_digit()) {
                p.len()
            } else {
                0
            }
        })
        .collect();
    matches!(parts[..], [4, 2, 2] | [2, 2, 4])
}

/// 08:00, 08:00:00.123, 08:00:00+07.
fn is_time(text: &str) -> bool {
    let clock = text.split(['+', 'Z', '.']).next().unwrap_or_default();
    let parts: Vec<&str> = clock.split(':').collect();
    (parts.len() == 2 || parts.len() == 3)
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.chars().all(|c| c.is_ascii_digit()))
}

/// As psql shows it.
pub fn table(columns: &[String], rows: &[Vec<Option<String>>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let cells = rows
                .iter()
                .map(|r| r[i].as_deref().unwrap_or_default().chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!(" {c:<w$} "))
            .collect();
        padded.join("|").trim_end().to_owned()
    };
    let mut text = line(columns.iter().map(String::as_str).collect());
    text.push('\n');
    text.push_str(
        &widths
            .iter()
            .map(|w| "-".repeat(w + 2))
            .collect::<Vec<_>>()
            .join("+"),
    );
    for row in rows {
        text.push('\n');
        text.push_str(&line(
            row.iter().map(|c| c.as_deref().unwrap_or_default()).collect(),
        ));
    }
    match rows.len() {
        1 => text.push_str("\n(1 row)"),
        n => text.push_str(&format!("\n({n} rows)")),
    }
    text
}

#[test]
fn an_output_is_compared_as_a_reader_does() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_as_shown(
        &shown(" id | at\n----+----\n 7 | 2026-01-01 08:00:00+07"),
        "id | at\n--+--\n  7 | 2027-03-04 09:10:11.5+00\n"
    ));
    assert!(!is_as_shown(&shown("7 | 8"), "7 | 9"));
    assert!(is_as_shown(&shown("a … c\n…\nz"), "a b c\n1\n2\nz"));
    assert!(!is_as_shown(&shown("a … c\nz"), "a b c\n1\nz"));
    assert!(is_as_shown(&shown("done in 0.1 s (5 ms)"), "done in 12 s (7 ms)"));
    assert!(!is_as_shown(&shown("5 sent"), "6 sent"));
    assert!(!is_as_shown(&shown("a"), "a\nb"));
}
