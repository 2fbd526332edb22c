//! Domains that are computed. The clock: 22 December 2026, 18:30 UTC, which is the 23rd in Jakarta.

use chrono::{TimeZone, Utc};
use serde_json::json;

use super::super::*;

fn vars() -> Vars {
    let now = Utc.with_ymd_and_hms(2026, 12, 22, 18, 30, 0).unwrap();
    let user = json!({"id": 6, "ids": [6], "name": "Siti", "partner_id": {"id": 60, "ids": [60]},
        "groups_id": {"ids": [1, 10]}});
    Vars {
        uid: 6,
        companies: vec![1, 2],
        user: Some(user),
        ..Vars::at(now, chrono_tz::Asia::Jakarta)
    }
}

/// The value of the leaf `('f', '=', …)`, or the error.
fn value(text: &str) -> String {
    let text = format!("[('f', '=', {text})]");
    match Source::parse(&text).and_then(|s| s.evaluate(&vars())) {
        Ok(Domain::Leaf(leaf)) => leaf.value.value.repr(),
        Ok(other) => format!("{other:?}"),
        Err(e) => format!("{} {}", e.kind, e.diagnostic(&text)),
    }
}

fn all(rows: &[(&str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(text, wanted)| (text, wanted, value(text)))
        .filter(|(_, wanted, found)| found != *wanted)
        .map(|(text, wanted, found)| format!("{text}\n   wanted {wanted}\n   found  {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clocks() {
    all(&[
        ("datetime.now()", "2026-12-22 18:30:00"),
        ("datetime.datetime.now()", "2026-12-22 18:30:00"),
        ("datetime.today()", "2026-12-22 18:30:00"),
        ("datetime.utcnow()", "2026-12-22 18:30:00"),
        ("date.today()", "2026-12-22"),
        ("datetime.date.today()", "2026-12-22"),
        ("context_today()", "2026-12-23"),
        ("current_date", "'2026-12-23'"),
        ("time.strftime('%Y-01-01')", "'2026-01-01'"),
        (
            "time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())",
            "'2026-12-22 18:30:00'",
        ),
        ("datetime.now() + timedelta(days=30)", "2027-01-21 18:30:00"),
        (
            "datetime.datetime.now() + datetime.timedelta(days=30)",
            "2027-01-21 18:30:00",
        ),
        (
            "(datetime.now() - timedelta(hours=2)).strftime('%Y-%m-%d %H:%M:%S')",
            "'2026-12-22 16:30:00'",
        ),
        ("datetime(2026, 1, 1)", "2026-01-01 00:00:00"),
        ("datetime.datetime(2026, 1, 1, 8)", "2026-01-01 08:00:00"),
        ("date(2026, 1, 1)", "2026-01-01"),
        ("datetime.date(2026, 1, 1)", "2026-01-01"),
        ("datetime.now().date()", "2026-12-22"),
        (
            "datetime.combine(context_today(), time(0, 0, 0))",
            "2026-12-23 00:00:00",
        ),
        (
            "datetime.datetime.combine(context_today(), datetime.time(0,0,0)).to_utc().strftime('%Y-%m-%d %H:%M:%S')",
            "'2026-12-22 17:00:00'",
        ),
        (
            "datetime.now().replace(hour=0, minute=0, second=0)",
            "2026-12-22 00:00:00",
        ),
        ("str(context_today())", "'2026-12-23'"),
        ("context_today().strftime('%Y')", "'2026'"),
        ("context_today().year", "2026"),
        ("context_today().weekday()", "2"),
        ("context_today() == date(2026, 12, 23)", "True"),
    ]);
}

#[test]
fn relativedelta() {
    all(&[
        ("context_today() - relativedelta(months=1)", "2026-11-23"),
        (
            "(context_today() - relativedelta(months=3)).strftime('%Y-%m-%d')",
            "'2026-09-23'",
        ),
        (
            "context_today() + relativedelta(years=1, months=2, days=-3)",
            "2028-02-20",
        ),
        ("date(2026, 3, 31) - relativedelta(months=1)", "2026-02-28"),
        ("date(2024, 2, 29) + relativedelta(years=1)", "2025-02-28"),
        ("context_today() + relativedelta(day=1)", "2026-12-01"),
        (
            "context_today() + relativedelta(months=1, day=1, days=-1)",
            "2026-12-31",
        ),
        ("context_today() + relativedelta(day=31, month=2)", "2026-02-28"),
        ("context_today() - relativedelta(weeks=1)", "2026-12-16"),
        ("context_today() + relativedelta(weekday=0)", "2026-12-28"),
        (
            "context_today() + relativedelta(weeks=-1, weekday=0)",
            "2026-12-21",
        ),
        ("datetime.now() + relativedelta(hours=30)", "2026-12-24 00:30:00"),
        (
            "datetime.now() + relativedelta(hour=0, minute=0, second=0)",
            "2026-12-22 00:00:00",
        ),
        ("date(2026, 1, 1) + relativedelta(hours=5)", "2026-01-01 05:00:00"),
        ("datetime.now() - relativedelta(months=14)", "2025-10-22 18:30:00"),
        ("context_today() - relativedelta(months=1) * 2", "2026-10-23"),
        ("context_today() + -relativedelta(days=1)", "2026-12-22"),
        (
            "context_today() - (relativedelta(days=1) + relativedelta(months=1))",
            "2026-11-22",
        ),
        ("1 + 2 if relativedelta() else 0", "3"),
        ("'a' + 'b' * 2 if relativedelta(days=1) else ''", "'abb'"),
        ("[1] + [2] if relativedelta else 0", "[1, 2]"),
    ]);
}

#[test]
fn people() {
    all(&[
        ("uid", "6"),
        ("user.id", "6"),
        ("user.name", "'Siti'"),
        ("user.partner_id.id", "60"),
        ("user.groups_id.ids", "[1, 10]"),
        ("company_id", "1"),
        ("company_ids", "[1, 2]"),
        ("[False] + allowed_company_ids", "[False, 1, 2]"),
        ("context.get('uid')", "6"),
        ("context.get('nothing', 3)", "3"),
        ("context['lang']", "'en_US'"),
    ]);
    let mut vars = vars();
    vars.extra = json!({"prefix": "SIP", "ids": [1, 2], "parent": {"partner_id": 4}, "context": {"a": 9}})
        .as_object()
        .cloned()
        .unwrap();
    for (text, wanted) in [
        ("prefix + '%'", "'SIP%'"),
        ("ids[0]", "1"),
        ("parent.partner_id", "4"),
        ("context.get('a')", "9"),
    ] {
        let source = Source::parse(&format!("[('f', '=', {text})]")).unwrap();
        let domain = source.evaluate(&vars).unwrap();
        assert_eq!(domain.leaves()[0].value.value.repr(), wanted, "{text}");
    }
}

#[test]
fn python() {
    all(&[
        ("1 + 2 * 3", "7"),
        ("10 // 3", "3"),
        ("2 ** 3", "8"),
        ("'a' + 'b'", "'ab'"),
        ("f'{1 + 1}-{uid:03d}'", "'2-006'"),
        ("'%s-%d' % ('a', 3)", "'a-3'"),
        ("'%s%%' % 'SIP'", "'SIP%'"),
        (
            "'%(a)s|%05.1f|%-4s|%3d' % {'a': 1} if 0 else '%05.1f|%-4s|%3d' % (2.25, 'x', 7)",
            "'002.2|x   |  7'",
        ),
        ("7 % 4", "3"),
        ("'{}-{}'.format(1, 2)", "'1-2'"),
        ("'a,b'.split(',')", "['a', 'b']"),
        ("[x * 2 for x in range(3) if x]", "[2, 4]"),
        ("[time for time in (1, 2)]", "[1, 2]"),
        ("[int(x) for x in '1,2'.split(',')]", "[1, 2]"),
        ("list(map(int, ['1', '2']))", "[1, 2]"),
        ("sorted({3, 1})", "[1, 3]"),
        ("(lambda x: x + 1)(2)", "3"),
        ("'x' if uid == 6 else 'y'", "'x'"),
        ("uid == 1 and 'x' or 'y'", "'y'"),
        ("not uid", "False"),
        ("len('abc')", "3"),
        ("int('42')", "42"),
        ("float('1.5')", "1.5"),
        ("min(3, 2)", "2"),
        ("'ABC'.lower()", "'abc'"),
        ("-uid", "-6"),
        ("0x1F", "31"),
        ("10 ** 20", "1e+20"),
        ("('a', 'b')", "('a', 'b')"),
    ]);
    let shape = |text: &str| {
        let domain = Source::parse(text).and_then(|s| s.evaluate(&vars())).unwrap();
        domain.leaves().len()
    };
    assert_eq!(
        shape("['|'] * 2 + [('a', '=', 1), ('b', '=', 1), ('c', '=', 1)]"),
        3
    );
    assert_eq!(shape("['|'] + [('a', '=', x) for x in (1, 2)]"), 2);
    assert_eq!(shape("[('a', '=', 1)] if uid else []"), 1);
    assert_eq!(shape("\n  # note\n [('a', '<', datetime.now()), # end\n ]"), 1);
}

#[test]
fn errors() {
    for (text, wanted) in [
        ("nothing", "name name error: name 'nothing' is not defined"),
        ("datetime.nothing", "name"),
        ("user.nothing", "name"),
        ("active_id", "name"),
        ("env['res.partner']", "name"),
        ("open('/etc/passwd')", "name"),
        ("__import__('os')", "name"),
        ("().__class__", "name"),
        ("user.__class__", "name"),
        ("1 / 0", "type type error: division by zero"),
        ("'a' + 1", "type"),
        ("int('x')", "type"),
        ("[][0]", "type"),
        ("context['nothing']", "type"),
        ("'a'.to_utc()", "name"),
        ("context_today() + 1", "type"),
        ("context_today() + relativedelta(years=99999)", "type"),
        ("{1, 2}", "type type error: a set has no place"),
        ("range(3)", "type"),
        ("{'a': 1}", "type"),
        ("user", "type"),
        ("(x for x in [1])", "type"),
        ("lambda: 1", "type"),
        ("uid uid", "syntax"),
        ("uid)", "syntax"),
        ("import os", "syntax"),
        ("[x for x in range(10**9)]", "limit"),
        ("sum(range(10**12))", "limit"),
        ("[0] * 10**10", "limit"),
        ("'a' * 10**10", "limit"),
        ("10 ** 10 ** 10", "limit"),
        ("'%1000000000d' % 1", "limit"),
        ("(lambda f: f(f))(lambda f: f(f))", "limit"),
        ("[datetime.now() for x in range(1000)]", "limit"),
        ("[[1] * 300 for x in range(300)]", "limit"),
    ] {
        let found = value(text);
        assert!(found.starts_with(wanted), "{text}: {found}");
    }
    for (text, kind) in [
        ("uid", "domain"),
        ("{('a', '=', 1)}", "domain"),
        ("[{'a': 1}]", "domain"),
        ("", "syntax"),
    ] {
        let error = Source::parse(text).and_then(|s| s.evaluate(&vars())).unwrap_err();
        assert_eq!(error.kind.as_str(), kind, "{text}: {error}");
    }
}

#[test]
fn an_error_points_at_its_place() {
    let text = "[('a', '=', 1),\n ('b', '<', context_today() - relativedelta(months=1) + naem)]";
    let error = Source::parse(text).and_then(|s| s.evaluate(&vars())).unwrap_err();
    assert_eq!(
        &text[error.span.start..error.span.end],
        "naem",
        "{}",
        error.diagnostic(text)
    );
}

#[test]
fn a_source_knows_what_it_needs() {
    let source = |text: &str| Source::parse(text).unwrap();
    assert!(source("[('a', '=', 1)]").is_constant());
    assert!(!source("[('a', '=', uid)]").is_constant());
    assert!(source("[('a', '=', user.partner_id.id)]").needs_user());
    assert!(!source("[('a', '=', 'user')] + []").needs_user());
    assert!(!source("[('a', 'in', [user for user in (1, 2)])]").needs_user());
}

#[test]
fn lengths_of_time() {
    all(&[
        (
            "datetime(2026, 12, 31) + timedelta(days=365.5)",
            "2027-12-31 12:00:00",
        ),
        ("timedelta(hours=0.1).total_seconds()", "360.0"),
        ("timedelta(days=-0.5).seconds", "43200"),
        ("timedelta(days=7) / timedelta(days=2)", "3.5"),
        ("timedelta(days=7) // timedelta(days=2)", "3"),
        (
            "(datetime.now() - datetime(2026, 1, 1)) // timedelta(days=7)",
            "50",
        ),
        ("timedelta(days=7) / 2 + datetime.now()", "2026-12-26 06:30:00"),
        ("(date.today() - date(2026, 1, 1)).days // 7", "50"),
        ("7 // 2 + timedelta(1).days", "4"),
        ("timedelta(weeks=1, hours=-3).days", "6"),
    ]);
}

#[test]
fn dates_as_texts_and_numbers() {
    all(&[
        (
            "datetime(2026, 1, 2, 3, 4, 5, 6).strftime('%H:%M:%S.%f')",
            "'03:04:05.000006'",
        ),
        ("datetime.now().strftime('%Y%Z%z|%%f')", "'2026|%f'"),
        ("datetime.now().isoformat(' ')", "'2026-12-22 18:30:00'"),
        (
            "datetime.now().isoformat(sep=' ', timespec='minutes')",
            "'2026-12-22 18:30'",
        ),
        ("date(2027, 1, 3).isocalendar()", "(2026, 53, 7)"),
        ("date(2026, 1, 31).toordinal()", "739647"),
        ("datetime.max", "9999-12-31 23:59:59.999999"),
        ("datetime.datetime.min.year", "1"),
        ("date.max", "9999-12-31"),
        ("f'{datetime.now():%d.%m.%Y}'", "'22.12.2026'"),
        (
            "'%04d-%02d-01' % (date.today().year, date.today().month)",
            "'2026-12-01'",
        ),
    ]);
}

#[test]
fn relativedelta_in_all_its_forms() {
    all(&[
        (
            "context_today() + relativedelta(weekday=dateutil.relativedelta.MO)",
            "2026-12-28",
        ),
        (
            "context_today() + relativedelta(weekday=dateutil.relativedelta.MO(-1))",
            "2026-12-21",
        ),
        (
            "context_today() + relativedelta(weekday=dateutil.relativedelta.FR(+2))",
            "2027-01-01",
        ),
        ("context_today() + relativedelta(weekday=-1)", "2026-12-27"),
        ("context_today() + relativedelta(yearday=260)", "2026-09-17"),
        ("date(2028, 1, 1) + relativedelta(yearday=60)", "2028-02-29"),
        ("date(2028, 1, 1) + relativedelta(nlyearday=60)", "2028-03-01"),
        ("date(2028, 3, 1) + relativedelta(leapdays=-1)", "2028-02-29"),
        ("datetime.now() + relativedelta(days=1.5)", "2026-12-24 06:30:00"),
        ("datetime.now() + relativedelta(hours=1.5)", "2026-12-22 20:00:00"),
        (
            "relativedelta(date(2026, 12, 25), date(2025, 1, 31)).months",
            "10",
        ),
        ("relativedelta(date(2025, 1, 31), date(2026, 12, 25)).days", "-25"),
        ("relativedelta(weeks=2).weeks", "2"),
        (
            "date(2026, 1, 31) + relativedelta(month=0, day=0, year=0)",
            "2026-01-31",
        ),
        ("datetime.now() + relativedelta(hour=0)", "2026-12-22 00:30:00"),
    ]);
    for wrong in [
        "date.today() + relativedelta(months=1.5)",
        "date.today() + relativedelta(month=13)",
        "date.today() + relativedelta(weekday=7)",
        "date.today() + relativedelta(yearday=367)",
        "date.today() + relativedelta(bogus=1)",
        "relativedelta(1, 2)",
    ] {
        assert!(value(wrong).starts_with("type"), "{wrong}: {}", value(wrong));
    }
}

#[test]
fn builtins_are_those_of_the_host() {
    all(&[
        ("reduce(lambda a, b: a * b, range(1, 6))", "120"),
        ("reduce(lambda a, b: a + b, [], 3)", "3"),
        ("unicode(5)", "'5'"),
        ("list(xrange(3))", "[0, 1, 2]"),
        ("sum(x > 1 for x in range(5))", "3"),
        ("sum([[1], [2]], [])", "[1, 2]"),
        ("list(map(str, [1]))", "['1']"),
        ("'\\N{EM DASH}'", "'—'"),
        ("'%c%c' % (65, 'b')", "'Ab'"),
        ("'%*d|%-08d|%u' % (5, 42, 5, 7)", "'   42|5       |7'"),
        ("'%a %ld' % ('é', 3)", "\"'\\\\xe9' 3\""),
    ]);
    for name in [
        "reversed([1])",
        "getattr('a', 'b')",
        "type(1)",
        "hash(1)",
        "iter([1])",
        "next([1])",
        "pow(2, 3)",
        "hex(1)",
        "bin(1)",
        "oct(1)",
        "id(1)",
        "dir()",
        "vars()",
        "globals()",
        "locals()",
        "print(1)",
        "input()",
        "open('x')",
        "eval('1')",
        "exec('1')",
        "compile('1', '', 'eval')",
        "frozenset([1])",
        "complex(1)",
        "bytearray(1)",
        "object()",
        "callable(1)",
        "ascii('a')",
        "format(1)",
        "setattr(1, 'a', 1)",
        "hasattr(1, 'a')",
        "super()",
        "memoryview(b'a')",
        "slice(1)",
        "breakpoint()",
    ] {
        assert!(value(name).starts_with("name"), "{name}: {}", value(name));
    }
}
