//! One leaf on a column of each kind.

use super::super::*;
use super::{aliases, check, compiled, permit, value, with_base};
use crate::host::catalog::Catalog;

#[test]
fn text() {
    check(
        "ref",
        &[
            ("'=', 'a'", "c = 'a'::text"),
            ("'=', False", "(c = ''::text OR c IS NULL)"),
            ("'=', None", "(c = ''::text OR c IS NULL)"),
            ("'=', ''", "(c = ''::text OR c IS NULL)"),
            ("'=', True", "c = 'True'::text"),
            ("'=', 100", "c = '100'::text"),
            ("'=', 1e20", "c = '1e+20'::text"),
            ("'!=', 'a'", "(c <> 'a'::text OR c IS NULL)"),
            ("'<>', 'a'", "(c <> 'a'::text OR c IS NULL)"),
            ("'!=', False", "c <> ''::text"),
            ("'!=', None", "c <> ''::text"),
            ("'!=', ''", "c <> ''::text"),
            ("'in', ['a', 'b']", "c = ANY(['a', 'b']::text[])"),
            ("'in', ('a',)", "c = ANY(['a']::text[])"),
            ("'=', ['a', 'b']", "c = ANY(['a', 'b']::text[])"),
            ("'in', ['a', False]", "(c = ANY(['a', '']::text[]) OR c IS NULL)"),
            ("'in', ['a', None]", "(c = ANY(['a', '']::text[]) OR c IS NULL)"),
            ("'in', ['a', '']", "(c = ANY(['a', '']::text[]) OR c IS NULL)"),
            ("'in', [False]", "(c = ANY(['']::text[]) OR c IS NULL)"),
            ("'in', []", "FALSE"),
            (
                "'not in', ['a', 'b']",
                "(c <> ALL(['a', 'b']::text[]) OR c IS NULL)",
            ),
            ("'!=', ['a', 'b']", "(c <> ALL(['a', 'b']::text[]) OR c IS NULL)"),
            (
                "'not in', ['a', False]",
                "(c <> ALL(['a', '']::text[]) AND c IS NOT NULL)",
            ),
            (
                "'not in', ['a', '']",
                "(c <> ALL(['a', '']::text[]) AND c IS NOT NULL)",
            ),
            ("'not in', [False]", "(c <> ALL(['']::text[]) AND c IS NOT NULL)"),
            ("'not in', []", "TRUE"),
            ("'in', False", "FALSE"),
            ("'not in', False", "c <> ''::text"),
            ("'in', True", "c = 'True'::text"),
            ("'not in', True", "(c <> 'True'::text OR c IS NULL)"),
            ("'=?', False", "TRUE"),
            ("'=?', None", "TRUE"),
            ("'=?', ''", "(c = ''::text OR c IS NULL)"),
            ("'=?', 'a'", "c = 'a'::text"),
            ("'<', 'a'", "c < 'a'::text"),
            ("'<=', ''", "c <= ''::text"),
            ("'>', 100", "c > '100'::text"),
            ("'>=', False", "FALSE"),
            ("'<', None", "FALSE"),
            ("!'=', 'a'", "(c <> 'a'::text OR c IS NULL)"),
            ("!'in', ['a']", "(c <> ALL(['a']::text[]) OR c IS NULL)"),
            ("!'<', 'a'", "c >= 'a'::text"),
            ("!'=?', 'a'", "(c <> 'a'::text OR c IS NULL)"),
            ("!'=?', ''", "FALSE"),
            ("!'=?', False", "FALSE"),
            ("'in', 'draft'", "type error: `in` needs a list, this is a str…"),
            (
                "'not in', None",
                "type error: `not in` needs a list, this is None; put brackets around it, or write `!=`",
            ),
            // The text of the list, as Python shows it.
            ("'<', ['a']", "c < '['a']'::text"),
            ("'=?', ['a']", "c = '['a']'::text"),
            ("'in', [['a']]", "c = ANY(['['a']']::text[])"),
            ("'=', 'a\\0'", "type error: a text cannot hold the character NUL"),
        ],
    );
}

