//! docs/sql.md is true: its reference is what the catalogue says, and its examples answer, each as the role that it names.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use std::fmt::Write as _;

use desk::{Desk, QUICK, approve, citizens, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::office::OPERATOR;
use tokio_postgres::SimpleQueryMessage;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql.md");
const MARK: &str = "<!-- The rest of this page is made from";
const ROLES: &str = "(values ('viewer', 'sicantik_notify_viewer'::regrole), ('operator',
    'sicantik_notify_operator'::regrole)) as role (word, oid)";

/// In a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

async fn columns(desk: &Desk, relation: &str) -> String {
    let mut page = String::from("| column | type | meaning |\n|---|---|---|\n");
    let rows = desk
        .admin
        .query(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(col_description(a.attrelid, a.attnum), '')
             from pg_attribute a
             where a.attrelid = ('sicantik_notify.' || quote_ident($1))::regclass and a.attnum > 0 and not a.attisdropped
             order by a.attnum",
            &[&relation],
        )
        .await
        .unwrap();
    for row in rows {
        let (name, kind, meaning): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let kind = kind.replace("timestamp with time zone", "timestamptz");
        writeln!(page, "| `{name}` | {kind} | {} |", cell(&meaning)).unwrap();
    }
    page
}

/// Relations of a kind that one of the two roles may read, with who may.
async fn relations(desk: &Desk, kinds: &str) -> Vec<(String, String, String)> {
    let query = format!(
        "select c.relname::text, coalesce(obj_description(c.oid, 'pg_class'), ''), string_agg(role.word, ', ' order by role.word desc)
         from pg_class c, {ROLES}
         where c.relnamespace = 'sicantik_notify'::regnamespace and c.relkind in ({kinds}) and not c.relispartition
           and has_table_privilege(role.oid, c.oid, 'select')
         group by c.oid, c.relname order by c.relname"
    );
    let rows = desk.admin.query(&query, &[]).await.unwrap();
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

async fn reference(desk: &Desk) -> String {
    let mut page = String::from("\n## Views\n\nViewers and operators read all of them.\n");
    for (name, comment, roles) in relations(desk, "'v'").await {
        // Waiting events hold whole values; of everything else viewers see what is masked.
        let who = match name == "v_event" {
            true => "operator",
            false => "viewer, operator",
        };
        assert_eq!(roles, who, "{name}");
        let only = match who {
            "operator" => " (operator)",
            _ => "",
        };
        write!(
            page,
            "\n### `{name}`{only}\n\n{comment}.\n\n{}",
            columns(desk, &name).await
        )
        .unwrap();
    }
    page.push_str("\n## Functions\n\nThose that people may call. All others belong to the daemon or to the schema itself.\n\n");
    page.push_str("| function | returns | who | what it does |\n|---|---|---|---|\n");
    let query = format!(
        "select p.proname::text, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                string_agg(role.word, ', ' order by role.word desc), coalesce(obj_description(p.oid, 'pg_proc'), '')
         from pg_proc p, {ROLES}
         where p.pronamespace = 'sicantik_notify'::regnamespace and has_function_privilege(role.oid, p.oid, 'execute')
           and p.prorettype <> 'trigger'::regtype
         group by p.oid, p.proname order by p.proname, 2"
    );
    for row in desk.admin.query(&query, &[]).await.unwrap() {
        let text = |i: usize| {
            row.get::<_, String>(i)
                .replace("timestamp with time zone", "timestamptz")
        };
        writeln!(
            page,
            "| `{}({})` | {} | {} | {} |",
            text(0),
            cell(&text(1)),
            cell(&text(2)),
            text(3),
            cell(&text(4))
        )
        .unwrap();
    }
    page.push_str(
        "\n## Tables\n\nThose that people may read themselves: configuration, which operators write.\n",
    );
    for (name, comment, roles) in relations(desk, "'r', 'p'").await {
        write!(
            page,
            "\n### `{name}` ({roles})\n\n{comment}.\n\n{}",
            columns(desk, &name).await
        )
        .unwrap();
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_what_the_database_says() {
    let desk = desk().await;
    let wanted = reference(&desk).await;
    let page = std::fs::read_to_string(PAGE).unwrap();
    let end_of_mark = page
        .find(MARK)
        .and_then(|at| page[at..].find('\n').map(|n| at + n + 1));
    let (by_hand, made) = page.split_at(end_of_mark.expect("the mark stands in docs/sql.md"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{by_hand}{wanted}")).unwrap();
        return;
    }
    if let Some((is, should)) = made.lines().zip(wanted.lines()).find(|(a, b)| a != b) {
        panic!(
            "docs/sql.md is not up to date (UPDATE_DOCS=1 makes it anew):\n  it has {is}\n  and not {should}"
        );
    }
    assert_eq!(
        made.len(),
        wanted.len(),
        "docs/sql.md is not up to date (UPDATE_DOCS=1 makes it anew)"
    );
}

struct Example {
    operator: bool,
    returns_rows: bool,
    sql: String,
}

fn examples() -> Vec<Example> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let by_hand = page.split(MARK).next().unwrap();
    let blocks: Vec<&str> = by_hand
        .split("```sql\n")
        .skip(1)
        .filter_map(|b| b.split("```").next())
        .collect();
    assert!(blocks.len() > 30);
    blocks
        .iter()
        .map(|block| {
            let head = block.lines().next().unwrap();
            let role = head.trim_start_matches("-- ").split([',', ':']).next().unwrap();
            assert!(
                head.starts_with("-- ") && ["viewer", "operator"].contains(&role),
                "{block}"
            );
            Example {
                operator: role == "operator",
                returns_rows: head.split(':').next().unwrap().ends_with("returns rows"),
                sql: (*block).to_owned(),
            }
        })
        .collect()
}

/// What has happened in the office whose database answers the examples: (failed message, waiting message, partner, campaign).
async fn a_day(desk: &Desk) -> [i64; 4] {
    desk.only("Fonnte").await;
    desk.sql("update sicantik_notify.rule set max_retries = 0; select sicantik_notify.blacklist_add('0812-0000-9103', 'asked for it')")
        .await;
    let daemon = desk.daemon(QUICK).await;
    let mut odoo = desk.odoo().await;
    let permits = citizens(&mut odoo, 3).await;
    desk.sql(&format!(
        "update res_partner set phone = null, mobile = null where id = (select partner_id from sicantik_permit where id = {})",
        permits[0].0
    ))
    .await;
    approve(&mut odoo, &[permits[0].0, permits[1].0, permits[2].0]).await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .when_to("+6281200009102", Behaviour::http(500, "busy"));
    let failed = desk.message("+6281200009102").await;
    desk.message("+6281200009103").await;
    let campaign = desk
        .number(&format!(
            "select sicantik_notify.campaign_create('Pengumuman', 'notify_permit_approved', '[(''id'', ''='', {})]')",
            permits[2].0
        ))
        .await;
    desk.sql(&format!("select sicantik_notify.campaign_start({campaign})"))
        .await;
    desk.until("select count(*) = 5 from sicantik_notify.log").await;
    desk.until("select exists (select from sicantik_notify.v_cron_run where code = 'process_queue')")
        .await;
    drop(daemon);
    let waiting = desk
        .number(
            "insert into sicantik_notify.queue (rule_id, scheduled_at, partner_name, phone, template_key)
             select id, sicantik_notify.clock() + interval '1 hour', 'Budi', '+6281200009104', 'permit_ready'
             from sicantik_notify.rule where code = 'notify_permit_approved' returning id",
        )
        .await;
    let counted = "with c as materialized (select sicantik_notify.statistics_count()) \
                   select (select sum(sent) = 3 and sum(skipped) = 2 from sicantik_notify.v_daily) from c";
    desk.until(counted).await;
    // What is left of its run: it is running again, with messages that wait.
    desk.sql(&format!(
        "update sicantik_notify.campaign set state = 'running', finished_at = null where id = {campaign}"
    ))
    .await;
    let partner = desk
        .number("select max(partner_id) from sicantik_notify.log where partner_id is not null")
        .await;
    [failed, waiting, partner, campaign]
}

fn with_ids(sql: &str, ids: [i64; 4]) -> String {
    let mut text = sql.to_owned();
    for (word, id) in ["4711", "4712"].iter().zip(ids) {
        text = text.replace(word, &id.to_string());
    }
    for (before, id) in [
        ("partner_id = 42", ids[2]),
        ("campaign_id = 7", ids[3]),
        ("where id = 7", ids[3]),
        ("(7)", ids[3]),
    ] {
        let number = before.trim_end_matches(')').rsplit([' ', '(']).next().unwrap();
        text = text.replace(before, &before.replace(number, &id.to_string()));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_answers_as_the_role_that_it_names() {
    let desk = desk().await;
    let ids = a_day(&desk).await;
    desk.sql("create role vera login; grant sicantik_notify_viewer to vera")
        .await;
    let viewer = desk.office.connect_as("vera").await.unwrap();
    let operator = desk.office.connect_as(OPERATOR).await.unwrap();
    let mut wrong = Vec::new();
    for example in examples() {
        let client = if example.operator { &operator } else { &viewer };
        client.batch_execute("begin").await.unwrap();
        // Statement by statement: one that says that it returns rows must, whatever stands beside it.
        for statement in with_ids(&example.sql, ids)
            .split(";\n")
            .filter(|s| !s.trim().is_empty())
        {
            match client.simple_query(statement).await {
                Ok(answer) => {
                    let rows = answer
                        .iter()
                        .filter(|m| matches!(m, SimpleQueryMessage::Row(_)))
                        .count();
                    if example.returns_rows && rows == 0 {
                        wrong.push(format!("no rows: {statement}"));
                    }
                }
                Err(error) => {
                    wrong.push(format!("{}: {statement}", sicantik_notifyd::db::describe(&error)));
                    break;
                }
            }
        }
        client.batch_execute("rollback").await.unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
