//! The ways in which rows are written, in both forms of the hook.

use futures_util::SinkExt;

use crate::stand::Stand;

const FOUND: &str = "select coalesce(array_agg(format('%s %s %s', op, record_id, array_to_string(changed, '+')) order by record_id, id), '{}') \
                     from sicantik_notify.event where model = 'sicantik.permit'";

const MERGE: &str = "merge into sicantik_permit p using (values (1, 'merged'), (1005, 'new')) v(id, s) on p.id = v.id \
     when matched then update set status = v.s \
     when not matched then insert (id, registration_id, permit_type_name, status) values (v.id, 'm', 't', v.s)";
/// The same to PostgreSQL 14, which does not know MERGE.
const UPDATE_AND_INSERT: &str = "with merged as (update sicantik_permit set status = 'merged' where id = 1) \
     insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1005, 'm', 't', 'new')";

impl Stand {
    async fn found(&self, what: &str, sql: &str) -> Vec<String> {
        self.run("delete from sicantik_notify.event").await;
        self.run(sql).await;
        assert_eq!(self.misses().await, 0, "{what}");
        self.one(FOUND).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_write_is_seen_once() {
    let stand = Stand::open().await;
    stand
        .watch("('created', 'C', 'sicantik.permit', 'on_create', null), ('partner', 'P', 'sicantik.permit', 'on_field_change', 'partner_id')")
        .await;
    let version: i32 = stand
        .one("select current_setting('server_version_num')::integer")
        .await;
    let merge = if version >= 150_000 {
        MERGE
    } else {
        UPDATE_AND_INSERT
    };
    for form in ["statement", "row"] {
        stand.shape(form).await;
        stand.run("delete from sicantik_permit where id > 1000; update sicantik_permit set status = 'draft', partner_id = 10 where id in (1, 2, 3)").await;
        let check = async |what: &str, sql: &str, expected: &[&str]| {
            assert_eq!(stand.found(what, sql).await, expected, "{form}: {what}");
        };
        check(
            "UPDATE FROM VALUES of several rows, one of which does not change",
            "update sicantik_permit set status = v.s, write_date = now() from (values (1, 'a'), (2, 'draft'), (3, 'c')) v(id, s) \
             where sicantik_permit.id = v.id",
            &["U 1 status", "U 3 status"],
        )
        .await;
        check(
            "equal values in the SET list",
            "update sicantik_permit set status = status, write_date = now()",
            &[],
        )
        .await;
        check(
            "no row at all",
            "update sicantik_permit set status = 'x' where id < 0",
            &[],
        )
        .await;
        check(
            "noise only",
            "update sicantik_permit set last_sync_date = now(), write_date = now(), write_uid = 1",
            &[],
        )
        .await;
        check(
            "noise only, write_date untouched",
            "update sicantik_permit set last_sync_date = clock_timestamp()",
            &[],
        )
        .await;
        check(
            "INSERT of several rows",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'active'), (1002, 'b', 't', 'draft')",
            &["I 1001 ", "I 1002 "],
        )
        .await;
        check(
            "an upsert that inserts one row and updates another",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'expired'), (1003, 'c', 't', 'draft') \
             on conflict (id) do update set status = excluded.status",
            &["U 1001 status", "I 1003 "],
        )
        .await;
        check(
            "an upsert that does nothing",
            "insert into sicantik_permit (id, registration_id, permit_type_name, status) values (1001, 'a', 't', 'expired') on conflict (id) do nothing",
            &[],
        )
        .await;
        check(
            "a changed primary key is a new record",
            "update sicantik_permit set id = 1004, status = 'moved' where id = 1003",
            &["I 1004 "],
        )
        .await;
        check(
            "ids that change places",
            "update sicantik_permit set id = case id when 1001 then 2001 else 2002 end where id in (1001, 1002)",
            &["I 2001 ", "I 2002 "],
        )
        .await;
        check(
            "two columns at once",
            "update sicantik_permit set status = 'both', partner_id = 11 where id = 1",
            &["U 1 partner_id+status"],
        )
        .await;
        check("MERGE", merge, &["U 1 status", "I 1005 "]).await;
        check(
            "a cascade: SET NULL of a foreign key",
            "insert into res_partner (id, name) values (9001, 'gone soon') on conflict do nothing; \
             update sicantik_permit set partner_id = 9001 where id in (2, 3); delete from sicantik_notify.event; \
             delete from res_partner where id = 9001",
            &["U 2 partner_id", "U 3 partner_id"],
        )
        .await;
        check("DELETE", "delete from sicantik_permit where id > 1000", &[]).await;
        // Steps of one transaction are kept apart, in order.
        check(
            "three writes of one row in one transaction",
            "begin; update sicantik_permit set status = 'a1' where id = 1; update sicantik_permit set status = 'a2' where id = 1; \
             update sicantik_permit set status = 'a3' where id = 1; commit",
            &["U 1 status", "U 1 status", "U 1 status"],
        )
        .await;
        let transactions: i64 = stand
            .one("select count(distinct xact) from sicantik_notify.event")
            .await;
        assert_eq!(transactions, 1);
        let way: Vec<String> = stand
            .one("select array_agg((old ->> 'status') || '>' || (new ->> 'status') order by id) from sicantik_notify.event")
            .await;
        assert_eq!(way, ["merged>a1", "a1>a2", "a2>a3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_is_seen() {
    let stand = Stand::open().await;
    stand
        .watch("('created', 'C', 'sicantik.permit', 'on_create', null)")
        .await;
    for (form, id) in [("statement", 3001), ("row", 3101)] {
        stand.shape(form).await;
        stand.run("delete from sicantik_notify.event").await;
        let sink = stand
            .admin
            .copy_in("copy sicantik_permit (id, registration_id, permit_type_name, status) from stdin")
            .await
            .unwrap();
        let mut sink = Box::pin(sink);
        let rows: String = (id..id + 50)
            .map(|i| format!("{i}\tR{i}\tIzin\tactive\n"))
            .collect();
        sink.send(bytes(rows)).await.unwrap();
        sink.as_mut().finish().await.unwrap();
        assert_eq!((stand.events().await, stand.misses().await), (50, 0), "{form}");
    }
}

fn bytes(text: String) -> std::io::Cursor<Vec<u8>> {
    std::io::Cursor::new(text.into_bytes())
}

/// Types without equality, names that need quotes, more columns than a function call may have arguments.
#[tokio::test(flavor = "multi_thread")]
async fn odd_columns_are_captured() {
    let stand = Stand::open().await;
    let odd = [
        "a json",
        "a\"quote",
        "a'quote",
        "$hook$",
        "$body$",
        "'); drop table sicantik_permit; --",
        "%s %I %1$s",
        "Ä\\n",
    ];
    let mut ddl = String::from(
        "alter table sicantik_permit add xml_col xml, add point_col point, add json_list json[], add int_list int[]; \
         create domain public.must as text not null; ",
    );
    for name in odd {
        let quoted = name.replace('"', "\"\"");
        let kind = if name == "a json" { "json" } else { "text" };
        ddl.push_str(&format!("alter table sicantik_permit add \"{quoted}\" {kind};"));
    }
    for i in 0..60 {
        ddl.push_str(&format!("alter table sicantik_permit add wide_{i} text;"));
    }
    stand.run(&ddl).await;
    let all: Vec<String> = stand
        .one(
            "select array_agg(attname::text) from pg_attribute where attrelid = 'sicantik_permit'::regclass and attnum > 0 \
             and not attisdropped and attname not in ('id', 'write_date', 'create_date', 'write_uid', 'create_uid', 'last_sync_date')",
        )
        .await;
    assert!(all.len() > 85);
    // A server that was built without libxml has the type, and takes no value of it.
    let no_xml = stand.admin.batch_execute("select '<a/>'::xml").await.is_err();
    if no_xml {
        println!("this server was built without libxml: a value of type xml was not tried");
    }
    let values = [
        ("a json", "'{\"a\": 1}'"),
        ("xml_col", "'<a/>'"),
        ("point_col", "'(1,2)'"),
        ("json_list", "array['1'::json]"),
        ("int_list", "'{1,2}'"),
    ];
    for form in ["statement", "row"] {
        stand
            .admin
            .execute(
                "update sicantik_notify.capture_plan set shape = $1, watched = $2, read = '{}' where model = 'sicantik.permit'",
                &[&form, &all],
            )
            .await
            .unwrap();
        // As the daemon and `hooks install` do, but with this plan.
        let scripts: Vec<String> = stand
            .one("select array_agg(statement order by step) from sicantik_notify.hook_statements() where model = 'sicantik.permit'")
            .await;
        stand
            .run(&format!("begin; {}; commit", scripts.join(";\n")))
            .await;
        for name in odd
            .iter()
            .copied()
            .chain(["xml_col", "point_col", "json_list", "int_list", "wide_59"])
            .filter(|name| *name != "xml_col" || !no_xml)
        {
            let value = values
                .iter()
                .find(|(n, _)| *n == name)
                .map_or("'odd'", |(_, v)| v);
            let column = name.replace('"', "\"\"");
            let found = stand
                .found(
                    name,
                    &format!("update sicantik_permit set \"{column}\" = {value} where id = 1"),
                )
                .await;
            assert_eq!(found, [format!("U 1 {name}")], "{form}");
            let again = stand
                .found(
                    name,
                    &format!("update sicantik_permit set \"{column}\" = {value} where id = 1"),
                )
                .await;
            assert_eq!(again, [""; 0], "{form}: {name}: an equal value is no change");
            stand
                .run(&format!("update sicantik_permit set \"{column}\" = null"))
                .await;
        }
    }
    let permits: i64 = stand.one("select count(*) from sicantik_permit").await;
    assert!(permits > 0, "no name was taken for SQL");
}

/// on_write: any change outside the noise list.
#[tokio::test(flavor = "multi_thread")]
async fn on_write_is_any_change_outside_the_noise() {
    let stand = Stand::open().await;
    stand
        .watch("('any', 'A', 'sicantik.permit', 'on_write', null)")
        .await;
    for form in ["statement", "row"] {
        stand.shape(form).await;
        let value = format!("'{form}'");
        assert_eq!(
            stand
                .found(
                    "notes",
                    &format!("update sicantik_permit set notes = {value}, write_date = now() where id = 1")
                )
                .await,
            ["U 1 notes"]
        );
        assert_eq!(
            stand
                .found(
                    "noise",
                    "update sicantik_permit set write_date = clock_timestamp(), last_sync_date = clock_timestamp(), expiry_notified_7 = true, \
                     days_until_expiry = random() * 100"
                )
                .await,
            [""; 0]
        );
    }
}