#[test]
fn selections() {
    check(
        "status",
        &[
            ("'=', 'draft'", "c = 'draft'::text"),
            ("'=', False", "c IS NULL"),
            ("'=', None", "c IS NULL"),
            ("'=', ''", "(c = ''::text OR c IS NULL)"),
            ("'!=', 'draft'", "(c <> 'draft'::text OR c IS NULL)"),
            ("'!=', False", "c IS NOT NULL"),
            ("'!=', ''", "c <> ''::text"),
            ("'in', ['draft', '']", "c = ANY(['draft', '']::text[])"),
            (
                "'in', ['draft', False]",
                "(c = ANY(['draft']::text[]) OR c IS NULL)",
            ),
            ("'in', [False]", "c IS NULL"),
            (
                "'not in', ['draft']",
                "(c <> ALL(['draft']::text[]) OR c IS NULL)",
            ),
            (
                "'not in', ['draft', False]",
                "(c <> ALL(['draft']::text[]) AND c IS NOT NULL)",
            ),
            ("'not in', [False]", "c IS NOT NULL"),
            ("'not in', []", "TRUE"),
            ("'in', False", "FALSE"),
            ("'not in', False", "c IS NOT NULL"),
            ("'=', True", "c = 'True'::text"),
            ("'ilike', 'act'", "c::text ILIKE '%act%'::text"),
            ("'<', False", "FALSE"),
        ],
    );
}

#[test]
fn booleans() {
    let unset = "(c IS NULL OR c = FALSE)";
    check(
        "flag",
        &[
            ("'=', True", "c = TRUE"),
            ("'=', 1", "c = TRUE"),
            ("'=', 'False'", "c = TRUE"),
            ("'!=', False", "c = TRUE"),
            ("'=', False", unset),
            ("'=', 0", unset),
            ("'=', ''", unset),
            ("'!=', True", unset),
            ("'=', None", "c IS NULL"),
            ("'!=', None", "c IS NOT NULL"),
            (
                "'in', [True, False]",
                "(c = ANY(['true', 'false']::text[]::bool[]) OR c IS NULL)",
            ),
            (
                "'not in', [True]",
                "(c <> ALL(['true']::text[]::bool[]) OR c IS NULL)",
            ),
            (
                "'not in', [False]",
                "(c <> ALL(['false']::text[]::bool[]) AND c IS NOT NULL)",
            ),
            ("'in', [1, 0]", "c = ANY(['true']::text[]::bool[])"),
            ("'in', []", "FALSE"),
            ("'in', True", "c = TRUE"),
            ("'=?', False", "TRUE"),
            ("!'=', True", unset),
            ("'ilike', 'tr'", "c::text ILIKE '%tr%'::text"),
        ],
    );
}

#[test]
fn integers() {
    check(
        "days",
        &[
            ("'=', 7", "c = 7::int8"),
            ("'=', 0", "(c = 0::int8 OR c IS NULL)"),
            ("'=', False", "(c = 0::int8 OR c IS NULL)"),
            ("'=', ''", "(c = 0::int8 OR c IS NULL)"),
            ("'=', None", "(c = 0::int8 OR c IS NULL)"),
            ("'=', True", "c = 1::int8"),
            ("'=', '30'", "c = 30::int8"),
            ("'=', 29.5", "c = 29::int8"),
            ("'>', 29.5", "c > 29::int8"),
            ("'>', -0.5", "c > 0::int8"),
            ("'!=', 7", "(c <> 7::int8 OR c IS NULL)"),
            ("'!=', 0", "c <> 0::int8"),
            ("'!=', False", "c <> 0::int8"),
            ("'<', 100", "(c < 100::int8 OR c IS NULL)"),
            ("'<=', 0", "(c <= 0::int8 OR c IS NULL)"),
            ("'>=', 0", "(c >= 0::int8 OR c IS NULL)"),
            ("'>', -1", "(c > -1::int8 OR c IS NULL)"),
            ("'>', 0", "c > 0::int8"),
            ("'<', 0", "c < 0::int8"),
            ("'>', False", "c > 0::int8"),
            ("'>=', None", "(c >= 0::int8 OR c IS NULL)"),
            ("!'<', 100", "c >= 100::int8"),
            ("'in', [1, 2]", "c = ANY([1, 2]::int8[])"),
            ("'in', [1, 0]", "(c = ANY([1, 0]::int8[]) OR c IS NULL)"),
            ("'in', [1, False]", "(c = ANY([1, 0]::int8[]) OR c IS NULL)"),
            ("'in', [False]", "(c = ANY([0]::int8[]) OR c IS NULL)"),
            ("'not in', [7]", "(c <> ALL([7]::int8[]) OR c IS NULL)"),
            ("'not in', [7, 0]", "(c <> ALL([7, 0]::int8[]) AND c IS NOT NULL)"),
            ("'=?', 0", "(c = 0::int8 OR c IS NULL)"),
            ("'=', 3000000000", "c = 3000000000::int8"),
            ("'=', 'abc'", "type error: 'abc' where a whole number belongs"),
            ("'=', 1e999", "type error: inf where a whole number belongs"),
            ("'like', 3", "c::text LIKE '%3%'::text"),
            ("'not ilike', 3", "(c::text NOT ILIKE '%3%'::text OR c IS NULL)"),
        ],
    );
}

