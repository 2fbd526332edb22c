//! Whole domains: connectives, placeholders, aliases, fields, the twin, and text that means nothing.

use proptest::prelude::*;

use super::super::*;
use super::{aliases, compiled, permit, with_base};
use crate::host::catalog::Catalog;

#[test]
fn connectives() {
    for (domain, sql) in [
        ("[]", "TRUE"),
        ("[(0,'=',1)]", "FALSE"),
        ("[(0,'=',1), ('days','=',1)]", "FALSE"),
        ("['|', (0,'=',1), ('days','=',1)]", "c = 1::int8"),
        ("['|', (1,'=',1), ('days','=',1)]", "TRUE"),
        (
            "['|', ('days','=',1), ('days','=',2), ('days','=',3)]",
            "((c = 1::int8 OR c = 2::int8) AND c = 3::int8)",
        ),
        (
            "['!', '|', ('days','=',1), ('days','>',2)]",
            "((c <> 1::int8 OR c IS NULL) AND (c <= 2::int8 OR c IS NULL))",
        ),
        (
            "['!', '&', ('days','=',1), (1,'=',1)]",
            "(c <> 1::int8 OR c IS NULL)",
        ),
        ("['|', ('days','in',[]), ('days','=',3)]", "c = 3::int8"),
    ] {
        assert_eq!(with_base("days", domain, BaseRow::table()), sql, "{domain}");
    }
}

