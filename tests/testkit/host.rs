//! The host fixture and the writer that behaves as Odoo.

use std::time::Instant;

use sicantik_notifyd::testkit::host::{
    HostError, OdooSession, Options, Profile, Volume, generate, ids, install,
};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

async fn count(client: &Client, sql: &str) -> i64 {
    client
        .query_one(&format!("select count(*) from {sql}"), &[])
        .await
        .unwrap()
        .get(0)
}

async fn host(profile: Profile, options: &Options) -> (Cluster, Client) {
    let cluster = Cluster::start().await.unwrap();
    cluster.create_database("office", None).await.unwrap();
    let client = cluster.connect("office").await.unwrap();
    let began = Instant::now();
    install(&client, profile, options).await.unwrap();
    eprintln!("{profile:?} installed in {:?}", began.elapsed());
    (cluster, client)
}

async fn odoo(cluster: &Cluster) -> OdooSession {
    OdooSession::connect(&cluster.url_as("odoo", "office"), ids::USERS_STAFF[0])
        .await
        .unwrap()
}

/// Counts of the base data that hold on every profile.
async fn check_base(client: &Client) {
    for (sql, expected) in [
        ("sicantik_permit", ids::PERMITS),
        ("(select distinct status from sicantik_permit) s", 5),
        ("(select distinct state from sicantik_document) s", 7),
        ("signature_workflow where approver_id is null", 2),
        ("ir_cron where active", 8),
        ("sicantik_whatsapp_template_master where parameter_count = json_array_length(parameter_list::json)", 15),
        ("sicantik_whatsapp_provider", 3),
        ("sicantik_notification_trigger", 6),
        ("(select distinct recipient_type from sicantik_notification_rule) s", 5),
        ("phone_blacklist where active", 1),
        ("whatsapp_account", 0),
        ("ir_model_data where model = 'res.groups' and res_id = 10", 0),
        ("pg_tables where schemaname = 'public' and tableowner <> 'odoo'", 0),
        ("pg_roles where rolname = 'odoo' and rolsuper", 0),
        // The catalogue agrees with the columns: each column is a field, each stored field that can be one is a column.
        (
            "pg_attribute a join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
             join ir_model m on (case m.model when 'ir.actions.server' then 'ir_act_server' else replace(m.model, '.', '_') end) = c.relname
             where a.attnum > 0 and not a.attisdropped
             and not exists (select from ir_model_fields f where f.model_id = m.id and f.name = a.attname and f.store)",
            0,
        ),
        (
            "ir_model_fields f where store and ttype not in ('one2many', 'many2many', 'binary')
             and not exists (select from pg_attribute a where a.attname = f.name and not a.attisdropped and a.attrelid = to_regclass(
                case f.model when 'ir.actions.server' then 'ir_act_server' else replace(f.model, '.', '_') end))",
            0,
        ),
        ("ir_model_fields where ttype = 'many2many' and store and (relation_table is null or to_regclass(relation_table) is null)", 0),
        ("ir_model_fields where ttype = 'one2many' and relation_field is null", 0),
        ("ir_model_fields where model = 'res.users' and name = 'email' and related = 'partner_id.email' and not store", 1),
        ("ir_model_fields where model = 'res.partner' and name = 'barcode' and company_dependent and not translate", 1),
        ("ir_model_fields where model = 'res.groups' and name = 'name' and translate", 1),
        ("ir_model_fields where model = 'sicantik.permit' and name = 'mobile' and not store", 1),
        (
            "ir_model_fields_selection s join ir_model_fields f on f.id = s.field_id
             where f.model = 'sicantik.permit' and f.name = 'status' and s.name->>'id_ID' is not null",
            5,
        ),
        ("ir_model_inherit", 1),
    ] {
        assert_eq!(count(client, sql).await, expected, "{sql}");
    }
    // Ids go on after the fixed ones.
    client
        .batch_execute("begin; insert into res_partner (name) values ('next'); rollback")
        .await
        .unwrap();
}