#[test]
fn floats() {
    check(
        "ratio",
        &[
            ("'=', 3.1", "c = 3.1::float8"),
            ("'<', '2'", "(c < 2.0::float8 OR c IS NULL)"),
            ("'=', False", "(c = 0.0::float8 OR c IS NULL)"),
            ("'in', [1, 2.5]", "c = ANY(['1.0', '2.5']::text[]::float8[])"),
            ("'=', 'nan'", "type error: 'nan' where a finite number belongs"),
        ],
    );
    check(
        "amount",
        &[
            ("'=', 3.1", "c = '3.1'::text::numeric"),
            ("'=', 0", "(c = '0.0'::text::numeric OR c IS NULL)"),
            (
                "'not in', [5]",
                "(c <> ALL(['5.0']::text[]::numeric[]) OR c IS NULL)",
            ),
        ],
    );
}

#[test]
fn ids_and_many2one() {
    check(
        "id",
        &[
            ("'=', 5", "c = 5::int8"),
            ("'=', '10'", "c = 10::int8"),
            ("'in', [5, 6]", "c = ANY([5, 6]::int8[])"),
            ("'not in', [5]", "(c <> ALL([5]::int8[]) OR c IS NULL)"),
            ("'=', False", "c IS NULL"),
            ("'!=', False", "c IS NOT NULL"),
            ("'>', 100", "c > 100::int8"),
            ("'=', True", "type error: True where the id of a record belongs"),
            ("'=', 'abc'", "type error: 'abc' where the id of a record belongs"),
            (
                "'=', 3000000000",
                "type error: 3000000000 where the id of a record belongs",
            ),
            ("'in', 5", "type error: `in` needs a list, this is an int…"),
        ],
    );
    check(
        "partner_id",
        &[
            ("'=', 20", "c = 20::int8"),
            ("'!=', 20", "(c <> 20::int8 OR c IS NULL)"),
            ("'=', False", "c IS NULL"),
            ("'=', 0", "c IS NULL"),
            ("'!=', 0", "c IS NOT NULL"),
            ("'!=', False", "c IS NOT NULL"),
            ("'in', [1, 2, False]", "(c = ANY([1, 2]::int8[]) OR c IS NULL)"),
            ("'not in', [1]", "(c <> ALL([1]::int8[]) OR c IS NULL)"),
            ("'=', [1, 2]", "c = ANY([1, 2]::int8[])"),
            ("'=', 5.5", "c = '5.5'::text::numeric"),
            ("'>', 0", "FALSE"),
            ("'>', 5", "c > 5::int8"),
            ("'=', True", "type error: True where the id of a record belongs…"),
            ("'in', [1, True]", "type error: True where…"),
            ("'in', [1, 'Budi']", "type error: 'Budi' where…"),
            ("'ilike', False", "TRUE"),
            (
                "'=', 'Budi'",
                "field error: `partner_id` of sicantik.permit leads to …",
            ),
            (
                "'in', ['100']",
                "field error: `partner_id` of sicantik.permit leads to …",
            ),
            (
                "'child_of', 20",
                "field error: `partner_id` of sicantik.permit leads to …",
            ),
            (
                "'any', []",
                "field error: `partner_id` of sicantik.permit leads to …",
            ),
        ],
    );
}