#[test]
fn placeholders_count_from_the_given_number_and_skip_what_folded_away() {
    let domain = "['|', '&', ('days','=',1), (0,'=',1), ('ref','=','x'), ('id','=',9)]";
    let compiled = compiled(domain, BaseRow::image().first_param(4)).unwrap();
    assert_eq!(compiled.sql, r#"(t."ref" = $4::text AND t."id" = $5::int8)"#);
    assert_eq!(compiled.params, [Param::Text(Some("x".into())), Param::Int(9)]);
    assert_eq!(Vec::from_iter(compiled.columns), ["id", "ref"]);
}

#[test]
fn active_test() {
    let mut model = permit();
    let mut active = model.fields["flag"].clone();
    active.name = "active".into();
    model.fields.insert("active".into(), active);
    let sql = |text: &str| {
        let base = BaseRow::table().active_test(true);
        compile(
            &parse(text).unwrap(),
            &Catalog::default(),
            &model,
            &aliases(),
            base,
        )
        .unwrap()
        .sql
    };
    assert_eq!(
        sql("[('id','=',1)]"),
        r#"(t."id" = $1::int8 AND t."active" = TRUE)"#
    );
    assert_eq!(sql("[('active','=?',False)]"), "TRUE");
    assert_eq!(sql("[]"), r#"t."active" = TRUE"#);
}

#[test]
fn aliases_count_only_where_the_host_lacks_the_name() {
    let result = compiled(
        "[('state','=','approved'), ('days','=',1), ('status','=','draft')]",
        BaseRow::table(),
    );
    let compiled = result.unwrap();
    assert_eq!(
        compiled.sql,
        r#"(t."status" = $1::text AND t."days" = $2::int8 AND t."status" = $3::text)"#
    );
    let text = |s: &str| Param::Text(Some(s.into()));
    assert_eq!(compiled.params, [text("active"), Param::Int(1), text("draft")]);
    let messages: Vec<_> = compiled.notes.iter().map(|n| n.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`state` of sicantik.permit is read as `status`",
            "'approved' of `status` is read as 'active'"
        ]
    );
}

#[test]
fn unknown_values_of_a_selection_are_noted() {
    let note = |value: &str| {
        let text = format!("[('status','in',['{value}'])]");
        compiled(&text, BaseRow::table()).unwrap().notes.remove(0).message
    };
    assert_eq!(
        note("lost"),
        "`status` has no value 'lost'; it has 'draft', 'active', 'expired'"
    );
    assert!(note("aktif").starts_with("'aktif' is the label of 'active'"));
}

#[test]
fn fields_that_cannot_be_used() {
    for (field, message) in [
        (
            "exipry_date",
            "sicantik.permit has no `exipry_date`; it has expiry_date, ",
        ),
        ("gone", "sicantik.permit has no `gone`; it has "),
        ("active", "sicantik.permit has no `active`; remove this condition"),
        ("", "a field name is empty"),
        ("a.", "the path `a.` has an empty step"),
        (".a", "the path `.a` has an empty step"),
        ("nope.x", "sicantik.permit has no `nope`"),
        ("ref.x", "`ref` of sicantik.permit is not a relation"),
        (
            "partner_id.city",
            "`partner_id` of sicantik.permit leads to , of which the host has no table",
        ),
        (
            "line_ids",
            "`line_ids` of sicantik.permit is computed when it is read",
        ),
        (
            "mobile",
            "`partner_id` of sicantik.permit leads to , of which the host has no table",
        ),
        ("ref\" OR 1=1 --", "sicantik.permit has no `ref\" OR 1=1 --`"),
    ] {
        let error = compiled(&format!("[({field:?},'=',1)]"), BaseRow::table()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Field, "{field}");
        assert!(error.to_string().starts_with(message), "{field}: {error}");
    }
    let folded = compiled("['|', (1,'=',1), ('nope','=',1)]", BaseRow::table()).unwrap_err();
    assert_eq!((folded.kind, folded.span), (ErrorKind::Field, (18..24).into()));
    assert_eq!(
        compiled("[('ref','any',[])]", BaseRow::table()).unwrap_err().kind,
        ErrorKind::Field
    );
}

#[test]
fn the_twin_answers_what_is_certain() {
    let row = serde_json::json!({
        "id": 5, "ref": "A-1", "days": 30, "ratio": 0.1, "amount": 5, "flag": false, "expiry_date": "2026-12-22",
        "create_date": "2026-11-20T10:00:00.5", "status": "active", "partner_id": 20, "notes": null,
    });
    let row = row.as_object().unwrap();
    let ask =
        |text: &str| Twin::new(&parse(text).unwrap(), &permit(), &aliases()).and_then(|t| t.matches(row));
    for text in [
        "[]",
        "[('ref','=','A-1')]",
        "[('ref','like','-')]",
        "[('ref','=like','A__')]",
        "[('ref','in',['x','A-1'])]",
        "[('days','>','29')]",
        "[('days','like',3)]",
        "[('amount','=',5)]",
        "[('ratio','<',0.2)]",
        "[('flag','=',False)]",
        "[('photo','=',False)]",
        "[('expiry_date','<=','2026-12-22')]",
        "[('create_date','>','2026-11-20 10:00:00.499999')]",
        "[('create_date','<=','2026-11-20')]",
        "[('state','=','approved')]",
        "[('partner_id','!=',False)]",
        "[('notes','=',False)]",
        "[('notes','!=','x')]",
        "[('notes','not ilike','x')]",
        "['!', ('ref','=like','B%')]",
        "['|', ('id','=',5), ('ref','ilike','a')]",
    ] {
        assert_eq!(ask(text), Some(true), "{text}");
    }
    for text in [
        "['!', ('notes','=like','B%')]",
        "['!', ('notes','<','a')]",
        "[('notes','=','x')]",
        "[('days','<',30), ('ref','ilike','a')]",
        "[('create_date','>','2026-11-20')]",
    ] {
        assert_eq!(ask(text), Some(false), "{text}");
    }
    for text in [
        "[('ref','<','B')]",
        "[('ref','ilike','a')]",
        "[('ratio','=',0.1)]",
        "[('ref','=like','a\\\\')]",
        "[('expiry_date','=','today')]",
        "['|', ('id','=',5), ('expiry_date','=','today')]",
        "[('expiry_date','ilike','2026')]",
        "[('name','=','x')]",
        "['|', ('id','=',5), ('nope','=',1)]",
        "['|', ('id','=',5), ('partner_id.city','=','x')]",
    ] {
        assert_eq!(ask(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_road_panic(text in ".{0,200}") {
        road(&text);
    }

    #[test]
    fn no_python_like_text_makes_the_road_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "[", "]", "(", ")", ",", "'ref'", "'days'", "'create_date'", "'='", "'in'", "'!'", "'|'", "'&'",
                "'=like'", "'<'", "True", "False", "None", "-", "1", "0", "1.5e3", "'2026-02-2é'", "'é\\", "\"", "'''",
                "#", "\n", "\\x4", " ", "é", "0x", "1__0", "e+", ".",
            ]),
            0..40,
        )
    ) {
        road(&tokens.concat());
    }

    #[test]
    fn no_value_makes_the_road_panic(field in 0usize..15, operator in 0usize..19, value in "\\PC{0,12}") {
        let model = permit();
        let field = model.column_names()[field].to_owned();
        let operator = Operator::ALL[operator].as_str();
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        road(&format!("['!', ('{field}', '{operator}', '{value}')]"));
        road(&format!("[('{field}', '{operator}', ['{value}', False, 3, 1.5])]"));
    }
}

fn road(text: &str) {
    match parse(text) {
        Err(error) => drop(error.diagnostic(text)),
        Ok(domain) => {
            let _ = compile(
                &domain,
                &Catalog::default(),
                &permit(),
                &aliases(),
                BaseRow::image(),
            );
            let _ = Twin::new(&domain, &permit(), &aliases()).map(|t| t.matches(&serde_json::Map::new()));
        }
    }
}