#[tokio::test]
async fn profile_18_0() {
    let (_cluster, client) = host(Profile::Odoo18_0, &Options::default()).await;
    check_base(&client).await;
    assert_eq!(count(&client, "res_partner where mobile is not null").await, 15);
    // Implied memberships are written out.
    assert_eq!(
        count(&client, "res_groups_users_rel where gid = 10 and uid = 8").await,
        1
    );
    assert_eq!(
        count(
            &client,
            "ir_model_fields where model = 'res.users' and name = 'groups_id'"
        )
        .await,
        1
    );
    assert!(
        client
            .batch_execute("select from base_registry_signaling")
            .await
            .is_ok()
    );
    assert!(
        client
            .batch_execute("select state from sicantik_permit")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn profile_saas_18_4() {
    let (_cluster, client) = host(Profile::Saas18_4, &Options::default()).await;
    check_base(&client).await;
    assert!(
        client
            .batch_execute("select mobile from res_partner")
            .await
            .is_err()
    );
    assert_eq!(
        count(&client, "res_groups_users_rel where gid = 10 and uid = 8").await,
        0
    );
    assert_eq!(
        count(
            &client,
            "ir_model_fields where model = 'res.users' and name = 'group_ids'"
        )
        .await,
        1
    );
    assert_eq!(
        count(
            &client,
            "ir_model_fields where model = 'res.partner' and name = 'mobile'"
        )
        .await,
        0
    );
    assert!(
        client
            .batch_execute(
                "insert into sicantik_notification_blacklist (phone_number) values ('081298765432')"
            )
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_small_host_and_its_options() {
    let options = Options {
        uuid: "it's another".to_owned(),
        neutralized: true,
        enterprise_whatsapp: false,
        message_log: false,
        replaced_module: false,
        recorded_columns: true,
        ..Options::default()
    };
    let (cluster, client) = host(Profile::Odoo18_0, &options).await;
    for table in [
        "whatsapp_account",
        "sicantik_whatsapp_message_log",
        "sicantik_notification_rule",
    ] {
        assert!(
            client
                .batch_execute(&format!("select from {table}"))
                .await
                .is_err(),
            "{table}"
        );
    }
    let uuid = "ir_config_parameter where key = 'database.uuid' and value = 'it''s another'";
    assert_eq!(count(&client, uuid).await, 1);
    assert_eq!(count(&client, "ir_cron where active").await, 0);
    assert_eq!(
        count(&client, "sicantik_permit where state is null and active is null").await,
        ids::PERMITS
    );
    assert_eq!(
        count(&client, "sicantik_permit_type where name->>'en_US' is not null").await,
        2
    );

    // Two databases of one cluster at once: the role is the cluster's.
    cluster.create_database("second", None).await.unwrap();
    cluster.create_database("third", None).await.unwrap();
    client
        .batch_execute("reassign owned by odoo to postgres; drop owned by odoo; drop role odoo")
        .await
        .unwrap();
    let (second, third) = (
        cluster.connect("second").await.unwrap(),
        cluster.connect("third").await.unwrap(),
    );
    let defaults = Options::default();
    let (a, b) = tokio::join!(
        install(&second, Profile::Odoo18_0, &defaults),
        install(&third, Profile::Saas18_4, &defaults)
    );
    a.unwrap();
    b.unwrap();
}

#[tokio::test]
async fn the_generator_makes_the_same_of_the_same_seed() {
    let volume = Volume {
        partners: 2000,
        permits: 10_000,
        documents: 3000,
        ..Volume::default()
    };
    let mut prints = Vec::new();
    for (profile, seed) in [
        (Profile::Odoo18_0, 7),
        (Profile::Odoo18_0, 7),
        (Profile::Odoo18_0, 8),
    ] {
        let (_cluster, client) = host(profile, &Options::default()).await;
        generate(&client, &volume, seed).await.unwrap();
        assert_eq!(count(&client, "res_partner where id > 27").await, 2000);
        assert_eq!(count(&client, "sicantik_permit").await, ids::PERMITS + 10_000);
        assert_eq!(count(&client, "sicantik_document").await, 3007);
        assert!(count(&client, "res_partner where id > 27 and phone_sanitized is null").await > 100);
        assert!(
            count(
                &client,
                "res_partner where id > 27 and whatsapp_number is not null"
            )
            .await
                > 50
        );
        assert!(count(&client, "sicantik_permit where partner_id is null").await > 100);
        assert_eq!(
            count(
                &client,
                "(select distinct status from sicantik_permit where id > 20) s"
            )
            .await,
            5
        );
        let print = "select md5(string_agg(concat_ws('|', id, permit_number, partner_id, status, expiry_date), ',' order by id))
            from sicantik_permit";
        prints.push(client.query_one(print, &[]).await.unwrap().get::<_, String>(0));
        generate(
            &client,
            &Volume {
                permits: 10,
                ..Volume::default()
            },
            seed + 100,
        )
        .await
        .unwrap();
        assert_eq!(count(&client, "sicantik_permit").await, ids::PERMITS + 10_010);
    }
    assert_eq!(prints[0], prints[1]);
    assert_ne!(prints[0], prints[2]);

    let (_cluster, client) = host(Profile::Saas18_4, &Options::default()).await;
    let began = Instant::now();
    generate(
        &client,
        &Volume {
            partners: 20_000,
            permits: 100_000,
            ..Volume::default()
        },
        1,
    )
    .await
    .unwrap();
    eprintln!("100,000 permits and 20,000 partners in {:?}", began.elapsed());
}

/// Records every version of a permit row and who made it.
const SPY: &str = "create table spy (n serial, op text, old_status text, new_status text, tx xid8, at timestamp, days int);
    grant all on spy, spy_n_seq to odoo;
    create function spy() returns trigger language plpgsql as $$
    begin
        insert into spy (op, old_status, new_status, tx, at, days)
        values (tg_op, case tg_op when 'UPDATE' then old.status end, new.status, pg_current_xact_id(), new.write_date, new.days_until_expiry);
        return null;
    end $$;
    create trigger spy after insert or update on sicantik_permit for each row execute function spy();";

#[tokio::test]
async fn writes_are_merged_until_a_flush() {
    let (cluster, client) = host(Profile::Odoo18_0, &Options::default()).await;
    client.batch_execute(SPY).await.unwrap();
    let mut odoo = odoo(&cluster).await;

    // One flush: the value in between never reaches the database.
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "cancelled".into())],
    );
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "active".into())],
    );
    odoo.commit().await.unwrap();
    assert_eq!(
        count(
            &client,
            "spy where (old_status, new_status) = ('draft', 'active')"
        )
        .await,
        1
    );
    assert_eq!(count(&client, "spy").await, 1);

    // Two flushes of one row in one transaction: two versions, one write_date.
    odoo.begin().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "renewed".into())],
    );
    odoo.flush().await.unwrap();
    odoo.write(
        "sicantik_permit",
        &[ids::PERMIT_DRAFT],
        &[("status", "cancelled".into()), ("permit_number", "N/1".into())],
    );
    odoo.commit().await.unwrap();
    assert_eq!(count(&client, "spy where n > 1").await, 2);
    assert_eq!(
        count(&client, "(select distinct tx, at from spy where n > 1) s").await,
        1
    );

    // A creation lacks its computed columns until a second statement of the same transaction.
    client.batch_execute("truncate spy").await.unwrap();
    let row = vec![
        ("registration_id", "REG-NEW".into()),
        ("permit_type_name", "Izin".into()),
        (
            "expiry_date",
            chrono::Utc::now()
                .date_naive()
                .checked_add_days(chrono::Days::new(30))
                .into(),
        ),
    ];
    let created = odoo
        .request(async |odoo| odoo.create("sicantik_permit", std::slice::from_ref(&row)).await)
        .await
        .unwrap();
    assert_eq!(created.len(), 1);
    assert_eq!(
        count(
            &client,
            "spy where op = 'INSERT' and days is null and new_status = 'active'"
        )
        .await,
        1
    );
    assert_eq!(
        count(&client, "spy where op = 'UPDATE' and days between 29 and 30").await,
        1
    );
    assert_eq!(count(&client, "(select distinct tx from spy) s").await, 1);

    // An equal value in the SET list is sent; a rolled-back savepoint never was.
    client.batch_execute("truncate spy").await.unwrap();
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "active".into())]);
    let savepoint = odoo.savepoint().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("status", "expired".into())]);
    odoo.flush().await.unwrap();
    odoo.rollback_to(&savepoint).await.unwrap();
    odoo.commit().await.unwrap();
    assert_eq!(count(&client, "spy where old_status = new_status").await, 1);
    assert_eq!(count(&client, "spy").await, 1);

    let error = odoo
        .request(async |odoo| {
            odoo.write("sicantik_permit", &[1], &[("state", "x".into())]);
            Ok(())
        })
        .await;
    assert!(matches!(error, Err(HostError::NoColumn { .. })));
}

