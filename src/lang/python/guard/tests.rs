//! What is rewritten, what is refused, and where.

use super::*;

fn code(text: &str) -> String {
    Program::new(text).map_or_else(|e| format!("{:?} {}..{} {e}", e.kind, e.start, e.end), |p| p.code)
}

#[test]
fn what_is_rewritten() {
    for (text, rewritten) in [
        ("a + b", "a + b"),
        ("datetime.datetime.now()", "datetime.now()"),
        (
            "datetime.datetime.combine(x, datetime.time())",
            "_sn_combine(x, _sn_time())",
        ),
        ("datetime.utcnow()", "datetime.now()"),
        ("time.strftime('%Y')", "_sn_strftime('%Y')"),
        ("[time for time in x]", "[time for time in x]"),
        ("(a).to_utc()", "_sn_to_utc((a))"),
        ("timedelta(days=1.5)", "_sn_timedelta(days=1.5)"),
        ("datetime.timedelta(1)", "_sn_timedelta(1)"),
        ("[timedelta for timedelta in x]", "[timedelta for timedelta in x]"),
        (
            "timedelta(1) // timedelta(2) / 3",
            "_sn_divide(_sn_floor(_sn_timedelta(1) , _sn_timedelta(2)) , 3)",
        ),
        ("7 // 2", "7 // 2"),
        ("a . isocalendar()[1]", "_sn_week(a )[1]"),
        ("a.isoformat()", "a.isoformat()"),
        ("a.isoformat(' ')", "_sn_iso(a, ' ')"),
        ("a.strftime('%Y')", "a.strftime('%Y')"),
        (
            "a.b.strftime('%f' + timedelta(1))",
            "_sn_stamp(a.b, '%f' + _sn_timedelta(1))",
        ),
        ("dateutil.relativedelta.MO(-1)", "_sn_mo(_sn_neg(1))"),
        (
            "a - relativedelta(days=-1)",
            "_sn_sub(a , relativedelta(days=_sn_neg(1)))",
        ),
        (
            "((a) + # +\n (b)) * relativedelta()",
            "_sn_multiply((_sn_add((a) , # +\n (b))) , relativedelta())",
        ),
        (
            "(a - relativedelta()).to_utc().x",
            "_sn_to_utc((_sn_sub(a , relativedelta()))).x",
        ),
    ] {
        assert_eq!(code(text), rewritten, "{text}");
    }
}

#[test]
fn what_is_refused() {
    for (text, start) in [
        ("().__class__", "Name 3..12"),
        ("__import__('os')", "Name 0..10"),
        ("[__x for __x in y]", "Name"),
        ("lambda __x: 1", "Name 7..10"),
        ("getattr(a, 'b')", "Name 0..7"),
        ("reversed([1])", "Name 0..8"),
        ("[map(str, a)]", "Value 1..12"),
        ("a.isoformat(b.__class__)", "Name 14..23"),
        ("timedelta(days=__x)", "Name 15..18"),
        ("open('x')", "Name 0..4"),
        ("_sn_add(1, 2)", "Name 0..7"),
        ("import os", "Syntax"),
        ("a = 1", "Syntax"),
        ("await x", "Syntax"),
        ("(1", "Syntax"),
    ] {
        assert!(code(text).starts_with(start), "{text}: {}", code(text));
    }
    assert_eq!(
        Program::new(&"-".repeat(9000)).unwrap_err().kind,
        FailureKind::Limit
    );
    assert_eq!(
        Program::new(&"1".repeat(20000)).unwrap_err().kind,
        FailureKind::Limit
    );
    for deep in ["(", "-", "not ", "[", "{", "lambda:", "x if y else "] {
        let _ = Program::new(&deep.repeat(2000));
    }
}

#[test]
fn places_are_those_of_the_text() {
    let program = Program::new("a - relativedelta(x)").unwrap();
    let at = program.code.find('x').unwrap();
    assert_eq!(program.original(at), 18);
    assert_eq!(program.original(0), 0);
}
