//! Generated domains over generated rows: SQL on the table, SQL on the image and the answer in Rust agree.
//!
//! `DOMAINS` sets how many are tried; the default with 250 rows makes a hundred thousand pairs.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use sicantik_notifyd::lang::domain::{Domain, Twin, parse};

use super::*;

const ROWS: &str = "set role odoo;
    insert into sicantik_permit (registration_id, permit_number, applicant_name, permit_type_name, status, notes, partner_id,
        days_until_expiry, expiry_date, last_sync_date, expiry_notified_90, is_renewal, create_date)
    select 'G' || n, case n % 4 when 0 then null when 1 then '' when 2 then 'SIP/' || n % 9 else 'a%_\\' || n % 3 end,
        case n % 3 when 0 then null when 1 then 'Budi' else 'É ' || n % 5 end, 'x',
        (array['draft', 'active', 'expired', 'renewed', 'cancelled'])[1 + n % 5],
        case n % 5 when 0 then null when 1 then '' else 'Berkas ' || n % 4 end,
        case when n % 3 = 0 then null else 10 + n % 10 end, case when n % 6 = 0 then null else n % 7 - 2 end,
        case when n % 4 = 0 then null else date '2026-12-20' + n % 6 end,
        case when n % 5 = 0 then null else timestamp '2026-11-19 22:00' + n % 9 * interval '7 hours 1.5 seconds' end,
        case n % 3 when 0 then null when 1 then true else false end, n % 2 = 0, timestamp '2026-11-20' + n * interval '1 hour'
    from generate_series(1, 230) n;
    reset role";

fn pick(values: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(values).prop_map(str::to_owned).boxed()
}

/// Fields, the operators that fit them, and values.
fn leaf() -> impl Strategy<Value = String> {
    let texts = "'=','!=','<>','<','<=','>','>=','=?','like','not like','ilike','not ilike','=like','=ilike','in','not in'";
    let order = "'=','!=','<>','<','<=','>','>=','=?','in','not in'";
    let kinds: Vec<(&'static [&'static str], &'static str, &'static [&'static str])> = vec![
        (
            &["notes", "permit_number", "applicant_name", "status"],
            texts,
            &[
                "'Berkas 1'",
                "''",
                "False",
                "None",
                "'a%'",
                "'_'",
                "'SIP/2'",
                "'budi'",
                "'É 2'",
                "'active'",
                "5",
                "True",
                "['Berkas 1', '']",
                "[]",
            ],
        ),
        (
            &["days_until_expiry"],
            order,
            &[
                "0",
                "1",
                "-2",
                "3",
                "'2'",
                "'0'",
                "0.4",
                "[]",
                "1.7",
                "False",
                "None",
                "''",
                "99999999999",
            ],
        ),
        (
            &["expiry_date", "last_sync_date", "create_date"],
            order,
            &[
                "'2026-12-22'",
                "'2026-11-20'",
                "'2026-11-20 12:00:00'",
                "'2026-12-22T00:00:00'",
                "False",
                "None",
            ],
        ),
        (
            &["expiry_notified_90", "is_renewal"],
            "'=','!=','<>','in','not in','=?'",
            &["True", "False", "None", "0", "1"],
        ),
        (
            &["partner_id"],
            "'=','!=','<>','in','not in','=?'",
            &["10", "11", "0", "False", "None", "999", "''"],
        ),
        (&["id"], order, &["1", "7", "'9'", "100"]),
        (
            &[
                "partner_id.city",
                "partner_id.category_id.name",
                "partner_id.name",
                "document_ids.state",
                "partner_id.child_ids.city",
            ],
            "'=','!=','ilike','not ilike','in','not in','=like'",
            &["'Medan'", "''", "False", "'Business'", "'draft'", "'a'"],
        ),
        (
            &["partner_id"],
            "'ilike','not ilike','child_of','parent_of'",
            &["'budi'", "'maju'", "''"],
        ),
    ];
    prop::sample::select(kinds).prop_flat_map(|(fields, operators, values)| {
        let operators: Vec<String> = operators
            .split(',')
            .map(|op| op.trim_matches('\'').to_owned())
            .collect();
        (
            pick(fields),
            prop::sample::select(operators),
            prop::collection::vec(pick(values), 0..4),
        )
            .prop_map(|(field, operator, values)| {
                let list = operator.ends_with("in");
                let value = if list && values.len() == 3 {
                    // No list at all.
                    if values[0] == values[1] { "True" } else { "False" }.to_owned()
                } else if list {
                    format!("[{}]", values.join(", "))
                } else {
                    values.first().cloned().unwrap_or_else(|| "False".into())
                };
                format!("('{field}', '{operator}', {value})")
            })
    })
}

fn domain() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => leaf(),
        1 => leaf().prop_map(|a| format!("'!', {a}")),
        2 => (pick(&["'&'", "'|'"]), leaf(), leaf()).prop_map(|(op, a, b)| format!("{op}, {a}, {b}")),
        1 => (pick(&["'&'", "'|'"]), leaf(), leaf()).prop_map(|(op, a, b)| format!("'!', {op}, {a}, '!', {b}")),
        1 => leaf().prop_map(|a| format!("('partner_id', 'not any', [('active', '=', True)]), '!', {a}")),
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| format!("[{}]", parts.join(", ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_ways_agree() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.client.batch_execute(ROWS).await.unwrap();
    let rows = host
        .client
        .query("select to_jsonb(t.*) from sicantik_permit t", &[])
        .await
        .unwrap();
    let rows: Vec<serde_json::Map<String, Value>> = rows
        .iter()
        .map(|r| r.get::<_, Value>(0).as_object().cloned().unwrap())
        .collect();
    let many = std::env::var("DOMAINS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(400);
    let model = host.catalog.model("sicantik.permit").unwrap();
    let (mut runner, strategy) = (TestRunner::deterministic(), domain());
    let (mut sure, mut asked, mut refused) = (0, 0, 0);
    for _ in 0..many {
        let text = strategy.new_tree(&mut runner).unwrap().current();
        let table = host.ask("sicantik.permit", &text, TABLE).await;
        let image = Eyes {
            kind: BaseKind::Image,
            ..TABLE
        };
        let image = host.ask("sicantik.permit", &text, image).await;
        let parsed: Result<Domain, _> = parse(&text);
        let twin = parsed
            .as_ref()
            .ok()
            .and_then(|d| Twin::new(d, model, &Aliases::default()));
        let twin = |row| twin.as_ref().and_then(|twin| twin.matches(row));
        let (table, image) = match (table, image) {
            (Ok(table), Ok(image)) => (table, image),
            (Err(Fault::Domain(_)), Err(Fault::Domain(_))) => {
                refused += 1;
                assert!(
                    rows.iter().all(|row| twin(row).is_none()),
                    "{text}: refused, but answered in Rust"
                );
                continue;
            }
            (table, image) => panic!("{text}: {table:?} {image:?}"),
        };
        assert_eq!(table, image, "{text}");
        for row in &rows {
            asked += 1;
            if let Some(answer) = twin(row) {
                sure += 1;
                assert_eq!(
                    answer,
                    table.contains(&row["id"].as_i64().unwrap()),
                    "{text}: {row:?}"
                );
            }
        }
    }
    eprintln!("{many} domains, {refused} refused; {asked} pairs, {sure} answered in Rust");
    assert!(refused * 2 < many && sure * 5 > asked);
}
