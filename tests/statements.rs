//! Every statement of the binary fits the schema that the binary makes, and everything in the schema says what it is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use desk::desk;
use sicantik_notifyd::db::statements::ALL;
use sicantik_notifyd::testkit::office::RUNTIME;

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_prepares_as_the_runtime_role() {
    let desk = desk().await;
    let client = desk.office.connect_as(RUNTIME).await.unwrap();
    let mut wrong = Vec::new();
    for statement in ALL {
        if let Err(error) = client.prepare(statement.sql).await {
            wrong.push(format!(
                "{}: {}",
                statement.name,
                sicantik_notifyd::db::describe(&error)
            ));
        }
        // Rights are looked at when a statement is planned, not when it is parsed.
        let text = format!("explain (generic_plan) {}", statement.sql);
        let version: i32 = client
            .query_one("select current_setting('server_version_num')::integer", &[])
            .await
            .unwrap()
            .get(0);
        if version >= 160_000
            && let Err(error) = client.simple_query(&text).await
        {
            wrong.push(format!(
                "{}: {}",
                statement.name,
                sicantik_notifyd::db::describe(&error)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: Vec<&str> = ALL.iter().map(|s| s.name).collect();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/statements")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(listed.contains(&name), "sql/statements/{name}.sql is in no list");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_view_column_function_and_sequence_has_a_comment() {
    let desk = desk().await;
    let missing = desk
        .text(
            "select string_agg(x.what, ', ' order by x.what)
             from (
                 select c.oid::regclass::text as what
                 from pg_class c
                 where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
                   and obj_description(c.oid, 'pg_class') is null
                   and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i' and c.relkind = 'S')
                 union all
                 select c.oid::regclass || '.' || a.attname
                 from pg_class c
                 join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                 where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
                   and col_description(c.oid, a.attnum) is null
                 union all
                 select p.oid::regprocedure::text
                 from pg_proc p
                 where p.pronamespace = 'sicantik_notify'::regnamespace and not starts_with(p.proname, 'capture_sicantik')
                   and obj_description(p.oid, 'pg_proc') is null
             ) x",
        )
        .await;
    assert_eq!(missing, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_means_the_same_in_every_view_and_arguments_have_names() {
    let desk = desk().await;
    // Words that stand for different things have a line of their own, column by column, in sql/views/vocabulary.sql; few may.
    let many = desk
        .text(
            "select string_agg(x.name, ', ') from (
                 select a.attname as name
                 from pg_class c
                 join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
                 where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind = 'v'
                 group by a.attname
                 having count(distinct col_description(c.oid, a.attnum)) > 1
                    and a.attname not in ('active', 'at', 'changed_at', 'code', 'failed', 'finished_at', 'id', 'messages',
                        'model', 'name', 'outcome',
                                          'read', 'reason', 'sent', 'skipped', 'source', 'state', 'template_key', 'waiting_for')
             ) x",
        )
        .await;
    assert_eq!(many, None);
    let vocabulary = include_str!("../sql/views/vocabulary.sql");
    let unused = desk
        .text(&format!(
            "select string_agg(w.word, ', ') from unnest(array[{}]) w (word)
             where not exists (
                 select from pg_class c join pg_attribute a on a.attrelid = c.oid
                 where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind = 'v' and w.word in (a.attname,
                     c.relname || '.' || a.attname))",
            vocabulary
                .lines()
                .filter_map(|l| l.trim().strip_prefix("('")?.split('\'').next())
                .map(|w| format!("'{w}'"))
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .await;
    assert_eq!(unused, None);
    let nameless = desk
        .text(
            "select string_agg(p.oid::regprocedure::text, ', ') from pg_proc p
             where p.pronamespace = 'sicantik_notify'::regnamespace and p.pronargs > 0 and p.proargnames is null",
        )
        .await;
    assert_eq!(nameless, None);
}