#[test]
fn patterns() {
    check(
        "notes",
        &[
            ("'like', 'v'", "c::text LIKE '%v%'::text"),
            ("'ilike', 'v'", "c::text ILIKE '%v%'::text"),
            ("'not like', 'v'", "(c::text NOT LIKE '%v%'::text OR c IS NULL)"),
            ("'not ilike', 'v'", "(c::text NOT ILIKE '%v%'::text OR c IS NULL)"),
            ("'=like', 'v%'", "c::text LIKE 'v%'::text"),
            ("'=ilike', 'v_'", "c::text ILIKE 'v_'::text"),
            ("'like', ''", "TRUE"),
            ("'ilike', False", "TRUE"),
            ("'not like', None", "FALSE"),
            ("'not ilike', ''", "FALSE"),
            ("'=like', ''", "(c::text LIKE ''::text OR c IS NULL)"),
            ("'=like', False", "(c::text LIKE NULL::text OR c IS NULL)"),
            ("'ilike', '100%'", "c::text ILIKE '%100%%'::text"),
            ("'ilike', 100", "c::text ILIKE '%100%'::text"),
            ("'ilike', True", "c::text ILIKE '%True%'::text"),
            ("'ilike', ['a', 1]", "c::text ILIKE '%['a', 1]%'::text"),
            ("!'ilike', 'b'", "(c::text NOT ILIKE '%b%'::text OR c IS NULL)"),
            ("!'=like', 'B%'", "NOT (c::text LIKE 'B%'::text)"),
            ("!'=ilike', 'B%'", "NOT (c::text ILIKE 'B%'::text)"),
        ],
    );
    let unaccent = with_base("ref", "[('ref','ilike','n')]", BaseRow::table().unaccent(true));
    assert_eq!(unaccent, "unaccent(c::text) ILIKE unaccent('%n%'::text)");
    let exact = with_base("ref", "[('ref','like','n')]", BaseRow::table().unaccent(true));
    assert_eq!(exact, "c::text LIKE '%n%'::text");
}

#[test]
fn dates() {
    check(
        "expiry_date",
        &[
            ("'=', '2026-12-22'", "c = '2026-12-22'::text::date"),
            ("'=', 'today'", "c = 'today'::text::date"),
            (
                "'<', '2026-12-22 10:00:00'",
                "c < '2026-12-22 10:00:00'::text::date",
            ),
            ("'=', False", "c IS NULL"),
            (
                "'!=', '2026-12-22'",
                "(c <> '2026-12-22'::text::date OR c IS NULL)",
            ),
            ("'>=', False", "FALSE"),
            ("!'<', '2026-12-22'", "c >= '2026-12-22'::text::date"),
            (
                "'in', ['20261222', False]",
                "(c = ANY(['20261222']::text[]::date[]) OR c IS NULL)",
            ),
            ("'=like', '2026%'", "c::text LIKE '2026%'::text"),
            ("'=', ''", "type error: '' is not a date…"),
            ("'=', True", "type error: True is not a date…"),
            ("'=', 'besok'", "type error: 'besok' is not a date…"),
            ("'=', '30'", "type error: '30' is not a date…"),
            ("'=', '2026-12'", "type error: '2026-12' is not a date…"),
            (
                "'=', '22-12-2026'",
                "type error: '22-12-2026' is not a date; write year, month, day: '2026-12-31'",
            ),
            ("'=', '2026-02-30'", "type error: '2026-02-30' is not a date…"),
            // The text of the number, which PostgreSQL reads.
            ("'=', 20261222", "c = '20261222'::text::date"),
            ("'=', 2026.5", "type error: 2026.5 is not a date…"),
        ],
    );
    check(
        "create_date",
        &[
            (
                "'<=', '2026-11-20'",
                "c <= '2026-11-20 23:59:59'::text::timestamp",
            ),
            ("'>', '2026-11-20'", "c > '2026-11-20 23:59:59'::text::timestamp"),
            ("'<', '2026-11-20'", "c < '2026-11-20 00:00:00'::text::timestamp"),
            (
                "'>=', '2026-11-20'",
                "c >= '2026-11-20 00:00:00'::text::timestamp",
            ),
            ("'=', '2026-11-20'", "c = '2026-11-20 00:00:00'::text::timestamp"),
            (
                "'!=', '2026-11-20'",
                "(c <> '2026-11-20 00:00:00'::text::timestamp OR c IS NULL)",
            ),
            (
                "!'<=', '2026-11-20'",
                "c > '2026-11-20 23:59:59'::text::timestamp",
            ),
            (
                "'in', ['2026-11-20']",
                "c = ANY(['2026-11-20']::text[]::timestamp[])",
            ),
            (
                "'<', '2026-11-20T10:00:00+07:00'",
                "c < '2026-11-20T10:00:00+07:00'::text::timestamp",
            ),
            ("'=', ''", "type error: '' is not a date…"),
        ],
    );
    let notes = |text: &str| compiled(text, BaseRow::table()).unwrap().notes.len();
    assert_eq!(notes("[('expiry_date','<','05/12/2026')]"), 1);
    assert_eq!(notes("[('create_date','<','2026-11-20T10:00:00Z')]"), 1);
    assert_eq!(notes("[('create_date','<','2026-11-20 10:00:00.123456')]"), 0);
}

