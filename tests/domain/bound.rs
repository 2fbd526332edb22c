//! What reaches SQL: identifiers of the catalogue and words of our own, nothing of what was typed.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sicantik_notifyd::host::catalog::{Catalog, Model};
use sicantik_notifyd::lang::domain::{Compiled, Domain, Node, Operator, Param, Value};

use super::*;

/// The mark of everything that is typed.
const MARK: &str = "zqx";

/// Every word that the compiler may write by itself.
const WORDS: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "COALESCE",
    "EXISTS",
    "FALSE",
    "FROM",
    "ILIKE",
    "IN",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "RECURSIVE",
    "SELECT",
    "TRUE",
    "UNION",
    "WHERE",
    "WITH",
    "bool",
    "btrim",
    "coalesce",
    "date",
    "date_part",
    "float8",
    "int",
    "int4",
    "int8",
    "mod",
    "numeric",
    "public",
    "string_to_array",
    "text",
    "timestamp",
    "unaccent",
    "unnest",
    "varchar",
];

/// Every text in quotes that the compiler may write by itself.
const TEXTS: &[&str] = &[
    "'%'",
    "'/'",
    "'en_US'",
    "'user_notification'",
    "'year'",
    "'quarter'",
    "'month'",
    "'week'",
    "'doy'",
    "'day'",
    "'dow'",
    "'hour'",
    "'minute'",
    "'second'",
];

fn identifiers(catalog: &Catalog) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for model in catalog.models.values() {
        all.insert(model.table.clone());
        for field in model.fields.values() {
            all.insert(field.name.clone());
            all.extend(
                [&field.relation_table, &field.column1, &field.column2]
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
    }
    all
}

/// The first thing in the SQL that is neither ours nor the catalogue's.
fn foreign(sql: &str, identifiers: &BTreeSet<String>) -> Option<String> {
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => rest[1..].find('"')? + 2,
            '\'' => rest[1..].find('\'')? + 2,
            '$' => {
                1 + rest[1..]
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len() - 1)
            }
            c if c.is_alphanumeric() || c == '_' => rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let alias = |t: &str| {
            t == "l"
                || t.strip_prefix('t')
                    .is_some_and(|n| n.bytes().all(|c| c.is_ascii_digit()))
        };
        let known = match c {
            '"' => identifiers.contains(&token[1..token.len() - 1]),
            '\'' => TEXTS.contains(&token),
            '$' => token.len() > 1,
            c if c.is_ascii_digit() => ["0", "1", "7"].contains(&token),
            c if c.is_alphanumeric() || c == '_' => WORDS.contains(&token) || alias(token),
            c => " (),.=<>|:[]->+-".contains(c),
        };
        if !known {
            return Some(token.to_owned());
        }
        rest = after;
    }
    None
}

fn name(model: &Model, wish: usize) -> String {
    let names: Vec<&String> = model.fields.keys().collect();
    names[wish % names.len()].clone()
}

/// A path of up to four steps over fields that are there, now and then with something typed at its end.
fn path(catalog: &Catalog, model: &Model, wishes: &[usize]) -> String {
    let (mut model, mut steps) = (model, Vec::new());
    for wish in wishes {
        let step = name(model, *wish);
        let field = &model.fields[&step];
        steps.push(step.clone());
        match field
            .relation
            .as_ref()
            .and_then(|relation| catalog.model(relation))
        {
            Some(next) => model = next,
            None => break,
        }
    }
    if wishes[0].is_multiple_of(23) {
        steps.push(format!("{MARK}\" or 1=1 --"));
    }
    steps.join(".")
}

fn node(value: Value) -> Node {
    Node {
        value,
        span: (0..0).into(),
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => "[a-z%_'\"\\\\$;{} -]{0,12}".prop_map(|text| Value::Str(format!("{MARK}{text}"))),
        1 => Just(Value::Str(String::new())),
        2 => Just(Value::Bool(false)),
        1 => Just(Value::Bool(true)),
        1 => Just(Value::None),
        2 => (900_000i64..999_999).prop_map(Value::Int),
        1 => Just(Value::Float(987_654.25)),
        1 => Just(Value::Str(format!("2026-12-22 {MARK}"))),
        1 => Just(Value::Str("2026-12-22".into())),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => scalar(),
        2 => prop::collection::vec(scalar().prop_map(node), 0..4).prop_map(Value::List),
        1 => prop::collection::vec(scalar().prop_map(node), 0..3).prop_map(Value::Tuple),
    ]
}

fn typed(compiled: &Compiled) -> bool {
    let marked = |text: &String| text.contains(MARK);
    compiled.params.iter().any(|param| match param {
        Param::Text(text) => text.iter().any(marked),
        Param::TextArray(texts) => texts.iter().any(marked),
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_typed_is_in_the_sql() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let identifiers = identifiers(&host.catalog);
    let models: Vec<String> = host.catalog.models.keys().cloned().collect();
    let leaf = (
        prop::collection::vec(any::<usize>(), 4),
        prop::sample::select(Operator::ALL),
        value(),
    );
    let strategy = (
        prop::sample::select(models),
        prop::collection::vec((leaf, 0..8u8), 1..4),
        any::<bool>(),
        any::<bool>(),
    );
    let mut runner = TestRunner::deterministic();
    let (mut made, mut bound) = (0, 0);
    for _ in 0..6_000 {
        let (model, leaves, active, lenient) = strategy.new_tree(&mut runner).unwrap().current();
        let model = host.catalog.model(&model).unwrap();
        let mut items = Vec::new();
        for ((wishes, operator, value), sign) in leaves {
            if sign == 0 {
                items.push(node(Value::Str("!".into())));
            }
            let field = Value::Str(path(&host.catalog, model, &wishes));
            let operator = Value::Str(operator.as_str().into());
            items.push(node(Value::Tuple(vec![node(field), node(operator), node(value)])));
        }
        let Ok(domain) = Domain::build(&node(Value::List(items))) else {
            continue;
        };
        let base = BaseRow::table()
            .active_test(active)
            .host_like(lenient)
            .lang(if active { "id_ID" } else { "en_US" })
            .company(1);
        let Ok(compiled) = compile(&domain, &host.catalog, model, &Aliases::default(), base) else {
            continue;
        };
        made += 1;
        bound += usize::from(typed(&compiled));
        assert!(!compiled.sql.contains(MARK), "{}", compiled.sql);
        assert!(
            !["9876", "2026"].iter().any(|text| compiled.sql.contains(text)),
            "{}",
            compiled.sql
        );
        let alien = foreign(&compiled.sql, &identifiers);
        assert_eq!(alien, None, "{domain:?}\n{}", compiled.sql);
        for search in &compiled.searches {
            assert!(!search.sql.contains(MARK), "{}", search.sql);
            assert_eq!(foreign(&search.sql, &identifiers), None, "{}", search.sql);
        }
    }
    eprintln!("{made} domains became SQL, {bound} of them with typed text among their parameters");
    assert!(made > 1_000 && bound > 500, "{made} {bound}");
}
