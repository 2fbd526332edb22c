//! What events carry.

use serde_json::Value;
use sicantik_notifyd::config::Backend;

use crate::on_both;

/// Column, type, value before, value after.
const COLUMNS: [(&str, &str, &str, &str); 24] = [
    ("x_bool", "boolean", "false", "true"),
    ("x_int2", "smallint", "1", "-32768"),
    ("x_int8", "bigint", "1", "9223372036854775807"),
    ("x_numeric", "numeric", "1.50", "12345678901234567890.12345"),
    ("x_nan", "numeric", "1", "'NaN'"),
    ("x_float", "double precision", "0", "1e300"),
    ("x_infinite", "double precision", "0", "'-Infinity'"),
    ("x_real", "real", "0.1", "0.3"),
    ("x_text", "text", "'a'", r#"E'"b" \\ \n\t\u0001 é 😀'"#),
    ("x_char", "character(5)", "'a'", "'b'"),
    ("x_date", "date", "'2026-01-01'", "'0044-03-15 BC'"),
    ("x_time", "time", "'10:00'", "'11:12:13.5'"),
    (
        "x_timestamp",
        "timestamp",
        "'2026-01-01'",
        "'2026-01-02 03:04:05.000600'",
    ),
    (
        "x_moment",
        "timestamptz",
        "'2026-01-01'",
        "'2026-01-02 03:04:05.6+07'",
    ),
    ("x_forever", "timestamptz", "'2026-01-01'", "'infinity'"),
    ("x_interval", "interval", "'1 day'", "'1 year 2 days 03:04:05'"),
    ("x_bytes", "bytea", "'a'", r"'\xdeadbeef'"),
    (
        "x_uuid",
        "uuid",
        "'00000000-0000-0000-0000-000000000001'",
        "'00000000-0000-0000-0000-000000000002'",
    ),
    (
        "x_json",
        "json",
        r#"'{"a":1}'"#,
        r#"'{"b": [1, 2.50, null, "é"], "a": {"c": true}}'"#,
    ),
    (
        "x_jsonb",
        "jsonb",
        r#"'{"a":1}'"#,
        r#"'{"b": [1, 2.50, null, "é"], "a": {"c": true}}'"#,
    ),
    ("x_ints", "integer[]", "'{}'", "'{{1,2},{3,NULL}}'"),
    (
        "x_texts",
        "text[]",
        "'{a}'",
        r#"array['a,b', 'NULL', null, '"q"', '\', '']"#,
    ),
    ("x_mood", "x_mood_type", "'sad'", "'happy'"),
    ("x_positive", "x_positive_type", "1", "2"),
];

on_both!(values_of_every_type_are_what_to_jsonb_makes_of_them, stand, {
    stand
        .sql("create type x_mood_type as enum ('sad', 'happy'); create domain x_positive_type as integer check (value > 0)")
        .await;
    let mut triggers = String::new();
    for (column, kind, before, _) in COLUMNS {
        stand
            .sql(&format!(
                "alter table sicantik_permit add column {column} {kind}; update sicantik_permit set {column} = {before} where id = 1; \
                 insert into ir_model_fields select (jsonb_populate_record(f, jsonb_build_object('id', (select max(id) + 1 from ir_model_fields), \
                 'name', '{column}'))).* from ir_model_fields f where f.model = 'sicantik.permit' and f.name = 'notes'"
            ))
            .await;
        triggers.push_str(&format!(
            "('t_{column}', 'T', 'sicantik.permit', 'on_field_change', '{column}'),"
        ));
    }
    stand.watch(triggers.trim_end_matches(',')).await;
    stand.forget().await;
    let sets: Vec<String> = COLUMNS
        .iter()
        .map(|(c, _, _, after)| format!("{c} = {after}"))
        .collect();
    let host = stand.host().await;
    // Whatever the host's session says, values read the same.
    host.batch_execute(
        "set datestyle = 'German'; set timezone = 'Asia/Jakarta'; set extra_float_digits = 0; set bytea_output = 'escape'",
    )
    .await
    .unwrap();
    let columns: Vec<String> = COLUMNS.iter().map(|(c, ..)| format!("'{c}', p.{c}")).collect();
    let image = format!(
        "select jsonb_build_object({}) from sicantik_permit p where id = 1",
        columns.join(", ")
    );
    stand.sql("set timezone = 'UTC'").await;
    let old: Value = stand.one(&image).await;
    host.execute(
        &format!("update sicantik_permit set {} where id = 1", sets.join(", ")),
        &[],
    )
    .await
    .unwrap();
    let new: Value = stand.one(&image).await;
    stand.settle().await;
    let row = stand
        .admin
        .query_one("select old, new from sicantik_notify.event", &[])
        .await
        .unwrap();
    let (found_old, found_new): (Value, Value) = (row.get(0), row.get(1));
    for (column, ..) in COLUMNS {
        let both = (&found_old[column], &found_new[column]);
        if column == "x_bytes" && stand.backend == Backend::Triggers {
            continue; // a hook writes bytea as the host's session does
        }
        assert_eq!(both, (&old[column], &new[column]), "{:?} {column}", stand.backend);
    }
});

on_both!(equal_values_that_are_written_differently_are_no_change, stand, {
    stand
        .sql(
            "alter table sicantik_permit add column x_fee numeric; update sicantik_permit set x_fee = 1.5; \
             insert into ir_model_fields select (jsonb_populate_record(f, jsonb_build_object('id', (select max(id) + 1 from ir_model_fields), \
             'name', 'x_fee'))).* from ir_model_fields f where f.model = 'sicantik.permit' and f.name = 'notes'",
        )
        .await;
    stand
        .watch("('fee', 'F', 'sicantik.permit', 'on_field_change', 'x_fee')")
        .await;
    stand.forget().await;
    stand.sql("update sicantik_permit set x_fee = 1.500").await;
    assert_eq!(stand.count().await, 0);
});

on_both!(long_values_that_were_not_touched_are_carried, stand, {
    stand
        .watch("('notes', 'N', 'sicantik.permit', 'on_field_change', 'notes')")
        .await;
    // Stored out of line: the log does not repeat it.
    stand
        .sql(
            "alter table sicantik_permit alter column notes set storage external; \
             update sicantik_permit set notes = repeat('panjang ', 2000) where id = 1",
        )
        .await;
    stand.forget().await;
    stand
        .sql("update sicantik_permit set status = 'changed' where id = 1")
        .await;
    let events = stand.events().await;
    assert_eq!(events.len(), 1, "{events:#?}");
    let carried: i32 = stand
        .one("select length(new ->> 'notes') from sicantik_notify.event")
        .await;
    assert_eq!(carried, 16_000);
    let changed: Vec<String> = stand.one("select changed from sicantik_notify.event").await;
    assert_eq!(changed, ["status"]);
});

on_both!(the_image_of_a_created_record_has_its_computed_columns, stand, {
    stand
        .watch("('new_permit', 'N', 'sicantik.permit', 'on_create', null)")
        .await;
    stand
        .sql("update sicantik_notify.trigger set condition_domain = '[(''days_until_expiry'', ''>'', 0)]' where code = 'new_permit'")
        .await;
    stand.office.run(&["hooks", "install"]).await.unwrap();
    stand.forget().await;
    let mut odoo = stand.odoo().await;
    let permit = odoo
        .request(async |odoo| {
            let permits = odoo
                .create(
                    "sicantik_permit",
                    &[vec![
                        ("registration_id", "REG-NEW".into()),
                        ("permit_type_name", "Izin".into()),
                        ("expiry_date", "2099-01-01".into()),
                    ]],
                )
                .await?;
            Ok(permits[0])
        })
        .await
        .unwrap();
    stand.settle().await;
    let days: i32 = stand
        .one(&format!(
            "select days_until_expiry from sicantik_permit where id = {permit}"
        ))
        .await;
    let carried: i32 = stand
        .one("select (new ->> 'days_until_expiry')::int from sicantik_notify.event where new ? 'days_until_expiry' order by id desc limit 1")
        .await;
    assert_eq!(carried, days);
    let first: String = stand
        .one("select op::text from sicantik_notify.event order by id limit 1")
        .await;
    assert_eq!(first, "I");
});

on_both!(secrets_are_not_carried, stand, {
    stand
        .sql(
            "alter table sicantik_permit add column x_secret_token text; \
             insert into ir_model_fields select (jsonb_populate_record(f, jsonb_build_object('id', (select max(id) + 1 from ir_model_fields), \
             'name', 'x_secret_token'))).* from ir_model_fields f where f.model = 'sicantik.permit' and f.name = 'notes'",
        )
        .await;
    stand
        .watch("('any', 'A', 'sicantik.permit', 'on_write', null)")
        .await;
    stand
        .sql("update sicantik_notify.capture_plan set watched = watched || '{x_secret_token}' where model = 'sicantik.permit'")
        .await;
    stand.office.run(&["hooks", "install"]).await.unwrap();
    stand.forget().await;
    stand
        .sql("update sicantik_permit set x_secret_token = 'hunter2' where id = 1; update sicantik_permit set notes = 'x', x_secret_token = 'hunter3' where id = 2")
        .await;
    let events = stand.events().await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(
        !events[0].contains("hunter") && !events[0].contains("secret"),
        "{events:#?}"
    );
});