#[test]
fn date_objects() {
    let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
    let at = day.and_hms_opt(10, 0, 0).unwrap();
    let sql = |field: &str, operator: Operator, value: Value| {
        let span = Span::default();
        let leaf = Leaf {
            field: field.into(),
            field_span: span,
            operator,
            value: Node { value, span },
            span,
        };
        let compiled = compile(
            &Domain::Leaf(leaf),
            &Catalog::default(),
            &permit(),
            &aliases(),
            BaseRow::image(),
        )
        .unwrap();
        value_of(&compiled)
    };
    fn value_of(compiled: &Compiled) -> String {
        value(&compiled.params[0])
    }
    assert_eq!(
        sql("create_date", Operator::Le, Value::Date(day)),
        "'2026-11-20 23:59:59.999999'"
    );
    assert_eq!(
        sql("create_date", Operator::Lt, Value::Date(day)),
        "'2026-11-20 00:00:00'"
    );
    assert_eq!(
        sql("create_date", Operator::Le, Value::Datetime(at)),
        "'2026-11-20 10:00:00'"
    );
    assert_eq!(
        sql("expiry_date", Operator::Lt, Value::Datetime(at)),
        "'2026-11-20'"
    );
    assert_eq!(sql("ref", Operator::Eq, Value::Date(day)), "'2026-11-20'");
}

#[test]
fn json_and_binary() {
    for column in ["payload", "photo"] {
        check(
            column,
            &[
                ("'=', False", "c IS NULL"),
                ("'!=', False", "c IS NOT NULL"),
                ("'ilike', 'x'", "c::text ILIKE '%x%'::text"),
                ("'=', 'x'", "type error: 'x' where `False` belongs…"),
                ("'>', 3", "type error: 3 where `False` belongs…"),
            ],
        );
    }
}

#[test]
fn translated_columns() {
    let domain = "[('name','=','x'), ('name','!=','y')]";
    assert_eq!(
        with_base("name", domain, BaseRow::table()),
        "((c->>'en_US') = 'x'::text AND ((c->>'en_US') <> 'y'::text OR (c->>'en_US') IS NULL))"
    );
    let compiled = compiled(domain, BaseRow::table().lang("id_ID").first_param(3)).unwrap();
    let name = r#"COALESCE(t."name"->>$3::text, (t."name"->>'en_US'))"#;
    assert_eq!(
        compiled.sql,
        format!("({name} = $4::text AND ({name} <> $5::text OR {name} IS NULL))")
    );
    let text = |s: &str| Param::Text(Some(s.into()));
    assert_eq!(compiled.params, [text("id_ID"), text("x"), text("y")]);
}

#[test]
fn company_dependent_columns() {
    let base = || BaseRow::table().company(1);
    let sql = |leaf: &str| with_base("barcode", &format!("[('barcode',{leaf})]"), base());
    let value = "(c->'1'::text->>0)::varchar";
    assert_eq!(sql("'=','x'"), format!("({value} = 'x'::text AND c IS NOT NULL)"));
    assert_eq!(
        sql("'!=','x'"),
        format!("({value} <> 'x'::text OR {value} IS NULL)")
    );
    assert_eq!(
        sql("'=',False"),
        format!("({value} = ''::text OR {value} IS NULL)")
    );
    assert_eq!(
        compiled("[('barcode','=','x')]", BaseRow::table())
            .unwrap_err()
            .kind,
        ErrorKind::Field
    );
}