#[tokio::test]
async fn sync_and_nightly_cron() {
    let (cluster, client) = host(Profile::Saas18_4, &Options::default()).await;
    client.batch_execute(SPY).await.unwrap();
    let mut odoo = odoo(&cluster).await;
    assert_eq!(odoo.sync().await.unwrap() as i64, ids::PERMITS);
    assert_eq!(
        count(&client, "spy where old_status = new_status").await,
        ids::PERMITS
    );
    client.batch_execute("truncate spy").await.unwrap();
    let expired = odoo.nightly_expiry().await.unwrap();
    assert_eq!(expired, [ids::PERMIT_STALE]);
    assert_eq!(
        count(
            &client,
            "spy where (old_status, new_status) = ('active', 'expired')"
        )
        .await,
        1
    );
    assert_eq!(count(&client, "spy").await, 2);

    // A permit's new number reaches its documents; a partner's number is normalised.
    odoo.begin().await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("permit_number", "NEW/1".into())]);
    odoo.write(
        "res_partner",
        &[ids::PARTNER_NO_NUMBER],
        &[("phone", "0812-1616-1616".into())],
    );
    odoo.commit().await.unwrap();
    assert_eq!(
        count(&client, "sicantik_document where permit_number = 'NEW/1'").await,
        1
    );
    assert_eq!(
        count(
            &client,
            "res_partner where id = 16 and phone_sanitized = '+6281216161616'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn a_conflict_repeats_the_request() {
    let (cluster, client) = host(Profile::Odoo18_0, &Options::default()).await;
    let mut odoo = odoo(&cluster).await;
    let mut attempts = 0;
    let other = &client;
    odoo.request(async |odoo| {
        attempts += 1;
        odoo.client().query("select 1 from sicantik_permit", &[]).await?;
        if attempts <= 2 {
            other
                .batch_execute("update sicantik_permit set notes = 'meanwhile' where id = 1")
                .await?;
        }
        odoo.write("sicantik_permit", &[1], &[("status", "cancelled".into())]);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((attempts, odoo.retries()), (3, 2));

    let error = odoo
        .request(async |odoo| {
            odoo.client().query("select 1 from sicantik_permit", &[]).await?;
            other
                .batch_execute("update sicantik_permit set notes = 'again' where id = 1")
                .await?;
            odoo.write("sicantik_permit", &[1], &[("status", "active".into())]);
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, HostError::Retries { tries: 5, .. }), "{error}");
    assert_eq!(
        count(&client, "sicantik_permit where id = 1 and status = 'cancelled'").await,
        1
    );
}

#[tokio::test]
async fn an_upgrade_changes_columns() {
    let (cluster, client) = host(Profile::Odoo18_0, &Options::default()).await;
    let mut odoo = odoo(&cluster).await;
    odoo.start_upgrade("sicantik_connector").await.unwrap();
    assert_eq!(
        count(&client, "ir_module_module where state = 'to upgrade'").await,
        1
    );
    odoo.begin().await.unwrap();
    odoo.add_column("sicantik_permit", "priority", "varchar", Some("'normal'"))
        .await
        .unwrap();
    odoo.alter_type("sicantik_permit", "permit_number", "varchar(64)", None)
        .await
        .unwrap();
    let translate = Some("jsonb_build_object('en_US', name)");
    odoo.alter_type("sicantik_permit_type", "name", "jsonb", translate)
        .await
        .unwrap();
    odoo.rename_column("sicantik_permit", "notes", "remarks")
        .await
        .unwrap();
    odoo.drop_column("sicantik_permit", "is_renewal").await.unwrap();
    odoo.write("sicantik_permit", &[1], &[("remarks", "renamed".into())]);
    odoo.write(
        "sicantik_permit_type",
        &[1],
        &[(
            "name",
            sicantik_notifyd::testkit::host::Value::Json(serde_json::json!({"id_ID": "SIP"})),
        )],
    );
    odoo.commit().await.unwrap();
    odoo.finish_upgrade("sicantik_connector").await.unwrap();
    assert_eq!(
        count(&client, "ir_module_module where state = 'to upgrade'").await,
        0
    );
    assert_eq!(
        count(&client, "sicantik_permit where priority = 'normal'").await,
        ids::PERMITS
    );
    assert_eq!(
        count(
            &client,
            "sicantik_permit_type where id = 1 and name ? 'en_US' and name->>'id_ID' = 'SIP'"
        )
        .await,
        1
    );
    odoo.drop_table("signature_workflow").await.unwrap();
    odoo.request(async |odoo| odoo.unlink("res_partner", &[ids::PARTNER_CANDRA]).await)
        .await
        .unwrap();
    assert_eq!(
        count(&client, "sicantik_permit where id = 3 and partner_id is null").await,
        1
    );
}
