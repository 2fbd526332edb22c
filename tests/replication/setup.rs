//! Setting the slot up and removing it, and the log as the server sends it.

use sicantik_notifyd::capture::replication::decode::{Message, decode};
use sicantik_notifyd::config::Backend;

use crate::stand::Stand;

/// What the host's tables look like: identity and triggers.
const TABLES: &str = "select string_agg(c.relname || ' ' || c.relreplident::text || ' ' || (select count(*) from pg_trigger t where t.tgrelid = c.oid), \
                      ', ' order by c.relname) from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'";

#[tokio::test(flavor = "multi_thread")]
async fn removing_leaves_nothing_behind() {
    let stand = Stand::open(Backend::Triggers).await;
    stand.office.run(&["hooks", "remove"]).await.unwrap();
    // One of the host's tables has an identity of its own.
    stand
        .sql("alter table sicantik_document replica identity using index sicantik_document_pkey")
        .await;
    let before: String = stand.one(TABLES).await;
    let file = stand.office.folder().join("logical.toml");
    std::fs::write(&file, "[capture]\nbackend = \"logical\"\n").unwrap();
    let file = file.to_str().unwrap();
    stand
        .office
        .run(&["hooks", "install", "--config", file])
        .await
        .unwrap();
    let slots: i64 = stand.one("select count(*) from pg_replication_slots").await;
    assert_eq!(slots, 1);
    let during: String = stand.one(TABLES).await;
    assert_ne!(before, during);
    stand.until("select active from pg_replication_slots").await;
    // Again: nothing to do, and nothing is made anew.
    let again = stand.office.run(&["hooks", "install"]).await.unwrap();
    assert!(!again.contains("set up"), "{again}");
    stand.office.run(&["hooks", "remove"]).await.unwrap();
    assert_eq!(stand.one::<String>(TABLES).await, before);
    let left: i64 = stand
        .one(
            "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication) \
             + (select count(*) from pg_roles where rolname = 'sicantik_notifyd' and rolreplication) \
             + (select count(*) from sicantik_notify.capture_slot) + (select count(*) from sicantik_notify.capture_slot_table)",
        )
        .await;
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_is_run() {
    let stand = Stand::open(Backend::Triggers).await;
    stand.office.run(&["hooks", "remove"]).await.unwrap();
    let file = stand.office.folder().join("logical.toml");
    std::fs::write(&file, "[capture]\nbackend = \"logical\"\n").unwrap();
    let printed = stand
        .office
        .run(&["hooks", "sql", "--config", file.to_str().unwrap()])
        .await
        .unwrap();
    for said in [
        "pg_hba.conf",
        "max_slot_wal_keep_size",
        "replica identity full",
        "add table only public.sicantik_permit",
    ] {
        assert!(printed.contains(said), "{said}: {printed}");
    }
    stand.sql(&printed).await;
    let (code, text) = verify(&stand).await;
    assert_eq!(code, Some(0), "{text}");
    stand.until("select active from pg_replication_slots").await;
    stand
        .sql("update sicantik_permit set status = 'by hand' where id = 1")
        .await;
    stand
        .until("select count(*) = 1 from sicantik_notify.event")
        .await;
}

pub async fn verify(stand: &Stand) -> (Option<i32>, String) {
    let output = stand.office.command(&["hooks", "verify"]).output().await.unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Whole messages are read, and no piece of one is taken for a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_log_is_read_and_its_pieces_are_refused() {
    let stand = Stand::open(Backend::Logical).await;
    stand
        .sql(
            "select pg_create_logical_replication_slot('looking', 'pgoutput'); create type mood as enum ('sad'); \
             alter table sicantik_permit add column x_mood mood; \
             insert into sicantik_permit (id, registration_id, permit_type_name, status, x_mood) values (7001, 'é', 't', 'draft', 'sad'); \
             update sicantik_permit set status = 'active', notes = repeat('x', 100000) where id = 7001; \
             update sicantik_permit set id = 7002 where id = 7001; delete from sicantik_permit where id = 7002; \
             select pg_logical_emit_message(true, 'elsewhere', 'hi'); \
             create table permit_copy (like sicantik_permit including all); truncate permit_copy; \
             alter publication sicantik_notify add table permit_copy; truncate permit_copy",
        )
        .await;
    let rows = stand
        .admin
        .query(
            "select data from pg_logical_slot_get_binary_changes('looking', null, null, 'proto_version', '1', \
             'publication_names', 'sicantik_notify', 'messages', 'true')",
            &[],
        )
        .await
        .unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for row in &rows {
        let bytes: Vec<u8> = row.get(0);
        let message = decode(&bytes).unwrap_or_else(|e| panic!("{e}: {bytes:?}"));
        kinds.insert(bytes[0] as char);
        if let Message::Relation(relation) = &message
            && relation.name == "sicantik_permit"
        {
            assert_eq!(relation.identity, b'f');
        }
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            assert!(decode(&bytes[..length]).is_err(), "{message:?} cut at {length}");
        }
    }
    let kinds: String = kinds.into_iter().collect();
    assert_eq!(kinds, "BCDIMRTUY");
}
